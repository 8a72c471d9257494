/* SPDX-License-Identifier: ISC */
/*
 * posixshm: a ring in a POSIX shared-memory object.  On Linux that is a file in
 * /dev/shm, and it is treated as one, because only a file can be made whole
 * before it has a name.  Whoever may write it can also cut it short, which
 * nobody who has it mapped survives: so it does not hold against a hostile
 * other side.
 */

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "name.h"
#include "shmopen.h"

#define DIRECTORY	"/dev/shm"

/* "/name" or "name", with no other slash in it, as in shm_open(3). */
static int
posixshm_path(const struct ipc__address *a, char *path, size_t size)
{
	const char *name = a->name + (a->name[0] == '/');

	if (name[0] == '\0' || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return ipc__fail(EINVAL, "\"%s\" is no name of a POSIX "
		    "shared-memory object: it takes /name", a->name);
	if (strlen(name) > IPC__NAME_MAX)
		return ipc__fail(ENAMETOOLONG, "%s: longer than %d bytes",
		    a->name, IPC__NAME_MAX);
	snprintf(path, size, DIRECTORY "/%s", name);
	return 0;
}

/* The object is gone as a name as soon as both ends hold it, so it never gets
 * one. */
static int
posixshm_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__half *h[2] = { a, b };

	return ipc__shm_pair_file(h, address, DIRECTORY, IPC__SHM_DIRECTORY);
}

static int
posixshm_pair_both(struct ipc__half *h[4], const struct ipc__address *address)
{
	return ipc__shm_pair_file(h, address, DIRECTORY, IPC__SHM_DIRECTORY |
	    IPC__SHM_BOTH);
}

static int
posixshm_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	char path[sizeof DIRECTORY + 1 + IPC__NAME_MAX];
	int rc = posixshm_path(a, path, sizeof path);

	return rc < 0 ? rc : ipc__shm_open_file(h, a, path, flags);
}

static int
posixshm_unlink(const struct ipc__address *a)
{
	char path[sizeof DIRECTORY + 1 + IPC__NAME_MAX];
	int rc = posixshm_path(a, path, sizeof path);

	return rc < 0 ? rc : ipc__shm_unlink_file(path);
}

static bool
posixshm_exists(const struct ipc__address *a)
{
	char path[sizeof DIRECTORY + 1 + IPC__NAME_MAX];
	struct stat st;

	return posixshm_path(a, path, sizeof path) == 0 &&
	    lstat(path, &st) == 0;
}

static int
posixshm_check(int fd)
{
	(void)fd;
	return 0;
}

static int
posixshm_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__shm_take(h, t, posixshm_check);
}

const struct ipc_backend ipc__backend_posixshm = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "posixshm",
		.title = "ring in a POSIX shared-memory object",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN |
		    1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = IPC__SHM_CAPS,
			[IPC_WAY_OPEN] = IPC__SHM_OPEN_CAPS,
			[IPC_WAY_SESSION] = IPC__SHM_CAPS
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__SHM_TRAITS,
	.size = sizeof(struct ipc__shm),
	.keys = {
		[IPC_WAY_PAIR] = IPC__SHM_KEYS,
		[IPC_WAY_OPEN] = IPC__SHM_OPEN_KEYS,
		[IPC_WAY_SESSION] = IPC__SHM_SESSION_KEYS
	},
	.pair = posixshm_pair,
	.pair_both = posixshm_pair_both,
	.open = posixshm_open,
	.unlink = posixshm_unlink,
	.exists = posixshm_exists,
	.give = ipc__shm_give,
	.take = posixshm_take,
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
	.arm = ipc__shm_arm,
	.armed = ipc__shm_armed,
	.over = ipc__shm_hung_up,
	.calm = ipc__shm_calm,
	.beside = ipc__shm_beside,
	.again = ipc__shm_again,
	.stretch = ipc__shm_stretch,
	.ends_with = ipc__shm_ends_with,
	.close = ipc__shm_close
};
