/* SPDX-License-Identifier: ISC */
/*
 * Things in a region are made in place, where others may look for them or make
 * them at the same instant.  One word says how far it is: nothing yet (a new
 * region is full of zeros), being made and by which process, or made and what
 * it is.  Whoever finds that its maker is dead makes it anew: nobody has used
 * it, as it was not made.
 */
#include <assert.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "inner.h"
#include "name.h"
#include "region.h"
#include "syncaddr.h"
#include "syncfile.h"

#define ALIGNMENT	64
#define WAIT_NS		INT64_C(1000000000)	/* for a maker; then EBUSY */
#define PAUSE_NS	50000

/* The word: 01 and who makes it, or 10 and what it is. */
#define MAKING		1u
#define MADE		2u
#define PID_BITS	22	/* PID_MAX_LIMIT */
#define TICK_BITS	24	/* of the start time; above it the namespace */
#define TRACE_SHIFT	48

static_assert(sizeof(struct ipc__inner) <= IPC_SYNC_SPACE,
    "IPC_SYNC_SPACE is too small");

static uint64_t
pack(pid_t pid, uint64_t start_time)
{
	uint64_t who = start_time >> TRACE_SHIFT;

	who = who << TICK_BITS | (start_time & ((1u << TICK_BITS) - 1));
	return (who << PID_BITS | (uint64_t)pid) << 2 | MAKING;
}

/* Only what the kernel says for sure: another namespace's is not ours to
 * judge. */
static bool
maker_is_dead(uint64_t state)
{
	pid_t pid = (pid_t)(state >> 2 & ((1u << PID_BITS) - 1));
	uint64_t own = ipc__start_time(getpid()), its;

	if (own >> TRACE_SHIFT != state >> (2 + PID_BITS + TICK_BITS))
		return false;
	its = ipc__start_time(pid);
	return its == 0 ? !ipc__alive(pid, 0) :
	    pack(pid, its) != state || !ipc__alive(pid, its);
}

/* Waits until it is made, or ours to be made: *state is then what it was. */
static int
await(struct ipc__inner *in, uint64_t *state)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int64_t end = ipc__now() + WAIT_NS;

	for (;;) {
		/* Acquire pairs with the release when it is made. */
		*state = atomic_load_explicit(&in->state,
		    memory_order_acquire);
		if ((*state & 3) != MAKING || maker_is_dead(*state))
			return 0;
		if (ipc__now() >= end)
			return ipc__fail(EBUSY, "somebody has been making it "
			    "for a second");
		nanosleep(&pause, NULL);
	}
}

static int
check(const struct ipc__inner *in, uint64_t state, enum ipc__inner_kind kind,
    int flags)
{
	int made = IPC_MUTEX_RECURSIVE | IPC_MUTEX_PI;

	if (state != ((uint64_t)kind << 2 | MADE))
		return ipc__fail(EPROTOTYPE, "at this place of the region is "
		    "something else");
	if (in->abi != ipc__robust_abi())
		return ipc__fail(EPROTO, "it was made by a program of another "
		    "word size");
	if (flags & IPC_EXCLUSIVE)
		return ipc__fail(EEXIST, "it is there already");
	if (flags & made & ~(int)in->flags)
		return ipc__fail(EINVAL, "it was made without these flags");
	return 0;
}

/* NULL, with a text: there is no such place. */
static struct ipc__inner *
place(struct ipc_region *r, size_t offset, size_t space)
{
	if (r == NULL || offset % ALIGNMENT != 0 || r->size < space ||
	    offset > r->size - space) {
		(void)ipc__fail(EINVAL, "it wants a region with %zu bytes at a "
		    "multiple of %d", space, ALIGNMENT);
		return NULL;
	}
	if (r->readonly) {
		(void)ipc__fail(EINVAL, "the region is for reading only");
		return NULL;
	}
	return (struct ipc__inner *)(void *)((char *)r->data + offset);
}

int
ipc__inner_open(struct ipc__inner **out, struct ipc_region *r, size_t offset,
    int flags, enum ipc__inner_kind kind, int (*init)(struct ipc__inner *,
    unsigned value), unsigned value)
{
	struct ipc__inner *in = place(r, offset, kind == IPC__INNER_RWLOCK ?
	    IPC_RWLOCK_SPACE : IPC_SYNC_SPACE);
	uint64_t state, mine;
	int rc;

	if (in == NULL)
		return -EINVAL;
	mine = pack(getpid(), ipc__start_time(getpid()));
	do {
		rc = await(in, &state);
		if (rc < 0)
			return rc;
		*out = in;
		if ((state & 3) == MADE)
			return check(in, state, kind, flags);
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "at this place of the region "
			    "is nothing");
		if ((state & 3) != MAKING && state != 0)
			return ipc__fail(EPROTOTYPE, "at this place of the "
			    "region is something else");
		/* Acquire: what a dead maker has begun is before us. */
	} while (!atomic_compare_exchange_strong_explicit(&in->state, &state,
	    mine, memory_order_acquire, memory_order_relaxed));
	in->abi = ipc__robust_abi();
	in->flags = (uint32_t)flags;
	rc = init(in, value);
	/* Release pairs with the acquire of those who find it. */
	atomic_store_explicit(&in->state, rc < 0 ? 0 :
	    (uint64_t)kind << 2 | MADE, memory_order_release);
	return rc;
}
