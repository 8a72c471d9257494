/* SPDX-License-Identifier: ISC */
/*
 * Programs that a test starts, feeds and waits for.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"
#include "suite.h"
#include "support.h"

static char directory[PATH_MAX];

/* Milliseconds; more where everything is slower, as libcheck knows it. */
static int
ticks(void)
{
	const char *times = getenv("CK_TIMEOUT_MULTIPLIER");

	return PROGRAM_SECONDS * 1000 * (times ? atoi(times) : 1);
}

static void
tick(void)
{
	static const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

/* Where the built things are: the build says it, or it is the top of the
 * source tree. */
static void
set_places(void)
{
	const char *build = getenv("IPC_BUILD"), *ipc = getenv("IPC_COMMAND");
	char path[PATH_MAX];

	if (!ipc) {
		snprintf(path, sizeof path, "%s/ipc", build ? build : ".");
		setenv("ipc", path, 1);
	} else
		setenv("ipc", ipc, 1);
	snprintf(path, sizeof path, "%s/examples", build ? build : "obj");
	setenv("examples", path, 1);
	memset(path, 0, sizeof path);
	ck_assert(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
	setenv("self", path, 1);
}

static void
set_up(void)
{
	const char *where = getenv("TMPDIR");
	char name[32];

	snprintf(directory, sizeof directory, "%s/p.XXXXXX",
	    where ? where : "/tmp");
	ck_assert_msg(mkdtemp(directory) != NULL, "%s: %s", directory,
	    strerror(errno));
	setenv("dir", directory, 1);
	setenv("IPC_RUNTIME_DIR", in_dir("run"), 1);
	snprintf(name, sizeof name, "ipc-test-%d", (int)getpid());
	setenv("name", name, 1);
	set_places();
}

static int
remove_all(const char *path)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof command, "rm -rf '%s'", path);
	return system(command);
}

static void
tear_down(void)
{
	ck_assert_int_eq(remove_all(directory), 0);
}

TCase *
program_tcase(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 3 * PROGRAM_SECONDS);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	suite_add_tcase(s, tc);
	return tc;
}

int
program_run_all(Suite *s)
{
	const char *where = getenv("TMPDIR");
	char top[PATH_MAX];
	int bad;

	/* Short, as a socket's path has 107 bytes. */
	snprintf(top, sizeof top, "%s/t.XXXXXX", where ? where : "/tmp");
	if (!mkdtemp(top) || setenv("TMPDIR", top, 1) < 0) {
		perror(top);
		return 1;
	}
	bad = suite_run(s);
	return remove_all(top) != 0 || bad != 0;
}

const char *
in_dir(const char *name)
{
	static char buffers[4][PATH_MAX + 64];
	static unsigned next;
	char *path = buffers[next++ % 4];

	snprintf(path, sizeof buffers[0], "%s/%s", directory, name);
	return path;
}

static int
memory_file(const void *data, size_t size)
{
	int fd = memfd_create("program", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	if (size > 0)
		ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
become(int in, int out, int err, const char *command)
{
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(126);
}

void
program_start_bytes(struct program *p, const void *input, size_t size,
    const char *command)
{
	int in = memory_file(input, size);

	if (strstr(command, "mq:") != NULL)
		claim_queues();
	*p = (struct program){ .out = memory_file(NULL, 0),
	    .err = memory_file(NULL, 0), .status = -1 };
	p->pid = fork();
	ck_assert_int_ge(p->pid, 0);
	if (p->pid == 0)
		become(in, p->out, p->err, command);
	close(in);
}

void
program_start(struct program *p, const char *input, const char *command)
{
	program_start_bytes(p, input, input ? strlen(input) : 0, command);
}

static char *
contents(int fd, size_t *length)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text;

	ck_assert_int_ge(size, 0);
	text = calloc(1, (size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
	if (length)
		*length = (size_t)size;
	return text;
}

static bool
reaped(struct program *p)
{
	int how;
	pid_t got = waitpid(p->pid, &how, WNOHANG);

	if (got == 0)
		return false;
	ck_assert_int_eq(got, p->pid);
	p->status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
	return true;
}

int
program_end(struct program *p)
{
	bool in_time = reaped(p);

	for (int i = 0; i < ticks() && !in_time; i++) {
		tick();
		in_time = reaped(p);
	}
	if (!in_time) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	p->text = contents(p->out, &p->length);
	p->errors = contents(p->err, NULL);
	ck_assert_msg(in_time, "a program does not end; it said: %s%s",
	    p->text, p->errors);
	return p->status;
}

void
program_free(struct program *p)
{
	close(p->out);
	close(p->err);
	free(p->text);
	free(p->errors);
}

void
program_run(struct program *p, int status, const char *input,
    const char *command)
{
	program_start(p, input, command);
	program_end(p);
	ck_assert_msg(p->status == status, "%s: exit status %d, not %d: %s",
	    command, p->status, status, p->errors);
}

void
program_line(struct program *p, char *line, size_t size)
{
	for (int i = 0; i < ticks(); i++) {
		ssize_t n = pread(p->out, line, size - 1, 0);
		char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

		if (end) {
			*end = '\0';
			return;
		}
		ck_assert_msg(!reaped(p), "a program ended with %d: %s",
		    p->status, contents(p->err, NULL));
		tick();
	}
	ck_abort_msg("a program prints nothing");
}

void
await_file(const char *name)
{
	for (int i = 0; i < ticks(); i++) {
		if (access(name, F_OK) == 0)
			return;
		tick();
	}
	ck_abort_msg("%s does not come", name);
}
