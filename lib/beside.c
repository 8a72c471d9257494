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
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define SHM_DIR		"/dev/shm/"

int
ipc__beside_open(int dir, bool make)
{
	char path[IPC__PATH_MAX];
	struct stat ours, there;
	int fd = ipc__runtime_open(NULL, make, path, sizeof path);

	if (fd < 0)
		return -1;
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

int
ipc__beside_path(int dir, const char *name, char *path, size_t size)
{
	return path_of(dir, path, size) == 0 &&
	    strlcat(path, "/", size) < size &&
	    strlcat(path, name, size) < size ? 0 : -1;
}

/* /dev/shm is collected itself. */
int
ipc__beside_note(int dir, const char *temp)
{
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	int notes = -1;

	ipc__error_keep(&before);
	if (ipc__beside_path(dir, temp, path, sizeof path) == 0 &&
	    strncmp(path, SHM_DIR, strlen(SHM_DIR)) != 0)
		notes = ipc__beside_open(dir, true);
	if (notes >= 0 && symlinkat(path, notes, temp) == -1) {
		close(notes);
		notes = -1;
	}
	ipc__error_restore(&before);
	return notes;
}

void
ipc__beside_done(int note, const char *temp)
{
	int saved = errno;

	if (note < 0)
		return;
	unlinkat(note, temp, 0);
	close(note);
	errno = saved;
}

/*
 * Cleaning up
 */

int
ipc__beside_find(struct ipc__place *place, char *path, const char **name)
{
	char *base = strrchr(path, '/');

	if (path[0] != '/' || base == NULL)
		return -ENOENT;
	place->path = path;
	place->path_len = (size_t)(base + 1 - path);
	*name = base + 1;
	*base = '\0';
	place->dir = open(path[0] != '\0' ? path : "/", O_PATH | O_DIRECTORY |
	    O_CLOEXEC);
	*base = '/';
	if (place->dir != -1)
		return 0;
	return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
}

/* What a note speaks of has the name of the note.  0; -ENOENT: there is no such
 * thing any more; or why it can not be looked at. */
static int
find_noted(struct ipc__place *place, char *path, const char *note)
{
	const char *name;
	struct stat st;
	int rc = ipc__beside_find(place, path, &name);

	if (rc < 0)
		return rc;
	if (strcmp(name, note) != 0)
		return -ENOENT;
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

bool
ipc__beside_remove(const struct ipc__place *notes, const char *name,
    ipc__told *told, void *user)
{
	char path[IPC__PATH_MAX + IPC__NAME_MAX + 1];

	snprintf(path, sizeof path, "%.*s%s", (int)notes->path_len,
	    notes->path, name);
	return ipc__may_go(told, path, user) &&
	    unlinkat(notes->dir, name, 0) == 0;
}

/* Of a dead maker: whether something was removed. */
static bool
sweep_hidden(const struct ipc__place *notes, const char *name, char *path,
    ipc__told *told, void *user)
{
	struct ipc__place place = { .dir = -1 };
	bool swept = false;
	int rc;

	rc = find_noted(&place, path, name);
	if (rc == 0)
		swept = remove_noted(notes, &place, name, told, user);
	else if (rc == -ENOENT)
		swept = ipc__beside_remove(notes, name, told, user);
	if (place.dir != -1)
		close(place.dir);
	return swept;
}

/* If it is a note: whether something was removed. */
static bool
sweep_note(const struct ipc__place *notes, const char *name, bool whole,
    ipc__told *told, void *user)
{
	char text[IPC__PATH_MAX];
	uint64_t start_time;
	pid_t pid;
	bool dead;
	ssize_t n;
	int rc;

	if (!ipc__temp_parse(name, &pid, &start_time))
		return false;
	n = readlinkat(notes->dir, name, text, sizeof text - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	dead = !ipc__alive(pid, start_time);
	rc = ipc__named_sweep(notes, name, text, dead, whole, told, user);
	if (rc == -EINVAL)
		rc = dead && sweep_hidden(notes, name, text, told, user);
	return rc > 0;
}

int
ipc__beside_sweep(const struct ipc__place *notes, unsigned most,
    ipc__told *told, void *user)
{
	struct ipc__error before;
	struct dirent *e;
	bool whole = most == UINT_MAX;
	int swept = 0;
	DIR *d;

	d = ipc__dir_open(notes->dir);
	if (d == NULL)
		return 0;
	ipc__error_keep(&before);
	for (; most > 0 && (e = readdir(d)) != NULL; most--)
		if (e->d_type != DT_REG &&
		    sweep_note(notes, e->d_name, whole, told, user))
			swept++;
	ipc__error_restore(&before);
	closedir(d);
	return swept;
}
