/* SPDX-License-Identifier: ISC */
/*
 * filelock: an OFD lock on a whole file, which the kernel lets go when the last
 * copy of its descriptor is closed.  A forked child has such a copy and would
 * hold on to its parent's lock, so it replaces it by a description of its own.
 *
 * A file that the library made holds one line, in which the owner leaves a mark
 * as long as it is inside: so the next one learns that it died.  What was there
 * before is only locked and never written to, and then nobody learns that.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "mutex.h"
#include "wholefile.h"

#define LINE		"libipc lock -\n"
#define MARK_AT		12
#define FREE		'-'
#define INSIDE		'L'
#define TRIES		100	/* against others who make and remove it */
#define FIRST_PAUSE_NS	50000
#define LAST_PAUSE_NS	5000000

struct file_mutex {
	struct ipc_mutex m;
	int		 fd;
	bool		 marked;	/* it has our line */
};

static struct file_mutex *
file_state(struct ipc_mutex *m)
{
	return (struct file_mutex *)(void *)m;
}

/*
 * Opening
 */

static int
file_look(struct file_mutex *f)
{
	char line[sizeof LINE];
	struct stat st;
	ssize_t n;

	if (fstat(f->fd, &st) == -1)
		return ipc__fail_sys("stat");
	if (!S_ISREG(st.st_mode))
		return ipc__fail(EPROTOTYPE, "it is no plain file");
	n = pread(f->fd, line, sizeof line, 0);
	if (n == -1)
		return ipc__fail_sys("read");
	f->marked = n == sizeof LINE - 1 && memcmp(line, LINE, MARK_AT) == 0 &&
	    (line[MARK_AT] == FREE || line[MARK_AT] == INSIDE);
	return 0;
}

static int
file_fill(int fd, const struct ipc__address *a)
{
	(void)a;
	return ipc__whole_write(fd, LINE, sizeof LINE - 1);
}

static int
file_get(struct file_mutex *f, const struct ipc__address *a)
{
	int rc;

	f->fd = open(a->name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (f->fd == -1)
		return errno == ENOENT ? -ENOENT :
		    ipc__fail_path("open", a->name);
	rc = file_look(f);
	if (rc < 0)
		close(f->fd);
	return rc;
}

static int
file_open(struct ipc_mutex *m, const struct ipc__address *a, int flags)
{
	struct file_mutex *f = file_state(m);
	bool made = false;
	int rc;

	for (int i = 0; i < TRIES; i++) {
		rc = flags & IPC_EXCLUSIVE && !made ? -ENOENT : file_get(f, a);
		if (rc != -ENOENT)
			return rc;
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such file");
		rc = ipc__whole_file(a, a->name, file_fill);
		if (rc == -EEXIST && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (rc < 0 && rc != -EEXIST)
			return rc;
		made = rc == 0;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

/*
 * Locking
 */

static int
file_do(int fd, int command, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	int rc;

	do
		rc = fcntl(fd, command, &lock);
	while (rc == -1 && errno == EINTR);
	if (rc == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EAGAIN :
	    ipc__fail_sys("fcntl(F_OFD_SETLK)");
}

/* The kernel has no wait for it that ends in time, so it is asked again, ever
 * more rarely. */
static int
file_take(int fd, int64_t deadline)
{
	struct timespec pause = { .tv_nsec = FIRST_PAUSE_NS };
	int rc;

	if (deadline < 0)
		return file_do(fd, F_OFD_SETLKW, F_WRLCK);
	for (;;) {
		rc = file_do(fd, F_OFD_SETLK, F_WRLCK);
		if (rc != -EAGAIN || deadline == 0)
			return rc;
		if (ipc__now() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < LAST_PAUSE_NS)
			pause.tv_nsec *= 2;
	}
}

static int
file_mark(const struct file_mutex *f, char mark)
{
	ssize_t n = pwrite(f->fd, &mark, 1, MARK_AT);

	if (n == 0)
		errno = ENOSPC;
	return n == 1 ? 0 : ipc__fail_sys("write");
}

/* 1: the last owner is still inside, and so is dead. */
static int
file_enter(const struct file_mutex *f)
{
	char mark = FREE;

	if (pread(f->fd, &mark, 1, MARK_AT) == -1)
		return ipc__fail_sys("read");
	return mark == INSIDE ? 1 : file_mark(f, INSIDE);
}

static int
file_lock(struct ipc_mutex *m, int64_t deadline)
{
	struct file_mutex *f = file_state(m);
	int rc;

	if (f->fd == -1)
		return ipc__fail(EBADF, "this process was forked and could not "
		    "open the file for itself");
	rc = file_take(f->fd, deadline);
	if (rc == 0 && f->marked)
		rc = file_enter(f);
	else
		return rc;
	if (rc < 0)
		(void)file_do(f->fd, F_OFD_SETLK, F_UNLCK);
	return rc == 1 ? -EOWNERDEAD : rc;
}

static int
file_unlock(struct ipc_mutex *m)
{
	struct file_mutex *f = file_state(m);
	int rc = 0;

	if (f->marked)
		rc = file_mark(f, FREE);
	return rc < 0 ? rc : file_do(f->fd, F_OFD_SETLK, F_UNLCK);
}

static void
file_close(struct ipc_mutex *m)
{
	struct file_mutex *f = file_state(m);

	if (f->fd != -1)
		close(f->fd);
}

/* Only what is safe between fork and exec. */
static void
file_forked(struct ipc_mutex *m)
{
	struct file_mutex *f = file_state(m);
	char path[40];
	int fd;

	if (f->fd == -1)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || dup3(fd, f->fd, O_CLOEXEC) == -1) {
		close(f->fd);
		f->fd = -1;
	}
	if (fd != -1)
		close(fd);
}

static int
file_unlink(const struct ipc__address *a)
{
	return unlink(a->name) == 0 ? 0 : ipc__fail_path("unlink", a->name);
}

const struct ipc__mutex_ops ipc__mutex_file = {
	.size = sizeof(struct file_mutex),
	.open = file_open,
	.lock = file_lock,
	.unlock = file_unlock,
	.close = file_close,
	.forked = file_forked,
	.unlink = file_unlink
};
