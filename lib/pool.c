/* SPDX-License-Identifier: ISC */
/*
 * Pools of worker processes: the public calls.
 *
 * A pool does its work inside of these calls alone; there is no thread behind
 * it.  Each call brings forward what can be brought forward, and what happens
 * between two calls waits in the workers' channels, which are bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "pool.h"

int
ipc__pool_mine(const struct ipc_pool *p, const char *call)
{
	if (p == NULL)
		return ipc__fail(EINVAL, "%s: no pool", call);
	if (p->process != atomic_load_explicit(&ipc__process,
	    memory_order_relaxed))
		return ipc__fail(ECHILD, "%s: the workers of this pool are the "
		    "children of another process", call);
	return 0;
}

static int
leave(struct ipc_pool *p, int rc)
{
	ipc__pool_show(p);
	if (rc < 0 && rc != -EAGAIN && rc != -ETIMEDOUT)
		(void)ipc__fail_at(p->address, rc);
	return rc;
}

static int
too_late(int timeout)
{
	return ipc__plain(timeout == 0 ? -EAGAIN : -ETIMEDOUT);
}

static int
broken(const struct ipc_pool *p)
{
	ipc__error_restore(&p->why);
	return p->broken;
}

/*
 * Tasks
 */

static void
describe(struct ipc_pool_result *r, const struct ipc__task *t)
{
	struct ipc_pool_result full = {
		.struct_size = r->struct_size, .tag = t->tag,
		.status = t->status, .wait_status = t->wait_status,
		.tries = t->tries, .size = t->size,
		.data = t->message + IPC__POOL_HEAD
	};

	memcpy(r, &full, r->struct_size < sizeof full ? r->struct_size :
	    sizeof full);
}

/* Gives `done' what is there, and what comes while it works. */
static int
deliver(struct ipc_pool *p)
{
	struct ipc_pool_result r = { .struct_size = sizeof r };
	struct ipc__task *t;
	int n = 0;

	while ((t = ipc__task_take(p)) != NULL) {
		describe(&r, t);
		p->inside = true;
		p->config.done(&r, p->config.user);
		p->inside = false;
		ipc__task_let_go(p);
		n++;
	}
	return n;
}

/* Until there is a free place. */
static int
wait_for_place(struct ipc_pool *p, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	int rc = ipc__pool_pump(p, timeout == 0);

	/* What comes with the last tick of the clock is in time. */
	while (rc == 0 || rc == -ETIMEDOUT) {
		if (p->config.done != NULL)
			(void)deliver(p);
		if (p->places < p->config.limit)
			return 0;
		if (rc < 0 || timeout == 0)
			return too_late(timeout);
		if (p->waiting_count + p->given_count == 0)
			return ipc__fail(EDEADLK, "all %u tasks that the pool "
			    "takes are results that nobody has taken",
			    p->config.limit);
		rc = ipc__pool_wait(p, deadline);
	}
	return rc;
}

static int
may_submit(struct ipc_pool *p, const void *task, size_t size, int timeout)
{
	if (task == NULL && size > 0)
		return ipc__fail(EINVAL, "ipc_pool_submit: no task");
	if (size > p->max_task)
		return ipc__fail(EMSGSIZE, "a task of %zu bytes exceeds the "
		    "%zu that go through this address (max-message)", size,
		    p->max_task);
	if (p->places < p->config.limit)
		return 0;
	if (!p->inside)
		return wait_for_place(p, timeout);
	return timeout == 0 ? ipc__plain(-EAGAIN) :
	    ipc__fail(EDEADLK, "ipc_pool_submit: a `done' can not wait for "
	    "the pool that calls it");
}

int
ipc_pool_submit(struct ipc_pool *p, const void *task, size_t size, void *tag,
    int timeout)
{
	int rc;

	if ((rc = ipc__pool_mine(p, "ipc_pool_submit")) < 0)
		return rc;
	if ((rc = ipc__pool_woken(p)) == 0 && p->broken == 0)
		rc = may_submit(p, task, size, timeout);
	if (rc == 0 && p->broken != 0)
		rc = broken(p);
	if (rc == 0 && (rc = ipc__task_add(p, task, size, tag)) == 0)
		ipc__pool_give(p);
	return leave(p, rc);
}

static int
check_record(const void *record, size_t size, size_t least, const char *call)
{
	if (record == NULL)
		return ipc__fail(EINVAL, "%s: no record", call);
	if (size < least || size > 4096)
		return ipc__fail(EINVAL, "%s: struct_size is the record's "
		    "sizeof, set by the caller", call);
	return 0;
}

/* 1: a result is there; 0: none will come. */
static int
wait_for_result(struct ipc_pool *p, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	int rc = 0;

	if (ipc__task_there(p))
		return 1;
	rc = ipc__pool_pump(p, timeout == 0);
	while (rc == 0 && !ipc__task_there(p)) {
		if (p->places == 0)
			return 0;
		if (timeout == 0)
			return too_late(0);
		rc = ipc__pool_wait(p, deadline);
	}
	if (rc < 0 && (rc != -ETIMEDOUT || !ipc__task_there(p)))
		return rc;
	return 1;
}

int
ipc_pool_next(struct ipc_pool *p, struct ipc_pool_result *r, int timeout)
{
	int rc;

	if ((rc = ipc__pool_mine(p, "ipc_pool_next")) < 0 ||
	    (rc = check_record(r, r == NULL ? 0 : r->struct_size,
	    2 * sizeof(size_t), "ipc_pool_next")) < 0)
		return rc;
	if (p->config.done != NULL)
		return ipc__fail(EINVAL, "ipc_pool_next: the results of this "
		    "pool go to its `done'");
	ipc__task_let_go(p);
	if ((rc = ipc__pool_woken(p)) == 0)
		rc = wait_for_result(p, timeout);
	if (rc > 0)
		describe(r, ipc__task_take(p));
	return leave(p, rc);
}

static int
may_deliver(const struct ipc_pool *p, const char *call)
{
	int rc;

	if ((rc = ipc__pool_mine(p, call)) < 0)
		return rc;
	if (p->inside)
		return ipc__fail(EDEADLK, "%s: not from a `done' of this pool",
		    call);
	return 0;
}

int
ipc_pool_dispatch(struct ipc_pool *p, int timeout)
{
	int rc;

	if ((rc = may_deliver(p, "ipc_pool_dispatch")) < 0)
		return rc;
	if (p->config.done == NULL)
		return ipc__fail(EINVAL, "ipc_pool_dispatch: this pool has no "
		    "`done'");
	if ((rc = ipc__pool_woken(p)) == 0)
		rc = wait_for_result(p, timeout);
	if (rc > 0)
		rc = deliver(p);
	ipc__pool_give(p);
	return leave(p, rc);
}

static int
drain(struct ipc_pool *p, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	int rc = ipc__pool_pump(p, timeout == 0);

	while (rc == 0 || rc == -ETIMEDOUT) {
		if (p->config.done != NULL)
			(void)deliver(p);
		if (p->waiting_count + p->given_count == 0)
			return 0;
		if (rc < 0 || timeout == 0)
			return too_late(timeout);
		rc = ipc__pool_wait(p, deadline);
	}
	return rc;
}

int
ipc_pool_drain(struct ipc_pool *p, int timeout)
{
	int rc;

	if ((rc = may_deliver(p, "ipc_pool_drain")) < 0)
		return rc;
	if ((rc = ipc__pool_woken(p)) == 0)
		rc = drain(p, timeout);
	return leave(p, rc);
}

int
ipc_pool_cancel(struct ipc_pool *p, const void *tag, int flags)
{
	struct ipc__task *t;
	int rc, n = 0;

	if ((rc = ipc__pool_mine(p, "ipc_pool_cancel")) < 0)
		return rc;
	if (flags & ~IPC_POOL_KILL)
		return ipc__fail(EINVAL, "ipc_pool_cancel: flags are 0 or "
		    "IPC_POOL_KILL");
	TAILQ_FOREACH(t, &p->all, all) {
		if (t->tag != tag || t->state == IPC__TASK_FINISHED)
			continue;
		if (t->state == IPC__TASK_WAITING)
			ipc__task_finish(p, t, -ECANCELED);
		else
			ipc__worker_drop(p, t, flags & IPC_POOL_KILL);
		n++;
	}
	ipc__pool_give(p);
	return leave(p, n);
}

int
ipc_pool_stats(const struct ipc_pool *p, struct ipc_pool_stats *stats)
{
	struct ipc_pool_stats full;
	int rc;

	if (p == NULL)
		return ipc__fail(EINVAL, "ipc_pool_stats: no pool");
	if ((rc = check_record(stats, stats == NULL ? 0 : stats->struct_size,
	    2 * sizeof(size_t), "ipc_pool_stats")) < 0)
		return rc;
	full = p->stats;
	full.struct_size = stats->struct_size;
	full.workers = p->ready;
	full.waiting = p->waiting_count;
	full.working = p->given_count;
	full.finished = p->finished_count;
	memcpy(stats, &full, stats->struct_size < sizeof full ?
	    stats->struct_size : sizeof full);
	return 0;
}
