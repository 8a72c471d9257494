/* SPDX-License-Identifier: ISC */
/*
 * Without a copy, where the mechanism can; the same code works everywhere.
 */
#include <pthread.h>
#include <sched.h>

#include "support.h"

static char buffer[MIB];

START_TEST(reserve_fill_commit)
{
	struct ipc_channel *ch[2];
	void *data;

	ends_of(_i, ch, "", 0);
	for (size_t n = 0; n <= 1000; n = n * 3 + 1) {
		expect(0, ipc_reserve(ch[0], &data, n, SOON));
		pattern_fill(data, n, 4);
		expect(0, ipc_commit(ch[0], n));
		expect(n, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
		expect_true(pattern_is(buffer, n, 4));
	}
	close_ends(ch);
}
END_TEST

START_TEST(less_than_was_reserved)
{
	struct ipc_channel *ch[2];
	void *data;

	ends_of(_i, ch, "", 0);
	expect(0, ipc_reserve(ch[0], &data, 1000, SOON));
	memcpy(data, "hello", 5);
	expect_either(-EINVAL, -EMSGSIZE, ipc_commit(ch[0], 1001));
	expect(0, ipc_commit(ch[0], 5));
	expect(5, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, "hello", 5) == 0);
	expect(0, ipc_reserve(ch[0], &data, 1000, SOON));
	expect(0, ipc_commit(ch[0], 0));
	expect(0, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(one_reservation_at_a_time)
{
	struct ipc_channel *ch[2];
	void *data, *other;

	ends_of(_i, ch, "", 0);
	expect_error(ipc_commit(ch[0], 0));
	expect(0, ipc_reserve(ch[0], &data, 100, SOON));
	expect(-EALREADY, ipc_reserve(ch[0], &other, 100, SOON));
	memset(data, 1, 100);
	expect(0, ipc_abandon(ch[0]));
	expect_error(ipc_commit(ch[0], 0));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, ipc_reserve(ch[0], &data, 100, SOON));
	expect(0, ipc_commit(ch[0], 100));
	expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

/* The fixture and the sanitizer see what is left of it. */
START_TEST(closing_with_a_reservation_and_a_peek)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[0], "one", 3, SOON));
	expect(0, ipc_reserve(ch[0], &data, 100, SOON));
	expect(3, ipc_peek(ch[1], &shown, SOON));
	expect(0, ipc_close(ch[0]));
	expect(3, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	if (here.caps & IPC_CAP_END)
		expect(-EPIPE, ipc_recv(ch[1], buffer, 10, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

START_TEST(too_large_a_reservation)
{
	struct ipc_channel *ch[2];
	size_t most;
	void *data;

	ends_of(_i, ch, "", 0);
	most = info_of(ch[0]).max_message;
	expect(-EMSGSIZE, ipc_reserve(ch[0], &data, most + 1, SOON));
	expect(-EMSGSIZE, ipc_reserve(ch[0], &data, SIZE_MAX, SOON));
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect(1, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

static long
job_commit(struct job *j)
{
	void *data;
	int rc = ipc_reserve(j->ch, &data, j->size, SOON);

	if (rc < 0)
		return rc;
	pattern_fill(data, j->size, 6);
	for (int i = 0; (rc = ipc_commit(j->ch, j->size)) == -EAGAIN; i++)
		if (i == 1000000 || usleep(10) == -1)
			return -ETIMEDOUT;
	return rc;
}

/* The commit may leave it open, and goes on. */
START_TEST(large_messages_without_a_copy)
{
	struct ipc_channel *ch[2];
	struct job j = { .size = MIB };
	const void *data;

	ends_of(_i, ch, "", 0);
	j.ch = ch[0];
	for (int i = 0; i < 3; i++) {
		job_start(&j, job_commit);
		expect(MIB, ipc_peek(ch[1], &data, SOON));
		expect_true(pattern_is(data, MIB, 6));
		expect(0, ipc_release(ch[1]));
		expect(0, job_end(&j));
	}
	carry(ch[0], ch[1], 10);
	close_ends(ch);
}
END_TEST

START_TEST(a_commit_never_waits)
{
	struct ipc_channel *ch[2];
	void *data = NULL;
	int rc;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 1000000; i++) {
		rc = ipc_reserve(ch[0], &data, 1000, 0);
		if (rc == -EAGAIN)
			break;
		expect(0, rc);
		memset(data, 'x', 1000);
		rc = ipc_commit(ch[0], 1000);
		if (rc == -EAGAIN)
			break;
		expect(0, rc);
	}
	expect(-EAGAIN, rc);
	(void)ipc_abandon(ch[0]);
	while (ipc_recv(ch[1], buffer, sizeof buffer, 0) == 1000)
		continue;
	carry(ch[0], ch[1], 100);
	close_ends(ch);
}
END_TEST

/*
 * Looking
 */

START_TEST(a_peek_shows_what_a_receive_would_give)
{
	struct ipc_channel *ch[2];
	const void *a, *b;

	ends_of(_i, ch, "", 0);
	expect(-EAGAIN, ipc_peek(ch[1], &a, 0));
	expect(0, ipc_send(ch[0], "hello", 5, SOON));
	expect(0, ipc_send(ch[0], "", 0, SOON));
	expect(0, ipc_send(ch[0], "world!", 6, SOON));
	expect(5, ipc_peek(ch[1], &a, SOON));
	expect_true(memcmp(a, "hello", 5) == 0);
	expect(5, ipc_peek(ch[1], &b, 0));
	expect_true(memcmp(b, "hello", 5) == 0);
	expect(5, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect_true(memcmp(buffer, "hello", 5) == 0);
	expect(0, ipc_peek(ch[1], &a, SOON));
	expect(0, ipc_release(ch[1]));
	expect(6, ipc_peek(ch[1], &a, SOON));
	expect_true(memcmp(a, "world!", 6) == 0);
	expect(0, ipc_release(ch[1]));
	expect(-EAGAIN, ipc_peek(ch[1], &a, 0));
	close_ends(ch);
}
END_TEST

/* Large ones while they are being sent: shown, received, scattered and waited
 * for in all ways, they are whole. */
#define LARGE		300
#define LARGE_MOST	200000

static size_t
large_size(unsigned i)
{
	return i % 4 == 3 ? i : i * 7919 % LARGE_MOST;
}

static void *
send_large(void *arg)
{
	struct ipc_channel *ch = arg;
	char *message = malloc(LARGE_MOST);
	long rc = 0;

	for (unsigned i = 0; rc == 0 && i < LARGE; i++) {
		pattern_fill(message, large_size(i), i);
		rc = ipc_send(ch, message, large_size(i), SOON);
	}
	free(message);
	return (void *)rc;
}

static ssize_t
take_large(struct ipc_channel *ch, unsigned way)
{
	struct iovec iov[2] = { { buffer, 10000 }, { buffer + 10000,
	    sizeof buffer - 10000 } };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = iov,
	    .iov_count = 2 };
	const void *data;
	ssize_t n;

	switch (way) {
	case 0:
		return ipc_recv(ch, buffer, sizeof buffer, SOON);
	case 1:
		return ipc_recvmsg(ch, &msg, 0, SOON);
	case 2:
		while ((n = ipc_recv(ch, buffer, sizeof buffer, 0)) == -EAGAIN)
			sched_yield();
		return n;
	case 3:
		while ((n = ipc_peek(ch, &data, 0)) == -EAGAIN)
			sched_yield();
		break;
	default:
		n = ipc_peek(ch, &data, SOON);
	}
	if (n < 0)
		return n;
	memcpy(buffer, data, (size_t)n);
	expect(0, ipc_release(ch));
	return n;
}

START_TEST(large_messages_are_taken_whole_in_all_ways)
{
	struct ipc_channel *ch[2];
	pthread_t thread;
	void *rc;

	ends_of(_i, ch, "", 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_large, ch[0]), 0);
	for (unsigned i = 0; i < LARGE; i++) {
		expect(large_size(i), take_large(ch[1], i * 5 / 3 % 5));
		expect_true(pattern_is(buffer, large_size(i), i));
	}
	pthread_join(thread, &rc);
	ck_assert_ptr_null(rc);
	close_ends(ch);
}
END_TEST

START_TEST(what_was_not_shown_is_not_taken)
{
	struct ipc_channel *ch[2];
	const void *data;

	ends_of(_i, ch, "", 0);
	expect(-EINVAL, ipc_release(ch[1]));
	expect(0, ipc_send(ch[0], "one", 3, SOON));
	expect(-EINVAL, ipc_release(ch[1]));
	expect(3, ipc_peek(ch[1], &data, SOON));
	expect(0, ipc_release(ch[1]));
	expect(-EINVAL, ipc_release(ch[1]));
	close_ends(ch);
}
END_TEST

/* Both directions of one channel at once: a reply made from what is shown. */
START_TEST(a_peek_and_a_reservation_side_by_side)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[0], "question", 8, SOON));
	expect(8, ipc_peek(ch[1], &shown, SOON));
	expect(0, ipc_reserve(ch[1], &data, 8, SOON));
	memcpy(data, shown, 8);
	expect(0, ipc_commit(ch[1], 8));
	expect(0, ipc_release(ch[1]));
	expect(8, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, "question", 8) == 0);
	close_ends(ch);
}
END_TEST

START_TEST(the_wrong_direction)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;

	ends_of(_i, ch, "", IPC_RECV);
	expect(-EBADF, ipc_reserve(ch[0], &data, 8, 0));
	expect(-EBADF, ipc_peek(ch[1], &shown, 0));
	close_ends(ch);
}
END_TEST

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("in place");
	tc = tcase_open("reserve", 20);
	for_each_case(tc, reserve_fill_commit, TALKS, sure);
	for_each_case(tc, less_than_was_reserved, TALKS, sure);
	for_each_case(tc, one_reservation_at_a_time, TALKS, sure);
	for_each_case(tc, closing_with_a_reservation_and_a_peek, TALKS, sure);
	for_each_case(tc, too_large_a_reservation, TALKS, sure);
	for_each_case(tc, large_messages_without_a_copy, TALKS,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, a_commit_never_waits, TALKS, sure);
	tc = tcase_open("peek", 20);
	for_each_case(tc, a_peek_shows_what_a_receive_would_give, TALKS, sure);
	for_each_case(tc, large_messages_are_taken_whole_in_all_ways, TALKS,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, what_was_not_shown_is_not_taken, TALKS, sure);
	for_each_case(tc, a_peek_and_a_reservation_side_by_side, TALKS, sure);
	for_each_case(tc, the_wrong_direction, TALKS, sure);
	return suite_close();
}
