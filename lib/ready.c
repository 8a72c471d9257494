/* SPDX-License-Identifier: ISC */
/*
 * Waiting, and being waited for.
 *
 * A side sleeps in ppoll on what its mechanism shows, the life line where the
 * mechanism shows no end, and its bell, an eventfd that ipc_wake rings.  The
 * descriptor of ipc_fd is an epoll set of the same things; there the bell also
 * says that a call would get on without anything new from the kernel (a message
 * was read ahead).  Nothing of this exists before it is needed.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"

/* A System V queue has no descriptor: looked at in growing intervals (ns). */
#define LOOK_FIRST	50000
#define LOOK_LAST	5000000

static struct ipc__ready *
side_ready(struct ipc_channel *ch, int dir)
{
	return dir == IPC_RECV ? &ch->in.ready : &ch->out.ready;
}

static struct ipc__half *
side_half(struct ipc_channel *ch, int dir)
{
	return dir == IPC_RECV ? ch->in.half : ch->out.half;
}

static struct ipc__life *
side_life(struct ipc_channel *ch, int dir)
{
	return dir == IPC_RECV ? ch->in.life : ch->out.life;
}

void
ipc__ready_init(struct ipc__ready *r)
{
	r->epoll = -1;
	r->beside = -1;
	atomic_init(&r->bell, -1);
}

void
ipc__ready_forget(struct ipc__ready *r)
{
	unsigned i;

	for (i = 0; r->epoll != -1 && i < r->count; i++)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, r->sources[i].fd, NULL);
	r->count = 0;
}

void
ipc__ready_free(struct ipc__ready *r, bool own)
{
	int bell = atomic_load(&r->bell);

	/* A forked copy of the set may live on in somebody's event loop; it
	 * must not go on showing what this end was. */
	if (own)
		ipc__ready_forget(r);
	if (own && r->epoll != -1 && bell != -1)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, bell, NULL);
	if (r->epoll != -1)
		close(r->epoll);
	if (bell != -1)
		close(bell);
	r->epoll = -1;
	r->watched = false;
	r->count = 0;
	r->rung = false;
	atomic_store(&r->bell, -1);
}

/*
 * What to look at
 */

/* An epoll set takes a descriptor once: a socket may be of both sides. */
static int
merge(struct pollfd *fds, int n, const struct pollfd *more, int count)
{
	int i, k;

	for (i = 0; i < count; i++) {
		for (k = 0; k < n && fds[k].fd != more[i].fd; k++)
			;
		if (k == n)
			fds[n++] = more[i];
		else
			fds[k].events |= more[i].events;
	}
	return n;
}

/* -EISCONN: another thread has just brought it to its end. */
static int
greeting_sources(struct ipc_channel *ch, struct pollfd *fds)
{
	int n;

	pthread_mutex_lock(&ch->greeting);
	n = ch->greet == NULL ? -EISCONN : ipc__greet_sources(ch, fds);
	pthread_mutex_unlock(&ch->greeting);
	return n;
}

int
ipc__sources(struct ipc_channel *ch, int dir, struct pollfd *fds)
{
	struct ipc__half *h = side_half(ch, dir);
	struct ipc__life *life = side_life(ch, dir);
	struct pollfd more[2];
	int n, m;

	if (ipc__unlikely(ch->greet != NULL) &&
	    (n = greeting_sources(ch, fds)) != -EISCONN)
		return n;
	/* Out of turn nothing would be taken; a receive brings the turn. */
	if (h == NULL || (dir == IPC_SEND && ipc__unlikely(ch->half_duplex) &&
	    !atomic_load(&ch->turn)))
		return 0;
	if (dir == IPC_SEND && ipc__unlikely(ch->out.road_full)) {
		*fds = (struct pollfd){ life->fd, POLLOUT, 0 };
		return 1;
	}
	if ((n = ipc__be_watch(h, dir, fds)) < 0)
		return n;
	if (life != NULL && h->be->traits & IPC__SILENT)
		fds[n++] = (struct pollfd){ life->fd, ipc__life_events(life),
		    0 };
	/* A turn that could not be brought yet. */
	if (dir == IPC_RECV && ipc__unlikely(ch->half_duplex) &&
	    ch->out.half != NULL && ch->out.debt.count > 0) {
		if ((m = ipc__be_watch(ch->out.half, IPC_SEND, more)) < 0)
			return m;
		n = merge(fds, n, more, m);
	}
	return n;
}

/*
 * The bell
 */

static int
make_bell(struct ipc__ready *r)
{
	int fd = atomic_load(&r->bell);

	if (fd != -1)
		return fd;
	if ((fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		return ipc__fail_sys("eventfd");
	/* Before the mark is looked at; pairs with ipc_wake, which leaves the
	 * mark before it looks for a bell (both sequentially consistent). */
	atomic_store(&r->bell, fd);
	return fd;
}

static void
ring(int bell)
{
	uint64_t one = 1;

	if (bell != -1 && write(bell, &one, sizeof one) == -1)
		return;		/* full: it is rung */
}

static void
silence(struct ipc__ready *r)
{
	uint64_t n;
	int bell = atomic_load(&r->bell);

	r->rung = false;
	if (bell != -1 && read(bell, &n, sizeof n) == -1)
		return;		/* it was quiet */
}

int
ipc__cancelled(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);

	if (!atomic_exchange(&r->cancel, false))
		return 0;
	silence(r);
	ipc__ready_update(ch, dir, dir == IPC_SEND || ipc__in_ready(ch));
	return ipc__fail(ECANCELED, "ipc_wake was called");
}

int
ipc__bell(struct ipc_channel *ch, int dir)
{
	int rc = make_bell(side_ready(ch, dir));

	return rc < 0 ? rc : 0;
}

/* The mark of a ring that nobody owns: the next update silences it. */
void
ipc__kick(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);

	atomic_store(&r->woken, true);
	ring(atomic_load(&r->bell));
}

static void
wake_side(struct ipc__ready *r)
{
	atomic_store(&r->woken, true);
	atomic_store(&r->cancel, true);
	ring(atomic_load(&r->bell));
}

void
ipc__cancel_again(struct ipc_channel *ch, int dir)
{
	wake_side(side_ready(ch, dir));
}

void
ipc_wake(struct ipc_channel *ch)
{
	int saved = errno;

	if (ch == NULL)
		return;
	wake_side(&ch->in.ready);
	wake_side(&ch->out.ready);
	errno = saved;
}

/*
 * Sleeping
 */

/* No descriptor shows it: a short sleep, twice as long each time. */
static int
doze(struct ipc_channel *ch, struct pollfd *fds, unsigned n, int64_t deadline,
    int dir)
{
	int64_t until, now = ipc__now();
	int64_t *nap = dir == IPC_RECV ? &ch->in.nap : &ch->out.nap;
	int rc;

	*nap = *nap ? *nap * 2 : LOOK_FIRST;
	if (*nap > LOOK_LAST)
		*nap = LOOK_LAST;
	until = now + *nap;
	if (deadline >= 0 && until > deadline)
		until = deadline;
	if ((rc = ipc__poll_until(fds, n, until)) < 0)
		return rc;
	return rc == 0 && deadline >= 0 && ipc__now() >= deadline ?
	    -ETIMEDOUT : 0;
}

/* Nothing to poll, though there would be time.  Only wait=block gives the
 * thread away for so long: ipc_wake does not reach it there. */
static int
wait_blind(struct ipc_channel *ch, struct pollfd *bell, unsigned n,
    int64_t deadline, int dir)
{
	int rc = -EOPNOTSUPP;

	if (ch->address.opt.wait == IPC__WAIT_BLOCK && deadline < 0 &&
	    ch->greet == NULL && n == 1)
		rc = ipc__be_block(side_half(ch, dir), dir);
	if (rc == -EINTR)
		rc = 0;
	return rc == -EOPNOTSUPP ? doze(ch, bell, n, deadline, dir) : rc;
}

static int
timed_out(int64_t deadline)
{
	return deadline >= 0 && ipc__now() >= deadline ?
	    ipc__plain(-ETIMEDOUT) : 0;
}

/* Sleeps until the deadline, or until the mechanism has something to do of its
 * own: then 1, as if something had come. */
static int
sleep_on(struct ipc_channel *ch, int dir, struct pollfd *fds, unsigned n,
    int64_t deadline)
{
	int64_t calm = dir == IPC_RECV && ch->greet == NULL ?
	    ipc__be_calm(ch->in.half) : -1;
	int rc;

	if (calm < 0 || (deadline >= 0 && deadline <= calm))
		return ipc__poll_until(fds, n, deadline);
	rc = ipc__poll_until(fds, n, calm);
	return rc == 0 ? 1 : rc;
}

int
ipc__wait(struct ipc_channel *ch, int dir, int64_t deadline)
{
	struct ipc__ready *r = side_ready(ch, dir);
	struct pollfd fds[IPC__SOURCES + 2];
	int64_t from = ipc__now();
	unsigned more = 1;
	int rc, n;

	if (dir == IPC_RECV && ch->in.busy)
		return (rc = ipc__cancelled(ch, dir)) < 0 ? rc :
		    timed_out(deadline);
	if ((rc = make_bell(r)) < 0)
		return rc;
	if (r->rung)
		silence(r);
	if ((rc = ipc__cancelled(ch, dir)) < 0)
		return rc;
	if ((n = ipc__sources(ch, dir, fds)) < 0)
		return ipc__fail_at(ch->address.text, n);
	fds[n] = (struct pollfd){ atomic_load(&r->bell), POLLIN, 0 };
	fds[n + 1] = (struct pollfd){ r->beside, POLLIN, 0 };
	if (r->beside != -1)
		more++;
	if (dir == IPC_RECV)
		ipc__count(ch->in.sleeps, 1);
	else
		ipc__count(ch->out.sleeps, 1);
	rc = n == 0 ? wait_blind(ch, fds, more, deadline, dir) :
	    sleep_on(ch, dir, fds, (unsigned)n + more, deadline);
	r->slept = ipc__now() - from;
	if (rc == 0 && n > 0)
		return ipc__plain(-ETIMEDOUT);
	if (rc == -ETIMEDOUT)
		return ipc__plain(rc);
	if (rc > 0 && fds[n].revents && (rc = ipc__cancelled(ch, dir)) < 0)
		return rc;
	if (fds[n].revents)
		silence(r);	/* a stale ring */
	if (rc >= 0 && fds[n + 1].revents)
		return ipc__plain(-EINTR);
	return rc < 0 ? rc : 0;
}

void
ipc__wait_beside(struct ipc_channel *ch, int dir, int fd)
{
	side_ready(ch, dir)->beside = fd;
}

/*
 * ipc_fd
 */

static bool
same_sources(const struct ipc__ready *r, const struct pollfd *fds, int n)
{
	int i;

	if (n != (int)r->count)
		return false;
	for (i = 0; i < n; i++)
		if (r->sources[i].fd != fds[i].fd ||
		    r->sources[i].events != fds[i].events)
			return false;
	return true;
}

static int
add_source(int epoll, int fd, short events)
{
	struct epoll_event ev = { .events = (uint32_t)events,
	    .data = { .fd = fd } };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0 || errno == EEXIST)
		return 0;
	/* A regular file is always ready: the bell says so. */
	return errno == EPERM ? 1 : ipc__fail_sys("epoll_ctl");
}

static int
set_sources(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);
	int rc = 0, i, n;
	struct pollfd fds[IPC__SOURCES];

	if ((n = ipc__sources(ch, dir, fds)) < 0)
		return n;
	if (same_sources(r, fds, n))
		return 0;
	ipc__ready_forget(r);
	for (i = 0; i < n && rc >= 0; i++) {
		rc = add_source(r->epoll, fds[i].fd, fds[i].events);
		r->sources[r->count++] = fds[i];
	}
	return rc < 0 ? rc : 0;
}

void
ipc__ready_update(struct ipc_channel *ch, int dir, bool ready)
{
	struct ipc__ready *r = side_ready(ch, dir);

	if (ipc__likely(!r->watched))
		return;
	(void)set_sources(ch, dir);
	if (ready && !r->rung) {
		r->rung = true;
		ring(atomic_load(&r->bell));
	} else if (!ready && (r->rung || atomic_load(&r->woken))) {
		silence(r);
		/* A mark that came meanwhile is to be seen. */
		if (atomic_load(&r->cancel))
			ring(atomic_load(&r->bell));
	}
}

static int
make_set(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);
	int rc;

	if ((rc = make_bell(r)) < 0)
		return rc;
	if ((r->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		return ipc__fail_sys("epoll_create1");
	r->count = 0;
	if ((rc = add_source(r->epoll, rc, POLLIN)) == 0 &&
	    (rc = set_sources(ch, dir)) == 0)
		return 0;
	close(r->epoll);
	r->epoll = -1;
	return rc;
}

/* A mechanism that must be asked to ring is asked, and tells whether there is
 * something already.  While a set is at rest, a look may have taken what was
 * rung for without putting the bell out: then being armed still says nothing.
 */
bool
ipc__side_ready(struct ipc_channel *ch, int dir)
{
	const struct ipc__ready *r = side_ready(ch, dir);
	struct ipc__half *h = side_half(ch, dir);
	bool at_rest = r->epoll != -1 && !r->watched;

	return h != NULL && h->be->arm != NULL && ch->greet == NULL &&
	    !(dir == IPC_SEND && ch->out.road_full) &&
	    (at_rest || !ipc__be_armed(h, dir)) &&
	    ipc__be_arm(h, dir) != 0;
}

/* Whether a call would get on already, before anything rings. */
static bool
ready_now(struct ipc_channel *ch, int dir)
{
	struct ipc__half *h = side_half(ch, dir);
	bool cancel = atomic_load(&side_ready(ch, dir)->cancel);

	if (ch->greet != NULL)
		return cancel || ipc__greet_failed(ch);
	if (h == NULL)
		return true;	/* the call will say why not */
	if (dir == IPC_RECV)
		return ipc__in_ready(ch) || ipc__turn_ready(ch) ||
		    ipc__side_ready(ch, dir);
	return ch->out.end != 0 || ch->out.shut || cancel || ch->gone ||
	    ipc__side_ready(ch, dir);
}

void
ipc__rest(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);

	if (!r->watched)
		return;
	r->watched = false;
	if (side_half(ch, dir) != NULL)
		ipc__be_disarm(side_half(ch, dir), dir);
}

void
ipc__fd_drop(struct ipc_channel *ch, int dir)
{
	struct ipc__ready *r = side_ready(ch, dir);

	ipc__rest(ch, dir);
	if (r->epoll == -1)
		return;
	/* The registrations of a forked copy are its parent's as well. */
	if (ch->process == atomic_load(&ipc__process)) {
		ipc__ready_forget(r);
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, atomic_load(&r->bell),
		    NULL);
	}
	close(r->epoll);
	r->epoll = -1;
	r->count = 0;
}

int
ipc_fd(struct ipc_channel *ch, int direction, short *events)
{
	struct pollfd fds[IPC__SOURCES];
	bool ready;
	int rc;

	if (ch == NULL || (direction != IPC_RECV && direction != IPC_SEND))
		return ipc__fail(EINVAL, "ipc_fd: a channel and one direction, "
		    "IPC_RECV or IPC_SEND");
	if (!(ch->dir & direction))
		return ipc__wrong_way(ch, direction);
	/* A connection that failed is ready: the next call says why. */
	if ((rc = ipc__enter(ch)) < 0 && rc != -EAGAIN &&
	    (ch->greet == NULL || rc == -EOPNOTSUPP))
		return rc;
	if (ch->greet == NULL && side_half(ch, direction) != NULL &&
	    (rc = ipc__be_watch(side_half(ch, direction), direction,
	    fds)) < 0)
		return ipc__fail_at(ch->address.text, rc);
	if (ch->greet == NULL && rc == 0 && side_half(ch, direction) != NULL)
		return ipc__fail(EOPNOTSUPP, "%s: this mechanism has no "
		    "descriptor to wait on", ch->address.text);
	if (side_ready(ch, direction)->epoll == -1 &&
	    (rc = make_set(ch, direction)) < 0)
		return ipc__fail_at(ch->address.text, rc);
	ready = ready_now(ch, direction);
	side_ready(ch, direction)->watched = true;
	ipc__ready_update(ch, direction, ready);
	if (events != NULL)
		*events = POLLIN;
	return side_ready(ch, direction)->epoll;
}
