/* SPDX-License-Identifier: ISC */
/* WRAP: open openat unlinkat renameat renameat2 symlinkat close mkdirat */
/*
 * Sockets that have their names at a path of the user's.  What a killed process
 * leaves of them is found by ipc_gc(), wherever it is; what somebody has, or
 * what is somebody else's, is not touched, whatever the notes say.
 */
#include "killed.h"
#include "names.h"
#include "suite.h"

STEP(int, close, (int fd), (fd))
STEP(int, unlinkat, (int d, const char *p, int f), (d, p, f))
STEP(int, renameat, (int a, const char *p, int b, const char *q), (a, p, b, q))
STEP(int, renameat2, (int a, const char *p, int b, const char *q, unsigned f),
    (a, p, b, q, f))
STEP(int, symlinkat, (const char *t, int d, const char *p), (t, d, p))
STEP(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m))

static const char *const forms[] = {
	"unix:%s", "unixgram:%s", "fifo:%s", "unixpacket:%s", "mmap:%s",
	"file:%s", "memfd:named?at=%s", "local:%s"
};
#define FORMS	((int)(sizeof forms / sizeof forms[0]))
#define OPENED	1			/* a receiver, not a listener */
#define WAYS	3			/* of these there are in the library */

static char address[200];
static char path[160];
static int form;

static void
setup(void)
{
	names_setup();
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	strlcpy(path, in_top("x"), sizeof path);
}

static void
use_form(int number)
{
	form = number;
	snprintf(address, sizeof address, forms[form], path);
}

static int
serve(void)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;

	return form == OPENED ? ipc_open(&ch, address, IPC_RECV) :
	    ipc_listen(&l, address, 0);
}

static void
serve_and_stay(void *unused, int ready)
{
	(void)unused;
	must(serve() == 0);
	close(ready);
	for (;;)
		pause();
}

/* A served name whose server was killed. */
static void
leave_name(int number)
{
	use_form(number);
	kill_and_wait(start(serve_and_stay, NULL));
	ck_assert(is_there(path));
	ck_assert_int_eq(count_entries(runtime, ""), 1);
}

static void
note_path(const char *what, void *told)
{
	ck_assert_str_eq(what, path);
	++*(int *)told;
}

static void
nothing_is_left(void)
{
	ck_assert_int_eq(ipc_leftovers(NULL, NULL), 0);
	ck_assert(!is_there(path));
	ck_assert_int_eq(count_entries(top, "."), 0);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}

START_TEST(what_a_killed_one_left_is_told_and_removed)
{
	int told = 0;

	leave_name(_i);
	ck_assert_int_eq(ipc_leftovers(note_path, &told), 1);
	ck_assert(is_there(path));
	ck_assert_int_eq(ipc_gc(note_path, &told), 1);
	ck_assert_int_eq(told, 2);
	nothing_is_left();
}
END_TEST

START_TEST(who_uses_the_name_next_takes_the_note_over)
{
	struct ipc_listener *l;

	if (_i == OPENED)
		return;
	leave_name(_i);
	ck_assert_int_eq(ipc_listen(&l, address, 0), 0);
	ck_assert_int_eq(count_entries(runtime, ""), 1);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	nothing_is_left();
	leave_name(_i);
	ck_assert_int_eq(ipc_unlink(address), 0);
	nothing_is_left();
}
END_TEST

/* Whoever removes it by other means tells nobody. */
START_TEST(a_note_of_what_is_gone_goes)
{
	leave_name(_i);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(ipc_leftovers(NULL, NULL), 1);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
	leave_name(_i);
	ck_assert_int_eq(unlink(path), 0);
	strlcpy(path, in_top("y"), sizeof path);
	/* The next maker of any name does it in passing. */
	leave_name(_i);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
}
END_TEST

/*
 * What is no leftover
 */

START_TEST(what_somebody_serves_stays)
{
	pid_t pid;

	use_form(_i);
	pid = start(serve_and_stay, NULL);
	ck_assert_int_eq(ipc_leftovers(NULL, NULL), 0);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	ck_assert(is_there(path));
	ck_assert_int_eq(count_entries(runtime, ""), 1);
	kill_and_wait(pid);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
}
END_TEST

/* Its maker is dead, and a child has inherited it.  Ready when both know. */
static void
serve_and_fork(void *child, int ready)
{
	pid_t pid;

	must(serve() == 0);
	pid = fork();
	must(pid >= 0);
	if (pid > 0) {
		*(volatile pid_t *)child = pid;
		_exit(0);
	}
	close(ready);
	for (;;)
		pause();
}

START_TEST(what_only_a_forked_child_serves_stays)
{
	volatile pid_t *child = shared(sizeof *child);
	int n;

	use_form(_i);
	wait_for(start(serve_and_fork, (void *)(uintptr_t)child));
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	ck_assert(is_there(path));
	ck_assert_int_eq(kill(*child, SIGKILL), 0);
	for (n = 0; n < 5000 && ipc_gc(NULL, NULL) == 0; n++)
		pause_us(1000);
	ck_assert_int_lt(n, 5000);
	nothing_is_left();
}
END_TEST

/* The process lives, but what is left of it is another program. */
static void
serve_and_exec(void *unused, int ready)
{
	(void)unused, (void)ready;
	must(serve() == 0);
	execlp("sleep", "sleep", "60", NULL);
	must(false);
}

START_TEST(what_another_program_does_not_have_any_more_goes)
{
	pid_t pid;

	use_form(_i);
	pid = start(serve_and_exec, NULL);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
	kill_and_wait(pid);
}
END_TEST

/* Another file of any kind, dead or not, that has got the name. */
START_TEST(what_has_taken_the_name_since_stays)
{
	struct stat before, after;
	char target[200];

	leave_name(0);
	ck_assert_int_eq(rename(path, in_top("ours")), 0);
	switch (_i) {
	case 0:
		make_stale(path, SOCK_STREAM);
		break;
	case 1:
		make_stale(path, SOCK_DGRAM);
		break;
	case 2:
		make_file(path);
		break;
	case 3:
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		break;
	case 4:
		ck_assert_int_eq(symlink(in_top("ours"), path), 0);
		break;
	default:
		snprintf(target, sizeof target, "%s/x", path);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		make_stale(target, SOCK_STREAM);
	}
	ck_assert_int_eq(lstat(path, &before), 0);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);	/* the note */
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert(before.st_ino == after.st_ino);
	ck_assert(before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
	ck_assert(is_there(in_top("ours")));
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
}
END_TEST

/* The note that is there, and what it says. */
static void
read_note(char *name, size_t size, char *text, size_t room)
{
	DIR *d = opendir(runtime);
	struct dirent *e;
	ssize_t n = -1;

	ck_assert_ptr_nonnull(d);
	while (n == -1 && (e = readdir(d)) != NULL)
		if (e->d_type == DT_LNK) {
			strlcpy(name, e->d_name, size);
			n = readlinkat(dirfd(d), name, text, room - 1);
		}
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	closedir(d);
}

static void
rewrite_note(const char *name, const char *text)
{
	char note[400];

	snprintf(note, sizeof note, "%s/%s", runtime, name);
	ck_assert(unlink(note) == 0 || errno == ENOENT);
	ck_assert_int_eq(symlink(text, note), 0);
}

/* A file system gives the number of a removed file to the next. */
START_TEST(what_has_the_number_of_ours_since_stays)
{
	uintmax_t dev, ino, born, space;
	char name[200], text[400], other[400];

	leave_name(0);
	read_note(name, sizeof name, text, sizeof text);
	ck_assert_int_eq(sscanf(text, "%jx.%jx.%jx.%jx:", &dev, &ino, &born,
	    &space), 4);
	snprintf(other, sizeof other, "%jx.%jx.%jx.%jx:%s", dev, ino, born + 1,
	    space, path);
	rewrite_note(name, other);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);	/* the note */
	ck_assert(is_there(path));
	rewrite_note(name, text);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
}
END_TEST

/* Whatever is written there: at the worst the note itself goes. */
START_TEST(a_note_that_says_anything_else_harms_nothing)
{
	static const char *const texts[] = {
		"0.0.0.0:%s", "1.2.3.4:%s", "1.2.3:%s", "1.2.3.4:",
		"1.2.3.4:/", "1.2.3.4://", "1.2.3.4:%s/", "...:%s",
		"1.2.3.4:relative", "ffffffffffffffffff.1.1.1:%s", ":%s",
		"%s", "%s/", "x"
	};
	char name[200], text[400];

	leave_name(0);
	read_note(name, sizeof name, text, sizeof text);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		snprintf(text, sizeof text, texts[i], path);
		rewrite_note(name, text);
		ck_assert_int_ge(ipc_leftovers(NULL, NULL), 0);
		ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
		ck_assert_msg(is_there(path), "removed by '%s'", text);
	}
}
END_TEST

static void
serve_as_nobody(void *unused, int ready)
{
	become(NOBODY);
	setenv("IPC_RUNTIME_DIR", in_top("shared/run"), 1);
	serve_and_stay(unused, ready);
}

static void
collect_as_nobody(void *expected, int ready)
{
	(void)ready;
	become(NOBODY);
	setenv("IPC_RUNTIME_DIR", in_top("shared/run"), 1);
	must(ipc_gc(NULL, NULL) == *(int *)expected);
}

START_TEST(another_users_is_that_users_to_collect)
{
	int one = 1;

	if (!can(false))
		return;
	ck_assert_int_eq(mkdir(in_top("shared"), 0700), 0);
	ck_assert_int_eq(chmod(in_top("shared"), 01777), 0);
	strlcpy(path, in_top("shared/x"), sizeof path);
	leave_name(0);
	ck_assert_int_eq(unlink(path), 0);
	/* Nobody's has the name now, and root a note of its own about it. */
	kill_and_wait(start(serve_as_nobody, NULL));
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	ck_assert(is_there(path));
	run(collect_as_nobody, &one);
	nothing_is_left();
	ck_assert_int_eq(count_entries(in_top("shared/run"), ""), 0);
	/* And the other way: root's, in a directory that others can not
	 * remove it from, stays when nobody collects, and goes with root. */
	leave_name(0);
	one = 0;
	run(collect_as_nobody, &one);
	ck_assert(is_there(path));
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
}
END_TEST

/*
 * Elsewhere
 */

START_TEST(a_relative_path_is_found_from_anywhere)
{
	char was[400];

	ck_assert_ptr_nonnull(getcwd(was, sizeof was));
	ck_assert_int_eq(chdir(top), 0);
	strlcpy(path, "x", sizeof path);
	leave_name(_i);
	ck_assert_int_eq(chdir("/"), 0);
	strlcpy(path, in_top("x"), sizeof path);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	nothing_is_left();
	ck_assert_int_eq(chdir(was), 0);
}
END_TEST

static void
enter_space_of(const pid_t *pid)
{
	char name[64];
	int fd;

	snprintf(name, sizeof name, "/proc/%d/ns/mnt", (int)*pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && setns(fd, CLONE_NEWNS) == 0);
}

static void
collect_there(void *pid, int ready)
{
	(void)ready;
	enter_space_of(pid);
	must(is_there(path));
	must(ipc_gc(NULL, NULL) == 1);
	must(!is_there(path));
}

static void
wait_elsewhere(void *unused, int ready)
{
	(void)unused;
	must(unshare(CLONE_NEWNS) == 0);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("tmpfs", in_top("other"), "tmpfs", 0, NULL) == 0);
	close(ready);
	for (;;)
		pause();
}

static void
serve_there(void *pid, int ready)
{
	enter_space_of(pid);
	serve_and_stay(NULL, ready);
}

/* There the path leads elsewhere, and here to another file. */
START_TEST(a_note_from_another_mount_namespace_waits_for_it)
{
	pid_t keeper;

	if (!can(true))
		return;
	ck_assert_int_eq(mkdir(in_top("other"), 0700), 0);
	strlcpy(path, in_top("other/x"), sizeof path);
	use_form(0);
	keeper = start(wait_elsewhere, NULL);
	kill_and_wait(start(serve_there, &keeper));
	ck_assert_int_eq(count_entries(runtime, ""), 1);
	if (_i > 0)
		make_stale(path, SOCK_STREAM);
	ck_assert_int_eq(ipc_leftovers(NULL, NULL), 0);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	ck_assert_int_eq(is_there(path), _i > 0);
	run(collect_there, &keeper);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	/* With its last process the namespace has gone, and all in it. */
	kill_and_wait(start(serve_there, &keeper));
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	kill_and_wait(keeper);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 1);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	ck_assert_int_eq(is_there(path), _i > 0);
}
END_TEST

/* As before there were notes: whoever uses the name next cleans up. */
START_TEST(without_a_runtime_directory_it_is_only_not_found)
{
	struct ipc_listener *l;

	use_form(0);
	if (_i == 0)
		setenv("IPC_RUNTIME_DIR", "/proc/not-to-be-made", 1);
	else
		ck_assert_int_eq(chmod(runtime, 0777), 0);
	kill_and_wait(start(serve_and_stay, NULL));
	ck_assert(is_there(path));
	ck_assert_int_eq(setenv("IPC_RUNTIME_DIR", runtime, 1), 0);
	ck_assert_int_eq(chmod(runtime, 0700), 0);
	ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
	ck_assert(is_there(path));
	ck_assert_int_eq(ipc_listen(&l, address, 0), 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	nothing_is_left();
}
END_TEST

/*
 * Killed on the way
 */

static int
collect(void)
{
	return ipc_gc(NULL, NULL) < 0;
}

START_TEST(a_killed_collector_leaves_it_to_the_next)
{
	bool killed = true;

	for (int call = 1; killed; call++) {
		leave_name(_i);
		killed = killed_at(call, collect);
		ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
		nothing_is_left();
	}
}
END_TEST

/* Serves, and ends it as it should be. */
static int
serve_and_end(void)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	int rc;

	if (form == OPENED) {
		rc = ipc_open(&ch, address, IPC_RECV);
		return rc < 0 ? rc : ipc_close(ch);
	}
	rc = ipc_listen(&l, address, 0);
	return rc < 0 ? rc : ipc_listener_close(l);
}

START_TEST(who_is_killed_ending_it_leaves_nothing_for_good)
{
	bool killed = true;
	int call;

	use_form(_i);
	for (call = 1; killed; call++) {
		killed = killed_at(call, serve_and_end);
		if (!killed)
			nothing_is_left();
		ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
		nothing_is_left();
	}
	ck_assert_int_gt(call, 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("named");
	TCase *tc = tcase_create("named");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_a_killed_one_left_is_told_and_removed, 0,
	    FORMS);
	tcase_add_loop_test(tc, who_uses_the_name_next_takes_the_note_over, 0,
	    FORMS);
	tcase_add_loop_test(tc, a_note_of_what_is_gone_goes, 0, 3);
	tcase_add_loop_test(tc, what_somebody_serves_stays, 0, FORMS);
	tcase_add_loop_test(tc, what_only_a_forked_child_serves_stays, 0,
	    FORMS);
	tcase_add_loop_test(tc,
	    what_another_program_does_not_have_any_more_goes, 0, FORMS);
	tcase_add_loop_test(tc, what_has_taken_the_name_since_stays, 0, 6);
	tcase_add_test(tc, what_has_the_number_of_ours_since_stays);
	tcase_add_test(tc, a_note_that_says_anything_else_harms_nothing);
	tcase_add_test(tc, another_users_is_that_users_to_collect);
	tcase_add_loop_test(tc, a_relative_path_is_found_from_anywhere, 0, 3);
	tcase_add_loop_test(tc,
	    a_note_from_another_mount_namespace_waits_for_it, 0, 2);
	tcase_add_loop_test(tc,
	    without_a_runtime_directory_it_is_only_not_found, 0, 2);
	tcase_add_loop_test(tc, a_killed_collector_leaves_it_to_the_next, 0,
	    WAYS);
	tcase_add_loop_test(tc,
	    who_is_killed_ending_it_leaves_nothing_for_good, 0, WAYS);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
