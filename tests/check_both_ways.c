/* SPDX-License-Identifier: ISC */
/*
 * Large messages both ways at once, in an event loop on one thread and in
 * blocking threads: it never stands still.
 */
#include "support.h"

#define SIZE	(16 * MIB)

struct side {
	struct ipc_channel *ch;
	char	*out, *in;
	int	 sent, received, many;
};

static void
side_make(struct side *s, struct ipc_channel *ch, int many, unsigned seed)
{
	*s = (struct side){ ch, need(SIZE), need(SIZE), 0, 0, many };
	pattern_fill(s->out, SIZE, seed);
}

static void
side_free(struct side *s)
{
	free(s->out);
	free(s->in);
}

static void
step(struct side *s, short revents, unsigned seed)
{
	ssize_t n;

	if (revents & POLLOUT && s->sent < s->many) {
		n = ipc_send(s->ch, s->out, SIZE, 0);
		if (n != -EAGAIN)
			expect(0, n);
		s->sent += n == 0;
	}
	if (revents & ~POLLOUT && s->received < s->many) {
		n = ipc_recv(s->ch, s->in, SIZE, 0);
		if (n == -EAGAIN)
			return;
		expect(SIZE, n);
		expect_true(pattern_is(s->in, SIZE, seed));
		s->received++;
	}
}

static bool
done(const struct side *s)
{
	return s->sent == s->many && s->received == s->many;
}

static void
loop(struct side *a, struct side *b, int seed_a, int seed_b)
{
	struct ipc_pollitem p[2] = { { .channel = a->ch, .fd = -1 },
	    { .channel = b->ch, .fd = -1 } };

	while (!done(a) || !done(b)) {
		p[0].events = (a->received < a->many ? POLLIN : 0) |
		    (a->sent < a->many ? POLLOUT : 0);
		p[1].events = (b->received < b->many ? POLLIN : 0) |
		    (b->sent < b->many ? POLLOUT : 0);
		expect_true(ipc_poll(p, 2, SOON) > 0);
		step(a, p[0].revents, (unsigned)seed_b);
		step(b, p[1].revents, (unsigned)seed_a);
	}
}

/* Small, but not where a small window is waited for. */
static const char *
small(int i)
{
	begin(i);
	return strcmp(here.scheme, "tcp") == 0 ? "" : "capacity=64K";
}

START_TEST(an_event_loop_moves_16_mib_both_ways)
{
	struct ipc_channel *ch[2];
	struct side a, b;

	ends_of(_i, ch, small(_i), 0);
	side_make(&a, ch[0], 2, 1);
	side_make(&b, ch[1], 2, 2);
	loop(&a, &b, 1, 2);
	close_ends(ch);
	side_free(&a);
	side_free(&b);
}
END_TEST

/* The same with the other loop in another process. */
static void
looping_peer(struct ipc_channel *ch, void *unused)
{
	struct side s;
	struct ipc_pollitem p = { .channel = ch, .fd = -1 };

	(void)unused;
	side_make(&s, ch, 1, 2);
	while (!done(&s)) {
		p.events = (s.received < 1 ? POLLIN : 0) |
		    (s.sent < 1 ? POLLOUT : 0);
		expect(1, ipc_poll(&p, 1, SOON));
		step(&s, p.revents, 1);
	}
	expect(0, ipc_close(ch));
	side_free(&s);
}

START_TEST(two_processes_with_an_event_loop_each)
{
	pid_t pid;
	struct ipc_channel *ch = with_peer(_i, small(_i), 0,
	    looping_peer, NULL, &pid);
	struct side s;
	struct ipc_pollitem p = { .channel = ch, .fd = -1 };

	side_make(&s, ch, 1, 1);
	while (!done(&s)) {
		p.events = (s.received < 1 ? POLLIN : 0) |
		    (s.sent < 1 ? POLLOUT : 0);
		expect(1, ipc_poll(&p, 1, SOON));
		step(&s, p.revents, 2);
	}
	expect(-EPIPE, ipc_recv(ch, s.in, SIZE, SOON));
	expect(0, ipc_close(ch));
	side_free(&s);
	peer_done(pid);
}
END_TEST

/* Each end has a thread that sends and one that receives. */
START_TEST(blocking_threads_both_ways)
{
	struct ipc_channel *ch[2];
	struct side s[2];
	struct job send[2], recv[2];

	ends_of(_i, ch, "", 0);
	for (int i = 0; i < 2; i++) {
		side_make(&s[i], ch[i], 1, (unsigned)i);
		send[i] = (struct job){ .ch = ch[i], .data = s[i].out,
		    .size = SIZE, .timeout = 4 * SOON };
		recv[i] = (struct job){ .ch = ch[i], .buffer = s[i].in,
		    .size = SIZE, .timeout = 4 * SOON };
		job_start(&send[i], job_send);
	}
	job_start(&recv[0], job_recv);
	job_start(&recv[1], job_recv);
	for (int i = 0; i < 2; i++) {
		expect(0, job_end(&send[i]));
		expect(SIZE, job_end(&recv[i]));
		expect_true(pattern_is(s[i].in, SIZE, (unsigned)!i));
		side_free(&s[i]);
	}
	close_ends(ch);
}
END_TEST

int
main(void)
{
	const unsigned caps = IPC_CAP_LARGE | IPC_CAP_RELIABLE |
	    IPC_CAP_DUPLEX;
	TCase *tc;

	suite_open("both ways");
	tc = tcase_open("both ways", 60);
	for_each_case(tc, an_event_loop_moves_16_mib_both_ways, TALKS,
	    caps | IPC_CAP_FD);
	for_each_case(tc, two_processes_with_an_event_loop_each, TALKS,
	    caps | IPC_CAP_FD | FORKS);
	for_each_case(tc, blocking_threads_both_ways, TALKS, caps);
	return suite_close();
}
