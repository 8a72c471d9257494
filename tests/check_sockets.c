/* SPDX-License-Identifier: ISC */
/*
 * What all sockets do alike, looped over the mechanisms: moving, readiness,
 * buffers, the last word, and looks at what lies unread.
 */
#include <fcntl.h>

#include "sockets.h"

#define LARGE	(4u << 20)

static const char *const pair_address[] = {
	"unix:", "unixpacket:", "unixgram:", "tcp:", "udp:"
};

/* Fills a half until it takes nothing more, for good: TCP hands some of it on
 * to the other side meanwhile.  Returns how many bytes it took. */
static size_t
fill(struct ipc__half *h, size_t step)
{
	size_t all = 0, least = h->be == sockets[TCP] ? 1000 : 1;
	char *data;
	ssize_t n;

	step = step < least ? least : step;
	data = calloc(1, step);

	do {
		while ((n = put(h, data, step)) > 0)
			all += n;
		ck_assert_int_eq(n, -EAGAIN);
	} while (writable(h, h->be == sockets[TCP] ? 20 : 0));
	/* What is smaller may still have had room. */
	while ((n = put(h, data, least)) > 0)
		all += n;
	free(data);
	return all;
}

static void
drain(struct ipc__half *h)
{
	char *data = malloc(LARGE);

	while (get(h, data, LARGE) > 0)
		;
	free(data);
}

START_TEST(a_pair_goes_both_ways)
{
	struct ipc__half *e[2];
	char buf[70000];

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(get(e[0], buf, sizeof buf), -EAGAIN);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), -EAGAIN);
	ck_assert_int_eq(put(e[0], "there", 5), 5);
	ck_assert_int_eq(put(e[1], "and back", 8), 8);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 5);
	ck_assert_mem_eq(buf, "there", 5);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), 8);
	ck_assert_mem_eq(buf, "and back", 8);
	ck_assert_int_eq(get(e[0], buf, sizeof buf), -EAGAIN);
	free_pair(e);
}
END_TEST

START_TEST(iovecs_are_gathered_and_scattered)
{
	char one[3] = "ab", two[70000] = "cdefg";
	struct iovec out[3] = { { one, 2 }, { NULL, 0 }, { two, 5 } };
	struct ipc__half *e[2];
	struct iovec in[2] = { { one, 3 }, { two, sizeof two } };

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(e[0]->be->send(e[0], out, 3, NULL), 7);
	ck_assert(ready(e[1]->fd, POLLIN, 2000));
	ck_assert_int_eq(e[1]->be->recv(e[1], in, 2, NULL), 7);
	ck_assert_mem_eq(one, "abc", 3);
	ck_assert_mem_eq(two, "defg", 4);
	free_pair(e);
}
END_TEST

START_TEST(the_end_shows_after_what_was_sent)
{
	struct ipc__half *e[2];
	char buf[70000];
	ssize_t end = sockets[_i]->traits & IPC__BYTES ? 0 : -EPIPE;

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(put(e[0], "last", 4), 4);
	half_free(e[0], true);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 4);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), end);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), end);
	/* TCP is told of it by the answer to the first. */
	while (put(e[1], "x", 1) > 0)
		ready(e[1]->fd, POLLERR, 1000);
	ck_assert_int_eq(put(e[1], "x", 1), -EPIPE);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), end);
	half_free(e[1], true);
}
END_TEST

/* The other side goes with something of ours unread: the kernel says
 * ECONNRESET, and what it sent is still there. */
START_TEST(a_reset_is_not_the_end)
{
	struct ipc__half *e[2];
	char buf[100];
	ssize_t end = sockets[_i]->traits & IPC__BYTES ? 0 : -EPIPE;
	struct iovec iov = { buf, sizeof buf };
	int fds[4];
	struct ipc__aside aside = { .fds = fds, .fd_count = 4 };

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(put(e[1], "never read", 10), 10);
	ck_assert_int_eq(put(e[0], "sent", 4), 4);
	ck_assert(ready(e[0]->fd, POLLIN, 1000));
	half_free(e[0], false);
	ck_assert_int_eq(e[1]->be->recv(e[1], &iov, 1, &aside), 4);
	ck_assert_int_eq(aside.fd_count, _i == TCP ? 4 : 0);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), end);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), end);
	ck_assert_int_eq(put(e[1], "x", 1), -EPIPE);
	half_free(e[1], false);
}
END_TEST

START_TEST(a_reset_may_meet_the_sender_first)
{
	struct ipc__half *e[2];
	char buf[100];

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(put(e[1], "never read", 10), 10);
	ck_assert_int_eq(put(e[0], "sent", 4), 4);
	ck_assert(ready(e[0]->fd, POLLIN, 1000));
	ck_assert(ready(e[1]->fd, POLLIN, 1000));
	half_free(e[0], false);
	ck_assert_int_eq(put(e[1], "x", 1), -EPIPE);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 4);
	half_free(e[1], false);
}
END_TEST

static const char *const small_address[] = {
	"unix:?capacity=16K", "unixpacket:?capacity=16K",
	"unixgram:?capacity=16K", "tcp:?capacity=16K", "udp:?capacity=16K"
};

/* Buffers as they come, small ones, and raised ones. */
static void
make_any_pair(struct ipc__half *e[2], int which)
{
	int kind = which % SOCKETS, how = which / SOCKETS;

	make_pair(e, how == 1 ? small_address[kind] : pair_address[kind]);
	if (how == 2 && e[0]->be->expect)
		e[0]->be->expect(e[0], 16 << 20);
}
#define ANY	(3 * SOCKETS)

START_TEST(what_is_ready_takes_a_record)
{
	struct ipc__half *e[2];
	size_t step;
	char *data;
	int i;

	if (_i % SOCKETS == UDP)
		return;		/* takes everything, and loses it */
	data = calloc(1, LARGE);
	make_any_pair(e, _i);
	ck_assert_uint_gt(e[0]->record, 64);
	ck_assert_uint_le(e[0]->record, LARGE);
	/* Drained only so far that poll(2) says there is room. */
	for (i = 0; i < 8; i++) {
		step = (_i % SOCKETS == TCP ? 9000 : 1) + i * 1700;
		while (put(e[0], data, step) > 0)
			;
		while (!writable(e[0], 0))
			if (get(e[1], data, 20000) < 0)
				ready(e[1]->fd, POLLIN, 10);
		ck_assert_int_eq(put(e[0], data, e[0]->record),
		    e[0]->record);
		drain(e[1]);
		ck_assert(writable(e[0], 1000));
	}
	free_pair(e);
	free(data);
}
END_TEST

START_TEST(a_full_half_has_room_for_a_last_word)
{
	static const size_t steps[] = { 1, 200, 30000, 100000 };
	struct ipc__half *e[2];
	char last[64] = "bye";
	size_t i, size, all;

	if (_i % SOCKETS == UDP)
		return;		/* is never full: it loses */
	for (i = 0; i < 4; i++) {
		make_any_pair(e, _i);
		size = steps[i];
		if (!(e[0]->be->traits & IPC__BYTES) && size > e[0]->record)
			size = e[0]->record;
		all = fill(e[0], size);
		ck_assert_uint_gt(all, 0);
		ck_assert_int_eq(put(e[0], last, sizeof last), -EAGAIN);
		e[0]->be->stretch(e[0], sizeof last);
		ck_assert_int_eq(put(e[0], last, sizeof last), sizeof last);
		/* And again, when what was to be said is longer. */
		while (put(e[0], last, sizeof last) > 0)
			;
		e[0]->be->stretch(e[0], 8000);
		ck_assert_int_ge(put(e[0], last, sizeof last), 1);
		half_free(e[0], false);
		half_free(e[1], false);
	}
}
END_TEST

START_TEST(capacity_bounds_what_is_under_way)
{
	struct ipc__half *e[2];
	size_t all;

	if (_i == UDP)
		return;		/* is bounded by losing */
	make_pair(e, small_address[_i]);
	ck_assert_uint_gt(e[0]->capacity, 0);
	e[0]->be->expect ? e[0]->be->expect(e[0], 16 << 20) : (void)0;
	all = fill(e[0], 1000);
	ck_assert_uint_ge(all, 3000);
	if (_i == TCP)
		ck_assert_uint_le(all, 3 * e[0]->capacity);
	else {
		ck_assert_uint_le(e[0]->capacity, 16384);
		ck_assert_uint_le(all, 16384);
	}
	free_pair(e);
}
END_TEST

START_TEST(large_messages_raise_the_buffer)
{
	struct ipc__half *e[2];
	size_t held;

	make_pair(e, pair_address[_i]);
	held = e[0]->capacity;
	e[0]->be->expect(e[0], 100);
	ck_assert_uint_eq(e[0]->capacity, held);
	e[0]->be->expect(e[0], 8 << 20);
	ck_assert_uint_gt(e[0]->capacity, held);
	held = e[0]->capacity;
	e[0]->be->expect(e[0], 16 << 20);
	ck_assert_uint_eq(e[0]->capacity, held);
	free_pair(e);
}
END_TEST

/*
 * The tail of what lies unread
 */

static bool
ends_with(struct ipc__half *h, const char *tail)
{
	return h->be->ends_with(h, tail, strlen(tail));
}

START_TEST(the_tail_is_seen_and_left_there)
{
	struct ipc__half *e[2];
	char buf[70000];
	int i;

	make_pair(e, pair_address[_i]);
	ck_assert(!ends_with(e[1], "bye"));
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(put(e[0], "some data", 9), 9);
	ck_assert(ready(e[1]->fd, POLLIN, 1000));
	ck_assert(!ends_with(e[1], "bye"));
	ck_assert_int_eq(put(e[0], "bye", 3), 3);
	while (!ends_with(e[1], "bye"))		/* TCP: on its way */
		ck_assert(ready(e[1]->fd, POLLIN, 1000));
	ck_assert(ends_with(e[1], "bye"));
	ck_assert(!ends_with(e[1], "bya"));
	ck_assert_int_eq(e[1]->be->traits & IPC__BYTES ? 1 : 0,
	    ends_with(e[1], "databye"));
	for (i = 0; e[1]->be->traits & IPC__BYTES && i < 183; i++)
		ck_assert_int_eq(get(e[1], buf, 1), 1);
	for (; !(e[1]->be->traits & IPC__BYTES) && i < 20; i++)
		ck_assert_int_eq(get(e[1], buf, sizeof buf), 9);
	if (!(e[1]->be->traits & IPC__BYTES)) {
		ck_assert(ends_with(e[1], "bye"));
		ck_assert_int_eq(get(e[1], buf, sizeof buf), 3);
	}
	ck_assert(!ends_with(e[1], "bye"));
	ck_assert_int_eq(get(e[1], buf, sizeof buf), -EAGAIN);
	free_pair(e);
}
END_TEST

START_TEST(the_tail_is_seen_after_the_sender_died)
{
	struct ipc__half *e[2];
	char buf[70000];

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(put(e[1], "unread", 6), 6);
	ck_assert_int_eq(put(e[0], "data", 4), 4);
	ck_assert_int_eq(put(e[0], "bye", 3), 3);
	ck_assert(ready(e[0]->fd, POLLIN, 1000));
	half_free(e[0], false);
	ck_assert(ends_with(e[1], "bye"));
	ck_assert_int_gt(get(e[1], buf, sizeof buf), 0);
	half_free(e[1], false);
}
END_TEST

START_TEST(the_tail_is_behind_large_pieces)
{
	struct ipc__half *e[2];
	char *data = calloc(1, LARGE), first = 0;

	make_pair(e, pair_address[_i]);
	ck_assert_int_gt(put(e[0], data, 90000), 60000);
	ck_assert_int_eq(put(e[0], "bye", 3), 3);
	while (!ends_with(e[1], "bye"))
		ck_assert(ready(e[1]->fd, POLLIN, 1000));
	if (e[1]->be->traits & IPC__BYTES)
		ck_assert_int_eq(get(e[1], &first, 1), 1);
	ck_assert(ends_with(e[1], "bye"));
	/* An ordinary look starts at the beginning again. */
	ck_assert_int_eq(recv(e[1]->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT), 1);
	ck_assert_int_eq(first, 0);
	free_pair(e);
	free(data);
}
END_TEST

START_TEST(pending_counts_what_lies_unread)
{
	struct ipc__half *e[2];

	make_pair(e, pair_address[_i]);
	ck_assert_uint_eq(e[1]->be->pending(e[1]), 0);
	ck_assert_int_eq(put(e[0], "12345", 5), 5);
	ck_assert(ready(e[1]->fd, POLLIN, 1000));
	ck_assert_uint_eq(e[1]->be->pending(e[1]), 5);
	free_pair(e);
}
END_TEST

START_TEST(shutdown_ends_one_direction)
{
	struct ipc__half *e[2];
	char buf[100];

	make_pair(e, pair_address[_i]);
	ck_assert_int_eq(put(e[0], "last", 4), 4);
	assert_ok(e[0]->be->shutdown(e[0], IPC_SEND));
	ck_assert_int_eq(put(e[0], "x", 1), -EPIPE);
	ck_assert_int_eq(await(e[1], buf, sizeof buf), 4);
	ck_assert_int_eq(await(e[1], buf, sizeof buf),
	    e[1]->be->traits & IPC__BYTES ? 0 : -EPIPE);
	ck_assert_int_eq(put(e[1], "back", 4), 4);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), 4);
	free_pair(e);
}
END_TEST

START_TEST(a_given_end_works_where_it_is_taken)
{
	const struct ipc_backend *be = sockets[_i];
	struct ipc__ticket t = { .fd_count = 0 };
	struct ipc__half *e[2], *taken = half_new(be, IPC_DUPLEX);
	char buf[100];
	unsigned i;

	make_pair(e, pair_address[_i]);
	assert_ok(be->give(e[1], &t));
	ck_assert_uint_ge(t.fd_count, 1);
	ck_assert_int_eq(t.fds[0], e[1]->fd);
	for (i = 0; i < t.fd_count; i++)
		t.fds[i] = fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0);
	assert_ok(be->take(taken, &t));
	for (i = 0; i < t.fd_count; i++)
		ck_assert_int_eq(t.fds[i], -1);
	ck_assert_uint_eq(taken->record, e[0]->record);
	ck_assert_uint_eq(taken->atomic, e[0]->atomic);
	half_free(e[1], false);
	ck_assert_int_eq(put(e[0], "hello", 5), 5);
	ck_assert_int_eq(await(taken, buf, sizeof buf), 5);
	ck_assert_int_eq(put(taken, "answer", 6), 6);
	ck_assert_int_eq(await(e[0], buf, sizeof buf), 6);
	half_free(taken, true);
	half_free(e[0], true);
}
END_TEST

START_TEST(nothing_is_trusted_in_a_ticket)
{
	const struct ipc_backend *be = sockets[_i];
	struct ipc__half *h = half_new(be, IPC_DUPLEX), *e[2];
	struct ipc__ticket t = { .fd_count = 0 };
	int fds[2];

	ck_assert_int_eq(be->take(h, &t), -EBADMSG);
	/* No socket, one of another kind, and too few. */
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	t = (struct ipc__ticket){ .fds = { fds[0], fds[1] }, .fd_count = 2,
	    .size = 1 };
	ck_assert_int_eq(be->take(h, &t), -ENOTSOCK);
	make_pair(e, pair_address[(_i + 1) % SOCKETS]);
	t = (struct ipc__ticket){ .fds = { e[0]->fd, e[1]->fd }, .fd_count = 2,
	    .size = 1 };
	ck_assert_int_eq(be->take(h, &t), -EINVAL);
	ck_assert_int_eq(t.fds[0], e[0]->fd);
	ck_assert_int_eq(t.fds[1], e[1]->fd);
	free_pair(e);
	make_pair(e, pair_address[_i]);
	t = (struct ipc__ticket){ .fds = { e[0]->fd, fds[0] }, .fd_count = 2,
	    .size = _i == UNIXGRAM };
	ck_assert_int_lt(be->take(h, &t), 0);
	ck_assert_int_eq(t.fds[0], e[0]->fd);
	ck_assert_int_eq(h->fd, -1);
	half_free(h, false);
	free_pair(e);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A connected pair of sockets, as another program makes it. */
static void
foreign_pair(int fds[2], int kind)
{
	static const int type[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct ipc__half *e[2];
	int i;

	if (kind <= UNIXGRAM) {
		ck_assert_int_eq(socketpair(AF_UNIX, type[kind], 0, fds), 0);
		return;
	}
	make_pair(e, pair_address[kind]);
	for (i = 0; i < 2; i++) {
		fds[i] = dup(e[i]->fd);
		half_free(e[i], false);
	}
}

START_TEST(only_its_own_kind_is_adopted)
{
	struct ipc__half *h;
	int i, flags, rc, fds[2];
	char buf[100];

	for (i = 0; i < SOCKETS; i++) {
		foreign_pair(fds, i);
		flags = fcntl(fds[0], F_GETFL);
		h = half_new(sockets[_i], IPC_DUPLEX);
		h->adopted = h->bare = true;
		ck_assert_int_eq(h->be->adopt(h, fds[0], true), -EINVAL);
		rc = h->be->adopt(h, fds[0], false);
		ck_assert_int_eq(rc, i == _i ? 0 : -EINVAL);
		if (rc == 0) {
			ck_assert_int_eq(put(h, "x", 1), 1);
			ck_assert(ready(fds[1], POLLIN, 1000));
			ck_assert_int_eq(recv(fds[1], buf, 2, 0), 1);
			ck_assert_int_eq(get(h, buf, sizeof buf), -EAGAIN);
			ck_assert_int_eq(send(fds[1], "back", 4, 0), 4);
			ck_assert_int_eq(await(h, buf, sizeof buf), 4);
			ck_assert_int_eq(fcntl(h->fd, F_GETFL), flags);
		}
		h->fd = -1;
		half_free(h, false);
		close(fds[0]);
		close(fds[1]);
	}
}
END_TEST

/* Nor is a socket that has no other end, or no socket at all. */
START_TEST(what_is_not_connected_is_not_adopted)
{
	static const int kind[][2] = {
		{ AF_UNIX, SOCK_STREAM }, { AF_UNIX, SOCK_SEQPACKET },
		{ AF_UNIX, SOCK_DGRAM }, { AF_INET, SOCK_STREAM },
		{ AF_INET, SOCK_DGRAM }
	};
	struct ipc__half *h = half_new(sockets[_i], IPC_DUPLEX);
	int fd = socket(kind[_i][0], kind[_i][1], 0), fds[2];

	ck_assert_int_eq(h->be->adopt(h, fd, false), -ENOTCONN);
	close(fd);
	ck_assert_int_eq(h->be->adopt(h, fd, false), -EBADF);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(h->be->adopt(h, fds[0], false), -ENOTSOCK);
	close(fds[0]);
	close(fds[1]);
	half_free(h, false);
}
END_TEST

START_TEST(nothing_raises_sigpipe)
{
	struct ipc__half *e[2];
	int i;

	make_pair(e, pair_address[_i]);
	half_free(e[0], true);
	for (i = 0; i < 5; i++) {
		put(e[1], "x", 1);
		ready(e[1]->fd, POLLERR, 10);
	}
	half_free(e[1], true);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("sockets");
	TCase *tc = tcase_create("alike");

	tcase_add_checked_fixture(tc, sockets_setup, sockets_teardown);
	tcase_set_timeout(tc, 10);
	tcase_add_loop_test(tc, a_pair_goes_both_ways, 0, SOCKETS);
	tcase_add_loop_test(tc, iovecs_are_gathered_and_scattered, 0, SOCKETS);
	tcase_add_loop_test(tc, the_end_shows_after_what_was_sent, 0, 2);
	tcase_add_loop_test(tc, the_end_shows_after_what_was_sent, TCP,
	    TCP + 1);
	tcase_add_loop_test(tc, a_reset_is_not_the_end, 0, 2);
	tcase_add_loop_test(tc, a_reset_is_not_the_end, TCP, TCP + 1);
	tcase_add_loop_test(tc, a_reset_may_meet_the_sender_first, 0, 2);
	tcase_add_loop_test(tc, what_is_ready_takes_a_record, 0, ANY);
	tcase_add_loop_test(tc, a_full_half_has_room_for_a_last_word, 0, ANY);
	tcase_add_loop_test(tc, capacity_bounds_what_is_under_way, 0, SOCKETS);
	tcase_add_loop_test(tc, large_messages_raise_the_buffer, 0, TCP);
	tcase_add_loop_test(tc, the_tail_is_seen_and_left_there, 0, UDP);
	tcase_add_loop_test(tc, the_tail_is_seen_after_the_sender_died, 0, UDP);
	tcase_add_loop_test(tc, the_tail_is_behind_large_pieces, 0, UDP);
	tcase_add_loop_test(tc, pending_counts_what_lies_unread, 0, SOCKETS);
	tcase_add_loop_test(tc, shutdown_ends_one_direction, 0, 2);
	tcase_add_loop_test(tc, shutdown_ends_one_direction, TCP, TCP + 1);
	tcase_add_loop_test(tc, a_given_end_works_where_it_is_taken, 0,
	    SOCKETS);
	tcase_add_loop_test(tc, nothing_is_trusted_in_a_ticket, 0, SOCKETS);
	tcase_add_loop_test(tc, only_its_own_kind_is_adopted, 0, SOCKETS);
	tcase_add_loop_test(tc, what_is_not_connected_is_not_adopted, 0,
	    SOCKETS);
	tcase_add_loop_test(tc, nothing_raises_sigpipe, 0, SOCKETS);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
