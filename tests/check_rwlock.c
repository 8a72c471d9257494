/* SPDX-License-Identifier: ISC */
/*
 * Reader-writer locks: the same tests over every kind.
 */
#include "rwlocks.h"
#include "suite.h"

static int (*const rdlock)(struct ipc_rwlock *, int) = ipc_rwlock_rdlock;
static int (*const wrlock)(struct ipc_rwlock *, int) = ipc_rwlock_wrlock;

/*
 * One process
 */

START_TEST(it_is_locked_and_unlocked_in_both_ways)
{
	struct ipc_rwlock *l = make(_i);

	for (int timeout = -1; timeout < 3; timeout++) {
		fine(rdlock(l, timeout));
		fine(ipc_rwlock_unlock(l));
		fine(wrlock(l, timeout));
		fine(ipc_rwlock_unlock(l));
	}
	done(l);
}
END_TEST

START_TEST(readers_share_it_and_a_writer_is_alone)
{
	struct ipc_rwlock *l = make(_i);

	fine(rdlock(l, -1));
	for (int timeout = -1; timeout < 2; timeout++)
		fine(in_thread(l, rdlock, timeout));
	ck_assert_int_eq(in_thread(l, wrlock, 0), -EAGAIN);
	ck_assert_int_eq(in_thread(l, wrlock, 20), -ETIMEDOUT);
	/* Who has given up keeps nobody out. */
	fine(in_thread(l, rdlock, 0));
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, -1));
	ck_assert_int_eq(in_thread(l, rdlock, 0), -EAGAIN);
	ck_assert_int_eq(in_thread(l, wrlock, 0), -EAGAIN);
	ck_assert_int_eq(in_thread(l, rdlock, 20), -ETIMEDOUT);
	fine(ipc_rwlock_unlock(l));
	fine(in_thread(l, wrlock, 0));
	done(l);
}
END_TEST

START_TEST(a_timeout_is_kept)
{
	struct ipc_rwlock *l = make(_i);
	double began = seconds();

	fine(rdlock(l, -1));
	ck_assert_int_eq(in_thread(l, wrlock, 50), -ETIMEDOUT);
	ck_assert(seconds() - began >= 0.05 && seconds() - began < 2);
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, -1));
	began = seconds();
	ck_assert_int_eq(in_thread(l, rdlock, 50), -ETIMEDOUT);
	ck_assert(seconds() - began >= 0.05 && seconds() - began < 2);
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

START_TEST(locking_it_twice_is_a_deadlock_that_is_told)
{
	struct ipc_rwlock *l = make(_i);

	for (int way = 0; way < 2; way++) {
		fine(way ? wrlock(l, -1) : rdlock(l, -1));
		for (int timeout = -1; timeout < 2; timeout++) {
			ck_assert_int_eq(rdlock(l, timeout), -EDEADLK);
			ck_assert_int_eq(wrlock(l, timeout), -EDEADLK);
		}
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "has it already"));
		fine(ipc_rwlock_unlock(l));
		ck_assert_int_eq(ipc_rwlock_unlock(l), -EPERM);
	}
	done(l);
}
END_TEST

static int
unlock(struct ipc_rwlock *l, int unused)
{
	(void)unused;
	return ipc_rwlock_unlock(l);
}

START_TEST(only_who_has_it_can_unlock_it)
{
	struct ipc_rwlock *l = make(_i);

	ck_assert_int_eq(ipc_rwlock_unlock(l), -EPERM);
	fine(rdlock(l, -1));
	ck_assert_int_eq(in_thread(l, unlock, 0), -EPERM);
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, -1));
	ck_assert_int_eq(in_thread(l, unlock, 0), -EPERM);
	ck_assert_int_eq(in_thread(l, rdlock, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(l));
	ck_assert_int_eq(ipc_rwlock_unlock(l), -EPERM);
	done(l);
}
END_TEST

START_TEST(it_can_not_be_closed_while_it_is_locked)
{
	struct ipc_rwlock *l = make(_i);

	fine(rdlock(l, -1));
	ck_assert_int_eq(ipc_rwlock_close(l), -EBUSY);
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, -1));
	ck_assert_int_eq(ipc_rwlock_close(l), -EBUSY);
	fine(ipc_rwlock_unlock(l));
	done(l);
	ck_assert_int_eq(ipc_rwlock_close(NULL), 0);
}
END_TEST

START_TEST(names_are_made_found_and_removed)
{
	struct ipc_rwlock *l = NULL, *b = NULL;

	snprintf(address, sizeof address, rwlock_kinds[_i], top);
	ck_assert_int_eq(open_kind(&l, 0), -ENOENT);
	l = make(_i);
	ck_assert_int_eq(open_kind(&b, IPC_CREATE | IPC_EXCLUSIVE), -EEXIST);
	fine(open_kind(&b, IPC_CREATE));
	fine(wrlock(b, 0));
	ck_assert_int_eq(in_thread(l, rdlock, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(b));
	fine(rdlock(b, 0));
	fine(rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_unlock(b));
	fine(ipc_rwlock_close(b));
	done(l);
	if (_i < NAMED)
		ck_assert_int_eq(ipc_rwlock_unlink(address), -ENOENT);
	if (is_there(runtime))
		ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

/*
 * Deaths
 */

START_TEST(a_dead_reader_is_forgotten)
{
	struct ipc_rwlock *l = make(_i);
	pid_t pid = start(read_and_stay, NULL);

	fine(rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	ck_assert_int_eq(wrlock(l, 0), -EAGAIN);
	ck_assert_int_eq(wrlock(l, 10), -ETIMEDOUT);
	kill_and_wait(pid);
	fine(wrlock(l, SOON));
	fine(ipc_rwlock_unlock(l));
	fine(rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

START_TEST(a_dead_writer_is_told_until_one_has_repaired)
{
	struct ipc_rwlock *l = make(_i);
	pid_t pid = start(write_and_stay, NULL);

	ck_assert_int_eq(rdlock(l, 0), -EAGAIN);
	ck_assert_int_eq(wrlock(l, 10), -ETIMEDOUT);
	kill_and_wait(pid);
	for (int timeout = SOON; timeout >= 0; timeout -= SOON) {
		ck_assert_int_eq(rdlock(l, timeout), -EOWNERDEAD);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "died"));
		ck_assert_int_eq(in_thread(l, rdlock, 0), -EOWNERDEAD);
		ck_assert_int_eq(in_thread(l, wrlock, 0), -EAGAIN);
		fine(ipc_rwlock_unlock(l));
	}
	ck_assert_int_eq(wrlock(l, 0), -EOWNERDEAD);
	ck_assert_int_eq(in_thread(l, rdlock, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(l));
	fine(rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

START_TEST(who_dies_while_repairing_is_told_of_too)
{
	struct ipc_rwlock *l = make(_i);

	kill_and_wait(start(write_and_stay, NULL));
	kill_and_wait(start(write_and_stay, NULL));
	ck_assert_int_eq(rdlock(l, SOON), -EOWNERDEAD);
	fine(ipc_rwlock_unlock(l));
	ck_assert_int_eq(wrlock(l, SOON), -EOWNERDEAD);
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

static void
write_later(void *arg, int ready)
{
	struct ipc_rwlock *l = NULL;

	(void)arg;
	must(open_kind(&l, 0) == 0);
	close(ready);
	(void)ipc_rwlock_wrlock(l, -1);
	_exit(1);
}

START_TEST(who_only_waited_to_write_is_not_told_of)
{
	struct ipc_rwlock *l = make(_i);
	double began = seconds();
	pid_t pid;

	fine(rdlock(l, -1));
	pid = start(write_later, NULL);
	/* Until it waits, and keeps readers out. */
	while (in_thread(l, rdlock, 0) != -EAGAIN) {
		ck_assert(seconds() - began < 5);
		pause_us(1000);
	}
	ck_assert_int_eq(in_thread(l, rdlock, 10), -ETIMEDOUT);
	kill_and_wait(pid);
	fine(in_thread(l, rdlock, SOON));
	fine(in_thread(l, rdlock, 0));
	fine(ipc_rwlock_unlock(l));
	fine(wrlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

static _Atomic bool gave_up;

static void *
give_up_soon(void *arg)
{
	int rc = ipc_rwlock_wrlock(arg, 200);

	gave_up = true;
	return rc == -ETIMEDOUT ? arg : NULL;
}

START_TEST(a_writer_that_gives_up_lets_readers_in)
{
	struct ipc_rwlock *l = make(_i), *other = NULL;
	pthread_t thread;
	void *result;

	fine(open_kind(&other, 0));
	fine(rdlock(l, -1));
	ck_assert_int_eq(pthread_create(&thread, NULL, give_up_soon, other),
	    0);
	while (in_thread(l, rdlock, 0) != -EAGAIN && !gave_up)
		sched_yield();
	/* While the first reader is still inside. */
	fine(in_thread(l, rdlock, SOON));
	pthread_join(thread, &result);
	ck_assert_ptr_eq(result, other);
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_close(other));
	done(l);
}
END_TEST

static void *
kill_late(void *arg)
{
	pause_us(50000);
	kill(*(pid_t *)arg, SIGKILL);
	return NULL;
}

static void
woken_by_death(struct ipc_rwlock *l, pid_t pid,
    int (*call)(struct ipc_rwlock *, int), int wanted)
{
	double began = seconds();
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, kill_late, &pid), 0);
	ck_assert_int_eq(call(l, -1), wanted);
	ck_assert(seconds() - began < 2);
	fine(ipc_rwlock_unlock(l));
	pthread_join(thread, NULL);
	wait_for(pid);
}

START_TEST(a_death_wakes_who_waits)
{
	struct ipc_rwlock *l = make(_i);

	woken_by_death(l, start(read_and_stay, NULL), wrlock, 0);
	woken_by_death(l, start(write_and_stay, NULL), rdlock, -EOWNERDEAD);
	woken_by_death(l, start(write_and_stay, NULL), wrlock, -EOWNERDEAD);
	done(l);
}
END_TEST

/*
 * Forks
 */

static struct ipc_rwlock *inherited;

static void
child_of_owner(void *arg, int ready)
{
	bool *writing = arg;

	must(ipc_rwlock_unlock(inherited) == -EPERM);
	must(ipc_rwlock_wrlock(inherited, 0) == -EAGAIN);
	must(ipc_rwlock_rdlock(inherited, 0) == (*writing ? -EAGAIN : 0));
	must(*writing || ipc_rwlock_unlock(inherited) == 0);
	close(ready);
	must(ipc_rwlock_wrlock(inherited, SOON) == 0);
	must(ipc_rwlock_unlock(inherited) == 0);
	must(ipc_rwlock_close(inherited) == 0);
}

START_TEST(a_forked_child_does_not_own_its_parents_lock)
{
	struct ipc_rwlock *l = inherited = make(_i);
	pid_t pid;

	for (int way = 0; way < 2; way++) {
		bool writing = way == 1;

		fine(writing ? wrlock(l, -1) : rdlock(l, -1));
		pid = start(child_of_owner, &writing);
		fine(ipc_rwlock_unlock(l));
		ck_assert_int_eq(wait_for(pid), 0);
		fine(wrlock(l, 0));
		fine(ipc_rwlock_unlock(l));
	}
	done(l);
}
END_TEST

struct family { bool writing; pid_t child; };

/* The owner dies, and has a child that lives. */
static void
lock_and_fork(void *arg, int ready)
{
	struct family *f = arg;
	struct ipc_rwlock *l = NULL;
	pid_t pid;

	must(open_kind(&l, 0) == 0);
	must((f->writing ? wrlock(l, 0) : rdlock(l, 0)) == 0);
	pid = fork();
	if (pid == 0) {
		close(ready);
		for (;;)
			pause();
	}
	f->child = pid;
	close(ready);
	for (;;)
		pause();
}

START_TEST(a_forked_child_does_not_hold_on_to_it)
{
	struct ipc_rwlock *l = make(_i);
	struct family *f = shared(sizeof *f);

	for (int way = 0; way < 2; way++) {
		f->writing = way == 1;
		kill_and_wait(start(lock_and_fork, f));
		ck_assert_int_eq(wrlock(l, SOON), way ? -EOWNERDEAD : 0);
		fine(ipc_rwlock_unlock(l));
		kill(f->child, SIGKILL);
	}
	munmap(f, sizeof *f);
	done(l);
}
END_TEST

/*
 * Order
 */

/* What the processes of a race share; sum and copy are equal when no writer is
 * inside. */
struct race {
	volatile long	sum, copy;
	_Atomic int	inside[2];	/* readers that never leave alone */
	_Atomic int	met, stop;
};
static struct race *race;

static bool
look(void)
{
	return race->sum == race->copy;
}

static void
change(void)
{
	race->sum++;
	if (race->sum % 16 == 0)
		sched_yield();
	race->copy++;
}

static void
work(struct ipc_rwlock *l)
{
	for (int i = 0; i < 400; i++) {
		bool writing = i % 4 == 0;
		int timeout = i % 2 ? -1 : SOON;

		must((writing ? wrlock(l, timeout) : rdlock(l, timeout)) == 0);
		must(look());
		if (writing)
			change();
		must(ipc_rwlock_unlock(l) == 0);
	}
}

static void
work_elsewhere(void *arg, int ready)
{
	struct ipc_rwlock *l = NULL;

	(void)arg;
	close(ready);
	must(open_kind(&l, 0) == 0);
	work(l);
	must(ipc_rwlock_close(l) == 0);
}

START_TEST(readers_of_other_processes_see_whole_changes)
{
	struct ipc_rwlock *l = make(_i);
	pid_t pids[4];

	race = shared(sizeof *race);
	for (int p = 0; p < 4; p++)
		pids[p] = start(work_elsewhere, NULL);
	for (int p = 0; p < 4; p++)
		ck_assert_int_eq(wait_for(pids[p]), 0);
	ck_assert_int_eq(race->sum, 400);
	munmap(race, sizeof *race);
	done(l);
}
END_TEST

static void *
work_here(void *arg)
{
	work(arg);
	return NULL;
}

START_TEST(threads_of_one_handle_see_whole_changes)
{
	struct ipc_rwlock *l = make(_i);
	pthread_t threads[4];

	race = shared(sizeof *race);
	for (int t = 0; t < 4; t++)
		ck_assert_int_eq(pthread_create(&threads[t], NULL, work_here,
		    l), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	ck_assert_int_eq(race->sum, 400);
	munmap(race, sizeof *race);
	done(l);
}
END_TEST

/* Two readers take turns so that one of them is always inside, as long as
 * readers are let in: neither leaves before the other one has come, or does not
 * come for a while. */
static void
never_alone(struct ipc_rwlock *l, int me)
{
	double until;

	while (!race->stop) {
		must(rdlock(l, -1) == 0);
		race->inside[me] = 1;
		until = seconds() + 0.03;
		while (!race->inside[!me] && seconds() < until && !race->stop)
			sched_yield();
		if (race->inside[!me])
			race->met++;
		race->inside[me] = 0;
		must(ipc_rwlock_unlock(l) == 0);
	}
}

static void
read_all_the_time(void *arg, int ready)
{
	struct ipc_rwlock *l = NULL;

	must(open_kind(&l, 0) == 0);
	close(ready);
	never_alone(l, *(int *)arg);
}

struct reader { struct ipc_rwlock *l; int me; };

static void *
read_all_the_time_here(void *arg)
{
	struct reader *r = arg;

	never_alone(r->l, r->me);
	return NULL;
}

static void
write_ten_times(struct ipc_rwlock *l)
{
	for (int i = 0; i < 10; i++) {
		int met = race->met;

		while (race->met < met + 3)
			pause_us(100);
		fine(wrlock(l, SOON));
		ck_assert(!race->inside[0] && !race->inside[1]);
		fine(ipc_rwlock_unlock(l));
	}
	race->stop = 1;
}

START_TEST(a_writer_gets_in_whoever_reads)
{
	struct ipc_rwlock *l = make(_i);
	int numbers[2] = { 0, 1 };
	pid_t pids[2];

	race = shared(sizeof *race);
	for (int p = 0; p < 2; p++)
		pids[p] = start(read_all_the_time, &numbers[p]);
	write_ten_times(l);
	for (int p = 0; p < 2; p++)
		ck_assert_int_eq(wait_for(pids[p]), 0);
	munmap(race, sizeof *race);
	done(l);
}
END_TEST

START_TEST(a_writer_gets_in_whichever_threads_read)
{
	struct ipc_rwlock *l = make(_i), *writer = NULL;
	struct reader readers[2] = { { l, 0 }, { l, 1 } };
	pthread_t threads[2];

	race = shared(sizeof *race);
	for (int t = 0; t < 2; t++)
		ck_assert_int_eq(pthread_create(&threads[t], NULL,
		    read_all_the_time_here, &readers[t]), 0);
	/* Through another handle, as another process would. */
	fine(open_kind(&writer, 0));
	write_ten_times(writer);
	for (int t = 0; t < 2; t++)
		pthread_join(threads[t], NULL);
	fine(ipc_rwlock_close(writer));
	munmap(race, sizeof *race);
	done(l);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		it_is_locked_and_unlocked_in_both_ways,
		readers_share_it_and_a_writer_is_alone, a_timeout_is_kept,
		locking_it_twice_is_a_deadlock_that_is_told,
		only_who_has_it_can_unlock_it,
		it_can_not_be_closed_while_it_is_locked,
		names_are_made_found_and_removed, a_dead_reader_is_forgotten,
		a_dead_writer_is_told_until_one_has_repaired,
		who_dies_while_repairing_is_told_of_too,
		who_only_waited_to_write_is_not_told_of,
		a_writer_that_gives_up_lets_readers_in, a_death_wakes_who_waits,
		a_forked_child_does_not_own_its_parents_lock,
		a_forked_child_does_not_hold_on_to_it,
		readers_of_other_processes_see_whole_changes,
		threads_of_one_handle_see_whole_changes,
		a_writer_gets_in_whoever_reads,
		a_writer_gets_in_whichever_threads_read
	};
	Suite *suite = suite_create("rwlock");
	TCase *tc = tcase_create("every kind");

	tcase_add_checked_fixture(tc, rwlocks_setup, rwlocks_teardown);
	tcase_set_timeout(tc, 30);
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
		tcase_add_loop_test(tc, tests[i], 0, KINDS);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
