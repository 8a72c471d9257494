/* SPDX-License-Identifier: ISC */
/*
 * Two programs that know nothing of each other meet at a named pipe.  This
 * one makes it, prints the messages of any number of writers, and ends when
 * the last of them has gone:	fifo_reader [fifo:/tmp/example.fifo]
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>

#include <ipc/ipc.h>

#define ADDRESS		"fifo:/tmp/example.fifo"
#define LARGEST		4096	/* PIPE_BUF: more is never sent here */

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : ADDRESS;
	struct ipc_channel *ch;
	char text[LARGEST];
	ssize_t n;

	if (ipc_open(&ch, address, IPC_RECV | IPC_CREATE) < 0)
		errx(1, "%s", ipc_errmsg());

	/* Nobody has written yet?  Then this waits: the end is told only
	 * after there was a beginning. */
	while ((n = ipc_recv(ch, text, sizeof text, -1)) >= 0)
		printf("%.*s\n", (int)n, text);
	if (n != -EPIPE)
		errx(1, "%s", ipc_errmsg());

	ipc_close(ch);
	if (ipc_unlink(address) < 0)
		errx(1, "%s", ipc_errmsg());
	return 0;
}
