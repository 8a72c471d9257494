/* SPDX-License-Identifier: ISC */
/*
 * Keys of private System V segments, noted before the segment is made: a
 * process that is killed right after shmget(2) leaves one that is found.
 */
#ifndef IPC_LIB_SHMKEY_H
#define IPC_LIB_SHMKEY_H

#include <stdbool.h>
#include <sys/types.h>

/* Makes up a key and notes it; the note is removed with the next call, when
 * the segment is noted by its id or removed. */
int ipc__shmkey_note(key_t *key);
void ipc__shmkey_drop(key_t key);

/* Removes what dead makers left under noted keys and nobody has attached.
 * decide: asked before each (NULL: yes). */
void ipc__shmkey_sweep(bool (*decide)(const char *path, void *user),
    void *user);

#endif
