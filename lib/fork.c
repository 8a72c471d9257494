/* SPDX-License-Identifier: ISC */
/*
 * Forks are noticed by generations that the fork itself changes, so that no
 * call has to ask for the pid.  Two numbers: after a fork both processes must
 * know that the channels of before may now have two holders (ipc__forks), and
 * only the child that its epoll sets and mutexes are the parent's
 * (ipc__process).
 */
#include <pthread.h>

#include "core.h"

_Atomic unsigned ipc__forks;
_Atomic unsigned ipc__process;

/* ipc_spawn's own forks exec at once and make no second holder. */
static _Thread_local bool own_fork;

static void
before_fork(void)
{
	if (!own_fork)
		atomic_fetch_add_explicit(&ipc__forks, 1, memory_order_relaxed);
}

static void
in_child(void)
{
	atomic_fetch_add_explicit(&ipc__process, 1, memory_order_relaxed);
}

static void
watch(void)
{
	/* Without the handlers a fork is only not noticed; no memory for them
	 * means that nothing else will work either. */
	(void)pthread_atfork(before_fork, NULL, in_child);
}

void
ipc__fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch);
}

void
ipc__fork_own(bool on)
{
	own_fork = on;
}
