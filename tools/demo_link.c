/* SPDX-License-Identifier: ISC */
/*
 * Two processes come together: over a pair, over a session, or over two opened
 * objects, one for each direction, which both sides join into one channel.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

static bool
is_one_of(const char *scheme, const char *list)
{
	char word[32];

	snprintf(word, sizeof word, " %s ", scheme);
	return strstr(list, word) != NULL;
}

/* An address that nobody else has: what a name looks like is the mechanism's
 * affair. */
static void
make_address(const struct link *l, const char *what, char *buffer, size_t size)
{
	const char *scheme = l->mechanism->scheme;

	if (is_one_of(scheme, " tcp udp "))
		snprintf(buffer, size, "%s://127.0.0.1:0", scheme);
	else if (is_one_of(scheme, " fifo unix unixpacket unixgram mmap file "))
		snprintf(buffer, size, "%s:%s/%s-%s", scheme, l->directory,
		    scheme, what);
	else if (is_one_of(scheme, " posixmq posixshm "))
		snprintf(buffer, size, "%s:/ipc-demo-%s-%d", scheme, what,
		    (int)getpid());
	else
		snprintf(buffer, size, "%s:ipc-demo-%s-%d", scheme, what,
		    (int)getpid());
}

static int
prepare_pair(struct link *l)
{
	snprintf(l->there, sizeof l->there, "%s:", l->mechanism->scheme);
	return ipc_pair(l->ends, l->there, 0);
}

/* Both objects are made, with their receivers, before there are two processes:
 * so nobody comes too early. */
static int
prepare_open(struct link *l)
{
	int rc;

	make_address(l, "there", l->there, sizeof l->there);
	make_address(l, "back", l->back, sizeof l->back);
	rc = ipc_open(&l->ends[0], l->back, IPC_RECV | IPC_CREATE);
	if (rc == 0)
		rc = ipc_open(&l->ends[1], l->there, IPC_RECV | IPC_CREATE);
	return rc;
}

static int
prepare_session(struct link *l)
{
	int rc;

	make_address(l, "session", l->there, sizeof l->there);
	rc = ipc_listen(&l->listener, l->there, 0);
	if (rc == 0)
		rc = ipc_listener_address(l->listener, l->there,
		    sizeof l->there);
	return rc;
}

int
link_prepare(struct link *l)
{
	switch (l->way) {
	case IPC_WAY_PAIR:
		return prepare_pair(l);
	case IPC_WAY_OPEN:
		return prepare_open(l);
	default:
		return prepare_session(l);
	}
}

/* The one of the two ends that is ours; a process leaves the other one alone,
 * a thread shares them both. */
static struct ipc_channel *
take_end(struct link *l, int which)
{
	struct ipc_channel *mine = l->ends[which];

	l->ends[which] = NULL;
	if (!l->threads) {
		ipc_close(l->ends[!which]);
		l->ends[!which] = NULL;
	}
	return mine;
}

/* Ours receives; another channel is opened to send, and the two are joined. */
static int
join_open(struct link *l, int which, const char *address,
    struct ipc_channel **ch)
{
	struct ipc_channel *in = take_end(l, which), *out;
	int rc;

	rc = ipc_open(&out, address, IPC_SEND);
	if (rc < 0) {
		ipc_close(in);
		return rc;
	}
	rc = ipc_join(ch, in, out);
	if (rc < 0) {
		ipc_close(in);
		ipc_close(out);
	}
	return rc;
}

int
link_near(struct link *l, struct ipc_channel **ch)
{
	switch (l->way) {
	case IPC_WAY_PAIR:
		*ch = take_end(l, 0);
		return 0;
	case IPC_WAY_OPEN:
		return join_open(l, 0, l->there, ch);
	default:
		return ipc_accept(ch, l->listener, DEMO_TIMEOUT);
	}
}

int
link_far(struct link *l, struct ipc_channel **ch)
{
	switch (l->way) {
	case IPC_WAY_PAIR:
		*ch = take_end(l, 1);
		return 0;
	case IPC_WAY_OPEN:
		return join_open(l, 1, l->back, ch);
	default:
		if (!l->threads) {
			ipc_listener_close(l->listener);
			l->listener = NULL;
		}
		return ipc_connect(ch, l->there, 0, DEMO_TIMEOUT);
	}
}

void
link_clean(struct link *l)
{
	ipc_close(l->ends[0]);
	ipc_close(l->ends[1]);
	ipc_listener_close(l->listener);
	if (l->way == IPC_WAY_OPEN) {
		ipc_unlink(l->there);
		ipc_unlink(l->back);
	}
}
