/* SPDX-License-Identifier: ISC */
/*
 * A chat between clients that come in by any way: what one says, all others
 * hear.  Sockets, the network and queues are one loop.  Try it with
 * chat_client:	chat_daemon unix:/tmp/chat tcp://localhost:0 sysvmq:chat
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <ipc/ipc.h>

#define MOST		200
#define PATIENCE	200	/* ms, with one that does not listen */

/* The listeners, and behind them the clients. */
static struct ipc_pollitem items[MOST];
static size_t listeners, count;

static void
drop(size_t i)
{
	ipc_close(items[i].channel);
	items[i] = items[--count];	/* which has been looked at */
}

/* Who does not listen is no longer a part of it, and holds the others up for
 * no more than that moment. */
static void
tell_all(const struct ipc_channel *but, const char *text, size_t size)
{
	for (size_t i = count; i-- > listeners;)
		if (items[i].channel != but &&
		    ipc_send(items[i].channel, text, size, PATIENCE) < 0)
			ipc_shutdown(items[i].channel, IPC_DUPLEX);
}

static void
count_heads(void)
{
	char text[64];

	snprintf(text, sizeof text, "* %zu are here", count - listeners);
	tell_all(NULL, text, strlen(text));
}

static void
welcome(struct ipc_listener *l)
{
	struct ipc_channel *ch;
	int rc = ipc_accept(&ch, l, 0);

	if (rc == -EAGAIN)
		return;
	if (rc < 0) {
		warnx("%s", ipc_errmsg());
	} else if (count == MOST) {
		ipc_close(ch);
	} else {
		items[count++] = (struct ipc_pollitem){
			.channel = ch, .events = POLLIN
		};
		count_heads();
	}
}

static void
hear(size_t i)
{
	struct ipc_channel *ch = items[i].channel;
	char text[4096];
	ssize_t n;

	while ((n = ipc_recv(ch, text, sizeof text, 0)) >= 0)
		tell_all(ch, text, (size_t)n);
	if (n == -EAGAIN)
		return;
	drop(i);
	count_heads();
}

int
main(int argc, char *argv[])
{
	char address[256];

	if (argc < 2 || argc > 10)
		errx(2, "usage: chat_daemon address ...");
	for (; argv[1 + listeners] != NULL; listeners++) {
		struct ipc_listener *l;

		if (ipc_listen(&l, argv[1 + listeners], 0) < 0 ||
		    ipc_listener_address(l, address, sizeof address) < 0)
			errx(1, "%s", ipc_errmsg());
		items[listeners] = (struct ipc_pollitem){ .listener = l,
		    .events = POLLIN };
		printf("%s\n", address);
	}
	fflush(stdout);
	count = listeners;
	while (ipc_poll(items, count, -1) >= 0)
		for (size_t i = count; i-- > 0;) {
			if (items[i].revents == 0)
				continue;
			if (i < listeners)
				welcome(items[i].listener);
			else
				hear(i);
		}
	errx(1, "%s", ipc_errmsg());
}
