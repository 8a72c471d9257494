/* SPDX-License-Identifier: ISC */
/*
 * Sending: one message at a time, as frames on a byte stream or as records.
 * How far a message has got is kept as (length, bytes written), so a send that
 * had to stop is simply called again with the same message.
 */
#include <stdlib.h>
#include <string.h>

#include "send.h"

#define WIRE_IOVS	64

/*
 * Descriptors
 */

/* They go before their message, with a control frame that announces them. */
static int
send_fds(struct ipc_channel *ch, const struct ipc_msg *msg)
{
	unsigned char frame[IPC__CONTROL_FRAME];
	struct ipc__out *out = &ch->out;
	struct iovec iov = { frame, sizeof frame };
	struct ipc__aside aside = { .flags = IPC__CONTROL, .fds = msg->fds,
	    .fd_count = msg->fd_count };
	ssize_t n;
	int rc;

	out->fd_serial = (out->fd_serial + 1) & 0xffffff;
	ipc__control_put(frame, IPC__CTL_FDS, msg->fd_count, out->fd_serial);
	if (out->half->be->traits & IPC__PASSES) {
		n = out->framed ? ipc__be_send(out->half, &iov, 1, &aside) :
		    ipc__out_control_record(ch, frame, &aside);
		if (n < 0)
			return ipc__out_answer(ch, n);
		out->fds_gone = true;
		return 0;
	}
	if ((rc = ipc__life_send_fds(out->life, out->fd_serial, msg->fds,
	    msg->fd_count)) < 0) {
		out->road_full = rc == -EAGAIN;
		return ipc__out_answer(ch, rc);
	}
	out->fds_gone = true;
	return ipc__owe(ch, IPC__CTL_FDS, msg->fd_count, out->fd_serial);
}

/*
 * A message
 */

/* The whole of a small one, or as much as is taken. */
static ssize_t
push_frames(struct ipc_channel *ch, const struct iovec *from, int count)
{
	struct ipc__out *out = &ch->out;
	unsigned char headers[WIRE_IOVS / 2 + 1][IPC__PIECE_HEAD];
	struct iovec iov[WIRE_IOVS];
	size_t atomic = out->half->atomic;
	ssize_t n;
	int used;

	used = ipc__wire(iov, WIRE_IOVS, headers, from, count, out->total,
	    atomic, out->done);
	n = ipc__be_send(out->half, iov, used, NULL);
	if (n < 0)
		return n;
	out->done += (size_t)n;
	return out->done == ipc__wire_size(out->total, atomic) ? 1 : 0;
}

static ssize_t
push_record(struct ipc_channel *ch, const struct iovec *from, int count,
    const struct ipc_msg *msg)
{
	struct ipc__out *out = &ch->out;
	size_t size = out->total - out->done, got;
	struct ipc__aside aside = { 0 };
	struct iovec iov[WIRE_IOVS];
	unsigned char tag = 0;
	int used = 0;
	ssize_t n;

	if (size > out->piece)
		size = out->piece;
	if (out->tagged)
		iov[used++] = (struct iovec){ &tag, 1 };
	used += ipc__slice(iov + used, WIRE_IOVS - used, from, count,
	    out->done, size, &got);
	if (out->done + got < out->total) {
		tag = IPC__TAG_MORE;
		aside.flags = IPC__MORE;
	}
	if (msg != NULL) {
		aside.priority = msg->priority;
		aside.address = msg->address;
		aside.address_size = msg->address ? msg->address_size : 0;
	}
	n = ipc__be_send(out->half, iov, used,
	    msg != NULL || aside.flags ? &aside : NULL);
	if (n < 0)
		return n;
	out->done += got;
	return out->done == out->total ? 1 : 0;
}

/* The kernel had no memory for so large a record: smaller ones from now on. */
static bool
shrink(struct ipc_channel *ch, ssize_t n)
{
	struct ipc__out *out = &ch->out;
	size_t record = out->half->record - out->tagged;

	if (n != -EMSGSIZE || out->framed || record >= out->piece ||
	    !(ch->caps & IPC_CAP_LARGE))
		return false;
	out->piece = record;
	out->quick = ipc__quick_max(ch);
	return true;
}

/* Brings the message on as far as it goes: 0 it is out, -EAGAIN, the end. */
static int
push(struct ipc_channel *ch, const struct iovec *from, int count,
    const struct ipc_msg *msg)
{
	struct ipc__out *out = &ch->out;
	ssize_t n = 0;
	int rc;

	out->road_full = false;
	if (ipc__unlikely(out->end || atomic_load_explicit(&ch->gone,
	    memory_order_relaxed)))
		return ipc__plain(out->end ? out->end : ch->gone);
	if (ipc__unlikely(ipc__out_debt(out)) && (rc = ipc__settle(ch)) < 0)
		return rc;
	if (msg != NULL && msg->fd_count > 0 && !out->fds_gone &&
	    (rc = send_fds(ch, msg)) < 0)
		return rc;
	while (n == 0) {
		n = out->framed ? push_frames(ch, from, count) :
		    push_record(ch, from, count, msg);
		if (n < 0 && !shrink(ch, n))
			return ipc__out_answer(ch, n);
		if (n < 0)
			n = 0;
	}
	return 0;
}

/* A mechanism that shows no end by itself. */
static int
silent_end(struct ipc_channel *ch)
{
	struct ipc__out *out = &ch->out;

	if (out->life == NULL || !(out->half->be->traits & IPC__SILENT))
		return -EAGAIN;
	ipc__life_look(out->life);
	return ipc__life_ended(out->life, IPC_RECV) ? ipc__out_ended(ch) :
	    -EAGAIN;
}

/* No room: 0 look again, -EAGAIN it is safe to wait, or the end. */
static int
no_room(struct ipc_channel *ch)
{
	int rc;

	if ((rc = silent_end(ch)) != -EAGAIN || ch->out.road_full)
		return rc;
	rc = ipc__be_arm(ch->out.half, IPC_SEND);
	return rc < 0 ? ipc__fail_at(ch->address.text, rc) :
	    rc > 0 ? 0 : -EAGAIN;
}

static int
await(struct ipc_channel *ch, const struct iovec *from, int count,
    const struct ipc_msg *msg, int64_t deadline)
{
	struct ipc__spin spin;
	int rc;

	for (;;) {
		ipc__spin_begin(ch, IPC_SEND, deadline, &spin);
		while (ipc__spin_more(&spin))
			if ((rc = push(ch, from, count, msg)) != -EAGAIN)
				return rc;
		rc = no_room(ch);
		if (rc == -EAGAIN)
			rc = ipc__wait(ch, IPC_SEND, deadline);
		ipc__be_disarm(ch->out.half, IPC_SEND);
		if (rc < 0)
			return rc;
		if ((rc = push(ch, from, count, msg)) != -EAGAIN)
			return rc;
	}
}

/* A send that did not wait and found no room. */
static int
no_wait(struct ipc_channel *ch)
{
	int rc = -EAGAIN;

	/* Without an event loop nobody waits, and nothing is to ring. */
	rc = ch->out.ready.watched ? no_room(ch) : silent_end(ch);
	return rc == 0 || rc == -EAGAIN ? ipc__plain(-EAGAIN) : rc;
}

static int
same_message(struct ipc_channel *ch, size_t total)
{
	const struct ipc__out *out = &ch->out;

	if (out->total == total && (!ch->many ||
	    pthread_equal(out->owner, pthread_self())))
		return 0;
	return ipc__fail(EALREADY, "a message of %zu bytes is begun: send the "
	    "same one again, or ipc_abandon", out->total);
}

static int
begin(struct ipc_channel *ch, size_t total)
{
	struct ipc__out *out = &ch->out;

	if (out->begun)
		return out->end ? out->end : same_message(ch, total);
	out->total = total;
	out->done = 0;
	out->fds_gone = false;
	if (ipc__unlikely(ch->many))
		out->owner = pthread_self();
	if (ipc__unlikely(total > out->half->record))
		ipc__be_expect(out->half, total);
	if (ipc__likely(out->look_in-- > 0 && !out->half->left))
		return 0;
	(void)ipc__be_beside(out->half);
	out->half->left = false;
	out->look_in = out->half->be->traits & IPC__SPINS ?
	    IPC__LOOK_EVERY_SPIN : IPC__LOOK_EVERY;
	if (out->life != NULL && out->half->be->traits & IPC__SILENT)
		return silent_end(ch) == -EAGAIN ? 0 : out->end;
	return 0;
}

static int
transmit(struct ipc_channel *ch, const struct iovec *iov, int count,
    size_t total, const struct ipc_msg *msg, int timeout)
{
	struct ipc__out *out = &ch->out;
	int rc;

	if (ipc__unlikely(atomic_load_explicit(&out->ready.cancel,
	    memory_order_relaxed)) &&
	    (rc = ipc__cancelled(ch, IPC_SEND)) < 0)
		return rc;
	if ((rc = begin(ch, total)) < 0)
		return rc;
	rc = push(ch, iov, count, msg);
	if (rc == -EAGAIN)
		rc = timeout == 0 ? no_wait(ch) :
		    await(ch, iov, count, msg, ipc__deadline(timeout));
	if (ipc__likely(rc == 0)) {
		out->begun = out->fds_gone = false;
		ipc__count(out->messages, 1);
		ipc__count(out->bytes, total);
		return 0;
	}
	out->begun = out->begun || out->done > 0 || out->fds_gone;
	return rc;
}

/* What is taken whole or not at all must not be cut because it has many
 * parts. */
static bool
goes_whole(const struct ipc_channel *ch, size_t total)
{
	const struct ipc__out *out = &ch->out;

	return out->framed ? total + IPC__HEADER <= out->half->atomic :
	    !(ch->caps & IPC_CAP_LARGE);
}

static int
transmit_joined(struct ipc_channel *ch, const struct iovec *iov, int count,
    size_t total, const struct ipc_msg *msg, int timeout)
{
	unsigned char *p = malloc(total ? total : 1);
	struct iovec one = { p, total };
	size_t at = 0;
	int i, rc;

	if (p == NULL)
		return ipc__fail(ENOMEM, "no memory to put %d parts together",
		    count);
	for (i = 0; i < count; at += iov[i++].iov_len)
		if (iov[i].iov_len > 0)
			memcpy(p + at, iov[i].iov_base, iov[i].iov_len);
	rc = transmit(ch, &one, 1, total, msg, timeout);
	free(p);
	return rc;
}

int
ipc__transmit(struct ipc_channel *ch, const struct iovec *iov, int count,
    size_t total, const struct ipc_msg *msg, int timeout)
{
	if (ipc__unlikely(count > WIRE_IOVS - 2) && goes_whole(ch, total))
		return transmit_joined(ch, iov, count, total, msg, timeout);
	return transmit(ch, iov, count, total, msg, timeout);
}

/*
 * In place, and bytes without boundaries
 */

static int
try_reserve(struct ipc_channel *ch, void **data, size_t size)
{
	int rc;

	if (ch->out.end)
		return ch->out.end;
	if (ipc__out_debt(&ch->out) && (rc = ipc__settle(ch)) < 0)
		return rc;
	rc = ipc__be_reserve(ch->out.half, data, size);
	return rc < 0 ? ipc__out_answer(ch, rc) : 0;
}

/* Not now: spin, look for the end, sleep; 0: try again. */
static int
wait_room(struct ipc_channel *ch, int timeout, int64_t *deadline)
{
	int rc;

	if (timeout == 0)
		return no_wait(ch);
	if (timeout > 0 && *deadline == -1)
		*deadline = ipc__deadline(timeout);
	rc = no_room(ch);
	if (rc == -EAGAIN)
		rc = ipc__wait(ch, IPC_SEND, *deadline);
	ipc__be_disarm(ch->out.half, IPC_SEND);
	return rc;
}

int
ipc__reserve(struct ipc_channel *ch, void **data, size_t size, int timeout)
{
	int64_t deadline = -1;
	int rc;

	if (atomic_load(&ch->out.ready.cancel) &&
	    (rc = ipc__cancelled(ch, IPC_SEND)) < 0)
		return rc;
	ch->out.total = 0;
	if ((rc = begin(ch, 0)) < 0)
		return rc;
	while ((rc = try_reserve(ch, data, size)) == -EAGAIN)
		if ((rc = wait_room(ch, timeout, &deadline)) < 0)
			return rc;
	return rc;
}

int
ipc__commit(struct ipc_channel *ch, size_t size)
{
	int rc = ipc__be_commit(ch->out.half, size, 0);

	if (rc < 0)
		return ipc__out_answer(ch, rc);
	ipc__count(ch->out.messages, 1);
	ipc__count(ch->out.bytes, size);
	return 0;
}

ssize_t
ipc__write_raw(struct ipc_channel *ch, const struct iovec *iov, int timeout)
{
	int64_t deadline = -1;
	ssize_t n;
	int rc;

	if (atomic_load(&ch->out.ready.cancel) &&
	    (rc = ipc__cancelled(ch, IPC_SEND)) < 0)
		return rc;
	if ((rc = begin(ch, iov->iov_len)) < 0)
		return rc;
	if (ch->out.end)
		return ch->out.end;
	while ((n = ipc__be_send(ch->out.half, iov, 1, NULL)) == -EAGAIN)
		if ((rc = wait_room(ch, timeout, &deadline)) < 0)
			return rc;
	if (n < 0)
		return ipc__out_answer(ch, n);
	ipc__count(ch->out.messages, 1);
	ipc__count(ch->out.bytes, (uint64_t)n);
	return n;
}

int
ipc__give_up(struct ipc_channel *ch)
{
	int rc;

	ipc__out_give_up(ch);
	if (ch->out.end)
		return 0;
	rc = ipc__settle(ch);
	return rc == -EAGAIN ? 0 : rc;
}

void
ipc__out_free(struct ipc__out *out)
{
	free(out->own);
	free(out->batch);
}
