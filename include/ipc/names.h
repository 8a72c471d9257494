/* SPDX-License-Identifier: ISC */
/*
 * Names that nobody uses any more.  Whoever makes or opens a name cleans up
 * after its last user anyway; these functions are for names that nobody comes
 * back to: a cron job, a package's removal, ipc gc.
 */
#ifndef IPC_NAMES_H
#define IPC_NAMES_H

#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Removes what dead processes of this user left of this library's objects: in
 * the runtime directory, and what is noted there; queues and segments that were
 * to be private.  Nothing that the kernel says a living process holds; nothing
 * that has a name which a program gave it, such as an opened queue or a
 * journal, for that is no leftover.  Before each one it calls told (may be
 * NULL) with what it is: a path, or the address of what is no
 * file.  Returns how many were removed.
 */
IPC_API int ipc_gc(void (*told)(const char *what, void *user), void *user);

/* The same, only that all of it stays: what ipc_gc() would remove now. */
IPC_API int ipc_leftovers(void (*told)(const char *what, void *user),
    void *user);

#ifdef __cplusplus
}
#endif

#endif
