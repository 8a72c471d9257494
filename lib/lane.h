/* SPDX-License-Identifier: ISC */
/*
 * A lane: one direction between two threads of a process.  A bounded circular
 * buffer of records, filled and emptied in place by one sender and one receiver
 * at a time, and one bell for each of them.
 */
#ifndef IPC_LIB_LANE_H
#define IPC_LIB_LANE_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "backend.h"

#define IPC__LANE_LEAST		4096	/* bytes */

/* An eventfd that is rung for one who said that he waits.  All under lock. */
struct ipc__bell {
	int	fd;		/* -1 until it is wanted */
	bool	armed;
	bool	rung;		/* fd is readable */
};

/* Positions count bytes and never wrap; the buffer is a power of two. */
struct ipc__lane {
	unsigned char	*data;
	uint64_t	 size;

	/* Written under lock; read without it where a comment says so. */
	alignas(64) pthread_mutex_t lock;
	_Atomic uint64_t shown_tail;	/* records end here */
	_Atomic uint64_t shown_head;	/* room ends here */
	atomic_bool	 no_sender;
	atomic_bool	 no_receiver;
	struct ipc__bell receiver, sender;
	uint64_t	 full_tail;	/* the sender waits from here on */

	/* The sender's own. */
	alignas(64) uint64_t tail;
	uint64_t	 seen_head;
	uint64_t	 place;		/* of the reserved record */
	size_t		 reserved;	/* bytes of it */
	unsigned	 reserved_fds;
	bool		 open;		/* there is one */

	/* The receiver's own. */
	alignas(64) uint64_t head;
	uint64_t	 seen_tail;
};

int ipc__lane_init(struct ipc__lane *l, size_t size);
/* Nobody uses it any more.  forked: this is a copy in a child. */
void ipc__lane_free(struct ipc__lane *l, bool forked);

/* The largest record. */
size_t ipc__lane_record(const struct ipc__lane *l);
size_t ipc__lane_pending(const struct ipc__lane *l);

/* The operations of the same names, see backend.h; dir is IPC_SEND for the
 * sender, IPC_RECV for the receiver. */
ssize_t ipc__lane_send(struct ipc__lane *l, const struct iovec *iov, int count,
    const struct ipc__aside *aside);
ssize_t ipc__lane_recv(struct ipc__lane *l, const struct iovec *iov, int count,
    struct ipc__aside *aside);
int ipc__lane_reserve(struct ipc__lane *l, void **data, size_t size);
int ipc__lane_commit(struct ipc__lane *l, size_t size, unsigned flags);
ssize_t ipc__lane_peek(struct ipc__lane *l, const void **data,
    unsigned *flags);
void ipc__lane_release(struct ipc__lane *l, unsigned flags);
int ipc__lane_publish(struct ipc__lane *l, int dir);
int ipc__lane_bell(struct ipc__lane *l, int dir);
int ipc__lane_arm(struct ipc__lane *l, int dir);
void ipc__lane_disarm(struct ipc__lane *l, int dir);
/* This side ends.  Any thread. */
void ipc__lane_shut(struct ipc__lane *l, int dir);
/* In a forked child, instead of that. */
void ipc__lane_forget(struct ipc__lane *l, int dir);
/* The receiver will never look again: what lies there is dropped. */
void ipc__lane_drain(struct ipc__lane *l);

#endif
