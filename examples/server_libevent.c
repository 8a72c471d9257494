/* SPDX-License-Identifier: ISC */
/* LIBS: libevent */
/*
 * The server of server_epoll.c inside somebody else's event loop: a channel
 * gives its descriptor, and libevent says when to call it.  Try it with
 * client:	server_libevent [unix:/tmp/example.sock]
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include <ipc/ipc.h>

struct client {
	struct ipc_channel	*ch;
	struct event		*event;
};

static struct event_base *base;

static struct event *
watch(int fd, event_callback_fn call, void *arg)
{
	struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, call, arg);

	if (fd < 0 || !ev || event_add(ev, NULL) < 0)
		errx(1, "libevent does not take descriptor %d", fd);
	return ev;
}

static void
serve(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	char text[4096];
	ssize_t n;

	(void)fd, (void)what;
	while ((n = ipc_recv(c->ch, text, sizeof text, 0)) >= 0) {
		for (ssize_t i = 0; i < n; i++)
			text[i] = (char)toupper((unsigned char)text[i]);
		if (ipc_send(c->ch, text, (size_t)n, 0) < 0)
			break;
	}
	if (n == -EAGAIN)
		return;
	event_free(c->event);
	ipc_close(c->ch);
	free(c);
}

static void
welcome(evutil_socket_t fd, short what, void *listener)
{
	struct client *c = calloc(1, sizeof *c);

	(void)fd, (void)what;
	if (!c || ipc_accept(&c->ch, listener, 0) < 0)
		free(c);
	else
		c->event = watch(ipc_fd(c->ch, IPC_RECV, NULL), serve, c);
}

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : "unix:/tmp/example.sock";
	struct ipc_listener *listener;

	base = event_base_new();
	if (!base)
		errx(1, "libevent does not start");
	if (ipc_listen(&listener, address, 0) < 0)
		errx(1, "%s", ipc_errmsg());
	watch(ipc_listener_fd(listener), welcome, listener);
	return event_base_dispatch(base) < 0;
}
