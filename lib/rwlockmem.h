/* SPDX-License-Identifier: ISC */
/*
 * A reader-writer lock in shared memory: rwlockmem.c says how it works.
 */
#ifndef IPC_LIB_RWLOCKMEM_H
#define IPC_LIB_RWLOCKMEM_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "rwlock.h"

/* What the gate protects: nothing, or some of these.  Only who has the gate
 * changes it. */
#define IPC__RW_WANTED	1u	/* a writer waits, or is inside */
#define IPC__RW_INSIDE	2u	/* a writer is inside */
#define IPC__RW_HURT	4u	/* one died there, and none has come since */

/* A reader's, who has the mutex as long as it is inside. */
struct ipc__rw_slot {
	alignas(64) pthread_mutex_t mutex;
	_Atomic uint32_t inside;	/* the mutex is worth a look */
};

struct ipc__rw_shared {
	alignas(64) pthread_mutex_t gate;	/* the writer's */
	alignas(64) _Atomic uint32_t state;
	_Atomic uint32_t used;		/* slots that were ever used */
	struct ipc__rw_slot slots[IPC__RW_READERS];
};

int ipc__rw_init(struct ipc__rw_shared *);
int ipc__rw_rdlock(struct ipc__rw_shared *, int timeout, unsigned *slot);
int ipc__rw_wrlock(struct ipc__rw_shared *, int timeout);
void ipc__rw_rdunlock(struct ipc__rw_shared *, unsigned slot);
void ipc__rw_wrunlock(struct ipc__rw_shared *);

#endif
