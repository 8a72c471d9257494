/* SPDX-License-Identifier: ISC */
/*
 * All figures as JSON: one object with the machine, the clock, the places, and
 * an array of cells, each with every repetition's values.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static const char *const class_names[] = {
	[SUBJECT_LIMIT] = "limit", [SUBJECT_RAW] = "raw",
	[SUBJECT_OURS] = "libipc", [SUBJECT_PEER] = "peer"
};

static const char *const state_names[] = {
	[BENCH_FAILED] = "failed", [BENCH_ABSENT] = "absent",
	[BENCH_DONE] = "ok"
};

/* Texts here are ours, or the system's messages: no control characters but by
 * accident. */
static void
print_string(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(out, "\\u%04x", (unsigned)*text);
		else
			putc(*text, out);
	putc('"', out);
}

static void
print_values(FILE *out, const struct bench_result *r)
{
	const char *comma = "";

	fprintf(out, ",\n   \"values\": {");
	for (unsigned i = 0; i < BENCH_VALUES && r->metric->value[i]; i++) {
		struct bench_range range = bench_result_range(r, i);

		fprintf(out, "%s\n    \"%s\": {\"median\": %.6g, \"min\": %.6g"
		    ", \"max\": %.6g}", comma, r->metric->value[i],
		    range.median, range.least, range.greatest);
		comma = ",";
	}
	putc('}', out);
}

static void
print_ratios(FILE *out, const struct bench_results *all,
    const struct bench_result *r)
{
	const char *comma = "";

	fprintf(out, ",\n   \"ratios\": {");
	for (int to = 0; to < BENCH_REFERENCES; to++) {
		double ratio = bench_ratio(all, r, (enum bench_reference)to);

		if (ratio <= 0)
			continue;
		fprintf(out, "%s\"%s\": %.4g", comma,
		    bench_reference_names[to], ratio);
		comma = ", ";
	}
	putc('}', out);
}

static void
print_cell(FILE *out, const struct bench_results *all,
    const struct bench_result *r)
{
	fprintf(out, "\n  {\"metric\": \"%s\", \"%s\": %zu, \"subject\": ",
	    r->metric->name, r->metric->sized || !r->size ? "size" : "clients",
	    r->metric->sized || r->size ? r->size : r->metric->size);
	print_string(out, r->subject->name);
	fprintf(out, ", \"class\": \"%s\", \"distance\": \"%s\", \"place\": "
	    "%u,\n   \"state\": \"%s\"", class_names[r->subject->kind],
	    bench_distance_names[r->distance], r->place,
	    state_names[r->state]);
	if (*r->error) {
		fprintf(out, ", \"error\": ");
		print_string(out, r->error);
	}
	if (r->count) {
		fprintf(out, ", \"unit\": \"%s\", \"better\": \"%s\", "
		    "\"repetitions\": %u, \"samples\": %llu, \"faults\": %llu, "
		    "\"preempted\": %llu, \"line_ns\": [%.1f, %.1f]",
		    r->metric->unit, r->metric->more ? "more" : "less",
		    r->count, (unsigned long long)r->samples,
		    (unsigned long long)r->faults,
		    (unsigned long long)r->preempted, r->line[0], r->line[1]);
		print_values(out, r);
		print_ratios(out, all, r);
	}
	putc('}', out);
}

static void
print_places(FILE *out, const struct bench_options *o)
{
	fprintf(out, " \"places\": [");
	for (unsigned i = 0; i < o->places; i++) {
		fprintf(out, "%s\n  {\"cpus\": [%d, %d], \"relation\": ",
		    i ? "," : "", o->place[i].cpu[0], o->place[i].cpu[1]);
		print_string(out, bench_relation_names[o->place[i].relation]);
		putc('}', out);
	}
	fprintf(out, "],\n");
}

void
bench_print_json(FILE *out, const struct bench_results *all)
{
	const struct bench_options *o = all->options;
	char machine[256], date[32];

	bench_machine(machine, sizeof machine);
	bench_date(date, sizeof date);
	fprintf(out, "{\"machine\": ");
	print_string(out, machine);
	fprintf(out, ", \"date\": \"%s\",\n \"repeat\": %u, \"span_ms\": %g, "
	    "\"cells_run\": %u, \"cells_dropped\": %u,\n", date, o->repeat,
	    o->span, all->cells, all->changed);
	fprintf(out, " \"clock\": {\"counter\": %s, \"tick_ns\": %.6f, "
	    "\"step_ns\": %.2f, \"overhead_ns\": %.2f},\n",
	    bench_clock.counter ? "true" : "false", bench_clock.ns,
	    bench_clock.step * bench_clock.ns,
	    bench_clock.overhead * bench_clock.ns);
	print_places(out, o);
	fprintf(out, " \"cells\": [");
	for (size_t i = 0; i < all->count; i++) {
		if (i)
			putc(',', out);
		print_cell(out, all, &all->result[i]);
	}
	fprintf(out, "]}\n");
}
