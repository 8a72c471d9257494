/* SPDX-License-Identifier: ISC */
/*
 * The memory of a ring: sizing, mapping it once and later its payload twice,
 * making it real as it is used, and handing it to another process.
 */

#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "barrier.h"
#include "bellfd.h"
#include "error.h"
#include "shm.h"
#include "wholefile.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

struct ipc__shm_map *
ipc__shm_map_new(void)
{
	struct ipc__shm_map *map;

	map = calloc(1, sizeof *map);
	if (!map) {
		ipc__fail_sys("calloc");
		return NULL;
	}
	atomic_init(&map->refs, 1);
	map->mem = map->id = map->bell[0] = map->bell[1] = map->notes = -1;
	return map;
}

static void
shm_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
ipc__shm_unref(struct ipc__shm_map *map)
{
	int saved = errno;

	/* Acquire and release: the last one frees what the other has left. */
	if (atomic_fetch_sub_explicit(&map->refs, 1,
	    memory_order_acq_rel) > 1)
		return;
	if (map->host)
		ipc__shm_unref(map->host);
	else {
		if (map->base)
			munmap(map->base, map->span);
		shm_close_fd(map->mem);
	}
	shm_close_fd(map->bell[0]);
	shm_close_fd(map->bell[1]);
	shm_close_fd(map->notes);
	free(map);
	errno = saved;
}

/*
 * What a ring asks of its owner, which is the map
 */

static int
shm_allocate(const struct ipc__shm_map *map, size_t offset, size_t size)
{
	int rc;

	do
		rc = posix_fallocate(map->mem, (off_t)(map->at + offset),
		    (off_t)size);
	while (rc == EINTR);
	if (rc == 0)
		return 0;
	return ipc__fail(rc, "posix_fallocate: %s: no memory for %zu bytes at "
	    "%zu of the ring", ipc_strerror(rc), size, offset);
}

/* The ring is about to use these bytes.  A segment has its memory from the
 * start; a file gets it now, so that a full file system is an error and not a
 * signal later. */
int
ipc__shm_populate(void *owner, size_t offset, size_t size)
{
	struct ipc__shm_map *map = owner;
	size_t from = offset & ~(size_t)(IPC__RING_FIRST - 1);
	int rc;

	if (map->mem >= 0) {
		rc = shm_allocate(map, offset, size);
		if (rc < 0)
			return rc;
	}
	/* Only saves page faults: whether it works does not matter. */
	if (size > IPC__RING_FIRST)
		(void)madvise(map->base + from, size + (offset - from),
		    MADV_POPULATE_WRITE);
	return 0;
}

void
ipc__shm_touch(void *owner, size_t offset, size_t size)
{
	struct ipc__shm_map *map = owner;
	size_t from = offset & ~(size_t)(IPC__RING_FIRST - 1);

	(void)madvise(map->base + from, size + (offset - from),
	    MADV_POPULATE_READ);
}

int
ipc__shm_mirror(void *owner)
{
	struct ipc__shm_map *map = owner;
	unsigned char *from = map->base + ipc__ring_start(map->payload);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	/* Acquire pairs with the release below, of the other end here. */
	if (atomic_load_explicit(&map->mirrored, memory_order_acquire))
		return 0;
	if (map->payload == 0 || map->payload % page != 0)
		return -EINVAL;
	/* An old size of nothing makes a second mapping of the same pages,
	 * whatever they come from. */
	p = mremap(from, 0, (size_t)map->payload, MREMAP_MAYMOVE |
	    MREMAP_FIXED, from + map->payload);
	if (p == MAP_FAILED)
		return -errno;
	atomic_store_explicit(&map->mirrored, true, memory_order_release);
	return 0;
}

bool
ipc__shm_registered(void *owner)
{
	(void)owner;
	return ipc__barrier_register();
}

int
ipc__shm_barrier(void *owner)
{
	(void)owner;
	return ipc__barrier();
}

/* Of files and segments alike; both sides' mappings lose them. */
int
ipc__shm_release_memory(void *owner, size_t offset, size_t size)
{
	struct ipc__shm_map *map = owner;

	return madvise(map->base + offset, size, MADV_REMOVE) < 0 ? -errno : 0;
}

/*
 * Mapping
 */

static void
shm_size(struct ipc__shm_map *map, uint64_t payload, uint64_t slot)
{
	map->slot = slot;
	map->payload = slot ? 0 : ipc__ring_payload(payload);
	map->bytes = slot ? ipc__latest_bytes(slot) :
	    ipc__ring_bytes(map->payload);
	map->span = map->bytes + (size_t)map->payload;
}

void
ipc__shm_size(struct ipc__shm_map *map, const struct ipc__options *opt)
{
	shm_size(map, opt->capacity, opt->latest ? ipc__latest_size(opt) : 0);
}

static void
shm_format(struct ipc__shm_map *map)
{
	if (map->slot)
		ipc__latest_format(map->base, map->slot);
	else
		ipc__ring_format(map->base, map->payload);
}

/* The whole span at once; what lies behind the end of the file is not touched
 * before the mirror is there. */
static int
shm_map_fd(struct ipc__shm_map *map)
{
	void *p = mmap(NULL, map->span, PROT_READ | PROT_WRITE, MAP_SHARED,
	    map->mem, 0);

	if (p == MAP_FAILED)
		return ipc__fail_sys("mmap");
	/* Of a file on a disk the first touch would read all of it ahead: only
	 * what is used is to take memory. */
	if (!map->nowhere)
		(void)madvise(p, map->span, MADV_RANDOM);
	map->base = p;
	return 0;
}

/* The second one begins behind all addresses that the first one takes, so that
 * one mapping serves both; between them the file has no memory. */
static size_t
shm_behind(const struct ipc__shm_map *map)
{
	size_t span = map->bytes + (size_t)map->payload;

	return (span + IPC__RING_GRAIN - 1) / IPC__RING_GRAIN *
	    IPC__RING_GRAIN;
}

/* Bytes of the file that it lies in. */
static size_t
shm_file_bytes(const struct ipc__shm_map *map)
{
	return map->bytes + (map->both ? shm_behind(map) : 0);
}

static int
shm_size_both(struct ipc__shm_map *map)
{
	struct ipc__error before;
	int rc = -EFBIG;

	ipc__error_keep(&before);
	if (map->span < SIZE_MAX / 2 - IPC__RING_GRAIN) {
		map->span += shm_behind(map);
		rc = ipc__whole_limit(shm_file_bytes(map));
	}
	if (rc == -EFBIG)
		ipc__error_restore(&before);
	return rc;
}

struct ipc__shm_map *
ipc__shm_map_second(struct ipc__shm_map *map)
{
	struct ipc__shm_map *second = ipc__shm_map_new();

	if (!second)
		return NULL;
	/* Relaxed: nobody but us has it yet. */
	atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
	second->host = map;
	second->mem = map->mem;
	second->sync = map->sync;
	second->nowhere = map->nowhere;
	second->bytes = map->bytes;
	second->payload = map->payload;
	second->slot = map->slot;
	second->at = shm_behind(map);
	second->base = map->base + second->at;
	return second;
}

int
ipc__shm_make_second(struct ipc__shm_map *second)
{
	int rc = shm_allocate(second, 0, IPC__RING_FIRST);

	if (rc == 0)
		shm_format(second);
	return rc;
}

int
ipc__shm_make_file(struct ipc__shm_map *map, const struct ipc__options *opt)
{
	int rc;

	ipc__shm_size(map, opt);
	rc = map->both ? shm_size_both(map) : ipc__whole_limit(map->bytes);
	if (rc < 0)
		return rc;
	if (ftruncate(map->mem, (off_t)shm_file_bytes(map)) < 0)
		return ipc__fail_sys("ftruncate");
	rc = shm_allocate(map, 0, IPC__RING_FIRST);
	if (rc < 0)
		return rc;
	rc = shm_map_fd(map);
	if (rc < 0)
		return rc;
	shm_format(map);
	return 0;
}

int
ipc__shm_measure(struct ipc__shm_map *map, const void *memory, size_t bytes)
{
	uint64_t n;
	int rc;

	if (bytes >= sizeof(struct ipc__latest_head) &&
	    ipc__latest_is(memory)) {
		rc = ipc__latest_check(memory, bytes, &n);
		if (rc == 0)
			shm_size(map, 0, n);
		return rc;
	}
	rc = ipc__ring_check(memory, bytes, &n);
	if (rc == 0)
		shm_size(map, n, 0);
	return rc;
}

/* What was mapped is what was meant. */
static int
shm_check(struct ipc__shm_map *map)
{
	uint64_t n;
	int rc;

	rc = map->slot ? ipc__latest_check(map->base, map->bytes, &n) :
	    ipc__ring_check(map->base, map->bytes, &n);
	if (rc == 0 && n != (map->slot ? map->slot : map->payload))
		rc = ipc__fail(EBADMSG, "the memory changes its size");
	return rc;
}

static int
shm_bounds(const struct ipc__shm_map *map, uint64_t have)
{
	if (have < shm_file_bytes(map))
		return ipc__fail(EBADMSG, "the memory is cut short: %llu bytes "
		    "of %zu", (unsigned long long)have, shm_file_bytes(map));
	return 0;
}

int
ipc__shm_map_file(struct ipc__shm_map *map)
{
	struct stat st;
	int rc;

	if (fstat(map->mem, &st) < 0)
		return ipc__fail_sys("fstat");
	if (!S_ISREG(st.st_mode))
		return ipc__fail(EBADMSG, "a ring's memory is a file");
	rc = shm_bounds(map, (uint64_t)st.st_size);
	if (rc < 0)
		return rc;
	rc = shm_map_fd(map);
	return rc < 0 ? rc : shm_check(map);
}

/* So the kernel says of an id that is nobody's any more. */
static int
segment_failed(const char *call)
{
	if (errno == EINVAL || errno == EIDRM)
		return ipc__fail(EIDRM, "%s: the segment has been removed",
		    call);
	return ipc__fail_sys(call);
}

/* Into a reservation, so that there is room for the mirror behind it. */
static int
shm_attach(struct ipc__shm_map *map)
{
	void *p = mmap(NULL, map->span, PROT_NONE, MAP_PRIVATE |
	    MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return ipc__fail_sys("mmap");
	map->base = p;
	if (shmat(map->id, p, SHM_REMAP) == (void *)-1)
		return segment_failed("shmat");
	return 0;
}

int
ipc__shm_map_segment(struct ipc__shm_map *map)
{
	struct shmid_ds ds;
	int rc;

	if (shmctl(map->id, IPC_STAT, &ds) < 0)
		return segment_failed("shmctl");
	rc = shm_bounds(map, ds.shm_segsz);
	if (rc < 0)
		return rc;
	/* A larger one would be mapped over what lies behind our span. */
	if (ds.shm_segsz != map->bytes)
		return ipc__fail(EBADMSG, "segment of %zu bytes for a ring of "
		    "%zu", (size_t)ds.shm_segsz, map->bytes);
	rc = shm_attach(map);
	return rc < 0 ? rc : shm_check(map);
}

int
ipc__shm_make_segment(struct ipc__shm_map *map)
{
	int rc = shm_attach(map);

	if (rc == 0)
		shm_format(map);
	return rc;
}

/*
 * Tickets: the memory and both bells
 */

static void
shm_put(struct ipc__ticket *t, uint64_t v, unsigned bytes)
{
	for (; bytes > 0; bytes--, v >>= 8)
		t->bytes[t->size++] = v & 0xff;
}

static uint64_t
shm_get(struct ipc__ticket *t, unsigned bytes)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < bytes; i++)
		v |= (uint64_t)t->bytes[t->next++] << 8 * i;
	return v;
}

#define TICKET_SIZE	12u
#define TICKET_SLOT	(UINT64_C(1) << 63)
#define TICKET_BOTH	(UINT64_C(1) << 62)	/* with another one behind it */
#define TICKET_BEHIND	(UINT64_C(1) << 61)	/* which this is */
#define TICKET_MARKS	(TICKET_SLOT | TICKET_BOTH | TICKET_BEHIND)

/* The sizes that a ticket tells of, if they can be. */
static int
shm_ticket_size(struct ipc__shm_map *map, uint64_t marked)
{
	uint64_t n = marked & ~TICKET_MARKS;
	bool slot = marked & TICKET_SLOT;

	if (slot ? n < IPC__RING_LINE || n > IPC__LATEST_SIZE_MAX ||
	    n % IPC__RING_LINE != 0 :
	    n < IPC__RING_CAPACITY_MIN || n != ipc__ring_payload(n))
		return ipc__fail(EBADMSG, "memory of %llu bytes",
		    (unsigned long long)n);
	shm_size(map, n, slot ? n : 0);
	map->both = marked & TICKET_BOTH;
	if (map->both && map->span >= SIZE_MAX / 2 - IPC__RING_GRAIN)
		return ipc__fail(EFBIG, "twice %zu bytes of memory",
		    map->span);
	if (map->both)
		map->span += shm_behind(map);
	return 0;
}

static uint64_t
shm_ticket_word(const struct ipc__shm_map *map)
{
	return (map->slot ? map->slot | TICKET_SLOT : map->payload) |
	    (map->both ? TICKET_BOTH : 0) | (map->host ? TICKET_BEHIND : 0);
}

int
ipc__shm_give(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__shm_map *map =
	    IPC__STATE(h, struct ipc__shm)->map;

	if (t->size + TICKET_SIZE > IPC__TICKET_BYTES ||
	    t->fd_count + 3 > IPC__TICKET_FDS)
		return ipc__fail(EINVAL, "ticket: full");
	shm_put(t, shm_ticket_word(map), 8);
	shm_put(t, (uint32_t)map->id, 4);
	if (map->mem >= 0 && !map->host)
		t->fds[t->fd_count++] = map->mem;
	t->fds[t->fd_count++] = map->bell[0];
	t->fds[t->fd_count++] = map->bell[1];
	return 0;
}

static int
shm_take_fd(struct ipc__ticket *t)
{
	int fd;

	if (t->fd_next >= t->fd_count)
		return -1;
	fd = t->fds[t->fd_next];
	t->fds[t->fd_next++] = -1;
	return fd;
}

/* What a ticket tells of, mapped and checked; or the second one in what the
 * other ticket has made us map. */
static int
shm_take_map(struct ipc__shm_map **taken, struct ipc__ticket *t,
    int (*check)(int fd))
{
	struct ipc__shm_map *map, *host = NULL;
	uint64_t word = shm_get(t, 8);
	int id = (int)(uint32_t)shm_get(t, 4), rc;

	if (word & TICKET_BEHIND) {
		if (t->beside)
			host = IPC__STATE(t->beside, struct ipc__shm)->map;
		if (!host || !host->both || word != (TICKET_BEHIND |
		    (shm_ticket_word(host) & ~TICKET_BOTH)))
			return ipc__fail(EBADMSG, "ticket: behind no ring");
		*taken = ipc__shm_map_second(host);
		return *taken ? shm_check(*taken) : -ENOMEM;
	}
	if (!check && word & TICKET_BOTH)
		return ipc__fail(EBADMSG, "ticket: two rings in a segment");
	map = *taken = ipc__shm_map_new();
	if (!map)
		return -ENOMEM;
	if (check)
		map->mem = shm_take_fd(t);
	else
		map->id = id;
	if (check && map->mem < 0)
		return ipc__fail(EBADMSG, "ticket: no ring in it");
	rc = check ? check(map->mem) : 0;
	if (rc == 0)
		rc = shm_ticket_size(map, word);
	if (rc == 0)
		rc = check ? ipc__shm_map_file(map) :
		    ipc__shm_map_segment(map);
	return rc;
}

static int
shm_take_bells(struct ipc__shm_map *map, struct ipc__ticket *t)
{
	int i, rc = 0;

	for (i = 0; rc == 0 && i < 2; i++) {
		map->bell[i] = shm_take_fd(t);
		rc = map->bell[i] < 0 ? ipc__fail(EBADMSG, "ticket: no bells "
		    "in it") : ipc__bellfd_check(map->bell[i]);
	}
	return rc;
}

int
ipc__shm_take(struct ipc__half *h, struct ipc__ticket *t,
    int (*check)(int fd))
{
	struct ipc__shm_map *map = NULL;
	int rc;

	if (t->size - t->next < TICKET_SIZE)
		return ipc__fail(EBADMSG, "ticket: no ring in it");
	rc = shm_take_map(&map, t, check);
	if (rc == 0)
		rc = shm_take_bells(map, t);
	if (rc == 0)
		rc = ipc__shm_join(h, map);
	if (rc < 0 && map)
		ipc__shm_unref(map);
	return rc;
}
