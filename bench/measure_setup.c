/* SPDX-License-Identifier: ISC */
/*
 * What a channel costs: the time until the first message has come back, and
 * the memory that is touched then.  Memory is what the kernel says that the two
 * processes have (a page that both share counts half in each); its own buffers
 * are in no such account.
 */
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"

#define LINKS	32

/* A line such as "Pss:    123 kB". */
static double
number_in(const char *path, const char *name)
{
	char line[256];
	double value = 0;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0) {
			value = strtod(line + strlen(name), NULL);
			break;
		}
	if (f)
		fclose(f);
	return value;
}

/* One message there and back on every link. */
static int
first_trips(struct bench_run *r)
{
	char *room = calloc(1, r->cell->size);
	bool last = false;
	int rc = room ? 0 : subject_fail(ENOMEM, "room");

	for (unsigned i = 0; rc >= 0 && i < r->cell->links; i++) {
		const void *data = payload_message(&r->payload, 0);

		if (r->side == 0)
			rc = bench_send(r, i, data);
		if (rc >= 0)
			rc = bench_recv(r, i, room, 0, &last);
		if (rc >= 0 && r->side == 1)
			rc = bench_send(r, i, data);
	}
	free(room);
	return rc;
}

static int
set_up_near(struct bench_run *r)
{
	struct bench_outcome *o = &r->shared->outcome;
	int rc = first_trips(r);

	o->value[0] = (double)(r->prepared + bench_ticks() - r->began) *
	    bench_clock.ns / r->cell->links;
	o->value[1] = (double)r->prepared * bench_clock.ns / r->cell->links;
	o->samples = r->cell->links;
	return rc;
}

static int
memory_near(struct bench_run *r)
{
	struct bench_outcome *o = &r->shared->outcome;
	int rc = first_trips(r);

	if (rc < 0)
		return rc;
	bench_meet(r);
	o->value[0] = number_in("/proc/self/smaps_rollup", "Pss:");
	bench_meet(r);
	if (!(r->subject->traits & SUBJECT_THREADS))
		o->value[0] += r->shared->memory;
	o->samples = r->cell->links;
	return 0;
}

static int
memory_far(struct bench_run *r)
{
	int rc = first_trips(r);

	if (rc < 0)
		return rc;
	bench_meet(r);
	r->shared->memory = number_in("/proc/self/smaps_rollup", "Pss:");
	bench_meet(r);
	return 0;
}

static bool
is_channel(const struct subject *s, size_t size)
{
	return s->kind != SUBJECT_LIMIT && (s->largest == 0 ||
	    size <= s->largest);
}

const struct bench_metric bench_set_up = {
	.name = "set-up",
	.title = "Set-up and first round trip of a channel, 64 bytes",
	.unit = "ns",
	.size = 64,
	.links = { LINKS },
	.value = { "total_ns", "prepare_ns" },
	.fits = is_channel,
	.run = { set_up_near, first_trips }
};

const struct bench_metric bench_memory = {
	.name = "memory",
	.title = "Memory touched by a channel that was used once, 64 bytes",
	.unit = "KiB",
	.size = 64,
	.links = { 4, 4 + LINKS },
	.value = { "kib" },
	.fits = is_channel,
	.run = { memory_near, memory_far }
};
