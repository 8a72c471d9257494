/* SPDX-License-Identifier: ISC */
/*
 * What System V and POSIX message queues have in common: what they can do,
 * which options they honour, and how limits are read.  How they are made, found
 * and removed differs in everything.
 */
#ifndef IPC_LIB_QUEUE_H
#define IPC_LIB_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "backend.h"
#include "name.h"

/* Bytes of a queue in a pair or session, unless capacity= says otherwise: all
 * queues of a user share few. */
#define IPC__QUEUE_SMALL	16384

/* Priorities are those of POSIX on both: 0 to 32767, the highest first. */
#define IPC__QUEUE_PRIORITIES	32768

#define IPC__QUEUE_KEY(name)	(UINT32_C(1) << IPC__KEY_##name)
#define IPC__QUEUE_KEYS_OPEN	(IPC__QUEUE_KEY(CAPACITY) | \
    IPC__QUEUE_KEY(MAX_MESSAGE) | IPC__QUEUE_KEY(MODE) | \
    IPC__QUEUE_KEY(UID) | IPC__QUEUE_KEY(GID) | IPC__QUEUE_KEY(WAIT) | \
    IPC__QUEUE_KEY(THREADS))
#define IPC__QUEUE_KEYS_PAIR	(IPC__QUEUE_KEYS_OPEN | \
    IPC__QUEUE_KEY(BOUNDARY) | IPC__QUEUE_KEY(DUPLEX))
#define IPC__QUEUE_KEYS_SESSION	(IPC__QUEUE_KEYS_PAIR | \
    IPC__QUEUE_KEY(ALLOW_UID) | IPC__QUEUE_KEY(ALLOW_GID) | \
    IPC__QUEUE_KEY(AT) | IPC__QUEUE_KEY(BACKLOG))

#define IPC__QUEUE_WAYS		(1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN | \
    1 << IPC_WAY_SESSION)
/* System V queues have no descriptor when they are opened. */
#define IPC__QUEUE_CAPS_OPEN	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | \
    IPC_CAP_RELIABLE | IPC_CAP_DELIVERS | IPC_CAP_PRIORITY | \
    IPC_CAP_PERSIST | IPC_CAP_MANY)
#define IPC__QUEUE_CAPS_PAIR	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | \
    IPC_CAP_STREAM | IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
    IPC_CAP_DEATH | IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_FDS | \
    IPC_CAP_PEER | IPC_CAP_HALF | IPC_CAP_HOSTILE)

/* The number in this file of /proc/sys, or what the kernel starts with. */
uint64_t ipc__queue_limit(const char *file, uint64_t unknown);

/* A queue's name without its slash: posixmq:/jobs and posixmq:jobs are the
 * same, so that mq:jobs means something to either mechanism. */
const char *ipc__queue_name(const struct ipc__address *a);

/* There is no such queue to open: fails and says so, or that the name is one
 * to connect to. */
int ipc__queue_missing(const struct ipc__address *a);

/* A priority that was asked for is one. */
int ipc__queue_check_priority(unsigned priority);

/* Records that do not lie in one piece. */
size_t ipc__gathered(const struct iovec *iov, int count);	/* its size */
size_t ipc__gather(void *to, const struct iovec *iov, int count);
void ipc__scatter(const struct iovec *iov, int count, const void *from,
    size_t size);

/* Removes what killed processes left of private queues: System V queues that
 * nobody holds any more, POSIX queues that were to lose their name at once.
 * Tells of each (may be NULL); returns how many. */
int ipc__queue_sweep(ipc__told *told, void *user);
/* The same now and then: at most a small part of a process's time. */
void ipc__queue_sweep_some(void);

/* posixmq.c */
int ipc__posixmq_sweep(ipc__told *told, void *user);

#endif
