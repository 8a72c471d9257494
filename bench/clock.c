/* SPDX-License-Identifier: ISC */
/*
 * What a tick is.  Linux itself takes the counter for a clock, or not, after
 * much watching; it is asked instead of guessing.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define READINGS	20000

struct bench_clock bench_clock = { .ns = 1, .overhead = 0, .step = 1 };

uint64_t
bench_nanoseconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The kernel uses it: it lists what it found fit. */
static bool
counter_is_a_clock(void)
{
#if defined(__x86_64__) || defined(__i386__)
	char line[256] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/"
	    "available_clocksource", "re");

	if (f) {
		if (!fgets(line, sizeof line, f))
			*line = '\0';
		fclose(f);
	}
	return strstr(line, "tsc") != NULL;
#else
	return false;
#endif
}

/* Nanoseconds of a tick, by the monotonic clock over some milliseconds. */
static double
measure_tick(void)
{
	uint64_t from = bench_nanoseconds(CLOCK_MONOTONIC), till;
	uint64_t first = bench_ticks(), last;

	do {
		till = bench_nanoseconds(CLOCK_MONOTONIC);
		last = bench_ticks();
	} while (till - from < 20000000);
	return (double)(till - from) / (double)(last - first);
}

/* The shortest of many rounds: what comes between makes it longer. */
static void
measure_overhead(void)
{
	uint64_t best = UINT64_MAX, step = UINT64_MAX;

	for (int round = 0; round < READINGS / 100; round++) {
		uint64_t from = bench_ticks(), before = from, t = from;

		for (int i = 0; i < 100; i++) {
			t = bench_ticks();
			if (t != before && t - before < step)
				step = t - before;
			before = t;
		}
		if (t - from < best)
			best = t - from;
	}
	bench_clock.overhead = (double)best / 100;
	bench_clock.step = (double)step;
}

void
bench_clock_begin(void)
{
	bench_clock.counter = counter_is_a_clock();
	bench_clock.ns = 1;
	if (bench_clock.counter)
		bench_clock.ns = measure_tick();
	measure_overhead();
}
