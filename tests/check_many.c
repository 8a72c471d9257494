/* SPDX-License-Identifier: ISC */
/*
 * Batches: several messages in one call.
 */
#include <unistd.h>

#include "support.h"

#define BATCH	50

static char out[BATCH][2000], in[BATCH][2000];
static struct iovec msgs[BATCH], room[BATCH];

static size_t
size_of(int i)
{
	return (size_t)(i * 37 % 1500);
}

static void
prepare(void)
{
	for (int i = 0; i < BATCH; i++) {
		pattern_fill(out[i], size_of(i), (unsigned)i);
		msgs[i] = (struct iovec){ out[i], size_of(i) };
		room[i] = (struct iovec){ in[i], sizeof in[i] };
	}
}

static void
is_message(const struct iovec *iov, int i)
{
	expect(size_of(i), iov->iov_len);
	expect_true(pattern_is(iov->iov_base, iov->iov_len, (unsigned)i));
}

static long
job_sendmany(struct job *j)
{
	return ipc_sendmany(j->ch, j->data, (int)j->size, j->timeout);
}

START_TEST(a_batch_arrives_as_it_was_sent)
{
	struct ipc_channel *ch[2];
	struct job j = { .data = msgs, .size = BATCH, .timeout = SOON };

	ends_of(_i, ch, "", 0);
	prepare();
	j.ch = ch[0];
	job_start(&j, job_sendmany);
	for (int got = 0, n; got < BATCH; got += n) {
		n = ipc_recvmany(ch[1], room + got, BATCH - got, SOON);
		expect_true(n >= 1 && n <= BATCH - got);
		for (int k = got; k < got + n; k++)
			is_message(&room[k], k);
	}
	expect(BATCH, job_end(&j));
	expect(-EAGAIN, ipc_recvmany(ch[1], room, BATCH, 0));
	close_ends(ch);
}
END_TEST

/* Short ones are copied in ways of their own. */
START_TEST(every_short_length_arrives)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	for (int first = 0; first < 100; first += 5) {
		for (int i = 0; i < 5; i++) {
			msgs[i].iov_len = (size_t)first + (size_t)i;
			pattern_fill(out[i], msgs[i].iov_len, 7);
			room[i].iov_len = sizeof in[i];
			memset(in[i], '-', 200);
		}
		expect(5, ipc_sendmany(ch[0], msgs, 5, SOON));
		for (int got = 0; got < 5;)
			got += ipc_recvmany(ch[1], room + got, 5 - got, SOON);
		for (int i = 0; i < 5; i++) {
			expect((size_t)(first + i), room[i].iov_len);
			expect_true(pattern_is(in[i], room[i].iov_len, 7));
			expect('-', in[i][first + i]);
		}
	}
	close_ends(ch);
}
END_TEST

START_TEST(single_and_many_mix)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	expect(5, ipc_sendmany(ch[0], msgs, 5, SOON));
	expect(0, ipc_send(ch[0], out[5], size_of(5), SOON));
	for (int i = 0; i < 3; i++) {
		room[i].iov_len = (size_t)ipc_recv(ch[1], in[i],
		    sizeof in[i], SOON);
		is_message(&room[i], i);
	}
	for (int got = 3; got < 6;)
		got += ipc_recvmany(ch[1], room + got, 6 - got, SOON);
	for (int i = 3; i < 6; i++)
		is_message(&room[i], i);
	close_ends(ch);
}
END_TEST

START_TEST(it_takes_what_is_there_and_does_not_wait_for_more)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	expect(-ETIMEDOUT, ipc_recvmany(ch[1], room, BATCH, 20));
	expect(1, ipc_sendmany(ch[0], msgs, 1, SOON));
	expect(1, ipc_recvmany(ch[1], room, BATCH, -1));
	is_message(&room[0], 0);
	close_ends(ch);
}
END_TEST

START_TEST(a_message_too_large_for_its_room_is_kept)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	expect(4, ipc_sendmany(ch[0], msgs + 20, 4, SOON));
	room[1].iov_len = size_of(21) - 1;
	expect(1, ipc_recvmany(ch[1], room, 2, SOON));
	is_message(&room[0], 20);
	room[1].iov_len = size_of(21) - 1;
	expect(-EMSGSIZE, ipc_recvmany(ch[1], room + 1, 2, SOON));
	room[2].iov_len = sizeof in[2];
	room[1].iov_len = sizeof in[1];
	for (int got = 1; got < 4;)
		got += ipc_recvmany(ch[1], room + got, 4 - got, SOON);
	for (int i = 1; i < 4; i++)
		is_message(&room[i], 20 + i);
	close_ends(ch);
}
END_TEST

/* The batch ended at one that was kept: the short way is not for the next. */
START_TEST(a_message_kept_by_a_batch_comes_once)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	expect(4, ipc_sendmany(ch[0], msgs + 20, 4, SOON));
	room[0].iov_len = size_of(20) - 1;
	expect(-EMSGSIZE, ipc_recvmany(ch[1], room, 2, SOON));
	room[0].iov_len = sizeof in[0];
	room[1].iov_len = size_of(21) - 1;
	expect(1, ipc_recvmany(ch[1], room, 2, SOON));
	is_message(&room[0], 20);
	for (int i = 1; i < 4; i++) {
		room[i].iov_len = (size_t)ipc_recv(ch[1], in[i],
		    sizeof in[i], SOON);
		is_message(&room[i], 20 + i);
	}
	expect(-EAGAIN, ipc_recv(ch[1], in[0], sizeof in[0], 0));
	close_ends(ch);
}
END_TEST

START_TEST(a_full_channel_takes_a_part_of_the_batch)
{
	struct ipc_channel *ch[2];
	int total = 0, got = 0, rc;

	ends_of(_i, ch, "capacity=16K", 0);
	for (int i = 0; i < BATCH; i++)
		msgs[i] = (struct iovec){ out[i], sizeof out[i] };
	while ((rc = ipc_sendmany(ch[0], msgs, BATCH, 0)) > 0) {
		total += rc;
		expect_true(total < 1000000);
	}
	expect(-EAGAIN, rc);
	expect(-ETIMEDOUT, ipc_sendmany(ch[0], msgs, BATCH, 20));
	(void)ipc_abandon(ch[0]);
	prepare();
	while ((rc = ipc_recvmany(ch[1], room, 1, 0)) == 1) {
		room[0].iov_len = sizeof in[0];
		got++;
	}
	expect(total, got);
	close_ends(ch);
}
END_TEST

/* The whole batch is through when it returns. */
START_TEST(it_waits_until_all_are_taken)
{
	struct ipc_channel *ch[2];
	struct job j = { .data = msgs, .size = BATCH, .timeout = -1 };

	ends_of(_i, ch, "capacity=4K", 0);
	prepare();
	j.ch = ch[0];
	for (int round = 0; round < 5; round++) {
		job_start(&j, job_sendmany);
		for (int i = 0; i < BATCH; i++) {
			room[0] = (struct iovec){ in[0], sizeof in[0] };
			expect(1, ipc_recvmany(ch[1], room, 1, SOON));
			is_message(&room[0], i);
		}
		expect(BATCH, job_end(&j));
	}
	close_ends(ch);
}
END_TEST

START_TEST(the_end_after_the_batch)
{
	struct ipc_channel *ch[2];
	int got = 0, rc;

	ends_of(_i, ch, "", 0);
	prepare();
	expect(10, ipc_sendmany(ch[0], msgs, 10, SOON));
	expect(0, ipc_close(ch[0]));
	while ((rc = ipc_recvmany(ch[1], room + got, BATCH - got, SOON)) > 0)
		got += rc;
	expect(10, got);
	expect(-EPIPE, rc);
	expect(-EPIPE, ipc_sendmany(ch[1], msgs, 10, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

static void
silent_peer(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	expect(0, ipc_send(ch, "here", 4, SOON));
	for (;;)
		pause();
}

/* A batch that met the end after some were taken does not say so; what comes
 * next does, however it is sent. */
START_TEST(the_end_in_a_batch_is_told_by_the_next_send)
{
	static struct iovec tiny[2000];
	struct ipc_channel *ch;
	pid_t pid;
	int rc;

	ch = with_peer(_i, "", 0, silent_peer, NULL, &pid);
	expect(4, ipc_recv(ch, in[0], sizeof in[0], SOON));
	for (int i = 0; i < 2000; i++)
		tiny[i] = (struct iovec){ out[0], 1 };
	peer_kill(pid);
	while ((rc = ipc_sendmany(ch, tiny, 2000, 0)) == 2000)
		;
	expect_true(rc > 0 ? rc < 2000 : rc == -ECONNRESET);
	expect(-ECONNRESET, ipc_send(ch, out[0], 1, SOON));
	expect(-ECONNRESET, ipc_sendmany(ch, tiny, 2000, SOON));
	expect(0, ipc_close(ch));
}
END_TEST

START_TEST(counts_that_make_no_sense_are_refused)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	prepare();
	expect(-EINVAL, ipc_sendmany(ch[0], msgs, 0, SOON));
	expect(-EINVAL, ipc_sendmany(ch[0], msgs, -1, SOON));
	expect(-EINVAL, ipc_recvmany(ch[1], room, 0, 0));
	msgs[1].iov_len = SIZE_MAX / 2;
	expect_either(1, -EMSGSIZE, ipc_sendmany(ch[0], msgs, 2, SOON));
	close_ends(ch);
}
END_TEST

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("many");
	tc = tcase_open("many", 20);
	for_each_case(tc, a_batch_arrives_as_it_was_sent, TALKS, sure);
	for_each_case(tc, every_short_length_arrives, TALKS, sure);
	for_each_case(tc, single_and_many_mix, TALKS, sure);
	for_each_case(tc, it_takes_what_is_there_and_does_not_wait_for_more,
	    TALKS, sure);
	for_each_case(tc, a_message_too_large_for_its_room_is_kept, TALKS,
	    sure);
	for_each_case(tc, a_message_kept_by_a_batch_comes_once, TALKS, sure);
	for_each_case(tc, a_full_channel_takes_a_part_of_the_batch, TALKS,
	    sure);
	for_each_case(tc, it_waits_until_all_are_taken, TALKS, sure);
	for_each_case(tc, the_end_after_the_batch, TALKS,
	    sure | IPC_CAP_END);
	for_each_case(tc, the_end_in_a_batch_is_told_by_the_next_send, TALKS,
	    sure | IPC_CAP_END | FORKS);
	for_each_case(tc, counts_that_make_no_sense_are_refused, TALKS, sure);
	return suite_close();
}
