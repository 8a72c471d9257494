/* SPDX-License-Identifier: ISC */
/*
 * Making System V semaphores.  semget(2) makes a set and only semctl(2) gives
 * it its value, and a process that is killed between the two leaves one that
 * looks as if it had a value.  What is half made is told from what is made:
 *
 *	a name	is noted in the runtime directory once the value is set, and
 *		whoever opens it goes by the note.  Its key is derived from the
 *		name, so that the next one who makes that name finds what a
 *		killed one has left, and removes it;
 *	0xKEY	gets its value by one semop(2), which also sets the time of the
 *		last operation.  That this is 0, and the value and its last user
 *		too, is what half made looks like, here as for programs that
 *		follow the textbooks.
 *
 * Either way the key is noted before there is a set, so that `ipc gc' finds
 * what nobody comes back to.
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
#include "sysname.h"
#include "sysvset.h"

#define TRIES	100

/* As semctl(2) wants it. */
union semun {
	int		 val;
	struct semid_ds	*buf;
};

int
ipc__sysvset_fail(const char *call)
{
	int error = errno;

	/* So the kernel says of an id that is nobody's any more. */
	if (error == EINVAL && strcmp(call, "semget") != 0)
		error = EIDRM;
	switch (error) {
	case ENOSPC:
		return ipc__fail(ENOSPC, "%s: no semaphore is left "
		    "(kernel.sem: SEMMNI, SEMMNS)", call);
	case ERANGE:
		return ipc__fail(EOVERFLOW, "%s: the value, or what undo=1 "
		    "has to give back, would exceed %d (SEMVMX, SEMAEM)", call,
		    IPC__SYSV_VALUE_MAX);
	case EIDRM:
		return ipc__fail(EIDRM, "%s: the semaphore was removed", call);
	default:
		return ipc__fail_sys(call);
	}
}

/*
 * Making
 */

/* FNV-1a of where and what; the i-th try, as others may have taken that. */
static key_t
derive_key(const char *dir, int kind, const char *name, unsigned i)
{
	const char *const parts[] = {
		dir, kind == IPC__SYSV_SEM ? "/sem-" : "/shm-", name
	};
	uint32_t h = UINT32_C(0x811c9dc5);

	for (size_t p = 0; p < 3; p++)
		for (const char *s = parts[p]; *s != '\0'; s++)
			h = (h ^ (unsigned char)*s) * UINT32_C(0x01000193);
	h = (h + i * UINT32_C(0x9e3779b9)) & 0x7fffffff;
	return h != 0 ? (key_t)h : 1;
}

/* The other one of that key may be another thread of ours. */
int
ipc__sysv_make(int kind, const char *name,
    int (*make)(key_t key, const void *arg), const void *arg)
{
	char dir[IPC__PATH_MAX];
	int rc;
	key_t key;

	rc = ipc__runtime_dir(dir, sizeof dir);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < TRIES; i++) {
		key = derive_key(dir, kind, name, i);
		rc = ipc__sysname_intend(kind, key);
		if (rc == -EEXIST)
			continue;
		if (rc == 0)
			rc = make(key, arg);
		ipc__sysname_intended(kind, key);
		if (rc != -EEXIST)
			return rc;
	}
	return ipc__fail(EBUSY, "all keys that were tried are taken");
}

static int
set_own(int id, const struct ipc__address *a)
{
	struct semid_ds ds = { .sem_nsems = 0 };
	union semun arg = { .buf = &ds };

	if (semctl(id, 0, IPC_STAT, arg) == -1)
		return ipc__sysvset_fail("semctl(IPC_STAT)");
	ds.sem_perm.mode = (unsigned short)a->opt.mode;
	if (a->opt.uid != (uid_t)-1)
		ds.sem_perm.uid = a->opt.uid;
	if (a->opt.gid != (gid_t)-1)
		ds.sem_perm.gid = a->opt.gid;
	if (semctl(id, 0, IPC_SET, arg) == -1)
		return ipc__sysvset_fail("semctl(IPC_SET)");
	return 0;
}

/* What was made under a derived key, and never used, and is claimed by nobody,
 * is of one who was killed before that. */
static void
set_remove_left(key_t key, int count)
{
	struct semid_ds ds = { .sem_nsems = 0 };
	union semun arg = { .buf = &ds };
	int id = semget(key, count, 0);

	if (id != -1 && semctl(id, 0, IPC_STAT, arg) == 0 &&
	    ds.sem_nsems == (unsigned)count && ds.sem_otime == 0 &&
	    ds.sem_perm.cuid == geteuid() &&
	    !ipc__sysname_claimed(IPC__SYSV_SEM, key, id))
		semctl(id, 0, IPC_RMID);
}

/* Under this key, which is noted; -EEXIST, without a text: it is taken. */
static int
set_make_keyed(key_t key, const void *arg)
{
	const struct ipc__sysvset *set = arg;
	union semun one = { .val = (int)set->value };
	int id, rc = 0;

	set_remove_left(key, set->count);
	id = semget(key, set->count, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		return errno == EEXIST ? -EEXIST : ipc__sysvset_fail("semget");
	if (semctl(id, 0, SETVAL, one) == -1)
		rc = ipc__sysvset_fail("semctl(SETVAL)");
	if (rc == 0)
		rc = set_own(id, set->address);
	if (rc == 0)
		rc = ipc__sysname_note(IPC__SYSV_SEM, set->name, id);
	if (rc < 0)
		semctl(id, 0, IPC_RMID);
	return rc < 0 ? rc : id;
}

/* From half made to made, in one step. */
static int
set_begin(int id, unsigned value)
{
	struct sembuf ops[2] = {
		{ .sem_op = value > 0 ? (short)value : 1 },
		{ .sem_op = -1 }
	};

	if (semop(id, ops, value > 0 ? 1 : 2) == -1)
		return ipc__sysvset_fail("semop");
	return 0;
}

static bool
set_half_made(int id)
{
	struct semid_ds ds = { .sem_nsems = 0 };
	union semun arg = { .buf = &ds };

	return semctl(id, 0, IPC_STAT, arg) == 0 && ds.sem_otime == 0 &&
	    semctl(id, 0, GETVAL) == 0 && semctl(id, 0, GETPID) == 0;
}

static int
set_make_key(const struct ipc__sysvset *set)
{
	int id, rc;

	rc = ipc__sysname_intend(IPC__SYSV_SEM, set->key);
	if (rc < 0 && rc != -EEXIST)
		return rc;
	id = semget(set->key, set->count, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		rc = errno == EEXIST ? -EEXIST : ipc__sysvset_fail("semget");
	else {
		rc = set_own(id, set->address);
		if (rc == 0)
			rc = set_begin(id, set->value);
		if (rc < 0)
			semctl(id, 0, IPC_RMID);
	}
	ipc__sysname_intended(IPC__SYSV_SEM, set->key);
	return rc < 0 ? rc : id;
}

/*
 * Finding
 */

static int
set_find_named(const struct ipc__sysvset *set)
{
	struct ipc__sysname found;
	struct semid_ds ds = { .sem_nsems = 0 };
	union semun arg = { .buf = &ds };
	int rc = ipc__sysname_find(IPC__SYSV_SEM, set->name, &found);

	if (rc < 0)
		return rc;
	if (semctl(found.id, 0, IPC_STAT, arg) == 0) {
		if (ds.sem_nsems == (unsigned)set->count)
			return found.id;
		return ipc__fail(EPROTOTYPE, "%s is another kind of thing",
		    set->name);
	}
	if (errno != EINVAL && errno != EIDRM)
		return ipc__sysvset_fail("semctl(IPC_STAT)");
	/* The number is gone. */
	(void)ipc__sysname_forget(IPC__SYSV_SEM, set->name, found.id);
	return -ENOENT;
}

static int
set_of_key(const struct ipc__sysvset *set)
{
	int id = semget(set->key, 0, 0);

	if (id == -1)
		return errno == ENOENT ? -ENOENT : ipc__sysvset_fail("semget");
	return id;
}

static int
set_find_key(const struct ipc__sysvset *set, int flags)
{
	int id = set_of_key(set), rc = 0;

	if (id < 0 || !set_half_made(id))
		return id;
	if (flags & IPC_CREATE) {
		rc = set_own(id, set->address);
		if (rc == 0)
			rc = set_begin(id, set->value);
		if (rc == 0 && flags & IPC_EXCLUSIVE)
			return -ESTALE;	/* ours now */
	} else if (ipc__sysname_begun(IPC__SYSV_SEM, set->key))
		return -ENOENT;		/* its maker was killed */
	return rc < 0 ? rc : id;
}

/* With the name's lock.  Returns the id. */
static int
set_get(const struct ipc__sysvset *set, int flags)
{
	int i, id = -EEXIST;

	for (i = 0; i < TRIES && id == -EEXIST; i++) {
		id = set->key != 0 ? set_find_key(set, flags) :
		    set_find_named(set);
		if (id == -ESTALE)
			return semget(set->key, 0, 0);
		if (id >= 0 && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (id == -ENOENT && !(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such semaphore");
		if (id == -ENOENT)
			id = set->key != 0 ? set_make_key(set) :
			    ipc__sysv_make(IPC__SYSV_SEM, set->name,
			    set_make_keyed, set);
	}
	if (id == -EEXIST)
		return ipc__fail(EBUSY, "it is made and removed all the time");
	return id;
}

/* The name that the lock is of. */
static const char *
set_name(const struct ipc__sysvset *set, char key[IPC__SYSNAME_KEY_MAX])
{
	if (set->key == 0)
		return set->name;
	ipc__sysname_of_key(set->key, key);
	return key;
}

int
ipc__sysvset_open(const struct ipc__sysvset *set, int flags)
{
	char key[IPC__SYSNAME_KEY_MAX];
	const char *name = set_name(set, key);
	int lock, id;

	lock = ipc__sysname_lock(IPC__SYSV_SEM, name);
	if (lock < 0)
		return lock;
	id = set_get(set, flags);
	ipc__sysname_unlock(lock, IPC__SYSV_SEM, name);
	return id;
}

int
ipc__sysvset_unlink(const struct ipc__sysvset *set)
{
	char key[IPC__SYSNAME_KEY_MAX];
	const char *name = set_name(set, key);
	int id, lock, rc;

	lock = ipc__sysname_lock(IPC__SYSV_SEM, name);
	if (lock < 0)
		return lock;
	rc = id = set->key != 0 ? set_of_key(set) : set_find_named(set);
	if (rc == -ENOENT)
		rc = ipc__fail(ENOENT, "there is no such semaphore");
	if (rc >= 0)
		rc = semctl(id, 0, IPC_RMID) == -1 ?
		    ipc__sysvset_fail("semctl(IPC_RMID)") : 0;
	if (rc == 0 && set->key == 0)
		(void)ipc__sysname_forget(IPC__SYSV_SEM, set->name, id);
	ipc__sysname_unlock(lock, IPC__SYSV_SEM, name);
	return rc;
}

/*
 * For others
 */

static int
set_as(struct ipc__sysvset *set, const char *prefix,
    const struct ipc__address *a, char *name, size_t size)
{
	if (snprintf(name, size, "%s%s", prefix, a->name) >= (int)size)
		return ipc__fail(ENAMETOOLONG, "the name exceeds %d bytes",
		    IPC__NAME_MAX);
	set->address = a;
	set->name = name;
	return 0;
}

int
ipc__sysvset_open_as(const char *prefix, const struct ipc__address *a,
    int count, unsigned value, int flags)
{
	struct ipc__sysvset set = { .count = count, .value = value };
	char name[IPC__NAME_MAX + 1];
	int rc = set_as(&set, prefix, a, name, sizeof name);

	return rc < 0 ? rc : ipc__sysvset_open(&set, flags);
}

int
ipc__sysvset_unlink_as(const char *prefix, const struct ipc__address *a,
    int count)
{
	struct ipc__sysvset set = { .count = count };
	char name[IPC__NAME_MAX + 1];
	int rc = set_as(&set, prefix, a, name, sizeof name);

	return rc < 0 ? rc : ipc__sysvset_unlink(&set);
}

int
ipc__sysvset_do(int id, struct sembuf *ops, unsigned count, int64_t deadline)
{
	struct timespec ts, *limit = NULL;
	int64_t left;
	int rc;

	for (unsigned i = 0; deadline == 0 && i < count; i++)
		ops[i].sem_flg |= IPC_NOWAIT;
	do {
		if (deadline > 0) {
			left = deadline - ipc__now();
			left = left > 0 ? left : 0;
			ts.tv_sec = (time_t)(left / 1000000000);
			ts.tv_nsec = (long)(left % 1000000000);
			limit = &ts;
		}
		rc = semtimedop(id, ops, count, limit);
	} while (rc == -1 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EAGAIN)
		return deadline == 0 ? -EAGAIN : -ETIMEDOUT;
	return ipc__sysvset_fail("semop");
}
