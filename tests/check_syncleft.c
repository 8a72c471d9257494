/* SPDX-License-Identifier: ISC */
/* WRAP: semget semctl semop shmget shmctl shmat open openat close mkfifoat
 * unlinkat unlink renameat2 posix_fallocate mmap write fchmod fchown */
/*
 * Whoever makes or removes a semaphore, a lock or a region is killed before
 * each of its calls of the system in turn.  What it leaves is whole or is
 * nothing, for the next one who comes, and for ipc_gc() if nobody does.
 */
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <dirent.h>

#include "killed.h"
#include "suite.h"
#include "syncs.h"

static const char *const addresses[] = {
	"sem:left", "sysvsem:left", "sysvsem:0x7edcba97",
	"posixsem:/ipc-check-left", "mutex:left", "sysvmutex:left",
	"rwlock:left", "sysvrwlock:left", "sysvshm:left?size=8192",
	"sysvshm:0x7edcba97?size=8192"
};
#define KINDS	10

static char address[128];
static bool private_ipc;	/* nobody else makes System V objects here */

/*
 * Calls of the system
 */

STEP(int, semget, (key_t k, int n, int f), (k, n, f))
STEP(int, semop, (int i, struct sembuf *s, size_t n), (i, s, n))
STEP(int, shmget, (key_t k, size_t n, int f), (k, n, f))
STEP(int, shmctl, (int i, int c, struct shmid_ds *d), (i, c, d))
STEP(void *, shmat, (int i, const void *p, int f), (i, p, f))
STEP(int, close, (int fd), (fd))
STEP(int, mkfifoat, (int d, const char *p, mode_t m), (d, p, m))
STEP(int, unlinkat, (int d, const char *p, int f), (d, p, f))
STEP(int, unlink, (const char *p), (p))
STEP(int, renameat2, (int a, const char *p, int b, const char *q, unsigned f),
    (a, p, b, q, f))
STEP(int, posix_fallocate, (int fd, off_t o, off_t n), (fd, o, n))
STEP(void *, mmap, (void *p, size_t n, int r, int f, int fd, off_t o),
    (p, n, r, f, fd, o))
STEP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
STEP(int, fchmod, (int fd, mode_t m), (fd, m))
STEP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g))

union argument {
	int	 val;
	void	*buf;
};

int __real_semctl(int id, int n, int command, ...);
int __wrap_semctl(int id, int n, int command, ...);
int
__wrap_semctl(int id, int n, int command, ...)
{
	union argument arg;
	va_list ap;

	va_start(ap, command);
	arg = va_arg(ap, union argument);
	va_end(ap);
	step();
	return __real_semctl(id, n, command, arg);
}

/*
 * Any of them
 */

static void
live_on(void)
{
	left = 0;
}

static int
open_any(int flags)
{
	return syncs_open(address, flags, live_on);
}

static int
unlink_any(void)
{
	return syncs_unlink(address);
}

static int
make_any(void)
{
	return open_any(IPC_CREATE);
}

static int
system_v(void)
{
	struct seminfo sems;
	struct shm_info shms;

	if (!private_ipc)
		return 0;
	semctl(0, 0, SEM_INFO, (union argument){ .buf = &sems });
	shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&shms);
	return sems.semusz + shms.used_ids;
}

/* Removes what is there, if it is. */
static void
clear(void)
{
	int rc = open_any(0);

	if (rc == 0)
		rc = unlink_any();
	if (rc != 0)
		ck_assert_int_eq(rc, -ENOENT);
}

/* Files that begin so. */
static int
files(const char *path, const char *prefix)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 &&
		    strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	if (d != NULL)
		closedir(d);
	return n;
}

static void
nothing_is_left(int calls)
{
	ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
	ck_assert_msg(system_v() == 0, "%s: killed at call %d: a System V "
	    "object is left", address, calls);
	ck_assert_msg(files(runtime, "") == 0, "%s: killed at call %d: a file "
	    "is left", address, calls);
	ck_assert_int_eq(files("/dev/shm", ".sem.ipc-check-left"), 0);
}

START_TEST(what_nobody_comes_back_to_is_collected)
{
	int calls = 1;

	snprintf(address, sizeof address, "%s", addresses[_i]);
	for (; killed_at(calls, make_any); calls++) {
		ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
		clear();
		nothing_is_left(calls);
	}
	ck_assert_int_gt(calls, 5);
	clear();
}
END_TEST

START_TEST(who_comes_next_finds_it_whole)
{
	int calls = 1, rc;

	snprintf(address, sizeof address, "%s", addresses[_i]);
	for (; killed_at(calls, make_any); calls++) {
		if (calls % 2) {
			rc = open_any(0);
			ck_assert(rc == 0 || rc == -ENOENT);
		}
		rc = open_any(IPC_CREATE);
		ck_assert_msg(rc == 0, "%s: killed at call %d: %s", address,
		    calls, ipc_errmsg());
		ck_assert_int_eq(unlink_any(), 0);
		ck_assert_int_eq(open_any(0), -ENOENT);
		nothing_is_left(calls);
	}
	clear();
}
END_TEST

START_TEST(who_is_killed_removing_it_leaves_it_or_nothing)
{
	int calls = 1;

	snprintf(address, sizeof address, "%s", addresses[_i]);
	do {
		ck_assert_int_eq(make_any(), 0);
		ck_assert_int_eq(ipc_gc(NULL, NULL), 0);
		ck_assert_int_eq(open_any(0), 0);
		if (!killed_at(calls, unlink_any))
			break;
		if (calls % 2)
			ck_assert_int_ge(ipc_gc(NULL, NULL), 0);
		clear();
		nothing_is_left(calls);
		calls++;
	} while (calls < 1000);
	ck_assert_int_eq(open_any(0), -ENOENT);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("syncleft");
	TCase *tc = tcase_create("killed");

	private_ipc = unshare(CLONE_NEWIPC) == 0;
	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_nobody_comes_back_to_is_collected, 0,
	    KINDS);
	tcase_add_loop_test(tc, who_comes_next_finds_it_whole, 0, KINDS);
	tcase_add_loop_test(tc,
	    who_is_killed_removing_it_leaves_it_or_nothing, 0, KINDS);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
