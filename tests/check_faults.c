/* SPDX-License-Identifier: ISC */
/* WRAP: malloc calloc realloc reallocarray strdup strndup free socket
 * socketpair pipe2 epoll_create1 epoll_ctl eventfd timerfd_create fcntl
 * accept4 bind listen connect open openat mkdir mkfifo linkat renameat fchmod
 * fchown memfd_create mmap fork dup dup2 sendmsg recvmsg send recv read write
 * readv writev pwritev2 preadv2 poll ppoll getsockopt setsockopt getsockname
 * getpeername */
/*
 * Every allocation and system call of the library that can fail, fails once:
 * the n-th one, for n = 1, 2, ... until there is no n-th.  Each time the
 * operation gives an error or succeeds, leaves nothing behind, and works when
 * it is done again.  Each n has a process of its own.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <ipc/names.h>

#include "faults.h"

#define FAULTS_MAX	600	/* calls of one operation that are looked at */

/* What the child found; shared with it. */
struct report {
	char	call[24];	/* that was made to fail */
	char	text[300];	/* what is wrong, or nothing */
	long	alive;		/* allocations, afterwards */
};

static struct report *report;
/*
 * Operations: 0, or the error that was met; nothing open afterwards
 */

typedef int operation(void);

static char out[200000], in[200000];

/* A message and back, in steps, so that nobody waits for ever. */
static int
speak(struct ipc_channel *a, struct ipc_channel *b, size_t size)
{
	int rc = -EAGAIN;
	ssize_t n = -EAGAIN;
	double limit = now_ms() + 500;

	while (n == -EAGAIN && now_ms() < limit) {
		if (rc == -EAGAIN)
			rc = ipc_send(a, out, size, 0);
		if (rc < 0 && rc != -EAGAIN)
			return rc;
		n = ipc_recv(b, in, sizeof in, 0);
	}
	return n < 0 ? (int)n : rc;
}

static int
both_ways(struct ipc_channel *ch[2], size_t size)
{
	int rc = speak(ch[0], ch[1], size);

	return rc < 0 ? rc : speak(ch[1], ch[0], size);
}

static int
finish(struct ipc_channel *ch[2], int rc)
{
	ipc_close(ch[0]);
	ipc_close(ch[1]);
	return rc;
}

static int
make_pair(void)
{
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address(""), 0);

	return rc < 0 ? rc : finish(ch, both_ways(ch, 100));
}

static int
send_large(void)
{
	/* TCP is in no hurry where its window is small */
	bool tcp = strcmp(here.scheme, "tcp") == 0;
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address(tcp ? "" : "capacity=64K"), 0);

	return rc < 0 ? rc : finish(ch, both_ways(ch, sizeof out));
}

static int
wait_on_descriptors(void)
{
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address(""), 0);
	struct ipc_pollitem item = { .fd = -1, .events = POLLIN };

	if (rc < 0)
		return rc;
	if ((rc = ipc_fd(ch[0], IPC_RECV, NULL)) >= 0 &&
	    (rc = ipc_fd(ch[0], IPC_SEND, NULL)) >= 0 &&
	    (rc = ipc_send(ch[1], out, 10, 100)) >= 0) {
		item.channel = ch[0];
		rc = ipc_poll(&item, 1, 100);
		rc = rc < 0 ? rc : (int)ipc_recv(ch[0], in, 10, 100);
	}
	return finish(ch, rc < 0 ? rc : 0);
}

static int
pass_descriptors(void)
{
	struct ipc_channel *ch[2];
	int fds[2] = { STDIN_FILENO, STDOUT_FILENO }, got[2] = { -1, -1 };
	struct iovec iov = { out, 10 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = 2 };
	int rc = ipc_pair(ch, address(""), 0);

	if (rc < 0)
		return rc;
	if ((rc = ipc_sendmsg(ch[0], &msg, 0, 100)) == 0) {
		iov.iov_base = in;
		msg.fds = got;
		rc = (int)ipc_recvmsg(ch[1], &msg, 0, 100);
		for (unsigned i = 0; rc >= 0 && i < msg.fd_count; i++)
			close(got[i]);
	}
	return finish(ch, rc < 0 ? rc : 0);
}

static int
show_and_reserve(void)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;
	int rc = ipc_pair(ch, address(""), 0);

	if (rc < 0)
		return rc;
	if ((rc = ipc_reserve(ch[0], &data, 1000, 100)) == 0 &&
	    (rc = ipc_commit(ch[0], 1000)) == 0 &&
	    (rc = (int)ipc_peek(ch[1], &shown, 100)) >= 0)
		rc = ipc_release(ch[1]);
	return finish(ch, rc);
}

static int
connect_and_accept(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	struct ipc_listener *l;
	char text[4096];
	int rc = ipc_listen(&l, address(""), 0), a = -EAGAIN;
	double limit = now_ms() + 1000;

	if (rc < 0)
		return rc;
	if ((rc = ipc_listener_address(l, text, sizeof text)) == 0)
		rc = ipc_connect(&ch[0], text, IPC_ASYNC, 500);
	if (rc < 0)
		ch[0] = NULL;
	while (rc == 0 && a < 0 && now_ms() < limit) {
		if ((a = ipc_accept(&ch[1], l, 5)) == 0)
			break;
		ch[1] = NULL;
		rc = (int)ipc_recv(ch[0], in, sizeof in, 0);
		rc = rc == -EAGAIN ? 0 : rc;
	}
	rc = rc < 0 ? rc : a < 0 ? a : both_ways(ch, 100);
	ipc_listener_close(l);
	return finish(ch, rc);
}

static int
open_object(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	char text[4096];
	int rc;

	strlcpy(text, address(""), sizeof text);
	rc = ipc_open(&ch[1], text, IPC_RECV | IPC_CREATE);
	if (rc < 0) {
		/* What was made and could not be opened is there. */
		(void)ipc_unlink(text);
		return rc;
	}
	if ((rc = ipc_open(&ch[0], text, IPC_SEND)) == 0)
		rc = speak(ch[0], ch[1], 100);
	else
		ch[0] = NULL;
	finish(ch, 0);
	/* The fault may have been met in the first, as -ENOENT for one. */
	for (int i = 0; i < 3; i++)
		(void)ipc_unlink(text);
	return rc;
}

static int
spawn_child(void)
{
	char *argv[] = { (char *)"true", NULL };
	struct ipc_channel *ch;
	pid_t pid;
	int rc = ipc_spawn(&ch, &pid, address(""), argv, 0), status;

	if (rc < 0)
		return rc;
	ipc_close(ch);
	waitpid(pid, &status, 0);
	/* A segment that the child has not taken is kept for it, whoever has
	 * closed; with the child gone it is swept.  The gc may fail as well. */
	while (ipc_gc(NULL, NULL) < 0)
		;
	return 0;
}

static int
adopt_pipe(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	int fd[2], rc;

	expect_sys(pipe(fd));
	if ((rc = ipc_adopt(&ch[1], "pipe:?boundary=message", fd[0], -1,
	    0)) < 0)
		close(fd[0]);
	if (rc < 0 || (rc = ipc_adopt(&ch[0], "pipe:?boundary=message", -1,
	    fd[1], 0)) < 0)
		close(fd[1]);
	return finish(ch, rc < 0 ? rc : speak(ch[0], ch[1], 100));
}

static int
join_two(void)
{
	struct ipc_channel *a[2], *b[2], *ch;
	int rc = ipc_pair(a, address(""), IPC_RECV);

	if (rc < 0)
		return rc;
	if ((rc = ipc_pair(b, address(""), IPC_RECV)) < 0)
		return finish(a, rc);
	if ((rc = ipc_join(&ch, a[0], b[1])) < 0) {
		finish(a, 0);
		return finish(b, rc);
	}
	rc = speak(a[1], ch, 100);
	rc = rc < 0 ? rc : speak(ch, b[0], 100);
	ipc_close(ch);
	return finish((struct ipc_channel *[]){ a[1], b[0] }, rc);
}

/*
 * Trying
 */

/* What is only to be swept may wait until it is: ipc_gc does it. */
/* Where the call that removes a note is the one that fails, the note of what is
 * gone waits for its maker's end.  Those lines are taken out, and no others;
 * the fixture sees them, when this process has ended. */
static char *
without_notes(char *list)
{
	char *from = list, *to = list, *end;
	size_t n;

	for (; *from != '\0'; from += n) {
		end = strchr(from, '\n');
		n = end != NULL ? (size_t)(end - from) + 1 : strlen(from);
		if (memmem(from, n, "/run/sysv-", 10) != NULL)
			continue;
		memmove(to, from, n);
		to += n;
	}
	*to = '\0';
	return list;
}

static void
note_left(const char *before, const char *when)
{
	char *after = NULL;
	const char *line;
	double limit = now_ms() + 1000;

	expect_ok(ipc_gc(NULL, NULL));
	do {
		__real_free(after);
		after = without_notes(left_list());
		line = left_difference(before, after);
	} while (line != NULL && now_ms() < limit && usleep(2000) == 0);
	if (line != NULL && report->text[0] == '\0')
		snprintf(report->text, sizeof report->text, "left %s: %s",
		    when, line);
}

/* The n-th call fails; afterwards all is well again. */
static _Noreturn void
try(operation *op, long n)
{
	char *before;
	int rc;

	expect_ok(ipc_gc(NULL, NULL));
	before = without_notes(left_list());
	failed = report->call;
	alarm(15);
	atomic_store(&alive, 0);
	atomic_store(&countdown, n);
	(void)op();
	atomic_store(&countdown, 0);
	report->alive = atomic_load(&alive);
	alarm(0);
	note_left(before, "behind");
	alarm(15);
	if ((rc = op()) != 0 && report->text[0] == '\0')
		snprintf(report->text, sizeof report->text,
		    "done again: %s: %s", ipc_strerror(rc), ipc_errmsg());
	alarm(0);
	note_left(before, "by doing it again");
	_exit(0);
}

static void
in_a_child(operation *op, long n)
{
	int status;
	pid_t pid;

	memset(report, 0, sizeof *report);
	pid = __real_fork();
	expect_sys(pid);
	if (pid == 0)
		try(op, n);
	expect_sys(waitpid(pid, &status, 0));
	expect_ok(ipc_gc(NULL, NULL));
	if (status != 0)
		snprintf(report->text, sizeof report->text,
		    "ended with status 0x%x", (unsigned)status);
	if (report->text[0] != '\0')
		ck_abort_msg("%s: with %s, call %ld, failing: %s", where(),
		    report->call, n, report->text);
}

/* What is allocated once and kept shows without a fault as well. */
static void
all_faults(int i, operation *op)
{
	long kept, n = 1;

	begin(i);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(report != MAP_FAILED);
	in_a_child(op, 0);
	kept = report->alive;
	do {
		in_a_child(op, n);
		if (report->alive > kept)
			ck_abort_msg("%s: with %s, call %ld, failing: %ld "
			    "allocations left", where(), report->call, n,
			    report->alive - kept);
	} while (report->call[0] != '\0' && n++ < FAULTS_MAX);
	expect_true(n > 1);
	munmap(report, sizeof *report);
}

#define FAULT_TEST(name, op)						\
	START_TEST(name)						\
	{								\
		all_faults(_i, op);					\
	}								\
	END_TEST

FAULT_TEST(a_pair_survives_each_fault, make_pair)
FAULT_TEST(a_large_message_survives_each_fault, send_large)
FAULT_TEST(waiting_survives_each_fault, wait_on_descriptors)
FAULT_TEST(passing_descriptors_survives_each_fault, pass_descriptors)
FAULT_TEST(working_in_place_survives_each_fault, show_and_reserve)
FAULT_TEST(a_session_survives_each_fault, connect_and_accept)
FAULT_TEST(an_opened_object_survives_each_fault, open_object)
FAULT_TEST(spawning_survives_each_fault, spawn_child)
FAULT_TEST(adopting_survives_each_fault, adopt_pipe)
FAULT_TEST(joining_survives_each_fault, join_two)

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("faults");
	tc = tcase_open("faults", 60);
	for_each_case(tc, a_pair_survives_each_fault, PAIR, sure);
	for_each_case(tc, a_large_message_survives_each_fault, PAIR,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, waiting_survives_each_fault, PAIR,
	    sure | IPC_CAP_FD);
	for_each_case(tc, passing_descriptors_survives_each_fault, PAIR,
	    sure | IPC_CAP_FDS);
	for_each_case(tc, working_in_place_survives_each_fault, PAIR, sure);
	for_each_case(tc, a_session_survives_each_fault, SESSION, sure);
	for_each_case(tc, an_opened_object_survives_each_fault, OPEN, sure);
	for_each_case(tc, spawning_survives_each_fault, PAIR, sure | FORKS);
	for_each_case(tc, adopting_survives_each_fault, ADOPT, sure);
	for_each_case(tc, joining_survives_each_fault, PAIR, sure);
	return suite_close();
}
