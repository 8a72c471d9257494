/* SPDX-License-Identifier: ISC */
/*
 * filelock, to read or to write: a lock on a file that is shared or not.  The
 * kernel lets new readers in while a writer waits, so there is a gate, a byte
 * far behind what any file holds: a writer locks it before the file, and a
 * reader looks whether it is locked, and then waits for it first.
 *
 * The kernel knows descriptors and not threads.  So the threads that use one
 * handle have an order of their own in front of it, a monitor: their first
 * reader locks the file for all of them and the last one unlocks it.  One that
 * would join others who are inside looks at the gate as well, or a process with
 * many readers would keep a writer of another one waiting for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "core.h"
#include "lockfile.h"
#include "rwlock.h"

#define GATE_AT	((off_t)1 << (sizeof(off_t) * 8 - 2))

static const struct ipc__lockrange gate = { GATE_AT, 1 },
    content = { 0, GATE_AT }, whole = { 0, 0 };

struct file_rwlock {
	struct ipc_rwlock l;
	struct ipc__lockfile file;
	/* The monitor: with the mutex. */
	pthread_mutex_t	mutex;
	pthread_cond_t	changed;
	unsigned	readers;	/* threads inside */
	unsigned	wanted;		/* writers that wait */
	bool		writing;	/* a writer is inside, or about to be */
	bool		opening;	/* a reader waits for the file, for
					   all of them */
	bool		hurt;		/* of the readers inside */
};

static struct file_rwlock *
file_state(struct ipc_rwlock *l)
{
	return (struct file_rwlock *)(void *)l;
}

static int
monitor_init(struct file_rwlock *f)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);

	f->readers = f->wanted = 0;
	f->writing = f->opening = f->hurt = false;
	if (rc == 0) {
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		rc = pthread_cond_init(&f->changed, &attr);
		pthread_condattr_destroy(&attr);
	}
	if (rc == 0)
		rc = pthread_mutex_init(&f->mutex, NULL);
	return rc == 0 ? 0 : ipc__fail(rc, "pthread_cond_init: %s",
	    ipc_strerror(rc));
}

static int
file_open(struct ipc_rwlock *l, const struct ipc__address *a, int flags)
{
	struct file_rwlock *f = file_state(l);
	int rc = monitor_init(f);

	return rc < 0 ? rc : ipc__lockfile_open(&f->file, a, flags);
}

/* With the mutex.  It is not asked more than once after the end. */
static int
monitor_wait(struct file_rwlock *f, int64_t deadline)
{
	struct timespec ts;

	if (deadline == 0)
		return -EAGAIN;
	if (deadline < 0) {
		pthread_cond_wait(&f->changed, &f->mutex);
		return 0;
	}
	ts.tv_sec = (time_t)(deadline / 1000000000);
	ts.tv_nsec = (long)(deadline % 1000000000);
	return pthread_cond_timedwait(&f->changed, &f->mutex, &ts) ==
	    ETIMEDOUT ? -ETIMEDOUT : 0;
}

static int
monitor_leave(struct file_rwlock *f, int rc)
{
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->mutex);
	return rc;
}

/*
 * Reading
 */

/* Waits until no writer of another handle waits or is inside. */
static int
pass_gate(const struct ipc__lockfile *file, int64_t deadline)
{
	int rc;

	if (!ipc__lockfile_closed(file, gate))
		return 0;
	rc = ipc__lockfile_take(file, gate, F_RDLCK, deadline);
	return rc < 0 ? rc : ipc__lockfile_release(file, gate);
}

/* 1: a writer has died inside. */
static int
take_shared(const struct ipc__lockfile *file, int64_t deadline)
{
	int rc = pass_gate(file, deadline);

	if (rc == 0)
		rc = ipc__lockfile_take(file, content, F_RDLCK, deadline);
	if (rc < 0)
		return rc;
	rc = ipc__lockfile_hurt(file);
	if (rc < 0)
		(void)ipc__lockfile_release(file, whole);
	return rc;
}

/* With the mutex, which is let go meanwhile: for all readers of this handle,
 * who wait until it is done. */
static int
do_for_all(struct file_rwlock *f, int64_t deadline,
    int (*what)(const struct ipc__lockfile *, int64_t))
{
	int rc;

	f->opening = true;
	pthread_mutex_unlock(&f->mutex);
	rc = what(&f->file, deadline);
	pthread_mutex_lock(&f->mutex);
	f->opening = false;
	pthread_cond_broadcast(&f->changed);
	return rc;
}

/* With the mutex: until this thread may join the readers, or be the first. */
static int
await_turn(struct file_rwlock *f, int64_t deadline)
{
	int rc = 0;

	while (rc == 0) {
		if (f->writing || f->opening || f->wanted > 0)
			rc = monitor_wait(f, deadline);
		else if (f->readers > 0 &&
		    ipc__lockfile_closed(&f->file, gate))
			rc = do_for_all(f, deadline, pass_gate);
		else
			break;
	}
	return rc;
}

static int
file_read(struct file_rwlock *f, int64_t deadline)
{
	int rc;

	pthread_mutex_lock(&f->mutex);
	rc = await_turn(f, deadline);
	if (rc == 0 && f->readers == 0) {
		rc = do_for_all(f, deadline, take_shared);
		f->hurt = rc == 1;
	}
	if (rc >= 0) {
		f->readers++;
		rc = f->hurt ? -EOWNERDEAD : 0;
	}
	return monitor_leave(f, rc);
}

static int
file_rdlock(struct ipc_rwlock *l, int timeout, unsigned *place)
{
	int claimed = ipc__rw_claim(l), rc;

	if (claimed < 0)
		return claimed;
	*place = (unsigned)claimed;
	rc = file_read(file_state(l), timeout > 0 ? ipc__deadline(timeout) :
	    timeout);
	if (rc < 0 && rc != -EOWNERDEAD)
		ipc__rw_unclaim(l, *place);
	return rc;
}

/*
 * Writing
 */

static int
take_alone(const struct ipc__lockfile *file, int64_t deadline)
{
	int rc = ipc__lockfile_take(file, gate, F_WRLCK, deadline);

	if (rc < 0)
		return rc;
	rc = ipc__lockfile_take(file, content, F_WRLCK, deadline);
	if (rc == 0)
		rc = ipc__lockfile_enter(file);
	if (rc < 0)
		(void)ipc__lockfile_release(file, whole);
	return rc == 1 ? -EOWNERDEAD : rc;
}

static int
file_wrlock(struct ipc_rwlock *l, int timeout)
{
	struct file_rwlock *f = file_state(l);
	int64_t deadline = timeout > 0 ? ipc__deadline(timeout) : timeout;
	int rc = 0;

	pthread_mutex_lock(&f->mutex);
	f->wanted++;
	while (rc == 0 && (f->writing || f->opening || f->readers > 0))
		rc = monitor_wait(f, deadline);
	f->wanted--;
	if (rc < 0)
		return monitor_leave(f, rc);
	f->writing = true;
	pthread_mutex_unlock(&f->mutex);
	rc = take_alone(&f->file, deadline);
	if (rc == 0 || rc == -EOWNERDEAD)
		return rc;
	pthread_mutex_lock(&f->mutex);
	f->writing = false;
	return monitor_leave(f, rc);
}

/*
 * Unlocking
 */

static int
leave_writing(struct file_rwlock *f)
{
	int rc = ipc__lockfile_leave(&f->file);

	if (rc == 0)
		rc = ipc__lockfile_release(&f->file, whole);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&f->mutex);
	f->writing = false;
	return monitor_leave(f, 0);
}

static int
leave_reading(struct file_rwlock *f)
{
	int rc = 0;

	pthread_mutex_lock(&f->mutex);
	if (f->readers == 1)
		rc = ipc__lockfile_release(&f->file, whole);
	if (rc == 0)
		f->readers--;
	return monitor_leave(f, rc);
}

static int
file_unlock(struct ipc_rwlock *l, unsigned place)
{
	int rc;

	if (place == IPC__RW_WRITER)
		return leave_writing(file_state(l));
	rc = leave_reading(file_state(l));
	if (rc == 0)
		ipc__rw_unclaim(l, place);
	return rc;
}

static void
file_close(struct ipc_rwlock *l)
{
	/* The monitor is not destroyed, which frees nothing: begun anew in a
	 * forked child, it may still look locked to a checker. */
	ipc__lockfile_close(&file_state(l)->file);
}

/* Begun anew, as whoever had the mutex is not here. */
static void
file_forked(struct ipc_rwlock *l)
{
	(void)monitor_init(file_state(l));
	ipc__lockfile_forked(&file_state(l)->file);
}

const struct ipc__rwlock_ops ipc__rwlock_file = {
	.size = sizeof(struct file_rwlock),
	.open = file_open,
	.rdlock = file_rdlock,
	.wrlock = file_wrlock,
	.unlock = file_unlock,
	.close = file_close,
	.forked = file_forked,
	.unlink = ipc__lockfile_unlink
};
