/* SPDX-License-Identifier: ISC */
/*
 * The receiving side of the ring.  Everything in shared memory is the sender's
 * to change at any time: each word is loaded once, checked, and then used.
 * The layout and the argument why it is sound stand in ring.c.
 */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "ring.h"

/* After this many records in a row, wait before the next look: so many pauses
 * (1 us to 16), more while there are so many pauses for one record. */
#define LAZY_RUN	8u
#define LAZY_LEAST	64u
#define LAZY_MOST	1024u
#define LAZY_DENSE	8u
#define LAZY_FEW	3u
/* Of many looks the last ones are slower. */
#define LOOKS_LAZY	64u
#define MOMENT		16

#define TINY_BYTES	sizeof ((struct ipc__ring_head *)0)->tiny

static int
ring_broken(const char *what)
{
	return ipc__fail(EBADMSG, "the ring is broken: %s", what);
}

/* The word of our line, or 0 while that is still of an earlier lap. */
static inline uint64_t
ring_load_word(struct ipc__ring *r)
{
	/* Pairs with the sender's release in ring_show(). */
	uint64_t word = ipc__ring_get(&r->at->word, memory_order_acquire);

	return (word & 0x3f) == ipc__ring_tag(r, r->u) ? word : 0;
}

/* To the line that follows by the word of this one. */
int
ipc__ring_next(struct ipc__ring *r)
{
	uint64_t lap = r->u & ~(uint64_t)(r->lines - 1), next = r->u + 1;

	switch (ipc__ring_end(r->word)) {
	case IPC__END_WRAP:
		next = lap + r->lines;
		break;
	case IPC__END_JUMP:
		next = ipc__ring_get(&r->head->jump, memory_order_relaxed) &
		    (r->lines - 1);
		next += lap;
		if (next <= r->u)
			return ring_broken("jump");
		break;
	default:
		if (next == lap + r->lines)
			return ring_broken("line");
	}
	r->last_u = r->u;
	r->u = next & IPC__RING_U;
	r->at = ipc__ring_at(r, r->u);
	r->cell = 0;
	r->word = 0;
	return 0;
}

/* The payload has grown, and this is the first time that we come here: some of
 * it is touched at once, or each page would be a fault. */
#define TOUCH	((size_t)256 << 10)

static void
ring_touch(struct ipc__ring *r, size_t at, size_t size)
{
	size_t all = (size_t)r->plines * IPC__RING_LINE, end = all, used;

	/* Relaxed: a hint. */
	used = (size_t)le32toh(atomic_load_explicit(&r->head->payload_used,
	    memory_order_relaxed)) * IPC__RING_LINE;
	if (end > used)
		end = used;
	if (size < TOUCH)
		size = TOUCH;
	if (at < end && size > end - at)
		size = end - at;
	/* Never behind the payload, whatever the sender says: the short way
	 * goes by this alone. */
	r->touched = size < all - at ? at + size : all;
	if (at < end)
		r->ops->touch(r->owner, (size_t)(r->payload -
		    (unsigned char *)r->head) + at, size);
}

/* A cell that says where the payload lies. */
static ssize_t
ring_far(struct ipc__ring *r, bool nigh, const void **data)
{
	uint64_t cell, v;
	size_t size, at;

	r->cells = 0;
	cell = ipc__ring_get(&r->at->u.cell[r->cell], memory_order_relaxed);
	size = (uint32_t)cell;
	v = cell >> 32;
	if (size > r->record || v > IPC__RING_V)
		return ring_broken("length");
	r->next_v = v + ipc__ring_lines(size);
	if (nigh) {
		at = (size_t)(v * IPC__RING_LINE) & (TINY_BYTES - 1);
		if (at + size > TINY_BYTES)
			return ring_broken("place");
		*data = r->head->tiny + at;
		r->hint = r->head->tiny + (r->next_v * IPC__RING_LINE &
		    (TINY_BYTES - 1));
		r->cells = 1;
		return (ssize_t)size;
	}
	at = (size_t)(v & (r->plines - 1)) * IPC__RING_LINE;
	if (at + size > (size_t)r->plines * IPC__RING_LINE && !r->mirrored) {
		if (r->ops->mirror(r->owner) < 0)
			return ring_broken("no mirror");
		r->mirrored = true;
	}
	if (at + size > r->touched &&
	    r->touched < (size_t)r->plines * IPC__RING_LINE)
		ring_touch(r, at, size);
	*data = r->payload + at;
	r->hint = r->payload + (r->next_v & (r->plines - 1)) *
	    IPC__RING_LINE;
	r->cells = 1;
	return (ssize_t)size;
}

static void
ring_pause(unsigned pauses)
{
	while (pauses-- > 0)
		ipc__copy_pause();
}

/* Has something gone the other way since this was last asked?  Relaxed: another
 * thread may count, and it is a hint. */
static bool
ring_answered(struct ipc__ring *r)
{
	uint64_t was = r->answered;

	if (r->answers == NULL || *r->answers == NULL)
		return false;
	r->answered = atomic_load_explicit(*r->answers, memory_order_relaxed);
	return r->answered != was;
}

/* Lets records gather for a while: for longer where many have come since the
 * last time, as far as the ring is not half full by then.  Who is near loses
 * nothing by that, and where no cache is shared the sender is undisturbed.
 * Where none has come the stream is over, and the next one begins anew.  Of a
 * sender that waits for our answer to so many, all are there after any pause,
 * however long: so whoever has answered does not wait. */
static void
ring_gather(struct ipc__ring *r)
{
	unsigned came = r->run - r->gathered;
	bool small = ((r->u - r->gathered_u) & IPC__RING_U) < r->lines / 8 &&
	    ((r->v - r->gathered_v) & IPC__RING_V) < r->plines / 8;

	if (came == 0)
		r->lazy = 0;
	if (r->run < LAZY_RUN || came == 0)
		return;
	if (ring_answered(r)) {
		r->gathered = r->run;
		r->lazy = 0;
		return;
	}
	if (came >= r->lazy / LAZY_DENSE && small)
		r->lazy *= 2;
	else
		r->lazy /= 2;
	if (r->lazy < LAZY_LEAST)
		r->lazy = LAZY_LEAST;
	if (r->lazy > LAZY_MOST)
		r->lazy = LAZY_MOST;
	ring_pause(r->lazy);
	r->gathered = r->run;
	r->gathered_u = r->u;
	r->gathered_v = r->v;
}

/* All of our line is read, and it goes on.  Where the last look showed a record
 * or two in the middle of many, the sender is at work on this very line:
 * whoever looks at once takes it away from under its hands, so that each record
 * costs the way of a line.  A moment later there are several. */
void
ipc__ring_linger(struct ipc__ring *r)
{
	if (r->run - r->met < LAZY_FEW)
		ring_gather(r);
}

/* Nothing is there: the same. */
void
ipc__ring_nothing(struct ipc__ring *r)
{
	ring_gather(r);
	r->run /= 2;
	r->met = r->gathered = r->run;
	if (r->hint)
		__builtin_prefetch(r->hint);
}

/* Is there more in this word than we know?  An empty line that is closed counts
 * as well. */
static inline bool
ring_newer(const struct ipc__ring *r, uint64_t word)
{
	return (word & 0x3f) == ipc__ring_tag(r, r->u) && word != r->word;
}

/* A few nanoseconds: who looks without any takes the line from a sender that is
 * at work on it, and a pause is as long as a line takes to come. */
static inline void
ring_moment(void)
{
	int i;

	for (i = 0; i < MOMENT; i++)
		__asm__ volatile ("" ::: "memory");
}

/* Looks at the word alone, and asks for the line where its payload will lie: so
 * both are on their way at once.  The word is kept if it says what is next. */
bool
ipc__ring_glance(struct ipc__ring *r, unsigned *looks)
{
	uint64_t word;

	/* Many have come: let them gather. */
	if (r->run >= LAZY_RUN && *looks > 0)
		return --*looks > 0;
	while (*looks > 0) {
		--*looks;
		/* Pairs with the sender's release in ring_show() and
		 * ring_put_note(). */
		word = ipc__ring_get(&r->at->word, memory_order_acquire);
		if (ring_newer(r, word)) {
			if (r->cell < IPC__RING_CELLS &&
			    ipc__ring_code(word, r->cell) != 0)
				r->word = word;
			r->met = r->run;
			return true;
		}
		/* The stream is over: see ring_gather(). */
		r->lazy = 0;
		if (r->hint)
			__builtin_prefetch(r->hint);
		ring_moment();
		if (*looks < LOOKS_LAZY)
			ipc__copy_pause();
	}
	return false;
}

static int
ring_none(struct ipc__ring *r)
{
	ipc__ring_nothing(r);
	return -EAGAIN;
}

int
ipc__ring_find(struct ipc__ring *r, unsigned *code)
{
	unsigned tries;
	int rc;

	for (tries = 0; tries < 2; tries++) {
		r->word = ring_load_word(r);
		if (r->word == 0)
			return ring_none(r);
		if (r->cell < IPC__RING_CELLS) {
			*code = ipc__ring_code(r->word, r->cell);
			if (*code != 0)
				return 0;
		}
		if (ipc__ring_end(r->word) == IPC__END_OPEN)
			return ring_none(r);
		rc = ipc__ring_next(r);
		if (rc < 0)
			return rc;
	}
	return ring_broken("empty line");
}

static inline unsigned
ring_flags(unsigned code)
{
	static const unsigned char flags[4] = {
		0, IPC__MORE, IPC__CONTROL, IPC__MORE | IPC__PART
	};

	return flags[code >> 6 & 3];
}

ssize_t
ipc__ring_peek(struct ipc__ring *r, const void **data, unsigned *flags)
{
	unsigned code = 0, size;
	int rc;

	if (r->cell < IPC__RING_CELLS)
		code = ipc__ring_code(r->word, r->cell);
	if (code == 0) {
		rc = ipc__ring_find(r, &code);
		if (rc < 0)
			return rc;
	}
	*flags = ring_flags(code);
	size = (code & 0x3f) - 1;
	if (size > IPC__RING_INLINE) {
		code &= 0x3f;
		if (code != IPC__RING_FAR && code != IPC__RING_NIGH)
			return ring_broken("code");
		return ring_far(r, code == IPC__RING_NIGH, data);
	}
	if (r->cell + ipc__ring_cells(size) > IPC__RING_CELLS)
		return ring_broken("cells");
	r->cells = ipc__ring_cells(size);
	r->next_v = r->v;
	*data = &r->at->u.cell[r->cell];
	return (ssize_t)size;
}

void
ipc__ring_release(struct ipc__ring *r, unsigned flags)
{
	if (r->cells == 0)
		return;
	r->cell += r->cells;
	r->cells = 0;
	r->run++;
	if (r->v != (r->next_v & IPC__RING_V)) {
		r->v = r->next_v & IPC__RING_V;
		/* Relaxed: it is only timed. */
		ipc__ring_set(&r->head->beat, r->v, memory_order_relaxed);
	}
	if (ipc__ring_end(r->word) != IPC__END_OPEN &&
	    (r->cell >= IPC__RING_CELLS ||
	    ipc__ring_code(r->word, r->cell) == 0))
		/* A bad jump shows again at the next peek. */
		(void)ipc__ring_next(r);
	if (!(flags & IPC__HOLD))
		ipc__ring_free(r);
}

ssize_t
ipc__ring_get_far(struct ipc__ring *r, void *buffer, size_t room)
{
	const void *data;
	unsigned flags;
	ssize_t n = ipc__ring_peek(r, &data, &flags);

	if (n < 0 || flags != 0 || (size_t)n > room)
		return n == -EAGAIN ? -1 : -2;
	ipc__copy(buffer, data, (size_t)n);
	ipc__ring_release(r, 0);
	return n;
}

/* The sender sleeps: have we given back as much as it wants, or everything? */
bool
ipc__ring_due(struct ipc__ring *r)
{
	uint64_t want = ipc__ring_get(&r->other->want, memory_order_relaxed);
	const void *data;
	unsigned flags;
	ssize_t rc;

	if (((r->u - want) & IPC__RING_U) <= IPC__RING_U / 2 &&
	    ((r->v - (want >> 33)) & IPC__RING_V) <= IPC__RING_V / 2)
		return true;
	rc = ipc__ring_peek(r, &data, &flags);
	r->cells = 0;
	return rc < 0;
}
