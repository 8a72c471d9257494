/* SPDX-License-Identifier: ISC */
/*
 * ipc bridge in front of redis, with hundreds of redis's own clients at once.
 */
#include <sys/socket.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "bridge.h"

static bool
have_redis(void)
{
	struct program p;
	bool here;

	program_start(&p, NULL, "command -v redis-server && "
	    "command -v redis-benchmark && command -v redis-cli");
	here = program_end(&p) == 0;
	program_free(&p);
	if (!here)
		fprintf(stderr, "SKIPPED: redis-server, redis-benchmark or "
		    "redis-cli is not installed: ipc bridge is NOT TESTED "
		    "with a real server\n");
	return here;
}

static void
start_redis(void)
{
	program_start(&server, NULL, "cd $dir && exec redis-server --port 0 "
	    "--unixsocket $dir/server --save '' --appendonly no "
	    "--daemonize no --maxclients 1000");
	await_file(in_dir("server"));
	bridge_start();
}

static void
stop_redis(void)
{
	bridge_stop();
	kill(server.pid, SIGTERM);
	ck_assert_int_eq(program_end(&server), 0);
	program_free(&server);
}

/* Without the bridge: what redis says of itself. */
static long
redis_info(const char *key)
{
	char command[128];
	struct program p;
	long n;

	snprintf(command, sizeof command, "redis-cli -s $dir/server info | "
	    "sed -n 's/^%s://p'", key);
	program_run(&p, 0, NULL, command);
	n = atol(p.text);
	program_free(&p);
	return n;
}

static const char *const loads[] = {
	"-c 200 -n 20000 -t ping,set,get",
	"-c 200 -n 20000 -t set,get -d 4000 -P 8 -r 100",
	"-c 50 -n 2000 -t set,get -d 200000"
};
#define LOADS	((int)(sizeof loads / sizeof loads[0]))

START_TEST(redis_benchmark_gets_all_its_answers)
{
	char command[256];
	struct program p;
	int fds;

	if (!have_redis())
		return;
	start_redis();
	fds = bridge_fds();
	snprintf(command, sizeof command,
	    "redis-benchmark -h 127.0.0.1 -p %d --csv %s",
	    bridge_port(), loads[_i]);
	program_run(&p, 0, NULL, command);
	ck_assert_ptr_nonnull(strstr(p.text, "\"SET\""));
	ck_assert_ptr_nonnull(strstr(p.text, "\"GET\""));
	ck_assert_ptr_null(strstr(p.errors, "Error"));
	program_free(&p);
	/* Everybody has gone, on both sides. */
	bridge_has_fds(fds);
	ck_assert_int_eq(redis_info("connected_clients"), 1);
	ck_assert_int_eq(redis_info("total_error_replies"), 0);
	ck_assert_int_ge(redis_info("total_connections_received"), 50);
	stop_redis();
}
END_TEST

/* Something between two bridges, the one at a TCP port, the other at redis: it
 * carries the bytes of every client in a session of its own. */
static const char *const between[] = {
	"pipe:$dir/mid", "fifo:$dir/mid", "unix:$dir/mid",
	"sysvmq:x?at=$dir/mid", "posixmq:/x?at=$dir/mid",
	"memfd:x?at=$dir/mid", "posixshm:/x?at=$dir/mid", "mmap:$dir/mid"
};
#define BETWEEN	((int)(sizeof between / sizeof between[0]))

static void
start_between(struct program *back, const char *address)
{
	char command[256];

	start_redis();
	bridge_stop();
	snprintf(command, sizeof command,
	    "exec $ipc bridge \"%s\" unix:$dir/server", address);
	program_start(back, NULL, command);
	await_file(in_dir("mid"));
	snprintf(command, sizeof command,
	    "exec $ipc bridge -p tcp://127.0.0.1:0 \"%s\"", address);
	bridge_start_as(command);
}

START_TEST(many_clients_go_over_two_bridges_and_any_mechanism)
{
	struct program back, p;
	char command[256];
	int fds;

	if (!have_redis() || !ipc_mechanism(between[_i]))
		return;
	start_between(&back, between[_i]);
	fds = bridge_fds();
	/* RLIMIT_MSGQUEUE has room for few POSIX queues. */
	snprintf(command, sizeof command, "redis-benchmark -h 127.0.0.1 "
	    "-p %d --csv -c %d -n 5000 -t set,get -d 300", bridge_port(),
	    strncmp(between[_i], "posixmq", 7) == 0 ? 5 : 50);
	program_run(&p, 0, NULL, command);
	ck_assert_ptr_nonnull(strstr(p.text, "\"GET\""));
	ck_assert_ptr_null(strstr(p.errors, "Error"));
	program_free(&p);
	bridge_has_fds(fds);
	kill(back.pid, SIGTERM);
	ck_assert_msg(program_end(&back) == 0, "%s", back.errors);
	program_free(&back);
	stop_redis();
}
END_TEST

/* The same data through the bridge and around it. */
START_TEST(a_large_value_comes_back_as_it_is)
{
	char command[512];
	struct program p;

	if (!have_redis())
		return;
	start_redis();
	snprintf(command, sizeof command,
	    "head -c 8000000 /dev/urandom >$dir/value && "
	    "redis-cli -p %d -x set key <$dir/value && "
	    "redis-cli -p %d --raw get key | head -c 8000000 | "
	    "cmp - $dir/value && redis-cli -s $dir/server --raw get key | "
	    "head -c 8000000 | cmp - $dir/value", bridge_port(),
	    bridge_port());
	program_run(&p, 0, NULL, command);
	ck_assert_ptr_nonnull(strstr(p.text, "OK"));
	program_free(&p);
	stop_redis();
}
END_TEST

START_TEST(redis_answers_a_client_that_ends_its_sending)
{
	int fd;

	if (!have_redis())
		return;
	start_redis();
	fd = dial();
	say(fd, "PING\r\n");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert_uint_eq(drain(fd, 0), strlen("+PONG\r\n"));
	close(fd);
	stop_redis();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis");
	TCase *tc = program_tcase(s, "redis");

	tcase_add_loop_test(tc, redis_benchmark_gets_all_its_answers, 0,
	    LOADS);
	tcase_add_loop_test(tc,
	    many_clients_go_over_two_bridges_and_any_mechanism, 0, BETWEEN);
	tcase_add_test(tc, a_large_value_comes_back_as_it_is);
	tcase_add_test(tc, redis_answers_a_client_that_ends_its_sending);
	return program_run_all(s);
}
