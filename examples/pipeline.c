/* SPDX-License-Identifier: ISC */
/*
 * The shell's `ps -e | grep WORD', built by hand: each program has a channel
 * as its standard output or input and knows nothing of it, and this one
 * counts what goes by:	pipeline WORD
 */
#include <sys/wait.h>

#include <err.h>
#include <stdio.h>

#include <ipc/ipc.h>

/* Writes all, in as many calls as it takes. */
static int
write_all(struct ipc_channel *ch, const char *data, ssize_t size)
{
	while (size > 0) {
		ssize_t n = ipc_write(ch, data, (size_t)size, -1);

		if (n < 0)
			return -1;
		data += n;
		size -= n;
	}
	return 0;
}

int
main(int argc, char *argv[])
{
	static char ps[] = "ps", all[] = "-e", grep[] = "grep", init[] = "init";
	char *source[] = { ps, all, NULL };
	char *filter[] = { grep, argc > 1 ? argv[1] : init, NULL };
	struct ipc_channel *from, *to;
	pid_t child[2];
	char buffer[4096];
	size_t total = 0;
	ssize_t n;

	if (ipc_spawn(&from, &child[0], "pipe:", source,
	    IPC_STDIO | IPC_RECV) < 0 ||
	    ipc_spawn(&to, &child[1], "pipe:", filter,
	    IPC_STDIO | IPC_SEND) < 0)
		errx(1, "%s", ipc_errmsg());

	while ((n = ipc_read(from, buffer, sizeof buffer, -1)) > 0) {
		if (write_all(to, buffer, n) < 0)
			break;		/* grep needs no more */
		total += (size_t)n;
	}
	if (n < 0)
		warnx("%s", ipc_errmsg());
	ipc_close(from);
	ipc_close(to);			/* its end of file */

	for (int i = 0; i < 2; i++)
		if (waitpid(child[i], NULL, 0) < 0)
			err(1, "waitpid");
	fprintf(stderr, "%zu bytes went by\n", total);
	return 0;
}
