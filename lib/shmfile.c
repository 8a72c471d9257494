/* SPDX-License-Identifier: ISC */
/*
 * Rings in files: made without a name and linked when they are whole, so that
 * nobody ever sees half of one; opened only if they are what they should be.
 */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "filemake.h"
#include "name.h"
#include "shmopen.h"

#define TRIES	100		/* against others who make and remove it */

static int
directory_of(char *dir, size_t size, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);

	if (n >= size)
		return ipc__fail(ENAMETOOLONG, "%s: the name is too long",
		    path);
	if (slash == NULL)
		strlcpy(dir, ".", size);
	else if (n == 0)
		strlcpy(dir, "/", size);
	else {
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	return 0;
}

/* Where there are no nameless files: one that has a name for a moment. */
static int
short_named(const char *dir)
{
	char name[IPC__TEMP_MAX];
	int at, note, fd;

	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return ipc__fail_path("open", dir);
	ipc__temp_name(name, sizeof name, "ring");
	note = ipc__beside_note(at, name);
	fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	if (fd < 0)
		fd = ipc__fail_path("open a file in", dir);
	else
		unlinkat(at, name, 0);
	ipc__beside_done(note, name);
	close(at);
	return fd;
}

/* A file of no name in this directory (the part of path up to its last slash,
 * or all of it with IPC__SHM_DIRECTORY), with the address's mode and owner. */
static int
nameless(const struct ipc__address *a, const char *path, int flags)
{
	char dir[IPC__PATH_MAX];
	int fd, rc;

	if (flags & IPC__SHM_DIRECTORY)
		strlcpy(dir, path, sizeof dir);
	else if ((rc = directory_of(dir, sizeof dir, path)) < 0)
		return rc;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = short_named(dir);
	else if (fd < 0)
		return ipc__fail_path("open", dir);
	if (fd < 0)
		return fd;
	if ((a->opt.uid != (uid_t)-1 || a->opt.gid != (gid_t)-1) &&
	    fchown(fd, a->opt.uid, a->opt.gid) < 0)
		rc = ipc__fail_sys("fchown");
	else if (fchmod(fd, a->opt.mode) < 0)
		rc = ipc__fail_sys("fchmod");
	else
		return fd;
	close(fd);
	return rc;
}

static int
file_failed(const char *path)
{
	if (errno == ENOENT)
		return ipc__fail(ENOENT, "there is no ring of this name");
	return ipc__file_failed(path);
}

/* Makes a whole ring and gives it its name; -EEXIST if that is taken. */
static int
file_make(const struct ipc__address *a, const char *path)
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	struct ipc__new_file f;
	int rc;

	if (!map)
		return -ENOMEM;
	rc = ipc__file_make(&f, path);
	if (rc < 0)
		goto out;
	map->mem = f.fd;
	rc = ipc__shm_make_file(map, &a->opt);
	if (rc == 0)
		rc = ipc__file_publish(&f, &a->opt, a->opt.sync);
	f.fd = -1;	/* the map's */
	ipc__file_drop(&f);
out:
	ipc__shm_unref(map);
	return rc;
}

/* Is this file a ring?  Looked at before it is mapped. */
static int
file_check(int fd, struct stat *st, struct ipc__shm_map *map)
{
	struct ipc__ring_head head;
	ssize_t n;

	if (fstat(fd, st) < 0)
		return ipc__fail_sys("fstat");
	if (!S_ISREG(st->st_mode))
		return ipc__fail(EPROTOTYPE, "this is no ring but another kind "
		    "of file");
	n = pread(fd, &head, sizeof head, 0);
	if (n < 0)
		return ipc__fail_sys("pread");
	if (n < (ssize_t)sizeof head)
		return ipc__fail(EBADMSG, "it is cut short: %zd bytes are no "
		    "ring", n);
	return ipc__shm_measure(map, &head, (size_t)st->st_size);
}

static int
file_map(struct ipc__half *h, const struct ipc__address *a, const char *path,
    int fd)
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	struct stat st;
	int rc;

	if (!map) {
		close(fd);
		return -ENOMEM;
	}
	map->mem = fd;
	rc = file_check(fd, &st, map);
	if (rc == 0)
		rc = ipc__shm_map_file(map);
	if (rc < 0) {
		ipc__shm_unref(map);
		return rc;
	}
	return ipc__shm_attach(h, a, map, path, st.st_mode & 07777,
	    st.st_uid, st.st_gid);
}

/* Opens what is there, or makes it; under the name's lock, but a name may be
 * shared with users who have another one. */
static int
file_open(const struct ipc__address *a, const char *path, int flags)
{
	const int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd, i, rc;

	for (i = 0; i < TRIES; i++) {
		if (!(flags & IPC_CREATE) || !(flags & IPC_EXCLUSIVE)) {
			fd = open(path, how);
			if (fd >= 0)
				return fd;
			if (errno != ENOENT || !(flags & IPC_CREATE))
				return file_failed(path);
		}
		rc = file_make(a, path);
		if (rc == -EEXIST && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (rc < 0 && rc != -EEXIST)
			return rc;
		flags &= ~IPC_EXCLUSIVE;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

int
ipc__shm_open_file(struct ipc__half *h, const struct ipc__address *a,
    const char *path, int flags)
{
	int fd, lock, rc;

	if (h->dir == IPC_DUPLEX)
		return ipc__fail(EINVAL, "a ring goes one way: IPC_RECV or "
		    "IPC_SEND");
	lock = ipc__name_lock(path);
	if (lock < 0)
		return lock;
	rc = fd = file_open(a, path, flags);
	if (rc >= 0)
		rc = file_map(h, a, path, fd);
	ipc__name_unlock(lock, path);
	return rc;
}

int
ipc__shm_pair_file(struct ipc__half *h[], const struct ipc__address *address,
    const char *path, int flags)
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	int rc;

	if (!map)
		return -ENOMEM;
	map->both = flags & IPC__SHM_BOTH;
	rc = map->mem = nameless(address, path, flags);
	if (rc >= 0)
		rc = ipc__shm_make_file(map, &address->opt);
	if (rc < 0) {
		ipc__shm_unref(map);
		return rc;
	}
	map->sync = address->opt.sync;
	return map->both ? ipc__shm_pair_both(h, map) :
	    ipc__shm_pair(h[0], h[1], map);
}

int
ipc__shm_unlink_file(const char *path)
{
	struct ipc__shm_map found = { .mem = -1 };
	struct stat st;
	int fd, lock, rc;

	lock = ipc__name_lock(path);
	if (lock < 0)
		return lock;
	rc = fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (rc < 0) {
		rc = file_failed(path);
		goto out;
	}
	rc = file_check(fd, &st, &found);
	close(fd);
	/* A ring that is broken may go; what never was one stays. */
	if (rc == -EPROTOTYPE || rc == -EPROTO)
		goto out;
	rc = unlink(path) < 0 ? ipc__fail_sys("unlink") : 0;
	if (rc == 0)
		ipc__shm_unlink_bells(path);
out:
	ipc__name_unlock(lock, path);
	return rc;
}
