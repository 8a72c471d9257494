/* SPDX-License-Identifier: ISC */
/*
 * Making sockets, taking those that others made, and moving bytes and records
 * through them, each with one system call that never waits.
 */
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD	0x04
#endif

#define SMALL	2048	/* bytes that are quicker copied than pointed at */

/* Room for the descriptors of a message, and for what an adopted socket may
 * have been set to tell besides. */
union control {
	struct cmsghdr	align;
	unsigned char	bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX) + 256];
};

int
ipc__socket_new(int domain, int type)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, 0);

	return fd >= 0 ? fd : ipc__fail_sys("socket");
}

int
ipc__socket_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address, const struct ipc__socket_kind *kind)
{
	int fds[2];

	if (socketpair(kind->domain, kind->type | SOCK_CLOEXEC, 0, fds) < 0)
		return ipc__fail_sys("socketpair");
	a->fd = fds[0];
	b->fd = fds[1];
	kind->size(a, address->opt.capacity);
	kind->size(b, address->opt.capacity);
	return 0;
}

int
ipc__socket_set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof value) < 0)
		return ipc__fail_sys("setsockopt");
	return 0;
}

int
ipc__socket_get(int fd, int level, int option)
{
	int value;
	socklen_t size = sizeof value;

	return getsockopt(fd, level, option, &value, &size) < 0 ? -1 : value;
}

int
ipc__socket_deafen(int fd, bool deaf)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program = { .len = 1, .filter = &nothing };

	if (!deaf)
		return ipc__socket_set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof program) < 0)
		return ipc__fail_sys("setsockopt SO_ATTACH_FILTER");
	return 0;
}

/*
 * There is no MSG_DONTWAIT for accept, and the flags of an adopted listener are
 * not ours to change: look first, and for the client that somebody else takes
 * meanwhile, do not wait longer than a tick.
 */
int
ipc__socket_accept_shared(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct timeval tick = { .tv_usec = 1 }, before;
	socklen_t size = sizeof before;
	int flags, client, code;

	if (poll(&p, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	if ((flags = fcntl(fd, F_GETFL)) < 0 || flags & O_NONBLOCK ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &before, &size) < 0)
		return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	code = errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &before, sizeof before);
	errno = code;
	return client;
}

int
ipc__socket_accept(const struct ipc__half *listener)
{
	int fd;

	fd = listener->adopted ? ipc__socket_accept_shared(listener->fd) :
	    accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		return fd;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:	/* this client is gone again */
	case EPERM:		/* a firewall says so */
	case EPROTO:		/* and, on Linux, errors of its network */
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return -EAGAIN;
	default:
		return ipc__fail_sys("accept");
	}
}

/*
 * Sockets that others made
 */

static const char *
socket_title(int domain, int type)
{
	static const char *const unix_title[] = {
		[SOCK_STREAM] = "a Unix stream socket",
		[SOCK_DGRAM] = "a Unix datagram socket",
		[SOCK_SEQPACKET] = "a Unix seqpacket socket"
	};

	if (domain == AF_UNIX && type >= 0 &&
	    type <= SOCK_SEQPACKET && unix_title[type])
		return unix_title[type];
	if (domain == AF_INET || domain == AF_INET6)
		return type == SOCK_STREAM ? "a TCP socket" :
		    type == SOCK_DGRAM ? "a UDP socket" : "an IP socket";
	return "another kind of socket";
}

static bool
protocol_fits(int fd, const struct ipc__socket_kind *kind)
{
	int protocol = ipc__socket_get(fd, SOL_SOCKET, SO_PROTOCOL);

	if (kind->domain == AF_UNIX)
		return true;
	if (kind->type == SOCK_DGRAM)
		return protocol == IPPROTO_UDP;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

int
ipc__socket_check(int fd, const struct ipc__socket_kind *kind)
{
	int domain, type;

	domain = ipc__socket_get(fd, SOL_SOCKET, SO_DOMAIN);
	if (domain < 0 && errno == ENOTSOCK)
		return ipc__fail(ENOTSOCK, "descriptor %d is not a socket, "
		    "and should be %s", fd, kind->title);
	if (domain < 0)
		return ipc__fail(errno, "descriptor %d: %s", fd,
		    strerror(errno));
	type = ipc__socket_get(fd, SOL_SOCKET, SO_TYPE);
	if (type == kind->type &&
	    (domain == kind->domain || domain == kind->domain2) &&
	    protocol_fits(fd, kind))
		return 0;
	return ipc__fail(EINVAL, "descriptor %d is %s, and should be %s", fd,
	    socket_title(domain, type), kind->title);
}

int
ipc__socket_check_state(int fd, bool listening)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;
	bool listens = ipc__socket_get(fd, SOL_SOCKET, SO_ACCEPTCONN) > 0;

	if (listening && !listens)
		return ipc__fail(EINVAL, "descriptor %d does not listen", fd);
	if (!listening && listens)
		return ipc__fail(EINVAL, "descriptor %d is a listening socket:"
		    " ipc_adopt_listener takes those", fd);
	if (!listening && getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return ipc__fail(errno, "descriptor %d: no other end: %s", fd,
		    strerror(errno));
	return 0;
}

int
ipc__socket_adopt(struct ipc__half *h, int fd, bool listening,
    const struct ipc__socket_kind *kind)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);
	int rc;

	if ((rc = ipc__socket_check(fd, kind)) < 0 ||
	    (rc = ipc__socket_check_state(fd, listening)) < 0)
		return rc;
	h->fd = fd;
	h->adopted = true;
	s->listening = listening;
	if (!listening)
		kind->size(h, IPC__CAPACITY_KEEP);
	return 0;
}

int
ipc__socket_give(struct ipc__half *h, struct ipc__ticket *t)
{
	const struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);

	if (t->fd_count >= IPC__TICKET_FDS || t->size >= IPC__TICKET_BYTES)
		return ipc__fail(EMSGSIZE, "no room in the ticket");
	t->fds[t->fd_count++] = h->fd;
	t->bytes[t->size++] = s->raise > 0;
	return 0;
}

int
ipc__socket_take(struct ipc__half *h, struct ipc__ticket *t,
    const struct ipc__socket_kind *kind)
{
	int fd, rc;

	if (t->fd_next >= t->fd_count || t->next >= t->size)
		return ipc__fail(EBADMSG, "the ticket is too short");
	fd = t->fds[t->fd_next];
	if ((rc = ipc__socket_check(fd, kind)) < 0 ||
	    (rc = ipc__socket_check_state(fd, false)) < 0)
		return rc;
	t->fds[t->fd_next++] = -1;
	h->fd = fd;
	kind->size(h, t->bytes[t->next++] ? 0 : IPC__CAPACITY_KEEP);
	return 0;
}

/*
 * Moving
 */

/* What goes beside the bytes.  control must live as long as m. */
static void
put_aside(struct msghdr *m, union control *control,
    const struct ipc__aside *aside)
{
	size_t size = aside->fd_count * sizeof(int);
	struct cmsghdr *c;

	if (aside->address_size > 0) {
		m->msg_name = aside->address;
		m->msg_namelen = aside->address_size;
	}
	if (size == 0)
		return;
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(size);
	memset(control, 0, m->msg_controllen);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), aside->fds, size);
}

/* A few bytes in one piece, without a header that the kernel has to fetch,
 * check and follow: that costs more than to copy them. */
static ssize_t
send_small(int fd, const struct iovec *iov, int count, size_t size)
{
	unsigned char whole[SMALL], *p = whole;
	const void *from = whole;
	int i;

	if (count == 1)
		from = iov->iov_base;
	else for (i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			p = mempcpy(p, iov[i].iov_base, iov[i].iov_len);
	return send(fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t
send_plain(int fd, const struct iovec *iov, int count)
{
	struct msghdr m = {
		.msg_iov = (struct iovec *)iov, .msg_iovlen = count
	};
	size_t size = 0;
	ssize_t n;
	int i;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	n = count == 1 || size <= SMALL ? send_small(fd, iov, count, size) :
	    sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

ssize_t
ipc__socket_send(int fd, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct msghdr m = {
		.msg_iov = (struct iovec *)iov, .msg_iovlen = count
	};
	union control control;
	ssize_t n;

	if (aside == NULL ||
	    (aside->fd_count == 0 && aside->address_size == 0))
		return send_plain(fd, iov, count);
	if (aside->fd_count > IPC_FDS_MAX)
		return -EINVAL;
	put_aside(&m, &control, aside);
	n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* Descriptors arrive all or not at all: of those for which there is no room in
 * this process the kernel hands over the first ones only. */
static void
take_fds(struct msghdr *m, struct ipc__aside *aside)
{
	unsigned room = aside->fd_count, n = 0;
	struct cmsghdr *c;
	size_t i;
	int fd;

	aside->lost = m->msg_flags & MSG_CTRUNC;
	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SCM_RIGHTS
		    && c->cmsg_type != SCM_PIDFD))
			continue;
		for (i = 0; CMSG_LEN((i + 1) * sizeof fd) <= c->cmsg_len; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (c->cmsg_type == SCM_RIGHTS && n < room) {
				aside->fds[n++] = fd;
				continue;
			}
			aside->lost |= c->cmsg_type == SCM_RIGHTS;
			close(fd);
		}
	}
	while (aside->lost && n > 0)
		close(aside->fds[--n]);
	aside->fd_count = n;
}

ssize_t
ipc__socket_recv(int fd, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct msghdr m = {
		.msg_iov = (struct iovec *)iov, .msg_iovlen = count
	};
	union control control;
	ssize_t n;

	/* Without room for them the kernel closes descriptors itself. */
	if (aside && aside->fds) {
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
	}
	if (aside && aside->address) {
		m.msg_name = aside->address;
		m.msg_namelen = aside->address_size;
	}
	if ((n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0)
		return -errno;
	if (aside && aside->fds)
		take_fds(&m, aside);
	if (aside && aside->address)
		aside->address_size = m.msg_namelen;
	if (!(m.msg_flags & MSG_TRUNC))
		return n;
	while (aside && aside->fds && aside->fd_count > 0)
		close(aside->fds[--aside->fd_count]);
	return -EBADMSG;
}

ssize_t
ipc__socket_recv_bytes(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	if (count != 1)
		return ipc__socket_recv(fd, iov, count, NULL);
	n = recv(fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

bool
ipc__socket_gone(ssize_t rc)
{
	switch (rc) {
	case -EPIPE:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -ECONNABORTED:
	case -ENOTCONN:
	case -ESHUTDOWN:
	case -ETIMEDOUT:	/* the network's own, not the caller's */
	case -EHOSTUNREACH:
	case -EHOSTDOWN:
	case -ENETUNREACH:
	case -ENETDOWN:
	case -ENETRESET:
		return true;
	default:
		return false;
	}
}

ssize_t
ipc__socket_failed(const char *call, ssize_t rc)
{
	/* Whoever found a record to be of the wrong size has said so. */
	if (rc >= 0 || rc == -EAGAIN || rc == -EINTR || rc == -EMSGSIZE ||
	    rc == -EBADMSG)
		return rc;
	if (ipc__socket_gone(rc))
		return -EPIPE;
	if (rc == -ETOOMANYREFS)
		return ipc__fail(ETOOMANYREFS, "%s: more descriptors are under "
		    "way than this user may have open (RLIMIT_NOFILE)", call);
	errno = (int)-rc;
	return ipc__fail_sys(call);
}

static size_t
iov_size(const struct iovec *iov, int count)
{
	size_t size = 0;
	int i;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

/* The kernel would not take a record of this size, now or ever. */
static ssize_t
record_refused(struct ipc__half *h, size_t size, ssize_t rc)
{
	int held = ipc__socket_get(ipc__socket_out(h), SOL_SOCKET, SO_SNDBUF);

	if (rc == -EMSGSIZE) {
		if (held > 32 && h->record > (size_t)held - 32)
			h->record = (size_t)held - 32;
		return ipc__fail(EMSGSIZE, "a record of %zu bytes does not fit "
		    "into the %d of SO_SNDBUF", size, held);
	}
	/* Large records want contiguous memory, which may be all in pieces. */
	if (!h->bare && size > IPC__RECORD_SMALL) {
		h->record = IPC__RECORD_SMALL;
		return ipc__fail(EMSGSIZE, "the kernel has no memory for a "
		    "record of %zu bytes now", size);
	}
	return ipc__fail((int)-rc, "the kernel has no memory for a record of "
	    "%zu bytes", size);
}

ssize_t
ipc__record_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	const struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);
	int fd = ipc__socket_out(h);
	ssize_t n;

	n = ipc__socket_send(fd, iov, count, aside);
	if (n == -EMSGSIZE && s->raise > 0) {
		ipc__record_expect(h, SIZE_MAX);
		n = ipc__socket_send(fd, iov, count, aside);
	}
	if (n == -EMSGSIZE || n == -ENOBUFS || n == -ENOMEM)
		return record_refused(h, iov_size(iov, count), n);
	return ipc__socket_failed("sendmsg", n);
}

/* Would the next record be cut?  Then it must stay where it is.  An error that
 * waits is told by this look, and not by the receive after it. */
static ssize_t
look(const struct ipc__half *h, size_t room)
{
	ssize_t n;

	n = recv(h->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	return (size_t)n <= room ? 0 : -EMSGSIZE;
}

ssize_t
ipc__record_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	size_t room = iov_size(iov, count);
	ssize_t n;

	if (room < (h->room ? h->room : h->record) &&
	    (n = look(h, room)) < 0)
		return n;
	n = ipc__socket_recv(h->fd, iov, count, aside);
	if (n == -EBADMSG)
		return ipc__fail(EBADMSG, "a record of more than %zu bytes "
		    "arrived, which no sender of this kind makes", room);
	return n;
}
