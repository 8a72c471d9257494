/* SPDX-License-Identifier: ISC */
/*
 * A listener, and the clients that it is greeting.
 */
#ifndef IPC_LIB_LISTEN_H
#define IPC_LIB_LISTEN_H

#include "greet.h"
#include "name.h"

struct ipc__client {
	struct ipc__client	*next;
	struct ipc__greeter g;
	int64_t		 deadline;
	struct ipc_peer	 peer;
	struct ipc__greeting agreed;
	struct ipc__address address;	/* of the mechanism that is offered */
	struct ipc__link link;
	const char *const *choice;	/* the next one to offer */
	bool		 offered;	/* waiting for IPC__TAKEN */
	bool		 blameless;	/* it is we who can not make a half */
	bool		 watched;
};

struct ipc_listener {
	struct ipc__address address;
	struct ipc__half *half;		/* native, or NULL: */
	int		 fd;		/* the control socket that listens */
	struct ipc__socket_name name;
	int		 epoll, timer;
	int		 dir, boundary;
	bool		 half_duplex;
	bool		 adopted;	/* its name is another's */
	struct ipc__client	*clients, **last;
	unsigned	 count;
	int64_t		 rest;		/* not accepting until then */
	unsigned	 process;	/* whose epoll set it is */
	unsigned	 maker, used;
};

/*
 * welcome.c: one client, from its greeting to its channel
 */

/* 1: what was agreed is a session; 0: it goes on; or why it is to be
 * dropped. */
int ipc__client_step(const struct ipc_listener *l, struct ipc__client *c);
/* Makes that session a channel. */
int ipc__client_session(struct ipc_channel **ch, const struct ipc_listener *l,
    struct ipc__client *c);
/* Asks the kernel who it is. */
void ipc__client_peer(struct ipc__client *c, const struct ipc_backend *be);
/* clean: it ends; otherwise another process has it. */
void ipc__client_free(struct ipc__client *c, bool clean);

/*
 * listen.c
 */
int ipc__listener_new(struct ipc_listener **l, const char *address,
    enum ipc_way way, int flags);
/* Can this mechanism have such sessions? */
int ipc__listener_check(const struct ipc_listener *l);
/* The epoll set around the descriptor that listens. */
int ipc__listener_set(struct ipc_listener *l);
void ipc__listener_free(struct ipc_listener *l, bool clean);

#endif
