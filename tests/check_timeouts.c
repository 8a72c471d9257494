/* SPDX-License-Identifier: ISC */
/*
 * Timeouts 0, 60 ms and -1; deadlines under a storm of signals.
 *
 * A machine may stand still for a moment, so what is late is tried again: it
 * fails if it is late each time.  What is early fails at once.
 */
#include <signal.h>

#include "support.h"

#define TRIES		30	/* on a busy machine most may be late */
#define LATE		20.0	/* ms after the deadline */

static char buffer[64 * KIB];

typedef long waiting_fn(void *, int timeout);

static long
wait_recv(void *ch, int timeout)
{
	return ipc_recv(ch, buffer, sizeof buffer, timeout);
}

static long
wait_send(void *ch, int timeout)
{
	return ipc_send(ch, buffer, 4000, timeout);
}

static long
wait_peek(void *ch, int timeout)
{
	const void *data;

	return ipc_peek(ch, &data, timeout);
}

static long
wait_accept(void *l, int timeout)
{
	struct ipc_channel *ch;

	return ipc_accept(&ch, l, timeout);
}

static long
wait_poll(void *ch, int timeout)
{
	struct ipc_pollitem item = { .channel = ch, .fd = -1,
	    .events = POLLIN };
	int rc = ipc_poll(&item, 1, timeout);

	return rc != 0 ? rc : timeout == 0 ? -EAGAIN : -ETIMEDOUT;
}

/* A wait of so many ms ends no earlier, and not much later. */
static void
keeps_its_deadline(waiting_fn *fn, void *arg, int timeout)
{
	double start, took = 0;

	for (int i = 0; i < TRIES; i++) {
		start = now_ms();
		expect(timeout == 0 ? -EAGAIN : -ETIMEDOUT, fn(arg, timeout));
		took = now_ms() - start;
		if (took < timeout)
			ck_abort_msg("%s: back after %.2f ms of %d", where(),
			    took, timeout);
		if (took <= timeout + LATE)
			return;
	}
	ck_abort_msg("%s: %.2f ms where %d were due", where(), took, timeout);
}

static void
keeps_all(waiting_fn *fn, void *arg)
{
	keeps_its_deadline(fn, arg, 0);
	keeps_its_deadline(fn, arg, 1);
	keeps_its_deadline(fn, arg, 60);
	storm_start();
	keeps_its_deadline(fn, arg, 0);
	keeps_its_deadline(fn, arg, 60);
	storm_stop();
}

START_TEST(receiving_keeps_its_deadline)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	keeps_all(wait_recv, ch[0]);
	keeps_all(wait_peek, ch[1]);
	carry(ch[0], ch[1], 100);
	carry(ch[1], ch[0], 100);
	close_ends(ch);
}
END_TEST

START_TEST(one_way_receiving_keeps_its_deadline)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_RECV);
	keeps_all(wait_recv, ch[0]);
	carry(ch[1], ch[0], 100);
	close_ends(ch);
}
END_TEST

START_TEST(sending_keeps_its_deadline_when_full)
{
	struct ipc_channel *ch[2];
	int n;

	ends_of(_i, ch, "", 0);
	n = fill_up(ch[0], 4000);
	expect_true(n > 0);
	keeps_all(wait_send, ch[0]);
	(void)ipc_abandon(ch[0]);
	while (n-- > 0)
		expect(4000, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	carry(ch[0], ch[1], 4000);
	close_ends(ch);
}
END_TEST

START_TEST(accepting_keeps_its_deadline)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];

	begin(_i);
	expect(0, ipc_listen(&l, address(""), 0));
	keeps_all(wait_accept, l);
	meet(ch, l, 0);
	carry(ch[0], ch[1], 1);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}
END_TEST

START_TEST(polling_keeps_its_deadline)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	keeps_all(wait_poll, ch[0]);
	close_ends(ch);
}
END_TEST

/* For ever is until it comes, signals or not. */
START_TEST(receiving_for_ever_ends_with_a_message)
{
	struct ipc_channel *ch[2];
	struct job j = { .data = "x", .size = 1, .timeout = SOON,
	    .delay = 80 };

	ends_of(_i, ch, "", 0);
	j.ch = ch[0];
	storm_start();
	job_start(&j, job_send);
	expect(1, ipc_recv(ch[1], buffer, sizeof buffer, -1));
	expect(0, job_end(&j));
	storm_stop();
	close_ends(ch);
}
END_TEST

START_TEST(a_wait_with_time_left_ends_with_a_message_at_once)
{
	struct ipc_channel *ch[2];
	struct job j = { .data = "x", .size = 1, .timeout = SOON,
	    .delay = 30 };
	double late = 0;

	ends_of(_i, ch, "", 0);
	j.ch = ch[0];
	for (int i = 0; i < TRIES; i++) {
		job_start(&j, job_send);
		expect(1, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
		late = now_ms();
		expect(0, job_end(&j));
		late -= j.ended;
		if (late < LATE)
			break;
	}
	expect_true(late < LATE);
	close_ends(ch);
}
END_TEST

static long
job_drain(struct job *j)
{
	long n = 0, rc;

	while ((rc = ipc_recv(j->ch, j->buffer, j->size, 200)) > 0)
		n++;
	return rc == -ETIMEDOUT ? n : rc;
}

START_TEST(sending_for_ever_ends_when_there_is_room)
{
	struct ipc_channel *ch[2];
	struct job j = { .buffer = buffer, .size = sizeof buffer,
	    .delay = 80 };
	char data[4000] = "";
	int n;

	ends_of(_i, ch, "", 0);
	n = fill_up(ch[0], sizeof data);
	(void)ipc_abandon(ch[0]);
	j.ch = ch[1];
	storm_start();
	job_start(&j, job_drain);
	expect(0, ipc_send(ch[0], data, sizeof data, -1));
	storm_stop();
	expect(n + 1, job_end(&j));
	close_ends(ch);
}
END_TEST

START_TEST(a_storm_harms_no_large_message)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	storm_start();
	carry(ch[0], ch[1], 4 * MIB);
	carry(ch[1], ch[0], 4 * MIB);
	pause_ms(3);
	storm_stop();
	close_ends(ch);
}
END_TEST

START_TEST(connecting_and_accepting_stand_a_storm)
{
	struct ipc_channel *ch[2];

	begin(_i);
	storm_start();
	for (int i = 0; i < 20; i++) {
		session_of(ch, "", 0);
		carry(ch[0], ch[1], 10);
		close_ends(ch);
	}
	pause_ms(3);
	storm_stop();
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("timeouts");
	tc = tcase_open("deadlines", 20);
	for_each_case(tc, receiving_keeps_its_deadline, TALKS, 0);
	for_each_case(tc, one_way_receiving_keeps_its_deadline, TALKS, 0);
	for_each_case(tc, sending_keeps_its_deadline_when_full, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, accepting_keeps_its_deadline, SESSION, 0);
	for_each_case(tc, polling_keeps_its_deadline, TALKS, IPC_CAP_FD);
	tc = tcase_open("waits", 30);
	for_each_case(tc, receiving_for_ever_ends_with_a_message, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, a_wait_with_time_left_ends_with_a_message_at_once,
	    TALKS, IPC_CAP_RELIABLE);
	for_each_case(tc, sending_for_ever_ends_when_there_is_room, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, a_storm_harms_no_large_message, TALKS,
	    IPC_CAP_LARGE | IPC_CAP_RELIABLE);
	for_each_case(tc, connecting_and_accepting_stand_a_storm, SESSION, 0);
	return suite_close();
}
