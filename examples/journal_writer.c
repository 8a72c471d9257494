/* SPDX-License-Identifier: ISC */
/*
 * A journal that survives.  This program appends each line of its input as one
 * message, and has told that it is on disk when it prints a dot:
 *	journal_writer file:/tmp/example.journal <letters
 * Kill it on any line, fill the disk, pull the plug: what had its dot is read,
 * and the next journal_writer goes on behind it.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

#define ADDRESS		"file:/tmp/example.journal"

/* A full disk takes nothing of a message, and may have room later. */
static void
append(struct ipc_channel *ch, const char *line, size_t size)
{
	int rc = ipc_send(ch, line, size, -1);

	if (rc == -ENOSPC || rc == -EDQUOT)
		warnx("left out: %s", ipc_errmsg());
	else if (rc < 0)
		errx(1, "%s", ipc_errmsg());
	else
		putchar('.');
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	const char *name = argc > 1 ? argv[1] : ADDRESS;
	char address[4096], *line = NULL;
	struct ipc_channel *ch;
	size_t room = 0;
	ssize_t n;
	int rc;

	snprintf(address, sizeof address, "%s?sync=1", name);
	rc = ipc_open(&ch, address, IPC_SEND | IPC_CREATE);
	if (rc == -EBUSY)
		errx(1, "another journal_writer is at work");
	if (rc < 0)
		errx(1, "%s", ipc_errmsg());

	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			n--;
		append(ch, line, (size_t)n);
	}
	putchar('\n');
	free(line);
	ipc_close(ch);
	return 0;
}
