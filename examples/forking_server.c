/* SPDX-License-Identifier: ISC */
/*
 * A server with one process for each client: accept, fork, and the parent
 * closes its copy, which the client does not notice.  Try it with client:
 *	forking_server [unix:/tmp/example.sock]
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <ipc/ipc.h>

static int
serve(struct ipc_channel *ch)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	char text[4096];
	ssize_t n;

	if (ipc_peer(ch, &peer) == 0)
		fprintf(stderr, "process %d of user %u is here\n",
		    (int)peer.pid, (unsigned)peer.uid);
	while ((n = ipc_recv(ch, text, sizeof text, -1)) >= 0) {
		for (ssize_t i = 0; i < n; i++)
			text[i] = (char)toupper((unsigned char)text[i]);
		n = ipc_send(ch, text, (size_t)n, -1);
		if (n < 0)
			break;
	}
	if (n != -EPIPE)
		warnx("%s", ipc_errmsg());
	ipc_close(ch);
	return n != -EPIPE;
}

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : "unix:/tmp/example.sock";
	struct ipc_listener *listener;
	struct ipc_channel *ch;

	signal(SIGCHLD, SIG_IGN);	/* children leave nothing to wait for */
	if (ipc_listen(&listener, address, 0) < 0)
		errx(1, "%s", ipc_errmsg());

	for (;;) {
		if (ipc_accept(&ch, listener, -1) < 0) {
			warnx("%s", ipc_errmsg());
			continue;
		}
		switch (fork()) {
		case -1:
			warn("fork");
			break;
		case 0:
			ipc_listener_close(listener);
			return serve(ch);
		}
		ipc_close(ch);
	}
}
