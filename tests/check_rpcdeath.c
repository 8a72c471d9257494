/* SPDX-License-Identifier: ISC */
/*
 * Remote procedure calls whose other side is killed, in every state; connecting
 * again; and forks.
 */
#include <signal.h>

#include "rpc.h"

#define TRIES	3

static struct rpc r;
static char large[200000];

/*
 * Servers that are killed
 */

static struct ipc_rpc_client *
client_of_peer(int i, pid_t *pid)
{
	struct ipc_channel *ch = with_peer(i, "", 0, rpc_peer, NULL, pid);
	struct ipc_rpc_client *c;

	expect(0, ipc_rpc_attach(&c, ch));
	return c;
}

/* Where dying can be told it is, elsewhere it is an end like any other. */
static void
expect_dead(int status)
{
	if (here.caps & IPC_CAP_DEATH)
		expect(-ECONNRESET, status);
	else
		expect_either(-EPIPE, -ECONNRESET, status);
}

START_TEST(a_killed_server_fails_every_call_under_way)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_client *c;
	double before;
	pid_t pid;

	for (int t = 0; t < TRIES; t++) {
		c = client_of_peer(_i, &pid);
		memset(&seen, 0, sizeof seen);
		for (int i = 0; i < 100; i++)
			expect(0, ipc_rpc_start(c, "never", NULL, 0, rpc_note,
			    &seen, -1));
		rpc_echo(c, 10);
		before = now_ms();
		peer_kill(pid);
		rpc_await(c, &seen, 100);
		expect_true(now_ms() - before < SOON / 2);
		expect_dead(seen.status);
		expect_dead(ipc_rpc_call(c, "echo", NULL, 0, NULL, NULL, -1));
		expect_dead(ipc_rpc_start(c, "echo", NULL, 0, rpc_note, &seen,
		    -1));
		expect_dead(ipc_rpc_notify(c, "echo", NULL, 0, -1));
		expect(100, seen.done);
		expect(0, ipc_rpc_dispatch(c, 0));
		expect(0, ipc_rpc_client_close(c));
	}
}
END_TEST

static long
kill_later(struct job *j)
{
	kill((pid_t)j->size, SIGKILL);
	return 0;
}

/* Somewhere between requests, answers and waiting. */
START_TEST(a_server_killed_while_it_answers_ends_the_call)
{
	struct ipc_rpc_client *c;
	struct job j;
	pid_t pid;
	int rc;

	for (int t = 0; t < TRIES; t++) {
		c = client_of_peer(_i, &pid);
		rpc_echo(c, 10);
		j = (struct job){ .size = (size_t)pid, .delay = t };
		job_start(&j, kill_later);
		do
			rc = ipc_rpc_call(c, "echo", large,
			    here.caps & IPC_CAP_LARGE ? t * 90000 : 500, NULL,
			    NULL, SOON);
		while (rc == 0);
		expect_dead(rc);
		job_end(&j);
		peer_kill(pid);
		expect(0, ipc_rpc_client_close(c));
	}
}
END_TEST

START_TEST(a_server_killed_in_a_stream_ends_it)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "never", .timeout = -1 };
	struct ipc_rpc_stream *s;
	struct ipc_rpc_client *c;
	pid_t pid;

	c = client_of_peer(_i, &pid);
	expect(0, ipc_rpc_stream_open(&s, c, &q));
	rpc_echo(c, 10);
	peer_kill(pid);
	expect_dead(ipc_rpc_stream_next(s, NULL, NULL, SOON));
	expect(0, ipc_rpc_stream_close(s));
	expect(0, ipc_rpc_client_close(c));
}
END_TEST

/* A stopped server takes nothing: the client waits for room when it dies. */
START_TEST(a_server_killed_while_its_queue_is_full_ends_the_send)
{
	struct ipc_rpc_client *c;
	struct job j;
	pid_t pid;
	int rc;

	c = client_of_peer(_i, &pid);
	rpc_echo(c, 10);
	expect_sys(kill(pid, SIGSTOP));
	j = (struct job){ .size = (size_t)pid, .delay = 100 };
	job_start(&j, kill_later);
	do
		rc = ipc_rpc_notify(c, "echo", large, here.caps &
		    IPC_CAP_LARGE ? sizeof large : 1000, SOON);
	while (rc == 0);
	expect_dead(rc);
	job_end(&j);
	peer_kill(pid);
	expect(0, ipc_rpc_client_close(c));
}
END_TEST

/*
 * Clients that are killed
 */

/* What the client does when it is killed. */
enum doing { WAITING, CALLING, STARTING, STREAMING, SILENT, DOINGS };

static void
client_peer(struct ipc_channel *ch, void *arg)
{
	enum doing doing = *(enum doing *)arg;
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "hold", .timeout = -1 };
	size_t size = here.caps & IPC_CAP_LARGE ? sizeof large : 500;
	struct ipc_rpc_stream *s;
	struct ipc_rpc_client *c;

	expect(0, ipc_rpc_attach(&c, ch));
	rpc_echo(c, 10);
	if (doing == WAITING)
		ipc_rpc_call(c, "hold", NULL, 0, NULL, NULL, -1);
	for (;;)
		switch (doing) {
		case CALLING:
			rpc_echo(c, size);
			break;
		case STARTING:	/* and takes no answer */
			(void)ipc_rpc_start(c, "echo", large, size, NULL, NULL,
			    50);
			break;
		case STREAMING:
			expect(0, ipc_rpc_stream_open(&s, c, &q));
			(void)ipc_rpc_stream_next(s, NULL, NULL, -1);
			break;
		default:
			pause();
		}
}

START_TEST(a_killed_client_is_let_go)
{
	enum doing doing = _i % DOINGS;
	struct ipc_channel *ch;
	double limit;
	pid_t pid;
	int rc;

	for (doing = 0; doing < DOINGS; doing++) {
		rpc_make_server(&r);
		ch = with_peer(_i, "", 0, client_peer, &doing, &pid);
		expect(0, ipc_rpc_adopt(r.s, ch));
		limit = now_ms() + 20;
		while (now_ms() < limit)
			expect_either(0, -ETIMEDOUT, ipc_rpc_serve(r.s, 10));
		peer_kill(pid);
		/* Then there is no client, and the loop says so. */
		limit = now_ms() + SOON;
		do
			rc = ipc_rpc_serve(r.s, 50);
		while (rc != -EPIPE && now_ms() < limit);
		expect(-EPIPE, rc);
		while (rpc_held(&r) > 0) {
			expect(1, ipc_rpc_cancelled(r.held[0].call));
			expect(-EPIPE, rpc_release(&r, 0));
		}
		expect(0, ipc_rpc_server_close(r.s));
	}
}
END_TEST

/*
 * Connecting again
 */

static void
die(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)call;
	(void)args;
	(void)size;
	(void)user;
	raise(SIGKILL);
}

static char at[300], text[320];	/* a server's address; its client's */

static void
address_anew(void)
{
	snprintf(at, sizeof at, "unix:%s", path_new());
	snprintf(text, sizeof text, "%s?reconnect=1", at);
}

/* A process that serves there. */
static pid_t
server(void)
{
	struct gate g;
	pid_t pid;

	gate_make(&g);
	pid = fork();
	expect_sys(pid);
	if (pid == 0) {
		rpc_make_server(&r);
		expect(0, ipc_rpc_register(r.s, "die", die, NULL));
		if (ipc_rpc_listen(r.s, at, 0) < 0)
			_exit(1);
		gate_open(&g);
		(void)ipc_rpc_serve(r.s, -1);
		_exit(2);
	}
	gate_wait(&g);
	gate_free(&g);
	return pid;
}

static long
serve_soon(struct job *j)
{
	j->size = (size_t)server();
	return 0;
}

static void
server_in(struct job *j, int ms)
{
	*j = (struct job){ .delay = ms };
	job_start(j, serve_soon);
}

static pid_t
server_of(struct job *j)
{
	job_end(j);
	return (pid_t)j->size;
}

static void
kill_and_close(pid_t pid, struct ipc_rpc_client *c)
{
	peer_kill(pid);
	expect(0, ipc_unlink(at));
	expect(0, ipc_rpc_client_close(c));
}

START_TEST(reconnect_goes_on_with_the_next_server)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_client *c;
	struct job j;
	pid_t pid;

	address_anew();
	/* It waits for one that is not there yet. */
	server_in(&j, 50);
	expect(0, ipc_rpc_connect(&c, text, SOON));
	pid = server_of(&j);
	rpc_echo(c, 100);
	for (int t = 0; t < TRIES; t++) {
		/* What may have run is not repeated. */
		expect(0, ipc_rpc_start(c, "never", NULL, 0, rpc_note, &seen,
		    -1));
		rpc_echo(c, 10);
		peer_kill(pid);
		rpc_await(c, &seen, t + 1);
		expect(-ECONNRESET, seen.status);
		server_in(&j, 50 * t);
		rpc_echo(c, 100);
		pid = server_of(&j);
	}
	kill_and_close(pid, c);
}
END_TEST

/* It has run, and would be the end of the next server as well. */
START_TEST(reconnect_repeats_nothing_that_may_have_run)
{
	struct ipc_rpc_client *c;
	struct job j;
	pid_t pid;

	address_anew();
	pid = server();
	expect(0, ipc_rpc_connect(&c, text, SOON));
	for (int t = 0; t < TRIES; t++) {
		expect(-ECONNRESET, ipc_rpc_call(c, "die", NULL, 0, NULL, NULL,
		    SOON));
		peer_kill(pid);
		server_in(&j, 50 * t);
		rpc_echo(c, 100);
		pid = server_of(&j);
	}
	kill_and_close(pid, c);
}
END_TEST

START_TEST(reconnect_gives_up_when_the_time_is_over)
{
	struct ipc_rpc_client *c;
	double before;
	pid_t pid;
	int rc;

	address_anew();
	before = now_ms();
	rc = ipc_rpc_connect(&c, text, 80);
	expect_true(rc == -ENOENT || rc == -ECONNREFUSED || rc == -ETIMEDOUT);
	expect_true(now_ms() - before >= 79);
	pid = server();
	expect(0, ipc_rpc_connect(&c, text, SOON));
	peer_kill(pid);
	expect_error(ipc_rpc_call(c, "echo", NULL, 0, NULL, NULL, SOON));
	before = now_ms();
	expect_error(ipc_rpc_call(c, "echo", NULL, 0, NULL, NULL, 80));
	expect_true(now_ms() - before >= 75);
	expect(-EAGAIN, ipc_rpc_start(c, "echo", NULL, 0, NULL, NULL, 0));
	expect(0, ipc_unlink(at));
	expect(0, ipc_rpc_client_close(c));
}
END_TEST

/* In an event loop nobody waits: it is tried again and again. */
START_TEST(reconnect_does_not_wait_where_nobody_may)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_client *c;
	double before, limit;
	pid_t pid;
	int rc;

	address_anew();
	pid = server();
	expect(0, ipc_rpc_connect(&c, text, SOON));
	rpc_echo(c, 10);
	peer_kill(pid);
	pid = server();
	limit = now_ms() + SOON;
	do {
		before = now_ms();
		rc = ipc_rpc_start(c, "echo", NULL, 0, rpc_note, &seen, 0);
		expect_true(now_ms() - before < SOON / 4);
	} while (rc == -EAGAIN && now_ms() < limit);
	expect(0, rc);
	rpc_await(c, &seen, 1);
	expect(1, seen.good);
	kill_and_close(pid, c);
}
END_TEST

START_TEST(reconnect_takes_0_or_1)
{
	struct ipc_rpc_client *c;

	expect(-EINVAL, ipc_rpc_connect(&c, "unix:/x?reconnect=2", 0));
	expect(-EINVAL, ipc_rpc_connect(&c, "unix:/x?reconnect=", 0));
	expect(-EINVAL, ipc_rpc_connect(&c, "unix:/x?reconnect=0&bad=1", 0));
	expect_true(strstr(ipc_errmsg(), "bad") != NULL);
	expect_either(-ENOENT, -ECONNREFUSED, ipc_rpc_connect(&c,
	    "unix:/x?capacity=64K&reconnect=0", 100));
}
END_TEST

/*
 * Forks
 */

/* The child closes its copies, which the parent does not notice. */
START_TEST(a_child_closes_what_its_parent_goes_on_with)
{
	struct rpc_seen seen = { 0 };
	pid_t pid;

	begin(_i);
	rpc_make(&r);
	expect_ok(ipc_rpc_fd(r.s));
	expect(0, ipc_rpc_start(r.c, "never", NULL, 0, rpc_note, &seen, -1));
	expect(0, ipc_rpc_serve(r.s, SOON));
	pid = fork();
	expect_sys(pid);
	if (pid == 0) {
		expect(0, ipc_rpc_client_close(r.c));
		expect(0, ipc_rpc_server_close(r.s));
		_exit(seen.done);
	}
	peer_done(pid);
	rpc_serve(&r);
	rpc_echo(r.c, 1000);
	expect(0, seen.done);
	rpc_end(&r);
	expect(1, seen.done);
}
END_TEST

#ifndef __SANITIZE_THREAD__	/* which knows the child's thread as ours */

/* Sends parts until nobody wants any more. */
static long
send_parts(struct job *j)
{
	int rc;

	do
		rc = ipc_rpc_part(j->buffer, large, 16 * KIB, SOON);
	while (rc == 0);
	return rc;
}

static struct ipc_rpc_stream *
stream_of_thread(struct job *j)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "hold", .timeout = -1 };
	struct ipc_rpc_stream *s;

	expect(0, ipc_rpc_stream_open(&s, r.c, &q));
	rpc_wait_held(&r, 1);
	j->buffer = rpc_take_held(&r, 0);
	job_start(j, send_parts);
	return s;
}

/* Its own threads are woken, and those that waited in the parent are not. */
static _Noreturn void
child_goes_on(struct ipc_rpc_stream *parents)
{
	struct ipc_rpc_stream *s;
	struct job j = { 0 };

	rpc_serve(&r);
	expect(0, ipc_rpc_stream_close(parents));
	s = stream_of_thread(&j);
	for (int i = 0; i < 200; i++)
		expect(IPC_RPC_MORE, ipc_rpc_stream_next(s, NULL, NULL, SOON));
	expect(0, ipc_rpc_stream_close(s));
	expect(-ECANCELED, job_end(&j));
	expect(-ECANCELED, ipc_rpc_reply(j.buffer, NULL, 0));
	rpc_end(&r);
	_exit(0);
}

START_TEST(a_child_goes_on_where_a_thread_waited_for_room)
{
	struct ipc_rpc_stream *s;
	struct job j = { 0 };
	pid_t pid;

	rpc_begin(_i, &r);
	s = stream_of_thread(&j);
	pause_ms(30);
	rpc_stop(&r);
	pid = fork();
	expect_sys(pid);
	if (pid == 0)
		child_goes_on(s);
	peer_done(pid);
	expect(0, ipc_rpc_client_close(r.c));
	expect(0, ipc_rpc_server_close(r.s));
	expect(-EPIPE, job_end(&j));
	expect(-EPIPE, ipc_rpc_reply(j.buffer, NULL, 0));
	expect(0, ipc_rpc_stream_close(s));
}
END_TEST

#endif

/* Workers that were forked accept on copies of one listener. */
START_TEST(forked_workers_share_a_listener)
{
	struct ipc_rpc_client *c;
	pid_t pid[3];

	begin(_i);
	rpc_make_server(&r);
	expect(0, ipc_rpc_listen(r.s, address(""), 0));
	expect(0, ipc_rpc_address(r.s, 0, r.address, sizeof r.address));
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		expect_sys(pid[i]);
		if (pid[i] == 0) {
			(void)ipc_rpc_serve(r.s, -1);
			_exit(1);
		}
	}
	for (int i = 0; i < 10; i++) {
		c = rpc_client(&r, "");
		rpc_echo(c, 300);
		expect(0, ipc_rpc_client_close(c));
	}
	for (int i = 0; i < 3; i++)
		peer_kill(pid[i]);
	expect(0, ipc_rpc_server_close(r.s));
}
END_TEST

int
main(void)
{
	const unsigned dies = CALLS | IPC_CAP_RELIABLE | IPC_CAP_END |
	    IPC_CAP_DEATH;
	TCase *tc;

	suite_open("rpcdeath");
	tc = tcase_open("killed", 20);
	for_each_case(tc, a_killed_server_fails_every_call_under_way, TALKS,
	    dies);
	for_each_case(tc, a_server_killed_while_it_answers_ends_the_call,
	    TALKS, dies);
	for_each_case(tc, a_server_killed_in_a_stream_ends_it, TALKS, dies);
	for_each_case(tc, a_server_killed_while_its_queue_is_full_ends_the_send,
	    TALKS, dies);
	for_each_case(tc, a_killed_client_is_let_go, TALKS, dies);
	tc = tcase_open("again", 30);
	tcase_add_test(tc, reconnect_goes_on_with_the_next_server);
	tcase_add_test(tc, reconnect_repeats_nothing_that_may_have_run);
	tcase_add_test(tc, reconnect_gives_up_when_the_time_is_over);
	tcase_add_test(tc, reconnect_does_not_wait_where_nobody_may);
	tcase_add_test(tc, reconnect_takes_0_or_1);
	tc = tcase_open("forks", 20);
	for_each_case(tc, a_child_closes_what_its_parent_goes_on_with, TALKS,
	    CALLS | IPC_CAP_RELIABLE | FORKS);
#ifndef __SANITIZE_THREAD__
	for_each_case(tc, a_child_goes_on_where_a_thread_waited_for_room,
	    TALKS, CALLS | IPC_CAP_RELIABLE | IPC_CAP_LARGE | FORKS);
#endif
	for_each_case(tc, forked_workers_share_a_listener, SESSION,
	    CALLS | IPC_CAP_RELIABLE | FORKS);
	return suite_close();
}
