/* SPDX-License-Identifier: ISC */
/*
 * Servers: making, listening, limits, the descriptor for event loops, forks,
 * and the end.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "rpc_server.h"

#define MIB	((size_t)1024 * 1024)

static const size_t defaults[IPC__RPC_LIMITS] = {
	[IPC_RPC_CALLS] = 4096,
	[IPC_RPC_CALLS_TOTAL] = 65536,
	[IPC_RPC_ARGS] = 16 * MIB,
	[IPC_RPC_QUEUE] = MIB,
	[IPC_RPC_CLIENTS] = 1024,
	[IPC_RPC_CLIENTS_TOTAL] = 8192
};

static int
make_set(struct ipc_rpc_server *s)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll == -1)
		return ipc__fail_sys("epoll_create1");
	return ipc__rpc_add(s, s->hub->bell, &s->bell_source);
}

static void
set_most(struct ipc_rpc_server *s)
{
	s->in.most = ipc__rpc_body(IPC_RPC_METHOD_MAX);
	s->in.most += s->limits[IPC_RPC_ARGS];
}

int
ipc_rpc_server_new(struct ipc_rpc_server **out)
{
	struct ipc_rpc_server *s;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_server_new: no place for the "
		    "server");
	ipc__fork_watch();
	s = calloc(1, sizeof *s);
	if (s == NULL)
		return ipc__fail(ENOMEM, "no memory for a server");
	s->timer = s->epoll = -1;
	s->process = atomic_load(&ipc__process);
	s->bell_source.kind = IPC__RPC_BELL;
	s->timer_source.kind = IPC__RPC_TIMER;
	memcpy(s->limits, defaults, sizeof s->limits);
	set_most(s);
	rc = ipc__rpc_hub_new(&s->hub);
	if (rc == 0)
		rc = make_set(s);
	if (rc < 0)
		goto fail;
	*out = s;
	return 0;
fail:
	if (s->epoll != -1)
		close(s->epoll);
	if (s->hub != NULL)
		ipc__rpc_hub_unref(s->hub);
	free(s);
	return rc;
}

/*
 * Forks
 */

/* No thread of the parent is here to let a lock go, or to wake. */
static void
renew_locks(struct ipc_rpc_server *s)
{
	struct ipc__rpc_session *x;

	pthread_mutex_init(&s->hub->lock, NULL);
	for (x = s->sessions; x != NULL; x = x->next) {
		ipc__rpc_init_locks(x);
		x->waiters = 0;
	}
}

/* The bell and the epoll set are the parent's as well: this process has its
 * own. */
static int
renew(struct ipc_rpc_server *s)
{
	struct ipc__rpc_listener *l;
	struct ipc__rpc_session *x;
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), rc;

	if (bell == -1)
		return ipc__fail_sys("eventfd");
	close(s->hub->bell);
	s->hub->bell = bell;
	renew_locks(s);
	close(s->epoll);
	if (s->timer != -1)
		close(s->timer);
	s->timer = -1;
	rc = make_set(s);
	for (l = s->listeners; rc == 0 && l != NULL; l = l->next) {
		rc = ipc_listener_fd(l->l);
		if (rc >= 0)
			rc = ipc__rpc_add(s, rc, &l->source);
	}
	for (x = s->sessions; x != NULL; x = x->next) {
		ipc__wait_beside(x->ch, IPC_RECV, -1);
		x->reading = IPC__RPC_PAUSED;
		x->writing = false;
		if (x->flushing)
			ipc__rpc_list(x);	/* for room to send, too */
		if (rc == 0)
			rc = ipc__rpc_watch_session(x);
	}
	s->favourite = s->lonely = NULL;
	s->process = atomic_load(&ipc__process);
	return rc;
}

int
ipc__rpc_enter(struct ipc_rpc_server *s)
{
	if (s == NULL)
		return ipc__fail(EINVAL, "no server (NULL)");
	if (s->inside)
		return ipc__fail(EDEADLK, "a handler of this server can not "
		    "do that");
	return s->process == atomic_load(&ipc__process) ? 0 : renew(s);
}

/*
 * Listening
 */

static int
add_listener(struct ipc_rpc_server *s, struct ipc_listener *l)
{
	struct ipc__rpc_listener **at = &s->listeners, *new;
	int rc;

	new = calloc(1, sizeof *new);
	if (new == NULL)
		return ipc__fail(ENOMEM, "no memory for a listener");
	new->l = l;
	new->source = (struct ipc__rpc_source){ IPC__RPC_LISTENER, new };
	rc = ipc_listener_fd(l);
	if (rc >= 0)
		rc = ipc__rpc_add(s, rc, &new->source);
	if (rc < 0) {
		free(new);
		return rc;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = new;
	return 0;
}

/* A handler may do so too. */
static int
enter_inside(struct ipc_rpc_server *s)
{
	return s != NULL && s->inside ? 0 : ipc__rpc_enter(s);
}

static bool
says(const char *address, const char *option)
{
	const char *query = strchr(address, '?');

	return query != NULL && strstr(query, option) != NULL;
}

int
ipc_rpc_listen(struct ipc_rpc_server *s, const char *address, int flags)
{
	struct ipc_listener *l;
	int rc;

	rc = enter_inside(s);
	if (rc < 0)
		return rc;
	if (address == NULL || (flags != 0 && flags != IPC_DUPLEX))
		return ipc__fail(EINVAL, "ipc_rpc_listen: an address, and "
		    "flags that are 0 or IPC_DUPLEX");
	if (says(address, "boundary=stream") || says(address, "duplex=half"))
		return ipc__fail_at(address, ipc__fail(EINVAL, "calls want "
		    "messages, both ways at once"));
	rc = ipc_listen(&l, address, flags);
	if (rc < 0)
		return rc;
	rc = add_listener(s, l);
	if (rc < 0)
		ipc_listener_close(l);
	return rc;
}

int
ipc_rpc_adopt_listener(struct ipc_rpc_server *s, struct ipc_listener *l)
{
	int rc = enter_inside(s);

	if (rc == 0 && l == NULL)
		rc = ipc__fail(EINVAL, "ipc_rpc_adopt_listener: no listener");
	return rc < 0 ? rc : add_listener(s, l);
}

int
ipc_rpc_adopt(struct ipc_rpc_server *s, struct ipc_channel *ch)
{
	int rc = enter_inside(s);

	if (rc == 0 && ch == NULL)
		rc = ipc__fail(EINVAL, "ipc_rpc_adopt: no channel");
	return rc < 0 ? rc : ipc__rpc_session_new(s, ch, false);
}

int
ipc_rpc_address(const struct ipc_rpc_server *s, unsigned number, char *buffer,
    size_t size)
{
	const struct ipc__rpc_listener *l;

	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_address: no server");
	for (l = s->listeners; l != NULL && number > 0; l = l->next)
		number--;
	if (l == NULL)
		return ipc__fail(ENOENT, "this server has not so many "
		    "listeners");
	return ipc_listener_address(l->l, buffer, size);
}

int
ipc_rpc_limit(struct ipc_rpc_server *s, enum ipc_rpc_limit limit, size_t value)
{
	if (s == NULL || (int)limit < 0 || (int)limit >= IPC__RPC_LIMITS)
		return ipc__fail(EINVAL, "ipc_rpc_limit: a server, and one of "
		    "enum ipc_rpc_limit");
	/* A call is put into one frame of less than 1 GiB. */
	if (value > 1024 * MIB)
		return ipc__fail(EINVAL, "a limit of %zu exceeds %zu", value,
		    1024 * MIB);
	s->limits[limit] = value > 0 ? value : defaults[limit];
	set_most(s);
	return 0;
}

/*
 * The descriptor
 */

static int
make_timer(struct ipc_rpc_server *s)
{
	int rc;

	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer == -1)
		return ipc__fail_sys("timerfd_create");
	s->timer_set = 0;
	rc = ipc__rpc_add(s, s->timer, &s->timer_source);
	if (rc == 0 && s->favourite != NULL)
		rc = ipc__rpc_watch_session(s->favourite);
	if (rc < 0) {
		close(s->timer);
		s->timer = -1;
	}
	return rc;
}

int
ipc_rpc_fd(struct ipc_rpc_server *s)
{
	int rc = enter_inside(s);

	if (rc == 0 && s->timer == -1)
		rc = make_timer(s);
	if (rc < 0)
		return rc;
	ipc__rpc_settle(s);
	return s->epoll;
}

/*
 * The end
 */

static void
close_listeners(struct ipc_rpc_server *s)
{
	struct ipc__rpc_listener *l;
	int fd;

	while ((l = s->listeners) != NULL) {
		s->listeners = l->next;
		if (s->process == atomic_load(&ipc__process)) {
			fd = ipc_listener_fd(l->l);
			if (fd >= 0)
				ipc__rpc_del(s, fd);
		}
		ipc_listener_close(l->l);
		free(l);
	}
}

int
ipc_rpc_server_close(struct ipc_rpc_server *s)
{
	struct ipc__rpc_session *x;
	struct ipc_rpc_call *call;

	if (s == NULL)
		return 0;
	if (s->inside)
		return ipc__fail(EDEADLK, "a handler can not close its "
		    "server; ipc_rpc_stop ends the loop");
	if (s->process != atomic_load(&ipc__process))
		renew_locks(s);
	close_listeners(s);
	while (s->sessions != NULL)
		ipc__rpc_session_end(s->sessions, -EPIPE, false);
	/* From here on nobody is listed any more. */
	while ((x = ipc__rpc_listed(s->hub)) != NULL)
		ipc__rpc_session_unref(x);
	ipc__rpc_reap(s);
	if (s->timer != -1)
		close(s->timer);
	close(s->epoll);
	while ((call = s->spare) != NULL) {
		s->spare = call->next;
		free(call);
	}
	ipc__rpc_in_free(&s->in);
	ipc__rpc_methods_free(s);
	ipc__rpc_hub_unref(s->hub);
	free(s);
	return 0;
}
