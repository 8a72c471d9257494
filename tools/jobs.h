/* SPDX-License-Identifier: ISC */
/*
 * The commands that ipc serve runs: one for each call.
 */
#ifndef TOOLS_JOBS_H
#define TOOLS_JOBS_H

#include <poll.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "common.h"

#define JOB_OUTPUTS	2	/* standard output, standard error */

struct job {
	TAILQ_ENTRY(job)	 link;
	struct jobs		*all;
	struct ipc_rpc_call	*call;
	void			*args;
	size_t			 size;
	pid_t			 pid;		/* 0: it waits its turn */
	bool			 dead;		/* and reaped: see status */
	int			 status;	/* of waitpid(2) */
	int			 why;		/* it is being ended: a code */
	double			 until;		/* killed then; 0: never */
	bool			 full;		/* nobody takes its parts */
	struct output {
		int		 fd;		/* -1: its end */
		char		*data;
		size_t		 size, room;
		size_t		 rest;		/* once dead: unread */
	} outputs[JOB_OUTPUTS];
};

TAILQ_HEAD(joblist, job);

struct jobs {
	char			**command;
	size_t			 most;		/* that run at once */
	size_t			 running;
	int			 limit;		/* ms that each has; -1 */
	int			 ending;	/* no more: a code */
	sigset_t		 mask;		/* the signals of a command */
	struct rlimit		 files;		/* and its limit */
	struct joblist		 list;		/* in the order they came */
};

/* For ipc_rpc_register(); user is a struct jobs. */
void job_handle(struct ipc_rpc_call *, const void *args, size_t size,
    void *user);

/* Fills in what jobs want to be woken for; returns how many.  There must be
 * room for JOB_OUTPUTS of each that may run.  *timeout: no later than that. */
size_t jobs_poll(struct jobs *, struct pollfd *, int *timeout);

/* Does all that can be done now. */
void jobs_step(struct jobs *);

/* Ends all of them, with this code for their clients and those to come. */
void jobs_stop(struct jobs *, int why);

#endif
