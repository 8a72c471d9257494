/* SPDX-License-Identifier: ISC */
/*
 * Two users meet at a path and in /run/ipc, and do not where mode= or
 * allow-uid= is against it.  Wants to be root, and has a /run of its own, so
 * that nothing of the machine's is touched.
 */
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <ipc/rpc.h>

#include "support.h"

#define ALICE	4001
#define BOB	4002

static char buffer[64 * KIB];
static char shared[128];

static void
become(uid_t uid)
{
	expect_sys(setgroups(0, NULL));
	expect_sys(setresgid(uid, uid, uid));
	expect_sys(setresuid(uid, uid, uid));
}

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static void
talk(struct ipc_channel *ch, size_t size, unsigned seed)
{
	pattern_fill(buffer, size, seed);
	expect(0, ipc_send(ch, buffer, size, SOON));
}

static void
hear(struct ipc_channel *ch, size_t size, unsigned seed)
{
	expect(size, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect_true(pattern_is(buffer, size, seed));
}

/* One user listens, another connects; each knows who the other is. */
static _Noreturn void
server(uid_t uid, uid_t client, const char *text, struct gate *g)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	struct ipc_listener *l;
	struct ipc_channel *ch;

	become(uid);
	expect(0, ipc_listen(&l, text, 0));
	gate_open(g);
	expect(0, ipc_accept(&ch, l, SOON));
	hear(ch, 100, 1);
	talk(ch, 50000, 2);
	if (here.caps & IPC_CAP_PEER) {
		expect(0, ipc_peer(ch, &peer));
		expect(client, peer.uid);
	}
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	expect(0, ipc_listener_close(l));
	_exit(0);
}

static _Noreturn void
client(uid_t uid, const char *text)
{
	struct ipc_channel *ch;

	become(uid);
	expect(0, ipc_connect(&ch, text, 0, SOON));
	talk(ch, 100, 1);
	hear(ch, 50000, 2);
	expect(0, ipc_close(ch));
	_exit(0);
}

static void
two_meet(uid_t a, uid_t b, const char *listening, const char *connecting)
{
	struct gate g;
	pid_t s, c;

	gate_make(&g);
	if ((s = forked()) == 0)
		server(a, b, listening, &g);
	gate_wait(&g);
	if ((c = forked()) == 0)
		client(b, connecting);
	peer_done(c);
	peer_done(s);
	gate_free(&g);
}

/* Listens until told to stop; nobody who comes is let in. */
static _Noreturn void
closed_server(uid_t uid, const char *text, struct gate *g, struct gate *stop)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;

	become(uid);
	expect(0, ipc_listen(&l, text, 0));
	gate_open(g);
	while (ready(stop->fd[0], POLLIN, 0) == 0)
		expect(-ETIMEDOUT, ipc_accept(&ch, l, 30));
	expect(0, ipc_listener_close(l));
	_exit(0);
}

/* Refused, or the end at once: in any case no word. */
static _Noreturn void
refused_client(uid_t uid, const char *text)
{
	struct ipc_channel *ch;
	int rc;

	become(uid);
	rc = ipc_connect(&ch, text, 0, SOON);
	expect_either(-EACCES, -EPERM, rc);
	expect_true(strlen(ipc_errmsg()) > 10);
	_exit(0);
}

static void
two_do_not_meet(uid_t a, uid_t b, const char *listening,
    const char *connecting)
{
	struct gate g, stop;
	pid_t s, c;

	gate_make(&g);
	gate_make(&stop);
	if ((s = forked()) == 0)
		closed_server(a, listening, &g, &stop);
	gate_wait(&g);
	if ((c = forked()) == 0)
		refused_client(b, connecting);
	peer_done(c);
	gate_open(&stop);
	peer_done(s);
	gate_free(&g);
	gate_free(&stop);
}

/* A meeting point that everybody can reach, for any scheme. */
static const char *
at_path(const char *options)
{
	static char text[2][512];
	static unsigned n;
	char *s = text[n++ % 2];

	snprintf(s, sizeof text[0], "%s:meet?at=%s/%s%s%s", here.scheme,
	    shared, here.scheme, *options ? "&" : "", options);
	if (scheme_has_paths(here.scheme))
		snprintf(s, sizeof text[0], "%s:%s/%s%s%s", here.scheme,
		    shared, here.scheme, *options ? "?" : "", options);
	return s;
}

START_TEST(two_users_meet_at_a_path)
{
	begin(_i);
	two_meet(ALICE, BOB, at_path("mode=0666"), at_path(""));
	two_meet(ALICE, 0, at_path("mode=0666"), at_path(""));
	two_meet(0, BOB, at_path("mode=0666"), at_path(""));
}
END_TEST

START_TEST(two_users_meet_in_run_ipc)
{
	char text[64], open_text[80];

	begin(_i);
	if (scheme_has_paths(here.scheme))
		return;
	snprintf(text, sizeof text, "%s:clock", here.scheme);
	snprintf(open_text, sizeof open_text, "%s?mode=0666", text);
	two_meet(0, BOB, open_text, text);
	two_meet(0, 0, text, text);
}
END_TEST

START_TEST(the_mode_keeps_others_out)
{
	begin(_i);
	two_do_not_meet(ALICE, BOB, at_path(""), at_path(""));
	two_do_not_meet(ALICE, BOB, at_path("mode=0600"), at_path(""));
	two_do_not_meet(0, BOB, at_path("mode=0660"), at_path(""));
}
END_TEST

START_TEST(allow_uid_lets_in_whom_it_names)
{
	char allow[64];

	begin(_i);
	snprintf(allow, sizeof allow, "mode=0666&allow-uid=%d", BOB);
	two_meet(ALICE, BOB, at_path(allow), at_path(""));
	snprintf(allow, sizeof allow, "mode=0666&allow-gid=%d", BOB);
	two_meet(ALICE, BOB, at_path(allow), at_path(""));
}
END_TEST

START_TEST(allow_uid_keeps_others_out)
{
	char allow[64];

	begin(_i);
	snprintf(allow, sizeof allow, "mode=0666&allow-uid=%d", ALICE);
	two_do_not_meet(ALICE, BOB, at_path(allow), at_path(""));
	snprintf(allow, sizeof allow, "mode=0666&allow-gid=%d", ALICE);
	two_do_not_meet(ALICE, BOB, at_path(allow), at_path(""));
}
END_TEST

/* Who is refused does not disturb who is let in. */
START_TEST(a_refused_client_delays_nobody)
{
	char allow[64];
	struct gate g;
	pid_t s, c;

	begin(_i);
	snprintf(allow, sizeof allow, "mode=0666&allow-uid=%d", ALICE);
	gate_make(&g);
	if ((s = forked()) == 0)
		server(0, ALICE, at_path(allow), &g);
	gate_wait(&g);
	if ((c = forked()) == 0)
		refused_client(BOB, at_path(""));
	peer_done(c);
	if ((c = forked()) == 0)
		client(ALICE, at_path(""));
	peer_done(c);
	peer_done(s);
	gate_free(&g);
}
END_TEST

/*
 * Remote procedure calls: a limit for each user
 */

static void
echo(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)user;
	ipc_rpc_reply(call, args, size);
}

static void
stop(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	ipc_rpc_stop(user);
	ipc_rpc_reply(call, args, size);
}

static _Noreturn void
limited_server(const char *text, struct gate *g)
{
	struct ipc_rpc_server *s;

	expect(0, ipc_rpc_server_new(&s));
	expect(0, ipc_rpc_register(s, "echo", echo, NULL));
	expect(0, ipc_rpc_register(s, "stop", stop, s));
	expect(0, ipc_rpc_limit(s, IPC_RPC_CLIENTS, 2));
	expect(0, ipc_rpc_listen(s, text, 0));
	gate_open(g);
	expect(-ECANCELED, ipc_rpc_serve(s, -1));
	expect(0, ipc_rpc_server_close(s));
	_exit(0);
}

static struct ipc_rpc_client *
caller(const char *text, const char *method, int status)
{
	struct ipc_rpc_client *c;

	expect(0, ipc_rpc_connect(&c, text, SOON));
	expect(status, ipc_rpc_call(c, method, "x", 1, NULL, NULL, SOON));
	return c;
}

/* As many clients as a user may have, and one more; they stay until told. */
static _Noreturn void
callers(uid_t uid, const char *text, struct gate *there, struct gate *leave)
{
	struct ipc_rpc_client *c[3];

	become(uid);
	for (int i = 0; i < 3; i++)
		c[i] = caller(text, "echo", i < 2 ? 0 : -EUSERS);
	gate_open(there);
	gate_wait(leave);
	for (int i = 0; i < 3; i++)
		expect(0, ipc_rpc_client_close(c[i]));
	_exit(0);
}

START_TEST(a_limit_on_clients_is_for_each_user)
{
	struct gate listening, there[2], leave[2];
	const uid_t users[2] = { ALICE, BOB };
	pid_t s, c[2];

	begin(_i);
	gate_make(&listening);
	if ((s = forked()) == 0)
		limited_server(at_path("mode=0666"), &listening);
	gate_wait(&listening);
	for (int i = 0; i < 2; i++) {
		gate_make(&there[i]);
		gate_make(&leave[i]);
		if ((c[i] = forked()) == 0)
			callers(users[i], at_path(""), &there[i], &leave[i]);
		gate_wait(&there[i]);
	}
	for (int i = 0; i < 2; i++) {
		gate_open(&leave[i]);
		peer_done(c[i]);
		gate_free(&there[i]);
		gate_free(&leave[i]);
	}
	expect(0, ipc_rpc_client_close(caller(at_path(""), "stop", 0)));
	peer_done(s);
	gate_free(&listening);
}
END_TEST

static _Noreturn void
open_in_vain(const char *text)
{
	struct ipc_channel *ch;

	become(BOB);
	expect(-EACCES, ipc_open(&ch, text, IPC_SEND));
	expect(-EACCES, ipc_open(&ch, text, IPC_RECV));
	_exit(0);
}

START_TEST(the_mode_of_an_opened_object_keeps_others_out)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(_i);
	if (strcmp(here.scheme, "fifo") != 0)
		return;
	expect(0, ipc_open(&ch, at_path(""), IPC_RECV | IPC_CREATE));
	if ((pid = forked()) == 0)
		open_in_vain(at_path(""));
	peer_done(pid);
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(at_path("")));
}
END_TEST

static _Noreturn void
open_as(uid_t uid, const char *text, int dir, int expected)
{
	struct ipc_channel *ch;

	become(uid);
	expect(expected, ipc_open(&ch, text, dir));
	if (expected == 0) {
		expect(0, ipc_send(ch, "word", 4, SOON));
		expect(0, ipc_close(ch));
	} else
		expect_true(strstr(ipc_errmsg(), "posixshm:") != NULL);
	_exit(0);
}

static void
share_segment(uid_t maker, const char *text, int expected)
{
	struct ipc_channel *ch;
	char word[4];
	struct gate g;
	pid_t a, b;

	gate_make(&g);
	if ((a = forked()) == 0) {
		become(maker);
		expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
		gate_open(&g);
		if (expected == 0)
			expect(4, ipc_recv(ch, word, 4, SOON));
		else
			expect(-ETIMEDOUT, ipc_recv(ch, word, 4, 300));
		expect(0, ipc_close(ch));
		expect(0, ipc_unlink(text));
		_exit(0);
	}
	gate_wait(&g);
	if ((b = forked()) == 0)
		open_as(BOB, text, IPC_SEND, expected);
	peer_done(b);
	peer_done(a);
	gate_free(&g);
}

/* Where its bells are found as well; else that is said. */
START_TEST(users_share_a_segment_of_root)
{
	share_segment(0, "sysvshm:0x1bcde?mode=0666", 0);
	share_segment(0, "sysvshm:shared-by-root?mode=0666", 0);
	share_segment(ALICE, "sysvshm:0x1bcdf?mode=0666", -EPERM);
}
END_TEST

/* The directory of root is made as DESIGN says, and nothing lies in it. */
START_TEST(run_ipc_is_as_it_should_be)
{
	struct ipc_listener *l;
	struct stat st;

	expect(0, ipc_listen(&l, "pipe:look", 0));
	expect_sys(stat("/run/ipc", &st));
	expect(0755, st.st_mode & 07777);
	expect(0, st.st_uid);
	expect(0, ipc_listener_close(l));
}
END_TEST

/* A /run of our own, with a place for each user. */
static bool
run_of_our_own(void)
{
	static const uid_t users[] = { ALICE, BOB };
	char path[64];

	if (geteuid() != 0 || !left_private() ||
	    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV,
	    "mode=0755") == -1 || mkdir("/run/user", 0755) == -1)
		return false;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "/run/user/%d", (int)users[i]);
		if (mkdir(path, 0700) == -1 ||
		    chown(path, users[i], users[i]) == -1)
			return false;
	}
	unsetenv("IPC_RUNTIME_DIR");
	snprintf(shared, sizeof shared, "%s/shared", temporary_dir());
	return chmod(temporary_dir(), 0755) == 0 &&
	    mkdir(shared, 0700) == 0 && chmod(shared, 01777) == 0;
}

int
main(void)
{
	TCase *tc;

	suite_open("users");
	if (!run_of_our_own()) {
		skip_loudly("two users: only root can be more than one");
		return suite_close();
	}
	tc = tcase_open("users", 30);
	for_each_case_but(tc, two_users_meet_at_a_path, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, two_users_meet_in_run_ipc, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, the_mode_keeps_others_out, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, allow_uid_lets_in_whom_it_names, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, allow_uid_keeps_others_out, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, a_refused_client_delays_nobody, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, a_limit_on_clients_is_for_each_user, SESSION,
	    FORKS | IPC_CAP_PEER | IPC_CAP_DUPLEX | IPC_CAP_MESSAGE |
	    IPC_CAP_RELIABLE, IPC_CAP_NETWORK);
	for_each_case(tc, the_mode_of_an_opened_object_keeps_others_out, OPEN,
	    0);
	tcase_add_test(tc, users_share_a_segment_of_root);
	tcase_add_test(tc, run_ipc_is_as_it_should_be);
	return suite_close();
}
