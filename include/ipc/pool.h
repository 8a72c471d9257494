/* SPDX-License-Identifier: ISC */
/*
 * A pool of worker processes: tasks go in, results come out, and between them
 * is a number of child processes that are kept busy.  A task is some bytes, and
 * so is its result.  What a task does to the process that works on it - a
 * crash, a leak, a loop without end - happens to that process, which is
 * replaced, and the task is given to another or reported.
 *
 *	static int
 *	shout(struct ipc_pool_job *job, const void *task, size_t size, void *u)
 *	{
 *		...
 *		return ipc_pool_reply(job, text, size);
 *	}
 *
 *	struct ipc_pool_config config = {
 *		.struct_size = sizeof config, .handler = shout
 *	};
 *	struct ipc_pool_result r = { .struct_size = sizeof r };
 *
 *	ipc_pool_new(&pool, &config);
 *	for (more = true; ; use(&r)) {
 *		while (more && ipc_pool_submit(pool, task, size, NULL, 0) == 0)
 *			more = next_task();
 *		if (ipc_pool_next(pool, &r, -1) <= 0)
 *			break;
 *	}
 *	ipc_pool_close(pool);
 *
 * A task may be run more than once, as the one that worked on it may have died
 * with it half done; but each task that was submitted gives exactly one result.
 *
 * Threads: a pool is used by one thread at a time; ipc_pool_wake() may come
 * from any.  Fork: the copy of a pool in a child can only be closed, which does
 * nothing to the workers.  The pool waits for its own children alone, by their
 * pids, and never touches how a signal is handled.
 */
#ifndef IPC_POOL_H
#define IPC_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_pool;
struct ipc_pool_job;

/* ipc_pool_config.flags */
#define IPC_POOL_ORDERED 0x01	/* results in the order of submission */

/* ipc_pool_cancel */
#define IPC_POOL_KILL	0x01	/* also what is being worked on */

/* What wait_status is where nobody knows: somebody else in this process has
 * waited for the child, or SIGCHLD is ignored. */
#define IPC_POOL_UNKNOWN (-1)

/*
 * In a worker: does one task.  The bytes live until it returns.  It gives its
 * result by ipc_pool_reply() and returns 0; without a reply the result is
 * empty.  Anything else that it returns is the status that the task fails with
 * (a negative errno value is made positive).
 */
typedef int ipc_pool_handler(struct ipc_pool_job *job, const void *task,
    size_t size, void *user);

/* What became of a task.  The caller sets struct_size. */
struct ipc_pool_result {
	size_t		 struct_size;
	void		*tag;		/* as submitted */
	int		 status;	/* 0; > 0: the handler's; -ECONNRESET:
					   its workers died; -ETIMEDOUT: it was
					   killed; -ECANCELED; another: the
					   pool can start no worker any more */
	int		 wait_status;	/* of the last worker that died of it,
					   as waitpid(2) has it */
	unsigned	 tries;		/* workers that took it up */
	const void	*data;		/* until the next call that gives one */
	size_t		 size;
};

/* In the pool's process: takes a result. */
typedef void ipc_pool_done(const struct ipc_pool_result *result, void *user);

/* What a pool is to be; 0 and NULL stand for the default.  The caller sets
 * struct_size. */
struct ipc_pool_config {
	size_t		  struct_size;
	int		  flags;
	const char	 *address;	/* "local:"; any that goes both ways */
	char *const	 *argv;		/* a program that calls
					   ipc_pool_worker(), or: */
	ipc_pool_handler *handler;	/* what a forked child runs */
	int		(*init)(void *user);	/* and runs first; not 0: it
					   ends with this status */
	ipc_pool_done	 *done;		/* takes results */
	void		 *user;		/* of handler, init and done */
	unsigned	  workers;	/* as many as CPUs may be used */
	unsigned	  depth;	/* tasks given to a worker ahead: 2 */
	unsigned	  limit;	/* tasks in the pool at a time, results
					   that nobody took among them:
					   4 * workers * depth */
	unsigned	  tries;	/* a task kills so many workers: 3 */
	unsigned	  start_tries;	/* so many starts in a row fail: 6 */
	unsigned	  max_tasks;	/* of one worker, which is then
					   replaced: no end */
	int		  task_timeout;	/* ms that a task may take: no end */
	int		  start_timeout;/* ms until a worker is there: 10000 */
	int		  grace;	/* ms to leave by itself: 1000 */
};

struct ipc_pool_stats {
	size_t	 struct_size;
	unsigned workers;		/* ready for tasks */
	unsigned waiting;		/* tasks that no worker has yet */
	unsigned working;		/* tasks that were given to one */
	unsigned finished;		/* results that nobody took yet */
	uint64_t submitted, taken;	/* tasks in, results out */
	uint64_t started;		/* workers, so far */
	uint64_t died;			/* without being told to */
	uint64_t killed;		/* by the pool: too slow, or canceled */
};

/*
 * Starts the workers.  A program that can not be started is an error here; one
 * that starts and never becomes a worker is one of the calls below.
 */
IPC_API int ipc_pool_new(struct ipc_pool **p,
    const struct ipc_pool_config *config);

/*
 * Gives the pool a task, whose bytes are copied.  Waits while the pool has
 * `limit' of them.  -EDEADLK: waiting would never end, as all of these are
 * results that this caller has not taken.  -EMSGSIZE: the address takes less.
 */
IPC_API int ipc_pool_submit(struct ipc_pool *p, const void *task, size_t size,
    void *tag, int timeout);

/*
 * Takes a result.  1: here it is; 0: there is no task in the pool that could
 * give one.  Not for a pool with a `done'.
 */
IPC_API int ipc_pool_next(struct ipc_pool *p, struct ipc_pool_result *result,
    int timeout);

/*
 * Waits for results, and calls `done' for each that is there.  Returns how
 * many; 0: there is no task in the pool.  `done' may submit, with timeout 0.
 */
IPC_API int ipc_pool_dispatch(struct ipc_pool *p, int timeout);

/*
 * Waits until every task has come to its end; results go to `done', or wait for
 * ipc_pool_next().
 */
IPC_API int ipc_pool_drain(struct ipc_pool *p, int timeout);

/*
 * Cancels all tasks of this tag: each gives -ECANCELED.  One that a worker has
 * already is left to it and its result is dropped; with IPC_POOL_KILL a worker
 * that is at it is killed.  Returns how many.
 */
IPC_API int ipc_pool_cancel(struct ipc_pool *p, const void *tag, int flags);

/*
 * A descriptor for poll(2) and event loops: readable when ipc_pool_next() or
 * ipc_pool_dispatch() with timeout 0 has something to do.  Belongs to the pool.
 */
IPC_API int ipc_pool_fd(struct ipc_pool *p);

/*
 * The call that waits in this pool now, or else the next one that takes a
 * timeout, returns -ECANCELED once.  Async-signal-safe; from any thread.
 */
IPC_API void ipc_pool_wake(struct ipc_pool *p);

IPC_API int ipc_pool_stats(const struct ipc_pool *p,
    struct ipc_pool_stats *stats);

/*
 * Ends the workers and frees the pool; NULL is allowed.  Tasks that were not
 * begun are dropped (ipc_pool_drain() first, to have them done).  Workers are
 * told to leave, and killed if they have not after `grace'.  When it returns,
 * there is no child left.  In a forked copy it only frees.
 */
IPC_API int ipc_pool_close(struct ipc_pool *p);

/*
 * In a program that a pool has started: does tasks until the pool ends.  0: it
 * has, or told this worker to leave.  -ECONNRESET: its process died.  -ENOENT:
 * this process was not started by a pool.
 */
IPC_API int ipc_pool_worker(ipc_pool_handler *handler, void *user);

/*
 * In a handler, at most once: the task is done, and this is its result.  What
 * the handler then returns does not matter.  An error leaves the task undone:
 * -EMSGSIZE, the result is too large for the address; -EPIPE, the pool is gone.
 */
IPC_API int ipc_pool_reply(struct ipc_pool_job *job, const void *data,
    size_t size);

#ifdef __cplusplus
}
#endif

#endif
