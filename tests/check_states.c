/* SPDX-License-Identifier: ISC */
/*
 * States that calls leave behind them, and what the next call makes of them.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <stdatomic.h>

#include "frame.h"
#include "support.h"

static struct ipc_channel *ends[2];

/*
 * What is told once is not swallowed by a batch
 */

START_TEST(the_end_is_told_behind_a_batch)
{
	struct ipc_channel *r, *s;
	const char *at = address_of("fifo", IPC_WAY_OPEN, "");
	char buf[4][8] = { "" };
	struct iovec iov[4];
	int i;

	(void)_i;
	expect_ok(ipc_open(&r, at, IPC_RECV | IPC_CREATE));
	expect_ok(ipc_open(&s, at, IPC_SEND));
	expect(0, ipc_send(s, "one", 3, SOON));
	expect(0, ipc_send(s, "two", 3, SOON));
	ipc_close(s);
	for (i = 0; i < 4; i++)
		iov[i] = (struct iovec){ buf[i], sizeof buf[i] };
	expect(2, ipc_recvmany(r, iov, 4, SOON));
	expect(-EPIPE, ipc_recvmany(r, iov, 4, 50));
	expect(-EAGAIN, ipc_recv(r, buf[0], 8, 0));
	ipc_close(r);
	ipc_unlink(at);
}
END_TEST

START_TEST(a_wake_is_heard_by_the_next_batch)
{
	char data[4][8] = { { 0 } };
	struct iovec iov[4];
	int i;

	(void)_i;
	for (i = 0; i < 4; i++)
		iov[i] = (struct iovec){ data[i], 8 };
	expect_ok(ipc_pair(ends, "pipe:", 0));
	ipc_wake(ends[0]);
	expect(-ECANCELED, ipc_sendmany(ends[0], iov, 4, SOON));
	expect(4, ipc_sendmany(ends[0], iov, 4, SOON));
	close_ends(ends);
}
END_TEST

static long
waker(struct job *j)
{
	for (int i = 0; i < 300; i++) {
		ipc_wake(j->ch);
		while (!atomic_load((_Atomic int *)j->buffer))
			;
		atomic_store((_Atomic int *)j->buffer, 0);
	}
	return 0;
}

/* Each mark is answered by one -ECANCELED, whatever the call was doing. */
START_TEST(no_wake_is_lost_in_a_batch)
{
	_Atomic int seen = 0;
	struct job j = { .buffer = (void *)&seen };
	char data[64][8] = { { 0 } };
	struct iovec iov[64];
	int rc, i, marks = 0;
	double until = now_ms() + 5000;

	(void)_i;
	expect_ok(ipc_pair(ends, "unixpacket:", 0));
	j.ch = ends[1];
	job_start(&j, waker);
	while (marks < 300) {
		if (now_ms() > until)
			ck_abort_msg("only %d marks were seen", marks);
		for (i = 0; i < 64; i++) {
			expect(0, ipc_send(ends[0], data[i], 8, SOON));
			iov[i] = (struct iovec){ data[i], 8 };
		}
		for (i = 64; i > 0;) {
			rc = ipc_recvmany(ends[1], iov, i, SOON);
			if (rc == -ECANCELED) {
				marks++;
				atomic_store(&seen, 1);
			} else {
				expect_ok(rc);
				i -= rc;
			}
		}
	}
	job_end(&j);
	close_ends(ends);
}
END_TEST

/*
 * Many small parts are one message all the same
 */

#define PARTS	100

static void
make_parts(struct iovec *iov, char *data, size_t each)
{
	for (int i = 0; i < PARTS; i++)
		iov[i] = (struct iovec){ data + (size_t)i * each, each };
}

START_TEST(many_parts_are_one_datagram)
{
	struct iovec iov[PARTS];
	char data[PARTS * 10], in[PARTS * 10];
	const char *scheme = _i ? "udp" : "unixgram";
	char at[128];
	struct ipc_channel *r, *s;

	snprintf(at, sizeof at, "%s", _i ? "udp://127.0.0.1:47113" :
	    address_of(scheme, IPC_WAY_OPEN, ""));
	pattern_fill(data, sizeof data, 3);
	make_parts(iov, data, 10);
	expect_ok(ipc_open(&r, at, IPC_RECV | IPC_CREATE));
	expect_ok(ipc_open(&s, at, IPC_SEND));
	expect(0, ipc_sendv(s, iov, PARTS, SOON));
	expect((int)sizeof in, ipc_recv(r, in, sizeof in, SOON));
	expect_true(memcmp(in, data, sizeof in) == 0);
	ipc_close(s);
	ipc_close(r);
}
END_TEST

/* A frame that goes whole or not at all goes so in many parts too. */
START_TEST(many_parts_are_taken_whole)
{
	struct iovec iov[PARTS];
	char data[PARTS * 31], in[4096];
	int rc;

	(void)_i;
	pattern_fill(data, sizeof data, 3);
	make_parts(iov, data, 31);
	expect_ok(ipc_pair(ends, "pipe:?capacity=4096", 0));
	expect(0, ipc_send(ends[0], data, 1000, SOON));
	rc = ipc_sendv(ends[0], iov, PARTS, 0);
	expect(-EAGAIN, rc);
	/* Nothing of it was taken, so another may come. */
	expect(0, ipc_abandon(ends[0]));
	expect(0, ipc_send(ends[0], "next", 4, SOON));
	expect(1000, ipc_recv(ends[1], in, sizeof in, SOON));
	expect(4, ipc_recv(ends[1], in, sizeof in, SOON));
	expect(0, ipc_sendv(ends[0], iov, PARTS, SOON));
	expect((int)sizeof data, ipc_recv(ends[1], in, sizeof in, SOON));
	expect_true(memcmp(in, data, sizeof data) == 0);
	close_ends(ends);
}
END_TEST

/*
 * A reservation that is begun
 */

START_TEST(a_begun_commit_is_not_lost)
{
	void *p;
	char *in = need(MIB);

	(void)_i;
	expect_ok(ipc_pair(ends, "pipe:", 0));
	expect(0, ipc_reserve(ends[0], &p, MIB, SOON));
	pattern_fill(p, MIB, 9);
	expect(-EAGAIN, ipc_commit(ends[0], MIB));
	expect(-EALREADY, ipc_commit(ends[0], 5));
	while (ipc_commit(ends[0], MIB) == -EAGAIN)
		expect(-EAGAIN, ipc_recv(ends[1], in, MIB, 0));
	expect(MIB, ipc_recv(ends[1], in, MIB, SOON));
	expect_true(pattern_is(in, MIB, 9));
	close_ends(ends);
	free(in);
}
END_TEST

/*
 * Descriptors that nobody fetches
 */

static long
send_many_fds(struct job *j)
{
	int fd = 0;
	struct iovec iov = { (void *)"x", 1 };
	struct ipc_msg m = { .struct_size = sizeof m, .iov = &iov,
	    .iov_count = 1, .fds = &fd, .fd_count = 1 };
	int n, rc;

	for (n = 0; n < 2000; n++)
		if ((rc = ipc_sendmsg(j->ch, &m, 0, j->timeout)) < 0)
			break;
	return n;
}

START_TEST(a_full_road_for_descriptors_is_waited_for)
{
	struct job j = { .timeout = 300 };
	double cpu = cpu_ms();
	long n;

	ends_of(_i, ends, "", 0);
	j.ch = ends[0];
	n = send_many_fds(&j);
	expect_true(n > 0);
	if (n < 2000 && cpu_ms() - cpu > 100)
		ck_abort_msg("%s: %ld went, and %.0f ms of CPU in a wait of "
		    "300", where(), n, cpu_ms() - cpu);
	close_ends(ends);
}
END_TEST

START_TEST(a_close_is_told_behind_many_descriptors)
{
	int i, rc;

	ends_of(_i, ends, "", 0);
	for (i = 0; i < 10; i++) {
		int fd = 0;
		struct iovec iov = { (void *)"x", 1 };
		struct ipc_msg m = { .struct_size = sizeof m, .iov = &iov,
		    .iov_count = 1, .fds = &fd, .fd_count = 1 };

		rc = ipc_sendmsg(ends[1], &m, 0, 0);
		if (rc == -EAGAIN)
			break;
		expect(0, rc);
	}
	expect(0, ipc_abandon(ends[1]));
	ipc_close(ends[1]);
	while ((rc = ipc_send(ends[0], "x", 1, 500)) == 0)
		;
	expect(-EPIPE, rc);
	ipc_close(ends[0]);
}
END_TEST

START_TEST(unfetched_descriptors_cost_no_cpu)
{
	static const char data[1000];
	double cpu;
	int i;

	ends_of(_i, ends, "", 0);
	for (i = 0; i < 8; i++) {
		int fd = 0;
		struct iovec iov = { (void *)"x", 1 };
		struct ipc_msg m = { .struct_size = sizeof m, .iov = &iov,
		    .iov_count = 1, .fds = &fd, .fd_count = 1 };

		if (ipc_sendmsg(ends[1], &m, 0, 0) < 0)
			break;
	}
	fill_up(ends[0], 1000);
	cpu = cpu_ms();
	expect(-ETIMEDOUT, ipc_send(ends[0], data, 1000, 300));
	if (cpu_ms() - cpu > 100)
		ck_abort_msg("%s: %.0f ms of CPU in a wait of 300", where(),
		    cpu_ms() - cpu);
	close_ends(ends);
}
END_TEST

/*
 * Turns
 */

static long
turn_side(struct job *j)
{
	char buf[8];

	return ipc_recv(j->ch, buf, sizeof buf, j->timeout);
}

START_TEST(a_turn_comes_through_a_full_channel)
{
	struct job j = { .timeout = 3000 };
	char *buf = need(65536);
	int rc;

	ends_of(_i, ends, "", IPC_HALF_DUPLEX);
	while ((rc = ipc_send(ends[0], buf, 700, 0)) == 0)
		;
	expect(-EAGAIN, rc);
	expect(0, ipc_abandon(ends[0]));
	while ((rc = ipc_send(ends[0], buf, 0, 0)) == 0)
		;
	expect(-EAGAIN, rc);
	expect(0, ipc_abandon(ends[0]));
	expect(0, ipc_over(ends[0]));
	j.ch = ends[0];
	job_start(&j, turn_side);
	pause_ms(100);
	while ((rc = ipc_recv(ends[1], buf, 65536, 1000)) >= 0)
		;
	expect(-EBUSY, rc);
	expect(0, ipc_send(ends[1], "hi", 2, SOON));
	expect(2, job_end(&j));
	close_ends(ends);
	free(buf);
}
END_TEST

START_TEST(a_turn_comes_through_a_full_channel_in_a_loop)
{
	struct ipc_pollitem item = { .events = POLLIN };
	char *buf = need(65536);
	int rc;

	ends_of(_i, ends, "", IPC_HALF_DUPLEX);
	while ((rc = ipc_send(ends[0], buf, 700, 0)) == 0)
		;
	expect(-EAGAIN, rc);
	expect(0, ipc_abandon(ends[0]));
	while ((rc = ipc_send(ends[0], buf, 0, 0)) == 0)
		;
	expect(-EAGAIN, rc);
	expect(0, ipc_abandon(ends[0]));
	expect(0, ipc_over(ends[0]));
	item.channel = ends[0];
	expect(-EAGAIN, ipc_recv(ends[0], buf, 10, 0));
	while ((rc = ipc_recv(ends[1], buf, 65536, 0)) >= 0)
		;
	for (int i = 0; rc == -EAGAIN && i < 100; i++) {
		if (ipc_poll(&item, 1, 20) > 0)
			expect(-EAGAIN, ipc_recv(ends[0], buf, 10, 0));
		while ((rc = ipc_recv(ends[1], buf, 65536, 0)) >= 0)
			;
	}
	expect(-EBUSY, rc);
	close_ends(ends);
	free(buf);
}
END_TEST

/*
 * Shutting the receiving side
 */

START_TEST(a_blocked_sender_hears_of_a_shutdown)
{
	static const char data[1000];
	struct job j = { .data = data, .size = 1000, .timeout = 3000 };

	ends_of(_i, ends, "", 0);
	fill_up(ends[0], 1000);
	j.ch = ends[0];
	job_start(&j, job_send);
	pause_ms(100);
	expect(0, ipc_shutdown(ends[1], IPC_RECV));
	expect(-EPIPE, job_end(&j));
	close_ends(ends);
}
END_TEST

START_TEST(a_full_channel_shows_a_shutdown)
{
	struct ipc_pollitem item = { .events = POLLOUT };
	static const char data[1000];

	ends_of(_i, ends, "", 0);
	fill_up(ends[0], 1000);
	item.channel = ends[0];
	expect(0, ipc_poll(&item, 1, 0));
	expect(0, ipc_shutdown(ends[1], IPC_RECV));
	expect(1, ipc_poll(&item, 1, 500));
	expect(-EPIPE, ipc_send(ends[0], data, 1000, 0));
	close_ends(ends);
}
END_TEST

START_TEST(what_was_shown_goes_with_the_receiving_side)
{
	const void *p;
	char buf[8];

	ends_of(_i, ends, "", 0);
	expect(0, ipc_send(ends[0], "shown", 5, SOON));
	expect(5, ipc_peek(ends[1], &p, SOON));
	expect(0, ipc_shutdown(ends[1], IPC_RECV));
	(void)ipc_release(ends[1]);
	while (ipc_recv(ends[1], buf, sizeof buf, SOON) >= 0)
		;
	expect(-EPIPE, ipc_recv(ends[1], buf, sizeof buf, SOON));
	close_ends(ends);
}
END_TEST

/*
 * Time and places
 */

static long
hold_receiver(struct job *j)
{
	char buf[8];

	return ipc_recv(j->ch, buf, sizeof buf, j->timeout);
}

/* The wait for another thread and the wait for a message are one wait. */
START_TEST(many_threads_keep_their_deadline)
{
	struct job j = { .timeout = 100 };
	double begun, took = 200;
	char buf[8];

	(void)_i;
	expect_ok(ipc_pair(ends, "unix:?threads=many", 0));
	j.ch = ends[0];
	/* One after the other would be 200 ms, each time. */
	for (int i = 0; i < 30 && took > 160; i++) {
		begun = now_ms();
		job_start(&j, hold_receiver);
		pause_ms(20);
		expect(-ETIMEDOUT, ipc_recv(ends[0], buf, sizeof buf, 100));
		took = now_ms() - begun;
		expect(-ETIMEDOUT, job_end(&j));
	}
	if (took > 160)
		ck_abort_msg("after %.0f ms", took);
	close_ends(ends);
}
END_TEST

START_TEST(as_many_items_as_descriptors)
{
	struct ipc_pollitem items[1000];
	struct rlimit old, few;
	int i;

	(void)_i;
	expect_sys(getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = 1024;
	expect_sys(setrlimit(RLIMIT_NOFILE, &few));
	expect_ok(ipc_pair(ends, "unix:", 0));
	for (i = 0; i < 1000; i++)
		items[i] = (struct ipc_pollitem){ .fd = -1, .events = POLLIN };
	items[700] = (struct ipc_pollitem){ .channel = ends[0],
	    .events = POLLIN | POLLOUT };
	items[999] = (struct ipc_pollitem){ .channel = ends[1],
	    .events = POLLIN };
	expect(1, ipc_poll(items, 1000, SOON));
	expect(POLLOUT, items[700].revents);
	expect(0, ipc_send(ends[0], "x", 1, SOON));
	expect(2, ipc_poll(items, 1000, SOON));
	expect(POLLIN, items[999].revents);
	close_ends(ends);
	expect_sys(setrlimit(RLIMIT_NOFILE, &old));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("states");
	tc = tcase_open("batches", 12);
	tcase_add_test(tc, the_end_is_told_behind_a_batch);
	tcase_add_test(tc, a_wake_is_heard_by_the_next_batch);
	tcase_add_test(tc, no_wake_is_lost_in_a_batch);
	tcase_add_loop_test(tc, many_parts_are_one_datagram, 0, 2);
	tcase_add_test(tc, many_parts_are_taken_whole);
	tcase_add_test(tc, a_begun_commit_is_not_lost);
	tc = tcase_open("descriptors", 12);
	for_each_case(tc, a_full_road_for_descriptors_is_waited_for, TALKS,
	    IPC_CAP_FDS);
	for_each_case(tc, a_close_is_told_behind_many_descriptors, TALKS,
	    IPC_CAP_FDS);
	for_each_case(tc, unfetched_descriptors_cost_no_cpu, TALKS,
	    IPC_CAP_FDS);
	tc = tcase_open("turns", 12);
	for_each_case(tc, a_turn_comes_through_a_full_channel, TALKS,
	    IPC_CAP_HALF);
	for_each_case(tc, a_turn_comes_through_a_full_channel_in_a_loop, TALKS,
	    IPC_CAP_HALF);
	tc = tcase_open("shutdown", 12);
	for_each_case(tc, a_blocked_sender_hears_of_a_shutdown, TALKS,
	    IPC_CAP_DUPLEX | IPC_CAP_RELIABLE | IPC_CAP_DELIVERS);
	for_each_case(tc, a_full_channel_shows_a_shutdown, TALKS,
	    IPC_CAP_DUPLEX | IPC_CAP_RELIABLE | IPC_CAP_DELIVERS);
	for_each_case(tc, what_was_shown_goes_with_the_receiving_side, TALKS,
	    IPC_CAP_DUPLEX);
	tc = tcase_open("time", 12);
	tcase_add_test(tc, many_threads_keep_their_deadline);
	tcase_add_test(tc, as_many_items_as_descriptors);
	return suite_close();
}
