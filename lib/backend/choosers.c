/* SPDX-License-Identifier: ISC */
/*
 * Schemes that leave the mechanism open: the core tries their choices, the best
 * first, and ipc_info tells which it has become.  What such a scheme promises
 * is what each of its choices can do.
 */
#include "queue.h"

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
