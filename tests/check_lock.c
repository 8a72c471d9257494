/* SPDX-License-Identifier: ISC */
/*
 * The lock of a name: one holder at a time, whatever dies when, and nothing
 * left of it.
 */
#include "names.h"
#include "suite.h"

#define PROCESSES	8

/* What the processes of a race share. */
struct race {
	volatile int	 inside;	/* the holder's pid */
	volatile long	 sum;		/* changed in two steps */
	volatile int	 stop;
	volatile int	 broken;
	volatile long	 rounds;
};

static int
lock(const char *name)
{
	int fd = ipc__name_lock(name);

	if (fd < 0)
		ck_abort_msg("%s: %s", name, ipc_errmsg());
	return fd;
}

START_TEST(nothing_is_left_of_a_lock)
{
	int a = lock("fifo:/a"), b = lock("fifo:/b");

	ck_assert_int_eq(count_entries(in_top("run/locks"), ""), 2);
	ipc__name_unlock(a, "fifo:/a");
	ck_assert_int_eq(count_entries(in_top("run/locks"), ""), 1);
	ipc__name_unlock(b, "fifo:/b");
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	a = lock("fifo:/a");
	ipc__name_unlock(a, "fifo:/a");
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(any_name_can_be_locked)
{
	char name[5000];
	int a, b;

	memset(name, '/', sizeof name);
	name[sizeof name - 1] = '\0';
	a = lock(name);
	name[0] = 'x';
	b = lock(name);		/* another one */
	ipc__name_unlock(b, name);
	name[0] = '/';
	ipc__name_unlock(a, name);
	a = lock("");
	ipc__name_unlock(a, "");
	a = lock("..\n%s");
	ipc__name_unlock(a, "..\n%s");
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(a_lock_is_not_inherited_over_exec)
{
	int fd = lock("x");

	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ipc__name_unlock(fd, "x");
}
END_TEST

static void
hold(void *name, int ready)
{
	must(ipc__name_lock(name) >= 0);
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_held_lock_is_waited_for_a_second_and_no_longer)
{
	char name[] = "unix:/run/x";
	pid_t pid = start(hold, name);
	double began = seconds();

	ck_assert_int_eq(ipc__name_lock(name), -EBUSY);
	ck_assert(seconds() - began > 0.9 && seconds() - began < 1.5);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "unix:/run/x: somebody"));
	kill_and_wait(pid);
}
END_TEST

START_TEST(a_lock_goes_with_its_holders_death)
{
	char name[] = "x";
	pid_t pid = start(hold, name);
	double began;
	int fd;

	kill_and_wait(pid);
	ck_assert_int_eq(count_entries(in_top("run/locks"), ""), 1);
	began = seconds();
	fd = lock(name);
	ck_assert(seconds() - began < 0.5);
	ipc__name_unlock(fd, name);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

static void
die_later(void *name, int ready)
{
	must(ipc__name_lock(name) >= 0);
	close(ready);
	pause_us(200000);
	kill(getpid(), SIGKILL);
}

START_TEST(who_waits_gets_the_lock_of_one_who_dies)
{
	char name[] = "x";
	pid_t pid = start(die_later, name);
	double began = seconds();
	int fd = lock(name);

	ck_assert(seconds() - began > 0.1 && seconds() - began < 0.5);
	ipc__name_unlock(fd, name);
	wait_for(pid);
}
END_TEST

static void
stay(void *unused, int ready)
{
	(void)unused;
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_forked_child_does_not_keep_a_lock)
{
	char name[] = "x";
	int fd = lock(name), again;
	pid_t pid = start(stay, NULL);	/* has a copy of fd */
	double began = seconds();

	ipc__name_unlock(fd, name);
	again = lock(name);
	ck_assert(seconds() - began < 0.5);
	ipc__name_unlock(again, name);
	kill_and_wait(pid);
}
END_TEST

static void
unlock_elsewhere(void *name, int ready)
{
	int fd;

	(void)ready;
	setenv("IPC_RUNTIME_DIR", in_top("other"), 1);
	fd = ipc__name_lock(name);
	must(fd >= 0);
	setenv("IPC_RUNTIME_DIR", runtime, 1);
	ipc__name_unlock(fd, name);
}

START_TEST(unlocking_never_removes_the_lock_of_another)
{
	char name[] = "x";
	int fd = lock(name);

	run(unlock_elsewhere, name);	/* the same name in two directories */
	ck_assert_int_eq(count_entries(in_top("run/locks"), ""), 1);
	ipc__name_unlock(fd, name);
}
END_TEST

/* One that is being killed has let the lock go before its pid vanishes. */
static bool
has_gone(int pid)
{
	for (int i = 0; i < 5000 && kill(pid, 0) == 0; i++)
		pause_us(100);
	return kill(pid, 0) == -1;
}

/* Two of them inside at once are caught by the word, by the sum, or both. */
static void
enter(struct race *r, const char *name)
{
	int fd = ipc__name_lock(name);
	long sum;

	must(fd >= 0);
	if (r->inside != 0 && !has_gone(r->inside))
		r->broken = 1;
	r->inside = (int)getpid();
	sum = r->sum;
	if (sum % 16 == 0)
		pause_us(1);
	if (r->inside != (int)getpid())
		r->broken = 1;
	r->sum = sum + 1;
	r->inside = 0;
	ipc__name_unlock(fd, name);
}

static void
enter_often(void *race, int ready)
{
	struct race *r = race;

	close(ready);
	for (long i = 0; i < r->rounds && !r->stop; i++)
		enter(r, "contended");
}

START_TEST(eight_processes_never_are_inside_together)
{
	struct race *r = shared(sizeof *r);
	pid_t pids[PROCESSES];

	r->rounds = names_rounds(400);
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = start(enter_often, r);
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(wait_for(pids[i]), 0);
	ck_assert_int_eq(r->broken, 0);
	ck_assert_int_eq(r->sum, PROCESSES * r->rounds);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

START_TEST(killing_holders_neither_breaks_nor_blocks_it)
{
	struct race *r = shared(sizeof *r);
	pid_t pids[4];
	int status, fd;

	r->rounds = 1000000;
	for (int i = 0; i < 4; i++)
		pids[i] = start(enter_often, r);
	srandom(1);
	for (int i = 0; i < names_rounds(150); i++) {
		pause_us(random() % 3000);
		kill(pids[i % 4], SIGKILL);
		status = wait_for(pids[i % 4]);
		ck_assert(WIFSIGNALED(status));
		pids[i % 4] = start(enter_often, r);
	}
	r->stop = 1;
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(wait_for(pids[i]), 0);
	ck_assert_int_eq(r->broken, 0);
	ck_assert_int_gt(r->sum, names_rounds(150));
	fd = lock("contended");
	ipc__name_unlock(fd, "contended");
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

static bool
note_path(const char *file, void *text)
{
	strlcat(text, file, 1000);
	strlcat(text, "\n", 1000);
	return true;
}

START_TEST(a_sweep_takes_the_locks_of_the_dead_only)
{
	char dead[] = "fifo:/dead", living[] = "fifo:/living", text[1000] = "";
	pid_t pid = start(hold, dead), other = start(hold, living);

	ck_assert_int_eq(ipc__lock_sweep(note_path, text), 0);
	kill_and_wait(pid);
	ck_assert_int_eq(ipc__lock_sweep(note_path, text), 1);
	ck_assert_ptr_nonnull(strstr(text, "-fifo__dead\n"));
	ck_assert_ptr_null(strstr(text, "living"));
	ck_assert_int_eq(ipc__name_lock(living), -EBUSY);
	kill_and_wait(other);
	ck_assert_int_eq(ipc__lock_sweep(NULL, NULL), 1);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
	ck_assert_int_eq(ipc__lock_sweep(NULL, NULL), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lock");
	TCase *tc = tcase_create("one holder");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, nothing_is_left_of_a_lock);
	tcase_add_test(tc, any_name_can_be_locked);
	tcase_add_test(tc, a_lock_is_not_inherited_over_exec);
	tcase_add_test(tc, a_held_lock_is_waited_for_a_second_and_no_longer);
	tcase_add_test(tc, a_lock_goes_with_its_holders_death);
	tcase_add_test(tc, who_waits_gets_the_lock_of_one_who_dies);
	tcase_add_test(tc, a_forked_child_does_not_keep_a_lock);
	tcase_add_test(tc, unlocking_never_removes_the_lock_of_another);
	tcase_add_test(tc, eight_processes_never_are_inside_together);
	tcase_add_test(tc, killing_holders_neither_breaks_nor_blocks_it);
	tcase_add_test(tc, a_sweep_takes_the_locks_of_the_dead_only);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
