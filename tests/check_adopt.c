/* SPDX-License-Identifier: ISC */
/*
 * Descriptors that exist: an activating parent's sockets, a shell's pipes.
 * Their flags are another's and stay as they are.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "support.h"

static char buffer[256 * KIB];

/*
 * Descriptors of each kind: what fd[1] sends, fd[0] receives
 */

static void
inet_pair(int fd[2], int type)
{
	struct sockaddr_in in[2] = { { .sin_family = AF_INET },
	    { .sin_family = AF_INET } };
	socklen_t size = sizeof in[0];
	int l;

	in[0].sin_addr.s_addr = in[1].sin_addr.s_addr =
	    htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 2; i++) {
		expect_sys(fd[i] = socket(AF_INET, type | SOCK_CLOEXEC, 0));
		expect_sys(bind(fd[i], (struct sockaddr *)&in[i], size));
		expect_sys(getsockname(fd[i], (struct sockaddr *)&in[i],
		    &size));
	}
	if (type == SOCK_STREAM) {
		expect_sys(listen(l = fd[0], 1));
		expect_sys(connect(fd[1], (struct sockaddr *)&in[0], size));
		expect_sys(fd[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC));
		close(l);
		return;
	}
	expect_sys(connect(fd[1], (struct sockaddr *)&in[0], size));
	expect_sys(connect(fd[0], (struct sockaddr *)&in[1], size));
}

/* A scheme that can be adopted and is not here wants a line here. */
static void
descriptors(int fd[2])
{
	const char *s = here.scheme;

	if (strcmp(s, "pipe") == 0 || strcmp(s, "fifo") == 0)
		expect_sys(pipe2(fd, O_CLOEXEC));
	else if (strcmp(s, "unix") == 0)
		expect_sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
		    fd));
	else if (strcmp(s, "unixpacket") == 0)
		expect_sys(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC,
		    0, fd));
	else if (strcmp(s, "unixgram") == 0)
		expect_sys(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0,
		    fd));
	else if (strcmp(s, "tcp") == 0)
		inet_pair(fd, SOCK_STREAM);
	else if (strcmp(s, "udp") == 0)
		inet_pair(fd, SOCK_DGRAM);
	else
		ck_abort_msg("%s: which descriptors are these?", where());
}

static void
adopted(int i, struct ipc_channel *ch[2], int fd[2], const char *options)
{
	begin(i);
	descriptors(fd);
	expect(0, ipc_adopt(&ch[0], address(options), fd[0], -1, 0));
	expect(0, ipc_adopt(&ch[1], address(options), -1, fd[1], 0));
}

/* As bytes or as a message, as it was adopted. */
static void
put(struct ipc_channel *ch, const char *text)
{
	size_t n = strlen(text);

	if (info_of(ch).boundary == IPC_STREAM)
		expect(n, ipc_write(ch, text, n, SOON));
	else
		expect(0, ipc_send(ch, text, n, SOON));
}

static ssize_t
get(struct ipc_channel *ch, size_t size, int timeout)
{
	if (info_of(ch).boundary == IPC_STREAM)
		return ipc_read(ch, buffer, size, timeout);
	return ipc_recv(ch, buffer, size, timeout);
}

/*
 * Tests
 */

START_TEST(what_is_sent_arrives)
{
	struct ipc_channel *ch[2];
	int fd[2];

	adopted(_i, ch, fd, "");
	expect(IPC_RECV, info_of(ch[0]).direction);
	expect(IPC_SEND, info_of(ch[1]).direction);
	for (int i = 0; i < 10; i++) {
		put(ch[1], "hello");
		expect(5, get(ch[0], sizeof buffer, SOON));
		expect_true(memcmp(buffer, "hello", 5) == 0);
	}
	expect_either(-EBADF, -EINVAL, ipc_write(ch[0], "x", 1, 0));
	expect_either(-EBADF, -EINVAL, ipc_send(ch[0], "x", 1, 0));
	close_ends(ch);
}
END_TEST

START_TEST(messages_where_they_are_asked_for)
{
	struct ipc_channel *ch[2];
	int fd[2];

	adopted(_i, ch, fd, "boundary=message");
	expect(0, ipc_send(ch[1], "one", 3, SOON));
	expect(0, ipc_send(ch[1], "", 0, SOON));
	expect(0, ipc_send(ch[1], "three", 5, SOON));
	expect(3, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(0, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	expect(5, ipc_recv(ch[0], buffer, sizeof buffer, SOON));
	if (here.caps & IPC_CAP_LARGE)
		carry(ch[1], ch[0], 300000);
	close_ends(ch);
}
END_TEST

START_TEST(descriptor_flags_stay_as_they_are)
{
	struct ipc_channel *ch[2];
	int fd[2], fl[2], cloexec[2];

	for (int nonblock = 0; nonblock < 2; nonblock++) {
		begin(_i);
		descriptors(fd);
		for (int k = 0; k < 2; k++) {
			fl[k] = fcntl(fd[k], F_GETFL) |
			    (nonblock ? O_NONBLOCK : 0);
			expect_sys(fcntl(fd[k], F_SETFL, fl[k]));
			expect_sys(fcntl(fd[k], F_SETFD, 0));
			cloexec[k] = 0;
		}
		expect(0, ipc_adopt(&ch[0], address(""), fd[0], -1, 0));
		expect(0, ipc_adopt(&ch[1], address(""), -1, fd[1], 0));
		for (int k = 0; k < 2; k++)
			fd[k] = dup(fd[k]);
		expect(-EAGAIN, get(ch[0], 10, 0));
		expect(-ETIMEDOUT, get(ch[0], 10, 20));
		put(ch[1], "hello");
		expect(5, get(ch[0], 10, SOON));
		for (int k = 0; k < 2; k++) {
			expect(fl[k], fcntl(fd[k], F_GETFL));
			expect(cloexec[k], fcntl(fd[k], F_GETFD));
		}
		close_ends(ch);
		for (int k = 0; k < 2; k++) {
			expect(fl[k], fcntl(fd[k], F_GETFL));
			close(fd[k]);
		}
	}
}
END_TEST

/* A blocking descriptor does not make the call block. */
START_TEST(a_full_one_does_not_block)
{
	struct ipc_channel *ch[2];
	int fd[2];
	ssize_t n = 1;
	double start;

	adopted(_i, ch, fd, "");
	memset(buffer, 'x', sizeof buffer);
	for (int i = 0; i < 10000 && n >= 0; i++)
		n = info_of(ch[1]).boundary == IPC_STREAM ?
		    ipc_write(ch[1], buffer, 3000, 0) :
		    ipc_send(ch[1], buffer, 1000, 0);
	expect(-EAGAIN, n);
	start = now_ms();
	n = info_of(ch[1]).boundary == IPC_STREAM ?
	    ipc_write(ch[1], buffer, 3000, 50) :
	    ipc_send(ch[1], buffer, 1000, 50);
	expect(-ETIMEDOUT, n);
	expect_true(now_ms() - start >= 50);
	expect_true(get(ch[0], sizeof buffer, SOON) > 0);
	close_ends(ch);
}
END_TEST

/* What was not asked for is left to whoever reads the descriptor next. */
START_TEST(nothing_is_read_ahead_of_need)
{
	struct ipc_channel *ch[2];
	int fd[2], copy;

	adopted(_i, ch, fd, "");
	if (info_of(ch[0]).boundary != IPC_STREAM) {
		close_ends(ch);
		return;
	}
	expect_sys(copy = dup(fd[0]));
	put(ch[1], "line 1\nline 2\n");
	expect(7, ipc_read(ch[0], buffer, 7, SOON));
	expect(7, read(copy, buffer, sizeof buffer));
	expect_true(memcmp(buffer, "line 2\n", 7) == 0);
	close(copy);
	close_ends(ch);
}
END_TEST

START_TEST(the_end_is_seen)
{
	struct ipc_channel *ch[2];
	int fd[2];

	adopted(_i, ch, fd, "");
	put(ch[1], "last");
	expect(0, ipc_close(ch[1]));
	expect(4, get(ch[0], sizeof buffer, SOON));
	expect(info_of(ch[0]).boundary == IPC_STREAM ? 0 : -EPIPE,
	    get(ch[0], sizeof buffer, SOON));
	expect(0, ipc_close(ch[0]));
}
END_TEST

START_TEST(it_can_be_waited_on)
{
	struct ipc_channel *ch[2];
	short events;
	int fd[2], r;

	adopted(_i, ch, fd, "");
	r = ipc_fd(ch[0], IPC_RECV, &events);
	expect_ok(r);
	expect(-EAGAIN, get(ch[0], 10, 0));
	expect(0, ready(r, events, 0));
	put(ch[1], "hello");
	expect_true(ready(r, events, SOON) != 0);
	expect(5, get(ch[0], 10, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(one_descriptor_twice_is_two_way)
{
	struct ipc_channel *ch[2];
	struct stat st;
	int fd[2];

	begin(_i);
	descriptors(fd);
	expect_sys(fstat(fd[0], &st));
	if (!S_ISSOCK(st.st_mode)) {
		expect_error(ipc_adopt(&ch[0], address(""), fd[0], fd[0], 0));
		close(fd[0]);
		close(fd[1]);
		return;
	}
	for (int k = 0; k < 2; k++) {
		expect(0, ipc_adopt(&ch[k], address(""), fd[k], fd[k], 0));
		expect(IPC_DUPLEX, info_of(ch[k]).direction);
	}
	put(ch[0], "there");
	expect(5, get(ch[1], sizeof buffer, SOON));
	put(ch[1], "back");
	expect(4, get(ch[0], sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

/* inetd and ssh give two. */
START_TEST(two_descriptors_are_two_way)
{
	struct ipc_channel *ch[2];
	int a[2], b[2];

	begin(_i);
	descriptors(a);
	descriptors(b);
	expect(0, ipc_adopt(&ch[0], address(""), a[0], b[1], 0));
	expect(0, ipc_adopt(&ch[1], address(""), b[0], a[1], 0));
	put(ch[0], "there");
	expect(5, get(ch[1], sizeof buffer, SOON));
	put(ch[1], "back");
	expect(4, get(ch[0], sizeof buffer, SOON));
	close_ends(ch);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_and_stays_the_callers)
{
	struct ipc_channel *ch;
	int file, fd[2];

	begin(_i);
	descriptors(fd);
	expect_sys(file = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	expect_error(ipc_adopt(&ch, address(""), file, -1, 0));
	expect_error(ipc_adopt(&ch, address(""), -1, file, 0));
	expect_error(ipc_adopt(&ch, address(""), fd[0], file, 0));
	expect_error(ipc_adopt(&ch, address(""), 12345, -1, 0));
	expect(-EINVAL, ipc_adopt(&ch, address(""), -1, -1, 0));
	expect(-EINVAL, ipc_adopt(&ch, address("nosuch=1"), fd[0], -1, 0));
	expect_sys(fcntl(file, F_GETFD));
	expect_sys(fcntl(fd[0], F_GETFD));
	close(file);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/*
 * Listeners
 */

static int
listening_socket(char *path, size_t size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strlcpy(path, path_new(), size);
	strlcpy(un.sun_path, path, sizeof un.sun_path);
	expect_sys(fd);
	expect_sys(bind(fd, (struct sockaddr *)&un, sizeof un));
	expect_sys(listen(fd, 5));
	return fd;
}

static void
serves(struct ipc_listener *l, const char *path)
{
	struct ipc_channel *ch[2];
	char text[4096];

	snprintf(text, sizeof text, "unix:%s", path);
	meet_at(ch, l, text, 0);
	carry(ch[0], ch[1], 100);
	carry(ch[1], ch[0], 100000);
	close_ends(ch);
}

START_TEST(a_listening_socket_becomes_a_listener)
{
	struct ipc_listener *l;
	char path[256];
	int fd = listening_socket(path, sizeof path), fl;

	fl = fcntl(fd, F_GETFL);
	expect(0, ipc_adopt_listener(&l, "unix:", fd, 0));
	serves(l, path);
	serves(l, path);
	expect(fl, fcntl(fd, F_GETFL));
	expect(0, ipc_listener_close(l));
	expect_sys(unlink(path));
}
END_TEST

START_TEST(what_does_not_listen_is_refused)
{
	struct ipc_listener *l;
	int fd[2];

	expect_sys(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	expect_error(ipc_adopt_listener(&l, "unix:", fd[0], 0));
	expect_error(ipc_adopt_listener(&l, "tcp:", fd[0], 0));
	expect_sys(fcntl(fd[0], F_GETFD));
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* As an activating parent does: descriptors from 3 on, number and pid in the
 * environment. */
static _Noreturn void
activated(int fd, const char *path)
{
	struct ipc_listener *l;
	char pid[16];

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	expect_sys(dup2(fd, 3));
	expect(-ENOENT, ipc_adopt_listener(&l, "unix:", -1, 0));
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", "1", 1);
	expect(-ENOENT, ipc_adopt_listener(&l, "unix:", -1, 0));
	setenv("LISTEN_PID", pid, 1);
	expect(-ENOENT, ipc_adopt_listener(&l, "tcp:", -1, 0));
	expect(0, ipc_adopt_listener(&l, "unix:", -1, 0));
	serves(l, path);
	expect(0, ipc_listener_close(l));
	_exit(0);
}

START_TEST(listeners_from_the_environment)
{
	char path[256];
	int fd = listening_socket(path, sizeof path);
	pid_t pid = fork();

	expect_sys(pid);
	if (pid == 0)
		activated(fd, path);
	peer_done(pid);
	close(fd);
	expect_sys(unlink(path));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("adopt");
	tc = tcase_open("adopt", 20);
	for_each_case(tc, what_is_sent_arrives, ADOPT, 0);
	for_each_case(tc, messages_where_they_are_asked_for, ADOPT,
	    IPC_CAP_MESSAGE | IPC_CAP_RELIABLE);
	for_each_case(tc, descriptor_flags_stay_as_they_are, ADOPT, 0);
	for_each_case(tc, a_full_one_does_not_block, ADOPT, IPC_CAP_RELIABLE);
	for_each_case(tc, nothing_is_read_ahead_of_need, ADOPT,
	    IPC_CAP_STREAM);
	for_each_case(tc, the_end_is_seen, ADOPT, IPC_CAP_END);
	for_each_case(tc, it_can_be_waited_on, ADOPT, IPC_CAP_FD);
	for_each_case(tc, one_descriptor_twice_is_two_way, ADOPT,
	    IPC_CAP_DUPLEX);
	for_each_case(tc, two_descriptors_are_two_way, ADOPT, 0);
	for_each_case(tc, what_does_not_fit_is_refused_and_stays_the_callers,
	    ADOPT, 0);
	tc = tcase_open("listener", 20);
	tcase_add_test(tc, a_listening_socket_becomes_a_listener);
	tcase_add_test(tc, what_does_not_listen_is_refused);
	tcase_add_test(tc, listeners_from_the_environment);
	return suite_close();
}
