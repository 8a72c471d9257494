/* SPDX-License-Identifier: ISC */
/*
 * Slots of calls under way.  A slot is used again only when the server has
 * ended the call that had it, and then with another generation; so an answer
 * that comes late finds no call, and never another one.  Free slots are used in
 * turn, which makes a generation last longest.
 */
#include <stdlib.h>

#include "rpc_client.h"

uint64_t
ipc__rpc_slot_id(const struct ipc__rpc_slot *slot)
{
	return (uint64_t)slot->generation << 32 | slot->number;
}

struct ipc__rpc_slot *
ipc__rpc_slot_of(const struct ipc_rpc_client *c, uint64_t id)
{
	uint32_t number = (uint32_t)id;
	struct ipc__rpc_slot *slot;

	if (number >= c->slot_count)
		return NULL;
	slot = c->slots[number];
	return slot->generation == id >> 32 && (slot->doubt ||
	    ipc__rpc_awaited(slot)) ? slot : NULL;
}

static struct ipc__rpc_slot *
slot_alloc(struct ipc_rpc_client *c)
{
	size_t room = c->slot_room > 0 ? c->slot_room * 2 : 16;
	struct ipc__rpc_slot **v, *slot;

	if (c->slot_count == c->slot_room) {
		v = reallocarray(c->slots, room,
		    sizeof(struct ipc__rpc_slot *));
		if (v == NULL)
			return NULL;
		c->slots = v;
		c->slot_room = room;
	}
	slot = calloc(1, sizeof *slot);
	if (slot == NULL)
		return NULL;
	slot->number = (uint32_t)c->slot_count;
	c->slots[c->slot_count++] = slot;
	return slot;
}

struct ipc__rpc_slot *
ipc__rpc_slot_new(struct ipc_rpc_client *c)
{
	struct ipc__rpc_slot *slot = c->free;

	if (ipc__likely(slot != NULL)) {
		c->free = slot->next_free;
		if (c->free == NULL)
			c->free_last = &c->free;
	} else {
		slot = slot_alloc(c);
		if (slot == NULL) {
			ipc__fail(ENOMEM, "no memory for a call");
			return NULL;
		}
	}
	slot->generation++;
	slot->state = IPC__RPC_UNSENT;
	slot->done = NULL;
	slot->user = NULL;
	slot->flags = 0;
	slot->parts = 0;
	slot->owed = slot->taken = 0;
	slot->doubt = false;
	slot->list = NULL;
	return slot;
}

/* No memory for the deadline is no reason to take back what is sent: the server
 * knows it as well. */
void
ipc__rpc_slot_sent(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    enum ipc__rpc_state state, int64_t deadline)
{
	slot->state = state;
	c->started += state == IPC__RPC_STARTED;
	if (deadline >= 0 && state != IPC__RPC_WAITED) {
		slot->timer.at = deadline;
		(void)ipc__rpc_heap_add(&c->heap, &slot->timer);
	}
}

/* Its answer is no longer awaited. */
static void
settled(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot)
{
	if (!ipc__rpc_awaited(slot))
		return;
	c->started -= slot->state == IPC__RPC_STARTED;
	ipc__rpc_heap_remove(&c->heap, &slot->timer);
}

void
ipc__rpc_slot_free(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot)
{
	settled(c, slot);
	if (slot->doubt) {
		slot->state = IPC__RPC_DOUBT;
		return;
	}
	slot->state = IPC__RPC_FREE;
	slot->next_free = NULL;
	*c->free_last = slot;
	c->free_last = &slot->next_free;
}

void
ipc__rpc_finish(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    int status, const void *data, size_t size, struct ipc__rpc_in *in)
{
	enum ipc__rpc_state state = slot->state;
	struct ipc__rpc_node *n = &slot->final;

	memset(n, 0, sizeof *n);
	n->slot = slot;
	n->status = status;
	if (!ipc__rpc_node_fill(n, data, size, in) && status == 0)
		n->status = -ENOMEM;
	settled(c, slot);
	slot->state = IPC__RPC_ENDED;
	if (state == IPC__RPC_STARTED)
		ipc__rpc_list_add(&c->ready, n);
	else if (state == IPC__RPC_STREAM)
		ipc__rpc_list_add(slot->list, n);
}

/* Where messages can be lost, nobody can wait for the last word; there the
 * generation alone tells calls apart. */
void
ipc__rpc_give_up_call(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    int status)
{
	struct ipc__rpc_msg m = { .head = { .type = IPC__RPC_CANCEL,
	    .id = ipc__rpc_slot_id(slot) } };

	/* What fails here is found again by who receives. */
	if (c->ch != NULL)
		(void)ipc__rpc_send(&c->out, &m);
	slot->doubt = c->ch != NULL && c->info.caps & IPC_CAP_RELIABLE;
	ipc__rpc_finish(c, slot, status, NULL, 0, NULL);
}

void
ipc__rpc_last_word(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot)
{
	slot->doubt = false;
	if (slot->state == IPC__RPC_DOUBT)
		ipc__rpc_slot_free(c, slot);
}

/* What comes after the call's end is the server's no more. */
void
ipc__rpc_credit(struct ipc_rpc_client *c, struct ipc__rpc_slot *slot,
    uint32_t generation, size_t size)
{
	struct ipc__rpc_msg m = { .head = { .type = IPC__RPC_CREDIT } };

	if (slot->generation != generation || c->ch == NULL ||
	    (slot->state != IPC__RPC_STARTED &&
	    slot->state != IPC__RPC_STREAM))
		return;
	slot->taken += size + IPC__RPC_PART_COST;
	if (slot->taken < IPC__RPC_WINDOW / 2)
		return;
	m.head.id = ipc__rpc_slot_id(slot);
	m.head.aux = (uint32_t)slot->taken;
	slot->owed -= slot->taken;
	slot->taken = 0;
	(void)ipc__rpc_send(&c->out, &m);
}

void
ipc__rpc_late(struct ipc_rpc_client *c)
{
	struct ipc__rpc_timer *t;
	int64_t now;

	if (ipc__likely(c->heap.count == 0))
		return;
	now = ipc__now();
	while ((t = ipc__rpc_heap_first(&c->heap)) != NULL && t->at <= now)
		ipc__rpc_give_up_call(c, (struct ipc__rpc_slot *)(void *)
		    ((char *)t - offsetof(struct ipc__rpc_slot, timer)),
		    -ETIMEDOUT);
}

void
ipc__rpc_slots_free(struct ipc_rpc_client *c)
{
	while (c->slot_count > 0)
		free(c->slots[--c->slot_count]);
	free(c->slots);
	ipc__rpc_heap_free(&c->heap);
}
