/* SPDX-License-Identifier: ISC */
/*
 * Greetings on their way: over a native half before it becomes a channel, or
 * over the control socket, with the tickets of the halves behind them.
 */
#ifndef IPC_LIB_GREET_H
#define IPC_LIB_GREET_H

#include "core.h"
#include "make.h"

#define IPC__TICKETS	(2 * IPC__TICKET_FDS)
#define IPC__OFFER_MAX	(IPC__GREETING + 2 * IPC__TICKET_BYTES)

struct ipc__greeter {
	struct ipc__half *half;		/* native, or NULL: */
	int		  fd;		/* the control socket */
	size_t		  put;		/* written of what is being sent */
	size_t		  got;		/* of buf */
	unsigned char	  buf[IPC__OFFER_MAX];
	int		  fds[IPC__TICKETS];
	unsigned	  fd_count;
};

void ipc__greeter_init(struct ipc__greeter *g);
/* Closes what nobody took. */
void ipc__greeter_close_fds(struct ipc__greeter *g);

/* Sends a greeting and what is behind it: 0, -EAGAIN, an error. */
int ipc__greeter_put(struct ipc__greeter *g, const unsigned char *p,
    size_t size, const int *fds, unsigned fd_count);
int ipc__greeter_say(struct ipc__greeter *g, const struct ipc__greeting *what);
/* One greeting, decoded: 0, -EAGAIN, -EPIPE, -EBADMSG. */
int ipc__greeter_get(struct ipc__greeter *g, struct ipc__greeting *what);

/* The tickets of an offer as a link's end, and back. */
int ipc__tickets_give(struct ipc__link *l, unsigned char *p, size_t *size,
    int *fds, unsigned *fd_count, struct ipc__greeting *offer);
int ipc__tickets_take(struct ipc__link *l, const struct ipc_backend *be,
    int dir, struct ipc__greeter *g, const struct ipc__greeting *offer);

#endif
