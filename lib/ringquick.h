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
/* The longest that is copied without a call. */
#define RING_SHORT	64u

/* To the next line, if that is known to be free, with payload up to v.  hold:
 * what is in this one may wait to be shown. */
static inline bool
ring_put_turn(struct ipc__ring *r, uint64_t v, bool hold)
{
	if (r->claims && !ring_claim(r, r->next_u, v))
		return false;
	/* Closed before anything of the next one is shown. */
	if (hold && r->held)
		ring_leave(r);
	r->u = r->next_u;
	r->at = ipc__ring_at(r, r->u);
	r->cell = 0;
	r->word = ipc__ring_tag(r, r->u);
	return true;
}

/* Shown at once, or held. */
static inline void
ring_put_note(struct ipc__ring *r, unsigned code, unsigned cells, bool hold)
{
	struct ipc__ring_line *at = r->at;
	uint64_t word = ring_note(r, code, cells);

	if (hold)
		r->held = true;
	else
		/* Pairs with the receiver's acquire in ring_code(). */
		ipc__ring_set(&at->word, word, memory_order_release);
}

/* One whose payload lies elsewhere, where we know of free memory. */
__attribute__((always_inline))
static inline bool
ring_put_payload(struct ipc__ring *r, const void *data, size_t size,
    size_t most, bool around, bool hold)
{
	uint64_t v = r->v, next = v + ipc__ring_lines(size);
	unsigned code = r->grown_v ? IPC__RING_FAR : IPC__RING_NIGH;
	unsigned char *to;

	if (next > r->free_v || size > most)
		return false;
	if (ipc__ring_end(r->word)) {
		if (!ring_put_turn(r, next, hold))
			return false;
	} else if (r->cell >= IPC__RING_CELLS ||
	    (r->claims && !ring_claim(r, r->u, next))) {
		return false;
	}
	to = ring_payload(r, v);
	if (around) {
		ipc__copy_around(to, data, size);
		r->unfenced = true;
	} else if (size <= RING_SHORT) {
		ipc__copy_small(to, data, size);
	} else {
		memcpy(to, data, size);
	}
	ipc__ring_set(&r->at->u.cell[r->cell],
	    (v & IPC__RING_V) << 32 | size, memory_order_relaxed);
	r->v = next;
	ring_put_note(r, code, 1, hold);
	return true;
}

/* One that lies in this line, or in the next one. */
__attribute__((always_inline))
static inline bool
ring_put_small(struct ipc__ring *r, const void *data, size_t size, bool hold)
{
	unsigned cells = ipc__ring_cells(size);

	if (ipc__ring_end(r->word)) {
		if (!ring_put_turn(r, r->v, hold))
			return false;
	} else if (r->cell + cells > IPC__RING_CELLS) {
		return false;
	}
	ipc__copy_small(&r->at->u.cell[r->cell], data, size);
	ring_put_note(r, (unsigned)size + 1, cells, hold);
	return true;
}

/* Nothing stands in the way of the shortest way of all: of up to a line, with
 * no call and so no register to be saved.  Where no fence is needed, as
 * otherwise that is what it takes. */
static inline bool
ring_put_plain(const struct ipc__ring *r, size_t size)
{
	return r->omit && !(r->full | r->held) && size <= RING_SHORT;
}

/* Shown; whoever sleeps has still to be rung. */
__attribute__((always_inline))
static inline bool
ring_put_short(struct ipc__ring *r, const void *data, size_t size)
{
	return size > IPC__RING_INLINE ?
	    ring_put_payload(r, data, size, RING_SHORT, false, false) :
	    ring_put_small(r, data, size, false);
}

/* Was that the last payload that we knew room for? */
static inline bool
ring_put_spent(const struct ipc__ring *r, size_t size)
{
	return size > IPC__RING_INLINE && r->v == r->free_v;
}

/* The same of any size. */
static inline bool
ring_put(struct ipc__ring *r, const void *data, size_t size)
{
	if (r->full | r->held)
		return false;
	if (size <= IPC__RING_INLINE)
		return ring_put_small(r, data, size, false);
	return (size < IPC__COPY_ALONE || !ipc__ring_far(r, size)) &&
	    ring_put_payload(r, data, size, RING_QUICK, false, false) ? true :
	    ipc__ring_put_far(r, data, size, 0);
}

/* Either, still to be shown. */
static inline bool
ring_put_held(struct ipc__ring *r, const void *data, size_t size)
{
	return size > IPC__RING_INLINE ? ring_put_payload(r, data, size,
	    RING_QUICK, size >= IPC__COPY_BATCH && ipc__ring_far(r, size), true) :
	    ring_put_small(r, data, size, true);
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

/* The word of our line is looked at anew. */
__attribute__((noinline))
static unsigned
ring_look(struct ipc__ring *r)
{
	unsigned code = 0;
	uint64_t word;

	if (r->word != 0)
		ipc__ring_linger(r);
	r->met = r->run;
	/* Pairs with the sender's release in ring_show() and
	 * ring_put_note(). */
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

/* The word of our line says what begins at our cell; 0: nothing yet, or it is
 * not for here. */
static inline unsigned
ring_code(struct ipc__ring *r)
{
	unsigned code = 0;

	if (r->cell < IPC__RING_CELLS)
		code = ipc__ring_code(r->word, r->cell);
	return code != 0 ? code : ring_look(r);
}

/* Is the line that follows the one behind ours, in memory as well? */
static inline bool
ring_goes_on(const struct ipc__ring *r)
{
	return ipc__ring_end(r->word) == IPC__END_NEXT &&
	    ((r->u + 1) & (r->lines - 1)) != 0;
}

static inline void
ring_step(struct ipc__ring *r)
{
	r->last_u = r->u++;
	r->at++;
	r->cell = 0;
	r->word = 0;
}

/* These cells were taken: are they the last of our line, and of those of which
 * its word speaks? */
static inline bool
ring_took_last(struct ipc__ring *r, unsigned cells)
{
	uint64_t word = r->word;

	cells += r->cell;
	r->cell = cells;
	r->cells = 0;
	r->run++;
	return ipc__ring_end(word) && (cells >= IPC__RING_CELLS ||
	    ipc__ring_code(word, cells) == 0);
}

static inline void
ring_took(struct ipc__ring *r, unsigned cells)
{
	if (!ring_took_last(r, cells))
		return;
	if (ring_goes_on(r))
		ring_step(r);
	else
		/* A bad jump shows at the next peek. */
		(void)ipc__ring_next(r);
}

/* Where the payload lies that the cell here speaks of, if that is simple, and
 * how long it is: NULL, and nothing was touched. */
static inline const unsigned char *
ring_find_payload(struct ipc__ring *r, unsigned code, size_t most,
    size_t *size)
{
	/* What was touched ends with the payload, before the mirror. */
	uint64_t lines = r->plines, end = r->touched, cell, at, v;
	const unsigned char *base = r->payload;

	if (code == IPC__RING_NIGH) {
		base = r->head->tiny;
		lines = TINY_LINES;
		end = sizeof r->head->tiny;
	}
	cell = ipc__ring_get(&r->at->u.cell[r->cell], memory_order_relaxed);
	*size = (uint32_t)cell;
	at = (cell >> 32 & (lines - 1)) * IPC__RING_LINE;
	if (*size > most || at + *size > end)
		return NULL;
	v = ((cell >> 32) + ipc__ring_lines(*size)) & IPC__RING_V;
	r->v = v;
	r->hint = base + (v & (lines - 1)) * IPC__RING_LINE;
	/* Relaxed: it is only timed. */
	ipc__ring_set(&r->head->beat, v, memory_order_relaxed);
	return base + at;
}

/* One of these.  Out of line, so that the smallest do not pay for it. */
__attribute__((noinline))
static ssize_t
ring_get_long(struct ipc__ring *r, unsigned code, void *buffer, size_t room)
{
	const unsigned char *from;
	size_t size;

	if (code != IPC__RING_FAR && code != IPC__RING_NIGH)
		return code ? -2 : -1;
	from = ring_find_payload(r, code, room < RING_QUICK ? room :
	    RING_QUICK, &size);
	if (from == NULL)
		return ipc__ring_get_far(r, buffer, room);
	if (size <= RING_SHORT)
		ipc__copy_small(buffer, from, size);
	else
		memcpy(buffer, from, size);
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

/* As ring_put_plain(): what is at our cell is known, and so is that we stay in
 * this line or go to the one behind it. */
static inline bool
ring_get_plain(const struct ipc__ring *r)
{
	return r->omit && r->cell < IPC__RING_CELLS &&
	    (ipc__ring_end(r->word) == IPC__END_OPEN || ring_goes_on(r));
}

/* The size of what was taken and given back; -1: it takes longer. */
__attribute__((always_inline))
static inline ssize_t
ring_get_short(struct ipc__ring *r, void *buffer, size_t room)
{
	unsigned cell = r->cell, code = ipc__ring_code(r->word, cell);
	const unsigned char *from;
	unsigned cells = 1;
	size_t size = code - 1u;

	if (code == 0)
		return -1;
	if (size <= IPC__RING_INLINE) {
		cells = ipc__ring_cells(size);
		from = (const unsigned char *)&r->at->u.cell[cell];
		if (size > room || cell + cells > IPC__RING_CELLS)
			return -1;
	} else if (code != IPC__RING_FAR || (from = ring_find_payload(r, code,
	    room < RING_SHORT ? room : RING_SHORT, &size)) == NULL)
		return -1;
	ipc__copy_small(buffer, from, size);
	if (ring_took_last(r, cells))
		ring_step(r);
	ipc__ring_free(r);
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

/* The same, for who waits: with so many looks, and as many more as it takes to
 * let messages gather. */
static inline ssize_t
ring_await(struct ipc__ring *r, void *buffer, size_t room, unsigned looks)
{
	ssize_t n;

	do
		n = ring_get(r, buffer, room);
	while (n == -1 && ipc__ring_glance(r, &looks));
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
