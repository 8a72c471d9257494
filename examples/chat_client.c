/* SPDX-License-Identifier: ISC */
/*
 * Talks to others by way of chat_daemon: says each line of its standard input,
 * with a name before it, and prints what the others say, until its input ends:
 *	chat_client unix:/tmp/chat alice
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

/* What has been typed, a line at a time; 0: that was all. */
static int
say(struct ipc_channel *ch, const char *name)
{
	static char typed[4000];
	static size_t length;
	ssize_t n = read(0, typed + length, sizeof typed - length);
	char text[4096], *end;

	if (n <= 0)
		return 0;
	length += (size_t)n;
	while ((end = memchr(typed, '\n', length)) != NULL ||
	    length == sizeof typed) {
		size_t line = end != NULL ? (size_t)(end - typed) : length;

		snprintf(text, sizeof text, "%.50s: %.*s", name, (int)line,
		    typed);
		if (ipc_send(ch, text, strlen(text), 5000) < 0)
			errx(1, "%s", ipc_errmsg());
		line += end != NULL;
		memmove(typed, typed + line, length -= line);
	}
	return 1;
}

int
main(int argc, char *argv[])
{
	struct ipc_pollitem items[2] = {
		{ .fd = 0, .events = POLLIN }, { .events = POLLIN }
	};
	struct ipc_channel *ch;
	char text[4096];
	ssize_t n = 0;

	if (argc != 3)
		errx(2, "usage: chat_client address name");
	if (ipc_connect(&ch, argv[1], 0, 5000) < 0)
		errx(1, "%s", ipc_errmsg());
	items[1].channel = ch;
	while (ipc_poll(items, 2, -1) > 0) {
		if (items[0].revents && !say(ch, argv[2]))
			break;
		if (!items[1].revents)
			continue;
		while ((n = ipc_recv(ch, text, sizeof text, 0)) >= 0)
			printf("%.*s\n", (int)n, text);
		if (n == -EPIPE || n == -ECONNRESET)
			errx(1, "the chat is over: %s", ipc_errmsg());
		fflush(stdout);
	}
	ipc_close(ch);
	return 0;
}
