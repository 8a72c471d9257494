/* SPDX-License-Identifier: ISC */
/*
 * What the files of the ring's sender share.
 */
#ifndef IPC_LIB_RINGSEND_H
#define IPC_LIB_RINGSEND_H

#include "ring.h"

#define TINY_LINES	(sizeof ((struct ipc__ring_head *)0)->tiny / \
			    IPC__RING_LINE)

/* Says up to where we write from now on: false if the receiver has begun to
 * take memory away.  Pairs with ipc__ring_shrink(), as sleeping does. */
static inline bool
ring_claim(struct ipc__ring *r, uint64_t u, uint64_t v)
{
	ipc__ring_set(&r->own->claim, ipc__ring_pos(u, 0, v),
	    memory_order_relaxed);
	if (r->omit)
		atomic_signal_fence(memory_order_seq_cst);
	else
		atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&r->other->gate,
	    memory_order_relaxed) == r->gate;
}

/* Where the next record's word stands. */
static inline uint64_t
ring_head_u(const struct ipc__ring *r)
{
	return ipc__ring_end(r->word) ? r->next_u : r->u;
}

static inline unsigned
ring_head_cell(const struct ipc__ring *r)
{
	return ipc__ring_end(r->word) ? 0 : r->cell;
}

/* The line after this one by the plain rule. */
static inline void
ring_follow(struct ipc__ring *r)
{
	if ((r->u & (r->lines - 1)) + 1 < r->grown_u) {
		r->next_u = r->u + 1;
		r->next_end = IPC__END_NEXT;
	} else {
		r->next_u = (r->u | (r->lines - 1)) + 1;
		r->next_end = IPC__END_WRAP;
	}
}

/*
 * ringroom.c
 */

/* Looks where the receiver is, and how far that lets us go: 0 or -EBADMSG. */
int	ipc__ring_look(struct ipc__ring *r);
/* The limits without memory that has to be made real first. */
void	ipc__ring_bound(struct ipc__ring *r);
/* There is no room, of lines or of payload: until when; -EAGAIN. */
int	ipc__ring_full(struct ipc__ring *r, bool of_lines);
/* Is there some now? */
int	ipc__ring_relieve(struct ipc__ring *r);

#endif
