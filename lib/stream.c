/* SPDX-License-Identifier: ISC */
/*
 * Byte streams without boundaries, over bytes and over records.
 */
#include <limits.h>
#include <string.h>

#include "call.h"

/* Records are bytes too: what is left of one is given first. */
static ssize_t
read_records(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : 0;
	struct ipc__in *in = &ch->in;
	size_t n;
	int rc;

	for (;;) {
		if ((rc = ipc__receive(ch, NULL, 0, timeout)) < 0)
			return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
		n = in->len - in->off < size ? in->len - in->off : size;
		if (n > 0)
			memcpy(buffer, ipc__message_data(in) + in->off, n);
		in->off += n;
		if (in->off == in->len)
			ipc__taken(ch);
		if (n > 0)
			return (ssize_t)n;
		/* Empty records are nothing, however many there are. */
		if (timeout == 0)
			return ipc__plain(-EAGAIN);
		if (timeout < 0)
			continue;
		if (ipc__now() >= deadline)
			return ipc__plain(-ETIMEDOUT);
		timeout = ipc__left(deadline);
	}
}

ssize_t
ipc_read(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	struct iovec iov = { buffer, size };
	ssize_t n;
	int rc;

	if (buffer == NULL && size > 0)
		return ipc__fail(EINVAL, "ipc_read: no buffer");
	rc = ipc__call_recv(ch, IPC_STREAM, &timeout);
	if (rc < 0)
		return rc == -EPIPE ? 0 : rc;
	if (size == 0)
		return ipc__leave_recv(ch, 0);
	n = ch->in.half->be->traits & IPC__BYTES ?
	    ipc__read_raw(ch, &iov, timeout) :
	    read_records(ch, buffer, size, timeout);
	return ipc__leave_recv(ch, n);
}

ssize_t
ipc_write(struct ipc_channel *ch, const void *data, size_t size, int timeout)
{
	struct iovec iov = { (void *)data, size };
	struct ipc__out *out;
	ssize_t n;

	if (size > SSIZE_MAX || (data == NULL && size > 0))
		return ipc__fail(EINVAL, "ipc_write: no data");
	if ((n = ipc__call_send(ch, IPC_STREAM, &timeout)) < 0)
		return n;
	out = &ch->out;
	if (size == 0)
		return ipc__leave_send(ch, 0);
	if (!(out->half->be->traits & IPC__BYTES) && size > out->piece)
		iov.iov_len = out->piece;
	return ipc__leave_send(ch, ipc__write_raw(ch, &iov, timeout));
}
