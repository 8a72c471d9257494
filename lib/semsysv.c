/* SPDX-License-Identifier: ISC */
/*
 * sysvsem: System V semaphores, one to a set.  SEM_UNDO is for what this
 * process has taken; what is given without having been taken is a gift and
 * stays.
 */
#include <sys/ipc.h>
#include <sys/sem.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "sem.h"
#include "sysvset.h"

struct sysv_sem {
	struct ipc_sem	 sem;
	int		 id;
	bool		 undo;
	/* Of undo: what we hold.  Only counted, so it pairs with nothing. */
	_Atomic unsigned held;
	_Atomic unsigned process;	/* that holds it: ipc__process */
};

static struct sysv_sem *
sysv_state(struct ipc_sem *s)
{
	return (struct sysv_sem *)(void *)s;
}

static int
sysv_open(struct ipc_sem *s, const struct ipc__address *a, int flags)
{
	struct sysv_sem *v = sysv_state(s);
	struct ipc__sysvset set = { .address = a, .name = a->name,
	    .count = 1, .value = a->opt.value };
	int rc;

	rc = ipc__sync_key(a, &set.key);
	if (rc < 0)
		return rc;
	if (a->opt.value > IPC__SYSV_VALUE_MAX)
		return ipc__fail(EINVAL, "a value of %u exceeds %d (SEMVMX)",
		    a->opt.value, IPC__SYSV_VALUE_MAX);
	rc = v->id = ipc__sysvset_open(&set, flags);
	v->undo = a->opt.undo;
	return rc < 0 ? rc : 0;
}

/*
 * Using
 */

/* A forked child has not taken what its parent had. */
static void
sysv_adopt(struct sysv_sem *v)
{
	unsigned now = atomic_load_explicit(&ipc__process,
	    memory_order_relaxed);

	if (atomic_load_explicit(&v->process, memory_order_relaxed) == now)
		return;
	atomic_store_explicit(&v->held, 0, memory_order_relaxed);
	atomic_store_explicit(&v->process, now, memory_order_relaxed);
}

static int
sysv_wait(struct ipc_sem *s, int timeout)
{
	struct sysv_sem *v = sysv_state(s);
	struct sembuf op = { .sem_op = -1,
	    .sem_flg = v->undo ? SEM_UNDO : 0 };
	int rc;

	if (v->undo)
		sysv_adopt(v);
	rc = ipc__sysvset_do(v->id, &op, 1, timeout > 0 ?
	    ipc__deadline(timeout) : timeout);
	if (rc == 0 && v->undo)
		atomic_fetch_add_explicit(&v->held, 1, memory_order_relaxed);
	return rc;
}

/* Up to `most' of what we hold is not held any more; returns how many. */
static unsigned
sysv_unhold(struct sysv_sem *v, unsigned most)
{
	unsigned held, n;

	sysv_adopt(v);
	held = atomic_load_explicit(&v->held, memory_order_relaxed);
	do
		n = held < most ? held : most;
	while (!atomic_compare_exchange_weak_explicit(&v->held, &held, held - n,
	    memory_order_relaxed, memory_order_relaxed));
	return n;
}

static int
sysv_post(struct ipc_sem *s, unsigned count)
{
	struct sysv_sem *v = sysv_state(s);
	unsigned held = v->undo && count <= IPC__SYSV_VALUE_MAX ?
	    sysv_unhold(v, count) : 0, n = 0;
	struct sembuf ops[2];

	if (count > IPC__SYSV_VALUE_MAX)
		return ipc__fail(EOVERFLOW, "%u at once exceed %d (SEMVMX)",
		    count, IPC__SYSV_VALUE_MAX);
	if (held > 0)
		ops[n++] = (struct sembuf){ .sem_op = (short)held,
		    .sem_flg = SEM_UNDO };
	if (count > held)
		ops[n++] = (struct sembuf){ .sem_op = (short)(count - held) };
	if (semop(v->id, ops, n) == 0)
		return 0;
	atomic_fetch_add_explicit(&v->held, held, memory_order_relaxed);
	return ipc__sysvset_fail("semop");
}

static int
sysv_value(struct ipc_sem *s, unsigned *value)
{
	int n = semctl(sysv_state(s)->id, 0, GETVAL);

	if (n == -1)
		return ipc__sysvset_fail("semctl(GETVAL)");
	*value = (unsigned)n;
	return 0;
}

/* What is still held would go back with the end of the process. */
static void
sysv_close(struct ipc_sem *s)
{
	struct sysv_sem *v = sysv_state(s);
	unsigned held = v->undo ? sysv_unhold(v, IPC__SYSV_VALUE_MAX) : 0;
	struct sembuf op = { .sem_op = (short)held, .sem_flg = SEM_UNDO };

	if (held > 0)
		(void)semop(v->id, &op, 1);
}

static int
sysv_unlink(const struct ipc__address *a)
{
	struct ipc__sysvset set = { .address = a, .name = a->name,
	    .count = 1 };
	int rc = ipc__sync_key(a, &set.key);

	return rc < 0 ? rc : ipc__sysvset_unlink(&set);
}

const struct ipc__sem_ops ipc__sem_sysv = {
	.size = sizeof(struct sysv_sem),
	.open = sysv_open,
	.wait = sysv_wait,
	.post = sysv_post,
	.value = sysv_value,
	.close = sysv_close,
	.unlink = sysv_unlink
};
