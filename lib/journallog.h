/* SPDX-License-Identifier: ISC */
/*
 * One end of an opened journal: its only writer, or one of its readers.
 */
#ifndef IPC_LIB_JOURNALLOG_H
#define IPC_LIB_JOURNALLOG_H

#include "backend.h"
#include "journal.h"

struct ipc__log {
	struct ipc__journal j;
	char		*path;
	uint64_t	 capacity;	/* writer: capacity=, or 0 */
	bool		 known;		/* the header was there */
	bool		 dirty;		/* writer: cut the end first */
	uint64_t	 marked;	/* writer: where the last mark is */

	/* Readers */
	bool		 follow;	/* the end is not the end */
	bool		 from_end;
	bool		 lost;		/* replaced or cut: nothing will come */
	int		 position;	/* its file, or -1 */
	int		 failed;	/* the position could not be kept */
	int		 notes;		/* inotify; -1: not yet; -2: is none */
	bool		 shown;		/* r and data are the next record */
	struct ipc__record r;
	const void	*data;
};

/*
 * journalread.c
 */
int	ipc__log_start_reading(struct ipc__log *l, const struct ipc__address *);
ssize_t	ipc__log_peek(struct ipc__log *l, const void **data);
void	ipc__log_release(struct ipc__log *l);
int	ipc__log_watch(struct ipc__log *l, struct pollfd *fds);
int	ipc__log_arm(struct ipc__log *l);
size_t	ipc__log_pending(const struct ipc__log *l);

/*
 * journalwrite.c
 */
int	ipc__log_start_writing(struct ipc__log *l);
/* For those who look for the end later. */
void	ipc__log_stop_writing(struct ipc__log *l);
ssize_t	ipc__log_append(struct ipc__log *l, const struct iovec *iov,
	    int count);

#endif
