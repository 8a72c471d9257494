/* SPDX-License-Identifier: ISC */
/*
 * A client: sends each line of its standard input as one message and prints
 * the answer.  It goes with server_epoll, server_libevent and forking_server:
 *	echo hello | client [unix:/tmp/example.sock]
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <ipc/ipc.h>

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : "unix:/tmp/example.sock";
	struct ipc_channel *ch;
	char text[4096];
	ssize_t n;

	if (ipc_connect(&ch, address, 0, 5000) < 0)
		errx(1, "%s", ipc_errmsg());

	while (fgets(text, sizeof text, stdin)) {
		if (ipc_send(ch, text, strcspn(text, "\n"), 5000) < 0)
			errx(1, "%s", ipc_errmsg());
		n = ipc_recv(ch, text, sizeof text, 5000);
		if (n < 0)
			errx(1, "%s", ipc_errmsg());
		printf("%.*s\n", (int)n, text);
	}
	ipc_close(ch);
	return 0;
}
