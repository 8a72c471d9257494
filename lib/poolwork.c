/* SPDX-License-Identifier: ISC */
/*
 * What goes between a pool and its workers: tasks out, a few ahead so that no
 * worker ever waits for the next; answers in.
 */
#include <string.h>

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
	struct ipc__error before;
	int rc;

	ipc__pool_put_head(t->message, &h);
	ipc__error_keep(&before);
	rc = ipc_send(w->ch, t->message, IPC__POOL_HEAD + t->size, 0);
	if (rc == 0) {
		sent(p, w);
		return;
	}
	if (rc == -EAGAIN) {
		wait_for_room(p, w, t);
	} else if (rc == -EPIPE || rc == -ECONNRESET) {
		/* It is dead, and has not got this one; what it has answered
		 * before is still to be heard. */
		sent(p, w);
		w->begun = true;
	} else {
		refuse(p, w, t, rc);
	}
	ipc__error_restore(&before);
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

/* The message becomes the task's, whose own bytes nobody needs any more. */
static void
finish(struct ipc_pool *p, struct ipc__task *t, int status, size_t size)
{
	unsigned char *message = t->message;
	size_t room = t->room;

	t->message = p->inbox;
	t->room = p->inbox_room;
	p->inbox = message;
	p->inbox_room = room;
	t->tries++;
	t->size = size;
	ipc__task_finish(p, t, status);
}

static bool
answer(struct ipc_pool *p, struct ipc__worker *w,
    const struct ipc__pool_head *h, size_t size)
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
	p->failures = p->crashes = w->vain = 0;
	if (t != NULL)
		finish(p, t, h->status, size);
	ipc__worker_clock(p, w);
	return true;
}

static bool
take(struct ipc_pool *p, struct ipc__worker *w, size_t size)
{
	struct ipc__pool_head h;

	if (!ipc__pool_get_head(&h, p->inbox, size))
		return false;
	if (h.kind == IPC__POOL_RESULT)
		return answer(p, w, &h, size - IPC__POOL_HEAD);
	if (h.kind != IPC__POOL_HELLO || w->state != IPC__WORKER_STARTING ||
	    h.status != IPC__POOL_VERSION)
		return false;
	ipc__worker_ready(p, w);
	return true;
}

/* Out of memory shared with it before anything is looked at: what is checked
 * stays as it is. */
static ssize_t
receive(struct ipc_pool *p, struct ipc__worker *w)
{
	const void *data;
	ssize_t n;
	int rc;

	n = ipc_recv(w->ch, p->inbox, p->inbox_room, 0);
	if (n != -EMSGSIZE)
		return n;
	n = ipc_peek(w->ch, &data, 0);
	if (n < 0)
		return n;
	rc = ipc__task_room(&p->inbox, &p->inbox_room, (size_t)n);
	return rc < 0 ? rc : ipc_recv(w->ch, p->inbox, p->inbox_room, 0);
}

/* A worker that talks nonsense is as good as dead, and dies. */
static ssize_t
hear_one(struct ipc_pool *p, struct ipc__worker *w)
{
	ssize_t n = receive(p, w);

	if (n == -EAGAIN)
		return n;
	if (n >= 0 && take(p, w, (size_t)n))
		return n;
	if (n >= 0 || n == -ENOMEM)
		ipc__worker_kill(w);
	ipc__worker_gone(p, w);
	return -EPIPE;
}

/* It has done as much as one may, and has answered for all of it. */
static void
may_retire(struct ipc_pool *p, struct ipc__worker *w)
{
	if (w->ch != NULL && w->count == 0 && p->config.max_tasks > 0 &&
	    w->done >= p->config.max_tasks)
		ipc__worker_dismiss(p, w);
}

static void
rouse(struct ipc__worker *w)
{
	if (!w->awake)
		ipc__rest(w->ch, IPC_RECV);
	w->awake = true;
}

void
ipc__worker_hear(struct ipc_pool *p, struct ipc__worker *w)
{
	rouse(w);
	while (hear_one(p, w) >= 0)
		;
	may_retire(p, w);
}

static bool
something_there(const struct ipc_channel *ch)
{
	const void *data;
	unsigned flags;

	return ch->in.whole || ch->in.len > 0 ||
	    ipc__be_peek(ch->in.half, &data, &flags) >= 0;
}

void
ipc__worker_look(struct ipc_pool *p, struct ipc__worker *w)
{
	ssize_t n = 0;

	while (n >= 0 && something_there(w->ch)) {
		rouse(w);
		n = hear_one(p, w);
	}
	may_retire(p, w);
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
