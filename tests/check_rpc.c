/* SPDX-License-Identifier: ISC */
/*
 * Remote procedure calls over every mechanism that goes both ways: what a call
 * comes to, many at once, answers now, later and from elsewhere, deadlines and
 * cancelling.
 */
#include "rpc.h"

static struct rpc r;

/*
 * One call
 */

START_TEST(a_call_brings_the_answer)
{
	size_t most;

	rpc_begin(_i, &r);
	most = here.caps & IPC_CAP_LARGE ? 300000 : 1000;
	for (size_t n = 0; n < most; n = n * 7 + 1)
		rpc_echo(r.c, n);
	rpc_end(&r);
}
END_TEST

START_TEST(an_unknown_method_is_enosys)
{
	void *reply = &r;
	size_t size = 1;

	rpc_begin(_i, &r);
	expect(-ENOSYS, ipc_rpc_call(r.c, "no such", NULL, 0, &reply, &size,
	    SOON));
	expect_true(strstr(ipc_errmsg(), "no such") != NULL);
	expect_true(reply == NULL && size == 0);
	rpc_echo(r.c, 5);
	rpc_end(&r);
}
END_TEST

START_TEST(a_failure_brings_its_code_and_its_text)
{
	int code = 77;

	rpc_begin(_i, &r);
	expect(77, ipc_rpc_call(r.c, "fail", &code, sizeof code, NULL, NULL,
	    SOON));
	ck_assert_str_eq(ipc_errmsg(), "as asked");
	expect(1, ipc_rpc_call(r.c, "fail", NULL, 0, NULL, NULL, SOON));
	rpc_end(&r);
}
END_TEST

START_TEST(a_one_way_call_is_not_answered)
{
	double limit;

	rpc_begin(_i, &r);
	for (int i = 1; i <= 50; i++)
		expect(0, ipc_rpc_notify(r.c, "count", &i, sizeof i, SOON));
	expect(0, ipc_rpc_notify(r.c, "no such", NULL, 0, SOON));
	rpc_echo(r.c, 9);		/* behind them */
	limit = now_ms() + SOON;
	while (atomic_load(&r.counted) < 50 && now_ms() < limit)
		pause_ms(1);
	expect(50, atomic_load(&r.counted));
	expect(50 * 51 / 2, atomic_load(&r.sum));
	expect(0, ipc_rpc_dispatch(r.c, 0));
	rpc_end(&r);
}
END_TEST

START_TEST(a_call_without_an_answer_times_out)
{
	double before;

	rpc_begin(_i, &r);
	before = now_ms();
	expect(-ETIMEDOUT, ipc_rpc_call(r.c, "hold", "x", 1, NULL, NULL, 60));
	expect_true(now_ms() - before >= 59);
	expect(-EAGAIN, ipc_rpc_call(r.c, "never", "x", 1, NULL, NULL, 0));
	rpc_wait_held(&r, 1);
	rpc_echo(r.c, 100);
	expect(1, ipc_rpc_cancelled(r.held[0].call));
	expect(-ECANCELED, rpc_release(&r, 0));
	rpc_end(&r);
}
END_TEST

/* The late answer of the first must not be the second's. */
START_TEST(a_late_answer_reaches_no_other_call)
{
	void *reply;
	size_t size;

	rpc_begin(_i, &r);
	for (int i = 0; i < rounds(20); i++) {
		expect(-ETIMEDOUT, ipc_rpc_call(r.c, "hold", "late", 4, NULL,
		    NULL, 1));
		rpc_wait_held(&r, 1);
		(void)rpc_release(&r, 0);	/* as its cancel arrives */
		expect(0, ipc_rpc_call(r.c, "echo", &i, sizeof i, &reply, &size,
		    SOON));
		expect(sizeof i, size);
		expect(0, memcmp(reply, &i, sizeof i));
		free(reply);
	}
	rpc_end(&r);
}
END_TEST

/* The server is told what is left of the time, and ends it by itself. */
START_TEST(the_deadline_travels_to_the_server)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_call *call;
	int left;

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, 100));
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, -1));
	rpc_wait_held(&r, 2);
	left = ipc_rpc_time_left(r.held[0].call);
	expect_true(left >= 0 && left <= 100);
	expect(-1, ipc_rpc_time_left(r.held[1].call));
	expect(0, ipc_rpc_cancelled(r.held[1].call));
	while (ipc_rpc_time_left(r.held[0].call) > 0)
		pause_ms(5);
	expect(1, ipc_rpc_cancelled(r.held[0].call));
	rpc_await(r.c, &seen, 1);
	expect(-ETIMEDOUT, seen.status);
	call = rpc_take_held(&r, 0);
	expect(-ECANCELED, ipc_rpc_reply(call, NULL, 0));
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 2);
	expect(1, seen.good);
	rpc_end(&r);
}
END_TEST

START_TEST(the_caller_is_known)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	struct rpc_seen seen = { 0 };
	int rc;

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, SOON));
	rpc_wait_held(&r, 1);
	rc = ipc_rpc_caller(r.held[0].call, &peer);
	if (rc == 0) {
		expect(getpid(), peer.pid);
		expect(getuid(), peer.uid);
		expect(getgid(), peer.gid);
	} else
		expect(-EOPNOTSUPP, rc);
	expect_true(rc == 0 || !(here.caps & IPC_CAP_PEER));
	ck_assert_str_eq(ipc_rpc_method(r.held[0].call), "hold");
	expect(0, ipc_rpc_flags(r.held[0].call));
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 1);
	rpc_end(&r);
}
END_TEST

START_TEST(what_is_too_large_is_emsgsize)
{
	size_t size = 300000;
	void *args = need(size);

	begin(_i);
	rpc_make(&r);
	memset(args, 1, size);
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_ARGS, 500));
	rpc_serve(&r);
	rpc_echo(r.c, 400);
	expect(-EMSGSIZE, ipc_rpc_call(r.c, "echo", args, 600, NULL, NULL,
	    SOON));
	if (here.caps & IPC_CAP_LARGE)
		expect(-EMSGSIZE, ipc_rpc_call(r.c, "echo", args, size, NULL,
		    NULL, SOON));
	rpc_echo(r.c, 400);
	free(args);
	rpc_end(&r);
}
END_TEST

/*
 * Many at once
 */

static void
check_number(int status, const void *reply, size_t size, void *user)
{
	struct rpc_seen *seen = user;
	int n;

	expect(0, status);
	expect(sizeof n, size);
	memcpy(&n, reply, sizeof n);
	seen->bytes += (size_t)n;
	seen->done++;
}

/* Each `user' is another: an answer must meet its own. */
static void
check_own(int status, const void *reply, size_t size, void *user)
{
	int *own = user, n;

	expect(0, status);
	expect(sizeof n, size);
	memcpy(&n, reply, sizeof n);
	expect(*own, n);
	*own = -1;
}

#define UNDER_WAY	1000

START_TEST(a_thousand_calls_are_answered_in_random_order)
{
	static int own[UNDER_WAY];
	int ran = 0, rc;

	rpc_begin(_i, &r);
	srandom((unsigned)_i);
	for (int i = 0; i < UNDER_WAY; i++) {
		own[i] = i;
		expect(0, ipc_rpc_start(r.c, "hold", &own[i], sizeof(int),
		    check_own, &own[i], 4 * SOON));
	}
	rpc_wait_held(&r, UNDER_WAY);
	for (int i = UNDER_WAY; i > 0; i--)
		expect(0, rpc_release(&r, (int)(random() % i)));
	while ((rc = ipc_rpc_dispatch(r.c, SOON)) > 0)
		ran += rc;
	expect(0, rc);
	expect(UNDER_WAY, ran);
	for (int i = 0; i < UNDER_WAY; i++)
		expect(-1, own[i]);
	rpc_end(&r);
}
END_TEST

/* Requests and answers far beyond what both queues hold: whoever waits for room
 * takes in what the other side has to say. */
START_TEST(full_queues_do_not_wait_for_each_other)
{
	struct rpc_seen seen = { 0 };
	static char args[2000];
	int n = 2000;

	rpc_begin(_i, &r);
	for (int i = 0; i < n; i++)
		expect(0, ipc_rpc_start(r.c, "echo", args, sizeof args,
		    rpc_note, &seen, 4 * SOON));
	rpc_await(r.c, &seen, n);
	expect(n, seen.good);
	expect((size_t)n * sizeof args, seen.bytes);
	rpc_end(&r);
}
END_TEST

static long
release_all(struct job *j)
{
	struct rpc *of = j->buffer;
	double limit = now_ms() + 2 * SOON;
	long n = 0;

	while (n < (long)j->size && now_ms() < limit) {
		pthread_mutex_lock(&of->lock);
		int some = of->held_count;
		pthread_mutex_unlock(&of->lock);
		if (some == 0)
			pause_ms(1);
		for (; some > 0; some--, n++)
			rpc_release(of, 0);
	}
	return n;
}

START_TEST(another_thread_answers)
{
	struct rpc_seen seen = { 0 };
	struct job j = { .buffer = &r, .size = 500 };

	rpc_begin(_i, &r);
	job_start(&j, release_all);
	for (int i = 0; i < 500; i++)
		expect(0, ipc_rpc_start(r.c, "hold", &i, sizeof i, check_number,
		    &seen, 4 * SOON));
	rpc_await(r.c, &seen, 500);
	expect(500 * 499 / 2, seen.bytes);
	expect(500, job_end(&j));
	rpc_end(&r);
}
END_TEST

START_TEST(a_call_can_be_waited_for_while_others_are_under_way)
{
	struct rpc_seen seen = { 0 };

	rpc_begin(_i, &r);
	for (int i = 0; i < 10; i++)
		expect(0, ipc_rpc_start(r.c, "echo", &i, sizeof i, check_number,
		    &seen, SOON));
	rpc_echo(r.c, 500);
	expect(0, seen.done);		/* only dispatch runs them */
	expect(10, ipc_rpc_dispatch(r.c, SOON));
	expect(10, seen.done);
	expect(0, ipc_rpc_dispatch(r.c, SOON));
	rpc_end(&r);
}
END_TEST

static void
call_again(int status, const void *reply, size_t size, void *user)
{
	struct rpc_seen *seen = user;

	rpc_note(status, reply, size, user);
	rpc_echo(r.c, 300);		/* the reply stays where it is */
	expect(0, memcmp(reply, "first", size));
	expect(-EDEADLK, ipc_rpc_dispatch(r.c, 0));
	expect(-EDEADLK, ipc_rpc_client_close(r.c));
	if (seen->done < 5)
		expect(0, ipc_rpc_start(r.c, "echo", "first", 5, call_again,
		    user, SOON));
}

START_TEST(done_may_call)
{
	struct rpc_seen seen = { 0 };

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_start(r.c, "echo", "first", 5, call_again, &seen,
	    SOON));
	rpc_await(r.c, &seen, 5);
	rpc_end(&r);
}
END_TEST

START_TEST(a_call_can_be_cancelled)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "hold", .timeout = SOON, .done = rpc_note,
	    .user = &seen };
	struct ipc_rpc_call *call;
	uint64_t id, other;

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_submit(r.c, &q, &id));
	expect(0, ipc_rpc_submit(r.c, &q, &other));
	rpc_wait_held(&r, 2);
	expect(0, ipc_rpc_cancel(r.c, id));
	expect(-ENOENT, ipc_rpc_cancel(r.c, id));
	rpc_await(r.c, &seen, 1);
	expect(-ECANCELED, seen.status);
	rpc_echo(r.c, 1);		/* behind the cancelling */
	expect(1, ipc_rpc_cancelled(r.held[0].call));
	expect(0, ipc_rpc_cancelled(r.held[1].call));
	call = rpc_take_held(&r, 0);
	expect(-ECANCELED, ipc_rpc_reply(call, "late", 4));
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 2);
	expect(0, seen.status);
	expect(-ENOENT, ipc_rpc_cancel(r.c, other));
	rpc_end(&r);
}
END_TEST

START_TEST(closing_a_client_ends_what_is_under_way)
{
	struct rpc_seen seen = { 0 };

	rpc_begin(_i, &r);
	for (int i = 0; i < 20; i++)
		expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen,
		    -1));
	rpc_wait_held(&r, 20);
	expect(0, ipc_rpc_client_close(r.c));
	r.c = NULL;
	expect(20, seen.done);
	expect(-ECANCELED, seen.status);
	if (here.caps & IPC_CAP_END)
		while (!ipc_rpc_cancelled(r.held[0].call))
			pause_ms(1);
	rpc_release_all(&r);
	rpc_end(&r);
}
END_TEST

START_TEST(closing_a_server_ends_what_is_under_way)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_call *call;

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen,
	    here.caps & IPC_CAP_END ? SOON : 200));
	rpc_wait_held(&r, 1);
	rpc_stop(&r);
	expect(0, ipc_rpc_server_close(r.s));
	rpc_await(r.c, &seen, 1);
	expect(here.caps & IPC_CAP_END ? -EPIPE : -ETIMEDOUT, seen.status);
	call = rpc_take_held(&r, 0);	/* it goes on until it is ended */
	expect(1, ipc_rpc_cancelled(call));
	expect(-EOPNOTSUPP, ipc_rpc_part(call, "x", 1, 0));
	expect(-EPIPE, ipc_rpc_reply(call, "x", 1));
	if (here.caps & IPC_CAP_END)
		expect(-EPIPE, ipc_rpc_call(r.c, "echo", NULL, 0, NULL, NULL,
		    SOON));
	expect(0, ipc_rpc_client_close(r.c));
}
END_TEST

/*
 * Event loops
 */

/* Waits for either side, and lets those that are ready do their work. */
static int
turn_of_loop(struct pollfd p[2], int timeout)
{
	int n = poll(p, 2, timeout);

	expect_sys(n);
	if (n > 0 && p[0].revents)
		expect_either(0, -EAGAIN, ipc_rpc_serve(r.s, 0));
	if (n > 0 && p[1].revents)
		expect_true(ipc_rpc_dispatch(r.c, 0) >= -EAGAIN);
	return n;
}

/* Without waiting for room, which only the loop can make. */
static void
start_in_loop(struct pollfd p[2], const char *method, struct rpc_seen *seen,
    int timeout)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = method, .args = "0123456789", .size = 10,
	    .flags = IPC_RPC_NOWAIT, .timeout = timeout, .done = rpc_note,
	    .user = seen };
	int rc;

	while ((rc = ipc_rpc_submit(r.c, &q, NULL)) == -EAGAIN)
		expect_true(turn_of_loop(p, SOON) > 0);
	expect(0, rc);
}

START_TEST(both_sides_live_in_an_event_loop)
{
	struct rpc_seen seen = { 0 }, late = { 0 };
	struct pollfd p[2];
	double limit;

	begin(_i);
	rpc_make(&r);
	p[0] = (struct pollfd){ ipc_rpc_fd(r.s), POLLIN, 0 };
	p[1] = (struct pollfd){ ipc_rpc_client_fd(r.c), POLLIN, 0 };
	expect_ok(p[0].fd);
	expect_ok(p[1].fd);
	for (int i = 0; i < 200; i++)
		start_in_loop(p, "echo", &seen, -1);
	start_in_loop(p, "never", &late, 50);
	limit = now_ms() + 2 * SOON;
	while (seen.done + late.done < 201 && now_ms() < limit)
		turn_of_loop(p, SOON);
	expect(200, seen.good);
	expect(1, late.done);
	expect(-ETIMEDOUT, late.status);
	/* The server ends its call as well, and then all is quiet. */
	while (turn_of_loop(p, 20) > 0 && now_ms() < limit)
		continue;
	expect(0, poll(p, 2, 0));
	rpc_serve(&r);
	rpc_end(&r);
}
END_TEST

/* Up to a number of calls are answered briefly, and the others at length. */
static void
swell(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	static char answer[60 * KIB];
	int *brief = user;

	(void)args;
	(void)size;
	expect(0, ipc_rpc_reply(call, answer, --*brief >= 0 ? 0 :
	    sizeof answer));
}

/* A loop is given its turn back after some time, though not all is done: what
 * is left shows on the descriptor, even if its client says nothing more. */
START_TEST(what_a_turn_has_left_shows_on_the_descriptor)
{
	struct rpc_seen seen = { 0 };
	struct ipc_channel *ch[2];
	struct pollfd p[2];
	double limit;
	int n, brief = 970;

	begin(_i);
	rpc_make_server(&r);
	/* All of it is read, however much is to be answered. */
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_QUEUE, 64 * 1024 * KIB));
	pair_of(ch, "capacity=1048576", 0);
	expect(0, ipc_rpc_adopt(r.s, ch[1]));
	expect(0, ipc_rpc_attach(&r.c, ch[0]));
	expect(0, ipc_rpc_register(r.s, "swell", swell, &brief));
	p[0] = (struct pollfd){ ipc_rpc_fd(r.s), POLLIN, 0 };
	p[1] = (struct pollfd){ ipc_rpc_client_fd(r.c), POLLIN, 0 };
	for (n = 0; n < 1024; n++)
		expect(0, ipc_rpc_start(r.c, "swell", NULL, 0, rpc_note,
		    &seen, 0));
	limit = now_ms() + 2 * SOON;
	while (seen.done < n && now_ms() < limit)
		turn_of_loop(p, SOON);
	expect(n, seen.good);
	rpc_serve(&r);
	rpc_end(&r);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("rpc");
	tc = tcase_open("one call", 20);
	for_each_case(tc, a_call_brings_the_answer, TALKS, CALLS);
	for_each_case(tc, an_unknown_method_is_enosys, TALKS, CALLS);
	for_each_case(tc, a_failure_brings_its_code_and_its_text, TALKS, CALLS);
	for_each_case(tc, a_one_way_call_is_not_answered, TALKS, CALLS);
	for_each_case(tc, a_call_without_an_answer_times_out, TALKS, CALLS);
	for_each_case(tc, a_late_answer_reaches_no_other_call, TALKS, CALLS);
	for_each_case(tc, the_deadline_travels_to_the_server, TALKS, CALLS);
	for_each_case(tc, the_caller_is_known, TALKS, CALLS);
	for_each_case(tc, what_is_too_large_is_emsgsize, TALKS, CALLS);
	tc = tcase_open("many calls", 30);
	for_each_case(tc, a_thousand_calls_are_answered_in_random_order, TALKS,
	    CALLS | IPC_CAP_RELIABLE);
	for_each_case(tc, full_queues_do_not_wait_for_each_other, TALKS,
	    CALLS | IPC_CAP_RELIABLE);
	for_each_case(tc, another_thread_answers, TALKS,
	    CALLS | IPC_CAP_RELIABLE);
	for_each_case(tc, a_call_can_be_waited_for_while_others_are_under_way,
	    TALKS, CALLS);
	for_each_case(tc, done_may_call, TALKS, CALLS);
	for_each_case(tc, a_call_can_be_cancelled, TALKS, CALLS);
	for_each_case(tc, closing_a_client_ends_what_is_under_way, TALKS,
	    CALLS);
	for_each_case(tc, closing_a_server_ends_what_is_under_way, TALKS,
	    CALLS);
	for_each_case(tc, both_sides_live_in_an_event_loop, TALKS, CALLS);
	for_each_case(tc, what_a_turn_has_left_shows_on_the_descriptor, PAIR,
	    CALLS | IPC_CAP_RELIABLE | IPC_CAP_LARGE | IPC_CAP_INPLACE);
	return suite_close();
}
