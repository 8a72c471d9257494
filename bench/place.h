/* SPDX-License-Identifier: ISC */
/*
 * Where the two sides run, and how far apart that is.
 */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <sched.h>
#include <stddef.h>

/* Below this many ns for a cache line to and fro, the two processors share a
 * cache; above it the line crosses the machine's interconnect. */
#define BENCH_NEAR	200
/* Above this one others have kept the two sides from running at once, and
 * nobody knows. */
#define BENCH_LOST	3000

/* By what was measured; figures of different ones are never mixed. */
enum bench_distance {
	BENCH_ONE,		/* both on one processor */
	BENCH_SIBLINGS,		/* two threads of one core */
	BENCH_CLOSE,		/* NEAR: they share a cache */
	BENCH_FAR,
	BENCH_CHANGED		/* it began as one and ended as the other, or
				   can not be told */
};
#define BENCH_DISTANCES	4
extern const char *const bench_distance_names[];

/* By what the kernel says in sysfs. */
enum bench_relation {
	BENCH_SAME_CPU, BENCH_SAME_CORE, BENCH_SAME_L2, BENCH_SAME_L3,
	BENCH_SAME_PACKAGE, BENCH_OTHER_PACKAGE, BENCH_UNKNOWN
};
extern const char *const bench_relation_names[];

struct bench_place {
	int			cpu[2];
	enum bench_relation	relation;
};

/* Under root, "/sys" but for tests. */
enum bench_relation bench_relation(const char *root, int a, int b);

/* Where it makes sense to measure on this machine: two processors that share
 * the last cache, two that do not, and one alone, of those that this process
 * may run on.  Returns how many (1 to 3). */
size_t	bench_places(const char *root, const cpu_set_t *, struct bench_place *);

enum bench_distance bench_distance(enum bench_relation, double before,
    double after);

int	bench_pin(int cpu);

#endif
