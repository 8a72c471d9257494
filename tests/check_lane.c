/* SPDX-License-Identifier: ISC */
/*
 * The lanes of the inproc backend, called through its table: records in place
 * and copied, bells that never fail to ring, and the end.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "halves.h"

extern const struct ipc_backend ipc__backend_inproc;
#define INPROC	(&ipc__backend_inproc)

static struct ipc__half *a, *b;

static void
pair(uint64_t capacity)
{
	struct ipc__address address = address_of(INPROC, "");

	address.opt.capacity = capacity;
	a = half_new(INPROC, IPC_DUPLEX);
	b = half_new(INPROC, IPC_DUPLEX);
	ck_assert_int_eq(INPROC->pair(a, b, &address), 0);
}

static void
close_both(void)
{
	half_close(a, true);
	half_close(b, true);
}

/* What fd shows now, without waiting. */
static bool
rings(const struct ipc__half *h, int dir)
{
	struct pollfd p;

	ck_assert_int_eq(INPROC->watch(h, dir, &p), 1);
	return poll(&p, 1, 0) == 1;
}

/* As the core waits.  Whether there was any need to. */
static bool
wait_for(struct ipc__half *h, int dir)
{
	struct pollfd p;

	if (INPROC->arm(h, dir) != 0)
		return false;
	if (INPROC->watch(h, dir, &p) != 1 || poll(&p, 1, 5000) != 1)
		ck_abort_msg("the bell was not rung");
	INPROC->disarm(h, dir);
	return true;
}

/*
 * Records
 */

START_TEST(records_keep_their_boundaries_and_flags)
{
	struct ipc__aside aside = { .flags = IPC__MORE };
	struct iovec v[2] = { { (void *)(uintptr_t)"ab", 2 },
	    { (void *)(uintptr_t)"cde", 3 } };
	char x[3], y[9];
	struct iovec in[2] = { { x, 3 }, { y, 9 } };

	pair(0);
	ck_assert_int_eq(half_recv(b, x, 3), -EAGAIN);
	ck_assert_int_eq(INPROC->send(a, v, 2, &aside), 5);
	ck_assert_int_eq(half_send(a, "", 0), 0);
	ck_assert_int_eq(half_send(b, "back", 4), 4);
	ck_assert_uint_gt(INPROC->pending(b), 5);

	ck_assert_int_eq(half_recv(b, y, 4), -EMSGSIZE);
	memset(&aside, 0, sizeof aside);
	ck_assert_int_eq(INPROC->recv(b, in, 2, &aside), 5);
	ck_assert_uint_eq(aside.flags, IPC__MORE);
	ck_assert_mem_eq(x, "abc", 3);
	ck_assert_mem_eq(y, "de", 2);
	ck_assert_int_eq(INPROC->recv(b, NULL, 0, &aside), 0);
	ck_assert_uint_eq(aside.flags, 0);
	ck_assert_int_eq(half_recv(b, x, 3), -EAGAIN);
	ck_assert_int_eq(half_recv(a, y, 9), 4);
	ck_assert_uint_eq(INPROC->pending(b), 0);
	close_both();
}
END_TEST

START_TEST(capacity_is_a_ceiling_and_a_record_a_quarter)
{
	static const struct { uint64_t asked; size_t got; } is[] = {
		{ 1, 4096 }, { 4096, 4096 }, { 100000, 65536 },
		{ 1 << 20, 1 << 20 }, { 0, 1 << 18 },
	};
	char *data;

	pair(is[_i].asked);
	ck_assert_uint_eq(a->capacity, is[_i].got);
	ck_assert_uint_eq(a->record, is[_i].got / 4);
	data = calloc(1, a->record + 1);
	ck_assert_int_eq(half_send(a, data, a->record + 1), -EMSGSIZE);
	ck_assert_int_eq(half_send(a, data, a->record), (int)a->record);
	ck_assert_int_eq(half_recv(b, data, a->record), (int)a->record);
	free(data);
	close_both();
}
END_TEST

START_TEST(records_are_made_and_shown_in_place)
{
	const void *seen, *again;
	unsigned flags;
	void *room;

	pair(0);
	ck_assert_int_eq(INPROC->reserve(a, &room, 100), 0);
	ck_assert_uint_eq((uintptr_t)room % 16, 0);
	memcpy(room, "dropped", 8);
	ck_assert_int_eq(INPROC->reserve(a, &room, 100), 0);
	memcpy(room, "kept", 5);
	ck_assert_int_eq(INPROC->peek(b, &seen, &flags), -EAGAIN);
	ck_assert_int_eq(INPROC->commit(a, 101, 0), -EINVAL);
	ck_assert_int_eq(INPROC->commit(a, 5, IPC__CONTROL), 0);
	ck_assert_int_eq(INPROC->commit(a, 5, 0), -EINVAL);

	ck_assert_int_eq(INPROC->peek(b, &seen, &flags), 5);
	ck_assert_uint_eq(flags, IPC__CONTROL);
	ck_assert_ptr_eq(seen, room);
	ck_assert_str_eq(seen, "kept");
	ck_assert_int_eq(INPROC->peek(b, &again, &flags), 5);
	ck_assert_ptr_eq(seen, again);
	INPROC->release(b, 0);
	ck_assert_int_eq(INPROC->peek(b, &seen, &flags), -EAGAIN);
	ck_assert_int_eq(INPROC->reserve(a, &room, a->record + 1), -EMSGSIZE);
	close_both();
}
END_TEST

START_TEST(what_is_held_is_not_seen_until_it_is_published)
{
	struct ipc__aside hold = { .flags = IPC__HOLD };
	struct iovec v = { (void *)(uintptr_t)"x", 1 };
	unsigned flags;
	const void *p;
	char c = 0;
	int n, m;

	pair(4096);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 0);
	ck_assert_int_eq(INPROC->send(a, &v, 1, &hold), 1);
	ck_assert_int_eq(INPROC->send(a, &v, 1, &hold), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), -EAGAIN);
	ck_assert(!rings(b, IPC_RECV));
	INPROC->publish(a, IPC_SEND);
	ck_assert(rings(b, IPC_RECV));
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), -EAGAIN);

	for (n = 0; half_send(a, "", 0) == 0; n++)
		continue;
	ck_assert_int_eq(INPROC->arm(a, IPC_SEND), 0);
	for (m = 0; INPROC->peek(b, &p, &flags) == 0; m++)
		INPROC->release(b, IPC__HOLD);
	ck_assert_int_eq(m, n);
	ck_assert_int_eq(half_send(a, "", 0), -EAGAIN);
	ck_assert(!rings(a, IPC_SEND));
	INPROC->publish(b, IPC_RECV);
	ck_assert(rings(a, IPC_SEND));
	ck_assert_int_eq(half_send(a, "", 0), 0);
	close_both();
}
END_TEST

static unsigned
size_of(unsigned i)
{
	return (i * 2654435761u >> 16) % 1025;
}

/* Around the end of the buffer in every way. */
START_TEST(records_are_whole_wherever_they_lie)
{
	static unsigned char in[1024], out[1024];
	unsigned i, head = 0, tail = 0;
	ssize_t n;

	pair(4096);
	for (i = 0; i < 100000; i++) {
		memset(out, (int)tail & 255, sizeof out);
		if (i % 3 != 2 && half_send(a, out, size_of(tail)) >= 0)
			tail++;
		if (i % 7 < 4 && head < tail) {
			n = half_recv(b, in, sizeof in);
			if (n != (ssize_t)size_of(head) || (n > 0 &&
			    (in[0] != head % 256 || in[n - 1] != head % 256)))
				ck_abort_msg("record %u is wrong", head);
			head++;
		}
	}
	ck_assert_uint_gt(head, 30000);
	close_both();
}
END_TEST

/*
 * Threads
 */

#define RECORDS	1000000u

static void *
send_numbers(void *arg)
{
	unsigned i;
	uint64_t x;
	ssize_t n;

	(void)arg;
	for (i = 0; i < RECORDS; i++) {
		x = i;
		while ((n = half_send(a, &x, sizeof x)) == -EAGAIN)
			wait_for(a, IPC_SEND);
		if (n != sizeof x)
			ck_abort_msg("send: %zd", n);
	}
	return NULL;
}

START_TEST(a_million_records_go_between_two_threads)
{
	pthread_t thread;
	unsigned i;
	uint64_t x;
	ssize_t n;

	pair(_i == 0 ? 4096 : 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_numbers, NULL), 0);
	for (i = 0; i < RECORDS; i++) {
		while ((n = half_recv(b, &x, sizeof x)) == -EAGAIN)
			wait_for(b, IPC_RECV);
		if (n != sizeof x || x != i)
			ck_abort_msg("record %u is %llu, %zd bytes", i,
			    (unsigned long long)x, n);
	}
	pthread_join(thread, NULL);
	close_both();
}
END_TEST

static void *
echo(void *arg)
{
	char buffer[1024];
	ssize_t n;

	(void)arg;
	while ((n = half_recv(b, buffer, sizeof buffer)) != -EPIPE) {
		if (n == -EAGAIN)
			wait_for(b, IPC_RECV);
		else if (half_send(b, buffer, (size_t)n) != n)
			ck_abort_msg("no room for an answer");
	}
	return NULL;
}

/* Each side waits for each single one, so one ring that is lost is noticed. */
START_TEST(no_ring_is_lost)
{
	char buffer[1024] = { 0 };
	pthread_t thread;
	unsigned i;
	ssize_t n;

	pair(4096);
	ck_assert_int_eq(pthread_create(&thread, NULL, echo, NULL), 0);
	for (i = 0; i < 20000; i++) {
		if (half_send(a, buffer, size_of(i)) < 0)
			ck_abort_msg("no room");
		while ((n = half_recv(a, buffer, sizeof buffer)) == -EAGAIN)
			wait_for(a, IPC_RECV);
		if (n != (ssize_t)size_of(i))
			ck_abort_msg("%zd bytes come back", n);
	}
	INPROC->shutdown(a, IPC_SEND);
	pthread_join(thread, NULL);
	close_both();
}
END_TEST

/*
 * Waiting
 */

START_TEST(a_bell_rings_while_something_is_there)
{
	char c;

	pair(0);
	half_send(a, "1", 1);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 1);	/* looks first */
	ck_assert(rings(b, IPC_RECV));
	half_send(a, "2", 1);
	half_recv(b, &c, 1);
	ck_assert(rings(b, IPC_RECV));
	half_recv(b, &c, 1);
	ck_assert_int_eq(half_recv(b, &c, 1), -EAGAIN);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 0);
	ck_assert(!rings(b, IPC_RECV));
	half_send(a, "3", 1);
	ck_assert(rings(b, IPC_RECV));
	half_send(a, "4", 1);
	half_recv(b, &c, 1);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 1);
	ck_assert(rings(b, IPC_RECV));
	close_both();
}
END_TEST

START_TEST(nobody_rings_for_who_does_not_wait)
{
	char c;

	pair(0);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 0);
	INPROC->disarm(b, IPC_RECV);
	half_send(a, "1", 1);
	ck_assert(!rings(b, IPC_RECV));
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	close_both();
}
END_TEST

START_TEST(who_is_told_of_room_has_room_for_a_record)
{
	char buffer[1024] = { 0 };
	int n = 0;

	pair(4096);
	while (half_send(a, buffer, 10) == 10)
		continue;
	ck_assert_int_eq(half_send(a, buffer, 10), -EAGAIN);
	ck_assert_int_eq(INPROC->arm(a, IPC_SEND), 0);
	for (n = 0; !rings(a, IPC_SEND); n++)
		ck_assert_int_eq(half_recv(b, buffer, 1024), 10);
	ck_assert_int_gt(n, 20);
	ck_assert_int_eq(half_send(a, buffer, a->record), (int)a->record);
	close_both();
}
END_TEST

START_TEST(no_descriptor_left_for_a_bell_is_an_error)
{
	struct rlimit old, none = { 0, 0 };

	pair(0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none.rlim_max = old.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), -EMFILE);
	ck_assert_int_eq(INPROC->watch(b, IPC_RECV, NULL), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 0);
	close_both();
}
END_TEST

/*
 * Ending
 */

START_TEST(the_end_comes_after_all_that_was_sent)
{
	char c;

	pair(0);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 0);
	ck_assert_int_eq(INPROC->arm(b, IPC_SEND), 1);
	half_send(a, "1", 1);
	half_send(a, "2", 1);
	half_send(b, "unread", 6);
	half_close(a, true);
	ck_assert(rings(b, IPC_RECV));
	ck_assert_int_eq(half_send(b, "x", 1), -EPIPE);
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), -EPIPE);
	ck_assert_int_eq(half_recv(b, &c, 1), -EPIPE);
	ck_assert_int_eq(INPROC->arm(b, IPC_RECV), 1);
	ck_assert(rings(b, IPC_RECV));
	half_close(b, true);
}
END_TEST

START_TEST(one_direction_ends_alone)
{
	void *room;
	char c;

	pair(0);
	half_send(a, "1", 1);
	INPROC->shutdown(a, IPC_SEND);
	ck_assert_int_eq(half_recv(b, &c, 1), 1);
	ck_assert_int_eq(half_recv(b, &c, 1), -EPIPE);
	ck_assert_int_eq(half_send(b, "2", 1), 1);
	ck_assert_int_eq(half_recv(a, &c, 1), 1);

	ck_assert_int_eq(INPROC->reserve(b, &room, 1), 0);
	INPROC->shutdown(a, IPC_RECV);
	ck_assert_int_eq(INPROC->commit(b, 1, 0), -EPIPE);
	ck_assert_int_eq(half_send(b, "3", 1), -EPIPE);
	ck_assert_int_eq(INPROC->reserve(b, &room, 1), -EPIPE);
	ck_assert_int_eq(half_recv(a, &c, 1), -EAGAIN);
	ck_assert_int_eq(INPROC->arm(b, IPC_SEND), 1);
	close_both();
}
END_TEST

static void *
close_later(void *arg)
{
	(void)arg;
	usleep(20000);
	half_close(a, true);
	return NULL;
}

START_TEST(a_close_wakes_who_waits)
{
	char buffer[1024] = { 0 };
	pthread_t thread;

	pair(4096);
	if (_i == IPC_SEND)
		while (half_send(b, buffer, 1000) > 0)
			continue;
	ck_assert_int_eq(pthread_create(&thread, NULL, close_later, NULL), 0);
	ck_assert(wait_for(b, _i));
	if (_i == IPC_SEND)
		ck_assert_int_eq(half_send(b, buffer, 1), -EPIPE);
	else
		ck_assert_int_eq(half_recv(b, buffer, 1), -EPIPE);
	pthread_join(thread, NULL);
	half_close(b, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lanes");
	TCase *tc = tcase_create("records");

	tcase_add_checked_fixture(tc, note_fds, check_fds);
	tcase_add_test(tc, records_keep_their_boundaries_and_flags);
	tcase_add_loop_test(tc, capacity_is_a_ceiling_and_a_record_a_quarter,
	    0, 5);
	tcase_add_test(tc, records_are_made_and_shown_in_place);
	tcase_add_test(tc, what_is_held_is_not_seen_until_it_is_published);
	tcase_add_test(tc, records_are_whole_wherever_they_lie);
	suite_add_tcase(s, tc);

	tc = tcase_create("waiting and ending");
	tcase_set_timeout(tc, 10);
	tcase_add_checked_fixture(tc, note_fds, check_fds);
	tcase_add_loop_test(tc, a_million_records_go_between_two_threads,
	    0, 2);
	tcase_add_test(tc, no_ring_is_lost);
	tcase_add_test(tc, a_bell_rings_while_something_is_there);
	tcase_add_test(tc, nobody_rings_for_who_does_not_wait);
	tcase_add_test(tc, who_is_told_of_room_has_room_for_a_record);
	tcase_add_test(tc, no_descriptor_left_for_a_bell_is_an_error);
	tcase_add_test(tc, the_end_comes_after_all_that_was_sent);
	tcase_add_test(tc, one_direction_ends_alone);
	tcase_add_loop_test(tc, a_close_wakes_who_waits, IPC_RECV,
	    IPC_SEND + 1);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
