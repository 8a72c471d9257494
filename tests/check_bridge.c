/* SPDX-License-Identifier: ISC */
/*
 * ipc bridge in front of a server that does what real ones do not do on
 * demand: it honours half-closes, stops reading, and dies.  check_redis.c has
 * a real one.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "bridge.h"

#define CLIENTS		200
#define ANSWER		(3 << 20)	/* bytes: more than sockets hold */
/* What the bridge may grow by; a sanitizer has memory of its own. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH		(64 << 20)
#else
#define GROWTH		(4 << 20)
#endif

/*
 * The server of the test: every connection is a process.  It reads to the end
 * of its input, and says first what the client wants of it:
 *	e	echo at once		a	ANSWER bytes at the end
 *	s	never reads again
 */

static void
write_much(int fd, size_t size)
{
	static char block[65536];

	while (size > 0) {
		size_t n = size < sizeof block ? size : sizeof block;
		ssize_t sent = send(fd, block, n, MSG_NOSIGNAL);

		if (sent < 0)
			_exit(1);
		size -= (size_t)sent;
	}
}

static void
serve(int fd)
{
	char buffer[4096], what;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(fd, &what, 1) != 1)
		_exit(1);
	while (what == 's')
		pause();
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		if (what == 'e')
			send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (what == 'a')
		write_much(fd, ANSWER);
	_exit(0);
}

static int
run_server(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	signal(SIGCHLD, SIG_IGN);
	strncpy(un.sun_path, path, sizeof un.sun_path - 1);
	if (listener < 0 || bind(listener, (void *)&un, sizeof un) < 0 ||
	    listen(listener, 1024) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (fork() == 0)
			serve(fd);
		close(fd);
	}
	return 1;
}

static void
start_server(void)
{
	char line[64];

	program_start(&server, NULL, "exec $self server $dir/server");
	program_line(&server, line, sizeof line);
}

static void
stop_server(void)
{
	kill(server.pid, SIGKILL);
	ck_assert_int_eq(program_end(&server), 128 + SIGKILL);
	program_free(&server);
}

static void
both_start(void)
{
	start_server();
	bridge_start();
}

static void
both_stop(void)
{
	bridge_stop();
	stop_server();
}

START_TEST(bytes_go_both_ways)
{
	int fd, fds;
	char text[8];

	both_start();
	fds = bridge_fds();
	fd = dial();
	say(fd, "ehello");
	ck_assert_int_eq(recv(fd, text, 5, MSG_WAITALL), 5);
	ck_assert_mem_eq(text, "hello", 5);
	close(fd);
	bridge_has_fds(fds);
	both_stop();
}
END_TEST

START_TEST(a_client_that_ends_its_sending_gets_the_full_answer)
{
	int fd[20];

	both_start();
	for (int i = 0; i < 20; i++) {
		fd[i] = dial();
		say(fd[i], "aquestion");
		ck_assert_int_eq(shutdown(fd[i], SHUT_WR), 0);
	}
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(drain(fd[i], 0), ANSWER);
		close(fd[i]);
	}
	both_stop();
}
END_TEST

START_TEST(a_server_that_does_not_read_stops_its_client_and_no_other)
{
	static char block[65536];
	int slow, quick, fds;
	size_t taken = 0;
	long pages;
	ssize_t n;

	both_start();
	fds = bridge_fds();
	pages = bridge_stat(24);
	slow = dial();
	say(slow, "s");
	for (int quiet = 0; quiet < 20; ) {
		n = send(slow, block, sizeof block,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			taken += (size_t)n;
		quiet = n > 0 ? 0 : quiet + 1;
		if (n < 0)
			pause_for(10);
		ck_assert_uint_lt(taken, 256 << 20);
	}
	bridge_is_idle();
	ck_assert_int_lt((bridge_stat(24) - pages) * getpagesize(), GROWTH);
	quick = dial();
	say(quick, "ehello");
	ck_assert_uint_eq(drain(quick, 5), 5);
	close(quick);
	/* It can not be told yet, but that must cost nothing. */
	close(slow);
	bridge_is_idle();
	kill(server.pid, SIGKILL);
	bridge_has_fds(fds);
	bridge_stop();
	program_end(&server);
	program_free(&server);
}
END_TEST

/* In a process of its own, which is killed in the midst of it. */
static void
clients_that_die(void)
{
	int fd[100];

	for (int i = 0; i < 100; i++) {
		fd[i] = dial();
		say(fd[i], i % 3 ? "ehello" : "aquestion");
		if (i % 3 == 0)
			shutdown(fd[i], SHUT_WR);
	}
	for (int i = 1; i < 100; i += 3)
		drain(fd[i], 5);
	kill(getpid(), SIGKILL);
}

START_TEST(killed_clients_leave_nothing_behind)
{
	pid_t pid;
	int fds;

	both_start();
	fds = bridge_fds();
	for (int i = 0; i < 3; i++) {
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			clients_that_die();
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		bridge_has_fds(fds);
	}
	bridge_is_idle();
	both_stop();
}
END_TEST

START_TEST(idle_clients_cost_nothing)
{
	int fd[CLIENTS];

	both_start();
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = dial();
		say(fd[i], "ex");
	}
	for (int i = 0; i < CLIENTS; i++)
		ck_assert_uint_eq(drain(fd[i], 1), 1);
	bridge_is_idle();
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	both_stop();
}
END_TEST

/* Far more clients than descriptors: all are served, some later. */
START_TEST(too_few_descriptors_delay_clients_and_lose_none)
{
	enum { MANY = 60 };
	struct pollfd fd[MANY];
	int left = MANY;

	start_server();
	bridge_start_as("ulimit -n 24; exec $ipc bridge -pv "
	    "tcp://127.0.0.1:0 unix:$dir/server");
	for (int i = 0; i < MANY; i++) {
		fd[i] = (struct pollfd){ .fd = dial(), .events = POLLIN };
		say(fd[i].fd, "ex");
	}
	while (left > 0) {
		ck_assert_msg(poll(fd, MANY, BRIDGE_SOON) > 0,
		    "%d are not served", left);
		pause_for(20);
		for (int i = 0; i < MANY; i++) {
			if (!fd[i].revents)
				continue;
			ck_assert_uint_eq(drain(fd[i].fd, 1), 1);
			close(fd[i].fd);
			fd[i].fd = -1;
			left--;
		}
	}
	both_stop();
}
END_TEST

START_TEST(a_client_is_turned_away_when_nobody_listens_behind)
{
	int fd;

	bridge_start();
	fd = dial();
	ck_assert_uint_eq(drain(fd, 0), 0);
	close(fd);
	bridge_stop();
}
END_TEST

struct sending {
	struct ipc_channel	*ch;
	const void		*data;
	size_t			 size;
	int			 rc;
};

static void *
send_it(void *arg)
{
	struct sending *s = arg;

	s->rc = ipc_send(s->ch, s->data, s->size, BRIDGE_SOON);
	return NULL;
}

/* One that fits into neither of the two, so that it goes in pieces. */
static void
carry(struct ipc_channel *from, struct ipc_channel *to, size_t size)
{
	char *data = malloc(size), *got = malloc(size);
	struct sending s = { .ch = from, .data = data, .size = size };
	pthread_t thread;

	ck_assert(data && got);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_it, &s), 0);
	ck_assert_msg(ipc_recv(to, got, size, BRIDGE_SOON) == (ssize_t)size,
	    "%s", ipc_errmsg());
	pthread_join(thread, NULL);
	ck_assert_int_eq(s.rc, 0);
	ck_assert(memcmp(data, got, size) == 0);
	free(data);
	free(got);
}

START_TEST(messages_go_between_two_mechanisms)
{
	struct ipc_channel *client, *behind;
	struct ipc_listener *l;
	char address[256], text[8];

	snprintf(address, sizeof address, "unixpacket:%s", in_dir("server"));
	ck_assert_int_eq(ipc_listen(&l, address, 0), 0);
	program_start(&bridge, NULL,
	    "exec $ipc bridge -m pipe:$dir/front unixpacket:$dir/server");
	await_file(in_dir("front"));
	snprintf(address, sizeof address, "pipe:%s", in_dir("front"));
	ck_assert_int_eq(ipc_connect(&client, address, 0, BRIDGE_SOON), 0);
	ck_assert_int_eq(ipc_accept(&behind, l, BRIDGE_SOON), 0);
	ck_assert_int_eq(ipc_send(client, "hello", 5, BRIDGE_SOON), 0);
	ck_assert_int_eq(ipc_recv(behind, text, sizeof text, BRIDGE_SOON), 5);
	ck_assert_int_eq(ipc_send(behind, "", 0, BRIDGE_SOON), 0);
	ck_assert_int_eq(ipc_recv(client, text, sizeof text, BRIDGE_SOON), 0);
	carry(client, behind, 5 << 20);
	carry(behind, client, 5 << 20);
	ipc_close(client);
	ck_assert_int_eq(ipc_recv(behind, text, sizeof text, BRIDGE_SOON),
	    -EPIPE);
	ipc_close(behind);
	ipc_listener_close(l);
	bridge_stop();
	ck_assert_int_lt(access(in_dir("front"), F_OK), 0);
}
END_TEST

int
main(int argc, char *argv[])
{
	TCase *tc;
	Suite *s;

	if (argc > 2 && !strcmp(argv[1], "server"))
		return run_server(argv[2]);
	s = suite_create("bridge");
	tc = program_tcase(s, "bridge");
	tcase_add_test(tc, bytes_go_both_ways);
	tcase_add_test(tc,
	    a_client_that_ends_its_sending_gets_the_full_answer);
	tcase_add_test(tc,
	    a_server_that_does_not_read_stops_its_client_and_no_other);
	tcase_add_test(tc, killed_clients_leave_nothing_behind);
	tcase_add_test(tc, idle_clients_cost_nothing);
	tcase_add_test(tc,
	    too_few_descriptors_delay_clients_and_lose_none);
	tcase_add_test(tc, a_client_is_turned_away_when_nobody_listens_behind);
	tcase_add_test(tc, messages_go_between_two_mechanisms);
	return program_run_all(s);
}
