/* SPDX-License-Identifier: ISC */
/*
 * A lane: one direction between two threads of a process.
 *
 * A record is a mark, the descriptors that travel with it, and its bytes, in
 * one piece; where that does not fit before the end of the buffer, a mark says
 * to skip the rest.  The sender writes behind the shown tail, which nobody else
 * looks at, and shows it by storing the tail; the receiver gives room back by
 * storing the head.  Both are stored under the lock, which makes showing and
 * the decision to ring the bell one step, so that no ring is lost: arm() looks
 * and says that it waits under the same lock.  Looking without having to wait
 * takes no lock.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lane.h"

#define UNIT	16u			/* records begin and bytes lie there */
#define SKIP	UINT32_MAX

struct mark {
	alignas(UNIT) uint32_t length;	/* or SKIP */
	uint16_t flags;
	uint16_t fds;
};

static struct mark *
mark_at(const struct ipc__lane *l, uint64_t position)
{
	return (struct mark *)(void *)(l->data + (position & (l->size - 1)));
}

static int *
mark_fds(struct mark *m)
{
	return (int *)(void *)(m + 1);
}

static size_t
round_up(size_t size)
{
	return (size + UNIT - 1) & ~(size_t)(UNIT - 1);
}

static unsigned char *
mark_bytes(struct mark *m, unsigned fds)
{
	return (unsigned char *)(m + 1) + round_up(fds * sizeof(int));
}

static size_t
need(size_t size, unsigned fds)
{
	return sizeof(struct mark) + round_up(fds * sizeof(int)) +
	    round_up(size);
}

/* Half of the buffer always has room for one, wherever it begins. */
size_t
ipc__lane_record(const struct ipc__lane *l)
{
	return l->size / 4;
}

static size_t
need_most(const struct ipc__lane *l)
{
	return need(ipc__lane_record(l), IPC_FDS_MAX);
}

/* From here to the end of the buffer. */
static uint64_t
rest(const struct ipc__lane *l, uint64_t position)
{
	return l->size - (position & (l->size - 1));
}

int
ipc__lane_init(struct ipc__lane *l, size_t size)
{
	size_t power = IPC__LANE_LEAST;

	while (power <= size / 2)
		power *= 2;
	if (posix_memalign((void **)&l->data, 64, power) != 0)
		return ipc__fail(ENOMEM, "no memory for %zu bytes", power);
	l->size = power;
	pthread_mutex_init(&l->lock, NULL);
	l->receiver.fd = l->sender.fd = -1;
	return 0;
}

/* Descriptors of the records between two positions; -1 is one taken. */
static void
drop(struct ipc__lane *l, uint64_t from, uint64_t to)
{
	struct mark *m;
	unsigned i;

	while (from != to) {
		m = mark_at(l, from);
		if (m->length == SKIP) {
			from += rest(l, from);
			continue;
		}
		for (i = 0; i < m->fds; i++)
			if (mark_fds(m)[i] >= 0)
				close(mark_fds(m)[i]);
		from += need(m->length, m->fds);
	}
}

/* In a forked child the lock may be held and a record half written: then
 * descriptors that travel are left to exec or exit. */
void
ipc__lane_free(struct ipc__lane *l, bool forked)
{
	if (!forked) {
		drop(l, atomic_load(&l->shown_tail), l->tail);
		pthread_mutex_destroy(&l->lock);
	}
	if (l->receiver.fd >= 0)
		close(l->receiver.fd);
	if (l->sender.fd >= 0)
		close(l->sender.fd);
	free(l->data);
}

size_t
ipc__lane_pending(const struct ipc__lane *l)
{
	/* Both only for show. */
	return (size_t)(atomic_load_explicit(&l->shown_tail,
	    memory_order_relaxed) - l->head);
}

/*
 * Bells
 */

static void
ring(struct ipc__bell *b)
{
	if (b->fd >= 0 && !b->rung) {
		eventfd_write(b->fd, 1);
		b->rung = true;
	}
	b->armed = false;
}

static void
silence(struct ipc__bell *b)
{
	eventfd_t n;

	if (b->rung)
		eventfd_read(b->fd, &n);
	b->rung = false;
}

static int
bell_fd(struct ipc__bell *b)
{
	if (b->fd < 0)
		b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->fd >= 0 ? b->fd : ipc__fail_sys("eventfd");
}

static struct ipc__bell *
bell_of(struct ipc__lane *l, int dir)
{
	return dir == IPC_RECV ? &l->receiver : &l->sender;
}

int
ipc__lane_bell(struct ipc__lane *l, int dir)
{
	int fd;

	pthread_mutex_lock(&l->lock);
	fd = bell_fd(bell_of(l, dir));
	pthread_mutex_unlock(&l->lock);
	return fd;
}

/*
 * Sending
 */

/* Where a record can begin, if there is room for it. */
static bool
fits(const struct ipc__lane *l, uint64_t tail, uint64_t head, size_t size,
    uint64_t *place)
{
	uint64_t left = rest(l, tail);
	uint64_t skip = size <= left ? 0 : left;

	*place = tail + skip;
	return skip + size <= l->size - (tail - head);
}

static int
make_room(struct ipc__lane *l, size_t size)
{
	/* Acquire: pairs with the store in ipc__lane_shut(). */
	if (atomic_load_explicit(&l->no_receiver, memory_order_acquire))
		return -EPIPE;
	if (fits(l, l->tail, l->seen_head, size, &l->place))
		return 0;
	/* Acquire: pairs with the release in show_head(); the receiver has
	 * read what is overwritten now. */
	l->seen_head = atomic_load_explicit(&l->shown_head,
	    memory_order_acquire);
	return fits(l, l->tail, l->seen_head, size, &l->place) ? 0 : -EAGAIN;
}

static int
reserve(struct ipc__lane *l, size_t size, unsigned fds)
{
	int rc;

	l->open = false;
	if (size > ipc__lane_record(l))
		return ipc__fail(EMSGSIZE, "a record of %zu bytes exceeds %zu",
		    size, ipc__lane_record(l));
	rc = make_room(l, need(size, fds));
	if (rc < 0)
		return rc;
	l->reserved = size;
	l->reserved_fds = fds;
	l->open = true;
	return 0;
}

int
ipc__lane_reserve(struct ipc__lane *l, void **data, size_t size)
{
	int rc;

	rc = reserve(l, size, 0);
	if (rc == 0)
		*data = mark_bytes(mark_at(l, l->place), 0);
	return rc;
}

static int
show_tail(struct ipc__lane *l)
{
	uint64_t shown;
	bool gone;

	pthread_mutex_lock(&l->lock);
	shown = atomic_load_explicit(&l->shown_tail, memory_order_relaxed);
	gone = atomic_load_explicit(&l->no_receiver, memory_order_relaxed);
	/* Release: pairs with the acquire in look(). */
	if (!gone)
		atomic_store_explicit(&l->shown_tail, l->tail,
		    memory_order_release);
	if (l->receiver.armed && !gone && l->tail != shown)
		ring(&l->receiver);
	pthread_mutex_unlock(&l->lock);
	if (!gone)
		return 0;
	drop(l, shown, l->tail);
	l->tail = shown;
	return -EPIPE;
}

int
ipc__lane_commit(struct ipc__lane *l, size_t size, unsigned flags)
{
	struct mark *m;

	if (!l->open || size > l->reserved)
		return ipc__fail(EINVAL, "that much was not reserved");
	l->open = false;
	if (l->place != l->tail)
		mark_at(l, l->tail)->length = SKIP;
	m = mark_at(l, l->place);
	m->length = (uint32_t)size;
	m->flags = flags & (IPC__MORE | IPC__CONTROL);
	m->fds = (uint16_t)l->reserved_fds;
	l->tail = l->place + need(size, l->reserved_fds);
	return flags & IPC__HOLD ? 0 : show_tail(l);
}

static size_t
total(const struct iovec *iov, int count)
{
	size_t sum = 0;
	int i;

	for (i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int
put_fds(int *to, const int *fds, unsigned count)
{
	unsigned i;
	int rc;

	for (i = 0; i < count; i++) {
		to[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (to[i] < 0)
			break;
	}
	if (i == count)
		return 0;
	rc = ipc__fail_sys("fcntl");
	while (i-- > 0)
		close(to[i]);
	return rc;
}

static void
gather(unsigned char *to, const struct iovec *iov, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			to = mempcpy(to, iov[i].iov_base, iov[i].iov_len);
}

ssize_t
ipc__lane_send(struct ipc__lane *l, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	unsigned fds = aside != NULL ? aside->fd_count : 0;
	size_t size = total(iov, count);
	struct mark *m;
	int rc;

	if (fds > IPC_FDS_MAX)
		return ipc__fail(EINVAL, "%u descriptors exceed %d", fds,
		    IPC_FDS_MAX);
	rc = reserve(l, size, fds);
	if (rc < 0)
		return rc;
	m = mark_at(l, l->place);
	rc = fds > 0 ? put_fds(mark_fds(m), aside->fds, fds) : 0;
	if (rc < 0) {
		l->open = false;
		return rc;
	}
	gather(mark_bytes(m, fds), iov, count);
	rc = ipc__lane_commit(l, size, aside != NULL ? aside->flags : 0);
	return rc < 0 ? rc : (ssize_t)size;
}

/*
 * Receiving
 */

static int
look(struct ipc__lane *l)
{
	bool gone;

	/* Acquire: pairs with ipc__lane_shut().  Before the tail: what was
	 * shown before the end is seen before the end. */
	gone = atomic_load_explicit(&l->no_sender, memory_order_acquire);
	/* Acquire: pairs with show_tail(); the record is written. */
	l->seen_tail = atomic_load_explicit(&l->shown_tail,
	    memory_order_acquire);
	if (l->head != l->seen_tail)
		return 0;
	return gone ? -EPIPE : -EAGAIN;
}

static int
next(struct ipc__lane *l, struct mark **m)
{
	int rc;

	if (l->head == l->seen_tail) {
		rc = look(l);
		if (rc < 0)
			return rc;
	}
	*m = mark_at(l, l->head);
	if ((*m)->length == SKIP) {	/* a record follows */
		l->head += rest(l, l->head);
		*m = mark_at(l, l->head);
	}
	return 0;
}

ssize_t
ipc__lane_peek(struct ipc__lane *l, const void **data, unsigned *flags)
{
	struct mark *m;
	int rc;

	rc = next(l, &m);
	if (rc < 0)
		return rc;
	*data = mark_bytes(m, m->fds);
	*flags = m->flags;
	return (ssize_t)m->length;
}

static void
show_head(struct ipc__lane *l)
{
	uint64_t place;

	pthread_mutex_lock(&l->lock);
	/* Release: pairs with the acquire in make_room(). */
	atomic_store_explicit(&l->shown_head, l->head, memory_order_release);
	if (l->sender.armed &&
	    fits(l, l->full_tail, l->head, need_most(l), &place))
		ring(&l->sender);
	pthread_mutex_unlock(&l->lock);
}

void
ipc__lane_release(struct ipc__lane *l, unsigned flags)
{
	struct mark *m;
	uint64_t end;

	if (next(l, &m) < 0)
		return;
	end = l->head + need(m->length, m->fds);
	drop(l, l->head, end);
	l->head = end;
	if (!(flags & IPC__HOLD))
		show_head(l);
}

int
ipc__lane_publish(struct ipc__lane *l, int dir)
{
	if (dir == IPC_SEND)
		return show_tail(l);
	show_head(l);
	return 0;
}

static void
scatter(const struct iovec *iov, int count, const unsigned char *from,
    size_t size)
{
	size_t n;
	int i;

	for (i = 0; i < count && size > 0; i++) {
		n = iov[i].iov_len < size ? iov[i].iov_len : size;
		if (n > 0)
			memcpy(iov[i].iov_base, from, n);
		from += n;
		size -= n;
	}
}

/* What is not taken here is closed by the release. */
static void
get_fds(struct mark *m, struct ipc__aside *aside)
{
	unsigned room = aside->fds != NULL ? aside->fd_count : 0;
	unsigned i;

	for (i = 0; i < m->fds && i < room; i++) {
		aside->fds[i] = mark_fds(m)[i];
		mark_fds(m)[i] = -1;
	}
	aside->fd_count = i;
	aside->lost = m->fds > i;
}

ssize_t
ipc__lane_recv(struct ipc__lane *l, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct mark *m;
	ssize_t size;
	int rc;

	rc = next(l, &m);
	if (rc < 0)
		return rc;
	size = (ssize_t)m->length;
	if (total(iov, count) < (size_t)size)
		return -EMSGSIZE;
	scatter(iov, count, mark_bytes(m, m->fds), (size_t)size);
	if (aside != NULL) {
		aside->flags = m->flags;
		get_fds(m, aside);
	}
	ipc__lane_release(l, 0);
	return size;
}

/*
 * Waiting and ending
 */

static bool
may_go_on(struct ipc__lane *l, int dir)
{
	uint64_t place;

	if (dir == IPC_RECV)
		return atomic_load(&l->shown_tail) != l->head ||
		    atomic_load(&l->no_sender);
	l->full_tail = l->tail;
	return atomic_load(&l->no_receiver) ||
	    fits(l, l->tail, atomic_load(&l->shown_head), need_most(l), &place);
}

/* Where something is there, the bell is rung, as somebody may poll it. */
int
ipc__lane_arm(struct ipc__lane *l, int dir)
{
	struct ipc__bell *b = bell_of(l, dir);
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = bell_fd(b);
	if (rc >= 0) {
		rc = may_go_on(l, dir);
		if (rc == 0) {
			silence(b);
			b->armed = true;
		} else {
			ring(b);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void
ipc__lane_disarm(struct ipc__lane *l, int dir)
{
	pthread_mutex_lock(&l->lock);
	bell_of(l, dir)->armed = false;
	pthread_mutex_unlock(&l->lock);
}

void
ipc__lane_shut(struct ipc__lane *l, int dir)
{
	pthread_mutex_lock(&l->lock);
	/* Release: pairs with look() and make_room(). */
	atomic_store_explicit(dir == IPC_SEND ? &l->no_sender :
	    &l->no_receiver, true, memory_order_release);
	ring(bell_of(l, dir == IPC_SEND ? IPC_RECV : IPC_SEND));
	pthread_mutex_unlock(&l->lock);
}

void
ipc__lane_drain(struct ipc__lane *l)
{
	uint64_t tail;

	pthread_mutex_lock(&l->lock);
	tail = atomic_load_explicit(&l->shown_tail, memory_order_relaxed);
	drop(l, l->head, tail);
	l->head = l->seen_tail = tail;
	pthread_mutex_unlock(&l->lock);
}

/* A forked child gives back its copy of a bell; the rest is not its own. */
void
ipc__lane_forget(struct ipc__lane *l, int dir)
{
	struct ipc__bell *b = bell_of(l, dir);

	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}
