/* SPDX-License-Identifier: ISC */
/*
 * What a channel and a mechanism say of themselves is so; and the table says
 * no less than what is promised for every mechanism.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static char buffer[4 * KIB];

/* What pairs and sessions of all mechanisms promise, but for these. */
#define PROMISED							\
	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM |		\
	 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | IPC_CAP_DEATH |\
	 IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_FDS | IPC_CAP_PEER |	\
	 IPC_CAP_HALF)

static unsigned
promised(const char *scheme)
{
	static const struct {
		const char *scheme;
		unsigned lacks;
	} but[] = {
		{ "unixpacket", IPC_CAP_STREAM },
		{ "unixgram", IPC_CAP_STREAM },
		{ "tcp", IPC_CAP_DELIVERS | IPC_CAP_FDS | IPC_CAP_PEER },
		{ "udp", IPC_CAP_STREAM | IPC_CAP_LARGE | IPC_CAP_RELIABLE |
		    IPC_CAP_END | IPC_CAP_DEATH | IPC_CAP_DELIVERS |
		    IPC_CAP_FDS | IPC_CAP_PEER | IPC_CAP_HALF },
		{ "inproc", IPC_CAP_DEATH | IPC_CAP_STREAM | IPC_CAP_FDS |
		    IPC_CAP_PEER },
	};

	for (size_t i = 0; i < sizeof but / sizeof *but; i++)
		if (strcmp(but[i].scheme, scheme) == 0)
			return PROMISED & ~but[i].lacks;
	return PROMISED;
}

START_TEST(the_table_keeps_every_promise)
{
	unsigned missing;

	begin(_i);
	missing = promised(here.scheme) & ~here.caps;
	if (missing != 0)
		ck_abort_msg("%s: lacks %#x", where(), missing);
	if (strcmp(here.scheme, "udp") == 0)
		expect(0, here.caps & (IPC_CAP_RELIABLE | IPC_CAP_END |
		    IPC_CAP_DEATH));
	if (strcmp(here.scheme, "tcp") == 0)
		expect(0, here.caps & IPC_CAP_DELIVERS);
}
END_TEST

/* Section 3 of the design: which scheme has which way. */
START_TEST(every_scheme_has_its_ways)
{
	static const struct {
		const char *scheme;
		unsigned ways;
	} want[] = {
		{ "pipe", PAIR | SESSION | ADOPT },
		{ "fifo", PAIR | OPEN | SESSION | ADOPT },
		{ "unix", PAIR | SESSION | ADOPT },
		{ "unixpacket", PAIR | SESSION | ADOPT },
		{ "unixgram", PAIR | OPEN | SESSION | ADOPT },
		{ "tcp", PAIR | SESSION | ADOPT },
		{ "udp", PAIR | OPEN | SESSION | ADOPT },
		{ "inproc", PAIR | SESSION },
	};
	const struct ipc_mechanism *m;

	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		m = ipc_mechanism(want[i].scheme);
		if (m == NULL)
			ck_abort_msg("no %s", want[i].scheme);
		if (m->ways != want[i].ways)
			ck_abort_msg("%s: ways %#x, not %#x", m->scheme,
			    m->ways, want[i].ways);
	}
}
END_TEST

START_TEST(rows_are_whole)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row);

	expect_true(count >= 8);
	for (size_t i = 0; i < count; i++) {
		const struct ipc_mechanism *m = row[i];
		char with_colon[64];

		expect(sizeof *m, m->struct_size);
		expect_true(strlen(m->scheme) > 0 && strlen(m->title) > 0);
		expect_true(m->ways != 0 && m->ways < 1u << IPC_WAYS);
		for (int way = 0; way < IPC_WAYS; way++)
			expect(m->ways >> way & 1, m->caps[way] != 0);
		expect_true(ipc_mechanism(m->scheme) == m);
		snprintf(with_colon, sizeof with_colon, "%s:/x?y=z",
		    m->scheme);
		expect_true(ipc_mechanism(with_colon) == m);
		for (size_t k = 0; k < i; k++)
			expect_true(strcmp(row[k]->scheme, m->scheme) != 0);
	}
	expect_true(ipc_mechanism("nosuch") == NULL);
	expect_true(ipc_mechanism("pip") == NULL);
	expect_true(ipc_mechanism("pipes") == NULL);
	expect_true(ipc_mechanism("") == NULL);
	expect_true(ipc_mechanism(NULL) == NULL);
}
END_TEST

/* Whoever has not this way is told so. */
START_TEST(a_way_that_is_not_there_is_an_error)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row);
	struct ipc_channel *ch[2];
	struct ipc_listener *l;
	int fd[2];

	for (size_t i = 0; i < count; i++) {
		const char *s = row[i]->scheme;
		unsigned ways = row[i]->ways;

		if (!(ways & PAIR))
			expect_error(ipc_pair(ch, address_of(s, IPC_WAY_PAIR,
			    ""), 0));
		if (!(ways & SESSION))
			expect_error(ipc_listen(&l, address_of(s,
			    IPC_WAY_SESSION, ""), 0));
		if (ways & ADOPT)
			continue;
		expect_sys(pipe(fd));
		expect_error(ipc_adopt(ch, address_of(s, IPC_WAY_ADOPT, ""),
		    fd[0], -1, 0));
		close(fd[0]);
		close(fd[1]);
	}
}
END_TEST

START_TEST(a_channel_tells_what_it_is)
{
	struct ipc_channel *ch[2];
	struct ipc_info info;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 2; i++) {
		info = info_of(ch[i]);
		expect_true(ipc_mechanism(info.scheme) != NULL);
		expect(IPC_DUPLEX, info.direction);
		expect(IPC_MESSAGE, info.boundary);
		expect_true(info.record > 0);
		expect_true(info.record <= info.max_message);
		expect(0, info.pending);
		expect(here.caps & promised(here.scheme),
		    info.caps & promised(here.scheme));
		if (here.caps & IPC_CAP_LARGE)
			expect(16 * MIB, info.max_message);
	}
	close_ends(ch);
}
END_TEST

START_TEST(a_short_record_is_filled_as_far_as_it_goes)
{
	struct ipc_channel *ch[2];
	struct ipc_info info;
	struct ipc_peer peer = { .struct_size = 0 };

	ends_of(_i, ch, "", 0);
	memset(&info, 0x55, sizeof info);
	info.struct_size = offsetof(struct ipc_info, direction);
	expect(0, ipc_info(ch[0], &info));
	expect_true(info.scheme != NULL && info.direction == 0x55555555 &&
	    info.pending == (size_t)0x5555555555555555);
	info.struct_size = 0;
	expect(-EINVAL, ipc_info(ch[0], &info));
	if (here.caps & IPC_CAP_PEER)
		expect(-EINVAL, ipc_peer(ch[0], &peer));
	expect(-EINVAL, ipc_info(ch[0], NULL));
	close_ends(ch);
}
END_TEST

/* Room for what is larger is left alone behind what is known. */
START_TEST(a_longer_record_is_left_alone_behind)
{
	struct ipc_channel *ch[2];
	struct {
		struct ipc_stats stats;
		char more[16];
	} s;

	ends_of(_i, ch, "", 0);
	memset(&s, 0x55, sizeof s);
	s.stats.struct_size = sizeof s;
	expect(0, ipc_stats(ch[0], &s.stats));
	expect(0, s.stats.sent);
	for (size_t i = 0; i < sizeof s.more; i++)
		expect(0x55, s.more[i]);
	close_ends(ch);
}
END_TEST

START_TEST(statistics_count)
{
	struct ipc_channel *ch[2];
	struct ipc_stats a = { .struct_size = sizeof a }, b = a;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 10; i++) {
		expect(0, ipc_send(ch[0], buffer, 100, SOON));
		expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	}
	expect(-ETIMEDOUT, ipc_recv(ch[1], buffer, sizeof buffer, 20));
	expect(0, ipc_stats(ch[0], &a));
	expect(0, ipc_stats(ch[1], &b));
	expect_true(a.sent == 10 && a.sent_bytes == 1000);
	expect_true(a.received == 0 && a.received_bytes == 0);
	expect_true(b.received == 10 && b.received_bytes == 1000);
	expect_true(b.sent == 0 && b.sleeps >= 1);
	close_ends(ch);
}
END_TEST

START_TEST(bytes_read_ahead_are_pending)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 3; i++)
		expect(0, ipc_send(ch[0], buffer, 100, SOON));
	expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect_true(info_of(ch[1]).pending <= 300);
	expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(100, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect(0, info_of(ch[1]).pending);
	close_ends(ch);
}
END_TEST

START_TEST(the_capacity_is_a_ceiling)
{
	struct ipc_channel *ch[2];
	size_t capacity;
	int n;

	ends_of(_i, ch, "capacity=64K", 0);
	capacity = info_of(ch[0]).capacity;
	expect_true(capacity <= 64 * KIB);
	n = fill_up(ch[0], 1000);
	expect_true((size_t)n * 1000 <= 2 * 64 * KIB);
	expect_true(n >= 1);
	close_ends(ch);
}
END_TEST

/*
 * Who is there
 */

static void
waiting_peer(struct ipc_channel *ch, void *unused)
{
	char c;

	(void)unused;
	expect(0, ipc_send(ch, "x", 1, SOON));
	expect(-EPIPE, ipc_recv(ch, &c, 1, SOON));
	expect(0, ipc_close(ch));
}

/* In a session it is the process that connected or listened. */
START_TEST(the_kernel_says_who_is_there)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, "", 0, waiting_peer, NULL,
	    &pid);
	struct ipc_peer peer = { .struct_size = sizeof peer };

	expect(1, ipc_recv(ch, buffer, 1, SOON));
	expect(0, ipc_peer(ch, &peer));
	expect(getuid(), peer.uid);
	expect(getgid(), peer.gid);
	expect(getpid(), peer.pid);
	expect(0, ipc_close(ch));
	peer_done(pid);
}
END_TEST

static _Noreturn void
be_client(const char *text)
{
	struct ipc_channel *ch;

	expect(0, ipc_connect(&ch, text, 0, SOON));
	waiting_peer(ch, NULL);
	_exit(0);
}

START_TEST(a_server_knows_its_client)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	pid = fork();
	expect_sys(pid);
	if (pid == 0)
		be_client(text);
	expect(0, ipc_accept(&ch, l, SOON));
	expect(1, ipc_recv(ch, buffer, 1, SOON));
	expect(0, ipc_peer(ch, &peer));
	expect(pid, peer.pid);
	expect(getuid(), peer.uid);
	expect(0, ipc_close(ch));
	peer_done(pid);
	expect(0, ipc_listener_close(l));
}
END_TEST

START_TEST(where_nobody_knows_it_says_so)
{
	struct ipc_channel *ch[2];
	struct ipc_peer peer = { .struct_size = sizeof peer };

	ends_of(_i, ch, "", 0);
	expect(-EOPNOTSUPP, ipc_peer(ch[0], &peer));
	close_ends(ch);
}
END_TEST

/*
 * Texts
 */

START_TEST(errors_have_a_text)
{
	struct ipc_channel *ch;

	expect_true(strlen(ipc_strerror(-EMSGSIZE)) > 5);
	expect_true(strcmp(ipc_strerror(-EPIPE), ipc_strerror(EPIPE)) == 0);
	expect_true(strlen(ipc_strerror(0)) > 0);
	expect_true(strlen(ipc_strerror(-99999)) > 0);
	expect_true(strlen(ipc_errmsg()) > 0);
	expect_error(ipc_open(&ch, "fifo:/nonexistent/dir/x", IPC_RECV |
	    IPC_CREATE));
	expect_true(strstr(ipc_errmsg(), "/nonexistent/dir/x") != NULL);
}
END_TEST

START_TEST(errors_name_the_address)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "max-message=100", 0);
	expect(-EMSGSIZE, ipc_send(ch[0], buffer, 101, 0));
	expect_true(strstr(ipc_errmsg(), here.scheme) != NULL);
	expect_true(strstr(ipc_errmsg(), "101") != NULL);
	expect_true(strstr(ipc_errmsg(), "100") != NULL);
	close_ends(ch);
}
END_TEST

/* Only a ring has to wake its sleeper itself. */
START_TEST(a_ring_counts_the_sleepers_that_it_wakes)
{
	struct ipc_stats st = { .struct_size = sizeof st };
	struct ipc_channel *ch[2];
	char byte;
	pid_t pid;
	int i;

	expect(0, ipc_pair(ch, "memfd:", 0));
	expect_sys(pid = fork());
	if (pid == 0) {
		ipc_close(ch[0]);
		while (ipc_recv(ch[1], &byte, 1, -1) == 1)
			continue;
		_exit(0);
	}
	expect(0, ipc_close(ch[1]));
	for (i = 0; i < 100 && st.wakes == 0; i++) {
		pause_ms(20);
		expect(0, ipc_send(ch[0], "x", 1, SOON));
		expect(0, ipc_stats(ch[0], &st));
	}
	expect_true(st.wakes > 0 && st.wakes <= st.sent);
	expect(0, ipc_close(ch[0]));
	expect_sys(waitpid(pid, &i, 0));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("info");
	tc = tcase_open("table", 20);
	for_each_case(tc, the_table_keeps_every_promise, TALKS, 0);
	tcase_add_test(tc, every_scheme_has_its_ways);
	tcase_add_test(tc, rows_are_whole);
	tcase_add_test(tc, a_way_that_is_not_there_is_an_error);
	tc = tcase_open("channel", 20);
	for_each_case(tc, a_channel_tells_what_it_is, TALKS, 0);
	for_each_case(tc, a_short_record_is_filled_as_far_as_it_goes, TALKS,
	    0);
	for_each_case(tc, a_longer_record_is_left_alone_behind, TALKS, 0);
	for_each_case(tc, statistics_count, TALKS, IPC_CAP_RELIABLE);
	for_each_case(tc, bytes_read_ahead_are_pending, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, the_capacity_is_a_ceiling, TALKS, IPC_CAP_RELIABLE);
	tcase_add_test(tc, a_ring_counts_the_sleepers_that_it_wakes);
	tc = tcase_open("peer", 20);
	for_each_case(tc, the_kernel_says_who_is_there, TALKS,
	    IPC_CAP_PEER | FORKS);
	for_each_case(tc, a_server_knows_its_client, SESSION,
	    IPC_CAP_PEER | FORKS);
	for_each_case_but(tc, where_nobody_knows_it_says_so, TALKS, 0,
	    IPC_CAP_PEER);
	tc = tcase_open("texts", 20);
	tcase_add_test(tc, errors_have_a_text);
	for_each_case(tc, errors_name_the_address, TALKS, 0);
	return suite_close();
}
