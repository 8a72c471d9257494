/* SPDX-License-Identifier: ISC */
/*
 * Regions that are System V segments.  A segment comes with its size and full
 * of zeros, so nobody sees one half made; the name is noted afterwards, and a
 * key derived from it, which is noted before, lets the next one and `ipc gc'
 * find what a killed one has left.
 */
#include <sys/shm.h>
#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "region.h"
#include "syncaddr.h"
#include "sysname.h"
#include "sysvset.h"

#define TRIES	100

static int
get_segment(key_t key, const struct ipc__address *a)
{
	int id = -1, flags = IPC_CREAT | IPC_EXCL | (int)(a->opt.mode & 0777);

	if (a->opt.huge)
		id = shmget(key, (size_t)a->opt.size, flags | SHM_HUGETLB);
	if (id == -1 && !(a->opt.huge && errno == EEXIST))
		id = shmget(key, (size_t)a->opt.size, flags);
	return id;
}

static int
own(int id, const struct ipc__address *a)
{
	struct shmid_ds ds;

	if (a->opt.uid == (uid_t)-1 && a->opt.gid == (gid_t)-1)
		return 0;
	if (shmctl(id, IPC_STAT, &ds) == -1)
		return ipc__fail_sys("shmctl(IPC_STAT)");
	if (a->opt.uid != (uid_t)-1)
		ds.shm_perm.uid = a->opt.uid;
	if (a->opt.gid != (gid_t)-1)
		ds.shm_perm.gid = a->opt.gid;
	return shmctl(id, IPC_SET, &ds) == -1 ?
	    ipc__fail_sys("shmctl(IPC_SET)") : 0;
}

/* Ours, claimed by nobody and never attached: of one who was killed. */
static void
remove_left(key_t key)
{
	int id = shmget(key, 0, 0);
	struct shmid_ds ds;

	if (id != -1 && shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 0 &&
	    ds.shm_atime == 0 && ds.shm_perm.cuid == geteuid() &&
	    !ipc__sysname_claimed(IPC__SYSV_SHM, key, id))
		shmctl(id, IPC_RMID, NULL);
}

/* Under this key, which is noted; -EEXIST, without a text: it is taken. */
static int
make_keyed(key_t key, const void *arg)
{
	const struct ipc__address *a = arg;
	int id, rc;

	remove_left(key);
	id = get_segment(key, a);
	if (id == -1)
		return errno == EEXIST ? -EEXIST :
		    ipc__segment_failed(a->opt.size);
	rc = own(id, a);
	if (rc == 0)
		rc = ipc__sysname_note(IPC__SYSV_SHM, a->name, id);
	if (rc < 0)
		shmctl(id, IPC_RMID, NULL);
	return rc < 0 ? rc : id;
}

static int
make_key(const struct ipc__address *a, key_t key)
{
	int id = get_segment(key, a), rc;

	if (id == -1)
		return errno == EEXIST ? -EEXIST :
		    ipc__segment_failed(a->opt.size);
	rc = own(id, a);
	if (rc < 0)
		shmctl(id, IPC_RMID, NULL);
	return rc < 0 ? rc : id;
}

static int
find(const struct ipc__address *a, key_t key)
{
	struct ipc__sysname found;
	struct shmid_ds ds;
	int id, rc;

	if (key != 0) {
		id = shmget(key, 0, 0);
		if (id != -1)
			return id;
		return errno == ENOENT ? -ENOENT : ipc__fail_sys("shmget");
	}
	rc = ipc__sysname_find(IPC__SYSV_SHM, a->name, &found);
	if (rc < 0)
		return rc;
	if (shmctl(found.id, IPC_STAT, &ds) == 0 || errno == EACCES)
		return found.id;
	(void)ipc__sysname_forget(IPC__SYSV_SHM, a->name, found.id);
	return -ENOENT;
}

/* With the name's lock. */
static int
get(const struct ipc__address *a, key_t key, int flags)
{
	int id = -EEXIST;

	for (int i = 0; i < TRIES && id == -EEXIST; i++) {
		id = find(a, key);
		if (id >= 0 && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (id != -ENOENT)
			return id;
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such region");
		if (a->opt.size == 0)
			return ipc__fail(EINVAL, "to make a region wants "
			    "size=");
		id = key != 0 ? make_key(a, key) :
		    ipc__sysv_make(IPC__SYSV_SHM, a->name, make_keyed, a);
	}
	if (id == -EEXIST)
		return ipc__fail(EBUSY, "it is made and removed all the time");
	return id;
}

static int
attach(struct ipc_region *r, const struct ipc__address *a, int id)
{
	struct shmid_ds ds;
	void *p;

	if (shmctl(id, IPC_STAT, &ds) == -1)
		return ipc__fail_sys("shmctl(IPC_STAT)");
	if (ds.shm_segsz < a->opt.size)
		return ipc__fail(ERANGE, "it has %zu bytes, and size= asks for "
		    "%ju; a System V segment can not grow", ds.shm_segsz,
		    (uintmax_t)a->opt.size);
	p = shmat(id, NULL, r->readonly ? SHM_RDONLY : 0);
	if (p == (void *)-1)
		return ipc__fail_sys("shmat");
	r->data = p;
	r->span = ds.shm_segsz;
	r->size = a->opt.size != 0 ? (size_t)a->opt.size : r->span;
	return 0;
}

int
ipc__region_sysv(struct ipc_region *r, const struct ipc__address *a,
    int flags)
{
	int lock, rc;
	key_t key;

	rc = ipc__sync_key(a, &key);
	if (rc < 0)
		return rc;
	lock = ipc__sysname_lock(IPC__SYSV_SHM, a->name);
	if (lock < 0)
		return lock;
	rc = get(a, key, flags);
	if (rc >= 0)
		rc = attach(r, a, rc);
	ipc__sysname_unlock(lock, IPC__SYSV_SHM, a->name);
	return rc;
}

int
ipc__region_sysv_unlink(const struct ipc__address *a)
{
	int id, lock, rc;
	key_t key;

	rc = ipc__sync_key(a, &key);
	if (rc < 0)
		return rc;
	lock = ipc__sysname_lock(IPC__SYSV_SHM, a->name);
	if (lock < 0)
		return lock;
	rc = id = find(a, key);
	if (rc == -ENOENT)
		rc = ipc__fail(ENOENT, "there is no such region");
	if (rc >= 0)
		rc = shmctl(id, IPC_RMID, NULL) == -1 ?
		    ipc__fail_sys("shmctl(IPC_RMID)") : 0;
	if (rc == 0 && key == 0)
		(void)ipc__sysname_forget(IPC__SYSV_SHM, a->name, id);
	ipc__sysname_unlock(lock, IPC__SYSV_SHM, a->name);
	return rc;
}
