/* SPDX-License-Identifier: ISC */
/*
 * What the tests of pools share: a handler that does what the task says, be it
 * a function of this program or this program run as a command, and pools of it.
 */
#ifndef IPC_TESTS_POOLS_H
#define IPC_TESTS_POOLS_H

#include <stdatomic.h>

#include "support.h"

/* The mechanisms that a pool can be over. */
#define POOLS	(FORKS | IPC_CAP_DUPLEX | IPC_CAP_RELIABLE)

/* What a task says; whatever follows it comes back behind the answer. */
struct order {
	enum {
		ORDER_ECHO,	/* answers what it got */
		ORDER_NAP,	/* the same after so many ms */
		ORDER_WAIT,	/* the same once seen->gate is open */
		ORDER_PID,	/* answers the worker's pid */
		ORDER_FDS,	/* how many descriptors the worker has */
		ORDER_FAIL,	/* returns this */
		ORDER_TWICE,	/* answers twice */
		ORDER_GROW,	/* answers so many bytes of a pattern */
		ORDER_SILENT,	/* answers nothing and returns 0 */
		ORDER_DIE,	/* SIGKILL */
		ORDER_EXIT,	/* exit status */
		ORDER_HANG,	/* for ever */
		ORDER_ORPHAN	/* dies; a child of its own holds all open */
	} what;
	int arg;
};

/* Shared with all workers. */
struct seen {
	_Atomic int	pids[64];	/* of workers, by turns */
	_Atomic unsigned count;		/* tasks that were begun */
	_Atomic unsigned times[4096];	/* each task, by its arg: for naps */
	_Atomic int	gate;
	int		hold[2];	/* a pipe: orphans live until it ends */
};
extern struct seen *seen;
void	seen_new(void);

int	order_handler(struct ipc_pool_job *, const void *, size_t, void *);
/* What main() returns where it is the worker of a pool. */
int	order_worker(void);

/* A pool of it over the case that runs, or `address' if set. */
struct ipc_pool *orders_new(const struct ipc_pool_config *);
/* This program as the command of a pool. */
extern char *const order_command[];

int	order(struct ipc_pool *, int what, int arg, int timeout);
/* Until so many tasks have been begun since the last pool was made. */
void	await_begun(struct ipc_pool *, unsigned count);
/* The next result, which must be there in time. */
struct ipc_pool_result next(struct ipc_pool *);
/* The next one must be that of this order, well. */
void	expect_done(struct ipc_pool *, int what, int arg);
/* What the echo of an order must be. */
void	expect_echo(const struct ipc_pool_result *, int what, int arg);
struct ipc_pool_stats stats_of(const struct ipc_pool *);
unsigned any(void);			/* the same numbers each time */
/* A worker that was seen and lives; 0: there is none. */
pid_t	some_worker(unsigned random);

#endif
