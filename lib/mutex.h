/* SPDX-License-Identifier: ISC */
/*
 * Mutexes inside of the library.  There are two sorts: those that are a mutex
 * of the C library in shared memory, which knows its owner's thread; and those
 * that the kernel keeps by process or descriptor, which have a mutex of this
 * process in front, so that its threads exclude each other too.
 */
#ifndef IPC_LIB_MUTEX_H
#define IPC_LIB_MUTEX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ipc/sync.h>

#include "error.h"
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
	int	(*unlock)(struct ipc_mutex *);
	void	(*close)(struct ipc_mutex *);	/* not called where open has
						   failed */
	void	(*forked)(struct ipc_mutex *);	/* in a child; may be NULL;
						   async-signal-safe */
	int	(*unlink)(const struct ipc__address *);
};

struct ipc_mutex {
	const struct ipc__mutex_ops *ops;
	pthread_mutex_t	*shared;	/* the mechanism is just this; or
					   NULL */
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

/* mutex.c: how often this thread has it. */
unsigned ipc__mutex_depth(struct ipc_mutex *);

/* mutexlist.c: every handle, so that a forked child's own nothing. */
int ipc__mutex_enlist(struct ipc_mutex *);
void ipc__mutex_delist(struct ipc_mutex *);
int ipc__mutex_front(struct ipc_mutex *);

#endif
