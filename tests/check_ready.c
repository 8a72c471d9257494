/* SPDX-License-Identifier: ISC */
/*
 * The readiness contract of ipc_fd, in poll(2) and in epoll, and of ipc_poll
 * and ipc_wake: never missed, put out by -EAGAIN, no CPU while idle.
 */
#include <sys/epoll.h>
#include <signal.h>

#include "support.h"

#define TRIES	30	/* on a busy machine most may be late */

static char buffer[256 * KIB];

static int
recv_fd(struct ipc_channel *ch, short *events)
{
	int fd = ipc_fd(ch, IPC_RECV, events);

	expect_ok(fd);
	return fd;
}

/* A receive that says -EAGAIN has put the descriptor out. */
static void
is_out(struct ipc_channel *ch)
{
	short events;
	int fd = recv_fd(ch, &events);

	expect(-EAGAIN, ipc_recv(ch, buffer, sizeof buffer, 0));
	expect(0, ready(fd, events, 0));
}

START_TEST(not_ready_until_a_message_comes)
{
	struct ipc_channel *ch[2];
	short events;
	int fd;

	ends_of(_i, ch, "", 0);
	fd = recv_fd(ch[1], &events);
	for (int i = 0; i < 10; i++) {
		is_out(ch[1]);
		expect(0, ipc_send(ch[0], "x", 1, SOON));
		expect_true(ready(fd, events, SOON) != 0);
		expect_true(ready(fd, events, 0) != 0);
		expect(1, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	}
	is_out(ch[1]);
	expect(fd, ipc_fd(ch[1], IPC_RECV, NULL));
	close_ends(ch);
}
END_TEST

/* An arrival before the first ipc_fd shows as well, read ahead or not. */
START_TEST(ready_as_long_as_messages_are_left)
{
	struct ipc_channel *ch[2];
	short events;
	int fd;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < AHEAD; i++)
		expect(0, ipc_send(ch[0], buffer, (size_t)i * 7, SOON));
	expect_ok(ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	fd = recv_fd(ch[1], &events);
	for (int i = 1; i < AHEAD; i++) {
		expect_true(ready(fd, events, SOON) != 0);
		expect(i * 7, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	}
	is_out(ch[1]);
	close_ends(ch);
}
END_TEST

START_TEST(a_message_that_was_shown_or_too_large_stays_ready)
{
	struct ipc_channel *ch[2];
	const void *data;
	short events;
	int fd;

	ends_of(_i, ch, "", 0);
	fd = recv_fd(ch[1], &events);
	expect(0, ipc_send(ch[0], "hello", 5, SOON));
	expect(5, ipc_peek(ch[1], &data, SOON));
	expect_true(ready(fd, events, 0) != 0);
	expect(-EMSGSIZE, ipc_recv(ch[1], buffer, 4, 0));
	expect_true(ready(fd, events, 0) != 0);
	expect(5, ipc_recv(ch[1], buffer, 5, 0));
	is_out(ch[1]);
	close_ends(ch);
}
END_TEST

START_TEST(in_epoll_at_most_one_spurious_per_arrival)
{
	struct ipc_channel *ch[2];
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), spurious = 0;

	ends_of(_i, ch, "", 0);
	expect_sys(epoll_ctl(ep, EPOLL_CTL_ADD, recv_fd(ch[1], NULL),
	    &event));
	for (int i = 0; i < 50; i++) {
		expect(0, ipc_send(ch[0], buffer, 100, SOON));
		do {
			expect(1, epoll_wait(ep, &event, 1, SOON));
			spurious++;
		} while (ipc_recv(ch[1], buffer, sizeof buffer, 0) != 100);
		spurious--;
		while (epoll_wait(ep, &event, 1, 0) == 1) {
			expect(-EAGAIN, ipc_recv(ch[1], buffer, 100, 0));
			spurious++;
		}
	}
	expect_true(spurious <= 50);
	close(ep);
	close_ends(ch);
}
END_TEST

START_TEST(the_end_is_ready)
{
	struct ipc_channel *ch[2];
	short events, to_send;
	int fd, sfd;

	ends_of(_i, ch, "", 0);
	fd = recv_fd(ch[1], &events);
	sfd = ipc_fd(ch[1], IPC_SEND, &to_send);
	expect_ok(sfd);
	fill_up(ch[1], 1000);
	expect(0, ipc_close(ch[0]));
	expect_true(ready(fd, events, SOON) != 0);
	expect_true(ready(sfd, to_send, SOON) != 0);
	expect(-EPIPE, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect_true(ready(fd, events, 0) != 0);
	expect(-EPIPE, ipc_send(ch[1], buffer, 1000, SOON));
	expect_true(ready(sfd, to_send, 0) != 0);
	expect(0, ipc_close(ch[1]));
}
END_TEST

/*
 * Sending
 */

START_TEST(for_sending_ready_means_a_record_is_taken)
{
	struct ipc_channel *ch[2];
	size_t record;
	char *data;
	short events;
	int fd, n = 0;

	ends_of(_i, ch, "", 0);
	fd = ipc_fd(ch[0], IPC_SEND, &events);
	expect_ok(fd);
	record = info_of(ch[0]).record;
	expect_true(record > 0 && record <= info_of(ch[0]).max_message);
	data = need(record);
	memset(data, 0, record);
	expect_true(ready(fd, events, 0) != 0);
	for (; ready(fd, events, 0) != 0; n++)
		expect(0, ipc_send(ch[0], data, record, 0));
	expect_true(n > 0);
	for (int i = 0; i < n; i++)
		expect(record, ipc_recv(ch[1], data, record, SOON));
	expect_true(ready(fd, events, SOON) != 0);
	expect(0, ipc_send(ch[0], data, record, 0));
	close_ends(ch);
	free(data);
}
END_TEST

START_TEST(full_is_not_ready_until_there_is_room)
{
	struct ipc_channel *ch[2];
	short events;
	int fd, n;

	ends_of(_i, ch, "", 0);
	fd = ipc_fd(ch[0], IPC_SEND, &events);
	expect_ok(fd);
	n = fill_up(ch[0], 700);
	expect(0, ready(fd, events, 0));
	while (n-- > 0)
		expect(700, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	expect_true(ready(fd, events, SOON) != 0);
	expect(0, ipc_send(ch[0], buffer, 700, 0));
	close_ends(ch);
}
END_TEST

/* Only by readiness, one step each time it shows. */
START_TEST(a_begun_message_goes_on_by_readiness)
{
	struct ipc_channel *ch[2];
	char *out = need(4 * MIB), *in = need(4 * MIB);
	short to_send, to_recv;
	int sfd, rfd, rc = -EAGAIN;
	ssize_t n = -EAGAIN;

	ends_of(_i, ch, "", 0);
	pattern_fill(out, 4 * MIB, 2);
	sfd = ipc_fd(ch[0], IPC_SEND, &to_send);
	rfd = recv_fd(ch[1], &to_recv);
	for (int i = 0; n == -EAGAIN; i++) {
		struct pollfd p[2] = { { rfd, to_recv, 0 },
		    { rc == -EAGAIN ? sfd : -1, to_send, 0 } };

		expect_true(i < 1000000);
		expect_true(poll(p, 2, SOON) > 0);
		if (p[1].revents != 0)
			rc = ipc_send(ch[0], out, 4 * MIB, 0);
		if (p[0].revents != 0)
			n = ipc_recv(ch[1], in, 4 * MIB, 0);
	}
	expect(0, rc);
	expect(4 * MIB, n);
	expect_true(pattern_is(in, 4 * MIB, 2));
	is_out(ch[1]);
	close_ends(ch);
	free(out);
	free(in);
}
END_TEST

START_TEST(the_wrong_direction_has_no_descriptor)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", IPC_RECV);
	expect(-EBADF, ipc_fd(ch[0], IPC_SEND, NULL));
	expect(-EBADF, ipc_fd(ch[1], IPC_RECV, NULL));
	expect(-EINVAL, ipc_fd(ch[0], 0, NULL));
	expect_ok(ipc_fd(ch[0], IPC_RECV, NULL));
	expect_ok(ipc_fd(ch[1], IPC_SEND, NULL));
	close_ends(ch);
}
END_TEST

/*
 * Idle
 */

/* CPU of a loop that waits 150 ms on both ends; wakes are counted. */
static double
idle_cost(struct ipc_channel *ch[2], int *wakes)
{
	struct ipc_pollitem items[2] = {
	    { .channel = ch[0], .fd = -1, .events = POLLIN },
	    { .channel = ch[1], .fd = -1, .events = POLLIN } };
	double until = now_ms() + 150, start = cpu_ms();

	while (now_ms() < until)
		if (ipc_poll(items, 2, (int)(until - now_ms()) + 1) > 0) {
			++*wakes;
			(void)ipc_recv(ch[0], buffer, sizeof buffer, 0);
			(void)ipc_recv(ch[1], buffer, sizeof buffer, 0);
		}
	return cpu_ms() - start;
}

START_TEST(an_idle_channel_costs_no_cpu)
{
	struct ipc_channel *ch[2];
	double cost = 100;
	int wakes = 0;

	ends_of(_i, ch, "", 0);
	carry(ch[0], ch[1], 1000);
	if (here.caps & IPC_CAP_LARGE)
		carry(ch[1], ch[0], 100000);
	for (int i = 0; i < TRIES && cost > 10; i++)
		cost = idle_cost(ch, &wakes);
	expect_true(cost <= 10);
	expect_true(wakes <= 4);
	close_ends(ch);
}
END_TEST

/* A blocked receive sleeps. */
START_TEST(a_blocked_receive_costs_no_cpu)
{
	struct ipc_channel *ch[2];
	double start, cost = 100;

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < TRIES && cost > 10; i++) {
		start = cpu_ms();
		expect(-ETIMEDOUT, ipc_recv(ch[0], buffer, 1, 150));
		cost = cpu_ms() - start;
	}
	expect_true(cost <= 10);
	close_ends(ch);
}
END_TEST

/*
 * Listeners and ipc_poll
 */

START_TEST(a_listener_is_ready_when_somebody_comes)
{
	struct ipc_listener *l;
	struct ipc_channel *a, *b = NULL;
	char text[8192];
	int fd, rc;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	fd = ipc_listener_fd(l);
	expect_ok(fd);
	expect(0, ready(fd, POLLIN, 0));
	expect(0, ipc_connect(&a, text, IPC_ASYNC, SOON));
	for (int i = 0; i < 10 && b == NULL; i++) {
		(void)ipc_send(a, "x", 1, 0);
		expect_true(ready(fd, POLLIN, SOON) != 0);
		rc = ipc_accept(&b, l, 0);
		if (rc < 0) {
			expect(-EAGAIN, rc);
			b = NULL;
		}
	}
	expect_true(b != NULL);
	expect(-EAGAIN, ipc_accept(&(struct ipc_channel *){ NULL }, l, 0));
	expect(0, ready(fd, POLLIN, 0));
	expect(0, ipc_close(a));
	expect(0, ipc_close(b));
	expect(0, ipc_listener_close(l));
}
END_TEST

START_TEST(ipc_poll_waits_for_channels_listeners_and_descriptors)
{
	struct ipc_channel *ch[2];
	struct gate g;
	struct ipc_pollitem items[3] = {
	    { .fd = -1, .events = POLLIN },
	    { .fd = -1, .events = POLLIN | POLLOUT },
	    { .fd = -1, .events = POLLIN } };

	ends_of(_i, ch, "", 0);
	gate_make(&g);
	items[0].channel = ch[0];
	items[1].channel = ch[1];
	items[2].fd = g.fd[0];
	expect(1, ipc_poll(items, 3, SOON));
	expect_true(items[1].revents == POLLOUT && items[0].revents == 0);
	items[1].events = POLLIN;
	expect(0, ipc_poll(items, 3, 0));
	gate_open(&g);
	expect(1, ipc_poll(items, 3, SOON));
	expect_true(items[2].revents == POLLIN && items[1].revents == 0);
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	while (ipc_poll(items, 3, SOON) == 1)
		continue;
	expect_true(items[1].revents == POLLIN);
	expect(1, ipc_recv(ch[1], buffer, 1, SOON));
	gate_free(&g);
	close_ends(ch);
}
END_TEST

/*
 * Waking
 */

static struct ipc_channel *to_wake;

static long
job_wake(struct job *j)
{
	ipc_wake(j->ch);
	return 0;
}

START_TEST(a_wake_cancels_the_next_call_of_each_direction_once)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	ipc_wake(ch[0]);
	ipc_wake(ch[0]);
	expect(-ECANCELED, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-EAGAIN, ipc_recv(ch[0], buffer, sizeof buffer, 0));
	expect(-ECANCELED, ipc_send(ch[0], "x", 1, SOON));
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect(1, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	expect(-EAGAIN, ipc_recv(ch[1], buffer, sizeof buffer, 0));
	close_ends(ch);
}
END_TEST

START_TEST(a_wake_ends_a_blocked_receive)
{
	struct ipc_channel *ch[2];
	struct job j = { .delay = 30 };

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 3; i++) {
		j.ch = ch[0];
		job_start(&j, job_wake);
		expect(-ECANCELED, ipc_recv(ch[0], buffer, 1, SOON));
		expect(0, job_end(&j));
		expect(-ECANCELED, ipc_send(ch[0], "x", 1, 0));
	}
	carry(ch[1], ch[0], 10);
	close_ends(ch);
}
END_TEST

START_TEST(a_wake_ends_a_blocked_send)
{
	struct ipc_channel *ch[2];
	struct job j = { .delay = 30 };
	int n;

	ends_of(_i, ch, "", 0);
	n = fill_up(ch[0], 1000);
	j.ch = ch[0];
	job_start(&j, job_wake);
	expect(-ECANCELED, ipc_send(ch[0], buffer, 1000, SOON));
	expect(0, job_end(&j));
	while (n-- > 0)
		expect(1000, ipc_recv(ch[1], buffer, sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(a_wake_shows_in_the_descriptor)
{
	struct ipc_channel *ch[2];
	struct ipc_pollitem item = { .fd = -1, .events = POLLIN };
	struct job j = { .delay = 30 };
	short events;
	int fd;

	ends_of(_i, ch, "", 0);
	fd = recv_fd(ch[0], &events);
	ipc_wake(ch[0]);
	expect_true(ready(fd, events, SOON) != 0);
	expect(-ECANCELED, ipc_recv(ch[0], buffer, 1, 0));
	is_out(ch[0]);
	item.channel = j.ch = ch[1];
	job_start(&j, job_wake);
	expect(1, ipc_poll(&item, 1, SOON));
	expect(0, job_end(&j));
	expect(-ECANCELED, ipc_recv(ch[1], buffer, 1, 0));
	expect(0, ipc_poll(&item, 1, 0));
	close_ends(ch);
}
END_TEST

static void
wake_by_signal(int signo)
{
	(void)signo;
	ipc_wake(to_wake);
}

static long
job_signal(struct job *j)
{
	return pthread_kill(*(pthread_t *)j->buffer, SIGUSR1);
}

START_TEST(a_wake_from_a_signal_handler)
{
	struct ipc_channel *ch[2];
	struct sigaction sa = { .sa_handler = wake_by_signal }, old;
	pthread_t self = pthread_self();
	struct job j = { .delay = 30, .buffer = &self };

	ends_of(_i, ch, "", 0);
	to_wake = ch[0];
	expect_sys(sigaction(SIGUSR1, &sa, &old));
	job_start(&j, job_signal);
	expect(-ECANCELED, ipc_recv(ch[0], buffer, 1, SOON));
	expect(0, job_end(&j));
	expect_sys(sigaction(SIGUSR1, &old, NULL));
	close_ends(ch);
}
END_TEST

int
main(void)
{
	const unsigned fd = IPC_CAP_FD, sure = IPC_CAP_FD | IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("ready");
	tc = tcase_open("receiving", 20);
	for_each_case(tc, not_ready_until_a_message_comes, TALKS, sure);
	for_each_case(tc, ready_as_long_as_messages_are_left, TALKS, sure);
	for_each_case(tc, a_message_that_was_shown_or_too_large_stays_ready,
	    TALKS, sure);
	for_each_case(tc, in_epoll_at_most_one_spurious_per_arrival, TALKS,
	    sure);
	for_each_case(tc, the_end_is_ready, TALKS, sure | IPC_CAP_END);
	tc = tcase_open("sending", 20);
	for_each_case(tc, for_sending_ready_means_a_record_is_taken, TALKS,
	    sure);
	for_each_case(tc, full_is_not_ready_until_there_is_room, TALKS, sure);
	for_each_case(tc, a_begun_message_goes_on_by_readiness, TALKS,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, the_wrong_direction_has_no_descriptor, TALKS, fd);
	tc = tcase_open("idle", 20);
	for_each_case(tc, an_idle_channel_costs_no_cpu, TALKS, fd);
	for_each_case(tc, a_blocked_receive_costs_no_cpu, TALKS, 0);
	tc = tcase_open("many", 20);
	for_each_case(tc, a_listener_is_ready_when_somebody_comes, SESSION,
	    fd);
	for_each_case(tc,
	    ipc_poll_waits_for_channels_listeners_and_descriptors, TALKS,
	    sure);
	tc = tcase_open("wake", 20);
	for_each_case(tc,
	    a_wake_cancels_the_next_call_of_each_direction_once, TALKS, 0);
	for_each_case(tc, a_wake_ends_a_blocked_receive, TALKS, 0);
	for_each_case(tc, a_wake_ends_a_blocked_send, TALKS,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, a_wake_shows_in_the_descriptor, TALKS, fd);
	for_each_case(tc, a_wake_from_a_signal_handler, TALKS, 0);
	return suite_close();
}
