/* SPDX-License-Identifier: ISC */
/*
 * The channel as an object: its making, its halves, its end; and the only
 * calls of backends' operations, each with what a missing one means.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

/*
 * Halves
 */

struct ipc__half *
ipc__half_new(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h = calloc(1, sizeof *h + be->size);

	if (h == NULL) {
		ipc__fail(ENOMEM, "no memory for a channel");
		return NULL;
	}
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

void
ipc__half_free(struct ipc__half *h, bool clean)
{
	if (h == NULL || (h->refs > 0 && --h->refs > 0))
		return;
	if (h->be->close != NULL)
		h->be->close(h, clean);
	if (h->fd != -1)
		close(h->fd);
	free(h);
}

/*
 * Operations, and what NULL means
 */

int
ipc__be_pair(const struct ipc_backend *be, struct ipc__half *a,
    struct ipc__half *b, const struct ipc__address *address)
{
	return be->pair(a, b, address);
}

int
ipc__be_pair_both(const struct ipc_backend *be, struct ipc__half *h[4],
    const struct ipc__address *address)
{
	return be->pair_both(h, address);
}

int
ipc__be_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	if (h->be->open == NULL)
		return ipc__fail(EOPNOTSUPP, "%s: has no name that could be "
		    "opened", h->be->mechanism.scheme);
	return h->be->open(h, a, flags);
}

int
ipc__be_unlink(const struct ipc__address *a)
{
	if (a->be->unlink == NULL)
		return ipc__fail(EOPNOTSUPP, "%s: has no name that could be "
		    "removed", a->be->mechanism.scheme);
	return a->be->unlink(a);
}

bool
ipc__be_exists(const struct ipc__address *a)
{
	return a->be->exists != NULL && a->name[0] != '\0' &&
	    a->be->exists(a);
}

bool
ipc__be_native(const struct ipc_backend *be)
{
	return be->listen != NULL;
}

int
ipc__be_listen(struct ipc__half *h, const struct ipc__address *a)
{
	return h->be->listen(h, a);
}

int
ipc__be_accept(struct ipc__half *h, struct ipc__half *listener)
{
	return h->be->accept(h, listener);
}

int
ipc__be_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	return h->be->connect(h, a, timeout);
}

int
ipc__be_connected(struct ipc__half *h)
{
	return h->be->connected == NULL ? 0 : h->be->connected(h);
}

int
ipc__be_where(const struct ipc__half *h, char *buffer, size_t size)
{
	if (h->be->where == NULL)
		return -EOPNOTSUPP;
	return h->be->where(h, buffer, size);
}

int
ipc__be_adopt(struct ipc__half *h, int fd, bool listening)
{
	if (h->be->adopt == NULL)
		return ipc__fail(EOPNOTSUPP, "%s: can not be adopted",
		    h->be->mechanism.scheme);
	h->adopted = true;
	return h->be->adopt(h, fd, listening);
}

int
ipc__be_give(struct ipc__half *h, struct ipc__ticket *t)
{
	if (h->be->give != NULL)
		return h->be->give(h, t);
	if (t->fd_count == IPC__TICKET_FDS)
		return ipc__fail(EINVAL, "too many descriptors to hand over");
	t->fds[t->fd_count++] = h->fd;
	return 0;
}

int
ipc__be_take(struct ipc__half *h, struct ipc__ticket *t)
{
	if (h->be->take != NULL)
		return h->be->take(h, t);
	if (t->fd_next >= t->fd_count)
		return ipc__fail(EBADMSG, "a descriptor is missing");
	h->fd = t->fds[t->fd_next];
	t->fds[t->fd_next++] = -1;
	return 0;
}

void
ipc__be_passed(struct ipc__half *h, pid_t pid)
{
	if (h != NULL && h->be->passed != NULL)
		h->be->passed(h, pid);
}

void
ipc__be_given(struct ipc__half *h)
{
	if (h->be->given != NULL)
		h->be->given(h);
}

ssize_t
ipc__be_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	return h->be->send(h, iov, count, aside);
}

ssize_t
ipc__be_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	return h->be->recv(h, iov, count, aside);
}

bool
ipc__be_in_place(const struct ipc__half *h)
{
	return h->be->peek != NULL;
}

int
ipc__be_reserve(struct ipc__half *h, void **data, size_t size)
{
	return h->be->reserve(h, data, size);
}

int
ipc__be_commit(struct ipc__half *h, size_t size, unsigned flags)
{
	return h->be->commit(h, size, flags);
}

int
ipc__be_put_many(struct ipc__half *h, const struct iovec *messages, int count,
    size_t most)
{
	return h->be->put_many != NULL ?
	    h->be->put_many(h, messages, count, most) : 0;
}

/* -1: only one at a time. */
int
ipc__be_get_many(struct ipc__half *h, struct iovec *messages, int count,
    size_t most)
{
	return h->be->get_many != NULL ?
	    h->be->get_many(h, messages, count, most) : -1;
}

ssize_t
ipc__be_peek(struct ipc__half *h, const void **data, unsigned *flags)
{
	return h->be->peek(h, data, flags);
}

void
ipc__be_release(struct ipc__half *h, unsigned flags)
{
	h->be->release(h, flags);
}

void
ipc__be_publish(struct ipc__half *h, int dir)
{
	if (h->be->publish != NULL)
		h->be->publish(h, dir);
}

int
ipc__be_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	if (h->be->watch != NULL)
		return h->be->watch(h, dir, fds);
	*fds = (struct pollfd){ h->fd, dir == IPC_RECV ? POLLIN : POLLOUT, 0 };
	return 1;
}

int
ipc__be_arm(struct ipc__half *h, int dir)
{
	return h->be->arm == NULL ? 0 : h->be->arm(h, dir);
}

/* -1: not known. */
int
ipc__be_beside(struct ipc__half *h)
{
	return h->be->beside != NULL ? h->be->beside(h) : -1;
}

int64_t
ipc__be_calm(const struct ipc__half *h)
{
	return h != NULL && h->be->calm != NULL ? h->be->calm(h) : -1;
}

void
ipc__be_disarm(struct ipc__half *h, int dir)
{
	if (h->be->disarm != NULL)
		h->be->disarm(h, dir);
}

bool
ipc__be_armed(struct ipc__half *h, int dir)
{
	return h->be->armed != NULL && h->be->armed(h, dir);
}

bool
ipc__be_over(struct ipc__half *h)
{
	return h->be->over != NULL && h->be->over(h);
}

/* -EOPNOTSUPP: it can not. */
int
ipc__be_block(struct ipc__half *h, int dir)
{
	return h->be->block == NULL ? -EOPNOTSUPP : h->be->block(h, dir);
}

int
ipc__be_again(struct ipc__half *h)
{
	return h->be->again == NULL ? 0 : h->be->again(h);
}

int
ipc__be_shutdown(struct ipc__half *h, int dir)
{
	return h->be->shutdown == NULL ? 0 : h->be->shutdown(h, dir);
}

void
ipc__be_stretch(struct ipc__half *h, size_t more)
{
	if (h->be->stretch != NULL)
		h->be->stretch(h, more);
}

void
ipc__be_expect(struct ipc__half *h, size_t size)
{
	if (h->be->expect != NULL)
		h->be->expect(h, size);
}

bool
ipc__be_ends_with(struct ipc__half *h, const void *tail, size_t size)
{
	return h->be->ends_with != NULL && h->be->ends_with(h, tail, size);
}

int
ipc__be_peer(const struct ipc__half *h, struct ipc_peer *peer)
{
	return h->be->peer == NULL ? -EOPNOTSUPP : h->be->peer(h, peer);
}

size_t
ipc__be_pending(const struct ipc__half *h)
{
	return h->be->pending == NULL ? 0 : h->be->pending(h);
}

/*
 * The channel
 */

static int
check_boundary(struct ipc_channel *ch, int unsaid)
{
	const struct ipc__options *o = &ch->address.opt;

	ch->boundary = o->boundary ? o->boundary : unsaid;
	if (ch->boundary == IPC_STREAM && !(ch->caps & IPC_CAP_STREAM))
		return ipc__fail(EINVAL, "boundary=stream: %s carries messages "
		    "only, this way", ch->be->mechanism.scheme);
	if (ch->half_duplex && ch->boundary == IPC_STREAM)
		return ipc__fail(EINVAL, "duplex=half wants boundary=message: "
		    "a turn has no place in a stream of bytes");
	return 0;
}

static int
check_duplex(struct ipc_channel *ch, int flags)
{
	ch->half_duplex = (flags & IPC_HALF_DUPLEX) ||
	    ch->address.opt.half_duplex;
	if (!ch->half_duplex)
		return 0;
	if (!(ch->caps & IPC_CAP_HALF))
		return ipc__fail(EINVAL, "duplex=half: %s has no turns, this "
		    "way", ch->be->mechanism.scheme);
	if (ch->dir != IPC_DUPLEX)
		return ipc__fail(EINVAL, "half-duplex wants both directions");
	return 0;
}

/* What is brought forward asks what to wait for, which may ask again. */
static void
init_greeting(struct ipc_channel *ch)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&ch->greeting, &recursive);
	pthread_mutexattr_destroy(&recursive);
}

static void
init_sides(struct ipc_channel *ch)
{
	ipc__ready_init(&ch->in.ready);
	ipc__ready_init(&ch->out.ready);
	pthread_mutex_init(&ch->in.lock, NULL);
	pthread_mutex_init(&ch->out.lock, NULL);
	init_greeting(ch);
}

int
ipc__channel_new(struct ipc_channel **out, struct ipc__address *address,
    enum ipc_way way, int flags, int default_boundary)
{
	struct ipc_channel *ch = calloc(1, sizeof *ch);
	int rc;

	if (ch == NULL)
		return ipc__fail(ENOMEM, "no memory for a channel");
	ipc__fork_watch();
	init_sides(ch);
	ch->be = address->be;
	ch->way = way;
	ch->caps = ch->be->mechanism.caps[way];
	/* A slot holds one record, and descriptors would outlive it. */
	if (address->opt.latest)
		ch->caps &= ~(unsigned)(IPC_CAP_LARGE | IPC_CAP_FDS);
	ch->dir = flags & IPC_DUPLEX ? flags & IPC_DUPLEX : IPC_DUPLEX;
	ch->many = address->opt.many;
	ch->used = atomic_load(&ipc__forks);
	ch->process = atomic_load(&ipc__process);
	ch->address.opt = address->opt;
	if ((rc = check_duplex(ch, flags)) < 0 ||
	    (rc = check_boundary(ch, default_boundary)) < 0) {
		free(ch);
		return rc;
	}
	ch->address = *address;
	memset(address, 0, sizeof *address);
	*out = ch;
	return 0;
}

/* Opened objects have their own limits, the others what was agreed. */
static size_t
limit_of(const struct ipc_channel *ch, size_t record, bool tagged)
{
	size_t limit = ch->address.opt.max_message;

	if (!(ch->caps & IPC_CAP_LARGE) && record - tagged < limit)
		limit = record - tagged;
	return limit;
}

static void
attach_in(struct ipc_channel *ch, struct ipc__half *h, struct ipc__life *life)
{
	struct ipc__in *in = &ch->in;
	bool bytes = h->be->traits & IPC__BYTES;

	in->half = h;
	in->get = h->be->get;
	in->await = h->be->await;
	in->life = life;
	in->framed = bytes && ch->boundary == IPC_MESSAGE;
	in->tagged = !bytes && !(h->be->traits & IPC__FLAGS) && !h->bare &&
	    ch->boundary == IPC_MESSAGE;
	in->exact = h->adopted;
	in->outlives = ch->way == IPC_WAY_OPEN;
	in->quick = ch->boundary == IPC_MESSAGE && !ch->many &&
	    !ch->half_duplex && (bytes || h->be->peek != NULL);
	in->limit = limit_of(ch, h->room > h->record ? h->room : h->record,
	    in->tagged);
	h->answers = &ch->out.messages;
	h->refs++;
	if (life != NULL)
		life->refs++;
}

static void
attach_out(struct ipc_channel *ch, struct ipc__half *h, struct ipc__life *life)
{
	struct ipc__out *out = &ch->out;

	out->half = h;
	out->put = h->be->put;
	out->life = life;
	out->framed = h->be->traits & IPC__BYTES && ch->boundary == IPC_MESSAGE;
	/* A stream of nothing but bytes has nothing to say beside. */
	out->tagged = !(h->be->traits & (IPC__BYTES | IPC__FLAGS)) &&
	    !h->bare && ch->boundary == IPC_MESSAGE;
	out->outlives = ch->way == IPC_WAY_OPEN;
	out->piece = h->record - out->tagged;
	out->limit = limit_of(ch, h->record, out->tagged);
	out->quick = ipc__quick_max(ch);
	h->refs++;
	if (life != NULL)
		life->refs++;
}

void
ipc__channel_attach(struct ipc_channel *ch, struct ipc__half *rx,
    struct ipc__half *tx, struct ipc__life *life)
{
	if (rx != NULL) {
		rx->stream = ch->boundary == IPC_STREAM;
		attach_in(ch, rx, life);
	}
	if (tx != NULL) {
		tx->stream = ch->boundary == IPC_STREAM;
		attach_out(ch, tx, life);
	}
}

/* The life line hung up: nobody holds the other end, so nobody who has not
 * taken it will. */
static void
note_refusal(struct ipc__half *h, struct ipc__life *life)
{
	struct pollfd p = { .fd = life != NULL ? life->fd : -1 };
	int n;

	if (h == NULL || life == NULL || !(h->be->traits & IPC__CONFIRM))
		return;
	/* It is not asked again after this: a passing ENOMEM is tried over. */
	if ((n = poll(&p, 1, 0)) == -1)
		n = poll(&p, 1, 0);
	if (n == 1 && p.revents & POLLHUP)
		h->refused = true;
}

void
ipc__channel_free(struct ipc_channel *ch, bool clean)
{
	bool own;

	if (ch == NULL)
		return;
	own = ch->process == atomic_load(&ipc__process);
	ipc__ready_free(&ch->in.ready, own);
	ipc__ready_free(&ch->out.ready, own);
	ipc__greet_free(ch->greet);
	ipc__in_free(&ch->in);
	ipc__out_free(&ch->out);
	note_refusal(ch->in.half, ch->in.life);
	note_refusal(ch->out.half, ch->out.life);
	ipc__half_free(ch->in.half, clean);
	ipc__half_free(ch->out.half, clean);
	if (ch->in.life != NULL)
		ipc__life_free(ch->in.life);
	if (ch->out.life != NULL)
		ipc__life_free(ch->out.life);
	pthread_mutex_destroy(&ch->in.lock);
	pthread_mutex_destroy(&ch->out.lock);
	pthread_mutex_destroy(&ch->greeting);
	ipc__address_free(&ch->address);
	free(ch->offer);
	free(ch);
}

/* Is this process, as far as anybody can tell, the only one to hold it? */
bool
ipc__clean(const struct ipc_channel *ch)
{
	return atomic_load(&ch->used) == atomic_load(&ipc__forks) &&
	    ch->process == atomic_load(&ipc__process);
}

/* First use in a forked child: what belongs to the parent is left alone. */
static int
adopt_in_child(struct ipc_channel *ch)
{
	if (ch->be->traits & IPC__INPROC)
		return ipc__fail(EOPNOTSUPP, "%s: does not reach into a forked "
		    "child", ch->address.text);
	ipc__ready_free(&ch->in.ready, false);
	ipc__ready_free(&ch->out.ready, false);
	pthread_mutex_init(&ch->in.lock, NULL);
	pthread_mutex_init(&ch->out.lock, NULL);
	init_greeting(ch);
	ch->process = atomic_load(&ipc__process);
	return 0;
}

int
ipc__enter_slow(struct ipc_channel *ch)
{
	int rc;

	if (ch->process != atomic_load(&ipc__process) &&
	    (rc = adopt_in_child(ch)) < 0)
		return rc;
	atomic_store(&ch->used, atomic_load(&ipc__forks));
	/* Both sides may have come here; the first brings it forward. */
	pthread_mutex_lock(&ch->greeting);
	rc = ch->greet == NULL ? 0 : ipc__greet_step(ch);
	if (rc == -EAGAIN) {
		/* Another step may wait for something else. */
		ipc__ready_update(ch, IPC_RECV, false);
		ipc__ready_update(ch, IPC_SEND, false);
	}
	pthread_mutex_unlock(&ch->greeting);
	return rc;
}

int
ipc__wrong_way(const struct ipc_channel *ch, int direction)
{
	return ipc__fail(EBADF, "%s: this channel does not %s",
	    ch->address.text, direction == IPC_RECV ? "receive" : "send");
}
