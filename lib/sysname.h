/* SPDX-License-Identifier: ISC */
/*
 * Names of System V objects, which the kernel knows by numbers only.  The
 * runtime directory holds a small file per name with the object's id and who
 * made it; and one for each process that holds a private object, so that it can
 * be removed when the last of them is gone.
 *
 * An IPC namespace has ids of its own and so a directory of its own; what was
 * noted before the machine was started anew is not there.
 */
#ifndef IPC_LIB_SYSNAME_H
#define IPC_LIB_SYSNAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "name.h"

enum ipc__sysv { IPC__SYSV_MSG, IPC__SYSV_SHM, IPC__SYSV_SEM, IPC__SYSV_KINDS };

struct ipc__sysname {
	int		id;
	uid_t		owner;		/* of the note: us, or root */
	pid_t		pid;		/* who made it */
	uint64_t	start_time;
};

/* One lock for making, finding and removing what has this name. */
int ipc__sysname_lock(enum ipc__sysv kind, const char *name);
void ipc__sysname_unlock(int lock, enum ipc__sysv kind, const char *name);

/* What a key is called there, however it was written. */
#define IPC__SYSNAME_KEY_MAX	16
void ipc__sysname_of_key(key_t key, char name[IPC__SYSNAME_KEY_MAX]);

/* Notes that this process made id under this name.  -EEXIST: the name is
 * noted already.  With the lock. */
int ipc__sysname_note(enum ipc__sysv kind, const char *name, int id);

/* What is noted under this name; in our runtime directory, then in /run/ipc.
 * -ENOENT: nothing.  Whether the object is still there only its call tells. */
int ipc__sysname_find(enum ipc__sysv kind, const char *name,
    struct ipc__sysname *found);

/* Removes the note, if it is still about id; -ENOENT otherwise.  With the
 * lock. */
int ipc__sysname_forget(enum ipc__sysv kind, const char *name, int id);

/* A process that is killed between making an object and noting it would leave
 * one that nobody can find; so its key is noted before, as this process's,
 * until it is noted by its number.  -EEXIST: this one is. */
int ipc__sysname_intend(enum ipc__sysv kind, key_t key);
void ipc__sysname_intended(enum ipc__sysv kind, key_t key);

/* Has anybody, dead or alive, intended one of this key and not come to an
 * end? */
bool ipc__sysname_begun(enum ipc__sysv kind, key_t key);

/* Whose is the object id, which has this key: has anybody noted it, or is
 * another living process about to make one of that key?  Asked by one who
 * intends that himself. */
bool ipc__sysname_claimed(enum ipc__sysv kind, key_t key, int id);

/* Notes that the process pid (0: this one) holds a private object, before it is
 * used.  Once per process; again is no error. */
int ipc__sysname_hold(enum ipc__sysv kind, int id, pid_t pid);

/* This process holds it no more; others may. */
void ipc__sysname_leave(enum ipc__sysv kind, int id);

/* The private object has been removed: so are all notes about it. */
void ipc__sysname_drop(enum ipc__sysv kind, int id);

/* find: the object of a key, or -1 (NULL: such notes are passed over).  gone:
 * is there no such object?  begun: has it been used, so that it is no half-made
 * one (NULL: that can not be told)?  held: does the kernel know of somebody who
 * uses it (NULL: it is not asked)?  remove: removes it, true if it is gone now;
 * called for private objects whose holders are all dead and which nobody else
 * uses.  Returns how many notes went; tells each one's path before. */
struct ipc__sysname_sweeper {
	int		(*find)(int kind, key_t key);
	bool		(*gone)(int kind, int id);
	bool		(*held)(int kind, int id);
	bool		(*remove)(int kind, int id);
	ipc__told	*told;		/* may be NULL */
	void		*user;
	bool		(*begun)(int kind, int id);
};
int ipc__sysname_sweep(const struct ipc__sysname_sweeper *);

/* Ids mean something in one IPC namespace only, which this is a number of; 0:
 * not known.  Is the one of the other side ours?  0, or -EOPNOTSUPP. */
uint32_t ipc__sysv_namespace(void);
int ipc__sysv_reaches(uint32_t theirs);

/* The directory of the notes, open, for other notes of the same namespace (with
 * names that begin with none of msg-, shm- and sem-); path: what it is called.
 * Closing removes it if it is empty, so that whoever makes a file there and
 * meets -ENOENT begins again.  make: if it is missing; else that is -ENOENT. */
int ipc__sysname_open(bool make, char *path, size_t size);
void ipc__sysname_close(int dir, const char *path);

/* shmget(2) of so many bytes failed with errno: names the limit that was met.
 * In syslimit.c. */
int ipc__segment_failed(uint64_t size);

#endif
