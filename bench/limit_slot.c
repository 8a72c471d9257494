/* SPDX-License-Identifier: ISC */
/*
 * The limits of a round trip: one word that two processors write in turns, and
 * one slot that holds a flag and a payload, in one line where it fits.  There
 * is room for one message, no length, no end, nobody sleeps: nothing that has
 * to do more can be faster with one slot.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "limit.h"

/* The flag counts messages; the payload follows in the same line. */
struct slot {
	_Alignas(64) _Atomic uint64_t flag;
	char	payload[];
};

struct slot_end {
	struct slot	*out, *in;
	uint64_t	 sent, received;
	size_t		 size;
};

/* Both slots lie in one piece of shared memory, a page apart. */
static size_t
slot_size(const struct link *l)
{
	return (sizeof(struct slot) + l->size + 4095) / 4096 * 4096;
}

static int
slot_prepare(struct link *l)
{
	l->state = subject_shared(2 * slot_size(l));
	if (!l->state)
		return subject_fail(errno, "mmap");
	memset(l->state, 0, 2 * slot_size(l));
	return 0;
}

static int
slot_attach(struct link *l, int side, void **end)
{
	struct slot_end *e = aligned_alloc(64, 64);
	char *memory = l->state;

	if (!e)
		return subject_fail(ENOMEM, "slot");
	memset(e, 0, sizeof *e);
	e->size = l->size;
	e->out = (void *)(memory + (side ? slot_size(l) : 0));
	e->in = (void *)(memory + (side ? 0 : slot_size(l)));
	*end = e;
	return 0;
}

static int
slot_send(void *end, const void *data, size_t size)
{
	struct slot_end *e = end;

	limit_copy(e->out->payload, data, size);
	/* The payload is seen by who sees the flag (slot_peek). */
	atomic_store_explicit(&e->out->flag, ++e->sent, memory_order_release);
	return 0;
}

static ssize_t
slot_peek(void *end, const void **data)
{
	struct slot_end *e = end;

	e->received++;
	while (atomic_load_explicit(&e->in->flag, memory_order_acquire) !=
	    e->received)
		subject_relax();
	*data = e->in->payload;
	return (ssize_t)e->size;
}

static int
slot_release(void *end)
{
	(void)end;
	return 0;
}

/*
 * The word alone: the payload is the flag, which differs from the last one
 */

struct line_end {
	struct slot_end	slot;		/* where the words are */
	uint64_t	seen;
};

static int
line_attach(struct link *l, int side, void **end)
{
	struct line_end *e;
	void *slots = NULL;
	int rc = slot_attach(l, side, &slots);

	if (rc < 0)
		return rc;
	e = aligned_alloc(64, 64);
	if (e) {
		e->slot = *(struct slot_end *)slots;
		e->seen = 0;
	}
	free(slots);
	*end = e;
	return e ? 0 : subject_fail(ENOMEM, "line");
}

static int
line_send(void *end, const void *data, size_t size)
{
	struct line_end *e = end;
	uint64_t word;

	memcpy(&word, data, sizeof word);
	/* Nothing goes with it. */
	atomic_store_explicit(&e->slot.out->flag, word, memory_order_relaxed);
	return size == sizeof word ? 0 : -EMSGSIZE;
}

static ssize_t
line_peek(void *end, const void **data)
{
	struct line_end *e = end;
	uint64_t word;

	while ((word = atomic_load_explicit(&e->slot.in->flag,
	    memory_order_relaxed)) == e->seen)
		subject_relax();
	e->seen = word;
	*data = &e->seen;
	return sizeof word;
}

static void
slot_detach(void *end)
{
	free(end);
}

const struct subject limit_line = {
	.name = "cache line",
	.kind = SUBJECT_LIMIT,
	.traits = SUBJECT_SPINS | SUBJECT_FIXED | SUBJECT_SLOT,
	.largest = 8,
	.prepare = slot_prepare,
	.attach = line_attach,
	.send = line_send,
	.peek = line_peek,
	.release = slot_release,
	.detach = slot_detach
};

const struct subject limit_slot = {
	.name = "slot",
	.kind = SUBJECT_LIMIT,
	.traits = SUBJECT_SPINS | SUBJECT_FIXED | SUBJECT_SLOT,
	.prepare = slot_prepare,
	.attach = slot_attach,
	.send = slot_send,
	.peek = slot_peek,
	.release = slot_release,
	.detach = slot_detach
};
