/* SPDX-License-Identifier: ISC */
/*
 * Start, talk, SIGKILL one side at a random instant, restart, talk: for each
 * mechanism, as a session at one name and as a pair.  Nobody hangs; what was
 * sent is there, whole, once and in order, and then the end; nothing refuses
 * the restart; and what is left goes with ipc_gc().
 *
 * A round is one killed and one undisturbed conversation.  10,000 of them for
 * each line are IPC_TEST_ROUNDS=10000; with IPC_TEST_TELL=1 each line tells
 * where its killed ones were.
 */
#include <sys/prctl.h>

#include "restart.h"

#define ROUNDS		rounds_up_to(40, 10000)
#define BURSTS		4	/* of up to 3 messages in a conversation */
#define LOOK		2	/* ms between looks at who may be dead */

static char name[8192];
static char *base;

/*
 * Talking: one side asks, the other one answers.
 */

/* An end as it may come when the other side is killed. */
static bool
is_end(int rc)
{
	return rc == -ECONNRESET || rc == -EPIPE;
}

/* Is this child, or, below 0, this parent, gone? */
static bool
is_gone(pid_t pid)
{
	return pid < 0 ? getppid() != -pid : is_dead(pid);
}

/* Where no end is told it is known from the kernel that nobody comes. */
static int
hear_soon(struct ipc_channel *ch, struct side *me, struct line *line,
    pid_t other)
{
	double limit = now_ms() + SOON;
	bool dead;
	int rc;

	if (here.caps & IPC_CAP_END || other == 0)
		return hear(ch, me, line, SOON);
	do {
		dead = is_gone(other);
		rc = hear(ch, me, line, dead ? 0 : LOOK);
		if ((rc == -EAGAIN || rc == -ETIMEDOUT) && dead)
			return -ECONNRESET;
	} while (rc == -ETIMEDOUT && now_ms() < limit);
	return rc;
}

static int
say_some(struct ipc_channel *ch, struct side *me, unsigned count, bool last)
{
	int rc = 0;

	while (count-- > 0 && (rc = say(ch, me, count, last)) == 0)
		continue;
	return rc;
}

/* What comes up to the end of a burst, and after a send that failed. */
static int
hear_some(struct ipc_channel *ch, struct side *me, struct line *line,
    pid_t other)
{
	int rc;

	do
		rc = hear_soon(ch, me, line, other);
	while (rc == 0 && line->more > 0);
	return rc;
}

/* Returns how it ended: 0, or the error. */
static int
ask(struct ipc_channel *ch, struct side *me, pid_t other)
{
	struct line line;
	int sent, rc = 0;

	for (int i = 1; i <= BURSTS && rc == 0; i++) {
		sent = say_some(ch, me, 1 + (unsigned)random() % 3,
		    i == BURSTS);
		do
			rc = hear_some(ch, me, &line, other);
		while (sent < 0 && rc == 0);
		if (sent < 0)
			expect_true(is_end(sent));
	}
	return rc;
}

static int
answer(struct ipc_channel *ch, struct side *me, pid_t other)
{
	struct line line;
	unsigned first;
	int rc, sent;

	for (;;) {
		first = me->in;
		if ((rc = hear_some(ch, me, &line, other)) < 0)
			return rc;
		sent = say_some(ch, me, me->in - first, line.last);
		while (sent < 0 && rc == 0)
			rc = hear_some(ch, me, &line, other);
		if (sent < 0)
			expect_true(is_end(sent));
		if (rc < 0)
			return rc;
		if (line.last && !(here.caps & IPC_CAP_END))
			return -EPIPE;
	}
}

/*
 * What the one that lives has seen of the one that died
 */

static void
judge_end(int end)
{
	if (!is_end(end))
		fail_with("%s: the killed one's end is %d (%s): %s", where(),
		    end, ipc_strerror(end), ipc_errmsg());
	if (!(here.caps & IPC_CAP_DEATH))
		return;
	if (tale->stage < CLOSING)
		expect(-ECONNRESET, end);
	if (tale->stage == DONE)
		expect(-EPIPE, end);
}

/* All that it sent has come, and perhaps the one whose send was under way. */
static void
judge(const struct side *me, int end)
{
	if (end != 0)
		judge_end(end);
	if (here.caps & IPC_CAP_DELIVERS && me->in < tale->sent)
		fail_with("%s: it had sent %u, and %u came", where(),
		    tale->sent, me->in);
	if (me->in > tale->sent + 1)
		fail_with("%s: it had sent %u, but %u came", where(),
		    tale->sent, me->in);
}

/* Undisturbed: the one who asks sees no end, the one who answers a close. */
static void
judge_calm(const struct side *me, int end, bool asks)
{
	expect(asks ? 0 : -EPIPE, end);
	expect(tale->sent, me->in);
	expect(tale->got, me->out);
}

/*
 * Sessions
 */

static void
live_as_server(void *unused)
{
	struct side me = { .tale = tale };
	struct ipc_listener *l;
	struct ipc_channel *ch;

	(void)unused;
	expect(0, ipc_listen(&l, name, 0));
	reach(LISTENING);
	expect(0, ipc_accept(&ch, l, 2 * SOON));
	reach(MET);
	expect(-EPIPE, answer(ch, &me, 0));
	reach(CLOSING);
	expect(0, ipc_close(ch));
	expect(0, ipc_listener_close(l));
}

static void
live_as_client(void *unused)
{
	struct side me = { .tale = tale };
	struct ipc_channel *ch;

	(void)unused;
	reach(LISTENING);
	expect(0, ipc_connect(&ch, name, 0, SOON));
	reach(MET);
	expect(0, ask(ch, &me, 0));
	reach(CLOSING);
	expect(0, ipc_close(ch));
}

static bool
nobody_there(int rc)
{
	return rc == -ECONNREFUSED || rc == -ENOENT;
}

/* Sometimes before it listens.  0, or why there is nobody.  A listener that
 * nothing tells of (UDP) is not waited for when it may be dead. */
static int
connect_to(struct ipc_channel **ch, pid_t server, bool calm)
{
	double limit = now_ms() + SOON;
	bool tells = here.caps & IPC_CAP_END, dead;
	bool waits = !tells || random() % 4 != 0;
	int timeout = calm || tells ? SOON : 20 * LOOK;
	int rc;

	while (waits && tale->stage == BEGUN && !is_dead(server))
		sched_yield();
	do {
		dead = is_dead(server);
		rc = ipc_connect(ch, name, 0, timeout);
	} while (nobody_there(rc) && !dead && now_ms() < limit);
	return rc == -ETIMEDOUT && timeout < SOON ? -ECONNREFUSED : rc;
}

/* The server is killed; the client lives, and may hold what is dead for a
 * while. */
static void
server_is_killed(bool calm, struct ipc_channel **dead)
{
	pid_t pid = start_doomed(live_as_server, NULL, calm);
	struct side me = { 0 };
	struct ipc_channel *ch;
	int end = 0, rc;

	rc = connect_to(&ch, pid, calm);
	if (*dead != NULL)
		expect(0, ipc_close(*dead));
	*dead = NULL;
	if (rc == 0)
		end = ask(ch, &me, pid);
	else if (calm || !(nobody_there(rc) || is_end(rc)))
		fail_with("%s: connecting gives %d: %s", where(), rc,
		    ipc_errmsg());
	if (rc == 0 && end != 0 && random() % 2)
		*dead = ch;
	else if (rc == 0)
		expect(0, ipc_close(ch));
	end_doomed(pid, calm);
	if (rc == 0 && calm)
		judge_calm(&me, end, true);
	else if (rc == 0)
		judge(&me, end);
}

static void
server_restarts(void)
{
	struct ipc_channel *dead = NULL;

	server_is_killed(false, &dead);
	server_is_killed(true, &dead);
}

/* Takes in the one client, or finds that it is dead. */
static int
accept_from(struct ipc_channel **ch, struct ipc_listener *l, pid_t client)
{
	double limit = now_ms() + SOON;
	bool dead;
	int rc;

	do {
		dead = is_dead(client);
		rc = ipc_accept(ch, l, dead ? 0 : LOOK);
	} while (rc == -ETIMEDOUT && now_ms() < limit);
	if (rc < 0)
		expect(-EAGAIN, rc);
	return rc;
}

static void
client_is_killed(struct ipc_listener *l, bool calm)
{
	pid_t pid = start_doomed(live_as_client, NULL, calm);
	struct ipc_channel *ch;
	struct side me = { 0 };
	int end = 0, met;

	met = accept_from(&ch, l, pid);
	if (met == 0) {
		end = answer(ch, &me, pid);
		expect(0, ipc_close(ch));
	}
	end_doomed(pid, calm);
	if (calm)
		judge_calm(&me, end, false);
	else if (met == 0)
		judge(&me, end);
}

static void
client_restarts(void)
{
	struct ipc_listener *l;

	expect(0, ipc_listen(&l, name, 0));
	client_is_killed(l, false);
	client_is_killed(l, true);
	expect(0, ipc_listener_close(l));
}

/*
 * Pairs
 */

/* Which end it has, and whether it begins, is left to chance. */
struct half {
	struct ipc_channel *ch[2];
	bool		 asks;
};

static void
talk_and_close(struct ipc_channel *ch, bool asks)
{
	struct side me = { .tale = tale };

	reach(MET);
	expect(asks ? 0 : -EPIPE, asks ? ask(ch, &me, 0) :
	    answer(ch, &me, 0));
	reach(CLOSING);
	expect(0, ipc_close(ch));
}

static void
live_as_child(void *arg)
{
	struct half *h = arg;

	expect(0, ipc_close(h->ch[0]));
	talk_and_close(h->ch[1], h->asks);
}

static void
child_is_killed(bool calm)
{
	struct half h = { .asks = random() % 2 };
	struct side me = { 0 };
	pid_t pid;
	int end;

	pair_of(h.ch, "", 0);
	pid = start_doomed(live_as_child, &h, calm);
	expect(0, ipc_close(h.ch[1]));
	end = h.asks ? answer(h.ch[0], &me, pid) : ask(h.ch[0], &me, pid);
	expect(0, ipc_close(h.ch[0]));
	end_doomed(pid, calm);
	if (calm)
		judge_calm(&me, end, !h.asks);
	else
		judge(&me, end);
}

/* The child of one that makes a pair and is killed.  Its own stops when the
 * conversation does; it judges what it can. */
static _Noreturn void
outlive(struct half *h, pid_t parent)
{
	struct side me = { 0 };
	double limit = now_ms() + SOON;
	int end;

	expect(0, ipc_close(h->ch[0]));
	end = h->asks ? answer(h->ch[1], &me, -parent) :
	    ask(h->ch[1], &me, -parent);
	expect(0, ipc_close(h->ch[1]));
	if (end == 0 || end == -EPIPE)
		_exit(0);
	expect(-ECONNRESET, end);
	while (!is_gone(-parent) && now_ms() < limit)
		sched_yield();
	judge(&me, end);
	_exit(0);
}

static void
live_as_mother(void *unused)
{
	struct half h = { .asks = random() % 2 };
	pid_t self = getpid(), pid;
	int status;

	(void)unused;
	reach(LISTENING);
	expect(0, ipc_pair(h.ch, name, 0));
	pid = fork();
	expect_sys(pid);
	if (pid == 0)
		outlive(&h, self);
	expect(0, ipc_close(h.ch[1]));
	talk_and_close(h.ch[0], h.asks);
	expect(pid, waitpid(pid, &status, 0));
	expect(0, status);
}

static void
mother_is_killed(bool calm)
{
	int status;

	end_doomed(start_doomed(live_as_mother, NULL, calm), calm);
	while (wait(&status) != -1)
		expect(0, status);
	expect_true(errno == ECHILD);
}

/*
 * Rounds
 */

static void
run_rounds(int i, void (*even)(void), void (*odd)(void))
{
	begin(i);
	name_own(name, sizeof name);
	somebody_died();
	tale_new();
	base = left_things();
	for (int n = 0; n < ROUNDS; n++) {
		(n % 2 ? odd : even)();
		if (n % 16 == 15)
			nothing_left(base);
	}
	nothing_left(base);
	free(base);
	tale_free();
}

START_TEST(a_session_is_restarted)
{
	run_rounds(_i, server_restarts, client_restarts);
}
END_TEST

static void
child_restarts(void)
{
	child_is_killed(false);
	child_is_killed(true);
}

static void
mother_restarts(void)
{
	mother_is_killed(false);
	mother_is_killed(true);
}

START_TEST(a_pair_is_restarted)
{
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 1));
	run_rounds(_i, child_restarts, mother_restarts);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("restart");
	tc = tcase_open("restart", 60 + ROUNDS / 10);
	/* All but what is within one process. */
	for_each_case(tc, a_session_is_restarted, SESSION, FORKS);
	for_each_case_but(tc, a_session_is_restarted, SESSION, 0, IPC_CAP_END);
	for_each_case(tc, a_pair_is_restarted, PAIR, FORKS);
	for_each_case_but(tc, a_pair_is_restarted, PAIR, 0, IPC_CAP_END);
	return suite_close();
}
