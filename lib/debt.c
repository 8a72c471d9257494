/* SPDX-License-Identifier: ISC */
/*
 * Debts: what was promised to the other side and is not yet written.  A message
 * that is given up leaves the rest of the piece that its header promised, and a
 * control frame that takes the message back; turns and goodbyes are control
 * frames too.
 */
#include <string.h>

#include "send.h"

#define DEBT_IOVS	64
#define ARM_TRIES	16

static const unsigned char zeros[4096];

int
ipc__out_ended(struct ipc_channel *ch)
{
	return ch->out.end = ipc__plain(ipc__end_code(ch, IPC_SEND));
}

/* What the backend answered: the end has one code, whoever meets it. */
int
ipc__out_answer(struct ipc_channel *ch, ssize_t n)
{
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n != -EPIPE && n != -ECONNRESET)
		return ipc__fail_at(ch->address.text, (int)n);
	if (ch->out.outlives || !(ch->caps & IPC_CAP_END))
		return ipc__plain(-EPIPE);	/* others may come */
	return ipc__out_ended(ch);
}

/*
 * Debts
 */

bool
ipc__out_debt(const struct ipc__out *out)
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
ssize_t
ipc__out_control_record(struct ipc_channel *ch, const unsigned char *frame,
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
	struct iovec iov[DEBT_IOVS];
	ssize_t n;

	if (ch->out.framed) {
		n = ipc__be_send(ch->out.half, iov,
		    debt_iov(d, iov, DEBT_IOVS), NULL);
		if (n > 0)
			debt_paid(d, (size_t)n);
		return n;
	}
	n = ipc__out_control_record(ch, d->control[0], &aside);
	if (n >= 0)
		debt_paid(d, IPC__CONTROL_FRAME);
	return n;
}

int
ipc__settle(struct ipc_channel *ch)
{
	ssize_t n;

	while (ipc__out_debt(&ch->out))
		if ((n = pay_some(ch)) < 0)
			return ipc__out_answer(ch, n);
	return 0;
}

/* Writes what is owed, or has the mechanism ring when there is room for it. */
static int
settle_armed(struct ipc_channel *ch)
{
	int rc, i = 0;

	ipc__be_disarm(ch->out.half, IPC_SEND);
	do
		rc = ipc__settle(ch);
	while (rc == -EAGAIN && i++ < ARM_TRIES &&
	    ipc__be_arm(ch->out.half, IPC_SEND) > 0);
	return rc;
}

void
ipc__settle_turn(struct ipc_channel *ch)
{
	if (ipc__likely(!ch->half_duplex) || ch->out.half == NULL ||
	    ch->out.end || pthread_mutex_trylock(&ch->out.lock) != 0)
		return;
	if (ipc__out_debt(&ch->out))
		(void)settle_armed(ch);
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

int
ipc__owe_turn(struct ipc_channel *ch)
{
	add_debt(&ch->out, IPC__CTL_TURN, 0, 0);
	return settle_armed(ch);
}

/* Turns the message that was begun into a debt. */
void
ipc__out_give_up(struct ipc_channel *ch)
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
	    ch->boundary == IPC_STREAM || (dirs == IPC_RECV && out->begun))
		return;
	ipc__out_give_up(ch);
	add_debt(out, IPC__CTL_BYE, (unsigned)dirs, 0);
	if (ipc__settle(ch) == -EAGAIN) {
		ipc__be_stretch(out->half, out->debt.head_left +
		    out->debt.zeros + out->debt.count * IPC__CONTROL_FRAME);
		(void)ipc__settle(ch);
	}
}
