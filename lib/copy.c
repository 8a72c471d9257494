/* SPDX-License-Identifier: ISC */
/*
 * Copies around the cache, and the two estimates that choose them: the distance
 * of the other side and the pace of the data.
 *
 * The vector code is chosen when it is first used, by what the processor says
 * of itself; everywhere else memcpy serves, which is always right.
 */

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "copy.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define COPY_X86
#endif

/* A line that has to come from a core with which no cache is shared takes four
 * times as long as from a near one: 10 to 50 and 90 to 200 ns where this was
 * measured.  Interrupts make some longer, so the majority of a few tells; what
 * took no time had been fetched on suspicion and tells nothing, unless it is
 * always so, as on one core.  After that many bytes it is asked again: some
 * milliseconds until a change is known, at the cost of a hundredth. */
#define FAR_ABOVE	70
#define HERE_BELOW	15
#define HERE_MOST	16u
#define VOTES		5u
#define VOTES_FIRST	3u
#define LOOK_EVERY	((size_t)256 << 10)
#define LOOK_SOON	((size_t)16 << 10)

static uint64_t
copy_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
distance_vote(struct ipc__distance *d, uint64_t clock, uint64_t ns)
{
	if (ns < clock + HERE_BELOW) {
		if (++d->here == HERE_MOST)
			d->far = false;
		return;
	}
	d->here = 0;
	d->over += ns > clock + FAR_ABOVE;
	if (++d->count < (d->known ? VOTES : VOTES_FIRST))
		return;
	d->far = d->over > d->count / 2;
	d->known = true;
	d->count = d->over = 0;
}

void
ipc__distance_look(struct ipc__distance *d, const _Atomic uint64_t *line)
{
	uint64_t before, from, is, till;

	before = copy_clock();
	from = copy_clock();
	/* The clock is far from its last bit: that is 0, but the processor has
	 * to wait for it, and does not load before the time is taken.
	 * Relaxed: nothing depends on what it says. */
	is = atomic_load_explicit(line + (from >> 63), memory_order_relaxed);
	till = copy_clock();
	d->left = LOOK_SOON;
	/* If it has not been written since, it was here already. */
	if (is == d->was)
		return;
	d->was = is;
	distance_vote(d, from - before, till - from);
	d->left = d->known || d->here ? LOOK_EVERY : 0;
}

bool
ipc__pace_fast(struct ipc__pace *p, uint64_t done, uint64_t much,
    uint64_t fast)
{
	uint64_t now;
	bool is;

	p->done += done;
	if (p->since && p->done < much)
		return false;
	now = copy_clock();
	is = p->since && p->done >= (now - p->since) / 1000 * fast / 1000;
	p->since = now;
	p->done = 0;
	return is;
}

#ifdef COPY_X86
/* Whole lines, `to' being aligned to one. */
__attribute__((target("sse2")))
static void
copy_lines_sse2(unsigned char *to, const unsigned char *from, size_t lines)
{
	__m128i a, b, c, d;

	for (; lines > 0; lines--, to += 64, from += 64) {
		a = _mm_loadu_si128((const __m128i *)(const void *)from);
		b = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
		c = _mm_loadu_si128((const __m128i *)(const void *)(from + 32));
		d = _mm_loadu_si128((const __m128i *)(const void *)(from + 48));
		_mm_stream_si128((__m128i *)(void *)to, a);
		_mm_stream_si128((__m128i *)(void *)(to + 16), b);
		_mm_stream_si128((__m128i *)(void *)(to + 32), c);
		_mm_stream_si128((__m128i *)(void *)(to + 48), d);
	}
}

__attribute__((target("avx2")))
static void
copy_lines_avx2(unsigned char *to, const unsigned char *from, size_t lines)
{
	__m256i a, b;

	for (; lines > 0; lines--, to += 64, from += 64) {
		a = _mm256_loadu_si256((const __m256i *)(const void *)from);
		b = _mm256_loadu_si256(
		    (const __m256i *)(const void *)(from + 32));
		_mm256_stream_si256((__m256i *)(void *)to, a);
		_mm256_stream_si256((__m256i *)(void *)(to + 32), b);
	}
}

__attribute__((target("avx512f")))
static void
copy_lines_avx512(unsigned char *to, const unsigned char *from, size_t lines)
{
	for (; lines > 0; lines--, to += 64, from += 64)
		_mm512_stream_si512((__m512i *)(void *)to,
		    _mm512_loadu_si512((const void *)from));
}

/* The same through the cache, which is what memcpy does; but the copy that it
 * is made of on newer processors, by one instruction, loses half its speed
 * where the places of both in their pages are close together.  So they are for
 * whoever has a buffer from malloc, which begins 16 bytes behind a page, and
 * payload here, which begins with one. */
__attribute__((target("avx2")))
static void
copy_through_avx2(unsigned char *to, const unsigned char *from, size_t lines)
{
	__m256i a, b, c, d;

	for (; lines > 1; lines -= 2, to += 128, from += 128) {
		a = _mm256_loadu_si256((const __m256i *)(const void *)from);
		b = _mm256_loadu_si256(
		    (const __m256i *)(const void *)(from + 32));
		c = _mm256_loadu_si256(
		    (const __m256i *)(const void *)(from + 64));
		d = _mm256_loadu_si256(
		    (const __m256i *)(const void *)(from + 96));
		_mm256_store_si256((__m256i *)(void *)to, a);
		_mm256_store_si256((__m256i *)(void *)(to + 32), b);
		_mm256_store_si256((__m256i *)(void *)(to + 64), c);
		_mm256_store_si256((__m256i *)(void *)(to + 96), d);
	}
	if (lines > 0)
		memcpy(to, from, 64);
}

typedef void copy_lines(unsigned char *, const unsigned char *, size_t);

static copy_lines *
copy_choose_around(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		return copy_lines_avx512;
	if (__builtin_cpu_supports("avx2"))
		return copy_lines_avx2;
	if (__builtin_cpu_supports("sse2"))
		return copy_lines_sse2;
	return NULL;
}

static copy_lines *
copy_choose_through(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") ? copy_through_avx2 : NULL;
}

/* The choices, made once.  Relaxed: every thread that makes one makes the same,
 * and it is a single word; only `tried' pairs, with release and acquire, as
 * behind it the choice is to be seen. */
struct copy_choice {
	_Atomic(copy_lines *) lines;
	_Atomic int tried;
};
static struct copy_choice copy_around, copy_through;

static copy_lines *
copy_chosen(struct copy_choice *c, copy_lines *(*choose)(void))
{
	if (!atomic_load_explicit(&c->tried, memory_order_acquire)) {
		atomic_store_explicit(&c->lines, choose(),
		    memory_order_relaxed);
		atomic_store_explicit(&c->tried, 1, memory_order_release);
	}
	return atomic_load_explicit(&c->lines, memory_order_relaxed);
}

/* Whole lines of the destination by these, the rest by memcpy. */
static void
copy_by(copy_lines *lines, void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;
	size_t head = -(uintptr_t)t & 63, whole;

	if (!lines || size < head + 64) {
		memcpy(t, f, size);
		return;
	}
	memcpy(t, f, head);
	whole = (size - head) / 64;
	lines(t + head, f + head, whole);
	memcpy(t + head + whole * 64, f + head + whole * 64,
	    (size - head) & 63);
}

void
ipc__copy_much(void *to, const void *from, size_t size)
{
	copy_by(copy_chosen(&copy_through, copy_choose_through), to, from,
	    size);
}

void
ipc__copy_around(void *to, const void *from, size_t size)
{
	copy_by(copy_chosen(&copy_around, copy_choose_around), to, from, size);
}

__attribute__((target("sse2")))
static void
copy_sfence(void)
{
	_mm_sfence();
}

void
ipc__copy_fence(void)
{
	/* Where there is no SSE2 nothing went around the cache. */
	if (atomic_load_explicit(&copy_around.lines, memory_order_relaxed))
		copy_sfence();
}
#else
void
ipc__copy_much(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void
ipc__copy_around(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void
ipc__copy_fence(void)
{
}
#endif
