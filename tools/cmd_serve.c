/* SPDX-License-Identifier: ISC */
/*
 * ipc serve: an rpc server whose methods are a command.  One loop waits for
 * calls, for what the commands print, and for signals; what becomes of one call
 * is in jobs.c.
 */
#include <sys/signalfd.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "jobs.h"

struct serving {
	struct ipc_rpc_server	*s;
	struct jobs		 jobs;
	long long		 waiting;	/* calls beside what runs */
	bool			 print;
	int			 signals;
	struct pollfd		*fds;
};

static int
print_addresses(const struct serving *v)
{
	char address[ADDRESS_MAX];
	unsigned n = 0;

	while (ipc_rpc_address(v->s, n, address, sizeof address) >= 0) {
		puts(address);
		n++;
	}
	return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_OK;
}

/* A call that has no place to wait is told so at once. */
static int
set_up(struct serving *v, char *addresses[], int count)
{
	size_t calls = v->jobs.most + (size_t)v->waiting;

	if (ipc_rpc_server_new(&v->s) < 0 ||
	    ipc_rpc_register(v->s, NULL, job_handle, &v->jobs) < 0 ||
	    ipc_rpc_limit(v->s, IPC_RPC_CALLS, calls) < 0 ||
	    ipc_rpc_limit(v->s, IPC_RPC_CALLS_TOTAL, calls) < 0)
		return failed();
	for (int i = 0; i < count; i++)
		if (ipc_rpc_listen(v->s, addresses[i], 0) < 0)
			return failed();
	v->fds = calloc(2 + JOB_OUTPUTS * v->jobs.most, sizeof *v->fds);
	if (v->fds == NULL) {
		warn(NULL);
		return EXIT_FAILED;
	}
	return v->print ? print_addresses(v) : EXIT_OK;
}

/* What of the signals there is; false: one of those that end it. */
static bool
read_signals(const struct serving *v)
{
	struct signalfd_siginfo info;

	while (read(v->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo != SIGCHLD)
			return false;
	return true;
}

/* One turn: false if it is to end, with *status why. */
static bool
turn(struct serving *v, bool serving, int *status)
{
	size_t count;
	int timeout, rc;
	bool go_on;

	v->fds[0] = (struct pollfd){ .fd = v->signals, .events = POLLIN };
	v->fds[1] = (struct pollfd){ .fd = ipc_rpc_fd(v->s), .events = POLLIN };
	count = 2 + jobs_poll(&v->jobs, v->fds + 2, &timeout);
	if (poll(v->fds, count, timeout) < 0 && errno != EINTR) {
		warn("poll");
		*status = EXIT_FAILED;
		return false;
	}
	go_on = read_signals(v);
	rc = ipc_rpc_serve(v->s, 0);
	if (rc < 0 && rc != -EAGAIN && serving) {
		*status = failed();
		go_on = false;
	}
	jobs_step(&v->jobs);
	return go_on;
}

static int
serve(struct serving *v, char *addresses[], int count)
{
	static const int wanted[] = { SIGCHLD, SIGINT, SIGTERM, 0 };
	int status, ignored;

	signal(SIGCHLD, SIG_DFL);	/* ignored, it leaves no status */
	v->signals = catch_signals(wanted, &v->jobs.mask);
	if (v->signals < 0) {
		warn("signalfd");
		return EXIT_FAILED;
	}
	raise_limit(&v->jobs.files);
	status = set_up(v, addresses, count);
	while (status == EXIT_OK && turn(v, true, &status))
		;
	jobs_stop(&v->jobs, ECANCELED);
	while (!TAILQ_EMPTY(&v->jobs.list))
		turn(v, false, &ignored);
	ipc_rpc_server_close(v->s);
	close(v->signals);
	free(v->fds);
	return status;
}

/* Where the command begins, behind "--"; the addresses are before it. */
static int
find_command(char *argv[])
{
	int i = 0;

	while (argv[i] != NULL && strcmp(argv[i], "--") != 0)
		i++;
	return argv[i] != NULL && argv[i + 1] != NULL ? i + 1 : 0;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	static struct serving v = { .waiting = 1024,
	    .jobs = { .most = 16, .limit = -1 } };
	int c, command;

	while ((c = next_option(cmd, argc, argv, "+n:pq:t:")) != -1)
		switch (c) {
		case 'n':
			v.jobs.most = (size_t)number("count", optarg, 1, 4096);
			break;
		case 'p':
			v.print = true;
			break;
		case 'q':
			v.waiting = number("count", optarg, 0, 1000000);
			break;
		case 't':
			v.jobs.limit = (int)number("timeout", optarg, 1,
			    INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	argv += optind;
	command = find_command(argv);
	if (command < 2)
		return usage(cmd);
	TAILQ_INIT(&v.jobs.list);
	v.jobs.command = argv + command;
	return serve(&v, argv, command - 1);
}

const struct command cmd_serve = {
	.name = "serve",
	.arguments = "[-p] [-n count] [-q count] [-t ms] address ... -- "
	    "command [argument ...]",
	.summary = "Runs a command for each call of an rpc client",
	.help =
	    "The argument is the command's standard input, what it prints is\n"
	    "the answer.  If it fails, so does the call: its exit status is\n"
	    "the code, what it complains the text.  IPC_METHOD is the method,\n"
	    "IPC_CALLER_PID and IPC_CALLER_UID say who calls.  It ends with\n"
	    "SIGINT or SIGTERM.\n\n"
	    "  -n count  at most so many commands at once (16)\n"
	    "  -p        print the addresses that clients can call, such as\n"
	    "            the port of tcp://127.0.0.1:0\n"
	    "  -q count  at most so many calls that wait (1024)\n"
	    "  -t ms     end a command after so many milliseconds\n",
	.run = run
};
