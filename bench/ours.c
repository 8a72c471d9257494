/* SPDX-License-Identifier: ISC */
/*
 * Channels of this library, through its public interface.  A link is a pair.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

#include "ours.h"

#define FOREVER	(-1)

/* What a mechanism stands on, for comparison: one of the raw subjects. */
static const struct {
	const char *scheme, *under;
} unders[] = {
	{ "pipe", "pipe" },
	{ "fifo", "fifo" },
	{ "unix", "unix stream" },
	{ "unixpacket", "unix seqpacket" },
	{ "unixgram", "unix dgram" },
	{ "tcp", "tcp" },
	{ "udp", "udp" },
	{ "sysvmq", "sysv queue" },
	{ "posixmq", "posix queue" },
	{ "sysvshm", "futex + slot" },
	{ "posixshm", "futex + slot" },
	{ "memfd", "futex + slot" },
	{ "mmap", "futex + slot" },
	{ "inproc", "futex + slot" },
	{ "shm", "futex + slot" },
	{ "local", "futex + slot" }
};

/* The library's text instead of the code's. */
static int
told(int rc)
{
	return rc < 0 ? subject_fail(0, "%s", ipc_errmsg()), rc : rc;
}

static int
ours_prepare(struct link *l)
{
	struct ipc_channel **ends = calloc(2, sizeof(void *));
	struct ipc_info info = { .struct_size = sizeof info };
	int rc;

	if (!ends)
		return subject_fail(ENOMEM, "pair");
	l->state = ends;
	rc = ipc_pair(ends, l->subject->parameter, 0);
	if (rc < 0)
		return told(rc);
	ipc_info(ends[0], &info);
	if (l->size > info.max_message)
		return subject_fail(EMSGSIZE, "at most %zu bytes",
		    info.max_message);
	return 0;
}

static int
ours_attach(struct link *l, int side, void **end)
{
	struct ipc_channel **ends = l->state;

	if (!(l->subject->traits & SUBJECT_THREADS))
		ipc_close(ends[!side]);
	*end = ends[side];
	return 0;
}

static int
ours_send(void *end, const void *data, size_t size)
{
	int rc = ipc_send(end, data, size, FOREVER);

	return rc < 0 ? told(rc) : 0;
}

static ssize_t
ours_recv(void *end, void *buffer, size_t size)
{
	ssize_t n = ipc_recv(end, buffer, size, FOREVER);

	return n < 0 ? told((int)n) : n;
}

static int
ours_send_many(void *end, const struct iovec *messages, int count)
{
	int done = 0;

	while (done < count) {
		int n = ipc_sendmany(end, messages + done, count - done,
		    FOREVER);

		if (n < 0)
			return told(n);
		done += n;
	}
	return 0;
}

static int
ours_recv_many(void *end, struct iovec *messages, int count)
{
	int n = ipc_recvmany(end, messages, count, FOREVER);

	return n < 0 ? told(n) : n;
}

static int
ours_reserve(void *end, void **data, size_t size)
{
	return told(ipc_reserve(end, data, size, FOREVER));
}

/* Commit never waits. */
static int
ours_commit(void *end, size_t size)
{
	int rc = ipc_commit(end, size);

	while (rc == -EAGAIN) {
		struct ipc_pollitem item = { .channel = end,
		    .events = IPC_SEND };

		ipc_poll(&item, 1, FOREVER);
		rc = ipc_commit(end, size);
	}
	return rc < 0 ? told(rc) : 0;
}

static ssize_t
ours_peek(void *end, const void **data)
{
	ssize_t n = ipc_peek(end, data, FOREVER);

	return n < 0 ? told((int)n) : n;
}

static int
ours_release(void *end)
{
	return told(ipc_release(end));
}

static int
ours_fd(void *end)
{
	return told(ipc_fd(end, IPC_RECV, NULL));
}

static void
ours_detach(void *end)
{
	ipc_close(end);
}

static const struct subject ours = {
	.kind = SUBJECT_OURS,
	.prepare = ours_prepare,
	.attach = ours_attach,
	.send = ours_send,
	.recv = ours_recv,
	.send_many = ours_send_many,
	.recv_many = ours_recv_many,
	.fd = ours_fd,
	.detach = ours_detach
};

static const char *
under(const char *scheme)
{
	for (size_t i = 0; i < sizeof unders / sizeof unders[0]; i++)
		if (strcmp(unders[i].scheme, scheme) == 0)
			return unders[i].under;
	return NULL;
}

static void
describe(struct subject *s, const struct ipc_mechanism *m)
{
	unsigned caps = m->caps[IPC_WAY_PAIR];

	s->under = under(m->scheme);
	if (!(caps & IPC_CAP_RELIABLE))
		s->traits |= SUBJECT_LOSES;
	if (!(caps & IPC_CAP_DEATH))
		s->traits |= SUBJECT_THREADS;
	if (caps & IPC_CAP_INPLACE || !caps) {
		s->reserve = ours_reserve;
		s->commit = ours_commit;
		s->peek = ours_peek;
		s->release = ours_release;
	}
}

const struct subject *
ours_new(const char *address)
{
	const struct ipc_mechanism *m = ipc_mechanism(address);
	struct subject *s;
	char *name;
	size_t n = strlen(address) + 1;

	if (!m || !(m->ways & 1u << IPC_WAY_PAIR)) {
		subject_fail(EINVAL, "%s: no mechanism that makes pairs",
		    address);
		return NULL;
	}
	s = malloc(sizeof *s + n + 1);
	if (!s) {
		subject_fail(ENOMEM, "%s", address);
		return NULL;
	}
	name = (char *)(s + 1);
	/* "unix" is as good as "unix:". */
	snprintf(name, n + 1, "%s%s", address, strchr(address, ':') ? "" : ":");
	*s = ours;
	s->name = name;
	s->parameter = name;
	describe(s, m);
	/* A slot that holds the newest message is no queue. */
	if (strstr(address, "latest=1"))
		s->traits |= SUBJECT_SLOT;
	return s;
}
