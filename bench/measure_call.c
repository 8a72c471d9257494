/* SPDX-License-Identifier: ISC */
/*
 * Request and reply: one empty call at a time, and as many as can be served.
 * That the procedure is the right one and its answer too is seen before, with
 * arguments that come back; while it is measured the answers have to be as
 * empty as the calls, and in the end the server has to have seen each of them
 * once.
 */
#include <stdlib.h>

#include "measure.h"

#define SIZE		64		/* bytes of arguments that come back */
#define SAMPLES		((size_t)1 << 20)
#define LEAST		32		/* however long they take */
#define UNDER_WAY	32		/* calls at once */
#define WARM_CALLS	1000

struct caller {
	struct bench_run *r;
	char		 room[SIZE];
	uint64_t	 made;		/* calls */
};

/* What the server knows of. */
struct subject_work {
	struct bench_run *r;
	uint64_t	 served;
	bool		 noted, last;
};

static int
call(struct caller *c, const void *data, size_t size)
{
	struct bench_run *r = c->r;
	ssize_t n = r->subject->call(r->end[0], data, size, c->room);

	c->made++;
	return n == (ssize_t)size ? 0 : n < 0 ? (int)n :
	    bench_damaged(c->made - 1, size, n);
}

/* With arguments, and without. */
static int
warm_up(struct caller *c)
{
	uint64_t till = bench_ticks() + bench_from_ms(c->r->cell->span / 2);
	const struct payload *p = &c->r->payload;
	int rc = 0;

	for (uint64_t i = 0; rc >= 0 && i < WARM_CALLS &&
	    (i < LEAST || bench_ticks() < till); i++) {
		memset(c->room, 0, sizeof c->room);
		rc = call(c, payload_message(p, i), p->size);
		if (rc >= 0 && !payload_is(p, c->room, i))
			rc = bench_damaged(i, p->size, (ssize_t)p->size);
		if (rc >= 0)
			rc = call(c, "", 0);
	}
	return rc;
}

/* The last one; then both sides have counted the same. */
static int
finish(struct caller *c)
{
	struct bench_run *r = c->r;
	int rc = call(c, r->payload.last, r->payload.size);

	if (rc < 0)
		return rc;
	bench_meet(r);
	if (r->shared->last_count != c->made)
		return subject_fail(EBADMSG, "%llu calls were made and %llu "
		    "served", (unsigned long long)c->made,
		    (unsigned long long)r->shared->last_count);
	return 0;
}

/* Calls as measured: warm, with what both sides use of the machine. */
static int
measured(struct caller *c, int (*measure)(struct caller *, void *),
    void *with, uint64_t *cpu)
{
	struct bench_run *r = c->r;
	struct bench_use from, till, sum;
	uint64_t before;
	int rc = warm_up(c);

	bench_use(r, &from);
	before = c->made;
	/* The server takes its own reading when it sees this. */
	atomic_store_explicit(&r->shared->phase, 1, memory_order_relaxed);
	if (rc >= 0)
		rc = measure(c, with);
	bench_use(r, &till);
	before = c->made - before;
	if (rc >= 0)
		rc = finish(c);
	if (rc < 0)
		return rc;
	bench_account(r, &from, &till, &sum);
	*cpu = before ? sum.cpu / before : 0;
	return 0;
}

/*
 * One at a time
 */

struct samples {
	uint32_t *sample;
	size_t	  count;
};

static int
take_samples(struct caller *c, void *with)
{
	struct samples *s = with;
	uint64_t now = bench_ticks(), before;
	uint64_t till = now + bench_from_ms(c->r->cell->span);
	int rc = 0;

	for (; rc >= 0 && s->count < SAMPLES && (now < till ||
	    s->count < LEAST); s->count++) {
		before = now;
		rc = call(c, "", 0);
		now = bench_ticks();
		s->sample[s->count] = now - before < UINT32_MAX ?
		    (uint32_t)(now - before) : UINT32_MAX;
	}
	return rc;
}

static int
call_near(struct bench_run *r)
{
	struct bench_outcome *o = &r->shared->outcome;
	struct samples s = { .sample = bench_samples(SAMPLES) };
	struct caller c = { .r = r };
	uint64_t cpu = 0;
	int rc;

	if (!s.sample)
		return subject_fail(ENOMEM, "samples");
	rc = measured(&c, take_samples, &s, &cpu);
	if (rc >= 0) {
		bench_summarise(o, s.sample, s.count);
		o->value[6] = (double)cpu;
	}
	free(s.sample);
	return rc;
}

/*
 * Many at once
 */

static int
call_all(struct caller *c, void *with)
{
	struct bench_run *r = c->r;
	double *per_second = with;
	uint64_t from = bench_ticks(), now = from, before = c->made;
	uint64_t till = from + bench_from_ms(r->cell->span);
	int rc = 0;

	while (rc >= 0 && (now < till || c->made - before < LEAST)) {
		rc = r->subject->call_many(r->end[0], UNDER_WAY);
		c->made += UNDER_WAY;
		now = bench_ticks();
	}
	*per_second = (double)(c->made - before) * 1e9 /
	    ((double)(now - from) * bench_clock.ns);
	r->shared->outcome.samples = c->made - before;
	return rc;
}

static int
calls_near(struct bench_run *r)
{
	struct bench_outcome *o = &r->shared->outcome;
	struct caller c = { .r = r };
	uint64_t cpu = 0;
	int rc = measured(&c, call_all, &o->value[0], &cpu);

	o->value[1] = (double)cpu;
	return rc;
}

/*
 * The server
 */

bool
subject_served(struct subject_work *w, const void *data, size_t size)
{
	struct bench_shared *s = w->r->shared;

	w->served++;
	if (!w->noted && atomic_load_explicit(&s->phase,
	    memory_order_relaxed)) {
		w->noted = true;
		bench_use(w->r, &s->first_use);
	}
	if (size == w->r->cell->size && payload_is_last(data))
		w->last = true;
	return !w->last;
}

static int
serve(struct bench_run *r)
{
	struct subject_work w = { .r = r };
	int rc = r->subject->serve(r->end[0], &w);

	if (rc >= 0 && !w.last)
		rc = subject_fail(EBADMSG, "the server has ended by itself");
	if (rc < 0)
		return rc;
	r->shared->last_count = w.served;
	bench_use(r, &r->shared->use);
	bench_meet(r);
	return 0;
}

static bool
is_called(const struct subject *s, size_t size)
{
	(void)size;
	return s->call && s->serve;
}

static bool
is_called_at_once(const struct subject *s, size_t size)
{
	return is_called(s, size) && s->call_many;
}

const struct bench_metric bench_call = {
	.name = "call",
	.title = "Empty call, one at a time",
	.unit = "ns",
	.calls = true,
	.size = SIZE,
	.value = { "p50_ns", "p99_ns", "p999_ns", "max_ns", "mean_ns",
	    "paced_p999_ns", "cpu_ns" },
	.fits = is_called,
	.run = { call_near, serve }
};

const struct bench_metric bench_calls = {
	.name = "calls",
	.title = "Empty calls, 32 under way",
	.unit = "calls/s",
	.more = true,
	.calls = true,
	.size = SIZE,
	.value = { "calls_per_s", "cpu_ns" },
	.fits = is_called_at_once,
	.run = { calls_near, serve }
};
