/* SPDX-License-Identifier: ISC */
/*
 * Many small messages in one system call: their frames are copied into one
 * buffer.  Where the byte stream takes so many bytes whole, no more than those
 * go at once, so that no frame is ever cut that could not be given up.
 */
#include <stdlib.h>
#include <string.h>

#include "send.h"

#define BATCH_SIZE	65536

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

	if (!out->framed || out->begun || out->end || ch->gone ||
	    ipc__out_debt(out) ||
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
		return n == -EAGAIN ? 0 : ipc__out_answer(ch, n);
	return batch_done(ch, messages, taken, (size_t)n);
}
