/* SPDX-License-Identifier: ISC */
/*
 * Eventfds that another process holds as well: its are their flags, too.
 */
#ifndef IPC_LIB_BELLFD_H
#define IPC_LIB_BELLFD_H

#include <stdbool.h>

/* What was handed over for a bell: is it an eventfd that does not wait?
 * -EBADMSG. */
int ipc__bellfd_check(int fd);

/* Puts it out, and never waits for it to be lit.  True: it was lit. */
bool ipc__bellfd_put_out(int fd);

#endif
