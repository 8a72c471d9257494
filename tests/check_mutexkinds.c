/* SPDX-License-Identifier: ISC */
/*
 * Mutexes: what is particular to one kind.
 */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <pthread.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

#define SOON	5000

static char address[160];

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", address, rc, ipc_errmsg());
}

/* The address may name the directory of the test. */
static struct ipc_mutex *
make(const char *text)
{
	struct ipc_mutex *m = NULL;

	if (strchr(text, '%') != NULL)
		snprintf(address, sizeof address, "filelock:%s/lock", top);
	else
		snprintf(address, sizeof address, "%s", text);
	fine(ipc_mutex_open(&m, address, IPC_CREATE | IPC_EXCLUSIVE));
	return m;
}

static void
done(struct ipc_mutex *m)
{
	fine(ipc_mutex_unlink(address));
	fine(ipc_mutex_close(m));
}

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

START_TEST(who_opens_a_mutex_must_agree_what_it_is)
{
	struct ipc_mutex *m = make("mutex:m?recursive=1"), *b = NULL;

	fails_with(EINVAL, ipc_mutex_open(&b, "mutex:m?recursive=0", 0),
	    "made with recursive=1");
	fails_with(EINVAL, ipc_mutex_open(&b, "mutex:m?pi=1", 0),
	    "made with pi=0");
	fine(ipc_mutex_open(&b, "mutex:m?recursive=1&pi=0", 0));
	fine(ipc_mutex_close(b));
	done(m);
}
END_TEST

START_TEST(a_file_that_was_there_is_not_written_to)
{
	struct ipc_mutex *m = NULL;
	char text[200], line[32] = "";
	pid_t pid;
	FILE *f;

	f = fopen(in_top("data"), "w");
	ck_assert_ptr_nonnull(f);
	fputs("precious data", f);
	fclose(f);
	snprintf(address, sizeof address, "filelock:%s", in_top("data"));
	snprintf(text, sizeof text, "%s", address);
	fine(ipc_mutex_open(&m, text, IPC_CREATE));
	pid = start(lock_and_stay, NULL);
	ck_assert_int_eq(ipc_mutex_lock(m, 0), -EAGAIN);
	kill_and_wait(pid);
	/* Nobody can tell. */
	fine(ipc_mutex_lock(m, SOON));
	fine(ipc_mutex_unlock(m));
	f = fopen(in_top("data"), "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
	ck_assert_str_eq(line, "precious data");
	fclose(f);
	fine(ipc_mutex_close(m));
}
END_TEST

START_TEST(a_file_lock_is_one_that_others_see)
{
	struct ipc_mutex *m = make("filelock:%s/lock");
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(address + 9, O_RDWR | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	fine(ipc_mutex_lock(m, -1));
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), -1);
	fine(ipc_mutex_unlock(m));
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	ck_assert_int_eq(ipc_mutex_lock(m, 5), -ETIMEDOUT);
	close(fd);
	done(m);
}
END_TEST

/* The signal of a file that becomes too large would end this program; libcheck
 * notes each assertion in one. */
START_TEST(a_limit_of_files_is_an_error_and_no_signal)
{
	const struct rlimit none = { 8, RLIM_INFINITY };
	const struct rlimit much = { RLIM_INFINITY, RLIM_INFINITY };
	struct ipc_mutex *m = make("%"), *n = NULL;
	int limited = setrlimit(RLIMIT_FSIZE, &none);

	fails_with(EFBIG, ipc_mutex_open(&n, "mutex:x", IPC_CREATE),
	    "RLIMIT_FSIZE");
	fails_with(EFBIG, ipc_mutex_open(&n, address, 0), "RLIMIT_FSIZE");
	fine(ipc_mutex_unlink(address));
	fails_with(EFBIG, ipc_mutex_open(&n, address, IPC_CREATE),
	    "RLIMIT_FSIZE");
	setrlimit(RLIMIT_FSIZE, &much);
	ck_assert_int_eq(limited, 0);
	fine(ipc_mutex_close(m));
}
END_TEST

START_TEST(wrong_addresses_are_explained)
{
	struct ipc_mutex *m = NULL;

	fails_with(EPROTOTYPE, ipc_mutex_open(&m, "sem:x", IPC_CREATE),
	    "no mutex");
	fails_with(EINVAL, ipc_mutex_open(&m, "filelock:/x?pi=1", 0),
	    "takes mode, uid, gid, recursive");
	fails_with(EINVAL, ipc_mutex_open(&m, "mutex:x?undo=1", 0), "undo");
	fails_with(EPROTOTYPE, ipc_mutex_open(&m, "filelock:/dev/null", 0),
	    "plain file");
	fails_with(EINVAL, ipc_mutex_lock(NULL, 0), "no mutex");
	fails_with(EINVAL, ipc_mutex_open(NULL, "mutex:x", 0), "NULL");
}
END_TEST

/*
 * Priorities
 */

/* Of a thread as the kernel runs it now: 20 and a nice value, or -1 and less
 * where it is a real-time priority. */
static int
priority_now(pid_t thread)
{
	char path[64], text[512] = "", *s;
	int priority = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	fclose(f);
	s = strrchr(text, ')');
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(sscanf(s + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u "
	    "%*u %*u %*u %*u %*d %*d %d", &priority), 1);
	return priority;
}

struct urgent { struct ipc_mutex *m; int rc; };

static void *
lock_urgently(void *arg)
{
	struct sched_param param = { .sched_priority = 7 };
	struct urgent *u = arg;

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) != 0) {
		u->rc = -EPERM;
		return NULL;
	}
	u->rc = ipc_mutex_lock(u->m, SOON);
	if (u->rc == 0)
		u->rc = ipc_mutex_unlock(u->m);
	return NULL;
}

START_TEST(an_owner_inherits_the_priority_of_who_waits)
{
	struct urgent u = { make("mutex:m?pi=1"), 0 };
	pid_t me = (pid_t)syscall(SYS_gettid);
	double began = seconds();
	pthread_t thread;

	fine(ipc_mutex_lock(u.m, -1));
	ck_assert_int_ge(priority_now(me), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, lock_urgently, &u), 0);
	while (u.rc == 0 && priority_now(me) != -8) {
		ck_assert(seconds() - began < 10);
		pause_us(1000);
	}
	fine(ipc_mutex_unlock(u.m));
	pthread_join(thread, NULL);
	ck_assert_int_ge(priority_now(me), 0);
	if (u.rc == -EPERM)
		fprintf(stderr, "NOT TESTED HERE: priorities (wants root)\n");
	else
		fine(u.rc);
	done(u.m);
}
END_TEST

START_TEST(one_that_is_removed_while_it_is_locked_can_be_closed)
{
	struct ipc_mutex *m = make("sysvmutex:m");

	fine(ipc_mutex_lock(m, -1));
	fine(ipc_mutex_unlink(address));
	ck_assert_int_eq(ipc_mutex_unlock(m), -EIDRM);
	fine(ipc_mutex_close(m));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mutexkinds");
	TCase *tc = tcase_create("one kind");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, who_opens_a_mutex_must_agree_what_it_is);
	tcase_add_test(tc, a_file_that_was_there_is_not_written_to);
	tcase_add_test(tc, a_file_lock_is_one_that_others_see);
	tcase_add_test(tc, an_owner_inherits_the_priority_of_who_waits);
	tcase_add_test(tc,
	    one_that_is_removed_while_it_is_locked_can_be_closed);
	tcase_add_test(tc, a_limit_of_files_is_an_error_and_no_signal);
	tcase_add_test(tc, wrong_addresses_are_explained);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
