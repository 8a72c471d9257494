/* SPDX-License-Identifier: ISC */
/*
 * ipc serve and ipc call: a shell script is a server.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "program.h"

#define SHORT	"200"		/* ms: a call that is meant to be given up */

static struct program server;

/* With these options, at unix:$dir/s, running a script of the shell. */
static void
serve(const char *options, const char *script)
{
	char command[4096];

	setenv("script", script, 1);
	snprintf(command, sizeof command, "exec ipc serve %s -- "
	    "sh -c \"$script\"", options);
	program_start(&server, NULL, command);
	await_file(in_dir("s"));
}

static void
stop(void)
{
	kill(server.pid, SIGTERM);
	ck_assert_int_eq(program_end(&server), 0);
	ck_assert_int_lt(access(in_dir("s"), F_OK), 0);
	program_free(&server);
}

static void
expect(int status, const char *want, const char *command)
{
	struct program p;

	program_run(&p, status, NULL, command);
	ck_assert_msg(!strcmp(p.text, want), "%s: it printed '%s', not '%s': "
	    "%s", command, p.text, want, p.errors);
	program_free(&p);
}

static void
complains(int status, const char *words, const char *command)
{
	struct program p;

	program_run(&p, status, NULL, command);
	ck_assert_msg(strstr(p.errors, words) != NULL, "%s: '%s' does not say "
	    "'%s'", command, p.errors, words);
	program_free(&p);
}

/* A process whose number the script has written to $dir/NAME is gone, or waits
 * for somebody to reap it. */
static void
await_death(const char *name)
{
	char command[256];

	snprintf(command, sizeof command, "p=$(cat $dir/%s) && for i in "
	    "$(seq 1000); do grep -sq '^State:[[:space:]]*[^Z[:space:]]' "
	    "/proc/$p/status || exit 0; sleep 0.01; done; exit 1", name);
	expect(0, "", command);
}

#define METHODS								\
	"case $IPC_METHOD in "						\
	"upper) tr a-z A-Z;; "						\
	"cat) cat;; "							\
	"nothing) ;; "							\
	"fail) echo 'one line' >&2; echo \"it is $(cat)\" >&2; "	\
	"exit 7;; "							\
	"silent) exit 200;; "						\
	"die) kill -KILL $$;; "						\
	"warn) echo careful >&2; echo done;; "				\
	"*) echo \"no $IPC_METHOD here\" >&2; exit 38;; esac"

START_TEST(a_shell_script_is_a_server)
{
	serve("unix:$dir/s", METHODS);
	expect(0, "HELLO, WORLD\n", "ipc call unix:$dir/s upper hello, world");
	expect(0, "HELLO", "ipc call -r unix:$dir/s upper hello");
	expect(0, "\n", "ipc call unix:$dir/s nothing");
	expect(0, "", "ipc call -r unix:$dir/s nothing");
	expect(0, "a\nb\n", "printf 'a\\nb\\n' | ipc call -i unix:$dir/s cat");
	expect(0, "done\n", "ipc call unix:$dir/s warn");
	expect(0, "", "ipc call unix:$dir/s cat '' | tr -d '\\n'");
	stop();
}
END_TEST

START_TEST(a_failure_is_told_with_code_and_text)
{
	serve("unix:$dir/s", METHODS);
	complains(7, "it is late", "ipc call unix:$dir/s fail late");
	complains(7, "one line", "ipc call unix:$dir/s fail late");
	complains(38, "no sugar here", "ipc call unix:$dir/s sugar");
	complains(200, "exit status 200", "ipc call unix:$dir/s silent");
	complains(137, "Killed", "ipc call unix:$dir/s die");
	stop();
	complains(1, "s", "ipc call unix:$dir/s upper x");
}
END_TEST

START_TEST(a_command_that_is_not_there_is_told)
{
	program_start(&server, NULL, "exec ipc serve unix:$dir/s -- no-such");
	await_file(in_dir("s"));
	complains(127, "no-such", "ipc call unix:$dir/s x");
	stop();
}
END_TEST

START_TEST(the_command_knows_who_calls)
{
	char want[64];

	serve("unix:$dir/s", "echo $IPC_METHOD $IPC_CALLER_UID "
	    "$IPC_CALLER_GID; test $IPC_CALLER_PID -gt 1; "
	    "echo ${IPC_TIME_LEFT:+limited}");
	snprintf(want, sizeof want, "a method %d %d\n\n", (int)geteuid(),
	    (int)getegid());
	expect(0, want, "ipc call unix:$dir/s 'a method'");
	snprintf(want, sizeof want, "m %d %d\nlimited\n", (int)geteuid(),
	    (int)getegid());
	expect(0, want, "ipc call -t 10000 unix:$dir/s m");
	stop();
}
END_TEST

/* The server takes more files than usual, for its clients; the command's limit
 * is the one that there was. */
START_TEST(many_clients_at_once)
{
	serve("-n 4 unix:$dir/s", "ulimit -Sn");
	expect(0, "60\n", "n=$(ulimit -Sn); for i in $(seq 60); do "
	    "ipc call unix:$dir/s x & done | grep -cx $n; wait");
	stop();
}
END_TEST

static const char *const others[] = {
	"tcp://127.0.0.1:0", "unixpacket:$dir/o", "memfd:$dir/o", "pipe:$dir/o",
	"mmap:$dir/o", "posixshm:$name", "sysvmq:$name", "posixmq:$name",
	"fifo:$dir/o"
};
#define OTHERS	((int)(sizeof others / sizeof others[0]))

START_TEST(several_addresses_of_any_mechanism)
{
	char line[4096];
	struct program p;

	if (strstr(others[_i], "mq:") != NULL)
		claim_queues();
	setenv("other", others[_i], 1);
	setenv("script", METHODS, 1);
	program_start(&server, NULL, "exec ipc serve -p $(eval echo $other) "
	    "unix:$dir/s -- sh -c \"$script\"");
	await_file(in_dir("s"));
	program_line(&server, line, sizeof line);
	setenv("address", line, 1);
	expect(0, "HELLO\n", "ipc call \"$address\" upper hello");
	expect(0, "HELLO\n", "ipc call unix:$dir/s upper hello");
	complains(7, "it is so", "ipc call \"$address\" fail so");
	program_run(&p, 0, NULL, "head -c 3000000 /dev/urandom >$dir/in; "
	    "ipc call -ir \"$address\" cat <$dir/in | cmp - $dir/in");
	program_free(&p);
	stop();
}
END_TEST

START_TEST(no_more_run_at_once_than_allowed)
{
	serve("-n 2 unix:$dir/s", "mkdir $dir/a 2>/dev/null && place=a || "
	    "{ mkdir $dir/b && place=b; } || exit 1; sleep 0.03; "
	    "rmdir $dir/$place; echo in");
	expect(0, "8\n", "for i in 1 2 3 4 5 6 7 8; do "
	    "ipc call unix:$dir/s x & done | grep -c in; wait");
	stop();
}
END_TEST

START_TEST(who_finds_no_place_to_wait_is_told)
{
	struct program first;

	serve("-n 1 -q 0 unix:$dir/s", "echo $$ >$dir/pid; cat; "
	    "while ! test -e $dir/go; do sleep 0.01; done");
	program_start(&first, NULL, "exec ipc call unix:$dir/s x first");
	await_file(in_dir("pid"));
	complains(1, "takes no more", "ipc call unix:$dir/s x second");
	expect(0, "", ": >$dir/go");
	ck_assert_int_eq(program_end(&first), 0);
	ck_assert_str_eq(first.text, "first\n");
	program_free(&first);
	expect(0, "third\n", "ipc call unix:$dir/s x third");
	stop();
}
END_TEST

/* Its own child is of its group, and goes as well. */
#define STAND_STILL							\
	"echo $$ >$dir/shell; sleep 1000 & echo $! >$dir/n; "		\
	"mv $dir/n $dir/child; wait"

START_TEST(a_call_that_is_given_up_ends_its_command)
{
	serve("unix:$dir/s", STAND_STILL);
	complains(1, "time", "ipc call -t " SHORT " unix:$dir/s x");
	await_death("child");
	stop();
}
END_TEST

START_TEST(a_killed_client_ends_its_command)
{
	struct program client;

	serve("unix:$dir/s", STAND_STILL);
	program_start(&client, NULL, "exec ipc call unix:$dir/s x");
	await_file(in_dir("child"));
	kill(client.pid, SIGKILL);
	ck_assert_int_eq(program_end(&client), 128 + SIGKILL);
	program_free(&client);
	await_death("child");
	stop();
}
END_TEST

START_TEST(a_command_has_no_more_time_than_allowed)
{
	serve("-t 200 unix:$dir/s", STAND_STILL);
	complains(110, "", "ipc call unix:$dir/s x");
	await_death("child");
	stop();
}
END_TEST

START_TEST(who_does_not_heed_is_killed)
{
	serve("-t 50 unix:$dir/s", "trap '' TERM; " STAND_STILL);
	complains(110, "", "ipc call unix:$dir/s x");
	await_death("child");
	stop();
}
END_TEST

START_TEST(what_waits_its_turn_may_be_given_up_too)
{
	struct program first;

	serve("-n 1 unix:$dir/s", "cat >>$dir/ran; " STAND_STILL);
	program_start(&first, NULL, "exec ipc call unix:$dir/s x 1");
	await_file(in_dir("child"));
	complains(1, "time", "ipc call -t 100 unix:$dir/s x 2");
	kill(first.pid, SIGTERM);
	program_end(&first);
	program_free(&first);
	await_death("child");
	stop();
	expect(0, "1", "cat $dir/ran");
}
END_TEST

START_TEST(the_end_of_the_server_is_that_of_its_commands)
{
	struct program client;

	for (int sig = SIGTERM; sig != 0;
	    sig = sig == SIGTERM ? SIGKILL : 0) {
		serve("unix:$dir/s", STAND_STILL);
		program_start(&client, NULL, "exec ipc call unix:$dir/s x");
		await_file(in_dir("child"));
		kill(server.pid, sig);
		ck_assert_int_eq(program_end(&server),
		    sig == SIGKILL ? 128 + SIGKILL : 0);
		ck_assert_int_ne(program_end(&client), 0);
		program_free(&server);
		program_free(&client);
		/* Killed, it can only end the command itself. */
		await_death("shell");
		if (sig == SIGTERM)
			await_death("child");
		else
			expect(0, "", "kill $(cat $dir/child); rm $dir/s");
		expect(0, "", "rm $dir/child");
	}
}
END_TEST

START_TEST(what_runs_on_in_the_background_is_not_waited_for)
{
	serve("unix:$dir/s", "sleep 1000 & echo $! >$dir/child; echo started");
	expect(0, "started\n", "ipc call -t 5000 unix:$dir/s x");
	expect(0, "", "kill $(cat $dir/child)");
	stop();
}
END_TEST

START_TEST(a_call_may_want_no_answer)
{
	serve("unix:$dir/s", "cat >$dir/new; mv $dir/new $dir/got; exit 3");
	expect(0, "", "ipc call -n unix:$dir/s x quiet");
	await_file(in_dir("got"));
	expect(0, "quiet", "cat $dir/got");
	stop();
}
END_TEST

START_TEST(parts_come_as_they_are_printed)
{
	struct program client;
	char line[64];

	serve("unix:$dir/s", "echo one; while ! test -e $dir/go; do "
	    "sleep 0.01; done; echo two; printf three; exit $(cat)");
	program_start(&client, NULL, "exec ipc call -p unix:$dir/s x 0");
	program_line(&client, line, sizeof line);
	ck_assert_str_eq(line, "one");
	expect(0, "", ": >$dir/go");
	ck_assert_int_eq(program_end(&client), 0);
	ck_assert_str_eq(client.text, "one\ntwo\nthree");
	program_free(&client);
	expect(5, "one\ntwo\nthree", "ipc call -p unix:$dir/s x 5");
	stop();
}
END_TEST

START_TEST(parts_go_no_faster_than_they_are_taken)
{
	serve("unix:$dir/s", "echo $$ >$dir/child; case $IPC_METHOD in "
	    "long) head -c 5000000 /dev/zero;; *) exec yes;; esac");
	expect(0, "5000000\n", "ipc call -p unix:$dir/s long | "
	    "(sleep 0.2; wc -c)");
	expect(0, "y\n", "ipc call -p unix:$dir/s yes | head -n 1");
	await_death("child");
	stop();
}
END_TEST

START_TEST(an_answer_has_an_end)
{
	serve("unix:$dir/s", "echo $$ >$dir/child; exec yes");
	complains(90, "", "ipc call unix:$dir/s x");
	await_death("child");
	stop();
}
END_TEST

START_TEST(wrong_use_is_told)
{
	complains(2, "usage: ipc call", "ipc call unix:$dir/s");
	complains(2, "usage: ipc call", "ipc call -np unix:$dir/s x");
	complains(2, "usage: ipc call", "ipc call -i unix:$dir/s x y");
	complains(2, "usage: ipc serve", "ipc serve unix:$dir/s");
	complains(2, "usage: ipc serve", "ipc serve unix:$dir/s cat");
	complains(2, "usage: ipc serve", "ipc serve unix:$dir/s --");
	complains(2, "usage: ipc serve", "ipc serve -- cat");
	complains(2, "count", "ipc serve -n 0 unix:$dir/s -- cat");
	complains(1, "nonsense", "ipc serve unix:$dir/s nonsense: -- cat");
	complains(1, "nonsense", "ipc call nonsense: x");
	ck_assert_int_lt(access(in_dir("s"), F_OK), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("calltool");
	TCase *tc = program_tcase(suite, "calls");

	tcase_add_test(tc, a_shell_script_is_a_server);
	tcase_add_test(tc, a_failure_is_told_with_code_and_text);
	tcase_add_test(tc, a_command_that_is_not_there_is_told);
	tcase_add_test(tc, the_command_knows_who_calls);
	tcase_add_test(tc, many_clients_at_once);
	tcase_add_loop_test(tc, several_addresses_of_any_mechanism, 0, OTHERS);
	tcase_add_test(tc, no_more_run_at_once_than_allowed);
	tcase_add_test(tc, who_finds_no_place_to_wait_is_told);
	tcase_add_test(tc, a_call_that_is_given_up_ends_its_command);
	tcase_add_test(tc, a_killed_client_ends_its_command);
	tcase_add_test(tc, a_command_has_no_more_time_than_allowed);
	tcase_add_test(tc, who_does_not_heed_is_killed);
	tcase_add_test(tc, what_waits_its_turn_may_be_given_up_too);
	tcase_add_test(tc, the_end_of_the_server_is_that_of_its_commands);
	tcase_add_test(tc, what_runs_on_in_the_background_is_not_waited_for);
	tcase_add_test(tc, a_call_may_want_no_answer);
	tcase_add_test(tc, parts_come_as_they_are_printed);
	tcase_add_test(tc, parts_go_no_faster_than_they_are_taken);
	tcase_add_test(tc, an_answer_has_an_end);
	tcase_add_test(tc, wrong_use_is_told);
	return program_run_all(suite);
}
