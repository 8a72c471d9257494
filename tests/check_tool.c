/* SPDX-License-Identifier: ISC */
/*
 * The command ipc(1), run as its users run it: from a shell, one process at
 * each end.  ipc bridge has check_bridge.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "json.h"
#include "program.h"

static void
assert_text(const struct program *p, const char *want)
{
	ck_assert_msg(!strcmp(p->text, want), "it printed '%s', not '%s': %s",
	    p->text, want, p->errors);
}

static void
assert_says(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) != NULL, "'%s' does not say '%s'",
	    text, word);
}

static void
assert_json(const struct program *p)
{
	ck_assert_msg(is_json(p->text), "this is not JSON: %s", p->text);
}

/*
 * Exit statuses
 */

static const struct {
	int status;
	const char *command, *says;
} wrong[] = {
	{ 2, "$ipc", "usage" },
	{ 2, "$ipc fly unix:/x", "fly" },
	{ 2, "$ipc send", "usage" },
	{ 2, "$ipc send -x unix:/x", "usage" },
	{ 2, "$ipc send unix:/x unix:/y", "usage" },
	{ 2, "$ipc recv -n many unix:/x", "many" },
	{ 2, "$ipc recv -t -5 unix:/x", "-5" },
	{ 2, "$ipc cat", "usage" },
	{ 2, "$ipc bridge unix:/x", "usage" },
	{ 2, "$ipc spawn pipe: --", "usage" },
	{ 2, "$ipc mechanisms unix tcp", "usage" },
	{ 2, "$ipc demo a b", "usage" },
	{ 2, "$ipc help fly", "fly" },
	{ 1, "$ipc send unix:$dir/nobody", "nobody" },
	{ 1, "$ipc send pigeon:x", "pigeon" },
	{ 1, "$ipc send \"unix:$dir/nobody?colour=red\"", "colour" },
	{ 1, "$ipc recv -o fifo:$dir/nothing", "nothing" },
	{ 1, "$ipc recv -l -t 50 unix:$dir/late", "50 ms" },
	{ 1, "$ipc recv -c -t 50 fifo:$dir/quiet", "" },
	{ 1, "$ipc mechanisms pigeon", "pigeon" },
	{ 1, "$ipc spawn pipe: -- $dir/missing", "missing" },
	{ 1, "$ipc spawn pipe: -- sh -c 'exit 7'", "7" },
	{ 1, "$ipc demo $dir/missing", "missing" },
	{ 1, "$ipc demo /dev/zero", "/dev/zero: Illegal seek" },
	{ 1, "mkfifo $dir/f; $ipc demo $dir/f", "/f: Illegal seek" }
};
#define WRONGS	((int)(sizeof wrong / sizeof wrong[0]))

START_TEST(a_failure_is_1_and_wrong_usage_2_and_both_are_explained)
{
	struct program p;

	program_run(&p, wrong[_i].status, NULL, wrong[_i].command);
	assert_says(p.errors, wrong[_i].says);
	ck_assert_str_ne(p.errors, "");
	assert_text(&p, "");
	program_free(&p);
}
END_TEST

START_TEST(help_of_each_command_is_on_standard_output)
{
	static const char *const names[] = {
		"send", "recv", "cat", "bridge", "spawn", "mechanisms", "demo"
	};
	char command[64];
	struct program p, q;

	program_run(&p, 0, NULL, "$ipc --help");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		assert_says(p.text, names[i]);
		snprintf(command, sizeof command, "$ipc %s --help", names[i]);
		program_run(&q, 0, NULL, command);
		assert_says(q.text, "usage: ipc");
		program_free(&q);
	}
	program_free(&p);
}
END_TEST

START_TEST(a_full_standard_output_is_a_failure)
{
	struct program p;

	program_run(&p, 1, NULL, "$ipc mechanisms >/dev/full");
	assert_says(p.errors, "standard output");
	program_free(&p);
}
END_TEST

/*
 * send and recv
 */

static const char *const sessions[] = {
	"unix:$dir/s", "unixpacket:$dir/s", "unixgram:$dir/s", "fifo:$dir/s",
	"pipe:x?at=$dir/s", "sysvmq:x?at=$dir/s", "posixmq:/x?at=$dir/s",
	"sysvshm:x?at=$dir/s", "posixshm:/x?at=$dir/s", "memfd:x?at=$dir/s",
	"mmap:$dir/s", "file:$dir/s", "shm:x?at=$dir/s", "mq:x?at=$dir/s",
	"local:x?at=$dir/s"
};
#define SESSIONS	((int)(sizeof sessions / sizeof sessions[0]))

static const char *const opened[] = {
	"fifo:$dir/o", "unixgram:$dir/o", "sysvmq:$name", "posixmq:/$name",
	"sysvshm:$name", "posixshm:/$name", "mmap:$dir/o", "file:$dir/o"
};
#define OPENED	((int)(sizeof opened / sizeof opened[0]))

static bool
can(const char *address, enum ipc_way way)
{
	const struct ipc_mechanism *m = ipc_mechanism(address);

	return m && m->ways & 1u << way;
}

static void
start_at(struct program *p, const char *input, const char *how,
    const char *address)
{
	char command[256];

	snprintf(command, sizeof command, "exec $ipc %s \"%s\"", how, address);
	program_start(p, input, command);
}

static void
end_well(struct program *p)
{
	int status = program_end(p);

	ck_assert_msg(status == 0, "exit status %d: %s", status, p->errors);
}

START_TEST(lines_sent_over_a_session_are_printed_as_they_were)
{
	struct program in, out;

	if (!can(sessions[_i], IPC_WAY_SESSION))
		return;
	start_at(&in, NULL, "recv -l", sessions[_i]);
	await_file(in_dir("s"));
	start_at(&out, "one\n\nthree and more\n", "send -l", sessions[_i]);
	end_well(&out);
	end_well(&in);
	assert_text(&in, "one\n\nthree and more\n");
	ck_assert_msg(access(in_dir("s"), F_OK) < 0, "%s: the name is left",
	    sessions[_i]);
	program_free(&in);
	program_free(&out);
}
END_TEST

/* The shell knows what the address means.  A socket's name is gone already,
 * with the one who had bound it. */
static void
remove_object(const char *address)
{
	struct program p;
	char command[128];
	int rc;

	snprintf(command, sizeof command, "printf %%s \"%s\"", address);
	program_run(&p, 0, NULL, command);
	rc = ipc_unlink(p.text);
	ck_assert_msg(rc == (strstr(address, "unixgram") ? -ENOENT : 0),
	    "ipc_unlink gives %d: %s", rc, ipc_errmsg());
	program_free(&p);
}

START_TEST(lines_sent_to_an_opened_object_are_printed_as_they_were)
{
	struct program in, out;

	if (!can(opened[_i], IPC_WAY_OPEN))
		return;
	start_at(&in, NULL, "recv -n 3 -c", opened[_i]);
	if (strstr(opened[_i], "$dir"))
		await_file(in_dir("o"));
	/* A name that only its receiver can make is there now; any other is
	 * made by whoever comes first. */
	start_at(&out, "one\n\nthree and more\n",
	    strstr(opened[_i], "unixgram") ? "send -lo" : "send -lc",
	    opened[_i]);
	end_well(&out);
	end_well(&in);
	assert_text(&in, "one\n\nthree and more\n");
	remove_object(opened[_i]);
	program_free(&in);
	program_free(&out);
}
END_TEST

START_TEST(standard_input_goes_as_one_message_byte_for_byte)
{
	size_t size = 1 << 20;
	char *data = malloc(size);
	struct program in, out;

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	start_at(&in, NULL, "recv -r -n 1 -l", "unix:$dir/s");
	await_file(in_dir("s"));
	program_start_bytes(&out, data, size, "$ipc send unix:$dir/s");
	end_well(&out);
	end_well(&in);
	ck_assert_uint_eq(in.length, size);
	ck_assert(memcmp(in.text, data, size) == 0);
	program_free(&in);
	program_free(&out);
	free(data);
}
END_TEST

START_TEST(a_message_above_the_limit_is_refused_and_nothing_arrives)
{
	struct program in, out;

	start_at(&in, NULL, "recv -l", "unix:$dir/s");
	await_file(in_dir("s"));
	program_run(&out, 1, "0123456789",
	    "$ipc send \"unix:$dir/s?max-message=9\"");
	assert_says(out.errors, "10");
	program_end(&in);
	assert_text(&in, "");
	program_free(&in);
	program_free(&out);
}
END_TEST

START_TEST(fewer_messages_than_asked_for_are_a_failure)
{
	struct program in, out;

	start_at(&in, NULL, "recv -n 5 -l", "unix:$dir/s");
	await_file(in_dir("s"));
	program_run(&out, 0, "a\nb\n", "$ipc send -l unix:$dir/s");
	ck_assert_int_eq(program_end(&in), 1);
	assert_text(&in, "a\nb\n");
	program_free(&in);
	program_free(&out);
}
END_TEST

START_TEST(a_terminated_listener_leaves_no_name)
{
	struct program in;

	start_at(&in, NULL, "recv -l", "unix:$dir/s");
	await_file(in_dir("s"));
	ck_assert_int_eq(kill(in.pid, SIGTERM), 0);
	ck_assert_int_eq(program_end(&in), 128 + SIGTERM);
	ck_assert_int_lt(access(in_dir("s"), F_OK), 0);
	program_free(&in);
}
END_TEST

/*
 * cat and spawn
 */

START_TEST(cat_goes_both_ways_and_honours_half_closes)
{
	static const char *const ways[] = {
		"unix:$dir/s", "unix:$dir/s?boundary=stream",
		"unixpacket:$dir/s", "pipe:x?at=$dir/s", "fifo:$dir/s"
	};
	struct program server, client;
	char command[512];

	/* tr sees the end of its input only if ours went through, and the
	 * client sees the answer only if that did not end the other way. */
	snprintf(command, sizeof command, "mkfifo $dir/f && "
	    "{ $ipc cat -l \"%s\" <$dir/f | tr a-z A-Z >$dir/f; }", ways[_i]);
	program_start(&server, NULL, command);
	await_file(in_dir("s"));
	start_at(&client, "question\nand more\n", "cat", ways[_i]);
	end_well(&client);
	end_well(&server);
	assert_text(&client, "QUESTION\nAND MORE\n");
	program_free(&client);
	program_free(&server);
}
END_TEST

START_TEST(cat_moves_much_both_ways_at_once)
{
	struct program server, client, compare;

	program_run(&compare, 0, NULL, "cd $dir && "
	    "head -c 20000000 /dev/urandom >a && "
	    "head -c 20000000 /dev/urandom >b");
	program_free(&compare);
	program_start(&server, NULL,
	    "$ipc cat -l pipe:x?at=$dir/s <$dir/a >$dir/b2");
	await_file(in_dir("s"));
	program_start(&client, NULL,
	    "$ipc cat pipe:x?at=$dir/s <$dir/b >$dir/a2");
	end_well(&client);
	end_well(&server);
	program_run(&compare, 0, NULL,
	    "cd $dir && cmp a a2 && cmp b b2 && rm a a2 b b2");
	program_free(&client);
	program_free(&server);
	program_free(&compare);
}
END_TEST

static const char *const spawns[] = {
	"pipe:", "unix:", "fifo:", "tcp:"
};

START_TEST(spawn_is_a_filter)
{
	struct program p;
	char command[256];

	if (!can(spawns[_i], IPC_WAY_PAIR))
		return;
	snprintf(command, sizeof command,
	    "head -c 3000000 /dev/urandom >$dir/a && "
	    "$ipc spawn %s -- cat <$dir/a | cmp - $dir/a", spawns[_i]);
	program_run(&p, 0, NULL, command);
	program_free(&p);
	snprintf(command, sizeof command,
	    "$ipc spawn %s -- tr a-z A-Z", spawns[_i]);
	program_run(&p, 0, "hello\n", command);
	assert_text(&p, "HELLO\n");
	program_free(&p);
}
END_TEST

START_TEST(spawn_ends_with_a_program_that_does_not_read)
{
	struct program p;

	program_run(&p, 0, NULL, "mkfifo $dir/f && "
	    "$ipc spawn pipe: -- echo done <>$dir/f");
	assert_text(&p, "done\n");
	program_free(&p);
}
END_TEST

/* Is run by the test below as the other program. */
static int
inheriting_child(void)
{
	struct ipc_channel *ch;
	char text[64];
	ssize_t n;

	if (ipc_inherit(&ch) < 0)
		return 3;
	while ((n = ipc_recv(ch, text, sizeof text, -1)) >= 0)
		if (ipc_send(ch, "got ", 4, -1) < 0 ||
		    ipc_send(ch, text, (size_t)n, -1) < 0)
			return 4;
	ipc_close(ch);
	return n == -EPIPE ? 0 : 5;
}

START_TEST(spawn_hands_a_channel_to_a_child_that_inherits)
{
	struct program p;

	program_run(&p, 0, "a message\n", "$ipc spawn -i unix: -- $self child");
	assert_text(&p, "got a message\n");
	program_free(&p);
}
END_TEST

/*
 * mechanisms and demo
 */

START_TEST(mechanisms_are_those_of_the_library)
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	struct program table, json;
	char name[64];

	program_run(&table, 0, NULL, "$ipc mechanisms");
	program_run(&json, 0, NULL, "$ipc mechanisms --json");
	assert_json(&json);
	for (size_t i = 0; i < n; i++) {
		assert_says(table.text, list[i]->title);
		snprintf(name, sizeof name, "\"scheme\": \"%s\"",
		    list[i]->scheme);
		assert_says(json.text, name);
	}
	program_free(&table);
	program_free(&json);
	program_run(&table, 0, NULL, "$ipc mechanisms unix");
	assert_says(table.text, "session");
	assert_says(table.text, "fds");
	program_free(&table);
}
END_TEST

START_TEST(the_demo_passes_over_every_mechanism_and_leaves_nothing)
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	struct program p;

	/* The command itself goes, though its name is gone. */
	program_run(&p, 0, NULL, "mkdir $dir/tmp; cp $ipc $dir/i; exec 9<"
	    "$dir/i; rm $dir/i; TMPDIR=$dir/tmp /proc/$$/fd/9 demo && "
	    "rmdir $dir/tmp");
	for (size_t i = 0; i < n; i++)
		assert_says(p.text, list[i]->scheme);
	assert_says(p.text, " 0 failed");
	program_free(&p);
	program_run(&p, 0, NULL, "head -c 1000 $self >$dir/f; "
	    "$ipc demo --json $dir/f");
	assert_json(&p);
	ck_assert_ptr_null(strstr(p.text, "\"ok\": false"));
	program_free(&p);
}
END_TEST

/*
 * All of it
 */

static void
add(TCase *tc, const TTest *const *tests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tc, tests[i]);
}
#define ADD(s, name, ...) do {						\
	const TTest *const tests_[] = { __VA_ARGS__ };			\
	add(program_tcase((s), (name)), tests_,				\
	    sizeof tests_ / sizeof tests_[0]);				\
} while (0)

static void
add_loop(Suite *s, const char *name, const TTest *test, int count)
{
	tcase_add_loop_test(program_tcase(s, name), test, 0, count);
}

int
main(int argc, char *argv[])
{
	Suite *s;

	if (argc > 1 && !strcmp(argv[1], "child"))
		return inheriting_child();
	s = suite_create("tool");
	add_loop(s, "status",
	    a_failure_is_1_and_wrong_usage_2_and_both_are_explained, WRONGS);
	ADD(s, "help", help_of_each_command_is_on_standard_output,
	    a_full_standard_output_is_a_failure);
	add_loop(s, "session",
	    lines_sent_over_a_session_are_printed_as_they_were, SESSIONS);
	add_loop(s, "open",
	    lines_sent_to_an_opened_object_are_printed_as_they_were, OPENED);
	ADD(s, "messages", standard_input_goes_as_one_message_byte_for_byte,
	    a_message_above_the_limit_is_refused_and_nothing_arrives,
	    fewer_messages_than_asked_for_are_a_failure,
	    a_terminated_listener_leaves_no_name);
	add_loop(s, "cat", cat_goes_both_ways_and_honours_half_closes, 5);
	ADD(s, "cat much", cat_moves_much_both_ways_at_once);
	add_loop(s, "spawn", spawn_is_a_filter, 4);
	ADD(s, "spawn more", spawn_ends_with_a_program_that_does_not_read,
	    spawn_hands_a_channel_to_a_child_that_inherits);
	ADD(s, "tables", mechanisms_are_those_of_the_library,
	    the_demo_passes_over_every_mechanism_and_leaves_nothing);
	return program_run_all(s);
}
