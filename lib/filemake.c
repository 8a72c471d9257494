/* SPDX-License-Identifier: ISC */
/*
 * Making files (see filemake.h).  Where the file system can, they have no name
 * until they are complete, so that a process which is killed leaves nothing;
 * elsewhere a name that tells who made it, for others to clean up.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "filemake.h"

#define SWEEP_MOST	256	/* entries that are looked at for leftovers */

static int
open_dir(struct ipc__new_file *f, const char *path, char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) + 1 : 0;

	if (n >= IPC__PATH_MAX || strlen(path) - n >= sizeof f->base)
		return ipc__fail(ENAMETOOLONG, "%s: a name longer than %d "
		    "bytes", path, IPC__NAME_MAX);
	if (path[n] == '\0')
		return ipc__fail(EISDIR, "%s: the name of a file is missing",
		    path);
	strcpy(f->base, path + n);
	memcpy(dir, path, n);
	strcpy(dir + n, n > 0 ? "" : ".");
	f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->dir == -1 ? ipc__fail_path("open", dir) : 0;
}

static bool
has_proc(void)
{
	return access("/proc/self/fd", X_OK) == 0;
}

/* Only through /proc can a file without a name be given one. */
static int
make_unnamed(const struct ipc__new_file *f)
{
	return has_proc() ? openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
	    0600) : -1;
}

int
ipc__file_make(struct ipc__new_file *f, const char *path)
{
	char dir[IPC__PATH_MAX + 1];
	struct ipc__place place = { .path = dir };
	int rc;

	f->fd = f->dir = f->note = -1;
	f->temp[0] = '\0';
	rc = open_dir(f, path, dir);
	if (rc < 0)
		return rc;
	place.dir = f->dir;
	f->fd = make_unnamed(f);
	if (f->fd != -1)
		return 0;
	place.path_len = strlen(dir);
	ipc__temp_sweep(&place, SWEEP_MOST, NULL, NULL);
	ipc__temp_name(f->temp, sizeof f->temp, f->base);
	f->note = ipc__beside_note(f->dir, f->temp);
	f->fd = openat(f->dir, f->temp, O_RDWR | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd != -1)
		return 0;
	rc = ipc__fail_path("make a file in", dir);
	ipc__beside_done(f->note, f->temp);
	f->temp[0] = '\0';
	ipc__file_drop(f);
	return rc;
}

int
ipc__file_reopen(const struct ipc__new_file *f, int flags)
{
	char proc[32];
	int fd;

	snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->fd);
	fd = f->temp[0] == '\0' ? open(proc, flags | O_CLOEXEC) :
	    openat(f->dir, f->temp, flags | O_NOFOLLOW | O_CLOEXEC);
	return fd == -1 ? ipc__fail_sys("open of a new file") : fd;
}

static int
set_owner(int fd, const struct ipc__options *opt)
{
	if ((opt->uid != (uid_t)-1 || opt->gid != (gid_t)-1) &&
	    fchown(fd, opt->uid, opt->gid) == -1)
		return ipc__fail_sys("fchown");
	if (fchmod(fd, opt->mode) == -1)
		return ipc__fail_sys("fchmod");
	return 0;
}

static int
give_name(struct ipc__new_file *f)
{
	char proc[32];

	if (f->temp[0] != '\0') {
		int rc = ipc__temp_publish(f->dir, f->temp, f->base);

		if (rc == 0) {
			ipc__beside_done(f->note, f->temp);
			f->temp[0] = '\0';
		}
		return rc;
	}
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, proc, f->dir, f->base,
	    AT_SYMLINK_FOLLOW) == -1 ? -errno : 0;
}

int
ipc__file_publish(struct ipc__new_file *f, const struct ipc__options *opt,
    bool sync)
{
	int rc;

	rc = set_owner(f->fd, opt);
	if (rc < 0)
		return rc;
	if (sync && fsync(f->fd) == -1)
		return ipc__fail_sys("fsync");
	rc = give_name(f);
	if (rc < 0) {
		errno = -rc;
		return rc == -EEXIST ? rc : ipc__fail_path("link", f->base);
	}
	/* The name is on disk when its directory is. */
	if (sync && fsync(f->dir) == -1)
		return ipc__fail_sys("fsync of the directory");
	return 0;
}

int
ipc__file_nameless(struct ipc__new_file *f)
{
	int fd = f->fd;

	f->fd = -1;
	ipc__file_drop(f);
	return fd;
}

void
ipc__file_drop(struct ipc__new_file *f)
{
	if (f->dir != -1 && f->temp[0] != '\0') {
		unlinkat(f->dir, f->temp, 0);
		ipc__beside_done(f->note, f->temp);
	}
	if (f->dir != -1)
		close(f->dir);
	if (f->fd != -1)
		close(f->fd);
	f->dir = f->fd = -1;
	f->temp[0] = '\0';
}

int
ipc__file_kind(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return ipc__fail_path("stat", path);
	if (S_ISREG(st.st_mode))
		return 0;
	if (S_ISSOCK(st.st_mode))
		return ipc__fail(EPROTOTYPE, "this is a socket: a meeting "
		    "point is for ipc_connect");
	if (S_ISLNK(st.st_mode))
		return ipc__fail(ELOOP, "this is a symbolic link, which is not "
		    "followed");
	return ipc__fail(EINVAL, "there is something, but no plain file");
}

int
ipc__file_failed(const char *path)
{
	int code = errno;
	struct stat st;

	if (code == ENXIO && (lstat(path, &st) == -1 ||
	    !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))))
		return ipc__fail(EPROTOTYPE, "this is a socket: a meeting "
		    "point is for ipc_connect");
	errno = code;
	return ipc__fail_path("open", path);
}
