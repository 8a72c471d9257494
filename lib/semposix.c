/* SPDX-License-Identifier: ISC */
/*
 * posixsem: POSIX named semaphores.  sem_open(3) makes one whole and then gives
 * it its name, but with the caller's umask, and changing its mode afterwards
 * would be a moment in which it is not yet what it should be.  Where the C
 * library is known to keep them as files of /dev/shm, one is made here in the
 * same way and with its final mode and owner, and then opened as any other.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "name.h"
#include "sem.h"
#include "wholefile.h"

#define TRIES		100	/* against others who make and remove it */
#define DIRECTORY	"/dev/shm"
#define PREFIX		"sem."
#define PATH_SIZE	(sizeof DIRECTORY + sizeof PREFIX + IPC__NAME_MAX)

#ifdef __GLIBC__

static void
posix_path(const char *name, char *path, size_t size)
{
	snprintf(path, size, DIRECTORY "/" PREFIX "%s", name);
}

static int
posix_fill(int fd, const struct ipc__address *a)
{
	sem_t sem;

	memset(&sem, 0, sizeof sem);
	if (sem_init(&sem, 1, a->opt.value) == -1)
		return ipc__fail_sys("sem_init");
	return ipc__whole_write(fd, &sem, sizeof sem);
}

/* -EEXIST, without a text: there is one of this name by now. */
static int
posix_make(const struct ipc__address *a, const char *name)
{
	char path[PATH_SIZE];

	posix_path(name, path, sizeof path);
	return ipc__whole_file(a, path, posix_fill);
}

/* The C library maps it without a look at its size, which is another one where
 * it was made by a program of another word size: there the value lies elsewhere
 * in it. */
static int
posix_check(const char *name)
{
	char path[PATH_SIZE];
	struct stat st;

	posix_path(name, path, sizeof path);
	if (stat(path, &st) == 0 && st.st_size != (off_t)sizeof(sem_t))
		return ipc__fail(EBADMSG, "%s has %jd bytes, not %zu: it is no "
		    "semaphore, or that of a program of another word size",
		    path, (intmax_t)st.st_size, sizeof(sem_t));
	return 0;
}

#else

static int
posix_make(const struct ipc__address *a, const char *name)
{
	sem_t *sem;

	(void)name;
	sem = sem_open(a->name, O_CREAT | O_EXCL, a->opt.mode, a->opt.value);
	if (sem == SEM_FAILED)
		return errno == EEXIST ? -EEXIST : ipc__fail_sys("sem_open");
	sem_close(sem);
	return 0;
}

static int
posix_check(const char *name)
{
	(void)name;
	return 0;
}

#endif

/*
 * Using
 */

/*
 * Is the value the lower half of the word that it begins with, and who waits
 * counted in the upper half?  So it has been in the GNU C library since 2.21 on
 * machines of 64 bits, and must stay, as programs with all of its versions
 * share semaphores in memory.  Still it is tried.
 */
static bool
word_is_known(void)
{
#if defined(__GLIBC__) && defined(__LP64__)
	union {
		sem_t		sem;
		uint64_t	word;
	} u;
	bool known;

	memset(&u, 0, sizeof u);
	if (!__GLIBC_PREREQ(2, 21) || sem_init(&u.sem, 1, 5) == -1)
		return false;
	known = u.word == 5 && sem_post(&u.sem) == 0 && u.word == 6 &&
	    sem_trywait(&u.sem) == 0 && u.word == 5;
	sem_destroy(&u.sem);
	return known;
#else
	return false;
#endif
}

void
ipc__sem_use(struct ipc_sem *s, sem_t *sem)
{
	s->posix = sem;
	s->word = word_is_known() ? (_Atomic uint64_t *)(void *)sem : NULL;
}

static int
posix_get(struct ipc_sem *s, const char *name)
{
	char slashed[IPC__NAME_MAX + 2];
	sem_t *sem;
	int rc;

	snprintf(slashed, sizeof slashed, "/%s", name);
	rc = posix_check(name);
	if (rc < 0)
		return rc;
	sem = sem_open(slashed, 0);
	if (sem == SEM_FAILED)
		return errno == ENOENT ? -ENOENT : ipc__fail_sys("sem_open");
	ipc__sem_use(s, sem);
	return 0;
}

static int
posix_open(struct ipc_sem *s, const struct ipc__address *a, int flags)
{
	const char *name;
	bool made = false;
	int i, rc;

	rc = ipc__sync_posix_name(a, &name);
	if (rc < 0)
		return rc;
	for (i = 0; i < TRIES; i++) {
		/* Who wants to make it must not take what is there. */
		rc = flags & IPC_EXCLUSIVE && !made ? -ENOENT :
		    posix_get(s, name);
		if (rc != -ENOENT)
			return rc;
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such semaphore");
		rc = posix_make(a, name);
		if (rc == -EEXIST && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (rc < 0 && rc != -EEXIST)
			return rc;
		made = rc == 0;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

static int
posix_sleep(sem_t *sem, int timeout)
{
	int64_t end = ipc__deadline(timeout);
	struct timespec ts = { .tv_sec = (time_t)(end / 1000000000),
	    .tv_nsec = (long)(end % 1000000000) };
	int rc;

	do
		rc = timeout < 0 ? sem_wait(sem) :
		    sem_clockwait(sem, CLOCK_MONOTONIC, &ts);
	while (rc == -1 && errno == EINTR);
	if (rc == 0)
		return 0;
	return errno == ETIMEDOUT ? -ETIMEDOUT : ipc__fail_sys("sem_wait");
}

/* sem.c has tried once. */
static int
posix_wait(struct ipc_sem *s, int timeout)
{
	return timeout == 0 ? -EAGAIN : posix_sleep(s->posix, timeout);
}

/* All or none, but for what others give meanwhile. */
static int
posix_post(struct ipc_sem *s, unsigned count)
{
	int n = 0;

	if (sem_getvalue(s->posix, &n) == 0 && n > 0 &&
	    count > (unsigned)(INT_MAX - n))
		return ipc__fail(EOVERFLOW, "the value would exceed %d "
		    "(SEM_VALUE_MAX)", INT_MAX);
	for (; count > 0; count--)
		if (sem_post(s->posix) == -1)
			return ipc__fail(errno, "sem_post: the value would "
			    "exceed %d (SEM_VALUE_MAX)", INT_MAX);
	return 0;
}

static int
posix_value(struct ipc_sem *s, unsigned *value)
{
	int n;

	if (sem_getvalue(s->posix, &n) == -1)
		return ipc__fail_sys("sem_getvalue");
	*value = n > 0 ? (unsigned)n : 0;
	return 0;
}

static void
posix_close(struct ipc_sem *s)
{
	sem_close(s->posix);
}

static int
posix_unlink(const struct ipc__address *a)
{
	char slashed[IPC__NAME_MAX + 2];
	const char *name;
	int rc = ipc__sync_posix_name(a, &name);

	if (rc < 0)
		return rc;
	snprintf(slashed, sizeof slashed, "/%s", name);
	return sem_unlink(slashed) == 0 ? 0 : ipc__fail_sys("sem_unlink");
}

const struct ipc__sem_ops ipc__sem_posix = {
	.size = sizeof(struct ipc_sem),
	.open = posix_open,
	.wait = posix_wait,
	.post = posix_post,
	.value = posix_value,
	.close = posix_close,
	.unlink = posix_unlink
};

/*
 * Without a name
 */

static void
inner_close(struct ipc_sem *s)
{
	(void)s;	/* it is the region's */
}

const struct ipc__sem_ops ipc__sem_inner = {
	.size = sizeof(struct ipc_sem),
	.wait = posix_wait,
	.post = posix_post,
	.value = posix_value,
	.close = inner_close
};
