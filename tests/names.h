/* SPDX-License-Identifier: ISC */
/*
 * What the tests of names share: a directory of their own with a runtime
 * directory in it, other processes, other users, and private mounts.
 */
#ifndef IPC_TESTS_NAMES_H
#define IPC_TESTS_NAMES_H

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "error.h"
#include "name.h"

#define NOBODY	54321		/* a user that owns nothing here */

static char top[64];		/* the directory of this test */
static char runtime[80];	/* and its runtime directory, not yet made */

static inline int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static inline void
names_setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(top, sizeof top, "%.40s/ipc-names.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chmod(top, 0755), 0);
	snprintf(runtime, sizeof runtime, "%s/run", top);
	ck_assert_int_eq(setenv("IPC_RUNTIME_DIR", runtime, 1), 0);
}

static inline void
names_teardown(void)
{
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in the test's directory; the strings last until the eighth next. */
static inline char *
in_top(const char *name)
{
	static char paths[8][512];
	static unsigned n;
	char *path = paths[n++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", top, name);
	return path;
}

static inline void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	close(fd);
}

static inline bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline unsigned
mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return (unsigned)st.st_mode & 07777;
}

/* How many entries a directory has that begin so. */
static inline int
count_entries(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 &&
		    strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static inline void
pause_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

static inline double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* How often something is repeated: n, times IPC_TEST_ROUNDS percent. */
static inline int
names_rounds(int n)
{
	const char *text = getenv("IPC_TEST_ROUNDS");
	long percent = text != NULL ? strtol(text, NULL, 10) : 100;
	long long result = (long long)n * (percent > 0 ? percent : 100) / 100;

	return result > 0 ? (int)result : 1;
}

/* Memory that forked processes share. */
static inline void *
shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/*
 * In another process.  What is not as it should be ends the child with a text
 * on its standard error and status 1.
 */

#define must(what) do {							\
	if (!(what)) {							\
		fprintf(stderr, "%s:%d: not so: %s (%s; %s)\n",		\
		    __FILE__, __LINE__, #what, ipc_errmsg(),		\
		    strerror(errno));					\
		_exit(1);						\
	}								\
} while (0)

/* Runs f() in a child and gives its pid once it has said that it is ready
 * (which f does by closing this descriptor, or by ending). */
static inline pid_t
start(void (*f)(void *arg, int ready), void *arg)
{
	int p[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		close(p[0]);
		f(arg, p[1]);
		_exit(0);
	}
	close(p[1]);
	ck_assert_int_eq(read(p[0], &byte, 1), 0);
	close(p[0]);
	return pid;
}

static inline int
wait_for(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void
kill_and_wait(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	wait_for(pid);
}

static inline void
run(void (*f)(void *arg, int ready), void *arg)
{
	ck_assert_int_eq(wait_for(start(f, arg)), 0);
}

/* Becomes another user, without the superuser's powers. */
static inline void
become(uid_t uid)
{
	must(setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) == 0);
	must(setresuid(uid, uid, uid) == 0);
}

/* /run and /tmp that nobody else sees, empty. */
static inline void
private_mounts(void)
{
	must(unshare(CLONE_NEWNS) == 0);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755") == 0);
	must(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") == 0);
}

static inline bool
can(bool mounts)
{
	const char *what = mounts ? "private mounts" : "other users";
	pid_t pid;
	int status = -1;

	if (geteuid() == 0 && !mounts)
		return true;
	pid = fork();
	if (pid == 0)
		_exit(geteuid() == 0 && unshare(CLONE_NEWNS) == 0 ? 0 : 1);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (status != 0)
		fprintf(stderr, "NOT TESTED HERE: %s (wants root)\n", what);
	return status == 0;
}

/*
 * Sockets
 */

/* As any program would connect: a descriptor or -errno. */
static inline int
connect_to(const char *path, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), rc;

	memcpy(sun.sun_path, path, strnlen(path, sizeof sun.sun_path));
	rc = connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ? fd :
	    -errno;
	if (rc < 0)
		close(fd);
	return rc;
}

static inline bool
connects(const char *path, int type)
{
	int fd = connect_to(path, type);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static inline void
bind_to(int fd, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	strlcpy(sun.sun_path, path, sizeof sun.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
}

/* A socket's name that nobody serves. */
static inline void
make_stale(const char *path, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	bind_to(fd, path);
	close(fd);
}

static inline void
fails_with(int code, int rc, const char *what)
{
	if (rc != -code)
		ck_abort_msg("%d where %d is due: %s", rc, -code, ipc_errmsg());
	if (strstr(ipc_errmsg(), what) == NULL)
		ck_abort_msg("\"%s\" is not about \"%s\"", ipc_errmsg(), what);
}

#endif
