/* SPDX-License-Identifier: ISC */
/*
 * One program measures all the time; others look when they like, and find the
 * newest values, never old ones and never half of them:
 *	latest_values -w &	latest_values	latest_values
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define ADDRESS		"memfd:values?latest=1"
#define READERS		16

struct values {
	uint64_t	number;
	double		temperature, pressure;
};

static void
measure(struct values *v)
{
	v->number++;
	v->temperature = 20 + (double)(v->number % 100) / 10;
	v->pressure = 1000 + v->temperature;
}

/* A slot for each reader; to fill it is never to wait for its reader. */
static void
write_values(const char *address)
{
	struct ipc_channel *reader[READERS];
	struct values v = { 0 };
	struct ipc_listener *l;
	int count = 0;

	if (ipc_listen(&l, address, IPC_SEND) < 0)
		errx(1, "%s", ipc_errmsg());
	for (;;) {
		if (count < READERS && ipc_accept(&reader[count], l, 0) == 0)
			count++;
		measure(&v);
		for (int i = 0; i < count; i++)
			if (ipc_send(reader[i], &v, sizeof v, 0) < 0) {
				ipc_close(reader[i]);	/* it has gone */
				reader[i--] = reader[--count];
			}
		usleep(1000);
	}
}

int
main(int argc, char *argv[])
{
	int writes = argc > 1 && strcmp(argv[1], "-w") == 0;
	const char *address = argc > 1 + writes ? argv[1 + writes] : ADDRESS;
	struct ipc_channel *ch;
	struct values v;

	if (writes)
		write_values(address);
	if (ipc_connect(&ch, address, IPC_RECV, 5000) < 0)
		errx(1, "%s", ipc_errmsg());
	for (int i = 0; i < 5; i++) {
		if (ipc_recv(ch, &v, sizeof v, 5000) < 0)
			errx(1, "%s", ipc_errmsg());
		printf("measurement %ju: %.1f degrees, %.1f hPa\n",
		    (uintmax_t)v.number, v.temperature, v.pressure);
		usleep(100000);		/* what came meanwhile is passed by */
	}
	ipc_close(ch);
	return 0;
}
