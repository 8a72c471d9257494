/* SPDX-License-Identifier: ISC */
/*
 * Segments of a pair or a session.  They are removed as soon as they are made
 * and attached: from then on such a segment lives as long as somebody has it,
 * can still be attached by its number, and nothing stays behind.  What a
 * process leaves that is killed in between is found by its key.
 *
 * Only what goes to a program that a child becomes has to live longer: that
 * child attaches it when the parent may have closed its end already.  It is
 * noted as held by both and removed by the child when it takes it, or by the
 * parent, or swept when both are gone.
 *
 * A ticket could tell of anybody's segment, so it also says a secret that is
 * in the memory of private ones: who knows that may attach the segment, and
 * marking one that is attached harms nobody.
 */

#include <sys/ipc.h>
#include <sys/shm.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "frame.h"
#include "name.h"
#include "sysname.h"
#include "sysvshm.h"

#define TRIES	100
#define SECRET	56u
#define TICKET_SIZE	(sizeof(uint64_t) + 4)	/* before what a ring has */

/*
 * What dead processes left: swept by the next one that makes a segment, at
 * most once a second.
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
	ipc__sysvshm_sweep(NULL, NULL);
	ipc__error_restore(&before);
}

/*
 * Keys of segments that are removed as soon as they are attached.  They follow
 * from the pid of the maker, which the kernel keeps beside the segment: so
 * what a killed one left between the two steps is known without a note.
 */

#define FLEETING	16u	/* keys of one process */

static key_t
fleeting_key(pid_t pid, unsigned n)
{
	/* The finaliser of MurmurHash3 over both, and a word of our own. */
	uint64_t h = (uint64_t)(uint32_t)pid << 32 | (0x69706300u + n);

	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	return (key_t)(uint32_t)(h == 0 ? 1 : h);
}

/* Nobody has it, its maker is dead, and its key says that it was one of
 * these. */
static bool
fleeting_orphan(const struct shmid_ds *ds)
{
	unsigned n;

	if (ds->shm_nattch > 0 || ds->shm_perm.cuid != geteuid() ||
	    ds->shm_cpid <= 0)
		return false;
	for (n = 0; n < FLEETING; n++)
		if (ds->shm_perm.__key == fleeting_key(ds->shm_cpid, n))
			return !ipc__alive(ds->shm_cpid, 0);
	return false;
}

int
ipc__sysvshm_sweep(ipc__told *told, void *user)
{
	struct shmid_ds ds;
	struct shm_info info;
	char what[40];
	int i, id, swept = 0, last;

	last = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
	for (i = 0; i <= last; i++) {
		id = shmctl(i, SHM_STAT, &ds);
		if (id < 0 || !fleeting_orphan(&ds))
			continue;
		snprintf(what, sizeof what, "System V segment %d", id);
		swept += ipc__may_go(told, what, user) &&
		    shmctl(id, IPC_RMID, NULL) == 0;
	}
	return swept;
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

int
ipc__sysvshm_make(struct ipc__shm_map *map, key_t key,
    const struct ipc__address *a)
{
	ipc__shm_size(map, &a->opt);
	map->id = shmget(key, map->bytes, IPC_CREAT | IPC_EXCL |
	    (int)(a->opt.mode & 0777));
	if (map->id < 0)
		return errno == EEXIST ? -EEXIST :
		    ipc__segment_failed(map->bytes);
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
	int i, rc = -EEXIST;

	/* Other threads may be making some this very moment. */
	for (i = 0; i < TRIES && rc == -EEXIST; i++) {
		if (i % FLEETING == FLEETING - 1)
			sched_yield();
		rc = ipc__sysvshm_make(map, fleeting_key(getpid(),
		    (unsigned)i % FLEETING), a);
	}
	if (rc == -EEXIST)
		return ipc__fail(EEXIST, "shmget: the keys are taken");
	if (map->id >= 0 && shmctl(map->id, IPC_RMID, NULL) < 0 && rc == 0)
		rc = ipc__fail_sys("shmctl(IPC_RMID)");
	return rc;
}

/* For a child that may come when we are gone. */
static int
sysvshm_make_lasting(struct ipc__shm_map *map, const struct ipc__address *a)
{
	key_t key;
	int rc;

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
	sysvshm_sweep();
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

	if (t->size + TICKET_SIZE > IPC__TICKET_BYTES)
		return ipc__fail(EINVAL, "ticket: full");
	map->passed = true;
	memcpy(t->bytes + t->size, sysvshm_secret(map), sizeof(uint64_t));
	ipc__put32(t->bytes + t->size + sizeof(uint64_t),
	    ipc__sysv_namespace());
	t->size += TICKET_SIZE;
	rc = ipc__shm_give(h, t);
	if (rc < 0)
		t->size -= TICKET_SIZE;
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

	if (t->size - t->next < TICKET_SIZE)
		return ipc__fail(EBADMSG, "ticket: no segment in it");
	memcpy(&secret, t->bytes + t->next, sizeof secret);
	rc = ipc__sysv_reaches(ipc__get32(t->bytes + t->next + sizeof secret));
	if (rc < 0)
		return rc;
	t->next += TICKET_SIZE;
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
	map->noted = ipc__sysname_hold(IPC__SYSV_SHM, map->id, pid) == 0;
	if (!map->noted)	/* a failure that passes leaves nothing */
		map->noted = ipc__sysname_hold(IPC__SYSV_SHM, map->id,
		    pid) == 0;
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
