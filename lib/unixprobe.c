/* SPDX-License-Identifier: ISC */
/*
 * Does anybody serve a Unix socket's name?  A datagram socket that is
 * connected to the name finds out: without a socket behind the name it is
 * refused, another datagram socket takes it, and a socket of another type is
 * told by EPROTOTYPE.  Nothing of that reaches the other side, not even a
 * listener's queue; and a socket that is bound and does not listen yet is seen
 * as well, where a client of its own type would be refused.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define LOCK_NAME_MAX	(2 * 16 + IPC__NAME_MAX + 8)

/* By its own path where that fits, as ss(8) and lsof(8) show what was bound;
 * else through the open directory, which makes any path short. */
int
ipc__unix_address(struct sockaddr_un *sun, const struct ipc__place *place,
    const char *name)
{
	size_t size = sizeof sun->sun_path;
	int n;

	memset(sun, 0, sizeof *sun);
	sun->sun_family = AF_UNIX;
	if (place->path != NULL && place->path_len + strlen(name) < size) {
		memcpy(sun->sun_path, place->path, place->path_len);
		strlcpy(sun->sun_path + place->path_len, name,
		    size - place->path_len);
		return 0;
	}
	n = snprintf(sun->sun_path, size, "/proc/self/fd/%d/%s", place->dir,
	    name);
	if (n >= 0 && (size_t)n < size)
		return 0;
	return ipc__fail(ENAMETOOLONG, "%s: a name of %zu bytes is too long "
	    "for a Unix socket (sun_path)", name, strlen(name));
}

static bool
is_there(const struct ipc__place *place, const char *name)
{
	struct stat st;

	return fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    errno != ENOENT;
}

/* The answer of connect(2).  What it does not tell clearly (EACCES, a missing
 * /proc) is taken for alive. */
static int
judge(const struct ipc__place *place, const char *name, int error)
{
	switch (error) {
	case ECONNREFUSED:
		return IPC__SOCKET_STALE;
	case ENOENT:
		return is_there(place, name) ? IPC__SOCKET_LIVE :
		    IPC__SOCKET_GONE;
	default:
		return IPC__SOCKET_LIVE;
	}
}

int
ipc__unix_probe(const struct ipc__place *place, const char *name)
{
	struct sockaddr_un sun;
	struct stat st;
	int fd, rc;

	if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? IPC__SOCKET_GONE :
		    ipc__fail_path("stat", name);
	if (!S_ISSOCK(st.st_mode))
		return IPC__SOCKET_OTHER;
	rc = ipc__unix_address(&sun, place, name);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return ipc__fail_sys("socket");
	rc = connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ?
	    IPC__SOCKET_DATAGRAM : judge(place, name, errno);
	close(fd);
	return rc;
}

/* The same file has one lock, however its directory is called. */
static int
lock_name(const struct ipc__place *place, const char *name, char *text,
    size_t size)
{
	struct stat st;

	if (fstat(place->dir, &st) == -1)
		return ipc__fail_sys("stat");
	snprintf(text, size, "%jx-%jx-%s", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino, name);
	return 0;
}

static int
probe_same(const struct ipc__place *place, const char *name,
    const struct ipc__file_id *only)
{
	struct ipc__file_id id;
	int rc = ipc__unix_probe(place, name);

	if (rc == IPC__SOCKET_STALE && only != NULL &&
	    (ipc__file_id(place->dir, name, &id) < 0 ||
	    !ipc__file_same(&id, only)))
		rc = IPC__SOCKET_OTHER;
	return rc;
}

static void
remove_aside(const struct ipc__place *place, const char *aside)
{
	struct ipc__file_id id;

	if (ipc__file_id(place->dir, aside, &id) == 0)
		ipc__named_forget(place->dir, &id);
	unlinkat(place->dir, aside, 0);
}

/* Moved aside the file can not change any more between the last look and the
 * end.  If that shows that it is no leftover (somebody who knows nothing of our
 * locks was faster), it gets its name back, unless there is another one now. */
static int
take_away(const struct ipc__place *place, const char *name,
    const struct ipc__file_id *only)
{
	char aside[IPC__TEMP_MAX + 1];
	int note, rc;

	ipc__temp_name(aside, sizeof aside, name);
	note = ipc__beside_note(place->dir, aside);
	if (renameat(place->dir, name, place->dir, aside) == -1) {
		rc = errno == ENOENT ? 0 :
		    ipc__fail_path("removing what a dead process left at",
		    name);
		goto out;
	}
	rc = probe_same(place, aside, only);
	if (rc == IPC__SOCKET_STALE) {
		remove_aside(place, aside);
		rc = 0;
	} else if (ipc__temp_publish(place->dir, aside, name) == -EEXIST) {
		unlinkat(place->dir, aside, 0);
	}
out:
	ipc__beside_done(note, aside);
	return rc;
}

int
ipc__unix_clear_same(const struct ipc__place *place, const char *name,
    const struct ipc__file_id *only)
{
	char text[LOCK_NAME_MAX];
	int lock, rc;

	rc = lock_name(place, name, text, sizeof text);
	if (rc < 0)
		return rc;
	lock = ipc__name_lock(text);
	if (lock < 0)
		return lock;
	rc = probe_same(place, name, only);
	if (rc == IPC__SOCKET_STALE)
		rc = take_away(place, name, only);
	ipc__name_unlock(lock, text);
	return rc;
}

int
ipc__unix_clear(const struct ipc__place *place, const char *name)
{
	return ipc__unix_clear_same(place, name, NULL);
}
