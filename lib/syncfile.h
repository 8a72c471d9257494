/* SPDX-License-Identifier: ISC */
/*
 * Small segments with names, for the library's own semaphores and mutexes:
 * files of the runtime directory, which appear whole or not at all.
 */
#ifndef IPC_LIB_SYNCFILE_H
#define IPC_LIB_SYNCFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "name.h"
#include "robust.h"

/* What each begins with. */
struct ipc__sync_head {
	uint32_t magic;
	uint32_t version;
	uint32_t kind;		/* enum ipc__sync_kind */
	uint32_t abi;		/* of the C library's mutexes */
	uint64_t boot;		/* what is of before is nobody's */
	uint64_t bell;		/* the FIFO's inode, or 0 */
};

enum ipc__sync_kind { IPC__SYNC_FILE_SEM = 1, IPC__SYNC_FILE_MUTEX,
    IPC__SYNC_FILE_RWLOCK };

struct ipc__sync_form {
	const char	*what;		/* "sem": the file is WHAT-NAME */
	enum ipc__sync_kind kind;
	size_t		 size;
	bool		 bell;		/* with a FIFO beside it */
	int		(*init)(void *data, const struct ipc__address *);
};

/* Opens or makes one.  *bell: its FIFO, if the form has one. */
int ipc__syncfile_open(const struct ipc__sync_form *,
    const struct ipc__address *, int flags, void **data, int *bell);
int ipc__syncfile_unlink(const struct ipc__sync_form *,
    const struct ipc__address *);

/* Removes from this runtime directory the FIFOs whose segment a killed process
 * did not come to make, or had removed already.  Returns how many. */
int ipc__syncfile_sweep(int dir, ipc__told *told, void *user);

#endif
