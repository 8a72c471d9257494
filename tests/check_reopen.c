/* SPDX-License-Identifier: ISC */
/*
 * An opened object whose sender or receiver is killed at a random instant,
 * during open, use or close, and is started again, for each mechanism that can
 * be opened: what was sent is there, whole, once and in order; nothing refuses
 * the next one; nobody hangs; and what is left goes with ipc_gc().
 *
 * A round is one killed and one undisturbed use.  10,000 of them for each line
 * are IPC_TEST_ROUNDS=10000; with IPC_TEST_TELL=1 each line tells where its
 * killed ones were.
 */
#include <fcntl.h>

#include "restart.h"

#define ROUNDS		rounds_up_to(60, 10000)
#define LINES		8	/* messages of one use */
#define LOOK		2	/* ms between looks at who may be dead */

static char name[8192], reader[8192];

static bool
keeps(void)
{
	return here.caps & IPC_CAP_PERSIST;
}

/*
 * The sender is killed
 */

static void
live_as_sender(void *arg)
{
	struct side *me = arg;
	struct ipc_channel *ch;

	reach(LISTENING);
	expect(0, ipc_open(&ch, name, IPC_SEND));
	reach(MET);
	for (int i = 0; i < LINES; i++)
		expect(0, say(ch, me, 0, false));
	reach(CLOSING);
	expect(0, ipc_close(ch));
}

/* Takes what comes until the sender is dead and all is received.  Returns the
 * end that was told, or 0. */
static int
hear_all(struct ipc_channel *ch, struct side *me, pid_t sender)
{
	double limit = now_ms() + 2 * SOON;
	struct line line;
	int end = 0, rc;
	bool dead;

	do {
		expect_true(now_ms() < limit);
		dead = is_dead(sender);
		rc = hear(ch, me, &line, dead ? 0 : LOOK);
		if (rc == -ECONNRESET || rc == -EPIPE) {
			expect(0, end);		/* once */
			end = rc;
		} else if (rc < 0 && rc != -EAGAIN)
			expect(-ETIMEDOUT, rc);
	} while (rc != -EAGAIN || !dead);
	return end;
}

static void
judge_end(int end)
{
	int stage = tale->stage;

	if (!(here.caps & IPC_CAP_END))
		expect(0, end);
	else if (stage == DONE)
		expect(-EPIPE, end);
	else if (stage == MET)
		expect(here.caps & IPC_CAP_DEATH ? -ECONNRESET : -EPIPE, end);
	else if (stage == CLOSING)
		expect_true(end != 0);
}

static void
sender_is_killed(struct ipc_channel *in, struct side *me, bool calm)
{
	struct side other = { .out = me->in, .tale = tale };
	pid_t pid = start_doomed(live_as_sender, &other, calm);
	unsigned before = me->in;
	int end = hear_all(in, me, pid);

	end_doomed(pid, calm);
	judge_end(end);
	if (here.caps & IPC_CAP_DELIVERS && me->in - before < tale->sent)
		fail_with("%s: it had sent %u, and %u came", where(),
		    tale->sent, me->in - before);
	if (me->in - before > tale->sent + 1)
		fail_with("%s: it had sent %u, but %u came", where(),
		    tale->sent, me->in - before);
}

static void
sender_restarts(void)
{
	struct side me = { 0 };
	struct ipc_channel *in;

	expect(0, ipc_open(&in, reader, IPC_RECV | IPC_CREATE));
	sender_is_killed(in, &me, false);
	sender_is_killed(in, &me, true);
	expect(0, ipc_close(in));
}

/*
 * The receiver is killed
 */

/* The next one, behind the ends of senders that have gone. */
static int
hear_on(struct ipc_channel *ch, struct line *line)
{
	int rc;

	do
		rc = hear_any(ch, line, SOON);
	while (rc == -EPIPE && here.caps & IPC_CAP_END);
	return rc;
}

/* Takes the messages up to `limit'.  The first is `next'; or the one behind it,
 * where unread messages outlive their reader and this one's predecessor was
 * killed before it could tell of the last that it got. */
static void
live_as_receiver(void *may_miss)
{
	struct ipc_channel *ch;
	struct line line;

	reach(LISTENING);
	expect(0, ipc_open(&ch, reader, IPC_RECV | IPC_CREATE));
	reach(MET);
	expect(0, hear_on(ch, &line));
	if (may_miss == NULL || line.number != tale->next + 1)
		expect(tale->next, line.number);
	for (;;) {
		tale->next = line.number + 1;
		if (tale->next == tale->limit)
			break;
		expect(0, hear_on(ch, &line));
		expect(tale->next, line.number);
	}
	reach(CLOSING);
	expect(0, ipc_close(ch));
}

/* Where nothing is kept there must be somebody who receives. */
static int
open_sender(struct ipc_channel **out, pid_t receiver)
{
	while (!keeps() && tale->stage < MET && !is_dead(receiver))
		sched_yield();
	return ipc_open(out, name, keeps() ? IPC_SEND | IPC_CREATE : IPC_SEND);
}

/* All of them, whether somebody is there or not, if they are kept. */
static void
say_all(struct side *me, pid_t receiver, bool calm)
{
	struct ipc_channel *out;
	int rc = open_sender(&out, receiver);
	bool may_fail = !keeps() && !calm;

	if (rc < 0 && may_fail && (tale->stage >= MET || is_dead(receiver)))
		return;
	expect(0, rc);
	for (int i = 0; i < LINES && rc == 0; i++)
		rc = say(out, me, 0, false);
	if (rc < 0 && !(may_fail && (rc == -EPIPE || rc == -ECONNRESET)))
		expect(0, rc);
	expect(0, ipc_close(out));
}

static void
receiver_is_killed(struct side *me, bool calm)
{
	void *may_miss = calm && keeps() ? me : NULL;
	pid_t pid;

	if (!keeps())
		tale->next = me->out;
	tale->limit = me->out + LINES;
	pid = start_doomed(live_as_receiver, may_miss, calm);
	say_all(me, pid, calm);
	end_doomed(pid, calm);
}

static void
receiver_restarts(void)
{
	struct side me = { 0 };

	tale->next = 0;
	receiver_is_killed(&me, false);
	receiver_is_killed(&me, true);
	expect(tale->limit, tale->next);
}

/*
 * Rounds
 */

/* A journal is read by one who goes on where the last one stopped. */
static void
begin_here(int i)
{
	begin(i);
	somebody_died();
	name_own(name, sizeof name);
	strlcpy(reader, name, sizeof reader);
	if (here.caps & IPC_CAP_SYNC && here.caps & IPC_CAP_MANY)
		strlcat(reader, "?follow=one", sizeof reader);
	tale_new();
}

static void
run_rounds(int i, void (*round)(void))
{
	char *base;
	int rc;

	begin_here(i);
	base = left_things();
	for (int n = 1; n <= ROUNDS; n++) {
		round();
		if (n % 16 != 0 && n != ROUNDS)
			continue;
		rc = ipc_unlink(name);
		if (rc != -ENOENT && rc != -EOPNOTSUPP)
			expect(0, rc);
		nothing_left(base);
	}
	free(base);
	tale_free();
}

/* As somebody does who is killed before they are a sender. */
static void
come_to_nothing(void)
{
	char path[sizeof name + 8];
	int fd;

	snprintf(path, sizeof path, "%s.ipcr", strchr(name, ':') + 1);
	expect_sys(fd = open(path, O_RDWR | O_CLOEXEC));
	close(fd);
}

static pid_t
some_come_to_nothing(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	for (int i = 0; pid == 0 && i < 3; i++) {
		pause_ms(10);
		come_to_nothing();
	}
	if (pid == 0)
		_exit(0);
	return pid;
}

START_TEST(no_end_of_one_that_never_was_a_sender)
{
	struct ipc_channel *in, *out;
	char buffer[8];
	pid_t pid;
	int fd;

	strlcpy(name, address_of("mmap", IPC_WAY_OPEN, ""), sizeof name);
	expect(0, ipc_open(&in, name, IPC_RECV | IPC_CREATE));
	expect_ok(fd = ipc_fd(in, IPC_RECV, NULL));
	for (int i = 0; i < 4; i++) {
		expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
		expect(0, ready(fd, POLLIN, 0));
		come_to_nothing();
		expect_true(ready(fd, POLLIN, SOON) != 0);
		pid = some_come_to_nothing();
		expect(-ETIMEDOUT, ipc_recv(in, buffer, sizeof buffer, 50));
		peer_done(pid);
		expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
		expect(0, ipc_open(&out, name, IPC_SEND));
		expect(0, ipc_send(out, "hello", 5, SOON));
		expect_true(ready(fd, POLLIN, SOON) != 0);
		expect(5, ipc_recv(in, buffer, sizeof buffer, 0));
		expect(0, ipc_close(out));
		expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer, SOON));
	}
	expect(0, ipc_close(in));
	expect(0, ipc_unlink(name));
}
END_TEST

START_TEST(a_sender_is_restarted)
{
	run_rounds(_i, sender_restarts);
}
END_TEST

START_TEST(a_receiver_is_restarted)
{
	run_rounds(_i, receiver_restarts);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("reopen");
	tc = tcase_open("reopen", 60 + ROUNDS / 10);
	tcase_add_test(tc, no_end_of_one_that_never_was_a_sender);
	for_each_case(tc, a_sender_is_restarted, OPEN, 0);
	for_each_case(tc, a_receiver_is_restarted, OPEN, 0);
	return suite_close();
}
