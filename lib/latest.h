/* SPDX-License-Identifier: ISC */
/*
 * Slots that hold only the newest message (latest=1).  The sender never waits,
 * the receiver never holds it up and never sees half a message.
 */
#ifndef IPC_LIB_LATEST_H
#define IPC_LIB_LATEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring.h"

#define IPC__LATEST_SLOTS	4u
#define IPC__LATEST_SIZE	(1u << 20)	/* unless said otherwise */
#define IPC__LATEST_SIZE_MAX	(1u << 28)

/* The start of the memory; the sides lie where they do in a ring. */
struct ipc__latest_head {
	unsigned char	 magic[8];
	uint32_t	 version;
	uint32_t	 slots;
	alignas(8) uint64_t size;	/* longest message */
	uint64_t	 bytes;		/* all of it */
	unsigned char	 pad0[24];
	uint64_t	 secret;	/* System V: see sysvshm.c */
	struct ipc__ring_side send, recv;
	alignas(8) _Atomic uint64_t newest;	/* number; 0: none yet */
	unsigned char	 pad1[56];
};

struct ipc__latest_slot {
	alignas(8) _Atomic uint64_t number;	/* of what is in it; 0: is
						   being written */
	_Atomic uint32_t size;
	_Atomic uint32_t flags;
	unsigned char	 pad[48];
	unsigned char	 data[];
};

_Static_assert(sizeof(struct ipc__latest_head) == 256, "head");
_Static_assert(offsetof(struct ipc__latest_head, send) ==
    offsetof(struct ipc__ring_head, send), "sides");

struct ipc__latest {
	struct ipc__latest_head *head;
	const struct ipc__ring_ops *ops;
	void		*owner;
	size_t		 size;		/* longest message, checked */
	uint64_t	 number;	/* sent, or taken, last */
	/* The sender. */
	bool		 open;
	size_t		 room;
	size_t		 real[IPC__LATEST_SLOTS];	/* bytes that exist */
	/* The receiver: its copy of what it was shown. */
	uint64_t	 shown;		/* 0: nothing */
	unsigned char	*copy;
	size_t		 copy_size, length;
	unsigned	 flags;
};

/* Longest message of slots that are made with these options. */
struct ipc__options;
uint64_t ipc__latest_size(const struct ipc__options *opt);
size_t	ipc__latest_bytes(uint64_t size);
void	ipc__latest_format(void *memory, uint64_t size);
/* As ipc__ring_check(). */
int	ipc__latest_check(const void *memory, size_t bytes, uint64_t *size);
bool	ipc__latest_is(const void *memory);

void	ipc__latest_join(struct ipc__latest *l, void *memory, uint64_t size,
	    const struct ipc__ring_ops *ops, void *owner);
void	ipc__latest_leave(struct ipc__latest *l);

int	ipc__latest_reserve(struct ipc__latest *l, void **data, size_t size);
int	ipc__latest_commit(struct ipc__latest *l, size_t size, unsigned flags);
ssize_t	ipc__latest_send(struct ipc__latest *l, const struct iovec *iov,
	    int count, unsigned flags);
ssize_t	ipc__latest_peek(struct ipc__latest *l, const void **data,
	    unsigned *flags);
void	ipc__latest_release(struct ipc__latest *l);
bool	ipc__latest_ready(const struct ipc__latest *l);

#endif
