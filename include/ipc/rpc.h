/* SPDX-License-Identifier: ISC */
/*
 * Remote procedure calls: a procedure of another process, here or on another
 * machine, over any channel that goes both ways.
 *
 * A server registers handlers by name, listens on as many addresses as it
 * likes, and serves in a loop of its own or in the user's.  A handler answers
 * now, or keeps the call and answers later, from any thread.
 *
 *	static void
 *	add(struct ipc_rpc_call *call, const void *args, size_t size,
 *	    void *user)
 *	{
 *		int32_t n[2], sum;
 *
 *		if (size != sizeof n) {
 *			ipc_rpc_fail(call, EINVAL, "two numbers, please");
 *			return;
 *		}
 *		memcpy(n, args, sizeof n);
 *		sum = n[0] + n[1];
 *		ipc_rpc_reply(call, &sum, sizeof sum);
 *	}
 *	...
 *	if (ipc_rpc_server_new(&s) < 0 ||
 *	    ipc_rpc_register(s, "add", add, NULL) < 0 ||
 *	    ipc_rpc_listen(s, "unix:/run/adder", 0) < 0 ||
 *	    ipc_rpc_serve(s, -1) < 0)
 *		errx(1, "%s", ipc_errmsg());
 *
 * A client calls and waits, or starts many calls and dispatches their answers
 * as they come.
 *
 *	if (ipc_rpc_connect(&c, "unix:/run/adder", 1000) < 0 ||
 *	    ipc_rpc_call(c, "add", n, sizeof n, &sum, &size, 1000) != 0)
 *		errx(1, "%s", ipc_errmsg());
 *
 * What a call comes to, its status, is 0; or a negative errno value, of which
 * -ENOSYS says that the server has no such method, -ETIMEDOUT that the time is
 * over (the call is cancelled there, and a late answer is never taken for
 * another's), and -ECONNRESET or -EPIPE that the server died or went; or the
 * positive code that the handler failed with.  ipc_errmsg() has the text.
 *
 * Timeouts are in milliseconds: -1 waits for ever, 0 does not wait and gives
 * -EAGAIN, otherwise -ETIMEDOUT follows on the monotonic clock.  The server is
 * told how much time a call has left.
 *
 * Threads: a server is served and set up by one thread at a time; what takes a
 * struct ipc_rpc_call, and ipc_rpc_stop(), may be called from any thread, each
 * call by one at a time.  A client is used by one thread at a time; different
 * clients are independent.  Fork: one process goes on using a server or a
 * client, the other only closes it, which writes nothing; calls that wait for
 * their answer are the parent's.  A server that has listeners only may be
 * served by parent and children alike.
 */
#ifndef IPC_RPC_H
#define IPC_RPC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <ipc/channel.h>
#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_rpc_server;
struct ipc_rpc_call;
struct ipc_rpc_client;
struct ipc_rpc_stream;

#define IPC_RPC_METHOD_MAX	255	/* bytes of a method's name */

/* The status of a part of an answer: more of it comes. */
#define IPC_RPC_MORE		(-EINPROGRESS)

/* ipc_rpc_request.flags */
#define IPC_RPC_PARTS		0x01	/* the answer may come in parts */
#define IPC_RPC_ONE_WAY		0x02	/* nobody waits for an answer */
#define IPC_RPC_NOWAIT		0x04	/* no room to send: -EAGAIN at once */

/* What a server allows: ipc_rpc_limit(). */
enum ipc_rpc_limit {
	IPC_RPC_CALLS,		/* calls of one client that wait for their
				   answer (4096); more are -EBUSY */
	IPC_RPC_CALLS_TOTAL,	/* and of all clients (65536) */
	IPC_RPC_ARGS,		/* bytes of one call's arguments (16 MiB);
				   more are -EMSGSIZE */
	IPC_RPC_QUEUE,		/* bytes of answers that a client has not
				   taken (1 MiB); until it has, none of its
				   calls is read */
	IPC_RPC_CLIENTS,	/* clients of one user (1024), where the kernel
				   knows whose they are; more are -EUSERS */
	IPC_RPC_CLIENTS_TOTAL	/* clients (8192) */
};

/*
 * A handler.  The arguments live until it returns, the call until it is ended
 * by exactly one of ipc_rpc_reply(), ipc_rpc_reply_fds() and ipc_rpc_fail(),
 * now or later, whether it was cancelled or not and even if the client or the
 * server are gone by then.
 */
typedef void ipc_rpc_handler(struct ipc_rpc_call *call, const void *args,
    size_t size, void *user);

/* What ipc_rpc_watch() runs. */
typedef void ipc_rpc_change(struct ipc_rpc_call *call, void *user);

/*
 * An answer.  status as above; with IPC_RPC_PARTS it is IPC_RPC_MORE for each
 * part.  The reply lives until this returns; NULL where there is none.
 */
typedef void ipc_rpc_done(int status, const void *reply, size_t size,
    void *user);

/* A call with all that can be said of it.  The caller sets struct_size to
 * sizeof, and what it does not need to 0. */
struct ipc_rpc_request {
	size_t		 struct_size;
	const char	*method;
	const void	*args;
	size_t		 size;
	const int	*fds;		/* go along, and stay the caller's */
	unsigned	 fd_count;
	unsigned	 flags;		/* IPC_RPC_PARTS ... */
	int		 timeout;
	ipc_rpc_done	*done;
	void		*user;
};

/*
 * Servers
 */

/* A server without methods and without clients. */
IPC_API int ipc_rpc_server_new(struct ipc_rpc_server **s);

/*
 * Registers a handler, in the place of the one of this name if there is one; a
 * handler of NULL takes that away.  A method of NULL is every method that has
 * no handler of its own.
 */
IPC_API int ipc_rpc_register(struct ipc_rpc_server *s, const char *method,
    ipc_rpc_handler *handler, void *user);

/*
 * Listens on one more address, of any mechanism that has sessions; flags: 0 or
 * IPC_DUPLEX.  Fails as ipc_listen() does.
 */
IPC_API int ipc_rpc_listen(struct ipc_rpc_server *s, const char *address,
    int flags);

/* Listens on a listener that exists, which it owns on success. */
IPC_API int ipc_rpc_adopt_listener(struct ipc_rpc_server *s,
    struct ipc_listener *l);

/*
 * Serves the client at the other end of a channel that exists: of a pair, of a
 * session that was accepted elsewhere, of joined halves.  It must carry
 * messages, both ways at once.  On success the server owns it.
 */
IPC_API int ipc_rpc_adopt(struct ipc_rpc_server *s, struct ipc_channel *ch);

/* The address of the listener of this number, from 0 in the order in which they
 * came; -ENOENT: there are not so many. */
IPC_API int ipc_rpc_address(const struct ipc_rpc_server *s, unsigned number,
    char *buffer, size_t size);

/* Sets a limit for what comes from now on; 0 brings back its default. */
IPC_API int ipc_rpc_limit(struct ipc_rpc_server *s, enum ipc_rpc_limit limit,
    size_t value);

/*
 * Serves.  -1: until ipc_rpc_stop(), which it then tells as -ECANCELED, or
 * until nobody can come any more, as there is no listener and the last client
 * has gone: -EPIPE.  Otherwise it waits so long for something to do, does all
 * that is there and returns 0; with 0 it does not wait, and returns -EAGAIN
 * where there was nothing.  -EDEADLK: called by a handler.
 */
IPC_API int ipc_rpc_serve(struct ipc_rpc_server *s, int timeout);

/*
 * A descriptor for poll(2), epoll(7) and every event loop, readable when
 * ipc_rpc_serve(s, 0) would do something.  It is level-triggered, belongs to
 * the server and is only to be waited on.  In a forked child ask again.
 */
IPC_API int ipc_rpc_fd(struct ipc_rpc_server *s);

/* Ends the ipc_rpc_serve() that runs now, or else the next one.
 * Async-signal-safe; from any thread. */
IPC_API void ipc_rpc_stop(struct ipc_rpc_server *s);

/*
 * Ends a server: it listens no more, and its clients are told -EPIPE.  Calls
 * that were kept stay valid until each is ended.  NULL is allowed.  -EDEADLK:
 * called by a handler.
 */
IPC_API int ipc_rpc_server_close(struct ipc_rpc_server *s);

/*
 * Calls, at the server.  From any thread.
 */

/*
 * Answers, which ends the call.  Never waits: what the client has no room for
 * is kept and sent as it takes it.  0: it is on its way, or nobody waits for it
 * (a one-way call).  -ECANCELED: nobody waits for it any more.  -EPIPE: the
 * client has gone.  -EMSGSIZE: it is longer than the channel carries, and the
 * client is told that.  Whatever it returns but -EINVAL, the call is ended.
 */
IPC_API int ipc_rpc_reply(struct ipc_rpc_call *call, const void *data,
    size_t size);

/* ipc_rpc_reply() with descriptors, which stay the caller's.  -EOPNOTSUPP: they
 * do not travel on this channel, -EBADF: one of them is none, -EMFILE: there is
 * none left to keep them; and the client is told that. */
IPC_API int ipc_rpc_reply_fds(struct ipc_rpc_call *call, const void *data,
    size_t size, const int *fds, unsigned fd_count);

/* Fails, which ends the call: the client's status is this code, which is above
 * 0, and text (NULL: none) is in its ipc_errmsg().  Returns as ipc_rpc_reply()
 * does. */
IPC_API int ipc_rpc_fail(struct ipc_rpc_call *call, int code, const char *text);

/*
 * Sends a part of the answer; the call goes on.  -EAGAIN, -ETIMEDOUT: the
 * client has not taken enough of what was sent before.  In the thread that
 * serves it never waits, whatever the timeout; ipc_rpc_watch() tells there when
 * to go on.  -EOPNOTSUPP: this client wants the answer in one.  -ECANCELED,
 * -EPIPE: nobody waits for it; the call is to be ended all the same.
 */
IPC_API int ipc_rpc_part(struct ipc_rpc_call *call, const void *data,
    size_t size, int timeout);

/*
 * Runs change(call, user) in the thread that serves whenever the call was
 * cancelled (also by the client's end, or because its time is over), once, or
 * takes parts again after one was refused with -EAGAIN.  Not begun once the
 * call is ended; it may end the call.  NULL: no more.
 */
IPC_API int ipc_rpc_watch(struct ipc_rpc_call *call, ipc_rpc_change *change,
    void *user);

/* Who calls, by the kernel's word.  -EOPNOTSUPP: nobody knows. */
IPC_API int ipc_rpc_caller(const struct ipc_rpc_call *call,
    struct ipc_peer *peer);

/* 1: nobody waits for the answer any more, as the call was cancelled, its time
 * is over, or the client or the server is gone; 0 otherwise. */
IPC_API int ipc_rpc_cancelled(const struct ipc_rpc_call *call);

/* Milliseconds that the call has left, 0 if its time is over; -1: as long as it
 * likes. */
IPC_API int ipc_rpc_time_left(const struct ipc_rpc_call *call);

/* The method's name, as long as the call is valid. */
IPC_API const char *ipc_rpc_method(const struct ipc_rpc_call *call);

/* IPC_RPC_PARTS, IPC_RPC_ONE_WAY: what the client has said of it. */
IPC_API unsigned ipc_rpc_flags(const struct ipc_rpc_call *call);

/*
 * Takes the descriptors that came with the call, which are the caller's then
 * and close-on-exec.  Returns how many; -EMSGSIZE: there are more than room,
 * and they stay; -EMFILE: this process had no room for them.  What is not taken
 * is closed when the call ends.
 */
IPC_API int ipc_rpc_take_fds(struct ipc_rpc_call *call, int *fds,
    unsigned room);

/*
 * Clients
 */

/*
 * Connects to a server.  With reconnect=1 in the address it waits, until the
 * timeout, for a server that is not there yet, and when the connection has
 * ended a call that was not sent yet connects again, with growing pauses, as
 * long as its time lasts.  A call that may have run is never repeated.
 */
IPC_API int ipc_rpc_connect(struct ipc_rpc_client **c, const char *address,
    int timeout);

/* Over a channel that exists; it must carry messages, both ways at once.  On
 * success the client owns it. */
IPC_API int ipc_rpc_attach(struct ipc_rpc_client **c, struct ipc_channel *ch);

/*
 * Calls and waits.  Returns the status.  On 0 *reply is the answer, to be
 * free(3)d, or NULL where it is empty; otherwise NULL.  reply and reply_size
 * may be NULL.  Answers of calls that were started wait for ipc_rpc_dispatch().
 */
IPC_API int ipc_rpc_call(struct ipc_rpc_client *c, const char *method,
    const void *args, size_t size, void **reply, size_t *reply_size,
    int timeout);

/*
 * Starts a call.  0: it is sent, and done is run exactly once, by
 * ipc_rpc_dispatch() or by ipc_rpc_client_close() (-ECANCELED).  Otherwise it
 * was not sent, has not run, and done is never run.  While it waits for room it
 * takes in answers and keeps them, so that two full queues never wait for each
 * other.  The timeout is that of the whole call; with 0 it does not wait for
 * room, and the answer may take as long as it likes.  done of NULL: nobody
 * wants to know what it came to.
 */
IPC_API int ipc_rpc_start(struct ipc_rpc_client *c, const char *method,
    const void *args, size_t size, ipc_rpc_done *done, void *user, int timeout);

/* Calls, and wants no answer: whether it ran is never told.  The timeout is for
 * room to send. */
IPC_API int ipc_rpc_notify(struct ipc_rpc_client *c, const char *method,
    const void *args, size_t size, int timeout);

/*
 * ipc_rpc_start() of what a request says.  *id, which may be NULL, is for
 * ipc_rpc_cancel().  With IPC_RPC_PARTS done is run for each part as well.
 */
IPC_API int ipc_rpc_submit(struct ipc_rpc_client *c,
    const struct ipc_rpc_request *request, uint64_t *id);

/* ipc_rpc_call() of what a request says; done and user are not used. */
IPC_API int ipc_rpc_perform(struct ipc_rpc_client *c,
    const struct ipc_rpc_request *request, void **reply, size_t *reply_size);

/*
 * Cancels a call that was submitted: the server is told, and done is run with
 * -ECANCELED by the next dispatch.  -ENOENT: it has been answered.
 */
IPC_API int ipc_rpc_cancel(struct ipc_rpc_client *c, uint64_t id);

/*
 * Waits for answers, takes what is there, and runs done for each.  Returns for
 * how many; 0: no call is under way.  -EDEADLK: called by a done.
 */
IPC_API int ipc_rpc_dispatch(struct ipc_rpc_client *c, int timeout);

/* A descriptor for event loops, readable when ipc_rpc_dispatch(c, 0) would do
 * something.  It belongs to the client; ask again after a fork. */
IPC_API int ipc_rpc_client_fd(struct ipc_rpc_client *c);

/*
 * Takes the descriptors of the answer that the last ipc_rpc_call(),
 * ipc_rpc_perform() or ipc_rpc_stream_next() gave or, within done, of the one
 * that it is run for.  Returns how many; -EMSGSIZE: there are more than room;
 * -EMFILE: this process had no room for them.  What is not taken is closed.
 */
IPC_API int ipc_rpc_reply_take_fds(struct ipc_rpc_client *c, int *fds,
    unsigned room);

/* Ends a client: what is under way is cancelled, and done run for it with
 * -ECANCELED, which must not use the client.  NULL is allowed.  -EDEADLK:
 * called by a done. */
IPC_API int ipc_rpc_client_close(struct ipc_rpc_client *c);

/*
 * Answers in parts, one by one: starts the call of a request (done and user are
 * not used).  What is not asked for is not sent without end: the server is told
 * to wait.
 */
IPC_API int ipc_rpc_stream_open(struct ipc_rpc_stream **s,
    struct ipc_rpc_client *c, const struct ipc_rpc_request *request);

/*
 * The next part: IPC_RPC_MORE; or the end: the call's status, with the reply if
 * it is 0.  *data is to be free(3)d, or NULL.  -EAGAIN, and -ETIMEDOUT before
 * the call's own time is over: nothing has come yet.
 */
IPC_API int ipc_rpc_stream_next(struct ipc_rpc_stream *s, void **data,
    size_t *size, int timeout);

/* Ends it, before its client is closed; the call is cancelled if it still goes
 * on.  NULL is allowed. */
IPC_API int ipc_rpc_stream_close(struct ipc_rpc_stream *s);

#ifdef __cplusplus
}
#endif

#endif
