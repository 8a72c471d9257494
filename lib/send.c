/* SPDX-License-Identifier: ISC */
/*
 * Sending: one message at a time, as frames on a byte stream or as records.
 * How far a message has got is kept as (length, bytes written), so a send that
 * had to stop is simply called again with the same message.  A message that is
 * given up leaves a debt: the rest of the piece that its header promised, and
 * a control frame that takes the message back.
 */
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define WIRE_IOVS	64
#define BATCH_SIZE	65536
/* On a mechanism that shows no end by itself, every so many sends. */
#define LOOK_EVERY	64

static const unsigned char zeros[4096];

static int
send_ended(struct ipc_channel *ch)
{
	return ch->out.end = ipc__end_code(ch, IPC_SEND);
}

/* What the backend answered: the end has one code, whoever meets it. */
static int
answer(struct ipc_channel *ch, ssize_t n)
{
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n != -EPIPE && n != -ECONNRESET)
		return ipc__fail_at(ch->address.text, (int)n);
	if (ch->out.outlives || !(ch->caps & IPC_CAP_END))
		return -EPIPE;	/* others may come */
	return send_ended(ch);
}

/*
 * Debts
 */

static bool
in_debt(const struct ipc__out *out)
{
	return out->debt.head_left > 0 || out->debt.zeros > 0 ||
	    out->debt.count > 0;
}

static int
debt_iov(const struct ipc__debt *d, struct iovec *iov, int max)
{
	size_t left = d->zeros, n;
	int count = 0;

	if (d->head_left > 0)
		iov[count++] = (struct iovec){ (void *)(d->head +
		    sizeof d->head - d->head_left), d->head_left };
	for (; left > 0 && count < max; left -= n) {
		n = left < sizeof zeros ? left : sizeof zeros;
		iov[count++] = (struct iovec){ (void *)zeros, n };
	}
	if (left == 0 && d->count > 0 && count < max)
		iov[count++] = (struct iovec){ (void *)(d->control[0] + d->off),
		    sizeof d->control[0] - d->off };
	return count;
}

static size_t
pay(size_t *owed, size_t n)
{
	size_t paid = n < *owed ? n : *owed;

	*owed -= paid;
	return n - paid;
}

static void
debt_paid(struct ipc__debt *d, size_t n)
{
	size_t head = d->head_left;

	n = pay(&head, n);
	d->head_left = (unsigned)head;
	n = pay(&d->zeros, n);
	d->off += (unsigned)n;
	if (d->off < IPC__CONTROL_FRAME)
		return;
	d->off = 0;
	memmove(d->control, d->control + 1, sizeof d->control -
	    sizeof d->control[0]);
	d->count--;
}

/* A control record: tag and 8 bytes, or flags and 8 bytes. */
static ssize_t
control_record(struct ipc_channel *ch, const unsigned char *frame,
    const struct ipc__aside *aside)
{
	unsigned char tag = IPC__TAG_CONTROL;
	struct iovec iov[2] = { { &tag, 1 },
	    { (void *)(frame + IPC__HEADER), IPC__CONTROL_SIZE } };

	if (ch->out.tagged)
		return ipc__be_send(ch->out.half, iov, 2, aside);
	return ipc__be_send(ch->out.half, iov + 1, 1, aside);
}

static ssize_t
pay_some(struct ipc_channel *ch)
{
	struct ipc__aside aside = { .flags = IPC__CONTROL };
	struct ipc__debt *d = &ch->out.debt;
	struct iovec iov[WIRE_IOVS];
	ssize_t n;

	if (ch->out.framed) {
		n = ipc__be_send(ch->out.half, iov,
		    debt_iov(d, iov, WIRE_IOVS), NULL);
		if (n > 0)
			debt_paid(d, (size_t)n);
		return n;
	}
	n = control_record(ch, d->control[0], &aside);
	if (n >= 0)
		debt_paid(d, IPC__CONTROL_FRAME);
	return n;
}

int
ipc__settle(struct ipc_channel *ch)
{
	ssize_t n;

	while (in_debt(&ch->out))
		if ((n = pay_some(ch)) < 0)
			return answer(ch, n);
	return 0;
}

void
ipc__settle_turn(struct ipc_channel *ch)
{
	if (ipc__likely(!ch->half_duplex) || ch->out.half == NULL ||
	    ch->out.end || pthread_mutex_trylock(&ch->out.lock) != 0)
		return;
	(void)ipc__settle(ch);
	pthread_mutex_unlock(&ch->out.lock);
}

static void
add_debt(struct ipc__out *out, unsigned kind, unsigned arg, uint32_t value)
{
	if (out->debt.count < 4)
		ipc__control_put(out->debt.control[out->debt.count++], kind,
		    arg, value);
}

int
ipc__owe(struct ipc_channel *ch, unsigned kind, unsigned arg, uint32_t value)
{
	add_debt(&ch->out, kind, arg, value);
	return ipc__settle(ch);
}

/* Turns the message that was begun into a debt. */
static void
give_up(struct ipc_channel *ch)
{
	struct ipc__out *out = &ch->out;
	struct ipc__debt *d = &out->debt;
	bool sent = out->done > 0 || out->fds_gone;
	unsigned char head[IPC__HEADER];

	if (!out->begun)
		return;
	if (out->framed && out->done > 0) {
		d->head_left = ipc__wire_rest(out->total, out->done, head,
		    &d->zeros);
		memcpy(d->head + sizeof d->head - d->head_left, head,
		    d->head_left);
	}
	if (sent)
		add_debt(out, IPC__CTL_ABANDON, 0, 0);
	out->begun = out->fds_gone = false;
	out->done = out->total = 0;
}

/* A one-way end of a two-way socket can still say goodbye. */
static void
lend_way(struct ipc_channel *ch)
{
	ch->out.half = ch->in.half;
	ch->out.half->refs++;
	ch->out.framed = ch->in.framed;
	ch->out.tagged = ch->in.tagged;
}

void
ipc__goodbye(struct ipc_channel *ch, int dirs)
{
	struct ipc__out *out = &ch->out;

	if (out->half == NULL && ch->in.half != NULL && ch->in.life == NULL &&
	    ch->in.half->dir & IPC_SEND)
		lend_way(ch);
	if (ch->in.life != NULL && (dirs & IPC_RECV || !ch->joined))
		ipc__life_bye(ch->in.life, dirs);
	if (out->life != NULL && out->life != ch->in.life)
		ipc__life_bye(out->life, dirs);
	if (out->life != NULL || out->half == NULL || out->half->bare ||
	    out->end || !(ch->caps & IPC_CAP_DEATH) ||
	    ch->boundary == IPC_STREAM)
		return;
	give_up(ch);
	add_debt(out, IPC__CTL_BYE, (unsigned)dirs, 0);
	if (ipc__settle(ch) == -EAGAIN) {
		ipc__be_stretch(out->half, out->debt.head_left +
		    out->debt.zeros + out->debt.count * IPC__CONTROL_FRAME);
		(void)ipc__settle(ch);
	}
}

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
		    control_record(ch, frame, &aside);
		if (n < 0)
			return answer(ch, n);
		out->fds_gone = true;
		return 0;
	}
	if ((rc = ipc__life_send_fds(out->life, out->fd_serial, msg->fds,
	    msg->fd_count)) < 0)
		return answer(ch, rc);
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
	unsigned char headers[WIRE_IOVS / 2 + 1][IPC__HEADER];
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

/* Brings the message on as far as it goes: 0 it is out, -EAGAIN, the end. */
static int
push(struct ipc_channel *ch, const struct iovec *from, int count,
    const struct ipc_msg *msg)
{
	struct ipc__out *out = &ch->out;
	ssize_t n = 0;
	int rc;

	if (ipc__unlikely(out->end))
		return out->end;
	if (ipc__unlikely(in_debt(out)) && (rc = ipc__settle(ch)) < 0)
		return rc;
	if (msg != NULL && msg->fd_count > 0 && !out->fds_gone &&
	    (rc = send_fds(ch, msg)) < 0)
		return rc;
	while (n == 0) {
		n = out->framed ? push_frames(ch, from, count) :
		    push_record(ch, from, count, msg);
		if (n < 0)
			return answer(ch, n);
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
	return ipc__life_ended(out->life, IPC_RECV) ? send_ended(ch) : -EAGAIN;
}

/* No room: 0 look again, -EAGAIN it is safe to wait, or the end. */
static int
no_room(struct ipc_channel *ch)
{
	int rc;

	if ((rc = silent_end(ch)) != -EAGAIN)
		return rc;
	return ipc__be_arm(ch->out.half, IPC_SEND) ? 0 : -EAGAIN;
}

static int
await(struct ipc_channel *ch, const struct iovec *from, int count,
    const struct ipc_msg *msg, int64_t deadline)
{
	struct ipc__spin spin;
	int rc;

	for (;;) {
		ipc__spin_begin(ch, IPC_SEND, &spin);
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

	if (ch->out.half->be->traits & IPC__SILENT || ch->out.ready.epoll != -1)
		rc = no_room(ch);
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
		return same_message(ch, total);
	out->total = total;
	out->done = 0;
	out->fds_gone = false;
	if (ipc__unlikely(ch->many))
		out->owner = pthread_self();
	if (ipc__unlikely(total > out->half->record))
		ipc__be_expect(out->half, total);
	if (ipc__unlikely(out->life != NULL && out->half->be->traits &
	    IPC__SILENT && ++out->looks % LOOK_EVERY == 0))
		return silent_end(ch) == -EAGAIN ? 0 : out->end;
	return 0;
}

int
ipc__transmit(struct ipc_channel *ch, const struct iovec *iov, int count,
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

/*
 * In place, and bytes without boundaries
 */

static int
try_reserve(struct ipc_channel *ch, void **data, size_t size)
{
	int rc;

	if (ch->out.end)
		return ch->out.end;
	if (in_debt(&ch->out) && (rc = ipc__settle(ch)) < 0)
		return rc;
	rc = ipc__be_reserve(ch->out.half, data, size);
	return rc < 0 ? answer(ch, rc) : 0;
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
		return answer(ch, rc);
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
		return answer(ch, n);
	ipc__count(ch->out.messages, 1);
	ipc__count(ch->out.bytes, (uint64_t)n);
	return n;
}

int
ipc__give_up(struct ipc_channel *ch)
{
	int rc;

	give_up(ch);
	if (ch->out.end)
		return 0;
	rc = ipc__settle(ch);
	return rc == -EAGAIN ? 0 : rc;
}

/*
 * Many at once
 */

static unsigned char *
put_small(unsigned char *p, const struct iovec *message, bool whole)
{
	size_t n = message->iov_len;

	ipc__put32(p, (uint32_t)n | (whole ? 0 : IPC__FRAME_MORE));
	p += IPC__HEADER;
	if (n > 0)
		memcpy(p, message->iov_base, n);
	p += n;
	if (!whole) {
		ipc__put32(p, 0);
		p += IPC__HEADER;
	}
	return p;
}

/* Copies frames of as many small messages as there is room for.  Where some
 * bytes are taken whole, no more than those: a frame must not be cut. */
static size_t
batch_frames(struct ipc__out *out, const struct iovec *messages, int count,
    int *taken)
{
	size_t atomic = out->half->atomic, n;
	size_t room = atomic && atomic < BATCH_SIZE ? atomic : BATCH_SIZE;
	unsigned char *p = out->batch;

	for (*taken = 0; *taken < count; ++*taken) {
		n = messages[*taken].iov_len;
		if (n > out->limit || n > BATCH_SIZE / 4)
			break;
		n = ipc__wire_size(n, atomic);
		if (n > room - (size_t)(p - out->batch))
			break;
		p = put_small(p, &messages[*taken], atomic > 0);
	}
	return (size_t)(p - out->batch);
}

/* How many whole messages lie in the first n bytes; the next one is begun. */
static int
batch_done(struct ipc_channel *ch, const struct iovec *messages, int count,
    size_t n)
{
	struct ipc__out *out = &ch->out;
	size_t size;
	int i;

	for (i = 0; i < count; i++, n -= size) {
		size = ipc__wire_size(messages[i].iov_len, out->half->atomic);
		if (n < size)
			break;
		ipc__count(out->messages, 1);
		ipc__count(out->bytes, messages[i].iov_len);
	}
	if (i < count && n > 0) {
		out->begun = true;
		out->total = messages[i].iov_len;
		out->done = n;
		if (ch->many)
			out->owner = pthread_self();
	}
	return i;
}

int
ipc__batch(struct ipc_channel *ch, const struct iovec *messages, int count)
{
	struct ipc__out *out = &ch->out;
	struct iovec iov;
	ssize_t n;
	int taken;

	if (!out->framed || out->begun || out->end || in_debt(out) ||
	    count < 2 || ch->in.exact)
		return 0;
	if (out->batch == NULL &&
	    (out->batch = malloc(BATCH_SIZE)) == NULL)
		return 0;
	iov.iov_base = out->batch;
	iov.iov_len = batch_frames(out, messages, count, &taken);
	if (taken < 2)
		return 0;
	if ((n = ipc__be_send(out->half, &iov, 1, NULL)) <= 0)
		return n == -EAGAIN ? 0 : answer(ch, n);
	return batch_done(ch, messages, taken, (size_t)n);
}

void
ipc__out_free(struct ipc__out *out)
{
	free(out->own);
	free(out->batch);
}
