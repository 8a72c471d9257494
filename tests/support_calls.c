/* SPDX-License-Identifier: ISC */
/*
 * Counts the system calls that a piece of work makes: the work runs in a child
 * that is traced, between two calls that nothing else makes.
 */
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>

#include "support.h"

#define MARK	0x1bc0ffee

static void
mark(void)
{
	syscall(SYS_getpgid, MARK);
}

static _Noreturn void
traced(void (*prepare)(void *), void (*work)(void *), void (*after)(void *),
    void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
		_exit(77);
	raise(SIGSTOP);
	prepare(arg);
	mark();
	work(arg);
	mark();
	after(arg);
	_exit(0);
}

/* The number of the call that is being entered; -1 on its way out. */
static long
entered(pid_t pid, bool *is_mark)
{
	struct __ptrace_syscall_info info;

	memset(&info, 0, sizeof info);
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return -1;
	*is_mark = info.entry.nr == SYS_getpgid && info.entry.args[0] == MARK;
	return (long)info.entry.nr;
}

int
count_calls(void (*prepare)(void *), void (*work)(void *),
    void (*after)(void *), void *arg, long *numbers, int room)
{
	int status, signo = 0, marks = 0, n = 0;
	pid_t pid = fork();
	bool is_mark;
	long nr;

	expect_sys(pid);
	if (pid == 0)
		traced(prepare, work, after, arg);
	expect_sys(waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return -1;
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	    (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signo);
		expect_sys(waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		signo = WSTOPSIG(status);
		if (signo != (SIGTRAP | 0x80))
			continue;
		signo = 0;
		is_mark = false;
		nr = entered(pid, &is_mark);
		marks += is_mark;
		if (nr != -1 && !is_mark && marks == 1 && n++ < room)
			numbers[n - 1] = nr;
	}
	expect_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	expect_true(marks == 2);
	return n;
}
