/* SPDX-License-Identifier: ISC */
/*
 * Eight processes and one name: they listen at it and connect to it, or open it
 * in either direction, remove it and sweep, and are killed all the time.  One
 * at a time listens; whoever lives keeps what it holds; nothing that arrives is
 * torn; and in the end all of it can be removed.
 *
 * 10,000 turns of each of the eight are IPC_TEST_ROUNDS=10000; with
 * IPC_TEST_TELL=1 each line tells what happened.
 */
#include "race.h"

#define TURNS		rounds_up_to(20, 10000)	/* of each */
#define MESSAGES	4

static char name[8192];

static int
random_timeout(void)
{
	return (int)(random() % 3);
}

/*
 * Sessions
 */

/* Killed, or about to be: its files are closed before it can be seen that it is
 * dead. */
static bool
is_leaving(pid_t pid)
{
	double limit = now_ms() + SOON;
	char path[32], state = 'X';
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	do {
		if ((f = fopen(path, "re")) == NULL)
			return true;
		state = 'X';
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'X';
		fclose(f);
	} while (state != 'Z' && state != 'X' && now_ms() < limit);
	return state == 'Z' || state == 'X';
}

/* There is no other who lives and listens. */
static void
take_ownership(void)
{
	pid_t other = race->owner;

	if (other != 0 && !is_leaving(other))
		fail_with("%s: two listen at once", where());
	race->owner = getpid();
}

/* Connected to ourselves, through the name. */
static void
reach_ourselves(struct ipc_listener *l)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	struct ipc_channel *client, *ch;
	double limit = now_ms() + SOON;
	pid_t pid = 0;
	int rc;

	expect(0, ipc_connect(&client, name, IPC_ASYNC, 0));
	while (pid != getpid()) {
		expect_true(now_ms() < limit);
		rc = ipc_send(client, "x", 1, 0);
		if (rc != 0 && rc != -EAGAIN)
			expect(0, rc);
		rc = ipc_accept(&ch, l, 1);
		if (rc == -ETIMEDOUT)
			continue;
		expect(0, rc);
		expect(0, ipc_peer(ch, &peer));
		pid = peer.pid;
		expect(0, ipc_close(ch));
	}
	expect(0, ipc_close(client));
	race->kept++;
}

static void
serve(void)
{
	struct ipc_listener *l;
	int rc = ipc_listen(&l, name, 0);

	if (rc == -EADDRINUSE)
		return;
	expect(0, rc);
	take_ownership();
	race->held++;
	for (int n = (int)(random() % 4); n > 0; n--)
		reach_ourselves(l);
	race->owner = 0;
	expect(0, ipc_listener_close(l));
}

/* Whoever listens may end, be killed, or be late. */
static void
call(void)
{
	struct ipc_channel *ch;
	int rc = ipc_connect(&ch, name, 0, 1 + random_timeout());

	if (rc == 0)
		rc = ipc_close(ch);
	if (rc != -ENOENT && rc != -ECONNREFUSED && rc != -ECONNRESET &&
	    rc != -EPIPE && rc != -ETIMEDOUT)
		expect(0, rc);
}

static void
session_turn(void)
{
	switch (random() % 8) {
	case 0 ... 3:
		serve();
		break;
	case 4 ... 5:
		call();
		break;
	case 6:
		remove_name(ipc_unlink, name);
		break;
	default:
		expect_ok(ipc_gc(NULL, NULL));
	}
}

START_TEST(one_listens_and_keeps_its_name)
{
	struct ipc_listener *l;

	begin(_i);
	somebody_died();
	strlcpy(name, address(""), sizeof name);
	run_race(TURNS, session_turn);
	/* Of eight who were killed at any instant nothing stays. */
	expect_ok(ipc_gc(NULL, NULL));
	expect(-ENOENT, ipc_unlink(name));
	expect(0, ipc_listen(&l, name, 0));
	expect(0, ipc_listener_close(l));
}
END_TEST

/*
 * Opened objects
 */

static bool
is_unixgram(void)
{
	return strcmp(here.scheme, "unixgram") == 0;
}

/* Nobody there, or nobody any more; or the object was removed. */
static bool
is_usual(int rc)
{
	return rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EPIPE ||
	    rc == -ECONNRESET || rc == -EIDRM || rc == -ESTALE;
}

static void
use(struct ipc_channel *ch, int dir)
{
	struct side side = { .out = (unsigned)random() % 1000 };
	struct line line;
	int rc = 0;

	for (int n = 0; n < MESSAGES && rc == 0; n++) {
		if (dir == IPC_RECV)
			rc = hear_any(ch, &line, random_timeout());
		else
			rc = say_within(ch, &side, 0, false, random_timeout());
	}
	if (!is_usual(rc))
		expect(0, rc);
}

/* Somebody has the other end, which has the object. */
static void
make_anew(bool held, long before)
{
	struct ipc_channel *ch;
	int rc = ipc_open(&ch, name, IPC_RECV | IPC_CREATE | IPC_EXCLUSIVE);

	if (held && rc == 0 && before != -1 && removals() == before)
		fail_with("%s: what is held was gone", where());
	race->kept += held && before != -1 && is_taken(rc);
	if (rc == 0) {
		use(ch, IPC_RECV);
		removal_begins();
		expect(0, ipc_close(ch));
		removal_ends();
	} else if (!is_taken(rc))
		expect(0, rc);
}

/* Only a receiver holds the name of a socket. */
static void
hold(int dir, int flags)
{
	long before = removals();
	struct ipc_channel *ch;
	int rc = ipc_open(&ch, name, dir | flags);

	if (rc == 0) {
		race->held++;
		use(ch, dir);
		make_anew(dir == IPC_RECV || !is_unixgram(), before);
		if (is_unixgram() && dir == IPC_RECV)
			removal_begins();
		rc = ipc_close(ch);
		removal_ends();
	} else if (is_taken(rc) || (rc == -ENOENT && !(flags & IPC_CREATE)) ||
	    (dir == IPC_SEND && (rc == -ENXIO || rc == -ECONNREFUSED)))
		rc = 0;
	expect(0, rc);
}

static int
random_dir(void)
{
	return random() % 2 ? IPC_RECV : IPC_SEND;
}

static void
open_turn(void)
{
	switch (random() % 16) {
	case 0 ... 9:
		hold(random_dir(), is_unixgram() ? 0 : IPC_CREATE);
		break;
	case 10 ... 11:
		hold(random_dir(), 0);
		break;
	case 12:
		make_anew(false, -1);
		break;
	case 13 ... 14:
		expect_ok(ipc_gc(NULL, NULL));
		break;
	default:
		remove_name(ipc_unlink, name);
	}
}

START_TEST(whoever_opens_it_keeps_it)
{
	struct ipc_channel *in;
	int rc;

	begin(_i);
	somebody_died();
	strlcpy(name, address(""), sizeof name);
	run_race(TURNS, open_turn);
	expect_ok(ipc_gc(NULL, NULL));
	/* A socket that nobody has is a leftover, and no object. */
	if (is_unixgram())
		expect(-ENOENT, ipc_unlink(name));
	expect(0, ipc_open(&in, name, IPC_RECV | IPC_CREATE));
	expect(0, ipc_close(in));
	rc = ipc_unlink(name);
	if (rc != -ENOENT)
		expect(0, rc);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("names8");
	tc = tcase_open("names8", 60 + TURNS / 10);
	for_each_case(tc, one_listens_and_keeps_its_name, SESSION,
	    FORKS | IPC_CAP_PEER);
	for_each_case_but(tc, whoever_opens_it_keeps_it, OPEN, 0,
	    IPC_CAP_NETWORK);
	return suite_close();
}
