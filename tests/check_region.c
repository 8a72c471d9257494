/* SPDX-License-Identifier: ISC */
/*
 * Regions: the same tests over every kind.
 */
#include <sys/resource.h>
#include <sys/shm.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

static const char *const kinds[] = {
	"posixshm:/ipc-check-%ld", "sysvshm:ipc-check-%ld", "sysvshm:0x6%lx",
	"mmap:%s/region", "shm:ipc-check-%ld"
};
#define KINDS	5

static char address[200];

static void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", address, rc, ipc_errmsg());
}

static long test_pid;

static const char *
with(int i, const char *options)
{
	char name[128];

	if (strstr(kinds[i], "%s") != NULL)
		snprintf(name, sizeof name, "mmap:%s/region", top);
	else if (strstr(kinds[i], "0x") != NULL)
		snprintf(name, sizeof name, "sysvshm:0x6%lx", test_pid);
	else
		snprintf(name, sizeof name, "%.*s%ld",
		    (int)strcspn(kinds[i], "%"), kinds[i], test_pid);
	snprintf(address, sizeof address, "%s%s", name, options);
	return address;
}

static struct ipc_region *
make(int i, const char *options)
{
	struct ipc_region *r = NULL;

	test_pid = (long)getpid();
	fine(ipc_region_open(&r, with(i, options), IPC_CREATE |
	    IPC_EXCLUSIVE));
	return r;
}

static void
done(int i, struct ipc_region *r)
{
	struct ipc_region *gone = NULL;

	fine(ipc_region_unlink(with(i, "")));
	fine(ipc_region_close(r));
	ck_assert_int_eq(ipc_region_open(&gone, with(i, ""), 0), -ENOENT);
	ck_assert_int_eq(ipc_region_unlink(with(i, "")), -ENOENT);
}

START_TEST(it_is_as_large_as_asked_and_full_of_zeros)
{
	struct ipc_region *r = make(_i, "?size=10000");
	const char *data = ipc_region_data(r);

	ck_assert_uint_eq(ipc_region_size(r), 10000);
	for (size_t i = 0; i < 10000; i++)
		ck_assert_int_eq(data[i], 0);
	fine(ipc_region_sync(r));
	done(_i, r);
}
END_TEST

static void
write_there(void *arg, int ready)
{
	struct ipc_region *r = NULL;

	(void)arg;
	close(ready);
	must(ipc_region_open(&r, address, 0) == 0);
	must(ipc_region_size(r) >= 10000);
	memcpy((char *)ipc_region_data(r) + 9990, "written", 8);
	must(ipc_region_close(r) == 0);
}

START_TEST(what_one_process_writes_another_reads)
{
	struct ipc_region *r = make(_i, "?size=10000");

	with(_i, "");
	run(write_there, NULL);
	ck_assert_str_eq((char *)ipc_region_data(r) + 9990, "written");
	done(_i, r);
}
END_TEST

START_TEST(its_content_stays_with_the_name)
{
	struct ipc_region *r = make(_i, "?size=4096"), *b = NULL;

	strcpy(ipc_region_data(r), "here");
	fine(ipc_region_close(r));
	fine(ipc_region_open(&b, with(_i, "?size=100"), IPC_CREATE));
	ck_assert_str_eq(ipc_region_data(b), "here");
	ck_assert_uint_eq(ipc_region_size(b), 100);
	done(_i, b);
}
END_TEST

static void
write_to_readonly(void *arg, int ready)
{
	struct ipc_region *r = NULL;

	(void)arg;
	close(ready);
	must(ipc_region_open(&r, address, IPC_RECV) == 0);
	must(*(volatile char *)ipc_region_data(r) == 'h');
	/* A sanitizer would make a status of it. */
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)ipc_region_data(r) = 'x';
}

START_TEST(who_only_reads_can_not_write)
{
	struct ipc_region *r = make(_i, "?size=4096");
	int status;

	strcpy(ipc_region_data(r), "here");
	with(_i, "");
	status = wait_for(start(write_to_readonly, NULL));
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
	    "it could write");
	ck_assert_str_eq(ipc_region_data(r), "here");
	done(_i, r);
}
END_TEST

START_TEST(too_small_a_region_is_refused_or_grows)
{
	struct ipc_region *r = make(_i, "?size=4096"), *b = NULL;
	bool grows = strstr(kinds[_i], "sysv") == NULL;

	ck_assert_int_eq(ipc_region_open(&b, with(_i, "?size=20000"), 0),
	    -ERANGE);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "20000"));
	if (grows) {
		fine(ipc_region_open(&b, with(_i, "?size=20000"), IPC_CREATE));
		((char *)ipc_region_data(b))[19999] = 'x';
		((char *)ipc_region_data(b))[0] = 'y';
		ck_assert_int_eq(*(char *)ipc_region_data(r), 'y');
		fine(ipc_region_close(b));
	} else
		ck_assert_int_eq(ipc_region_open(&b, with(_i, "?size=20000"),
		    IPC_CREATE), -ERANGE);
	done(_i, r);
}
END_TEST

START_TEST(flags_mean_what_they_say)
{
	struct ipc_region *r = NULL, *b = NULL;

	test_pid = (long)getpid();
	ck_assert_int_eq(ipc_region_open(&r, with(_i, ""), 0), -ENOENT);
	ck_assert_int_eq(ipc_region_open(&r, with(_i, ""), IPC_CREATE),
	    -EINVAL);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "size="));
	r = make(_i, "?size=4096");
	ck_assert_int_eq(ipc_region_open(&b, with(_i, "?size=4096"),
	    IPC_CREATE | IPC_EXCLUSIVE), -EEXIST);
	ck_assert_int_eq(ipc_region_open(&b, with(_i, ""), IPC_RECV |
	    IPC_CREATE), -EINVAL);
	ck_assert_int_eq(ipc_region_open(&b, with(_i, ""), IPC_SEND),
	    -EINVAL);
	done(_i, r);
}
END_TEST

START_TEST(huge_pages_are_asked_for_and_never_missed)
{
	struct ipc_region *r = make(_i, "?size=4M&huge=1");

	memset(ipc_region_data(r), 1, ipc_region_size(r));
	done(_i, r);
}
END_TEST

/* Of huge pages only whole ones are. */
START_TEST(what_was_mapped_is_unmapped)
{
	struct ipc_region *r = NULL;
	unsigned char there;
	struct stat st;
	void *data;

	fine(ipc_region_open(&r, "memfd:?size=5000&huge=1", IPC_CREATE));
	data = ipc_region_data(r);
	ck_assert_uint_eq(ipc_region_size(r), 5000);
	memset(data, 1, 5000);
	ck_assert_int_eq(fstat(ipc_region_fd(r), &st), 0);
	if (st.st_blksize <= 4096)
		fprintf(stderr, "NOT TESTED HERE: huge pages (wants "
		    "vm.nr_hugepages)\n");
	fine(ipc_region_close(r));
	ck_assert_int_eq(mincore(data, 1, &there), -1);
	ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

START_TEST(its_descriptor_makes_the_same_region)
{
	struct ipc_region *r = make(_i, "?size=8192"), *b = NULL;
	int fd = ipc_region_fd(r);

	if (strstr(kinds[_i], "sysv") != NULL)
		ck_assert_int_eq(fd, -EOPNOTSUPP);
	else {
		fine(fd);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(ipc_region_adopt(&b, fd, 9000, 0), -ERANGE);
		fine(ipc_region_adopt(&b, fcntl(fd, F_DUPFD_CLOEXEC, 0), 0,
		    IPC_RECV));
		strcpy(ipc_region_data(r), "both");
		ck_assert_str_eq(ipc_region_data(b), "both");
		ck_assert_uint_eq(ipc_region_size(b), 8192);
		fine(ipc_region_close(b));
	}
	done(_i, r);
}
END_TEST

START_TEST(a_mode_is_given_whatever_the_umask)
{
	struct ipc_region *r;
	char path[64];
	struct shmid_ds ds;

	umask(077);
	r = make(_i, "?size=4096&mode=0640");
	umask(022);
	snprintf(path, sizeof path, "/dev/shm/ipc-check-%ld", test_pid);
	if (_i == 0)
		ck_assert_uint_eq(mode_of(path), 0640);
	if (_i == 3)
		ck_assert_uint_eq(mode_of(in_top("region")), 0640);
	if (_i == 2) {
		ck_assert_int_eq(shmctl(shmget((key_t)strtoul(strchr(address,
		    'x') + 1, NULL, 16), 0, 0), IPC_STAT, &ds), 0);
		ck_assert_uint_eq(ds.shm_perm.mode & 0777, 0640);
	}
	done(_i, r);
}
END_TEST

/*
 * One kind
 */

START_TEST(memory_without_a_name_is_sealed)
{
	static const char *const nameless[] = {
		"memfd:?size=5000", "shm:?size=5000",
		"memfd:?size=5000&huge=1"
	};
	struct ipc_region *r = NULL;

	snprintf(address, sizeof address, "%s", nameless[_i]);
	ck_assert_int_eq(ipc_region_open(&r, address, 0), -EINVAL);
	fine(ipc_region_open(&r, address, IPC_CREATE));
	ck_assert_uint_eq(ipc_region_size(r), 5000);
	memset(ipc_region_data(r), 1, 5000);
	ck_assert_int_eq(ftruncate(ipc_region_fd(r), 0), -1);
	ck_assert_int_eq(ipc_region_unlink(address), -EINVAL);
	fine(ipc_region_close(r));
}
END_TEST

START_TEST(a_region_is_sent_over_a_channel)
{
	struct ipc_region *r = NULL, *b = NULL;
	struct ipc_channel *ch[2];
	struct ipc_msg msg = { .struct_size = sizeof msg };
	int fd;

	fine(ipc_region_open(&r, "memfd:?size=4096", IPC_CREATE));
	fine(ipc_pair(ch, "unix:", 0));
	fd = ipc_region_fd(r);
	msg.fds = &fd;
	msg.fd_count = 1;
	fine(ipc_sendmsg(ch[0], &msg, 0, 1000));
	fd = -1;
	fine((int)ipc_recvmsg(ch[1], &msg, 0, 1000));
	fine(ipc_region_adopt(&b, fd, 4096, 0));
	strcpy(ipc_region_data(b), "sent");
	ck_assert_str_eq(ipc_region_data(r), "sent");
	ipc_region_close(b);
	ipc_region_close(r);
	ipc_close(ch[0]);
	ipc_close(ch[1]);
}
END_TEST

START_TEST(no_room_is_an_error_and_no_signal)
{
	struct ipc_region *r = NULL;

	if (!can(true))
		return;
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
	    0);
	ck_assert_int_eq(mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k"),
	    0);
	fails_with(ENOSPC, ipc_region_open(&r, "posixshm:/big?size=1M",
	    IPC_CREATE), "1048576");
	ck_assert_int_eq(count_entries("/dev/shm", ""), 0);
	fine(ipc_region_open(&r, "posixshm:/big?size=16K", IPC_CREATE));
	fine(ipc_region_close(r));
	ck_assert_int_eq(umount("/dev/shm"), 0);
}
END_TEST

/* The signal of a file that becomes too large would end this program; libcheck
 * notes each assertion in one. */
START_TEST(a_limit_of_files_is_an_error_and_no_signal)
{
	const struct rlimit little = { 4096, RLIM_INFINITY };
	const struct rlimit much = { RLIM_INFINITY, RLIM_INFINITY };
	struct ipc_region *r = NULL;
	int limited = setrlimit(RLIMIT_FSIZE, &little);
	bool left;
	char text[200];

	fails_with(EFBIG, ipc_region_open(&r, "memfd:?size=8192", IPC_CREATE),
	    "RLIMIT_FSIZE");
	snprintf(text, sizeof text, "mmap:%s/region?size=8192", top);
	fails_with(EFBIG, ipc_region_open(&r, text, IPC_CREATE),
	    "RLIMIT_FSIZE");
	left = is_there(in_top("region"));
	snprintf(text, sizeof text, "mmap:%s/region?size=4096", top);
	fine(ipc_region_open(&r, text, IPC_CREATE));
	fine(ipc_region_close(r));
	snprintf(text, sizeof text, "mmap:%s/region?size=4097", top);
	fails_with(EFBIG, ipc_region_open(&r, text, IPC_CREATE),
	    "RLIMIT_FSIZE");
	setrlimit(RLIMIT_FSIZE, &much);
	ck_assert_int_eq(limited, 0);
	ck_assert(!left);
	ck_assert_int_eq(count_entries(top, "region"), 1);
	ck_assert_int_eq(count_entries(top, "."), 0);
}
END_TEST

START_TEST(wrong_addresses_are_explained)
{
	struct ipc_region *r = NULL;

	fails_with(EINVAL, ipc_region_open(&r, "memfd:x?size=1", IPC_CREATE),
	    "no name");
	fails_with(EINVAL, ipc_region_open(&r, "mmap:?size=1", IPC_CREATE),
	    "name is missing");
	fails_with(EINVAL, ipc_region_open(&r, "shm:x?size=0", IPC_CREATE),
	    "size takes a size");
	fails_with(EPROTOTYPE, ipc_region_open(&r, "sem:x", IPC_CREATE),
	    "no region");
	fails_with(EPROTOTYPE, ipc_region_open(&r, "mmap:/dev/null", 0),
	    "no plain file");
	fails_with(EINVAL, ipc_region_open(NULL, "shm:x", 0), "NULL");
	ck_assert_ptr_null(ipc_region_data(NULL));
	ck_assert_int_eq(ipc_region_close(NULL), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("region");
	TCase *tc = tcase_create("every kind");

	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, it_is_as_large_as_asked_and_full_of_zeros, 0,
	    KINDS);
	tcase_add_loop_test(tc, what_one_process_writes_another_reads, 0,
	    KINDS);
	tcase_add_loop_test(tc, its_content_stays_with_the_name, 0, KINDS);
	tcase_add_loop_test(tc, who_only_reads_can_not_write, 0, KINDS);
	tcase_add_loop_test(tc, too_small_a_region_is_refused_or_grows, 0,
	    KINDS);
	tcase_add_loop_test(tc, flags_mean_what_they_say, 0, KINDS);
	tcase_add_loop_test(tc, huge_pages_are_asked_for_and_never_missed, 0,
	    KINDS);
	tcase_add_loop_test(tc, its_descriptor_makes_the_same_region, 0,
	    KINDS);
	tcase_add_loop_test(tc, a_mode_is_given_whatever_the_umask, 0, KINDS);
	suite_add_tcase(suite, tc);

	tc = tcase_create("one kind");
	tcase_add_checked_fixture(tc, names_setup, names_teardown);
	tcase_add_loop_test(tc, memory_without_a_name_is_sealed, 0, 3);
	tcase_add_test(tc, what_was_mapped_is_unmapped);
	tcase_add_test(tc, a_region_is_sent_over_a_channel);
	tcase_add_test(tc, no_room_is_an_error_and_no_signal);
	tcase_add_test(tc, a_limit_of_files_is_an_error_and_no_signal);
	tcase_add_test(tc, wrong_addresses_are_explained);
	suite_add_tcase(suite, tc);

	return suite_run(suite);
}
