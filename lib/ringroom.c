/* SPDX-License-Identifier: ISC */
/*
 * What the ring's sender knows of its receiver: where that stands, and so what
 * is free.
 */

#include <errno.h>

#include "error.h"
#include "ringsend.h"

/* Lines of payload that are used again and again while the receiver is at most
 * so many behind; and how many are taken at once to be free. */
#define WINDOW		8u
#define WINDOW_BEHIND	2u
#define PIECE		512u

/* Memory that has to be made real first. */
void
ipc__ring_bound(struct ipc__ring *r)
{
	if (r->probe)
		return;
	if (r->real_u && r->limit_u > r->real_u)
		r->limit_u = r->real_u;
	if (r->real_v && r->limit_v > r->real_v)
		r->limit_v = r->real_v;
}

int
ipc__ring_look(struct ipc__ring *r)
{
	uint64_t head = ring_head_u(r), pos, bu, bv, size;

	/* Pairs with the receiver's release in ipc__ring_free(). */
	pos = ipc__ring_get(&r->head->pos, memory_order_acquire);
	bu = (head - pos) & IPC__RING_U;
	bv = (r->v - (pos >> 33)) & IPC__RING_V;
	if (bu > 2 * (uint64_t)r->lines ||
	    bv > 2 * (uint64_t)r->plines + TINY_LINES)
		return ipc__fail(EBADMSG, "the ring is broken: position");
	r->tail_u = head - bu;
	r->empty = bu == 0 && (pos >> 30 & 7) == ring_head_cell(r);
	/* What was skipped the receiver never had, and gives back no more. */
	r->tail_v = r->empty ? r->v : r->v - bv;
	r->limit_u = r->lines + (r->tail_u < r->barrier_u ? r->barrier_u :
	    r->tail_u);
	size = r->grown_v ? r->plines : TINY_LINES;
	r->limit_v = size + (r->tail_v < r->barrier_v ? r->barrier_v :
	    r->tail_v);
	if (r->real_u | r->real_v)
		ipc__ring_bound(r);
	return 0;
}

static inline uint64_t
ring_later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* It is full: until the receiver has made room for a record, and, where it was
 * lines that were missing, freed a fourth of them; so a sender that is woken
 * finds something to do. */
int
ipc__ring_full(struct ipc__ring *r, bool of_lines)
{
	uint64_t need = ipc__ring_lines(r->record);

	r->full = true;
	if (!ipc__ring_end(r->word))
		ring_follow(r);
	r->want_u = ring_later(r->tail_u + (of_lines ? r->grown_u / 4 : 0),
	    r->next_u + r->spare + 1 - r->lines);
	if (r->mirrored && r->grown_v == r->plines)
		r->want_v = ring_later(r->tail_v, r->v + need - r->plines);
	else
		r->want_v = r->tail_v + (of_lines ? 0 :
		    (r->grown_v ? r->grown_v : TINY_LINES) / 2);
	return -EAGAIN;
}

int
ipc__ring_relieve(struct ipc__ring *r)
{
	int rc = ipc__ring_look(r);

	if (rc < 0)
		return rc;
	if (!r->empty && (r->tail_u < r->want_u || r->tail_v < r->want_v))
		return -EAGAIN;
	r->full = false;
	return 0;
}

/* How far what is free goes on from here. */
void
ipc__ring_free_piece(struct ipc__ring *r)
{
	uint64_t size = r->grown_v ? r->plines : TINY_LINES;
	uint64_t used = r->grown_v ? r->grown_v : TINY_LINES;
	uint64_t end = (r->v & ~(size - 1)) + used;

	/* In the mirror it goes on. */
	if (r->mirrored && used == size)
		end += size;
	if (end > r->v + PIECE)
		end = r->v + PIECE;
	r->free_v = end < r->limit_v ? end : r->limit_v;
}

/* What was known to be free is used up by small records.  While each finds the
 * receiver waiting, all go to the same few lines: a line that both sides had a
 * moment ago comes faster than one that they had a while ago.  The look at the
 * receiver is now, as it has something to do, and not before the next one. */
void
ipc__ring_window(struct ipc__ring *r)
{
	uint64_t size = r->grown_v ? r->plines : TINY_LINES, index, start;

	index = r->v & (size - 1);
	start = r->v - index + size;
	/* A bad position shows again at the next look.  What is unread lies in
	 * this lap, or it could not be skipped back. */
	if (ipc__ring_look(r) < 0 || r->real_v ||
	    r->v - r->tail_v > WINDOW_BEHIND || r->v - r->tail_v > index ||
	    start >= r->limit_v) {
		ipc__ring_free_piece(r);
		return;
	}
	r->skip_v = r->v + size;
	r->v = start;
	r->free_v = start + WINDOW < r->limit_v ? start + WINDOW : r->limit_v;
}

/* No room is left before what was unread when the lap was begun early: the rest
 * of that lap is free behind it.  As where a ring grows, the barrier stands for
 * the receiver until that has come past it. */
bool
ipc__ring_unskip(struct ipc__ring *r)
{
	uint64_t size = r->grown_v ? r->plines : TINY_LINES, to = r->skip_v;
	uint64_t lap = to & ~(size - 1);

	r->skip_v = 0;
	if (to == 0 || r->v > to || r->v < lap || r->tail_v >= lap)
		return false;
	r->v = to;
	r->barrier_v = lap;
	r->limit_v = lap + size;
	ipc__ring_bound(r);
	return true;
}
