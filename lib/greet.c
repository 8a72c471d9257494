/* SPDX-License-Identifier: ISC */
/*
 * Greetings on their way (see greet.h).  Both sides only ever try: who waits,
 * and how long, is decided by the callers.
 */
#include <string.h>
#include <unistd.h>

#include "greet.h"

void
ipc__greeter_init(struct ipc__greeter *g)
{
	memset(g, 0, sizeof *g);
	g->fd = -1;
}

void
ipc__greeter_close_fds(struct ipc__greeter *g)
{
	unsigned i;

	for (i = 0; i < g->fd_count; i++)
		if (g->fds[i] != -1)
			close(g->fds[i]);
	g->fd_count = 0;
}

static int
put_bytes(struct ipc__greeter *g, const unsigned char *p, size_t size)
{
	struct iovec iov;
	ssize_t n;

	while (g->put < size) {
		iov.iov_base = (void *)(p + g->put);
		iov.iov_len = size - g->put;
		if ((n = ipc__be_send(g->half, &iov, 1, NULL)) < 0)
			return (int)n;
		g->put += (size_t)n;
	}
	return 0;
}

static int
put_record(struct ipc__greeter *g, const unsigned char *p, size_t size)
{
	struct ipc__aside aside = { .flags = IPC__CONTROL };
	unsigned char tag = IPC__TAG_CONTROL;
	struct iovec iov[2] = { { &tag, 1 }, { (void *)p, size } };
	bool tagged = !(g->half->be->traits & IPC__FLAGS);
	ssize_t n;

	n = tagged ? ipc__be_send(g->half, iov, 2, NULL) :
	    ipc__be_send(g->half, iov + 1, 1, &aside);
	return n < 0 ? (int)n : 0;
}

int
ipc__greeter_put(struct ipc__greeter *g, const unsigned char *p, size_t size,
    const int *fds, unsigned fd_count)
{
	ssize_t n;
	int rc;

	if (g->half == NULL) {
		n = ipc__control_send(g->fd, p, size, fds, fd_count);
		return n < 0 ? (int)n : 0;
	}
	rc = g->half->be->traits & IPC__BYTES ? put_bytes(g, p, size) :
	    put_record(g, p, size);
	if (rc == 0)
		g->put = 0;
	return rc;
}

int
ipc__greeter_say(struct ipc__greeter *g, const struct ipc__greeting *what)
{
	unsigned char p[IPC__GREETING];

	ipc__greeting_put(p, what);
	return ipc__greeter_put(g, p, sizeof p, NULL, 0);
}

static int
get_bytes(struct ipc__greeter *g)
{
	struct iovec iov;
	ssize_t n;

	while (g->got < IPC__GREETING) {
		iov.iov_base = g->buf + g->got;
		iov.iov_len = IPC__GREETING - g->got;
		if ((n = ipc__be_recv(g->half, &iov, 1, NULL)) <= 0)
			return n == 0 ? -EPIPE : (int)n;
		g->got += (size_t)n;
	}
	return 0;
}

static int
peek_record(struct ipc__greeter *g)
{
	const void *data;
	unsigned flags;
	ssize_t n;

	if ((n = ipc__be_peek(g->half, &data, &flags)) < 0)
		return (int)n;
	if (n == IPC__GREETING && flags & IPC__CONTROL)
		memcpy(g->buf, data, IPC__GREETING);
	ipc__be_release(g->half, 0);
	return n == IPC__GREETING && flags & IPC__CONTROL ? 0 : -EBADMSG;
}

static int
get_record(struct ipc__greeter *g)
{
	bool tagged = !(g->half->be->traits & IPC__FLAGS);
	unsigned char tag = 0, spill[512];
	struct ipc__aside aside = { 0 };
	struct iovec iov[3] = { { &tag, 1 }, { g->buf, IPC__GREETING },
	    { spill, sizeof spill } };
	ssize_t n;

	if (ipc__be_in_place(g->half))
		return peek_record(g);
	n = tagged ? ipc__be_recv(g->half, iov, 3, NULL) :
	    ipc__be_recv(g->half, iov + 1, 2, &aside);
	if (n < 0)
		return n == -EMSGSIZE ? -EBADMSG : (int)n;
	if (aside.flags & IPC__CONTROL)
		tag = IPC__TAG_CONTROL;
	return n == IPC__GREETING + tagged && tag == IPC__TAG_CONTROL ? 0 :
	    -EBADMSG;
}

static int
get_control(struct ipc__greeter *g)
{
	bool lost;
	ssize_t n;

	ipc__greeter_close_fds(g);
	g->fd_count = IPC__TICKETS;
	n = ipc__control_recv(g->fd, g->buf, sizeof g->buf, g->fds,
	    &g->fd_count, &lost);
	if (n < 0)
		return (int)n;
	g->got = (size_t)n;
	if (lost)
		return -EMFILE;
	return n < IPC__GREETING ? -EBADMSG : 0;
}

int
ipc__greeter_get(struct ipc__greeter *g, struct ipc__greeting *what)
{
	int rc;

	if (g->half == NULL)
		rc = get_control(g);
	else if (g->half->be->traits & IPC__BYTES)
		rc = get_bytes(g);
	else
		rc = get_record(g);
	if (rc == 0 && !ipc__greeting_get(g->buf, what))
		rc = -EBADMSG;
	return rc;
}

/*
 * Tickets
 */

static int
give_one(struct ipc__half *h, unsigned char *p, size_t *size, int *fds,
    unsigned *fd_count, struct ipc__greeting *offer, int i)
{
	struct ipc__ticket t = { 0 };
	int rc;

	if (h == NULL)
		return 0;
	if ((rc = ipc__be_give(h, &t)) < 0)
		return rc;
	memcpy(p + *size, t.bytes, t.size);
	memcpy(fds + *fd_count, t.fds, sizeof(int) * t.fd_count);
	*size += t.size;
	*fd_count += t.fd_count;
	offer->sizes[i] = (uint8_t)t.size;
	offer->fds[i] = (uint8_t)t.fd_count;
	return 0;
}

int
ipc__tickets_give(struct ipc__link *l, unsigned char *p, size_t *size,
    int *fds, unsigned *fd_count, struct ipc__greeting *offer)
{
	struct ipc__half *h = l->rx[1] ? l->rx[1] : l->tx[1];
	int rc;

	*fd_count = 0;
	/* One ticket for a half that goes both ways, used so or not. */
	if (h->be->traits & IPC__TWOWAY)
		return give_one(h, p, size, fds, fd_count, offer, 0);
	rc = give_one(l->rx[1], p, size, fds, fd_count, offer, 0);
	if (rc == 0)
		rc = give_one(l->tx[1], p, size, fds, fd_count, offer, 1);
	return rc;
}

/* Where the tickets of what was received begin. */
static int
take_one(struct ipc__half **out, const struct ipc_backend *be, int dir,
    struct ipc__greeter *g, const struct ipc__greeting *offer, int i,
    const struct ipc__half *beside)
{
	size_t at = IPC__GREETING + (i ? offer->sizes[0] : 0);
	unsigned first = i ? offer->fds[0] : 0;
	struct ipc__ticket t = { .beside = beside, .control = g->fd };
	struct ipc__half *h;
	int rc;

	if (offer->sizes[i] > IPC__TICKET_BYTES ||
	    offer->fds[i] > IPC__TICKET_FDS || at + offer->sizes[i] > g->got ||
	    first + offer->fds[i] > g->fd_count)
		return ipc__fail(EBADMSG, "an offer that does not hold "
		    "together");
	t.size = offer->sizes[i];
	t.fd_count = offer->fds[i];
	memcpy(t.bytes, g->buf + at, t.size);
	memcpy(t.fds, g->fds + first, sizeof(int) * t.fd_count);
	if ((h = ipc__half_new(be, dir)) == NULL)
		return -ENOMEM;
	rc = ipc__be_take(h, &t);
	memcpy(g->fds + first, t.fds, sizeof(int) * t.fd_count);
	if (rc < 0) {
		h->fd = -1;
		ipc__half_free(h, false);
		return rc;
	}
	*out = h;
	return 0;
}

int
ipc__tickets_take(struct ipc__link *l, const struct ipc_backend *be, int dir,
    struct ipc__greeter *g, const struct ipc__greeting *offer)
{
	int rc = 0;

	memset(l, 0, sizeof *l);
	if (be->traits & IPC__TWOWAY) {
		rc = take_one(&l->rx[1], be, IPC_DUPLEX, g, offer, 0,
		    NULL);
		l->tx[1] = l->rx[1];
		if (!(dir & IPC_RECV))
			l->rx[1] = NULL;
		else if (!(dir & IPC_SEND))
			l->tx[1] = NULL;
		return rc;
	}
	if (dir & IPC_RECV)
		rc = take_one(&l->rx[1], be, IPC_RECV, g, offer, 0,
		    NULL);
	if (rc == 0 && dir & IPC_SEND)
		rc = take_one(&l->tx[1], be, IPC_SEND, g, offer, 1,
		    l->rx[1]);
	if (rc < 0)
		ipc__link_drop(l, true);
	return rc;
}
