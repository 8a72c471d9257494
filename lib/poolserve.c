/* SPDX-License-Identifier: ISC */
/*
 * The worker's side of a pool: takes tasks from its channel one after the
 * other, and answers each before it takes the next.  That order is what the
 * pool goes by when a worker dies.
 */
#include <endian.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include "pool.h"

struct ipc_pool_job {
	struct ipc_channel *ch;
	uint32_t	serial;
	bool		answered;
	int		lost;		/* the pool could not be told: why */
};

void
ipc__pool_put_head(unsigned char *to, const struct ipc__pool_head *h)
{
	uint32_t serial = htole32(h->serial);
	uint32_t status = htole32((uint32_t)h->status);

	memset(to, 0, IPC__POOL_HEAD);
	to[0] = 'i';
	to[1] = 'p';
	to[2] = h->kind;
	memcpy(to + 4, &serial, sizeof serial);
	memcpy(to + 8, &status, sizeof status);
}

bool
ipc__pool_get_head(struct ipc__pool_head *h, const unsigned char *from,
    size_t size)
{
	unsigned char p[IPC__POOL_HEAD];
	uint32_t word;

	/* A copy: what was checked stays as it is. */
	if (size < sizeof p)
		return false;
	memcpy(p, from, sizeof p);
	if (p[0] != 'i' || p[1] != 'p')
		return false;
	h->kind = p[2];
	memcpy(&word, p + 4, sizeof word);
	h->serial = le32toh(word);
	memcpy(&word, p + 8, sizeof word);
	h->status = (int32_t)le32toh(word);
	return true;
}

static int
say(struct ipc_channel *ch, const struct ipc__pool_head *h, const void *data,
    size_t size)
{
	unsigned char head[IPC__POOL_HEAD];
	struct iovec iov[2] = { { head, sizeof head }, { (void *)(uintptr_t)
	    data, size } };

	ipc__pool_put_head(head, h);
	return ipc_sendv(ch, iov, size > 0 ? 2 : 1, -1);
}

int
ipc_pool_reply(struct ipc_pool_job *job, const void *data, size_t size)
{
	struct ipc__pool_head h = { .kind = IPC__POOL_RESULT };
	int rc;

	if (job == NULL || (data == NULL && size > 0))
		return ipc__fail(EINVAL, "ipc_pool_reply: no job, or no data");
	if (job->answered)
		return ipc__fail(EALREADY, "ipc_pool_reply: this task has "
		    "been answered");
	h.serial = job->serial;
	rc = say(job->ch, &h, data, size);
	if (rc == 0)
		job->answered = true;
	else if (rc == -EPIPE || rc == -ECONNRESET)
		job->lost = rc;
	return rc;
}

static int
work(struct ipc_channel *ch, const struct ipc__pool_head *task,
    const unsigned char *data, size_t size, ipc_pool_handler *handler,
    void *user)
{
	struct ipc_pool_job job = { .ch = ch, .serial = task->serial };
	struct ipc__pool_head h = { .kind = IPC__POOL_RESULT,
	    .serial = task->serial };
	int status = handler(&job, data, size, user);

	if (job.answered)
		return 0;
	if (job.lost != 0)
		return job.lost;
	if (status == INT_MIN)
		status = INT_MAX;
	h.status = status < 0 ? -status : status;
	return say(ch, &h, NULL, 0);
}

/* A message with an unknown kind is of a newer pool, which knows by our hello
 * what we understand: it is no task. */
static int
take(struct ipc_channel *ch, const unsigned char *data, size_t size,
    ipc_pool_handler *handler, void *user)
{
	struct ipc__pool_head h;

	if (!ipc__pool_get_head(&h, data, size))
		return ipc__fail(EBADMSG, "what came is no task of a pool");
	if (h.kind == IPC__POOL_LEAVE)
		return 1;
	if (h.kind != IPC__POOL_TASK)
		return 0;
	return work(ch, &h, data + IPC__POOL_HEAD, size - IPC__POOL_HEAD,
	    handler, user);
}

int
ipc__pool_serve(struct ipc_channel *ch, ipc_pool_handler *handler, void *user)
{
	struct ipc__pool_head hello = { .kind = IPC__POOL_HELLO,
	    .status = IPC__POOL_VERSION };
	const void *data;
	ssize_t n;
	int rc;

	rc = say(ch, &hello, NULL, 0);
	while (rc == 0) {
		n = ipc_peek(ch, &data, -1);
		if (n < 0) {
			rc = (int)n;
			break;
		}
		rc = take(ch, data, (size_t)n, handler, user);
		if (rc == 0)
			rc = ipc_release(ch);
	}
	/* A pool that has closed wants no more, whatever was left. */
	return rc == 1 || rc == -EPIPE ? 0 : rc;
}

int
ipc_pool_worker(ipc_pool_handler *handler, void *user)
{
	struct ipc_channel *ch;
	int rc;

	if (handler == NULL)
		return ipc__fail(EINVAL, "ipc_pool_worker: no handler");
	if ((rc = ipc_inherit(&ch)) < 0)
		return rc;
	rc = ipc__pool_serve(ch, handler, user);
	ipc_close(ch);
	return rc;
}
