/* SPDX-License-Identifier: ISC */
/*
 * The command line.
 */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "measure.h"

#define SPAN_MS		30	/* that each cell is measured */
#define QUICK_MS	5
#define REPEAT		5
#define CLIENTS_MOST	65536

const char bench_arguments[] = "[-jlq] [-c cpu,cpu] [-m ms] [-o what,...] "
    "[-p file.svg]\n                 [-r times] [-s size,...] [address ...]";

const char bench_help[] =
    "Every mechanism of this machine, or those of the addresses, beside the\n"
    "bare calls under them and what the processors could do at best.\n\n"
    "  -c, --cpus a,b     both sides on these; default: two that share a\n"
    "                     cache, two that do not, and both sides on one\n"
    "  -j, --json         all figures as JSON\n"
    "  -l, --long         a table for each size, with percentiles and ratios\n"
    "  -m, --span ms      measure each cell for so long (30)\n"
    "  -o, --only what    of round-trip, rate, batch, peek, in-place,\n"
    "                     wake-up, set-up, memory, idle, call, calls;\n"
    "                     separated by commas\n"
    "  -p, --plot file    a picture (SVG) of round trips and rates as well,\n"
    "                     made by gnuplot\n"
    "  -q, --quick        a few seconds: two sizes, short, round trips, rates\n"
    "                     and waking on two processors\n"
    "  -r, --repeat n     all of it so many times (5)\n"
    "  -s, --size bytes   of messages: 8,64,1K,64K,1M; multiples of 8\n";

static const struct option long_options[] = {
	{ "cpus", required_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "long", no_argument, NULL, 'l' },
	{ "span", required_argument, NULL, 'm' },
	{ "only", required_argument, NULL, 'o' },
	{ "plot", required_argument, NULL, 'p' },
	{ "quick", no_argument, NULL, 'q' },
	{ "repeat", required_argument, NULL, 'r' },
	{ "size", required_argument, NULL, 's' },
	{ NULL, 0, NULL, 0 }
};

/* A whole number, which may end in K or M; -1: it is none, or not in the
 * range. */
static long
number(const char *text, size_t length, long least, long most)
{
	char *end, copy[24];
	long n;

	if (length == 0 || length >= sizeof copy || *text < '0' || *text > '9')
		return -1;
	memcpy(copy, text, length);
	copy[length] = '\0';
	n = strtol(copy, &end, 10);
	if (n > most)
		return -1;
	if (*end == 'K' || *end == 'k') {
		n *= 1024;
		end++;
	} else if (*end == 'M') {
		n *= 1024 * 1024;
		end++;
	}
	return *end || n < least || n > most ? -1 : n;
}

static int
read_number(const char *what, const char *text, long least, long most,
    long *n)
{
	*n = number(text, strlen(text), least, most);
	if (*n >= 0)
		return 0;
	warnx("%s '%s': a number from %ld to %ld is wanted", what, text, least,
	    most);
	return -1;
}

static int
read_sizes(struct bench_options *o, const char *text)
{
	o->sizes = 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		long n = number(text, length, PAYLOAD_LEAST, PAYLOAD_MOST);

		if (n < 0 || n % 8 != 0 || o->sizes == BENCH_SIZES) {
			warnx("size '%.*s': up to %d multiples of 8 from %d to "
			    "%ldM are wanted", (int)length, text, BENCH_SIZES,
			    PAYLOAD_LEAST, (long)(PAYLOAD_MOST >> 20));
			return -1;
		}
		o->size[o->sizes++] = (size_t)n;
		if (!text[length])
			return 0;
		text += length + 1;
	}
}

static int
metric_of(const char *name, size_t length)
{
	for (int i = 0; bench_metrics[i]; i++)
		if (strlen(bench_metrics[i]->name) == length &&
		    strncmp(bench_metrics[i]->name, name, length) == 0)
			return i;
	return -1;
}

static int
read_metrics(struct bench_options *o, const char *text)
{
	memset(o->metric, 0, sizeof o->metric);
	for (;;) {
		size_t length = strcspn(text, ",");
		int i = metric_of(text, length);

		if (i < 0) {
			warnx("there is no '%.*s' to measure; --help lists "
			    "what there is", (int)length, text);
			return -1;
		}
		o->metric[i] = true;
		if (!text[length])
			return 0;
		text += length + 1;
	}
}

static int
read_cpus(struct bench_options *o, const cpu_set_t *set, const char *text)
{
	size_t length = strcspn(text, ",");
	long a = number(text, length, 0, CPU_SETSIZE - 1), b = -1;

	if (text[length])
		b = number(text + length + 1, strlen(text + length + 1), 0,
		    CPU_SETSIZE - 1);
	if (a < 0 || b < 0) {
		warnx("processors '%s': two numbers, such as 0,1, are wanted",
		    text);
		return -1;
	}
	if (!CPU_ISSET(a, set) || !CPU_ISSET(b, set)) {
		warnx("this process may not run on processor %ld",
		    CPU_ISSET(a, set) ? b : a);
		return -1;
	}
	o->places = 1;
	o->place[0] = (struct bench_place){ { (int)a, (int)b },
	    bench_relation("/sys", (int)a, (int)b) };
	return 0;
}

static void
set_defaults(struct bench_options *o, const cpu_set_t *set)
{
	static const size_t sizes[] = { 8, 64, 1024, 65536, 1 << 20 };
	static const size_t clients[] = { 1, 8, 64, 512, 4096 };

	memset(o, 0, sizeof *o);
	memcpy(o->size, sizes, sizeof sizes);
	o->sizes = sizeof sizes / sizeof sizes[0];
	memcpy(o->clients, clients, sizeof clients);
	o->client_counts = sizeof clients / sizeof clients[0];
	for (int i = 0; bench_metrics[i]; i++)
		o->metric[i] = true;
	o->repeat = REPEAT;
	o->span = SPAN_MS;
	o->places = (unsigned)bench_places("/sys", set, o->place);
}

/* What comes behind it on the command line changes it again. */
static void
set_quick(struct bench_options *o)
{
	read_metrics(o, "round-trip,rate,wake-up");
	read_sizes(o, "64,64K");
	o->client_counts = 2;
	o->repeat = 1;
	o->span = QUICK_MS;
	if (o->places > 1)
		o->places = 1;
}

static int
read_one(struct bench_options *o, const cpu_set_t *set, int c)
{
	long n;

	switch (c) {
	case 'c':
		return read_cpus(o, set, optarg);
	case 'j':
		o->json = true;
		return 0;
	case 'l':
		o->details = true;
		return 0;
	case 'm':
		if (read_number("span", optarg, 1, 60000, &n) < 0)
			return -1;
		o->span = (double)n;
		return 0;
	case 'o':
		return read_metrics(o, optarg);
	case 'p':
		o->plot = optarg;
		return 0;
	case 'q':
		set_quick(o);
		return 0;
	case 'r':
		if (read_number("repeat", optarg, 1, BENCH_REPEAT, &n) < 0)
			return -1;
		o->repeat = (unsigned)n;
		return 0;
	case 's':
		return read_sizes(o, optarg);
	default:
		fprintf(stderr, "usage: ipc bench %s\n", bench_arguments);
		return -1;
	}
}

int
bench_options_read(struct bench_options *o, int argc, char *argv[])
{
	cpu_set_t set;
	int c, rc = 0;

	if (sched_getaffinity(0, sizeof set, &set) < 0) {
		warn("sched_getaffinity");
		return -1;
	}
	set_defaults(o, &set);
	while (rc == 0 && (c = getopt_long(argc, argv, "c:hjlm:o:p:qr:s:",
	    long_options, NULL)) != -1) {
		if (c == 'h') {
			printf("usage: ipc bench %s\n\n%s", bench_arguments,
			    bench_help);
			return 1;
		}
		rc = read_one(o, &set, c);
	}
	return rc;
}
