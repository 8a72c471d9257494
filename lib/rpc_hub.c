/* SPDX-License-Identifier: ISC */
/*
 * Where threads that answer meet the one that serves: a list of sessions that
 * want to be looked at, and a bell.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rpc_server.h"

_Thread_local struct ipc_rpc_server *ipc__rpc_serving;

int
ipc__rpc_hub_new(struct ipc__rpc_hub **out)
{
	struct ipc__rpc_hub *hub = calloc(1, sizeof *hub);

	if (hub == NULL)
		return ipc__fail(ENOMEM, "no memory for a server");
	hub->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hub->bell == -1) {
		free(hub);
		return ipc__fail_sys("eventfd");
	}
	pthread_mutex_init(&hub->lock, NULL);
	atomic_init(&hub->refs, 1);
	*out = hub;
	return 0;
}

void
ipc__rpc_hub_unref(struct ipc__rpc_hub *hub)
{
	/* Release what was done through it to whoever frees it: acquire. */
	if (atomic_fetch_sub_explicit(&hub->refs, 1, memory_order_acq_rel) > 1)
		return;
	close(hub->bell);
	pthread_mutex_destroy(&hub->lock);
	ipc__rpc_heap_free(&hub->heap);
	free(hub);
}

/* Also out of signal handlers. */
void
ipc__rpc_ring(struct ipc__rpc_hub *hub)
{
	uint64_t one = 1;
	int saved = errno;

	if (write(hub->bell, &one, sizeof one) == -1)
		errno = saved;		/* full: it is rung */
}

void
ipc__rpc_list(struct ipc__rpc_session *x)
{
	struct ipc__rpc_hub *hub = x->hub;

	pthread_mutex_lock(&hub->lock);
	if (!x->listed) {
		x->listed = true;
		atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
		x->next_listed = hub->listed;
		hub->listed = x;
		atomic_store_explicit(&hub->any, true, memory_order_release);
	}
	pthread_mutex_unlock(&hub->lock);
	if (ipc__rpc_serving == NULL || ipc__rpc_serving->hub != hub)
		ipc__rpc_ring(hub);
}

struct ipc__rpc_session *
ipc__rpc_listed(struct ipc__rpc_hub *hub)
{
	struct ipc__rpc_session *x;

	if (!atomic_load_explicit(&hub->any, memory_order_acquire))
		return NULL;
	pthread_mutex_lock(&hub->lock);
	x = hub->listed;
	if (x != NULL) {
		hub->listed = x->next_listed;
		x->listed = false;
	}
	if (hub->listed == NULL)
		atomic_store_explicit(&hub->any, false, memory_order_relaxed);
	pthread_mutex_unlock(&hub->lock);
	return x;
}
