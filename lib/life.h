/* SPDX-License-Identifier: ISC */
/*
 * The life line: the Unix socket beside the halves of a pair or session.  Its
 * hang-up is the kernel's word that the other end is gone; a goodbye that came
 * before says that it was closed; descriptors travel over it.
 */
#ifndef IPC_LIB_LIFE_H
#define IPC_LIB_LIFE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ipc/channel.h>

#define IPC__LIFE_BATCHES	4	/* sent ahead of their messages */

struct ipc__batch {
	uint32_t	serial;
	unsigned	count;
	bool		lost;
	int		fds[IPC_FDS_MAX];
};

struct ipc__life {
	int		fd;
	unsigned	refs;		/* sides that hold it */
	pthread_mutex_t	lock;
	int		bye;		/* directions that the other closed */
	bool		gone;		/* it hung up, and all was read */
	bool		hung;		/* it hung up */
	atomic_bool	full;		/* batches wait in the kernel: relaxed,
					   a hint for what to poll */
	struct ipc__batch *batch[IPC__LIFE_BATCHES];
};

/* Both take the descriptor over on success. */
int ipc__life_new(struct ipc__life **life, int fd);
int ipc__life_pair(struct ipc__life *ends[2]);
void ipc__life_free(struct ipc__life *life);

/* Says that these directions end.  Never waits. */
void ipc__life_bye(struct ipc__life *life, int dirs);
/* Reads what has come, without waiting: goodbyes, descriptors, hang-up. */
void ipc__life_look(struct ipc__life *life);
/* What to poll it for: with batches that nobody fetches only its hang-up. */
short ipc__life_events(struct ipc__life *life);
/* After a look: does the other side send no more?  receive no more? */
bool ipc__life_ended(struct ipc__life *life, int dir);
bool ipc__life_said_bye(struct ipc__life *life, int dir);

int ipc__life_send_fds(struct ipc__life *life, uint32_t serial, const int *fds,
    unsigned count);
/* The batch with this number, which is the caller's then, to free as well; NULL
 * if there is none. */
struct ipc__batch *ipc__life_take_fds(struct ipc__life *life, uint32_t serial);

/* One record with descriptors over a Unix socket: what life lines and the
 * hand-over of halves are made of.  Never waits.  recv: -EPIPE at the end;
 * *fd_count room in and number out, *lost if some had no room. */
ssize_t ipc__control_send(int fd, const void *data, size_t size,
    const int *fds, unsigned fd_count);
ssize_t ipc__control_recv(int fd, void *data, size_t size, int *fds,
    unsigned *fd_count, bool *lost);

#endif
