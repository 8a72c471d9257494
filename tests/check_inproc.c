/* SPDX-License-Identifier: ISC */
/*
 * The inproc backend, called through its table: descriptors that travel, names
 * to meet at, and a fork in the middle.
 */
#include <pthread.h>
#include <sched.h>
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
 * Descriptors
 */

static int
send_fds(const int *fds, unsigned count, unsigned flags)
{
	struct ipc__aside aside = { .fds = (int *)(uintptr_t)fds,
	    .fd_count = count, .flags = flags };
	struct iovec v = { (void *)(uintptr_t)"m", 1 };

	return (int)INPROC->send(a, &v, 1, &aside);
}

START_TEST(descriptors_travel_as_copies)
{
	int fds[2], got[3] = { -1, -1, -1 };
	struct ipc__aside aside = { .fds = got, .fd_count = 3 };
	const void *data;
	struct iovec v;
	unsigned flags;
	char c = 0;

	pair(0);
	v = (struct iovec){ &c, 1 };
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(send_fds(fds, 2, 0), 1);
	close(fds[0]);
	ck_assert_int_eq(INPROC->peek(b, &data, &flags), 1);
	ck_assert_mem_eq(data, "m", 1);
	ck_assert_int_eq(INPROC->recv(b, &v, 1, &aside), 1);
	ck_assert_uint_eq(aside.fd_count, 2);
	ck_assert(!aside.lost);
	ck_assert_int_eq(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(fds[1], "z", 1), 1);
	ck_assert_int_eq(read(got[0], &c, 1), 1);
	ck_assert_int_eq(got[2], -1);
	close(fds[1]);
	close(got[0]);
	close(got[1]);
	close_both();
}
END_TEST

/* The fixture counts them: no room for all, a plain receive, a release, a close
 * by the receiver, by the sender, after an end, held ones. */
START_TEST(descriptors_that_nobody_takes_are_closed)
{
	int fds[3] = { 0, 1, 2 }, got = -1;
	struct ipc__aside aside = { .fds = &got, .fd_count = 1 };
	struct iovec v;
	char c = 0;

	pair(0);
	v = (struct iovec){ &c, 1 };
	ck_assert_int_eq(send_fds(fds, 3, 0), 1);
	switch (_i) {
	case 0:
		ck_assert_int_eq(INPROC->recv(b, &v, 1, &aside), 1);
		ck_assert(aside.lost);
		ck_assert_uint_eq(aside.fd_count, 1);
		close(got);
		break;
	case 1:
		ck_assert_int_eq(half_recv(b, &c, 1), 1);
		break;
	case 2:
		INPROC->release(b, 0);
		break;
	case 3:
		half_close(b, true);
		ck_assert_int_eq(send_fds(fds, 3, 0), -EPIPE);
		half_close(a, true);
		return;
	case 4:
		ck_assert_int_eq(send_fds(fds, 3, IPC__HOLD), 1);
		INPROC->shutdown(b, IPC_RECV);
		INPROC->publish(a, IPC_SEND);
		break;
	case 5:
		ck_assert_int_eq(send_fds(fds, 3, IPC__HOLD), 1);
		break;
	}
	half_close(a, true);
	half_close(b, true);
}
END_TEST

START_TEST(no_descriptor_left_sends_nothing)
{
	int fds[4] = { 0, 1, 2, 0 };
	struct rlimit old, few;
	char c = 0;

	pair(0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	few.rlim_cur = (rlim_t)dup(0) + 2;	/* the lowest, and one more */
	close((int)few.rlim_cur - 2);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(send_fds(fds, 4, 0), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	fds[1] = -1;
	ck_assert_int_eq(send_fds(fds, 2, 0), -EBADF);
	ck_assert_int_eq(send_fds(fds, 65, 0), -EINVAL);
	ck_assert_int_eq(half_recv(b, &c, 1), -EAGAIN);
	close_both();
}
END_TEST

/*
 * Sessions
 */

static struct ipc__half *
listen_at(const char *name, unsigned backlog)
{
	struct ipc__address address = address_of(INPROC, name);
	struct ipc__half *l = half_new(INPROC, IPC_DUPLEX);

	address.opt.backlog = backlog;
	address.opt.capacity = 1 << 16;
	ck_assert_int_eq(INPROC->listen(l, &address), 0);
	return l;
}

static int
connect_to(struct ipc__half **h, const char *name, uint64_t capacity)
{
	struct ipc__address address = address_of(INPROC, name);
	int rc;

	address.opt.capacity = capacity;
	*h = half_new(INPROC, IPC_DUPLEX);
	rc = INPROC->connect(*h, &address, 0);
	if (rc < 0) {
		free(*h);
		*h = NULL;
	}
	return rc;
}

static int
accept_from(struct ipc__half **h, struct ipc__half *l)
{
	int rc;

	*h = half_new(INPROC, IPC_DUPLEX);
	rc = INPROC->accept(*h, l);
	if (rc < 0) {
		free(*h);
		*h = NULL;
	}
	return rc;
}

START_TEST(clients_are_accepted_in_order)
{
	struct ipc__half *l = listen_at("door", 0), *c[3], *s;
	char n = 0;
	int i;

	ck_assert_int_eq(ready(l->fd, POLLIN, 0), 0);
	ck_assert_int_eq(accept_from(&s, l), -EAGAIN);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(connect_to(&c[i], "door", i << 14), 0);
		half_send(c[i], &"012"[i], 1);
	}
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(ready(l->fd, POLLIN, 0), POLLIN);
		ck_assert_int_eq(accept_from(&s, l), 0);
		ck_assert_uint_eq(s->capacity, i == 1 ? 1 << 14 :
		    i == 2 ? 1 << 15 : 1 << 16);
		ck_assert_int_eq(half_recv(s, &n, 1), 1);
		ck_assert_int_eq(n, '0' + i);
		ck_assert_int_eq(half_send(s, "yes", 3), 3);
		half_close(s, true);
		half_close(c[i], true);
	}
	ck_assert_int_eq(ready(l->fd, POLLIN, 0), 0);
	half_close(l, true);
}
END_TEST

START_TEST(a_name_is_one_listeners)
{
	struct ipc__address address = address_of(INPROC, "door");
	struct ipc__address nameless = address_of(INPROC, "");
	struct ipc__half *l, *h = half_new(INPROC, IPC_DUPLEX), *c;

	ck_assert_int_eq(connect_to(&c, "door", 0), -ECONNREFUSED);
	l = listen_at("door", 0);
	ck_assert_int_eq(INPROC->listen(h, &address), -EADDRINUSE);
	ck_assert_int_eq(INPROC->listen(h, &nameless), -EINVAL);
	ck_assert_int_eq(h->fd, -1);
	ck_assert_int_eq(connect_to(&c, "wall", 0), -ECONNREFUSED);
	half_close(l, true);
	ck_assert_int_eq(connect_to(&c, "door", 0), -ECONNREFUSED);
	half_close(listen_at("door", 0), true);
	free(h);
}
END_TEST

START_TEST(a_backlog_is_bounded_and_ends_with_its_listener)
{
	struct ipc__half *l = listen_at("door", 2), *c[3], *s;
	char x = 0;

	ck_assert_int_eq(connect_to(&c[0], "door", 0), 0);
	ck_assert_int_eq(connect_to(&c[1], "door", 0), 0);
	ck_assert_int_eq(connect_to(&c[2], "door", 0), -EAGAIN);
	ck_assert_int_eq(accept_from(&s, l), 0);
	ck_assert_int_eq(connect_to(&c[2], "door", 0), 0);
	half_close(s, true);
	half_close(l, true);
	ck_assert_int_eq(half_recv(c[1], &x, 1), -EPIPE);
	ck_assert_int_eq(half_send(c[2], &x, 1), -EPIPE);
	half_close(c[0], true);
	half_close(c[1], true);
	half_close(c[2], true);
}
END_TEST

START_TEST(its_address_is_one_to_connect_to)
{
	struct ipc__half *l = listen_at("a b?c%d", 0);
	struct ipc_peer peer;
	char text[64];

	ck_assert_int_eq(INPROC->where(l, text, sizeof text), 0);
	ck_assert_str_eq(text, "inproc:a b%3Fc%25d");
	ck_assert_int_eq(INPROC->where(l, text, strlen(text) + 1), 0);
	ck_assert_int_eq(INPROC->where(l, text, strlen(text)), -ENAMETOOLONG);
	ck_assert_int_eq(INPROC->where(l, text, 3), -ENAMETOOLONG);
	half_close(l, true);
	pair(0);
	ck_assert_int_eq(INPROC->peer(a, &peer), 0);
	ck_assert_int_eq(peer.pid, getpid());
	ck_assert_uint_eq(peer.uid, geteuid());
	close_both();
}
END_TEST

/* Connects and is gone, by the thousand, from two threads. */
static void *
knock(void *arg)
{
	struct ipc__half *c;
	int i, rc;

	for (i = 0; i < 2000; i++) {
		while ((rc = connect_to(&c, "door", 4096)) == -EAGAIN)
			sched_yield();
		if (rc != 0 || half_send(c, arg, 1) != 1)
			ck_abort_msg("connect: %d", rc);
		half_close(c, true);
	}
	return NULL;
}

START_TEST(threads_meet_at_a_name)
{
	struct ipc__half *l = listen_at("door", 8), *s;
	pthread_t thread[2];
	int i;
	char c = 0;

	pthread_create(&thread[0], NULL, knock, (void *)(uintptr_t)"x");
	pthread_create(&thread[1], NULL, knock, (void *)(uintptr_t)"y");
	for (i = 0; i < 4000; i++) {
		while (accept_from(&s, l) == -EAGAIN)
			if (ready(l->fd, POLLIN, 5000) == 0)
				ck_abort_msg("client %d did not come", i);
		while (half_recv(s, &c, 1) == -EAGAIN)
			wait_for(s, IPC_RECV);
		half_close(s, true);
	}
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	half_close(l, true);
}
END_TEST

/*
 * Fork
 */

#define RECORDS	200000u

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

static void
child_of_fork(struct ipc__half *l)
{
	struct ipc__half *c;

	/* As the core closes a copy; the other thread's lock may be held. */
	half_close(a, false);
	half_close(b, false);
	half_close(l, false);
	if (connect_to(&c, "door", 0) != -ECONNREFUSED)
		_exit(1);
	l = listen_at("door", 0);
	if (connect_to(&c, "door", 0) != 0)
		_exit(2);
	half_close(c, true);
	half_close(l, true);
	_exit(fds_open() == fds_before ? 0 : 3);
}

/* A program that runs another one forks; what it closes then is closed. */
START_TEST(closing_after_a_fork_is_the_end)
{
	struct ipc_channel *ends[2], *ch;
	struct ipc_listener *l;
	char byte;
	pid_t pid;

	ck_assert_int_eq(ipc_pair(ends, "inproc:", 0), 0);
	ck_assert_int_eq(ipc_listen(&l, "inproc:gate", 0), 0);
	ck_assert_int_eq(ipc_send(ends[0], "x", 1, 0), 0);
	pid = fork();
	if (pid == 0)
		pause();
	ck_assert_int_eq(ipc_close(ends[0]), 0);
	ck_assert_int_eq(ipc_recv(ends[1], &byte, 1, 1000), 1);
	ck_assert_int_eq(ipc_recv(ends[1], &byte, 1, 1000), -EPIPE);
	ck_assert_int_eq(ipc_send(ends[1], &byte, 1, 1000), -EPIPE);
	ck_assert_int_eq(ipc_close(ends[1]), 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	ck_assert_int_eq(ipc_connect(&ch, "inproc:gate", 0, 1000),
	    -ECONNREFUSED);
	ck_assert_int_eq(ipc_listen(&l, "inproc:gate", 0), 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(a_fork_in_the_middle_harms_neither_side)
{
	struct ipc__half *l = listen_at("door", 8);
	pthread_t thread;
	unsigned i;
	uint64_t x;
	pid_t pid;
	ssize_t n;

	pair(4096);
	pthread_create(&thread, NULL, send_numbers, NULL);
	for (i = 0; i < RECORDS; i++) {
		while ((n = half_recv(b, &x, sizeof x)) == -EAGAIN)
			wait_for(b, IPC_RECV);
		if (n != sizeof x || x != i)
			ck_abort_msg("record %u", i);
		if (i % (RECORDS / 20) == 0) {
			pid = fork();
			if (pid == 0)
				child_of_fork(l);
			reap(pid);
		}
	}
	pthread_join(thread, NULL);
	close_both();
	half_close(l, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("inproc");
	TCase *tc = tcase_create("descriptors");

	tcase_add_checked_fixture(tc, note_fds, check_fds);
	tcase_add_test(tc, descriptors_travel_as_copies);
	tcase_add_loop_test(tc, descriptors_that_nobody_takes_are_closed, 0, 6);
	tcase_add_test(tc, no_descriptor_left_sends_nothing);
	suite_add_tcase(s, tc);

	tc = tcase_create("sessions");
	tcase_set_timeout(tc, 10);
	tcase_add_checked_fixture(tc, note_fds, check_fds);
	tcase_add_test(tc, clients_are_accepted_in_order);
	tcase_add_test(tc, a_name_is_one_listeners);
	tcase_add_test(tc, a_backlog_is_bounded_and_ends_with_its_listener);
	tcase_add_test(tc, its_address_is_one_to_connect_to);
	tcase_add_test(tc, threads_meet_at_a_name);
	tcase_add_test(tc, closing_after_a_fork_is_the_end);
	tcase_add_test(tc, a_fork_in_the_middle_harms_neither_side);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
