/* SPDX-License-Identifier: ISC */
/*
 * What pipes and FIFOs have in common: reading, writing without SIGPIPE, their
 * sizes, and how they get to another process.
 */
#ifndef IPC_LIB_PIPEIO_H
#define IPC_LIB_PIPEIO_H

#include "backend.h"

/* How the descriptor of a half is to be treated. */
enum ipc__pipe_how {
	IPC__PIPE_OWN,		/* nobody else's, and O_NONBLOCK; or it never
				   waits */
	IPC__PIPE_NOWAIT,	/* its flags are another's: RWF_NOWAIT */
	IPC__PIPE_POLL		/* likewise, where there is no RWF_NOWAIT */
};

/* The state of such a half, or the beginning of it. */
struct ipc__pipe {
	enum ipc__pipe_how how;
	size_t	chunk;		/* what is written at once after poll(2) */
	size_t	limit;		/* capacity=, or 0 */
	size_t	asked;		/* message size that the pipe was made for */
};

/* h->fd is a pipe or FIFO of our own: sizes, and capacity= (0: unsaid). */
void ipc__pipe_start(struct ipc__half *h, uint64_t capacity);

/* The operations of the same names, see backend.h. */
ssize_t ipc__pipe_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside);
ssize_t ipc__pipe_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside);
void ipc__pipe_expect(struct ipc__half *h, size_t size);
void ipc__pipe_stretch(struct ipc__half *h, size_t more);
size_t ipc__pipe_pending(const struct ipc__half *h);
int ipc__pipe_give(struct ipc__half *h, struct ipc__ticket *t);
int ipc__pipe_take(struct ipc__half *h, struct ipc__ticket *t);
int ipc__pipe_adopt(struct ipc__half *h, int fd, bool listening);

/* Another open file description of what fd is open on, O_NONBLOCK; -1 and
 * errno where that can not be had. */
int ipc__pipe_reopen(int fd, int mode);
/* No writer is left (a FIFO that has had none yet shows nothing). */
bool ipc__pipe_hung_up(int fd);

/* For tests: whether to believe that the kernel has RWF_NOSIGNAL. */
void ipc__pipe_nosignal(bool has);

#endif
