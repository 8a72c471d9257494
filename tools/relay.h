/* SPDX-License-Identifier: ISC */
/*
 * A relay: two channels, and what one says goes to the other, both ways at
 * once, without ever waiting.  ipc bridge has one for each of its clients.
 */
#ifndef TOOLS_RELAY_H
#define TOOLS_RELAY_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ipc/ipc.h>

/* One direction. */
struct flow {
	struct ipc_channel	*from, *to;
	char			*held;	/* bytes read that could not be written
					   yet; NULL most of the time */
	size_t			 begin, end;
	bool			 full;	/* wants to write, and `to' is full */
	bool			 ending;/* all is written but the end */
	bool			 deaf;	/* `to' is gone: what comes is thrown
					   away, so that `from' can finish */
	bool			 done;
	uint64_t		 bytes;
};

/* A descriptor in the epoll set.  Both directions of a channel may have the
 * same one. */
struct watch {
	struct relay	*relay;
	int		 side;		/* of the relay */
	int		 fd;
	uint32_t	 events;	/* what it is when it is wanted */
	uint32_t	 now;		/* what epoll was told; 0: not in it */
};

struct relay {
	struct ipc_channel	*ends[2];
	struct flow		 flows[2];	/* [side]: away from it */
	struct watch		 watches[2][2];	/* [side][send] */
	int			 epoll;
	bool			 messages;
	bool			 dead;		/* waits to be freed */
	LIST_ENTRY(relay)	 link;
	unsigned long long	 number;
};

/* Takes both channels, and relays between them from now on through events of
 * the epoll set, whose data.ptr is a watch.  On failure the channels stay the
 * caller's. */
int relay_new(struct relay **, int epoll, struct ipc_channel *client,
    struct ipc_channel *server, bool messages);

/* A watch is ready: moves what can be moved.  true: the relay is at its end,
 * by itself or by a failure. */
bool relay_event(struct watch *);

/* Closes both channels. */
void relay_free(struct relay *);

#endif
