/* SPDX-License-Identifier: ISC */
/*
 * How large a ring is: it grows by its sender, who makes memory real before it
 * is used, and is made small again by its receiver, when that is about
 * to sleep: all memory but the young ring's is given back to the kernel.
 *
 * The danger is that the sender writes there this very moment.  So before it
 * writes behind the young ring the sender stores in `claim' up to where, its
 * line and its payload, then loads the receiver's gate; if that is not what it
 * was, it makes all memory real again before it uses it.  The receiver stores
 * an odd gate, makes a barrier, and then loads the claim: if there is nothing
 * in it that the receiver has not had, the sender writes nothing, and what it
 * will claim next it will find the gate changed.  That is Dekker's handshake,
 * made lopsided by membarrier(2) exactly as sleeping is, with the argument of
 * ring.c: `claim' stands for the ring's change there, `gate' for the mark.
 * While the sender fences, it fences here as well; opened rings, where sides
 * come and go, never shrink.  spin/shrink.pml is a model of this.
 *
 * What the sender may write without a new claim is its line, which is the
 * receiver's line or the one before, and after closing that by the plain rule
 * the next one is shown before it is claimed: so the pages of the receiver's
 * line and of the one behind it stay.  A jump is claimed before it is shown.
 *
 * While the gate is odd the sender does not make memory real, since the
 * receiver may not have finished; a sender that can not go on without sleeps,
 * and the receiver rings it behind its gate.  Acquire and release of the even
 * gate order the giving back before the sender's making real.  Where lines and
 * payload lie and what is free does not change by any of this, and what is
 * real stays what it is, so a sender that has seen the gate of a receiver that
 * gave up loses a little time and nothing else.
 *
 * A kill of the receiver in here leaves the gate odd, and a sender that waits
 * for the end of a conversation that is over.  Of the sender: nothing; what it
 * has claimed and not shown keeps the ring as large as it is.  A hostile
 * receiver that plays with its gate slows its own conversation down, and one
 * that gives memory back that is in use spoils what it would have received; a
 * hostile sender's claim lets the receiver take away only what the sender
 * wrote.
 */

#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "ring.h"

#define FIRST_LINES	1024u	/* of the main payload */
#define DENIALS		1024u	/* before memory is asked for again */

/*
 * The sender
 */

/* Pages in sight may have been taken away: all but the line that comes next and
 * the young ring is to be made real again, once around. */
void
ipc__ring_unreal(struct ipc__ring *r)
{
	/* Relaxed: growing looks again. */
	r->gate = atomic_load_explicit(&r->other->gate, memory_order_relaxed);
	r->real_u = (ipc__ring_end(r->word) ? r->next_u : r->u) + 1;
	r->end_u = r->real_u + r->lines;
	r->real_v = r->grown_v > 0 ? r->v : 0;
	r->end_v = r->v + r->plines;
	r->step = FIRST_LINES;
	/* Whatever comes next looks at the limits. */
	r->limit_u = r->u;
	r->limit_v = r->v;
	r->free_v = 0;
}

bool
ipc__ring_may_grow(struct ipc__ring *r)
{
	/* Pairs with the release in ipc__ring_shrink(): what is made real from
	 * here on stays. */
	uint32_t gate = atomic_load_explicit(&r->other->gate,
	    memory_order_acquire);

	if (r->claims && gate != r->gate)
		ipc__ring_unreal(r);
	r->gated = le32toh(gate) & 1;
	if (r->gated)
		return false;
	r->gate = gate;
	return true;
}

static void
ring_grew(struct ipc__ring *r)
{
	uint32_t n = le32toh(atomic_load_explicit(&r->own->grown,
	    memory_order_relaxed));

	/* Relaxed: a hint for the receiver. */
	atomic_store_explicit(&r->own->grown, htole32(n + 1),
	    memory_order_relaxed);
	r->claims = !r->lasting;
}

bool
ipc__ring_grow_lines(struct ipc__ring *r)
{
	size_t from, to;
	uint32_t n;

	if (r->denied > 0) {
		r->denied--;
		return false;
	}
	if (!ipc__ring_may_grow(r))
		return false;
	/* Up to the end of a page: 24 lines and then 64 on each. */
	n = (r->grown_u * IPC__RING_GROWTH + 40 + 63) / 64 * 64 - 40;
	if (n > r->lines)
		n = r->lines;
	from = sizeof *r->head + (size_t)r->grown_u * IPC__RING_LINE;
	to = sizeof *r->head + (size_t)n * IPC__RING_LINE;
	if (r->ops->populate(r->owner, from, to - from) < 0) {
		r->denied = DENIALS;
		return false;
	}
	r->grown_u = n;
	atomic_store_explicit(&r->head->lines_used, htole32(n),
	    memory_order_relaxed);
	ring_grew(r);
	return true;
}

/* How far to grow so that this fits behind what is in use; 0: it can not. */
static uint64_t
ring_growth(const struct ipc__ring *r, uint64_t behind)
{
	uint64_t n = r->grown_v ? (uint64_t)r->grown_v * IPC__RING_GROWTH :
	    FIRST_LINES;

	while (n < behind)
		n *= 2;
	if (n > r->plines)
		n = r->plines;
	return n < behind ? 0 : n;
}

int
ipc__ring_grow_payload(struct ipc__ring *r, uint64_t behind)
{
	uint64_t lines = ring_growth(r, behind);
	size_t start = (size_t)(r->payload - (unsigned char *)r->head);
	int rc;

	if (lines == 0)
		return -EAGAIN;
	if (r->denied > 0) {
		r->denied--;
		return ipc__fail(ENOSPC, "no memory for the ring to grow");
	}
	rc = r->ops->populate(r->owner,
	    start + (size_t)r->grown_v * IPC__RING_LINE,
	    (size_t)(lines - r->grown_v) * IPC__RING_LINE);
	if (rc < 0) {
		r->denied = DENIALS;
		return rc;
	}
	r->grown_v = (uint32_t)lines;
	atomic_store_explicit(&r->head->payload_used,
	    htole32((uint32_t)lines), memory_order_relaxed);
	if (lines == r->plines && r->ops->mirror(r->owner) == 0)
		r->mirrored = true;
	ring_grew(r);
	return 0;
}

/* From line `index' of `used', at most n: how many are real now. */
static int64_t
ring_real(struct ipc__ring *r, size_t start, uint64_t index, uint64_t used,
    uint64_t n)
{
	int rc;

	if (n > used - index)
		n = used - index;
	rc = r->ops->populate(r->owner, start + (size_t)index * IPC__RING_LINE,
	    (size_t)n * IPC__RING_LINE);
	return rc < 0 ? rc : (int64_t)n;
}

int
ipc__ring_real_lines(struct ipc__ring *r, uint64_t to)
{
	uint64_t index, n;
	int64_t got;

	if (!ipc__ring_may_grow(r))
		return -EAGAIN;
	while (r->real_u < to && r->real_u < r->end_u) {
		index = r->real_u & (r->lines - 1);
		if (index >= r->grown_u) {
			r->real_u += r->lines - index;
			continue;
		}
		/* To the end of a page, as where it grows. */
		n = 64 - (index + 40) % 64;
		got = ring_real(r, sizeof *r->head, index, r->grown_u, n);
		if (got < 0)
			return (int)got;
		r->real_u += (uint64_t)got;
	}
	if (r->real_u >= r->end_u)
		r->real_u = 0;
	ring_grew(r);
	return 0;
}

int
ipc__ring_real_payload(struct ipc__ring *r, uint64_t to)
{
	size_t start = (size_t)(r->payload - (unsigned char *)r->head);
	uint64_t index;
	int64_t got;

	if (!ipc__ring_may_grow(r))
		return -EAGAIN;
	while (r->real_v < to && r->real_v < r->end_v) {
		index = r->real_v & (r->plines - 1);
		if (index >= r->grown_v) {
			r->real_v += r->plines - index;
			continue;
		}
		got = ring_real(r, start, index, r->grown_v, r->step);
		if (got < 0)
			return (int)got;
		r->real_v += (uint64_t)got;
		r->step *= IPC__RING_GROWTH;
	}
	if (r->real_v >= r->end_v)
		r->real_v = 0;
	ring_grew(r);
	return 0;
}

/*
 * The receiver
 */

bool
ipc__ring_large(const struct ipc__ring *r)
{
	return !r->lasting && atomic_load_explicit(&r->other->grown,
	    memory_order_relaxed) != r->shrunk;
}

static int
shrink_range(struct ipc__ring *r, size_t from, size_t to)
{
	return from < to ? r->ops->release(r->owner, from, to - from) : 0;
}

/* All but the first page and those of our line and the next. */
static int
shrink_memory(struct ipc__ring *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t at = (size_t)((unsigned char *)r->at - (unsigned char *)r->head);
	size_t end = (size_t)(r->payload - (unsigned char *)r->head) +
	    (size_t)r->plines * IPC__RING_LINE;
	size_t first = (IPC__RING_FIRST + page - 1) / page * page;
	size_t keep = at / page * page;
	size_t behind = (at + IPC__RING_LINE) / page * page + page;
	int rc;

	if (keep < first)
		keep = first;
	if (behind < first)
		behind = first;
	rc = shrink_range(r, first, keep);
	return rc < 0 ? rc : shrink_range(r, behind, end);
}

/* Has the sender claimed nothing that we have not had? */
static bool
shrink_agreed(const struct ipc__ring *r)
{
	uint64_t claim = ipc__ring_get(&r->head->claim,
	    memory_order_relaxed);

	return claim == ipc__ring_pos(r->u, 0, r->v) || (r->cell == 0 &&
	    claim == ipc__ring_pos(r->last_u, 0, r->v));
}

int
ipc__ring_shrink(struct ipc__ring *r)
{
	uint32_t grown = atomic_load_explicit(&r->other->grown,
	    memory_order_relaxed);
	uint32_t gate = le32toh(atomic_load_explicit(&r->own->gate,
	    memory_order_relaxed)) & ~UINT32_C(1);
	const void *data;
	unsigned flags;
	int rc = 0;

	atomic_store_explicit(&r->own->gate, htole32(gate + 1),
	    memory_order_relaxed);
	/* Pairs with ring_claim(), by the other side's fence or by its
	 * barrier. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&r->other->reg, memory_order_relaxed))
		rc = r->ops->barrier(r->owner);
	if (rc == 0 && (ipc__ring_peek(r, &data, &flags) != -EAGAIN ||
	    !shrink_agreed(r)))
		rc = -EAGAIN;
	r->cells = 0;
	if (rc == 0) {
		rc = shrink_memory(r);
		/* Whether it worked does not matter to the sender. */
		gate += 2;
		r->shrunk = grown;
		r->touched = 0;
	}
	/* Release pairs with ipc__ring_may_grow(); the fence, with that of a
	 * sender that goes to sleep as it was odd. */
	atomic_store_explicit(&r->own->gate, htole32(gate),
	    memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	return rc;
}
