/* SPDX-License-Identifier: ISC */
/*
 * Rings of both directions in one file and one mapping: they are as far apart
 * as two files would be, live as long as either is used, and are handed over
 * with what is needed and nothing more.
 */

#include <sys/resource.h>

#include "rings.h"
#include "shmopen.h"
#include "suite.h"

static const struct ipc_backend *const files[] = {
	&ipc__backend_memfd, &ipc__backend_posixshm, &ipc__backend_mmap
};
#define FILES	((int)(sizeof files / sizeof files[0]))

/* h[0] receives what h[1] sends, h[2] what h[3] sends. */
static void
both_of(struct ipc__half *h[4], const struct ipc_backend *be,
    uint64_t capacity)
{
	static char none[] = "";
	struct ipc__address a;
	int i;

	address_of(&a, be, none);
	a.opt.capacity = capacity;
	a.opt.latest = latest;
	for (i = 0; i < 4; i++)
		h[i] = half_new(be, i % 2 ? IPC_SEND : IPC_RECV);
	if (be->pair_both(h, &a) < 0)
		ck_abort_msg("%s: %s", be->mechanism.scheme, ipc_errmsg());
}

static void
both_free(struct ipc__half *h[4])
{
	int i;

	for (i = 0; i < 4; i++)
		half_free(h[i]);
}

static struct ipc__shm_map *
map_of(const struct ipc__half *h)
{
	return IPC__STATE(h, struct ipc__shm)->map;
}

static void
says(struct ipc__half *from, struct ipc__half *to, const char *what)
{
	char in[100];

	ck_assert_int_eq(put(from, what, strlen(what), 0),
	    (ssize_t)strlen(what));
	ck_assert_int_eq(get(to, in, sizeof in), (ssize_t)strlen(what));
	ck_assert_mem_eq(in, what, strlen(what));
}

/* So that both have all of their memory, and it twice. */
static void
fill(struct ipc__half *from, unsigned char *out, size_t size, int seed)
{
	unsigned long n;
	size_t i;

	for (i = 0; i < size; i++)
		out[i] = (unsigned char)(i * 31 + i / 256 + (size_t)seed);
	for (n = 0; put(from, out, size, 0) >= 0; n++)
		out[0] = (unsigned char)(n + 1);
	ck_assert_uint_ge(n, 3);
}

static void
drain(struct ipc__half *to, const unsigned char *out, size_t size)
{
	static unsigned char in[1 << 20];
	unsigned long n;

	for (n = 0; get(to, in, size) == (ssize_t)size; n++)
		ck_assert_mem_eq(in + 1, out + 1, size - 1);
	ck_assert_uint_ge(n, 3);
}

START_TEST(full_rings_leave_each_other_alone)
{
	static unsigned char one[200000], other[200000];
	struct ipc__half *h[4];
	int i;

	both_of(h, files[_i], 1 << 20);
	for (i = 0; i < 3; i++) {
		fill(h[1], one, sizeof one, 1);
		fill(h[3], other, sizeof other, 2);
		drain(h[0], one, sizeof one);
		fill(h[1], one, sizeof one, 3);
		drain(h[2], other, sizeof other);
		drain(h[0], one, sizeof one);
	}
	ck_assert_uint_gt(map_of(h[0])->bytes, 1 << 20);
	ck_assert(map_of(h[0])->mirrored && map_of(h[2])->mirrored);
	both_free(h);
}
END_TEST

START_TEST(they_share_one_file)
{
	struct ipc__half *h[4];

	both_of(h, files[_i], 0);
	ck_assert_int_eq(map_of(h[0])->mem, map_of(h[3])->mem);
	ck_assert_ptr_eq(map_of(h[2])->host, map_of(h[1]));
	ck_assert_int_ne(map_of(h[0])->bell[0], map_of(h[2])->bell[0]);
	both_free(h);
}
END_TEST

/* Either may end first. */
START_TEST(the_memory_stays_for_who_still_uses_it)
{
	int first = _i / FILES * 2;
	struct ipc__half *h[4];

	both_of(h, files[_i % FILES], 0);
	says(h[1], h[0], "one way");
	says(h[3], h[2], "the other");
	half_free(h[first]);
	half_free(h[first + 1]);
	h[first] = h[first + 1] = NULL;
	says(h[3 - first], h[2 - first], "still there");
	both_free(h);
}
END_TEST

START_TEST(slots_share_one_as_well)
{
	struct ipc__half *h[4];

	latest = true;
	both_of(h, files[_i], 0);
	latest = false;
	ck_assert_int_eq(map_of(h[0])->mem, map_of(h[3])->mem);
	says(h[1], h[0], "newest");
	says(h[3], h[2], "and newest");
	both_free(h);
}
END_TEST

/* As those of another process: copies of the descriptors. */
static void
ticket_of(struct ipc__half *h, struct ipc__ticket *t)
{
	unsigned i;

	*t = (struct ipc__ticket){ .size = 0 };
	ck_assert_int_eq(h->be->give(h, t), 0);
	for (i = 0; i < t->fd_count; i++)
		t->fds[i] = fcntl(t->fds[i], F_DUPFD_CLOEXEC, 0);
}

static void
drop_ticket(struct ipc__ticket *t)
{
	unsigned i;

	for (i = 0; i < t->fd_count; i++)
		if (t->fds[i] >= 0)
			close(t->fds[i]);
}

START_TEST(both_are_taken_from_two_tickets)
{
	const struct ipc_backend *be = files[_i];
	struct ipc__half *h[4], *rx, *tx;
	struct ipc__ticket t;

	both_of(h, be, 0);
	says(h[1], h[0], "before");
	ticket_of(h[0], &t);
	ck_assert_uint_eq(t.fd_count, 3);
	rx = half_new(be, IPC_RECV);
	ck_assert_int_eq(be->take(rx, &t), 0);
	ticket_of(h[3], &t);
	ck_assert_uint_eq(t.fd_count, 2);
	t.beside = rx;
	tx = half_new(be, IPC_SEND);
	ck_assert_int_eq(be->take(tx, &t), 0);
	ck_assert_uint_eq(t.fd_next, t.fd_count);
	half_free(h[0]);
	half_free(h[3]);
	h[0] = rx;
	h[3] = tx;
	says(h[1], h[0], "there");
	says(h[3], h[2], "and back");
	/* The one that has the memory goes first. */
	half_free(h[0]);
	h[0] = NULL;
	says(h[3], h[2], "and back");
	both_free(h);
}
END_TEST

/* What a ticket stands behind is what the other one has made, or nothing. */
START_TEST(a_second_ticket_needs_its_first)
{
	const struct ipc_backend *be = files[_i];
	struct ipc__half *h[4], *rx, *tx = half_new(be, IPC_SEND);
	struct ipc__ticket t;
	struct ends single;

	both_of(h, be, 0);
	ticket_of(h[3], &t);
	ck_assert_int_eq(be->take(tx, &t), -EBADMSG);
	drop_ticket(&t);
	/* A ring that is alone. */
	pair_of(&single, be, 0);
	ticket_of(h[3], &t);
	t.beside = single.recv;
	ck_assert_int_eq(be->take(tx, &t), -EBADMSG);
	drop_ticket(&t);
	pair_free(&single);
	/* One of another size. */
	ticket_of(h[0], &t);
	rx = half_new(be, IPC_RECV);
	ck_assert_int_eq(be->take(rx, &t), 0);
	both_free(h);
	both_of(h, be, 1 << 16);
	ticket_of(h[3], &t);
	t.beside = rx;
	ck_assert_int_eq(be->take(tx, &t), -EBADMSG);
	drop_ticket(&t);
	both_free(h);
	free(tx);
	half_free(rx);
}
END_TEST

/* Room for one ring only, or for both but cut short behind the first. */
START_TEST(a_file_for_one_is_not_taken_for_two)
{
	const struct ipc_backend *be = files[_i];
	struct ipc__half *h[4], *rx = half_new(be, IPC_RECV);
	struct ipc__ticket t, one;
	struct ends single;

	both_of(h, be, 0);
	pair_of(&single, be, 0);
	ticket_of(h[0], &t);
	ticket_of(single.recv, &one);
	memcpy(one.bytes, t.bytes, t.size);
	ck_assert_int_eq(be->take(rx, &one), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "cut short"));
	drop_ticket(&t);
	drop_ticket(&one);
	pair_free(&single);
	both_free(h);
	free(rx);
}
END_TEST

/* A segment never holds two. */
START_TEST(a_segment_is_not_taken_for_two)
{
	const struct ipc_backend *be = &ipc__backend_sysvshm;
	struct ipc__half *rx = half_new(be, IPC_RECV);
	struct ipc__ticket t;
	struct ends single;

	pair_of(&single, be, 0);
	ticket_of(single.recv, &t);
	/* The marks are in the word behind the secret and the namespace. */
	t.bytes[12 + 7] |= 0x40;
	ck_assert_int_eq(be->take(rx, &t), -EBADMSG);
	drop_ticket(&t);
	pair_free(&single);
	free(rx);
}
END_TEST

/* Each by itself is allowed. */
START_TEST(what_is_too_large_together_is_made_one_by_one)
{
	const struct rlimit less = { 8 << 20, RLIM_INFINITY };
	struct ipc_channel *ch[2];
	char address[16], in[10];

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &less), 0);
	snprintf(address, sizeof address, "%s:",
	    files[_i]->mechanism.scheme);
	if (ipc_pair(ch, address, 0) < 0)
		ck_abort_msg("%s", ipc_errmsg());
	ck_assert_int_eq(ipc_send(ch[0], "one", 3, 1000), 0);
	ck_assert_int_eq(ipc_recv(ch[1], in, sizeof in, 1000), 3);
	ck_assert_int_eq(ipc_send(ch[1], "other", 5, 1000), 0);
	ck_assert_int_eq(ipc_recv(ch[0], in, sizeof in, 1000), 5);
	ipc_close(ch[0]);
	ipc_close(ch[1]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shmboth");
	TCase *tc = tcase_create("shmboth");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, full_rings_leave_each_other_alone, 0, FILES);
	tcase_add_loop_test(tc, they_share_one_file, 0, FILES);
	tcase_add_loop_test(tc, the_memory_stays_for_who_still_uses_it, 0,
	    2 * FILES);
	tcase_add_loop_test(tc, slots_share_one_as_well, 0, FILES);
	tcase_add_loop_test(tc, both_are_taken_from_two_tickets, 0, FILES);
	tcase_add_loop_test(tc, a_second_ticket_needs_its_first, 0, FILES);
	tcase_add_loop_test(tc, a_file_for_one_is_not_taken_for_two, 0,
	    FILES);
	tcase_add_test(tc, a_segment_is_not_taken_for_two);
	tcase_add_loop_test(tc, what_is_too_large_together_is_made_one_by_one,
	    0, FILES);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
