/* SPDX-License-Identifier: ISC */
/*
 * Another side that writes whatever it likes over shared memory, for as many
 * milliseconds as IPC_CHECK_HOSTILE says: it breaks its ring, and nothing else.
 */
#include "rings.h"
#include "suite.h"

/* Random words all over the memory, most of them where they matter. */
static void
scribble(unsigned char *base, size_t bytes, unsigned seed)
{
	uint64_t x = seed | 1, *word;
	size_t at;

	for (;;) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at = x % 4 ? x / 8 % 8192 : x / 8 % bytes;
		word = (uint64_t *)(void *)(base + (at & ~(size_t)7));
		if (x & 0x100000)
			*word ^= UINT64_C(1) << (x >> 58);
		else
			*word = x >> (x >> 58);
	}
}

/* The short ways have nothing to say of what is broken. */
static void
suffer_quickly(struct ends *e, unsigned turns, unsigned char *buffer)
{
	struct iovec some[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		some[i] = (struct iovec){ buffer + 8192 * i,
		    (turns + i) * 41 % 6000 };
	if (turns & 1)
		e->send->be->put(e->send, buffer, turns * 29 % 6000);
	if (turns & 2)
		e->send->be->put_many(e->send, some, 3, 8192);
	if (turns & 4)
		e->recv->be->get(e->recv, buffer, turns * 43 % 9000);
	if (turns & 8)
		e->recv->be->get_many(e->recv, some, 3, 8192);
}

/* Sends and receives whatever there is; -EBADMSG ends a ring, and a new one
 * is taken.  Returns how often. */
static unsigned
suffer(struct ends *e, int64_t until)
{
	static unsigned char buffer[1 << 20];
	struct timespec ts;
	unsigned broken = 0, turns = 0;
	const void *p;
	unsigned flags;
	ssize_t n;

	do {
		n = put(e->send, buffer, turns * 37 % 3000, 0);
		ck_assert(n >= 0 || n == -EAGAIN || n == -EBADMSG);
		broken += n == -EBADMSG;
		suffer_quickly(e, turns, buffer);
		if (n == -EAGAIN)
			e->send->be->arm(e->send, IPC_SEND);
		n = e->recv->be->peek(e->recv, &p, &flags);
		ck_assert(n >= 0 || n == -EAGAIN || n == -EBADMSG);
		broken += n == -EBADMSG;
		if (n >= 0) {
			ck_assert_uint_le((size_t)n, sizeof buffer);
			memcpy(buffer, p, (size_t)n);
			e->recv->be->release(e->recv, 0);
		} else if (n == -EAGAIN)
			e->recv->be->arm(e->recv, IPC_RECV);
		if (++turns % 256 == 0 && broken)
			break;
		clock_gettime(CLOCK_MONOTONIC, &ts);
	} while (ts.tv_sec * 1000 + ts.tv_nsec / 1000000 < until);
	return broken;
}

START_TEST(a_hostile_side_breaks_only_its_ring)
{
	const char *text = getenv("IPC_CHECK_HOSTILE");
	int64_t ms = text ? atoll(text) : 1500, end;
	unsigned round = 0, broken = 0;
	struct ipc__shm_map *map;
	struct timespec ts;
	struct ends e;
	pid_t child;

	latest = _i >= 2;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	end = ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ms;
	do {
		pair_of(&e, backends[_i % 2 * 2], round % 2 ? 0 : 1 << 16);
		map = IPC__STATE(e.recv, struct ipc__shm)->map;
		child = fork();
		if (child == 0)
			scribble(map->base, map->bytes, ++round * 7919);
		broken += suffer(&e, end);
		kill(child, SIGKILL);
		wait_for(child);
		pair_free(&e);
		round++;
		clock_gettime(CLOCK_MONOTONIC, &ts);
	} while (ts.tv_sec * 1000 + ts.tv_nsec / 1000000 < end);
	/* A slot is mended by the next message. */
	ck_assert(latest || broken > 0);
	latest = false;
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shmhostile");
	TCase *tc = tcase_create("shmhostile");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_hostile_side_breaks_only_its_ring, 0, 4);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
