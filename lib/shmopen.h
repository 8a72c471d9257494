/* SPDX-License-Identifier: ISC */
/*
 * Rings that have a name: one sender and one receiver, who come and go.
 */
#ifndef IPC_LIB_SHMOPEN_H
#define IPC_LIB_SHMOPEN_H

#include "shm.h"

/* A link in a file of no name in this directory: the part of path up to its
 * last slash, or all of it with IPC__SHM_DIRECTORY; both: two, as pair_both
 * says. */
#define IPC__SHM_DIRECTORY	1
#define IPC__SHM_BOTH		2
int	ipc__shm_pair_file(struct ipc__half *h[],
	    const struct ipc__address *address, const char *path, int flags);

/* Opens or makes the ring that is the file path. */
int	ipc__shm_open_file(struct ipc__half *h, const struct ipc__address *a,
	    const char *path, int flags);
int	ipc__shm_unlink_file(const char *path);

/* The rest of opening, for a map that is mapped and checked, and is consumed:
 * bells and locks beside `base', which have this mode and owner. */
struct stat;
int	ipc__shm_attach(struct ipc__half *h, const struct ipc__address *a,
	    struct ipc__shm_map *map, const char *base, mode_t mode,
	    uid_t uid, gid_t gid);
/* Removes them. */
void	ipc__shm_unlink_bells(const char *base);

/* Operations that only opened rings have. */
int	ipc__shm_again(struct ipc__half *h);
bool	ipc__shm_ends_with(struct ipc__half *h, const void *tail,
	    size_t size);
/* Notes that the senders of an opened ring are gone; true if so. */
bool	ipc__shm_hung_up(struct ipc__half *h);
/* Slots have many receivers: what each looks at, and putting it out. */
int	ipc__shm_watch_shared(const struct ipc__half *h, struct pollfd *fds);
void	ipc__shm_forget_notes(const struct ipc__half *h);
/* Nothing is there, and nobody who could send: is that the end? */
bool	ipc__shm_over(struct ipc__half *h);

#define IPC__SHM_OPEN_KEYS	(1u << IPC__KEY_CAPACITY | \
    1u << IPC__KEY_LATEST | 1u << IPC__KEY_MAX_MESSAGE | \
    1u << IPC__KEY_MODE | 1u << IPC__KEY_UID | 1u << IPC__KEY_GID | \
    1u << IPC__KEY_WAIT | 1u << IPC__KEY_END | 1u << IPC__KEY_THREADS)
#define IPC__SHM_OPEN_CAPS	(IPC_CAP_MESSAGE | IPC_CAP_RELIABLE | \
    IPC_CAP_END | IPC_CAP_DEATH | IPC_CAP_DELIVERS | IPC_CAP_FD | \
    IPC_CAP_INPLACE | IPC_CAP_PERSIST | IPC_CAP_LATEST)

#endif
