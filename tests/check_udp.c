/* SPDX-License-Identifier: ISC */
/*
 * UDP: pairs, what is opened by name, and sessions that the library sorts out
 * of one port.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "inet.h"
#include "sockets.h"

static struct ipc__half *
listener(const char *text, char where[200])
{
	struct ipc__half *l;

	assert_ok(listen_at(&l, text));
	assert_ok(l->be->where(l, where, 200));
	return l;
}

static union ipc__sockaddr
name_of(int fd)
{
	union ipc__sockaddr a;
	socklen_t size = sizeof a;

	memset(&a, 0, sizeof a);
	ck_assert_int_eq(getsockname(fd, &a.sa, &size), 0);
	return a;
}

/* Anybody, on a port of his own. */
static int
stranger(int family, in_port_t port)
{
	union ipc__sockaddr a = { .sa = { .sa_family = family } };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET) {
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.in.sin_port = port;
	} else {
		a.in6.sin6_addr = in6addr_loopback;
		a.in6.sin6_port = port;
	}
	ck_assert_int_eq(bind(fd, &a.sa, ipc__inet_size(&a)), 0);
	return fd;
}

static void
say(int fd, const char *text, const union ipc__sockaddr *to)
{
	ck_assert_int_eq(sendto(fd, text, strlen(text), 0, &to->sa,
	    ipc__inet_size(to)), strlen(text));
}

/*
 * Pairs and opened ones
 */

static const char *const pair_address[] = {
	"udp:", "udp://[::1]:0", "udp://127.0.0.1:0"
};

START_TEST(a_pair_hears_nobody_else)
{
	struct ipc__half *e[2];
	union ipc__sockaddr a;
	char buf[70000];
	int fd, i;

	make_pair(e, pair_address[_i]);
	a = name_of(e[0]->fd);
	fd = stranger(a.sa.sa_family, 0);
	for (i = 0; i < 2; i++) {
		a = name_of(e[i]->fd);
		say(fd, "me too", &a);
	}
	ck_assert_int_eq(put(e[0], "ask", 3), 3);
	ck_assert_int_eq(put(e[1], "tell", 4), 4);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 3);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), 4);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(get(e[i], buf, sizeof buf), -EAGAIN);
	close(fd);
	free_pair(e);
}
END_TEST

START_TEST(the_largest_datagram_arrives)
{
	static char data[70000];
	struct ipc__half *e[2];
	size_t size;

	make_pair(e, pair_address[_i]);
	size = e[0]->record;
	ck_assert_uint_eq(size, _i == 1 ? 65527 : 65507);
	ck_assert_int_eq(put(e[0], data, size + 1), -EMSGSIZE);
	ck_assert_int_eq(put(e[0], data, size), size);
	ck_assert(ready(e[1]->fd, POLLIN, 1000));
	ck_assert_int_eq(get(e[1], data, size - 1), -EMSGSIZE);
	ck_assert_int_eq(get(e[1], data, size), size);
	ck_assert_int_eq(put(e[0], data, 0), 0);
	ck_assert_int_eq(await(e[1], data, size), 0);
	free_pair(e);
}
END_TEST

START_TEST(nobody_there_is_epipe_for_a_sender_only)
{
	struct ipc__half *e[2];
	char buf[100];
	int i, refused = 0;

	make_pair(e, "udp:");
	half_free(e[1], true);
	for (i = 0; i < 6; i++) {
		ck_assert_int_eq(get(e[0], buf, sizeof buf), -EAGAIN);
		switch (put(e[0], "x", 1)) {
		case 1:
			break;
		case -EPIPE:
			refused++;
			break;
		default:
			ck_abort_msg("%s", ipc_errmsg());
		}
		ready(e[0]->fd, POLLERR, 100);
		ck_assert_int_eq(get(e[0], buf, sizeof buf), -EAGAIN);
		/* What was wrong has been told, and does not stay. */
		ck_assert(!ready(e[0]->fd, POLLIN | POLLERR, 0));
	}
	half_free(e[0], true);
}
END_TEST

static ssize_t
get_from(struct ipc__half *h, void *data, size_t size, struct ipc__aside *from)
{
	struct iovec iov = { data, size };

	ck_assert(ready(h->fd, POLLIN, 1000));
	return h->be->recv(h, &iov, 1, from);
}

static const char *const loopback[] = { "127.0.0.1", "[::1]" };

START_TEST(a_receiver_answers_each_by_its_address)
{
	struct ipc__half *r, *again, *c[3];
	unsigned char name[3][128];
	struct ipc__aside from[3];
	char text[100], buf[100];
	int i;

	snprintf(text, sizeof text, "udp://%s:0", loopback[_i]);
	assert_ok(open_at(&r, text, IPC_RECV, 0));
	assert_ok(r->be->where(r, text, sizeof text));
	ck_assert_int_eq(open_at(&again, text, IPC_RECV, 0), -EBUSY);
	for (i = 0; i < 3; i++) {
		assert_ok(open_at(&c[i], text, i == 0 ? IPC_SEND : IPC_DUPLEX,
		    0));
		from[i] = (struct ipc__aside){ .address = name[i],
		    .address_size = sizeof name[i] };
		ck_assert_int_eq(put(c[i], "ask", 3), 3);
		ck_assert_int_eq(get_from(r, buf, sizeof buf, &from[i]), 3);
	}
	for (i = 2; i > 0; i--) {
		struct iovec iov = { name, 1 };

		name[0][0] = 'a' + i;
		ck_assert_int_eq(r->be->send(r, &iov, 1, &from[i]), 1);
	}
	for (i = 1; i < 3; i++) {
		ck_assert_int_eq(await(c[i], buf, sizeof buf), 1);
		ck_assert_int_eq(buf[0], 'a' + i);
		ck_assert_int_eq(get(c[i], buf, sizeof buf), -EAGAIN);
	}
	ck_assert_int_eq(put(r, "whom?", 5), -EDESTADDRREQ);
	for (i = 0; i < 3; i++)
		half_free(c[i], true);
	half_free(r, true);
}
END_TEST

/*
 * Sessions
 */

static const char *const any_port[] = {
	"udp://127.0.0.1:0", "udp://[::1]:0", "udp://:0"
};

/* A client that said hello, and the session that was made for it. */
static void
greet(struct ipc__half *e[2], struct ipc__half *l, const char *where,
    const char *hello)
{
	char buf[300];
	int rc;

	assert_ok(connect_at(&e[0], where, 0));
	ck_assert_int_eq(put(e[0], hello, strlen(hello)), strlen(hello));
	do {
		ck_assert(ready(l->fd, POLLIN, 1000));
		rc = accept_from(&e[1], l);
	} while (rc == -EAGAIN);
	assert_ok(rc);
	ck_assert_uint_eq(e[1]->be->pending(e[1]), strlen(hello));
	ck_assert_int_eq(get(e[1], buf, 2), -EMSGSIZE);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), strlen(hello));
	ck_assert_mem_eq(buf, hello, strlen(hello));
	ck_assert_int_eq(get(e[1], buf, sizeof buf), -EAGAIN);
}

static void
talk(struct ipc__half *e[2], int number)
{
	char out[20], buf[70000];
	int n = snprintf(out, sizeof out, "number %d", number);

	ck_assert_int_eq(put(e[0], out, n), n);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), n);
	ck_assert_mem_eq(buf, out, n);
	ck_assert_int_eq(put(e[1], out, n), n);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), n);
	ck_assert_mem_eq(buf, out, n);
}

#define CLIENTS	20

START_TEST(each_client_has_a_session_of_its_own)
{
	char where[200], hello[20];
	struct ipc__half *l = listener(any_port[_i], where);
	struct ipc__half *e[CLIENTS][2], *none;
	int i;

	for (i = 0; i < CLIENTS; i++) {
		snprintf(hello, sizeof hello, "hello %d", i);
		greet(e[i], l, where, hello);
	}
	for (i = 0; i < CLIENTS; i++)
		talk(e[i], i);
	for (i = CLIENTS - 1; i >= 0; i--)
		talk(e[i], i);
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	for (i = 0; i < CLIENTS; i++)
		free_pair(e[i]);
	half_free(l, true);
}
END_TEST

struct crowd {
	struct ipc__half *c[CLIENTS];
	_Atomic bool stop;
};

/* They say it until they are heard, as what arrives while a session is being
 * made may be lost. */
static void *
shout(void *arg)
{
	struct crowd *crowd = arg;
	char text[20];
	int i;

	while (!crowd->stop)
		for (i = 0; i < CLIENTS; i++) {
			snprintf(text, sizeof text, "hello %d", i);
			put(crowd->c[i], text, strlen(text));
		}
	return NULL;
}

/* All that came to a session came from one client, whose number this is. */
static int
number_of(struct ipc__half *s)
{
	char first[20] = "", next[20] = "";
	ssize_t n;

	ck_assert_int_gt(get(s, first, sizeof first), 6);
	while ((n = get(s, next, sizeof next - 1)) > 0) {
		next[n] = '\0';
		ck_assert_str_eq(next, first);
	}
	return atoi(first + 6);
}

START_TEST(clients_that_come_together_are_all_served)
{
	struct crowd crowd = { .stop = false };
	struct ipc__half *l, *s[CLIENTS], *served[CLIENTS] = { NULL };
	char where[200], buf[20] = "";
	pthread_t thread;
	int i, n = 0;
	int64_t end = now_ms() + 5000;

	l = listener(any_port[_i], where);
	for (i = 0; i < CLIENTS; i++)
		assert_ok(connect_at(&crowd.c[i], where, 0));
	ck_assert_int_eq(pthread_create(&thread, NULL, shout, &crowd), 0);
	while (n < CLIENTS && now_ms() < end)
		if (ready(l->fd, POLLIN, 100) && accept_from(&s[n], l) == 0)
			n++;
	crowd.stop = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(n, CLIENTS);
	for (i = 0; i < CLIENTS; i++) {
		n = number_of(s[i]);
		ck_assert_ptr_null(served[n]);
		served[n] = s[i];
		snprintf(buf, sizeof buf, "welcome %d", n);
		ck_assert_int_eq(put(s[i], buf, sizeof buf), sizeof buf);
	}
	for (i = 0; i < CLIENTS; i++) {
		ck_assert_int_eq(await(crowd.c[i], buf, sizeof buf),
		    sizeof buf);
		ck_assert_int_eq(atoi(buf + 8), i);
		ck_assert_int_eq(get(crowd.c[i], buf, sizeof buf), -EAGAIN);
		half_free(crowd.c[i], true);
		half_free(s[i], true);
	}
	half_free(l, true);
}
END_TEST

START_TEST(a_hello_said_twice_makes_one_session)
{
	char where[200], buf[100];
	struct ipc__half *l = listener(any_port[_i], where), *e[2], *none;
	int i, others = 0;

	assert_ok(connect_at(&e[0], where, 0));
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(put(e[0], "hello", 5), 5);
	ck_assert(ready(l->fd, POLLIN, 1000));
	assert_ok(accept_from(&e[1], l));
	while (ready(l->fd, POLLIN, 20)) {
		ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
		others++;
	}
	ck_assert_int_eq(others, 4);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 5);
	ck_assert_int_eq(put(e[0], "again", 5), 5);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 5);
	ck_assert_mem_eq(buf, "again", 5);
	free_pair(e);
	half_free(l, true);
}
END_TEST

START_TEST(forked_workers_make_one_session_of_one_client)
{
	char where[200], done;
	struct ipc__half *l = listener(any_port[_i], where), *c[8], *e;
	pid_t child[3];
	int i, k, fds[2], rc, sessions = 0;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	for (i = 0; i < 8; i++) {
		assert_ok(connect_at(&c[i], where, 0));
		for (k = 0; k < 4; k++)
			ck_assert_int_eq(put(c[i], "hello", 5), 5);
	}
	for (i = 0; i < 3; i++) {
		if ((child[i] = fork()) != 0)
			continue;
		/* What each accepts lives until all are done. */
		while (ready(l->fd, POLLIN, 100))
			if ((rc = accept_from(&e, l)) != -EAGAIN) {
				assert_ok(rc);
				ck_assert_int_eq(write(fds[1], "x", 1), 1);
			}
		usleep(100000);
		_exit(0);
	}
	close(fds[1]);
	while (read(fds[0], &done, 1) == 1)
		sessions++;
	for (i = 0; i < 3; i++)
		join_child(child[i]);
	ck_assert_int_eq(sessions, 8);
	close(fds[0]);
	for (i = 0; i < 8; i++)
		half_free(c[i], true);
	half_free(l, true);
}
END_TEST

START_TEST(a_client_comes_back_on_the_same_port)
{
	char where[200], buf[100];
	struct ipc__half *l = listener("udp://127.0.0.1:0", where), *none;
	struct ipc__half *e = NULL;
	union ipc__sockaddr to = name_of(l->fd), mine;
	int i, tries, rc, fd = stranger(AF_INET, 0);

	mine = name_of(fd);
	for (i = 0; i < 10; i++) {
		/* It may have to say it twice when it was quick. */
		for (tries = 0, rc = -EAGAIN; rc == -EAGAIN && tries < 3;
		    tries++) {
			say(fd, "hello", &to);
			ck_assert(ready(l->fd, POLLIN, 1000));
			rc = accept_from(&e, l);
		}
		assert_ok(rc);
		ck_assert_int_eq(get(e, buf, sizeof buf), 5);
		/* Another hello is for the session while there is one. */
		say(fd, "hello again", &to);
		ck_assert_int_eq(await(e, buf, sizeof buf), 11);
		ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
		half_free(e, true);
		if (i & 1) {
			close(fd);
			fd = stranger(AF_INET, mine.in.sin_port);
		}
	}
	close(fd);
	half_free(l, true);
}
END_TEST

START_TEST(what_is_no_hello_is_dropped)
{
	char where[200], text[400];
	struct ipc__half *l = listener("udp://127.0.0.1:0", where), *none;
	union ipc__sockaddr to = name_of(l->fd);
	int fd = stranger(AF_INET, 0);

	memset(text, 'x', sizeof text);
	text[257] = '\0';
	say(fd, text, &to);
	say(fd, "", &to);
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	ck_assert(!ready(l->fd, POLLIN, 0));
	text[256] = '\0';
	say(fd, text, &to);
	ck_assert(ready(l->fd, POLLIN, 1000));
	assert_ok(accept_from(&none, l));
	ck_assert_int_eq(get(none, text, sizeof text), 256);
	half_free(none, true);
	close(fd);
	half_free(l, true);
}
END_TEST

START_TEST(a_session_hears_nobody_else)
{
	char where[200], buf[100];
	struct ipc__half *l = listener("udp://127.0.0.1:0", where), *e[2];
	struct ipc__half *other;
	union ipc__sockaddr to = name_of(l->fd);
	int fd = stranger(AF_INET, 0);

	greet(e, l, where, "hello");
	say(fd, "me too", &to);
	ck_assert(ready(l->fd, POLLIN, 1000));
	ck_assert_int_eq(get(e[1], buf, sizeof buf), -EAGAIN);
	assert_ok(accept_from(&other, l));
	ck_assert_int_eq(get(other, buf, sizeof buf), 6);
	talk(e, 1);
	half_free(other, true);
	free_pair(e);
	close(fd);
	half_free(l, true);
}
END_TEST

START_TEST(a_live_port_is_in_use_and_a_dead_one_is_not)
{
	char where[200];
	struct ipc__half *l = listener(any_port[_i], where), *e[2], *again;

	ck_assert_int_eq(listen_at(&again, where), -EADDRINUSE);
	greet(e, l, where, "hello");
	ck_assert_int_eq(listen_at(&again, where), -EADDRINUSE);
	ck_assert_int_eq(open_at(&again, where, IPC_RECV, 0), -EBUSY);
	talk(e, 1);
	free_pair(e);
	half_free(l, true);
	assert_ok(listen_at(&l, where));
	greet(e, l, where, "hello");
	free_pair(e);
	half_free(l, true);
}
END_TEST

START_TEST(an_adopted_listener_makes_sessions)
{
	char where[200];
	struct ipc__half *l = half_new(sockets[UDP], IPC_DUPLEX), *e[2];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	l->adopted = true;
	ck_assert_int_eq(l->be->adopt(l, fd, true), -EINVAL);
	close(fd);
	fd = stranger(AF_INET, 0);
	assert_ok(l->be->adopt(l, fd, true));
	assert_ok(l->be->where(l, where, sizeof where));
	greet(e, l, where, "hello");
	talk(e, 1);
	free_pair(e);
	half_free(l, true);
}
END_TEST

/* No host: ::1 first, and nobody is there. */
START_TEST(the_next_address_is_tried)
{
	char where[200], text[100], buf[100];
	struct ipc__half *l = listener("udp://127.0.0.1:0", where), *c, *e;
	int tries;

	snprintf(text, sizeof text, "udp://%s", strrchr(where, ':'));
	assert_ok(connect_at(&c, text, 0));
	for (tries = 0; tries < 3 && !ready(l->fd, POLLIN, 20); tries++) {
		ck_assert_int_eq(put(c, "hello", 5), 5);
		ready(c->fd, POLLIN | POLLERR, 20);
		ck_assert_int_eq(get(c, buf, sizeof buf), -EAGAIN);
	}
	ck_assert_int_ge(tries, 1);
	assert_ok(accept_from(&e, l));
	ck_assert_int_eq(get(e, buf, sizeof buf), 5);
	talk((struct ipc__half *[2]){ c, e }, 1);
	half_free(c, true);
	half_free(e, true);
	half_free(l, true);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("udp");
	TCase *tc = tcase_create("udp");

	tcase_add_checked_fixture(tc, sockets_setup, sockets_teardown);
	tcase_set_timeout(tc, 10);
	tcase_add_loop_test(tc, a_pair_hears_nobody_else, 0, 3);
	tcase_add_loop_test(tc, the_largest_datagram_arrives, 0, 3);
	tcase_add_test(tc, nobody_there_is_epipe_for_a_sender_only);
	tcase_add_loop_test(tc, a_receiver_answers_each_by_its_address, 0, 2);
	tcase_add_loop_test(tc, each_client_has_a_session_of_its_own, 0, 3);
	tcase_add_loop_test(tc, clients_that_come_together_are_all_served, 0,
	    3);
	tcase_add_loop_test(tc, a_hello_said_twice_makes_one_session, 0, 3);
	tcase_add_loop_test(tc, forked_workers_make_one_session_of_one_client,
	    0, 3);
	tcase_add_test(tc, a_client_comes_back_on_the_same_port);
	tcase_add_test(tc, what_is_no_hello_is_dropped);
	tcase_add_test(tc, a_session_hears_nobody_else);
	tcase_add_loop_test(tc, a_live_port_is_in_use_and_a_dead_one_is_not, 0,
	    3);
	tcase_add_test(tc, an_adopted_listener_makes_sessions);
	tcase_add_test(tc, the_next_address_is_tried);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
