/* SPDX-License-Identifier: ISC */
/* WRAP: renameat2 poll */
/*
 * Opened FIFOs, through the table of their backend: one receiver, and senders
 * that are many, that come and go, and that are killed.
 */
#include <signal.h>
#include <sys/stat.h>

#include "halves.h"
#include "pipeio.h"

extern const struct ipc_backend ipc__backend_fifo;
#define FIFO	(&ipc__backend_fifo)
#define NAME	in_dir("fifo")
#define NOBODY	65534

static char buffer[1 << 16];

static int
try_open(struct ipc__half **h, int dir, int flags, bool end)
{
	struct ipc__address a = address_of(FIFO, NAME);
	int rc;

	a.opt.end = end;
	*h = half_new(FIFO, dir);
	(*h)->bare = true;
	rc = FIFO->open(*h, &a, flags | dir);
	if (rc < 0) {
		ck_assert_int_eq((*h)->fd, -1);
		free(*h);
		*h = NULL;
	}
	return rc;
}

static struct ipc__half *
open_at(int dir, int flags)
{
	struct ipc__half *h;
	int rc;

	rc = try_open(&h, dir, flags, true);
	ck_assert_msg(rc == 0, "%s", ipc_errmsg());
	return h;
}

static void
refused(int dir, int flags, int error, const char *word)
{
	struct ipc__half *h;

	ck_assert_int_eq(try_open(&h, dir, flags, true), -error);
	ck_assert_msg(strstr(ipc_errmsg(), word) != NULL, "%s: %s", word,
	    ipc_errmsg());
}

/* A frame as the core writes it, whose bytes all say whose it is. */
static size_t
frame(unsigned char *f, unsigned length, unsigned char who)
{
	uint32_t word = htole32(length);

	memcpy(f, &word, 4);
	memset(f + 4, who, length);
	return length + 4;
}

/* How many bytes of data are whole frames that are what they say.  seen[who] is
 * counted up. */
static size_t
check_frames(const unsigned char *data, size_t size, unsigned seen[256])
{
	uint32_t word, i;
	size_t at = 0;

	while (size - at >= 4) {
		memcpy(&word, data + at, 4);
		word = le32toh(word);
		if (word > 4092)
			ck_abort_msg("a frame of %u bytes", word);
		if (size - at < 4 + word)
			break;
		for (i = 1; i < word; i++)
			if (data[at + 4 + i] != data[at + 4])
				ck_abort_msg("frames are mixed");
		seen[word > 0 ? data[at + 4] : 0]++;
		at += 4 + word;
	}
	return at;
}

static void
pause_us(long us)
{
	struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

/*
 * One receiver
 */

START_TEST(of_many_that_create_it_one_receives)
{
	struct ipc__half *h;
	int go[2], got[2], i, rc;
	char answers[8], c;
	pid_t pid[8];

	ck_assert_int_eq(pipe(go), 0);
	ck_assert_int_eq(pipe(got), 0);
	for (i = 0; i < 8; i++) {
		if ((pid[i] = fork()) != 0)
			continue;
		close(go[1]);
		if (read(go[0], &c, 1) != 0)
			_exit(2);
		rc = try_open(&h, IPC_RECV, IPC_CREATE, true);
		c = rc == 0 ? '1' : rc == -EBUSY ? 'b' : 'x';
		if (write(got[1], &c, 1) != 1)
			_exit(2);
		pause();	/* keeps it */
	}
	close(go[0]);
	close(go[1]);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(read(got[0], answers + i, 1), 1);
	for (i = rc = 0; i < 8; i++)
		rc += answers[i] == '1' ? 1 : answers[i] == 'b' ? 0 : 100;
	ck_assert_int_eq(rc, 1);
	for (i = 0; i < 8; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	close(got[0]);
	close(got[1]);
	unlink(NAME);
}
END_TEST

/* Frames of odd sizes without a pause, until it is killed. */
static void
stream_frames(void)
{
	unsigned char f[4096];
	struct ipc__half *h = open_at(IPC_SEND, 0);
	unsigned i;

	signal(SIGPIPE, SIG_DFL);
	for (i = 0;; i++)
		half_send(h, f, frame(f, i * 97 % 3000, (unsigned char)i));
}

/* Receives without minding what, and with room for all that the FIFO holds. */
static void
receive_all(int tell)
{
	struct ipc__half *h = open_at(IPC_RECV, 0);

	if (write(tell, "", 1) != 1)
		_exit(2);
	for (;;)
		half_recv(h, buffer, sizeof buffer);
}

static pid_t
receiver_child(void)
{
	int tell[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(tell), 0);
	pid = fork();
	if (pid == 0)
		receive_all(tell[1]);
	ck_assert_int_eq(read(tell[0], &c, 1), 1);
	close(tell[0]);
	close(tell[1]);
	return pid;
}

START_TEST(a_killed_receiver_is_replaced_at_a_whole_frame)
{
	unsigned seen[256] = { 0 };
	struct ipc__half *h;
	pid_t sender = 0, pid;
	size_t size;
	ssize_t n;
	int i;

	ck_assert_int_eq(mkfifo(NAME, 0600), 0);
	for (i = 0; i < 100; i++) {
		pid = receiver_child();
		if (i == 0 && (sender = fork()) == 0)
			stream_frames();
		refused(IPC_RECV, 0, EBUSY, "another one receives");
		pause_us(500 + i * 37 % 1000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		h = open_at(IPC_RECV, 0);
		ready(h->fd, POLLIN, 1000);
		for (size = 0; size < 20000; size += n) {
			n = half_recv(h, buffer + size, sizeof buffer - size);
			if (n <= 0)
				break;
		}
		ck_assert_uint_gt(size, 0);
		check_frames((unsigned char *)buffer, size, seen);
		half_close(h, true);
	}
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	unlink(NAME);
}
END_TEST

START_TEST(a_forked_copy_keeps_the_receiver_alive)
{
	struct ipc__half *h = open_at(IPC_RECV, IPC_CREATE);
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	half_close(h, false);
	refused(IPC_RECV, 0, EBUSY, "another one receives");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	half_close(open_at(IPC_RECV, 0), true);
	unlink(NAME);
}
END_TEST

/*
 * Many senders
 */

#define SENDERS	8
#define EACH	3000

/* It is an end when those who are there have gone, so all come first. */
static void
send_each(int who, int here, int all)
{
	unsigned char f[4096];
	struct ipc__half *h = open_at(IPC_SEND, 0);
	ssize_t n;
	size_t size;
	int i;

	if (write(here, "", 1) != 1 || read(all, f, 1) != 0)
		_exit(1);
	for (i = 0; i < EACH; i++) {
		size = frame(f, (unsigned)(i * 131 + who * 977) % 4092 + 1,
		    (unsigned char)who);
		while ((n = half_send(h, f, size)) == -EAGAIN)
			ready(h->fd, POLLOUT, 1000);
		if (n != (ssize_t)size)
			_exit(1);
	}
	half_close(h, true);
	_exit(0);
}

START_TEST(frames_of_many_senders_never_mix)
{
	unsigned seen[256] = { 0 };
	struct ipc__half *h = open_at(IPC_RECV, IPC_CREATE);
	pid_t pid[SENDERS];
	size_t have = 0, used;
	int here[2], all[2];
	ssize_t n;
	int i;

	ck_assert_int_eq(pipe(here) | pipe(all), 0);
	for (i = 0; i < SENDERS; i++)
		if ((pid[i] = fork()) == 0) {
			close(all[1]);
			send_each(i + 1, here[1], all[0]);
		}
	for (i = 0; i < SENDERS; i++)
		ck_assert_int_eq(read(here[0], buffer, 1), 1);
	close(here[0]);
	close(here[1]);
	close(all[0]);
	close(all[1]);
	do {
		n = half_recv(h, buffer + have, sizeof buffer - have);
		if (n == -EAGAIN) {
			ck_assert_int_ne(ready(h->fd, POLLIN, 5000), 0);
			continue;
		}
		have += n;
		used = check_frames((unsigned char *)buffer, have, seen);
		memmove(buffer, buffer + used, have - used);
		have -= used;
	} while (n != 0);
	ck_assert_uint_eq(have, 0);
	for (i = 0; i < SENDERS; i++) {
		ck_assert_uint_eq(seen[i + 1], EACH);
		reap(pid[i]);
	}
	half_close(h, true);
	unlink(NAME);
}
END_TEST

/*
 * Coming and going
 */

START_TEST(nobody_yet_is_not_the_end)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE), *wr;

	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	ck_assert_int_eq(ready(rd->fd, POLLIN, 0), 0);
	wr = open_at(IPC_SEND, 0);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	ck_assert_int_eq(ready(rd->fd, POLLIN, 0), 0);
	half_send(wr, "x", 1);
	half_close(wr, true);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 1);
	ck_assert_int_ne(ready(rd->fd, POLLIN, 0), 0);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	ck_assert_int_eq(FIFO->again(rd), 1);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	ck_assert_int_eq(ready(rd->fd, POLLIN, 0), 0);
	ck_assert_int_eq(fcntl(rd->fd, F_GETFD), FD_CLOEXEC);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

START_TEST(a_sender_that_says_nothing_ends_as_well)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE);

	half_close(open_at(IPC_SEND, 0), true);
	ck_assert_int_ne(ready(rd->fd, POLLIN, 0), 0);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

/* Publishes the name of a FIFO: what does one find who comes at once? */
static int early;

int __real_renameat2(int from, const char *a, int to, const char *b,
    unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
    unsigned flags);

int
__wrap_renameat2(int from, const char *a, int to, const char *b,
    unsigned flags)
{
	int rc = __real_renameat2(from, a, to, b, flags), fd;

	if (rc == -1 || strcmp(b, NAME) != 0)
		return rc;
	fd = open(b, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	early = fd == -1 ? errno : 0;
	if (fd != -1)
		close(fd);
	return rc;
}

/* Nobody is taken for a receiver who only makes it: what is sent to one who
 * closes it again is lost. */
START_TEST(a_maker_is_no_receiver)
{
	struct ipc__half *h;
	int rc;

	early = -1;
	rc = try_open(&h, _i == 0 ? IPC_RECV : IPC_SEND, IPC_CREATE, true);
	ck_assert_int_eq(rc, _i == 0 ? 0 : -ENXIO);
	ck_assert_int_eq(early, ENXIO);
	if (rc == 0)
		half_close(h, true);
	ck_assert_int_eq(unlink(NAME), 0);
}
END_TEST

/* After the end was met and before the fresh descriptor. */
START_TEST(a_sender_in_between_is_not_missed)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE), *wr;

	half_close(open_at(IPC_SEND, 0), true);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	wr = open_at(IPC_SEND, 0);
	ck_assert_int_eq(half_send(wr, "between", 7), 7);
	if (_i == 0)
		half_close(wr, true);
	ck_assert_int_eq(FIFO->again(rd), 1);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 7);
	if (_i == 1) {
		ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
		half_close(wr, true);
		ck_assert_int_ne(ready(rd->fd, POLLIN, 0), 0);
	}
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	ck_assert_int_eq(FIFO->again(rd), 1);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

/* After a look found nothing, before it is asked why. */
static bool sudden;

int __real_poll(struct pollfd *, nfds_t, int);
int __wrap_poll(struct pollfd *, nfds_t, int);

int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct ipc__half *wr;

	if (sudden) {
		sudden = false;
		wr = open_at(IPC_SEND, 0);
		ck_assert_int_eq(half_send(wr, "sudden", 6), 6);
		half_close(wr, true);
	}
	return __real_poll(fds, n, timeout);
}

START_TEST(a_sudden_sender_ends_once)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE);

	sudden = true;
	ck_assert_int_eq(half_recv(rd, buffer, 9), 6);
	ck_assert(!sudden);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	ck_assert_int_eq(FIFO->again(rd), 1);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

START_TEST(a_receiver_goes_on_after_its_name)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE);
	struct ipc__half *wr = open_at(IPC_SEND, 0);

	ck_assert_int_eq(unlink(NAME), 0);
	half_close(wr, true);
	ck_assert_int_eq(half_recv(rd, buffer, 9), 0);
	ck_assert_int_eq(FIFO->again(rd), 1);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	half_close(rd, true);
}
END_TEST

#define COMINGS	1000
#define WAKES	(2 * COMINGS + 10)	/* for a coming and for a going */

static void
come_and_go(void)
{
	struct ipc__half *h;
	int fd, i;

	while ((fd = open(NAME, O_WRONLY | O_NONBLOCK)) < 0)
		pause_us(100);
	close(fd);
	for (i = 0; i < COMINGS; i++) {
		h = open_at(IPC_SEND, 0);
		if (half_send(h, "m", 1) != 1)
			_exit(1);
		half_close(h, true);
		if (i % 3 == 0)
			pause_us(50);
	}
	_exit(0);
}

/* Until all had come, and without spinning. */
static void
receive_comings(struct ipc__half *h, bool end)
{
	ssize_t got = 0, n;
	int ends = 0, wakes = 0;

	while (wakes <= WAKES) {
		n = half_recv(h, buffer, sizeof buffer);
		if (n > 0)
			got += n;
		if (n == 0) {
			ends++;
			if (FIFO->again(h) != 1)
				ck_abort_msg("again: %s", ipc_errmsg());
		}
		if (got == COMINGS && (n == 0 || !end))
			break;
		if (n == -EAGAIN) {
			wakes++;
			if (ready(h->fd, POLLIN, 5000) == 0)
				ck_abort_msg("a sender was missed");
		}
	}
	ck_assert_int_le(ends, COMINGS + 1);
	ck_assert_int_eq(ends > 0, end);
	ck_assert_int_le(wakes, WAKES);
}

/* _i: 0 tells each end, 1 none, 2 none where it may not write to the FIFO. */
START_TEST(a_thousand_senders_come_and_go)
{
	struct ipc__half *h;
	pid_t pid;

	ck_assert_int_eq(mkfifo(NAME, 0600), 0);
	if (_i == 2) {
		ck_assert_int_eq(chmod(NAME, 0400), 0);
		if (geteuid() == 0) {
			ck_assert_int_eq(chmod(test_dir, 0777), 0);
			ck_assert_int_eq(chown(NAME, NOBODY, -1), 0);
		}
	}
	if ((pid = fork()) == 0) {
		if (_i == 2)
			chmod(NAME, 0600);
		come_and_go();
	}
	if (_i == 2 && geteuid() == 0)
		ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_int_eq(try_open(&h, IPC_RECV, 0, _i == 0), 0);
	receive_comings(h, _i == 0);
	reap(pid);
	ck_assert_int_eq(half_recv(h, buffer, 9), -EAGAIN);
	ck_assert_int_eq(ready(h->fd, POLLIN, 20), 0);
	ck_assert_int_eq(seteuid(getuid()), 0);
	half_close(h, true);
	unlink(NAME);
}
END_TEST

START_TEST(a_bare_stream_is_read_by_what_fits)
{
	struct ipc__half *rd = open_at(IPC_RECV, IPC_CREATE);
	struct ipc__half *wr = open_at(IPC_SEND, 0);

	rd->stream = true;
	ck_assert_int_eq(half_send(wr, "abcdef", 6), 6);
	ck_assert_uint_eq(FIFO->pending(rd), 6);
	ck_assert_int_eq(half_recv(rd, buffer, 4), 4);
	ck_assert_int_eq(half_recv(rd, buffer + 4, 4), 2);
	ck_assert_mem_eq(buffer, "abcdef", 6);
	half_close(wr, true);
	ck_assert_int_eq(half_recv(rd, buffer, 4), 0);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("opened FIFOs");
	TCase *tc = tcase_create("senders and receivers");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, dir_make, dir_remove);
	tcase_add_test(tc, of_many_that_create_it_one_receives);
	tcase_add_test(tc, a_killed_receiver_is_replaced_at_a_whole_frame);
	tcase_add_test(tc, a_forked_copy_keeps_the_receiver_alive);
	tcase_add_test(tc, frames_of_many_senders_never_mix);
	tcase_add_test(tc, nobody_yet_is_not_the_end);
	tcase_add_test(tc, a_sender_that_says_nothing_ends_as_well);
	tcase_add_loop_test(tc, a_sender_in_between_is_not_missed, 0, 2);
	tcase_add_loop_test(tc, a_maker_is_no_receiver, 0, 2);
	tcase_add_test(tc, a_sudden_sender_ends_once);
	tcase_add_test(tc, a_receiver_goes_on_after_its_name);
	tcase_add_loop_test(tc, a_thousand_senders_come_and_go, 0, 3);
	tcase_add_test(tc, a_bare_stream_is_read_by_what_fits);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
