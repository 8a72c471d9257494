/* SPDX-License-Identifier: ISC */
/*
 * A slot in shared memory and a call of the kernel to wait for it: a futex, an
 * eventfd, or nothing but giving the processor away.  What the payload costs is
 * little; the figures are those of waking.
 */
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"

struct slot {
	_Alignas(64) _Atomic uint32_t count;
	_Alignas(64) char payload[];
};

struct slot_end {
	struct link	*link;
	struct slot	*out, *in;
	int		 bell_in, bell_out;	/* eventfds */
	uint32_t	 sent, received;
};

struct slots {
	struct raw_fds	 bell;
	void		*memory;
};

static size_t
slot_size(const struct link *l)
{
	return (sizeof(struct slot) + l->size + 4095) / 4096 * 4096;
}

static int
slot_prepare(struct link *l)
{
	struct slots *s = malloc(sizeof *s);

	if (!s)
		return subject_fail(ENOMEM, "slots");
	s->bell = (struct raw_fds){ { { -1, -1 }, { -1, -1 } } };
	s->memory = subject_shared(2 * slot_size(l));
	l->state = s;
	return s->memory ? 0 : subject_fail(errno, "mmap");
}

static int
bell_prepare(struct link *l)
{
	int rc = slot_prepare(l);
	struct slots *s = l->state;

	for (int to = 0; rc >= 0 && to < 2; to++) {
		int fd = eventfd(0, EFD_CLOEXEC);

		if (fd < 0)
			rc = subject_fail(errno, "eventfd");
		s->bell.fd[to][0] = s->bell.fd[!to][1] = fd;
	}
	return rc;
}

static int
slot_attach(struct link *l, int side, void **end)
{
	struct slot_end *e = calloc(1, sizeof *e);
	struct slots *s = l->state;
	char *memory = s->memory;

	if (!e)
		return subject_fail(ENOMEM, "slot");
	e->link = l;
	e->out = (void *)(memory + (side ? slot_size(l) : 0));
	e->in = (void *)(memory + (side ? 0 : slot_size(l)));
	e->bell_in = s->bell.fd[side][0];
	e->bell_out = s->bell.fd[side][1];
	*end = e;
	return 0;
}

/* What the three do differently is how they wait and wake. */
static void
put(struct slot_end *e, const void *data, size_t size)
{
	memcpy(e->out->payload, data, size);
	/* The payload is seen by who sees the count. */
	atomic_store_explicit(&e->out->count, ++e->sent, memory_order_release);
}

static bool
is_there(const struct slot_end *e)
{
	return atomic_load_explicit(&e->in->count, memory_order_acquire) !=
	    e->received;
}

static ssize_t
get(struct slot_end *e, void *buffer, size_t size)
{
	e->received++;
	memcpy(buffer, e->in->payload, size);
	return (ssize_t)size;
}

static int
futex_send(void *end, const void *data, size_t size)
{
	struct slot_end *e = end;

	put(e, data, size);
	syscall(SYS_futex, &e->out->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}

static ssize_t
futex_recv(void *end, void *buffer, size_t size)
{
	struct slot_end *e = end;

	while (!is_there(e))
		syscall(SYS_futex, &e->in->count, FUTEX_WAIT, e->received,
		    NULL, NULL, 0);
	return get(e, buffer, size);
}

static int
bell_send(void *end, const void *data, size_t size)
{
	struct slot_end *e = end;
	uint64_t one = 1;

	put(e, data, size);
	return raw_write(e->bell_out, &one, sizeof one);
}

static ssize_t
bell_recv(void *end, void *buffer, size_t size)
{
	struct slot_end *e = end;
	uint64_t count;
	int rc = raw_read(e->bell_in, &count, sizeof count);

	return rc < 0 ? rc : get(e, buffer, size);
}

static int
bell_fd(void *end)
{
	return ((struct slot_end *)end)->bell_in;
}

static int
yield_send(void *end, const void *data, size_t size)
{
	put(end, data, size);
	return 0;
}

static ssize_t
yield_recv(void *end, void *buffer, size_t size)
{
	struct slot_end *e = end;

	while (!is_there(e))
		sched_yield();
	return get(e, buffer, size);
}

static void
slot_detach(void *end)
{
	free(end);
}

#define SLOT(label, more, how, out, in, pollable)			\
{									\
	.name = (label),						\
	.kind = SUBJECT_RAW,						\
	.traits = SUBJECT_FIXED | SUBJECT_SLOT | (more),		\
	.prepare = (how),						\
	.attach = slot_attach,						\
	.send = (out),							\
	.recv = (in),							\
	.fd = (pollable),						\
	.detach = slot_detach						\
}

const struct subject raw_futex = SLOT("futex + slot", 0, slot_prepare,
    futex_send, futex_recv, NULL);
const struct subject raw_eventfd = SLOT("eventfd + slot", 0, bell_prepare,
    bell_send, bell_recv, bell_fd);
const struct subject raw_yield = SLOT("sched_yield + slot", SUBJECT_SPINS,
    slot_prepare, yield_send, yield_recv, NULL);
