/* SPDX-License-Identifier: ISC */
/*
 * What the socket mechanisms share.  Nothing here relies on O_NONBLOCK, so that
 * a descriptor whose flags are another's works like our own.
 */
#ifndef IPC_LIB_SOCKET_H
#define IPC_LIB_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "backend.h"
#include "name.h"

/* Records that hold a message of 1 MiB, of 64 KiB, and what the core adds. */
#define IPC__RECORD_LARGE	((1u << 20) + 256)
#define IPC__RECORD_SMALL	((64u << 10) + 256)

/* Options: of every socket channel, and of sessions that meet at a path. */
#define IPC__BIT(key)		(UINT32_C(1) << IPC__KEY_##key)
#define IPC__SOCKET_KEYS	(IPC__BIT(BOUNDARY) | IPC__BIT(MAX_MESSAGE) | \
				 IPC__BIT(WAIT) | IPC__BIT(THREADS))
#define IPC__MEETING_KEYS	(IPC__BIT(AT) | IPC__BIT(MODE) | \
				 IPC__BIT(UID) | IPC__BIT(GID) | \
				 IPC__BIT(ALLOW_UID) | IPC__BIT(ALLOW_GID) | \
				 IPC__BIT(BACKLOG))

/* As a capacity: leave the kernel's buffers as they are. */
#define IPC__CAPACITY_KEEP	UINT64_MAX

/* The state of every socket half begins with this. */
struct ipc__socket {
	size_t	 raise;		/* what SO_SNDBUF is raised to when large
				   messages go through; 0: it stays */
	uint64_t capacity;	/* of a listener: for those it accepts */
	int	 out;		/* 1 + the descriptor that sends, if it is
				   another than h->fd; or 0 */
	bool	 listening;
	struct ipc__socket_name name;	/* the path that was bound here */
};

/* The descriptor that sends. */
static inline int
ipc__socket_out(const struct ipc__half *h)
{
	const struct ipc__socket *s = IPC__STATE(h, const struct ipc__socket);

	return s->out > 0 ? s->out - 1 : h->fd;
}

/* What a backend takes for its own. */
struct ipc__socket_kind {
	int		 domain;
	int		 domain2;	/* AF_INET6 beside AF_INET */
	int		 type;
	const char	*title;		/* "a Unix stream socket" */
	/* Sets record, room, atomic and capacity; and the kernel's buffers,
	 * unless capacity is 0 (unsaid) or IPC__CAPACITY_KEEP. */
	void (*size)(struct ipc__half *, uint64_t capacity);
};

/*
 * Making.  These note a text when they fail, but ipc__socket_get() (-1, errno)
 * and -EAGAIN.
 */
int ipc__socket_new(int domain, int type);
int ipc__socket_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *, const struct ipc__socket_kind *);
int ipc__socket_set(int fd, int level, int option, int value);
int ipc__socket_get(int fd, int level, int option);
/* A listening socket whose flags are not ours: never waits; -1 and errno. */
int ipc__socket_accept_shared(int fd);
/* One waiting client's descriptor, or -EAGAIN. */
int ipc__socket_accept(const struct ipc__half *listener);
/* Nothing gets into this socket's queue while it is deaf. */
int ipc__socket_deafen(int fd, bool deaf);
/* -ENOTSOCK, -EINVAL: the descriptor is of another kind. */
int ipc__socket_check(int fd, const struct ipc__socket_kind *);
/* -EINVAL, -ENOTCONN: it does not listen, or does, or has no other end. */
int ipc__socket_check_state(int fd, bool listening);
/* ipc_backend.adopt of connected sockets, .give, .take */
int ipc__socket_adopt(struct ipc__half *, int fd, bool listening,
    const struct ipc__socket_kind *);
int ipc__socket_give(struct ipc__half *, struct ipc__ticket *);
int ipc__socket_take(struct ipc__half *, struct ipc__ticket *,
    const struct ipc__socket_kind *);

/*
 * Moving: one system call each, a count or -errno without a text.
 */
ssize_t ipc__socket_send(int fd, const struct iovec *iov, int count,
    const struct ipc__aside *aside);
/* -EBADMSG: the record was longer than the buffers, and its rest is lost. */
ssize_t ipc__socket_recv(int fd, const struct iovec *iov, int count,
    struct ipc__aside *aside);
/* Where nothing can come beside the bytes of a stream. */
ssize_t ipc__socket_recv_bytes(int fd, const struct iovec *iov, int count);
/* The code says that the other side is not there any more. */
bool ipc__socket_gone(ssize_t rc);
/* What a failed call means: -EPIPE, or the error with a text. */
ssize_t ipc__socket_failed(const char *call, ssize_t rc);
/* One record of a Unix socket.  -EMSGSIZE: h->record is smaller now, and
 * nothing was taken. */
ssize_t ipc__record_send(struct ipc__half *, const struct iovec *iov,
    int count, const struct ipc__aside *aside);
/* One record of any socket; 0 is an empty one, or the end.  -EMSGSIZE: the
 * buffers are smaller than what may come, and than what has come; it was
 * kept. */
ssize_t ipc__record_recv(struct ipc__half *, const struct iovec *iov,
    int count, struct ipc__aside *aside);

/*
 * The kernel's buffers (sockbuf.c)
 */

/* Sets SO_SNDBUF or SO_RCVBUF to hold want bytes, or as many as the system
 * allows less spare; returns what it holds now. */
size_t ipc__socket_buffer(int fd, int option, size_t want, size_t spare);
/* ipc__socket_kind.size, ipc_backend.expect */
void ipc__stream_size(struct ipc__half *, uint64_t capacity);
void ipc__record_size(struct ipc__half *, uint64_t capacity);
void ipc__stream_expect(struct ipc__half *, size_t size);
void ipc__record_expect(struct ipc__half *, size_t size);
/* ipc_backend.stretch, .ends_with, .pending, .shutdown, .peer */
void ipc__socket_stretch(struct ipc__half *, size_t more);
bool ipc__stream_ends_with(struct ipc__half *, const void *tail, size_t size);
bool ipc__record_ends_with(struct ipc__half *, const void *tail, size_t size);
size_t ipc__socket_pending(const struct ipc__half *);
/* Throws away what has arrived. */
void ipc__socket_discard(int fd);
int ipc__socket_shutdown(struct ipc__half *, int dir);
int ipc__socket_peer(const struct ipc__half *, struct ipc_peer *);

/*
 * Unix sockets that have a name (sockname.c)
 */
int ipc__unix_name(struct sockaddr_un *, socklen_t *, const char *name);
/* ipc_backend.listen, .accept, .connect, .where, .close */
int ipc__unix_serve(struct ipc__half *, const struct ipc__address *,
    const struct ipc__socket_kind *);
int ipc__unix_accept(struct ipc__half *, struct ipc__half *listener,
    const struct ipc__socket_kind *);
int ipc__unix_reach(struct ipc__half *, const struct ipc__address *,
    int timeout, const struct ipc__socket_kind *);
int ipc__unix_where(const struct ipc__half *, char *buffer, size_t size);
void ipc__unix_close(struct ipc__half *, bool clean);
/* connect(2) to this name failed with errno: the code, and a text that says
 * what lies there and which call to use. */
int ipc__unix_refused(const char *name, const struct ipc__socket_kind *);

#endif
