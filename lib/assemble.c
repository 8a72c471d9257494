/* SPDX-License-Identifier: ISC */
/*
 * A message on its way in: where its bytes go, what control frames between
 * them say, the descriptors that come with it, and what the end means.  Frames
 * and records share this.
 *
 * What the other side sent is checked before it is believed, and memory grows
 * only with what has arrived.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "recv.h"

int
ipc__broken(struct ipc_channel *ch, const char *what)
{
	ch->in.end = ipc__fail(EBADMSG, "the other side broke the protocol: %s",
	    what);
	return ipc__fail_at(ch->address.text, ch->in.end);
}

/*
 * Where the message goes
 */

static int
grow_own(struct ipc_channel *ch, size_t need)
{
	struct ipc__in *in = &ch->in;
	size_t size = in->own_size ? in->own_size : 256;
	unsigned char *p;

	while (size < need)
		size *= 2;
	if (size > in->own_size) {
		if ((p = realloc(in->own, size)) == NULL)
			return ipc__fail(ENOMEM, "no memory for a message of "
			    "%zu bytes", need);
		in->own = p;
		in->own_size = size;
	}
	return 0;
}

/* Moves what is in the caller's buffer to our own. */
int
ipc__take_home(struct ipc_channel *ch, size_t need)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if ((rc = grow_own(ch, need)) < 0)
		return rc;
	if (in->view != NULL)
		ipc__copy(in->own, in->view, in->len);
	else if (in->lent)
		memcpy(in->own, in->base, in->len);
	in->view = NULL;
	in->lent = false;
	in->base = in->own;
	in->room = in->own_size;
	return 0;
}

void
ipc__drop_message(struct ipc__in *in)
{
	in->len = 0;
	in->view = NULL;
	in->whole = in->shown = false;
	in->off = 0;
}

void
ipc__close_fds(struct ipc__in *in)
{
	while (in->fd_count > 0)
		close(in->with->fds[--in->fd_count]);
	in->fds_lost = false;
}

int
ipc__need_ahead(struct ipc_channel *ch, size_t size)
{
	struct ipc__in *in = &ch->in;

	if (in->ahead_size >= size)
		return 0;
	free(in->ahead);
	in->ahead_size = 0;
	if ((in->ahead = malloc(size)) == NULL)
		return ipc__fail(ENOMEM, "no memory to read ahead");
	in->ahead_size = size;
	return 0;
}

/*
 * Descriptors
 */

/* Descriptors that came with bytes wait for their control frame. */
static int
keep_arrived(struct ipc_channel *ch, const struct ipc__aside *aside)
{
	struct ipc__in *in = &ch->in;
	struct ipc__batch *b;
	unsigned i;

	if (ipc__likely(aside->fd_count == 0 && !aside->lost))
		return 0;
	for (i = 0; i < IPC__LIFE_BATCHES && in->arrived[i] != NULL; i++)
		;
	b = i < IPC__LIFE_BATCHES ? calloc(1, sizeof *b) : NULL;
	if (b == NULL) {
		for (i = 0; i < aside->fd_count; i++)
			close(aside->fds[i]);
		return ipc__broken(ch, "descriptors that no message was for");
	}
	b->count = aside->fd_count;
	b->lost = aside->lost;
	memcpy(b->fds, aside->fds, sizeof(int) * b->count);
	in->arrived[i] = b;
	return 0;
}

static ssize_t
pulled(struct ipc_channel *ch, ssize_t n)
{
	return ipc__likely(n >= 0 || n == -EAGAIN || n == -EPIPE) ? n :
	    ipc__fail_at(ch->address.text, (int)n);
}

/* One receive, with room for descriptors where they can come. */
ssize_t
ipc__pull(struct ipc_channel *ch, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	int fds[IPC_FDS_MAX];
	ssize_t n;
	int rc;

	if (!(ch->in.half->be->traits & IPC__PASSES) || ch->in.half->bare ||
	    ch->boundary == IPC_STREAM)
		return pulled(ch, ipc__be_recv(ch->in.half, iov, count, aside));
	aside->fds = fds;
	aside->fd_count = IPC_FDS_MAX;
	aside->lost = false;
	n = ipc__be_recv(ch->in.half, iov, count, aside);
	if (n >= 0 && (rc = keep_arrived(ch, aside)) < 0)
		return rc;
	return pulled(ch, n);
}

/*
 * Control frames
 */

/* The descriptors of the message: none others are there. */
static void
come_with(struct ipc__in *in, struct ipc__batch *b)
{
	free(in->with);
	in->with = b;
	in->fd_count = b->count;
	in->fds_lost = b->lost;
}

/* The batch that came with the bytes. */
static int
arrived_fds(struct ipc__in *in, unsigned count)
{
	struct ipc__batch *b = in->arrived[0];

	if (b == NULL || (b->count != count && !b->lost))
		return -EBADMSG;
	come_with(in, b);
	memmove(in->arrived, in->arrived + 1,
	    sizeof in->arrived - sizeof in->arrived[0]);
	in->arrived[IPC__LIFE_BATCHES - 1] = NULL;
	return 0;
}

static int
control_fds(struct ipc_channel *ch, unsigned count, uint32_t serial)
{
	struct ipc__in *in = &ch->in;
	struct ipc__batch *b;

	if (count == 0 || count > IPC_FDS_MAX || in->fd_count > 0)
		return ipc__broken(ch, "descriptors out of place");
	if (in->half->be->traits & IPC__PASSES)
		return arrived_fds(in, count) < 0 ?
		    ipc__broken(ch, "descriptors announced and not sent") : 0;
	b = in->life != NULL ? ipc__life_take_fds(in->life, serial) : NULL;
	if (b == NULL)
		return ipc__broken(ch, "descriptors announced and not sent");
	come_with(in, b);
	return 0;
}

static int
control_turn(struct ipc_channel *ch)
{
	if (!ch->half_duplex || atomic_load(&ch->turn))
		return ipc__broken(ch, "a turn that is not its to give");
	atomic_store(&ch->turn, true);
	ipc__ready_update(ch, IPC_SEND, ch->out.end != 0);
	return -EBUSY;
}

/* 0: go on; -EBUSY: the turn came. */
int
ipc__control(struct ipc_channel *ch, const unsigned char *p, size_t size)
{
	unsigned kind, arg;
	uint32_t value;

	/* A greeting that UDP repeated: our answer was lost. */
	if (size == IPC__GREETING && !(ch->caps & IPC_CAP_RELIABLE))
		return ipc__greet_again(ch, p);
	if (!ipc__control_get(p, size, &kind, &arg, &value))
		return ipc__broken(ch, "a control frame of no known kind");
	switch (kind) {
	case IPC__CTL_BYE:
		atomic_fetch_or(&ch->in.bye, (int)arg);
		/* It will not receive any more, whatever else it does. */
		if (arg & IPC_RECV && !ch->joined) {
			atomic_store(&ch->gone, -EPIPE);
			ipc__kick(ch, IPC_SEND);
		}
		return 0;
	case IPC__CTL_TURN:
		return control_turn(ch);
	case IPC__CTL_ABANDON:
		ipc__drop_message(&ch->in);
		ipc__close_fds(&ch->in);
		return 0;
	default:
		return control_fds(ch, arg, value);
	}
}

/*
 * The end
 */

/* Does what the kernel still holds for us end with a goodbye to one of these
 * directions? */
static bool
bye_behind(struct ipc__half *h, int dirs)
{
	unsigned char bye[IPC__CONTROL_FRAME];
	size_t skip = h->be->traits & IPC__BYTES ? 0 : IPC__HEADER - 1;
	int said;

	for (said = IPC_RECV; said <= IPC_DUPLEX; said++) {
		ipc__control_put(bye, IPC__CTL_BYE, (unsigned)said, 0);
		if (skip > 0)
			bye[skip] = IPC__TAG_CONTROL;
		if (said & dirs && ipc__be_ends_with(h, bye + skip,
		    sizeof bye - skip))
			return true;
	}
	return false;
}

int
ipc__end_code(struct ipc_channel *ch, int dir)
{
	bool in = ch->in.half != NULL && (dir == IPC_RECV || !ch->joined);
	struct ipc__half *h = in ? ch->in.half : ch->out.half;
	struct ipc__life *life = in ? ch->in.life : ch->out.life;
	int dirs;

	/* What it said of the direction that ended.  On a socket nothing more
	 * can be said after the first goodbye. */
	dirs = life == NULL && dir == IPC_SEND ? IPC_DUPLEX : dir ^ IPC_DUPLEX;
	if (!(ch->caps & IPC_CAP_DEATH) || ch->boundary == IPC_STREAM ||
	    (in && atomic_load(&ch->in.bye) & dirs))
		return -EPIPE;
	if (life == NULL)
		return bye_behind(h, dirs) ? -EPIPE : -ECONNRESET;
	ipc__life_look(life);
	return ipc__life_said_bye(life, dirs) ? -EPIPE : -ECONNRESET;
}

/* The sending side need not find out by itself, which on TCP takes a lost
 * message; but an end that only stopped sending still receives. */
static void
tell_sender(struct ipc_channel *ch, int code)
{
	struct ipc__in *in = &ch->in;
	bool all;

	if (ch->joined || ch->boundary == IPC_STREAM || in->half->bare ||
	    !(ch->caps & IPC_CAP_DEATH))
		return;
	all = in->life ? ipc__life_ended(in->life, IPC_RECV) :
	    in->half == ch->out.half && code == -ECONNRESET;
	if (all)
		atomic_store(&ch->gone, code);
}

/* Nothing will come any more.  A half message is forgotten. */
int
ipc__ended(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int code = ipc__plain(ipc__end_code(ch, IPC_RECV)), rc;

	ipc__drop_message(in);
	ipc__close_fds(in);
	in->frame.known = false;
	in->pos = in->fill = 0;
	if (in->outlives) {
		/* The descriptor may become another one. */
		ipc__ready_forget(&in->ready);
		if ((rc = ipc__be_again(in->half)) < 0)
			return rc;
		return rc == IPC__TOLD ? -EAGAIN : code;
	}
	tell_sender(ch, code);
	return in->end = code;
}
