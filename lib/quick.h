/* SPDX-License-Identifier: ISC */
/*
 * The short way for small messages: quick.c.
 */
#ifndef IPC_LIB_QUICK_H
#define IPC_LIB_QUICK_H

#include "core.h"

/* Sent; false: nothing was touched, go the long way. */
bool ipc__quick_send(struct ipc_channel *ch, const void *data, size_t size);
/* The length of a message that was received; -1: the long way. */
ssize_t ipc__quick_recv(struct ipc_channel *ch, void *buffer, size_t size);

#endif
