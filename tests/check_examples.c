/* SPDX-License-Identifier: ISC */
/*
 * The examples do what their first lines say.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "program.h"

static void
assert_text(const struct program *p, const char *want)
{
	ck_assert_msg(!strcmp(p->text, want), "it printed '%s', not '%s': %s",
	    p->text, want, p->errors);
}

static bool
built(const char *example)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", getenv("examples"), example);
	if (access(path, X_OK) == 0)
		return true;
	fprintf(stderr, "SKIPPED: %s is not built on this machine\n", example);
	return false;
}

static const char *const pairs[] = {
	"", "pipe:", "fifo:", "unix:", "unixpacket:", "unixgram:", "tcp:",
	"sysvmq:", "posixmq:", "sysvshm:", "posixshm:", "memfd:", "mmap:",
	"file:", "local:", "shm:", "mq:"
};
#define PAIRS	((int)(sizeof pairs / sizeof pairs[0]))

START_TEST(pair_talks_over_any_mechanism)
{
	struct program p;
	char command[64];

	if (*pairs[_i] && !ipc_mechanism(pairs[_i]))
		return;
	snprintf(command, sizeof command, "$examples/pair %s", pairs[_i]);
	program_run(&p, 0, NULL, command);
	assert_text(&p, "one -> ONE\nchannel -> CHANNEL\nover -> OVER\n"
	    "it -> IT\n");
	program_free(&p);
}
END_TEST

START_TEST(fifo_reader_prints_what_fifo_writers_send)
{
	struct program reader, writer;

	program_start(&reader, NULL, "exec $examples/fifo_reader fifo:$dir/f");
	await_file(in_dir("f"));
	program_run(&writer, 0, NULL,
	    "$examples/fifo_writer fifo:$dir/f hello 'two words' ''");
	ck_assert_int_eq(program_end(&reader), 0);
	assert_text(&reader, "hello\ntwo words\n\n");
	ck_assert_int_lt(access(in_dir("f"), F_OK), 0);
	program_free(&reader);
	program_free(&writer);
	program_run(&writer, 1, NULL, "$examples/fifo_writer fifo:$dir/f x");
	ck_assert_ptr_nonnull(strstr(writer.errors, "fifo_reader"));
	program_free(&writer);
}
END_TEST

static const struct {
	const char *server, *scheme;
} servers[] = {
	{ "server_epoll", "unix" }, { "server_epoll", "pipe" },
	{ "server_epoll", "unixpacket" }, { "server_epoll", "memfd" },
	{ "server_libevent", "unix" }, { "server_libevent", "fifo" },
	{ "server_libevent", "sysvmq" },
	{ "forking_server", "unix" }, { "forking_server", "pipe" },
	{ "forking_server", "memfd" }
};
#define SERVERS	((int)(sizeof servers / sizeof servers[0]))

/* Schemes whose names are paths take the path as it is. */
START_TEST(a_server_answers_many_clients_at_once)
{
	struct program server, clients;
	char command[256];

	if (!built(servers[_i].server) || !ipc_mechanism(servers[_i].scheme))
		return;
	snprintf(command, sizeof command, "exec $examples/%s %s:$dir/s",
	    servers[_i].server, servers[_i].scheme);
	if (!strcmp(servers[_i].scheme, "sysvmq"))
		snprintf(command, sizeof command, "exec $examples/%s "
		    "'sysvmq:x?at='$dir/s", servers[_i].server);
	program_start(&server, NULL, command);
	await_file(in_dir("s"));
	snprintf(command, sizeof command, "for i in 1 2 3 4 5 6 7 8 9; do "
	    "yes hello $i | head -n 200 | "
	    "$examples/client \"%s%s$dir/s\" >$dir/$i & done; wait; "
	    "sort $dir/[1-9] | uniq -c | awk '{ print $1, $2, $3 }'",
	    servers[_i].scheme,
	    strcmp(servers[_i].scheme, "sysvmq") ? ":" : ":x?at=");
	program_run(&clients, 0, NULL, command);
	assert_text(&clients, "200 HELLO 1\n200 HELLO 2\n200 HELLO 3\n"
	    "200 HELLO 4\n200 HELLO 5\n200 HELLO 6\n200 HELLO 7\n"
	    "200 HELLO 8\n200 HELLO 9\n");
	program_free(&clients);
	kill(server.pid, SIGKILL);
	ck_assert_int_eq(program_end(&server), 128 + SIGKILL);
	program_free(&server);
}
END_TEST

static const char *const called[] = { "unix", "memfd", "fifo" };
#define CALLED	((int)(sizeof called / sizeof called[0]))

START_TEST(rpc_client_calls_rpc_server)
{
	struct program server, client;
	char command[256];

	snprintf(command, sizeof command, "exec $examples/rpc_server "
	    "%s:$dir/s tcp://127.0.0.1:0", called[_i]);
	program_start(&server, NULL, command);
	await_file(in_dir("s"));
	snprintf(command, sizeof command, "$examples/rpc_client %s:$dir/s",
	    called[_i]);
	program_run(&client, 0, NULL, command);
	ck_assert_ptr_nonnull(strstr(client.text, "2 + 3 = 5\n"));
	ck_assert_ptr_nonnull(strstr(client.text, "first: well rested\n"));
	ck_assert_ptr_nonnull(strstr(client.text, "second: well rested\n"));
	ck_assert_ptr_nonnull(strstr(client.text, "\n1\n2\n3\n"));
	ck_assert_ptr_nonnull(strstr(client.errors, "no such method: dream"));
	program_free(&client);
	kill(server.pid, SIGKILL);
	ck_assert_int_eq(program_end(&server), 128 + SIGKILL);
	program_free(&server);
}
END_TEST

START_TEST(pipeline_is_that_of_the_shell)
{
	struct program p;

	program_run(&p, 0, NULL, "$examples/pipeline pipeline");
	ck_assert_msg(strstr(p.text, "pipeline") != NULL, "it printed '%s'",
	    p.text);
	ck_assert_ptr_null(strchr(strchr(p.text, '\n') + 1, '\n'));
	ck_assert_ptr_nonnull(strstr(p.errors, "bytes went by"));
	program_free(&p);
}
END_TEST

static const char *const walkies[] = {
	"unix:$dir/s", "unixpacket:$dir/s", "pipe:$dir/s", "memfd:$dir/s"
};
#define WALKIES	((int)(sizeof walkies / sizeof walkies[0]))

START_TEST(walkie_talkie_takes_turns)
{
	struct program here, there;
	char command[128];

	if (!ipc_mechanism(walkies[_i]))
		return;
	snprintf(command, sizeof command,
	    "exec $examples/walkie_talkie -l %s", walkies[_i]);
	program_start(&here, "fine\nand you\nover\nbye\nout\n", command);
	await_file(in_dir("s"));
	snprintf(command, sizeof command,
	    "exec $examples/walkie_talkie -c %s", walkies[_i]);
	program_start(&there, "hello\nhow are you\nover\ngood\nover\n",
	    command);
	ck_assert_int_eq(program_end(&there), 0);
	ck_assert_int_eq(program_end(&here), 0);
	assert_text(&here, "> hello\n> how are you\n> good\n");
	assert_text(&there, "> fine\n> and you\n> bye\n");
	program_free(&here);
	program_free(&there);
}
END_TEST

START_TEST(joined_halves_are_one_channel)
{
	struct program p;

	program_run(&p, 0, NULL, "$examples/joined fifo:$dir/f");
	assert_text(&p, "6 times 7 is 42\n");
	ck_assert_int_lt(access(in_dir("f"), F_OK), 0);
	program_free(&p);
}
END_TEST

static const char *const grabbers[] = {
	"", "unix:", "unixpacket:", "pipe:", "sysvmq:", "posixmq:", "memfd:",
	"sysvshm:", "posixshm:", "mmap:", "file:", "shm:"
};
#define GRABBERS	((int)(sizeof grabbers / sizeof grabbers[0]))

START_TEST(frame_grabber_sees_every_frame)
{
	const char *scheme = *grabbers[_i] ? grabbers[_i] : "local:";
	bool in_place = strstr(scheme, "mem") || strstr(scheme, "shm") ||
	    strstr(scheme, "mmap") || strstr(scheme, "local");
	struct program p;
	char command[64], over[32];

	snprintf(command, sizeof command, "$examples/frame_grabber %s",
	    grabbers[_i]);
	program_run(&p, 0, NULL, command);
	ck_assert_msg(sscanf(p.text, "100 frames, brightness 49.5, "
	    "over %31[^,], ", over) == 1 && strstr(p.text, in_place ?
	    ", in place\n" : ", copied\n"), "it printed '%s': %s", p.text,
	    p.errors);
	program_free(&p);
}
END_TEST

/* Each line has a later measurement, and most were passed by. */
static void
assert_values(const char *text)
{
	unsigned long number, last = 0, lines = 0;
	double degrees;

	for (; *text; text = strchr(text, '\n') + 1, lines++) {
		ck_assert_int_eq(sscanf(text, "measurement %lu: %lf degrees, ",
		    &number, &degrees), 2);
		ck_assert_uint_gt(number, last + (lines > 0));
		ck_assert_double_eq_tol(degrees,
		    20 + (double)(number % 100) / 10, .051);
		last = number;
	}
	ck_assert_uint_eq(lines, 5);
}

START_TEST(latest_values_are_always_the_newest)
{
	struct program writer, reader[2];

	program_start(&writer, NULL, "exec $examples/latest_values -w "
	    "'memfd:x?latest=1&at='$dir/s");
	await_file(in_dir("s"));
	for (int i = 0; i < 2; i++)
		program_start(&reader[i], NULL, "exec $examples/latest_values "
		    "'memfd:x?latest=1&at='$dir/s");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(program_end(&reader[i]), 0);
		assert_values(reader[i].text);
		program_free(&reader[i]);
	}
	kill(writer.pid, SIGKILL);
	ck_assert_int_eq(program_end(&writer), 128 + SIGKILL);
	program_free(&writer);
}
END_TEST

static const char *const queues[] = { "mq", "posixmq", "sysvmq" };
#define QUEUES	((int)(sizeof queues / sizeof queues[0]))

START_TEST(job_queue_gives_each_job_to_one_worker)
{
	struct program p;
	char command[512], address[64];

	snprintf(address, sizeof address, "%s:%s", queues[_i], getenv("name"));
	snprintf(command, sizeof command, "q=%s; j=$examples/job_queue; "
	    "$j $q 'echo b' 'echo c' '!echo a' && $j -w $q && "
	    "for i in 1 2 3; do $j -w $q >$dir/$i & done; "
	    "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do $j $q \"echo $i\"; done; "
	    "wait; sort -n $dir/[1-3] | tr '\\n' ' '", address);
	program_start(&p, NULL, command);
	(void)program_end(&p);
	ck_assert_int_eq(ipc_unlink(address), 0);
	assert_text(&p, "a\nb\nc\n1 2 3 4 5 6 7 8 9 10 11 12 ");
	program_free(&p);
}
END_TEST

/* How a shell counts words. */
#define SHELL_COUNT "tr -cs A-Za-z '\\n' <$dir/text | tr A-Z a-z | " \
	"grep . | LC_ALL=C sort | uniq -c"

/* A real text that every source tree has, and more of it than one part. */
START_TEST(wordcount_counts_as_the_shell_does)
{
	struct program p;

	program_run(&p, 0, NULL, "cat $SRCDIR/lib/*.c $SRCDIR/lib/*/*.c "
	    "$SRCDIR/man/* >$dir/text && " SHELL_COUNT " >$dir/want "
	    "&& for n in 1 3; do $examples/wordcount $dir/text $n >$dir/got && "
	    "cmp $dir/want $dir/got || exit 1; done; "
	    "echo 'a b A' >$dir/text; $examples/wordcount $dir/text; "
	    ": >$dir/text; $examples/wordcount $dir/text");
	assert_text(&p, "      2 a\n      1 b\n");
	program_free(&p);
}
END_TEST

static const char *const threads[] = {
	"inproc:", "memfd:", "unix:", "pipe:", "sysvmq:", "local:"
};
#define THREADS	((int)(sizeof threads / sizeof threads[0]))

START_TEST(threads_are_processes_by_another_address)
{
	struct program p;
	char command[64];

	snprintf(command, sizeof command, "$examples/threads %s 100",
	    threads[_i]);
	program_run(&p, 0, NULL, command);
	assert_text(&p, "9592 primes below 100000\n");
	program_free(&p);
}
END_TEST

/* One client for each way in; each hears of the others, whatever they use. */
START_TEST(chat_is_one_for_all_ways_in)
{
	struct program daemon, clients;

	program_start(&daemon, NULL, "exec $examples/chat_daemon unix:$dir/u "
	    "tcp://127.0.0.1:0 'sysvmq:x?at='$dir/q >$dir/addresses");
	await_file(in_dir("addresses"));
	program_run(&clients, 0, NULL, "cd $dir && mkfifo a b c; "
	    "await() { until grep -q \"$1\" $2; do sleep .01; done; }; "
	    "await q addresses; i=1; for n in a b c; do "
	    "$examples/chat_client \"$(sed -n ${i}p addresses)\" $n "
	    "<$n >$n.out & i=$((i + 1)); done; exec 3>a 4>b 5>c; "
	    "for n in a b c; do await '3 are' $n.out; done; "
	    "echo hello >&3; await 'a: hello' b.out; await 'a: hello' c.out; "
	    "echo hi >&5; await 'c: hi' a.out; await 'c: hi' b.out; "
	    "exec 3>&-; for n in b c; do "	/* it may have been so before */
	    "until tail -n 1 $n.out | grep -q '2 are'; do sleep .01; done; "
	    "done; "
	    "exec 4>&- 5>&-; wait; cat a.out; tail -n 4 b.out");
	ck_assert_msg(strstr(clients.text, "* 3 are here\nc: hi\n") != NULL &&
	    strstr(clients.text, "* 3 are here\na: hello\nc: hi\n"
	    "* 2 are here\n") != NULL, "it printed '%s'", clients.text);
	program_free(&clients);
	kill(daemon.pid, SIGKILL);
	ck_assert_int_eq(program_end(&daemon), 128 + SIGKILL);
	program_free(&daemon);
}
END_TEST

START_TEST(a_crashed_tab_leaves_the_browser_alive)
{
	struct program p;

	program_run(&p, 0, NULL, "$examples/browser | sed 's/\\(crashed\\):.*/"
	    "\\1/'");
	assert_text(&p, "tab 0 shows '40 the news' in shade 40\n"
	    "tab 1 has crashed\n"
	    "tab 2 shows '200 an idea' in shade 200\n"
	    "tab 0 shows '40 the news' in shade 40\n"
	    "tab 2 shows '200 an idea' in shade 200\n");
	program_free(&p);
}
END_TEST

static const char *const catalogues[] = {
	"unix:$dir/s", "memfd:$dir/s", "pipe:$dir/s"
};
#define CATALOGUES	((int)(sizeof catalogues / sizeof catalogues[0]))

START_TEST(protobuf_server_answers_protobuf_client)
{
	struct program server, client;
	char command[128];

	if (!built("protobuf_server"))
		return;
	snprintf(command, sizeof command, "exec $examples/protobuf_server %s",
	    catalogues[_i]);
	program_start(&server, NULL, command);
	await_file(in_dir("s"));
	snprintf(command, sizeof command,
	    "$examples/protobuf_client %s Kernighan", catalogues[_i]);
	program_run(&client, 0, NULL, command);
	assert_text(&client, "1978 The C Programming Language\n"
	    "1984 The UNIX Programming Environment\n");
	program_free(&client);
	snprintf(command, sizeof command,
	    "$examples/protobuf_client %s Nobody", catalogues[_i]);
	program_run(&client, 1, NULL, command);
	ck_assert_ptr_nonnull(strstr(client.errors, "nothing by this author"));
	program_free(&client);
	kill(server.pid, SIGKILL);
	ck_assert_int_eq(program_end(&server), 128 + SIGKILL);
	program_free(&server);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("examples");
	TCase *tc = program_tcase(s, "examples");

	tcase_add_loop_test(tc, pair_talks_over_any_mechanism, 0, PAIRS);
	tcase_add_loop_test(tc, a_server_answers_many_clients_at_once, 0,
	    SERVERS);
	tcase_add_loop_test(tc, walkie_talkie_takes_turns, 0, WALKIES);
	tcase_add_test(tc, fifo_reader_prints_what_fifo_writers_send);
	tcase_add_loop_test(tc, rpc_client_calls_rpc_server, 0, CALLED);
	tcase_add_test(tc, pipeline_is_that_of_the_shell);
	tcase_add_test(tc, joined_halves_are_one_channel);
	tcase_add_loop_test(tc, frame_grabber_sees_every_frame, 0, GRABBERS);
	tcase_add_test(tc, latest_values_are_always_the_newest);
	tcase_add_loop_test(tc, job_queue_gives_each_job_to_one_worker, 0,
	    QUEUES);
	tcase_add_test(tc, wordcount_counts_as_the_shell_does);
	tcase_add_loop_test(tc, threads_are_processes_by_another_address, 0,
	    THREADS);
	tcase_add_test(tc, chat_is_one_for_all_ways_in);
	tcase_add_test(tc, a_crashed_tab_leaves_the_browser_alive);
	tcase_add_loop_test(tc, protobuf_server_answers_protobuf_client, 0,
	    CATALOGUES);
	return program_run_all(s);
}
