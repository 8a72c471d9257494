/* SPDX-License-Identifier: ISC */
/*
 * ipc spawn: a program at the other end of a pair.
 */
#include <sys/wait.h>

#include <err.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

/* Is it dead, though not yet reaped?  What was so before SIGCHLD was caught
 * will not be told again. */
static bool
is_dead(pid_t child)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)child, &info,
	    WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

static int
relay(struct ipc_channel *ch, pid_t child)
{
	static const int ends[] = { SIGCHLD, 0 };
	int fd, status;

	fd = catch_signals(ends, NULL);
	if (fd < 0) {
		warn("signalfd");
		return EXIT_FAILED;
	}
	if (is_dead(child))
		raise(SIGCHLD);		/* blocked: it makes fd readable */
	status = relay_stdio(ch, -1, fd);
	close(fd);
	return status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	int c, status, flags = IPC_STDIO;
	char address[ADDRESS_MAX];
	struct ipc_channel *ch;
	bool fits = true;
	pid_t child;

	while ((c = next_option(cmd, argc, argv, "+i")) != -1)
		switch (c) {
		case 'i':
			flags = 0;
			break;
		default:
			return usage(cmd);
		}
	signal(SIGCHLD, SIG_DFL);	/* ignored, it leaves no status */
	argc -= optind;
	argv += optind;
	if (argc >= 2 && !strcmp(argv[1], "--")) {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (argc < 2)
		return usage(cmd);
	if (flags & IPC_STDIO)
		fits = with_option(address, sizeof address, argv[0],
		    "boundary", "stream");
	if (!fits)
		errx(EXIT_FAILED, "%s: this address is too long", argv[0]);
	if (ipc_spawn(&ch, &child, flags & IPC_STDIO ? address : argv[0],
	    argv + 1, flags) < 0)
		return failed();
	status = relay(ch, child);
	ipc_close(ch);
	return reap(child, argv[1]) | status;
}

const struct command cmd_spawn = {
	.name = "spawn",
	.arguments = "[-i] address -- program [argument ...]",
	.summary = "Runs a program at the other end of a pair",
	.help =
	    "Standard input goes to the program and what it writes comes\n"
	    "out here, over the mechanism of the address.  If the program\n"
	    "fails, so does this command.\n\n"
	    "  -i  the program takes its end with ipc_inherit(3) instead of\n"
	    "      as standard input and output; each read of standard input\n"
	    "      is a message unless the address says boundary=stream\n",
	.run = run
};
