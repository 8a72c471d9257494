/* SPDX-License-Identifier: ISC */
/*
 * Messages out of records: shown in place where the mechanism can, or received
 * straight to where the message lies, with what does not fit there beside it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "recv.h"

/* A piece of a message whose bytes are in place already (n of them). */
static int
got_piece(struct ipc_channel *ch, size_t n, bool more)
{
	struct ipc__in *in = &ch->in;

	if (n > in->limit - in->len)
		return ipc__broken(ch, "a message longer than max-message");
	in->large = more || in->len > 0;
	in->len += n;
	in->whole = !more || ch->boundary == IPC_STREAM;
	return in->whole ? 0 : -EAGAIN;
}

/* A control record in place: copied before it is looked at, and received
 * where descriptors may come with it. */
static int
peeked_control(struct ipc_channel *ch, const void *data, size_t n)
{
	unsigned char copy[IPC__GREETING];
	struct iovec iov = { copy, sizeof copy };
	struct ipc__aside aside = { 0 };
	ssize_t got;
	int rc;

	if (n > sizeof copy)
		return ipc__broken(ch, "a control record of a wrong size");
	if (ch->in.half->be->traits & IPC__PASSES) {
		if ((got = ipc__pull(ch, &iov, 1, &aside)) < 0)
			return (int)got;
		n = (size_t)got;
	} else {
		memcpy(copy, data, n);
		ipc__be_release(ch->in.half, 0);
	}
	rc = ipc__control(ch, copy, n);
	return rc < 0 ? rc : 1;
}

/* A message that is shown in place, or a part of one, which the rest lies right
 * behind; only where another record follows is it copied after all. */
#define TAKE_HOME	2

static int
view_piece(struct ipc_channel *ch, const void *data, size_t n, unsigned flags)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (in->len == 0)
		in->view = data;
	else if (data != in->view + in->len || n > in->half->record - in->len)
		return ipc__broken(ch, "the parts of a record are not in line");
	if (!(flags & IPC__MORE))
		return got_piece(ch, n, false);
	if (!(flags & IPC__PART)) {
		rc = ipc__take_home(ch, in->len);
		return rc < 0 ? rc : TAKE_HOME;
	}
	if ((rc = got_piece(ch, n, true)) != -EAGAIN)
		return rc;
	/* Not given back before the message is, which needs no room for it. */
	ipc__be_release(in->half, IPC__HOLD);
	return 1;
}

/* One record in place: 0 whole, -EAGAIN nothing there, 1 go on. */
static int
peek_record(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	const void *data;
	unsigned flags;
	ssize_t n;
	int rc;

	if ((n = ipc__be_peek(in->half, &data, &flags)) < 0)
		return n == -EPIPE ? ipc__ended(ch) : (int)n;
	if (flags & IPC__CONTROL)
		return peeked_control(ch, data, (size_t)n);
	if (flags & IPC__PART && ch->boundary == IPC_STREAM)
		flags &= ~(unsigned)(IPC__PART | IPC__MORE);
	if (in->view != NULL || (in->len == 0 && (flags & IPC__PART ?
	    !in->lent : !(flags & IPC__MORE)))) {
		rc = view_piece(ch, data, (size_t)n, flags);
		if (rc != TAKE_HOME)
			return rc;
	}
	if ((size_t)n > in->limit - in->len)
		return ipc__broken(ch, "a message longer than max-message");
	if ((rc = ipc__more_room(ch, (size_t)n)) < 0)
		return rc;
	ipc__copy(in->base + in->len, data, (size_t)n);
	ipc__be_release(in->half, 0);
	rc = got_piece(ch, (size_t)n, flags & IPC__MORE);
	return rc == -EAGAIN ? 1 : rc;
}

/* What of the record did not fit behind the message lies in the buffer. */
static int
overhang(struct ipc_channel *ch, size_t n, size_t fitted)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (n <= fitted)
		return 0;
	in->len += fitted;
	rc = ipc__take_home(ch, in->len + (n - fitted));
	if (rc == 0)
		memcpy(in->base + in->len, in->ahead, n - fitted);
	in->len -= fitted;
	return rc;
}

static int
copied_record(struct ipc_channel *ch, size_t n, size_t room, unsigned tag)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (tag & IPC__TAG_CONTROL) {
		/* It may lie in two parts. */
		unsigned char data[IPC__GREETING];

		if (n > sizeof data)
			return ipc__broken(ch, "a control record of a wrong "
			    "size");
		if (room > 0)
			memcpy(data, in->base + in->len, n < room ? n : room);
		if (n > room)
			memcpy(data + room, in->ahead, n - room);
		rc = ipc__control(ch, data, n);
		return rc < 0 ? rc : 1;
	}
	/* It is out of the kernel: without it the rest is not the message. */
	if ((rc = overhang(ch, n, room)) < 0)
		return ch->in.end = rc;
	rc = got_piece(ch, n, tag & IPC__TAG_MORE);
	return rc == -EAGAIN ? 1 : rc;
}

static int
copy_record(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	size_t record = in->half->room ? in->half->room : in->half->record;
	size_t room = in->room - in->len;
	struct ipc__aside aside = { 0 };
	unsigned char tag = 0;
	struct iovec iov[3];
	int count = 0, rc;
	ssize_t n;

	if (ch->caps & IPC_CAP_ADDRESS) {
		if (in->address == NULL &&
		    (in->address = malloc(IPC__SENDER_MAX)) == NULL)
			return ipc__fail(ENOMEM, "no memory for an address");
		aside.address = in->address;
		aside.address_size = IPC__SENDER_MAX;
	}
	if (room > record)
		room = record;
	if (room < record && (rc = ipc__need_ahead(ch, record)) < 0)
		return rc;
	if (in->tagged)
		iov[count++] = (struct iovec){ &tag, 1 };
	if (room > 0)
		iov[count++] = (struct iovec){ in->base + in->len, room };
	if (room < record)
		iov[count++] = (struct iovec){ in->ahead, record - room };
	if ((n = ipc__pull(ch, iov, count, &aside)) < 0)
		return n == -EPIPE ? ipc__ended(ch) : (int)n;
	in->priority = aside.priority;
	in->address_size = aside.address_size;
	if (in->tagged && n-- == 0)
		return ipc__broken(ch, "a record without a tag");
	if (aside.flags & IPC__MORE)
		tag |= IPC__TAG_MORE;
	if (aside.flags & IPC__CONTROL)
		tag |= IPC__TAG_CONTROL;
	return copied_record(ch, (size_t)n, room, tag);
}

int
ipc__fetch_record(struct ipc_channel *ch)
{
	int rc = 1, budget = IPC__FETCH_BUDGET;
	size_t before;

	ch->in.busy = false;
	while (budget > 0 && rc == 1) {
		before = ch->in.len;
		rc = ipc__be_in_place(ch->in.half) ? peek_record(ch) :
		    copy_record(ch);
		budget -= ch->in.len > before ? 1 : IPC__IDLE_COST;
	}
	if (rc != 1)
		return rc;
	ch->in.busy = true;
	return -EAGAIN;
}
