/* SPDX-License-Identifier: ISC */
/*
 * Names for what is not ready yet, and for what only a session knows of: they
 * tell which process made them, so that the next user of the directory can
 * remove what a killed one left.
 */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define MARK		".ipc-"
#define WHAT_MAX	30

void
ipc__temp_name(char *name, size_t size, const char *what)
{
	/* Only its being unique matters, so it pairs with nothing. */
	static atomic_uint number;
	unsigned n = atomic_fetch_add_explicit(&number, 1,
	    memory_order_relaxed);
	pid_t pid = getpid();

	snprintf(name, size, ".%.*s" MARK "%ld.%" PRIx64 ".%x", WHAT_MAX, what,
	    (long)pid, ipc__start_time(pid), n);
}

bool
ipc__temp_parse(const char *name, pid_t *pid, uint64_t *start_time)
{
	const char *s = NULL, *next = name;
	unsigned number;
	int end = 0;
	long n;

	while (name[0] == '.' && (next = strstr(next, MARK)) != NULL)
		s = next++;
	if (s == NULL || sscanf(s, MARK "%9ld.%16" SCNx64 ".%8x%n", &n,
	    start_time, &number, &end) != 3 || s[end] != '\0' || n <= 0)
		return false;
	*pid = (pid_t)n;
	return true;
}

/* A file system that can not rename without replacing can link, or it can hold
 * no sockets and FIFOs either. */
int
ipc__temp_publish(int dir, const char *temp, const char *name)
{
	if (renameat2(dir, temp, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dir, temp, dir, name, 0) == -1)
		return -errno;
	unlinkat(dir, temp, 0);
	return 0;
}

/* Its maker is dead; but a socket may have been inherited, and a link is a note
 * of beside.c. */
static bool
is_leftover(const struct ipc__place *place, const char *name)
{
	struct stat st;
	uint64_t start_time;
	pid_t pid;

	if (!ipc__temp_parse(name, &pid, &start_time) ||
	    ipc__alive(pid, start_time))
		return false;
	if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    st.st_uid != geteuid() || S_ISLNK(st.st_mode))
		return false;
	return !S_ISSOCK(st.st_mode) ||
	    ipc__unix_probe(place, name) == IPC__SOCKET_STALE;
}

DIR *
ipc__dir_open(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	int error = errno;

	if (d == NULL && fd != -1)
		close(fd);
	errno = error;
	return d;
}

int
ipc__temp_sweep(const struct ipc__place *place, unsigned most,
    ipc__told *told, void *user)
{
	struct ipc__error before;
	struct dirent *e;
	int swept = 0;
	DIR *d;

	d = ipc__dir_open(place->dir);
	if (d == NULL)
		return 0;
	ipc__error_keep(&before);
	for (; most > 0 && (e = readdir(d)) != NULL; most--) {
		if (is_leftover(place, e->d_name) &&
		    ipc__may_go(told, e->d_name, user) &&
		    unlinkat(place->dir, e->d_name, 0) == 0)
			swept++;
	}
	ipc__error_restore(&before);
	closedir(d);
	return swept;
}
