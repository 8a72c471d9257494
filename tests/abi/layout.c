/* SPDX-License-Identifier: ISC */
/*
 * Where each field is of the structures that lie in shared memory, and that
 * programs of any word size use: what two builds print must be the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "latest.h"
#include "layout.h"
#include "ring.h"
#include "syncfile.h"

static void
field(const char *name, size_t offset, size_t size)
{
	printf("%s: %u at %u\n", name, (unsigned)size, (unsigned)offset);
}

#define WHOLE(s)	field(#s, 0, sizeof(struct s))
#define FIELD(s, f)	field(#s "." #f, offsetof(struct s, f), \
	sizeof(((struct s *)NULL)->f))

static void
ring_side(void)
{
	WHOLE(ipc__ring_side);
	FIELD(ipc__ring_side, sleep);
	FIELD(ipc__ring_side, can);
	FIELD(ipc__ring_side, reg);
	FIELD(ipc__ring_side, life);
	FIELD(ipc__ring_side, want);
	FIELD(ipc__ring_side, grown);
	FIELD(ipc__ring_side, gate);
	FIELD(ipc__ring_side, cpu);
}

static void
ring_head(void)
{
	WHOLE(ipc__ring_head);
	FIELD(ipc__ring_head, magic);
	FIELD(ipc__ring_head, version);
	FIELD(ipc__ring_head, header);
	FIELD(ipc__ring_head, lines);
	FIELD(ipc__ring_head, payload);
	FIELD(ipc__ring_head, record);
	FIELD(ipc__ring_head, start);
	FIELD(ipc__ring_head, bytes);
	FIELD(ipc__ring_head, secret);
	FIELD(ipc__ring_head, send);
	FIELD(ipc__ring_head, recv);
	FIELD(ipc__ring_head, pos);
	FIELD(ipc__ring_head, jump);
	FIELD(ipc__ring_head, lines_used);
	FIELD(ipc__ring_head, payload_used);
	FIELD(ipc__ring_head, claim);
	FIELD(ipc__ring_head, beat);
	FIELD(ipc__ring_head, tiny);
	WHOLE(ipc__ring_line);
	FIELD(ipc__ring_line, word);
	FIELD(ipc__ring_line, u);
}

static void
latest(void)
{
	WHOLE(ipc__latest_head);
	FIELD(ipc__latest_head, magic);
	FIELD(ipc__latest_head, version);
	FIELD(ipc__latest_head, slots);
	FIELD(ipc__latest_head, size);
	FIELD(ipc__latest_head, bytes);
	FIELD(ipc__latest_head, secret);
	FIELD(ipc__latest_head, send);
	FIELD(ipc__latest_head, recv);
	FIELD(ipc__latest_head, newest);
	WHOLE(ipc__latest_slot);
	FIELD(ipc__latest_slot, number);
	FIELD(ipc__latest_slot, size);
	FIELD(ipc__latest_slot, flags);
	FIELD(ipc__latest_slot, data[0]);
}

/* By which the others are found out. */
static void
sync_head(void)
{
	WHOLE(ipc__sync_head);
	FIELD(ipc__sync_head, magic);
	FIELD(ipc__sync_head, version);
	FIELD(ipc__sync_head, kind);
	FIELD(ipc__sync_head, abi);
	FIELD(ipc__sync_head, boot);
	FIELD(ipc__sync_head, bell);
}

void
layout_print(void)
{
	ring_side();
	ring_head();
	latest();
	sync_head();
}
