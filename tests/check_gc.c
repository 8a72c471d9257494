/* SPDX-License-Identifier: ISC */
/*
 * ipc_gc(): processes are killed at random instants while they make, use and
 * end pairs and sessions of every mechanism, and collections run beside them.
 * Afterwards nothing lies about, every name can be listened at again, and who
 * lives has lost nothing.
 */
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <time.h>

#include "suite.h"
#include "support.h"

#define ROUNDS		400
#define LIFE_US		6000	/* the longest life of a victim */

static char top[64];

/* What is met where: a name of the runtime directory, or a path. */
static const struct {
	const char	*scheme;
	bool		 path;
} met[] = {
	{ "pipe", false }, { "fifo", true }, { "unix", true },
	{ "unixpacket", true }, { "unixgram", true }, { "sysvmq", false },
	{ "posixmq", false }, { "sysvshm", false }, { "posixshm", false },
	{ "memfd", false }, { "mmap", true }, { "file", true },
	{ "mq", false }, { "shm", false }, { "local", false }
};
#define MET	((int)(sizeof met / sizeof met[0]))

/* What a victim found wrong before it was killed. */
struct wrong {
	char		 text[512];
};
static struct wrong *wrong;

static bool
there_is(int i)
{
	const struct ipc_mechanism *m = ipc_mechanism(met[i].scheme);

	if (strstr(met[i].scheme, "mq") != NULL)
		claim_queues();
	return m && m->ways & SESSION;
}

static void
address_at(char *address, size_t size, int i, const char *name)
{
	if (met[i].path)
		snprintf(address, size, "%s:%s/%s", met[i].scheme, top, name);
	else
		snprintf(address, size, "%s:%s", met[i].scheme, name);
}

static pid_t
forked(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	expect_sys(pid);
	return pid;
}

/* What this thread's last error says, if rc is one. */
static bool
note_if_wrong(const char *what, const char *address, long rc)
{
	if (rc >= 0)
		return false;
	if (wrong->text[0] == '\0')
		snprintf(wrong->text, sizeof wrong->text, "%s %s: %ld: %s",
		    what, address, rc, ipc_errmsg());
	return true;
}

/*
 * The living: a child at the other end of a session, who sends back what comes.
 */

struct living {
	struct ipc_channel *ch;
	pid_t		 pid;
};

static void
echo(struct ipc_channel *ch)
{
	char buffer[256];
	ssize_t n;

	while ((n = ipc_recv(ch, buffer, sizeof buffer, -1)) >= 0)
		if (ipc_send(ch, buffer, (size_t)n, SOON) < 0)
			break;
	ipc_close(ch);
}

/* twice: who has connected forks, and only the fork goes on. */
static void
connect_and_echo(const char *address, bool twice)
{
	struct ipc_channel *ch;

	if (ipc_connect(&ch, address, 0, SOON) < 0) {
		fprintf(stderr, "%s: %s\n", address, ipc_errmsg());
		_exit(1);
	}
	if (twice && fork() > 0)
		_exit(0);
	echo(ch);
	_exit(0);
}

static struct living
living_at(int i, const char *name, bool twice)
{
	struct ipc_listener *l;
	struct living who;
	char address[128];

	address_at(address, sizeof address, i, name);
	expect(0, ipc_listen(&l, address, 0));
	who.pid = forked();
	if (who.pid == 0) {
		ipc_listener_close(l);
		connect_and_echo(address, twice);
	}
	expect(0, ipc_accept(&who.ch, l, SOON));
	expect(0, ipc_listener_close(l));
	return who;
}

static void
ask(struct living *who, int i)
{
	char out[200], in[200] = "";

	snprintf(out, sizeof out, "are you there, %s?", met[i].scheme);
	expect(0, ipc_send(who->ch, out, sizeof out, SOON));
	expect((long)sizeof out, ipc_recv(who->ch, in, sizeof in, SOON));
	ck_assert_str_eq(in, out);
}

static void
part(struct living *who)
{
	int status;

	expect(0, ipc_close(who->ch));
	expect_sys(waitpid(who->pid, &status, 0));
	ck_assert_int_eq(status, 0);
}

/*
 * The victims
 */

static void
talk_in_pair(const char *scheme)
{
	struct ipc_channel *ends[2];
	char address[32], byte = 1;
	long rc;

	snprintf(address, sizeof address, "%s:", scheme);
	rc = ipc_pair(ends, address, 0);
	if (note_if_wrong("ipc_pair", address, rc))
		_exit(1);
	rc = ipc_send(ends[0], &byte, 1, SOON);
	if (rc >= 0)
		rc = ipc_recv(ends[1], &byte, 1, SOON);
	if (note_if_wrong("talking in a pair", address, rc))
		_exit(1);
	ipc_close(ends[0]);
	ipc_close(ends[1]);
}

static void
be_client(const char *address)
{
	struct ipc_channel *ch;
	char byte = 1;
	long rc;

	rc = ipc_connect(&ch, address, 0, SOON);
	if (note_if_wrong("ipc_connect", address, rc))
		_exit(1);
	rc = ipc_send(ch, &byte, 1, SOON);
	if (rc >= 0)
		rc = ipc_recv(ch, &byte, 1, SOON);
	note_if_wrong("a client's talk", address, rc);
	ipc_close(ch);
	_exit(0);
}

static void
talk_in_session(const char *address)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char byte;
	pid_t pid;
	long rc;

	rc = ipc_listen(&l, address, 0);
	if (note_if_wrong("ipc_listen", address, rc))
		_exit(1);
	pid = fork();
	if (pid == 0)
		be_client(address);
	rc = ipc_accept(&ch, l, SOON);
	if (note_if_wrong("ipc_accept", address, rc))
		_exit(1);
	rc = ipc_recv(ch, &byte, 1, SOON);
	if (rc >= 0)
		rc = ipc_send(ch, &byte, 1, SOON);
	note_if_wrong("a server's talk", address, rc);
	waitpid(pid, NULL, 0);
	ipc_close(ch);
	ipc_listener_close(l);
}

static void
be_victim(int i)
{
	char address[128];

	setpgid(0, 0);
	address_at(address, sizeof address, i, "victim");
	for (;;) {
		talk_in_pair(met[i].scheme);
		talk_in_session(address);
	}
}

static void
pause_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

/* Its children are ours once it is dead (PR_SET_CHILD_SUBREAPER). */
static void
kill_all(pid_t pid)
{
	expect_sys(kill(-pid, SIGKILL));
	while (waitpid(-pid, NULL, 0) > 0)
		continue;
	ck_assert_int_eq(errno, ECHILD);
}

/* A name that dead ones had refuses nobody. */
static void
listen_again(int i)
{
	struct ipc_listener *l;
	char address[128];

	address_at(address, sizeof address, i, "victim");
	expect(0, ipc_listen(&l, address, 0));
	expect(0, ipc_listener_close(l));
}

static void
one_round(int i)
{
	pid_t pid = forked();

	if (pid == 0)
		be_victim(i);
	setpgid(pid, pid);
	pause_us(random() % LIFE_US);
	if (random() % 4 == 0)
		expect_ok(ipc_gc(NULL, NULL));
	pause_us(random() % LIFE_US);
	kill_all(pid);
	ck_assert_msg(wrong->text[0] == '\0', "%s", wrong->text);
	expect_ok(ipc_gc(NULL, NULL));
	if (met[i].path)
		listen_again(i);
}

static void
assert_same(const char *before, const char *what, const char *scheme)
{
	char *after = left_things();
	const char *line = left_difference(before, after);

	ck_assert_msg(line == NULL, "%s, %s: %s", scheme, what, line);
	free(after);
}

START_TEST(what_the_killed_left_goes_and_what_lives_stays)
{
	struct living other;
	char *before;

	if (!there_is(_i))
		return;
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	srandom((unsigned)getpid() + (unsigned)_i);
	expect_ok(ipc_gc(NULL, NULL));
	other = living_at(_i, "living", false);
	/* What a channel makes when it first waits is there from here on. */
	expect(-ETIMEDOUT, ipc_recv(other.ch, NULL, 0, 1));
	ask(&other, _i);
	before = left_things();
	for (int n = rounds(ROUNDS / MET); n > 0; n--) {
		one_round(_i);
		ask(&other, _i);
		assert_same(before, "left behind or gone", met[_i].scheme);
		if (!met[_i].path)
			listen_again(_i);
	}
	free(before);
	part(&other);
	expect(0, ipc_gc(NULL, NULL));
}
END_TEST

START_TEST(what_only_a_forked_child_holds_stays)
{
	struct living other;

	if (!there_is(_i))
		return;
	expect_sys(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	other = living_at(_i, "forked", true);
	expect_sys(waitpid(other.pid, NULL, 0));
	for (int n = 0; n < 3; n++) {
		expect_ok(ipc_gc(NULL, NULL));
		ask(&other, _i);
	}
	expect(0, ipc_close(other.ch));
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	expect(0, ipc_gc(NULL, NULL));
}
END_TEST

START_TEST(a_listener_that_waits_is_not_removed)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char address[128];
	pid_t pid;

	if (!there_is(_i))
		return;
	address_at(address, sizeof address, _i, "waits");
	expect(0, ipc_listen(&l, address, 0));
	expect(0, ipc_gc(NULL, NULL));
	pid = forked();
	if (pid == 0)
		connect_and_echo(address, false);
	expect(0, ipc_accept(&ch, l, SOON));
	expect(0, ipc_close(ch));
	expect_sys(waitpid(pid, NULL, 0));
	expect(0, ipc_listener_close(l));
}
END_TEST

/* An opened object waits for its next user. */
START_TEST(an_object_that_has_a_name_is_no_leftover)
{
	static const char *const opened[] = {
		"sysvmq:jobs", "posixmq:/jobs", "sysvshm:jobs",
		"posixshm:/jobs"
	};
	struct ipc_channel *ch;
	char buffer[8];
	pid_t pid;

	pid = forked();
	if (pid == 0) {
		for (int i = 0; i < 4; i++)
			if (ipc_open(&ch, opened[i], IPC_SEND | IPC_CREATE) <
			    0 || ipc_send(ch, "job", 3, 0) < 0)
				_exit(1);
		raise(SIGKILL);
	}
	expect_sys(waitpid(pid, NULL, 0));
	expect_ok(ipc_gc(NULL, NULL));
	for (int i = 0; i < 4; i++) {
		expect(0, ipc_open(&ch, opened[i], IPC_RECV));
		expect(3, ipc_recv(ch, buffer, sizeof buffer, SOON));
		expect(0, ipc_close(ch));
		expect(0, ipc_unlink(opened[i]));
	}
	expect_ok(ipc_gc(NULL, NULL));
}
END_TEST

/*
 * Telling
 */

struct told {
	int	count;
	char	text[2000];
};

static void
note(const char *what, void *user)
{
	struct told *t = user;

	t->count++;
	strlcat(t->text, what, sizeof t->text);
	strlcat(t->text, "\n", sizeof t->text);
}

static void
tell(const char *what, void *user)
{
	struct stat st;

	ck_assert_msg(lstat(what, &st) == 0, "%s is not there", what);
	note(what, user);
}

static void
leave_names(void)
{
	struct ipc_listener *l;
	pid_t pid = forked();

	if (pid == 0) {
		if (ipc_listen(&l, "memfd:one", 0) < 0 ||
		    ipc_listen(&l, "pipe:two", 0) < 0)
			_exit(1);
		raise(SIGKILL);
	}
	expect_sys(waitpid(pid, NULL, 0));
}

START_TEST(looking_tells_what_removing_removes)
{
	struct told look = { .count = 0 }, gone = { .count = 0 };
	struct ipc_listener *l;

	expect_ok(ipc_gc(NULL, NULL));
	expect(0, ipc_listen(&l, "memfd:lives", 0));
	leave_names();
	expect(2, ipc_leftovers(tell, &look));
	expect(2, ipc_leftovers(NULL, NULL));
	ck_assert_int_eq(look.count, 2);
	ck_assert_ptr_nonnull(strstr(look.text, "memfd-one\n"));
	ck_assert_ptr_nonnull(strstr(look.text, "pipe-two\n"));
	expect(2, ipc_gc(tell, &gone));
	ck_assert_str_eq(gone.text, look.text);
	expect(0, ipc_leftovers(NULL, NULL));
	expect(0, ipc_gc(NULL, NULL));
	expect(0, ipc_listener_close(l));
}
END_TEST

static pid_t
dead_pid(void)
{
	pid_t pid = forked();

	if (pid == 0)
		_exit(0);
	expect_sys(waitpid(pid, NULL, 0));
	return pid;
}

/* Its maker was killed between mq_open and mq_unlink, and nothing is mounted on
 * /dev/mqueue. */
START_TEST(a_queue_that_nobody_can_see_is_found)
{
	struct told t = { .count = 0 };
	char name[80];
	mqd_t mq;

	if (!left_private())
		return;
	umount("/dev/mqueue");
	snprintf(name, sizeof name, "/.pair.ipc-%d.0.0", (int)dead_pid());
	mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	expect_sys(mq);
	expect_sys(mq_close(mq));
	expect(1, ipc_gc(note, &t));
	ck_assert_ptr_nonnull(strstr(t.text, name));
	ck_assert_int_eq(strncmp(t.text, "posixmq:/", 9), 0);
	ck_assert_int_eq(mq_unlink(name), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(a_directory_that_can_not_be_trusted_is_an_error)
{
	char run[80], link[80];

	snprintf(run, sizeof run, "%s/open", top);
	snprintf(link, sizeof link, "%s/link", top);
	expect_sys(mkdir(run, 0700));
	expect_sys(chmod(run, 0777));
	expect_sys(symlink(run, link));
	setenv("IPC_RUNTIME_DIR", run, 1);
	expect(-EPERM, ipc_gc(NULL, NULL));
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), run));
	setenv("IPC_RUNTIME_DIR", link, 1);
	expect(-ELOOP, ipc_leftovers(NULL, NULL));
	setenv("IPC_RUNTIME_DIR", "open", 1);
	expect(-EINVAL, ipc_gc(NULL, NULL));
	unlink(link);
	rmdir(run);
}
END_TEST

START_TEST(where_nothing_is_nothing_is_removed)
{
	char run[80];

	snprintf(run, sizeof run, "%s/never-made", top);
	setenv("IPC_RUNTIME_DIR", run, 1);
	expect(0, ipc_gc(NULL, NULL));
	ck_assert_int_eq(access(run, F_OK), -1);
}
END_TEST

static Suite *
gc_suite(void)
{
	Suite *s = suite_create("gc");
	TCase *tc = tcase_create("killed");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_the_killed_left_goes_and_what_lives_stays,
	    0, MET);
	suite_add_tcase(s, tc);
	tc = tcase_create("held");
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, what_only_a_forked_child_holds_stays, 0, MET);
	tcase_add_loop_test(tc, a_listener_that_waits_is_not_removed, 0, MET);
	tcase_add_test(tc, an_object_that_has_a_name_is_no_leftover);
	suite_add_tcase(s, tc);
	tc = tcase_create("told");
	tcase_add_test(tc, looking_tells_what_removing_removes);
	tcase_add_test(tc, a_queue_that_nobody_can_see_is_found);
	tcase_add_test(tc, a_directory_that_can_not_be_trusted_is_an_error);
	tcase_add_test(tc, where_nothing_is_nothing_is_removed);
	suite_add_tcase(s, tc);
	return s;
}

static void
begin_here(void)
{
	const char *tmp = getenv("TMPDIR");
	char run[80];

	snprintf(top, sizeof top, "%.40s/ipc-gc.XXXXXX", tmp ? tmp : "/tmp");
	if (mkdtemp(top) == NULL)
		abort();
	snprintf(run, sizeof run, "%s/run", top);
	setenv("IPC_RUNTIME_DIR", run, 1);
	left_begin(top);
	if (!left_private())
		skip_loudly("what is left of System V objects and POSIX "
		    "queues (wants root)");
	wrong = mmap(NULL, sizeof *wrong, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (wrong == MAP_FAILED)
		abort();
}

int
main(void)
{
	char command[128];
	int bad;

	begin_here();
	bad = suite_run(gc_suite());
	snprintf(command, sizeof command, "rm -rf '%s'", top);
	return system(command) != 0 || bad != 0;
}
