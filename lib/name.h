/* SPDX-License-Identifier: ISC */
/*
 * Names: the runtime directory, meeting points, locks, who is alive, and what
 * is left behind.
 */
#ifndef IPC_LIB_NAME_H
#define IPC_LIB_NAME_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"

#define IPC__PATH_MAX	4096
#define IPC__NAME_MAX	255	/* bytes of one component of a path */
#define IPC__SUN_MAX	107	/* bytes of a Unix socket's name (sun_path) */

/* A directory that is open: beyond that, what it is called (path_len bytes of
 * path, with the slash at their end; none: the current directory). */
struct ipc__place {
	int		 dir;
	const char	*path;
	size_t		 path_len;
};

/* Told of each thing that a sweep is going to remove; false: it stays, and does
 * not count. */
typedef bool ipc__told(const char *path, void *user);

static inline bool
ipc__may_go(ipc__told *told, const char *path, void *user)
{
	return told == NULL || told(path, user);
}

/*
 * runtime.c: the runtime directory
 */

/* The runtime directory where this process makes names: made if it is missing,
 * owner and mode checked, symbolic links refused. */
int ipc__runtime_dir(char *path, size_t size);

/* The same as an open directory, or a directory inside of it, made and checked
 * likewise (sub NULL: itself).  make: if it is missing; else that is -ENOENT,
 * without a text.  path: what it is called. */
int ipc__runtime_open(const char *sub, bool make, char *path, size_t size);

/* Looks for the file name (in sub, if that is not NULL) where this process
 * makes names, then where it may have made them under other circumstances,
 * then in root's /run/ipc.  0: path says where it is.  -ENOENT: nowhere.
 * Makes nothing. */
int ipc__runtime_find(const char *sub, const char *name, char *path,
    size_t size);

/*
 * meeting.c: names as files
 */

/* Where the meeting point of a session is: ?at=, else the name itself where it
 * is a path, else SCHEME-NAME in the runtime directory.  making: for a
 * listener; else it is looked for, in our runtime directory, then in /run/ipc.
 * An abstract name comes back with its '@'. */
int ipc__meeting_path(const struct ipc__address *, bool making, char *path,
    size_t size);

/* A name of its own inside the runtime directory (for a private FIFO or file):
 * made up, unique to this process. */
int ipc__private_path(const char *what, char *path, size_t size);

/*
 * percent.c
 */

/* One byte of an escaped text at s, of which len bytes are left.  Returns how
 * many of them it took; 0: a bad escape, or one of the byte 00. */
size_t ipc__percent_byte(char *to, const char *s, size_t len);

/* Any name as one component of a path: what is not a letter, a digit or one of
 * `plain' is escaped.  -ENAMETOOLONG.  And back again. */
int ipc__name_encode(const char *name, const char *plain, char *to,
    size_t size);
void ipc__name_decode(const char *file, char *to, size_t size);

/*
 * temp.c: names that tell who made them
 */

#define IPC__TEMP_MAX	80	/* so that they fit behind /proc/self/fd/N/ */

/* Makes up ".WHAT.ipc-PID.START.NUMBER", unique to this process and, once that
 * is dead, known to be a leftover.  Of a long what the end is cut. */
void ipc__temp_name(char *name, size_t size, const char *what);
bool ipc__temp_parse(const char *name, pid_t *pid, uint64_t *start_time);

/* Gives the file temp its final name, atomically; -EEXIST if that is taken, and
 * temp is still there. */
int ipc__temp_publish(int dir, const char *temp, const char *name);

/* A stream of its own over an open directory; NULL, with errno. */
DIR	*ipc__dir_open(int dir);

/* Removes what dead processes of our user left in this directory under such
 * names; looks at the first `most' entries only.  Returns how many. */
int ipc__temp_sweep(const struct ipc__place *place, unsigned most,
    ipc__told *told, void *user);

/*
 * beside.c: notes of what is made outside the runtime directory
 */

/* Before a file of this temporary name is made in an open directory, and when
 * it has no such name any more.  The first gives out what the second wants, -1
 * if there is no note: what has none is swept by the next maker in that
 * directory only. */
int ipc__beside_note(int dir, const char *temp);
void ipc__beside_done(int note, const char *temp);

/* Removes what the dead left at places that the runtime directory has notes
 * of, and those notes; looks at the first `most' entries only.  UINT_MAX: at
 * all, and at sockets that have their names as well. */
int ipc__beside_sweep(const struct ipc__place *, unsigned most,
    ipc__told *told, void *user);

/* The runtime directory, unless it is this one, whose names need no notes:
 * -1 then, and where there is none. */
int ipc__beside_open(int dir, bool make);
/* The whole path of a name in an open directory: 0 or -1. */
int ipc__beside_path(int dir, const char *name, char *path, size_t size);
/* The directory that a path from a note leads to, to be closed, and the name in
 * it.  -ENOENT: nowhere. */
int ipc__beside_find(struct ipc__place *, char *path, const char **name);
/* Removes a note, of which only itself is left: whether it did. */
bool ipc__beside_remove(const struct ipc__place *notes, const char *name,
    ipc__told *told, void *user);

/*
 * named.c: notes of sockets that have their names outside of it
 */

/* Which file it is. */
struct ipc__file_id {
	dev_t		 dev;
	ino_t		 ino;
	uint64_t	 born;		/* ns; 0: the file system knows none */
	mode_t		 mode;
	uid_t		 uid;
};

int ipc__file_id(int dir, const char *name, struct ipc__file_id *);
bool ipc__file_same(const struct ipc__file_id *, const struct ipc__file_id *);

/* Before this socket gets this name in an open directory, and when it has lost
 * it.  id NULL: it is not made yet, and will have the sticky bit until the next
 * note of it is made.  note: for the second; "" if there is none, and then only
 * who uses the name next cleans up. */
void ipc__named_note(int dir, const char *name, const struct ipc__file_id *id,
    char *note, size_t size);
void ipc__named_done(const char *note);

/* The notes of a file that was in this directory, which is still there, under
 * whatever name, so that nobody else has its number. */
void ipc__named_forget(int dir, const struct ipc__file_id *);

/* Sweeps one note that says `text', which is changed.  dead: its maker is;
 * whole: with the socket.  How many things were removed; -EINVAL: it is no such
 * note. */
int ipc__named_sweep(const struct ipc__place *notes, const char *note,
    char *text, bool dead, bool whole, ipc__told *told, void *user);

/*
 * lock.c: one lock per name
 */

/* One lock per name, for making, opening and cleaning up: an open descriptor,
 * released by closing it and by death.  Short critical sections only: waits at
 * most a second (-EBUSY). */
int ipc__name_lock(const char *name);
void ipc__name_unlock(int lock, const char *name);

/* Removes the lock files that nobody holds.  Returns how many. */
int ipc__lock_sweep(ipc__told *told, void *user);

/*
 * unixname.c: names of Unix sockets
 */

/* A name that we gave to a socket: the path (absolute where that fits), and the
 * file that it is the name of.  "": there is nothing to remove. */
struct ipc__socket_name {
	char	path[IPC__SUN_MAX + 1];
	char	note[IPC__TEMP_MAX + 1];	/* of ipc__named_note() */
	dev_t	dev;
	ino_t	ino;
};

/* Binds and listens on a Unix socket of this type at path, atomically and with
 * the address's mode, uid and gid, taking over what a dead one left.
 * Returns the descriptor, non-blocking, and notes the name for
 * ipc__unix_remove() (may be NULL); -EADDRINUSE, -EEXIST, -ENAMETOOLONG... */
int ipc__unix_listen(const struct ipc__address *, const char *path, int type,
    struct ipc__socket_name *);

/* Binds a datagram socket likewise. */
int ipc__unix_bind(const struct ipc__address *, const char *path, int type,
    struct ipc__socket_name *);

/* Removes path if it is a Unix socket that nobody serves: -EBUSY otherwise,
 * -EPROTOTYPE if it is something else. */
int ipc__unix_unlink(const char *path);

/* Removes our own name if it is still that of our socket, which must not be
 * closed before. */
void ipc__unix_remove(const struct ipc__socket_name *);

/*
 * unixprobe.c: does anybody serve a socket's name?
 */

enum ipc__socket_state {
	IPC__SOCKET_GONE = 0,	/* no such file */
	IPC__SOCKET_OTHER,	/* a file of another kind */
	IPC__SOCKET_LIVE,	/* somebody has it, or may have */
	IPC__SOCKET_DATAGRAM,	/* somebody has it for datagrams */
	IPC__SOCKET_STALE	/* nobody has it any more */
};

/* A socket's address by its directory and its name there. */
struct sockaddr_un;
int ipc__unix_address(struct sockaddr_un *, const struct ipc__place *,
    const char *name);

/* enum ipc__socket_state, or a negative errno.  Whoever listens does not
 * notice. */
int ipc__unix_probe(const struct ipc__place *, const char *name);

/* Takes a stale socket out of the way, under the name's lock.  0: what was
 * there is not there any more; IPC__SOCKET_LIVE, _DATAGRAM or _OTHER: it is no
 * leftover, and was left alone; or a negative errno. */
int ipc__unix_clear(const struct ipc__place *, const char *name);
/* The same, but only of this file. */
int ipc__unix_clear_same(const struct ipc__place *, const char *name,
    const struct ipc__file_id *);

/*
 * sweep.c
 */

/* Removes what dead processes left in the runtime directory: temporary and
 * private names, meeting points where nobody listens, lock files.  Tells each
 * one's path to told (may be NULL).  Returns how many. */
int ipc__runtime_sweep(ipc__told *told, void *user);
/* In passing: only what killed processes left half made. */
void ipc__runtime_tidy(void);

/*
 * alive.c
 */

/* A process by pid and start time: is it the one that was meant, and alive? */
uint64_t ipc__start_time(pid_t pid);
bool ipc__alive(pid_t pid, uint64_t start_time);

#endif
