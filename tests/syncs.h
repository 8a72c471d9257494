/* SPDX-License-Identifier: ISC */
/*
 * Semaphores, locks and regions alike: whatever an address is of is opened,
 * found to be whole, and closed again.
 */
#ifndef IPC_TESTS_SYNCS_H
#define IPC_TESTS_SYNCS_H

#include <ipc/ipc.h>

#include "names.h"

#define SYNCS_VALUE	3	/* of semaphores */
#define SYNCS_SIZE	8192	/* of regions, which say so themselves */
#define SYNCS_WAIT	5000

#define NOT_WHOLE	(-EUCLEAN)

static inline int
syncs_sem(const char *address, int flags, void (*opened)(void))
{
	struct ipc_sem *s = NULL;
	unsigned value = 0;
	int rc = ipc_sem_open(&s, address, flags, SYNCS_VALUE);

	opened();
	if (rc < 0)
		return rc;
	rc = ipc_sem_value(s, &value);
	ipc_sem_close(s);
	return rc < 0 ? rc : value == SYNCS_VALUE ? 0 : NOT_WHOLE;
}

/* Whoever has it may be killed as well. */
static inline int
syncs_entered(int rc)
{
	return rc == -EOWNERDEAD ? 0 : rc;
}

static inline int
syncs_mutex(const char *address, int flags, void (*opened)(void))
{
	struct ipc_mutex *m = NULL;
	int rc = ipc_mutex_open(&m, address, flags);

	opened();
	if (rc < 0)
		return rc;
	rc = syncs_entered(ipc_mutex_lock(m, SYNCS_WAIT));
	if (rc == 0)
		rc = ipc_mutex_unlock(m);
	ipc_mutex_close(m);
	return rc;
}

static inline int
syncs_rwlock(const char *address, int flags, void (*opened)(void))
{
	struct ipc_rwlock *l = NULL;
	int rc = ipc_rwlock_open(&l, address, flags);

	opened();
	if (rc < 0)
		return rc;
	rc = syncs_entered(ipc_rwlock_rdlock(l, SYNCS_WAIT));
	if (rc == 0)
		rc = ipc_rwlock_unlock(l);
	if (rc == 0)
		rc = syncs_entered(ipc_rwlock_wrlock(l, SYNCS_WAIT));
	if (rc == 0)
		rc = ipc_rwlock_unlock(l);
	ipc_rwlock_close(l);
	return rc;
}

static inline int
syncs_region(const char *address, int flags, void (*opened)(void))
{
	struct ipc_region *r = NULL;
	const char *data;
	int rc = ipc_region_open(&r, address, flags);

	opened();
	if (rc < 0)
		return rc;
	data = ipc_region_data(r);
	for (size_t i = 0; rc == 0 && i < SYNCS_SIZE; i++)
		rc = data[i] == 0 ? 0 : NOT_WHOLE;
	if (ipc_region_size(r) != SYNCS_SIZE)
		rc = NOT_WHOLE;
	ipc_region_close(r);
	return rc;
}

/* opened() is called between opening it and using it. */
static inline int
syncs_open(const char *address, int flags, void (*opened)(void))
{
	unsigned caps = ipc_sync_caps(address);

	return caps & IPC_SYNC_SEM ? syncs_sem(address, flags, opened) :
	    caps & IPC_SYNC_MUTEX ? syncs_mutex(address, flags, opened) :
	    caps & IPC_SYNC_RWLOCK ? syncs_rwlock(address, flags, opened) :
	    syncs_region(address, flags, opened);
}

static inline int
syncs_unlink(const char *address)
{
	unsigned caps = ipc_sync_caps(address);

	return caps & IPC_SYNC_SEM ? ipc_sem_unlink(address) :
	    caps & IPC_SYNC_MUTEX ? ipc_mutex_unlink(address) :
	    caps & IPC_SYNC_RWLOCK ? ipc_rwlock_unlink(address) :
	    ipc_region_unlink(address);
}

#endif
