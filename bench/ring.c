/* SPDX-License-Identifier: ISC */
/*
 * The ring by itself: round trips and streams between two pinned processes,
 * through the operations of the memfd backend, with the round trip of one bare
 * cache line beside every figure.  That tells whether the two cores were NEAR
 * or FAR while it was measured; figures of the two can not be compared.
 *
 *	bench-ring [-t MILLISECONDS] [-c CAPACITY] [-1] [CELL ...]
 *
 * -1 pins both processes to one processor.  A cell is rtt:SIZE, one:SIZE,
 * many:SIZE (published 32 at a time) or place:SIZE (no copy on either side).
 */

#include <sys/mman.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm.h"

extern const struct ipc_backend ipc__backend_memfd;

#define SPINS	2000		/* looks before it sleeps */
#define BATCH	32
#define TRIPS	200000
#define LAPS	20000

struct shared {
	_Alignas(64) _Atomic uint64_t ping;
	_Alignas(64) _Atomic uint64_t pong;
	_Alignas(64) _Atomic int stop;
	/* How long each ringful took to arrive, ns. */
	_Alignas(64) unsigned laps;
	uint32_t lap[LAPS];
};

static struct shared *shared;
static unsigned long span = 100;
static uint64_t capacity;
static int one_cpu;
static volatile uint64_t sink;

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(one_cpu ? 0 : cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		err(1, "sched_setaffinity");
}

static int
later(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* One line to and fro, in ns: the best of short runs, as whoever else runs on
 * our processors only makes it longer. */
static double
bare_line(void)
{
	uint64_t from = 0, took, best = UINT64_MAX, i, n = 40000;
	pid_t child;

	if (one_cpu)
		return 0;
	atomic_store(&shared->ping, 0);
	atomic_store(&shared->pong, 0);
	child = fork();
	if (child == 0) {
		pin(1);
		for (i = 1; i <= n; i++) {
			while (atomic_load_explicit(&shared->ping,
			    memory_order_acquire) != i)
				relax();
			atomic_store_explicit(&shared->pong, i,
			    memory_order_release);
		}
		_exit(0);
	}
	for (i = 1; i <= n; i++) {
		if (i % 200 == 0) {
			took = now() - from;
			if (i > 200 && took < best)
				best = took;
			from = now();
		}
		atomic_store_explicit(&shared->ping, i, memory_order_release);
		while (atomic_load_explicit(&shared->pong,
		    memory_order_acquire) != i)
			relax();
	}
	waitpid(child, NULL, 0);
	return (double)best / 200;
}

static struct ipc__half *
half_new(int dir)
{
	const struct ipc_backend *be = &ipc__backend_memfd;
	size_t size = sizeof(struct ipc__half) + be->size;
	struct ipc__half *h = aligned_alloc(64, (size + 63) / 64 * 64);

	memset(h, 0, size);
	h->be = be;
	h->dir = dir;
	return h;
}

static void
link_new(struct ipc__half *h[2])
{
	static char none[] = "";
	struct ipc__address a;

	memset(&a, 0, sizeof a);
	a.name = none;
	a.opt.capacity = capacity;
	h[0] = half_new(IPC_RECV);
	h[1] = half_new(IPC_SEND);
	if (h[0]->be->pair(h[0], h[1], &a) < 0)
		errx(1, "pair: %s", ipc_errmsg());
}

static void
link_free(struct ipc__half *h[2])
{
	h[0]->be->close(h[0], true);
	h[1]->be->close(h[1], true);
	free(h[0]);
	free(h[1]);
}

/* Looks a while, then sleeps. */
static void
await(struct ipc__half *h, unsigned *spins)
{
	struct pollfd fds[2];

	if (++*spins < (one_cpu ? 1 : SPINS)) {
		relax();
		return;
	}
	*spins = 0;
	if (h->be->arm(h, h->dir) != 0)
		return;
	h->be->watch(h, h->dir, fds);
	poll(fds, 1, 100);
}

static void
put(struct ipc__half *h, const void *p, size_t size, unsigned flags)
{
	struct iovec iov = { (void *)(uintptr_t)p, size };
	struct ipc__aside aside = { .flags = flags };
	unsigned spins = 0;

	while (h->be->send(h, &iov, 1, &aside) == -EAGAIN) {
		if (flags && spins == 0)
			h->be->publish(h, IPC_SEND);
		await(h, &spins);
	}
}

/* Fills it in where it lies. */
static void
place(struct ipc__half *h, size_t size, uint64_t n)
{
	unsigned spins = 0;
	void *p;

	while (h->be->reserve(h, &p, size) == -EAGAIN)
		await(h, &spins);
	memset(p, (int)n, size);
	memcpy(p, &n, size < 8 ? size : 8);
	h->be->commit(h, size, 0);
}

static uint64_t
sum_of(const void *p, size_t size)
{
	uint64_t sum = 0, w;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		memcpy(&w, (const char *)p + i, 8);
		sum += w;
	}
	return sum;
}

static const void *
look(struct ipc__half *h, size_t *size)
{
	unsigned flags, spins = 0;
	const void *p;
	ssize_t n;

	while ((n = h->be->peek(h, &p, &flags)) == -EAGAIN)
		await(h, &spins);
	if (n < 0)
		errx(1, "peek: %s", ipc_errmsg());
	*size = (size_t)n;
	return p;
}

static void
get(struct ipc__half *h, void *buffer, size_t *size, unsigned flags)
{
	const void *p = look(h, size);

	if (*size <= 64)
		ipc__copy_small(buffer, p, *size);
	else
		memcpy(buffer, p, *size);
	h->be->release(h, flags);
}

static void
echo(struct ipc__half *in, struct ipc__half *out, void *buffer)
{
	size_t n;

	for (;;) {
		get(in, buffer, &n, 0);
		sink = sum_of(buffer, n);
		put(out, buffer, n, 0);
		if (n == 0)
			_exit(0);
	}
}

static void
round_trip(size_t size)
{
	struct ipc__half *to[2], *from[2];
	char *buffer = malloc(size + 1);
	uint32_t *t = malloc(TRIPS * sizeof *t);
	uint64_t start, begin, end;
	unsigned i;
	pid_t child;
	size_t n;

	memset(buffer, 1, size + 1);
	link_new(to);
	link_new(from);
	child = fork();
	if (child == 0) {
		pin(1);
		echo(to[0], from[1], buffer);
	}
	start = now();
	for (i = 0; i < TRIPS && now() - start < span * 1000000; i++) {
		begin = now();
		put(to[1], buffer, size, 0);
		get(from[0], buffer, &n, 0);
		end = now();
		sink = sum_of(buffer, n);
		t[i] = (uint32_t)(end - begin);
	}
	put(to[1], buffer, 0, 0);
	waitpid(child, NULL, 0);
	n = i / 5;
	qsort(t + n, i - n, sizeof *t, later);
	printf("%9.0f ns  p99 %.0f", (double)t[n + (i - n) / 2],
	    (double)t[n + (i - n) * 99 / 100]);
	link_free(to);
	link_free(from);
	free(buffer);
	free(t);
}

/* How many messages fill the ring. */
static uint64_t
ringful(const struct ipc__half *h, size_t size)
{
	const struct ipc__ring *r = &IPC__STATE(h, struct ipc__shm)->ring;
	uint64_t n = h->capacity / size;

	return size > IPC__RING_INLINE ? n : (uint64_t)r->lines *
	    (IPC__RING_CELLS / ipc__ring_cells(size));
}

static void
drain(struct ipc__half *h, size_t size, const char *how)
{
	char *buffer = malloc(size + 1);
	uint64_t sum = 0, k = 0, expected = 0, lap = ringful(h, size);
	uint64_t from = now(), till;
	const void *p;
	unsigned flags = 0;
	size_t n;

	for (;;) {
		if (*how == 'p') {
			p = look(h, &n);
			sum += sum_of(p, n);
			memcpy(&k, p, n < 8 ? 0 : 8);
			h->be->release(h, 0);
		} else {
			if (*how == 'm')
				flags = expected % BATCH ? IPC__HOLD : 0;
			get(h, buffer, &n, flags);
			sum += sum_of(buffer, n);
			memcpy(&k, buffer, n < 8 ? 0 : 8);
		}
		if (n == 0)
			break;
		if (k != expected)
			errx(1, "message %llu instead of %llu",
			    (unsigned long long)k,
			    (unsigned long long)expected);
		if (++expected % lap == 0 && shared->laps < LAPS) {
			till = now();
			shared->lap[shared->laps++] = (uint32_t)(till - from);
			from = till;
		}
	}
	sink = sum;
	_exit(0);
}

static void
stream(size_t size, const char *how)
{
	struct ipc__half *h[2];
	char *buffer = malloc(size + 1);
	uint64_t i, from, lap;
	pid_t child;
	double ns;

	memset(buffer, 1, size + 1);
	shared->laps = 0;
	link_new(h);
	lap = ringful(h[1], size);
	child = fork();
	if (child == 0) {
		pin(1);
		drain(h[0], size, how);
	}
	from = now();
	for (i = 0; i % 64 || now() - from < span * 1000000; i++) {
		if (*how == 'p') {
			place(h[1], size, i);
			continue;
		}
		memcpy(buffer, &i, 8);
		put(h[1], buffer, size, *how == 'm' && i % BATCH != BATCH - 1 ?
		    IPC__HOLD : 0);
	}
	put(h[1], buffer, 0, 0);
	waitpid(child, NULL, 0);
	/* The first laps are the ring's growing; the slow ones somebody else's
	 * turn on our processors. */
	qsort(shared->lap + shared->laps / 5,
	    shared->laps - shared->laps / 5, sizeof *shared->lap, later);
	ns = shared->lap[shared->laps / 5 + shared->laps * 4 / 5 / 4];
	printf("%9.2f M/s %7.2f GB/s (median %.2f M/s)%s",
	    (double)lap * 1e3 / ns, (double)(lap * size) / ns,
	    (double)lap * 1e3 / shared->lap[shared->laps * 3 / 5],
	    IPC__STATE(h[1], struct ipc__shm)->ring.distance.far ? " far" : "");
	link_free(h);
	free(buffer);
}

static void
cell(const char *name)
{
	const char *colon = strchr(name, ':');
	size_t size = colon ? strtoul(colon + 1, NULL, 10) : 0;
	double before, after;

	if (size < 8 || size > 1 << 20)
		errx(2, "%s: not a cell", name);
	before = bare_line();
	printf("%-14s ", name);
	fflush(stdout);
	if (*name == 'r')
		round_trip(size);
	else
		stream(size, name);
	after = bare_line();
	printf("   line %.0f-%.0f ns %s\n", before, after,
	    before < 200 && after < 200 ? "NEAR" :
	    before > 200 && after > 200 ? "FAR" : "CHANGED");
}

int
main(int argc, char *argv[])
{
	static const char *const cells[] = {
		"rtt:48", "rtt:64", "rtt:1024", "rtt:65536",
		"one:8", "one:48", "one:64", "one:1024", "one:65536",
		"one:1048576", "many:8", "many:64", "many:1024",
		"place:65536", "place:1048576"
	};
	unsigned i;
	int c;

	while ((c = getopt(argc, argv, "1c:t:")) != -1) {
		switch (c) {
		case '1':
			one_cpu = 1;
			break;
		case 'c':
			capacity = strtoull(optarg, NULL, 10);
			break;
		case 't':
			span = strtoul(optarg, NULL, 10);
			break;
		default:
			fprintf(stderr, "usage: bench-ring [-1] [-c capacity] "
			    "[-t ms] [cell ...]\n");
			return 2;
		}
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	pin(0);
	if (optind < argc)
		for (; optind < argc; optind++)
			cell(argv[optind]);
	else
		for (i = 0; i < sizeof cells / sizeof cells[0]; i++)
			cell(cells[i]);
	return 0;
}
