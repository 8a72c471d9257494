/* SPDX-License-Identifier: ISC */
/*
 * Locks on files.  A forked child has a copy of its parent's descriptor and
 * would hold on to its parent's lock, so it replaces it by a description of its
 * own.
 *
 * A file that the library made holds one line, in which an owner who is alone
 * leaves a mark as long as it is inside: so the next one learns that it died.
 * What was there before is only locked and never written to, and then nobody
 * learns that.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "lockfile.h"
#include "wholefile.h"

#define LINE		"libipc lock -\n"
#define MARK_AT		12
#define FREE		'-'
#define INSIDE		'L'
#define TRIES		100	/* against others who make and remove it */
#define FIRST_PAUSE_NS	50000
#define LAST_PAUSE_NS	5000000

/*
 * Opening
 */

static int
file_look(struct ipc__lockfile *f)
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
	return f->marked ? ipc__whole_limit(sizeof LINE - 1) : 0;
}

static int
file_fill(int fd, const struct ipc__address *a)
{
	(void)a;
	return ipc__whole_write(fd, LINE, sizeof LINE - 1);
}

static int
file_get(struct ipc__lockfile *f, const struct ipc__address *a)
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

int
ipc__lockfile_open(struct ipc__lockfile *f, const struct ipc__address *a,
    int flags)
{
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

void
ipc__lockfile_close(struct ipc__lockfile *f)
{
	if (f->fd != -1)
		close(f->fd);
}

void
ipc__lockfile_forked(struct ipc__lockfile *f)
{
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

int
ipc__lockfile_unlink(const struct ipc__address *a)
{
	return unlink(a->name) == 0 ? 0 : ipc__fail_path("unlink", a->name);
}

/*
 * Locking
 */

static int
file_do(int fd, int command, struct ipc__lockrange range, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET,
	    .l_start = range.start, .l_len = range.len };
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
int
ipc__lockfile_take(const struct ipc__lockfile *f, struct ipc__lockrange range,
    short type, int64_t deadline)
{
	struct timespec pause = { .tv_nsec = FIRST_PAUSE_NS };
	int rc;

	if (f->fd == -1)
		return ipc__fail(EBADF, "this process was forked and could not "
		    "open the file for itself");
	if (deadline < 0)
		return file_do(f->fd, F_OFD_SETLKW, range, type);
	for (;;) {
		rc = file_do(f->fd, F_OFD_SETLK, range, type);
		if (rc != -EAGAIN || deadline == 0)
			return rc;
		if (ipc__now() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < LAST_PAUSE_NS)
			pause.tv_nsec *= 2;
	}
}

int
ipc__lockfile_release(const struct ipc__lockfile *f,
    struct ipc__lockrange range)
{
	return file_do(f->fd, F_OFD_SETLK, range, F_UNLCK);
}

/* What can not be known is not. */
bool
ipc__lockfile_closed(const struct ipc__lockfile *f,
    struct ipc__lockrange range)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
	    .l_start = range.start, .l_len = range.len };

	return fcntl(f->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/*
 * The mark
 */

int
ipc__lockfile_hurt(const struct ipc__lockfile *f)
{
	char mark = FREE;

	if (f->marked && pread(f->fd, &mark, 1, MARK_AT) == -1)
		return ipc__fail_sys("read");
	return mark == INSIDE;
}

static int
file_mark(const struct ipc__lockfile *f, char mark)
{
	ssize_t n = 1;

	if (f->marked)
		n = pwrite(f->fd, &mark, 1, MARK_AT);
	if (n == 0)
		errno = ENOSPC;
	return n == 1 ? 0 : ipc__fail_sys("write");
}

int
ipc__lockfile_enter(const struct ipc__lockfile *f)
{
	int rc = ipc__lockfile_hurt(f);

	return rc != 0 ? rc : file_mark(f, INSIDE);
}

int
ipc__lockfile_leave(const struct ipc__lockfile *f)
{
	return file_mark(f, FREE);
}
