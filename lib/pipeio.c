/* SPDX-License-Identifier: ISC */
/*
 * What pipes and FIFOs have in common.
 *
 * Writing raises no SIGPIPE: RWF_NOSIGNAL does that where the kernel has it;
 * elsewhere the signal is blocked around the write and taken back if it came.
 * Descriptors of our own are O_NONBLOCK.  The flags of those that somebody else
 * holds as well can change at any time, and are not used.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pipeio.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL	0x100
#endif

#define PARTS		16
#define SMALL		512		/* bytes quicker copied than listed */
#define FRAME		4		/* what the core puts before a frame */
#define CHARS		256		/* a ready terminal takes that much */
#define MAX_SIZE	(1u << 20)	/* fs.pipe-max-size as it comes */

/* True until a write has shown that the kernel does not know the flag.  Says
 * nothing about other memory, so it is relaxed: a thread that sees it late
 * finds out once more. */
static atomic_bool has_nosignal = true;

void
ipc__pipe_nosignal(bool has)
{
	atomic_store_explicit(&has_nosignal, has, memory_order_relaxed);
}

static size_t
total(const struct iovec *iov, int count)
{
	size_t sum = 0;
	int i;

	for (i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The first max bytes of *iov: *iov itself where that is all of it, else in
 * part.  Returns the count. */
static int
cut(struct iovec part[PARTS], const struct iovec **iov, int count, size_t max)
{
	int n;

	if (total(*iov, count) <= max)
		return count;
	for (n = 0; n < count && n < PARTS && max > 0; n++) {
		part[n] = (*iov)[n];
		if (part[n].iov_len > max)
			part[n].iov_len = max;
		max -= part[n].iov_len;
	}
	*iov = part;
	return n;
}

/*
 * Writing and reading
 */

static bool
is_unknown(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS;
}

/* A SIGPIPE that was pending before is the program's own and stays. */
static ssize_t
write_masked(int fd, const struct iovec *iov, int count, int flags)
{
	static const struct timespec now;
	sigset_t sigpipe, mask, pending;
	ssize_t n;
	int saved;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &mask);
	sigpending(&pending);
	n = flags ? pwritev2(fd, iov, count, -1, flags) :
	    writev(fd, iov, count);
	saved = errno;
	/* It can come with a short write as well. */
	if ((n < 0 ? errno == EPIPE : (size_t)n < total(iov, count)) &&
	    !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&sigpipe, NULL, &now) < 0 &&
		    errno == EINTR)
			continue;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	errno = saved;
	return n;
}

/* flags: 0 or RWF_NOWAIT, which not every file has. */
static ssize_t
write_quietly(int fd, const struct iovec *iov, int count, int flags)
{
	bool tried;
	ssize_t n;

	tried = atomic_load_explicit(&has_nosignal, memory_order_relaxed);
	if (tried) {
		n = pwritev2(fd, iov, count, -1, flags | RWF_NOSIGNAL);
		if (n >= 0 || !is_unknown(errno))
			return n;
	}
	n = write_masked(fd, iov, count, flags);
	/* Then it is RWF_NOSIGNAL that is unknown, not the other flag. */
	if (tried && (n >= 0 || !is_unknown(errno)))
		ipc__pipe_nosignal(false);
	return n;
}

static bool
is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	n = poll(&p, 1, 0);
	if (n == 0)
		errno = EAGAIN;
	return n > 0;
}

static ssize_t
write_shared(struct ipc__pipe *io, int fd, const struct iovec *iov, int count)
{
	struct iovec part[PARTS];
	ssize_t n;

	if (io->how == IPC__PIPE_NOWAIT) {
		n = write_quietly(fd, iov, count, RWF_NOWAIT);
		if (n >= 0 || !is_unknown(errno))
			return n;
		io->how = IPC__PIPE_POLL;
	}
	if (!is_ready(fd, POLLOUT))
		return -1;
	/* More than what POLLOUT promises room for might wait. */
	count = cut(part, &iov, count, io->chunk);
	return write_quietly(fd, iov, count, 0);
}

static ssize_t
read_shared(struct ipc__pipe *io, int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	if (io->how == IPC__PIPE_NOWAIT) {
		n = preadv2(fd, iov, count, -1, RWF_NOWAIT);
		if (n >= 0 || !is_unknown(errno))
			return n;
		io->how = IPC__PIPE_POLL;
	}
	return is_ready(fd, POLLIN) ? readv(fd, iov, count) : -1;
}

static ssize_t
io_error(const char *call)
{
	if (errno == EAGAIN || errno == EPIPE)
		return -errno;
	if (errno == EINTR)		/* poll(2) knows whether to wait */
		return -EAGAIN;
	return ipc__fail_sys(call);
}

/* A header and a small message, copied together: the kernel's way through a
 * list of parts takes longer. */
static ssize_t
write_own(int fd, const struct iovec *iov, int count)
{
	unsigned char whole[SMALL], *p = whole;
	struct iovec one = { whole, total(iov, count) };
	int i;

	if (count == 1 || one.iov_len > sizeof whole)
		return write_quietly(fd, iov, count, 0);
	for (i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			p = mempcpy(p, iov[i].iov_base, iov[i].iov_len);
	return write_quietly(fd, &one, 1, 0);
}

ssize_t
ipc__pipe_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	ssize_t n;

	(void)aside;
	if (io->how == IPC__PIPE_OWN)
		n = write_own(h->fd, iov, count);
	else
		n = write_shared(io, h->fd, iov, count);
	return n >= 0 ? n : io_error("write");
}

ssize_t
ipc__pipe_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	ssize_t n;

	(void)aside;
	if (io->how != IPC__PIPE_OWN)
		n = read_shared(io, h->fd, iov, count);
	else if (count == 1)
		n = read(h->fd, iov->iov_base, iov->iov_len);
	else
		n = readv(h->fd, iov, count);
	return n >= 0 ? n : io_error("read");
}

bool
ipc__pipe_hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

size_t
ipc__pipe_pending(const struct ipc__half *h)
{
	int n;

	return ioctl(h->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

/*
 * Sizes
 */

static size_t
read_max_size(void)
{
	char text[24];
	unsigned long max = 0;
	ssize_t n;
	int fd;

	fd = open("/proc/sys/fs/pipe-max-size", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = '\0';
		max = strtoul(text, NULL, 10);
		close(fd);
	}
	return max >= PIPE_BUF && max <= INT_MAX ? max : MAX_SIZE;
}

/* Read once.  Relaxed, as it stands for itself: two threads that both read it
 * store the same. */
static size_t
max_size(void)
{
	static atomic_size_t known;
	size_t max;

	max = atomic_load_explicit(&known, memory_order_relaxed);
	if (max == 0) {
		max = read_max_size();
		atomic_store_explicit(&known, max, memory_order_relaxed);
	}
	return max;
}

/* EPERM (this user's pipes have too many pages) and EBUSY (it holds more than
 * that) leave it as it is. */
static void
resize(struct ipc__half *h, size_t size)
{
	size_t max = max_size();
	int n;

	n = fcntl(h->fd, F_SETPIPE_SZ, (int)(size < max ? size : max));
	if (n > 0)
		h->capacity = (size_t)n;
}

/* The other side may have made it larger in the meantime. */
static void
grow(struct ipc__half *h, size_t size)
{
	int n;

	n = fcntl(h->fd, F_GETPIPE_SZ);
	if (n > 0)
		h->capacity = (size_t)n;
	if (size > h->capacity)
		resize(h, size);
}

static void
set_sizes(struct ipc__half *h, bool pipe, size_t chunk)
{
	int n;

	IPC__STATE(h, struct ipc__pipe)->chunk = chunk;
	h->record = chunk - FRAME;
	h->atomic = pipe ? PIPE_BUF : 0;
	n = fcntl(h->fd, F_GETPIPE_SZ);
	h->capacity = pipe && n > 0 ? (size_t)n : 0;
}

void
ipc__pipe_start(struct ipc__half *h, uint64_t capacity)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	size_t limit;

	io->how = IPC__PIPE_OWN;
	set_sizes(h, true, PIPE_BUF);
	if (capacity == 0)
		return;
	/* The kernel would round up, and it is a ceiling. */
	for (limit = PIPE_BUF; limit <= capacity / 2 && limit < max_size();)
		limit *= 2;
	io->limit = limit;
	resize(h, limit);
}

/* Room for several messages of this size: 64 KiB make both sides wait for each
 * other on every large one, at less than half the speed. */
void
ipc__pipe_expect(struct ipc__half *h, size_t size)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	size_t limit;

	if (h->adopted || size <= io->asked || size < h->capacity / 4)
		return;
	io->asked = size;
	limit = io->limit != 0 ? io->limit : max_size();
	if (h->capacity < limit)
		grow(h, size < limit / 8 ? size * 8 : limit);
}

void
ipc__pipe_stretch(struct ipc__half *h, size_t more)
{
	if (!h->adopted)
		grow(h, h->capacity + more);
}

/*
 * Descriptors from elsewhere
 */

int
ipc__pipe_reopen(int fd, int mode)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, mode | O_NONBLOCK | O_CLOEXEC);
}

/* It is open, and for what it is wanted for. */
static int
check_mode(int fd, int dir)
{
	int flags, mode;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return ipc__fail_sys("fcntl");
	mode = flags & O_ACCMODE;
	if (flags & O_PATH || mode == (dir == IPC_RECV ? O_WRONLY : O_RDONLY))
		return ipc__fail(EINVAL, "descriptor %d is not open for %s",
		    fd, dir == IPC_RECV ? "reading" : "writing");
	return 0;
}

int
ipc__pipe_give(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	uint32_t limit = htole32((uint32_t)io->limit);

	if (t->fd_count >= IPC__TICKET_FDS ||
	    IPC__TICKET_BYTES - t->size < sizeof limit)
		return ipc__fail(EMSGSIZE, "the ticket is full");
	t->fds[t->fd_count++] = h->fd;
	memcpy(t->bytes + t->size, &limit, sizeof limit);
	t->size += sizeof limit;
	return 0;
}

/* The giver may keep a copy of the descriptor, and with it the power over
 * O_NONBLOCK: so an open file description of our own is better.  One of a FIFO
 * whose writers have all gone by now would never show their end. */
static int
make_own(int fd, int dir)
{
	int own;

	own = ipc__pipe_reopen(fd, dir == IPC_RECV ? O_RDONLY : O_WRONLY);
	if (own >= 0 && dir == IPC_RECV && ipc__pipe_hung_up(fd)) {
		close(own);
		own = -1;
	}
	return own;
}

static int
check_taken(int fd, int dir)
{
	struct stat st;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return ipc__fail_sys("fcntl");
	if (!S_ISFIFO(st.st_mode) || (flags & (O_PATH | O_ACCMODE)) !=
	    (dir == IPC_RECV ? O_RDONLY : O_WRONLY))
		return ipc__fail(EBADMSG, "what the other side handed over is "
		    "not the %s end of a pipe",
		    dir == IPC_RECV ? "reading" : "writing");
	return 0;
}

int
ipc__pipe_take(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);
	uint32_t limit;
	int fd, own, rc;

	if (t->fd_next >= t->fd_count || t->next > t->size ||
	    t->size - t->next < sizeof limit)
		return ipc__fail(EBADMSG, "the other side handed over no pipe");
	fd = t->fds[t->fd_next];
	rc = check_taken(fd, h->dir);
	if (rc < 0)
		return rc;
	memcpy(&limit, t->bytes + t->next, sizeof limit);
	t->next += sizeof limit;
	t->fds[t->fd_next++] = -1;

	own = make_own(fd, h->dir);
	if (own >= 0)
		close(fd);
	h->fd = own >= 0 ? own : fd;
	io->how = own >= 0 ? IPC__PIPE_OWN : IPC__PIPE_NOWAIT;
	io->limit = le32toh(limit);
	set_sizes(h, true, PIPE_BUF);
	return 0;
}

/* A regular file never waits, and RWF_NOWAIT would make it: what is not in
 * memory would be EAGAIN for ever. */
static int
adopt_as(struct ipc__half *h, mode_t mode)
{
	struct ipc__pipe *io = IPC__STATE(h, struct ipc__pipe);

	io->how = S_ISREG(mode) || S_ISBLK(mode) ? IPC__PIPE_OWN :
	    S_ISFIFO(mode) ? IPC__PIPE_NOWAIT : IPC__PIPE_POLL;
	set_sizes(h, S_ISFIFO(mode), S_ISCHR(mode) ? CHARS : PIPE_BUF);
	h->adopted = true;
	return 0;
}

int
ipc__pipe_adopt(struct ipc__half *h, int fd, bool listening)
{
	struct stat st;
	int rc;

	if (listening)
		return ipc__fail(EINVAL, "a pipe does not listen");
	rc = check_mode(fd, h->dir);
	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		return ipc__fail_sys("fstat");
	if (S_ISSOCK(st.st_mode))
		return ipc__fail(EINVAL, "descriptor %d is a socket: adopt it "
		    "as unix:, unixpacket:, unixgram:, tcp: or udp:", fd);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode) &&
	    !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return ipc__fail(EINVAL, "descriptor %d is no pipe, FIFO, "
		    "terminal, device or file", fd);
	h->fd = fd;
	return adopt_as(h, st.st_mode);
}
