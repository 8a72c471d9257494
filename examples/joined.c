/* SPDX-License-Identifier: ISC */
/*
 * A two-way channel of two different halves: questions come in through a
 * named pipe, answers go out through an anonymous one.  Joined, they are used
 * like any other channel:	joined [fifo:/tmp/example.fifo]
 */
#include <sys/wait.h>

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

static int
ask(struct ipc_channel *ch)
{
	char answer[64];
	ssize_t n;

	if (ipc_send(ch, "6 7", 3, 1000) < 0)
		errx(1, "child: %s", ipc_errmsg());
	n = ipc_recv(ch, answer, sizeof answer, 1000);
	if (n < 0)
		errx(1, "child: %s", ipc_errmsg());
	printf("6 times 7 is %.*s\n", (int)n, answer);
	ipc_close(ch);
	return 0;
}

static void
answer(struct ipc_channel *ch)
{
	char text[64] = "";
	int a, b, length;

	if (ipc_recv(ch, text, sizeof text - 1, 1000) < 0)
		errx(1, "parent: %s", ipc_errmsg());
	if (sscanf(text, "%d %d", &a, &b) != 2)
		errx(1, "parent: what is '%s'?", text);
	length = snprintf(text, sizeof text, "%d", a * b);
	if (ipc_send(ch, text, (size_t)length, 1000) < 0)
		errx(1, "parent: %s", ipc_errmsg());
	ipc_close(ch);
}

int
main(int argc, char *argv[])
{
	const char *fifo = argc > 1 ? argv[1] : "fifo:/tmp/example.fifo";
	struct ipc_channel *in, *out, *pipe[2], *both;

	if (ipc_open(&in, fifo, IPC_RECV | IPC_CREATE) < 0 ||
	    ipc_pair(pipe, "pipe:", IPC_SEND) < 0)
		errx(1, "%s", ipc_errmsg());

	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		ipc_close(in);
		ipc_close(pipe[1]);
		if (ipc_open(&out, fifo, IPC_SEND) < 0 ||
		    ipc_join(&both, pipe[0], out) < 0)
			errx(1, "%s", ipc_errmsg());
		return ask(both);
	}
	ipc_close(pipe[0]);
	if (ipc_join(&both, in, pipe[1]) < 0)
		errx(1, "%s", ipc_errmsg());
	answer(both);
	wait(NULL);
	return ipc_unlink(fifo) < 0;
}
