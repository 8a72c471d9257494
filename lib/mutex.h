/* SPDX-License-Identifier: ISC */
/*
 * Mutexes inside of the library.  There are three sorts: those that are a lock
 * of futexlock.c, or a mutex of the C library, in shared memory, which know
 * their owner's thread; and those that the kernel keeps by process or
 * descriptor, which have a mutex of this process in front, so that its threads
 * exclude each other too.
 */
#ifndef IPC_LIB_MUTEX_H
#define IPC_LIB_MUTEX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ipc/sync.h>

#include "error.h"
#include "futexlock.h"
#include "syncaddr.h"

struct ipc_mutex;

/* Errors come with a text, but for the plain ones of waiting. */
struct ipc__mutex_ops {
	size_t	size;		/* of the whole handle, which begins with
				   struct ipc_mutex; zeroed */
	int	(*open)(struct ipc_mutex *, const struct ipc__address *,
		    int flags);
	/* Those with `front': called by the thread that has it.  deadline: -1
	 * never, 0 do not wait. */
	int	(*lock)(struct ipc_mutex *, int64_t deadline);
	int	(*unlock)(struct ipc_mutex *);	/* -EIDRM: there is nothing to
						   be unlocked any more */
	void	(*close)(struct ipc_mutex *);	/* not called where open has
						   failed */
	void	(*forked)(struct ipc_mutex *);	/* in a child; may be NULL;
						   async-signal-safe */
	int	(*unlink)(const struct ipc__address *);
};

struct ipc_mutex {
	const struct ipc__mutex_ops *ops;
	/* The mechanism is just one of these two; or neither. */
	struct ipc__hold hold;		/* its lock is NULL */
	pthread_mutex_t	*shared;	/* NULL */
	char		*text;		/* the address, for messages */
	/* How often this process has locked it, and which of its threads.
	 * Whoever sees a depth sees its owner: release and acquire. */
	_Atomic unsigned depth;
	_Atomic uintptr_t owner;
	bool		 recursive;
	pthread_mutex_t	 front;		/* always recursive */
	struct ipc_mutex *next, **link;	/* all of this process */
};

extern const struct ipc__mutex_ops ipc__mutex_own, ipc__mutex_sysv,
    ipc__mutex_file;

/* mutex.c: how often this thread has it; and the mutex behind a handle. */
unsigned ipc__mutex_depth(struct ipc_mutex *);
int ipc__mutex_make(union ipc__anylock *, bool *futex, bool recursive, bool pi);
int ipc__mutex_use(struct ipc_mutex *, union ipc__anylock *, bool futex,
    bool recursive);

/* mutexlist.c: every handle, so that a forked child's own nothing. */
int ipc__mutex_enlist(struct ipc_mutex *);
void ipc__mutex_delist(struct ipc_mutex *);
int ipc__mutex_front(struct ipc_mutex *);

#endif
