/* SPDX-License-Identifier: ISC */
/*
 * The writer of a journal.  There is one: a lock on the file, which the kernel
 * lets go when its last holder closes or dies, says so.
 *
 * A record is there when pwritev has returned.  If that fails half-way, the
 * file is cut back to where it was; if the process dies half-way, the next
 * writer does it.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "journallog.h"

#define MARK_EVERY	(4u << 20)	/* bytes */

static int
hold(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return ipc__fail(EBUSY, "another one writes this journal");
	return ipc__fail_sys("fcntl F_OFD_SETLK");
}

/* -ESTALE: the name is another file's by now. */
static int
check_name(const struct ipc__log *l, struct stat *ours)
{
	struct stat named;

	if (fstat(l->j.fd, ours) == -1)
		return ipc__fail_sys("fstat");
	if (lstat(l->path, &named) == -1 || named.st_ino != ours->st_ino ||
	    named.st_dev != ours->st_dev)
		return -ESTALE;
	return 0;
}

/* Whoever else wrote, cut or removed it, it is not ours any more. */
static int
check_file(const struct ipc__log *l)
{
	struct stat st;

	if (fstat(l->j.fd, &st) == -1)
		return ipc__fail_sys("fstat");
	if (st.st_nlink == 0)
		return ipc__fail(ESTALE, "the journal was removed");
	if ((uint64_t)st.st_size != l->j.at)
		return ipc__fail(ESTALE, "somebody else has changed the "
		    "journal: it has %" PRIu64 " bytes, not %" PRIu64,
		    (uint64_t)st.st_size, l->j.at);
	return 0;
}

/* An empty file, or one whose maker did not get far: a journal from now on. */
static int
begin(struct ipc__log *l)
{
	int rc;

	if (ftruncate(l->j.fd, 0) == -1)
		return ipc__fail_sys("ftruncate");
	rc = ipc__journal_begin(&l->j);
	l->marked = l->j.at;
	return rc;
}

int
ipc__log_start_writing(struct ipc__log *l)
{
	struct stat st;
	int rc;

	rc = hold(l->j.fd);
	if (rc < 0)
		return rc;
	rc = check_name(l, &st);
	if (rc < 0)
		return rc;
	rc = ipc__journal_known(&l->j);
	if (rc == -EAGAIN)
		return begin(l);
	if (rc == 0)
		rc = ipc__journal_repair(&l->j, (uint64_t)st.st_size);
	l->marked = l->j.at;
	return rc;
}

void
ipc__log_stop_writing(struct ipc__log *l)
{
	struct ipc__error before;

	ipc__error_keep(&before);
	if (!l->dirty && l->j.at != l->marked && check_file(l) == 0)
		ipc__journal_mark(&l->j);
	ipc__error_restore(&before);
}

/* After a write that failed, nothing of it may stay. */
static int
clean(struct ipc__log *l)
{
	if (!l->dirty)
		return 0;
	if (ftruncate(l->j.fd, (off_t)l->j.at) == -1)
		return ipc__fail_sys("ftruncate");
	l->dirty = false;
	return 0;
}

static int
check_room(const struct ipc__log *l, size_t size)
{
	if (l->capacity == 0 || l->j.at + size <= l->capacity)
		return 0;
	return ipc__fail(ENOSPC, "the journal would exceed its %" PRIu64
	    " bytes (capacity)", l->capacity);
}

static int
check_size(const struct ipc__log *l, ssize_t n, int count)
{
	if (n < 0 || (size_t)n > l->j.limit)
		return ipc__fail(EMSGSIZE, "a message longer than %zu bytes",
		    l->j.limit);
	if (count >= IPC__JOURNAL_IOVS)
		return ipc__fail(EINVAL, "a message of more than %d parts",
		    IPC__JOURNAL_IOVS - 1);
	return 0;
}

ssize_t
ipc__log_append(struct ipc__log *l, const struct iovec *iov, int count)
{
	unsigned char head[IPC__JOURNAL_RECORD];
	struct iovec all[IPC__JOURNAL_IOVS] = { { head, sizeof head } };
	ssize_t n = ipc__iov_size(iov, count);
	struct ipc__record r = { 0 };
	size_t size;
	int rc;

	if ((rc = check_size(l, n, count)) < 0)
		return rc;
	size = sizeof head + (size_t)n;
	if ((rc = clean(l)) < 0 || (rc = check_file(l)) < 0 ||
	    (rc = check_room(l, size)) < 0)
		return rc;
	r.length = (uint32_t)n;
	r.sum = ipc__record_sum(iov, count);
	ipc__record_put(head, l->j.id, l->j.at, &r);
	if (count > 0)
		memcpy(all + 1, iov, (size_t)count * sizeof *iov);
	l->dirty = true;
	rc = ipc__journal_write(l->j.fd, all, count + 1, size, l->j.at);
	if (rc < 0) {
		struct ipc__error why;

		ipc__error_keep(&why);
		(void)clean(l);
		ipc__error_restore(&why);
		return rc;
	}
	l->dirty = false;
	ipc__journal_step(&l->j, &r);
	if (l->j.at - l->marked >= MARK_EVERY) {
		ipc__journal_mark(&l->j);
		l->marked = l->j.at;
	}
	return n;
}
