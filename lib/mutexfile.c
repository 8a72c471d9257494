/* SPDX-License-Identifier: ISC */
/*
 * filelock: a lock on a whole file, as lockfile.c has it.
 */
#include <errno.h>
#include <fcntl.h>

#include "lockfile.h"
#include "mutex.h"

static const struct ipc__lockrange whole = { 0, 0 };

struct file_mutex {
	struct ipc_mutex m;
	struct ipc__lockfile file;
};

static struct ipc__lockfile *
file_of(struct ipc_mutex *m)
{
	return &((struct file_mutex *)(void *)m)->file;
}

static int
file_open(struct ipc_mutex *m, const struct ipc__address *a, int flags)
{
	return ipc__lockfile_open(file_of(m), a, flags);
}

static int
file_lock(struct ipc_mutex *m, int64_t deadline)
{
	struct ipc__lockfile *f = file_of(m);
	int rc = ipc__lockfile_take(f, whole, F_WRLCK, deadline);

	if (rc < 0)
		return rc;
	rc = ipc__lockfile_enter(f);
	if (rc < 0)
		(void)ipc__lockfile_release(f, whole);
	return rc == 1 ? -EOWNERDEAD : rc;
}

static int
file_unlock(struct ipc_mutex *m)
{
	struct ipc__lockfile *f = file_of(m);
	int rc = ipc__lockfile_leave(f);

	return rc < 0 ? rc : ipc__lockfile_release(f, whole);
}

static void
file_close(struct ipc_mutex *m)
{
	ipc__lockfile_close(file_of(m));
}

static void
file_forked(struct ipc_mutex *m)
{
	ipc__lockfile_forked(file_of(m));
}

const struct ipc__mutex_ops ipc__mutex_file = {
	.size = sizeof(struct file_mutex),
	.open = file_open,
	.lock = file_lock,
	.unlock = file_unlock,
	.close = file_close,
	.forked = file_forked,
	.unlink = ipc__lockfile_unlink
};
