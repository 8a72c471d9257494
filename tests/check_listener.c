/* SPDX-License-Identifier: ISC */
/*
 * Listeners: many clients, silent and rude ones, agreement on what is
 * connected, and descriptors running out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "support.h"

#define CLIENTS		500
#define CHILDREN	4
#define RUDE		4

static char buffer[64 * KIB];

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static void
raise_descriptors(struct rlimit *old)
{
	struct rlimit r;

	expect_sys(getrlimit(RLIMIT_NOFILE, old));
	r = *old;
	if (r.rlim_max > 16384)
		r.rlim_max = 16384;
	r.rlim_cur = r.rlim_max;
	if (old->rlim_cur < r.rlim_cur)
		expect_sys(setrlimit(RLIMIT_NOFILE, &(struct rlimit){
		    r.rlim_cur, old->rlim_max }));
}

/*
 * Many clients
 */

/* Connects a share of the clients, then talks over each of them, so that all
 * are connected at the same time. */
static _Noreturn void
clients(const char *text, int count, struct gate *g)
{
	struct ipc_channel **ch = need((size_t)count * sizeof *ch);

	for (int i = 0; i < count; i++)
		expect(0, ipc_connect(&ch[i], text, 0, 4 * SOON));
	gate_wait(g);
	for (int i = 0; i < count; i++)
		expect(0, ipc_send(ch[i], &i, sizeof i, SOON));
	for (int i = 0, got; i < count; i++) {
		expect(sizeof got, ipc_recv(ch[i], &got, sizeof got,
		    4 * SOON));
		expect(i, got);
		expect(0, ipc_close(ch[i]));
	}
	_exit(0);
}

/* Answers each once. */
static void
answer(struct ipc_channel **ch, int count)
{
	int n;

	for (int i = 0; i < count; i++) {
		expect(sizeof n, ipc_recv(ch[i], &n, sizeof n, 4 * SOON));
		expect(0, ipc_send(ch[i], &n, sizeof n, SOON));
	}
	for (int i = 0; i < count; i++) {
		expect(-EPIPE, ipc_recv(ch[i], buffer, 1, 4 * SOON));
		expect(0, ipc_close(ch[i]));
	}
}

/* How many of them this machine's limits allow: queues are few. */
static int
clients_allowed(void)
{
	static struct ipc_channel *ch[CLIENTS][2];
	int n = 0;

	while (n < CLIENTS && ipc_pair(ch[n], address_of(here.scheme,
	    IPC_WAY_PAIR, ""), 0) == 0)
		n++;
	for (int i = 0; i < n; i++)
		close_ends(ch[i]);
	expect_true(n >= CHILDREN);
	return n;
}

START_TEST(hundreds_of_clients_at_once)
{
	struct ipc_channel **ch = need(CLIENTS * sizeof *ch);
	struct ipc_listener *l;
	char text[8192];
	struct rlimit old;
	struct gate g;
	pid_t pid[CHILDREN];
	int count;

	begin(_i);
	raise_descriptors(&old);
	count = clients_allowed() / CHILDREN;
	gate_make(&g);
	listen_here(&l, text, sizeof text, "", 0);
	for (int i = 0; i < CHILDREN; i++)
		if ((pid[i] = forked()) == 0)
			clients(text, count, &g);
	for (int i = 0; i < count * CHILDREN; i++)
		expect(0, ipc_accept(&ch[i], l, 4 * SOON));
	for (int i = 0; i < CHILDREN; i++)
		gate_open(&g);
	answer(ch, count * CHILDREN);
	for (int i = 0; i < CHILDREN; i++)
		peer_done(pid[i]);
	expect(0, ipc_listener_close(l));
	expect_sys(setrlimit(RLIMIT_NOFILE, &old));
	gate_free(&g);
	free(ch);
}
END_TEST

/* One thread is both sides: each call moves its own side on. */
START_TEST(a_client_that_waits_in_line_is_served)
{
	struct ipc_listener *l;
	struct ipc_channel *a, *b;
	char text[8192];
	double limit = now_ms() + SOON;
	int rc, sent = -EAGAIN;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(0, ipc_connect(&a, text, IPC_ASYNC, SOON));
	do {
		if (sent == -EAGAIN)
			sent = ipc_send(a, "early", 5, 0);
		rc = ipc_accept(&b, l, 5);
	} while (rc == -ETIMEDOUT && now_ms() < limit);
	expect(0, rc);
	if (sent == -EAGAIN)
		expect(0, ipc_send(a, "early", 5, SOON));
	expect(5, ipc_recv(b, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(a));
	expect(0, ipc_close(b));
	expect(0, ipc_listener_close(l));
}
END_TEST

/* The server closes at once what it accepts, and the listener itself. */
START_TEST(channels_outlive_their_listener)
{
	struct ipc_channel *ch[2];

	begin(_i);
	session_of(ch, "", 0);
	carry(ch[0], ch[1], 100);
	carry(ch[1], ch[0], 100);
	close_ends(ch);
}
END_TEST

START_TEST(nobody_listens)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(0, ipc_listener_close(l));
	expect_either(-ECONNREFUSED, -ENOENT,
	    ipc_connect(&ch, text, 0, SOON));
	expect_true(strstr(ipc_errmsg(), here.scheme) != NULL);
}
END_TEST

/* As every mechanism has it; UDP, where nothing is connected, by ICMP. */
START_TEST(who_waits_for_nobody_is_told_at_once)
{
	double before = now_ms();
	struct ipc_pollitem item = { .events = POLLIN };
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192], byte;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(0, ipc_listener_close(l));
	expect_either(-ECONNREFUSED, -ENOENT, ipc_connect(&ch, text, 0, -1));
	if (ipc_connect(&ch, text, IPC_ASYNC, 0) == 0) {
		item.channel = ch;
		expect(1, ipc_poll(&item, 1, SOON));
		expect(-ECONNREFUSED, ipc_recv(ch, &byte, 1, SOON));
		expect(-ECONNREFUSED, ipc_send(ch, "x", 1, SOON));
		expect(0, ipc_close(ch));
	}
	expect_true(now_ms() - before < SOON);
}
END_TEST

/* It was there, and then it was killed: its name may be. */
START_TEST(who_comes_after_a_killed_listener_is_told_at_once)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	pid = forked();
	if (pid == 0)
		for (;;)
			pause();
	expect(0, ipc_listener_close(l));
	peer_kill(pid);
	expect_either(-ECONNREFUSED, -ENOENT, ipc_connect(&ch, text, 0, -1));
}
END_TEST

START_TEST(the_listeners_address_wants_room)
{
	struct ipc_listener *l;
	char text[8192];

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect_true(strncmp(text, here.scheme, strlen(here.scheme)) == 0);
	expect(-ENAMETOOLONG, ipc_listener_address(l, text, 3));
	expect(-ENAMETOOLONG, ipc_listener_address(l, text, 0));
	expect(0, ipc_listener_close(l));
}
END_TEST

/*
 * Agreement
 */

static void
directions(int connecting, int got_a, int listening, int got_b)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	char text[8192];

	expect(0, ipc_listen(&l, address(""), listening));
	expect(0, ipc_listener_address(l, text, sizeof text));
	meet_at(ch, l, text, connecting);
	expect(got_a, info_of(ch[0]).direction);
	expect(got_b, info_of(ch[1]).direction);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}

START_TEST(without_flags_the_client_has_what_the_listener_has)
{
	begin(_i);
	directions(0, IPC_DUPLEX, 0, IPC_DUPLEX);
	directions(IPC_DUPLEX, IPC_DUPLEX, 0, IPC_DUPLEX);
	directions(IPC_SEND, IPC_SEND, IPC_RECV, IPC_RECV);
	directions(IPC_RECV, IPC_RECV, IPC_SEND, IPC_SEND);
}
END_TEST

static long
job_refused(struct job *j)
{
	int rc = ipc_connect(&j->ch, j->data, j->timeout, SOON);

	if (rc == 0) {
		rc = (int)ipc_recv(j->ch, j->buffer, j->size, SOON);
		ipc_close(j->ch);
	}
	return rc;
}

/* Neither side gets a channel of it, and the listener goes on. */
static void
disagree(int connecting, int listening)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	char text[8192], room[16];
	struct job j = { .data = text, .timeout = connecting,
	    .buffer = room, .size = sizeof room };
	int rc;

	expect(0, ipc_listen(&l, address(""), listening));
	expect(0, ipc_listener_address(l, text, sizeof text));
	job_start(&j, job_refused);
	while ((rc = ipc_accept(&ch[1], l, 100)) == 0)
		expect(0, ipc_close(ch[1]));
	expect(-ETIMEDOUT, rc);
	expect(-EPROTO, job_end(&j));
	expect(0, ipc_listener_close(l));
}

START_TEST(two_who_do_not_agree_are_told_so)
{
	begin(_i);
	disagree(IPC_RECV, IPC_RECV);
	disagree(IPC_DUPLEX, IPC_RECV);
	disagree(IPC_SEND, IPC_DUPLEX);
	if (here.caps & IPC_CAP_HALF) {
		disagree(IPC_HALF_DUPLEX, 0);
		disagree(IPC_HALF_DUPLEX, IPC_SEND);
		disagree(IPC_SEND, IPC_HALF_DUPLEX);
	}
}
END_TEST

/*
 * Rude clients
 */

static int
connected(int domain, int type, const void *sa, socklen_t size)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, 0);

	expect_sys(fd);
	if (connect(fd, sa, size) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A foreign program's connection to where the listener is, or -1. */
static int
raw_client(const char *text)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const char *p = strrchr(text, ':'), *at = strstr(text, "at=");
	int fd = -1;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)atoi(p + 1));
	if (strncmp(text, "tcp:", 4) == 0)
		return connected(AF_INET, SOCK_STREAM, &in, sizeof in);
	snprintf(un.sun_path, sizeof un.sun_path, "%s",
	    at != NULL ? at + 3 : strchr(text, ':') + 1);
	un.sun_path[strcspn(un.sun_path, "?&")] = '\0';
	for (int i = 0; i < 2 && fd == -1; i++)
		fd = connected(AF_UNIX, types[i], &un, sizeof un);
	return fd;
}

static void
be_rude(int fd, int how)
{
	static const unsigned char four_gib[] = { 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff };
	char rubbish[300];

	pattern_fill(rubbish, sizeof rubbish, (unsigned)how);
	if (how == 1)		/* rubbish */
		(void)!send(fd, rubbish, sizeof rubbish, MSG_NOSIGNAL);
	if (how == 2)		/* less than a greeting */
		(void)!send(fd, "\1", 1, MSG_NOSIGNAL);
	if (how == 3)		/* a length that nobody has */
		(void)!send(fd, four_gib, sizeof four_gib, MSG_NOSIGNAL);
}

/* A mechanism with its listener and its rude clients, in line before a good
 * one.  how 0 is silence. */
struct stand {
	struct ipc_listener *l;
	char	 text[4096];
	int	 fd[RUDE];
};

static int
stand_open(struct stand *s, const struct ipc_mechanism *m)
{
	char options[512] = "";

	here.mech = m;
	here.scheme = m->scheme;
	here.way = IPC_WAY_SESSION;
	here.caps = m->caps[IPC_WAY_SESSION];
	if (!scheme_has_paths(m->scheme) && !(here.caps & IPC_CAP_NETWORK))
		snprintf(options, sizeof options, "at=%s", path_new());
	listen_here(&s->l, s->text, sizeof s->text, options, 0);
	for (int how = 0; how < RUDE; how++) {
		s->fd[how] = raw_client(s->text);
		expect_true(s->fd[how] != -1);
		be_rude(s->fd[how], how);
	}
	return 0;
}

/* The next one is served soon, whoever came before. */
static void
stand_serves(struct stand *s)
{
	struct ipc_channel *ch[2];
	double start = now_ms();

	meet(ch, s->l, 0);
	carry(ch[0], ch[1], 100);
	expect_true(now_ms() - start < SOON);
	close_ends(ch);
}

/* Dropped: the connection ends. */
static bool
dropped(int fd)
{
	ssize_t n = 1;

	while (n > 0)
		n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static bool
all_dropped(struct stand *s)
{
	struct ipc_channel *ch;
	bool all = true;
	int rc = ipc_accept(&ch, s->l, 10);

	expect_either(-ETIMEDOUT, -EAGAIN, rc);
	for (int how = 0; how < RUDE; how++)
		all &= dropped(s->fd[how]);
	return all;
}

START_TEST(rude_clients_delay_nobody)
{
	struct stand s;

	begin(_i);
	stand_open(&s, here.mech);
	stand_serves(&s);
	stand_serves(&s);
	for (int how = 0; how < RUDE; how++)
		close(s.fd[how]);
	stand_serves(&s);
	expect(0, ipc_listener_close(s.l));
}
END_TEST

/* All mechanisms in one test: it takes the deadline of a silent client. */
START_TEST(silent_and_rude_clients_are_dropped)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row), n = 0, left;
	struct stand *s = need(count * sizeof *s);
	double limit = now_ms() + 20000;
	const unsigned need_caps = FORKS | IPC_CAP_MESSAGE;

	for (size_t i = 0; i < count; i++)
		if ((row[i]->caps[IPC_WAY_SESSION] & need_caps) == need_caps)
			stand_open(&s[n++], row[i]);
	do {
		left = 0;
		for (size_t i = 0; i < n; i++)
			left += !all_dropped(&s[i]);
	} while (left > 0 && now_ms() < limit);
	expect(0, left);
	for (size_t i = 0; i < n; i++) {
		for (int how = 0; how < RUDE; how++)
			close(s[i].fd[how]);
		expect(0, ipc_listener_close(s[i].l));
	}
	free(s);
}
END_TEST

/*
 * No descriptor left
 */

static long
job_knock(struct job *j)
{
	int rc = ipc_connect(&j->ch, j->data, 0, SOON);

	return rc < 0 ? rc : ipc_send(j->ch, "x", 1, SOON);
}

static _Noreturn void
knock(const char *text)
{
	struct job j = { .data = text };

	expect(0, job_knock(&j));
	expect(-EPIPE, ipc_recv(j.ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(j.ch));
	_exit(0);
}

/* The lowest one that is free: a limit of this leaves none. */
static int
free_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	expect_sys(fd);
	close(fd);
	return fd;
}

START_TEST(emfile_neither_spins_nor_loses_the_client)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	struct rlimit old;
	double cpu;
	int told = 0, rc;
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect_sys(getrlimit(RLIMIT_NOFILE, &old));
	if ((pid = forked()) == 0)
		knock(text);
	expect_true(ready(ipc_listener_fd(l), POLLIN, SOON) != 0);
	expect_sys(setrlimit(RLIMIT_NOFILE, &(struct rlimit){
	    (rlim_t)free_descriptor(), old.rlim_max }));
	cpu = cpu_ms();
	for (double end = now_ms() + 300; now_ms() < end;) {
		rc = ipc_accept(&ch, l, 50);
		expect_either(-EMFILE, -ETIMEDOUT, rc);
		told += rc == -EMFILE;
	}
	cpu = cpu_ms() - cpu;
	expect_sys(setrlimit(RLIMIT_NOFILE, &old));
	expect_true(told >= 1 && told <= 30 && cpu < 100);
	expect(0, ipc_accept(&ch, l, SOON));
	expect(1, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	peer_done(pid);
	expect(0, ipc_listener_close(l));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("listener");
	tc = tcase_open("clients", 60);
	for_each_case(tc, hundreds_of_clients_at_once, SESSION,
	    FORKS | IPC_CAP_RELIABLE);
	for_each_case(tc, a_client_that_waits_in_line_is_served, SESSION, 0);
	for_each_case(tc, channels_outlive_their_listener, SESSION,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, nobody_listens, SESSION, 0);
	for_each_case(tc, who_waits_for_nobody_is_told_at_once, SESSION, 0);
	for_each_case(tc, who_comes_after_a_killed_listener_is_told_at_once,
	    SESSION, 0);
	for_each_case(tc, the_listeners_address_wants_room, SESSION, 0);
	tc = tcase_open("agreement", 20);
	for_each_case(tc, without_flags_the_client_has_what_the_listener_has,
	    SESSION, IPC_CAP_RELIABLE);
	for_each_case(tc, two_who_do_not_agree_are_told_so, SESSION,
	    IPC_CAP_RELIABLE | IPC_CAP_MESSAGE);
	tc = tcase_open("rude", 30);
	for_each_case(tc, rude_clients_delay_nobody, SESSION,
	    FORKS | IPC_CAP_MESSAGE);
	tcase_add_test(tc, silent_and_rude_clients_are_dropped);
	tc = tcase_open("descriptors", 20);
	for_each_case(tc, emfile_neither_spins_nor_loses_the_client, SESSION,
	    FORKS);
	return suite_close();
}
