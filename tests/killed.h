/* SPDX-License-Identifier: ISC */
/*
 * A process that is killed before one of its calls of the system, whichever the
 * test says; or that does something before each of them, if the test wants it.
 * The test wraps those calls; open and openat are wrapped here.
 */
#ifndef IPC_TESTS_KILLED_H
#define IPC_TESTS_KILLED_H

#include <sys/wait.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <check.h>
#include <ipc/ipc.h>

static int left;	/* calls until this process is killed; 0: all */
static void (*before_call)(void);	/* this is done, if not NULL */
static bool named;	/* as on a file system without nameless files */

static inline void
step(void)
{
	if (left > 0 && --left == 0)
		kill(getpid(), SIGKILL);
	if (before_call != NULL)
		before_call();
}

#define STEP(type, name, parameters, arguments)				\
	type __real_ ## name parameters;				\
	type __wrap_ ## name parameters;				\
	type								\
	__wrap_ ## name parameters					\
	{								\
		step();							\
		return __real_ ## name arguments;			\
	}

static inline bool
refused(int flags)
{
	if (!named || (flags & O_TMPFILE) != O_TMPFILE)
		return false;
	errno = EOPNOTSUPP;
	return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int
__wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	step();
	return refused(flags) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	step();
	return refused(flags) ? -1 : __real_openat(dir, path, flags, mode);
}

/* Runs f() in a child that is killed before this call: was it?  Or it had
 * fewer calls, and did what it was to do. */
static inline bool
killed_at(int call, int (*f)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		before_call = NULL;
		left = call;
		status = f();
		left = 0;
		if (status < 0)
			fprintf(stderr, "%s\n", ipc_errmsg());
		_exit(status < 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		ck_assert_int_eq(status, 0);
	return WIFSIGNALED(status);
}

#endif
