/* SPDX-License-Identifier: ISC */
/*
 * A client, as its server sees it: its channel, who reads it, and its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "rpc_server.h"

#define GREEDY_EVERY	16	/* tries whether more than one has come */

/*
 * Making
 */

/* Clients of this user. */
static size_t
count_user(const struct ipc_rpc_server *s, uid_t uid)
{
	const struct ipc__rpc_session *x;
	size_t n = 0;

	for (x = s->sessions; x != NULL; x = x->next)
		n += x->peer.struct_size != 0 && x->peer.uid == uid;
	return n;
}

static int
too_many(struct ipc__rpc_session *x)
{
	const struct ipc_rpc_server *s = x->server;
	struct ipc__rpc_msg m = { .head = { .type = IPC__RPC_BYE,
	    .aux = ipc__rpc_code_put(EUSERS) } };
	char text[128];
	size_t limit = s->limits[IPC_RPC_CLIENTS];

	if (x->peer.struct_size != 0 && count_user(s, x->peer.uid) >= limit)
		snprintf(text, sizeof text, "user %u has %zu clients here, and "
		    "may have no more", (unsigned)x->peer.uid, limit);
	else if (s->clients >= s->limits[IPC_RPC_CLIENTS_TOTAL])
		snprintf(text, sizeof text, "this server has %zu clients, and "
		    "takes no more", s->clients);
	else
		return 0;
	m.body = text;
	m.size = strlen(text);
	(void)ipc__rpc_send(&x->out, &m);
	return ipc__fail(EUSERS, "%s", text);
}

void
ipc__rpc_init_locks(struct ipc__rpc_session *x)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&x->room, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static struct ipc__rpc_session *
session_alloc(struct ipc_rpc_server *s, struct ipc_channel *ch)
{
	struct ipc__rpc_session *x = calloc(1, sizeof *x);

	if (x == NULL) {
		ipc__fail(ENOMEM, "no memory for a client");
		return NULL;
	}
	ipc__rpc_init_locks(x);
	x->hub = s->hub;
	x->server = s;
	atomic_fetch_add_explicit(&x->hub->refs, 1, memory_order_relaxed);
	atomic_init(&x->refs, 1);
	x->ch = ch;
	x->read = (struct ipc__rpc_source){ IPC__RPC_READ, x };
	x->write = (struct ipc__rpc_source){ IPC__RPC_WRITE, x };
	x->read_fd = x->write_fd = -1;
	x->reading = IPC__RPC_PAUSED;
	x->queue_limit = s->limits[IPC_RPC_QUEUE];
	x->peer.struct_size = sizeof x->peer;
	if (ipc_peer(ch, &x->peer) < 0)
		x->peer.struct_size = 0;
	return x;
}

void
ipc__rpc_session_unref(struct ipc__rpc_session *x)
{
	/* Release what was done with it to whoever frees it: acquire. */
	if (atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) > 1)
		return;
	ipc__rpc_out_free(&x->out);
	if (x->ch != NULL)
		ipc_close(x->ch);
	free(x->table);
	pthread_cond_destroy(&x->room);
	pthread_mutex_destroy(&x->lock);
	ipc__rpc_hub_unref(x->hub);
	free(x);
}

static void
link_session(struct ipc__rpc_session *x)
{
	struct ipc_rpc_server *s = x->server;

	x->next = s->sessions;
	if (x->next != NULL)
		x->next->at = &x->next;
	x->at = &s->sessions;
	s->sessions = x;
	s->clients++;
}

/* Where it is the only one, it is waited for directly from the start. */
static int
read_first(struct ipc__rpc_session *x)
{
	struct ipc_rpc_server *s = x->server;

	return s->sessions == NULL && s->favourite == NULL && s->timer == -1 ?
	    ipc__rpc_favour(x) : ipc__rpc_watch_session(x);
}

int
ipc__rpc_session_new(struct ipc_rpc_server *s, struct ipc_channel *ch,
    bool limited)
{
	struct ipc__rpc_session *x;
	struct ipc_info info;
	int rc = ipc__rpc_fits(ch, &info);

	if (rc < 0)
		return rc;
	x = session_alloc(s, ch);
	if (x == NULL)
		return -ENOMEM;
	x->info = info;
	ipc__rpc_out_init(&x->out, ch, info.caps & IPC_CAP_FDS);
	rc = limited ? too_many(x) : 0;
	if (rc == 0)
		rc = read_first(x);
	if (rc < 0) {
		x->ch = NULL;		/* still the caller's */
		ipc__rpc_session_unref(x);
		return rc;
	}
	link_session(x);
	return 0;
}

/*
 * Who reads
 */

void
ipc__rpc_unwatch(struct ipc__rpc_session *x)
{
	struct ipc_rpc_server *s = x->server;

	if (x->reading == IPC__RPC_WATCHED)
		ipc__rpc_del(s, x->read_fd);
	if (s->favourite == x) {
		ipc__wait_beside(x->ch, IPC_RECV, -1);
		s->favourite = NULL;
	}
	if (s->lonely == x)
		s->lonely = NULL;
	x->reading = IPC__RPC_PAUSED;
}

/* Without a free descriptor all stays as it is. */
int
ipc__rpc_watch_session(struct ipc__rpc_session *x)
{
	int rc, fd;

	if (x->reading == IPC__RPC_WATCHED)
		return 0;
	fd = ipc_fd(x->ch, IPC_RECV, NULL);
	if (fd < 0)
		return fd;
	rc = ipc__rpc_add(x->server, fd, &x->read);
	if (rc < 0) {
		ipc__rest(x->ch, IPC_RECV);
		return rc;
	}
	ipc__rpc_unwatch(x);
	x->read_fd = fd;
	x->reading = IPC__RPC_WATCHED;
	return 0;
}

/* It is waited for directly, which is as quick as if there were no other.  What
 * sleeping needs is made here, and not when there may be no descriptor left. */
int
ipc__rpc_favour(struct ipc__rpc_session *x)
{
	struct ipc_rpc_server *s = x->server;
	int rc;

	rc = ipc_fd(x->ch, IPC_RECV, NULL);
	if (rc < 0)
		return rc;
	ipc__rpc_unwatch(x);
	ipc__fd_drop(x->ch, IPC_RECV);
	ipc__wait_beside(x->ch, IPC_RECV, s->epoll);
	s->favourite = x;
	s->idle = 0;
	x->reading = IPC__RPC_FAVOURITE;
	return 0;
}

/*
 * Reading
 */

static bool
crowded(const struct ipc__rpc_session *x)
{
	/* Relaxed: set and cleared under the lock, and looked at there again
	 * once the session is listed. */
	return atomic_load_explicit(&x->crowded, memory_order_relaxed);
}

/* One message.  1; 0 there is none; or it is over. */
static int
read_one(struct ipc__rpc_session *x, int timeout)
{
	struct ipc_rpc_server *s = x->server;
	ssize_t n;
	int code;

	n = ipc__rpc_receive(&s->in, x->ch, x->expect, timeout);
	if (ipc__likely(n >= 0)) {
		if (ipc__likely(ipc__rpc_request(x, (size_t)n, &code)))
			return 1;
	} else if (n == -EMSGSIZE) {
		if (ipc__rpc_too_long(x, &code))
			return 1;
	} else if (n == -EAGAIN || n == -ETIMEDOUT || n == -EINTR ||
	    n == -ECANCELED)
		return 0;
	else
		code = (int)n;
	ipc__rpc_session_end(x, code, code == -EBADMSG);
	return -1;
}

/* Another look for nothing costs a system call: only where there was more than
 * one message the last time, or once in a while. */
static bool
look_again(struct ipc__rpc_session *x, int done)
{
	struct ipc_rpc_server *s = x->server;

	if (s->favourite == x)
		return !atomic_load_explicit(&s->hub->any,
		    memory_order_relaxed) &&
		    atomic_load_explicit(&s->hub->timers,
		    memory_order_relaxed) == 0 &&
		    !atomic_load_explicit(&s->hub->stop,
		    memory_order_relaxed);
	if (done == 1)
		return x->greedy || x->info.caps & IPC_CAP_INPLACE ||
		    ++x->rounds % GREEDY_EVERY == 0;
	return true;
}

int
ipc__rpc_session_read(struct ipc__rpc_session *x, int timeout, int most)
{
	int done = 0, rc = 1;

	while (done < most && rc > 0 && (done == 0 || look_again(x, done))) {
		rc = read_one(x, done == 0 || timeout < 0 ? timeout : 0);
		if (rc < 0)
			return done + 1;
		done += rc;
		if (ipc__unlikely(crowded(x)) && x->reading !=
		    IPC__RPC_PAUSED) {
			ipc__rpc_unwatch(x);
			break;
		}
	}
	x->greedy = done > 1;
	return done;
}

/*
 * Sending what is queued
 */

static int
watch_room(struct ipc__rpc_session *x, bool on)
{
	int rc = 0;

	if (on && !x->writing) {
		x->write_fd = ipc_fd(x->ch, IPC_SEND, NULL);
		rc = x->write_fd < 0 ? x->write_fd :
		    ipc__rpc_add(x->server, x->write_fd, &x->write);
		x->writing = rc == 0;
	} else if (!on && x->writing) {
		ipc__rpc_del(x->server, x->write_fd);
		ipc__rest(x->ch, IPC_SEND);
		x->writing = false;
	}
	return rc;
}

/* Locked. */
static int
flush(struct ipc__rpc_session *x)
{
	int rc = x->failed < 0 ? x->failed : ipc__rpc_flush(&x->out);

	if (rc == 0 || rc == -EAGAIN) {
		x->flushing = rc == -EAGAIN;
		rc = watch_room(x, x->flushing);
	}
	if (x->out.bytes <= x->queue_limit / 2)
		atomic_store_explicit(&x->crowded, false,
		    memory_order_relaxed);
	return rc;
}

void
ipc__rpc_session_flush(struct ipc__rpc_session *x)
{
	int rc;

	if (x->server == NULL || x->ch == NULL)
		return;
	pthread_mutex_lock(&x->lock);
	rc = flush(x);
	pthread_mutex_unlock(&x->lock);
	if (rc == 0 && x->reading == IPC__RPC_PAUSED && !crowded(x))
		rc = ipc__rpc_watch_session(x);
	if (rc < 0)
		ipc__rpc_session_end(x, rc, rc == -EBADMSG);
	else
		ipc__rpc_tell_room(x);
}

/*
 * The end
 */

static void
say_bye(struct ipc__rpc_session *x, int code)
{
	const char *text = ipc_strerror(code);
	struct ipc__rpc_msg m = {
		.head = { .type = IPC__RPC_BYE,
		    .aux = ipc__rpc_code_put(-code) },
		.body = text, .size = strlen(text)
	};

	if (x->out.first == NULL)
		(void)ipc__rpc_send(&x->out, &m);
}

/* The first call that is linked, with a reference. */
static struct ipc_rpc_call *
first_call(struct ipc__rpc_session *x)
{
	struct ipc_rpc_call *call;

	pthread_mutex_lock(&x->lock);
	call = x->first;
	if (call != NULL)
		atomic_fetch_add_explicit(&call->refs, 1,
		    memory_order_relaxed);
	pthread_mutex_unlock(&x->lock);
	return call;
}

static void
cancel_calls(struct ipc__rpc_session *x)
{
	struct ipc_rpc_call *call;

	while ((call = first_call(x)) != NULL) {
		ipc__rpc_call_cancel(call, 0);
		ipc__rpc_call_unref(call);
	}
}

/* In a forked child the epoll set is the parent's as well. */
void
ipc__rpc_session_end(struct ipc__rpc_session *x, int code, bool say)
{
	struct ipc_rpc_server *s = x->server;
	struct ipc_channel *ch = x->ch;

	ipc__rpc_unwatch(x);
	pthread_mutex_lock(&x->lock);
	if (x->writing)
		ipc__rpc_del(s, x->write_fd);
	x->writing = false;
	if (say)
		say_bye(x, code);
	x->ch = NULL;
	ipc__rpc_out_free(&x->out);
	ipc_close(ch);
	if (x->waiters > 0)
		pthread_cond_broadcast(&x->room);
	pthread_mutex_unlock(&x->lock);
	if (s->process == atomic_load(&ipc__process))
		cancel_calls(x);
	*x->at = x->next;
	if (x->next != NULL)
		x->next->at = x->at;
	s->clients--;
	x->next = s->dead;
	s->dead = x;
}
