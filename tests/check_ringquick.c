/* SPDX-License-Identifier: ISC */
/*
 * The short ways of small messages through a ring, with both ends in one
 * process: what they leave is what everything else goes on with.
 */
#include "support.h"

static const char *const addresses[] = {
	"memfd:?capacity=4K", "memfd:", "mmap:?capacity=4K", "sysvshm:"
};
#define ADDRESSES	(int)(sizeof addresses / sizeof addresses[0])

#define ROUNDS		20000	/* long past the fences of the first ones */
#define LARGE		1000	/* a record of the smallest ring, nearly */
#define ROOM		48

static char out[LARGE], in[LARGE];

/* An assertion writes to a file, and these are many. */
static void
send_one(struct ipc_channel *ch, size_t size, unsigned n)
{
	memset(out, (int)n, size);
	if (ipc_send(ch, out, size, 0) < 0)
		ck_abort_msg("message %u: %s", n, ipc_errmsg());
}

static void
recv_one(struct ipc_channel *ch, size_t size, unsigned n)
{
	ssize_t got = ipc_recv(ch, in, sizeof in, 0);

	memset(out, (int)n, size);
	if (got != (ssize_t)size || memcmp(in, out, size) != 0)
		ck_abort_msg("message %u of %zu bytes: %zd", n, size, got);
}

/* Who asks, and what is there is not enough to wait for, has its answer. */
START_TEST(a_look_behind_many_messages_ends)
{
	struct ipc_channel *end[2];

	expect(0, ipc_pair(end, addresses[_i], 0));
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 20; i++)
			send_one(end[0], 8, i);
		for (unsigned i = 0; i < 20; i++)
			recv_one(end[1], 8, i);
		expect(-EAGAIN, (int)ipc_recv(end[1], in, sizeof in, 0));
	}
	ipc_close(end[0]);
	ipc_close(end[1]);
}
END_TEST

/* Those that find the receiver waiting use the same lines again and skip the
 * rest of the lap: which is free for a larger one all the same. */
START_TEST(lines_that_were_skipped_are_free)
{
	struct ipc_channel *end[2];
	unsigned n = 0, few;

	expect(0, ipc_pair(end, addresses[_i], 0));
	for (unsigned round = 0; round < ROUNDS; round++) {
		few = 1 + round / 16 % 3;
		for (unsigned i = 0; i < few; i++)
			send_one(end[0], 57 + (n + i) % 8, n + i);
		for (unsigned i = 0; i < few; i++, n++)
			recv_one(end[1], 57 + n % 8, n);
		if (round % 7 == 0) {
			send_one(end[0], LARGE - round % 500, round);
			recv_one(end[1], LARGE - round % 500, round);
		}
	}
	ipc_close(end[0]);
	ipc_close(end[1]);
}
END_TEST

/* And so it is for a burst that nobody takes: of the 64 lines of the smallest
 * ring, most.  All come in order, from this lap and the other. */
START_TEST(a_burst_after_a_conversation_has_room)
{
	struct ipc_channel *end[2];
	unsigned sent = 0, got = 0, burst;

	expect(0, ipc_pair(end, addresses[_i], 0));
	for (unsigned round = 0; round < ROUNDS / 10; round++) {
		for (burst = round % 13; burst > 0; burst--, got++) {
			send_one(end[0], 64, sent++);
			recv_one(end[1], 64, got);
		}
		for (burst = round % ROOM; burst > 0; burst--)
			send_one(end[0], 64, sent++);
		while (got < sent)
			recv_one(end[1], 64, got++);
	}
	ipc_close(end[0]);
	ipc_close(end[1]);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("ringquick");
	tc = tcase_open("ringquick", 60);
	tcase_add_loop_test(tc, a_look_behind_many_messages_ends, 0,
	    ADDRESSES);
	tcase_add_loop_test(tc, lines_that_were_skipped_are_free, 0,
	    ADDRESSES);
	tcase_add_loop_test(tc, a_burst_after_a_conversation_has_room, 0,
	    ADDRESSES);
	return suite_close();
}
