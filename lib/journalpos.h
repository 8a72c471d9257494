/* SPDX-License-Identifier: ISC */
/*
 * Where a reader of a journal stopped, by name, in a file beside it:
 * PATH.pos.NAME.
 */
#ifndef IPC_LIB_JOURNALPOS_H
#define IPC_LIB_JOURNALPOS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define IPC__POSITION_SIZE	28

/* Opens the position, or makes it, and holds it: -EBUSY while another reader
 * has it.  Returns a descriptor.  journal: the open file, whose owner may own
 * the position as well. */
int ipc__position_open(const char *path, const char *name, int journal,
    mode_t mode, bool sync);
/* The offset that was kept for this journal; 0: none.  -EBADMSG with a text. */
int ipc__position_get(int fd, uint64_t id, uint64_t *at);
int ipc__position_put(int fd, uint64_t id, uint64_t at);
/* Removes all positions of the journal path. */
void ipc__positions_remove(const char *path);

#endif
