/* SPDX-License-Identifier: ISC */
/*
 * Killing at random moments: whoever makes a named object, and whoever holds
 * one.  What remains is whole, nobody hangs, and no count is lost.
 *
 * IPC_TEST_ROUNDS gives the rounds in percent: 10000 makes a thousand of each
 * race, 25000 a hundred thousand of each killing; and with IPC_TEST_COUNTS what
 * was done is printed.
 */
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <signal.h>

#include "suite.h"
#include "syncs.h"

#define MAKERS	8
#define WORKERS	3
#define RACES	10
#define KILLS	400

static char address[128];

/* What the processes of a test share. */
struct stage {
	_Atomic int	go;
	_Atomic int	ready;
	_Atomic long	turns[WORKERS];
	/* What a mutex protects: the two are equal when nobody is inside. */
	volatile long	left, right;
	_Atomic long	repairs;
};
static struct stage *stage;
static bool private_ipc;	/* nobody else makes System V semaphores here */

static void
setup(void)
{
	names_setup();
	ck_assert_int_eq(mkdir(runtime, 0755), 0);
	stage = shared(sizeof *stage);
	srandom((unsigned)getpid());
}

static void
teardown(void)
{
	munmap(stage, sizeof *stage);
	names_teardown();
}

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", address, rc, ipc_errmsg());
}

static void
kill_soon(pid_t pid, long most_us)
{
	double until = seconds() + (double)(random() % most_us) / 1e6;

	while (seconds() < until)
		;
	kill(pid, SIGKILL);
}

/* Of System V, semaphores and segments. */
static int
objects(void)
{
	struct seminfo sems = { .semusz = 0 };
	struct shm_info shms = { .used_ids = 0 };
	union { struct seminfo *buf; } arg = { .buf = &sems };

	semctl(0, 0, SEM_INFO, arg);
	shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&shms);
	return sems.semusz + shms.used_ids;
}

/*
 * Making
 */

static const char *const makings[] = {
	"sem:race", "posixsem:/ipc-check-race", "sysvsem:race",
	"sysvsem:0x7edcba98", "mutex:race", "sysvmutex:race",
	"filelock:%s/race", "rwlock:race", "sysvrwlock:race",
	"posixshm:/ipc-check-race?size=8192", "sysvshm:race?size=8192",
	"mmap:%s/race?size=8192"
};
#define MAKINGS	12

static void
nothing(void)
{
}

static void
make_one(void)
{
	int rc;

	stage->ready++;
	while (!stage->go)
		;
	/* Whoever holds the name's lock may have to wait for a processor for
	 * longer than others wait for the lock. */
	do
		rc = syncs_open(address, IPC_CREATE, nothing);
	while (rc == -EBUSY);
	must(rc == 0);
	_exit(0);
}

static void
one_race(void)
{
	pid_t pids[MAKERS];
	int victim = (int)(random() % MAKERS), status;

	stage->go = stage->ready = 0;
	for (int i = 0; i < MAKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			make_one();
		ck_assert_int_ne(pids[i], -1);
	}
	while (stage->ready < MAKERS)
		pause_us(20);
	stage->go = 1;
	kill_soon(pids[victim], 400);
	for (int i = 0; i < MAKERS; i++) {
		status = wait_for(pids[i]);
		if (i != victim)
			ck_assert_int_eq(status, 0);
	}
}

START_TEST(makers_who_race_and_die_end_with_one_whole_object)
{
	int rounds = names_rounds(RACES), before, done = 0;

	snprintf(address, sizeof address, makings[_i], top);
	(void)syncs_unlink(address);
	before = objects();
	for (; done < rounds; done++) {
		one_race();
		fine(syncs_open(address, 0, nothing));
		fine(syncs_unlink(address));
		ck_assert_int_eq(syncs_open(address, 0, nothing), -ENOENT);
	}
	/* What a killed one left is swept by the next one that makes. */
	fine(syncs_open(address, IPC_CREATE, nothing));
	fine(syncs_unlink(address));
	fine(ipc_gc(NULL, NULL));
	if (private_ipc)
		ck_assert_int_eq(objects(), before);
	if (is_there(runtime))
		ck_assert_int_eq(count_entries(runtime, ""), 0);
	ck_assert_int_eq(count_entries(top, ".race"), 0);
	ck_assert_int_eq(count_entries("/dev/shm", ".sem.ipc-check-race"), 0);
	ck_assert_int_eq(count_entries("/dev/shm", ".ipc-check-race"), 0);
	if (getenv("IPC_TEST_COUNTS") != NULL)
		printf("%s: %d races of %d makers\n", address, done, MAKERS);
}
END_TEST

/*
 * Holding
 */

static const char *const holdings[] = {
	"sem:pool?undo=1", "sysvsem:pool?undo=1"
};

/* Now and then for so long that the others fall asleep. */
static void
stay(int w)
{
	if (stage->turns[w] % 4 == 0)
		pause_us(20);
}

static void
hold_and_give(int w)
{
	struct ipc_sem *s = NULL;

	must(ipc_sem_open(&s, address, 0, 0) == 0);
	for (;;) {
		must(ipc_sem_wait(s, -1) == 0);
		stage->turns[w]++;
		stay(w);
		must(ipc_sem_post(s) == 0);
	}
}

/* Killed while it writes to libcheck's file, a child would spoil that. */
static pid_t
worker(void (*work)(int), int w)
{
	pid_t pid = fork();

	if (pid == 0) {
		work(w);
		_exit(0);
	}
	ck_assert_int_ne(pid, -1);
	return pid;
}

/* Each worker gets on, whoever was killed. */
static void
all_go_on(void)
{
	long before[WORKERS];
	double began = seconds();

	for (int w = 0; w < WORKERS; w++)
		before[w] = stage->turns[w];
	for (int w = 0; w < WORKERS; w++)
		while (stage->turns[w] == before[w]) {
			ck_assert_msg(seconds() - began < 10,
			    "%s: worker %d hangs", address, w);
			pause_us(100);
		}
}

/* A crash would be no kill of ours. */
static bool
was_killed(pid_t pid)
{
	int status = wait_for(pid);

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void
tell(int rounds)
{
	long turns = 0;

	for (int w = 0; w < WORKERS; w++)
		turns += stage->turns[w];
	if (getenv("IPC_TEST_COUNTS") != NULL)
		printf("%s: %d kills, %ld turns, %ld deaths told\n", address,
		    rounds, turns, (long)stage->repairs);
}

static void
kill_workers(void (*work)(int))
{
	int rounds = names_rounds(KILLS), w;
	pid_t pids[WORKERS];

	for (w = 0; w < WORKERS; w++)
		pids[w] = worker(work, w);
	all_go_on();
	for (int i = 0; i < rounds; i++) {
		w = (int)(random() % WORKERS);
		kill_soon(pids[w], 300);
		ck_assert_msg(was_killed(pids[w]), "%s: a worker has failed",
		    address);
		pids[w] = worker(work, w);
		if (i % 20 == 0)
			all_go_on();
	}
	all_go_on();
	for (w = 0; w < WORKERS; w++)
		kill(pids[w], SIGKILL);
	for (w = 0; w < WORKERS; w++)
		ck_assert(was_killed(pids[w]));
	tell(rounds);
}

START_TEST(what_killed_holders_had_comes_back)
{
	struct ipc_sem *s = NULL;
	unsigned value = 0;

	snprintf(address, sizeof address, "%s", holdings[_i]);
	fine(ipc_sem_open(&s, address, IPC_CREATE, 2));
	kill_workers(hold_and_give);
	fine(ipc_sem_value(s, &value));
	ck_assert_uint_eq(value, 2);
	fine(ipc_sem_close(s));
	fine(ipc_sem_unlink(address));
}
END_TEST

/*
 * Owning
 */

static const char *const ownings[] = {
	"mutex:own", "mutex:own?pi=1", "mutex:own?recursive=1",
	"sysvmutex:own", "filelock:%s/own"
};

static void
change(int w)
{
	struct ipc_mutex *m = NULL;
	int rc;

	must(ipc_mutex_open(&m, address, 0) == 0);
	for (;;) {
		rc = ipc_mutex_lock(m, -1);
		must(rc == 0 || rc == -EOWNERDEAD);
		if (rc == -EOWNERDEAD) {
			stage->right = stage->left;
			stage->repairs++;
		}
		must(stage->left == stage->right);
		stage->left++;
		stage->turns[w]++;
		stay(w);
		stage->right++;
		must(ipc_mutex_unlock(m) == 0);
	}
}

START_TEST(what_killed_owners_left_is_whole_or_is_told)
{
	struct ipc_mutex *m = NULL;
	int rc;

	snprintf(address, sizeof address, ownings[_i], top);
	fine(ipc_mutex_open(&m, address, IPC_CREATE));
	kill_workers(change);
	rc = ipc_mutex_lock(m, 1000);
	ck_assert_int_eq(rc == -EOWNERDEAD ? 0 : rc, 0);
	if (rc == 0)
		ck_assert_int_eq(stage->left, stage->right);
	fine(ipc_mutex_unlock(m));
	fine(ipc_mutex_close(m));
	fine(ipc_mutex_unlink(address));
	ck_assert_int_gt(stage->repairs, 0);
}
END_TEST

/*
 * Reading and writing
 */

static const char *const lockings[] = {
	"rwlock:both", "sysvrwlock:both", "filelock:%s/both"
};

static bool
gets_in(int rc)
{
	must(rc == 0 || rc == -EOWNERDEAD);
	return rc == 0;
}

static void
change_and_look(int w)
{
	struct ipc_rwlock *l = NULL;
	bool whole;

	must(ipc_rwlock_open(&l, address, 0) == 0);
	for (;;) {
		if (!gets_in(ipc_rwlock_wrlock(l, -1))) {
			stage->right = stage->left;
			stage->repairs++;
		}
		must(stage->left == stage->right);
		stage->left++;
		stage->turns[w]++;
		stay(w);
		stage->right++;
		must(ipc_rwlock_unlock(l) == 0);
		whole = gets_in(ipc_rwlock_rdlock(l, -1));
		stay(w);
		must(!whole || stage->left == stage->right);
		must(ipc_rwlock_unlock(l) == 0);
	}
}

START_TEST(what_killed_readers_and_writers_left_is_whole_or_is_told)
{
	struct ipc_rwlock *l = NULL;

	snprintf(address, sizeof address, lockings[_i], top);
	fine(ipc_rwlock_open(&l, address, IPC_CREATE));
	kill_workers(change_and_look);
	if (gets_in(ipc_rwlock_rdlock(l, 1000)))
		ck_assert_int_eq(stage->left, stage->right);
	fine(ipc_rwlock_unlock(l));
	(void)gets_in(ipc_rwlock_wrlock(l, 1000));
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_close(l));
	fine(ipc_rwlock_unlink(address));
	ck_assert_int_gt(stage->repairs, 0);
}
END_TEST

/* A case for each kind, so that one can be run alone: CK_RUN_CASE=sysvsem. */
static void
add_kinds(Suite *suite, const TTest *test, const char *const kinds[], int n,
    int seconds)
{
	static char names[24][64];	/* libcheck copies none */
	static int used;
	char *name;
	TCase *tc;

	for (int i = 0; i < n; i++) {
		name = names[used++];
		snprintf(name, sizeof names[0], "%s %.*s",
		    test->name[0] == 'm' ? "making" : "dying in",
		    (int)strcspn(kinds[i], "%"), kinds[i]);
		tc = tcase_create(name);
		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_set_timeout(tc, seconds);
		tcase_add_loop_test(tc, test, i, i + 1);
		suite_add_tcase(suite, tc);
	}
}

int
main(void)
{
	Suite *suite = suite_create("synckill");
	int killing = 60 + names_rounds(KILLS) / 10;

	private_ipc = unshare(CLONE_NEWIPC) == 0;
	add_kinds(suite, makers_who_race_and_die_end_with_one_whole_object,
	    makings, MAKINGS, 60 + names_rounds(RACES));
	add_kinds(suite, what_killed_holders_had_comes_back, holdings, 2,
	    killing);
	add_kinds(suite, what_killed_owners_left_is_whole_or_is_told, ownings,
	    5, killing);
	add_kinds(suite,
	    what_killed_readers_and_writers_left_is_whole_or_is_told, lockings,
	    3, killing);
	return suite_run(suite);
}
