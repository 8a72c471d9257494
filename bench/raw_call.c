/* SPDX-License-Identifier: ISC */
/*
 * The least that a call needs of a socket: a frame there, with a number and its
 * length, and a frame back; one write(2) and one read(2) each.  Many calls are
 * one write.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"

#define ROOM	8192
#define MOST	512			/* bytes of arguments */

struct frame {
	uint32_t	size, number;
	char		data[MOST];
};
#define HEAD	offsetof(struct frame, data)

struct framed_end {
	int	 fd;
	uint32_t number;
	size_t	 from, till;		/* of what was read */
	size_t	 out;			/* bytes to be written */
	char	 in_room[ROOM], out_room[ROOM];
};

static int
framed_prepare(struct link *l)
{
	int *fds = malloc(2 * sizeof *fds);

	l->state = fds;
	if (!fds)
		return subject_fail(ENOMEM, "sockets");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return subject_fail(errno, "socketpair");
	return 0;
}

static int
framed_attach(struct link *l, int side, void **end)
{
	struct framed_end *e = calloc(1, sizeof *e);
	int *fds = l->state;

	if (!e)
		return subject_fail(ENOMEM, "socket");
	e->fd = fds[side];
	close(fds[!side]);
	*end = e;
	return 0;
}

static void
put(struct framed_end *e, const void *data, size_t size, uint32_t number)
{
	uint32_t head[2] = { (uint32_t)size, number };

	memcpy(e->out_room + e->out, head, sizeof head);
	memcpy(e->out_room + e->out + HEAD, data, size);
	e->out += HEAD + size;
}

static int
put_out(struct framed_end *e)
{
	size_t done = 0;

	while (done < e->out) {
		ssize_t n = write(e->fd, e->out_room + done, e->out - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return subject_fail(errno, "write");
	}
	e->out = 0;
	return 0;
}

/* More of what was sent, behind what is there. */
static int
take_in(struct framed_end *e)
{
	ssize_t n;

	memmove(e->in_room, e->in_room + e->from, e->till - e->from);
	e->till -= e->from;
	e->from = 0;
	do
		n = read(e->fd, e->in_room + e->till, ROOM - e->till);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return subject_fail(n < 0 ? errno : EPIPE, "read");
	e->till += (size_t)n;
	return 0;
}

/* The next whole frame; 0: none is there. */
static int
next(struct framed_end *e, struct frame *f)
{
	size_t left = e->till - e->from;

	if (left < HEAD)
		return 0;
	memcpy(f, e->in_room + e->from, HEAD);
	if (f->size > MOST)
		return subject_fail(EBADMSG, "a frame of %u bytes", f->size);
	if (left < HEAD + f->size)
		return 0;
	memcpy(f->data, e->in_room + e->from + HEAD, f->size);
	e->from += HEAD + f->size;
	return 1;
}

static int
next_waiting(struct framed_end *e, struct frame *f)
{
	int rc;

	while ((rc = next(e, f)) == 0)
		if ((rc = take_in(e)) < 0)
			break;
	return rc;
}

/* The answer to the call of this number; its length. */
static ssize_t
answer_to(struct framed_end *e, uint32_t number, void *buffer, size_t size)
{
	struct frame f;
	int rc = next_waiting(e, &f);

	if (rc < 0)
		return rc;
	if (f.number != number)
		return subject_fail(EBADMSG, "another call's answer");
	if (f.size > 0 && f.size <= size)
		memcpy(buffer, f.data, f.size);
	return (ssize_t)f.size;
}

static ssize_t
framed_call(void *end, const void *data, size_t size, void *buffer)
{
	struct framed_end *e = end;
	int rc;

	put(e, data, size, ++e->number);
	rc = put_out(e);
	return rc < 0 ? rc : answer_to(e, e->number, buffer, size);
}

static int
framed_call_many(void *end, int count)
{
	struct framed_end *e = end;
	uint32_t number = e->number;
	ssize_t n;
	int rc;

	for (int i = 0; i < count; i++)
		put(e, "", 0, ++e->number);
	rc = put_out(e);
	while (rc >= 0 && number != e->number) {
		n = answer_to(e, ++number, NULL, 0);
		if (n != 0)
			rc = n < 0 ? (int)n : subject_fail(EBADMSG, "answer");
	}
	return rc;
}

static int
framed_serve(void *end, struct subject_work *work)
{
	struct framed_end *e = end;
	struct frame f;
	bool more = true;
	int rc = 0;

	while (rc >= 0 && more) {
		rc = next_waiting(e, &f);
		if (rc < 0)
			break;
		do {
			more = subject_served(work, f.data, f.size);
			put(e, f.data, f.size, f.number);
		} while (more && (rc = next(e, &f)) > 0);
		if (rc >= 0)
			rc = put_out(e);
	}
	return rc;
}

static void
framed_detach(void *end)
{
	struct framed_end *e = end;

	close(e->fd);
	free(e);
}

const struct subject raw_call = {
	.name = "unix framed",
	.kind = SUBJECT_RAW,
	.prepare = framed_prepare,
	.attach = framed_attach,
	.call = framed_call,
	.call_many = framed_call_many,
	.serve = framed_serve,
	.detach = framed_detach
};
