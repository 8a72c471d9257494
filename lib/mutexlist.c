/* SPDX-License-Identifier: ISC */
/*
 * All mutexes that this process has open.  A forked child has copies of the
 * handles and owns nothing: what its parent has locked must neither look locked
 * by the child nor be held on to by it.
 */
#include "mutex.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_mutex *all;

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

/* The thread that forked is the only one here. */
static void
in_child(void)
{
	for (struct ipc_mutex *m = all; m != NULL; m = m->next) {
		atomic_store_explicit(&m->depth, 0, memory_order_relaxed);
		atomic_store_explicit(&m->hold.owner, NULL,
		    memory_order_relaxed);
		(void)ipc__mutex_front(m);
		if (m->ops->forked != NULL)
			m->ops->forked(m);
	}
	pthread_mutex_unlock(&lock);
}

static void
watch(void)
{
	(void)pthread_atfork(before_fork, in_parent, in_child);
}

int
ipc__mutex_front(struct ipc_mutex *m)
{
	pthread_mutexattr_t attr;
	int rc;

	rc = pthread_mutexattr_init(&attr);
	if (rc == 0) {
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
		rc = pthread_mutex_init(&m->front, &attr);
		pthread_mutexattr_destroy(&attr);
	}
	return rc == 0 ? 0 : ipc__fail(rc, "pthread_mutex_init: %s",
	    ipc_strerror(rc));
}

int
ipc__mutex_enlist(struct ipc_mutex *m)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int rc = ipc__mutex_front(m);

	if (rc < 0)
		return rc;
	pthread_once(&once, watch);
	pthread_mutex_lock(&lock);
	m->next = all;
	m->link = &all;
	if (all != NULL)
		all->link = &m->next;
	all = m;
	pthread_mutex_unlock(&lock);
	return 0;
}

void
ipc__mutex_delist(struct ipc_mutex *m)
{
	pthread_mutex_lock(&lock);
	*m->link = m->next;
	if (m->next != NULL)
		m->next->link = m->link;
	pthread_mutex_unlock(&lock);
	/* The front is not destroyed, which frees nothing: begun anew in a
	 * forked child, it may still look locked to a checker. */
}
