/* SPDX-License-Identifier: ISC */
/*
 * What the receiving files share.
 */
#ifndef IPC_LIB_RECV_H
#define IPC_LIB_RECV_H

#include "core.h"

#define IPC__AHEAD_SIZE	65536
/* Frames or records that one call takes before it looks at its deadline again,
 * and how many of them one counts for that brings nothing: whatever the other
 * side sends, and however fast. */
#define IPC__FETCH_BUDGET	1024
#define IPC__IDLE_COST		16
/* After so many reads that each brought little, and time (ns) between them; and
 * reads that follow before it is tried again, if it has not helped. */
#define IPC__GATHER_DENSE	8
#define IPC__GATHER_REST	1024
#define IPC__GATHER_TIME	8000

/*
 * assemble.c
 */

/* The other side broke the protocol: the end, with this text. */
int ipc__broken(struct ipc_channel *ch, const char *what);
/* Nothing will come any more; a half message is forgotten.  Returns the code
 * of the end. */
int ipc__ended(struct ipc_channel *ch);
/* What a control frame says.  0: go on; -EBUSY: the turn came. */
int ipc__control(struct ipc_channel *ch, const unsigned char *p, size_t size);
/* Moves the message out of the caller's buffer, with room for need bytes. */
int ipc__take_home(struct ipc_channel *ch, size_t need);
void ipc__drop_message(struct ipc__in *in);
void ipc__close_fds(struct ipc__in *in);
/* A buffer beside the message, at least so large. */
int ipc__need_ahead(struct ipc_channel *ch, size_t size);
/* One receive, with room for descriptors where they can come.  Errors of the
 * system tell of the address. */
ssize_t ipc__pull(struct ipc_channel *ch, const struct iovec *iov, int count,
    struct ipc__aside *aside);

/* Makes room for n more bytes of the message. */
static inline int
ipc__more_room(struct ipc_channel *ch, size_t n)
{
	if (ipc__likely(ch->in.room - ch->in.len >= n))
		return 0;
	return ipc__take_home(ch, ch->in.len + n);
}

/*
 * inframes.c, inrecords.c: one whole message, without waiting
 */
int ipc__fetch_frame(struct ipc_channel *ch);
int ipc__fetch_record(struct ipc_channel *ch);
/* Is there a whole frame in the buffer? */
bool ipc__frame_ahead(const struct ipc__in *in);

#endif
