/* SPDX-License-Identifier: ISC */
/*
 * Many writers on one opened object: their messages never mix, and one that is
 * killed spoils nothing of the others'.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

#include "support.h"

#define WRITERS		4
#define MESSAGES	2000

/* What each message begins with. */
struct stamp {
	uint32_t writer, number, size;
};

static unsigned char buffer[64 * KIB];

static size_t
size_of(uint32_t number, size_t most)
{
	size_t size = number * 2654435761u % (most + 1);

	return size < sizeof(struct stamp) ? sizeof(struct stamp) : size;
}

static _Noreturn void
write_all(const char *text, uint32_t writer, uint32_t count)
{
	struct ipc_channel *ch;
	struct stamp s;
	size_t most;

	expect(0, ipc_open(&ch, text, IPC_SEND));
	most = info_of(ch).max_message;
	if (most > sizeof buffer)
		most = sizeof buffer;
	for (uint32_t i = 0; i < count; i++) {
		s = (struct stamp){ writer, i, (uint32_t)size_of(i, most) };
		pattern_fill(buffer, s.size, writer * 10000 + i);
		memcpy(buffer, &s, sizeof s);
		expect(0, ipc_send(ch, buffer, s.size, -1));
	}
	expect(0, ipc_close(ch));
	_exit(0);
}

/* One whole message: whose it was. */
static uint32_t
take(struct ipc_channel *ch, uint32_t next[])
{
	static unsigned char want[sizeof buffer];
	struct stamp s;
	ssize_t n = ipc_recv(ch, buffer, sizeof buffer, SOON);

	if (n < (ssize_t)sizeof s)
		ck_abort_msg("%s: %zd: %s", where(), n, ipc_errmsg());
	memcpy(&s, buffer, sizeof s);
	expect(s.size, n);
	expect_true(s.writer < WRITERS);
	expect(next[s.writer], s.number);
	next[s.writer]++;
	pattern_fill(want, s.size, s.writer * 10000 + s.number);
	expect_true(memcmp(want + sizeof s, buffer + sizeof s,
	    s.size - sizeof s) == 0);
	return s.writer;
}

/* A socket's name goes with the socket. */
static void
put_away(struct ipc_channel *ch, const char *text)
{
	expect(0, ipc_close(ch));
	expect_either(0, here.caps & IPC_CAP_ADDRESS ? -ENOENT : 0,
	    ipc_unlink(text));
}

/* Of a journal, say, it is the readers that may be many. */
static bool
takes_many_writers(const char *text)
{
	struct ipc_channel *a, *b;
	int rc;

	expect(0, ipc_open(&a, text, IPC_SEND));
	rc = ipc_open(&b, text, IPC_SEND);
	if (rc < 0)
		expect(-EBUSY, rc);
	else
		expect(0, ipc_close(b));
	expect(0, ipc_close(a));
	return rc == 0;
}

static pid_t
writer_start(const char *text, uint32_t writer, uint32_t count)
{
	pid_t pid = fork();

	expect_sys(pid);
	if (pid == 0)
		write_all(text, writer, count);
	return pid;
}

START_TEST(messages_of_many_writers_never_mix)
{
	const char *text;
	struct ipc_channel *ch;
	uint32_t next[WRITERS] = { 0 }, count = (uint32_t)rounds(MESSAGES);
	pid_t pid[WRITERS];

	begin(_i);
	text = address(here.caps & IPC_CAP_END ? "end=0" : "");
	expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	if (!takes_many_writers(text)) {
		put_away(ch, text);
		return;
	}
	for (uint32_t w = 0; w < WRITERS; w++)
		pid[w] = writer_start(text, w, count);
	for (uint32_t i = 0; i < count * WRITERS; i++)
		take(ch, next);
	for (uint32_t w = 0; w < WRITERS; w++) {
		expect(count, next[w]);
		peer_done(pid[w]);
	}
	expect(-EAGAIN, ipc_recv(ch, buffer, sizeof buffer, 0));
	put_away(ch, text);
}
END_TEST

START_TEST(a_killed_writer_spoils_nothing_of_the_others)
{
	const char *text;
	struct ipc_channel *ch;
	uint32_t next[WRITERS] = { 0 }, count = (uint32_t)rounds(MESSAGES);
	pid_t pid[WRITERS];

	begin(_i);
	text = address(here.caps & IPC_CAP_END ? "end=0" : "");
	expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	if (!takes_many_writers(text)) {
		put_away(ch, text);
		return;
	}
	for (uint32_t w = 1; w < WRITERS; w++)
		pid[w] = writer_start(text, w, count);
	pid[0] = writer_start(text, 0, UINT32_MAX);
	while (next[0] < 100)
		take(ch, next);
	expect_sys(kill(pid[0], SIGKILL));
	while (next[1] < count || next[2] < count || next[3] < count)
		take(ch, next);
	for (uint32_t w = 1; w < WRITERS; w++)
		peer_done(pid[w]);
	peer_kill(pid[0]);
	put_away(ch, text);
}
END_TEST

/* Frames are written by whoever knows what one looks like: a little-endian
 * word with the length, then the bytes. */
START_TEST(a_foreign_writer_of_frames)
{
	const char *text;
	struct ipc_channel *ch;
	int fd;

	begin(_i);
	if (strcmp(here.scheme, "fifo") != 0)
		return;
	text = address("");
	expect(0, ipc_open(&ch, text, IPC_RECV | IPC_CREATE));
	fd = open(strchr(text, ':') + 1, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	expect_sys(fd);
	expect(9, write(fd, "\5\0\0\0hello", 9));
	expect(5, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect_true(memcmp(buffer, "hello", 5) == 0);
	close(fd);
	expect(-EPIPE, ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(ch));
	expect(0, ipc_unlink(text));
}
END_TEST

START_TEST(frames_go_up_to_what_the_kernel_writes_whole)
{
	const char *text;
	struct ipc_channel *in, *out;

	begin(_i);
	if (strcmp(here.scheme, "fifo") != 0)
		return;
	text = address("");
	expect(0, ipc_open(&in, text, IPC_RECV | IPC_CREATE));
	expect(0, ipc_open(&out, text, IPC_SEND));
	expect(PIPE_BUF - 4, info_of(out).max_message);
	carry(out, in, PIPE_BUF - 4);
	expect(-EMSGSIZE, ipc_send(out, buffer, PIPE_BUF - 3, SOON));
	expect_true(strstr(ipc_errmsg(), "PIPE_BUF") != NULL);
	expect(-EAGAIN, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(0, ipc_close(in));
	expect(0, ipc_close(out));
	expect(0, ipc_unlink(text));
}
END_TEST

int
main(void)
{
	const unsigned caps = IPC_CAP_MANY | IPC_CAP_RELIABLE |
	    IPC_CAP_MESSAGE;
	TCase *tc;

	suite_open("fifo writers");
	tc = tcase_open("writers", 60);
	for_each_case(tc, messages_of_many_writers_never_mix, OPEN, caps);
	for_each_case(tc, a_killed_writer_spoils_nothing_of_the_others, OPEN,
	    caps);
	for_each_case(tc, a_foreign_writer_of_frames, OPEN, caps);
	for_each_case(tc, frames_go_up_to_what_the_kernel_writes_whole, OPEN,
	    caps);
	return suite_close();
}
