/* SPDX-License-Identifier: ISC */
/*
 * ipc doctor: findings about this machine, gathered by one file for each kind
 * of them.
 */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

enum level {
	FINE,			/* as it should be */
	NOTE,			/* works, but something may surprise */
	PROBLEM			/* something fails */
};

struct finding {
	enum level	 level;
	const char	*about;		/* a limit, a place, a mechanism */
	char		*text;		/* what was found, and what it means */
	const char	*advice;	/* NULL: nothing is to be done */
};

struct doctor {
	struct finding	*findings;
	size_t		 count;
};

void finding(struct doctor *, enum level, const char *about,
    const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

void doctor_limits(struct doctor *);		/* doctor_limits.c */
void doctor_use(struct doctor *);		/* doctor_use.c */
void doctor_memory(struct doctor *);		/* doctor_memory.c */
void doctor_place(struct doctor *);		/* doctor_place.c */
void doctor_around(struct doctor *);		/* doctor_around.c */
void doctor_kernel(struct doctor *);		/* doctor_kernel.c */
void doctor_mechanisms(struct doctor *);	/* doctor_mechanisms.c */

/* The field-th number (from 0) in a file of /proc; false: there is none. */
bool read_number(const char *path, int field, unsigned long long *value);

/* Bytes as people say them, in one of a few buffers that are used in turns. */
const char *in_bytes(unsigned long long bytes);

#endif
