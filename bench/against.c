/* SPDX-License-Identifier: ISC */
/*
 * Each of this library's subjects beside each other one, where the best of them
 * says too little: calls, of which every other library has its own idea.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "measure.h"

#define NAME	22	/* columns, as in the tables */
#define CELL	14

/* One metric at one distance. */
struct against {
	FILE			*out;
	const struct bench_results *all;
	const struct bench_metric *metric;
	enum bench_distance	 distance;
};

static const struct bench_result *
of(const struct against *a, unsigned subject)
{
	const struct bench_result *r = bench_results_find(a->all, a->metric,
	    a->all->subject[subject], 0, a->distance);

	return r && r->count ? r : NULL;
}

/* The median of value / other's, both of one repetition. */
static double
ratio(const struct bench_result *r, const struct bench_result *other)
{
	double of[BENCH_REPEAT];
	size_t n = 0;

	for (unsigned i = 0; i < BENCH_REPEAT; i++)
		if (r->have[i] && other->have[i] && r->place == other->place &&
		    other->value[0][i] > 0)
			of[n++] = r->value[0][i] / other->value[0][i];
	return n ? bench_range(of, n).median : 0;
}

static void
print_ratio(const struct against *a, const struct bench_result *r,
    const struct bench_result *other)
{
	double x = r == other ? 0 : ratio(r, other);

	if (x > 0)
		fprintf(a->out, " %*.*f", CELL, x < 0.0995 ? 4 : x < 9.95 ? 2 :
		    x < 99.5 ? 1 : 0, x);
	else
		fprintf(a->out, " %*s", CELL, "");
}

/* What a call takes of both processors. */
static void
print_cpu(const struct against *a, const struct bench_result *r)
{
	char text[32];

	for (unsigned i = 0; i < BENCH_VALUES && a->metric->value[i]; i++)
		if (strcmp(a->metric->value[i], "cpu_ns") == 0) {
			bench_format(&bench_round_trip, 0,
			    bench_result_range(r, i).median, text,
			    sizeof text);
			fprintf(a->out, " %*s", CELL, text);
		}
}

static bool
is_ours(const struct bench_result *r)
{
	return r && r->subject->kind == SUBJECT_OURS;
}

/* Is it one to be compared with: another's, or what one of ours stands on? */
static bool
is_other(const struct against *a, const struct bench_result *r)
{
	const char *under;

	if (!is_ours(r))
		return r;
	for (unsigned i = 0; i < a->all->subjects; i++) {
		under = a->all->subject[i]->under;
		if (under && strcmp(under, r->subject->name) == 0)
			return true;
	}
	return false;
}

void
bench_print_against(FILE *out, const struct bench_results *all,
    const struct bench_metric *metric, enum bench_distance distance)
{
	struct against a = { out, all, metric, distance };
	const struct bench_result *r, *other;

	fprintf(out, "  %-*s %*s", NAME - 2, "libipc / other", CELL,
	    "CPU/call");
	for (unsigned i = 0; i < all->subjects; i++)
		if (is_other(&a, other = of(&a, i)))
			fprintf(out, " %*.*s", CELL, CELL,
			    other->subject->name);
	putc('\n', out);
	for (unsigned i = 0; i < all->subjects; i++) {
		if (!is_ours(r = of(&a, i)))
			continue;
		fprintf(out, "  %-*.*s", NAME - 2, NAME - 2, r->subject->name);
		print_cpu(&a, r);
		for (unsigned j = 0; j < all->subjects; j++)
			if (is_other(&a, other = of(&a, j)))
				print_ratio(&a, r, other);
		putc('\n', out);
	}
}
