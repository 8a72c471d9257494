/* SPDX-License-Identifier: ISC */
/*
 * A parent and its child talk over a pair: the child answers with what it
 * was sent, in capitals.  The mechanism is an argument, and changes nothing:
 *	pair		pair sysvmq:		pair memfd:
 */
#include <sys/wait.h>

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

static int
child(struct ipc_channel *ch)
{
	char text[256];
	ssize_t n;

	while ((n = ipc_recv(ch, text, sizeof text, -1)) >= 0) {
		for (ssize_t i = 0; i < n; i++)
			text[i] = (char)toupper((unsigned char)text[i]);
		if (ipc_send(ch, text, (size_t)n, -1) < 0)
			break;
	}
	ipc_close(ch);
	return 0;
}

static void
parent(struct ipc_channel *ch)
{
	static const char *const words[] = { "one", "channel", "over", "it" };
	char answer[256];
	ssize_t n;

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (ipc_send(ch, words[i], strlen(words[i]), 1000) < 0)
			errx(1, "%s", ipc_errmsg());
		n = ipc_recv(ch, answer, sizeof answer, 1000);
		if (n < 0)
			errx(1, "%s", ipc_errmsg());
		printf("%s -> %.*s\n", words[i], (int)n, answer);
	}
	ipc_close(ch);		/* the child's next receive says -EPIPE */
}

int
main(int argc, char *argv[])
{
	struct ipc_channel *ends[2];

	if (ipc_pair(ends, argc > 1 ? argv[1] : "pipe:", 0) < 0)
		errx(1, "%s", ipc_errmsg());
	fflush(stdout);
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		ipc_close(ends[0]);
		return child(ends[1]);
	default:
		ipc_close(ends[1]);
		parent(ends[0]);
	}
	wait(NULL);
	return 0;
}
