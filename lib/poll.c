/* SPDX-License-Identifier: ISC */
/*
 * ipc_poll: channels, listeners and plain descriptors in one ppoll(2), by what
 * ipc_fd gives for each.
 */
#include <stdlib.h>

#include "core.h"

static int
item_fd(struct ipc_pollitem *item, int dir, struct pollfd *to)
{
	int fd;

	if (item->channel == NULL && item->listener == NULL) {
		*to = (struct pollfd){ item->fd, item->events, 0 };
		return 0;
	}
	fd = item->channel ? ipc_fd(item->channel, dir, NULL) :
	    ipc_listener_fd(item->listener);
	*to = (struct pollfd){ fd, POLLIN, 0 };
	return fd < 0 ? fd : 0;
}

static bool
wants_recv(const struct ipc_pollitem *item)
{
	return item->channel == NULL || item->events & POLLIN;
}

static bool
wants_send(const struct ipc_pollitem *item)
{
	return item->channel != NULL && item->events & POLLOUT;
}

/* An item takes a place for receiving, for sending, or both; no more, as
 * ppoll(2) takes as many as there may be descriptors. */
static int
item_begin(struct ipc_pollitem *item, struct pollfd *fds, unsigned *used)
{
	int rc = 0;

	item->revents = 0;
	if (wants_recv(item))
		rc = item_fd(item, IPC_RECV, &fds[(*used)++]);
	if (rc == 0 && wants_send(item))
		rc = item_fd(item, IPC_SEND, &fds[(*used)++]);
	return rc;
}

static int
item_end(struct ipc_pollitem *item, const struct pollfd *fds, unsigned *used)
{
	short revents = wants_recv(item) ? fds[(*used)++].revents : 0;

	if (item->channel == NULL && item->listener == NULL)
		item->revents = revents;
	else if (revents)
		item->revents = POLLIN;
	if (wants_send(item) && fds[(*used)++].revents)
		item->revents |= POLLOUT;
	return item->revents != 0;
}

int
ipc_poll(struct ipc_pollitem *items, size_t count, int timeout)
{
	struct pollfd few[32], *fds = few;
	int64_t deadline = ipc__deadline(timeout);
	unsigned used = 0, n = 0;
	int rc = 0, ready = 0;
	size_t i;

	if (count > 0 && items == NULL)
		return ipc__fail(EINVAL, "ipc_poll: no items");
	if (count > 16 && (fds = calloc(count, 2 * sizeof *fds)) == NULL)
		return ipc__fail(ENOMEM, "no memory for %zu items", count);
	for (i = 0; i < count && rc == 0; i++)
		rc = item_begin(&items[i], fds, &used);
	if (rc == 0)
		rc = ipc__poll_until(fds, used, deadline);
	for (i = 0; i < count && rc >= 0; i++)
		ready += item_end(&items[i], fds, &n);
	if (fds != few)
		free(fds);
	return rc < 0 ? rc : ready;
}
