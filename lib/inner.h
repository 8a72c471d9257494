/* SPDX-License-Identifier: ISC */
/*
 * What has no name: semaphores, mutexes, reader-writer locks and condition
 * variables in a region.
 */
#ifndef IPC_LIB_INNER_H
#define IPC_LIB_INNER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdalign.h>
#include <stdint.h>

#include <ipc/sync.h>

#include "futexlock.h"

#define IPC__INNER_FUTEX	0x10000	/* what is in u.lock */

enum ipc__inner_kind {
	IPC__INNER_SEM = 1, IPC__INNER_MUTEX, IPC__INNER_COND,
	IPC__INNER_RWLOCK
};

/* IPC_SYNC_SPACE bytes at most; what a reader-writer lock is follows those. */
struct ipc__inner {
	_Atomic uint64_t state;		/* inner.c */
	uint32_t	 abi;
	uint32_t	 flags;		/* as it was made */
	alignas(16) union {
		sem_t		sem;
		union ipc__anylock lock;
		struct {
			_Atomic uint32_t turn;	/* the futex */
			_Atomic uint32_t waiters;
		} cond;
	} u;
};

/* Finds one at this place, or makes it: init() fills u in. */
int ipc__inner_open(struct ipc__inner **, struct ipc_region *, size_t offset,
    int flags, enum ipc__inner_kind, int (*init)(struct ipc__inner *,
    unsigned value), unsigned value);

#endif
