/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets that another process made, and names that are removed.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"
#include "make.h"

#define TRIES	16	/* somebody makes and removes it all the time */

static int
adopt_control(struct ipc_listener *l, int fd)
{
	int type = 0, listening = 0, domain = 0;
	socklen_t len = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == -1)
		return ipc__fail_sys("getsockopt");
	if (domain != AF_UNIX || type != SOCK_SEQPACKET || !listening)
		return ipc__fail(EINVAL, "descriptor %d is no listening "
		    "SOCK_SEQPACKET socket, which %s: meets at", fd,
		    l->address.be->mechanism.scheme);
	l->fd = fd;
	return 0;
}

static int
adopt_fd(struct ipc_listener *l, int fd)
{
	int rc;

	if (!ipc__be_native(l->address.be))
		return adopt_control(l, fd);
	if ((l->half = ipc__half_new(l->address.be, IPC_DUPLEX)) == NULL)
		return -ENOMEM;
	if ((rc = ipc__be_adopt(l->half, fd, true)) < 0) {
		free(l->half);
		l->half = NULL;
	}
	return rc;
}

/* LISTEN_FDS: the first that fits and that nobody here has taken. */
static int
adopt_passed(struct ipc_listener *l)
{
	static _Atomic uint64_t taken;
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int i, count;

	if (pid == NULL || n == NULL || atoi(pid) != getpid())
		return ipc__fail(ENOENT, "no listening socket was passed "
		    "(LISTEN_PID, LISTEN_FDS)");
	count = atoi(n) < 64 ? atoi(n) : 64;
	for (i = 0; i < count; i++) {
		if (atomic_load(&taken) & UINT64_C(1) << i)
			continue;
		if (adopt_fd(l, 3 + i) == 0) {
			atomic_fetch_or(&taken, UINT64_C(1) << i);
			return 0;
		}
	}
	return ipc__fail(ENOENT, "none of the %d listening sockets that were "
	    "passed fits", count);
}

int
ipc_adopt_listener(struct ipc_listener **out, const char *scheme, int fd,
    int flags)
{
	struct ipc_listener *l;
	char *text;
	int rc;

	if (out == NULL || scheme == NULL || fd < -1 ||
	    flags & ~(IPC_DUPLEX | IPC_HALF_DUPLEX))
		return ipc__fail(EINVAL, "ipc_adopt_listener: a scheme and a "
		    "descriptor");
	if ((text = ipc__scheme_address(scheme)) == NULL)
		return ipc__fail(ENOMEM, "no memory for an address");
	/* Named or not: the socket has its name already. */
	if ((rc = ipc__listener_new(&l, text, IPC_WAY_SESSION, flags)) ==
	    -EINVAL)
		rc = ipc__listener_new(&l, text, IPC_WAY_ADOPT, flags);
	free(text);
	if (rc < 0)
		return ipc__fail_at(scheme, rc);
	l->adopted = true;
	if ((rc = ipc__listener_check(l)) == 0)
		rc = fd == -1 ? adopt_passed(l) : adopt_fd(l, fd);
	if (rc == 0 && (rc = ipc__listener_set(l)) < 0) {
		/* It stays the caller's. */
		l->fd = -1;
		if (l->half != NULL)
			l->half->fd = -1;
	}
	if (rc < 0) {
		rc = ipc__fail_at(scheme, rc);
		ipc__listener_free(l, false);
		return rc;
	}
	*out = l;
	return 0;
}

static int
unlink_object(const struct ipc__address *a)
{
	if (a->be->choices != NULL && a->be->mechanism.ways & 1 << IPC_WAY_OPEN)
		return ipc__choose_unlink(a);
	return a->be->unlink == NULL ? -EOPNOTSUPP : ipc__be_unlink(a);
}

int
ipc_unlink(const char *address)
{
	char path[IPC__PATH_MAX];
	struct ipc__address a;
	int rc, object, i;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_unlink: no address");
	if ((rc = ipc__address_parse(&a, address, IPC_WAY_OPEN)) == -EINVAL ||
	    rc == -EOPNOTSUPP)
		rc = ipc__address_parse(&a, address, IPC_WAY_SESSION);
	if (rc < 0)
		return ipc__fail_at(address, rc);
	/* What was not there as an object may be when it is looked for as a
	 * meeting point. */
	for (i = 0; i < TRIES; i++) {
		object = unlink_object(&a);
		rc = object;
		/* No such object: a meeting point. */
		if ((rc == -EOPNOTSUPP || rc == -EPROTOTYPE || rc == -ENOENT) &&
		    (rc = ipc__meeting_path(&a, false, path,
		    sizeof path)) == 0)
			rc = ipc__unix_unlink(path);
		if (object != -ENOENT || rc != -EPROTOTYPE)
			break;
	}
	ipc__address_free(&a);
	return rc < 0 ? ipc__fail_at(address, rc) : 0;
}
