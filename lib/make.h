/* SPDX-License-Identifier: ISC */
/*
 * Making links: what pairs, sessions and children have in common.
 */
#ifndef IPC_LIB_MAKE_H
#define IPC_LIB_MAKE_H

#include "core.h"

/*
 * link.c
 */

/* Two ends, each with what it receives through, what it sends through (one and
 * the same where a half goes both ways) and its life line; NULL where none. */
struct ipc__link {
	struct ipc__half *rx[2], *tx[2];
	struct ipc__life *life[2];
};

/* dir: of end 0.  The halves' references are not counted yet. */
int ipc__link_make(struct ipc__link *l, const struct ipc__address *a, int dir,
    bool life);
void ipc__link_drop(struct ipc__link *l, bool clean);
/* Gives one end to a channel. */
void ipc__attach_end(struct ipc_channel *ch, struct ipc__link *l, int end);
bool ipc__wants_life(const struct ipc_backend *be, int boundary);

/*
 * choose.c
 */

/* Calls try with each mechanism that the address's scheme chooses from, until
 * one is to be had. */
int ipc__choose(const struct ipc__address *a, enum ipc_way way,
    int (*try)(struct ipc__address *, void *), void *arg);
/* The same for a named object that may be there as any of them; -ENOENT. */
int ipc__choose_existing(const struct ipc__address *a,
    int (*try)(struct ipc__address *, void *), void *arg);
/* Nobody else makes or removes what has this name meanwhile. */
int ipc__choose_lock(const struct ipc__address *a);
void ipc__choose_unlock(int lock, const struct ipc__address *a);
int ipc__choose_unlink(const struct ipc__address *a);
/* Nobody listens at this name: rc, or that there is an opened object, where a
 * name is no path. */
int ipc__not_met(const struct ipc__address *a, int rc);

/*
 * make.c
 */

/* ipc_pair; passes: end 1 is for a program that a child becomes. */
int ipc__pair(struct ipc_channel *ends[2], const char *address, int flags,
    bool passes);

/* SCHEME or SCHEME:... as an address; free(3). */
char *ipc__scheme_address(const char *scheme);

#endif
