/* SPDX-License-Identifier: ISC */
/*
 * sysvsem: System V semaphores, one to a set.  semget(2) makes one and only
 * semctl(2) gives it its value, and a process that is killed between the two
 * leaves one that looks as if it had a value.  What is half made is told from
 * what is made:
 *
 *	a name	is noted in the runtime directory once the value is set, and
 *		whoever opens it goes by the note.  Its key is derived from the
 *		name, so that the next one who makes that name finds what a
 *		killed one has left;
 *	0xKEY	gets its value by one semop(2), which also sets the time of the
 *		last operation.  That this is 0, and the value and its last user
 *		too, is what half made looks like, here as for programs that
 *		follow the textbooks.
 *
 * SEM_UNDO is for what this process has taken; what is given without having
 * been taken is a gift and stays.
 */
#include <sys/ipc.h>
#include <sys/sem.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "name.h"
#include "sem.h"
#include "sysname.h"

#define TRIES		100
#define VALUE_MAX	32767	/* SEMVMX, which no header tells */

struct sysv_sem {
	struct ipc_sem	 sem;
	int		 id;
	bool		 undo;
	/* Of undo: what we hold.  Only counted, so it pairs with nothing. */
	_Atomic unsigned held;
	_Atomic unsigned process;	/* that holds it: ipc__process */
};

/* As semctl(2) wants it. */
union semun {
	int		 val;
	struct semid_ds	*buf;
};

static struct sysv_sem *
sysv_state(struct ipc_sem *s)
{
	return (struct sysv_sem *)(void *)s;
}

static int
sysv_fail(const char *call)
{
	switch (errno) {
	case ENOSPC:
		return ipc__fail(ENOSPC, "%s: no semaphore is left "
		    "(kernel.sem: SEMMNI, SEMMNS)", call);
	case ERANGE:
		return ipc__fail(EOVERFLOW, "%s: the value would exceed %d "
		    "(SEMVMX)", call, VALUE_MAX);
	case EIDRM:
		return ipc__fail(EIDRM, "%s: the semaphore was removed", call);
	default:
		return ipc__fail_sys(call);
	}
}

/*
 * Making
 */

/* FNV-1a of where and what; the i-th try when others have taken that. */
static key_t
sysv_derive(const char *dir, const char *name, unsigned i)
{
	const char *const parts[] = { dir, "/sem-", name };
	uint32_t h = UINT32_C(0x811c9dc5);

	for (size_t p = 0; p < 3; p++)
		for (const char *s = parts[p]; *s != '\0'; s++)
			h = (h ^ (unsigned char)*s) * UINT32_C(0x01000193);
	h = (h + i * UINT32_C(0x9e3779b9)) & 0x7fffffff;
	return h != 0 ? (key_t)h : 1;
}

static int
sysv_own(int id, const struct ipc__address *a)
{
	struct semid_ds ds;
	union semun arg = { .buf = &ds };

	if (semctl(id, 0, IPC_STAT, arg) == -1)
		return sysv_fail("semctl(IPC_STAT)");
	ds.sem_perm.mode = (unsigned short)a->opt.mode;
	if (a->opt.uid != (uid_t)-1)
		ds.sem_perm.uid = a->opt.uid;
	if (a->opt.gid != (gid_t)-1)
		ds.sem_perm.gid = a->opt.gid;
	if (semctl(id, 0, IPC_SET, arg) == -1)
		return sysv_fail("semctl(IPC_SET)");
	return 0;
}

/* What was made under a derived key, and never used, and has no note, is of one
 * who was killed before that. */
static bool
sysv_left(int id)
{
	struct semid_ds ds;
	union semun arg = { .buf = &ds };

	return semctl(id, 0, IPC_STAT, arg) == 0 && ds.sem_nsems == 1 &&
	    ds.sem_otime == 0 && ds.sem_perm.cuid == geteuid();
}

static int
sysv_make_named(const struct ipc__address *a)
{
	union semun arg = { .val = (int)a->opt.value };
	char dir[IPC__PATH_MAX];
	int id = -1, rc;
	key_t key;

	rc = ipc__runtime_dir(dir, sizeof dir);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; id == -1 && i < TRIES; i++) {
		key = sysv_derive(dir, a->name, i);
		id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
		if (id == -1 && errno != EEXIST)
			return sysv_fail("semget");
		if (id == -1)
			id = semget(key, 1, 0);
		else
			break;
		if (id != -1 && !sysv_left(id))
			id = -1;
	}
	if (id == -1)
		return ipc__fail(EBUSY, "semget: all keys that were tried are "
		    "taken");
	if (semctl(id, 0, SETVAL, arg) == -1)
		rc = sysv_fail("semctl(SETVAL)");
	if (rc == 0)
		rc = sysv_own(id, a);
	if (rc == 0)
		rc = ipc__sysname_note(IPC__SYSV_SEM, a->name, id);
	if (rc < 0)
		semctl(id, 0, IPC_RMID);
	return rc < 0 ? rc : id;
}

/* From half made to made, in one step. */
static int
sysv_begin(int id, unsigned value)
{
	struct sembuf ops[2] = {
		{ .sem_op = value > 0 ? (short)value : 1 },
		{ .sem_op = -1 }
	};

	if (semop(id, ops, value > 0 ? 1 : 2) == -1)
		return sysv_fail("semop");
	return 0;
}

static bool
sysv_half_made(int id)
{
	struct semid_ds ds;
	union semun arg = { .buf = &ds };

	return semctl(id, 0, IPC_STAT, arg) == 0 && ds.sem_otime == 0 &&
	    semctl(id, 0, GETVAL) == 0 && semctl(id, 0, GETPID) == 0;
}

static int
sysv_make_key(const struct ipc__address *a, key_t key)
{
	int id, rc;

	id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		return errno == EEXIST ? -EEXIST : sysv_fail("semget");
	rc = sysv_own(id, a);
	if (rc == 0)
		rc = sysv_begin(id, a->opt.value);
	if (rc < 0)
		semctl(id, 0, IPC_RMID);
	return rc < 0 ? rc : id;
}

/*
 * Finding
 */

static int
sysv_find_named(const char *name)
{
	struct ipc__sysname found;
	struct semid_ds ds;
	union semun arg = { .buf = &ds };
	int rc = ipc__sysname_find(IPC__SYSV_SEM, name, &found);

	if (rc < 0)
		return rc;
	/* The number may be gone. */
	if (semctl(found.id, 0, IPC_STAT, arg) == -1 &&
	    (errno == EINVAL || errno == EIDRM)) {
		(void)ipc__sysname_forget(IPC__SYSV_SEM, name, found.id);
		return -ENOENT;
	}
	return found.id;
}

static int
sysv_find_key(const struct ipc__address *a, key_t key, int flags)
{
	int id = semget(key, 0, 0), rc = 0;

	if (id == -1)
		return errno == ENOENT ? -ENOENT : sysv_fail("semget");
	if (flags & IPC_CREATE && sysv_half_made(id)) {
		rc = sysv_own(id, a);
		if (rc == 0)
			rc = sysv_begin(id, a->opt.value);
		if (rc == 0 && flags & IPC_EXCLUSIVE)
			return -ESTALE;	/* ours now */
	}
	return rc < 0 ? rc : id;
}

/* With the name's lock.  Returns the id. */
static int
sysv_get(const struct ipc__address *a, key_t key, int flags)
{
	int i, id = -EEXIST;

	for (i = 0; i < TRIES && id == -EEXIST; i++) {
		id = key != 0 ? sysv_find_key(a, key, flags) :
		    sysv_find_named(a->name);
		if (id == -ESTALE)
			return semget(key, 0, 0);
		if (id >= 0 && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (id == -ENOENT && !(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such semaphore");
		if (id == -ENOENT)
			id = key != 0 ? sysv_make_key(a, key) :
			    sysv_make_named(a);
	}
	if (id == -EEXIST)
		return ipc__fail(EBUSY, "it is made and removed all the time");
	return id;
}

static int
sysv_open(struct ipc_sem *s, const struct ipc__address *a, int flags)
{
	struct sysv_sem *v = sysv_state(s);
	int lock, rc;
	key_t key;

	rc = ipc__sync_key(a, &key);
	if (rc < 0)
		return rc;
	if (a->opt.value > VALUE_MAX)
		return ipc__fail(EINVAL, "a value of %u exceeds %d (SEMVMX)",
		    a->opt.value, VALUE_MAX);
	lock = ipc__sysname_lock(IPC__SYSV_SEM, a->name);
	if (lock < 0)
		return lock;
	rc = v->id = sysv_get(a, key, flags);
	ipc__sysname_unlock(lock, IPC__SYSV_SEM, a->name);
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

/* semop(2) until a deadline; a timeout of 0 is IPC_NOWAIT. */
static int
sysv_do(int id, struct sembuf *op, int timeout)
{
	int64_t end = ipc__deadline(timeout), left;
	struct timespec ts, *limit = NULL;
	int rc;

	if (timeout == 0)
		op->sem_flg |= IPC_NOWAIT;
	do {
		if (timeout > 0) {
			left = end - ipc__now();
			left = left > 0 ? left : 0;
			ts.tv_sec = (time_t)(left / 1000000000);
			ts.tv_nsec = (long)(left % 1000000000);
			limit = &ts;
		}
		rc = semtimedop(id, op, 1, limit);
	} while (rc == -1 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EAGAIN)
		return timeout == 0 ? -EAGAIN : -ETIMEDOUT;
	return sysv_fail("semop");
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
	rc = sysv_do(v->id, &op, timeout);
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
	unsigned held = v->undo && count <= VALUE_MAX ?
	    sysv_unhold(v, count) : 0, n = 0;
	struct sembuf ops[2];

	if (count > VALUE_MAX)
		return ipc__fail(EOVERFLOW, "%u at once exceed %d (SEMVMX)",
		    count, VALUE_MAX);
	if (held > 0)
		ops[n++] = (struct sembuf){ .sem_op = (short)held,
		    .sem_flg = SEM_UNDO };
	if (count > held)
		ops[n++] = (struct sembuf){ .sem_op = (short)(count - held) };
	if (semop(v->id, ops, n) == 0)
		return 0;
	atomic_fetch_add_explicit(&v->held, held, memory_order_relaxed);
	return sysv_fail("semop");
}

static int
sysv_value(struct ipc_sem *s, unsigned *value)
{
	int n = semctl(sysv_state(s)->id, 0, GETVAL);

	if (n == -1)
		return sysv_fail("semctl(GETVAL)");
	*value = (unsigned)n;
	return 0;
}

/* What is still held would go back with the end of the process. */
static void
sysv_close(struct ipc_sem *s)
{
	struct sysv_sem *v = sysv_state(s);
	unsigned held = v->undo ? sysv_unhold(v, VALUE_MAX) : 0;
	struct sembuf op = { .sem_op = (short)held, .sem_flg = SEM_UNDO };

	if (held > 0)
		(void)semop(v->id, &op, 1);
}

static int
sysv_unlink(const struct ipc__address *a)
{
	int id, lock, rc;
	key_t key;

	rc = ipc__sync_key(a, &key);
	if (rc < 0)
		return rc;
	rc = lock = ipc__sysname_lock(IPC__SYSV_SEM, a->name);
	if (rc < 0)
		return rc;
	rc = id = key != 0 ? sysv_find_key(a, key, 0) :
	    sysv_find_named(a->name);
	if (rc == -ENOENT)
		rc = ipc__fail(ENOENT, "there is no such semaphore");
	if (rc >= 0)
		rc = semctl(id, 0, IPC_RMID) == -1 ?
		    sysv_fail("semctl(IPC_RMID)") : 0;
	if (rc == 0 && key == 0)
		(void)ipc__sysname_forget(IPC__SYSV_SEM, a->name, id);
	ipc__sysname_unlock(lock, IPC__SYSV_SEM, a->name);
	return rc;
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
