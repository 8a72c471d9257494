/* SPDX-License-Identifier: ISC */
/*
 * The public calls that send and receive messages.  What they do lies in
 * send.c and recv.c; here is what their arguments mean.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "copy.h"
#include "quick.h"

/*
 * Sending
 */

/* A channel that was opened to receive sends to an address only. */
static int
no_address(struct ipc_channel *ch, const struct ipc_msg *msg)
{
	if (ch->dir & IPC_SEND || (msg != NULL && msg->address != NULL &&
	    msg->address_size > 0))
		return 0;
	return ipc__wrong_way(ch, IPC_SEND);
}

static int
check_asides(struct ipc_channel *ch, const struct ipc_msg *msg)
{
	if (msg->fd_count > IPC_FDS_MAX)
		return ipc__fail(EINVAL, "%u descriptors exceed the %d of one "
		    "message", msg->fd_count, IPC_FDS_MAX);
	if (msg->fd_count > 0 && !(ch->caps & IPC_CAP_FDS))
		return ipc__fail(EOPNOTSUPP, "%s: descriptors do not travel "
		    "here", ch->address.text);
	if (msg->priority > 0 && !(ch->caps & IPC_CAP_PRIORITY))
		return ipc__fail(EOPNOTSUPP, "%s: has no priorities",
		    ch->address.text);
	if (msg->address != NULL && msg->address_size > 0 &&
	    !(ch->caps & IPC_CAP_ADDRESS))
		return ipc__fail(EOPNOTSUPP, "%s: has no addresses",
		    ch->address.text);
	return 0;
}

/* data: the pointers are good. */
static int
transmit(struct ipc_channel *ch, const struct iovec *iov, int count,
    size_t total, bool data, const struct ipc_msg *msg, int timeout)
{
	int rc;

	if ((rc = ipc__call_send(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	if (ipc__unlikely(total > ch->out.limit))
		rc = ipc__too_long(ch, total);
	else if (ipc__unlikely(!data))
		rc = ipc__fail(EINVAL, "%s: bad data pointers or lengths",
		    ch->address.text);
	else if (ipc__unlikely(ch->out.reserved))
		rc = ipc__reserved(ch);
	else if (msg != NULL && (rc = check_asides(ch, msg)) < 0)
		;	/* known only once it is connected */
	else if (ipc__likely(!ch->answers) || (rc = no_address(ch, msg)) == 0)
		rc = ipc__transmit(ch, iov, count, total, msg, timeout);
	return (int)ipc__leave_send(ch, rc);
}

/* Out of line, as most messages never come here. */
__attribute__((noinline))
static int
send_long_way(struct ipc_channel *ch, const void *data, size_t size,
    int timeout)
{
	struct iovec iov = { (void *)data, size };

	return transmit(ch, &iov, 1, size, data != NULL || size == 0, NULL,
	    timeout);
}

int
ipc_send(struct ipc_channel *ch, const void *data, size_t size, int timeout)
{
	if (ipc__likely(ch != NULL && (data != NULL || size == 0) &&
	    ipc__quick_send(ch, data, size)))
		return 0;
	return send_long_way(ch, data, size, timeout);
}

int
ipc_sendv(struct ipc_channel *ch, const struct iovec *iov, int count,
    int timeout)
{
	ssize_t total = ipc__iov_size(iov, count);

	return transmit(ch, iov, count, total < 0 ? 0 : (size_t)total,
	    total >= 0, NULL, timeout);
}

/* The caller's record, as far as it knows it. */
static int
get_msg(struct ipc_msg *to, const struct ipc_msg *from, int flags)
{
	if (from == NULL || flags != 0 ||
	    from->struct_size < offsetof(struct ipc_msg, fds) ||
	    from->struct_size > 4096)
		return ipc__fail(EINVAL, "struct ipc_msg: struct_size is its "
		    "sizeof, flags are 0");
	memset(to, 0, sizeof *to);
	memcpy(to, from, from->struct_size < sizeof *to ?
	    from->struct_size : sizeof *to);
	if (to->fd_count > 0 && to->fds == NULL)
		return ipc__fail(EINVAL, "struct ipc_msg: fd_count without "
		    "fds");
	return 0;
}

int
ipc_sendmsg(struct ipc_channel *ch, const struct ipc_msg *msg, int flags,
    int timeout)
{
	struct ipc_msg m;
	ssize_t total;
	int rc;

	if ((rc = get_msg(&m, msg, flags)) < 0)
		return rc;
	total = ipc__iov_size(m.iov, m.iov_count);
	return transmit(ch, m.iov, m.iov_count, total < 0 ? 0 : (size_t)total,
	    total >= 0, &m, timeout);
}

/* What is told only once waits for the next call, behind those that went. */
static int
told_later(struct ipc_channel *ch, int dir, int done, ssize_t rc)
{
	if (rc == -ECANCELED)
		ipc__cancel_again(ch, dir);
	else if (dir == IPC_RECV && ch->in.outlives && ch->in.end == 0 &&
	    (rc == -EPIPE || rc == -ECONNRESET))
		ch->in.untold = (int)rc;
	return done;
}

/* One after the other: the first may wait for the deadline, and so may the
 * next, until all are out. */
static int
send_each(struct ipc_channel *ch, const struct iovec *messages, int count,
    int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : 0, left;
	int sent = 0, rc, n;

	if (atomic_load(&ch->out.ready.cancel) &&
	    (rc = ipc__cancelled(ch, IPC_SEND)) < 0)
		return rc;
	while (sent < count) {
		if ((n = ipc__quick_send_many(ch, messages + sent,
		    count - sent)) == 0 &&
		    (n = ipc__batch(ch, messages + sent, count - sent)) < 0)
			return sent > 0 ? sent : n;
		if ((sent += n) == count)
			break;
		if (timeout > 0) {
			left = (deadline - ipc__now() + 999999) / 1000000;
			timeout = left > 0 ? (int)left : 0;
		}
		if (messages[sent].iov_len > ch->out.limit)
			rc = ipc__too_long(ch, messages[sent].iov_len);
		else
			rc = ipc__transmit(ch, messages + sent, 1,
			    messages[sent].iov_len, NULL, timeout);
		if (rc < 0)
			return sent > 0 ? told_later(ch, IPC_SEND, sent, rc) :
			    deadline && rc == -EAGAIN ? -ETIMEDOUT : rc;
		sent++;
	}
	return sent;
}

int
ipc_sendmany(struct ipc_channel *ch, const struct iovec *messages, int count,
    int timeout)
{
	int rc;

	if (count <= 0 || messages == NULL)
		return ipc__fail(EINVAL, "ipc_sendmany: no messages");
	for (rc = 0; rc < count; rc++)
		if (messages[rc].iov_base == NULL && messages[rc].iov_len > 0)
			return ipc__fail(EINVAL, "ipc_sendmany: message %d is "
			    "NULL", rc);
	if ((rc = ipc__call_send(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	rc = ch->out.reserved ? ipc__reserved(ch) :
	    send_each(ch, messages, count, timeout);
	return (int)ipc__leave_send(ch, rc);
}

/*
 * Receiving
 */

static int
too_small(struct ipc_channel *ch, size_t size)
{
	return ipc__fail(EMSGSIZE, "%s: a message of %zu bytes does not fit "
	    "into %zu; it is kept", ch->address.text, ch->in.len, size);
}

/* Descriptors that were lost are told once. */
static int
lost_fds(struct ipc_channel *ch)
{
	if (!ch->in.fds_lost)
		return 0;
	ch->in.fds_lost = false;
	while (ch->in.fd_count > 0)
		close(ch->in.with->fds[--ch->in.fd_count]);
	return ipc__fail(EMFILE, "%s: no free descriptor for those that came "
	    "with this message (RLIMIT_NOFILE)", ch->address.text);
}

static ssize_t
receive_one(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	struct ipc__in *in = &ch->in;
	ssize_t n;
	int rc;

	if ((rc = ipc__receive(ch, buffer, size, timeout)) < 0)
		return rc;
	if (ipc__unlikely(in->len > size))
		return too_small(ch, size);
	n = (ssize_t)in->len;
	if (n > 0 && (!in->lent || in->view != NULL))
		ipc__copy(buffer, ipc__message_data(in), in->len);
	ipc__taken(ch);
	return n;
}

__attribute__((noinline))
static ssize_t
recv_long_way(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	int rc;

	if (ipc__unlikely(ch == NULL))
		return ipc__fail(EINVAL, "ipc_recv: no channel (NULL)");
	if (ipc__unlikely(buffer == NULL && size > 0))
		return ipc__fail(EINVAL, "ipc_recv: no buffer");
	if ((rc = ipc__call_recv(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	return ipc__leave_recv(ch, receive_one(ch, buffer, size, timeout));
}

ssize_t
ipc_recv(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	ssize_t n;

	if (ipc__likely(ch != NULL && (buffer != NULL || size == 0)) &&
	    ((n = ipc__quick_recv(ch, buffer, size)) >= 0 || (timeout != 0 &&
	    (n = ipc__quick_await(ch, buffer, size)) >= 0)))
		return n;
	return recv_long_way(ch, buffer, size, timeout);
}

static void
scatter(const struct ipc_msg *msg, const unsigned char *p, size_t left)
{
	size_t n;
	int i;

	for (i = 0; i < msg->iov_count && left > 0; i++) {
		n = msg->iov[i].iov_len < left ? msg->iov[i].iov_len : left;
		if (n > 0)
			memcpy(msg->iov[i].iov_base, p, n);
		p += n;
		left -= n;
	}
}

static int
give_fds(struct ipc_channel *ch, struct ipc_msg *msg)
{
	struct ipc__in *in = &ch->in;

	if (in->fd_count > msg->fd_count)
		return ipc__fail(EMSGSIZE, "%s: the message has %u descriptors "
		    "and there is room for %u; it is kept", ch->address.text,
		    in->fd_count, msg->fd_count);
	msg->fd_count = in->fd_count;
	if (in->fd_count > 0)
		memcpy(msg->fds, in->with->fds,
		    sizeof(int) * in->fd_count);
	in->fd_count = 0;
	return 0;
}

static void
give_asides(struct ipc_channel *ch, struct ipc_msg *msg)
{
	struct ipc__in *in = &ch->in;
	size_t n = in->address_size;

	msg->priority = in->priority;
	if (msg->address == NULL)
		return;
	if (!(ch->caps & IPC_CAP_ADDRESS))
		n = 0;
	if (n > msg->address_size)
		n = msg->address_size;
	if (n > 0)
		memcpy(msg->address, in->address, n);
	msg->address_size = n;
}

static ssize_t
receive_msg(struct ipc_channel *ch, struct ipc_msg *msg, ssize_t room,
    int timeout)
{
	struct ipc__in *in = &ch->in;
	bool direct = msg->iov_count == 1;
	ssize_t n;
	int rc;

	if ((rc = ipc__receive(ch, direct ? msg->iov[0].iov_base : NULL,
	    direct ? msg->iov[0].iov_len : 0, timeout)) < 0)
		return rc;
	if ((rc = ipc__keep(ch, lost_fds(ch))) < 0)
		return rc;
	if (in->len > (size_t)room)
		return too_small(ch, (size_t)room);
	if ((rc = give_fds(ch, msg)) < 0)
		return ipc__keep(ch, rc);
	n = (ssize_t)in->len;
	if (!in->lent || in->view != NULL)
		scatter(msg, ipc__message_data(in), in->len);
	give_asides(ch, msg);
	ipc__taken(ch);
	return n;
}

ssize_t
ipc_recvmsg(struct ipc_channel *ch, struct ipc_msg *msg, int flags,
    int timeout)
{
	struct ipc_msg m;
	ssize_t room, n;
	int rc;

	if ((rc = get_msg(&m, msg, flags)) < 0)
		return rc;
	if ((room = ipc__iov_size(m.iov, m.iov_count)) < 0)
		return ipc__fail(EINVAL, "ipc_recvmsg: bad iov");
	if ((rc = ipc__call_recv(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	n = receive_msg(ch, &m, room, timeout);
	if (n >= 0)
		memcpy(msg, &m, msg->struct_size < sizeof m ?
		    msg->struct_size : sizeof m);
	return ipc__leave_recv(ch, n);
}

/* Small ones, the short way: how many. */
static int
receive_quickly(struct ipc_channel *ch, struct iovec *messages, int count,
    int timeout)
{
	ssize_t n;
	int got;

	if ((got = ipc__quick_recv_many(ch, messages, count)) > 0)
		return got;
	n = ipc__quick_recv(ch, messages->iov_base, messages->iov_len);
	if (n < 0 && timeout != 0)
		n = ipc__quick_await(ch, messages->iov_base,
		    messages->iov_len);
	if (n < 0)
		return 0;
	messages->iov_len = (size_t)n;
	return 1 + (ch->in.framed ? ipc__frames_ahead(ch, messages + 1,
	    count - 1) : ipc__quick_recv_many(ch, messages + 1, count - 1));
}

int
ipc_recvmany(struct ipc_channel *ch, struct iovec *messages, int count,
    int timeout)
{
	ssize_t n = 0;
	int got, rc;

	if (count <= 0 || messages == NULL)
		return ipc__fail(EINVAL, "ipc_recvmany: no room");
	if (ch == NULL)
		return ipc__fail(EINVAL, "ipc_recvmany: no channel (NULL)");
	for (got = 0; got < count; got++)
		if (messages[got].iov_base == NULL && messages[got].iov_len > 0)
			return ipc__fail(EINVAL, "ipc_recvmany: buffer %d is "
			    "NULL", got);
	if ((got = receive_quickly(ch, messages, count, timeout)) > 0)
		return got;
	if ((rc = ipc__call_recv(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	for (got = 0; got < count; got++) {
		n = receive_one(ch, messages[got].iov_base,
		    messages[got].iov_len, got > 0 ? 0 : timeout);
		if (n < 0)
			break;
		messages[got].iov_len = (size_t)n;
		got += ch->in.framed ? ipc__frames_ahead(ch, messages + got +
		    1, count - got - 1) : ipc__quick_recv_many(ch, messages +
		    got + 1, count - got - 1);
	}
	return (int)ipc__leave_recv(ch, got > 0 ? told_later(ch, IPC_RECV, got,
	    n) : n);
}
