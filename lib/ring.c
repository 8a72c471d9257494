/* SPDX-License-Identifier: ISC */
/*
 * The ring: layout, joining, sleeping.  ringsend.c and ringrecv.c move
 * records.
 *
 * THE MEMORY is a header, descriptor lines, and payload, all in lines of 64
 * bytes.  A descriptor line is a word and seven cells of eight bytes.  The
 * word says in one byte per cell what begins there: a message of up to 56
 * bytes, which lies in the cells themselves, or a longer one, whose cell says
 * how long it is and where in the payload it lies.  So one line moves for a
 * small message, and eight bytes for the descriptor of a large one.  Payload
 * begins on a line and is never split: the payload is mapped twice in a row.
 *
 * Each line's word also carries the tag of its lap and, once the sender knows,
 * what follows the line: the next one, the first one, or a jump.  Words stand
 * in fixed places, where payload never lies, so nothing that a user sends can
 * look like one, and nothing has to be wiped.  The receiver needs no index of
 * the sender: it watches the word of the line that it stands at.  The sender
 * needs one thing from the receiver, its position, which is one 64-bit word.
 *
 * A large record is shown in parts, so that the receiver is at work on one
 * while the sender is on the next: a cell each, marked as part, whose payload
 * lies in line.  Lines and payload for all of it are had before the first is
 * shown, so the rest waits for nobody, and a receiver that wants it in place
 * need not give any back before it has the last.  In lasting (opened) rings,
 * where a successor may take over in between, a record is never parted.
 *
 * Where no cache is shared the sender copies around its cache (copy.c); it
 * knows that from the time that a line takes to come which the receiver keeps
 * writing for nothing else (beat).
 *
 * While small messages find their receiver waiting, the sender leaves a lap of
 * payload after a few lines and begins the next (ipc__ring_window()).  Positions
 * only grow by that, and what it takes is free by the receiver's position; the
 * lines that were left out are used before the ring is called full, behind a
 * barrier as where it grows.  The receiver does not know of it.
 *
 * A young ring uses 24 lines and 2 KiB of payload, both in the first page, and
 * grows by jumping over what is still unread into memory that was never used.
 *
 * ATOMICS, and what each pairs with:
 *   word	stored with release by the sender after cells and payload,
 *		loaded with acquire by the receiver before it reads those.  It
 *		is the one store by which records become visible: one, or all
 *		of a line at once.  A line is closed before the first word of
 *		the next is stored, so a word with this lap's tag is never
 *		ahead of the stream.
 *   cell	relaxed: ordered by the word.
 *   pos	stored with release by the receiver after its last read of what
 *		it gives back, loaded with acquire by the sender before it
 *		writes there.
 *   jump	relaxed, stored before and read after the word that says JUMP.
 *   sleep	see below.
 *   can, reg	see below.  want: relaxed, stored before sleep.
 *   lines_used, payload_used	relaxed: read only by a sender's successor,
 *		which has taken the sender's lock.
 *
 * SLEEPING.  The sleeper S stores sleep (odd), executes a full fence, loads
 * the other side's reg, calls membarrier if that is set, and then looks at the
 * ring once more (word, or pos).  The waker W stores word (or pos), executes a
 * full fence unless it omits it, and loads S's sleep.
 *   W fences: the two fences are ordered.  If S's is first, W sees sleep; if
 *   W's is first, S sees the ring's change.  Nobody sleeps unseen.
 *   W omits: only after it registered with the kernel, stored reg, executed one
 *   full fence F, and has seen S's can, which S sets before the first use and
 *   never takes back.  If S's fence comes before F, W sees sleep, which
 *   precedes S's fence.  Else S sees reg and calls membarrier, which puts a
 *   full barrier into W's instruction stream: if that is before W's load of
 *   sleep, W sees sleep, since S stored it before the call; if it is after, W's
 *   store of the ring's change was before the load, so it is before the
 *   barrier, and S, which looks after the call, sees it.
 *   In lasting (opened) rings sides come and go; there nobody omits.
 * W rings the bell first and then moves sleep from the value it saw to the
 * next even one by compare-and-swap: if S has slept anew meanwhile, the swap
 * fails and S keeps its mark, and a bell too many is only a look too many.
 * The model in spin/ring.pml checks this with store buffers.
 *
 * Where many receivers look at the same slots (latest.c) they share one mark
 * and one bell that all of them hear.  Each stores a mark that was never
 * there, by compare-and-swap, and nobody but the waker takes one off.  A
 * sleeper whose mark came before the waker's load is rung; one whose mark came
 * after it keeps it, as the swap fails.
 *
 * LEAVING.  A receiver that is closed leaves a mark of its own kind, odd, so
 * that the sender comes off its fast path at the next record without having
 * looked at anything more than before.  It is a hint and nothing else: the
 * receiver has said goodbye on the life line first, and there the sender asks.
 * So no fence is needed: a sender that misses the mark in one look has it in
 * the next, as nobody takes it off (the waker's swap is left out for it, and
 * one for an earlier mark fails), and one that sees it sees the goodbye
 * (release, and a system call on both sides).  Whoever finds the mark and no
 * goodbye has met a liar, or one that left and came back: it rings the bell as
 * for a sleeper, so nobody is lost who sleeps behind it.
 *
 * A KILL
 *   of the sender before a word is stored leaves cells and payload that no word
 *   speaks of; after it a whole record.  Between closing a line and the first
 *   word of the next: an empty line, which is where a successor begins.
 *   Between the word and the bell, or the bell and the swap: the receiver may
 *   sleep with the record there, marked asleep; it is woken by the end of the
 *   sender, which the kernel tells it, or by the bell of a successor.
 *   During growth: memory that is populated but not used yet.
 *   of the receiver before pos is stored: the record is still there, and its
 *   successor gets it (again, if it had been looked at).  After it: it is gone.
 *   Of either side in its sleep: a mark that costs one bell too many.
 *
 * THE OTHER SIDE IS NOT TRUSTED: each shared word is loaded once into a local
 * variable, checked, and then used.  Lengths and positions are checked against
 * the sizes that were read from the header once, when the ring was joined, so
 * that nothing outside the mapping is touched.  No loop runs on what the other
 * side says: a look advances by one line at most.
 */

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "error.h"
#include "ring.h"

static const unsigned char magic[8] = {
	'i', 'p', 'c', 'R', 'i', 'n', 'g', '\n'
};

#define RING_FENCES	512u	/* before we register */

uint64_t
ipc__ring_payload(uint64_t capacity)
{
	uint64_t p = IPC__RING_CAPACITY_MIN;

	if (capacity == 0)
		capacity = IPC__RING_CAPACITY;
	if (capacity > IPC__RING_CAPACITY_MAX)
		capacity = IPC__RING_CAPACITY_MAX;
	while (p * 2 <= capacity)
		p *= 2;
	return p;
}

static uint64_t
ring_line_count(uint64_t payload)
{
	uint64_t n = payload / 4 / IPC__RING_LINE;

	return n < 64 ? 64 : n;
}

static uint64_t
ring_payload_start(uint64_t lines)
{
	uint64_t end = sizeof(struct ipc__ring_head) + lines * IPC__RING_LINE;

	return (end + IPC__RING_GRAIN - 1) / IPC__RING_GRAIN * IPC__RING_GRAIN;
}

size_t
ipc__ring_bytes(uint64_t capacity)
{
	uint64_t p = ipc__ring_payload(capacity);

	return ring_payload_start(ring_line_count(p)) + p;
}

size_t
ipc__ring_start(uint64_t payload)
{
	return ring_payload_start(ring_line_count(payload));
}

void
ipc__ring_format(void *memory, uint64_t capacity)
{
	struct ipc__ring_head *h = memory;
	uint64_t p = ipc__ring_payload(capacity), lines = ring_line_count(p);

	h->version = htole32(IPC__RING_VERSION);
	h->header = htole32(sizeof *h);
	h->lines = htole32((uint32_t)lines);
	h->payload = htole32((uint32_t)(p / IPC__RING_LINE));
	h->record = htole32((uint32_t)(p / 4));
	h->start = htole32((uint32_t)(ring_payload_start(lines) /
	    IPC__RING_LINE));
	h->bytes = htole64(ipc__ring_bytes(p));
	atomic_store_explicit(&h->lines_used, htole32(IPC__RING_YOUNG),
	    memory_order_relaxed);
	memcpy(h->magic, magic, sizeof magic);
}

int
ipc__ring_check(const void *memory, size_t size, uint64_t *out)
{
	const volatile struct ipc__ring_head *h = memory;
	uint64_t payload, lines, bytes;
	unsigned char m[8];
	unsigned i;

	if (size < sizeof *h)
		return ipc__fail(EBADMSG, "%zu bytes are too few for a ring",
		    size);
	for (i = 0; i < sizeof m; i++)
		m[i] = h->magic[i];
	if (memcmp(m, magic, sizeof m) != 0)
		return ipc__fail(EPROTO, "this memory is not a ring");
	if (le32toh(h->version) != IPC__RING_VERSION)
		return ipc__fail(EPROTO, "ring of version %u, not %u",
		    le32toh(h->version), IPC__RING_VERSION);
	payload = (uint64_t)le32toh(h->payload) * IPC__RING_LINE;
	lines = le32toh(h->lines);
	bytes = le64toh(h->bytes);
	if (le32toh(h->header) != sizeof *h ||
	    payload != ipc__ring_payload(payload) ||
	    lines != ring_line_count(payload) ||
	    le32toh(h->record) != payload / 4 ||
	    le32toh(h->start) != ring_payload_start(lines) / IPC__RING_LINE ||
	    bytes != ipc__ring_bytes(payload))
		return ipc__fail(EPROTO, "ring of another layout");
	if (bytes > size)
		return ipc__fail(EBADMSG, "ring of %llu bytes in %zu",
		    (unsigned long long)bytes, size);
	*out = payload;
	return 0;
}

static void
ring_attach(struct ipc__ring *r, void *memory, uint64_t payload)
{
	r->lines = (uint32_t)ring_line_count(payload);
	r->shift = (unsigned)__builtin_ctz(r->lines);
	r->plines = (uint32_t)(payload / IPC__RING_LINE);
	r->record = (size_t)payload / 4;
	r->line = (struct ipc__ring_line *)(void *)(r->head + 1);
	r->payload = (unsigned char *)memory + ipc__ring_start(payload);
}

static int
ring_broken(const char *what)
{
	return ipc__fail(EBADMSG, "the ring is broken: %s", what);
}

/* Where the receiver stands. */
static int
ring_join_recv(struct ipc__ring *r)
{
	uint64_t pos = ipc__ring_get(&r->head->pos, memory_order_acquire);

	r->u = pos & IPC__RING_U;
	r->cell = pos >> 30 & 7;
	r->v = pos >> 33;
	r->at = ipc__ring_at(r, r->u);
	return 0;
}

/* One line of what an earlier sender left, from a cell on: how many cells are
 * used, and where the payload ends. */
static int
ring_walk_line(struct ipc__ring *r, uint64_t word, bool *nigh)
{
	unsigned code, cells, size;
	uint64_t cell;

	while (r->cell < IPC__RING_CELLS &&
	    (code = ipc__ring_code(word, r->cell) & 0x3f) != 0) {
		if (code > IPC__RING_NIGH)
			return ring_broken("code");
		size = code <= IPC__RING_INLINE + 1 ? code - 1 : 8;
		cells = ipc__ring_cells(size);
		if (r->cell + cells > IPC__RING_CELLS)
			return ring_broken("cells");
		if (code >= IPC__RING_FAR) {
			cell = ipc__ring_get(&r->at->u.cell[r->cell],
			    memory_order_relaxed);
			r->v = (cell >> 32) +
			    ipc__ring_lines((uint32_t)cell);
			*nigh = code == IPC__RING_NIGH;
		}
		r->cell += cells;
	}
	return 0;
}

/* From the receiver's position through all that is unread to the end. */
static int
ring_walk(struct ipc__ring *r, bool *nigh)
{
	uint64_t i, next;
	int rc;

	for (i = 0; i <= r->lines; i++) {
		r->at = ipc__ring_at(r, r->u);
		r->word = ipc__ring_get(&r->at->word, memory_order_acquire);
		if ((r->word & 0x3f) != ipc__ring_tag(r, r->u)) {
			r->word = ipc__ring_tag(r, r->u);
			return r->cell == 0 ? 0 : ring_broken("tag");
		}
		rc = ring_walk_line(r, r->word, nigh);
		if (rc < 0 || ipc__ring_end(r->word) == IPC__END_OPEN)
			return rc;
		next = r->u + 1;
		if (ipc__ring_end(r->word) == IPC__END_WRAP)
			next = (r->u | (r->lines - 1)) + 1;
		else if (ipc__ring_end(r->word) == IPC__END_JUMP)
			next = ipc__ring_get(&r->head->jump,
			    memory_order_relaxed);
		r->u = next;
		r->cell = 0;
	}
	return ring_broken("no end");
}

/* Where the sender stands: behind the last record of an earlier one. */
static int
ring_join_send(struct ipc__ring *r)
{
	struct ipc__ring_head *h = r->head;
	bool nigh = true;
	int rc;

	ring_join_recv(r);
	rc = ring_walk(r, &nigh);
	if (rc < 0)
		return rc;
	r->grown_u = le32toh(atomic_load_explicit(&h->lines_used,
	    memory_order_relaxed));
	r->grown_v = le32toh(atomic_load_explicit(&h->payload_used,
	    memory_order_relaxed));
	if (r->grown_u < IPC__RING_YOUNG || r->grown_u > r->lines ||
	    r->grown_v > r->plines)
		return ring_broken("sizes");
	if ((r->u & (r->lines - 1)) >= r->grown_u)
		return ring_broken("position");
	/* Nothing of the main payload is in use: begin it afresh. */
	if (nigh && r->grown_v > 0) {
		r->v = (r->v + r->plines - 1) / r->plines * r->plines;
		r->barrier_v = r->v;
	}
	/* Counted from one lap up, so that nothing goes below zero. */
	r->u = (r->u & IPC__RING_U) + IPC__RING_U + 1;
	r->v = (r->v & IPC__RING_V) + IPC__RING_V + 1;
	if (r->barrier_v)
		r->barrier_v = r->v;
	/* As if the receiver had just freed nothing: the first want of room
	 * looks at its position. */
	r->limit_u = r->u;
	r->limit_v = r->v;
	r->jumped_u = r->u;
	r->spare = 1;
	r->claims = r->grown_u > IPC__RING_YOUNG || r->grown_v > 0;
	/* Relaxed: the first growth or claim looks again. */
	r->gate = atomic_load_explicit(&r->other->gate, memory_order_relaxed);
	return 0;
}

void
ipc__ring_sleeper_only(struct ipc__ring *r, void *memory, int dir,
    bool shared, const struct ipc__ring_ops *ops, void *owner)
{
	memset(r, 0, sizeof *r);
	r->ops = ops;
	r->owner = owner;
	r->head = memory;
	r->own = dir == IPC_SEND ? &r->head->send : &r->head->recv;
	r->other = dir == IPC_SEND ? &r->head->recv : &r->head->send;
	r->shared = shared;
	/* The marks of those beside us stay; nobody omits a fence. */
	if (shared)
		return;
	/* Until we say otherwise we fence; an earlier holder's word is not
	 * ours.  The fence is F of the argument above for the time before. */
	atomic_store_explicit(&r->own->reg, 0, memory_order_relaxed);
	r->nap = atomic_load_explicit(&r->own->sleep, memory_order_relaxed);
	r->nap = (le32toh(r->nap) | 1) + 1;
	atomic_store_explicit(&r->own->sleep, htole32(r->nap),
	    memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

int
ipc__ring_join(struct ipc__ring *r, void *memory, uint64_t payload, int dir,
    const struct ipc__ring_ops *ops, void *owner)
{
	ipc__ring_sleeper_only(r, memory, dir, false, ops, owner);
	ring_attach(r, memory, payload);
	return dir == IPC_SEND ? ring_join_send(r) : ring_join_recv(r);
}

bool
ipc__ring_asleep(const struct ipc__ring *r)
{
	uint32_t mark = atomic_load_explicit(&r->own->sleep,
	    memory_order_relaxed);

	return !r->shared && r->nap & 1 && le32toh(mark) == r->nap;
}

/* The mark of the next sleep, which is never that of leaving. */
static uint32_t
ring_next_nap(uint32_t nap)
{
	nap = (nap | 1) + 2;
	return nap == IPC__RING_LEFT ? 1 : nap;
}

/* Each mark is another one than all before, whoever made it, so that the waker
 * wipes only the one that it saw.  Relaxed: the fence comes behind it. */
static bool
ring_doze_shared(struct ipc__ring *r)
{
	uint32_t was = atomic_load_explicit(&r->own->sleep,
	    memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&r->own->sleep, &was,
	    htole32(ring_next_nap(le32toh(was))), memory_order_relaxed,
	    memory_order_relaxed))
		;
	/* Pairs with the fence of ipc__ring_fenced(). */
	atomic_thread_fence(memory_order_seq_cst);
	return false;
}

bool
ipc__ring_doze(struct ipc__ring *r)
{
	if (r->shared)
		return ring_doze_shared(r);
	r->nap = ring_next_nap(r->nap);
	if (r->own == &r->head->send)
		ipc__ring_set(&r->own->want, ipc__ring_pos(r->want_u, 0,
		    r->want_v), memory_order_relaxed);
	/* Release: want is seen by who sees the mark. */
	atomic_store_explicit(&r->own->sleep, htole32(r->nap),
	    memory_order_release);
	/* Pairs with the fence of ipc__ring_fenced(), or with F there. */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&r->other->reg, memory_order_relaxed);
}

void
ipc__ring_rise(struct ipc__ring *r)
{
	/* Others may sleep by the same mark: only the waker takes it off. */
	if (r->shared)
		return;
	r->nap = (r->nap | 1) + 1;
	atomic_store_explicit(&r->own->sleep, htole32(r->nap),
	    memory_order_relaxed);
}

bool
ipc__ring_beside(struct ipc__ring *r)
{
	uint32_t here = htole32((uint32_t)sched_getcpu() + 1);

	/* Relaxed, both: a hint.  The other side looks at this line after each
	 * record, so it is not stored for nothing. */
	if (atomic_load_explicit(&r->own->cpu, memory_order_relaxed) != here)
		atomic_store_explicit(&r->own->cpu, here,
		    memory_order_relaxed);
	return atomic_load_explicit(&r->other->cpu, memory_order_relaxed) ==
	    here;
}

/* Release: what was said of it elsewhere is seen by who sees the mark. */
void
ipc__ring_leave(struct ipc__ring *r)
{
	atomic_store_explicit(&r->own->sleep, IPC__RING_LEFT,
	    memory_order_release);
}

void
ipc__ring_rung(struct ipc__ring *r, uint32_t token)
{
	uint32_t was = token;

	/* That mark stays. */
	if (ipc__ring_left(token))
		return;
	/* Relaxed: only the value matters.  Fails if it sleeps anew. */
	atomic_compare_exchange_strong_explicit(&r->other->sleep, &was,
	    htole32(le32toh(token) + 1), memory_order_relaxed,
	    memory_order_relaxed);
}

/* The same as ipc__ring_sleeper(), with the fence; after some time we register
 * and leave it out. */
bool
ipc__ring_fenced(struct ipc__ring *r, uint32_t *token)
{
	if (!r->lasting && ++r->fences >= RING_FENCES &&
	    atomic_load_explicit(&r->other->can, memory_order_relaxed)) {
		r->fences = 0;
		if (r->ops->registered(r->owner)) {
			atomic_store_explicit(&r->own->reg, htole32(1),
			    memory_order_relaxed);
			r->omit = true;
		}
	}
	/* Pairs with the fence of ipc__ring_doze(); the last one is F. */
	atomic_thread_fence(memory_order_seq_cst);
	*token = atomic_load_explicit(&r->other->sleep, memory_order_relaxed);
	return le32toh(*token) & 1;
}

bool
ipc__ring_ready(struct ipc__ring *r)
{
	const void *data;
	unsigned flags;

	if (r->own == &r->head->send)
		return ipc__ring_roomy(r);
	return ipc__ring_peek(r, &data, &flags) != -EAGAIN;
}
