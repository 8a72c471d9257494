/* SPDX-License-Identifier: ISC */
/*
 * Waking a sleeper: the receiver waits in the kernel (the kernel is asked
 * whether it does) for a while, then one message is sent.  How long until the
 * receiver's call returns, and how long the sender's call takes.
 */
#include <sys/syscall.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "measure.h"

#define SAMPLES		4096
#define LEAST_SAMPLES	10
#define DEEP_US		50	/* asleep before it is woken */
#define AWAKE_MS	20.0	/* who does not sleep by then never will */
#define LEAST_MS	40.0

struct waker {
	struct bench_run *r;
	int		 stat;	/* of the sleeper, in /proc */
	bool		 one_cpu;
	uint32_t	*sample, *call;
	size_t		 count, awake;
};

static bool
is_asleep(int fd)
{
	char text[128], *p;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strrchr(text, ')');
	return p && p[1] && p[2] == 'S';
}

/* The waker itself stays awake, unless that keeps the other from sleeping. */
static void
wait_us(const struct waker *w, unsigned us)
{
	uint64_t till = bench_ticks() + bench_from_ms(us / 1000.0);

	if (w->one_cpu)
		usleep(us);
	while (bench_ticks() < till)
		subject_relax();
}

/* Waits until the other side is about to receive this message, and then until
 * it sleeps. */
static void
await_sleep(struct waker *w, uint64_t number)
{
	struct bench_shared *s = w->r->shared;
	uint64_t till = bench_ticks() + bench_from_ms(AWAKE_MS);
	bool asleep = false;

	while (atomic_load_explicit(&s->ready, memory_order_acquire) <=
	    number)
		wait_us(w, 1);
	if (w->r->subject->traits & SUBJECT_SPINS) {
		wait_us(w, DEEP_US);
		return;
	}
	while (!asleep && bench_ticks() < till) {
		wait_us(w, 10);
		asleep = is_asleep(w->stat);
	}
	w->awake += !asleep;
	wait_us(w, DEEP_US);
}

static int
wake_once(struct waker *w, uint64_t number)
{
	struct bench_run *r = w->r;
	struct bench_shared *s = r->shared;
	const void *data = payload_message(&r->payload, number);
	uint64_t from, back;
	int rc;

	await_sleep(w, number);
	from = bench_ticks();
	rc = bench_send(r, 0, data);
	back = bench_ticks();
	if (rc < 0)
		return rc;
	/* It has been woken, and says when, before it is ready again. */
	while (atomic_load_explicit(&s->pong, memory_order_acquire) !=
	    number + 1)
		wait_us(w, 1);
	w->sample[w->count] = (uint32_t)(s->last_ticks - from);
	w->call[w->count++] = (uint32_t)(back - from);
	return 0;
}

static int
wake_many(struct waker *w)
{
	double span = w->r->cell->span < LEAST_MS ? LEAST_MS :
	    w->r->cell->span;
	uint64_t till = bench_ticks() + bench_from_ms(span);
	int rc = 0;

	while (rc >= 0 && w->count < SAMPLES && (bench_ticks() < till ||
	    w->count < LEAST_SAMPLES))
		rc = wake_once(w, w->count);
	return rc;
}

static int
open_stat(struct bench_run *r)
{
	char path[64];
	int fd;

	/* Side 1 left its thread's number. */
	snprintf(path, sizeof path, "/proc/%d/stat", (int)r->shared->memory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? subject_fail(errno, "%s", path) : fd;
}

static void
conclude(struct waker *w)
{
	struct bench_outcome *o = &w->r->shared->outcome;
	double call;

	bench_summarise(o, w->call, w->count);
	call = o->value[0];
	bench_summarise(o, w->sample, w->count);
	o->value[5] = call;
	o->value[6] = (double)w->awake / (double)w->count;
}

static int
wake_near(struct bench_run *r)
{
	struct waker w = { .r = r, .stat = -1, .one_cpu =
	    r->cell->place.relation == BENCH_SAME_CPU };
	int rc = 0;

	w.sample = bench_samples(SAMPLES);
	w.call = bench_samples(SAMPLES);
	if (!w.sample || !w.call) {
		rc = subject_fail(ENOMEM, "samples");
		goto out;
	}
	bench_meet(r);
	rc = w.stat = open_stat(r);
	if (rc >= 0)
		rc = wake_many(&w);
	if (rc >= 0)
		rc = bench_send(r, 0, r->payload.last);
	if (rc >= 0)
		conclude(&w);
	if (w.stat >= 0)
		close(w.stat);
out:
	free(w.sample);
	free(w.call);
	return rc < 0 ? rc : 0;
}

static int
wake_far(struct bench_run *r)
{
	struct bench_shared *s = r->shared;
	char *room = calloc(1, r->cell->size);
	bool last = false;
	int rc = 0;

	if (!room)
		return subject_fail(ENOMEM, "room");
	s->memory = (double)syscall(SYS_gettid);
	atomic_store_explicit(&s->pong, 0, memory_order_relaxed);
	bench_meet(r);
	for (uint64_t n = 0; rc >= 0 && !last; n++) {
		/* What the waker waits for; pairs with its acquire. */
		atomic_store_explicit(&s->ready, n + 1, memory_order_release);
		rc = bench_recv(r, 0, room, n, &last);
		s->last_ticks = bench_ticks();
		atomic_store_explicit(&s->pong, n + 1, memory_order_release);
	}
	free(room);
	return rc;
}

static bool
wakes(const struct subject *s, size_t size)
{
	return !(s->traits & SUBJECT_ALONE) &&
	    (s->largest == 0 || size <= s->largest);
}

const struct bench_metric bench_wake_up = {
	.name = "wake-up",
	.title = "Waking a receiver that sleeps, 64 bytes",
	.unit = "ns",
	.size = 64,
	.value = { "p50_ns", "p99_ns", "p999_ns", "max_ns", "mean_ns",
	    "call_p50_ns", "awake_share" },
	.fits = wakes,
	.run = { wake_near, wake_far }
};
