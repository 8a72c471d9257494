/* SPDX-License-Identifier: ISC */
/* WRAP: syscall fork */
/*
 * Pools whose workers die, hang, talk nonsense or can not be started.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../lib/pool.h"

#include "pools.h"

static bool old_kernel;		/* there are no pidfds */
static int forks_fail;		/* so many to come; -1: all */

long	__real_syscall(long, long, long, long, long, long, long);
long	__wrap_syscall(long, ...);
pid_t	__real_fork(void);
pid_t	__wrap_fork(void);

long
__wrap_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (old_kernel && (number == SYS_pidfd_open ||
	    number == SYS_pidfd_send_signal)) {
		errno = ENOSYS;
		return -1;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

pid_t
__wrap_fork(void)
{
	if (forks_fail == 0)
		return __real_fork();
	forks_fail -= forks_fail > 0;
	errno = EAGAIN;
	return -1;
}

static void
expect_signaled(int signal, int status)
{
	expect_true(WIFSIGNALED(status));
	expect(signal, WTERMSIG(status));
}

/*
 * Crashes
 */

START_TEST(a_task_that_kills_is_reported_after_some_tries)
{
	struct ipc_pool_result r;
	struct ipc_pool *p;

	begin(_i);
	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 2, .tries = 2,
	    .flags = IPC_POOL_ORDERED, .limit = 32 });
	for (int i = 0; i < 20; i++)
		expect(0, order(p, i % 10 == 5 ? i == 5 ? ORDER_DIE :
		    ORDER_EXIT : ORDER_ECHO, i, 0));
	for (int i = 0; i < 20; i++) {
		r = next(p);
		expect(i, (intptr_t)r.tag);
		if (i % 10 != 5) {
			expect_echo(&r, ORDER_ECHO, i);
			/* It only stood behind. */
			expect(1, r.tries);
			continue;
		}
		expect(-ECONNRESET, r.status);
		expect(2, r.tries);
		expect(0, r.size);
		if (i == 5)
			expect_signaled(SIGKILL, r.wait_status);
		else
			expect(15, WIFEXITED(r.wait_status) ?
			    WEXITSTATUS(r.wait_status) : -1);
	}
	expect(4, stats_of(p).died);
	expect(0, stats_of(p).killed);
	expect(0, ipc_pool_close(p));
}
END_TEST

static void
take_one(struct ipc_pool *p, char *got, int count)
{
	struct ipc_pool_result r = next(p);
	int i = (int)(intptr_t)r.tag;

	expect_true(i >= 0 && i < count);
	expect(0, got[i]++);
	if (r.status == 0) {
		expect_echo(&r, ORDER_ECHO, i);
		return;
	}
	expect(-ECONNRESET, r.status);
	expect(3, r.tries);
	expect_signaled(SIGKILL, r.wait_status);
}

START_TEST(workers_are_killed_at_any_instant)
{
	int count = rounds(400), kills = rounds(20), killed = 0, sent = 0;
	char *got = need((size_t)count);
	struct ipc_pool *p;
	double last = 0;
	pid_t pid;

	begin(_i);
	somebody_died();
	memset(got, 0, (size_t)count);
	p = orders_new(&(struct ipc_pool_config){ .workers = 2 });
	for (int taken = 0; taken < count; taken++) {
		while (sent < count && order(p, ORDER_ECHO, sent, 0) == 0)
			sent++;
		if (killed < kills && now_ms() - last > any() % 4 &&
		    (pid = some_worker(any())) > 0) {
			expect_sys(kill(pid, SIGKILL));
			killed++;
			last = now_ms();
		}
		take_one(p, got, count);
	}
	expect(0, ipc_pool_next(p, &(struct ipc_pool_result){
	    .struct_size = sizeof(struct ipc_pool_result) }, 0));
	expect_true(killed > 0);
	expect(0, ipc_pool_close(p));
	free(got);
}
END_TEST

/* Large ones, so that tasks and results are half through. */
START_TEST(workers_are_killed_in_the_middle_of_a_message)
{
	const size_t size = 600 * KIB;
	int count = rounds(8);
	struct ipc_pool_result r;
	struct ipc_pool *p;
	struct order *o = need(size);
	pid_t pid;

	begin(_i);
	somebody_died();
	pattern_fill(o, size, 3);
	*o = (struct order){ ORDER_ECHO, 1 };
	p = orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .tries = 1000, .limit = 1000 });
	for (int i = 0; i < count; i++)
		expect(0, ipc_pool_submit(p, o, size, NULL, -1));
	for (int i = 0; i < 10; i++) {
		expect_either(-ETIMEDOUT, 0, ipc_pool_drain(p,
		    1 + (int)any() % 4));
		if ((pid = some_worker(any())) > 0)
			expect_sys(kill(pid, SIGKILL));
	}
	for (int i = 0; i < count; i++) {
		r = next(p);
		expect(0, r.status);
		expect(size, r.size);
		expect_true(memcmp(r.data, o, size) == 0);
	}
	expect(0, ipc_pool_close(p));
	free(o);
}
END_TEST

/* On a busy machine what does not hang may be late as well. */
static void
done_or_late(struct ipc_pool *p, int arg)
{
	struct ipc_pool_result r = next(p);

	if (r.status == -ETIMEDOUT)
		skip_loudly("a task in time: this machine is too busy");
	else
		expect_echo(&r, ORDER_ECHO, arg);
}

START_TEST(a_task_that_hangs_is_ended)
{
	struct ipc_pool_result r;
	struct ipc_pool *p;
	double t;

	begin(_i);
	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 1,
	    .task_timeout = 60, .flags = IPC_POOL_ORDERED });
	t = now_ms();
	expect(0, order(p, ORDER_ECHO, 1, 0));
	expect(0, order(p, ORDER_HANG, 2, 0));
	expect(0, order(p, ORDER_ECHO, 3, 0));
	done_or_late(p, 1);
	r = next(p);
	expect(-ETIMEDOUT, r.status);
	expect(1, r.tries);
	expect_signaled(SIGKILL, r.wait_status);
	expect_true(now_ms() - t >= 60);
	done_or_late(p, 3);
	expect_true(stats_of(p).killed >= 1);
	expect(0, ipc_pool_close(p));
}
END_TEST

/* The answer is complete only while it is taken, and it was not for long. */
static const char *const roads[] = { "memfd:", "unix:", "pipe:" };
#define ROADS	((int)(sizeof roads / sizeof *roads))

START_TEST(an_answer_that_waited_for_its_taker_is_not_late)
{
	struct ipc_pool *p;

	p = orders_new(&(struct ipc_pool_config){ .workers = 1,
	    .task_timeout = 500, .address = roads[_i] });
	expect(0, order(p, ORDER_GROW, 2 * MIB, 0));
	await_begun(p, 1);
	pause_ms(700);
	expect(2 * MIB, next(p).size);
	expect(0, stats_of(p).killed);
	expect(0, ipc_pool_close(p));
}
END_TEST

/* Its end does not show on the channel. */
START_TEST(a_death_shows_though_a_child_holds_all_open)
{
	struct ipc_pool *p;

	begin(_i);
	somebody_died();
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 1));
	expect_sys(pipe2(seen->hold, O_CLOEXEC));
	p = orders_new(&(struct ipc_pool_config){ .workers = 1, .tries = 1 });
	expect(0, order(p, ORDER_ORPHAN, 0, 0));
	expect(0, order(p, ORDER_ECHO, 1, 0));
	expect(-ECONNRESET, next(p).status);
	expect_done(p, ORDER_ECHO, 1);
	expect(0, ipc_pool_close(p));
	close(seen->hold[0]);
	close(seen->hold[1]);
	expect_ok(waitpid(-1, NULL, 0));
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 0));
}
END_TEST

START_TEST(a_kernel_without_pidfds)
{
	struct ipc_pool *p;

	begin(_i);
	somebody_died();
	old_kernel = true;
	p = orders_new(&(struct ipc_pool_config){ .workers = 2, .tries = 1,
	    .task_timeout = 50, .grace = 50 });
	for (int i = 0; i < 2; i++) {
		expect(0, order(p, ORDER_DIE, 0, 0));
		expect_either(-ECONNRESET, -ETIMEDOUT, next(p).status);
		expect(0, order(p, ORDER_HANG, 0, 0));
		expect(-ETIMEDOUT, next(p).status);
		expect(0, order(p, ORDER_ECHO, i, 0));
		done_or_late(p, i);
	}
	expect(0, order(p, ORDER_HANG, 0, 0));
	expect_either(-ETIMEDOUT, 0, ipc_pool_drain(p, 10));
	expect(0, ipc_pool_close(p));
	old_kernel = false;
}
END_TEST

/*
 * Nonsense
 */

struct nonsense {
	const char *what;
	struct ipc__pool_head h;
	size_t size;
};

static const struct nonsense nonsenses[] = {
	{ "nothing", { 0 }, 0 },
	{ "too short", { IPC__POOL_RESULT, 0, 0 }, 15 },
	{ "another task", { IPC__POOL_RESULT, 7, 0 }, 16 },
	{ "a bad status", { IPC__POOL_RESULT, 0, -5 }, 16 },
	{ "hello again", { IPC__POOL_HELLO, 0, IPC__POOL_VERSION }, 16 },
	{ "a task", { IPC__POOL_TASK, 0, 0 }, 16 },
	{ "unknown", { 99, 0, 0 }, 16 }
};
#define NONSENSES ((int)(sizeof nonsenses / sizeof *nonsenses))

/* The worker, as a program of its own. */
static int
be_nonsense(int number)
{
	const struct nonsense *n = &nonsenses[number];
	struct ipc__pool_head hello = { IPC__POOL_HELLO, 0,
	    IPC__POOL_VERSION };
	unsigned char head[IPC__POOL_HEAD];
	struct ipc_channel *ch;
	const void *data;

	expect(0, ipc_inherit(&ch));
	ipc__pool_put_head(head, &hello);
	expect(0, ipc_send(ch, head, sizeof head, SOON));
	expect_ok(ipc_peek(ch, &data, SOON));
	ipc__pool_put_head(head, &n->h);
	expect(0, ipc_send(ch, head, n->size, SOON));
	pause_ms(60000);
	return 0;
}

START_TEST(a_worker_that_talks_nonsense_is_killed)
{
	char number[12];
	char *argv[] = { (char *)"/proc/self/exe", (char *)"nonsense", number,
	    NULL };
	struct ipc_pool_result r;
	struct ipc_pool *p;

	somebody_died();
	snprintf(number, sizeof number, "%d", _i);
	p = orders_new(&(struct ipc_pool_config){ .workers = 1, .tries = 1,
	    .argv = argv });
	expect(0, order(p, ORDER_ECHO, 1, 0));
	r = next(p);
	expect(-ECONNRESET, r.status);
	expect_signaled(SIGKILL, r.wait_status);
	expect(1, stats_of(p).died);
	expect(0, ipc_pool_close(p));
}
END_TEST

/*
 * Starts in vain
 */

static int
init_fails(void *user)
{
	(void)user;
	return 3;
}

static void
expect_given_up(struct ipc_pool *p, unsigned starts, int wait_status)
{
	struct ipc_pool_result r;
	double t = now_ms();

	for (int i = 0; i < 3; i++)
		expect_either(0, -ECHILD, order(p, ORDER_ECHO, i, 0));
	for (unsigned n = stats_of(p).submitted; n > 0; n--) {
		r = next(p);
		expect(-ECHILD, r.status);
		expect(wait_status, r.wait_status);
		expect(0, r.tries);
	}
	expect(-ECHILD, order(p, ORDER_ECHO, 0, -1));
	expect_true(strstr(ipc_errmsg(), "in a row") != NULL);
	/* What the other one had begun is still waited for. */
	expect_either(starts, starts + 1, stats_of(p).started);
	/* 10, 20 and 40 ms between the rounds. */
	expect_true(now_ms() - t >= 65);
	expect(0, stats_of(p).workers);
	expect(0, ipc_pool_close(p));
}

START_TEST(workers_that_end_at_once_are_no_storm)
{
	begin(_i);
	somebody_died();
	expect_given_up(orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .start_tries = 4, .argv = (char *[]){ (char *)"false", NULL } }),
	    8, 1 << 8);
	expect_given_up(orders_new(&(struct ipc_pool_config){ .workers = 2,
	    .start_tries = 4, .init = init_fails }), 8, 3 << 8);
}
END_TEST

/* The first two that are forked do; whoever comes later does not.  Those who
 * live go on as if nothing was. */
static int
init_third_fails(void *user)
{
	return atomic_fetch_add((_Atomic int *)user, 1) >= 2;
}

START_TEST(a_place_that_stays_empty_does_not_stop_the_others)
{
	unsigned most = 2 + 1;
	struct ipc_pool *p;
	double t, due = 10;

	begin(_i);
	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 3, .depth = 1,
	    .start_tries = 2, .init = init_third_fails,
	    .user = &seen->gate });
	t = now_ms();
	while (now_ms() - t < 200 || stats_of(p).workers < 2) {
		expect(0, order(p, ORDER_ECHO, 1, 0));
		expect_done(p, ORDER_ECHO, 1);
	}
	/* The third at once, and after 10, 30, 70, 150 ms. */
	while (due <= now_ms() - t + 10) {
		due = due * 2 + 10;
		most++;
	}
	expect_true(stats_of(p).started <= most);
	expect(2, stats_of(p).workers);
	expect(0, ipc_pool_close(p));
}
END_TEST

/* It is a program, but no worker. */
START_TEST(a_worker_that_never_says_hello)
{
	struct ipc_pool *p = orders_new(&(struct ipc_pool_config){
	    .workers = 1, .start_tries = 2, .start_timeout = 50,
	    .argv = (char *[]){ (char *)"sleep", (char *)"60", NULL } });
	struct ipc_pool_result r;

	somebody_died();
	expect(0, order(p, ORDER_ECHO, 0, 0));
	r = next(p);
	expect(-ECHILD, r.status);
	expect_signaled(SIGKILL, r.wait_status);
	expect(2, stats_of(p).killed);
	expect(0, ipc_pool_close(p));
}
END_TEST

START_TEST(a_start_that_fails_is_tried_again)
{
	struct ipc_pool *p;

	somebody_died();
	p = orders_new(&(struct ipc_pool_config){ .workers = 1, .tries = 2 });
	expect(0, order(p, ORDER_DIE, 0, 0));
	forks_fail = 3;
	expect(0, order(p, ORDER_ECHO, 1, 0));
	expect(-ECONNRESET, next(p).status);
	expect_done(p, ORDER_ECHO, 1);
	expect(0, forks_fail);
	/* And given up with the code that says why. */
	forks_fail = -1;
	expect(0, order(p, ORDER_DIE, 0, 0));
	expect(0, order(p, ORDER_ECHO, 1, 0));
	for (int i = 0; i < 2; i++)
		expect(-EAGAIN, next(p).status);
	expect(-EAGAIN, order(p, ORDER_ECHO, 0, SOON));
	expect_true(strstr(ipc_errmsg(), "fork") != NULL);
	forks_fail = 0;
	expect(0, ipc_pool_close(p));
	forks_fail = 1;
	expect(-EAGAIN, ipc_pool_new(&p, &(struct ipc_pool_config){
	    .struct_size = sizeof(struct ipc_pool_config), .workers = 2,
	    .handler = order_handler }));
}
END_TEST

static void
add_cases(void)
{
	TCase *tc = tcase_open("crashes", 30);

	for_each_case(tc, a_task_that_kills_is_reported_after_some_tries, PAIR,
	    POOLS);
	for_each_case(tc, workers_are_killed_at_any_instant, PAIR, POOLS);
	for_each_case(tc, workers_are_killed_in_the_middle_of_a_message, PAIR,
	    POOLS);
	for_each_case(tc, a_task_that_hangs_is_ended, PAIR, POOLS);
	tcase_add_loop_test(tc, an_answer_that_waited_for_its_taker_is_not_late,
	    0, ROADS);
	for_each_case(tc, a_death_shows_though_a_child_holds_all_open, PAIR,
	    POOLS);
	for_each_case(tc, a_kernel_without_pidfds, PAIR, POOLS);
	tc = tcase_open("starts", 30);
	tcase_add_loop_test(tc, a_worker_that_talks_nonsense_is_killed, 0,
	    NONSENSES);
	for_each_case(tc, workers_that_end_at_once_are_no_storm, PAIR, POOLS);
	for_each_case(tc, a_place_that_stays_empty_does_not_stop_the_others,
	    PAIR, POOLS);
	tcase_add_test(tc, a_worker_that_never_says_hello);
	tcase_add_test(tc, a_start_that_fails_is_tried_again);
}

int
main(int argc, char *argv[])
{
	if (argc > 2 && strcmp(argv[1], "nonsense") == 0)
		return be_nonsense(atoi(argv[2]));
	seen_new();
	suite_open("poolkill");
	add_cases();
	return suite_close();
}
