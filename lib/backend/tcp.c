/* SPDX-License-Identifier: ISC */
/*
 * tcp: TCP over IPv4 and IPv6.
 *
 * TCP loses what the network has not yet delivered when its sender dies, or
 * closes, with something unread.  So a clean close says that nothing more comes
 * and reads away what arrives until all that was sent is there.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inet.h"
#include "socket.h"

#define PAIR_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX) | \
			 IPC__BIT(CAPACITY) | IPC__BIT(NODELAY) | \
			 IPC__BIT(KEEPALIVE))
#define SESSION_KEYS	(PAIR_KEYS | IPC__BIT(BACKLOG))
#define ADOPT_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX))

#define PAIR_CAPS	(SESSION_CAPS & ~(unsigned)IPC_CAP_NETWORK)
#define SESSION_CAPS	(ADOPT_CAPS | IPC_CAP_DEATH | IPC_CAP_HALF)
#define ADOPT_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_FD | IPC_CAP_NETWORK | IPC_CAP_HOSTILE)

#define RECORD		4092	/* always goes at once when poll says so */
#define UNSENT		(1536 << 10)
#define LINGER_MS	200
#define STRANGERS	65536

#define KEEP_IDLE	60	/* seconds until the first probe */
#define KEEP_INTERVAL	10
#define KEEP_PROBES	6

struct tcp {
	struct ipc__socket socket;
	struct ipc__inet   to;	/* the addresses that are being tried */
};

/* The system sizes buffers by itself, unless capacity= does: both of them hold
 * bytes of one direction. */
static void
tcp_size(struct ipc__half *h, uint64_t capacity)
{
	int send, receive;

	h->record = RECORD;
	h->atomic = 0;
	if (capacity == 0 || capacity == IPC__CAPACITY_KEEP)
		return;
	send = ipc__socket_get(h->fd, SOL_SOCKET, SO_SNDBUF);
	receive = ipc__socket_get(h->fd, SOL_SOCKET, SO_RCVBUF);
	if (send > 0 && receive > 0)
		h->capacity = (size_t)send + (size_t)receive;
}

static const struct ipc__socket_kind tcp_kind = {
	.domain = AF_INET,
	.domain2 = AF_INET6,
	.type = SOCK_STREAM,
	.title = "a TCP socket",
	.size = tcp_size
};

/*
 * Options of a connection; those of a listener pass to what it accepts.  The
 * bound on what is unsent is wide enough to cost nothing, and is what lets a
 * last word through when a receiver stands still: it can be lifted, whereas the
 * buffer has then grown above anything that SO_SNDBUF may ask for.
 */
static int
set_options(int fd, bool nodelay, bool keepalive)
{
	const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, nodelay },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT },
		{ SOL_SOCKET, SO_KEEPALIVE, keepalive },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES }
	};
	unsigned i;

	for (i = 0; i < sizeof options / sizeof options[0]; i++)
		if (setsockopt(fd, options[i].level, options[i].name,
		    &options[i].value, sizeof options[i].value) < 0)
			return -1;
	return 0;
}

/* Before the connection is made: a receive buffer that shrinks after the two
 * kernels have agreed on segments makes TCP crawl. */
static int
prepare(int fd, const struct ipc__options *opt)
{
	uint64_t capacity = opt->capacity;

	if (capacity > INT_MAX)
		capacity = INT_MAX;
	if (capacity > 0) {
		ipc__socket_buffer(fd, SO_SNDBUF, capacity / 2, 8192);
		ipc__socket_buffer(fd, SO_RCVBUF, capacity / 2, 0);
	}
	if (set_options(fd, opt->nodelay, opt->keepalive) < 0)
		return ipc__fail_sys("setsockopt");
	return 0;
}

/*
 * Listening
 */

static int
bind_failed(const union ipc__sockaddr *at, const char *call)
{
	char text[IPC__INET_TEXT];
	int code = errno;

	return ipc__fail(code, "%s to %s: %s", call,
	    ipc__inet_text(at, text, sizeof text), strerror(code));
}

static int
listen_at(const struct ipc__inet *list, const union ipc__sockaddr *at,
    const struct ipc__options *opt)
{
	unsigned backlog = opt->backlog ? opt->backlog : SOMAXCONN;
	int fd, rc;

	fd = ipc__inet_socket(list, at, SOCK_STREAM | SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	rc = prepare(fd, opt);
	/* Connections of an earlier listener do not hold the port; a living
	 * listener does.  A port that is free is so without it. */
	if (rc == 0 && ipc__inet_port(at) != 0)
		rc = ipc__socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && bind(fd, &at->sa, ipc__inet_size(at)) < 0)
		rc = bind_failed(at, "bind");
	if (rc == 0)
		rc = ipc__socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc == 0 && listen(fd, backlog > INT_MAX ? INT_MAX :
	    (int)backlog) < 0)
		rc = bind_failed(at, "listen");
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int
listen_any(const struct ipc__inet *list, const struct ipc__options *opt)
{
	int fd = -EADDRNOTAVAIL;
	unsigned i;

	/* On to the next address only where this one is none of ours: a name
	 * in use is in use. */
	for (i = 0; i < list->count; i++) {
		fd = listen_at(list, &list->at[i], opt);
		if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
			break;
	}
	return fd;
}

static int
tcp_listen(struct ipc__half *h, const struct ipc__address *a)
{
	struct tcp *t = IPC__STATE(h, struct tcp);
	struct ipc__inet list;
	int fd, rc;

	rc = ipc__inet_resolve(&list, a->name, SOCK_STREAM, true);
	if (rc < 0 || (fd = rc = listen_any(&list, &a->opt)) < 0)
		return rc;
	h->fd = fd;
	tcp_size(h, a->opt.capacity);
	t->socket.listening = true;
	t->socket.capacity = a->opt.capacity;
	return 0;
}

static int
tcp_accept(struct ipc__half *h, struct ipc__half *listener)
{
	const struct tcp *t = IPC__STATE(listener, const struct tcp);
	int fd = ipc__socket_accept(listener);

	if (fd < 0)
		return fd;
	/* An adopted listener has not our options to pass on, and may be of a
	 * kind (MPTCP) that knows only some of them. */
	if (listener->adopted)
		(void)set_options(fd, true, true);
	h->fd = fd;
	tcp_size(h, t->socket.capacity);
	return 0;
}

static int
tcp_where(const struct ipc__half *h, char *buffer, size_t size)
{
	return ipc__inet_where(h->fd, "tcp", buffer, size);
}

static int
tcp_adopt(struct ipc__half *h, int fd, bool listening)
{
	struct tcp *t = IPC__STATE(h, struct tcp);
	int rc = ipc__socket_adopt(h, fd, listening, &tcp_kind);

	if (rc == 0)
		t->socket.listening = listening;
	return rc;
}

static int
tcp_take(struct ipc__half *h, struct ipc__ticket *ticket)
{
	return ipc__socket_take(h, ticket, &tcp_kind);
}

/*
 * Connecting
 */

static int
connect_failed(const struct ipc__inet *to, int code)
{
	char text[IPC__INET_TEXT];

	/* The time of the network is not that of the caller. */
	return ipc__fail(code == ETIMEDOUT ? EHOSTUNREACH : code,
	    "connect to %s: %s",
	    ipc__inet_text(&to->at[to->next - 1], text, sizeof text),
	    strerror(code));
}

/* One socket tries all addresses: whoever waits on it need not know. */
static int
try_next(int fd, struct ipc__inet *to, int code)
{
	const union ipc__sockaddr *at;
	int tries;

	while (to->next < to->count) {
		at = &to->at[to->next++];
		for (tries = 0; tries < 2; tries++) {
			if (connect(fd, &at->sa, ipc__inet_size(at)) == 0)
				return 0;
			if (errno == EINPROGRESS)
				return -EINPROGRESS;
			code = errno;
			if (code != ECONNABORTED) /* the last try's end */
				break;
		}
	}
	return connect_failed(to, code);
}

static int
tcp_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	struct tcp *t = IPC__STATE(h, struct tcp);
	int fd, rc;

	(void)timeout;
	rc = ipc__inet_resolve(&t->to, a->name, SOCK_STREAM, false);
	if (rc < 0)
		return rc;
	fd = ipc__inet_socket(&t->to, &t->to.at[0],
	    SOCK_STREAM | SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	rc = prepare(fd, &a->opt);
	if (rc == 0)
		rc = try_next(fd, &t->to, 0);
	if (rc < 0 && rc != -EINPROGRESS) {
		close(fd);
		return rc;
	}
	h->fd = fd;
	tcp_size(h, a->opt.capacity);
	return rc;
}

static int
tcp_connected(struct ipc__half *h)
{
	struct tcp *t = IPC__STATE(h, struct tcp);
	int code = ipc__socket_get(h->fd, SOL_SOCKET, SO_ERROR);

	if (code < 0)
		return ipc__fail_sys("getsockopt SO_ERROR");
	return code == 0 ? 0 : try_next(h->fd, &t->to, code);
}

/*
 * A pair
 */

/* Both ends have each other's address, so nobody else came between. */
static bool
are_ends(int a, int b)
{
	union ipc__sockaddr mine, theirs;
	socklen_t m, t;
	int i, swap;

	for (i = 0; i < 2; i++) {
		memset(&mine, 0, m = sizeof mine);
		memset(&theirs, 0, t = sizeof theirs);
		if (getsockname(a, &mine.sa, &m) < 0 ||
		    getpeername(b, &theirs.sa, &t) < 0 ||
		    !ipc__inet_same(&mine, &theirs))
			return false;
		swap = a;
		a = b;
		b = swap;
	}
	return true;
}

/* Strangers may have come first: as many as the backlog holds. */
static int
accept_own(int listener, int client)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd, tries;

	for (tries = 0; tries < STRANGERS && poll(&p, 1, 1000) > 0; tries++) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED)
			return ipc__fail_sys("accept");
		if (fd >= 0 && are_ends(fd, client))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return ipc__fail(ECONNABORTED, "a connection over the loopback did not "
	    "arrive");
}

static int
connect_to(int listener, const struct ipc__options *opt)
{
	struct timeval limit = { .tv_sec = 1 }, none = { 0 };
	union ipc__sockaddr at;
	socklen_t size = sizeof at;
	int fd, rc;

	memset(&at, 0, sizeof at);
	if (getsockname(listener, &at.sa, &size) < 0)
		return ipc__fail_sys("getsockname");
	if ((fd = ipc__socket_new(at.sa.sa_family, SOCK_STREAM)) < 0)
		return fd;
	if ((rc = prepare(fd, opt)) < 0) {
		close(fd);
		return rc;
	}
	/* The loopback answers at once, unless strangers fill the backlog. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	do {
		rc = connect(fd, &at.sa, size);
	} while (rc < 0 && errno == EINTR);
	/* After a signal it goes on by itself. */
	if (rc < 0 && errno != EISCONN && errno != EALREADY) {
		rc = bind_failed(&at, "connect");
		close(fd);
		return rc;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
	return fd;
}

static int
tcp_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	const struct ipc__options *opt = &address->opt;
	struct ipc__inet list;
	int listener, one = -1, two, rc;

	rc = ipc__inet_loopback(&list, address->name, SOCK_STREAM);
	if (rc < 0)
		return rc;
	if ((listener = rc = listen_any(&list, opt)) < 0)
		return rc;
	if ((one = rc = connect_to(listener, opt)) < 0 ||
	    (two = rc = accept_own(listener, one)) < 0) {
		if (one >= 0)
			close(one);
	} else {
		a->fd = one;
		b->fd = two;
		tcp_size(a, opt->capacity);
		tcp_size(b, opt->capacity);
		rc = 0;
	}
	close(listener);
	return rc;
}

/*
 * Moving and ending
 */

static ssize_t
tcp_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	ssize_t n;

	(void)aside;
	n = ipc__socket_send(h->fd, iov, count, NULL);
	return n > 0 ? n : ipc__socket_failed("sendmsg", n);
}

/* The kernel gives what it has before it tells of a reset or of a network that
 * vanished, and nothing comes after those. */
static ssize_t
tcp_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	ssize_t n;

	(void)aside;
	n = ipc__socket_recv_bytes(h->fd, iov, count);
	if (n >= 0)
		return n;
	return ipc__socket_gone(n) ? 0 : ipc__socket_failed("recvmsg", n);
}

static void
tcp_stretch(struct ipc__half *h, size_t more)
{
	int unbounded = -1;

	setsockopt(h->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unbounded,
	    sizeof unbounded);
	ipc__socket_stretch(h, more);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* On TCP this discards without copying.  The thread sanitizer takes the length
 * for that of a buffer, and finds that two threads write to it. */
static ssize_t
discard(int fd)
{
#ifdef __SANITIZE_THREAD__
	char bytes[65536];

	return recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
#else
	return recv(fd, NULL, 16 << 20, MSG_TRUNC | MSG_DONTWAIT);
#endif
}

/* Throws away what has arrived; false at the end of it all. */
static bool
read_away(int fd)
{
	ssize_t n;
	int i;

	/* Another process may send for ever, so not for ever. */
	for (i = 0; i < 64; i++) {
		n = discard(fd);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n < 0)
			break;
	}
	return true;
}

static int
unsent(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

static void
tcp_close(struct ipc__half *h, bool clean)
{
	const struct tcp *t = IPC__STATE(h, const struct tcp);
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	int64_t end = now_ms() + LINGER_MS;
	int slice = 1;

	if (!clean || t->socket.listening || (unsent(h->fd) == 0 &&
	    ipc__socket_pending(h) == 0) || shutdown(h->fd, SHUT_WR) < 0)
		return;
	/* That all has been acknowledged wakes nobody: look again, soon, then
	 * less often. */
	while (read_away(h->fd) && unsent(h->fd) > 0 && now_ms() < end) {
		poll(&p, 1, slice);
		if (slice < 16)
			slice *= 2;
	}
}

const struct ipc_backend ipc__backend_tcp = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "tcp",
		.title = "TCP, IPv4 and IPv6",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_SESSION |
		    1u << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = PAIR_CAPS,
			[IPC_WAY_SESSION] = SESSION_CAPS,
			[IPC_WAY_ADOPT] = ADOPT_CAPS
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_STREAM
	},
	.traits = IPC__BYTES | IPC__TWOWAY,
	.size = sizeof(struct tcp),
	.keys = {
		[IPC_WAY_PAIR] = PAIR_KEYS,
		[IPC_WAY_SESSION] = SESSION_KEYS,
		[IPC_WAY_ADOPT] = ADOPT_KEYS
	},
	.pair = tcp_pair,
	.listen = tcp_listen,
	.accept = tcp_accept,
	.connect = tcp_connect,
	.connected = tcp_connected,
	.where = tcp_where,
	.adopt = tcp_adopt,
	.give = ipc__socket_give,
	.take = tcp_take,
	.send = tcp_send,
	.recv = tcp_recv,
	.shutdown = ipc__socket_shutdown,
	.stretch = tcp_stretch,
	.ends_with = ipc__stream_ends_with,
	.pending = ipc__socket_pending,
	.close = tcp_close
};
