/* SPDX-License-Identifier: ISC */
/*
 * Message queues, two for a link.  What does not fit into one message of the
 * queue goes in several.
 */
#include <sys/msg.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"

#define PIECE	8192		/* the default of either kind */
#define DEEP	10

struct queue_message {
	long	type;
	char	data[PIECE];
};

struct queue_end {
	struct link	*link;
	int		 in, out;
	size_t		 piece;
	struct queue_message room;
};

/* In link->state: [0] to side 0, [1] to side 1. */
static int *
queues_new(struct link *l)
{
	int *q = malloc(2 * sizeof *q);

	if (q)
		q[0] = q[1] = -1;
	else
		subject_fail(ENOMEM, "queues");
	l->state = q;
	return q;
}

static size_t
piece_of(const struct link *l)
{
	return l->size < PIECE ? l->size : PIECE;
}

static int
queue_attach(struct link *l, int side, void **end)
{
	struct queue_end *e = calloc(1, sizeof *e);
	int *q = l->state;

	if (!e)
		return subject_fail(ENOMEM, "queue");
	e->link = l;
	e->in = q[side];
	e->out = q[!side];
	e->piece = piece_of(l);
	*end = e;
	return 0;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * System V
 */

static int
sysv_prepare(struct link *l)
{
	int *q = queues_new(l);

	for (int i = 0; q && i < 2; i++) {
		q[i] = msgget(IPC_PRIVATE, 0600);
		if (q[i] < 0)
			return subject_fail(errno, "msgget");
		subject_note_queue(q[i]);
	}
	return q ? 0 : -ENOMEM;
}

static int
sysv_send(void *end, const void *data, size_t size)
{
	struct queue_end *e = end;
	const char *p = data;

	while (size > 0) {
		size_t n = smaller(size, e->piece);

		e->room.type = 1;
		memcpy(e->room.data, p, n);
		if (msgsnd(e->out, &e->room, n, 0) == 0)
			p += n, size -= n;
		else if (errno != EINTR)
			return subject_fail(errno, "msgsnd");
	}
	return 0;
}

static ssize_t
sysv_recv(void *end, void *buffer, size_t size)
{
	struct queue_end *e = end;
	char *p = buffer;
	size_t left = size;

	while (left > 0) {
		ssize_t n = msgrcv(e->in, &e->room, e->piece, 0, 0);

		if (n > 0 && (size_t)n <= left) {
			memcpy(p, e->room.data, (size_t)n);
			p += n, left -= (size_t)n;
		} else if (n >= 0 || errno != EINTR)
			return subject_fail(errno, "msgrcv");
	}
	return (ssize_t)size;
}

static void
queue_detach(void *end)
{
	free(end);
}

static void
sysv_clean(struct link *l)
{
	int *q = l->state;

	for (int i = 0; i < 2; i++)
		msgctl(q[i], IPC_RMID, NULL);
}

const struct subject raw_sysvmq = {
	.name = "sysv queue",
	.kind = SUBJECT_RAW,
	.traits = SUBJECT_FIXED,
	.prepare = sysv_prepare,
	.attach = queue_attach,
	.send = sysv_send,
	.recv = sysv_recv,
	.detach = queue_detach,
	.clean = sysv_clean
};

/*
 * POSIX: the name is gone before anybody could leave it behind
 */

static int
posix_prepare(struct link *l)
{
	struct mq_attr attr = { .mq_maxmsg = DEEP,
	    .mq_msgsize = (long)piece_of(l) };
	char name[64];
	int *q = queues_new(l);

	for (int i = 0; q && i < 2; i++) {
		snprintf(name, sizeof name, "/%s-%d", l->name, i);
		q[i] = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600, &attr);
		if (q[i] < 0)
			return subject_fail(errno, "mq_open");
		mq_unlink(name);
	}
	return q ? 0 : -ENOMEM;
}

static int
posix_send(void *end, const void *data, size_t size)
{
	struct queue_end *e = end;
	const char *p = data;

	while (size > 0) {
		size_t n = smaller(size, e->piece);

		if (mq_send(e->out, p, n, 0) == 0)
			p += n, size -= n;
		else if (errno != EINTR)
			return subject_fail(errno, "mq_send");
	}
	return 0;
}

static ssize_t
posix_recv(void *end, void *buffer, size_t size)
{
	struct queue_end *e = end;
	char *p = buffer;
	size_t left = size;

	while (left > 0) {
		/* Room for a whole message, as mq_receive(3) wants it. */
		bool fits = left >= e->piece;
		ssize_t n = mq_receive(e->in, fits ? p : e->room.data,
		    e->piece, NULL);

		if (n > 0 && (size_t)n <= left) {
			if (!fits)
				memcpy(p, e->room.data, (size_t)n);
			p += n, left -= (size_t)n;
		} else if (n >= 0 || errno != EINTR)
			return subject_fail(errno, "mq_receive");
	}
	return (ssize_t)size;
}

static int
posix_fd(void *end)
{
	return ((struct queue_end *)end)->in;
}

const struct subject raw_posixmq = {
	.name = "posix queue",
	.kind = SUBJECT_RAW,
	.traits = SUBJECT_FIXED,
	.prepare = posix_prepare,
	.attach = queue_attach,
	.send = posix_send,
	.recv = posix_recv,
	.fd = posix_fd,
	.detach = queue_detach
};
