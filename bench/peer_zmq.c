/* SPDX-License-Identifier: ISC */
/* LIBS: libzmq */
/* PACKAGES: libzmq3-dev */
/*
 * ZeroMQ: PAIR sockets, between processes over ipc:// (a Unix socket and a
 * thread on either side that reads and writes it), and between threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zmq.h>

#include "subject.h"

#define QUEUED	((size_t)64 << 20)	/* bytes on their way, at most */
#define MANY	1000			/* messages: its own default */
#define AGAIN	1			/* ms between attempts to connect */

struct zmq_end {
	void		*context, *socket;
	bool		 shared;	/* the context is the other's too */
	zmq_msg_t	 message;	/* what peek shows */
};

static int
failed(const char *what)
{
	int code = zmq_errno();

	/* It has codes of its own, behind those of the system. */
	return subject_fail(0, "%s: %s", what, zmq_strerror(code)),
	    code < ZMQ_HAUSNUMERO ? -code : -EPROTO;
}

static int
set(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int
set_up(struct zmq_end *e, size_t size, int side, const char *where)
{
	int most = QUEUED / size < MANY ? (int)(QUEUED / size) : MANY;

	e->socket = zmq_socket(e->context, ZMQ_PAIR);
	if (!e->socket || set(e->socket, ZMQ_SNDHWM, most) < 0 ||
	    set(e->socket, ZMQ_RCVHWM, most) < 0 ||
	    set(e->socket, ZMQ_LINGER, 0) < 0 ||
	    set(e->socket, ZMQ_RECONNECT_IVL, AGAIN) < 0)
		return failed("zmq_socket");
	if (side == 1 && zmq_bind(e->socket, where) < 0)
		return failed(where);
	/* It may come before the other side has bound. */
	if (side == 0 && zmq_connect(e->socket, where) < 0)
		return failed(where);
	return 0;
}

/* In a process of its own each, as it has threads. */
static int
ipc_attach(struct link *l, int side, void **end)
{
	struct zmq_end *e = calloc(1, sizeof *e);
	char path[200], where[210];

	if (!e)
		return subject_fail(ENOMEM, "socket");
	*end = e;
	subject_path(l, "zmq", path, sizeof path);
	snprintf(where, sizeof where, "ipc://%s", path);
	e->context = zmq_ctx_new();
	if (!e->context)
		return failed("zmq_ctx_new");
	/* The first attempt to connect would fail, and the next be late. */
	while (side == 0 && access(path, F_OK) < 0)
		usleep(100);
	return set_up(e, l->size, side, where);
}

static int
inproc_prepare(struct link *l)
{
	l->state = zmq_ctx_new();
	return l->state ? 0 : failed("zmq_ctx_new");
}

static int
inproc_attach(struct link *l, int side, void **end)
{
	struct zmq_end *e = calloc(1, sizeof *e);
	char where[80];

	if (!e)
		return subject_fail(ENOMEM, "socket");
	*end = e;
	snprintf(where, sizeof where, "inproc://%s", l->name);
	e->context = l->state;
	e->shared = true;
	return set_up(e, l->size, side, where);
}

static int
pair_send(void *end, const void *data, size_t size)
{
	struct zmq_end *e = end;
	int n;

	do
		n = zmq_send(e->socket, data, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? failed("zmq_send") : 0;
}

static ssize_t
pair_recv(void *end, void *buffer, size_t size)
{
	struct zmq_end *e = end;
	int n;

	do
		n = zmq_recv(e->socket, buffer, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? failed("zmq_recv") : n;
}

static ssize_t
pair_peek(void *end, const void **data)
{
	struct zmq_end *e = end;
	int n;

	zmq_msg_init(&e->message);
	do
		n = zmq_msg_recv(&e->message, e->socket, 0);
	while (n < 0 && errno == EINTR);
	*data = zmq_msg_data(&e->message);
	return n < 0 ? failed("zmq_msg_recv") : n;
}

static int
pair_release(void *end)
{
	struct zmq_end *e = end;

	return zmq_msg_close(&e->message) < 0 ? failed("zmq_msg_close") : 0;
}

static void
pair_detach(void *end)
{
	struct zmq_end *e = end;

	zmq_close(e->socket);
	if (!e->shared)
		zmq_ctx_term(e->context);
	free(e);
}

static void
inproc_clean(struct link *l)
{
	zmq_ctx_term(l->state);
}

static const struct subject pair_ipc = {
	.name = "zmq PAIR ipc",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.attach = ipc_attach,
	.send = pair_send,
	.recv = pair_recv,
	.peek = pair_peek,
	.release = pair_release,
	.detach = pair_detach
};

static const struct subject pair_inproc = {
	.name = "zmq PAIR inproc",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY | SUBJECT_THREADS,
	.prepare = inproc_prepare,
	.attach = inproc_attach,
	.send = pair_send,
	.recv = pair_recv,
	.peek = pair_peek,
	.release = pair_release,
	.detach = pair_detach,
	.clean = inproc_clean
};

SUBJECT_PEERS(peer_zmq);
const struct subject *const peer_zmq[] = { &pair_ipc, &pair_inproc, NULL };
