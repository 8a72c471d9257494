/* SPDX-License-Identifier: ISC */
/*
 * Who has which reader-writer lock: each handle has a place for each reader and
 * one for the writer, and each thread a list of those that it is in.  A thread
 * has few locks at a time, so its list is short, and it ends with the thread.
 *
 * A forked child has copies of the handles and owns nothing; the thread that
 * forked is the only one there is, so its list is the only one to be emptied.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include "rwlock.h"

#define ROUNDS	4	/* PTHREAD_DESTRUCTOR_ITERATIONS, at least */
#define TLS	_Thread_local __attribute__((tls_model("initial-exec")))

static TLS struct ipc__rw_hold *held;
static TLS unsigned hint;
static TLS bool ends;		/* thread_end() is called for this thread */

static pthread_key_t ending;
static bool has_key;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_rwlock *all;

struct ipc__rw_hold *
ipc__rw_held(const struct ipc_rwlock *l)
{
	struct ipc__rw_hold *h = held;

	while (h != NULL && h->lock != l)
		h = h->next;
	return h;
}

unsigned
ipc__rw_place(const struct ipc__rw_hold *h)
{
	return (unsigned)(h - h->lock->holds);
}

/* Taken is only read by who closes the handle, when nobody else may use it, and
 * by those who claim. */
void
ipc__rw_hold(struct ipc_rwlock *l, unsigned place)
{
	struct ipc__rw_hold *h = &l->holds[place];

	h->lock = l;
	h->next = held;
	held = h;
	if (place != IPC__RW_WRITER)
		hint = place;
	if (!ends && has_key)
		ends = pthread_setspecific(ending, (void *)1) == 0;
	atomic_store_explicit(&h->taken, true, memory_order_relaxed);
}

void
ipc__rw_drop(struct ipc__rw_hold *h)
{
	struct ipc__rw_hold **p = &held;

	while (*p != h)
		p = &(*p)->next;
	*p = h->next;
}

unsigned
ipc__rw_hint(void)
{
	return hint;
}

int
ipc__rw_full(void)
{
	return ipc__fail(ENOSPC, "%d threads have it for reading, and there "
	    "is no room for more", IPC__RW_READERS);
}

int
ipc__rw_claim(struct ipc_rwlock *l)
{
	unsigned place = hint;
	bool free;

	for (int i = 0; i < IPC__RW_READERS; i++) {
		free = false;
		if (atomic_compare_exchange_strong_explicit(
		    &l->holds[place].taken, &free, true, memory_order_acquire,
		    memory_order_relaxed))
			return (int)place;
		place = (place + 1) % IPC__RW_READERS;
	}
	return ipc__rw_full();
}

/* Release pairs with the acquire of the next one who claims the place. */
void
ipc__rw_unclaim(struct ipc_rwlock *l, unsigned place)
{
	atomic_store_explicit(&l->holds[place].taken, false,
	    memory_order_release);
}

bool
ipc__rw_busy(struct ipc_rwlock *l)
{
	for (unsigned i = 0; i <= IPC__RW_WRITER; i++)
		if (atomic_load_explicit(&l->holds[i].taken,
		    memory_order_relaxed))
			return true;
	return false;
}

/*
 * All of them
 */

/* A thread ends with locks that the kernel will take from it, so the handles
 * may be closed; but only when the other destructors have had the time to
 * unlock them. */
static void
thread_end(void *rounds)
{
	uintptr_t round = (uintptr_t)rounds;

	if (round < ROUNDS && pthread_setspecific(ending,
	    (void *)(round + 1)) == 0)
		return;
	while (held != NULL) {
		struct ipc__rw_hold *h = held;

		ipc__rw_drop(h);
		if (h->lock->ops->by_thread)
			ipc__rw_unclaim(h->lock, ipc__rw_place(h));
	}
}

static void
before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void
in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void
in_child(void)
{
	held = NULL;
	for (struct ipc_rwlock *l = all; l != NULL; l = l->next) {
		for (unsigned i = 0; i <= IPC__RW_WRITER; i++)
			atomic_store_explicit(&l->holds[i].taken, false,
			    memory_order_relaxed);
		if (l->ops->forked != NULL)
			l->ops->forked(l);
	}
	pthread_mutex_unlock(&lock);
}

static void
watch(void)
{
	(void)pthread_atfork(before_fork, in_parent, in_child);
	has_key = pthread_key_create(&ending, thread_end) == 0;
}

void
ipc__rw_enlist(struct ipc_rwlock *l)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch);
	pthread_mutex_lock(&lock);
	l->next = all;
	l->link = &all;
	if (all != NULL)
		all->link = &l->next;
	all = l;
	pthread_mutex_unlock(&lock);
}

void
ipc__rw_delist(struct ipc_rwlock *l)
{
	pthread_mutex_lock(&lock);
	*l->link = l->next;
	if (l->next != NULL)
		l->next->link = l->link;
	pthread_mutex_unlock(&lock);
}
