/* SPDX-License-Identifier: ISC */
/*
 * Private System V queues: made for pairs and sessions, and handed over.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "queue.h"
#include "sysname.h"
#include "sysvmq.h"

#define PIECES		4	/* of a private queue */
#define LEAST_RECORD	128	/* anything of the core's fits */
#define MOST_RECORD	(1u << 20) /* that a process may offer us */
#define TICKET_SIZE	24
#define TICKET_FDS	4
/* Beside the mode: its bell is in the page of the other ticket's, and there is
 * a descriptor less. */
#define TICKET_SECOND	(UINT32_C(1) << 16)
#define GONE		(-1)	/* no queue has this id */

/* Bytes of a private queue, and of a record in it. */
static int
sizes(const struct ipc__options *o, uint64_t *capacity, uint64_t *record)
{
	uint64_t most, largest;
	struct msginfo limits;

	ipc__msg_limits(&limits);
	most = (uint64_t)limits.msgmnb;
	largest = (uint64_t)limits.msgmax;
	*capacity = o->capacity ? o->capacity : IPC__QUEUE_SMALL;
	if (*capacity > most)
		*capacity = most;
	*record = *capacity / PIECES;
	if (*record > largest)
		*record = largest;
	if (*record > MOST_RECORD)
		*record = MOST_RECORD;
	if (*record >= LEAST_RECORD)
		return 0;
	return ipc__fail(ENOSPC, "kernel.msgmax (%llu) and kernel.msgmnb "
	    "(%llu) leave no room for a queue of ours",
	    (unsigned long long)largest, (unsigned long long)most);
}

/* A session's is for this client and nobody else. */
static int
shape(int id, const struct ipc__address *a, uint64_t capacity)
{
	struct ipc__options o = a->opt;

	if (a->client != (uid_t)-1) {
		o.uid = a->client;
		o.gid = (gid_t)-1;
		o.mode = 0600;
	}
	return ipc__msg_shape(id, &o, capacity, o.mode);
}

static void
become(struct ipc__half *h, const struct ipc__msg_made *m, int hold,
    struct ipc__bell *bell)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);

	q->key = m->key;
	q->hold = hold;
	q->bell = ipc__bell_ref(bell);
}

static void
start_both(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__msg_made *m, struct ipc__bell *bell, uint64_t record,
    uint64_t capacity)
{
	ipc__sysvmq_start(a, m->id, record, capacity);
	ipc__sysvmq_start(b, m->id, record, capacity);
	become(a, m, m->hold[0], bell);
	become(b, m, m->hold[1], bell);
}

/* A pair's name would be gone again at once: it must be free, that is all. */
static int
check_free(const struct ipc__address *a)
{
	bool made;
	int id, rc;

	if (a->name[0] == '\0')
		return 0;
	rc = ipc__msg_find(a, 0, IPC_RECV, &id, &made);
	if (rc == 0 || rc == -EACCES)
		return ipc__fail(EEXIST, "there is a queue of this name");
	return rc == -ENOENT ? 0 : rc;
}

/* bell[1] shares the page of bell[0]. */
static int
make_bells(struct ipc__bell *bell[2], int count)
{
	int rc = ipc__bell_new(&bell[0]);

	if (rc == 0 && count == 2 &&
	    (rc = ipc__bell_second(&bell[1], bell[0])) < 0)
		ipc__bell_unref(bell[0]);
	return rc;
}

/* One link, or both of a channel: h[0] receives what h[1] sends, and so on. */
static int
make_links(struct ipc__half *h[], int count, const struct ipc__address *a)
{
	uint64_t capacity, record;
	struct ipc__msg_made m[2];
	struct ipc__bell *bell[2];
	int i, rc;

	ipc__queue_sweep_some();
	if ((rc = sizes(&a->opt, &capacity, &record)) < 0 ||
	    (rc = check_free(a)) < 0 || (rc = make_bells(bell, count)) < 0)
		return rc;
	rc = ipc__msg_make(m, count, "");
	if (rc < 0)
		goto out;
	for (i = 0; i < count && rc == 0; i++)
		rc = shape(m[i].id, a, capacity);
	for (i = 0; i < count; i++)
		if (rc == 0)
			start_both(h[2 * i], h[2 * i + 1], &m[i], bell[i],
			    record, capacity);
		else
			ipc__msg_unmake(&m[i]);
out:
	for (i = 0; i < count; i++)
		ipc__bell_unref(bell[i]);
	return rc;
}

int
ipc__sysvmq_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct ipc__half *h[2] = { a, b };

	return make_links(h, 1, address);
}

int
ipc__sysvmq_pair_both(struct ipc__half *h[4],
    const struct ipc__address *address)
{
	return make_links(h, 2, address);
}

/*
 * Halves for elsewhere, and from there
 */

int
ipc__sysvmq_give(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	const struct ipc__bell *first = q->bell->host;
	unsigned char *p = t->bytes + t->size;
	struct msqid_ds ds;
	int rc = ipc__msg_stat(q->id, &ds);

	if (rc < 0)
		return rc;
	if ((first ? first : q->bell)->mem == -1)
		return ipc__fail(EOPNOTSUPP, "an end that was handed over is "
		    "not handed on");
	ipc__put32(p, (uint32_t)q->id);
	ipc__put32(p + 4, (uint32_t)q->key);
	ipc__put32(p + 8, (uint32_t)ds.msg_perm.cuid);
	ipc__put32(p + 12, ((uint32_t)ds.msg_perm.mode & 0777) |
	    (first ? TICKET_SECOND : 0));
	ipc__put32(p + 16, (uint32_t)h->record);
	ipc__put32(p + 20, ipc__sysv_namespace());
	t->size += TICKET_SIZE;
	t->fds[t->fd_count++] = q->hold;
	if (first == NULL)
		t->fds[t->fd_count++] = q->bell->mem;
	t->fds[t->fd_count++] = q->bell->fd[0];
	t->fds[t->fd_count++] = q->bell->fd[1];
	return 0;
}

/* Whoever offers a queue must not lead us to somebody else's: it is one that
 * was made as he says, for us, and that nobody has used from our end.  One that
 * is gone was closed by him already, and its number is not to be trusted. */
static int
check_queue(const unsigned char *p, int dir, int *id, struct msqid_ds *ds)
{
	uid_t us = geteuid();
	int rc;

	*id = (int)ipc__get32(p);
	rc = ipc__msg_stat(*id, ds);
	if (rc == -EIDRM) {
		memset(ds, 0, sizeof *ds);
		*id = GONE;
		return 0;
	}
	if (rc < 0)
		return rc;
	if ((uint32_t)ds->msg_perm.__key != ipc__get32(p + 4) ||
	    ds->msg_perm.cuid != (uid_t)ipc__get32(p + 8) ||
	    (ds->msg_perm.mode & 0777) !=
	    (ipc__get32(p + 12) & ~TICKET_SECOND) ||
	    ds->msg_perm.__key == IPC_PRIVATE ||
	    (ds->msg_perm.uid != us && ds->msg_perm.cuid != us &&
	    !(ds->msg_perm.mode & 077)) ||
	    (dir == IPC_RECV ? ds->msg_lrpid : ds->msg_lspid) != 0)
		return ipc__fail(EBADMSG, "the queue that was handed over is "
		    "not the one that was promised");
	return 0;
}

static int
check_offer(const unsigned char *p, int dir, int *id, struct msqid_ds *ds)
{
	uint32_t record = ipc__get32(p + 16), theirs = ipc__get32(p + 20);
	int rc;

	if (record < LEAST_RECORD || record > MOST_RECORD)
		return ipc__fail(EBADMSG, "what was handed over is a queue of "
		    "records of %u bytes", record);
	rc = ipc__sysv_reaches(theirs);
	return rc < 0 ? rc : check_queue(p, dir, id, ds);
}

/* Has he made it himself?  Else a hostile listener would have us use and remove
 * our own, or anybody's that our rights are good for.  Root may have become
 * another since it began to listen. */
static int
check_maker(int control, const unsigned char *p)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred giver;

	if (getsockopt(control, SOL_SOCKET, SO_PEERCRED, &giver, &size) == -1 ||
	    giver.uid == 0 || giver.uid == (uid_t)ipc__get32(p + 8))
		return 0;
	return ipc__fail(EBADMSG, "user %lu handed a queue over that user %lu "
	    "made", (unsigned long)giver.uid, (unsigned long)ipc__get32(p + 8));
}

/* The bell in whose page another one's is: of the other ticket's half, which is
 * of this kind. */
static struct ipc__bell *
first_bell(const struct ipc__ticket *t)
{
	struct ipc__bell *b;

	if (t->beside == NULL)
		return NULL;
	b = IPC__STATE(t->beside, const struct ipc__sysvmq)->bell;
	return b != NULL && b->host == NULL ? b : NULL;
}

int
ipc__sysvmq_take(struct ipc__half *h, struct ipc__ticket *t)
{
	struct ipc__sysvmq *q = IPC__STATE(h, struct ipc__sysvmq);
	const unsigned char *p = t->bytes + t->next;
	struct msqid_ds ds = { .msg_qbytes = 0 };
	int rc, id = GONE, *fds = t->fds + t->fd_next;
	struct ipc__bell *first = NULL;
	unsigned i, count = TICKET_FDS;

	if (t->size - t->next < TICKET_SIZE)
		return ipc__fail(EBADMSG, "no queue was handed over");
	if (ipc__get32(p + 12) & TICKET_SECOND) {
		count--;
		first = first_bell(t);
	}
	if (t->fd_count - t->fd_next < count ||
	    (count < TICKET_FDS && first == NULL))
		return ipc__fail(EBADMSG, "a part of what was to be handed "
		    "over is missing");
	if (!ipc__msg_is_note(fds[0], (key_t)ipc__get32(p + 4)))
		return ipc__fail(EBADMSG, "what was handed over with a queue "
		    "is no note about it");
	if ((rc = check_maker(t->control, p)) < 0 ||
	    (rc = check_offer(p, h->dir, &id, &ds)) < 0)
		return rc;
	ipc__sysvmq_start(h, id, ipc__get32(p + 16), ds.msg_qbytes);
	rc = ipc__bell_join(&q->bell, first ? -1 : fds[1], fds + count - 2,
	    first);
	if (rc < 0) {
		ipc__sysvmq_close(h, false);
		return rc;
	}
	q->key = (key_t)ipc__get32(p + 4);
	q->hold = fds[0];
	for (i = 0; i < count; i++)
		fds[i] = -1;
	t->fd_next += count;
	t->next += TICKET_SIZE;
	return 0;
}
