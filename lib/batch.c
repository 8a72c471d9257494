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

/* A frame, and the empty one behind it where it is not taken whole. */
static inline unsigned char *
put_small(unsigned char *p, const struct iovec *message, bool whole)
{
	size_t n = message->iov_len;

	ipc__put32(p, (uint32_t)n | (whole ? 0 : IPC__FRAME_MORE));
	p += IPC__HEADER;
	ipc__copy_few(p, message->iov_base, n);
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
	size_t atomic = out->half->atomic, room = BATCH_SIZE;
	size_t most = IPC__PIECE_HEAD_FROM - 1, n;
	unsigned char *p = out->batch, *end;
	bool whole = atomic > 0;
	int i;

	if (whole && atomic < room)
		room = atomic;
	if (most > out->limit)
		most = out->limit;
	end = p + room;
	for (i = 0; i < count; i++) {
		n = messages[i].iov_len;
		if (n > most || n + (whole ? 1 : 2) * IPC__HEADER >
		    (size_t)(end - p))
			break;
		p = put_small(p, &messages[i], whole);
	}
	*taken = i;
	return (size_t)(p - out->batch);
}

/* How many whole messages lie in the first n bytes; the next one is begun. */
static int
batch_done(struct ipc_channel *ch, const struct iovec *messages, int count,
    size_t n)
{
	struct ipc__out *out = &ch->out;
	uint64_t bytes = 0;
	size_t size;
	int i;

	for (i = 0; i < count; i++, n -= size) {
		size = ipc__wire_size(messages[i].iov_len, out->half->atomic);
		if (n < size)
			break;
		bytes += messages[i].iov_len;
	}
	ipc__count(out->messages, (uint64_t)i);
	ipc__count(out->bytes, bytes);
	if (i < count && n > 0) {
		out->begun = true;
		out->total = messages[i].iov_len;
		out->done = n;
		if (ch->many)
			out->owner = pthread_self();
	}
	return i;
}

/* All n bytes of them are out. */
static int
batch_whole(struct ipc__out *out, int count, size_t n)
{
	int headers = out->half->atomic > 0 ? 1 : 2;

	ipc__count(out->messages, (uint64_t)count);
	ipc__count(out->bytes, n - (size_t)(count * headers) * IPC__HEADER);
	return count;
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
	if ((size_t)n == iov.iov_len)
		return batch_whole(out, taken, (size_t)n);
	return batch_done(ch, messages, taken, (size_t)n);
}
