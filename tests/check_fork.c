/* SPDX-License-Identifier: ISC */
/*
 * After a fork both copies are one end: it ends with the last of them, and a
 * copy that is only closed writes nothing.
 */
#include <signal.h>

#include "support.h"

static char buffer[64 * KIB];

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static void
talk(struct ipc_channel *ch, const char *text)
{
	expect(0, ipc_send(ch, text, strlen(text), SOON));
}

static void
hear(struct ipc_channel *ch, const char *text)
{
	size_t n = strlen(text);

	expect(n, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, text, n) == 0);
}

/* The child answers on ch[1]; the parent has closed it before. */
START_TEST(the_parent_closes_its_copy_first)
{
	struct ipc_channel *ch[2];
	struct gate g;
	pid_t pid;

	ends_of(_i, ch, "", 0);
	gate_make(&g);
	if ((pid = forked()) == 0) {
		expect(0, ipc_close(ch[0]));
		gate_wait(&g);
		hear(ch[1], "question");
		talk(ch[1], "answer");
		expect(0, ipc_close(ch[1]));
		_exit(0);
	}
	expect(0, ipc_close(ch[1]));
	expect(-ETIMEDOUT, ipc_recv(ch[0], buffer, sizeof buffer, 30));
	gate_open(&g);
	talk(ch[0], "question");
	hear(ch[0], "answer");
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
	peer_done(pid);
	gate_free(&g);
}
END_TEST

START_TEST(the_child_closes_its_copies_first)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	ends_of(_i, ch, "", 0);
	talk(ch[0], "before");
	if ((pid = forked()) == 0) {
		expect(0, ipc_close(ch[0]));
		expect(0, ipc_close(ch[1]));
		_exit(0);
	}
	peer_done(pid);
	hear(ch[1], "before");
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	talk(ch[1], "after");
	hear(ch[0], "after");
	carry(ch[0], ch[1], 50000);
	expect(0, ipc_close(ch[0]));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

/* A child that goes without closing anything is no end either. */
START_TEST(a_child_with_copies_dies)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	ends_of(_i, ch, "", 0);
	if ((pid = forked()) == 0)
		_exit(0);
	peer_done(pid);
	talk(ch[0], "one");
	hear(ch[1], "one");
	talk(ch[1], "two");
	hear(ch[0], "two");
	expect(0, ipc_close(ch[1]));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

/* The user of an end is killed while another process holds a copy: it is not
 * over before that one is gone as well. */
START_TEST(an_end_lasts_as_long_as_its_last_copy)
{
	struct ipc_channel *ch[2];
	pid_t holder, user;

	ends_of(_i, ch, "", 0);
	if ((holder = forked()) == 0) {
		ipc_close(ch[0]);
		for (;;)
			pause();
	}
	if ((user = forked()) == 0) {
		ipc_close(ch[0]);
		talk(ch[1], "here");
		for (;;)
			pause();
	}
	expect(0, ipc_close(ch[1]));
	hear(ch[0], "here");
	peer_kill(user);
	expect(-ETIMEDOUT, ipc_recv(ch[0], buffer, sizeof buffer, 30));
	peer_kill(holder);
	expect(-ECONNRESET, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

/* What was read ahead before the fork is in the child's copy. */
START_TEST(what_was_read_ahead_goes_with_the_fork)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	ends_of(_i, ch, "", 0);
	talk(ch[0], "one");
	talk(ch[0], "two");
	hear(ch[1], "one");
	if ((pid = forked()) == 0) {
		hear(ch[1], "two");
		talk(ch[1], "got it");
		_exit(0);
	}
	hear(ch[0], "got it");
	peer_done(pid);
	close_ends(ch);
}
END_TEST

/* The descriptor of before the fork is the parent's; the child asks again. */
START_TEST(a_child_waits_on_its_own_descriptor)
{
	struct ipc_channel *ch[2];
	short events;
	pid_t pid;
	int fd;

	ends_of(_i, ch, "", 0);
	expect_ok(ipc_fd(ch[1], IPC_RECV, &events));
	if ((pid = forked()) == 0) {
		expect(0, ipc_close(ch[0]));
		fd = ipc_fd(ch[1], IPC_RECV, &events);
		expect_ok(fd);
		expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
		expect(0, ready(fd, events, 0));
		talk(ch[1], "ready");
		expect_true(ready(fd, events, SOON) != 0);
		hear(ch[1], "go");
		expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
		expect(0, ready(fd, events, 0));
		expect(0, ipc_close(ch[1]));
		_exit(0);
	}
	expect(0, ipc_close(ch[1]));
	hear(ch[0], "ready");
	talk(ch[0], "go");
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
	peer_done(pid);
}
END_TEST

/*
 * A forking server
 */

static _Noreturn void
client_of(const char *text)
{
	struct ipc_channel *ch;

	expect(0, ipc_connect(&ch, text, 0, SOON));
	for (int i = 0; i < 10; i++) {
		talk(ch, "question");
		hear(ch, "answer");
	}
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	_exit(0);
}

static _Noreturn void
serve_one(struct ipc_channel *ch)
{
	for (int i = 0; i < 10; i++) {
		hear(ch, "question");
		talk(ch, "answer");
	}
	expect(0, ipc_close(ch));
	_exit(0);
}

START_TEST(accept_fork_close_as_with_sockets)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	pid_t client[5], server[5];

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	for (int i = 0; i < 5; i++)
		if ((client[i] = forked()) == 0)
			client_of(text);
	for (int i = 0; i < 5; i++) {
		expect(0, ipc_accept(&ch, l, SOON));
		if ((server[i] = forked()) == 0) {
			expect(0, ipc_listener_close(l));
			serve_one(ch);
		}
		expect(0, ipc_close(ch));
	}
	for (int i = 0; i < 5; i++) {
		peer_done(client[i]);
		peer_done(server[i]);
	}
	expect(0, ipc_listener_close(l));
}
END_TEST

/* The child only closes what the parent goes on with. */
START_TEST(accept_fork_and_the_child_closes)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 3; i++) {
		if ((pid = forked()) == 0) {
			expect(0, ipc_close(ch[1]));
			expect(0, ipc_close(ch[0]));
			_exit(0);
		}
		peer_done(pid);
		talk(ch[0], "question");
		hear(ch[1], "question");
		talk(ch[1], "answer");
		hear(ch[0], "answer");
	}
	close_ends(ch);
}
END_TEST

START_TEST(forked_workers_share_a_listener)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	pid_t worker[2];

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	for (int w = 0; w < 2; w++) {
		if ((worker[w] = forked()) != 0)
			continue;
		while (ipc_accept(&ch, l, SOON) == 0) {
			if (ipc_recv(ch, buffer, sizeof buffer, SOON) == 4)
				_exit(0);
			talk(ch, "answer");
			expect(0, ipc_close(ch));
		}
		_exit(1);
	}
	for (int i = 0; i < 20; i++) {
		expect(0, ipc_connect(&ch, text, 0, SOON));
		talk(ch, "question");
		hear(ch, "answer");
		expect(0, ipc_close(ch));
	}
	for (int w = 0; w < 2; w++) {
		expect(0, ipc_connect(&ch, text, 0, SOON));
		talk(ch, "stop");
		expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
		expect(0, ipc_close(ch));
	}
	peer_done(worker[0]);
	peer_done(worker[1]);
	expect(0, ipc_connect(&ch, text, IPC_ASYNC, SOON));
	expect(0, ipc_close(ch));
	expect(0, ipc_listener_close(l));
}
END_TEST

/* Only the process that listens removes the name. */
START_TEST(a_forked_copy_of_a_listener_leaves_the_name)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	pid_t pid;

	begin(_i);
	expect(0, ipc_listen(&l, address(""), 0));
	if ((pid = forked()) == 0) {
		expect(0, ipc_listener_close(l));
		_exit(0);
	}
	peer_done(pid);
	meet(ch, l, 0);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}
END_TEST

/* A worker that has served goes, and the others go on under the same name. */
START_TEST(a_worker_that_leaves_takes_no_name_with_it)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	char text[8192];
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	if ((pid = forked()) == 0) {
		expect(0, ipc_accept(&ch[1], l, SOON));
		hear(ch[1], "question");
		expect(0, ipc_close(ch[1]));
		expect(0, ipc_listener_close(l));
		_exit(0);
	}
	expect(0, ipc_connect(&ch[0], text, 0, SOON));
	talk(ch[0], "question");
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
	peer_done(pid);
	meet(ch, l, 0);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("fork");
	tc = tcase_open("copies", 30);
	for_each_case(tc, the_parent_closes_its_copy_first, TALKS, FORKS);
	for_each_case(tc, the_child_closes_its_copies_first, TALKS, FORKS);
	for_each_case(tc, a_child_with_copies_dies, TALKS, FORKS);
	for_each_case(tc, an_end_lasts_as_long_as_its_last_copy, TALKS, FORKS);
	for_each_case(tc, what_was_read_ahead_goes_with_the_fork, TALKS,
	    FORKS);
	for_each_case(tc, a_child_waits_on_its_own_descriptor, TALKS,
	    FORKS | IPC_CAP_FD);
	tc = tcase_open("servers", 30);
	for_each_case(tc, accept_fork_close_as_with_sockets, SESSION, FORKS);
	for_each_case(tc, accept_fork_and_the_child_closes, SESSION, FORKS);
	for_each_case(tc, forked_workers_share_a_listener, SESSION, FORKS);
	for_each_case(tc, a_worker_that_leaves_takes_no_name_with_it, SESSION,
	    FORKS);
	for_each_case(tc, a_forked_copy_of_a_listener_leaves_the_name, SESSION,
	    FORKS);
	return suite_close();
}
