/* SPDX-License-Identifier: ISC */
/*
 * Two processes at the ends of a ring, or of slots, by their tables: no wake-up
 * is lost, memory is given back while the other side may be about to use it,
 * and the newest value is whole.
 */
#include "rings.h"
#include "suite.h"

/* Does not wait a second before it shrinks the ring anew; and its sender gives
 * it the occasion. */
static bool restless;

/* Sends n messages that tell their number, sleeping where it must. */
static int
sender(struct ipc__half *h, unsigned n, unsigned seed)
{
	static unsigned char buffer[1 << 16];
	size_t size, most = h->record;
	unsigned i;

	if (most > sizeof buffer)
		most = sizeof buffer;
	for (i = 0; i < n; i++) {
		size = 4 + (unsigned)rand_r(&seed) %
		    (i % 8 ? 100 : most - 4);
		memcpy(buffer, &i, 4);
		memset(buffer + 4, (int)i, size - 4);
		while (put(h, buffer, size, 0) == -EAGAIN)
			if (!await(h, 20000))
				return 2;
		pause_randomly(&seed);
		if (restless && i % 256 == 0)
			usleep(1000);
	}
	return 0;
}

static bool
is_message(const unsigned char *p, ssize_t size, unsigned n)
{
	ssize_t i;

	if (size < 4 || memcmp(p, &n, 4) != 0)
		return false;
	for (i = 4; i < size; i++)
		if (p[i] != (n & 0xff))
			return false;
	return true;
}

static int
receiver(struct ipc__half *h, unsigned n, unsigned seed)
{
	static unsigned char buffer[1 << 16];
	unsigned i;
	ssize_t size;

	for (i = 0; i < n; i++) {
		while ((size = get(h, buffer, sizeof buffer)) == -EAGAIN) {
			if (restless)
				IPC__STATE(h, struct ipc__shm)->calm = 0;
			if (!await(h, 20000))
				return 3;
		}
		if (!is_message(buffer, size, i))
			return 4;
		pause_randomly(&seed);
	}
	return 0;
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

/* Its receiver takes memory away whenever it can, while the sender may just be
 * about to use it. */
START_TEST(a_ring_that_shrinks_loses_nothing)
{
	const struct ipc__shm *s;
	struct ends e;
	unsigned gate;
	pid_t child;

	restless = true;
	pair_of(&e, backends[_i], 0);
	child = fork();
	if (child == 0)
		_exit(sender(e.send, 20000, 3));
	ck_assert_int_eq(receiver(e.recv, 20000, 4), 0);
	ck_assert_int_eq(wait_for(child), 0);
	ck_assert(!await(e.recv, 0));
	s = IPC__STATE(e.recv, struct ipc__shm);
	gate = le32toh(atomic_load(&s->ring.own->gate));
	ck_assert_uint_eq(gate % 2, 0);
	ck_assert_uint_gt(gate / 2, 0);
	pair_free(&e);
	restless = false;
}
END_TEST

/* What the kernel has for it, in bytes. */
static size_t
memory_of(const struct ipc__half *h)
{
	const struct ipc__shm_map *map =
	    IPC__STATE(h, struct ipc__shm)->map;
	char line[512];
	struct stat st;
	unsigned long rss;
	FILE *f;
	int id;

	if (map->mem >= 0) {
		ck_assert_int_eq(fstat(map->mem, &st), 0);
		return (size_t)st.st_blocks * 512;
	}
	f = fopen("/proc/sysvipc/shm", "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%*s %d %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		    "%*s %*s %*s %lu", &id, &rss) == 2 && id == map->id)
			break;
	ck_assert(!feof(f));
	fclose(f);
	return rss;
}

START_TEST(a_drained_ring_gives_its_memory_back)
{
	static unsigned char buffer[1 << 16];
	struct ends e;
	unsigned i, n;

	pair_of(&e, backends[_i], 0);
	for (i = 0; i < 20; i++) {
		for (n = 0; put(e.send, buffer, i % 2 ? 5000 : 50, 0) >= 0;)
			n++;
		if (i % 2 == 1)
			ck_assert_uint_gt(memory_of(e.recv), 3 << 20);
		while (n-- > 0)
			ck_assert_int_ge(get(e.recv, buffer, sizeof buffer),
			    0);
		IPC__STATE(e.recv, struct ipc__shm)->calm = 0;
		ck_assert(e.recv->be->calm(e.recv) >= 0);
		ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
		ck_assert_int_eq(e.recv->be->calm(e.recv), -1);
		ck_assert_uint_le(memory_of(e.recv), 12 << 10);
		ck_assert_int_eq(put(e.send, buffer, 500, 0), 500);
		ck_assert_int_eq(get(e.recv, buffer, 500), 500);
	}
	pair_free(&e);
}
END_TEST

/*
 * latest=1
 */

START_TEST(only_the_newest_is_there)
{
	unsigned char in[100];
	struct ends e;
	unsigned i;

	latest = true;
	pair_of(&e, backends[_i], 0);
	ck_assert_int_eq(get(e.recv, in, sizeof in), -EAGAIN);
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
	for (i = 0; i < 1000; i++) {
		memset(in, (int)i, sizeof in);
		ck_assert_int_eq(put(e.send, in, 1 + i % 100, 0), 1 + i % 100);
	}
	ck_assert(lit(e.recv));
	/* No short way, which is not the same as nothing there: who waits
	 * would look that way in vain. */
	ck_assert_int_eq(e.recv->be->get(e.recv, in, sizeof in), -2);
	ck_assert_int_eq(get(e.recv, in, sizeof in), 100);
	ck_assert_uint_eq(in[99], 999 & 0xff);
	ck_assert_int_eq(get(e.recv, in, sizeof in), -EAGAIN);
	ck_assert_int_eq(e.recv->be->arm(e.recv, IPC_RECV), 0);
	ck_assert(!lit(e.recv));
	ck_assert_int_eq(e.send->be->arm(e.send, IPC_SEND), 1);
	ck_assert_int_eq(put(e.send, in, 0, 0), 0);
	ck_assert_int_eq(get(e.recv, in, sizeof in), 0);
	pair_free(&e);
	latest = false;
}
END_TEST

/* Number n, n times over, of a length that n tells. */
static void
write_all(struct ipc__half *h, unsigned last)
{
	static uint32_t buffer[4096];
	unsigned i, k, n;

	for (n = 1; n <= last; n++) {
		k = 1 + n * 2654435761u % 4096;
		for (i = 0; i < k; i++)
			buffer[i] = n;
		if (put(h, buffer, k * 4, 0) != (ssize_t)k * 4)
			_exit(2);
	}
	_exit(0);
}

START_TEST(no_slot_is_ever_torn)
{
	const unsigned last = 30000;
	static uint32_t in[4096];
	uint32_t was = 0;
	struct ends e;
	pid_t child;
	ssize_t n, i;

	latest = true;
	pair_of(&e, backends[_i], 0);
	child = fork();
	if (child == 0)
		write_all(e.send, last);
	while (was != last) {
		n = get(e.recv, in, sizeof in);
		if (n == -EAGAIN) {
			ck_assert(await(e.recv, 20000));
			continue;
		}
		ck_assert_int_ge(n, 4);
		ck_assert_uint_gt(in[0], was);
		was = in[0];
		ck_assert_int_eq(n / 4, 1 + was * 2654435761u % 4096);
		for (i = 0; i < n / 4; i++)
			ck_assert(in[i] == was);
	}
	wait_for(child);
	pair_free(&e);
	latest = false;
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shmflow");
	TCase *tc = tcase_create("shmflow");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, no_wake_up_is_lost, 0, BACKENDS);
	tcase_add_loop_test(tc, a_ring_that_shrinks_loses_nothing, 0,
	    BACKENDS);
	tcase_add_loop_test(tc, a_drained_ring_gives_its_memory_back, 0,
	    BACKENDS);
	tcase_add_loop_test(tc, only_the_newest_is_there, 0, BACKENDS);
	tcase_add_loop_test(tc, no_slot_is_ever_torn, 0, BACKENDS);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
