/* SPDX-License-Identifier: ISC */
/*
 * Programs and cases: which test runs for which mechanism in which way, the
 * fixture around each test, and the last test of each program.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include <ipc/names.h>

#include "suite.h"
#include "support.h"

#define LINES_MAX	64
#define CASES_MAX	256	/* rows times ways */

/* A test that was asked for in for_each_case. */
struct line {
	const TTest	*test;
	unsigned	 ways, caps, without;
};

struct test_case here;

static Suite *suite;
static struct line lines[LINES_MAX];
static int line_count;
static unsigned char (*ran)[CASES_MAX];	/* shared with the tests' processes */
static char directory[64];
static int queues_lock = -1;
static char *before;			/* what was there before the test */
static bool death;			/* somebody was killed in it */
static volatile sig_atomic_t storms;
static struct sigaction storm_old;

const char *
temporary_dir(void)
{
	return directory;
}

const char *
where(void)
{
	static const char *const way[] = { "pair", "open", "session",
	    "adopt" };
	static __thread char text[64];

	if (here.scheme == NULL)
		return "";
	snprintf(text, sizeof text, "%s/%s", here.scheme, way[here.way]);
	return text;
}

static long
percent(void)
{
	const char *text = getenv("IPC_TEST_ROUNDS");
	long p = text ? strtol(text, NULL, 10) : 100;

	return p > 0 ? p : 100;
}

int
rounds(int n)
{
	long long result = (long long)n * percent() / 100;

	return result > 0 ? (int)result : 1;
}

int
rounds_up_to(int brief, int full)
{
	const long all = 10000;
	long p = percent();

	if (p <= 100)
		return rounds(brief);
	return brief + (int)((long long)(full - brief) * (p - 100) /
	    (all - 100));
}

void
skip_loudly(const char *why)
{
	fprintf(stderr, "NOT TESTED HERE: %s\n", why);
}

void
say_if_alone(const char *fmt, ...)
{
	va_list ap;

	if (suite != NULL)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/*
 * Cases
 */

/* IPC_TEST_SCHEME=unix,tcp looks at these alone, for the one who mends. */
static bool
wanted(const char *scheme)
{
	const char *only = getenv("IPC_TEST_SCHEME");
	size_t n = strlen(scheme);

	for (; only != NULL && *only != '\0'; only += *only == ',') {
		if (strncmp(only, scheme, n) == 0 &&
		    (only[n] == ',' || only[n] == '\0'))
			return true;
		only += strcspn(only, ",");
	}
	return getenv("IPC_TEST_SCHEME") == NULL;
}

static bool
applies(const struct line *l, const struct ipc_mechanism *m, int way)
{
	unsigned bit = 1u << way;

	return (m->ways & bit) && (l->ways & bit) &&
	    (m->caps[way] & l->caps) == l->caps &&
	    (m->caps[way] & l->without) == 0 && wanted(m->scheme);
}

void
for_each_case_but(TCase *tc, const TTest *test, unsigned ways, unsigned caps,
    unsigned without)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row);
	int code;

	if (line_count == LINES_MAX || count * IPC_WAYS > CASES_MAX)
		abort();
	lines[line_count] = (struct line){ test, ways, caps, without };
	for (size_t i = 0; i < count; i++)
		for (int way = 0; way < IPC_WAYS; way++) {
			if (!applies(&lines[line_count], row[i], way))
				continue;
			code = line_count * CASES_MAX + (int)i * IPC_WAYS +
			    way;
			tcase_add_loop_test(tc, test, code, code + 1);
		}
	line_count++;
}

void
for_each_case(TCase *tc, const TTest *test, unsigned ways, unsigned caps)
{
	for_each_case_but(tc, test, ways, caps, 0);
}

/*
 * RLIMIT_MSGQUEUE is counted over all processes of a user, and a few queues
 * reach it: of the tests that run side by side only one has POSIX queues.  The
 * lock is on a file of the build, and goes with the test's process.  Who waits
 * too long for it goes on all the same.
 */
static void
open_queues_lock(void)
{
	const char *build = getenv("IPC_BUILD");
	char path[PATH_MAX];

	if (build == NULL || queues_lock != -1)
		return;
	snprintf(path, sizeof path, "%s/flags.stamp", build);
	queues_lock = open(path, O_RDWR | O_CLOEXEC);
}

void
claim_queues(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	static bool claimed;		/* by this process, or its parent */
	int tries = 2000;

	if (claimed)
		return;
	claimed = true;
	open_queues_lock();
	while (queues_lock != -1 && tries-- > 0 &&
	    fcntl(queues_lock, F_SETLK, &lock) == -1)
		pause_ms(10);
}

void
begin(int i)
{
	const struct ipc_mechanism *const *row;
	int index = i % CASES_MAX;

	ipc_mechanisms(&row);
	here.mech = row[index / IPC_WAYS];
	here.scheme = here.mech->scheme;
	here.way = index % IPC_WAYS;
	here.caps = here.mech->caps[here.way];
	ran[i / CASES_MAX][index] = 1;
	if (strcmp(here.scheme, "posixmq") == 0 ||
	    strcmp(here.scheme, "mq") == 0)
		claim_queues();
}

START_TEST(only_lines_without_their_capability_were_left_out)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row);

	ck_assert_int_gt((int)count, 0);
	for (int l = 0; l < line_count; l++)
		for (int n = 0; n < (int)count * IPC_WAYS; n++)
			if (applies(&lines[l], row[n / IPC_WAYS],
			    n % IPC_WAYS) != (ran[l][n] == 1))
				ck_abort_msg("%s, way %d: %s %s",
				    row[n / IPC_WAYS]->scheme, n % IPC_WAYS,
				    lines[l].test->name,
				    ran[l][n] ? "ran" : "did not run");
}
END_TEST

/*
 * The fixture: nothing may be left of a test
 */

/* What a test that failed left is not this one's. */
static void
before_each(void)
{
	expect_ok(ipc_gc(NULL, NULL));
	free(before);
	before = left_list();
	death = false;
}

void
somebody_died(void)
{
	death = true;
}

/* Ended threads and killed children take a moment to leave the tables. */
static void
compare(double limit)
{
	const char *line;
	char *after;

	for (;;) {
		after = left_list();
		line = left_difference(before, after);
		if (line == NULL || now_ms() > limit)
			break;
		pause_ms(5);
		free(after);
	}
	if (line != NULL)
		ck_abort_msg("%s: left behind or changed: %s", where(), line);
	free(after);
	free(before);
	before = NULL;
}

static void
after_each(void)
{
	if (death)
		expect_ok(ipc_gc(NULL, NULL));
	compare(now_ms() + 2000);
}

TCase *
tcase_open(const char *name, int seconds)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, seconds);
	tcase_add_checked_fixture(tc, before_each, after_each);
	suite_add_tcase(suite, tc);
	return tc;
}

void
suite_open(const char *name)
{
	const char *tmp = getenv("TMPDIR");
	char run[80];
	size_t size = LINES_MAX * sizeof *ran;

	signal(SIGPIPE, SIG_DFL);
	open_queues_lock();
	snprintf(directory, sizeof directory, "%s/ipc-XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(run, sizeof run, "%s/run", directory);
	setenv("IPC_RUNTIME_DIR", run, 1);
	if (mkdir(run, 0700) == -1)
		abort();
	left_begin(directory);
	ran = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ran == MAP_FAILED)
		abort();
	suite = suite_create(name);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

int
suite_close(void)
{
	TCase *tc = tcase_open("whole", 10);
	char *first, *last;
	int failed;

	tcase_add_test(tc, only_lines_without_their_capability_were_left_out);
	first = left_things();
	failed = suite_run(suite);
	last = left_things();
	if (failed == 0 && left_difference(first, last) != NULL) {
		fprintf(stderr, "left behind by the program: %s\n",
		    left_difference(first, last));
		failed++;
	}
	free(first);
	free(last);
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed == 0 ? 0 : 1;
}

/*
 * Small things
 */

void *
need(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		ck_abort_msg("no memory for %zu bytes", size);
	return p;
}

static uint64_t
pattern_word(size_t n, unsigned seed)
{
	uint64_t x = (n + 1) * UINT64_C(0x9E3779B97F4A7C15) ^
	    (uint64_t)seed * UINT64_C(0xBF58476D1CE4E5B9);

	return x ^ x >> 29;
}

void
pattern_fill(void *data, size_t size, unsigned seed)
{
	unsigned char *p = data;
	uint64_t word;

	for (size_t i = 0; i < size; i += 8) {
		word = pattern_word(i, seed);
		memcpy(p + i, &word, size - i < 8 ? size - i : 8);
	}
}

bool
pattern_is(const void *data, size_t size, unsigned seed)
{
	const unsigned char *p = data;
	uint64_t word;

	for (size_t i = 0; i < size; i += 8) {
		word = pattern_word(i, seed);
		if (memcmp(p + i, &word, size - i < 8 ? size - i : 8) != 0)
			return false;
	}
	return true;
}

static double
clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double
now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

double
cpu_ms(void)
{
	return clock_ms(CLOCK_PROCESS_CPUTIME_ID);
}

void
pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) == -1 && errno == EINTR)
		continue;
}

short
ready(int fd, short events, int timeout)
{
	struct pollfd p = { .fd = fd, .events = events };
	double limit = now_ms() + timeout;
	int rc;

	while ((rc = poll(&p, 1, timeout)) == -1 && errno == EINTR &&
	    now_ms() < limit)
		continue;
	expect_sys(rc);
	return rc > 0 ? p.revents : 0;
}

void
gate_make(struct gate *g)
{
	expect_sys(pipe(g->fd));
}

void
gate_open(struct gate *g)
{
	expect_sys(write(g->fd[1], "", 1));
}

void
gate_wait(struct gate *g)
{
	char c;
	ssize_t n;

	while ((n = read(g->fd[0], &c, 1)) == -1 && errno == EINTR)
		continue;
	expect_sys(n);
}

void
gate_free(struct gate *g)
{
	close(g->fd[0]);
	close(g->fd[1]);
}

static void
storm_hit(int signo)
{
	(void)signo;
	storms++;
}

void
storm_start(void)
{
	struct sigaction sa = { .sa_handler = storm_hit };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };

	storms = 0;
	expect_sys(sigaction(SIGALRM, &sa, &storm_old));
	expect_sys(setitimer(ITIMER_REAL, &every, NULL));
}

void
storm_stop(void)
{
	struct itimerval none = { { 0, 0 }, { 0, 0 } };

	expect_sys(setitimer(ITIMER_REAL, &none, NULL));
	expect_sys(sigaction(SIGALRM, &storm_old, NULL));
	expect_true(storms > 0);
}

int
fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3;			/* ".", ".." and the directory's own */

	if (d == NULL)
		ck_abort_msg("/proc/self/fd: %s", strerror(errno));
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}
