/* SPDX-License-Identifier: ISC */
/*
 * Reading and writing a journal (see journal.h).
 *
 * Everything is pread and pwrite, never a mapping: whoever may cut the file
 * could kill a process that has it mapped.  A record is appended by one
 * pwritev.  A process that is killed in it leaves the beginning of the record
 * at the end of the file; so does a full disk, if the writer is killed before
 * it has cut the file back.  A machine that stops may leave zeros there, or a
 * last record whose bytes never reached the disk.  All this is a torn tail:
 * the next writer cuts it off, and until then a reader takes it for the end.
 * Anything else that is no record is damage, which nobody repairs by throwing
 * away what is behind it.
 *
 * While a writer cuts off a tail and appends, a read can return some of the
 * old bytes and some of the new.  So what looks wrong is read anew before it
 * is called so.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "crc32c.h"
#include "frame.h"
#include "journal.h"
#include "wholefile.h"

_Static_assert(sizeof(off_t) == 8, "-D_FILE_OFFSET_BITS=64 is missing");

#define WINDOW		65536	/* read at once */
#define GLANCE		4096	/* where a header alone is wanted */
#define TRIES		3

/*
 * Writing
 */

static int
fail_write(size_t size, uint64_t at)
{
	int error = errno;

	if (error == ENOSPC || error == EDQUOT)
		return ipc__fail(error, "no room on the disk for %zu bytes at "
		    "%" PRIu64 " of the file: %s", size, at,
		    ipc_strerror(error));
	return ipc__fail_sys("pwritev");
}

int
ipc__journal_write(int fd, const struct iovec *iov, int count, size_t size,
    uint64_t at)
{
	struct iovec rest[IPC__JOURNAL_IOVS];
	size_t done = 0, got;
	ssize_t n;
	int rc;

	if ((rc = ipc__whole_limit(at + size)) < 0)
		return rc;
	while (done < size) {
		if (done > 0) {	/* less than all: the next one says why */
			count = ipc__slice(rest, IPC__JOURNAL_IOVS, iov, count,
			    done, size - done, &got);
			return ipc__journal_write(fd, rest, count, size - done,
			    at + done);
		}
		n = pwritev(fd, iov, count, (off_t)at);
		if (n == -1 && errno != EINTR)
			return fail_write(size, at);
		if (n == 0)
			return ipc__fail(EIO, "pwritev: nothing was written");
		if (n > 0)
			done = (size_t)n;
	}
	return 0;
}

int
ipc__journal_begin(struct ipc__journal *j)
{
	unsigned char p[IPC__JOURNAL_HEADER];
	struct iovec iov = { p, sizeof p };
	uint64_t id;
	int rc;

	arc4random_buf(&id, sizeof id);
	ipc__journal_put_header(p, id);
	rc = ipc__journal_write(j->fd, &iov, 1, sizeof p, 0);
	if (rc < 0)
		return rc;
	j->id = id;
	j->at = IPC__JOURNAL_HEADER;
	return 0;
}

/*
 * Reading
 */

static ssize_t
read_at(int fd, void *data, size_t size, uint64_t at)
{
	ssize_t n;

	if (at > (uint64_t)INT64_MAX - size)
		return 0;
	do
		n = pread(fd, data, size, (off_t)at);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -errno : n;
}

static int
make_room(struct ipc__journal *j, size_t size)
{
	unsigned char *p;

	if (size < WINDOW)
		size = WINDOW;
	if (j->room >= size)
		return 0;
	p = realloc(j->data, size);
	if (p == NULL)
		return -ENOMEM;
	j->data = p;
	j->room = size;
	return 0;
}

/* Reads until there are n bytes behind base, or the file ends. */
static ssize_t
fill_up(struct ipc__journal *j, size_t n, size_t most)
{
	ssize_t got;

	while (j->fill < n) {
		got = read_at(j->fd, j->data + j->fill, most - j->fill,
		    j->base + j->fill);
		if (got <= 0)
			return got < 0 ? got : (ssize_t)j->fill;
		j->fill += (size_t)got;
	}
	return (ssize_t)j->fill;
}

/* The bytes of the file from at on, where *p says: n of them, or all that there
 * are.  Returns how many; they stay there until the next call. */
static ssize_t
need(struct ipc__journal *j, uint64_t at, size_t n, const unsigned char **p)
{
	bool jump = j->fill > 0 && at > j->base + j->fill;
	size_t kept = 0, most;
	int rc;

	if (at >= j->base && at <= j->base + j->fill)
		kept = (size_t)(j->base + j->fill - at);
	if (kept < n && (rc = make_room(j, n)) < 0)
		return rc;
	*p = j->data + (j->fill - kept);
	if (kept >= n)
		return (ssize_t)kept;
	if (kept > 0)
		memmove(j->data, *p, kept);
	*p = j->data;
	j->base = at;
	j->fill = kept;
	most = jump && n < GLANCE ? GLANCE : j->room;
	return fill_up(j, n, most);
}

static void
drop(struct ipc__journal *j)
{
	j->fill = 0;
}

int
ipc__journal_known(struct ipc__journal *j)
{
	unsigned char p[IPC__JOURNAL_HEADER];
	ssize_t n;
	int rc;

	n = read_at(j->fd, p, sizeof p, 0);
	if (n < 0)
		return ipc__fail((int)-n, "reading the header of the journal: "
		    "%s", ipc_strerror((int)n));
	rc = ipc__journal_get_header(p, (size_t)n, &j->id);
	if (rc == -EPROTO)
		return ipc__fail(EPROTO, "this is no journal, or one of "
		    "another version");
	if (rc == -EBADMSG)
		return ipc__fail(EBADMSG, "the header of the journal is "
		    "damaged");
	return rc;
}

/* Is there so much of the file, before memory is found for it? */
static int
is_there(struct ipc__journal *j, size_t total)
{
	struct stat st;

	if (fstat(j->fd, &st) == -1)
		return -errno;
	return (uint64_t)st.st_size >= j->at + total ? 0 : -EAGAIN;
}

/* *from: behind the record, or what may be left of its header. */
static ssize_t
look_once(struct ipc__journal *j, const void **data, struct ipc__record *r,
    uint64_t *from)
{
	const unsigned char *p;
	size_t total;
	ssize_t n;
	int rc;

	*from = j->at + IPC__JOURNAL_RECORD;
	n = need(j, j->at, IPC__JOURNAL_RECORD, &p);
	if (n < IPC__JOURNAL_RECORD)
		return n < 0 ? n : -EAGAIN;
	if (!ipc__record_get(p, j->id, j->at, r))
		return -EBADMSG;
	total = IPC__JOURNAL_RECORD + (size_t)r->length;
	*from = j->at + total;
	if ((size_t)n < total && (rc = is_there(j, total)) < 0)
		return rc;
	if (r->length > j->limit)
		return -EMSGSIZE;
	n = need(j, j->at, total, &p);
	if (n < (ssize_t)total)
		return n < 0 ? n : -EAGAIN;
	*data = p + IPC__JOURNAL_RECORD;
	if (ipc__crc32c(0, *data, r->length) != r->sum)
		return -EBADMSG;
	return r->length;
}

/* Are there only zeros from there to the end of the file?  For a reader, who
 * must not look through terabytes of them: as far as one read shows. */
static int
only_zeros(struct ipc__journal *j, uint64_t from)
{
	const unsigned char *p;
	ssize_t n, i;

	drop(j);
	n = need(j, from, WINDOW, &p);
	for (i = 0; i < n && p[i] == 0; i++)
		;
	drop(j);
	return n < 0 ? (int)n : i == n;
}

ssize_t
ipc__journal_look(struct ipc__journal *j, const void **data,
    struct ipc__record *r)
{
	ssize_t n = -EBADMSG;
	uint64_t from = 0;
	int i;

	for (i = 0; n == -EBADMSG && i < TRIES; i++) {
		n = look_once(j, data, r, &from);
		if (n < 0)
			drop(j);	/* old bytes go with no new ones */
	}
	if (n == -EBADMSG && (i = only_zeros(j, from)) != 0)
		return i < 0 ? i : -EAGAIN;
	return n;
}

void
ipc__journal_step(struct ipc__journal *j, const struct ipc__record *r)
{
	j->at += IPC__JOURNAL_RECORD + (uint64_t)r->length;
}

/*
 * Finding the end
 */

static bool
this_boot(char boot[IPC__JOURNAL_BOOT])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd != -1) {
		n = read(fd, boot, IPC__JOURNAL_BOOT);
		close(fd);
	}
	return n == IPC__JOURNAL_BOOT;
}

void
ipc__journal_mark(struct ipc__journal *j)
{
	unsigned char p[IPC__JOURNAL_MARK_SIZE];
	struct iovec iov = { p, sizeof p };
	char boot[IPC__JOURNAL_BOOT];
	struct ipc__error before;

	if (!this_boot(boot))
		return;
	ipc__error_keep(&before);
	ipc__mark_put(p, j->id, j->at, boot);
	(void)ipc__journal_write(j->fd, &iov, 1, sizeof p, IPC__JOURNAL_MARK);
	ipc__error_restore(&before);
}

/* The mark, if it can be relied on; else where the records begin. */
static uint64_t
begin_at(struct ipc__journal *j, uint64_t size)
{
	unsigned char p[IPC__JOURNAL_MARK_SIZE];
	char boot[IPC__JOURNAL_BOOT];
	uint64_t at;

	if (this_boot(boot) && read_at(j->fd, p, sizeof p,
	    IPC__JOURNAL_MARK) == sizeof p &&
	    ipc__mark_get(p, j->id, &at, boot) &&
	    at >= IPC__JOURNAL_HEADER && at <= size)
		return at;
	return IPC__JOURNAL_HEADER;
}

/* Goes from header to header; *last: where the last whole record begins, 0:
 * there was none.  1: what is at j->at has a header and no end. */
static int
walk(struct ipc__journal *j, uint64_t size, uint64_t *last,
    struct ipc__record *r)
{
	struct ipc__record next;
	const unsigned char *p;
	ssize_t n;

	*last = 0;
	while (j->at + IPC__JOURNAL_RECORD <= size) {
		n = need(j, j->at, IPC__JOURNAL_RECORD, &p);
		if (n < 0)
			return (int)n;
		if (n < IPC__JOURNAL_RECORD ||
		    !ipc__record_get(p, j->id, j->at, &next))
			return 0;
		if (next.length > size - j->at - IPC__JOURNAL_RECORD)
			return 1;
		*last = j->at;
		*r = next;
		ipc__journal_step(j, r);
	}
	return 0;
}

/* 1: its payload is as it was written. */
static int
is_sound(struct ipc__journal *j, uint64_t at, const struct ipc__record *r)
{
	uint64_t place = at + IPC__JOURNAL_RECORD;
	uint32_t left = r->length, sum = 0, part;
	const unsigned char *p;
	ssize_t n;

	for (; left > 0; left -= part, place += part) {
		n = need(j, place, 1, &p);
		if (n <= 0)
			return (int)n;
		part = (size_t)n < left ? (uint32_t)n : left;
		sum = ipc__crc32c(sum, p, part);
	}
	return sum == r->sum;
}

/* The same as only_zeros(), to the very end; a hole is passed over. */
static int
all_zeros(struct ipc__journal *j, uint64_t from, uint64_t size)
{
	off_t next;
	int rc = 1;

	while (from < size && rc == 1) {
		next = lseek(j->fd, (off_t)from, SEEK_DATA);
		if (next == -1 && errno == ENXIO)
			return 1;
		if (next > (off_t)from)
			from = (uint64_t)next;
		rc = only_zeros(j, from);
		from += WINDOW;
	}
	return rc;
}

static int
fail_damaged(const struct ipc__journal *j, uint64_t size)
{
	return ipc__fail(EBADMSG, "the journal is damaged: there is no whole "
	    "record at byte %" PRIu64 ", and what lies there (%" PRIu64
	    " bytes) is no torn tail; nothing was cut off", j->at,
	    size - j->at);
}

static int
fail_read(int rc)
{
	return ipc__fail(-rc, "reading the journal: %s", ipc_strerror(rc));
}

int
ipc__journal_end(struct ipc__journal *j, uint64_t size, bool *torn)
{
	uint64_t last, from;
	struct ipc__record r = { 0 };
	int rc, sound = 1;

	*torn = false;
	j->at = begin_at(j, size);
	rc = walk(j, size, &last, &r);
	if (rc >= 0 && last > 0)
		sound = is_sound(j, last, &r);
	if (rc < 0 || sound < 0)
		return fail_read(rc < 0 ? rc : sound);
	from = rc == 1 ? size : j->at + IPC__JOURNAL_RECORD;
	if (!sound) {
		from = j->at;
		j->at = last;
	}
	drop(j);
	if (j->at >= size)
		return 0;
	*torn = true;
	rc = all_zeros(j, from, size);
	if (rc < 0)
		return fail_read(rc);
	return rc == 1 ? 0 : fail_damaged(j, size);
}

int
ipc__journal_repair(struct ipc__journal *j, uint64_t size)
{
	bool torn;
	int rc;

	rc = ipc__journal_end(j, size, &torn);
	if (rc == 0 && torn && ftruncate(j->fd, (off_t)j->at) == -1)
		rc = ipc__fail_sys("ftruncate");
	return rc;
}

void
ipc__journal_free(struct ipc__journal *j)
{
	free(j->data);
	j->data = NULL;
	j->room = j->fill = 0;
}
