/* SPDX-License-Identifier: ISC */
/*
 * rwlock: the library's own, in a small named segment; and the same in a
 * region.
 */
#include <sys/mman.h>
#include <stdalign.h>

#include "rwlockmem.h"
#include "rwlockown.h"
#include "syncfile.h"

struct shared_rwlock {
	struct ipc__sync_head head;
	alignas(64) struct ipc__rw_shared rw;
};

struct own_rwlock {
	struct ipc_rwlock l;
	struct ipc__rw_shared *rw;
	struct shared_rwlock *segment;	/* NULL: it is in a region */
};

static struct own_rwlock *
own_state(struct ipc_rwlock *l)
{
	return (struct own_rwlock *)(void *)l;
}

static int
own_init(void *data, const struct ipc__address *a)
{
	struct shared_rwlock *sh = data;

	(void)a;
	return ipc__rw_init(&sh->rw);
}

static const struct ipc__sync_form own_form = {
	.what = "rwlock",
	.kind = IPC__SYNC_FILE_RWLOCK,
	.size = sizeof(struct shared_rwlock),
	.init = own_init
};

static int
own_open(struct ipc_rwlock *l, const struct ipc__address *a, int flags)
{
	struct own_rwlock *o = own_state(l);
	void *data = NULL;
	int rc = ipc__syncfile_open(&own_form, a, flags, &data, NULL);

	if (rc < 0)
		return rc;
	o->segment = data;
	o->rw = &o->segment->rw;
	return 0;
}

static int
own_rdlock(struct ipc_rwlock *l, int timeout, unsigned *place)
{
	return ipc__rw_rdlock(own_state(l)->rw, timeout, place);
}

static int
own_wrlock(struct ipc_rwlock *l, int timeout)
{
	return ipc__rw_wrlock(own_state(l)->rw, timeout);
}

static int
own_unlock(struct ipc_rwlock *l, unsigned place)
{
	if (place == IPC__RW_WRITER)
		ipc__rw_wrunlock(own_state(l)->rw);
	else {
		ipc__rw_unclaim(l, place);
		ipc__rw_rdunlock(own_state(l)->rw, place);
	}
	return 0;
}

static void
own_close(struct ipc_rwlock *l)
{
	struct own_rwlock *o = own_state(l);

	if (o->segment != NULL)
		munmap(o->segment, sizeof *o->segment);
}

static int
own_unlink(const struct ipc__address *a)
{
	return ipc__syncfile_unlink(&own_form, a);
}

const struct ipc__rwlock_ops ipc__rwlock_own = {
	.size = sizeof(struct own_rwlock),
	.open = own_open,
	.rdlock = own_rdlock,
	.wrlock = own_wrlock,
	.unlock = own_unlock,
	.close = own_close,
	.unlink = own_unlink,
	.by_thread = true
};

/*
 * In a region
 */

static struct ipc__rw_shared *
inner_rw(struct ipc__inner *in)
{
	return (struct ipc__rw_shared *)(void *)((char *)in + IPC_SYNC_SPACE);
}

static int
inner_init(struct ipc__inner *in, unsigned unused)
{
	(void)unused;
	return ipc__rw_init(inner_rw(in));
}

int
ipc__rwlock_inner(struct ipc_rwlock *l, struct ipc_region *r, size_t offset,
    int flags)
{
	struct ipc__inner *in = NULL;
	int rc = ipc__inner_open(&in, r, offset, flags, IPC__INNER_RWLOCK,
	    inner_init, 0);

	if (rc == 0)
		own_state(l)->rw = inner_rw(in);
	return rc;
}
