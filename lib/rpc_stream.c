/* SPDX-License-Identifier: ISC */
/*
 * Answers in parts, one by one.  What was not asked for lies in the stream's
 * list, and the server may send no more than its credit beyond that.
 */
#include <stdlib.h>

#include "rpc_client.h"

#define BURST	256		/* messages for others */

static int
start(struct ipc_rpc_stream *s, struct ipc_rpc_client *c,
    struct ipc_rpc_request *r)
{
	int64_t deadline = r->timeout > 0 ? ipc__deadline(r->timeout) : -1;
	struct ipc__rpc_slot *slot;
	int rc;

	slot = ipc__rpc_slot_new(c);
	if (slot == NULL)
		return -ENOMEM;
	r->flags |= IPC_RPC_PARTS;
	slot->flags = r->flags;
	slot->list = &s->list;
	rc = ipc__rpc_submit(c, r, deadline, slot);
	if (rc < 0) {
		ipc__rpc_slot_free(c, slot);
		return rc;
	}
	ipc__rpc_slot_sent(c, slot, IPC__RPC_STREAM, deadline);
	s->slot = slot;
	s->generation = slot->generation;
	return 0;
}

int
ipc_rpc_stream_open(struct ipc_rpc_stream **out, struct ipc_rpc_client *c,
    const struct ipc_rpc_request *request)
{
	struct ipc_rpc_request r = { 0 };
	struct ipc_rpc_stream *s;
	int rc = ipc__rpc_client_enter(c);

	if (rc == 0)
		rc = ipc__rpc_get_request(&r, request);
	if (rc < 0)
		return rc;
	if (out == NULL || r.flags & IPC_RPC_ONE_WAY)
		return ipc__fail(EINVAL, "ipc_rpc_stream_open: a place for the "
		    "stream, and a call that is answered");
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return ipc__fail(ENOMEM, "no memory for a stream");
	s->c = c;
	ipc__rpc_list_init(&s->list);
	rc = start(s, c, &r);
	if (rc < 0) {
		free(s);
		return ipc__rpc_client_settle(c, rc);
	}
	s->next = c->streams;
	if (s->next != NULL)
		s->next->at = &s->next;
	s->at = &c->streams;
	c->streams = s;
	*out = s;
	return ipc__rpc_client_settle(c, 0);
}

static int
hand_out(struct ipc_rpc_stream *s, struct ipc__rpc_node *n, void **data,
    size_t *size)
{
	bool more = n->status == IPC_RPC_MORE;
	size_t length = n->size;

	if (more)
		ipc__rpc_credit(s->c, s->slot, s->generation, length);
	else
		s->over = true;
	return ipc__rpc_hand_out(s->c, n, data, size);
}

static int
next(struct ipc_rpc_stream *s, void **data, size_t *size, int timeout)
{
	struct ipc_rpc_client *c = s->c;
	int64_t deadline = ipc__deadline(timeout);
	struct ipc__rpc_node *n;
	int left = timeout, rc = 1, tries;

	/* What comes may be for others, without end. */
	for (tries = 0;; tries++) {
		ipc__rpc_late(c);
		n = ipc__rpc_list_take(&s->list);
		if (n != NULL)
			return hand_out(s, n, data, size);
		if (left == 0 && (rc == 0 || tries >= BURST))
			return ipc__plain(timeout == 0 ? -EAGAIN :
			    -ETIMEDOUT);
		rc = ipc__rpc_take_in(c, ipc__rpc_until(&c->heap, left),
		    NULL);
		if (rc < 0 && c->ch != NULL)
			return rc;
		if (s->list.first == NULL && left > 0)
			left = ipc__rpc_left(deadline);
	}
}

int
ipc_rpc_stream_next(struct ipc_rpc_stream *s, void **data, size_t *size,
    int timeout)
{
	int rc;

	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_stream_next: no stream");
	if (data != NULL)
		*data = NULL;
	if (size != NULL)
		*size = 0;
	if (s->c == NULL)
		return ipc__fail(ECANCELED, "the client of this stream was "
		    "closed");
	rc = ipc__rpc_client_enter(s->c);
	if (rc < 0)
		return rc;
	if (s->over)
		return ipc__fail(EPIPE, "%s: this stream has ended",
		    s->c->address);
	return ipc__rpc_client_settle(s->c, next(s, data, size, timeout));
}

int
ipc_rpc_stream_close(struct ipc_rpc_stream *s)
{
	struct ipc_rpc_client *c;

	if (s == NULL)
		return 0;
	c = s->c;
	if (c != NULL && ipc__rpc_client_enter(c) == 0) {
		if (s->slot->generation == s->generation &&
		    s->slot->state == IPC__RPC_STREAM)
			ipc__rpc_give_up_call(c, s->slot, -ECANCELED);
		ipc__rpc_list_free(c, &s->list);
		*s->at = s->next;
		if (s->next != NULL)
			s->next->at = s->at;
		(void)ipc__rpc_client_settle(c, 0);
	}
	free(s);
	return 0;
}
