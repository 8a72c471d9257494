/* SPDX-License-Identifier: ISC */
/*
 * A counter that four processes raise a million times each, in a region under a
 * mutex.  With -u they do without the mutex, and what goes wrong shows: two
 * read the same number, both add one, and one of the two is lost.
 */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define PROCESSES	4
#define TIMES		1000000

static void
count(volatile long *counter, struct ipc_mutex *m)
{
	int rc = 0;

	for (int i = 0; i < TIMES; i++) {
		if (m)
			rc = ipc_mutex_lock(m, -1);
		/* One that died has changed the counter or has not: one number
		 * needs no repair. */
		if (rc < 0 && rc != -EOWNERDEAD)
			errx(1, "%s", ipc_errmsg());
		*counter = *counter + 1;
		if (m)
			ipc_mutex_unlock(m);
	}
}

int
main(int argc, char *argv[])
{
	int careless = argc > 1 && !strcmp(argv[1], "-u");
	struct ipc_mutex *m;
	struct ipc_region *r;
	long *counter;

	if (ipc_region_open(&r, "memfd:?size=4096", IPC_CREATE) < 0 ||
	    ipc_mutex_open(&m, "mutex:counter", IPC_CREATE) < 0)
		errx(1, "%s", ipc_errmsg());
	counter = ipc_region_data(r);
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			count(counter, careless ? NULL : m);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	printf("%ld of %d\n", *counter, PROCESSES * TIMES);
	ipc_mutex_close(m);
	ipc_mutex_unlink("mutex:counter");
	ipc_region_close(r);
	return 0;
}
