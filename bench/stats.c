/* SPDX-License-Identifier: ISC */
/*
 * Percentiles, medians, ranges.
 */
#include <stdlib.h>
#include <string.h>

#include "stats.h"

static int
by_sample(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void
bench_sort(uint32_t *samples, size_t count)
{
	qsort(samples, count, sizeof *samples, by_sample);
}

/* The index of the nearest rank among `count'. */
static size_t
rank_of(double count, double share)
{
	double exact = count * share;
	size_t rank = (size_t)exact;

	if ((double)rank < exact)
		rank++;
	return rank > 0 ? rank - 1 : 0;
}

double
bench_percentile(const uint32_t *sorted, size_t count, double share)
{
	size_t i;

	if (count == 0)
		return 0;
	i = rank_of((double)count, share);
	return sorted[i < count ? i : count - 1];
}

/* How many readings a client that asks every `interval' gets of this sample
 * that are at least `least': sample, sample - interval, ... */
static double
readings(double sample, double interval, double least)
{
	double extra;

	if (sample < least)
		return 0;
	extra = (sample - (least > interval ? least : interval)) / interval;
	return 1 + (extra > 0 ? (double)(uint64_t)extra : 0);
}

static double
readings_from(const uint32_t *sorted, size_t count, double interval,
    double least)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += readings(sorted[i], interval, least);
	return sum;
}

double
bench_percentile_paced(const uint32_t *sorted, size_t count, double share,
    double interval)
{
	double low = 0, high, all, above;

	if (count == 0 || interval <= 0)
		return bench_percentile(sorted, count, share);
	all = readings_from(sorted, count, interval, 0);
	above = all - (double)rank_of(all, share);
	high = sorted[count - 1];
	/* The greatest value that so many are not below. */
	while (high - low > 0.5) {
		double middle = (low + high) / 2;

		if (readings_from(sorted, count, interval, middle) >= above)
			low = middle;
		else
			high = middle;
	}
	return readings_from(sorted, count, interval, high) >= above ? high :
	    low;
}

double
bench_mean(const uint32_t *samples, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += samples[i];
	return count ? sum / (double)count : 0;
}

double
bench_block_median(const uint32_t *samples, size_t count, size_t block)
{
	size_t blocks = count / block;
	double *means, median;

	means = blocks ? malloc(blocks * sizeof *means) : NULL;
	if (!means)
		return bench_mean(samples, count);
	for (size_t i = 0; i < blocks; i++)
		means[i] = bench_mean(samples + i * block, block);
	median = bench_range(means, blocks).median;
	free(means);
	return median;
}

struct bench_range
bench_range(const double *values, size_t count)
{
	struct bench_range r = { 0, 0, 0 };
	double *sorted;

	sorted = count ? malloc(count * sizeof *sorted) : NULL;
	if (!sorted)
		return r;
	memcpy(sorted, values, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, by_value);
	r.least = sorted[0];
	r.greatest = sorted[count - 1];
	r.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
	free(sorted);
	return r;
}
