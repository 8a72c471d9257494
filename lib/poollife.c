/* SPDX-License-Identifier: ISC */
/*
 * How workers come and go: started, greeted, dismissed or killed, found dead,
 * and replaced.
 *
 * A place whose worker died is filled again at once, but only as long as there
 * are answers between the deaths.  Otherwise each start waits twice as long as
 * the one before; and when that has gone on for long enough with nobody ready,
 * the pool gives up and says so to whoever has tasks in it.
 */
#include <poll.h>
#include <sys/wait.h>

#include "pool.h"

#define MS		INT64_C(1000000)
#define PAUSE_FIRST	(10 * MS)	/* before a start that follows one in */
#define PAUSE_DOUBLES	7		/* vain; up to 1.28 s */
#define LOOK_AGAIN	(1 * MS)	/* at a process without a pidfd */
#define MOMENT		(500 * MS)	/* for more of an answer */
#define OLD		(5000 * MS)	/* its death is no failed start */

void
ipc__worker_until(struct ipc_pool *p, struct ipc__worker *w, int64_t when)
{
	w->deadline = when;
	if (when >= 0 && (p->next < 0 || when < p->next))
		p->next = when;
}

static int64_t
after(int ms)
{
	return ms < 0 ? -1 : ipc__now() + ms * MS;
}

void
ipc__worker_clock(struct ipc_pool *p, struct ipc__worker *w)
{
	w->overdue = false;
	if (p->config.task_timeout == 0)
		return;
	ipc__worker_until(p, w, w->count == 0 ? -1 :
	    after(p->config.task_timeout));
}

/*
 * Coming
 */

static unsigned
alive(const struct ipc_pool *p)
{
	unsigned i, n = p->ready;

	for (i = 0; i < p->config.workers; i++)
		n += p->workers[i].state == IPC__WORKER_STARTING;
	return n;
}

/* Enough is enough: all that waits is answered, and new tasks are refused. */
static void
give_up(struct ipc_pool *p, int code)
{
	p->broken = code;
	ipc__error_keep(&p->why);
	ipc__tasks_fail(p, code, p->last_status);
}

static void
note_failure(struct ipc_pool *p, struct ipc__worker *w, int code)
{
	p->failures++;
	w->vain++;
	if (p->broken == 0 && alive(p) == 0 &&
	    p->failures >= p->config.start_tries * p->config.workers)
		give_up(p, code);
}

/* Starts in vain are counted for each place: that others work does not help a
 * place where there is no memory for one more.  Tasks that kill go from one to
 * the next, so there it is rounds that count. */
static int64_t
pause_now(const struct ipc_pool *p, const struct ipc__worker *w)
{
	unsigned rounds = p->crashes / p->config.workers;

	if (w->vain == 0 && rounds < 2)
		return 0;
	if (w->vain > 0 && rounds < w->vain - 1)
		rounds = w->vain - 1;
	return PAUSE_FIRST << (rounds < PAUSE_DOUBLES ? rounds :
	    PAUSE_DOUBLES);
}

static void
start_later(struct ipc_pool *p, struct ipc__worker *w)
{
	w->state = IPC__WORKER_NONE;
	ipc__worker_until(p, w, p->broken ? -1 : ipc__now() +
	    pause_now(p, w));
}

int
ipc__worker_begin(struct ipc_pool *p, struct ipc__worker *w)
{
	int rc;

	w->first = w->count = w->done = w->serial = 0;
	w->begun = w->overdue = w->greeted = w->awake = false;
	w->why = 0;
	if ((rc = ipc__worker_start(p, w)) < 0)
		return rc;
	p->stats.started++;
	w->since = ipc__now();
	w->state = IPC__WORKER_STARTING;
	ipc__worker_until(p, w, after(p->config.start_timeout));
	return 0;
}

static void
begin_again(struct ipc_pool *p, struct ipc__worker *w)
{
	int rc;

	if ((rc = ipc__worker_begin(p, w)) == 0)
		return;
	p->last_status = 0;
	note_failure(p, w, rc);
	start_later(p, w);
}

void
ipc__worker_ready(struct ipc_pool *p, struct ipc__worker *w)
{
	w->state = IPC__WORKER_READY;
	w->greeted = true;
	p->ready++;
	ipc__worker_until(p, w, -1);
}

/*
 * Going
 */

/* The channel goes first, the process may take a while. */
static void
let_go(struct ipc_pool *p, struct ipc__worker *w)
{
	if (w->state == IPC__WORKER_READY)
		p->ready--;
	ipc__worker_hang_up(p, w);
	w->state = IPC__WORKER_LEAVING;
	w->leave_by = after(p->config.grace);
	ipc__worker_until(p, w, w->pidfd != -1 ? w->leave_by :
	    ipc__now() + LOOK_AGAIN);
}

void
ipc__worker_gone(struct ipc_pool *p, struct ipc__worker *w)
{
	let_go(p, w);
	ipc__worker_bury(p, w);
}

void
ipc__worker_dismiss(struct ipc_pool *p, struct ipc__worker *w)
{
	struct ipc__pool_head h = { .kind = IPC__POOL_LEAVE };
	unsigned char head[IPC__POOL_HEAD];

	ipc__pool_put_head(head, &h);
	/* If there is no room, the end of the channel says it. */
	if (!w->begun)
		(void)ipc_send(w->ch, head, sizeof head, 0);
	w->why = IPC__WORKER_TOLD;
	let_go(p, w);
}

void
ipc__worker_end(struct ipc_pool *p, struct ipc__worker *w, int why)
{
	w->why = why;
	w->why_serial = w->serial;
	p->stats.killed++;
	ipc__worker_kill(w);
	ipc__worker_until(p, w, -1);
	/* Its end would show on the channel; but a child of its own may hold
	 * that open. */
	if (w->pidfd == -1)
		ipc__worker_gone(p, w);
}

/* What it was at, if it can have begun it.  One that we have killed may have
 * answered at the last moment, and what it was at then is none of it. */
static struct ipc__task *
culprit(const struct ipc__worker *w)
{
	if (w->count == 0 || (w->begun && w->count == 1))
		return NULL;
	if (w->why != 0 && (w->why != -ETIMEDOUT ||
	    w->why_serial != w->serial))
		return NULL;
	return w->given[w->first];
}

static void
blame(struct ipc_pool *p, struct ipc__task *t, int why, int status)
{
	t->wait_status = status;
	t->tries++;
	if (why != 0)
		ipc__task_finish(p, t, why);
	else if (t->tries >= p->config.tries)
		ipc__task_finish(p, t, -ECONNRESET);
	else
		ipc__task_again(p, t);
}

/* The last goes back first, so that they stand again as they stood. */
static void
take_back(struct ipc_pool *p, struct ipc__worker *w, int status)
{
	struct ipc__task *guilty = culprit(w), *t;
	unsigned i;

	for (i = w->count; i-- > 0;) {
		t = w->given[(w->first + i) % p->config.depth];
		if (t != NULL && t == guilty)
			blame(p, t, w->why, status);
		else if (t != NULL)
			ipc__task_again(p, t);
	}
	w->count = 0;
	w->begun = false;
}

/* A death that nobody wanted: of a task, or of the worker itself. */
static void
note_death(struct ipc_pool *p, struct ipc__worker *w, int status)
{
	bool at_work = w->greeted && (w->done > 0 || w->count > 0);

	p->stats.died += w->why == 0;
	p->last_status = status;
	if (ipc__now() - w->since > OLD)
		p->failures = p->crashes = w->vain = 0;
	if (at_work && w->why == 0)
		p->crashes++;
	else if (!at_work)
		note_failure(p, w, w->greeted ? ipc__fail(ECHILD, "%u workers "
		    "in a row ended before they did anything, the last with "
		    "wait status %#x", p->failures + 1, (unsigned)status) :
		    ipc__fail(ECHILD, "%u workers in a row ended before they "
		    "were ready for tasks, the last with wait status %#x",
		    p->failures + 1, (unsigned)status));
}

void
ipc__worker_bury(struct ipc_pool *p, struct ipc__worker *w)
{
	int status;

	if (ipc__worker_reap(w, false, &status) < 0)
		return;
	ipc__worker_forget(p, w);
	w->state = IPC__WORKER_NONE;
	if (w->why != IPC__WORKER_TOLD && w->why != -ECANCELED)
		note_death(p, w, status);
	take_back(p, w, status);
	if (p->broken != 0)
		ipc__tasks_fail(p, p->broken, status);
	start_later(p, w);
}

void
ipc__worker_await(struct ipc_pool *p, struct ipc__worker *w, int64_t deadline)
{
	struct pollfd fd = { .fd = w->pidfd, .events = POLLIN };
	int64_t now = ipc__now(), until = deadline;
	int status;

	while (ipc__worker_reap(w, false, &status) < 0) {
		if (deadline >= 0 && now >= deadline) {
			ipc__worker_kill(w);
			(void)ipc__worker_reap(w, true, &status);
			break;
		}
		/* Without a pidfd this is no more than a nap. */
		if (w->pidfd == -1)
			until = now + LOOK_AGAIN;
		(void)ipc__poll_until(&fd, 1, until);
		now = ipc__now();
	}
	ipc__worker_forget(p, w);
	w->state = IPC__WORKER_NONE;
}

/*
 * Deadlines
 */

/* An answer that is longer than the channel's room comes only while we take it,
 * and it may be that we were away.  As long as more of it comes it is waited
 * for. */
static void
task_is_over(struct ipc_pool *p, struct ipc__worker *w)
{
	struct ipc_info info = { .struct_size = sizeof info };
	uint32_t serial = w->serial;

	ipc__worker_hear(p, w);
	if (w->state != IPC__WORKER_READY || w->serial != serial)
		return;
	if (ipc_info(w->ch, &info) < 0 || info.pending == 0 ||
	    (w->overdue && info.pending <= w->arrived)) {
		ipc__worker_end(p, w, -ETIMEDOUT);
		return;
	}
	w->overdue = true;
	w->arrived = info.pending;
	ipc__worker_until(p, w, ipc__now() + MOMENT);
}

static void
leave_is_over(struct ipc_pool *p, struct ipc__worker *w, int64_t now)
{
	bool late = w->leave_by >= 0 && now >= w->leave_by;

	if (late)
		ipc__worker_kill(w);
	ipc__worker_until(p, w, w->pidfd == -1 ? now + LOOK_AGAIN :
	    late ? -1 : w->leave_by);
	ipc__worker_bury(p, w);
}

static void
expire(struct ipc_pool *p, struct ipc__worker *w, int64_t now)
{
	w->deadline = -1;
	switch (w->state) {
	case IPC__WORKER_NONE:
		if (p->broken == 0)
			begin_again(p, w);
		break;
	case IPC__WORKER_STARTING:
		ipc__worker_end(p, w, -ETIMEDOUT);
		break;
	case IPC__WORKER_READY:
		task_is_over(p, w);
		break;
	case IPC__WORKER_LEAVING:
		leave_is_over(p, w, now);
		break;
	}
}

void
ipc__pool_times(struct ipc_pool *p)
{
	int64_t now, next = -1;
	struct ipc__error before;
	struct ipc__worker *w;
	unsigned i;

	if (p->next < 0 || (now = ipc__now()) < p->next)
		return;
	ipc__error_keep(&before);
	for (i = 0; i < p->config.workers; i++) {
		w = &p->workers[i];
		if (w->deadline >= 0 && w->deadline <= now)
			expire(p, w, now);
		if (w->deadline >= 0 && (next < 0 || w->deadline < next))
			next = w->deadline;
	}
	p->next = next;
	ipc__error_restore(&before);
}
