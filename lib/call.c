/* SPDX-License-Identifier: ISC */
/*
 * In and out of a public call: arguments and direction are checked, a
 * connection that is being made is brought on, the lock is taken where several
 * threads share a side, and on the way out the readiness is made right.
 */
#include <time.h>

#include "call.h"

/* The thread sanitizer of gcc 12 does not know pthread_mutex_clocklock. */
#ifdef __SANITIZE_THREAD__
#define LOCK_CLOCK	CLOCK_REALTIME
#define lock_by(lock, ts)	pthread_mutex_timedlock(lock, ts)
#else
#define LOCK_CLOCK	CLOCK_MONOTONIC
#define lock_by(lock, ts)	pthread_mutex_clocklock(lock, LOCK_CLOCK, ts)
#endif

static int
lock_until(pthread_mutex_t *lock, int *timeout)
{
	int64_t deadline;
	struct timespec ts;
	int rc = pthread_mutex_trylock(lock);

	if (rc == 0)
		return 0;
	if (*timeout == 0)
		return ipc__plain(-EAGAIN);
	if (*timeout < 0) {
		rc = pthread_mutex_lock(lock);
		return rc == 0 ? 0 : ipc__plain(-rc);
	}
	deadline = ipc__deadline(*timeout);
	clock_gettime(LOCK_CLOCK, &ts);
	ts.tv_sec += *timeout / 1000;
	ts.tv_nsec += *timeout % 1000 * 1000000L;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	if ((rc = lock_by(lock, &ts)) != 0)
		return ipc__plain(-rc);
	*timeout = ipc__left(deadline);
	return 0;
}

static bool
locked(const struct ipc_channel *ch)
{
	return ipc__unlikely(ch->many || ch->half_duplex);
}

/* A connection that is being made: this call brings it on. */
static int
wait_greeting(struct ipc_channel *ch, int dir, int rc, int *timeout)
{
	int64_t deadline = ipc__deadline(*timeout);

	while (rc == -EAGAIN && *timeout != 0) {
		/* The bell, then the count, then a look: whoever ends it
		 * says so, then looks at the count, then rings. */
		if ((rc = ipc__bell(ch, dir)) < 0)
			return rc;
		atomic_fetch_add(&ch->greeters, 1);
		if (atomic_load(&ch->greet) != NULL)
			rc = ipc__wait(ch, dir, deadline);
		atomic_fetch_sub(&ch->greeters, 1);
		if (rc < 0)
			return rc;
		rc = ipc__enter(ch);
	}
	if (*timeout > 0)
		*timeout = ipc__left(deadline);
	return rc == -EAGAIN ? ipc__plain(rc) : rc;
}

int
ipc__call_enter(struct ipc_channel *ch, int dir, int boundary, int *timeout)
{
	int rc;

	if (ipc__unlikely(ch == NULL))
		return ipc__fail(EINVAL, "no channel (NULL)");
	if (ipc__unlikely((rc = ipc__enter(ch)) < 0) &&
	    (rc = wait_greeting(ch, dir, rc, timeout)) < 0)
		return rc;
	if (ipc__unlikely(!(ch->dir & dir) && !(dir == IPC_SEND &&
	    ch->answers)))
		return ipc__wrong_way(ch, dir);
	if (ipc__unlikely(ch->boundary != boundary))
		return ipc__fail(EINVAL, "%s: %s", ch->address.text,
		    boundary == IPC_STREAM ?
		    "this channel carries messages: ipc_send, ipc_recv" :
		    "this channel is a byte stream: ipc_read, ipc_write");
	if (locked(ch))
		return lock_until(dir == IPC_RECV ? &ch->in.lock :
		    &ch->out.lock, timeout);
	return 0;
}

int
ipc__call_recv(struct ipc_channel *ch, int boundary, int *timeout)
{
	int rc = ipc__call_enter(ch, IPC_RECV, boundary, timeout);

	if (ipc__unlikely(rc == 0 && ch->in.half == NULL)) {
		rc = ch->in.end;	/* shut down */
		if (locked(ch))
			pthread_mutex_unlock(&ch->in.lock);
	}
	return rc;
}

int
ipc__call_send(struct ipc_channel *ch, int boundary, int *timeout)
{
	int rc = ipc__call_enter(ch, IPC_SEND, boundary, timeout);

	if (ipc__likely(rc < 0))
		return rc;
	if (ipc__unlikely(ch->out.half == NULL || ch->out.shut))
		rc = ipc__fail(EPIPE, "%s: sending was shut down",
		    ch->address.text);
	else if (ipc__unlikely(ch->half_duplex) && !atomic_load(&ch->turn))
		rc = ipc__fail(EBUSY, "%s: it is the other side's turn to "
		    "send", ch->address.text);
	if (rc < 0 && locked(ch))
		pthread_mutex_unlock(&ch->out.lock);
	return rc;
}

ssize_t
ipc__leave_recv(struct ipc_channel *ch, ssize_t rc)
{
	struct ipc__in *in = &ch->in;

	/* Between the messages of a batch the short way was gone as well.
	 * Relaxed: as in ipc__enter(). */
	atomic_store_explicit(&in->plain, false, memory_order_relaxed);
	if (ipc__unlikely(in->ready.watched))
		ipc__ready_update(ch, IPC_RECV, ipc__in_ready(ch) ||
		    ipc__turn_ready(ch) || ipc__side_ready(ch, IPC_RECV));
	if (locked(ch))
		pthread_mutex_unlock(&in->lock);
	return rc;
}

ssize_t
ipc__leave_send(struct ipc_channel *ch, ssize_t rc)
{
	struct ipc__out *out = &ch->out;

	/* As there. */
	atomic_store_explicit(&out->plain, false, memory_order_relaxed);
	if (ipc__unlikely(out->ready.watched))
		ipc__ready_update(ch, IPC_SEND, out->end != 0 ||
		    ipc__side_ready(ch, IPC_SEND));
	if (locked(ch))
		pthread_mutex_unlock(&out->lock);
	return rc;
}

int
ipc__too_long(struct ipc_channel *ch, size_t size)
{
	const char *what = "max-message";

	if (ch->out.limit < ch->address.opt.max_message)
		what = ch->out.half->be->limit ? ch->out.half->be->limit :
		    "one record";
	return ipc__fail(EMSGSIZE, "%s: message of %zu bytes exceeds the %zu "
	    "of this channel (%s)", ch->address.text, size, ch->out.limit,
	    what);
}

int
ipc__reserved(struct ipc_channel *ch)
{
	return ipc__fail(EALREADY, "%s: a reservation is open: ipc_commit or "
	    "ipc_abandon", ch->address.text);
}

const unsigned char *
ipc__message_data(const struct ipc__in *in)
{
	return in->view != NULL ? in->view : in->base;
}
