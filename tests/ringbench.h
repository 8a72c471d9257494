/* SPDX-License-Identifier: ISC */
/*
 * For tests of the ring by itself, in plain memory: one thread is both sides,
 * and keeps account of what is in it.
 */
#ifndef IPC_TESTS_RINGBENCH_H
#define IPC_TESTS_RINGBENCH_H

#include <sys/mman.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include <ipc/error.h>

#include "ringquick.h"

#define GUARD	4096u

/* A ring, its memory between guards, and what is in it by our own account. */
struct bench {
	unsigned char	*memory, *base;
	size_t		 bytes;
	uint64_t	 payload;
	struct ipc__ring send, recv;
	bool		 poor;		/* there is no more */
	bool		 mirrors;	/* can be mapped twice */
	bool		 lively;	/* one side acts while the other does */
	bool		 shrinking, putting;
	uint64_t	 released;	/* bytes */
	uint64_t	 parts;		/* that were not the last */
	uint64_t	 windows;	/* payload lines used anew */
	uint64_t	 in, out;	/* messages */
};

#define SPAN(b)	((b)->bytes + (b)->payload + 2 * GUARD)

static uint64_t seed = 42;

static inline uint64_t
dice(uint64_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % sides;
}

static inline int
bench_populate(void *owner, size_t offset, size_t size)
{
	struct bench *b = owner;

	ck_assert_uint_le(offset + size, b->bytes);
	return b->poor ? -ENOSPC : 0;
}

static inline void
bench_touch(void *owner, size_t offset, size_t size)
{
	struct bench *b = owner;

	ck_assert_uint_le(offset + size, b->bytes);
}

static inline int
bench_mirror(void *owner)
{
	struct bench *b = owner;
	unsigned char *from = b->base + ipc__ring_start(b->payload);

	if (!b->mirrors)
		return -EINVAL;
	return mremap(from, 0, b->payload, MREMAP_MAYMOVE | MREMAP_FIXED,
	    from + b->payload) == MAP_FAILED ? -errno : 0;
}

static inline bool
bench_registered(void *owner)
{
	(void)owner;
	return false;
}

static inline int put(struct bench *b, unsigned flags);

/* The sender does not stand still while the receiver shrinks the ring. */
static inline void
bench_meanwhile(struct bench *b)
{
	if (b->lively && !b->putting && dice(3) == 0)
		for (uint64_t i = dice(20); i > 0; i--)
			if (put(b, dice(3) ? 0 : IPC__HOLD) < 0)
				break;
}

static inline int
bench_barrier(void *owner)
{
	bench_meanwhile(owner);
	return 0;
}

/* Worse than the kernel, which only wipes; but a word must not look like one of
 * a lap, which zero does not. */
static inline int
bench_release(void *owner, size_t offset, size_t size)
{
	struct bench *b = owner;

	ck_assert_uint_le(offset + size, b->bytes);
	bench_meanwhile(b);
	memset(b->base + offset, (int)(dice(4) << 6 | (33 + dice(31))), size);
	b->released += size;
	bench_meanwhile(b);
	return 0;
}

static const struct ipc__ring_ops bench_ops = {
	.populate = bench_populate,
	.touch = bench_touch,
	.mirror = bench_mirror,
	.registered = bench_registered,
	.barrier = bench_barrier,
	.release = bench_release
};

static inline int
bench_join(struct bench *b, int dir)
{
	struct ipc__ring *r = dir == IPC_SEND ? &b->send : &b->recv;

	return ipc__ring_join(r, b->base, b->payload, dir, &bench_ops, b);
}

static inline void
bench_open(struct bench *b, uint64_t capacity)
{
	memset(b, 0, sizeof *b);
	b->payload = ipc__ring_payload(capacity);
	b->bytes = ipc__ring_bytes(capacity);
	b->mirrors = dice(2);
	b->memory = mmap(NULL, SPAN(b), PROT_READ | PROT_WRITE, MAP_SHARED |
	    MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(b->memory, MAP_FAILED);
	memset(b->memory, 0xa5, GUARD);
	memset(b->memory + SPAN(b) - GUARD, 0xa5, GUARD);
	memset(b->memory + GUARD + b->bytes, 0xa5, b->payload);
	b->base = b->memory + GUARD;
	ipc__ring_format(b->base, capacity);
	ck_assert_int_eq(bench_join(b, IPC_SEND), 0);
	ck_assert_int_eq(bench_join(b, IPC_RECV), 0);
}

static inline void
bench_close(struct bench *b)
{
	size_t i;

	for (i = 0; i < GUARD; i++) {
		ck_assert_uint_eq(b->memory[i], 0xa5);
		ck_assert_uint_eq(b->memory[SPAN(b) - GUARD + i], 0xa5);
		if (!b->mirrors)
			ck_assert_uint_eq(b->base[b->bytes + i], 0xa5);
	}
	munmap(b->memory, SPAN(b));
}

/* Where a test wants that, many in a row need one line of payload each. */
static bool one_liners;
static inline bool
one_line(uint64_t n)
{
	return one_liners && n / 1000 % 4 == 3;
}

/* Message n is this long, its bytes made of n. */
static inline size_t
size_of(uint64_t n, size_t largest)
{
	uint64_t h = n * UINT64_C(0x9e3779b97f4a7c15);

	if (one_line(n))
		return IPC__RING_INLINE + 1 + (h >> 20) % 8;
	switch (h >> 60) {
	case 0:
		return 0;
	case 1: case 2: case 3:
		return (h >> 20) % (largest + 1);
	case 4: case 5:
		return (h >> 20) % (largest / 16 + 1);
	default:
		return (h >> 20) % 80;
	}
}

static inline void
fill(unsigned char *p, size_t size, uint64_t n)
{
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = (unsigned char)(n * 31 + i * 7);
}

static inline int
shrink(struct bench *b)
{
	int rc;

	if (b->shrinking)
		return -EAGAIN;
	/* Here a fence is a barrier, as there is one thread. */
	atomic_store(&b->send.own->reg, htole32(1));
	b->shrinking = true;
	rc = ipc__ring_shrink(&b->recv);
	b->shrinking = false;
	ck_assert(rc == 0 || rc == -EAGAIN);
	return rc;
}

/* In place, in what may be too much room for it. */
static inline int
put_reserved(struct bench *b, size_t size, unsigned flags)
{
	void *data;
	int rc;

	rc = ipc__ring_reserve(&b->send, &data, size +
	    dice(b->send.record - size + 1) / 64);
	if (rc < 0)
		return rc;
	b->putting = true;
	if (b->lively && dice(8) == 0)
		shrink(b);
	b->putting = false;
	fill(data, size, b->in);
	rc = ipc__ring_commit(&b->send, size, flags);
	ck_assert_int_eq(rc, 0);
	return 0;
}

/* As the short ways of the mechanisms do, where they can. */
static inline bool
put_short(struct bench *b, const void *data, size_t size)
{
	struct ipc__ring *r = &b->send;
	uint64_t was;

	/* One thread needs no fence. */
	r->omit = dice(4) != 0;
	if (!ring_put_plain(r, size) || !ring_put_short(r, data, size))
		return ring_put(r, data, size);
	if (ring_put_spent(r, size)) {
		was = r->v;
		ipc__ring_window(r);
		b->windows += r->v != was;
	}
	return true;
}

/* One message that way alone. */
static inline bool
put_quick(struct bench *b)
{
	unsigned char copy[RING_SHORT];
	size_t size = size_of(b->in, b->send.record);

	ck_assert_uint_le(size, sizeof copy);
	fill(copy, size, b->in);
	if (!put_short(b, copy, size))
		return false;
	b->in++;
	return true;
}

static inline int
put_copied(struct bench *b, size_t size, unsigned flags)
{
	unsigned char *copy = malloc(size + 1);
	struct iovec iov[2] = { { copy, size } };
	int count = 1;
	ssize_t rc;

	fill(copy, size, b->in);
	if (dice(2)) {
		iov[0].iov_len = size / 3;
		iov[1].iov_base = copy + size / 3;
		iov[1].iov_len = size - size / 3;
		count = 2;
	} else if (flags == 0 && put_short(b, copy, size)) {
		free(copy);
		return 0;
	}
	rc = ipc__ring_send(&b->send, iov, count, flags);
	free(copy);
	if (rc >= 0)
		ck_assert_int_eq(rc, (ssize_t)size);
	return rc < 0 ? (int)rc : 0;
}

/* Sends the next message, one way or the other. */
static inline int
put(struct bench *b, unsigned flags)
{
	size_t size = size_of(b->in, b->send.record);
	int rc = dice(3) ? put_copied(b, size, flags) :
	    put_reserved(b, size, flags);

	if (rc == 0)
		b->in++;
	return rc;
}

/* The next ones in a batch: how many. */
#define BATCH	40
static inline int
put_batch(struct bench *b)
{
	static unsigned char copies[BATCH][RING_QUICK];
	struct iovec iov[BATCH];
	int count = (int)dice(BATCH), i;

	for (i = 0; i < count; i++) {
		iov[i].iov_base = copies[i];
		iov[i].iov_len = size_of(b->in + (uint64_t)i, b->send.record);
		if (iov[i].iov_len <= RING_QUICK)
			fill(copies[i], iov[i].iov_len, b->in + (uint64_t)i);
	}
	i = ring_put_many(&b->send, iov, count, RING_QUICK);
	b->in += (uint64_t)i;
	return i;
}

/* The next record, which a large one is in parts; they lie in line, and once
 * the first is there one thread sees all of them. */
static inline ssize_t
look(struct bench *b, const unsigned char **p)
{
	const void *data;
	unsigned f = 99;
	size_t size = 0;
	ssize_t rc;

	for (;; size += (size_t)rc) {
		rc = ipc__ring_peek(&b->recv, &data, &f);
		if (rc < 0 && size == 0)
			return rc;
		ck_assert_int_ge(rc, 0);
		if (size == 0)
			*p = data;
		ck_assert_ptr_eq(data, *p + size);
		if (f != (IPC__MORE | IPC__PART))
			break;
		ipc__ring_release(&b->recv, IPC__HOLD);
		b->parts++;
	}
	ck_assert_uint_eq(f, 0);
	return (ssize_t)size + rc;
}

/* Message n is what it was. */
static inline void
intact(const unsigned char *p, size_t size, uint64_t n)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (p[i] != (unsigned char)(n * 31 + i * 7))
			ck_abort_msg("message %llu, byte %zu",
			    (unsigned long long)n, i);
}

/* As the short ways of the mechanisms do: false where they can not. */
static inline bool
get_short(struct bench *b)
{
	static unsigned char to[RING_QUICK + 1];
	struct ipc__ring *r = &b->recv;
	ssize_t n = -1;

	r->omit = dice(4) != 0;
	if (ring_get_plain(r))
		n = ring_get_short(r, to, RING_QUICK);
	if (n < 0)
		n = ring_await(r, to, RING_QUICK, (unsigned)dice(3));
	if (n < 0)
		return false;
	ck_assert_int_eq(n, (ssize_t)size_of(b->out, b->send.record));
	intact(to, (size_t)n, b->out++);
	return true;
}

/* Likewise, several: how many. */
static inline int
get_batch(struct bench *b)
{
	static unsigned char to[BATCH][RING_QUICK];
	struct iovec iov[BATCH];
	int count = (int)dice(BATCH), i, n;

	for (i = 0; i < count; i++) {
		iov[i].iov_base = to[i];
		iov[i].iov_len = RING_QUICK - dice(2) * dice(RING_QUICK);
	}
	n = ring_get_many(&b->recv, iov, count, RING_QUICK);
	for (i = 0; i < n; i++) {
		ck_assert_uint_eq(iov[i].iov_len, size_of(b->out,
		    b->send.record));
		intact(to[i], iov[i].iov_len, b->out++);
	}
	return n;
}

static inline bool
get(struct bench *b, unsigned flags)
{
	size_t size = size_of(b->out, b->send.record);
	const unsigned char *p = NULL;
	ssize_t rc;

	if (flags == 0 && dice(2) && get_short(b))
		return true;
	rc = look(b, &p);
	if (rc == -EAGAIN)
		return false;
	ck_assert_int_eq(rc, (ssize_t)size);
	intact(p, size, b->out);
	/* It stays what it is until it is given back. */
	if (b->lively && dice(8) == 0) {
		b->shrinking = true;
		bench_meanwhile(b);
		b->shrinking = false;
		intact(p, size, b->out);
	}
	ipc__ring_release(&b->recv, flags);
	b->out++;
	return true;
}

static const uint64_t capacities[] = { 4096, 5000, 65536, 1 << 18, 0 };
#define CAPACITIES	(sizeof capacities / sizeof capacities[0])

#endif
