/* SPDX-License-Identifier: ISC */
/*
 * posixmq_size.c, as posixmq.c uses it.
 */
#ifndef IPC_LIB_POSIXMQ_H
#define IPC_LIB_POSIXMQ_H

#include <mqueue.h>

#include <stdbool.h>

#include "address.h"

#define IPC__POSIXMQ_LEAST	128	/* anything of the core's fits */
#define IPC__POSIXMQ_MOST	(1L << 20) /* that a process may offer us */

/* mq_open failed with errno: says which limit was met, if it was one.  attr:
 * of the queue that was to be made, or NULL. */
int ipc__posixmq_fail(const struct mq_attr *attr);

/* A queue of a pair or session, by the limits as they were known a moment ago
 * or, fresh, as they are; and one that gets a name. */
void ipc__posixmq_size_pair(const struct ipc__options *o,
    struct mq_attr *attr, bool fresh);
int ipc__posixmq_size_object(const struct ipc__address *a,
    struct mq_attr *attr);

#endif
