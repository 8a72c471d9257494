/* SPDX-License-Identifier: ISC */
/*
 * Standard input and output relayed to and from a channel, both ways at once:
 * what is behind ipc cat and ipc spawn.  Whatever can not be sent yet is held
 * while the receiving goes on, so that two ends that write much to each other
 * never stand still.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "common.h"

struct relay {
	struct ipc_channel	*ch;
	bool			 stream;
	bool			 reading;	/* standard input */
	bool			 sending;
	bool			 receiving;
	size_t			 chunk;		/* largest message we make */
	size_t			 begin, end;	/* read, unsent */
	int			 gone_fd;	/* -1: gone, or none */
	struct ipc_pollitem	 items[3];
	size_t			 count;
	char			 held[CHUNK];
};

/* 0: done or put off; otherwise the channel does not take any more. */
static int
send_held(struct relay *r)
{
	ssize_t n;

	while (r->begin < r->end) {
		if (r->stream)
			n = ipc_write(r->ch, r->held + r->begin,
			    r->end - r->begin, 0);
		else
			n = ipc_send(r->ch, r->held, r->end, 0);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		r->begin = r->stream ? r->begin + (size_t)n : r->end;
	}
	r->begin = r->end = 0;
	return 0;
}

/* Nobody is there to send to: it is no failure of ours that a program stopped
 * reading, but it is one if the channel broke. */
static int
give_up_sending(struct relay *r, int rc)
{
	r->reading = r->sending = false;
	r->begin = r->end = 0;
	return rc == -EPIPE ? 0 : failed();
}

/* Once all is sent.  Where the other end can not be told, nothing is lost. */
static void
end_sending(struct relay *r)
{
	if (!r->sending || r->reading || r->begin < r->end)
		return;
	if (ipc_shutdown(r->ch, IPC_SEND) != -EAGAIN)
		r->sending = false;
}

static int
forward_input(struct relay *r)
{
	ssize_t n;

	n = read(STDIN_FILENO, r->held, r->chunk);
	if (n > 0)
		r->end = (size_t)n;
	else if (n == 0 || errno == EBADF)
		r->reading = false;
	else if (errno != EINTR && errno != EAGAIN) {
		warn("standard input");
		return EXIT_FAILED;
	}
	return 0;
}

static ssize_t
receive_some(struct relay *r)
{
	static char buffer[CHUNK];
	const void *data;
	ssize_t n;

	if (r->stream) {
		n = ipc_read(r->ch, buffer, sizeof buffer, 0);
		data = buffer;
		if (n == 0)
			return -EPIPE;
	} else
		n = ipc_peek(r->ch, &data, 0);
	if (n < 0)
		return n;
	if (write_all(STDOUT_FILENO, data, (size_t)n) < 0)
		return 1;
	return r->stream ? 0 : ipc_release(r->ch);
}

/* Whoever reads our output sees the end now; the number stays taken, so that
 * nothing else comes to be standard output. */
static void
end_output(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDOUT_FILENO);
	close(fd);
}

static int
receive(struct relay *r)
{
	ssize_t rc = receive_some(r);

	if (rc == 0 || rc == -EAGAIN)
		return 0;
	r->receiving = false;
	end_output();
	if (rc == 1)
		return EXIT_FAILED;
	return rc == -EPIPE ? 0 : failed();
}

static void
add_item(struct relay *r, struct ipc_channel *ch, int fd, int events)
{
	r->items[r->count++] = (struct ipc_pollitem){ .channel = ch, .fd = fd,
	    .events = (short)events };
}

/*
 * What there is to wait for, in this order.  What nothing is expected of is
 * left out, as poll(2) would tell of its hang-up for ever.
 */
static void
list_items(struct relay *r)
{
	bool held = r->begin < r->end;
	int events = 0;

	r->count = 0;
	if (r->receiving)
		events |= POLLIN;
	if (r->sending && (held || !r->reading))
		events |= POLLOUT;
	if (events)
		add_item(r, r->ch, -1, events);
	if (r->reading && !held)
		add_item(r, NULL, STDIN_FILENO, POLLIN);
	if (r->gone_fd >= 0)
		add_item(r, NULL, r->gone_fd, POLLIN);
}

/* Does all that there is to do now.  A failure is remembered and the other
 * direction goes on. */
static int
step(struct relay *r)
{
	int rc, status = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct ipc_pollitem *item = &r->items[i];

		if (!item->revents)
			continue;
		if (item->channel && r->receiving)
			status |= receive(r);
		else if (!item->channel && item->fd == STDIN_FILENO)
			status |= forward_input(r);
		else if (!item->channel)
			r->gone_fd = -1;
	}
	rc = send_held(r);
	if (rc < 0)
		status |= give_up_sending(r, rc);
	end_sending(r);
	return status;
}

/* The receiving has ended, and nothing tells whether anybody still listens:
 * a person at a terminal should not have to find out by typing. */
static bool
finished(const struct relay *r, bool watched)
{
	if (r->receiving)
		return false;
	return !r->sending || (watched && r->gone_fd < 0) ||
	    isatty(STDIN_FILENO);
}

int
relay_stdio(struct ipc_channel *ch, int quiet, int gone_fd)
{
	static struct relay r;
	struct ipc_info info = info_of(ch);
	int n, status = EXIT_OK;

	r = (struct relay){ .ch = ch, .stream = info.boundary == IPC_STREAM,
	    .reading = true, .sending = true, .receiving = true,
	    .gone_fd = gone_fd, .chunk = sizeof r.held };
	if (!r.stream && info.max_message < r.chunk)
		r.chunk = info.max_message;
	while (!finished(&r, gone_fd >= 0)) {
		list_items(&r);
		n = ipc_poll(r.items, r.count, r.sending ? -1 : quiet);
		if (n < 0)
			return failed();
		if (n == 0)
			break;
		status |= step(&r);
	}
	return status;
}
