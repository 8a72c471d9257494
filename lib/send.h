/* SPDX-License-Identifier: ISC */
/*
 * What the sending files share: debt.c.
 */
#ifndef IPC_LIB_SEND_H
#define IPC_LIB_SEND_H

#include "core.h"

/* The other end is gone: notes it, and returns the code of the end. */
int ipc__out_ended(struct ipc_channel *ch);
/* What a backend answered, as the caller is told: the end has one code. */
int ipc__out_answer(struct ipc_channel *ch, ssize_t n);
/* Is something owed? */
bool ipc__out_debt(const struct ipc__out *out);
/* The message that was begun becomes a debt. */
void ipc__out_give_up(struct ipc_channel *ch);
/* A control record, with what goes beside it. */
ssize_t ipc__out_control_record(struct ipc_channel *ch,
    const unsigned char *frame, const struct ipc__aside *aside);

#endif
