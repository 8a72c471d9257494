/* SPDX-License-Identifier: ISC */
/*
 * Sets of System V semaphores with names and keys, made without races.
 */
#ifndef IPC_LIB_SYSVSET_H
#define IPC_LIB_SYSVSET_H

#include <sys/ipc.h>

#include "address.h"

#define IPC__SYSV_VALUE_MAX	32767	/* SEMVMX, which no header tells */

struct ipc__sysvset {
	const struct ipc__address *address;	/* mode, uid, gid */
	const char	*name;
	key_t		 key;		/* instead of the name; or 0 */
	int		 count;		/* of semaphores */
	unsigned	 value;		/* of the first; the others are 0 */
};

/* Opens or makes it; returns its id. */
int ipc__sysvset_open(const struct ipc__sysvset *, int flags);
int ipc__sysvset_unlink(const struct ipc__sysvset *);

/* The same of what is no semaphore to its user, whose names have a prefix that
 * keeps them from those of others. */
int ipc__sysvset_open_as(const char *prefix, const struct ipc__address *,
    int count, unsigned value, int flags);
int ipc__sysvset_unlink_as(const char *prefix, const struct ipc__address *,
    int count);

/* semop(2), all at once, until a deadline; -1: never, 0: does not wait. */
struct sembuf;
int ipc__sysvset_do(int id, struct sembuf *ops, unsigned count,
    int64_t deadline);

/* A key for a name, so that what was made under it and not yet noted is found
 * again; the i-th try, as others may have taken that. */
key_t ipc__sysv_key(const char *dir, const char *kind, const char *name,
    unsigned i);

/* What errno means here. */
int ipc__sysvset_fail(const char *call);

#endif
