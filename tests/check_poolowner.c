/* SPDX-License-Identifier: ISC */
/*
 * The process that a pool is of: it closes the pool at any point, has other
 * children, forks, or dies.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "pools.h"

/* At most this many calls, any of them, then the end. */
START_TEST(a_pool_can_be_closed_at_any_point)
{
	struct ipc_pool *p;
	char *big = need(2 * MIB);

	begin(_i);
	somebody_died();
	memset(big, 0, 2 * MIB);
	for (int round = 0; round < rounds(12); round++) {
		p = orders_new(&(struct ipc_pool_config){ .workers = 2,
		    .grace = 5 });
		for (int i = (int)any() % 12; i > 0; i--)
			switch (any() % 5) {
			case 0:
				order(p, any() % 2 ? ORDER_DIE : ORDER_HANG,
				    1, 0);
				break;
			case 1:
				ipc_pool_submit(p, big, 2 * MIB, NULL, 0);
				break;
			case 2:
				ipc_pool_drain(p, (int)any() % 3);
				break;
			default:
				order(p, ORDER_ECHO, 2, 0);
			}
		expect(0, ipc_pool_close(p));
		expect(-1, waitpid(-1, NULL, WNOHANG));
		expect(ECHILD, errno);
	}
	free(big);
}
END_TEST

START_TEST(other_children_are_left_alone)
{
	struct ipc_pool *p;
	int status;
	pid_t pid;

	somebody_died();
	expect_sys(pid = fork());
	if (pid == 0)
		_exit(7);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2, .tries = 1 });
	for (int i = 0; i < 5; i++) {
		expect(0, order(p, ORDER_DIE, 0, 0));
		expect(-ECONNRESET, next(p).status);
	}
	expect(0, ipc_pool_close(p));
	expect(pid, waitpid(pid, &status, 0));
	expect(7, WEXITSTATUS(status));
}
END_TEST

/* A program with a handler of its own that waits for whoever ends. */
START_TEST(somebody_else_waits_for_its_workers)
{
	struct ipc_pool_result r;
	struct ipc_pool *p;

	somebody_died();
	signal(SIGCHLD, SIG_IGN);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2, .tries = 1 });
	for (int i = 0; i < 5; i++) {
		expect(0, order(p, ORDER_DIE, 0, 0));
		r = next(p);
		expect(-ECONNRESET, r.status);
		expect(IPC_POOL_UNKNOWN, r.wait_status);
		expect(0, order(p, ORDER_ECHO, i, 0));
		expect_done(p, ORDER_ECHO, i);
	}
	expect(0, ipc_pool_close(p));
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(a_forked_copy_can_only_be_closed)
{
	struct ipc_pool *p;
	pid_t pid;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2 });
	expect(0, order(p, ORDER_NAP, 30, 0));
	expect_sys(pid = fork());
	if (pid == 0) {
		expect(-ECHILD, order(p, ORDER_ECHO, 0, 0));
		expect(-ECHILD, ipc_pool_drain(p, -1));
		expect(-ECHILD, ipc_pool_fd(p));
		expect(0, ipc_pool_close(p));
		/* And it can have one of its own. */
		p = orders_new(&(struct ipc_pool_config){ .workers = 1 });
		expect(0, order(p, ORDER_ECHO, 1, 0));
		expect_done(p, ORDER_ECHO, 1);
		expect(0, ipc_pool_close(p));
		_exit(0);
	}
	peer_done(pid);
	expect_done(p, ORDER_NAP, 30);
	for (int i = 0; i < 20; i++) {
		expect(0, order(p, ORDER_ECHO, i, 0));
		expect_done(p, ORDER_ECHO, i);
	}
	expect(2, stats_of(p).started);
	expect(0, ipc_pool_close(p));
}
END_TEST

/* Idle, or at something: its workers become children of this process. */
START_TEST(workers_leave_when_their_owner_is_killed)
{
	struct gate g;
	pid_t owner;
	int workers = 0;

	begin(_i);
	somebody_died();
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 1));
	gate_make(&g);
	expect_sys(owner = fork());
	if (owner == 0) {
		struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
		    .workers = 3, .depth = 1 });

		for (int i = 0; i < 30; i++)
			order(p, ORDER_ECHO, i, 0);
		ipc_pool_drain(p, -1);
		order(p, ORDER_NAP, 100, 0);
		gate_open(&g);
		pause();
	}
	gate_wait(&g);
	expect_sys(kill(owner, SIGKILL));
	/* All of them, and the owner; the alarm of the test is the limit. */
	while (waitpid(-1, NULL, 0) > 0)
		workers++;
	expect(4, workers);
	gate_free(&g);
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 0));
}
END_TEST

static void
add_cases(void)
{
	TCase *tc = tcase_open("owner", 30);

	for_each_case(tc, a_pool_can_be_closed_at_any_point, PAIR, POOLS);
	tcase_add_test(tc, other_children_are_left_alone);
	tcase_add_test(tc, somebody_else_waits_for_its_workers);
	for_each_case(tc, a_forked_copy_can_only_be_closed, PAIR, POOLS);
	for_each_case(tc, workers_leave_when_their_owner_is_killed, PAIR,
	    POOLS);
}

int
main(void)
{
	seen_new();
	suite_open("poolowner");
	add_cases();
	return suite_close();
}
