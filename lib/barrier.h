/* SPDX-License-Identifier: ISC */
/*
 * membarrier(2), by which one who is about to sleep pays for the fence that its
 * waker then leaves out.
 */
#ifndef IPC_LIB_BARRIER_H
#define IPC_LIB_BARRIER_H

#include <stdbool.h>

/* Can this process call it?  Asked of the kernel once. */
bool	ipc__barrier_can(void);
/* Puts this process under other processes' barriers; inherited over fork. */
bool	ipc__barrier_register(void);
/* A full barrier in every running thread of every registered process. */
int	ipc__barrier(void);

#endif
