/* SPDX-License-Identifier: ISC */
/*
 * The positions of readers (see journalpos.h).  One is a single small record
 * that is written in place: the kernel copies it at once, so that a killed
 * reader leaves either the old or the new one, and a disk writes it in one
 * sector; what is neither is found by its check.
 *
 *	 0  "IPCPOS\n\0"	 8  identity of the journal, 8
 *	16  offset, 8		24  CRC-32C of these, 4
 */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "error.h"
#include "frame.h"
#include "journal.h"
#include "journalpos.h"
#include "name.h"

#define INFIX		".pos."
#define CHECKED		24
#define TRIES		16

static const char magic[8] = { 'I', 'P', 'C', 'P', 'O', 'S', '\n', 0 };

/* One reader holds it, until its last copy closes or dies. */
static int
hold(int fd, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return ipc__fail(EBUSY, "another reader has the position '%s'",
		    name);
	return ipc__fail_sys("fcntl F_OFD_SETLK");
}

/* Whoever owns a position decides what its reader misses. */
static int
check_owner(int fd, int journal, const char *path)
{
	struct stat ours, theirs;

	if (fstat(fd, &ours) == -1 || fstat(journal, &theirs) == -1)
		return ipc__fail_sys("fstat");
	if (!S_ISREG(ours.st_mode))
		return ipc__fail(EINVAL, "%s is no plain file", path);
	if (ours.st_uid == geteuid() || ours.st_uid == 0 ||
	    ours.st_uid == theirs.st_uid)
		return 0;
	return ipc__fail(EPERM, "%s belongs to uid %lu", path,
	    (unsigned long)ours.st_uid);
}

static bool
still_named(int fd, const char *path)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 &&
	    ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int
open_file(const char *path, mode_t mode, int flags)
{
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
	if (fd != -1 && fchmod(fd, mode) == -1) {
		close(fd);
		return ipc__fail_path("chmod", path);
	}
	if (fd == -1 && errno == EEXIST)
		fd = open(path, O_RDWR | flags);
	if (fd == -1 && errno == ENOENT)
		return -ESTALE;		/* removed meanwhile */
	return fd == -1 ? ipc__fail_path("open", path) : fd;
}

int
ipc__position_open(const char *path, const char *name, int journal,
    mode_t mode, bool sync)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (sync ? O_DSYNC : 0);
	char file[IPC__PATH_MAX];
	int i, fd = -1, rc = -ESTALE;

	if ((size_t)snprintf(file, sizeof file, "%s" INFIX "%s", path,
	    name) >= sizeof file)
		return ipc__fail(ENAMETOOLONG, "%s" INFIX "%s: longer than %d "
		    "bytes", path, name, IPC__PATH_MAX - 1);
	for (i = 0; rc == -ESTALE && i < TRIES; i++) {
		rc = fd = open_file(file, mode, flags);
		if (rc >= 0)
			rc = check_owner(fd, journal, file);
		if (rc == 0)
			rc = hold(fd, name);
		if (rc == 0 && !still_named(fd, file))
			rc = -ESTALE;
		if (rc < 0 && fd >= 0)
			close(fd);
	}
	if (rc == -ESTALE)
		return ipc__fail(EBUSY, "%s comes and goes", file);
	return rc < 0 ? rc : fd;
}

int
ipc__position_get(int fd, uint64_t id, uint64_t *at)
{
	unsigned char p[IPC__POSITION_SIZE];
	ssize_t n;

	*at = 0;
	do
		n = pread(fd, p, sizeof p, 0);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return ipc__fail_sys("read of the position");
	if (n == 0)
		return 0;
	if (n != sizeof p || memcmp(p, magic, sizeof magic) != 0 ||
	    ipc__get32(p + CHECKED) != ipc__crc32c(0, p, CHECKED))
		return ipc__fail(EBADMSG, "the position is damaged; without "
		    "its file, reading begins at the start");
	if (ipc__get64(p + 8) == id)
		*at = ipc__get64(p + 16);
	return 0;
}

int
ipc__position_put(int fd, uint64_t id, uint64_t at)
{
	unsigned char p[IPC__POSITION_SIZE];
	struct iovec iov = { p, sizeof p };

	memcpy(p, magic, sizeof magic);
	ipc__put64(p + 8, id);
	ipc__put64(p + 16, at);
	ipc__put32(p + CHECKED, ipc__crc32c(0, p, CHECKED));
	return ipc__journal_write(fd, &iov, 1, sizeof p, 0);
}

static bool
is_position(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC);
	char p[sizeof magic];
	bool yes;
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, p, sizeof p);
	yes = n == 0 || (n == sizeof p && memcmp(p, magic, sizeof p) == 0);
	close(fd);
	return yes;
}

void
ipc__positions_remove(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	char dir[IPC__PATH_MAX], prefix[IPC__NAME_MAX + sizeof INFIX];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof dir, "%.*s", (int)n, path);
	snprintf(prefix, sizeof prefix, "%s" INFIX, path + n);
	d = opendir(n > 0 ? dir : ".");
	while (d != NULL && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
		    is_position(dirfd(d), e->d_name))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
}
