/* SPDX-License-Identifier: ISC */
/*
 * A queue of shell commands, and as many workers as you start.  Each job goes
 * to one of them; a job that is urgent (!) goes first.  Workers may come later:
 *	job_queue mq:jobs 'sleep 2' 'echo two' '!echo one'; job_queue -w mq:jobs
 */
#include <sys/uio.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

#define LONGEST		1024

static struct ipc_channel *
open_queue(const char *name, int direction)
{
	struct ipc_channel *ch;
	char address[256];

	snprintf(address, sizeof address, "%s?max-message=%d", name, LONGEST);
	if (ipc_open(&ch, address, direction | IPC_CREATE) < 0)
		errx(1, "%s", ipc_errmsg());
	return ch;
}

/* A full queue makes this wait for the workers. */
static void
give(struct ipc_channel *ch, const char *job)
{
	int urgent = job[0] == '!';
	struct iovec iov = { (void *)(job + urgent), strlen(job + urgent) };
	struct ipc_msg msg = {
		.struct_size = sizeof msg, .iov = &iov, .iov_count = 1,
		.priority = urgent ? 1 : 0
	};

	if (ipc_sendmsg(ch, &msg, 0, -1) < 0)
		errx(1, "%s", ipc_errmsg());
}

/* Until there has been nothing to do for a while. */
static void
work(struct ipc_channel *ch)
{
	char job[LONGEST + 1];
	ssize_t n;

	while ((n = ipc_recv(ch, job, LONGEST, 1000)) >= 0) {
		job[n] = '\0';
		if (system(job) != 0)
			warnx("%s: failed", job);
	}
	if (n != -ETIMEDOUT)
		errx(1, "%s", ipc_errmsg());
}

int
main(int argc, char *argv[])
{
	struct ipc_channel *ch;

	if (argc < 3) {
		fprintf(stderr, "usage: job_queue ADDRESS JOB ...\n"
		    "       job_queue -w ADDRESS\n");
		return 2;
	}
	if (strcmp(argv[1], "-w") == 0) {
		work(ch = open_queue(argv[2], IPC_RECV));
	} else {
		ch = open_queue(argv[1], IPC_SEND);
		for (int i = 2; i < argc; i++)
			give(ch, argv[i]);
	}
	ipc_close(ch);		/* the queue stays: ipc_unlink */
	return 0;
}
