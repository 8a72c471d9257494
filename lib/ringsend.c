/* SPDX-License-Identifier: ISC */
/*
 * The sending side of the ring: finding room, growing, showing records.  The
 * layout and the argument why it is sound stand in ring.c.
 *
 * Lines and payload are both counted by positions that only grow; where a
 * position lies in memory is its remainder by the full size.  Of that size
 * only the first `grown' lines are in use: behind them the position skips to
 * the next lap.  When the ring is full and may grow, the position jumps ahead
 * to memory that was never used, in the same lap, over what is still unread;
 * the barrier then stands for the receiver's position until that has come past
 * it.
 */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "ring.h"
#include "ringsend.h"

/* What makes a ring grow before it is full: lines, and lines of payload, per
 * millisecond, and how many; of payload, as much has to have come as it is to
 * hold then, which pays for making that real.  A large ring is faster as its
 * lines have left both caches when they are written again.  And a sender looks
 * where its receiver is once a lap, which takes as long as a round trip of the
 * smallest message: so a young ring grows at any pace but that of who sleeps
 * in between. */
#define FAST_YOUNG	50u
#define FAST_LINES	1000u
#define FAST_PAYLOAD	4000u
#define MUCH_YOUNG	1024u
#define MUCH_LINES	4000u

/* Of a large record so much is shown at once: each costs the way of a line, and
 * a fence where it goes around the cache. */
#define PART		16384u
#define PART_AROUND	32768u

/*
 * Descriptor lines
 */

/* Closes the line with a jump, now: from here on the limit is that of the place
 * it leads to, and may not be used for any other. */
static void
ring_jump(struct ipc__ring *r, uint64_t lap, uint64_t to)
{
	r->barrier_u = lap;
	r->limit_u = lap + r->lines;
	r->next_u = r->jumped_u = lap + to;
	r->word |= (uint64_t)IPC__END_JUMP << 6;
	ipc__ring_set(&r->head->jump, r->next_u & IPC__RING_U,
	    memory_order_relaxed);
	if (!r->held)
		ring_show(r);
}

/* There is no free line in the lap's way: into new ones. */
static bool
ring_turn_grown(struct ipc__ring *r)
{
	uint64_t index = r->u & (r->lines - 1), old = r->grown_u;

	if (old == r->lines || (index + 1 != old && r->tail_u < r->jumped_u) ||
	    !ipc__ring_grow_lines(r))
		return false;
	ring_follow(r);
	if (index + 1 == old)
		return true;
	/* Claimed before it is shown, as there is no way back from that. */
	if (r->claims && !ring_claim(r, r->u - index + old, r->v)) {
		ipc__ring_unreal(r);
		return false;
	}
	ring_jump(r, r->u - index, old);
	return true;
}

/* The next line may be missing only because its memory does. */
static int
ring_real_turn(struct ipc__ring *r)
{
	int rc = ipc__ring_real_lines(r, r->next_u + r->spare + 1);

	if (rc == -EAGAIN)
		return ipc__ring_full(r, true);
	return rc < 0 ? rc : ipc__ring_look(r);
}

/* Decides which line follows the current one. */
static int
ring_turn(struct ipc__ring *r)
{
	bool young = r->grown_u == IPC__RING_YOUNG;
	int rc;

	if ((r->u & (r->lines - 1)) + 1 == r->grown_u &&
	    r->grown_u < r->lines && ipc__pace_fast(&r->pace_u, r->grown_u,
	    young ? MUCH_YOUNG : MUCH_LINES, young ? FAST_YOUNG : FAST_LINES))
		ipc__ring_grow_lines(r);
	ring_follow(r);
	if (r->next_u + r->spare < r->limit_u)
		return 0;
	rc = ipc__ring_look(r);
	if (rc < 0)
		return rc;
	if (r->real_u && r->limit_u == r->real_u &&
	    (rc = ring_real_turn(r)) < 0)
		return rc;
	if (r->next_u + r->spare < r->limit_u || ring_turn_grown(r))
		return 0;
	return ipc__ring_full(r, true);
}

/*
 * Payload
 */

/* Finds room in what there is. */
static bool
ring_fit(struct ipc__ring *r, uint64_t need)
{
	uint64_t size = r->grown_v ? r->plines : TINY_LINES;
	uint64_t used = r->grown_v ? r->grown_v : TINY_LINES;
	uint64_t index = r->v & (size - 1), start = r->v;

	if (need > used)
		return false;
	if (index + need > used && !(r->mirrored && used == size)) {
		start = r->v - index + size;
		if (r->grown_v < r->plines &&
		    ipc__pace_fast(&r->pace_v, used, r->grown_v ? used *
		    IPC__RING_GROWTH : MUCH_YOUNG, r->grown_v ?
		    FAST_PAYLOAD : FAST_YOUNG))
			r->wish = true;
		if (r->wish)
			return false;
		if (r->empty) {
			/* Nothing is unread: all of it is free. */
			r->v = start;
			r->limit_v = start + size;
			ipc__ring_bound(r);
		}
	}
	r->at_v = start;
	return start + need <= r->limit_v;
}

/* Grows, and finds room there: 0, -EAGAIN where that is no help now, or why
 * there is no more memory. */
static int
ring_place_grown(struct ipc__ring *r, uint64_t need)
{
	uint64_t old, index, start;
	int rc;

	if (r->grown_v == r->plines || !ipc__ring_may_grow(r))
		return -EAGAIN;
	old = r->grown_v;
	index = r->v & (r->plines - 1);
	start = r->v;
	if (old == 0) {
		start = (r->v + r->plines - 1) / r->plines * r->plines;
		index = 0;
	} else if (r->v + need > r->limit_v) {
		start = r->v - index + old;
		index = old;
	}
	rc = ipc__ring_grow_payload(r, index + need);
	if (rc < 0)
		return rc;
	if (start != r->v || old == 0) {
		r->barrier_v = start - (start & (r->plines - 1));
		r->limit_v = r->barrier_v + r->plines;
	}
	r->at_v = r->v = start;
	return 0;
}

/* There may be no room only because its memory is missing. */
static int
ring_real_place(struct ipc__ring *r, uint64_t need)
{
	int rc = ipc__ring_real_payload(r, r->at_v + need);

	if (rc == 0)
		rc = ipc__ring_look(r);
	return rc < 0 ? rc : ring_fit(r, need) ? 0 : -EAGAIN;
}

static int
ring_place(struct ipc__ring *r, uint64_t need)
{
	int rc;

	r->free_v = 0;
	if (ring_fit(r, need))
		return 0;
	rc = ipc__ring_look(r);
	if (rc < 0)
		return rc;
	if (!r->wish && ring_fit(r, need))
		return 0;
	if (ipc__ring_unskip(r) && !r->wish && ring_fit(r, need))
		return 0;
	if (r->real_v && !r->wish && need <= r->grown_v) {
		rc = ring_real_place(r, need);
		if (rc != -EAGAIN)
			return rc;
	}
	rc = ring_place_grown(r, need);
	if (rc == 0)
		goto out;
	/* Memory is short, or growing does not help: with what there is. */
	r->wish = false;
	if (ring_fit(r, need))
		return 0;
	if (rc == -EAGAIN || need <= (r->grown_v ? r->grown_v : TINY_LINES))
		rc = ipc__ring_full(r, false);
out:
	r->wish = false;
	return rc;
}

/*
 * Records
 */

static int
ring_reserve(struct ipc__ring *r, void **data, size_t size)
{
	struct ipc__ring_line *line = r->at;
	unsigned cells;
	int rc;

	if (r->full && (rc = ipc__ring_relieve(r)) < 0)
		return rc;
	cells = size <= IPC__RING_INLINE ? ipc__ring_cells(size) : 1;
	r->turn = false;
	if (ipc__ring_end(r->word) || r->cell + cells > IPC__RING_CELLS) {
		if (!ipc__ring_end(r->word) && (rc = ring_turn(r)) < 0)
			return rc;
		r->turn = true;
		line = ipc__ring_at(r, r->next_u);
	}
	if (size <= IPC__RING_INLINE) {
		*data = &line->u.cell[r->turn ? 0 : r->cell];
	} else {
		rc = ring_place(r, ipc__ring_lines(size));
		if (rc < 0)
			return rc;
		*data = ring_payload(r, r->at_v);
	}
	return 0;
}

/* Claims what was found, if it is more than before. */
static inline bool
ring_claimed(struct ipc__ring *r, size_t size)
{
	bool far = size > IPC__RING_INLINE;

	if (!r->claims || (!far && !r->turn))
		return true;
	return ring_claim(r, r->turn ? r->next_u : r->u,
	    far ? r->at_v + ipc__ring_lines(size) : r->v);
}

int
ipc__ring_reserve(struct ipc__ring *r, void **data, size_t size)
{
	int rc;

	r->open = false;
	if (size > r->record)
		return ipc__fail(EMSGSIZE, "%zu bytes do not fit into a record "
		    "of %zu of this ring", size, r->record);
	rc = ring_reserve(r, data, size);
	if (rc == 0 && !ring_claimed(r, size)) {
		ipc__ring_unreal(r);
		rc = ring_reserve(r, data, size);
		/* It was made real, and taken away again at once. */
		if (rc == 0 && !ring_claimed(r, size))
			rc = -EAGAIN;
	}
	r->room = size;
	r->open = rc == 0;
	return rc;
}

/* Payload that went around the cache is fenced, and what waited for that is
 * shown, oldest first. */
void
ipc__ring_flush(struct ipc__ring *r)
{
	unsigned i;

	if (r->unfenced)
		ipc__copy_fence();
	r->unfenced = false;
	for (i = 0; i < r->waiting; i++)
		ipc__ring_set(&r->wait[i].line->word, r->wait[i].word,
		    memory_order_release);
	r->waiting = 0;
}

/* The current line is full: closes it, and goes to the next. */
static void
ring_advance(struct ipc__ring *r)
{
	bool shown = ipc__ring_end(r->word) && !r->held;

	if (!ipc__ring_end(r->word))
		r->word |= (uint64_t)r->next_end << 6;
	if (!shown)
		ring_leave(r);
	r->held = false;
	r->u = r->next_u;
	r->at = ipc__ring_at(r, r->u);
	r->cell = 0;
	r->word = ipc__ring_tag(r, r->u);
}

/* Notes a record in the word of our line, and shows it or holds it back. */
static inline void
ring_append(struct ipc__ring *r, unsigned code, unsigned cells,
    unsigned flags)
{
	code |= (flags & IPC__MORE ? 0x40u : 0) |
	    (flags & IPC__CONTROL ? 0x80u : 0);
	(void)ring_note(r, code, cells);
	r->held = true;
	if (flags & IPC__HOLD)
		return;
	if (r->unfenced || r->waiting)
		ipc__ring_flush(r);
	ring_show(r);
}

/* What is reserved becomes a record of this size, or a part of one. */
static void
ring_commit(struct ipc__ring *r, size_t size, unsigned flags)
{
	if (r->turn)
		ring_advance(r);
	if (r->room <= IPC__RING_INLINE) {
		ring_append(r, (unsigned)size + 1, ipc__ring_cells(size),
		    flags);
		return;
	}
	ipc__ring_set(&r->at->u.cell[r->cell],
	    (r->at_v & IPC__RING_V) << 32 | size, memory_order_relaxed);
	r->v = r->at_v + ipc__ring_lines(size);
	ipc__ring_free_piece(r);
	ring_append(r, r->grown_v ? IPC__RING_FAR : IPC__RING_NIGH, 1, flags);
}

int
ipc__ring_commit(struct ipc__ring *r, size_t size, unsigned flags)
{
	if (!r->open || size > r->room)
		return -EINVAL;
	ring_commit(r, size, flags);
	/* Less than was claimed. */
	if (r->claims && size != r->room)
		ipc__ring_set(&r->head->claim, ipc__ring_pos(r->u, 0, r->v),
		    memory_order_relaxed);
	return 0;
}

void
ipc__ring_publish(struct ipc__ring *r)
{
	if (r->unfenced || r->waiting)
		ipc__ring_flush(r);
	if (r->held)
		ring_show(r);
}

/* What of a message is still to be copied. */
struct ring_rest {
	const struct iovec *iov;
	size_t		 off;		/* in the first */
	bool		 around;	/* the cache: the other side is far and
					   it is enough to pay */
};

static void
ring_gather(struct ipc__ring *r, unsigned char *to, struct ring_rest *rest,
    size_t size)
{
	const unsigned char *from;
	size_t n;

	for (; size > 0; size -= n, to += n) {
		from = (const unsigned char *)rest->iov->iov_base + rest->off;
		n = rest->iov->iov_len - rest->off;
		if (n > size)
			n = size;
		if (rest->around)
			ipc__copy_around(to, from, n);
		else if (n <= 64)
			ipc__copy_small(to, from, n);
		else
			ipc__copy(to, from, n);
		rest->off += n;
		if (rest->off == rest->iov->iov_len) {
			rest->iov++;
			rest->off = 0;
		}
	}
	r->unfenced |= rest->around;
}

/* How many cells are certainly to be had for what is reserved, and on which
 * line the last of them lies. */
static uint64_t
ring_cells_free(const struct ipc__ring *r, uint64_t *last)
{
	uint64_t u = r->turn ? r->next_u : r->u, lines;

	lines = r->grown_u - 1 - (u & (r->lines - 1));
	if (u + r->spare + 1 >= r->limit_u)
		lines = 0;
	else if (lines > r->limit_u - u - r->spare - 1)
		lines = r->limit_u - u - r->spare - 1;
	*last = u + lines;
	return IPC__RING_CELLS * (lines + 1) - (r->turn ? 0 : r->cell);
}

/* How many bytes of a large record are shown at once: small enough for the
 * other side to be at work on one while we are on the next. */
static size_t
ring_part(struct ipc__ring *r, size_t size, bool around)
{
	size_t part = around ? PART_AROUND : PART, parts;
	uint64_t last, cells, v = r->at_v + ipc__ring_lines(size);

	if (size <= part || r->lasting || r->grown_v == 0 ||
	    (r->at_v & (r->plines - 1)) + ipc__ring_lines(size) > r->plines)
		return size;
	/* Each costs something, which is wasted on who is behind anyway. */
	if (ipc__ring_look(r) < 0 || !r->empty)
		return size;
	parts = (size + part - 1) / part;
	cells = ring_cells_free(r, &last);
	if (r->claims && parts > IPC__RING_CELLS - (r->turn ? 0 : r->cell) &&
	    !ring_claim(r, last, v))
		cells = 1;
	if (parts > cells)
		parts = (size_t)cells;
	part = (size + parts - 1) / parts;
	return (part + IPC__RING_LINE - 1) / IPC__RING_LINE * IPC__RING_LINE;
}

/* One that is reserved, in parts; of any but the last it is told that more of
 * the same record comes. */
static void
ring_send_parts(struct ipc__ring *r, unsigned char *to, struct ring_rest *rest,
    size_t size, size_t part, unsigned flags)
{
	bool parts = size > PART;

	for (; size > part; size -= part, to += part) {
		ring_gather(r, to, rest, part);
		ring_commit(r, part, IPC__MORE | IPC__CONTROL);
		r->at_v = r->v;
		r->turn = ipc__ring_end(r->word);
	}
	ring_gather(r, to, rest, size);
	ring_commit(r, size, flags);
	/* Fewer lines than were claimed, perhaps. */
	if (r->claims && parts)
		ipc__ring_set(&r->head->claim, ipc__ring_pos(r->u, 0, r->v),
		    memory_order_relaxed);
}

static ssize_t
ring_send_any(struct ipc__ring *r, const struct iovec *iov, int count,
    unsigned flags)
{
	struct ring_rest rest = { .iov = iov };
	size_t size = 0, worth, part;
	void *data;
	int i, rc;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	rc = ipc__ring_reserve(r, &data, size);
	if (rc < 0)
		return rc;
	worth = flags & IPC__HOLD || r->held ? IPC__COPY_BATCH :
	    IPC__COPY_ALONE;
	rest.around = size >= worth && ipc__ring_far(r, size);
	part = size <= PART || flags & IPC__HOLD ? size :
	    ring_part(r, size, rest.around);
	ring_send_parts(r, data, &rest, size, part, flags);
	return (ssize_t)size;
}

bool
ipc__ring_put_far(struct ipc__ring *r, const void *data, size_t size,
    unsigned flags)
{
	struct iovec iov = { (void *)(uintptr_t)data, size };
	void *to;

	if (size > PART)
		return ring_send_any(r, &iov, 1, flags) >= 0;
	if (ipc__ring_reserve(r, &to, size) < 0)
		return false;
	if (size >= IPC__COPY_ALONE && ipc__ring_far(r, size)) {
		ipc__copy_around(to, data, size);
		r->unfenced = true;
	} else
		ipc__copy(to, data, size);
	return ipc__ring_commit(r, size, flags) == 0;
}

ssize_t
ipc__ring_send(struct ipc__ring *r, const struct iovec *iov, int count,
    unsigned flags)
{
	unsigned cells;
	size_t size;

	if (count != 1 || (size = iov->iov_len) > IPC__RING_INLINE || r->full)
		return ring_send_any(r, iov, count, flags);
	/* The short way for small messages: into this line, or into the next
	 * one if that is known to be free. */
	cells = ipc__ring_cells(size);
	if (ipc__ring_end(r->word)) {
		if (r->claims && !ring_claim(r, r->next_u, r->v))
			return ring_send_any(r, iov, count, flags);
		ring_advance(r);
	} else if (r->cell + cells > IPC__RING_CELLS)
		return ring_send_any(r, iov, count, flags);
	ipc__copy_small(&r->at->u.cell[r->cell], iov->iov_base, size);
	ring_append(r, (unsigned)size + 1, cells, flags);
	return (ssize_t)size;
}

void
ipc__ring_stretch(struct ipc__ring *r)
{
	r->spare = 0;
	r->full = false;
}

bool
ipc__ring_roomy(struct ipc__ring *r)
{
	void *data;
	int rc;

	/* A commit never waits. */
	if (r->open)
		return true;
	if (r->full) {
		rc = ipc__ring_relieve(r);
		if (rc < 0)
			return rc != -EAGAIN;
	}
	if (r->gated && !ipc__ring_may_grow(r))
		return false;
	/* Growing would make room; that is left to the send itself. */
	if (r->grown_v < r->plines && r->grown_u < r->lines && r->denied == 0)
		return true;
	r->probe = true;
	rc = ipc__ring_look(r);
	if (rc == 0)
		rc = ring_reserve(r, &data, r->record);
	r->probe = false;
	/* What is not real shows at the next look. */
	if (r->real_u | r->real_v) {
		r->limit_u = r->u;
		r->limit_v = r->v;
	}
	return rc != -EAGAIN;
}
