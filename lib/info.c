/* SPDX-License-Identifier: ISC */
/*
 * Asking a channel what it is, who is there, and what it did.
 */
#include <string.h>

#include "core.h"

static int
check_size(const void *to, const char *what)
{
	size_t room;

	if (to == NULL)
		return ipc__fail(EINVAL, "%s: no record", what);
	memcpy(&room, to, sizeof room);
	if (room < 2 * sizeof room || room > 4096)
		return ipc__fail(EINVAL, "%s: struct_size is the record's "
		    "sizeof, set by the caller", what);
	return 0;
}

/* Hands out as much of a record as the caller knows. */
static int
hand_out(void *to, void *from, size_t size, const char *what)
{
	size_t room;
	int rc;

	if ((rc = check_size(to, what)) < 0)
		return rc;
	memcpy(&room, to, sizeof room);
	memcpy(from, &room, sizeof room);
	memcpy(to, from, room < size ? room : size);
	return 0;
}

static size_t
pending(const struct ipc_channel *ch)
{
	const struct ipc__in *in = &ch->in;

	if (in->half == NULL)
		return 0;
	return in->len - in->off + in->fill - in->pos +
	    ipc__be_pending(in->half);
}

int
ipc_info(const struct ipc_channel *ch, struct ipc_info *info)
{
	const struct ipc__half *h;
	struct ipc_info i = { 0 };

	if (ch == NULL)
		return ipc__fail(EINVAL, "ipc_info: no channel");
	h = ch->out.half ? ch->out.half : ch->in.half;
	i.scheme = ch->be->mechanism.scheme;
	i.direction = ch->dir;
	i.boundary = ch->boundary;
	i.caps = ch->caps;
	if (ch->half_duplex)
		i.caps &= ~(unsigned)IPC_CAP_DUPLEX;
	i.max_message = ch->out.half ? ch->out.limit : ch->in.limit;
	if (h != NULL) {
		i.record = h == ch->out.half && !(h->be->traits & IPC__BYTES) ?
		    ch->out.piece : h->record;
		i.capacity = h->capacity;
	}
	if (i.record > i.max_message && i.max_message > 0)
		i.record = i.max_message;
	i.pending = pending(ch);
	return hand_out(info, &i, sizeof i, "ipc_info");
}

int
ipc_peer(const struct ipc_channel *ch, struct ipc_peer *peer)
{
	struct ipc_peer p = { 0 };
	const struct ipc__half *h;
	int rc;

	if (ch == NULL)
		return ipc__fail(EINVAL, "ipc_peer: no channel");
	if ((rc = check_size(peer, "ipc_peer")) < 0)
		return rc;
	p = ch->peer;
	h = ch->in.half ? ch->in.half : ch->out.half;
	if (p.struct_size == 0 && (!(ch->caps & IPC_CAP_PEER) || h == NULL ||
	    ipc__be_peer(h, &p) < 0))
		return ipc__fail(EOPNOTSUPP, "%s: nobody knows who is at the "
		    "other end", ch->address.text);
	return hand_out(peer, &p, sizeof p, "ipc_peer");
}

int
ipc_stats(const struct ipc_channel *ch, struct ipc_stats *stats)
{
	struct ipc_stats s = { 0 };

	if (ch == NULL)
		return ipc__fail(EINVAL, "ipc_stats: no channel");
	s.sent = atomic_load_explicit(&ch->out.messages, memory_order_relaxed);
	s.sent_bytes = atomic_load_explicit(&ch->out.bytes,
	    memory_order_relaxed);
	s.received = atomic_load_explicit(&ch->in.messages,
	    memory_order_relaxed);
	s.received_bytes = atomic_load_explicit(&ch->in.bytes,
	    memory_order_relaxed);
	s.sleeps = atomic_load_explicit(&ch->in.sleeps, memory_order_relaxed) +
	    atomic_load_explicit(&ch->out.sleeps, memory_order_relaxed);
	if (ch->in.half != NULL)
		s.wakes = atomic_load_explicit(&ch->in.half->wakes,
		    memory_order_relaxed);
	if (ch->out.half != NULL && ch->out.half != ch->in.half)
		s.wakes += atomic_load_explicit(&ch->out.half->wakes,
		    memory_order_relaxed);
	return hand_out(stats, &s, sizeof s, "ipc_stats");
}
