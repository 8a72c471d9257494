/* SPDX-License-Identifier: ISC */
/*
 * Mutexes: the same tests over every kind.
 */
#include <pthread.h>
#include <sys/time.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

#define SOON	5000

static const char *const kinds[] = {
	"mutex:m", "mutex:m?pi=1", "sysvmutex:m", "filelock:%s/lock"
};
#define KINDS	4

static char address[160];

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", address, rc, ipc_errmsg());
}

static const char *
with(int i, const char *option)
{
	int n = snprintf(address, sizeof address, kinds[i], top);

	if (*option != '\0')
		snprintf(address + n, sizeof address - (size_t)n, "%c%s",
		    strchr(address, '?') ? '&' : '?', option);
	return address;
}

static struct ipc_mutex *
make(int i, const char *option)
{
	struct ipc_mutex *m = NULL;

	fine(ipc_mutex_open(&m, with(i, option), IPC_CREATE | IPC_EXCLUSIVE));
	return m;
}

static void
done(int i, struct ipc_mutex *m)
{
	fine(ipc_mutex_unlink(with(i, "")));
	fine(ipc_mutex_close(m));
}

/* What another thread of ours gets. */
struct attempt {
	struct ipc_mutex *m;
	int	(*call)(struct ipc_mutex *, int timeout);
	int	timeout, rc;
	bool	unlock;
};

static int
unlock(struct ipc_mutex *m, int unused)
{
	(void)unused;
	return ipc_mutex_unlock(m);
}

static void *
attempt(void *arg)
{
	struct attempt *a = arg;

	a->rc = a->call(a->m, a->timeout);
	if (a->unlock && a->rc == 0)
		ipc_mutex_unlock(a->m);
	return NULL;
}

static int
in_thread(struct ipc_mutex *m, int (*call)(struct ipc_mutex *, int),
    int timeout)
{
	struct attempt a = { m, call, timeout, 0, call == ipc_mutex_lock };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, attempt, &a), 0);
	pthread_join(thread, NULL);
	return a.rc;
}

START_TEST(it_is_locked_and_unlocked)
{
	struct ipc_mutex *m = make(_i, "");

	for (int timeout = -1; timeout < 3; timeout++) {
		fine(ipc_mutex_lock(m, timeout));
		fine(ipc_mutex_unlock(m));
	}
	done(_i, m);
}
END_TEST

START_TEST(a_thread_that_does_not_have_it_can_not_unlock_it)
{
	struct ipc_mutex *m = make(_i, "");

	ck_assert_int_eq(ipc_mutex_unlock(m), -EPERM);
	fine(ipc_mutex_lock(m, -1));
	ck_assert_int_eq(in_thread(m, unlock, 0), -EPERM);
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 0), -EAGAIN);
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(ipc_mutex_unlock(m), -EPERM);
	fine(in_thread(m, ipc_mutex_lock, 0));
	done(_i, m);
}
END_TEST

START_TEST(locking_it_twice_is_a_deadlock_that_is_told)
{
	struct ipc_mutex *m = make(_i, "");

	fine(ipc_mutex_lock(m, -1));
	ck_assert_int_eq(ipc_mutex_lock(m, -1), -EDEADLK);
	ck_assert_int_eq(ipc_mutex_lock(m, 10), -EDEADLK);
	ck_assert_int_eq(ipc_mutex_lock(m, 0), -EDEADLK);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), address));
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(ipc_mutex_unlock(m), -EPERM);
	done(_i, m);
}
END_TEST

START_TEST(a_recursive_one_may_be_locked_again)
{
	struct ipc_mutex *m = make(_i, "recursive=1");

	fine(ipc_mutex_lock(m, -1));
	fine(ipc_mutex_lock(m, 0));
	fine(ipc_mutex_lock(m, 10));
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 0), -EAGAIN);
	fine(ipc_mutex_unlock(m));
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 0), -EAGAIN);
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(ipc_mutex_unlock(m), -EPERM);
	fine(in_thread(m, ipc_mutex_lock, 0));
	done(_i, m);
}
END_TEST

START_TEST(a_timeout_is_kept)
{
	struct ipc_mutex *m = make(_i, "");
	double began;

	fine(ipc_mutex_lock(m, -1));
	began = seconds();
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 50), -ETIMEDOUT);
	ck_assert(seconds() - began >= 0.05 && seconds() - began < 2);
	fine(ipc_mutex_unlock(m));
	done(_i, m);
}
END_TEST

START_TEST(it_can_not_be_closed_while_it_is_locked)
{
	struct ipc_mutex *m = make(_i, "");

	fine(ipc_mutex_lock(m, -1));
	ck_assert_int_eq(ipc_mutex_close(m), -EBUSY);
	fine(ipc_mutex_unlock(m));
	done(_i, m);
	ck_assert_int_eq(ipc_mutex_close(NULL), 0);
}
END_TEST

START_TEST(names_are_made_found_and_removed)
{
	struct ipc_mutex *m = NULL, *b = NULL;

	ck_assert_int_eq(ipc_mutex_open(&m, with(_i, ""), 0), -ENOENT);
	m = make(_i, "");
	ck_assert_int_eq(ipc_mutex_open(&b, with(_i, ""), IPC_CREATE |
	    IPC_EXCLUSIVE), -EEXIST);
	fine(ipc_mutex_open(&b, with(_i, ""), IPC_CREATE));
	fine(ipc_mutex_lock(b, 0));
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 0), -EAGAIN);
	fine(ipc_mutex_unlock(b));
	fine(ipc_mutex_close(b));
	done(_i, m);
	ck_assert_int_eq(ipc_mutex_unlink(with(_i, "")), -ENOENT);
	if (is_there(runtime))
		ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

/*
 * Other processes
 */

static void
lock_and_stay(void *arg, int ready)
{
	struct ipc_mutex *m = NULL;

	(void)arg;
	must(ipc_mutex_open(&m, address, 0) == 0);
	must(ipc_mutex_lock(m, 0) == 0);
	close(ready);
	for (;;)
		pause();
}

START_TEST(the_next_owner_is_told_of_a_death)
{
	struct ipc_mutex *m = make(_i, "");
	pid_t pid = start(lock_and_stay, NULL);

	ck_assert_int_eq(ipc_mutex_lock(m, 0), -EAGAIN);
	ck_assert_int_eq(ipc_mutex_lock(m, 20), -ETIMEDOUT);
	kill_and_wait(pid);
	ck_assert_int_eq(ipc_mutex_lock(m, SOON), -EOWNERDEAD);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "died"));
	ck_assert_int_eq(in_thread(m, ipc_mutex_lock, 0), -EAGAIN);
	fine(ipc_mutex_unlock(m));
	fine(ipc_mutex_lock(m, 0));
	fine(ipc_mutex_unlock(m));
	done(_i, m);
}
END_TEST

static void
repair_and_die(void *arg, int ready)
{
	struct ipc_mutex *m = NULL;

	(void)arg;
	must(ipc_mutex_open(&m, address, 0) == 0);
	must(ipc_mutex_lock(m, SOON) == -EOWNERDEAD);
	close(ready);
	for (;;)
		pause();
}

START_TEST(who_dies_while_repairing_is_told_of_too)
{
	struct ipc_mutex *m = make(_i, "");
	pid_t pid = start(lock_and_stay, NULL);

	kill_and_wait(pid);
	pid = start(repair_and_die, NULL);
	kill_and_wait(pid);
	ck_assert_int_eq(ipc_mutex_lock(m, SOON), -EOWNERDEAD);
	fine(ipc_mutex_unlock(m));
	done(_i, m);
}
END_TEST

static void *
kill_late(void *arg)
{
	pause_us(50000);
	kill(*(pid_t *)arg, SIGKILL);
	return NULL;
}

START_TEST(a_death_wakes_who_waits)
{
	struct ipc_mutex *m = make(_i, "");
	pid_t pid = start(lock_and_stay, NULL);
	double began = seconds();
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, kill_late, &pid), 0);
	ck_assert_int_eq(ipc_mutex_lock(m, -1), -EOWNERDEAD);
	ck_assert(seconds() - began < 2);
	fine(ipc_mutex_unlock(m));
	pthread_join(thread, NULL);
	wait_for(pid);
	done(_i, m);
}
END_TEST

static struct ipc_mutex *inherited;

static void
child_of_owner(void *arg, int ready)
{
	(void)arg;
	must(ipc_mutex_unlock(inherited) == -EPERM);
	must(ipc_mutex_lock(inherited, 0) == -EAGAIN);
	close(ready);
	must(ipc_mutex_lock(inherited, SOON) == 0);
	must(ipc_mutex_unlock(inherited) == 0);
	must(ipc_mutex_close(inherited) == 0);
}

START_TEST(a_forked_child_does_not_own_its_parents_lock)
{
	struct ipc_mutex *m = inherited = make(_i, "");
	pid_t pid;

	fine(ipc_mutex_lock(m, -1));
	pid = start(child_of_owner, NULL);
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(wait_for(pid), 0);
	fine(ipc_mutex_lock(m, 0));
	fine(ipc_mutex_unlock(m));
	done(_i, m);
}
END_TEST

/* The owner dies, and has a child that lives. */
static void
lock_and_fork(void *arg, int ready)
{
	struct ipc_mutex *m = NULL;
	pid_t *child = arg, pid;

	must(ipc_mutex_open(&m, address, 0) == 0);
	must(ipc_mutex_lock(m, 0) == 0);
	pid = fork();
	if (pid == 0) {
		close(ready);
		for (;;)
			pause();
	}
	*child = pid;
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_forked_child_does_not_hold_on_to_it)
{
	struct ipc_mutex *m = make(_i, "");
	pid_t *child = shared(sizeof *child), pid = start(lock_and_fork,
	    child);

	kill_and_wait(pid);
	ck_assert_int_eq(ipc_mutex_lock(m, SOON), -EOWNERDEAD);
	fine(ipc_mutex_unlock(m));
	kill(*child, SIGKILL);
	munmap(child, sizeof *child);
	done(_i, m);
}
END_TEST

/* What the processes of a race share. */
struct race { volatile long sum; volatile int inside; };
static struct race *race;

static void
add(void *arg, int ready)
{
	struct ipc_mutex *m = NULL;

	(void)arg;
	close(ready);
	must(ipc_mutex_open(&m, address, 0) == 0);
	for (int i = 0; i < 500; i++) {
		must(ipc_mutex_lock(m, i % 2 ? -1 : SOON) == 0);
		must(race->inside == 0);
		race->inside = (int)getpid();
		race->sum++;
		must(race->inside == (int)getpid());
		race->inside = 0;
		must(ipc_mutex_unlock(m) == 0);
	}
	must(ipc_mutex_close(m) == 0);
}

START_TEST(one_at_a_time_is_inside)
{
	struct ipc_mutex *m = make(_i, "");
	pid_t pids[4];

	race = shared(sizeof *race);
	for (int p = 0; p < 4; p++)
		pids[p] = start(add, NULL);
	for (int p = 0; p < 4; p++)
		ck_assert_int_eq(wait_for(pids[p]), 0);
	ck_assert_int_eq(race->sum, 2000);
	munmap(race, sizeof *race);
	done(_i, m);
}
END_TEST

struct work { struct ipc_mutex *m; long sum; };

static void *
add_here(void *arg)
{
	struct work *w = arg;

	for (int i = 0; i < 500; i++) {
		if (ipc_mutex_lock(w->m, i % 2 ? -1 : SOON) < 0)
			return NULL;
		w->sum++;
		ipc_mutex_unlock(w->m);
	}
	return w;
}

START_TEST(threads_of_one_handle_exclude_each_other)
{
	struct work w = { make(_i, ""), 0 };
	pthread_t threads[4];
	void *result;

	for (int t = 0; t < 4; t++)
		ck_assert_int_eq(pthread_create(&threads[t], NULL, add_here,
		    &w), 0);
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], &result);
		ck_assert_ptr_eq(result, &w);
	}
	ck_assert_int_eq(w.sum, 2000);
	done(_i, w.m);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mutex");
	TCase *tc = tcase_create("every kind");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, it_is_locked_and_unlocked, 0, KINDS);
	tcase_add_loop_test(tc,
	    a_thread_that_does_not_have_it_can_not_unlock_it, 0, KINDS);
	tcase_add_loop_test(tc, locking_it_twice_is_a_deadlock_that_is_told,
	    0, KINDS);
	tcase_add_loop_test(tc, a_recursive_one_may_be_locked_again, 0, KINDS);
	tcase_add_loop_test(tc, a_timeout_is_kept, 0, KINDS);
	tcase_add_loop_test(tc, it_can_not_be_closed_while_it_is_locked, 0,
	    KINDS);
	tcase_add_loop_test(tc, names_are_made_found_and_removed, 0, KINDS);
	tcase_add_loop_test(tc, the_next_owner_is_told_of_a_death, 0, KINDS);
	tcase_add_loop_test(tc, who_dies_while_repairing_is_told_of_too, 0,
	    KINDS);
	tcase_add_loop_test(tc, a_death_wakes_who_waits, 0, KINDS);
	tcase_add_loop_test(tc, a_forked_child_does_not_own_its_parents_lock,
	    0, KINDS);
	tcase_add_loop_test(tc, a_forked_child_does_not_hold_on_to_it, 0,
	    KINDS);
	tcase_add_loop_test(tc, one_at_a_time_is_inside, 0, KINDS);
	tcase_add_loop_test(tc, threads_of_one_handle_exclude_each_other, 0,
	    KINDS);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
