/* SPDX-License-Identifier: ISC */
/*
 * ipc lock and ipc sem, and the examples about order, run from a shell.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ipc/ipc.h>

#include "name.h"
#include "program.h"

static void
assert_text(const struct program *p, const char *want)
{
	ck_assert_msg(!strcmp(p->text, want), "it printed '%s', not '%s': %s",
	    p->text, want, p->errors);
}

static void
expect(int status, const char *want, const char *command)
{
	struct program p;

	program_run(&p, status, NULL, command);
	assert_text(&p, want);
	program_free(&p);
}

static void
complains(int status, const char *word, const char *command)
{
	struct program p;

	program_run(&p, status, NULL, command);
	ck_assert_msg(strstr(p.errors, word) != NULL, "'%s' does not say '%s'",
	    p.errors, word);
	program_free(&p);
}

static const char *const mutexes[] = {
	"mutex:check-tool", "sysvmutex:check-tool", "filelock:$dir/lock",
	"rwlock:check-tool", "sysvrwlock:check-tool"
};
#define MUTEXES	5
#define SHARED	2	/* from here on they can be shared */

START_TEST(lock_runs_a_program_with_the_lock)
{
	setenv("M", mutexes[_i], 1);
	expect(0, "done\n", "eval ipc lock $M -- echo done");
	expect(0, "done\n", "eval ipc lock $M echo done");
	complains(1, "exit status 3",
	    "eval \"ipc lock $M -- sh -c 'exit 3'\"");
	complains(1, "timed out",
	    "eval \"ipc lock $M -- ipc lock -t 20 $M -- true\"");
	complains(1, "would have to wait",
	    "eval \"ipc lock $M -- ipc lock -t 0 $M -- true\"");
	complains(1, "no-such", "eval ipc lock $M -- no-such-program");
	expect(0, "", "eval ipc rm $M");
	complains(1, "ipc list", "eval ipc rm $M");
}
END_TEST

START_TEST(lock_tells_of_a_dead_owner)
{
	setenv("M", mutexes[_i], 1);
	/* The program kills the command that holds the lock. */
	complains(137, "", "eval \"ipc lock $M -- sh -c 'kill -9 "
	    "\\$PPID'\"");
	complains(0, "died", "eval ipc lock -t 5000 $M -- true");
	expect(0, "", "eval ipc lock $M -- true && eval ipc rm $M");
}
END_TEST

/* Whoever ends the command ends the program, which would go on without. */
START_TEST(lock_does_not_leave_its_program_running)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGKILL };
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct program p;
	char line[32];
	pid_t pid;

	setenv("M", mutexes[_i], 1);
	for (int i = 0; i < 3; i++) {
		program_start(&p, NULL, "eval \"exec ipc lock $M -- "
		    "sh -c 'echo \\$\\$; exec sleep 60'\"");
		program_line(&p, line, sizeof line);
		pid = (pid_t)strtol(line, NULL, 10);
		ck_assert_int_gt(pid, 1);
		ck_assert_int_eq(kill(p.pid, signals[i]), 0);
		ck_assert_int_eq(program_end(&p),
		    signals[i] == SIGKILL ? 128 + SIGKILL : 1);
		program_free(&p);
		for (int n = 0; n < 5000 && ipc__alive(pid, 0); n++)
			nanosleep(&pause, NULL);
		ck_assert(!ipc__alive(pid, 0));
	}
	complains(0, "died", "eval ipc lock -t 5000 $M -- true");
	expect(0, "", "eval ipc rm $M");
}
END_TEST

START_TEST(lock_lets_one_in_at_a_time)
{
	setenv("M", mutexes[_i], 1);
	expect(0, "40\n", "echo 0 >$dir/n; for i in 1 2 3 4; do (for j in 1 2 "
	    "3 4 5 6 7 8 9 10; do eval \"ipc lock $M -- sh -c '"
	    "read n <\\$dir/n; echo \\$((n + 1)) >\\$dir/n'\"; done) & done; "
	    "wait; cat $dir/n; eval ipc rm $M");
}
END_TEST

START_TEST(lock_lets_readers_in_together)
{
	setenv("M", mutexes[_i], 1);
	/* Each waits for the other. */
	expect(0, "", "for i in 1 2; do eval \"ipc lock -s -t 15000 $M -- sh "
	    "-c '>\\$dir/in$i; until test -e \\$dir/in1 -a -e \\$dir/in2; "
	    "do sleep 0.01; done'\" & done; wait");
	expect(0, "", "test -e $dir/in1 -a -e $dir/in2");
	expect(0, "", "eval ipc lock --shared $M -- ipc lock -s -t 0 $M -- "
	    "true");
	complains(1, "would have to wait",
	    "eval ipc lock -s $M -- ipc lock -t 0 $M -- true");
	complains(1, "timed out",
	    "eval ipc lock $M -- ipc lock -s -t 20 $M -- true");
	complains(137, "", "eval \"ipc lock $M -- sh -c 'kill -9 "
	    "\\$PPID'\"");
	complains(0, "died", "eval ipc lock -s -t 5000 $M -- true");
	complains(0, "died", "eval ipc lock -t 5000 $M -- true");
	expect(0, "", "eval ipc lock -s $M -- true && eval ipc rm $M");
}
END_TEST

/* KIND:NAME, for $1 a part of the name. */
#define LISTED "ipc list -j 2>/dev/null | sed -n 's/.*\"kind\": \"" \
    "\\([^\"]*\\)\", \"name\": \"\\([^\"]*\\)\".*/\\1:\\2/p' | grep "

START_TEST(what_list_shows_can_be_given_to_rm)
{
	static const char *const addresses[] = {
		"mutex:$name-a/b", "sysvmutex:$name", "rwlock:$name",
		"sysvrwlock:$name", "sem:$name", "sysvsem:$name",
		"posixsem:/$name"
	};
	char command[300];

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		setenv("M", addresses[i], 1);
		expect(0, "", strstr(addresses[i], "sem:") ?
		    "eval ipc sem -c 1 $M wait" : "eval ipc lock $M -- true");
		snprintf(command, sizeof command, "test \"$(" LISTED
		    "$name)\" = \"$(eval echo $M)\"");
		expect(0, "", command);
		expect(0, "", "eval ipc rm $M");
		complains(1, "ipc list", "eval ipc rm $M");
	}
}
END_TEST

START_TEST(rm_removes_memory_that_is_no_ring)
{
	struct ipc_region *r = NULL;
	char address[128];

	snprintf(address, sizeof address, "posixshm:/%s?size=4096",
	    getenv("name"));
	ck_assert_int_eq(ipc_region_open(&r, address, IPC_CREATE), 0);
	expect(0, "", "ipc rm posixshm:/$name");
	complains(1, "ipc list", "ipc rm posixshm:/$name");
	ck_assert_int_eq(ipc_region_close(r), 0);
}
END_TEST

static const char *const semaphores[] = {
	"sem:check-tool", "sysvsem:check-tool", "posixsem:/ipc-check-tool"
};

START_TEST(sem_takes_gives_and_shows)
{
	setenv("S", semaphores[_i], 1);
	complains(1, "there is no", "ipc sem $S value");
	expect(0, "2\n", "ipc sem -c 2 $S value");
	expect(0, "1\n", "ipc sem $S wait && ipc sem $S value");
	expect(0, "4\n", "ipc sem -n 3 $S post && ipc sem $S value");
	expect(0, "3\n", "ipc sem -t 0 $S wait; ipc sem $S value");
	complains(1, "timed out", "ipc sem $S wait; ipc sem $S wait; "
	    "ipc sem $S wait; ipc sem -t 10 $S wait");
	expect(0, "", "ipc rm $S");
}
END_TEST

START_TEST(wrong_use_is_told)
{
	complains(2, "usage: ipc lock", "ipc lock mutex:x");
	complains(2, "usage: ipc sem", "ipc sem sem:x eat");
	complains(2, "usage: ipc sem", "ipc sem sem:x");
	complains(2, "usage: ipc sem", "ipc sem -c 3 -n 2 sem:x wait");
	complains(2, "usage: ipc sem", "ipc sem -c 3 -t 2 sem:x post");
	complains(1, "no mutex", "ipc lock sem:x -- true");
	complains(1, "no reader-writer lock", "ipc lock -s mutex:x -- true");
	complains(1, "no semaphore", "ipc sem mutex:x value");
}
END_TEST

START_TEST(counter_counts_all_under_its_mutex)
{
	expect(0, "4000000 of 4000000\n", "$examples/counter");
}
END_TEST

START_TEST(counter_may_miscount_without_its_mutex)
{
	struct program p;
	long counted = 0, of = 0;

	program_run(&p, 0, NULL, "$examples/counter -u");
	ck_assert_int_eq(sscanf(p.text, "%ld of %ld", &counted, &of), 2);
	ck_assert_int_eq(of, 4000000);
	ck_assert(counted > 0 && counted <= of);
	program_free(&p);
}
END_TEST

START_TEST(table_is_seen_whole_by_its_readers)
{
	expect(0, "3 readers saw 10000 changes, each of them whole\n",
	    "$examples/table");
}
END_TEST

START_TEST(pool_lets_no_more_in_than_it_has_places)
{
	expect(0, "4\n2\n", "for i in 1 2 3 4; do $examples/pool sem:pool 2 "
	    "'mkdir $dir/a 2>/dev/null && place=a || { mkdir $dir/b && "
	    "place=b; } || exit 1; sleep 0.02; rmdir $dir/$place; "
	    "echo in >>$dir/log' & done; wait; grep -c in $dir/log; "
	    "ipc sem sem:pool value; ipc rm sem:pool");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("synctool");
	TCase *tc = program_tcase(suite, "order");

	tcase_add_loop_test(tc, lock_runs_a_program_with_the_lock, 0,
	    MUTEXES);
	tcase_add_loop_test(tc, lock_tells_of_a_dead_owner, 0, MUTEXES);
	tcase_add_loop_test(tc, lock_does_not_leave_its_program_running, 0,
	    MUTEXES);
	tcase_add_loop_test(tc, lock_lets_one_in_at_a_time, 0, MUTEXES);
	tcase_add_loop_test(tc, lock_lets_readers_in_together, SHARED,
	    MUTEXES);
	tcase_add_test(tc, what_list_shows_can_be_given_to_rm);
	tcase_add_test(tc, rm_removes_memory_that_is_no_ring);
	tcase_add_loop_test(tc, sem_takes_gives_and_shows, 0, 3);
	tcase_add_test(tc, wrong_use_is_told);
	tcase_add_test(tc, counter_counts_all_under_its_mutex);
	tcase_add_test(tc, counter_may_miscount_without_its_mutex);
	tcase_add_test(tc, table_is_seen_whole_by_its_readers);
	tcase_add_test(tc, pool_lets_no_more_in_than_it_has_places);
	return program_run_all(suite);
}
