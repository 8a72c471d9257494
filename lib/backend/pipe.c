/* SPDX-License-Identifier: ISC */
/*
 * pipe: anonymous pipes.  A link is one pipe; two-way pairs and sessions are
 * two of them, put together by the core.  What is adopted may also be a FIFO, a
 * terminal, another character device or a plain file: a descriptor that a shell
 * or inetd left.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pipeio.h"

#define KEY(name)	(UINT32_C(1) << IPC__KEY_##name)
#define KEYS		(KEY(BOUNDARY) | KEY(DUPLEX) | KEY(CAPACITY) | \
			 KEY(MAX_MESSAGE) | KEY(WAIT) | KEY(THREADS))
#define KEYS_MEETING	(KEY(MODE) | KEY(UID) | KEY(GID) | KEY(ALLOW_UID) | \
			 KEY(ALLOW_GID) | KEY(AT) | KEY(BACKLOG))
#define KEYS_ADOPT	(KEY(BOUNDARY) | KEY(MAX_MESSAGE) | KEY(WAIT) | \
			 KEY(THREADS))

#define CAPS_ADOPT	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DELIVERS | IPC_CAP_FD)
#define CAPS		(CAPS_ADOPT | IPC_CAP_DEATH | IPC_CAP_FDS | \
			 IPC_CAP_PEER | IPC_CAP_HOSTILE | IPC_CAP_HALF)

static int
pipe_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return ipc__fail_sys("pipe2");
	a->fd = a->dir == IPC_RECV ? fds[0] : fds[1];
	b->fd = a->dir == IPC_RECV ? fds[1] : fds[0];
	ipc__pipe_start(a, address->opt.capacity);
	ipc__pipe_start(b, address->opt.capacity);
	return 0;
}

const struct ipc_backend ipc__backend_pipe = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "pipe",
		.title = "anonymous pipe",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_SESSION |
		    1 << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_SESSION] = CAPS,
			[IPC_WAY_ADOPT] = CAPS_ADOPT,
		},
		.direction = IPC_SEND,
		.boundary = IPC_STREAM
	},
	.traits = IPC__BYTES | IPC__GATHERS | IPC__LIFE | IPC__LOCAL_NAME,
	.size = sizeof(struct ipc__pipe),
	.keys = {
		[IPC_WAY_PAIR] = KEYS,
		[IPC_WAY_SESSION] = KEYS | KEYS_MEETING,
		[IPC_WAY_ADOPT] = KEYS_ADOPT,
	},
	.pair = pipe_pair,
	.adopt = ipc__pipe_adopt,
	.give = ipc__pipe_give,
	.take = ipc__pipe_take,
	.send = ipc__pipe_send,
	.recv = ipc__pipe_recv,
	.stretch = ipc__pipe_stretch,
	.expect = ipc__pipe_expect,
	.pending = ipc__pipe_pending,
};
