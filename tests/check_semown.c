/* SPDX-License-Identifier: ISC */
/*
 * sem: what only the library's own semaphore can be asked: that no death is
 * missed, whoever puts its bell out, and what rubbish in its memory does.
 */
#include <limits.h>
#include <poll.h>

#include <ipc/ipc.h>

#include "names.h"
#include "semown.h"
#include "suite.h"

#define ADDRESS	"sem:x?undo=1"

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%d: %s", rc, ipc_errmsg());
}

static struct ipc_sem *
make(const char *address, unsigned value)
{
	struct ipc_sem *s = NULL;

	fine(ipc_sem_open(&s, address, IPC_CREATE, value));
	return s;
}

static void
done(struct ipc_sem *s)
{
	fine(ipc_sem_close(s));
	fine(ipc_sem_unlink(ADDRESS));
}

static struct ipc__sem_shared *
inside(struct ipc_sem *s)
{
	return ((struct ipc__sem_own *)(void *)s)->shared;
}

static bool
shows(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout) == 1;
}

/*
 * Somebody waits, and is so slow that another one takes what was given, and a
 * third one finds nothing, before it has looked.
 */

static void
take_and_stay(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	(void)arg;
	must(ipc_sem_open(&s, ADDRESS, 0, 0) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	close(ready);
	for (;;)
		pause();
}

/* What holder has is given, taken by another one who dies of it. */
static void
pass_on_and_kill(struct ipc_sem *holder)
{
	struct ipc_sem *third = make(ADDRESS, 0);
	pid_t pid;

	fine(ipc_sem_post(holder));
	pid = start(take_and_stay, NULL);
	ck_assert_int_eq(ipc_sem_wait(third, 0), -EAGAIN);
	/* Nobody is left who would tell the slow one. */
	fine(ipc_sem_close(third));
	kill_and_wait(pid);
}

START_TEST(a_slow_event_loop_is_told_of_whoever_dies)
{
	struct ipc_sem *holder = make(ADDRESS, 1), *slow = make(ADDRESS, 0);
	int fd = ipc_sem_fd(slow);

	fine(fd);
	fine(ipc_sem_wait(holder, 0));
	ck_assert_int_eq(ipc_sem_wait(slow, 0), -EAGAIN);
	for (int i = 0; i < 3; i++) {
		ck_assert(!shows(fd, 10));
		pass_on_and_kill(holder);
		ck_assert(shows(fd, 2000));
		fine(ipc_sem_wait(slow, 0));
		fine(ipc_sem_post(slow));
		fine(ipc_sem_wait(holder, 0));
		ck_assert_int_eq(ipc_sem_wait(slow, 0), -EAGAIN);
	}
	fine(ipc_sem_close(slow));
	done(holder);
}
END_TEST

static char
state_of(pid_t pid)
{
	char path[40], state = '?';
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	f = fopen(path, "re");
	if (f != NULL && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (f != NULL)
		fclose(f);
	return state;
}

static void
wait_long(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	(void)arg;
	must(ipc_sem_open(&s, ADDRESS, 0, 0) == 0);
	close(ready);
	must(ipc_sem_wait(s, 10000) == 0);
	must(ipc_sem_close(s) == 0);
}

START_TEST(a_slow_sleeper_is_told_of_whoever_dies)
{
	struct ipc_sem *holder = make(ADDRESS, 1);
	double began = seconds();
	pid_t slow, pid;
	int status;

	fine(ipc_sem_wait(holder, 0));
	slow = start(wait_long, NULL);
	/* It has the guard until it sleeps, and must not be stopped with it. */
	while (!inside(holder)->watched || state_of(slow) != 'S')
		pause_us(1000);
	ck_assert_int_eq(kill(slow, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(slow, &status, WUNTRACED), slow);
	ck_assert(WIFSTOPPED(status));
	fine(ipc_sem_post(holder));
	pid = start(take_and_stay, NULL);
	ck_assert_int_eq(ipc_sem_wait(holder, 0), -EAGAIN);
	ck_assert_int_eq(kill(slow, SIGCONT), 0);
	while (state_of(slow) != 'S')
		pause_us(1000);
	kill_and_wait(pid);
	ck_assert_int_eq(wait_for(slow), 0);
	ck_assert(seconds() - began < 8);
	done(holder);
}
END_TEST

static int
descriptors(void)
{
	return count_entries("/proc/self/fd", "");
}

/* One who slept keeps what it slept on for the next time, and no more. */
START_TEST(sleeping_leaves_no_descriptor)
{
	struct ipc_sem *s = make(ADDRESS, 0);
	int before;

	ck_assert_int_eq(ipc_sem_wait(s, 1), -ETIMEDOUT);
	before = descriptors();
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(ipc_sem_wait(s, 1), -ETIMEDOUT);
	ck_assert_int_eq(descriptors(), before);
	done(s);
}
END_TEST

/*
 * Rubbish
 */

START_TEST(rubbish_among_its_holders_harms_nobody)
{
	struct ipc_sem *s = make(ADDRESS, 1);
	struct ipc__sem_shared *sh = inside(s);
	unsigned value;
	int rc;

	for (uint32_t rubbish = 1; rubbish != 0; rubbish <<= 1) {
		atomic_store(&sh->used, rubbish | 0x80000000);
		for (int i = 0; i < IPC__SEM_HOLDERS; i++) {
			sh->holders[i].pid = (int32_t)rubbish;
			sh->holders[i].count = rubbish;
			sh->holders[i].start_time = rubbish;
		}
		fine(ipc_sem_value(s, &value));
		rc = ipc_sem_wait(s, 1);
		ck_assert(rc == 0 || rc == -ENOSPC || rc == -ETIMEDOUT ||
		    rc == -EAGAIN);
		fine(ipc_sem_fd(s));
	}
	memset(sh->holders, 0, sizeof sh->holders);
	sh->total = UINT_MAX;
	ck_assert_int_eq(ipc_sem_post(s), -EOVERFLOW);
	done(s);
}
END_TEST

START_TEST(a_value_that_it_can_not_hold_is_refused)
{
	struct ipc_sem *s = NULL;
	unsigned value = 0;

	fails_with(EINVAL, ipc_sem_open(&s, "sem:x", IPC_CREATE,
	    INT_MAX + 1u), "2147483647");
	s = make(ADDRESS, INT_MAX);
	ck_assert_int_eq(ipc_sem_post(s), -EOVERFLOW);
	fine(ipc_sem_value(s, &value));
	ck_assert_uint_eq(value, INT_MAX);
	done(s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("semown");
	TCase *tc = tcase_create("sem");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, a_slow_event_loop_is_told_of_whoever_dies);
	tcase_add_test(tc, a_slow_sleeper_is_told_of_whoever_dies);
	tcase_add_test(tc, sleeping_leaves_no_descriptor);
	tcase_add_test(tc, rubbish_among_its_holders_harms_nobody);
	tcase_add_test(tc, a_value_that_it_can_not_hold_is_refused);
	suite_add_tcase(suite, tc);

	return suite_run(suite);
}
