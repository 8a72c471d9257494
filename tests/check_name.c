/* SPDX-License-Identifier: ISC */
/*
 * The runtime directory, meeting points, names that tell who made them, and
 * who is alive.
 */
#include <pthread.h>

#include "backend.h"
#include "names.h"
#include "suite.h"

static char path[IPC__PATH_MAX];

/*
 * The runtime directory
 */

START_TEST(it_is_made_with_its_mode_whatever_the_umask)
{
	static const mode_t umasks[] = { 077, 022, 0, 0177 };

	umask(umasks[_i]);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), 0);
	ck_assert_str_eq(path, runtime);
	ck_assert_uint_eq(mode_of(runtime), geteuid() == 0 ? 0755 : 0700);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), 0);
	umask(022);
}
END_TEST

START_TEST(one_that_is_there_keeps_its_mode)
{
	ck_assert_int_eq(mkdir(runtime, 0750), 0);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), 0);
	ck_assert_uint_eq(mode_of(runtime), 0750);
}
END_TEST

START_TEST(a_symbolic_link_is_refused)
{
	char slashes[100];

	ck_assert_int_eq(mkdir(in_top("other"), 0700), 0);
	ck_assert_int_eq(symlink("other", runtime), 0);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -ELOOP);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "symbolic link"));
	snprintf(slashes, sizeof slashes, "%s//", runtime);
	setenv("IPC_RUNTIME_DIR", slashes, 1);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -ELOOP);
	ck_assert_int_eq(ipc__name_lock("x"), -ELOOP);
	ck_assert_int_eq(ipc__runtime_find(NULL, "x", path, sizeof path),
	    -ELOOP);
	ck_assert_int_eq(count_entries(in_top("other"), ""), 0);
	unlink(runtime);
	ck_assert_int_eq(symlink("nowhere", runtime), 0);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -ELOOP);
}
END_TEST

START_TEST(a_link_inside_is_refused_too)
{
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), 0);
	ck_assert_int_eq(mkdir(in_top("other"), 0700), 0);
	ck_assert_int_eq(symlink("../other", in_top("run/locks")), 0);
	ck_assert_int_eq(ipc__name_lock("x"), -ELOOP);
	ck_assert_int_eq(count_entries(in_top("other"), ""), 0);
}
END_TEST

START_TEST(one_where_others_could_write_is_refused)
{
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	ck_assert_int_eq(chmod(runtime, 0770), 0);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -EPERM);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "0770"));
	ck_assert_int_eq(chmod(runtime, 01777), 0);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -EPERM);
	make_file(in_top("run/x"));
	ck_assert_int_eq(ipc__runtime_find(NULL, "x", path, sizeof path),
	    -EPERM);
	ck_assert_int_eq(chmod(runtime, 0755), 0);
	ck_assert_int_eq(ipc__runtime_find(NULL, "x", path, sizeof path), 0);
}
END_TEST

static void
meet_a_foreign_directory(void *whose, int ready)
{
	(void)ready;
	become(NOBODY);
	must(ipc__runtime_dir(path, sizeof path) == -EPERM);
	must(strstr(ipc_errmsg(), "belongs to uid") != NULL);
	must(strstr(ipc_errmsg(), runtime) != NULL);
	must(ipc__name_lock("x") == -EPERM);
	/* Only root's may be looked at. */
	must(ipc__runtime_find(NULL, "x", path, sizeof path) ==
	    (*(uid_t *)whose == 0 ? 0 : -EPERM));
}

START_TEST(a_foreign_one_is_refused)
{
	uid_t whose = _i;

	if (!can(false))
		return;
	ck_assert_int_eq(mkdir(runtime, 0755), 0);
	make_file(in_top("run/x"));
	ck_assert_int_eq(chown(runtime, whose, 0), 0);
	run(meet_a_foreign_directory, &whose);
	if (whose != 0)
		ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), -EPERM);
}
END_TEST

static void
expect_dir(const char *value, int code)
{
	setenv("IPC_RUNTIME_DIR", value, 1);
	ck_assert_int_eq(ipc__runtime_dir(path, sizeof path), code);
	if (code != 0)
		ck_assert_int_gt((int)strlen(ipc_errmsg()), 10);
}

START_TEST(what_can_not_be_one_is_told)
{
	char vast[IPC__PATH_MAX + 2];

	make_file(in_top("file"));
	expect_dir("run/x", -EINVAL);
	expect_dir(in_top("no/run"), -ENOENT);
	expect_dir(in_top("file"), -ENOTDIR);
	expect_dir(in_top("file/run"), -ENOTDIR);
	memset(vast, 'x', sizeof vast);
	vast[0] = '/';
	vast[sizeof vast - 1] = '\0';
	expect_dir(vast, -ENAMETOOLONG);
	vast[300] = '\0';
	expect_dir(vast, -ENAMETOOLONG);
	ck_assert_int_eq(ipc__runtime_dir(path, 4), -ENAMETOOLONG);
	expect_dir(in_top("run///"), 0);
	ck_assert_str_eq(path, runtime);
}
END_TEST

static void
expect_default(const char *dir, unsigned mode)
{
	must(ipc__runtime_dir(path, sizeof path) == 0);
	must(strcmp(path, dir) == 0);
	must(mode_of(dir) == mode);
}

static void
look_for_defaults(void *unused, int ready)
{
	(void)unused, (void)ready;
	private_mounts();
	unsetenv("IPC_RUNTIME_DIR");
	expect_default("/run/ipc", 0755);
	make_file("/run/ipc/both");
	make_file("/run/ipc/roots");
	must(mkdir("/run/user", 0755) == 0);
	must(mkdir("/run/user/54321", 0700) == 0);
	setenv("IPC_RUNTIME_DIR", "", 1);
	must(seteuid(NOBODY) == 0);
	expect_default("/tmp/ipc-54321", 0700);	/* the other is root's */
	make_file("/tmp/ipc-54321/early");
	must(seteuid(0) == 0);
	must(chown("/run/user/54321", NOBODY, NOBODY) == 0);
	must(seteuid(NOBODY) == 0);
	expect_default("/run/user/54321/ipc", 0700);
	make_file("/run/user/54321/ipc/both");
	must(ipc__runtime_find(NULL, "both", path, sizeof path) == 0);
	must(strcmp(path, "/run/user/54321/ipc/both") == 0);
	must(ipc__runtime_find(NULL, "early", path, sizeof path) == 0);
	must(strcmp(path, "/tmp/ipc-54321/early") == 0);
	must(ipc__runtime_find(NULL, "roots", path, sizeof path) == 0);
	must(strcmp(path, "/run/ipc/roots") == 0);
	must(ipc__runtime_find(NULL, "none", path, sizeof path) == -ENOENT);
}

START_TEST(without_a_word_it_is_where_the_manual_says)
{
	if (can(true))
		run(look_for_defaults, NULL);
}
END_TEST

static void
meet_planted_ones(void *unused, int ready)
{
	(void)unused, (void)ready;
	private_mounts();
	unsetenv("IPC_RUNTIME_DIR");
	expect_default("/run/ipc", 0755);
	make_file("/run/ipc/roots");
	must(mkdir("/tmp/ipc-54321", 0755) == 0);
	make_file("/tmp/ipc-54321/roots");
	must(chown("/tmp/ipc-54321", 1000, 1000) == 0);
	must(seteuid(NOBODY) == 0);
	must(ipc__runtime_dir(path, sizeof path) == -EPERM);
	ipc__fail(EIO, "an earlier one");
	must(ipc__runtime_find(NULL, "roots", path, sizeof path) == 0);
	must(strcmp(path, "/run/ipc/roots") == 0);
	must(strcmp(ipc_errmsg(), "an earlier one") == 0);
	must(seteuid(0) == 0);
	must(chown("/run/ipc", 1000, 1000) == 0);
	must(seteuid(NOBODY) == 0);
	must(ipc__runtime_find(NULL, "roots", path, sizeof path) == -EPERM);
}

START_TEST(planted_directories_mislead_nobody)
{
	if (can(true))
		run(meet_planted_ones, NULL);
}
END_TEST

/*
 * Meeting points
 */

static struct ipc_backend paths = { .mechanism = { .scheme = "walk" },
    .traits = IPC__PATHS };
static struct ipc_backend bare = { .mechanism = { .scheme = "bag" } };
static struct ipc_backend either = { .mechanism = { .scheme = "any" },
    .traits = IPC__LOCAL_NAME };

static const char *
meeting(const struct ipc_backend *be, const char *text, const char *name,
    const char *at, bool making)
{
	struct ipc__address a = { .be = be };
	int rc;

	ipc__options_default(&a.opt);
	a.text = strdup(text);
	a.name = strdup(name);
	a.opt.at = at != NULL ? strdup(at) : NULL;
	rc = ipc__meeting_path(&a, making, path, sizeof path);
	ipc__address_free(&a);
	return rc == 0 ? path : ipc_strerror(rc);
}

START_TEST(a_path_is_its_own_meeting_point)
{
	ck_assert_str_eq(meeting(&paths, "walk:/a/b", "/a/b", NULL, true),
	    "/a/b");
	ck_assert_str_eq(meeting(&paths, "walk:b", "b", NULL, false), "b");
	ck_assert_str_eq(meeting(&paths, "walk:@b", "@b", NULL, true), "@b");
	ck_assert_str_eq(meeting(&either, "any:/a", "/a", NULL, true), "/a");
	ck_assert_str_eq(meeting(&either, "any:./a", "./a", NULL, true),
	    "./a");
	ck_assert_str_eq(meeting(&either, "any:@a", "@a", NULL, true), "@a");
	ck_assert(!is_there(runtime));
}
END_TEST

START_TEST(at_puts_any_meeting_point_at_a_path)
{
	ck_assert_str_eq(meeting(&paths, "walk:/a", "/a", "/b", true), "/b");
	ck_assert_str_eq(meeting(&bare, "bag:a", "a", "/b", false), "/b");
	ck_assert_str_eq(meeting(&either, "any:", "", "/b", true), "/b");
}
END_TEST

START_TEST(another_name_is_met_in_the_runtime_directory_under_its_scheme)
{
	ck_assert_str_eq(meeting(&bare, "bag:jobs", "jobs", NULL, true),
	    in_top("run/bag-jobs"));
	ck_assert(is_there(runtime));
	ck_assert_str_eq(meeting(&either, "any:jobs", "jobs", NULL, true),
	    in_top("run/any-jobs"));
	ck_assert_str_eq(meeting(&bare, "bag:/jobs", "/jobs", NULL, true),
	    in_top("run/bag-%2Fjobs"));
	ck_assert_str_eq(meeting(&bare, "bag:..", "../a b", NULL, true),
	    in_top("run/bag-..%2Fa%20b"));
	/* Chosen: met where the one who looks for "any:" looks. */
	ck_assert_str_eq(meeting(&bare, "any:jobs?end=1", "jobs", NULL, true),
	    in_top("run/any-jobs"));
}
END_TEST

START_TEST(looking_for_one_makes_nothing)
{
	ck_assert_str_eq(meeting(&bare, "bag:jobs", "jobs", NULL, false),
	    ipc_strerror(-ENOENT));
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "bag-jobs"));
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), runtime));
	ck_assert(!is_there(runtime));
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	make_file(in_top("run/bag-jobs"));
	ck_assert_str_eq(meeting(&bare, "bag:jobs", "jobs", NULL, false),
	    in_top("run/bag-jobs"));
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_told)
{
	char name[300];

	memset(name, 'x', sizeof name);
	name[252] = '\0';
	ck_assert_str_ne(meeting(&bare, "bag:", name, NULL, true),
	    in_top("run/bag"));
	ck_assert_str_eq(ipc_strerror(-ENAMETOOLONG),
	    meeting(&bare, "bag:", name, NULL, true));
	name[251] = '\0';
	ck_assert_ptr_nonnull(strstr(meeting(&bare, "bag:", name, NULL, true),
	    "/bag-xxx"));
	ck_assert_str_eq(meeting(&bare, "bag:", "", NULL, true),
	    ipc_strerror(-EINVAL));
}
END_TEST

START_TEST(a_name_is_the_same_after_encoding_and_decoding)
{
	char name[256], file[IPC__NAME_MAX * 3 + 1], back[256];

	for (int i = 1; i < 256; i++)
		name[i - 1] = (char)i;
	name[255] = '\0';
	ck_assert_int_eq(ipc__name_encode(name, "-_", file, sizeof file), 0);
	ck_assert_uint_eq(strspn(file, "%-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(file));
	ipc__name_decode(file, back, sizeof back);
	ck_assert_str_eq(back, name);
	ipc__name_decode("a%4", back, sizeof back);
	ck_assert_str_eq(back, "a%4");
	ipc__name_decode("abcdef", back, 4);
	ck_assert_str_eq(back, "abc");
}
END_TEST

/*
 * Names that tell who made them
 */

static void
make_private_paths(void *names, int ready)
{
	char (*all)[128] = names;

	(void)ready;
	for (int i = 0; i < 100; i++)
		must(ipc__private_path("fifo", all[i], sizeof all[0]) == 0);
}

START_TEST(private_paths_are_unique_also_after_a_fork)
{
	char (*all)[128] = shared(300 * sizeof all[0]);

	make_private_paths(all, -1);
	run(make_private_paths, all + 100);
	run(make_private_paths, all + 200);
	for (int i = 0; i < 300; i++) {
		ck_assert(strncmp(all[i], runtime, strlen(runtime)) == 0);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(all[i], all[j]);
	}
}
END_TEST

START_TEST(a_temporary_name_tells_its_maker)
{
	static const char *const others[] = { "", ".", "x", ".x",
	    "x.ipc-1.2.3", ".x.ipc-", ".x.ipc-1.2", ".x.ipc-1.2.3.4",
	    ".x.ipc-a.2.3", ".x.ipc--1.2.3", ".x.ipc-0.2.3", ".x.ipc-1.2.3~" };
	char name[IPC__TEMP_MAX + 1], what[300];
	uint64_t start_time;
	pid_t pid;

	memset(what, 'x', sizeof what);
	what[sizeof what - 1] = '\0';
	ipc__temp_name(name, sizeof name, what);
	ck_assert_uint_lt(strlen(name), IPC__TEMP_MAX);
	ck_assert(ipc__temp_parse(name, &pid, &start_time));
	ipc__temp_name(name, sizeof name, "a.ipc-7.8.9");
	ck_assert(ipc__temp_parse(name, &pid, &start_time));
	ck_assert_int_eq(pid, getpid());
	ck_assert(start_time == ipc__start_time(getpid()));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		ck_assert(!ipc__temp_parse(others[i], &pid, &start_time));
}
END_TEST

/*
 * Who is alive
 */

static void
stay(void *unused, int ready)
{
	(void)unused;
	close(ready);
	for (;;)
		pause();
}

START_TEST(the_dead_are_told_from_the_living)
{
	pid_t pid = start(stay, NULL);
	uint64_t began = ipc__start_time(pid);
	siginfo_t si;

	ck_assert(began != 0);
	ck_assert(ipc__alive(getpid(), ipc__start_time(getpid())));
	ck_assert(ipc__alive(pid, began));
	ck_assert(ipc__alive(pid, 0));
	ck_assert_msg(!ipc__alive(pid, began + 1), "another of its number");
	ck_assert_msg(ipc__alive(pid, began ^ UINT64_C(1) << 50),
	    "of another namespace nothing is known");
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	ck_assert_msg(!ipc__alive(pid, began), "a zombie holds nothing");
	ck_assert(!ipc__alive(pid, 0));
	wait_for(pid);
	ck_assert(!ipc__alive(pid, began));
	ck_assert(ipc__start_time(pid) == 0);
	ck_assert(!ipc__alive(0, 0) && !ipc__alive(-1, 0));
}
END_TEST

/* What was asked for before the fork is another process's. */
static void
say_start(void *of, int ready)
{
	uint64_t own = ipc__start_time(getpid());

	if (of != NULL && own == *(const uint64_t *)of)
		own = 0;
	must(write(ready, &own, sizeof own) == sizeof own);
	for (;;)
		pause();
}

START_TEST(a_forked_process_has_a_start_time_of_its_own)
{
	uint64_t ours = ipc__start_time(getpid()), its;
	int fd[2];
	pid_t pid;

	ck_assert(ours != 0 && ours == ipc__start_time(getpid()));
	/* Start times are counted in hundredths of a second. */
	pause_us(30000);
	ck_assert_int_eq(pipe(fd), 0);
	pid = fork();
	if (pid == 0)
		say_start(&ours, fd[1]);
	ck_assert_int_eq(read(fd[0], &its, sizeof its), sizeof its);
	ck_assert(its != 0 && its == ipc__start_time(pid));
	ck_assert(ours == ipc__start_time(getpid()));
	kill_and_wait(pid);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

static void *
outlive(void *ready)
{
	pause_us(20000);
	close(*(int *)ready);
	pause_us(60 * 1000000);
	return NULL;
}

static void
end_the_main_thread(void *unused, int ready)
{
	static int end;
	pthread_t thread;

	(void)unused;
	end = ready;
	must(pthread_create(&thread, NULL, outlive, &end) == 0);
	pthread_exit(NULL);
}

START_TEST(a_process_lives_as_long_as_one_of_its_threads)
{
	pid_t pid = start(end_the_main_thread, NULL);
	uint64_t began = ipc__start_time(pid);

	ck_assert(ipc__alive(pid, began));
	kill_and_wait(pid);
	ck_assert(!ipc__alive(pid, began));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("name");
	TCase *tc = tcase_create("runtime directory");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_add_loop_test(tc, it_is_made_with_its_mode_whatever_the_umask, 0,
	    4);
	tcase_add_test(tc, one_that_is_there_keeps_its_mode);
	tcase_add_test(tc, a_symbolic_link_is_refused);
	tcase_add_test(tc, a_link_inside_is_refused_too);
	tcase_add_test(tc, one_where_others_could_write_is_refused);
	tcase_add_loop_test(tc, a_foreign_one_is_refused, 0, 2);
	tcase_add_test(tc, what_can_not_be_one_is_told);
	tcase_add_test(tc, without_a_word_it_is_where_the_manual_says);
	tcase_add_test(tc, planted_directories_mislead_nobody);
	suite_add_tcase(suite, tc);
	tc = tcase_create("meeting points");
	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_add_test(tc, a_path_is_its_own_meeting_point);
	tcase_add_test(tc, at_puts_any_meeting_point_at_a_path);
	tcase_add_test(tc,
	    another_name_is_met_in_the_runtime_directory_under_its_scheme);
	tcase_add_test(tc, looking_for_one_makes_nothing);
	tcase_add_test(tc, a_name_that_does_not_fit_is_told);
	tcase_add_test(tc, a_name_is_the_same_after_encoding_and_decoding);
	suite_add_tcase(suite, tc);
	tc = tcase_create("makers");
	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_add_test(tc, private_paths_are_unique_also_after_a_fork);
	tcase_add_test(tc, a_temporary_name_tells_its_maker);
	tcase_add_test(tc, a_forked_process_has_a_start_time_of_its_own);
	tcase_add_test(tc, the_dead_are_told_from_the_living);
	tcase_add_test(tc, a_process_lives_as_long_as_one_of_its_threads);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
