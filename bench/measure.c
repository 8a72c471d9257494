/* SPDX-License-Identifier: ISC */
/*
 * The table of metrics, and what they have in common.
 */
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"
#include "stats.h"

#define BLOCK	16	/* samples whose mean is finer than the clock */
#define FINE	1000.0	/* ns, below which the clock's steps would show */

const struct bench_metric *const bench_metrics[] = {
	&bench_round_trip, &bench_rate, &bench_batch, &bench_peek,
	&bench_place_rate, &bench_wake_up, &bench_set_up, &bench_memory,
	&bench_idle, &bench_call, &bench_calls, NULL
};

int
bench_damaged(uint64_t number, size_t size, ssize_t got)
{
	if (got != (ssize_t)size)
		return subject_fail(EBADMSG, "message %llu is of %zd bytes "
		    "instead of %zu", (unsigned long long)number, got, size);
	return subject_fail(EBADMSG, "message %llu is not what was sent",
	    (unsigned long long)number);
}

uint32_t *
bench_samples(size_t count)
{
	uint32_t *samples = malloc(count * sizeof *samples);

	if (samples)
		memset(samples, 1, count * sizeof *samples);
	return samples;
}

void
bench_summarise(struct bench_outcome *o, uint32_t *samples, size_t count)
{
	double ns = bench_clock.ns, less = bench_clock.overhead;
	double fine = bench_block_median(samples, count, BLOCK), p50;

	o->samples = count;
	o->value[4] = (bench_mean(samples, count) - less) * ns;
	bench_sort(samples, count);
	p50 = bench_percentile(samples, count, 0.5);
	o->value[1] = (bench_percentile(samples, count, 0.99) - less) * ns;
	o->value[2] = (bench_percentile(samples, count, 0.999) - less) * ns;
	o->value[3] = (bench_percentile(samples, count, 1) - less) * ns;
	o->value[5] = (bench_percentile_paced(samples, count, 0.999, p50) -
	    less) * ns;
	o->value[0] = ((p50 * ns < FINE ? fine : p50) - less) * ns;
	for (int i = 0; i < 6; i++)
		if (o->value[i] < 0)
			o->value[i] = 0;
}

void
bench_account(struct bench_run *r, const struct bench_use *from,
    const struct bench_use *till, struct bench_use *sum)
{
	const struct bench_shared *s = r->shared;

	sum->cpu = till->cpu - from->cpu + s->use.cpu - s->first_use.cpu;
	sum->faults = till->faults - from->faults + s->use.faults -
	    s->first_use.faults;
	sum->preempted = till->preempted - from->preempted +
	    s->use.preempted - s->first_use.preempted;
	r->shared->outcome.faults = sum->faults;
	r->shared->outcome.preempted = sum->preempted;
}
