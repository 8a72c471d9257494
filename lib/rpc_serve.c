/* SPDX-License-Identifier: ISC */
/*
 * The loop of a server.  An epoll set holds its listeners, its clients and the
 * bell of the hub.  One client may be the favourite: as long as it is the only
 * one that calls it is waited for directly, with the epoll set beside it, which
 * is as quick as a channel by itself; a ring spins there before it sleeps.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "rpc_server.h"

#define EVENTS		64
#define BURST		64	/* messages of one client, before others */
#define ACCEPT_BURST	16
#define PASS		1024	/* things done in a pass of the user's loop */
#define LONELY		8	/* rounds alone make a favourite */
#define DESERTED	2	/* rounds of others alone end it */

int
ipc__rpc_add(struct ipc_rpc_server *s, int fd, struct ipc__rpc_source *of)
{
	struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = of } };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 :
	    ipc__fail_sys("epoll_ctl");
}

/* In a forked child the set is the parent's. */
void
ipc__rpc_del(struct ipc_rpc_server *s, int fd)
{
	if (s->process == atomic_load(&ipc__process))
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void
ipc__rpc_reap(struct ipc_rpc_server *s)
{
	struct ipc__rpc_session *x;

	while ((x = s->dead) != NULL) {
		s->dead = x->next;
		x->server = NULL;
		ipc__rpc_session_unref(x);
	}
}

void
ipc__rpc_settle(struct ipc_rpc_server *s)
{
	struct ipc__rpc_timer *t;
	int64_t at;

	if (s->timer == -1)
		return;
	pthread_mutex_lock(&s->hub->lock);
	t = ipc__rpc_heap_first(&s->hub->heap);
	at = t != NULL ? t->at : 0;
	pthread_mutex_unlock(&s->hub->lock);
	ipc__rpc_alarm(s->timer, at, &s->timer_set);
	/* What a pass has left to the next: its handlers ring no bell, and it
	 * may have heard those of others. */
	if (atomic_load_explicit(&s->hub->any, memory_order_acquire) ||
	    atomic_load(&s->hub->stop))
		ipc__rpc_ring(s->hub);
}

/*
 * Events
 */

/* Whoever does not fit is let go, and the next is looked at. */
static int
welcome(struct ipc_rpc_server *s, struct ipc__rpc_listener *l)
{
	struct ipc_channel *ch;
	int n;

	for (n = 0; n < ACCEPT_BURST && ipc_accept(&ch, l->l, 0) == 0; n++)
		if (ipc__rpc_session_new(s, ch, true) < 0)
			ipc_close(ch);
	return n;
}

static int
drain(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof n) == sizeof n;
}

/* A client that is ready alone, again and again, becomes the favourite; the
 * favourite that is not heard of while others come is no more. */
static void
choose(struct ipc_rpc_server *s, struct ipc__rpc_session *x, bool alone)
{
	struct ipc__rpc_session *old = s->favourite;

	if (s->timer != -1)
		return;
	s->alone = alone && s->lonely == x ? s->alone + 1 : 0;
	s->lonely = x;
	/* Without a free descriptor it stays the favourite. */
	if (old != NULL && ++s->idle >= DESERTED)
		(void)ipc__rpc_watch_session(old);
	if (s->favourite == NULL && s->alone >= LONELY &&
	    x->reading == IPC__RPC_WATCHED)
		(void)ipc__rpc_favour(x);
}

static int
ready(struct ipc_rpc_server *s, struct ipc__rpc_session *x, bool alone)
{
	int n;

	if (x->ch == NULL || x->reading != IPC__RPC_WATCHED)
		return 0;
	n = ipc__rpc_session_read(x, 0, BURST);
	if (x->ch != NULL)
		choose(s, x, alone);
	return n;
}

static int
happen(struct ipc_rpc_server *s, struct ipc__rpc_source *of, bool alone)
{
	switch (of->kind) {
	case IPC__RPC_BELL:
		return drain(s->hub->bell);
	case IPC__RPC_TIMER:
		s->timer_set = 0;
		return drain(s->timer);
	case IPC__RPC_LISTENER:
		return welcome(s, of->of);
	case IPC__RPC_WRITE:
		ipc__rpc_session_flush(of->of);
		return 1;
	case IPC__RPC_READ:
		return ready(s, of->of, alone);
	}
	return 0;
}

static int
look(struct ipc_rpc_server *s, int timeout)
{
	struct epoll_event ev[EVENTS];
	int done = 0, i, n;

	n = epoll_wait(s->epoll, ev, EVENTS, timeout);
	for (i = 0; i < n; i++)
		done += happen(s, ev[i].data.ptr, n == 1);
	return done;
}

/*
 * Rounds
 */

/* What other threads have left to do. */
static int
attend(struct ipc_rpc_server *s)
{
	struct ipc__rpc_session *x;
	int n;

	for (n = 0; (x = ipc__rpc_listed(s->hub)) != NULL; n++) {
		ipc__rpc_session_flush(x);
		ipc__rpc_session_unref(x);
	}
	return n;
}

static int
until(struct ipc_rpc_server *s, int timeout)
{
	if (ipc__likely(atomic_load_explicit(&s->hub->timers,
	    memory_order_relaxed) == 0))
		return timeout;
	pthread_mutex_lock(&s->hub->lock);
	timeout = ipc__rpc_until(&s->hub->heap, timeout);
	pthread_mutex_unlock(&s->hub->lock);
	return timeout;
}

static int
one_round(struct ipc_rpc_server *s, int timeout)
{
	int done = attend(s) + ipc__rpc_expire(s), n;

	timeout = done > 0 ? 0 : until(s, timeout);
	if (s->favourite == NULL) {
		done += look(s, timeout);
	} else {
		n = ipc__rpc_session_read(s->favourite, timeout, BURST);
		if (n > 0)
			s->idle = 0;
		done += n + look(s, 0);
	}
	ipc__rpc_reap(s);
	return done;
}

static int
left_of(int64_t deadline)
{
	int64_t left = (deadline - ipc__now() + 999999) / 1000000;

	return left > 0 ? (int)left : 0;
}

static bool
deserted(const struct ipc_rpc_server *s)
{
	return s->listeners == NULL && s->sessions == NULL;
}

/* The user's loop: waits for something, does what is there. */
static int
pass(struct ipc_rpc_server *s, int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : 0;
	int done = 0, n;

	do {
		if (atomic_exchange(&s->hub->stop, false))
			return ipc__plain(-ECANCELED);
		if (deserted(s))
			return done > 0 ? 0 : ipc__plain(-EPIPE);
		n = one_round(s, done > 0 || timeout == 0 ? 0 :
		    left_of(deadline));
		done += n;
	} while ((n > 0 && done < PASS) ||
	    (done == 0 && timeout > 0 && ipc__now() < deadline));
	return done > 0 ? 0 : ipc__plain(timeout == 0 ? -EAGAIN : -ETIMEDOUT);
}

static int
for_ever(struct ipc_rpc_server *s)
{
	while (!atomic_load_explicit(&s->hub->stop, memory_order_relaxed) &&
	    !deserted(s))
		(void)one_round(s, -1);
	if (atomic_exchange(&s->hub->stop, false))
		return ipc__fail(ECANCELED, "ipc_rpc_stop was called");
	return ipc__fail(EPIPE, "there is no listener, and no client any more");
}

int
ipc_rpc_serve(struct ipc_rpc_server *s, int timeout)
{
	struct ipc_rpc_server *outer = ipc__rpc_serving;
	int rc;

	rc = ipc__rpc_enter(s);
	if (rc < 0)
		return rc;
	s->inside = true;
	ipc__rpc_serving = s;
	rc = timeout < 0 ? for_ever(s) : pass(s, timeout);
	ipc__rpc_settle(s);
	ipc__rpc_serving = outer;
	s->inside = false;
	return rc;
}

void
ipc_rpc_stop(struct ipc_rpc_server *s)
{
	if (s == NULL)
		return;
	/* Before the bell, which is heard before it is looked at. */
	atomic_store(&s->hub->stop, true);
	ipc__rpc_ring(s->hub);
}
