/* SPDX-License-Identifier: ISC */
/*
 * Byte streams of the kernel: pipes, FIFOs, Unix sockets, TCP.  One message is
 * one write(2), of a size that both sides know.  Many are framed, each behind
 * its length, and written and read 64 KiB at a time.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"

#define FRAMES		((size_t)64 << 10)	/* written at once */
#define PIPE_LARGE	(1 << 20)

struct stream_end {
	struct link	*link;
	int		 side, in, out;
	/* For many: what is written next, and what was read. */
	char		*write, *read;
	size_t		 from, till;		/* of what was read */
};

/*
 * Ways to make them
 */

static int
pipes_prepare(struct link *l)
{
	struct raw_fds *f = raw_fds_new(l);
	int fds[2];

	if (!f)
		return -ENOMEM;
	for (int to = 0; to < 2; to++) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return subject_fail(errno, "pipe2");
		f->fd[to][0] = fds[0];
		f->fd[!to][1] = fds[1];
		if (l->subject->parameter && fcntl(fds[1], F_SETPIPE_SZ,
		    PIPE_LARGE) < 0)
			return subject_fail(errno, "F_SETPIPE_SZ");
	}
	return 0;
}

static int
fifos_prepare(struct link *l)
{
	struct raw_fds *f = raw_fds_new(l);
	char path[256];

	if (!f)
		return -ENOMEM;
	for (int to = 0; to < 2; to++) {
		subject_path(l, to ? "there" : "back", path, sizeof path);
		if (mkfifo(path, 0600) < 0)
			return subject_fail(errno, "%s", path);
		/* Both ways, so that it waits for nobody. */
		f->fd[!to][1] = open(path, O_RDWR | O_CLOEXEC);
		f->fd[to][0] = open(path, O_RDONLY | O_CLOEXEC);
		unlink(path);
		if (f->fd[to][0] < 0 || f->fd[!to][1] < 0)
			return subject_fail(errno, "%s", path);
	}
	return 0;
}

static int
unix_prepare(struct link *l)
{
	struct raw_fds *f = raw_fds_new(l);
	int fds[2];

	if (!f)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return subject_fail(errno, "socketpair");
	for (int i = 0; i < 2; i++) {
		f->fd[i][0] = f->fd[i][1] = fds[i];
		raw_socket_room(fds[i], l->size);
	}
	return 0;
}

static int
tcp_prepare(struct link *l)
{
	struct raw_fds *f = raw_fds_new(l);
	int fds[2] = { -1, -1 }, rc;

	if (!f)
		return -ENOMEM;
	rc = raw_inet_pair(SOCK_STREAM, fds);
	for (int i = 0; i < 2; i++)
		f->fd[i][0] = f->fd[i][1] = fds[i];
	return rc;
}

/*
 * What is the same for all
 */

static int
stream_attach(struct link *l, int side, void **end)
{
	struct raw_fds *f = l->state;
	struct stream_end *e = calloc(1, sizeof *e);

	if (!e)
		return subject_fail(ENOMEM, "stream");
	e->link = l;
	e->side = side;
	raw_fds_split(l, side);
	e->in = f->fd[side][0];
	e->out = f->fd[side][1];
	*end = e;
	return 0;
}

static int
stream_send(void *end, const void *data, size_t size)
{
	return raw_write(((struct stream_end *)end)->out, data, size);
}

static ssize_t
stream_recv(void *end, void *buffer, size_t size)
{
	int rc = raw_read(((struct stream_end *)end)->in, buffer, size);

	return rc < 0 ? rc : (ssize_t)size;
}

static int
stream_fd(void *end)
{
	return ((struct stream_end *)end)->in;
}

/* Buffers for many come with the first of them. */
static int
make_buffer(char **buffer, size_t message)
{
	if (!*buffer)
		*buffer = malloc(FRAMES + message + 4);
	return *buffer ? 0 : subject_fail(ENOMEM, "buffer");
}

static int
stream_send_many(void *end, const struct iovec *messages, int count)
{
	struct stream_end *e = end;
	size_t have = 0;
	int rc = make_buffer(&e->write, e->link->size);

	for (int i = 0; rc >= 0 && i < count; i++) {
		uint32_t size = (uint32_t)messages[i].iov_len;

		if (have + 4 + size > FRAMES && have > 0) {
			rc = raw_write(e->out, e->write, have);
			have = 0;
		}
		memcpy(e->write + have, &size, 4);
		memcpy(e->write + have + 4, messages[i].iov_base, size);
		have += 4 + size;
	}
	return rc < 0 ? rc : raw_write(e->out, e->write, have);
}

/* Reads until at least one message is whole. */
static int
fill(struct stream_end *e)
{
	size_t whole = 4 + e->link->size;
	ssize_t n;

	if (e->till - e->from >= whole)
		return 0;
	memmove(e->read, e->read + e->from, e->till - e->from);
	e->till -= e->from;
	e->from = 0;
	while (e->till < whole) {
		n = read(e->in, e->read + e->till, FRAMES + whole - e->till);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return subject_fail(n < 0 ? errno : EPIPE, "read");
		e->till += (size_t)n;
	}
	return 0;
}

static int
stream_recv_many(void *end, struct iovec *messages, int count)
{
	struct stream_end *e = end;
	int n, rc = make_buffer(&e->read, e->link->size);

	if (rc >= 0)
		rc = fill(e);
	for (n = 0; rc >= 0 && n < count; n++) {
		uint32_t size;

		if (e->till - e->from < 4)
			break;
		memcpy(&size, e->read + e->from, 4);
		if (size > e->till - e->from - 4)
			break;
		messages[n].iov_base = e->read + e->from + 4;
		messages[n].iov_len = size;
		e->from += 4 + size;
	}
	return rc < 0 ? rc : n;
}

static void
stream_detach(void *end)
{
	struct stream_end *e = end;

	raw_fds_close(e->link, e->side);
	free(e->write);
	free(e->read);
	free(e);
}

#define STREAM(label, how, what)					\
{									\
	.name = (label),						\
	.kind = SUBJECT_RAW,						\
	.traits = SUBJECT_FIXED,					\
	.parameter = (what),						\
	.prepare = (how),						\
	.attach = stream_attach,					\
	.send = stream_send,						\
	.recv = stream_recv,						\
	.send_many = stream_send_many,					\
	.recv_many = stream_recv_many,					\
	.fd = stream_fd,						\
	.detach = stream_detach						\
}

const struct subject raw_pipe = STREAM("pipe", pipes_prepare, NULL);
const struct subject raw_pipe_large = STREAM("pipe of 1 MiB", pipes_prepare,
    "");
const struct subject raw_fifo = STREAM("fifo", fifos_prepare, NULL);
const struct subject raw_unix = STREAM("unix stream", unix_prepare, NULL);
const struct subject raw_tcp = STREAM("tcp", tcp_prepare, NULL);
