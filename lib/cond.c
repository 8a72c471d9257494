/* SPDX-License-Identifier: ISC */
/*
 * Condition variables.  A waiter notes the turn while it has the mutex, and
 * sleeps until there is another one.  A signal is one system call that makes
 * the turn and wakes, so a kill comes before both or after both; and it wakes
 * all, so that none is lost with a waiter that dies as it is woken.  Whoever
 * wakes looks anew whether what it waits for is so.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "inner.h"
#include "mutex.h"

struct ipc_cond {
	struct ipc__inner *in;
};

static int
cond_init(struct ipc__inner *in, unsigned unused)
{
	(void)unused;
	atomic_init(&in->u.cond.turn, 0);
	atomic_init(&in->u.cond.waiters, 0);
	return 0;
}

int
ipc_cond_init_in(struct ipc_cond **out, struct ipc_region *r, size_t offset,
    int flags)
{
	struct ipc_cond *c;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_cond_init_in: an argument is "
		    "NULL");
	rc = ipc__sync_flags(flags, 0);
	if (rc < 0)
		return rc;
	c = malloc(sizeof *c);
	if (c == NULL)
		return ipc__fail_sys("malloc");
	rc = ipc__inner_open(&c->in, r, offset, flags, IPC__INNER_COND,
	    cond_init, 0);
	if (rc < 0)
		free(c);
	else
		*out = c;
	return rc;
}

static int
cond_sleep(struct ipc__inner *in, uint32_t turn, int64_t deadline)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline / 1000000000),
	    .tv_nsec = (long)(deadline % 1000000000) };
	long rc;

	do
		rc = syscall(SYS_futex, &in->u.cond.turn, FUTEX_WAIT_BITSET,
		    turn, deadline < 0 ? NULL : &ts, NULL,
		    FUTEX_BITSET_MATCH_ANY);
	while (rc == -1 && errno == EINTR);
	if (rc == 0 || errno == EAGAIN)
		return 0;
	return errno == ETIMEDOUT ? -ETIMEDOUT : ipc__fail_sys("futex");
}

int
ipc_cond_wait(struct ipc_cond *c, struct ipc_mutex *m, int timeout)
{
	int64_t deadline;
	uint32_t turn;
	int rc, locked;

	if (c == NULL || m == NULL)
		return ipc__fail(EINVAL, "ipc_cond_wait: an argument is NULL");
	if (ipc__mutex_depth(m) > 1)
		return ipc__fail(EINVAL, "ipc_cond_wait: the mutex is locked "
		    "more than once");
	if (ipc__mutex_depth(m) == 0)
		return ipc__fail(EPERM, "ipc_cond_wait: this thread does not "
		    "have the mutex");
	if (timeout == 0)
		return ipc__plain(-EAGAIN);
	deadline = ipc__deadline(timeout);
	/* With the mutex, so whoever has it next sees them. */
	atomic_fetch_add(&c->in->u.cond.waiters, 1);
	turn = atomic_load(&c->in->u.cond.turn);
	rc = ipc_mutex_unlock(m);
	if (rc == 0)
		rc = cond_sleep(c->in, turn, deadline);
	atomic_fetch_sub(&c->in->u.cond.waiters, 1);
	locked = ipc__mutex_depth(m) > 0 ? 0 : ipc_mutex_lock(m, -1);
	return locked < 0 ? locked : rc == -ETIMEDOUT ? ipc__plain(rc) : rc;
}

/* A waiter that was killed stays counted, which costs a call to nobody. */
int
ipc_cond_broadcast(struct ipc_cond *c)
{
	if (c == NULL)
		return ipc__fail(EINVAL, "ipc_cond_broadcast: no condition");
	if (atomic_load(&c->in->u.cond.waiters) == 0)
		return 0;
	if (syscall(SYS_futex, &c->in->u.cond.turn, FUTEX_WAKE_OP, INT_MAX,
	    (void *)(uintptr_t)INT_MAX, &c->in->u.cond.turn,
	    FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_GE, 0)) == -1)
		return ipc__fail_sys("futex");
	return 0;
}

int
ipc_cond_signal(struct ipc_cond *c)
{
	return ipc_cond_broadcast(c);
}

int
ipc_cond_close(struct ipc_cond *c)
{
	free(c);
	return 0;
}
