/* SPDX-License-Identifier: ISC */
/*
 * What the files of the server share.
 *
 * The server and its list of sessions belong to the thread that serves.  A
 * session has a lock, under which answers are sent and its calls are linked;
 * the hub, which outlives the server as long as a call is kept, has one for
 * the deadlines and for the list of sessions that want to be looked at.  A
 * session's lock may be held when the hub's is taken, never the other way
 * round, and none while a handler or ipc_rpc_watch's function runs.
 */
#ifndef IPC_LIB_RPC_SERVER_H
#define IPC_LIB_RPC_SERVER_H

#include "rpc.h"

#define IPC__RPC_LIMITS		(IPC_RPC_CLIENTS_TOTAL + 1)
#define IPC__RPC_SPARE		64	/* call records kept for the next */

struct ipc__rpc_session;

/* What threads that answer share with the one that serves. */
struct ipc__rpc_hub {
	_Atomic unsigned refs;		/* the server, and each session */
	_Atomic bool	stop;		/* ipc_rpc_stop */
	/* Calls kept, and timers: written under a lock, read without for a
	 * first look, which need not be exact. */
	_Atomic size_t	calls, timers;
	int		bell;		/* eventfd: look at listed, and stop */
	pthread_mutex_t	lock;
	struct ipc__rpc_heap heap;
	/* Sessions that want to be looked at; `any' says so without the
	 * lock: set (release) after the list was added to, read (acquire) by
	 * the one that serves. */
	struct ipc__rpc_session *listed;
	_Atomic bool	any;
};

struct ipc_rpc_call {
	struct ipc__rpc_session *x;
	_Atomic unsigned refs;		/* who may end it; who runs it */
	_Atomic bool	cancelled;
	uint64_t	id;
	unsigned	flags;		/* IPC_RPC_PARTS, IPC_RPC_ONE_WAY */
	int64_t		deadline;	/* ns; -1: none */
	int		*fds;
	unsigned	fd_count;
	bool		fds_lost;
	/* Under the session's lock. */
	bool		ended;
	bool		kept;		/* its handler returned without */
	bool		linked;		/* in the session's list */
	bool		wants_room;
	int64_t		credit;
	uint32_t	parts;
	ipc_rpc_change	*change;
	void		*change_user;
	struct ipc_rpc_call *next, **at;
	struct ipc_rpc_call *same;	/* the next of this hash */
	struct ipc__rpc_timer timer;	/* under the hub's lock */
	char		method[IPC_RPC_METHOD_MAX + 1];
};

enum ipc__rpc_reading {
	IPC__RPC_WATCHED,		/* by the epoll set */
	IPC__RPC_FAVOURITE,		/* waited for directly */
	IPC__RPC_PAUSED			/* until it takes its answers */
};

/* What an event of the epoll set is about. */
struct ipc__rpc_source {
	enum { IPC__RPC_BELL, IPC__RPC_TIMER, IPC__RPC_LISTENER,
	    IPC__RPC_READ, IPC__RPC_WRITE } kind;
	void		*of;
};

struct ipc__rpc_session {
	struct ipc__rpc_hub *hub;
	_Atomic unsigned refs;		/* the server, and each call kept */
	_Atomic unsigned calls;		/* kept: written under the lock */
	_Atomic bool	crowded;	/* too much is queued: likewise */
	pthread_mutex_t	lock;
	pthread_cond_t	room;
	unsigned	waiters;
	struct ipc_channel *ch;		/* NULL: it is over */
	struct ipc__rpc_out out;
	bool		flushing;	/* what is queued is cared for */
	int		failed;		/* an answer could not be sent */
	struct ipc_rpc_call *first;
	struct ipc_rpc_call **table;	/* by id */
	size_t		buckets, known;
	unsigned	wanting;	/* calls that want room */
	size_t		queue_limit;
	struct ipc_info	info;
	struct ipc_peer	peer;		/* struct_size 0: not known */

	/* Under the hub's lock. */
	bool		listed;
	struct ipc__rpc_session *next_listed;

	/* The serving thread's. */
	struct ipc_rpc_server *server;
	struct ipc__rpc_session *next, **at;
	enum ipc__rpc_reading reading;
	struct ipc__rpc_source read, write;
	int		read_fd, write_fd;
	bool		writing;	/* write_fd is in the set */
	bool		expect;		/* descriptors come next */
	bool		greedy;		/* more than one at a time came */
	unsigned	rounds;
};

struct ipc__rpc_listener {
	struct ipc__rpc_source source;
	struct ipc_listener *l;
	struct ipc__rpc_listener *next;
};

struct ipc__rpc_method {
	struct ipc__rpc_method *next;
	ipc_rpc_handler	*handler;
	void		*user;
	size_t		length;
	char		name[];
};

#define IPC__RPC_METHODS	64	/* lists of methods, by hash */

struct ipc_rpc_server {
	struct ipc__rpc_hub *hub;
	int		epoll;
	int		timer;		/* timerfd, -1: nobody has the fd */
	int64_t		timer_set;
	unsigned	process;	/* ipc__process when made */
	bool		inside;		/* of ipc_rpc_serve */
	size_t		limits[IPC__RPC_LIMITS];
	struct ipc__rpc_source bell_source, timer_source;
	struct ipc__rpc_listener *listeners;
	struct ipc__rpc_session *sessions, *dead;
	size_t		clients;
	struct ipc__rpc_session *favourite, *lonely;
	unsigned	alone;		/* so often lonely was ready alone */
	unsigned	idle;		/* others came, and not the favourite */
	struct ipc_rpc_call *current;	/* its handler runs; NULL: ended */
	struct ipc_rpc_call *spare;
	unsigned	spares;
	struct ipc__rpc_in in;
	struct ipc__rpc_method *methods[IPC__RPC_METHODS], *any, *recent;
};

/* The server that this thread is serving, if it is. */
extern _Thread_local struct ipc_rpc_server *ipc__rpc_serving;

/* rpc_method.c */
struct ipc__rpc_method *ipc__rpc_find(struct ipc_rpc_server *s,
    const char *name, size_t length);
void ipc__rpc_methods_free(struct ipc_rpc_server *s);

/* rpc_session.c */
/* A session over this channel, which it owns, whatever it returns. */
int ipc__rpc_session_new(struct ipc_rpc_server *s, struct ipc_channel *ch,
    bool limited);
/* Ends it: its calls are cancelled.  say: the client is told why. */
void ipc__rpc_session_end(struct ipc__rpc_session *x, int code, bool say);
void ipc__rpc_session_unref(struct ipc__rpc_session *x);
/* Also where a forked child has those of its parent. */
void ipc__rpc_init_locks(struct ipc__rpc_session *x);
/* Reads messages, waiting for the first: how many. */
int ipc__rpc_session_read(struct ipc__rpc_session *x, int timeout, int most);
/* Sends what is queued, and all that follows from that. */
void ipc__rpc_session_flush(struct ipc__rpc_session *x);
/* Who reads it. */
int ipc__rpc_watch_session(struct ipc__rpc_session *x);
int ipc__rpc_favour(struct ipc__rpc_session *x);
void ipc__rpc_unwatch(struct ipc__rpc_session *x);

/* rpc_request.c: one message; false: the session is to be ended with *code. */
bool ipc__rpc_request(struct ipc__rpc_session *x, size_t size, int *code);
bool ipc__rpc_too_long(struct ipc__rpc_session *x, int *code);

/* rpc_kept.c: calls that wait for their answer. */
/* Keeps it, unless it is ended by now. */
void ipc__rpc_keep(struct ipc_rpc_call *call);
/* Locked. */
struct ipc_rpc_call *ipc__rpc_kept(struct ipc__rpc_session *x, uint64_t id);
void ipc__rpc_call_ended(struct ipc_rpc_call *call);
void ipc__rpc_call_unref(struct ipc_rpc_call *call);
/* Not locked: cancels, tells the client with this code (0: not), and runs
 * what watches it. */
void ipc__rpc_call_cancel(struct ipc_rpc_call *call, int code);
/* Cancels those whose time is over: how many. */
int ipc__rpc_expire(struct ipc_rpc_server *s);
/* Those that wait for room are told, where there is some. */
void ipc__rpc_tell_room(struct ipc__rpc_session *x);

/* rpc_hub.c */
int ipc__rpc_hub_new(struct ipc__rpc_hub **hub);
void ipc__rpc_hub_unref(struct ipc__rpc_hub *hub);
void ipc__rpc_ring(struct ipc__rpc_hub *hub);
/* Has the serving thread look at a session.  Locked or not. */
void ipc__rpc_list(struct ipc__rpc_session *x);
/* The next of those, with a reference; NULL: none. */
struct ipc__rpc_session *ipc__rpc_listed(struct ipc__rpc_hub *hub);

/* rpc_answer.c: locked.  Sends, or queues it and has that cared for. */
int ipc__rpc_say(struct ipc__rpc_session *x, const struct ipc__rpc_msg *m);
int ipc__rpc_say_error(struct ipc__rpc_session *x, uint64_t id, int code,
    const char *text);

/* rpc_serve.c */
int ipc__rpc_enter(struct ipc_rpc_server *s);
int ipc__rpc_add(struct ipc_rpc_server *s, int fd, struct ipc__rpc_source *of);
void ipc__rpc_del(struct ipc_rpc_server *s, int fd);
void ipc__rpc_reap(struct ipc_rpc_server *s);
/* What shows that there is something to do is right. */
void ipc__rpc_settle(struct ipc_rpc_server *s);

#endif
