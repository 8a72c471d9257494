/* SPDX-License-Identifier: ISC */
/*
 * What the shared-memory mechanisms share: mapping, growing, bells, sleeping.
 * sysvshm, posixshm, memfd and mmap differ only in how the memory is had, and
 * have most of their table from here.
 */
#ifndef IPC_LIB_SHM_H
#define IPC_LIB_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "latest.h"
#include "ring.h"

/* One ring or slot in shared memory in this process, used by one end or by
 * both.  Those of both directions may lie in one file and one mapping: then the
 * first has them, and the second holds on to the first. */
struct ipc__shm_map {
	_Atomic unsigned refs;
	struct ipc__shm_map *host;	/* whose memory it is; NULL: its own */
	size_t		 at;		/* where it begins there */
	bool		 both;		/* there is another one behind it */
	unsigned char	*base;
	size_t		 span;		/* address space */
	size_t		 bytes;		/* of memory */
	uint64_t	 payload;	/* of a ring; or */
	uint64_t	 slot;		/* the longest message of slots */
	int		 mem;		/* a file descriptor, or -1 */
	int		 id;		/* of a System V segment, or -1 */
	bool		 owned;		/* the segment is still to be removed,
					   by us */
	bool		 passed;	/* an end went to another process */
	bool		 noted;		/* and that is noted as a holder */
	bool		 sync;		/* on disk before a send returns */
	bool		 nowhere;	/* in no file system that would read
					   ahead: anonymous memory */
	_Atomic bool	 mirrored;
	int		 bell[2];	/* eventfds: 0 wakes the receiver, 1 the
					   sender */
	int		 notes;		/* inotify on a bell that many hear */
};

/* The state behind a half. */
struct ipc__shm {
	struct ipc__ring ring;		/* of slots: only to sleep by */
	struct ipc__latest *latest;	/* slots; NULL: a ring */
	struct ipc__shm_map *map;
	bool		 slots;
	bool		 direct;	/* nothing but a ring in memory */
	bool		 lit;		/* our bell is readable, for sure */
	unsigned char	*beside;	/* lent instead of what is reserved, */
	size_t		 beside_size;
	void		*reserved;	/* where that goes then, or NULL */
	int64_t		 calm;		/* not shrunk before this (ns) */
	unsigned	 unquiet;	/* and it was in vain so often */

	/* Opened: see shmopen.c. */
	bool		 opened;
	bool		 endless;	/* it does not matter who sends */
	bool		 gone;		/* its sender is gone, */
	uint32_t	 ended;		/* of which this was left; */
	uint32_t	 told;		/* and that needs no telling */
	bool		 shared;	/* slots: others receive as well */
};

/* A map with nothing in it yet; ipc__shm_unref() frees it, and closes what it
 * holds. */
struct ipc__shm_map *ipc__shm_map_new(void);
void	ipc__shm_unref(struct ipc__shm_map *map);

/* The sizes of a new ring, or of slots with latest=1. */
void	ipc__shm_size(struct ipc__shm_map *map, const struct ipc__options *);
/* Sizes a new, empty file, makes its first page real, maps and formats it;
 * with both, for two of them.  -EFBIG, as pair_both says. */
int	ipc__shm_make_file(struct ipc__shm_map *map,
	    const struct ipc__options *);
/* The second of the two, which is to be formatted or checked. */
struct ipc__shm_map *ipc__shm_map_second(struct ipc__shm_map *map);
int	ipc__shm_make_second(struct ipc__shm_map *second);
/* Attaches and formats a new segment of map->bytes. */
int	ipc__shm_make_segment(struct ipc__shm_map *map);
/* Looks at the header of what somebody made: the sizes. */
int	ipc__shm_measure(struct ipc__shm_map *map, const void *memory,
	    size_t bytes);
/* Maps what is in a file, or in a segment, and checks that its sizes are those
 * of the map. */
int	ipc__shm_map_file(struct ipc__shm_map *map);
int	ipc__shm_map_segment(struct ipc__shm_map *map);

/* For struct ipc__ring_ops: the owner is the map. */
int	ipc__shm_populate(void *owner, size_t offset, size_t size);
void	ipc__shm_touch(void *owner, size_t offset, size_t size);
int	ipc__shm_mirror(void *owner);
bool	ipc__shm_registered(void *owner);
int	ipc__shm_barrier(void *owner);
int	ipc__shm_release_memory(void *owner, size_t offset, size_t size);

/* The bell of the other side, who was seen asleep by this token. */
void	ipc__shm_ring_bell(struct ipc__shm *s, int bell, uint32_t token);

static inline struct ipc__shm *
ipc__shm_state(const struct ipc__half *h)
{
	return (struct ipc__shm *)(void *)(uintptr_t)h->state;
}

/* After the receiver was shown something. */
static inline void
ipc__shm_wake_receiver(struct ipc__shm *s)
{
	uint32_t token;

	if (ipc__ring_sleeper(&s->ring, &token))
		ipc__shm_ring_bell(s, s->map->bell[0], token);
}

static inline void
ipc__shm_wake_sender(struct ipc__shm *s)
{
	uint32_t token;

	if (ipc__ring_sleeper(&s->ring, &token) && ipc__ring_due(&s->ring))
		ipc__shm_ring_bell(s, s->map->bell[1], token);
}

/* Both ends of a link over a formatted map, which is consumed. */
int	ipc__shm_pair(struct ipc__half *a, struct ipc__half *b,
	    struct ipc__shm_map *map);
/* Both links over a file made for both: as pair_both says. */
int	ipc__shm_pair_both(struct ipc__half *h[4], struct ipc__shm_map *map);
/* One end of it; the half then holds the map. */
int	ipc__shm_join(struct ipc__half *h, struct ipc__shm_map *map);
/* After joining, where the half is not to be after all. */
void	ipc__shm_leave_slots(struct ipc__shm *s);

/* The operations, where they are the same for all. */
int	ipc__shm_give(struct ipc__half *h, struct ipc__ticket *t);
/* check: of the descriptor, before it is mapped; NULL: a segment's id. */
int	ipc__shm_take(struct ipc__half *h, struct ipc__ticket *t,
	    int (*check)(int fd));
ssize_t	ipc__shm_send(struct ipc__half *h, const struct iovec *iov, int count,
	    const struct ipc__aside *aside);
int	ipc__shm_reserve(struct ipc__half *h, void **data, size_t size);
int	ipc__shm_commit(struct ipc__half *h, size_t size, unsigned flags);
bool	ipc__shm_put(struct ipc__half *h, const void *data, size_t size);
ssize_t	ipc__shm_get(struct ipc__half *h, void *buffer, size_t room);
ssize_t	ipc__shm_await(struct ipc__half *h, void *buffer, size_t room,
	    unsigned looks);
int	ipc__shm_put_many(struct ipc__half *h, const struct iovec *messages,
	    int count, size_t most);
int	ipc__shm_get_many(struct ipc__half *h, struct iovec *messages,
	    int count, size_t most);
ssize_t	ipc__shm_peek(struct ipc__half *h, const void **data,
	    unsigned *flags);
void	ipc__shm_release(struct ipc__half *h, unsigned flags);
void	ipc__shm_publish(struct ipc__half *h, int dir);
int	ipc__shm_watch(const struct ipc__half *h, int dir,
	    struct pollfd *fds);
int	ipc__shm_arm(struct ipc__half *h, int dir);
bool	ipc__shm_armed(struct ipc__half *h, int dir);
int64_t	ipc__shm_calm(const struct ipc__half *h);
bool	ipc__shm_beside(struct ipc__half *h);
void	ipc__shm_stretch(struct ipc__half *h, size_t more);
void	ipc__shm_close(struct ipc__half *h, bool clean);
/* shmopen.c: an opened end says goodbye. */
void	ipc__shm_farewell(struct ipc__half *h);

/* The option keys that every ring honours: pairs, and what sessions add. */
#define IPC__SHM_KEYS	(1u << IPC__KEY_BOUNDARY | 1u << IPC__KEY_DUPLEX | \
    1u << IPC__KEY_CAPACITY | 1u << IPC__KEY_MAX_MESSAGE | \
    1u << IPC__KEY_WAIT | 1u << IPC__KEY_LATEST | 1u << IPC__KEY_THREADS)
#define IPC__SHM_SESSION_KEYS	(IPC__SHM_KEYS | 1u << IPC__KEY_MODE | \
    1u << IPC__KEY_UID | 1u << IPC__KEY_GID | 1u << IPC__KEY_ALLOW_UID | \
    1u << IPC__KEY_ALLOW_GID | 1u << IPC__KEY_AT | 1u << IPC__KEY_BACKLOG)

#define IPC__SHM_CAPS	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
    IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | IPC_CAP_DEATH | \
    IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_FDS | IPC_CAP_PEER | \
    IPC_CAP_INPLACE | IPC_CAP_HALF | IPC_CAP_LATEST)

#define IPC__SHM_TRAITS	(IPC__FLAGS | IPC__LIFE | IPC__SILENT | IPC__SPINS)

#endif
