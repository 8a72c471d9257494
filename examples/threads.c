/* SPDX-License-Identifier: ISC */
/*
 * Counts primes with four helpers, which are threads of this process or
 * processes of their own.  The address alone decides; the code is the same:
 *	threads inproc:
 *	threads memfd:
 */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define HELPERS	4

/* A helper: how many primes are in this thousand? */
static void *
help(void *channel)
{
	struct ipc_channel *ch = channel;
	unsigned part;
	ssize_t n;

	while ((n = ipc_recv(ch, &part, sizeof part, -1)) == sizeof part) {
		unsigned primes = 0, d;

		for (unsigned i = part * 1000; i < (part + 1) * 1000; i++) {
			for (d = 2; d * d <= i && i % d != 0; d++)
				;
			primes += i > 1 && d * d > i;
		}
		if (ipc_send(ch, &primes, sizeof primes, -1) < 0)
			break;
	}
	if (n != -EPIPE)
		warnx("helper: %s", ipc_errmsg());
	ipc_close(ch);
	return NULL;
}

static void
start(struct ipc_pollitem *helpers, int which, const char *address)
{
	struct ipc_channel *ends[2];
	pthread_t thread;
	pid_t pid;

	if (ipc_pair(ends, address, 0) < 0)
		errx(1, "%s", ipc_errmsg());
	helpers[which] = (struct ipc_pollitem){
		.channel = ends[0], .events = POLLIN
	};
	if (strncmp(address, "inproc:", 7) == 0) {
		if (pthread_create(&thread, NULL, help, ends[1]) != 0)
			errx(1, "pthread_create");
		pthread_detach(thread);
		return;
	}
	if ((pid = fork()) < 0)
		err(1, "fork");
	if (pid == 0) {		/* which has copies of what is its parent's */
		for (int i = 0; i <= which; i++)
			ipc_close(helpers[i].channel);
		help(ends[1]);
		_exit(0);
	}
	ipc_close(ends[1]);
}

/* Gives it the next thousand, if there is one. */
static int
ask(struct ipc_channel *ch, unsigned *part, unsigned parts)
{
	if (*part == parts)
		return 0;
	if (ipc_send(ch, part, sizeof *part, -1) < 0)
		errx(1, "%s", ipc_errmsg());
	++*part;
	return 1;
}

int
main(int argc, char *argv[])
{
	unsigned part = 0, parts = 1000, primes = 0, some;
	struct ipc_pollitem helpers[HELPERS];
	int asked = 0;

	if (argc < 2)
		errx(2, "usage: threads address [thousands]");
	if (argc > 2)
		parts = (unsigned)atoi(argv[2]);
	for (int i = 0; i < HELPERS; i++) {
		start(helpers, i, argv[1]);
		asked += ask(helpers[i].channel, &part, parts);
	}
	while (asked > 0 && ipc_poll(helpers, HELPERS, -1) > 0)
		for (int i = 0; i < HELPERS; i++) {
			ssize_t n = ipc_recv(helpers[i].channel, &some,
			    sizeof some, 0);

			if (n == -EAGAIN)
				continue;
			if (n < 0)
				errx(1, "%s", ipc_errmsg());
			primes += some;
			asked += ask(helpers[i].channel, &part, parts) - 1;
		}
	for (int i = 0; i < HELPERS; i++)
		ipc_close(helpers[i].channel);
	while (wait(NULL) > 0)
		;
	printf("%u primes below %u\n", primes, parts * 1000);
	return 0;
}
