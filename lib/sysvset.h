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

/* Makes a System V object of this kind (IPC__SYSV_*) and name by make(), under
 * a key that is derived from the name, so that what a killed one made and did
 * not note is found again, and that is noted as intended meanwhile.  make: its
 * id, or -EEXIST, without a text, where others have that key. */
int ipc__sysv_make(int kind, const char *name,
    int (*make)(key_t key, const void *arg), const void *arg);

/* What errno means here. */
int ipc__sysvset_fail(const char *call);

#endif
