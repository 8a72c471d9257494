/* SPDX-License-Identifier: ISC */
/*
 * What the library adds to a lock: each of its mutexes and semaphores beside
 * the bare calls of the C library or the kernel, in one run.
 *
 *	bench-locks [-r ROUNDS] [-t MICROSECONDS] [CELL ...]
 *
 * A cell is one comparison.  In each round both sides have a short turn, the
 * bare one first and last, so whoever else runs on our processors meets both.
 * Told are the times of each, which are the least or, of two processes, the
 * median ones; their ratio; and the median and the quartiles of the ratios of
 * the rounds.
 *
 * A cell that ends in -2 has two processes at it, on a processor each, and
 * measures how long a turn takes on the whole; the others have one process that
 * is alone, with a second thread that does nothing, as a C library may leave
 * out what one thread does not need.  A cell that ends in -2 is only worth
 * something where both processors are free, or as `chrt -f 1 bench-locks'.
 */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define ROUNDS_MAX	10000

/* What two processes share. */
struct shared {
	pthread_mutex_t	robust;
	_Alignas(64) _Atomic int go, ready, done;
	_Alignas(64) volatile unsigned long inside;
};

struct side {
	const char	*name;
	void		(*turns)(unsigned long count);
};

struct cell {
	const char	*name;
	struct side	 bare, ours;
	int		 processes;
};

static struct shared *shared;
static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_mutex *mutex;
static struct ipc_sem *posix, *sysv, *own;
static sem_t *bare_sem;
static int bare_set;
static unsigned rounds = 200;
static double span = 500;		/* us */

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		warn("sched_setaffinity");
}

static void
must(int rc, const char *what)
{
	if (rc < 0)
		errx(1, "%s: %s", what, ipc_errmsg());
}

/*
 * The turns
 */

static void
plain_turns(unsigned long count)
{
	while (count-- > 0) {
		pthread_mutex_lock(&plain);
		shared->inside++;
		pthread_mutex_unlock(&plain);
	}
}

static void
robust_turns(unsigned long count)
{
	while (count-- > 0) {
		pthread_mutex_lock(&shared->robust);
		shared->inside++;
		pthread_mutex_unlock(&shared->robust);
	}
}

static void
mutex_turns(unsigned long count)
{
	while (count-- > 0) {
		ipc_mutex_lock(mutex, -1);
		shared->inside++;
		ipc_mutex_unlock(mutex);
	}
}

static void
bare_sem_turns(unsigned long count)
{
	while (count-- > 0) {
		sem_wait(bare_sem);
		shared->inside++;
		sem_post(bare_sem);
	}
}

static void
sem_turns(struct ipc_sem *s, unsigned long count)
{
	while (count-- > 0) {
		ipc_sem_wait(s, -1);
		shared->inside++;
		ipc_sem_post(s);
	}
}

static void
posix_turns(unsigned long count)
{
	sem_turns(posix, count);
}

static void
own_turns(unsigned long count)
{
	sem_turns(own, count);
}

static void
sysv_turns(unsigned long count)
{
	sem_turns(sysv, count);
}

static void
bare_set_turns(unsigned long count)
{
	struct sembuf take = { .sem_op = -1 }, give = { .sem_op = 1 };

	while (count-- > 0) {
		semop(bare_set, &take, 1);
		shared->inside++;
		semop(bare_set, &give, 1);
	}
}

static const struct cell cells[] = {
	{ "mutex", { "pthread_mutex", plain_turns },
	    { "mutex:", mutex_turns }, 1 },
	{ "mutex-robust", { "robust mutex", robust_turns },
	    { "mutex:", mutex_turns }, 1 },
	{ "mutex-2", { "robust mutex", robust_turns },
	    { "mutex:", mutex_turns }, 2 },
	{ "posixsem", { "sem_t", bare_sem_turns },
	    { "posixsem:", posix_turns }, 1 },
	{ "posixsem-2", { "sem_t", bare_sem_turns },
	    { "posixsem:", posix_turns }, 2 },
	{ "sysvsem", { "semop", bare_set_turns },
	    { "sysvsem:", sysv_turns }, 1 },
	{ "sysvsem-2", { "semop", bare_set_turns },
	    { "sysvsem:", sysv_turns }, 2 },
	{ "sem", { "sem_t", bare_sem_turns }, { "sem:", own_turns }, 1 },
	{ "sem-2", { "sem_t", bare_sem_turns }, { "sem:", own_turns }, 2 }
};

/*
 * What is locked
 */

static void
bare_make(void)
{
	union { int val; } one = { .val = 1 };
	pthread_mutexattr_t attr;
	char name[64];

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&shared->robust, &attr);
	snprintf(name, sizeof name, "/bench-locks-bare-%d", (int)getpid());
	bare_sem = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	if (bare_sem == SEM_FAILED)
		err(1, "sem_open");
	sem_unlink(name);
	bare_set = semget(IPC_PRIVATE, 1, 0600);
	if (bare_set == -1 || semctl(bare_set, 0, SETVAL, one) == -1)
		err(1, "semget");
}

static struct ipc_sem *
sem_make(const char *form)
{
	struct ipc_sem *s = NULL;
	char address[96];

	snprintf(address, sizeof address, form, (int)getpid());
	must(ipc_sem_open(&s, address, IPC_CREATE, 1), address);
	if (strncmp(address, "sysv", 4) != 0)
		must(ipc_sem_unlink(address), address);
	return s;
}

/* As a child sees it: a handle of one's own. */
static void
ours_open(void)
{
	char address[64];

	snprintf(address, sizeof address, "mutex:bench-locks-%d",
	    (int)getppid());
	must(ipc_mutex_open(&mutex, address, 0), address);
}

static void
ours_make(void)
{
	char address[64];

	snprintf(address, sizeof address, "mutex:bench-locks-%d",
	    (int)getpid());
	must(ipc_mutex_open(&mutex, address, IPC_CREATE), address);
	posix = sem_make("posixsem:/bench-locks-%d");
	sysv = sem_make("sysvsem:bench-locks-%d");
	own = sem_make("sem:bench-locks-%d");
}

static void
unmake(void)
{
	char address[64];

	semctl(bare_set, 0, IPC_RMID);
	snprintf(address, sizeof address, "mutex:bench-locks-%d",
	    (int)getpid());
	ipc_mutex_unlink(address);
	snprintf(address, sizeof address, "sysvsem:bench-locks-%d",
	    (int)getpid());
	ipc_sem_unlink(address);
}

/*
 * Measuring
 */

/* The other process of two: it takes part whenever it is told to. */
static void
partner(const struct cell *c)
{
	const struct side *side;
	int seen = 0, go;

	pin(1);
	ours_open();
	shared->ready = 1;
	for (;;) {
		while ((go = shared->go) == seen)
			;
		seen = go;
		if (go < 0)
			_exit(0);
		side = go & 1 ? &c->bare : &c->ours;
		while (!(shared->done & 1))
			side->turns(50);
		shared->done |= 2;
	}
}

/* ns for each turn: alone, or of the two together in the time that `count' of
 * them take us. */
static double
turn(const struct cell *c, const struct side *side, unsigned long count)
{
	static int go;
	unsigned long before;
	double begin, took;

	if (c->processes == 1) {
		begin = now();
		side->turns(count);
		return (now() - begin) / (double)count;
	}
	shared->done = 0;
	go += 2;
	shared->go = go | (side == &c->bare);
	begin = now();
	while (now() - begin < 20000)	/* until it is there */
		;
	before = shared->inside;
	begin = now();
	while (now() - begin < span * 1000)
		side->turns(50);
	took = (now() - begin) / (double)(shared->inside - before);
	shared->done |= 1;
	while (!(shared->done & 2))
		;
	return took;
}

static unsigned long
count_for(const struct cell *c)
{
	unsigned long n = 1000;
	double ns = turn(c, &c->bare, n);

	return (unsigned long)(span * 1000 / ns) + 1;
}

static int
later(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Alone, whoever else runs makes it longer: the least counts.  Of two, those
 * rounds are the quickest in which one of them was not there. */
static void
tell(const struct cell *c, double times[3][ROUNDS_MAX])
{
	unsigned at = c->processes == 1 ? 0 : rounds / 2;

	for (int i = 0; i < 3; i++)
		qsort(times[i], rounds, sizeof times[i][0], later);
	printf("%-13s %-13s %8.1f ns  %-9s %8.1f ns  %5.2f   rounds %.2f "
	    "(%.2f to %.2f)\n", c->name, c->bare.name, times[0][at],
	    c->ours.name, times[1][at], times[1][at] / times[0][at],
	    times[2][rounds / 2], times[2][rounds / 4],
	    times[2][rounds * 3 / 4]);
	fflush(stdout);
}

static void
compare(const struct cell *c)
{
	static double times[3][ROUNDS_MAX];
	unsigned long n = c->processes == 1 ? count_for(c) : 0;

	for (unsigned i = 0; i < rounds; i++) {
		times[0][i] = turn(c, &c->bare, n);
		times[1][i] = turn(c, &c->ours, n);
		times[0][i] = (times[0][i] + turn(c, &c->bare, n)) / 2;
		times[2][i] = times[1][i] / times[0][i];
	}
	tell(c, times);
}

static void
measure(const struct cell *c)
{
	pid_t child = 0;

	if (c->processes == 2) {
		shared->go = shared->ready = 0;
		child = fork();
		if (child == -1)
			err(1, "fork");
		if (child == 0)
			partner(c);
		while (!shared->ready && waitpid(child, NULL, WNOHANG) == 0)
			usleep(1000);
	}
	compare(c);
	if (child != 0) {
		shared->go = -1;
		waitpid(child, NULL, 0);
	}
}

static void *
idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static bool
wanted(const char *name, char **names)
{
	if (*names == NULL)
		return true;
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

int
main(int argc, char *argv[])
{
	pthread_t thread;
	int c;

	while ((c = getopt(argc, argv, "r:t:")) != -1) {
		switch (c) {
		case 'r':
			rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			span = strtod(optarg, NULL);
			break;
		default:
			fprintf(stderr, "usage: bench-locks [-r rounds] "
			    "[-t microseconds] [cell ...]\n");
			return 2;
		}
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		errx(2, "-r: 1 to %d", ROUNDS_MAX);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	if (pthread_create(&thread, NULL, idle, NULL) != 0)
		errx(1, "pthread_create");
	pin(0);
	bare_make();
	ours_make();
	for (unsigned i = 0; i < sizeof cells / sizeof cells[0]; i++)
		if (wanted(cells[i].name, argv + optind))
			measure(&cells[i]);
	unmake();
	return 0;
}
