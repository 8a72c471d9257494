/* SPDX-License-Identifier: ISC */
/*
 * Semaphores inside of the library: what each kind gives to sem.c.
 */
#ifndef IPC_LIB_SEM_H
#define IPC_LIB_SEM_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#include <ipc/sync.h>

#include "error.h"
#include "syncaddr.h"

struct ipc_sem;

/* Errors come with a text, but for the plain -EAGAIN and -ETIMEDOUT. */
struct ipc__sem_ops {
	size_t	size;		/* of the whole handle, which begins with
				   struct ipc_sem; zeroed */
	int	(*open)(struct ipc_sem *, const struct ipc__address *,
		    int flags);
	int	(*wait)(struct ipc_sem *, int timeout);
	int	(*post)(struct ipc_sem *, unsigned count);
	int	(*value)(struct ipc_sem *, unsigned *value);
	int	(*fd)(struct ipc_sem *);	/* NULL: it has none */
	void	(*close)(struct ipc_sem *);	/* not called where open has
						   failed */
	int	(*unlink)(const struct ipc__address *);
};

struct ipc_sem {
	const struct ipc__sem_ops *ops;
	/* The mechanism is just one of the C library; or NULL. */
	_Atomic uint64_t *word;	/* of it, if we know what it means */
	sem_t	*posix;
	char	*text;		/* the address, for messages */
};

/* semposix.c: from now on it is this one. */
void ipc__sem_use(struct ipc_sem *, sem_t *);

extern const struct ipc__sem_ops ipc__sem_posix, ipc__sem_sysv, ipc__sem_own,
    ipc__sem_inner;

#endif
