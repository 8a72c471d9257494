/* SPDX-License-Identifier: ISC */
/*
 * Segments of a pair or a session.  They are removed as soon as they are made
 * and attached: from then on such a segment lives as long as somebody has it,
 * can still be attached by its number, and nothing stays behind.  Until that
 * moment it is found by its key, which this process has noted in the runtime
 * directory for as long as it has any of them.
 *
 * Only what goes to a program that a child becomes has to live longer: that
 * child attaches it when the parent may have closed its end already.  It is
 * noted as held by both and removed by the child when it takes it, or by the
 * parent, or swept when both are gone.
 *
 * A ticket could tell of anybody's segment, so it also says a secret that is in
 * the memory of private ones: who knows that may attach the segment, and
 * marking one that is attached harms nobody.
 */

#include <sys/ipc.h>
#include <sys/shm.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"
#include "name.h"
#include "sysname.h"
#include "sysvshm.h"

#define TRIES	100
#define SECRET	56u

/*
 * What dead processes left: swept by the next one that makes a segment, at most
 * once a second.
 */

static int
sysvshm_of_key(int kind, key_t key)
{
	int id = kind == IPC__SYSV_SHM ? shmget(key, 0, 0) : INT_MAX;

	return id < 0 && errno != ENOENT ? INT_MAX : id;
}

static bool
sysvshm_gone(int kind, int id)
{
	struct shmid_ds ds;

	return kind == IPC__SYSV_SHM && shmctl(id, IPC_STAT, &ds) < 0 &&
	    (errno == EINVAL || errno == EIDRM);
}

static bool
sysvshm_swept(int kind, int id)
{
	return kind == IPC__SYSV_SHM &&
	    (shmctl(id, IPC_RMID, NULL) == 0 || sysvshm_gone(kind, id));
}

static void
sysvshm_sweep(void)
{
	static const struct ipc__sysname_sweeper by = {
		.find = sysvshm_of_key, .gone = sysvshm_gone,
		.remove = sysvshm_swept
	};
	/* Only a hint: two threads that sweep at once do no harm. */
	static _Atomic int64_t due;
	struct ipc__error before;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if (ts.tv_sec < atomic_load_explicit(&due, memory_order_relaxed))
		return;
	atomic_store_explicit(&due, ts.tv_sec + 1, memory_order_relaxed);
	ipc__error_keep(&before);
	ipc__sysname_sweep(&by);
	ipc__error_restore(&before);
}

/*
 * The key that this process makes its segments under, one after the other, and
 * its note: there as long as any segment is that was made under it.  One word:
 * 32 bits key, 16 bits of ipc__process (a forked child begins anew), 16 bits how
 * many use it.  Sequentially consistent, as nothing here is hot.
 */

static _Atomic uint64_t own;

#define OWN_USERS	UINT64_C(0xffff)

static uint64_t
own_word(key_t key)
{
	return (uint64_t)(uint32_t)key << 32 |
	    (uint64_t)(atomic_load(&ipc__process) & 0xffff) << 16 | 1;
}

static key_t
own_key(uint64_t word)
{
	return (key_t)(uint32_t)(word >> 32);
}

static bool
own_ours(uint64_t word)
{
	return (word >> 16 & 0xffff) == (atomic_load(&ipc__process) & 0xffff);
}

static key_t
random_key(void)
{
	key_t key;

	do
		key = (key_t)arc4random();
	while (key == IPC_PRIVATE);
	return key;
}

/* One more user of the key: *word is what it leaves by. */
static int
own_join(uint64_t *word)
{
	uint64_t was = atomic_load(&own), new;
	int rc;

	while ((was & OWN_USERS) != 0 && (was & OWN_USERS) != OWN_USERS &&
	    own_ours(was)) {
		*word = was & ~OWN_USERS;
		if (atomic_compare_exchange_weak(&own, &was, was + 1))
			return 0;
	}
	sysvshm_sweep();
	new = own_word(random_key());
	rc = ipc__sysname_intend(IPC__SYSV_SHM, own_key(new));
	if (rc < 0)
		return rc;
	*word = new & ~OWN_USERS;
	/* Where another thread was faster there are two keys for a while: a key
	 * that is not in the word has one user, who made it. */
	if (!atomic_compare_exchange_strong(&own, &was, new))
		*word |= 1;
	return 0;
}

static void
own_leave(uint64_t word)
{
	uint64_t was = atomic_load(&own);

	if (!own_ours(word))
		return;
	while (!(word & 1) && (was & ~OWN_USERS) == word)
		if (atomic_compare_exchange_weak(&own, &was, was - 1)) {
			if ((was & OWN_USERS) > 1)
				return;
			break;
		}
	ipc__sysname_intended(IPC__SYSV_SHM, own_key(word));
}

static int
sysvshm_fail(size_t size)
{
	switch (errno) {
	case EINVAL:
		return ipc__fail(EINVAL, "shmget: a segment of %zu bytes "
		    "exceeds a limit of this machine (kernel.shmmax)", size);
	case ENOSPC:
		return ipc__fail(ENOSPC, "shmget: no segment is left "
		    "(kernel.shmmni, kernel.shmall)");
	default:
		return ipc__fail_sys("shmget");
	}
}

int
ipc__sysvshm_make(struct ipc__shm_map *map, key_t key, const struct ipc__address *a)
{
	ipc__shm_size(map, &a->opt);
	map->id = shmget(key, map->bytes, IPC_CREAT | IPC_EXCL |
	    (int)(a->opt.mode & 0777));
	if (map->id < 0)
		return errno == EEXIST ? -EEXIST : sysvshm_fail(map->bytes);
	return ipc__shm_make_segment(map);
}

int
ipc__sysvshm_make_noted(struct ipc__shm_map *map, key_t *key,
    const struct ipc__address *a)
{
	int i, rc = -EEXIST;

	for (i = 0; i < TRIES && rc == -EEXIST; i++) {
		*key = random_key();
		rc = ipc__sysname_intend(IPC__SYSV_SHM, *key);
		if (rc < 0)
			continue;
		rc = ipc__sysvshm_make(map, *key, a);
		if (rc == -EEXIST)
			ipc__sysname_intended(IPC__SYSV_SHM, *key);
	}
	return rc == -EEXIST ? ipc__fail(EEXIST, "shmget: all keys are "
	    "taken") : rc;
}

/* Removes a private segment; who has it attached keeps it. */
static void
sysvshm_remove(struct ipc__shm_map *map)
{
	map->owned = false;
	if (map->id < 0)
		return;
	shmctl(map->id, IPC_RMID, NULL);
	ipc__sysname_drop(IPC__SYSV_SHM, map->id);
}

/* Has the other side attached it?  It says so; relaxed, as nothing else is read
 * because of it. */
static bool
sysvshm_taken(struct ipc__half *h)
{
	return atomic_load_explicit(
	    &IPC__STATE(h, struct ipc__shm)->ring.other->life,
	    memory_order_relaxed) != 0;
}

/* The secret lies at the end of the first line, of rings and of slots. */
static uint64_t *
sysvshm_secret(struct ipc__shm_map *map)
{
	return (uint64_t *)(void *)(map->base + SECRET);
}

/* Made, attached and removed: it is ours as long as we have it. */
static int
sysvshm_make_fleeting(struct ipc__shm_map *map, const struct ipc__address *a)
{
	int i, rc = own_join(&map->note);

	if (rc < 0)
		return rc;
	map->leave = own_leave;
	/* Another thread may be making one this very moment. */
	for (i = 0; i < TRIES; i++) {
		rc = ipc__sysvshm_make(map, own_key(map->note), a);
		if (rc != -EEXIST)
			break;
		sched_yield();
	}
	if (map->id >= 0 && shmctl(map->id, IPC_RMID, NULL) < 0 && rc == 0)
		rc = ipc__fail_sys("shmctl(IPC_RMID)");
	return rc == -EEXIST ? ipc__fail(EEXIST, "shmget: the key is taken") :
	    rc;
}

/* For a child that may come when we are gone. */
static int
sysvshm_make_lasting(struct ipc__shm_map *map, const struct ipc__address *a)
{
	key_t key;
	int rc;

	sysvshm_sweep();
	rc = ipc__sysvshm_make_noted(map, &key, a);
	if (rc == 0)
		rc = ipc__sysname_hold(IPC__SYSV_SHM, map->id, 0);
	if (rc < 0)
		sysvshm_remove(map);
	ipc__sysname_intended(IPC__SYSV_SHM, key);
	map->owned = rc == 0;
	return rc;
}

int
ipc__sysvshm_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	int id, rc;

	if (!map)
		return -ENOMEM;
	rc = address->passes ? sysvshm_make_lasting(map, address) :
	    sysvshm_make_fleeting(map, address);
	if (rc < 0) {
		ipc__shm_unref(map);
		return rc;
	}
	arc4random_buf(sysvshm_secret(map), sizeof(uint64_t));
	*sysvshm_secret(map) |= 1;
	id = map->id;
	rc = ipc__shm_pair(a, b, map);
	if (rc < 0 && address->passes) {
		/* The map is gone, the segment is not. */
		shmctl(id, IPC_RMID, NULL);
		ipc__sysname_drop(IPC__SYSV_SHM, id);
	}
	return rc;
}

int
ipc__sysvshm_give(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__shm_map *map = IPC__STATE(h, struct ipc__shm)->map;
	int rc;

	if (t->size + sizeof(uint64_t) > IPC__TICKET_BYTES)
		return ipc__fail(EINVAL, "ticket: full");
	map->passed = true;
	memcpy(t->bytes + t->size, sysvshm_secret(map), sizeof(uint64_t));
	t->size += sizeof(uint64_t);
	rc = ipc__shm_give(h, t);
	if (rc < 0)
		t->size -= sizeof(uint64_t);
	return rc;
}

/* It has both its users now; most are removed already. */
static void
sysvshm_settle(struct ipc__shm_map *map)
{
	struct shmid_ds ds;

	if (shmctl(map->id, IPC_STAT, &ds) == 0 && ds.shm_perm.mode & SHM_DEST)
		return;
	if (shmctl(map->id, IPC_RMID, NULL) == 0)
		ipc__sysname_drop(IPC__SYSV_SHM, map->id);
}

int
ipc__sysvshm_take(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__shm *s = IPC__STATE(h, struct ipc__shm);
	uint64_t secret, is;
	int rc;

	if (t->size - t->next < sizeof secret)
		return ipc__fail(EBADMSG, "ticket: no segment in it");
	memcpy(&secret, t->bytes + t->next, sizeof secret);
	t->next += sizeof secret;
	rc = ipc__shm_take(h, t, NULL);
	if (rc == -EIDRM)
		return ipc__fail(ECONNRESET, "the other side has died, and "
		    "its segment with it");
	if (rc < 0)
		return rc;
	is = *(volatile uint64_t *)sysvshm_secret(s->map);
	if (is == 0 || is != secret) {
		ipc__shm_close(h, false);
		return ipc__fail(EBADMSG, "ticket: of another segment");
	}
	atomic_store_explicit(&s->ring.own->life, htole32(1),
	    memory_order_relaxed);
	sysvshm_settle(s->map);
	return 0;
}

/* This process is going to take the other end. */
void
ipc__sysvshm_passed(struct ipc__half *h, pid_t pid)
{
	struct ipc__shm_map *map = IPC__STATE(h, struct ipc__shm)->map;
	struct ipc__error before;

	if (!map->owned)
		return;
	ipc__error_keep(&before);
	/* Twice: a failure that passes leaves nothing behind. */
	map->noted = ipc__sysname_hold(IPC__SYSV_SHM, map->id, pid) == 0 ||
	    ipc__sysname_hold(IPC__SYSV_SHM, map->id, pid) == 0;
	if (sysvshm_taken(h))
		sysvshm_remove(map);
	ipc__error_restore(&before);
}

void
ipc__sysvshm_close(struct ipc__half *h, bool clean)
{
	struct ipc__shm_map *map = IPC__STATE(h, struct ipc__shm)->map;

	if (map && map->owned && clean) {
		if (!map->passed || h->refused || sysvshm_taken(h))
			sysvshm_remove(map);
		else if (map->noted)
			ipc__sysname_leave(IPC__SYSV_SHM, map->id);
	}
	ipc__shm_close(h, clean);
}

/* What was given away is another's to end. */
void
ipc__sysvshm_given(struct ipc__half *h)
{
	ipc__shm_close(h, false);
}

int
ipc__sysvshm_arm(struct ipc__half *h, int dir)
{
	struct ipc__shm_map *map = IPC__STATE(h, struct ipc__shm)->map;

	if (map->owned && map->passed && sysvshm_taken(h))
		sysvshm_remove(map);
	return ipc__shm_arm(h, dir);
}
