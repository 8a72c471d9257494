/* SPDX-License-Identifier: ISC */
/*
 * ipc recv: prints the messages that come.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "common.h"

#define UNPRINTED	1	/* and a message about it was printed */

struct receiving {
	long long	count;		/* -1: all */
	int		timeout;
	bool		raw;		/* no newline after them */
};

/* Peeking gives a message of any size, and leaves it where it was if standard
 * output does not take it. */
static int
print_message(struct ipc_channel *ch, const struct receiving *r)
{
	const char *text;
	const void *data;
	ssize_t n;

	n = ipc_peek(ch, &data, r->timeout);
	if (n < 0)
		return (int)n;
	text = data;
	if (write_all(STDOUT_FILENO, text, (size_t)n) < 0)
		return UNPRINTED;
	if (!r->raw && (n == 0 || text[n - 1] != '\n') &&
	    write_all(STDOUT_FILENO, "\n", 1) < 0)
		return UNPRINTED;
	return ipc_release(ch);
}

/* The next bytes of a stream; the same end as that of messages. */
static int
print_bytes(struct ipc_channel *ch, const struct receiving *r)
{
	char buffer[CHUNK];
	ssize_t n;

	n = ipc_read(ch, buffer, sizeof buffer, r->timeout);
	if (n <= 0)
		return n < 0 ? (int)n : -EPIPE;
	return write_all(STDOUT_FILENO, buffer, (size_t)n) < 0 ? UNPRINTED : 0;
}

static int
receive(struct ipc_channel *ch, const struct receiving *r)
{
	bool stream = info_of(ch).boundary == IPC_STREAM;
	long long left = r->count;
	int rc = 0;

	while (rc == 0 && left != 0) {
		rc = stream ? print_bytes(ch, r) : print_message(ch, r);
		if (left > 0)
			left--;
	}
	if (rc == 0 || (rc == -EPIPE && r->count < 0))
		return EXIT_OK;
	return rc == UNPRINTED ? EXIT_FAILED : failed();
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct receiving r = { .count = -1, .timeout = -1 };
	int c, status, flags = 0;
	enum how how = CONNECT;
	struct ipc_channel *ch;

	while ((c = next_option(cmd, argc, argv, "cln:ort:")) != -1)
		switch (c) {
		case 'c':
			how = OPEN;
			flags = IPC_CREATE;
			break;
		case 'l':
			how = LISTEN;
			break;
		case 'n':
			r.count = number("count", optarg, 0, LLONG_MAX);
			break;
		case 'o':
			how = OPEN;
			break;
		case 'r':
			r.raw = true;
			break;
		case 't':
			r.timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind != 1)
		return usage(cmd);
	flags = how == OPEN ? flags | IPC_RECV : 0;
	if (obtain(&ch, argv[optind], how, flags, r.timeout) < 0)
		return EXIT_FAILED;
	status = receive(ch, &r);
	ipc_close(ch);
	return status;
}

const struct command cmd_recv = {
	.name = "recv",
	.arguments = "[-clor] [-n count] [-t ms] address",
	.summary = "Prints the messages that come, until the other end closes",
	.help =
	    "It connects to a listener unless -c, -l or -o is given.\n\n"
	    "  -c        open the address, and make it if it is missing\n"
	    "  -l        listen, and take the first client\n"
	    "  -n count  end after so many messages; fewer are a failure\n"
	    "  -o        open the address: a FIFO, a queue, a segment, a file\n"
	    "  -r        raw: no newline after a message that has none\n"
	    "  -t ms     give up when a client or a message takes longer\n",
	.run = run
};
