/* SPDX-License-Identifier: ISC */
/*
 * What goes between a pool and its workers: tasks out, a few ahead so that no
 * worker ever waits for the next; answers in.
 */
#include <string.h>
#include <sys/uio.h>

#include "pool.h"

static struct ipc__task **
place(const struct ipc_pool *p, const struct ipc__worker *w, unsigned n)
{
	return &w->given[(w->first + n) % p->config.depth];
}

/*
 * Out
 */

/* One way or the other it is no longer under way. */
static void
sent(struct ipc_pool *p, struct ipc__worker *w)
{
	if (!w->begun)
		return;
	w->begun = false;
	ipc__pool_unwatch(p, w->ch->out.ready.epoll);
}

/* What this worker was given last is nothing that can be sent to anybody. */
static void
refuse(struct ipc_pool *p, struct ipc__worker *w, struct ipc__task *t, int rc)
{
	(void)ipc_abandon(w->ch);
	sent(p, w);
	w->count--;
	ipc__task_finish(p, t, rc);
}

static void
wait_for_room(struct ipc_pool *p, struct ipc__worker *w, struct ipc__task *t)
{
	int rc;

	if (w->begun)
		return;
	w->begun = true;
	rc = ipc__pool_watch(p, ipc_fd(w->ch, IPC_SEND, NULL),
	    (unsigned)(w - p->workers), IPC__POOL_SEND);
	if (rc < 0)
		refuse(p, w, t, rc);
}

void
ipc__worker_send(struct ipc_pool *p, struct ipc__worker *w)
{
	struct ipc__task *t = *place(p, w, w->count - 1);
	struct ipc__pool_head h = { .kind = IPC__POOL_TASK,
	    .serial = w->serial + w->count - 1 };
	unsigned char head[IPC__POOL_HEAD];
	struct iovec iov[2] = { { head, sizeof head }, { t->data, t->size } };
	int rc;

	ipc__pool_put_head(head, &h);
	rc = ipc_sendv(w->ch, iov, t->size > 0 ? 2 : 1, 0);
	if (rc == 0) {
		sent(p, w);
	} else if (rc == -EAGAIN) {
		wait_for_room(p, w, t);
	} else if (rc == -EPIPE || rc == -ECONNRESET) {
		/* It is dead, and has not got this one; what it has answered
		 * before is still to be heard. */
		sent(p, w);
		w->begun = true;
	} else {
		refuse(p, w, t, rc);
	}
}

/* The one with the least to do. */
static struct ipc__worker *
idlest(const struct ipc_pool *p)
{
	const struct ipc_pool_config *c = &p->config;
	struct ipc__worker *w, *best = NULL;
	unsigned i, least = c->depth;

	for (i = 0; i < c->workers && least > 0; i++) {
		w = &p->workers[i];
		if (w->state != IPC__WORKER_READY || w->count >= least ||
		    w->begun || w->why != 0)
			continue;
		if (c->max_tasks > 0 && w->done + w->count >= c->max_tasks)
			continue;
		best = w;
		least = w->count;
	}
	return best;
}

void
ipc__pool_give(struct ipc_pool *p)
{
	struct ipc__worker *w;

	while (p->waiting_count > 0 && (w = idlest(p)) != NULL) {
		*place(p, w, w->count) = ipc__task_give(p);
		if (++w->count == 1)
			ipc__worker_clock(p, w);
		ipc__worker_send(p, w);
	}
}

/*
 * In
 */

static void
finish(struct ipc_pool *p, struct ipc__task *t, int status,
    const unsigned char *data, size_t size)
{
	int rc;

	t->tries++;
	if ((rc = ipc__task_room(t, size)) < 0) {
		ipc__task_finish(p, t, rc);
		return;
	}
	if (size > 0)
		memcpy(t->data, data, size);
	t->size = size;
	ipc__task_finish(p, t, status);
}

static bool
answer(struct ipc_pool *p, struct ipc__worker *w,
    const struct ipc__pool_head *h, const unsigned char *data, size_t size)
{
	struct ipc__task *t;

	/* To a task that it has, whole, and is next. */
	if (w->state != IPC__WORKER_READY || w->count == w->begun ||
	    h->serial != w->serial || h->status < 0)
		return false;
	t = *place(p, w, 0);
	w->first = (w->first + 1) % p->config.depth;
	w->count--;
	w->serial++;
	w->done++;
	p->failures = p->crashes = 0;
	if (t != NULL)
		finish(p, t, h->status, data, size);
	ipc__worker_clock(p, w);
	return true;
}

static bool
take(struct ipc_pool *p, struct ipc__worker *w, const unsigned char *data,
    size_t size)
{
	struct ipc__pool_head h;

	if (!ipc__pool_get_head(&h, data, size))
		return false;
	if (h.kind == IPC__POOL_RESULT)
		return answer(p, w, &h, data + IPC__POOL_HEAD,
		    size - IPC__POOL_HEAD);
	if (h.kind != IPC__POOL_HELLO || w->state != IPC__WORKER_STARTING ||
	    h.status != IPC__POOL_VERSION)
		return false;
	ipc__worker_ready(p, w);
	return true;
}

/* A worker that talks nonsense is as good as dead, and dies. */
void
ipc__worker_hear(struct ipc_pool *p, struct ipc__worker *w)
{
	const void *data;
	ssize_t n;

	while ((n = ipc_peek(w->ch, &data, 0)) >= 0) {
		if (!take(p, w, data, (size_t)n)) {
			ipc__worker_kill(w);
			ipc__worker_gone(p, w);
			return;
		}
		(void)ipc_release(w->ch);
	}
	if (n != -EAGAIN)
		ipc__worker_gone(p, w);
	else if (w->count == 0 && p->config.max_tasks > 0 &&
	    w->done >= p->config.max_tasks)
		ipc__worker_dismiss(p, w);
}

/*
 * Canceled
 */

static bool
find(struct ipc_pool *p, const struct ipc__task *t, struct ipc__worker **w,
    unsigned *n)
{
	unsigned i;

	for (i = 0; i < p->config.workers; i++) {
		*w = &p->workers[i];
		for (*n = 0; *n < (*w)->count; ++*n)
			if (*place(p, *w, *n) == t)
				return true;
	}
	return false;
}

void
ipc__worker_drop(struct ipc_pool *p, struct ipc__task *t, bool kill)
{
	struct ipc__worker *w;
	unsigned n;

	if (!find(p, t, &w, &n))
		return;
	if (w->state == IPC__WORKER_READY && w->begun && n == w->count - 1) {
		refuse(p, w, t, -ECANCELED);
		return;
	}
	*place(p, w, n) = NULL;
	ipc__task_finish(p, t, -ECANCELED);
	if (kill && n == 0 && w->state == IPC__WORKER_READY && w->why == 0)
		ipc__worker_end(p, w, -ECANCELED);
}
