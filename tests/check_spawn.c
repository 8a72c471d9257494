/* SPDX-License-Identifier: ISC */
/*
 * A child process at the other end.  The child is this program again, with a
 * word that says what it is to do, or a plain command.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "support.h"

static char buffer[256 * KIB];

/*
 * What the child does
 */

static int
be_echo(void)
{
	struct ipc_channel *ch;

	expect(0, ipc_inherit(&ch));
	echo_peer(ch, NULL);
	return 0;
}

/* Tells how many descriptors it has, and which of them its program would
 * hand on. */
static int
be_count(void)
{
	struct ipc_channel *ch;
	int n[2] = { fds_open(), 0 };

	expect(0, ipc_inherit(&ch));
	for (int fd = 3; fd < 100; fd++)
		n[1] += fcntl(fd, F_GETFD) == 0;
	expect(0, ipc_send(ch, n, sizeof n, SOON));
	expect(0, ipc_close(ch));
	return 0;
}

static int
be_greedy(void)
{
	struct ipc_channel *ch, *again;

	expect(0, ipc_inherit(&ch));
	expect(-ENOENT, ipc_inherit(&again));
	expect(0, ipc_send(ch, "once", 4, SOON));
	expect(0, ipc_close(ch));
	expect(-ENOENT, ipc_inherit(&again));
	return 0;
}

static int
be_dying(void)
{
	struct ipc_channel *ch;

	expect(0, ipc_inherit(&ch));
	expect(0, ipc_send(ch, "last words", 10, SOON));
	return 0;
}

/* Waits for its turn, which is the parent's first. */
static int
be_second(void)
{
	struct ipc_channel *ch;

	expect(0, ipc_inherit(&ch));
	expect(-EBUSY, ipc_send(ch, "x", 1, 0));
	expect(8, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_turn(ch, SOON));
	expect(0, ipc_send(ch, "answer", 6, SOON));
	expect(0, ipc_close(ch));
	return 0;
}

static int
be_told(void)
{
	struct ipc_channel *ch;

	expect(0, ipc_inherit(&ch));
	expect(IPC_RECV, info_of(ch).direction);
	expect(5, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	return 0;
}

/* Signals, mask and umask are those of the parent. */
static int
be_plain(void)
{
	struct sigaction sa;
	struct ipc_channel *ch;
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&set, i) == 1)
			return 1;
	sigaction(SIGPIPE, NULL, &sa);
	if (sa.sa_handler != SIG_DFL)
		return 1;
	expect(0, ipc_inherit(&ch));
	expect(0, ipc_close(ch));
	return 0;
}

static int
child(const char *role)
{
	static const struct {
		const char *role;
		int (*run)(void);
	} roles[] = { { "echo", be_echo }, { "count", be_count },
	    { "greedy", be_greedy }, { "dying", be_dying },
	    { "second", be_second }, { "told", be_told },
	    { "plain", be_plain } };

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (strcmp(role, roles[i].role) == 0)
			return roles[i].run();
	return 99;
}

/*
 * Tests
 */

static struct ipc_channel *
spawn(const char *options, const char *role, int flags, pid_t *pid)
{
	char *argv[] = { (char *)"/proc/self/exe", (char *)role, NULL };
	struct ipc_channel *ch;

	expect(0, ipc_spawn(&ch, pid, address(options), argv, flags));
	expect_true(*pid > 0);
	return ch;
}

START_TEST(a_child_answers)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "echo", 0, &pid);
	for (size_t n = 0; n < 100000; n = n * 3 + 1) {
		pattern_fill(buffer, n, 3);
		expect(0, ipc_send(ch, buffer, n, SOON));
		memset(buffer, 0, n);
		expect(n, ipc_recv(ch, buffer, sizeof buffer, SOON));
		expect_true(pattern_is(buffer, n, 3));
	}
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(it_has_no_descriptor_but_its_own)
{
	struct ipc_channel *ch;
	pid_t pid;
	int n[2], idle = 0, extra;

	begin(_i);
	expect_sys(extra = open("/dev/null", O_RDONLY | O_CLOEXEC));
	for (int fd = 3; fd < 100; fd++)
		idle += fcntl(fd, F_GETFD) == 0;
	ch = spawn("", "count", 0, &pid);
	expect(sizeof n, ipc_recv(ch, n, sizeof n, SOON));
	if (n[0] > 3 + idle + 12)
		ck_abort_msg("%s: %d descriptors", where(), n[0]);
	expect(idle, n[1]);
	expect(0, ipc_close(ch));
	peer_done(pid);
	close(extra);
}
END_TEST

START_TEST(it_takes_its_end_once)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "greedy", 0, &pid);
	expect(4, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(leaving_without_close_is_dying)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "dying", 0, &pid);
	expect(10, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(the_parent_begins_in_half_duplex)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "second", IPC_HALF_DUPLEX, &pid);
	expect(0, ipc_send(ch, "question", 8, SOON));
	expect(0, ipc_over(ch));
	expect(6, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(one_way_to_the_child)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "told", IPC_SEND, &pid);
	expect(IPC_SEND, info_of(ch).direction);
	expect(0, ipc_send(ch, "hello", 5, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(the_child_has_the_signals_of_its_parent)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	ch = spawn("", "plain", 0, &pid);
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(a_failed_exec_is_reported)
{
	char *argv[] = { (char *)"/nonexistent/program", NULL };
	char *bare[] = { (char *)"no-such-command-anywhere", NULL };
	char *data[] = { (char *)"/etc/passwd", NULL };
	char *none[] = { NULL };
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	expect(-ENOENT, ipc_spawn(&ch, &pid, address(""), argv, 0));
	expect_true(strstr(ipc_errmsg(), "/nonexistent/program") != NULL);
	expect(-ENOENT, ipc_spawn(&ch, &pid, address(""), bare, 0));
	expect(-EACCES, ipc_spawn(&ch, &pid, address(""), data, 0));
	expect(-EINVAL, ipc_spawn(&ch, &pid, address(""), none, 0));
}
END_TEST

START_TEST(nothing_to_inherit)
{
	struct ipc_channel *ch;

	expect(-ENOENT, ipc_inherit(&ch));
}
END_TEST

/*
 * Standard input and output
 */

/* A program's 0 and 1 are descriptors of bytes, or it is refused. */
static bool
command(struct ipc_channel **ch, pid_t *pid, char *const argv[], int flags)
{
	int rc = ipc_spawn(ch, pid, address(""), argv, IPC_STDIO | flags);

	if (here.mech->boundary != IPC_STREAM) {
		expect(-EINVAL, rc);
		return false;
	}
	expect(0, rc);
	expect(IPC_STREAM, info_of(*ch).boundary);
	return true;
}

static void
reads(struct ipc_channel *ch, const char *text)
{
	size_t n = strlen(text), got = 0;
	ssize_t rc = 1;

	while (got < n && rc > 0) {
		rc = ipc_read(ch, buffer + got, n - got, SOON);
		expect_ok(rc);
		got += (size_t)rc;
	}
	expect(n, got);
	expect_true(memcmp(buffer, text, n) == 0);
}

START_TEST(a_filter_between_its_input_and_output)
{
	char *argv[] = { (char *)"tr", (char *)"a-z", (char *)"A-Z", NULL };
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	if (!command(&ch, &pid, argv, 0))
		return;
	expect(6, ipc_write(ch, "hello\n", 6, SOON));
	expect(0, ipc_shutdown(ch, IPC_SEND));
	reads(ch, "HELLO\n");
	expect(0, ipc_read(ch, buffer, 1, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(only_its_output)
{
	char *argv[] = { (char *)"echo", (char *)"hello", NULL };
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	if (!command(&ch, &pid, argv, IPC_RECV))
		return;
	reads(ch, "hello\n");
	expect(0, ipc_read(ch, buffer, 1, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

START_TEST(only_its_input)
{
	char *argv[] = { (char *)"sh", (char *)"-c",
	    (char *)"read x && test \"$x\" = hello", NULL };
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	if (!command(&ch, &pid, argv, IPC_SEND))
		return;
	expect(6, ipc_write(ch, "hello\n", 6, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

/* As `yes | head' ends: the reader goes, and the writer is told. */
START_TEST(a_command_that_is_no_longer_heard_ends)
{
	char *argv[] = { (char *)"yes", NULL };
	struct ipc_channel *ch;
	int status;
	pid_t pid;

	begin(_i);
	if (!command(&ch, &pid, argv, IPC_RECV))
		return;
	reads(ch, "y\ny\n");
	expect(0, ipc_close(ch));
	expect(pid, waitpid(pid, &status, 0));
	expect_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}
END_TEST

int
main(int argc, char *argv[])
{
	const unsigned duplex = FORKS | IPC_CAP_DUPLEX;
	TCase *tc;

	if (argc > 1)
		return child(argv[1]);
	suite_open("spawn");
	tc = tcase_open("spawn", 20);
	for_each_case(tc, a_child_answers, PAIR, duplex);
	for_each_case(tc, it_has_no_descriptor_but_its_own, PAIR, FORKS);
	for_each_case(tc, it_takes_its_end_once, PAIR, FORKS);
	for_each_case(tc, leaving_without_close_is_dying, PAIR, FORKS);
	for_each_case(tc, the_parent_begins_in_half_duplex, PAIR,
	    FORKS | IPC_CAP_HALF);
	for_each_case(tc, one_way_to_the_child, PAIR, FORKS);
	for_each_case(tc, the_child_has_the_signals_of_its_parent, PAIR,
	    FORKS);
	for_each_case(tc, a_failed_exec_is_reported, PAIR, FORKS);
	tcase_add_test(tc, nothing_to_inherit);
	tc = tcase_open("stdio", 20);
	for_each_case(tc, a_filter_between_its_input_and_output, PAIR,
	    duplex | IPC_CAP_STREAM);
	for_each_case(tc, only_its_output, PAIR, FORKS | IPC_CAP_STREAM);
	for_each_case(tc, only_its_input, PAIR, FORKS | IPC_CAP_STREAM);
	for_each_case(tc, a_command_that_is_no_longer_heard_ends, PAIR,
	    FORKS | IPC_CAP_STREAM);
	return suite_close();
}
