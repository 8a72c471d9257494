/* SPDX-License-Identifier: ISC */
/*
 * The short way through a ring, for one message that lies in its line: what
 * ringsend.c and ringrecv.c do, without what can not be the case then.
 * Whatever else there is answers "no" before anything was touched.
 */
#ifndef IPC_LIB_RINGQUICK_H
#define IPC_LIB_RINGQUICK_H

#include "ringsend.h"

/* The longest record that is copied here: what is longer has better ways. */
#define RING_QUICK	4096u

/* To the next line, if that is known to be free, with payload up to v. */
static inline bool
ring_put_turn(struct ipc__ring *r, uint64_t v)
{
	if (r->claims && !ring_claim(r, r->next_u, v))
		return false;
	/* Closed before anything of the next one is shown. */
	if (r->held)
		ring_leave(r);
	r->u = r->next_u;
	r->at = ipc__ring_at(r, r->u);
	r->cell = 0;
	r->word = ipc__ring_tag(r, r->u);
	return true;
}

static inline void
ring_put_note(struct ipc__ring *r, unsigned code, unsigned cells)
{
	r->word |= (uint64_t)code << 8 * (r->cell + 1);
	r->cell += cells;
	r->open = r->empty = false;
	r->held = true;
	ring_foresee(r, cells);
}

/* One whose payload lies elsewhere, where we know of free memory. */
static inline bool
ring_put_payload(struct ipc__ring *r, const void *data, size_t size,
    bool around)
{
	uint64_t v = r->v + ipc__ring_lines(size);
	unsigned char *to;

	if (v > r->free_v || size > RING_QUICK)
		return false;
	if (ipc__ring_end(r->word)) {
		if (!ring_put_turn(r, v))
			return false;
	} else if (r->cell >= IPC__RING_CELLS ||
	    (r->claims && !ring_claim(r, r->u, v))) {
		return false;
	}
	to = ring_payload(r, r->v);
	if (around) {
		ipc__copy_around(to, data, size);
		r->unfenced = true;
	} else if (size <= 64) {
		ipc__copy_small(to, data, size);
	} else {
		memcpy(to, data, size);
	}
	ipc__ring_set(&r->at->u.cell[r->cell],
	    (r->v & IPC__RING_V) << 32 | size, memory_order_relaxed);
	r->v = v;
	ring_put_note(r, r->grown_v ? IPC__RING_FAR : IPC__RING_NIGH, 1);
	return true;
}

/* One that lies in this line, or in the next one. */
__attribute__((always_inline))
static inline bool
ring_put_small(struct ipc__ring *r, const void *data, size_t size)
{
	unsigned cells = ipc__ring_cells(size);

	if (ipc__ring_end(r->word)) {
		if (!ring_put_turn(r, r->v))
			return false;
	} else if (r->cell + cells > IPC__RING_CELLS) {
		return false;
	}
	ipc__copy_small(&r->at->u.cell[r->cell], data, size);
	ring_put_note(r, (unsigned)size + 1, cells);
	return true;
}

__attribute__((noinline))
static bool
ring_put_long(struct ipc__ring *r, const void *data, size_t size)
{
	if ((size >= IPC__COPY_ALONE && ipc__ring_far(r, size)) ||
	    !ring_put_payload(r, data, size, false))
		return ipc__ring_put_far(r, data, size, 0);
	ring_show(r);
	return true;
}

/* Shown; whoever sleeps has still to be rung. */
static inline bool
ring_put(struct ipc__ring *r, const void *data, size_t size)
{
	if (r->full | r->held)
		return false;
	if (size > IPC__RING_INLINE)
		return ring_put_long(r, data, size);
	if (!ring_put_small(r, data, size))
		return false;
	ring_show(r);
	return true;
}

/* Either, still to be shown. */
static inline bool
ring_put_held(struct ipc__ring *r, const void *data, size_t size)
{
	return size > IPC__RING_INLINE ? ring_put_payload(r, data, size,
	    size >= IPC__COPY_BATCH && ipc__ring_far(r, size)) :
	    ring_put_small(r, data, size);
}

/* As many as there is room for, all shown at once at the end: how many. */
static inline int
ring_put_many(struct ipc__ring *r, const struct iovec *iov, int count,
    size_t most)
{
	size_t size;
	int i;

	if (r->full | r->held)
		return 0;
	for (i = 0; i < count; i++) {
		size = iov[i].iov_len;
		if (size > most)
			break;
		if (!ring_put_held(r, iov[i].iov_base, size) &&
		    ipc__ring_send(r, &iov[i], 1, IPC__HOLD) < 0)
			break;
	}
	ipc__ring_publish(r);
	return i;
}

/* The word of our line says what begins at our cell; 0: nothing yet, or it is
 * not for here. */
static inline unsigned
ring_code(struct ipc__ring *r)
{
	unsigned code = 0;
	uint64_t word;

	if (r->cell < IPC__RING_CELLS)
		code = ipc__ring_code(r->word, r->cell);
	if (code != 0)
		return code;
	if (r->word != 0)
		ipc__ring_linger(r);
	r->met = r->run;
	/* Pairs with the sender's release in ring_show(). */
	word = ipc__ring_get(&r->at->word, memory_order_acquire);
	if ((word & 0x3f) == ipc__ring_tag(r, r->u)) {
		if (r->cell < IPC__RING_CELLS)
			code = ipc__ring_code(word, r->cell);
		if (code == 0 && ipc__ring_end(word))
			return ipc__ring_find(r, &code) < 0 ? 0 : code;
		r->word = word;
	}
	if (code == 0)
		ipc__ring_nothing(r);
	return code;
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

static inline void
ring_took(struct ipc__ring *r, unsigned cells)
{
	r->cell += cells;
	r->cells = 0;
	r->run++;
	if (ipc__ring_end(r->word) && (r->cell >= IPC__RING_CELLS ||
	    ipc__ring_code(r->word, r->cell) == 0))
		ring_pass(r);
}

/* One whose payload lies elsewhere.  Out of line, so that the smallest do not
 * pay for it. */
__attribute__((noinline))
static ssize_t
ring_get_long(struct ipc__ring *r, unsigned code, void *buffer, size_t room)
{
	uint64_t cell, v;
	size_t size;

	if (code != IPC__RING_FAR)
		return code == IPC__RING_NIGH ?
		    ipc__ring_get_far(r, buffer, room) : code ? -2 : -1;
	cell = ipc__ring_get(&r->at->u.cell[r->cell], memory_order_relaxed);
	v = cell >> 32 & (r->plines - 1);
	size = (uint32_t)cell;
	/* What was touched ends with the payload, before the mirror. */
	if (size > room || size > RING_QUICK ||
	    v * IPC__RING_LINE + size > r->touched)
		return ipc__ring_get_far(r, buffer, room);
	memcpy(buffer, r->payload + v * IPC__RING_LINE, size);
	r->v = ((cell >> 32) + ipc__ring_lines(size)) & IPC__RING_V;
	/* Relaxed: it is only timed. */
	ipc__ring_set(&r->head->beat, r->v, memory_order_relaxed);
	ring_took(r, 1);
	return (ssize_t)size;
}

/* The size of what was copied and taken; -1: it is not there; -2: it is not of
 * this kind.  It is still to be given back. */
__attribute__((always_inline))
static inline ssize_t
ring_get_held(struct ipc__ring *r, void *buffer, size_t room)
{
	unsigned code = ring_code(r), size = code - 1, cells;

	if (size > IPC__RING_INLINE)
		return ring_get_long(r, code, buffer, room);
	if (size > room)
		return -2;
	cells = ipc__ring_cells(size);
	if (r->cell + cells > IPC__RING_CELLS)
		return -1;
	ipc__copy_small(buffer, &r->at->u.cell[r->cell], size);
	ring_took(r, cells);
	return (ssize_t)size;
}

static inline ssize_t
ring_get(struct ipc__ring *r, void *buffer, size_t room)
{
	ssize_t n = ring_get_held(r, buffer, room);

	if (n >= 0)
		ipc__ring_free(r);
	return n;
}

/* As many as are there and fit: how many. */
static inline int
ring_get_many(struct ipc__ring *r, struct iovec *iov, int count, size_t limit)
{
	ssize_t n;
	int i;

	for (i = 0; i < count; i++) {
		n = ring_get_held(r, iov[i].iov_base, iov[i].iov_len < limit ?
		    iov[i].iov_len : limit);
		if (n < 0)
			break;
		iov[i].iov_len = (size_t)n;
	}
	if (i > 0)
		ipc__ring_free(r);
	return i;
}

#endif
