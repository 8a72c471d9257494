/* SPDX-License-Identifier: ISC */
/*
 * Links over files (see filelink.h).
 *
 * Both ends count the bytes that have gone through since the beginning; a
 * record lies where the count modulo the size of the file says, going on at
 * the beginning of the file where that ends.  So what was read gives its space
 * to what is written next.
 *
 * What is there is told by two eventfds that both ends hold, and by nothing in
 * the file.  The sender writes a record and then adds its length to `news';
 * the receiver takes the record and then adds its length to `room'.  The
 * kernel adds and fetches at once, and a number that is not zero is the
 * readiness itself.  So
 *
 *   - no record is seen before it is whole: a sender that is killed on any
 *     line before it adds has sent nothing, and after that all of it;
 *   - no space is written to before it was given back;
 *   - no wake-up is lost: there is no flag that says `I sleep', and whoever
 *     fetched nothing can sleep until there is something to fetch;
 *   - a count is fetched into this process's memory and dies with it, which
 *     harms nobody, as nobody else can go on with its end.
 *
 * The receiver believes nothing: more bytes than there is space for, a record
 * that is not for this place of this file, or is longer than what was sent, or
 * a file that was cut, is -EBADMSG from then on.
 */
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filelink.h"
#include "filemake.h"
#include "frame.h"
#include "journal.h"

#define CAPACITY	(UINT64_C(1) << 20)	/* unless capacity= */
#define LEAST		4096
#define MOST		(UINT64_C(1) << 30)	/* the most of capacity= */
#define RECORD		65536	/* longest payload */
#define TICKET		40	/* bytes */

/* A quarter of a small file, so that the two ends can work side by side. */
static size_t
record_of(uint64_t size)
{
	uint64_t most = size / 4 - IPC__JOURNAL_RECORD;

	return most < RECORD ? (size_t)most : RECORD;
}

static void
start(struct ipc__half *h, struct ipc__filelink *l)
{
	h->capacity = (size_t)l->size;
	h->record = record_of(l->size);
}

/*
 * Making one
 */

/* A process that may not write so much gets less, down to what is useless. */
static int
capacity_of(const struct ipc__address *a, uint64_t *size)
{
	struct rlimit limit;

	*size = a->opt.capacity != 0 ? a->opt.capacity : CAPACITY;
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < *size)
		*size = limit.rlim_cur;
	if (*size < LEAST)
		return ipc__fail(EFBIG, "this process may write files of %"
		    PRIu64 " bytes only (RLIMIT_FSIZE); %d are needed", *size,
		    LEAST);
	return 0;
}

/* The name says where; as it would be gone again, it is not used itself.  The
 * receiver's file is open for reading only. */
static int
open_file(const struct ipc__address *a, int fd[2])
{
	struct ipc__new_file file;
	char path[IPC__PATH_MAX];
	int rc;

	if (a->name[0] == '\0') {
		rc = ipc__private_path("file", path, sizeof path);
		if (rc < 0)
			return rc;
	} else if (access(a->name, F_OK) == 0)
		return ipc__fail(EEXIST, "there is something of this name");
	rc = ipc__file_make(&file, a->name[0] != '\0' ? a->name : path);
	if (rc < 0)
		return rc;
	rc = fd[0] = ipc__file_reopen(&file, O_RDONLY);
	fd[1] = ipc__file_nameless(&file);
	return rc < 0 ? rc : 0;
}

static int
make_bell(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd == -1 ? ipc__fail_sys("eventfd") : fd;
}

static int
again(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy == -1 ? ipc__fail_sys("fcntl F_DUPFD_CLOEXEC") : copy;
}

static int
open_all(const struct ipc__address *a, int file[2], struct ipc__filelink *rx,
    struct ipc__filelink *tx)
{
	int rc;

	if ((rc = open_file(a, file)) < 0 ||
	    (rc = rx->news = make_bell()) < 0 ||
	    (rc = rx->room = make_bell()) < 0 ||
	    (rc = tx->news = again(rx->news)) < 0)
		return rc;
	rc = tx->room = again(rx->room);
	return rc < 0 ? rc : 0;
}

static void
close_all(int file[2], struct ipc__filelink *rx, struct ipc__filelink *tx)
{
	if (file[0] >= 0)
		close(file[0]);
	if (file[1] >= 0)
		close(file[1]);
	ipc__filelink_close(rx);
	ipc__filelink_close(tx);
}

int
ipc__filelink_pair(struct ipc__half *a, struct ipc__half *b,
    struct ipc__filelink *la, struct ipc__filelink *lb,
    const struct ipc__address *address)
{
	bool first = a->dir == IPC_RECV;
	struct ipc__filelink *rx = first ? la : lb, *tx = first ? lb : la;
	int file[2] = { -1, -1 }, rc;
	uint64_t size;

	rx->news = rx->room = tx->news = tx->room = -1;
	rc = capacity_of(address, &size);
	if (rc == 0)
		rc = open_all(address, file, rx, tx);
	if (rc < 0) {
		close_all(file, rx, tx);
		return rc;
	}
	arc4random_buf(&rx->id, sizeof rx->id);
	tx->id = rx->id;
	rx->size = tx->size = tx->left = size;
	start(a, la);
	start(b, lb);
	(first ? a : b)->fd = file[0];
	(first ? b : a)->fd = file[1];
	return 0;
}

/*
 * Handing over
 */

int
ipc__filelink_give(const struct ipc__half *h, const struct ipc__filelink *l,
    struct ipc__ticket *t)
{
	unsigned char *p = t->bytes + t->size;

	if (t->fd_count + 3 > IPC__TICKET_FDS ||
	    t->size + TICKET > sizeof t->bytes)
		return ipc__fail(EINVAL, "too much to hand over");
	t->fds[t->fd_count++] = h->fd;
	t->fds[t->fd_count++] = l->news;
	t->fds[t->fd_count++] = l->room;
	memset(p, 0, TICKET);
	p[0] = (unsigned char)h->dir;
	ipc__put64(p + 8, l->id);
	ipc__put64(p + 16, l->size);
	ipc__put64(p + 24, l->at);
	ipc__put64(p + 32, l->left);
	t->size += TICKET;
	return 0;
}

static int
take_fd(struct ipc__ticket *t)
{
	int fd = t->fds[t->fd_next];

	t->fds[t->fd_next++] = -1;
	return fd;
}

/* A plain file, open for what this end does with it, and bells that do not
 * wait. */
static int
check_taken(const struct ipc__half *h, const struct ipc__filelink *l)
{
	int mode = h->dir == IPC_RECV ? O_RDONLY : O_WRONLY, flags;
	struct stat st;

	flags = fcntl(h->fd, F_GETFL);
	if (fstat(h->fd, &st) == -1 || flags == -1 || !S_ISREG(st.st_mode) ||
	    ((flags & O_ACCMODE) != mode && (flags & O_ACCMODE) != O_RDWR))
		return ipc__fail(EBADMSG, "what was handed over is no file");
	if (!(fcntl(l->news, F_GETFL) & O_NONBLOCK) ||
	    !(fcntl(l->room, F_GETFL) & O_NONBLOCK))
		return ipc__fail(EBADMSG, "a bell that could wait");
	return 0;
}

int
ipc__filelink_take(struct ipc__half *h, struct ipc__filelink *l,
    struct ipc__ticket *t)
{
	const unsigned char *p = t->bytes + t->next;
	int rc;

	l->news = l->room = -1;
	if (t->fd_next + 3 > t->fd_count || t->next + TICKET > t->size)
		return ipc__fail(EBADMSG, "a file and two bells are missing");
	t->next += TICKET;
	l->id = ipc__get64(p + 8);
	l->size = ipc__get64(p + 16);
	l->at = ipc__get64(p + 24);
	l->left = ipc__get64(p + 32);
	if (p[0] != h->dir || l->size < LEAST || l->size > MOST ||
	    l->left > l->size || l->at > INT64_MAX)
		return ipc__fail(EBADMSG, "a link that can not be");
	h->fd = take_fd(t);
	l->news = take_fd(t);
	l->room = take_fd(t);
	rc = check_taken(h, l);
	if (rc < 0) {
		close(h->fd);
		h->fd = -1;
		ipc__filelink_close(l);
		return rc;
	}
	start(h, l);
	return 0;
}

/*
 * Counting
 */

static int
fail_broken(struct ipc__filelink *l, const char *what)
{
	l->broken = what;
	return ipc__fail(EBADMSG, "the other side broke the link: %s", what);
}

/* Fetches what the other side has added: 1 something, 0 nothing. */
static int
fetch(struct ipc__filelink *l, int bell)
{
	uint64_t n;
	ssize_t got;

	if (l->broken != NULL)
		return fail_broken(l, l->broken);
	do
		got = read(bell, &n, sizeof n);
	while (got == -1 && errno == EINTR);
	if (got == -1 && errno == EAGAIN)
		return 0;
	if (got != sizeof n || n > l->size - l->left)
		return fail_broken(l, "more than there is space for");
	l->left += n;
	return 1;
}

/* It is full if the other side filled it: then it is rung. */
static void
add(int bell, uint64_t n)
{
	ssize_t put;

	do
		put = write(bell, &n, sizeof n);
	while (put == -1 && errno == EINTR);
}

/*
 * Sending
 */

/* To its place, which may go on at the beginning of the file. */
static int
write_round(const struct ipc__half *h, const struct ipc__filelink *l,
    const struct iovec *iov, int count, size_t size)
{
	struct iovec part[IPC__JOURNAL_IOVS];
	uint64_t place = l->at % l->size;
	size_t first = size, got;
	int used, rc;

	if (place + size <= l->size)
		return ipc__journal_write(h->fd, iov, count, size, place);
	first = (size_t)(l->size - place);
	used = ipc__slice(part, IPC__JOURNAL_IOVS, iov, count, 0, first, &got);
	rc = ipc__journal_write(h->fd, part, used, first, place);
	if (rc < 0)
		return rc;
	used = ipc__slice(part, IPC__JOURNAL_IOVS, iov, count, first,
	    size - first, &got);
	return ipc__journal_write(h->fd, part, used, size - first, 0);
}

ssize_t
ipc__filelink_send(struct ipc__half *h, struct ipc__filelink *l,
    const struct iovec *iov, int count, unsigned flags)
{
	unsigned char head[IPC__JOURNAL_RECORD];
	struct iovec all[IPC__JOURNAL_IOVS] = { { head, sizeof head } };
	ssize_t n = ipc__iov_size(iov, count);
	struct ipc__record r = { .flags = flags };
	size_t size = IPC__JOURNAL_RECORD;
	int rc;

	if (n < 0 || (size_t)n > h->record || count >= IPC__JOURNAL_IOVS)
		return ipc__fail(EMSGSIZE, "longer than a record of %zu bytes",
		    h->record);
	size += (size_t)n;
	if (l->left < size && (rc = fetch(l, l->room)) < 0)
		return rc;
	if (l->left < size)
		return -EAGAIN;
	r.length = (uint32_t)n;
	ipc__record_put(head, l->id, l->at, &r);
	if (count > 0)
		memcpy(all + 1, iov, (size_t)count * sizeof *iov);
	rc = write_round(h, l, all, count + 1, size);
	if (rc < 0)
		return rc;
	l->at += size;
	l->left -= size;
	add(l->news, size);
	return n;
}

/*
 * Receiving
 */

static size_t
room_of(const struct ipc__half *h)
{
	return h->record + IPC__JOURNAL_RECORD;
}

/* One read, not beyond the end of the file. */
static int
read_part(const struct ipc__half *h, struct ipc__filelink *l, size_t most)
{
	uint64_t place = (l->at + l->fill) % l->size;
	ssize_t n;

	if (most > l->size - place)
		most = (size_t)(l->size - place);
	do
		n = pread(h->fd, l->data + l->fill, most, (off_t)place);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return ipc__fail_sys("pread");
	if (n == 0)
		return fail_broken(l, "the file was cut");
	l->fill += (size_t)n;
	return 0;
}

/* Has the next n bytes in l->data, and what was sent behind them as far as it
 * fits.  None of that changes before it is given back. */
static int
need(const struct ipc__half *h, struct ipc__filelink *l, size_t n)
{
	size_t most = room_of(h);
	int rc = 0;

	if (l->data == NULL && (l->data = malloc(room_of(h))) == NULL)
		return ipc__fail(ENOMEM, "no memory to read into");
	if (l->fill - l->begin >= n)
		return 0;
	memmove(l->data, l->data + l->begin, l->fill - l->begin);
	l->fill -= l->begin;
	l->begin = 0;
	if (most > l->left)
		most = (size_t)l->left;
	while (rc == 0 && l->fill < n)
		rc = read_part(h, l, most - l->fill);
	return rc;
}

/* The next record; l->left is not zero. */
static int
show(const struct ipc__half *h, struct ipc__filelink *l)
{
	struct ipc__record r;
	int rc;

	if (l->left < IPC__JOURNAL_RECORD)
		return fail_broken(l, "less than a record");
	rc = need(h, l, IPC__JOURNAL_RECORD);
	if (rc < 0)
		return rc;
	if (!ipc__record_get(l->data + l->begin, l->id, l->at, &r))
		return fail_broken(l, "no record where one should be");
	if (r.length > h->record ||
	    IPC__JOURNAL_RECORD + (uint64_t)r.length > l->left)
		return fail_broken(l, "a record longer than what was sent");
	rc = need(h, l, IPC__JOURNAL_RECORD + r.length);
	if (rc < 0)
		return rc;
	l->shown = IPC__JOURNAL_RECORD + r.length;
	l->flags = r.flags;
	return 0;
}

ssize_t
ipc__filelink_peek(struct ipc__half *h, struct ipc__filelink *l,
    const void **data, unsigned *flags)
{
	int rc;

	if (l->shown == 0) {
		if (l->broken != NULL)
			return fail_broken(l, l->broken);
		rc = l->left == 0 ? fetch(l, l->news) : 1;
		if (rc <= 0)
			return rc < 0 ? rc : -EAGAIN;
		rc = show(h, l);
		if (rc < 0)
			return rc;
	}
	*data = l->data + l->begin + IPC__JOURNAL_RECORD;
	*flags = l->flags;
	return (ssize_t)(l->shown - IPC__JOURNAL_RECORD);
}

void
ipc__filelink_release(struct ipc__filelink *l)
{
	l->begin += l->shown;
	l->at += l->shown;
	l->left -= l->shown;
	add(l->room, l->shown);
	l->shown = 0;
}

/* Receiving: is there something?  Sending: is there room for a whole record,
 * or more than there was? */
int
ipc__filelink_arm(struct ipc__half *h, struct ipc__filelink *l, int dir)
{
	int rc;

	if (l->broken != NULL)
		return 1;
	if (dir == IPC_RECV) {
		if (l->left > 0)
			return 1;
		rc = fetch(l, l->news);
	} else {
		rc = fetch(l, l->room);
		if (rc == 0 && l->left >= room_of(h))
			rc = 1;
	}
	return rc < 0 ? 1 : rc;		/* the call says what is wrong */
}

void
ipc__filelink_close(struct ipc__filelink *l)
{
	if (l->news >= 0)
		close(l->news);
	if (l->room >= 0)
		close(l->room);
	l->news = l->room = -1;
	free(l->data);
	l->data = NULL;
}
