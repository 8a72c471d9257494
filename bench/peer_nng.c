/* SPDX-License-Identifier: ISC */
/* HEADERS: nng/nng.h */
/* LINK: -lnng */
/* PACKAGES: libnng-dev */
/*
 * nng over ipc://, a Unix socket and threads on either side that serve it: PAIR
 * sockets, and REQ and REP for calls.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "subject.h"

#define MANY	64		/* calls under way, at most */

struct nng_end {
	nng_socket	 socket;
	nng_msg		*message;	/* what peek shows */
	unsigned	 contexts;	/* of many calls; made when wanted */
	nng_ctx		 context[MANY];
	nng_aio		*aio[MANY];
};

static int
failed(const char *what, int code)
{
	return subject_fail(0, "%s: %s", what, nng_strerror(code)), -EPROTO;
}

/* Side 1 listens; side 0 tries until it does. */
static int
meet(struct link *l, nng_socket s, int side)
{
	char path[200], where[210];
	int rc;

	subject_path(l, "nng", path, sizeof path);
	snprintf(where, sizeof where, "ipc://%s", path);
	rc = nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, 0);
	if (rc != 0)
		return failed(NNG_OPT_RECVMAXSZ, rc);
	if (side == 1)
		rc = nng_listen(s, where, NULL, 0);
	else
		while ((rc = nng_dial(s, where, NULL, 0)) ==
		    NNG_ECONNREFUSED || rc == NNG_ENOENT)
			usleep(100);
	return rc ? failed(where, rc) : 0;
}

static int
attach(struct link *l, int side, void **end, int (*open[2])(nng_socket *))
{
	struct nng_end *e = calloc(1, sizeof *e);
	int rc;

	if (!e)
		return subject_fail(ENOMEM, "socket");
	*end = e;
	rc = open[side](&e->socket);
	return rc ? failed("nng_open", rc) : meet(l, e->socket, side);
}

static int
pair_attach(struct link *l, int side, void **end)
{
	static int (*open[2])(nng_socket *) = { nng_pair0_open,
	    nng_pair0_open };

	return attach(l, side, end, open);
}

static int
pair_send(void *end, const void *data, size_t size)
{
	struct nng_end *e = end;
	int rc = nng_send(e->socket, (void *)(uintptr_t)data, size, 0);

	return rc ? failed("nng_send", rc) : 0;
}

static ssize_t
pair_recv(void *end, void *buffer, size_t size)
{
	struct nng_end *e = end;
	int rc = nng_recv(e->socket, buffer, &size, 0);

	return rc ? failed("nng_recv", rc) : (ssize_t)size;
}

static ssize_t
pair_peek(void *end, const void **data)
{
	struct nng_end *e = end;
	int rc = nng_recvmsg(e->socket, &e->message, 0);

	if (rc)
		return failed("nng_recvmsg", rc);
	*data = nng_msg_body(e->message);
	return (ssize_t)nng_msg_len(e->message);
}

static int
pair_release(void *end)
{
	struct nng_end *e = end;

	nng_msg_free(e->message);
	return 0;
}

static void
any_detach(void *end)
{
	struct nng_end *e = end;

	for (unsigned i = 0; i < e->contexts; i++) {
		nng_ctx_close(e->context[i]);
		nng_aio_free(e->aio[i]);
	}
	nng_close(e->socket);
	free(e);
}

/*
 * Calls
 */

static int
call_attach(struct link *l, int side, void **end)
{
	static int (*open[2])(nng_socket *) = { nng_req0_open,
	    nng_rep0_open };

	return attach(l, side, end, open);
}

static ssize_t
req_call(void *end, const void *data, size_t size, void *buffer)
{
	int rc = pair_send(end, data, size);

	return rc < 0 ? rc : pair_recv(end, buffer, size);
}

/* The rest of rep's loop: the message that came is the answer. */
static int
rep_serve(void *end, struct subject_work *work)
{
	struct nng_end *e = end;
	bool more = true;
	nng_msg *m;
	int rc;

	while (more) {
		rc = nng_recvmsg(e->socket, &m, 0);
		if (rc)
			return failed("nng_recvmsg", rc);
		more = subject_served(work, nng_msg_body(m), nng_msg_len(m));
		rc = nng_sendmsg(e->socket, m, 0);
		if (rc) {
			nng_msg_free(m);
			return failed("nng_sendmsg", rc);
		}
	}
	return 0;
}

/* A socket has one call under way; a context of it has another. */
static int
more_contexts(struct nng_end *e, int count)
{
	int rc = count > MANY ? NNG_EINVAL : 0;

	while (rc == 0 && e->contexts < (unsigned)count) {
		rc = nng_aio_alloc(&e->aio[e->contexts], NULL, NULL);
		if (rc == 0)
			rc = nng_ctx_open(&e->context[e->contexts], e->socket);
		if (rc == 0)
			e->contexts++;
	}
	return rc;
}

static int
start(struct nng_end *e, int i)
{
	nng_msg *m;
	int rc = nng_msg_alloc(&m, 0);

	if (rc)
		return rc;
	nng_aio_set_msg(e->aio[i], m);
	nng_ctx_send(e->context[i], e->aio[i]);
	return 0;
}

static int
sent(struct nng_end *e, int i)
{
	int rc;

	nng_aio_wait(e->aio[i]);
	rc = nng_aio_result(e->aio[i]);
	if (rc)
		nng_msg_free(nng_aio_get_msg(e->aio[i]));
	else
		nng_ctx_recv(e->context[i], e->aio[i]);
	return rc;
}

static int
answered(struct nng_end *e, int i)
{
	nng_msg *m;
	int rc;

	nng_aio_wait(e->aio[i]);
	rc = nng_aio_result(e->aio[i]);
	if (rc)
		return rc;
	m = nng_aio_get_msg(e->aio[i]);
	rc = nng_msg_len(m) == 0 ? 0 : NNG_EPROTO;
	nng_msg_free(m);
	return rc;
}

static int
req_call_many(void *end, int count)
{
	struct nng_end *e = end;
	int rc = more_contexts(e, count);

	for (int i = 0; rc == 0 && i < count; i++)
		rc = start(e, i);
	for (int i = 0; rc == 0 && i < count; i++)
		rc = sent(e, i);
	for (int i = 0; rc == 0 && i < count; i++)
		rc = answered(e, i);
	return rc ? failed("many calls", rc) : 0;
}

static const struct subject pair = {
	.name = "nng pair ipc",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.attach = pair_attach,
	.send = pair_send,
	.recv = pair_recv,
	.peek = pair_peek,
	.release = pair_release,
	.detach = any_detach
};

static const struct subject calls = {
	.name = "nng req/rep",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.attach = call_attach,
	.call = req_call,
	.call_many = req_call_many,
	.serve = rep_serve,
	.detach = any_detach
};

SUBJECT_PEERS(peer_nng);
const struct subject *const peer_nng[] = { &pair, &calls, NULL };
