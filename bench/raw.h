/* SPDX-License-Identifier: ISC */
/*
 * What the bare mechanisms share: loops around system calls that may do less
 * than asked for, as every program has them.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "subject.h"

/* All of it; 0 or a negative errno, with a text. */
int	raw_write(int fd, const void *data, size_t size);
int	raw_read(int fd, void *buffer, size_t size);

/* Two descriptors for each side: [side][0] to receive from, [side][1] to send
 * to, which may be the same. */
struct raw_fds {
	int	fd[2][2];
};

/* In link->state; the descriptors are -1.  NULL: no memory, with a text. */
struct raw_fds *raw_fds_new(struct link *);

/* Closes what is the other side's, unless it is a thread. */
void	raw_fds_split(struct link *, int side);
void	raw_fds_close(struct link *, int side);

/* Room in a socket's buffers for large messages, as far as the kernel lets. */
void	raw_socket_room(int fd, size_t message);

/* A connected pair over the loopback device; SOCK_STREAM or SOCK_DGRAM. */
int	raw_inet_pair(int type, int fd[2]);

#endif
