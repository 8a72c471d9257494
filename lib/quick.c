/* SPDX-License-Identifier: ISC */
/*
 * The short way for the ordinary case: one small message on a channel that is
 * in no special state, taken or given at once.  Everything else answers
 * "no" before anything was touched, and the long way begins anew.
 */
#include <string.h>

#include "copy.h"
#include "quick.h"

/* The longest message that goes as one record or one whole frame; 0: none. */
size_t
ipc__quick_max(const struct ipc_channel *ch)
{
	const struct ipc__out *out = &ch->out;
	size_t most = out->piece;

	if (ch->boundary != IPC_MESSAGE || ch->many || ch->half_duplex ||
	    ch->answers || !(ch->dir & IPC_SEND))
		return 0;
	if (out->framed)
		most = out->half->atomic > IPC__HEADER ? out->half->atomic -
		    IPC__HEADER : 0;
	if (most > out->half->record)
		most = out->half->record;
	return most < out->limit ? most : out->limit;
}

static inline bool
connected(const struct ipc_channel *ch, const struct ipc__ready *r)
{
	return atomic_load_explicit(&ch->greet, memory_order_acquire) ==
	    NULL && !r->watched;
}

bool
ipc__quick_plain_out(struct ipc_channel *ch)
{
	struct ipc__out *out = &ch->out;

	if (out->quick == 0 || out->begun || out->end || out->shut ||
	    out->reserved || out->debt.count > 0 || out->debt.zeros > 0 ||
	    !connected(ch, &out->ready))
		return false;
	atomic_store_explicit(&out->plain, true, memory_order_relaxed);
	return true;
}

/* What is read ahead is no part of it. */
bool
ipc__quick_plain_in(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;

	if (!in->quick || in->whole || in->len > 0 || in->end || in->untold ||
	    in->fd_count > 0 || in->fds_lost || !connected(ch, &in->ready))
		return false;
	atomic_store_explicit(&in->plain, true, memory_order_relaxed);
	return true;
}

/* What the mechanism has no shorter way for. */
bool
ipc__quick_send_record(struct ipc__out *out, const void *data, size_t size)
{
	unsigned char head[IPC__HEADER] = { 0 };
	struct iovec iov[2];
	int skip = 1;

	iov[0].iov_base = head;
	iov[1].iov_base = (void *)data;
	iov[1].iov_len = size;
	if (out->framed || out->tagged) {
		iov[0].iov_len = out->framed ? IPC__HEADER : 1;
		if (out->framed)
			ipc__put32(head, (uint32_t)size);
		skip = 0;
	}
	/* Taken whole or not at all. */
	return ipc__be_send(out->half, iov + skip, 2 - skip, NULL) >= 0;
}

/* In place. */
static inline ssize_t
quick_record(struct ipc__in *in, void *buffer, size_t size)
{
	const void *data;
	unsigned flags;
	ssize_t n = ipc__be_peek(in->half, &data, &flags);

	if (n < 0 || flags != 0 || (size_t)n > size || (size_t)n > in->limit)
		return -1;
	if (n > 0)
		ipc__copy(buffer, data, (size_t)n);
	ipc__be_release(in->half, 0);
	return n;
}

/* Out of what was read ahead. */
static inline ssize_t
quick_frame(struct ipc__in *in, void *buffer, size_t size)
{
	size_t left = in->fill - in->pos;
	uint32_t word;

	if (left < IPC__HEADER || in->frame.known)
		return -1;
	word = ipc__get32(in->ahead + in->pos);
	if (word > IPC__FRAME_LENGTH || word > left - IPC__HEADER ||
	    word > size || word > in->limit)
		return -1;
	if (word > 0)
		memcpy(buffer, in->ahead + in->pos + IPC__HEADER, word);
	in->pos += IPC__HEADER + word;
	return (ssize_t)word;
}

ssize_t
ipc__quick_recv_record(struct ipc__in *in, void *buffer, size_t size)
{
	return in->framed ? quick_frame(in, buffer, size) :
	    quick_record(in, buffer, size);
}

/* So many looks are about what ipc__spin_more() does before it yields. */
#define LOOKS	384

ssize_t
ipc__quick_await(struct ipc_channel *ch, void *buffer, size_t size)
{
	struct ipc__in *in = &ch->in;
	ssize_t n;

	/* Only for what may come: what is there comes the long way.  And where
	 * others receive beside us, nothing of ours may be touched. */
	if (!ipc__at_rest(ch, &in->ready) ||
	    (!atomic_load_explicit(&in->plain, memory_order_relaxed) &&
	    !ipc__quick_plain_in(ch)))
		return -1;
	if (in->await == NULL || !ipc__spins(ch, in->half) ||
	    ipc__be_beside(in->half) != 0)
		return -1;
	n = in->await(in->half, buffer, size < in->limit ? size : in->limit,
	    LOOKS);
	in->spun = n == -1;
	return n < 0 ? n : ipc__quick_took(in, n);
}

int
ipc__quick_send_many(struct ipc_channel *ch, const struct iovec *messages,
    int count)
{
	struct ipc__out *out = &ch->out;
	uint64_t bytes = 0;
	int i, n;

	if (out->half == NULL || !ipc__at_rest(ch, &out->ready) ||
	    atomic_load_explicit(&ch->gone, memory_order_relaxed) ||
	    !ipc__quick_plain_out(ch))
		return 0;
	if ((unsigned)count > out->look_in)
		count = (int)out->look_in;
	n = ipc__be_put_many(out->half, messages, count, out->quick);
	for (i = 0; i < n; i++)
		bytes += messages[i].iov_len;
	out->look_in -= (unsigned)n;
	ipc__count(out->messages, (uint64_t)n);
	ipc__count(out->bytes, bytes);
	return n;
}

static int
recv_each(struct ipc_channel *ch, struct iovec *messages, int count)
{
	ssize_t n;
	int i;

	for (i = 0; i < count; i++) {
		n = ipc__quick_recv(ch, messages[i].iov_base,
		    messages[i].iov_len);
		if (n < 0)
			break;
		messages[i].iov_len = (size_t)n;
	}
	return i;
}

int
ipc__quick_recv_many(struct ipc_channel *ch, struct iovec *messages, int count)
{
	struct ipc__in *in = &ch->in;
	uint64_t bytes = 0;
	int i, n;

	if (in->half == NULL || in->framed)
		return 0;
	if (!ipc__at_rest(ch, &in->ready) || !ipc__quick_plain_in(ch))
		return 0;
	n = ipc__be_get_many(in->half, messages, count, in->limit);
	if (n <= 0)
		return n < 0 ? recv_each(ch, messages, count) : 0;
	for (i = 0; i < n; i++)
		bytes += messages[i].iov_len;
	in->vain = 0;
	ipc__count(in->messages, (uint64_t)n);
	ipc__count(in->bytes, bytes);
	return n;
}
