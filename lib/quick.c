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

	if (out->begun || out->end || out->shut || out->reserved ||
	    out->debt.count > 0 || out->debt.zeros > 0 ||
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
