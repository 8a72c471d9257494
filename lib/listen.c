/* SPDX-License-Identifier: ISC */
/*
 * The listener's side of a session.  A client that has connected and not yet
 * greeted waits in a list with a deadline of its own; an epoll set holds the
 * listening socket, these clients, and one timer, and is what ipc_listener_fd
 * shows.  So a silent or hostile client holds up nobody: it costs a place in
 * the list until its deadline, and the oldest place when the list is full.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backends.h"
#include "greet.h"
#include "name.h"

#define GREET_TIME	INT64_C(3000000000)	/* ns until it is dropped */
#define REST_TIME	INT64_C(100000000)	/* after EMFILE */
#define CLIENTS_MAX	1024			/* not yet greeted */
#define ACCEPT_BURST	64			/* taken in one look */

struct client {
	struct client	*next;
	struct ipc__greeter g;
	int64_t		 deadline;
	struct ipc_peer	 peer;
	struct ipc__greeting agreed;
	struct ipc__address address;	/* of the mechanism that is offered */
	struct ipc__link link;
	const char *const *choice;	/* the next one to offer */
	bool		 offered;	/* waiting for IPC__TAKEN */
	bool		 watched;
};

struct ipc_listener {
	struct ipc__address address;
	struct ipc__half *half;		/* native, or NULL: */
	int		 fd;		/* the control socket that listens */
	struct ipc__socket_name name;
	int		 epoll, timer;
	int		 dir, boundary;
	bool		 half_duplex;
	struct client	*clients, **last;
	unsigned	 count;
	int64_t		 rest;		/* not accepting until then */
	unsigned	 process, used;
};

static int
listen_fd(const struct ipc_listener *l)
{
	return l->half ? l->half->fd : l->fd;
}

/*
 * Clients that are greeting
 */

static void
client_free(struct client *c)
{
	if (c->g.half != NULL)
		ipc__half_free(c->g.half, true);
	else if (c->g.fd != -1)
		close(c->g.fd);
	ipc__greeter_close_fds(&c->g);
	ipc__link_drop(&c->link);
	ipc__address_free(&c->address);
	free(c);
}

static int
client_fd(const struct client *c)
{
	struct pollfd p[2];

	if (c->g.half == NULL)
		return c->g.fd;
	return ipc__be_watch(c->g.half, IPC_RECV, p) > 0 ? p[0].fd : -1;
}

static void
unlink_client(struct ipc_listener *l, struct client **at)
{
	struct client *c = *at;

	if (c->watched)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, client_fd(c), NULL);
	c->watched = false;
	*at = c->next;
	if (c->next == NULL)
		l->last = at;
	c->next = NULL;
	l->count--;
}

static void
drop_first(struct ipc_listener *l)
{
	struct client *c = l->clients;

	unlink_client(l, &l->clients);
	client_free(c);
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

/*
 * What is agreed
 */

static int
mirror(int dir)
{
	return (dir & IPC_RECV ? IPC_SEND : 0) | (dir & IPC_SEND ? IPC_RECV : 0);
}

static bool
allowed(const struct ipc__allow *list, uint32_t id)
{
	unsigned i;

	for (i = 0; i < list->count; i++)
		if (list->id[i] == id)
			return true;
	return false;
}

static bool
welcome(const struct ipc_listener *l, const struct ipc_peer *peer)
{
	const struct ipc__options *o = &l->address.opt;

	if (o->allow_uid.count == 0 && o->allow_gid.count == 0)
		return true;
	return peer->struct_size != 0 && (allowed(&o->allow_uid, peer->uid) ||
	    allowed(&o->allow_gid, peer->gid));
}

/* 0, or the errno of a refusal. */
static int
agree(const struct ipc_listener *l, struct client *c,
    const struct ipc__greeting *hello)
{
	struct ipc__greeting *a = &c->agreed;

	if (hello->kind != IPC__HELLO || hello->max_message == 0 ||
	    strcmp(hello->scheme, l->address.be->mechanism.scheme) != 0)
		return EBADMSG;
	if (!welcome(l, &c->peer))
		return EACCES;
	if ((hello->boundary && hello->boundary != l->boundary) ||
	    (hello->dir && hello->dir != mirror(l->dir)) ||
	    (hello->half != 2 && hello->half != l->half_duplex))
		return EPROTO;
	a->kind = IPC__OFFER;
	a->boundary = l->boundary;
	a->dir = l->dir;
	a->half = l->half_duplex;
	a->max_message = (uint32_t)l->address.opt.max_message;
	if (hello->max_message < a->max_message)
		a->max_message = hello->max_message;
	a->capacity = hello->capacity;
	return 0;
}

static int
refuse(struct client *c, int err)
{
	struct ipc__greeting g = { .kind = IPC__REFUSE, .error = err };

	(void)ipc__greeter_say(&c->g, &g);
	return -err;
}

/*
 * The offer
 */

static int
offer_native(struct client *c, const struct ipc__address *a)
{
	strncpy(c->agreed.scheme, a->be->mechanism.scheme,
	    sizeof c->agreed.scheme - 1);
	return ipc__greeter_say(&c->g, &c->agreed);
}

/* The client has its halves now. */
static void
let_go(struct ipc__half **h)
{
	if (*h == NULL)
		return;
	ipc__be_given(*h);
	ipc__half_free(*h, false);
	*h = NULL;
}

static int
send_offer(struct client *c, const char *scheme)
{
	unsigned char p[IPC__OFFER_MAX];
	int fds[IPC__TICKETS], rc;
	size_t size = IPC__GREETING;
	unsigned count;

	c->agreed.scheme[0] = 0;
	strncpy(c->agreed.scheme, scheme, sizeof c->agreed.scheme - 1);
	if ((rc = ipc__tickets_give(&c->link, p, &size, fds, &count,
	    &c->agreed)) < 0)
		return rc;
	ipc__greeting_put(p, &c->agreed);
	if ((rc = ipc__greeter_put(&c->g, p, size, fds, count)) < 0)
		return rc;
	if (c->link.tx[1] == c->link.rx[1])
		c->link.tx[1] = NULL;
	let_go(&c->link.rx[1]);
	let_go(&c->link.tx[1]);
	return 0;
}

static int
offer_halves(const struct ipc_listener *l, struct client *c,
    const char *scheme)
{
	int rc;

	ipc__link_drop(&c->link);
	ipc__address_free(&c->address);
	rc = ipc__address_as(&c->address, &l->address, ipc__backend(scheme,
	    strlen(scheme)), IPC_WAY_SESSION);
	if (rc < 0)
		return rc;
	/* What it is made as has no name. */
	c->address.name[0] = 0;
	if (!(c->address.opt.set & UINT32_C(1) << IPC__KEY_CAPACITY))
		c->address.opt.capacity = c->agreed.capacity;
	rc = ipc__link_make(&c->link, &c->address, l->dir, false);
	return rc < 0 ? rc : send_offer(c, scheme);
}

/* Where the scheme leaves it open: the first that can be made. */
static int
offer_next(const struct ipc_listener *l, struct client *c)
{
	int rc = -EPROTONOSUPPORT;

	while (*c->choice != NULL) {
		rc = offer_halves(l, c, *c->choice++);
		if (rc == 0 || rc == -EPIPE || rc == -EAGAIN)
			break;
	}
	c->offered = rc == 0;
	return rc;
}

/* 1: it is a session; 0: it goes on; or why it is dropped. */
static int
greeted(const struct ipc_listener *l, struct client *c,
    const struct ipc__greeting *hello)
{
	int rc;

	if ((rc = agree(l, c, hello)) != 0)
		return refuse(c, rc);
	if (c->g.half != NULL)
		rc = offer_native(c, &l->address);
	else if ((c->choice = l->address.be->choices) != NULL)
		rc = offer_next(l, c);
	else
		rc = offer_halves(l, c, l->address.be->mechanism.scheme);
	if (rc < 0)
		return refuse(c, -rc);
	return c->offered ? 0 : 1;
}

static int
answered(const struct ipc_listener *l, struct client *c,
    const struct ipc__greeting *answer)
{
	int rc;

	if (answer->kind == IPC__TAKEN)
		return 1;
	if (answer->kind != IPC__NEXT)
		return -EBADMSG;
	rc = offer_next(l, c);
	return rc < 0 ? refuse(c, -rc) : 0;
}

static int
client_step(const struct ipc_listener *l, struct client *c)
{
	struct ipc__greeting g;
	int rc;

	/* Nothing but bytes: there is no greeting. */
	if (c->g.half != NULL && l->boundary == IPC_STREAM &&
	    c->g.half->be->traits & IPC__BYTES)
		return welcome(l, &c->peer) ? 1 : -EACCES;
	while ((rc = ipc__greeter_get(&c->g, &g)) == -EAGAIN)
		if (c->g.half == NULL ||
		    ipc__be_arm(c->g.half, IPC_RECV) == 0)
			return 0;
	if (rc < 0)
		return rc;
	return c->offered ? answered(l, c, &g) : greeted(l, c, &g);
}

/*
 * A client becomes a channel
 */

static int
session_halves(struct ipc_channel *ch, struct client *c)
{
	int rc;

	if (c->g.half != NULL) {
		c->link.rx[0] = ch->dir & IPC_RECV ? c->g.half : NULL;
		c->link.tx[0] = ch->dir & IPC_SEND ? c->g.half : NULL;
		if (!(ch->caps & IPC_CAP_RELIABLE))
			ipc__greeting_put(ch->offer, &c->agreed);
		c->g.half = NULL;
	} else if (ipc__wants_life(ch->be, ch->boundary)) {
		if ((rc = ipc__life_new(&c->link.life[0], c->g.fd)) < 0)
			return rc;
		c->g.fd = -1;
	}
	return 0;
}

static int
session(struct ipc_channel **out, const struct ipc_listener *l,
    struct client *c)
{
	const struct ipc__address *from = c->address.be ? &c->address :
	    &l->address;
	struct ipc__address a;
	struct ipc_channel *ch;
	int rc;

	if ((rc = ipc__address_as(&a, from, from->be, IPC_WAY_SESSION)) < 0)
		return rc;
	a.opt.boundary = l->boundary;
	if (c->agreed.max_message != 0)
		a.opt.max_message = c->agreed.max_message;
	if ((rc = ipc__channel_new(&ch, &a, IPC_WAY_SESSION, l->dir |
	    (l->half_duplex ? IPC_HALF_DUPLEX : 0), IPC_MESSAGE)) < 0) {
		ipc__address_free(&a);
		return rc;
	}
	if ((rc = session_halves(ch, c)) < 0) {
		ipc__channel_free(ch, false);
		return rc;
	}
	ch->peer = c->peer;
	ipc__attach_end(ch, &c->link, 0);
	*out = ch;
	return 0;
}

/* A step of one client: 1 and *out is the session; 0 it still waits (at at);
 * otherwise it is gone from the list and freed. */
static int
step_at(struct ipc_channel **out, struct ipc_listener *l, struct client **at)
{
	struct client *c = *at;
	int rc;

	if ((rc = client_step(l, c)) == 0)
		return 0;
	unlink_client(l, at);
	if (rc == 1 && (rc = session(out, l, c)) == 0)
		rc = 1;
	client_free(c);
	return rc;
}

/*
 * Accepting
 */

static void
know_peer(struct client *c, const struct ipc_backend *be)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (c->g.half != NULL) {
		c->peer.struct_size = sizeof c->peer;
		if (!(be->mechanism.caps[IPC_WAY_SESSION] & IPC_CAP_PEER) ||
		    ipc__be_peer(c->g.half, &c->peer) < 0)
			c->peer.struct_size = 0;
		return;
	}
	if (getsockopt(c->g.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		c->peer = (struct ipc_peer){ sizeof c->peer, cred.pid,
		    cred.uid, cred.gid };
}

static int
accept_raw(struct ipc_listener *l, struct client *c)
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
		c->g.fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	while (c->g.fd == -1 && (errno == EINTR || errno == ECONNABORTED));
	return c->g.fd == -1 ? -errno : 0;
}

static int
watch_client(struct ipc_listener *l, struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = c } };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, client_fd(c), &ev) == -1)
		return -errno;
	c->watched = true;
	return 0;
}

/* One new client: 1 and *out, 0 it waits in the list or was rubbish, -EAGAIN
 * nobody is there. */
static int
accept_one(struct ipc_channel **out, struct ipc_listener *l)
{
	struct client *c = calloc(1, sizeof *c), **at = l->last;
	int rc;

	if (c == NULL)
		return ipc__fail(ENOMEM, "no memory for a client");
	ipc__greeter_init(&c->g);
	if ((rc = accept_raw(l, c)) < 0) {
		free(c);
		return rc;
	}
	know_peer(c, l->address.be);
	c->deadline = ipc__now() + GREET_TIME;
	*at = c;
	l->last = &c->next;
	l->count++;
	/* Its greeting is mostly there already. */
	if ((rc = step_at(out, l, at)) != 0)
		return rc == 1 ? 1 : 0;
	if ((rc = watch_client(l, c)) < 0) {
		unlink_client(l, at);
		client_free(c);
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
	if (rc != -EMFILE && rc != -ENFILE && rc != -ENOBUFS && rc != -ENOMEM)
		return ipc__fail_at(l->address.text, rc);
	l->rest = ipc__now() + REST_TIME;
	watch_listening(l, false);
	set_timer(l);
	return ipc__fail(-rc, "%s: accept: %s (RLIMIT_NOFILE)",
	    l->address.text, ipc_strerror(rc));
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

static struct client **
find_client(struct ipc_listener *l, const struct client *c)
{
	struct client **at;

	for (at = &l->clients; *at != NULL; at = &(*at)->next)
		if (*at == c)
			return at;
	return NULL;
}

/* One event; 1 and *out where it completed a session. */
static int
handle(struct ipc_channel **out, struct ipc_listener *l, void *ptr)
{
	struct client **at;
	int rc;

	if (ptr == l)
		return accept_new(out, l);
	if (ptr == &l->timer) {
		expire(l);
		return 0;
	}
	/* One before it in this batch may have removed it. */
	if ((at = find_client(l, ptr)) == NULL)
		return 0;
	rc = step_at(out, l, at);
	return rc == 1 ? 1 : 0;
}

static int
look(struct ipc_channel **out, struct ipc_listener *l)
{
	struct epoll_event ev[16];
	int i, n, rc;

	do {
		n = epoll_wait(l->epoll, ev, 16, 0);
		for (i = 0; i < n; i++)
			if ((rc = handle(out, l, ev[i].data.ptr)) != 0)
				return rc;
	} while (n == 16);
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

static int
make_set(struct ipc_listener *l)
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
	while (l->clients != NULL) {
		l->clients->watched = false;
		drop_first(l);
	}
	l->rest = 0;
	return make_set(l);
}

static void
listener_free(struct ipc_listener *l, bool clean)
{
	bool own = l->process == atomic_load(&ipc__process);

	while (l->clients != NULL) {
		l->clients->watched &= own;
		drop_first(l);
	}
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

static int
new_listener(struct ipc_listener **out, const char *address, int flags)
{
	struct ipc_listener *l = calloc(1, sizeof *l);
	int rc;

	if (l == NULL)
		return ipc__fail(ENOMEM, "no memory for a listener");
	ipc__fork_watch();
	l->fd = l->epoll = l->timer = -1;
	l->last = &l->clients;
	l->process = atomic_load(&ipc__process);
	if ((rc = ipc__address_parse(&l->address, address,
	    IPC_WAY_SESSION)) < 0) {
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

static int
check_listener(const struct ipc_listener *l)
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

	if ((rc = check_listener(l)) < 0)
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
		return ipc__fail(EINVAL, "ipc_listen: an address, and flags out "
		    "of directions and IPC_HALF_DUPLEX");
	if ((rc = new_listener(&l, address, flags)) < 0)
		return ipc__fail_at(address, rc);
	if ((rc = start_listening(l)) == 0)
		rc = make_set(l);
	if (rc < 0) {
		rc = ipc__fail_at(address, rc);
		listener_free(l, true);
		return rc;
	}
	*out = l;
	return 0;
}

int
ipc_accept(struct ipc_channel **ch, struct ipc_listener *l, int timeout)
{
	int64_t deadline = -2;
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

int
ipc_listener_close(struct ipc_listener *l)
{
	if (l != NULL)
		listener_free(l, l->process == atomic_load(&ipc__process) &&
		    l->used == atomic_load(&ipc__forks));
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
		return ipc__fail(ENAMETOOLONG, "%s: does not fit into %zu bytes",
		    l->address.text, size);
	memcpy(buffer, l->address.text, n);
	buffer[n] = 0;
	if (l->address.opt.at == NULL)
		return 0;
	rc = snprintf(buffer + n, size - n, "?at=%s", l->address.opt.at);
	return (size_t)rc < size - n ? 0 : ipc__fail(ENAMETOOLONG, "%s: does "
	    "not fit into %zu bytes", l->address.text, size);
}

/*
 * Sockets that another process made listen
 */

static int
adopt_control(struct ipc_listener *l, int fd)
{
	int type = 0, listening = 0, domain = 0;
	socklen_t len = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == -1)
		return ipc__fail_sys("getsockopt");
	if (domain != AF_UNIX || type != SOCK_SEQPACKET || !listening)
		return ipc__fail(EINVAL, "descriptor %d is no listening "
		    "SOCK_SEQPACKET socket, which %s: meets at", fd,
		    l->address.be->mechanism.scheme);
	l->fd = fd;
	return 0;
}

static int
adopt_fd(struct ipc_listener *l, int fd)
{
	int rc;

	if (!ipc__be_native(l->address.be))
		return adopt_control(l, fd);
	if ((l->half = ipc__half_new(l->address.be, IPC_DUPLEX)) == NULL)
		return -ENOMEM;
	if ((rc = ipc__be_adopt(l->half, fd, true)) < 0) {
		free(l->half);
		l->half = NULL;
	}
	return rc;
}

/* LISTEN_FDS: the first that fits and that nobody here has taken. */
static int
adopt_passed(struct ipc_listener *l)
{
	static _Atomic uint64_t taken;
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int i, count, rc;

	if (pid == NULL || n == NULL || atoi(pid) != getpid())
		return ipc__fail(ENOENT, "no listening socket was passed "
		    "(LISTEN_PID, LISTEN_FDS)");
	count = atoi(n) < 64 ? atoi(n) : 64;
	for (i = 0; i < count; i++) {
		if (atomic_load(&taken) & UINT64_C(1) << i)
			continue;
		if ((rc = adopt_fd(l, 3 + i)) == 0) {
			atomic_fetch_or(&taken, UINT64_C(1) << i);
			return 0;
		}
	}
	return ipc__fail(ENOENT, "none of the %d listening sockets that were "
	    "passed fits", count);
}

int
ipc_adopt_listener(struct ipc_listener **out, const char *scheme, int fd,
    int flags)
{
	struct ipc_listener *l;
	char *text;
	int rc;

	if (out == NULL || scheme == NULL || fd < -1 ||
	    flags & ~(IPC_DUPLEX | IPC_HALF_DUPLEX))
		return ipc__fail(EINVAL, "ipc_adopt_listener: a scheme and a "
		    "descriptor");
	if ((text = ipc__scheme_address(scheme)) == NULL)
		return ipc__fail(ENOMEM, "no memory for an address");
	rc = new_listener(&l, text, flags);
	free(text);
	if (rc < 0)
		return ipc__fail_at(scheme, rc);
	if ((rc = check_listener(l)) == 0)
		rc = fd == -1 ? adopt_passed(l) : adopt_fd(l, fd);
	if (rc == 0 && (rc = make_set(l)) < 0) {
		/* It stays the caller's. */
		l->fd = -1;
		if (l->half != NULL)
			l->half->fd = -1;
	}
	if (rc < 0) {
		rc = ipc__fail_at(scheme, rc);
		listener_free(l, false);
		return rc;
	}
	*out = l;
	return 0;
}

int
ipc_unlink(const char *address)
{
	char path[IPC__PATH_MAX];
	struct ipc__address a;
	int rc;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_unlink: no address");
	if ((rc = ipc__address_parse(&a, address, IPC_WAY_OPEN)) == -EINVAL ||
	    rc == -EOPNOTSUPP)
		rc = ipc__address_parse(&a, address, IPC_WAY_SESSION);
	if (rc < 0)
		return ipc__fail_at(address, rc);
	rc = a.be->unlink == NULL ? -EOPNOTSUPP : ipc__be_unlink(&a);
	/* No such object: a meeting point. */
	if ((rc == -EOPNOTSUPP || rc == -EPROTOTYPE || rc == -ENOENT) &&
	    (rc = ipc__meeting_path(&a, false, path, sizeof path)) == 0)
		rc = ipc__unix_unlink(path);
	ipc__address_free(&a);
	return rc < 0 ? ipc__fail_at(address, rc) : 0;
}
