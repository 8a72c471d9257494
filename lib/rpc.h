/* SPDX-License-Identifier: ISC */
/*
 * Remote procedure calls stand on top of channels: of a channel they use the
 * public calls alone, and of the core's what lets a server sleep on the one
 * channel that is busy as if there were no other: ipc__wait_beside(),
 * ipc__rest() and ipc__fd_drop().
 *
 * Here is what the server's side and the client's share: frames, the queue of
 * those that found no room, and the heap of deadlines.
 */
#ifndef IPC_LIB_RPC_H
#define IPC_LIB_RPC_H

#include <endian.h>
#include <string.h>

#include <ipc/rpc.h>

#include "core.h"

/*
 * Frames: rpc_wire.c.  Each is one message: a header of 16 bytes, then what
 * its type says.  Little-endian, whatever the machine.
 *
 *	0  version	1  type		2  n (16 bits)	4  aux (32 bits)
 *	8  id (64 bits)
 */
#define IPC__RPC_HEAD		16
#define IPC__RPC_VERSION	0xa1
#define IPC__RPC_NO_LIMIT	UINT32_MAX

enum ipc__rpc_type {
	/* From the client.  n: length of the method's name, which follows,
	 * filled up to a multiple of 8; then come the arguments. */
	IPC__RPC_CALL = 1,	/* aux: ms that it has */
	IPC__RPC_NOTIFY,	/* nobody waits for an answer; id 0 */
	IPC__RPC_CANCEL,
	IPC__RPC_CREDIT,	/* aux: bytes of parts that were taken */
	/* From both: the next message brings n descriptors. */
	IPC__RPC_FDS,
	/* From the server.  Each of the first three is the last of its id. */
	IPC__RPC_REPLY,		/* aux: parts before it; then the reply */
	IPC__RPC_FAIL,		/* aux: the handler's code; then a text */
	IPC__RPC_ERROR,		/* aux: code of the library; then a text */
	IPC__RPC_PART,		/* aux: its number, from 0; then the part */
	IPC__RPC_BYE		/* aux, text: why the session ends */
};

#define IPC__RPC_NAME		0x00ff	/* of n: the name's length */
#define IPC__RPC_TAKES_PARTS	0x0100	/* of n: the client takes parts */

/* Bytes of parts that the server may send before they are taken, and what each
 * part counts beside its own. */
#define IPC__RPC_WINDOW		(256 * 1024)
#define IPC__RPC_PART_COST	64

struct ipc__rpc_head {
	unsigned	type, n;
	uint32_t	aux;
	uint64_t	id;
};

/* Two stores and two loads where the machine is little-endian as well. */
static inline void
ipc__rpc_put(unsigned char *p, const struct ipc__rpc_head *h)
{
	uint64_t first = htole64(IPC__RPC_VERSION | (uint64_t)h->type << 8 |
	    (uint64_t)h->n << 16 | (uint64_t)h->aux << 32);
	uint64_t id = htole64(h->id);

	memcpy(p, &first, 8);
	memcpy(p + 8, &id, 8);
}

/* false: this is no frame of ours. */
static inline bool
ipc__rpc_get(struct ipc__rpc_head *h, const unsigned char *p, size_t size)
{
	uint64_t first, id;

	if (size < IPC__RPC_HEAD)
		return false;
	memcpy(&first, p, 8);
	memcpy(&id, p + 8, 8);
	first = le64toh(first);
	h->type = first >> 8 & 0xff;
	h->n = first >> 16 & 0xffff;
	h->aux = (uint32_t)(first >> 32);
	h->id = le64toh(id);
	return (first & 0xff) == IPC__RPC_VERSION;
}

/* Where the arguments begin, behind a name of this length. */
static inline size_t
ipc__rpc_body(size_t name)
{
	return IPC__RPC_HEAD + ((name + 7) & ~(size_t)7);
}

/* Codes of the library on the wire, as errno values are not the same on all
 * machines. */
uint32_t ipc__rpc_code_put(int code);
int ipc__rpc_code_get(uint32_t wire);

/* What this process lacks just now, and the connection is not to blame for. */
static inline bool
ipc__rpc_passes(ssize_t rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM ||
	    rc == -ENOBUFS;
}

/* Does this channel carry calls?  0, or why not. */
int ipc__rpc_fits(const struct ipc_channel *ch, struct ipc_info *info);

/*
 * Sending: rpc_out.c.  What finds no room waits in a queue, in order.
 */
struct ipc__rpc_frame;

struct ipc__rpc_out {
	struct ipc_channel	*ch;
	struct ipc__rpc_frame	*first, **last;
	size_t			 bytes;		/* queued */
	bool			 held;		/* a message is begun: queue
						   all that comes */
	bool			 passes;	/* descriptors travel */
	bool			 announced;	/* and those of the message
						   that is begun are told */
};

/* What is to be sent: the header, a name, a body, descriptors. */
struct ipc__rpc_msg {
	struct ipc__rpc_head head;
	const char	*name;
	const void	*body;
	size_t		 size;
	const int	*fds;
	unsigned	 fd_count;
};

void ipc__rpc_out_init(struct ipc__rpc_out *o, struct ipc_channel *ch,
    bool passes);
void ipc__rpc_out_free(struct ipc__rpc_out *o);
/* Sends at once or not at all: -EAGAIN; the message may be begun then. */
int ipc__rpc_try(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m);
/* The message that is begun is given up. */
void ipc__rpc_give_up(struct ipc__rpc_out *o);
/* Sends at once or later: 0, or an error that is no lack of room. */
int ipc__rpc_send(struct ipc__rpc_out *o, const struct ipc__rpc_msg *m);
/* Sends what is queued: 0 all, -EAGAIN not all, or the end. */
int ipc__rpc_flush(struct ipc__rpc_out *o);

/*
 * Receiving, with or without descriptors: rpc_in.c.
 */
struct ipc__rpc_in {
	unsigned char	*data;
	size_t		 size;		/* room */
	size_t		 most;		/* it may grow to this */
	int		 fds[IPC_FDS_MAX];
	unsigned	 fd_count;	/* came with the message */
	bool		 fds_lost;	/* there was no room for them */
};

/* One message: its length, or an error.  expect: descriptors may come with it.
 * -EMSGSIZE: it is longer than `most', and stays. */
ssize_t ipc__rpc_receive(struct ipc__rpc_in *in, struct ipc_channel *ch,
    bool expect, int timeout);
/* Takes away a message that was too long, of which this was the header; its
 * length. */
ssize_t ipc__rpc_skip(struct ipc_channel *ch, struct ipc__rpc_head *h);
void ipc__rpc_in_close_fds(struct ipc__rpc_in *in);
void ipc__rpc_in_free(struct ipc__rpc_in *in);

/*
 * Deadlines: rpc_heap.c.
 */
struct ipc__rpc_timer {
	int64_t	at;			/* ns, monotonic */
	size_t	place;			/* in the heap, from 1; 0: not in it */
};

struct ipc__rpc_heap {
	struct ipc__rpc_timer	**v;
	size_t			  count, size;
};

int ipc__rpc_heap_add(struct ipc__rpc_heap *h, struct ipc__rpc_timer *t);
void ipc__rpc_heap_remove(struct ipc__rpc_heap *h, struct ipc__rpc_timer *t);
/* The first to come; NULL: there is none. */
struct ipc__rpc_timer *ipc__rpc_heap_first(const struct ipc__rpc_heap *h);
void ipc__rpc_heap_free(struct ipc__rpc_heap *h);
/* Of two timeouts (ms) the shorter one: until then, from now; -1: never. */
int ipc__rpc_until(const struct ipc__rpc_heap *h, int timeout);
/* A timerfd that shows the time at; 0: none.  *set: what it shows now. */
void ipc__rpc_alarm(int timer, int64_t at, int64_t *set);

#endif
