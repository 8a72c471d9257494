/* SPDX-License-Identifier: ISC */
/*
 * A lock in shared memory whose owner's death is told, quicker than the robust
 * mutexes of the C library; futexlock.c says how.  The quick ways are here.
 *
 * Who has one is a thread, through a hold: the part of a lock that is private
 * to a process.
 */
#ifndef IPC_LIB_FUTEXLOCK_H
#define IPC_LIB_FUTEXLOCK_H

#include <linux/futex.h>
#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"

/* All zeros: free.  The kernel and the C library know the places of `word' and
 * `next': they are those of pthread_mutex_t. */
struct ipc__futexlock {
	union {
		struct {
			_Atomic uint32_t word;	/* the futex */
			/* How often it was taken while others may have slept.
			 * Only the owner writes it. */
			_Atomic uint32_t crowds;
		};
		_Atomic uint64_t both;
	};
	uint64_t	 unused[2];
	void		*before;	/* the C library's, of its neighbours */
	void		*next;		/* the kernel's list of what a thread
					   has: the `next' of another one */
};

/* In its place is one of the C library's where it must be recursive or inherit
 * priorities, or its maker could not use the other kind. */
union ipc__anylock {
	struct ipc__futexlock futex;
	pthread_mutex_t	mutex;
};

struct ipc__hold {
	struct ipc__futexlock *lock;
	/* The thread of ours that has it, through this hold.  Others compare it
	 * with themselves, or with nobody before they close the handle. */
	_Atomic(struct ipc__thread *) owner;
	/* Its owner's: */
	uint32_t	 tid;
	unsigned	 process;	/* ipc__process */
	void		*rest;		/* the list behind it */
	struct ipc__hold *below;	/* what the thread took before it */
};

/* A thread that has used such a lock. */
struct ipc__thread {
	alignas(64) uint32_t tid;	/* 0: not yet */
	unsigned	 process;
	volatile struct robust_list_head *head;	/* the C library's */
	struct ipc__hold *top;		/* what it took last */
	/* Never locked.  What is between these two in the list is ours. */
	struct ipc__futexlock first, last;
};

extern _Thread_local struct ipc__thread ipc__thread
    __attribute__((tls_model("initial-exec")));

/* Can this process use them?  Asked once; false has no text. */
bool ipc__futexlock_can(void);
/* It must, as another one has made one; with a text. */
int ipc__futexlock_need(void);

/* Where the quick ways end. */
enum ipc__quick { IPC__DONE, IPC__NOT_DONE, IPC__ODD };

/* After ipc__futexlock_try().  timeout: as that of ipc_mutex_lock().
 * -EOWNERDEAD: it is ours, and its last owner died with it; -EDEADLK, -EAGAIN
 * and -ETIMEDOUT are plain, other errors have a text. */
int ipc__futexlock_lock(struct ipc__hold *, int timeout, enum ipc__quick);

/* After ipc__futexlock_give(). */
int ipc__futexlock_unlock(struct ipc__hold *);

/* A pause between two looks; false, and again from the beginning: it is time to
 * sleep. */
bool ipc__futexlock_spin(unsigned *looks);

/* What the kernel sees when it ends this thread is in the order of the
 * program: only the compiler must keep it. */
static inline void
ipc__in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* While the lock, or NULL, is being taken or let go. */
static inline void
ipc__pending(struct ipc__thread *me, struct ipc__futexlock *lock)
{
	ipc__in_order();
	me->head->list_op_pending = lock == NULL ? NULL :
	    (struct robust_list *)(void *)&lock->next;
	ipc__in_order();
}

/* It is ours, through this hold.  In order, which is the quickest, too: what
 * was just written one by one must not be read two at a time. */
static inline void
ipc__futexlock_enter(struct ipc__hold *h, struct ipc__thread *me)
{
	struct ipc__futexlock *lock = h->lock;
	void *rest = me->first.next;

	lock->next = rest;
	h->rest = rest;
	ipc__in_order();
	me->first.next = &lock->next;
	ipc__pending(me, NULL);
	h->below = me->top;
	h->tid = me->tid;
	h->process = me->process;
	me->top = h;
	atomic_store_explicit(&h->owner, me, memory_order_relaxed);
}

/* IPC__ODD: the word is ours, but through this hold it is somebody else's. */
static inline enum ipc__quick
ipc__futexlock_try(struct ipc__hold *h)
{
	struct ipc__thread *me = &ipc__thread;
	struct ipc__futexlock *lock = h->lock;
	uint32_t nobody = 0;

	if (ipc__unlikely(me->tid == 0))
		return IPC__NOT_DONE;
	ipc__pending(me, lock);
	/* Acquire pairs with the release of the last owner. */
	if (ipc__unlikely(!atomic_compare_exchange_strong_explicit(&lock->word,
	    &nobody, me->tid, memory_order_acquire, memory_order_relaxed)))
		return IPC__NOT_DONE;
	if (ipc__unlikely(atomic_load_explicit(&h->owner,
	    memory_order_relaxed) != NULL))
		return IPC__ODD;
	ipc__futexlock_enter(h, me);
	return IPC__DONE;
}

/* Has this thread got it through this hold? */
static inline bool
ipc__futexlock_mine(const struct ipc__hold *h)
{
	return atomic_load_explicit(&h->owner, memory_order_relaxed) ==
	    &ipc__thread;
}

/* For one that is mine. */
static inline enum ipc__quick
ipc__futexlock_give(struct ipc__hold *h)
{
	struct ipc__thread *me = &ipc__thread;
	struct ipc__futexlock *lock = h->lock;
	struct ipc__hold *below = h->below;
	void *rest = h->rest;
	uint32_t tid = me->tid;

	if (ipc__unlikely(me->top != h))
		return IPC__NOT_DONE;
	ipc__pending(me, lock);
	atomic_store_explicit(&h->owner, NULL, memory_order_relaxed);
	me->first.next = rest;
	ipc__in_order();
	me->top = below;
	/* Release pairs with the acquire of the next owner. */
	if (ipc__unlikely(!atomic_compare_exchange_strong_explicit(
	    &lock->word, &tid, 0, memory_order_release,
	    memory_order_relaxed)))
		return IPC__NOT_DONE;
	ipc__pending(me, NULL);
	return IPC__DONE;
}

#endif
