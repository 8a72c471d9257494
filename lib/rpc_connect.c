/* SPDX-License-Identifier: ISC */
/*
 * Clients: connecting, once or with reconnect=1 again, the descriptor for event
 * loops, and the end.
 */
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "rpc_client.h"

#define PAUSE_LAST	1000	/* ms between tries to connect, at last */
#define TRY_TIME	5000	/* ms that one try may take */

int
ipc__rpc_left(int64_t deadline)
{
	int64_t left;

	if (deadline < 0)
		return -1;
	left = (deadline - ipc__now() + 999999) / 1000000;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/*
 * The descriptor
 */

static int
watch(struct ipc_rpc_client *c, int dir, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	c->polled = true;
	*fd = ipc_fd(c->ch, dir, NULL);
	if (*fd < 0)
		return *fd;
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, *fd, &ev) == 0)
		return 0;
	*fd = -1;
	return ipc__fail_sys("epoll_ctl");
}

static void
unwatch(struct ipc_rpc_client *c, int *fd)
{
	if (*fd >= 0)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, *fd, NULL);
	*fd = -1;
}

static int
settle(struct ipc_rpc_client *c)
{
	struct ipc__rpc_timer *t = ipc__rpc_heap_first(&c->heap);
	bool send = c->hungry || c->out.first != NULL;
	int64_t at = t != NULL ? t->at : 0;
	int rc = 0;

	if (c->ready.first != NULL)
		at = 1;			/* long past: it shows at once */
	ipc__rpc_alarm(c->timer, at, &c->timer_set);
	if (c->ch == NULL)
		return 0;
	if (c->read_fd < 0)
		rc = watch(c, IPC_RECV, &c->read_fd);
	if (rc == 0 && send && c->write_fd < 0)
		rc = watch(c, IPC_SEND, &c->write_fd);
	else if (!send)
		unwatch(c, &c->write_fd);
	return rc;
}

int
ipc__rpc_client_settle(struct ipc_rpc_client *c, int rc)
{
	struct ipc__error kept;

	if (ipc__likely(c->epoll == -1))
		return rc;
	ipc__error_keep(&kept);
	(void)settle(c);	/* the next call tries it again */
	ipc__error_restore(&kept);
	return rc;
}

static void
close_set(struct ipc_rpc_client *c)
{
	if (c->epoll == -1)
		return;
	close(c->epoll);
	close(c->timer);
	c->epoll = c->timer = c->read_fd = c->write_fd = -1;
	c->timer_set = 0;
}

static int
make_set(struct ipc_rpc_client *c)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int rc;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll == -1)
		return ipc__fail_sys("epoll_create1");
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->timer == -1) {
		rc = ipc__fail_sys("timerfd_create");
		close(c->epoll);
		c->epoll = -1;
		return rc;
	}
	rc = epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->timer, &ev) == -1 ?
	    ipc__fail_sys("epoll_ctl") : settle(c);
	if (rc < 0) {
		if (c->ch != NULL) {
			unwatch(c, &c->read_fd);
			unwatch(c, &c->write_fd);
		}
		close_set(c);
	}
	return rc;
}

int
ipc_rpc_client_fd(struct ipc_rpc_client *c)
{
	int rc = ipc__rpc_client_enter(c);

	if (rc == 0)
		rc = c->epoll == -1 ? make_set(c) : settle(c);
	return rc < 0 ? rc : c->epoll;
}

/* In a forked child the set is the parent's as well: it is made anew when it is
 * asked for. */
int
ipc__rpc_client_enter(struct ipc_rpc_client *c)
{
	if (ipc__unlikely(c == NULL))
		return ipc__fail(EINVAL, "no client (NULL)");
	if (ipc__unlikely(c->process != atomic_load_explicit(&ipc__process,
	    memory_order_relaxed))) {
		close_set(c);
		c->polled = false;
		c->process = atomic_load(&ipc__process);
	}
	return 0;
}

/*
 * Connections
 */

static void
close_channel(struct ipc_rpc_client *c)
{
	if (c->process == atomic_load(&ipc__process)) {
		unwatch(c, &c->read_fd);
		unwatch(c, &c->write_fd);
	}
	ipc__rpc_out_free(&c->out);
	ipc_close(c->ch);
	c->ch = NULL;
	c->expect = c->polled = false;
}

/* Longer each time, and not for all clients of a server the same. */
static void
rest(struct ipc_rpc_client *c)
{
	int64_t now = ipc__now();
	int64_t pause = (int64_t)c->pause * 1000000;

	c->not_before = now + pause / 2 + (now ^ (int64_t)getpid() * 7919) %
	    (pause / 2);
	c->pause *= 2;
	if (c->pause > PAUSE_LAST)
		c->pause = PAUSE_LAST;
}

void
ipc__rpc_lost(struct ipc_rpc_client *c, int code)
{
	struct ipc__rpc_slot *slot;
	size_t i;

	if (c->ch == NULL)
		return;
	close_channel(c);
	c->end = code;
	rest(c);
	for (i = 0; i < c->slot_count; i++) {
		slot = c->slots[i];
		if (slot->doubt)
			ipc__rpc_last_word(c, slot);
		else if (ipc__rpc_awaited(slot))
			ipc__rpc_finish(c, slot, code, c->why, strlen(c->why),
			    NULL);
	}
}

static int
attach(struct ipc_rpc_client *c, struct ipc_channel *ch)
{
	struct ipc_info info;
	int rc = ipc__rpc_fits(ch, &info);

	if (rc < 0)
		return rc;
	c->ch = ch;
	c->info = info;
	ipc__rpc_out_init(&c->out, ch, info.caps & IPC_CAP_FDS);
	c->why[0] = '\0';
	c->end = 0;
	c->hungry = false;
	return 0;
}

/* Nobody there, or not now: that may pass. */
static bool
may_pass(int rc)
{
	switch (rc) {
	case -ECONNREFUSED:
	case -ENOENT:
	case -ECONNRESET:
	case -EPIPE:
	case -ETIMEDOUT:
	case -EAGAIN:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static int
try_once(struct ipc_rpc_client *c, int timeout, int flags)
{
	struct ipc_channel *ch;
	int rc = ipc_connect(&ch, c->address, flags, timeout);

	if (rc < 0) {
		rest(c);
		return rc;
	}
	rc = attach(c, ch);
	if (rc < 0)
		ipc_close(ch);
	return rc;
}

/* Until it may be tried again: 0; or the deadline comes first. */
static int
wait_turn(struct ipc_rpc_client *c, int64_t deadline)
{
	int64_t at = c->not_before;
	struct pollfd none = { .fd = -1 };

	if (deadline >= 0 && deadline < at) {
		(void)ipc__poll_until(&none, 1, deadline);
		return ipc__plain(-ETIMEDOUT);
	}
	if (at > ipc__now())
		(void)ipc__poll_until(&none, 1, at);
	return 0;
}

static int
try_until(struct ipc_rpc_client *c, int64_t deadline)
{
	struct ipc__error kept;
	int rc = 0, left;

	do {
		if (rc < 0) {
			/* Why it can not be reached tells more than that the
			 * time is over. */
			ipc__error_keep(&kept);
			if (wait_turn(c, deadline) < 0) {
				ipc__error_restore(&kept);
				return rc;
			}
		} else if ((rc = wait_turn(c, deadline)) < 0)
			return rc;
		left = ipc__rpc_left(deadline);
		if (left < 0 || left > TRY_TIME)
			left = TRY_TIME;
		rc = try_once(c, left > 0 ? left : 1, 0);
	} while (rc < 0 && may_pass(rc));
	return rc;
}

int
ipc__rpc_connected(struct ipc_rpc_client *c, int64_t deadline, bool wait)
{
	if (ipc__likely(c->ch != NULL))
		return 0;
	if (!c->again)
		return ipc__rpc_tell(c, c->end, c->why, strlen(c->why));
	if (wait)
		return try_until(c, deadline);
	/* Under way is enough; the send says whether it is there. */
	if (ipc__now() < c->not_before)
		return ipc__plain(-EAGAIN);
	if (try_once(c, 0, IPC_ASYNC) == 0)
		return 0;
	return ipc__plain(-EAGAIN);
}

/*
 * Clients
 */

static struct ipc_rpc_client *
client_alloc(const char *address)
{
	struct ipc_rpc_client *c = calloc(1, sizeof *c);

	if (c != NULL && (c->address = strdup(address)) == NULL) {
		free(c);
		c = NULL;
	}
	if (c == NULL) {
		ipc__fail(ENOMEM, "no memory for a client");
		return NULL;
	}
	ipc__fork_watch();
	c->process = atomic_load(&ipc__process);
	c->epoll = c->timer = c->read_fd = c->write_fd = -1;
	c->free_last = &c->free;
	c->in.most = SIZE_MAX;		/* the channel has its own limit */
	c->pause = IPC__RPC_PAUSE;
	ipc__rpc_list_init(&c->ready);
	return c;
}

static void
client_free(struct ipc_rpc_client *c)
{
	ipc__rpc_give_fds(c, NULL, 0, false);
	ipc__rpc_in_free(&c->in);
	ipc__rpc_slots_free(c);
	close_set(c);
	free(c->address);
	free(c);
}

/* Takes reconnect= out of an address, as it is no option of a channel's. */
static int
take_option(char *address, bool *again)
{
	static const char key[] = "reconnect=";
	char *at = strchr(address, '?'), *end;
	size_t n = sizeof key - 1;

	while (at != NULL && strncmp(at + 1, key, n) != 0)
		at = strchr(at + 1, '&');
	if (at == NULL)
		return 0;
	end = at + 1 + strcspn(at + 1, "&");
	if (end != at + n + 2 || (at[n + 1] != '0' && at[n + 1] != '1'))
		return ipc__fail(EINVAL, "%.*s: reconnect takes 0 or 1",
		    (int)(end - at - 1), at + 1);
	*again = at[n + 1] == '1';
	if (*end == '\0')
		*at = '\0';
	else
		memmove(at + 1, end + 1, strlen(end + 1) + 1);
	return 0;
}

int
ipc_rpc_connect(struct ipc_rpc_client **out, const char *address, int timeout)
{
	struct ipc_rpc_client *c;
	int64_t deadline;
	int rc;

	if (out == NULL || address == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_connect: an argument is "
		    "NULL");
	c = client_alloc(address);
	if (c == NULL)
		return -ENOMEM;
	rc = take_option(c->address, &c->again);
	if (rc == 0 && c->again && timeout != 0) {
		deadline = ipc__deadline(timeout);
		rc = try_until(c, deadline);
	} else if (rc == 0)
		rc = try_once(c, timeout, 0);
	if (rc < 0) {
		client_free(c);
		return ipc__fail_at(address, rc);
	}
	*out = c;
	return 0;
}

int
ipc_rpc_attach(struct ipc_rpc_client **out, struct ipc_channel *ch)
{
	struct ipc_rpc_client *c;
	struct ipc_info info = { .struct_size = sizeof info };
	int rc;

	if (out == NULL || ch == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_attach: an argument is "
		    "NULL");
	rc = ipc_info(ch, &info);
	if (rc < 0)
		return rc;
	c = client_alloc(info.scheme);
	if (c == NULL)
		return -ENOMEM;
	rc = attach(c, ch);
	if (rc < 0)
		client_free(c);
	else
		*out = c;
	return rc;
}

/* In a forked child the calls are the parent's. */
int
ipc_rpc_client_close(struct ipc_rpc_client *c)
{
	struct ipc_rpc_stream *s;

	if (c == NULL)
		return 0;
	if (c->inside)
		return ipc__fail(EDEADLK, "a done can not close its client");
	c->why[0] = '\0';
	ipc__rpc_lost(c, -ECANCELED);
	if (c->process == atomic_load(&ipc__process))
		(void)ipc__rpc_run_ready(c);
	else
		ipc__rpc_list_free(c, &c->ready);
	for (s = c->streams; s != NULL; s = s->next) {
		ipc__rpc_list_free(c, &s->list);
		s->c = NULL;
	}
	client_free(c);
	return 0;
}
