/* SPDX-License-Identifier: ISC */
/*
 * The tables.  For each distance and metric, one line for each subject and one
 * column for each size: the median of the repetitions, and how far they range
 * around it.  Under it, for this library's channels, the ratios.  The long form
 * has a table for each size instead, with all there is.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "measure.h"

#define NAME	22	/* columns */
#define CELL	14

static const char *const class_names[] = {
	[SUBJECT_LIMIT] = "limits of the processors",
	[SUBJECT_RAW] = "bare calls of the kernel",
	[SUBJECT_OURS] = "channels of libipc",
	[SUBJECT_PEER] = "other libraries"
};

/* What is printed at a time: one metric at one distance. */
struct page {
	FILE			*out;
	const struct bench_results *all;
	const struct bench_metric *metric;
	enum bench_distance	 distance;
	const size_t		*size;
	unsigned		 sizes;
};

static const struct bench_result *
at(const struct page *p, const struct subject *s, unsigned i)
{
	return bench_results_find(p->all, p->metric, s, p->size[i],
	    p->distance);
}

/* Was anything measured that a page, or a row of it, would show? */
static bool
has_row(const struct page *p, const struct subject *s)
{
	for (unsigned i = 0; i < p->sizes; i++)
		if (at(p, s, i))
			return true;
	return false;
}

static bool
has_class(const struct page *p, int class, const struct subject **first)
{
	for (unsigned i = 0; i < p->all->subjects; i++) {
		*first = p->all->subject[i];
		if ((int)(*first)->kind == class && has_row(p, *first))
			return true;
	}
	return false;
}

static bool
has_page(const struct page *p)
{
	for (size_t i = 0; i < p->all->count; i++) {
		const struct bench_result *r = &p->all->result[i];

		if (r->metric == p->metric && r->distance == p->distance &&
		    r->count > 0)
			return true;
	}
	return false;
}

/* Percent that the repetitions range above and below the median. */
static double
spread(const struct bench_range *r)
{
	return r->median > 0 ? (r->greatest - r->least) / 2 / r->median * 100 :
	    0;
}

static void
print_cell(const struct page *p, const struct bench_result *r)
{
	char text[48] = "-", number[24];
	struct bench_range range;

	if (r && r->state == BENCH_FAILED && !r->count)
		snprintf(text, sizeof text, "FAILED");
	else if (r && r->count) {
		range = bench_result_range(r, 0);
		bench_format(p->metric, p->metric->sized ? r->size : 0,
		    range.median, number, sizeof number);
		if (r->count > 1)
			snprintf(text, sizeof text, "%s~%.0f%%", number,
			    spread(&range));
		else
			snprintf(text, sizeof text, "%s", number);
	}
	fprintf(p->out, " %*s", CELL, text);
}

static void
print_head(const struct page *p)
{
	char text[32];

	fprintf(p->out, "%-*s", NAME, "");
	for (unsigned i = 0; i < p->sizes; i++) {
		if (p->metric == &bench_idle)
			snprintf(text, sizeof text, "%zu client%s", p->size[i],
			    p->size[i] == 1 ? "" : "s");
		else if (p->metric->sized)
			bench_format_size(p->size[i], text, sizeof text);
		else
			*text = '\0';
		fprintf(p->out, " %*s", CELL, text);
	}
	putc('\n', p->out);
}

static void
print_ratio(const struct page *p, const struct bench_result *r)
{
	static const char letters[BENCH_REFERENCES] = "LKP";
	for (int to = 0; to < BENCH_REFERENCES; to++) {
		double ratio = r && r->count ? bench_ratio(p->all, r,
		    (enum bench_reference)to) : 0;

		if (ratio > 0)
			fprintf(p->out, " %*.*f%c", CELL / 3,
			    ratio < 9.95 ? 2 : ratio < 99.5 ? 1 : 0, ratio,
			    letters[to]);
		else
			fprintf(p->out, " %*s", CELL / 3 + 1, "");
	}
}

static bool
has_ratio(const struct page *p, const struct subject *s)
{
	for (unsigned i = 0; i < p->sizes; i++) {
		const struct bench_result *r = at(p, s, i);

		for (int to = 0; r && to < BENCH_REFERENCES; to++)
			if (r->count && bench_ratio(p->all, r,
			    (enum bench_reference)to) > 0)
				return true;
	}
	return false;
}

static void
print_ratios(const struct page *p)
{
	char text[32];
	bool any = false;

	for (unsigned i = 0; !any && i < p->all->subjects; i++)
		any = p->all->subject[i]->kind == SUBJECT_OURS &&
		    has_ratio(p, p->all->subject[i]);
	if (!any)
		return;

	fprintf(p->out, "  %-*s", NAME - 2, "libipc, compared");
	for (unsigned i = 0; i < p->sizes && p->metric->sized; i++) {
		bench_format_size(p->size[i], text, sizeof text);
		fprintf(p->out, " %*s", 3 * (CELL / 3 + 2) - 1, text);
	}
	putc('\n', p->out);
	for (unsigned i = 0; i < p->all->subjects; i++) {
		const struct subject *s = p->all->subject[i];

		if (s->kind != SUBJECT_OURS || !has_ratio(p, s))
			continue;
		fprintf(p->out, "  %-*.*s", NAME - 2, NAME - 2, s->name);
		for (unsigned j = 0; j < p->sizes; j++)
			print_ratio(p, at(p, s, j));
		putc('\n', p->out);
	}
}

/* All sizes side by side. */
static void
print_matrix(const struct page *p)
{
	const struct subject *s;

	print_head(p);
	for (int class = 0; class <= SUBJECT_PEER; class++) {
		if (!has_class(p, class, &s))
			continue;
		fprintf(p->out, "%s\n", class_names[class]);
		for (unsigned i = 0; i < p->all->subjects; i++) {
			s = p->all->subject[i];
			if ((int)s->kind != class || !has_row(p, s))
				continue;
			fprintf(p->out, "  %-*.*s", NAME - 2, NAME - 2,
			    s->name);
			for (unsigned j = 0; j < p->sizes; j++)
				print_cell(p, at(p, s, j));
			putc('\n', p->out);
		}
	}
	if (!has_class(p, SUBJECT_OURS, &s))
		return;
	if (p->metric->calls)
		bench_print_against(p->out, p->all, p->metric, p->distance);
	else
		print_ratios(p);
}

/*
 * The long form
 */

/* What stands beside median and range, where a metric has it. */
static const struct {
	const char *value, *title;
} beside[] = {
	{ "p99_ns", "p99" }, { "p999_ns", "p99.9" }, { "cpu_ns", "CPU/msg" },
	{ "call_p50_ns", "waking" }, { "prepare_ns", "making" }
};
#define BESIDE	(sizeof beside / sizeof beside[0])

/* The index of a value; -1: the metric has no such. */
static int
value_of(const struct bench_metric *m, const char *name)
{
	for (int i = 0; i < BENCH_VALUES && m->value[i]; i++)
		if (!strcmp(m->value[i], name))
			return i;
	return -1;
}

static void
print_detail(const struct page *p, const struct bench_result *r)
{
	struct bench_range range = bench_result_range(r, 0);
	size_t size = p->metric->sized ? r->size : 0;
	char text[32], from[24], till[24], both[52];

	bench_format(p->metric, size, range.median, text, sizeof text);
	bench_format(p->metric, size, range.least, from, sizeof from);
	bench_format(p->metric, size, range.greatest, till, sizeof till);
	snprintf(both, sizeof both, "%s - %s", from, till);
	fprintf(p->out, "  %-*.*s %9s %21s", NAME - 2, NAME - 2,
	    r->subject->name, text, both);
	for (size_t i = 0; i < BESIDE; i++) {
		int v = value_of(p->metric, beside[i].value);

		if (v < 0)
			continue;
		bench_format(&bench_round_trip, 0, bench_result_range(r,
		    (unsigned)v).median, text, sizeof text);
		fprintf(p->out, " %8s", text);
	}
	print_ratio(p, r);
	putc('\n', p->out);
}

static void
print_detail_head(const struct page *p)
{
	fprintf(p->out, "  %-*s %9s %21s", NAME - 2, "", "median", "range");
	for (size_t i = 0; i < BESIDE; i++)
		if (value_of(p->metric, beside[i].value) >= 0)
			fprintf(p->out, " %8s", beside[i].title);
	fprintf(p->out, "   to limit, kernel, peer\n");
}

static void
print_details(const struct page *p)
{
	char text[32];

	for (unsigned i = 0; i < p->sizes; i++) {
		if (p->metric == &bench_idle)
			fprintf(p->out, "%zu client%s\n", p->size[i],
			    p->size[i] == 1 ? "" : "s");
		else if (p->metric->sized) {
			bench_format_size(p->size[i], text, sizeof text);
			fprintf(p->out, "%s\n", text);
		}
		print_detail_head(p);
		for (unsigned j = 0; j < p->all->subjects; j++) {
			const struct bench_result *r = at(p,
			    p->all->subject[j], i);

			if (r && r->count)
				print_detail(p, r);
			else if (r)
				fprintf(p->out, "  %-*.*s %s\n", NAME - 2,
				    NAME - 2, r->subject->name, r->error);
		}
	}
}

/*
 * All of them
 */

static void
print_place(FILE *out, const struct bench_results *all,
    enum bench_distance distance)
{
	double line[2];
	const struct bench_place *place = bench_results_place(all, distance,
	    line);

	if (!place)
		return;
	fprintf(out, "\n==== %s: processor", bench_distance_names[distance]);
	if (distance == BENCH_ONE)
		fprintf(out, " %d, both sides\n", place->cpu[0]);
	else
		fprintf(out, "s %d and %d (%s), a cache line to and fro in "
		    "%.0f to %.0f ns\n", place->cpu[0], place->cpu[1],
		    bench_relation_names[place->relation], line[0], line[1]);
}

static void
print_distance(FILE *out, const struct bench_results *all,
    enum bench_distance distance)
{
	static const size_t none = 0;
	const struct bench_options *o = all->options;

	print_place(out, all, distance);
	for (int m = 0; bench_metrics[m]; m++) {
		struct page p = { out, all, bench_metrics[m], distance, &none,
		    1 };

		if (p.metric->sized) {
			p.size = o->size;
			p.sizes = o->sizes;
		} else if (p.metric == &bench_idle) {
			p.size = o->clients;
			p.sizes = o->client_counts;
		}
		if (!o->metric[m] || !has_page(&p))
			continue;
		fprintf(out, "\n%s\n", p.metric->title);
		if (o->details)
			print_details(&p);
		else
			print_matrix(&p);
	}
}

void
bench_print_tables(FILE *out, const struct bench_results *all)
{
	char machine[256], date[32];

	bench_machine(machine, sizeof machine);
	bench_date(date, sizeof date);
	fprintf(out, "%s, %s\n", machine, date);
	fprintf(out, "Medians of %u repetition%s, ~ how far these range.  "
	    "Compared: L to the best limit,\nK to the bare call of the kernel, "
	    "one message a call, P to the best other library.\n",
	    all->options->repeat, all->options->repeat == 1 ? "" : "s");
	for (int d = BENCH_DISTANCES - 1; d >= 0; d--)
		print_distance(out, all, (enum bench_distance)d);
	if (all->changed)
		fprintf(out, "\n%u of %u cells were dropped, as the distance "
		    "of the processors changed.\n", all->changed, all->cells);
}
