/* SPDX-License-Identifier: ISC */
/*
 * At most N at a time: runs a command while it holds one of N places that all
 * who use this name share.  A place comes back however its holder ends.
 *
 *	pool sem:compilers 2 make
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include <ipc/ipc.h>

int
main(int argc, char *argv[])
{
	char address[256];
	struct ipc_sem *s;
	int status;

	if (argc != 4)
		errx(2, "usage: pool sem:name places command");
	snprintf(address, sizeof address, "%s?undo=1", argv[1]);
	if (ipc_sem_open(&s, address, IPC_CREATE,
	    (unsigned)atoi(argv[2])) < 0 || ipc_sem_wait(s, -1) < 0)
		errx(1, "%s", ipc_errmsg());
	status = system(argv[3]);
	if (ipc_sem_post(s) < 0)
		errx(1, "%s", ipc_errmsg());
	ipc_sem_close(s);
	return status == 0 ? 0 : 1;
}
