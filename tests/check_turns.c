/* SPDX-License-Identifier: ISC */
/*
 * Half-duplex: both ways in turns, and the turn travels behind the messages.
 */
#include "support.h"

static char buffer[MIB];

static void
hear(struct ipc_channel *ch, const char *text)
{
	size_t n = strlen(text);

	expect(n, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, text, n) == 0);
}

START_TEST(the_first_side_begins)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	expect(0, ipc_turn(ch[0], 0));
	expect(-EBUSY, ipc_send(ch[1], "x", 1, 0));
	expect(-EBUSY, ipc_send(ch[1], "x", 1, SOON));
	expect(-EBUSY, ipc_over(ch[1]));
	expect(-EAGAIN, ipc_turn(ch[1], 0));
	expect(-ETIMEDOUT, ipc_turn(ch[1], 30));
	expect(0, ipc_send(ch[0], "one", 3, SOON));
	hear(ch[1], "one");
	close_ends(ch);
}
END_TEST

START_TEST(half_duplex_can_stand_in_the_address)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "duplex=half", 0);
	expect(0, ipc_turn(ch[0], 0));
	expect(-EBUSY, ipc_send(ch[1], "x", 1, 0));
	close_ends(ch);
}
END_TEST

START_TEST(the_turn_travels_behind_the_messages)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	expect(0, ipc_send(ch[0], "one", 3, SOON));
	expect(0, ipc_send(ch[0], "two", 3, SOON));
	expect(0, ipc_over(ch[0]));
	expect(-EBUSY, ipc_send(ch[0], "x", 1, SOON));
	expect(-EBUSY, ipc_turn(ch[1], SOON));
	hear(ch[1], "one");
	hear(ch[1], "two");
	expect(0, ipc_turn(ch[1], SOON));
	expect(0, ipc_send(ch[1], "three", 5, SOON));
	hear(ch[0], "three");
	expect(-EAGAIN, ipc_turn(ch[0], 0));
	expect(0, ipc_over(ch[1]));
	expect(0, ipc_turn(ch[0], SOON));
	expect(0, ipc_send(ch[0], "four", 4, SOON));
	hear(ch[1], "four");
	close_ends(ch);
}
END_TEST

START_TEST(receiving_with_the_turn_in_hand_never_waits)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	expect(-EBUSY, ipc_recv(ch[0], buffer, sizeof buffer, -1));
	expect(-EBUSY, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, ipc_over(ch[0]));
	expect(-EAGAIN, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-EBUSY, ipc_recv(ch[1], buffer, sizeof buffer, -1));
	expect(0, ipc_turn(ch[1], 0));
	expect(0, ipc_send(ch[1], "x", 1, SOON));
	expect(0, ipc_over(ch[1]));
	hear(ch[0], "x");
	expect(-EBUSY, ipc_recv(ch[0], buffer, sizeof buffer, -1));
	close_ends(ch);
}
END_TEST

START_TEST(the_end_comes_before_any_turn)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	expect(0, ipc_send(ch[0], "last", 4, SOON));
	expect(0, ipc_close(ch[0]));
	hear(ch[1], "last");
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_turn(ch[1], SOON));
	expect(0, ipc_close(ch[1]));
	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	expect(0, ipc_close(ch[1]));
	pause_ms(10);
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(large_messages_in_turns)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	for (int i = 0; i < 6; i++) {
		carry(ch[i % 2], ch[!(i % 2)], MIB);
		expect(0, ipc_over(ch[i % 2]));
		expect(0, ipc_turn(ch[!(i % 2)], SOON));
	}
	close_ends(ch);
}
END_TEST

/* Says when it has heard all there is, and answers. */
static void
walkie_talkie(struct ipc_channel *ch, void *unused)
{
	char text[16];
	int n;

	(void)unused;
	for (int i = 0; i < 100; i++) {
		for (n = 0; ipc_recv(ch, text, sizeof text, SOON) >= 0;)
			n++;
		expect(0, ipc_turn(ch, SOON));
		expect(0, ipc_send(ch, &n, sizeof n, SOON));
		expect(0, ipc_over(ch));
	}
	expect(-EPIPE, ipc_recv(ch, text, sizeof text, SOON));
	expect(0, ipc_close(ch));
}

START_TEST(a_walkie_talkie_with_another_process)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, "", IPC_HALF_DUPLEX,
	    walkie_talkie, NULL, &pid);
	int n;

	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < i % 5; k++)
			expect(0, ipc_send(ch, "hello", 5, SOON));
		expect(0, ipc_over(ch));
		expect(sizeof n, ipc_recv(ch, &n, sizeof n, SOON));
		expect(i % 5, n);
		expect(0, ipc_turn(ch, SOON));
	}
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

/* A wait for the turn is a wait like any other. */
static long
job_over(struct job *j)
{
	return ipc_over(j->ch);
}

START_TEST(waiting_for_the_turn_ends_when_it_comes)
{
	struct ipc_channel *ch[2];
	struct job j = { .delay = 30 };

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	j.ch = ch[0];
	job_start(&j, job_over);
	storm_start();
	expect(0, ipc_turn(ch[1], -1));
	storm_stop();
	expect(0, job_end(&j));
	expect(0, ipc_send(ch[1], "x", 1, SOON));
	hear(ch[0], "x");
	close_ends(ch);
}
END_TEST

START_TEST(the_turn_makes_the_descriptor_ready)
{
	struct ipc_channel *ch[2];
	short events;
	int fd;

	ends_of(_i, ch, "", IPC_HALF_DUPLEX);
	fd = ipc_fd(ch[1], IPC_RECV, &events);
	expect_ok(fd);
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, ready(fd, events, 0));
	expect(0, ipc_over(ch[0]));
	expect_true(ready(fd, events, SOON) != 0);
	expect(-EBUSY, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, ipc_send(ch[1], "x", 1, SOON));
	hear(ch[0], "x");
	close_ends(ch);
}
END_TEST

START_TEST(full_duplex_has_no_turns)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect_error(ipc_turn(ch[0], 0));
	expect_error(ipc_over(ch[0]));
	close_ends(ch);
}
END_TEST

START_TEST(where_there_are_no_turns_it_says_so)
{
	struct ipc_channel *ch[2];

	begin(_i);
	if (here.way == IPC_WAY_PAIR)
		expect_error(ipc_pair(ch, address(""), IPC_HALF_DUPLEX));
	else
		expect_error(ipc_listen(&(struct ipc_listener *){ NULL },
		    address(""), IPC_HALF_DUPLEX));
}
END_TEST

int
main(void)
{
	const unsigned half = IPC_CAP_HALF;
	TCase *tc;

	suite_open("turns");
	tc = tcase_open("turns", 20);
	for_each_case(tc, the_first_side_begins, TALKS, half);
	for_each_case(tc, half_duplex_can_stand_in_the_address, TALKS, half);
	for_each_case(tc, the_turn_travels_behind_the_messages, TALKS, half);
	for_each_case(tc, receiving_with_the_turn_in_hand_never_waits, TALKS,
	    half);
	for_each_case(tc, the_end_comes_before_any_turn, TALKS,
	    half | IPC_CAP_END);
	for_each_case(tc, large_messages_in_turns, TALKS,
	    half | IPC_CAP_LARGE);
	for_each_case(tc, a_walkie_talkie_with_another_process, TALKS,
	    half | FORKS);
	for_each_case(tc, waiting_for_the_turn_ends_when_it_comes, TALKS,
	    half);
	for_each_case(tc, the_turn_makes_the_descriptor_ready, TALKS,
	    half | IPC_CAP_FD);
	for_each_case(tc, full_duplex_has_no_turns, TALKS, 0);
	for_each_case_but(tc, where_there_are_no_turns_it_says_so, TALKS, 0,
	    half);
	return suite_close();
}
