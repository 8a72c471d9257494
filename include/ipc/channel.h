/* SPDX-License-Identifier: ISC */
/*
 * Channels: one end of a conversation, whatever carries it.
 *
 * A channel comes from one of four ways: ipc_pair() makes both ends at once;
 * ipc_open() opens a thing that has a name, such as a FIFO; ipc_listen(),
 * ipc_accept() and ipc_connect() make a session with a server; ipc_adopt()
 * takes descriptors that exist.  Then messages go through ipc_send() and
 * ipc_recv(), or bytes through ipc_read() and ipc_write() where the address
 * says boundary=stream, and ipc_close() ends it.
 *
 *	struct ipc_channel *ch;
 *	char reply[100];
 *
 *	if (ipc_connect(&ch, "unix:/run/clock", 0, 1000) < 0 ||
 *	    ipc_send(ch, "time?", 5, 1000) < 0 ||
 *	    ipc_recv(ch, reply, sizeof reply, 1000) < 0)
 *		errx(1, "%s", ipc_errmsg());
 *	ipc_close(ch);
 *
 * Timeouts are in milliseconds: -1 waits for ever, 0 does not wait and gives
 * -EAGAIN, otherwise -ETIMEDOUT follows on the monotonic clock; signals do not
 * cut a wait short.  Sizes are in bytes.
 *
 * Threads: different channels are independent.  On one channel, one thread may
 * send while another receives; more on one side want ?threads=many.  Nobody
 * may be inside a channel that is being closed.  Fork: both copies are one end;
 * one process goes on using it and the other only closes it, which writes
 * nothing.  Every descriptor made here is close-on-exec.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_channel;
struct ipc_listener;

/* Flags, and directions. */
#define IPC_RECV	0x01		/* receive */
#define IPC_SEND	0x02		/* send */
#define IPC_DUPLEX	(IPC_RECV | IPC_SEND)
#define IPC_CREATE	0x04		/* ipc_open: make it if it is missing */
#define IPC_EXCLUSIVE	0x08		/* with it: -EEXIST if it is there */
#define IPC_HALF_DUPLEX	0x10		/* both ways, in turns */
#define IPC_ASYNC	0x20		/* ipc_connect: return at once */
#define IPC_STDIO	0x40		/* ipc_spawn: the child's 0 and 1 */

/* ipc_info.boundary */
#define IPC_MESSAGE	1
#define IPC_STREAM	2

#define IPC_FDS_MAX	64		/* descriptors of one message */

/* Plain records.  The caller sets struct_size to sizeof, so that they can
 * grow; what it does not cover is left alone. */
struct ipc_msg {
	size_t		 struct_size;
	struct iovec	*iov;
	int		 iov_count;
	int		*fds;
	unsigned	 fd_count;
	unsigned	 priority;
	void		*address;	/* of the other side, see ipc_recvmsg */
	size_t		 address_size;
};

struct ipc_peer {
	size_t	struct_size;
	pid_t	pid;
	uid_t	uid;
	gid_t	gid;
};

struct ipc_info {
	size_t		 struct_size;
	const char	*scheme;	/* what really carries it */
	int		 direction;	/* IPC_RECV, IPC_SEND, IPC_DUPLEX */
	int		 boundary;	/* IPC_MESSAGE or IPC_STREAM */
	unsigned	 caps;		/* enum ipc_cap */
	size_t		 max_message;	/* larger ones are -EMSGSIZE */
	size_t		 record;	/* what a send-ready channel takes at
					   once */
	size_t		 capacity;	/* bytes that may be under way in one
					   direction; 0: not known */
	size_t		 pending;	/* bytes read ahead, not yet received */
};

struct ipc_stats {
	size_t	 struct_size;
	uint64_t sent, sent_bytes;	/* messages (calls, on a stream) */
	uint64_t received, received_bytes;
	uint64_t sleeps;		/* waits in the kernel */
	uint64_t wakes;			/* a ring's sleeper woken by a call; 0
					   where the kernel does that */
};

/* One thing that ipc_poll waits for: a channel, a listener, or (both NULL) a
 * descriptor.  events and revents as in poll(2). */
struct ipc_pollitem {
	struct ipc_channel	*channel;
	struct ipc_listener	*listener;
	int			 fd;
	short			 events;
	short			 revents;
};

/*
 * Getting a channel
 */

/*
 * Makes both ends at once, for a parent and the child that it will fork, or
 * for two threads.  flags: 0 or IPC_DUPLEX makes two two-way ends;
 * IPC_HALF_DUPLEX two that take turns, ends[0] beginning; IPC_RECV or IPC_SEND
 * a one-way pair, of which ends[0] receives and ends[1] sends, as in pipe(2).
 */
IPC_API int ipc_pair(struct ipc_channel *ends[2], const char *address,
    int flags);

/*
 * Opens the thing itself that has this name, which all who open it share and
 * which programs without this library can open as well.  Wants IPC_RECV,
 * IPC_SEND or both where the mechanism has both; IPC_CREATE and IPC_EXCLUSIVE
 * as in open(2).  Never waits for another side.  -EBUSY: another one holds it
 * that way, and only one can.  -EPROTOTYPE: the name is one to ipc_connect to.
 */
IPC_API int ipc_open(struct ipc_channel **ch, const char *address, int flags);

/*
 * Listens for clients.  flags: IPC_DUPLEX (the default), IPC_HALF_DUPLEX; or
 * IPC_RECV or IPC_SEND for sessions that go one way, seen from here.
 * -EADDRINUSE: somebody listens there, and goes on unharmed.  -EEXIST:
 * something else has this name, and is left alone.  What a killed listener
 * left is taken over.
 */
IPC_API int ipc_listen(struct ipc_listener **l, const char *address, int flags);

/*
 * The next client.  Clients that are silent or send rubbish delay nobody and
 * are dropped after a few seconds.  Several processes may accept on copies of
 * one listener.  -EMFILE is told once and then the listener rests a moment; no
 * client is lost by it.
 */
IPC_API int ipc_accept(struct ipc_channel **ch, struct ipc_listener *l,
    int timeout);

/*
 * Connects to a listener.  flags: 0 (as the listener has it), or a direction
 * seen from here, or IPC_HALF_DUPLEX; -EPROTO says that the two sides do not
 * agree.  With IPC_ASYNC it returns as soon as it is under way; the timeout
 * then only bounds what must be waited for at once, and errors that come later
 * are given by the first call on the channel.  A host name is resolved before
 * the clock starts.  -ECONNREFUSED or -ENOENT: nobody listens there.
 */
IPC_API int ipc_connect(struct ipc_channel **ch, const char *address,
    int flags, int timeout);

/*
 * Makes a channel of descriptors that exist: a shell's pipe, a socket that an
 * activating parent made.  The scheme may carry options ("pipe:?boundary=
 * message").  -1 stands for none, the same descriptor twice for a two-way one.
 * On success the channel owns them; their flags are never changed.  Pipes are
 * byte streams unless asked otherwise, and nothing is read ahead of need.
 */
IPC_API int ipc_adopt(struct ipc_channel **ch, const char *scheme,
    int recv_fd, int send_fd, int flags);

/*
 * Makes a listener of a listening socket, which it owns on success.  fd -1
 * takes the first one that the environment passes by the LISTEN_FDS protocol
 * and that fits the scheme; -ENOENT where there is none.
 */
IPC_API int ipc_adopt_listener(struct ipc_listener **l, const char *scheme,
    int fd, int flags);

/*
 * The address that others can connect to, such as the port that tcp://host:0
 * got.  -ENAMETOOLONG: the buffer is too small.
 */
IPC_API int ipc_listener_address(const struct ipc_listener *l, char *buffer,
    size_t size);

/*
 * Makes one two-way channel of two that exist, each of which gives one
 * direction.  On success it owns both, and neither may be used any more.
 */
IPC_API int ipc_join(struct ipc_channel **ch, struct ipc_channel *receiver,
    struct ipc_channel *sender);

/*
 * Ends and frees a channel; NULL is allowed.  Never waits (tcp: for a moment,
 * so that nothing sent is lost).  Unless a fork has happened since this process
 * last used the channel, the other side is told that this was a close.
 */
IPC_API int ipc_close(struct ipc_channel *ch);

/* Ends a listener and removes its name; NULL is allowed.  A forked copy only
 * frees its own. */
IPC_API int ipc_listener_close(struct ipc_listener *l);

/*
 * Ends one direction, or both: after IPC_SEND the other side receives what was
 * sent and then -EPIPE (0 from ipc_read), after IPC_RECV it can not send.
 */
IPC_API int ipc_shutdown(struct ipc_channel *ch, int direction);

/*
 * Removes an opened object's name, or a meeting point where nobody listens
 * (-EBUSY where somebody does).
 */
IPC_API int ipc_unlink(const char *address);

/*
 * Messages
 */

/*
 * Sends one message, whole or not at all.  0: it is out of this process.
 * -EAGAIN, -ETIMEDOUT: nothing was taken, or the message is begun: then the
 * next send must bring the same one again (another length is -EALREADY) and
 * goes on where it stopped, or ipc_abandon() gives it up.
 */
IPC_API int ipc_send(struct ipc_channel *ch, const void *data, size_t size,
    int timeout);

/*
 * Receives one message and returns its length, which may be 0.  -EMSGSIZE: the
 * buffer is too small, and the message is kept for the next receive.  -EPIPE,
 * -ECONNRESET: the end, after all that was sent.
 */
IPC_API ssize_t ipc_recv(struct ipc_channel *ch, void *buffer, size_t size,
    int timeout);

/* ipc_send() of one message that lies in several places. */
IPC_API int ipc_sendv(struct ipc_channel *ch, const struct iovec *iov,
    int count, int timeout);

/*
 * ipc_sendv() with what can travel beside the bytes: descriptors (which stay
 * the sender's), a priority on an opened queue, the address of an answer on an
 * opened unixgram: or udp:.  flags: 0.
 */
IPC_API int ipc_sendmsg(struct ipc_channel *ch, const struct ipc_msg *msg,
    int flags, int timeout);

/*
 * ipc_recv() of what ipc_sendmsg() sends, into several places.  fd_count is
 * room in and number out; too little is -EMSGSIZE and all stays; what is
 * received is the caller's and close-on-exec (every other receive closes it).
 * address_size is room in and length out: the sender's name, for an answer.
 * Descriptors that this process has no room for: -EMFILE once, then the message
 * without them.  flags: 0.
 */
IPC_API ssize_t ipc_recvmsg(struct ipc_channel *ch, struct ipc_msg *msg,
    int flags, int timeout);

/*
 * Sends several messages, one in each iovec, in as few system calls as there
 * can be.  Waits until all are taken; returns how many were, at least 1, or the
 * error that met the first.
 */
IPC_API int ipc_sendmany(struct ipc_channel *ch, const struct iovec *messages,
    int count, int timeout);

/*
 * Waits for one message and takes what is there.  iov_len is room in and
 * length out.  Returns how many, at least 1, or the error that met the first.
 */
IPC_API int ipc_recvmany(struct ipc_channel *ch, struct iovec *messages,
    int count, int timeout);

/*
 * Without a copy, where the mechanism can (IPC_CAP_INPLACE); the same code
 * works everywhere else with one inner copy.
 */

/*
 * Room for a message of up to size bytes, to be filled in by the caller.  One
 * reservation at a time (-EALREADY).
 */
IPC_API int ipc_reserve(struct ipc_channel *ch, void **data, size_t size,
    int timeout);

/*
 * Sends the first size bytes of what was reserved.  Never waits; where it
 * would have to, -EAGAIN leaves the reservation open.
 */
IPC_API int ipc_commit(struct ipc_channel *ch, size_t size);

/* Gives up the reservation, or the message that was begun. */
IPC_API int ipc_abandon(struct ipc_channel *ch);

/*
 * Shows the next message without taking it, and returns its length.  The
 * pointer is good until ipc_release(), the next receive, or close.
 */
IPC_API ssize_t ipc_peek(struct ipc_channel *ch, const void **data,
    int timeout);

/* Takes the message that was shown.  -EINVAL: none was. */
IPC_API int ipc_release(struct ipc_channel *ch);

/*
 * Byte streams (boundary=stream), as read(2) and write(2)
 */

/* Returns how many bytes came, at least 1 if size is; 0 is the end. */
IPC_API ssize_t ipc_read(struct ipc_channel *ch, void *buffer, size_t size,
    int timeout);

/* Returns how many bytes were taken, at least 1 if size is. */
IPC_API ssize_t ipc_write(struct ipc_channel *ch, const void *data,
    size_t size, int timeout);

/*
 * Half-duplex
 */

/*
 * Waits for the turn to send; 0 at once where it is here.  -EBUSY: a message
 * lies before it and wants to be received first.
 */
IPC_API int ipc_turn(struct ipc_channel *ch, int timeout);

/* Gives the turn to the other side, behind all that was sent. */
IPC_API int ipc_over(struct ipc_channel *ch);

/*
 * Waiting on many
 */

/*
 * A descriptor for poll(2), epoll(7) and every event loop, which is readable
 * as *events says (events may be NULL: POLLIN) when a call in that direction
 * (IPC_RECV or IPC_SEND) would get on.  It is level-triggered, belongs to the
 * channel, and is only to be waited on.  In a forked child ask again.
 */
IPC_API int ipc_fd(struct ipc_channel *ch, int direction, short *events);

/* The same for ipc_accept().  POLLIN. */
IPC_API int ipc_listener_fd(struct ipc_listener *l);

/* poll(2) over channels, listeners and descriptors.  Returns how many are
 * ready; 0 after the timeout. */
IPC_API int ipc_poll(struct ipc_pollitem *items, size_t count, int timeout);

/*
 * Leaves a mark in each direction: the send and the receive that is blocked
 * now, or else the next one, returns -ECANCELED once.  Async-signal-safe; from
 * any thread.
 */
IPC_API void ipc_wake(struct ipc_channel *ch);

/*
 * Asking
 */
IPC_API int ipc_info(const struct ipc_channel *ch, struct ipc_info *info);

/* Who made the other end, by the kernel's word.  -EOPNOTSUPP: nobody knows. */
IPC_API int ipc_peer(const struct ipc_channel *ch, struct ipc_peer *peer);

IPC_API int ipc_stats(const struct ipc_channel *ch, struct ipc_stats *stats);

/*
 * A child process at the other end
 */

/*
 * Starts a program with the other end of a pair; argv[0] is looked up in PATH.
 * A failed exec is reported here.  The child takes its end with ipc_inherit(),
 * or has it as standard input and output with IPC_STDIO (boundary=stream
 * then; with IPC_RECV only its output, with IPC_SEND only its input).  The
 * caller reaps the child.
 */
IPC_API int ipc_spawn(struct ipc_channel **ch, pid_t *child,
    const char *address, char *const argv[], int flags);

/* In that child: its end, once.  -ENOENT: there is none for this process. */
IPC_API int ipc_inherit(struct ipc_channel **ch);

#ifdef __cplusplus
}
#endif

#endif
