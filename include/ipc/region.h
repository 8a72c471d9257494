/* SPDX-License-Identifier: ISC */
/*
 * Regions: memory that several processes use as variables.
 *
 *	struct ipc_region *r;
 *	long *counter;
 *
 *	if (ipc_region_open(&r, "shm:counter?size=4096", IPC_CREATE) < 0)
 *		errx(1, "%s", ipc_errmsg());
 *	counter = ipc_region_data(r);
 *
 * The address chooses: posixshm:/NAME, sysvshm:NAME, sysvshm:0xKEY, mmap:/PATH,
 * memfd: (without a name; its descriptor is sent to others) and shm: (with a
 * name the first of posixshm: and sysvshm: that works, without one memfd:).
 * A new region is filled with zeros.  Names go on until they are removed.
 *
 * Order between those who change it is for ipc/sync.h.
 */
#ifndef IPC_REGION_H
#define IPC_REGION_H

#include <stddef.h>

#include <ipc/channel.h>
#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_region;

/*
 * Opens a region.  flags: IPC_CREATE makes it with size= bytes if it is
 * missing, IPC_EXCLUSIVE with it is -EEXIST if it is there; IPC_RECV alone maps
 * it for reading only.  What is there must have size= bytes at least
 * (-ERANGE); with IPC_CREATE a file grows to that.
 */
IPC_API int ipc_region_open(struct ipc_region **r, const char *address,
    int flags);

/* The same of a descriptor that was received; size 0: all there is.  flags: 0
 * or IPC_RECV.  On success the region owns it. */
IPC_API int ipc_region_adopt(struct ipc_region **r, int fd, size_t size,
    int flags);

/* Where it is in this process, aligned to a page; NULL of NULL. */
IPC_API void *ipc_region_data(const struct ipc_region *r);

/* size=, or the whole size. */
IPC_API size_t ipc_region_size(const struct ipc_region *r);

/* Its descriptor, to be sent over a channel; it belongs to the region.
 * -EOPNOTSUPP: a System V segment has none. */
IPC_API int ipc_region_fd(const struct ipc_region *r);

/* mmap: what was changed is on disk when this returns.  Elsewhere there is
 * nothing to be done. */
IPC_API int ipc_region_sync(struct ipc_region *r);

/* Ends the mapping; NULL is allowed.  The name stays. */
IPC_API int ipc_region_close(struct ipc_region *r);

/* Removes the name; who has it open keeps it. */
IPC_API int ipc_region_unlink(const char *address);

#ifdef __cplusplus
}
#endif

#endif
