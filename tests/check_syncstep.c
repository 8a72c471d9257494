/* SPDX-License-Identifier: ISC */
/* WRAP: write sem_init ipc_mutex_unlock */
/*
 * Semaphores and conditions between two lines of theirs: who is killed there,
 * or comes in between, which by chance hardly ever happens.
 */
#include <poll.h>
#include <semaphore.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __real_sem_init(sem_t *sem, int shared_too, unsigned value);
int __wrap_sem_init(sem_t *sem, int shared_too, unsigned value);
int __real_ipc_mutex_unlock(struct ipc_mutex *m);
int __wrap_ipc_mutex_unlock(struct ipc_mutex *m);

/* What happens to this process at the next such call. */
static enum { NOTHING, DIE_BEFORE, DIE_AFTER } at_write, at_sem_init;
static struct ipc_cond *signal_after_unlock;

static void
die(void)
{
	kill(getpid(), SIGKILL);
}

ssize_t
__wrap_write(int fd, const void *data, size_t size)
{
	ssize_t n;

	if (at_write == DIE_BEFORE)
		die();
	n = __real_write(fd, data, size);
	if (at_write == DIE_AFTER)
		die();
	return n;
}

int
__wrap_sem_init(sem_t *sem, int shared_too, unsigned value)
{
	if (at_sem_init == DIE_BEFORE)
		die();
	return __real_sem_init(sem, shared_too, value);
}

int
__wrap_ipc_mutex_unlock(struct ipc_mutex *m)
{
	int rc = __real_ipc_mutex_unlock(m);

	if (signal_after_unlock != NULL)
		must(ipc_cond_signal(signal_after_unlock) == 0);
	return rc;
}

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%d: %s", rc, ipc_errmsg());
}

/*
 * sem: whose giver dies as it rings the bell
 */

static bool
shows(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 100) == 1;
}

static void
post_and_die(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	(void)ready;
	must(ipc_sem_open(&s, "sem:x", 0, 0) == 0);
	at_write = *(int *)arg;
	(void)ipc_sem_post(s);
	_exit(1);		/* it has rung nothing */
}

/* The bell is lit whenever something is free, or a sleeper sleeps on. */
START_TEST(a_giver_dies_ringing_and_nothing_is_free_in_the_dark)
{
	struct ipc_sem *s = NULL;
	unsigned value = 99;
	int fd, status, when = _i;

	fine(ipc_sem_open(&s, "sem:x", IPC_CREATE, 0));
	fd = ipc_sem_fd(s);
	fine(fd);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	status = wait_for(start(post_and_die, &when));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	fine(ipc_sem_value(s, &value));
	ck_assert(value == 0 || shows(fd));
	ck_assert_int_eq(ipc_sem_wait(s, 0), value == 0 ? -EAGAIN : 0);
	fine(ipc_sem_post(s));
	ck_assert(shows(fd));
	fine(ipc_sem_wait(s, 0));
	fine(ipc_sem_close(s));
	fine(ipc_sem_unlink("sem:x"));
}
END_TEST

/*
 * In a region
 */

static struct ipc_region *region;

static void
make_and_die(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	(void)arg, (void)ready;
	at_sem_init = DIE_BEFORE;
	(void)ipc_sem_init_in(&s, region, 0, IPC_CREATE, 1);
	_exit(1);
}

START_TEST(what_a_dead_one_began_to_make_is_made_anew)
{
	struct ipc_sem *s = NULL;
	unsigned value = 0;
	int status;

	fine(ipc_region_open(&region, "memfd:?size=4096", IPC_CREATE));
	status = wait_for(start(make_and_die, NULL));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_int_eq(ipc_sem_init_in(&s, region, 0, 0, 0), -ENOENT);
	fine(ipc_sem_init_in(&s, region, 0, IPC_CREATE | IPC_EXCLUSIVE, 3));
	fine(ipc_sem_value(s, &value));
	ck_assert_uint_eq(value, 3);
	fine(ipc_sem_close(s));
	fine(ipc_region_close(region));
}
END_TEST

START_TEST(a_signal_just_after_the_mutex_is_let_go_is_not_lost)
{
	struct ipc_mutex *m = NULL;
	struct ipc_cond *c = NULL;

	fine(ipc_region_open(&region, "memfd:?size=4096", IPC_CREATE));
	fine(ipc_mutex_init_in(&m, region, 0, IPC_CREATE));
	fine(ipc_cond_init_in(&c, region, IPC_SYNC_SPACE, IPC_CREATE));
	fine(ipc_mutex_lock(m, -1));
	signal_after_unlock = c;
	fine(ipc_cond_wait(c, m, 1000));
	signal_after_unlock = NULL;
	fine(ipc_mutex_unlock(m));
	fine(ipc_cond_close(c));
	fine(ipc_mutex_close(m));
	fine(ipc_region_close(region));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("syncstep");
	TCase *tc = tcase_create("step by step");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc,
	    a_giver_dies_ringing_and_nothing_is_free_in_the_dark, DIE_BEFORE,
	    DIE_AFTER + 1);
	tcase_add_test(tc, what_a_dead_one_began_to_make_is_made_anew);
	tcase_add_test(tc,
	    a_signal_just_after_the_mutex_is_let_go_is_not_lost);
	suite_add_tcase(suite, tc);

	return suite_run(suite);
}
