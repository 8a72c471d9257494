/* SPDX-License-Identifier: ISC */
/*
 * Names: the runtime directory, meeting points, locks, who is alive, and what
 * is left behind.
 */
#ifndef IPC_LIB_NAME_H
#define IPC_LIB_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"

#define IPC__PATH_MAX	4096

/* The runtime directory where this process makes names: made if it is missing,
 * owner and mode checked, symbolic links refused. */
int ipc__runtime_dir(char *path, size_t size);

/* Where the meeting point of a session is: ?at=, else the name itself where it
 * is a path, else SCHEME-NAME in the runtime directory.  making: for a
 * listener; else it is looked for, in our runtime directory, then in /run/ipc.
 * An abstract name comes back with its '@'. */
int ipc__meeting_path(const struct ipc__address *, bool making, char *path,
    size_t size);

/* One lock per name, for making, opening and cleaning up: an open descriptor,
 * released by closing it and by death.  Short critical sections only: waits at
 * most a second (-EBUSY). */
int ipc__name_lock(const char *name);
void ipc__name_unlock(int lock, const char *name);

/* Binds and listens on a Unix socket of this type at path, atomically and with
 * the address's mode, uid and gid, taking over what a dead one left.
 * Returns the descriptor; -EADDRINUSE, -EEXIST, -ENAMETOOLONG... */
int ipc__unix_listen(const struct ipc__address *, const char *path, int type);

/* Binds a datagram socket likewise. */
int ipc__unix_bind(const struct ipc__address *, const char *path, int type);

/* Removes path if it is a Unix socket that nobody serves: -EBUSY otherwise,
 * -EPROTOTYPE if it is something else. */
int ipc__unix_unlink(const char *path);

/* Removes our own listening name at path if it is still the one of fd. */
void ipc__unix_remove(const char *path, int fd);

/* A name of its own inside the runtime directory (for a private FIFO or file):
 * made up, unique to this process. */
int ipc__private_path(const char *what, char *path, size_t size);

/* A process by pid and start time: is it the one that was meant, and alive? */
uint64_t ipc__start_time(pid_t pid);
bool ipc__alive(pid_t pid, uint64_t start_time);

#endif
