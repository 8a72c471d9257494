/* SPDX-License-Identifier: ISC */
/*
 * Threads: one sends while another receives; with threads=many, more on each
 * side.  Meant to be run under the thread sanitizer as well.
 */
#include "support.h"

#define SENDERS		8

/* Sends count numbered messages of this sender. */
struct stream {
	struct job	 job;
	uint32_t	 who, count, got;
	struct ipc_channel *from;
};

static long
job_sender(struct job *j)
{
	struct stream *s = (struct stream *)j;
	uint32_t m[2] = { s->who, 0 };
	int rc = 0;

	for (; m[1] < s->count && rc == 0; m[1]++)
		rc = ipc_send(j->ch, m, sizeof m, SOON);
	return rc;
}

/* Receives count messages of one sender, in order. */
static long
job_receiver(struct job *j)
{
	struct stream *s = (struct stream *)j;
	uint32_t m[2];
	ssize_t n;

	for (s->got = 0; s->got < s->count; s->got++) {
		n = ipc_recv(j->ch, m, sizeof m, SOON);
		if (n != sizeof m || m[1] != s->got)
			return n < 0 ? n : -EPROTO;
	}
	return 0;
}

START_TEST(one_thread_sends_while_another_receives)
{
	struct ipc_channel *ch[2];
	struct stream s[2], r[2];
	uint32_t count = (uint32_t)rounds(20000);

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 2; i++) {
		s[i] = (struct stream){ .job.ch = ch[i], .count = count };
		r[i] = (struct stream){ .job.ch = ch[i], .count = count };
		job_start(&s[i].job, job_sender);
		job_start(&r[i].job, job_receiver);
	}
	for (int i = 0; i < 2; i++) {
		expect(0, job_end(&s[i].job));
		expect(0, job_end(&r[i].job));
	}
	close_ends(ch);
}
END_TEST

START_TEST(many_senders_on_one_channel)
{
	struct ipc_channel *ch[2];
	struct stream s[SENDERS];
	uint32_t m[2], next[SENDERS] = { 0 };
	uint32_t count = (uint32_t)rounds(2000);

	ends_of(_i, ch, "threads=many", 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		s[i] = (struct stream){ .job.ch = ch[0], .who = i,
		    .count = count };
		job_start(&s[i].job, job_sender);
	}
	for (uint32_t i = 0; i < count * SENDERS; i++) {
		expect(sizeof m, ipc_recv(ch[1], m, sizeof m, SOON));
		expect_true(m[0] < SENDERS);
		expect(next[m[0]], m[1]);
		next[m[0]]++;
	}
	for (int i = 0; i < SENDERS; i++)
		expect(0, job_end(&s[i].job));
	close_ends(ch);
}
END_TEST

static long
job_large(struct job *j)
{
	int rc = 0;

	for (int i = 0; i < 5 && rc == 0; i++)
		rc = ipc_send(j->ch, j->data, j->size, 2 * SOON);
	return rc;
}

/* Large ones, which travel in pieces, do not mix either. */
START_TEST(many_senders_of_large_messages)
{
	struct ipc_channel *ch[2];
	struct job j[SENDERS];
	char *out[SENDERS], *in = need(300000);
	size_t n;

	ends_of(_i, ch, "threads=many", 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		out[i] = need(200000 + i);
		pattern_fill(out[i], 200000 + i, i);
		j[i] = (struct job){ .ch = ch[1], .data = out[i],
		    .size = 200000 + i };
		job_start(&j[i], job_large);
	}
	for (int i = 0; i < SENDERS * 5; i++) {
		n = (size_t)ipc_recv(ch[0], in, 300000, 2 * SOON);
		expect_true(n >= 200000 && n < 200000 + SENDERS);
		expect_true(pattern_is(in, n, (unsigned)(n - 200000)));
	}
	for (int i = 0; i < SENDERS; i++) {
		expect(0, job_end(&j[i]));
		free(out[i]);
	}
	close_ends(ch);
	free(in);
}
END_TEST

static long
job_share(struct job *j)
{
	uint32_t m[2];
	long n = 0, rc;

	while ((rc = ipc_recv(j->ch, m, sizeof m, SOON)) == sizeof m)
		n++;
	return rc == -EPIPE ? n : rc;
}

START_TEST(many_receivers_share_what_comes)
{
	struct ipc_channel *ch[2];
	struct job j[SENDERS];
	struct stream s = { .count = (uint32_t)rounds(4000) };
	long sum = 0, n;

	ends_of(_i, ch, "threads=many", 0);
	for (int i = 0; i < SENDERS; i++) {
		j[i] = (struct job){ .ch = ch[1] };
		job_start(&j[i], job_share);
	}
	s.job.ch = ch[0];
	expect(0, job_sender(&s.job));
	expect(0, ipc_close(ch[0]));
	for (int i = 0; i < SENDERS; i++) {
		n = job_end(&j[i]);
		expect_ok(n);
		sum += n;
	}
	expect(s.count, sum);
	expect(0, ipc_close(ch[1]));
}
END_TEST

/* Each thread has a conversation of its own. */
static long
job_converse(struct job *j)
{
	struct ipc_channel *ch[2];
	long rc = ipc_pair(ch, j->data, 0);
	int got;

	for (int i = 0; i < 500 && rc == 0; i++) {
		if ((rc = ipc_send(ch[0], &i, sizeof i, SOON)) == 0 &&
		    ((rc = ipc_recv(ch[1], &got, sizeof got, SOON)) < 0 ||
		    got != i))
			return rc < 0 ? rc : -EPROTO;
		rc = 0;
	}
	if (rc == 0) {
		ipc_close(ch[0]);
		ipc_close(ch[1]);
	}
	return rc;
}

START_TEST(different_channels_are_independent)
{
	struct job j[SENDERS];
	char text[64];

	begin(_i);
	snprintf(text, sizeof text, "%s:", here.scheme);
	for (int i = 0; i < SENDERS; i++) {
		j[i] = (struct job){ .data = text };
		job_start(&j[i], job_converse);
	}
	for (int i = 0; i < SENDERS; i++)
		expect(0, job_end(&j[i]));
}
END_TEST

static long
job_fail(struct job *j)
{
	struct ipc_channel *ch;
	int rc = ipc_open(&ch, j->data, IPC_RECV);

	snprintf(j->buffer, j->size, "%s", ipc_errmsg());
	return rc;
}

/* The last error is this thread's. */
START_TEST(each_thread_has_its_own_error)
{
	char text[512] = "";
	struct job j = { .data = "nosuch-b:", .buffer = text,
	    .size = sizeof text };
	struct ipc_channel *ch;

	expect_error(ipc_open(&ch, "nosuch-a:", IPC_RECV));
	job_start(&j, job_fail);
	expect_error(job_end(&j));
	expect_true(strstr(text, "nosuch-b") != NULL);
	expect_true(strstr(ipc_errmsg(), "nosuch-a") != NULL);
}
END_TEST

static long
job_wakes(struct job *j)
{
	for (int i = 0; i < 200; i++) {
		ipc_wake(j->ch);
		if (i % 10 == 0)
			pause_ms(1);
	}
	return 0;
}

/* Wakes at any moment neither lose nor double a message. */
START_TEST(waking_from_another_thread_loses_nothing)
{
	struct ipc_channel *ch[2];
	struct job w = { .delay = 0 };
	struct stream s = { .count = (uint32_t)rounds(5000) };
	uint32_t m[2], n = 0;
	ssize_t rc;

	ends_of(_i, ch, "", 0);
	w.ch = ch[1];
	s.job.ch = ch[0];
	job_start(&w, job_wakes);
	job_start(&s.job, job_sender);
	while (n < s.count) {
		rc = ipc_recv(ch[1], m, sizeof m, SOON);
		if (rc == -ECANCELED)
			continue;
		expect(sizeof m, rc);
		expect(n++, m[1]);
	}
	expect(0, job_end(&w));
	expect(0, job_end(&s.job));
	close_ends(ch);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("threads");
	tc = tcase_open("threads", 60);
	for_each_case(tc, one_thread_sends_while_another_receives, TALKS,
	    IPC_CAP_RELIABLE | IPC_CAP_DUPLEX);
	for_each_case(tc, many_senders_on_one_channel, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, many_senders_of_large_messages, TALKS,
	    IPC_CAP_RELIABLE | IPC_CAP_LARGE);
	for_each_case(tc, many_receivers_share_what_comes, TALKS,
	    IPC_CAP_RELIABLE | IPC_CAP_END);
	for_each_case(tc, different_channels_are_independent, PAIR,
	    IPC_CAP_RELIABLE);
	tcase_add_test(tc, each_thread_has_its_own_error);
	for_each_case(tc, waking_from_another_thread_loses_nothing, TALKS,
	    IPC_CAP_RELIABLE);
	return suite_close();
}
