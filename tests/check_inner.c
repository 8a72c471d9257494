/* SPDX-License-Identifier: ISC */
/*
 * Semaphores, mutexes and condition variables in a region.
 */
#include <pthread.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

#define SOON	5000
#define MAKERS	8
#define SIZE	(64 * 1024)	/* of the region */
#define RWLOCK	8192		/* where one is in it */

static struct ipc_region *region;

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%d: %s", rc, ipc_errmsg());
}

static void
setup(void)
{
	names_setup();
	fine(ipc_region_open(&region, "memfd:?size=64K", IPC_CREATE));
	srandom((unsigned)getpid());
}

static void
teardown(void)
{
	ipc_region_close(region);
	names_teardown();
}

/* Variables of the test, behind those things. */
struct stage {
	_Atomic int	go, ready;
	volatile long	left, right;	/* what a mutex protects */
	_Atomic long	repairs, turns;
	volatile long	items;
};

static struct stage *
stage(void)
{
	return (void *)((char *)ipc_region_data(region) + 4096);
}

static void
child_gives(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	(void)arg;
	must(ipc_sem_init_in(&s, region, 0, 0, 0) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	close(ready);
	pause_us(20000);
	must(ipc_sem_post_many(s, 2) == 0);
	must(ipc_sem_close(s) == 0);
}

START_TEST(a_semaphore_in_a_region_is_shared)
{
	struct ipc_sem *s = NULL, *b = NULL;
	unsigned value;
	pid_t pid;

	ck_assert_int_eq(ipc_sem_init_in(&s, region, 0, 0, 0), -ENOENT);
	fine(ipc_sem_init_in(&s, region, 0, IPC_CREATE, 1));
	fine(ipc_sem_init_in(&b, region, 0, IPC_CREATE, 7));
	ck_assert_int_eq(ipc_sem_init_in(&b, region, 0, IPC_CREATE |
	    IPC_EXCLUSIVE, 7), -EEXIST);
	pid = start(child_gives, NULL);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert_int_eq(ipc_sem_wait(s, 1), -ETIMEDOUT);
	fine(ipc_sem_wait(s, SOON));
	ck_assert_int_eq(wait_for(pid), 0);
	fine(ipc_sem_value(b, &value));
	ck_assert_uint_eq(value, 1);
	ck_assert_int_eq(ipc_sem_fd(s), -EOPNOTSUPP);
	fine(ipc_sem_close(b));
	fine(ipc_sem_close(s));
}
END_TEST

START_TEST(places_are_checked)
{
	struct ipc_sem *s = NULL;
	struct ipc_mutex *m = NULL;
	struct ipc_cond *c = NULL;
	struct ipc_region *r = NULL;

	fine(ipc_sem_init_in(&s, region, 64, IPC_CREATE, 1));
	fails_with(EPROTOTYPE, ipc_mutex_init_in(&m, region, 64, IPC_CREATE),
	    "something else");
	fails_with(EPROTOTYPE, ipc_cond_init_in(&c, region, 64, IPC_CREATE),
	    "something else");
	fails_with(EINVAL, ipc_mutex_init_in(&m, region, 8, IPC_CREATE),
	    "multiple of 64");
	fails_with(EINVAL, ipc_mutex_init_in(&m, region, SIZE - 64,
	    IPC_CREATE), "128 bytes");
	fails_with(EINVAL, ipc_mutex_init_in(&m, NULL, 0, IPC_CREATE),
	    "region");
	fine(ipc_mutex_init_in(&m, region, SIZE - 128, IPC_CREATE));
	fine(ipc_mutex_close(m));
	memset((char *)ipc_region_data(region) + 1024, 0xfc, 64);
	fails_with(EPROTOTYPE, ipc_mutex_init_in(&m, region, 1024,
	    IPC_CREATE), "something else");
	fine(ipc_region_adopt(&r, fcntl(ipc_region_fd(region),
	    F_DUPFD_CLOEXEC, 0), 0, IPC_RECV));
	fails_with(EINVAL, ipc_mutex_init_in(&m, r, 0, IPC_CREATE),
	    "reading only");
	ipc_region_close(r);
	fine(ipc_sem_close(s));
	ck_assert_int_eq(ipc_cond_close(NULL), 0);
}
END_TEST

START_TEST(a_mutex_in_a_region_has_its_flags)
{
	struct ipc_mutex *m = NULL, *b = NULL;

	fine(ipc_mutex_init_in(&m, region, 0, IPC_CREATE));
	fails_with(EINVAL, ipc_mutex_init_in(&b, region, 0,
	    IPC_CREATE | IPC_MUTEX_RECURSIVE), "without these flags");
	fine(ipc_mutex_lock(m, -1));
	ck_assert_int_eq(ipc_mutex_lock(m, 0), -EDEADLK);
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(ipc_mutex_unlock(m), -EPERM);
	fine(ipc_mutex_close(m));
	fine(ipc_mutex_init_in(&m, region, 128, IPC_CREATE |
	    IPC_MUTEX_RECURSIVE | IPC_MUTEX_PI));
	fine(ipc_mutex_init_in(&b, region, 128, 0));
	fine(ipc_mutex_lock(b, -1));
	fine(ipc_mutex_lock(b, 10));
	fine(ipc_mutex_unlock(b));
	fine(ipc_mutex_unlock(b));
	fine(ipc_mutex_close(b));
	fine(ipc_mutex_close(m));
}
END_TEST

/*
 * Dying
 */

static void
kill_soon(pid_t pid, long most_us)
{
	double until = seconds() + (double)(random() % most_us) / 1e6;

	while (seconds() < until)
		;
	kill(pid, SIGKILL);
}

static void
make_one(void)
{
	struct ipc_rwlock *l = NULL;
	struct ipc_mutex *m = NULL;
	struct ipc_sem *s = NULL;
	unsigned value = 0;
	int rc;

	stage()->ready++;
	while (!stage()->go)
		;
	must(ipc_sem_init_in(&s, region, 0, IPC_CREATE, 3) == 0);
	must(ipc_sem_value(s, &value) == 0 && value == 3);
	must(ipc_mutex_init_in(&m, region, 128, IPC_CREATE) == 0);
	rc = ipc_mutex_lock(m, SOON);
	must(rc == 0 || rc == -EOWNERDEAD);
	must(ipc_mutex_unlock(m) == 0);
	must(ipc_rwlock_init_in(&l, region, RWLOCK, IPC_CREATE) == 0);
	must(ipc_rwlock_rdlock(l, SOON) != -ETIMEDOUT);
	must(ipc_rwlock_unlock(l) == 0);
	must(ipc_rwlock_wrlock(l, SOON) != -ETIMEDOUT);
	must(ipc_rwlock_unlock(l) == 0);
	_exit(0);
}

START_TEST(makers_who_race_and_die_make_one)
{
	int rounds = names_rounds(50), victim, status;
	pid_t pids[MAKERS];

	for (int i = 0; i < rounds; i++) {
		memset(ipc_region_data(region), 0, RWLOCK + IPC_RWLOCK_SPACE);
		for (int p = 0; p < MAKERS; p++)
			if ((pids[p] = fork()) == 0)
				make_one();
		while (stage()->ready < MAKERS)
			pause_us(20);
		stage()->go = 1;
		victim = (int)(random() % MAKERS);
		kill_soon(pids[victim], 100);
		for (int p = 0; p < MAKERS; p++) {
			status = wait_for(pids[p]);
			if (p != victim)
				ck_assert_int_eq(status, 0);
		}
	}
}
END_TEST

static void
change(void)
{
	struct ipc_mutex *m = NULL;
	int rc;

	must(ipc_mutex_init_in(&m, region, 0, 0) == 0);
	for (;;) {
		rc = ipc_mutex_lock(m, -1);
		must(rc == 0 || rc == -EOWNERDEAD);
		if (rc == -EOWNERDEAD) {
			stage()->right = stage()->left;
			stage()->repairs++;
		}
		must(stage()->left == stage()->right);
		stage()->left++;
		stage()->right++;
		must(ipc_mutex_unlock(m) == 0);
	}
}

START_TEST(what_a_killed_owner_left_is_whole_or_is_told)
{
	int rounds = names_rounds(400);
	struct ipc_mutex *m = NULL;
	pid_t pids[2];
	long before;

	fine(ipc_mutex_init_in(&m, region, 0, IPC_CREATE));
	for (int p = 0; p < 2; p++)
		if ((pids[p] = fork()) == 0)
			change();
	for (int i = 0; i < rounds; i++) {
		kill_soon(pids[i % 2], 300);
		ck_assert(WIFSIGNALED(wait_for(pids[i % 2])));
		before = stage()->left;
		for (int t = 0; stage()->left == before; t++) {
			ck_assert_int_lt(t, 50000);
			pause_us(100);
		}
		if ((pids[i % 2] = fork()) == 0)
			change();
	}
	for (int p = 0; p < 2; p++)
		kill_and_wait(pids[p]);
	ck_assert_int_gt(stage()->repairs, 0);
	ck_assert_int_ne(ipc_mutex_lock(m, SOON), -ETIMEDOUT);
	fine(ipc_mutex_unlock(m));
	fine(ipc_mutex_close(m));
}
END_TEST

/*
 * Conditions
 */

static struct ipc_mutex *mutex;
static struct ipc_cond *cond;

static void
open_both(int flags)
{
	fine(ipc_mutex_init_in(&mutex, region, 0, flags));
	fine(ipc_cond_init_in(&cond, region, 128, flags));
}

/* With any kind of mutex; the first is that of open_both(). */
static const char *const mutexes[] = {
	"", "mutex:c", "mutex:c?pi=1", "sysvmutex:c", "filelock:%s/c"
};
#define MUTEXES	5

static void
open_with(int i)
{
	char address[128];

	open_both(IPC_CREATE);
	if (i == 0)
		return;
	fine(ipc_mutex_close(mutex));
	snprintf(address, sizeof address, mutexes[i], top);
	fine(ipc_mutex_open(&mutex, address, IPC_CREATE));
	/* Whoever has it open keeps it, but for System V's. */
	if (strncmp(address, "sysv", 4) != 0)
		fine(ipc_mutex_unlink(address));
}

static void
close_both(void)
{
	fine(ipc_cond_close(cond));
	fine(ipc_mutex_close(mutex));
}

/* Takes items until there is a negative number of them. */
static void
take_items(void *arg, int ready)
{
	int rc;

	(void)arg;
	close(ready);
	must(ipc_mutex_lock(mutex, -1) == 0);
	for (;;) {
		while (stage()->items == 0) {
			rc = ipc_cond_wait(cond, mutex, SOON);
			must(rc == 0 || rc == -EOWNERDEAD);
		}
		if (stage()->items < 0)
			break;
		stage()->items--;
		stage()->turns++;
	}
	must(ipc_mutex_unlock(mutex) == 0);
}

START_TEST(what_is_signalled_is_taken)
{
	pid_t pids[3];

	open_with(_i);
	for (int p = 0; p < 3; p++)
		pids[p] = start(take_items, NULL);
	for (int i = 0; i < 300; i++) {
		fine(ipc_mutex_lock(mutex, -1));
		stage()->items++;
		fine(i % 2 ? ipc_cond_signal(cond) : 0);
		fine(ipc_mutex_unlock(mutex));
		fine(i % 2 ? 0 : ipc_cond_signal(cond));
	}
	for (int t = 0; stage()->items > 0; t++) {
		ck_assert_int_lt(t, 50000);
		pause_us(100);
	}
	fine(ipc_mutex_lock(mutex, -1));
	stage()->items = -1;
	fine(ipc_mutex_unlock(mutex));
	fine(ipc_cond_broadcast(cond));
	for (int p = 0; p < 3; p++)
		ck_assert_int_eq(wait_for(pids[p]), 0);
	ck_assert_int_eq(stage()->turns, 300);
	close_both();
	if (strncmp(mutexes[_i], "sysv", 4) == 0)
		fine(ipc_mutex_unlink(mutexes[_i]));
}
END_TEST

START_TEST(a_wait_ends_in_time_and_has_the_mutex)
{
	double began = seconds();

	open_with(_i);
	ck_assert_int_eq(ipc_cond_wait(cond, mutex, 10), -EPERM);
	fine(ipc_mutex_lock(mutex, -1));
	ck_assert_int_eq(ipc_cond_wait(cond, mutex, 50), -ETIMEDOUT);
	ck_assert(seconds() - began >= 0.05 && seconds() - began < 2);
	ck_assert_int_eq(ipc_cond_wait(cond, mutex, 0), -EAGAIN);
	ck_assert_int_eq(ipc_mutex_lock(mutex, 0), -EDEADLK);
	fine(ipc_mutex_unlock(mutex));
	fine(ipc_cond_signal(cond));
	close_both();
	if (strncmp(mutexes[_i], "sysv", 4) == 0)
		fine(ipc_mutex_unlink(mutexes[_i]));
}
END_TEST

static void
wait_for_ever(void *arg, int ready)
{
	(void)arg;
	must(ipc_mutex_lock(mutex, -1) == 0);
	close(ready);
	for (;;)
		(void)ipc_cond_wait(cond, mutex, -1);
}

/* Dies somewhere in it, most often. */
static void
signal_for_ever(void *arg, int ready)
{
	int rc;

	(void)arg;
	close(ready);
	for (;;) {
		rc = ipc_mutex_lock(mutex, -1);
		must(rc == 0 || rc == -EOWNERDEAD);
		(void)ipc_cond_signal(cond);
		must(ipc_mutex_unlock(mutex) == 0);
	}
}

START_TEST(deaths_of_waiters_and_signallers_stop_nobody)
{
	int rounds = names_rounds(100), rc;
	pid_t waiter, signaller, other;

	open_both(IPC_CREATE);
	for (int i = 0; i < rounds; i++) {
		stage()->items = 0;
		waiter = start(wait_for_ever, NULL);
		signaller = start(signal_for_ever, NULL);
		kill_soon(waiter, 500);
		kill_soon(signaller, 500);
		wait_for(waiter);
		wait_for(signaller);
		rc = ipc_mutex_lock(mutex, SOON);
		ck_assert(rc == 0 || rc == -EOWNERDEAD);
		fine(ipc_mutex_unlock(mutex));
		other = start(take_items, NULL);
		fine(ipc_mutex_lock(mutex, SOON));
		stage()->items = -1;
		fine(ipc_cond_signal(cond));
		fine(ipc_mutex_unlock(mutex));
		ck_assert_int_eq(wait_for(other), 0);
	}
	close_both();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("inner");
	TCase *tc = tcase_create("in a region");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60 + names_rounds(400) / 100);
	tcase_add_test(tc, a_semaphore_in_a_region_is_shared);
	tcase_add_test(tc, places_are_checked);
	tcase_add_test(tc, a_mutex_in_a_region_has_its_flags);
	tcase_add_test(tc, makers_who_race_and_die_make_one);
	tcase_add_test(tc, what_a_killed_owner_left_is_whole_or_is_told);
	tcase_add_loop_test(tc, what_is_signalled_is_taken, 0, MUTEXES);
	tcase_add_loop_test(tc, a_wait_ends_in_time_and_has_the_mutex, 0,
	    MUTEXES);
	tcase_add_test(tc, deaths_of_waiters_and_signallers_stop_nobody);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
