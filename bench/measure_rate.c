/* SPDX-License-Identifier: ISC */
/*
 * One way, as fast as it goes: one message a call, many a call, received where
 * they lie, sent and received where they lie.  The receiver counts, reads every
 * byte, and takes the time; what the sender may have pushed into a buffer does
 * not count.
 */
#include <stdlib.h>
#include <unistd.h>

#include "measure.h"

#define WARM_BYTES	((size_t)16 << 20)	/* several times any ring */
#define BATCH_BYTES	((size_t)64 << 10)
#define BATCH_MOST	1024
#define LEAST_CALLS	64		/* however long they take */
#define LATE		50		/* this share of the time may be lost */
#define CHUNK_US	200	/* between two looks at the clock, at most */

struct flow {
	struct bench_run *r;
	uint64_t	 number;	/* of the next message */
	unsigned	 batch;		/* in one call */
	struct iovec	 iov[BATCH_MOST];
	char		*room;		/* for a batch */
	bool		 last, noted;
	/* Sends, or receives, a batch or one. */
	int		 (*move)(struct flow *);
};

static unsigned
batch_of(size_t size)
{
	size_t n = BATCH_BYTES / size;

	if (size >= PAYLOAD_SMALL)
		return 1;
	return n > BATCH_MOST ? BATCH_MOST : (unsigned)n;
}

/*
 * The sender's ways
 */

static int
send_one(struct flow *f)
{
	const struct bench_run *r = f->r;

	return r->subject->send(r->end[0], payload_message(&r->payload,
	    f->number++), r->cell->size);
}

static int
send_batch(struct flow *f)
{
	const struct bench_run *r = f->r;

	for (unsigned i = 0; i < f->batch; i++) {
		f->iov[i].iov_base = (void *)(uintptr_t)payload_message(
		    &r->payload, f->number++);
		f->iov[i].iov_len = r->cell->size;
	}
	return r->subject->send_many(r->end[0], f->iov, (int)f->batch);
}

static int
pour(struct flow *f)
{
	const struct bench_run *r = f->r;
	int rc = r->subject->pour(r->end[0], &r->payload, f->number, f->batch);

	f->number += f->batch;
	return rc;
}

static int
send_in_place(struct flow *f)
{
	const struct bench_run *r = f->r;
	void *data;
	int rc = r->subject->reserve(r->end[0], &data, r->cell->size);

	if (rc < 0)
		return rc;
	payload_fill(&r->payload, data, f->number++);
	return r->subject->commit(r->end[0], r->cell->size);
}

/*
 * The receiver's
 */

/* Checks one.  Where messages may be lost, it says itself which one it is. */
static inline int
take(struct flow *f, const void *data, ssize_t got)
{
	uint64_t number = f->number++;

	if (f->r->subject->traits & SUBJECT_LOSES && got >= 8 &&
	    !payload_is_last(data)) {
		memcpy(&number, data, sizeof number);
		number -= payload_stamp(&f->r->payload, 0);
	}
	return bench_check(f->r, data, got, number, &f->last);
}

static int
recv_one(struct flow *f)
{
	const struct bench_run *r = f->r;

	return take(f, f->room, r->subject->recv(r->end[0], f->room,
	    r->cell->size));
}

static int
recv_batch(struct flow *f)
{
	const struct bench_run *r = f->r;
	size_t size = r->cell->size;
	int n, rc = 0;

	for (unsigned i = 0; i < f->batch; i++)
		f->iov[i] = (struct iovec){ f->room + i * size, size };
	n = r->subject->recv_many(r->end[0], f->iov, (int)f->batch);
	for (int i = 0; i < n && rc >= 0 && !f->last; i++)
		rc = take(f, f->iov[i].iov_base, (ssize_t)f->iov[i].iov_len);
	return n < 0 ? n : rc;
}

static int
drain(struct flow *f)
{
	const struct bench_run *r = f->r;
	int n = r->subject->drain(r->end[0], &r->payload, f->number, f->batch,
	    &f->last);

	if (n > 0)
		f->number += (unsigned)n;
	return n;
}

static int
recv_in_place(struct flow *f)
{
	const struct bench_run *r = f->r;
	const void *data = NULL;
	ssize_t n = r->subject->peek(r->end[0], &data);
	int rc = take(f, data, n);

	return rc < 0 ? rc : r->subject->release(r->end[0]);
}

/*
 * The sender
 */

/* Moves messages until then, but at least so many, or until the number is
 * reached. */
static int
flow_until(struct flow *f, uint64_t till, uint64_t least, uint64_t number)
{
	uint64_t now = bench_ticks(), from;
	uint64_t most = bench_from_ms(CHUNK_US / 1000.0);
	unsigned chunk = 1;
	int rc = 0;

	least += f->number;
	while (rc >= 0 && (now < till || f->number < least) &&
	    f->number < number) {
		from = now;
		for (unsigned i = 0; rc >= 0 && i < chunk; i++)
			rc = f->move(f);
		now = bench_ticks();
		if (now - from < most / 2)
			chunk *= 2;
		else if (now - from > most && chunk > 1)
			chunk /= 2;
	}
	return rc;
}

static int
warm_up(struct flow *f)
{
	double ms = f->r->cell->span / 4;
	uint64_t from = bench_ticks();
	int rc;

	/* For some time, and then until all memory has been around. */
	rc = flow_until(f, from + bench_from_ms(ms), 0, UINT64_MAX);
	if (rc >= 0)
		rc = flow_until(f, from + bench_from_ms(3 * ms), 0,
		    WARM_BYTES / f->r->cell->size);
	return rc;
}

static int
flush(struct bench_run *r)
{
	return r->subject->flush ? r->subject->flush(r->end[0]) : 0;
}

/* It goes as those before it went, which may have a form of their own. */
static int
send_last(struct flow *f)
{
	struct bench_run *r = f->r;
	struct iovec iov = { r->payload.last, r->cell->size };
	int rc;

	if (f->move != send_batch)
		return bench_send(r, 0, r->payload.last);
	rc = r->subject->send_many(r->end[0], &iov, 1);
	return rc < 0 ? rc : flush(r);
}

/* The last message, until it has arrived. */
static int
finish(struct flow *f)
{
	struct bench_run *r = f->r;
	bool loses = r->subject->traits & SUBJECT_LOSES;
	int rc;

	do {
		rc = send_last(f);
		for (int i = 0; rc >= 0 && !atomic_load_explicit(
		    &r->shared->ready, memory_order_acquire) &&
		    (i < 10 || !loses); i++)
			usleep(100);
	} while (rc >= 0 && loses && !atomic_load_explicit(&r->shared->ready,
	    memory_order_acquire));
	return rc;
}

/* By what both sides have counted. */
static int
conclude(struct flow *f, const struct bench_use *from,
    const struct bench_use *till)
{
	struct bench_run *r = f->r;
	struct bench_shared *s = r->shared;
	struct bench_outcome *o = &s->outcome;
	uint64_t got = s->last_count - s->first_count;
	double seconds = (double)(s->last_ticks - s->first_ticks) *
	    bench_clock.ns / 1e9;
	bool loses = r->subject->traits & SUBJECT_LOSES;
	struct bench_use sum;

	bench_account(r, from, till, &sum);
	if (s->last_count <= s->first_count || seconds <= 0)
		return subject_fail(ENODATA, "nothing came meanwhile");
	if (!loses && s->last_count != f->number)
		return subject_fail(EBADMSG, "%llu messages were sent and "
		    "%llu came", (unsigned long long)f->number,
		    (unsigned long long)s->last_count);
	o->samples = got;
	o->value[0] = (double)got / seconds;
	o->value[1] = o->value[0] * (double)r->cell->size;
	o->value[2] = (double)sum.cpu / (double)got;
	o->value[3] = 1 - (double)s->last_count / (double)f->number;
	return 0;
}

static int
send_flow(struct bench_run *r, int (*move)(struct flow *), unsigned batch)
{
	struct flow *f = calloc(1, sizeof *f);
	struct bench_use from, till;
	int rc;

	if (!f)
		return subject_fail(ENOMEM, "messages");
	f->r = r;
	f->move = move;
	f->batch = batch;
	rc = warm_up(f);
	bench_use(r, &from);
	r->shared->began = bench_ticks();
	/* With the receiver's acquire: it sees when that was. */
	atomic_store_explicit(&r->shared->phase, 1, memory_order_release);
	if (rc >= 0)
		rc = flow_until(f, bench_ticks() + bench_from_ms(r->cell->span),
		    LEAST_CALLS * batch, UINT64_MAX);
	if (rc >= 0)
		rc = flush(r);
	bench_use(r, &till);
	if (rc >= 0)
		rc = finish(f);
	if (rc >= 0) {
		bench_meet(r);
		rc = conclude(f, &from, &till);
	}
	free(f);
	return rc;
}

/* Nobody receives: what the sender does is all. */
static int
send_alone(struct bench_run *r)
{
	struct flow f = { .r = r, .move = send_one };
	struct bench_outcome *o = &r->shared->outcome;
	uint64_t from, first;
	double seconds;
	int rc = warm_up(&f);

	from = bench_ticks();
	first = f.number;
	if (rc >= 0)
		rc = flow_until(&f, from + bench_from_ms(r->cell->span),
		    LEAST_CALLS, UINT64_MAX);
	if (rc < 0)
		return rc;
	seconds = (double)(bench_ticks() - from) * bench_clock.ns / 1e9;
	o->samples = f.number - first;
	o->value[0] = (double)o->samples / seconds;
	o->value[1] = o->value[0] * (double)r->cell->size;
	o->value[2] = seconds * 1e9 / (double)o->samples;
	return 0;
}

/*
 * The receiver
 */

static inline void
note_start(struct flow *f)
{
	struct bench_shared *s = f->r->shared;

	f->noted = true;
	bench_use(f->r, &s->first_use);
	s->first_count = f->number;
	s->first_ticks = bench_ticks();
	/* Kept from running when it began: that time counts as well, or what
	 * has piled up since would seem to have come in no time. */
	if (s->first_ticks - s->began > bench_from_ms(f->r->cell->span / LATE))
		s->first_ticks = s->began;
}

static int
recv_all(struct flow *f)
{
	struct bench_shared *s = f->r->shared;
	bool loses = f->r->subject->traits & SUBJECT_LOSES;
	int rc = 0;

	while (rc >= 0 && !f->last) {
		/* The last one may be late where it was lost at first. */
		if (loses)
			s->last_ticks = bench_ticks();
		rc = f->move(f);
		if (!f->noted && atomic_load_explicit(&s->phase,
		    memory_order_acquire))
			note_start(f);
	}
	if (!loses)
		s->last_ticks = bench_ticks();
	s->last_count = f->number - 1;
	bench_use(f->r, &s->use);
	/* All of it is seen by who sees this. */
	atomic_store_explicit(&s->ready, 1, memory_order_release);
	if (rc >= 0)
		bench_meet(f->r);
	return rc;
}

static int
recv_flow(struct bench_run *r, int (*move)(struct flow *), unsigned batch)
{
	struct flow *f = calloc(1, sizeof *f);
	char *room = calloc(batch, r->cell->size);
	int rc;

	if (f && room) {
		memset(room, 1, batch * r->cell->size);
		f->r = r;
		f->move = move;
		f->batch = batch;
		f->room = room;
		rc = recv_all(f);
	} else
		rc = subject_fail(ENOMEM, "room");
	free(f);
	free(room);
	return rc;
}

/*
 * The metrics
 */

static int
rate_near(struct bench_run *r)
{
	if (r->subject->traits & SUBJECT_ALONE)
		return send_alone(r);
	if (r->subject->pour)
		return send_flow(r, pour, batch_of(r->cell->size));
	if (!r->subject->send)
		return send_flow(r, send_batch, batch_of(r->cell->size));
	return send_flow(r, send_one, 1);
}

static int
rate_far(struct bench_run *r)
{
	if (r->subject->drain)
		return recv_flow(r, drain, batch_of(r->cell->size));
	if (r->subject->recv)
		return recv_flow(r, recv_one, 1);
	if (r->subject->recv_many)
		return recv_flow(r, recv_batch, batch_of(r->cell->size));
	return recv_flow(r, recv_in_place, 1);
}

static int
batch_near(struct bench_run *r)
{
	return send_flow(r, send_batch, batch_of(r->cell->size));
}

static int
batch_far(struct bench_run *r)
{
	return recv_flow(r, recv_batch, batch_of(r->cell->size));
}

static int
place_near(struct bench_run *r)
{
	return send_flow(r, send_in_place, 1);
}

static int
place_far(struct bench_run *r)
{
	return recv_flow(r, recv_in_place, 1);
}

static bool
flows(const struct subject *s, size_t size)
{
	return !(s->traits & SUBJECT_SLOT) && (s->largest == 0 ||
	    size <= s->largest);
}

static bool
has_batches(const struct subject *s, size_t size)
{
	return flows(s, size) && s->send_many && s->recv_many &&
	    size < PAYLOAD_SMALL;
}

static bool
has_peek(const struct subject *s, size_t size)
{
	return flows(s, size) && s->send && s->recv && s->peek;
}

static bool
has_place(const struct subject *s, size_t size)
{
	return has_peek(s, size) && s->reserve;
}

#define RATE_VALUES { "messages_per_s", "bytes_per_s", "cpu_ns", "lost" }

const struct bench_metric bench_rate = {
	.name = "rate",
	.title = "One way, one message a call",
	.unit = "messages/s",
	.more = true,
	.sized = true,
	.value = RATE_VALUES,
	.fits = flows,
	.run = { rate_near, rate_far }
};

const struct bench_metric bench_batch = {
	.name = "batch",
	.title = "One way, many messages a call",
	.unit = "messages/s",
	.more = true,
	.sized = true,
	.value = RATE_VALUES,
	.fits = has_batches,
	.run = { batch_near, batch_far }
};

const struct bench_metric bench_peek = {
	.name = "peek",
	.title = "One way, read in place (send, peek, release)",
	.unit = "messages/s",
	.more = true,
	.sized = true,
	.value = RATE_VALUES,
	.fits = has_peek,
	.run = { rate_near, place_far }
};

const struct bench_metric bench_place_rate = {
	.name = "in-place",
	.title = "One way, written and read in place (reserve, commit, peek, "
	    "release)",
	.unit = "messages/s",
	.more = true,
	.sized = true,
	.value = RATE_VALUES,
	.fits = has_place,
	.run = { place_near, place_far }
};
