/* SPDX-License-Identifier: ISC */
/*
 * What the tests of reader-writer locks share: every kind of them, and what
 * other threads and processes do with one.
 */
#ifndef IPC_TESTS_RWLOCKS_H
#define IPC_TESTS_RWLOCKS_H

#include <pthread.h>

#include <ipc/ipc.h>

#include "names.h"

#define SOON	5000

/* The last is one in a region. */
static const char *const rwlock_kinds[] = {
	"rwlock:l", "sysvrwlock:l", "filelock:%s/lock", ""
};
#define KINDS	4
#define NAMED	3

static char address[160];
static struct ipc_region *region;

static inline void
fine(int rc)
{
	if (rc < 0)
		ck_abort_msg("%s: %d: %s", address, rc, ipc_errmsg());
}

static inline void
rwlocks_setup(void)
{
	names_setup();
	fine(ipc_region_open(&region, "memfd:?size=64K", IPC_CREATE));
}

static inline void
rwlocks_teardown(void)
{
	ipc_region_close(region);
	names_teardown();
}

static inline int
open_kind(struct ipc_rwlock **l, int flags)
{
	if (address[0] == '\0')
		return ipc_rwlock_init_in(l, region, 64, flags);
	return ipc_rwlock_open(l, address, flags);
}

static inline struct ipc_rwlock *
make(int i)
{
	struct ipc_rwlock *l = NULL;

	snprintf(address, sizeof address, rwlock_kinds[i], top);
	fine(open_kind(&l, IPC_CREATE | IPC_EXCLUSIVE));
	return l;
}

static inline void
done(struct ipc_rwlock *l)
{
	if (address[0] != '\0')
		fine(ipc_rwlock_unlink(address));
	fine(ipc_rwlock_close(l));
}

/* What another thread of ours gets, which unlocks again what it gets. */
struct attempt {
	struct ipc_rwlock *l;
	int	(*call)(struct ipc_rwlock *, int timeout);
	int	timeout, rc;
};

static inline void *
attempt(void *arg)
{
	struct attempt *a = arg;

	a->rc = a->call(a->l, a->timeout);
	if (a->rc == 0 || a->rc == -EOWNERDEAD)
		ipc_rwlock_unlock(a->l);
	return NULL;
}

static inline int
in_thread(struct ipc_rwlock *l, int (*call)(struct ipc_rwlock *, int),
    int timeout)
{
	struct attempt a = { l, call, timeout, 0 };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, attempt, &a), 0);
	pthread_join(thread, NULL);
	return a.rc;
}

/* Other processes that have it until they are killed. */
static inline void
hold(int (*call)(struct ipc_rwlock *, int), int ready)
{
	struct ipc_rwlock *l = NULL;
	int rc;

	must(open_kind(&l, 0) == 0);
	rc = call(l, SOON);
	must(rc == 0 || rc == -EOWNERDEAD);
	close(ready);
	for (;;)
		pause();
}

static inline void
read_and_stay(void *arg, int ready)
{
	(void)arg;
	hold(ipc_rwlock_rdlock, ready);
}

static inline void
write_and_stay(void *arg, int ready)
{
	(void)arg;
	hold(ipc_rwlock_wrlock, ready);
}

#endif
