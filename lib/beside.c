/* SPDX-License-Identifier: ISC */
/*
 * What is being made in a directory of the user's has a hidden name there for
 * a moment.  A maker who is killed then leaves it, and whoever collects what
 * the dead left can not look into every directory: so until the name is gone
 * again the runtime directory holds a note of it, a symbolic link of the same
 * name that says where it is.  The note is made first and removed last; it is
 * missing where the runtime directory can not be written, and there only the
 * next maker in that directory cleans up, as it does everywhere.
 */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

/* The runtime directory, if it is not this one, whose names need no notes. */
static int
open_notes(int dir, bool make)
{
	char path[IPC__PATH_MAX];
	struct stat ours, there;
	int fd = ipc__runtime_open(NULL, make, path, sizeof path);

	if (fd < 0 || dir == -1)
		return fd;
	if (fstat(fd, &ours) == 0 && fstat(dir, &there) == 0 &&
	    (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino))
		return fd;
	close(fd);
	return -1;
}

/* The path of an open directory, from the root: 0 or -1. */
static int
path_of(int dir, char *path, size_t size)
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
	n = readlink(link, path, size);
	if (n <= 0 || (size_t)n == size || path[0] != '/')
		return -1;
	path[n] = '\0';
	return 0;
}

/* /dev/shm is collected itself. */
void
ipc__beside_note(int dir, const char *temp)
{
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	int notes;

	ipc__error_keep(&before);
	notes = open_notes(dir, true);
	if (notes >= 0) {
		if (path_of(dir, path, sizeof path) == 0 &&
		    strcmp(path, "/dev/shm") != 0 &&
		    strlcat(path, "/", sizeof path) < sizeof path &&
		    strlcat(path, temp, sizeof path) < sizeof path)
			(void)symlinkat(path, notes, temp);
		close(notes);
	}
	ipc__error_restore(&before);
}

void
ipc__beside_done(const char *temp)
{
	struct ipc__error before;
	int saved = errno, notes;

	ipc__error_keep(&before);
	notes = open_notes(-1, false);
	if (notes >= 0) {
		unlinkat(notes, temp, 0);
		close(notes);
	}
	ipc__error_restore(&before);
	errno = saved;
}

/*
 * Cleaning up
 */

/* What a note speaks of: the directory, opened, and the name in it, which is
 * that of the note.  0; -ENOENT: there is no such thing any more; or why it can
 * not be looked at. */
static int
find_noted(struct ipc__place *place, char *path, const char *note)
{
	char *base = strrchr(path, '/');
	struct stat st;

	if (path[0] != '/' || base == NULL || strcmp(base + 1, note) != 0)
		return -ENOENT;
	place->path = path;
	place->path_len = (size_t)(base + 1 - path);
	*base = '\0';
	place->dir = open(path[0] != '\0' ? path : "/", O_PATH | O_DIRECTORY |
	    O_CLOEXEC);
	*base = '/';
	if (place->dir == -1)
		return errno == ENOTDIR ? -ENOENT : -errno;
	return fstatat(place->dir, note, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 :
	    -errno;
}

/* A name like this has no second maker, so there is nothing else to ask, but
 * for a socket, which may have been inherited. */
static bool
may_remove(const struct ipc__place *place, const char *name)
{
	int state = ipc__unix_probe(place, name);

	return state == IPC__SOCKET_STALE || state == IPC__SOCKET_OTHER;
}

/* Something of a dead maker's is still there: whether it is removed, and its
 * note with it. */
static bool
remove_noted(const struct ipc__place *notes, const struct ipc__place *place,
    const char *name, ipc__told *told, void *user)
{
	if (!may_remove(place, name) ||
	    !ipc__may_go(told, place->path, user) ||
	    unlinkat(place->dir, name, 0) == -1)
		return false;
	unlinkat(notes->dir, name, 0);
	return true;
}

/* Only the note is left. */
static bool
remove_note(const struct ipc__place *notes, const char *name, ipc__told *told,
    void *user)
{
	char path[IPC__PATH_MAX + IPC__NAME_MAX + 1];

	snprintf(path, sizeof path, "%.*s%s", (int)notes->path_len,
	    notes->path, name);
	return ipc__may_go(told, path, user) &&
	    unlinkat(notes->dir, name, 0) == 0;
}

/* Of a dead maker, if it is a note: whether something was removed. */
static bool
sweep_note(const struct ipc__place *notes, const char *name, ipc__told *told,
    void *user)
{
	struct ipc__place place = { .dir = -1 };
	char path[IPC__PATH_MAX];
	bool swept = false;
	ssize_t n;
	int rc;

	n = readlinkat(notes->dir, name, path, sizeof path - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	rc = find_noted(&place, path, name);
	if (rc == 0)
		swept = remove_noted(notes, &place, name, told, user);
	else if (rc == -ENOENT)
		swept = remove_note(notes, name, told, user);
	if (place.dir != -1)
		close(place.dir);
	return swept;
}

int
ipc__beside_sweep(const struct ipc__place *notes, unsigned most,
    ipc__told *told, void *user)
{
	struct ipc__error before;
	struct dirent *e;
	int fd, swept = 0;
	uint64_t start_time;
	pid_t pid;
	DIR *d;

	fd = openat(notes->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd == -1 ? NULL : fdopendir(fd);
	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return 0;
	}
	ipc__error_keep(&before);
	for (; most > 0 && (e = readdir(d)) != NULL; most--)
		if (e->d_type != DT_REG &&
		    ipc__temp_parse(e->d_name, &pid, &start_time) &&
		    !ipc__alive(pid, start_time) &&
		    sweep_note(notes, e->d_name, told, user))
			swept++;
	ipc__error_restore(&before);
	closedir(d);
	return swept;
}
