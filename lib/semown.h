/* SPDX-License-Identifier: ISC */
/*
 * sem: the library's own semaphore, in two files: semown.c counts, semwatch.c
 * waits for what can not be counted, the death of a holder.
 */
#ifndef IPC_LIB_SEMOWN_H
#define IPC_LIB_SEMOWN_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "futexlock.h"
#include "sem.h"
#include "syncfile.h"

#define IPC__SEM_HOLDERS	256	/* handles with undo=1 at one time */

/* What one handle with undo=1 has taken.  pid 0: nobody's. */
struct ipc__sem_holder {
	_Atomic int32_t	pid;
	_Atomic uint32_t count;
	uint64_t	start_time;
};

/* All of it is touched with the guard only, whose owner's death is told.
 * Atomic is what a killed process may have been about to change: each change
 * of the semaphore is one store. */
struct ipc__sem_shared {
	struct ipc__sync_head head;
	uint32_t	futex;		/* what the guard is */
	alignas(64) union ipc__anylock guard;
	alignas(64) _Atomic uint32_t total;	/* free, or held by a holder */
	_Atomic uint32_t watched;	/* somebody has looked at the bell */
	_Atomic uint32_t lit;		/* the bell is: nobody put it out */
	_Atomic uint32_t used;		/* holders that were ever used */
	alignas(64) struct ipc__sem_holder holders[IPC__SEM_HOLDERS];
};

/* A holder that this process watches. */
struct ipc__sem_watched {
	int32_t		pid;
	uint64_t	start_time;
	int		fd;		/* of the process, or -1 */
};

struct ipc__sem_own {
	struct ipc_sem	 sem;
	struct ipc__sem_shared *shared;
	struct ipc__hold hold;		/* of the guard; or */
	pthread_mutex_t	*guard;		/* it is one of the C library */
	int		 bell;		/* the FIFO */
	bool		 undo;
	int		 slot;		/* our record, or -1; with the guard */
	unsigned	 process;	/* that it is of: ipc__process */
	int		 spare;		/* ipc__sem_arm(), of nobody; or -1 */
	/* semwatch.c, for ipc_sem_fd(); with the guard. */
	int		 epoll;
	struct ipc__sem_watched *watched;
};

/* semown.c */
unsigned ipc__sem_available(const struct ipc__sem_shared *);
bool ipc__sem_dead(const struct ipc__sem_holder *);

/* semwatch.c */
/* With the guard, when nothing is free: *bell, made if it is -1, is readable
 * once the bell is rung after this, even if it is put out again. */
int ipc__sem_arm(struct ipc__sem_own *, int *bell);
/* A wait that has found nothing: sleeps until there may be something.  holders:
 * a copy of who had taken something then.  0: look again. */
int ipc__sem_sleep(int bell, const struct ipc__sem_watched *, unsigned count,
    int64_t deadline);
/* The descriptor, made if there is none; and when nothing is free: put out, and
 * brought in line with who has taken something.  With the guard. */
int ipc__sem_watch(struct ipc__sem_own *);
void ipc__sem_rewatch(struct ipc__sem_own *);
/* Closes it, and what is spare. */
void ipc__sem_unwatch(struct ipc__sem_own *);

#endif
