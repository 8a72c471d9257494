/* SPDX-License-Identifier: ISC */
/*
 * One lock per name.  It is flock(2) on a file of the runtime directory, which
 * the kernel lets go when its holder dies, and whose holder removes it.  So
 * whoever has got a lock looks whether the file is still the one of that name:
 * if not, it was removed meanwhile, another one may be locked by now, and the
 * whole begins again.  Only a holder removes a file, hence two holders of one
 * name never are.
 *
 * A child that is forked meanwhile shares the lock until it closes or execs.
 * Unlocking frees it all the same, but the holder's death does not, and so
 * nobody may hold one across anything long.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define LOCK_DIR	"locks"
#define WAIT_NS		INT64_C(1000000000)	/* then it is -EBUSY */
#define FIRST_PAUSE_NS	50000
#define LAST_PAUSE_NS	10000000
#define TAIL_MAX	48	/* of the name, for people who look */

/* FNV-1a.  Two names of one hash and one tail would share a lock, which is
 * slow and not wrong. */
static uint64_t
hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

static void
file_of(const char *name, char *file, size_t size)
{
	size_t length = strlen(name);
	const char *tail = name + (length > TAIL_MAX ? length - TAIL_MAX : 0);
	char *s;

	snprintf(file, size, "%016" PRIx64 "-%s", hash(name), tail);
	for (s = file; *s != '\0'; s++)
		if (!(*s >= '0' && *s <= '9') && !(*s >= 'a' && *s <= 'z') &&
		    !(*s >= 'A' && *s <= 'Z') && strchr("-_.", *s) == NULL)
			*s = '_';
}

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Is the file that is open still the one of this name? */
static bool
still_named(int fd, int dir, const char *file)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 &&
	    fstatat(dir, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Under this name there may be another file, if the environment names another
 * directory by now. */
static void
remove_and_close(int lock, int dir, const char *file)
{
	if (dir >= 0 && still_named(lock, dir, file))
		unlinkat(dir, file, 0);
	flock(lock, LOCK_UN);
	close(lock);
}

/* One attempt.  -EAGAIN: somebody holds it; -ESTALE: it was removed while we
 * got it. */
static int
try_lock(int dir, const char *file, int flags)
{
	int fd, rc;

	fd = openat(dir, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	if (fd == -1)
		return errno == ENOENT ? -ESTALE :
		    ipc__fail_path("open lock file", file);
	if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		rc = errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN :
		    ipc__fail_path("flock", file);
	else
		rc = still_named(fd, dir, file) ? fd : -ESTALE;
	if (rc < 0)
		close(fd);
	return rc;
}

/* The directory goes with the last lock in it, and so may go under us. */
static int
open_and_try(const char *file)
{
	char path[IPC__PATH_MAX];
	int dir, rc;

	dir = ipc__runtime_open(LOCK_DIR, true, path, sizeof path);
	if (dir < 0)
		return dir;
	rc = try_lock(dir, file, O_CREAT);
	close(dir);
	return rc;
}

int
ipc__name_lock(const char *name)
{
	char file[24 + TAIL_MAX];
	int64_t end = now() + WAIT_NS;
	struct timespec pause = { 0, FIRST_PAUSE_NS };
	int rc;

	file_of(name, file, sizeof file);
	for (;;) {
		rc = open_and_try(file);
		if (rc != -EAGAIN && rc != -ESTALE)
			return rc;
		if (now() >= end)
			return ipc__fail(EBUSY, "%s: somebody has been holding "
			    "its lock (%s) for a second", name, file);
		if (rc == -ESTALE)
			continue;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < LAST_PAUSE_NS)
			pause.tv_nsec *= 2;
	}
}

void
ipc__name_unlock(int lock, const char *name)
{
	char file[24 + TAIL_MAX], path[IPC__PATH_MAX];
	struct ipc__error before;
	int dir;

	ipc__error_keep(&before);
	file_of(name, file, sizeof file);
	dir = ipc__runtime_open(LOCK_DIR, false, path, sizeof path);
	remove_and_close(lock, dir, file);
	if (dir >= 0) {
		close(dir);
		rmdir(path);
	}
	ipc__error_restore(&before);
}

/* Nobody holds a lock that can be had at once. */
static int
sweep_in(int dir, DIR *d, ipc__told *told, void *user)
{
	struct dirent *e;
	int lock, swept = 0;

	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		lock = try_lock(dir, e->d_name, 0);
		if (lock < 0)
			continue;
		if (ipc__may_go(told, e->d_name, user)) {
			remove_and_close(lock, dir, e->d_name);
			swept++;
		} else
			close(lock);
	}
	return swept;
}

int
ipc__lock_sweep(ipc__told *told, void *user)
{
	char path[IPC__PATH_MAX];
	int dir, rc;
	DIR *d;

	dir = ipc__runtime_open(LOCK_DIR, false, path, sizeof path);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	d = fdopendir(dir);
	if (d == NULL) {
		rc = ipc__fail_path("fdopendir", path);
		close(dir);
		return rc;
	}
	rc = sweep_in(dir, d, told, user);
	closedir(d);
	rmdir(path);
	return rc;
}
