/* SPDX-License-Identifier: ISC */
/*
 * The ring by itself, in plain memory: what goes in comes out, over all its
 * growing, jumping and wrapping; a side that is replaced goes on where the
 * earlier one stopped; and memory that somebody scribbles over breaks the ring
 * and nothing else.
 */

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
	uint64_t	 in, out;	/* messages */
};

#define SPAN(b)	((b)->bytes + (b)->payload + 2 * GUARD)

static uint64_t seed = 42;
static volatile unsigned sink;

static uint64_t
dice(uint64_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % sides;
}

static int
bench_populate(void *owner, size_t offset, size_t size)
{
	struct bench *b = owner;

	ck_assert_uint_le(offset + size, b->bytes);
	return b->poor ? -ENOSPC : 0;
}

static void
bench_touch(void *owner, size_t offset, size_t size)
{
	struct bench *b = owner;

	ck_assert_uint_le(offset + size, b->bytes);
}

static int
bench_mirror(void *owner)
{
	struct bench *b = owner;
	unsigned char *from = b->base + ipc__ring_start(b->payload);

	if (!b->mirrors)
		return -EINVAL;
	return mremap(from, 0, b->payload, MREMAP_MAYMOVE | MREMAP_FIXED,
	    from + b->payload) == MAP_FAILED ? -errno : 0;
}

static bool
bench_registered(void *owner)
{
	(void)owner;
	return false;
}

static int put(struct bench *b, unsigned flags);

/* The sender does not stand still while the receiver shrinks the ring. */
static void
bench_meanwhile(struct bench *b)
{
	if (b->lively && !b->putting && dice(3) == 0)
		for (uint64_t i = dice(20); i > 0; i--)
			if (put(b, dice(3) ? 0 : IPC__HOLD) < 0)
				break;
}

static int
bench_barrier(void *owner)
{
	bench_meanwhile(owner);
	return 0;
}

/* Worse than the kernel, which only wipes; but a word must not look like one of
 * a lap, which zero does not. */
static int
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

static int
bench_join(struct bench *b, int dir)
{
	struct ipc__ring *r = dir == IPC_SEND ? &b->send : &b->recv;

	return ipc__ring_join(r, b->base, b->payload, dir, &bench_ops, b);
}

static void
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

static void
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

/* Message n is this long, its bytes made of n. */
static size_t
size_of(uint64_t n, size_t largest)
{
	uint64_t h = n * UINT64_C(0x9e3779b97f4a7c15);

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

static void
fill(unsigned char *p, size_t size, uint64_t n)
{
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = (unsigned char)(n * 31 + i * 7);
}

static int
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

/* Sends the next message, one way or the other. */
static int
put(struct bench *b, unsigned flags)
{
	size_t size = size_of(b->in, b->send.record);
	unsigned char *copy;
	struct iovec iov[2];
	void *data;
	ssize_t rc;

	if (dice(2)) {
		rc = ipc__ring_reserve(&b->send, &data, size +
		    dice(b->send.record - size + 1) / 64);
		if (rc < 0)
			return (int)rc;
		b->putting = true;
		if (b->lively && dice(8) == 0)
			shrink(b);
		b->putting = false;
		fill(data, size, b->in);
		rc = ipc__ring_commit(&b->send, size, flags);
		ck_assert_int_eq(rc, 0);
	} else {
		copy = malloc(size + 1);
		fill(copy, size, b->in);
		iov[0].iov_base = copy;
		iov[0].iov_len = size / 3;
		iov[1].iov_base = copy + size / 3;
		iov[1].iov_len = size - size / 3;
		rc = ipc__ring_send(&b->send, iov, 2, flags);
		free(copy);
		if (rc < 0)
			return (int)rc;
		ck_assert_int_eq(rc, (ssize_t)size);
	}
	b->in++;
	return 0;
}

/* The next record, which a large one is in parts; they lie in line, and once
 * the first is there one thread sees all of them. */
static ssize_t
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

static bool
get(struct bench *b, unsigned flags)
{
	size_t size = size_of(b->out, b->send.record), i;
	const unsigned char *p = NULL;
	ssize_t rc;

	rc = look(b, &p);
	if (rc == -EAGAIN)
		return false;
	ck_assert_int_eq(rc, (ssize_t)size);
	for (i = 0; i < size; i++)
		if (p[i] != (unsigned char)(b->out * 31 + i * 7))
			ck_abort_msg("message %llu, byte %zu",
			    (unsigned long long)b->out, i);
	ipc__ring_release(&b->recv, flags);
	b->out++;
	return true;
}

static const uint64_t capacities[] = { 4096, 5000, 65536, 1 << 18, 0 };
#define CAPACITIES	(sizeof capacities / sizeof capacities[0])

START_TEST(what_goes_in_comes_out)
{
	struct bench b;
	uint64_t turns;
	unsigned i, flags;
	int rc = 0;

	seed = 0x1234567 + (uint64_t)_i;
	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	for (turns = 0; turns < 800; turns++) {
		for (i = (unsigned)dice(60), rc = 0; i > 0 && rc == 0; i--) {
			flags = dice(3) ? 0 : IPC__HOLD;
			rc = put(&b, flags);
		}
		ck_assert(rc == 0 || rc == -EAGAIN);
		ipc__ring_publish(&b.send);
		for (i = (unsigned)dice(60); i > 0; i--)
			if (!get(&b, dice(3) ? 0 : IPC__HOLD))
				break;
		ipc__ring_free(&b.recv);
	}
	while (get(&b, 0))
		;
	ck_assert_uint_eq(b.in, b.out);
	ck_assert_uint_gt(b.in, 800);
	ck_assert((b.parts > 0) == (b.send.record > 16384));
	bench_close(&b);
}
END_TEST

/* Whatever both do, a receiver that finds nothing can shrink the ring. */
START_TEST(a_ring_that_shrinks_loses_nothing)
{
	struct bench b;
	uint64_t capacity = capacities[(size_t)_i % CAPACITIES];
	uint64_t turns, most = capacity == 0 ? 300 : 1500, shrunk = 0;
	unsigned i;

	seed = 0x7654321 + (uint64_t)_i;
	bench_open(&b, capacity);
	b.lively = true;
	for (turns = 0; turns < most; turns++) {
		/* Long stretches of a ring that stays small. */
		for (i = (unsigned)dice(turns % 100 < 40 ? 3 : 60); i > 0; i--)
			if (put(&b, dice(3) ? 0 : IPC__HOLD) < 0)
				break;
		if (dice(8))
			ipc__ring_publish(&b.send);
		if (dice(20) == 0)
			ipc__ring_ready(&b.send);
		for (i = (unsigned)dice(120); i > 0; i--)
			if (!get(&b, dice(3) ? 0 : IPC__HOLD))
				break;
		ipc__ring_free(&b.recv);
		if (ipc__ring_large(&b.recv) && dice(2))
			shrunk += shrink(&b) == 0;
	}
	ipc__ring_publish(&b.send);
	while (get(&b, 0))
		;
	ck_assert_uint_eq(b.in, b.out);
	ck_assert_uint_gt(b.in, most);
	ck_assert_uint_gt(shrunk, most / 60);
	ck_assert_uint_gt(b.released, 0);
	bench_close(&b);
}
END_TEST

/* It waits for the receiver to be done, and is not kept waiting then. */
START_TEST(a_sender_does_not_grow_meanwhile)
{
	struct bench b;
	void *data;

	bench_open(&b, 0);
	atomic_store(&b.recv.own->gate, htole32(1));
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 9000), -EAGAIN);
	ck_assert(!ipc__ring_ready(&b.send));
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 1000), 0);
	ck_assert_int_eq(ipc__ring_commit(&b.send, 1000, 0), 0);
	ck_assert(!ipc__ring_ready(&b.send));
	atomic_store(&b.recv.own->gate, htole32(2));
	ck_assert(ipc__ring_ready(&b.send));
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 9000), 0);
	/* A reservation keeps the ring, as it may be filled any moment. */
	ck_assert(ipc__ring_large(&b.recv));
	ck_assert_int_eq(ipc__ring_shrink(&b.recv), -EAGAIN);
	bench_close(&b);
}
END_TEST

START_TEST(a_successor_goes_on)
{
	struct bench b;
	uint64_t turns;
	unsigned i;

	seed = 0xabcdef + (uint64_t)_i;
	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	for (turns = 0; turns < 600; turns++) {
		for (i = (unsigned)dice(60); i > 0; i--)
			if (put(&b, 0) < 0)
				break;
		if (dice(4) == 0)
			ck_assert_int_eq(bench_join(&b, IPC_SEND), 0);
		for (i = (unsigned)dice(60); i > 0; i--)
			if (!get(&b, 0))
				break;
		if (dice(4) == 0)
			ck_assert_int_eq(bench_join(&b, IPC_RECV), 0);
	}
	while (get(&b, 0))
		;
	ck_assert_uint_eq(b.in, b.out);
	bench_close(&b);
}
END_TEST

/* Whatever was sent before, a ring that nobody reads takes its capacity. */
START_TEST(a_ring_grows_to_its_capacity)
{
	static const size_t sizes[] = { 100, 1000, 16384, 262144 };
	size_t size = sizes[_i], total = 0, i;
	struct bench b;
	const void *p;
	unsigned flags;
	void *data;

	bench_open(&b, 0);
	for (i = 0; i < 37; i++) {
		ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 100), 0);
		ck_assert_int_eq(ipc__ring_commit(&b.send, 100, 0), 0);
		ck_assert_int_eq(ipc__ring_peek(&b.recv, &p, &flags), 100);
		ipc__ring_release(&b.recv, 0);
	}
	while (ipc__ring_reserve(&b.send, &data, size) == 0) {
		ck_assert_int_eq(ipc__ring_commit(&b.send, size, 0), 0);
		total += size;
	}
	ck_assert_uint_le(total, b.payload);
	ck_assert_uint_ge(total, b.payload / 4 * 3);
	while (ipc__ring_peek(&b.recv, &p, &flags) == (ssize_t)size) {
		ipc__ring_release(&b.recv, 0);
		total -= size;
	}
	ck_assert_uint_eq(total, 0);
	bench_close(&b);
}
END_TEST

START_TEST(a_ring_that_can_not_grow_goes_on_small)
{
	struct bench b;
	unsigned rounds;
	void *data;

	bench_open(&b, 0);
	b.poor = true;
	/* Larger than all there is: that never fits, and says so. */
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 4096), -ENOSPC);
	for (rounds = 0; rounds < 5000; rounds++) {
		while (size_of(b.in, b.send.record) > 1024)
			b.in++;
		if (put(&b, 0) == 0 && dice(2))
			continue;
		do
			while (b.out < b.in &&
			    size_of(b.out, b.send.record) > 1024)
				b.out++;
		while (b.out < b.in && get(&b, 0));
	}
	ck_assert_uint_gt(b.in, 2000);
	ck_assert_uint_eq(b.send.grown_v, 0);
	b.poor = false;
	for (rounds = 0; rounds < 3000 && b.send.grown_v == 0; rounds++)
		put(&b, 0);
	ck_assert_uint_gt(b.send.grown_v, 0);
	bench_close(&b);
}
END_TEST

/* So many parts has a record of this size now. */
static uint64_t
parts_of(struct bench *b, size_t size)
{
	unsigned char *message = malloc(size);
	struct iovec iov = { message, size };
	const unsigned char *p = NULL;
	uint64_t before = b->parts;

	fill(message, size, size);
	ck_assert_int_eq(ipc__ring_send(&b->send, &iov, 1, 0), (ssize_t)size);
	ck_assert_int_eq(look(b, &p), (ssize_t)size);
	ck_assert_mem_eq(p, message, size);
	ipc__ring_release(&b->recv, 0);
	free(message);
	return b->parts - before + 1;
}

/* All of it has a place before its first part is shown: where there are too few
 * lines for that it has fewer parts, and without growing it may have one. */
START_TEST(a_large_record_is_shown_in_parts)
{
	uint64_t n, sum = 0;
	struct bench b;
	unsigned i;

	bench_open(&b, 0);
	ck_assert_uint_eq(parts_of(&b, 16384), 1);
	for (i = 0; i < 1000; i++, sum += n) {
		ck_assert_uint_le(parts_of(&b, 16385), 2);
		n = parts_of(&b, 65536);
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_le(n, 4);
	}
	ck_assert_uint_gt(sum, 3000);
	b.poor = true;
	for (i = 0, sum = 0; i < 300; i++, sum += n) {
		n = parts_of(&b, 262144);
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_le(n, 16);
	}
	ck_assert_uint_gt(sum, 300);
	b.send.lasting = true;
	ck_assert_uint_eq(parts_of(&b, 65536), 1);
	bench_close(&b);
}
END_TEST

START_TEST(flags_travel_with_a_record)
{
	static const unsigned all[] = {
		0, IPC__MORE, IPC__CONTROL, IPC__MORE | IPC__PART
	};
	struct bench b;
	const void *p;
	unsigned i, flags;
	void *data;

	bench_open(&b, 0);
	for (i = 0; i < 16; i++) {
		ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, i * 10), 0);
		ck_assert_int_eq(ipc__ring_commit(&b.send, i * 10,
		    all[i % 4] & IPC__PART ? IPC__MORE | IPC__CONTROL :
		    all[i % 4]), 0);
		ck_assert_int_eq(ipc__ring_peek(&b.recv, &p, &flags), i * 10);
		ck_assert_uint_eq(flags, all[i % 4]);
		/* Looking again shows the same. */
		ck_assert_int_eq(ipc__ring_peek(&b.recv, &p, &flags), i * 10);
		ipc__ring_release(&b.recv, 0);
	}
	ck_assert_int_eq(ipc__ring_peek(&b.recv, &p, &flags), -EAGAIN);
	bench_close(&b);
}
END_TEST

START_TEST(a_goodbye_fits_into_a_full_ring)
{
	struct bench b;
	void *data;
	int rc;

	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	do {
		rc = ipc__ring_reserve(&b.send, &data, 56);
		if (rc == 0)
			ck_assert_int_eq(ipc__ring_commit(&b.send, 56, 0), 0);
	} while (rc == 0);
	ck_assert_int_eq(rc, -EAGAIN);
	ipc__ring_stretch(&b.send);
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 40), 0);
	ck_assert_int_eq(ipc__ring_commit(&b.send, 40, IPC__CONTROL), 0);
	bench_close(&b);
}
END_TEST

START_TEST(held_records_are_shown_together)
{
	struct bench b;
	const void *p;
	unsigned flags;

	bench_open(&b, 0);
	ck_assert_int_eq(put(&b, IPC__HOLD), 0);
	ck_assert_int_eq(ipc__ring_peek(&b.recv, &p, &flags), -EAGAIN);
	ck_assert_int_eq(put(&b, IPC__HOLD), 0);
	ipc__ring_publish(&b.send);
	ck_assert(get(&b, 0));
	ck_assert(get(&b, 0));
	ck_assert(!get(&b, 0));
	bench_close(&b);
}
END_TEST

/* A sleeper is seen, and a mark is taken off by its own bell only. */
START_TEST(a_sleeper_is_seen)
{
	struct bench b;
	uint32_t token, late;

	bench_open(&b, 0);
	ck_assert(!ipc__ring_sleeper(&b.send, &token));
	ipc__ring_doze(&b.recv);
	ck_assert(ipc__ring_asleep(&b.recv));
	ck_assert(ipc__ring_sleeper(&b.send, &late));
	ipc__ring_rise(&b.recv);
	ipc__ring_doze(&b.recv);
	ipc__ring_rung(&b.send, late);
	ck_assert(ipc__ring_asleep(&b.recv));
	ck_assert(ipc__ring_sleeper(&b.send, &token));
	ipc__ring_rung(&b.send, token);
	ck_assert(!ipc__ring_asleep(&b.recv));
	bench_close(&b);
}
END_TEST

START_TEST(who_leaves_is_no_sleeper)
{
	struct bench b;
	uint32_t token;

	bench_open(&b, 0);
	ipc__ring_doze(&b.recv);
	ck_assert(ipc__ring_sleeper(&b.send, &token));
	ck_assert(!ipc__ring_left(token));
	ipc__ring_leave(&b.recv);
	/* A bell that was on its way takes nothing off, nor does its own. */
	ipc__ring_rung(&b.send, token);
	for (int i = 0; i < 3; i++) {
		ck_assert(ipc__ring_sleeper(&b.send, &token));
		ck_assert(ipc__ring_left(token));
		ipc__ring_rung(&b.send, token);
	}
	/* A successor is there, and sleeps as it likes. */
	ck_assert_int_eq(ipc__ring_join(&b.recv, b.recv.head,
	    ipc__ring_payload(0), IPC_RECV, b.recv.ops, b.recv.owner), 0);
	ck_assert(!ipc__ring_sleeper(&b.send, &token));
	for (b.recv.nap = UINT32_MAX - 9; b.recv.nap != 9;) {
		ipc__ring_doze(&b.recv);
		ck_assert(ipc__ring_asleep(&b.recv));
		ck_assert(ipc__ring_sleeper(&b.send, &token));
		ck_assert(!ipc__ring_left(token));
		ipc__ring_rung(&b.send, token);
		ck_assert(!ipc__ring_asleep(&b.recv));
	}
	bench_close(&b);
}
END_TEST

/* What a full ring waits for comes true at the latest when it is empty, and
 * the receiver says so exactly when the sender would find it. */
START_TEST(a_full_ring_is_due_when_there_is_room)
{
	struct bench b;
	bool due = false;
	uint32_t token;

	seed = 77 + (uint64_t)_i;
	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	b.mirrors = true;
	while (put(&b, 0) == 0)
		;
	while (ipc__ring_ready(&b.send))
		if (put(&b, 0) < 0)
			continue;
	ipc__ring_doze(&b.send);
	while (!due && get(&b, 0)) {
		ck_assert(ipc__ring_sleeper(&b.recv, &token));
		due = ipc__ring_due(&b.recv);
		ck_assert_int_eq(due, ipc__ring_ready(&b.send));
	}
	ck_assert(due);
	bench_close(&b);
}
END_TEST

START_TEST(a_header_is_checked)
{
	struct bench b;
	uint64_t payload;
	size_t i;

	bench_open(&b, 0);
	ck_assert_int_eq(ipc__ring_check(b.base, b.bytes, &payload), 0);
	ck_assert_uint_eq(payload, b.payload);
	ck_assert_int_eq(ipc__ring_check(b.base, b.bytes - 1, &payload),
	    -EBADMSG);
	ck_assert_int_eq(ipc__ring_check(b.base, 100, &payload), -EBADMSG);
	for (i = 0; i < 40; i++) {
		b.base[i] ^= 0x40;
		ck_assert_int_lt(ipc__ring_check(b.base, b.bytes, &payload),
		    0);
		b.base[i] ^= 0x40;
	}
	bench_close(&b);
}
END_TEST

/* Scribbling over all of it, by one who knows where the words are. */
static void
scribble(struct bench *b)
{
	uint64_t *word, value;
	size_t at;

	at = dice(2) ? dice(b->bytes) : dice(4096);
	if (dice(4) == 0)
		at = sizeof(struct ipc__ring_head) + dice(64) * 64;
	word = (uint64_t *)(void *)(b->base + (at & ~(size_t)7));
	value = dice(UINT64_MAX) << dice(64) >> dice(64);
	*word = dice(3) ? *word ^ UINT64_C(1) << dice(64) : value;
}

START_TEST(scribbling_breaks_only_the_ring)
{
	struct bench b;
	static unsigned char from[20000], to[20000];
	const unsigned char *p;
	const void *data;
	unsigned turns, flags;
	unsigned sum = 0;
	void *room;
	ssize_t rc;

	seed = 0x5eed + (uint64_t)_i * 7919;
	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	for (turns = 0; turns < 6000; turns++) {
		if (dice(4) == 0)
			scribble(&b);
		rc = ipc__ring_reserve(&b.send, &room,
		    size_of(dice(1000), b.send.record));
		if (rc == 0) {
			memset(room, 1, b.send.room);
			ipc__ring_commit(&b.send, b.send.room, 0);
		}
		ck_assert(rc == 0 || rc == -EAGAIN || rc == -EBADMSG);
		if (dice(2))
			ring_put(&b.send, from, dice(sizeof from));
		if (dice(2))
			ring_get(&b.recv, to, dice(sizeof to));
		rc = ipc__ring_peek(&b.recv, &data, &flags);
		ck_assert(rc >= 0 || rc == -EAGAIN || rc == -EBADMSG);
		for (p = data; rc > 0; rc--)
			sum += *p++;
		sink += sum;
		ipc__ring_release(&b.recv, 0);
		ipc__ring_due(&b.recv);
		if (turns % 500 == 0) {
			rc = bench_join(&b, dice(2) ? IPC_SEND : IPC_RECV);
			if (rc < 0) {
				bench_close(&b);
				bench_open(&b,
				    capacities[(size_t)_i % CAPACITIES]);
			}
		}
	}
	bench_close(&b);
}
END_TEST

/* One that says how long a record is and where it lies. */
static uint64_t
cell_of(uint64_t place, uint64_t size)
{
	return htole64(place << 32 | size);
}

/* Behind the payload there is nothing before it is mapped twice, whatever the
 * sender says of how much it uses. */
START_TEST(the_short_way_does_not_read_behind_the_payload)
{
	struct bench b;
	struct ipc__ring_line *line;
	static unsigned char to[RING_QUICK];
	size_t at;
	uint64_t last, word;

	bench_open(&b, IPC__RING_CAPACITY_MIN * 64);
	b.mirrors = false;
	at = (size_t)(b.recv.payload - b.base) + b.payload;
	ck_assert_uint_eq(at, b.bytes);
	last = b.payload / IPC__RING_LINE - 1;
	line = b.recv.line;
	line->u.cell[0] = cell_of(last, IPC__RING_LINE);
	line->u.cell[1] = cell_of(last, RING_QUICK);
	word = 1 | (uint64_t)IPC__RING_FAR << 8 | (uint64_t)IPC__RING_FAR << 16;
	line->word = htole64(word);
	ck_assert_int_eq(ring_get(&b.recv, to, sizeof to), IPC__RING_LINE);
	ck_assert_int_eq(ring_get(&b.recv, to, sizeof to), -2);
	ck_assert_uint_ne(to[RING_QUICK - 1], 0xa5);
	bench_close(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ring");
	TCase *tc = tcase_create("ring");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_goes_in_comes_out, 0, 10);
	tcase_add_loop_test(tc, a_ring_that_shrinks_loses_nothing, 0, 15);
	tcase_add_test(tc, a_sender_does_not_grow_meanwhile);
	tcase_add_loop_test(tc, a_successor_goes_on, 0, 10);
	tcase_add_loop_test(tc, a_ring_grows_to_its_capacity, 0, 4);
	tcase_add_test(tc, a_ring_that_can_not_grow_goes_on_small);
	tcase_add_test(tc, a_large_record_is_shown_in_parts);
	tcase_add_test(tc, flags_travel_with_a_record);
	tcase_add_loop_test(tc, a_goodbye_fits_into_a_full_ring, 0, 5);
	tcase_add_test(tc, held_records_are_shown_together);
	tcase_add_test(tc, a_sleeper_is_seen);
	tcase_add_test(tc, who_leaves_is_no_sleeper);
	tcase_add_loop_test(tc, a_full_ring_is_due_when_there_is_room, 0, 10);
	tcase_add_test(tc, a_header_is_checked);
	tcase_add_test(tc, the_short_way_does_not_read_behind_the_payload);
	tcase_add_loop_test(tc, scribbling_breaks_only_the_ring, 0, 20);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
