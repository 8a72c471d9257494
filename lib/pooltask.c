/* SPDX-License-Identifier: ISC */
/*
 * The places that the tasks of a pool lie in.  There is a fixed number of them,
 * which is the pool's bound on memory and its back-pressure, and one more for
 * the result that the caller is looking at.
 */
#include <stdlib.h>
#include <string.h>

#include "pool.h"

#define ROOM_LEAST	256	/* bytes of a buffer */

int
ipc__tasks_new(struct ipc_pool *p)
{
	unsigned i, count = p->config.limit + 1;

	TAILQ_INIT(&p->free);
	TAILQ_INIT(&p->waiting);
	TAILQ_INIT(&p->finished);
	TAILQ_INIT(&p->all);
	p->tasks = calloc(count, sizeof *p->tasks);
	if (p->tasks == NULL)
		return ipc__fail(ENOMEM, "no memory for %u tasks", count);
	for (i = 0; i < count; i++)
		TAILQ_INSERT_TAIL(&p->free, &p->tasks[i], entry);
	return 0;
}

void
ipc__tasks_free(struct ipc_pool *p)
{
	unsigned i;

	for (i = 0; p->tasks != NULL && i <= p->config.limit; i++)
		free(p->tasks[i].message);
	free(p->tasks);
	free(p->inbox);
}

int
ipc__task_room(unsigned char **buffer, size_t *room, size_t size)
{
	unsigned char *p;

	if (*room >= size)
		return 0;
	if (size < ROOM_LEAST)
		size = ROOM_LEAST;
	p = malloc(size);
	if (p == NULL)
		return ipc__fail(ENOMEM, "no memory for %zu bytes", size);
	free(*buffer);
	*buffer = p;
	*room = size;
	return 0;
}

int
ipc__task_add(struct ipc_pool *p, const void *data, size_t size, void *tag)
{
	struct ipc__task *t = TAILQ_FIRST(&p->free);
	int rc;

	if ((rc = ipc__task_room(&t->message, &t->room,
	    IPC__POOL_HEAD + size)) < 0)
		return rc;
	if (size > 0)
		memcpy(t->message + IPC__POOL_HEAD, data, size);
	TAILQ_REMOVE(&p->free, t, entry);
	t->size = size;
	t->tag = tag;
	t->status = t->wait_status = 0;
	t->tries = 0;
	t->state = IPC__TASK_WAITING;
	TAILQ_INSERT_TAIL(&p->all, t, all);
	TAILQ_INSERT_TAIL(&p->waiting, t, entry);
	p->waiting_count++;
	p->places++;
	p->stats.submitted++;
	return 0;
}

struct ipc__task *
ipc__task_give(struct ipc_pool *p)
{
	struct ipc__task *t = TAILQ_FIRST(&p->waiting);

	TAILQ_REMOVE(&p->waiting, t, entry);
	t->state = IPC__TASK_GIVEN;
	p->waiting_count--;
	p->given_count++;
	return t;
}

void
ipc__task_again(struct ipc_pool *p, struct ipc__task *t)
{
	t->state = IPC__TASK_WAITING;
	TAILQ_INSERT_HEAD(&p->waiting, t, entry);
	p->given_count--;
	p->waiting_count++;
}

void
ipc__task_finish(struct ipc_pool *p, struct ipc__task *t, int status)
{
	if (t->state == IPC__TASK_WAITING) {
		TAILQ_REMOVE(&p->waiting, t, entry);
		p->waiting_count--;
	} else {
		p->given_count--;
	}
	if (status < 0)
		t->size = 0;	/* what is there is the task itself */
	t->status = status;
	t->state = IPC__TASK_FINISHED;
	TAILQ_INSERT_TAIL(&p->finished, t, entry);
	p->finished_count++;
}

void
ipc__tasks_fail(struct ipc_pool *p, int status, int wait_status)
{
	struct ipc__task *t;

	while ((t = TAILQ_FIRST(&p->waiting)) != NULL) {
		t->wait_status = wait_status;
		ipc__task_finish(p, t, status);
	}
}

static struct ipc__task *
next_there(const struct ipc_pool *p)
{
	struct ipc__task *t;

	if (!(p->config.flags & IPC_POOL_ORDERED))
		return TAILQ_FIRST(&p->finished);
	t = TAILQ_FIRST(&p->all);
	return t != NULL && t->state == IPC__TASK_FINISHED ? t : NULL;
}

bool
ipc__task_there(const struct ipc_pool *p)
{
	return next_there(p) != NULL;
}

void
ipc__task_let_go(struct ipc_pool *p)
{
	if (p->taken == NULL)
		return;
	p->taken->state = IPC__TASK_FREE;
	/* The last one used is the one whose memory is near. */
	TAILQ_INSERT_HEAD(&p->free, p->taken, entry);
	p->taken = NULL;
}

struct ipc__task *
ipc__task_take(struct ipc_pool *p)
{
	struct ipc__task *t = next_there(p);

	if (t == NULL)
		return NULL;
	TAILQ_REMOVE(&p->finished, t, entry);
	TAILQ_REMOVE(&p->all, t, all);
	p->finished_count--;
	p->places--;
	p->stats.taken++;
	p->taken = t;
	return t;
}
