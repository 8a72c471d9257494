/* SPDX-License-Identifier: ISC */
/*
 * The metrics, and what they share: sending and receiving by whatever functions
 * a subject has.  These are inline, as some subjects need only nanoseconds.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <errno.h>

#include "cell.h"

extern const struct bench_metric bench_round_trip, bench_rate, bench_batch,
    bench_peek, bench_place_rate, bench_wake_up, bench_set_up, bench_memory,
    bench_idle, bench_call, bench_calls;

/* All of them, in the order of the table; NULL at the end. */
extern const struct bench_metric *const bench_metrics[];

/* -EBADMSG, with a text. */
int	bench_damaged(uint64_t number, size_t size, ssize_t got);

/* Takes the samples' percentiles to values 0 (p50), 1 (p99), 2 (p99.9), 3
 * (greatest), 4 (mean), 5 (p99.9 of a paced client), in ns. */
void	bench_summarise(struct bench_outcome *, uint32_t *samples,
	    size_t count);

/* Memory for so many samples, touched. */
uint32_t *bench_samples(size_t count);

/* What was used between two readings, of both sides, to the outcome. */
void	bench_account(struct bench_run *, const struct bench_use *from,
	    const struct bench_use *till, struct bench_use *sum);

static inline int
bench_send(struct bench_run *r, unsigned link, const void *data)
{
	struct iovec iov = { (void *)(uintptr_t)data, r->cell->size };
	const struct subject *s = r->subject;
	int rc;

	if (s->send)
		rc = s->send(r->end[link], data, r->cell->size);
	else
		rc = s->send_many(r->end[link], &iov, 1);
	if (rc >= 0 && s->flush)
		rc = s->flush(r->end[link]);
	return rc;
}

/* Is it what it should be?  *last: the last one. */
static inline int
bench_check(const struct bench_run *r, const void *data, ssize_t got,
    uint64_t number, bool *last)
{
	if (data && got == (ssize_t)r->cell->size) {
		if (payload_is(&r->payload, data, number))
			return 0;
		*last = payload_is_last(data);
		if (*last)
			return 0;
	}
	return got < 0 ? (int)got : bench_damaged(number, r->cell->size, got);
}

static inline int
bench_recv_in_place(struct bench_run *r, unsigned link, uint64_t number,
    bool *last)
{
	const struct subject *s = r->subject;
	const void *data = NULL;
	ssize_t n = s->peek(r->end[link], &data);
	int rc = bench_check(r, data, n, number, last);

	return rc < 0 ? rc : s->release(r->end[link]);
}

/* The next message, checked; where: room for one. */
static inline int
bench_recv(struct bench_run *r, unsigned link, void *where, uint64_t number,
    bool *last)
{
	const struct subject *s = r->subject;
	struct iovec iov = { where, r->cell->size };
	ssize_t n;

	if (s->drain)
		return s->drain(r->end[link], &r->payload, number, 1, last);
	if (s->recv)
		n = s->recv(r->end[link], where, r->cell->size);
	else if (s->recv_many) {
		n = s->recv_many(r->end[link], &iov, 1);
		n = n < 0 ? n : (ssize_t)iov.iov_len;
	} else
		return bench_recv_in_place(r, link, number, last);
	return bench_check(r, iov.iov_base, n, number, last);
}

#endif
