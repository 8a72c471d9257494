/* SPDX-License-Identifier: ISC */
/*
 * What the two files of the sysvshm mechanism share.
 */
#ifndef IPC_LIB_SYSVSHM_H
#define IPC_LIB_SYSVSHM_H

#include "name.h"
#include "shm.h"

/* Makes a whole ring under a key that must not exist; -EEXIST without a
 * text. */
int	ipc__sysvshm_make(struct ipc__shm_map *map, key_t key,
	    const struct ipc__address *a);
/* The same under a random key, which is noted before there is a segment until
 * ipc__sysname_intended(): so it is found wherever its maker is killed. */
int	ipc__sysvshm_make_noted(struct ipc__shm_map *map, key_t *key,
	    const struct ipc__address *a);

/* Segments that killed processes left before they had removed them: tells each
 * one before; how many. */
int	ipc__sysvshm_sweep(ipc__told *told, void *user);

/* Operations of private ones. */
int	ipc__sysvshm_pair(struct ipc__half *a, struct ipc__half *b,
	    const struct ipc__address *address);
int	ipc__sysvshm_give(struct ipc__half *h, struct ipc__ticket *t);
int	ipc__sysvshm_take(struct ipc__half *h, struct ipc__ticket *t);
void	ipc__sysvshm_passed(struct ipc__half *h, pid_t pid);
void	ipc__sysvshm_given(struct ipc__half *h);
int	ipc__sysvshm_arm(struct ipc__half *h, int dir);
void	ipc__sysvshm_close(struct ipc__half *h, bool clean);

#endif
