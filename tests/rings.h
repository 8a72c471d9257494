/* SPDX-License-Identifier: ISC */
/*
 * For tests of the shared-memory mechanisms by their tables: one end, a pair,
 * a message in and out, and waiting as the core does.
 */
#ifndef IPC_TESTS_RINGS_H
#define IPC_TESTS_RINGS_H

#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include <ipc/error.h>

#include "shm.h"

extern const struct ipc_backend ipc__backend_memfd;
extern const struct ipc_backend ipc__backend_posixshm;
extern const struct ipc_backend ipc__backend_sysvshm;
extern const struct ipc_backend ipc__backend_mmap;

static const struct ipc_backend *const backends[] = {
	&ipc__backend_memfd, &ipc__backend_posixshm, &ipc__backend_sysvshm,
	&ipc__backend_mmap
};
#define BACKENDS	((int)(sizeof backends / sizeof backends[0]))

static inline struct ipc__half *
half_new(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h;

	h = aligned_alloc(64, (sizeof *h + be->size + 63) / 64 * 64);
	ck_assert_ptr_nonnull(h);
	memset(h, 0, sizeof *h + be->size);
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static inline void
half_free(struct ipc__half *h)
{
	if (!h)
		return;
	h->be->close(h, true);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

struct ends {
	struct ipc__half *recv, *send;
};

static inline void
address_of(struct ipc__address *a, const struct ipc_backend *be, char *name)
{
	memset(a, 0, sizeof *a);
	a->be = be;
	a->name = a->text = name;
	a->opt.mode = 0600;
	a->opt.uid = (uid_t)-1;
	a->opt.gid = (gid_t)-1;
	a->opt.end = true;
}

/* A runtime directory, in which files may lie as well. */
static char runtime[100];

static inline void
runtime_make(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(runtime, sizeof runtime, "%s/shm-XXXXXX",
	    dir ? dir : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(runtime));
	setenv("IPC_RUNTIME_DIR", runtime, 1);
}

static inline void
runtime_remove(void)
{
	char command[150];

	snprintf(command, sizeof command, "rm -rf '%s'", runtime);
	ck_assert_int_eq(system(command), 0);
}

static bool latest;

static inline void
pair_of(struct ends *e, const struct ipc_backend *be, uint64_t capacity)
{
	struct ipc__address a;
	static char none[] = "";

	address_of(&a, be, none);
	a.opt.capacity = capacity;
	a.opt.latest = latest;
	e->recv = half_new(be, IPC_RECV);
	e->send = half_new(be, IPC_SEND);
	if (be->pair(e->recv, e->send, &a) < 0)
		ck_abort_msg("%s: %s", be->mechanism.scheme, ipc_errmsg());
}

static inline void
pair_free(struct ends *e)
{
	half_free(e->recv);
	half_free(e->send);
}

static inline ssize_t
put(struct ipc__half *h, const void *p, size_t size, unsigned flags)
{
	struct iovec iov = { (void *)(uintptr_t)p, size };
	struct ipc__aside aside = { .flags = flags };

	return h->be->send(h, &iov, 1, &aside);
}

/* One whole message, copied out and released.  Where it comes in parts its
 * sender is at work on the next one, or has died and the test runs out of
 * time. */
static inline ssize_t
get(struct ipc__half *h, void *buffer, size_t size)
{
	const void *p;
	unsigned flags = IPC__PART;
	size_t got = 0;
	ssize_t n;

	while (flags & IPC__PART) {
		n = h->be->peek(h, &p, &flags);
		if (n == -EAGAIN && got > 0) {
			sched_yield();
			continue;
		}
		if (n < 0)
			return n;
		ck_assert_uint_le((size_t)n, size - got);
		memcpy((unsigned char *)buffer + got, p, (size_t)n);
		h->be->release(h, 0);
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static inline bool
lit(struct ipc__half *h)
{
	struct pollfd fds[2];
	int n = h->be->watch(h, h->dir, fds);

	ck_assert_int_eq(n, 1);
	return poll(fds, 1, 0) == 1;
}

/* Sleeps as the core does, until a call in its direction would get on. */
static inline bool
await(struct ipc__half *h, int timeout)
{
	struct pollfd fds[2];
	int n;

	while (h->be->arm(h, h->dir) == 0) {
		n = h->be->watch(h, h->dir, fds);
		if (poll(fds, (nfds_t)n, timeout) <= 0)
			return false;
	}
	return true;
}

static inline void
pause_randomly(unsigned *seed)
{
	struct timespec ts = { 0, 0 };
	int r = rand_r(seed) % 64;
	volatile int spin;

	if (r == 0) {
		ts.tv_nsec = rand_r(seed) % 100000;
		nanosleep(&ts, NULL);
	} else if (r < 32) {
		for (spin = rand_r(seed) % 500; spin > 0; spin--)
			;
	}
}

static inline int
wait_for(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status);
}

#endif
