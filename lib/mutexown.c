/* SPDX-License-Identifier: ISC */
/*
 * mutex: the library's own, which is a lock of futexlock.c in a small named
 * segment; or a robust mutex of the C library, if it is recursive or inherits
 * priorities.  The kernel tells the next owner that the last one died.
 */
#include <sys/mman.h>
#include <errno.h>
#include <stdalign.h>

#include "mutex.h"
#include "syncfile.h"

struct shared_mutex {
	struct ipc__sync_head head;
	uint32_t	recursive, pi;
	uint32_t	futex;		/* not one of the C library's */
	alignas(64) union ipc__anylock lock;
};

struct own_mutex {
	struct ipc_mutex m;
	struct shared_mutex *shared;
};

static struct own_mutex *
own_state(struct ipc_mutex *m)
{
	return (struct own_mutex *)(void *)m;
}

static int
own_init(void *data, const struct ipc__address *a)
{
	struct shared_mutex *sh = data;
	bool futex;
	int rc;

	sh->recursive = a->opt.recursive;
	sh->pi = a->opt.pi;
	rc = ipc__mutex_make(&sh->lock, &futex, a->opt.recursive, a->opt.pi);
	sh->futex = futex;
	return rc;
}

static const struct ipc__sync_form own_form = {
	.what = "mutex",
	.kind = IPC__SYNC_FILE_MUTEX,
	.size = sizeof(struct shared_mutex),
	.init = own_init
};

/* Whoever says what it should be must be right. */
static int
own_agree(const struct shared_mutex *sh, const struct ipc__address *a)
{
	if (ipc__option_given(a, IPC__KEY_RECURSIVE) &&
	    a->opt.recursive != (sh->recursive != 0))
		return ipc__fail(EINVAL, "recursive=%d: it was made with "
		    "recursive=%d", a->opt.recursive, sh->recursive != 0);
	if (ipc__option_given(a, IPC__KEY_PI) && a->opt.pi != (sh->pi != 0))
		return ipc__fail(EINVAL, "pi=%d: it was made with pi=%d",
		    a->opt.pi, sh->pi != 0);
	return 0;
}

static int
own_open(struct ipc_mutex *m, const struct ipc__address *a, int flags)
{
	struct own_mutex *o = own_state(m);
	void *data = NULL;
	int rc;

	rc = ipc__syncfile_open(&own_form, a, flags, &data, NULL);
	if (rc < 0)
		return rc;
	o->shared = data;
	rc = own_agree(o->shared, a);
	if (rc == 0)
		rc = ipc__mutex_use(m, &o->shared->lock,
		    o->shared->futex != 0, o->shared->recursive != 0);
	if (rc < 0)
		munmap(o->shared, sizeof *o->shared);
	return rc;
}

static void
own_close(struct ipc_mutex *m)
{
	munmap(own_state(m)->shared, sizeof(struct shared_mutex));
}

static int
own_unlink(const struct ipc__address *a)
{
	return ipc__syncfile_unlink(&own_form, a);
}

const struct ipc__mutex_ops ipc__mutex_own = {
	.size = sizeof(struct own_mutex),
	.open = own_open,
	.close = own_close,
	.unlink = own_unlink
};
