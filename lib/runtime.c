/* SPDX-License-Identifier: ISC */
/*
 * The runtime directory, where names live that are no paths.  Whoever can
 * write there decides whom a client talks to, so each use checks anew that it
 * belongs to us (or to root, for looking only), that nobody else can write in
 * it, and that it is no symbolic link.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define SYSTEM_DIR	"/run/ipc"
#define CANDIDATES	3
#define TRIES		100

static mode_t
wanted_mode(void)
{
	return geteuid() == 0 ? 0755 : 0700;
}

/* A trailing slash would make open(2) follow a symbolic link. */
static int
from_environment(const char *dir, char *path, size_t size)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (dir[0] != '/')
		return ipc__fail(EINVAL, "IPC_RUNTIME_DIR: '%s' is no absolute "
		    "path", dir);
	if (n >= size)
		return ipc__fail(ENAMETOOLONG, "IPC_RUNTIME_DIR: a path of "
		    "%zu bytes exceeds %zu", n, size - 1);
	memcpy(path, dir, n);
	path[n] = '\0';
	return 0;
}

/* A session directory that systemd or its like has made for this user. */
static bool
user_dir(char *path, size_t size)
{
	struct stat st;

	snprintf(path, size, "/run/user/%lu", (unsigned long)geteuid());
	if (lstat(path, &st) == -1 || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid())
		return false;
	strlcat(path, "/ipc", size);
	return true;
}

static void
temporary_dir(char *path, size_t size)
{
	snprintf(path, size, "/tmp/ipc-%lu", (unsigned long)geteuid());
}

/* Where this process makes names. */
static int
own_dir(char *path, size_t size)
{
	const char *dir = secure_getenv("IPC_RUNTIME_DIR");

	if (dir != NULL && *dir != '\0')
		return from_environment(dir, path, size);
	if (geteuid() == 0)
		strlcpy(path, SYSTEM_DIR, size);
	else if (!user_dir(path, size))
		temporary_dir(path, size);
	return 0;
}

/* Fails with the reason why it can not be trusted. */
static int
check_dir(int fd, const char *path, bool making)
{
	uid_t uid = geteuid();
	struct stat st;

	if (fstat(fd, &st) == -1)
		return ipc__fail_path("stat", path);
	if (st.st_uid != uid && (making || st.st_uid != 0))
		return ipc__fail(EPERM, "%s belongs to uid %lu, not to %lu",
		    path, (unsigned long)st.st_uid, (unsigned long)uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return ipc__fail(EPERM, "%s has mode %04o: others could write "
		    "in it", path, (unsigned)st.st_mode & 07777);
	return 0;
}

static int
fail_open(int dir, const char *name, const char *path)
{
	int error = errno;
	struct stat st;

	if ((error == ENOTDIR || error == ELOOP) &&
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return ipc__fail(ELOOP, "%s is a symbolic link, which a "
		    "runtime directory must not be", path);
	errno = error;
	return ipc__fail_path("open", path);
}

/* Opens name in dir; make: makes it first, if it is missing.  path is both
 * together.  Without make, -ENOENT is given without a text.
 *
 * Whoever leaves a directory inside of ours empty removes it, perhaps between
 * making and opening.  The one who makes it also gives it its mode, whatever
 * the umask is: killed before that it leaves one that allows less than it
 * should. */
static int
open_in(int dir, const char *name, bool make, const char *path)
{
	bool made = false;
	int fd, rc, tries = 0;

	/* It is nearly always there. */
	for (;;) {
		fd = openat(dir, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (!make || fd != -1 || errno != ENOENT || tries++ == TRIES)
			break;
		made = mkdirat(dir, name, wanted_mode()) == 0;
		if (!made && errno != EEXIST)
			return ipc__fail_path("mkdir", path);
	}
	if (fd == -1 && errno == ENOENT && !make)
		return -ENOENT;
	if (fd == -1) {
		rc = fail_open(dir, name, path);
		if (made)
			unlinkat(dir, name, AT_REMOVEDIR);
		return rc;
	}
	rc = check_dir(fd, path, true);
	if (rc == 0 && made && fchmod(fd, wanted_mode()) == -1)
		rc = ipc__fail_path("chmod", path);
	if (rc == 0)
		return fd;
	if (made)
		unlinkat(dir, name, AT_REMOVEDIR);
	close(fd);
	return rc;
}

int
ipc__runtime_open(const char *sub, bool make, char *path, size_t size)
{
	int rc, dir, fd;

	rc = own_dir(path, size);
	if (rc < 0)
		return rc;
	dir = open_in(AT_FDCWD, path, make, path);
	if (dir < 0 || sub == NULL)
		return dir;
	if (strlcat(path, "/", size) >= size ||
	    strlcat(path, sub, size) >= size)
		fd = ipc__fail(ENAMETOOLONG, "%s/: the path exceeds %zu bytes",
		    path, size - 1);
	else
		fd = open_in(dir, sub, make, path);
	close(dir);
	return fd;
}

int
ipc__runtime_dir(char *path, size_t size)
{
	int fd = ipc__runtime_open(NULL, true, path, size);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/*
 * Finding.  A daemon may have been started before its user had a session
 * directory, so that is looked past.
 */

/* The i-th place to look at.  0; 1: there is none of this number. */
static int
candidate(int i, char *path, size_t size)
{
	const char *dir = secure_getenv("IPC_RUNTIME_DIR");
	bool set = dir != NULL && *dir != '\0';

	if (i == 0)
		return own_dir(path, size);
	if (i == 1 && (set || geteuid() == 0))
		return 1;
	if (i == 1)
		temporary_dir(path, size);
	else
		strlcpy(path, SYSTEM_DIR, size);
	return 0;
}

/* Where the file is if it is in this directory. */
static int
look_in(const char *dir, const char *sub, const char *name, char *path,
    size_t size)
{
	const char *slash = sub != NULL ? "/" : "";
	struct stat st;
	int fd, n, rc;

	fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT :
		    fail_open(AT_FDCWD, dir, dir);
	rc = check_dir(fd, dir, false);
	n = snprintf(path, size, "%s/%s%s%s", dir, sub != NULL ? sub : "",
	    slash, name);
	if (rc == 0 && (n < 0 || (size_t)n >= size))
		rc = ipc__fail(ENAMETOOLONG, "%s: the path exceeds %zu bytes",
		    dir, size - 1);
	if (rc == 0 && fstatat(fd, path + strlen(dir) + 1, &st,
	    AT_SYMLINK_NOFOLLOW) == -1)
		rc = errno == ENOENT ? -ENOENT : ipc__fail_path("stat", path);
	close(fd);
	return rc;
}

static int
fail_find(const char *name)
{
	char dir[IPC__PATH_MAX];

	if (own_dir(dir, sizeof dir) < 0)
		dir[0] = '\0';
	return ipc__fail(ENOENT, "there is no %s in %s%s", name, dir,
	    strcmp(dir, SYSTEM_DIR) == 0 ? "" : " or " SYSTEM_DIR);
}

/* A directory that can not be trusted does not hide the next one; but it is
 * the answer where there is no better one. */
int
ipc__runtime_find(const char *sub, const char *name, char *path, size_t size)
{
	char dir[IPC__PATH_MAX];
	struct ipc__error before;
	int rc, bad = 0;

	ipc__error_keep(&before);
	for (int i = 0; i < CANDIDATES; i++) {
		rc = candidate(i, dir, sizeof dir);
		if (rc == 0)
			rc = look_in(dir, sub, name, path, size);
		if (rc == 0) {
			ipc__error_restore(&before);
			return 0;
		}
		if (rc < 0 && rc != -ENOENT)
			bad = rc;
	}
	return bad < 0 ? bad : fail_find(name);
}
