/* SPDX-License-Identifier: ISC */
/*
 * Deadlines of calls: a binary heap (Williams, "Algorithm 232: Heapsort",
 * 1964) of timers that know their place in it, so that any of them can be taken
 * out; and what shows the first of them to an event loop.
 */
#include <limits.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "rpc.h"

#define LEAST	64

static void
put(struct ipc__rpc_heap *h, size_t i, struct ipc__rpc_timer *t)
{
	h->v[i] = t;
	t->place = i + 1;
}

static void
rise(struct ipc__rpc_heap *h, size_t i, struct ipc__rpc_timer *t)
{
	for (; i > 0 && h->v[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
		put(h, i, h->v[(i - 1) / 2]);
	put(h, i, t);
}

static void
sink(struct ipc__rpc_heap *h, size_t i, struct ipc__rpc_timer *t)
{
	size_t child;

	while ((child = 2 * i + 1) < h->count) {
		if (child + 1 < h->count &&
		    h->v[child + 1]->at < h->v[child]->at)
			child++;
		if (h->v[child]->at >= t->at)
			break;
		put(h, i, h->v[child]);
		i = child;
	}
	put(h, i, t);
}

int
ipc__rpc_heap_add(struct ipc__rpc_heap *h, struct ipc__rpc_timer *t)
{
	size_t size = h->size > 0 ? h->size * 2 : LEAST;
	struct ipc__rpc_timer **v;

	if (h->count == h->size) {
		v = reallocarray(h->v, size, sizeof(struct ipc__rpc_timer *));
		if (v == NULL)
			return ipc__fail(ENOMEM, "no memory for a deadline");
		h->v = v;
		h->size = size;
	}
	rise(h, h->count++, t);
	return 0;
}

void
ipc__rpc_heap_remove(struct ipc__rpc_heap *h, struct ipc__rpc_timer *t)
{
	struct ipc__rpc_timer *last;
	size_t i;

	if (t->place == 0)
		return;
	i = t->place - 1;
	t->place = 0;
	last = h->v[--h->count];
	if (last == t)
		return;
	if (i > 0 && h->v[(i - 1) / 2]->at > last->at)
		rise(h, i, last);
	else
		sink(h, i, last);
}

struct ipc__rpc_timer *
ipc__rpc_heap_first(const struct ipc__rpc_heap *h)
{
	return h->count > 0 ? h->v[0] : NULL;
}

void
ipc__rpc_heap_free(struct ipc__rpc_heap *h)
{
	free(h->v);
	memset(h, 0, sizeof *h);
}

int
ipc__rpc_until(const struct ipc__rpc_heap *h, int timeout)
{
	int64_t left;

	if (h->count == 0)
		return timeout;
	left = (h->v[0]->at - ipc__now() + 999999) / 1000000;
	if (left < 0)
		left = 0;
	if (left > INT_MAX)
		left = INT_MAX;
	return timeout < 0 || left < timeout ? (int)left : timeout;
}

void
ipc__rpc_alarm(int timer, int64_t at, int64_t *set)
{
	struct itimerspec it = { 0 };

	if (at == *set)
		return;
	it.it_value.tv_sec = at / 1000000000;
	it.it_value.tv_nsec = at % 1000000000;
	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &it, NULL) == 0)
		*set = at;
}
