/* SPDX-License-Identifier: ISC */
/*
 * Sockets that keep messages apart: Unix sequenced packets and datagrams, UDP.
 * One message is one send(2); many are one sendmmsg(2).
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "raw.h"

#define MANY		64	/* messages of one system call */
#define UDP_MOST	65507

struct packet_end {
	struct link	*link;
	int		 side, fd;
};

/* The parameter: the type of the socket. */
static const int packets = SOCK_SEQPACKET, datagrams = SOCK_DGRAM;

static int
share_out(struct link *l, const int *fds)
{
	struct raw_fds *f = l->state;

	for (int i = 0; i < 2; i++) {
		f->fd[i][0] = f->fd[i][1] = fds[i];
		raw_socket_room(fds[i], l->size);
	}
	return 0;
}

static int
unix_prepare(struct link *l)
{
	int type = *(const int *)l->subject->parameter, fds[2];

	if (!raw_fds_new(l))
		return -ENOMEM;
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
		return subject_fail(errno, "socketpair");
	return share_out(l, fds);
}

static int
udp_prepare(struct link *l)
{
	int fds[2], rc;

	if (!raw_fds_new(l))
		return -ENOMEM;
	rc = raw_inet_pair(SOCK_DGRAM, fds);
	return rc < 0 ? rc : share_out(l, fds);
}

static int
packet_attach(struct link *l, int side, void **end)
{
	struct raw_fds *f = l->state;
	struct packet_end *e = malloc(sizeof *e);

	if (!e)
		return subject_fail(ENOMEM, "socket");
	raw_fds_split(l, side);
	*e = (struct packet_end){ l, side, f->fd[side][0] };
	*end = e;
	return 0;
}

static int
packet_send(void *end, const void *data, size_t size)
{
	const struct packet_end *e = end;
	ssize_t n;

	do
		n = send(e->fd, data, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? subject_fail(errno, "send") : 0;
}

static ssize_t
packet_recv(void *end, void *buffer, size_t size)
{
	const struct packet_end *e = end;
	ssize_t n;

	do
		n = recv(e->fd, buffer, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? subject_fail(errno, "recv") : n;
}

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

static int
packet_send_many(void *end, const struct iovec *messages, int count)
{
	const struct packet_end *e = end;
	struct mmsghdr m[MANY];
	int n;

	while (count > 0) {
		for (int i = 0; i < smaller(count, MANY); i++)
			m[i] = (struct mmsghdr){ .msg_hdr = {
			    .msg_iov = (struct iovec *)(uintptr_t)&messages[i],
			    .msg_iovlen = 1 } };
		n = sendmmsg(e->fd, m, (unsigned)smaller(count, MANY),
		    MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return subject_fail(errno, "sendmmsg");
		if (n > 0) {
			messages += n;
			count -= n;
		}
	}
	return 0;
}

static int
packet_recv_many(void *end, struct iovec *messages, int count)
{
	const struct packet_end *e = end;
	struct mmsghdr m[MANY];
	int n;

	count = smaller(count, MANY);
	for (int i = 0; i < count; i++)
		m[i] = (struct mmsghdr){ .msg_hdr = {
		    .msg_iov = &messages[i], .msg_iovlen = 1 } };
	do
		n = recvmmsg(e->fd, m, (unsigned)count, MSG_WAITFORONE, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return subject_fail(errno, "recvmmsg");
	for (int i = 0; i < n; i++)
		messages[i].iov_len = m[i].msg_len;
	return n;
}

static int
packet_fd(void *end)
{
	return ((struct packet_end *)end)->fd;
}

static void
packet_detach(void *end)
{
	struct packet_end *e = end;

	raw_fds_close(e->link, e->side);
	free(e);
}

#define PACKET(label, how, what, loses, most)				\
{									\
	.name = (label),						\
	.kind = SUBJECT_RAW,						\
	.traits = SUBJECT_FIXED | (loses),				\
	.largest = (most),						\
	.parameter = (what),						\
	.prepare = (how),						\
	.attach = packet_attach,					\
	.send = packet_send,						\
	.recv = packet_recv,						\
	.send_many = packet_send_many,					\
	.recv_many = packet_recv_many,					\
	.fd = packet_fd,						\
	.detach = packet_detach						\
}

const struct subject raw_packet = PACKET("unix seqpacket", unix_prepare,
    &packets, 0, 0);
const struct subject raw_gram = PACKET("unix dgram", unix_prepare, &datagrams,
    0, 0);
const struct subject raw_udp = PACKET("udp", udp_prepare, NULL, SUBJECT_LOSES,
    UDP_MOST);
