/* SPDX-License-Identifier: ISC */
/*
 * ipc demo in parts: demo_link.c brings two processes together over one
 * mechanism in one way, demo_file.c moves a file between them, cmd_demo.c goes
 * through all mechanisms and prints what came of it.
 */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sha2.h>

#include "common.h"

#define DEMO_TIMEOUT	3000	/* ms, of any one call */
#define DIGEST_SIZE	SHA256_DIGEST_LENGTH

/*
 * Links
 */

struct link {
	const struct ipc_mechanism *mechanism;
	enum ipc_way		 way;
	const char		*directory;	/* for names that are paths */
	bool			 threads;	/* no second process */
	char			 there[256], back[256];	/* addresses */
	struct ipc_listener	*listener;
	struct ipc_channel	*ends[2];	/* a pair, or what receives */
};

/* Before the fork. */
int link_prepare(struct link *);
/* Behind it: the channel of the first process, and that of the other one. */
int link_near(struct link *, struct ipc_channel **);
int link_far(struct link *, struct ipc_channel **);
/* Frees what is left, and removes names. */
void link_clean(struct link *);

/*
 * Files
 */

struct file {
	char		*data;
	size_t		 size;
	unsigned char	 digest[DIGEST_SIZE];
};

/* One side of the conversation. */
struct talk {
	struct ipc_channel	*ch;
	size_t			 chunk;		/* bytes of a block */
	bool			 lossy;		/* blocks are acknowledged */
	uint32_t		 turn;		/* of the file that goes now */
	unsigned		 lost;		/* windows sent once more */
	struct file		 got;
	const char		*why;	/* NULL: ipc_errmsg() knows */
};

void talk_begin(struct talk *, struct ipc_channel *);
void talk_end(struct talk *);		/* the channel is the caller's */

/* The far side: answers pings and sends files back, until told to stop. */
int talk_serve(struct talk *);
int talk_stop(struct talk *);

/* The median of many round trips of 64 bytes, in seconds. */
int talk_ping(struct talk *, double *median);

/* There and back.  check: both sides compute the checksum, and it is compared;
 * otherwise the bytes are. */
int talk_file(struct talk *, const struct file *, bool check);

void digest_of(const void *data, size_t size, unsigned char *digest);

#endif
