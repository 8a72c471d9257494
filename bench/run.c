/* SPDX-License-Identifier: ISC */
/*
 * A run of the benchmark, from the command line to the exit status.
 */
#include <sys/stat.h>
#include <sys/utsname.h>

#include <err.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "bench.h"
#include "ours.h"

#define SUBJECTS	256

static volatile int interrupted;

static void
interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

/*
 * The subjects of this run
 */

struct chosen {
	const struct subject	*subject[SUBJECTS];
	unsigned		 count;
};

static void
choose(struct chosen *c, const struct subject *s)
{
	if (c->count < SUBJECTS)
		c->subject[c->count++] = s;
}

/* One of those that pick another one, which is in the table by itself. */
static bool
is_chooser(const char *scheme)
{
	return !strcmp(scheme, "mq") || !strcmp(scheme, "shm") ||
	    !strcmp(scheme, "local");
}

/* Calls over one of these addresses' schemes? */
static bool
is_of(char *addresses[], int count, const struct subject *s)
{
	const char *scheme = s->parameter;
	size_t n = strlen(scheme);

	for (int i = 0; i < count; i++)
		if (strncmp(addresses[i], scheme, n) == 0 &&
		    (!addresses[i][n] || addresses[i][n] == ':'))
			return true;
	return false;
}

static int
choose_ours(struct chosen *c, int count, char *addresses[])
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	const struct subject *s;

	for (int i = 0; i < count; i++) {
		s = ours_new(addresses[i]);
		if (!s) {
			warnx("%s: there is no such mechanism, or it makes no "
			    "pairs", addresses[i]);
			return -1;
		}
		choose(c, s);
	}
	for (size_t i = 0; count == 0 && i < n; i++)
		if (!is_chooser(list[i]->scheme) &&
		    (s = ours_new(list[i]->scheme)))
			choose(c, s);
	for (size_t i = 0; ours_calls[i]; i++)
		if (count == 0 || is_of(addresses, count, ours_calls[i]))
			choose(c, ours_calls[i]);
	return 0;
}

/* Is it the bare mechanism under one of those chosen? */
static bool
is_under(const struct chosen *c, const struct subject *raw)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->subject[i]->under &&
		    !strcmp(c->subject[i]->under, raw->name))
			return true;
	return false;
}

/* Limits first, then what is bare, ours, and peers.  With addresses, only the
 * bare ones that they stand on. */
static int
choose_all(struct chosen *c, int count, char *addresses[],
    const struct subject *const *peers)
{
	struct chosen ours = { .count = 0 };

	if (choose_ours(&ours, count, addresses) < 0)
		return -1;
	for (unsigned i = 0; bench_subjects[i]; i++)
		if (count == 0 || bench_subjects[i]->kind == SUBJECT_LIMIT ||
		    is_under(&ours, bench_subjects[i]))
			choose(c, bench_subjects[i]);
	for (unsigned i = 0; i < ours.count; i++)
		choose(c, ours.subject[i]);
	for (; peers && *peers; peers++)
		choose(c, *peers);
	return 0;
}

/*
 * Where it runs
 */

static void
processor(char *text, size_t size)
{
	char line[256], *p;
	FILE *f = fopen("/proc/cpuinfo", "re");

	snprintf(text, size, "unknown processor");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "model name", 10) == 0 &&
		    (p = strchr(line, ':'))) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(text, size, "%s", p + 2);
			break;
		}
	if (f)
		fclose(f);
}

void
bench_machine(char *text, size_t size)
{
	struct utsname u;
	char cpu[200];

	processor(cpu, sizeof cpu);
	if (uname(&u) < 0)
		memset(&u, 0, sizeof u);
	snprintf(text, size, "%s, %ld processors, %s %s", cpu,
	    sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release);
}

void
bench_date(char *text, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;

	if (!localtime_r(&now, &tm) ||
	    strftime(text, size, "%Y-%m-%d", &tm) == 0)
		*text = '\0';
}

/* A directory for names, and in it one for the library's own. */
static int
make_directory(char *path, size_t size)
{
	const char *where = getenv("TMPDIR");
	char run[160];

	snprintf(path, size, "%s/ipc-bench.XXXXXX", where ? where : "/tmp");
	if (!mkdtemp(path)) {
		warn("%s", path);
		return -1;
	}
	snprintf(run, sizeof run, "%s/run", path);
	if (mkdir(run, 0700) < 0 || setenv("IPC_RUNTIME_DIR", run, 1) < 0) {
		warn("%s", run);
		return -1;
	}
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* With whatever cells that were killed left there. */
static int
remove_directory(const char *path)
{
	ipc_gc(NULL, NULL);
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0)
		return 0;
	warn("%s", path);
	return -1;
}

/*
 * Progress
 */

static void
show_progress(double done, const struct bench_cell *c, size_t size)
{
	char text[32] = "";

	if (c->metric->sized)
		bench_format_size(size, text, sizeof text);
	else if (size)
		snprintf(text, sizeof text, "%zu clients", size);
	fprintf(stderr, "\r%3.0f %%  %-11s %-12s %-32.32s", done * 100,
	    c->metric->name, text, c->subject->name);
}

static void
clear_progress(void)
{
	fprintf(stderr, "\r%-64s\r", "");
}

/*
 * All of it
 */

static int
tell(const struct bench_results *all)
{
	const struct bench_options *o = all->options;
	int status = 0;

	if (o->json)
		bench_print_json(stdout, all);
	else
		bench_print_tables(stdout, all);
	if (o->plot && bench_plot(all, o->plot) < 0)
		status = 1;
	for (size_t i = 0; i < all->count; i++)
		if (all->result[i].state == BENCH_FAILED) {
			warnx("%s, %s: %s", all->result[i].subject->name,
			    all->result[i].metric->name,
			    all->result[i].error);
			status = 1;
		}
	return status;
}

static int
measure(const struct bench_options *o, const struct chosen *c)
{
	struct sigaction act = { .sa_handler = interrupt };
	bool terminal = isatty(STDERR_FILENO);
	char directory[128];
	struct bench_results all = { .options = o, .subject = c->subject,
	    .subjects = c->count, .directory = directory,
	    .stop = &interrupted };
	int status = 1;

	if (make_directory(directory, sizeof directory) < 0)
		return 1;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	bench_clock_begin();
	if (bench_cells_begin() < 0) {
		warn("shared memory");
	} else {
		if (bench_plan_run(&all, terminal ? show_progress : NULL) < 0)
			warnx("no memory for results");
		if (terminal)
			clear_progress();
		status = tell(&all);
		bench_cells_end();
	}
	bench_results_free(&all);
	if (remove_directory(directory) < 0 || interrupted)
		status = 1;
	return status;
}

int
bench_main(int argc, char *argv[], const struct subject *const *peers)
{
	static struct chosen c;		/* they stay to the end */
	struct bench_options o;
	int rc = bench_options_read(&o, argc, argv);

	if (rc != 0)
		return rc < 0 ? 2 : 0;
	if (o.plot && bench_plot_possible() < 0)
		return 1;
	if (choose_all(&c, argc - optind, argv + optind, peers) < 0)
		return 2;
	return measure(&o, &c);
}
