/* SPDX-License-Identifier: ISC */
/*
 * Answers that were taken in and that nobody has looked at yet, and how one is
 * handed out: its data, its descriptors, and its text.
 */
#include <stdlib.h>
#include <unistd.h>

#include "rpc_client.h"

void
ipc__rpc_list_init(struct ipc__rpc_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

void
ipc__rpc_list_add(struct ipc__rpc_list *l, struct ipc__rpc_node *n)
{
	n->next = NULL;
	*l->last = n;
	l->last = &n->next;
}

struct ipc__rpc_node *
ipc__rpc_list_take(struct ipc__rpc_list *l)
{
	struct ipc__rpc_node *n = l->first;

	if (n == NULL)
		return NULL;
	l->first = n->next;
	if (l->first == NULL)
		l->last = &l->first;
	return n;
}

void
ipc__rpc_list_free(struct ipc_rpc_client *c, struct ipc__rpc_list *l)
{
	struct ipc__rpc_node *n;

	while ((n = ipc__rpc_list_take(l)) != NULL)
		ipc__rpc_node_free(c, n);
}

static bool
copy_data(struct ipc__rpc_node *n, const void *data, size_t size)
{
	if (size == 0)
		return true;
	n->data = malloc(size);
	if (n->data == NULL)
		return false;
	memcpy(n->data, data, size);
	n->size = size;
	return true;
}

static bool
move_fds(struct ipc__rpc_node *n, struct ipc__rpc_in *in)
{
	n->fds_lost = in->fds_lost;
	if (in->fd_count == 0)
		return true;
	n->fds = malloc(in->fd_count * sizeof in->fds[0]);
	if (n->fds == NULL)
		return false;
	memcpy(n->fds, in->fds, in->fd_count * sizeof in->fds[0]);
	n->fd_count = in->fd_count;
	in->fd_count = 0;
	return true;
}

bool
ipc__rpc_node_fill(struct ipc__rpc_node *n, const void *data, size_t size,
    struct ipc__rpc_in *in)
{
	if (ipc__likely(copy_data(n, data, size) &&
	    (in == NULL || move_fds(n, in))))
		return true;
	free(n->data);
	n->data = NULL;
	n->size = 0;
	return false;
}

void
ipc__rpc_node_free(struct ipc_rpc_client *c, struct ipc__rpc_node *n)
{
	while (n->fd_count > 0)
		close(n->fds[--n->fd_count]);
	free(n->fds);
	free(n->data);
	if (n == &n->slot->final)
		ipc__rpc_slot_free(c, n->slot);
	else
		free(n);
}

int
ipc__rpc_tell(const struct ipc_rpc_client *c, int status, const void *text,
    size_t size)
{
	int length = size < IPC__TEXT_SIZE ? (int)size : IPC__TEXT_SIZE;

	if (status == 0 || status == IPC_RPC_MORE)
		return status;
	if (status > 0 && length > 0)
		(void)ipc__fail(status, "%.*s", length, (const char *)text);
	else if (status > 0)
		(void)ipc__fail(status, "%s: the method failed with code %d",
		    c->address, status);
	else if (length > 0)
		(void)ipc__fail(-status, "%s: %.*s", c->address, length,
		    (const char *)text);
	else
		(void)ipc__fail(-status, "%s: %s", c->address,
		    status == -ECANCELED ? "the call was cancelled" :
		    status == -ETIMEDOUT ? "no answer in time" :
		    ipc_strerror(status));
	return status;
}

void
ipc__rpc_give_fds(struct ipc_rpc_client *c, const int *fds, unsigned count,
    bool lost)
{
	while (c->given_count > 0)
		close(c->given[--c->given_count]);
	if (count > 0)
		memcpy(c->given, fds, count * sizeof *fds);
	c->given_count = count;
	c->given_lost = lost;
}

int
ipc__rpc_hand_out(struct ipc_rpc_client *c, struct ipc__rpc_node *n,
    void **reply, size_t *size)
{
	bool good = n->status == 0 || n->status == IPC_RPC_MORE;
	int status = n->status;

	if (good) {
		ipc__rpc_give_fds(c, n->fds, n->fd_count, n->fds_lost);
		n->fd_count = 0;
	} else
		ipc__rpc_tell(c, status, n->data, n->size);
	if (size != NULL)
		*size = good ? n->size : 0;
	if (reply != NULL && good) {
		*reply = n->data;
		n->data = NULL;
	} else if (reply != NULL)
		*reply = NULL;
	ipc__rpc_node_free(c, n);
	return status;
}

int
ipc_rpc_reply_take_fds(struct ipc_rpc_client *c, int *fds, unsigned room)
{
	unsigned n;

	if (c == NULL || (fds == NULL && room > 0))
		return ipc__fail(EINVAL, "ipc_rpc_reply_take_fds: an argument "
		    "is NULL");
	if (c->given_lost)
		return ipc__fail(EMFILE, "%s: no free descriptor for those "
		    "that came (RLIMIT_NOFILE)", c->address);
	n = c->given_count;
	if (n > room)
		return ipc__fail(EMSGSIZE, "%s: %u descriptors came, and there "
		    "is room for %u", c->address, n, room);
	if (n > 0)
		memcpy(fds, c->given, n * sizeof *fds);
	c->given_count = 0;
	return (int)n;
}
