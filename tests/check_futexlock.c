/* SPDX-License-Identifier: ISC */
/* WRAP: syscall */
/*
 * The lock behind mutex: and sem:, whose entries stand in the kernel's list
 * beside those of the C library.
 */
#include <sys/syscall.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>

#include <ipc/ipc.h>

#include "futexlock.h"
#include "names.h"
#include "suite.h"

#define LOCKS	6
#define SOON	5000

long __real_syscall(long number, long a, long b, long c, long d, long e,
    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
    long f);

static bool no_list;		/* as if the kernel knew of none */

long
__wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_get_robust_list && no_list) {
		errno = ENOSYS;
		return -1;
	}
	return __real_syscall(number, a, b, c, d, e, f);
}

static struct stage {
	struct ipc__futexlock locks[LOCKS];
	pthread_mutex_t theirs[LOCKS];
} *stage;
static struct ipc__hold holds[LOCKS];

static void
setup(void)
{
	pthread_mutexattr_t attr;

	names_setup();
	ck_assert(ipc__futexlock_can());
	stage = shared(sizeof *stage);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < LOCKS; i++) {
		memset(&holds[i], 0, sizeof holds[i]);
		holds[i].lock = &stage->locks[i];
		ck_assert_int_eq(pthread_mutex_init(&stage->theirs[i], &attr),
		    0);
	}
	srandom((unsigned)getpid());
}

static void
teardown(void)
{
	munmap(stage, sizeof *stage);
	names_teardown();
}

static int
lock(int i, int timeout)
{
	enum ipc__quick quick = ipc__futexlock_try(&holds[i]);

	return quick == IPC__DONE ? 0 :
	    ipc__futexlock_lock(&holds[i], timeout, quick);
}

static int
unlock(int i)
{
	if (!ipc__futexlock_mine(&holds[i]))
		return -EPERM;
	return ipc__futexlock_give(&holds[i]) == IPC__DONE ? 0 :
	    ipc__futexlock_unlock(&holds[i]);
}

/*
 * The list
 */

/* Locks and unlocks at random, of ours and of the C library's, so that the
 * entries leave the list from anywhere; and is killed with some of them. */
static void
mix(void *arg, int ready)
{
	unsigned *had = arg, bit, i;

	for (int n = 0; n < 300; n++) {
		i = (unsigned)random() % (2 * LOCKS);
		bit = 1u << i;
		if (i < LOCKS)
			must((*had & bit ? unlock((int)i) :
			    lock((int)i, 0)) == 0);
		else
			must((*had & bit ?
			    pthread_mutex_unlock(&stage->theirs[i - LOCKS]) :
			    pthread_mutex_trylock(&stage->theirs[i - LOCKS]))
			    == 0);
		*had ^= bit;
	}
	close(ready);
	for (;;)
		pause();
}

START_TEST(what_a_killed_process_had_is_told_and_nothing_else)
{
	unsigned *had = shared(sizeof *had);
	int rc, rounds = names_rounds(60);

	for (int n = 0; n < rounds; n++) {
		*had = 0;
		kill_and_wait(start(mix, had));
		for (int i = 0; i < LOCKS; i++) {
			rc = lock(i, 0);
			ck_assert_int_eq(rc, *had & 1u << i ? -EOWNERDEAD : 0);
			ck_assert_int_eq(unlock(i), 0);
			rc = pthread_mutex_lock(&stage->theirs[i]);
			ck_assert_int_eq(rc, *had & 1u << (i + LOCKS) ?
			    EOWNERDEAD : 0);
			if (rc == EOWNERDEAD)
				pthread_mutex_consistent(&stage->theirs[i]);
			pthread_mutex_unlock(&stage->theirs[i]);
		}
		(void)random();
	}
	munmap(had, sizeof *had);
}
END_TEST

/* The C library's came first, so ours stand before them. */
static void *
theirs_first(void *arg)
{
	ck_assert_int_eq(pthread_mutex_lock(&stage->theirs[0]), 0);
	ck_assert_int_eq(pthread_mutex_lock(&stage->theirs[1]), 0);
	ck_assert_int_eq(lock(0, 0), 0);
	ck_assert_int_eq(pthread_mutex_lock(&stage->theirs[2]), 0);
	ck_assert_int_eq(lock(1, 0), 0);
	ck_assert_int_eq(pthread_mutex_unlock(&stage->theirs[1]), 0);
	ck_assert_int_eq(unlock(0), 0);
	ck_assert_int_eq(pthread_mutex_unlock(&stage->theirs[0]), 0);
	return arg;
}

START_TEST(a_thread_that_ends_is_told_of)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, theirs_first, NULL), 0);
	pthread_join(thread, NULL);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(lock(i, 0), i == 1 ? -EOWNERDEAD : 0);
		ck_assert_int_eq(unlock(i), 0);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_mutex_lock(&stage->theirs[i]),
		    i == 2 ? EOWNERDEAD : 0);
}
END_TEST

/*
 * Threads
 */

static struct ipc_mutex *left;

static void *
lock_and_end(void *arg)
{
	ck_assert_int_eq(ipc_mutex_lock(left, -1), 0);
	return arg;
}

START_TEST(what_an_ended_thread_had_can_be_closed_or_locked)
{
	pthread_t thread;

	for (int n = 0; n < 2; n++) {
		ck_assert_int_eq(ipc_mutex_open(&left, "mutex:left",
		    IPC_CREATE), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_end,
		    NULL), 0);
		pthread_join(thread, NULL);
		ck_assert_int_eq(ipc_mutex_unlock(left), -EPERM);
		if (n > 0) {
			ck_assert_int_eq(ipc_mutex_lock(left, 0), -EOWNERDEAD);
			ck_assert_int_eq(ipc_mutex_unlock(left), 0);
		}
		ck_assert_int_eq(ipc_mutex_close(left), 0);
		ck_assert_int_eq(ipc_mutex_unlink("mutex:left"), 0);
	}
}
END_TEST

#ifndef __SANITIZE_THREAD__	/* which waits for each thread's own word */

/* Past its destructors. */
static void *
lock_and_vanish(void *arg)
{
	ck_assert_int_eq(lock(0, -1), 0);
	syscall(SYS_exit, 0);
	return arg;
}

START_TEST(a_thread_that_vanishes_is_told_of)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_vanish, NULL),
	    0);
	pthread_join(thread, NULL);
	ck_assert_ptr_nonnull(holds[0].owner);
	while (syscall(SYS_tgkill, getpid(), holds[0].tid, 0) == 0)
		pause_us(100);
	ck_assert_int_eq(lock(0, 0), -EOWNERDEAD);
	ck_assert_int_eq(unlock(0), 0);
}
END_TEST

#endif

static int late;

static void
unlock_late(void *arg)
{
	(void)arg;
	late = unlock(0);
}

static void *
lock_and_leave_it(void *arg)
{
	ck_assert_int_eq(lock(0, -1), 0);
	ck_assert_int_eq(pthread_setspecific(*(pthread_key_t *)arg, arg), 0);
	return NULL;
}

START_TEST(a_destructor_of_a_thread_can_unlock)
{
	pthread_t thread;
	pthread_key_t key;

	late = 1;
	ck_assert_int_eq(pthread_key_create(&key, unlock_late), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_leave_it,
	    &key), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(late, 0);
	ck_assert_int_eq(lock(0, 0), 0);
	ck_assert_int_eq(unlock(0), 0);
}
END_TEST

static void
child_with_locks(void *arg, int ready)
{
	(void)arg;
	must(ipc__thread.tid == 0);
	must(lock(0, 0) == -EAGAIN);
	must(lock(1, 0) == 0);
	must(ipc__thread.tid == (uint32_t)getpid());
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_child_has_a_list_of_its_own)
{
	pid_t pid;

	ck_assert_int_eq(lock(0, 0), 0);
	pid = start(child_with_locks, NULL);
	ck_assert_int_eq(lock(1, 0), -EAGAIN);
	kill_and_wait(pid);
	ck_assert_int_eq(lock(1, SOON), -EOWNERDEAD);
	ck_assert_int_eq(unlock(0), 0);
	ck_assert_int_eq(unlock(1), 0);
}
END_TEST

/*
 * Those who sleep
 */

static void
sleep_and_go_on(void *arg, int ready)
{
	long hold = random() % 80;
	int rc;

	(void)arg;
	close(ready);
	rc = lock(0, -1);
	must(rc == 0 || rc == -EOWNERDEAD);
	pause_us(hold);
	must(unlock(0) == 0);
}

/* Nobody comes who would wake them later. */
START_TEST(no_sleeper_is_forgotten_whoever_is_killed)
{
	pid_t pids[5];
	int rounds = names_rounds(150), victim;
	double until;

	for (int n = 0; n < rounds; n++) {
		ck_assert_int_eq(lock(0, -1), 0);
		for (int i = 0; i < 5; i++) {
			pids[i] = start(sleep_and_go_on, NULL);
			(void)random();
		}
		ck_assert_int_eq(unlock(0), 0);
		for (int k = 0; k < 2; k++) {
			until = seconds() + (double)(random() % 250) / 1e6;
			while (seconds() < until)
				;
			victim = (int)(random() % 5);
			kill(pids[victim], SIGKILL);
		}
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(wait_for(pids[i]) & ~SIGKILL, 0);
		if (lock(0, 0) == -EAGAIN)
			ck_abort_msg("it is free and was not told");
		/* After the last one nobody is believed to sleep. */
		ck_assert_int_eq(unlock(0), 0);
		ck_assert_uint_eq(stage->locks[0].word, 0);
	}
}
END_TEST

/*
 * What others write to it
 */

START_TEST(rubbish_in_it_harms_nobody)
{
	struct ipc__futexlock *l = stage->locks;

	for (int n = 0; n < 20; n++) {
		for (int i = 0; i < LOCKS; i++)
			ck_assert_int_eq(lock(i, 0), 0);
		for (int i = 0; i < LOCKS; i++)
			if (n & 1 || i % 2)
				memset(&l[i], (int)random(), sizeof l[i]);
		for (int i = 0; i < LOCKS; i++)
			(void)unlock(n & 2 ? i : LOCKS - 1 - i);
		for (int i = 0; i < LOCKS; i++)
			ck_assert_int_eq(unlock(i), -EPERM);
		ck_assert_ptr_null(ipc__thread.top);
		ck_assert_ptr_eq(ipc__thread.first.next,
		    &ipc__thread.last.next);
		memset(l, 0, LOCKS * sizeof *l);
	}
}
END_TEST

static void *
try_it(void *arg)
{
	*(int *)arg = lock(0, 0);
	return NULL;
}

START_TEST(one_that_another_thread_has_is_not_taken_from_it)
{
	pthread_t thread;
	int rc = 1;

	ck_assert_int_eq(lock(0, 0), 0);
	ck_assert_int_eq(lock(1, 0), 0);
	memset(&stage->locks[0], 0, sizeof stage->locks[0]);
	ck_assert_int_eq(pthread_create(&thread, NULL, try_it, &rc), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(rc, -EBADMSG);
	ck_assert_int_eq(unlock(0), -EBADMSG);
	ck_assert_int_eq(unlock(1), 0);
	ck_assert_ptr_null(ipc__thread.top);
	ck_assert_int_eq(lock(0, 0), 0);
	ck_assert_int_eq(unlock(0), 0);
}
END_TEST

static void
die_with_rubbish(void *arg, int ready)
{
	(void)arg;
	for (int i = 0; i < LOCKS; i++)
		must(lock(i, 0) == 0);
	/* It was taken last, and so is the first in the list. */
	memset(&stage->locks[LOCKS - 1].next, 0x5a, sizeof(void *));
	close(ready);
	for (;;)
		pause();
}

START_TEST(rubbish_in_a_dead_ones_list_ends_it)
{
	kill_and_wait(start(die_with_rubbish, NULL));
	ck_assert_int_eq(lock(LOCKS - 1, 0), -EOWNERDEAD);
	ck_assert_int_eq(unlock(LOCKS - 1), 0);
}
END_TEST

/*
 * Where there is no such list
 */

static void
without_a_list(void *arg, int ready)
{
	struct ipc_mutex *m = NULL;
	struct ipc_sem *s = NULL;

	(void)arg, (void)ready;
	must(!ipc__futexlock_can());
	must(ipc_mutex_open(&m, "mutex:theirs", 0) == -EOPNOTSUPP);
	must(strstr(ipc_errmsg(), "get_robust_list") != NULL);
	must(ipc_sem_open(&s, "sem:theirs", 0, 0) == -EOPNOTSUPP);
	must(ipc_mutex_open(&m, "mutex:ours", IPC_CREATE) == 0);
	must(ipc_mutex_lock(m, 0) == 0);
	must(ipc_mutex_lock(m, 0) == -EDEADLK);
	must(ipc_mutex_unlock(m) == 0);
	must(ipc_mutex_unlock(m) == -EPERM);
	must(ipc_mutex_close(m) == 0);
	must(ipc_sem_open(&s, "sem:ours", IPC_CREATE, 1) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	must(ipc_sem_wait(s, 0) == -EAGAIN);
	must(ipc_sem_post(s) == 0);
	must(ipc_sem_close(s) == 0);
}

/* In a program that has not asked yet. */
START_TEST(without_the_list_there_are_the_c_librarys)
{
	struct ipc_mutex *m = NULL;
	struct ipc_sem *s = NULL;
	int go[2], status;
	char byte;
	pid_t pid;

	names_setup();
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		must(read(go[0], &byte, 1) == 1);
		no_list = true;
		without_a_list(NULL, -1);
		_exit(0);
	}
	ck_assert_int_eq(ipc_mutex_open(&m, "mutex:theirs", IPC_CREATE), 0);
	ck_assert_int_eq(ipc_sem_open(&s, "sem:theirs", IPC_CREATE, 1), 0);
	ck_assert_int_eq(write(go[1], "", 1), 1);
	status = wait_for(pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(ipc_mutex_close(m), 0);
	ck_assert_int_eq(ipc_sem_close(s), 0);
	/* What it made can be used here. */
	ck_assert_int_eq(ipc_mutex_open(&m, "mutex:ours", 0), 0);
	ck_assert_int_eq(ipc_mutex_lock(m, 0), 0);
	ck_assert_int_eq(ipc_mutex_unlock(m), 0);
	ck_assert_int_eq(ipc_mutex_close(m), 0);
	ck_assert_int_eq(ipc_sem_open(&s, "sem:ours", 0, 0), 0);
	ck_assert_int_eq(ipc_sem_wait(s, 0), 0);
	ck_assert_int_eq(ipc_sem_close(s), 0);
	names_teardown();
}
END_TEST

/* Its entries are in the lists of threads that go on. */
START_TEST(the_library_is_not_unloaded)
{
	const char *build = getenv("IPC_BUILD");
	char path[512];
	void *library;

	snprintf(path, sizeof path, "%s/libipc.so", build ? build : "obj");
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		ck_abort_msg("%s", dlerror());
	ck_assert_int_eq(dlclose(library), 0);
	library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	ck_assert_ptr_nonnull(library);
	dlclose(library);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("futexlock");
	TCase *tc = tcase_create("lock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30 + names_rounds(150) / 20);
	tcase_add_test(tc, what_a_killed_process_had_is_told_and_nothing_else);
	tcase_add_test(tc, a_thread_that_ends_is_told_of);
	tcase_add_test(tc, what_an_ended_thread_had_can_be_closed_or_locked);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(tc, a_thread_that_vanishes_is_told_of);
#endif
	tcase_add_test(tc, a_destructor_of_a_thread_can_unlock);
	tcase_add_test(tc, a_child_has_a_list_of_its_own);
	tcase_add_test(tc, no_sleeper_is_forgotten_whoever_is_killed);
	tcase_add_test(tc, rubbish_in_it_harms_nobody);
	tcase_add_test(tc, one_that_another_thread_has_is_not_taken_from_it);
	tcase_add_test(tc, rubbish_in_a_dead_ones_list_ends_it);
	suite_add_tcase(suite, tc);
	tc = tcase_create("not asked yet");
	tcase_add_test(tc, without_the_list_there_are_the_c_librarys);
	tcase_add_test(tc, the_library_is_not_unloaded);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
