/* SPDX-License-Identifier: ISC */
/*
 * boundary=stream: bare bytes, as read(2) and write(2) have them.
 */
#include "support.h"

#define STREAM	"boundary=stream"
#define TOTAL	(4 * MIB)

static char buffer[256 * KIB];

static void
put(struct ipc_channel *ch, const char *text)
{
	expect(strlen(text), ipc_write(ch, text, strlen(text), SOON));
}

/* Reads until so many bytes came. */
static void
get(struct ipc_channel *ch, const char *text)
{
	size_t n = strlen(text), got = 0;
	ssize_t rc;

	while (got < n) {
		rc = ipc_read(ch, buffer + got, n - got, SOON);
		expect_true(rc > 0);
		got += (size_t)rc;
	}
	expect_true(memcmp(buffer, text, n) == 0);
}

START_TEST(bytes_have_no_boundary)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, STREAM, 0);
	expect(IPC_STREAM, info_of(ch[0]).boundary);
	expect(IPC_STREAM, info_of(ch[1]).boundary);
	put(ch[0], "hello, ");
	put(ch[0], "world");
	get(ch[1], "hel");
	get(ch[1], "lo, world");
	put(ch[1], "back");
	get(ch[0], "back");
	expect(-EAGAIN, ipc_read(ch[0], buffer, 1, 0));
	expect(-ETIMEDOUT, ipc_read(ch[0], buffer, 1, 20));
	close_ends(ch);
}
END_TEST

START_TEST(nothing_read_or_written_is_nothing)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, STREAM, 0);
	expect(0, ipc_write(ch[0], "", 0, SOON));
	expect(0, ipc_read(ch[1], buffer, 0, SOON));
	expect(-EAGAIN, ipc_read(ch[1], buffer, 1, 0));
	close_ends(ch);
}
END_TEST

START_TEST(the_end_is_0_and_stays)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, STREAM, 0);
	put(ch[0], "last");
	expect(0, ipc_close(ch[0]));
	get(ch[1], "last");
	for (int i = 0; i < 3; i++)
		expect(0, ipc_read(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[1]));
}
END_TEST

START_TEST(writing_to_an_end_that_is_gone)
{
	struct ipc_channel *ch[2];
	ssize_t rc = 0;

	ends_of(_i, ch, STREAM, 0);
	expect(0, ipc_close(ch[1]));
	for (int i = 0; i < 100 && rc >= 0; i++) {
		rc = ipc_write(ch[0], "x", 1, SOON);
		pause_ms(1);
	}
	expect(-EPIPE, rc);
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(half_closes_are_honoured)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, STREAM, 0);
	put(ch[0], "question");
	expect(0, ipc_shutdown(ch[0], IPC_SEND));
	get(ch[1], "question");
	expect(0, ipc_read(ch[1], buffer, sizeof buffer, SOON));
	put(ch[1], "answer");
	expect(0, ipc_shutdown(ch[1], IPC_SEND));
	get(ch[0], "answer");
	expect(0, ipc_read(ch[0], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

static long
job_write_all(struct job *j)
{
	const char *p = j->data;
	size_t left = j->size;
	ssize_t n;

	while (left > 0) {
		n = ipc_write(j->ch, p, left < 100000 ? left : 100000, SOON);
		if (n <= 0)
			return n;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

START_TEST(many_bytes_through_a_small_capacity)
{
	struct ipc_channel *ch[2];
	char *out = need(TOTAL), *in = need(TOTAL);
	struct job j = { .data = out, .size = TOTAL };
	ssize_t n;

	ends_of(_i, ch, STREAM "&capacity=16K", 0);
	pattern_fill(out, TOTAL, 8);
	j.ch = ch[0];
	job_start(&j, job_write_all);
	for (size_t got = 0; got < TOTAL; got += (size_t)n) {
		n = ipc_read(ch[1], in + got, TOTAL - got, SOON);
		expect_ok(n);
		expect_true(n > 0);
	}
	expect(0, job_end(&j));
	expect_true(pattern_is(in, TOTAL, 8));
	close_ends(ch);
	free(out);
	free(in);
}
END_TEST

START_TEST(a_full_stream_takes_no_more)
{
	struct ipc_channel *ch[2];
	ssize_t n;
	size_t taken = 0;

	ends_of(_i, ch, STREAM, 0);
	while ((n = ipc_write(ch[0], buffer, 5000, 0)) > 0)
		taken += (size_t)n;
	expect(-EAGAIN, n);
	expect(-ETIMEDOUT, ipc_write(ch[0], buffer, 5000, 20));
	while (taken > 0) {
		n = ipc_read(ch[1], buffer, sizeof buffer, SOON);
		expect_true(n > 0 && (size_t)n <= taken);
		taken -= (size_t)n;
	}
	expect(-EAGAIN, ipc_read(ch[1], buffer, 1, 0));
	put(ch[0], "more");
	get(ch[1], "more");
	close_ends(ch);
}
END_TEST

START_TEST(the_descriptor_of_a_stream)
{
	struct ipc_channel *ch[2];
	short events;
	int fd;

	ends_of(_i, ch, STREAM, 0);
	expect_ok(fd = ipc_fd(ch[1], IPC_RECV, &events));
	expect(-EAGAIN, ipc_read(ch[1], buffer, 1, 0));
	expect(0, ready(fd, events, 0));
	put(ch[0], "hello");
	expect_true(ready(fd, events, SOON) != 0);
	expect(2, ipc_read(ch[1], buffer, 2, SOON));
	expect_true(ready(fd, events, SOON) != 0);
	expect(3, ipc_read(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_read(ch[1], buffer, 1, 0));
	expect(0, ready(fd, events, 0));
	expect(0, ipc_close(ch[0]));
	expect_true(ready(fd, events, SOON) != 0);
	expect(0, ipc_close(ch[1]));
}
END_TEST

START_TEST(message_calls_on_a_stream_are_refused)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;
	struct iovec iov = { buffer, 1 };

	ends_of(_i, ch, STREAM, 0);
	expect(-EINVAL, ipc_send(ch[0], "x", 1, 0));
	expect(-EINVAL, ipc_recv(ch[0], buffer, 1, 0));
	expect(-EINVAL, ipc_sendv(ch[0], &iov, 1, 0));
	expect(-EINVAL, ipc_sendmany(ch[0], &iov, 1, 0));
	expect(-EINVAL, ipc_recvmany(ch[0], &iov, 1, 0));
	expect(-EINVAL, ipc_reserve(ch[0], &data, 1, 0));
	expect(-EINVAL, ipc_peek(ch[0], &shown, 0));
	close_ends(ch);
}
END_TEST

START_TEST(stream_calls_on_messages_are_refused)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect(-EINVAL, ipc_write(ch[0], "x", 1, 0));
	expect(-EINVAL, ipc_read(ch[0], buffer, 1, 0));
	close_ends(ch);
}
END_TEST

START_TEST(where_there_is_no_stream_it_says_so)
{
	struct ipc_channel *ch[2];
	struct ipc_listener *l;

	begin(_i);
	if (here.way == IPC_WAY_PAIR)
		expect(-EINVAL, ipc_pair(ch, address(STREAM), 0));
	else
		expect(-EINVAL, ipc_listen(&l, address(STREAM), 0));
	expect_true(strstr(ipc_errmsg(), "boundary") != NULL);
}
END_TEST

/* In another process, which dies: a stream cannot tell that from the end. */
static void
writing_peer(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	expect(5, ipc_write(ch, "hello", 5, SOON));
	_exit(0);
}

START_TEST(what_a_killed_writer_wrote_and_then_the_end)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, STREAM, 0, writing_peer, NULL,
	    &pid);

	get(ch, "hello");
	expect(0, ipc_read(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

int
main(void)
{
	const unsigned s = IPC_CAP_STREAM;
	TCase *tc;

	suite_open("stream");
	tc = tcase_open("stream", 20);
	for_each_case(tc, bytes_have_no_boundary, TALKS, s);
	for_each_case(tc, nothing_read_or_written_is_nothing, TALKS, s);
	for_each_case(tc, the_end_is_0_and_stays, TALKS, s | IPC_CAP_END);
	for_each_case(tc, writing_to_an_end_that_is_gone, TALKS,
	    s | IPC_CAP_END);
	for_each_case(tc, half_closes_are_honoured, TALKS, s | IPC_CAP_END);
	for_each_case(tc, many_bytes_through_a_small_capacity, TALKS, s);
	for_each_case(tc, a_full_stream_takes_no_more, TALKS, s);
	for_each_case(tc, the_descriptor_of_a_stream, TALKS, s | IPC_CAP_FD);
	for_each_case(tc, message_calls_on_a_stream_are_refused, TALKS, s);
	for_each_case(tc, stream_calls_on_messages_are_refused, TALKS,
	    IPC_CAP_MESSAGE);
	for_each_case_but(tc, where_there_is_no_stream_it_says_so, TALKS, 0,
	    s);
	for_each_case(tc, what_a_killed_writer_wrote_and_then_the_end, TALKS,
	    s | FORKS);
	return suite_close();
}
