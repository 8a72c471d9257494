/* SPDX-License-Identifier: ISC */
/*
 * unixpacket: Unix sequenced-packet sockets.  The core puts a byte before each
 * record, so that a record is never empty and an empty one is the end.
 */
#include <sys/socket.h>

#include <errno.h>

#include "socket.h"

#define ADOPT_KEYS	IPC__SOCKET_KEYS
#define PAIR_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX) | \
			 IPC__BIT(CAPACITY))
#define SESSION_KEYS	(PAIR_KEYS | IPC__MEETING_KEYS)

#define ADOPT_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_RELIABLE | \
			 IPC_CAP_END | IPC_CAP_DELIVERS | IPC_CAP_FD | \
			 IPC_CAP_PEER | IPC_CAP_HOSTILE)
#define CAPS		(ADOPT_CAPS | IPC_CAP_LARGE | IPC_CAP_DEATH | \
			 IPC_CAP_FDS | IPC_CAP_HALF)

static const struct ipc__socket_kind packet_kind = {
	.domain = AF_UNIX,
	.domain2 = AF_UNIX,
	.type = SOCK_SEQPACKET,
	.title = "a Unix seqpacket socket",
	.size = ipc__record_size
};

static int
packet_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	return ipc__socket_pair(a, b, address, &packet_kind);
}

static int
packet_listen(struct ipc__half *h, const struct ipc__address *a)
{
	return ipc__unix_serve(h, a, &packet_kind);
}

static int
packet_accept(struct ipc__half *h, struct ipc__half *listener)
{
	return ipc__unix_accept(h, listener, &packet_kind);
}

static int
packet_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	return ipc__unix_reach(h, a, timeout, &packet_kind);
}

static int
packet_adopt(struct ipc__half *h, int fd, bool listening)
{
	return ipc__socket_adopt(h, fd, listening, &packet_kind);
}

static int
packet_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__socket_take(h, t, &packet_kind);
}

/* Our own records are never empty.  A foreign program's may be, and it looks
 * like the end; but not while the other side is there. */
static bool
foreign_empty(const struct ipc__half *h)
{
	struct pollfd p = { h->fd, POLLRDHUP, 0 };

	return h->bare && poll(&p, 1, 0) == 0;
}

/*
 * A peer that closed with records of ours unread leaves one ECONNRESET, before
 * the records that it sent: only the end of file is the end.
 */
static ssize_t
packet_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	ssize_t n = ipc__record_recv(h, iov, count, aside);

	if (n == -ECONNRESET)
		n = ipc__record_recv(h, iov, count, aside);
	if (n == 0)
		return foreign_empty(h) ? 0 : -EPIPE;
	return ipc__socket_failed("recvmsg", n);
}

const struct ipc_backend ipc__backend_unixpacket = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "unixpacket",
		.title = "Unix socket, seqpacket",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_SESSION |
		    1u << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_SESSION] = CAPS,
			[IPC_WAY_ADOPT] = ADOPT_CAPS
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__TWOWAY | IPC__PASSES | IPC__PATHS,
	.size = sizeof(struct ipc__socket),
	.keys = {
		[IPC_WAY_PAIR] = PAIR_KEYS,
		[IPC_WAY_SESSION] = SESSION_KEYS,
		[IPC_WAY_ADOPT] = ADOPT_KEYS
	},
	.pair = packet_pair,
	.listen = packet_listen,
	.accept = packet_accept,
	.connect = packet_connect,
	.where = ipc__unix_where,
	.adopt = packet_adopt,
	.give = ipc__socket_give,
	.take = packet_take,
	.send = ipc__record_send,
	.recv = packet_recv,
	.shutdown = ipc__socket_shutdown,
	.stretch = ipc__socket_stretch,
	.expect = ipc__record_expect,
	.ends_with = ipc__record_ends_with,
	.peer = ipc__socket_peer,
	.pending = ipc__socket_pending,
	.close = ipc__unix_close
};
