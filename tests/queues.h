/* SPDX-License-Identifier: ISC */
/*
 * What the tests of message queues have in common.
 */
#ifndef IPC_TESTS_QUEUES_H
#define IPC_TESTS_QUEUES_H

#include <sys/stat.h>
#include <sys/wait.h>
#include <grp.h>

#include "limits.h"

#define STRANGER	4711
#define KEY		0x1bc0ffee

static const char *const schemes[] __attribute__((unused)) = {
	"posixmq", "sysvmq"
};
static char text[128];

static inline void
begin_with(const char *scheme, enum ipc_way way)
{
	here.scheme = scheme;
	here.way = way;
	claim_queues();
}

static inline const char *
name_of(const char *scheme, const char *options)
{
	snprintf(text, sizeof text, "%s:/check-%d%s%s", scheme, (int)getpid(),
	    options[0] != '\0' ? "?" : "", options);
	return text;
}

/* In a child that is an ordinary user, whose queues are counted apart. */
static inline void
as_stranger(void (*f)(void))
{
	char run[256];
	pid_t pid;
	int status;

	if (geteuid() != 0) {
		skip_loudly("limits of another user: wants to be root");
		return;
	}
	snprintf(run, sizeof run, "%s/stranger", temporary_dir());
	expect_sys(chmod(temporary_dir(), 0711));
	expect_sys(pid = fork());
	if (pid == 0) {
		expect_sys(mkdir(run, 0700));
		expect_sys(chown(run, STRANGER, STRANGER));
		expect_sys(setgroups(0, NULL));
		expect_sys(setresgid(STRANGER, STRANGER, STRANGER));
		expect_sys(setresuid(STRANGER, STRANGER, STRANGER));
		expect_sys(setenv("IPC_RUNTIME_DIR", run, 1));
		f();
		_exit(0);
	}
	expect(pid, waitpid(pid, &status, 0));
	rmdir(run);
	expect_sys(chmod(temporary_dir(), 0700));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		ck_abort_msg("%s: the stranger ended with status 0x%x",
		    where(), (unsigned)status);
}

#endif
