/* SPDX-License-Identifier: ISC */
/*
 * What sysname.c and syssweep.c share: the notes as files.
 */
#ifndef IPC_LIB_SYSNOTE_H
#define IPC_LIB_SYSNOTE_H

#include "sysname.h"

#define IPC__BOOT_MAX	40

/* What a note says. */
struct ipc__sysnote {
	struct ipc__sysname	what;
	char			boot[IPC__BOOT_MAX];
};

/* One file of the directory, by its name. */
struct ipc__sysnote_file {
	int		kind;
	bool		private;
	bool		keyed;		/* private: by key, and id is -1 */
	key_t		key;
	int		id;		/* the rest: private only */
	pid_t		pid;
	uint64_t	start_time;
};

extern const char *const ipc__sysnote_kinds[IPC__SYSV_KINDS];

int ipc__sysnote_read(int dir, const char *file, struct ipc__sysnote *r);

/* Was it written since the machine was started? */
bool ipc__sysnote_current(const struct ipc__sysnote *r);

/* Visits each note, which may be removed meanwhile.  Returns the sum of what
 * the visits returned, or a negative errno. */
typedef int ipc__sysnote_visit(int dir, const char *file,
    const struct ipc__sysnote_file *, void *user);
int ipc__sysnote_each(int dir, ipc__sysnote_visit *visit, void *user);

#endif
