/* SPDX-License-Identifier: ISC */
/*
 * Two people with walkie-talkies: only one speaks at a time, and says "over"
 * to give the other the turn, "out" to end.  In two terminals:
 *	walkie_talkie -l [ADDRESS]		walkie_talkie -c [ADDRESS]
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <ipc/ipc.h>

/* Speaks until "over".  0: the user is done. */
static int
speak(struct ipc_channel *ch)
{
	char line[1024];

	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "out"))
			return 0;
		if (!strcmp(line, "over")) {
			if (ipc_over(ch) < 0)
				errx(1, "%s", ipc_errmsg());
			return 1;
		}
		if (ipc_send(ch, line, strlen(line), -1) < 0)
			errx(1, "%s", ipc_errmsg());
	}
	return 0;
}

/* Prints what is said until the turn comes, which a receive tells by -EBUSY.
 * 0: the other side is done. */
static int
hear(struct ipc_channel *ch)
{
	char line[1024];
	ssize_t n;

	while ((n = ipc_recv(ch, line, sizeof line, -1)) >= 0) {
		printf("> %.*s\n", (int)n, line);
		fflush(stdout);
	}
	if (n != -EBUSY && n != -EPIPE)
		errx(1, "%s", ipc_errmsg());
	return n == -EBUSY;
}

int
main(int argc, char *argv[])
{
	int calling = argc > 1 && !strcmp(argv[1], "-c");
	const char *address = argc > 2 ? argv[2] : "unix:/tmp/example.sock";
	struct ipc_listener *listener = NULL;
	struct ipc_channel *ch = NULL;
	int rc;

	if (calling)
		rc = ipc_connect(&ch, address, IPC_HALF_DUPLEX, -1);
	else if ((rc = ipc_listen(&listener, address, IPC_HALF_DUPLEX)) == 0)
		rc = ipc_accept(&ch, listener, -1);
	if (rc < 0)
		errx(1, "%s", ipc_errmsg());

	/* The one who connects begins. */
	if (calling && !speak(ch))
		goto out;
	while (hear(ch) && speak(ch))
		;
out:
	ipc_close(ch);
	ipc_listener_close(listener);
	return 0;
}
