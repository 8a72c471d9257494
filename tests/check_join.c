/* SPDX-License-Identifier: ISC */
/*
 * Two channels joined into one: a direction from each.
 */
#include "support.h"

static char buffer[4 * KIB];

/* Two one-way pairs of these schemes, joined crosswise into two ends. */
static void
joined(struct ipc_channel *ch[2], const char *there, const char *back)
{
	struct ipc_channel *a[2], *b[2];

	expect(0, ipc_pair(a, there, IPC_RECV));
	expect(0, ipc_pair(b, back, IPC_RECV));
	expect(0, ipc_join(&ch[0], a[0], b[1]));
	expect(0, ipc_join(&ch[1], b[0], a[1]));
}

static void
joined_with_pipe(int i, struct ipc_channel *ch[2])
{
	begin(i);
	joined(ch, address(""), "pipe:");
}

START_TEST(a_joined_channel_goes_both_ways)
{
	struct ipc_channel *ch[2];

	joined_with_pipe(_i, ch);
	expect(IPC_DUPLEX, info_of(ch[0]).direction);
	for (size_t n = 0; n < 300000; n = n * 5 + 1) {
		if (n > info_of(ch[1]).max_message)
			break;
		carry(ch[0], ch[1], n);
		carry(ch[1], ch[0], n);
	}
	close_ends(ch);
}
END_TEST

START_TEST(a_joined_channel_keeps_its_deadlines)
{
	struct ipc_channel *ch[2];

	joined_with_pipe(_i, ch);
	expect(-EAGAIN, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-ETIMEDOUT, ipc_recv(ch[1], buffer, sizeof buffer, 20));
	expect_true(fill_up(ch[0], 500) > 0);
	close_ends(ch);
}
END_TEST

START_TEST(a_joined_channel_ends)
{
	struct ipc_channel *ch[2];

	joined_with_pipe(_i, ch);
	expect(0, ipc_send(ch[0], "last", 4, SOON));
	expect(0, ipc_close(ch[0]));
	expect(4, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[1]));
	joined_with_pipe(_i, ch);
	expect(0, ipc_send(ch[1], "last", 4, SOON));
	expect(0, ipc_close(ch[1]));
	expect(4, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(a_joined_channel_can_be_waited_on)
{
	struct ipc_channel *ch[2];
	short to_recv, to_send;
	int rfd, sfd;

	joined_with_pipe(_i, ch);
	rfd = ipc_fd(ch[1], IPC_RECV, &to_recv);
	sfd = ipc_fd(ch[1], IPC_SEND, &to_send);
	expect_ok(rfd);
	expect_ok(sfd);
	expect(-EAGAIN, ipc_recv(ch[1], buffer, 1, 0));
	expect(0, ready(rfd, to_recv, 0));
	expect_true(ready(sfd, to_send, 0) != 0);
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect_true(ready(rfd, to_recv, SOON) != 0);
	fill_up(ch[1], 500);
	expect(0, ready(sfd, to_send, 0));
	close_ends(ch);
}
END_TEST

START_TEST(descriptors_do_not_go_through_a_join)
{
	struct ipc_channel *ch[2];
	int fd = STDIN_FILENO;
	struct iovec iov = { buffer, 1 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = &fd, .fd_count = 1 };

	joined_with_pipe(_i, ch);
	expect(-EOPNOTSUPP, ipc_sendmsg(ch[0], &msg, 0, SOON));
	expect(-EOPNOTSUPP, ipc_sendmsg(ch[1], &msg, 0, SOON));
	expect(0, info_of(ch[0]).caps & IPC_CAP_FDS);
	close_ends(ch);
}
END_TEST

/* Two-way channels give one direction each. */
START_TEST(two_two_way_channels_can_be_joined)
{
	struct ipc_channel *a[2], *b[2], *ch;

	begin(_i);
	pair_of(a, "", 0);
	pair_of(b, "", 0);
	expect(0, ipc_join(&ch, a[0], b[0]));
	expect(0, ipc_send(a[1], "in", 2, SOON));
	expect(2, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_send(ch, "out", 3, SOON));
	expect(3, ipc_recv(b[1], buffer, sizeof buffer, SOON));
	expect_either(-EAGAIN, -EPIPE, ipc_recv(a[1], buffer, 1, 0));
	expect(0, ipc_close(ch));
	close_ends((struct ipc_channel *[]){ a[1], b[1] });
}
END_TEST

START_TEST(what_does_not_fit_stays_the_callers)
{
	struct ipc_channel *a[2], *b[2], *ch;

	begin(_i);
	pair_of(a, "", IPC_RECV);
	pair_of(b, "", IPC_RECV);
	expect_error(ipc_join(&ch, a[1], b[1]));
	expect_error(ipc_join(&ch, a[0], b[0]));
	expect_error(ipc_join(&ch, a[0], NULL));
	expect_error(ipc_join(&ch, NULL, NULL));
	carry(a[1], a[0], 10);
	carry(b[1], b[0], 10);
	close_ends(a);
	close_ends(b);
}
END_TEST

START_TEST(bytes_and_messages_are_not_joined)
{
	struct ipc_channel *a[2], *b[2], *ch;

	begin(_i);
	pair_of(a, "boundary=stream", IPC_RECV);
	pair_of(b, "", IPC_RECV);
	expect_error(ipc_join(&ch, a[0], b[1]));
	close_ends(a);
	close_ends(b);
}
END_TEST

/* What was read before is not lost. */
START_TEST(what_was_read_ahead_is_kept)
{
	struct ipc_channel *a[2], *b[2], *ch;

	begin(_i);
	pair_of(a, "", IPC_RECV);
	pair_of(b, "", IPC_RECV);
	expect(0, ipc_send(a[1], "one", 3, SOON));
	expect(0, ipc_send(a[1], "two", 3, SOON));
	expect(3, ipc_recv(a[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_join(&ch, a[0], b[1]));
	expect(3, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, "two", 3) == 0);
	expect(0, ipc_close(ch));
	expect(0, ipc_close(a[1]));
	expect(0, ipc_close(b[0]));
}
END_TEST

/* A FIFO that others open and a pipe. */
START_TEST(a_named_pipe_and_a_pipe)
{
	struct ipc_channel *in, *out, *p[2], *ch;
	char text[4096];

	snprintf(text, sizeof text, "fifo:%s", path_new());
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_pair(p, "pipe:", IPC_RECV));
	expect(0, ipc_join(&ch, in, p[1]));
	expect(0, ipc_send(out, "in", 2, SOON));
	expect(2, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_send(ch, "out", 3, SOON));
	expect(3, ipc_recv(p[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	expect(0, ipc_close(out));
	expect(0, ipc_close(p[0]));
	expect(0, ipc_unlink(text));
}
END_TEST

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("join");
	tc = tcase_open("join", 20);
	for_each_case(tc, a_joined_channel_goes_both_ways, PAIR, sure);
	for_each_case(tc, a_joined_channel_keeps_its_deadlines, PAIR, sure);
	for_each_case(tc, a_joined_channel_ends, PAIR, sure | IPC_CAP_END);
	for_each_case(tc, a_joined_channel_can_be_waited_on, PAIR,
	    sure | IPC_CAP_FD);
	for_each_case(tc, descriptors_do_not_go_through_a_join, PAIR, sure);
	for_each_case(tc, two_two_way_channels_can_be_joined, PAIR,
	    sure | IPC_CAP_DUPLEX);
	for_each_case(tc, what_does_not_fit_stays_the_callers, PAIR, sure);
	for_each_case(tc, bytes_and_messages_are_not_joined, PAIR,
	    sure | IPC_CAP_STREAM);
	for_each_case(tc, what_was_read_ahead_is_kept, PAIR, sure);
	tcase_add_test(tc, a_named_pipe_and_a_pipe);
	return suite_close();
}
