/* SPDX-License-Identifier: ISC */
/*
 * Numbers for people: three digits and a unit.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define AS_BYTES	4096	/* messages from here on count as bytes */

struct unit {
	double		 from;
	double		 by;
	const char	*name;
};

static const struct unit times[] = {
	{ 1e9, 1e9, "s" }, { 1e6, 1e6, "ms" }, { 1e3, 1e3, "us" },
	{ 0, 1, "ns" }
};
static const struct unit rates[] = {
	{ 1e9, 1e9, "G/s" }, { 1e6, 1e6, "M/s" }, { 1e3, 1e3, "k/s" },
	{ 0, 1, "/s" }
};
static const struct unit flows[] = {
	{ 1e9, 1e9, "GB/s" }, { 1e6, 1e6, "MB/s" }, { 0, 1e3, "kB/s" }
};
static const struct unit memories[] = {
	{ 1024, 1024, "MiB" }, { 0, 1, "KiB" }
};

static void
put(const struct unit *u, double value, char *text, size_t room)
{
	/* 999.6 is 1000 with three digits. */
	while (u->from > value * 1.0005)
		u++;
	value /= u->by;
	snprintf(text, room, "%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 :
	    0, value, u->name);
}

void
bench_format(const struct bench_metric *m, size_t size, double value,
    char *text, size_t room)
{
	if (!strcmp(m->unit, "ns"))
		put(times, value, text, room);
	else if (!strcmp(m->unit, "KiB"))
		put(memories, value, text, room);
	else if (size >= AS_BYTES)
		put(flows, value * (double)size, text, room);
	else
		put(rates, value, text, room);
}

void
bench_format_size(size_t size, char *text, size_t room)
{
	if (size >= 1 << 20 && size % (1 << 20) == 0)
		snprintf(text, room, "%zu MiB", size >> 20);
	else if (size >= 1024 && size % 1024 == 0)
		snprintf(text, room, "%zu KiB", size >> 10);
	else
		snprintf(text, room, "%zu B", size);
}
