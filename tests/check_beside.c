/* SPDX-License-Identifier: ISC */
/* WRAP: open openat mkfifo bind unlinkat unlink renameat2 renameat symlinkat
 * close fchmod chmod listen */
/*
 * Whoever makes something at a path of the user's is killed before each of its
 * calls of the system in turn.  ipc_gc() finds what it leaves there, though
 * nobody makes anything in that directory again: what has a hidden name, and
 * sockets, but nothing of the living or of others.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>

#include "killed.h"
#include "suite.h"
#include "support.h"

static char top[64], work[80], run[80];
/*
 * Calls of the system
 */

STEP(int, close, (int fd), (fd))
STEP(int, mkfifo, (const char *p, mode_t m), (p, m))
STEP(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
STEP(int, unlinkat, (int d, const char *p, int f), (d, p, f))
STEP(int, unlink, (const char *p), (p))
STEP(int, renameat2, (int a, const char *p, int b, const char *q, unsigned f),
    (a, p, b, q, f))
STEP(int, renameat, (int a, const char *p, int b, const char *q), (a, p, b, q))
STEP(int, fchmod, (int fd, mode_t m), (fd, m))
STEP(int, chmod, (const char *p, mode_t m), (p, m))
STEP(int, listen, (int fd, int n), (fd, n))
STEP(int, symlinkat, (const char *t, int d, const char *p), (t, d, p))

/*
 * Making
 */

enum what { LISTENER, OPENED, TWO_ENDS, MUTEX, MEMORY };

static const struct maker {
	enum what	 what;
	const char	*scheme;
	const char	*rest;
	bool		 stale;		/* a dead one's socket is in the way */
	bool		 named;		/* without nameless files */
} makers[] = {
	{ LISTENER, "unix", "", false, false },
	{ LISTENER, "unix", "", true, false },
	{ LISTENER, "pipe", "", false, false },
	{ LISTENER, "fifo", "", true, false },
	{ OPENED, "unixgram", "", false, false },
	{ OPENED, "unixgram", "", true, false },
	{ OPENED, "fifo", "", false, false },
	{ TWO_ENDS, "fifo", "", false, false },
	{ OPENED, "mmap", "", false, true },
	{ TWO_ENDS, "mmap", "", false, true },
	{ OPENED, "file", "", false, true },
	{ TWO_ENDS, "file", "", false, true },
	{ MUTEX, "filelock", "", false, false },
	{ MEMORY, "mmap", "?size=8192", false, false }
};
#define MAKERS	((int)(sizeof makers / sizeof makers[0]))

static const struct maker *maker;

static int
make(void)
{
	const struct maker *m = maker;
	struct ipc_channel *ch, *ends[2];
	struct ipc_listener *l;
	struct ipc_region *region;
	struct ipc_mutex *mutex;
	char address[128];

	snprintf(address, sizeof address, "%s:%s/made%s", m->scheme, work,
	    m->rest);
	switch (m->what) {
	case LISTENER:
		return ipc_listen(&l, address, 0);
	case OPENED:
		return ipc_open(&ch, address, IPC_RECV | IPC_CREATE);
	case TWO_ENDS:
		return ipc_pair(ends, address, IPC_RECV);
	case MUTEX:
		return ipc_mutex_open(&mutex, address, IPC_CREATE);
	default:
		return ipc_region_open(&region, address, IPC_CREATE);
	}
}

/* Another program's, which stays while nobody wants its name.  Open, so that
 * no other file gets its number. */
static struct stat foreign;
static int foreign_fd = -1;

static void
leave_stale(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	expect_sys(fd);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/made", work);
	expect_sys(bind(fd, (struct sockaddr *)&sun, sizeof sun));
	close(fd);
	foreign_fd = open(sun.sun_path, O_PATH | O_CLOEXEC);
	expect_sys(foreign_fd);
	expect_sys(fstat(foreign_fd, &foreign));
}

static bool
was_killed_at(int call)
{
	if (maker->stale)
		leave_stale();
	named = maker->named;
	return killed_at(call, make);
}

/*
 * Looking
 */

/* Entries of a directory: hidden ones, or links. */
static int
count(const char *dir, bool links)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (links ? e->d_type == DT_LNK : e->d_name[0] == '.' &&
		    strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static void
remove_made(void)
{
	char path[120];

	snprintf(path, sizeof path, "%s/made", work);
	ck_assert(unlink(path) == 0 || errno == ENOENT);
}

/* Is there a socket of ours? */
static bool
has_name(void)
{
	char path[120];
	struct stat st;

	snprintf(path, sizeof path, "%s/made", work);
	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    (foreign_fd == -1 || st.st_ino != foreign.st_ino);
}

static int told_there;

static void
tell(const char *what, void *user)
{
	(void)user;
	if (strncmp(what, work, strlen(work)) == 0)
		told_there++;
}

START_TEST(what_a_killed_maker_left_at_a_path_is_collected)
{
	int call, there, all = 0;
	bool killed = true;

	maker = &makers[_i];
	for (call = 1; killed; call++) {
		killed = was_killed_at(call);
		there = count(work, false) + has_name();
		all += there;
		/* Looking removes nothing. */
		expect_ok(ipc_leftovers(NULL, NULL));
		ck_assert_int_eq(count(work, false) + has_name(), there);
		expect_ok(ipc_gc(tell, NULL));
		ck_assert_msg(count(work, false) + has_name() == 0, "%s: "
		    "killed before call %d: something stays", maker->scheme,
		    call);
		ck_assert_int_eq(count(run, true), 0);
		expect(0, ipc_leftovers(NULL, NULL));
		remove_made();
		close(foreign_fd);
		foreign_fd = -1;
	}
	ck_assert_int_eq(told_there, all);
	ck_assert_int_gt(all, 0);
}
END_TEST

/*
 * What is no leftover
 */

static void
hidden_name(char *name, size_t size, pid_t pid)
{
	snprintf(name, size, ".x.ipc-%ld.0.1", (long)pid);
}

static pid_t
dead_pid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	expect_sys(pid);
	expect_sys(waitpid(pid, NULL, 0));
	return pid;
}

static void
put_note(const char *name, const char *target)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", run, name);
	expect_sys(symlink(target, path));
}

static void
put_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	expect_sys(fd);
	close(fd);
}

START_TEST(a_living_makers_file_stays)
{
	char name[64], path[160];

	hidden_name(name, sizeof name, getpid());
	snprintf(path, sizeof path, "%s/%s", work, name);
	put_file(path);
	put_note(name, path);
	expect(0, ipc_gc(NULL, NULL));
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(count(run, true), 1);
	unlink(path);
	snprintf(path, sizeof path, "%s/%s", run, name);
	unlink(path);
}
END_TEST

/* A maker's socket that a child has inherited. */
START_TEST(a_socket_that_is_still_served_stays)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char name[64];

	hidden_name(name, sizeof name, dead_pid());
	snprintf(sun.sun_path, sizeof sun.sun_path, "%.60s/%.40s", work, name);
	expect_sys(fd);
	expect_sys(bind(fd, (struct sockaddr *)&sun, sizeof sun));
	expect_sys(listen(fd, 1));
	put_note(name, sun.sun_path);
	expect(0, ipc_gc(NULL, NULL));
	ck_assert_int_eq(access(sun.sun_path, F_OK), 0);
	close(fd);
	expect(1, ipc_gc(NULL, NULL));
	ck_assert_int_eq(access(sun.sun_path, F_OK), -1);
	ck_assert_int_eq(count(run, true), 0);
}
END_TEST

/* A note speaks only of what has its own name. */
START_TEST(a_note_leads_to_nothing_else)
{
	char name[64], path[160];

	hidden_name(name, sizeof name, dead_pid());
	snprintf(path, sizeof path, "%s/precious", work);
	put_file(path);
	put_note(name, path);
	expect(1, ipc_gc(NULL, NULL));
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(count(run, true), 0);
	put_note(name, "relative");
	expect(1, ipc_gc(NULL, NULL));
	put_note(name, "/");
	expect(1, ipc_gc(NULL, NULL));
	ck_assert_int_eq(count(run, true), 0);
	unlink(path);
}
END_TEST

static Suite *
beside_suite(void)
{
	Suite *s = suite_create("beside");
	TCase *tc = tcase_create("killed");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc,
	    what_a_killed_maker_left_at_a_path_is_collected, 0, MAKERS);
	suite_add_tcase(s, tc);
	tc = tcase_create("kept");
	tcase_add_test(tc, a_living_makers_file_stays);
	tcase_add_test(tc, a_socket_that_is_still_served_stays);
	tcase_add_test(tc, a_note_leads_to_nothing_else);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	const char *tmp = getenv("TMPDIR");
	char command[128];
	int bad;

	snprintf(top, sizeof top, "%.40s/ipc-beside.XXXXXX",
	    tmp ? tmp : "/tmp");
	if (mkdtemp(top) == NULL)
		abort();
	snprintf(run, sizeof run, "%s/run", top);
	snprintf(work, sizeof work, "%s/work", top);
	setenv("IPC_RUNTIME_DIR", run, 1);
	left_begin(top);
	if (mkdir(run, 0700) == -1 || mkdir(work, 0700) == -1)
		abort();
	bad = suite_run(beside_suite());
	snprintf(command, sizeof command, "rm -rf '%s'", top);
	return system(command) != 0 || bad != 0;
}
