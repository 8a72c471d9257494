/* SPDX-License-Identifier: ISC */
/*
 * Pools of workers that do what they should: results, order, back-pressure,
 * event loops, canceling.  What happens to those that do not is in
 * check_poolkill.c.
 */
#include <signal.h>
#include <sys/wait.h>

#include "pools.h"

/*
 * Results
 */

/* All orders but one kind are the same; each gives one result, in any order. */
static void
round_of(struct ipc_pool *p, int count)
{
	struct ipc_pool_result r = { .struct_size = sizeof r };
	char *got = need((size_t)count);
	int sent = 0, taken = 0;

	memset(got, 0, (size_t)count);
	for (;;) {
		while (sent < count && order(p, ORDER_ECHO, sent, 0) == 0)
			sent++;
		if (ipc_pool_next(p, &r, 2 * SOON) <= 0)
			break;
		expect_true((intptr_t)r.tag < count);
		expect(0, got[(intptr_t)r.tag]++);
		expect_echo(&r, ORDER_ECHO, (int)(intptr_t)r.tag);
		taken++;
	}
	expect(count, taken);
	expect(0, ipc_pool_next(p, &r, -1));
	free(got);
}

START_TEST(each_task_gives_one_result)
{
	struct ipc_pool *p;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 3 });
	round_of(p, rounds(300));
	expect(0, stats_of(p).died);
	expect(3, stats_of(p).started);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(a_command_is_a_worker_as_well)
{
	struct ipc_pool *p;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .argv = order_command });
	round_of(p, 100);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(what_is_not_set_has_a_default)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){ 0 });

	round_of(p, 100);
	expect(0, ipc_pool_close(p));
	expect(0, ipc_pool_close(NULL));
}
END_TEST

START_TEST(tasks_and_results_of_any_size)
{
	static const int sizes[] = { 0, 1, 7, 4096, 70000, 1300000 };
	struct ipc_pool_result r;
	struct ipc_pool *p;
	struct order *o = need(sizeof *o + 1300000);

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .flags = IPC_POOL_ORDERED, .limit = 12 });
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		*o = (struct order){ ORDER_ECHO, sizes[i] };
		pattern_fill(o + 1, (size_t)sizes[i], (unsigned)sizes[i]);
		expect(0, ipc_pool_submit(p, o, sizeof *o + (size_t)sizes[i],
		    NULL, SOON));
		expect(0, order(p, ORDER_GROW, sizes[i], SOON));
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		r = next(p);
		expect(0, r.status);
		expect(sizeof *o + (size_t)sizes[i], r.size);
		expect_true(pattern_is((const char *)r.data + sizeof *o,
		    (size_t)sizes[i], (unsigned)sizes[i]));
		r = next(p);
		expect(sizes[i], r.size);
		expect_true(pattern_is(r.data, r.size, 7));
	}
	expect(0, ipc_pool_close(p));
	free(o);
}
END_TEST

START_TEST(results_come_in_the_order_of_submission)
{
	struct ipc_pool *p;
	int count = rounds(60);

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 3,
	    .flags = IPC_POOL_ORDERED });
	for (int sent = 0, taken = 0; taken < count;) {
		if (sent < count && order(p, ORDER_NAP, (sent * 7) % 5, 0) ==
		    0) {
			sent++;
			continue;
		}
		expect_done(p, ORDER_NAP, (taken * 7) % 5);
		taken++;
	}
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(results_come_as_they_are_ready)
{
	struct ipc_pool *p;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .depth = 1 });
	expect(0, order(p, ORDER_WAIT, 150, 0));
	for (int i = 0; i < 10; i++) {
		expect(0, order(p, ORDER_ECHO, i, SOON));
		expect_done(p, ORDER_ECHO, i);
	}
	atomic_store(&seen->gate, 1);
	expect_done(p, ORDER_WAIT, 150);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(a_handler_fails_in_its_own_words)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
	    .workers = 1, .flags = IPC_POOL_ORDERED,
	    .address = "local:?max-message=100K" });

	expect(0, order(p, ORDER_FAIL, 42, 0));
	expect(0, order(p, ORDER_FAIL, -EACCES, 0));
	expect(0, order(p, ORDER_TWICE, 3, 0));
	expect(0, order(p, ORDER_GROW, 200000, 0));
	expect(0, order(p, ORDER_SILENT, 0, 0));
	expect(42, next(p).status);
	expect(EACCES, next(p).status);
	expect_done(p, ORDER_TWICE, 3);
	expect(EMSGSIZE, next(p).status);
	expect(0, next(p).size);
	expect(0, stats_of(p).died);
	expect(-EMSGSIZE, ipc_pool_submit(p, seen, 100 * KIB, NULL, 0));
	expect_true(strstr(ipc_errmsg(), "max-message") != NULL);
	expect(0, ipc_pool_close(p));
}
END_TEST

/*
 * Back-pressure
 */

START_TEST(a_full_pool_takes_no_more)
{
	struct ipc_pool *p;
	double t;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 1, .limit = 4 });
	for (int i = 0; i < 4; i++)
		expect(0, order(p, ORDER_WAIT, 40, 0));
	expect(-EAGAIN, order(p, ORDER_ECHO, 0, 0));
	t = now_ms();
	expect(-ETIMEDOUT, order(p, ORDER_ECHO, 0, 20));
	expect_true(now_ms() - t >= 20);
	atomic_store(&seen->gate, 1);
	/* Nobody will ever take these results but this thread. */
	expect(-EDEADLK, order(p, ORDER_ECHO, 0, -1));
	expect(4, stats_of(p).finished);
	expect_done(p, ORDER_WAIT, 40);
	expect(0, order(p, ORDER_ECHO, 5, -1));
	expect(-EAGAIN, order(p, ORDER_ECHO, 0, 0));
	expect(0, ipc_pool_drain(p, SOON));
	expect(4, stats_of(p).finished);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(a_drain_that_takes_too_long)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
	    .workers = 1 });

	expect(0, ipc_pool_drain(p, 0));
	expect(0, order(p, ORDER_WAIT, 200, 0));
	expect(-EAGAIN, ipc_pool_drain(p, 0));
	expect(-ETIMEDOUT, ipc_pool_drain(p, 20));
	atomic_store(&seen->gate, 1);
	expect(0, ipc_pool_drain(p, SOON));
	expect_done(p, ORDER_WAIT, 200);
	expect(0, ipc_pool_close(p));
}
END_TEST

struct tally {
	struct ipc_pool *p;
	int count, more;
};

static void
tally(const struct ipc_pool_result *r, void *user)
{
	struct tally *t = user;

	expect(0, r->status);
	t->count++;
	/* One that follows from this one; but never a wait. */
	if (t->more > 0 && order(t->p, ORDER_ECHO, t->more, 0) == 0)
		t->more--;
	if (t->count == 1) {
		expect(-EDEADLK, ipc_pool_drain(t->p, -1));
		expect(-EDEADLK, ipc_pool_dispatch(t->p, -1));
		expect(-EBUSY, ipc_pool_close(t->p));
	}
}

START_TEST(results_go_to_done)
{
	struct tally t = { .more = 20 };

	begin(_i);
	t.p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .limit = 5, .done = tally, .user = &t });
	for (int i = 0; i < 100; i++)
		expect(0, order(t.p, ORDER_ECHO, i, -1));
	expect(0, ipc_pool_drain(t.p, SOON));
	expect(0, t.more);
	expect(120, t.count);
	expect(0, order(t.p, ORDER_ECHO, 1, 0));
	expect(1, ipc_pool_dispatch(t.p, SOON));
	expect(0, ipc_pool_dispatch(t.p, -1));
	expect(-EINVAL, ipc_pool_next(t.p, &(struct ipc_pool_result){
	    .struct_size = sizeof(struct ipc_pool_result) }, 0));
	expect(0, ipc_pool_close(t.p));
}
END_TEST

/*
 * Event loops
 */

START_TEST(its_descriptor_tells_of_all_there_is_to_do)
{
	struct ipc_pool_result r = { .struct_size = sizeof r };
	struct ipc_pool *p;
	int fd, count = rounds(100), sent = 0, taken = 0;

	begin(_i);
	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .task_timeout = 100, .limit = 8 });
	expect_ok(fd = ipc_pool_fd(p));
	while (taken < count) {
		while (sent < count && order(p, sent == 50 ? ORDER_HANG :
		    ORDER_ECHO, sent, 0) == 0)
			sent++;
		expect_true(ready(fd, POLLIN, SOON) & POLLIN);
		while (ipc_pool_next(p, &r, 0) == 1) {
			/* On a busy machine others are late as well. */
			if (r.tag == (void *)50 || r.status != 0)
				expect(-ETIMEDOUT, r.status);
			taken++;
		}
	}
	/* Idle it is quiet, once what came last has been seen. */
	for (int i = 0; ready(fd, POLLIN, 50) != 0; i++) {
		expect(0, ipc_pool_next(p, &r, 0));
		expect_true(i < 20);
	}
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(it_stays_ready_while_a_result_waits)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
	    .workers = 1 });
	int fd;

	expect_ok(fd = ipc_pool_fd(p));
	expect(0, order(p, ORDER_ECHO, 1, 0));
	expect(0, order(p, ORDER_ECHO, 2, 0));
	expect(0, ipc_pool_drain(p, SOON));
	for (int i = 1; i < 3; i++) {
		expect(POLLIN, ready(fd, POLLIN, 0));
		expect_done(p, ORDER_ECHO, i);
	}
	expect(0, ipc_pool_close(p));
}
END_TEST

static long
wake_later(struct job *j)
{
	pause_ms(50);
	ipc_pool_wake(j->buffer);
	return 0;
}

START_TEST(a_wait_can_be_cut_short)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
	    .workers = 1, .limit = 1, .grace = 1 });
	struct ipc_pool_result r = { .struct_size = sizeof r };
	struct job j = { .buffer = p };

	expect(0, order(p, ORDER_HANG, 0, 0));
	for (int i = 0; i < 3; i++) {
		job_start(&j, wake_later);
		expect(-ECANCELED, i == 0 ? ipc_pool_next(p, &r, -1) :
		    i == 1 ? order(p, ORDER_ECHO, 0, -1) :
		    ipc_pool_drain(p, -1));
		expect(0, job_end(&j));
		expect(-EAGAIN, ipc_pool_next(p, &r, 0));
	}
	/* With nobody inside it is the next one. */
	ipc_pool_wake(p);
	expect(-ECANCELED, ipc_pool_next(p, &r, 0));
	expect(-EAGAIN, ipc_pool_next(p, &r, 0));
	expect(0, ipc_pool_close(p));
}
END_TEST

/*
 * Canceling
 */

START_TEST(what_is_canceled_says_so_once)
{
	struct ipc_pool *p;

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 1,
	    .limit = 8, .flags = IPC_POOL_ORDERED });
	expect(0, order(p, ORDER_WAIT, 50, 0));
	for (int i = 1; i < 8; i++)
		expect(0, order(p, ORDER_ECHO, i % 2, 0));
	expect(4, ipc_pool_cancel(p, (void *)1, 0));
	expect(0, ipc_pool_cancel(p, (void *)1, 0));
	expect(0, ipc_pool_cancel(p, (void *)99, 0));
	atomic_store(&seen->gate, 1);
	expect_done(p, ORDER_WAIT, 50);
	for (int i = 1; i < 8; i++) {
		struct ipc_pool_result r = next(p);

		expect(i % 2 ? -ECANCELED : 0, r.status);
		expect(i % 2, (intptr_t)r.tag);
	}
	expect(0, stats_of(p).killed);
	expect(1, stats_of(p).started);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(what_is_being_worked_on_is_killed_on_demand)
{
	struct ipc_pool *p;

	begin(_i);
	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 1, .limit = 3 });
	expect(0, order(p, ORDER_HANG, 1, 0));
	expect(0, order(p, ORDER_ECHO, 2, 0));
	await_begun(p, 1);
	expect(1, ipc_pool_cancel(p, (void *)1, IPC_POOL_KILL));
	expect(-ECANCELED, next(p).status);
	expect_done(p, ORDER_ECHO, 2);
	expect(1, stats_of(p).killed);
	expect(2, stats_of(p).started);
	expect(0, stats_of(p).died);
	expect(0, ipc_pool_close(p));
}
END_TEST

/* More than the channel has room for, to one that does not take it. */
START_TEST(a_task_that_is_half_sent_can_be_canceled)
{
	char *big = need(3 * MIB);
	struct ipc_pool *p;

	begin(_i);
	memset(big, 0, 3 * MIB);
	p = orders_new(&(struct ipc_pool_config){ .workers = 1 });
	expect(0, order(p, ORDER_WAIT, 100, 0));
	expect(0, ipc_pool_submit(p, big, 3 * MIB, big, 0));
	await_begun(p, 1);
	expect(-ETIMEDOUT, ipc_pool_drain(p, 10));
	expect(0, order(p, ORDER_ECHO, 3, 0));
	expect(1, ipc_pool_cancel(p, big, 0));
	expect(-ECANCELED, next(p).status);
	atomic_store(&seen->gate, 1);
	expect_done(p, ORDER_WAIT, 100);
	expect_done(p, ORDER_ECHO, 3);
	expect(0, ipc_pool_close(p));
	free(big);
}
END_TEST

/*
 * Being a good guest
 */

START_TEST(a_worker_is_replaced_after_so_many_tasks)
{
	struct ipc_pool_result r;
	struct ipc_pool *p;
	int pids[20];

	begin(_i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 1,
	    .max_tasks = 5, .flags = IPC_POOL_ORDERED });
	for (int i = 0; i < 20; i++) {
		expect(0, order(p, ORDER_PID, i, SOON));
		r = next(p);
		memcpy(&pids[i], r.data, sizeof pids[i]);
		expect_true((i % 5 == 0) == (i == 0 || pids[i] !=
		    pids[i - 1]));
	}
	expect(0, stats_of(p).died);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(a_worker_has_nothing_of_another)
{
	int alone = 0, n;

	begin(_i);
	for (unsigned workers = 1; workers <= 6; workers += 5) {
		struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
		    .workers = workers, .depth = 1 });

		for (unsigned i = 0; i < workers; i++)
			expect(0, order(p, ORDER_FDS, 0, 0));
		for (unsigned i = 0; i < workers; i++) {
			memcpy(&n, next(p).data, sizeof n);
			if (workers == 1)
				alone = n;
			/* It makes a bell when it first sleeps; five others
			 * would be at least ten. */
			expect_true(n < alone + 5);
		}
		expect(0, ipc_pool_close(p));
	}
}
END_TEST

/* The second's workers were forked when the first was there: if they held
 * anything of it open, its workers would not leave by themselves. */
START_TEST(two_pools_beside_each_other)
{
	struct ipc_pool *p[2];
	double t;

	begin(_i);
	for (int i = 0; i < 2; i++)
		p[i] = orders_new(&(struct ipc_pool_config){ .workers = 2,
		    .grace = 3 * SOON });
	round_of(p[0], 50);
	round_of(p[1], 50);
	t = now_ms();
	expect(0, ipc_pool_close(p[0]));
	expect_true(now_ms() - t < SOON);
	round_of(p[1], 50);
	expect(0, ipc_pool_close(p[1]));
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
	char *none[] = { NULL };
	struct ipc_pool_config good = { .struct_size = sizeof good,
	    .handler = order_handler, .workers = 1 }, c;
	struct ipc_pool *p;

	expect(-EINVAL, ipc_pool_new(NULL, &good));
	expect(-EINVAL, ipc_pool_new(&p, NULL));
#define REFUSED(code, ...) do {						\
	c = good;							\
	__VA_ARGS__;							\
	expect(code, ipc_pool_new(&p, &c));				\
} while (0)
	REFUSED(-EINVAL, c.struct_size = 1);
	REFUSED(-EINVAL, c.handler = NULL);
	REFUSED(-EINVAL, c.argv = order_command);
	REFUSED(-EINVAL, c.handler = NULL; c.argv = none);
	REFUSED(-EINVAL, c.flags = 0x80);
	REFUSED(-EINVAL, c.workers = 100000);
	REFUSED(-EINVAL, c.depth = 100000);
	REFUSED(-EINVAL, c.limit = ~0u);
	REFUSED(-EINVAL, c.task_timeout = -1);
	REFUSED(-EINVAL, c.address = "unix:?boundary=stream");
	REFUSED(-EINVAL, c.address = "unix:?duplex=half");
	REFUSED(-EINVAL, c.address = "memfd:?latest=1");
	REFUSED(-EINVAL, c.address = "unix:?max-message=16");
	REFUSED(-EINVAL, c.address = "udp:");
	REFUSED(-EOPNOTSUPP, c.address = "inproc:");
	REFUSED(-EPROTONOSUPPORT, c.address = "nonsense:");
	REFUSED(-ENOENT, c.handler = NULL; c.argv = ((char *[]){
	    (char *)"/nonexistent/program", NULL }));
#undef REFUSED
	expect(-EINVAL, ipc_pool_submit(NULL, "", 0, NULL, 0));
	expect(-EINVAL, ipc_pool_fd(NULL));
	expect(-EINVAL, ipc_pool_worker(NULL, NULL));
	expect(-ENOENT, ipc_pool_worker(order_handler, NULL));
	expect(-EINVAL, ipc_pool_reply(NULL, "", 0));
	p = orders_new(&good);
	expect(-EINVAL, ipc_pool_submit(p, NULL, 1, NULL, 0));
	expect(-EINVAL, ipc_pool_next(p, NULL, 0));
	expect(-EINVAL, ipc_pool_next(p, &(struct ipc_pool_result){ 0 }, 0));
	expect(-EINVAL, ipc_pool_dispatch(p, 0));
	expect(-EINVAL, ipc_pool_cancel(p, NULL, 0x80));
	expect(-EINVAL, ipc_pool_stats(p, NULL));
	ipc_pool_wake(NULL);
	expect(0, ipc_pool_close(p));
}
END_TEST

static void
add_cases(void)
{
	TCase *tc = tcase_open("results", 30);

	for_each_case(tc, each_task_gives_one_result, PAIR, POOLS);
	for_each_case(tc, a_command_is_a_worker_as_well, PAIR, POOLS);
	for_each_case(tc, tasks_and_results_of_any_size, PAIR, POOLS);
	for_each_case(tc, results_come_in_the_order_of_submission, PAIR,
	    POOLS);
	for_each_case(tc, results_come_as_they_are_ready, PAIR, POOLS);
	tcase_add_test(tc, what_is_not_set_has_a_default);
	tcase_add_test(tc, a_handler_fails_in_its_own_words);
	tc = tcase_open("waiting", 30);
	for_each_case(tc, a_full_pool_takes_no_more, PAIR, POOLS);
	for_each_case(tc, results_go_to_done, PAIR, POOLS);
	for_each_case(tc, its_descriptor_tells_of_all_there_is_to_do, PAIR,
	    POOLS);
	tcase_add_test(tc, a_drain_that_takes_too_long);
	tcase_add_test(tc, it_stays_ready_while_a_result_waits);
	tcase_add_test(tc, a_wait_can_be_cut_short);
	tc = tcase_open("canceling", 30);
	for_each_case(tc, what_is_canceled_says_so_once, PAIR, POOLS);
	for_each_case(tc, what_is_being_worked_on_is_killed_on_demand, PAIR,
	    POOLS);
	for_each_case(tc, a_task_that_is_half_sent_can_be_canceled, PAIR,
	    POOLS);
	tc = tcase_open("guest", 30);
	for_each_case(tc, a_worker_is_replaced_after_so_many_tasks, PAIR,
	    POOLS);
	for_each_case(tc, a_worker_has_nothing_of_another, PAIR, POOLS);
	for_each_case(tc, two_pools_beside_each_other, PAIR, POOLS);
	tcase_add_test(tc, wrong_arguments_are_refused);
}

int
main(int argc, char *argv[])
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return order_worker();
	seen_new();
	suite_open("pool");
	add_cases();
	return suite_close();
}
