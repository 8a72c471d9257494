/* SPDX-License-Identifier: ISC */
/*
 * Channels of this library as subjects: one for each address.
 */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include "subject.h"

/* For an address, or a scheme and its options, that can be a pair.  NULL, with
 * a text: it can not.  It stays. */
const struct subject *ours_new(const char *address);

/* Those that are for calls; NULL at the end. */
extern const struct subject *const ours_calls[];

#endif
