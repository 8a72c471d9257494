/* SPDX-License-Identifier: ISC */
/*
 * ipc doctor: what is well and what is planted.
 */
#include <sys/msg.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>

#include "janitor.h"

/* What it says of each thing, and that its status is right.  says: in the line
 * of a problem about it. */
static void
doctor_finds(const char *command, const char *about, const char *says)
{
	struct program p;
	char begin[64], *line;

	program_run(&p, 1, NULL, command);
	snprintf(begin, sizeof begin, "problem  %s ", about);
	line = strstr(p.text, begin);
	ck_assert_msg(line != NULL, "no problem with %s in:\n%s", about,
	    p.text);
	ck_assert_msg(strncmp(line + strcspn(line, "\n"), "\n     ", 6) == 0 &&
	    strstr(line, " -> ") != NULL, "no advice: %s", line);
	line[strcspn(line, "\n")] = '\0';
	assert_says(line, says);
	program_free(&p);
}

START_TEST(doctor_looks_at_everything)
{
	static const char *const all[] = {
		"runtime directory", "leftovers", "/dev/shm", "memfd seals",
		"unix ", "kernel.msgmax", "kernel.shmmax", "RLIMIT_NOFILE",
		"RLIMIT_MSGQUEUE", "fs.pipe-max-size", "RWF_NOSIGNAL",
		"membarrier", "pidfd_open", "OFD locks", "RemoveIPC",
		"IPC namespace", "network namespace", "user namespace",
		"ptrace_scope"
	};
	struct program p;
	int status;

	program_start(&p, NULL, "$ipc doctor");
	status = program_end(&p);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		assert_says(p.text, all[i]);
	ck_assert_int_eq(status, strstr(p.text, "\nproblem") != NULL ||
	    strncmp(p.text, "problem", 7) == 0);
	program_free(&p);
	program_start(&p, NULL, "$ipc doctor -q");
	program_end(&p);
	assert_silent_about(p.text, "ok  ");
	program_free(&p);
}
END_TEST

START_TEST(doctor_finds_a_runtime_directory_that_others_can_write)
{
	ck_assert_int_eq(mkdir(in_dir("run"), 0700), 0);
	ck_assert_int_eq(chmod(in_dir("run"), 0777), 0);
	doctor_finds("$ipc doctor", "runtime directory", "others could write");
}
END_TEST

START_TEST(doctor_finds_a_runtime_directory_that_can_not_be_made)
{
	doctor_finds("IPC_RUNTIME_DIR=$dir/none/run $ipc doctor",
	    "runtime directory", "No such file");
}
END_TEST

START_TEST(doctor_finds_a_runtime_directory_of_another_user)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(mkdir(in_dir("run"), 0755), 0);
	ck_assert_int_eq(chown(in_dir("run"), 54321, 54321), 0);
	doctor_finds("$ipc doctor", "runtime directory", "uid 54321");
}
END_TEST

START_TEST(doctor_tells_of_leftovers)
{
	struct program p;

	leave_name();
	program_start(&p, NULL, "$ipc doctor -q");
	program_end(&p);
	assert_says(p.text, "note     leftovers");
	assert_says(p.text, "ipc gc removes them");
	program_free(&p);
}
END_TEST

START_TEST(doctor_finds_too_few_descriptors)
{
	doctor_finds("ulimit -n 20; $ipc doctor", "RLIMIT_NOFILE", "20: ");
}
END_TEST

/* In a mount namespace of this test. */
static void
mount_shm(const char *options)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
	    0);
	ck_assert_msg(mount("tmpfs", "/dev/shm", "tmpfs", 0, options) == 0,
	    "mount: %s", strerror(errno));
}

START_TEST(doctor_finds_a_tiny_shared_memory)
{
	if (!own_namespaces)
		return;
	mount_shm("size=64k,mode=1777");
	doctor_finds("$ipc doctor", "/dev/shm (size)", "64 KiB");
}
END_TEST

START_TEST(doctor_finds_a_full_shared_memory)
{
	static char zeros[65536];
	int fd;

	if (!own_namespaces)
		return;
	mount_shm("size=64k,mode=1777");
	fd = open("/dev/shm/all", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, zeros, sizeof zeros), sizeof zeros);
	doctor_finds("$ipc doctor", "/dev/shm", "No space left");
	close(fd);
}
END_TEST

/* What can not be read is not what the kernel does not have. */
START_TEST(doctor_does_without_proc)
{
	struct program p;

	if (!own_namespaces)
		return;
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
	    0);
	ck_assert_int_eq(umount2("/proc", MNT_DETACH), 0);
	program_run(&p, 1, NULL, "$ipc doctor");
	assert_says(p.text, "problem  /proc ");
	assert_silent_about(p.text, "this kernel has no");
	program_free(&p);
	/* What looks for leaks at our end wants it back. */
	ck_assert_int_eq(mount("proc", "/proc", "proc", 0, NULL), 0);
}
END_TEST

/* The limit is one of our IPC namespace. */
START_TEST(doctor_finds_that_all_queues_are_taken)
{
	FILE *f = own_namespaces ? fopen("/proc/sys/kernel/msgmni", "we") :
	    NULL;
	int id;

	if (f == NULL || fputs("1\n", f) == EOF || fclose(f) == EOF) {
		fprintf(stderr, "NOT TESTED HERE: a limit that is met (wants "
		    "root and a writable /proc/sys)\n");
		return;
	}
	id = msgget(IPC_PRIVATE, 0600);
	ck_assert_int_ge(id, 0);
	doctor_finds("$ipc doctor", "kernel.msgmni", "1 of 1 ");
	doctor_finds("$ipc doctor", "sysvmq", "kernel.msgmni");
	msgctl(id, IPC_RMID, NULL);
	f = fopen("/proc/sys/kernel/msgmni", "we");
	fputs("32000\n", f);
	fclose(f);
}
END_TEST

static Suite *
doctor_suite(void)
{
	Suite *s = suite_create("doctor");
	TCase *tc = program_tcase(s, "doctor");

	tcase_add_test(tc, doctor_looks_at_everything);
	tcase_add_test(tc,
	    doctor_finds_a_runtime_directory_that_others_can_write);
	tcase_add_test(tc,
	    doctor_finds_a_runtime_directory_that_can_not_be_made);
	tcase_add_test(tc, doctor_finds_a_runtime_directory_of_another_user);
	tcase_add_test(tc, doctor_tells_of_leftovers);
	tcase_add_test(tc, doctor_finds_too_few_descriptors);
	tcase_add_test(tc, doctor_finds_a_tiny_shared_memory);
	tcase_add_test(tc, doctor_finds_a_full_shared_memory);
	tcase_add_test(tc, doctor_does_without_proc);
	tcase_add_test(tc, doctor_finds_that_all_queues_are_taken);
	return s;
}

int
main(void)
{
	begin_apart();
	return program_run_all(doctor_suite());
}
