/* SPDX-License-Identifier: ISC */
/*
 * memfd: a ring in anonymous memory that is sealed against shrinking before
 * anybody else sees it, so that the other side can break the conversation but
 * not take the memory away.  It has no name: the descriptor is all there is,
 * and nothing can stay behind.
 */

#include <sys/mman.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>

#include <linux/magic.h>

#include "error.h"
#include "shm.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif

/* Its size is final: it grows by being used, not by getting longer. */
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int
memfd_make(void)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	fd = memfd_create("ipc-ring", flags | MFD_NOEXEC_SEAL);
	/* Before Linux 6.3 there is no such flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("ipc-ring", flags);
	return fd < 0 ? ipc__fail_sys("memfd_create") : fd;
}

/* With room for one ring, or for both. */
static int
memfd_map(struct ipc__shm_map **made, bool both,
    const struct ipc__address *address)
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	int rc;

	if (!map)
		return -ENOMEM;
	map->nowhere = true;
	map->both = both;
	rc = map->mem = memfd_make();
	if (rc < 0)
		goto fail;
	rc = ipc__shm_make_file(map, &address->opt);
	if (rc < 0)
		goto fail;
	if (fcntl(map->mem, F_ADD_SEALS, SEALS) < 0) {
		rc = ipc__fail_sys("fcntl(F_ADD_SEALS)");
		goto fail;
	}
	*made = map;
	return 0;
fail:
	ipc__shm_unref(map);
	return rc;
}

static int
memfd_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__shm_map *map;
	int rc = memfd_map(&map, false, address);

	return rc < 0 ? rc : ipc__shm_pair(a, b, map);
}

static int
memfd_pair_both(struct ipc__half *h[4], const struct ipc__address *address)
{
	struct ipc__shm_map *map;
	int rc = memfd_map(&map, true, address);

	return rc < 0 ? rc : ipc__shm_pair_both(h, map);
}

/* Memory from somebody else: sealed, and not of a kind whose pages may be
 * missing when they are touched. */
static int
memfd_check(int fd)
{
	struct statfs fs;
	int seals;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
		return ipc__fail(EPERM, "the memory of the ring is not sealed "
		    "against shrinking");
	if (fstatfs(fd, &fs) < 0)
		return ipc__fail_sys("fstatfs");
	if (fs.f_type != TMPFS_MAGIC)
		return ipc__fail(EPERM, "the memory of the ring is of another "
		    "file system (0x%lx)", (unsigned long)fs.f_type);
	return 0;
}

static int
memfd_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__shm_take(h, t, memfd_check);
}

#define CAPS	(IPC__SHM_CAPS | IPC_CAP_HOSTILE)

const struct ipc_backend ipc__backend_memfd = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "memfd",
		.title = "ring in sealed anonymous memory",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_SESSION] = CAPS
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__SHM_TRAITS | IPC__LOCAL_NAME,
	.size = sizeof(struct ipc__shm),
	.keys = {
		[IPC_WAY_PAIR] = IPC__SHM_KEYS,
		[IPC_WAY_SESSION] = IPC__SHM_SESSION_KEYS
	},
	.pair = memfd_pair,
	.pair_both = memfd_pair_both,
	.give = ipc__shm_give,
	.take = memfd_take,
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
	.calm = ipc__shm_calm,
	.beside = ipc__shm_beside,
	.stretch = ipc__shm_stretch,
	.close = ipc__shm_close
};
