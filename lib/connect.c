/* SPDX-License-Identifier: ISC */
/*
 * The client's side of a session.  Connecting is a small machine that every
 * call on the channel brings forward and that ipc_fd shows: first the socket
 * connects, then the greeting goes out, then the offer comes in.  ipc_connect
 * without IPC_ASYNC only waits for it.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends.h"
#include "greet.h"
#include "make.h"
#include "name.h"

/* UDP loses greetings: said again at this interval (ms). */
#define SAY_AGAIN	100
#define STRAYS		64	/* datagrams that one look passes over */

enum step { SAYING, CONNECTING, LISTENING };

struct ipc__greet {
	struct ipc__greeter g;
	enum step	    step;
	int		    timer;	/* -1: this mechanism loses nothing */
	int		    failed;
	struct ipc__greeting hello;
};

void
ipc__greet_free(struct ipc__greet *c)
{
	if (c == NULL)
		return;
	ipc__greeter_close_fds(&c->g);
	ipc__half_free(c->g.half, true);
	if (c->g.fd != -1)
		close(c->g.fd);
	if (c->timer != -1)
		close(c->timer);
	free(c);
}

int
ipc__greet_sources(struct ipc_channel *ch, struct pollfd *fds)
{
	struct ipc__greet *c = ch->greet;
	int n = 0;

	if (c->failed)
		return 0;
	if (c->g.half == NULL)
		fds[n++] = (struct pollfd){ c->g.fd, c->step == LISTENING ?
		    POLLIN : POLLOUT, 0 };
	else if (c->step == CONNECTING)
		fds[n++] = (struct pollfd){ c->g.half->fd, POLLOUT, 0 };
	else
		n = ipc__be_watch(c->g.half, c->step == LISTENING ?
		    IPC_RECV : IPC_SEND, fds);
	if (n >= 0 && c->timer != -1)
		fds[n++] = (struct pollfd){ c->timer, POLLIN, 0 };
	return n;
}

bool
ipc__greet_failed(const struct ipc_channel *ch)
{
	const struct ipc__greet *c = ch->greet;

	return c != NULL && c->failed != 0;
}

/* The other thread sleeps on what may be closed by now. */
static void
tell_others(struct ipc_channel *ch)
{
	if (atomic_load(&ch->greeters) == 0)
		return;
	ipc__kick(ch, IPC_RECV);
	ipc__kick(ch, IPC_SEND);
}

/*
 * The socket
 */

/* Why the name can not be connected to, where the kernel's word says little. */
static int
explain(const char *path, int err, const char *scheme)
{
	struct stat st;

	if (path[0] != '@' && (err == ECONNREFUSED || err == EPROTOTYPE ||
	    err == ENOTSOCK) && lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return ipc__fail(EPROTOTYPE, "%s is no meeting point: "
			    "ipc_open opens a named object", path);
		if (err == EPROTOTYPE)
			return ipc__fail(EPROTOTYPE, "%s is a socket of "
			    "another kind: the meeting point of another "
			    "mechanism than %s:, or a name for ipc_open",
			    path, scheme);
	}
	if (err == EAGAIN)
		return ipc__fail(EAGAIN, "connect %s: the listener's backlog "
		    "is full", path);
	return ipc__fail(err, "connect %s: %s", path, ipc_strerror(-err));
}

/* A full backlog gives no sign when there is room: the kernel's own wait. */
static int
connect_within(int fd, const struct sockaddr_un *sun, socklen_t len,
    int timeout)
{
	int64_t deadline = ipc__deadline(timeout), left = 0;
	struct timeval tv;
	int rc;

	do {
		if (timeout > 0) {
			left = (deadline - ipc__now()) / 1000;
			if (left < 1)
				return ETIMEDOUT;
		}
		tv = (struct timeval){ left / 1000000, left % 1000000 };
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
		rc = connect(fd, (const struct sockaddr *)sun, len);
	} while (rc == -1 && errno == EINTR);
	if (rc == -1)
		return errno == EAGAIN && timeout != 0 ? ETIMEDOUT : errno;
	return 0;
}

static int
control_connect(const char *path, int timeout, const char *scheme)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd, err;

	if (n >= sizeof sun.sun_path)
		return ipc__fail(ENAMETOOLONG, "%s: %zu bytes exceed the %zu "
		    "of a socket's name", path, n, sizeof sun.sun_path - 1);
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
	    (timeout == 0 ? SOCK_NONBLOCK : 0), 0);
	if (fd == -1)
		return ipc__fail_sys("socket");
	err = connect_within(fd, &sun, (socklen_t)(offsetof(struct sockaddr_un,
	    sun_path) + n + (path[0] != '@')), timeout);
	if (err == 0)
		return fd;
	close(fd);
	return err == ETIMEDOUT ? ipc__plain(-err) : explain(path, err, scheme);
}

/*
 * The machine
 */

static int
failed(struct ipc_channel *ch, int rc)
{
	if (rc == -EAGAIN)
		return rc;
	if (rc == -EPIPE || rc == -ECONNRESET)
		rc = ipc__fail(ECONNREFUSED, "the listener hung up before it "
		    "answered");
	else if (rc == -EBADMSG)
		rc = ipc__fail(EPROTO, "what answers there does not speak this "
		    "library's protocol");
	ch->greet->failed = ipc__fail_at(ch->address.text, rc);
	ipc__ready_update(ch, IPC_RECV, true);
	ipc__ready_update(ch, IPC_SEND, true);
	tell_others(ch);
	return ch->greet->failed;
}

static void
peer_of(struct ipc_channel *ch, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (fd == -1 || !(ch->caps & IPC_CAP_PEER) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return;
	ch->peer = (struct ipc_peer){ sizeof ch->peer, cred.pid, cred.uid,
	    cred.gid };
}

static void
finish(struct ipc_channel *ch, struct ipc__link *l)
{
	struct ipc__greet *c = ch->greet;

	ipc__attach_end(ch, l, 1);
	atomic_store(&ch->turn, ch->half_duplex);
	/* Pairs with ipc__enter: who sees this sees the halves.  Before the
	 * look at who sleeps; pairs with wait_greeting. */
	atomic_store(&ch->greet, NULL);
	c->g.half = NULL;
	ipc__greet_free(c);
	ipc__ready_update(ch, IPC_RECV, true);
	ipc__ready_update(ch, IPC_SEND, true);
	tell_others(ch);
}

/* A native half, with what was agreed. */
static void
finish_native(struct ipc_channel *ch)
{
	struct ipc__half *h = ch->greet->g.half;
	struct ipc__link l = { 0 };

	if (ch->dir & IPC_RECV)
		l.rx[1] = h;
	if (ch->dir & IPC_SEND)
		l.tx[1] = h;
	finish(ch, &l);
}

static int
refused(const struct ipc__greeting *offer)
{
	switch (offer->error) {
	case EACCES:
		return ipc__fail(EACCES, "the listener does not allow this "
		    "user");
	case EPROTO:
		return ipc__fail(EPROTO, "the listener has another boundary, "
		    "direction or duplex");
	case EMFILE:
	case ENOSPC:
	case ENOMEM:
		return ipc__fail(ECONNREFUSED, "the listener could not make "
		    "the session: %s", ipc_strerror(-offer->error));
	}
	return ipc__fail(ECONNREFUSED, "the listener refused (%s)",
	    ipc_strerror(-offer->error));
}

/* What the listener decided, within what was asked for. */
static int
agree(struct ipc_channel *ch, const struct ipc__greeting *offer)
{
	struct ipc__greet *c = ch->greet;
	const struct ipc__greeting *hello = &c->hello;
	int dir = offer->dir;

	if (offer->kind == IPC__REFUSE)
		return refused(offer);
	if (offer->kind != IPC__OFFER || offer->max_message == 0 ||
	    offer->max_message > hello->max_message || dir == 0 ||
	    offer->boundary == 0 || offer->half > 1 ||
	    (hello->boundary && hello->boundary != offer->boundary) ||
	    (hello->half != 2 && hello->half != offer->half))
		return -EBADMSG;
	dir = (dir & IPC_RECV ? IPC_SEND : 0) | (dir & IPC_SEND ? IPC_RECV : 0);
	if (hello->dir && hello->dir != dir)
		return -EBADMSG;
	ch->dir = dir;
	ch->boundary = offer->boundary;
	ch->half_duplex = offer->half;
	ch->address.opt.max_message = offer->max_message;
	return 0;
}

/* The mechanism that the listener chose for a scheme that leaves it open. */
static int
chosen(struct ipc_channel *ch, const struct ipc__greeting *offer)
{
	const struct ipc_backend *be = ipc__backend(offer->scheme,
	    strlen(offer->scheme));
	const char *const *name = ch->be->choices;

	if (be == NULL)
		return -EPROTONOSUPPORT;
	if (name == NULL)
		return be == ch->be ? 0 : -EBADMSG;
	for (; *name != NULL; name++)
		if (strcmp(*name, offer->scheme) == 0)
			return 0;
	return -EBADMSG;
}

static int
say_taken(struct ipc__greet *c, bool taken)
{
	struct ipc__greeting g = { .kind = taken ? IPC__TAKEN : IPC__NEXT };

	return ipc__greeter_say(&c->g, &g);
}

static int
take_offer(struct ipc_channel *ch, const struct ipc__greeting *offer)
{
	const struct ipc_backend *be = ipc__backend(offer->scheme,
	    strlen(offer->scheme));
	bool choice = ch->be->choices != NULL;
	struct ipc__greet *c = ch->greet;
	struct ipc__link l;
	int rc;

	if (be == NULL)
		return -EBADMSG;
	if ((rc = ipc__tickets_take(&l, be, ch->dir, &c->g, offer)) < 0)
		return choice && say_taken(c, false) == 0 ? -EAGAIN : rc;
	if ((choice || be->traits & IPC__CONFIRM) &&
	    (rc = say_taken(c, true)) < 0) {
		ipc__link_drop(&l, true);
		return rc;
	}
	ch->be = be;
	ch->caps = be->mechanism.caps[IPC_WAY_SESSION];
	peer_of(ch, c->g.fd);
	if (ipc__wants_life(be, ch->boundary)) {
		if ((rc = ipc__life_new(&l.life[1], c->g.fd)) < 0) {
			ipc__link_drop(&l, true);
			return rc;
		}
		c->g.fd = -1;
	}
	finish(ch, &l);
	return 0;
}

static int
listen_for_offer(struct ipc_channel *ch)
{
	struct ipc__greet *c = ch->greet;
	struct ipc__greeting offer;
	int rc, stray = 0;

	/* Where datagrams overtake each other or are lost, a message may come
	 * before the answer: it is lost, and no reason to give up. */
	do
		rc = ipc__greeter_get(&c->g, &offer);
	while (rc == -EBADMSG && !(ch->caps & IPC_CAP_RELIABLE) &&
	    stray++ < STRAYS);
	if (stray > STRAYS)
		rc = -EAGAIN;
	if (rc < 0)
		return rc;
	if ((rc = agree(ch, &offer)) < 0)
		return rc;
	if (c->g.half != NULL) {
		finish_native(ch);
		return 0;
	}
	if ((rc = chosen(ch, &offer)) < 0)
		return rc;
	return take_offer(ch, &offer);
}

/* Whoever waits next is to be rung, where that must be asked for. */
static int
listen_armed(struct ipc_channel *ch)
{
	struct ipc__half *h = ch->greet->g.half;
	int rc, armed = 0, i = 0;

	do
		rc = listen_for_offer(ch);
	while (rc == -EAGAIN && h != NULL &&
	    (armed = ipc__be_arm(h, IPC_RECV)) > 0 && i++ < 16);
	return armed < 0 ? armed : rc;
}

static int
step_connecting(struct ipc_channel *ch)
{
	struct ipc__greet *c = ch->greet;
	struct pollfd p = { c->g.half->fd, POLLOUT, 0 };
	int rc;

	if (poll(&p, 1, 0) == 0)
		return -EAGAIN;
	rc = ipc__be_connected(c->g.half);
	if (rc == -EINPROGRESS)
		return -EAGAIN;
	if (rc < 0)
		return rc;
	c->step = SAYING;
	return 0;
}

/* UDP: the timer rang, so the greeting may have been lost. */
static void
say_again(struct ipc__greet *c)
{
	uint64_t n;

	if (c->timer != -1 && c->step == LISTENING &&
	    read(c->timer, &n, sizeof n) == sizeof n)
		c->step = SAYING;
}

int
ipc__greet_step(struct ipc_channel *ch)
{
	struct ipc__greet *c = ch->greet;
	int rc = 0;

	if (c->failed)
		return c->failed;
	if (c->step == CONNECTING && (rc = step_connecting(ch)) < 0)
		return failed(ch, rc);
	/* A byte stream of nothing but bytes begins at once. */
	if (c->g.half != NULL && ch->boundary == IPC_STREAM &&
	    c->g.half->be->traits & IPC__BYTES) {
		finish_native(ch);
		return 0;
	}
	say_again(c);
	if (c->step == SAYING) {
		if ((rc = ipc__greeter_say(&c->g, &c->hello)) < 0)
			return failed(ch, rc);
		c->step = LISTENING;
	}
	if ((rc = listen_armed(ch)) < 0)
		return failed(ch, rc);
	return 0;
}

/*
 * ipc_connect
 */

static void
make_hello(struct ipc_channel *ch, int flags)
{
	struct ipc__greet *c = ch->greet;
	struct ipc__greeting *h = &c->hello;
	const struct ipc__options *o = &ch->address.opt;

	h->kind = IPC__HELLO;
	h->boundary = o->boundary;
	h->dir = flags & IPC_DUPLEX;
	h->half = ch->half_duplex ? 1 : h->dir == IPC_DUPLEX ||
	    o->set & UINT32_C(1) << IPC__KEY_DUPLEX ? 0 : 2;
	h->max_message = (uint32_t)o->max_message;
	h->capacity = o->capacity;
	strncpy(h->scheme, ch->be->mechanism.scheme, sizeof h->scheme - 1);
}

static int
start_timer(struct ipc__greet *c)
{
	struct itimerspec it = {
		.it_interval = { 0, SAY_AGAIN * 1000000 },
		.it_value = { 0, SAY_AGAIN * 1000000 }
	};

	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->timer == -1)
		return ipc__fail_sys("timerfd_create");
	timerfd_settime(c->timer, 0, &it, NULL);
	return 0;
}

static int
start_native(struct ipc_channel *ch, int timeout)
{
	struct ipc__greet *c = ch->greet;
	int rc;

	if ((c->g.half = ipc__half_new(ch->be, IPC_DUPLEX)) == NULL)
		return -ENOMEM;
	rc = ipc__be_connect(c->g.half, &ch->address, timeout);
	c->step = rc == -EINPROGRESS ? CONNECTING : SAYING;
	if (rc == -EINPROGRESS)
		rc = 0;
	if (rc == 0 && !(ch->caps & IPC_CAP_RELIABLE))
		rc = start_timer(c);
	return rc;
}

static int
start_control(struct ipc_channel *ch, int timeout)
{
	char path[IPC__PATH_MAX];
	int rc;

	rc = ipc__meeting_path(&ch->address, false, path, sizeof path);
	if (rc == 0)
		rc = control_connect(path, timeout, ch->be->mechanism.scheme);
	if (rc < 0)
		return ipc__not_met(&ch->address, rc);
	ch->greet->g.fd = rc;	/* and its step is SAYING */
	return 0;
}

static int
start(struct ipc_channel *ch, int flags, int timeout)
{
	struct ipc__greet *c = calloc(1, sizeof *c);

	if (c == NULL)
		return ipc__fail(ENOMEM, "no memory for a connection");
	ipc__greeter_init(&c->g);
	c->timer = -1;
	atomic_store(&ch->greet, c);
	make_hello(ch, flags);
	return ipc__be_native(ch->be) ? start_native(ch, timeout) :
	    start_control(ch, timeout);
}

static int
complete(struct ipc_channel *ch, int timeout, int64_t deadline)
{
	int rc;

	while ((rc = ipc__greet_step(ch)) == -EAGAIN) {
		if (timeout == 0)
			return ipc__plain(rc);
		if ((rc = ipc__wait(ch, IPC_RECV, deadline)) < 0)
			return rc == -ETIMEDOUT ? ipc__fail(ETIMEDOUT,
			    "the listener did not answer in time") : rc;
	}
	return rc;
}

static int
new_client(struct ipc_channel **ch, const char *address, int flags)
{
	struct ipc__address a;
	int rc;

	if ((rc = ipc__address_parse(&a, address, IPC_WAY_SESSION)) < 0)
		return rc;
	if (!(a.be->mechanism.ways & 1 << IPC_WAY_SESSION))
		rc = ipc__fail(EOPNOTSUPP, "%s: has no sessions",
		    a.be->mechanism.scheme);
	else
		rc = ipc__channel_new(ch, &a, IPC_WAY_SESSION, flags,
		    IPC_MESSAGE);
	if (rc < 0)
		ipc__address_free(&a);
	return rc;
}

int
ipc_connect(struct ipc_channel **out, const char *address, int flags,
    int timeout)
{
	struct ipc_channel *ch;
	int64_t deadline;
	int rc;

	if (out == NULL || address == NULL || flags & ~(IPC_DUPLEX |
	    IPC_HALF_DUPLEX | IPC_ASYNC))
		return ipc__fail(EINVAL, "ipc_connect: an address, and flags "
		    "out of directions, IPC_HALF_DUPLEX and IPC_ASYNC");
	if ((rc = new_client(&ch, address, flags)) < 0)
		return ipc__fail_at(address, rc);
	/* It never waits, not even for room in a backlog. */
	if (flags & IPC_ASYNC)
		timeout = 0;
	deadline = ipc__deadline(timeout);
	rc = start(ch, flags, timeout);
	/* A host's name was resolved, which is not the caller's time. */
	if (ch->caps & IPC_CAP_NETWORK)
		deadline = ipc__deadline(timeout);
	if (rc == 0 && !(flags & IPC_ASYNC))
		rc = complete(ch, timeout, deadline);
	else if (rc == 0 && (rc = ipc__greet_step(ch)) == -EAGAIN)
		rc = 0;
	if (rc < 0) {
		rc = ipc__fail_at(address, rc);
		ipc__channel_free(ch, false);
		return rc;
	}
	*out = ch;
	return 0;
}

/* UDP: the listener's answer to a hello was lost. */
int
ipc__greet_again(struct ipc_channel *ch, const unsigned char *p)
{
	struct ipc__greeter g;
	struct ipc__greeting what;

	if (!ipc__greeting_get(p, &what) || what.kind != IPC__HELLO ||
	    ch->offer == NULL || ch->in.half == NULL)
		return 0;
	ipc__greeter_init(&g);
	g.half = ch->in.half;
	(void)ipc__greeter_put(&g, ch->offer, IPC__GREETING, NULL, 0);
	return 0;
}
