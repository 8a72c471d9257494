/* SPDX-License-Identifier: ISC */
/*
 * Messages without a copy: reserve and commit, peek and release.  Where the
 * mechanism has no place of its own to lend, a buffer of the channel serves.
 */
#include <stdlib.h>

#include "call.h"

static int
reserve_own(struct ipc_channel *ch, void **data, size_t size)
{
	struct ipc__out *out = &ch->out;
	unsigned char *p;

	if (out->own_size < size || out->own == NULL) {
		if ((p = realloc(out->own, size ? size : 1)) == NULL)
			return ipc__fail(ENOMEM, "no memory to reserve %zu "
			    "bytes", size);
		out->own = p;
		out->own_size = size;
	}
	*data = out->own;
	return 0;
}

static int
reserve(struct ipc_channel *ch, void **data, size_t size, int timeout)
{
	struct ipc__out *out = &ch->out;
	int rc;

	if (size > out->limit)
		return ipc__too_long(ch, size);
	if (out->reserved)
		return ipc__reserved(ch);
	if (out->begun)
		return ipc__fail(EALREADY, "%s: a message is begun: send it "
		    "again, or ipc_abandon", ch->address.text);
	out->in_place = out->half->be->reserve != NULL && size <= out->piece;
	rc = out->in_place ? ipc__reserve(ch, data, size, timeout) :
	    reserve_own(ch, data, size);
	if (rc < 0)
		return rc;
	out->reserved = true;
	out->reserved_size = size;
	return 0;
}

int
ipc_reserve(struct ipc_channel *ch, void **data, size_t size, int timeout)
{
	int rc;

	if (data == NULL)
		return ipc__fail(EINVAL, "ipc_reserve: no place for the "
		    "pointer");
	if ((rc = ipc__call_send(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	return (int)ipc__leave_send(ch, reserve(ch, data, size, timeout));
}

static int
commit(struct ipc_channel *ch, size_t size)
{
	struct ipc__out *out = &ch->out;
	struct iovec iov = { out->own, size };
	int rc;

	if (!out->reserved)
		return ipc__fail(EINVAL, "%s: nothing is reserved",
		    ch->address.text);
	if (size > out->reserved_size)
		return ipc__fail(EINVAL, "%s: %zu bytes exceed the %zu that "
		    "were reserved", ch->address.text, size,
		    out->reserved_size);
	rc = out->in_place ? ipc__commit(ch, size) :
	    ipc__transmit(ch, &iov, 1, size, NULL, 0);
	if (rc != -EAGAIN && rc != -ECANCELED && rc != -EALREADY)
		out->reserved = false;
	return rc;
}

int
ipc_commit(struct ipc_channel *ch, size_t size)
{
	int rc;

	if ((rc = ipc__call_send(ch, IPC_MESSAGE, &(int){ 0 })) < 0)
		return rc;
	return (int)ipc__leave_send(ch, commit(ch, size));
}

int
ipc_abandon(struct ipc_channel *ch)
{
	int rc;

	if ((rc = ipc__call_enter(ch, IPC_SEND, IPC_MESSAGE, &(int){ -1 })) < 0)
		return rc;
	if (ch->out.half == NULL)
		return (int)ipc__leave_send(ch, 0);
	ch->out.reserved = false;
	return (int)ipc__leave_send(ch, ipc__give_up(ch));
}

ssize_t
ipc_peek(struct ipc_channel *ch, const void **data, int timeout)
{
	int rc;

	if (data == NULL)
		return ipc__fail(EINVAL, "ipc_peek: no place for the pointer");
	if ((rc = ipc__call_recv(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	if ((rc = ipc__receive(ch, NULL, 0, timeout)) < 0)
		return ipc__leave_recv(ch, rc);
	*data = ipc__message_data(&ch->in);
	ch->in.shown = true;
	return ipc__leave_recv(ch, (ssize_t)ch->in.len);
}

int
ipc_release(struct ipc_channel *ch)
{
	int rc;

	if ((rc = ipc__call_enter(ch, IPC_RECV, IPC_MESSAGE, &(int){ -1 })) < 0)
		return rc;
	if (!ch->in.whole || !ch->in.shown)
		return (int)ipc__leave_recv(ch, ipc__fail(EINVAL, "%s: no "
		    "message was shown", ch->address.text));
	ipc__taken(ch);
	return (int)ipc__leave_recv(ch, 0);
}
