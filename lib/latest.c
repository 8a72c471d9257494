/* SPDX-License-Identifier: ISC */
/*
 * Slots that hold only the newest message.
 *
 * Message n goes into slot n modulo 4.  The sender marks the slot as being
 * written, fills it, marks it with n, and then says that n is the newest.  The
 * receiver copies the slot of the newest and looks at the mark again: if it
 * has changed meanwhile, the sender has come round to this slot, and there are
 * newer ones.  So neither waits for the other, and no half message is seen.
 *
 * ATOMICS.  slot->number: 0 is stored before the first byte is written, with a
 * release fence behind it, which pairs with the acquire fence between the
 * receiver's copying and its second look: whoever has read a byte of the new
 * message sees that the mark is not n any more.  n is stored with release, and
 * pairs with the acquire of the first look.  newest: release and acquire, so
 * that the slot it speaks of is complete.
 *
 * A kill of the sender leaves a slot that is being written, which newest does
 * not speak of; its successor begins with the same slot.  Sleeping is the
 * ring's: see ring.c.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "latest.h"

#define TRIES	8		/* against a sender that comes round */

static const unsigned char magic[8] = {
	'i', 'p', 'c', 'S', 'l', 'o', 't', '\n'
};

uint64_t
ipc__latest_size(const struct ipc__options *opt)
{
	uint64_t size = IPC__LATEST_SIZE;

	/* What was asked for fits; a ceiling is one. */
	if (opt->set & UINT32_C(1) << IPC__KEY_MAX_MESSAGE)
		size = ipc__ring_lines((size_t)opt->max_message) *
		    IPC__RING_LINE;
	if (opt->capacity != 0 && opt->capacity / IPC__LATEST_SLOTS < size)
		size = opt->capacity / IPC__LATEST_SLOTS;
	if (size > IPC__LATEST_SIZE_MAX)
		size = IPC__LATEST_SIZE_MAX;
	return size < IPC__RING_LINE ? IPC__RING_LINE :
	    size / IPC__RING_LINE * IPC__RING_LINE;
}

static size_t
latest_stride(uint64_t size)
{
	return sizeof(struct ipc__latest_slot) + (size_t)size;
}

size_t
ipc__latest_bytes(uint64_t size)
{
	return sizeof(struct ipc__latest_head) +
	    IPC__LATEST_SLOTS * latest_stride(size);
}

void
ipc__latest_format(void *memory, uint64_t size)
{
	struct ipc__latest_head *h = memory;

	h->version = htole32(IPC__RING_VERSION);
	h->slots = htole32(IPC__LATEST_SLOTS);
	h->size = htole64(size);
	h->bytes = htole64(ipc__latest_bytes(size));
	memcpy(h->magic, magic, sizeof magic);
}

bool
ipc__latest_is(const void *memory)
{
	unsigned char m[sizeof magic] = { 0 };
	unsigned i;

	for (i = 0; i < sizeof m; i++)
		m[i] = ((const volatile unsigned char *)memory)[i];
	return memcmp(m, magic, sizeof m) == 0;
}

int
ipc__latest_check(const void *memory, size_t bytes, uint64_t *out)
{
	const volatile struct ipc__latest_head *h = memory;
	uint64_t size;

	if (bytes < sizeof *h)
		return ipc__fail(EBADMSG, "%zu bytes are too few for slots",
		    bytes);
	if (!ipc__latest_is(memory))
		return ipc__fail(EPROTO, "this memory does not hold slots");
	if (le32toh(h->version) != IPC__RING_VERSION)
		return ipc__fail(EPROTO, "slots of version %u, not %u",
		    le32toh(h->version), IPC__RING_VERSION);
	size = le64toh(h->size);
	if (size < IPC__RING_LINE || size > IPC__LATEST_SIZE_MAX ||
	    size % IPC__RING_LINE != 0 ||
	    le32toh(h->slots) != IPC__LATEST_SLOTS ||
	    le64toh(h->bytes) != ipc__latest_bytes(size))
		return ipc__fail(EPROTO, "slots of another layout");
	if (ipc__latest_bytes(size) > bytes)
		return ipc__fail(EBADMSG, "slots of %zu bytes in %zu",
		    ipc__latest_bytes(size), bytes);
	*out = size;
	return 0;
}

void
ipc__latest_join(struct ipc__latest *l, void *memory, uint64_t size,
    const struct ipc__ring_ops *ops, void *owner)
{
	memset(l, 0, sizeof *l);
	l->head = memory;
	l->size = (size_t)size;
	l->ops = ops;
	l->owner = owner;
}

void
ipc__latest_leave(struct ipc__latest *l)
{
	free(l->copy);
	l->copy = NULL;
}

static struct ipc__latest_slot *
latest_slot(const struct ipc__latest *l, uint64_t number)
{
	return (struct ipc__latest_slot *)(void *)
	    ((unsigned char *)(l->head + 1) +
	    number % IPC__LATEST_SLOTS * latest_stride(l->size));
}

/* The slot's memory as far as this message goes, a page at a time. */
static int
latest_populate(struct ipc__latest *l, uint64_t number, size_t size)
{
	struct ipc__latest_slot *slot = latest_slot(l, number);
	size_t *real = &l->real[number % IPC__LATEST_SLOTS];
	size_t at = (size_t)((unsigned char *)slot -
	    (unsigned char *)l->head), want = sizeof *slot + size;
	int rc;

	if (want <= *real)
		return 0;
	want = want * 2 > latest_stride(l->size) ? latest_stride(l->size) :
	    want * 2;
	rc = l->ops->populate(l->owner, at, want);
	if (rc == 0)
		*real = want;
	return rc;
}

int
ipc__latest_reserve(struct ipc__latest *l, void **data, size_t size)
{
	struct ipc__latest_slot *slot;
	uint64_t number;
	int rc;

	l->open = false;
	if (size > l->size)
		return ipc__fail(EMSGSIZE, "%zu bytes do not fit into a slot "
		    "of %zu (max-message, capacity)", size, l->size);
	/* Acquire is not needed for one's own word; a successor has it from the
	 * lock that it took. */
	number = ipc__ring_get(&l->head->newest, memory_order_relaxed) + 1;
	if (number == 0)
		number = IPC__LATEST_SLOTS;
	rc = latest_populate(l, number, size);
	if (rc < 0)
		return rc;
	slot = latest_slot(l, number);
	ipc__ring_set(&slot->number, 0, memory_order_relaxed);
	/* Pairs with the acquire fence in latest_copy(). */
	atomic_thread_fence(memory_order_release);
	l->number = number;
	l->room = size;
	l->open = true;
	*data = slot->data;
	return 0;
}

int
ipc__latest_commit(struct ipc__latest *l, size_t size, unsigned flags)
{
	struct ipc__latest_slot *slot = latest_slot(l, l->number);

	if (!l->open || size > l->room)
		return -EINVAL;
	if (flags & IPC__MORE)
		return ipc__fail(EMSGSIZE, "a message in pieces does not fit "
		    "into a slot of %zu bytes (max-message, capacity)",
		    l->size);
	l->open = false;
	atomic_store_explicit(&slot->size, htole32((uint32_t)size),
	    memory_order_relaxed);
	atomic_store_explicit(&slot->flags, htole32(flags & IPC__CONTROL),
	    memory_order_relaxed);
	/* Both pair with the acquires in latest_copy(). */
	ipc__ring_set(&slot->number, l->number, memory_order_release);
	ipc__ring_set(&l->head->newest, l->number, memory_order_release);
	return 0;
}

ssize_t
ipc__latest_send(struct ipc__latest *l, const struct iovec *iov, int count,
    unsigned flags)
{
	unsigned char *to;
	size_t size = 0;
	void *data;
	int i, rc;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	rc = ipc__latest_reserve(l, &data, size);
	if (rc < 0)
		return rc;
	for (i = 0, to = data; i < count; to += iov[i++].iov_len)
		if (iov[i].iov_len > 0)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
	rc = ipc__latest_commit(l, size, flags);
	return rc < 0 ? rc : (ssize_t)size;
}

static int
latest_room(struct ipc__latest *l, size_t size)
{
	unsigned char *p;

	if (l->copy != NULL && size <= l->copy_size)
		return 0;
	p = realloc(l->copy, size ? size : 1);
	if (p == NULL)
		return ipc__fail(ENOMEM, "no memory for a message of %zu bytes",
		    size);
	l->copy = p;
	l->copy_size = size;
	return 0;
}

/* Copies message `number': 1 if it was whole, 0 if the sender came round. */
static int
latest_copy(struct ipc__latest *l, uint64_t number)
{
	struct ipc__latest_slot *slot = latest_slot(l, number);
	size_t size;
	int rc;

	if (ipc__ring_get(&slot->number, memory_order_acquire) != number)
		return 0;
	size = le32toh(atomic_load_explicit(&slot->size,
	    memory_order_relaxed));
	l->flags = le32toh(atomic_load_explicit(&slot->flags,
	    memory_order_relaxed)) & IPC__CONTROL;
	if (size > l->size)
		return ipc__ring_get(&slot->number, memory_order_relaxed) ==
		    number ? ipc__fail(EBADMSG, "the slot is broken: length") :
		    0;
	rc = latest_room(l, size);
	if (rc < 0)
		return rc;
	memcpy(l->copy, slot->data, size);
	/* Pairs with the release fence in ipc__latest_reserve(). */
	atomic_thread_fence(memory_order_acquire);
	l->length = size;
	return ipc__ring_get(&slot->number, memory_order_relaxed) == number;
}

ssize_t
ipc__latest_peek(struct ipc__latest *l, const void **data, unsigned *flags)
{
	uint64_t number;
	int i, rc;

	for (i = 0; l->shown == 0 && i < TRIES; i++) {
		number = ipc__ring_get(&l->head->newest, memory_order_acquire);
		if (number == l->number || number == 0)
			return -EAGAIN;
		rc = latest_copy(l, number);
		if (rc < 0)
			return rc;
		if (rc == 1)
			l->shown = number;
	}
	if (l->shown == 0)
		return -EAGAIN;
	*data = l->copy;
	*flags = l->flags;
	return (ssize_t)l->length;
}

void
ipc__latest_release(struct ipc__latest *l)
{
	if (l->shown != 0)
		l->number = l->shown;
	l->shown = 0;
}

bool
ipc__latest_ready(const struct ipc__latest *l)
{
	uint64_t newest = ipc__ring_get(&l->head->newest,
	    memory_order_acquire);

	return l->shown != 0 || (newest != 0 && newest != l->number);
}
