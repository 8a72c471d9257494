/* SPDX-License-Identifier: ISC */
/*
 * Unix sockets that have a name: listening there, connecting to it, and what to
 * say when something else lies there.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "socket.h"

int
ipc__unix_name(struct sockaddr_un *sun, socklen_t *size, const char *name)
{
	size_t length = strlen(name);

	/* The byte that ends a path stands before an abstract name. */
	if (length > IPC__SUN_MAX + (size_t)(name[0] == '@'))
		return ipc__fail(ENAMETOOLONG, "%s: %zu bytes exceed the %d of "
		    "a Unix socket's name (sun_path)", name, length,
		    IPC__SUN_MAX);
	memset(sun, 0, sizeof *sun);
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, name, length);
	if (name[0] == '@')
		sun->sun_path[0] = '\0';
	*size = offsetof(struct sockaddr_un, sun_path) + length +
	    (name[0] != '@');
	return 0;
}

int
ipc__unix_serve(struct ipc__half *h, const struct ipc__address *a,
    const struct ipc__socket_kind *kind)
{
	struct ipc__socket *s = IPC__STATE(h, struct ipc__socket);
	char path[IPC__PATH_MAX];
	int rc;

	if ((rc = ipc__meeting_path(a, true, path, sizeof path)) < 0 ||
	    (rc = ipc__unix_listen(a, path, kind->type, &s->name)) < 0)
		return rc;
	h->fd = rc;
	s->listening = true;
	s->capacity = a->opt.capacity;
	return 0;
}

int
ipc__unix_accept(struct ipc__half *h, struct ipc__half *listener,
    const struct ipc__socket_kind *kind)
{
	const struct ipc__socket *s = IPC__STATE(listener, struct ipc__socket);
	int fd = ipc__socket_accept(listener);

	if (fd < 0)
		return fd;
	h->fd = fd;
	kind->size(h, s->capacity);
	return 0;
}

/*
 * Connecting
 */

static const char *
file_title(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:	return "a FIFO: ipc_open it as fifo:";
	case S_IFREG:	return "a plain file: ipc_open it as file: or mmap:";
	case S_IFDIR:	return "a directory";
	case S_IFCHR:
	case S_IFBLK:	return "a device";
	default:	return "no socket";
	}
}

/* Finds out by trying; only a datagram socket can be tried unnoticed. */
static bool
takes_datagrams(const struct sockaddr_un *sun, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool takes;

	if (fd < 0)
		return false;
	takes = connect(fd, (const struct sockaddr *)sun, size) == 0;
	close(fd);
	return takes;
}

int
ipc__unix_refused(const char *name, const struct ipc__socket_kind *kind)
{
	struct sockaddr_un sun;
	struct stat st;
	socklen_t size = 0;
	int code = errno;

	/* The kernel says ECONNREFUSED of everything that is no socket. */
	if (code == ECONNREFUSED && name[0] != '@' && stat(name, &st) == 0 &&
	    !S_ISSOCK(st.st_mode))
		return ipc__fail(EPROTOTYPE, "connect: %s is %s", name,
		    file_title(st.st_mode));
	errno = code;
	if (code == ENOENT || code == ECONNREFUSED)
		return ipc__fail(code, "connect: nobody listens at %s: %s",
		    name, strerror(code));
	if (code != EPROTOTYPE)
		return ipc__fail_sys("connect");
	if (kind->type == SOCK_DGRAM)
		return ipc__fail(code, "connect: %s is the meeting point of a "
		    "session: use ipc_connect", name);
	if (ipc__unix_name(&sun, &size, name) == 0 &&
	    takes_datagrams(&sun, size))
		return ipc__fail(code, "connect: %s is a Unix datagram socket: "
		    "ipc_open it as unixgram:", name);
	return ipc__fail(code, "connect: %s is not %s", name, kind->title);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * A full backlog is EAGAIN at once on a socket that does not block, and nothing
 * tells when there is room.  So whoever may wait does it in the kernel, which
 * takes SO_SNDTIMEO for the limit.
 */
static int
connect_within(int fd, const struct sockaddr_un *sun, socklen_t size,
    int timeout)
{
	int64_t end = now_ms() + timeout, left = timeout;
	struct timeval limit = { 0 };
	int rc;

	do {
		if (timeout > 0) {
			limit.tv_sec = left / 1000;
			limit.tv_usec = left % 1000 * 1000;
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
			    sizeof limit);
		}
		rc = connect(fd, (const struct sockaddr *)sun, size);
		if (rc == 0 || errno != EINTR)
			break;
		left = end - now_ms();
	} while (timeout < 0 || left > 0);
	return rc;
}

static int
connect_name(int fd, const char *name, int timeout,
    const struct ipc__socket_kind *kind)
{
	struct timeval none = { 0 };
	struct sockaddr_un sun;
	socklen_t size = 0;
	int rc;

	if ((rc = ipc__unix_name(&sun, &size, name)) < 0)
		return rc;
	if (connect_within(fd, &sun, size, timeout) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return ipc__unix_refused(name, kind);
		return timeout == 0 ? -EAGAIN : ipc__fail(ETIMEDOUT,
		    "connect: the backlog of %s stayed full", name);
	}
	if (timeout > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none,
	    sizeof none) < 0)
		return ipc__fail_sys("setsockopt SO_SNDTIMEO");
	return 0;
}

int
ipc__unix_reach(struct ipc__half *h, const struct ipc__address *a, int timeout,
    const struct ipc__socket_kind *kind)
{
	char path[IPC__PATH_MAX];
	int fd, rc;

	if ((rc = ipc__meeting_path(a, false, path, sizeof path)) < 0)
		return rc;
	fd = rc = ipc__socket_new(AF_UNIX,
	    kind->type | (timeout == 0 ? SOCK_NONBLOCK : 0));
	if (rc < 0)
		return rc;
	if ((rc = connect_name(fd, path, timeout, kind)) < 0) {
		close(fd);
		return rc;
	}
	h->fd = fd;
	kind->size(h, a->opt.capacity);
	return 0;
}

/*
 * Telling the name, and removing it
 */

/* The path of ours may have been moved since it was bound; an abstract name,
 * and that of an adopted listener, the kernel knows. */
static const char *
bound_name(const struct ipc__half *h, struct sockaddr_un *sun)
{
	const struct ipc__socket *s =
	    IPC__STATE(h, const struct ipc__socket);
	socklen_t size = sizeof *sun;

	if (s->name.path[0])
		return s->name.path;
	memset(sun, 0, sizeof *sun);
	if (getsockname(h->fd, (struct sockaddr *)sun, &size) < 0 ||
	    size <= offsetof(struct sockaddr_un, sun_path))
		return "";
	if (sun->sun_path[0] == '\0')
		sun->sun_path[0] = '@';
	return sun->sun_path;
}

int
ipc__unix_where(const struct ipc__half *h, char *buffer, size_t size)
{
	struct { struct sockaddr_un sun; char end; } u = { .end = '\0' };
	const char *name = bound_name(h, &u.sun), *p;
	size_t n;
	int k;

	n = snprintf(buffer, size, "%s:", h->be->mechanism.scheme);
	for (p = name; *p && n < size; p++) {
		if (*p == '%' || *p == '?')
			k = snprintf(buffer + n, size - n, "%%%02X", *p);
		else
			k = snprintf(buffer + n, size - n, "%c", *p);
		n += k;
	}
	return n < size ? 0 : ipc__fail(ENAMETOOLONG,
	    "the address does not fit into %zu bytes", size);
}

void
ipc__unix_close(struct ipc__half *h, bool clean)
{
	const struct ipc__socket *s = IPC__STATE(h, const struct ipc__socket);

	if (clean)
		ipc__unix_remove(&s->name);
}
