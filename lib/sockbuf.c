/* SPDX-License-Identifier: ISC */
/*
 * The kernel's buffers of a socket: how large they are, how much room is kept
 * for a last word, and what lies in them unread.
 *
 * A Unix socket takes a piece (of up to 36 KiB on a stream, or a record) when
 * less than SO_SNDBUF is under way, counted with the kernel's overhead, and
 * takes all of it; poll(2) says POLLOUT when a quarter or less is.  So one
 * piece may stand above the limit, and limits are set with that much to spare:
 * then there is always a higher one for ipc__socket_stretch().
 */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>

#include "socket.h"

#define STREAM_ATOMIC	((size_t)32 << 10) /* in one piece on every kernel */
#define STREAM_LARGE	((size_t)1 << 20)
#define STREAM_SPARE	((size_t)64 << 10)
#define BARE_LARGE	((size_t)4 << 20)  /* the kernel's largest record */
#define DISCARDS	16384		   /* records, or reads of 16 KiB */
#define LEAST		4096		   /* no kernel's buffer is smaller */

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* The kernel doubles what it is asked for, and cuts it down without a word. */
static size_t
set_buffer(int fd, int option, size_t want)
{
	int value = (int)smaller(want / 2, INT_MAX / 2);

	setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
	value = ipc__socket_get(fd, SOL_SOCKET, option);
	return value > LEAST ? (size_t)value : LEAST;
}

size_t
ipc__socket_buffer(int fd, int option, size_t want, size_t spare)
{
	size_t most;

	want = smaller(want, INT_MAX / 2);
	most = set_buffer(fd, option, want + spare);
	if (most >= want + spare)
		return set_buffer(fd, option, want);
	return set_buffer(fd, option,
	    smaller(want, most > 2 * spare ? most - spare : most / 2));
}

static size_t
current(const struct ipc__half *h)
{
	int held = ipc__socket_get(ipc__socket_out(h), SOL_SOCKET, SO_SNDBUF);

	return held > LEAST ? (size_t)held : LEAST;
}

/*
 * Byte streams
 */

static void
stream_fit(struct ipc__half *h, size_t held)
{
	/* The kernel cuts a stream into pieces of up to half the buffer. */
	h->record = held / 2 - 64;
	h->atomic = smaller(h->record, STREAM_ATOMIC);
	h->capacity = held;
}

void
ipc__stream_size(struct ipc__half *h, uint64_t capacity)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);

	s->raise = capacity == 0 ? STREAM_LARGE : 0;
	if (capacity == 0 || capacity == IPC__CAPACITY_KEEP)
		stream_fit(h, current(h));
	else
		stream_fit(h, ipc__socket_buffer(h->fd, SO_SNDBUF,
		    smaller(capacity, INT_MAX), STREAM_SPARE));
}

/* A larger buffer saves a sender of large messages some turns of waiting. */
void
ipc__stream_expect(struct ipc__half *h, size_t size)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);

	if (s->raise <= h->capacity || size <= STREAM_SPARE)
		return;
	stream_fit(h, ipc__socket_buffer(h->fd, SO_SNDBUF, s->raise,
	    STREAM_SPARE));
	s->raise = 0;
}

/*
 * Records
 */

/*
 * The largest record, in buffers that may grow up to most: a quarter, so that
 * several are under way, but a message of 64 KiB in one if that can be.  Both
 * ends reckon with the same limits of one system, so they agree.
 */
static size_t
record_fit(const struct ipc__half *h, size_t most)
{
	if (h->bare)
		return smaller(most - 32, BARE_LARGE);
	return smaller(IPC__RECORD_LARGE,
	    larger(most / 4, smaller(IPC__RECORD_SMALL, most / 2)));
}

/* The kernel's memory comes in powers of two. */
static size_t
record_spare(const struct ipc__half *h)
{
	return h->bare ? 0 : h->record + h->record / 2 + 8192;
}

void
ipc__record_size(struct ipc__half *h, uint64_t capacity)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);
	bool bound = capacity != 0 && !h->adopted;
	size_t held = current(h), most, spare;
	int fd = ipc__socket_out(h);

	most = set_buffer(fd, SO_SNDBUF, SIZE_MAX);
	h->room = record_fit(h, most);
	if (bound && capacity != IPC__CAPACITY_KEEP)
		held = set_buffer(fd, SO_SNDBUF, smaller(capacity, most));
	h->record = record_fit(h, bound ? held : most);
	/* An opened receiver only answers; what comes is what counts. */
	if (h->bare && h->dir == IPC_RECV)
		h->record = h->room;
	spare = record_spare(h);
	if (held + spare > most && most > 2 * spare)
		held = most - spare;
	h->capacity = set_buffer(fd, SO_SNDBUF, held);
	s->raise = bound ? 0 : smaller(most, 5 * h->record);
}

/* Large records go fastest when several are under way at once. */
void
ipc__record_expect(struct ipc__half *h, size_t size)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);
	if (s->raise <= h->capacity || size < IPC__RECORD_SMALL / 2)
		return;
	h->capacity = ipc__socket_buffer(ipc__socket_out(h), SO_SNDBUF,
	    s->raise, record_spare(h));
	s->raise = 0;
}

/*
 * Ending
 */

void
ipc__socket_stretch(struct ipc__half *h, size_t more)
{
	unsigned int mem[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof mem;
	int fd = ipc__socket_out(h);
	size_t used, want;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &size) < 0)
		return;
	/* Unix sockets count what is allocated, TCP what is queued. */
	used = larger(mem[SK_MEMINFO_WMEM_ALLOC], mem[SK_MEMINFO_WMEM_QUEUED]);
	want = used + 2 * more + 4096;
	if (mem[SK_MEMINFO_SNDBUF] < want)
		set_buffer(fd, SO_SNDBUF, want);
}

static bool
peek_at(int fd, int offset)
{
	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset,
	    sizeof offset) == 0;
}

/* Looks at as much as there is of size bytes, from where a peek starts. */
static size_t
peek(int fd, unsigned char *buffer, size_t size)
{
	size_t have = 0;
	ssize_t n;

	/* A peek stops where descriptors lie, and goes on behind them only
	 * where the kernel remembers how far it was. */
	while (have < size && (n = recv(fd, buffer + have, size - have,
	    MSG_PEEK | MSG_DONTWAIT)) > 0)
		have += n;
	return have;
}

/* For kernels whose TCP has no SO_PEEK_OFF: one peek shows all of it. */
static bool
all_ends_with(int fd, size_t unread, const void *tail, size_t size)
{
	unsigned char *all = malloc(unread);
	bool same;

	if (!all)
		return false;
	same = recv(fd, all, unread, MSG_PEEK | MSG_DONTWAIT) ==
	    (ssize_t)unread && memcmp(all + unread - size, tail, size) == 0;
	free(all);
	return same;
}

bool
ipc__stream_ends_with(struct ipc__half *h, const void *tail, size_t size)
{
	size_t unread = ipc__socket_pending(h);
	unsigned char end[64];
	bool same;

	if (size == 0 || size > sizeof end || unread < size)
		return false;
	if (!peek_at(h->fd, (int)(unread - size)))
		return all_ends_with(h->fd, unread, tail, size);
	same = peek(h->fd, end, size) == size && memcmp(end, tail, size) == 0;
	peek_at(h->fd, -1);
	return same;
}

bool
ipc__record_ends_with(struct ipc__half *h, const void *tail, size_t size)
{
	unsigned char record[64];
	bool same = false;
	int offset = 0;
	ssize_t n;

	if (size > sizeof record)
		return false;
	while (peek_at(h->fd, offset)) {
		n = recv(h->fd, record, sizeof record,
		    MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && errno == ECONNRESET)
			continue;	/* told once, before what was sent */
		if (n <= 0)
			break;
		same = (size_t)n == size && memcmp(record, tail, size) == 0;
		offset += n;
	}
	peek_at(h->fd, -1);
	return same;
}

size_t
ipc__socket_pending(const struct ipc__half *h)
{
	int unread = 0;

	return ioctl(h->fd, FIONREAD, &unread) == 0 && unread > 0 ?
	    (size_t)unread : 0;
}

/* A Unix socket shows its sender that nobody receives any more only once there
 * is room.  Bounded, as on TCP there may come more for ever. */
void
ipc__socket_discard(int fd)
{
	char away[16384];
	int i;

	for (i = 0; i < DISCARDS && recv(fd, away, sizeof away,
	    MSG_DONTWAIT) > 0; i++)
		;
}

int
ipc__socket_shutdown(struct ipc__half *h, int dir)
{
	int how = dir == IPC_DUPLEX ? SHUT_RDWR :
	    dir == IPC_RECV ? SHUT_RD : SHUT_WR;

	if (shutdown(h->fd, how) < 0 && errno != ENOTCONN)
		return ipc__fail_sys("shutdown");
	if (dir & IPC_RECV)
		ipc__socket_discard(h->fd);
	return 0;
}

int
ipc__socket_peer(const struct ipc__half *h, struct ipc_peer *peer)
{
	struct ucred who;
	socklen_t size = sizeof who;

	if (getsockopt(h->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return ipc__fail_sys("getsockopt SO_PEERCRED");
	if (who.uid == (uid_t)-1)
		return ipc__fail(EOPNOTSUPP, "nobody has made the other end");
	peer->pid = who.pid;
	peer->uid = who.uid;
	peer->gid = who.gid;
	return 0;
}
