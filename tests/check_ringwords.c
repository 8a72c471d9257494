/* SPDX-License-Identifier: ISC */
/*
 * What the sides of a ring tell each other in its header and lines: who sleeps
 * and is to be rung, what a header says of its memory; and that memory which
 * somebody scribbles over breaks the ring and nothing else.
 */
#include "ringbench.h"
#include "suite.h"

static volatile unsigned sink;

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
	Suite *s = suite_create("ringwords");
	TCase *tc = tcase_create("ringwords");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_sleeper_is_seen);
	tcase_add_test(tc, who_leaves_is_no_sleeper);
	tcase_add_loop_test(tc, a_full_ring_is_due_when_there_is_room, 0, 10);
	tcase_add_test(tc, a_header_is_checked);
	tcase_add_test(tc, the_short_way_does_not_read_behind_the_payload);
	tcase_add_loop_test(tc, scribbling_breaks_only_the_ring, 0, 20);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
