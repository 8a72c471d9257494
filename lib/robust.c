/* SPDX-License-Identifier: ISC */
/*
 * Mutexes of the C library for several processes.  It keeps a list of those
 * that a thread has, and the kernel walks it when the thread ends, however that
 * happens: so the owner needs no watching, and its number no second look.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include <ipc/error.h>

#include "error.h"
#include "robust.h"

uint32_t
ipc__robust_abi(void)
{
#ifdef __GLIBC__
	const uint32_t library = 1;
#else
	const uint32_t library = 0;
#endif

	return library << 24 | (uint32_t)(sizeof(pthread_mutex_t) << 8 |
	    sizeof(void *));
}

int
ipc__robust_init_kind(pthread_mutex_t *mutex, int kind, bool pi)
{
	pthread_mutexattr_t attr;
	int rc;

	rc = pthread_mutexattr_init(&attr);
	if (rc != 0)
		return ipc__fail(rc, "pthread_mutexattr_init: %s",
		    ipc_strerror(rc));
	if ((rc = pthread_mutexattr_setpshared(&attr,
	    PTHREAD_PROCESS_SHARED)) == 0 &&
	    (rc = pthread_mutexattr_setrobust(&attr,
	    PTHREAD_MUTEX_ROBUST)) == 0 &&
	    (rc = pthread_mutexattr_settype(&attr, kind)) == 0 &&
	    (rc = pthread_mutexattr_setprotocol(&attr, pi ?
	    PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE)) == 0)
		rc = pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return rc == 0 ? 0 : ipc__fail(rc, "pthread_mutex_init: %s",
	    ipc_strerror(rc));
}

int
ipc__robust_init(pthread_mutex_t *mutex, bool recursive, bool pi)
{
	return ipc__robust_init_kind(mutex, recursive ?
	    PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_ERRORCHECK, pi);
}

/*
 * The C library leaves a robust mutex that it waited for in vain noted as what
 * this thread is about to take.  If the thread then ends, and the owner has the
 * same number in another PID namespace, the kernel takes that one for dead.
 */
static int
waited(int rc)
{
	volatile struct robust_list_head *head = NULL;
	size_t size = 0;

	if (rc == ETIMEDOUT && syscall(SYS_get_robust_list, 0, &head, &size) ==
	    0 && head != NULL && size == sizeof *head)
		head->list_op_pending = NULL;
	return rc;
}

int
ipc__clocklock(pthread_mutex_t *mutex, int64_t deadline)
{
	const struct timespec ts = { .tv_sec = (time_t)(deadline / 1000000000),
	    .tv_nsec = (long)(deadline % 1000000000) };
#ifdef __SANITIZE_THREAD__
	int rc;

	__tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
	rc = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
	__tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock |
	    (rc != 0 && rc != EOWNERDEAD ? __tsan_mutex_try_lock_failed : 0),
	    0);
	return waited(rc);
#else
	return waited(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts));
#endif
}

static int
lock(pthread_mutex_t *mutex, int64_t deadline)
{
	if (deadline < 0)
		return pthread_mutex_lock(mutex);
	if (deadline == 0)
		return pthread_mutex_trylock(mutex);
	return ipc__clocklock(mutex, deadline);
}

int
ipc__robust_lock(pthread_mutex_t *mutex, int64_t deadline)
{
	int rc = lock(mutex, deadline);

	switch (rc) {
	case 0:
		return 0;
	case EBUSY:
		return -EAGAIN;
	case ETIMEDOUT:
		return -ETIMEDOUT;
	case EOWNERDEAD:
		/* From now on it is we who may die in it. */
		rc = pthread_mutex_consistent(mutex);
		if (rc == 0)
			return -EOWNERDEAD;
		break;
	default:
		break;
	}
	return ipc__fail(rc, "pthread_mutex_lock: %s", ipc_strerror(rc));
}
