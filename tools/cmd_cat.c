/* SPDX-License-Identifier: ISC */
/*
 * ipc cat: both ways between standard input and output and a channel.
 */
#include <limits.h>
#include <unistd.h>

#include "common.h"

#define QUIET	1000	/* ms, where the other end's end can not be told */

static int
run(const struct command *cmd, int argc, char *argv[])
{
	int c, status, flags = 0, quiet = -1, timeout = -1;
	enum how how = CONNECT;
	struct ipc_channel *ch;

	while ((c = next_option(cmd, argc, argv, "clot:w:")) != -1)
		switch (c) {
		case 'c':
			how = OPEN;
			flags = IPC_CREATE;
			break;
		case 'l':
			how = LISTEN;
			break;
		case 'o':
			how = OPEN;
			break;
		case 't':
			timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		case 'w':
			quiet = (int)number("wait", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind != 1)
		return usage(cmd);
	flags = how == OPEN ? flags | IPC_DUPLEX : 0;
	if (obtain(&ch, argv[optind], how, flags, timeout) < 0)
		return EXIT_FAILED;
	if (quiet < 0 && !(info_of(ch).caps & IPC_CAP_END))
		quiet = QUIET;
	status = relay_stdio(ch, quiet, -1);
	ipc_close(ch);
	return status;
}

const struct command cmd_cat = {
	.name = "cat",
	.arguments = "[-clo] [-t ms] [-w ms] address",
	.summary = "Relays standard input and output to and from a channel",
	.help =
	    "It connects to a listener unless -c, -l or -o is given.  The end\n"
	    "of standard input ends only what is sent; the command ends when\n"
	    "the other end does.\n\n"
	    "  -c     open the address, and make it if it is missing\n"
	    "  -l     listen, and take the first client\n"
	    "  -o     open the address both ways\n"
	    "  -t ms  give up when connecting or the client takes longer\n"
	    "  -w ms  after the end of standard input, end when nothing came\n"
	    "         for so long (1000 where the mechanism tells no end)\n",
	.run = run
};
