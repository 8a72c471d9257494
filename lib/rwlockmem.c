/* SPDX-License-Identifier: ISC */
/*
 * A reader-writer lock in shared memory, made of robust mutexes only, so that
 * all that is known of deaths is what the kernel says of them.
 *
 * Each reader has a slot with a mutex of its own, which it locks while it is
 * inside; so readers do not meet.  A writer locks the gate, says that it is
 * there (WANTED), and then waits for the mutex of each slot that is in use.
 * Reader and writer each say first that they are there and then look for the
 * other, in one order that all agree on, so at least one of them sees the
 * other (Dekker); and it is the reader who goes away again, and waits for the
 * gate.  Such locks are known as brlock of Linux 2.4 and as BRAVO (Dice and
 * Kogan, "BRAVO - Biased Locking for Reader-Writer Locks", 2019).
 *
 * No writer waits for ever: once it has the gate nobody comes in anew.  For the
 * gate itself it waits with other writers, and with those readers only that
 * have met one.  A reader at the gate comes in with the gate locked, so it need
 * not look.
 *
 * Whoever is killed, on any line:
 *
 * - A reader leaves its slot's mutex, which the kernel gives to the writer that
 *   waits for it, or to the next one that wants the slot.  That it had `inside'
 *   set only costs a writer a look.
 * - A writer at the gate leaves WANTED without INSIDE; the next one at the gate
 *   takes that back.  A slot's mutex that it had just got is like a reader's.
 * - A writer inside leaves INSIDE, which the next one at the gate makes HURT.
 *   Every reader is told of that until a writer has come in and was told: then
 *   repairing is that one's.  It is again one store that makes it HURT, or sets
 *   INSIDE in its stead, or nothing.
 *
 * Readers find out of all this by themselves: WANTED sends them to the gate,
 * which the kernel opens to one of them when its owner dies.
 *
 * Process numbers play no part but in the C library and the kernel, which note
 * the owner's thread in a mutex.  In several PID namespaces two threads may
 * have one number; these mutexes are of the kind that does not ask whether it
 * is one's own, so such a one only waits.  But if it is killed while it waits,
 * the kernel takes the owner for dead, as it only compares numbers: the manual
 * page says so.  A forked child has none of its parent's mutexes, for the
 * kernel as for rwlockhold.c.
 *
 * Garbage in the state is put right at the gate, in `used' and `inside' it only
 * costs time.  A slot whose mutex is no good is left out by readers.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core.h"
#include "robust.h"
#include "rwlockmem.h"

static_assert(IPC_SYNC_SPACE + sizeof(struct ipc__rw_shared) <=
    IPC_RWLOCK_SPACE, "IPC_RWLOCK_SPACE is too small");

/* With the gate.  Release pairs with the load of a reader that does without. */
#define get(p)		atomic_load_explicit(p, memory_order_relaxed)
#define set(p, v)	atomic_store_explicit(p, v, memory_order_release)

int
ipc__rw_init(struct ipc__rw_shared *sh)
{
	int rc;

	memset(sh, 0, sizeof *sh);
	rc = ipc__robust_init_kind(&sh->gate, PTHREAD_MUTEX_NORMAL, false);
	for (int i = 0; rc == 0 && i < IPC__RW_READERS; i++)
		rc = ipc__robust_init_kind(&sh->slots[i].mutex,
		    PTHREAD_MUTEX_NORMAL, false);
	return rc;
}

/*
 * Slots
 */

static bool
slot_try(struct ipc__rw_slot *slot)
{
	int rc = pthread_mutex_trylock(&slot->mutex);

	return rc == 0 || (rc == EOWNERDEAD &&
	    pthread_mutex_consistent(&slot->mutex) == 0);
}

/* The one of the last time, so that each thread soon has its own; else the
 * first that is free, so that there are few to be looked at. */
static int
slot_take(struct ipc__rw_shared *sh)
{
	unsigned i = ipc__rw_hint();

	if (slot_try(&sh->slots[i]))
		return (int)i;
	for (i = 0; i < IPC__RW_READERS; i++)
		if (slot_try(&sh->slots[i]))
			return (int)i;
	return ipc__rw_full();
}

/* Sequentially consistent, with what writers do in the other order: whoever
 * does not see WANTED after this is seen by the writer that sets it. */
static int
slot_enter(struct ipc__rw_shared *sh)
{
	uint32_t used;
	int i = slot_take(sh);

	if (i < 0)
		return i;
	used = atomic_load(&sh->used);
	while (used <= (uint32_t)i &&
	    !atomic_compare_exchange_weak(&sh->used, &used, (uint32_t)i + 1))
		;
	atomic_store(&sh->slots[i].inside, 1);
	return i;
}

/* Release pairs with the acquire of a writer that finds nobody inside. */
static void
slot_leave(struct ipc__rw_slot *slot)
{
	atomic_store_explicit(&slot->inside, 0, memory_order_release);
	pthread_mutex_unlock(&slot->mutex);
}

/*
 * The gate
 */

/* Puts in order what a dead owner of it has left: nobody is inside now. */
static int
gate_enter(struct ipc__rw_shared *sh, int64_t deadline)
{
	int rc = ipc__robust_lock(&sh->gate, deadline);
	uint32_t state;

	if (rc < 0 && rc != -EOWNERDEAD)
		return rc;
	state = get(&sh->state);
	if (ipc__unlikely(state & ~IPC__RW_HURT))
		set(&sh->state, state & (IPC__RW_INSIDE | IPC__RW_HURT) ?
		    IPC__RW_HURT : 0);
	return 0;
}

static void
gate_leave(struct ipc__rw_shared *sh)
{
	pthread_mutex_unlock(&sh->gate);
}

/*
 * Reading
 */

static int
read_at_gate(struct ipc__rw_shared *sh, int timeout, unsigned *slot)
{
	int rc = gate_enter(sh, timeout > 0 ? ipc__deadline(timeout) :
	    timeout);

	if (rc < 0)
		return rc;
	rc = slot_enter(sh);
	if (rc >= 0) {
		*slot = (unsigned)rc;
		rc = get(&sh->state) & IPC__RW_HURT ? -EOWNERDEAD : 0;
	}
	gate_leave(sh);
	return rc;
}

int
ipc__rw_rdlock(struct ipc__rw_shared *sh, int timeout, unsigned *slot)
{
	int i = slot_enter(sh);
	uint32_t state;

	if (i < 0)
		return i;
	state = atomic_load(&sh->state);
	if (ipc__likely((state & ~IPC__RW_HURT) == 0)) {
		*slot = (unsigned)i;
		return ipc__unlikely(state & IPC__RW_HURT) ? -EOWNERDEAD : 0;
	}
	slot_leave(&sh->slots[i]);
	return read_at_gate(sh, timeout, slot);
}

void
ipc__rw_rdunlock(struct ipc__rw_shared *sh, unsigned slot)
{
	slot_leave(&sh->slots[slot]);
}

/*
 * Writing
 */

/* Waits for those inside.  Its mutex is only waited for: who comes afterwards
 * sees WANTED. */
static int
drain(struct ipc__rw_shared *sh, int64_t deadline)
{
	uint32_t used = atomic_load(&sh->used);
	struct ipc__rw_slot *slot;
	int rc;

	if (used > IPC__RW_READERS)
		used = IPC__RW_READERS;
	for (uint32_t i = 0; i < used; i++) {
		slot = &sh->slots[i];
		if (atomic_load(&slot->inside) == 0)
			continue;
		rc = ipc__robust_lock(&slot->mutex, deadline);
		if (rc < 0 && rc != -EOWNERDEAD)
			return rc;
		slot_leave(slot);
	}
	return 0;
}

/* The last store is before whatever the caller changes: no compiler moves that
 * out of sight of the library, and a dead thread has done all up to some
 * point. */
int
ipc__rw_wrlock(struct ipc__rw_shared *sh, int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : timeout;
	int rc = gate_enter(sh, deadline);
	uint32_t hurt;

	if (rc < 0)
		return rc;
	hurt = get(&sh->state);
	atomic_store(&sh->state, hurt | IPC__RW_WANTED);
	rc = drain(sh, deadline);
	if (rc < 0) {
		set(&sh->state, hurt);
		gate_leave(sh);
		return rc;
	}
	atomic_store(&sh->state, IPC__RW_WANTED | IPC__RW_INSIDE);
	return hurt != 0 ? -EOWNERDEAD : 0;
}

/* Nobody is inside any more before the gate opens. */
void
ipc__rw_wrunlock(struct ipc__rw_shared *sh)
{
	set(&sh->state, 0);
	gate_leave(sh);
}
