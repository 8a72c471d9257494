/* SPDX-License-Identifier: ISC */
/*
 * Time in ticks: of the processor's counter where it is a clock (it goes on at
 * one speed, in step on all processors, and costs no call), else nanoseconds of
 * the monotonic clock.  Which one, bench_clock_begin() finds out and measures.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct bench_clock {
	bool	 counter;	/* the processor's */
	double	 ns;		/* of a tick */
	double	 overhead;	/* ticks that reading it takes */
	double	 step;		/* ticks between two different readings */
};

extern struct bench_clock bench_clock;

/* Takes some milliseconds; before all else, and before any fork. */
void bench_clock_begin(void);

uint64_t bench_nanoseconds(clockid_t clock);

static inline uint64_t
bench_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* The fence keeps the reading from going ahead of what is measured. */
	if (bench_clock.counter) {
		__builtin_ia32_lfence();
		return __builtin_ia32_rdtsc();
	}
#endif
	return bench_nanoseconds(CLOCK_MONOTONIC);
}

static inline uint64_t
bench_from_ms(double ms)
{
	return (uint64_t)(ms * 1e6 / bench_clock.ns);
}

#endif
