/* SPDX-License-Identifier: ISC */
/*
 * Programs of 32 and of 64 bits share what the library promises that they can
 * share: rings, slots and journals, sessions of every mechanism, regions, and
 * the semaphores and locks that are the kernel's; in each direction.  Those
 * that are of the C library's make are refused, with words that say why.
 *
 * tests/abi/peer.c is either side.  Where the compiler can not make programs of
 * 32 bits nothing is checked.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "support.h"

/* The first program, which begins, is of 32 bits, or the second. */
static void
places(int i)
{
	char path[2][PATH_MAX];
	const char *build = getenv("IPC_BUILD");

	snprintf(path[0], sizeof path[0], "%s/tests/abi/peer",
	    build ? build : "obj");
	snprintf(path[1], sizeof path[1], "%s/tests/abi32/tests/abi/peer",
	    build ? build : "obj");
	setenv("first", path[i], 1);
	setenv("second", path[!i], 1);
}

static bool
built(void)
{
	places(1);
	return access(getenv("first"), X_OK) == 0;
}

static void
run(int status, const char *command, const char *address)
{
	struct program p;

	setenv("address", address, 1);
	program_run(&p, status, NULL, command);
	program_free(&p);
}

/* One waits for what the other brings. */
static void
both(const char *first, const char *second, const char *address)
{
	struct program p;
	char line[16], command[64];

	setenv("address", address, 1);
	snprintf(command, sizeof command, "exec $first %s \"$address\"", first);
	program_start(&p, NULL, command);
	program_line(&p, line, sizeof line);
	snprintf(command, sizeof command, "$second %s \"$address\"", second);
	run(0, command, address);
	ck_assert_msg(program_end(&p) == 0, "%s %s: %s", first, address,
	    p.errors);
	program_free(&p);
}

/* SCHEME:NAME, or a path where names are that. */
static const char *
address_in(const char *scheme, const char *options)
{
	static char text[PATH_MAX];

	snprintf(text, sizeof text, "%s:%s%s%s", scheme,
	    scheme_has_paths(scheme) ? in_dir("x") : "/",
	    scheme_has_paths(scheme) ? "" : getenv("name"), options);
	return text;
}

START_TEST(what_lies_in_memory_is_laid_out_alike)
{
	places(0);
	run(0, "$first layout x >$dir/1 && $second layout x >$dir/2 && "
	    "test -s $dir/1 && cmp $dir/1 $dir/2", "");
}
END_TEST

static const char *const opened[] = {
	"posixshm", "sysvshm", "mmap", "file", "fifo", "posixmq", "sysvmq"
};
#define OPENED	((int)(sizeof opened / sizeof opened[0]))

START_TEST(they_talk_over_opened_objects)
{
	const char *scheme = opened[_i / 2];

	places(_i % 2);
	both("recv", "send", address_in(scheme, ""));
	run(0, "$second rm \"$address\"", address_in(scheme, ""));
}
END_TEST

START_TEST(they_talk_over_rings_smaller_than_a_message)
{
	const char *address = address_in(opened[_i / 2], "?capacity=4096");

	places(_i % 2);
	both("recv", "send", address);
	run(0, "$second rm \"$address\"", address);
}
END_TEST

START_TEST(they_look_at_the_newest_value)
{
	const char *address = address_in(opened[_i / 2], "?latest=1");

	places(_i % 2);
	both("look", "show", address);
	run(0, "$second rm \"$address\"", address);
}
END_TEST

static const char *const met[] = {
	"memfd", "posixshm", "sysvshm", "mmap", "file", "fifo", "posixmq",
	"sysvmq", "pipe", "unix", "unixpacket", "unixgram"
};
#define MET	((int)(sizeof met / sizeof met[0]))

START_TEST(they_meet_in_sessions)
{
	places(_i % 2);
	both("listen", "connect", address_in(met[_i / 2], ""));
}
END_TEST

static const char *const regions[] = { "posixshm", "sysvshm", "mmap" };
#define REGIONS	((int)(sizeof regions / sizeof regions[0]))

START_TEST(they_share_regions)
{
	places(_i % 2);
	run(0, "$first region-write \"$address\" && $second region-read "
	    "\"$address\"", address_in(regions[_i / 2], "?size=100000"));
}
END_TEST

/* Their kind is that of the peer's commands. */
struct thing {
	const char	*kind, *scheme;
};

static void
run_with(const struct thing *t, const char *command)
{
	setenv("kind", t->kind, 1);
	run(0, command, address_in(t->scheme, ""));
}

static const struct thing locks[] = {
	{ "mutex", "sysvmutex" }, { "mutex", "filelock" },
	{ "rwlock", "sysvrwlock" }, { "rwlock", "filelock" }
};
#define LOCKS	((int)(sizeof locks / sizeof locks[0]))

START_TEST(they_lock_each_other_out)
{
	places(_i % 2);
	run_with(&locks[_i / 2], "mkfifo $dir/in && { $first $kind-hold "
	    "\"$address\" <$dir/in >$dir/out & } && exec 3>$dir/in && "
	    "until test -s $dir/out; do sleep 0.01; done; "
	    "$second $kind-try \"$address\"; test $? = 3 || exit 1; "
	    "exec 3>&-; wait; $second $kind-try \"$address\" && "
	    "$second $kind-rm \"$address\"");
}
END_TEST

START_TEST(they_take_from_one_semaphore)
{
	places(_i % 2);
	run(0, "$first sem-make \"$address\" && "
	    "$second sem-take \"$address\" && $first sem-take \"$address\" "
	    "&& { $second sem-take \"$address\"; test $? = 3; } && "
	    "$second sem-rm \"$address\"", address_in("sysvsem", ""));
}
END_TEST

static const struct thing foreign[] = {
	{ "sem", "sem" }, { "sem", "posixsem" }, { "mutex", "mutex" },
	{ "rwlock", "rwlock" }
};
#define FOREIGN	((int)(sizeof foreign / sizeof foreign[0]))

START_TEST(what_is_of_the_c_library_is_refused)
{
	places(_i % 2);
	run_with(&foreign[_i / 2], "$first $kind-make \"$address\" && "
	    "$second $kind-refuse \"$address\" && "
	    "$first $kind-rm \"$address\"");
}
END_TEST

static void
add_tests(Suite *s)
{
	TCase *tc = program_tcase(s, "messages");

	tcase_add_test(tc, what_lies_in_memory_is_laid_out_alike);
	tcase_add_loop_test(tc, they_talk_over_opened_objects, 0, 2 * OPENED);
	tcase_add_loop_test(tc, they_talk_over_rings_smaller_than_a_message,
	    0, 2 * 3);
	tcase_add_loop_test(tc, they_look_at_the_newest_value, 0, 2 * 3);
	tcase_add_loop_test(tc, they_meet_in_sessions, 0, 2 * MET);
	tc = program_tcase(s, "synchronization");
	tcase_add_loop_test(tc, they_share_regions, 0, 2 * REGIONS);
	tcase_add_loop_test(tc, they_lock_each_other_out, 0, 2 * LOCKS);
	tcase_add_loop_test(tc, they_take_from_one_semaphore, 0, 2);
	tcase_add_loop_test(tc, what_is_of_the_c_library_is_refused, 0,
	    2 * FOREIGN);
}

int
main(void)
{
	Suite *s = suite_create("abi32");

	if (built())
		add_tests(s);
	else
		skip_loudly("no program of 32 bits can be made here");
	return program_run_all(s);
}
