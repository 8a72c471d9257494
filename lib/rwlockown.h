/* SPDX-License-Identifier: ISC */
/*
 * The library's own reader-writer lock without a name.
 */
#ifndef IPC_LIB_RWLOCKOWN_H
#define IPC_LIB_RWLOCKOWN_H

#include "inner.h"
#include "rwlock.h"

/* Opens a handle of ipc__rwlock_own in a region instead of by its name. */
int ipc__rwlock_inner(struct ipc_rwlock *, struct ipc_region *, size_t offset,
    int flags);

#endif
