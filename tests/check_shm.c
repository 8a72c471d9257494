/* SPDX-License-Identifier: ISC */
/* WRAP: posix_fallocate */
/*
 * The shared-memory mechanisms by their tables: pairs, tickets, growing,
 * sleeping and waking between processes, and a hostile other side.  What a
 * channel makes of them is the conformance suite's.
 */

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include <ipc/error.h>

#include "shm.h"

extern const struct ipc_backend ipc__backend_memfd;

static const struct ipc_backend *const backends[] = {
	&ipc__backend_memfd,
};
#define BACKENDS	((int)(sizeof backends / sizeof backends[0]))

static struct ipc__half *
half_new(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h;

	h = aligned_alloc(64, (sizeof *h + be->size + 63) / 64 * 64);
	ck_assert_ptr_nonnull(h);
	memset(h, 0, sizeof *h + be->size);
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static void
half_free(struct ipc__half *h)
{
	if (!h)
		return;
	h->be->close(h, true);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

struct ends {
	struct ipc__half *recv, *send;
};

static void
pair_of(struct ends *e, const struct ipc_backend *be, uint64_t capacity)
{
	struct ipc__address a;
	static char none[] = "";

	memset(&a, 0, sizeof a);
	a.be = be;
	a.name = a.text = none;
	a.opt.capacity = capacity;
	a.opt.mode = 0600;
	a.opt.uid = (uid_t)-1;
	a.opt.gid = (gid_t)-1;
	e->recv = half_new(be, IPC_RECV);
	e->send = half_new(be, IPC_SEND);
	if (be->pair(e->recv, e->send, &a) < 0)
		ck_abort_msg("%s: %s", be->mechanism.scheme, ipc_errmsg());
}

static void
pair_free(struct ends *e)
{
	half_free(e->recv);
	half_free(e->send);
}

static ssize_t
put(struct ipc__half *h, const void *p, size_t size, unsigned flags)
{
	struct iovec iov = { (void *)(uintptr_t)p, size };
	struct ipc__aside aside = { .flags = flags };

	return h->be->send(h, &iov, 1, &aside);
}

/* One whole message, copied out and released. */
static ssize_t
get(struct ipc__half *h, void *buffer, size_t size)
{
	const void *p;
	unsigned flags;
	ssize_t n;

	n = h->be->peek(h, &p, &flags);
	if (n < 0)
		return n;
	ck_assert_uint_le((size_t)n, size);
	memcpy(buffer, p, (size_t)n);
	h->be->release(h, 0);
	return n;
}

static bool
lit(struct ipc__half *h)
{
	struct pollfd fds[2];
	int n = h->be->watch(h, h->dir, fds);

	ck_assert_int_eq(n, 1);
	return poll(fds, 1, 0) == 1;
}

/* Sleeps as the core does, until a call in its direction would get on. */
static bool
await(struct ipc__half *h, int timeout)
{
	struct pollfd fds[2];
	int n;

	while (h->be->arm(h, h->dir) == 0) {
		n = h->be->watch(h, h->dir, fds);
		if (poll(fds, (nfds_t)n, timeout) <= 0)
			return false;
	}
	return true;
}

START_TEST(a_pair_carries_messages)
{
	char out[3000], in[3000];
	struct ends e;
	size_t i;

	pair_of(&e, backends[_i], 0);
	ck_assert_uint_eq(e.send->record, 1 << 20);
	ck_assert_uint_eq(e.send->capacity, 4 << 20);
	ck_assert_int_eq(get(e.recv, in, sizeof in), -EAGAIN);
	for (i = 0; i < sizeof out; i++) {
		memset(out, (int)i, i);
		ck_assert_int_eq(put(e.send, out, i, 0), (ssize_t)i);
		ck_assert_int_eq(get(e.recv, in, sizeof in), (ssize_t)i);
		ck_assert_mem_eq(in, out, i);
	}
	pair_free(&e);
}
END_TEST

/* More than all of the ring, with messages of all sizes across its end; one is
 * always left in it, so that it never begins afresh. */
START_TEST(payload_crosses_the_end_whole)
{
	static unsigned char out[1 << 18], in[1 << 18];
	size_t size, last = 0, total = 0, i;
	struct ends e;

	for (i = 0; i < sizeof out; i++)
		out[i] = (unsigned char)(i * 7 + i / 256);
	pair_of(&e, backends[_i], 1 << 20);
	for (size = 60; total < (24 << 20); size = size * 3 % 261001 + 57) {
		ck_assert_int_eq(put(e.send, out + (size & 63), size, 0),
		    (ssize_t)size);
		total += size;
		if (last) {
			ck_assert_int_eq(get(e.recv, in, sizeof in),
			    (ssize_t)last);
			ck_assert_mem_eq(in, out + (last & 63), last);
		}
		last = size;
	}
	pair_free(&e);
}
END_TEST

/* What fits into a ring that nobody reads, and comes out of it again. */
START_TEST(a_full_ring_keeps_all)
{
	static unsigned char buffer[1 << 20];
	size_t sizes[] = { 1, 56, 64, 1000, 1 << 20 }, size = sizes[_i];
	unsigned long n = 0, k;
	struct ends e;

	pair_of(&e, backends[0], 0);
	while (put(e.send, buffer, size, 0) >= 0) {
		n++;
		memcpy(buffer, &n, size < sizeof n ? size : sizeof n);
	}
	ck_assert_uint_ge(n * size * (size == 1 ? 56 : 1), 3 << 18);
	for (k = 0; k < n; k++) {
		ck_assert_int_eq(get(e.recv, buffer, sizeof buffer),
		    (ssize_t)size);
		ck_assert_uint_eq(buffer[0], k & 0xff);
	}
	ck_assert_int_eq(get(e.recv, buffer, sizeof buffer), -EAGAIN);
	pair_free(&e);
}
END_TEST

START_TEST(a_ticket_takes_an_end_elsewhere)
{
	const struct ipc_backend *be = backends[_i];
	struct ipc__ticket t = { .fd_count = 0 };
	struct ipc__half *other;
	struct ends e;
	char in[100];
	unsigned i;

	pair_of(&e, be, 0);
	ck_assert_int_eq(put(e.send, "before", 6, 0), 6);
	ck_assert_int_eq(be->give(e.recv, &t), 0);
	for (i = 0; i < t.fd_count; i++)
		t.fds[i] = fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0);
	other = half_new(be, IPC_RECV);
	ck_assert_int_eq(be->take(other, &t), 0);
	ck_assert_uint_eq(t.fd_next, t.fd_count);
	ck_assert_uint_eq(t.next, t.size);
	half_free(e.recv);
	e.recv = other;
	ck_assert_int_eq(get(e.recv, in, sizeof in), 6);
	ck_assert_int_eq(put(e.send, "after", 5, 0), 5);
	ck_assert_int_eq(get(e.recv, in, sizeof in), 5);
	ck_assert_mem_eq(in, "after", 5);
	pair_free(&e);
}
END_TEST

START_TEST(a_false_ticket_is_refused)
{
	const struct ipc_backend *be = backends[_i];
	struct ipc__ticket t = { .fd_count = 0 };
	struct ipc__half *other = half_new(be, IPC_RECV);
	struct ends e;
	unsigned i, k;

	pair_of(&e, be, 0);
	ck_assert_int_eq(be->take(other, &t), -EBADMSG);
	ck_assert_int_eq(be->give(e.recv, &t), 0);
	for (k = 0; k < t.fd_count; k++) {
		struct ipc__ticket bad = t;

		for (i = 0; i < t.fd_count; i++)
			bad.fds[i] = i == k ? open("/dev/null", O_RDWR |
			    O_CLOEXEC | O_NONBLOCK) :
			    fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0);
		ck_assert_int_lt(be->take(other, &bad), 0);
		for (i = 0; i < bad.fd_count; i++)
			if (bad.fds[i] >= 0)
				close(bad.fds[i]);
	}
	for (i = 0; i < 8; i++) {
		struct ipc__ticket bad = t;

		for (k = 0; k < t.fd_count; k++)
			bad.fds[k] = fcntl(t.fds[k], F_DUPFD_CLOEXEC, 0);
		bad.bytes[i] ^= 0x11;
		ck_assert_int_lt(be->take(other, &bad), 0);
		for (k = 0; k < bad.fd_count; k++)
			if (bad.fds[k] >= 0)
				close(bad.fds[k]);
	}
	free(other);
	pair_free(&e);
}
END_TEST

/* Without seals, or shorter than it says. */
START_TEST(memory_that_could_go_away_is_refused)
{
	const struct ipc_backend *be = &ipc__backend_memfd;
	struct ipc__half *other = half_new(be, IPC_RECV);
	struct ipc__ticket t = { .fd_count = 0 }, bad;
	struct ends e;
	int i;

	pair_of(&e, be, 0);
	ck_assert_int_eq(be->give(e.recv, &t), 0);
	for (i = 0; i < 2; i++) {
		bad = t;
		bad.fds[0] = memfd_create("bad", MFD_CLOEXEC |
		    MFD_ALLOW_SEALING);
		ck_assert_int_eq(ftruncate(bad.fds[0], i ? 4096 : 8 << 20), 0);
		if (i)
			ck_assert_int_eq(fcntl(bad.fds[0], F_ADD_SEALS,
			    F_SEAL_SHRINK), 0);
		bad.fds[1] = fcntl(t.fds[1], F_DUPFD_CLOEXEC, 0);
		bad.fds[2] = fcntl(t.fds[2], F_DUPFD_CLOEXEC, 0);
		ck_assert_int_eq(be->take(other, &bad),
		    i ? -EBADMSG : -EPERM);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(),
		    i ? "cut short" : "sealed"));
	}
	free(other);
	pair_free(&e);
}
END_TEST

START_TEST(a_bell_is_lit_until_it_is_armed)
{
	struct ends e;
	char in[10];

	pair_of(&e, backends[_i], 0);
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
	ck_assert(!lit(e.recv));
	put(e.send, "a", 1, 0);
	put(e.send, "b", 1, 0);
	ck_assert(lit(e.recv));
	get(e.recv, in, sizeof in);
	ck_assert(lit(e.recv));
	/* Something is left: armed or not, it stays lit. */
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 1);
	ck_assert(lit(e.recv));
	get(e.recv, in, sizeof in);
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
	ck_assert(!lit(e.recv));
	pair_free(&e);
}
END_TEST

START_TEST(a_bell_is_lit_if_there_was_something_before)
{
	struct ends e;

	pair_of(&e, backends[_i], 0);
	put(e.send, "a", 1, 0);
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 1);
	ck_assert(lit(e.recv));
	ck_assert_int_eq(e.send->be->arm(e.send, IPC_SEND), 1);
	ck_assert(lit(e.send));
	pair_free(&e);
}
END_TEST

/* A sender that sleeps is woken when there is room for a record, and then
 * there is. */
START_TEST(a_full_ring_wakes_its_sender)
{
	static unsigned char buffer[1 << 16];
	struct ends e;
	unsigned n = 0;

	pair_of(&e, backends[_i], 1 << 18);
	while (put(e.send, buffer, 5000, 0) >= 0)
		n++;
	ck_assert_uint_gt(n, 40);
	ck_assert_int_eq(e.send->be->arm(e.send, IPC_SEND), 0);
	ck_assert(!lit(e.send));
	while (!lit(e.send))
		ck_assert_int_eq(get(e.recv, buffer, sizeof buffer), 5000);
	ck_assert_int_eq(put(e.send, buffer, e.send->record, 0),
	    (ssize_t)e.send->record);
	pair_free(&e);
}
END_TEST

static void
pause_randomly(unsigned *seed)
{
	struct timespec ts = { 0, 0 };
	int r = rand_r(seed) % 64;
	volatile int spin;

	if (r == 0) {
		ts.tv_nsec = rand_r(seed) % 100000;
		nanosleep(&ts, NULL);
	} else if (r < 32) {
		for (spin = rand_r(seed) % 500; spin > 0; spin--)
			;
	}
}

/* Sends n messages that tell their number, sleeping where it must. */
static int
sender(struct ipc__half *h, unsigned n, unsigned seed)
{
	static unsigned char buffer[1 << 16];
	unsigned i;
	size_t size;

	for (i = 0; i < n; i++) {
		size = 4 + (unsigned)rand_r(&seed) %
		    (i % 8 ? 100 : (unsigned)sizeof buffer - 4);
		memcpy(buffer, &i, 4);
		memset(buffer + 4, (int)i, size - 4);
		while (put(h, buffer, size, 0) == -EAGAIN)
			if (!await(h, 20000))
				return 2;
		pause_randomly(&seed);
	}
	return 0;
}

static int
receiver(struct ipc__half *h, unsigned n, unsigned seed)
{
	static unsigned char buffer[1 << 16];
	unsigned i, k;
	ssize_t size;

	for (i = 0; i < n; i++) {
		while ((size = get(h, buffer, sizeof buffer)) == -EAGAIN)
			if (!await(h, 20000))
				return 3;
		if (size < 4 || (memcpy(&k, buffer, 4), k != i) ||
		    buffer[size - 1] != (size > 4 ? (i & 0xff) :
		    buffer[size - 1]))
			return 4;
		pause_randomly(&seed);
	}
	return 0;
}

static int
wait_for(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status);
}

START_TEST(no_wake_up_is_lost)
{
	unsigned n = 60000;
	struct ends e;
	pid_t child;

	pair_of(&e, backends[_i], _i % 2 ? 4096 : 1 << 18);
	if (_i % 2)
		n /= 2;
	child = fork();
	if (child == 0)
		_exit(sender(e.send, n, 7));
	ck_assert_int_eq(receiver(e.recv, n, 9), 0);
	ck_assert_int_eq(wait_for(child), 0);
	pair_free(&e);
}
END_TEST

/* There is no more memory: a message that fits into what there is goes on, a
 * larger one is told so, and nothing is lost. */
int __real_posix_fallocate(int, off_t, off_t);
int __wrap_posix_fallocate(int, off_t, off_t);
static bool is_full;

int
__wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
	return is_full ? ENOSPC : __real_posix_fallocate(fd, offset, size);
}

START_TEST(full_memory_is_an_error)
{
	unsigned char buffer[10000] = { 1 };
	struct ends e;
	unsigned n;

	pair_of(&e, &ipc__backend_memfd, 0);
	is_full = true;
	ck_assert_int_eq(put(e.send, buffer, sizeof buffer, 0), -ENOSPC);
	for (n = 0; put(e.send, buffer, 500, 0) == 500; n++)
		;
	ck_assert_uint_ge(n, 3);
	for (; n > 0; n--)
		ck_assert_int_eq(get(e.recv, buffer, sizeof buffer), 500);
	is_full = false;
	for (n = 0; put(e.send, buffer, sizeof buffer, 0) < 0; n++)
		ck_assert_uint_lt(n, 5000);
	ck_assert_int_eq(get(e.recv, buffer, sizeof buffer), sizeof buffer);
	pair_free(&e);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shm");
	TCase *tc = tcase_create("shm");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_pair_carries_messages, 0, BACKENDS);
	tcase_add_loop_test(tc, payload_crosses_the_end_whole, 0, BACKENDS);
	tcase_add_loop_test(tc, a_full_ring_keeps_all, 0, 5);
	tcase_add_loop_test(tc, a_ticket_takes_an_end_elsewhere, 0, BACKENDS);
	tcase_add_loop_test(tc, a_false_ticket_is_refused, 0, BACKENDS);
	tcase_add_test(tc, memory_that_could_go_away_is_refused);
	tcase_add_loop_test(tc, a_bell_is_lit_until_it_is_armed, 0, BACKENDS);
	tcase_add_loop_test(tc, a_bell_is_lit_if_there_was_something_before, 0,
	    BACKENDS);
	tcase_add_loop_test(tc, a_full_ring_wakes_its_sender, 0, BACKENDS);
	tcase_add_loop_test(tc, no_wake_up_is_lost, 0, BACKENDS);
	tcase_add_test(tc, full_memory_is_an_error);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
