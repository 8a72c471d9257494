/* SPDX-License-Identifier: ISC */
/*
 * System V message queues as objects: the kernel knows them by numbers, counts
 * nobody who uses them and removes none by itself.  What it lacks is here:
 * notes that say whose a private queue is, names, and a bell.
 */
#ifndef IPC_LIB_MSGQUEUE_H
#define IPC_LIB_MSGQUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/msg.h>
#include <sys/types.h>

#include "address.h"
#include "name.h"

/* kernel.msgmax, msgmnb and msgmni, of our IPC namespace. */
struct msginfo;
void	ipc__msg_limits(struct msginfo *limits);
/* ENOSPC of msgget(2). */
int	ipc__msg_fail_count(void);

/*
 * msgnote.c: who holds a queue
 */

/* A new queue.  It is held as long as a copy of one of the descriptors is open
 * anywhere; each end of a link has one. */
struct ipc__msg_made {
	int	id;
	key_t	key;
	int	hold[2];
};

/* Makes queues that are noted before they are there; mode 0600; all or none.
 * name: what it is going to be called, or "". */
int ipc__msg_make(struct ipc__msg_made *m, int count, const char *name);
/* Removes it, before anybody else has it. */
void ipc__msg_unmake(struct ipc__msg_made *m);

/* It has a name of its own now: nobody needs to hold it. */
void ipc__msg_keep(struct ipc__msg_made *m);

/* Is what somebody handed over a note about this queue? */
bool ipc__msg_is_note(int fd, key_t key);

/* Its receiver has ended: removes the queue and its note.  Closes hold. */
void ipc__msg_end(int hold, key_t key, int id);

/* A holder goes: removes the queue if it was the last.  Closes hold.  clean:
 * this end has gone with it, whoever else has a copy. */
void ipc__msg_let_go(int hold, key_t key, bool clean);

/* Removes the queues that nobody holds any more; tells each one's note.
 * Returns how many. */
int ipc__msg_sweep(ipc__told *told, void *user);

/*
 * msgname.c: what has a name or a key
 */

/* Finds, or makes, what the address names; 0: *id is it, *made: it is new.
 * -ENOENT: there is none (without a text). */
int ipc__msg_find(const struct ipc__address *a, int flags, int dir, int *id,
    bool *made);
int ipc__msg_unlink(const struct ipc__address *a);
/* Is there one, whether we may use it or not? */
bool ipc__msg_exists(const struct ipc__address *a);
/* What was just made is not to be used after all. */
void ipc__msg_discard(const struct ipc__address *a, int id);

/* Gives a queue what the address asks for; the capacity is a ceiling. */
int ipc__msg_shape(int id, const struct ipc__options *o, uint64_t capacity,
    unsigned mode);

/* What the kernel knows of it, even where we may only send.  -EIDRM: nothing,
 * it is gone. */
int ipc__msg_stat(int id, struct msqid_ds *ds);

/*
 * msgbell.c: what wakes the two ends of a private queue
 */

#define IPC__BELL_RECV	0
#define IPC__BELL_SEND	1

struct ipc__bell_page;
struct ipc__bell {
	_Atomic unsigned refs;
	struct ipc__bell *host;	/* whose page it shares; NULL: its own */
	struct ipc__bell_page *page;
	int	mem;		/* its memory; -1: handed over */
	int	fd[2];		/* eventfds: who receives, who sends */
};

int ipc__bell_new(struct ipc__bell **b);
/* One for the queue of the other direction, in the same page; which has no more
 * than these two in it. */
int ipc__bell_second(struct ipc__bell **b, struct ipc__bell *first);
/* The other process's; takes the descriptors over on success.  first: the one
 * in whose page it is; mem is -1 then. */
int ipc__bell_join(struct ipc__bell **b, int mem, const int fd[2],
    struct ipc__bell *first);
struct ipc__bell *ipc__bell_ref(struct ipc__bell *b);
void ipc__bell_unref(struct ipc__bell *b);

/* Puts the descriptor out and asks the other side to ring it; then the queue
 * must be looked at.  what: not 0, told to the other side by wanted(). */
void ipc__bell_arm(struct ipc__bell *b, int side, uint32_t what);
void ipc__bell_disarm(struct ipc__bell *b, int side);
/* After the queue was changed: does that side sleep? */
uint32_t ipc__bell_wanted(struct ipc__bell *b, int side);
/* Then wakes it. */
void ipc__bell_ring(struct ipc__bell *b, int side);

#endif
