/* SPDX-License-Identifier: ISC */
/*
 * What the tests of backends share: halves without a core around them, called
 * through the table, in a directory of their own.
 */
#ifndef IPC_TESTS_SOCKETS_H
#define IPC_TESTS_SOCKETS_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "address.h"
#include "backend.h"
#include "error.h"
#include "suite.h"

#undef unix	/* a macro of gcc's gnu modes */
extern const struct ipc_backend ipc__backend_unix, ipc__backend_unixpacket,
    ipc__backend_unixgram, ipc__backend_tcp, ipc__backend_udp;

static const struct ipc_backend *const sockets[] = {
	&ipc__backend_unix, &ipc__backend_unixpacket, &ipc__backend_unixgram,
	&ipc__backend_tcp, &ipc__backend_udp
};
#define SOCKETS		5
enum { UNIX, UNIXPACKET, UNIXGRAM, TCP, UDP };

static char top[64];		/* the directory of this test */
static int before;		/* descriptors that were open */

static inline int
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static inline int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static inline void
sockets_setup(void)
{
	const char *tmp = getenv("TMPDIR");
	char runtime[80];

	snprintf(top, sizeof top, "%.40s/ipc-half.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(runtime, sizeof runtime, "%s/run", top);
	ck_assert_int_eq(setenv("IPC_RUNTIME_DIR", runtime, 1), 0);
	before = count_fds();
}

static inline void
sockets_teardown(void)
{
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	ck_assert_int_eq(count_fds(), before);
}

static inline const struct ipc_backend *
lookup(const char *scheme, size_t len)
{
	const char *s;
	unsigned i;

	for (i = 0; i < SOCKETS; i++) {
		s = sockets[i]->mechanism.scheme;
		if (strlen(s) == len && memcmp(s, scheme, len) == 0)
			return sockets[i];
	}
	return NULL;
}

/* An address; %s in it stands for the test's directory. */
static inline struct ipc__address
address(enum ipc_way way, const char *fmt)
{
	struct ipc__address a;
	char text[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof text, fmt, top);
#pragma GCC diagnostic pop
	ck_assert_msg(ipc__address_parse_by(&a, text, way, lookup) == 0, "%s",
	    ipc_errmsg());
	return a;
}

static inline struct ipc__half *
half_new(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h = calloc(1, sizeof *h + be->size);

	ck_assert_ptr_nonnull(h);
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static inline void
half_free(struct ipc__half *h, bool clean)
{
	if (h->be->close)
		h->be->close(h, clean);
	if (h->fd >= 0)
		ck_assert_int_eq(close(h->fd), 0);
	free(h);
}

static inline void
check_ok(int rc, const char *what)
{
	ck_assert_msg(rc >= 0, "%s: %d, %s", what, rc, ipc_errmsg());
}
#define assert_ok(expr)	check_ok((int)(expr), #expr)

/* Both ends of a pair at this address. */
static inline void
make_pair(struct ipc__half *ends[2], const char *text)
{
	struct ipc__address a = address(IPC_WAY_PAIR, text);
	int i;

	for (i = 0; i < 2; i++)
		ends[i] = half_new(a.be, IPC_DUPLEX);
	assert_ok(a.be->pair(ends[0], ends[1], &a));
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(fcntl(ends[i]->fd, F_GETFD), FD_CLOEXEC);
	ipc__address_free(&a);
}

static inline void
free_pair(struct ipc__half *ends[2])
{
	half_free(ends[0], true);
	half_free(ends[1], true);
}

static inline int
listen_at(struct ipc__half **l, const char *text)
{
	struct ipc__address a = address(IPC_WAY_SESSION, text);
	int rc;

	*l = half_new(a.be, IPC_DUPLEX);
	if ((rc = a.be->listen(*l, &a)) < 0) {
		ck_assert_int_eq((*l)->fd, -1);
		free(*l);
		*l = NULL;
	}
	ipc__address_free(&a);
	return rc;
}

static inline int
connect_at(struct ipc__half **h, const char *text, int timeout)
{
	struct ipc__address a = address(IPC_WAY_SESSION, text);
	int rc;

	*h = half_new(a.be, IPC_DUPLEX);
	rc = a.be->connect(*h, &a, timeout);
	if (rc < 0 && rc != -EINPROGRESS) {
		ck_assert_int_eq((*h)->fd, -1);
		free(*h);
		*h = NULL;
	}
	ipc__address_free(&a);
	return rc;
}

static inline int
open_at(struct ipc__half **h, const char *text, int dir, int flags)
{
	struct ipc__address a = address(IPC_WAY_OPEN, text);
	int rc;

	*h = half_new(a.be, dir);
	(*h)->bare = true;
	if ((rc = a.be->open(*h, &a, flags)) < 0) {
		ck_assert_int_eq((*h)->fd, -1);
		free(*h);
		*h = NULL;
	}
	ipc__address_free(&a);
	return rc;
}

static inline int
accept_from(struct ipc__half **h, struct ipc__half *l)
{
	int rc;

	*h = half_new(l->be, IPC_DUPLEX);
	if ((rc = l->be->accept(*h, l)) < 0) {
		ck_assert_int_eq((*h)->fd, -1);
		free(*h);
		*h = NULL;
	} else
		ck_assert_int_eq(fcntl((*h)->fd, F_GETFD), FD_CLOEXEC);
	return rc;
}

static inline bool
ready(int fd, short events, int timeout)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, timeout) > 0 && p.revents & events;
}

/* There is room to send, within this time. */
static inline bool
writable(struct ipc__half *h, int timeout)
{
	struct pollfd p = { .fd = h->fd, .events = POLLOUT };

	if (h->be->watch)
		ck_assert_int_eq(h->be->watch(h, IPC_SEND, &p), 1);
	return ready(p.fd, p.events, timeout);
}

/* A client's and a server's end of a session with this listener. */
static inline void
make_session(struct ipc__half *ends[2], struct ipc__half *l, const char *text)
{
	int rc = connect_at(&ends[0], text, 1000);

	if (rc == -EINPROGRESS) {
		ck_assert(ready(ends[0]->fd, POLLOUT, 1000));
		rc = ends[0]->be->connected(ends[0]);
	}
	assert_ok(rc);
	ck_assert(ready(l->fd, POLLIN, 1000));
	assert_ok(accept_from(&ends[1], l));
}

static inline ssize_t
put(struct ipc__half *h, const void *data, size_t size)
{
	struct iovec iov = { (void *)data, size };

	return h->be->send(h, &iov, 1, NULL);
}

static inline ssize_t
get(struct ipc__half *h, void *data, size_t size)
{
	struct iovec iov = { data, size };

	return h->be->recv(h, &iov, 1, NULL);
}

/* The same, waiting for it: UDP and TCP deliver in their own time. */
static inline ssize_t
await(struct ipc__half *h, void *data, size_t size)
{
	ck_assert_msg(ready(h->fd, POLLIN, 2000), "nothing came");
	return get(h, data, size);
}

static inline int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Runs a part of a test in a process of its own; its assertions count. */
static inline void
join_child(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the child failed: %x", (unsigned)status);
}

#endif
