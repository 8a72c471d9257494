/* SPDX-License-Identifier: ISC */
/*
 * A server, its methods and its client, for the tests of remote procedure
 * calls.
 */
#include "rpc.h"

/*
 * Methods
 */

static void
echo(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)user;
	ipc_rpc_reply(call, args, size);
}

static void
fail_as_asked(struct ipc_rpc_call *call, const void *args, size_t size,
    void *user)
{
	int code = 1;

	(void)user;
	if (size == sizeof code)
		memcpy(&code, args, sizeof code);
	ipc_rpc_fail(call, code, "as asked");
}

static void
hold(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct rpc *r = user;
	struct rpc_held *h;

	pthread_mutex_lock(&r->lock);
	h = &r->held[r->held_count++];
	h->call = call;
	h->size = size < sizeof h->args ? size : sizeof h->args;
	if (h->size > 0)
		memcpy(h->args, args, h->size);
	pthread_mutex_unlock(&r->lock);
}

static void
never(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct rpc *r = user;

	(void)args;
	(void)size;
	pthread_mutex_lock(&r->lock);
	r->never[r->never_count++] = call;
	pthread_mutex_unlock(&r->lock);
}

static void
count(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct rpc *r = user;
	int n = 0;

	if (size == sizeof n)
		memcpy(&n, args, sizeof n);
	atomic_fetch_add(&r->sum, n);
	atomic_fetch_add(&r->counted, 1);
	ipc_rpc_reply(call, NULL, 0);
}

/*
 * Servers
 */

void
rpc_make_server(struct rpc *r)
{
	memset(r, 0, sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	expect(0, ipc_rpc_server_new(&r->s));
	expect(0, ipc_rpc_register(r->s, "echo", echo, r));
	expect(0, ipc_rpc_register(r->s, "fail", fail_as_asked, r));
	expect(0, ipc_rpc_register(r->s, "hold", hold, r));
	expect(0, ipc_rpc_register(r->s, "never", never, r));
	expect(0, ipc_rpc_register(r->s, "count", count, r));
}

static long
serve_loop(struct job *j)
{
	struct rpc *r = (struct rpc *)((char *)j - offsetof(struct rpc, loop));

	return ipc_rpc_serve(r->s, -1);
}

void
rpc_serve(struct rpc *r)
{
	job_start(&r->loop, serve_loop);
}

/* The server of a pair whose client has gone ends by itself. */
void
rpc_stop(struct rpc *r)
{
	long rc;

	ipc_rpc_stop(r->s);
	rc = job_end(&r->loop);
	expect_either(-ECANCELED, -EPIPE, rc);
}

struct ipc_rpc_client *
rpc_client(struct rpc *r, const char *options)
{
	struct ipc_rpc_client *c;
	char text[600];

	snprintf(text, sizeof text, "%s%s%s", r->address,
	    *options == '\0' ? "" : strchr(r->address, '?') ? "&" : "?",
	    options);
	expect(0, ipc_rpc_connect(&c, text, SOON));
	return c;
}

/* A client's greeting needs somebody who accepts it: the thread serves. */
static void
begin_session(struct rpc *r)
{
	expect(0, ipc_rpc_listen(r->s, address(""), 0));
	expect(0, ipc_rpc_address(r->s, 0, r->address, sizeof r->address));
	rpc_serve(r);
	r->c = rpc_client(r, "");
}

void
rpc_make(struct rpc *r)
{
	struct ipc_channel *ch[2];

	rpc_make_server(r);
	if (here.way == IPC_WAY_SESSION) {
		begin_session(r);
		rpc_stop(r);
		return;
	}
	pair_of(ch, "", 0);
	expect(0, ipc_rpc_adopt(r->s, ch[1]));
	expect(0, ipc_rpc_attach(&r->c, ch[0]));
}

void
rpc_begin(int i, struct rpc *r)
{
	begin(i);
	rpc_make(r);
	rpc_serve(r);
}

void
rpc_end(struct rpc *r)
{
	int rc;

	expect(0, ipc_rpc_client_close(r->c));
	rpc_stop(r);
	/* 0: its client has gone, and nobody has noticed yet. */
	for (int i = 0; i < r->never_count; i++) {
		rc = ipc_rpc_reply(r->never[i], NULL, 0);
		expect_true(rc == -EPIPE || rc == -ECANCELED || rc == 0);
	}
	expect(0, r->held_count);
	expect(0, ipc_rpc_server_close(r->s));
	pthread_mutex_destroy(&r->lock);
}

/*
 * Calls that are kept
 */

int
rpc_held(struct rpc *r)
{
	int n;

	pthread_mutex_lock(&r->lock);
	n = r->held_count;
	pthread_mutex_unlock(&r->lock);
	return n;
}

void
rpc_wait_held(struct rpc *r, int n)
{
	double limit = now_ms() + 2 * SOON;

	while (rpc_held(r) < n) {
		if (now_ms() > limit)
			fail_with("%s: only %d of %d calls are held", where(),
			    rpc_held(r), n);
		pause_ms(1);
	}
}

static struct rpc_held
take(struct rpc *r, int k)
{
	struct rpc_held h;

	pthread_mutex_lock(&r->lock);
	h = r->held[k];
	r->held[k] = r->held[--r->held_count];
	pthread_mutex_unlock(&r->lock);
	return h;
}

struct ipc_rpc_call *
rpc_take_held(struct rpc *r, int k)
{
	return take(r, k).call;
}

int
rpc_release(struct rpc *r, int k)
{
	struct rpc_held h = take(r, k);

	return ipc_rpc_reply(h.call, h.args, h.size);
}

void
rpc_release_all(struct rpc *r)
{
	while (rpc_held(r) > 0)
		(void)rpc_release(r, 0);
}

/*
 * Clients
 */

void
rpc_echo(struct ipc_rpc_client *c, size_t size)
{
	void *args = need(size), *reply;
	size_t got;

	pattern_fill(args, size, (unsigned)size);
	expect(0, ipc_rpc_call(c, "echo", args, size, &reply, &got, 4 * SOON));
	expect(size, got);
	expect_true((reply == NULL) == (size == 0));
	if (size > 0)
		expect_true(pattern_is(reply, size, (unsigned)size));
	free(reply);
	free(args);
}

void
rpc_note(int status, const void *reply, size_t size, void *user)
{
	struct rpc_seen *seen = user;

	(void)reply;
	seen->bytes += size;
	if (status == IPC_RPC_MORE) {
		seen->parts++;
		return;
	}
	seen->done++;
	seen->good += status == 0;
	seen->status = status;
	if (status != 0)
		snprintf(seen->text, sizeof seen->text, "%s", ipc_errmsg());
}

void
rpc_await(struct ipc_rpc_client *c, struct rpc_seen *seen, int done)
{
	while (seen->done < done)
		expect_ok(ipc_rpc_dispatch(c, 2 * SOON));
	expect(done, seen->done);
}

/*
 * Peers
 */

void
rpc_peer(struct ipc_channel *ch, void *unused)
{
	static struct rpc r;

	(void)unused;
	rpc_make_server(&r);
	expect(0, ipc_rpc_adopt(r.s, ch));
	expect(-EPIPE, ipc_rpc_serve(r.s, -1));
	for (int i = 0; i < r.never_count; i++)
		ipc_rpc_fail(r.never[i], 1, NULL);
	rpc_release_all(&r);
	expect(0, ipc_rpc_server_close(r.s));
}
