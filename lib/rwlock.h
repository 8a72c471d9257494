/* SPDX-License-Identifier: ISC */
/*
 * Reader-writer locks inside of the library: what each kind gives to rwlock.c,
 * and who has what, which is noted by handle and thread.
 */
#ifndef IPC_LIB_RWLOCK_H
#define IPC_LIB_RWLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <ipc/sync.h>

#include "error.h"
#include "syncaddr.h"

#define IPC__RW_READERS	252		/* at one time; the next is the
					   writer's place */
#define IPC__RW_WRITER	IPC__RW_READERS

struct ipc_rwlock;

/* Errors come with a text, but for the plain ones of waiting and -EOWNERDEAD,
 * which means that it is locked. */
struct ipc__rwlock_ops {
	size_t	size;		/* of the whole handle, which begins with
				   struct ipc_rwlock; zeroed */
	int	(*open)(struct ipc_rwlock *, const struct ipc__address *,
		    int flags);
	/* *place: the reader's, claimed. */
	int	(*rdlock)(struct ipc_rwlock *, int timeout, unsigned *place);
	int	(*wrlock)(struct ipc_rwlock *, int timeout);
	/* place: a reader's, which is unclaimed as soon as it is not held any
	 * more, or IPC__RW_WRITER.  -EIDRM: there is nothing to be unlocked
	 * any more; other errors: it is still locked. */
	int	(*unlock)(struct ipc_rwlock *, unsigned place);
	void	(*close)(struct ipc_rwlock *);	/* not called where open has
						   failed; may be NULL */
	void	(*forked)(struct ipc_rwlock *);	/* in a child; may be NULL;
						   async-signal-safe */
	int	(*unlink)(const struct ipc__address *);
	bool	by_thread;	/* a thread that ends has it no more */
};

/* What a thread has of one handle. */
struct ipc__rw_hold {
	_Atomic bool	 taken;
	struct ipc_rwlock *lock;
	struct ipc__rw_hold *next;	/* of this thread */
};

struct ipc_rwlock {
	const struct ipc__rwlock_ops *ops;
	char		*text;		/* the address, for messages */
	struct ipc_rwlock *next, **link; /* all of this process */
	struct ipc__rw_hold holds[IPC__RW_READERS + 1];
};

extern const struct ipc__rwlock_ops ipc__rwlock_own, ipc__rwlock_sysv,
    ipc__rwlock_file;

/*
 * rwlockhold.c
 */

/* What this thread has of it, or NULL; and its place. */
struct ipc__rw_hold *ipc__rw_held(const struct ipc_rwlock *);
unsigned ipc__rw_place(const struct ipc__rw_hold *);

/* This thread has it now, in this place, which is claimed; and no more. */
void ipc__rw_hold(struct ipc_rwlock *, unsigned place);
void ipc__rw_drop(struct ipc__rw_hold *);
void ipc__rw_unclaim(struct ipc_rwlock *, unsigned place);

/* Where this thread was noted last, which is a good place to begin. */
unsigned ipc__rw_hint(void);

/* For kinds that know no place of their own: claims a reader's.  -ENOSPC, with
 * a text. */
int ipc__rw_claim(struct ipc_rwlock *);

/* Has any thread of this process locked it through this handle? */
bool ipc__rw_busy(struct ipc_rwlock *);

/* Every handle, so that a forked child's own nothing. */
void ipc__rw_enlist(struct ipc_rwlock *);
void ipc__rw_delist(struct ipc_rwlock *);

/* The error of having no place. */
int ipc__rw_full(void);

#endif
