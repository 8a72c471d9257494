/* SPDX-License-Identifier: ISC */
/*
 * A server of three methods: add answers now; sleep answers later, while others
 * are served; count answers in parts.  Try it with
 * rpc_client:	rpc_server [unix:/tmp/example.sock ...]
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

static void
add(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	int32_t n[2], sum;

	(void)user;
	if (size != sizeof n) {
		ipc_rpc_fail(call, EINVAL, "two numbers, please");
		return;
	}
	memcpy(n, args, sizeof n);
	sum = (int32_t)((uint32_t)n[0] + (uint32_t)n[1]);
	ipc_rpc_reply(call, &sum, sizeof sum);
}

/* A call goes on until it is answered, in whatever thread. */
static void *
answer_later(void *call)
{
	for (int i = 0; i < 10 && !ipc_rpc_cancelled(call); i++)
		usleep(10000);
	ipc_rpc_reply(call, "well rested", 11);
	return NULL;
}

static void
rest(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	pthread_t thread;

	(void)args, (void)size, (void)user;
	if (pthread_create(&thread, NULL, answer_later, call) != 0)
		ipc_rpc_fail(call, EAGAIN, "no thread to rest in");
	else
		pthread_detach(thread);
}

/* These few parts always find room; ipc_rpc_watch is for many. */
static void
count(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)args, (void)size, (void)user;
	for (int32_t i = 1; i <= 3; i++)
		ipc_rpc_part(call, &i, sizeof i, 0);
	ipc_rpc_reply(call, NULL, 0);
}

int
main(int argc, char *argv[])
{
	struct ipc_rpc_server *s;
	int i = 1;

	if (ipc_rpc_server_new(&s) < 0 ||
	    ipc_rpc_register(s, "add", add, NULL) < 0 ||
	    ipc_rpc_register(s, "sleep", rest, NULL) < 0 ||
	    ipc_rpc_register(s, "count", count, NULL) < 0)
		errx(1, "%s", ipc_errmsg());
	do	/* as many addresses as there are arguments */
		if (ipc_rpc_listen(s, argc > 1 ? argv[i] :
		    "unix:/tmp/example.sock", 0) < 0)
			errx(1, "%s", ipc_errmsg());
	while (++i < argc);
	ipc_rpc_serve(s, -1);
	errx(1, "%s", ipc_errmsg());
}
