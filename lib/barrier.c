/* SPDX-License-Identifier: ISC */
/*
 * membarrier(2).  What the kernel answers once holds for the life of the
 * process and for its children, so it is kept in two words; an exec begins
 * anew, as the kernel does.
 */

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "barrier.h"

#ifdef __NR_membarrier
#include <linux/membarrier.h>

enum { UNKNOWN, YES, NO };

/* Relaxed: each is one word, and all who work it out get the same. */
static _Atomic int barrier_able, barrier_registered;

static int
barrier_call(int command)
{
	return (int)syscall(__NR_membarrier, command, 0, 0);
}

bool
ipc__barrier_can(void)
{
	const int want = MEMBARRIER_CMD_GLOBAL_EXPEDITED |
	    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
	int is, rc, saved = errno;

	is = atomic_load_explicit(&barrier_able, memory_order_relaxed);
	if (is == UNKNOWN) {
		rc = barrier_call(MEMBARRIER_CMD_QUERY);
		/* A filter (seccomp) may allow the question alone. */
		is = rc >= 0 && (rc & want) == want && barrier_call(
		    MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0 ? YES : NO;
		atomic_store_explicit(&barrier_able, is,
		    memory_order_relaxed);
		errno = saved;
	}
	return is == YES;
}

bool
ipc__barrier_register(void)
{
	int is, saved = errno;

	is = atomic_load_explicit(&barrier_registered, memory_order_relaxed);
	if (is == UNKNOWN) {
		is = ipc__barrier_can() && barrier_call(
		    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0 ? YES : NO;
		atomic_store_explicit(&barrier_registered, is,
		    memory_order_relaxed);
		errno = saved;
	}
	return is == YES;
}

int
ipc__barrier(void)
{
	return barrier_call(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0 ? 0 : -errno;
}
#else
bool
ipc__barrier_can(void)
{
	return false;
}

bool
ipc__barrier_register(void)
{
	return false;
}

int
ipc__barrier(void)
{
	return -ENOSYS;
}
#endif
