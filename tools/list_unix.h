/* SPDX-License-Identifier: ISC */
/*
 * Which file a Unix socket is bound to, by the kernel's word: a name may have
 * been changed, or removed and given to another one.
 */
#ifndef TOOLS_LIST_UNIX_H
#define TOOLS_LIST_UNIX_H

#include <stddef.h>
#include <sys/types.h>

struct socket_file {
	unsigned long long socket;
	dev_t	dev;
	ino_t	ino;
};

struct socket_files {
	struct socket_file *files;
	size_t	count;
};

/* Empty where the kernel does not tell. */
void socket_files_read(struct socket_files *);
void socket_files_free(struct socket_files *);

/* The file of a socket, or NULL. */
const struct socket_file *socket_file_of(const struct socket_files *,
    unsigned long long socket);

#endif
