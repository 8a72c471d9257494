/* SPDX-License-Identifier: ISC */
/*
 * Semaphores: what each kind shares with programs that do without the library,
 * what is refused, and addresses.
 */
#include <sys/ipc.h>
#include <sys/sem.h>
#include <limits.h>
#include <semaphore.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%d: %s", rc, ipc_errmsg());
}

static unsigned
value_of(struct ipc_sem *s)
{
	unsigned value = UINT_MAX;

	fine(ipc_sem_value(s, &value));
	return value;
}

static const char *
posix_address(void)
{
	static char text[64];

	snprintf(text, sizeof text, "posixsem:/ipc-check-%ld", (long)getpid());
	return text;
}

static struct ipc_sem *
make_posix(unsigned value)
{
	struct ipc_sem *s = NULL;

	fine(ipc_sem_open(&s, posix_address(), IPC_CREATE | IPC_EXCLUSIVE,
	    value));
	return s;
}

/*
 * Foreign programs
 */

START_TEST(a_key_is_shared_with_plain_system_v)
{
	key_t key = (key_t)(0x70000000 + getpid());
	int id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
	struct sembuf take = { .sem_op = -1, .sem_flg = IPC_NOWAIT };
	union { int val; } arg = { .val = 0 };
	struct ipc_sem *s = NULL;
	char text[64];

	ck_assert_int_ne(id, -1);
	snprintf(text, sizeof text, "sysvsem:0x%x", (unsigned)key);
	/* It has a value, though it is 0 and was never used. */
	ck_assert_int_eq(semctl(id, 0, SETVAL, arg), 0);
	fine(ipc_sem_open(&s, text, IPC_CREATE, 5));
	ck_assert_uint_eq(value_of(s), 0);
	fine(ipc_sem_post(s));
	ck_assert_int_eq(semop(id, &take, 1), 0);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert_int_eq(semctl(id, 0, IPC_RMID), 0);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EIDRM);
	fine(ipc_sem_close(s));
}
END_TEST

START_TEST(a_key_that_was_left_half_made_gets_its_value)
{
	key_t key = (key_t)(0x70000000 + getpid());
	int id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
	struct ipc_sem *s = NULL;
	char text[64];

	ck_assert_int_ne(id, -1);
	snprintf(text, sizeof text, "sysvsem:0x%x", (unsigned)key);
	fine(ipc_sem_open(&s, text, IPC_CREATE, 5));
	ck_assert_uint_eq(value_of(s), 5);
	ck_assert_int_eq(semctl(id, 0, GETVAL), 5);
	fine(ipc_sem_unlink(text));
	fine(ipc_sem_close(s));
}
END_TEST

START_TEST(a_posix_semaphore_is_shared_with_sem_open)
{
	struct ipc_sem *s = make_posix(1);
	char name[64];
	sem_t *raw;

	snprintf(name, sizeof name, "/ipc-check-%ld", (long)getpid());
	raw = sem_open(name, 0);
	ck_assert(raw != SEM_FAILED);
	ck_assert_int_eq(sem_wait(raw), 0);
	ck_assert_int_eq(ipc_sem_wait(s, 0), -EAGAIN);
	ck_assert_int_eq(sem_post(raw), 0);
	fine(ipc_sem_wait(s, 0));
	sem_close(raw);
	fine(ipc_sem_unlink(posix_address()));
	fine(ipc_sem_close(s));
}
END_TEST

START_TEST(what_is_no_semaphore_is_refused)
{
	struct ipc_sem *s = NULL;
	char path[128];
	FILE *f;

	fine(ipc_sem_open(&s, "sem:x", IPC_CREATE, 1));
	fine(ipc_sem_close(s));
	f = fopen(in_top("run/sem-x"), "r+");
	ck_assert_ptr_nonnull(f);
	fwrite("rubbish", 1, 7, f);
	fclose(f);
	ck_assert_int_eq(ipc_sem_open(&s, "sem:x", IPC_CREATE, 1), -EBADMSG);
	ck_assert_int_eq(truncate(in_top("run/sem-x"), 10), 0);
	ck_assert_int_eq(ipc_sem_open(&s, "sem:x", IPC_CREATE, 1), -EBADMSG);
	fine(ipc_sem_unlink("sem:x"));
	ck_assert(!is_there(in_top("run/sem-x.bell")));

	snprintf(path, sizeof path, "/dev/shm/sem.ipc-check-%ld",
	    (long)getpid());
	make_file(path);
	ck_assert_int_eq(ipc_sem_open(&s, posix_address(), IPC_CREATE, 1),
	    -EBADMSG);
	unlink(path);
}
END_TEST

/*
 * Addresses
 */

START_TEST(wrong_addresses_are_explained)
{
	struct ipc_sem *s = NULL;

	fails_with(EINVAL, ipc_sem_open(&s, "sem:", 0, 0), "name is missing");
	fails_with(EPROTONOSUPPORT, ipc_sem_open(&s, "unix:/x", 0, 0),
	    "'unix'");
	fails_with(EOPNOTSUPP, ipc_sem_open(&s, "posixsem:/x?undo=1",
	    IPC_CREATE, 0), "can not know");
	fails_with(EINVAL, ipc_sem_open(&s, "sem:x?size=4", 0, 0),
	    "takes mode, uid, gid, value, undo");
	fails_with(EINVAL, ipc_sem_open(&s, "sem:x?undo=2", 0, 0), "0 or 1");
	fails_with(EINVAL, ipc_sem_open(&s, "sysvsem:0xz", 0, 0), "key");
	fails_with(EINVAL, ipc_sem_open(&s, "sysvsem:x", IPC_CREATE, 40000),
	    "SEMVMX");
	fails_with(EINVAL, ipc_sem_open(&s, "posixsem:/a/b", 0, 0), "/name");
	fails_with(EINVAL, ipc_sem_open(&s, "sem:x", IPC_SEND, 0), "flags");
	fails_with(EINVAL, ipc_sem_open(&s, "sem:x", IPC_EXCLUSIVE, 0),
	    "IPC_CREATE");
	fails_with(EINVAL, ipc_sem_open(NULL, "sem:x", 0, 0), "NULL");
	fails_with(EINVAL, ipc_sem_wait(NULL, 0), "no semaphore");
	ck_assert_int_eq(ipc_sem_close(NULL), 0);
	ck_assert_ptr_null(s);
}
END_TEST

/* What one process may take with undo=1 has a limit of its own. */
START_TEST(more_than_undo_can_give_back_is_refused)
{
	struct ipc_sem *s = NULL, *giver = NULL;

	fine(ipc_sem_open(&s, "sysvsem:x?undo=1", IPC_CREATE, 32767));
	fine(ipc_sem_open(&giver, "sysvsem:x", 0, 0));
	for (int i = 0; i < 32767; i++)
		if (ipc_sem_wait(s, 0) < 0)
			ck_abort_msg("%d: %s", i, ipc_errmsg());
	fine(ipc_sem_post_many(giver, 5));
	fails_with(EOVERFLOW, ipc_sem_wait(s, 0), "undo=1");
	fine(ipc_sem_wait(giver, 0));
	fails_with(EOVERFLOW, ipc_sem_post_many(s, 32764), "SEMVMX");
	fine(ipc_sem_post_many(s, 32763));
	fine(ipc_sem_close(s));
	ck_assert_uint_eq(value_of(giver), 32767);
	fine(ipc_sem_unlink("sysvsem:x"));
	fine(ipc_sem_close(giver));
}
END_TEST

START_TEST(too_many_at_once_are_none)
{
	struct ipc_sem *s = make_posix(INT_MAX - 2);

	fails_with(EOVERFLOW, ipc_sem_post_many(s, 3), "SEM_VALUE_MAX");
	ck_assert_uint_eq(value_of(s), INT_MAX - 2);
	fine(ipc_sem_post_many(s, 2));
	fails_with(EOVERFLOW, ipc_sem_post(s), "SEM_VALUE_MAX");
	ck_assert_uint_eq(value_of(s), INT_MAX);
	fine(ipc_sem_unlink(posix_address()));
	fine(ipc_sem_close(s));
}
END_TEST

START_TEST(the_address_may_tell_the_value)
{
	struct ipc_sem *s = NULL;

	fine(ipc_sem_open(&s, "sem:x?value=4", IPC_CREATE, 1));
	ck_assert_uint_eq(value_of(s), 4);
	fine(ipc_sem_close(s));
	fine(ipc_sem_unlink("sem:x"));
}
END_TEST

START_TEST(capabilities_are_told_by_scheme)
{
	ck_assert_uint_eq(ipc_sync_caps("sem") & IPC_SYNC_SEM, IPC_SYNC_SEM);
	ck_assert_uint_ne(ipc_sync_caps("sem:x?undo=1") & IPC_SYNC_FD, 0);
	ck_assert_uint_eq(ipc_sync_caps("posixsem:/x") & IPC_SYNC_UNDO, 0);
	ck_assert_uint_eq(ipc_sync_caps("unix"), 0);
	ck_assert_uint_eq(ipc_sync_caps(NULL), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("semkinds");
	TCase *tc = tcase_create("one kind");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_add_test(tc, a_key_is_shared_with_plain_system_v);
	tcase_add_test(tc, a_key_that_was_left_half_made_gets_its_value);
	tcase_add_test(tc, a_posix_semaphore_is_shared_with_sem_open);
	tcase_add_test(tc, what_is_no_semaphore_is_refused);
	tcase_add_test(tc, wrong_addresses_are_explained);
	tcase_add_test(tc, more_than_undo_can_give_back_is_refused);
	tcase_add_test(tc, too_many_at_once_are_none);
	tcase_add_test(tc, the_address_may_tell_the_value);
	tcase_add_test(tc, capabilities_are_told_by_scheme);
	suite_add_tcase(suite, tc);

	return suite_run(suite);
}
