/* SPDX-License-Identifier: ISC */
/*
 * What the files of the client share.  All of it belongs to one thread.
 *
 * A call under way has a slot; its id is the slot's number and generation.  A
 * slot whose call was given up stays in doubt until the server has said its
 * last word on it, and is only then used again.
 */
#ifndef IPC_LIB_RPC_CLIENT_H
#define IPC_LIB_RPC_CLIENT_H

#include "rpc.h"

#define IPC__RPC_PAUSE	10	/* ms between tries to connect, at first */

/* An answer, or a part of one, that nobody has looked at yet. */
struct ipc__rpc_node {
	struct ipc__rpc_node	*next;
	struct ipc__rpc_slot	*slot;	/* whose it is; of a part: was */
	uint32_t		 generation;
	int			 status;
	unsigned char		*data;	/* the reply, or a text */
	size_t			 size;
	int			*fds;
	unsigned		 fd_count;
	bool			 fds_lost;
};

struct ipc__rpc_list {
	struct ipc__rpc_node	*first, **last;
};

enum ipc__rpc_state {
	IPC__RPC_FREE,
	IPC__RPC_UNSENT,
	IPC__RPC_STARTED,	/* ends in done */
	IPC__RPC_WAITED,	/* somebody waits in ipc_rpc_call */
	IPC__RPC_STREAM,	/* ends in a stream's list */
	IPC__RPC_ENDED,		/* final is not yet looked at */
	IPC__RPC_DOUBT		/* the server's last word is awaited */
};

struct ipc__rpc_slot {
	enum ipc__rpc_state state;
	bool		doubt;		/* given up: ENDED, then DOUBT */
	uint32_t	number, generation;
	struct ipc__rpc_slot *next_free;
	ipc_rpc_done	*done;
	void		*user;
	unsigned	flags;
	uint32_t	parts;		/* that came */
	size_t		owed;		/* bytes of parts not yet credited */
	size_t		taken;		/* and of those, already looked at */
	struct ipc__rpc_list *list;	/* IPC__RPC_STREAM */
	struct ipc__rpc_timer timer;
	struct ipc__rpc_node final;	/* what the call came to: there is
					   always memory for that */
};

struct ipc_rpc_client {
	struct ipc_channel *ch;		/* NULL: not connected */
	struct ipc__rpc_out out;
	struct ipc__rpc_in in;
	struct ipc_info	info;
	bool		expect;		/* descriptors come next */
	char		*address;	/* for texts, and to connect to */
	bool		again;		/* reconnect=1 */
	int		end;		/* why it is not connected */
	char		why[128];	/* the server's own words */
	unsigned	pause;		/* ms before the next try */
	int64_t		not_before;	/* ns: the next try */
	unsigned	process;
	struct ipc__rpc_slot **slots;
	size_t		slot_count, slot_room;
	struct ipc__rpc_slot *free, **free_last;
	size_t		started;	/* calls under way that end in done */
	struct ipc__rpc_heap heap;
	struct ipc__rpc_list ready;	/* for ipc_rpc_dispatch */
	bool		inside;		/* a done runs */
	bool		polled;		/* ipc_fd was asked for */
	int		given[IPC_FDS_MAX]; /* ipc_rpc_reply_take_fds */
	unsigned	given_count;
	bool		given_lost;
	int		epoll, timer;	/* ipc_rpc_client_fd; -1: none */
	int64_t		timer_set;
	int		read_fd, write_fd; /* in the set; -1: not */
	bool		hungry;		/* room to send is waited for */
	struct ipc_rpc_stream *streams;
};

struct ipc_rpc_stream {
	struct ipc_rpc_client *c;	/* NULL: it was closed */
	struct ipc__rpc_slot *slot;	/* NULL: it has ended */
	uint32_t	generation;
	struct ipc__rpc_list list;
	bool		over;		/* its end was told */
	struct ipc_rpc_stream *next, **at;
};

/* Is its answer awaited? */
static inline bool
ipc__rpc_awaited(const struct ipc__rpc_slot *slot)
{
	return slot->state == IPC__RPC_STARTED ||
	    slot->state == IPC__RPC_WAITED || slot->state == IPC__RPC_STREAM;
}

/* rpc_slot.c */
struct ipc__rpc_slot *ipc__rpc_slot_new(struct ipc_rpc_client *c);
/* It is sent, and ends as this state says; deadline: -1, never. */
void ipc__rpc_slot_sent(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    enum ipc__rpc_state state, int64_t deadline);
/* What it came to was looked at, or it was never sent. */
void ipc__rpc_slot_free(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot);
uint64_t ipc__rpc_slot_id(const struct ipc__rpc_slot *slot);
/* NULL: no call under way or in doubt has this id. */
struct ipc__rpc_slot *ipc__rpc_slot_of(const struct ipc_rpc_client *c,
    uint64_t id);
/* Ends it with what it came to, a copy of data (the reply or a text), and the
 * descriptors of in (NULL: none). */
void ipc__rpc_finish(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    int status, const void *data, size_t size, struct ipc__rpc_in *in);
/* Ends it without an answer, and tells the server. */
void ipc__rpc_give_up_call(struct ipc_rpc_client *c,
    struct ipc__rpc_slot *slot, int status);
/* The server has said its last word on one that was given up. */
void ipc__rpc_last_word(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot);
/* Parts of this many bytes were looked at. */
void ipc__rpc_credit(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    uint32_t generation, size_t size);
/* Gives up those whose time is over. */
void ipc__rpc_late(struct ipc_rpc_client *c);
void ipc__rpc_slots_free(struct ipc_rpc_client *c);

/* rpc_node.c */
void ipc__rpc_list_init(struct ipc__rpc_list *l);
void ipc__rpc_list_add(struct ipc__rpc_list *l, struct ipc__rpc_node *n);
struct ipc__rpc_node *ipc__rpc_list_take(struct ipc__rpc_list *l);
void ipc__rpc_list_free(struct ipc_rpc_client *c, struct ipc__rpc_list *l);
/* A copy of the data, and the descriptors of in (NULL: none).  false: no
 * memory, and neither is there. */
bool ipc__rpc_node_fill(struct ipc__rpc_node *n, const void *data, size_t size,
    struct ipc__rpc_in *in);
/* Of what a call came to, its slot is freed as well. */
void ipc__rpc_node_free(struct ipc_rpc_client *c, struct ipc__rpc_node *n);
/* Makes the text of a status that is no success this thread's last error;
 * returns the status. */
int ipc__rpc_tell(const struct ipc_rpc_client *c, int status,
    const void *text, size_t size);
/* The descriptors for ipc_rpc_reply_take_fds. */
void ipc__rpc_give_fds(struct ipc_rpc_client *c, const int *fds,
    unsigned count, bool lost);
/* Hands out an answer and frees it: its status. */
int ipc__rpc_hand_out(struct ipc_rpc_client *c, struct ipc__rpc_node *n,
    void **reply, size_t *size);

/* rpc_take.c */
/* Takes in one message: 1, 0 nothing in this time, or the end, or (c->ch is
 * still there) what this process lacks.  ran: done may be run at once, and is
 * counted; NULL: it is kept for the next dispatch. */
int ipc__rpc_take_in(struct ipc_rpc_client *c, int timeout, int *ran);
/* Runs what is ready: how many. */
int ipc__rpc_run_ready(struct ipc_rpc_client *c);
/* Waits until something can be taken in or sent. */
int ipc__rpc_wait_both(struct ipc_rpc_client *c, int timeout);

/* rpc_connect.c */
int ipc__rpc_client_enter(struct ipc_rpc_client *c);
/* The connection is over, and with it all that is under way. */
void ipc__rpc_lost(struct ipc_rpc_client *c, int code);
/* There is a connection: 0, or why not.  wait: may take until the deadline. */
int ipc__rpc_connected(struct ipc_rpc_client *c, int64_t deadline, bool wait);
/* ms until then, at least 0; -1: for ever. */
int ipc__rpc_left(int64_t deadline);
/* What shows that there is something to dispatch is right.  Returns rc. */
int ipc__rpc_client_settle(struct ipc_rpc_client *c, int rc);

/* rpc_call.c */
int ipc__rpc_get_request(struct ipc_rpc_request *to,
    const struct ipc_rpc_request *from);
/* Sends it as the call of this slot (NULL: one way). */
int ipc__rpc_submit(struct ipc_rpc_client *c, const struct ipc_rpc_request *r,
    int64_t deadline, struct ipc__rpc_slot *slot);

#endif
