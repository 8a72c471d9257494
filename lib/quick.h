/* SPDX-License-Identifier: ISC */
/*
 * The short way for small messages: what every one of them pays, so it is
 * short indeed.  The rest is in quick.c.
 */
#ifndef IPC_LIB_QUICK_H
#define IPC_LIB_QUICK_H

#include "core.h"

/* What has no shorter way: sent whole, or not at all; and the size of what was
 * received, or -1. */
bool ipc__quick_send_record(struct ipc__out *out, const void *data,
    size_t size);
ssize_t ipc__quick_recv_record(struct ipc__in *in, void *buffer, size_t size);

/* Nothing of this process or of another thread wants attention first.  A fork
 * changes the number of forks, in the parent and in the child. */
static inline bool
ipc__at_rest(const struct ipc_channel *ch, const struct ipc__ready *r)
{
	return atomic_load_explicit(&ch->used, memory_order_relaxed) ==
	    atomic_load_explicit(&ipc__forks, memory_order_relaxed) &&
	    !atomic_load_explicit(&r->cancel, memory_order_relaxed);
}

/* What only a call on this side changes, and each such call that is not short
 * takes the mark off: so it is looked at once, and then no more. */
bool ipc__quick_plain_out(struct ipc_channel *ch);
bool ipc__quick_plain_in(struct ipc_channel *ch);

/* Sent; false: nothing was touched, go the long way. */
static inline bool
ipc__quick_send(struct ipc_channel *ch, const void *data, size_t size)
{
	struct ipc__out *out = &ch->out;

	if (size > out->quick || !ipc__at_rest(ch, &out->ready) ||
	    atomic_load_explicit(&ch->gone, memory_order_relaxed) ||
	    out->look_in == 0 ||
	    (!atomic_load_explicit(&out->plain, memory_order_relaxed) &&
	    !ipc__quick_plain_out(ch)))
		return false;
	if (!(out->put != NULL ? out->put(out->half, data, size) :
	    ipc__quick_send_record(out, data, size)))
		return false;
	out->look_in--;
	ipc__count(out->messages, 1);
	ipc__count(out->bytes, size);
	return true;
}

/* Several, as far as they go the short way: how many. */
int ipc__quick_send_many(struct ipc_channel *ch, const struct iovec *messages,
    int count);
int ipc__quick_recv_many(struct ipc_channel *ch, struct iovec *messages,
    int count);

static inline ssize_t
ipc__quick_took(struct ipc__in *in, ssize_t n)
{
	in->vain = 0;
	ipc__count(in->messages, 1);
	ipc__count(in->bytes, (uint64_t)n);
	return n;
}

/* The length of a message that was received; -1: nothing is there; -2: the long
 * way. */
static inline ssize_t
ipc__quick_recv(struct ipc_channel *ch, void *buffer, size_t size)
{
	struct ipc__in *in = &ch->in;
	ssize_t n;

	if (!ipc__at_rest(ch, &in->ready) ||
	    (!atomic_load_explicit(&in->plain, memory_order_relaxed) &&
	    !ipc__quick_plain_in(ch)))
		return -2;
	n = in->get != NULL ? in->get(in->half, buffer, size < in->limit ?
	    size : in->limit) : ipc__quick_recv_record(in, buffer, size);
	return n < 0 ? n : ipc__quick_took(in, n);
}

/* The same, looking for a while where that costs no system call. */
ssize_t ipc__quick_await(struct ipc_channel *ch, void *buffer, size_t size);

#endif
