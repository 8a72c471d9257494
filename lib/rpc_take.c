/* SPDX-License-Identifier: ISC */
/*
 * What the server sends.  An answer goes to its call, or, where that was given
 * up, nowhere.  done is run out of ipc_rpc_dispatch() alone: what is taken in
 * at another time is kept, so that no call runs the user's code unexpectedly.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc_client.h"

/*
 * Running done
 */

/* The buffer that the reply lies in is taken away meanwhile, as done may call
 * and receive. */
static void
run_in_place(struct ipc_rpc_client *c, ipc_rpc_done *done, void *user,
    int status, const void *data, size_t size)
{
	unsigned char *buffer = c->in.data;
	size_t room = c->in.size;
	bool good = status == 0 || status == IPC_RPC_MORE;

	if (done == NULL)
		return;
	ipc__rpc_give_fds(c, c->in.fds, c->in.fd_count, c->in.fds_lost);
	c->in.fd_count = 0;
	c->in.fds_lost = false;
	c->in.data = NULL;
	c->in.size = 0;
	c->inside = true;
	ipc__rpc_tell(c, status, data, size);
	done(status, good && size > 0 ? data : NULL, good ? size : 0, user);
	c->inside = false;
	ipc__rpc_give_fds(c, NULL, 0, false);
	free(c->in.data);
	c->in.data = buffer;
	c->in.size = room;
}

static void
run_node(struct ipc_rpc_client *c, struct ipc__rpc_node *n)
{
	struct ipc__rpc_slot *slot = n->slot;
	bool last = n == &slot->final, current = last ||
	    slot->generation == n->generation;
	ipc_rpc_done *done = current ? slot->done : NULL;
	uint32_t generation = n->generation;
	size_t size = n->size;
	void *reply = NULL;
	void *user = slot->user;
	int status = ipc__rpc_hand_out(c, n, &reply, &size);

	c->inside = true;
	if (done != NULL)
		done(status, reply, size, user);
	c->inside = false;
	ipc__rpc_give_fds(c, NULL, 0, false);
	free(reply);
	if (!last)
		ipc__rpc_credit(c, slot, generation, size);
}

int
ipc__rpc_run_ready(struct ipc_rpc_client *c)
{
	struct ipc__rpc_node *n;
	int ran;

	for (ran = 0; (n = ipc__rpc_list_take(&c->ready)) != NULL; ran++)
		run_node(c, n);
	return ran;
}

/*
 * Answers
 */

static void
keep_part(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    const unsigned char *data, size_t size)
{
	struct ipc__rpc_node *n = calloc(1, sizeof *n);

	if (n == NULL || !ipc__rpc_node_fill(n, data, size, NULL)) {
		free(n);
		ipc__rpc_give_up_call(c, slot, -ENOMEM);
		return;
	}
	n->slot = slot;
	n->generation = slot->generation;
	n->status = IPC_RPC_MORE;
	ipc__rpc_list_add(slot->state == IPC__RPC_STREAM ? slot->list :
	    &c->ready, n);
}

/* false: the server breaks the rules, or a part was lost on the way. */
static bool
part(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot, uint32_t number,
    const unsigned char *data, size_t size, int *ran)
{
	uint32_t generation = slot->generation;

	if (!(slot->flags & IPC_RPC_PARTS) || number != slot->parts ||
	    slot->owed >= IPC__RPC_WINDOW)
		return false;
	slot->parts++;
	slot->owed += size + IPC__RPC_PART_COST;
	if (slot->state != IPC__RPC_STARTED || ran == NULL ||
	    c->ready.first != NULL) {
		keep_part(c, slot, data, size);
		return true;
	}
	run_in_place(c, slot->done, slot->user, IPC_RPC_MORE, data, size);
	ipc__rpc_credit(c, slot, generation, size);
	(*ran)++;
	return true;
}

static void
final(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot, int status,
    const unsigned char *data, size_t size, int *ran)
{
	ipc_rpc_done *done = slot->done;
	void *user = slot->user;

	if (slot->state != IPC__RPC_STARTED || ran == NULL ||
	    c->ready.first != NULL) {
		ipc__rpc_finish(c, slot, status, data, size, &c->in);
		return;
	}
	ipc__rpc_slot_free(c, slot);
	run_in_place(c, done, user, status, data, size);
	(*ran)++;
}

/* false: this is no answer. */
static bool
status_of(const struct ipc__rpc_head *h, const struct ipc__rpc_slot *slot,
    int *status)
{
	switch (h->type) {
	case IPC__RPC_REPLY:
		*status = h->aux == slot->parts ? 0 : -EBADMSG;
		return true;
	case IPC__RPC_FAIL:
		*status = (int)h->aux;
		return h->aux >= 1 && h->aux <= INT_MAX;
	case IPC__RPC_ERROR:
		*status = -ipc__rpc_code_get(h->aux);
		return true;
	default:
		return false;
	}
}

static bool
answer(struct ipc_rpc_client *c, const struct ipc__rpc_head *h,
    const unsigned char *data, size_t size, int *ran)
{
	struct ipc__rpc_slot *slot = ipc__rpc_slot_of(c, h->id);
	int status;

	c->pause = IPC__RPC_PAUSE;	/* it is there, and answers */
	if (slot == NULL)
		return true;
	if (slot->doubt) {
		if (h->type != IPC__RPC_PART)
			ipc__rpc_last_word(c, slot);
		return true;
	}
	if (h->type == IPC__RPC_PART) {
		if (part(c, slot, h->aux, data, size, ran))
			return true;
		if (c->info.caps & IPC_CAP_RELIABLE)
			return false;
		ipc__rpc_give_up_call(c, slot, -EBADMSG);
		return true;
	}
	if (!status_of(h, slot, &status))
		return false;
	final(c, slot, status, data, size, ran);
	return true;
}

static void
bye(struct ipc_rpc_client *c, const struct ipc__rpc_head *h,
    const unsigned char *data, size_t size)
{
	snprintf(c->why, sizeof c->why, "%.*s", (int)(size < sizeof c->why ?
	    size : sizeof c->why), (const char *)data);
	ipc__rpc_lost(c, -ipc__rpc_code_get(h->aux));
}

/* 1, or the end. */
static int
frame(struct ipc_rpc_client *c, size_t size, int *ran)
{
	const unsigned char *data = c->in.data + IPC__RPC_HEAD;
	struct ipc__rpc_head h;
	bool good = ipc__rpc_get(&h, c->in.data, size);

	c->expect = false;
	if (ipc__likely(good && h.type >= IPC__RPC_REPLY &&
	    h.type <= IPC__RPC_PART))
		good = answer(c, &h, data, size - IPC__RPC_HEAD, ran);
	else if (good && h.type == IPC__RPC_FDS)
		c->expect = true;
	else if (good && h.type == IPC__RPC_BYE)
		bye(c, &h, data, size - IPC__RPC_HEAD);
	else
		good = false;
	if (ipc__unlikely(c->in.fd_count > 0 || c->in.fds_lost))
		ipc__rpc_in_close_fds(&c->in);
	if (ipc__unlikely(!good))
		ipc__rpc_lost(c, -EBADMSG);
	return c->ch != NULL ? 1 : c->end;
}

/*
 * Receiving
 */

static void
unpoll(struct ipc_rpc_client *c)
{
	if (c->polled && c->epoll == -1) {
		ipc__rest(c->ch, IPC_RECV);
		ipc__rest(c->ch, IPC_SEND);
		c->polled = false;
	}
}

int
ipc__rpc_wait_both(struct ipc_rpc_client *c, int timeout)
{
	struct ipc_pollitem item = { .channel = c->ch,
	    .events = POLLIN | POLLOUT };
	int rc;

	c->polled = true;
	rc = ipc_poll(&item, 1, timeout);
	return rc == -EINTR ? 0 : rc;
}

/* What is queued must go on its way while we wait, or the server might wait
 * for it. */
static int
bring_out(struct ipc_rpc_client *c, int *timeout)
{
	int rc = ipc__rpc_flush(&c->out);

	if (rc != -EAGAIN || *timeout == 0)
		return rc;
	rc = ipc__rpc_wait_both(c, *timeout);
	if (rc < 0)
		return rc;
	*timeout = 0;
	return ipc__rpc_flush(&c->out);
}

int
ipc__rpc_take_in(struct ipc_rpc_client *c, int timeout, int *ran)
{
	ssize_t n;

	/* If that meets the end, so does the receive behind what came. */
	if (ipc__unlikely(c->out.first != NULL))
		(void)bring_out(c, &timeout);
	else if (ipc__unlikely(c->polled) && timeout != 0)
		unpoll(c);
	n = ipc__rpc_receive(&c->in, c->ch, c->expect, timeout);
	if (ipc__likely(n >= 0))
		return frame(c, (size_t)n, ran);
	if (n == -EAGAIN || n == -ETIMEDOUT || n == -EINTR || n == -ECANCELED)
		return 0;
	if (!ipc__rpc_passes(n))
		ipc__rpc_lost(c, (int)n);
	return (int)n;
}
