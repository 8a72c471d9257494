/* SPDX-License-Identifier: ISC */
/*
 * Round trips: one message there, one back, the next when it has come.  Both
 * sides read every byte.  One client of a server that waits for many is the
 * same, only that the server has an epoll set.
 */
#include <sys/epoll.h>

#include <stdlib.h>
#include <unistd.h>

#include "measure.h"

#define SAMPLES		((size_t)1 << 20)
#define LEAST_SAMPLES	32		/* however long they take */
#define WARM_BYTES	((size_t)8 << 20)	/* once around any ring */
#define WARM_TRIPS	20
#define EVENTS		64

struct trips {
	struct bench_run *r;
	unsigned	 link;
	char		*room;
	uint64_t	 number;
};

static int
trip(struct trips *t)
{
	bool last = false;
	int rc;

	rc = bench_send(t->r, t->link, payload_message(&t->r->payload,
	    t->number));
	if (rc >= 0)
		rc = bench_recv(t->r, t->link, t->room, t->number, &last);
	t->number++;
	return rc;
}

/* What is touched for the first time is touched now, on both sides. */
static int
warm_up(struct trips *t)
{
	uint64_t from = bench_ticks();
	uint64_t till = from + bench_from_ms(t->r->cell->span / 2);
	uint64_t trips = WARM_BYTES / t->r->cell->size + WARM_TRIPS;
	int rc = 0;

	while (rc >= 0 && t->number < trips && (bench_ticks() < till ||
	    t->number < WARM_TRIPS))
		rc = trip(t);
	return rc;
}

static int
take_samples(struct trips *t, uint32_t *sample, size_t *count)
{
	uint64_t now = bench_ticks(), before;
	uint64_t till = now + bench_from_ms(t->r->cell->span);
	int rc = 0;

	for (*count = 0; rc >= 0 && *count < SAMPLES && (now < till ||
	    *count < LEAST_SAMPLES); ++*count) {
		before = now;
		rc = trip(t);
		now = bench_ticks();
		sample[*count] = now - before < UINT32_MAX ?
		    (uint32_t)(now - before) : UINT32_MAX;
	}
	return rc;
}

/* The last message goes one way only where it is the server's end. */
static int
finish(struct trips *t)
{
	bool last = false;
	int rc;

	rc = bench_send(t->r, t->link, t->r->payload.last);
	if (rc >= 0)
		rc = bench_recv(t->r, t->link, t->room, t->number, &last);
	return rc;
}

/* All of it, with room for a message and for samples. */
static int
talk(struct trips *t, uint32_t *sample)
{
	struct bench_run *r = t->r;
	struct bench_use from, till, sum;
	size_t count = 0;
	int rc = warm_up(t);

	bench_use(r, &from);
	/* The other side takes its own reading when it sees this. */
	atomic_store_explicit(&r->shared->phase, 1, memory_order_relaxed);
	if (rc >= 0)
		rc = take_samples(t, sample, &count);
	bench_use(r, &till);
	if (rc >= 0)
		rc = finish(t);
	if (rc < 0)
		return rc;
	bench_meet(r);
	bench_account(r, &from, &till, &sum);
	bench_summarise(&r->shared->outcome, sample, count);
	r->shared->outcome.value[6] = (double)sum.cpu / (2.0 * (double)count);
	return 0;
}

static int
client(struct bench_run *r, unsigned link)
{
	uint32_t *sample = bench_samples(SAMPLES);
	struct trips t = { .r = r, .link = link,
	    .room = calloc(1, r->cell->size) };
	int rc;

	if (sample && t.room)
		rc = talk(&t, sample);
	else
		rc = subject_fail(ENOMEM, "samples");
	free(sample);
	free(t.room);
	return rc;
}

static int
round_trip_near(struct bench_run *r)
{
	return client(r, 0);
}

/* One message answered.  *last: it was the last one. */
static int
answer(struct bench_run *r, unsigned link, char *room, uint64_t number,
    bool *last)
{
	struct bench_shared *s = r->shared;
	int rc;

	rc = bench_recv(r, link, room, number, last);
	if (rc >= 0)
		rc = bench_send(r, link, *last ? r->payload.last :
		    payload_message(&r->payload, number));
	if (rc >= 0 && !s->first_count && atomic_load_explicit(&s->phase,
	    memory_order_relaxed)) {
		s->first_count = number + 1;
		bench_use(r, &s->first_use);
	}
	return rc;
}

static int
round_trip_far(struct bench_run *r)
{
	char *room = calloc(1, r->cell->size);
	bool last = false;
	int rc = 0;

	if (!room)
		return subject_fail(ENOMEM, "room");
	for (uint64_t n = 0; rc >= 0 && !last; n++)
		rc = answer(r, 0, room, n, &last);
	free(room);
	if (rc < 0)
		return rc;
	bench_use(r, &r->shared->use);
	bench_meet(r);
	return 0;
}

static bool
talks(const struct subject *s, size_t size)
{
	return !(s->traits & SUBJECT_ALONE) &&
	    (s->largest == 0 || size <= s->largest);
}

/*
 * One among many
 */

static int
idle_near(struct bench_run *r)
{
	return client(r, r->cell->links / 2);
}

static int
watch_all(struct bench_run *r)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0)
		return subject_fail(errno, "epoll_create1");
	for (unsigned i = 0; i < r->cell->links; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };
		int fd = r->subject->fd(r->end[i]);

		if (fd < 0)
			return fd;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			return subject_fail(errno, "epoll_ctl");
	}
	return ep;
}

static int
idle_far(struct bench_run *r)
{
	struct epoll_event ev[EVENTS];
	char *room = calloc(1, r->cell->size);
	int ep, rc, n;
	bool last = false;
	uint64_t number = 0;

	if (!room)
		return subject_fail(ENOMEM, "room");
	rc = ep = watch_all(r);
	while (rc >= 0 && !last) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		for (int i = 0; rc >= 0 && i < n; i++)
			rc = answer(r, ev[i].data.u32, room, number++, &last);
	}
	free(room);
	if (ep >= 0)
		close(ep);
	if (rc < 0)
		return rc;
	bench_use(r, &r->shared->use);
	bench_meet(r);
	return 0;
}

static bool
has_descriptor(const struct subject *s, size_t size)
{
	return talks(s, size) && s->fd && !(s->traits & (SUBJECT_THREADS |
	    SUBJECT_HEAVY));
}

#define TRIP_VALUES { "p50_ns", "p99_ns", "p999_ns", "max_ns", "mean_ns", \
	"paced_p999_ns", "cpu_ns" }

const struct bench_metric bench_round_trip = {
	.name = "round-trip",
	.title = "Round trip",
	.unit = "ns",
	.sized = true,
	.value = TRIP_VALUES,
	.fits = talks,
	.run = { round_trip_near, round_trip_far }
};

const struct bench_metric bench_idle = {
	.name = "idle",
	.title = "Round trip of one client among so many, 64 bytes, epoll",
	.unit = "ns",
	.size = 64,
	.value = TRIP_VALUES,
	.fits = has_descriptor,
	.run = { idle_near, idle_far }
};
