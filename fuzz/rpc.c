/* SPDX-License-Identifier: ISC */
/*
 * What comes from the other side of remote procedure calls.  The input is a row
 * of messages, each with its length before it (one byte, or 0xff and two), that
 * go to a server, or with the first byte odd to a client that has calls under
 * way.  A zero length with the next byte odd does something on our side.
 */
#include <stdint.h>
#include <stdlib.h>

#include <ipc/rpc.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define KEPT	64

static struct ipc_rpc_call *kept[KEPT];
static int kept_count, under_way, ended;

static void
must(int so)
{
	if (!so)
		abort();
}

static void
keep(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)args, (void)size, (void)user;
	if (kept_count < KEPT)
		kept[kept_count++] = call;
	else
		ipc_rpc_fail(call, 1, "enough");
}

static void
echo(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)user;
	(void)ipc_rpc_part(call, args, size, 0);
	must(ipc_rpc_reply(call, args, size) != -EINVAL);
}

static void
done(int status, const void *reply, size_t size, void *user)
{
	(void)user;
	must(size == 0 || reply != NULL);
	ended += status != IPC_RPC_MORE;
}

/* The next message; NULL at the end. */
static const uint8_t *
next(const uint8_t **at, const uint8_t *end, size_t *size)
{
	const uint8_t *p = *at;

	if (p == end)
		return NULL;
	*size = *p++;
	if (*size == 0xff && end - p >= 2) {
		*size = p[0] | (size_t)p[1] << 8;
		p += 2;
	}
	if (*size > (size_t)(end - p))
		*size = (size_t)(end - p);
	*at = p + *size;
	return p;
}

static void
feed_server(struct ipc_channel *ch[2], const uint8_t *p, const uint8_t *end)
{
	struct ipc_rpc_server *s;
	const uint8_t *message;
	char answer[512];
	size_t size;

	must(ipc_rpc_server_new(&s) == 0 && ipc_rpc_adopt(s, ch[1]) == 0);
	must(ipc_rpc_register(s, "keep", keep, NULL) == 0);
	must(ipc_rpc_register(s, "echo", echo, NULL) == 0);
	must(ipc_rpc_limit(s, IPC_RPC_CALLS, KEPT / 2) == 0);
	while ((message = next(&p, end, &size)) != NULL) {
		if (size == 0 && kept_count > 0)
			ipc_rpc_reply(kept[--kept_count], "late", 4);
		if (ipc_send(ch[0], message, size, 0) < 0)
			break;
		(void)ipc_rpc_serve(s, 0);
		while (ipc_recv(ch[0], answer, sizeof answer, 0) >= 0)
			continue;
	}
	must(ipc_rpc_server_close(s) == 0);
	while (kept_count > 0)
		ipc_rpc_reply(kept[--kept_count], NULL, 0);
	ipc_close(ch[0]);
}

static void
start(struct ipc_rpc_client *c, unsigned flags)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "x",
	    .flags = flags | IPC_RPC_NOWAIT, .timeout = -1, .done = done };

	under_way += ipc_rpc_submit(c, &q, NULL) == 0;
}

static void
feed_client(struct ipc_channel *ch[2], const uint8_t *p, const uint8_t *end)
{
	struct ipc_rpc_client *c;
	const uint8_t *message;
	size_t size;

	under_way = ended = 0;
	must(ipc_rpc_attach(&c, ch[1]) == 0);
	start(c, 0);
	start(c, IPC_RPC_PARTS);
	while ((message = next(&p, end, &size)) != NULL) {
		if (size == 0)
			start(c, p != end && *p & 1 ? IPC_RPC_PARTS : 0);
		if (ipc_send(ch[0], message, size, 0) < 0)
			break;
		(void)ipc_rpc_dispatch(c, 0);
	}
	must(ipc_rpc_client_close(c) == 0);
	must(ended == under_way);	/* each of them exactly once */
	ipc_close(ch[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_channel *ch[2];

	if (size == 0)
		return 0;
	must(ipc_pair(ch, "inproc:", 0) == 0);
	if (data[0] & 1)
		feed_client(ch, data + 1, data + size);
	else
		feed_server(ch, data + 1, data + size);
	return 0;
}
