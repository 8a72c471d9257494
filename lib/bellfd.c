/* SPDX-License-Identifier: ISC */
/*
 * Eventfds that another process holds as well.
 *
 * O_NONBLOCK belongs to the open file, which both sides have: the other one may
 * clear it at any time, and then read(2) of a bell that is out would wait for
 * as long as it likes.  So it is read with RWF_NOWAIT.  For writing there is no
 * such thing; who rings waits only where somebody has filled it with 2^64 - 2
 * and has cleared the flag.
 */
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bellfd.h"
#include "error.h"

int
ipc__bellfd_check(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char link[40], is[40];
	ssize_t n;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || !(flags & O_NONBLOCK))
		return ipc__fail(EBADMSG, "a bell that could wait");
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, is, sizeof is - 1);
	/* Where there is no /proc the flag has to do. */
	if (n < 0)
		return 0;
	is[n] = '\0';
	if (strcmp(is, want) != 0)
		return ipc__fail(EBADMSG, "a bell that is no eventfd");
	return 0;
}

bool
ipc__bellfd_put_out(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof count };
	ssize_t n;

	n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	/* A kernel whose eventfds do not have it, or a sandbox. */
	if (n < 0 && errno != EAGAIN)
		n = read(fd, &count, sizeof count);
	return n > 0;
}
