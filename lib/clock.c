/* SPDX-License-Identifier: ISC */
/*
 * Deadlines on the monotonic clock, and the one place that sleeps on
 * descriptors.
 */
#include <errno.h>
#include <time.h>

#include "core.h"

int64_t
ipc__now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
ipc__tick(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
ipc__deadline(int timeout)
{
	return timeout < 0 ? -1 : ipc__now() + (int64_t)timeout * 1000000;
}

int
ipc__left(int64_t deadline)
{
	int64_t left = (deadline - ipc__now() + 999999) / 1000000;

	return left > 0 ? (int)left : 1;
}

int
ipc__poll_until(struct pollfd *fds, unsigned count, int64_t deadline)
{
	struct timespec ts, *limit = NULL;
	int64_t left;
	int n;

	do {
		if (deadline >= 0) {
			left = deadline - ipc__now();
			if (left < 0)
				left = 0;
			ts.tv_sec = left / 1000000000;
			ts.tv_nsec = left % 1000000000;
			limit = &ts;
		}
		n = ppoll(fds, count, limit, NULL);
	} while (n == -1 && errno == EINTR);
	return n == -1 ? ipc__fail_sys("ppoll") : n;
}
