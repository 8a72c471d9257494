/* SPDX-License-Identifier: ISC */
/*
 * Semaphores: the same tests over every kind, and what each kind can do beyond
 * that.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

#define SOON	5000

static const char *const kinds[] = {
	"sem:NAME", "posixsem:/NAME", "sysvsem:NAME", "sysvsem:KEY",
	"sem:NAME?undo=1", "sysvsem:NAME?undo=1", "sysvsem:KEY?undo=1"
};
#define KINDS	7
#define WITH_UNDO 4		/* these and those behind */

static const char *kind;

/* The address of this kind; the strings last until the eighth next. */
static const char *
address_of(int i)
{
	static char texts[8][128];
	static unsigned n;
	const char *form = kinds[i], *end;
	char *text = texts[n++ % 8], scheme[16];
	long pid = (long)getpid();

	end = strchr(form, '?') ? strchr(form, '?') : form + strlen(form);
	snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(form, "NK"),
	    form);
	if (strstr(form, "KEY") != NULL)
		snprintf(text, sizeof texts[0], "%s0x7%lx%s", scheme, pid, end);
	else
		snprintf(text, sizeof texts[0], "%sipc-check-%ld%s", scheme,
		    pid, end);
	return text;
}

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", kind, rc, ipc_errmsg());
}

static struct ipc_sem *
make(int i, unsigned value)
{
	struct ipc_sem *s = NULL;

	kind = address_of(i);
	fine(ipc_sem_open(&s, kind, IPC_CREATE | IPC_EXCLUSIVE, value));
	return s;
}

static struct ipc_sem *
again(int i)
{
	struct ipc_sem *s = NULL;

	kind = address_of(i);
	fine(ipc_sem_open(&s, kind, 0, 99));
	return s;
}

static void
done(int i, struct ipc_sem *s)
{
	fine(ipc_sem_unlink(address_of(i)));
	fine(ipc_sem_close(s));
}

static unsigned
value_of(struct ipc_sem *s)
{
	unsigned value = UINT_MAX;

	fine(ipc_sem_value(s, &value));
	return value;
}

START_TEST(what_was_given_can_be_taken)
{
	struct ipc_sem *s = make(_i, 2);

	ck_assert_uint_eq(value_of(s), 2);
	fine(ipc_sem_wait(s, -1));
	fine(ipc_sem_wait(s, 0));
	ck_assert_uint_eq(value_of(s), 0);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	fine(ipc_sem_post(s));
	fine(ipc_sem_post_many(s, 3));
	fine(ipc_sem_post_many(s, 0));
	ck_assert_uint_eq(value_of(s), 4);
	fine(ipc_sem_wait(s, 100));
	ck_assert_uint_eq(value_of(s), 3);
	done(_i, s);
}
END_TEST

START_TEST(all_who_open_a_name_have_one_semaphore)
{
	struct ipc_sem *a = make(_i, 1), *b = again(_i), *c = NULL;

	fine(ipc_sem_wait(a, 0));
	ck_assert_int_eq(ipc_sem_wait(b, 0), -EAGAIN);
	fine(ipc_sem_post(b));
	ck_assert_uint_eq(value_of(a), 1);
	ck_assert_int_eq(ipc_sem_open(&c, address_of(_i), IPC_CREATE |
	    IPC_EXCLUSIVE, 5), -EEXIST);
	fine(ipc_sem_open(&c, address_of(_i), IPC_CREATE, 5));
	fine(ipc_sem_close(b));
	fine(ipc_sem_close(c));
	done(_i, a);
}
END_TEST

START_TEST(a_name_lives_until_it_is_removed)
{
	struct ipc_sem *s = make(_i, 7), *gone = NULL;

	fine(ipc_sem_close(s));
	s = again(_i);
	ck_assert_uint_eq(value_of(s), 7);
	done(_i, s);
	ck_assert_int_eq(ipc_sem_open(&gone, address_of(_i), 0, 0), -ENOENT);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), address_of(_i)));
	ck_assert_int_eq(ipc_sem_unlink(address_of(_i)), -ENOENT);
}
END_TEST

START_TEST(a_timeout_is_kept)
{
	struct ipc_sem *s = make(_i, 0);
	double began = seconds();

	ck_assert_int_eq(ipc_sem_wait(s, 50), -ETIMEDOUT);
	ck_assert(seconds() - began >= 0.05 && seconds() - began < 2);
	done(_i, s);
}
END_TEST

static void
nothing(int sig)
{
	(void)sig;
}

START_TEST(signals_do_not_cut_a_wait_short)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never;
	struct ipc_sem *s = make(_i, 0);
	double began = seconds();

	memset(&never, 0, sizeof never);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(ipc_sem_wait(s, 60), -ETIMEDOUT);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert(seconds() - began >= 0.06);
	done(_i, s);
}
END_TEST

static void
give_late(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	must(ipc_sem_open(&s, arg, 0, 0) == 0);
	close(ready);
	pause_us(30000);
	must(ipc_sem_post(s) == 0);
	ipc_sem_close(s);
}

START_TEST(a_sleeper_is_woken_from_another_process)
{
	struct ipc_sem *s = make(_i, 0);
	double began = seconds();
	pid_t pid = start(give_late, (void *)(uintptr_t)kind);

	fine(ipc_sem_wait(s, _i % 2 ? -1 : SOON));
	ck_assert(seconds() - began < 2);
	ck_assert_int_eq(wait_for(pid), 0);
	done(_i, s);
}
END_TEST

static void *
take_three(void *arg)
{
	for (int i = 0; i < 3; i++)
		if (ipc_sem_wait(arg, SOON) < 0)
			return NULL;
	return arg;
}

START_TEST(posting_many_wakes_all_who_can_go_on)
{
	struct ipc_sem *s = make(_i, 0);
	pthread_t threads[4];
	void *result;

	for (int t = 0; t < 4; t++)
		ck_assert_int_eq(pthread_create(&threads[t], NULL, take_three,
		    s), 0);
	pause_us(20000);
	fine(ipc_sem_post_many(s, 12));
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], &result);
		ck_assert_ptr_eq(result, s);
	}
	ck_assert_uint_eq(value_of(s), 0);
	done(_i, s);
}
END_TEST

/* What the processes of a pool share: never more than 3 inside. */
struct pool {
	_Atomic int inside, most, rounds;
};

static struct pool *pool;

static void
use_pool(void *arg, int ready)
{
	struct ipc_sem *s = NULL;
	int n;

	close(ready);
	must(ipc_sem_open(&s, arg, 0, 0) == 0);
	for (int i = 0; i < 300; i++) {
		must(ipc_sem_wait(s, SOON) == 0);
		n = ++pool->inside;
		if (n > pool->most)
			pool->most = n;
		if (i % 16 == 0)
			pause_us(50);
		pool->inside--;
		pool->rounds++;
		must(ipc_sem_post(s) == 0);
	}
	ipc_sem_close(s);
}

START_TEST(no_more_are_inside_than_it_allows)
{
	struct ipc_sem *s = make(_i, 3);
	pid_t pids[6];

	pool = shared(sizeof *pool);
	for (int p = 0; p < 6; p++)
		pids[p] = start(use_pool, (void *)(uintptr_t)kind);
	for (int p = 0; p < 6; p++)
		ck_assert_int_eq(wait_for(pids[p]), 0);
	ck_assert_int_eq(pool->rounds, 1800);
	ck_assert_int_le(pool->most, 3);
	ck_assert_uint_eq(value_of(s), 3);
	munmap(pool, sizeof *pool);
	done(_i, s);
}
END_TEST

static void
open_as_other(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	close(ready);
	become(NOBODY);
	must(ipc_sem_open(&s, arg, 0, 0) == -EACCES);
	must(strstr(ipc_errmsg(), arg) != NULL);
}

START_TEST(its_mode_keeps_others_out)
{
	struct ipc_sem *s;

	if (!can(false))
		return;
	s = make(_i, 1);
	chmod(runtime, 0755);
	run(open_as_other, (void *)(uintptr_t)kind);
	done(_i, s);
}
END_TEST

static void
use_as_other(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	close(ready);
	become(NOBODY);
	must(ipc_sem_open(&s, arg, 0, 0) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	must(ipc_sem_post(s) == 0);
	ipc_sem_close(s);
}

/* A umask takes nothing away.  Names in a runtime directory are found by
 * another user only in root's. */
START_TEST(its_mode_lets_others_in)
{
	struct ipc_sem *s = NULL;
	char text[160];

	if (!can(false) || strstr(kinds[_i], "undo") != NULL)
		return;
	kind = address_of(_i);
	snprintf(text, sizeof text, "%s?mode=0666", kind);
	umask(077);
	fine(ipc_sem_open(&s, text, IPC_CREATE, 1));
	umask(022);
	if (strstr(kinds[_i], ":/") || strstr(kinds[_i], "KEY")) {
		ck_assert_int_eq(setenv("IPC_RUNTIME_DIR", "", 1), 0);
		run(use_as_other, (void *)(uintptr_t)kind);
		ck_assert_int_eq(setenv("IPC_RUNTIME_DIR", runtime, 1), 0);
	} else if (strncmp(kinds[_i], "sem:", 4) == 0) {
		ck_assert_uint_eq(mode_of(in_top("run")), 0755);
		snprintf(text, sizeof text, "run/sem-%s", kind + 4);
		ck_assert_uint_eq(mode_of(in_top(text)), 0666);
		strlcat(text, ".bell", sizeof text);
		ck_assert_uint_eq(mode_of(in_top(text)), 0666);
	}
	done(_i, s);
}
END_TEST

START_TEST(too_large_a_value_is_refused)
{
	struct ipc_sem *s = make(_i, 1);
	bool sysv = strncmp(kind, "sysv", 4) == 0;

	fine(ipc_sem_post_many(s, 32766));
	if (sysv) {
		ck_assert_int_eq(ipc_sem_post(s), -EOVERFLOW);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "SEMVMX"));
		ck_assert_int_eq(ipc_sem_post_many(s, 40000), -EOVERFLOW);
		ck_assert_uint_eq(value_of(s), 32767);
	} else if (strncmp(kind, "sem:", 4) == 0) {
		fine(ipc_sem_post_many(s, INT_MAX - 32767));
		ck_assert_int_eq(ipc_sem_post(s), -EOVERFLOW);
		ck_assert_uint_eq(value_of(s), INT_MAX);
	}
	done(_i, s);
}
END_TEST

/*
 * undo
 */

static void
take_and_die(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	must(ipc_sem_open(&s, arg, 0, 0) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	must(ipc_sem_wait(s, 0) == 0);
	must(ipc_sem_post(s) == 0);
	close(ready);
	for (;;)
		pause();
}

START_TEST(what_a_killed_process_took_is_given_back)
{
	struct ipc_sem *s = make(_i, 2);
	pid_t pid = start(take_and_die, (void *)(uintptr_t)kind);

	ck_assert_uint_eq(value_of(s), 1);
	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	kill_and_wait(pid);
	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	done(_i, s);
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
	struct ipc_sem *s = make(_i, 2);
	pid_t pid = start(take_and_die, (void *)(uintptr_t)kind);
	double began = seconds();
	pthread_t thread;

	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(pthread_create(&thread, NULL, kill_late, &pid), 0);
	fine(ipc_sem_wait(s, SOON));
	ck_assert(seconds() - began < 2);
	pthread_join(thread, NULL);
	wait_for(pid);
	done(_i, s);
}
END_TEST

static void
give_and_end(void *arg, int ready)
{
	struct ipc_sem *s = NULL;

	close(ready);
	must(ipc_sem_open(&s, arg, 0, 0) == 0);
	must(ipc_sem_post_many(s, 3) == 0);
}

START_TEST(a_gift_stays_when_the_giver_ends)
{
	struct ipc_sem *s = make(_i, 0);

	run(give_and_end, (void *)(uintptr_t)kind);
	ck_assert_uint_eq(value_of(s), 3);
	done(_i, s);
}
END_TEST

START_TEST(closing_gives_back_what_was_taken)
{
	struct ipc_sem *s = make(_i, 2), *b = again(_i);

	fine(ipc_sem_wait(b, 0));
	ck_assert_uint_eq(value_of(s), 1);
	fine(ipc_sem_close(b));
	ck_assert_uint_eq(value_of(s), 2);
	done(_i, s);
}
END_TEST

static struct ipc_sem *inherited;

static void
child_of_holder(void *arg, int ready)
{
	unsigned value = 0;

	(void)arg;
	close(ready);
	must(ipc_sem_value(inherited, &value) == 0 && value == 1);
	must(ipc_sem_wait(inherited, 0) == 0);
	must(ipc_sem_post(inherited) == 0);
	must(ipc_sem_close(inherited) == 0);
}

START_TEST(a_forked_child_does_not_hold_what_its_parent_took)
{
	struct ipc_sem *s = inherited = make(_i, 2);

	fine(ipc_sem_wait(s, 0));
	run(child_of_holder, NULL);
	ck_assert_uint_eq(value_of(s), 1);
	fine(ipc_sem_post(s));
	ck_assert_uint_eq(value_of(s), 2);
	done(_i, s);
}
END_TEST

/*
 * A descriptor
 */

static bool
shows(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout) == 1;
}

START_TEST(its_descriptor_tells_when_there_is_something)
{
	struct ipc_sem *s = make(_i, 1), *b;
	int fd;

	if (!(ipc_sync_caps(kind) & IPC_SYNC_FD)) {
		ck_assert_int_eq(ipc_sem_fd(s), -EOPNOTSUPP);
		done(_i, s);
		return;
	}
	b = again(_i);
	fd = ipc_sem_fd(s);
	fine(fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ipc_sem_fd(s), fd);
	ck_assert(shows(fd, 0));
	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert(!shows(fd, 10));
	fine(ipc_sem_post_many(b, 2));
	ck_assert(shows(fd, 0));
	fine(ipc_sem_wait(b, 0));
	ck_assert(shows(fd, 0));
	fine(ipc_sem_wait(b, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert(!shows(fd, 10));
	fine(ipc_sem_close(b));
	done(_i, s);
}
END_TEST

START_TEST(its_descriptor_tells_of_a_death)
{
	struct ipc_sem *s;
	pid_t pid;
	int fd;

	if (!(ipc_sync_caps(kinds[_i]) & IPC_SYNC_FD))
		return;
	s = make(_i, 2);
	fd = ipc_sem_fd(s);
	pid = start(take_and_die, (void *)(uintptr_t)kind);
	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert(!shows(fd, 20));
	kill_and_wait(pid);
	ck_assert(shows(fd, 1000));
	fine(ipc_sem_wait(s, 0));
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert(!shows(fd, 20));
	done(_i, s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sem");
	TCase *tc = tcase_create("every kind");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, what_was_given_can_be_taken, 0, KINDS);
	tcase_add_loop_test(tc, all_who_open_a_name_have_one_semaphore, 0,
	    KINDS);
	tcase_add_loop_test(tc, a_name_lives_until_it_is_removed, 0, KINDS);
	tcase_add_loop_test(tc, a_timeout_is_kept, 0, KINDS);
	tcase_add_loop_test(tc, signals_do_not_cut_a_wait_short, 0, KINDS);
	tcase_add_loop_test(tc, a_sleeper_is_woken_from_another_process, 0,
	    KINDS);
	tcase_add_loop_test(tc, posting_many_wakes_all_who_can_go_on, 0,
	    KINDS);
	tcase_add_loop_test(tc, no_more_are_inside_than_it_allows, 0, KINDS);
	tcase_add_loop_test(tc, its_mode_keeps_others_out, 0, 2);
	tcase_add_loop_test(tc, its_mode_lets_others_in, 0, KINDS);
	tcase_add_loop_test(tc, too_large_a_value_is_refused, 0, KINDS);
	tcase_add_loop_test(tc, its_descriptor_tells_when_there_is_something,
	    0, KINDS);
	suite_add_tcase(suite, tc);

	tc = tcase_create("undo");
	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, what_a_killed_process_took_is_given_back,
	    WITH_UNDO, KINDS);
	tcase_add_loop_test(tc, a_death_wakes_who_waits, WITH_UNDO, KINDS);
	tcase_add_loop_test(tc, a_gift_stays_when_the_giver_ends, WITH_UNDO,
	    KINDS);
	tcase_add_loop_test(tc, closing_gives_back_what_was_taken, WITH_UNDO,
	    KINDS);
	tcase_add_loop_test(tc,
	    a_forked_child_does_not_hold_what_its_parent_took, WITH_UNDO,
	    KINDS);
	tcase_add_loop_test(tc, its_descriptor_tells_of_a_death, WITH_UNDO,
	    KINDS);
	suite_add_tcase(suite, tc);

	return suite_run(suite);
}
