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
	if (map->base)
		munmap(map->base, map->span);
	shm_close_fd(map->mem);
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
shm_allocate(int fd, size_t offset, size_t size)
{
	int rc;

	do
		rc = posix_fallocate(fd, (off_t)offset, (off_t)size);
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
		rc = shm_allocate(map->mem, offset, size);
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

int
ipc__shm_make_file(struct ipc__shm_map *map, const struct ipc__options *opt)
{
	int rc;

	ipc__shm_size(map, opt);
	rc = ipc__whole_limit(map->bytes);
	if (rc < 0)
		return rc;
	if (ftruncate(map->mem, (off_t)map->bytes) < 0)
		return ipc__fail_sys("ftruncate");
	rc = shm_allocate(map->mem, 0, IPC__RING_FIRST);
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
	if (have < map->bytes)
		return ipc__fail(EBADMSG, "the memory is cut short: %llu bytes "
		    "of %zu", (unsigned long long)have, map->bytes);
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

/* The sizes that a ticket tells of, if they can be. */
static int
shm_ticket_size(struct ipc__shm_map *map, uint64_t n)
{
	uint64_t slot = n & TICKET_SLOT ? n & ~TICKET_SLOT : 0;

	if (n & TICKET_SLOT ? slot < IPC__RING_LINE ||
	    slot > IPC__LATEST_SIZE_MAX || slot % IPC__RING_LINE != 0 :
	    n < IPC__RING_CAPACITY_MIN || n != ipc__ring_payload(n))
		return ipc__fail(EBADMSG, "memory of %llu bytes",
		    (unsigned long long)n);
	shm_size(map, n, slot);
	return 0;
}

int
ipc__shm_give(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__shm_map *map =
	    IPC__STATE(h, struct ipc__shm)->map;

	if (t->size + TICKET_SIZE > IPC__TICKET_BYTES ||
	    t->fd_count + 3 > IPC__TICKET_FDS)
		return ipc__fail(EINVAL, "ticket: full");
	shm_put(t, map->slot ? map->slot | TICKET_SLOT : map->payload, 8);
	shm_put(t, (uint32_t)map->id, 4);
	if (map->mem >= 0)
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

/* A bell must be an eventfd that never makes us wait. */
static int
shm_check_bell(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char link[40], is[40];
	ssize_t n;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || !(flags & O_NONBLOCK))
		return ipc__fail(EBADMSG, "a bell that could wait");
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, is, sizeof is - 1);
	/* Where there is no /proc the flag has to do. */
	if (n < 0)
		return 0;
	is[n] = '\0';
	if (strcmp(is, want) != 0)
		return ipc__fail(EBADMSG, "a bell that is no eventfd");
	return 0;
}

int
ipc__shm_take(struct ipc__half *h, struct ipc__ticket *t,
    int (*check)(int fd))
{
	struct ipc__shm_map *map = ipc__shm_map_new();
	uint64_t payload;
	int i, rc;

	if (!map)
		return -ENOMEM;
	if (t->size - t->next < TICKET_SIZE)
		goto bad;
	payload = shm_get(t, 8);
	i = (int)(uint32_t)shm_get(t, 4);
	if (check)
		map->mem = shm_take_fd(t);
	else
		map->id = i;
	map->bell[0] = shm_take_fd(t);
	map->bell[1] = shm_take_fd(t);
	if ((check && map->mem < 0) || map->bell[0] < 0 || map->bell[1] < 0)
		goto bad;
	for (i = 0, rc = 0; rc == 0 && i < 2; i++)
		rc = shm_check_bell(map->bell[i]);
	if (rc == 0 && check)
		rc = check(map->mem);
	if (rc == 0)
		rc = shm_ticket_size(map, payload);
	if (rc == 0)
		rc = check ? ipc__shm_map_file(map) :
		    ipc__shm_map_segment(map);
	if (rc == 0)
		rc = ipc__shm_join(h, map);
	if (rc < 0)
		ipc__shm_unref(map);
	return rc;
bad:
	ipc__shm_unref(map);
	return ipc__fail(EBADMSG, "ticket: no ring in it");
}
