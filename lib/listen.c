/* SPDX-License-Identifier: ISC */
/*
 * The listener's side of a session.  A client that has connected and not yet
 * greeted waits in a list with a deadline of its own; an epoll set holds the
 * listening socket, these clients, and one timer, and is what ipc_listener_fd
 * shows.  So a silent or hostile client holds up nobody: it costs a place in
 * the list until its deadline, and the oldest place when the list is full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "listen.h"
#include "socket.h"

#define GREET_TIME	INT64_C(3000000000)	/* ns until it is dropped */
#define REST_TIME	INT64_C(100000000)	/* after EMFILE */
#define CLIENTS_MAX	1024			/* not yet greeted */
#define ACCEPT_BURST	64			/* taken in one look */
#define LOOK_ROUNDS	64			/* before the clock is read */

static int
listen_fd(const struct ipc_listener *l)
{
	return l->half ? l->half->fd : l->fd;
}

/*
 * Clients that are greeting
 */

static int
client_fd(const struct ipc__client *c)
{
	struct pollfd p[2];

	if (c->g.half == NULL)
		return c->g.fd;
	return ipc__be_watch(c->g.half, IPC_RECV, p) > 0 ? p[0].fd : -1;
}

static void
unlink_client(struct ipc_listener *l, struct ipc__client **at)
{
	struct ipc__client *c = *at;

	if (c->watched)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, client_fd(c), NULL);
	c->watched = false;
	*at = c->next;
	if (c->next == NULL)
		l->last = at;
	c->next = NULL;
	l->count--;
}

/* In a forked child the clients are still the parent's. */
static void
drop_first(struct ipc_listener *l)
{
	bool own = l->process == atomic_load(&ipc__process);
	struct ipc__client *c = l->clients;

	c->watched &= own;
	unlink_client(l, &l->clients);
	ipc__client_free(c, own);
}

/* All have the same time, so the first in the list is the first to go. */
static void
set_timer(struct ipc_listener *l)
{
	struct itimerspec it = { 0 };
	int64_t at = l->rest;

	if (l->clients != NULL && (at == 0 || l->clients->deadline < at))
		at = l->clients->deadline;
	it.it_value.tv_sec = at / 1000000000;
	it.it_value.tv_nsec = at % 1000000000;
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &it, NULL);
}

static void
watch_listening(struct ipc_listener *l, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLIN : 0,
	    .data = { .ptr = l } };

	epoll_ctl(l->epoll, EPOLL_CTL_MOD, listen_fd(l), &ev);
}

static void
expire(struct ipc_listener *l)
{
	int64_t now = ipc__now();
	uint64_t n;

	if (read(l->timer, &n, sizeof n) == -1)
		n = 0;		/* it did not ring; look all the same */
	while (l->clients != NULL && l->clients->deadline <= now)
		drop_first(l);
	if (l->rest != 0 && l->rest <= now) {
		l->rest = 0;
		watch_listening(l, true);
	}
	set_timer(l);
}

#define DROPPED	(-EBADMSG)	/* for a reason that lies with the client */

/* A step of one client: 1 and *out is the session; 0 it still waits (at at);
 * otherwise it is gone from the list and freed: DROPPED, or what this process
 * or machine lacks, which is worth telling. */
static int
step_at(struct ipc_channel **out, struct ipc_listener *l,
    struct ipc__client **at)
{
	struct ipc__client *c = *at;
	int rc;

	if ((rc = ipc__client_step(l, c)) == 0)
		return 0;
	unlink_client(l, at);
	if (rc != 1 && !c->blameless)
		rc = DROPPED;
	else if (rc == 1 && (rc = ipc__client_session(out, l, c)) == 0)
		rc = 1;
	ipc__client_free(c, true);
	return rc;
}

/*
 * Accepting
 */

static int
accept_raw(struct ipc_listener *l, struct ipc__client *c)
{
	int rc;

	if (l->half != NULL) {
		if ((c->g.half = ipc__half_new(l->half->be, IPC_DUPLEX)) ==
		    NULL)
			return -ENOMEM;
		rc = ipc__be_accept(c->g.half, l->half);
		if (rc < 0) {
			free(c->g.half);
			c->g.half = NULL;
		}
		return rc;
	}
	do
		c->g.fd = l->adopted ? ipc__socket_accept_shared(l->fd) :
		    accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	while (c->g.fd == -1 && (errno == EINTR || errno == ECONNABORTED));
	if (c->g.fd != -1)
		return 0;
	return errno == EAGAIN ? -EAGAIN : ipc__fail_sys("accept");
}

static int
watch_client(struct ipc_listener *l, struct ipc__client *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = c } };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, client_fd(c), &ev) == -1)
		return ipc__fail_sys("epoll_ctl");
	c->watched = true;
	return 0;
}

/* One new client: 1 and *out, 0 it waits in the list or was rubbish, -EAGAIN
 * nobody is there. */
static int
accept_one(struct ipc_channel **out, struct ipc_listener *l)
{
	struct ipc__client *c = calloc(1, sizeof *c), **at = l->last;
	int rc;

	if (c == NULL)
		return ipc__fail(ENOMEM, "no memory for a client");
	ipc__greeter_init(&c->g);
	if ((rc = accept_raw(l, c)) < 0) {
		free(c);
		return rc;
	}
	ipc__client_peer(c, l->address.be);
	c->deadline = ipc__now() + GREET_TIME;
	*at = c;
	l->last = &c->next;
	l->count++;
	/* Its greeting is mostly there already. */
	if ((rc = step_at(out, l, at)) != 0)
		return rc == DROPPED ? 0 : rc;
	if ((rc = watch_client(l, c)) < 0) {
		unlink_client(l, at);
		ipc__client_free(c, true);
		return rc;
	}
	if (l->count > CLIENTS_MAX)
		drop_first(l);
	set_timer(l);
	return 0;
}

/* No descriptor is free: tell it once and leave those who wait where they are
 * for a moment, or an event loop would spin. */
static int
rest(struct ipc_listener *l, int rc)
{
	struct ipc__error why;

	ipc__fail_at(l->address.text, rc);
	if (rc != -EMFILE && rc != -ENFILE && rc != -ENOBUFS && rc != -ENOMEM)
		return rc;
	ipc__error_keep(&why);
	l->rest = ipc__now() + REST_TIME;
	watch_listening(l, false);
	set_timer(l);
	ipc__error_restore(&why);
	return rc;
}

static int
accept_new(struct ipc_channel **out, struct ipc_listener *l)
{
	int i, rc = 0;

	for (i = 0; i < ACCEPT_BURST && l->rest == 0; i++) {
		if ((rc = accept_one(out, l)) == 1)
			return 1;
		if (rc == -EAGAIN)
			return 0;
		if (rc < 0)
			return rest(l, rc);
	}
	return 0;
}

static struct ipc__client **
find_client(struct ipc_listener *l, const struct ipc__client *c)
{
	struct ipc__client **at;

	for (at = &l->clients; *at != NULL; at = &(*at)->next)
		if (*at == c)
			return at;
	return NULL;
}

/* One event; 1 and *out where it completed a session. */
static int
handle(struct ipc_channel **out, struct ipc_listener *l, void *ptr)
{
	struct ipc__client **at;
	int rc;

	if (ptr == l)
		return accept_new(out, l);
	/* One before it in this batch may have removed it. */
	if ((at = find_client(l, ptr)) == NULL)
		return 0;
	rc = step_at(out, l, at);
	return rc == DROPPED ? 0 : ipc__fail_at(l->address.text, rc);
}

static int
look(struct ipc_channel **out, struct ipc_listener *l)
{
	struct epoll_event ev[16];
	int i, n, rc, rounds = 0;
	bool late = false;

	do {
		n = epoll_wait(l->epoll, ev, 16, 0);
		for (i = 0; i < n; i++)
			if (ev[i].data.ptr == &l->timer)
				late = true;
			else if ((rc = handle(out, l, ev[i].data.ptr)) != 0)
				return rc;
	} while (n == 16 && ++rounds < LOOK_ROUNDS);
	/* We may have been kept from looking ourselves: who has answered
	 * meanwhile is in time, and believes that it is connected. */
	if (late)
		expire(l);
	return -EAGAIN;
}

/*
 * The listener
 */

static int
add_event(struct ipc_listener *l, int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = ptr } };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
		return ipc__fail_sys("epoll_ctl");
	return 0;
}

int
ipc__listener_set(struct ipc_listener *l)
{
	int rc;

	if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		return ipc__fail_sys("epoll_create1");
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer == -1)
		return ipc__fail_sys("timerfd_create");
	if ((rc = add_event(l, listen_fd(l), l)) < 0 ||
	    (rc = add_event(l, l->timer, &l->timer)) < 0)
		return rc;
	l->last = &l->clients;
	l->process = atomic_load(&ipc__process);
	l->used = atomic_load(&ipc__forks);
	return 0;
}

/* In a forked worker: the clients that are greeting are the parent's. */
static int
enter(struct ipc_listener *l)
{
	l->used = atomic_load(&ipc__forks);
	if (l->process == atomic_load(&ipc__process))
		return 0;
	if (l->address.be->traits & IPC__INPROC)
		return ipc__fail(EOPNOTSUPP, "%s: does not reach into a forked "
		    "child", l->address.text);
	close(l->epoll);
	close(l->timer);
	l->epoll = l->timer = -1;
	while (l->clients != NULL)
		drop_first(l);
	l->rest = 0;
	return ipc__listener_set(l);
}

void
ipc__listener_free(struct ipc_listener *l, bool clean)
{
	while (l->clients != NULL)
		drop_first(l);
	if (l->epoll != -1)
		close(l->epoll);
	if (l->timer != -1)
		close(l->timer);
	if (l->half != NULL)
		ipc__half_free(l->half, clean);
	else if (l->fd != -1) {
		if (clean)
			ipc__unix_remove(&l->name);
		close(l->fd);
	}
	ipc__address_free(&l->address);
	free(l);
}

int
ipc__listener_new(struct ipc_listener **out, const char *address,
    enum ipc_way way, int flags)
{
	struct ipc_listener *l = calloc(1, sizeof *l);
	int rc;

	if (l == NULL)
		return ipc__fail(ENOMEM, "no memory for a listener");
	ipc__fork_watch();
	l->fd = l->epoll = l->timer = -1;
	l->last = &l->clients;
	l->process = l->maker = atomic_load(&ipc__process);
	if ((rc = ipc__address_parse(&l->address, address, way)) < 0) {
		free(l);
		return rc;
	}
	l->dir = flags & IPC_DUPLEX ? flags & IPC_DUPLEX : IPC_DUPLEX;
	l->boundary = l->address.opt.boundary ? l->address.opt.boundary :
	    IPC_MESSAGE;
	l->half_duplex = flags & IPC_HALF_DUPLEX || l->address.opt.half_duplex;
	*out = l;
	return 0;
}

int
ipc__listener_check(const struct ipc_listener *l)
{
	unsigned caps = l->address.be->mechanism.caps[IPC_WAY_SESSION];
	const char *scheme = l->address.be->mechanism.scheme;

	if (!(l->address.be->mechanism.ways & 1 << IPC_WAY_SESSION))
		return ipc__fail(EOPNOTSUPP, "%s: has no sessions", scheme);
	if (l->boundary == IPC_STREAM && !(caps & IPC_CAP_STREAM))
		return ipc__fail(EINVAL, "boundary=stream: %s carries messages "
		    "only, this way", scheme);
	if (l->half_duplex && (!(caps & IPC_CAP_HALF) ||
	    l->dir != IPC_DUPLEX || l->boundary == IPC_STREAM))
		return ipc__fail(EINVAL, "duplex=half: not with %s this way, "
		    "one direction or boundary=stream", scheme);
	return 0;
}

static int
start_listening(struct ipc_listener *l)
{
	char path[IPC__PATH_MAX];
	int rc;

	if ((rc = ipc__listener_check(l)) < 0)
		return rc;
	if (ipc__be_native(l->address.be)) {
		if ((l->half = ipc__half_new(l->address.be, IPC_DUPLEX)) ==
		    NULL)
			return -ENOMEM;
		if ((rc = ipc__be_listen(l->half, &l->address)) < 0) {
			free(l->half);
			l->half = NULL;
		}
		return rc;
	}
	if ((rc = ipc__meeting_path(&l->address, true, path,
	    sizeof path)) < 0)
		return rc;
	rc = ipc__unix_listen(&l->address, path, SOCK_SEQPACKET, &l->name);
	l->fd = rc < 0 ? -1 : rc;
	return rc < 0 ? rc : 0;
}

int
ipc_listen(struct ipc_listener **out, const char *address, int flags)
{
	struct ipc_listener *l;
	int rc;

	if (out == NULL || address == NULL ||
	    flags & ~(IPC_DUPLEX | IPC_HALF_DUPLEX))
		return ipc__fail(EINVAL, "ipc_listen: an address, and flags "
		    "out of directions and IPC_HALF_DUPLEX");
	if ((rc = ipc__listener_new(&l, address, IPC_WAY_SESSION, flags)) < 0)
		return ipc__fail_at(address, rc);
	if ((rc = start_listening(l)) == 0)
		rc = ipc__listener_set(l);
	if (rc < 0) {
		rc = ipc__fail_at(address, rc);
		ipc__listener_free(l, true);
		return rc;
	}
	*out = l;
	return 0;
}

int
ipc_accept(struct ipc_channel **ch, struct ipc_listener *l, int timeout)
{
	int64_t deadline = -2;
	bool last = false;	/* it is late: one more look */
	struct pollfd p;
	int rc;

	if (ch == NULL || l == NULL)
		return ipc__fail(EINVAL, "ipc_accept: a listener and a place "
		    "for the channel");
	if ((rc = enter(l)) < 0)
		return rc;
	while ((rc = look(ch, l)) == -EAGAIN) {
		if (timeout == 0)
			return ipc__plain(-EAGAIN);
		if (deadline == -2)
			deadline = ipc__deadline(timeout);
		p = (struct pollfd){ l->epoll, POLLIN, 0 };
		if ((rc = ipc__poll_until(&p, 1, deadline)) == 0)
			return ipc__plain(-ETIMEDOUT);
		if (rc < 0)
			return rc;
		/* Clients that come and are dropped are no reason to go on. */
		if (deadline >= 0 && ipc__now() >= deadline && !last)
			last = true;
		else if (last)
			return ipc__plain(-ETIMEDOUT);
	}
	return rc == 1 ? 0 : rc;
}

int
ipc_listener_fd(struct ipc_listener *l)
{
	int rc;

	if (l == NULL)
		return ipc__fail(EINVAL, "ipc_listener_fd: no listener");
	return (rc = enter(l)) < 0 ? rc : l->epoll;
}

/* After a fork others may be listening on copies: the name goes with the last
 * one, which only the kernel knows. */
static void
close_shared(struct ipc_listener *l)
{
	unsigned caps = l->address.be->mechanism.caps[IPC_WAY_SESSION];
	bool named = !l->adopted && !(caps & IPC_CAP_NETWORK) &&
	    !(l->address.be->traits & IPC__INPROC);
	char path[IPC__PATH_MAX];
	struct ipc__error saved;

	ipc__error_keep(&saved);
	if (named && ipc__meeting_path(&l->address, false, path,
	    sizeof path) < 0)
		named = false;
	ipc__listener_free(l, false);
	if (named)
		(void)ipc__unix_unlink(path);
	ipc__error_restore(&saved);
}

int
ipc_listener_close(struct ipc_listener *l)
{
	if (l == NULL)
		return 0;
	if (l->maker == atomic_load(&ipc__process) &&
	    l->used == atomic_load(&ipc__forks))
		ipc__listener_free(l, true);
	else
		close_shared(l);
	return 0;
}

int
ipc_listener_address(const struct ipc_listener *l, char *buffer, size_t size)
{
	size_t n;
	int rc;

	if (l == NULL || buffer == NULL)
		return ipc__fail(EINVAL, "ipc_listener_address: a listener and "
		    "a buffer");
	if (l->half != NULL && (rc = ipc__be_where(l->half, buffer, size)) !=
	    -EOPNOTSUPP)
		return rc;
	/* As it was given, without the options that are the listener's. */
	n = strcspn(l->address.text, "?");
	if (n >= size)
		return ipc__fail(ENAMETOOLONG, "%s: does not fit into %zu "
		    "bytes", l->address.text, size);
	memcpy(buffer, l->address.text, n);
	buffer[n] = 0;
	if (l->address.opt.at == NULL)
		return 0;
	rc = snprintf(buffer + n, size - n, "?at=%s", l->address.opt.at);
	return (size_t)rc < size - n ? 0 : ipc__fail(ENAMETOOLONG, "%s: does "
	    "not fit into %zu bytes", l->address.text, size);
}
