/* SPDX-License-Identifier: ISC */
/*
 * Messages of every size: around each limit that a mechanism has, too large
 * ones, and buffers that are too small.
 */
#include <limits.h>
#include <sys/mman.h>

#include "support.h"

static char buffer[4 * KIB];

static void
there_and_back(struct ipc_channel *ch[2], size_t size)
{
	size_t most = info_of(ch[0]).max_message;

	if (size > most) {
		if (here.caps & IPC_CAP_LARGE)
			ck_abort_msg("%s: %zu is too large", where(), size);
		return;
	}
	carry(ch[0], ch[1], size);
	carry(ch[1], ch[0], size);
}

START_TEST(every_size_goes_there_and_back)
{
	static const size_t sizes[] = { 0, 1, 2, 7, 8, 9, PIPE_BUF - 5,
	    PIPE_BUF - 4, PIPE_BUF - 3, PIPE_BUF - 1, PIPE_BUF, PIPE_BUF + 1,
	    64 * KIB - 4, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 212992 - 1,
	    212992, 212992 + 1, MIB - 1, MIB, MIB + 1, 16 * MIB - 1,
	    16 * MIB };
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		there_and_back(ch, sizes[i]);
	close_ends(ch);
}
END_TEST

START_TEST(sizes_around_this_channels_own_limits)
{
	struct ipc_channel *ch[2];
	struct ipc_info info;
	size_t limits[3];

	ends_of(_i, ch, "", 0);
	info = info_of(ch[0]);
	limits[0] = info.record;
	limits[1] = info.capacity;
	limits[2] = info.max_message;
	for (int i = 0; i < 3; i++)
		for (size_t n = limits[i] > 5 ? limits[i] - 5 : 0;
		    n <= limits[i] + 5; n++)
			if (n <= info.max_message && n <= 4 * MIB)
				there_and_back(ch, n);
	close_ends(ch);
}
END_TEST

START_TEST(one_way_ends_carry_every_size)
{
	static const size_t sizes[] = { 0, 1, PIPE_BUF + 1, 64 * KIB + 1,
	    MIB };
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_RECV);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		if (sizes[i] <= info_of(ch[1]).max_message)
			carry(ch[1], ch[0], sizes[i]);
	expect(-EBADF, ipc_send(ch[0], "x", 1, 0));
	expect(-EBADF, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	close_ends(ch);
}
END_TEST

/* What may not be read is neither read nor sent. */
START_TEST(too_large_is_refused_before_anything_is_touched)
{
	struct ipc_channel *ch[2];
	size_t most, room;
	void *none;

	ends_of(_i, ch, "", 0);
	most = info_of(ch[0]).max_message;
	room = most + 1;
	none = mmap(NULL, room, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	expect_true(none != MAP_FAILED);
	expect(-EMSGSIZE, ipc_send(ch[0], none, room, 0));
	expect_true(strstr(ipc_errmsg(), "max") != NULL ||
	    strpbrk(ipc_errmsg(), "0123456789") != NULL);
	expect(-EMSGSIZE, ipc_send(ch[0], none, SIZE_MAX, 0));
	expect(-EMSGSIZE, ipc_send(ch[0], none, SIZE_MAX / 2, -1));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	munmap(none, room);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
}
END_TEST

START_TEST(iovecs_that_overflow_are_refused)
{
	struct ipc_channel *ch[2];
	struct iovec iov[3] = { { buffer, SIZE_MAX }, { buffer, 2 },
	    { buffer, SIZE_MAX } };

	ends_of(_i, ch, "", 0);
	expect_either(-EMSGSIZE, -EINVAL, ipc_sendv(ch[0], iov, 2, 0));
	expect_either(-EMSGSIZE, -EINVAL, ipc_sendv(ch[0], iov, 3, 0));
	expect(-EINVAL, ipc_sendv(ch[0], iov, -1, 0));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	close_ends(ch);
}
END_TEST

START_TEST(max_message_is_kept_to_the_byte)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "max-message=1000", 0);
	expect(1000, info_of(ch[0]).max_message);
	expect(1000, info_of(ch[1]).max_message);
	carry(ch[0], ch[1], 1000);
	carry(ch[1], ch[0], 1000);
	expect(-EMSGSIZE, ipc_send(ch[0], buffer, 1001, SOON));
	expect(-EMSGSIZE, ipc_send(ch[1], buffer, 1001, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	close_ends(ch);
}
END_TEST

/* The listener has one limit and the client another. */
static void
agree(const char *listening, const char *connecting, size_t most)
{
	char text[8192];
	struct ipc_channel *ch[2];
	struct ipc_listener *l;

	listen_here(&l, text, sizeof text, listening, 0);
	text[strcspn(text, "?")] = '\0';
	strlcat(text, connecting, sizeof text);
	meet_at(ch, l, text, 0);
	carry(ch[0], ch[1], 100);
	expect(most, info_of(ch[1]).max_message);
	expect(most, info_of(ch[0]).max_message);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}

START_TEST(the_smaller_max_message_of_both_sides_holds)
{
	begin(_i);
	agree("max-message=1000", "?max-message=2000", 1000);
	agree("max-message=2000", "?max-message=1000", 1000);
}
END_TEST

/* One side's buffers say nothing of what the other side sends. */
START_TEST(sides_of_different_capacity_understand_each_other)
{
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	char text[8192];

	begin(_i);
	for (int small = 0; small < 2; small++) {
		listen_here(&l, text, sizeof text, small ? "capacity=16K" : "",
		    0);
		if (!small)
			strlcat(text, "?capacity=16K", sizeof text);
		meet_at(ch, l, text, 0);
		for (size_t n = 1; n <= MIB; n *= 9) {
			carry(ch[0], ch[1], n);
			carry(ch[1], ch[0], n);
		}
		close_ends(ch);
		expect(0, ipc_listener_close(l));
	}
}
END_TEST

/* A client's wish is memory of the listener's, too. */
START_TEST(a_client_gets_no_more_capacity_than_is_sane)
{
	struct ipc_info info = { .struct_size = sizeof info };
	struct ipc_listener *l;
	struct ipc_channel *ch[2];
	char text[8192];

	begin(_i);
	if (strcmp(here.scheme, "inproc") == 0)
		return;		/* it is one process's memory */
	listen_here(&l, text, sizeof text, "", 0);
	strlcat(text, "?capacity=1G", sizeof text);
	meet_at(ch, l, text, 0);
	expect(0, ipc_info(ch[1], &info));
	expect_true(info.capacity <= 16 * MIB);
	carry(ch[0], ch[1], 1000);
	close_ends(ch);
	expect(0, ipc_listener_close(l));
}
END_TEST

START_TEST(too_small_a_buffer_loses_nothing)
{
	struct ipc_channel *ch[2];
	char out[100];

	ends_of(_i, ch, "", 0);
	pattern_fill(out, sizeof out, 7);
	expect(0, ipc_send(ch[0], out, sizeof out, SOON));
	expect(0, ipc_send(ch[0], out, 1, SOON));
	expect(-EMSGSIZE, ipc_recv(ch[1], buffer, 99, SOON));
	expect(-EMSGSIZE, ipc_recv(ch[1], NULL, 0, SOON));
	expect(-EMSGSIZE, ipc_recv(ch[1], buffer, 1, 0));
	expect(100, ipc_recv(ch[1], buffer, 100, 0));
	expect_true(pattern_is(buffer, 100, 7));
	expect(1, ipc_recv(ch[1], buffer, 1, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(too_small_a_buffer_loses_no_large_message)
{
	struct ipc_channel *ch[2];
	struct job j = { .size = MIB, .timeout = SOON };
	void *out = need(MIB), *in = need(MIB);

	ends_of(_i, ch, "", 0);
	pattern_fill(out, MIB, 3);
	j.ch = ch[0];
	j.data = out;
	job_start(&j, job_send);
	expect(-EMSGSIZE, ipc_recv(ch[1], in, 1000, SOON));
	expect(-EMSGSIZE, ipc_recv(ch[1], in, MIB - 1, SOON));
	expect(MIB, ipc_recv(ch[1], in, MIB, SOON));
	expect_true(pattern_is(in, MIB, 3));
	expect(0, job_end(&j));
	carry(ch[0], ch[1], 5);
	close_ends(ch);
	free(out);
	free(in);
}
END_TEST

START_TEST(an_empty_message_is_a_message)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	expect(0, ipc_send(ch[0], NULL, 0, SOON));
	expect(0, ipc_send(ch[0], "", 0, SOON));
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect(0, ipc_recv(ch[1], NULL, 0, SOON));
	expect(0, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(1, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	close_ends(ch);
}
END_TEST

START_TEST(several_places_are_one_message)
{
	struct ipc_channel *ch[2];
	char a[3], b[5];
	struct iovec out[4] = { { (char *)"ab", 2 }, { NULL, 0 },
	    { (char *)"cde", 3 }, { (char *)"fgh", 3 } };
	struct iovec in[2] = { { a, sizeof a }, { b, sizeof b } };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = in,
	    .iov_count = 2 };

	ends_of(_i, ch, "", 0);
	expect(0, ipc_sendv(ch[0], out, 4, SOON));
	expect(8, ipc_recvmsg(ch[1], &msg, 0, SOON));
	expect_true(memcmp(a, "abc", 3) == 0 && memcmp(b, "defgh", 5) == 0);
	msg.iov = out;
	msg.iov_count = 4;
	expect(0, ipc_sendmsg(ch[1], &msg, 0, SOON));
	expect(8, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, "abcdefgh", 8) == 0);
	expect(-EINVAL, ipc_sendmsg(ch[0], &msg, 0x4000, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(a_large_message_from_many_places)
{
	struct ipc_channel *ch[2];
	struct iovec iov[300];
	char *out = need(300 * KIB), *in = need(300 * KIB);
	int i, rc = -EAGAIN;
	ssize_t n = -EAGAIN;

	ends_of(_i, ch, "", 0);
	pattern_fill(out, 300 * KIB, 9);
	for (i = 0; i < 300; i++)
		iov[i] = (struct iovec){ out + i * KIB, KIB };
	for (i = 0; n == -EAGAIN && i < 1000000; i++) {
		if (rc == -EAGAIN)
			rc = ipc_sendv(ch[0], iov, 300, 0);
		n = ipc_recv(ch[1], in, 300 * KIB, 0);
	}
	expect(0, rc);
	expect(300 * KIB, n);
	expect_true(pattern_is(in, 300 * KIB, 9));
	close_ends(ch);
	free(out);
	free(in);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("sizes");
	tc = tcase_open("sizes", 60);
	for_each_case(tc, every_size_goes_there_and_back, TALKS,
	    IPC_CAP_MESSAGE);
	for_each_case(tc, sizes_around_this_channels_own_limits, TALKS, 0);
	for_each_case(tc, one_way_ends_carry_every_size, TALKS, 0);
	for_each_case(tc, too_large_is_refused_before_anything_is_touched,
	    TALKS, 0);
	for_each_case(tc, iovecs_that_overflow_are_refused, TALKS, 0);
	for_each_case(tc, max_message_is_kept_to_the_byte, TALKS, 0);
	for_each_case(tc, the_smaller_max_message_of_both_sides_holds,
	    SESSION, 0);
	for_each_case(tc, a_client_gets_no_more_capacity_than_is_sane,
	    SESSION, IPC_CAP_RELIABLE | IPC_CAP_LARGE);
	for_each_case(tc, sides_of_different_capacity_understand_each_other,
	    SESSION, IPC_CAP_RELIABLE | IPC_CAP_LARGE);
	tc = tcase_open("buffers", 20);
	for_each_case(tc, too_small_a_buffer_loses_nothing, TALKS, 0);
	for_each_case(tc, too_small_a_buffer_loses_no_large_message, TALKS,
	    IPC_CAP_LARGE);
	for_each_case(tc, an_empty_message_is_a_message, TALKS, 0);
	for_each_case(tc, several_places_are_one_message, TALKS, 0);
	for_each_case(tc, a_large_message_from_many_places, TALKS,
	    IPC_CAP_LARGE);
	return suite_close();
}
