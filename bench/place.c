/* SPDX-License-Identifier: ISC */
/*
 * Processors and what they share.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

const char *const bench_distance_names[] = {
	[BENCH_ONE] = "ONE", [BENCH_SIBLINGS] = "SMT", [BENCH_CLOSE] = "NEAR",
	[BENCH_FAR] = "FAR", [BENCH_CHANGED] = "CHANGED"
};

const char *const bench_relation_names[] = {
	[BENCH_SAME_CPU] = "one processor",
	[BENCH_SAME_CORE] = "two threads of one core",
	[BENCH_SAME_L2] = "same L2 cache",
	[BENCH_SAME_L3] = "same L3 cache",
	[BENCH_SAME_PACKAGE] = "same socket, no shared cache",
	[BENCH_OTHER_PACKAGE] = "different sockets",
	[BENCH_UNKNOWN] = "unknown relation"
};

/* The first line of a file below the directory of a processor. */
static bool
read_line(const char *root, int cpu, const char *name, char *line, size_t size)
{
	char path[256];
	bool got = false;
	FILE *f;

	snprintf(path, sizeof path, "%s/devices/system/cpu/cpu%d/%s", root, cpu,
	    name);
	f = fopen(path, "re");
	if (f) {
		got = fgets(line, (int)size, f) != NULL;
		fclose(f);
	}
	return got;
}

/* Is cpu in a list such as 0-3,8? */
static bool
lists(const char *list, int cpu)
{
	while (*list) {
		char *end;
		long from = strtol(list, &end, 10), till = from;

		if (end == list)
			return false;
		if (*end == '-')
			till = strtol(end + 1, &end, 10);
		if (cpu >= from && cpu <= till)
			return true;
		list = *end == ',' ? end + 1 : "";
	}
	return false;
}

static bool
share(const char *root, int a, int b, const char *name)
{
	char line[1024];

	return read_line(root, a, name, line, sizeof line) && lists(line, b);
}

/* Do they share a cache of this level for data? */
static bool
share_cache(const char *root, int a, int b, int level)
{
	char name[64], line[64];

	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof name, "cache/index%d/level", i);
		if (!read_line(root, a, name, line, sizeof line))
			break;
		if (atoi(line) != level)
			continue;
		snprintf(name, sizeof name, "cache/index%d/type", i);
		if (read_line(root, a, name, line, sizeof line) &&
		    strncmp(line, "Instruction", 11) == 0)
			continue;
		snprintf(name, sizeof name, "cache/index%d/shared_cpu_list", i);
		return share(root, a, b, name);
	}
	return false;
}

enum bench_relation
bench_relation(const char *root, int a, int b)
{
	char line[64];

	if (a == b)
		return BENCH_SAME_CPU;
	if (share(root, a, b, "topology/thread_siblings_list"))
		return BENCH_SAME_CORE;
	if (share_cache(root, a, b, 2))
		return BENCH_SAME_L2;
	if (share_cache(root, a, b, 3))
		return BENCH_SAME_L3;
	if (share(root, a, b, "topology/core_siblings_list"))
		return BENCH_SAME_PACKAGE;
	if (read_line(root, a, "topology/core_siblings_list", line,
	    sizeof line))
		return BENCH_OTHER_PACKAGE;
	return BENCH_UNKNOWN;
}

static bool
is_near(enum bench_relation r)
{
	return r == BENCH_SAME_L2 || r == BENCH_SAME_L3;
}

static bool
is_far(enum bench_relation r)
{
	return r != BENCH_SAME_CORE && !is_near(r);
}

static bool
is_core(enum bench_relation r)
{
	return r == BENCH_SAME_CORE;
}

/* The first processor that stands in such a relation to a. */
static size_t
find(const char *root, const cpu_set_t *set, int a,
    bool (*is)(enum bench_relation), struct bench_place *place)
{
	for (int b = 0; b < CPU_SETSIZE; b++) {
		enum bench_relation r;

		if (b == a || !CPU_ISSET(b, set))
			continue;
		r = bench_relation(root, a, b);
		if (is(r)) {
			*place = (struct bench_place){ { a, b }, r };
			return 1;
		}
	}
	return 0;
}

size_t
bench_places(const char *root, const cpu_set_t *set, struct bench_place *place)
{
	size_t n = 0;
	int a = 0;

	while (a < CPU_SETSIZE - 1 && !CPU_ISSET(a, set))
		a++;
	n += find(root, set, a, is_near, &place[n]);
	n += find(root, set, a, is_far, &place[n]);
	if (n == 0)
		n += find(root, set, a, is_core, &place[n]);
	place[n++] = (struct bench_place){ { a, a }, BENCH_SAME_CPU };
	return n;
}

enum bench_distance
bench_distance(enum bench_relation relation, double before, double after)
{
	if (relation == BENCH_SAME_CPU)
		return BENCH_ONE;
	if ((before < BENCH_NEAR) != (after < BENCH_NEAR) ||
	    before > BENCH_LOST || after > BENCH_LOST)
		return BENCH_CHANGED;
	if (before >= BENCH_NEAR)
		return BENCH_FAR;
	return relation == BENCH_SAME_CORE ? BENCH_SIBLINGS : BENCH_CLOSE;
}

int
bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}
