/* SPDX-License-Identifier: ISC */
/*
 * A relay between two channels.
 *
 * Bytes are read into one buffer that all relays share, and written from it;
 * only what the other side does not take is kept, in a buffer that lives as
 * long as that lasts, and nothing more is read before it has gone: so a slow
 * reader slows its writer down, and a thousand quiet clients cost nothing.
 * Messages are shown by the one channel (ipc_peek) and sent from there, and
 * taken out only once they are sent.
 */
#include <sys/epoll.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "relay.h"

#define TURNS	8	/* reads before the others have theirs */

static char shared[CHUNK];

/* `to' takes nothing any more.  Its answers may still come, and `from' must
 * not stand still before it has read them. */
static int
turn_deaf(struct flow *f)
{
	f->deaf = true;
	f->full = false;
	free(f->held);
	f->held = NULL;
	return 0;
}

/* Tells `to' that nothing more comes. */
static void
finish(struct flow *f)
{
	f->ending = !f->deaf && ipc_shutdown(f->to, IPC_SEND) == -EAGAIN;
	f->full = f->ending;
	f->done = !f->ending;
}

/* Bytes of the shared buffer that were not taken. */
static int
hold(struct flow *f, const char *data, size_t size)
{
	f->held = malloc(size);
	if (!f->held)
		return -ENOMEM;
	memcpy(f->held, data, size);
	f->begin = 0;
	f->end = size;
	f->full = true;
	return -EAGAIN;
}

static int
write_bytes(struct flow *f, const char *data, size_t size)
{
	while (size > 0 && !f->deaf) {
		ssize_t n = ipc_write(f->to, data, size, 0);

		if (n == -EAGAIN)
			return hold(f, data, size);
		if (n < 0)
			return turn_deaf(f);
		data += n;
		size -= (size_t)n;
		f->bytes += (size_t)n;
	}
	return 0;
}

/* What was held; -EAGAIN while some of it is. */
static int
write_held(struct flow *f)
{
	while (f->begin < f->end) {
		ssize_t n = ipc_write(f->to, f->held + f->begin,
		    f->end - f->begin, 0);

		if (n == -EAGAIN)
			return -EAGAIN;
		if (n < 0)
			return turn_deaf(f);
		f->begin += (size_t)n;
		f->bytes += (size_t)n;
	}
	free(f->held);
	f->held = NULL;
	f->full = false;
	return 0;
}

/* One read and what comes of it: 0 go on, -EAGAIN not now.  Any end of the
 * reading, clean or not, is an end for the other side. */
static int
move_bytes(struct flow *f)
{
	ssize_t n;
	int rc;

	if (f->held) {
		rc = write_held(f);
		if (rc < 0)
			return rc;
	}
	n = ipc_read(f->from, shared, sizeof shared, 0);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n <= 0) {
		finish(f);
		return -EAGAIN;
	}
	rc = write_bytes(f, shared, (size_t)n);
	if (rc < 0)
		return rc;
	/* The epoll set will tell if there is more: cheaper than asking. */
	return (size_t)n < sizeof shared ? -EAGAIN : 0;
}

static int
move_message(struct flow *f)
{
	const void *data;
	ssize_t n;
	int rc = 0;

	n = ipc_peek(f->from, &data, 0);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n < 0) {
		finish(f);
		return -EAGAIN;
	}
	if (!f->deaf)
		rc = ipc_send(f->to, data, (size_t)n, 0);
	f->full = rc == -EAGAIN;
	if (f->full)
		return -EAGAIN;
	if (rc < 0)
		turn_deaf(f);
	else
		f->bytes += (size_t)n;
	return ipc_release(f->from);
}

/* Moves what can be moved now; -ENOMEM and the like otherwise. */
static int
pump(struct flow *f, bool messages)
{
	int rc = 0;

	for (int turn = 0; turn < TURNS && rc == 0 && !f->done; turn++) {
		if (f->ending) {
			finish(f);
			break;
		}
		rc = messages ? move_message(f) : move_bytes(f);
	}
	return rc == -EAGAIN ? 0 : rc;
}

/* Puts a descriptor into the set, or out of it, or changes what it is watched
 * for.  One that nothing is wanted of must be out: its hang-up would wake the
 * loop for ever. */
static int
tell_epoll(struct relay *r, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int op;

	if (events == w->now)
		return 0;
	if (!events)
		op = EPOLL_CTL_DEL;
	else
		op = w->now ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (epoll_ctl(r->epoll, op, w->fd, &ev) < 0)
		return -errno;
	w->now = events;
	return 0;
}

/* Waits for what each side can do next: give something to a flow that has
 * room, take something from one that is full. */
static int
rearm(struct relay *r)
{
	for (int side = 0; side < 2; side++) {
		struct watch *recv = &r->watches[side][0];
		struct watch *send = &r->watches[side][1];
		struct flow *away = &r->flows[side];
		struct flow *here = &r->flows[!side];
		uint32_t in = away->done || away->full ? 0 : recv->events;
		uint32_t out = here->full && !here->done ? send->events : 0;
		int rc;

		if (recv->fd == send->fd)
			rc = tell_epoll(r, recv, in | out);
		else if ((rc = tell_epoll(r, recv, in)) == 0)
			rc = tell_epoll(r, send, out);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool
ended(const struct relay *r)
{
	const struct flow *a = &r->flows[0], *b = &r->flows[1];

	return (a->done && (b->done || b->deaf)) || (b->done && a->deaf) ||
	    (a->deaf && b->deaf);
}

bool
relay_event(struct watch *w)
{
	struct relay *r = w->relay;
	struct flow *away = &r->flows[w->side], *here = &r->flows[!w->side];
	int rc = 0;

	if (r->dead)
		return false;
	if (here->full)
		rc = pump(here, r->messages);
	if (rc == 0 && !away->full)
		rc = pump(away, r->messages);
	if (rc == 0 && !ended(r))
		rc = rearm(r);
	r->dead = rc < 0 || ended(r);
	return r->dead;
}

static int
watch(struct relay *r, int side, int direction)
{
	struct watch *w = &r->watches[side][direction == IPC_SEND];
	short events;

	w->relay = r;
	w->side = side;
	w->fd = ipc_fd(r->ends[side], direction, &events);
	if (w->fd < 0)
		return w->fd;
	w->events = (events & POLLIN ? EPOLLIN : 0) |
	    (events & POLLOUT ? EPOLLOUT : 0);
	return 0;
}

/* epoll goes by the open file, which a copy elsewhere would keep alive. */
static void
unwatch(struct relay *r)
{
	for (int i = 0; i < 4; i++) {
		struct watch *w = &r->watches[i / 2][i % 2];

		if (w->now)
			tell_epoll(r, w, 0);
	}
}

int
relay_new(struct relay **out, int epoll, struct ipc_channel *client,
    struct ipc_channel *server, bool messages)
{
	struct relay *r;
	int rc = 0;

	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->epoll = epoll;
	r->messages = messages;
	r->ends[0] = r->flows[0].from = r->flows[1].to = client;
	r->ends[1] = r->flows[1].from = r->flows[0].to = server;
	for (int i = 0; i < 4 && rc == 0; i++)
		rc = watch(r, i / 2, i % 2 ? IPC_SEND : IPC_RECV);
	if (rc == 0)
		rc = rearm(r);
	if (rc < 0) {
		unwatch(r);
		free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void
relay_free(struct relay *r)
{
	unwatch(r);
	for (int side = 0; side < 2; side++) {
		free(r->flows[side].held);
		ipc_close(r->ends[side]);
	}
	free(r);
}
