/* SPDX-License-Identifier: ISC */
/* WRAP: posix_fallocate shmctl */
/*
 * The shared-memory mechanisms by their tables: pairs, tickets, bells, what a
 * killed maker leaves, and memory that there is not.  What a channel makes of
 * them is the conformance suite's.
 */
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "backend/sysvshm.h"
#include "rings.h"
#include "suite.h"

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
	for (i = 0; i < 6; i++) {
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

/* The other side has them too, and may clear O_NONBLOCK at any time. */
START_TEST(a_bell_is_put_out_without_waiting)
{
	const struct ipc_backend *be = backends[_i];
	struct ipc__shm_map *map;
	struct ends e;
	int i;

	pair_of(&e, be, 0);
	map = IPC__STATE(e.recv, struct ipc__shm)->map;
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(fcntl(map->bell[i], F_SETFL, 0), 0);
	/* Marked asleep, and once more. */
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(be->arm(e.recv, IPC_RECV), 0);
	ck_assert_int_eq(put(e.send, "x", 1, 0), 1);
	ck_assert_int_ne(be->arm(e.recv, IPC_RECV), 0);
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

/* It says that it has left, and sleeps. */
START_TEST(a_false_goodbye_is_rung_all_the_same)
{
	struct ends e;
	struct ipc__shm *s;
	char in[10];

	pair_of(&e, backends[_i], 0);
	s = (struct ipc__shm *)(void *)e.recv->state;
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
		ck_assert(!lit(e.recv));
		if (i < 4)
			ipc__ring_leave(&s->ring);
		ck_assert(!e.send->left);
		put(e.send, "a", 1, 0);
		ck_assert(lit(e.recv));
		ck_assert(e.send->left == (i < 4));
		e.send->left = false;	/* the core has asked */
		get(e.recv, in, sizeof in);
	}
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

/* A sender whose receiver is far writes beside the ring, and its copies go
 * around the cache; here it only believes so. */
START_TEST(what_goes_around_the_cache_comes)
{
	static unsigned char buffer[1 << 18], want[1 << 18];
	const size_t sizes[] = { 100, 1000, 4096, 20001, 65536, 200001 };
	struct ipc__ring *r;
	struct ends e;
	unsigned i;
	void *p;

	pair_of(&e, backends[_i], 0);
	r = &IPC__STATE(e.send, struct ipc__shm)->ring;
	r->distance.far = true;
	r->distance.left = SIZE_MAX;
	for (i = 0; i < 600; i++) {
		size_t size = sizes[i % 6];

		memset(want, (int)i, size);
		ck_assert_int_eq(e.send->be->reserve(e.send, &p, size), 0);
		ck_assert((size >= 4096) == (p < (void *)r->head ||
		    p >= (void *)(r->payload + 2 * 64 * (size_t)r->plines)));
		memset(p, 0x55, size);
		/* Dropped, made, made smaller, and sent. */
		ck_assert_int_eq(e.send->be->reserve(e.send, &p, size), 0);
		memcpy(p, want, size);
		ck_assert_int_eq(e.send->be->commit(e.send, size -
		    (i % 3), 0), 0);
		ck_assert_int_eq(put(e.send, want, size, 0), (ssize_t)size);
		ck_assert_int_eq(get(e.recv, buffer, sizeof buffer),
		    (ssize_t)(size - i % 3));
		ck_assert_mem_eq(buffer, want, size - i % 3);
		ck_assert_int_eq(get(e.recv, buffer, sizeof buffer),
		    (ssize_t)size);
		ck_assert_mem_eq(buffer, want, size);
	}
	pair_free(&e);
}
END_TEST

/* Killed after a segment is made and before it is removed. */
static bool die_in_shmctl;
int __real_shmctl(int id, int command, struct shmid_ds *ds);
int __wrap_shmctl(int id, int command, struct shmid_ds *ds);

int
__wrap_shmctl(int id, int command, struct shmid_ds *ds)
{
	if (die_in_shmctl && command == IPC_RMID)
		kill(getpid(), SIGKILL);
	return __real_shmctl(id, command, ds);
}

static int
segments_of(pid_t pid)
{
	struct shm_info info;
	struct shmid_ds ds;
	int i, n = 0, last = shmctl(0, SHM_INFO, (void *)&info);

	for (i = 0; i <= last; i++)
		n += shmctl(i, SHM_STAT, &ds) >= 0 && ds.shm_cpid == pid;
	return n;
}

START_TEST(what_a_killed_maker_left_is_found)
{
	struct ends e;
	pid_t child = fork();

	if (child == 0) {
		die_in_shmctl = true;
		pair_of(&e, &ipc__backend_sysvshm, 0);
		_exit(0);
	}
	ck_assert_int_eq(wait_for(child), 128 + SIGKILL);
	/* Other programs of this machine may sweep it as well. */
	ck_assert_int_le(segments_of(child), 1);
	ipc__sysvshm_sweep(NULL, NULL);
	ck_assert_int_eq(segments_of(child), 0);
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

/* The kernel's own answer would be a signal that kills. */
START_TEST(a_limit_of_file_sizes_is_an_error)
{
	const struct rlimit less = { 100000, RLIM_INFINITY };
	struct ipc_channel *ch[2];
	char address[16];

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &less), 0);
	snprintf(address, sizeof address, "%s:",
	    backends[_i]->mechanism.scheme);
	if (backends[_i] == &ipc__backend_sysvshm) {
		ck_assert_int_eq(ipc_pair(ch, address, 0), 0);
		ipc_close(ch[0]);
		ipc_close(ch[1]);
		return;
	}
	ck_assert_int_eq(ipc_pair(ch, address, 0), -EFBIG);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "RLIMIT_FSIZE"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shm");
	TCase *tc = tcase_create("shm");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_pair_carries_messages, 0, BACKENDS);
	tcase_add_loop_test(tc, payload_crosses_the_end_whole, 0, BACKENDS);
	tcase_add_loop_test(tc, a_full_ring_keeps_all, 0, 5);
	tcase_add_loop_test(tc, a_ticket_takes_an_end_elsewhere, 0, BACKENDS);
	tcase_add_loop_test(tc, a_false_ticket_is_refused, 0, BACKENDS);
	tcase_add_loop_test(tc, a_bell_is_put_out_without_waiting, 0,
	    BACKENDS);
	tcase_add_test(tc, memory_that_could_go_away_is_refused);
	tcase_add_loop_test(tc, a_bell_is_lit_until_it_is_armed, 0, BACKENDS);
	tcase_add_loop_test(tc, a_false_goodbye_is_rung_all_the_same, 0,
	    BACKENDS);
	tcase_add_loop_test(tc, a_bell_is_lit_if_there_was_something_before, 0,
	    BACKENDS);
	tcase_add_loop_test(tc, a_full_ring_wakes_its_sender, 0, BACKENDS);
	tcase_add_loop_test(tc, what_goes_around_the_cache_comes, 0, BACKENDS);
	tcase_add_test(tc, what_a_killed_maker_left_is_found);
	tcase_add_test(tc, full_memory_is_an_error);
	tcase_add_loop_test(tc, a_limit_of_file_sizes_is_an_error, 0, BACKENDS);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
