/* SPDX-License-Identifier: ISC */
/*
 * Order between processes: semaphores (up to N at a time), mutexes (one at a
 * time), reader-writer locks (many who only look, or one who changes) and
 * condition variables, whatever they are made of.
 *
 *	struct ipc_mutex *m;
 *	int rc;
 *
 *	if (ipc_mutex_open(&m, "mutex:counter", IPC_CREATE) < 0)
 *		errx(1, "%s", ipc_errmsg());
 *	rc = ipc_mutex_lock(m, 1000);
 *	if (rc == -EOWNERDEAD)
 *		...it is ours, and its last owner died in it: repair...
 *	else if (rc < 0)
 *		errx(1, "%s", ipc_errmsg());
 *	ipc_mutex_unlock(m);
 *	ipc_mutex_close(m);
 *
 * The address chooses: sem:NAME, posixsem:/NAME, sysvsem:NAME, sysvsem:0xKEY
 * are semaphores; mutex:NAME, sysvmutex:NAME, filelock:/PATH are mutexes;
 * rwlock:NAME, sysvrwlock:NAME, filelock:/PATH are reader-writer locks.  Names
 * go on until they are removed, whoever dies.
 *
 * Timeouts are in milliseconds: -1 waits for ever, 0 does not wait and gives
 * -EAGAIN, otherwise -ETIMEDOUT follows on the monotonic clock; signals do not
 * cut a wait short.
 *
 * Threads: any number may use one object.  Nobody may be inside one that is
 * being closed.  Fork: the child may go on using what it inherits, but owns
 * nothing of what its parent had taken or locked.
 */
#ifndef IPC_SYNC_H
#define IPC_SYNC_H

#include <stddef.h>

#include <ipc/channel.h>
#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_sem;
struct ipc_mutex;
struct ipc_rwlock;
struct ipc_cond;
struct ipc_region;

/* What each of those in a region takes of it, at a multiple of 64. */
#define IPC_SYNC_SPACE		128
/* But this a reader-writer lock. */
#define IPC_RWLOCK_SPACE	16384

/* ipc_mutex_init_in */
#define IPC_MUTEX_RECURSIVE	0x100
#define IPC_MUTEX_PI		0x200

/* What a scheme can do: ipc_sync_caps(). */
enum ipc_sync_cap {
	IPC_SYNC_SEM	   = 1 << 0, /* it is a semaphore */
	IPC_SYNC_MUTEX	   = 1 << 1, /* it is a mutex */
	IPC_SYNC_FD	   = 1 << 2, /* ipc_sem_fd */
	IPC_SYNC_UNDO	   = 1 << 3, /* undo=1 */
	IPC_SYNC_ROBUST	   = 1 << 4, /* -EOWNERDEAD is told */
	IPC_SYNC_TIMED	   = 1 << 5, /* a wait with a timeout sleeps until it
					is woken, and does not look again and
					again */
	IPC_SYNC_RECURSIVE = 1 << 6, /* recursive=1 */
	IPC_SYNC_PI	   = 1 << 7, /* pi=1: priority inheritance */
	IPC_SYNC_FOREIGN   = 1 << 8, /* programs without this library can take
					part */
	IPC_SYNC_RWLOCK	   = 1 << 9  /* it is a reader-writer lock */
};

/*
 * The capabilities of a scheme, given with or without what follows its colon;
 * 0 if it is no semaphore and no lock.
 */
IPC_API unsigned ipc_sync_caps(const char *scheme);

/*
 * Semaphores
 */

/*
 * Opens a semaphore.  flags: IPC_CREATE makes it with this value if it is
 * missing, IPC_EXCLUSIVE with it is -EEXIST if it is there; value= in the
 * address takes the place of the argument.  Nobody ever sees one that is half
 * made.  undo=1: what this process took is given back when it ends, however
 * that happens.
 */
IPC_API int ipc_sem_open(struct ipc_sem **s, const char *address, int flags,
    unsigned value);

/*
 * One without a name, in a region, which must stay open longer than this; the
 * IPC_SYNC_SPACE bytes at offset are zeros before.  flags: IPC_CREATE makes it
 * if it is not there yet (-ENOENT), IPC_EXCLUSIVE with it is -EEXIST if it is.
 * However many do that at once, and whoever of them dies, there is one.  It is
 * one of POSIX: no undo and no descriptor.
 */
IPC_API int ipc_sem_init_in(struct ipc_sem **s, struct ipc_region *r,
    size_t offset, int flags, unsigned value);

/* Takes one. */
IPC_API int ipc_sem_wait(struct ipc_sem *s, int timeout);

/* Gives one.  -EOVERFLOW: the value would exceed what the mechanism holds. */
IPC_API int ipc_sem_post(struct ipc_sem *s);

/* Gives count of them; at once, but on posixsem: one by one. */
IPC_API int ipc_sem_post_many(struct ipc_sem *s, unsigned count);

/* How many can be taken now, which may be over as soon as it is told. */
IPC_API int ipc_sem_value(struct ipc_sem *s, unsigned *value);

/*
 * A descriptor for poll(2), epoll(7) and every event loop, readable when
 * ipc_sem_wait() would find one; then call that with timeout 0, as somebody
 * else may be faster.  A wait that finds none puts it out.  It belongs to the
 * semaphore; in a forked child ask again.  -EOPNOTSUPP: IPC_SYNC_FD is off.
 */
IPC_API int ipc_sem_fd(struct ipc_sem *s);

/* Frees this handle; NULL is allowed.  With undo=1 what was taken through it is
 * given back.  The name stays. */
IPC_API int ipc_sem_close(struct ipc_sem *s);

/* Removes the name.  Of sysvsem: it is the semaphore itself, for all. */
IPC_API int ipc_sem_unlink(const char *address);

/*
 * Mutexes
 */

/*
 * Opens a mutex.  flags: IPC_CREATE, IPC_EXCLUSIVE.  recursive=1: its owner may
 * lock it again; pi=1: who waits lends its owner its priority.  Both are
 * properties of the mutex where it is a mutex:, which whoever opens it must
 * agree with.
 */
IPC_API int ipc_mutex_open(struct ipc_mutex **m, const char *address,
    int flags);

/*
 * One without a name, in a region, as ipc_sem_init_in() has it; it is like
 * mutex:.  flags: IPC_MUTEX_RECURSIVE and IPC_MUTEX_PI as well.
 */
IPC_API int ipc_mutex_init_in(struct ipc_mutex **m, struct ipc_region *r,
    size_t offset, int flags);

/*
 * Locks it for this thread.  -EOWNERDEAD: it is locked, and its last owner died
 * with it, so what it protects may be half changed.  -EDEADLK: this thread has
 * it already.
 */
IPC_API int ipc_mutex_lock(struct ipc_mutex *m, int timeout);

/* -EPERM: this thread does not have it. */
IPC_API int ipc_mutex_unlock(struct ipc_mutex *m);

/* Frees this handle; NULL is allowed.  -EBUSY: this process has it locked
 * through it.  The name stays. */
IPC_API int ipc_mutex_close(struct ipc_mutex *m);

/* Removes the name.  Of sysvmutex: it is the mutex itself, for all. */
IPC_API int ipc_mutex_unlink(const char *address);

/*
 * Reader-writer locks: many read at a time, or one writes.  A writer that waits
 * lets no more readers in.
 */

/* Opens one.  flags: IPC_CREATE, IPC_EXCLUSIVE. */
IPC_API int ipc_rwlock_open(struct ipc_rwlock **l, const char *address,
    int flags);

/*
 * One without a name, in a region, as ipc_sem_init_in() has it, but in
 * IPC_RWLOCK_SPACE bytes; it is like rwlock:.
 */
IPC_API int ipc_rwlock_init_in(struct ipc_rwlock **l, struct ipc_region *r,
    size_t offset, int flags);

/*
 * Locks it for this thread, to read or to write.  -EOWNERDEAD: it is locked,
 * and the last writer died with it, so what it protects may be half changed;
 * readers are told until a writer was.  A reader that dies is forgotten.
 * -EDEADLK: this thread has it already, in whatever way.
 */
IPC_API int ipc_rwlock_rdlock(struct ipc_rwlock *l, int timeout);
IPC_API int ipc_rwlock_wrlock(struct ipc_rwlock *l, int timeout);

/* -EPERM: this thread does not have it. */
IPC_API int ipc_rwlock_unlock(struct ipc_rwlock *l);

/* Frees this handle; NULL is allowed.  -EBUSY: this process has it locked
 * through it.  The name stays. */
IPC_API int ipc_rwlock_close(struct ipc_rwlock *l);

/* Removes the name.  Of sysvrwlock: it is the lock itself, for all. */
IPC_API int ipc_rwlock_unlink(const char *address);

/*
 * Condition variables, in a region.  They survive the death of a waiter and of
 * one who signals.
 */
IPC_API int ipc_cond_init_in(struct ipc_cond **c, struct ipc_region *r,
    size_t offset, int flags);

/*
 * Unlocks the mutex, which this thread must have locked once, waits, and locks
 * it again.  It may return 0 without cause: look whether what is waited for is
 * so, and call it again.  -EOWNERDEAD: the mutex is locked, and its last owner
 * died with it.  -ETIMEDOUT, -EAGAIN (timeout 0): it is locked too.
 */
IPC_API int ipc_cond_wait(struct ipc_cond *c, struct ipc_mutex *m,
    int timeout);

/* Wakes one who waits, at least; and all of them. */
IPC_API int ipc_cond_signal(struct ipc_cond *c);
IPC_API int ipc_cond_broadcast(struct ipc_cond *c);

/* Frees this handle; NULL is allowed. */
IPC_API int ipc_cond_close(struct ipc_cond *c);

#ifdef __cplusplus
}
#endif

#endif
