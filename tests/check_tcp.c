/* SPDX-License-Identifier: ISC */
/*
 * TCP: names, pairs that nobody comes between, connecting, and a close that
 * loses nothing.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "inet.h"
#include "sockets.h"

/*
 * Names
 */

START_TEST(names_are_hosts_and_ports)
{
	static const struct { const char *name; int family, port; } good[] = {
		{ "//127.0.0.1:80", AF_INET, 80 },
		{ "127.0.0.1:0", AF_INET, 0 },
		{ "//[::1]:65535", AF_INET6, 65535 },
		{ "//localhost:7", 0, 7 },
		{ "//[fe80::1%lo]:7", AF_INET6, 7 },
		{ "//:80", AF_INET6, 80 },
		{ "//*:80", AF_INET6, 80 },
		{ "//127.0.0.1:http", AF_INET, 80 },
	};
	struct ipc__inet list;
	unsigned i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_msg(ipc__inet_resolve(&list, good[i].name,
		    SOCK_STREAM, true) == 0, "%s: %s", good[i].name,
		    ipc_errmsg());
		ck_assert_uint_ge(list.count, 1);
		ck_assert_int_eq(ntohs(ipc__inet_port(&list.at[0])),
		    good[i].port);
		if (good[i].family)
			ck_assert_int_eq(list.at[0].sa.sa_family,
			    good[i].family);
	}
}
END_TEST

START_TEST(wrong_names_are_refused)
{
	static const char *const bad[] = {
		"", "//", "//host", "//host:", "//::1:80", "//[::1:80",
		"//[::1]80", "//[::1]", "//1.2.3.4:80/x", "//1.2.3.4:65536",
		"//1.2.3.4:99999999", "//1.2.3.4:8 0", "//1.2.3.4:-1",
		"//1.2.3.4:80:90", "//1.2.3.4:no-such-service"
	};
	struct ipc__inet list;
	unsigned i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(ipc__inet_resolve(&list, bad[i], SOCK_STREAM,
		    true) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(ipc__inet_resolve(&list, "//1.2.3.4:0", SOCK_STREAM,
	    false), -EINVAL);
	ck_assert_int_eq(ipc__inet_resolve(&list, "//[::g]:1", SOCK_STREAM,
	    false), -EHOSTUNREACH);
}
END_TEST

static const char *const any_port[] = {
	"tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://:0", "tcp://*:0"
};

/* Listens, and says where. */
static struct ipc__half *
listener(const char *text, char where[200])
{
	struct ipc__half *l;

	assert_ok(listen_at(&l, text));
	assert_ok(l->be->where(l, where, 200));
	return l;
}

static void
talk(struct ipc__half *e[2])
{
	char buf[100];

	ck_assert_int_eq(put(e[0], "ask", 3), 3);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 3);
	ck_assert_int_eq(put(e[1], "tell", 4), 4);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), 4);
}

static int
option(struct ipc__half *h, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof value;

	getsockopt(h->fd, level, name, &value, &size);
	return value;
}

START_TEST(a_session_is_native)
{
	char where[200], small[10];
	struct ipc__half *l = listener(any_port[_i], where), *e[2], *none;
	int i;

	ck_assert_str_eq(strncmp(where, "tcp://", 6) == 0 &&
	    where[strlen(where) - 1] != ':' ? "" : where, "");
	ck_assert_int_eq(l->be->where(l, small, sizeof small), -ENAMETOOLONG);
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	make_session(e, l, where);
	talk(e);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(option(e[i], IPPROTO_TCP, TCP_NODELAY), 1);
		ck_assert_int_eq(option(e[i], SOL_SOCKET, SO_KEEPALIVE), 1);
	}
	free_pair(e);
	half_free(l, true);
}
END_TEST

START_TEST(options_are_those_of_the_address)
{
	char where[200], text[300];
	struct ipc__half *l, *e[2];
	int i;

	l = listener("tcp://127.0.0.1:0?nodelay=0&keepalive=0&capacity=64K",
	    where);
	snprintf(text, sizeof text, "%s?nodelay=0&keepalive=0&capacity=64K",
	    where);
	make_session(e, l, text);
	talk(e);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(option(e[i], IPPROTO_TCP, TCP_NODELAY), 0);
		ck_assert_int_eq(option(e[i], SOL_SOCKET, SO_KEEPALIVE), 0);
		ck_assert_uint_le(e[i]->capacity, 65536);
		ck_assert_uint_ge(e[i]->capacity, 8192);
	}
	free_pair(e);
	half_free(l, true);
}
END_TEST

/* A listener for all takes both kinds of clients. */
START_TEST(all_addresses_are_both_kinds)
{
	char where[200], text[100];
	struct ipc__half *l = listener("tcp://:0", where), *e[2];
	static const char *const host[] = { "127.0.0.1", "[::1]", "" };
	int i;

	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "tcp://%s%s", host[i],
		    strrchr(where, ':'));
		make_session(e, l, text);
		talk(e);
		free_pair(e);
	}
	half_free(l, true);
}
END_TEST

START_TEST(a_live_port_is_in_use_and_a_dead_one_is_not)
{
	char where[200];
	struct ipc__half *l = listener(any_port[_i], where), *e[2], *again;

	ck_assert_int_eq(listen_at(&again, where), -EADDRINUSE);
	make_session(e, l, where);
	ck_assert_int_eq(listen_at(&again, where), -EADDRINUSE);
	/* The connection is still there, and then in TIME_WAIT. */
	half_free(l, true);
	assert_ok(listen_at(&l, where));
	half_free(e[1], true);
	half_free(l, true);
	assert_ok(listen_at(&l, where));
	half_free(e[0], true);
	half_free(l, true);
}
END_TEST

START_TEST(nobody_there_is_econnrefused)
{
	char where[200];
	struct ipc__half *h;
	int rc;

	half_free(listener(any_port[_i], where), true);
	rc = connect_at(&h, where, 1000);
	if (rc == -EINPROGRESS) {
		ck_assert(ready(h->fd, POLLOUT, 1000));
		rc = h->be->connected(h);
		half_free(h, true);
	}
	ck_assert_int_eq(rc, -ECONNREFUSED);
}
END_TEST

/* No host: ::1 first, and nobody is there; the same socket goes on. */
START_TEST(the_next_address_is_tried)
{
	char where[200], text[100];
	struct ipc__half *l = listener("tcp://127.0.0.1:0", where), *h, *e;
	int rc, fd, rounds = 0;

	snprintf(text, sizeof text, "tcp://%s", strrchr(where, ':'));
	rc = connect_at(&h, text, 1000);
	ck_assert_ptr_nonnull(h);
	fd = h->fd;
	while (rc == -EINPROGRESS && rounds++ < 4) {
		ck_assert(ready(fd, POLLOUT, 1000));
		rc = h->be->connected(h);
	}
	assert_ok(rc);
	ck_assert_int_ge(rounds, 1);
	ck_assert_int_eq(h->fd, fd);
	ck_assert(ready(l->fd, POLLIN, 1000));
	assert_ok(accept_from(&e, l));
	talk((struct ipc__half *[2]){ h, e });
	half_free(h, true);
	half_free(e, true);
	half_free(l, true);
}
END_TEST

/*
 * Pairs
 */

static _Atomic bool stop;

/* Somebody who connects to whatever listens in this process. */
static void *
intruder(void *arg)
{
	union ipc__sockaddr a;
	socklen_t size;
	int fd, mine, listens;

	for (fd = 3; !stop; fd = fd < 40 ? fd + 1 : 3) {
		size = sizeof listens;
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens,
		    &size) < 0 || !listens)
			continue;
		memset(&a, 0, size = sizeof a);
		if (getsockname(fd, &a.sa, &size) < 0)
			continue;
		mine = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK |
		    SOCK_CLOEXEC, 0);
		(void)connect(mine, &a.sa, size);
		atomic_fetch_add((_Atomic int *)arg, 1);
		close(mine);
	}
	return NULL;
}

START_TEST(nobody_comes_between_a_pair)
{
	_Atomic int tried = 0;
	struct ipc__half *e[2];
	pthread_t threads[2];
	int i, n = 0;
	int64_t end = now_ms() + 300;

	for (i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, intruder,
		    &tried), 0);
	while (now_ms() < end) {
		make_pair(e, n++ & 1 ? "tcp:" : "tcp://[::1]:0");
		talk(e);
		free_pair(e);
	}
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_ge(n, 5);
	ck_assert_int_ge(tried, 1);
}
END_TEST

/*
 * Ending
 */

#define MUCH	(3u << 20)

/* The reader of what the other one sends and closes; it talks back, and the
 * other one does not listen. */
static void
read_all(struct ipc__half *h, size_t want)
{
	char *buf = malloc(65536);
	size_t all = 0;
	ssize_t n;

	while ((n = await(h, buf, 65536)) > 0) {
		all += n;
		put(h, buf, 1000);
	}
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(all, want);
	free(buf);
}

START_TEST(a_clean_close_loses_nothing)
{
	char where[200], *data = calloc(1, MUCH);
	struct ipc__half *l = listener("tcp://127.0.0.1:0", where), *e[2];
	int64_t start;
	ssize_t n;
	pid_t child;
	size_t sent = 0;
	int fds[2];

	make_session(e, l, where);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	if ((child = fork()) == 0) {
		/* What this process never reads. */
		ck_assert_int_eq(put(e[1], data, 50000), 50000);
		half_free(e[0], false);
		usleep(20000);
		ck_assert_int_eq(read(fds[0], &sent, sizeof sent),
		    sizeof sent);
		read_all(e[1], sent);
		_exit(0);
	}
	half_free(e[1], false);
	ck_assert(ready(e[0]->fd, POLLIN, 1000));
	while (sent < MUCH && (n = put(e[0], data, MUCH - sent)) > 0)
		sent += n;
	ck_assert_uint_gt(sent, 100000);
	ck_assert_int_eq(write(fds[1], &sent, sizeof sent), sizeof sent);
	start = now_ms();
	half_free(e[0], true);
	ck_assert_int_le(now_ms() - start, 300);
	join_child(child);
	half_free(l, true);
	close(fds[0]);
	close(fds[1]);
	free(data);
}
END_TEST

START_TEST(an_idle_close_takes_no_time)
{
	struct ipc__half *e[2];
	int64_t start = now_ms();
	int i;

	for (i = 0; i < 20; i++) {
		make_pair(e, "tcp:");
		talk(e);
		free_pair(e);
	}
	ck_assert_int_le(now_ms() - start, 200);
}
END_TEST

START_TEST(a_close_against_a_full_receiver_is_bounded)
{
	struct ipc__half *e[2];
	char *data = calloc(1, MUCH);
	int64_t start;

	make_pair(e, "tcp:");
	while (put(e[0], data, MUCH) > 0)
		;
	start = now_ms();
	half_free(e[0], true);
	ck_assert_int_ge(now_ms() - start, 100);
	ck_assert_int_le(now_ms() - start, 400);
	/* A copy that goes does not wait, nor end it. */
	half_free(e[1], false);
	make_pair(e, "tcp:");
	while (put(e[0], data, MUCH) > 0)
		;
	start = now_ms();
	half_free(e[0], false);
	ck_assert_int_le(now_ms() - start, 50);
	half_free(e[1], false);
	free(data);
}
END_TEST

/* One who dies with something unread resets the connection. */
START_TEST(a_reset_is_an_end)
{
	struct ipc__half *e[2];
	struct linger reset = { 1, 0 };
	char buf[100];

	make_pair(e, "tcp:");
	ck_assert_int_eq(put(e[0], "last", 4), 4);
	ck_assert(ready(e[1]->fd, POLLIN, 1000));
	ck_assert_int_eq(setsockopt(e[0]->fd, SOL_SOCKET, SO_LINGER, &reset,
	    sizeof reset), 0);
	half_free(e[0], false);
	if (_i == 0)
		ck_assert_int_eq(put(e[1], "x", 1), -EPIPE);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 4);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 0);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 0);
	ck_assert_int_eq(put(e[1], "x", 1), -EPIPE);
	half_free(e[1], true);
}
END_TEST

/* The accepting end's bound comes from the listener. */
START_TEST(an_accepted_end_has_room_for_a_last_word)
{
	char where[200], *data = calloc(1, MUCH);
	struct ipc__half *l = listener("tcp://127.0.0.1:0", where), *e[2];

	make_session(e, l, where);
	do
		while (put(e[1], data, MUCH) > 0)
			;
	while (ready(e[1]->fd, POLLOUT, 30));
	ck_assert_int_eq(put(e[1], data, 64), -EAGAIN);
	e[1]->be->stretch(e[1], 64);
	ck_assert_int_eq(put(e[1], data, 64), 64);
	half_free(e[1], false);
	half_free(e[0], false);
	half_free(l, true);
	free(data);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("tcp");
	TCase *tc = tcase_create("tcp");

	tcase_add_checked_fixture(tc, sockets_setup, sockets_teardown);
	tcase_set_timeout(tc, 10);
	tcase_add_test(tc, names_are_hosts_and_ports);
	tcase_add_test(tc, wrong_names_are_refused);
	tcase_add_loop_test(tc, a_session_is_native, 0, 4);
	tcase_add_test(tc, options_are_those_of_the_address);
	tcase_add_test(tc, all_addresses_are_both_kinds);
	tcase_add_loop_test(tc, a_live_port_is_in_use_and_a_dead_one_is_not, 0,
	    3);
	tcase_add_loop_test(tc, nobody_there_is_econnrefused, 0, 3);
	tcase_add_test(tc, the_next_address_is_tried);
	tcase_add_test(tc, nobody_comes_between_a_pair);
	tcase_add_loop_test(tc, a_clean_close_loses_nothing, 0, 5);
	tcase_add_test(tc, an_idle_close_takes_no_time);
	tcase_add_test(tc, a_close_against_a_full_receiver_is_bounded);
	tcase_add_loop_test(tc, a_reset_is_an_end, 0, 2);
	tcase_add_test(tc, an_accepted_end_has_room_for_a_last_word);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
