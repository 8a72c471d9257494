/* SPDX-License-Identifier: ISC */
/*
 * Many clients of one server, many addresses, limits, those who do not take
 * their answers, joined halves, and threads that race.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "rpc.h"

#define CLIENTS		200
#define RACERS		4

static struct rpc r;

/*
 * Clients
 */

/* What a chooser takes here, too. */
static const char *
info_scheme(void)
{
	struct ipc_channel *ch[2];
	const char *scheme;

	pair_of(ch, "", 0);
	scheme = info_of(ch[0]).scheme;
	close_ends(ch);
	return scheme;
}

START_TEST(two_hundred_clients_are_served)
{
	static struct ipc_rpc_client *c[CLIENTS];
	struct rpc_seen seen = { 0 };
	int n = CLIENTS;

	rpc_begin(_i, &r);
	/* RLIMIT_MSGQUEUE binds root as well. */
	if (strcmp(info_scheme(), "posixmq") == 0)
		n = 3;
	for (int i = 0; i < n; i++)
		c[i] = rpc_client(&r, "");
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < n; i++)
			expect(0, ipc_rpc_start(c[i], "echo", &i, sizeof i,
			    rpc_note, &seen, 4 * SOON));
	for (int i = 0; i < n; i++)
		rpc_await(c[i], &seen, 3 * (i + 1));
	expect(3 * n, seen.good);
	for (int i = n; i-- > 0;) {
		rpc_echo(c[i], 200);
		expect(0, ipc_rpc_client_close(c[i]));
	}
	rpc_end(&r);
}
END_TEST

/* Whoever calls most is waited for directly; that must starve nobody. */
START_TEST(the_busy_and_the_idle_are_served)
{
	struct ipc_rpc_client *c[5];
	struct rpc_seen seen = { 0 };

	rpc_begin(_i, &r);
	for (int i = 0; i < 5; i++)
		c[i] = rpc_client(&r, "");
	for (int busy = 0; busy < 5; busy++) {
		for (int k = 0; k < 200; k++)
			rpc_echo(c[busy], 20);
		for (int i = 0; i < 5; i++)
			rpc_echo(c[i], 20);
		/* All the time something of this one is on its way. */
		for (int k = 0; k < 200; k++)
			expect(0, ipc_rpc_start(c[busy], "echo", "x", 1,
			    rpc_note, &seen, SOON));
		for (int i = 0; i < 5; i++)
			if (i != busy)
				rpc_echo(c[i], 20);
		rpc_await(c[busy], &seen, 200 * (busy + 1));
	}
	for (int i = 0; i < 5; i++)
		expect(0, ipc_rpc_client_close(c[i]));
	rpc_end(&r);
}
END_TEST

/* Its answers are queued up to a limit, then its calls are left alone, and the
 * others go on. */
START_TEST(a_client_that_takes_no_answers_holds_up_nobody)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_client *c;
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "echo", .flags = IPC_RPC_NOWAIT, .timeout = -1,
	    .done = rpc_note, .user = &seen };
	static char args[3000];
	int n, rc;

	begin(_i);
	rpc_make(&r);
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_QUEUE, 20000));
	rpc_serve(&r);
	c = rpc_client(&r, "");
	q.args = args;
	q.size = here.caps & IPC_CAP_LARGE ? sizeof args : 900;
	for (int still = n = 0; still < 50 && n < 20000; still++) {
		rc = ipc_rpc_submit(c, &q, NULL);
		if (rc == 0) {
			n++;
			still = 0;
		} else
			pause_ms(1);
		expect_either(0, -EAGAIN, rc);
	}
	expect_true(n < 20000);
	for (int i = 0; i < 20; i++)
		rpc_echo(r.c, 500);
	rpc_await(c, &seen, n);
	expect(n, seen.good);
	rpc_echo(c, 500);
	expect(0, ipc_rpc_client_close(c));
	rpc_end(&r);
}
END_TEST

/*
 * Deadlines
 */

#define WAITING	64

/* When a call's time is over: not before from, not after to. */
struct wait {
	double	from, to, *last;
	int	status;
};

static void
in_turn(int status, const void *reply, size_t size, void *user)
{
	struct wait *w = user;

	(void)reply;
	(void)size;
	w->status = status;
	if (status != -ETIMEDOUT)
		return;
	expect_true(w->to >= *w->last);
	expect_true(now_ms() >= w->from - 1);
	*w->last = w->from;
}

/* Nobody serves them; some are cancelled meanwhile. */
START_TEST(times_are_over_one_after_the_other)
{
	struct ipc_channel *ch[2];
	struct ipc_rpc_client *c;
	struct wait w[WAITING];
	uint64_t id[WAITING];
	double last = 0;

	expect(0, ipc_pair(ch, "unix:", 0));
	expect(0, ipc_rpc_attach(&c, ch[0]));
	for (int i = 0; i < WAITING; i++) {
		struct ipc_rpc_request q = { .struct_size = sizeof q,
		    .method = "none", .timeout = 50 + 3 * (i * 37 % WAITING),
		    .done = in_turn, .user = &w[i] };

		w[i].last = &last;
		w[i].status = 0;
		w[i].from = now_ms() + q.timeout;
		expect(0, ipc_rpc_submit(c, &q, &id[i]));
		w[i].to = now_ms() + q.timeout;
	}
	for (int i = 1; i < WAITING; i += 3)
		expect(0, ipc_rpc_cancel(c, id[i]));
	while (ipc_rpc_dispatch(c, SOON) > 0)
		continue;
	for (int i = 0; i < WAITING; i++)
		expect(i % 3 == 1 ? -ECANCELED : -ETIMEDOUT, w[i].status);
	expect(0, ipc_rpc_client_close(c));
	expect(0, ipc_close(ch[1]));
}
END_TEST

/*
 * Addresses
 */

START_TEST(a_server_listens_on_many_addresses_at_once)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row);
	struct ipc_rpc_client *c[64];
	struct ipc_channel *ch[2];
	char text[512];
	unsigned n = 0;

	rpc_make_server(&r);
	for (size_t i = 0; i < count; i++)
		if (row[i]->ways & SESSION)
			expect(0, ipc_rpc_listen(r.s, address_of(
			    row[i]->scheme, IPC_WAY_SESSION, ""), 0));
	expect(0, ipc_pair(ch, "unix:", 0));
	expect(0, ipc_rpc_adopt(r.s, ch[1]));
	expect(0, ipc_rpc_attach(&r.c, ch[0]));
	rpc_serve(&r);
	while (ipc_rpc_address(r.s, n, text, sizeof text) == 0)
		expect(0, ipc_rpc_connect(&c[n++], text, SOON));
	expect(-ENOENT, ipc_rpc_address(r.s, n, text, sizeof text));
	expect_true(n > 10);
	for (int k = 0; k < 3; k++)
		for (unsigned i = 0; i < n; i++)
			rpc_echo(c[i], 500);
	rpc_echo(r.c, 500);
	while (n > 0)
		expect(0, ipc_rpc_client_close(c[--n]));
	rpc_end(&r);
}
END_TEST

START_TEST(a_listener_that_exists_is_taken_over)
{
	struct ipc_listener *l;

	begin(_i);
	rpc_make_server(&r);
	listen_here(&l, r.address, sizeof r.address, "", 0);
	expect(0, ipc_rpc_adopt_listener(r.s, l));
	rpc_serve(&r);
	r.c = rpc_client(&r, "");
	rpc_echo(r.c, 100);
	rpc_end(&r);
}
END_TEST

START_TEST(a_channel_that_does_not_fit_is_refused)
{
	struct ipc_channel *ch[2];
	struct ipc_rpc_client *c;

	rpc_make_server(&r);
	expect(0, ipc_pair(ch, "unix:?boundary=stream", 0));
	expect(-EINVAL, ipc_rpc_attach(&c, ch[0]));
	expect(-EINVAL, ipc_rpc_adopt(r.s, ch[1]));
	close_ends(ch);
	expect(0, ipc_pair(ch, "pipe:", IPC_RECV));
	expect(-EINVAL, ipc_rpc_attach(&c, ch[0]));
	expect(-EINVAL, ipc_rpc_adopt(r.s, ch[1]));
	close_ends(ch);
	expect(0, ipc_pair(ch, "unix:", IPC_HALF_DUPLEX));
	expect(-EINVAL, ipc_rpc_attach(&c, ch[0]));
	expect(-EINVAL, ipc_rpc_adopt(r.s, ch[1]));
	close_ends(ch);
	expect(-EINVAL, ipc_rpc_listen(r.s, "unix:/x?boundary=stream", 0));
	expect(-EINVAL, ipc_rpc_listen(r.s, "unix:/x?duplex=half", 0));
	expect(-EINVAL, ipc_rpc_listen(r.s, "unix:/x", IPC_RECV));
	expect(-EINVAL, ipc_rpc_listen(r.s, "unix:/x?reconnect=1", 0));
	expect(-EPIPE, ipc_rpc_serve(r.s, 0));
	expect(0, ipc_rpc_server_close(r.s));
}
END_TEST

/* Two one-way pairs, joined crosswise. */
START_TEST(calls_go_over_joined_halves)
{
	struct ipc_channel *a[2], *b[2], *ch[2];
	struct rpc_seen seen = { 0 };

	begin(_i);
	rpc_make_server(&r);
	expect(0, ipc_pair(a, address(""), IPC_RECV));
	expect(0, ipc_pair(b, "pipe:", IPC_RECV));
	expect(0, ipc_join(&ch[0], a[0], b[1]));
	expect(0, ipc_join(&ch[1], b[0], a[1]));
	expect(0, ipc_rpc_attach(&r.c, ch[0]));
	expect(0, ipc_rpc_adopt(r.s, ch[1]));
	rpc_serve(&r);
	for (size_t n = 0; n < 900; n = n * 3 + 1)
		rpc_echo(r.c, n);
	for (int i = 0; i < 500; i++)
		expect(0, ipc_rpc_start(r.c, "echo", &i, sizeof i, rpc_note,
		    &seen, 4 * SOON));
	rpc_await(r.c, &seen, 500);
	expect(500, seen.good);
	expect(-ETIMEDOUT, ipc_rpc_call(r.c, "never", NULL, 0, NULL, NULL, 20));
	rpc_echo(r.c, 5);
	rpc_end(&r);
}
END_TEST

/*
 * Limits
 */

START_TEST(calls_beyond_the_limit_are_ebusy)
{
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_client *c;

	begin(_i);
	rpc_make(&r);
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_CALLS, 10));
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_CALLS_TOTAL, 15));
	rpc_serve(&r);
	c = rpc_client(&r, "");
	for (int i = 0; i < 11; i++)
		expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen,
		    SOON));
	rpc_await(r.c, &seen, 1);
	expect(-EBUSY, seen.status);
	expect_true(strstr(seen.text, "10 calls") != NULL);
	for (int i = 0; i < 6; i++)
		expect(0, ipc_rpc_start(c, "hold", NULL, 0, rpc_note, &seen,
		    SOON));
	rpc_await(c, &seen, 2);
	expect(-EBUSY, seen.status);
	rpc_wait_held(&r, 15);
	while (rpc_held(&r) > 0)
		expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 12);
	rpc_await(c, &seen, 17);
	rpc_echo(r.c, 1);
	rpc_echo(c, 1);
	expect(15, seen.good);
	expect(0, ipc_rpc_client_close(c));
	rpc_end(&r);
}
END_TEST

START_TEST(clients_beyond_the_limit_are_eusers)
{
	struct ipc_rpc_client *c[3], *more;
	int rc;

	begin(_i);
	rpc_make(&r);
	expect(0, ipc_rpc_limit(r.s, here.caps & IPC_CAP_PEER ?
	    IPC_RPC_CLIENTS : IPC_RPC_CLIENTS_TOTAL, 4));
	rpc_serve(&r);
	for (int i = 0; i < 3; i++)
		c[i] = rpc_client(&r, "");
	rpc_echo(c[2], 10);
	more = rpc_client(&r, "");
	rc = ipc_rpc_call(more, "echo", NULL, 0, NULL, NULL, SOON);
	/* The server may be gone before the call is sent. */
	expect(-EUSERS, rc);
	expect_true(strstr(ipc_errmsg(), "4 clients") != NULL);
	expect(-EUSERS, ipc_rpc_call(more, "echo", NULL, 0, NULL, NULL, SOON));
	expect(0, ipc_rpc_client_close(more));
	expect(0, ipc_rpc_client_close(c[2]));
	rpc_echo(c[0], 10);
	for (int i = 0; i < SOON; i++) {
		c[2] = rpc_client(&r, "");
		rc = ipc_rpc_call(c[2], "echo", NULL, 0, NULL, NULL, SOON);
		if (rc == 0)
			break;
		expect(0, ipc_rpc_client_close(c[2]));
	}
	for (int i = 0; i < 3; i++)
		expect(0, ipc_rpc_client_close(c[i]));
	rpc_end(&r);
}
END_TEST

START_TEST(limits_are_checked)
{
	rpc_make_server(&r);
	expect(-EINVAL, ipc_rpc_limit(r.s, (enum ipc_rpc_limit)99, 1));
	expect(-EINVAL, ipc_rpc_limit(r.s, IPC_RPC_ARGS, SIZE_MAX));
	expect(-EINVAL, ipc_rpc_limit(NULL, IPC_RPC_ARGS, 1));
	expect(0, ipc_rpc_limit(r.s, IPC_RPC_ARGS, 0));
	expect(-EINVAL, ipc_rpc_register(r.s, "", NULL, NULL));
	expect(0, ipc_rpc_register(r.s, "echo", NULL, NULL));
	expect(0, ipc_rpc_register(r.s, "echo", NULL, NULL));
	expect(0, ipc_rpc_server_close(r.s));
}
END_TEST

static void
name_back(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	const char *method = ipc_rpc_method(call);

	(void)args;
	(void)size;
	(void)user;
	expect(-EDEADLK, ipc_rpc_serve(r.s, 0));
	expect(-EDEADLK, ipc_rpc_server_close(r.s));
	ipc_rpc_reply(call, method, strlen(method));
}

START_TEST(a_handler_takes_every_other_method)
{
	char name[IPC_RPC_METHOD_MAX + 2];
	size_t size;
	void *reply;

	rpc_make_server(&r);
	struct ipc_channel *ch[2];

	expect(0, ipc_pair(ch, "memfd:", 0));
	expect(0, ipc_rpc_adopt(r.s, ch[1]));
	expect(0, ipc_rpc_attach(&r.c, ch[0]));
	expect(0, ipc_rpc_register(r.s, NULL, name_back, NULL));
	rpc_serve(&r);
	rpc_echo(r.c, 10);
	for (size_t n = 1; n < sizeof name; n++) {
		memset(name, 'x', n);
		name[n] = '\0';
		if (n > IPC_RPC_METHOD_MAX) {
			expect(-EINVAL, ipc_rpc_call(r.c, name, NULL, 0, &reply,
			    &size, SOON));
			break;
		}
		expect(0, ipc_rpc_call(r.c, name, NULL, 0, &reply, &size,
		    SOON));
		expect(n, size);
		expect(0, memcmp(reply, name, n));
		free(reply);
	}
	rpc_end(&r);
}
END_TEST

/*
 * Races
 */

static long
answer_for_ever(struct job *j)
{
	unsigned seed = (unsigned)j->size;
	long n = 0;
	int k;

	for (;;) {
		pthread_mutex_lock(&r.lock);
		k = r.held_count;
		struct rpc_held h = { 0 };
		if (k > 0) {
			k = rand_r(&seed) % k;
			h = r.held[k];
			r.held[k] = r.held[--r.held_count];
		}
		pthread_mutex_unlock(&r.lock);
		if (h.call != NULL) {
			(void)ipc_rpc_cancelled(h.call);
			(void)ipc_rpc_reply(h.call, h.args, h.size);
			n++;
		} else if (*(_Atomic bool *)j->buffer)
			return n;
	}
}

static void
own_or_over(int status, const void *reply, size_t size, void *user)
{
	int *own = user, n;

	if (status == 0) {
		expect(sizeof n, size);
		memcpy(&n, reply, sizeof n);
		expect(*own, n);
	} else
		expect_either(-ECANCELED, -ETIMEDOUT, status);
	expect_true(*own != -1);
	*own = -1;
}

/* Calls are cancelled, time out and are answered by several threads at once:
 * each ends exactly once, and with its own answer or with none. */
START_TEST(cancelling_races_with_answers)
{
	static int own[64];
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "hold", .args = NULL, .size = sizeof(int),
	    .done = own_or_over };
	uint64_t ids[64];
	struct job j[RACERS];
	_Atomic bool over = false;
	unsigned seed = (unsigned)_i;
	int n = rounds(300);	/* 10,000 and more in the long run */

	rpc_begin(_i, &r);
	for (int i = 0; i < RACERS; i++) {
		j[i] = (struct job){ .size = (size_t)i + 1, .buffer = &over };
		job_start(&j[i], answer_for_ever);
	}
	for (int i = 0; i < 64; i++)
		own[i] = -1;
	for (int i = 0; i < n; i++) {
		int k = rand_r(&seed) % 64;

		if (own[k] != -1 && rand_r(&seed) % 2 == 0)
			(void)ipc_rpc_cancel(r.c, ids[k]);
		while (own[k] != -1)
			expect_ok(ipc_rpc_dispatch(r.c, 2 * SOON));
		own[k] = i;
		q.args = q.user = &own[k];
		q.timeout = i % 3 == 0 ? 1 : 4 * SOON;
		/* A millisecond may be over before it is sent. */
		if (ipc_rpc_submit(r.c, &q, &ids[k]) == -ETIMEDOUT)
			own[k] = -1;
		if (i % 7 == 0)
			(void)ipc_rpc_dispatch(r.c, 0);
	}
	for (int k = 0; k < 64; k++)
		while (own[k] != -1)
			expect_ok(ipc_rpc_dispatch(r.c, 2 * SOON));
	expect(0, ipc_rpc_dispatch(r.c, 0));
	rpc_echo(r.c, 100);
	atomic_store(&over, true);
	for (int i = 0; i < RACERS; i++)
		expect_ok(job_end(&j[i]));
	rpc_end(&r);
}
END_TEST

/* Threads answer while the server is closed under them. */
START_TEST(closing_a_server_races_with_answers)
{
	struct rpc_seen seen = { 0 };
	_Atomic bool over;
	struct job j[RACERS];

	for (int t = 0; t < rounds(4); t++) {
		rpc_begin(_i, &r);
		memset(&seen, 0, sizeof seen);
		atomic_store(&over, false);
		for (int i = 0; i < 100; i++)
			expect(0, ipc_rpc_start(r.c, "hold", &i, sizeof i,
			    rpc_note, &seen, SOON));
		for (int i = 0; i < RACERS; i++) {
			j[i] = (struct job){ .size = (size_t)i + 1,
			    .buffer = &over };
			job_start(&j[i], answer_for_ever);
		}
		rpc_stop(&r);
		expect(0, ipc_rpc_server_close(r.s));
		atomic_store(&over, true);
		for (int i = 0; i < RACERS; i++)
			expect_ok(job_end(&j[i]));
		rpc_await(r.c, &seen, 100);
		expect(0, ipc_rpc_client_close(r.c));
		pthread_mutex_destroy(&r.lock);
	}
}
END_TEST

int
main(void)
{
	const unsigned sure = CALLS | IPC_CAP_RELIABLE;
	struct rlimit files;
	TCase *tc;

	/* Each session of halves has a handful of descriptors on both sides. */
	expect_sys(getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
	expect_sys(setrlimit(RLIMIT_NOFILE, &files));
	suite_open("rpcmany");
	tc = tcase_open("clients", 60);
	for_each_case(tc, two_hundred_clients_are_served, SESSION,
	    sure | IPC_CAP_END);
	for_each_case(tc, the_busy_and_the_idle_are_served, SESSION, sure);
	for_each_case(tc, a_client_that_takes_no_answers_holds_up_nobody,
	    SESSION, sure);
	tc = tcase_open("addresses", 30);
	tcase_add_test(tc, a_server_listens_on_many_addresses_at_once);
	for_each_case(tc, a_listener_that_exists_is_taken_over, SESSION, sure);
	tcase_add_test(tc, a_channel_that_does_not_fit_is_refused);
	for_each_case(tc, calls_go_over_joined_halves, PAIR,
	    IPC_CAP_MESSAGE | IPC_CAP_RELIABLE | IPC_CAP_FD);
	tc = tcase_open("limits", 20);
	for_each_case(tc, calls_beyond_the_limit_are_ebusy, SESSION, sure);
	for_each_case(tc, clients_beyond_the_limit_are_eusers, SESSION,
	    sure | IPC_CAP_END);
	tcase_add_test(tc, limits_are_checked);
	tcase_add_test(tc, times_are_over_one_after_the_other);
	tcase_add_test(tc, a_handler_takes_every_other_method);
	tc = tcase_open("races", 60);
	for_each_case(tc, cancelling_races_with_answers, TALKS, sure);
	for_each_case(tc, closing_a_server_races_with_answers, TALKS,
	    sure | IPC_CAP_END);
	return suite_close();
}
