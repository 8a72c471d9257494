/* SPDX-License-Identifier: ISC */
/*
 * mmap: a ring in a mapped file.  What is in it and was not received yet
 * outlives both processes; with sync=1 it is on disk before a send returns, and
 * outlives the machine's as well.
 */

#include <sys/vfs.h>

#include <errno.h>

#include <linux/magic.h>

#include "error.h"
#include "name.h"
#include "shmopen.h"

#define MEMORY	"/dev/shm"

static bool
in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* A file without a name ends with its users, so it gains nothing from a disk,
 * where making it takes a hundred times as long; unless what is sent is to be
 * written there. */
static int
mmap_pair_nameless(struct ipc__half *h[], const struct ipc__address *address,
    int both)
{
	struct ipc__error before;
	char dir[IPC__PATH_MAX];
	int rc = ipc__runtime_dir(dir, sizeof dir);

	if (rc < 0)
		return rc;
	if (!address->opt.sync && !in_memory(dir) && in_memory(MEMORY)) {
		ipc__error_keep(&before);
		if (ipc__shm_pair_file(h, address, MEMORY,
		    IPC__SHM_DIRECTORY | both) == 0)
			return 0;
		ipc__error_restore(&before);
	}
	return ipc__shm_pair_file(h, address, dir, IPC__SHM_DIRECTORY | both);
}

/* The name says where the file is made; it never gets that name. */
static int
mmap_links(struct ipc__half *h[], const struct ipc__address *address, int both)
{
	return address->name[0] == '\0' ?
	    mmap_pair_nameless(h, address, both) :
	    ipc__shm_pair_file(h, address, address->name, both);
}

static int
mmap_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__half *h[2] = { a, b };

	return mmap_links(h, address, 0);
}

static int
mmap_pair_both(struct ipc__half *h[4], const struct ipc__address *address)
{
	return mmap_links(h, address, IPC__SHM_BOTH);
}

static int
mmap_path(const struct ipc__address *a)
{
	return a->name[0] != '\0' ? 0 : ipc__fail(EINVAL, "a mapped file to "
	    "open needs a path");
}

static int
mmap_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	int rc = mmap_path(a);

	return rc < 0 ? rc : ipc__shm_open_file(h, a, a->name, flags);
}

static int
mmap_unlink(const struct ipc__address *a)
{
	int rc = mmap_path(a);

	return rc < 0 ? rc : ipc__shm_unlink_file(a->name);
}

static int
mmap_check(int fd)
{
	(void)fd;
	return 0;
}

static int
mmap_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__shm_take(h, t, mmap_check);
}

#define SYNC	(1u << IPC__KEY_SYNC)

const struct ipc_backend ipc__backend_mmap = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "mmap",
		.title = "ring in a mapped file",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN |
		    1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = IPC__SHM_CAPS | IPC_CAP_SYNC,
			[IPC_WAY_OPEN] = IPC__SHM_OPEN_CAPS | IPC_CAP_SYNC,
			[IPC_WAY_SESSION] = IPC__SHM_CAPS | IPC_CAP_SYNC
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__SHM_TRAITS | IPC__PATHS,
	.size = sizeof(struct ipc__shm),
	.keys = {
		[IPC_WAY_PAIR] = IPC__SHM_KEYS | SYNC,
		[IPC_WAY_OPEN] = IPC__SHM_OPEN_KEYS | SYNC,
		[IPC_WAY_SESSION] = IPC__SHM_SESSION_KEYS | SYNC
	},
	.pair = mmap_pair,
	.pair_both = mmap_pair_both,
	.open = mmap_open,
	.unlink = mmap_unlink,
	.give = ipc__shm_give,
	.take = mmap_take,
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
