/* SPDX-License-Identifier: ISC */
/*
 * What a client sends: calls, and what is said of calls that wait.  Everything
 * in a frame is checked here before it is used; what breaks the rules ends the
 * session and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc_server.h"

/*
 * The record of a call
 */

static struct ipc_rpc_call *
take_record(struct ipc_rpc_server *s)
{
	struct ipc_rpc_call *call = s->spare;

	if (ipc__unlikely(call == NULL))
		return malloc(sizeof *call);
	s->spare = call->next;
	s->spares--;
	return call;
}

/* Nobody but this thread has ever seen it. */
static void
give_record(struct ipc_rpc_server *s, struct ipc_rpc_call *call)
{
	while (call->fd_count > 0)
		close(call->fds[--call->fd_count]);
	free(call->fds);
	if (s->spares >= IPC__RPC_SPARE) {
		free(call);
		return;
	}
	call->next = s->spare;
	s->spare = call;
	s->spares++;
}

static int
take_fds(struct ipc_rpc_call *call, struct ipc__rpc_in *in)
{
	size_t size = in->fd_count * sizeof in->fds[0];

	call->fds = malloc(size);
	if (call->fds == NULL)
		return -ENOMEM;
	memcpy(call->fds, in->fds, size);
	call->fd_count = in->fd_count;
	in->fd_count = 0;
	return 0;
}

static int64_t
deadline_of(const struct ipc__rpc_head *h)
{
	if (h->aux == IPC__RPC_NO_LIMIT || h->type == IPC__RPC_NOTIFY)
		return -1;
	return ipc__now() + (int64_t)h->aux * 1000000;
}

/* All but the descriptors.  One reference is the handler's, one is ours. */
static void
fill_record(struct ipc_rpc_call *call, struct ipc__rpc_session *x,
    const struct ipc__rpc_head *h, const unsigned char *name)
{
	size_t length = h->n & IPC__RPC_NAME;

	call->x = x;
	atomic_store_explicit(&call->refs, 2, memory_order_relaxed);
	atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
	call->id = h->id;
	call->flags = h->type == IPC__RPC_NOTIFY ? IPC_RPC_ONE_WAY :
	    h->n & IPC__RPC_TAKES_PARTS ? IPC_RPC_PARTS : 0;
	call->deadline = deadline_of(h);
	call->fds = NULL;
	call->fd_count = 0;
	call->fds_lost = false;
	call->ended = call->kept = call->linked = call->wants_room = false;
	call->credit = IPC__RPC_WINDOW;
	call->parts = 0;
	call->change = NULL;
	call->change_user = NULL;
	call->timer.place = 0;
	memcpy(call->method, name, length);
	call->method[length] = '\0';
}

/*
 * Calls
 */

static void
refuse(struct ipc__rpc_session *x, const struct ipc__rpc_head *h, int code,
    const char *text)
{
	if (h->type == IPC__RPC_NOTIFY)
		return;
	pthread_mutex_lock(&x->lock);
	(void)ipc__rpc_say_error(x, h->id, code, text);
	pthread_mutex_unlock(&x->lock);
}

/* true: it was refused. */
static bool
over_limit(struct ipc__rpc_session *x, const struct ipc__rpc_head *h,
    size_t size)
{
	const size_t *limit = x->server->limits;
	unsigned calls = atomic_load_explicit(&x->calls, memory_order_relaxed);
	size_t all = atomic_load_explicit(&x->hub->calls,
	    memory_order_relaxed);
	char text[128];
	int code = EBUSY;

	if (ipc__likely(calls < limit[IPC_RPC_CALLS] &&
	    all < limit[IPC_RPC_CALLS_TOTAL] && size <= limit[IPC_RPC_ARGS]))
		return false;
	if (size > limit[IPC_RPC_ARGS]) {
		code = EMSGSIZE;
		snprintf(text, sizeof text, "arguments of %zu bytes exceed "
		    "the %zu that this server takes", size,
		    limit[IPC_RPC_ARGS]);
	} else
		snprintf(text, sizeof text, "%zu calls wait for their answer, "
		    "and the server takes no more",
		    calls >= limit[IPC_RPC_CALLS] ? (size_t)calls : all);
	refuse(x, h, code, text);
	return true;
}

static void
run(struct ipc__rpc_session *x, const struct ipc__rpc_method *m,
    struct ipc_rpc_call *call, const unsigned char *args, size_t size)
{
	struct ipc_rpc_server *s = x->server;

	s->current = call;
	m->handler(call, args, size, m->user);
	if (ipc__likely(s->current == NULL)) {
		give_record(s, call);
		return;
	}
	s->current = NULL;
	ipc__rpc_keep(call);
}

static void
no_method(struct ipc__rpc_session *x, const struct ipc__rpc_head *h,
    const char *name)
{
	char text[IPC_RPC_METHOD_MAX + 32];

	snprintf(text, sizeof text, "no such method: %.*s",
	    (int)(h->n & IPC__RPC_NAME), name);
	refuse(x, h, ENOSYS, text);
}

static bool
call(struct ipc__rpc_session *x, const struct ipc__rpc_head *h, size_t size)
{
	struct ipc_rpc_server *s = x->server;
	const unsigned char *p = s->in.data + IPC__RPC_HEAD;
	size_t length = h->n & IPC__RPC_NAME, at = ipc__rpc_body(length);
	struct ipc__rpc_method *m;
	struct ipc_rpc_call *record;

	if (length == 0 || at > size || memchr(p, '\0', length) != NULL)
		return false;
	if (over_limit(x, h, size - at))
		return true;
	m = ipc__rpc_find(s, (const char *)p, length);
	if (ipc__unlikely(m == NULL)) {
		no_method(x, h, (const char *)p);
		return true;
	}
	record = take_record(s);
	if (ipc__unlikely(record == NULL)) {
		refuse(x, h, ENOMEM, "");
		return true;
	}
	fill_record(record, x, h, p);
	record->fds_lost = s->in.fds_lost;
	if (ipc__unlikely(s->in.fd_count > 0) && take_fds(record, &s->in) < 0)
		record->fds_lost = true;
	run(x, m, record, s->in.data + at, size - at);
	return true;
}

bool
ipc__rpc_too_long(struct ipc__rpc_session *x, int *code)
{
	struct ipc__rpc_head h;
	ssize_t n = ipc__rpc_skip(x->ch, &h);

	*code = (int)n;
	if (n < 0)
		return false;
	if (h.type != IPC__RPC_CALL && h.type != IPC__RPC_NOTIFY) {
		*code = -EBADMSG;
		return false;
	}
	x->expect = false;
	return over_limit(x, &h, (size_t)n -
	    ipc__rpc_body(h.n & IPC__RPC_NAME));
}

/*
 * What is said of calls
 */

static void
cancel(struct ipc__rpc_session *x, uint64_t id)
{
	struct ipc_rpc_call *record;

	pthread_mutex_lock(&x->lock);
	record = ipc__rpc_kept(x, id);
	if (record != NULL)
		atomic_fetch_add_explicit(&record->refs, 1,
		    memory_order_relaxed);
	pthread_mutex_unlock(&x->lock);
	if (record == NULL)
		return;		/* its answer is on the way */
	ipc__rpc_call_cancel(record, ECANCELED);
	ipc__rpc_call_unref(record);
}

static void
credit(struct ipc__rpc_session *x, const struct ipc__rpc_head *h)
{
	struct ipc_rpc_call *record;

	pthread_mutex_lock(&x->lock);
	record = ipc__rpc_kept(x, h->id);
	if (record != NULL) {
		record->credit += h->aux;
		if (record->credit > IPC__RPC_WINDOW)
			record->credit = IPC__RPC_WINDOW;
	}
	pthread_mutex_unlock(&x->lock);
	if (record != NULL)
		ipc__rpc_tell_room(x);
}

static bool
frame(struct ipc__rpc_session *x, const struct ipc__rpc_head *h, size_t size)
{
	switch (h->type) {
	case IPC__RPC_CALL:
	case IPC__RPC_NOTIFY:
		return call(x, h, size);
	case IPC__RPC_CANCEL:
		cancel(x, h->id);
		return size == IPC__RPC_HEAD;
	case IPC__RPC_CREDIT:
		credit(x, h);
		return size == IPC__RPC_HEAD;
	case IPC__RPC_FDS:
		x->expect = true;
		return size == IPC__RPC_HEAD;
	default:
		return false;
	}
}

bool
ipc__rpc_request(struct ipc__rpc_session *x, size_t size, int *code)
{
	struct ipc__rpc_in *in = &x->server->in;
	struct ipc__rpc_head h;
	bool good;

	x->expect = false;
	good = ipc__rpc_get(&h, in->data, size) && frame(x, &h, size);
	if (ipc__unlikely(in->fd_count > 0 || in->fds_lost))
		ipc__rpc_in_close_fds(in);
	*code = -EBADMSG;
	return good;
}
