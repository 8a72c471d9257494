/* SPDX-License-Identifier: ISC */
/*
 * Answers in parts, with back-pressure, and descriptors of calls and answers.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "rpc.h"

#define PART	(16 * KIB)

static struct rpc r;

/*
 * Parts: the method "parts" sends as many as its argument says, each with its
 * number, and answers with their count; in the thread that serves it goes on
 * when there is room.
 */
struct producer {
	struct ipc_rpc_call *call;
	uint32_t	next, count;
	size_t		size;
	bool		cancelled;
};

static struct producer producer;
static _Atomic int refused, cancels;

static void
produce(struct ipc_rpc_call *call, void *user)
{
	static unsigned char data[PART];
	struct producer *p = user;
	int rc = 0;

	if (ipc_rpc_cancelled(call)) {
		atomic_fetch_add(&cancels, 1);
		expect_either(-EPIPE, -ECANCELED, ipc_rpc_reply(call, NULL, 0));
		return;
	}
	while (p->next < p->count && rc == 0) {
		memcpy(data, &p->next, sizeof p->next);
		rc = ipc_rpc_part(call, data, p->size, SOON);
		p->next += rc == 0;
	}
	if (rc == -EAGAIN)
		atomic_fetch_add(&refused, 1);
	else
		expect_ok(ipc_rpc_reply(call, &p->count, sizeof p->count));
}

static void
parts(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct producer *p = user;

	(void)size;
	expect(IPC_RPC_PARTS, ipc_rpc_flags(call));
	memset(p, 0, sizeof *p);
	memcpy(&p->count, args, sizeof p->count);
	p->size = here.caps & IPC_CAP_LARGE ? PART : 1000;
	expect(0, ipc_rpc_watch(call, produce, p));
	produce(call, p);
}

static void
parts_begin(int i)
{
	begin(i);
	rpc_make(&r);
	atomic_store(&refused, 0);
	atomic_store(&cancels, 0);
	expect(0, ipc_rpc_register(r.s, "parts", parts, &producer));
	rpc_serve(&r);
}

static struct ipc_rpc_request
request(const uint32_t *count)
{
	return (struct ipc_rpc_request){
		.struct_size = sizeof(struct ipc_rpc_request),
		.method = "parts", .args = count, .size = sizeof *count,
		.flags = IPC_RPC_PARTS, .timeout = 4 * SOON
	};
}

static void
in_order(int status, const void *reply, size_t size, void *user)
{
	struct rpc_seen *seen = user;
	uint32_t n;

	memcpy(&n, reply, sizeof n);
	expect(seen->parts, n);		/* the last says how many */
	rpc_note(status, reply, size, user);
}

START_TEST(parts_come_in_order_and_then_the_end)
{
	struct rpc_seen seen = { 0 };
	uint32_t count = here.caps & IPC_CAP_RELIABLE ? 200 : 20;
	struct ipc_rpc_request q = request(&count);

	parts_begin(_i);
	count = here.caps & IPC_CAP_RELIABLE ? 200 : 20;
	q.done = in_order;
	q.user = &seen;
	expect(0, ipc_rpc_submit(r.c, &q, NULL));
	rpc_await(r.c, &seen, 1);
	expect(1, seen.good);
	expect(count, seen.parts);
	rpc_end(&r);
}
END_TEST

/* Nobody asks for them, and the server is told to wait. */
START_TEST(a_stream_gives_one_part_after_the_other)
{
	struct ipc_rpc_stream *s;
	uint32_t count = 100, n;
	struct ipc_rpc_request q = request(&count);
	size_t size;
	void *data;

	parts_begin(_i);
	expect(0, ipc_rpc_stream_open(&s, r.c, &q));
	for (int i = 0; atomic_load(&refused) == 0 && i < SOON; i++)
		pause_ms(1);
	expect_true(atomic_load(&refused) > 0);
	rpc_echo(r.c, 500);		/* others go on meanwhile */
	for (uint32_t i = 0; i < count; i++) {
		expect(IPC_RPC_MORE, ipc_rpc_stream_next(s, &data, &size,
		    SOON));
		memcpy(&n, data, sizeof n);
		expect(i, n);
		free(data);
	}
	expect(0, ipc_rpc_stream_next(s, &data, &size, SOON));
	expect(sizeof n, size);
	free(data);
	expect(-EPIPE, ipc_rpc_stream_next(s, &data, &size, SOON));
	expect(0, ipc_rpc_stream_close(s));
	rpc_end(&r);
}
END_TEST

START_TEST(closing_a_stream_cancels_its_call)
{
	struct ipc_rpc_stream *s;
	uint32_t count = 100000;
	struct ipc_rpc_request q = request(&count);
	void *data;

	parts_begin(_i);
	expect(0, ipc_rpc_stream_open(&s, r.c, &q));
	expect(IPC_RPC_MORE, ipc_rpc_stream_next(s, &data, NULL, SOON));
	free(data);
	expect(0, ipc_rpc_stream_close(s));
	for (int i = 0; atomic_load(&cancels) == 0 && i < SOON; i++)
		rpc_echo(r.c, 10);
	expect(1, atomic_load(&cancels));
	rpc_end(&r);
}
END_TEST

START_TEST(closing_the_client_first_is_no_harm_to_a_stream)
{
	struct ipc_rpc_stream *s;
	uint32_t count = 100000;
	struct ipc_rpc_request q = request(&count);
	void *data;

	parts_begin(_i);
	expect(0, ipc_rpc_stream_open(&s, r.c, &q));
	rpc_echo(r.c, 10);
	expect(0, ipc_rpc_client_close(r.c));
	r.c = NULL;
	expect(-ECANCELED, ipc_rpc_stream_next(s, &data, NULL, SOON));
	expect(0, ipc_rpc_stream_close(s));
	for (int i = 0; atomic_load(&cancels) == 0 && i < SOON; i++)
		pause_ms(1);
	rpc_end(&r);
}
END_TEST

/* A thread that answers may wait for room. */
static long
produce_all(struct job *j)
{
	struct ipc_rpc_call *call = j->buffer;
	static unsigned char data[PART];
	long rc = 0;

	for (uint32_t i = 0; i < 300 && rc == 0; i++) {
		memcpy(data, &i, sizeof i);
		rc = ipc_rpc_part(call, data, j->size, SOON);
	}
	return rc == 0 ? ipc_rpc_reply(call, &(uint32_t){ 300 }, 4) : rc;
}

START_TEST(a_thread_that_sends_parts_waits_for_room)
{
	struct rpc_seen seen = { 0 };
	uint32_t count = 300;
	struct ipc_rpc_request q = request(&count);
	struct job j = { .size = PART };

	rpc_begin(_i, &r);
	q.method = "hold";
	q.done = in_order;
	q.user = &seen;
	expect(0, ipc_rpc_submit(r.c, &q, NULL));
	rpc_wait_held(&r, 1);
	j.buffer = rpc_take_held(&r, 0);
	job_start(&j, produce_all);
	rpc_await(r.c, &seen, 1);
	expect(300, seen.parts);
	expect(0, job_end(&j));
	rpc_end(&r);
}
END_TEST

START_TEST(a_thread_that_waits_for_room_learns_of_the_end)
{
	struct ipc_rpc_stream *s;
	uint32_t count = 300;
	struct ipc_rpc_request q = request(&count);
	struct job j = { .size = PART };
	struct ipc_rpc_call *call;
	double before;

	rpc_begin(_i, &r);
	q.method = "hold";
	expect(0, ipc_rpc_stream_open(&s, r.c, &q));
	rpc_wait_held(&r, 1);
	j.buffer = call = rpc_take_held(&r, 0);
	job_start(&j, produce_all);
	pause_ms(30);
	before = now_ms();
	expect(0, ipc_rpc_stream_close(s));
	rpc_echo(r.c, 1);
	expect(-ECANCELED, job_end(&j));
	expect_true(now_ms() - before < SOON / 2);
	expect(-ECANCELED, ipc_rpc_fail(call, 1, NULL));
	rpc_end(&r);
}
END_TEST

/* A client that wants its answer in one is given no parts. */
START_TEST(parts_are_refused_where_none_are_wanted)
{
	struct rpc_seen seen = { 0 };
	uint32_t count = 3;
	struct ipc_rpc_request q = request(&count);

	rpc_begin(_i, &r);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, SOON));
	rpc_wait_held(&r, 1);
	expect(-EOPNOTSUPP, ipc_rpc_part(r.held[0].call, "x", 1, 0));
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 1);
	expect(-EINVAL, ipc_rpc_perform(r.c, &q, NULL, NULL));
	rpc_end(&r);
}
END_TEST

/*
 * Parts beside other calls
 */

struct trickle {
	struct job	job;
	struct ipc_rpc_call *call;
	_Atomic bool	stop, over;
};

/* A part every now and then, until it is told to end, or has had enough. */
static long
drip(struct job *j)
{
	struct trickle *t = (struct trickle *)((char *)j -
	    offsetof(struct trickle, job));

	for (int i = 0; i < SOON / 10 && !atomic_load(&t->stop); i++) {
		(void)ipc_rpc_part(t->call, "drop", 4, SOON);
		pause_ms(10);
	}
	atomic_store(&t->over, true);
	return ipc_rpc_reply(t->call, NULL, 0);
}

static void
trickle(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct trickle *t = user;

	(void)args;
	(void)size;
	t->call = call;
	job_start(&t->job, drip);
}

/* Each of them waits for what does not come, while there is always something
 * else that does. */
START_TEST(what_comes_for_others_does_not_prolong_a_wait)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "trickle", .timeout = -1 }, hold = q;
	static struct trickle t;
	struct rpc_seen seen = { 0 };
	struct ipc_rpc_stream *s[2];

	begin(_i);
	rpc_make(&r);
	memset(&t, 0, sizeof t);
	hold.method = "hold";
	expect(0, ipc_rpc_register(r.s, "trickle", trickle, &t));
	rpc_serve(&r);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, -1));
	expect(0, ipc_rpc_stream_open(&s[0], r.c, &hold));
	rpc_wait_held(&r, 2);
	expect(0, ipc_rpc_stream_open(&s[1], r.c, &q));
	expect(IPC_RPC_MORE, ipc_rpc_stream_next(s[1], NULL, NULL, SOON));
	expect(-ETIMEDOUT, ipc_rpc_dispatch(r.c, 50));
	expect(-ETIMEDOUT, ipc_rpc_stream_next(s[0], NULL, NULL, 50));
	expect(-ETIMEDOUT, ipc_rpc_call(r.c, "never", NULL, 0, NULL, NULL, 50));
	expect_true(!atomic_load(&t.over));
	atomic_store(&t.stop, true);
	expect(0, job_end(&t.job));
	expect(0, ipc_rpc_stream_close(s[1]));
	expect(0, rpc_release(&r, 0));
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 1);
	expect(0, ipc_rpc_stream_next(s[0], NULL, NULL, SOON));
	expect(0, ipc_rpc_stream_close(s[0]));
	rpc_end(&r);
}
END_TEST

/*
 * Descriptors
 */

/* Answers with the descriptors that came, the last first, and their count. */
static void
turn_around(struct ipc_rpc_call *call, const void *args, size_t size,
    void *user)
{
	int fds[IPC_FDS_MAX], back[IPC_FDS_MAX];
	int n;

	(void)user;
	expect(-EMSGSIZE, ipc_rpc_take_fds(call, fds, 0));
	n = ipc_rpc_take_fds(call, fds, IPC_FDS_MAX);
	expect_ok(n);
	expect(0, ipc_rpc_take_fds(call, fds, 0));
	for (int i = 0; i < n; i++)
		back[i] = fds[n - 1 - i];
	expect(0, ipc_rpc_reply_fds(call, args, size, back, (unsigned)n));
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

static ino_t
inode(int fd)
{
	struct stat st;

	expect_sys(fstat(fd, &st));
	return st.st_ino;
}

static void
fds_begin(int i, int fds[3])
{
	begin(i);
	rpc_make(&r);
	expect(0, ipc_rpc_register(r.s, "turn", turn_around, NULL));
	rpc_serve(&r);
	for (int k = 0; k < 3; k++) {
		fds[k] = open(path_new(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		expect_sys(fds[k]);
	}
}

static void
fds_end(int fds[3])
{
	char path[512], link[64];
	ssize_t n;

	rpc_end(&r);
	for (int k = 0; k < 3; k++) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fds[k]);
		n = readlink(link, path, sizeof path - 1);
		expect_sys(n);
		path[n] = '\0';
		unlink(path);
		close(fds[k]);
	}
}

static void
check_turned(const int fds[3])
{
	int got[IPC_FDS_MAX];

	expect(-EMSGSIZE, ipc_rpc_reply_take_fds(r.c, got, 2));
	expect(3, ipc_rpc_reply_take_fds(r.c, got, IPC_FDS_MAX));
	for (int k = 0; k < 3; k++) {
		expect(inode(fds[2 - k]), inode(got[k]));
		expect(FD_CLOEXEC, fcntl(got[k], F_GETFD));
		close(got[k]);
	}
	expect(0, ipc_rpc_reply_take_fds(r.c, got, IPC_FDS_MAX));
}

static void
fds_done(int status, const void *reply, size_t size, void *user)
{
	int *state = user;

	expect(0, status);
	expect(7, size);
	expect(0, memcmp(reply, "letters", 7));
	if (*state >= 0)
		check_turned(user);
	else
		*state = 0;
}

START_TEST(descriptors_go_along_with_calls_and_answers)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "turn",
	    .args = "letters", .size = 7, .fd_count = 3, .timeout = SOON };
	size_t size;
	void *reply;
	int fds[3], untaken = -1, open_before;

	fds_begin(_i, fds);
	q.fds = fds;
	rpc_echo(r.c, 100);
	open_before = fds_open();
	for (int i = 0; i < 20; i++) {
		/* Those of a call that is refused are closed. */
		q.method = "no such";
		expect(-ENOSYS, ipc_rpc_perform(r.c, &q, NULL, NULL));
		q.method = "turn";
		expect(0, ipc_rpc_perform(r.c, &q, &reply, &size));
		expect(7, size);
		free(reply);
		check_turned(fds);
		rpc_echo(r.c, 100);
	}
	q.done = fds_done;
	q.user = fds;
	expect(0, ipc_rpc_submit(r.c, &q, NULL));
	q.user = &untaken;		/* closed behind it */
	expect(0, ipc_rpc_submit(r.c, &q, NULL));
	rpc_echo(r.c, 100);		/* kept meanwhile */
	expect(2, ipc_rpc_dispatch(r.c, SOON));
	expect(0, untaken);
	expect(0, ipc_rpc_perform(r.c, &q, NULL, NULL));
	expect(0, ipc_rpc_call(r.c, "echo", NULL, 0, NULL, NULL, SOON));
	/* Some channels open a few at the first use. */
	expect_true(fds_open() < open_before + 20);
	fds_end(fds);
}
END_TEST

/* A queue full of them, in both directions. */
START_TEST(descriptors_wait_for_room_as_well)
{
	struct rpc_seen seen = { 0 };
	static char args[3000];
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "turn",
	    .args = args, .size = sizeof args, .fd_count = 3, .timeout = -1,
	    .done = rpc_note, .user = &seen };
	int fds[3], n = 300;

	fds_begin(_i, fds);
	q.fds = fds;
	for (int i = 0; i < n; i++)
		expect(0, ipc_rpc_submit(r.c, &q, NULL));
	rpc_await(r.c, &seen, n);
	expect(n, seen.good);
	fds_end(fds);
}
END_TEST

static void
answer_with_none(struct ipc_rpc_call *call, const void *args, size_t size,
    void *user)
{
	int fds[2] = { STDIN_FILENO, -1 };

	(void)user;
	expect(-EBADF, ipc_rpc_reply_fds(call, args, size, fds, 2));
}

/* It is the handler's mistake, and no other call's end. */
START_TEST(a_bad_descriptor_ends_its_own_call_only)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "echo",
	    .fd_count = 1, .timeout = SOON };
	struct rpc_seen seen = { 0 };
	int fd = -1;

	begin(_i);
	rpc_make(&r);
	expect(0, ipc_rpc_register(r.s, "none", answer_with_none, NULL));
	rpc_serve(&r);
	expect(0, ipc_rpc_start(r.c, "hold", "x", 1, rpc_note, &seen, SOON));
	expect(-EIO, ipc_rpc_call(r.c, "none", "y", 1, NULL, NULL, SOON));
	expect_true(strstr(ipc_errmsg(), "descriptors") != NULL);
	q.fds = &fd;
	expect(-EBADF, ipc_rpc_perform(r.c, &q, NULL, NULL));
	rpc_echo(r.c, 100);
	rpc_wait_held(&r, 1);
	expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, 1);
	expect(1, seen.good);
	rpc_end(&r);
}
END_TEST

START_TEST(descriptors_that_can_not_travel_are_eopnotsupp)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "hold",
	    .fd_count = 1, .timeout = SOON };
	struct rpc_seen seen = { 0 };
	int fd = STDIN_FILENO;

	rpc_begin(_i, &r);
	q.fds = &fd;
	expect(-EOPNOTSUPP, ipc_rpc_perform(r.c, &q, NULL, NULL));
	rpc_echo(r.c, 100);
	expect(0, ipc_rpc_start(r.c, "hold", NULL, 0, rpc_note, &seen, SOON));
	rpc_wait_held(&r, 1);
	expect(-EOPNOTSUPP, ipc_rpc_reply_fds(rpc_take_held(&r, 0), "x", 1,
	    &fd, 1));
	rpc_await(r.c, &seen, 1);
	expect(-EOPNOTSUPP, seen.status);
	rpc_end(&r);
}
END_TEST

int
main(void)
{
	const unsigned sure = CALLS | IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("rpcparts");
	tc = tcase_open("parts", 20);
	for_each_case(tc, parts_come_in_order_and_then_the_end, TALKS, sure);
	for_each_case(tc, a_stream_gives_one_part_after_the_other, TALKS, sure);
	for_each_case(tc, closing_a_stream_cancels_its_call, TALKS, sure);
	for_each_case(tc, closing_the_client_first_is_no_harm_to_a_stream,
	    TALKS, sure | IPC_CAP_END);
	for_each_case(tc, a_thread_that_sends_parts_waits_for_room, TALKS,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, a_thread_that_waits_for_room_learns_of_the_end,
	    TALKS, sure | IPC_CAP_LARGE);
	for_each_case(tc, parts_are_refused_where_none_are_wanted, TALKS,
	    CALLS);
	for_each_case(tc, what_comes_for_others_does_not_prolong_a_wait,
	    TALKS, sure);
	tc = tcase_open("descriptors", 20);
	for_each_case(tc, descriptors_go_along_with_calls_and_answers, TALKS,
	    sure | IPC_CAP_FDS);
	for_each_case(tc, descriptors_wait_for_room_as_well, TALKS,
	    sure | IPC_CAP_FDS);
	for_each_case(tc, a_bad_descriptor_ends_its_own_call_only, TALKS,
	    sure | IPC_CAP_FDS);
	for_each_case_but(tc, descriptors_that_can_not_travel_are_eopnotsupp,
	    TALKS, CALLS, IPC_CAP_FDS);
	return suite_close();
}
