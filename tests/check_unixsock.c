/* SPDX-License-Identifier: ISC */
/*
 * Unix stream and seqpacket sockets: what is taken whole, descriptors, names.
 */
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/un.h>
#include <fcntl.h>
#include <signal.h>

#include "sockets.h"

static const char *const pair_address[] = { "unix:", "unixpacket:" };
static const char *const session_address[] = {
	"unix:%s/s", "unixpacket:%s/s"
};
#define BOTH	2

/*
 * Whole or not at all
 */

/* The kernel takes a piece of a stream when less than its limit is under way,
 * and then all of it: whatever there is room for, what is `atomic' is never cut
 * in two.  This holds a kernel to it. */
START_TEST(what_is_atomic_is_whole_or_nothing)
{
	static const char *const text[] = {
		"unix:", "unix:?capacity=4K", "unix:?capacity=20K", "unix:"
	};
	static char data[200000];
	struct ipc__half *e[2];
	size_t size, taken = 0, refused = 0;
	int round;
	ssize_t n;

	make_pair(e, text[_i]);
	if (_i == 3)
		e[0]->be->expect(e[0], 16 << 20);
	ck_assert_uint_gt(e[0]->atomic, 1000);
	for (round = 0; round < 400; round++) {
		size = e[0]->atomic - round * 7 % (e[0]->atomic / 2);
		n = put(e[0], data, size);
		ck_assert(n == (ssize_t)size || n == -EAGAIN);
		taken += n > 0;
		refused += n < 0;
		/* Room of ever other sizes. */
		if (n < 0)
			ck_assert_int_gt(get(e[1], data, 1 + round * 37), 0);
		else
			while (put(e[0], data, 1 + round % 3) > 0 && round & 1)
				;
	}
	ck_assert_uint_gt(taken, 20);
	ck_assert_uint_gt(refused, 20);
	free_pair(e);
}
END_TEST

START_TEST(more_than_fits_is_taken_in_part)
{
	static char data[1 << 20];
	struct ipc__half *e[2];
	ssize_t n;

	make_pair(e, "unix:?capacity=64K");
	n = put(e[0], data, sizeof data);
	ck_assert_int_ge(n, e[0]->record);
	ck_assert_int_lt(n, 1 << 17);
	ck_assert_int_eq(put(e[0], data, 1), -EAGAIN);
	free_pair(e);
}
END_TEST

START_TEST(a_record_stays_when_the_buffer_is_small)
{
	static char data[1 << 21];
	struct ipc__half *e[2];
	ssize_t n;

	make_pair(e, "unixpacket:");
	memset(data, 'x', sizeof data);
	ck_assert_int_eq(put(e[0], data, 5000), 5000);
	for (n = 0; n < 3; n++) {
		ck_assert_int_eq(get(e[1], data, 4999), -EMSGSIZE);
		ck_assert_int_eq(get(e[1], data, 0), -EMSGSIZE);
	}
	ck_assert_int_eq(get(e[1], data, 5000), 5000);
	ck_assert_int_eq(data[4999], 'x');
	ck_assert_int_eq(get(e[1], data, 5000), -EAGAIN);
	free_pair(e);
}
END_TEST

/* Two ends of a session need not have the same capacity. */
START_TEST(a_larger_record_than_ones_own_is_expected)
{
	static char data[1 << 21];
	struct ipc__half *l, *e[2];
	size_t n;

	assert_ok(listen_at(&l, "unixpacket:%s/s"));
	make_session(e, l, "unixpacket:%s/s?capacity=8K");
	ck_assert_uint_lt(e[0]->record, 8192);
	n = e[1]->record;
	ck_assert_uint_ge(n, 65536);
	ck_assert_uint_ge(e[0]->room, n);
	ck_assert_int_eq(put(e[1], data, n), n);
	ck_assert_int_eq(get(e[0], data, e[0]->record), -EMSGSIZE);
	ck_assert_int_eq(get(e[0], data, e[0]->room), n);
	ck_assert_int_eq(put(e[0], data, e[0]->record), e[0]->record);
	ck_assert_int_eq(get(e[1], data, e[1]->room), e[0]->record);
	free_pair(e);
	half_free(l, true);
}
END_TEST

/* No sender of ours makes it; it must not look like a shorter one. */
START_TEST(a_record_that_is_cut_is_an_error)
{
	static char data[1 << 16];
	struct ipc__half *e[2];

	make_pair(e, "unixpacket:");
	e[1]->room = 1000;
	ck_assert_int_eq(put(e[0], data, 1001), 1001);
	ck_assert_int_eq(put(e[0], data, 1000), 1000);
	ck_assert_int_eq(get(e[1], data, 1000), -EBADMSG);
	ck_assert_int_eq(get(e[1], data, 1000), 1000);
	free_pair(e);
}
END_TEST

START_TEST(an_adopted_one_takes_records_of_any_size)
{
	static char data[1 << 19];
	struct ipc__half *h = half_new(sockets[UNIXPACKET], IPC_DUPLEX);
	int fds[2], size = sizeof data;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    fds), 0);
	h->adopted = h->bare = true;
	assert_ok(h->be->adopt(h, fds[0], false));
	ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size,
	    sizeof size), 0);
	size = h->record < sizeof data ? (int)h->record : (int)sizeof data;
	ck_assert_int_ge(size, 400000);
	ck_assert_int_eq(send(fds[1], data, size, 0), size);
	ck_assert_int_eq(get(h, data, size - 1), -EMSGSIZE);
	ck_assert_int_eq(get(h, data, size), size);
	ck_assert_int_eq(put(h, data, size), size);
	ck_assert_int_eq(recv(fds[1], data, size, 0), size);
	close(fds[1]);
	half_free(h, true);
}
END_TEST

START_TEST(large_records_raise_the_buffer_by_themselves)
{
	static char data[1 << 21];
	struct ipc__half *e[2];
	ssize_t n;

	make_pair(e, "unixpacket:");
	n = e[0]->record;
	ck_assert_int_ge(n, 65536 + 1);
	ck_assert_int_eq(put(e[0], data, n), n);
	ck_assert_int_eq(get(e[1], data, sizeof data), n);
	ck_assert_uint_ge(e[0]->capacity, n);
	free_pair(e);
}
END_TEST

/* One that the kernel has no memory for: then smaller ones are to be sent. */
START_TEST(a_record_beyond_the_kernel_lowers_the_record)
{
	static char data[5 << 20];
	struct ipc__half *e[2];

	make_pair(e, "unixpacket:");
	e[0]->be->expect(e[0], 16 << 20);
	ck_assert_int_eq(put(e[0], data, sizeof data), -EMSGSIZE);
	ck_assert_uint_le(e[0]->record, 1 << 20);
	ck_assert_int_eq(get(e[1], data, sizeof data), -EAGAIN);
	ck_assert_int_eq(put(e[0], data, e[0]->record), e[0]->record);
	ck_assert_int_eq(get(e[1], data, sizeof data), e[0]->record);
	free_pair(e);
}
END_TEST

/*
 * Descriptors
 */

static ssize_t
put_fds(struct ipc__half *h, const char *data, const int *fds, unsigned count)
{
	struct ipc__aside aside = { .fds = (int *)(uintptr_t)fds,
	    .fd_count = count };
	struct iovec iov = { (void *)data, strlen(data) };

	return h->be->send(h, &iov, 1, &aside);
}

static ssize_t
get_fds(struct ipc__half *h, void *data, size_t size, struct ipc__aside *aside)
{
	struct iovec iov = { data, size };

	return h->be->recv(h, &iov, 1, aside);
}

static void
make_pipes(int *fds, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i += 2)
		ck_assert_int_eq(pipe2(fds + i, O_CLOEXEC), 0);
}

static void
close_all(int *fds, unsigned count)
{
	while (count > 0)
		ck_assert_int_eq(close(fds[--count]), 0);
}

START_TEST(descriptors_travel)
{
	struct ipc__half *e[2];
	int out[64], in[64];
	struct ipc__aside aside = { .fds = in, .fd_count = 64, .lost = true };
	char buf[100], c;
	int i;

	make_pair(e, pair_address[_i]);
	make_pipes(out, 64);
	ck_assert_int_eq(put_fds(e[0], "here", out, 64), 4);
	ck_assert_int_eq(get_fds(e[1], buf, sizeof buf, &aside), 4);
	ck_assert_uint_eq(aside.fd_count, 64);
	ck_assert(!aside.lost);
	for (i = 0; i < 64; i += 2) {
		ck_assert_int_eq(fcntl(in[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(write(in[i + 1], "x", 1), 1);
		ck_assert_int_eq(read(out[i], &c, 1), 1);
	}
	close_all(in, 64);
	close_all(out, 64);
	/* And the next message has none. */
	aside.fd_count = 64;
	ck_assert_int_eq(put(e[0], "none", 4), 4);
	ck_assert_int_eq(get_fds(e[1], buf, sizeof buf, &aside), 4);
	ck_assert_uint_eq(aside.fd_count, 0);
	free_pair(e);
}
END_TEST

START_TEST(descriptors_without_room_are_closed_together)
{
	struct ipc__half *e[2];
	int out[4], in[4] = { -1, -1, -1, -1 }, now;
	struct ipc__aside aside = { .fds = in, .fd_count = 3 };
	char buf[100];

	make_pair(e, pair_address[_i]);
	make_pipes(out, 4);
	now = count_fds();
	ck_assert_int_eq(put_fds(e[0], "here", out, 4), 4);
	ck_assert_int_eq(get_fds(e[1], buf, sizeof buf, &aside), 4);
	ck_assert(aside.lost);
	ck_assert_uint_eq(aside.fd_count, 0);
	/* A receive that asks for none. */
	ck_assert_int_eq(put_fds(e[0], "here", out, 4), 4);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 4);
	/* Nor are they lost when nobody receives. */
	ck_assert_int_eq(put_fds(e[0], "here", out, 4), 4);
	ck_assert_int_eq(count_fds(), now);
	close_all(out, 4);
	free_pair(e);
}
END_TEST

START_TEST(no_free_descriptor_loses_descriptors_only)
{
	struct ipc__half *e[2];
	int out[4], in[4];
	struct ipc__aside aside = { .fds = in, .fd_count = 4 };
	char buf[100];
	pid_t child;

	make_pair(e, pair_address[_i]);
	make_pipes(out, 4);
	ck_assert_int_eq(put_fds(e[0], "here", out, 4), 4);
	close_all(out, 4);
	if ((child = fork()) == 0) {
		int low = fcntl(e[1]->fd, F_DUPFD_CLOEXEC, 0);
		struct rlimit r = { low + 2, low + 2 };

		close(low);	/* room for two of the four */
		close(low + 1);
		close(low + 2);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
		ck_assert_int_eq(get_fds(e[1], buf, sizeof buf, &aside), 4);
		ck_assert_mem_eq(buf, "here", 4);
		ck_assert(aside.lost);
		ck_assert_uint_eq(aside.fd_count, 0);
		ck_assert_int_eq(fcntl(low, F_GETFD), -1);
		_exit(0);
	}
	join_child(child);
	free_pair(e);
}
END_TEST

/*
 * Sessions
 */

START_TEST(a_session_is_native)
{
	struct ipc__half *l, *e[2], *none;
	struct ipc_peer peer;
	char buf[100], where[256], text[256];

	assert_ok(listen_at(&l, session_address[_i]));
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	make_session(e, l, session_address[_i]);
	ck_assert_int_eq(accept_from(&none, l), -EAGAIN);
	ck_assert_int_eq(put(e[0], "ask", 3), 3);
	ck_assert_int_eq(get(e[1], buf, sizeof buf), 3);
	ck_assert_int_eq(put(e[1], "tell", 4), 4);
	ck_assert_int_eq(get(e[0], buf, sizeof buf), 4);
	ck_assert_uint_eq(e[0]->record, e[1]->record);
	ck_assert_uint_gt(e[1]->capacity, 0);
	assert_ok(e[1]->be->peer(e[1], &peer));
	ck_assert_int_eq(peer.pid, getpid());
	ck_assert_int_eq(peer.uid, getuid());
	assert_ok(l->be->where(l, where, sizeof where));
	snprintf(text, sizeof text, session_address[_i], top);
	ck_assert_str_eq(where, text);
	ck_assert_int_eq(l->be->where(l, where, strlen(text)), -ENAMETOOLONG);
	free_pair(e);
	half_free(l, true);
	snprintf(buf, sizeof buf, "%s/s", top);
	ck_assert_int_eq(access(buf, F_OK), -1);
}
END_TEST

START_TEST(a_name_in_use_is_left_alone)
{
	struct ipc__half *l, *second, *e[2];
	char path[100];

	assert_ok(listen_at(&l, session_address[_i]));
	ck_assert_int_eq(listen_at(&second, session_address[_i]),
	    -EADDRINUSE);
	make_session(e, l, session_address[_i]);
	free_pair(e);
	/* A copy that goes removes nothing. */
	half_free(l, false);
	snprintf(path, sizeof path, "%s/s", top);
	ck_assert_int_eq(access(path, F_OK), 0);
	/* And what a dead one left is taken over. */
	assert_ok(listen_at(&l, session_address[_i]));
	make_session(e, l, session_address[_i]);
	free_pair(e);
	half_free(l, true);
}
END_TEST

START_TEST(an_abstract_name_works)
{
	static const char *const scheme[] = { "unix", "unixpacket" };
	struct ipc__half *l, *e[2];
	char text[100], where[200];

	snprintf(text, sizeof text, "%s:@ipc-check-%d?capacity=64K", scheme[_i],
	    (int)getpid());
	assert_ok(listen_at(&l, text));
	make_session(e, l, text);
	ck_assert_uint_le(e[1]->capacity, 65536);
	assert_ok(l->be->where(l, where, sizeof where));
	*strchr(text, '?') = '\0';
	ck_assert_str_eq(where, text);
	free_pair(e);
	half_free(l, true);
	ck_assert_int_eq(connect_at(&e[0], text, 0), -ECONNREFUSED);
}
END_TEST

START_TEST(connecting_to_nobody_says_what_is_there)
{
	struct ipc__half *h, *l;
	char path[100];

	snprintf(path, sizeof path, "%s/s", top);
	ck_assert_int_eq(connect_at(&h, session_address[_i], 0), -ENOENT);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(connect_at(&h, session_address[_i], 0), -EPROTOTYPE);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "FIFO"));
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "ipc_open"));
	unlink(path);
	ck_assert_int_eq(close(creat(path, 0600)), 0);
	ck_assert_int_eq(connect_at(&h, session_address[_i], 0), -EPROTOTYPE);
	unlink(path);
	assert_ok(open_at(&h, "unixgram:%s/s", IPC_RECV, 0));
	ck_assert_int_eq(connect_at(&l, session_address[_i], 0), -EPROTOTYPE);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "unixgram"));
	half_free(h, true);
	assert_ok(listen_at(&l, session_address[!_i]));
	ck_assert_int_eq(connect_at(&h, session_address[_i], 0), -EPROTOTYPE);
	half_free(l, false);
	ck_assert_int_eq(connect_at(&h, session_address[_i], 0),
	    -ECONNREFUSED);
	unlink(path);
}
END_TEST

static void
on_alarm(int signal)
{
	(void)signal;
}

START_TEST(a_full_backlog_is_waited_for)
{
	static const char *const text[] = {
		"unix:%s/s?backlog=1", "unixpacket:%s/s?backlog=1"
	};
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval storm = { { 0, 5000 }, { 0, 5000 } }, calm = { 0 };
	struct ipc__half *l, *h[20], *late, *e;
	int n = 0, rc;
	int64_t start;
	pid_t child;

	assert_ok(listen_at(&l, text[_i]));
	while ((rc = connect_at(&h[n], session_address[_i], 0)) == 0)
		ck_assert_int_lt(++n, 20);
	ck_assert_int_eq(rc, -EAGAIN);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &storm, NULL);
	start = now_ms();
	ck_assert_int_eq(connect_at(&late, session_address[_i], 60),
	    -ETIMEDOUT);
	ck_assert_int_ge(now_ms() - start, 59);
	ck_assert_int_le(now_ms() - start, 90);
	setitimer(ITIMER_REAL, &calm, NULL);
	if ((child = fork()) == 0) {
		usleep(30000);
		assert_ok(accept_from(&e, l));
		usleep(200000);
		_exit(0);
	}
	start = now_ms();
	assert_ok(connect_at(&late, session_address[_i], 1000));
	ck_assert_int_ge(now_ms() - start, 20);
	ck_assert_int_le(now_ms() - start, 200);
	join_child(child);
	half_free(late, true);
	while (n > 0)
		half_free(h[--n], true);
	half_free(l, true);
}
END_TEST

START_TEST(an_adopted_listener_never_blocks)
{
	struct ipc__half *l, *a, *e[2], *none;
	int flags;

	assert_ok(listen_at(&l, session_address[_i]));
	flags = fcntl(l->fd, F_GETFL) & ~O_NONBLOCK;
	ck_assert_int_eq(fcntl(l->fd, F_SETFL, flags), 0);
	a = half_new(l->be, IPC_DUPLEX);
	a->adopted = true;
	ck_assert_int_eq(a->be->adopt(a, l->fd, false), -EINVAL);
	assert_ok(a->be->adopt(a, l->fd, true));
	ck_assert_int_eq(accept_from(&none, a), -EAGAIN);
	make_session(e, a, session_address[_i]);
	ck_assert_int_eq(fcntl(l->fd, F_GETFL), flags);
	free_pair(e);
	free(a);
	half_free(l, true);
}
END_TEST

START_TEST(accept_without_a_free_descriptor_is_emfile)
{
	struct ipc__half *l, *h, *e;
	pid_t child;

	assert_ok(listen_at(&l, session_address[_i]));
	assert_ok(connect_at(&h, session_address[_i], 0));
	if ((child = fork()) == 0) {
		struct rlimit r = { 3, 3 };

		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
		ck_assert_int_eq(accept_from(&e, l), -EMFILE);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "RLIMIT_NOFILE"));
		ck_assert_int_eq(connect_at(&e, session_address[_i], 0),
		    -EMFILE);
		_exit(0);
	}
	join_child(child);
	assert_ok(accept_from(&e, l));
	half_free(e, true);
	half_free(h, true);
	half_free(l, true);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("unixsock");
	TCase *tc = tcase_create("unixsock");

	tcase_add_checked_fixture(tc, sockets_setup, sockets_teardown);
	tcase_set_timeout(tc, 10);
	tcase_add_loop_test(tc, what_is_atomic_is_whole_or_nothing, 0, 4);
	tcase_add_test(tc, more_than_fits_is_taken_in_part);
	tcase_add_test(tc, a_record_stays_when_the_buffer_is_small);
	tcase_add_test(tc, a_larger_record_than_ones_own_is_expected);
	tcase_add_test(tc, a_record_that_is_cut_is_an_error);
	tcase_add_test(tc, an_adopted_one_takes_records_of_any_size);
	tcase_add_test(tc, large_records_raise_the_buffer_by_themselves);
	tcase_add_test(tc, a_record_beyond_the_kernel_lowers_the_record);
	tcase_add_loop_test(tc, descriptors_travel, 0, BOTH);
	tcase_add_loop_test(tc, descriptors_without_room_are_closed_together,
	    0, BOTH);
	tcase_add_loop_test(tc, no_free_descriptor_loses_descriptors_only, 0,
	    BOTH);
	tcase_add_loop_test(tc, a_session_is_native, 0, BOTH);
	tcase_add_loop_test(tc, a_name_in_use_is_left_alone, 0, BOTH);
	tcase_add_loop_test(tc, an_abstract_name_works, 0, BOTH);
	tcase_add_loop_test(tc, connecting_to_nobody_says_what_is_there, 0,
	    BOTH);
	tcase_add_loop_test(tc, a_full_backlog_is_waited_for, 0, BOTH);
	tcase_add_loop_test(tc, an_adopted_listener_never_blocks, 0, BOTH);
	tcase_add_loop_test(tc, accept_without_a_free_descriptor_is_emfile, 0,
	    BOTH);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
