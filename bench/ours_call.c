/* SPDX-License-Identifier: ISC */
/*
 * Calls through this library: <ipc/rpc.h> over a ring and over a Unix socket,
 * and beside them the bare channels, a message there and one back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

#include "ours.h"

#define FOREVER	(-1)
#define MOST	4096		/* bytes of arguments */
#define METHOD	"echo"

static int
told(int rc)
{
	return rc < 0 ? subject_fail(0, "%s", ipc_errmsg()), rc : rc;
}

/*
 * Calls
 */

struct rpc_end {
	struct ipc_rpc_client	*client;
	struct ipc_rpc_server	*server;
	struct subject_work	*work;
	int			 status;	/* the first that was not 0 */
};

static void
address_of(const struct link *l, char *address, size_t size)
{
	const char *scheme = l->subject->parameter;
	char path[200];

	subject_path(l, "call", path, sizeof path);
	snprintf(address, size, "%s:%s", scheme,
	    strcmp(scheme, "unix") == 0 ? path : l->name);
}

/* It listens before the other side is there, which so never waits for it. */
static int
rpc_prepare(struct link *l)
{
	struct ipc_rpc_server *server;
	char address[256];
	int rc = ipc_rpc_server_new(&server);

	address_of(l, address, sizeof address);
	if (rc >= 0)
		rc = ipc_rpc_listen(server, address, 0);
	l->state = server;
	return told(rc);
}

static int
rpc_attach(struct link *l, int side, void **end)
{
	struct rpc_end *e = calloc(1, sizeof *e);
	char address[256];

	if (!e)
		return subject_fail(ENOMEM, "call");
	*end = e;
	if (side == 1) {
		e->server = l->state;
		return 0;
	}
	address_of(l, address, sizeof address);
	return told(ipc_rpc_connect(&e->client, address, FOREVER));
}

static ssize_t
rpc_call(void *end, const void *data, size_t size, void *buffer)
{
	struct rpc_end *e = end;
	size_t got = 0;
	void *reply;
	int rc = ipc_rpc_call(e->client, METHOD, data, size, &reply, &got,
	    FOREVER);

	if (rc != 0)
		return subject_fail(0, "%s", ipc_errmsg()), -EBADMSG;
	if (reply && got <= size)
		memcpy(buffer, reply, got);
	free(reply);
	return (ssize_t)got;
}

static void
done(int status, const void *reply, size_t size, void *user)
{
	struct rpc_end *e = user;

	(void)reply;
	if (e->status == 0)
		e->status = size == 0 ? status : -EBADMSG;
}

static int
rpc_call_many(void *end, int count)
{
	struct rpc_end *e = end;
	int rc = 0, left = count;

	for (int i = 0; rc >= 0 && i < count; i++)
		rc = ipc_rpc_start(e->client, METHOD, "", 0, done, e, FOREVER);
	while (rc >= 0 && left > 0) {
		rc = ipc_rpc_dispatch(e->client, FOREVER);
		left -= rc > 0 ? rc : left;
	}
	if (rc < 0)
		return told(rc);
	if (e->status != 0)
		return subject_fail(EBADMSG, "status %d", e->status);
	return left == 0 ? 0 : subject_fail(EBADMSG, "too few answers");
}

static void
echo(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct rpc_end *e = user;

	if (!subject_served(e->work, args, size))
		ipc_rpc_stop(e->server);
	ipc_rpc_reply(call, args, size);
}

static int
rpc_serve(void *end, struct subject_work *work)
{
	struct rpc_end *e = end;
	int rc = ipc_rpc_register(e->server, METHOD, echo, e);

	e->work = work;
	if (rc >= 0)
		rc = ipc_rpc_serve(e->server, FOREVER);
	return rc == -ECANCELED ? 0 : told(rc);
}

static void
rpc_detach(void *end)
{
	struct rpc_end *e = end;

	ipc_rpc_client_close(e->client);
	ipc_rpc_server_close(e->server);
	free(e);
}

/* The names are those of the process that made them. */
static void
rpc_clean(struct link *l)
{
	ipc_rpc_server_close(l->state);
}

/*
 * The channels that they go over
 */

static int
channel_prepare(struct link *l)
{
	struct ipc_channel **ends = calloc(2, sizeof(void *));
	char address[32];

	l->state = ends;
	if (!ends)
		return subject_fail(ENOMEM, "pair");
	snprintf(address, sizeof address, "%s:",
	    (const char *)l->subject->parameter);
	return told(ipc_pair(ends, address, 0));
}

static int
channel_attach(struct link *l, int side, void **end)
{
	struct ipc_channel **ends = l->state;

	ipc_close(ends[!side]);
	*end = ends[side];
	return 0;
}

static ssize_t
channel_call(void *end, const void *data, size_t size, void *buffer)
{
	char room[MOST];
	int rc = ipc_send(end, data, size, FOREVER);
	ssize_t n = rc < 0 ? rc : ipc_recv(end, room, sizeof room, FOREVER);

	if (n < 0)
		return told((int)n);
	if ((size_t)n <= size)
		memcpy(buffer, room, (size_t)n);
	return n;
}

static int
channel_serve(void *end, struct subject_work *work)
{
	char room[MOST];
	bool more = true;
	ssize_t n = 0;

	while (n >= 0 && more) {
		n = ipc_recv(end, room, sizeof room, FOREVER);
		if (n >= 0) {
			more = subject_served(work, room, (size_t)n);
			n = ipc_send(end, room, (size_t)n, FOREVER);
		}
	}
	return told((int)n);
}

static void
channel_detach(void *end)
{
	ipc_close(end);
}

#define CHANNEL(name_, scheme, under_)		\
{						\
	.name = (name_),			\
	.kind = SUBJECT_OURS,			\
	.under = (under_),			\
	.parameter = (scheme),			\
	.prepare = channel_prepare,		\
	.attach = channel_attach,		\
	.call = channel_call,			\
	.serve = channel_serve,			\
	.detach = channel_detach		\
}

#define CALLS(name_, scheme, under_)		\
{						\
	.name = (name_),			\
	.kind = SUBJECT_OURS,			\
	.under = (under_),			\
	.parameter = (scheme),			\
	.prepare = rpc_prepare,			\
	.attach = rpc_attach,			\
	.call = rpc_call,			\
	.call_many = rpc_call_many,		\
	.serve = rpc_serve,			\
	.detach = rpc_detach,			\
	.clean = rpc_clean			\
}

static const struct subject
    channel_local = CHANNEL("local: echo", "local", NULL),
    channel_unix = CHANNEL("unix: echo", "unix", "unix framed"),
    calls_local = CALLS("local: rpc", "local", "local: echo"),
    calls_unix = CALLS("unix: rpc", "unix", "unix framed");

const struct subject *const ours_calls[] = {
	&channel_local, &channel_unix, &calls_local, &calls_unix, NULL
};
