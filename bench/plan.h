/* SPDX-License-Identifier: ISC */
/*
 * What is measured, in which order, and what has come of it.
 *
 * The order is by repetition, then by place, metric and size, and the subject
 * is the last to change: whatever the machine does in the meantime (its clock's
 * speed, its neighbours, the distance of its processors) hits the subjects that
 * are compared alike.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include "cell.h"
#include "stats.h"

#define BENCH_SIZES	16
#define BENCH_REPEAT	64
#define BENCH_PLACES	3
#define BENCH_METRICS	16

struct bench_options {
	bool		 json, details;
	const char	*plot;			/* a file; NULL */
	bool		 metric[BENCH_METRICS];	/* as in bench_metrics */
	size_t		 size[BENCH_SIZES];	/* of messages */
	unsigned	 sizes;
	size_t		 clients[BENCH_SIZES];
	unsigned	 client_counts;
	unsigned	 repeat;
	double		 span;			/* ms for each cell */
	struct bench_place place[BENCH_PLACES];
	unsigned	 places;
};

/* All repetitions of a cell that were of one distance. */
struct bench_result {
	const struct bench_metric *metric;
	const struct subject	*subject;
	size_t			 size;		/* or clients */
	enum bench_distance	 distance;
	unsigned		 place;
	unsigned		 count;		/* of repetitions */
	bool			 have[BENCH_REPEAT];
	double			 value[BENCH_VALUES][BENCH_REPEAT];
	double			 line[2];	/* least and greatest, ns */
	uint64_t		 samples, faults, preempted;
	unsigned		 changed;	/* dropped: distance changed */
	enum bench_state	 state;
	char			 error[BENCH_TEXT];
};

struct bench_results {
	const struct bench_options *options;
	const struct subject *const *subject;
	unsigned		 subjects;
	struct bench_result	*result;
	size_t			 count, room;
	unsigned		 cells, changed;
	const char		*directory;
	volatile const int	*stop;		/* not 0: no more cells */
};

/* Called before each cell: how much is done, and what comes. */
typedef void bench_progress(double done, const struct bench_cell *,
    size_t size);

/* Measures; -ENOMEM. */
int	bench_plan_run(struct bench_results *, bench_progress *);
void	bench_results_free(struct bench_results *);

/* Takes in what a cell has given.  Public for tests. */
int	bench_results_add(struct bench_results *, const struct bench_cell *,
	    size_t size, unsigned place, unsigned repetition,
	    const struct bench_outcome *);

/* NULL: there is none. */
const struct bench_result *bench_results_find(const struct bench_results *,
    const struct bench_metric *, const struct subject *, size_t size,
    enum bench_distance);

/* Median and range of a value over the repetitions. */
struct bench_range bench_result_range(const struct bench_result *,
    unsigned value);

/* Where this distance was met; the least and the greatest time of a cache line
 * to and fro while it was.  NULL: it was not. */
const struct bench_place *bench_results_place(const struct bench_results *,
	    enum bench_distance, double line[2]);

/* What a result is compared with: the best limit, the bare mechanism under it,
 * the best peer. */
enum bench_reference { BENCH_TO_LIMIT, BENCH_TO_KERNEL, BENCH_TO_PEER };
#define BENCH_REFERENCES	3
extern const char *const bench_reference_names[];	/* for JSON */

/* The median over the repetitions of result / reference, of value 0; 0: there
 * is none. */
double	bench_ratio(const struct bench_results *, const struct bench_result *,
	    enum bench_reference);

#endif
