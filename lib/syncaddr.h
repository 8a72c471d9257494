/* SPDX-License-Identifier: ISC */
/*
 * The addresses of semaphores, mutexes, reader-writer locks and regions:
 * schemes of their own with the grammar, the options and the error texts of
 * channels' addresses.
 */
#ifndef IPC_LIB_SYNCADDR_H
#define IPC_LIB_SYNCADDR_H

#include <sys/ipc.h>

#include "address.h"

enum ipc__sync_what { IPC__SYNC_SEM, IPC__SYNC_MUTEX, IPC__SYNC_RWLOCK,
    IPC__SYNC_REGION, IPC__SYNC_WHATS };

/* Which of them it is, to be asked of the parsed address. */
enum ipc__sync_scheme {
	IPC__SCHEME_SEM, IPC__SCHEME_POSIXSEM, IPC__SCHEME_SYSVSEM,
	IPC__SCHEME_MUTEX, IPC__SCHEME_SYSVMUTEX, IPC__SCHEME_FILELOCK,
	IPC__SCHEME_RWLOCK, IPC__SCHEME_SYSVRWLOCK,
	IPC__SCHEME_SHM, IPC__SCHEME_POSIXSHM, IPC__SCHEME_SYSVSHM,
	IPC__SCHEME_MEMFD, IPC__SCHEME_MMAP,
	IPC__SYNC_SCHEMES
};

int ipc__sync_parse(struct ipc__address *, const char *text,
    enum ipc__sync_what);
enum ipc__sync_scheme ipc__sync_scheme(const struct ipc__address *);

/* The flags of an open: IPC_CREATE, IPC_EXCLUSIVE with it, and `more'. */
int ipc__sync_flags(int flags, int more);

/* A System V key: 0xKEY; *key 0: it is a name. */
int ipc__sync_key(const struct ipc__address *, key_t *key);

/* "/name" or "name" without another slash, as shm_open(3) and sem_open(3) have
 * it.  *name: without the slash. */
int ipc__sync_posix_name(const struct ipc__address *, const char **name);

#endif
