/* SPDX-License-Identifier: ISC */
/*
 * What sysvmq.c and sysvmq_pair.c share.
 */
#ifndef IPC_LIB_SYSVMQ_H
#define IPC_LIB_SYSVMQ_H

#include "backend.h"
#include "msgqueue.h"

/* As msgsnd wants it. */
struct ipc__letter {
	long		type;
	unsigned char	text[];
};

struct ipc__sysvmq {
	bool		 made;		/* all this is valid */
	int		 id;
	struct ipc__letter	*in, *out; /* NULL: not used yet */
	uint32_t	 in_room, out_room;	/* bytes of text */
	uint32_t	 want;		/* bytes that found no room, and 1 */
	uint64_t	 room;		/* private: so much there is at least */
	/* wait=block: what it has already received (its type; it is empty), or
	 * sent. */
	long		 kept;
	bool		 sent;
	/* Private queues only. */
	key_t		 key;
	int		 hold;
	struct ipc__bell *bell;
};

/* Becomes an end of this queue, without a bell. */
void ipc__sysvmq_start(struct ipc__half *h, int id, size_t record,
    size_t capacity);
void ipc__sysvmq_close(struct ipc__half *h, bool clean);

/* sysvmq_pair.c */
int ipc__sysvmq_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address);
int ipc__sysvmq_pair_both(struct ipc__half *h[4],
    const struct ipc__address *address);
int ipc__sysvmq_give(struct ipc__half *h, struct ipc__ticket *t);
int ipc__sysvmq_take(struct ipc__half *h, struct ipc__ticket *t);

#endif
