/* SPDX-License-Identifier: ISC */
/*
 * A journal that survives.  This program prints what journal_writer has
 * appended, now or a week ago, and goes on where it stopped:
 *	journal_reader file:/tmp/example.journal		reads on
 *	journal_reader file:/tmp/example.journal archive	all of it, too
 * A message is taken when it has been printed.  So a reader that is killed
 * prints its last one again, but leaves none out.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>

#include <ipc/ipc.h>

#define ADDRESS		"file:/tmp/example.journal"

/* Shows a message before it takes it. */
static int
print_next(struct ipc_channel *ch)
{
	const void *data;
	ssize_t n = ipc_peek(ch, &data, -1);

	if (n < 0)
		return (int)n;
	fwrite(data, 1, (size_t)n, stdout);	/* it may hold zeros */
	putchar('\n');
	if (fflush(stdout) == EOF)
		err(1, "standard output");
	return ipc_release(ch);
}

int
main(int argc, char *argv[])
{
	const char *name = argc > 1 ? argv[1] : ADDRESS;
	const char *who = argc > 2 ? argv[2] : "reader";
	struct ipc_channel *ch;
	char address[4096];
	int rc;

	snprintf(address, sizeof address, "%s?follow=%s", name, who);
	rc = ipc_open(&ch, address, IPC_RECV | IPC_CREATE);
	if (rc == -EBUSY)
		errx(1, "another journal_reader is called '%s'", who);
	if (rc < 0)
		errx(1, "%s", ipc_errmsg());

	while ((rc = print_next(ch)) == 0)
		;
	/* The file was removed or replaced, or it is damaged. */
	warnx("%s", ipc_errmsg());
	ipc_close(ch);
	return rc == -ESTALE ? 0 : 1;
}
