/* SPDX-License-Identifier: ISC */
/*
 * Calls that wait for their answer: kept in their session's list and found by
 * id, with a deadline each, until they are ended.  One that is cancelled is
 * unlinked at once, so that nothing is ever sent for its id again, and goes on
 * counting until its handler has ended it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "rpc_server.h"

#define BUCKETS	16

/*
 * By id
 */

static struct ipc_rpc_call **
bucket(struct ipc__rpc_session *x, uint64_t id)
{
	return &x->table[(id ^ id >> 32) & (x->buckets - 1)];
}

static int
make_table(struct ipc__rpc_session *x, size_t buckets)
{
	struct ipc_rpc_call **old = x->table, *call, **at;
	size_t i, count = x->buckets;
	struct ipc_rpc_call **table = calloc(buckets,
	    sizeof(struct ipc_rpc_call *));

	if (table == NULL)
		return ipc__fail(ENOMEM, "no memory for a table of calls");
	x->table = table;
	x->buckets = buckets;
	for (i = 0; i < count; i++)
		while ((call = old[i]) != NULL) {
			old[i] = call->same;
			at = bucket(x, call->id);
			call->same = *at;
			*at = call;
		}
	free(old);
	return 0;
}

struct ipc_rpc_call *
ipc__rpc_kept(struct ipc__rpc_session *x, uint64_t id)
{
	struct ipc_rpc_call *call = x->table != NULL ? *bucket(x, id) : NULL;

	while (call != NULL && call->id != id)
		call = call->same;
	return call;
}

static int
enter(struct ipc__rpc_session *x, struct ipc_rpc_call *call)
{
	struct ipc_rpc_call **at;
	int rc = 0;

	if (x->known >= x->buckets)
		rc = make_table(x, x->buckets > 0 ? x->buckets * 2 : BUCKETS);
	if (x->table == NULL)
		return rc;	/* a longer list is slower, and no failure */
	at = bucket(x, call->id);
	call->same = *at;
	*at = call;
	x->known++;
	return 0;
}

static void
leave(struct ipc__rpc_session *x, struct ipc_rpc_call *call)
{
	struct ipc_rpc_call **at = bucket(x, call->id);

	while (*at != call)
		at = &(*at)->same;
	*at = call->same;
	x->known--;
}

/*
 * Linking
 */

static int
add_timer(struct ipc_rpc_call *call)
{
	struct ipc__rpc_hub *hub = call->x->hub;
	int rc;

	if (call->deadline < 0)
		return 0;
	call->timer.at = call->deadline;
	pthread_mutex_lock(&hub->lock);
	rc = ipc__rpc_heap_add(&hub->heap, &call->timer);
	atomic_store_explicit(&hub->timers, hub->heap.count,
	    memory_order_relaxed);
	pthread_mutex_unlock(&hub->lock);
	return rc;
}

static void
remove_timer(struct ipc_rpc_call *call)
{
	struct ipc__rpc_hub *hub = call->x->hub;

	if (call->deadline < 0)
		return;
	pthread_mutex_lock(&hub->lock);
	ipc__rpc_heap_remove(&hub->heap, &call->timer);
	atomic_store_explicit(&hub->timers, hub->heap.count,
	    memory_order_relaxed);
	pthread_mutex_unlock(&hub->lock);
}

static void
unlink_call(struct ipc_rpc_call *call)
{
	struct ipc__rpc_session *x = call->x;

	if (!call->linked)
		return;
	call->linked = false;
	*call->at = call->next;
	if (call->next != NULL)
		call->next->at = call->at;
	if (!(call->flags & IPC_RPC_ONE_WAY)) {
		leave(x, call);
		remove_timer(call);
	}
	if (call->wants_room)
		x->wanting--;
	call->wants_room = false;
}

/* A one-way call has no id, and no answer that could come too late. */
static int
link_call(struct ipc_rpc_call *call)
{
	struct ipc__rpc_session *x = call->x;
	int rc;

	if (!(call->flags & IPC_RPC_ONE_WAY)) {
		rc = enter(x, call);
		if (rc < 0)
			return rc;
		rc = add_timer(call);
		if (rc < 0) {
			leave(x, call);
			return rc;
		}
	}
	call->linked = true;
	call->next = x->first;
	if (call->next != NULL)
		call->next->at = &call->next;
	call->at = &x->first;
	x->first = call;
	return 0;
}

/* What can not be linked could not be cancelled: the session ends over it. */
void
ipc__rpc_keep(struct ipc_rpc_call *call)
{
	struct ipc__rpc_session *x = call->x;
	int rc;

	pthread_mutex_lock(&x->lock);
	if (!call->ended) {
		call->kept = true;
		atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&x->calls, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&x->hub->calls, 1,
		    memory_order_relaxed);
		if (!(call->flags & IPC_RPC_ONE_WAY) &&
		    ipc__rpc_kept(x, call->id) != NULL)
			rc = -EBADMSG;	/* two calls of one id */
		else
			rc = link_call(call);
		if (call->wants_room && call->linked)
			x->wanting++;
		if (rc < 0) {
			x->failed = rc;
			ipc__rpc_list(x);
		}
	}
	pthread_mutex_unlock(&x->lock);
	ipc__rpc_call_unref(call);
}

void
ipc__rpc_call_ended(struct ipc_rpc_call *call)
{
	struct ipc__rpc_session *x = call->x;

	call->ended = true;
	unlink_call(call);
	if (!call->kept)
		return;
	atomic_fetch_sub_explicit(&x->calls, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&x->hub->calls, 1, memory_order_relaxed);
}

void
ipc__rpc_call_unref(struct ipc_rpc_call *call)
{
	/* Release what was done with it to whoever frees it: acquire. */
	if (atomic_fetch_sub_explicit(&call->refs, 1,
	    memory_order_acq_rel) > 1)
		return;
	while (call->fd_count > 0)
		close(call->fds[--call->fd_count]);
	free(call->fds);
	if (call->kept)
		ipc__rpc_session_unref(call->x);
	free(call);
}

/*
 * Cancelling, and room
 */

/* Locked, with a reference of its own; unlocks. */
static void
run_change(struct ipc_rpc_call *call)
{
	ipc_rpc_change *change = call->ended ? NULL : call->change;
	void *user = call->change_user;

	pthread_mutex_unlock(&call->x->lock);
	if (change != NULL)
		change(call, user);
}

void
ipc__rpc_call_cancel(struct ipc_rpc_call *call, int code)
{
	struct ipc__rpc_session *x = call->x;

	pthread_mutex_lock(&x->lock);
	if (!call->linked) {
		pthread_mutex_unlock(&x->lock);
		return;
	}
	unlink_call(call);
	if (call->flags & IPC_RPC_ONE_WAY) {
		pthread_mutex_unlock(&x->lock);
		return;
	}
	/* Relaxed: who reads it wants to know, and has no order to rely on. */
	atomic_store_explicit(&call->cancelled, true, memory_order_relaxed);
	if (code != 0)
		(void)ipc__rpc_say_error(x, call->id, code, "");
	if (x->waiters > 0)
		pthread_cond_broadcast(&x->room);
	run_change(call);
}

/* The first whose time is over, with a reference. */
static struct ipc_rpc_call *
next_late(struct ipc__rpc_hub *hub, int64_t now)
{
	struct ipc_rpc_call *call = NULL;
	struct ipc__rpc_timer *t;

	pthread_mutex_lock(&hub->lock);
	t = ipc__rpc_heap_first(&hub->heap);
	if (t != NULL && t->at <= now) {
		ipc__rpc_heap_remove(&hub->heap, t);
		atomic_store_explicit(&hub->timers, hub->heap.count,
		    memory_order_relaxed);
		call = (struct ipc_rpc_call *)(void *)((char *)t -
		    offsetof(struct ipc_rpc_call, timer));
		/* Whoever ends it takes it out of the heap first. */
		atomic_fetch_add_explicit(&call->refs, 1,
		    memory_order_relaxed);
	}
	pthread_mutex_unlock(&hub->lock);
	return call;
}

int
ipc__rpc_expire(struct ipc_rpc_server *s)
{
	struct ipc_rpc_call *call;
	int64_t now;
	int n = 0;

	if (ipc__likely(atomic_load_explicit(&s->hub->timers,
	    memory_order_relaxed) == 0))
		return 0;
	now = ipc__now();
	while ((call = next_late(s->hub, now)) != NULL) {
		ipc__rpc_call_cancel(call, ETIMEDOUT);
		ipc__rpc_call_unref(call);
		n++;
	}
	return n;
}

/* The first that can go on, with a reference. */
static struct ipc_rpc_call *
next_wanting(struct ipc__rpc_session *x)
{
	struct ipc_rpc_call *call;

	if (x->wanting == 0 || x->ch == NULL ||
	    atomic_load_explicit(&x->crowded, memory_order_relaxed))
		return NULL;
	for (call = x->first; call != NULL; call = call->next)
		if (call->wants_room && call->credit > 0)
			break;
	if (call == NULL)
		return NULL;
	call->wants_room = false;
	x->wanting--;
	atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
	return call;
}

void
ipc__rpc_tell_room(struct ipc__rpc_session *x)
{
	struct ipc_rpc_call *call;

	for (;;) {
		pthread_mutex_lock(&x->lock);
		if (x->waiters > 0)
			pthread_cond_broadcast(&x->room);
		call = next_wanting(x);
		if (call == NULL)
			break;
		run_change(call);
		ipc__rpc_call_unref(call);
	}
	pthread_mutex_unlock(&x->lock);
}
