/* SPDX-License-Identifier: ISC */
/*
 * The limits of a stream: messages of one size lie one behind the other in a
 * ring that fits into the shared cache and not into a private one, without
 * lengths; the writer publishes seldom, the reader reads where they lie and
 * gives back seldom; nobody sleeps.  Once with ordinary stores, once with such
 * that go past the caches, which is better where none is shared.  And the same
 * copy with nobody at the other end.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "limit.h"
#include "payload.h"

#define RING_BYTES	((size_t)4 << 20)
#define PUBLISH_BYTES	((size_t)2 << 10)
#define PUBLISH_FAR	((size_t)16 << 10)	/* each costs a fence then */
#define PIECE		((size_t)16 << 10)	/* of a large message */
#define GIVE_BACK	((size_t)64 << 10)

/* One direction.  Both words count bytes. */
struct ring {
	_Alignas(128) _Atomic uint64_t head;	/* written */
	_Atomic uint64_t flushed;		/* not worth waiting behind */
	_Alignas(128) _Atomic uint64_t tail;	/* given back */
	_Alignas(128) char data[];
};

struct writer {
	struct ring	*ring;
	uint64_t	 head, published, tail;	/* tail: as seen last */
	size_t		 at;
};

struct reader {
	struct ring	*ring;
	uint64_t	 tail, given, head;
	size_t		 at;
};

struct ring_end {
	struct writer	out;
	struct reader	in;
	size_t		size, capacity;		/* whole messages */
	size_t		publish, give;
	bool		past_caches;
};

/* A message of a megabyte has four of its size; larger ones have two. */
static size_t
slots_of(size_t size)
{
	return size * 2 > RING_BYTES ? 2 : RING_BYTES / size;
}

static size_t
ring_size(const struct link *l)
{
	return (sizeof(struct ring) + slots_of(l->size) * l->size + 4095) /
	    4096 * 4096;
}

static int
ring_prepare(struct link *l)
{
	l->state = subject_shared(2 * ring_size(l));
	return l->state ? 0 : subject_fail(errno, "mmap");
}

static int
ring_attach(struct link *l, int side, void **end)
{
	struct ring_end *e = calloc(1, sizeof *e);
	char *memory = l->state;

	if (!e)
		return subject_fail(ENOMEM, "ring");
	/* A shared mapping's pages are not in a child's tables. */
	for (size_t i = 0; i < 2 * ring_size(l); i += 4096)
		(void)*(volatile char *)(memory + i);
	e->out.ring = (void *)(memory + (side ? ring_size(l) : 0));
	e->in.ring = (void *)(memory + (side ? 0 : ring_size(l)));
	e->size = l->size;
	e->capacity = slots_of(l->size) * l->size;
	e->past_caches = l->subject->parameter != NULL;
	e->publish = e->past_caches ? PUBLISH_FAR : PUBLISH_BYTES;
	e->give = GIVE_BACK;
	*end = e;
	return 0;
}

static void
publish(struct ring_end *e)
{
#ifdef __SSE2__
	/* Stores past the caches are in no order without it. */
	if (e->past_caches)
		_mm_sfence();
#endif
	e->out.published = e->out.head;
	/* With the reader's acquire: what is counted is there. */
	atomic_store_explicit(&e->out.ring->head, e->out.head,
	    memory_order_release);
}

/* Sizes are multiples of 8, and so are places in the ring. */
static void
copy_past_caches(char *to, const char *from, size_t size)
{
#ifdef __SSE2__
	if (size % 16 == 0)
		for (; size > 0; size -= 16, to += 16, from += 16)
			_mm_stream_si128((__m128i *)(void *)to, _mm_loadu_si128(
			    (const __m128i *)(const void *)from));
#ifdef __x86_64__
	for (; size > 0; size -= 8, to += 8, from += 8) {
		long long word;

		memcpy(&word, from, sizeof word);
		_mm_stream_si64((long long *)(void *)to, word);
	}
#endif
#endif
	memcpy(to, from, size);
}

static inline void
copy(const struct ring_end *e, char *to, const char *from, size_t size)
{
	if (e->past_caches)
		copy_past_caches(to, from, size);
	else
		limit_copy(to, from, size);
}

/* Waits for room, and says where it is. */
static inline char *
room(struct ring_end *e)
{
	struct writer *w = &e->out;
	char *p;

	while (w->head - w->tail == e->capacity) {
		if (w->published != w->head)
			publish(e);
		w->tail = atomic_load_explicit(&w->ring->tail,
		    memory_order_acquire);
		if (w->head - w->tail == e->capacity)
			subject_relax();
	}
	p = w->ring->data + w->at;
	w->at += e->size;
	if (w->at == e->capacity)
		w->at = 0;
	return p;
}

/* A large one is read while it is still being written. */
static void
put_large(struct ring_end *e, const char *data)
{
	char *to = room(e);

	for (size_t done = 0, n; done < e->size; done += n) {
		n = e->size - done < PIECE ? e->size - done : PIECE;
		copy(e, to + done, data + done, n);
		e->out.head += n;
		publish(e);
	}
}

static inline __attribute__((always_inline)) void
put(struct ring_end *e, const char *data, size_t size)
{
	if (size > PIECE) {
		put_large(e, data);
		return;
	}
	copy(e, room(e), data, size);
	e->out.head += size;
	if (e->out.head - e->out.published >= e->publish)
		publish(e);
}

static int
ring_send_many(void *end, const struct iovec *messages, int count)
{
	struct ring_end *e = end;

	for (int i = 0; i < count; i++)
		put(e, messages[i].iov_base, e->size);
	return 0;
}

static int
ring_flush(void *end)
{
	struct ring_end *e = end;

	/* Seen with the head, by who acquires that. */
	atomic_store_explicit(&e->out.ring->flushed, e->out.head,
	    memory_order_relaxed);
	publish(e);
	return 0;
}

/* What the last call showed is read by now. */
static inline void
give_back(struct ring_end *e)
{
	struct reader *r = &e->in;

	if (r->tail - r->given < e->give)
		return;
	/* With the writer's acquire: it is read before it is overwritten. */
	atomic_store_explicit(&r->ring->tail, r->tail, memory_order_release);
	r->given = r->tail;
}

/* Waits until so many bytes behind the tail are there. */
static inline void
await(struct reader *r, size_t bytes)
{
	while (r->head - r->tail < bytes) {
		/* With the writer's release. */
		r->head = atomic_load_explicit(&r->ring->head,
		    memory_order_acquire);
		if (r->head - r->tail < bytes)
			subject_relax();
	}
}

/* Where there is no message yet, waits for half a ring of them, unless the
 * writer pauses or has paused behind the last one: what has left the writer's
 * own cache is read several times as fast. */
static inline void
await_half(struct ring_end *e)
{
	struct reader *r = &e->in;

	if (r->head - r->tail >= e->size || (r->tail > 0 &&
	    atomic_load_explicit(&r->ring->flushed, memory_order_relaxed) ==
	    r->tail))
		return;
	do {
		r->head = atomic_load_explicit(&r->ring->head,
		    memory_order_acquire);
		if (r->head - r->tail >= e->capacity / 2)
			return;
		subject_relax();
	} while (atomic_load_explicit(&r->ring->flushed,
	    memory_order_relaxed) <= r->tail);
}

static inline const char *
take(struct ring_end *e)
{
	struct reader *r = &e->in;
	const char *data = r->ring->data + r->at;

	r->tail += e->size;
	r->at += e->size;
	if (r->at == e->capacity)
		r->at = 0;
	return data;
}

static int
ring_recv_many(void *end, struct iovec *messages, int count)
{
	struct ring_end *e = end;
	int n;

	give_back(e);
	await(&e->in, e->size);
	for (n = 0; n < count && e->in.head - e->in.tail >= e->size; n++) {
		messages[n].iov_base = (void *)(uintptr_t)take(e);
		messages[n].iov_len = e->size;
	}
	return n;
}

/*
 * The same without anything between the loop and the memory
 */

static inline __attribute__((always_inline)) void
pour_sized(struct ring_end *e, const struct payload *p, uint64_t number,
    unsigned count, size_t size)
{
	while (count-- > 0)
		put(e, payload_message(p, number++), size);
}

static int
ring_pour(void *end, const struct payload *p, uint64_t number, unsigned count)
{
	if (p->size == 8)
		pour_sized(end, p, number, count, 8);
	else if (p->size == 64)
		pour_sized(end, p, number, count, 64);
	else
		pour_sized(end, p, number, count, p->size);
	return 0;
}

static int
damaged(uint64_t number)
{
	return subject_fail(EBADMSG, "message %llu is not what was sent",
	    (unsigned long long)number);
}

/* One that comes in pieces, each read as it comes. */
static int
drain_large(struct ring_end *e, const struct payload *p, uint64_t number,
    bool *last)
{
	const char *data = e->in.ring->data + e->in.at;
	uint64_t sum = 0;

	for (size_t done = 0, n; done < e->size; done += n) {
		n = e->size - done < PIECE ? e->size - done : PIECE;
		await(&e->in, done + n);
		sum += payload_sum(data + done, n);
	}
	take(e);
	*last = payload_is_last(data);
	return *last || payload_is_summed(p, data, number, e->size, sum) ? 1 :
	    damaged(number);
}

static inline __attribute__((always_inline)) int
drain_sized(struct ring_end *e, const struct payload *p, uint64_t number,
    unsigned count, bool *last, size_t size)
{
	unsigned n = 0;

	await(&e->in, size);
	while (n < count && e->in.head != e->in.tail && !*last) {
		const char *data = take(e);

		if (!payload_is_sized(p, data, number + n, size)) {
			*last = payload_is_last(data);
			if (!*last)
				return damaged(number + n);
		}
		n++;
	}
	return (int)n;
}

static int
ring_drain(void *end, const struct payload *p, uint64_t number, unsigned count,
    bool *last)
{
	struct ring_end *e = end;

	give_back(e);
	await_half(e);
	if (p->size > PIECE)
		return drain_large(e, p, number, last);
	if (p->size == 8)
		return drain_sized(e, p, number, count, last, 8);
	if (p->size == 64)
		return drain_sized(e, p, number, count, last, 64);
	return drain_sized(e, p, number, count, last, p->size);
}

static void
ring_detach(void *end)
{
	free(end);
}

#define STREAM(label, far)						\
{									\
	.name = (label),						\
	.kind = SUBJECT_LIMIT,						\
	.traits = SUBJECT_SPINS | SUBJECT_FIXED,			\
	.parameter = (far),					\
	.prepare = ring_prepare,					\
	.attach = ring_attach,						\
	.send_many = ring_send_many,					\
	.recv_many = ring_recv_many,					\
	.flush = ring_flush,						\
	.pour = ring_pour,						\
	.drain = ring_drain,						\
	.detach = ring_detach						\
}

const struct subject limit_stream = STREAM("stream", NULL);
const struct subject limit_stream_far = STREAM("stream past caches", "");

/*
 * Copying alone
 */

struct copy_end {
	char	*memory;
	size_t	 size, slots, next;
};

static int
copy_attach(struct link *l, int side, void **end)
{
	struct copy_end *e = calloc(1, sizeof *e);

	(void)side;
	if (e) {
		e->size = l->size;
		e->slots = slots_of(l->size);
		e->memory = calloc(e->slots, e->size);
	}
	if (!e || !e->memory) {
		free(e);
		return subject_fail(ENOMEM, "memory");
	}
	memset(e->memory, 1, e->slots * e->size);
	*end = e;
	return 0;
}

static void
copy_detach(void *end)
{
	struct copy_end *e = end;

	free(e->memory);
	free(e);
}

static int
copy_send(void *end, const void *data, size_t size)
{
	struct copy_end *e = end;

	limit_copy(e->memory + e->next * size, data, size);
	if (++e->next == e->slots)
		e->next = 0;
	/* Nobody reads it: the compiler is not to know. */
	__asm__ __volatile__("" : : "r"(e->memory) : "memory");
	return 0;
}

const struct subject limit_copy_alone = {
	.name = "memcpy, one core",
	.kind = SUBJECT_LIMIT,
	.traits = SUBJECT_ALONE | SUBJECT_FIXED,
	.attach = copy_attach,
	.send = copy_send,
	.detach = copy_detach
};
