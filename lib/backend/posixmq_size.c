/* SPDX-License-Identifier: ISC */
/*
 * How large a POSIX queue can be: what the user asks for, fitted to what this
 * machine allows; and which limit it was that was met.
 */
#include <sys/resource.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "posixmq.h"
#include "queue.h"

#define PROC_MSG_MAX		"/proc/sys/fs/mqueue/msg_max"
#define PROC_MSGSIZE_MAX	"/proc/sys/fs/mqueue/msgsize_max"
#define PROC_MSG_DEFAULT	"/proc/sys/fs/mqueue/msg_default"
#define PROC_MSGSIZE_DEFAULT	"/proc/sys/fs/mqueue/msgsize_default"
#define PROC_QUEUES_MAX		"/proc/sys/fs/mqueue/queues_max"

#define REMEMBERED	2	/* seconds: limits */
#define SMALL_RECORD	1024	/* of a pair, where there could be many */
/* What the kernel counts beside each message: at most. */
#define OVERHEAD	128

static uint64_t
queue_bytes(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_MSGQUEUE, &r) == -1 ||
	    r.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return r.rlim_cur;
}

static bool
descriptor_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

/* EMFILE has two meanings, and EINVAL two causes. */
int
ipc__posixmq_fail(const struct mq_attr *attr)
{
	int error = errno;
	struct rlimit r;

	if (error == EMFILE && !descriptor_free() &&
	    getrlimit(RLIMIT_NOFILE, &r) == 0)
		return ipc__fail(error, "mq_open: RLIMIT_NOFILE (%llu) leaves "
		    "no descriptor", (unsigned long long)r.rlim_cur);
	if (error == EMFILE && attr != NULL)
		return ipc__fail(error, "mq_open: RLIMIT_MSGQUEUE (%llu bytes) "
		    "leaves no room for a queue of %ld messages of %ld bytes",
		    (unsigned long long)queue_bytes(), attr->mq_maxmsg,
		    attr->mq_msgsize);
	if (error == ENOSPC)
		return ipc__fail(error, "mq_open: fs.mqueue.queues_max (%llu) "
		    "allows no more queues", (unsigned long long)
		    ipc__queue_limit(PROC_QUEUES_MAX, 256));
	if (error == EINVAL && attr != NULL)
		return ipc__fail(error, "mq_open: a queue of %ld messages of "
		    "%ld bytes: fs.mqueue.msg_max is %llu, "
		    "fs.mqueue.msgsize_max %llu", attr->mq_maxmsg,
		    attr->mq_msgsize, (unsigned long long)
		    ipc__queue_limit(PROC_MSG_MAX, 10), (unsigned long long)
		    ipc__queue_limit(PROC_MSGSIZE_MAX, 8192));
	errno = error;
	return ipc__fail_sys("mq_open");
}

/* As many messages as its user may have at all; whether they are still to be
 * had only the kernel knows. */
static void
fit(struct mq_attr *attr, uint64_t count, uint64_t most)
{
	uint64_t each = (uint64_t)attr->mq_msgsize + OVERHEAD;

	if (most > queue_bytes() / each)
		most = queue_bytes() / each;
	if (count > most)
		count = most;
	attr->mq_maxmsg = count > 0 ? (long)count : 1;
}

/* The limits change once in a machine's life and reading them takes longer than
 * making a queue, so they are remembered for a while.  All are relaxed: values
 * of two readings are as good as either, as the kernel has the last word. */
static void
limits_of_pair(uint64_t *largest, uint64_t *most, bool fresh)
{
	static _Atomic int64_t until;
	static _Atomic uint64_t size, count;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	*largest = atomic_load_explicit(&size, memory_order_relaxed);
	*most = atomic_load_explicit(&count, memory_order_relaxed);
	if (!fresh && *largest != 0 && *most != 0 && ts.tv_sec <
	    atomic_load_explicit(&until, memory_order_relaxed))
		return;
	*largest = ipc__queue_limit(PROC_MSGSIZE_MAX, 8192);
	*most = ipc__queue_limit(PROC_MSG_MAX, 10);
	atomic_store_explicit(&size, *largest, memory_order_relaxed);
	atomic_store_explicit(&count, *most, memory_order_relaxed);
	atomic_store_explicit(&until, ts.tv_sec + REMEMBERED,
	    memory_order_relaxed);
}

/* As many records as there can be, as small ones take a place each. */
void
ipc__posixmq_size_pair(const struct ipc__options *o, struct mq_attr *attr,
    bool fresh)
{
	uint64_t largest, most, record;
	uint64_t bytes = o->capacity ? o->capacity : IPC__QUEUE_SMALL;

	limits_of_pair(&largest, &most, fresh);
	record = bytes / (most > 0 ? most : 1);
	if (record < SMALL_RECORD)
		record = SMALL_RECORD;
	if (record > largest)
		record = largest;
	if (record > IPC__POSIXMQ_MOST)
		record = IPC__POSIXMQ_MOST;
	while (record > IPC__POSIXMQ_LEAST && record + OVERHEAD > queue_bytes())
		record /= 2;
	*attr = (struct mq_attr){ .mq_msgsize = (long)record };
	fit(attr, bytes / record, most);
}

int
ipc__posixmq_size_object(const struct ipc__address *a, struct mq_attr *attr)
{
	const struct ipc__options *o = &a->opt;
	uint64_t count = ipc__queue_limit(PROC_MSG_DEFAULT, 10);
	uint64_t record = ipc__queue_limit(PROC_MSGSIZE_DEFAULT, 8192);
	uint64_t largest = ipc__queue_limit(PROC_MSGSIZE_MAX, 8192);

	/* As the kernel has it where nobody says a size. */
	if (record > largest)
		record = largest;
	if (ipc__option_given(a, IPC__KEY_MAX_MESSAGE))
		record = o->max_message;
	else if (o->capacity != 0 && record > o->capacity)
		record = o->capacity;
	if (o->capacity != 0 && record > o->capacity)
		return ipc__fail(EINVAL, "max-message=%llu exceeds capacity="
		    "%llu", (unsigned long long)record,
		    (unsigned long long)o->capacity);
	if (o->capacity != 0)
		count = o->capacity / record;
	*attr = (struct mq_attr){ .mq_msgsize = (long)record };
	fit(attr, count, ipc__queue_limit(PROC_MSG_MAX, 10));
	return 0;
}
