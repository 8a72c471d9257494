/* SPDX-License-Identifier: ISC */
/*
 * Calling: one call that is waited for, or many at once.
 */
#include <stdlib.h>

#include "rpc_client.h"

#define BURST	256		/* answers of one dispatch */

/*
 * Sending a call
 */

static int
check_method(const char *method, size_t *length)
{
	*length = method != NULL ? strlen(method) : 0;
	if (ipc__likely(*length >= 1 && *length <= IPC_RPC_METHOD_MAX))
		return 0;
	return ipc__fail(EINVAL, "the name of a method has 1 to %d bytes, and "
	    "this one has %zu", IPC_RPC_METHOD_MAX, *length);
}

static int
check_request(const struct ipc_rpc_request *r, size_t *length)
{
	if (ipc__unlikely(r->args == NULL && r->size > 0))
		return ipc__fail(EINVAL, "arguments of %zu bytes at NULL",
		    r->size);
	if (ipc__unlikely(r->fd_count > IPC_FDS_MAX ||
	    (r->fd_count > 0 && r->fds == NULL)))
		return ipc__fail(EINVAL, "up to %d descriptors go along with "
		    "a call", IPC_FDS_MAX);
	return check_method(r->method, length);
}

static void
make_msg(struct ipc__rpc_msg *m, const struct ipc_rpc_request *r,
    size_t length, int64_t deadline, const struct ipc__rpc_slot *slot)
{
	int left = ipc__rpc_left(deadline);

	m->head.type = slot != NULL ? IPC__RPC_CALL : IPC__RPC_NOTIFY;
	m->head.n = (unsigned)length;
	if (slot != NULL && r->flags & IPC_RPC_PARTS)
		m->head.n |= IPC__RPC_TAKES_PARTS;
	m->head.aux = left < 0 ? IPC__RPC_NO_LIMIT : (uint32_t)left;
	m->head.id = slot != NULL ? ipc__rpc_slot_id(slot) : 0;
	m->name = r->method;
	m->body = r->args;
	m->size = r->size;
	m->fds = r->fds;
	m->fd_count = r->fd_count;
}

/* No room: what the server has to say is taken in, as it might read nothing
 * before.  0, or why there is no use in trying again. */
static int
wait_room(struct ipc_rpc_client *c, int64_t deadline)
{
	int rc, n, left;

	for (n = 0; (rc = ipc__rpc_take_in(c, 0, NULL)) == 1 && n < BURST; n++)
		continue;
	if (rc < 0)
		return rc;
	left = ipc__rpc_left(deadline);
	if (left == 0)
		return ipc__plain(-ETIMEDOUT);
	if (n > 0)
		return 0;
	rc = ipc__rpc_wait_both(c, left);
	return rc < 0 ? rc : 0;
}

/* While it is begun nothing else may be sent. */
static int
send_msg(struct ipc_rpc_client *c, const struct ipc__rpc_msg *m,
    int64_t deadline, bool wait)
{
	int rc;

	while ((rc = ipc__rpc_try(&c->out, m)) == -EAGAIN) {
		c->hungry = true;
		if (c->out.first == NULL)
			c->out.held = true;
		if (!wait)
			break;
		rc = wait_room(c, deadline);
		if (rc < 0)
			break;
	}
	if (ipc__unlikely(c->out.held)) {
		if (rc < 0)
			ipc__rpc_give_up(&c->out);
		c->out.held = false;
		(void)ipc__rpc_flush(&c->out);
	}
	return rc;
}

/* Has nothing to do with the connection. */
static bool
own_fault(int rc)
{
	switch (rc) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EMSGSIZE:
	case -EOPNOTSUPP:
	case -EINVAL:
	case -EBADF:
	case -ETOOMANYREFS:
		return true;
	default:
		return ipc__rpc_passes(rc);
	}
}

/* The server has gone: what it sent before that comes first. */
static int
lost(struct ipc_rpc_client *c, int rc)
{
	while (c->ch != NULL && ipc__rpc_take_in(c, 0, NULL) == 1)
		continue;
	ipc__rpc_lost(c, rc);
	return ipc__rpc_tell(c, c->end, c->why, strlen(c->why));
}

int
ipc__rpc_submit(struct ipc_rpc_client *c, const struct ipc_rpc_request *r,
    int64_t deadline, struct ipc__rpc_slot *slot)
{
	bool wait = r->timeout != 0 && !(r->flags & IPC_RPC_NOWAIT);
	struct ipc__rpc_msg m;
	size_t length = 0;
	int rc = check_request(r, &length);

	if (rc < 0)
		return rc;
	do {
		rc = ipc__rpc_connected(c, deadline, wait);
		if (rc < 0)
			return rc;
		make_msg(&m, r, length, deadline, slot);
		rc = send_msg(c, &m, deadline, wait);
		if (ipc__likely(rc == 0 || own_fault(rc)))
			return rc;
		rc = lost(c, rc);
	} while (c->again);
	return rc;
}

/* The caller's record, as far as it knows it. */
int
ipc__rpc_get_request(struct ipc_rpc_request *to,
    const struct ipc_rpc_request *from)
{
	if (from == NULL || from->struct_size < offsetof(struct ipc_rpc_request,
	    fds) || from->struct_size > 4096)
		return ipc__fail(EINVAL, "struct ipc_rpc_request: struct_size "
		    "is its sizeof");
	memset(to, 0, sizeof *to);
	memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size :
	    sizeof *to);
	if (to->flags & ~(unsigned)(IPC_RPC_PARTS | IPC_RPC_ONE_WAY |
	    IPC_RPC_NOWAIT))
		return ipc__fail(EINVAL, "struct ipc_rpc_request: unknown "
		    "flags");
	return 0;
}

/*
 * Waiting for one
 */

static void
wait_answer(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    int64_t deadline, int timeout)
{
	int left = timeout, rc;

	do {
		rc = ipc__rpc_take_in(c, left, NULL);
		if (ipc__likely(slot->state != IPC__RPC_WAITED))
			return;
		left = timeout == 0 ? 0 : ipc__rpc_left(deadline);
	} while (rc >= 0 && left != 0);
	if (rc >= 0)
		rc = timeout == 0 ? -EAGAIN : -ETIMEDOUT;
	ipc__rpc_give_up_call(c, slot, rc);
}

static int
perform(struct ipc_rpc_client *c, const struct ipc_rpc_request *r,
    void **reply, size_t *size)
{
	int64_t deadline = r->timeout > 0 ? ipc__deadline(r->timeout) : -1;
	struct ipc__rpc_slot *slot;
	int rc;

	if (reply != NULL)
		*reply = NULL;
	if (size != NULL)
		*size = 0;
	slot = ipc__rpc_slot_new(c);
	if (ipc__unlikely(slot == NULL))
		return -ENOMEM;
	rc = ipc__rpc_submit(c, r, deadline, slot);
	if (ipc__unlikely(rc < 0)) {
		ipc__rpc_slot_free(c, slot);
		return rc;
	}
	ipc__rpc_slot_sent(c, slot, IPC__RPC_WAITED, deadline);
	wait_answer(c, slot, deadline, r->timeout);
	return ipc__rpc_hand_out(c, &slot->final, reply, size);
}

int
ipc_rpc_call(struct ipc_rpc_client *c, const char *method, const void *args,
    size_t size, void **reply, size_t *reply_size, int timeout)
{
	struct ipc_rpc_request r = { .method = method, .args = args,
	    .size = size, .timeout = timeout };
	int rc = ipc__rpc_client_enter(c);

	if (ipc__unlikely(rc < 0))
		return rc;
	return ipc__rpc_client_settle(c, perform(c, &r, reply, reply_size));
}

int
ipc_rpc_perform(struct ipc_rpc_client *c, const struct ipc_rpc_request *request,
    void **reply, size_t *reply_size)
{
	struct ipc_rpc_request r = { 0 };
	int rc = ipc__rpc_client_enter(c);

	if (rc == 0)
		rc = ipc__rpc_get_request(&r, request);
	if (rc < 0)
		return rc;
	if (r.flags & IPC_RPC_PARTS)
		return ipc__fail(EINVAL, "ipc_rpc_perform: an answer in parts "
		    "wants ipc_rpc_submit or ipc_rpc_stream_open");
	if (r.flags & IPC_RPC_ONE_WAY)
		rc = ipc__rpc_submit(c, &r, r.timeout > 0 ?
		    ipc__deadline(r.timeout) : -1, NULL);
	else
		rc = perform(c, &r, reply, reply_size);
	return ipc__rpc_client_settle(c, rc);
}

/*
 * Many at once
 */

static int
start(struct ipc_rpc_client *c, const struct ipc_rpc_request *r, uint64_t *id)
{
	int64_t deadline = r->timeout > 0 ? ipc__deadline(r->timeout) : -1;
	struct ipc__rpc_slot *slot;
	int rc;

	if (r->flags & IPC_RPC_ONE_WAY)
		return ipc__rpc_submit(c, r, deadline, NULL);
	slot = ipc__rpc_slot_new(c);
	if (slot == NULL)
		return -ENOMEM;
	slot->done = r->done;
	slot->user = r->user;
	slot->flags = r->flags;
	rc = ipc__rpc_submit(c, r, deadline, slot);
	if (rc < 0) {
		ipc__rpc_slot_free(c, slot);
		return rc;
	}
	ipc__rpc_slot_sent(c, slot, IPC__RPC_STARTED, deadline);
	if (id != NULL)
		*id = ipc__rpc_slot_id(slot);
	return 0;
}

int
ipc_rpc_start(struct ipc_rpc_client *c, const char *method, const void *args,
    size_t size, ipc_rpc_done *done, void *user, int timeout)
{
	struct ipc_rpc_request r = { .method = method, .args = args,
	    .size = size, .timeout = timeout, .done = done, .user = user };
	int rc = ipc__rpc_client_enter(c);

	if (ipc__unlikely(rc < 0))
		return rc;
	return ipc__rpc_client_settle(c, start(c, &r, NULL));
}

int
ipc_rpc_submit(struct ipc_rpc_client *c, const struct ipc_rpc_request *request,
    uint64_t *id)
{
	struct ipc_rpc_request r = { 0 };
	int rc = ipc__rpc_client_enter(c);

	if (rc == 0)
		rc = ipc__rpc_get_request(&r, request);
	if (rc < 0)
		return rc;
	return ipc__rpc_client_settle(c, start(c, &r, id));
}

int
ipc_rpc_notify(struct ipc_rpc_client *c, const char *method, const void *args,
    size_t size, int timeout)
{
	struct ipc_rpc_request r = { .method = method, .args = args,
	    .size = size, .timeout = timeout, .flags = IPC_RPC_ONE_WAY };
	int rc = ipc__rpc_client_enter(c);

	if (rc < 0)
		return rc;
	return ipc__rpc_client_settle(c, start(c, &r, NULL));
}

int
ipc_rpc_cancel(struct ipc_rpc_client *c, uint64_t id)
{
	struct ipc__rpc_slot *slot;
	int rc = ipc__rpc_client_enter(c);

	if (rc < 0)
		return rc;
	slot = ipc__rpc_slot_of(c, id);
	if (slot == NULL || slot->state != IPC__RPC_STARTED)
		return ipc__fail(ENOENT, "%s: no such call is under way",
		    c->address);
	ipc__rpc_give_up_call(c, slot, -ECANCELED);
	return ipc__rpc_client_settle(c, 0);
}

/* What is there, after the first; also last words on calls that were given up,
 * for which nobody waits. */
static void
take_rest(struct ipc_rpc_client *c, int *ran)
{
	int n;

	for (n = 0; n < BURST && c->ch != NULL &&
	    ipc__rpc_take_in(c, 0, ran) == 1; n++)
		*ran += ipc__rpc_run_ready(c);
}

static int
dispatch(struct ipc_rpc_client *c, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	int ran = 0, left = timeout, rc = 1, n;

	/* What comes may be for others, without end. */
	for (n = 0;; n++) {
		ipc__rpc_late(c);
		ran += ipc__rpc_run_ready(c);
		if (ran > 0 || (c->started == 0 && c->ready.first == NULL))
			break;
		if (left == 0 && (rc == 0 || n >= BURST))
			return ipc__plain(timeout == 0 ? -EAGAIN :
			    -ETIMEDOUT);
		rc = ipc__rpc_take_in(c, ipc__rpc_until(&c->heap, left),
		    &ran);
		if (rc < 0 && c->ch != NULL && ran == 0)
			return rc;
		if (ran == 0 && left > 0)
			left = ipc__rpc_left(deadline);
	}
	take_rest(c, &ran);
	return ran + ipc__rpc_run_ready(c);
}

int
ipc_rpc_dispatch(struct ipc_rpc_client *c, int timeout)
{
	int rc = ipc__rpc_client_enter(c);

	if (rc < 0)
		return rc;
	if (c->inside)
		return ipc__fail(EDEADLK, "a done can not dispatch others");
	c->hungry = false;
	return ipc__rpc_client_settle(c, dispatch(c, timeout));
}
