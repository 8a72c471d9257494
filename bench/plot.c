/* SPDX-License-Identifier: ISC */
/*
 * The picture: round trips on the left, rates on the right, against the size of
 * the messages, a line for each mechanism.  gnuplot draws it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ipc/ipc.h>

#include "bench.h"
#include "measure.h"

#define LINES	64

/* Told apart by most eyes, and on paper by their symbols. */
static const char *const colours[] = {
	"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf",
	"#8c564b", "#e377c2", "#bcbd22", "#003f5c", "#7f0000", "#00602b",
	"#5b3a8e", "#b35900", "#0b7285", "#555555"
};
#define COLOURS	(sizeof colours / sizeof colours[0])

extern char **environ;

struct line {
	char	title[80];
	bool	grey;		/* no channel of ours: dashed */
	double	y[BENCH_SIZES];	/* 0: there is none */
};

struct panel {
	const struct bench_metric *metric;
	struct line	line[LINES];
	unsigned	lines;
};

static double
median(const struct bench_results *all, const struct bench_metric *m,
    const struct subject *s, size_t size, enum bench_distance d)
{
	const struct bench_result *r = bench_results_find(all, m, s, size, d);

	return r && r->count ? bench_result_range(r, 0).median : 0;
}

/* Adds a line of the subject, or what is best of it and what the line has. */
static void
add(struct line *l, const struct bench_results *all,
    const struct bench_metric *m, const struct subject *s,
    enum bench_distance d)
{
	for (unsigned i = 0; i < all->options->sizes; i++) {
		double y = median(all, m, s, all->options->size[i], d);

		if (y > 0 && (l->y[i] == 0 || (m->more ? y > l->y[i] :
		    y < l->y[i])))
			l->y[i] = y;
	}
}

/* The address, and in words what it is. */
static void
name_line(struct line *l, const char *address)
{
	const struct ipc_mechanism *m = ipc_mechanism(address);

	snprintf(l->title, sizeof l->title, "%s %s", address, m ? m->title :
	    "");
}

/* The best of a class is one line; each channel is one. */
static void
gather(struct panel *p, const struct bench_results *all, enum bench_distance d)
{
	struct line *limit = &p->line[0], *peer = &p->line[1];

	p->lines = 2;
	*limit = (struct line){ .title = "limit of the processors",
	    .grey = true };
	*peer = (struct line){ .title = "best other library", .grey = true };
	for (unsigned i = 0; i < all->subjects; i++) {
		const struct subject *s = all->subject[i];

		if (s->kind == SUBJECT_LIMIT && !(s->traits & SUBJECT_ALONE))
			add(limit, all, p->metric, s, d);
		else if (s->kind == SUBJECT_PEER)
			add(peer, all, p->metric, s, d);
		else if (s->kind == SUBJECT_OURS && p->lines < LINES) {
			struct line *l = &p->line[p->lines++];

			memset(l, 0, sizeof *l);
			name_line(l, s->name);
			add(l, all, p->metric, s, d);
		}
	}
}

static bool
has_points(const struct line *l)
{
	for (unsigned i = 0; i < BENCH_SIZES; i++)
		if (l->y[i] > 0)
			return true;
	return false;
}

/* A text between double quotes, with no markup of gnuplot's. */
static void
print_quoted(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text == '\n' ? ' ' : *text, out);
	}
	putc('"', out);
}

static void
print_data(FILE *out, const struct bench_results *all, const struct panel *p,
    unsigned number)
{
	for (unsigned i = 0; i < p->lines; i++) {
		if (!has_points(&p->line[i]))
			continue;
		fprintf(out, "$p%u_%u << END\n", number, i);
		for (unsigned j = 0; j < all->options->sizes; j++)
			if (p->line[i].y[j] > 0)
				fprintf(out, "%zu %.6g\n",
				    all->options->size[j],
				    p->metric->more ? p->line[i].y[j] :
				    p->line[i].y[j] / 1000);
		fprintf(out, "END\n");
	}
}

static void
print_panel(FILE *out, const struct bench_results *all, const struct panel *p,
    unsigned number)
{
	const struct bench_options *o = all->options;
	const char *comma = "";
	char text[32];

	fprintf(out, "set xtics (");
	for (unsigned i = 0; i < o->sizes; i++) {
		bench_format_size(o->size[i], text, sizeof text);
		fprintf(out, "%s\"%s\" %zu", i ? ", " : "", text, o->size[i]);
	}
	fprintf(out, ")\nplot");
	for (unsigned i = 0; i < p->lines; i++) {
		if (!has_points(&p->line[i]))
			continue;
		fprintf(out, "%s \\\n  $p%u_%u with linespoints ", comma,
		    number, i);
		if (p->line[i].grey)
			fprintf(out, "lw 2 dt %u pt 0 lc rgb \"%s\"", i + 2,
			    i ? "#888888" : "#000000");
		else
			fprintf(out, "lw 1.5 ps 0.6 pt %u lc rgb \"%s\"",
			    i + 2, colours[(i - 2) % COLOURS]);
		fprintf(out, " title ");
		print_quoted(out, p->line[i].title);
		comma = ",";
	}
	fprintf(out, "\n");
}

static void
print_title(FILE *out, const struct bench_results *all, enum bench_distance d)
{
	char machine[256], date[32], text[512];
	double line[2];
	const struct bench_place *place = bench_results_place(all, d, line);
	size_t n;

	bench_machine(machine, sizeof machine);
	bench_date(date, sizeof date);
	n = (size_t)snprintf(text, sizeof text,
	    "Messages between two processes through libipc");
	if (place && d == BENCH_ONE)
		snprintf(text + n, sizeof text - n, ", both on processor %d",
		    place->cpu[0]);
	else if (place)
		snprintf(text + n, sizeof text - n, " (%s: a cache line goes "
		    "to and fro in %.0f to %.0f ns)", bench_distance_names[d],
		    line[0], line[1]);
	fprintf(out, "set multiplot layout 1,2 margins 0.07,0.985,0.34,0.84 "
	    "spacing 0.085\nset label 1 ");
	print_quoted(out, text);
	fprintf(out, " at screen 0.5,0.965 center font \",15\"\nset label 2 ");
	snprintf(text, sizeof text, "%s, %s; %s", machine, date,
	    all->options->repeat > 1 ? "medians of several runs" : "one run");
	print_quoted(out, text);
	fprintf(out, " at screen 0.5,0.92 center font \",11\"\n");
}

enum bench_distance
bench_plot_distance(const struct bench_results *all)
{
	unsigned found[BENCH_DISTANCES] = { 0 };
	int most = BENCH_CLOSE;

	for (size_t i = 0; i < all->count; i++)
		if (all->result[i].distance < BENCH_DISTANCES)
			found[all->result[i].distance] += all->result[i].count;
	/* Two processors, if there were two. */
	for (int d = BENCH_DISTANCES - 1; d > BENCH_ONE; d--)
		if (found[d] > found[most])
			most = d;
	return found[most] ? (enum bench_distance)most : BENCH_ONE;
}

void
bench_print_plot(FILE *out, const struct bench_results *all,
    enum bench_distance d, const char *file)
{
	struct panel trips = { .metric = &bench_round_trip };
	struct panel rates = { .metric = &bench_rate };

	gather(&trips, all, d);
	gather(&rates, all, d);
	fprintf(out, "set terminal svg size 1200,780 noenhanced background "
	    "rgb \"white\" font \"sans-serif,12\"\nset output ");
	print_quoted(out, file);
	fprintf(out, "\n");
	print_data(out, all, &trips, 1);
	print_data(out, all, &rates, 2);
	print_title(out, all, d);
	fprintf(out, "set logscale xy\nset grid xtics ytics lc rgb "
	    "\"#dddddd\"\nset xlabel \"size of a message\"\n"
	    "set format y \"%%g\"\n"
	    "set offsets graph 0.03, graph 0.03, graph 0.05, graph 0.05\n"
	    "set key at screen 0.5,0.02 center bottom maxrows 9 Left reverse "
	    "samplen 2.5 noenhanced\n"
	    "set title \"Round trip: there and back (less is better)\"\n"
	    "set ylabel \"microseconds, median\"\n");
	print_panel(out, all, &trips, 1);
	fprintf(out, "unset key\nunset label\n"
	    "set format y \"%%.0s %%c\"\n"
	    "set title \"One way, one message a call (more is better)\"\n"
	    "set ylabel \"messages a second\"\n");
	print_panel(out, all, &rates, 2);
	fprintf(out, "unset multiplot\n");
}

/*
 * gnuplot
 */

/* Starts it; *in: its standard input, -1 where it has none.  0 or an errno. */
static int
start(pid_t *pid, char *const argv[], int in, int out)
{
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int
await(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int
bench_plot_possible(void)
{
	char name[] = "gnuplot", version[] = "--version";
	char *argv[] = { name, version, NULL };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), rc;
	pid_t pid;

	rc = start(&pid, argv, -1, null);
	if (null >= 0)
		close(null);
	if (rc == 0 && await(pid) == 0)
		return 0;
	warnx("a picture wants gnuplot, which is not here%s%s: install it "
	    "(Debian: gnuplot-nox)", rc ? ": " : "", rc ? strerror(rc) : "");
	return -1;
}

int
bench_plot(const struct bench_results *all, const char *file)
{
	char name[] = "gnuplot";
	char *argv[] = { name, NULL };
	int fds[2], rc;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		warn("pipe2");
		return -1;
	}
	rc = start(&pid, argv, fds[0], -1);
	close(fds[0]);
	f = fdopen(fds[1], "w");
	if (rc != 0 || !f) {
		errno = rc ? rc : errno;
		warn("gnuplot");
		close(fds[1]);
		return -1;
	}
	bench_print_plot(f, all, bench_plot_distance(all), file);
	fclose(f);
	if (await(pid) == 0)
		return 0;
	warnx("%s: gnuplot could not make it", file);
	return -1;
}
