/* SPDX-License-Identifier: ISC */
/*
 * ipc bench: its command line, what it prints, and that it leaves nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "json.h"
#include "program.h"

/* As short as it can be. */
#define SHORT	"TMPDIR=$dir $ipc bench -q -m 1 "

static void
says(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what) != NULL, "no '%s' in:\n%s", what,
	    text);
}

static void
says_each(const char *text, const char *const *what)
{
	for (; *what != NULL; what++)
		says(text, *what);
}

#define says_all(text, ...)						\
	says_each((text), (const char *const[]){ __VA_ARGS__, NULL })

/* How many names are in a directory. */
static int
names_in(const char *path)
{
	struct dirent *d;
	DIR *dir = opendir(path);
	int n = 0;

	ck_assert_msg(dir != NULL, "%s: %s", path, strerror(errno));
	while ((d = readdir(dir)))
		n += *d->d_name != '.';
	closedir(dir);
	return n;
}

START_TEST(wrong_options_are_told)
{
	static const struct { const char *arguments, *says; } wrong[] = {
		{ "-s 0", "multiples of 8" },
		{ "-s 12", "multiples of 8" },
		{ "-s 8,", "multiples of 8" },
		{ "-s 1G", "multiples of 8" },
		{ "-s 65M", "multiples of 8" },
		{ "-s -8", "multiples of 8" },
		{ "-r 0", "repeat '0': a number from 1 to" },
		{ "-r x", "a number from 1 to" },
		{ "-m 0", "span '0'" },
		{ "-o speed", "there is no 'speed'" },
		{ "-o rate,", "there is no ''" },
		{ "-c 0", "two numbers" },
		{ "-c 0,1000", "may not run on processor 1000" },
		{ "-c 0,1,2", "two numbers" },
		{ "nonsense:", "no such mechanism" },
		{ "-x", "usage" }
	};
	char command[64];

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct program p;

		snprintf(command, sizeof command, "$ipc bench %s",
		    wrong[i].arguments);
		program_run(&p, 2, NULL, command);
		says(p.errors, wrong[i].says);
		ck_assert_str_eq(p.text, "");
		program_free(&p);
	}
}
END_TEST

START_TEST(help_lists_what_can_be_measured)
{
	struct program p;

	program_run(&p, 0, NULL, "$ipc bench --help");
	says_all(p.text, "usage: ipc bench ", "round-trip", "in-place");
	program_free(&p);
}
END_TEST

/* Beside what was asked for stand the bare calls under it, and the limits. */
START_TEST(tables_have_what_was_asked_for)
{
	struct program p;

	program_run(&p, 0, NULL, SHORT "-s 8,1K -o round-trip unix pipe");
	says_all(p.text, "Round trip\n", "8 B          1 KiB\n", "\n  slot  ",
	    "\n  unix stream  ", "\n  pipe  ", "\n  unix:  ", "\n  pipe:  ");
	ck_assert_ptr_null(strstr(p.text, "memfd"));
	ck_assert_ptr_null(strstr(p.text, "\n  tcp"));
	ck_assert_ptr_null(strstr(p.text, "One way"));
	program_free(&p);
	program_run(&p, 0, NULL, SHORT "-o call,calls unix");
	says_all(p.text, "Empty call, one at a time\n",
	    "Empty calls, 32 under way\n", "\n  unix framed  ",
	    "\n  unix: rpc  ", "\n  libipc / other  ");
	ck_assert_ptr_null(strstr(p.text, "local:"));
	program_free(&p);
	program_run(&p, 0, NULL, SHORT "-l -s 64 -o rate pipe");
	says(p.text, "CPU/msg");
	program_free(&p);
	ck_assert_int_eq(names_in(in_dir(".")), 0);
}
END_TEST

/* With everything that can be measured, so that it is measured. */
START_TEST(json_has_every_figure)
{
	struct program p;

	program_run(&p, 0, NULL, SHORT "-j -r 2 -s 64 -o round-trip,rate,"
	    "batch,peek,in-place,wake-up,set-up,memory,idle memfd");
	ck_assert_msg(is_json(p.text), "%s", p.text);
	says_all(p.text,
	    "\"metric\": \"round-trip\", \"size\": 64, \"subject\": "
	    "\"memfd:\", \"class\": \"libipc\", \"distance\": \"",
	    "\"clock\": {", "\"places\": [", "\"line_ns\": [",
	    "\"p999_ns\": {\"median\": ", "\"preempted\": ",
	    "\"metric\": \"batch\"", "\"metric\": \"in-place\"",
	    "\"metric\": \"wake-up\"", "\"metric\": \"set-up\"", "\"kib\": {",
	    "\"clients\": 8", "\"class\": \"limit\"",
	    "\"ratios\": {\"limit\": ");
	program_free(&p);
}
END_TEST

START_TEST(every_mechanism_is_measured)
{
	static const char *const all[] = {
		"pipe:", "fifo:", "unix:", "unixpacket:", "unixgram:", "tcp:",
		"udp:", "sysvmq:", "posixmq:", "sysvshm:", "posixshm:",
		"memfd:", "mmap:", "file:", "inproc:"
	};
	struct program p;
	char what[64];

	claim_queues();
	program_run(&p, 0, NULL, SHORT "-j -s 64 -o round-trip");
	ck_assert_msg(is_json(p.text), "%s", p.text);
	ck_assert_ptr_null(strstr(p.text, "\"state\": \"failed\""));
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		snprintf(what, sizeof what, "\"subject\": \"%s\"", all[i]);
		says(p.text, what);
	}
	program_free(&p);
	ck_assert_int_eq(names_in(in_dir(".")), 0);
}
END_TEST

/* What a mechanism can not carry is no failure. */
START_TEST(what_does_not_fit_is_left_out)
{
	struct program p;

	program_run(&p, 0, NULL, SHORT "-j -s 64K -o round-trip udp");
	says_all(p.text, "\"subject\": \"udp:\"", "\"state\": \"absent\"",
	    "at most ");
	program_free(&p);
}
END_TEST

/* Both sides on the one processor that there may be. */
START_TEST(one_processor_is_enough)
{
	struct program p;
	cpu_set_t set;
	char command[128];
	int cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	snprintf(command, sizeof command, SHORT "-j -s 64 -o round-trip "
	    "-c %d,%d pipe", cpu, cpu);
	program_run(&p, 0, NULL, command);
	ck_assert_msg(is_json(p.text), "%s", p.text);
	says(p.text, "\"distance\": \"ONE\"");
	ck_assert_ptr_null(strstr(p.text, "\"subject\": \"slot\""));
	program_free(&p);
}
END_TEST

START_TEST(a_picture_wants_gnuplot)
{
	struct program p;

	program_run(&p, 1, NULL, "PATH=/nowhere $ipc bench -p $dir/x.svg");
	says(p.errors, "gnuplot");
	says(p.errors, "install");
	ck_assert_int_ne(access(in_dir("x.svg"), F_OK), 0);
	program_free(&p);
}
END_TEST

/* A gnuplot that only shows what it was given. */
START_TEST(a_picture_says_what_it_shows)
{
	struct program p;

	program_run(&p, 0, NULL, "mkdir $dir/bin && printf '#!/bin/sh\\n"
	    "case $1 in --version) exit ;; esac\\nexec cat >%s/given\\n' "
	    "$dir >$dir/bin/gnuplot && chmod +x $dir/bin/gnuplot && "
	    "PATH=$dir/bin:$PATH $ipc bench -q -m 1 -s 64,1K "
	    "-o round-trip,rate -p $dir/x.svg pipe >/dev/null && "
	    "cat $dir/given");
	says_all(p.text, "set terminal svg", "x.svg\"", "through libipc",
	    "set logscale xy", "\"64 B\" 64, \"1 KiB\" 1024", "microseconds",
	    "messages a second", "title \"pipe: anonymous pipe\"",
	    "title \"limit of the processors\"");
	program_free(&p);
}
END_TEST

START_TEST(gnuplot_s_failure_is_ours)
{
	struct program p;

	program_run(&p, 1, NULL, "mkdir $dir/bin && printf '#!/bin/sh\\n"
	    "case $1 in --version) exit ;; esac\\ncat >/dev/null; exit 3\\n' "
	    ">$dir/bin/gnuplot && chmod +x $dir/bin/gnuplot && "
	    "PATH=$dir/bin:$PATH $ipc bench -q -m 1 -s 64 "
	    "-o round-trip -p $dir/x.svg pipe");
	says(p.errors, "gnuplot could not make it");
	program_free(&p);
}
END_TEST

/* It tells what it has, and leaves nothing. */
START_TEST(an_interrupt_leaves_nothing_behind)
{
	struct program p;

	program_start(&p, NULL, "exec env TMPDIR=$dir $ipc bench -j -s 64 "
	    "-o round-trip -m 200 sysvmq pipe");
	while (names_in(in_dir(".")) == 0)
		usleep(1000);
	usleep(50000);
	kill(p.pid, SIGINT);
	ck_assert_int_eq(program_end(&p), 1);
	ck_assert_msg(is_json(p.text), "%s", p.text);
	program_free(&p);
	ck_assert_int_eq(names_in(in_dir(".")), 0);
}
END_TEST

static Suite *
benchtool_suite(void)
{
	Suite *s = suite_create("benchtool");
	TCase *tc = program_tcase(s, "benchtool");

	tcase_add_test(tc, wrong_options_are_told);
	tcase_add_test(tc, help_lists_what_can_be_measured);
	tcase_add_test(tc, tables_have_what_was_asked_for);
	tcase_add_test(tc, json_has_every_figure);
	tcase_add_test(tc, every_mechanism_is_measured);
	tcase_add_test(tc, what_does_not_fit_is_left_out);
	tcase_add_test(tc, one_processor_is_enough);
	tcase_add_test(tc, a_picture_wants_gnuplot);
	tcase_add_test(tc, a_picture_says_what_it_shows);
	tcase_add_test(tc, gnuplot_s_failure_is_ours);
	tcase_add_test(tc, an_interrupt_leaves_nothing_behind);
	return s;
}

int
main(void)
{
	return program_run_all(benchtool_suite());
}
