/* SPDX-License-Identifier: ISC */
/*
 * Rings in shared memory: the operations that all the mechanisms share.
 *
 * The bells are two eventfds, one that wakes the receiver and one that wakes
 * the sender.  A bell that was rung stays lit until its owner arms it again,
 * so whoever polls it misses nothing; it is armed only by one who found
 * nothing. Nothing takes a mark of sleep back but the ring: a mark too many
 * costs one bell too many, and never a wait.
 */

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "barrier.h"
#include "bellfd.h"
#include "error.h"
#include "shm.h"
#include "shmopen.h"

static inline int
shm_own_bell(const struct ipc__half *h)
{
	return ipc__shm_state(h)->map->bell[h->dir == IPC_SEND];
}

/*
 * Joining and leaving
 */

static const struct ipc__ring_ops shm_ring_ops = {
	.populate	= ipc__shm_populate,
	.touch		= ipc__shm_touch,
	.mirror		= ipc__shm_mirror,
	.registered	= ipc__shm_registered,
	.barrier	= ipc__shm_barrier,
	.release	= ipc__shm_release_memory
};

/* Nothing is to be done but to put it there. */
static bool
shm_direct(const struct ipc__half *h)
{
	const struct ipc__shm *s = ipc__shm_state(h);

	return !s->slots && !s->map->sync && !h->left;
}

void
ipc__shm_leave_slots(struct ipc__shm *s)
{
	if (s->latest)
		ipc__latest_leave(s->latest);
	free(s->latest);
	s->latest = NULL;
}

int
ipc__shm_join(struct ipc__half *h, struct ipc__shm_map *map)
{
	struct ipc__shm *s = ipc__shm_state(h);
	struct ipc__ring *r = &s->ring;
	int rc;

	s->slots = map->slot != 0;
	if (s->slots) {
		s->latest = calloc(1, sizeof *s->latest);
		if (!s->latest)
			return ipc__fail_sys("calloc");
		ipc__ring_sleeper_only(r, map->base, h->dir, s->shared,
		    &shm_ring_ops, map);
		ipc__latest_join(s->latest, map->base, map->slot,
		    &shm_ring_ops, map);
		rc = 0;
	} else
		rc = ipc__ring_join(r, map->base, map->payload, h->dir,
		    &shm_ring_ops, map);
	if (rc < 0)
		return rc;
	/* `can' is for ever: the other side may have left its fences out on
	 * the strength of it. */
	if (ipc__barrier_can())
		atomic_store_explicit(&r->own->can, htole32(1),
		    memory_order_relaxed);
	else if (atomic_load_explicit(&r->own->can, memory_order_relaxed)) {
		ipc__shm_leave_slots(s);
		return ipc__fail(EOPNOTSUPP, "this ring relies on "
		    "membarrier(2), which this process may not call");
	}
	s->map = map;
	r->answers = &h->answers;
	s->direct = shm_direct(h);
	h->fd = -1;
	h->record = s->slots ? s->latest->size : r->record;
	h->capacity = s->slots ? s->latest->size : (size_t)map->payload;
	return 0;
}

static int
shm_bells(struct ipc__shm_map *map)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		map->bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (map->bell[i] < 0)
			return ipc__fail_sys("eventfd");
	}
	return 0;
}

int
ipc__shm_pair(struct ipc__half *a, struct ipc__half *b,
    struct ipc__shm_map *map)
{
	int rc;

	rc = shm_bells(map);
	if (rc < 0)
		goto fail;
	rc = ipc__shm_join(a, map);
	if (rc < 0)
		goto fail;
	rc = ipc__shm_join(b, map);
	if (rc < 0) {
		ipc__shm_leave_slots(ipc__shm_state(a));
		goto fail;
	}
	atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
	return 0;
fail:
	ipc__shm_unref(map);
	return rc;
}

int
ipc__shm_pair_both(struct ipc__half *h[4], struct ipc__shm_map *map)
{
	struct ipc__shm_map *second = ipc__shm_map_second(map);
	int rc = second ? ipc__shm_make_second(second) : -ENOMEM;

	if (rc < 0)
		goto fail;
	rc = ipc__shm_pair(h[0], h[1], map);
	map = NULL;
	if (rc < 0)
		goto fail;
	rc = ipc__shm_pair(h[2], h[3], second);
	if (rc == 0)
		return 0;
	ipc__shm_close(h[0], false);
	ipc__shm_close(h[1], false);
	return rc;
fail:
	if (second)
		ipc__shm_unref(second);
	if (map)
		ipc__shm_unref(map);
	return rc;
}

void
ipc__shm_close(struct ipc__half *h, bool clean)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (s->map && s->opened && clean)
		ipc__shm_farewell(h);
	/* Opened, there is no sender that would end with its receiver. */
	if (s->map && !s->opened && h->dir == IPC_RECV && clean)
		ipc__ring_leave(&s->ring);
	if (s->map)
		ipc__shm_unref(s->map);
	ipc__shm_leave_slots(s);
	free(s->beside);
	s->beside = NULL;
	s->beside_size = 0;
	s->reserved = NULL;
	s->map = NULL;
}

/*
 * Moving
 */

void
ipc__shm_ring_bell(struct ipc__shm *s, int bell, uint32_t token)
{
	struct ipc__half *h = IPC__HALF(s);
	const uint64_t one = 1;
	ssize_t n;

	/* Full means lit, which is all that is wanted. */
	do
		n = write(bell, &one, sizeof one);
	while (n < 0 && errno == EINTR);
	ipc__ring_rung(&s->ring, token);
	if (ipc__ring_left(token) && bell == s->map->bell[0]) {
		/* The next send is to go the long way. */
		h->left = true;
		s->direct = false;
	}
	/* Relaxed: a counter with one writer. */
	atomic_store_explicit(&h->wakes, atomic_load_explicit(&h->wakes,
	    memory_order_relaxed) + 1, memory_order_relaxed);
}

/* What was shown is on disk before the call returns. */
static int
shm_sync(struct ipc__shm_map *map)
{
	if (!map->sync || msync(map->base, map->bytes, MS_SYNC) == 0)
		return 0;
	return ipc__fail_sys("msync");
}

/* Who is far away takes seven times as long to read what we wrote with ordinary
 * stores as what was copied around the cache: so something beside the ring is
 * lent.  Without memory for that, the ring. */
#define BESIDE_FROM	4096u

static void
shm_lend(struct ipc__shm *s, void **data, size_t size)
{
	unsigned char *p;

	if (s->beside_size < size) {
		p = realloc(s->beside, size);
		if (p == NULL)
			return;
		s->beside = p;
		s->beside_size = size;
	}
	s->reserved = *data;
	*data = s->beside;
}

int
ipc__shm_reserve(struct ipc__half *h, void **data, size_t size)
{
	struct ipc__shm *s = ipc__shm_state(h);
	int rc;

	if (s->slots)
		return ipc__latest_reserve(s->latest, data, size);
	s->reserved = NULL;
	rc = ipc__ring_reserve(&s->ring, data, size);
	if (rc == 0 && size >= BESIDE_FROM && ipc__ring_far(&s->ring, size))
		shm_lend(s, data, size);
	return rc;
}

int
ipc__shm_commit(struct ipc__half *h, size_t size, unsigned flags)
{
	struct ipc__shm *s = ipc__shm_state(h);
	int rc;

	if (s->slots)
		flags &= ~(unsigned)IPC__HOLD;
	if (s->reserved != NULL && size <= s->ring.room) {
		ipc__copy_around(s->reserved, s->beside, size);
		s->ring.unfenced = true;
		s->reserved = NULL;
	}
	rc = s->slots ? ipc__latest_commit(s->latest, size, flags) :
	    ipc__ring_commit(&s->ring, size, flags);
	if (rc < 0 || flags & IPC__HOLD)
		return rc;
	rc = shm_sync(s->map);
	ipc__shm_wake_receiver(s);
	return rc;
}

ssize_t
ipc__shm_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct ipc__shm *s = ipc__shm_state(h);
	unsigned flags = aside ? aside->flags : 0;
	int synced = 0;
	ssize_t rc;

	if (s->map->sync)
		flags &= ~(unsigned)IPC__HOLD;
	if (s->slots)
		rc = ipc__latest_send(s->latest, iov, count, flags);
	else
		rc = ipc__ring_send(&s->ring, iov, count, flags);
	if (rc < 0 || (flags & IPC__HOLD && !s->slots))
		return rc;
	if (s->map->sync)
		synced = shm_sync(s->map);
	s->direct = shm_direct(h);
	ipc__shm_wake_receiver(s);
	return synced < 0 ? synced : rc;
}

ssize_t
ipc__shm_peek(struct ipc__half *h, const void **data, unsigned *flags)
{
	struct ipc__shm *s = ipc__shm_state(h);
	ssize_t rc;

	rc = s->slots ? ipc__latest_peek(s->latest, data, flags) :
	    ipc__ring_peek(&s->ring, data, flags);
	/* Gone before this look: what it sent is there now. */
	if (rc == -EAGAIN && s->gone && ipc__shm_over(h))
		return -EPIPE;
	return rc;
}

void
ipc__shm_release(struct ipc__half *h, unsigned flags)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (s->slots) {
		ipc__latest_release(s->latest);
		return;
	}
	ipc__ring_release(&s->ring, flags);
	if (!(flags & IPC__HOLD))
		ipc__shm_wake_sender(s);
}

void
ipc__shm_publish(struct ipc__half *h, int dir)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (s->slots)
		return;
	if (dir == IPC_SEND) {
		ipc__ring_publish(&s->ring);
		(void)shm_sync(s->map);
		ipc__shm_wake_receiver(s);
	} else {
		ipc__ring_free(&s->ring);
		ipc__shm_wake_sender(s);
	}
}

/*
 * Waiting
 */

int
ipc__shm_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	if (dir != h->dir)
		return 0;
	if (ipc__shm_state(h)->shared)
		return ipc__shm_watch_shared(h, fds);
	fds[0].fd = shm_own_bell(h);
	fds[0].events = POLLIN;
	fds[0].revents = 0;
	return 1;
}

/* Would a call get on? */
static bool
shm_ready(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (s->slots)
		return h->dir == IPC_SEND || ipc__latest_ready(s->latest);
	return ipc__ring_ready(&s->ring);
}

/* true: it was lit. */
static bool
shm_put_out(struct ipc__half *h)
{
	char bytes[512];
	ssize_t n;

	ipc__shm_state(h)->lit = false;
	if (!ipc__shm_state(h)->opened)
		return ipc__bellfd_put_out(shm_own_bell(h));
	if (ipc__shm_state(h)->shared)
		ipc__shm_forget_notes(h);
	do
		n = read(shm_own_bell(h), bytes, sizeof bytes);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Puts our bell out, marks us asleep, and looks once more. */
static bool
shm_doze(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);

	shm_put_out(h);
	if (ipc__ring_doze(&s->ring) && ipc__barrier() < 0)
		return false;
	return !shm_ready(h);
}

/* Rings our own bell.  A receiver holds its FIFO for reading only, and opens it
 * anew for that. */
static bool
shm_light(struct ipc__half *h)
{
	const uint64_t one = 1;
	int bell = shm_own_bell(h), fd = bell;
	char path[40];
	bool done;

	if (ipc__shm_state(h)->opened && h->dir == IPC_RECV) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", bell);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return false;
	}
	done = write(fd, &one, sizeof one) > 0;
	if (fd != bell)
		close(fd);
	return done;
}

/* What the ring has grown to is given back once nothing is in it; at most once
 * in a while, as it costs the growing anew. */
#define CALM		1000000000
#define CALM_TRIES	3

static void
shm_shrink(struct ipc__shm *s)
{
	struct timespec ts;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (now < s->calm || ipc__ring_ready(&s->ring))
		return;
	s->calm = now + CALM;
	if (ipc__ring_shrink(&s->ring) < 0)
		s->unquiet++;
	else
		s->unquiet = 0;
	/* It may have waited for this to be over. */
	ipc__shm_wake_sender(s);
}

static inline bool
shm_large(const struct ipc__half *h)
{
	const struct ipc__shm *s = ipc__shm_state(h);

	return h->dir == IPC_RECV && !s->slots && ipc__ring_large(&s->ring);
}

int64_t
ipc__shm_calm(const struct ipc__half *h)
{
	const struct ipc__shm *s = ipc__shm_state(h);

	return shm_large(h) && s->unquiet < CALM_TRIES ? s->calm : -1;
}

/* Many that share a mark have no one place. */
bool
ipc__shm_beside(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);

	return !s->shared && ipc__ring_beside(&s->ring);
}

int
ipc__shm_arm(struct ipc__half *h, int dir)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (dir != h->dir)
		return 0;
	if (shm_large(h))
		shm_shrink(s);
	if (dir == IPC_SEND && !s->slots && s->ring.held)
		ipc__shm_publish(h, dir);
	/* Still asleep: rung if something comes.  If it has been rung this very
	 * moment, with the mark still to be taken off, it has to be marked anew
	 * once the bell is out. */
	if (ipc__ring_asleep(&s->ring)) {
		if (!shm_put_out(h))
			return shm_ready(h) || ipc__shm_hung_up(h);
	} else if (s->ring.nap & 1)
		s->lit = true;
	if (!shm_ready(h) && shm_doze(h))
		/* Hung up it is lit by itself. */
		return ipc__shm_hung_up(h);
	ipc__ring_rise(&s->ring);
	/* Something is there: whoever only polls must see it; but not those
	 * beside us, to whom it may be nothing new. */
	if (!s->lit && !s->shared && shm_light(h))
		s->lit = true;
	return 1;
}

/* Marked asleep, and nothing there.  The bell may be lit all the same, by one
 * who is about to take the mark off, or was killed before: then a look follows
 * that finds nothing, and that arms it anew. */
bool
ipc__shm_armed(struct ipc__half *h, int dir)
{
	struct ipc__shm *s = ipc__shm_state(h);

	return dir == h->dir && !s->opened && !shm_large(h) &&
	    ipc__ring_asleep(&s->ring) && !s->ring.held && !shm_ready(h);
}

void
ipc__shm_stretch(struct ipc__half *h, size_t more)
{
	struct ipc__shm *s = ipc__shm_state(h);

	(void)more;
	if (!s->slots)
		ipc__ring_stretch(&s->ring);
}
