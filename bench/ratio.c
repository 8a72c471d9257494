/* SPDX-License-Identifier: ISC */
/*
 * A result beside its references: what the machine can do at best, the bare
 * call of the kernel, the best of the other libraries.  A ratio is taken within
 * one repetition, so that both were measured in the same minute, and the median
 * of these ratios is what is told.
 */
#include <string.h>

#include "measure.h"
#include "plan.h"

const char *const bench_reference_names[] = {
	[BENCH_TO_LIMIT] = "limit", [BENCH_TO_KERNEL] = "kernel",
	[BENCH_TO_PEER] = "peer"
};

/* One message a call is what the other ways of a flow are compared with. */
static const struct bench_metric *
base_of(const struct bench_metric *m)
{
	if (m == &bench_batch || m == &bench_peek || m == &bench_place_rate)
		return &bench_rate;
	return m;
}

/* To set up shared memory there is no bare call; a socket pair is what a
 * program would have instead. */
static const char *
kernel_name(const struct bench_result *r)
{
	const char *under = r->subject->under;

	if (under && r->metric == &bench_set_up && strstr(under, "slot"))
		return "unix stream";
	if (under && r->metric == &bench_idle && strstr(under, "slot"))
		return "eventfd + slot";
	return under;
}

static bool
may_be(const struct bench_result *r, const struct subject *s,
    enum bench_reference to)
{
	const char *name;

	switch (to) {
	case BENCH_TO_LIMIT:
		return s->kind == SUBJECT_LIMIT &&
		    !(s->traits & SUBJECT_ALONE);
	case BENCH_TO_PEER:
		return s->kind == SUBJECT_PEER;
	default:
		name = kernel_name(r);
		return name && strcmp(s->name, name) == 0;
	}
}

/* The best reference in this repetition; 0: none. */
static double
best(const struct bench_results *all, const struct bench_result *r,
    enum bench_reference to, const struct bench_metric *m, unsigned repetition)
{
	double found = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct bench_result *q = &all->result[i];
		double v = q->value[0][repetition];

		if (q->metric != m || q->size != r->size ||
		    q->distance != r->distance || q->place != r->place ||
		    !q->have[repetition] || !may_be(r, q->subject, to))
			continue;
		if (found == 0 || (r->metric->more ? v > found : v < found))
			found = v;
	}
	return found;
}

static double
reference(const struct bench_results *all, const struct bench_result *r,
    enum bench_reference to, unsigned repetition)
{
	double a, b;

	a = best(all, r, to, base_of(r->metric), repetition);
	if (to != BENCH_TO_PEER)
		return a;
	/* A peer may be better at the same thing than one by one. */
	b = best(all, r, to, r->metric, repetition);
	if (a == 0 || b == 0)
		return a + b;
	return (r->metric->more ? b > a : b < a) ? b : a;
}

double
bench_ratio(const struct bench_results *all, const struct bench_result *r,
    enum bench_reference to)
{
	double ratio[BENCH_REPEAT];
	size_t n = 0;

	for (unsigned i = 0; i < BENCH_REPEAT; i++) {
		double ref = r->have[i] ? reference(all, r, to, i) : 0;

		if (ref > 0)
			ratio[n++] = r->value[0][i] / ref;
	}
	return bench_range(ratio, n).median;
}
