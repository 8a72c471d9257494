/* SPDX-License-Identifier: ISC */
/*
 * The commands of ipc(1) that look after objects: list, rm, gc and doctor.  The
 * objects are in IPC and mount namespaces of their own where that is allowed,
 * so that problems can be planted.
 */
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "json.h"
#include "program.h"

static bool own_namespaces;

static void
assert_says(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) != NULL, "'%s' does not say '%s'",
	    text, word);
}

static void
assert_silent_about(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) == NULL, "'%s' says '%s'", text,
	    word);
}

/* The line of a table that begins with this kind and has this name; or NULL. */
static const char *
find_line(const struct program *p, const char *kind, const char *name)
{
	static char line[1024], begin[64];
	const char *at = p->text;
	size_t n;

	snprintf(begin, sizeof begin, "%s ", kind);
	for (; *at; at += n + (at[n] == '\n')) {
		n = strcspn(at, "\n");
		snprintf(line, sizeof line, "%.*s", (int)n, at);
		if (strncmp(line, begin, strlen(begin)) == 0 &&
		    strstr(line, name))
			return line;
	}
	return NULL;
}

static const char *
line_of(const struct program *p, const char *kind, const char *name)
{
	const char *line = find_line(p, kind, name);

	ck_assert_msg(line != NULL, "no %s %s in:\n%s%s", kind, name, p->text,
	    p->errors);
	return line;
}

static bool
queues_are_seen(const struct program *list)
{
	if (strstr(list->errors, "POSIX queues can not be seen") == NULL)
		return true;
	fprintf(stderr, "NOT TESTED HERE: POSIX queues in ipc list (wants "
	    "root, or /dev/mqueue)\n");
	return false;
}

/*
 * list
 */

/* A receiver at each of these; the name is how the list has it. */
static const struct {
	const char	*receive, *kind, *name, *await;
} held[] = {
	{ "-l unix:$dir/s", "unix", "/s ", "s" },
	{ "-l unixpacket:$dir/s", "unixpacket", "/s ", "s" },
	{ "-c unixgram:$dir/o", "unixgram", "/o ", "o" },
	{ "-l memfd:$name", "unixpacket", "/run/memfd-ipc-test", NULL },
	{ "-l pipe:$name", "unixpacket", "/run/pipe-ipc-test", NULL },
	{ "-c sysvmq:$name", "sysvmq", "ipc-test", NULL },
	{ "-c posixmq:/$name", "posixmq", "/ipc-test", NULL },
	{ "-c sysvshm:$name", "sysvshm", "ipc-test", NULL },
	{ "-c posixshm:/$name", "posixshm", "/ipc-test", NULL }
};
#define HELD	((int)(sizeof held / sizeof held[0]))

/* Until the list shows the name, as not all of them are files. */
static void
await_listed(struct program *list, const char *kind, const char *name)
{
	for (int i = 0; i < 200; i++) {
		program_run(list, 0, NULL, "$ipc list -a");
		if (find_line(list, kind, name))
			return;
		program_free(list);
		usleep(20000);
	}
	ck_abort_msg("%s %s is never listed", kind, name);
}

static void
remove_named(const char *receive)
{
	struct program p;
	char command[128];

	snprintf(command, sizeof command, "$ipc rm -f \"%s\"", receive + 3);
	program_run(&p, 0, NULL, command);
	program_free(&p);
}

START_TEST(each_kind_of_object_is_listed_with_its_holder)
{
	char command[160], who[32];
	struct program in, list;
	const char *line;

	program_run(&list, 0, NULL, "$ipc list");
	if (strcmp(held[_i].kind, "posixmq") == 0 && !queues_are_seen(&list))
		return;
	program_free(&list);
	snprintf(command, sizeof command, "exec $ipc recv %s",
	    held[_i].receive);
	program_start(&in, NULL, command);
	if (held[_i].await)
		await_file(in_dir(held[_i].await));
	await_listed(&list, held[_i].kind, held[_i].name);
	line = line_of(&list, held[_i].kind, held[_i].name);
	snprintf(who, sizeof who, "%ld(ipc)", (long)in.pid);
	assert_says(line, who);
	assert_says(line, " alive ");
	kill(in.pid, SIGKILL);
	program_end(&in);
	program_free(&in);
	program_free(&list);
	program_run(&list, 0, NULL, "$ipc list");
	assert_silent_about(list.text, who);
	program_free(&list);
	remove_named(held[_i].receive);
}
END_TEST

/* A program that knows nothing of the library. */
struct foreign {
	int	 msg, shm, sem;
	void	*memory;
	mqd_t	 mq;
	sem_t	*posix_sem;
	int	 posix_shm, listener, datagram;
};

static int
bound(const char *path, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

static void
make_foreign(struct foreign *f)
{
	struct { long type; char text[5]; } letter = { 1, "five" };

	f->msg = msgget(0x51510001, IPC_CREAT | 0640);
	ck_assert_int_eq(msgsnd(f->msg, &letter, 5, 0), 0);
	f->shm = shmget(0x51510002, 12345, IPC_CREAT | 0600);
	f->memory = shmat(f->shm, NULL, 0);
	f->sem = semget(0x51510003, 3, IPC_CREAT | 0600);
	ck_assert_int_eq(semop(f->sem, &(struct sembuf){ 0, 1, 0 }, 1), 0);
	f->mq = mq_open("/foreign", O_RDWR | O_CREAT, 0600, NULL);
	f->posix_sem = sem_open("/foreign-sem", O_CREAT, 0600, 1);
	f->posix_shm = shm_open("/foreign-shm", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(ftruncate(f->posix_shm, 4321), 0);
	f->listener = bound(in_dir("foreign s"), SOCK_STREAM);
	ck_assert_int_eq(listen(f->listener, 1), 0);
	f->datagram = bound(in_dir("foreign d"), SOCK_DGRAM);
}

static void
remove_foreign(struct foreign *f)
{
	shmdt(f->memory);
	msgctl(f->msg, IPC_RMID, NULL);
	shmctl(f->shm, IPC_RMID, NULL);
	semctl(f->sem, 0, IPC_RMID);
	mq_close(f->mq);
	mq_unlink("/foreign");
	sem_close(f->posix_sem);
	sem_unlink("/foreign-sem");
	close(f->posix_shm);
	shm_unlink("/foreign-shm");
	close(f->listener);
	close(f->datagram);
}

static void
assert_line(const struct program *list, const char *kind, const char *name,
    const char *says)
{
	const char *line = line_of(list, kind, name);
	char who[32];

	snprintf(who, sizeof who, " %ld(check_janitor)", (long)getpid());
	assert_says(line, says);
	assert_says(line, who);
	assert_says(line, " alive ");
	assert_says(line, " -  ");
}

START_TEST(objects_of_other_programs_are_listed)
{
	struct program list;
	struct foreign f;

	if (!own_namespaces)
		return;
	make_foreign(&f);
	program_run(&list, 0, NULL, "$ipc list");
	assert_line(&list, "sysvmq", "0x51510001", " 5 root  0640 ");
	assert_line(&list, "sysvshm", "0x51510002", " 12345 root  0600 ");
	assert_line(&list, "sysvsem", "0x51510003", " root  0600 ");
	assert_line(&list, "posixsem", "/foreign-sem ", " root  0600 ");
	assert_line(&list, "posixshm", "/foreign-shm ", " 4321 root  0600 ");
	assert_line(&list, "unix", "/foreign s ", " - ");
	assert_line(&list, "unixgram", "/foreign d ", " - ");
	if (queues_are_seen(&list))
		assert_line(&list, "posixmq", "/foreign ", " 0 root  0600 ");
	program_free(&list);
	program_run(&list, 0, NULL, "$ipc list -l");
	assert_silent_about(list.text, "foreign");
	assert_silent_about(list.text, "0x5151000");
	program_free(&list);
	program_run(&list, 0, NULL, "$ipc list -o");
	assert_silent_about(list.text, "foreign");
	program_free(&list);
	remove_foreign(&f);
	program_run(&list, 0, NULL, "$ipc list -a");
	assert_silent_about(list.text, "/foreign-");
	assert_silent_about(list.text, "0x5151000");
	program_free(&list);
}
END_TEST

/* A name may hold anything; a terminal must not get it. */
START_TEST(strange_names_are_shown_and_harmless)
{
	struct program list;
	int fd = bound(in_dir("a\"b\\c\x1b[31m\xff\xc3\xa4"), SOCK_DGRAM);

	program_run(&list, 0, NULL, "$ipc list");
	assert_says(list.text, "a\"b\\c\\x1b[31m\\xff\xc3\xa4 ");
	ck_assert_ptr_null(strchr(list.text, 0x1b));
	program_free(&list);
	program_run(&list, 0, NULL, "$ipc list --json");
	ck_assert(is_json(list.text));
	assert_says(list.text, "a\\\"b\\\\c\\u001b[31m\\u00ff\xc3\xa4\"");
	program_free(&list);
	close(fd);
}
END_TEST

static const char *const json_commands[] = {
	"list -j", "list --json -a", "list -jlo", "gc -j", "gc --json -n",
	"doctor -j", "doctor --json -q"
};
#define JSON_COMMANDS	((int)(sizeof json_commands / sizeof json_commands[0]))

/* What a killed listener left in the runtime directory. */
static void
leave_name(void)
{
	struct program p;
	char stale[128];

	program_start(&p, NULL, "exec $ipc recv -l memfd:$name");
	snprintf(stale, sizeof stale, "run/memfd-%s", getenv("name"));
	await_file(in_dir(stale));
	kill(p.pid, SIGKILL);
	program_end(&p);
	program_free(&p);
}

START_TEST(tables_come_as_json)
{
	struct program p;
	char command[64];

	leave_name();
	snprintf(command, sizeof command, "$ipc %s", json_commands[_i]);
	program_start(&p, NULL, command);
	ck_assert_int_le(program_end(&p), 1);
	ck_assert_msg(is_json(p.text), "%s", p.text);
	program_free(&p);
}
END_TEST

/*
 * gc
 */

START_TEST(gc_tells_and_removes_what_a_killed_listener_left)
{
	struct program look, gone;
	char stale[128];

	leave_name();
	snprintf(stale, sizeof stale, "run/memfd-%s", getenv("name"));
	program_run(&look, 0, NULL, "$ipc gc -n");
	assert_says(look.text, in_dir(stale));
	ck_assert_int_eq(access(in_dir(stale), F_OK), 0);
	program_run(&gone, 0, NULL, "$ipc list -o");
	assert_says(gone.text, in_dir(stale));
	program_free(&gone);
	program_run(&gone, 0, NULL, "$ipc gc");
	ck_assert_str_eq(gone.text, look.text);
	ck_assert_int_eq(access(in_dir(stale), F_OK), -1);
	program_free(&gone);
	program_run(&gone, 0, NULL, "$ipc gc");
	ck_assert_str_eq(gone.text, "");
	program_free(&gone);
	program_free(&look);
}
END_TEST

/*
 * rm
 */

START_TEST(rm_removes_an_object_and_says_what_it_can_not)
{
	struct program p, in;

	ck_assert_int_eq(mkfifo(in_dir("o"), 0600), 0);
	program_run(&p, 0, NULL, "$ipc rm fifo:$dir/o");
	ck_assert_int_eq(access(in_dir("o"), F_OK), -1);
	program_free(&p);
	program_run(&p, 1, NULL, "$ipc rm fifo:$dir/o");
	assert_says(p.errors, "/o");
	program_free(&p);
	program_run(&p, 0, NULL, "$ipc rm -f fifo:$dir/o");
	ck_assert_str_eq(p.errors, "");
	program_free(&p);
	program_start(&in, NULL, "exec $ipc recv -l unix:$dir/s");
	await_file(in_dir("s"));
	program_run(&p, 1, NULL, "$ipc rm -f unix:$dir/s");
	assert_says(p.errors, "end the process");
	ck_assert_int_eq(access(in_dir("s"), F_OK), 0);
	program_free(&p);
	kill(in.pid, SIGKILL);
	program_end(&in);
	program_free(&in);
	program_run(&p, 0, NULL, "$ipc rm unix:$dir/s");
	ck_assert_int_eq(access(in_dir("s"), F_OK), -1);
	program_free(&p);
}
END_TEST

START_TEST(rm_removes_semaphores)
{
	static const char *const schemes[] = { "sem", "posixsem", "sysvsem" };
	char address[64], command[96];
	struct program p;
	struct ipc_sem *s;

	snprintf(address, sizeof address, "%s:%s", schemes[_i],
	    getenv("name"));
	ck_assert_int_eq(ipc_sem_open(&s, address, IPC_CREATE, 1), 0);
	ck_assert_int_eq(ipc_sem_close(s), 0);
	program_run(&p, 0, NULL, "$ipc list");
	ck_assert_ptr_nonnull(line_of(&p, schemes[_i], getenv("name")));
	program_free(&p);
	snprintf(command, sizeof command, "$ipc rm %s", address);
	program_run(&p, 0, NULL, command);
	program_free(&p);
	ck_assert_int_eq(ipc_sem_open(&s, address, 0, 0), -ENOENT);
	program_run(&p, 1, NULL, command);
	program_free(&p);
}
END_TEST

START_TEST(rm_of_several_removes_all_that_it_can)
{
	struct program p;

	ck_assert_int_eq(mkfifo(in_dir("a"), 0600), 0);
	ck_assert_int_eq(mkfifo(in_dir("c"), 0600), 0);
	program_run(&p, 1, NULL,
	    "$ipc rm fifo:$dir/a fifo:$dir/b fifo:$dir/c");
	assert_says(p.errors, "/b");
	ck_assert_int_eq(access(in_dir("a"), F_OK), -1);
	ck_assert_int_eq(access(in_dir("c"), F_OK), -1);
	program_free(&p);
}
END_TEST

/*
 * doctor
 */

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
	char *zeros = calloc(1, 65536);
	int fd;

	if (!own_namespaces)
		return;
	mount_shm("size=64k,mode=1777");
	fd = open("/dev/shm/all", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, zeros, 65536), 65536);
	free(zeros);
	doctor_finds("$ipc doctor", "/dev/shm", "No space left");
	close(fd);
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
janitor_suite(void)
{
	Suite *s = suite_create("janitor");
	TCase *tc = program_tcase(s, "list");

	tcase_add_loop_test(tc, each_kind_of_object_is_listed_with_its_holder,
	    0, HELD);
	tcase_add_test(tc, objects_of_other_programs_are_listed);
	tcase_add_test(tc, strange_names_are_shown_and_harmless);
	tcase_add_loop_test(tc, tables_come_as_json, 0, JSON_COMMANDS);
	tc = program_tcase(s, "gc");
	tcase_add_test(tc, gc_tells_and_removes_what_a_killed_listener_left);
	tc = program_tcase(s, "rm");
	tcase_add_test(tc, rm_removes_an_object_and_says_what_it_can_not);
	tcase_add_loop_test(tc, rm_removes_semaphores, 0, 3);
	tcase_add_test(tc, rm_of_several_removes_all_that_it_can);
	tc = program_tcase(s, "doctor");
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
	tcase_add_test(tc, doctor_finds_that_all_queues_are_taken);
	return s;
}

int
main(void)
{
	own_namespaces = unshare(CLONE_NEWIPC | CLONE_NEWNS) == 0 &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
	if (!own_namespaces)
		fprintf(stderr, "NOT TESTED HERE: objects of other programs, "
		    "a tiny and a full /dev/shm (wants root)\n");
	return program_run_all(janitor_suite());
}
