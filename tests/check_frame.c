/* SPDX-License-Identifier: ISC */
/*
 * The image of a message on a byte stream: the same from wherever it is gone on
 * with, and cut anywhere, completed to whole frames.
 */
#include "../lib/frame.h"
#include "support.h"

#define ATOMIC	4096
#define IOVS	64

static const size_t totals[] = { 0, 64, ATOMIC - IPC__HEADER, ATOMIC,
	IPC__PIECE_HEAD_FROM - 1, IPC__PIECE_HEAD_FROM, IPC__PIECE,
	IPC__PIECE + 1, 5 * IPC__PIECE + 7 };
#define TOTALS	((int)(sizeof totals / sizeof totals[0]))

static char *payload;
static unsigned char *image;
static size_t size;

/* All of it from `done' on, as one write would have it. */
static size_t
write_from(size_t total, size_t done, unsigned char *to, size_t room)
{
	unsigned char headers[IOVS / 2 + 1][IPC__PIECE_HEAD];
	struct iovec from[2] = { { payload, total / 3 },
	    { payload + total / 3, total - total / 3 } }, iov[IOVS];
	size_t n = 0;
	int used = ipc__wire(iov, IOVS, headers, from, 2, total, ATOMIC, done);

	for (int i = 0; i < used; i++) {
		expect_true(n + iov[i].iov_len <= room);
		memcpy(to + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	return n;
}

static void
open_image(size_t total)
{
	payload = need(total + 1);
	pattern_fill(payload, total, 3);
	size = ipc__wire_size(total, ATOMIC);
	image = (unsigned char *)need(size + IPC__PIECE + IPC__HEADER);
	expect_true(write_from(total, 0, image, size) == size);
}

static void
close_image(void)
{
	free(payload);
	free(image);
}

/* The frames in the first n bytes: their payload in all, which ends with the
 * bytes; whether the last one says that more comes. */
static size_t
read_frames(const unsigned char *p, size_t n, bool *more)
{
	size_t at = 0, sum = 0, k = 0;
	uint32_t word;

	*more = true;
	while (at < n) {
		expect_true(n - at >= IPC__HEADER);
		word = ipc__get32(p + at);
		*more = (word & IPC__FRAME_MORE) != 0;
		at += IPC__HEADER;
		k = word & ~IPC__FRAME_MORE;
		expect_true(k <= n - at);
		sum += k;
		at += k;
	}
	return sum;
}

START_TEST(it_is_the_message_in_frames)
{
	size_t total = totals[_i];
	bool more;

	open_image(total);
	expect_true(read_frames(image, size, &more) == total);
	expect_true(!more);
	close_image();
}
END_TEST

/* Far enough from the processor's slow copies, for all of its pieces. */
START_TEST(a_large_one_lies_well)
{
	size_t total = totals[_i], at = 0;

	open_image(total);
	for (size_t k = 0; total >= IPC__PIECE_HEAD_FROM &&
	    k * IPC__PIECE < total; k++) {
		at = (k + 1) * IPC__PIECE_HEAD + k * IPC__PIECE;
		expect_true(total - k * IPC__PIECE < 64 || memcmp(image + at,
		    payload + k * IPC__PIECE, 64) == 0);
		expect_true(at % IPC__PIECE_HEAD == 0);
	}
	close_image();
}
END_TEST

/* The cuts that are of interest lie near the heads. */
static size_t
next_cut(size_t cut)
{
	size_t in = cut % (IPC__PIECE + IPC__PIECE_HEAD);

	return cut + (size > 8192 && in > 200 && in < IPC__PIECE - 300 ? 97 :
	    1);
}

START_TEST(it_goes_on_from_anywhere)
{
	unsigned char *rest;

	open_image(totals[_i]);
	rest = (unsigned char *)need(size + 1);
	for (size_t cut = 1; cut < size; cut = next_cut(cut)) {
		expect_true(write_from(totals[_i], cut, rest, size - cut) ==
		    size - cut);
		expect_true(memcmp(rest, image + cut, size - cut) == 0);
	}
	free(rest);
	close_image();
}
END_TEST

/* Given up, what follows is a frame again. */
START_TEST(cut_anywhere_its_frame_is_completed)
{
	unsigned char head[IPC__HEADER], *p;
	size_t zeros, n;
	unsigned left;
	bool more;

	open_image(totals[_i]);
	if (totals[_i] + IPC__HEADER <= ATOMIC)
		size = 0;	/* is never cut */
	p = (unsigned char *)need(size + IPC__PIECE + IPC__HEADER);
	for (size_t cut = 1; cut < size; cut = next_cut(cut)) {
		memcpy(p, image, cut);
		left = ipc__wire_rest(totals[_i], cut, head, &zeros);
		memcpy(p + cut, head, left);
		memset(p + cut + left, 0, zeros);
		n = cut + left + zeros;
		read_frames(p, n, &more);
		expect_true(more);
	}
	free(p);
	close_image();
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("frame");
	tc = tcase_open("image", 20);
	tcase_add_loop_test(tc, it_is_the_message_in_frames, 0, TOTALS);
	tcase_add_loop_test(tc, a_large_one_lies_well, 0, TOTALS);
	tcase_add_loop_test(tc, it_goes_on_from_anywhere, 0, TOTALS);
	tcase_add_loop_test(tc, cut_anywhere_its_frame_is_completed, 0,
	    TOTALS);
	return suite_close();
}
