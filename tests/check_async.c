/* SPDX-License-Identifier: ISC */
/*
 * Connecting in the background: what two threads, an event loop and a full
 * backlog make of it.
 */
#include "support.h"

#define GREET_TIME	3000	/* ms: as in lib/listen.c */

static const char *path;

static long
accept_later(struct job *j)
{
	struct ipc_channel *ch;

	pause_ms(j->delay);
	j->rc = ipc_accept(&ch, j->buffer, SOON);
	j->ch = ch;
	return j->rc;
}

START_TEST(descriptors_are_refused_once_connected)
{
	struct iovec iov = { (void *)"x", 1 };
	int fds[200] = { 0 };
	struct ipc_msg m = { .struct_size = sizeof m, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = 1 };
	struct ipc_listener *l;
	struct ipc_channel *ch;
	struct job j = { .delay = 100 };
	char at[100];

	(void)_i;
	expect_ok(ipc_listen(&l, "tcp://127.0.0.1:0", 0));
	expect_ok(ipc_listener_address(l, at, sizeof at));
	expect_ok(ipc_connect(&ch, at, IPC_ASYNC, 0));
	j.buffer = l;
	job_start(&j, accept_later);
	expect(-EOPNOTSUPP, ipc_sendmsg(ch, &m, 0, SOON));
	expect(0, job_end(&j));
	ipc_close(j.ch);
	ipc_close(ch);
	ipc_listener_close(l);
}
END_TEST

START_TEST(both_sides_wait_for_one_connection)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	struct job a = { .delay = 50 }, r = { .timeout = 3000, .size = 8 },
	    s = { .timeout = 3000, .data = "ab", .size = 2 };
	static const char *const schemes[] = { "unix", "unixpacket", "pipe",
	    "inproc", "memfd" };
	char at[300], in[8], buf[8];

	path = path_new();
	snprintf(at, sizeof at, "%s:%s", schemes[_i], path);
	for (int i = 0; i < 20; i++) {
		expect_ok(ipc_listen(&l, at, 0));
		expect_ok(ipc_connect(&ch, at, IPC_ASYNC, 0));
		a.buffer = l;
		r.ch = s.ch = ch;
		r.buffer = in;
		a.delay = i % 3 * 10;
		job_start(&r, job_recv);
		job_start(&s, job_send);
		job_start(&a, accept_later);
		expect(0, job_end(&a));
		expect(2, ipc_recv(a.ch, buf, sizeof buf, SOON));
		expect(0, job_end(&s));
		expect(0, ipc_send(a.ch, "xyz", 3, SOON));
		expect(3, job_end(&r));
		ipc_close(a.ch);
		ipc_close(ch);
		ipc_listener_close(l);
	}
}
END_TEST

START_TEST(an_unfinished_connection_is_not_ready)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	static const char *const schemes[] = { "unix", "unixpacket", "pipe",
	    "inproc", "memfd" };
	struct ipc_pollitem item = { .events = POLLIN | POLLOUT };
	struct job a = { .delay = 0 };
	char at[300], buf[8];

	path = path_new();
	snprintf(at, sizeof at, "%s:%s", schemes[_i], path);
	expect_ok(ipc_listen(&l, at, 0));
	expect_ok(ipc_connect(&ch, at, IPC_ASYNC, 0));
	item.channel = ch;
	ipc_poll(&item, 1, 0);
	expect(-EAGAIN, ipc_recv(ch, buf, sizeof buf, 0));
	expect(-EAGAIN, ipc_send(ch, buf, 1, 0));
	expect(0, ipc_poll(&item, 1, 50));
	a.buffer = l;
	job_start(&a, accept_later);
	while (ipc_send(ch, buf, 1, 0) == -EAGAIN)
		expect(1, ipc_poll(&item, 1, SOON));
	expect(0, job_end(&a));
	expect(1, ipc_recv(a.ch, buf, sizeof buf, SOON));
	ipc_close(a.ch);
	ipc_close(ch);
	ipc_listener_close(l);
}
END_TEST

/* One that fails is an item that is ready, not the end of the loop. */
START_TEST(a_failed_connection_is_ready)
{
	struct ipc_pollitem item = { .events = POLLIN };
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char at[300], buf[8];

	(void)_i;
	path = path_new();
	snprintf(at, sizeof at, "pipe:%s", path);
	expect_ok(ipc_listen(&l, at, 0));
	expect_ok(ipc_connect(&ch, at, IPC_ASYNC, 0));
	item.channel = ch;
	ipc_listener_close(l);
	expect(1, ipc_poll(&item, 1, SOON));
	expect(-ECONNREFUSED, ipc_recv(ch, buf, sizeof buf, 0));
	expect(1, ipc_poll(&item, 1, SOON));
	ipc_close(ch);
}
END_TEST

/* Waiting for the backlog and for the answer is one wait. */
START_TEST(a_full_backlog_is_waited_for)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[4];
	char at[300];
	double begun = now_ms();
	int i, rc = 0;

	path = path_new();
	snprintf(at, sizeof at, "%s:%s?backlog=1", _i ? "inproc" : "unix",
	    path);
	expect_ok(ipc_listen(&l, at, 0));
	path = strchr(at, '?');
	at[path - at] = 0;
	for (i = 0; i < 4; i++) {
		if ((rc = ipc_connect(&ch[i], at, IPC_ASYNC, 0)) < 0)
			break;
	}
	expect(-EAGAIN, rc);
	begun = now_ms();
	expect(-ETIMEDOUT, ipc_connect(&ch[3], at, 0, 80));
	expect_true(now_ms() - begun >= 79 && now_ms() - begun < SOON);
	while (i-- > 0)
		ipc_close(ch[i]);
	ipc_listener_close(l);
}
END_TEST

/* The server does not run for longer than it gives a client to greet, and that
 * one comes to believe meanwhile that it is connected. */
START_TEST(who_answers_while_the_server_is_kept_from_looking_is_in_time)
{
	struct ipc_channel *ch, *other;
	struct ipc_listener *l;
	char at[300], byte;

	snprintf(at, sizeof at, "local:%s", path_new());
	expect_ok(ipc_listen(&l, at, 0));
	expect_ok(ipc_connect(&ch, at, IPC_ASYNC, 0));
	/* It is made an offer. */
	expect(-ETIMEDOUT, ipc_accept(&other, l, 50));
	pause_ms(GREET_TIME + 100);
	expect(0, ipc_send(ch, "x", 1, SOON));
	expect(0, ipc_accept(&other, l, SOON));
	expect(1, ipc_recv(other, &byte, 1, SOON));
	ipc_close(other);
	ipc_close(ch);
	ipc_listener_close(l);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("async");
	tc = tcase_open("connecting", 20);
	tcase_add_test(tc, descriptors_are_refused_once_connected);
	tcase_add_loop_test(tc, both_sides_wait_for_one_connection, 0, 5);
	tcase_add_loop_test(tc, an_unfinished_connection_is_not_ready, 0, 5);
	tcase_add_test(tc, a_failed_connection_is_ready);
	tcase_add_loop_test(tc, a_full_backlog_is_waited_for, 0, 2);
	tcase_add_test(tc,
	    who_answers_while_the_server_is_kept_from_looking_is_in_time);
	return suite_close();
}
