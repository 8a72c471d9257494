/* SPDX-License-Identifier: ISC */
/*
 * ipc send: standard input as one message, or one message per line.
 */
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

/* As it is read; a stream has no messages to keep together. */
static int
send_bytes(struct ipc_channel *ch, int timeout)
{
	char buffer[CHUNK];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			warn("standard input");
			return EXIT_FAILED;
		}
		if (put(ch, buffer, (size_t)n, timeout) < 0)
			return failed();
	}
	return EXIT_OK;
}

static int
send_whole(struct ipc_channel *ch, int timeout)
{
	int status = EXIT_OK;
	size_t size;
	char *data;

	if (read_input(&data, &size, info_of(ch).max_message) < 0) {
		warn("standard input");
		status = EXIT_FAILED;
	} else if (ipc_send(ch, data, size, timeout) < 0)
		status = failed();
	free(data);
	return status;
}

static int
send_lines(struct ipc_channel *ch, int timeout)
{
	int status = EXIT_OK;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			n--;
		if (put(ch, line, (size_t)n, timeout) < 0) {
			status = failed();
			break;
		}
	}
	if (ferror(stdin)) {
		warn("standard input");
		status = EXIT_FAILED;
	}
	free(line);
	return status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	int c, status, timeout = -1, flags = 0;
	enum how how = CONNECT;
	struct ipc_channel *ch;
	bool lines = false;

	while ((c = next_option(cmd, argc, argv, "clot:")) != -1)
		switch (c) {
		case 'c':
			how = OPEN;
			flags = IPC_CREATE;
			break;
		case 'l':
			lines = true;
			break;
		case 'o':
			how = OPEN;
			break;
		case 't':
			timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind != 1)
		return usage(cmd);
	if (how == OPEN)
		flags |= IPC_SEND;
	if (obtain(&ch, argv[optind], how, flags, timeout) < 0)
		return EXIT_FAILED;
	if (lines)
		status = send_lines(ch, timeout);
	else if (info_of(ch).boundary == IPC_STREAM)
		status = send_bytes(ch, timeout);
	else
		status = send_whole(ch, timeout);
	ipc_close(ch);
	return status;
}

const struct command cmd_send = {
	.name = "send",
	.arguments = "[-clo] [-t ms] address",
	.summary = "Sends standard input as one message",
	.help =
	    "It connects to a listener unless -c or -o is given.\n\n"
	    "  -c     open the address, and make it if it is missing\n"
	    "  -l     one message for each line, without its newline\n"
	    "  -o     open the address: a FIFO, a queue, a segment, a file\n"
	    "  -t ms  give up when connecting or a message takes longer\n",
	.run = run
};
