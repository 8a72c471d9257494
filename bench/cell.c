/* SPDX-License-Identifier: ISC */
/*
 * A cell runs: two processes are made, meet, do what the metric says, and are
 * gone.
 */
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cell.h"

#define LINE_MS		2.0	/* spent on one measurement of the distance */
#define LINE_TRIPS	100	/* in a round of it, the best of which counts */
#define LINE_ROUNDS	20	/* at least */
#define LINE_MOST_MS	300.0	/* where others keep the two sides apart */
#define PER_LINK	50	/* ms of patience */
#define MANY_LINKS	32	/* want more descriptors than is usual */
#define MEMORY		"/dev/shm"	/* where names of shared memory are */
#define SPINS		2000	/* looks before the processor is given away */

unsigned bench_patience = 10000;

static struct bench_shared *shared;
static unsigned cells;		/* so far, for names */

/* What subject_fail() noted. */
static _Thread_local char noted[BENCH_TEXT];

/*
 * What subjects use
 */

int
subject_fail(int code, const char *format, ...)
{
	va_list args;
	size_t n;

	va_start(args, format);
	vsnprintf(noted, sizeof noted, format, args);
	va_end(args);
	n = strlen(noted);
	if (code)
		snprintf(noted + n, sizeof noted - n, ": %s", strerror(code));
	return -code;
}

void *
subject_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED |
	    MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void
subject_path(const struct link *l, const char *word, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s/%s.%u", l->directory, word, l->number);
}

void
subject_note_queue(int id)
{
	if (shared->queues < BENCH_NOTES)
		shared->queue[shared->queues++] = id;
}

void
subject_note_segment(int id)
{
	if (shared->segments < BENCH_NOTES)
		shared->segment[shared->segments++] = id;
}

void
subject_note_memory(const char *prefix)
{
	snprintf(shared->memory_name, sizeof shared->memory_name, "%s",
	    prefix);
}

/*
 * The two sides meet
 */

/* Spins a while, then lets others run: the other side may be on this very
 * processor. */
static void
pause_a_bit(unsigned *spins)
{
	if (++*spins < SPINS)
		subject_relax();
	else
		sched_yield();
}

void
bench_meet(struct bench_run *r)
{
	_Atomic uint32_t *arrived = r->shared->arrived;
	uint32_t n = atomic_load_explicit(&arrived[r->side],
	    memory_order_relaxed) + 1;
	unsigned spins = r->cell->place.relation == BENCH_SAME_CPU ? SPINS : 0;

	/* Everything before it is seen behind the other's wait. */
	atomic_store_explicit(&arrived[r->side], n, memory_order_release);
	while ((int32_t)(atomic_load_explicit(&arrived[!r->side],
	    memory_order_acquire) - n) < 0)
		pause_a_bit(&spins);
}

void
bench_use(const struct bench_run *r, struct bench_use *use)
{
	bool threads = r->subject->traits & SUBJECT_THREADS;
	struct rusage usage;

	/* Of two threads the process's clock knows both. */
	use->cpu = threads && r->side == 1 ? 0 :
	    bench_nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	getrusage(threads ? RUSAGE_THREAD : RUSAGE_SELF, &usage);
	use->faults = (uint64_t)(usage.ru_minflt + usage.ru_majflt);
	use->preempted = (uint64_t)usage.ru_nivcsw;
}

/* Side 1 of the line: it answers until it is told that this is all. */
static void
answer_line(struct bench_shared *s)
{
	uint64_t seen = 0, now;
	unsigned spins = 0;

	do {
		/* Pairs with the stores below; nothing else is passed on. */
		now = atomic_load_explicit(&s->ping, memory_order_acquire);
		if (now == seen) {
			pause_a_bit(&spins);
			continue;
		}
		spins = 0;
		seen = now;
		atomic_store_explicit(&s->pong, seen, memory_order_release);
	} while (seen != UINT64_MAX);
}

static void
bounce(struct bench_shared *s, uint64_t what)
{
	unsigned spins = 0;

	atomic_store_explicit(&s->ping, what, memory_order_release);
	while (atomic_load_explicit(&s->pong, memory_order_acquire) != what)
		pause_a_bit(&spins);
}

/* ns of one cache line to and fro, now. */
static double
measure_line(struct bench_shared *s)
{
	uint64_t begin = bench_ticks(), from = begin, t = begin;
	uint64_t most = bench_from_ms(BENCH_LOST / 1e6 * LINE_TRIPS);
	uint64_t best = UINT64_MAX, n = 0;

	while ((t - begin < bench_from_ms(LINE_MS) || best > most ||
	    n < LINE_ROUNDS * LINE_TRIPS) &&
	    t - begin < bench_from_ms(LINE_MOST_MS)) {
		for (int i = 0; i < LINE_TRIPS; i++)
			bounce(s, ++n);
		t = bench_ticks();
		if (t - from < best)
			best = t - from;
		from = t;
	}
	bounce(s, UINT64_MAX);
	return (double)best * bench_clock.ns / LINE_TRIPS;
}

/* How far apart are they?  Which: 0 before, 1 behind. */
static void
look_at_line(struct bench_run *r, int which)
{
	struct bench_shared *s = r->shared;

	if (r->cell->place.relation == BENCH_SAME_CPU ||
	    r->subject->traits & SUBJECT_ALONE)
		return;
	if (r->side == 0) {
		atomic_store_explicit(&s->ping, 0, memory_order_relaxed);
		atomic_store_explicit(&s->pong, 0, memory_order_relaxed);
	}
	bench_meet(r);
	if (r->side == 0)
		s->outcome.line[which] = measure_line(s);
	else
		answer_line(s);
	bench_meet(r);
}

/*
 * One side
 */

/* Whoever fails says why, ends, and takes the other side with it. */
static _Noreturn void
give_up(struct bench_run *r, int rc)
{
	struct bench_outcome *o = &r->shared->outcome;

	o->state = BENCH_FAILED;
	if (*noted)
		snprintf(o->error, sizeof o->error, "%s", noted);
	else
		snprintf(o->error, sizeof o->error, "%s", strerror(-rc));
	if (r->side == 1 && !(r->subject->traits & SUBJECT_THREADS))
		kill(r->shared->pid[0], SIGKILL);
	_exit(1);
}

static void
attach_all(struct bench_run *r)
{
	int rc;

	for (unsigned i = 0; i < r->cell->links; i++) {
		rc = r->subject->attach(&r->link[i], r->side, &r->end[i]);
		if (rc < 0)
			give_up(r, rc);
	}
}

static void
run_side(struct bench_run *r)
{
	int rc;

	bench_meet(r);
	look_at_line(r, 0);
	bench_meet(r);
	r->began = bench_ticks();
	attach_all(r);
	rc = r->cell->metric->run[r->side](r);
	if (rc < 0)
		give_up(r, rc);
	bench_meet(r);
	look_at_line(r, 1);
	for (unsigned i = 0; r->subject->detach && i < r->cell->links; i++)
		r->subject->detach(r->end[i]);
}

/* Side 1, in a process or a thread of its own. */
static void *
other_side(void *argument)
{
	struct bench_run *r = argument;
	int rc;

	*noted = '\0';
	rc = bench_pin(r->cell->place.cpu[1]);
	if (rc < 0)
		give_up(r, subject_fail(-rc, "processor %d",
		    r->cell->place.cpu[1]));
	run_side(r);
	return NULL;
}

static int
both_threads(struct bench_run *a, struct bench_run *b)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, other_side, b);

	if (rc != 0)
		return subject_fail(rc, "pthread_create");
	run_side(a);
	pthread_join(thread, NULL);
	return 0;
}

static int
both_processes(struct bench_run *a, struct bench_run *b)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		return subject_fail(errno, "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		b->shared->pid[1] = getpid();
		other_side(b);
		_exit(0);
	}
	run_side(a);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Only one end, which only sends. */
static int
alone(struct bench_run *r)
{
	int rc;

	r->began = bench_ticks();
	attach_all(r);
	rc = r->cell->metric->run[0](r);
	if (rc < 0)
		give_up(r, rc);
	if (r->subject->detach)
		r->subject->detach(r->end[0]);
	return 0;
}

/* As many as the administrator lets this process have. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
make_links(struct bench_run *r)
{
	const struct bench_cell *c = r->cell;
	uint64_t from;
	int rc;

	if (c->links > MANY_LINKS)
		raise_descriptors();
	r->link = calloc(c->links, sizeof *r->link);
	r->end = calloc(c->links, 2 * sizeof *r->end);	/* of both sides */
	if (!r->link || !r->end || payload_new(&r->payload, c->size) < 0)
		return subject_fail(ENOMEM, "%u links", c->links);
	from = bench_ticks();
	for (unsigned i = 0; i < c->links; i++) {
		struct link *l = &r->link[i];

		l->subject = c->subject;
		l->size = c->size;
		l->number = i;
		l->directory = c->directory;
		snprintf(l->name, sizeof l->name, "ipc-bench-%d-%u-%u",
		    (int)getpid(), cells, i);
		rc = c->subject->prepare ? c->subject->prepare(l) : 0;
		if (rc < 0)
			return rc;
	}
	r->prepared = bench_ticks() - from;
	return 0;
}

/* Side 0's process, all its life. */
static int
live(const struct bench_cell *c)
{
	struct bench_run a = { .cell = c, .subject = c->subject,
	    .shared = shared }, b;
	int rc;

	rc = bench_pin(c->place.cpu[0]);
	if (rc < 0)
		return subject_fail(-rc, "processor %d", c->place.cpu[0]);
	rc = make_links(&a);
	if (rc < 0)
		goto out;
	b = a;
	b.side = 1;
	b.end = a.end + c->links;
	shared->outcome.state = BENCH_FAILED;
	/* From here on a failure is one, and no lack of this machine. */
	if (c->subject->traits & SUBJECT_ALONE)
		rc = alone(&a);
	else if (c->subject->traits & SUBJECT_THREADS)
		rc = both_threads(&a, &b);
	else
		rc = both_processes(&a, &b);
	if (rc == 0)
		shared->outcome.state = BENCH_DONE;
	for (unsigned i = 0; c->subject->clean && i < c->links; i++)
		c->subject->clean(&a.link[i]);
out:
	free(a.end);
	free(a.link);
	return rc;
}

/*
 * The process that asked
 */

int
bench_cells_begin(void)
{
	shared = subject_shared(sizeof *shared);
	return shared ? 0 : subject_fail(errno, "mmap");
}

void
bench_cells_end(void)
{
	munmap(shared, sizeof *shared);
	shared = NULL;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Files, and directories with all that is in them. */
static void
remove_memory(const char *prefix)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir = opendir(MEMORY);

	while (dir && (d = readdir(dir)))
		if (strncmp(d->d_name, prefix, strlen(prefix)) == 0) {
			snprintf(path, sizeof path, "%s/%s", MEMORY,
			    d->d_name);
			nftw(path, remove_one, 4, FTW_DEPTH | FTW_PHYS);
		}
	if (dir)
		closedir(dir);
}

static void
remove_notes(void)
{
	if (*shared->memory_name)
		remove_memory(shared->memory_name);
	for (unsigned i = 0; i < shared->queues && i < BENCH_NOTES; i++)
		msgctl(shared->queue[i], IPC_RMID, NULL);
	for (unsigned i = 0; i < shared->segments && i < BENCH_NOTES; i++)
		shmctl(shared->segment[i], IPC_RMID, NULL);
}

/* Nobody has the writing end of this pipe any more: all of the cell's processes
 * are gone.  False: they take too long. */
static bool
await_end(int fd, int timeout)
{
	struct pollfd pfd = { .fd = fd };
	int n;

	do
		n = poll(&pfd, 1, timeout);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Waits for the cell's end, or puts one to it. */
static void
see_off(pid_t pid, int fd, const struct bench_cell *c)
{
	struct bench_outcome *o = &shared->outcome;
	int status;

	if (!await_end(fd, (int)(bench_patience + c->span * 20 +
	    c->links * PER_LINK))) {
		o->state = BENCH_FAILED;
		snprintf(o->error, sizeof o->error, "it took too long");
		kill(pid, SIGKILL);	/* side 1 hears of it and dies too */
		await_end(fd, (int)bench_patience);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && !*o->error) {
		o->state = BENCH_FAILED;
		snprintf(o->error, sizeof o->error, "it died of signal %d",
		    WTERMSIG(status));
	}
}

static void
start(const struct bench_cell *c)
{
	struct bench_outcome *o = &shared->outcome;
	int fds[2], rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		snprintf(o->error, sizeof o->error, "pipe2: %s",
		    strerror(errno));
		return;
	}
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		shared->pid[0] = getpid();
		*noted = '\0';
		o->state = BENCH_ABSENT;
		rc = live(c);
		if (rc < 0)
			snprintf(o->error, sizeof o->error, "%s", *noted ?
			    noted : strerror(-rc));
		_exit(0);
	}
	close(fds[1]);
	if (pid > 0)
		see_off(pid, fds[0], c);
	else
		snprintf(o->error, sizeof o->error, "fork: %s",
		    strerror(errno));
	close(fds[0]);
}

void
bench_cell_run(const struct bench_cell *c, struct bench_outcome *outcome)
{
	struct bench_outcome *o = &shared->outcome;

	memset(shared, 0, sizeof *shared);
	cells++;
	start(c);
	remove_notes();
	o->distance = bench_distance(c->place.relation, o->line[0],
	    o->line[1]);
	*outcome = *o;
}
