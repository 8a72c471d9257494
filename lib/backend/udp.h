/* SPDX-License-Identifier: ISC */
/*
 * What the two files of udp share.
 */
#ifndef IPC_LIB_BACKEND_UDP_H
#define IPC_LIB_BACKEND_UDP_H

#include "inet.h"
#include "socket.h"

#define UDP_HELLO	256	/* the longest first datagram of a client */

struct udp_seen;

struct udp {
	struct ipc__socket socket;
	struct ipc__inet   to;		/* the addresses that are tried */
	bool		   heard;	/* one of them has answered */
	bool		   calls;	/* a session's client, that is to be */
	struct udp_seen	  *seen;	/* a listener's clients */
	size_t		   hello_size;	/* not yet received, */
	unsigned char	   hello[UDP_HELLO];	/* as it came to the listener */
};

extern const struct ipc__socket_kind ipc__udp_kind;

void ipc__udp_size(struct ipc__half *, uint64_t capacity);
/* bind(2) to the first of these that is one of our addresses. */
int ipc__udp_bind(const struct ipc__inet *list);

/* udp_session.c */
int ipc__udp_listen(struct ipc__half *, const struct ipc__address *);
int ipc__udp_accept(struct ipc__half *, struct ipc__half *listener);
/* Makes a listener of a socket that is bound. */
int ipc__udp_serve(struct ipc__half *, int fd);
void ipc__udp_forget(struct udp *);

#endif
