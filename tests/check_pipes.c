/* SPDX-License-Identifier: ISC */
/* WRAP: pwritev2 preadv2 */
/*
 * The pipe backend, called through its table: writing without SIGPIPE both
 * ways, sizes, descriptors that belong to somebody else as well, and handing
 * ends to another process.
 */
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "halves.h"
#include "pipeio.h"

extern const struct ipc_backend ipc__backend_pipe;
#define PIPE	(&ipc__backend_pipe)

static struct ipc__half *rd, *wr;
static char big[1 << 20];

/* The system calls under it: counted, and refused where a flag is unknown. */
ssize_t __real_pwritev2(int, const struct iovec *, int, off_t, int);
ssize_t __wrap_pwritev2(int, const struct iovec *, int, off_t, int);
ssize_t __real_preadv2(int, const struct iovec *, int, off_t, int);
ssize_t __wrap_preadv2(int, const struct iovec *, int, off_t, int);

static int unknown_flags, unknown_error = EOPNOTSUPP;
static int writes;

ssize_t
__wrap_pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
	writes++;
	if (flags & unknown_flags) {
		errno = unknown_error;
		return -1;
	}
	return __real_pwritev2(fd, iov, count, at, flags);
}

ssize_t
__wrap_preadv2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
	if (flags & unknown_flags) {
		errno = unknown_error;
		return -1;
	}
	return __real_preadv2(fd, iov, count, at, flags);
}

#define NOSIGNAL	0x100

static void
pair(uint64_t capacity)
{
	struct ipc__address a = address_of(PIPE, "");

	a.opt.capacity = capacity;
	rd = half_new(PIPE, IPC_RECV);
	wr = half_new(PIPE, IPC_SEND);
	ck_assert_int_eq(PIPE->pair(rd, wr, &a), 0);
}

static void
close_both(void)
{
	half_close(rd, true);
	half_close(wr, true);
}

START_TEST(bytes_go_through_and_then_the_end)
{
	char b[16];

	pair(0);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), -EAGAIN);
	ck_assert_int_eq(half_send(wr, "hello", 5), 5);
	ck_assert_uint_eq(PIPE->pending(rd), 5);
	ck_assert_int_eq(half_recv(rd, b, 2), 2);
	ck_assert_int_eq(half_recv(rd, b + 2, sizeof b), 3);
	ck_assert_mem_eq(b, "hello", 5);
	half_send(wr, "x", 1);
	half_close(wr, true);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), 1);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), 0);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), 0);
	half_close(rd, true);
}
END_TEST

START_TEST(ends_are_made_in_either_order)
{
	struct ipc__address a = address_of(PIPE, "");

	wr = half_new(PIPE, IPC_SEND);
	rd = half_new(PIPE, IPC_RECV);
	ck_assert_int_eq(PIPE->pair(wr, rd, &a), 0);
	ck_assert_int_eq(half_send(wr, "a", 1), 1);
	ck_assert_int_eq(half_recv(rd, big, 9), 1);
	ck_assert_int_eq(fcntl(rd->fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(wr->fd, F_GETFD), FD_CLOEXEC);
	close_both();
}
END_TEST

START_TEST(many_places_are_one_write_and_one_read)
{
	char a[3], b[4];
	struct iovec out[3] = { { (void *)(uintptr_t)"ab", 2 }, { NULL, 0 },
	    { (void *)(uintptr_t)"cdefg", 5 } };
	struct iovec in[2] = { { a, 3 }, { b, 4 } };

	pair(0);
	ck_assert_int_eq(PIPE->send(wr, out, 3, NULL), 7);
	ck_assert_int_eq(writes, 1);
	ck_assert_int_eq(PIPE->recv(rd, in, 2, NULL), 7);
	ck_assert_mem_eq(a, "abc", 3);
	ck_assert_mem_eq(b, "defg", 4);
	close_both();
}
END_TEST

/*
 * SIGPIPE: with the flag, without it, and where the kernel turns out not to
 * know it (as two errors)
 */

static void
way_of_writing(int i)
{
	ipc__pipe_nosignal(i != 1);
	unknown_flags = i >= 2 ? NOSIGNAL : 0;
	unknown_error = i == 3 ? ENOSYS : EOPNOTSUPP;
}

START_TEST(sigpipe_is_never_raised)
{
	sigset_t mask, after, pending;
	int i;

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	way_of_writing(_i);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	pair(0);
	half_close(rd, true);
	ck_assert_int_eq(half_send(wr, "x", 1), -EPIPE);
	ck_assert_int_eq(half_send(wr, "x", 1), -EPIPE);
	half_close(wr, true);

	sigprocmask(SIG_SETMASK, NULL, &after);
	sigpending(&pending);
	for (i = 1; i < NSIG; i++)
		ck_assert_int_eq(sigismember(&mask, i), sigismember(&after, i));
	ck_assert_int_eq(sigismember(&pending, SIGPIPE), 0);
	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}
END_TEST

START_TEST(a_sigpipe_of_the_program_stays_pending)
{
	sigset_t set, pending;

	way_of_writing(_i);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGPIPE);
	pair(0);
	half_close(rd, true);
	ck_assert_int_eq(half_send(wr, "x", 1), -EPIPE);
	half_close(wr, true);
	sigpending(&pending);
	ck_assert_int_eq(sigismember(&pending, SIGPIPE), 1);
	signal(SIGPIPE, SIG_IGN);	/* takes it away */
}
END_TEST

START_TEST(an_unknown_flag_is_tried_once)
{
	way_of_writing(2);
	pair(0);
	ck_assert_int_eq(half_send(wr, "x", 1), 1);
	ck_assert_int_eq(writes, 1);
	ck_assert_int_eq(half_send(wr, "x", 1), 1);
	ck_assert_int_eq(writes, 1);
	close_both();
}
END_TEST

/*
 * Sizes
 */

START_TEST(what_is_ready_takes_a_record)
{
	int n;

	pair(0);
	ck_assert_uint_eq(wr->record, PIPE_BUF - 4);
	ck_assert_uint_eq(wr->atomic, PIPE_BUF);
	ck_assert_uint_eq(wr->capacity, (size_t)fcntl(wr->fd, F_GETPIPE_SZ));
	for (n = 0; ready(wr->fd, POLLOUT, 0) == POLLOUT; n++)
		ck_assert_int_eq(half_send(wr, big, wr->record + 4), PIPE_BUF);
	ck_assert_int_eq(half_send(wr, big, wr->record), -EAGAIN);
	ck_assert_uint_eq((size_t)n * PIPE_BUF, wr->capacity);
	ck_assert_uint_eq(PIPE->pending(rd), wr->capacity);
	close_both();
}
END_TEST

static size_t
pipe_max_size(void)
{
	unsigned long max = 0;
	FILE *f = fopen("/proc/sys/fs/pipe-max-size", "r");

	if (f != NULL && fscanf(f, "%lu", &max) != 1)
		max = 0;
	if (f != NULL)
		fclose(f);
	return max != 0 ? max : 1 << 20;
}

START_TEST(capacity_is_a_ceiling)
{
	static const struct { uint64_t asked; size_t got; } is[] = {
		{ 1, 4096 }, { 4096, 4096 }, { 8191, 4096 },
		{ 100000, 65536 }, { 1 << 18, 1 << 18 }, { 1ull << 50, 0 },
	};
	size_t got = is[_i].got != 0 ? is[_i].got : pipe_max_size();

	pair(is[_i].asked);
	ck_assert_uint_eq(wr->capacity, got);
	ck_assert_uint_eq(rd->capacity, got);
	ck_assert_int_eq(fcntl(rd->fd, F_GETPIPE_SZ), (int)got);
	PIPE->expect(wr, 1 << 20);
	ck_assert_int_eq(fcntl(rd->fd, F_GETPIPE_SZ), (int)got);
	close_both();
}
END_TEST

START_TEST(large_messages_get_a_larger_pipe)
{
	size_t before;

	pair(0);
	before = wr->capacity;
	PIPE->expect(wr, 1000);
	ck_assert_uint_eq(wr->capacity, before);
	PIPE->expect(wr, before / 4);
	ck_assert_uint_eq(wr->capacity, 2 * before);
	PIPE->expect(wr, 1 << 30);
	ck_assert_uint_eq(wr->capacity, pipe_max_size());
	PIPE->expect(rd, before / 2);	/* asks for less than there is */
	ck_assert_uint_eq(rd->capacity, pipe_max_size());
	ck_assert_int_eq(fcntl(rd->fd, F_GETPIPE_SZ), (int)wr->capacity);
	close_both();
}
END_TEST

START_TEST(a_full_pipe_is_stretched_for_last_words)
{
	pair(4096);
	while (half_send(wr, big, 4096) > 0)
		continue;
	PIPE->stretch(wr, 30);
	ck_assert_int_eq(half_send(wr, big, 30), 30);
	close_both();
}
END_TEST

/*
 * Adopting
 */

static struct ipc__half *
adopt(int fd, int dir)
{
	struct ipc__half *h = half_new(PIPE, dir);

	h->adopted = true;
	h->stream = true;
	ck_assert_int_eq(PIPE->adopt(h, fd, false), 0);
	ck_assert_int_eq(h->fd, fd);
	return h;
}

/* Two ends, blocking: a pipe, a pipe where RWF_NOWAIT is unknown, a FIFO, a
 * terminal; with RWF_NOSIGNAL, then without. */
static void
foreign(int i, int fds[2])
{
	struct termios raw;

	ipc__pipe_nosignal(i < 4);
	unknown_flags = i % 4 == 1 ? RWF_NOWAIT : 0;
	if (i % 4 < 2) {
		ck_assert_int_eq(pipe(fds), 0);
	} else if (i % 4 == 2) {
		ck_assert_int_eq(mkfifo(in_dir("f"), 0600), 0);
		fds[0] = open(in_dir("f"), O_RDWR);
		fds[1] = open(in_dir("f"), O_WRONLY);
		unlink(in_dir("f"));
	} else {
		cfmakeraw(&raw);
		ck_assert_int_eq(openpty(&fds[0], &fds[1], NULL, &raw, NULL),
		    0);
	}
}

START_TEST(adopted_descriptors_keep_their_flags_and_never_wait)
{
	int fds[2], i, flags[2];
	char b[16];

	foreign(_i, fds);
	flags[0] = fcntl(fds[0], F_GETFL);
	flags[1] = fcntl(fds[1], F_GETFL);
	rd = adopt(fds[0], IPC_RECV);
	wr = adopt(fds[1], IPC_SEND);

	ck_assert_int_eq(half_recv(rd, b, sizeof b), -EAGAIN);
	ck_assert_int_eq(half_send(wr, "hello", 5), 5);
	ready(fds[0], POLLIN, 1000);	/* a terminal takes its time */
	ck_assert_int_eq(half_recv(rd, b, sizeof b), 5);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), -EAGAIN);
	for (i = 0; half_send(wr, big, 30000) > 0; i++)
		continue;
	ck_assert_int_gt(i, 0);
	ck_assert_int_eq(half_send(wr, big, 30000), -EAGAIN);

	ck_assert_int_eq(fcntl(fds[0], F_GETFL), flags[0]);
	ck_assert_int_eq(fcntl(fds[1], F_GETFL), flags[1]);
	ck_assert_int_eq(flags[0] & O_NONBLOCK, 0);
	close_both();
}
END_TEST

START_TEST(adopted_pipes_end_without_a_signal)
{
	int fds[2];
	char b[4];

	signal(SIGPIPE, SIG_DFL);
	foreign(_i, fds);
	wr = adopt(fds[1], IPC_SEND);
	half_close(wr, true);
	rd = adopt(fds[0], IPC_RECV);
	if (_i % 4 == 2)	/* opened both ways: it sends to itself */
		ck_assert_int_eq(half_recv(rd, b, 4), -EAGAIN);
	else
		ck_assert_int_eq(half_recv(rd, b, 4), 0);
	half_close(rd, true);

	foreign(_i, fds);
	rd = adopt(fds[0], IPC_RECV);
	half_close(rd, true);
	wr = adopt(fds[1], IPC_SEND);
	ck_assert_int_eq(half_send(wr, "x", 1), -EPIPE);
	half_close(wr, true);
}
END_TEST

START_TEST(an_adopted_file_is_always_ready)
{
	int fd, i;
	char b[5000];

	fd = open(in_dir("file"), O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	wr = adopt(fd, IPC_SEND);
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(half_send(wr, big, 50000), 50000);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	rd = adopt(dup(fd), IPC_RECV);
	for (i = 0; i < 200; i++)
		ck_assert_int_eq(half_recv(rd, b, sizeof b), sizeof b);
	ck_assert_int_eq(half_recv(rd, b, sizeof b), 0);
	unlink(in_dir("file"));
	close_both();
}
END_TEST

START_TEST(dev_null_can_be_adopted_both_ways)
{
	char b[4];

	rd = adopt(open("/dev/null", O_RDWR), IPC_RECV);
	wr = adopt(dup(rd->fd), IPC_SEND);
	ck_assert_int_eq(half_recv(rd, b, 4), 0);
	ck_assert_int_eq(half_send(wr, b, 4), 4);
	close_both();
}
END_TEST

static void
refused(int fd, int dir, bool listening, int error, const char *word)
{
	struct ipc__half *h = half_new(PIPE, dir);

	ck_assert_int_eq(PIPE->adopt(h, fd, listening), -error);
	ck_assert_msg(strstr(ipc_errmsg(), word) != NULL, "%s: %s", word,
	    ipc_errmsg());
	ck_assert_int_eq(h->fd, -1);
	free(h);
	if (fd >= 0)
		close(fd);
}

START_TEST(what_is_no_stream_of_bytes_is_not_adopted)
{
	int fds[2];

	refused(socket(AF_UNIX, SOCK_STREAM, 0), IPC_RECV, false, EINVAL,
	    "unix:");
	refused(open("/", O_RDONLY), IPC_RECV, false, EINVAL, "no pipe");
	refused(open("/dev/null", O_RDONLY), IPC_SEND, false, EINVAL,
	    "writing");
	refused(open("/dev/null", O_WRONLY), IPC_RECV, false, EINVAL,
	    "reading");
	refused(open("/dev/null", O_PATH), IPC_RECV, false, EINVAL, "reading");
	refused(-1, IPC_RECV, false, EBADF, "fcntl");
	ck_assert_int_eq(pipe(fds), 0);
	refused(fds[0], IPC_RECV, true, EINVAL, "listen");
	close(fds[1]);
}
END_TEST

/*
 * Handing over
 */

/* As over a socket: another descriptor of the same description. */
static void
hand_over(struct ipc__half *from, struct ipc__half *to, int rc)
{
	struct ipc__ticket t = { .fd_count = 0 };

	ck_assert_int_eq(PIPE->give(from, &t), 0);
	ck_assert_uint_eq(t.fd_count, 1);
	t.fds[0] = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_eq(PIPE->take(to, &t), rc);
	if (rc == 0)
		ck_assert_int_eq(t.fds[0], -1);
	else
		close(t.fds[0]);
}

START_TEST(an_end_that_was_taken_is_the_end)
{
	struct ipc__half *r2 = half_new(PIPE, IPC_RECV);
	struct ipc__half *w2 = half_new(PIPE, IPC_SEND);
	char b[8];

	pair(_i == 0 ? 0 : 1 << 17);
	hand_over(rd, r2, 0);
	hand_over(wr, w2, 0);
	close_both();
	ck_assert_uint_eq(w2->record, PIPE_BUF - 4);
	PIPE->expect(w2, 1 << 20);
	ck_assert_uint_eq(w2->capacity, _i == 0 ? pipe_max_size() : 1 << 17);
	ck_assert_int_eq(half_recv(r2, b, 8), -EAGAIN);
	ck_assert_int_eq(half_send(w2, "abc", 3), 3);
	ck_assert_int_eq(half_recv(r2, b, 8), 3);
	ck_assert_int_eq(fcntl(r2->fd, F_GETFD), FD_CLOEXEC);
	half_close(w2, true);
	ck_assert_int_eq(half_recv(r2, b, 8), 0);
	half_close(r2, true);
}
END_TEST

START_TEST(the_giver_can_not_make_the_taker_wait)
{
	struct ipc__half *r2 = half_new(PIPE, IPC_RECV);
	struct ipc__half *w2 = half_new(PIPE, IPC_SEND);
	char b[8];

	pair(0);
	hand_over(rd, r2, 0);
	hand_over(wr, w2, 0);
	fcntl(rd->fd, F_SETFL, 0);
	fcntl(wr->fd, F_SETFL, 0);
	ck_assert_int_eq(half_recv(r2, b, 8), -EAGAIN);
	while (half_send(w2, big, 9000) > 0)
		continue;
	ck_assert_int_eq(half_send(w2, big, 9000), -EAGAIN);
	close_both();
	half_close(r2, true);
	half_close(w2, true);
}
END_TEST

START_TEST(an_end_whose_writers_have_gone_shows_it)
{
	struct ipc__half *r2 = half_new(PIPE, IPC_RECV);
	char b[8];

	pair(0);
	half_send(wr, "bye", 3);
	half_close(wr, true);
	hand_over(rd, r2, 0);
	half_close(rd, true);
	ck_assert_int_ne(ready(r2->fd, POLLIN, 0) & POLLIN, 0);
	ck_assert_int_eq(half_recv(r2, b, 8), 3);
	ck_assert_int_ne(ready(r2->fd, POLLIN, 0) & POLLHUP, 0);
	ck_assert_int_eq(half_recv(r2, b, 8), 0);
	half_close(r2, true);
}
END_TEST

START_TEST(a_false_ticket_is_refused)
{
	struct ipc__half *h = half_new(PIPE, IPC_RECV);
	struct ipc__ticket t = { .fd_count = 0, .size = 4 };
	struct ipc__ticket none = { .fd_count = 0, .size = 4 };
	int i, fds[6];

	pair(0);
	hand_over(wr, h, -EBADMSG);		/* the wrong end */
	ck_assert_int_eq(PIPE->take(h, &none), -EBADMSG);
	fds[0] = open("/dev/null", O_RDWR);
	fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	fds[2] = open("/", O_RDONLY);
	fds[3] = open("/proc/self/fd/0", O_PATH);
	mkfifo(in_dir("f"), 0600);
	fds[4] = open(in_dir("f"), O_RDWR);
	fds[5] = open(in_dir("f"), O_RDONLY | O_PATH);
	unlink(in_dir("f"));
	for (i = 0; i < 6; i++) {
		t.fd_count = 1;
		t.fds[0] = fds[i];
		ck_assert_int_eq(PIPE->take(h, &t), -EBADMSG);
		ck_assert_int_eq(t.fds[0], fds[i]);
		close(fds[i]);
	}
	t.fds[0] = rd->fd;
	t.size = 3;
	ck_assert_int_eq(PIPE->take(h, &t), -EBADMSG);
	ck_assert_int_eq(h->fd, -1);
	free(h);
	close_both();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pipes");
	TCase *tc = tcase_create("moving");

	tcase_add_checked_fixture(tc, note_fds, check_fds);
	tcase_add_test(tc, bytes_go_through_and_then_the_end);
	tcase_add_test(tc, ends_are_made_in_either_order);
	tcase_add_test(tc, many_places_are_one_write_and_one_read);
	tcase_add_loop_test(tc, sigpipe_is_never_raised, 0, 4);
	tcase_add_loop_test(tc, a_sigpipe_of_the_program_stays_pending, 0, 4);
	tcase_add_test(tc, an_unknown_flag_is_tried_once);
	tcase_add_test(tc, what_is_ready_takes_a_record);
	tcase_add_loop_test(tc, capacity_is_a_ceiling, 0, 6);
	tcase_add_test(tc, large_messages_get_a_larger_pipe);
	tcase_add_test(tc, a_full_pipe_is_stretched_for_last_words);
	suite_add_tcase(s, tc);

	tc = tcase_create("descriptors");
	tcase_add_checked_fixture(tc, dir_make, dir_remove);
	tcase_add_loop_test(tc,
	    adopted_descriptors_keep_their_flags_and_never_wait, 0, 8);
	tcase_add_loop_test(tc, adopted_pipes_end_without_a_signal, 0, 3);
	tcase_add_loop_test(tc, adopted_pipes_end_without_a_signal, 4, 7);
	tcase_add_test(tc, an_adopted_file_is_always_ready);
	tcase_add_test(tc, dev_null_can_be_adopted_both_ways);
	tcase_add_test(tc, what_is_no_stream_of_bytes_is_not_adopted);
	tcase_add_loop_test(tc, an_end_that_was_taken_is_the_end, 0, 2);
	tcase_add_test(tc, the_giver_can_not_make_the_taker_wait);
	tcase_add_test(tc, an_end_whose_writers_have_gone_shows_it);
	tcase_add_test(tc, a_false_ticket_is_refused);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
