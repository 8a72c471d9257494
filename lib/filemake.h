/* SPDX-License-Identifier: ISC */
/*
 * Making files that appear under their name at once and whole, or never have
 * one.
 */
#ifndef IPC_LIB_FILEMAKE_H
#define IPC_LIB_FILEMAKE_H

#include "address.h"
#include "name.h"

struct ipc__new_file {
	int	dir;		/* where it is made; -1: nothing is open */
	int	fd;
	char	base[IPC__NAME_MAX + 1];
	char	temp[IPC__TEMP_MAX + 1];	/* "": it has no name yet */
	int	note;		/* of that name, see beside.c; else -1 */
};

/* A new, empty file for the name path, not yet called so; open for reading and
 * writing, mode 0600.  What makers who were killed left beside is removed. */
int ipc__file_make(struct ipc__new_file *f, const char *path);
/* Another open file description of it. */
int ipc__file_reopen(const struct ipc__new_file *f, int flags);
/* Gives it the address's owner and mode, whatever the umask is, and its name.
 * -EEXIST, plainly, if that is taken.  sync: all of it is on disk then. */
int ipc__file_publish(struct ipc__new_file *f, const struct ipc__options *opt,
    bool sync);
/* Takes its name away, if it has one, and gives out the descriptor. */
int ipc__file_nameless(struct ipc__new_file *f);
/* Closes, and removes what was not published. */
void ipc__file_drop(struct ipc__new_file *f);

/* 0: it is a regular file; or what it is instead, with a text. */
int ipc__file_kind(const char *path);
/* Why open(2) failed, by errno.  A socket can not be opened at all, and may be
 * gone again by now: -EPROTOTYPE. */
int ipc__file_failed(const char *path);

#endif
