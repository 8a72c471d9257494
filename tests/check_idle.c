/* SPDX-License-Identifier: ISC */
/*
 * What a session costs that nothing goes through: no system call, no CPU, and
 * for one over rings 16 KiB of memory, both sides together; under load that
 * grows.  And two ends on one CPU give it to each other instead of spinning.
 *
 * A process that made system calls would have slept more than once, or used
 * its CPU: the kernel counts both.  With IPC_TEST_TELL=1 the figures are told.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sched.h>

#include "support.h"

#define SESSIONS	64
#define FEW		4	/* that any machine has queues for */
#define IDLE		500	/* ms */
#define CPU_MOST	10.0	/* ms in all that time: one poll of them all */
#define SLEEPS_MOST	5
#define TOUCHED_MOST	(16 * KIB)
#define TRIPS		2000

static bool
tells(void)
{
	return getenv("IPC_TEST_TELL") != NULL;
}

/* What this process has used. */
struct used {
	double	cpu;		/* ms */
	long	sleeps;		/* and other changes to another process */
};

static struct used
used_until_now(int who)
{
	struct rusage ru;
	struct used u;

	expect_sys(getrusage(who, &ru));
	u.cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e3 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e3;
	u.sleeps = ru.ru_nvcsw;
	return u;
}

/*
 * Many sessions
 */

static void
round_trip(struct ipc_channel *ch)
{
	char c = 'x';

	expect(0, ipc_send(ch, &c, 1, SOON));
	expect(1, ipc_recv(ch, &c, 1, SOON));
}

/* Waits on all of them while nothing happens: nothing in this thread, as the
 * run time of a sanitizer has another one. */
static void
wait_idle(struct ipc_channel *const *ch, int n, const char *who)
{
	struct ipc_pollitem items[SESSIONS] = { { .fd = -1 } };
	struct used before, after;

	for (int i = 0; i < n; i++)
		items[i] = (struct ipc_pollitem){ .channel = ch[i], .fd = -1,
		    .events = POLLIN };
	/* What is left of setting up comes first. */
	expect(0, ipc_poll(items, (size_t)n, IDLE / 5));
	before = used_until_now(RUSAGE_THREAD);
	expect(0, ipc_poll(items, (size_t)n, IDLE));
	after = used_until_now(RUSAGE_THREAD);
	if (tells())
		fprintf(stderr, "%s: %d idle sessions, the %s: %.2f ms, %ld "
		    "sleeps in %d ms\n", where(), n, who,
		    after.cpu - before.cpu, after.sleeps - before.sleeps,
		    IDLE);
	expect_true(after.sleeps - before.sleeps <= SLEEPS_MOST);
	expect_true(after.cpu - before.cpu <= CPU_MOST);
}

/* The limits of queues may allow fewer. */
static int
connect_many(struct ipc_channel **ch, const char *name)
{
	int n, rc;

	for (n = 0; n < SESSIONS; n++) {
		if ((rc = ipc_connect(&ch[n], name, 0, SOON)) < 0)
			break;
		round_trip(ch[n]);
	}
	if (n < SESSIONS && (n < FEW || strstr(where(), "mq") == NULL))
		fail_with("%s: session %d: %s (%d)", where(), n,
		    ipc_errmsg(), rc);
	return n;
}

/* One that cannot be made ends the row: its accept fails, too, or is not
 * asked for. */
static _Noreturn void
serve_many(struct ipc_listener *l, struct gate *all, struct gate *ended)
{
	struct ipc_channel *ch[SESSIONS];
	int n;
	char c;

	for (n = 0; n < SESSIONS; n++) {
		if (ipc_accept(&ch[n], l, 2 * SOON) < 0)
			break;
		if (ipc_recv(ch[n], &c, 1, SOON) != 1) {
			expect(0, ipc_close(ch[n]));
			break;
		}
		expect(0, ipc_send(ch[n], &c, 1, SOON));
	}
	gate_wait(all);
	wait_idle(ch, n, "server");
	gate_wait(ended);
	while (n > 0)
		expect(0, ipc_close(ch[--n]));
	expect(0, ipc_listener_close(l));
	_exit(0);
}

START_TEST(many_idle_sessions_use_nothing)
{
	struct ipc_channel *ch[SESSIONS];
	struct gate all, ended;
	struct ipc_listener *l;
	char name[8192];
	pid_t pid;
	int n;

	begin(_i);
	listen_here(&l, name, sizeof name, "", 0);
	gate_make(&all);
	gate_make(&ended);
	pid = fork();
	expect_sys(pid);
	if (pid == 0)
		serve_many(l, &all, &ended);
	n = connect_many(ch, name);
	expect(0, ipc_listener_close(l));
	gate_open(&all);
	wait_idle(ch, n, "client");
	gate_open(&ended);
	peer_done(pid);
	while (n > 0)
		expect(0, ipc_close(ch[--n]));
	gate_free(&all);
	gate_free(&ended);
}
END_TEST

/*
 * Memory
 */

#define PAGES_MOST	16384

struct page {
	unsigned long	 inode, at;	/* the file, and the page of it */
};
static struct page pages[PAGES_MOST];
static size_t page_count;

static void
note_page(unsigned long inode, unsigned long at)
{
	for (size_t i = 0; i < page_count; i++)
		if (pages[i].inode == inode && pages[i].at == at)
			return;
	expect_true(page_count < PAGES_MOST);
	pages[page_count++] = (struct page){ inode, at };
}

/* The pages of one shared mapping that are in memory, whoever touched them. */
static void
note_mapping(unsigned long from, unsigned long to, unsigned long offset,
    unsigned long inode)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	size_t n = (to - from) / page;
	unsigned char *in = need(n);

	if (mincore((void *)from, to - from, in) == 0)
		for (size_t i = 0; i < n; i++)
			if (in[i] & 1)
				note_page(inode, offset / page + i);
	free(in);
}

/* Bytes of shared memory of this process that exist, each once. */
static size_t
touched(void)
{
	unsigned long from, to, offset, inode;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	page_count = 0;
	expect_true(f != NULL);
	while (fgets(line, sizeof line, f) != NULL)
		if (strstr(line, " rw-s ") != NULL &&
		    strstr(line, "/dev/zero") == NULL &&
		    sscanf(line, "%lx-%lx rw-s %lx %*s %lu", &from, &to,
		    &offset, &inode) == 4)
			note_mapping(from, to, offset, inode);
	fclose(f);
	return page_count * (size_t)sysconf(_SC_PAGESIZE);
}

/* Its ends together, as both are ours; what was there before is another's. */
START_TEST(an_idle_ring_has_touched_little_and_grows)
{
	static char data[64 * KIB];
	struct ipc_channel *ch[2];
	size_t before, idle;
	struct job j;

	begin(_i);
	before = touched();
	ends_of(_i, ch, "", 0);
	j = (struct job){ .ch = ch[1], .buffer = data, .size = 1,
	    .timeout = SOON };
	job_start(&j, job_recv);
	expect(0, ipc_send(ch[0], "x", 1, SOON));
	expect(1, job_end(&j));
	expect(0, ipc_send(ch[1], "x", 1, SOON));
	expect(1, ipc_recv(ch[0], data, 1, SOON));
	idle = touched() - before;
	if (tells())
		fprintf(stderr, "%s: %zu bytes touched\n", where(), idle);
	expect_true(idle > 0 && idle <= TOUCHED_MOST);
	fill_up(ch[0], sizeof data);
	expect_true(touched() - before >= 2 * sizeof data);
	close_ends(ch);
}
END_TEST

/*
 * One CPU
 */

static void
pin(void)
{
	cpu_set_t set, one;
	int cpu = 0;

	expect_sys(sched_getaffinity(0, sizeof set, &set));
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	expect_sys(sched_setaffinity(0, sizeof one, &one));
}

static void
answer_trips(struct ipc_channel *ch, void *unused)
{
	char c;

	(void)unused;
	while (ipc_recv(ch, &c, 1, SOON) == 1)
		expect(0, ipc_send(ch, &c, 1, SOON));
	expect(0, ipc_close(ch));
}

/* What a round trip over two pipes costs this side, in us. */
static double
cost_of_pipe(void)
{
	int to[2], fro[2];
	double began;
	char c = 'x';
	pid_t pid;

	expect_sys(pipe(to));
	expect_sys(pipe(fro));
	pid = fork();
	expect_sys(pid);
	if (pid == 0) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1)
			expect_sys(write(fro[1], &c, 1));
		_exit(0);
	}
	began = cpu_ms();
	for (int i = 0; i < TRIPS; i++) {
		expect_sys(write(to[1], &c, 1));
		expect(1, read(fro[0], &c, 1));
	}
	began = cpu_ms() - began;
	close(to[1]);
	peer_done(pid);
	close(to[0]);
	close(fro[0]);
	close(fro[1]);
	return began * 1e3 / TRIPS;
}

/* This side gives its CPU away about once in each round trip: whoever spins
 * does it not at all, whoever yields in vain more often. */
static void
take_turns(int i, const char *when)
{
	struct rusage before, after;
	struct ipc_channel *ch;
	double pipes, cost;
	long changes;
	pid_t pid;

	pipes = cost_of_pipe();
	ch = with_peer(i, "", 0, answer_trips, NULL, &pid);
	round_trip(ch);
	expect_sys(getrusage(RUSAGE_SELF, &before));
	cost = cpu_ms();
	for (int n = 0; n < TRIPS; n++)
		round_trip(ch);
	cost = (cpu_ms() - cost) * 1e3 / TRIPS;
	expect_sys(getrusage(RUSAGE_SELF, &after));
	expect(0, ipc_close(ch));
	peer_done(pid);
	changes = after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw -
	    before.ru_nivcsw;
	if (tells())
		fprintf(stderr, "%s: on one CPU%s a round trip costs a side "
		    "%.2f us, over pipes %.2f: %.2f times; %.2f changes\n",
		    where(), when, cost, pipes, cost / pipes,
		    (double)changes / TRIPS);
	expect_true(changes >= TRIPS / 2);
	expect_true(changes <= 4 * TRIPS);
}

START_TEST(two_ends_on_one_cpu_take_turns)
{
	pin();
	take_turns(_i, "");
}
END_TEST

/* The library has seen several. */
START_TEST(two_ends_that_come_to_one_cpu_take_turns)
{
	struct ipc_channel *ch[2];

	ends_of(_i, ch, "", 0);
	carry(ch[0], ch[1], 10);
	close_ends(ch);
	pin();
	take_turns(_i, ", pinned late,");
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("idle");
	tc = tcase_open("idle", 60);
	for_each_case(tc, many_idle_sessions_use_nothing, SESSION, FORKS);
	for_each_case_but(tc, many_idle_sessions_use_nothing, SESSION, 0,
	    IPC_CAP_END);
	for_each_case(tc, an_idle_ring_has_touched_little_and_grows, TALKS,
	    FORKS | IPC_CAP_INPLACE);
	for_each_case(tc, two_ends_on_one_cpu_take_turns, PAIR, FORKS);
	for_each_case(tc, two_ends_that_come_to_one_cpu_take_turns, PAIR,
	    FORKS | IPC_CAP_INPLACE);
	return suite_close();
}
