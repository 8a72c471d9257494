/* SPDX-License-Identifier: ISC */
/*
 * The short ways of the shared-memory mechanisms, for small messages through a
 * ring, one or many.
 */

#include "ringquick.h"
#include "shm.h"

/* These two are for who has no time to lose; the next ones for the rest. */
__attribute__((noinline))
static bool
shm_put_any(struct ipc__shm *s, const void *data, size_t size)
{
	if (!s->direct || !ring_put(&s->ring, data, size))
		return false;
	ipc__shm_wake_receiver(s);
	return true;
}

__attribute__((noinline))
static ssize_t
shm_get_any(struct ipc__shm *s, void *buffer, size_t room, unsigned looks)
{
	ssize_t n;

	if (s->slots)
		return -2;
	n = ring_await(&s->ring, buffer, room, looks);
	if (n >= 0)
		ipc__shm_wake_sender(s);
	return n;
}

__attribute__((noinline))
static bool
shm_put_woke(struct ipc__shm *s)
{
	ipc__shm_wake_receiver(s);
	return true;
}

__attribute__((noinline))
static bool
shm_put_window(struct ipc__shm *s)
{
	ipc__ring_window(&s->ring);
	return true;
}

__attribute__((noinline))
static ssize_t
shm_get_woke(struct ipc__shm *s, ssize_t n)
{
	ipc__shm_wake_sender(s);
	return n;
}

bool
ipc__shm_put(struct ipc__half *h, const void *data, size_t size)
{
	struct ipc__shm *s = ipc__shm_state(h);
	uint32_t token;

	if (!s->direct || !ring_put_plain(&s->ring, size) ||
	    !ring_put_short(&s->ring, data, size))
		return shm_put_any(s, data, size);
	if (ipc__ring_sleeper(&s->ring, &token))
		return shm_put_woke(s);
	return ring_put_spent(&s->ring, size) ? shm_put_window(s) : true;
}

ssize_t
ipc__shm_get(struct ipc__half *h, void *buffer, size_t room)
{
	struct ipc__shm *s = ipc__shm_state(h);
	uint32_t token;
	ssize_t n;

	if (!ring_get_plain(&s->ring) ||
	    (n = ring_get_short(&s->ring, buffer, room)) < 0)
		return shm_get_any(s, buffer, room, 0);
	return ipc__ring_sleeper(&s->ring, &token) ? shm_get_woke(s, n) : n;
}

ssize_t
ipc__shm_await(struct ipc__half *h, void *buffer, size_t room, unsigned looks)
{
	return shm_get_any(ipc__shm_state(h), buffer, room, looks);
}

int
ipc__shm_put_many(struct ipc__half *h, const struct iovec *messages,
    int count, size_t most)
{
	struct ipc__shm *s = ipc__shm_state(h);
	int n;

	if (!s->direct)
		return 0;
	n = ring_put_many(&s->ring, messages, count, most);
	if (n > 0)
		ipc__shm_wake_receiver(s);
	return n;
}

int
ipc__shm_get_many(struct ipc__half *h, struct iovec *messages, int count,
    size_t most)
{
	struct ipc__shm *s = ipc__shm_state(h);
	int n;

	if (s->slots)
		return 0;
	n = ring_get_many(&s->ring, messages, count, most);
	if (n > 0)
		ipc__shm_wake_sender(s);
	return n;
}
