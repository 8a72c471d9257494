/* SPDX-License-Identifier: ISC */
/*
 * udp: UDP over IPv4 and IPv6.  It loses datagrams, and knows neither an end
 * nor a death; the capabilities say so.
 */
#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "udp.h"

#define PAIR_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(CAPACITY))
#define SESSION_KEYS	(PAIR_KEYS | IPC__BIT(BACKLOG))

#define PAIR_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_FD)
#define SESSION_CAPS	(PAIR_CAPS | IPC_CAP_NETWORK)
#define OPEN_CAPS	(SESSION_CAPS | IPC_CAP_ADDRESS | IPC_CAP_MANY)

#define RECORD4		65507	/* 64 KiB - 1, less the two headers */
#define RECORD6		65527	/* the length of IPv6 counts without its own */
#define RECEIVE		(1 << 20)

const struct ipc__socket_kind ipc__udp_kind = {
	.domain = AF_INET,
	.domain2 = AF_INET6,
	.type = SOCK_DGRAM,
	.title = "a UDP socket",
	.size = ipc__udp_size
};

/* The largest datagram depends on the protocol under it. */
static size_t
largest(int fd)
{
	union ipc__sockaddr to;
	socklen_t size = sizeof to;

	if (ipc__socket_get(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET)
		return RECORD4;
	memset(&to, 0, sizeof to);
	if (getpeername(fd, &to.sa, &size) == 0 &&
	    IN6_IS_ADDR_V4MAPPED(&to.in6.sin6_addr))
		return RECORD4;
	return RECORD6;
}

/* What waits is all on the receiver's side; what does not fit there is lost, so
 * unless the address bounds it there is much room. */
void
ipc__udp_size(struct ipc__half *h, uint64_t capacity)
{
	int held;

	h->record = largest(h->fd);
	if (capacity != IPC__CAPACITY_KEEP)
		ipc__socket_buffer(h->fd, SO_RCVBUF, capacity == 0 ? RECEIVE :
		    capacity > INT_MAX ? INT_MAX : capacity, 0);
	held = ipc__socket_get(h->fd, SOL_SOCKET, SO_RCVBUF);
	h->capacity = held > 0 ? (size_t)held : 0;
}

static int
call_failed(const char *call, const union ipc__sockaddr *at)
{
	char text[IPC__INET_TEXT];
	int code = errno;

	return ipc__fail(code, "%s to %s: %s", call,
	    ipc__inet_text(at, text, sizeof text), strerror(code));
}

int
ipc__udp_bind(const struct ipc__inet *list)
{
	const union ipc__sockaddr *at;
	int rc = -EADDRNOTAVAIL, fd;
	unsigned i;

	for (i = 0; i < list->count; i++) {
		at = &list->at[i];
		fd = rc = ipc__inet_socket(list, at, SOCK_DGRAM);
		if (fd >= 0 && bind(fd, &at->sa, ipc__inet_size(at)) < 0) {
			rc = call_failed("bind", at);
			close(fd);
		}
		if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
			break;
	}
	return rc;
}

/*
 * A pair: two sockets on the loopback, each connected to the other.  Until they
 * are, anybody's datagram would be taken.
 */

static int
bind_deaf(const union ipc__sockaddr *at, union ipc__sockaddr *bound)
{
	socklen_t size = sizeof *bound;
	int fd, rc;

	if ((fd = ipc__socket_new(at->sa.sa_family, SOCK_DGRAM)) < 0)
		return fd;
	if ((rc = ipc__socket_deafen(fd, true)) < 0)
		goto fail;
	if (bind(fd, &at->sa, ipc__inet_size(at)) < 0) {
		rc = call_failed("bind", at);
		goto fail;
	}
	memset(bound, 0, sizeof *bound);
	if (getsockname(fd, &bound->sa, &size) == 0)
		return fd;
	rc = ipc__fail_sys("getsockname");
fail:
	close(fd);
	return rc;
}

static int
connect_hearing(int fd, const union ipc__sockaddr *to)
{
	if (connect(fd, &to->sa, ipc__inet_size(to)) < 0)
		return call_failed("connect", to);
	return ipc__socket_deafen(fd, false);
}

static int
pair_at(int fds[2], const union ipc__sockaddr *at)
{
	union ipc__sockaddr bound[2], second = *at;
	int rc;

	if (at->sa.sa_family == AF_INET)
		second.in.sin_port = 0;
	else
		second.in6.sin6_port = 0;
	fds[1] = -1;
	if ((fds[0] = rc = bind_deaf(at, &bound[0])) < 0 ||
	    (fds[1] = rc = bind_deaf(&second, &bound[1])) < 0 ||
	    (rc = connect_hearing(fds[0], &bound[1])) < 0 ||
	    (rc = connect_hearing(fds[1], &bound[0])) < 0) {
		if (fds[0] >= 0)
			close(fds[0]);
		if (fds[1] >= 0)
			close(fds[1]);
		return rc;
	}
	return 0;
}

static int
udp_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__inet list;
	int fds[2], rc;
	unsigned i;

	rc = ipc__inet_loopback(&list, address->name, SOCK_DGRAM);
	if (rc < 0)
		return rc;
	i = 0;
	do {
		rc = pair_at(fds, &list.at[i++]);
	} while ((rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL) &&
	    i < list.count);
	if (rc < 0)
		return rc;
	a->fd = fds[0];
	b->fd = fds[1];
	ipc__udp_size(a, address->opt.capacity);
	ipc__udp_size(b, address->opt.capacity);
	return 0;
}

/*
 * Opening, connecting, adopting
 */

static int
udp_reach(struct ipc__half *h, const struct ipc__address *a)
{
	struct udp *u = IPC__STATE(h, struct udp);
	const union ipc__sockaddr *at;
	int fd, rc;

	rc = ipc__inet_resolve(&u->to, a->name, SOCK_DGRAM, false);
	if (rc < 0)
		return rc;
	fd = ipc__inet_socket(&u->to, &u->to.at[0], SOCK_DGRAM);
	if (fd < 0)
		return fd;
	do {
		at = &u->to.at[u->to.next++];
		rc = connect(fd, &at->sa, ipc__inet_size(at));
	} while (rc < 0 && u->to.next < u->to.count);
	if (rc < 0) {
		rc = call_failed("connect", at);
		close(fd);
		return rc;
	}
	h->fd = fd;
	ipc__udp_size(h, a->opt.capacity);
	return 0;
}

static int
udp_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	struct udp *u = IPC__STATE(h, struct udp);

	(void)timeout;
	u->calls = true;
	return udp_reach(h, a);
}

static int
udp_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	struct ipc__inet list;
	int fd, rc;

	(void)flags;
	if (h->dir & IPC_SEND)
		return udp_reach(h, a);
	rc = ipc__inet_resolve(&list, a->name, SOCK_DGRAM, true);
	if (rc < 0)
		return rc;
	if ((fd = ipc__udp_bind(&list)) == -EADDRINUSE)
		return ipc__fail(EBUSY, "somebody receives there already");
	if (fd < 0)
		return fd;
	h->fd = fd;
	ipc__udp_size(h, a->opt.capacity);
	return 0;
}

/* A listener has a port and no peer, a sender has a peer. */
static int
check_ends(int fd, bool listening, int dir)
{
	union ipc__sockaddr own, peer;
	socklen_t o = sizeof own, p = sizeof peer;
	bool connected = getpeername(fd, &peer.sa, &p) == 0;

	memset(&own, 0, sizeof own);
	if (listening && connected)
		return ipc__fail(EINVAL, "descriptor %d is connected to one "
		    "other side, and should be bound only", fd);
	if (listening && (getsockname(fd, &own.sa, &o) < 0 ||
	    ipc__inet_port(&own) == 0))
		return ipc__fail(EINVAL, "descriptor %d is bound to no port",
		    fd);
	if (!listening && !connected && dir & IPC_SEND)
		return ipc__fail(ENOTCONN, "descriptor %d is connected to "
		    "nobody, and can only receive", fd);
	return 0;
}

static int
udp_adopt(struct ipc__half *h, int fd, bool listening)
{
	int rc;

	if ((rc = ipc__socket_check(fd, &ipc__udp_kind)) < 0 ||
	    (rc = check_ends(fd, listening, h->dir)) < 0 ||
	    (listening && (rc = ipc__udp_serve(h, fd)) < 0))
		return rc;
	h->fd = fd;
	h->adopted = true;
	if (!listening)
		ipc__udp_size(h, IPC__CAPACITY_KEEP);
	return 0;
}

static int
udp_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__socket_take(h, t, &ipc__udp_kind);
}

static int
udp_where(const struct ipc__half *h, char *buffer, size_t size)
{
	return ipc__inet_where(h->fd, "udp", buffer, size);
}

/*
 * Moving
 */

static bool
waits_to_be_heard(const struct ipc__half *h)
{
	const struct udp *u = IPC__STATE(h, const struct udp);

	return u->calls && !u->heard;
}

/* Nobody was there for what we sent: on to the name's next address, unless this
 * one has been heard of.  Where there is no more, a client is refused, as over
 * TCP; to others the next datagram may be more welcome. */
static int
refused(struct ipc__half *h)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct udp *u = IPC__STATE(h, struct udp);
	const union ipc__sockaddr *at;

	while (!u->heard && u->to.next < u->to.count) {
		at = &u->to.at[u->to.next++];
		/* The last one has left us an address of ours to be. */
		(void)connect(h->fd, &none, sizeof none);
		if (connect(h->fd, &at->sa, ipc__inet_size(at)) == 0)
			return 0;
	}
	return waits_to_be_heard(h) ? ipc__fail(ECONNREFUSED,
	    "nobody listens there") : 0;
}

/* ECONNREFUSED tells of an earlier datagram; this one was not sent. */
static ssize_t
udp_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	ssize_t n = ipc__socket_send(h->fd, iov, count, aside);

	if (n == -ECONNREFUSED && (n = refused(h)) == 0)
		n = ipc__socket_send(h->fd, iov, count, aside);
	if (n >= 0 || n == -EAGAIN || n == -EINTR)
		return n;
	if (n == -ECONNREFUSED)
		return waits_to_be_heard(h) ? n : -EPIPE;
	if (n == -EMSGSIZE)
		return ipc__fail(EMSGSIZE, "a UDP datagram carries at most %zu "
		    "bytes", h->record);
	errno = (int)-n;
	return ipc__fail_sys("sendmsg");
}

static ssize_t
take_hello(struct udp *u, const struct iovec *iov, int count)
{
	size_t done = 0, n;
	int i;

	for (i = 0; i < count && done < u->hello_size; i++) {
		n = u->hello_size - done;
		if (n > iov[i].iov_len)
			n = iov[i].iov_len;
		memcpy(iov[i].iov_base, u->hello + done, n);
		done += n;
	}
	if (done < u->hello_size)
		return -EMSGSIZE;
	u->hello_size = 0;
	return done;
}

static ssize_t
udp_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct udp *u = IPC__STATE(h, struct udp);
	ssize_t n;

	if (u->hello_size > 0)
		return take_hello(u, iov, count);
	n = ipc__record_recv(h, iov, count, aside);
	if (n >= 0) {
		u->heard = true;
		return n;
	}
	if (!ipc__socket_gone(n))
		return ipc__socket_failed("recvmsg", n);
	n = refused(h);
	return n < 0 ? n : -EAGAIN;
}

static size_t
udp_pending(const struct ipc__half *h)
{
	const struct udp *u = IPC__STATE(h, const struct udp);

	return u->hello_size > 0 ? u->hello_size : ipc__socket_pending(h);
}

static void
udp_close(struct ipc__half *h, bool clean)
{
	(void)clean;
	ipc__udp_forget(IPC__STATE(h, struct udp));
}

const struct ipc_backend ipc__backend_udp = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "udp",
		.title = "UDP, IPv4 and IPv6",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_OPEN |
		    1u << IPC_WAY_SESSION | 1u << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = PAIR_CAPS,
			[IPC_WAY_OPEN] = OPEN_CAPS,
			[IPC_WAY_SESSION] = SESSION_CAPS,
			[IPC_WAY_ADOPT] = SESSION_CAPS
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__TWOWAY,
	.size = sizeof(struct udp),
	.limit = "one datagram",
	.keys = {
		[IPC_WAY_PAIR] = PAIR_KEYS,
		[IPC_WAY_OPEN] = PAIR_KEYS,
		[IPC_WAY_SESSION] = SESSION_KEYS,
		[IPC_WAY_ADOPT] = IPC__SOCKET_KEYS
	},
	.pair = udp_pair,
	.open = udp_open,
	.listen = ipc__udp_listen,
	.accept = ipc__udp_accept,
	.connect = udp_connect,
	.where = udp_where,
	.adopt = udp_adopt,
	.give = ipc__socket_give,
	.take = udp_take,
	.send = udp_send,
	.recv = udp_recv,
	.shutdown = ipc__socket_shutdown,
	.pending = udp_pending,
	.close = udp_close
};
