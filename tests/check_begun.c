/* SPDX-License-Identifier: ISC */
/*
 * A message that did not fit at once is begun: it goes on, no other takes its
 * place, and given up it was never there.
 */
#include "support.h"

#define SIZE	(16 * MIB)

static char *out, *in;

static void
open_case(int i, struct ipc_channel *ch[2], const char *options)
{
	ends_of(i, ch, options, 0);
	out = need(SIZE);
	in = need(SIZE);
	pattern_fill(out, SIZE, 5);
}

static void
close_case(void)
{
	free(out);
	free(in);
}

/* Begins the large message: it cannot be through with nobody reading. */
static void
begin_it(struct ipc_channel *ch, int timeout)
{
	expect(timeout == 0 ? -EAGAIN : -ETIMEDOUT,
	    ipc_send(ch, out, SIZE, timeout));
}

/* Goes on on both sides until it is through. */
static void
finish(struct ipc_channel *ch[2], int timeout)
{
	int rc = -EAGAIN;
	ssize_t n = -EAGAIN;

	for (int i = 0; n == -EAGAIN || n == -ETIMEDOUT; i++) {
		expect_true(i < 10000000);
		if (rc != 0)
			rc = ipc_send(ch[0], out, SIZE, timeout);
		if (rc != 0 && rc != -ETIMEDOUT)
			expect(-EAGAIN, rc);
		n = ipc_recv(ch[1], in, SIZE, timeout);
	}
	expect(SIZE, n);
	if (rc != 0)
		expect(0, ipc_send(ch[0], out, SIZE, SOON));
	expect_true(pattern_is(in, SIZE, 5));
	expect(-EAGAIN, ipc_recv(ch[1], in, SIZE, 0));
}

/* Reads a part of it, and does not get it. */
static void
read_some(struct ipc_channel *ch)
{
	for (int i = 0; i < 5; i++)
		expect(-EAGAIN, ipc_recv(ch, in, SIZE, 0));
}

START_TEST(goes_on_after_not_waiting)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "");
	begin_it(ch[0], 0);
	begin_it(ch[0], 0);
	finish(ch, 0);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
	close_case();
}
END_TEST

START_TEST(goes_on_after_a_timeout)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "");
	begin_it(ch[0], 60);
	finish(ch, 1);
	carry(ch[1], ch[0], 10);
	close_ends(ch);
	close_case();
}
END_TEST

START_TEST(nothing_else_takes_its_place)
{
	struct ipc_channel *ch[2];
	struct iovec iov = { NULL, 10 };
	void *data;

	open_case(_i, ch, "");
	iov.iov_base = out;
	begin_it(ch[0], 0);
	expect(-EALREADY, ipc_send(ch[0], out, 10, 0));
	expect(-EALREADY, ipc_send(ch[0], out, 0, SOON));
	expect(-EALREADY, ipc_send(ch[0], out, SIZE - 1, SOON));
	expect(-EALREADY, ipc_sendv(ch[0], &iov, 1, 0));
	expect(-EALREADY, ipc_sendmany(ch[0], &iov, 1, 0));
	expect(-EALREADY, ipc_reserve(ch[0], &data, 10, 0));
	expect(0, ipc_send(ch[1], "other way", 9, SOON));
	expect(9, ipc_recv(ch[0], in, SIZE, SOON));
	finish(ch, 0);
	close_ends(ch);
	close_case();
}
END_TEST

/* It is either not begun, and another may follow, or it can be given up. */
START_TEST(a_record_that_found_no_room_spoils_nothing)
{
	struct ipc_channel *ch[2];
	size_t record;
	int n = 0;

	open_case(_i, ch, "");
	record = info_of(ch[0]).record;
	while (ipc_send(ch[0], out, record, 0) == 0)
		n++;
	if (ipc_send(ch[0], "other", 5, 0) == -EALREADY) {
		/* near to full the kernel took a part of it */
		expect(0, ipc_abandon(ch[0]));
	}
	while (n-- > 0)
		expect(record, ipc_recv(ch[1], in, SIZE, SOON));
	while (ipc_recv(ch[1], in, SIZE, 20) >= 0)
		continue;
	carry(ch[0], ch[1], 100);
	close_ends(ch);
	close_case();
}
END_TEST

START_TEST(given_up_it_was_never_there)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "");
	expect(0, ipc_send(ch[0], "before", 6, SOON));
	begin_it(ch[0], 0);
	expect(0, ipc_abandon(ch[0]));
	expect(6, ipc_recv(ch[1], in, SIZE, SOON));
	read_some(ch[1]);
	carry(ch[0], ch[1], 100);
	carry(ch[0], ch[1], 3 * MIB);
	expect(-EAGAIN, ipc_recv(ch[1], in, SIZE, 0));
	close_ends(ch);
	close_case();
}
END_TEST

START_TEST(given_up_after_much_of_it_was_read)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "capacity=64K");
	for (int round = 0; round < 3; round++) {
		begin_it(ch[0], 0);
		read_some(ch[1]);
		begin_it(ch[0], 0);
		read_some(ch[1]);
		expect(0, ipc_abandon(ch[0]));
		read_some(ch[1]);
	}
	carry(ch[0], ch[1], 3 * MIB);
	carry(ch[1], ch[0], 3 * MIB);
	close_ends(ch);
	close_case();
}
END_TEST

START_TEST(closing_gives_it_up)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "");
	expect(0, ipc_send(ch[0], "before", 6, SOON));
	begin_it(ch[0], 0);
	expect(0, ipc_close(ch[0]));
	expect(6, ipc_recv(ch[1], in, SIZE, SOON));
	expect(-EPIPE, ipc_recv(ch[1], in, SIZE, SOON));
	expect(0, ipc_close(ch[1]));
	close_case();
}
END_TEST

START_TEST(the_other_side_closes_in_the_middle)
{
	struct ipc_channel *ch[2];

	open_case(_i, ch, "");
	begin_it(ch[0], 0);
	read_some(ch[1]);
	expect(0, ipc_close(ch[1]));
	expect(-EPIPE, ipc_send(ch[0], out, SIZE, SOON));
	expect(0, ipc_close(ch[0]));
	close_case();
}
END_TEST

/* The receiver sees neither a byte of it nor a length. */
START_TEST(a_peek_shows_no_part)
{
	struct ipc_channel *ch[2];
	const void *data;

	open_case(_i, ch, "");
	begin_it(ch[0], 0);
	for (int i = 0; i < 5; i++)
		expect(-EAGAIN, ipc_peek(ch[1], &data, 0));
	expect(-ETIMEDOUT, ipc_recv(ch[1], in, SIZE, 20));
	expect(0, ipc_abandon(ch[0]));
	expect(0, ipc_send(ch[0], "after", 5, SOON));
	expect(5, ipc_peek(ch[1], &data, SOON));
	expect_true(memcmp(data, "after", 5) == 0);
	expect(0, ipc_release(ch[1]));
	close_ends(ch);
	close_case();
}
END_TEST

int
main(void)
{
	const unsigned caps = IPC_CAP_LARGE | IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("begun");
	tc = tcase_open("begun", 60);
	for_each_case(tc, goes_on_after_not_waiting, TALKS, caps);
	for_each_case(tc, goes_on_after_a_timeout, TALKS, caps);
	for_each_case(tc, nothing_else_takes_its_place, TALKS, caps);
	for_each_case(tc, a_record_that_found_no_room_spoils_nothing, TALKS,
	    caps);
	for_each_case(tc, given_up_it_was_never_there, TALKS, caps);
	for_each_case(tc, given_up_after_much_of_it_was_read, TALKS, caps);
	for_each_case(tc, closing_gives_it_up, TALKS, caps | IPC_CAP_END);
	for_each_case(tc, the_other_side_closes_in_the_middle, TALKS,
	    caps | IPC_CAP_END);
	for_each_case(tc, a_peek_shows_no_part, TALKS, caps);
	return suite_close();
}
