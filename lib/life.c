/* SPDX-License-Identifier: ISC */
/*
 * The life line (see life.h): a SOCK_SEQPACKET pair that carries control
 * records and descriptors.  Either side of a channel may look, from its own
 * thread, so what was read is kept under a lock; nothing here is on the path of
 * an ordinary message.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "frame.h"
#include "life.h"

union control_space {
	struct cmsghdr	header;
	char		space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

ssize_t
ipc__control_send(int fd, const void *data, size_t size, const int *fds,
    unsigned fd_count)
{
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control_space control;
	struct cmsghdr *c;
	ssize_t n;

	if (fd_count > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -errno : n;
}

/* Moves what came into fds; what has no room is closed. */
static void
keep_fds(struct msghdr *msg, int *fds, unsigned room, unsigned *count)
{
	struct cmsghdr *c;
	size_t i, n;
	int fd;

	*count = 0;
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
			if (*count < room)
				fds[(*count)++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t
ipc__control_recv(int fd, void *data, size_t size, int *fds,
    unsigned *fd_count, bool *lost)
{
	struct iovec iov = { data, size };
	union control_space control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = &control, .msg_controllen = sizeof control };
	unsigned room = *fd_count;
	ssize_t n;

	*fd_count = 0;
	*lost = false;
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n == -1)
		return -errno;
	keep_fds(&msg, fds, room, fd_count);
	*lost = (msg.msg_flags & MSG_CTRUNC) != 0;
	/* No record of ours is empty. */
	return n == 0 ? -EPIPE : n;
}

int
ipc__life_new(struct ipc__life **life, int fd)
{
	struct ipc__life *l = calloc(1, sizeof *l);

	if (l == NULL)
		return ipc__fail(ENOMEM, "no memory for a life line");
	l->fd = fd;
	pthread_mutex_init(&l->lock, NULL);
	*life = l;
	return 0;
}

int
ipc__life_pair(struct ipc__life *ends[2])
{
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		return ipc__fail_sys("socketpair");
	ends[0] = ends[1] = NULL;
	if ((rc = ipc__life_new(&ends[0], fds[0])) < 0 ||
	    (rc = ipc__life_new(&ends[1], fds[1])) < 0) {
		if (ends[0] == NULL)
			close(fds[0]);
		ipc__life_free(ends[0]);
		ends[0] = NULL;
		close(fds[1]);
	}
	return rc;
}

static void
batch_free(struct ipc__batch **b)
{
	unsigned i;

	if (*b == NULL)
		return;
	for (i = 0; i < (*b)->count; i++)
		close((*b)->fds[i]);
	free(*b);
	*b = NULL;
}

void
ipc__life_free(struct ipc__life *l)
{
	int i;

	if (l == NULL || (l->refs > 0 && --l->refs > 0))
		return;
	for (i = 0; i < IPC__LIFE_BATCHES; i++)
		batch_free(&l->batch[i]);
	pthread_mutex_destroy(&l->lock);
	close(l->fd);
	free(l);
}

void
ipc__life_bye(struct ipc__life *l, int dirs)
{
	unsigned char frame[IPC__CONTROL_FRAME];
	socklen_t len = sizeof(int);
	int size;

	ipc__control_put(frame, IPC__CTL_BYE, (unsigned)dirs, 0);
	if (ipc__control_send(l->fd, frame + IPC__HEADER, IPC__CONTROL_SIZE,
	    NULL, 0) != -EAGAIN)
		return;
	/* Full of descriptors that were not fetched: this little more. */
	if (getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == -1)
		return;
	setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	ipc__control_send(l->fd, frame + IPC__HEADER, IPC__CONTROL_SIZE, NULL,
	    0);
}

static struct ipc__batch **
batch_slot(struct ipc__life *l)
{
	int i;

	for (i = 0; i < IPC__LIFE_BATCHES; i++)
		if (l->batch[i] == NULL)
			return &l->batch[i];
	return NULL;
}

/* One record; false when there is no more to read now. */
static bool
look_once(struct ipc__life *l, struct ipc__batch *b)
{
	unsigned char data[IPC__CONTROL_SIZE];
	unsigned kind, arg;
	uint32_t value;
	ssize_t n;

	b->count = IPC_FDS_MAX;
	n = ipc__control_recv(l->fd, data, sizeof data, b->fds, &b->count,
	    &b->lost);
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		l->gone = true;
		return false;
	}
	if (!ipc__control_get(data, (size_t)n, &kind, &arg, &value))
		return true;
	if (kind == IPC__CTL_BYE)
		l->bye |= (int)arg;
	b->serial = value;
	return true;
}

/* No slot is free, so nothing can be received; but what was said behind the
 * batches can be looked at (without their descriptors). */
static void
look_behind(struct ipc__life *l)
{
	struct pollfd p = { .fd = l->fd };
	unsigned char data[IPC__CONTROL_SIZE];
	unsigned kind, arg;
	uint32_t value;
	int offset = 0;
	ssize_t n;

	/* First, so that what was said before the end is seen with it. */
	if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
		l->hung = true;
	while (setsockopt(l->fd, SOL_SOCKET, SO_PEEK_OFF, &offset,
	    sizeof offset) == 0 && (n = recv(l->fd, data, sizeof data,
	    MSG_PEEK | MSG_DONTWAIT)) > 0) {
		if (ipc__control_get(data, (size_t)n, &kind, &arg, &value) &&
		    kind == IPC__CTL_BYE)
			l->bye |= (int)arg;
		offset += (int)n;
	}
	offset = -1;
	setsockopt(l->fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
}

/* Descriptors that came are kept in a slot; rubbish is closed.  Without a free
 * slot reading stops, so that what a peer can make us hold is bounded. */
static void
look_locked(struct ipc__life *l)
{
	struct ipc__batch **slot, *b;
	bool more = true;

	while (more && !l->gone) {
		slot = batch_slot(l);
		atomic_store_explicit(&l->full, slot == NULL,
		    memory_order_relaxed);
		if (slot == NULL) {
			look_behind(l);
			return;
		}
		if ((b = calloc(1, sizeof *b)) == NULL)
			return;
		more = look_once(l, b);
		if (more && (b->count > 0 || b->lost))
			*slot = b;
		else
			batch_free(&b);
	}
}

short
ipc__life_events(struct ipc__life *l)
{
	return atomic_load_explicit(&l->full, memory_order_relaxed) ? 0 :
	    POLLIN;
}

void
ipc__life_look(struct ipc__life *l)
{
	pthread_mutex_lock(&l->lock);
	look_locked(l);
	pthread_mutex_unlock(&l->lock);
}

bool
ipc__life_said_bye(struct ipc__life *l, int dir)
{
	bool yes;

	pthread_mutex_lock(&l->lock);
	yes = (l->bye & dir) != 0;
	pthread_mutex_unlock(&l->lock);
	return yes;
}

bool
ipc__life_ended(struct ipc__life *l, int dir)
{
	bool yes;

	pthread_mutex_lock(&l->lock);
	yes = l->gone || l->hung || (l->bye & dir) != 0;
	pthread_mutex_unlock(&l->lock);
	return yes;
}

int
ipc__life_send_fds(struct ipc__life *l, uint32_t serial, const int *fds,
    unsigned count)
{
	unsigned char frame[IPC__CONTROL_FRAME];
	ssize_t n;

	ipc__control_put(frame, IPC__CTL_FDS, count, serial);
	n = ipc__control_send(l->fd, frame + IPC__HEADER, IPC__CONTROL_SIZE,
	    fds, count);
	if (n == -ECONNRESET)
		n = -EPIPE;
	if (n < 0 && n != -EAGAIN && n != -EPIPE)
		return ipc__fail((int)-n, "sendmsg of %u descriptors: %s",
		    count, ipc_strerror((int)n));
	return n < 0 ? (int)n : 0;
}

struct ipc__batch *
ipc__life_take_fds(struct ipc__life *l, uint32_t serial)
{
	struct ipc__batch *b = NULL;
	int i;

	pthread_mutex_lock(&l->lock);
	look_locked(l);
	for (i = 0; i < IPC__LIFE_BATCHES; i++) {
		if (l->batch[i] == NULL || l->batch[i]->serial != serial)
			continue;
		b = l->batch[i];
		l->batch[i] = NULL;
		atomic_store_explicit(&l->full, false, memory_order_relaxed);
		break;
	}
	pthread_mutex_unlock(&l->lock);
	return b;
}
