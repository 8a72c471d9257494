/* SPDX-License-Identifier: ISC */
/*
 * The calls that check_faults.c makes fail, as the linker's --wrap has them:
 * the library calls __wrap_NAME, which fails when its turn has come, and else
 * calls __real_NAME.  Allocations are counted.  Included once.
 */
#ifndef IPC_TESTS_FAULTS_H
#define IPC_TESTS_FAULTS_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "support.h"

#define TABLE	65536		/* allocations alive, a power of two */

static atomic_long countdown;		/* 0: nothing fails */
static char failed_nowhere[24];
static char *failed = failed_nowhere;	/* room for the name of what failed */
static void *_Atomic table[TABLE];	/* what is allocated */
static atomic_long alive;

static bool
fault(const char *call)
{
	if (atomic_load(&countdown) <= 0 ||
	    atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	strlcpy(failed, call, sizeof failed_nowhere);
	return true;
}

/* An allocation that fails says so. */
static bool
no_memory(const char *call)
{
	if (!fault(call))
		return false;
	errno = ENOMEM;
	return true;
}

/*
 * Allocations, counted
 */

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_reallocarray(void *, size_t, size_t);
char *__wrap_strdup(const char *);
char *__wrap_strndup(const char *, size_t);
void __wrap_free(void *);

static size_t
slot_of(const void *p)
{
	return ((uintptr_t)p >> 4) * 2654435761u % TABLE;
}

static void *
noted(void *p)
{
	void *empty = NULL;

	if (p == NULL)
		return NULL;
	for (size_t i = slot_of(p);; i = (i + 1) % TABLE, empty = NULL)
		if (atomic_compare_exchange_strong(&table[i], &empty, p))
			break;
	atomic_fetch_add(&alive, 1);
	return p;
}

/* What libc allocated by itself was never noted.  Slots are not closed up:
 * the process is short-lived, and a search goes once around. */
static void
forget(void *p)
{
	void *want = p;
	size_t i = slot_of(p);

	for (size_t n = 0; p != NULL && n < 64; n++, want = p)
		if (atomic_compare_exchange_strong(&table[(i + n) % TABLE],
		    &want, NULL)) {
			atomic_fetch_sub(&alive, 1);
			return;
		}
}

void *
__wrap_malloc(size_t size)
{
	return no_memory("malloc") ? NULL : noted(__real_malloc(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory("calloc") ? NULL : noted(__real_calloc(n, size));
}

void *
__wrap_realloc(void *old, size_t size)
{
	void *p;

	if (no_memory("realloc"))
		return NULL;
	forget(old);
	p = __real_realloc(old, size);
	if (p == NULL && size > 0)
		noted(old);
	return noted(p);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	void *p;

	if (no_memory("reallocarray"))
		return NULL;
	forget(old);
	p = __real_reallocarray(old, n, size);
	if (p == NULL && size > 0)
		noted(old);
	return noted(p);
}

char *
__wrap_strndup(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	char *p = no_memory("strdup") ? NULL : noted(__real_malloc(n + 1));

	if (p == NULL)
		return NULL;
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
__wrap_strdup(const char *s)
{
	return __wrap_strndup(s, SIZE_MAX);
}

void
__wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

/*
 * System calls
 */

#define WRAP(type, name, parameters, arguments, error, result)		\
	type __real_##name parameters;					\
	type __wrap_##name parameters;					\
	type								\
	__wrap_##name parameters					\
	{								\
		if (fault(#name)) {					\
			errno = error;					\
			return result;					\
		}							\
		return __real_##name arguments;				\
	}

WRAP(int, socket, (int d, int t, int p), (d, t, p), EMFILE, -1)
WRAP(int, socketpair, (int d, int t, int p, int fd[2]), (d, t, p, fd),
    EMFILE, -1)
WRAP(int, pipe2, (int fd[2], int f), (fd, f), EMFILE, -1)
WRAP(int, epoll_create1, (int f), (f), EMFILE, -1)
WRAP(int, eventfd, (unsigned n, int f), (n, f), EMFILE, -1)
WRAP(int, timerfd_create, (int c, int f), (c, f), EMFILE, -1)
WRAP(int, accept4, (int s, struct sockaddr *a, socklen_t *n, int f),
    (s, a, n, f), EMFILE, -1)
WRAP(int, bind, (int s, const struct sockaddr *a, socklen_t n), (s, a, n),
    EACCES, -1)
WRAP(int, listen, (int s, int n), (s, n), ENOBUFS, -1)
WRAP(int, connect, (int s, const struct sockaddr *a, socklen_t n), (s, a, n),
    ENOBUFS, -1)
WRAP(int, mkdir, (const char *p, mode_t m), (p, m), ENOSPC, -1)
WRAP(int, mkfifo, (const char *p, mode_t m), (p, m), ENOSPC, -1)
WRAP(int, linkat, (int a, const char *p, int b, const char *q, int f),
    (a, p, b, q, f), ENOSPC, -1)
WRAP(int, renameat, (int a, const char *p, int b, const char *q),
    (a, p, b, q), ENOSPC, -1)
WRAP(int, fchmod, (int fd, mode_t m), (fd, m), EPERM, -1)
WRAP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), EPERM, -1)
WRAP(int, memfd_create, (const char *p, unsigned f), (p, f), EMFILE, -1)
WRAP(void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o),
    (a, n, p, f, fd, o), ENOMEM, MAP_FAILED)
WRAP(pid_t, fork, (void), (), EAGAIN, -1)
WRAP(int, dup, (int fd), (fd), EMFILE, -1)
WRAP(int, dup2, (int a, int b), (a, b), EMFILE, -1)
WRAP(ssize_t, sendmsg, (int s, const struct msghdr *m, int f), (s, m, f),
    ENOBUFS, -1)
WRAP(ssize_t, recvmsg, (int s, struct msghdr *m, int f), (s, m, f), ENOMEM,
    -1)
WRAP(ssize_t, send, (int s, const void *p, size_t n, int f), (s, p, n, f),
    ENOBUFS, -1)
WRAP(ssize_t, recv, (int s, void *p, size_t n, int f), (s, p, n, f), ENOMEM,
    -1)
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), EIO, -1)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), EIO, -1)
WRAP(ssize_t, readv, (int fd, const struct iovec *p, int n), (fd, p, n), EIO,
    -1)
WRAP(ssize_t, writev, (int fd, const struct iovec *p, int n), (fd, p, n), EIO,
    -1)
WRAP(ssize_t, preadv2, (int fd, const struct iovec *p, int n, off_t o, int f),
    (fd, p, n, o, f), EIO, -1)
WRAP(ssize_t, pwritev2, (int fd, const struct iovec *p, int n, off_t o, int f),
    (fd, p, n, o, f), EIO, -1)
WRAP(int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t), ENOMEM, -1)
WRAP(int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t,
    const sigset_t *s), (p, n, t, s), ENOMEM, -1)
WRAP(int, getsockopt, (int s, int l, int o, void *v, socklen_t *n),
    (s, l, o, v, n), ENOBUFS, -1)
WRAP(int, setsockopt, (int s, int l, int o, const void *v, socklen_t n),
    (s, l, o, v, n), ENOBUFS, -1)
WRAP(int, getsockname, (int s, struct sockaddr *a, socklen_t *n), (s, a, n),
    ENOBUFS, -1)
WRAP(int, getpeername, (int s, struct sockaddr *a, socklen_t *n), (s, a, n),
    ENOBUFS, -1)

int __real_epoll_ctl(int, int, int, struct epoll_event *);
int __wrap_epoll_ctl(int, int, int, struct epoll_event *);
int __real_fcntl(int, int, ...);
int __wrap_fcntl(int, int, ...);
int __real_open(const char *, int, ...);
int __wrap_open(const char *, int, ...);
int __real_openat(int, const char *, int, ...);
int __wrap_openat(int, const char *, int, ...);

/* Taking out needs no memory and does not fail. */
int
__wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	if (op != EPOLL_CTL_DEL && fault("epoll_ctl")) {
		errno = ENOSPC;
		return -1;
	}
	return __real_epoll_ctl(ep, op, fd, event);
}

/* Asking and setting flags do not fail. */
int
__wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (cmd != F_GETFD && cmd != F_SETFD && cmd != F_GETFL &&
	    cmd != F_SETFL && fault("fcntl")) {
		errno = cmd == F_DUPFD_CLOEXEC ? EMFILE : EPERM;
		return -1;
	}
	return __real_fcntl(fd, cmd, arg);
}

static unsigned
mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, unsigned) : 0;
}

int
__wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	if (fault("open")) {
		errno = EMFILE;
		return -1;
	}
	return __real_open(path, flags, mode);
}

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	if (fault("openat")) {
		errno = EMFILE;
		return -1;
	}
	return __real_openat(dir, path, flags, mode);
}

#endif
