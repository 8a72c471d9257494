/* SPDX-License-Identifier: ISC */
/*
 * What every public call on a channel begins and ends with.
 */
#ifndef IPC_LIB_CALL_H
#define IPC_LIB_CALL_H

#include "core.h"

/* 0, and the side of this direction is the caller's until it leaves; or why
 * not.  boundary: what the call is for.  *timeout becomes what is left of it
 * after a wait for the connection or for another thread. */
int ipc__call_enter(struct ipc_channel *ch, int dir, int boundary,
    int *timeout);
/* The same, where the side must still be open and its turn. */
int ipc__call_recv(struct ipc_channel *ch, int boundary, int *timeout);
int ipc__call_send(struct ipc_channel *ch, int boundary, int *timeout);
/* Return rc. */
ssize_t ipc__leave_recv(struct ipc_channel *ch, ssize_t rc);
ssize_t ipc__leave_send(struct ipc_channel *ch, ssize_t rc);

/* Refusals that several calls have. */
int ipc__too_long(struct ipc_channel *ch, size_t size);
int ipc__reserved(struct ipc_channel *ch);

/* Where the whole message lies. */
const unsigned char *ipc__message_data(const struct ipc__in *in);

#endif
