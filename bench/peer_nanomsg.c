/* SPDX-License-Identifier: ISC */
/* LIBS: nanomsg */
/* PACKAGES: libnanomsg-dev */
/*
 * nanomsg: PAIR sockets over ipc://, a Unix socket and a thread on either side
 * that serves it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nanomsg/nn.h>
#include <nanomsg/pair.h>

#include "subject.h"

#define QUEUE	(4 << 20)	/* bytes, of either direction */
#define AGAIN	1		/* ms between attempts to connect */

struct nn_end {
	int	 socket;
	void	*message;	/* what peek shows */
};

static int
failed(const char *what)
{
	int code = nn_errno();

	return subject_fail(0, "%s: %s", what, nn_strerror(code)),
	    code < NN_HAUSNUMERO ? -code : -EPROTO;
}

static int
set(int socket, int option, int value)
{
	return nn_setsockopt(socket, NN_SOL_SOCKET, option, &value,
	    sizeof value);
}

static int
pair_attach(struct link *l, int side, void **end)
{
	struct nn_end *e = calloc(1, sizeof *e);
	char path[200], where[210];

	if (!e)
		return subject_fail(ENOMEM, "socket");
	*end = e;
	subject_path(l, "nanomsg", path, sizeof path);
	snprintf(where, sizeof where, "ipc://%s", path);
	e->socket = nn_socket(AF_SP, NN_PAIR);
	if (e->socket < 0 || set(e->socket, NN_RCVMAXSIZE, -1) < 0 ||
	    set(e->socket, NN_SNDBUF, QUEUE) < 0 ||
	    set(e->socket, NN_RCVBUF, QUEUE) < 0 ||
	    set(e->socket, NN_RECONNECT_IVL, AGAIN) < 0)
		return failed("nn_socket");
	/* The first attempt to connect would fail, and the next be late. */
	while (side == 0 && access(path, F_OK) < 0)
		usleep(100);
	if ((side == 1 ? nn_bind(e->socket, where) :
	    nn_connect(e->socket, where)) < 0)
		return failed(where);
	return 0;
}

static int
pair_send(void *end, const void *data, size_t size)
{
	struct nn_end *e = end;
	int n;

	do
		n = nn_send(e->socket, data, size, 0);
	while (n < 0 && nn_errno() == EINTR);
	return n < 0 ? failed("nn_send") : 0;
}

static ssize_t
pair_recv(void *end, void *buffer, size_t size)
{
	struct nn_end *e = end;
	int n;

	do
		n = nn_recv(e->socket, buffer, size, 0);
	while (n < 0 && nn_errno() == EINTR);
	return n < 0 ? failed("nn_recv") : n;
}

static ssize_t
pair_peek(void *end, const void **data)
{
	struct nn_end *e = end;
	int n;

	do
		n = nn_recv(e->socket, &e->message, NN_MSG, 0);
	while (n < 0 && nn_errno() == EINTR);
	*data = e->message;
	return n < 0 ? failed("nn_recv") : n;
}

static int
pair_release(void *end)
{
	struct nn_end *e = end;

	return nn_freemsg(e->message) < 0 ? failed("nn_freemsg") : 0;
}

static void
pair_detach(void *end)
{
	struct nn_end *e = end;

	nn_close(e->socket);
	free(e);
}

static const struct subject pair = {
	.name = "nanomsg PAIR ipc",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.attach = pair_attach,
	.send = pair_send,
	.recv = pair_recv,
	.peek = pair_peek,
	.release = pair_release,
	.detach = pair_detach
};

SUBJECT_PEERS(peer_nanomsg);
const struct subject *const peer_nanomsg[] = { &pair, NULL };
