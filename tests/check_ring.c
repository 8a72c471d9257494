/* SPDX-License-Identifier: ISC */
/*
 * The ring by itself, in plain memory: what goes in comes out, over all its
 * growing, jumping, wrapping and shrinking; and a side that is replaced goes on
 * where the earlier one stopped.
 */
#include "ringbench.h"
#include "suite.h"

START_TEST(what_goes_in_comes_out)
{
	struct bench b;
	uint64_t turns, most = (uint64_t)rounds(800);
	unsigned i, flags;
	int rc = 0;

	seed = 0x1234567 + (uint64_t)_i;
	one_liners = true;
	bench_open(&b, capacities[(size_t)_i % CAPACITIES]);
	for (turns = 0; turns < most; turns++) {
		/* Each finds the receiver waiting, or nearly. */
		while (one_line(b.in) && put_quick(&b))
			while (dice(4) && get(&b, 0))
				;
		if (dice(4) == 0)
			put_batch(&b);
		for (i = (unsigned)dice(60), rc = 0; i > 0 && rc == 0; i--) {
			flags = dice(3) ? 0 : IPC__HOLD;
			rc = put(&b, flags);
		}
		ck_assert(rc == 0 || rc == -EAGAIN);
		ipc__ring_publish(&b.send);
		if (dice(4) == 0)
			get_batch(&b);
		for (i = (unsigned)dice(60); i > 0; i--)
			if (!get(&b, dice(3) ? 0 : IPC__HOLD))
				break;
		ipc__ring_free(&b.recv);
	}
	while (get(&b, 0))
		;
	ck_assert_uint_eq(b.in, b.out);
	ck_assert_uint_gt(b.in, most);
	ck_assert((b.parts > 0) == (b.send.record > 16384));
	/* Where messages are largest it may not come to that. */
	ck_assert(b.windows > 0 || b.payload == IPC__RING_CAPACITY);
	one_liners = false;
	bench_close(&b);
}
END_TEST

/* Whatever both do, a receiver that finds nothing can shrink the ring. */
START_TEST(a_ring_that_shrinks_loses_nothing)
{
	struct bench b;
	uint64_t capacity = capacities[(size_t)_i % CAPACITIES];
	uint64_t most = (uint64_t)rounds(capacity == 0 ? 300 : 1500);
	uint64_t turns, shrunk = 0;
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
	b.lively = false;
	ipc__ring_publish(&b.send);
	while (get(&b, 0))
		;
	ck_assert_uint_eq(b.in, b.out);
	ck_assert_uint_gt(b.in, most / 2);
	ck_assert_uint_ge(shrunk, most / 60);
	if (shrunk > 0)
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
	for (turns = 0; turns < (uint64_t)rounds(600); turns++) {
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
	unsigned i, most = (unsigned)rounds(5000);
	void *data;

	bench_open(&b, 0);
	b.poor = true;
	/* Larger than all there is: that never fits, and says so. */
	ck_assert_int_eq(ipc__ring_reserve(&b.send, &data, 4096), -ENOSPC);
	for (i = 0; i < most; i++) {
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
	ck_assert_uint_gt(b.in, most / 5 * 2);
	ck_assert_uint_eq(b.send.grown_v, 0);
	b.poor = false;
	for (i = 0; i < 3000 && b.send.grown_v == 0; i++)
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
	/* Who is slow has not made room for that yet. */
	ck_assert_uint_le(parts_of(&b, 262144), 16);
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

/* Many at once, in rounds, each with an answer or without one: so many pauses
 * does the receiver make at the end. */
static unsigned
lazy_after(bool answers)
{
	_Atomic uint64_t count = 0;
	const _Atomic uint64_t *p = &count;
	unsigned round, i, lazy;
	struct bench b;

	bench_open(&b, 0);
	b.recv.answers = &p;
	for (round = 0; round < 50; round++) {
		/* Whole lines. */
		for (i = 0; i < 14 * IPC__RING_CELLS; i++)
			ck_assert_int_eq(put_copied(&b, 8, 0), 0);
		for (i = 0; i < 14 * IPC__RING_CELLS; i++)
			ck_assert_int_eq(ring_get(&b.recv, &(uint64_t){ 0 }, 8),
			    8);
		if (answers)
			count++;
		ck_assert_int_eq(ring_get(&b.recv, NULL, 0), -1);
	}
	lazy = b.recv.lazy;
	bench_close(&b);
	return lazy;
}

/* A pause as long as a stream deserves would be most of its round trip. */
START_TEST(who_answers_does_not_let_messages_gather)
{
	ck_assert_uint_gt(lazy_after(false), 0);
	ck_assert_uint_eq(lazy_after(true), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ring");
	TCase *tc = tcase_create("ring");

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
	tcase_add_test(tc, who_answers_does_not_let_messages_gather);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
