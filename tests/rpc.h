/* SPDX-License-Identifier: ISC */
/*
 * What the tests of remote procedure calls stand on: a server with some
 * methods, served by a thread or by another process, and its client.
 *
 *	echo	its arguments
 *	fail	fails with the code in its arguments, an int, and "as asked"
 *	hold	is kept, until rpc_release() answers it
 *	never	is kept, until rpc_end()
 *	count	one way: counts, and adds up what it is given
 */
#ifndef IPC_TESTS_RPC_H
#define IPC_TESTS_RPC_H

#include <stdatomic.h>

#include <ipc/rpc.h>

#include "support.h"

#define CALLS		(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE)

struct rpc {
	struct ipc_rpc_server	*s;
	struct ipc_rpc_client	*c;
	struct job		 loop;
	char			 address[512];	/* of a session's server */
	/* Calls that are kept. */
	pthread_mutex_t		 lock;
	struct rpc_held {
		struct ipc_rpc_call	*call;
		unsigned char		 args[64];
		size_t			 size;
	}			 held[4096];
	int			 held_count;
	struct ipc_rpc_call	*never[4096];
	int			 never_count;
	_Atomic long		 counted, sum;
};

/* A server with the methods above, which nobody serves yet, and its client, in
 * the case that runs: over a pair, or over a session. */
void	rpc_make(struct rpc *r);
void	rpc_make_server(struct rpc *r);
/* A client, of either kind. */
struct ipc_rpc_client *rpc_client(struct rpc *r, const char *options);
/* A thread serves. */
void	rpc_serve(struct rpc *r);
void	rpc_stop(struct rpc *r);
/* All three, and the end of all: client, thread, kept calls, server. */
void	rpc_begin(int i, struct rpc *r);
void	rpc_end(struct rpc *r);
/* How many calls are held; waits until there are so many; answers all. */
int	rpc_held(struct rpc *r);
void	rpc_wait_held(struct rpc *r, int n);
void	rpc_release_all(struct rpc *r);
/* Answers call k of them with its own arguments, from this thread, and takes it
 * out; the last takes its place.  Returns what ipc_rpc_reply() does. */
int	rpc_release(struct rpc *r, int k);
struct ipc_rpc_call *rpc_take_held(struct rpc *r, int k);
/* Calls echo, and wants it to be right. */
void	rpc_echo(struct ipc_rpc_client *c, size_t size);

/* A peer of with_peer() that serves until its client has gone. */
void	rpc_peer(struct ipc_channel *ch, void *unused);

/* What came of calls that were started. */
struct rpc_seen {
	int	done, good, status, parts;
	size_t	bytes;
	char	text[64];		/* ipc_errmsg() of the last */
};
void	rpc_note(int status, const void *reply, size_t size, void *seen);
/* Dispatches until so many were done. */
void	rpc_await(struct ipc_rpc_client *c, struct rpc_seen *seen, int done);

#endif
