/* SPDX-License-Identifier: ISC */
/*
 * Half-duplex: the turn to send travels behind the messages, as a control
 * frame.
 */
#include "call.h"

static int
wait_turn(struct ipc_channel *ch, int timeout)
{
	int rc;

	if (!ch->half_duplex)
		return ipc__fail(EINVAL, "%s: this channel takes no turns",
		    ch->address.text);
	/* The end of the other side comes before any turn, so look. */
	rc = ipc__receive(ch, NULL, 0, timeout);
	if (rc == -EBUSY)
		return 0;
	if (rc == 0)
		return ipc__fail(EBUSY, "%s: a message lies before the turn: "
		    "receive it first", ch->address.text);
	return rc;
}

int
ipc_turn(struct ipc_channel *ch, int timeout)
{
	int rc;

	if ((rc = ipc__call_recv(ch, IPC_MESSAGE, &timeout)) < 0)
		return rc;
	return (int)ipc__leave_recv(ch, wait_turn(ch, timeout));
}

static int
give_turn(struct ipc_channel *ch)
{
	int rc;

	if (!ch->half_duplex)
		return ipc__fail(EINVAL, "%s: this channel takes no turns",
		    ch->address.text);
	if (ch->out.begun || ch->out.reserved)
		return ipc__fail(EALREADY, "%s: a message is begun: send it "
		    "again, or ipc_abandon", ch->address.text);
	if (ch->out.end)
		return ch->out.end;
	atomic_store(&ch->turn, false);
	rc = ipc__owe_turn(ch);
	return rc == -EAGAIN ? 0 : rc;
}

int
ipc_over(struct ipc_channel *ch)
{
	int rc;

	if ((rc = ipc__call_send(ch, IPC_MESSAGE, &(int){ -1 })) < 0)
		return rc;
	rc = (int)ipc__leave_send(ch, give_turn(ch));
	ipc__ready_update(ch, IPC_RECV, ipc__in_ready(ch));
	ipc__ready_update(ch, IPC_SEND, ch->out.end != 0);
	return rc;
}
