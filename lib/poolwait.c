/* SPDX-License-Identifier: ISC */
/*
 * Waiting for workers: one epoll set of their channels and processes, which is
 * also what ipc_pool_fd() gives.  Where looking into a channel costs no system
 * call (rings), answers are looked for there first.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "pool.h"

#define EVENTS		32	/* taken at a time */
#define LOOKS		16	/* into rings, before the set is asked again */

int
ipc__pool_events_new(struct ipc_pool *p)
{
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll == -1)
		return ipc__fail_sys("epoll_create1");
	p->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->bell == -1)
		return ipc__fail_sys("eventfd");
	return ipc__pool_watch(p, p->bell, 0, IPC__POOL_OWN);
}

/*
 * The bell
 */

static void
ring(int bell)
{
	uint64_t one = 1;

	if (write(bell, &one, sizeof one) == -1)
		return;		/* full: it is rung */
}

static void
put_out(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof n) == -1)
		return;		/* it was quiet */
}

static void
silence(struct ipc_pool *p)
{
	p->rung = false;
	put_out(p->bell);
}

/* It went off: whoever leaves sets it anew. */
static void
stop_timer(struct ipc_pool *p)
{
	if (p->timer == -1)
		return;
	put_out(p->timer);
	p->timer_set = -1;
}

void
ipc_pool_wake(struct ipc_pool *p)
{
	int saved = errno;

	if (p == NULL)
		return;
	/* The mark before the bell: whoever silences the bell looks for the
	 * mark after it (ipc__pool_woken). */
	atomic_store(&p->woken, true);
	ring(p->bell);
	errno = saved;
}

int
ipc__pool_woken(struct ipc_pool *p)
{
	/* Relaxed: who waits comes through ipc__pool_wait, by the bell. */
	if (ipc__likely(!atomic_load_explicit(&p->woken,
	    memory_order_relaxed)))
		return 0;
	silence(p);
	atomic_store(&p->woken, false);
	return ipc__fail(ECANCELED, "ipc_pool_wake was called");
}

/*
 * Events
 */

/* Places are not filled again while events are taken, so an event is of the
 * worker that is there, or of one that another event found dead. */
static void
on_event(struct ipc_pool *p, struct ipc__worker *w, unsigned what)
{
	if (what == IPC__POOL_SEND) {
		if (w->ch != NULL && w->begun && w->count > 0)
			ipc__worker_send(p, w);
		return;
	}
	if (w->ch != NULL)
		ipc__worker_hear(p, w);
	if (what != IPC__POOL_PROCESS)
		return;
	/* Dead, though a child of its own may hold the channel open. */
	if (w->ch != NULL)
		ipc__worker_gone(p, w);
	else if (w->state == IPC__WORKER_LEAVING)
		ipc__worker_bury(p, w);
}

static int
take_events(struct ipc_pool *p, int ms)
{
	struct epoll_event events[EVENTS];
	struct ipc__error before;
	bool own = false;
	int i, n;

	n = epoll_wait(p->epoll, events, EVENTS, ms);
	if (n == -1)
		return errno == EINTR ? 0 : ipc__fail_sys("epoll_wait");
	if (n == 0)
		return 0;
	/* A worker's death is no error of the call that finds it. */
	ipc__error_keep(&before);
	for (i = 0; i < n; i++) {
		if ((events[i].data.u64 & 3) == IPC__POOL_OWN)
			own = true;
		else
			on_event(p, &p->workers[events[i].data.u64 >> 2],
			    events[i].data.u64 & 3);
	}
	if (own) {
		silence(p);
		stop_timer(p);
	}
	ipc__error_restore(&before);
	return n;
}

/* Are there answers in the rings? */
static bool
look(struct ipc_pool *p)
{
	unsigned before = p->given_count;
	struct ipc__worker *w;
	unsigned i;

	for (i = 0; i < p->config.workers; i++) {
		w = &p->workers[i];
		if (w->state == IPC__WORKER_READY && w->count > 0)
			ipc__worker_look(p, w);
	}
	return p->given_count < before;
}

/* Those that we have looked into are to ring again. */
static void
listen_to_all(struct ipc_pool *p)
{
	struct ipc__worker *w;
	unsigned i;

	for (i = 0; i < p->config.workers; i++) {
		w = &p->workers[i];
		if (w->ch != NULL && w->awake) {
			(void)ipc_fd(w->ch, IPC_RECV, NULL);
			w->awake = false;
		}
	}
}

int
ipc__pool_pump(struct ipc_pool *p, bool all)
{
	int rc = 0;

	if (p->looks)
		all = (!look(p) && all) || ++p->looked % LOOKS == 0;
	else if (all)
		listen_to_all(p);
	if (all)
		rc = take_events(p, 0);
	ipc__pool_times(p);
	ipc__pool_give(p);
	return rc < 0 ? rc : 0;
}

/* Answers that come in no time need no system call. */
static bool
spin(struct ipc_pool *p, int64_t until)
{
	struct ipc__worker *w = p->workers;
	struct ipc__spin s;

	while (w < p->workers + p->config.workers && (w->count == 0 ||
	    w->state != IPC__WORKER_READY))
		w++;
	if (!p->looks || w == p->workers + p->config.workers)
		return false;
	ipc__spin_begin(w->ch, IPC_RECV, until, &s);
	while (ipc__spin_more(&s))
		if (look(p))
			return true;
	return false;
}

static int
sleep_until(struct ipc_pool *p, int64_t until)
{
	listen_to_all(p);
	return take_events(p, until < 0 ? -1 : until <= ipc__now() ? 0 :
	    ipc__left(until));
}

int
ipc__pool_wait(struct ipc_pool *p, int64_t deadline)
{
	int64_t until = deadline;
	int rc;

	if (p->rung)
		silence(p);
	if ((rc = ipc__pool_woken(p)) < 0)
		return rc;
	if (p->next >= 0 && (until < 0 || p->next < until))
		until = p->next;
	if (!spin(p, until))
		rc = sleep_until(p, until);
	ipc__pool_times(p);
	ipc__pool_give(p);
	if (rc < 0)
		return rc;
	if ((rc = ipc__pool_woken(p)) < 0)
		return rc;
	return deadline >= 0 && ipc__now() >= deadline ?
	    ipc__plain(-ETIMEDOUT) : 0;
}

/*
 * The descriptor
 */

static void
set_timer(struct ipc_pool *p)
{
	struct itimerspec its = { { 0, 0 }, { 0, 0 } };

	if (p->next == p->timer_set)
		return;
	if (p->next >= 0) {
		its.it_value.tv_sec = p->next / 1000000000;
		/* All zero would stop it. */
		its.it_value.tv_nsec = p->next % 1000000000 + (p->next == 0);
	}
	(void)timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &its, NULL);
	p->timer_set = p->next;
}

void
ipc__pool_show(struct ipc_pool *p)
{
	bool there;

	if (ipc__likely(p->timer == -1))
		return;
	set_timer(p);
	listen_to_all(p);
	there = ipc__task_there(p);
	if (there && !p->rung)
		ring(p->bell);
	else if (!there && p->rung)
		silence(p);
	p->rung = there;
	/* A mark that came meanwhile is to be seen. */
	if (!there && atomic_load(&p->woken))
		ring(p->bell);
}

static int
make_timer(struct ipc_pool *p)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int rc;

	if (fd == -1)
		return ipc__fail_sys("timerfd_create");
	if ((rc = ipc__pool_watch(p, fd, 0, IPC__POOL_OWN)) < 0) {
		close(fd);
		return rc;
	}
	p->timer = fd;
	p->timer_set = -1;
	return 0;
}

int
ipc_pool_fd(struct ipc_pool *p)
{
	int rc;

	if ((rc = ipc__pool_mine(p, "ipc_pool_fd")) < 0)
		return rc;
	if (p->timer == -1 && (rc = make_timer(p)) < 0)
		return rc;
	ipc__pool_show(p);
	return p->epoll;
}
