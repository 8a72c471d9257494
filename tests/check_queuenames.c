/* SPDX-License-Identifier: ISC */
/*
 * Queues that have a name: their modes and owners are what was asked for, mq:
 * finds what it made, many share one, and a System V queue is waited on though
 * it has no descriptor.
 */
#include <sys/msg.h>
#include <mqueue.h>

#include "queues.h"

#define MANY		200

static char buffer[64 * KIB];

/*
 * Names
 */

START_TEST(mode_and_owner_are_exact)
{
	struct ipc_channel *ch;
	struct msqid_ds ds;
	struct stat st;
	mode_t old = umask(0777);
	mqd_t q;

	begin_with("posixmq", IPC_WAY_OPEN);
	expect(0, ipc_open(&ch, name_of("posixmq", geteuid() == 0 ?
	    "mode=0664&uid=4711&gid=4712" : "mode=0664"),
	    IPC_RECV | IPC_CREATE));
	*strchr(text, '?') = '\0';
	expect_sys(q = mq_open(strchr(text, '/'), O_RDONLY));
	expect_sys(fstat(q, &st));
	mq_close(q);
	expect(0664, st.st_mode & 0777);
	expect(geteuid() == 0 ? STRANGER : geteuid(), st.st_uid);
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));

	snprintf(text, sizeof text, "sysvmq:%#x?mode=0426%s", KEY,
	    geteuid() == 0 ? "&uid=4711&gid=4712" : "");
	expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	expect_sys(msgctl(msgget(KEY, 0), IPC_STAT, &ds));
	expect(0426, ds.msg_perm.mode & 0777);
	expect(geteuid() == 0 ? STRANGER : geteuid(), ds.msg_perm.uid);
	expect(0, ipc_close(ch));
	*strchr(text, '?') = '\0';
	expect(0, ipc_unlink(text));
	umask(old);
}
END_TEST

static void
denied(void)
{
	struct ipc_channel *ch;

	for (unsigned i = 0; i < 2; i++) {
		here.scheme = schemes[i];
		snprintf(buffer, sizeof buffer, i ? "sysvmq:%#x" :
		    "posixmq:/denied", KEY);
		expect(-EACCES, ipc_open(&ch, buffer, IPC_RECV));
		expect(-EACCES, ipc_open(&ch, buffer, IPC_SEND | IPC_CREATE));
		expect_error(ipc_unlink(buffer));
		snprintf(buffer, sizeof buffer, i ? "sysvmq:%#x" :
		    "posixmq:/letterbox", KEY + 1);
		expect(-EACCES, ipc_open(&ch, buffer, IPC_RECV));
		expect(-EACCES, ipc_open(&ch, buffer, IPC_DUPLEX));
		expect(0, ipc_open(&ch, buffer, IPC_SEND));
		expect(0, ipc_send(ch, "hello", 5, 0));
		expect(0, ipc_close(ch));
	}
}

START_TEST(mode_keeps_strangers_out)
{
	static const char *const made[] = { "posixmq:/denied",
	    "posixmq:/letterbox?mode=0622", "sysvmq:0x1bc0ffee",
	    "sysvmq:0x1bc0ffef?mode=0622" };
	struct ipc_channel *ch[4];

	begin_with("", IPC_WAY_OPEN);
	for (int i = 0; i < 4; i++)
		expect(0, ipc_open(&ch[i], made[i], IPC_RECV | IPC_CREATE |
		    IPC_EXCLUSIVE));
	as_stranger(denied);
	for (int i = 0; i < 4; i++) {
		if (geteuid() == 0 && i % 2 == 1)
			expect(5, ipc_recv(ch[i], buffer, 5, 0));
		expect(0, ipc_close(ch[i]));
		snprintf(buffer, sizeof buffer, "%.*s",
		    (int)strcspn(made[i], "?"), made[i]);
		expect(0, ipc_unlink(buffer));
	}
}
END_TEST

START_TEST(a_slash_before_the_name_means_nothing)
{
	struct ipc_channel *in, *out;

	begin_with(schemes[_i], IPC_WAY_OPEN);
	snprintf(text, sizeof text, "%s:/check-slash", schemes[_i]);
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	snprintf(text, sizeof text, "%s:check-slash", schemes[_i]);
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(in));
	expect(0, ipc_close(out));
	expect(-EEXIST, ipc_open(&in, text, IPC_RECV | IPC_CREATE |
	    IPC_EXCLUSIVE));
	expect(0, ipc_unlink(text));
	expect(-ENOENT, ipc_unlink(text));
	expect(-ENOENT, ipc_open(&in, text, IPC_RECV));
}
END_TEST

START_TEST(a_name_whose_queue_is_gone_is_made_anew)
{
	struct ipc_channel *ch;
	struct msqid_ds ds;
	int left = 0;

	begin_with("sysvmq", IPC_WAY_OPEN);
	if (!left_private()) {
		skip_loudly("a foreign removal: wants an IPC namespace");
		return;
	}
	expect(0, ipc_open(&ch, name_of("sysvmq", ""), IPC_RECV | IPC_CREATE));
	expect(0, ipc_close(ch));
	for (int i = msgctl(0, MSG_INFO, &ds); i >= 0; i--)
		if (msgctl(i, MSG_STAT, &ds) != -1)
			left += msgctl(msgget(ds.msg_perm.__key, 0), IPC_RMID,
			    NULL) == 0;
	expect(1, left);
	expect(-ENOENT, ipc_open(&ch, text, IPC_RECV));
	expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE | IPC_EXCLUSIVE));
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}
END_TEST

START_TEST(bad_names_are_refused)
{
	static const char *const bad[] = { "posixmq:/a/b", "posixmq:/",
	    "posixmq:/..", "sysvmq:0x", "sysvmq:0x0", "sysvmq:0x123456789",
	    "sysvmq:0xfish", "mq:/" };
	struct ipc_channel *ch;

	begin_with("", IPC_WAY_OPEN);
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
		expect(-EINVAL, ipc_open(&ch, bad[i], IPC_RECV | IPC_CREATE));
	memset(buffer, 'n', 300);
	memcpy(buffer, "posixmq:", 8);
	buffer[300] = '\0';
	expect(-ENAMETOOLONG, ipc_open(&ch, buffer, IPC_RECV | IPC_CREATE));
}
END_TEST

static void
fall_back(void)
{
	struct ipc_channel *in, *out, *ch[2];

	limit_to(RLIMIT_MSGQUEUE, 0);
	expect(0, ipc_open(&in, "mq:fallback", IPC_RECV | IPC_CREATE));
	expect(0, strcmp(info_of(in).scheme, "sysvmq"));
	expect(0, ipc_pair(ch, "mq:", 0));
	expect(0, strcmp(info_of(ch[0]).scheme, "sysvmq"));
	carry(ch[0], ch[1], 10000);
	close_ends(ch);
	limit_to(RLIMIT_MSGQUEUE, 500000);
	expect(0, ipc_open(&out, "mq:fallback", IPC_SEND | IPC_CREATE));
	expect(0, strcmp(info_of(out).scheme, "sysvmq"));
	expect(0, ipc_send(out, "hello", 5, SOON));
	expect(5, ipc_recv(in, buffer, sizeof buffer, SOON));
	expect(-EEXIST, ipc_open(ch, "mq:fallback", IPC_SEND | IPC_CREATE |
	    IPC_EXCLUSIVE));
	expect(0, ipc_close(in));
	expect(0, ipc_close(out));
	expect(0, ipc_unlink("mq:fallback"));
	expect(-ENOENT, ipc_open(&in, "mq:fallback", IPC_RECV));
	expect(0, ipc_open(&in, "mq:fallback", IPC_RECV | IPC_CREATE |
	    IPC_EXCLUSIVE));
	expect(0, strcmp(info_of(in).scheme, "posixmq"));
	expect(0, ipc_close(in));
	expect(0, ipc_unlink("mq:fallback"));
}

START_TEST(mq_finds_again_what_it_fell_back_to)
{
	begin_with("mq", IPC_WAY_OPEN);
	as_stranger(fall_back);
}
END_TEST

/*
 * Many, and waiting
 */

static void
send_many(int from)
{
	struct ipc_channel *ch;
	int message[2] = { from, 0 };

	expect(0, ipc_open(&ch, text, IPC_SEND));
	for (; message[1] < MANY; message[1]++)
		expect(0, ipc_send(ch, message, sizeof message, SOON));
	expect(0, ipc_close(ch));
	_exit(0);
}

static void
receive_many(int to)
{
	struct ipc_channel *ch;
	int message[2];
	ssize_t n;

	expect(0, ipc_open(&ch, text, IPC_RECV));
	while ((n = ipc_recv(ch, message, sizeof message, SOON)) > 0)
		if (write(to, message, sizeof message) != sizeof message)
			_exit(1);
	expect(0, n);
	expect(0, ipc_close(ch));
	_exit(0);
}

START_TEST(every_message_of_many_goes_to_one_of_many)
{
	char seen[4][MANY] = { { 0 } };
	struct ipc_channel *ch;
	int fds[2], message[2];
	pid_t pid[7];

	begin_with(schemes[_i], IPC_WAY_OPEN);
	expect(0, ipc_open(&ch, name_of(schemes[_i], ""), IPC_SEND |
	    IPC_CREATE));
	expect_sys(pipe(fds));
	for (int i = 0; i < 7; i++) {
		expect_sys(pid[i] = fork());
		if (i < 4 && pid[i] == 0)
			send_many(i);
		else if (pid[i] == 0)
			receive_many(fds[1]);
	}
	for (int i = 0; i < 4 * MANY; i++) {
		expect(sizeof message, read(fds[0], message, sizeof message));
		expect_true(seen[message[0]][message[1]]++ == 0);
	}
	for (int i = 0; i < 3; i++)
		expect(0, ipc_send(ch, "", 0, SOON));
	for (int i = 0; i < 7; i++)
		peer_done(pid[i]);
	close(fds[0]);
	close(fds[1]);
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}
END_TEST

static long
send_blocking(struct job *j)
{
	pause_ms(j->delay);
	return ipc_send(j->ch, j->data, j->size, -1);
}

/* wait=block sleeps in the kernel: no CPU, and no interval. */
START_TEST(wait_block_waits_for_a_message)
{
	struct job j = { .data = "hello", .delay = 300 };
	struct ipc_channel *in;
	double before;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect(0, ipc_open(&in, name_of("sysvmq", "wait=block"), IPC_DUPLEX |
	    IPC_CREATE));
	for (j.size = 0; j.size <= 5; j.size += 5) {
		j.ch = in;
		job_start(&j, send_blocking);
		before = cpu_ms();
		expect(j.size, ipc_recv(in, buffer, sizeof buffer, -1));
		expect_true(cpu_ms() - before < 10);
		expect(0, job_end(&j));
	}
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 20));
	expect(0, ipc_close(in));
	*strchr(text, '?') = '\0';
	expect(0, ipc_unlink(text));
}
END_TEST

START_TEST(wait_block_waits_for_room)
{
	struct ipc_channel *ch;
	struct job j = { .data = buffer, .size = 1000 };
	int n;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect(0, ipc_open(&ch, name_of("sysvmq", "wait=block"), IPC_DUPLEX |
	    IPC_CREATE));
	n = fill_up(ch, 1000);
	j.ch = ch;
	job_start(&j, send_blocking);
	pause_ms(100);
	expect(1000, ipc_recv(ch, buffer + MIB / 64, 1000, 0));
	expect(0, job_end(&j));
	for (int i = 0; i < n; i++)
		expect(1000, ipc_recv(ch, buffer + MIB / 64, 1000, 0));
	expect(-EAGAIN, ipc_recv(ch, buffer, sizeof buffer, 0));
	expect(0, ipc_close(ch));
	*strchr(text, '?') = '\0';
	expect(0, ipc_unlink(text));
}
END_TEST

static long
wake(struct job *j)
{
	pause_ms(j->delay);
	ipc_wake(j->ch);
	return 0;
}

START_TEST(a_queue_without_descriptor_is_woken_and_times_out)
{
	struct job j = { .delay = 50 };
	struct ipc_channel *ch;
	double begun;

	begin_with("sysvmq", IPC_WAY_OPEN);
	expect(0, ipc_open(&ch, name_of("sysvmq", ""), IPC_RECV | IPC_CREATE));
	expect(-EOPNOTSUPP, ipc_fd(ch, IPC_RECV, NULL));
	begun = now_ms();
	expect(-ETIMEDOUT, ipc_recv(ch, buffer, sizeof buffer, 100));
	expect_true(now_ms() - begun >= 99 && now_ms() - begun < SOON);
	j.ch = ch;
	begun = now_ms();
	job_start(&j, wake);
	expect(-ECANCELED, ipc_recv(ch, buffer, sizeof buffer, -1));
	expect_true(now_ms() - begun < SOON);
	expect(0, job_end(&j));
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("queuenames");
	tc = tcase_open("names", 20);
	tcase_add_test(tc, mode_and_owner_are_exact);
	tcase_add_test(tc, mode_keeps_strangers_out);
	tcase_add_loop_test(tc, a_slash_before_the_name_means_nothing, 0, 2);
	tcase_add_test(tc, a_name_whose_queue_is_gone_is_made_anew);
	tcase_add_test(tc, bad_names_are_refused);
	tcase_add_test(tc, mq_finds_again_what_it_fell_back_to);

	tc = tcase_open("many and waiting", 30);
	tcase_add_loop_test(tc, every_message_of_many_goes_to_one_of_many, 0,
	    2);
	tcase_add_test(tc, wait_block_waits_for_a_message);
	tcase_add_test(tc, wait_block_waits_for_room);
	tcase_add_test(tc, a_queue_without_descriptor_is_woken_and_times_out);
	return suite_close();
}
