/* SPDX-License-Identifier: ISC */
/*
 * Semaphores: the public calls.  A POSIX semaphore is so quick that calling it
 * through a table would show, so its quick ways are taken here.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "futexlock.h"
#include "inner.h"
#include "sem.h"

static const struct ipc__sem_ops *const kinds[IPC__SYNC_SCHEMES] = {
	[IPC__SCHEME_SEM]	= &ipc__sem_own,
	[IPC__SCHEME_POSIXSEM]	= &ipc__sem_posix,
	[IPC__SCHEME_SYSVSEM]	= &ipc__sem_sysv
};

static int
sem_make(struct ipc_sem **out, const struct ipc__address *a, int flags)
{
	const struct ipc__sem_ops *ops = kinds[ipc__sync_scheme(a)];
	struct ipc_sem *s;
	int rc;

	s = calloc(1, ops->size);
	if (s == NULL)
		return ipc__fail_sys("calloc");
	s->ops = ops;
	s->text = strdup(a->text);
	rc = s->text == NULL ? ipc__fail_sys("strdup") : ops->open(s, a, flags);
	if (rc < 0) {
		free(s->text);
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

int
ipc_sem_open(struct ipc_sem **s, const char *address, int flags,
    unsigned value)
{
	struct ipc__address a;
	int rc;

	if (s == NULL || address == NULL)
		return ipc__fail(EINVAL, "ipc_sem_open: an argument is NULL");
	ipc__fork_watch();
	rc = ipc__sync_parse(&a, address, IPC__SYNC_SEM);
	if (rc < 0)
		return rc;
	if (!ipc__option_given(&a, IPC__KEY_VALUE))
		a.opt.value = value;
	rc = ipc__sync_flags(flags, 0);
	if (rc == 0)
		rc = sem_make(s, &a, flags);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}

static int
inner_init(struct ipc__inner *in, unsigned value)
{
	return sem_init(&in->u.sem, 1, value) == -1 ?
	    ipc__fail_sys("sem_init") : 0;
}

int
ipc_sem_init_in(struct ipc_sem **out, struct ipc_region *r, size_t offset,
    int flags, unsigned value)
{
	struct ipc__inner *in = NULL;
	struct ipc_sem *s;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_sem_init_in: an argument is "
		    "NULL");
	rc = ipc__sync_flags(flags, 0);
	if (rc < 0)
		return rc;
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return ipc__fail_sys("calloc");
	s->ops = &ipc__sem_inner;
	s->text = strdup("semaphore in a region");
	rc = s->text == NULL ? ipc__fail_sys("strdup") :
	    ipc__inner_open(&in, r, offset, flags, IPC__INNER_SEM, inner_init,
	    value);
	if (rc < 0) {
		free(s->text);
		free(s);
		return rc;
	}
	ipc__sem_use(s, &in->u.sem);
	*out = s;
	return 0;
}

/* The plain answers have no text, and no text is made for them. */
static int
fail(const struct ipc_sem *s, int rc)
{
	if (rc >= 0 || rc == -EAGAIN || rc == -ETIMEDOUT)
		return ipc__plain(rc);
	return ipc__fail_at(s->text, rc);
}

/*
 * The quick ways do what the C library does, in place: they change the word if
 * it is what it was.  What is more than that is left to the library: false.
 */

static inline bool
quick_wait(struct ipc_sem *s)
{
	uint64_t d = atomic_load_explicit(s->word, memory_order_relaxed);

	/* Acquire pairs with the release of who posts. */
	return (uint32_t)d > 0 && atomic_compare_exchange_strong_explicit(
	    s->word, &d, d - 1, memory_order_acquire, memory_order_relaxed);
}

static inline bool
quick_post(struct ipc_sem *s)
{
	uint64_t d = atomic_load_explicit(s->word, memory_order_relaxed);

	/* Nobody waits, and there is room for one more.  Release pairs with the
	 * acquire of who waits. */
	return d < INT_MAX && atomic_compare_exchange_strong_explicit(s->word,
	    &d, d + 1, memory_order_release, memory_order_relaxed);
}

/* Before one sleeps: as long as nobody does, who posts makes no system call. */
static bool
spin_wait(struct ipc_sem *s)
{
	unsigned looks = 0;

	while (ipc__futexlock_spin(&looks))
		if (quick_wait(s))
			return true;
	return false;
}

static __attribute__((noinline)) int
wait_other(struct ipc_sem *s, int timeout)
{
	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_sem_wait: no semaphore");
	if (s->word != NULL && timeout != 0 && spin_wait(s))
		return 0;
	if (s->posix != NULL && sem_trywait(s->posix) == 0)
		return 0;
	return fail(s, s->ops->wait(s, timeout));
}

static __attribute__((noinline)) int
post_other(struct ipc_sem *s)
{
	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_sem_post: no semaphore");
	if (s->posix != NULL && sem_post(s->posix) == 0)
		return 0;
	return fail(s, s->ops->post(s, 1));
}

int
ipc_sem_wait(struct ipc_sem *s, int timeout)
{
	if (ipc__likely(s != NULL && s->word != NULL) &&
	    ipc__likely(quick_wait(s)))
		return 0;
	return wait_other(s, timeout);
}

int
ipc_sem_post(struct ipc_sem *s)
{
	if (ipc__likely(s != NULL && s->word != NULL) &&
	    ipc__likely(quick_post(s)))
		return 0;
	return post_other(s);
}

int
ipc_sem_post_many(struct ipc_sem *s, unsigned count)
{
	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_sem_post_many: no semaphore");
	return count == 0 ? 0 : fail(s, s->ops->post(s, count));
}

int
ipc_sem_value(struct ipc_sem *s, unsigned *value)
{
	if (s == NULL || value == NULL)
		return ipc__fail(EINVAL, "ipc_sem_value: an argument is NULL");
	return fail(s, s->ops->value(s, value));
}

int
ipc_sem_fd(struct ipc_sem *s)
{
	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_sem_fd: no semaphore");
	if (s->ops->fd == NULL)
		return ipc__fail_at(s->text, ipc__fail(EOPNOTSUPP, "this "
		    "semaphore has no descriptor (IPC_SYNC_FD); sem: has"));
	return fail(s, s->ops->fd(s));
}

int
ipc_sem_close(struct ipc_sem *s)
{
	if (s == NULL)
		return 0;
	s->ops->close(s);
	free(s->text);
	free(s);
	return 0;
}

int
ipc_sem_unlink(const char *address)
{
	struct ipc__address a;
	int rc;

	if (address == NULL)
		return ipc__fail(EINVAL, "ipc_sem_unlink: no address");
	rc = ipc__sync_parse(&a, address, IPC__SYNC_SEM);
	if (rc < 0)
		return rc;
	rc = kinds[ipc__sync_scheme(&a)]->unlink(&a);
	ipc__address_free(&a);
	return ipc__fail_at(address, rc);
}
