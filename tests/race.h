/* SPDX-License-Identifier: ISC */
/*
 * Eight processes that create, open, use, remove and sweep one name at random,
 * each of which is killed after a few milliseconds and started anew.
 *
 * What must hold is said in terms of what one process knows: while it holds an
 * object that it opened, and nobody has removed the name since before it did,
 * the name means that object still, so making it anew is refused.
 */
#ifndef IPC_TESTS_RACE_H
#define IPC_TESTS_RACE_H

#include "restart.h"

#define RACERS		8
#define LIFE		5000	/* us that most racers live, at most */

struct racer {
	_Atomic pid_t	 pid;
	_Atomic bool	 removing;	/* the name, at this moment */
};

/* What they share. */
struct race {
	_Atomic long	 turns, wanted;
	_Atomic long	 removals;	/* that were begun */
	_Atomic pid_t	 owner;		/* who listens */
	_Atomic long	 held, kept;	/* looked whether it is still there */
	long		 kills;
	struct racer	 racer[RACERS];
};
static struct race *race;
static int me;				/* this racer's number */

/*
 * Removing, and knowing that nobody did
 */

static inline void
removal_begins(void)
{
	race->racer[me].removing = true;
	race->removals++;
}

static inline void
removal_ends(void)
{
	race->racer[me].removing = false;
}

/* -1: somebody is about to remove it.  Else a number that changes when somebody
 * begins to. */
static inline long
removals(void)
{
	long n = race->removals;

	for (int i = 0; i < RACERS; i++)
		if (race->racer[i].removing)
			return -1;
	return n;
}

/* -ENOENT: it was not there, which somebody else may have seen to. */
static inline void
remove_name(int (*unlink_it)(const char *), const char *name)
{
	int rc;

	removal_begins();
	rc = unlink_it(name);
	removal_ends();
	if (rc != -ENOENT && rc != -EBUSY)
		expect(0, rc);
}

static inline bool
is_taken(int rc)
{
	return rc == -EEXIST || rc == -EBUSY || rc == -EADDRINUSE;
}

/*
 * Racing
 */

static inline _Noreturn void
run_racer(int number, void (*turn)(void))
{
	me = number;
	srandom((unsigned)getpid() ^ (unsigned)race->turns << 8);
	doom(1 + random() % (random() % 4 ? LIFE : 20 * LIFE));
	while (race->turns < race->wanted) {
		turn();
		race->turns++;
	}
	_exit(0);
}

static inline void
start_racer(int number, void (*turn)(void))
{
	pid_t pid = fork();

	expect_sys(pid);
	if (pid == 0)
		run_racer(number, turn);
	race->racer[number].pid = pid;
}

static inline int
number_of(pid_t pid)
{
	for (int i = 0; i < RACERS; i++)
		if (race->racer[i].pid == pid)
			return i;
	fail_with("%s: an unknown child", where());
}

/* One that has ended: killed, or with its work done.  Who was killed while it
 * removed the name has done so, or never will. */
static inline int
next_ended(void)
{
	int status, n;
	pid_t pid = wait(&status);

	expect_sys(pid);
	n = number_of(pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		race->kills++;
	else if (status != 0)
		ck_abort_msg("%s: a racer ended with status 0x%x", where(),
		    (unsigned)status);
	race->racer[n].removing = false;
	return n;
}

/* Runs so many turns of each of them. */
static inline void
run_race(int turns, void (*turn)(void))
{
	int n;

	race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(race != MAP_FAILED);
	race->wanted = (long)turns * RACERS;
	for (n = 0; n < RACERS; n++)
		start_racer(n, turn);
	while (race->turns < race->wanted)
		start_racer(next_ended(), turn);
	for (n = 0; n < RACERS; n++)
		next_ended();
	if (getenv("IPC_TEST_TELL") != NULL)
		fprintf(stderr, "%s: %ld turns, %ld killed, %ld removals, held "
		    "%ld, of which undisturbed %ld\n", where(), race->turns,
		    race->kills, race->removals, race->held, race->kept);
	munmap(race, sizeof *race);
}

#endif
