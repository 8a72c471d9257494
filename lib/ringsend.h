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
	ipc__ring_set(&r->head->claim, ipc__ring_pos(u, 0, v),
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

static inline void
ring_show(struct ipc__ring *r)
{
	/* Pairs with the receiver's acquire in ring_load_word(). */
	ipc__ring_set(&r->at->word, r->word, memory_order_release);
	r->held = false;
}

/* Payload that went around the cache is fenced, and what waited for that is
 * shown. */
void	ipc__ring_flush(struct ipc__ring *r);

/* The word of a line that is closed: it is shown, or waits for its payload. */
static inline void
ring_leave(struct ipc__ring *r)
{
	if (!r->unfenced && r->waiting == 0) {
		ring_show(r);
		return;
	}
	r->wait[r->waiting].line = r->at;
	r->wait[r->waiting].word = r->word;
	r->held = false;
	if (++r->waiting == IPC__RING_HELD)
		ipc__ring_flush(r);
}

/* What the word of our line says of the next one: nothing yet if that is not
 * known to be free. */
static inline uint64_t
ring_foresee(struct ipc__ring *r)
{
	if (r->grown_u < r->lines &&
	    (r->u & (r->lines - 1)) + 1 == r->grown_u)
		return 0;
	ring_follow(r);
	return r->next_u + r->spare < r->limit_u ?
	    (uint64_t)r->next_end << 6 : 0;
}

/* Notes a record of so many cells in the word of our line, which it returns. */
static inline uint64_t
ring_note(struct ipc__ring *r, unsigned code, unsigned cells)
{
	unsigned cell = r->cell;
	uint64_t word = r->word | (uint64_t)code << 8 * (cell + 1);

	cell += cells;
	/* If another record like this one would not fit behind it, the line is
	 * closed with it: the next record then touches one line, not two. */
	if (cell + cells > IPC__RING_CELLS)
		word |= ring_foresee(r);
	r->cell = cell;
	r->word = word;
	r->open = r->empty = false;
	return word;
}

/* Where payload of this position lies. */
static inline unsigned char *
ring_payload(const struct ipc__ring *r, uint64_t v)
{
	return r->grown_v ? r->payload + (v & (r->plines - 1)) *
	    IPC__RING_LINE : r->head->tiny + (v & (TINY_LINES - 1)) *
	    IPC__RING_LINE;
}

/* A message longer than that. */
bool	ipc__ring_put_far(struct ipc__ring *r, const void *data, size_t size,
	    unsigned flags);

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
/* How far what is free goes on from here. */
void	ipc__ring_free_piece(struct ipc__ring *r);
/* Small records have used that up. */
void	ipc__ring_window(struct ipc__ring *r);
/* There is no room: was some left out by that?  Then it is to be had now. */
bool	ipc__ring_unskip(struct ipc__ring *r);

#endif
