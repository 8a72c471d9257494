/* SPDX-License-Identifier: ISC */
/*
 * Descriptors travel with messages.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "support.h"

static char buffer[MIB];
static char room[sizeof buffer];	/* another thread may be sending */

/* A descriptor that is known again by its content. */
static int
token(int value)
{
	int fd = memfd_create("token", MFD_CLOEXEC);

	expect_sys(fd);
	expect(sizeof value, pwrite(fd, &value, sizeof value, 0));
	return fd;
}

static void
is_token(int fd, int value)
{
	int got = -1;

	expect(sizeof got, pread(fd, &got, sizeof got, 0));
	expect(value, got);
	expect(FD_CLOEXEC, fcntl(fd, F_GETFD));
	expect_sys(close(fd));
}

/* Sends size bytes with the tokens first, first + 1, ... */
static void
send_tokens(struct ipc_channel *ch, size_t size, int first, unsigned count)
{
	int fds[IPC_FDS_MAX];
	struct iovec iov = { buffer, size };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = count };

	for (unsigned i = 0; i < count; i++)
		fds[i] = token(first + (int)i);
	expect(0, ipc_sendmsg(ch, &msg, 0, SOON));
	for (unsigned i = 0; i < count; i++)
		is_token(fds[i], first + (int)i);
}

static ssize_t
recv_room(struct ipc_channel *ch, int *fds, unsigned *count, int timeout)
{
	struct iovec iov = { room, sizeof room };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = *count };
	ssize_t n = ipc_recvmsg(ch, &msg, 0, timeout);

	*count = msg.fd_count;
	return n;
}

static void
recv_tokens(struct ipc_channel *ch, size_t size, int first, unsigned count)
{
	int fds[IPC_FDS_MAX];
	unsigned n = IPC_FDS_MAX;

	expect(size, recv_room(ch, fds, &n, SOON));
	expect(count, n);
	for (unsigned i = 0; i < n; i++)
		is_token(fds[i], first + (int)i);
}

START_TEST(one_and_as_many_as_may_be)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	send_tokens(ch[0], 10, 1, 1);
	recv_tokens(ch[1], 10, 1, 1);
	send_tokens(ch[1], 10, 5, 2);
	recv_tokens(ch[0], 10, 5, 2);
	send_tokens(ch[0], 1, 100, IPC_FDS_MAX);
	recv_tokens(ch[1], 1, 100, IPC_FDS_MAX);
	close_ends(ch);
}
END_TEST

START_TEST(one_way_as_well)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_RECV);
	send_tokens(ch[1], 10, 1, 3);
	recv_tokens(ch[0], 10, 1, 3);
	close_ends(ch);
}
END_TEST

START_TEST(with_an_empty_message)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	send_tokens(ch[0], 0, 1, 2);
	recv_tokens(ch[1], 0, 1, 2);
	close_ends(ch);
}
END_TEST

static long
job_send_tokens(struct job *j)
{
	send_tokens(j->ch, j->size, 7, 3);
	return 0;
}

START_TEST(with_a_large_message)
{
	struct ipc_channel *ch[2];
	struct job j = { .size = MIB };

	ends_of(_i, ch, "", 0);
	j.ch = ch[0];
	job_start(&j, job_send_tokens);
	recv_tokens(ch[1], MIB, 7, 3);
	job_end(&j);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
}
END_TEST

/* Each with its own message, among others that have none. */
START_TEST(each_comes_with_the_message_it_was_sent_with)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 5; i++)
		send_tokens(ch[0], (size_t)i, i * 10, (unsigned)i % 3);
	for (int i = 0; i < 5; i++)
		recv_tokens(ch[1], (size_t)i, i * 10, (unsigned)i % 3);
	close_ends(ch);
}
END_TEST

START_TEST(too_little_room_keeps_all)
{
	struct ipc_channel *ch[2];
	int fds[3];
	unsigned n = 2;

	ends_of(_i, ch, "", 0);
	send_tokens(ch[0], 10, 1, 3);
	expect(-EMSGSIZE, recv_room(ch[1], fds, &n, SOON));
	n = 0;
	expect(-EMSGSIZE, recv_room(ch[1], fds, &n, SOON));
	expect(-EMSGSIZE, ipc_recv(ch[1], buffer, 9, SOON));
	recv_tokens(ch[1], 10, 1, 3);
	close_ends(ch);
}
END_TEST

/* The fixture counts descriptors. */
START_TEST(every_other_receive_closes_them)
{
	struct ipc_channel *ch[2];
	struct iovec iov = { buffer, 100 };
	const void *data;
	int before;

	ends_of(_i, ch, "", 0);
	carry(ch[0], ch[1], 10);
	before = fds_open();
	send_tokens(ch[0], 10, 1, 3);
	expect(10, ipc_recv(ch[1], buffer, 100, SOON));
	send_tokens(ch[0], 10, 1, 3);
	expect(10, ipc_peek(ch[1], &data, SOON));
	expect(0, ipc_release(ch[1]));
	send_tokens(ch[0], 10, 1, 3);
	expect(1, ipc_recvmany(ch[1], &iov, 1, SOON));
	expect(before, fds_open());
	close_ends(ch);
}
END_TEST

START_TEST(unreceived_ones_are_closed_with_the_channel)
{
	struct ipc_channel *ch[2];
	const void *data;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 5; i++)
		send_tokens(ch[0], 10, 1, 3);
	expect(10, ipc_recv(ch[1], buffer, 100, SOON));
	expect(10, ipc_peek(ch[1], &data, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(a_peek_keeps_them_for_the_receive)
{
	struct ipc_channel *ch[2];
	const void *data;

	ends_of(_i, ch, "", 0);
	send_tokens(ch[0], 10, 1, 3);
	expect(10, ipc_peek(ch[1], &data, SOON));
	recv_tokens(ch[1], 10, 1, 3);
	close_ends(ch);
}
END_TEST

START_TEST(more_than_may_be_are_refused)
{
	struct ipc_channel *ch[2];
	int fds[IPC_FDS_MAX + 1] = { 0 };
	struct iovec iov = { buffer, 1 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = IPC_FDS_MAX + 1 };

	ends_of(_i, ch, "", 0);
	expect_either(-EINVAL, -EMSGSIZE, ipc_sendmsg(ch[0], &msg, 0, SOON));
	fds[0] = -1;
	msg.fd_count = 1;
	expect_either(-EBADF, -EINVAL, ipc_sendmsg(ch[0], &msg, 0, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, 1, 0));
	carry(ch[0], ch[1], 10);
	close_ends(ch);
}
END_TEST

START_TEST(where_they_cannot_travel_it_says_so)
{
	struct ipc_channel *ch[2];
	int fd = STDIN_FILENO;
	struct iovec iov = { buffer, 1 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = &fd, .fd_count = 1 };

	ends_of(_i, ch, "", 0);
	expect(-EOPNOTSUPP, ipc_sendmsg(ch[0], &msg, 0, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, 1, 0));
	expect(0, ipc_send(ch[0], buffer, 1, SOON));
	expect(1, ipc_recv(ch[1], buffer, 1, SOON));
	close_ends(ch);
}
END_TEST

/* From one that has gone since. */
static void
token_peer(struct ipc_channel *ch, void *dying)
{
	send_tokens(ch, 10, 1, 2);
	send_tokens(ch, 10, 3, 2);
	if (dying == NULL)
		expect(0, ipc_close(ch));
	_exit(0);
}

START_TEST(they_outlive_their_sender)
{
	struct ipc_channel *ch;
	char dying;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		ch = with_peer(_i, "", 0, token_peer, i ? &dying : NULL, &pid);
		peer_done(pid);
		recv_tokens(ch, 10, 1, 2);
		recv_tokens(ch, 10, 3, 2);
		expect(i ? -ECONNRESET : -EPIPE,
		    ipc_recv(ch, buffer, 1, SOON));
		expect(0, ipc_close(ch));
	}
}
END_TEST

static void
limit_descriptors(struct rlimit *old, rlim_t limit)
{
	struct rlimit r;

	expect_sys(getrlimit(RLIMIT_NOFILE, old));
	r = *old;
	r.rlim_cur = limit;
	expect_sys(setrlimit(RLIMIT_NOFILE, &r));
}

START_TEST(without_a_free_descriptor_emfile_once_then_without_them)
{
	struct ipc_channel *ch[2];
	struct rlimit old;
	int fds[IPC_FDS_MAX], fd;
	unsigned n = IPC_FDS_MAX;

	ends_of(_i, ch, "", 0);
	carry(ch[0], ch[1], 10);
	send_tokens(ch[0], 10, 1, 3);
	fd = dup(STDIN_FILENO);
	expect_sys(fd);
	close(fd);
	limit_descriptors(&old, (rlim_t)fd + 1);
	expect(-EMFILE, recv_room(ch[1], fds, &n, SOON));
	expect(10, recv_room(ch[1], fds, &n, SOON));
	expect_sys(setrlimit(RLIMIT_NOFILE, &old));
	expect(0, n);
	send_tokens(ch[0], 10, 1, 3);
	recv_tokens(ch[1], 10, 1, 3);
	close_ends(ch);
}
END_TEST

START_TEST(many_rounds_leave_none_open)
{
	struct ipc_channel *ch[2];
	int before;

	ends_of(_i, ch, "", 0);
	send_tokens(ch[0], 100, 1, 4);
	recv_tokens(ch[1], 100, 1, 4);
	before = fds_open();
	for (int i = 0; i < rounds(200); i++) {
		send_tokens(ch[i % 2], 100, i, 4);
		recv_tokens(ch[!(i % 2)], 100, i, 4);
	}
	expect(before, fds_open());
	close_ends(ch);
}
END_TEST

int
main(void)
{
	const unsigned fds = IPC_CAP_FDS;
	TCase *tc;

	suite_open("fds");
	tc = tcase_open("fds", 20);
	for_each_case(tc, one_and_as_many_as_may_be, TALKS, fds);
	for_each_case(tc, one_way_as_well, TALKS, fds);
	for_each_case(tc, with_an_empty_message, TALKS, fds);
	for_each_case(tc, with_a_large_message, TALKS, fds | IPC_CAP_LARGE);
	for_each_case(tc, each_comes_with_the_message_it_was_sent_with, TALKS,
	    fds);
	for_each_case(tc, too_little_room_keeps_all, TALKS, fds);
	for_each_case(tc, every_other_receive_closes_them, TALKS, fds);
	for_each_case(tc, unreceived_ones_are_closed_with_the_channel, TALKS,
	    fds);
	for_each_case(tc, a_peek_keeps_them_for_the_receive, TALKS, fds);
	for_each_case(tc, more_than_may_be_are_refused, TALKS, fds);
	for_each_case_but(tc, where_they_cannot_travel_it_says_so, TALKS, 0,
	    fds);
	for_each_case(tc, they_outlive_their_sender, TALKS, fds | FORKS);
	for_each_case(tc,
	    without_a_free_descriptor_emfile_once_then_without_them, TALKS,
	    fds | FORKS);
	for_each_case(tc, many_rounds_leave_none_open, TALKS, fds);
	return suite_close();
}
