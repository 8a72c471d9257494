/* SPDX-License-Identifier: ISC */
/*
 * Sessions over UDP.  A client's first datagram comes to the listener, which
 * makes a socket of the same address for it alone, connected to that client:
 * from then on the kernel sorts what arrives.
 *
 * Linux lets any number of sockets be connected to one client, and the newest
 * gets it all.  So a client that said hello twice before it was accepted must
 * not get a second one.  What it said lies in the listener's queue from before
 * the socket was connected; so whatever comes from a client that has been
 * accepted is stale until the queue has been empty once, and fresh after that
 * (then its socket is closed).  Which clients those are is kept in memory that
 * forked copies of the listener share.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "udp.h"

#define SLOTS		4096
#define NEAR		8	/* slots where a client may be */
#define UNDER_WAY	64	/* epochs that an unfinished accept is worth */

/*
 * A slot is the upper half of a hash of the client, and the epoch until which
 * what comes from it is stale.  Accepts may run in several processes at once:
 * the compare-and-swap in claim() decides between two that hold datagrams of
 * one client.  All accesses are sequentially consistent; none is hot.
 */
struct udp_seen {
	_Atomic uint32_t epoch;		/* the queue was empty so many times */
	_Atomic uint64_t slot[SLOTS];
};

/* A first datagram. */
struct hello {
	union ipc__sockaddr from, to;
	uint32_t	 epoch;		/* from before it was taken */
	size_t		 size;
	unsigned char	 bytes[UDP_HELLO];
};

static uint64_t
hash(const union ipc__sockaddr *a)
{
	const unsigned char *p;
	uint64_t sum = UINT64_C(14695981039346656037);
	size_t i, size;

	if (a->sa.sa_family == AF_INET) {
		p = (const unsigned char *)&a->in.sin_addr;
		size = sizeof a->in.sin_addr;
	} else {
		p = a->in6.sin6_addr.s6_addr;
		size = sizeof a->in6.sin6_addr;
	}
	for (i = 0; i < size; i++)
		sum = (sum ^ p[i]) * UINT64_C(1099511628211);
	sum = (sum ^ ipc__inet_port(a)) * UINT64_C(1099511628211);
	return sum ^ sum >> 29 ^ UINT64_C(1) << 63;
}

static uint64_t
word(uint64_t sum, uint32_t epoch)
{
	return (sum & ~(uint64_t)UINT32_MAX) | epoch;
}

static bool
expired(uint64_t slot, uint32_t epoch)
{
	return slot == 0 || (int32_t)((uint32_t)slot - epoch) < 0;
}

/* The slot that this datagram gives a right to make a session for, or NULL: it
 * is stale. */
static _Atomic uint64_t *
claim(struct udp_seen *seen, uint64_t sum, uint32_t epoch)
{
	_Atomic uint64_t *slot, *free;
	uint64_t old, found;
	unsigned i;

again:
	free = &seen->slot[sum % SLOTS];
	found = *free;
	for (i = 0; i < NEAR; i++) {
		slot = &seen->slot[(sum + i) % SLOTS];
		old = *slot;
		if (old >> 32 == sum >> 32 && !expired(old, epoch))
			return NULL;
		if (expired(old, epoch) && !expired(found, epoch)) {
			free = slot;
			found = old;
		}
	}
	if (!atomic_compare_exchange_strong(free, &found,
	    word(sum, epoch + UNDER_WAY)))
		goto again;
	return free;
}

/*
 * Listening
 */

int
ipc__udp_serve(struct ipc__half *h, int fd)
{
	struct udp *u = IPC__STATE(h, struct udp);
	int domain = ipc__socket_get(fd, SOL_SOCKET, SO_DOMAIN), rc;
	void *seen;

	/* Set after bind(2), so that it let us share the port with nobody. */
	rc = ipc__socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0)
		rc = domain == AF_INET6 ?
		    ipc__socket_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) :
		    ipc__socket_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (rc < 0)
		return rc;
	seen = mmap(NULL, sizeof *u->seen, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return ipc__fail_sys("mmap");
	u->seen = seen;
	u->socket.listening = true;
	return 0;
}

int
ipc__udp_listen(struct ipc__half *h, const struct ipc__address *a)
{
	struct udp *u = IPC__STATE(h, struct udp);
	struct ipc__inet list;
	int fd, rc;

	rc = ipc__inet_resolve(&list, a->name, SOCK_DGRAM, true);
	if (rc < 0 || (fd = rc = ipc__udp_bind(&list)) < 0)
		return rc;
	if ((rc = ipc__udp_serve(h, fd)) < 0) {
		close(fd);
		return rc;
	}
	h->fd = fd;
	u->socket.capacity = a->opt.capacity;
	ipc__udp_size(h, 0);
	return 0;
}

void
ipc__udp_forget(struct udp *u)
{
	if (u->seen)
		munmap(u->seen, sizeof *u->seen);
	u->seen = NULL;
}

/*
 * Accepting
 */

/* Which of our addresses the client meant, where the listener has them all. */
static void
find_local(struct hello *hello, struct msghdr *m)
{
	struct in6_pktinfo six;
	struct in_pktinfo four;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
		    hello->to.in.sin_addr.s_addr == htonl(INADDR_ANY)) {
			memcpy(&four, CMSG_DATA(c), sizeof four);
			hello->to.in.sin_addr = four.ipi_addr;
		}
		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO &&
		    IN6_IS_ADDR_UNSPECIFIED(&hello->to.in6.sin6_addr)) {
			memcpy(&six, CMSG_DATA(c), sizeof six);
			hello->to.in6.sin6_addr = six.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
				hello->to.in6.sin6_scope_id = six.ipi6_ifindex;
		}
	}
}

/* Takes one datagram; -EAGAIN if there is none, or it is no client's first. */
static int
take_hello(struct hello *hello, const struct ipc__half *listener)
{
	const struct udp *u = IPC__STATE(listener, const struct udp);
	union { struct cmsghdr align; unsigned char bytes[128]; } control;
	struct iovec iov = { hello->bytes, sizeof hello->bytes };
	struct msghdr m = {
		.msg_name = &hello->from, .msg_namelen = sizeof hello->from,
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control
	};
	socklen_t size = sizeof hello->to;
	ssize_t n;

	memset(&hello->from, 0, sizeof hello->from);
	memset(&hello->to, 0, sizeof hello->to);
	hello->epoch = u->seen->epoch;
	n = recvmsg(listener->fd, &m, MSG_DONTWAIT);
	if (n < 0 && !ipc__socket_gone(-errno) && errno != EAGAIN &&
	    errno != EINTR)
		return ipc__fail_sys("recvmsg");
	if (n <= 0 || m.msg_flags & MSG_TRUNC ||
	    ipc__inet_port(&hello->from) == 0)
		return -EAGAIN;
	if (getsockname(listener->fd, &hello->to.sa, &size) < 0)
		return ipc__fail_sys("getsockname");
	find_local(hello, &m);
	hello->size = n;
	return 0;
}

/* A socket for this client.  Between bind and connect it would take anybody's
 * datagrams; a client that is not heard says hello again. */
static int
session_socket(const struct hello *hello, int listener)
{
	int family = hello->to.sa.sa_family, fd, rc;

	if ((fd = ipc__socket_new(family, SOCK_DGRAM)) < 0)
		return fd;
	if ((rc = ipc__socket_deafen(fd, true)) < 0 ||
	    (rc = ipc__socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0 ||
	    (family == AF_INET6 && (rc = ipc__socket_set(fd, IPPROTO_IPV6,
	    IPV6_V6ONLY, ipc__socket_get(listener, IPPROTO_IPV6,
	    IPV6_V6ONLY))) < 0))
		goto fail;
	if (bind(fd, &hello->to.sa, ipc__inet_size(&hello->to)) < 0 ||
	    connect(fd, &hello->from.sa, ipc__inet_size(&hello->from)) < 0) {
		/* Sent to all of a network, say, or from nowhere. */
		rc = errno == EADDRINUSE ? ipc__fail_sys("bind") : -EAGAIN;
		goto fail;
	}
	if ((rc = ipc__socket_deafen(fd, false)) == 0)
		return fd;
fail:
	close(fd);
	return rc;
}

/* If nothing is in the queue now, what comes next is fresh. */
static void
settle(struct udp_seen *seen, int listener)
{
	if (recv(listener, NULL, 0, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    errno == EAGAIN)
		seen->epoch++;
}

int
ipc__udp_accept(struct ipc__half *h, struct ipc__half *listener)
{
	const struct udp *l = IPC__STATE(listener, const struct udp);
	struct udp *u = IPC__STATE(h, struct udp);
	_Atomic uint64_t *slot;
	struct hello hello;
	uint64_t sum;
	int fd, rc;

	if ((rc = take_hello(&hello, listener)) < 0)
		return rc;
	sum = hash(&hello.from);
	slot = claim(l->seen, sum, hello.epoch);
	fd = slot ? session_socket(&hello, listener->fd) : -EAGAIN;
	if (slot)
		*slot = fd >= 0 ? word(sum, l->seen->epoch) : 0;
	settle(l->seen, listener->fd);
	if (fd < 0)
		return fd;
	h->fd = fd;
	ipc__udp_size(h, l->socket.capacity);
	memcpy(u->hello, hello.bytes, hello.size);
	u->hello_size = hello.size;
	return 0;
}
