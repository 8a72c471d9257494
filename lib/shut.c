/* SPDX-License-Identifier: ISC */
/*
 * Closing and shutting down: what is said to the other side, and what of a
 * channel goes when only one of its directions ends.
 */
#include "core.h"

int
ipc_close(struct ipc_channel *ch)
{
	bool clean;

	if (ch == NULL)
		return 0;
	clean = ipc__clean(ch);
	if (clean && ch->greet == NULL)
		ipc__goodbye(ch, IPC_DUPLEX);
	ipc__channel_free(ch, clean);
	return 0;
}

int
ipc__shut_send(struct ipc_channel *ch)
{
	struct ipc__half *h = ch->out.half;

	if (h == NULL)
		return 0;
	ipc__goodbye(ch, IPC_SEND);
	ch->out.shut = true;
	ch->out.end = -EPIPE;
	if (h == ch->in.half || h->be->shutdown != NULL)
		return ipc__be_shutdown(h, IPC_SEND);
	ipc__ready_forget(&ch->out.ready);
	ipc__half_free(h, true);
	ch->out.half = NULL;
	return 0;
}

int
ipc__shut_recv(struct ipc_channel *ch)
{
	struct ipc__half *h = ch->in.half;

	if (h == NULL)
		return 0;
	if (ch->in.life != NULL)
		ipc__life_bye(ch->in.life, IPC_RECV);
	else if (ch->out.half == h && !ch->out.shut)
		ipc__goodbye(ch, IPC_RECV);
	ch->in.end = -EPIPE;
	if (h == ch->out.half || h->be->shutdown != NULL)
		return ipc__be_shutdown(h, IPC_RECV);
	ipc__ready_forget(&ch->in.ready);
	ch->in.view = NULL;	/* what was shown went with it */
	ch->in.whole = ch->in.shown = false;
	ipc__half_free(h, true);
	ch->in.half = NULL;
	return 0;
}

int
ipc_shutdown(struct ipc_channel *ch, int direction)
{
	int rc;

	if (ch == NULL || direction == 0 || direction & ~IPC_DUPLEX)
		return ipc__fail(EINVAL, "ipc_shutdown: a channel and "
		    "IPC_RECV, IPC_SEND or both");
	if (direction & ~ch->dir)
		return ipc__wrong_way(ch, direction & ~ch->dir);
	if ((rc = ipc__enter(ch)) < 0)
		return rc;
	if (direction & IPC_SEND && !(ch->shut & IPC_SEND))
		rc = ipc__shut_send(ch);
	if (rc == 0 && direction & IPC_RECV && !(ch->shut & IPC_RECV))
		rc = ipc__shut_recv(ch);
	ch->shut |= direction;
	ipc__ready_update(ch, IPC_RECV, ch->in.end != 0);
	ipc__ready_update(ch, IPC_SEND, ch->out.end != 0);
	return rc < 0 ? ipc__fail_at(ch->address.text, rc) : 0;
}
