/* SPDX-License-Identifier: ISC */
/*
 * libipc: one channel over every way that two processes can talk.
 *
 * This header takes in all the others.  Start at ipc/channel.h, or at the
 * manual page libipc(7).
 */
#ifndef IPC_IPC_H
#define IPC_IPC_H

#include <ipc/error.h>
#include <ipc/mechanism.h>
#include <ipc/channel.h>
#include <ipc/names.h>
#include <ipc/pool.h>
#include <ipc/region.h>
#include <ipc/rpc.h>
#include <ipc/sync.h>

#endif
