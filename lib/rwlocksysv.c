/* SPDX-License-Identifier: ISC */
/*
 * sysvrwlock: a set of three System V semaphores.  A reader takes one of the
 * TOKENS and a writer all of them, with undo, so what a killed process had is
 * there again.  A writer that waits is counted in WANTED, with undo too, and
 * readers begin only when nobody is.  INSIDE is raised and lowered with a
 * writer's tokens by the same call but has no undo: so if somebody who has a
 * token finds it raised, and did not do that, a writer has died.
 */
#include <sys/sem.h>
#include <errno.h>
#include <stdatomic.h>

#include "core.h"
#include "rwlock.h"
#include "sysvset.h"

#define PREFIX	"rwlock:"	/* keeps these names from those of sysvsem */
#define ALL	IPC__SYSV_VALUE_MAX

enum { TOKENS, WANTED, INSIDE, SEMAPHORES };

struct sysv_rwlock {
	struct ipc_rwlock l;
	int		 id;
	/* Between processes the kernel's calls order memory; the language, and
	 * checkers, know only this of threads: each unlock adds one (release),
	 * and each lock reads it (acquire). */
	_Atomic unsigned unlocks;
};

static struct sysv_rwlock *
sysv_state(struct ipc_rwlock *l)
{
	return (struct sysv_rwlock *)(void *)l;
}

static void
sysv_locked(struct sysv_rwlock *v)
{
	(void)atomic_load_explicit(&v->unlocks, memory_order_acquire);
}

static void
sysv_unlocking(struct sysv_rwlock *v)
{
	atomic_fetch_add_explicit(&v->unlocks, 1, memory_order_release);
}

static int
sysv_open(struct ipc_rwlock *l, const struct ipc__address *a, int flags)
{
	int rc = ipc__sysvset_open_as(PREFIX, a, SEMAPHORES, ALL, flags);

	sysv_state(l)->id = rc;
	return rc < 0 ? rc : 0;
}

/* With a token: how often a writer has come in and not gone. */
static int
sysv_inside(int id)
{
	int n = semctl(id, INSIDE, GETVAL);

	return n == -1 ? ipc__sysvset_fail("semctl(GETVAL)") : n;
}

static int
sysv_give_back(int id, int tokens, int rc)
{
	struct sembuf op = { .sem_num = TOKENS, .sem_op = (short)tokens,
	    .sem_flg = SEM_UNDO };

	(void)semop(id, &op, 1);
	return rc;
}

static int
sysv_read(int id, int timeout)
{
	struct sembuf ops[] = {
		{ .sem_num = WANTED, .sem_op = 0 },
		{ .sem_num = TOKENS, .sem_op = -1, .sem_flg = SEM_UNDO }
	};
	int rc = ipc__sysvset_do(id, ops, 2, timeout > 0 ?
	    ipc__deadline(timeout) : timeout);

	if (rc < 0)
		return rc;
	rc = sysv_inside(id);
	if (rc < 0)
		return sysv_give_back(id, 1, rc);
	return rc > 0 ? -EOWNERDEAD : 0;
}

static int
sysv_rdlock(struct ipc_rwlock *l, int timeout, unsigned *place)
{
	int claimed = ipc__rw_claim(l), rc;

	if (claimed < 0)
		return claimed;
	*place = (unsigned)claimed;
	rc = sysv_read(sysv_state(l)->id, timeout);
	sysv_locked(sysv_state(l));
	if (rc < 0 && rc != -EOWNERDEAD)
		ipc__rw_unclaim(l, *place);
	return rc;
}

/* At once, or else first in line.  The last operation is only of a failure,
 * which keeps its text. */
static int
sysv_take_all(int id, int64_t deadline)
{
	struct sembuf ops[] = {
		{ .sem_num = TOKENS, .sem_op = -ALL, .sem_flg = SEM_UNDO },
		{ .sem_num = INSIDE, .sem_op = 1 },
		{ .sem_num = WANTED, .sem_op = 1, .sem_flg = SEM_UNDO }
	}, take[] = { ops[0], ops[1] }, want = ops[2];
	int rc = ipc__sysvset_do(id, ops, 3, 0);

	if (rc != -EAGAIN || deadline == 0)
		return rc;
	rc = ipc__sysvset_do(id, &want, 1, -1);
	if (rc < 0)
		return rc;
	rc = ipc__sysvset_do(id, take, 2, deadline);
	if (rc < 0) {
		want.sem_op = -1;
		(void)semop(id, &want, 1);
	}
	return rc;
}

static int
sysv_give_all(int id)
{
	struct sembuf ops[] = {
		{ .sem_num = INSIDE, .sem_op = -1, .sem_flg = IPC_NOWAIT },
		{ .sem_num = TOKENS, .sem_op = ALL, .sem_flg = SEM_UNDO },
		{ .sem_num = WANTED, .sem_op = -1,
		    .sem_flg = SEM_UNDO | IPC_NOWAIT }
	};

	return semop(id, ops, SEMAPHORES) == 0 ? 0 :
	    ipc__sysvset_fail("semop");
}

/* Told of a death, it is this one who may die next. */
static int
sysv_wrlock(struct ipc_rwlock *l, int timeout)
{
	union { int val; } one = { .val = 1 };
	int id = sysv_state(l)->id, inside, rc;

	rc = sysv_take_all(id, timeout > 0 ? ipc__deadline(timeout) : timeout);
	if (rc < 0)
		return rc;
	sysv_locked(sysv_state(l));
	inside = sysv_inside(id);
	if (inside == 1)
		return 0;
	if (inside > 1 && semctl(id, INSIDE, SETVAL, one) == -1)
		inside = ipc__sysvset_fail("semctl(SETVAL)");
	if (inside > 1)
		return -EOWNERDEAD;
	(void)sysv_give_all(id);
	return inside;
}

static int
sysv_unlock(struct ipc_rwlock *l, unsigned place)
{
	struct sembuf one = { .sem_num = TOKENS, .sem_op = 1,
	    .sem_flg = SEM_UNDO };
	int id = sysv_state(l)->id, rc;

	sysv_unlocking(sysv_state(l));
	if (place == IPC__RW_WRITER)
		rc = sysv_give_all(id);
	else
		rc = semop(id, &one, 1) == 0 ? 0 : ipc__sysvset_fail("semop");
	if ((rc == 0 || rc == -EIDRM) && place != IPC__RW_WRITER)
		ipc__rw_unclaim(l, place);
	return rc;
}

static int
sysv_unlink(const struct ipc__address *a)
{
	return ipc__sysvset_unlink_as(PREFIX, a, SEMAPHORES);
}

const struct ipc__rwlock_ops ipc__rwlock_sysv = {
	.size = sizeof(struct sysv_rwlock),
	.open = sysv_open,
	.rdlock = sysv_rdlock,
	.wrlock = sysv_wrlock,
	.unlock = sysv_unlock,
	.unlink = sysv_unlink
};
