/* SPDX-License-Identifier: ISC */
/*
 * What System V and POSIX message queues have in common.
 */
#include <sys/msg.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "msgqueue.h"
#include "queue.h"

/* A sweep costs at most one part in so many of the time that passes. */
#define SWEEP_SHARE	50

uint64_t
ipc__queue_limit(const char *file, uint64_t unknown)
{
	char text[32], *end;
	unsigned long long limit;
	ssize_t n;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return unknown;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return unknown;
	text[n] = '\0';
	limit = strtoull(text, &end, 10);
	return end != text ? limit : unknown;
}

void
ipc__msg_limits(struct msginfo *limits)
{
	/* A seventh of what reading a file in /proc takes. */
	if (msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)limits) == -1)
		*limits = (struct msginfo){ .msgmax = 8192, .msgmnb = 16384,
		    .msgmni = 32000 };
}

int
ipc__msg_fail_count(void)
{
	struct msginfo limits;

	ipc__msg_limits(&limits);
	return ipc__fail(ENOSPC, "msgget: kernel.msgmni (%d) allows no more "
	    "queues", limits.msgmni);
}

const char *
ipc__queue_name(const struct ipc__address *a)
{
	return a->name + (a->name[0] == '/');
}

int
ipc__queue_missing(const struct ipc__address *a)
{
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	struct stat st;
	bool meeting;

	ipc__error_keep(&before);
	meeting = ipc__meeting_path(a, false, path, sizeof path) == 0 &&
	    lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
	ipc__error_restore(&before);
	if (meeting)
		return ipc__fail(EPROTOTYPE, "there is no queue of this name, "
		    "but a listener: ipc_connect");
	return ipc__fail(ENOENT, "there is no queue of this name");
}

int
ipc__queue_check_priority(unsigned priority)
{
	if (priority < IPC__QUEUE_PRIORITIES)
		return 0;
	return ipc__fail(EINVAL, "priority %u: there are 0 to %d", priority,
	    IPC__QUEUE_PRIORITIES - 1);
}

size_t
ipc__gathered(const struct iovec *iov, int count)
{
	size_t size = 0;
	int i;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

size_t
ipc__gather(void *to, const struct iovec *iov, int count)
{
	unsigned char *p = to;
	int i;

	for (i = 0; i < count; i++) {
		if (iov[i].iov_len > 0)
			memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return (size_t)(p - (unsigned char *)to);
}

void
ipc__scatter(const struct iovec *iov, int count, const void *from, size_t size)
{
	const unsigned char *p = from;
	size_t n;
	int i;

	for (i = 0; i < count && size > 0; i++) {
		n = iov[i].iov_len < size ? iov[i].iov_len : size;
		if (n > 0)
			memcpy(iov[i].iov_base, p, n);
		p += n;
		size -= n;
	}
}

int
ipc__queue_sweep(ipc__told *told, void *user)
{
	int swept = ipc__posixmq_sweep(told, user), more;

	more = ipc__msg_sweep(told, user);
	return more < 0 ? more : swept + more;
}

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void
ipc__queue_sweep_some(void)
{
	/* Only a hint: two threads that sweep at once do no harm, and it pairs
	 * with nothing. */
	static _Atomic int64_t due;
	int64_t begun = now(), ended;
	struct ipc__error before;

	if (begun < atomic_load_explicit(&due, memory_order_relaxed))
		return;
	ipc__error_keep(&before);
	ipc__queue_sweep(NULL, NULL);
	ipc__error_restore(&before);
	ended = now();
	atomic_store_explicit(&due, ended + SWEEP_SHARE * (ended - begun),
	    memory_order_relaxed);
}
