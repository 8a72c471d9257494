/* SPDX-License-Identifier: ISC */
/*
 * posixmq: POSIX message queues.  Their descriptors are ones of the kernel's
 * (Linux), so they poll, travel to other processes and know who is the last.
 *
 * A queue of a pair or session has a name only while its second end is opened.
 * Who is killed between mq_open and mq_unlink leaves the name, which tells its
 * maker's pid and start time: the next queue that is made anywhere sweeps it
 * away, through /dev/mqueue.  Everywhere else a kill leaves nothing.
 *
 * An opened queue can not be made under another name first: one whose maker is
 * killed between mq_open and fchmod has less than its mode= and belongs to its
 * maker.  The umask only ever takes away, so nobody gets in who should not.
 *
 * Receiving and sending never wait, whatever somebody else who has this open
 * file does to its flags: the deadline of both is the beginning of 1970.
 */
#include <sys/stat.h>
#include <sys/vfs.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "posixmq.h"
#include "queue.h"

#define MQUEUE_DIR	"/dev/mqueue"
#define MQUEUE_MAGIC	0x19800202	/* of its file system */
#define OPEN_FLAGS	(O_NONBLOCK | O_CLOEXEC)
#define TRIES		16	/* somebody makes and removes it all the time */


struct posixmq {
	/* One record each: for what does not lie in one piece. */
	unsigned char	*in, *out;
};

static const struct timespec never;

/*
 * A half
 */

static void
posixmq_close(struct ipc__half *h, bool clean)
{
	struct posixmq *q = IPC__STATE(h, struct posixmq);

	(void)clean;
	free(q->in);
	free(q->out);
	q->in = q->out = NULL;
}

/* h->fd is open: learns what it is.  On failure it is still the caller's. */
static int
start(struct ipc__half *h)
{
	struct mq_attr attr;

	if (mq_getattr(h->fd, &attr) == -1)
		return ipc__fail_sys("mq_getattr");
	h->record = (size_t)attr.mq_msgsize;
	h->capacity = h->record * (size_t)attr.mq_maxmsg;
	return 0;
}

/* By whoever uses it: not by the maker of a pair for both ends of it. */
static int
need_record(unsigned char **record, size_t size)
{
	if (*record == NULL)
		*record = malloc(size);
	return *record != NULL ? 0 : ipc__fail(ENOMEM, "no memory for records "
	    "of %zu bytes", size);
}

/* The umask has no say in it. */
static int
set_owner(int fd, const struct ipc__options *o)
{
	if ((o->uid != (uid_t)-1 || o->gid != (gid_t)-1) &&
	    fchown(fd, o->uid, o->gid) == -1)
		return ipc__fail_sys("fchown");
	return fchmod(fd, o->mode) == -1 ? ipc__fail_sys("fchmod") : 0;
}

static int
access_mode(int dir)
{
	return dir == IPC_DUPLEX ? O_RDWR : dir == IPC_SEND ? O_WRONLY :
	    O_RDONLY;
}

/* "/name"; -EINVAL. */
static int
full_name(const struct ipc__address *a, char *name, size_t size)
{
	const char *bare = ipc__queue_name(a);

	if (bare[0] == '\0' || strchr(bare, '/') != NULL ||
	    strcmp(bare, ".") == 0 || strcmp(bare, "..") == 0)
		return ipc__fail(EINVAL, "a POSIX queue's name is /NAME, "
		    "without another slash");
	if (strlen(bare) > IPC__NAME_MAX)
		return ipc__fail(ENAMETOOLONG, "a name of %zu bytes exceeds "
		    "the %d of a queue", strlen(bare), IPC__NAME_MAX);
	snprintf(name, size, "/%s", bare);
	return 0;
}

/*
 * Pairs
 */

static bool
same_queue(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	    x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Two open files, so that neither end's flags are the other's. */
static int
open_both(const char *name, struct mq_attr *attr, const struct ipc__options *o,
    int fds[2])
{
	int rc = 0;

	fds[0] = mq_open(name, O_RDONLY | O_CREAT | O_EXCL | OPEN_FLAGS, 0600,
	    attr);
	if (fds[0] == -1)
		return ipc__posixmq_fail(attr);
	fds[1] = mq_open(name, O_WRONLY | OPEN_FLAGS);
	if (fds[1] == -1)
		rc = ipc__posixmq_fail(NULL);
	else if (!same_queue(fds[0], fds[1]))
		rc = ipc__fail(EBUSY, "somebody replaced the queue %s", name);
	mq_unlink(name);
	if (rc == 0)
		rc = set_owner(fds[0], o);
	if (rc < 0) {
		close(fds[0]);
		if (fds[1] != -1)
			close(fds[1]);
	}
	return rc;
}

/* The name that an address gives would be gone again at once: it must be free,
 * and is a part of what is made. */
static int
pair_name(const struct ipc__address *a, char *name, size_t size)
{
	char wanted[IPC__NAME_MAX + 2];
	mqd_t old;
	int rc;

	name[0] = '/';
	if (a->name[0] == '\0') {
		ipc__temp_name(name + 1, size - 1, "pair");
		return 0;
	}
	rc = full_name(a, wanted, sizeof wanted);
	if (rc < 0)
		return rc;
	old = mq_open(wanted, O_RDONLY | O_CLOEXEC);
	if (old != -1)
		mq_close(old);
	if (old != -1 || errno == EACCES)
		return ipc__fail(EEXIST, "there is a queue of this name");
	ipc__temp_name(name + 1, size - 1, wanted + 1);
	return 0;
}

static int
posixmq_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	char name[IPC__TEMP_MAX + 2];
	struct mq_attr attr;
	int fds[2] = { -1, -1 }, rc;

	ipc__queue_sweep_some();
	rc = pair_name(address, name, sizeof name);
	if (rc < 0)
		return rc;
	ipc__posixmq_size_pair(&address->opt, &attr, false);
	rc = open_both(name, &attr, &address->opt, fds);
	if (rc == -EINVAL) {
		/* Less may be allowed than a moment ago. */
		ipc__posixmq_size_pair(&address->opt, &attr, true);
		rc = open_both(name, &attr, &address->opt, fds);
	}
	if (rc < 0)
		return rc;
	a->fd = fds[a->dir == IPC_SEND];
	b->fd = fds[b->dir == IPC_SEND];
	if ((rc = start(a)) < 0 || (rc = start(b)) < 0) {
		a->fd = b->fd = -1;
		close(fds[0]);
		close(fds[1]);
	}
	return rc;
}

/*
 * Opened queues
 */

static int
open_existing(const char *name, int dir)
{
	int fd = mq_open(name, access_mode(dir) | OPEN_FLAGS);

	if (fd == -1)
		return errno == ENOENT ? -ENOENT : ipc__posixmq_fail(NULL);
	return fd;
}

static int
create(const struct ipc__address *a, const char *name, int dir)
{
	struct mq_attr attr;
	int fd, rc;

	rc = ipc__posixmq_size_object(a, &attr);
	if (rc < 0)
		return rc;
	fd = mq_open(name, access_mode(dir) | OPEN_FLAGS | O_CREAT | O_EXCL,
	    a->opt.mode, &attr);
	if (fd == -1)
		return errno == EEXIST ? ipc__fail(EEXIST, "there is a queue "
		    "of this name") : ipc__posixmq_fail(&attr);
	rc = set_owner(fd, &a->opt);
	if (rc == 0)
		return fd;
	mq_unlink(name);
	close(fd);
	return rc;
}

static int
open_or_create(const struct ipc__address *a, const char *name, int dir,
    int flags, bool *made)
{
	int i, rc = -ENOENT;

	*made = false;
	if (!(flags & IPC_CREATE))
		return open_existing(name, dir);
	for (i = 0; i < TRIES; i++) {
		if (!(flags & IPC_EXCLUSIVE) &&
		    (rc = open_existing(name, dir)) != -ENOENT)
			return rc;
		rc = create(a, name, dir);
		*made = rc >= 0;
		if (rc != -EEXIST || flags & IPC_EXCLUSIVE)
			return rc;
	}
	return rc;
}

static int
posixmq_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	char name[IPC__NAME_MAX + 2];
	bool made;
	int rc;

	rc = full_name(a, name, sizeof name);
	if (rc < 0)
		return rc;
	rc = open_or_create(a, name, h->dir, flags, &made);
	if (rc == -ENOENT)
		return ipc__queue_missing(a);
	if (rc < 0)
		return rc;
	h->fd = rc;
	rc = start(h);
	if (rc == 0)
		return 0;
	if (made)
		mq_unlink(name);
	close(h->fd);
	h->fd = -1;
	return rc;
}

static int
posixmq_unlink(const struct ipc__address *a)
{
	char name[IPC__NAME_MAX + 2];
	int rc;

	rc = full_name(a, name, sizeof name);
	if (rc == 0 && mq_unlink(name) == -1)
		rc = errno == ENOENT ? ipc__queue_missing(a) :
		    ipc__fail_sys("mq_unlink");
	return rc;
}

static bool
posixmq_exists(const struct ipc__address *a)
{
	char name[IPC__NAME_MAX + 2];
	int fd;

	if (full_name(a, name, sizeof name) < 0)
		return false;
	fd = mq_open(name, O_RDONLY | OPEN_FLAGS);
	if (fd == -1)
		return errno == EACCES;
	mq_close(fd);
	return true;
}

/*
 * Halves from elsewhere
 */

/* Is it the end of a queue that was promised? */
static int
check_offer(int fd, int dir)
{
	struct mq_attr attr;
	struct statfs fs;
	int flags = fcntl(fd, F_GETFL);

	if (fstatfs(fd, &fs) == -1 || fs.f_type != MQUEUE_MAGIC ||
	    mq_getattr(fd, &attr) == -1)
		return ipc__fail(EBADMSG, "what was handed over is no POSIX "
		    "queue");
	if ((flags & O_ACCMODE) != access_mode(dir))
		return ipc__fail(EBADMSG, "what was handed over is the wrong "
		    "end of a queue");
	if (attr.mq_msgsize < IPC__POSIXMQ_LEAST ||
	    attr.mq_msgsize > IPC__POSIXMQ_MOST)
		return ipc__fail(EBADMSG, "what was handed over is a queue of "
		    "records of %ld bytes", attr.mq_msgsize);
	return 0;
}

static int
posixmq_take(struct ipc__half *h, struct ipc__ticket *t)
{
	int rc;

	if (t->fd_next >= t->fd_count)
		return ipc__fail(EBADMSG, "a descriptor is missing");
	rc = check_offer(t->fds[t->fd_next], h->dir);
	if (rc < 0)
		return rc;
	h->fd = t->fds[t->fd_next];
	rc = start(h);
	if (rc < 0) {
		h->fd = -1;
		return rc;
	}
	t->fds[t->fd_next++] = -1;
	return 0;
}

/*
 * Moving
 */

static ssize_t
answer(const struct ipc__half *h, const char *call)
{
	if (errno == EAGAIN || errno == ETIMEDOUT)
		return -EAGAIN;
	if (errno == EMSGSIZE)
		return ipc__fail(EMSGSIZE, "a message exceeds the %zu bytes of "
		    "this queue", h->record);
	return ipc__fail_sys(call);
}

static ssize_t
posixmq_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct posixmq *q = IPC__STATE(h, struct posixmq);
	unsigned priority = aside != NULL && h->bare ? aside->priority : 0;
	const void *data = iov->iov_base;
	size_t size = iov->iov_len;
	int rc;

	if (count != 1) {
		if ((rc = need_record(&q->out, h->record)) < 0)
			return rc;
		size = ipc__gather(q->out, iov, count);
		data = q->out;
	}
	rc = ipc__queue_check_priority(priority);
	if (rc < 0)
		return rc;
	do
		rc = mq_timedsend(h->fd, data, size, priority, &never);
	while (rc == -1 && errno == EINTR);
	return rc == -1 ? answer(h, "mq_send") : (ssize_t)size;
}

static ssize_t
posixmq_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct posixmq *q = IPC__STATE(h, struct posixmq);
	bool direct = iov->iov_len >= h->record;
	unsigned priority;
	ssize_t n;
	int rc;

	if (!direct && (rc = need_record(&q->in, h->record)) < 0)
		return rc;
	do
		n = mq_timedreceive(h->fd, direct ? iov->iov_base :
		    (void *)q->in, h->record, &priority, &never);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return answer(h, "mq_receive");
	if (!direct)
		ipc__scatter(iov, count, q->in, (size_t)n);
	if (aside != NULL)
		aside->priority = h->bare ? priority : 0;
	return n;
}

/* A queue that can be received from tells its size in bytes when it is read as
 * a file. */
static size_t
posixmq_pending(const struct ipc__half *h)
{
	unsigned long bytes;
	char text[128];
	ssize_t n;

	n = pread(h->fd, text, sizeof text - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "QSIZE:%lu", &bytes) == 1 ? bytes : 0;
}

/*
 * Leftovers
 */

struct relay {
	ipc__told	*told;
	void		*user;
};

static bool
relay_name(const char *name, void *user)
{
	const struct relay *r = user;
	char path[sizeof MQUEUE_DIR + IPC__NAME_MAX + 1];

	snprintf(path, sizeof path, MQUEUE_DIR "/%s", name);
	return ipc__may_go(r->told, path, r->user);
}

int
ipc__posixmq_sweep(ipc__told *told, void *user)
{
	struct relay relay = { told, user };
	struct ipc__place place = { .path = MQUEUE_DIR "/",
	    .path_len = sizeof MQUEUE_DIR };
	struct statfs fs;
	int swept = 0;

	place.dir = open(MQUEUE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place.dir == -1)
		return 0;	/* nowhere to look */
	if (fstatfs(place.dir, &fs) == 0 && fs.f_type == MQUEUE_MAGIC)
		swept = ipc__temp_sweep(&place, UINT_MAX, relay_name, &relay);
	close(place.dir);
	return swept;
}

const struct ipc_backend ipc__backend_posixmq = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "posixmq",
		.title = "POSIX message queue",
		.ways = IPC__QUEUE_WAYS,
		.caps = {
			[IPC_WAY_PAIR] = IPC__QUEUE_CAPS_PAIR,
			[IPC_WAY_OPEN] = IPC__QUEUE_CAPS_OPEN | IPC_CAP_FD,
			[IPC_WAY_SESSION] = IPC__QUEUE_CAPS_PAIR
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__LIFE | IPC__SILENT,
	.size = sizeof(struct posixmq),
	.limit = "fs.mqueue.msgsize_max",
	.keys = {
		[IPC_WAY_PAIR] = IPC__QUEUE_KEYS_PAIR,
		[IPC_WAY_OPEN] = IPC__QUEUE_KEYS_OPEN,
		[IPC_WAY_SESSION] = IPC__QUEUE_KEYS_SESSION
	},
	.pair = posixmq_pair,
	.open = posixmq_open,
	.unlink = posixmq_unlink,
	.exists = posixmq_exists,
	.take = posixmq_take,
	.send = posixmq_send,
	.recv = posixmq_recv,
	.pending = posixmq_pending,
	.close = posixmq_close
};
