/* SPDX-License-Identifier: ISC */
/*
 * Reader-writer locks: what is particular to one kind, garbage, and numbers of
 * processes that mean nothing.
 */
#include "rwlockmem.h"
#include "rwlocks.h"
#include "suite.h"
#include "syncfile.h"

/*
 * In memory
 */

/* The one in the region, or in its file. */
static struct ipc__rw_shared *
inside(int kind)
{
	size_t at = (sizeof(struct ipc__sync_head) + 63) / 64 * 64;
	struct ipc__rw_shared *sh;
	int fd;

	if (kind == NAMED)
		return (void *)((char *)ipc_region_data(region) + 64 +
		    IPC_SYNC_SPACE);
	fd = open(in_top("run/rwlock-l"), O_RDWR | O_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	sh = mmap(NULL, at + sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	ck_assert_ptr_ne(sh, MAP_FAILED);
	close(fd);
	return (void *)((char *)sh + at);
}

static const int in_memory[] = { 0, NAMED };

START_TEST(more_readers_than_there_is_room_for_are_told)
{
	struct ipc_rwlock *ls[IPC__RW_READERS], *l = make(in_memory[_i]);

	/* A handle each, as this is one thread. */
	for (int i = 0; i < IPC__RW_READERS; i++) {
		ls[i] = NULL;
		fine(open_kind(&ls[i], 0));
		fine(ipc_rwlock_rdlock(ls[i], -1));
	}
	fails_with(ENOSPC, ipc_rwlock_rdlock(l, -1), "252 threads");
	ck_assert_int_eq(ipc_rwlock_wrlock(l, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(ls[7]));
	fine(ipc_rwlock_rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	for (int i = 0; i < IPC__RW_READERS; i++) {
		if (i != 7)
			fine(ipc_rwlock_unlock(ls[i]));
		fine(ipc_rwlock_close(ls[i]));
	}
	fine(ipc_rwlock_wrlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

START_TEST(garbage_in_its_words_is_put_right)
{
	struct ipc_rwlock *l = make(in_memory[_i]);
	struct ipc__rw_shared *sh = inside(in_memory[_i]);
	int rc;

	for (uint32_t garbage = 1; garbage != 0; garbage <<= 1) {
		atomic_store(&sh->used, garbage);
		for (int i = 0; i < IPC__RW_READERS; i++)
			atomic_store(&sh->slots[i].inside, garbage);
		atomic_store(&sh->state, garbage);
		rc = ipc_rwlock_rdlock(l, SOON);
		ck_assert(rc == 0 || rc == -EOWNERDEAD);
		ck_assert_int_eq(in_thread(l, ipc_rwlock_wrlock, 0), -EAGAIN);
		fine(ipc_rwlock_unlock(l));
		atomic_store(&sh->state, garbage);
		rc = ipc_rwlock_wrlock(l, SOON);
		ck_assert(rc == 0 || rc == -EOWNERDEAD);
		ck_assert_int_eq(in_thread(l, ipc_rwlock_rdlock, 0), -EAGAIN);
		fine(ipc_rwlock_unlock(l));
		fine(ipc_rwlock_rdlock(l, 0));
		fine(ipc_rwlock_unlock(l));
	}
	/* A mutex that is none is left out. */
	memset(&sh->slots[0].mutex, 0xff, sizeof sh->slots[0].mutex);
	sh->slots[0].inside = 0;
	fine(in_thread(l, ipc_rwlock_rdlock, 0));
	fine(in_thread(l, ipc_rwlock_wrlock, SOON));
	done(l);
}
END_TEST

START_TEST(a_file_of_garbage_is_refused)
{
	struct ipc_rwlock *l = make(0);
	FILE *f;

	fine(ipc_rwlock_close(l));
	f = fopen(in_top("run/rwlock-l"), "r+");
	ck_assert_ptr_nonnull(f);
	fputs("garbage garbage garbage", f);
	fclose(f);
	fails_with(EBADMSG, open_kind(&l, IPC_CREATE), "no rwlock");
	ck_assert_int_eq(truncate(in_top("run/rwlock-l"), 100), 0);
	fails_with(EBADMSG, open_kind(&l, IPC_CREATE), "no rwlock");
	fine(ipc_rwlock_unlink(address));
	/* One of another kind, under this name. */
	fine(ipc_mutex_open(&(struct ipc_mutex *){ NULL }, "mutex:l",
	    IPC_CREATE));
	ck_assert_int_eq(rename(in_top("run/mutex-l"), in_top("run/rwlock-l")),
	    0);
	fails_with(EBADMSG, open_kind(&l, 0), "no rwlock");
	fine(ipc_rwlock_unlink(address));
}
END_TEST

START_TEST(places_in_a_region_are_checked)
{
	struct ipc_rwlock *l = NULL;
	struct ipc_mutex *m = NULL;

	fails_with(ENOENT, ipc_rwlock_init_in(&l, region, 0, 0), "nothing");
	fails_with(EINVAL, ipc_rwlock_init_in(&l, region, 8, IPC_CREATE),
	    "multiple of 64");
	fails_with(EINVAL, ipc_rwlock_init_in(&l, region, 64 * 1024 -
	    IPC_RWLOCK_SPACE + 64, IPC_CREATE), "16384 bytes");
	fails_with(EINVAL, ipc_rwlock_init_in(NULL, region, 0, IPC_CREATE),
	    "NULL");
	fine(ipc_mutex_init_in(&m, region, 0, IPC_CREATE));
	fails_with(EPROTOTYPE, ipc_rwlock_init_in(&l, region, 0, IPC_CREATE),
	    "something else");
	fine(ipc_mutex_close(m));
	fine(ipc_rwlock_init_in(&l, region, 64 * 1024 - IPC_RWLOCK_SPACE,
	    IPC_CREATE));
	fine(ipc_rwlock_wrlock(l, -1));
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_close(l));
}
END_TEST

/* A thread that ends with it has it no more, in the eyes of the kernel. */
static void *
read_and_end(void *arg)
{
	(void)ipc_rwlock_rdlock(arg, -1);
	return NULL;
}

static void *
write_and_end(void *arg)
{
	(void)ipc_rwlock_wrlock(arg, -1);
	return NULL;
}

START_TEST(threads_that_end_with_it_have_died)
{
	struct ipc_rwlock *l = make(in_memory[_i]);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, read_and_end, l), 0);
	pthread_join(thread, NULL);
	fine(ipc_rwlock_wrlock(l, SOON));
	fine(ipc_rwlock_unlock(l));
	ck_assert_int_eq(pthread_create(&thread, NULL, write_and_end, l), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(ipc_rwlock_unlock(l), -EPERM);
	ck_assert_int_eq(ipc_rwlock_wrlock(l, SOON), -EOWNERDEAD);
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

/*
 * Numbers: a process of another PID namespace that has ours.
 */

static struct ipc_rwlock *foreign;

static void
of_our_number(pid_t number)
{
	must(getpid() == number);
	must(ipc_rwlock_unlock(foreign) == -EPERM);
	must(ipc_rwlock_rdlock(foreign, 0) == -EAGAIN);
	must(ipc_rwlock_wrlock(foreign, 0) == -EAGAIN);
	must(ipc_rwlock_rdlock(foreign, 10) == -ETIMEDOUT);
	must(ipc_rwlock_wrlock(foreign, 10) == -ETIMEDOUT);
	_exit(0);
}

/* The first process of the namespace makes the one of that number. */
static void
first_one(pid_t number)
{
	char text[24];
	int fd, n = snprintf(text, sizeof text, "%d", (int)number - 1);
	pid_t pid;

	must(unshare(CLONE_NEWNS) == 0);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("proc", "/proc", "proc", 0, NULL) == 0);
	fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	must(fd != -1 && write(fd, text, (size_t)n) == n);
	close(fd);
	pid = fork();
	if (pid == 0)
		of_our_number(number);
	_exit(WEXITSTATUS(wait_for(pid)));
}

static void
elsewhere(void *arg, int ready)
{
	pid_t number = *(pid_t *)arg, pid;

	(void)ready;
	must(unshare(CLONE_NEWPID) == 0);
	pid = fork();
	must(pid != -1);
	if (pid == 0)
		first_one(number);
	must(wait_for(pid) == 0);
}

START_TEST(somebody_of_the_same_number_is_somebody_else)
{
	struct ipc_rwlock *l = foreign = make(_i);
	pid_t me = getpid();

	if (!can(true)) {
		done(l);
		return;
	}
	fine(ipc_rwlock_wrlock(l, -1));
	run(elsewhere, &me);
	/* Nor was it that one who died with it. */
	ck_assert_int_eq(in_thread(l, ipc_rwlock_rdlock, 0), -EAGAIN);
	ck_assert_int_eq(in_thread(l, ipc_rwlock_wrlock, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_wrlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	done(l);
}
END_TEST

/*
 * Of files and of System V
 */

START_TEST(a_file_lock_is_one_that_others_see)
{
	struct ipc_rwlock *l = make(2);
	struct flock read = { .l_type = F_RDLCK, .l_whence = SEEK_SET },
	    write = { .l_type = F_WRLCK, .l_whence = SEEK_SET },
	    none = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	int fd = open(in_top("lock"), O_RDWR | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	fine(ipc_rwlock_rdlock(l, -1));
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &write), -1);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &read), 0);
	fine(in_thread(l, ipc_rwlock_rdlock, 0));
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_rdlock(l, 0));
	fine(ipc_rwlock_unlock(l));
	ck_assert_int_eq(ipc_rwlock_wrlock(l, 0), -EAGAIN);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &write), 0);
	ck_assert_int_eq(ipc_rwlock_rdlock(l, 5), -ETIMEDOUT);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &none), 0);
	fine(ipc_rwlock_wrlock(l, 0));
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &read), -1);
	fine(ipc_rwlock_unlock(l));
	close(fd);
	done(l);
}
END_TEST

START_TEST(a_file_is_a_mutex_as_well)
{
	struct ipc_rwlock *l = make(2);
	struct ipc_mutex *m = NULL;
	pid_t pid;

	fine(ipc_mutex_open(&m, address, 0));
	fine(ipc_rwlock_rdlock(l, -1));
	ck_assert_int_eq(ipc_mutex_lock(m, 0), -EAGAIN);
	fine(ipc_rwlock_unlock(l));
	fine(ipc_mutex_lock(m, 0));
	ck_assert_int_eq(ipc_rwlock_rdlock(l, 0), -EAGAIN);
	ck_assert_int_eq(ipc_rwlock_wrlock(l, 5), -ETIMEDOUT);
	fine(ipc_mutex_unlock(m));
	pid = start(write_and_stay, NULL);
	kill_and_wait(pid);
	ck_assert_int_eq(ipc_mutex_lock(m, SOON), -EOWNERDEAD);
	fine(ipc_mutex_unlock(m));
	fine(ipc_mutex_close(m));
	done(l);
}
END_TEST

START_TEST(a_file_that_was_there_is_not_written_to)
{
	struct ipc_rwlock *l = NULL;
	char line[32] = "";
	FILE *f;

	f = fopen(in_top("data"), "w");
	ck_assert_ptr_nonnull(f);
	fputs("precious data", f);
	fclose(f);
	snprintf(address, sizeof address, "filelock:%s", in_top("data"));
	fine(open_kind(&l, IPC_CREATE));
	kill_and_wait(start(write_and_stay, NULL));
	/* Nobody can tell. */
	fine(ipc_rwlock_rdlock(l, SOON));
	fine(ipc_rwlock_unlock(l));
	fine(ipc_rwlock_wrlock(l, SOON));
	fine(ipc_rwlock_unlock(l));
	f = fopen(in_top("data"), "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
	ck_assert_str_eq(line, "precious data");
	fclose(f);
	fine(ipc_rwlock_close(l));
}
END_TEST

START_TEST(one_that_is_removed_while_it_is_locked_can_be_closed)
{
	struct ipc_rwlock *l = make(1);

	fine(ipc_rwlock_wrlock(l, -1));
	fine(ipc_rwlock_unlink(address));
	ck_assert_int_eq(ipc_rwlock_unlock(l), -EIDRM);
	fine(ipc_rwlock_close(l));
}
END_TEST

START_TEST(wrong_addresses_are_explained)
{
	struct ipc_rwlock *l = NULL;
	struct ipc_mutex *m = NULL;

	fails_with(EPROTOTYPE, ipc_rwlock_open(&l, "mutex:x", IPC_CREATE),
	    "no reader-writer lock");
	fails_with(EPROTOTYPE, ipc_mutex_open(&m, "rwlock:x", IPC_CREATE),
	    "no mutex");
	fails_with(EINVAL, ipc_rwlock_open(&l, "rwlock:x?recursive=1", 0),
	    "takes mode, uid, gid");
	fails_with(EOPNOTSUPP, ipc_rwlock_open(&l, "filelock:/x?recursive=1",
	    0), "reader");
	fails_with(EINVAL, ipc_rwlock_open(&l, "rwlock:x", IPC_EXCLUSIVE),
	    "IPC_CREATE");
	fails_with(EPROTOTYPE, ipc_rwlock_open(&l, "filelock:/dev/null", 0),
	    "plain file");
	fails_with(EINVAL, ipc_rwlock_open(NULL, "rwlock:x", 0), "NULL");
	fails_with(EINVAL, ipc_rwlock_rdlock(NULL, 0), "no lock");
	fails_with(EINVAL, ipc_rwlock_wrlock(NULL, 0), "no lock");
	fails_with(EINVAL, ipc_rwlock_unlock(NULL), "no lock");
	fails_with(EINVAL, ipc_rwlock_unlink(NULL), "no address");
}
END_TEST

START_TEST(capabilities_are_told_by_scheme)
{
	const unsigned all = IPC_SYNC_RWLOCK | IPC_SYNC_ROBUST;

	ck_assert_uint_eq(ipc_sync_caps("rwlock:x"), all | IPC_SYNC_TIMED);
	ck_assert_uint_eq(ipc_sync_caps("sysvrwlock"), all | IPC_SYNC_TIMED);
	ck_assert_uint_eq(ipc_sync_caps("filelock") & all, all);
	ck_assert_uint_eq(ipc_sync_caps("mutex") & IPC_SYNC_RWLOCK, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("rwlockkinds");
	TCase *tc = tcase_create("one kind");

	tcase_add_checked_fixture(tc, rwlocks_setup, rwlocks_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, garbage_in_its_words_is_put_right, 0, 2);
	tcase_add_test(tc, a_file_of_garbage_is_refused);
	tcase_add_test(tc, places_in_a_region_are_checked);
#ifndef __SANITIZE_THREAD__	/* it allows 64 mutexes to a thread, and knows
				   of no mutex that outlives its owner */
	tcase_add_loop_test(tc, more_readers_than_there_is_room_for_are_told,
	    0, 2);
	tcase_add_loop_test(tc, threads_that_end_with_it_have_died, 0, 2);
#else
	(void)more_readers_than_there_is_room_for_are_told;
	(void)threads_that_end_with_it_have_died;
#endif
	tcase_add_loop_test(tc, somebody_of_the_same_number_is_somebody_else,
	    0, KINDS);
	tcase_add_test(tc, a_file_lock_is_one_that_others_see);
	tcase_add_test(tc, a_file_is_a_mutex_as_well);
	tcase_add_test(tc, a_file_that_was_there_is_not_written_to);
	tcase_add_test(tc,
	    one_that_is_removed_while_it_is_locked_can_be_closed);
	tcase_add_test(tc, wrong_addresses_are_explained);
	tcase_add_test(tc, capabilities_are_told_by_scheme);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
