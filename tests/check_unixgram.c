/* SPDX-License-Identifier: ISC */
/*
 * Unix datagram sockets: what is opened by name, and answers.
 */
#include <sys/un.h>
#include <fcntl.h>

#include "sockets.h"

static ssize_t
get_from(struct ipc__half *h, void *data, size_t size, struct ipc__aside *from)
{
	static unsigned char name[128];
	struct iovec iov = { data, size };

	from->address = name;
	from->address_size = sizeof name;
	return h->be->recv(h, &iov, 1, from);
}

static ssize_t
answer(struct ipc__half *h, const char *data, const struct ipc__aside *to)
{
	struct iovec iov = { (void *)data, strlen(data) };

	return h->be->send(h, &iov, 1, to);
}

START_TEST(a_sender_reaches_the_receiver)
{
	struct ipc__aside from = { 0 };
	struct ipc__half *r, *s;
	char buf[100];

	ck_assert_int_eq(open_at(&s, "unixgram:%s/g", IPC_SEND, 0), -ENOENT);
	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, IPC_CREATE));
	assert_ok(open_at(&s, "unixgram:%s/g", IPC_SEND, 0));
	ck_assert_int_eq(put(s, "one", 3), 3);
	ck_assert_int_eq(put(s, "", 0), 0);
	ck_assert_int_eq(put(s, "three", 5), 5);
	ck_assert_int_eq(get_from(r, buf, sizeof buf, &from), 3);
	ck_assert_uint_eq(from.address_size, 0);
	ck_assert_int_eq(get(r, buf, sizeof buf), 0);
	ck_assert_int_eq(get(r, buf, 4), -EMSGSIZE);
	ck_assert_int_eq(get(r, buf, 5), 5);
	ck_assert_int_eq(get(r, buf, sizeof buf), -EAGAIN);
	half_free(s, true);
	half_free(r, true);
}
END_TEST

START_TEST(a_receiver_answers_each_by_its_address)
{
	struct ipc__half *r, *c[3];
	struct ipc__aside from[3] = { { 0 } };
	unsigned char name[3][128];
	char buf[100], text[2] = "0";
	int i;

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	for (i = 0; i < 3; i++) {
		assert_ok(open_at(&c[i], "unixgram:%s/g", IPC_DUPLEX, 0));
		text[0] = '0' + i;
		ck_assert_int_eq(put(c[i], text, 1), 1);
		ck_assert_int_eq(get_from(r, buf, sizeof buf, &from[i]), 1);
		ck_assert_uint_gt(from[i].address_size, 2);
		memcpy(name[i], from[i].address, from[i].address_size);
		from[i].address = name[i];
	}
	for (i = 2; i >= 0; i--) {
		text[0] = 'a' + i;
		ck_assert_int_eq(answer(r, text, &from[i]), 1);
	}
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(get(c[i], buf, sizeof buf), 1);
		ck_assert_int_eq(buf[0], 'a' + i);
		ck_assert_int_eq(get(c[i], buf, sizeof buf), -EAGAIN);
	}
	ck_assert_int_eq(put(r, "whom?", 5), -EDESTADDRREQ);
	half_free(c[1], true);
	ck_assert_int_eq(answer(r, "x", &from[1]), -EPIPE);
	ck_assert_int_eq(answer(r, "x", &from[2]), 1);
	half_free(c[0], true);
	half_free(c[2], true);
	half_free(r, true);
}
END_TEST

START_TEST(sending_to_a_receiver_that_is_gone_is_epipe)
{
	struct ipc__half *r, *s;
	int i;

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	assert_ok(open_at(&s, "unixgram:%s/g", _i, 0));
	ck_assert_int_eq(put(s, "one", 3), 3);
	half_free(r, false);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(put(s, "x", 1), -EPIPE);
	ck_assert_int_eq(get(s, (char[10]){ 0 }, 10), -EAGAIN);
	half_free(s, true);
	ck_assert_int_eq(open_at(&s, "unixgram:%s/g", _i, 0), -ECONNREFUSED);
}
END_TEST

/* Whether it died, or closed and took its name along. */
START_TEST(an_answer_outlives_the_one_who_gave_it)
{
	struct ipc__aside from = { 0 };
	struct ipc__half *r, *c;
	char buf[10];

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	assert_ok(open_at(&c, "unixgram:%s/g", IPC_DUPLEX, 0));
	ck_assert_int_eq(put(c, "ask", 3), 3);
	ck_assert_int_eq(get_from(r, buf, sizeof buf, &from), 3);
	ck_assert_int_eq(answer(r, "yes", &from), 3);
	/* Nor does another question hurt it. */
	ck_assert_int_eq(put(c, "more", 4), 4);
	half_free(r, _i);
	ck_assert_int_eq(put(c, "more", 4), -EPIPE);
	ck_assert_int_eq(get(c, buf, sizeof buf), 3);
	ck_assert_mem_eq(buf, "yes", 3);
	ck_assert_int_eq(put(c, "more", 4), -EPIPE);
	half_free(c, true);
}
END_TEST

START_TEST(one_receiver_has_the_name)
{
	struct ipc__half *r, *again;
	char path[100];

	snprintf(path, sizeof path, "%s/g", top);
	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	ck_assert_int_eq(open_at(&again, "unixgram:%s/g", IPC_RECV, 0), -EBUSY);
	ck_assert_int_eq(open_at(&again, "unixgram:%s/g", IPC_RECV,
	    IPC_CREATE | IPC_EXCLUSIVE), -EEXIST);
	/* A dead one's name is taken over; a copy that goes leaves it. */
	half_free(r, false);
	ck_assert_int_eq(access(path, F_OK), 0);
	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	half_free(r, true);
	ck_assert_int_eq(access(path, F_OK), -1);
	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV,
	    IPC_CREATE | IPC_EXCLUSIVE));
	half_free(r, true);
}
END_TEST

START_TEST(the_mode_is_the_one_of_the_address)
{
	struct ipc__half *r;
	struct stat st;
	char path[100];

	snprintf(path, sizeof path, "%s/g", top);
	assert_ok(open_at(&r, "unixgram:%s/g?mode=0620", IPC_RECV, 0));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0620);
	half_free(r, true);
}
END_TEST

START_TEST(the_name_is_removed_by_unlink)
{
	const struct ipc_backend *be = sockets[UNIXGRAM];
	struct ipc__address a = address(IPC_WAY_OPEN, "unixgram:%s/g");
	struct ipc__half *r;

	ck_assert_int_eq(be->unlink(&a), -ENOENT);
	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	ck_assert_int_eq(be->unlink(&a), -EBUSY);
	half_free(r, false);
	assert_ok(be->unlink(&a));
	ck_assert_int_eq(be->unlink(&a), -ENOENT);
	ipc__address_free(&a);
}
END_TEST

START_TEST(a_meeting_point_is_not_opened)
{
	static const char *const text[] = { "unix:%s/g", "unixpacket:%s/g" };
	struct ipc__half *l, *h;

	assert_ok(listen_at(&l, text[_i]));
	ck_assert_int_eq(open_at(&h, "unixgram:%s/g", IPC_SEND, 0),
	    -EPROTOTYPE);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "ipc_connect"));
	ck_assert_int_eq(open_at(&h, "unixgram:%s/g", IPC_RECV, 0),
	    -EPROTOTYPE);
	half_free(l, true);
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
	struct ipc__half *h;
	char path[100];

	snprintf(path, sizeof path, "%s/g", top);
	ck_assert_int_eq(close(creat(path, 0600)), 0);
	ck_assert_int_eq(open_at(&h, "unixgram:%s/g", IPC_RECV, 0), -EEXIST);
	ck_assert_int_eq(open_at(&h, "unixgram:%s/g", IPC_SEND, 0),
	    -EPROTOTYPE);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_full_receiver_makes_senders_wait)
{
	struct ipc__half *r, *s;
	struct pollfd p;
	int n = 0;
	char buf[100];

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	assert_ok(open_at(&s, "unixgram:%s/g", IPC_SEND, 0));
	while (put(s, "x", 1) > 0)
		ck_assert_int_lt(++n, 100000);
	ck_assert_int_eq(s->be->watch(s, IPC_SEND, &p), 1);
	ck_assert_int_eq(p.events, POLLOUT);
	ck_assert(!ready(p.fd, POLLOUT, 0));
	while (get(r, buf, sizeof buf) > 0)
		n--;
	ck_assert_int_eq(n, 0);
	ck_assert(ready(p.fd, POLLOUT, 0));
	half_free(s, true);
	half_free(r, true);
}
END_TEST

/* Another program that has bound a name, and is connected to nobody. */
static int
stranger(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/%s", top, name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

static void
stranger_says(int fd, const char *text)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/g", top);
	ck_assert_int_eq(sendto(fd, text, strlen(text), 0,
	    (struct sockaddr *)&sun, sizeof sun), strlen(text));
}

/* Its queue is short, and whether there is room in it does not show on the
 * receiver's own socket. */
START_TEST(a_full_asker_is_waited_for)
{
	struct ipc__aside from = { 0 };
	struct ipc__half *r;
	struct pollfd p;
	char buf[100];
	int fd, n = 0;

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	fd = stranger("asker");
	stranger_says(fd, "ask");
	ck_assert_int_eq(get_from(r, buf, sizeof buf, &from), 3);
	while (answer(r, "x", &from) > 0)
		ck_assert_int_lt(++n, 100000);
	ck_assert_int_eq(r->be->watch(r, IPC_SEND, &p), 1);
	ck_assert(!ready(p.fd, POLLOUT, 0));
	while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
		n--;
	ck_assert_int_eq(n, 0);
	ck_assert(ready(p.fd, POLLOUT, 0));
	ck_assert_int_eq(answer(r, "x", &from), 1);
	close(fd);
	ck_assert_int_eq(answer(r, "x", &from), -EPIPE);
	half_free(r, true);
}
END_TEST

/* One that is connected to the receiver is bounded by the receiver's buffer. */
START_TEST(a_full_client_is_waited_for)
{
	struct ipc__aside from = { 0 };
	struct ipc__half *r, *c;
	struct pollfd p;
	char buf[100];
	int n = 0;

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	assert_ok(open_at(&c, "unixgram:%s/g", IPC_DUPLEX, 0));
	ck_assert_int_eq(put(c, "ask", 3), 3);
	ck_assert_int_eq(get_from(r, buf, sizeof buf, &from), 3);
	while (answer(r, "x", &from) > 0)
		ck_assert_int_lt(++n, 100000);
	ck_assert_int_eq(r->be->watch(r, IPC_SEND, &p), 1);
	ck_assert(!ready(p.fd, POLLOUT, 0));
	while (get(c, buf, sizeof buf) > 0)
		n--;
	ck_assert_int_eq(n, 0);
	ck_assert(ready(p.fd, POLLOUT, 0));
	half_free(c, true);
	half_free(r, true);
}
END_TEST

START_TEST(the_largest_datagram_arrives)
{
	static char data[8 << 20];
	struct ipc__half *r, *s;
	size_t size;

	assert_ok(open_at(&r, "unixgram:%s/g", IPC_RECV, 0));
	assert_ok(open_at(&s, "unixgram:%s/g", IPC_SEND, 0));
	size = s->record;
	ck_assert_uint_ge(size, 400000);
	ck_assert_uint_eq(r->record, size);
	ck_assert_uint_le(size, sizeof data);
	ck_assert_int_eq(put(s, data, size), size);
	ck_assert_int_eq(get(r, data, size - 1), -EMSGSIZE);
	ck_assert_int_eq(get(r, data, size), size);
	half_free(s, true);
	half_free(r, true);
}
END_TEST

START_TEST(an_abstract_name_is_opened_too)
{
	struct ipc__half *r, *s;
	char text[100], buf[10];

	snprintf(text, sizeof text, "unixgram:@ipc-gram-%d", (int)getpid());
	assert_ok(open_at(&r, text, IPC_RECV, 0));
	ck_assert_int_eq(open_at(&s, text, IPC_RECV, 0), -EBUSY);
	assert_ok(open_at(&s, text, IPC_SEND, 0));
	ck_assert_int_eq(put(s, "x", 1), 1);
	ck_assert_int_eq(get(r, buf, sizeof buf), 1);
	half_free(s, true);
	half_free(r, true);
	ck_assert_int_eq(open_at(&s, text, IPC_SEND, 0), -ECONNREFUSED);
}
END_TEST

START_TEST(a_dead_end_of_a_pair_is_epipe_for_the_sender)
{
	struct ipc__half *e[2];
	char buf[100];
	int i;

	make_pair(e, "unixgram:");
	ck_assert_int_eq(put(e[1], "sent", 4), 4);
	half_free(e[1], false);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(put(e[0], "x", 1), -EPIPE);
	ck_assert_int_eq(get(e[0], buf, sizeof buf), 4);
	ck_assert_int_eq(get(e[0], buf, sizeof buf), -EAGAIN);
	half_free(e[0], true);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("unixgram");
	TCase *tc = tcase_create("unixgram");

	tcase_add_checked_fixture(tc, sockets_setup, sockets_teardown);
	tcase_set_timeout(tc, 10);
	tcase_add_test(tc, a_sender_reaches_the_receiver);
	tcase_add_test(tc, a_receiver_answers_each_by_its_address);
	tcase_add_loop_test(tc, sending_to_a_receiver_that_is_gone_is_epipe,
	    IPC_SEND, IPC_DUPLEX + 1);
	tcase_add_loop_test(tc, an_answer_outlives_the_one_who_gave_it, 0, 2);
	tcase_add_test(tc, one_receiver_has_the_name);
	tcase_add_test(tc, the_mode_is_the_one_of_the_address);
	tcase_add_test(tc, the_name_is_removed_by_unlink);
	tcase_add_loop_test(tc, a_meeting_point_is_not_opened, 0, 2);
	tcase_add_test(tc, what_is_no_socket_is_left_alone);
	tcase_add_test(tc, a_full_receiver_makes_senders_wait);
	tcase_add_test(tc, a_full_asker_is_waited_for);
	tcase_add_test(tc, a_full_client_is_waited_for);
	tcase_add_test(tc, the_largest_datagram_arrives);
	tcase_add_test(tc, an_abstract_name_is_opened_too);
	tcase_add_test(tc, a_dead_end_of_a_pair_is_epipe_for_the_sender);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
