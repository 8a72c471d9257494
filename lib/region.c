/* SPDX-License-Identifier: ISC */
/*
 * Regions: the public calls.
 */
#include <sys/mman.h>
#include <sys/shm.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "region.h"
#include "syncaddr.h"

#define DIRECTORY	"/dev/shm"

static int
shm_path(const struct ipc__address *a, char *path, size_t size)
{
	const char *name;
	int rc = ipc__sync_posix_name(a, &name);

	if (rc == 0)
		snprintf(path, size, DIRECTORY "/%s", name);
	return rc;
}

static int
open_posix(struct ipc_region *r, const struct ipc__address *a, int flags)
{
	char path[sizeof DIRECTORY + IPC__NAME_MAX];
	int rc = shm_path(a, path, sizeof path);

	return rc < 0 ? rc : ipc__region_file(r, a, path, flags);
}

/* Where POSIX shared memory is missing or not for us, it is System V's. */
static bool
has_posix(void)
{
	return eaccess(DIRECTORY, W_OK | X_OK) == 0;
}

static int
open_by_scheme(struct ipc_region *r, const struct ipc__address *a, int flags)
{
	enum ipc__sync_scheme scheme = ipc__sync_scheme(a);

	if (scheme == IPC__SCHEME_SHM)
		scheme = a->name[0] == '\0' ? IPC__SCHEME_MEMFD :
		    has_posix() ? IPC__SCHEME_POSIXSHM : IPC__SCHEME_SYSVSHM;
	if (scheme == IPC__SCHEME_MEMFD)
		return ipc__region_memfd(r, a, flags);
	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a name is missing");
	switch (scheme) {
	case IPC__SCHEME_POSIXSHM:
		return open_posix(r, a, flags);
	case IPC__SCHEME_SYSVSHM:
		return ipc__region_sysv(r, a, flags);
	default:
		r->on_disk = true;
		return ipc__region_file(r, a, a->name, flags);
	}
}

static int
check_flags(int flags)
{
	if ((flags & (IPC_RECV | IPC_SEND)) == IPC_SEND)
		return ipc__fail(EINVAL, "a region can not be for writing "
		    "only");
	if ((flags & (IPC_RECV | IPC_SEND)) == IPC_RECV && flags & IPC_CREATE)
		return ipc__fail(EINVAL, "IPC_RECV, for reading only, and "
		    "IPC_CREATE exclude each other");
	return ipc__sync_flags(flags, IPC_RECV | IPC_SEND);
}

static int
region_new(struct ipc_region **out, int flags)
{
	struct ipc_region *r;

	r = calloc(1, sizeof *r);
	if (r == NULL)
		return ipc__fail_sys("calloc");
	r->fd = -1;
	r->readonly = (flags & (IPC_RECV | IPC_SEND)) == IPC_RECV;
	*out = r;
	return 0;
}

int
ipc_region_open(struct ipc_region **out, const char *address, int flags)
{
	struct ipc_region *r = NULL;
	struct ipc__address a;
	int rc;

	if (out == NULL || address == NULL)
		return ipc__fail(EINVAL, "ipc_region_open: an argument is "
		    "NULL");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_REGION);
	if (rc < 0)
		return rc;
	rc = check_flags(flags);
	if (rc == 0)
		rc = region_new(&r, flags);
	if (rc == 0)
		rc = open_by_scheme(r, &a, flags);
	ipc__address_free(&a);
	if (rc < 0) {
		free(r);
		return ipc__fail_at(address, rc);
	}
	*out = r;
	return 0;
}

int
ipc_region_adopt(struct ipc_region **out, int fd, size_t size, int flags)
{
	struct ipc_region *r = NULL;
	int rc;

	if (out == NULL || flags & ~(IPC_RECV | IPC_SEND))
		return ipc__fail(EINVAL, "ipc_region_adopt: a descriptor, and "
		    "IPC_RECV at most");
	rc = region_new(&r, flags);
	if (rc < 0)
		return rc;
	r->fd = fd;
	rc = ipc__region_map(r, size, false);
	if (rc < 0) {
		free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void *
ipc_region_data(const struct ipc_region *r)
{
	return r != NULL ? r->data : NULL;
}

size_t
ipc_region_size(const struct ipc_region *r)
{
	return r != NULL ? r->size : 0;
}

int
ipc_region_fd(const struct ipc_region *r)
{
	if (r == NULL)
		return ipc__fail(EINVAL, "ipc_region_fd: no region");
	if (r->fd == -1)
		return ipc__fail(EOPNOTSUPP, "a System V segment has no "
		    "descriptor; its name or key can be told instead");
	return r->fd;
}

int
ipc_region_sync(struct ipc_region *r)
{
	if (r == NULL)
		return ipc__fail(EINVAL, "ipc_region_sync: no region");
	if (r->on_disk && !r->readonly &&
	    msync(r->data, r->span, MS_SYNC) == -1)
		return ipc__fail_sys("msync");
	return 0;
}

int
ipc_region_close(struct ipc_region *r)
{
	if (r == NULL)
		return 0;
	if (r->fd == -1)
		shmdt(r->data);
	else {
		munmap(r->data, r->span);
		close(r->fd);
	}
	free(r);
	return 0;
}

static int
unlink_file(const char *path)
{
	return unlink(path) == 0 ? 0 : ipc__fail_path("unlink", path);
}

static int
unlink_by_scheme(const struct ipc__address *a)
{
	char path[sizeof DIRECTORY + IPC__NAME_MAX];
	enum ipc__sync_scheme scheme = ipc__sync_scheme(a);
	int rc;

	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "there is no name to be removed");
	if (scheme == IPC__SCHEME_MMAP)
		return unlink_file(a->name);
	if (scheme == IPC__SCHEME_SYSVSHM ||
	    (scheme == IPC__SCHEME_SHM && !has_posix()))
		return ipc__region_sysv_unlink(a);
	if (scheme == IPC__SCHEME_MEMFD)
		return ipc__fail(EINVAL, "memfd: has no name");
	rc = shm_path(a, path, sizeof path);
	return rc < 0 ? rc : unlink_file(path);
}

int
ipc_region_unlink(const char *address)
{
	struct ipc__address a;
	int rc;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_region_unlink: no address");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_REGION);
	if (rc < 0)
		return rc;
	rc = unlink_by_scheme(&a);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}
