/* SPDX-License-Identifier: ISC */
/* WRAP: clock_gettime sched_yield sched_getaffinity ppoll recvmsg read */
/*
 * How long a receiver looks before it sleeps, where a look is a system call:
 * only as long as that finds something.  The clock is the test's own, and so is
 * what the system calls take, so nothing depends on how busy the machine is.
 */
#include <sys/socket.h>
#include <poll.h>
#include <sched.h>
#include <time.h>

#include "support.h"

#define LOOK_NS		500
#define YIELD_NS	300
#define WAKE_NS		20000
#define MS		1000000

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);
int __wrap_sched_yield(void);
int __real_sched_getaffinity(pid_t, size_t, cpu_set_t *);
int __wrap_sched_getaffinity(pid_t, size_t, cpu_set_t *);
int __real_ppoll(struct pollfd *, nfds_t, const struct timespec *,
    const sigset_t *);
int __wrap_ppoll(struct pollfd *, nfds_t, const struct timespec *,
    const sigset_t *);
ssize_t __real_recvmsg(int, struct msghdr *, int);
ssize_t __wrap_recvmsg(int, struct msghdr *, int);
ssize_t __real_read(int, void *, size_t);
ssize_t __wrap_read(int, void *, size_t);

static struct ipc_channel *ch[2];
static bool ours;		/* the clock is this test's */
static int64_t now, yield_ns = YIELD_NS;
static int64_t answer_at;	/* then the other side sends; 0: never */
static int64_t again;		/* and then so often (ns); 0: once */
static int cpus = 2;
static bool beside;		/* and that is known */
static int64_t cancel_at;	/* then ipc_wake is called; 0: never */
static unsigned looks, yields, sleeps;

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!ours)
		return __real_clock_gettime(clock, ts);
	now += 20;
	ts->tv_sec = now / 1000000000;
	ts->tv_nsec = now % 1000000000;
	return 0;
}

static void
answer(void)
{
	while (answer_at != 0 && now >= answer_at) {
		answer_at = again ? answer_at + again : 0;
		expect(0, ipc_send(ch[0], "?", 1, 0));
	}
}

int
__wrap_sched_yield(void)
{
	yields++;
	now += yield_ns;
	if (ours)
		answer();
	if (cancel_at != 0 && now >= cancel_at) {
		cancel_at = 0;
		ipc_wake(ch[1]);
	}
	return 0;
}

int
__wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	CPU_ZERO_S(size, set);
	for (int i = 0; i < cpus; i++)
		CPU_SET_S((size_t)i, size, set);
	return 0;
}

int
__wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *limit,
    const sigset_t *mask)
{
	if (!ours)
		return __real_ppoll(fds, count, limit, mask);
	sleeps++;
	if (answer_at != 0 && now < answer_at)
		now = answer_at;
	else if (answer_at == 0)
		now += limit->tv_sec * 1000 * MS + limit->tv_nsec;
	answer();
	now += WAKE_NS;
	return __real_ppoll(fds, count, &(struct timespec){ 0 }, mask);
}

static void
look(void)
{
	if (!ours)
		return;
	looks++;
	now += LOOK_NS;
	answer();
}

ssize_t
__wrap_recvmsg(int fd, struct msghdr *m, int flags)
{
	look();
	return __real_recvmsg(fd, m, flags);
}

ssize_t
__wrap_read(int fd, void *buffer, size_t size)
{
	look();
	return __real_read(fd, buffer, size);
}

static void
make(const char *address)
{
	expect(0, ipc_pair(ch, address, 0));
	ours = true;
	now = 1000 * MS;
}

static void
setup(void)
{
	make("unix:");
}

static void
setup_pipe(void)
{
	make("pipe:");
}

static void
teardown(void)
{
	ours = false;
	ipc_close(ch[0]);
	ipc_close(ch[1]);
}

static void
forget_counts(void)
{
	looks = yields = sleeps = 0;
}

/* So many messages, each of which comes so long after the last was taken. */
static void
wait_for(int count, int64_t after)
{
	char c;

	while (count-- > 0) {
		answer_at = now + after;
		expect(1, ipc_recv(ch[1], &c, 1, 1000));
		expect_true(c == '?');
	}
}

START_TEST(what_comes_soon_is_met_awake)
{
	wait_for(100, 3000);
	expect_true(sleeps == 0);
	expect_true(yields == 0);
}
END_TEST

START_TEST(what_comes_late_is_slept_for)
{
	wait_for(100, MS);
	forget_counts();
	wait_for(1000, MS);
	expect_true(sleeps == 1000);
	/* Now and then it tries again, some 20 looks each time. */
	expect_true(looks > 1000 + 20);
	expect_true(looks < 1000 * 6);
}
END_TEST

START_TEST(what_does_not_come_is_slept_for)
{
	char c;

	for (int i = 0; i < 1000; i++)
		expect(-ETIMEDOUT, ipc_recv(ch[1], &c, 1, 1));
	expect_true(sleeps >= 1000);
	expect_true(looks < 1000 * 6);
}
END_TEST

START_TEST(a_side_that_slept_finds_that_the_other_became_fast)
{
	wait_for(100, MS);
	wait_for(100, 3000);
	forget_counts();
	wait_for(100, 3000);
	expect_true(sleeps == 0);
}
END_TEST

START_TEST(one_long_pause_is_no_reason_to_sleep)
{
	wait_for(100, 3000);
	wait_for(1, MS);
	forget_counts();
	wait_for(100, 3000);
	expect_true(sleeps <= 2);
}
END_TEST

START_TEST(on_one_cpu_it_yields_first)
{
	cpus = 1;
	yield_ns = 3000;
	wait_for(100, 2000);
	expect_true(sleeps == 0);
	expect_true(yields >= 100);
	/* One that finds it; every so often one beforehand. */
	expect_true(looks < 120);
}
END_TEST

/* Two of them tell that the other side is not about to run, where it is known
 * to be here; a socket's may be elsewhere, and is looked for in one wait of
 * many, but for long. */
START_TEST(on_one_cpu_it_seldom_looks_in_vain)
{
	cpus = 1;
	wait_for(100, MS);
	forget_counts();
	wait_for(1000, MS);
	expect_true(sleeps == 1000);
	expect_true(yields > 0);
	expect_true(yields < (beside ? 1000 / 4 : 1000 * 4));
}
END_TEST

START_TEST(on_one_cpu_it_soon_yields_again)
{
	cpus = 1;
	wait_for(100, MS);
	yield_ns = 3000;
	wait_for(100, 2000);
	forget_counts();
	wait_for(100, 2000);
	expect_true(sleeps == 0);
	expect_true(yields >= 100);
}
END_TEST

/* A yield that takes a slice of the scheduler is not made again soon. */
START_TEST(it_does_not_yield_to_those_who_keep_the_cpu)
{
	cpus = 1;
	yield_ns = 3 * MS;
	wait_for(1000, MS);
	expect_true(yields >= 1);
	expect_true(yields <= 10);
	expect_true(sleeps >= 900);
}
END_TEST

/* The receiver of a stream over a pipe lets some messages come together. */
static void
stream(int count, int64_t every)
{
	char c;

	again = every;
	answer_at = now + every;
	while (count-- > 0)
		expect(1, ipc_recv(ch[1], &c, 1, 1000));
	again = answer_at = 0;
	while (ipc_recv(ch[1], &c, 1, 0) == 1)
		;
}

START_TEST(a_dense_stream_is_read_some_at_a_time)
{
	stream(100, 1000);
	forget_counts();
	stream(1000, 1000);
	expect_true(sleeps == 0);
	expect_true(looks < 200);
}
END_TEST

START_TEST(a_stream_with_pauses_is_read_as_it_comes)
{
	char c;

	again = 12000;
	answer_at = now + again;
	for (int i = 0; i < 100; i++) {
		expect(1, ipc_recv(ch[1], &c, 1, 1000));
		/* It was sent a look before, and no more. */
		expect_true(now - (answer_at - again) < 2 * LOOK_NS);
	}
	again = answer_at = 0;
}
END_TEST

/* Two messages to each answer: the second is met at once as well. */
START_TEST(who_answers_is_not_kept_waiting)
{
	char c;

	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 2; k++) {
			int64_t sent = now + 1000;

			answer_at = sent;
			expect(1, ipc_recv(ch[1], &c, 1, 1000));
			expect_true(now < sent + 2 * LOOK_NS);
		}
		expect(0, ipc_send(ch[1], &c, 1, 0));
		expect(1, ipc_recv(ch[0], &c, 1, 0));
	}
}
END_TEST

/* Nor is who answers by another way. */
START_TEST(who_gathers_nothing_does_not_wait_for_it)
{
	int64_t began = now;

	wait_for(1000, 1000);
	expect_true(now - began < 1000 * (1000 + 2 * LOOK_NS));
	expect_true(sleeps == 0);
}
END_TEST

START_TEST(who_does_not_wait_is_not_kept_waiting)
{
	int64_t began;
	char c;

	stream(100, 1000);
	for (int i = 0; i < 100; i++) {
		expect(0, ipc_send(ch[0], "?", 1, 0));
		began = now;
		expect(1, ipc_recv(ch[1], &c, 1, 0));
		expect_true(now - began < 2 * LOOK_NS);
	}
}
END_TEST

static void
setup_block(void)
{
	make("unix:?wait=block");
}

START_TEST(who_is_to_block_does_not_look)
{
	wait_for(100, 3000);
	expect_true(sleeps == 100);
	expect_true(yields == 0);
	expect_true(looks < 220);
}
END_TEST

/* Before the test begins: libcheck, too, reads the clock around it. */
static void
setup_spinning_ring(void)
{
	make("memfd:?wait=spin");
}

static void
setup_spinning_socket(void)
{
	make("unix:?wait=spin");
}

START_TEST(who_is_to_spin_keeps_its_deadline)
{
	int64_t began;
	char c;

	began = now;
	expect(-ETIMEDOUT, ipc_recv(ch[1], &c, 1, 1));
	expect_true(now - began >= 1 * MS);
	expect_true(now - began < 1 * MS + 5 * WAKE_NS);
}
END_TEST

START_TEST(who_is_to_spin_keeps_its_deadline_when_full)
{
	static char data[4096];
	int64_t began;

	while (ipc_send(ch[0], data, sizeof data, 0) == 0)
		;
	began = now;
	expect(-ETIMEDOUT, ipc_send(ch[0], data, sizeof data, 1));
	expect_true(now - began >= 1 * MS);
	expect_true(now - began < 1 * MS + 5 * WAKE_NS);
}
END_TEST

START_TEST(who_is_to_spin_is_woken_at_once)
{
	int64_t began;
	char c;

	began = now;
	cancel_at = now + MS;
	expect(-ECANCELED, ipc_recv(ch[1], &c, 1, 1000));
	expect_true(now - began >= 1 * MS);
	expect_true(now - began < 1 * MS + 5 * WAKE_NS);
}
END_TEST

/* Its two ends are here, so they have one processor. */
static void
setup_ring(void)
{
	beside = true;
	make("memfd:");
}

static void
add_one_cpu(TCase *tc)
{
	tcase_add_test(tc, on_one_cpu_it_yields_first);
	tcase_add_test(tc, on_one_cpu_it_seldom_looks_in_vain);
	tcase_add_test(tc, on_one_cpu_it_soon_yields_again);
}

static void
add_deadlines(const char *name, void (*make_it)(void))
{
	TCase *tc = tcase_open(name, 20);

	tcase_add_checked_fixture(tc, make_it, teardown);
	tcase_add_test(tc, who_is_to_spin_keeps_its_deadline);
	tcase_add_test(tc, who_is_to_spin_keeps_its_deadline_when_full);
	tcase_add_test(tc, who_is_to_spin_is_woken_at_once);
}

int
main(void)
{
	TCase *tc;

	suite_open("spin");
	tc = tcase_open("looks", 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_comes_soon_is_met_awake);
	tcase_add_test(tc, what_comes_late_is_slept_for);
	tcase_add_test(tc, what_does_not_come_is_slept_for);
	tcase_add_test(tc, a_side_that_slept_finds_that_the_other_became_fast);
	tcase_add_test(tc, one_long_pause_is_no_reason_to_sleep);
	add_one_cpu(tc);
	tcase_add_test(tc, it_does_not_yield_to_those_who_keep_the_cpu);
	tc = tcase_open("looks of rings", 20);
	tcase_add_checked_fixture(tc, setup_ring, teardown);
	add_one_cpu(tc);
	add_deadlines("deadlines of rings", setup_spinning_ring);
	add_deadlines("deadlines of sockets", setup_spinning_socket);
	tc = tcase_open("streams", 20);
	tcase_add_checked_fixture(tc, setup_pipe, teardown);
	tcase_add_test(tc, a_dense_stream_is_read_some_at_a_time);
	tcase_add_test(tc, a_stream_with_pauses_is_read_as_it_comes);
	tcase_add_test(tc, who_answers_is_not_kept_waiting);
	tcase_add_test(tc, who_gathers_nothing_does_not_wait_for_it);
	tcase_add_test(tc, who_does_not_wait_is_not_kept_waiting);
	tc = tcase_open("block", 20);
	tcase_add_checked_fixture(tc, setup_block, teardown);
	tcase_add_test(tc, who_is_to_block_does_not_look);
	return suite_close();
}
