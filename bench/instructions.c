/* SPDX-License-Identifier: ISC */
/*
 * How many instructions one send and one receive take, on every mechanism:
 * callgrind counts them.  Unlike times they are the same on a busy machine, so
 * a path that became longer is noticed.  Without valgrind it only does what
 * would be counted.
 *
 * The messages are few enough for any mechanism to hold them, and both ends are
 * in this process, so nobody waits; the kernel's own work is not seen.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include <ipc/ipc.h>

#define MESSAGES	8	/* under way at once; all have room for them */
#define WARM_UP		100
#define LARGEST		1024

static char buffer[LARGEST];

/* callgrind is told to count in these two (--toggle-collect). */
static __attribute__((noinline)) void
send_all(struct ipc_channel *ch, size_t size)
{
	for (int i = 0; i < MESSAGES; i++)
		if (ipc_send(ch, buffer, size, 0) < 0)
			errx(1, "%s", ipc_errmsg());
}

static __attribute__((noinline)) void
recv_all(struct ipc_channel *ch, size_t size)
{
	for (int i = 0; i < MESSAGES; i++)
		if (ipc_recv(ch, buffer, sizeof buffer, 1000) !=
		    (ssize_t)size)
			errx(1, "%s", ipc_errmsg());
}

/* What is counted between here and there goes to a file of its own, with what
 * it is. */
static void
count(struct ipc_channel *from, struct ipc_channel *to, const char *scheme,
    size_t size)
{
	char what[2][64];

	snprintf(what[0], sizeof what[0], "%s %zu send", scheme, size);
	snprintf(what[1], sizeof what[1], "%s %zu receive", scheme, size);
	for (int i = 0; i < WARM_UP; i++) {
		send_all(from, size);
		recv_all(to, size);
	}
	CALLGRIND_ZERO_STATS;
	send_all(from, size);
	CALLGRIND_DUMP_STATS_AT(what[0]);
	CALLGRIND_ZERO_STATS;
	recv_all(to, size);
	CALLGRIND_DUMP_STATS_AT(what[1]);
}

int
main(void)
{
	static const size_t sizes[] = { 8, 64, LARGEST };
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	struct ipc_channel *ends[2];
	char address[32];

	for (size_t i = 0; i < n; i++) {
		const char *scheme = list[i]->scheme;

		if (!(list[i]->ways & 1u << IPC_WAY_PAIR) ||
		    !strcmp(scheme, "mq") || !strcmp(scheme, "shm") ||
		    !strcmp(scheme, "local"))
			continue;
		snprintf(address, sizeof address, "%s:", scheme);
		if (ipc_pair(ends, address, 0) < 0) {
			warnx("%s", ipc_errmsg());
			continue;
		}
		for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++)
			count(ends[1], ends[0], scheme, sizes[j]);
		ipc_close(ends[0]);
		ipc_close(ends[1]);
	}
	return 0;
}
