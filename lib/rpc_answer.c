/* SPDX-License-Identifier: ISC */
/*
 * What a handler does with its call, in whatever thread.  Answers are sent
 * under the session's lock; what the client has no room for is queued there,
 * and the thread that serves is asked to send it when there is.
 */
#include <limits.h>
#include <time.h>

#include "rpc_server.h"

/*
 * Saying
 */

/* It is this message that can not be sent, and another one may well be. */
static bool
own_fault(const struct ipc__rpc_msg *m, int rc)
{
	switch (rc) {
	case -EMSGSIZE:
	case -EOPNOTSUPP:
		return true;
	case -EBADF:
	case -EMFILE:
	case -ENFILE:
	case -ETOOMANYREFS:
		return m->fd_count > 0;
	default:
		return false;
	}
}

/* An answer that can not be sent would leave its client waiting for ever: the
 * session is ended. */
int
ipc__rpc_say(struct ipc__rpc_session *x, const struct ipc__rpc_msg *m)
{
	int rc = ipc__rpc_send(&x->out, m);

	if (ipc__unlikely(rc < 0 && !own_fault(m, rc))) {
		x->failed = rc;
		ipc__rpc_list(x);
	} else if (ipc__unlikely(x->out.first != NULL)) {
		if (x->out.bytes > x->queue_limit)
			/* Relaxed: a hint; who is late queues one more. */
			atomic_store_explicit(&x->crowded, true,
			    memory_order_relaxed);
		if (!x->flushing)
			ipc__rpc_list(x);
		x->flushing = true;
	}
	return rc;
}

int
ipc__rpc_say_error(struct ipc__rpc_session *x, uint64_t id, int code,
    const char *text)
{
	struct ipc__rpc_msg m = {
		.head = { .type = IPC__RPC_ERROR, .id = id,
		    .aux = ipc__rpc_code_put(code) },
		.body = text, .size = strlen(text)
	};

	return ipc__rpc_say(x, &m);
}

/*
 * Ending
 */

/* Relaxed: nothing else is to be seen through it. */
static bool
was_cancelled(const struct ipc_rpc_call *call)
{
	return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

/* The thread that serves may not have come to cancel it yet. */
static bool
is_late(const struct ipc_rpc_call *call)
{
	return call->deadline >= 0 && call->deadline <= ipc__now();
}

/* 0, or why there is nobody to be answered. */
static int
nobody(const struct ipc_rpc_call *call)
{
	if (ipc__unlikely(call->x->ch == NULL))
		return ipc__plain(-EPIPE);
	if (ipc__unlikely(was_cancelled(call)))
		return ipc__fail(ECANCELED, "%s: the call was cancelled",
		    call->method);
	if (ipc__unlikely(is_late(call)))
		return ipc__fail(ECANCELED, "%s: the call's time is over",
		    call->method);
	return 0;
}

/* The client is told that no answer comes. */
static void
say_none(struct ipc_rpc_call *call, int code, const char *text)
{
	struct ipc__error kept;

	ipc__error_keep(&kept);
	(void)ipc__rpc_say_error(call->x, call->id, code, text);
	ipc__error_restore(&kept);
}

static int
answer(struct ipc_rpc_call *call, struct ipc__rpc_msg *m)
{
	int rc;

	if (call->flags & IPC_RPC_ONE_WAY)
		return 0;
	rc = nobody(call);
	if (rc < 0) {
		/* Whoever cancels it has said so; its time says nothing. */
		if (rc == -ECANCELED && !was_cancelled(call))
			say_none(call, ETIMEDOUT, "");
		return rc;
	}
	m->head.id = call->id;
	rc = ipc__rpc_say(call->x, m);
	if (ipc__unlikely(rc < 0 && own_fault(m, rc)))
		say_none(call, -rc, rc == -EMSGSIZE || rc == -EOPNOTSUPP ?
		    "the answer can not be sent on this channel" :
		    "the descriptors of the answer can not be sent");
	return rc;
}

/* Ended within its handler, by the thread that serves: the record goes to the
 * next call, and nobody else has ever seen it. */
static bool
within(const struct ipc_rpc_call *call)
{
	return ipc__rpc_serving != NULL && ipc__rpc_serving->current == call;
}

static int
end(struct ipc_rpc_call *call, struct ipc__rpc_msg *m)
{
	struct ipc__rpc_session *x = call->x;
	int rc;

	pthread_mutex_lock(&x->lock);
	rc = answer(call, m);
	ipc__rpc_call_ended(call);
	pthread_mutex_unlock(&x->lock);
	if (ipc__likely(within(call)))
		ipc__rpc_serving->current = NULL;
	else
		ipc__rpc_call_unref(call);
	return rc;
}

static int
bad_data(const void *data, size_t size)
{
	if (ipc__unlikely(data == NULL && size > 0))
		return ipc__fail(EINVAL, "an answer of %zu bytes at NULL",
		    size);
	return 0;
}

int
ipc_rpc_reply_fds(struct ipc_rpc_call *call, const void *data, size_t size,
    const int *fds, unsigned fd_count)
{
	struct ipc__rpc_msg m = {
		.head = { .type = IPC__RPC_REPLY },
		.body = data, .size = size, .fds = fds, .fd_count = fd_count
	};
	int rc;

	if (ipc__unlikely(call == NULL))
		return ipc__fail(EINVAL, "ipc_rpc_reply: no call");
	if (fd_count > IPC_FDS_MAX || (fd_count > 0 && fds == NULL))
		return ipc__fail(EINVAL, "up to %d descriptors go along with "
		    "an answer", IPC_FDS_MAX);
	rc = bad_data(data, size);
	if (rc < 0)
		return rc;
	m.head.aux = call->parts;
	return end(call, &m);
}

int
ipc_rpc_reply(struct ipc_rpc_call *call, const void *data, size_t size)
{
	return ipc_rpc_reply_fds(call, data, size, NULL, 0);
}

int
ipc_rpc_fail(struct ipc_rpc_call *call, int code, const char *text)
{
	struct ipc__rpc_msg m = {
		.head = { .type = IPC__RPC_FAIL, .aux = (uint32_t)code },
		.body = text, .size = text != NULL ? strlen(text) : 0
	};

	if (call == NULL || code <= 0)
		return ipc__fail(EINVAL, "ipc_rpc_fail: a call, and a code "
		    "above 0");
	/* Nobody reads on that far. */
	if (m.size > IPC__TEXT_SIZE)
		m.size = IPC__TEXT_SIZE;
	return end(call, &m);
}

/*
 * Parts
 */

static bool
has_room(const struct ipc_rpc_call *call)
{
	return call->credit > 0 && !atomic_load_explicit(&call->x->crowded,
	    memory_order_relaxed);
}

/* In the thread that serves it would wait for itself. */
static int
wait_room(struct ipc_rpc_call *call, int timeout, const struct timespec *until)
{
	struct ipc__rpc_session *x = call->x;
	bool serving = ipc__rpc_serving != NULL &&
	    ipc__rpc_serving->hub == x->hub;
	int rc;

	if (timeout == 0 || serving) {
		if (!call->wants_room && call->linked)
			x->wanting++;
		call->wants_room = true;
		return ipc__plain(-EAGAIN);
	}
	x->waiters++;
	rc = timeout < 0 ? pthread_cond_wait(&x->room, &x->lock) :
	    pthread_cond_timedwait(&x->room, &x->lock, until);
	x->waiters--;
	return ipc__plain(-rc);
}

static int
send_part(struct ipc_rpc_call *call, const void *data, size_t size)
{
	struct ipc__rpc_msg m = {
		.head = { .type = IPC__RPC_PART, .id = call->id,
		    .aux = call->parts },
		.body = data, .size = size
	};
	int rc = ipc__rpc_say(call->x, &m);

	if (rc < 0)
		return rc;
	call->parts++;
	call->credit -= (int64_t)size + IPC__RPC_PART_COST;
	return 0;
}

static void
set_until(struct timespec *ts, int timeout)
{
	int64_t at = timeout > 0 ? ipc__deadline(timeout) : 0;

	ts->tv_sec = at / 1000000000;
	ts->tv_nsec = at % 1000000000;
}

int
ipc_rpc_part(struct ipc_rpc_call *call, const void *data, size_t size,
    int timeout)
{
	struct timespec until;
	int rc;

	if (call == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_part: no call");
	rc = bad_data(data, size);
	if (rc < 0)
		return rc;
	if (!(call->flags & IPC_RPC_PARTS))
		return ipc__fail(EOPNOTSUPP, "%s: its client wants the answer "
		    "in one", call->method);
	set_until(&until, timeout);
	pthread_mutex_lock(&call->x->lock);
	while ((rc = nobody(call)) == 0 && !has_room(call) &&
	    (rc = wait_room(call, timeout, &until)) == 0)
		continue;
	if (rc == 0)
		rc = send_part(call, data, size);
	pthread_mutex_unlock(&call->x->lock);
	return rc;
}

int
ipc_rpc_watch(struct ipc_rpc_call *call, ipc_rpc_change *change, void *user)
{
	if (call == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_watch: no call");
	pthread_mutex_lock(&call->x->lock);
	call->change = change;
	call->change_user = user;
	pthread_mutex_unlock(&call->x->lock);
	return 0;
}

/*
 * Asking
 */

int
ipc_rpc_caller(const struct ipc_rpc_call *call, struct ipc_peer *peer)
{
	size_t size;

	if (call == NULL || peer == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_caller: an argument is "
		    "NULL");
	size = peer->struct_size;
	if (size < 2 * sizeof size || size > 4096)
		return ipc__fail(EINVAL, "struct ipc_peer: struct_size is its "
		    "sizeof");
	if (call->x->peer.struct_size == 0)
		return ipc__fail(EOPNOTSUPP, "%s: nobody knows who calls",
		    call->method);
	if (size > sizeof *peer)
		size = sizeof *peer;
	memcpy((char *)peer + sizeof size, (const char *)&call->x->peer +
	    sizeof size, size - sizeof size);
	return 0;
}

int
ipc_rpc_time_left(const struct ipc_rpc_call *call)
{
	int64_t left;

	if (call == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_time_left: no call");
	if (call->deadline < 0)
		return -1;
	left = (call->deadline - ipc__now() + 999999) / 1000000;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

int
ipc_rpc_cancelled(const struct ipc_rpc_call *call)
{
	if (call == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_cancelled: no call");
	if (call->flags & IPC_RPC_ONE_WAY)
		return 0;
	return was_cancelled(call) || is_late(call);
}

const char *
ipc_rpc_method(const struct ipc_rpc_call *call)
{
	return call != NULL ? call->method : "";
}

unsigned
ipc_rpc_flags(const struct ipc_rpc_call *call)
{
	return call != NULL ? call->flags : 0;
}

int
ipc_rpc_take_fds(struct ipc_rpc_call *call, int *fds, unsigned room)
{
	unsigned n;

	if (call == NULL || (fds == NULL && room > 0))
		return ipc__fail(EINVAL, "ipc_rpc_take_fds: an argument is "
		    "NULL");
	n = call->fd_count;
	if (call->fds_lost)
		return ipc__fail(EMFILE, "%s: no free descriptor for those "
		    "that came (RLIMIT_NOFILE)", call->method);
	if (n > room)
		return ipc__fail(EMSGSIZE, "%s: %u descriptors came, and there "
		    "is room for %u", call->method, n, room);
	if (n > 0)
		memcpy(fds, call->fds, n * sizeof *fds);
	call->fd_count = 0;
	return (int)n;
}
