/* SPDX-License-Identifier: ISC */
/*
 * What the tests of single backends need, which call the table themselves: an
 * address, halves, and a look at the descriptors that are open.
 */
#ifndef IPC_TESTS_HALVES_H
#define IPC_TESTS_HALVES_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "backend.h"
#include "suite.h"

static int fds_before;

static inline int
fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* A checked fixture. */
static inline void
note_fds(void)
{
	fds_before = fds_open();
}

static inline void
check_fds(void)
{
	ck_assert_int_eq(fds_open(), fds_before);
}

/* As option.c leaves it where nothing is said. */
static inline struct ipc__address
address_of(const struct ipc_backend *be, const char *name)
{
	struct ipc__address a = {
		.be = be,
		.text = (char *)(uintptr_t)name,
		.name = (char *)(uintptr_t)name,
		.opt = {
			.mode = 0600,
			.uid = (uid_t)-1,
			.gid = (gid_t)-1,
			.end = true,
		},
	};

	return a;
}

static inline struct ipc__half *
half_new(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h;
	size_t size = sizeof *h + be->size;

	h = aligned_alloc(alignof(struct ipc__half),
	    (size + 15) & ~(size_t)15);
	ck_assert_ptr_nonnull(h);
	memset(h, 0, size);
	h->be = be;
	h->dir = dir;
	h->fd = -1;
	return h;
}

static inline void
half_close(struct ipc__half *h, bool clean)
{
	if (h->be->close != NULL)
		h->be->close(h, clean);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

static inline ssize_t
half_send(struct ipc__half *h, const void *data, size_t size)
{
	struct iovec v = { (void *)(uintptr_t)data, size };

	return h->be->send(h, &v, 1, NULL);
}

static inline ssize_t
half_recv(struct ipc__half *h, void *data, size_t size)
{
	struct iovec v = { data, size };

	return h->be->recv(h, &v, 1, NULL);
}

static inline short
ready(int fd, short events, int timeout)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, timeout) == 1 ? p.revents : 0;
}

static inline void
reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "a child ended with status %#x", status);
}

/* A directory of the test's own, for private names as well. */
static char test_dir[256];

static inline void
dir_make(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(test_dir, sizeof test_dir, "%s/ipc-halves.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(test_dir));
	setenv("IPC_RUNTIME_DIR", test_dir, 1);
	note_fds();
}

/* It must be empty but for what the test put there itself. */
static inline void
dir_remove(void)
{
	check_fds();
	ck_assert_msg(rmdir(test_dir) == 0, "%s: %s", test_dir,
	    strerror(errno));
}

static inline const char *
in_dir(const char *name)
{
	static char path[4][512];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", test_dir, name);
	return path[i];
}

#endif
