/* SPDX-License-Identifier: ISC */
/*
 * Receiving frames into a buffer that grows to the longest one met, and no
 * further than it may.  A frame is always copied before it is looked at: the
 * other side could change what lies in shared memory while it is checked.
 */
#include <stdlib.h>
#include <unistd.h>

#include "rpc.h"

#define LEAST	4096

void
ipc__rpc_in_close_fds(struct ipc__rpc_in *in)
{
	while (in->fd_count > 0)
		close(in->fds[--in->fd_count]);
	in->fds_lost = false;
}

void
ipc__rpc_in_free(struct ipc__rpc_in *in)
{
	ipc__rpc_in_close_fds(in);
	free(in->data);
	in->data = NULL;
	in->size = 0;
}

static int
grow(struct ipc__rpc_in *in, size_t need)
{
	size_t size = in->size < LEAST ? LEAST : in->size;
	unsigned char *p;

	while (size < need)
		size *= 2;
	p = malloc(size);
	if (p == NULL)
		return ipc__fail(ENOMEM, "no memory for a message of %zu "
		    "bytes", need);
	free(in->data);
	in->data = p;
	in->size = size;
	return 0;
}

static ssize_t
receive_fds(struct ipc__rpc_in *in, struct ipc_channel *ch, int timeout)
{
	struct iovec iov = { in->data, in->size };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = in->fds, .fd_count = IPC_FDS_MAX };
	ssize_t n = ipc_recvmsg(ch, &msg, 0, timeout);

	if (n == -EMFILE && !in->fds_lost) {
		/* Told once, then the message comes without them. */
		in->fds_lost = true;
		msg.fd_count = IPC_FDS_MAX;
		n = ipc_recvmsg(ch, &msg, 0, 0);
	}
	if (n >= 0)
		in->fd_count = msg.fd_count;
	return n;
}

ssize_t
ipc__rpc_receive(struct ipc__rpc_in *in, struct ipc_channel *ch, bool expect,
    int timeout)
{
	const void *data;
	ssize_t n;
	int rc;

	if (ipc__unlikely(in->data == NULL) && (rc = grow(in, LEAST)) < 0)
		return rc;
	for (;;) {
		n = expect ? receive_fds(in, ch, timeout) :
		    ipc_recv(ch, in->data, in->size, timeout);
		if (ipc__likely(n != -EMSGSIZE))
			return n;
		n = ipc_peek(ch, &data, 0);
		if (n < 0 || (size_t)n <= in->size)
			return n < 0 ? n : -EBADMSG;
		if ((size_t)n > in->most)
			return -EMSGSIZE;
		rc = grow(in, (size_t)n);
		if (rc < 0)
			return rc;
	}
}

ssize_t
ipc__rpc_skip(struct ipc_channel *ch, struct ipc__rpc_head *h)
{
	unsigned char p[IPC__RPC_HEAD];
	const void *data;
	ssize_t n = ipc_peek(ch, &data, 0);
	int rc;

	if (n < 0)
		return n;
	if (n >= IPC__RPC_HEAD)
		memcpy(p, data, sizeof p);
	rc = ipc_release(ch);
	if (rc < 0)
		return rc;
	return n >= IPC__RPC_HEAD && ipc__rpc_get(h, p, sizeof p) ? n :
	    -EBADMSG;
}
