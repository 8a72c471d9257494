/* SPDX-License-Identifier: ISC */
/*
 * The messages.
 */
#include <errno.h>
#include <stdlib.h>

#include "payload.h"

#define FILL	0x0123456789abcdefull

typedef uint64_t one __attribute__((aligned(1), may_alias));

static void
stamp(const struct payload *p, char *data, uint64_t with)
{
	memcpy(data, &with, sizeof with);
	memcpy(data + p->size - sizeof with, &with, sizeof with);
}

void
payload_fill(const struct payload *p, void *data, uint64_t number)
{
	const payload_words fill = { FILL, FILL };
	char *at = data;
	size_t left = p->size;

	/* As wide as it is summed: a store of a word each would fill the
	 * processor's store buffer with an eighth of the lines, and measure
	 * that where they come from another core's cache. */
	for (; left >= 64; left -= 64, at += 64)
		for (size_t i = 0; i < 64; i += sizeof fill)
			*(payload_words *)(void *)(at + i) = fill;
	for (; left >= 8; left -= 8, at += 8)
		*(one *)(void *)at = FILL;
	stamp(p, data, payload_stamp(p, number));
}

int
payload_new(struct payload *p, size_t size)
{
	p->size = size;
	p->slots = size < PAYLOAD_SMALL ? PAYLOAD_SLOTS : 1;
	p->sum = size > 16 ? FILL * (uint64_t)(size / 8 - 2) : 0;
	p->slot = aligned_alloc(64, (p->slots * size + 63) / 64 * 64);
	p->last = aligned_alloc(64, (size + 63) / 64 * 64);
	if (!p->slot || !p->last) {
		payload_free(p);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < p->slots; i++)
		payload_fill(p, p->slot + i * size, i);
	payload_fill(p, p->last, 0);
	stamp(p, p->last, PAYLOAD_LAST);
	return 0;
}

void
payload_free(struct payload *p)
{
	free(p->slot);
	free(p->last);
	p->slot = p->last = NULL;
}
