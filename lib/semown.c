/* SPDX-License-Identifier: ISC */
/*
 * sem: the library's own semaphore, which knows who has taken from it, can be
 * waited on with poll(2), and survives a kill at any instruction:
 *
 * - A guard, which is a robust lock, is held for each short change.  Whoever
 *   gets it from a dead owner needs to repair nothing, as each change is one
 *   store: what is free is what there is less what holders have.
 * - Whoever finds nothing sleeps on a FIFO, the bell, and on the processes that
 *   hold something.  The bell is rung before a change that makes something
 *   free, with the guard held: killed in between, nothing was changed, and
 *   killed afterwards, the others are awake already.
 * - The bell is put out only by one who holds the guard and finds nothing, so
 *   once somebody has looked at it, it is lit whenever something is free.
 *   Being rung wakes all sleepers, even if it is put out before they look, so
 *   it does not matter if one is killed.
 * - What is noted as lit is lit: it is noted after ringing, and not any more
 *   before it is put out.
 */
#include <sys/mman.h>
#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "name.h"
#include "semown.h"

/* With the guard, and single stores that must not be torn or moved behind what
 * follows: relaxed is enough, as the guard orders them for others. */
#define get(p)		atomic_load_explicit(p, memory_order_relaxed)
#define set(p, v)	atomic_store_explicit(p, v, memory_order_release)

static struct ipc__sem_own *
own_state(struct ipc_sem *s)
{
	return (struct ipc__sem_own *)(void *)s;
}

/*
 * The guard
 */

static int
own_lock(struct ipc__sem_own *o)
{
	enum ipc__quick quick;
	int rc;

	if (ipc__unlikely(o->guard != NULL))
		rc = ipc__robust_lock(o->guard, -1);
	else {
		quick = ipc__futexlock_try(&o->hold);
		rc = ipc__likely(quick == IPC__DONE) ? 0 :
		    ipc__futexlock_lock(&o->hold, -1, quick);
	}
	return rc == -EOWNERDEAD ? 0 : rc;
}

static int
own_enter(struct ipc__sem_own *o)
{
	unsigned process = atomic_load_explicit(&ipc__process,
	    memory_order_relaxed);
	int rc = own_lock(o);

	if (rc < 0)
		return rc;
	if (ipc__unlikely(o->process != process)) {
		o->process = process;	/* a child: it is the parent's */
		o->slot = -1;
		ipc__sem_unwatch(o);
	}
	return 0;
}

static int
own_leave(struct ipc__sem_own *o, int rc)
{
	int left = 0;

	if (ipc__unlikely(o->guard != NULL))
		pthread_mutex_unlock(o->guard);
	else if (ipc__unlikely(ipc__futexlock_give(&o->hold) != IPC__DONE))
		left = ipc__futexlock_unlock(&o->hold);
	return rc < 0 ? rc : left < 0 ? left : rc;
}

/*
 * Counting
 */

/* Whatever others have written there. */
static unsigned
own_used(const struct ipc__sem_shared *sh)
{
	unsigned used = get(&sh->used);

	return used < IPC__SEM_HOLDERS ? used : IPC__SEM_HOLDERS;
}

unsigned
ipc__sem_available(const struct ipc__sem_shared *sh)
{
	unsigned n = get(&sh->total), used = own_used(sh);

	for (unsigned i = 0; i < used; i++)
		n -= get(&sh->holders[i].count);
	return n;
}

bool
ipc__sem_dead(const struct ipc__sem_holder *h)
{
	return !ipc__alive(get(&h->pid), h->start_time);
}

/* Full is lit. */
static void
own_ring(struct ipc__sem_own *o)
{
	while (write(o->bell, "", 1) == -1 && errno == EINTR)
		;
	set(&o->shared->lit, 1);
}

static void
own_put_out(struct ipc__sem_own *o)
{
	char bytes[512];
	ssize_t n;

	set(&o->shared->lit, 0);
	do
		n = read(o->bell, bytes, sizeof bytes);
	while (n == (ssize_t)sizeof bytes || (n == -1 && errno == EINTR));
}

/* Something is about to be free. */
static void
own_announce(struct ipc__sem_own *o)
{
	if (get(&o->shared->watched) && !get(&o->shared->lit) &&
	    ipc__sem_available(o->shared) == 0)
		own_ring(o);
}

/* What dead processes had is free again. */
static void
own_reclaim(struct ipc__sem_own *o)
{
	struct ipc__sem_shared *sh = o->shared;
	unsigned used = own_used(sh);

	for (unsigned i = 0; i < used; i++) {
		struct ipc__sem_holder *h = &sh->holders[i];

		if (get(&h->pid) == 0 || !ipc__sem_dead(h))
			continue;
		if (get(&h->count) > 0) {
			own_announce(o);
			set(&h->count, 0);
		}
		set(&h->pid, 0);
	}
}

static int
own_free_slot(const struct ipc__sem_shared *sh)
{
	for (int i = 0; i < IPC__SEM_HOLDERS; i++)
		if (get(&sh->holders[i].pid) == 0)
			return i;
	return -1;
}

/* The record in which we note what we have. */
static int
own_claim(struct ipc__sem_own *o)
{
	struct ipc__sem_shared *sh = o->shared;
	struct ipc__sem_holder *h;
	int i;

	if (o->slot >= 0)
		return 0;
	i = own_free_slot(sh);
	if (i < 0) {
		own_reclaim(o);
		i = own_free_slot(sh);
	}
	if (i < 0)
		return ipc__fail(ENOSPC, "%d processes have it open with "
		    "undo=1, and there is no room for more", IPC__SEM_HOLDERS);
	h = &sh->holders[i];
	set(&h->count, 0);
	h->start_time = ipc__start_time(getpid());
	if (get(&sh->used) <= (unsigned)i)
		set(&sh->used, (uint32_t)i + 1);
	set(&h->pid, (int32_t)getpid());
	o->slot = i;
	return 0;
}

static void
own_take(struct ipc__sem_own *o)
{
	struct ipc__sem_shared *sh = o->shared;
	_Atomic uint32_t *count;

	if (!o->undo) {
		set(&sh->total, get(&sh->total) - 1);
		return;
	}
	count = &sh->holders[o->slot].count;
	set(count, get(count) + 1);
}

/* With the guard: takes one.  -EAGAIN: there is none. */
static int
own_try(struct ipc__sem_own *o)
{
	int rc = o->undo ? own_claim(o) : 0;

	if (rc < 0)
		return rc;
	if (ipc__sem_available(o->shared) == 0)
		own_reclaim(o);
	if (ipc__sem_available(o->shared) == 0)
		return -EAGAIN;
	own_take(o);
	return 0;
}

/*
 * The operations
 */

/* Who has something now, for one who is about to sleep. */
static unsigned
own_holders(const struct ipc__sem_shared *sh,
    struct ipc__sem_watched list[IPC__SEM_HOLDERS])
{
	unsigned n = 0, used = own_used(sh);

	for (unsigned i = 0; i < used; i++)
		if (get(&sh->holders[i].count) > 0)
			list[n++] = (struct ipc__sem_watched){
			    .pid = get(&sh->holders[i].pid),
			    .start_time = sh->holders[i].start_time,
			    .fd = -1 };
	return n;
}

/* With the guard: nothing is free.  bell: NULL, or of one who will sleep. */
static int
own_nothing(struct ipc__sem_own *o, int *bell)
{
	int rc = 0;

	if (bell != NULL)
		set(&o->shared->watched, 1);
	if (get(&o->shared->watched))
		own_put_out(o);
	if (bell != NULL)
		rc = ipc__sem_arm(o, bell);
	ipc__sem_rewatch(o);
	return rc < 0 ? rc : -EAGAIN;
}

static int
own_sleep(struct ipc__sem_own *o, int64_t deadline, int *bell)
{
	struct ipc__sem_watched list[IPC__SEM_HOLDERS];
	unsigned n = 0;
	int rc = own_enter(o);

	if (rc < 0)
		return rc;
	rc = own_try(o);
	if (rc == -EAGAIN) {
		rc = own_nothing(o, bell);
		n = own_holders(o->shared, list);
	} else if (*bell != -1 && o->spare == -1) {
		o->spare = *bell;
		*bell = -1;
	}
	own_leave(o, 0);
	if (rc != -EAGAIN)
		return rc;
	rc = ipc__sem_sleep(*bell, list, n, deadline);
	return rc < 0 ? rc : -EAGAIN;
}

static int
own_wait_long(struct ipc__sem_own *o, int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : -1;
	unsigned looks = 0;
	int bell = -1, rc;

	do {
		while (ipc__sem_available(o->shared) == 0 &&
		    ipc__futexlock_spin(&looks))
			;
		rc = own_sleep(o, deadline, &bell);
	} while (rc == -EAGAIN);
	if (bell != -1)
		close(bell);
	return rc;
}

static int
own_wait(struct ipc_sem *s, int timeout)
{
	struct ipc__sem_own *o = own_state(s);
	int rc;

	if (timeout != 0)
		return own_wait_long(o, timeout);
	rc = own_enter(o);
	if (rc < 0)
		return rc;
	rc = own_try(o);
	if (rc == -EAGAIN)
		rc = own_nothing(o, NULL);
	own_leave(o, 0);
	return rc;
}

static int
own_post(struct ipc_sem *s, unsigned count)
{
	struct ipc__sem_own *o = own_state(s);
	struct ipc__sem_shared *sh = o->shared;
	_Atomic uint32_t *held;
	unsigned mine = 0, total;
	int rc;

	rc = own_enter(o);
	if (rc < 0)
		return rc;
	held = o->slot >= 0 ? &sh->holders[o->slot].count : NULL;
	if (held != NULL)
		mine = get(held) < count ? get(held) : count;
	total = get(&sh->total);
	if (total > INT_MAX || count - mine > INT_MAX - total)
		return own_leave(o, ipc__fail(EOVERFLOW, "the value would "
		    "exceed %d", INT_MAX));
	own_announce(o);
	if (mine > 0)
		set(held, get(held) - mine);
	if (count > mine)
		set(&sh->total, total + count - mine);
	return own_leave(o, 0);
}

static int
own_value(struct ipc_sem *s, unsigned *value)
{
	struct ipc__sem_own *o = own_state(s);
	int rc = own_enter(o);

	if (rc < 0)
		return rc;
	own_reclaim(o);
	*value = ipc__sem_available(o->shared);
	return own_leave(o, 0);
}

static int
own_fd(struct ipc_sem *s)
{
	struct ipc__sem_own *o = own_state(s);
	int rc = own_enter(o);

	if (rc < 0)
		return rc;
	set(&o->shared->watched, 1);
	own_reclaim(o);
	rc = ipc__sem_watch(o);
	if (rc >= 0 && ipc__sem_available(o->shared) == 0)
		ipc__sem_rewatch(o);
	return own_leave(o, rc);
}

/*
 * Opening and closing
 */

static int
own_init(void *data, const struct ipc__address *a)
{
	struct ipc__sem_shared *sh = data;

	if (a->opt.value > INT_MAX)
		return ipc__fail(EINVAL, "a value of %u exceeds %d",
		    a->opt.value, INT_MAX);
	set(&sh->total, a->opt.value);
	sh->futex = ipc__futexlock_can();
	return sh->futex ? 0 : ipc__robust_init(&sh->guard.mutex, false, false);
}

static const struct ipc__sync_form own_form = {
	.what = "sem",
	.kind = IPC__SYNC_FILE_SEM,
	.size = sizeof(struct ipc__sem_shared),
	.bell = true,
	.init = own_init
};

static int
own_open(struct ipc_sem *s, const struct ipc__address *a, int flags)
{
	struct ipc__sem_own *o = own_state(s);
	void *data = NULL;
	int rc;

	o->undo = a->opt.undo;
	o->slot = o->epoll = o->spare = o->bell = -1;
	o->process = atomic_load_explicit(&ipc__process, memory_order_relaxed);
	rc = ipc__syncfile_open(&own_form, a, flags, &data, &o->bell);
	if (rc < 0)
		return rc;
	o->shared = data;
	if (o->shared->futex) {
		o->hold.lock = &o->shared->guard.futex;
		rc = ipc__futexlock_need();
	} else
		o->guard = &o->shared->guard.mutex;
	if (rc < 0) {
		close(o->bell);
		munmap(o->shared, sizeof *o->shared);
	}
	return rc;
}

/* What is still held is given back; the record is free. */
static void
own_release(struct ipc__sem_own *o)
{
	struct ipc__sem_holder *h;

	if (own_enter(o) < 0)
		return;
	if (o->slot >= 0) {
		h = &o->shared->holders[o->slot];
		if (get(&h->count) > 0)
			own_announce(o);
		set(&h->count, 0);
		set(&h->pid, 0);
	}
	ipc__sem_unwatch(o);
	own_leave(o, 0);
}

static void
own_close(struct ipc_sem *s)
{
	struct ipc__sem_own *o = own_state(s);

	own_release(o);
	close(o->bell);
	munmap(o->shared, sizeof *o->shared);
}

static int
own_unlink(const struct ipc__address *a)
{
	return ipc__syncfile_unlink(&own_form, a);
}

const struct ipc__sem_ops ipc__sem_own = {
	.size = sizeof(struct ipc__sem_own),
	.open = own_open,
	.wait = own_wait,
	.post = own_post,
	.value = own_value,
	.fd = own_fd,
	.close = own_close,
	.unlink = own_unlink
};
