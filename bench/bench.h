/* SPDX-License-Identifier: ISC */
/*
 * The benchmark as a whole: what `ipc bench' and the program with the peers
 * call, and the parts of it that say what came out.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdio.h>

#include "plan.h"

extern const char bench_arguments[], bench_help[];

/* Runs it; the exit status, 0, 1 or 2.  peers may be NULL; ends with NULL. */
int	bench_main(int argc, char *argv[], const struct subject *const *peers);

/* Reads the options, and leaves optind at the first address.  0; -1 after a
 * message; 1 where --help was asked for. */
int	bench_options_read(struct bench_options *, int argc, char *argv[]);

/* The subjects that come with it, NULL at the end: limits, bare calls. */
extern const struct subject *const bench_subjects[];

/* What is written at the head of it all: "AMD EPYC, Linux 6.18.44, ...". */
void	bench_machine(char *text, size_t size);
void	bench_date(char *text, size_t size);

/* "131 M/s", "24.0 us", "9.5 GB/s": three digits and a unit. */
void	bench_format(const struct bench_metric *, size_t size, double value,
	    char *text, size_t room);
void	bench_format_size(size_t size, char *text, size_t room);

void	bench_print_tables(FILE *, const struct bench_results *);
/* For a metric without sizes: ours beside each of the others. */
void	bench_print_against(FILE *, const struct bench_results *,
	    const struct bench_metric *, enum bench_distance);
void	bench_print_json(FILE *, const struct bench_results *);

/* The text that gnuplot makes the picture of; which distance it shows. */
void	bench_print_plot(FILE *, const struct bench_results *,
	    enum bench_distance, const char *file);
enum bench_distance bench_plot_distance(const struct bench_results *);
/* Gives it to gnuplot; 0, or -1 after a message. */
int	bench_plot(const struct bench_results *, const char *file);
/* Is gnuplot there?  0, or -1 after a message. */
int	bench_plot_possible(void);

#endif
