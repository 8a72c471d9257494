/* SPDX-License-Identifier: ISC */
/*
 * ipc lock: a program under a mutex.
 */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

/* The signals of a terminal are the program's business: whoever ended here
 * would let it run without the lock. */
static int
run_program(char *argv[])
{
	void (*intr)(int) = signal(SIGINT, SIG_IGN);
	void (*quit)(int) = signal(SIGQUIT, SIG_IGN);
	int status = EXIT_FAILED;
	pid_t child;

	signal(SIGCHLD, SIG_DFL);	/* ignored, it leaves no status */
	child = fork();
	if (child == 0) {
		signal(SIGINT, intr);
		signal(SIGQUIT, quit);
		execvp(argv[0], argv);
		warn("%s", argv[0]);
		_exit(127);
	}
	if (child == -1)
		warn("fork");
	else
		status = reap(child, argv[0]);
	signal(SIGINT, intr);
	signal(SIGQUIT, quit);
	return status;
}

static int
locked(struct ipc_mutex *m, int timeout, char *argv[])
{
	int rc = ipc_mutex_lock(m, timeout), status;

	if (rc < 0 && rc != -EOWNERDEAD)
		return failed();
	if (rc == -EOWNERDEAD)
		warnx("%s", ipc_errmsg());
	status = run_program(argv);
	return ipc_mutex_unlock(m) < 0 ? failed() : status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct ipc_mutex *m;
	int c, status, timeout = -1;

	while ((c = next_option(cmd, argc, argv, "+t:")) != -1)
		switch (c) {
		case 't':
			timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	argc -= optind;
	argv += optind;
	if (argc >= 2 && !strcmp(argv[1], "--")) {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (argc < 2)
		return usage(cmd);
	if (ipc_mutex_open(&m, argv[0], IPC_CREATE) < 0)
		return failed();
	status = locked(m, timeout, argv + 1);
	ipc_mutex_close(m);
	return status;
}

const struct command cmd_lock = {
	.name = "lock",
	.arguments = "[-t ms] address -- program [argument ...]",
	.summary = "Runs a program while it holds a mutex",
	.help =
	    "The address is mutex:NAME, sysvmutex:NAME or filelock:/PATH, and\n"
	    "is made if it is missing.  If the last owner died with the lock,\n"
	    "that is said and the program runs.  If the program fails, so does\n"
	    "this command.\n\n"
	    "  -t ms  waits no longer than so many milliseconds\n",
	.run = run
};
