/* SPDX-License-Identifier: ISC */
/*
 * Files that appear whole: under a temporary name, which tells who makes it so
 * that the next one sweeps what a killed one has left, then under their own.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "wholefile.h"

#define SWEEP_MOST	256	/* entries that are looked at in passing */

/* The directory, and the name in it. */
static int
open_place(const char *path, struct ipc__place *place, const char **name)
{
	char dir[IPC__PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) + 1 : 0;

	*name = path + n;
	if (**name == '\0' || n >= sizeof dir)
		return ipc__fail(EINVAL, "%s is no name of a file", path);
	memcpy(dir, n > 0 ? path : "./", n > 0 ? n : 2);
	dir[n > 0 ? n : 2] = '\0';
	*place = (struct ipc__place){ .path = path, .path_len = n };
	place->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place->dir == -1 ? ipc__fail_path("open", dir) : 0;
}

int
ipc__whole_dress(int fd, const struct ipc__address *a)
{
	if ((a->opt.uid != (uid_t)-1 || a->opt.gid != (gid_t)-1) &&
	    fchown(fd, a->opt.uid, a->opt.gid) == -1)
		return ipc__fail_sys("chown");
	return fchmod(fd, a->opt.mode) == -1 ? ipc__fail_sys("chmod") : 0;
}

int
ipc__whole_limit(uint64_t size)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == -1 || size <= limit.rlim_cur)
		return 0;
	return ipc__fail(EFBIG, "%ju bytes exceed the %ju that this process "
	    "may write (RLIMIT_FSIZE)", (uintmax_t)size,
	    (uintmax_t)limit.rlim_cur);
}

int
ipc__whole_allocate(int fd, uint64_t size)
{
	int rc = ipc__whole_limit(size);

	if (rc < 0)
		return rc;
	do
		rc = posix_fallocate(fd, 0, (off_t)size);
	while (rc == EINTR);
	return rc == 0 ? 0 : ipc__fail(rc, "posix_fallocate: %s: no room for "
	    "%ju bytes", ipc_strerror(rc), (uintmax_t)size);
}

int
ipc__whole_write(int fd, const void *data, size_t size)
{
	ssize_t n;
	int rc = ipc__whole_limit(size);

	if (rc < 0)
		return rc;
	n = write(fd, data, size);
	if (n >= 0 && (size_t)n < size)
		errno = ENOSPC;
	return n == (ssize_t)size ? 0 : ipc__fail_sys("write");
}

int
ipc__whole_file(const struct ipc__address *a, const char *path,
    int (*fill)(int fd, const struct ipc__address *))
{
	char temp[IPC__TEMP_MAX];
	struct ipc__place place = { .dir = -1 };
	const char *name;
	int note, fd, rc = open_place(path, &place, &name);

	if (rc < 0)
		return rc;
	(void)ipc__temp_sweep(&place, SWEEP_MOST, NULL, NULL);
	ipc__temp_name(temp, sizeof temp, name);
	note = ipc__beside_note(place.dir, temp);
	fd = openat(place.dir, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);
	rc = fd == -1 ? ipc__fail_path("open", temp) : fill(fd, a);
	if (rc == 0)
		rc = ipc__whole_dress(fd, a);
	if (rc == 0 && (rc = ipc__temp_publish(place.dir, temp, name)) < 0 &&
	    rc != -EEXIST) {
		errno = -rc;
		rc = ipc__fail_path("rename", temp);
	}
	if (rc < 0 && fd != -1)
		unlinkat(place.dir, temp, 0);
	ipc__beside_done(note, temp);
	if (fd != -1)
		close(fd);
	close(place.dir);
	return rc;
}
