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

/* A key for a name, so that what was made under it and not yet noted is found
 * again; the i-th try, as others may have taken that. */
key_t ipc__sysv_key(const char *dir, const char *kind, const char *name,
    unsigned i);

/* What errno means here. */
int ipc__sysvset_fail(const char *call);

#endif
