/* SPDX-License-Identifier: ISC */
/*
 * unixgram: Unix datagram sockets.  Neither close nor death of the other side
 * shows on them, so that pairs and sessions have a life line.  An opened one is
 * bare: IPC_RECV has the name, IPC_SEND is connected to it, and IPC_DUPLEX is
 * too, from a private name to which the receiver can answer.
 *
 * Sending to an end that is gone makes the kernel throw away what that end had
 * sent and is not yet received.  So the two directions of a pair are a pair of
 * sockets each.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <unistd.h>

#include "socket.h"

#define PAIR_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX) | \
			 IPC__BIT(CAPACITY))
#define SESSION_KEYS	(PAIR_KEYS | IPC__MEETING_KEYS)
#define OPEN_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(CAPACITY) | \
			 IPC__BIT(MODE) | IPC__BIT(UID) | IPC__BIT(GID))

#define ADOPT_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_RELIABLE | \
			 IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_HOSTILE)
#define OPEN_CAPS	(ADOPT_CAPS | IPC_CAP_ADDRESS | IPC_CAP_MANY)
#define CAPS		(ADOPT_CAPS | IPC_CAP_LARGE | IPC_CAP_END | \
			 IPC_CAP_DEATH | IPC_CAP_FDS | IPC_CAP_PEER | \
			 IPC_CAP_HALF)

struct unixgram {
	struct ipc__socket socket;
	bool	bound;		/* it has the name: it only answers */
	int	outlet;		/* 1 + a descriptor, see find_outlet(); or 0 */
	bool	choked;		/* it is what to wait for */
	struct sockaddr_un to;	/* IPC_DUPLEX: the receiver's name */
	socklen_t to_size;
};

static const struct ipc__socket_kind gram_kind = {
	.domain = AF_UNIX,
	.domain2 = AF_UNIX,
	.type = SOCK_DGRAM,
	.title = "a Unix datagram socket",
	.size = ipc__record_size
};

static int
gram_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct unixgram *ga = IPC__STATE(a, struct unixgram);
	struct unixgram *gb = IPC__STATE(b, struct unixgram);
	int fds[2], rc;

	rc = ipc__socket_pair(a, b, address, &gram_kind);
	if (rc < 0 || a->dir != IPC_DUPLEX)
		return rc;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0) {
		rc = ipc__fail_sys("socketpair");
		close(a->fd);
		close(b->fd);
		a->fd = b->fd = -1;
		return rc;
	}
	/* a sends on the first, b on the second. */
	ga->socket.out = a->fd + 1;
	a->fd = fds[0];
	gb->socket.out = fds[1] + 1;
	ipc__record_size(b, address->opt.capacity);
	return 0;
}

static int
gram_give(struct ipc__half *h, struct ipc__ticket *t)
{
	const struct unixgram *g = IPC__STATE(h, const struct unixgram);
	int rc = ipc__socket_give(h, t);

	if (rc < 0 || g->socket.out == 0)
		return rc;
	if (t->fd_count >= IPC__TICKET_FDS)
		return ipc__fail(EMSGSIZE, "no room in the ticket");
	t->fds[t->fd_count++] = g->socket.out - 1;
	return 0;
}

/* Whoever goes both ways has two. */
static int
gram_take(struct ipc__half *h, struct ipc__ticket *t)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	unsigned last = t->fd_next + 1;
	int rc;

	if (h->dir != IPC_DUPLEX)
		return ipc__socket_take(h, t, &gram_kind);
	if (last >= t->fd_count)
		return ipc__fail(EBADMSG, "the ticket is too short");
	if ((rc = ipc__socket_check(t->fds[last], &gram_kind)) < 0 ||
	    (rc = ipc__socket_check_state(t->fds[last], false)) < 0)
		return rc;
	/* Before the first is taken, as its size is that of what sends. */
	g->socket.out = t->fds[last] + 1;
	if ((rc = ipc__socket_take(h, t, &gram_kind)) < 0) {
		g->socket.out = 0;
		return rc;
	}
	t->fds[last] = -1;
	t->fd_next = last + 1;
	return 0;
}

/*
 * Opening
 */

static int
connect_to(int fd, const char *name)
{
	struct sockaddr_un sun;
	socklen_t size;
	int rc;

	if ((rc = ipc__unix_name(&sun, &size, name)) < 0)
		return rc;
	if (connect(fd, (const struct sockaddr *)&sun, size) < 0)
		return ipc__unix_refused(name, &gram_kind);
	return 0;
}

/* The name is taken: by a receiver, or by the listener of a session. */
static int
name_taken(const char *name)
{
	int fd = ipc__socket_new(AF_UNIX, SOCK_DGRAM), rc;

	if (fd < 0)
		return fd;
	rc = connect_to(fd, name);
	close(fd);
	return rc == -EPROTOTYPE ? rc :
	    ipc__fail(EBUSY, "%s: somebody receives there already", name);
}

static int
open_receiver(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	struct stat st;
	int fd;

	if (flags & IPC_EXCLUSIVE && a->name[0] != '@' &&
	    lstat(a->name, &st) == 0)
		return ipc__fail(EEXIST, "%s: is there already", a->name);
	fd = ipc__unix_bind(a, a->name, SOCK_DGRAM, &g->socket.name);
	if (fd == -EADDRINUSE)
		return name_taken(a->name);
	if (fd < 0)
		return fd;
	h->fd = fd;
	g->bound = true;
	return 0;
}

/* Binding to no name at all has the kernel make up an abstract one. */
static int
bind_private(int fd)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (bind(fd, (struct sockaddr *)&sun, sizeof sun.sun_family) < 0)
		return ipc__fail_sys("bind");
	return 0;
}

static int
open_sender(struct ipc__half *h, const struct ipc__address *a)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	int fd, rc;

	if ((fd = ipc__socket_new(AF_UNIX, SOCK_DGRAM)) < 0)
		return fd;
	rc = h->dir & IPC_RECV ? bind_private(fd) : 0;
	if (rc < 0 || (rc = connect_to(fd, a->name)) < 0) {
		close(fd);
		return rc;
	}
	if (h->dir & IPC_RECV)
		ipc__unix_name(&g->to, &g->to_size, a->name);
	h->fd = fd;
	return 0;
}

static int
gram_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	int rc;

	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "wants a name, /path or @name");
	rc = h->dir == IPC_RECV ? open_receiver(h, a, flags) :
	    open_sender(h, a);
	if (rc == 0)
		ipc__record_size(h, a->opt.capacity);
	return rc;
}

static int
gram_unlink(const struct ipc__address *a)
{
	return ipc__unix_unlink(a->name);
}

static int
gram_adopt(struct ipc__half *h, int fd, bool listening)
{
	if (listening)
		return ipc__fail(EINVAL, "datagram sockets do not listen");
	return ipc__socket_adopt(h, fd, false, &gram_kind);
}

/*
 * Moving
 */

/*
 * The queue of a program that is connected to nobody is soon full, and that
 * does not show on our socket, which is writable as far as poll(2) can tell.
 * It shows on a socket that is connected there.  (Who is connected to us is not
 * bounded by that queue, and can not be connected to.)
 */
static void
find_outlet(struct ipc__half *h, const struct ipc__aside *aside)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	struct pollfd p = { .fd = h->fd, .events = POLLOUT };
	int fd;

	if (poll(&p, 1, 0) <= 0)
		return;		/* it was our own buffer */
	if (g->outlet == 0) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return;
		g->outlet = fd + 1;
	}
	g->choked = connect(g->outlet - 1, aside->address,
	    aside->address_size) == 0;
}

static ssize_t
answer(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	ssize_t n;

	if (!aside || aside->address_size == 0)
		return ipc__fail(EDESTADDRREQ, "a receiver can only answer: "
		    "ipc_msg.address says whom");
	n = ipc__record_send(h, iov, count, aside);
	g->choked = false;
	if (n == -EAGAIN)
		find_outlet(h, aside);
	/* The name is gone, or whoever has it hears only somebody else. */
	return n == -ENOENT || n == -EPERM ? -EPIPE : n;
}

/*
 * With answers unread, the receiver is named: then the kernel finds nobody
 * there if it is gone, and does not see the end of a connection, whose answers
 * it would throw away.
 */
static ssize_t
ask_by_name(struct ipc__half *h, const struct iovec *iov, int count)
{
	struct unixgram *g = IPC__STATE(h, struct unixgram);
	const struct ipc__aside to = {
		.address = &g->to, .address_size = g->to_size
	};
	ssize_t n = ipc__record_send(h, iov, count, &to);

	return n == -ENOENT || n == -EPERM ? -EPIPE : n;
}

static ssize_t
gram_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	const struct unixgram *g = IPC__STATE(h, const struct unixgram);

	if (g->bound)
		return answer(h, iov, count, aside);
	if (g->to_size > 0 && ipc__socket_pending(h) > 0)
		return ask_by_name(h, iov, count);
	return ipc__record_send(h, iov, count, aside);
}

/* Of one that went away the kernel tells once, and hides nothing behind it. */
static ssize_t
gram_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	ssize_t n = ipc__record_recv(h, iov, count, aside);

	if (ipc__socket_gone(n))
		n = ipc__record_recv(h, iov, count, aside);
	return ipc__socket_gone(n) ? -EAGAIN :
	    ipc__socket_failed("recvmsg", n);
}

static int
gram_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	const struct unixgram *g = IPC__STATE(h, const struct unixgram);

	fds->fd = dir != IPC_SEND ? h->fd :
	    g->choked ? g->outlet - 1 : ipc__socket_out(h);
	fds->events = dir == IPC_SEND ? POLLOUT : POLLIN;
	return 1;
}

static int
gram_shutdown(struct ipc__half *h, int dir)
{
	int rc = 0;

	if (dir & IPC_SEND && shutdown(ipc__socket_out(h), SHUT_WR) < 0 &&
	    errno != ENOTCONN)
		rc = ipc__fail_sys("shutdown");
	if (dir & IPC_RECV && shutdown(h->fd, SHUT_RD) < 0 &&
	    errno != ENOTCONN)
		rc = ipc__fail_sys("shutdown");
	if (dir & IPC_RECV)
		ipc__socket_discard(h->fd);
	return rc;
}

static void
gram_close(struct ipc__half *h, bool clean)
{
	const struct unixgram *g = IPC__STATE(h, const struct unixgram);

	if (g->outlet > 0)
		close(g->outlet - 1);
	if (g->socket.out > 0)
		close(g->socket.out - 1);
	ipc__unix_close(h, clean);
}

const struct ipc_backend ipc__backend_unixgram = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "unixgram",
		.title = "Unix socket, datagram",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_OPEN |
		    1u << IPC_WAY_SESSION | 1u << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_OPEN] = OPEN_CAPS,
			[IPC_WAY_SESSION] = CAPS,
			[IPC_WAY_ADOPT] = ADOPT_CAPS
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__TWOWAY | IPC__PASSES | IPC__LIFE | IPC__SILENT |
	    IPC__PATHS,
	.size = sizeof(struct unixgram),
	.limit = "one datagram",
	.keys = {
		[IPC_WAY_PAIR] = PAIR_KEYS,
		[IPC_WAY_OPEN] = OPEN_KEYS,
		[IPC_WAY_SESSION] = SESSION_KEYS,
		[IPC_WAY_ADOPT] = IPC__SOCKET_KEYS
	},
	.pair = gram_pair,
	.open = gram_open,
	.unlink = gram_unlink,
	.adopt = gram_adopt,
	.give = gram_give,
	.take = gram_take,
	.send = gram_send,
	.recv = gram_recv,
	.watch = gram_watch,
	.shutdown = gram_shutdown,
	.stretch = ipc__socket_stretch,
	.expect = ipc__record_expect,
	.ends_with = ipc__record_ends_with,
	.pending = ipc__socket_pending,
	.close = gram_close
};
