/* SPDX-License-Identifier: ISC */
/*
 * Other sides that do what no library of ours would: they end their own
 * conversation, and nothing else.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>

#include "frame.h"
#include "support.h"

#define GREETING	IPC__GREETING

static const char *path;

static int
raw_socket(const char *at, int type, int listening)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	expect_sys(fd);
	strlcpy(sun.sun_path, at, sizeof sun.sun_path);
	if (listening) {
		expect_sys(bind(fd, (struct sockaddr *)&sun, sizeof sun));
		expect_sys(listen(fd, 5));
	} else
		expect_sys(connect(fd, (struct sockaddr *)&sun, sizeof sun));
	return fd;
}

static void
make_hello(unsigned char *p, const char *scheme, uint64_t capacity)
{
	struct ipc__greeting g = { .kind = IPC__HELLO, .half = 2,
	    .max_message = 16 * MIB, .capacity = capacity };

	strlcpy(g.scheme, scheme, sizeof g.scheme);
	ipc__greeting_put(p, &g);
}

static void
put(int fd, const void *data, size_t size)
{
	expect((long long)size, send(fd, data, size, MSG_NOSIGNAL));
}

/* A raw client of unix: or unixpacket:, and the session that it has. */
static int
raw_session(struct ipc_channel **ch, bool packet)
{
	unsigned char p[GREETING + 1] = { IPC__TAG_CONTROL }, answer[200];
	struct ipc_listener *l;
	char at[200];
	int fd;

	path = path_new();
	snprintf(at, sizeof at, "%s:%s", packet ? "unixpacket" : "unix", path);
	expect_ok(ipc_listen(&l, at, 0));
	fd = raw_socket(path, packet ? SOCK_SEQPACKET : SOCK_STREAM, 0);
	make_hello(p + 1, packet ? "unixpacket" : "unix", 0);
	put(fd, p + !packet, sizeof p - !packet);
	expect_ok(ipc_accept(ch, l, SOON));
	expect(GREETING + packet, recv(fd, answer, sizeof answer, 0));
	ipc_listener_close(l);
	return fd;
}

/*
 * Floods
 */

enum { FLOOD_BYTES, FLOOD_RECORDS, FLOOD_EMPTY };

struct flood {
	pthread_t thread;
	int	 fd;
	int	 kind;
	_Atomic bool stop;
};

static void *
run_flood(void *arg)
{
	unsigned char piece[IPC__HEADER + 1], gone[IPC__CONTROL_FRAME];
	unsigned char batch[4000], tagged[1 + IPC__CONTROL_SIZE];
	struct flood *f = arg;
	size_t n = 0;

	ipc__put32(piece, IPC__FRAME_MORE | 1);
	piece[IPC__HEADER] = 'x';
	ipc__control_put(gone, IPC__CTL_ABANDON, 0, 0);
	tagged[0] = IPC__TAG_CONTROL;
	memcpy(tagged + 1, gone + IPC__HEADER, IPC__CONTROL_SIZE);
	while (n + sizeof piece + sizeof gone <= sizeof batch) {
		memcpy(batch + n, piece, sizeof piece);
		memcpy(batch + n + sizeof piece, gone, sizeof gone);
		n += sizeof piece + sizeof gone;
	}
	/* Pieces of no message: it is begun for ever. */
	for (size_t i = 0; f->kind == FLOOD_EMPTY && i < n; i += IPC__HEADER)
		ipc__put32(batch + i, IPC__FRAME_MORE);
	if (f->kind == FLOOD_EMPTY)
		n -= n % IPC__HEADER;
	while (!atomic_load(&f->stop)) {
		if (f->kind != FLOOD_RECORDS) {
			send(f->fd, batch, n, MSG_NOSIGNAL);
			continue;
		}
		send(f->fd, "\1x", 2, MSG_NOSIGNAL);
		send(f->fd, tagged, sizeof tagged, MSG_NOSIGNAL);
	}
	return NULL;
}

START_TEST(a_flood_of_nothing_keeps_no_deadline_waiting)
{
	struct flood f = { .kind = _i };
	struct ipc_channel *ch;
	double begun, late;
	char buf[100];

	f.fd = raw_session(&ch, f.kind == FLOOD_RECORDS);
	pthread_create(&f.thread, NULL, run_flood, &f);
	pause_ms(50);
	for (int i = 0; i < 5; i++) {
		begun = now_ms();
		expect(-ETIMEDOUT, ipc_recv(ch, buf, sizeof buf, 60));
		expect(-EAGAIN, ipc_recv(ch, buf, sizeof buf, 0));
		late = now_ms() - begun - 60;
		if (late > 300)
			ck_abort_msg("%.0f ms late", late);
	}
	ipc_wake(ch);
	expect(-ECANCELED, ipc_recv(ch, buf, sizeof buf, SOON));
	atomic_store(&f.stop, true);
	shutdown(f.fd, SHUT_RDWR);
	pthread_join(f.thread, NULL);
	close(f.fd);
	ipc_close(ch);
}
END_TEST

static void *
run_clients(void *arg)
{
	struct flood *f = arg;
	int fd;

	while (!atomic_load(&f->stop)) {
		fd = raw_socket(path, SOCK_STREAM, 0);
		send(fd, "rubbish that is no greeting of ours, and long enough "
		    "to be one.....", 64, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

START_TEST(a_flood_of_clients_keeps_no_deadline_waiting)
{
	struct flood f = { 0 };
	struct ipc_channel *ch;
	struct ipc_listener *l;
	double begun, late;
	char at[200];

	(void)_i;
	path = path_new();
	snprintf(at, sizeof at, "unix:%s", path);
	expect_ok(ipc_listen(&l, at, 0));
	pthread_create(&f.thread, NULL, run_clients, &f);
	for (int i = 0; i < 5; i++) {
		begun = now_ms();
		expect(-ETIMEDOUT, ipc_accept(&ch, l, 60));
		late = now_ms() - begun - 60;
		if (late > 300)
			ck_abort_msg("%.0f ms late", late);
	}
	atomic_store(&f.stop, true);
	while (ipc_accept(&ch, l, 20) != -ETIMEDOUT)
		;
	pthread_join(f.thread, NULL);
	ipc_listener_close(l);
}
END_TEST

/*
 * Listeners that are not ours alone
 */

START_TEST(a_silent_client_does_not_block_an_adopted_listener)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	int fd, client;

	(void)_i;
	path = path_new();
	fd = raw_socket(path, SOCK_SEQPACKET, 1);
	expect_ok(ipc_adopt_listener(&l, "pipe:", fd, 0));
	expect(-EAGAIN, ipc_accept(&ch, l, 0));
	client = raw_socket(path, SOCK_SEQPACKET, 0);
	alarm(3);
	expect(-EAGAIN, ipc_accept(&ch, l, 0));
	alarm(0);
	close(client);
	ipc_listener_close(l);
	unlink(path);
}
END_TEST

/* A client that is half greeted belongs to whoever accepted it. */
START_TEST(a_forked_worker_leaves_greetings_alone)
{
	unsigned char p[GREETING];
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct ipc_listener *l;
	struct ipc_channel *ch, *none;
	char at[100], buf[8];
	int fd, status;
	pid_t pid;

	(void)_i;
	expect_ok(ipc_listen(&l, "tcp://127.0.0.1:0", 0));
	expect_ok(ipc_listener_address(l, at, sizeof at));
	sin.sin_port = htons((uint16_t)atoi(strrchr(at, ':') + 1));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_sys(fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	expect_sys(connect(fd, (struct sockaddr *)&sin, sizeof sin));
	make_hello(p, "tcp", 0);
	put(fd, p, 30);
	expect(-ETIMEDOUT, ipc_accept(&ch, l, 50));
	put(fd, p + 30, sizeof p - 30);
	expect_sys(pid = fork());
	if (pid == 0) {
		_exit(ipc_accept(&none, l, 50) == -ETIMEDOUT &&
		    ipc_listener_close(l) == 0 ? 0 : 1);
	}
	expect_sys(waitpid(pid, &status, 0));
	expect(0, status);
	expect_ok(ipc_accept(&ch, l, SOON));
	expect(GREETING, recv(fd, p, sizeof p, MSG_WAITALL));
	expect(0, ipc_send(ch, "abcd", 4, SOON));
	expect(8 + 4, recv(fd, p, 12, MSG_WAITALL));
	expect(-ETIMEDOUT, ipc_recv(ch, buf, sizeof buf, 50));
	ipc_close(ch);
	close(fd);
	ipc_listener_close(l);
}
END_TEST

/*
 * Greetings that lie
 */

START_TEST(any_capacity_is_bounded)
{
	static const uint64_t capacities[] = { 1, 4095, UINT32_MAX,
	    (uint64_t)1 << 33, INT64_MAX, UINT64_MAX };
	const struct ipc_mechanism *const *list;
	unsigned char p[GREETING + 1] = { IPC__TAG_CONTROL };
	struct ipc_listener *l;
	struct ipc_channel *ch;
	size_t n = ipc_mechanisms(&list), i, k;
	char at[300];
	int fd, rc, sent;

	(void)_i;
	for (i = 0; i < n; i++) {
		if (!(list[i]->ways & 1 << IPC_WAY_SESSION) ||
		    list[i]->caps[IPC_WAY_SESSION] & IPC_CAP_NETWORK ||
		    strncmp(list[i]->scheme, "unix", 4) == 0 ||
		    strcmp(list[i]->scheme, "inproc") == 0)
			continue;
		path = path_new();
		if (scheme_has_paths(list[i]->scheme))
			snprintf(at, sizeof at, "%s:%s", list[i]->scheme, path);
		else
			snprintf(at, sizeof at, "%s:/x%zu?at=%s",
			    list[i]->scheme, i, path);
		rc = ipc_listen(&l, at, 0);
		if (rc < 0)
			ck_abort_msg("%s: %s", at, ipc_errmsg());
		for (k = 0; k < sizeof capacities / sizeof *capacities; k++) {
			fd = raw_socket(path, SOCK_SEQPACKET, 0);
			make_hello(p + 1, list[i]->scheme, capacities[k]);
			put(fd, p + 1, GREETING);
			rc = ipc_accept(&ch, l, 50);
			if (rc == 0) {
				for (sent = 0; sent < 100000 && ipc_send(ch,
				    at, 100, 0) == 0; sent++)
					;
				ipc_close(ch);
			} else
				expect(-ETIMEDOUT, rc);
			close(fd);
		}
		ipc_listener_close(l);
	}
}
END_TEST

/* An offer out of a generator of rubbish, with descriptors of all kinds. */
static void
send_offer(int fd, const char *scheme, unsigned round)
{
	unsigned char p[GREETING + 128];
	union { struct cmsghdr h; char space[CMSG_SPACE(8 * sizeof(int))]; } c;
	struct iovec iov = { p, sizeof p };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct ipc__greeting g = { .kind = IPC__OFFER, .boundary = IPC_MESSAGE,
	    .dir = IPC_DUPLEX, .max_message = 1000 + round };
	int fds[8], pipes[2], i, count = (int)(round % 9);
	size_t j;

	srandom(round);
	strlcpy(g.scheme, scheme, sizeof g.scheme);
	g.fds[0] = (uint8_t)(random() % 4);
	g.fds[1] = (uint8_t)(random() % 4);
	g.sizes[0] = (uint8_t)(random() % 70);
	g.sizes[1] = (uint8_t)(random() % 70);
	ipc__greeting_put(p, &g);
	for (j = GREETING; j < sizeof p; j++)
		p[j] = round % 3 ? (unsigned char)random() : 0;
	expect_sys(pipe(pipes));
	for (i = 0; i < 8; i++)
		fds[i] = random() % 5 == 0 ? open("/dev/null", O_RDWR) :
		    random() % 5 == 0 ? memfd_create("x", MFD_ALLOW_SEALING) :
		    dup(pipes[random() % 2]);
	if (count > 0) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
		memset(&c, 0, sizeof c);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
		memcpy(CMSG_DATA(&c.h), fds, sizeof(int) * (size_t)count);
	}
	expect_sys(sendmsg(fd, &m, MSG_NOSIGNAL));
	for (i = 0; i < 8; i++)
		close(fds[i]);
	close(pipes[0]);
	close(pipes[1]);
}

static void *
run_liar(void *arg)
{
	const char *scheme = arg;
	unsigned char p[300];
	int l = raw_socket(path, SOCK_SEQPACKET, 1), fd;
	unsigned round;

	for (round = 0; round < 200; round++) {
		expect_sys(fd = accept(l, NULL, NULL));
		expect_true(recv(fd, p, sizeof p, 0) > 0);
		send_offer(fd, scheme, round);
		close(fd);
	}
	close(l);
	unlink(path);
	return NULL;
}

START_TEST(an_offer_that_lies_is_an_error)
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list), i;
	struct ipc_channel *ch;
	pthread_t thread;
	char at[300], buf[10];
	int rc, before = fds_open();

	(void)_i;
	for (i = 0; i < n; i++) {
		if (!(list[i]->ways & 1 << IPC_WAY_SESSION) ||
		    list[i]->caps[IPC_WAY_SESSION] & IPC_CAP_NETWORK ||
		    strcmp(list[i]->scheme, "unix") == 0 ||
		    strcmp(list[i]->scheme, "unixpacket") == 0 ||
		    strcmp(list[i]->scheme, "inproc") == 0)
			continue;
		path = path_new();
		if (scheme_has_paths(list[i]->scheme))
			snprintf(at, sizeof at, "%s:%s", list[i]->scheme, path);
		else
			snprintf(at, sizeof at, "%s:/x%zu?at=%s",
			    list[i]->scheme, i, path);
		pthread_create(&thread, NULL, run_liar,
		    (void *)(uintptr_t)list[i]->scheme);
		for (int round = 0; round < 200; round++) {
			while ((rc = ipc_connect(&ch, at, 0, 1000)) ==
			    -ENOENT || (rc == -ECONNREFUSED && round == 0))
				pause_ms(1);
			if (rc == -ETIMEDOUT)
				ck_abort_msg("%s: %d: %s", at, round,
				    ipc_errmsg());
			if (rc == 0) {
				ipc_send(ch, "x", 1, 0);
				ipc_recv(ch, buf, sizeof buf, 0);
				ipc_close(ch);
			}
		}
		pthread_join(thread, NULL);
	}
	expect(before, fds_open());
}
END_TEST

static void *
run_hasty(void *arg)
{
	struct ipc__greeting g = { .kind = IPC__OFFER, .dir = IPC_DUPLEX,
	    .boundary = IPC_MESSAGE, .max_message = 1000 };
	unsigned char p[GREETING + 1] = { IPC__TAG_CONTROL };
	struct sockaddr_in from;
	socklen_t size = sizeof from;
	int fd = *(int *)arg;

	expect(GREETING + 1, recvfrom(fd, p, sizeof p, 0,
	    (struct sockaddr *)&from, &size));
	ipc__greeting_put(p + 1, &g);
	expect(5, sendto(fd, "\0data", 5, 0, (struct sockaddr *)&from, size));
	expect(GREETING + 1, sendto(fd, p, sizeof p, 0,
	    (struct sockaddr *)&from, size));
	expect(5, sendto(fd, "\0more", 5, 0, (struct sockaddr *)&from, size));
	return NULL;
}

/* Datagrams overtake each other. */
START_TEST(a_message_before_the_offer_is_lost)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t size = sizeof sin;
	struct ipc_channel *ch;
	pthread_t thread;
	char at[100], buf[10];
	int fd;

	(void)_i;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_sys(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	expect_sys(bind(fd, (struct sockaddr *)&sin, sizeof sin));
	expect_sys(getsockname(fd, (struct sockaddr *)&sin, &size));
	pthread_create(&thread, NULL, run_hasty, &fd);
	snprintf(at, sizeof at, "udp://127.0.0.1:%d", ntohs(sin.sin_port));
	expect_ok(ipc_connect(&ch, at, 0, SOON));
	expect(4, ipc_recv(ch, buf, sizeof buf, SOON));
	expect_true(memcmp(buf, "more", 4) == 0);
	pthread_join(thread, NULL);
	ipc_close(ch);
	close(fd);
}
END_TEST

/*
 * Sessions that are fed with rubbish
 */

static size_t
random_frame(unsigned char *p, bool packet)
{
	size_t n = (size_t)(random() % 3 ? random() % 20 : random() % 3000);
	unsigned kind = (unsigned)(random() % 6), arg = (unsigned)random() % 5;
	size_t i, head = packet ? 1 : IPC__HEADER;

	for (i = 0; i < n; i++)
		p[head + i] = (unsigned char)random();
	if (random() % 3 == 0) {
		ipc__control_put(p, kind, arg, (uint32_t)random());
		if (packet) {
			memmove(p + 1, p + IPC__HEADER, IPC__CONTROL_SIZE);
			p[0] = IPC__TAG_CONTROL;
		}
		return head + IPC__CONTROL_SIZE;
	}
	if (packet)
		p[0] = (unsigned char)(random() % 5);
	else
		ipc__put32(p, (uint32_t)n | (random() % 2 ? IPC__FRAME_MORE :
		    0) | (random() % 40 ? 0 : (uint32_t)random()));
	return head + n;
}

static void
feed(int fd, bool packet)
{
	unsigned char p[4096];
	union { struct cmsghdr h; char space[CMSG_SPACE(4 * sizeof(int))]; } c;
	int fds[4] = { 0, 0, 0, 0 }, count = (int)(random() % 5);
	struct iovec iov = { p, random_frame(p, packet) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (random() % 3 == 0 && count > 0) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
		memset(&c, 0, sizeof c);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
		memcpy(CMSG_DATA(&c.h), fds, sizeof(int) * (size_t)count);
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One receive of some kind; false at the end. */
static bool
eat_one(struct ipc_channel *ch)
{
	char buf[200], more[100];
	struct iovec iov[2] = { { buf, sizeof buf }, { more, sizeof more } };
	int fds[3], rc = -EAGAIN;
	struct ipc_msg m = { .struct_size = sizeof m, .iov = iov,
	    .iov_count = 1 + (int)(random() % 2), .fds = fds, .fd_count = 3 };
	const void *p;

	switch (random() % 6) {
	case 0:
		rc = (int)ipc_recv(ch, buf, sizeof buf, 0);
		break;
	case 1:
		if ((rc = (int)ipc_recvmsg(ch, &m, 0, 0)) >= 0)
			while (m.fd_count > 0)
				close(fds[--m.fd_count]);
		break;
	case 2:
		rc = ipc_recvmany(ch, iov, 2, 0);
		break;
	case 3:
		if ((rc = (int)ipc_peek(ch, &p, 0)) > 0)
			buf[0] = ((const char *)p)[rc - 1];
		if (rc >= 0 && random() % 2)
			expect(0, ipc_release(ch));
		break;
	case 4:
		rc = ipc_send(ch, buf, 10, 0);
		break;
	default:
		rc = (int)ipc_recv(ch, buf, 1, 1);
		if (rc == -EMSGSIZE || rc == -ETIMEDOUT)
			rc = -EAGAIN;
	}
	return rc >= 0 || rc == -EAGAIN || rc == -EMSGSIZE || rc == -EMFILE ||
	    rc == -EPIPE;
}

START_TEST(rubbish_ends_its_own_session)
{
	struct ipc_channel *ch;
	int fd, round, i, before;

	before = fds_open();
	for (round = 0; round < rounds(300); round++) {
		srandom((unsigned)round + 1000u * (unsigned)_i);
		fd = raw_session(&ch, _i);
		if (round % 2)
			expect_ok(ipc_fd(ch, IPC_RECV, NULL));
		for (i = 0; i < 60; i++) {
			feed(fd, _i);
			if (!eat_one(ch))
				break;
		}
		if (round % 3)
			close(fd);
		ipc_close(ch);
		if (round % 3 == 0)
			close(fd);
	}
	expect(before, fds_open());
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("hostile");
	tc = tcase_open("floods", 20);
	tcase_add_loop_test(tc, a_flood_of_nothing_keeps_no_deadline_waiting,
	    0, 3);
	tcase_add_test(tc, a_flood_of_clients_keeps_no_deadline_waiting);
	tc = tcase_open("listeners", 20);
	tcase_add_test(tc, a_silent_client_does_not_block_an_adopted_listener);
	tcase_add_test(tc, a_forked_worker_leaves_greetings_alone);
	tc = tcase_open("greetings", 60);
	tcase_add_test(tc, any_capacity_is_bounded);
	tcase_add_test(tc, an_offer_that_lies_is_an_error);
	tcase_add_test(tc, a_message_before_the_offer_is_lost);
	tc = tcase_open("rubbish", 60);
	tcase_add_loop_test(tc, rubbish_ends_its_own_session, 0, 2);
	return suite_close();
}
