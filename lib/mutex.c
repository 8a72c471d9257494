/* SPDX-License-Identifier: ISC */
/*
 * Mutexes: the public calls.  A mutex in memory is so quick that calling it
 * through a table would show, so its quick way is taken here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "inner.h"
#include "mutex.h"
#include "syncfile.h"

static const struct ipc__mutex_ops *const kinds[IPC__SYNC_SCHEMES] = {
	[IPC__SCHEME_MUTEX]	= &ipc__mutex_own,
	[IPC__SCHEME_SYSVMUTEX]	= &ipc__mutex_sysv,
	[IPC__SCHEME_FILELOCK]	= &ipc__mutex_file
};

static int
mutex_make(struct ipc_mutex **out, const struct ipc__address *a, int flags)
{
	const struct ipc__mutex_ops *ops = kinds[ipc__sync_scheme(a)];
	struct ipc_mutex *m;
	int rc;

	m = calloc(1, ops->size);
	if (m == NULL)
		return ipc__fail_sys("calloc");
	m->ops = ops;
	m->recursive = a->opt.recursive;
	m->text = strdup(a->text);
	rc = m->text == NULL ? ipc__fail_sys("strdup") : ops->open(m, a, flags);
	if (rc == 0 && (rc = ipc__mutex_enlist(m)) < 0)
		ops->close(m);
	if (rc < 0) {
		free(m->text);
		free(m);
		return rc;
	}
	*out = m;
	return 0;
}

int
ipc_mutex_open(struct ipc_mutex **m, const char *address, int flags)
{
	struct ipc__address a;
	int rc;

	if (m == NULL || address == NULL)
		return ipc__fail(EINVAL, "ipc_mutex_open: an argument is NULL");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_MUTEX);
	if (rc < 0)
		return rc;
	rc = ipc__sync_flags(flags, 0);
	if (rc == 0)
		rc = mutex_make(m, &a, flags);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}

/*
 * In shared memory
 */

int
ipc__mutex_make(union ipc__anylock *lock, bool *futex, bool recursive, bool pi)
{
	*futex = !recursive && !pi && ipc__futexlock_can();
	if (!*futex)
		return ipc__robust_init(&lock->mutex, recursive, pi);
	memset(lock, 0, sizeof *lock);
	return 0;
}

int
ipc__mutex_use(struct ipc_mutex *m, union ipc__anylock *lock, bool futex,
    bool recursive)
{
	m->recursive = recursive;
	if (!futex) {
		m->shared = &lock->mutex;
		return 0;
	}
	m->hold.lock = &lock->futex;
	return ipc__futexlock_need();
}

/*
 * Without a name
 */

static int
inner_init(struct ipc__inner *in, unsigned flags)
{
	bool futex;
	int rc;

	rc = ipc__mutex_make(&in->u.lock, &futex, flags & IPC_MUTEX_RECURSIVE,
	    flags & IPC_MUTEX_PI);
	if (futex)
		in->flags |= IPC__INNER_FUTEX;
	return rc;
}

static const struct ipc__mutex_ops inner_ops = {
	.size = sizeof(struct ipc_mutex)
};

int
ipc_mutex_init_in(struct ipc_mutex **out, struct ipc_region *r, size_t offset,
    int flags)
{
	struct ipc__inner *in = NULL;
	struct ipc_mutex *m;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_mutex_init_in: an argument is "
		    "NULL");
	rc = ipc__sync_flags(flags, IPC_MUTEX_RECURSIVE | IPC_MUTEX_PI);
	if (rc < 0)
		return rc;
	m = calloc(1, sizeof *m);
	if (m == NULL)
		return ipc__fail_sys("calloc");
	m->ops = &inner_ops;
	m->text = strdup("mutex in a region");
	rc = m->text == NULL ? ipc__fail_sys("strdup") :
	    ipc__inner_open(&in, r, offset, flags, IPC__INNER_MUTEX,
	    inner_init, (unsigned)flags);
	if (rc == 0 && in != NULL)
		rc = ipc__mutex_use(m, &in->u.lock, in->flags &
		    IPC__INNER_FUTEX, in->flags & IPC_MUTEX_RECURSIVE);
	if (rc == 0)
		rc = ipc__mutex_enlist(m);
	if (rc < 0) {
		free(m->text);
		free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* The plain answers have no text, and no text is made for them. */
static int
fail(const struct ipc_mutex *m, int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case -EAGAIN:
	case -ETIMEDOUT:
		return ipc__plain(rc);
	case -EOWNERDEAD:
		return ipc__fail_at(m->text, ipc__fail(EOWNERDEAD, "its last "
		    "owner died with it; it is locked now, and what it "
		    "protects may be half changed"));
	case -EDEADLK:
		return ipc__fail_at(m->text, ipc__fail(EDEADLK, "this thread "
		    "has it already (recursive=1 allows that)"));
	case -EPERM:
		return ipc__fail_at(m->text, ipc__fail(EPERM, "this thread "
		    "does not have it"));
	default:
		return ipc__fail_at(m->text, rc);
	}
}

/* Its address tells the threads of this process apart, at less than the call
 * that pthread_self() is. */
static _Thread_local char here __attribute__((tls_model("initial-exec")));

/* Only its owner changes these two. */
static inline void
own(struct ipc_mutex *m, unsigned depth)
{
	atomic_store_explicit(&m->owner, (uintptr_t)&here,
	    memory_order_relaxed);
	atomic_store_explicit(&m->depth, depth, memory_order_release);
}

/* How often this thread has it. */
static inline unsigned
depth_here(struct ipc_mutex *m)
{
	unsigned depth = atomic_load_explicit(&m->depth, memory_order_acquire);

	return atomic_load_explicit(&m->owner, memory_order_relaxed) ==
	    (uintptr_t)&here ? depth : 0;
}

unsigned
ipc__mutex_depth(struct ipc_mutex *m)
{
	return m->hold.lock != NULL ? ipc__futexlock_mine(&m->hold) :
	    depth_here(m);
}

static int
mutex_lock(pthread_mutex_t *mutex, int timeout)
{
	int rc;

	if (timeout < 0)
		return pthread_mutex_lock(mutex);
	rc = pthread_mutex_trylock(mutex);
	if (rc != EBUSY)
		return rc;
	/* A try does not tell whether this thread has it: a wait that is over
	 * already does. */
	rc = ipc__clocklock(mutex, timeout == 0 ? 0 : ipc__deadline(timeout));
	return rc == ETIMEDOUT && timeout == 0 ? EAGAIN : rc;
}

/*
 * A mutex of the C library in shared memory
 */

static int
shared_slow(struct ipc_mutex *m, int rc)
{
	if (rc == EOWNERDEAD) {
		/* From now on it is we who may die in it. */
		rc = pthread_mutex_consistent(m->shared);
		if (rc == 0) {
			own(m, 1);
			return fail(m, -EOWNERDEAD);
		}
	}
	if (rc == EAGAIN || rc == ETIMEDOUT || rc == EDEADLK)
		return fail(m, -rc);
	return fail(m, ipc__fail(rc, "pthread_mutex_lock: %s",
	    ipc_strerror(rc)));
}

static inline int
shared_lock(struct ipc_mutex *m, int timeout)
{
	int rc = mutex_lock(m->shared, timeout);

	if (ipc__unlikely(rc != 0))
		return shared_slow(m, rc);
	own(m, ipc__unlikely(m->recursive) ? depth_here(m) + 1 : 1);
	return 0;
}

/* It is not ours any more before it is somebody else's. */
static inline int
shared_unlock(struct ipc_mutex *m)
{
	unsigned depth = depth_here(m);
	int rc;

	if (ipc__unlikely(depth == 0))
		return fail(m, -EPERM);
	own(m, depth - 1);
	rc = pthread_mutex_unlock(m->shared);
	if (ipc__likely(rc == 0))
		return 0;
	own(m, depth);
	return fail(m, ipc__fail(rc, "pthread_mutex_unlock: %s",
	    ipc_strerror(rc)));
}

/*
 * One of the kernel's, behind a mutex of this process
 */

static int
front_lock(struct ipc_mutex *m, int timeout)
{
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : timeout;
	int rc = mutex_lock(&m->front, timeout);

	if (rc != 0)
		return rc == EAGAIN || rc == ETIMEDOUT ? -rc :
		    ipc__fail(rc, "pthread_mutex_lock: %s", ipc_strerror(rc));
	rc = 0;
	if (depth_here(m) == 0)
		rc = m->ops->lock(m, deadline);
	else if (!m->recursive)
		rc = -EDEADLK;
	if (rc == 0 || rc == -EOWNERDEAD)
		own(m, depth_here(m) + 1);
	else
		pthread_mutex_unlock(&m->front);
	return rc;
}

static int
front_unlock(struct ipc_mutex *m)
{
	unsigned depth = depth_here(m);
	int rc = 0;

	if (depth == 0)
		return -EPERM;
	if (depth == 1)
		rc = m->ops->unlock(m);
	if (rc < 0 && rc != -EIDRM)
		return rc;
	own(m, depth - 1);
	pthread_mutex_unlock(&m->front);
	return rc;
}

/*
 * The calls
 */

/* What the quick ways do not do. */
static __attribute__((noinline)) int
lock_other(struct ipc_mutex *m, int timeout, enum ipc__quick quick)
{
	if (m == NULL)
		return ipc__fail(EINVAL, "ipc_mutex_lock: no mutex");
	if (m->hold.lock != NULL)
		return fail(m, ipc__futexlock_lock(&m->hold, timeout, quick));
	if (m->shared != NULL)
		return shared_lock(m, timeout);
	return fail(m, front_lock(m, timeout));
}

static __attribute__((noinline)) int
unlock_other(struct ipc_mutex *m, bool mine)
{
	if (m == NULL)
		return ipc__fail(EINVAL, "ipc_mutex_unlock: no mutex");
	if (m->hold.lock != NULL)
		return fail(m, mine ? ipc__futexlock_unlock(&m->hold) : -EPERM);
	if (m->shared != NULL)
		return shared_unlock(m);
	return fail(m, front_unlock(m));
}

int
ipc_mutex_lock(struct ipc_mutex *m, int timeout)
{
	enum ipc__quick quick = IPC__NOT_DONE;

	if (ipc__likely(m != NULL && m->hold.lock != NULL)) {
		quick = ipc__futexlock_try(&m->hold);
		if (ipc__likely(quick == IPC__DONE))
			return 0;
	}
	return lock_other(m, timeout, quick);
}

int
ipc_mutex_unlock(struct ipc_mutex *m)
{
	bool mine = false;

	/* Without a lock there is no owner. */
	if (ipc__likely(m != NULL && ipc__futexlock_mine(&m->hold))) {
		mine = true;
		if (ipc__likely(ipc__futexlock_give(&m->hold) == IPC__DONE))
			return 0;
	}
	return unlock_other(m, mine);
}

int
ipc_mutex_close(struct ipc_mutex *m)
{
	if (m == NULL)
		return 0;
	if (atomic_load_explicit(&m->depth, memory_order_relaxed) > 0 ||
	    atomic_load_explicit(&m->hold.owner, memory_order_acquire) != NULL)
		return ipc__fail_at(m->text, ipc__fail(EBUSY, "it can not be "
		    "closed: this process has it locked"));
	ipc__mutex_delist(m);
	if (m->ops->close != NULL)
		m->ops->close(m);
	free(m->text);
	free(m);
	return 0;
}

int
ipc_mutex_unlink(const char *address)
{
	struct ipc__address a;
	int rc;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_mutex_unlink: no address");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_MUTEX);
	if (rc < 0)
		return rc;
	rc = kinds[ipc__sync_scheme(&a)]->unlink(&a);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}
