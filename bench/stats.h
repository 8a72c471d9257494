/* SPDX-License-Identifier: ISC */
/*
 * What is made of many samples, and of few repetitions.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Sorts samples, smallest first. */
void bench_sort(uint32_t *samples, size_t count);

/* Of sorted samples: the smallest that is not below `share' of them, by the
 * nearest rank; 0 where there is none. */
double bench_percentile(const uint32_t *sorted, size_t count, double share);

/*
 * The same as a client would see it that asks every `interval', whatever has
 * become of its last question: behind a sample of k intervals come k - 1 that
 * were not taken because the one that measures was waiting (Gil Tene's
 * "coordinated omission", corrected as in HdrHistogram).
 */
double bench_percentile_paced(const uint32_t *sorted, size_t count,
    double share, double interval);

double bench_mean(const uint32_t *samples, size_t count);

/* The median of the means of blocks of `block' samples, in the order in which
 * they were taken: finer than the steps of the clock. */
double bench_block_median(const uint32_t *samples, size_t count, size_t block);

/* Of repetitions: median (of an even number, the mean of the middle two), least
 * and greatest. */
struct bench_range {
	double median, least, greatest;
};
struct bench_range bench_range(const double *values, size_t count);

#endif
