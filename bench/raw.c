/* SPDX-License-Identifier: ISC */
/*
 * Descriptors, and the loops around read(2) and write(2).
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "raw.h"

#define ROOM_FROM	((size_t)32 << 10)	/* messages that want more */

int
raw_write(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return subject_fail(errno, "write");
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int
raw_read(int fd, void *buffer, size_t size)
{
	char *p = buffer;

	while (size > 0) {
		ssize_t n = read(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return subject_fail(n < 0 ? errno : EPIPE, "read");
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

struct raw_fds *
raw_fds_new(struct link *l)
{
	struct raw_fds *f = malloc(sizeof *f);

	if (f)
		*f = (struct raw_fds){ { { -1, -1 }, { -1, -1 } } };
	else
		subject_fail(ENOMEM, "descriptors");
	l->state = f;
	return f;
}

static void
close_both(int *fd)
{
	if (fd[0] >= 0)
		close(fd[0]);
	if (fd[1] >= 0 && fd[1] != fd[0])
		close(fd[1]);
	fd[0] = fd[1] = -1;
}

void
raw_fds_split(struct link *l, int side)
{
	struct raw_fds *f = l->state;

	close_both(f->fd[!side]);
}

void
raw_fds_close(struct link *l, int side)
{
	struct raw_fds *f = l->state;

	close_both(f->fd[side]);
}

void
raw_socket_room(int fd, size_t message)
{
	int size = (int)(message > ((size_t)1 << 20) ? message : 1 << 20) * 2;

	if (message < ROOM_FROM)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

/* A socket of this type with a port of its own on the loopback device. */
static int
bound(int type, struct sockaddr_in *a)
{
	socklen_t size = sizeof *a;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), rc;

	*a = (struct sockaddr_in){ .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0)
		return subject_fail(errno, "socket");
	if (bind(fd, (const struct sockaddr *)a, sizeof *a) == 0 &&
	    getsockname(fd, (struct sockaddr *)a, &size) == 0)
		return fd;
	rc = subject_fail(errno, "bind");
	close(fd);
	return rc;
}

static int
stream_pair(int fd[2])
{
	struct sockaddr_in here, there;
	int listener = bound(SOCK_STREAM, &here), rc = 0, on = 1;

	if (listener < 0)
		return listener;
	fd[0] = bound(SOCK_STREAM, &there);
	if (fd[0] < 0 || listen(listener, 1) < 0 || connect(fd[0],
	    (struct sockaddr *)&here, sizeof here) < 0)
		rc = subject_fail(errno, "connect");
	else
		fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (rc == 0 && fd[1] < 0)
		rc = subject_fail(errno, "accept");
	for (int i = 0; rc == 0 && i < 2; i++)
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	close(listener);
	return rc;
}

static int
datagram_pair(int fd[2])
{
	struct sockaddr_in a[2];

	for (int i = 0; i < 2; i++) {
		fd[i] = bound(SOCK_DGRAM, &a[i]);
		if (fd[i] < 0)
			return fd[i];
	}
	for (int i = 0; i < 2; i++)
		if (connect(fd[i], (struct sockaddr *)&a[!i], sizeof a[0]) < 0)
			return subject_fail(errno, "connect");
	return 0;
}

int
raw_inet_pair(int type, int fd[2])
{
	return type == SOCK_STREAM ? stream_pair(fd) : datagram_pair(fd);
}
