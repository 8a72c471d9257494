/* SPDX-License-Identifier: ISC */
/*
 * The commands of ipc(1) that look after objects: list, rm and gc.
 * check_doctor.c has the doctor.
 */
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "janitor.h"
#include "json.h"

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

START_TEST(a_socket_that_a_killed_one_left_is_an_orphan)
{
	struct program in, list, gc;
	const char *path = in_dir(held[_i].await), *line;
	char command[160];

	snprintf(command, sizeof command, "exec $ipc recv %s",
	    held[_i].receive);
	program_start(&in, NULL, command);
	await_file(path);
	kill(in.pid, SIGKILL);
	program_end(&in);
	program_free(&in);
	program_run(&list, 0, NULL, "$ipc list -lo");
	line = line_of(&list, "unix", path);
	assert_says(line, " orphan ");
	assert_says(line, " yes ");
	program_free(&list);
	program_run(&gc, 0, NULL, "$ipc gc");
	assert_says(gc.text, path);
	program_free(&gc);
	ck_assert_int_eq(access(path, F_OK), -1);
	program_run(&list, 0, NULL, "$ipc list");
	assert_silent_about(list.text, path);
	program_free(&list);
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
	assert_says(list.text, "a\"b\\c%1B[31m%FF\xc3\xa4 ");
	ck_assert_ptr_null(strchr(list.text, 0x1b));
	program_free(&list);
	program_run(&list, 0, NULL, "$ipc list --json");
	ck_assert(is_json(list.text));
	assert_says(list.text, "a\\\"b\\\\c%1B[31m%FF\xc3\xa4\"");
	program_free(&list);
	close(fd);
}
END_TEST

static const char *const json_commands[] = {
	"list -j", "list --json -a", "list -jlo", "gc -j", "gc --json -n",
	"doctor -j", "doctor --json -q"
};
#define JSON_COMMANDS	((int)(sizeof json_commands / sizeof json_commands[0]))

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

/* What the list shows is what rm takes. */
START_TEST(rm_takes_names_as_they_are_listed)
{
	static const char *const names[] = {
		"a%25b", "a%3Fb", "a%0Ab", "%FF%FE", "a%2541", "a b"
	};
	static const char *const schemes[] = { "sysvmq", "posixshm" };
	const char *name = names[_i / 2], *scheme = schemes[_i % 2];
	struct ipc_channel *ch;
	char address[96], listed[64], command[128];
	struct program p;

	snprintf(listed, sizeof listed, "%s%s-%ld", _i % 2 ? "/" : "", name,
	    (long)getpid());
	snprintf(address, sizeof address, "%s:%s", scheme, listed);
	setenv("IPC_RUNTIME_DIR", in_dir("run"), 1);
	ck_assert_int_eq(ipc_open(&ch, address, IPC_SEND | IPC_CREATE), 0);
	program_run(&p, 0, NULL, "$ipc list");
	ck_assert_msg(find_line(&p, scheme, listed) != NULL, "no %s in:\n%s",
	    address, p.text);
	program_free(&p);
	ipc_close(ch);
	snprintf(command, sizeof command, "$ipc rm '%s'", address);
	program_run(&p, 0, NULL, command);
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

static Suite *
janitor_suite(void)
{
	Suite *s = suite_create("janitor");
	TCase *tc = program_tcase(s, "list");

	tcase_add_loop_test(tc, each_kind_of_object_is_listed_with_its_holder,
	    0, HELD);
	tcase_add_loop_test(tc, a_socket_that_a_killed_one_left_is_an_orphan,
	    0, 3);
	tcase_add_test(tc, objects_of_other_programs_are_listed);
	tcase_add_test(tc, strange_names_are_shown_and_harmless);
	tcase_add_loop_test(tc, tables_come_as_json, 0, JSON_COMMANDS);
	tc = program_tcase(s, "gc");
	tcase_add_test(tc, gc_tells_and_removes_what_a_killed_listener_left);
	tc = program_tcase(s, "rm");
	tcase_add_test(tc, rm_removes_an_object_and_says_what_it_can_not);
	tcase_add_loop_test(tc, rm_takes_names_as_they_are_listed, 0, 12);
	tcase_add_loop_test(tc, rm_removes_semaphores, 0, 3);
	tcase_add_test(tc, rm_of_several_removes_all_that_it_can);
	return s;
}

int
main(void)
{
	begin_apart();
	return program_run_all(janitor_suite());
}
