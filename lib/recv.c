/* SPDX-License-Identifier: ISC */
/*
 * Receiving.  Everything that gives a message (recv, recvmsg, recvmany, peek,
 * and read over records) goes through ipc__receive(), which leaves one whole
 * message in ch->in and does not take it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recv.h"

#define ARM_TRIES	16
#define VAIN_LOOKS	4	/* then it waits first */
#define LOOK_AGAIN	64	/* but not always */
#define MANY_SCANS	16	/* without waiting: then it asks for the end */
#define SCANS_MOST	(MANY_SCANS + 64) /* after so many, or */
#define SCANS_TIME	5000000	/* after this (ns), and up to a tick */

int
ipc__fetch(struct ipc_channel *ch)
{
	if (ch->in.whole)
		return 0;
	if (ipc__unlikely(ch->in.untold)) {
		int rc = ipc__plain(ch->in.untold);

		ch->in.untold = 0;
		return rc;
	}
	if (ch->in.end)
		return ipc__plain(ch->in.end);
	return ch->in.framed ? ipc__fetch_frame(ch) : ipc__fetch_record(ch);
}

/* The other side of a mechanism that shows no end by itself: was it there
 * before we looked? */
static int
silent_end(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (in->life == NULL || !(in->half->be->traits & IPC__SILENT))
		return -EAGAIN;
	ipc__life_look(in->life);
	if (!ipc__life_ended(in->life, IPC_SEND))
		return -EAGAIN;
	/* It ended before this look, so what it sent is there now. */
	rc = ipc__fetch(ch);
	return rc == -EAGAIN && !in->busy ? ipc__ended(ch) : rc;
}

/* Half-duplex: a receive when it is ours to speak would wait for ever; only
 * the end of the other side comes before the turn. */
static int
my_turn(struct ipc_channel *ch)
{
	int rc = ipc__fetch(ch);

	if (rc == -EAGAIN)
		rc = silent_end(ch);
	if (rc == -EAGAIN || rc == -EBUSY)
		rc = ipc__fail(EBUSY, "it is this side's turn to send");
	return rc;
}

/*
 * A receiver that always has to wait need not look before it does: that is a
 * system call less in each round of a ping-pong.  Now and then it looks all the
 * same, or it would never find that the other side has become faster.
 */
static bool
wait_first(struct ipc_channel *ch, int timeout)
{
	struct ipc__in *in = &ch->in;

	return in->vain >= VAIN_LOOKS && timeout != 0 &&
	    ++in->vain % LOOK_AGAIN != 0 && !in->whole && !in->busy &&
	    !in->end && !in->untold && in->fill == in->pos &&
	    !(in->half->be->traits & IPC__SPINS) &&
	    (in->half->be->arm == NULL || in->ready.looked);
}

/*
 * A receiver that is faster than a stream of small messages over a pipe meets
 * the sender in the kernel at each of them: at the pipe's lock, and in the
 * cache lines that were just written.  After some reads in a row that brought
 * little it lets a few microseconds' worth come together, which makes the
 * sender faster by a fifth, and twice as fast where the processors share no
 * cache.
 */
static void
gather(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;

	if (ch->address.opt.wait == IPC__WAIT_BLOCK || in->whole ||
	    ipc__frame_ahead(in))
		return;
	ipc__spin_until(in->read_at + IPC__GATHER_TIME);
	in->gathered = true;
}

static int
first_look(struct ipc_channel *ch, int timeout)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (ipc__unlikely(in->dense == IPC__GATHER_DENSE) && timeout != 0)
		gather(ch);
	else if (ipc__unlikely(wait_first(ch, timeout)))
		return -EAGAIN;
	rc = ipc__fetch(ch);
	if (rc != -EAGAIN)
		in->vain = in->scans = 0;
	else if (timeout != 0 && in->vain < VAIN_LOOKS)
		in->vain++;
	return rc;
}

/* Nothing there: put the readiness out, or find that something came. */
static int
look_again(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc, i;

	if (in->busy)
		return ipc__fetch(ch);
	if ((rc = silent_end(ch)) != -EAGAIN)
		return rc;
	for (i = 0; (rc = ipc__be_arm(in->half, IPC_RECV)) != 0; i++) {
		if (rc < 0)
			return ipc__fail_at(ch->address.text, rc);
		rc = ipc__fetch(ch);
		/* A hostile ring can say so for ever: not past the deadline. */
		in->busy |= i == ARM_TRIES;
		if (rc != -EAGAIN || in->busy) {
			ipc__be_disarm(in->half, IPC_RECV);
			return rc;
		}
	}
	return -EAGAIN;
}

/* Kept for the next call, when the caller's buffer will be gone. */
static int
keep_part(struct ipc_channel *ch, int rc)
{
	int failed;

	if (!ch->in.lent || ch->in.len == 0 || ch->in.view != NULL ||
	    (failed = ipc__take_home(ch, ch->in.len)) == 0)
		return rc;
	/* Half of it would be lost, so all that follows is. */
	ipc__drop_message(&ch->in);
	return ch->in.end = failed;
}

/*
 * Who does nothing but look, perhaps at thousands of rings, would spend it all
 * on asking the life line, which is a system call.  So after some looks in a
 * row it is asked at some of them only, but not much later.
 */
static bool
asked_lately(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int64_t tick;

	if (!(in->half->be->traits & IPC__SPINS) ||
	    in->scans++ < MANY_SCANS)
		return false;
	tick = ipc__tick();
	if (in->scans < SCANS_MOST && tick - in->scanned < SCANS_TIME)
		return true;
	in->scans = MANY_SCANS;
	in->scanned = tick;
	return false;
}

static int
no_wait(struct ipc_channel *ch)
{
	int rc = -EAGAIN;

	if (ch->in.ready.watched || ch->in.busy)
		rc = look_again(ch);
	else if (ipc__be_over(ch->in.half))
		rc = ipc__fetch(ch);
	else if (!asked_lately(ch))	/* nobody waits: nothing is to ring */
		rc = silent_end(ch);
	return rc == -EAGAIN ? ipc__plain(-EAGAIN) : rc;
}

/* Spins while that pays, then sleeps. */
static int
await(struct ipc_channel *ch, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	struct ipc__spin spin;
	int rc;

	for (;;) {
		ipc__settle_turn(ch);
		ipc__spin_begin(ch, IPC_RECV, deadline, &spin);
		while (ipc__spin_more(&spin))
			if ((rc = ipc__fetch(ch)) != -EAGAIN)
				return rc;
		if ((rc = look_again(ch)) != -EAGAIN)
			return rc;
		rc = ipc__wait(ch, IPC_RECV, deadline);
		ipc__be_disarm(ch->in.half, IPC_RECV);
		if (rc < 0)
			return rc;
		if ((rc = ipc__fetch(ch)) != -EAGAIN)
			return rc;
	}
}

int
ipc__keep(struct ipc_channel *ch, int rc)
{
	return rc < 0 ? keep_part(ch, rc) : rc;
}

int
ipc__receive(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (ipc__unlikely(atomic_load_explicit(&in->ready.cancel,
	    memory_order_relaxed)) &&
	    (rc = ipc__cancelled(ch, IPC_RECV)) < 0)
		return rc;
	if (!in->whole && in->len == 0) {
		in->lent = buffer != NULL;
		in->base = in->lent ? buffer : in->own;
		in->room = in->lent ? size : in->own_size;
	}
	if (ipc__unlikely(ch->half_duplex)) {
		ipc__settle_turn(ch);
		if (atomic_load(&ch->turn))
			return keep_part(ch, my_turn(ch));
	}
	rc = first_look(ch, timeout);
	if (rc == -EAGAIN)
		rc = timeout == 0 ? no_wait(ch) : await(ch, timeout);
	in->nap = 0;
	if (rc == -EBUSY)
		rc = my_turn(ch);
	return ipc__likely(rc == 0) ? 0 : keep_part(ch, rc);
}

void
ipc__taken(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;

	ipc__count(in->messages, 1);
	ipc__count(in->bytes, in->len);
	if (in->view != NULL) {
		ipc__be_release(in->half, 0);
		in->view = NULL;
	}
	ipc__drop_message(in);
	if (ipc__unlikely(in->fd_count > 0 || in->fds_lost))
		ipc__close_fds(in);
}

/*
 * Bytes without boundaries
 */

static ssize_t
raw_end(struct ipc_channel *ch)
{
	int rc = 0;

	if (ch->in.outlives) {
		ipc__ready_forget(&ch->in.ready);
		rc = ipc__be_again(ch->in.half);
	} else
		ch->in.end = -EPIPE;
	return rc < 0 ? rc : 0;
}

ssize_t
ipc__read_raw(struct ipc_channel *ch, const struct iovec *iov, int timeout)
{
	int64_t deadline = -1;
	ssize_t n;
	int rc;

	if (atomic_load(&ch->in.ready.cancel) &&
	    (rc = ipc__cancelled(ch, IPC_RECV)) < 0)
		return rc;
	if (ch->in.end)
		return 0;
	while ((n = ipc__be_recv(ch->in.half, iov, 1, NULL)) == -EAGAIN) {
		if (timeout == 0)
			return ipc__plain(-EAGAIN);
		if (timeout > 0 && deadline == -1)
			deadline = ipc__deadline(timeout);
		if ((rc = ipc__wait(ch, IPC_RECV, deadline)) < 0)
			return rc;
	}
	if (n == 0 || n == -EPIPE || n == -ECONNRESET)
		return raw_end(ch);
	if (n < 0)
		return ipc__fail_at(ch->address.text, (int)n);
	ipc__count(ch->in.messages, 1);
	ipc__count(ch->in.bytes, (uint64_t)n);
	return n;
}

bool
ipc__in_ready(const struct ipc_channel *ch)
{
	const struct ipc__in *in = &ch->in;

	return in->whole || in->end != 0 || in->untold != 0 || in->busy ||
	    (in->framed && ipc__frame_ahead(in)) ||
	    atomic_load_explicit(&in->ready.cancel, memory_order_relaxed);
}

bool
ipc__turn_ready(const struct ipc_channel *ch)
{
	return ch->half_duplex && atomic_load(&ch->turn);
}

void
ipc__in_free(struct ipc__in *in)
{
	unsigned i, k;

	ipc__close_fds(in);
	for (i = 0; i < IPC__LIFE_BATCHES; i++) {
		for (k = 0; in->arrived[i] && k < in->arrived[i]->count; k++)
			close(in->arrived[i]->fds[k]);
		free(in->arrived[i]);
	}
	free(in->with);
	free(in->address);
	free(in->ahead);
	free(in->own);
}
