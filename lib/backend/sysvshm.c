/* SPDX-License-Identifier: ISC */
/*
 * sysvshm: a ring in a System V segment.  A segment can not be cut short by
 * anybody and has its memory from the start, so it holds against a hostile
 * other side.  Its number is all that another process needs.
 *
 * Here are those that have a name or a key: a named one is noted in the
 * runtime directory, where its bells lie too.  What is private to a pair or a
 * session is in sysvshm_pair.c.
 */

#include <sys/ipc.h>
#include <sys/shm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "shmopen.h"
#include "sysname.h"
#include "sysvshm.h"

#define TRIES	100

/*
 * Named ones
 */

/* 0xKEY; 0: a name. */
static int
sysvshm_key(const struct ipc__address *a, key_t *key)
{
	unsigned long n;
	char *end;

	*key = 0;
	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a segment to open needs a name or a "
		    "0xKEY");
	if (strncmp(a->name, "0x", 2) != 0)
		return 0;
	errno = 0;
	n = strtoul(a->name + 2, &end, 16);
	if (errno != 0 || *end != '\0' || end == a->name + 2 || n == 0 ||
	    n > UINT32_MAX)
		return ipc__fail(EINVAL, "a key is 0x1 to 0xffffffff");
	*key = (key_t)(uint32_t)n;
	return 0;
}

/* Where bells and locks of this name are. */
static int
sysvshm_base(const struct ipc__address *a, char *base, size_t size)
{
	char dir[IPC__PATH_MAX], name[IPC__NAME_MAX - 16];
	int rc;

	rc = ipc__name_encode(a->name, "-_.", name, sizeof name);
	if (rc == 0)
		rc = ipc__runtime_dir(dir, sizeof dir);
	if (rc < 0)
		return rc;
	if (snprintf(base, size, "%s/sysvshm-%s", dir, name) >= (int)size)
		return ipc__fail(ENAMETOOLONG, "%s: the name is too long",
		    a->name);
	return 0;
}

/* Bells of somebody else's segment lie where that user's things lie.  There we
 * find those of root; nobody trusts the directories of others. */
static int
sysvshm_foreign_base(const struct ipc__address *a, uid_t owner, char *base,
    size_t size)
{
	char name[IPC__NAME_MAX - 16], file[IPC__NAME_MAX];
	int rc;

	rc = ipc__name_encode(a->name, "-_.", name, sizeof name);
	if (rc < 0)
		return rc;
	snprintf(file, sizeof file, "sysvshm-%s.ipcr", name);
	rc = owner == 0 ? ipc__runtime_find(NULL, file, base, size) : -ENOENT;
	if (rc == -ENOENT)
		return ipc__fail(EPERM, "the segment is of user %lu, and what "
		    "wakes its users lies in a directory of that user alone: "
		    "two users share a ring of posixshm: or mmap:, or one "
		    "that root made", (unsigned long)owner);
	if (rc == 0)
		base[strlen(base) - strlen(".ipcr")] = '\0';
	return rc;
}

/* The segment of a key or of a note; -ENOENT. */
static int
sysvshm_find(const struct ipc__address *a, key_t key)
{
	struct ipc__sysname found;
	struct shmid_ds ds;
	int id, rc;

	if (key != 0) {
		id = shmget(key, 0, 0);
		if (id >= 0)
			return id;
		return errno == ENOENT ? -ENOENT : ipc__fail_sys("shmget");
	}
	rc = ipc__sysname_find(IPC__SYSV_SHM, a->name, &found);
	if (rc < 0)
		return rc;
	/* The number may be gone, or another's by now. */
	if (shmctl(found.id, IPC_STAT, &ds) < 0 &&
	    (errno == EINVAL || errno == EIDRM)) {
		ipc__sysname_forget(IPC__SYSV_SHM, a->name, found.id);
		return -ENOENT;
	}
	return found.id;
}

static bool
sysvshm_exists(const struct ipc__address *a)
{
	key_t key;
	int rc = sysvshm_key(a, &key);

	if (rc == 0)
		rc = sysvshm_find(a, key);
	return rc >= 0 || rc == -EACCES;
}

/* Noted before it is used; removed if it can not be noted. */
static int
sysvshm_create(struct ipc__shm_map *map, const struct ipc__address *a,
    key_t key)
{
	struct shmid_ds ds;
	bool named = key == 0;
	int rc;

	rc = named ? ipc__sysvshm_make_noted(map, &key, a) :
	    ipc__sysvshm_make(map, key, a);
	if (rc == 0 && named)
		rc = ipc__sysname_note(IPC__SYSV_SHM, a->name, map->id);
	if (rc == 0 && (a->opt.uid != (uid_t)-1 || a->opt.gid != (gid_t)-1)) {
		if (shmctl(map->id, IPC_STAT, &ds) == 0) {
			if (a->opt.uid != (uid_t)-1)
				ds.shm_perm.uid = a->opt.uid;
			if (a->opt.gid != (gid_t)-1)
				ds.shm_perm.gid = a->opt.gid;
			if (shmctl(map->id, IPC_SET, &ds) < 0)
				rc = ipc__fail_sys("shmctl(IPC_SET)");
		}
	}
	if (rc < 0 && (named || rc != -EEXIST) && map->id >= 0)
		shmctl(map->id, IPC_RMID, NULL);
	if (named)
		ipc__sysname_intended(IPC__SYSV_SHM, key);
	return rc;
}

/* Maps what is there.  Its size is known only from itself, so it is attached
 * for a look at its header first. */
static int
sysvshm_map(struct ipc__shm_map *map)
{
	struct shmid_ds ds;
	void *p;
	int rc;

	if (shmctl(map->id, IPC_STAT, &ds) < 0)
		return ipc__fail_sys("shmctl");
	p = shmat(map->id, NULL, SHM_RDONLY);
	if (p == (void *)-1)
		return ipc__fail_sys("shmat");
	rc = ipc__shm_measure(map, p, ds.shm_segsz);
	shmdt(p);
	return rc < 0 ? rc : ipc__shm_map_segment(map);
}

static int
sysvshm_get(struct ipc__shm_map *map, const struct ipc__address *a, key_t key,
    int flags)
{
	int i, rc;

	for (i = 0; i < TRIES; i++) {
		rc = sysvshm_find(a, key);
		if (rc >= 0 && flags & IPC_CREATE && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (rc >= 0) {
			map->id = rc;
			return sysvshm_map(map);
		}
		if (rc == -ENOENT && !(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no segment of this "
			    "name");
		if (rc != -ENOENT)
			return rc;
		rc = sysvshm_create(map, a, key);
		if (rc != -EEXIST)
			return rc;
		map->id = -1;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

static int
sysvshm_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	struct ipc__shm_map *map;
	char base[IPC__PATH_MAX];
	struct shmid_ds ds;
	int lock, rc;
	key_t key;

	if (h->dir == IPC_DUPLEX)
		return ipc__fail(EINVAL, "a ring goes one way: IPC_RECV or "
		    "IPC_SEND");
	if ((rc = sysvshm_key(a, &key)) < 0 ||
	    (rc = sysvshm_base(a, base, sizeof base)) < 0)
		return rc;
	map = ipc__shm_map_new();
	if (!map)
		return -ENOMEM;
	rc = lock = ipc__sysname_lock(IPC__SYSV_SHM, a->name);
	if (rc < 0)
		goto fail;
	rc = sysvshm_get(map, a, key, flags);
	if (rc == 0 && shmctl(map->id, IPC_STAT, &ds) < 0)
		rc = ipc__fail_sys("shmctl");
	if (rc == 0 && ds.shm_perm.cuid != geteuid())
		rc = sysvshm_foreign_base(a, ds.shm_perm.cuid, base,
		    sizeof base);
	if (rc == 0) {
		rc = ipc__shm_attach(h, a, map, base, ds.shm_perm.mode & 0777,
		    ds.shm_perm.uid, ds.shm_perm.gid);
		map = NULL;
	}
	ipc__sysname_unlock(lock, IPC__SYSV_SHM, a->name);
fail:
	if (map)
		ipc__shm_unref(map);
	return rc;
}

static int
sysvshm_unlink(const struct ipc__address *a)
{
	char base[IPC__PATH_MAX];
	int id, lock, rc;
	key_t key;

	if ((rc = sysvshm_key(a, &key)) < 0 ||
	    (rc = sysvshm_base(a, base, sizeof base)) < 0)
		return rc;
	rc = lock = ipc__sysname_lock(IPC__SYSV_SHM, a->name);
	if (rc < 0)
		return rc;
	rc = id = sysvshm_find(a, key);
	if (rc == -ENOENT)
		rc = ipc__fail(ENOENT, "there is no segment of this name");
	if (rc >= 0)
		rc = shmctl(id, IPC_RMID, NULL) < 0 ?
		    ipc__fail_sys("shmctl(IPC_RMID)") : 0;
	if (rc == 0) {
		if (key == 0)
			ipc__sysname_forget(IPC__SYSV_SHM, a->name, id);
		ipc__shm_unlink_bells(base);
	}
	ipc__sysname_unlock(lock, IPC__SYSV_SHM, a->name);
	return rc;
}

const struct ipc_backend ipc__backend_sysvshm = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "sysvshm",
		.title = "ring in a System V segment",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN |
		    1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = IPC__SHM_CAPS | IPC_CAP_HOSTILE,
			[IPC_WAY_OPEN] = IPC__SHM_OPEN_CAPS | IPC_CAP_HOSTILE,
			[IPC_WAY_SESSION] = IPC__SHM_CAPS | IPC_CAP_HOSTILE
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__SHM_TRAITS | IPC__CONFIRM,
	.size = sizeof(struct ipc__shm),
	.keys = {
		[IPC_WAY_PAIR] = IPC__SHM_KEYS,
		[IPC_WAY_OPEN] = IPC__SHM_OPEN_KEYS,
		[IPC_WAY_SESSION] = IPC__SHM_SESSION_KEYS
	},
	.pair = ipc__sysvshm_pair,
	.open = sysvshm_open,
	.unlink = sysvshm_unlink,
	.exists = sysvshm_exists,
	.give = ipc__sysvshm_give,
	.take = ipc__sysvshm_take,
	.passed = ipc__sysvshm_passed,
	.given = ipc__sysvshm_given,
	.send = ipc__shm_send,
	.put = ipc__shm_put,
	.get = ipc__shm_get,
	.await = ipc__shm_await,
	.put_many = ipc__shm_put_many,
	.get_many = ipc__shm_get_many,
	.reserve = ipc__shm_reserve,
	.commit = ipc__shm_commit,
	.peek = ipc__shm_peek,
	.release = ipc__shm_release,
	.publish = ipc__shm_publish,
	.watch = ipc__shm_watch,
	.arm = ipc__sysvshm_arm,
	.armed = ipc__shm_armed,
	.over = ipc__shm_hung_up,
	.calm = ipc__shm_calm,
	.beside = ipc__shm_beside,
	.again = ipc__shm_again,
	.stretch = ipc__shm_stretch,
	.ends_with = ipc__shm_ends_with,
	.close = ipc__sysvshm_close
};
