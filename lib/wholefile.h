/* SPDX-License-Identifier: ISC */
/*
 * Files that appear with all that is in them, their mode and their owner.
 */
#ifndef IPC_LIB_WHOLEFILE_H
#define IPC_LIB_WHOLEFILE_H

#include <stdint.h>

#include "address.h"

/* Makes the file path and lets fill() fill it, before it has that name.
 * -EEXIST, without a text: there is one by now. */
int ipc__whole_file(const struct ipc__address *, const char *path,
    int (*fill)(int fd, const struct ipc__address *));

/* Gives an open file the mode, uid and gid of the address. */
int ipc__whole_dress(int fd, const struct ipc__address *);

/* May this process write a file of this size?  Beyond RLIMIT_FSIZE the kernel
 * answers with a signal that kills. */
int ipc__whole_limit(uint64_t size);

/* Gives an open file its bytes, so that a full file system is an error and not
 * a signal later. */
int ipc__whole_allocate(int fd, uint64_t size);

/* Writes all of it at the beginning of a new file, or fails. */
int ipc__whole_write(int fd, const void *data, size_t size);

#endif
