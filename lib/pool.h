/* SPDX-License-Identifier: ISC */
/*
 * What the files of the pool share.
 *
 * A task lies in one of a fixed number of places.  It is free, then waits, is
 * given to a worker, is finished, and free again when the next result is taken;
 * its buffer stays with the place and holds first the task, then the result.
 *
 * A worker takes its tasks in the order in which they were given, so an answer
 * is always that of the first, and of those that were given to a dead worker
 * only the first can have been begun.
 */
#ifndef IPC_LIB_POOL_H
#define IPC_LIB_POOL_H

#include <sys/queue.h>

#include <ipc/pool.h>

#include "core.h"

/*
 * What goes between: 16 bytes, little-endian, then the task or the result.  A
 * multiple of 16 leaves the bytes behind it as aligned as the message is.
 */
#define IPC__POOL_HEAD		16
#define IPC__POOL_VERSION	1

enum ipc__pool_kind {
	IPC__POOL_HELLO	= 1,	/* worker: I am here; status is the version */
	IPC__POOL_TASK,		/* pool: a task */
	IPC__POOL_RESULT,	/* worker: its result */
	IPC__POOL_LEAVE		/* pool: that was all */
};

struct ipc__pool_head {
	uint8_t		kind;
	uint32_t	serial;		/* of the task, for this worker */
	int32_t		status;
};

enum ipc__task_state {
	IPC__TASK_FREE,
	IPC__TASK_WAITING,
	IPC__TASK_GIVEN,
	IPC__TASK_FINISHED
};

struct ipc__task {
	TAILQ_ENTRY(ipc__task) entry;	/* free, waiting or finished */
	TAILQ_ENTRY(ipc__task) all;	/* in the order of submission */
	enum ipc__task_state state;
	unsigned char	*message;	/* its head, then its bytes */
	size_t		 size;		/* of these */
	size_t		 room;		/* for the whole message */
	void		*tag;
	int		 status, wait_status;
	unsigned	 tries;
};
TAILQ_HEAD(ipc__tasks, ipc__task);

enum ipc__worker_state {
	IPC__WORKER_NONE,	/* there is none; the deadline starts one */
	IPC__WORKER_STARTING,	/* has not said hello; the deadline kills */
	IPC__WORKER_READY,	/* the deadline is its first task's */
	IPC__WORKER_LEAVING	/* has no channel; the deadline kills */
};

struct ipc__worker {
	enum ipc__worker_state state;
	pid_t		 pid;
	int		 pidfd;		/* -1: the kernel has none */
	struct ipc_channel *ch;
	struct ipc__task **given;	/* a ring of `depth'; NULL: canceled */
	unsigned	 first, count;
	uint32_t	 serial;	/* of the first */
	bool		 begun;		/* the last is not wholly sent */
	bool		 awake;		/* its channel rests: we look into it */
	bool		 overdue;	/* its time is over, its answer comes */
	size_t		 arrived;	/* bytes of that, so far */
	int		 why;		/* 0, or why we ended it, */
	uint32_t	 why_serial;	/* and what it was at then */
	int64_t		 deadline;	/* ns, -1: none */
	int64_t		 leave_by;	/* LEAVING: then it is killed */
	int64_t		 since;		/* when it was started */
	bool		 greeted;	/* it has said hello */
	unsigned	 done;		/* tasks */
	unsigned	 vain;		/* starts of this place in a row that
					   came to nothing */
};

/* ipc__worker.why, beside -ETIMEDOUT and -ECANCELED. */
#define IPC__WORKER_TOLD	1

struct ipc_pool {
	TAILQ_ENTRY(ipc_pool) pools;
	struct ipc_pool_config config;	/* with the defaults put in */
	char		*address;
	char		**argv;		/* a copy, or NULL */
	unsigned	 process;	/* ipc__process of the owner */
	size_t		 max_task;	/* bytes */
	bool		 looks;		/* looking costs no system call */
	unsigned	 looked;
	bool		 inside;	/* `done' is being called */

	struct ipc__task *tasks;	/* limit + 1 of them */
	struct ipc__tasks free, waiting, finished, all;
	struct ipc__task *taken;	/* the caller looks at its bytes */
	unsigned char	*inbox;		/* for the message that comes next; */
	size_t		 inbox_room;	/* changes places with a task's */
	unsigned	 places;	/* in use, without that one */
	unsigned	 waiting_count, given_count, finished_count;

	struct ipc__worker *workers;
	struct ipc__task **given;	/* theirs */
	unsigned	 ready;
	int64_t		 next;		/* the first deadline, or before it */

	unsigned	 failures;	/* starts in vain, in a row */
	unsigned	 crashes;	/* deaths without an answer between */
	int		 broken;	/* no worker can be started: the code */
	int		 last_status;	/* of the last that died so */
	struct ipc__error why;		/* and the text */

	int		 epoll;
	int		 bell;		/* eventfd: ipc_pool_wake, results */
	int		 timer;		/* timerfd, -1 without ipc_pool_fd */
	int64_t		 timer_set;	/* what it is set to */
	bool		 rung;
	_Atomic bool	 woken;		/* by ipc_pool_wake */
	struct ipc_pool_stats stats;
};

/* What an event of the epoll set is of: index << 2 | what. */
enum ipc__pool_source {
	IPC__POOL_RECV,
	IPC__POOL_SEND,
	IPC__POOL_PROCESS,
	IPC__POOL_OWN			/* the bell and the timer */
};

/*
 * pool.c
 */
/* -EINVAL: there is no pool; -ECHILD: it is another process's. */
int ipc__pool_mine(const struct ipc_pool *p, const char *call);

/*
 * pooltask.c: places
 */
int ipc__tasks_new(struct ipc_pool *p);
void ipc__tasks_free(struct ipc_pool *p);
/* A free place with a copy of the task, which then waits.  -ENOMEM. */
int ipc__task_add(struct ipc_pool *p, const void *data, size_t size,
    void *tag);
/* Room for a message in a buffer; what is in it is lost. */
int ipc__task_room(unsigned char **buffer, size_t *room, size_t size);
/* Is given back by its worker, to be the first that is given again. */
void ipc__task_again(struct ipc_pool *p, struct ipc__task *t);
struct ipc__task *ipc__task_give(struct ipc_pool *p);
/* Its result is there, in t->message and size where it is the handler's. */
void ipc__task_finish(struct ipc_pool *p, struct ipc__task *t, int status);
/* All that wait end with this. */
void ipc__tasks_fail(struct ipc_pool *p, int status, int wait_status);
/* Is there a result that may be taken now?  Takes it: the place of the one
 * taken before is free then. */
bool ipc__task_there(const struct ipc_pool *p);
struct ipc__task *ipc__task_take(struct ipc_pool *p);
void ipc__task_let_go(struct ipc_pool *p);

/*
 * poolstart.c: processes
 */
/* Makes a worker of this place: its process, its channel, what watches them. */
int ipc__worker_start(struct ipc_pool *p, struct ipc__worker *w);
void ipc__worker_kill(const struct ipc__worker *w);
/* 0 and its status if it has ended and was waited for, else -EAGAIN. */
int ipc__worker_reap(const struct ipc__worker *w, bool wait, int *status);
/* Its channel, and later its process, are no longer there to be watched. */
void ipc__worker_hang_up(struct ipc_pool *p, struct ipc__worker *w);
void ipc__worker_forget(struct ipc_pool *p, struct ipc__worker *w);
/* An event of the pool's epoll set, or no more. */
int ipc__pool_watch(struct ipc_pool *p, int fd, unsigned index,
    enum ipc__pool_source what);
void ipc__pool_unwatch(struct ipc_pool *p, int fd);
/* Closes what a forked copy has of the pool. */
void ipc__pool_abandon(struct ipc_pool *p);
/* The list of all pools, for the children that they fork. */
void ipc__pool_list(struct ipc_pool *p);
void ipc__pool_unlist(struct ipc_pool *p);

/*
 * poolwork.c: what the workers are at
 */
/* Gives out what waits, as far as workers take it. */
void ipc__pool_give(struct ipc_pool *p);
/* Takes all answers that are there; the worker may be gone after it. */
void ipc__worker_hear(struct ipc_pool *p, struct ipc__worker *w);
/* The same where nothing says that there are any, and looking is cheap. */
void ipc__worker_look(struct ipc_pool *p, struct ipc__worker *w);
/* Goes on with the task that is not wholly sent. */
void ipc__worker_send(struct ipc_pool *p, struct ipc__worker *w);
/* The task was canceled: its worker's answer will be dropped. */
void ipc__worker_drop(struct ipc_pool *p, struct ipc__task *t, bool kill);

/*
 * poollife.c: how workers come and go
 */
int ipc__worker_begin(struct ipc_pool *p, struct ipc__worker *w);
/* It said hello. */
void ipc__worker_ready(struct ipc_pool *p, struct ipc__worker *w);
/* Kills it for this reason. */
void ipc__worker_end(struct ipc_pool *p, struct ipc__worker *w, int why);
/* Its channel has ended, or its process. */
void ipc__worker_gone(struct ipc_pool *p, struct ipc__worker *w);
/* The process of one that is gone may have ended. */
void ipc__worker_bury(struct ipc_pool *p, struct ipc__worker *w);
/* Tells it that that was all. */
void ipc__worker_dismiss(struct ipc_pool *p, struct ipc__worker *w);
/* Waits for one that was dismissed, kills it when its time is over. */
void ipc__worker_await(struct ipc_pool *p, struct ipc__worker *w,
    int64_t deadline);
/* This worker's deadline. */
void ipc__worker_until(struct ipc_pool *p, struct ipc__worker *w,
    int64_t when);
/* That of its first task, which begins now. */
void ipc__worker_clock(struct ipc_pool *p, struct ipc__worker *w);
/* Whatever deadline is over. */
void ipc__pool_times(struct ipc_pool *p);

/*
 * poolwait.c: waiting, and being waited for
 */
int ipc__pool_events_new(struct ipc_pool *p);
/* What can be done without waiting: everything, or where a wait would follow,
 * what costs no system call. */
int ipc__pool_pump(struct ipc_pool *p, bool all);
/* The same after something has happened; -ETIMEDOUT, -ECANCELED. */
int ipc__pool_wait(struct ipc_pool *p, int64_t deadline);
/* -ECANCELED: ipc_pool_wake was called. */
int ipc__pool_woken(struct ipc_pool *p);
/* Brings the descriptor of ipc_pool_fd in line with what is true now. */
void ipc__pool_show(struct ipc_pool *p);

/*
 * poolserve.c: in a worker
 */
void ipc__pool_put_head(unsigned char *to, const struct ipc__pool_head *h);
bool ipc__pool_get_head(struct ipc__pool_head *h, const unsigned char *from,
    size_t size);
int ipc__pool_serve(struct ipc_channel *ch, ipc_pool_handler *handler,
    void *user);

#endif
