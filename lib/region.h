/* SPDX-License-Identifier: ISC */
/*
 * Regions inside of the library.
 */
#ifndef IPC_LIB_REGION_H
#define IPC_LIB_REGION_H

#include <stdbool.h>
#include <stddef.h>

#include <ipc/region.h>

#include "address.h"

struct ipc_region {
	void	*data;
	size_t	 size;		/* as asked, or all */
	size_t	 span;		/* that is mapped */
	int	 fd;		/* or -1: a System V segment */
	bool	 readonly;
	bool	 on_disk;	/* sync means something */
};

/* regionfile.c: files of all kinds, and memfd */
int ipc__region_file(struct ipc_region *, const struct ipc__address *,
    const char *path, int flags);
int ipc__region_memfd(struct ipc_region *, const struct ipc__address *,
    int flags);
/* Maps r->fd.  need: bytes that there must be; 0: all there are. */
int ipc__region_map(struct ipc_region *, size_t need, bool huge);

/* regionsysv.c */
int ipc__region_sysv(struct ipc_region *, const struct ipc__address *,
    int flags);
int ipc__region_sysv_unlink(const struct ipc__address *);

#endif
