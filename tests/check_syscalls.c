/* SPDX-License-Identifier: ISC */
/*
 * What a message costs in system calls, counted: one to send where the kernel
 * allows it, at most two to receive, none for what was read ahead.
 */
#include <sys/syscall.h>
#include <sys/uio.h>
#include <signal.h>

#include "support.h"

static struct ipc_channel *ch[2];
static char buffer[4 * KIB];
static int loop_index;

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL	0x00000100
#endif

/* Without this a write to a pipe has to keep the signal away by itself. */
static bool
kernel_keeps_sigpipe_away(void)
{
	struct iovec iov = { buffer, 1 };
	int fd[2];
	ssize_t n;

	expect_sys(pipe(fd));
	n = pwritev2(fd[1], &iov, 1, -1, RWF_NOSIGNAL);
	close(fd[0]);
	close(fd[1]);
	return n == 1;
}

static void
make(void *unused)
{
	(void)unused;
	ends_of(loop_index, ch, "", 0);
	for (int i = 0; i < 5; i++) {
		expect(0, ipc_send(ch[0], buffer, 100, SOON));
		expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	}
}

static void
make_with_message(void *unused)
{
	make(unused);
	expect(0, ipc_send(ch[0], buffer, 100, SOON));
}

static void
make_with_fd(void *unused)
{
	make(unused);
	expect_ok(ipc_fd(ch[0], IPC_RECV, NULL));
	expect_ok(ipc_fd(ch[0], IPC_SEND, NULL));
	expect_ok(ipc_fd(ch[1], IPC_RECV, NULL));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
}

static void
end(void *unused)
{
	(void)unused;
	close_ends(ch);
}

static void
send_one(void *unused)
{
	(void)unused;
	expect(0, ipc_send(ch[0], buffer, 100, SOON));
}

static void
send_ten(void *unused)
{
	for (int i = 0; i < 10; i++)
		send_one(unused);
}

static void
recv_one(void *unused)
{
	(void)unused;
	expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
}

static void
recv_none(void *unused)
{
	(void)unused;
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
}

/* At most so many calls: a message that fails lists them. */
static void
costs(int i, void (*prepare)(void *), void (*work)(void *), int most)
{
	char list[256] = "";
	long nr[16];
	int n;

	loop_index = i;
	begin(i);
	n = count_calls(prepare, work, end, NULL, nr, 16);
	if (n == -1) {
		skip_loudly("this system does not let a process be traced");
		return;
	}
	for (int k = 0; k < n && k < 16; k++)
		snprintf(list + strlen(list), sizeof list - strlen(list),
		    " %ld", nr[k]);
	if (n > most)
		ck_abort_msg("%s: %d system calls, not %d:%s", where(), n,
		    most, list);
}

/* A journal asks for the limit of files, which has a signal of its own, and
 * rings its reader's bell. */
static bool
is_journal(int i)
{
	begin(i);
	return strcmp(here.scheme, "file") == 0;
}

static int
to_send(int i)
{
	return is_journal(i) ? 3 : kernel_keeps_sigpipe_away() ? 1 : 4;
}

START_TEST(sending_is_one_call)
{
	costs(_i, make, send_one, to_send(_i));
}
END_TEST

START_TEST(ten_messages_are_ten_calls)
{
	costs(_i, make, send_ten, 10 * to_send(_i));
}
END_TEST

START_TEST(receiving_is_at_most_two_calls)
{
	costs(_i, make_with_message, recv_one, is_journal(_i) ? 3 : 2);
}
END_TEST

/* A queue without a descriptor of its own is asked and its bell put out. */
START_TEST(looking_in_vain_is_a_few_calls)
{
	costs(_i, make, recv_none, 4);
}
END_TEST

/* A descriptor that is waited on costs at most what rings it. */
START_TEST(a_descriptor_for_event_loops_adds_little)
{
	costs(_i, make_with_fd, send_one, to_send(_i) + 3);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("system calls");
	tc = tcase_open("calls", 20);
	for_each_case(tc, sending_is_one_call, TALKS, IPC_CAP_RELIABLE);
	for_each_case(tc, ten_messages_are_ten_calls, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, receiving_is_at_most_two_calls, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, looking_in_vain_is_a_few_calls, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, a_descriptor_for_event_loops_adds_little, TALKS,
	    IPC_CAP_RELIABLE | IPC_CAP_FD);
	return suite_close();
}
