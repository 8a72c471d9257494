/* SPDX-License-Identifier: ISC */
/*
 * Schemes that leave the mechanism open.  What is private is made by the first
 * choice that can be had.  What has a name may be there already, made by
 * another choice because the first could not be had then: so all are asked
 * before one makes it anew, and makers of one name keep each other out.
 */
#include <string.h>

#include "backends.h"
#include "core.h"
#include "make.h"
#include "name.h"

/* Whether to try the next choice: the mechanism is not to be had here. */
static bool
next_choice(int rc)
{
	return rc == -ENOSYS || rc == -EOPNOTSUPP || rc == -EAFNOSUPPORT ||
	    rc == -EACCES || rc == -EPERM || rc == -ENOSPC || rc == -ENODEV ||
	    rc == -EMFILE || rc == -ENOMEM || rc == -EPROTONOSUPPORT;
}

/* A limit of this machine on the size of one: kernel.shmmax, RLIMIT_FSIZE and
 * the like, which are each of one mechanism.  Of what is there already, these
 * mean something else. */
static bool
too_large(int rc)
{
	return rc == -EINVAL || rc == -EFBIG;
}

static int
as_choice(struct ipc__address *as, const struct ipc__address *a,
    const char *name, enum ipc_way way)
{
	return ipc__address_as(as, a, ipc__backend(name, strlen(name)), way);
}

int
ipc__choose(const struct ipc__address *a, enum ipc_way way,
    int (*try)(struct ipc__address *, void *), void *arg)
{
	const char *const *name;
	struct ipc__address as;
	int rc = -EPROTONOSUPPORT;

	for (name = a->be->choices; *name != NULL; name++) {
		/* It may have no use for an option that is given. */
		rc = as_choice(&as, a, *name, way);
		if (rc < 0)
			continue;
		rc = try(&as, arg);
		ipc__address_free(&as);
		if (!next_choice(rc) && !too_large(rc))
			return rc;
	}
	return rc;
}

int
ipc__choose_existing(const struct ipc__address *a,
    int (*try)(struct ipc__address *, void *), void *arg)
{
	struct ipc__error denied;
	const char *const *name;
	struct ipc__address as;
	int rc, worst = 0;

	for (name = a->be->choices; *name != NULL; name++) {
		if (as_choice(&as, a, *name, IPC_WAY_OPEN) < 0)
			continue;
		rc = try(&as, arg);
		ipc__address_free(&as);
		if (rc != -ENOENT && !next_choice(rc))
			return rc;
		/* It is there, and not for us: worth more than that another
		 * one is not. */
		if (worst == 0 && (rc == -EACCES || rc == -EPERM)) {
			worst = rc;
			ipc__error_keep(&denied);
		}
	}
	if (worst == 0)
		return ipc__fail(ENOENT, "there is nothing of this name");
	ipc__error_restore(&denied);
	return worst;
}

static void
lock_name(const struct ipc__address *a, char *name, size_t size)
{
	strlcpy(name, a->be->mechanism.scheme, size);
	strlcat(name, ":", size);
	strlcat(name, a->name, size);
}

int
ipc__choose_lock(const struct ipc__address *a)
{
	char name[IPC__PATH_MAX];

	lock_name(a, name, sizeof name);
	return ipc__name_lock(name);
}

void
ipc__choose_unlock(int lock, const struct ipc__address *a)
{
	char name[IPC__PATH_MAX];

	lock_name(a, name, sizeof name);
	ipc__name_unlock(lock, name);
}

static int
try_exists(struct ipc__address *a, void *arg)
{
	(void)arg;
	return ipc__be_exists(a) ? 0 : -ENOENT;
}

int
ipc__not_met(const struct ipc__address *a, int rc)
{
	struct ipc__error before;
	bool is;

	if (rc != -ENOENT)
		return rc;
	ipc__error_keep(&before);
	is = a->be->choices != NULL ?
	    ipc__choose_existing(a, try_exists, NULL) == 0 :
	    ipc__be_exists(a);
	if (is)
		return ipc__fail(EPROTOTYPE, "nobody listens there, but there "
		    "is a named object: ipc_open opens it");
	ipc__error_restore(&before);
	return rc;
}

static int
try_unlink(struct ipc__address *a, void *arg)
{
	(void)arg;
	return ipc__be_unlink(a);
}

int
ipc__choose_unlink(const struct ipc__address *a)
{
	int lock = ipc__choose_lock(a), rc;

	if (lock < 0)
		return lock;
	rc = ipc__choose_existing(a, try_unlink, NULL);
	ipc__choose_unlock(lock, a);
	return rc;
}
