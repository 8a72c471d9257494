/* SPDX-License-Identifier: ISC */
/*
 * Mutexes of the C library for several processes, whose owner's death the
 * kernel tells.
 */
#ifndef IPC_LIB_ROBUST_H
#define IPC_LIB_ROBUST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One of a kind of pthread_mutexattr_settype(3).  Errors come with a text. */
int ipc__robust_init_kind(pthread_mutex_t *, int kind, bool pi);

/* One that finds its owner's mistakes, or allows it to lock again. */
int ipc__robust_init(pthread_mutex_t *, bool recursive, bool pi);

/* Programs of another word size or C library have other ones. */
uint32_t ipc__robust_abi(void);

/* pthread_mutex_clocklock(3) on the monotonic clock, of which the thread
 * sanitizer is told. */
int ipc__clocklock(pthread_mutex_t *, int64_t deadline);

/* Locks it.  deadline: -1 never, 0 do not wait.  -EOWNERDEAD: it is locked and
 * in order, and its last owner died with it; -EAGAIN and -ETIMEDOUT are plain,
 * other errors come with a text. */
int ipc__robust_lock(pthread_mutex_t *, int64_t deadline);

#endif
