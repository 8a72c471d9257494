/* SPDX-License-Identifier: ISC */
/*
 * A cell: one subject, one thing measured, one size, one pair of processors,
 * once.  It runs in two fresh processes (see subject.h), which are killed if
 * they take too long, and nothing of it is left in the process that asked.
 *
 * Before and after, the two bounce one cache line.  How long that takes says
 * how far apart the two processors are at that moment, which under a
 * hypervisor may change from one second to the next: figures of different
 * distances can not be compared, and a cell that began at one and ended at the
 * other is worth nothing.
 */
#ifndef BENCH_CELL_H
#define BENCH_CELL_H

#include <stdatomic.h>

#include "clock.h"
#include "payload.h"
#include "place.h"
#include "subject.h"

#define BENCH_VALUES	8	/* that a cell has at most */
#define BENCH_NOTES	256	/* queues, segments */
#define BENCH_TEXT	192

struct bench_metric;

struct bench_cell {
	const struct bench_metric *metric;
	const struct subject	*subject;
	size_t			 size;		/* of a message */
	unsigned		 links;		/* that are open at once */
	struct bench_place	 place;
	double			 span;		/* ms to measure, about */
	const char		*directory;
};

enum bench_state {
	BENCH_FAILED,		/* and `error' says why */
	BENCH_ABSENT,		/* can not be had here; `error' says why */
	BENCH_DONE
};

struct bench_outcome {
	enum bench_state state;
	double		value[BENCH_VALUES];	/* as the metric names them */
	double		line[2];	/* ns, before and after; 0: one CPU */
	enum bench_distance distance;
	uint64_t	samples;
	uint64_t	faults;		/* pages touched first, both sides */
	uint64_t	preempted;	/* times that others took a CPU */
	char		error[BENCH_TEXT];
};

/* What a side has used of the machine. */
struct bench_use {
	uint64_t cpu;			/* ns */
	uint64_t faults;
	uint64_t preempted;
};

/* What the processes of a cell share. */
struct bench_shared {
	struct bench_outcome outcome;
	pid_t		pid[2];
	int		queue[BENCH_NOTES], segment[BENCH_NOTES];
	unsigned	queues, segments;
	char		memory_name[64];	/* "": none */
	/* Written by side 1 before a barrier and read by side 0 behind it. */
	struct bench_use use;
	double		memory;
	uint64_t	first_ticks, last_ticks, first_count, last_count;
	struct bench_use first_use;
	/* Each is written by one side with release and awaited by the other
	 * with acquire. */
	_Alignas(64) _Atomic uint64_t ping;
	_Alignas(64) _Atomic uint64_t pong;
	_Alignas(64) _Atomic uint32_t arrived[2];
	uint64_t	began;		/* ticks, before `phase' */
	/* Side 0 has begun to measure. */
	_Alignas(64) _Atomic int phase;
	/* Side 1 goes to sleep, or has all: release, acquire. */
	_Alignas(64) _Atomic uint64_t ready;
};

/* One side of a cell that runs. */
struct bench_run {
	const struct bench_cell	*cell;
	const struct subject	*subject;	/* the cell's */
	struct bench_shared	*shared;
	int			 side;
	struct link		*link;		/* cell->links of them */
	void			**end;
	struct payload		 payload;
	uint64_t		 prepared;	/* ticks that prepare took */
	uint64_t		 began;		/* when attach was begun */
};

struct bench_metric {
	const char	*name;		/* for --only */
	const char	*title;		/* for people */
	const char	*unit;		/* of value 0, the one to compare */
	bool		 more;		/* of it is better */
	bool		 calls;		/* for request and reply */
	bool		 sized;		/* measured for each size */
	size_t		 size;		/* where it is not */
	unsigned	 links[2];	/* that it wants; 0: one, or what the
					   cell says; both: twice, and what one
					   link more makes is the result */
	const char	*value[BENCH_VALUES];
	bool	(*fits)(const struct subject *, size_t size);
	int	(*run[2])(struct bench_run *);	/* the two sides */
};

/* ms that a cell may take beside what was asked for. */
extern unsigned bench_patience;

/* Before the first cell: memory for what is shared; and behind the last. */
int	bench_cells_begin(void);
void	bench_cells_end(void);

void	bench_cell_run(const struct bench_cell *, struct bench_outcome *);

/* For the metrics.  A barrier of the two sides; what this side has used. */
void	bench_meet(struct bench_run *);
void	bench_use(const struct bench_run *, struct bench_use *);

#endif
