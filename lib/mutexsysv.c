/* SPDX-License-Identifier: ISC */
/*
 * sysvmutex: a System V semaphore with undo, and a second one that is raised
 * with it by the same call but has no undo: raised twice, it tells that the
 * last owner died.
 */
#include <sys/sem.h>
#include <errno.h>

#include "mutex.h"
#include "sysvset.h"

#define PREFIX	"mutex:"	/* keeps these names from those of sysvsem */

enum { FREE, INSIDE, SEMAPHORES };

struct sysv_mutex {
	struct ipc_mutex m;
	int		 id;
};

static struct sysv_mutex *
sysv_state(struct ipc_mutex *m)
{
	return (struct sysv_mutex *)(void *)m;
}

static int
sysv_open(struct ipc_mutex *m, const struct ipc__address *a, int flags)
{
	int rc = ipc__sysvset_open_as(PREFIX, a, SEMAPHORES, 1, flags);

	sysv_state(m)->id = rc;
	return rc < 0 ? rc : 0;
}

static int
sysv_take(int id, int64_t deadline)
{
	struct sembuf ops[2] = {
		{ .sem_num = FREE, .sem_op = -1, .sem_flg = SEM_UNDO },
		{ .sem_num = INSIDE, .sem_op = 1 }
	};

	return ipc__sysvset_do(id, ops, 2, deadline);
}

static int
sysv_give(int id)
{
	struct sembuf ops[2] = {
		{ .sem_num = INSIDE, .sem_op = -1, .sem_flg = IPC_NOWAIT },
		{ .sem_num = FREE, .sem_op = 1, .sem_flg = SEM_UNDO }
	};

	return semop(id, ops, 2) == 0 ? 0 : ipc__sysvset_fail("semop");
}

static int
sysv_lock(struct ipc_mutex *m, int64_t deadline)
{
	union { int val; } one = { .val = 1 };
	struct ipc__error before;
	int id = sysv_state(m)->id, rc, inside;

	rc = sysv_take(id, deadline);
	if (rc < 0)
		return rc;
	inside = semctl(id, INSIDE, GETVAL);
	if (inside == 1)
		return 0;
	if (inside > 1 && semctl(id, INSIDE, SETVAL, one) == 0)
		return -EOWNERDEAD;
	rc = ipc__sysvset_fail("semctl");
	ipc__error_keep(&before);
	(void)sysv_give(id);
	ipc__error_restore(&before);
	return rc;
}

static int
sysv_unlock(struct ipc_mutex *m)
{
	return sysv_give(sysv_state(m)->id);
}

static void
sysv_close(struct ipc_mutex *m)
{
	(void)m;
}

static int
sysv_unlink(const struct ipc__address *a)
{
	return ipc__sysvset_unlink_as(PREFIX, a, SEMAPHORES);
}

const struct ipc__mutex_ops ipc__mutex_sysv = {
	.size = sizeof(struct sysv_mutex),
	.open = sysv_open,
	.lock = sysv_lock,
	.unlock = sysv_unlock,
	.close = sysv_close,
	.unlink = sysv_unlink
};
