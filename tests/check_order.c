/* SPDX-License-Identifier: ISC */
/*
 * Messages arrive in the order they were sent, each once, whoever is faster.
 */
#include "support.h"

#define MESSAGES	100000

/* One in so many messages somebody rests, in one burst. */
struct numbers {
	struct job	 job;
	uint32_t	 count;
	uint32_t	 rest;		/* 0: never */
};

static void
rest_after(uint32_t n, uint32_t every)
{
	if (every != 0 && n % every == every - 1)
		pause_ms(10);
}

static long
job_count_up(struct job *j)
{
	struct numbers *n = (struct numbers *)j;
	int rc;

	for (uint32_t i = 0; i < n->count; i++) {
		rest_after(i, n->rest);
		if ((rc = ipc_send(j->ch, &i, sizeof i, SOON)) < 0)
			return rc;
	}
	return 0;
}

static void
follow(struct ipc_channel *ch, uint32_t count, uint32_t rest)
{
	uint32_t got;

	for (uint32_t i = 0; i < count; i++) {
		rest_after(i, rest);
		expect(sizeof got, ipc_recv(ch, &got, sizeof got, SOON));
		if (got != i)
			ck_abort_msg("%s: %u where %u was due", where(), got,
			    i);
	}
	expect(-EAGAIN, ipc_recv(ch, &got, sizeof got, 0));
}

static void
count_over(struct ipc_channel *from, struct ipc_channel *to, uint32_t count,
    uint32_t sender_rests, uint32_t receiver_rests)
{
	struct numbers n = { .count = count, .rest = sender_rests };

	n.job.ch = from;
	job_start(&n.job, job_count_up);
	follow(to, count, receiver_rests);
	expect(0, job_end(&n.job));
}

START_TEST(in_order_with_the_receiver_slower)
{
	struct ipc_channel *ch[2];
	uint32_t count = (uint32_t)rounds(MESSAGES);

	ends_of(_i, ch, "", 0);
	count_over(ch[0], ch[1], count, 0, count / 20 + 1);
	close_ends(ch);
}
END_TEST

START_TEST(in_order_with_the_receiver_faster)
{
	struct ipc_channel *ch[2];
	uint32_t count = (uint32_t)rounds(MESSAGES);

	ends_of(_i, ch, "", 0);
	count_over(ch[1], ch[0], count, count / 20 + 1, 0);
	close_ends(ch);
}
END_TEST

START_TEST(in_order_through_a_small_capacity)
{
	struct ipc_channel *ch[2];
	uint32_t count = (uint32_t)rounds(MESSAGES / 10);

	ends_of(_i, ch, "capacity=4K", 0);
	count_over(ch[0], ch[1], count, 0, count / 5 + 1);
	close_ends(ch);
}
END_TEST

/*
 * From another process, of all sizes
 */

static size_t
size_of(unsigned n)
{
	static const size_t most[] = { 16, 300, 5000, 70000 };

	return (size_t)n * 2654435761u % most[n % 4];
}

static void
sizes_peer(struct ipc_channel *ch, void *unused)
{
	char *data = need(100000);

	(void)unused;
	for (unsigned i = 0; i < (unsigned)rounds(2000); i++) {
		pattern_fill(data, size_of(i), i);
		expect(0, ipc_send(ch, data, size_of(i), SOON));
	}
	expect(0, ipc_close(ch));
}

START_TEST(messages_of_all_sizes_from_another_process)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, "", 0, sizes_peer, NULL, &pid);
	char *data = need(100000);

	for (unsigned i = 0; i < (unsigned)rounds(2000); i++) {
		expect(size_of(i), ipc_recv(ch, data, 100000, SOON));
		expect_true(pattern_is(data, size_of(i), i));
	}
	expect(-EPIPE, ipc_recv(ch, data, 100000, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
	free(data);
}
END_TEST

START_TEST(questions_and_answers_with_another_process)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, "", 0, echo_peer, NULL, &pid);
	uint32_t got;

	for (uint32_t i = 0; i < (uint32_t)rounds(2000); i++) {
		expect(0, ipc_send(ch, &i, sizeof i, SOON));
		expect(sizeof got, ipc_recv(ch, &got, sizeof got, SOON));
		expect(i, got);
	}
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

/* What is lost may be missing, but nothing comes twice or in pieces. */
START_TEST(what_may_be_lost_still_comes_whole)
{
	struct ipc_channel *ch[2];
	char data[500];
	unsigned got = 0;

	ends_of(_i, ch, "", 0);
	for (unsigned i = 0; i < 200; i++) {
		pattern_fill(data, sizeof data, i);
		expect(0, ipc_send(ch[0], data, sizeof data, SOON));
		if (ipc_recv(ch[1], data, sizeof data, 50) < 0)
			continue;
		got++;
		expect_true(pattern_is(data, sizeof data, i));
	}
	expect_true(got > 100);
	close_ends(ch);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("order");
	tc = tcase_open("order", 60);
	for_each_case(tc, in_order_with_the_receiver_slower, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, in_order_with_the_receiver_faster, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, in_order_through_a_small_capacity, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, messages_of_all_sizes_from_another_process, TALKS,
	    IPC_CAP_RELIABLE | IPC_CAP_LARGE | FORKS);
	for_each_case(tc, questions_and_answers_with_another_process, TALKS,
	    IPC_CAP_RELIABLE | FORKS);
	for_each_case_but(tc, what_may_be_lost_still_comes_whole, TALKS, 0,
	    IPC_CAP_RELIABLE);
	return suite_close();
}
