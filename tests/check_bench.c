/* SPDX-License-Identifier: ISC */
/*
 * The benchmark: its arithmetic, and that it can not be deceived.  Nothing here
 * judges a time.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <check.h>

#include "../bench/bench.h"
#include "../bench/measure.h"
#include "program.h"

#define COUNT(array)	(sizeof (array) / sizeof (array)[0])

static void
assert_near(double a, double b)
{
	double difference = a > b ? a - b : b - a;

	ck_assert_msg(difference <= 1e-9 * (b > 0 ? b : 1), "%g is not %g", a,
	    b);
}

/*
 * Statistics
 */

START_TEST(percentiles_are_samples_by_nearest_rank)
{
	uint32_t s[1000];

	for (uint32_t i = 0; i < 1000; i++)
		s[i] = (i * 7919) % 1000 + 1;	/* 1 to 1000, shuffled */
	bench_sort(s, 1000);
	assert_near(bench_percentile(s, 1000, 0.5), 500);
	assert_near(bench_percentile(s, 1000, 0.99), 990);
	assert_near(bench_percentile(s, 1000, 0.999), 999);
	assert_near(bench_percentile(s, 1000, 1), 1000);
	assert_near(bench_percentile(s, 1000, 0), 1);
	assert_near(bench_percentile(s, 1, 0.999), 1);
	assert_near(bench_percentile(s, 0, 0.5), 0);
}
END_TEST

START_TEST(medians_and_ranges_of_repetitions)
{
	static const double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 };
	struct bench_range r = bench_range(odd, 3);

	assert_near(r.median, 3);
	assert_near(r.least, 1);
	assert_near(r.greatest, 5);
	assert_near(bench_range(even, 4).median, 2.5);
	assert_near(bench_range(even, 0).median, 0);
}
END_TEST

/* A clock that steps by ten sees 10 or 20, never 13. */
START_TEST(means_of_blocks_are_finer_than_the_clock)
{
	uint32_t s[1600];

	for (unsigned i = 0; i < 1600; i++)
		s[i] = i % 10 < 3 ? 20 : 10;
	ck_assert_double_lt(bench_block_median(s, 1600, 16), 13.8);
	ck_assert_double_gt(bench_block_median(s, 1600, 16), 12.2);
	assert_near(bench_block_median(s, 8, 16), 13.75);
	s[5] = 1000000;			/* one hiccup moves no median */
	ck_assert_double_lt(bench_block_median(s, 1600, 16), 13.8);
}
END_TEST

/* One that waited for a second asked nothing in it: 999 answers of 1 and one of
 * 1000 are a tenth of a per mille for who counts answers, and half the time for
 * who would have asked on. */
START_TEST(a_stall_hides_no_questions)
{
	uint32_t s[1000];

	for (unsigned i = 0; i < 1000; i++)
		s[i] = i == 999 ? 1000 : 1;
	assert_near(bench_percentile(s, 1000, 0.99), 1);
	ck_assert_double_gt(bench_percentile_paced(s, 1000, 0.99, 1), 950);
	ck_assert_double_lt(bench_percentile_paced(s, 1000, 0.4, 1), 2);
	assert_near(bench_percentile_paced(s, 999, 0.99, 1), 1);
	assert_near(bench_percentile_paced(s, 1000, 0.99, 0), 1);
}
END_TEST

START_TEST(summaries_take_the_clock_itself_away)
{
	struct bench_outcome o;
	uint32_t s[64];

	memset(&o, 0, sizeof o);
	bench_clock = (struct bench_clock){ .ns = 0.5, .overhead = 20,
	    .step = 1 };
	for (unsigned i = 0; i < 64; i++)
		s[i] = 120;
	bench_summarise(&o, s, 64);
	assert_near(o.value[0], 50);
	assert_near(o.value[3], 50);
	assert_near(o.value[4], 50);
	for (unsigned i = 0; i < 64; i++)
		s[i] = 10;			/* less than the clock takes */
	bench_summarise(&o, s, 64);
	assert_near(o.value[0], 0);
}
END_TEST

/*
 * Clock and places
 */

START_TEST(ticks_go_with_the_clock)
{
	double ratio = 0;

	bench_clock_begin();
	ck_assert_double_gt(bench_clock.ns, 0);
	ck_assert_double_gt(bench_clock.step, 0);
	/* Whoever takes the processor between two readings spoils a try. */
	for (int i = 0; i < 50 && (ratio < 0.99 || ratio > 1.01); i++) {
		uint64_t a = bench_nanoseconds(CLOCK_MONOTONIC);
		uint64_t from = bench_ticks(), b;

		usleep(20000);
		b = bench_nanoseconds(CLOCK_MONOTONIC);
		ratio = (double)(bench_ticks() - from) * bench_clock.ns /
		    (double)(b - a);
	}
	ck_assert_double_gt(ratio, 0.99);
	ck_assert_double_lt(ratio, 1.01);
}
END_TEST

static void
write_file(const char *directory, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "we");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	fprintf(f, "%s\n", text);
	ck_assert_int_eq(fclose(f), 0);
}

/* Eight processors: two sockets of two cores of two threads; a core has an L2,
 * a socket an L3. */
static const char *
eight_processors(void)
{
	static const char *const parts[] = { "", "/topology", "/cache",
	    "/cache/index0", "/cache/index1", "/cache/index2",
	    "/cache/index3" };
	static char root[256];
	char path[512], list[16];

	snprintf(root, sizeof root, "%s", in_dir("sys"));
	snprintf(path, sizeof path, "mkdir -p %s/devices/system/cpu", root);
	ck_assert_int_eq(system(path), 0);
	for (int cpu = 0; cpu < 8; cpu++) {
		char at[400];

		snprintf(at, sizeof at, "%s/devices/system/cpu/cpu%d", root,
		    cpu);
		for (size_t i = 0; i < COUNT(parts); i++) {
			snprintf(path, sizeof path, "%s%s", at, parts[i]);
			ck_assert_int_eq(mkdir(path, 0700), 0);
		}
		snprintf(list, sizeof list, "%d-%d", cpu / 2 * 2,
		    cpu / 2 * 2 + 1);
		write_file(at, "topology/thread_siblings_list", list);
		write_file(at, "cache/index0/level", "1");
		write_file(at, "cache/index1/level", "2");
		write_file(at, "cache/index1/type", "Instruction");
		write_file(at, "cache/index1/shared_cpu_list", "0-7");
		write_file(at, "cache/index2/level", "2");
		write_file(at, "cache/index2/type", "Unified");
		write_file(at, "cache/index2/shared_cpu_list", list);
		write_file(at, "cache/index3/level", "3");
		write_file(at, "cache/index3/shared_cpu_list",
		    cpu < 4 ? "0,1,2-3" : "4-7");
		write_file(at, "topology/core_siblings_list",
		    cpu < 4 ? "0-3" : "4-7");
	}
	return root;
}

START_TEST(processors_are_related_as_the_kernel_says)
{
	const char *root = eight_processors();
	struct bench_place place[BENCH_PLACES];
	cpu_set_t set;

	ck_assert_int_eq(bench_relation(root, 2, 2), BENCH_SAME_CPU);
	ck_assert_int_eq(bench_relation(root, 2, 3), BENCH_SAME_CORE);
	ck_assert_int_eq(bench_relation(root, 0, 3), BENCH_SAME_L3);
	ck_assert_int_eq(bench_relation(root, 3, 4), BENCH_OTHER_PACKAGE);
	ck_assert_int_eq(bench_relation(in_dir("none"), 0, 1), BENCH_UNKNOWN);
	CPU_ZERO(&set);
	for (int i = 1; i < 8; i++)
		CPU_SET(i, &set);
	ck_assert_uint_eq(bench_places(root, &set, place), 3);
	ck_assert_int_eq(place[0].cpu[0], 1);
	ck_assert_int_eq(place[0].cpu[1], 2);
	ck_assert_int_eq(place[1].cpu[1], 4);
	ck_assert_int_eq(place[2].cpu[1], 1);
	CPU_ZERO(&set);
	CPU_SET(6, &set);
	CPU_SET(7, &set);
	ck_assert_uint_eq(bench_places(root, &set, place), 2);
	ck_assert_int_eq(place[0].relation, BENCH_SAME_CORE);
	CPU_CLR(7, &set);
	ck_assert_uint_eq(bench_places(root, &set, place), 1);
	ck_assert_int_eq(place[0].relation, BENCH_SAME_CPU);
}
END_TEST

/* What the kernel says may be long gone by under a hypervisor. */
START_TEST(distance_is_what_was_measured)
{
	ck_assert_int_eq(bench_distance(BENCH_SAME_L3, 90, 95), BENCH_CLOSE);
	ck_assert_int_eq(bench_distance(BENCH_SAME_L3, 400, 390), BENCH_FAR);
	ck_assert_int_eq(bench_distance(BENCH_SAME_L3, 90, 390),
	    BENCH_CHANGED);
	ck_assert_int_eq(bench_distance(BENCH_OTHER_PACKAGE, 390, 90),
	    BENCH_CHANGED);
	ck_assert_int_eq(bench_distance(BENCH_SAME_L3, 390, 1e6),
	    BENCH_CHANGED);
	ck_assert_int_eq(bench_distance(BENCH_SAME_CORE, 40, 40),
	    BENCH_SIBLINGS);
	ck_assert_int_eq(bench_distance(BENCH_SAME_CPU, 0, 0), BENCH_ONE);
}
END_TEST

/*
 * Messages
 */

static const size_t sizes[] = { 8, 16, 24, 64, 72, 1000, 4088, 4096, 65536 };

START_TEST(every_damage_is_seen)
{
	size_t size = sizes[_i];
	struct payload p;
	char *copy = malloc(size);

	ck_assert_int_eq(payload_new(&p, size), 0);
	memcpy(copy, payload_message(&p, 5), size);
	ck_assert(payload_is(&p, copy, 5));
	ck_assert(!payload_is(&p, copy, 6));
	ck_assert(!payload_is_last(copy));
	for (size_t i = 0; i < size; i += size > 1000 ? 61 : 1) {
		copy[i] ^= 0x10;
		ck_assert_msg(!payload_is(&p, copy, 5), "byte %zu of %zu", i,
		    size);
		copy[i] ^= 0x10;
	}
	ck_assert(payload_is_last(p.last));
	ck_assert(!payload_is(&p, p.last, 0));
	payload_fill(&p, copy, 77);
	ck_assert(payload_is(&p, copy, 77));
	ck_assert(!payload_is(&p, copy, 78));
	payload_free(&p);
	free(copy);
}
END_TEST

/* A store right before a wide copy would stall the copy. */
START_TEST(small_messages_are_ready_before_they_are_sent)
{
	struct payload p;
	size_t all = PAYLOAD_SLOTS * sizeof(uint64_t) * 8;
	char *copy = malloc(all);

	ck_assert_int_eq(payload_new(&p, 64), 0);
	memcpy(copy, p.slot, all);
	for (uint64_t i = 0; i < 1000; i++) {
		const void *now = payload_message(&p, i);

		ck_assert(payload_is(&p, now, i));
		ck_assert_ptr_ne((const char *)now, payload_message(&p, i + 1));
	}
	ck_assert_mem_eq(copy, p.slot, all);
	payload_free(&p);
	free(copy);
}
END_TEST

/* A mechanism that moves no bytes must not find the last message's. */
START_TEST(large_messages_are_never_the_same)
{
	struct payload p;
	uint64_t first, second;

	ck_assert_int_eq(payload_new(&p, 65536), 0);
	memcpy(&first, payload_message(&p, 1), 8);
	memcpy(&second, payload_message(&p, 1 + PAYLOAD_SLOTS), 8);
	ck_assert(first != second);
	payload_free(&p);
}
END_TEST

/*
 * Cells
 */

/* A subject of two pipes that does one thing wrong. */
enum wrong { NOTHING, DAMAGES, LOSES, DOUBLES, HANGS, CRASHES, CAN_NOT,
	FAILS_LATE };

struct pipes {
	int	fd[2][2];
};

struct wrong_end {
	int	in, out;
	enum wrong wrong;
	unsigned sent;
};

static int
wrong_prepare(struct link *l)
{
	struct pipes *p = malloc(sizeof *p);

	l->state = p;
	if (*(const enum wrong *)l->subject->parameter == CAN_NOT)
		return subject_fail(ENOSYS, "no such thing");
	return pipe(p->fd[0]) < 0 || pipe(p->fd[1]) < 0 ? -errno : 0;
}

static int
wrong_attach(struct link *l, int side, void **end)
{
	struct wrong_end *e = calloc(1, sizeof *e);
	struct pipes *p = l->state;

	e->in = p->fd[side][0];
	e->out = p->fd[!side][1];
	e->wrong = *(const enum wrong *)l->subject->parameter;
	*end = e;
	return side == 1 && e->wrong == FAILS_LATE ?
	    subject_fail(EACCES, "not today") : 0;
}

static int
wrong_send(void *end, const void *data, size_t size)
{
	struct wrong_end *e = end;
	char copy[4096];

	memcpy(copy, data, size);
	e->sent++;
	if (e->sent == 3 && e->wrong == DAMAGES)
		copy[size / 2] ^= 1;
	if (e->sent == 3 && e->wrong == LOSES)
		return 0;
	if (e->sent == 3 && e->wrong == CRASHES)
		raise(SIGKILL);
	if (e->sent == 3 && e->wrong == HANGS)
		pause();
	if (write(e->out, copy, size) < 0)
		return -errno;
	if (e->sent == 3 && e->wrong == DOUBLES &&
	    write(e->out, copy, size) < 0)
		return -errno;
	return 0;
}

static ssize_t
wrong_recv(void *end, void *buffer, size_t size)
{
	return read(((struct wrong_end *)end)->in, buffer, size);
}

/* Pinned to one processor, so that it goes everywhere. */
static struct bench_cell
cell_of(const struct bench_metric *m, const struct subject *s, size_t size)
{
	cpu_set_t set;
	int cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	return (struct bench_cell){ .metric = m, .subject = s, .size = size,
	    .links = m->links[0] ? m->links[0] : 1,
	    .place = { { cpu, cpu }, BENCH_SAME_CPU }, .span = 1,
	    .directory = getenv("dir") };
}

static struct bench_outcome
run_wrong(enum wrong wrong, const struct bench_metric *m)
{
	struct subject s = { .name = "wrong", .kind = SUBJECT_RAW,
	    .parameter = &wrong, .prepare = wrong_prepare,
	    .attach = wrong_attach, .send = wrong_send, .recv = wrong_recv };
	struct bench_cell c = cell_of(m, &s, 64);
	struct bench_outcome o;

	bench_clock_begin();
	bench_patience = wrong == HANGS ? 300 : 8000;
	ck_assert_int_eq(bench_cells_begin(), 0);
	bench_cell_run(&c, &o);
	bench_cells_end();
	/* Whatever it did, its processes are gone. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	return o;
}

START_TEST(a_cell_that_is_right_is_measured)
{
	struct bench_outcome o = run_wrong(NOTHING, &bench_round_trip);

	ck_assert_msg(o.state == BENCH_DONE, "%s", o.error);
	ck_assert_int_eq(o.distance, BENCH_ONE);
	ck_assert_uint_ge(o.samples, 32);
	for (int i = 0; i < 7; i++)
		ck_assert_double_gt(o.value[i], 0);
	ck_assert_double_le(o.value[0], o.value[1] * 1.5);
	ck_assert_double_le(o.value[1], o.value[2]);
	ck_assert_double_le(o.value[2], o.value[3]);
	o = run_wrong(NOTHING, &bench_rate);
	ck_assert_msg(o.state == BENCH_DONE, "%s", o.error);
	assert_near(o.value[1], o.value[0] * 64);
	ck_assert_double_gt(o.value[2], 0);
	assert_near(o.value[3], 0);
}
END_TEST

static void
fails(enum wrong wrong, const struct bench_metric *m, enum bench_state state,
    const char *says)
{
	struct bench_outcome o = run_wrong(wrong, m);

	ck_assert_int_eq(o.state, state);
	ck_assert_msg(strstr(o.error, says) != NULL, "'%s', not '%s'",
	    o.error, says);
}

START_TEST(a_wrong_message_fails_the_cell)
{
	fails(DAMAGES, &bench_round_trip, BENCH_FAILED, "not what was sent");
	fails(DAMAGES, &bench_rate, BENCH_FAILED, "not what was sent");
	fails(LOSES, &bench_rate, BENCH_FAILED, "not what was sent");
	fails(DOUBLES, &bench_rate, BENCH_FAILED, "not what was sent");
}
END_TEST

/* A call there or its answer: its length, and the bytes. */
static ssize_t
put(int fd, const void *data, size_t size)
{
	if (write(fd, &size, sizeof size) < 0 ||
	    (size > 0 && write(fd, data, size) < 0))
		return -errno;
	return (ssize_t)size;
}

static ssize_t
get(int fd, void *buffer)
{
	size_t size = 0;

	if (read(fd, &size, sizeof size) != sizeof size ||
	    (size > 0 && read(fd, buffer, size) != (ssize_t)size))
		return -EPIPE;
	return (ssize_t)size;
}

static ssize_t
wrong_call(void *end, const void *data, size_t size, void *buffer)
{
	struct wrong_end *e = end;

	return put(e->out, data, size) < 0 ? -EPIPE : get(e->in, buffer);
}

/* The third one has arguments, the fourth has none. */
static int
wrong_serve(void *end, struct subject_work *work)
{
	struct wrong_end *e = end;
	char room[4096] = { 0 };
	ssize_t n = 0;
	bool more = true;

	while (more && n >= 0) {
		n = get(e->in, room);
		more = subject_served(work, room, (size_t)n);
		e->sent++;
		if (e->sent == 3 && e->wrong == DAMAGES)
			room[n / 2] ^= 1;
		if (e->sent == 3 && e->wrong == DOUBLES)
			subject_served(work, room, (size_t)n);
		if (e->sent == 4 && e->wrong == LOSES)
			n = 1;
		n = put(e->out, room, (size_t)n);
	}
	return (int)n;
}

static struct bench_outcome
run_wrong_call(enum wrong wrong)
{
	struct subject s = { .name = "wrong", .kind = SUBJECT_RAW,
	    .parameter = &wrong, .prepare = wrong_prepare,
	    .attach = wrong_attach, .call = wrong_call,
	    .serve = wrong_serve };
	struct bench_cell c = cell_of(&bench_call, &s, bench_call.size);
	struct bench_outcome o;

	bench_clock_begin();
	ck_assert_int_eq(bench_cells_begin(), 0);
	bench_cell_run(&c, &o);
	bench_cells_end();
	return o;
}

static void
call_fails(enum wrong wrong, const char *says)
{
	struct bench_outcome o = run_wrong_call(wrong);

	ck_assert_int_eq(o.state, BENCH_FAILED);
	ck_assert_msg(strstr(o.error, says) != NULL, "'%s', not '%s'",
	    o.error, says);
}

START_TEST(a_wrong_answer_fails_the_cell)
{
	struct bench_outcome o = run_wrong_call(NOTHING);

	ck_assert_msg(o.state == BENCH_DONE, "%s", o.error);
	ck_assert_double_gt(o.value[0], 0);
	ck_assert_double_gt(o.value[6], 0);
	call_fails(DAMAGES, "not what was sent");
	call_fails(LOSES, "of 1 bytes instead of 0");
	call_fails(DOUBLES, "calls were made and");
}
END_TEST

/* Names of shared memory that a cell could not remove itself. */
static int
leaving_prepare(struct link *l)
{
	char path[80];
	int fd;

	subject_note_memory(l->name);
	snprintf(path, sizeof path, "/dev/shm/%s-left", l->name);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return subject_fail(errno, "%s", path);
	close(fd);
	return subject_fail(EIO, "left %s", path);
}

START_TEST(what_a_cell_noted_is_removed_behind_it)
{
	struct subject s = { .name = "leaving", .kind = SUBJECT_RAW,
	    .prepare = leaving_prepare, .attach = wrong_attach,
	    .send = wrong_send, .recv = wrong_recv };
	struct bench_cell c = cell_of(&bench_rate, &s, 64);
	struct bench_outcome o;
	char *path;

	bench_clock_begin();
	ck_assert_int_eq(bench_cells_begin(), 0);
	bench_cell_run(&c, &o);
	bench_cells_end();
	path = strstr(o.error, "/dev/shm/");
	ck_assert_msg(path != NULL, "%s", o.error);
	*strchr(path, ':') = '\0';
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_cell_that_hangs_or_dies_harms_no_other)
{
	fails(HANGS, &bench_round_trip, BENCH_FAILED, "took too long");
	fails(CRASHES, &bench_round_trip, BENCH_FAILED, "died of signal 9");
	fails(FAILS_LATE, &bench_rate, BENCH_FAILED, "not today");
	fails(CAN_NOT, &bench_rate, BENCH_ABSENT, "no such thing");
}
END_TEST

/* The kernel is asked whether the receiver sleeps. */
START_TEST(who_does_not_sleep_is_not_called_a_sleeper)
{
	struct bench_outcome o = run_wrong(NOTHING, &bench_wake_up);

	ck_assert_msg(o.state == BENCH_DONE, "%s", o.error);
	assert_near(o.value[6], 0);
	ck_assert_double_gt(o.value[5], 0);
}
END_TEST

/* Every limit and every bare call, in whatever it can do. */
START_TEST(all_subjects_carry_what_they_should)
{
	static const struct bench_metric *const metrics[] = {
		&bench_round_trip, &bench_rate, &bench_batch, &bench_set_up,
		&bench_call, &bench_calls };
	const struct subject *s = bench_subjects[_i];
	struct bench_place place[BENCH_PLACES];
	struct bench_outcome o;
	cpu_set_t set;

	bench_clock_begin();
	ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
	ck_assert_int_eq(bench_cells_begin(), 0);
	bench_places("/sys", &set, place);
	if (s->traits & SUBJECT_SPINS && place[0].relation == BENCH_SAME_CPU)
		return;
	for (size_t i = 0; i < COUNT(metrics); i++)
		for (size_t size = 8; size <= 65536; size *= 32) {
			struct bench_cell c = cell_of(metrics[i], s, size);

			c.place = place[0];
			if (metrics[i]->calls != (s->call != NULL) ||
			    !metrics[i]->fits(s, size) ||
			    (!metrics[i]->sized && size != 8))
				continue;
			bench_cell_run(&c, &o);
			ck_assert_msg(o.state == BENCH_DONE, "%s, %s, %zu: %s",
			    s->name, metrics[i]->name, size, o.error);
			ck_assert_double_gt(o.value[0], 0);
		}
	bench_cells_end();
}
END_TEST

/* The pages of the ring are touched before it is measured: fork(2) gives a
 * child no tables of what is shared. */
START_TEST(nothing_is_touched_first_while_it_is_measured)
{
	extern const struct subject limit_stream;
	struct bench_place place[BENCH_PLACES];
	struct bench_outcome o;
	struct bench_cell c;
	cpu_set_t set;

	bench_clock_begin();
	ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
	bench_places("/sys", &set, place);
	if (place[0].relation == BENCH_SAME_CPU)
		return;
	ck_assert_int_eq(bench_cells_begin(), 0);
	c = cell_of(&bench_rate, &limit_stream, 1024);
	c.place = place[0];
	bench_cell_run(&c, &o);
	ck_assert_msg(o.state == BENCH_DONE, "%s", o.error);
	ck_assert_msg(o.faults < 32, "%llu pages", (unsigned long long)
	    o.faults);
	bench_cells_end();
}
END_TEST

/*
 * Results
 */

static const struct subject
    limit = { .name = "limit", .kind = SUBJECT_LIMIT },
    alone = { .name = "alone", .kind = SUBJECT_LIMIT,
	.traits = SUBJECT_ALONE },
    pipe_raw = { .name = "pipe", .kind = SUBJECT_RAW },
    other_raw = { .name = "other", .kind = SUBJECT_RAW },
    ours = { .name = "pipe:", .kind = SUBJECT_OURS, .under = "pipe" },
    good_peer = { .name = "good", .kind = SUBJECT_PEER },
    bad_peer = { .name = "bad", .kind = SUBJECT_PEER };

static void
add(struct bench_results *all, const struct subject *s, unsigned repetition,
    enum bench_distance d, double value)
{
	struct bench_cell c = { .metric = &bench_rate, .subject = s };
	struct bench_outcome o = { .state = BENCH_DONE, .value = { value },
	    .distance = d, .line = { 90, 95 } };

	ck_assert_int_eq(bench_results_add(all, &c, 64, 0, repetition, &o), 0);
}

START_TEST(distances_are_never_mixed)
{
	struct bench_results all = { .options = NULL };
	const struct bench_result *r;

	add(&all, &ours, 0, BENCH_CLOSE, 10);
	add(&all, &ours, 1, BENCH_FAR, 2);
	add(&all, &ours, 2, BENCH_CLOSE, 14);
	add(&all, &ours, 3, BENCH_CHANGED, 1000);
	r = bench_results_find(&all, &bench_rate, &ours, 64, BENCH_CLOSE);
	assert_near(bench_result_range(r, 0).median, 12);
	ck_assert_uint_eq(r->count, 2);
	r = bench_results_find(&all, &bench_rate, &ours, 64, BENCH_FAR);
	assert_near(bench_result_range(r, 0).greatest, 2);
	ck_assert_uint_eq(all.changed, 1);
	ck_assert_ptr_null(bench_results_find(&all, &bench_rate, &ours, 64,
	    BENCH_ONE));
	ck_assert_ptr_null(bench_results_find(&all, &bench_rate, &ours, 8,
	    BENCH_CLOSE));
	bench_results_free(&all);
}
END_TEST

/* The machine was twice as fast in the second repetition, and it cancels out;
 * the ratio of the medians would be 1.5. */
START_TEST(ratios_are_taken_within_a_repetition)
{
	struct bench_results all = { .options = NULL };
	static const double speed[] = { 1, 2, 10 };
	const struct bench_result *r;

	for (unsigned i = 0; i < 3; i++) {
		add(&all, &ours, i, BENCH_CLOSE, 6 * speed[i]);
		add(&all, &limit, i, BENCH_CLOSE, 12 * speed[i]);
		add(&all, &alone, i, BENCH_CLOSE, 999);
		add(&all, &pipe_raw, i, BENCH_CLOSE, 3 * speed[i]);
		add(&all, &other_raw, i, BENCH_CLOSE, 1);
		add(&all, &good_peer, i, BENCH_CLOSE, 4 * speed[i]);
		add(&all, &bad_peer, i, BENCH_CLOSE, 0.1);
		add(&all, &limit, i, BENCH_FAR, 1);
	}
	r = bench_results_find(&all, &bench_rate, &ours, 64, BENCH_CLOSE);
	assert_near(bench_ratio(&all, r, BENCH_TO_LIMIT), 0.5);
	assert_near(bench_ratio(&all, r, BENCH_TO_KERNEL), 2);
	assert_near(bench_ratio(&all, r, BENCH_TO_PEER), 1.5);
	r = bench_results_find(&all, &bench_rate, &limit, 64, BENCH_FAR);
	assert_near(bench_ratio(&all, r, BENCH_TO_PEER), 0);
	bench_results_free(&all);
}
END_TEST

START_TEST(one_failure_is_not_hidden_by_successes)
{
	struct bench_results all = { .options = NULL };
	struct bench_cell c = { .metric = &bench_rate, .subject = &ours };
	struct bench_outcome o = { .state = BENCH_FAILED,
	    .error = "it broke", .distance = BENCH_CLOSE };

	add(&all, &ours, 0, BENCH_CLOSE, 10);
	ck_assert_int_eq(bench_results_add(&all, &c, 64, 0, 1, &o), 0);
	add(&all, &ours, 2, BENCH_CLOSE, 12);
	ck_assert_uint_eq(all.count, 1);
	ck_assert_int_eq(all.result[0].state, BENCH_FAILED);
	ck_assert_str_eq(all.result[0].error, "it broke");
	bench_results_free(&all);
}
END_TEST

START_TEST(numbers_have_three_digits_and_a_unit)
{
	static const struct {
		const struct bench_metric *metric;
		size_t size;
		double value;
		const char *text;
	} all[] = {
		{ &bench_round_trip, 64, 91.24, "91.2 ns" },
		{ &bench_round_trip, 64, 999.7, "1.00 us" },
		{ &bench_round_trip, 64, 8.003e6, "8.00 ms" },
		{ &bench_rate, 64, 1.31e8, "131 M/s" },
		{ &bench_rate, 64, 52.1, "52.1 /s" },
		{ &bench_rate, 65536, 635000, "41.6 GB/s" },
		{ &bench_memory, 0, 15.6, "15.6 KiB" },
		{ &bench_memory, 0, 16379, "16.0 MiB" }
	};
	char text[32];

	for (size_t i = 0; i < COUNT(all); i++) {
		bench_format(all[i].metric, all[i].size, all[i].value, text,
		    sizeof text);
		ck_assert_str_eq(text, all[i].text);
	}
	bench_format_size(1024, text, sizeof text);
	ck_assert_str_eq(text, "1 KiB");
	bench_format_size(1 << 20, text, sizeof text);
	ck_assert_str_eq(text, "1 MiB");
	bench_format_size(1000, text, sizeof text);
	ck_assert_str_eq(text, "1000 B");
}
END_TEST

static Suite *
bench_suite(void)
{
	Suite *s = suite_create("bench");
	TCase *tc = program_tcase(s, "arithmetic");
	int subjects = 0;

	while (bench_subjects[subjects])
		subjects++;
	tcase_add_test(tc, percentiles_are_samples_by_nearest_rank);
	tcase_add_test(tc, medians_and_ranges_of_repetitions);
	tcase_add_test(tc, means_of_blocks_are_finer_than_the_clock);
	tcase_add_test(tc, a_stall_hides_no_questions);
	tcase_add_test(tc, summaries_take_the_clock_itself_away);
	tcase_add_test(tc, ticks_go_with_the_clock);
	tcase_add_test(tc, processors_are_related_as_the_kernel_says);
	tcase_add_test(tc, distance_is_what_was_measured);
	tcase_add_test(tc, distances_are_never_mixed);
	tcase_add_test(tc, ratios_are_taken_within_a_repetition);
	tcase_add_test(tc, one_failure_is_not_hidden_by_successes);
	tcase_add_test(tc, numbers_have_three_digits_and_a_unit);
	tc = program_tcase(s, "messages");
	tcase_add_loop_test(tc, every_damage_is_seen, 0, COUNT(sizes));
	tcase_add_test(tc, small_messages_are_ready_before_they_are_sent);
	tcase_add_test(tc, large_messages_are_never_the_same);
	tc = program_tcase(s, "cells");
	tcase_add_test(tc, a_cell_that_is_right_is_measured);
	tcase_add_test(tc, a_wrong_message_fails_the_cell);
	tcase_add_test(tc, a_wrong_answer_fails_the_cell);
	tcase_add_test(tc, what_a_cell_noted_is_removed_behind_it);
	tcase_add_test(tc, a_cell_that_hangs_or_dies_harms_no_other);
	tcase_add_test(tc, who_does_not_sleep_is_not_called_a_sleeper);
	tcase_add_loop_test(tc, all_subjects_carry_what_they_should, 0,
	    subjects);
	tcase_add_test(tc, nothing_is_touched_first_while_it_is_measured);
	return s;
}

int
main(void)
{
	return program_run_all(bench_suite());
}
