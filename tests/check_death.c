/* SPDX-License-Identifier: ISC */
/*
 * The other side is killed: whole messages first, then -ECONNRESET, within
 * 100 ms, for blocked calls and for ipc_fd; never half a message.
 */
#include <signal.h>

#include "support.h"

#define TRIES	30	/* on a busy machine most may be late */

static char buffer[MIB];

/*
 * Peers
 */

static void
idle_peer(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	expect(0, ipc_send(ch, "here", 4, SOON));
	for (;;)
		pause();
}

static void
sending_peer(struct ipc_channel *ch, void *unused)
{
	static uint32_t data[500];

	(void)unused;
	for (uint32_t i = 0;; i++) {
		pattern_fill(data, sizeof data, i);
		expect(0, ipc_send(ch, data, i * 37 % sizeof data, -1));
	}
}

static void
large_peer(struct ipc_channel *ch, void *unused)
{
	char *data = need(16 * MIB);

	(void)unused;
	memset(data, 1, 16 * MIB);
	expect(0, ipc_send(ch, "one", 3, -1));
	expect(0, ipc_send(ch, "two", 3, -1));
	for (;;)
		expect(0, ipc_send(ch, data, 16 * MIB, -1));
}

static void
reading_peer(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	expect(0, ipc_send(ch, "here", 4, SOON));
	for (;;)
		if (ipc_recv(ch, buffer, sizeof buffer, -1) < 0)
			pause();
}

static void
leaving_peer(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	expect(0, ipc_send(ch, "one", 3, SOON));
	expect(0, ipc_send(ch, "", 0, SOON));
	_exit(0);
}

static struct ipc_channel *
met(int i, peer_fn *peer, pid_t *pid)
{
	struct ipc_channel *ch = with_peer(i, "", 0, peer, NULL, pid);

	expect(4, ipc_recv(ch, buffer, sizeof buffer, SOON));
	return ch;
}

/*
 * Tests
 */

START_TEST(exit_without_close_is_dying)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, "", 0, leaving_peer, NULL,
	    &pid);

	expect(3, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_recv(ch, buffer, sizeof buffer, SOON));
	for (int i = 0; i < 3; i++)
		expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

struct killer {
	struct job	 job;
	pid_t		 pid;
	double		 at;
};

static long
job_kill(struct job *j)
{
	struct killer *k = (struct killer *)j;

	k->at = now_ms();
	return kill(k->pid, SIGKILL);
}

/* Kills the peer while fn(ch) waits; how late that was told. */
static double
told_of_death(int i, peer_fn *peer, void (*prepare)(struct ipc_channel *),
    void (*fn)(struct ipc_channel *))
{
	struct killer k = { .job = { .delay = 30 } };
	struct ipc_channel *ch = met(i, peer, &k.pid);
	double told;

	prepare(ch);
	job_start(&k.job, job_kill);
	fn(ch);
	told = now_ms();
	expect(0, job_end(&k.job));
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_kill(k.pid);
	return told - k.at;
}

static void
as_it_is(struct ipc_channel *ch)
{
	(void)ch;
}

static void
full(struct ipc_channel *ch)
{
	expect_ok(ipc_fd(ch, IPC_SEND, NULL));
	fill_up(ch, 4000);
}

static void
block_in_recv(struct ipc_channel *ch)
{
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
}

static void
block_in_send(struct ipc_channel *ch)
{
	int rc;

	while ((rc = ipc_send(ch, buffer, 4000, SOON)) == 0)
		continue;
	expect(-ECONNRESET, rc);
}

static void
block_in_poll(struct ipc_channel *ch)
{
	short events;
	int fd = ipc_fd(ch, IPC_RECV, &events);

	expect_ok(fd);
	for (int n = 0; n < 4; n++) {
		if (ipc_recv(ch, buffer, sizeof buffer, 0) != -EAGAIN)
			return;
		expect_true(ready(fd, events, SOON) != 0);
	}
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, 0));
}

static void
block_in_poll_to_send(struct ipc_channel *ch)
{
	short events;
	int fd = ipc_fd(ch, IPC_SEND, &events);

	expect_ok(fd);
	while (ipc_send(ch, buffer, 4000, 0) != -ECONNRESET)
		expect_true(ready(fd, events, SOON) != 0);
}

#define PROMPTLY(i, peer, prepare, fn) do {				\
	double took_ = PROMPT + 1;					\
	for (int n_ = 0; n_ < TRIES && took_ > PROMPT; n_++)		\
		took_ = told_of_death(i, peer, prepare, fn);		\
	expect_true(took_ <= PROMPT);					\
} while (0)

START_TEST(a_blocked_receive_is_told_of_death)
{
	PROMPTLY(_i, idle_peer, as_it_is, block_in_recv);
}
END_TEST

START_TEST(a_blocked_send_is_told_of_death)
{
	PROMPTLY(_i, idle_peer, as_it_is, block_in_send);
}
END_TEST

START_TEST(a_sender_to_a_reader_is_told_of_death)
{
	PROMPTLY(_i, reading_peer, as_it_is, block_in_send);
}
END_TEST

START_TEST(the_descriptor_for_receiving_shows_death)
{
	PROMPTLY(_i, idle_peer, as_it_is, block_in_poll);
}
END_TEST

START_TEST(the_descriptor_for_sending_shows_death)
{
	PROMPTLY(_i, idle_peer, full, block_in_poll_to_send);
}
END_TEST

/* Killed at a random instant while it sends: all that comes is whole and in
 * order, and what comes last is the end. */
static void
killed_while_sending(int i, int us)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(i, "", 0, sending_peer, NULL, &pid);
	ssize_t n;

	usleep((useconds_t)us);
	expect_sys(kill(pid, SIGKILL));
	for (uint32_t k = 0;
	    (n = ipc_recv(ch, buffer, sizeof buffer, SOON)) >= 0; k++)
		if ((size_t)n != k * 37 % 2000 ||
		    !pattern_is(buffer, (size_t)n, k))
			ck_abort_msg("%s: message %u is not", where(), k);
	expect(-ECONNRESET, n);
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, 0));
	expect(0, ipc_close(ch));
	peer_kill(pid);
}

START_TEST(killed_while_it_sends_whole_messages_come_first)
{
	for (int n = 0; n < rounds(20); n++)
		killed_while_sending(_i, n * 7919 % 5000);
}
END_TEST

/* Never half of it, read slowly, at once, or not at all before the kill. */
static void
killed_in_a_large_message(int i, int reads_before)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(i, "", 0, large_peer, NULL, &pid);
	char *data = need(16 * MIB);
	ssize_t n;

	expect(3, ipc_recv(ch, data, 16 * MIB, SOON));
	for (int k = 0; k < reads_before; k++)
		if ((n = ipc_recv(ch, data, 16 * MIB, 0)) < 0)
			expect(-EAGAIN, n);
	pause_ms(5);
	expect_sys(kill(pid, SIGKILL));
	while ((n = ipc_recv(ch, data, 16 * MIB, SOON)) == 16 * MIB || n == 3)
		continue;
	expect(-ECONNRESET, n);
	expect(0, ipc_close(ch));
	peer_kill(pid);
	free(data);
}

START_TEST(killed_in_a_large_message_no_half_is_seen)
{
	killed_in_a_large_message(_i, 0);
	killed_in_a_large_message(_i, 3);
	killed_in_a_large_message(_i, 20);
}
END_TEST

START_TEST(what_it_had_not_read_changes_nothing)
{
	pid_t pid;
	struct ipc_channel *ch = met(_i, idle_peer, &pid);

	for (int i = 0; i < 10; i++)
		expect(0, ipc_send(ch, "unread", 6, SOON));
	peer_kill(pid);
	expect(-ECONNRESET, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(-ECONNRESET, ipc_send(ch, "x", 1, SOON));
	expect(0, ipc_close(ch));
}
END_TEST

/*
 * During connect and accept
 */

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static _Noreturn void
connect_for_ever(const char *text)
{
	struct ipc_channel *ch;

	for (;;)
		if (ipc_connect(&ch, text, 0, SOON) == 0)
			ipc_close(ch);
}

/* Takes what comes until one has a message to give. */
static void
serve_until_good(struct ipc_listener *l)
{
	struct ipc_channel *ch;
	ssize_t n = -1;

	while (n != 4) {
		expect(0, ipc_accept(&ch, l, SOON));
		n = ipc_recv(ch, buffer, sizeof buffer, SOON);
		expect(0, ipc_close(ch));
	}
}

START_TEST(clients_killed_while_they_connect_harm_nobody)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	for (int n = 0; n < rounds(20); n++) {
		if ((pid = forked()) == 0)
			connect_for_ever(text);
		if (ipc_accept(&ch, l, 100) == 0)
			ipc_close(ch);
		usleep((useconds_t)(n * 7919 % 3000));
		peer_kill(pid);
	}
	if ((pid = forked()) == 0) {
		expect(0, ipc_connect(&ch, text, 0, SOON));
		expect(0, ipc_send(ch, "good", 4, SOON));
		expect(0, ipc_close(ch));
		_exit(0);
	}
	serve_until_good(l);
	peer_done(pid);
	expect(0, ipc_listener_close(l));
}
END_TEST

static _Noreturn void
accept_for_ever(const char *text, struct gate *g)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;

	expect(0, ipc_listen(&l, text, 0));
	gate_open(g);
	for (;;)
		if (ipc_accept(&ch, l, SOON) == 0)
			ipc_close(ch);
}

/* The next one that listens sweeps away what the killed ones left. */
static void
restart(const char *text)
{
	struct ipc_listener *l;
	struct ipc_channel *end[2];

	expect(0, ipc_listen(&l, text, 0));
	meet(end, l, 0);
	carry(end[0], end[1], 100);
	close_ends(end);
	expect(0, ipc_listener_close(l));
}

/* Connecting ends with an error or a channel that ends; the name is free. */
START_TEST(a_server_killed_while_it_accepts_is_told_of)
{
	char text[8192];
	struct ipc_listener *l;
	struct ipc_channel *ch;
	struct gate g;
	pid_t pid;
	int rc;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(0, ipc_listener_close(l));
	gate_make(&g);
	for (int n = 0; n < rounds(10); n++) {
		struct killer k = { .job = { .delay = n % 4 } };

		if ((pid = forked()) == 0)
			accept_for_ever(text, &g);
		gate_wait(&g);
		k.pid = pid;
		job_start(&k.job, job_kill);
		for (rc = 0; rc == 0;) {
			rc = ipc_connect(&ch, text, 0, SOON);
			if (rc < 0)
				break;
			expect_either(-EPIPE, -ECONNRESET,
			    ipc_recv(ch, buffer, sizeof buffer, SOON));
			ipc_close(ch);
		}
		expect_true(rc != -ETIMEDOUT);
		job_end(&k.job);
		peer_kill(pid);
	}
	gate_free(&g);
	restart(text);
}
END_TEST

int
main(void)
{
	const unsigned told = IPC_CAP_DEATH | FORKS;
	const unsigned all = told | IPC_CAP_DELIVERS;
	TCase *tc;

	suite_open("death");
	tc = tcase_open("told", 30);
	for_each_case(tc, exit_without_close_is_dying, TALKS, told);
	for_each_case(tc, a_blocked_receive_is_told_of_death, TALKS, told);
	for_each_case(tc, a_blocked_send_is_told_of_death, TALKS, told);
	for_each_case(tc, a_sender_to_a_reader_is_told_of_death, TALKS, told);
	for_each_case(tc, the_descriptor_for_receiving_shows_death, TALKS,
	    told | IPC_CAP_FD);
	for_each_case(tc, the_descriptor_for_sending_shows_death, TALKS,
	    told | IPC_CAP_FD);
	for_each_case(tc, what_it_had_not_read_changes_nothing, TALKS, told);
	tc = tcase_open("whole", 60);
	for_each_case(tc, killed_while_it_sends_whole_messages_come_first,
	    TALKS, told);
	for_each_case(tc, killed_in_a_large_message_no_half_is_seen, TALKS,
	    all | IPC_CAP_LARGE);
	tc = tcase_open("meeting", 60);
	for_each_case(tc, clients_killed_while_they_connect_harm_nobody,
	    SESSION, told);
	for_each_case(tc, a_server_killed_while_it_accepts_is_told_of,
	    SESSION, told);
	return suite_close();
}
