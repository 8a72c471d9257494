/* SPDX-License-Identifier: ISC */
/*
 * Sending frames.  The ordinary one is put together on the stack and goes at
 * once; a long body is not copied.  What finds no room is copied to a queue,
 * so that whoever sends never waits for whoever does not receive.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc.h"

#define SMALL	512	/* bytes up to which a frame is put together */

/* A frame that waits, as it goes over the channel. */
struct ipc__rpc_frame {
	struct ipc__rpc_frame	*next;
	size_t			 size;
	unsigned		 fd_count;
	int			 fds[IPC_FDS_MAX];
	unsigned char		 data[];
};

void
ipc__rpc_out_init(struct ipc__rpc_out *o, struct ipc_channel *ch, bool passes)
{
	o->ch = ch;
	o->passes = passes;
	o->announced = false;
	o->first = NULL;
	o->last = &o->first;
	o->bytes = 0;
	o->held = false;
}

static void
frame_free(struct ipc__rpc_frame *f)
{
	while (f->fd_count > 0)
		close(f->fds[--f->fd_count]);
	free(f);
}

void
ipc__rpc_out_free(struct ipc__rpc_out *o)
{
	struct ipc__rpc_frame *f;

	while ((f = o->first) != NULL) {
		o->first = f->next;
		frame_free(f);
	}
	ipc__rpc_out_init(o, NULL, false);
}

/* The header and the name, filled up; returns their length. */
static size_t
begin(unsigned char *p, const struct ipc__rpc_msg *m)
{
	size_t name = m->head.n & IPC__RPC_NAME, body;

	ipc__rpc_put(p, &m->head);
	if (m->name == NULL)
		return IPC__RPC_HEAD;
	body = ipc__rpc_body(name);
	memset(p + body - 8, 0, 8);
	memcpy(p + IPC__RPC_HEAD, m->name, name);
	return body;
}

static int
announce(struct ipc__rpc_out *o, unsigned fd_count)
{
	struct ipc__rpc_head head = { .type = IPC__RPC_FDS, .n = fd_count };
	unsigned char p[IPC__RPC_HEAD];
	int rc;

	ipc__rpc_put(p, &head);
	rc = ipc_send(o->ch, p, sizeof p, 0);
	if (rc == -EAGAIN)
		(void)ipc_abandon(o->ch);
	o->announced = rc == 0;
	return rc;
}

/* Tells that descriptors follow, and sends them with their message. */
static int
try_fds(struct ipc__rpc_out *o, struct iovec *iov, int count, const int *fds,
    unsigned fd_count)
{
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = iov,
	    .iov_count = count, .fds = (int *)(uintptr_t)fds,
	    .fd_count = fd_count };
	int rc;

	if (!o->passes)
		return ipc__fail(EOPNOTSUPP, "descriptors do not travel on "
		    "this channel");
	if (!o->announced && (rc = announce(o, fd_count)) < 0)
		return rc;
	rc = ipc_sendmsg(o->ch, &msg, 0, 0);
	if (rc != -EAGAIN)
		o->announced = false;
	return rc;
}

static int
try_now(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m)
{
	unsigned char p[SMALL + IPC__RPC_HEAD + IPC_RPC_METHOD_MAX + 8];
	struct iovec iov[2];
	size_t n = begin(p, m);

	if (ipc__likely(m->size <= SMALL && m->fd_count == 0)) {
		if (m->size > 0)
			memcpy(p + n, m->body, m->size);
		return ipc_send(o->ch, p, n + m->size, 0);
	}
	iov[0] = (struct iovec){ p, n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)m->body, m->size };
	if (m->fd_count > 0)
		return try_fds(o, iov, 2, m->fds, m->fd_count);
	return ipc_sendv(o->ch, iov, 2, 0);
}

int
ipc__rpc_try(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m)
{
	int rc;

	/* held: what lies in the queue came while this one was begun. */
	if (ipc__unlikely(o->first != NULL && !o->held) &&
	    (rc = ipc__rpc_flush(o)) < 0)
		return rc;
	return try_now(o, m);
}

void
ipc__rpc_give_up(struct ipc__rpc_out *o)
{
	(void)ipc_abandon(o->ch);
	o->announced = false;
	o->held = false;
}

static int
copy_fds(struct ipc__rpc_frame *f, const int *fds, unsigned count)
{
	int fd;

	while (f->fd_count < count) {
		fd = fcntl(fds[f->fd_count], F_DUPFD_CLOEXEC, 0);
		if (fd == -1)
			return ipc__fail_sys("fcntl");
		f->fds[f->fd_count++] = fd;
	}
	return 0;
}

static struct ipc__rpc_frame *
frame_new(const struct ipc__rpc_msg *m)
{
	struct ipc__rpc_frame *f;
	size_t most = ipc__rpc_body(IPC_RPC_METHOD_MAX);

	f = malloc(sizeof *f + most + m->size);
	if (f == NULL) {
		ipc__fail(ENOMEM, "no memory to queue %zu bytes", m->size);
		return NULL;
	}
	f->next = NULL;
	f->fd_count = 0;
	f->size = begin(f->data, m);
	if (m->size > 0)
		memcpy(f->data + f->size, m->body, m->size);
	f->size += m->size;
	return f;
}

static void
append(struct ipc__rpc_out *o, struct ipc__rpc_frame *f)
{
	*o->last = f;
	o->last = &f->next;
	o->bytes += f->size;
}

/* Of a message with descriptors the announcement is queued before it, unless
 * it is out already. */
static int
queue(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m)
{
	struct ipc__rpc_msg fds = { .head = { .type = IPC__RPC_FDS,
	    .n = m->fd_count } };
	struct ipc__rpc_frame *f = frame_new(m), *first = NULL;
	int rc = f == NULL ? -ENOMEM : copy_fds(f, m->fds, m->fd_count);

	if (rc == 0 && m->fd_count > 0 && !o->announced) {
		first = frame_new(&fds);
		if (first == NULL)
			rc = -ENOMEM;
		else
			append(o, first);
	}
	if (rc == 0)
		append(o, f);
	else if (f != NULL)
		frame_free(f);
	return rc;
}

int
ipc__rpc_send(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m)
{
	int rc = -EAGAIN;

	if (ipc__likely(o->first == NULL && !o->held))
		rc = try_now(o, m);
	if (ipc__likely(rc != -EAGAIN))
		return rc;
	rc = queue(o, m);
	/* Then it is this one that may be begun. */
	if (rc < 0 && o->first == NULL && !o->held)
		ipc__rpc_give_up(o);
	return rc;
}

static int
flush_one(struct ipc__rpc_out *o, struct ipc__rpc_frame *f)
{
	struct iovec iov = { f->data, f->size };

	if (f->fd_count == 0)
		return ipc_send(o->ch, f->data, f->size, 0);
	o->announced = true;		/* it was queued before, or is out */
	return try_fds(o, &iov, 1, f->fds, f->fd_count);
}

int
ipc__rpc_flush(struct ipc__rpc_out *o)
{
	struct ipc__rpc_frame *f;
	int rc;

	while (!o->held && (f = o->first) != NULL) {
		rc = flush_one(o, f);
		if (rc < 0)
			return rc;
		o->bytes -= f->size;
		o->first = f->next;
		if (o->first == NULL)
			o->last = &o->first;
		frame_free(f);
	}
	return o->first != NULL ? -EAGAIN : 0;
}
