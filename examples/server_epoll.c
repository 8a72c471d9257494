/* SPDX-License-Identifier: ISC */
/*
 * A server with any number of clients in one epoll loop: each message goes
 * back in capitals.  The loop does not know what carries them.  Try it with
 * client:	server_epoll [unix:/tmp/example.sock]
 */
#include <sys/epoll.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>

#include <ipc/ipc.h>

static int loop;

static void
watch(int fd, void *what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

	if (fd < 0)
		errx(1, "%s", ipc_errmsg());
	if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &ev) < 0)
		err(1, "epoll_ctl");
}

static void
welcome(struct ipc_listener *listener)
{
	struct ipc_channel *ch;
	int rc = ipc_accept(&ch, listener, 0);

	if (rc == 0)
		watch(ipc_fd(ch, IPC_RECV, NULL), ch);
	else if (rc != -EAGAIN)
		warnx("%s", ipc_errmsg());
}

/* Answers all that is there.  A client that has gone, or that sends without
 * ever taking its answers (-EAGAIN from the send), is let go. */
static void
serve(struct ipc_channel *ch)
{
	char text[4096];
	ssize_t n;

	while ((n = ipc_recv(ch, text, sizeof text, 0)) >= 0) {
		for (ssize_t i = 0; i < n; i++)
			text[i] = (char)toupper((unsigned char)text[i]);
		if (ipc_send(ch, text, (size_t)n, 0) < 0)
			break;
	}
	if (n == -EAGAIN)
		return;
	epoll_ctl(loop, EPOLL_CTL_DEL, ipc_fd(ch, IPC_RECV, NULL), NULL);
	ipc_close(ch);
}

int
main(int argc, char *argv[])
{
	const char *address = argc > 1 ? argv[1] : "unix:/tmp/example.sock";
	struct ipc_listener *listener;
	struct epoll_event ev;

	loop = epoll_create1(EPOLL_CLOEXEC);
	if (loop < 0)
		err(1, "epoll_create1");
	if (ipc_listen(&listener, address, 0) < 0)
		errx(1, "%s", ipc_errmsg());
	watch(ipc_listener_fd(listener), NULL);
	for (;;)
		if (epoll_wait(loop, &ev, 1, -1) != 1)
			continue;		/* a signal */
		else if (ev.data.ptr)
			serve(ev.data.ptr);
		else
			welcome(listener);
}
