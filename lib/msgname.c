/* SPDX-License-Identifier: ISC */
/*
 * System V queues that others can open: sysvmq:NAME by a note in the runtime
 * directory, sysvmq:0xKEY by the bare key that programs without this library
 * use.
 *
 * What gets a name is complete before: it is made under a key of its own, gets
 * its mode, owner and size, and is noted then, all under the lock of the name.
 * A note whose queue is gone is replaced by the next who makes one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>

#include "error.h"
#include "msgqueue.h"
#include "queue.h"
#include "sysname.h"

#define TRIES	16	/* somebody makes and removes it all the time */

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY	13
#endif

/* Who may only send may not ask by the id, but by the place in the kernel's
 * table, which is a part of the id. */
static int
stat_any(int id, struct msqid_ds *ds)
{
	if (msgctl(id & 0x7fff, MSG_STAT_ANY, ds) == id ||
	    msgctl(id & 0xffffff, MSG_STAT_ANY, ds) == id)
		return 0;
	return ipc__fail(EACCES, "msgctl: %s", ipc_strerror(-EACCES));
}

int
ipc__msg_stat(int id, struct msqid_ds *ds)
{
	if (msgctl(id, IPC_STAT, ds) == 0)
		return 0;
	if (errno == EACCES)
		return stat_any(id, ds);
	if (errno == EINVAL || errno == EIDRM)
		return ipc__fail(EIDRM, "the queue has been removed");
	return ipc__fail_sys("msgctl");
}

int
ipc__msg_shape(int id, const struct ipc__options *o, uint64_t capacity,
    unsigned mode)
{
	struct msqid_ds ds;
	int rc = ipc__msg_stat(id, &ds);

	if (rc < 0)
		return rc;
	if (o->uid != (uid_t)-1)
		ds.msg_perm.uid = o->uid;
	if (o->gid != (gid_t)-1)
		ds.msg_perm.gid = o->gid;
	ds.msg_perm.mode = (unsigned short)mode;
	if (capacity != 0 && capacity < ds.msg_qbytes)
		ds.msg_qbytes = (msglen_t)capacity;
	return msgctl(id, IPC_SET, &ds) == -1 ? ipc__fail_sys("msgctl") : 0;
}

/* 0xKEY; 0: it is a name.  -EINVAL: it looks like a key and is none. */
static int
get_key(const char *name, key_t *key)
{
	unsigned long long n;
	char *end;

	if (strncmp(name, "0x", 2) != 0)
		return 0;
	n = strtoull(name + 2, &end, 16);
	if (name[2] == '-' || name[2] == '+' || end == name + 2 ||
	    *end != '\0' || n == 0 || n > UINT32_MAX)
		return ipc__fail(EINVAL, "%s: a key is 0x and up to 8 "
		    "hexadecimal digits, and not 0", name);
	*key = (key_t)(uint32_t)n;
	return 1;
}

static int
fail_get(void)
{
	if (errno == ENOENT)
		return -ENOENT;
	if (errno == ENOSPC)
		return ipc__msg_fail_count();
	if (errno == EEXIST)
		return ipc__fail(EEXIST, "there is a queue of this key");
	return ipc__fail_sys("msgget");
}

/*
 * By key
 */

/* msgget asks for what we are going to do. */
static int
permissions(int dir)
{
	return (dir & IPC_RECV ? 0444 : 0) | (dir & IPC_SEND ? 0222 : 0);
}

static int
make_key(const struct ipc__address *a, key_t key)
{
	int id, rc;

	id = msgget(key, IPC_CREAT | IPC_EXCL | (int)a->opt.mode);
	if (id == -1)
		return fail_get();
	rc = ipc__msg_shape(id, &a->opt, a->opt.capacity, a->opt.mode);
	if (rc == 0)
		return id;
	msgctl(id, IPC_RMID, NULL);
	return rc;
}

static int
open_key(key_t key, int dir)
{
	int id = msgget(key, permissions(dir));

	return id == -1 ? fail_get() : id;
}

static int
find_key(const struct ipc__address *a, key_t key, int flags, int dir,
    bool *made)
{
	int i, rc = -ENOENT;

	if (!(flags & IPC_CREATE))
		return open_key(key, dir);
	for (i = 0; i < TRIES; i++) {
		if (!(flags & IPC_EXCLUSIVE) &&
		    (rc = open_key(key, dir)) != -ENOENT)
			return rc;
		rc = make_key(a, key);
		*made = rc >= 0;
		if (rc != -EEXIST || flags & IPC_EXCLUSIVE)
			return rc;
	}
	return rc;
}

/*
 * By name
 */

/* A queue of ours has a key, too, by which the kernel checks what we may. */
static int
check_access(int id, int dir)
{
	struct msqid_ds ds;
	int rc = ipc__msg_stat(id, &ds);

	if (rc < 0)
		return rc == -EIDRM ? -ENOENT : rc;
	if (ds.msg_perm.__key == IPC_PRIVATE)
		return id;
	return open_key(ds.msg_perm.__key, dir);
}

static int
open_name(const char *name, int dir)
{
	struct ipc__sysname found;
	int rc = ipc__sysname_find(IPC__SYSV_MSG, name, &found);

	return rc < 0 ? rc : check_access(found.id, dir);
}

/* With the lock. */
static int
make_name(const struct ipc__address *a, const char *name)
{
	struct ipc__sysname found;
	struct ipc__msg_made m;
	int rc;

	if (ipc__sysname_find(IPC__SYSV_MSG, name, &found) == 0)
		ipc__sysname_forget(IPC__SYSV_MSG, name, found.id);
	rc = ipc__msg_make(&m, 1, name);
	if (rc < 0)
		return rc;
	rc = ipc__msg_shape(m.id, &a->opt, a->opt.capacity, a->opt.mode);
	if (rc == 0)
		rc = ipc__sysname_note(IPC__SYSV_MSG, name, m.id);
	if (rc < 0)
		msgctl(m.id, IPC_RMID, NULL);
	ipc__msg_keep(&m);
	return rc < 0 ? rc : m.id;
}

static int
find_name(const struct ipc__address *a, const char *name, int flags, int dir,
    bool *made)
{
	int lock, rc;

	if (!(flags & IPC_CREATE))
		return open_name(name, dir);
	lock = ipc__sysname_lock(IPC__SYSV_MSG, name);
	if (lock < 0)
		return lock;
	rc = open_name(name, dir);
	if (rc == -ENOENT) {
		rc = make_name(a, name);
		*made = rc >= 0;
	} else if (flags & IPC_EXCLUSIVE && (rc >= 0 || rc == -EACCES)) {
		rc = ipc__fail(EEXIST, "there is a queue of this name");
	}
	ipc__sysname_unlock(lock, IPC__SYSV_MSG, name);
	return rc;
}

int
ipc__msg_find(const struct ipc__address *a, int flags, int dir, int *id,
    bool *made)
{
	const char *name = ipc__queue_name(a);
	key_t key = IPC_PRIVATE;
	int rc;

	*made = false;
	if (name[0] == '\0')
		return ipc__fail(EINVAL, "a queue to open needs a name, or a "
		    "key such as 0x1234");
	rc = get_key(name, &key);
	if (rc < 0)
		return rc;
	rc = rc == 1 ? find_key(a, key, flags, dir, made) :
	    find_name(a, name, flags, dir, made);
	if (rc < 0)
		return rc;
	*id = rc;
	return 0;
}

bool
ipc__msg_exists(const struct ipc__address *a)
{
	bool made;
	int id, rc;

	rc = ipc__msg_find(a, 0, IPC_RECV, &id, &made);
	return rc == 0 || rc == -EACCES;
}

/*
 * Removing
 */

static int
remove_id(int id)
{
	if (msgctl(id, IPC_RMID, NULL) == 0)
		return 0;
	return errno == EINVAL || errno == EIDRM ? -ENOENT :
	    ipc__fail_sys("msgctl");
}

static int
unlink_name(const char *name)
{
	struct ipc__sysname found;
	int lock, rc;

	lock = ipc__sysname_lock(IPC__SYSV_MSG, name);
	if (lock < 0)
		return lock;
	rc = ipc__sysname_find(IPC__SYSV_MSG, name, &found);
	if (rc == 0) {
		rc = remove_id(found.id);
		/* A note in root's directory stays, about nothing. */
		if (rc == 0 || rc == -ENOENT)
			ipc__sysname_forget(IPC__SYSV_MSG, name, found.id);
	}
	ipc__sysname_unlock(lock, IPC__SYSV_MSG, name);
	return rc;
}

int
ipc__msg_unlink(const struct ipc__address *a)
{
	const char *name = ipc__queue_name(a);
	key_t key = IPC_PRIVATE;
	int rc, id;

	rc = get_key(name, &key);
	if (rc == 0)
		rc = unlink_name(name);
	else if (rc == 1)
		rc = (id = msgget(key, 0)) == -1 ? fail_get() : remove_id(id);
	return rc == -ENOENT ? ipc__queue_missing(a) : rc;
}

void
ipc__msg_discard(const struct ipc__address *a, int id)
{
	const char *name = ipc__queue_name(a);
	struct ipc__error before;
	int lock;

	ipc__error_keep(&before);
	msgctl(id, IPC_RMID, NULL);
	lock = ipc__sysname_lock(IPC__SYSV_MSG, name);
	if (lock >= 0) {
		ipc__sysname_forget(IPC__SYSV_MSG, name, id);
		ipc__sysname_unlock(lock, IPC__SYSV_MSG, name);
	}
	ipc__error_restore(&before);
}
