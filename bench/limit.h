/* SPDX-License-Identifier: ISC */
/*
 * What the limits share.
 */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include <string.h>

#include "subject.h"

/* memcpy(3), without the call where there is little to copy. */
static inline void
limit_copy(void *to, const void *from, size_t size)
{
	switch (size) {
	case 8:
		memcpy(to, from, 8);
		break;
	case 16:
		memcpy(to, from, 16);
		break;
	case 32:
		memcpy(to, from, 32);
		break;
	case 48:
		memcpy(to, from, 48);
		break;
	case 64:
		memcpy(to, from, 64);
		break;
	default:
		memcpy(to, from, size);
		break;
	}
}

#endif
