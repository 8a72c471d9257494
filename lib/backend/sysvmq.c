/* SPDX-License-Identifier: ISC */
/*
 * sysvmq: System V message queues.
 *
 * An opened queue is shared with programs that use msgsnd and msgrcv.  The
 * priority of a message is its type, so that the kernel can give the highest
 * first: priority P is type 32768 - P, an ordinary message is of type 32768,
 * and a foreign one of type N has the priority 32768 - N, or 0.  The lowest
 * type is received first, as msgrcv has it with a negative one.
 *
 * A private queue of a pair or session carries the core's flags as types, is
 * received from in order, and has a bell (msgbell.c), as it has no descriptor,
 * and a note (msgnote.c), as it does not end by itself.  Its receiver removes
 * it, or else the last who has held it.
 *
 * Each message is copied once here, as its type must stand before its text.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue.h"
#include "sysvmq.h"

#define SMALL	256u	/* bytes of a first letter */
#define TRIES	16	/* somebody makes and removes it all the time */

/*
 * A half
 */

static bool
is_empty(const struct ipc__sysvmq *q)
{
	struct msqid_ds ds;

	return msgctl(q->id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 0;
}

void
ipc__sysvmq_close(struct ipc__half *h, bool clean)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);

	if (!q->made)
		return;
	q->made = false;
	free(q->in);
	free(q->out);
	if (q->bell == NULL)
		return;
	/* A sender that leaves nothing unread takes it along as well: who
	 * receives hears of the end by the life line. */
	if (clean && (h->dir == IPC_RECV || is_empty(q)))
		ipc__msg_end(q->hold, q->key, q->id);
	else
		ipc__msg_let_go(q->hold, q->key, clean);
	ipc__bell_unref(q->bell);
}

void
ipc__sysvmq_start(struct ipc__half *h, int id, size_t record, size_t capacity)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);

	q->id = id;
	h->record = record;
	h->capacity = capacity;
	q->made = true;
}

/* Memory is touched by whoever uses it: not by the maker of a pair for both
 * ends of it, and each way only where something goes.  Small messages need but
 * a small letter; what was in it may be lost as it grows. */
static int
need_letter(struct ipc__letter **letter, uint32_t *room, size_t size,
    size_t record)
{
	if (*letter != NULL && size <= *room)
		return 0;
	free(*letter);
	*room = (uint32_t)(size <= SMALL && record > SMALL ? SMALL : record);
	*letter = malloc(sizeof **letter + *room);
	return *letter != NULL ? 0 : ipc__fail(ENOMEM, "no memory for records "
	    "of %u bytes", *room);
}

/*
 * Opened queues
 */

/* It may have been larger when it was filled. */
static int
start_opened(struct ipc__half *h, int id)
{
	uint64_t record, most;
	struct msginfo limits;
	struct msqid_ds ds;
	int rc = ipc__msg_stat(id, &ds);

	if (rc < 0)
		return rc;
	ipc__msg_limits(&limits);
	record = (uint64_t)limits.msgmax;
	most = ds.__msg_cbytes > ds.msg_qbytes ? ds.__msg_cbytes :
	    ds.msg_qbytes;
	ipc__sysvmq_start(h, id, record < most ? record : most, ds.msg_qbytes);
	return 0;
}

static int
sysvmq_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	bool made;
	int i, id, rc = 0;

	ipc__queue_sweep_some();
	/* What is found may be gone before it is looked at. */
	for (i = 0; i < TRIES; i++) {
		rc = ipc__msg_find(a, flags, h->dir, &id, &made);
		if (rc == -ENOENT)
			return ipc__queue_missing(a);
		if (rc < 0)
			return rc;
		rc = start_opened(h, id);
		if (rc < 0 && made)
			ipc__msg_discard(a, id);
		if (rc != -EIDRM)
			break;
	}
	return rc;
}

/*
 * Moving
 */

/* A queue that is not there any more gives EINVAL as well. */
static bool
removed(const struct ipc__sysvmq *q, int error)
{
	struct msqid_ds ds;

	return error == EIDRM || (error == EINVAL &&
	    msgctl(q->id, IPC_STAT, &ds) == -1 && errno != EACCES);
}

static ssize_t
fail_size(const struct ipc__half *h)
{
	struct msginfo limits;

	ipc__msg_limits(&limits);
	return ipc__fail(EMSGSIZE, "kernel.msgmax is %d, and was not when this "
	    "queue was opened for messages of %zu bytes", limits.msgmax,
	    h->record);
}

static ssize_t
answer(const struct ipc__half *h, const char *call)
{
	int error = errno;

	if (error == EAGAIN || error == ENOMSG)
		return -EAGAIN;
	if (removed(IPC__STATE(h, const struct ipc__sysvmq), error))
		return h->bare ? ipc__fail(EIDRM, "the queue has been removed")
		    : -EPIPE;
	if (error == E2BIG && !h->bare)
		return ipc__fail(EBADMSG, "the other side sent a record of "
		    "more than %zu bytes", h->record);
	if (error == E2BIG || error == EINVAL)
		return fail_size(h);
	errno = error;
	return ipc__fail_sys(call);
}

static ssize_t
post(struct ipc__half *h, size_t size, int flags)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	ssize_t n;

	if (msgsnd(q->id, q->out, size, flags) == 0) {
		q->want = 0;
		q->room -= q->room < size + 1 ? q->room : size + 1;
		return (ssize_t)size;
	}
	n = errno == EINTR ? -EINTR : answer(h, "msgsnd");
	if (n == -EAGAIN) {
		q->want = (uint32_t)size + 1;
		q->room = 0;
	}
	return n;
}

static ssize_t
sysvmq_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	size_t size = ipc__gathered(iov, count);
	ssize_t n;

	if (q->sent) {
		q->sent = false;
		return (ssize_t)size;
	}
	if ((n = need_letter(&q->out, &q->out_room, size, h->record)) < 0)
		return n;
	ipc__gather(q->out->text, iov, count);
	if (aside != NULL && h->bare) {
		n = ipc__queue_check_priority(aside->priority);
		if (n < 0)
			return n;
	}
	q->out->type = h->bare ? IPC__QUEUE_PRIORITIES : 1;
	if (aside != NULL && h->bare)
		q->out->type -= (long)aside->priority;
	else if (aside != NULL)
		q->out->type += aside->flags & (IPC__MORE | IPC__CONTROL);
	do
		n = post(h, size, IPC_NOWAIT);
	while (n == -EINTR);
	if (n >= 0 && q->bell != NULL &&
	    ipc__bell_wanted(q->bell, IPC__BELL_RECV) != 0)
		ipc__bell_ring(q->bell, IPC__BELL_RECV);
	return n;
}

/* Bytes that find room now, where there is any; messages are counted as well.
 * A queue that is gone has room: the call will tell. */
static uint64_t
room(const struct ipc__sysvmq *q)
{
	uint64_t taken, size;
	struct msqid_ds ds;

	if (msgctl(q->id, IPC_STAT, &ds) == -1)
		return UINT64_MAX;
	size = ds.msg_qbytes;
	taken = ds.__msg_cbytes > ds.msg_qnum ? ds.__msg_cbytes : ds.msg_qnum;
	return taken < size ? size - taken : 0;
}

/* A sender sleeps until there is room for what it wants to send. */
static void
tell_sender(const struct ipc__sysvmq *q)
{
	uint32_t want = ipc__bell_wanted(q->bell, IPC__BELL_SEND);

	if (want != 0 && room(q) >= (want > 1 ? want - 1 : 1))
		ipc__bell_ring(q->bell, IPC__BELL_SEND);
}

static int
meaning(const struct ipc__half *h, long type, struct ipc__aside *aside)
{
	unsigned long flags = (unsigned long)type - 1;

	if (!h->bare && flags > (IPC__MORE | IPC__CONTROL))
		return ipc__fail(EBADMSG, "the other side sent a record of "
		    "type %ld", type);
	if (aside == NULL)
		return 0;
	aside->flags = h->bare ? 0 : (unsigned)flags;
	aside->priority = h->bare && type < IPC__QUEUE_PRIORITIES ?
	    (unsigned)(IPC__QUEUE_PRIORITIES - type) : 0;
	return 0;
}

/* The next message into the letter, which grows if it has to. */
static ssize_t
fetch(struct ipc__half *h)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	ssize_t n;
	int rc;

	do {
		n = msgrcv(q->id, q->in, q->in_room, h->bare ? -LONG_MAX : 0,
		    IPC_NOWAIT);
		if (n == -1 && errno == E2BIG && q->in_room < h->record) {
			rc = need_letter(&q->in, &q->in_room, h->record,
			    h->record);
			if (rc < 0)
				return rc;
			errno = EINTR;
		}
	} while (n == -1 && errno == EINTR);
	return n == -1 ? answer(h, "msgrcv") : n;
}

static ssize_t
sysvmq_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	ssize_t n = 0;
	int rc;

	if ((rc = need_letter(&q->in, &q->in_room, 0, h->record)) < 0)
		return rc;
	if (q->kept != 0) {
		q->in->type = q->kept;
		q->kept = 0;
	} else if ((n = fetch(h)) < 0)
		return n;
	if (q->bell != NULL)
		tell_sender(q);
	rc = meaning(h, q->in->type, aside);
	if (rc < 0)
		return rc;
	ipc__scatter(iov, count, q->in->text, (size_t)n);
	return n;
}

static size_t
sysvmq_pending(const struct ipc__half *h)
{
	struct msqid_ds ds;

	return msgctl(IPC__STATE(h, const struct ipc__sysvmq)->id, IPC_STAT,
	    &ds) == 0 ? ds.__msg_cbytes : 0;
}

/*
 * Waiting
 */

static int
sysvmq_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	const struct ipc__sysvmq *q = IPC__STATE(h, const struct ipc__sysvmq);
	const struct ipc__bell *b = q->bell;

	if (b == NULL)
		return 0;
	*fds = (struct pollfd){ b->fd[dir == IPC_RECV ? IPC__BELL_RECV :
	    IPC__BELL_SEND], POLLIN, 0 };
	return 1;
}

static int
arm_recv(struct ipc__sysvmq *q)
{
	ipc__bell_arm(q->bell, IPC__BELL_RECV, 1);
	if (is_empty(q))
		return 0;
	ipc__bell_disarm(q->bell, IPC__BELL_RECV);
	return 1;
}

/* The only sender knows without asking that there is room for a while. */
static int
arm_send(const struct ipc__half *h, struct ipc__sysvmq *q)
{
	uint32_t want = q->want != 0 ? q->want : (uint32_t)h->record + 1;
	uint64_t need = want > 1 ? want - 1 : 1;

	if (q->room >= need)
		return 1;
	ipc__bell_arm(q->bell, IPC__BELL_SEND, want);
	q->room = room(q);
	if (q->room < need)
		return 0;
	ipc__bell_disarm(q->bell, IPC__BELL_SEND);
	return 1;
}

static int
sysvmq_arm(struct ipc__half *h, int dir)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);

	if (q->bell == NULL)
		return 0;
	return dir == IPC_RECV ? arm_recv(q) : arm_send(h, q);
}

static void
sysvmq_disarm(struct ipc__half *h, int dir)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);

	if (q->bell != NULL)
		ipc__bell_disarm(q->bell, dir == IPC_RECV ? IPC__BELL_RECV :
		    IPC__BELL_SEND);
}

/* A message that does not fit into no room at all is announced and stays where
 * it is; an empty one comes. */
static int
block_recv(struct ipc__half *h)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	struct ipc__letter empty;

	if (msgrcv(q->id, &empty, 0, -LONG_MAX, 0) == 0) {
		q->kept = empty.type;
		return 0;
	}
	if (errno == E2BIG)
		return 0;
	return errno == EINTR ? -EINTR : (int)answer(h, "msgrcv");
}

/* What found no room is still in our hands. */
static int
block_send(struct ipc__half *h)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	ssize_t n;

	if (q->want == 0)
		return 0;
	n = post(h, q->want - 1, 0);
	q->sent = n >= 0;
	return n < 0 ? (int)n : 0;
}

static int
sysvmq_block(struct ipc__half *h, int dir)
{
	return dir == IPC_RECV ? block_recv(h) : block_send(h);
}

const struct ipc_backend ipc__backend_sysvmq = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "sysvmq",
		.title = "System V message queue",
		.ways = IPC__QUEUE_WAYS,
		.caps = {
			[IPC_WAY_PAIR] = IPC__QUEUE_CAPS_PAIR,
			[IPC_WAY_OPEN] = IPC__QUEUE_CAPS_OPEN,
			[IPC_WAY_SESSION] = IPC__QUEUE_CAPS_PAIR
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__FLAGS | IPC__LIFE | IPC__SILENT,
	.size = sizeof(struct ipc__sysvmq),
	.limit = "kernel.msgmax, kernel.msgmnb",
	.keys = {
		[IPC_WAY_PAIR] = IPC__QUEUE_KEYS_PAIR,
		[IPC_WAY_OPEN] = IPC__QUEUE_KEYS_OPEN,
		[IPC_WAY_SESSION] = IPC__QUEUE_KEYS_SESSION
	},
	.pair = ipc__sysvmq_pair,
	.pair_both = ipc__sysvmq_pair_both,
	.open = sysvmq_open,
	.unlink = ipc__msg_unlink,
	.exists = ipc__msg_exists,
	.give = ipc__sysvmq_give,
	.take = ipc__sysvmq_take,
	.send = sysvmq_send,
	.recv = sysvmq_recv,
	.watch = sysvmq_watch,
	.arm = sysvmq_arm,
	.disarm = sysvmq_disarm,
	.block = sysvmq_block,
	.pending = sysvmq_pending,
	.close = ipc__sysvmq_close
};
