/* SPDX-License-Identifier: ISC */
/*
 * Reader-writer locks: the public calls.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "rwlock.h"
#include "rwlockown.h"

static const struct ipc__rwlock_ops *const kinds[IPC__SYNC_SCHEMES] = {
	[IPC__SCHEME_RWLOCK]	 = &ipc__rwlock_own,
	[IPC__SCHEME_SYSVRWLOCK] = &ipc__rwlock_sysv,
	[IPC__SCHEME_FILELOCK]	 = &ipc__rwlock_file
};

static struct ipc_rwlock *
rwlock_new(const struct ipc__rwlock_ops *ops, const char *text)
{
	struct ipc_rwlock *l = calloc(1, ops->size);

	if (l != NULL) {
		l->ops = ops;
		l->text = strdup(text);
	}
	if (l == NULL || l->text == NULL) {
		(void)ipc__fail_sys("malloc");
		free(l);
		return NULL;
	}
	return l;
}

static int
rwlock_give(struct ipc_rwlock **out, struct ipc_rwlock *l, int rc)
{
	if (rc < 0) {
		free(l->text);
		free(l);
		return rc;
	}
	ipc__rw_enlist(l);
	*out = l;
	return 0;
}

static int
rwlock_make(struct ipc_rwlock **out, const struct ipc__address *a, int flags)
{
	struct ipc_rwlock *l;

	if (a->opt.recursive)
		return ipc__fail(EOPNOTSUPP, "recursive=1: a reader that locks "
		    "again would wait for the writer that waits for it");
	l = rwlock_new(kinds[ipc__sync_scheme(a)], a->text);
	return l == NULL ? -ENOMEM :
	    rwlock_give(out, l, l->ops->open(l, a, flags));
}

int
ipc_rwlock_open(struct ipc_rwlock **l, const char *address, int flags)
{
	struct ipc__address a;
	int rc;

	if (l == NULL || address == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_open: an argument is "
		    "NULL");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_RWLOCK);
	if (rc < 0)
		return rc;
	rc = ipc__sync_flags(flags, 0);
	if (rc == 0)
		rc = rwlock_make(l, &a, flags);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}

int
ipc_rwlock_init_in(struct ipc_rwlock **out, struct ipc_region *r,
    size_t offset, int flags)
{
	struct ipc_rwlock *l;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_init_in: an argument is "
		    "NULL");
	rc = ipc__sync_flags(flags, 0);
	if (rc < 0)
		return rc;
	l = rwlock_new(&ipc__rwlock_own, "reader-writer lock in a region");
	return l == NULL ? -ENOMEM :
	    rwlock_give(out, l, ipc__rwlock_inner(l, r, offset, flags));
}

/* The plain answers have no text, and no text is made for them. */
static int
fail(const struct ipc_rwlock *l, int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case -EAGAIN:
	case -ETIMEDOUT:
		return ipc__plain(rc);
	case -EOWNERDEAD:
		return ipc__fail_at(l->text, ipc__fail(EOWNERDEAD, "a writer "
		    "died with it; it is locked now, and what it protects may "
		    "be half changed"));
	case -EDEADLK:
		return ipc__fail_at(l->text, ipc__fail(EDEADLK, "this thread "
		    "has it already, and neither locks it again nor changes "
		    "how"));
	case -EPERM:
		return ipc__fail_at(l->text, ipc__fail(EPERM, "this thread "
		    "does not have it"));
	default:
		return ipc__fail_at(l->text, rc);
	}
}

int
ipc_rwlock_rdlock(struct ipc_rwlock *l, int timeout)
{
	unsigned place = 0;
	int rc;

	if (l == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_rdlock: no lock");
	if (ipc__rw_held(l) != NULL)
		return fail(l, -EDEADLK);
	rc = l->ops->rdlock(l, timeout, &place);
	if (rc == 0 || rc == -EOWNERDEAD)
		ipc__rw_hold(l, place);
	return fail(l, rc);
}

int
ipc_rwlock_wrlock(struct ipc_rwlock *l, int timeout)
{
	int rc;

	if (l == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_wrlock: no lock");
	if (ipc__rw_held(l) != NULL)
		return fail(l, -EDEADLK);
	rc = l->ops->wrlock(l, timeout);
	if (rc == 0 || rc == -EOWNERDEAD)
		ipc__rw_hold(l, IPC__RW_WRITER);
	return fail(l, rc);
}

/* It is not ours any more before it is somebody else's. */
int
ipc_rwlock_unlock(struct ipc_rwlock *l)
{
	struct ipc__rw_hold *h;
	unsigned place;
	int rc;

	if (l == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_unlock: no lock");
	h = ipc__rw_held(l);
	if (h == NULL)
		return fail(l, -EPERM);
	place = ipc__rw_place(h);
	ipc__rw_drop(h);
	if (place == IPC__RW_WRITER)
		ipc__rw_unclaim(l, place);
	rc = l->ops->unlock(l, place);
	if (rc < 0 && rc != -EIDRM)
		ipc__rw_hold(l, place);
	return fail(l, rc);
}

int
ipc_rwlock_close(struct ipc_rwlock *l)
{
	if (l == NULL)
		return 0;
	if (ipc__rw_busy(l))
		return ipc__fail_at(l->text, ipc__fail(EBUSY, "it can not be "
		    "closed: this process has it locked"));
	ipc__rw_delist(l);
	if (l->ops->close != NULL)
		l->ops->close(l);
	free(l->text);
	free(l);
	return 0;
}

int
ipc_rwlock_unlink(const char *address)
{
	struct ipc__address a;
	int rc;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_rwlock_unlink: no address");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_RWLOCK);
	if (rc < 0)
		return rc;
	rc = kinds[ipc__sync_scheme(&a)]->unlink(&a);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}
