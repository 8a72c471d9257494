/* SPDX-License-Identifier: ISC */
/*
 * Two programs that know nothing of each other meet at a named pipe.  This
 * one sends each of its arguments as one message:
 *	fifo_writer fifo:/tmp/example.fifo hello world
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <ipc/ipc.h>

int
main(int argc, char *argv[])
{
	struct ipc_channel *ch;
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: fifo_writer ADDRESS MESSAGE ...\n");
		return 2;
	}
	rc = ipc_open(&ch, argv[1], IPC_SEND);
	if (rc == -ENOENT)
		errx(1, "start fifo_reader %s first", argv[1]);
	if (rc < 0)
		errx(1, "%s", ipc_errmsg());

	for (int i = 2; i < argc; i++)
		if (ipc_send(ch, argv[i], strlen(argv[i]), 5000) < 0)
			errx(1, "%s", ipc_errmsg());

	ipc_close(ch);
	return 0;
}
