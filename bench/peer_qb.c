/* SPDX-License-Identifier: ISC */
/* LIBS: libqb */
/* PACKAGES: libqb-dev */
/*
 * libqb: its ring buffer in shared memory, whose reader sleeps on a semaphore
 * or polls; and its calls, through such rings or through datagram sockets, of
 * which the server runs in libqb's own loop.
 */
#include <sys/uio.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include <qb/qbrb.h>

#include "subject.h"

#define RING		((size_t)256 << 10)	/* bytes, ... */
#define RING_MESSAGES	4			/* ...or so many messages */
#define SPINS		2000	/* before others may run */
#define FOREVER		(-1)

/*
 * The ring buffer
 */

struct rings {
	qb_ringbuffer_t	*to[2];		/* a side */
};

struct ring_end {
	qb_ringbuffer_t	*in, *out;
	bool		 polls;
};

/* "qb-" is what it puts before the names of rings; the cell's have all but the
 * number in common. */
static void
note_rings(const struct link *l)
{
	char prefix[64];

	snprintf(prefix, sizeof prefix, "qb-%s", l->name);
	strrchr(prefix, '-')[1] = '\0';
	subject_note_memory(prefix);
}

/* The child of the fork has the mappings, and needs no names. */
static int
rings_prepare(struct link *l)
{
	const uint32_t *flags = l->subject->parameter;
	size_t least = RING_MESSAGES * l->size;
	struct rings *r = calloc(1, sizeof *r);
	char name[64];

	l->state = r;
	if (!r)
		return subject_fail(ENOMEM, "rings");
	note_rings(l);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof name, "%s-%d", l->name, i);
		r->to[i] = qb_rb_open(name, least > RING ? least : RING,
		    *flags | QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS, 0);
		if (!r->to[i])
			return subject_fail(errno, "qb_rb_open");
	}
	return 0;
}

static int
ring_attach(struct link *l, int side, void **end)
{
	const uint32_t *flags = l->subject->parameter;
	struct ring_end *e = calloc(1, sizeof *e);
	struct rings *r = l->state;

	if (!e)
		return subject_fail(ENOMEM, "ring");
	e->in = r->to[side];
	e->out = r->to[!side];
	e->polls = *flags & QB_RB_FLAG_NO_SEMAPHORE;
	*end = e;
	return 0;
}

static void
pause_a_bit(unsigned *n)
{
	if (++*n < SPINS)
		subject_relax();
	else
		sched_yield();
}

/* Nothing wakes a writer that waits for room. */
static int
ring_send(void *end, const void *data, size_t size)
{
	struct ring_end *e = end;
	unsigned spins = 0;
	ssize_t n;

	while ((n = qb_rb_chunk_write(e->out, data, size)) == -EAGAIN)
		pause_a_bit(&spins);
	return n < 0 ? subject_fail((int)-n, "qb_rb_chunk_write") : 0;
}

/* Where it polls, a place that holds no message is called a bad one. */
static bool
nothing_yet(const struct ring_end *e, ssize_t n)
{
	return n == -EINTR || (e->polls && (n == 0 || n == -ETIMEDOUT ||
	    n == -EAGAIN || n == -EBADMSG));
}

static ssize_t
ring_recv(void *end, void *buffer, size_t size)
{
	struct ring_end *e = end;
	unsigned spins = 0;
	ssize_t n;

	while (nothing_yet(e, n = qb_rb_chunk_read(e->in, buffer, size,
	    FOREVER)))
		pause_a_bit(&spins);
	return n < 0 ? subject_fail((int)-n, "qb_rb_chunk_read") : n;
}

static int
ring_reserve(void *end, void **data, size_t size)
{
	struct ring_end *e = end;
	unsigned spins = 0;

	while (!(*data = qb_rb_chunk_alloc(e->out, size)))
		if (errno == EAGAIN)
			pause_a_bit(&spins);
		else
			return subject_fail(errno, "qb_rb_chunk_alloc");
	return 0;
}

static int
ring_commit(void *end, size_t size)
{
	struct ring_end *e = end;
	int rc = qb_rb_chunk_commit(e->out, size);

	return rc < 0 ? subject_fail(-rc, "qb_rb_chunk_commit") : 0;
}

static ssize_t
ring_peek(void *end, const void **data)
{
	struct ring_end *e = end;
	unsigned spins = 0;
	void *p = NULL;
	ssize_t n;

	while (nothing_yet(e, n = qb_rb_chunk_peek(e->in, &p, FOREVER)))
		pause_a_bit(&spins);
	*data = p;
	return n < 0 ? subject_fail((int)-n, "qb_rb_chunk_peek") : n;
}

static int
ring_release(void *end)
{
	qb_rb_chunk_reclaim(((struct ring_end *)end)->in);
	return 0;
}

static void
ring_detach(void *end)
{
	free(end);
}

static void
rings_clean(struct link *l)
{
	struct rings *r = l->state;

	for (int i = 0; i < 2; i++)
		qb_rb_close(r->to[i]);
}

/*
 * Calls
 */

struct call_end {
	qb_ipcc_connection_t	*client;
	qb_ipcs_service_t	*service;
	size_t			 size;
};

/* Of the server, which has no other place for it. */
static struct {
	qb_loop_t		*loop;
	struct subject_work	*work;
	int			 code;
} serving;

static int32_t
accept_all(qb_ipcs_connection_t *c, uid_t uid, gid_t gid)
{
	(void)c;
	(void)uid;
	(void)gid;
	return 0;
}

static void
nothing(qb_ipcs_connection_t *c)
{
	(void)c;
}

static int32_t
closed(qb_ipcs_connection_t *c)
{
	(void)c;
	return 0;
}

static int32_t
echo(qb_ipcs_connection_t *c, void *data, size_t size)
{
	struct qb_ipc_request_header *request = data;
	struct qb_ipc_response_header head = { .id = request->id };
	size_t n = (size_t)request->size - sizeof *request;
	struct iovec iov[2] = { { &head, sizeof head }, { request + 1, n } };
	ssize_t rc;

	(void)size;
	if (!subject_served(serving.work, request + 1, n))
		qb_loop_stop(serving.loop);
	head.size = (int32_t)(sizeof head + n);
	do
		rc = qb_ipcs_response_sendv(c, iov, 2);
	while (rc == -EAGAIN);
	if (rc < 0) {
		serving.code = (int)-rc;
		qb_loop_stop(serving.loop);
	}
	return 0;
}

static int32_t
add_job(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn run)
{
	return qb_loop_job_add(serving.loop, p, data, run);
}

static int32_t
add_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
    qb_ipcs_dispatch_fn_t run)
{
	return qb_loop_poll_add(serving.loop, p, fd, events, data, run);
}

static int32_t
change_fd(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
    qb_ipcs_dispatch_fn_t run)
{
	return qb_loop_poll_mod(serving.loop, p, fd, events, data, run);
}

static int32_t
remove_fd(int32_t fd)
{
	return qb_loop_poll_del(serving.loop, fd);
}

static int
start_service(struct link *l, struct call_end *e)
{
	static struct qb_ipcs_service_handlers handlers = { accept_all,
	    nothing, echo, closed, nothing };
	static struct qb_ipcs_poll_handlers polls = { add_job, add_fd,
	    change_fd, remove_fd };
	const enum qb_ipc_type *type = l->subject->parameter;
	int rc;

	serving.loop = qb_loop_create();
	if (!serving.loop)
		return subject_fail(errno, "qb_loop_create");
	e->service = qb_ipcs_create(l->name, 0, *type, &handlers);
	if (!e->service)
		return subject_fail(errno, "qb_ipcs_create");
	qb_ipcs_poll_handlers_set(e->service, &polls);
	rc = qb_ipcs_run(e->service);
	return rc < 0 ? subject_fail(-rc, "qb_ipcs_run") : 0;
}

/* The server is served when both have attached; the client may be here before
 * it is there, and then waits in its own connect. */
static int
call_attach(struct link *l, int side, void **end)
{
	struct call_end *e = calloc(1, sizeof *e);
	char prefix[32];

	if (!e)
		return subject_fail(ENOMEM, "calls");
	e->size = l->size;
	*end = e;
	if (side == 1) {
		/* Its rings are in directories that begin so. */
		snprintf(prefix, sizeof prefix, "qb-%d-", (int)getpid());
		subject_note_memory(prefix);
		return start_service(l, e);
	}
	while (!(e->client = qb_ipcc_connect(l->name, 0)) &&
	    (errno == ECONNREFUSED || errno == ENOENT || errno == EAGAIN))
		usleep(100);
	return e->client ? 0 : subject_fail(errno, "qb_ipcc_connect");
}

/* Copies the answer's bytes; its length. */
static ssize_t
answer(struct call_end *e, ssize_t n, const char *room, void *buffer)
{
	struct qb_ipc_response_header head;

	if (n < 0)
		return subject_fail((int)-n, "qb_ipcc_recv");
	memcpy(&head, room, sizeof head);
	if (n < (ssize_t)sizeof head || head.size != n || head.error != 0)
		return subject_fail(EBADMSG, "an answer of %zd bytes", n);
	n -= (ssize_t)sizeof head;
	if ((size_t)n <= e->size)
		memcpy(buffer, room + sizeof head, (size_t)n);
	return n;
}

#define ROOM(e)	(sizeof(struct qb_ipc_response_header) + (e)->size)

static ssize_t
ipc_call(void *end, const void *data, size_t size, void *buffer)
{
	struct call_end *e = end;
	struct qb_ipc_request_header head = { .id = QB_IPC_MSG_USER_START,
	    .size = (int32_t)(sizeof head + size) };
	struct iovec iov[2] = { { &head, sizeof head },
	    { (void *)(uintptr_t)data, size } };
	char room[ROOM(e)];
	ssize_t n;

	do
		n = qb_ipcc_sendv_recv(e->client, iov, 2, room, ROOM(e),
		    FOREVER);
	while (n == -EAGAIN);
	return answer(e, n, room, buffer);
}

static int
ipc_call_many(void *end, int count)
{
	struct call_end *e = end;
	struct qb_ipc_request_header head = { .id = QB_IPC_MSG_USER_START,
	    .size = (int32_t)sizeof head };
	char room[ROOM(e)];
	ssize_t n = 0;

	for (int i = 0; n >= 0 && i < count; i++)
		do
			n = qb_ipcc_send(e->client, &head, sizeof head);
		while (n == -EAGAIN);
	for (int i = 0; n >= 0 && i < count; i++) {
		n = qb_ipcc_recv(e->client, room, ROOM(e), FOREVER);
		n = answer(e, n, room, room);
		if (n > 0)
			n = subject_fail(EBADMSG, "an answer of %zd", n);
	}
	return (int)n;
}

static int
ipc_serve(void *end, struct subject_work *work)
{
	(void)end;
	serving.work = work;
	serving.code = 0;
	qb_loop_run(serving.loop);
	return serving.code ? subject_fail(serving.code, "response") : 0;
}

static void
call_detach(void *end)
{
	struct call_end *e = end;

	if (e->client)
		qb_ipcc_disconnect(e->client);
	if (e->service)
		qb_ipcs_destroy(e->service);
	free(e);
}

static const uint32_t semaphore = 0, polling = QB_RB_FLAG_NO_SEMAPHORE;
static const enum qb_ipc_type through_rings = QB_IPC_SHM,
    through_sockets = QB_IPC_SOCKET;

#define RINGS(name_, traits_, flags)		\
{						\
	.name = (name_),			\
	.kind = SUBJECT_PEER,			\
	.traits = (traits_),			\
	.parameter = (flags),			\
	.prepare = rings_prepare,		\
	.attach = ring_attach,			\
	.send = ring_send,			\
	.recv = ring_recv,			\
	.reserve = ring_reserve,		\
	.commit = ring_commit,			\
	.peek = ring_peek,			\
	.release = ring_release,		\
	.detach = ring_detach,			\
	.clean = rings_clean			\
}

#define CALLS(name_, type)			\
{						\
	.name = (name_),			\
	.kind = SUBJECT_PEER,			\
	.parameter = (type),			\
	.attach = call_attach,			\
	.call = ipc_call,			\
	.call_many = ipc_call_many,		\
	.serve = ipc_serve,			\
	.detach = call_detach			\
}

static const struct subject
    ring = RINGS("libqb ring", 0, &semaphore),
    ring_polling = RINGS("libqb ring, polled", SUBJECT_SPINS, &polling),
    ipc_shm = CALLS("libqb SHM", &through_rings),
    ipc_socket = CALLS("libqb SOCKET", &through_sockets);

SUBJECT_PEERS(peer_qb);
const struct subject *const peer_qb[] = { &ring, &ring_polling, &ipc_shm,
    &ipc_socket, NULL };
