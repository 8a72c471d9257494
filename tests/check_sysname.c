/* SPDX-License-Identifier: ISC */
/*
 * The notes about System V objects: names that are found again, and private
 * objects that are removed when the last process holding them is gone.  The
 * objects themselves are made up here.
 */
#include "names.h"
#include "suite.h"
#include "sysname.h"

#define OBJECTS	100

/* The kernel's side: which ids there are, and which a sweep removed. */
static bool exists[IPC__SYSV_KINDS][OBJECTS];
static int removed;

static bool
gone(int kind, int id)
{
	return !exists[kind][id];
}

/* A key is 1000 more than its id. */
static int
of_key(int kind, key_t key)
{
	return exists[kind][key - 1000] ? key - 1000 : -1;
}

static bool
unused(int kind, int id)
{
	(void)kind, (void)id;
	return false;
}

static bool
take_away(int kind, int id)
{
	exists[kind][id] = false;
	removed++;
	return true;
}

static char told[2000];

static bool
tell(const char *path, void *user)
{
	ck_assert_ptr_eq(user, told);
	strlcat(told, path, sizeof told);
	strlcat(told, "\n", sizeof told);
	return true;
}

static int
sweep(void)
{
	struct ipc__sysname_sweeper by = { of_key, gone, unused, take_away,
	    tell, told, NULL };

	told[0] = '\0';
	removed = 0;
	return ipc__sysname_sweep(&by);
}

/* Where the notes are; an IPC namespace of its own has another place. */
static char *
notes(const char *file)
{
	static char path[600];
	char command[200];
	FILE *p;

	snprintf(command, sizeof command, "ls -d '%s'/sysv*", runtime);
	p = popen(command, "re");
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_nonnull(fgets(path, 200, p));
	pclose(p);
	path[strcspn(path, "\n")] = '/';
	strlcat(path, file, sizeof path);
	return path;
}

static void
setup(void)
{
	names_setup();
	memset(exists, 0, sizeof exists);
}

/*
 * Names
 */

START_TEST(a_noted_name_is_found_with_its_maker)
{
	struct ipc__sysname found;

	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "jobs", 7), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "jobs", &found), 0);
	ck_assert_int_eq(found.id, 7);
	ck_assert_int_eq(found.pid, getpid());
	ck_assert(found.start_time == ipc__start_time(getpid()));
	ck_assert_uint_eq(found.owner, geteuid());
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_SHM, "jobs", &found),
	    -ENOENT);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "job", &found),
	    -ENOENT);
	ck_assert_int_eq(ipc__sysname_forget(IPC__SYSV_MSG, "jobs", 7), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "jobs", &found),
	    -ENOENT);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(a_name_is_noted_once)
{
	struct ipc__sysname found;

	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_SEM, "x", 1), 0);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_SEM, "x", 2), -EEXIST);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "x: there is a sem"));
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_SHM, "x", 2), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_SEM, "x", &found), 0);
	ck_assert_int_eq(found.id, 1);
	ck_assert_int_eq(ipc__sysname_forget(IPC__SYSV_SEM, "x", 2), -ENOENT);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_SEM, "x", &found), 0);
	ck_assert_int_eq(ipc__sysname_forget(IPC__SYSV_SEM, "x", 1), 0);
	ck_assert_int_eq(ipc__sysname_forget(IPC__SYSV_SEM, "x", 1), -ENOENT);
	ck_assert_int_eq(count_entries(notes(""), ""), 1);
}
END_TEST

START_TEST(any_name_can_be_noted_and_none_is_mixed_up)
{
	static const char *const names[] = { "a/b", "..", ".x", "5.1.1", "a b",
	    "%41", "A", "\xff\n", "sysv", "-" };
	struct ipc__sysname found;
	char name[300];

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, names[i],
		    i), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, names[i],
		    &found), 0);
		ck_assert_int_eq(found.id, i);
	}
	memset(name, 'x', sizeof name);
	name[252] = '\0';
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, name, 1),
	    -ENAMETOOLONG);
	name[251] = '\0';
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, name, 1), 0);
	ck_assert_int_eq(count_entries(notes(""), ""), 11);
}
END_TEST

static void
overwrite(const char *file, const char *text)
{
	int fd = open(notes(file), O_WRONLY | O_TRUNC | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

START_TEST(a_note_of_before_the_machine_started_is_none)
{
	struct ipc__sysname found;

	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 1), 0);
	overwrite("msg-x", "libipc 1 1 1 1 another-boot\n");
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -ENOENT);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 2), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found), 0);
	ck_assert_int_eq(found.id, 2);
	/* And one that the machine's crash cut. */
	overwrite("msg-x", "");
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -ENOENT);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 3), 0);
}
END_TEST

static const char *const rubbish[] = { "x", "\n", "libipc 1 1 1 1 boot",
    "libipc 2 1 1 1 boot\n", "libipc 1 -1 1 1 boot\n",
    "libipc 1 1 1 1 boot more\n", "libipc 1 1 1 1 boot\n\n",
    "libipc 1 1 1 1 0123456789012345678901234567890123456789\n" };

START_TEST(what_is_no_note_is_told_and_left)
{
	struct ipc__sysname found;

	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 1), 0);
	overwrite("msg-x", rubbish[_i]);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -EBADMSG);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 1), -EEXIST);
	ck_assert_int_eq(ipc__sysname_forget(IPC__SYSV_MSG, "x", 1),
	    -EBADMSG);
	ck_assert_int_eq(sweep(), 0);
	ck_assert(is_there(notes("msg-x")));
}
END_TEST

START_TEST(what_others_could_have_written_is_refused)
{
	struct ipc__sysname found;
	char vast[400];

	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 1), 0);
	ck_assert_int_eq(chmod(notes("msg-x"), 0666), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -EPERM);
	ck_assert_int_eq(rename(notes("msg-x"), in_top("y")), 0);
	ck_assert_int_eq(mkfifo(notes("msg-x"), 0600), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -EPERM);
	ck_assert_int_eq(unlink(notes("msg-x")), 0);
	ck_assert_int_eq(chmod(in_top("y"), 0600), 0);
	ck_assert_int_eq(symlink(in_top("y"), notes("msg-x")), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -ELOOP);
	ck_assert_int_eq(unlink(notes("msg-x")), 0);
	ck_assert_int_eq(rename(in_top("y"), notes("msg-x")), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found), 0);
	memset(vast, ' ', sizeof vast);
	vast[sizeof vast - 1] = '\0';
	overwrite("msg-x", vast);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found),
	    -EPERM);
	if (can(false)) {
		overwrite("msg-x", "libipc 1 1 1 1 boot\n");
		ck_assert_int_eq(chown(notes("msg-x"), NOBODY, 0), 0);
		ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x",
		    &found), -EPERM);
	}
}
END_TEST

static void
find_roots(void *unused, int ready)
{
	struct ipc__sysname found;

	(void)unused, (void)ready;
	private_mounts();
	unsetenv("IPC_RUNTIME_DIR");
	umask(077);
	must(ipc__sysname_note(IPC__SYSV_SHM, "both", 1) == 0);
	must(ipc__sysname_note(IPC__SYSV_SHM, "roots", 2) == 0);
	become(NOBODY);
	must(ipc__sysname_note(IPC__SYSV_SHM, "both", 3) == 0);
	must(ipc__sysname_find(IPC__SYSV_SHM, "both", &found) == 0);
	must(found.id == 3 && found.owner == NOBODY);
	must(ipc__sysname_find(IPC__SYSV_SHM, "roots", &found) == 0);
	must(found.id == 2 && found.owner == 0);
}

START_TEST(what_root_noted_is_found_by_all)
{
	if (can(true))
		run(find_roots, NULL);
}
END_TEST

static void
note_elsewhere(void *unused, int ready)
{
	struct ipc__sysname found;

	(void)unused, (void)ready;
	must(unshare(CLONE_NEWIPC) == 0);
	must(ipc__sysname_find(IPC__SYSV_MSG, "x", &found) == -ENOENT);
	must(ipc__sysname_note(IPC__SYSV_MSG, "x", 2) == 0);
	must(ipc__sysname_find(IPC__SYSV_MSG, "x", &found) == 0);
	must(found.id == 2);
}

START_TEST(another_ipc_namespace_has_other_names)
{
	struct ipc__sysname found;

	if (!can(true))
		return;
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "x", 1), 0);
	run(note_elsewhere, NULL);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "x", &found), 0);
	ck_assert_int_eq(found.id, 1);
}
END_TEST

/*
 * Private objects
 */

static void
hold_and_stay(void *id, int ready)
{
	must(ipc__sysname_hold(IPC__SYSV_SHM, *(int *)id, 0) == 0);
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_private_object_goes_with_the_last_who_held_it)
{
	int id = 5;
	pid_t one = start(hold_and_stay, &id), two;

	two = start(hold_and_stay, &id);
	exists[IPC__SYSV_SHM][5] = true;
	ck_assert_int_eq(sweep(), 0);
	kill_and_wait(one);
	ck_assert_int_eq(sweep(), 0);
	ck_assert_int_eq(removed, 0);
	kill_and_wait(two);
	ck_assert_int_eq(sweep(), 2);
	ck_assert_int_eq(removed, 1);
	ck_assert_ptr_nonnull(strstr(told, "/shm-5."));
	ck_assert(!exists[IPC__SYSV_SHM][5]);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(a_private_object_can_be_noted_for_another_process)
{
	int id = 6;
	pid_t other = start(hold_and_stay, &id);

	exists[IPC__SYSV_MSG][7] = true;
	ck_assert_int_eq(ipc__sysname_hold(IPC__SYSV_MSG, 7, other), 0);
	ck_assert_int_eq(sweep(), 0);
	kill_and_wait(other);
	ck_assert_int_eq(sweep(), 2);	/* with what it held itself */
	ck_assert(!exists[IPC__SYSV_MSG][7]);
}
END_TEST

START_TEST(what_is_dropped_is_forgotten_by_all_its_holders)
{
	int id = 5;
	pid_t other = start(hold_and_stay, &id);

	ck_assert_int_eq(ipc__sysname_hold(IPC__SYSV_SHM, 5, 0), 0);
	ck_assert_int_eq(ipc__sysname_hold(IPC__SYSV_SHM, 5, 0), 0);
	ck_assert_int_eq(ipc__sysname_hold(IPC__SYSV_SHM, 55, 0), 0);
	ck_assert_int_eq(ipc__sysname_hold(IPC__SYSV_SEM, 5, 0), 0);
	ck_assert_int_eq(count_entries(notes(""), ""), 4);
	ipc__sysname_drop(IPC__SYSV_SHM, 5);
	ck_assert_int_eq(count_entries(notes(""), ""), 2);
	ipc__sysname_drop(IPC__SYSV_SHM, 55);
	ipc__sysname_drop(IPC__SYSV_SEM, 5);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	ipc__sysname_drop(IPC__SYSV_SEM, 5);
	kill_and_wait(other);
}
END_TEST

START_TEST(a_sweep_leaves_names_as_long_as_their_object_is_there)
{
	struct ipc__sysname found;

	exists[IPC__SYSV_MSG][1] = true;
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "a.b", 1), 0);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_MSG, "c/d", 2), 0);
	ck_assert_int_eq(ipc__sysname_note(IPC__SYSV_SHM, "e", 1), 0);
	ck_assert_int_eq(sweep(), 2);
	ck_assert_int_eq(removed, 0);
	ck_assert_ptr_nonnull(strstr(told, "/msg-c%2Fd\n"));
	ck_assert_ptr_nonnull(strstr(told, "/shm-e\n"));
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "a.b", &found), 0);
	ck_assert_int_eq(ipc__sysname_find(IPC__SYSV_MSG, "c/d", &found),
	    -ENOENT);
	exists[IPC__SYSV_MSG][1] = false;
	ck_assert_int_eq(sweep(), 1);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	ck_assert_int_eq(sweep(), 0);
}
END_TEST

static bool
stays(int kind, int id)
{
	(void)kind, (void)id;
	return false;
}

static bool
is_used(int kind, int id)
{
	(void)kind, (void)id;
	return true;
}

static bool
refuse(const char *path, void *user)
{
	(void)path;
	++*(int *)user;
	return false;
}

/* Killed after: noting the key; making the object; noting that too. */
static void
intend(void *arg, int ready)
{
	int step = *(int *)arg;

	must(ipc__sysname_intend(IPC__SYSV_SHM, 1005) == 0);
	if (step == 2)
		must(ipc__sysname_hold(IPC__SYSV_SHM, 5, 0) == 0);
	if (step == 3)
		must(ipc__sysname_note(IPC__SYSV_SHM, "five", 5) == 0);
	if (step == 4)
		ipc__sysname_intended(IPC__SYSV_SHM, 1005);
	close(ready);
	pause();
}

START_TEST(what_was_about_to_be_made_is_found)
{
	/* Notes that go, while it lives and then; does the object go? */
	static const struct {
		int swept;
		bool stays;
	} due[] = { { 1, false }, { 1, false }, { 2, false }, { 1, true },
	    { 0, true } };
	pid_t pid = start(intend, &_i);

	exists[IPC__SYSV_SHM][5] = _i > 0;
	if (_i != 0)
		ck_assert_int_eq(sweep(), 0);
	kill_and_wait(pid);
	ck_assert_int_eq(sweep(), due[_i].swept);
	ck_assert_int_eq(exists[IPC__SYSV_SHM][5], due[_i].stays);
	ck_assert_int_eq(sweep(), 0);
	ipc__sysname_forget(IPC__SYSV_SHM, "five", 5);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(what_somebody_uses_or_refuses_stays)
{
	int id = 9, asked = 0;
	struct ipc__sysname_sweeper by = { .gone = gone, .held = is_used,
	    .remove = take_away, .told = refuse, .user = &asked };

	exists[IPC__SYSV_SHM][9] = true;
	kill_and_wait(start(hold_and_stay, &id));
	ck_assert_int_eq(ipc__sysname_sweep(&by), 0);
	ck_assert_int_eq(asked, 0);
	by.held = unused;
	ck_assert_int_eq(ipc__sysname_sweep(&by), 0);
	ck_assert_int_eq(asked, 1);
	ck_assert(exists[IPC__SYSV_SHM][9]);
	ck_assert_int_eq(sweep(), 1);
	ck_assert(!exists[IPC__SYSV_SHM][9]);
}
END_TEST

START_TEST(what_can_not_be_removed_stays_noted)
{
	struct ipc__sysname_sweeper by = { .gone = gone, .held = unused,
	    .remove = stays };
	int id = 9;

	exists[IPC__SYSV_SHM][9] = true;
	kill_and_wait(start(hold_and_stay, &id));
	ck_assert_int_eq(ipc__sysname_sweep(&by), 0);
	ck_assert_int_eq(count_entries(notes(""), "shm-9."), 1);
	ck_assert_int_eq(sweep(), 1);
}
END_TEST

START_TEST(an_id_of_before_the_machine_started_is_not_touched)
{
	int id = 9;
	char command[600];

	exists[IPC__SYSV_SHM][9] = true;	/* somebody else's by now */
	kill_and_wait(start(hold_and_stay, &id));
	snprintf(command, sizeof command,
	    "sed -i 's/[^ ]*$/another-boot/' '%s'*", notes("shm-9."));
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(sweep(), 1);
	ck_assert_int_eq(removed, 0);
	ck_assert(exists[IPC__SYSV_SHM][9]);
}
END_TEST

/*
 * Together
 */

/* Each note appears whole or not at all, and the directory comes and goes. */
static void
note_find_forget(int id)
{
	struct ipc__sysname found;
	int lock = ipc__sysname_lock(IPC__SYSV_MSG, "x");

	must(lock >= 0);
	must(ipc__sysname_note(IPC__SYSV_MSG, "x", id) == 0);
	ipc__sysname_unlock(lock, IPC__SYSV_MSG, "x");
	for (int i = 0; i < 5; i++) {
		must(ipc__sysname_find(IPC__SYSV_MSG, "x", &found) == 0);
		must(found.id == id);
	}
	must(ipc__sysname_hold(IPC__SYSV_MSG, id, 0) == 0);
	must(ipc__sysname_forget(IPC__SYSV_MSG, "x", id) == 0);
	ipc__sysname_drop(IPC__SYSV_MSG, id);
}

static void
note_and_forget(void *id, int ready)
{
	close(ready);
	for (int i = 0; i < names_rounds(300); i++)
		note_find_forget(*(int *)id);
}

static void
look_all_the_time(void *stop, int ready)
{
	struct ipc__sysname found;
	int rc;

	close(ready);
	while (!*(volatile int *)stop) {
		rc = ipc__sysname_find(IPC__SYSV_MSG, "x", &found);
		must(rc == -ENOENT || (rc == 0 && found.id == 1));
	}
}

static void
hold_and_drop(void *unused, int ready)
{
	(void)unused;
	close(ready);
	for (int i = 0; i < names_rounds(600); i++) {
		must(ipc__sysname_hold(IPC__SYSV_SEM, 3, 0) == 0);
		ipc__sysname_drop(IPC__SYSV_SEM, 3);
	}
}

START_TEST(notes_are_whole_while_others_come_and_go)
{
	int *stop = shared(sizeof *stop), one = 1;
	pid_t looking = start(look_all_the_time, stop);
	pid_t holding = start(hold_and_drop, NULL);

	run(note_and_forget, &one);
	ck_assert_int_eq(wait_for(holding), 0);
	*stop = 1;
	ck_assert_int_eq(wait_for(looking), 0);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sysname");
	TCase *tc = tcase_create("names");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, a_noted_name_is_found_with_its_maker);
	tcase_add_test(tc, a_name_is_noted_once);
	tcase_add_test(tc, any_name_can_be_noted_and_none_is_mixed_up);
	tcase_add_test(tc, a_note_of_before_the_machine_started_is_none);
	tcase_add_loop_test(tc, what_is_no_note_is_told_and_left, 0,
	    sizeof rubbish / sizeof rubbish[0]);
	tcase_add_test(tc, what_others_could_have_written_is_refused);
	tcase_add_test(tc, what_root_noted_is_found_by_all);
	tcase_add_test(tc, another_ipc_namespace_has_other_names);
	suite_add_tcase(suite, tc);
	tc = tcase_create("private objects");
	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, a_private_object_goes_with_the_last_who_held_it);
	tcase_add_test(tc, a_private_object_can_be_noted_for_another_process);
	tcase_add_test(tc, what_is_dropped_is_forgotten_by_all_its_holders);
	tcase_add_test(tc,
	    a_sweep_leaves_names_as_long_as_their_object_is_there);
	tcase_add_loop_test(tc, what_was_about_to_be_made_is_found, 0, 5);
	tcase_add_test(tc, what_somebody_uses_or_refuses_stays);
	tcase_add_test(tc, what_can_not_be_removed_stays_noted);
	tcase_add_test(tc, an_id_of_before_the_machine_started_is_not_touched);
	suite_add_tcase(suite, tc);
	tc = tcase_create("together");
	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, notes_are_whole_while_others_come_and_go);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
