/* SPDX-License-Identifier: ISC */
/*
 * A client of rpc_server.c: one call that it waits for, many at once, and one
 * whose answer comes in parts:	rpc_client [unix:/tmp/example.sock]
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

static void
told(int status, const void *reply, size_t size, void *name)
{
	if (status != 0)
		warnx("%s: %s", (char *)name, ipc_errmsg());
	else
		printf("%s: %.*s\n", (char *)name, (int)size,
		    (const char *)reply);
}

static void
count(struct ipc_rpc_client *c)
{
	struct ipc_rpc_request request = { .struct_size = sizeof request,
	    .method = "count", .timeout = 1000 };
	struct ipc_rpc_stream *s;
	void *part;
	int32_t n;
	int rc;

	if (ipc_rpc_stream_open(&s, c, &request) < 0)
		errx(1, "%s", ipc_errmsg());
	while ((rc = ipc_rpc_stream_next(s, &part, NULL, -1)) ==
	    IPC_RPC_MORE) {
		memcpy(&n, part, sizeof n);
		printf("%d\n", (int)n);
		free(part);
	}
	if (rc != 0)
		errx(1, "%s", ipc_errmsg());
	ipc_rpc_stream_close(s);
}

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : "unix:/tmp/example.sock";
	static char first[] = "first", second[] = "second", third[] = "third";
	struct ipc_rpc_client *c;
	int32_t n[2] = { 2, 3 };
	void *sum;

	if (ipc_rpc_connect(&c, address, 1000) < 0 ||
	    ipc_rpc_call(c, "add", n, sizeof n, &sum, NULL, 1000) != 0)
		errx(1, "%s", ipc_errmsg());
	printf("2 + 3 = %d\n", (int)*(int32_t *)sum);
	free(sum);

	/* Both rest at the same time; nobody knows how to dream. */
	if (ipc_rpc_start(c, "sleep", "", 0, told, first, 1000) < 0 ||
	    ipc_rpc_start(c, "sleep", "", 0, told, second, 1000) < 0 ||
	    ipc_rpc_start(c, "dream", "", 0, told, third, 1000) < 0)
		errx(1, "%s", ipc_errmsg());
	while (ipc_rpc_dispatch(c, -1) > 0)
		continue;
	count(c);
	ipc_rpc_client_close(c);
	return 0;
}
