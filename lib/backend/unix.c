/* SPDX-License-Identifier: ISC */
/*
 * unix: Unix stream sockets.
 */
#include <sys/socket.h>

#include <errno.h>

#include "socket.h"

#define ADOPT_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX))
#define PAIR_KEYS	(IPC__SOCKET_KEYS | IPC__BIT(DUPLEX) | \
			 IPC__BIT(CAPACITY))
#define SESSION_KEYS	(PAIR_KEYS | IPC__MEETING_KEYS)

#define ADOPT_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_PEER | \
			 IPC_CAP_HOSTILE)
#define CAPS		(ADOPT_CAPS | IPC_CAP_DEATH | IPC_CAP_FDS | \
			 IPC_CAP_HALF)

static const struct ipc__socket_kind unix_kind = {
	.domain = AF_UNIX,
	.domain2 = AF_UNIX,
	.type = SOCK_STREAM,
	.title = "a Unix stream socket",
	.size = ipc__stream_size
};

static int
unix_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	return ipc__socket_pair(a, b, address, &unix_kind);
}

static int
unix_listen(struct ipc__half *h, const struct ipc__address *a)
{
	return ipc__unix_serve(h, a, &unix_kind);
}

static int
unix_accept(struct ipc__half *h, struct ipc__half *listener)
{
	return ipc__unix_accept(h, listener, &unix_kind);
}

static int
unix_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	return ipc__unix_reach(h, a, timeout, &unix_kind);
}

static int
unix_adopt(struct ipc__half *h, int fd, bool listening)
{
	return ipc__socket_adopt(h, fd, listening, &unix_kind);
}

static int
unix_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__socket_take(h, t, &unix_kind);
}

static ssize_t
unix_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	ssize_t n = ipc__socket_send(h->fd, iov, count, aside);

	return n > 0 ? n : ipc__socket_failed("sendmsg", n);
}

/*
 * A peer that closed with bytes of ours unread leaves one ECONNRESET behind
 * what it sent (and a kernel may put it before).  Only the end of file is the
 * end, so that what is still there is read.
 */
static ssize_t
unix_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	ssize_t n = ipc__socket_recv(h->fd, iov, count, aside);

	if (n == -ECONNRESET)
		n = ipc__socket_recv(h->fd, iov, count, aside);
	if (n >= 0)
		return n;
	return ipc__socket_gone(n) ? 0 : ipc__socket_failed("recvmsg", n);
}

const struct ipc_backend ipc__backend_unix = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "unix",
		.title = "Unix socket, stream",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_SESSION |
		    1u << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_SESSION] = CAPS,
			[IPC_WAY_ADOPT] = ADOPT_CAPS
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_STREAM
	},
	.traits = IPC__BYTES | IPC__TWOWAY | IPC__PASSES | IPC__PATHS,
	.size = sizeof(struct ipc__socket),
	.keys = {
		[IPC_WAY_PAIR] = PAIR_KEYS,
		[IPC_WAY_SESSION] = SESSION_KEYS,
		[IPC_WAY_ADOPT] = ADOPT_KEYS
	},
	.pair = unix_pair,
	.listen = unix_listen,
	.accept = unix_accept,
	.connect = unix_connect,
	.where = ipc__unix_where,
	.adopt = unix_adopt,
	.give = ipc__socket_give,
	.take = unix_take,
	.send = unix_send,
	.recv = unix_recv,
	.shutdown = ipc__socket_shutdown,
	.stretch = ipc__socket_stretch,
	.expect = ipc__stream_expect,
	.ends_with = ipc__stream_ends_with,
	.peer = ipc__socket_peer,
	.pending = ipc__socket_pending,
	.close = ipc__unix_close
};
