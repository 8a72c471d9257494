/* SPDX-License-Identifier: ISC */
/*
 * The short way through a ring, for one message that lies in its line: what
 * ringsend.c and ringrecv.c do, without what can not be the case then.
 * Whatever else there is answers "no" before anything was touched.
 */
#ifndef IPC_LIB_RINGQUICK_H
#define IPC_LIB_RINGQUICK_H

#include "ringsend.h"

/* Into this line, or into the next one if that is known to be free; shown, and
 * whoever sleeps has still to be rung. */
static inline bool
ring_put(struct ipc__ring *r, const void *data, size_t size)
{
	unsigned cells = ipc__ring_cells(size);

	/* What goes around the cache waits only with what is held. */
	if (r->full | r->held)
		return false;
	if (size > IPC__RING_INLINE)
		return ipc__ring_put_far(r, data, size);
	if (ipc__ring_end(r->word)) {
		if (r->claims && !ring_claim(r, r->next_u, r->v))
			return false;
		r->u = r->next_u;
		r->at = ipc__ring_at(r, r->u);
		r->cell = 0;
		r->word = ipc__ring_tag(r, r->u);
	} else if (r->cell + cells > IPC__RING_CELLS) {
		return false;
	}
	ipc__copy_small(&r->at->u.cell[r->cell], data, size);
	r->word |= (uint64_t)(size + 1) << 8 * (r->cell + 1);
	r->cell += cells;
	r->open = r->empty = false;
	ring_foresee(r, cells);
	ring_show(r);
	return true;
}

/* The word of our line says what begins at our cell; 0: nothing yet. */
static inline unsigned
ring_code(struct ipc__ring *r)
{
	unsigned code = 0;
	uint64_t word;

	if (r->cell < IPC__RING_CELLS)
		code = ipc__ring_code(r->word, r->cell);
	if (code != 0)
		return code;
	/* Pairs with the sender's release in ring_show(). */
	word = ipc__ring_get(&r->at->word, memory_order_acquire);
	if ((word & 0x3f) != ipc__ring_tag(r, r->u) ||
	    r->cell >= IPC__RING_CELLS)
		return 0;
	r->word = word;
	return ipc__ring_code(word, r->cell);
}

/* To the line that follows. */
static inline void
ring_pass(struct ipc__ring *r)
{
	/* A bad jump shows at the next peek. */
	if (ipc__ring_end(r->word) != IPC__END_NEXT ||
	    ((r->u + 1) & (r->lines - 1)) == 0) {
		(void)ipc__ring_next(r);
		return;
	}
	r->last_u = r->u++;
	r->at++;
	r->cell = 0;
	r->word = 0;
}

/* The size of what was copied and released; -1: it is not there, not so small,
 * or not of this kind. */
static inline ssize_t
ring_get(struct ipc__ring *r, void *buffer, size_t room)
{
	unsigned code = ring_code(r), size = code - 1, cells;

	if (size > IPC__RING_INLINE)
		return code == IPC__RING_FAR || code == IPC__RING_NIGH ?
		    ipc__ring_get_far(r, buffer, room) : -1;
	if (size > room)
		return -1;
	cells = ipc__ring_cells(size);
	if (r->cell + cells > IPC__RING_CELLS)
		return -1;
	ipc__copy_small(buffer, &r->at->u.cell[r->cell], size);
	r->cell += cells;
	r->cells = 0;
	r->run++;
	if (ipc__ring_end(r->word) && (r->cell >= IPC__RING_CELLS ||
	    ipc__ring_code(r->word, r->cell) == 0))
		ring_pass(r);
	ipc__ring_free(r);
	return (ssize_t)size;
}

#endif
