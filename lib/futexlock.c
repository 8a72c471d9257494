/* SPDX-License-Identifier: ISC */
/*
 * A robust lock by the kernel's own rules: Documentation/locking/robust-futexes
 * and robust-futex-ABI, and for the states of the word futex(2) and Ulrich
 * Drepper's "Futexes Are Tricky".  The robust mutexes of the C library do more
 * with each lock than these rules ask for, and it shows.
 *
 * The word is 0, or the owner's thread number; FUTEX_WAITERS with it says that
 * somebody may sleep, and FUTEX_OWNER_DIED is set by the kernel.
 *
 * The list.  When a thread ends, however that happens, the kernel walks the
 * list of what it has, which begins in the C library's thread descriptor, and
 * there is only one.  Entries are `next' pointers at one distance from their
 * words, so these locks have both where pthread_mutex_t has them.  The C
 * library also writes to its neighbours' `before', and follows what it reads in
 * entries that lie in shared memory.  We follow nothing there: each thread puts
 * two entries of its own in the list, `first' and `last', which lie in its own
 * memory and are never locked, and keeps its locks between them.  So the C
 * library's neighbours are always these two, and what is written to a lock's
 * `next' is only for the kernel to read (which takes no harm: an entry whose
 * word is not this thread's is skipped, one that can not be read ends the walk,
 * and so do 2048).  What this file follows are copies in private memory.
 *
 * A kill on any line:
 *
 * - Taking: the lock is put down as pending, its word becomes ours, it enters
 *   the list, and nothing is pending.  The kernel looks at what is pending as
 *   it looks at the list: its word is ours, and is marked, or it is not.
 * - Letting go: pending, out of the list, the word becomes free, nothing is
 *   pending.  The same; and `next' is not written to when it is another's.
 * - Killed after the word became free and before the sleeper was woken; or
 *   woken and killed before the word was taken: what is pending has a word
 *   without an owner, and then the kernel wakes another one (since Linux 6.2
 *   and the stable series of its time; before, the next one who comes does).
 * - Somebody else may have taken it in between, and then nobody is woken.  So
 *   a word with sleepers never loses FUTEX_WAITERS: who lets it go leaves just
 *   that, who takes it keeps it, and thus wakes another one in the end.
 * - It goes when the word was free and somebody who tried to wake found nobody.
 *   Until then somebody may have taken it, others fallen asleep on it, and it
 *   may look as before; so whoever takes a word with it counts that, in what is
 *   changed together with the word.
 */
#include <sys/syscall.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"
#include "futexlock.h"

/* Where the C library's own entries have their words, seen from `next'. */
#define OFFSET	((long)offsetof(struct ipc__futexlock, word) - \
	(long)offsetof(struct ipc__futexlock, next))

/* Only a list that is linked both ways, and of these places. */
#if defined(__GLIBC__) && defined(__LP64__) && __PTHREAD_MUTEX_HAVE_PREV
#define CAN	(OFFSET == (long)offsetof(pthread_mutex_t, __data.__lock) - \
	(long)offsetof(pthread_mutex_t, __data.__list.__next) && \
	offsetof(struct ipc__futexlock, next) - \
	offsetof(struct ipc__futexlock, before) == \
	offsetof(pthread_mutex_t, __data.__list.__next) - \
	offsetof(pthread_mutex_t, __data.__list.__prev))
#else
#define CAN	0
#endif

/* Before it sleeps, a waiter looks now and then whether it is free: some
 * microseconds, less than what sleeping costs it, and waking it the owner.
 * Between the looks it stays away from the owner's cache line. */
#define LOOKS	8
#define PAUSES	16

/* PTHREAD_DESTRUCTOR_ITERATIONS is 4, and the thread sanitizer believes that a
 * thread has ended when it is called in the last one. */
#define ROUNDS	3

_Thread_local struct ipc__thread ipc__thread;

static pthread_key_t ending;
static bool can;

/*
 * Threads
 */

/*
 * A thread ends, with locks that the kernel will mark.  It has them through
 * none of our handles any more; but only when the other destructors have had
 * the time to unlock them.
 */
static void
thread_end(void *rounds)
{
	uintptr_t round = (uintptr_t)rounds;
	struct ipc__hold *h, *below;

	if (round < ROUNDS && pthread_setspecific(ending,
	    (void *)(round + 1)) == 0)
		return;
	for (h = ipc__thread.top; h != NULL; h = below) {
		below = h->below;
		/* Release pairs with the acquire of who closes it. */
		atomic_store_explicit(&h->owner, NULL, memory_order_release);
	}
	ipc__thread.top = NULL;
}

/* The kernel sees only what follows each `next'. */
static void
thread_link(struct ipc__thread *me, struct robust_list_head *head)
{
	uintptr_t there = (uintptr_t)head->list.next;
	/* The lowest bit is the kernel's, of a mutex of another kind. */
	void **theirs = (void **)(there & ~(uintptr_t)1);

	me->first.next = &me->last.next;
	me->first.before = &head->list;
	me->last.next = (void *)there;
	me->last.before = &me->first.next;
	if (theirs != (void **)&head->list)
		theirs[-1] = &me->last.next;
	ipc__in_order();
	head->list.next = (struct robust_list *)(void *)&me->first.next;
	ipc__in_order();
}

static int
thread_begin(struct ipc__thread *me)
{
	struct robust_list_head *head = NULL;
	size_t size = 0;
	int rc;

	if (syscall(SYS_get_robust_list, 0, &head, &size) == -1)
		return ipc__fail_sys("get_robust_list");
	if (head == NULL || size != sizeof *head ||
	    head->futex_offset != OFFSET)
		return ipc__fail(EOPNOTSUPP, "this thread has no list of "
		    "robust mutexes as the C library makes it");
	rc = pthread_setspecific(ending, (void *)1);
	if (rc != 0)
		return ipc__fail(rc, "pthread_setspecific: %s",
		    ipc_strerror(rc));
	thread_link(me, head);
	me->head = head;
	me->top = NULL;
	me->process = atomic_load_explicit(&ipc__process,
	    memory_order_relaxed);
	me->tid = (uint32_t)syscall(SYS_gettid);
	return 0;
}

/* The C library has begun the list anew. */
static void
in_child(void)
{
	ipc__thread.tid = 0;
}

static void
ask(void)
{
	struct ipc__error before;

	ipc__error_keep(&before);
	ipc__fork_watch();
	if (CAN && pthread_atfork(NULL, NULL, in_child) == 0 &&
	    pthread_key_create(&ending, thread_end) == 0)
		can = thread_begin(&ipc__thread) == 0;
	ipc__error_restore(&before);
}

bool
ipc__futexlock_can(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ask);
	return can;
}

int
ipc__futexlock_need(void)
{
	return ipc__futexlock_can() ? 0 : ipc__fail(EOPNOTSUPP, "it was made "
	    "by a program that uses the kernel's list of robust mutexes, which "
	    "this one can not (get_robust_list(2))");
}

/*
 * Taking
 */

static int
futex_sleep(struct ipc__futexlock *lock, uint32_t seen, int64_t deadline)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline / 1000000000),
	    .tv_nsec = (long)(deadline % 1000000000) };

	if (syscall(SYS_futex, &lock->word, FUTEX_WAIT_BITSET, seen,
	    deadline < 0 ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY) == 0 ||
	    errno == EAGAIN || errno == EINTR)
		return 0;
	return errno == ETIMEDOUT ? -ETIMEDOUT : ipc__fail_sys("futex");
}

/* Somebody has it: sleeps until it may be different. */
static int
await(struct ipc__futexlock *lock, uint32_t seen, int64_t deadline)
{
	/* Nothing is read that others wrote: relaxed. */
	if (!(seen & FUTEX_WAITERS) &&
	    !atomic_compare_exchange_strong_explicit(&lock->word, &seen,
	    seen | FUTEX_WAITERS, memory_order_relaxed, memory_order_relaxed))
		return 0;
	return futex_sleep(lock, seen | FUTEX_WAITERS, deadline);
}

/* Whoever we wait for can not run while we spin.  Not those processors count
 * that we may run on: the other one may have others. */
static bool
alone(void)
{
	static _Atomic long cpus;
	long n = atomic_load_explicit(&cpus, memory_order_relaxed);

	if (n == 0) {
		n = sysconf(_SC_NPROCESSORS_ONLN);
		/* The same whoever stores it: relaxed. */
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n == 1;
}

bool
ipc__futexlock_spin(unsigned *looks)
{
	if (*looks == LOOKS || alone()) {
		*looks = 0;
		return false;
	}
	++*looks;
	for (int i = 0; i < PAUSES; i++)
		ipc__copy_pause();
	return true;
}

static int
take(struct ipc__futexlock *lock, uint32_t tid, int timeout)
{
	unsigned looks = 0;
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : -1;
	uint32_t v, owner;
	int rc;

	for (;;) {
		v = atomic_load_explicit(&lock->word, memory_order_relaxed);
		owner = v & FUTEX_TID_MASK;
		/* Acquire pairs with the release of the last owner. */
		if (owner == 0 && atomic_compare_exchange_strong_explicit(
		    &lock->word, &v, tid | (v & FUTEX_WAITERS),
		    memory_order_acquire, memory_order_relaxed))
			break;
		if (owner == 0)
			continue;
		if (owner == tid)
			return -EDEADLK;
		if (timeout == 0)
			return -EAGAIN;
		if (ipc__futexlock_spin(&looks))
			continue;
		rc = await(lock, v, deadline);
		if (rc < 0)
			return rc;
	}
	if (v & FUTEX_WAITERS)
		ipc__count(lock->crowds, 1);
	return v & FUTEX_OWNER_DIED ? -EOWNERDEAD : 0;
}

/*
 * It is ours, but through this hold it is another thread's.  That was before a
 * fork, or that thread ended without its destructors; or somebody wrote to the
 * memory what he should not, and that thread's list must stay as it is.
 */
static int
odd(struct ipc__hold *h, struct ipc__thread *me)
{
	if (h->process != me->process || (syscall(SYS_tgkill, getpid(), h->tid,
	    0) == -1 && errno == ESRCH))
		return 0;
	atomic_store_explicit(&h->lock->word, FUTEX_WAITERS,
	    memory_order_release);
	return ipc__fail(EBADMSG, "somebody else has overwritten it");
}

int
ipc__futexlock_lock(struct ipc__hold *h, int timeout, enum ipc__quick quick)
{
	struct ipc__thread *me = &ipc__thread;
	int rc = 0, rc2 = 0;

	if (me->tid == 0)
		rc = thread_begin(me);
	if (rc < 0)
		return rc;
	ipc__pending(me, h->lock);
	if (quick != IPC__ODD)
		rc = take(h->lock, me->tid, timeout);
	if ((rc == 0 || rc == -EOWNERDEAD) && atomic_load_explicit(&h->owner,
	    memory_order_relaxed) != NULL)
		rc2 = odd(h, me);
	if (rc2 < 0)
		rc = rc2;
	else if (rc == 0 || rc == -EOWNERDEAD)
		ipc__futexlock_enter(h, me);
	ipc__pending(me, NULL);
	return rc;
}

/*
 * Letting go
 */

/* Out of the list, where it is not the first. */
static void
drop(struct ipc__hold *h, struct ipc__thread *me)
{
	struct ipc__hold *above = me->top;

	while (above != NULL && above->below != h)
		above = above->below;
	if (above == NULL)
		return;
	above->below = h->below;
	above->rest = h->rest;
	above->lock->next = h->rest;
}

/* Both of them as they lie in memory. */
static uint64_t
together(uint32_t word, uint32_t crowds)
{
	union {
		uint32_t	each[2];
		uint64_t	both;
	} u = { .each = { word, crowds } };

	return u.both;
}

/* It is not as the owner left it: somebody may sleep. */
static int
give(struct ipc__futexlock *lock, uint32_t tid)
{
	uint32_t crowds = atomic_load_explicit(&lock->crowds,
	    memory_order_relaxed);
	uint32_t v = atomic_load_explicit(&lock->word, memory_order_relaxed);
	uint64_t seen = together(FUTEX_WAITERS, crowds);

	/* Release pairs with the acquire of the next owner. */
	if (v == tid && atomic_compare_exchange_strong_explicit(&lock->word, &v,
	    0, memory_order_release, memory_order_relaxed))
		return 0;
	if ((v & FUTEX_TID_MASK) != tid)
		return ipc__fail(EBADMSG, "somebody else has overwritten it");
	atomic_exchange_explicit(&lock->word, FUTEX_WAITERS,
	    memory_order_release);
	if (syscall(SYS_futex, &lock->word, FUTEX_WAKE, 1, NULL, NULL, 0) != 0)
		return 0;
	/* Nobody, and nobody since: relaxed, as nothing else is told. */
	atomic_compare_exchange_strong_explicit(&lock->both, &seen,
	    together(0, crowds), memory_order_relaxed, memory_order_relaxed);
	return 0;
}

int
ipc__futexlock_unlock(struct ipc__hold *h)
{
	struct ipc__thread *me = &ipc__thread;
	int rc;

	ipc__pending(me, h->lock);
	if (ipc__futexlock_mine(h)) {
		atomic_store_explicit(&h->owner, NULL, memory_order_relaxed);
		drop(h, me);
		ipc__in_order();
	}
	rc = give(h->lock, me->tid);
	ipc__pending(me, NULL);
	return rc;
}
