/* SPDX-License-Identifier: ISC */
/*
 * All cells in turns, and the table of results.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "measure.h"
#include "plan.h"

#define TRIES		3	/* where the distance changes */
#define HEAVY_LINKS	4	/* of those that cost much, for memory */

/* One cell of the plan, and where its result goes. */
struct step {
	struct bench_cell cell;
	size_t		 size;		/* of messages, or clients */
	unsigned	 place, repetition;
};

/*
 * Results
 */

void
bench_results_free(struct bench_results *all)
{
	free(all->result);
	all->result = NULL;
	all->count = all->room = 0;
}

static bool
is_at(const struct bench_result *r, const struct bench_metric *m,
    const struct subject *s, size_t size)
{
	return r->metric == m && r->subject == s && r->size == size;
}

/* The one to add to, which may be new; NULL: no memory. */
static struct bench_result *
result_for(struct bench_results *all, const struct bench_cell *c, size_t size,
    unsigned place, enum bench_distance distance)
{
	struct bench_result *r;

	for (size_t i = 0; i < all->count; i++) {
		r = &all->result[i];
		if (is_at(r, c->metric, c->subject, size) &&
		    r->place == place && r->distance == distance)
			return r;
	}
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 64;

		r = realloc(all->result, room * sizeof *r);
		if (!r)
			return NULL;
		all->result = r;
		all->room = room;
	}
	r = &all->result[all->count++];
	memset(r, 0, sizeof *r);
	r->metric = c->metric;
	r->subject = c->subject;
	r->size = size;
	r->place = place;
	r->distance = distance;
	return r;
}

static void
note_line(struct bench_result *r, const double *line)
{
	for (int i = 0; i < 2; i++) {
		if (line[i] <= 0)
			continue;
		if (r->line[0] == 0 || line[i] < r->line[0])
			r->line[0] = line[i];
		if (line[i] > r->line[1])
			r->line[1] = line[i];
	}
}

int
bench_results_add(struct bench_results *all, const struct bench_cell *c,
    size_t size, unsigned place, unsigned repetition,
    const struct bench_outcome *o)
{
	struct bench_result *r;

	all->cells++;
	if (o->state == BENCH_DONE && o->distance == BENCH_CHANGED) {
		all->changed++;
		return 0;
	}
	r = result_for(all, c, size, place, o->distance);
	if (!r)
		return -ENOMEM;
	if (o->state != BENCH_DONE) {
		/* One that failed once has failed. */
		r->state = o->state;
		memcpy(r->error, o->error, sizeof r->error);
		return 0;
	}
	if (!*r->error)
		r->state = BENCH_DONE;
	r->have[repetition] = true;
	r->count++;
	for (int i = 0; i < BENCH_VALUES; i++)
		r->value[i][repetition] = o->value[i];
	note_line(r, o->line);
	r->samples += o->samples;
	r->faults += o->faults;
	r->preempted += o->preempted;
	return 0;
}

const struct bench_result *
bench_results_find(const struct bench_results *all,
    const struct bench_metric *m, const struct subject *s, size_t size,
    enum bench_distance distance)
{
	const struct bench_result *failed = NULL;

	for (size_t i = 0; i < all->count; i++) {
		const struct bench_result *r = &all->result[i];

		if (!is_at(r, m, s, size))
			continue;
		if (r->distance == distance && r->count > 0)
			return r;
		/* Of what failed the distance may not be known. */
		if (r->state != BENCH_DONE && (distance == BENCH_ONE) ==
		    (r->distance == BENCH_ONE))
			failed = r;
	}
	return failed;
}

struct bench_range
bench_result_range(const struct bench_result *r, unsigned value)
{
	double of[BENCH_REPEAT];
	size_t n = 0;

	for (unsigned i = 0; i < BENCH_REPEAT; i++)
		if (r->have[i])
			of[n++] = r->value[value][i];
	return bench_range(of, n);
}

const struct bench_place *
bench_results_place(const struct bench_results *all,
    enum bench_distance distance, double line[2])
{
	const struct bench_place *place = NULL;

	line[0] = line[1] = 0;
	for (size_t i = 0; i < all->count; i++) {
		const struct bench_result *r = &all->result[i];

		if (r->distance != distance || !r->count)
			continue;
		place = &all->options->place[r->place];
		if (r->line[0] > 0 && (line[0] == 0 || r->line[0] < line[0]))
			line[0] = r->line[0];
		if (r->line[1] > line[1])
			line[1] = r->line[1];
	}
	return place;
}

/*
 * The order
 */

/* Does it make sense?  Who only spins keeps the other side off the one
 * processor that they share, until the scheduler steps in; that would measure
 * the scheduler's slices, and take as long. */
static bool
is_wanted(const struct step *s)
{
	const struct subject *subject = s->cell.subject;
	bool one = s->cell.place.relation == BENCH_SAME_CPU;

	if (s->cell.metric->calls != (subject->call != NULL) ||
	    !s->cell.metric->fits(subject, s->cell.size))
		return false;
	if (one && subject->traits & SUBJECT_SPINS &&
	    subject->kind != SUBJECT_RAW)
		return false;
	if (one && (s->cell.metric == &bench_memory ||
	    s->cell.metric == &bench_idle || subject->traits & SUBJECT_ALONE))
		return false;
	return true;
}

/* Whatever the last cell left there. */
static void
clean_directory(const char *path)
{
	struct dirent *d;
	DIR *dir = opendir(path);

	while (dir && (d = readdir(dir)))
		if (*d->d_name != '.')
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
}

static unsigned
links_of(const struct subject *s, unsigned links)
{
	if (s->traits & SUBJECT_HEAVY && links > HEAVY_LINKS)
		return links > 32 ? 2 * HEAVY_LINKS : HEAVY_LINKS;
	return links;
}

/* A metric of two numbers of links is the difference. */
static void
run_links(struct bench_cell *c, unsigned few, unsigned many,
    struct bench_outcome *o)
{
	struct bench_outcome first;

	c->links = few;
	bench_cell_run(c, o);
	if (!many || o->state != BENCH_DONE)
		return;
	first = *o;
	c->links = many;
	bench_cell_run(c, o);
	for (int i = 0; i < BENCH_VALUES; i++)
		o->value[i] = (o->value[i] - first.value[i]) / (many - few);
}

/* With fewer links where there can not be so many, such as queues. */
static void
run_cell(struct bench_cell *c, struct bench_outcome *o)
{
	unsigned few = links_of(c->subject, c->metric->links[0]);
	unsigned many = links_of(c->subject, c->metric->links[1]);

	if (!few) {
		bench_cell_run(c, o);
		return;
	}
	for (;;) {
		run_links(c, few, many, o);
		if (o->state != BENCH_ABSENT || few == 1)
			break;
		few = few / 4 ? few / 4 : 1;
		many = many ? few + many / 4 : 0;
	}
}

static int
take(struct bench_results *all, struct step *s)
{
	static enum bench_distance last_distance;
	struct bench_outcome o;

	/* It may be luckier the next time. */
	for (int i = 0; i < TRIES; i++) {
		run_cell(&s->cell, &o);
		clean_directory(s->cell.directory);
		if (o.state != BENCH_DONE || o.distance != BENCH_CHANGED)
			break;
	}
	/* Who is alone has nobody to be far from; it stands with those before
	 * and behind it. */
	if (s->cell.subject->traits & SUBJECT_ALONE)
		o.distance = last_distance;
	else if (o.state == BENCH_DONE && o.distance != BENCH_CHANGED)
		last_distance = o.distance;
	return bench_results_add(all, &s->cell, s->size, s->place,
	    s->repetition, &o);
}

/* The sizes of a metric, or its numbers of clients. */
static unsigned
sizes_of(const struct bench_options *o, const struct bench_metric *m,
    const size_t **size)
{
	static const size_t none = 0;

	if (m->sized) {
		*size = o->size;
		return o->sizes;
	}
	if (m == &bench_idle) {
		*size = o->clients;
		return o->client_counts;
	}
	*size = &none;
	return 1;
}

typedef int visitor(struct bench_results *, struct step *, void *);

/* Calls it for each subject at one size of one metric. */
static int
each_subject(struct bench_results *all, struct step *s,
    const struct bench_metric *m, visitor *visit, void *with)
{
	const struct bench_options *o = all->options;
	int rc = 0;

	for (unsigned i = 0; rc >= 0 && !*all->stop && i < all->subjects;
	    i++) {
		s->cell = (struct bench_cell){
		    .metric = m,
		    .subject = all->subject[i],
		    .size = m->sized ? s->size : m->size,
		    .links = m->sized || !s->size ? 1 : (unsigned)s->size,
		    .place = o->place[s->place],
		    .span = o->span,
		    .directory = all->directory };
		if (is_wanted(s))
			rc = visit(all, s, with);
	}
	return rc;
}

/* For each size of each metric at one place. */
static int
each_metric(struct bench_results *all, struct step *s, visitor *visit,
    void *with)
{
	const struct bench_options *o = all->options;
	const size_t *size;
	int rc = 0;

	for (int m = 0; bench_metrics[m]; m++) {
		unsigned n = sizes_of(o, bench_metrics[m], &size);

		if (!o->metric[m])
			continue;
		for (unsigned i = 0; rc >= 0 && i < n; i++) {
			s->size = size[i];
			rc = each_subject(all, s, bench_metrics[m], visit,
			    with);
		}
	}
	return rc;
}

/* One repetition. */
static int
each_step(struct bench_results *all, struct step *s, visitor *visit,
    void *with)
{
	int rc = 0;

	for (s->place = 0; rc >= 0 && s->place < all->options->places;
	    s->place++)
		rc = each_metric(all, s, visit, with);
	return rc;
}

struct walk {
	unsigned	 done, all;
	bench_progress	*progress;
};

static int
count_step(struct bench_results *all, struct step *s, void *with)
{
	struct walk *w = with;

	(void)all;
	(void)s;
	w->all++;
	return 0;
}

static int
take_step(struct bench_results *all, struct step *s, void *with)
{
	struct walk *w = with;

	if (w->progress)
		w->progress((double)w->done / w->all, &s->cell, s->size);
	w->done++;
	return take(all, s);
}

int
bench_plan_run(struct bench_results *all, bench_progress *progress)
{
	struct walk w = { .progress = progress };
	struct step s = { .repetition = 0 };
	int rc;

	rc = each_step(all, &s, count_step, &w);
	w.all *= all->options->repeat;
	for (; rc >= 0 && s.repetition < all->options->repeat; s.repetition++)
		rc = each_step(all, &s, take_step, &w);
	return rc;
}
