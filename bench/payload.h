/* SPDX-License-Identifier: ISC */
/*
 * What the messages are made of, so that the receiver can tell a right one from
 * any other: a stamp in the first and the last word, and words between whose
 * sum is known.  The receiver reads every byte.
 *
 * Small messages are stamped before anything is measured, and the few of them
 * sent in turns: a stamp that is written right before the copy makes the copy's
 * wide loads wait until all older stores have left the processor's store
 * buffer, which costs more than the message.  Large ones are stamped as they
 * are sent, as a mechanism that moves no bytes would otherwise find the last
 * message's in the receiver's cache.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PAYLOAD_SLOTS	16		/* small messages, in turns */
#define PAYLOAD_SMALL	4096		/* below this */
#define PAYLOAD_LEAST	8
#define PAYLOAD_MOST	((size_t)64 << 20)
#define PAYLOAD_LAST	UINT64_MAX	/* the stamp of the last one */

struct payload {
	size_t	 size;		/* of a message: a multiple of 8 */
	unsigned slots;
	char	*slot;		/* one behind the other, stamped if small */
	char	*last;		/* the last message */
	uint64_t sum;		/* of the words that are no stamps */
};

/* Touches all of it; -ENOMEM. */
int	 payload_new(struct payload *, size_t size);
void	 payload_free(struct payload *);

/* Fills the message in where it lies, stamp and all. */
void	 payload_fill(const struct payload *, void *data, uint64_t number);

/* Two at a time, as wide as every processor with vectors has them. */
typedef uint64_t payload_words __attribute__((vector_size(16), aligned(1),
    may_alias));

/* These are inline, as some subjects need only nanoseconds. */
static inline uint64_t
payload_sum(const void *data, size_t size)
{
	const char *p = (const char *)data;
	payload_words a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	uint64_t sum = 0, word;

	for (; size >= 64; size -= 64, p += 64) {
		a += *(const payload_words *)(const void *)p;
		b += *(const payload_words *)(const void *)(p + 16);
		c += *(const payload_words *)(const void *)(p + 32);
		d += *(const payload_words *)(const void *)(p + 48);
	}
	a += b + c + d;
	for (; size >= 8; size -= 8, p += 8) {
		memcpy(&word, p, sizeof word);
		sum += word;
	}
	return sum + a[0] + a[1];
}

static inline uint64_t
payload_stamp(const struct payload *p, uint64_t number)
{
	return 0x1000 + (p->slots > 1 ? number % PAYLOAD_SLOTS : number);
}

/* The message of this number, to be sent now. */
static inline const void *
payload_message(const struct payload *p, uint64_t number)
{
	uint64_t stamp;

	if (p->slots > 1)
		return p->slot + number % PAYLOAD_SLOTS * p->size;
	stamp = payload_stamp(p, number);
	memcpy(p->slot, &stamp, sizeof stamp);
	memcpy(p->slot + p->size - sizeof stamp, &stamp, sizeof stamp);
	return p->slot;
}

static inline bool
payload_is_last(const void *data)
{
	uint64_t first;

	memcpy(&first, data, sizeof first);
	return first == PAYLOAD_LAST;
}

/* The same where the sum of all words is known already. */
static inline bool
payload_is_summed(const struct payload *p, const void *data, uint64_t number,
    size_t size, uint64_t sum)
{
	uint64_t stamp = payload_stamp(p, number), first, last;

	memcpy(&first, data, sizeof first);
	memcpy(&last, (const char *)data + size - sizeof last, sizeof last);
	return first == stamp && last == stamp && sum == p->sum + 2 * stamp;
}

/* Is it the message of this number, whole?  size is p->size, which a caller may
 * know when it is compiled. */
static inline bool
payload_is_sized(const struct payload *p, const void *data, uint64_t number,
    size_t size)
{
	uint64_t first;

	if (size > sizeof first)
		return payload_is_summed(p, data, number, size,
		    payload_sum(data, size));
	memcpy(&first, data, sizeof first);
	return first == payload_stamp(p, number);
}

static inline bool
payload_is(const struct payload *p, const void *data, uint64_t number)
{
	return payload_is_sized(p, data, number, p->size);
}

#endif
