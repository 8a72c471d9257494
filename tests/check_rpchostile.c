/* SPDX-License-Identifier: ISC */
/*
 * Other sides of remote procedure calls that break the rules: garbage, frames
 * that are cut short or too long, answers that nobody has asked for.  They end
 * their own session, and harm nobody else.
 */
#include <fcntl.h>
#include <sys/resource.h>

#include "rpc.h"

/* The wire format, as lib/rpc.h has it, written down once more. */
enum { CALL = 1, NOTIFY, CANCEL, CREDIT, FDS, REPLY, FAIL, ERROR, PART, BYE };
#define VERSION		0xa1
#define TAKES_PARTS	0x100
#define WINDOW		(256 * KIB)

static struct rpc r;
static struct ipc_channel *raw;		/* the hostile side */
static unsigned char frame[2000];

static size_t
put(unsigned type, unsigned n, uint32_t aux, uint64_t id, const char *body,
    size_t size)
{
	frame[0] = VERSION;
	frame[1] = (unsigned char)type;
	frame[2] = (unsigned char)n;
	frame[3] = (unsigned char)(n >> 8);
	for (int i = 0; i < 4; i++)
		frame[4 + i] = (unsigned char)(aux >> 8 * i);
	for (int i = 0; i < 8; i++)
		frame[8 + i] = (unsigned char)(id >> 8 * i);
	memset(frame + 16, 0, 300);
	if (size > 0)
		memcpy(frame + 16, body, size);
	return 16 + size;
}

/*
 * Against the server
 */

/* A server with a good client and a raw one. */
static void
server_begin(int i)
{
	struct ipc_channel *ch[2];

	begin(i);
	rpc_make(&r);
	ends_of(i, ch, "", 0);
	raw = ch[0];
	expect(0, ipc_rpc_adopt(r.s, ch[1]));
	rpc_serve(&r);
}

static void
server_end(void)
{
	rpc_echo(r.c, 100);
	expect(0, ipc_close(raw));
	rpc_echo(r.c, 100);
	rpc_end(&r);
}

/* The session ends, with a last word that says so. */
static void
expect_ended(void)
{
	unsigned char got[1000];
	ssize_t n;
	int bye = 0;

	while ((n = ipc_recv(raw, got, sizeof got, SOON)) >= 0)
		if (n >= 16 && got[1] == BYE)
			bye++;
	expect(-EPIPE, n);
	expect(1, bye);
}

static void
raw_send(size_t size)
{
	expect(0, ipc_send(raw, frame, size, SOON));
}

/* Each of these is the end of its sender. */
static size_t
bad_frame(int k)
{
	switch (k) {
	case 0:
		return 0;
	case 1:
		put(CALL, 4, 0, 1, "echo", 4);
		return 15;
	case 2:
		put(CALL, 4, 0, 1, "echo\0\0\0", 8);
		frame[0] ^= 1;
		return 24;
	case 3:
		return put(CALL, 0, 0, 1, NULL, 0);
	case 4:		/* the name is not all there */
		return put(CALL, 4, 0, 1, "ech", 3);
	case 5:
		return put(CALL, 255, 0, 1, "echo\0\0\0", 8);
	case 6:
		return put(CALL, 4, 0, 1, "e\0ho\0\0\0\0", 8);
	case 7:
		return put(CANCEL, 0, 0, 1, "x", 1);
	case 8:
		return put(CREDIT, 0, 0, 1, "x", 1);
	case 9:
		return put(FDS, 1, 0, 0, "x", 1);
	case 10:
		return put(REPLY, 0, 0, 1, NULL, 0);
	case 11:
		return put(0, 0, 0, 1, NULL, 0);
	case 12:
		return put(255, 0, 0, 1, NULL, 0);
	default:
		return SIZE_MAX;
	}
}

START_TEST(a_bad_frame_ends_its_session_only)
{
	size_t n;

	for (int k = 0; (n = bad_frame(k)) != SIZE_MAX; k++) {
		server_begin(_i);
		n = bad_frame(k);
		raw_send(n);
		expect_ended();
		server_end();
	}
}
END_TEST

START_TEST(words_on_unknown_calls_are_ignored)
{
	unsigned char got[100];

	server_begin(_i);
	raw_send(put(CANCEL, 0, 0, UINT64_MAX, NULL, 0));
	raw_send(put(CREDIT, 0, UINT32_MAX, 17, NULL, 0));
	raw_send(put(FDS, 5, 0, 0, NULL, 0));	/* and none come */
	raw_send(put(CALL, 4, UINT32_MAX, 5, "echo\0\0\0\0Hello", 13));
	expect(21, ipc_recv(raw, got, sizeof got, SOON));
	expect(REPLY, got[1]);
	expect(0, memcmp(got + 16, "Hello", 5));
	server_end();
}
END_TEST

/* Answers when it is just too late, before anybody could cancel it. */
static void
too_late(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)user;
	while (ipc_rpc_cancelled(call) == 0)
		pause_ms(1);
	expect(-ECANCELED, ipc_rpc_reply(call, args, size));
}

/* A client that gives a call up waits for the last word on it. */
START_TEST(an_answer_that_is_late_is_one_word_and_no_more)
{
	unsigned char got[100];

	server_begin(_i);
	rpc_stop(&r);
	expect(0, ipc_rpc_register(r.s, "late", too_late, NULL));
	rpc_serve(&r);
	/* Of one that nobody answers the server says so by itself. */
	raw_send(put(CALL, 5, 20, 4, "never\0\0\0", 8));
	expect(16, ipc_recv(raw, got, sizeof got, SOON));
	expect(ERROR, got[1]);
	expect(5, got[4]);
	expect(4, got[8]);
	raw_send(put(CALL, 4, 20, 5, "late\0\0\0\0Hello", 13));
	raw_send(put(CALL, 4, UINT32_MAX, 6, "echo\0\0\0\0Hello", 13));
	expect(16, ipc_recv(raw, got, sizeof got, SOON));
	expect(ERROR, got[1]);
	expect(5, got[4]);		/* ETIMEDOUT */
	expect(5, got[8]);
	expect(21, ipc_recv(raw, got, sizeof got, SOON));
	expect(REPLY, got[1]);
	expect(6, got[8]);
	expect(-EAGAIN, ipc_recv(raw, got, sizeof got, 0));
	server_end();
}
END_TEST

START_TEST(one_id_for_two_calls_ends_the_session)
{
	server_begin(_i);
	raw_send(put(CALL, 5, UINT32_MAX, 5, "never\0\0\0", 8));
	raw_send(put(CALL, 5, UINT32_MAX, 5, "never\0\0\0", 8));
	expect_ended();
	server_end();
}
END_TEST

static size_t
random_frame(unsigned *seed)
{
	static const char *const method[] = { "echo", "hold", "never",
	    "count" };
	const char *name = method[rand_r(seed) % 4];
	size_t n = put(CALL + (unsigned)rand_r(seed) % 5, (unsigned)strlen(name)
	    | (rand_r(seed) % 3 ? 0 : TAKES_PARTS), rand_r(seed) % 2 ?
	    UINT32_MAX : (uint32_t)rand_r(seed) % 3, (uint64_t)rand_r(seed) % 8,
	    name, strlen(name));

	if (frame[1] <= NOTIFY)
		n = 24 + (size_t)rand_r(seed) % 100;
	/* One in a while is broken somewhere. */
	if (rand_r(seed) % 8 == 0)
		frame[rand_r(seed) % 30] ^= 1u << rand_r(seed) % 8;
	if (rand_r(seed) % 16 == 0)
		n = (size_t)rand_r(seed) % (n + 1);
	return n;
}

START_TEST(random_frames_harm_nobody)
{
	unsigned char got[1000];
	unsigned seed = (unsigned)_i;
	ssize_t n;
	int rc;

	for (int t = 0; t < rounds(10); t++) {
		server_begin(_i);
		for (int i = 0; i < 300; i++) {
			rc = ipc_send(raw, frame, random_frame(&seed), SOON);
			while ((n = ipc_recv(raw, got, sizeof got, 0)) >= 0)
				continue;
			if (rc < 0)
				break;
		}
		rpc_release_all(&r);
		rpc_echo(r.c, 100);
		expect(0, ipc_close(raw));
		rpc_echo(r.c, 100);
		rpc_stop(&r);
		do {	/* what still lies there */
			rc = ipc_rpc_serve(r.s, 20);
			rpc_release_all(&r);
		} while (rc == 0);
		rpc_serve(&r);
		rpc_end(&r);
	}
}
END_TEST

/* It sends for ever and takes nothing: it is left alone, others go on. */
START_TEST(a_flood_is_met_with_back_pressure)
{
	int n = 0;

	server_begin(_i);
	put(CALL, 4, UINT32_MAX, 1, "echo\0\0\0\0", 8);
	for (int still = 0; still < 20 && n < 50000;) {
		if (ipc_send(raw, frame, 900, 0) == 0) {
			n++;
			still = 0;
		} else {
			still++;
			pause_ms(1);
		}
	}
	expect_true(n < 50000);
	rpc_echo(r.c, 100);
	server_end();
}
END_TEST

/*
 * Against the client
 */

static struct ipc_rpc_client *c;

static void
client_begin(int i)
{
	struct ipc_channel *ch[2];

	ends_of(i, ch, "", 0);
	raw = ch[1];
	expect(0, ipc_rpc_attach(&c, ch[0]));
}

/* The next call that comes; its id. */
static uint64_t
next_id(void)
{
	unsigned char got[1000];
	uint64_t id = 0;
	ssize_t n;

	do {
		n = ipc_recv(raw, got, sizeof got, SOON);
		expect_true(n >= 16 && got[0] == VERSION);
	} while (got[1] != CALL);
	for (int i = 7; i >= 0; i--)
		id = id << 8 | got[8 + i];
	return id;
}

static size_t
bad_answer(int k, uint64_t id)
{
	switch (k) {
	case 0:
		return 0;
	case 1:
		put(REPLY, 0, 0, id, NULL, 0);
		return 15;
	case 2:
		put(REPLY, 0, 0, id, NULL, 0);
		frame[0] = 0;
		return 16;
	case 3:		/* no code */
		return put(FAIL, 0, 0, id, "text", 4);
	case 4:
		return put(FAIL, 0, 0x80000000, id, "text", 4);
	case 5:		/* nobody wants parts */
		return put(PART, 0, 0, id, "part", 4);
	case 6:
		return put(CALL, 4, 0, id, "echo\0\0\0\0", 8);
	case 7:
		return put(99, 0, 0, id, NULL, 0);
	default:
		return SIZE_MAX;
	}
}

START_TEST(a_bad_answer_ends_the_connection)
{
	struct rpc_seen seen;

	for (int k = 0; bad_answer(k, 0) != SIZE_MAX; k++) {
		client_begin(_i);
		memset(&seen, 0, sizeof seen);
		for (int i = 0; i < 3; i++)
			expect(0, ipc_rpc_start(c, "x", NULL, 0, rpc_note,
			    &seen, -1));
		raw_send(bad_answer(k, next_id()));
		rpc_await(c, &seen, 3);
		expect(-EBADMSG, seen.status);
		expect(-EBADMSG, ipc_rpc_call(c, "x", NULL, 0, NULL, NULL,
		    -1));
		expect(0, ipc_rpc_client_close(c));
		expect(0, ipc_close(raw));
	}
}
END_TEST

START_TEST(answers_to_nothing_are_ignored)
{
	struct rpc_seen seen = { 0 };
	uint64_t id;

	client_begin(_i);
	expect(0, ipc_rpc_start(c, "x", NULL, 0, rpc_note, &seen, SOON));
	id = next_id();
	raw_send(put(REPLY, 0, 0, id + 1, "no", 2));	/* no such slot */
	raw_send(put(REPLY, 0, 0, id ^ UINT64_C(1) << 32, "no", 2));
	raw_send(put(PART, 0, 0, UINT64_MAX, "no", 2));
	raw_send(put(FDS, 3, 0, 0, NULL, 0));		/* none come */
	raw_send(put(REPLY, 0, 0, id, "yes", 3));
	raw_send(put(REPLY, 0, 0, id, "again", 5));
	rpc_await(c, &seen, 1);
	expect(3, seen.bytes);
	expect(0, ipc_rpc_start(c, "x", NULL, 0, rpc_note, &seen, SOON));
	raw_send(put(REPLY, 0, 0, id, "old", 3));
	raw_send(put(ERROR, 0, 9999, next_id(), NULL, 0));
	rpc_await(c, &seen, 2);
	expect(-EIO, seen.status);
	expect(0, ipc_rpc_client_close(c));
	expect(0, ipc_close(raw));
}
END_TEST

/* A server that does not care for what it was granted. */
START_TEST(parts_beyond_the_window_end_the_connection)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q, .method = "x",
	    .timeout = -1 };
	struct ipc_rpc_stream *s;
	uint64_t id;
	int rc, status;

	client_begin(_i);
	expect(0, ipc_rpc_stream_open(&s, c, &q));
	id = next_id();
	rc = 0;
	for (uint32_t i = 0; rc == 0 && i < WINDOW / 500; i++) {
		put(PART, 0, i, id, NULL, 0);
		rc = ipc_send(raw, frame, 1016, 0);
		if (rc == -EAGAIN) {	/* as the client takes it in */
			status = ipc_rpc_call(c, "y", NULL, 0, NULL, NULL, 1);
			rc = status == -EBADMSG ? status : 0;
			i--;
		}
	}
	status = ipc_rpc_call(c, "y", NULL, 0, NULL, NULL, SOON);
	expect(-EBADMSG, status);
	do
		rc = ipc_rpc_stream_next(s, NULL, NULL, SOON);
	while (rc == IPC_RPC_MORE);
	expect(-EBADMSG, rc);
	expect(0, ipc_rpc_stream_close(s));
	expect(0, ipc_rpc_client_close(c));
	expect(0, ipc_close(raw));
}
END_TEST

START_TEST(a_goodbye_brings_its_reason)
{
	client_begin(_i);
	raw_send(put(BYE, 0, 10, 0, "enough for today", 16));
	expect(-EUSERS, ipc_rpc_call(c, "x", NULL, 0, NULL, NULL, SOON));
	expect_true(strstr(ipc_errmsg(), "enough for today") != NULL);
	expect(0, ipc_rpc_client_close(c));
	expect(0, ipc_close(raw));
}
END_TEST

/*
 * Descriptors run out
 */

START_TEST(no_free_descriptor_is_emfile_and_no_end)
{
	struct ipc_rpc_request q = { .struct_size = sizeof q,
	    .method = "hold", .fd_count = 2, .timeout = SOON };
	struct rpc_seen seen = { 0 };
	int fds[2] = { STDIN_FILENO, STDIN_FILENO }, got[4], eat[200], n = 0;
	struct rlimit files, few;
	int rc;

	begin(_i);
	rpc_make(&r);
	q.fds = fds;
	q.done = rpc_note;
	q.user = &seen;
	rpc_serve(&r);
	rpc_echo(r.c, 10);
	expect_sys(getrlimit(RLIMIT_NOFILE, &files));
	few = files;
	few.rlim_cur = 200;
	expect_sys(setrlimit(RLIMIT_NOFILE, &few));
	while (n < 200 && (eat[n] = fcntl(0, F_DUPFD_CLOEXEC, 0)) != -1)
		n++;
	/* Between threads it is the sender that needs them. */
	rc = ipc_rpc_submit(r.c, &q, NULL);
	expect_either(0, -EMFILE, rc);
	if (rc == 0) {
		rpc_wait_held(&r, 1);
		expect(-EMFILE, ipc_rpc_take_fds(r.held[0].call, got, 4));
	}
	while (n > 0)
		close(eat[--n]);
	expect_sys(setrlimit(RLIMIT_NOFILE, &files));
	if (rc == 0)
		expect(0, rpc_release(&r, 0));
	rpc_await(r.c, &seen, rc == 0);
	expect(seen.done, seen.good);
	rpc_echo(r.c, 10);
	rpc_end(&r);
}
END_TEST

int
main(void)
{
	const unsigned sure = CALLS | IPC_CAP_RELIABLE | IPC_CAP_END;
	TCase *tc;

	suite_open("rpchostile");
	tc = tcase_open("server", 30);
	for_each_case(tc, a_bad_frame_ends_its_session_only, TALKS, sure);
	for_each_case(tc, words_on_unknown_calls_are_ignored, TALKS, sure);
	for_each_case(tc, an_answer_that_is_late_is_one_word_and_no_more,
	    TALKS, sure);
	for_each_case(tc, one_id_for_two_calls_ends_the_session, TALKS, sure);
	for_each_case(tc, random_frames_harm_nobody, TALKS, sure);
	for_each_case(tc, a_flood_is_met_with_back_pressure, TALKS, sure);
	tc = tcase_open("client", 30);
	for_each_case(tc, a_bad_answer_ends_the_connection, TALKS, sure);
	for_each_case(tc, answers_to_nothing_are_ignored, TALKS, sure);
	for_each_case(tc, parts_beyond_the_window_end_the_connection, TALKS,
	    sure);
	for_each_case(tc, a_goodbye_brings_its_reason, TALKS, sure);
	tc = tcase_open("descriptors", 30);
	for_each_case(tc, no_free_descriptor_is_emfile_and_no_end, TALKS,
	    sure | IPC_CAP_FDS);
	return suite_close();
}
