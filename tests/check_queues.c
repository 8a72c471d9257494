/* SPDX-License-Identifier: ISC */
/*
 * Message queues as others see them: each limit of the machine is met and
 * named, and programs that know only msgsnd and mq_send take part.
 */
#include <sys/msg.h>
#include <mqueue.h>

#include "queues.h"

static char buffer[64 * KIB];

struct foreign {
	long	type;
	char	data[8192];
};

/* Ends of pairs until no more are to be had; why not.  All are closed. */
static int
pairs_until(const char *address, int *made)
{
	static struct ipc_channel *ch[512][2];
	int n = 0, rc = 0;

	while (n < 512 && (rc = ipc_pair(ch[n], address, IPC_RECV)) == 0)
		n++;
	*made = n;
	while (n-- > 0)
		close_ends(ch[n]);
	return rc;
}

/*
 * Limits
 */

static void
meet_rlimit_msgqueue(void)
{
	int made;

	limit_to(RLIMIT_MSGQUEUE, 100000);
	expect(-EMFILE, pairs_until("posixmq:", &made));
	says("RLIMIT_MSGQUEUE (100000 bytes)");
	expect_true(made >= 5);
}

START_TEST(rlimit_msgqueue_is_named)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	as_stranger(meet_rlimit_msgqueue);
}
END_TEST

static void
fit_rlimit_msgqueue(void)
{
	struct ipc_channel *ch[2];

	limit_to(RLIMIT_MSGQUEUE, 6000);
	expect(0, ipc_pair(ch, "posixmq:", IPC_RECV));
	expect_true(info_of(ch[1]).capacity < 6000);
	expect_true(info_of(ch[1]).capacity >= 1000);
	for (int i = 0; i < 100; i++) {
		expect(0, ipc_send(ch[1], &i, sizeof i, SOON));
		expect(sizeof i, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	}
	close_ends(ch);
	expect(0, ipc_open(ch, name_of("posixmq", "max-message=1K"),
	    IPC_DUPLEX | IPC_CREATE));
	expect_true(info_of(ch[0]).capacity < 6000);
	expect(0, ipc_close(ch[0]));
	*strchr(text, '?') = '\0';
	expect(0, ipc_unlink(text));
	limit_to(RLIMIT_MSGQUEUE, 100);
	expect(-EMFILE, ipc_pair(ch, "posixmq:", IPC_RECV));
	says("RLIMIT_MSGQUEUE (100 bytes)");
}

START_TEST(a_queue_is_fitted_to_rlimit_msgqueue)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	as_stranger(fit_rlimit_msgqueue);
}
END_TEST

static void
no_descriptor(void)
{
	struct ipc_channel *ch[2];
	int fd, last = -1;

	limit_to(RLIMIT_NOFILE, 64);
	while ((fd = dup(0)) != -1)
		last = fd;
	/* The life line takes two. */
	close(last);
	close(last - 1);
	expect(-EMFILE, ipc_pair(ch, "posixmq:", IPC_RECV));
	says("RLIMIT_NOFILE (64)");
}

START_TEST(no_free_descriptor_is_not_taken_for_rlimit_msgqueue)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	as_stranger(no_descriptor);
}
END_TEST

static void
meet_queues_max(void)
{
	struct ipc_channel *ch[2];

	expect(-ENOSPC, ipc_pair(ch, "posixmq:", IPC_RECV));
	says("fs.mqueue.queues_max (0)");
}

START_TEST(queues_max_is_named)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	if (!set_limit("/proc/sys/fs/mqueue/queues_max", "0")) {
		skip_loudly("queues_max: wants an IPC namespace of its own");
		return;
	}
	as_stranger(meet_queues_max);
	set_limit("/proc/sys/fs/mqueue/queues_max", "256");
}
END_TEST

/* Both sides are told: the client that it can not be, the listener why. */
static void
accept_meets_queues_max(void)
{
	struct ipc_channel *ch;
	struct ipc_listener *l;
	int status;
	pid_t pid;

	expect(0, ipc_listen(&l, name_of("posixmq", ""), 0));
	expect_sys(pid = fork());
	if (pid == 0) {
		expect(-ECONNREFUSED, ipc_connect(&ch, text, 0, SOON));
		says("could not make the session: No space left on device");
		_exit(0);
	}
	expect(-ENOSPC, ipc_accept(&ch, l, SOON));
	says("posixmq:/check-");
	says("fs.mqueue.queues_max (0)");
	expect(-EAGAIN, ipc_accept(&ch, l, 0));
	peer_done(pid);
	/* What a client asks for itself does not trouble the listener. */
	expect_sys(pid = fork());
	if (pid == 0) {
		strlcat(text, "?capacity=64K", sizeof text);
		expect(-ECONNREFUSED, ipc_connect(&ch, text, 0, SOON));
		_exit(0);
	}
	do
		expect(-ETIMEDOUT, ipc_accept(&ch, l, 10));
	while (waitpid(pid, &status, WNOHANG) == 0);
	expect(0, status);
	expect(0, ipc_listener_close(l));
}

START_TEST(accept_names_the_limit_and_goes_on)
{
	struct ipc_channel *ch[2];
	struct ipc_listener *l;
	pid_t pid;

	begin_with("posixmq", IPC_WAY_SESSION);
	if (!set_limit("/proc/sys/fs/mqueue/queues_max", "0")) {
		skip_loudly("queues_max: wants an IPC namespace of its own");
		return;
	}
	as_stranger(accept_meets_queues_max);
	/* What is met by one client is no other's end. */
	expect(0, ipc_listen(&l, name_of("mq", ""), 0));
	set_limit("/proc/sys/fs/mqueue/queues_max", "256");
	expect_sys(pid = fork());
	if (pid == 0) {
		expect(0, ipc_connect(&ch[1], text, 0, SOON));
		expect(0, ipc_close(ch[1]));
		_exit(0);
	}
	expect(0, ipc_accept(&ch[0], l, SOON));
	expect(-EPIPE, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	peer_done(pid);
	expect(0, ipc_close(ch[0]));
	expect(0, ipc_listener_close(l));
}
END_TEST

static void
fit_msgsize_max(void)
{
	struct ipc_channel *ch;

	expect(0, ipc_open(&ch, name_of("posixmq", ""), IPC_SEND |
	    IPC_CREATE));
	expect_true(info_of(ch).max_message == 128);
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}

START_TEST(an_opened_queue_is_fitted_to_msgsize_max)
{
	begin_with("posixmq", IPC_WAY_OPEN);
	if (!set_limit("/proc/sys/fs/mqueue/msgsize_max", "128")) {
		skip_loudly("msgsize_max: wants an IPC namespace of its own");
		return;
	}
	as_stranger(fit_msgsize_max);
	set_limit("/proc/sys/fs/mqueue/msgsize_max", "8192");
}
END_TEST

static void
meet_msgsize_max(void)
{
	struct ipc_channel *ch;

	expect(-EINVAL, ipc_open(&ch, name_of("posixmq",
	    "max-message=1M&capacity=4M"), IPC_SEND | IPC_CREATE));
	says("fs.mqueue.msgsize_max 8192");
	expect(-ENOENT, ipc_open(&ch, text, IPC_SEND));
	expect(0, ipc_open(&ch, name_of("posixmq", ""), IPC_SEND |
	    IPC_CREATE));
	expect(-EMSGSIZE, ipc_send(ch, buffer, 9000, 0));
	says("message of 9000 bytes exceeds the 8192");
	says("fs.mqueue.msgsize_max");
	expect(0, ipc_send(ch, buffer, 8192, 0));
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}

START_TEST(msgsize_max_is_named)
{
	begin_with("posixmq", IPC_WAY_OPEN);
	as_stranger(meet_msgsize_max);
}
END_TEST

static void
one_message_fits(void)
{
	struct ipc_channel *ch[2];

	expect(0, ipc_pair(ch, "posixmq:", IPC_RECV));
	expect(0, ipc_send(ch[1], "a", 1, 0));
	expect(-EAGAIN, ipc_send(ch[1], "b", 1, 0));
	expect(1, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(0, ipc_send(ch[1], "b", 1, 0));
	close_ends(ch);
}

START_TEST(a_queue_is_fitted_to_msg_max)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	if (!set_limit("/proc/sys/fs/mqueue/msg_max", "1")) {
		skip_loudly("msg_max: wants an IPC namespace of its own");
		return;
	}
	as_stranger(one_message_fits);
	set_limit("/proc/sys/fs/mqueue/msg_max", "10");
}
END_TEST

START_TEST(msgmni_is_named)
{
	struct ipc_channel *ch[2];

	begin_with("sysvmq", IPC_WAY_PAIR);
	if (!set_limit("/proc/sys/kernel/msgmni", "0")) {
		skip_loudly("msgmni: wants an IPC namespace of its own");
		return;
	}
	expect(-ENOSPC, ipc_pair(ch, "sysvmq:", 0));
	says("kernel.msgmni (0)");
	expect(-ENOSPC, ipc_open(ch, name_of("sysvmq", ""), IPC_SEND |
	    IPC_CREATE));
	says("kernel.msgmni (0)");
	snprintf(text, sizeof text, "sysvmq:%#x", KEY);
	expect(-ENOSPC, ipc_open(ch, text, IPC_SEND | IPC_CREATE));
	says("kernel.msgmni (0)");
	set_limit("/proc/sys/kernel/msgmni", "32000");
}
END_TEST

START_TEST(msgmax_and_msgmnb_are_fitted_to_and_named)
{
	struct ipc_channel *ch[2];

	begin_with("sysvmq", IPC_WAY_PAIR);
	if (!set_limit("/proc/sys/kernel/msgmax", "500")) {
		skip_loudly("msgmax: wants an IPC namespace of its own");
		return;
	}
	expect(0, ipc_pair(ch, "sysvmq:", 0));
	expect(500, info_of(ch[0]).record);
	expect(16384, info_of(ch[0]).capacity);
	carry(ch[0], ch[1], 3000);
	close_ends(ch);
	expect(0, ipc_open(ch, name_of("sysvmq", ""), IPC_SEND | IPC_CREATE));
	expect(-EMSGSIZE, ipc_send(ch[0], buffer, 501, 0));
	says("message of 501 bytes exceeds the 500");
	says("kernel.msgmax");
	set_limit("/proc/sys/kernel/msgmax", "400");
	expect(-EMSGSIZE, ipc_send(ch[0], buffer, 450, 0));
	says("kernel.msgmax is 400");
	set_limit("/proc/sys/kernel/msgmax", "50");
	expect(0, ipc_close(ch[0]));
	expect(0, ipc_unlink(text));
	expect(-ENOSPC, ipc_pair(ch, "sysvmq:", IPC_RECV));
	says("kernel.msgmax (50)");
	set_limit("/proc/sys/kernel/msgmax", "8192");
	set_limit("/proc/sys/kernel/msgmnb", "8000");
	expect(0, ipc_pair(ch, "sysvmq:?capacity=1M", 0));
	expect(8000, info_of(ch[0]).capacity);
	close_ends(ch);
	set_limit("/proc/sys/kernel/msgmnb", "16384");
}
END_TEST

START_TEST(capacity_is_a_ceiling)
{
	struct ipc_channel *ch[2];

	begin_with(schemes[_i], IPC_WAY_PAIR);
	snprintf(text, sizeof text, "%s:?capacity=8K", schemes[_i]);
	expect(0, ipc_pair(ch, text, 0));
	expect_true(info_of(ch[0]).capacity <= 8 * KIB &&
	    info_of(ch[0]).capacity > 6 * KIB);
	close_ends(ch);
	snprintf(text, sizeof text, "%s:?capacity=1G", schemes[_i]);
	expect(0, ipc_pair(ch, text, 0));
	expect_true(info_of(ch[0]).capacity >= 16 * KIB &&
	    info_of(ch[0]).capacity < MIB);
	carry(ch[0], ch[1], 100000);
	close_ends(ch);
}
END_TEST

/*
 * Programs that do not know this library
 */

static int
open_queue(struct ipc_channel **ch, int flags)
{
	snprintf(text, sizeof text, "sysvmq:%#x", KEY);
	expect(0, ipc_open(ch, text, flags));
	return msgget(KEY, 0);
}

static ssize_t
receive(struct ipc_channel *ch, unsigned *priority)
{
	struct iovec iov = { buffer, sizeof buffer };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1 };
	ssize_t n = ipc_recvmsg(ch, &msg, 0, SOON);

	*priority = msg.priority;
	return n;
}

START_TEST(msgsnd_is_received)
{
	struct ipc_channel *ch;
	struct foreign f;
	unsigned priority;
	int id;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect_sys(id = open_queue(&ch, IPC_RECV | IPC_CREATE));
	pattern_fill(f.data, sizeof f.data, 3);
	f.type = 40000;
	expect(0, msgsnd(id, &f, 10, 0));
	f.type = 7;
	expect(0, msgsnd(id, &f, sizeof f.data, 0));
	f.type = 32768;
	expect(0, msgsnd(id, &f, 0, 0));
	expect(sizeof f.data, receive(ch, &priority));
	expect_true(pattern_is(buffer, sizeof f.data, 3));
	expect(32768 - 7, priority);
	expect(0, receive(ch, &priority));
	expect(0, priority);
	expect(10, receive(ch, &priority));
	expect(0, priority);
	expect(-EAGAIN, ipc_recv(ch, buffer, sizeof buffer, 0));
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
	expect(-1, msgget(KEY, 0));
}
END_TEST

START_TEST(msgrcv_receives)
{
	struct iovec iov[2] = { { buffer, 100 }, { buffer + 100, 400 } };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = iov,
	    .iov_count = 2, .priority = 5 };
	struct ipc_channel *ch;
	struct foreign f;
	int id;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect_sys(id = open_queue(&ch, IPC_SEND | IPC_CREATE));
	pattern_fill(buffer, 500, 4);
	expect(0, ipc_send(ch, "plain", 5, SOON));
	expect(0, ipc_sendmsg(ch, &msg, 0, SOON));
	expect(0, ipc_send(ch, "", 0, SOON));
	expect(500, msgrcv(id, &f, sizeof f.data, 32768 - 5, 0));
	expect_true(pattern_is(f.data, 500, 4));
	expect(5, msgrcv(id, &f, sizeof f.data, 0, 0));
	expect(32768, f.type);
	expect(0, memcmp(f.data, "plain", 5));
	expect(0, msgrcv(id, &f, sizeof f.data, 0, 0));
	msg.priority = 32768;
	expect(-EINVAL, ipc_sendmsg(ch, &msg, 0, SOON));
	says("0 to 32767");
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}
END_TEST

START_TEST(a_queue_that_somebody_removed_is_eidrm)
{
	struct ipc_channel *ch;
	int id;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect_sys(id = open_queue(&ch, IPC_DUPLEX | IPC_CREATE));
	expect(0, msgctl(id, IPC_RMID, NULL));
	expect(-EIDRM, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(-EIDRM, ipc_send(ch, "x", 1, SOON));
	says("removed");
	expect(0, ipc_close(ch));
}
END_TEST

START_TEST(mq_send_and_mq_receive_take_part)
{
	struct ipc_channel *ch;
	unsigned priority;
	mqd_t q;

	begin_with("posixmq", IPC_WAY_OPEN);
	expect(0, ipc_open(&ch, name_of("posixmq", ""), IPC_DUPLEX |
	    IPC_CREATE));
	expect_sys(q = mq_open(strchr(text, '/'), O_RDWR));
	pattern_fill(buffer, 8192, 5);
	expect(0, mq_send(q, "low", 3, 1));
	expect(0, mq_send(q, buffer, 8192, 9));
	memset(buffer, 0, sizeof buffer);
	expect(8192, receive(ch, &priority));
	expect_true(pattern_is(buffer, 8192, 5));
	expect(9, priority);
	expect(3, receive(ch, &priority));
	expect(1, priority);
	expect(0, ipc_send(ch, "hello", 5, SOON));
	expect(0, ipc_send(ch, "", 0, SOON));
	expect(5, mq_receive(q, buffer, sizeof buffer, &priority));
	expect(0, priority);
	expect(0, mq_receive(q, buffer, sizeof buffer, NULL));
	mq_close(q);
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
	expect(-1, mq_open(strchr(text, '/'), O_RDWR));
}
END_TEST

/* Somebody else's flags of a shared open file make nobody wait. */
START_TEST(a_queue_without_o_nonblock_does_not_make_us_wait)
{
	struct ipc_channel *ch[2];
	struct pollfd p;

	begin_with("posixmq", IPC_WAY_PAIR);
	expect(0, ipc_pair(ch, "posixmq:", IPC_RECV));
	for (p.fd = 3; p.fd < 32; p.fd++) {
		struct mq_attr attr;

		if (mq_getattr(p.fd, &attr) == 0)
			expect_sys(fcntl(p.fd, F_SETFL, 0));
	}
	expect(-EAGAIN, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-ETIMEDOUT, ipc_recv(ch[0], buffer, sizeof buffer, 20));
	expect_true(fill_up(ch[1], 100) > 0);
	expect(-EAGAIN, ipc_send(ch[1], buffer, 100, 0));
	close_ends(ch);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("queues");
	tc = tcase_open("limits", 20);
	tcase_add_test(tc, rlimit_msgqueue_is_named);
	tcase_add_test(tc, a_queue_is_fitted_to_rlimit_msgqueue);
	tcase_add_test(tc, no_free_descriptor_is_not_taken_for_rlimit_msgqueue);
	tcase_add_test(tc, queues_max_is_named);
	tcase_add_test(tc, accept_names_the_limit_and_goes_on);
	tcase_add_test(tc, an_opened_queue_is_fitted_to_msgsize_max);
	tcase_add_test(tc, msgsize_max_is_named);
	tcase_add_test(tc, a_queue_is_fitted_to_msg_max);
	tcase_add_test(tc, msgmni_is_named);
	tcase_add_test(tc, msgmax_and_msgmnb_are_fitted_to_and_named);
	tcase_add_loop_test(tc, capacity_is_a_ceiling, 0, 2);

	tc = tcase_open("foreign programs", 20);
	tcase_add_test(tc, msgsnd_is_received);
	tcase_add_test(tc, msgrcv_receives);
	tcase_add_test(tc, a_queue_that_somebody_removed_is_eidrm);
	tcase_add_test(tc, mq_send_and_mq_receive_take_part);
	tcase_add_test(tc, a_queue_without_o_nonblock_does_not_make_us_wait);
	return suite_close();
}
