/* SPDX-License-Identifier: ISC */
/*
 * Locks on files: OFD locks, which the kernel lets go when the last copy of
 * their descriptor is closed.
 */
#ifndef IPC_LIB_LOCKFILE_H
#define IPC_LIB_LOCKFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"

struct ipc__lockfile {
	int	fd;		/* -1: a forked child could not have its own */
	bool	marked;		/* it has our line */
};

/* What is locked of the file; len 0: all that follows. */
struct ipc__lockrange {
	off_t	start, len;
};

int ipc__lockfile_open(struct ipc__lockfile *, const struct ipc__address *,
    int flags);
void ipc__lockfile_close(struct ipc__lockfile *);
int ipc__lockfile_unlink(const struct ipc__address *);

/* In a forked child: replaces the descriptor by one of its own, which does not
 * hold on to its parent's lock.  Async-signal-safe. */
void ipc__lockfile_forked(struct ipc__lockfile *);

/* type: F_RDLCK or F_WRLCK.  deadline: -1 never, 0 do not wait. */
int ipc__lockfile_take(const struct ipc__lockfile *, struct ipc__lockrange,
    short type, int64_t deadline);
int ipc__lockfile_release(const struct ipc__lockfile *,
    struct ipc__lockrange);

/* Does somebody else keep all others out of this? */
bool ipc__lockfile_closed(const struct ipc__lockfile *,
    struct ipc__lockrange);

/* With the file locked: is the last one who was alone still inside, and so
 * dead?  Never of a file without our line. */
int ipc__lockfile_hurt(const struct ipc__lockfile *);

/* The owner comes in and leaves.  1: the last one died inside. */
int ipc__lockfile_enter(const struct ipc__lockfile *);
int ipc__lockfile_leave(const struct ipc__lockfile *);

#endif
