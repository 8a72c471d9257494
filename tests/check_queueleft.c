/* SPDX-License-Identifier: ISC */
/*
 * What killed processes leave of queues, and who cleans it up: each test ends
 * with a look whether anything lies about, in the kernel, in /dev/mqueue and in
 * the runtime directory.  And what a living process holds is never swept.
 */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>

#include "backend.h"
#include "msgqueue.h"
#include "queue.h"
#include "queues.h"
#include "sysname.h"

extern const struct ipc_backend ipc__backend_sysvmq;

#define HALF_MADE	"half-made"

static char buffer[64 * KIB];
static int swept;

static struct ipc__half *
half_of(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h = need(sizeof *h + be->size);

	memset(h, 0, sizeof *h + be->size);
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static void
half_free(struct ipc__half *h, bool clean)
{
	h->be->close(h, clean);
	free(h);
}

static bool
count(const char *path, void *user)
{
	(void)path;
	(void)user;
	swept++;
	return true;
}

static int
sweep(void)
{
	swept = 0;
	expect_ok(ipc__queue_sweep(count, NULL));
	return swept;
}

static int
queues_of_the_kernel(void)
{
	struct msqid_ds ds;
	int n = 0;

	for (int i = msgctl(0, MSG_INFO, &ds); i >= 0; i--)
		n += msgctl(i, MSG_STAT, &ds) != -1;
	return n;
}

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static void
make_and_drop_pairs(const char *address)
{
	struct ipc_channel *ch[2];

	for (;;) {
		if (ipc_pair(ch, address, 0) < 0)
			_exit(1);
		if (ipc_send(ch[0], "x", 1, 0) < 0)
			_exit(2);
		ipc_close(ch[0]);
		ipc_close(ch[1]);
	}
}

static void
make_and_unlink(const char *address)
{
	struct ipc_channel *ch;

	for (;;) {
		if (ipc_open(&ch, address, IPC_SEND | IPC_CREATE) < 0)
			_exit(1);
		ipc_close(ch);
		if (ipc_unlink(address) < 0)
			_exit(2);
	}
}

/* SIGKILL at a random instant of its first milliseconds. */
static void
kill_soon(void (*work)(const char *), const char *address)
{
	pid_t pid = forked();
	int status;

	if (pid == 0)
		work(address);
	usleep(arc4random_uniform(3000));
	expect_sys(kill(pid, SIGKILL));
	expect(pid, waitpid(pid, &status, 0));
	if (!WIFSIGNALED(status))
		ck_abort_msg("%s: the maker ended with 0x%x", where(),
		    (unsigned)status);
}

START_TEST(a_maker_killed_at_any_instant_leaves_what_a_sweep_removes)
{
	int n = 0;

	begin_with(schemes[_i], IPC_WAY_PAIR);
	snprintf(text, sizeof text, "%s:", schemes[_i]);
	for (int i = 0; i < rounds(200); i++) {
		kill_soon(make_and_drop_pairs, text);
		n += sweep();
		if (left_private() && _i == 1)
			expect(0, queues_of_the_kernel());
	}
	expect(0, sweep());
	if (_i == 1)
		expect_true(n > 0);
}
END_TEST

START_TEST(a_killed_namer_leaves_the_name_or_nothing)
{
	struct ipc_channel *ch;

	begin_with(schemes[_i], IPC_WAY_OPEN);
	for (int i = 0; i < rounds(200); i++) {
		kill_soon(make_and_unlink, name_of(schemes[_i], ""));
		sweep();
		expect(0, ipc_open(&ch, text, IPC_DUPLEX | IPC_CREATE));
		expect(0, ipc_send(ch, "x", 1, 0));
		expect(1, ipc_recv(ch, buffer, sizeof buffer, 0));
		expect(0, ipc_close(ch));
		expect(0, ipc_unlink(text));
		if (left_private() && _i == 1)
			expect(0, queues_of_the_kernel());
	}
}
END_TEST

/* What a maker leaves that is killed right after it has made its note. */
START_TEST(an_empty_note_goes_when_nobody_holds_it)
{
	char path[PATH_MAX];
	int dir, fd;

	begin_with("sysvmq", IPC_WAY_PAIR);
	dir = ipc__sysname_open(true, path, sizeof path);
	expect_ok(dir);
	fd = openat(dir, "queue-6b0f2a41", O_RDWR | O_CREAT | O_EXCL |
	    O_CLOEXEC, 0600);
	expect_sys(fd);
	expect_sys(flock(fd, LOCK_SH | LOCK_NB));
	expect(0, sweep());
	expect_sys(faccessat(dir, "queue-6b0f2a41", F_OK, 0));
	close(fd);
	expect(1, sweep());
	expect(-1, faccessat(dir, "queue-6b0f2a41", F_OK, 0));
	ipc__sysname_close(dir, path);
}
END_TEST

/* As a pair's maker who is killed before its queue has lost its name. */
static void
half_made(void)
{
	char name[IPC__TEMP_MAX + 2] = "/";
	pid_t pid = forked();
	int status;

	if (pid == 0) {
		ipc__temp_name(name + 1, sizeof name - 1, HALF_MADE);
		_exit(mq_open(name, O_RDONLY | O_CREAT | O_EXCL, 0600, NULL) ==
		    -1);
	}
	expect(pid, waitpid(pid, &status, 0));
	expect(0, status);
}

static bool
count_half_made(const char *path, void *user)
{
	*(int *)user += strstr(path, HALF_MADE) != NULL;
	return true;
}

static int
sweep_half_made(void)
{
	int n = 0;

	expect_ok(ipc__queue_sweep(count_half_made, &n));
	return n;
}

static void
leave_nothing_half_made(void)
{
	expect(1, sweep_half_made());
	expect(0, sweep_half_made());
}

START_TEST(what_another_user_left_is_not_swept_even_by_root)
{
	begin_with("posixmq", IPC_WAY_PAIR);
	if (geteuid() != 0 || access("/dev/mqueue", R_OK) == -1) {
		skip_loudly("wants to be root, and to see the queues");
		return;
	}
	as_stranger(half_made);
	expect(0, sweep_half_made());
	as_stranger(leave_nothing_half_made);
}
END_TEST

START_TEST(the_next_pair_sweeps)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	begin_with("sysvmq", IPC_WAY_PAIR);
	if (!left_private()) {
		skip_loudly("counting queues: wants an IPC namespace");
		return;
	}
	if ((pid = forked()) == 0) {
		expect(0, ipc_pair(ch, "sysvmq:", IPC_RECV));
		kill(getpid(), SIGKILL);
	}
	expect(pid, waitpid(pid, NULL, 0));
	expect(1, queues_of_the_kernel());
	expect(0, ipc_pair(ch, "sysvmq:", IPC_RECV));
	expect(1, queues_of_the_kernel());
	close_ends(ch);
	expect(0, queues_of_the_kernel());
}
END_TEST

/* A daemon is another process than the one that made its channels. */
START_TEST(what_a_forked_child_holds_is_not_swept)
{
	struct ipc_channel *ch[2];
	struct gate go, done;
	pid_t pid;

	begin_with("sysvmq", IPC_WAY_PAIR);
	gate_make(&go);
	gate_make(&done);
	if ((pid = forked()) == 0) {
		expect(0, ipc_pair(ch, "sysvmq:", 0));
		if (forked() != 0)
			_exit(0);
		gate_wait(&go);
		carry(ch[0], ch[1], 20000);
		close_ends(ch);
		gate_open(&done);
		_exit(0);
	}
	peer_done(pid);
	for (int i = 0; i < 3; i++)
		expect(0, sweep());
	gate_open(&go);
	gate_wait(&done);
	expect(0, sweep());
	gate_free(&go);
	gate_free(&done);
}
END_TEST

/* All was sent, and its sender is gone: it is delivered, sweep or not. */
START_TEST(a_dead_senders_messages_are_not_swept)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	begin_with("sysvmq", IPC_WAY_PAIR);
	expect(0, ipc_pair(ch, "sysvmq:", 0));
	if ((pid = forked()) == 0) {
		ipc_close(ch[0]);
		for (int i = 0; i < 10; i++)
			expect(0, ipc_send(ch[1], &i, sizeof i, SOON));
		kill(getpid(), SIGKILL);
	}
	expect(0, ipc_close(ch[1]));
	expect(pid, waitpid(pid, NULL, 0));
	expect(0, sweep());
	for (int i = 0, got; i < 10; i++) {
		expect(sizeof got, ipc_recv(ch[0], &got, sizeof got, SOON));
		expect(i, got);
	}
	expect(-ECONNRESET, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

/* The receiver was killed: the sender, the last one, takes it along. */
START_TEST(the_last_holder_removes_the_queue)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	begin_with("sysvmq", IPC_WAY_PAIR);
	expect(0, ipc_pair(ch, "sysvmq:", 0));
	if ((pid = forked()) == 0) {
		ipc_close(ch[0]);
		kill(getpid(), SIGKILL);
	}
	expect(0, ipc_close(ch[1]));
	expect(pid, waitpid(pid, NULL, 0));
	expect_either(-ECONNRESET, -EPIPE, ipc_recv(ch[0], buffer,
	    sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
	expect(0, sweep());
}
END_TEST

static void
serve_until_killed(const char *address)
{
	struct ipc_channel *ch[8] = { NULL };
	struct ipc_listener *l;
	unsigned n = 0;

	if (ipc_listen(&l, address, 0) < 0)
		_exit(1);
	/* A user has memory for few queues (RLIMIT_MSGQUEUE). */
	for (;; n = (n + 1) % 8) {
		ipc_close(ch[n]);
		ch[n] = NULL;
		if (ipc_accept(&ch[n], l, -1) < 0)
			_exit(2);
	}
}

static void
talk_to(const char *address)
{
	struct ipc_channel *ch;

	for (;;) {
		if (ipc_connect(&ch, address, 0, 1000) < 0)
			continue;
		for (int i = 0; i < 5; i++)
			ipc_send(ch, "x", 1, 0);
		ipc_close(ch);
	}
}

START_TEST(a_session_whose_ends_are_killed_is_swept)
{
	int status;
	pid_t pid;

	begin_with(schemes[_i], IPC_WAY_SESSION);
	name_of(schemes[_i], "");
	for (int i = 0; i < rounds(30); i++) {
		if ((pid = forked()) == 0)
			serve_until_killed(text);
		kill_soon(talk_to, text);
		usleep(arc4random_uniform(2000));
		expect_sys(kill(pid, SIGKILL));
		expect(pid, waitpid(pid, &status, 0));
		expect_true(WIFSIGNALED(status));
		sweep();
		if (left_private() && _i == 1)
			expect(0, queues_of_the_kernel());
	}
	expect_ok(ipc__runtime_sweep(NULL, NULL));
}
END_TEST

/*
 * Offers that lie
 */

static void
offer(struct ipc__half *rx, struct ipc__half *tx, struct ipc__ticket *t)
{
	struct ipc__address a;

	expect(0, ipc__address_parse(&a, "sysvmq:", IPC_WAY_PAIR));
	expect(0, ipc__backend_sysvmq.pair(rx, tx, &a));
	ipc__address_free(&a);
	memset(t, 0, sizeof *t);
	expect(0, ipc__backend_sysvmq.give(tx, t));
	for (unsigned i = 0; i < t->fd_count; i++)
		expect_sys(t->fds[i] = dup(t->fds[i]));
}

static void
drop_offer(struct ipc__ticket *t)
{
	for (unsigned i = 0; i < t->fd_count; i++)
		if (t->fds[i] != -1)
			close(t->fds[i]);
}

/* 0 is true, and each other one a lie about one thing. */
static int
lie(struct ipc__ticket *t, int which, int queue, int memory)
{
	switch (which) {
	case 1:			/* somebody else's queue */
		memcpy(t->bytes, &queue, sizeof queue);
		break;
	case 2: case 3: case 4:	/* key, creator, mode */
		t->bytes[4 * which - 4] ^= 1;
		break;
	case 5:			/* records of 16 MiB */
		t->bytes[19] = 1;
		break;
	case 6:			/* a part is missing */
		t->size--;
		break;
	case 7:			/* a descriptor is missing */
		close(t->fds[--t->fd_count]);
		break;
	case 8:			/* memory that can shrink */
		expect_sys(dup2(memory, t->fds[1]));
		break;
	case 9:			/* a queue that is not there */
		memset(t->bytes, 0x7f, 4);
		break;
	case 10:		/* in another namespace */
		t->bytes[20] ^= 1;
		return -EOPNOTSUPP;
	case 11:		/* behind another one that there is not */
		t->bytes[14] |= 1;
		break;
	case 12: case 13:	/* bells that are none */
		expect_sys(fcntl(memory, F_SETFL, O_NONBLOCK));
		expect_sys(dup2(memory, t->fds[which - 10]));
		break;
	case 14:		/* a bell that waits */
		expect_sys(fcntl(t->fds[2], F_SETFL, 0));
		break;
	}
	return which == 0 || which == 9 ? 0 : -EBADMSG;
}

START_TEST(an_offer_that_lies_is_refused)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	int queue, memory, rc;
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	expect_sys(queue = msgget(IPC_PRIVATE, 0600));
	expect_sys(memory = memfd_create("shrinks", MFD_ALLOW_SEALING));
	expect_sys(ftruncate(memory, 4096));
	offer(rx, tx, &t);
	rc = lie(&t, _i, queue, memory);
	expect(rc, ipc__backend_sysvmq.take(taken, &t));
	/* Its maker has closed it by now. */
	if (_i == 9)
		expect(-EPIPE, ipc__backend_sysvmq.send(taken, &iov, 1, NULL));
	/* What it did not take is still there. */
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
	close(memory);
	expect_sys(msgctl(queue, IPC_RMID, NULL));
}
END_TEST

/* The second one's bell lies beside that of the first, and only of a first. */
START_TEST(two_queues_are_taken_one_behind_the_other)
{
	const struct ipc_backend *be = &ipc__backend_sysvmq;
	struct ipc__half *h[4], *rx = half_of(be, IPC_RECV);
	struct ipc__half *tx = half_of(be, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	struct ipc__ticket first = { .size = 0 }, second = { .size = 0 };
	struct ipc__address a;
	unsigned i;

	begin_with("sysvmq", IPC_WAY_SESSION);
	for (i = 0; i < 4; i++)
		h[i] = half_of(be, i % 2 ? IPC_SEND : IPC_RECV);
	expect(0, ipc__address_parse(&a, "sysvmq:", IPC_WAY_PAIR));
	expect(0, be->pair_both(h, &a));
	ipc__address_free(&a);
	expect(0, be->give(h[0], &first));
	expect(0, be->give(h[3], &second));
	expect(3, (int)second.fd_count);
	for (i = 0; i < first.fd_count; i++)
		expect_sys(first.fds[i] = dup(first.fds[i]));
	for (i = 0; i < second.fd_count; i++)
		expect_sys(second.fds[i] = dup(second.fds[i]));
	expect(0, be->take(rx, &first));
	second.beside = tx;
	expect(-EBADMSG, be->take(tx, &second));
	second.beside = rx;
	expect(0, be->take(tx, &second));
	/* Which is armed at one side and rung by the other. */
	expect(0, be->arm(h[2], IPC_RECV));
	expect(10, be->send(tx, &iov, 1, NULL));
	expect(10, be->recv(h[2], &iov, 1, NULL));
	expect(10, be->send(h[1], &iov, 1, NULL));
	expect(10, be->recv(rx, &iov, 1, NULL));
	half_free(rx, true);
	half_free(tx, true);
	for (i = 0; i < 4; i++)
		half_free(h[i], true);
}
END_TEST

/* Closing removes the note, and never what somebody handed over for one. */
START_TEST(what_is_no_note_is_not_removed)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	const char *path = path_new();
	struct ipc__ticket t;
	char note[200];
	ssize_t n;
	int fd;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	expect_sys(fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600));
	if (_i == 1) {		/* it says what a note says */
		expect_sys(n = pread(t.fds[0], note, sizeof note, 0));
		expect(n, pwrite(fd, note, (size_t)n, 0));
	}
	expect_sys(dup2(fd, t.fds[0]));
	expect(_i ? 0 : -EBADMSG, ipc__backend_sysvmq.take(taken, &t));
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
	close(fd);
	expect_sys(unlink(path));
}
END_TEST

/* Whoever hands a queue over has made it, or is root. */
START_TEST(another_users_queue_is_nobodys_to_hand_over)
{
	const uid_t makers[] = { 0, 12345 };
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__ticket t;
	int control[2];

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	if (geteuid() == 0) {
		expect_sys(seteuid(makers[_i]));
		expect_sys(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control));
		expect_sys(seteuid(0));
		t.control = control[0];
		expect(_i ? -EBADMSG : 0,
		    ipc__backend_sysvmq.take(taken, &t));
		close(control[0]);
		close(control[1]);
	}
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* The other side has them too, and may clear O_NONBLOCK at any time. */
START_TEST(a_bell_is_put_out_without_waiting)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	for (unsigned i = 2; i < 4; i++)
		expect_sys(fcntl(t.fds[i], F_SETFL, 0));
	for (int i = 0; i < 2; i++)
		expect(0, ipc__backend_sysvmq.arm(rx, IPC_RECV));
	drop_offer(&t);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* Its receiver has used it already. */
START_TEST(a_queue_that_was_used_is_no_new_one)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	expect(10, ipc__backend_sysvmq.send(tx, &iov, 1, NULL));
	expect(-EBADMSG, ipc__backend_sysvmq.take(taken, &t));
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* A hostile sender: types that are none, records that are too long. */
START_TEST(records_that_break_the_protocol_end_the_channel)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct { long type; char text[8000]; } m = { 77, "" };
	struct iovec iov = { buffer, sizeof buffer };
	struct ipc__ticket t;
	int32_t id;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	drop_offer(&t);
	memcpy(&id, t.bytes, sizeof id);
	expect(0, msgsnd(id, &m, 10, 0));
	expect(-EBADMSG, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	m.type = 1;
	expect(0, msgsnd(id, &m, sizeof m.text, 0));
	expect(-EBADMSG, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	expect(0, msgctl(id, IPC_RMID, NULL));
	expect(-EPIPE, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	iov.iov_len = 10;
	expect(-EPIPE, ipc__backend_sysvmq.send(tx, &iov, 1, NULL));
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("queueleft");
	tc = tcase_open("leftovers", 120);
	tcase_add_loop_test(tc,
	    a_maker_killed_at_any_instant_leaves_what_a_sweep_removes, 0, 2);
	tcase_add_loop_test(tc, a_killed_namer_leaves_the_name_or_nothing, 0,
	    2);
	tcase_add_test(tc, an_empty_note_goes_when_nobody_holds_it);
	tcase_add_test(tc, what_another_user_left_is_not_swept_even_by_root);
	tcase_add_test(tc, the_next_pair_sweeps);
	tcase_add_test(tc, what_a_forked_child_holds_is_not_swept);
	tcase_add_test(tc, a_dead_senders_messages_are_not_swept);
	tcase_add_test(tc, the_last_holder_removes_the_queue);
	tcase_add_loop_test(tc, a_session_whose_ends_are_killed_is_swept, 0,
	    2);

	tc = tcase_open("offers", 20);
	tcase_add_loop_test(tc, an_offer_that_lies_is_refused, 0, 15);
	tcase_add_test(tc, two_queues_are_taken_one_behind_the_other);
	tcase_add_loop_test(tc, what_is_no_note_is_not_removed, 0, 2);
	tcase_add_loop_test(tc, another_users_queue_is_nobodys_to_hand_over,
	    0, 2);
	tcase_add_test(tc, a_bell_is_put_out_without_waiting);
	tcase_add_test(tc, a_queue_that_was_used_is_no_new_one);
	tcase_add_test(tc, records_that_break_the_protocol_end_the_channel);
	return suite_close();
}
