/* SPDX-License-Identifier: ISC */
/*
 * A clean end: what was sent comes first, then the end, soon, and it stays.
 */
#include <signal.h>
#include <sys/wait.h>

#include "support.h"

#define TRIES	30	/* on a busy machine most may be late */

static char buffer[64 * KIB];
static const char large[sizeof buffer];	/* is sent by another thread */

START_TEST(all_that_was_sent_and_then_the_end)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 6; i++)
		expect(0, ipc_send(ch[0], &i, sizeof i, SOON));
	expect(0, ipc_close(ch[0]));
	for (int i = 0, got; i < 6; i++) {
		expect(sizeof got, ipc_recv(ch[1], &got, sizeof got, SOON));
		expect(i, got);
	}
	for (int i = 0; i < 3; i++)
		expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, ipc_close(ch[1]));
}
END_TEST

START_TEST(the_other_side_ends_as_well)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[1], "last", 4, SOON));
	expect(0, ipc_close(ch[1]));
	expect(4, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(sending_to_an_end_that_was_closed)
{
	struct ipc_channel *ch[2];
	int rc = 0;

	ends_of(_i, ch, "", 0);
	expect(0, ipc_close(ch[1]));
	for (int i = 0; i < 100 && rc == 0; i++) {
		rc = ipc_send(ch[0], "x", 1, SOON);
		pause_ms(1);
	}
	expect(-EPIPE, rc);
	expect(-EPIPE, ipc_send(ch[0], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_send(ch[0], "x", 1, 0));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

static bool
is_ring(struct ipc_channel *ch)
{
	static const char *const rings[] = {
		"memfd", "posixshm", "sysvshm", "mmap"
	};
	struct ipc_info info = { .struct_size = sizeof info };

	expect(0, ipc_info(ch, &info));
	for (int i = 0; i < 4; i++)
		if (strcmp(info.scheme, rings[i]) == 0)
			return true;
	return false;
}

static int
send_somehow(struct ipc_channel *ch, int how, size_t size)
{
	struct iovec iov[2] = { { buffer, size }, { buffer, size } };
	void *data;
	int rc;

	switch (how) {
	case 0:
		return ipc_send(ch, buffer, size, SOON);
	case 1:
		return ipc_sendv(ch, iov, 1, SOON);
	case 2:
		rc = ipc_sendmany(ch, iov, 2, SOON);
		return rc > 0 ? 0 : rc;
	default:
		rc = ipc_reserve(ch, &data, size, SOON);
		return rc < 0 ? rc : ipc_commit(ch, size);
	}
}

/* A ring's sender makes no system call, in which it could be told. */
START_TEST(a_ring_that_nobody_reads_takes_one_message_at_most)
{
	static const size_t sizes[] = { 0, 8, 56, 200, 4096, 20000 };
	struct ipc_channel *ch[2];
	bool shuts;
	int n, rc;

	for (unsigned turn = 0; turn < 48; turn++) {
		ends_of(_i, ch, "", 0);
		if (!is_ring(ch[0])) {
			close_ends(ch);
			return;
		}
		shuts = turn / 24;
		/* Until nothing but the ring itself is touched, on a day when
		 * the sender has not looked for some time. */
		for (int i = 0; i < 700 + (int)turn; i++) {
			expect(0, ipc_send(ch[1], &i, sizeof i, SOON));
			expect(sizeof i, ipc_recv(ch[0], buffer, 8, SOON));
		}
		expect(0, shuts ? ipc_shutdown(ch[0], IPC_RECV) :
		    ipc_close(ch[0]));
		for (n = 0; (rc = send_somehow(ch[1], turn / 6 % 4,
		    sizes[turn % 6])) == 0; n++)
			expect_true(n < 1);
		expect(-EPIPE, rc);
		expect(-EPIPE, ipc_send(ch[1], "x", 1, SOON));
		expect(0, ipc_close(ch[1]));
		if (shuts)
			expect(0, ipc_close(ch[0]));
	}
}
END_TEST

static long
job_last_words(struct job *j)
{
	int rc = ipc_send(j->ch, large, sizeof large, SOON);

	if (rc == 0)
		rc = ipc_send(j->ch, large, j->size, SOON);
	(void)ipc_close(j->ch);
	return rc;
}

/* However the goodbye lies behind what the receiver has read ahead, the sender
 * knows it for one. */
START_TEST(a_goodbye_behind_a_large_message)
{
	struct ipc_channel *ch[2];
	struct job first = { .data = large, .size = sizeof large,
	    .timeout = SOON }, last = { 0 };
	int rc;

	for (last.size = 0; last.size < 16; last.size += 3) {
		ends_of(_i, ch, "", 0);
		first.ch = last.ch = ch[0];
		job_start(&first, job_send);
		expect(sizeof buffer, ipc_recv(ch[1], buffer, sizeof buffer,
		    SOON));
		expect(0, job_end(&first));
		job_start(&last, job_last_words);
		pause_ms(2);
		expect(sizeof buffer, ipc_recv(ch[1], buffer, sizeof buffer,
		    SOON));
		expect(0, job_end(&last));
		rc = 0;
		for (int i = 0; i < 100 && rc == 0; i++) {
			rc = ipc_send(ch[1], "x", 1, SOON);
			pause_ms(1);
		}
		expect(-EPIPE, rc);
		expect(last.size, ipc_recv(ch[1], buffer, sizeof buffer,
		    SOON));
		expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
		expect(0, ipc_close(ch[1]));
	}
}
END_TEST

START_TEST(a_one_way_pair_ends_for_both)
{
	struct ipc_channel *ch[2];
	int rc = 0;

	ends_of(_i, ch, "", IPC_RECV);
	expect(0, ipc_send(ch[1], "x", 1, SOON));
	expect(0, ipc_close(ch[1]));
	expect(1, ipc_recv(ch[0], buffer, 1, SOON));
	expect(-EPIPE, ipc_recv(ch[0], buffer, 1, SOON));
	expect(0, ipc_close(ch[0]));
	ends_of(_i, ch, "", IPC_RECV);
	expect(0, ipc_close(ch[0]));
	for (int i = 0; i < 100 && rc == 0; i++) {
		rc = ipc_send(ch[1], "x", 1, SOON);
		pause_ms(1);
	}
	expect(-EPIPE, rc);
	expect(0, ipc_close(ch[1]));
}
END_TEST

/* What it has not read itself makes no difference to what it sent. */
START_TEST(closing_with_unread_messages_loses_none_of_ones_own)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < AHEAD; i++) {
		expect(0, ipc_send(ch[1], "unread", 6, SOON));
		expect(0, ipc_send(ch[0], &i, sizeof i, SOON));
	}
	expect(0, ipc_close(ch[0]));
	for (int i = 0, got; i < AHEAD; i++) {
		expect(sizeof got, ipc_recv(ch[1], &got, sizeof got, SOON));
		expect(i, got);
	}
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

/* A full channel has room for what close still has to say. */
START_TEST(closing_a_full_channel_is_a_close)
{
	struct ipc_channel *ch[2];
	int n;

	ends_of(_i, ch, "", 0);
	n = fill_up(ch[0], 1000);
	expect(0, ipc_close(ch[0]));
	while (n-- > 0)
		expect(1000, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

/* However much the kernel still finds room for. */
static long
job_send_on(struct job *j)
{
	int rc;

	while ((rc = ipc_send(j->ch, j->data, j->size, j->timeout)) == 0)
		continue;
	return rc;
}

/* Ms between close and the return of a call that waits for the other side. */
static double
told_after(int i, long (*run)(struct job *), bool full)
{
	struct ipc_channel *ch[2];
	struct job j = { .buffer = buffer, .data = buffer, .size = 4000,
	    .timeout = SOON };
	double closed;

	ends_of(i, ch, "", 0);
	if (full)
		fill_up(ch[0], 4000);
	j.ch = ch[0];
	job_start(&j, run);
	pause_ms(20);
	closed = now_ms();
	expect(0, ipc_close(ch[1]));
	expect(-EPIPE, job_end(&j));
	expect(0, ipc_close(ch[0]));
	return j.ended - closed;
}

START_TEST(a_blocked_receive_is_told_at_once)
{
	double took = PROMPT + 1;

	for (int i = 0; i < TRIES && took > PROMPT; i++)
		took = told_after(_i, job_recv, false);
	expect_true(took <= PROMPT);
}
END_TEST

START_TEST(a_blocked_send_is_told_at_once)
{
	double took = PROMPT + 1;

	for (int i = 0; i < TRIES && took > PROMPT; i++)
		took = told_after(_i, job_send_on, true);
	expect_true(took <= PROMPT);
}
END_TEST

/*
 * Shutting one direction
 */

START_TEST(shutting_the_sending_side_ends_one_direction)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[0], "question", 8, SOON));
	expect(0, ipc_shutdown(ch[0], IPC_SEND));
	expect(8, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_send(ch[1], "answer", 6, SOON));
	expect(6, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_send(ch[1], "", 0, SOON));
	expect(0, ipc_close(ch[1]));
	expect(0, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect_error(ipc_send(ch[0], "x", 1, 0));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(shutting_the_receiving_side_refuses_what_comes)
{
	struct ipc_channel *ch[2];
	int rc = 0;

	ends_of(_i, ch, "", 0);
	expect(0, ipc_shutdown(ch[0], IPC_RECV));
	for (int i = 0; i < 200 && rc == 0; i++) {
		rc = ipc_send(ch[1], "x", 1, SOON);
		pause_ms(1);
		/* A network's sender hears of it by receiving. */
		if (!(here.caps & IPC_CAP_DELIVERS))
			expect(-EAGAIN, ipc_recv(ch[1], buffer, 1, 0));
	}
	expect(-EPIPE, rc);
	expect(0, ipc_send(ch[0], "still", 5, SOON));
	expect(5, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(shutting_both_is_an_end)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect(0, ipc_shutdown(ch[0], IPC_DUPLEX));
	expect(1, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EINVAL, ipc_shutdown(ch[1], 0));
	close_ends(ch);
}
END_TEST

/*
 * SIGPIPE
 */

static int
send_until_told(struct ipc_channel *ch)
{
	int rc = 0;

	for (int i = 0; i < 100 && rc == 0; i++) {
		rc = ipc_send(ch, buffer, 5000, 100);
		pause_ms(1);
	}
	return rc;
}

/* The fixture compares dispositions, mask and pending signals. */
START_TEST(no_sigpipe_with_the_default_disposition)
{
	struct ipc_channel *ch[2];
	struct sigaction sa;

	expect_sys(sigaction(SIGPIPE, NULL, &sa));
	expect_true(sa.sa_handler == SIG_DFL);
	ends_of(_i, ch, "", 0);
	expect(0, ipc_close(ch[1]));
	expect(-EPIPE, send_until_told(ch[0]));
	expect(0, ipc_close(ch[0]));
}
END_TEST

/* A SIGPIPE that the caller has pending is its own, and none is added. */
START_TEST(a_blocked_sigpipe_is_the_callers)
{
	struct ipc_channel *ch[2];
	sigset_t set, old, pending;

	ends_of(_i, ch, "", 0);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	expect_sys(sigprocmask(SIG_BLOCK, &set, &old));
	expect(0, ipc_close(ch[1]));
	expect(-EPIPE, send_until_told(ch[0]));
	sigpending(&pending);
	expect(0, sigismember(&pending, SIGPIPE));
	raise(SIGPIPE);
	expect(-EPIPE, ipc_send(ch[0], "x", 1, 0));
	sigpending(&pending);
	expect(1, sigismember(&pending, SIGPIPE));
	expect_true(sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }) ==
	    SIGPIPE);
	expect_sys(sigprocmask(SIG_SETMASK, &old, NULL));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(closing_nothing_is_allowed)
{
	expect(0, ipc_close(NULL));
	expect(0, ipc_listener_close(NULL));
}
END_TEST

int
main(void)
{
	const unsigned end = IPC_CAP_END;
	TCase *tc;

	suite_open("end");
	tc = tcase_open("close", 20);
	tcase_add_test(tc, closing_nothing_is_allowed);
	for_each_case(tc, all_that_was_sent_and_then_the_end, TALKS, end);
	for_each_case(tc, the_other_side_ends_as_well, TALKS, end);
	for_each_case(tc, a_ring_that_nobody_reads_takes_one_message_at_most,
	    TALKS, end | IPC_CAP_INPLACE);
	for_each_case(tc, sending_to_an_end_that_was_closed, TALKS, end);
	for_each_case(tc, a_goodbye_behind_a_large_message, TALKS, end |
	    IPC_CAP_LARGE);
	for_each_case(tc, a_one_way_pair_ends_for_both, TALKS, end);
	for_each_case(tc,
	    closing_with_unread_messages_loses_none_of_ones_own, TALKS, end);
	for_each_case(tc, closing_a_full_channel_is_a_close, TALKS, end);
	for_each_case(tc, a_blocked_receive_is_told_at_once, TALKS, end);
	for_each_case(tc, a_blocked_send_is_told_at_once, TALKS, end);
	tc = tcase_open("shutdown", 20);
	for_each_case(tc, shutting_the_sending_side_ends_one_direction, TALKS,
	    end);
	for_each_case(tc, shutting_the_receiving_side_refuses_what_comes,
	    TALKS, end);
	for_each_case(tc, shutting_both_is_an_end, TALKS, end);
	tc = tcase_open("sigpipe", 20);
	for_each_case(tc, no_sigpipe_with_the_default_disposition, TALKS, end);
	for_each_case(tc, a_blocked_sigpipe_is_the_callers, TALKS, end);
	return suite_close();
}
