/* SPDX-License-Identifier: ISC */
/*
 * Schemes that leave the mechanism open: the core tries their choices, the best
 * first, and ipc_info tells which it has become.  What such a scheme promises
 * is what each of its choices can do.
 */
#include "queue.h"
#include "shm.h"
#include "shmopen.h"

/* A POSIX queue has a descriptor, and goes by itself. */
static const char *const queues[] = { "posixmq", "sysvmq", NULL };

const struct ipc_backend ipc__backend_mq = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "mq",
		.title = "message queue, POSIX or System V",
		.ways = IPC__QUEUE_WAYS,
		.caps = {
			[IPC_WAY_PAIR] = IPC__QUEUE_CAPS_PAIR,
			[IPC_WAY_OPEN] = IPC__QUEUE_CAPS_OPEN,
			[IPC_WAY_SESSION] = IPC__QUEUE_CAPS_PAIR
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.keys = {
		[IPC_WAY_PAIR] = IPC__QUEUE_KEYS_PAIR,
		[IPC_WAY_OPEN] = IPC__QUEUE_KEYS_OPEN,
		[IPC_WAY_SESSION] = IPC__QUEUE_KEYS_SESSION
	},
	.choices = queues
};

/* Sealed memory first: nothing is left of it, and it holds against a hostile
 * other side, as a System V segment does. */
static const char *const memories[] = {
	"memfd", "sysvshm", "posixshm", NULL
};

const struct ipc_backend ipc__backend_shm = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "shm",
		.title = "ring in the best shared memory",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_OPEN |
		    1u << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = IPC__SHM_CAPS,
			[IPC_WAY_OPEN] = IPC__SHM_OPEN_CAPS,
			[IPC_WAY_SESSION] = IPC__SHM_CAPS
		}
	},
	.keys = {
		[IPC_WAY_PAIR] = IPC__SHM_KEYS,
		[IPC_WAY_OPEN] = IPC__SHM_OPEN_KEYS,
		[IPC_WAY_SESSION] = IPC__SHM_SESSION_KEYS
	},
	.choices = memories
};

/* A ring where both ends can map it, and a socket where they can not. */
static const char *const locals[] = { "memfd", "unix", NULL };

#define LOCAL_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DEATH | IPC_CAP_DELIVERS | IPC_CAP_FD | \
			 IPC_CAP_FDS | IPC_CAP_PEER | IPC_CAP_HOSTILE | \
			 IPC_CAP_HALF)
#define LOCAL_KEYS	(IPC__SHM_KEYS & ~(1u << IPC__KEY_LATEST))
#define LOCAL_SESSION_KEYS \
			(IPC__SHM_SESSION_KEYS & ~(1u << IPC__KEY_LATEST))

const struct ipc_backend ipc__backend_local = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "local",
		.title = "the best for two processes of this machine",
		.ways = 1u << IPC_WAY_PAIR | 1u << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = LOCAL_CAPS,
			[IPC_WAY_SESSION] = LOCAL_CAPS
		}
	},
	.traits = IPC__LOCAL_NAME,
	.keys = {
		[IPC_WAY_PAIR] = LOCAL_KEYS,
		[IPC_WAY_SESSION] = LOCAL_SESSION_KEYS
	},
	.choices = locals
};
