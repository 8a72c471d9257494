/* SPDX-License-Identifier: ISC */
/*
 * Opened objects: a name that any program may open, which outlives those who
 * use it.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "support.h"

static char buffer[64 * KIB], text[8192];

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

/* A receiver and a sender of a new object, whose address is left in text. */
static void
opened(int i, struct ipc_channel **in, struct ipc_channel **out,
    const char *options)
{
	begin(i);
	strlcpy(text, address(options), sizeof text);
	expect(0, ipc_open(in, text, IPC_RECV | IPC_CREATE));
	expect(0, ipc_open(out, text, IPC_SEND));
}

/* A socket's name is of no use without it, and goes with it. */
static void
unlink_it(void)
{
	expect_either(0, here.caps & IPC_CAP_ADDRESS ? -ENOENT : 0,
	    ipc_unlink(text));
}

static void
done(struct ipc_channel *in, struct ipc_channel *out)
{
	expect(0, ipc_close(in));
	expect(0, ipc_close(out));
	if (!(here.caps & IPC_CAP_NETWORK))
		unlink_it();
}

START_TEST(what_is_sent_arrives_whole_and_in_order)
{
	struct ipc_channel *in, *out;
	size_t most;

	opened(_i, &in, &out, "");
	expect(IPC_RECV, info_of(in).direction);
	expect(IPC_SEND, info_of(out).direction);
	most = info_of(out).max_message;
	expect_true(most > 0);
	for (size_t n = 0; n <= most && n < sizeof buffer; n = n * 2 + 1)
		carry(out, in, n);
	for (int i = 0, got; i < 10; i++) {
		expect(0, ipc_send(out, &i, sizeof i, SOON));
		expect(sizeof got, ipc_recv(in, &got, sizeof got, SOON));
		expect(i, got);
	}
	done(in, out);
}
END_TEST

START_TEST(its_own_limit_holds)
{
	struct ipc_channel *in, *out;
	size_t most;

	opened(_i, &in, &out, "");
	most = info_of(out).max_message;
	if (most < MIB)
		expect(-EMSGSIZE, ipc_send(out, buffer, most + 1, 0));
	expect(-EMSGSIZE, ipc_send(out, buffer, SIZE_MAX, 0));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	done(in, out);
}
END_TEST

/* It is held by the channel, where it can no longer be in the object. */
START_TEST(too_small_a_buffer_loses_nothing)
{
	struct ipc_channel *in, *out;

	opened(_i, &in, &out, "");
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(-EMSGSIZE, ipc_recv(in, buffer, 4, SOON));
	expect(-EMSGSIZE, ipc_recv(in, NULL, 0, SOON));
	expect(5, ipc_recv(in, buffer, 5, SOON));
	expect(-EAGAIN, ipc_recv(in, buffer, 5, 0));
	done(in, out);
}
END_TEST

START_TEST(one_direction_each)
{
	struct ipc_channel *in, *out, *none;

	opened(_i, &in, &out, "");
	expect(-EBADF, ipc_send(in, "x", 1, 0));
	expect(-EBADF, ipc_recv(out, buffer, 1, 0));
	expect(-EINVAL, ipc_open(&none, text, 0));
	expect(-EINVAL, ipc_open(&none, text, IPC_CREATE));
	done(in, out);
}
END_TEST

START_TEST(receiving_before_the_first_sender_waits)
{
	struct ipc_channel *in, *out;

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 30));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "x", 1, SOON));
	expect(1, ipc_recv(in, buffer, sizeof buffer, SOON));
	done(in, out);
}
END_TEST

START_TEST(the_descriptor_before_and_after_the_first_sender)
{
	struct ipc_channel *in, *out;
	short events;
	int fd;

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect_ok(fd = ipc_fd(in, IPC_RECV, &events));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(0, ready(fd, events, 10));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "x", 1, SOON));
	expect_true(ready(fd, events, SOON) != 0);
	expect(1, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(0, ready(fd, events, 0));
	done(in, out);
}
END_TEST

/* To a call that waits and to one that does not. */
START_TEST(the_last_sender_goes_and_the_next_one_comes)
{
	struct ipc_channel *in, *out, *other;

	opened(_i, &in, &out, "");
	for (int i = 0; i < 3; i++) {
		expect(0, ipc_send(out, "hello", 5, SOON));
		expect(0, ipc_close(out));
		expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
		expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer,
		    i % 2 ? 0 : SOON));
		expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
		expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 20));
		expect(0, ipc_open(&other, text, IPC_SEND));
		out = other;
	}
	done(in, out);
}
END_TEST

START_TEST(the_end_in_the_descriptor)
{
	struct ipc_channel *in, *out;
	short events;
	int fd;

	opened(_i, &in, &out, "");
	expect_ok(fd = ipc_fd(in, IPC_RECV, &events));
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(0, ready(fd, events, 0));
	expect(0, ipc_close(out));
	expect_true(ready(fd, events, SOON) != 0);
	expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect_ok(fd = ipc_fd(in, IPC_RECV, &events));
	expect(0, ready(fd, events, 0));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "again", 5, SOON));
	expect_true(ready(fd, events, SOON) != 0);
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	done(in, out);
}
END_TEST

START_TEST(end_0_leaves_the_end_out)
{
	struct ipc_channel *in, *out;

	opened(_i, &in, &out, "end=0");
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(0, ipc_close(out));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 20));
	expect(0, ipc_open(&out, text, IPC_SEND));
	done(in, out);
}
END_TEST

START_TEST(where_nothing_ends_it_does_not)
{
	struct ipc_channel *in, *out;

	opened(_i, &in, &out, "");
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(out));
	expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 30));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "again", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	done(in, out);
}
END_TEST

/*
 * Holders
 */

/* A second receiver is one more where many share it, else it is refused and
 * the first goes on unharmed. */
START_TEST(a_second_receiver)
{
	struct ipc_channel *in, *out, *second;
	int rc;

	opened(_i, &in, &out, "");
	rc = ipc_open(&second, text, IPC_RECV | IPC_CREATE);
	if (rc == 0)
		expect(0, ipc_close(second));
	else
		expect_either(-EBUSY, -EADDRINUSE, rc);
	expect_true(rc == 0 || strstr(ipc_errmsg(), here.scheme) != NULL);
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	done(in, out);
}
END_TEST

/* A holder that is killed holds nothing any more. */
START_TEST(the_receiver_is_killed_and_the_next_takes_over)
{
	struct ipc_channel *in, *out;
	struct gate g;
	pid_t pid;

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	gate_make(&g);
	for (int i = 0; i < 3; i++) {
		if ((pid = forked()) == 0) {
			expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
			gate_open(&g);
			for (;;)
				pause();
		}
		gate_wait(&g);
		peer_kill(pid);
	}
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	gate_free(&g);
	done(in, out);
}
END_TEST

static _Noreturn void
send_and_hang(struct gate *g)
{
	struct ipc_channel *out;

	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "hello", 5, SOON));
	gate_open(g);
	for (;;)
		pause();
}

START_TEST(the_sender_is_killed_and_the_next_takes_over)
{
	struct ipc_channel *in, *out;
	struct gate g;
	pid_t pid;

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	gate_make(&g);
	for (int i = 0; i < 3; i++) {
		if ((pid = forked()) == 0)
			send_and_hang(&g);
		gate_wait(&g);
		peer_kill(pid);
		expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
		if (here.caps & IPC_CAP_END)
			expect(here.caps & IPC_CAP_DEATH ? -ECONNRESET :
			    -EPIPE, ipc_recv(in, buffer, 10, SOON));
		expect(-EAGAIN, ipc_recv(in, buffer, 10, 0));
	}
	expect(0, ipc_open(&out, text, IPC_SEND));
	gate_free(&g);
	done(in, out);
}
END_TEST

START_TEST(create_and_exclusive_as_in_open)
{
	struct ipc_channel *in, *other;

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	expect_either(-ENOENT, -ECONNREFUSED,
	    ipc_open(&other, text, IPC_SEND));
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE | IPC_EXCLUSIVE));
	expect_either(-EEXIST, here.caps & IPC_CAP_ADDRESS ? -EADDRINUSE :
	    -EEXIST, ipc_open(&other, text, IPC_RECV | IPC_CREATE |
	    IPC_EXCLUSIVE));
	expect(0, ipc_close(in));
	unlink_it();
	expect(-ENOENT, ipc_unlink(text));
	expect_either(-ENOENT, -ECONNREFUSED,
	    ipc_open(&other, text, IPC_SEND));
}
END_TEST

START_TEST(the_mode_is_as_asked_whatever_the_umask)
{
	struct ipc_channel *in;
	struct stat st;
	mode_t old;

	begin(_i);
	if (!scheme_has_paths(here.scheme))
		return;
	strlcpy(text, address("mode=0640"), sizeof text);
	old = umask(077);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	umask(old);
	text[strcspn(text, "?")] = '\0';
	expect_sys(stat(strchr(text, ':') + 1, &st));
	expect(0640, st.st_mode & 07777);
	expect(0, ipc_close(in));
	unlink_it();
}
END_TEST

/* Something else lies there: it is neither opened nor removed. */
START_TEST(a_foreign_thing_is_left_alone)
{
	struct ipc_channel *ch;
	const char *path;

	begin(_i);
	if (!scheme_has_paths(here.scheme))
		return;
	path = path_new();
	snprintf(text, sizeof text, "%s:%s", here.scheme, path);
	expect_sys(mkdir(path, 0700));
	expect_error(ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	expect_error(ipc_open(&ch, text, IPC_SEND));
	expect_error(ipc_unlink(text));
	expect_sys(rmdir(path));
	expect_sys(symlink("/tmp", path));
	expect_error(ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	expect_sys(unlink(path));
}
END_TEST

START_TEST(without_a_name_there_is_nothing_to_open)
{
	struct ipc_channel *ch;

	begin(_i);
	if (here.mech->ways & OPEN)
		return;
	expect_error(ipc_open(&ch, address_of(here.scheme, IPC_WAY_SESSION,
	    ""), IPC_RECV | IPC_CREATE));
	expect_true(strstr(ipc_errmsg(), here.scheme) != NULL);
}
END_TEST

/*
 * What some can
 */

static void
with_address(struct ipc_msg *msg, struct iovec *iov, void *room, size_t size)
{
	*iov = (struct iovec){ buffer, sizeof buffer };
	*msg = (struct ipc_msg){ .struct_size = sizeof *msg, .iov = iov,
	    .iov_count = 1, .address = room, .address_size = size };
}

START_TEST(a_bound_receiver_answers_by_address)
{
	struct ipc_channel *in, *out;
	struct iovec iov;
	struct ipc_msg msg;
	char room[256];

	begin(_i);
	strlcpy(text, address(""), sizeof text);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect(0, ipc_open(&out, text, IPC_DUPLEX));
	for (int i = 0; i < 3; i++) {
		expect(0, ipc_send(out, "question", 8, SOON));
		with_address(&msg, &iov, room, sizeof room);
		expect(8, ipc_recvmsg(in, &msg, 0, SOON));
		expect_true(msg.address_size > 0 &&
		    msg.address_size <= sizeof room);
		iov.iov_len = 8;
		expect(0, ipc_sendmsg(in, &msg, 0, SOON));
		expect(8, ipc_recv(out, buffer, sizeof buffer, SOON));
	}
	done(in, out);
}
END_TEST

START_TEST(higher_priority_comes_first)
{
	struct ipc_channel *in, *out;
	struct iovec iov = { buffer, 1 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1 };
	static const unsigned order[] = { 1, 5, 3 };

	opened(_i, &in, &out, "");
	for (int i = 0; i < 3; i++) {
		buffer[0] = (char)order[i];
		msg.priority = order[i];
		expect(0, ipc_sendmsg(out, &msg, 0, SOON));
	}
	for (int i = 5; i >= 1; i -= 2) {
		expect(1, ipc_recvmsg(in, &msg, 0, SOON));
		expect(i, buffer[0]);
		expect(i, msg.priority);
	}
	done(in, out);
}
END_TEST

START_TEST(unread_messages_outlive_both_ends)
{
	struct ipc_channel *in, *out;

	opened(_i, &in, &out, "");
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(0, ipc_close(out));
	expect(0, ipc_close(in));
	expect(0, ipc_open(&in, text, IPC_RECV));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(0, ipc_open(&out, text, IPC_SEND));
	done(in, out);
}
END_TEST

/* A bare FIFO, as a shell uses it. */
START_TEST(a_bare_named_pipe_for_foreign_programs)
{
	struct ipc_channel *in, *out;
	int fd;

	opened(_i, &in, &out, "boundary=stream");
	expect(IPC_STREAM, info_of(in).boundary);
	if (!scheme_has_paths(here.scheme)) {
		done(in, out);
		return;
	}
	text[strcspn(text, "?")] = '\0';
	expect_sys(fd = open(strchr(text, ':') + 1, O_WRONLY | O_CLOEXEC));
	expect(6, write(fd, "plain\n", 6));
	expect(6, ipc_read(in, buffer, sizeof buffer, SOON));
	close(fd);
	expect(3, ipc_write(out, "abc", 3, SOON));
	expect(3, ipc_read(in, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(out));
	expect(0, ipc_read(in, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(in));
	expect(0, ipc_unlink(text));
}
END_TEST

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("open");
	tc = tcase_open("messages", 20);
	for_each_case(tc, what_is_sent_arrives_whole_and_in_order, OPEN,
	    IPC_CAP_MESSAGE);
	for_each_case(tc, its_own_limit_holds, OPEN, IPC_CAP_MESSAGE);
	for_each_case(tc, too_small_a_buffer_loses_nothing, OPEN,
	    IPC_CAP_MESSAGE);
	for_each_case(tc, one_direction_each, OPEN, 0);
	tc = tcase_open("coming and going", 20);
	for_each_case(tc, receiving_before_the_first_sender_waits, OPEN, 0);
	for_each_case(tc, the_descriptor_before_and_after_the_first_sender,
	    OPEN, IPC_CAP_FD);
	for_each_case(tc, the_last_sender_goes_and_the_next_one_comes, OPEN,
	    IPC_CAP_END);
	for_each_case(tc, the_end_in_the_descriptor, OPEN,
	    IPC_CAP_END | IPC_CAP_FD);
	for_each_case(tc, end_0_leaves_the_end_out, OPEN, IPC_CAP_END);
	for_each_case_but(tc, where_nothing_ends_it_does_not, OPEN, 0,
	    IPC_CAP_END);
	tc = tcase_open("holders", 20);
	for_each_case(tc, a_second_receiver, OPEN, sure);
	for_each_case(tc, the_receiver_is_killed_and_the_next_takes_over,
	    OPEN, sure);
	for_each_case(tc, the_sender_is_killed_and_the_next_takes_over, OPEN,
	    sure);
	for_each_case_but(tc, create_and_exclusive_as_in_open, OPEN, 0,
	    IPC_CAP_NETWORK);
	for_each_case(tc, the_mode_is_as_asked_whatever_the_umask, OPEN, 0);
	for_each_case(tc, a_foreign_thing_is_left_alone, OPEN, 0);
	for_each_case(tc, without_a_name_there_is_nothing_to_open, SESSION,
	    0);
	tc = tcase_open("some", 20);
	for_each_case(tc, a_bound_receiver_answers_by_address, OPEN,
	    IPC_CAP_ADDRESS);
	for_each_case(tc, higher_priority_comes_first, OPEN,
	    IPC_CAP_PRIORITY);
	for_each_case(tc, unread_messages_outlive_both_ends, OPEN,
	    IPC_CAP_PERSIST);
	for_each_case(tc, a_bare_named_pipe_for_foreign_programs, OPEN,
	    IPC_CAP_STREAM);
	return suite_close();
}
