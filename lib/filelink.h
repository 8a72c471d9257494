/* SPDX-License-Identifier: ISC */
/*
 * A link over a file without a name, for pairs and sessions: records go round
 * in it, so that it never holds more than its capacity.  filelink.c says how.
 */
#ifndef IPC_LIB_FILELINK_H
#define IPC_LIB_FILELINK_H

#include "backend.h"

struct ipc__filelink {
	uint64_t	 id;
	uint64_t	 size;		/* of the file: h->capacity */
	uint64_t	 at;		/* bytes sent, or taken, so far */
	uint64_t	 left;		/* that can be taken, or sent */
	int		 news;		/* eventfd: bytes that were sent */
	int		 room;		/* eventfd: bytes that were taken */
	const char	*broken;	/* how the other side broke the rules */

	/* Receiving: what was read ahead, and the record that is shown. */
	unsigned char	*data;
	size_t		 fill, begin;
	size_t		 shown;		/* with its header; 0: none */
	unsigned	 flags;
};

int	ipc__filelink_pair(struct ipc__half *a, struct ipc__half *b,
	    struct ipc__filelink *la, struct ipc__filelink *lb,
	    const struct ipc__address *address);
int	ipc__filelink_give(const struct ipc__half *h,
	    const struct ipc__filelink *l, struct ipc__ticket *t);
int	ipc__filelink_take(struct ipc__half *h, struct ipc__filelink *l,
	    struct ipc__ticket *t);
ssize_t	ipc__filelink_send(struct ipc__half *h, struct ipc__filelink *l,
	    const struct iovec *iov, int count, unsigned flags);
ssize_t	ipc__filelink_peek(struct ipc__half *h, struct ipc__filelink *l,
	    const void **data, unsigned *flags);
void	ipc__filelink_release(struct ipc__filelink *l);
int	ipc__filelink_arm(struct ipc__half *h, struct ipc__filelink *l,
	    int dir);
void	ipc__filelink_close(struct ipc__filelink *l);

#endif
