/* SPDX-License-Identifier: ISC */
/*
 * Making a pool, and ending it.
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "pool.h"

#define WORKERS_MAX	1024
#define DEPTH_MAX	1024
#define LIMIT_MAX	(1u << 20)
#define DEPTH		2
#define TRIES		3
#define START_TRIES	6
#define START_TIMEOUT	10000
#define GRACE		1000

/*
 * What it is to be
 */

static unsigned
cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ?
	    CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static int
within(const char *name, unsigned value, unsigned max)
{
	if (value <= max)
		return 0;
	return ipc__fail(EINVAL, "ipc_pool_new: %s is %u, and %u at most",
	    name, value, max);
}

static int
check(const struct ipc_pool_config *c)
{
	int rc;

	if ((c->argv != NULL) == (c->handler != NULL) ||
	    (c->argv != NULL && (c->argv[0] == NULL || c->init != NULL)))
		return ipc__fail(EINVAL, "ipc_pool_new: a program (argv), or "
		    "a function (handler) that may have an init");
	if (c->flags & ~IPC_POOL_ORDERED)
		return ipc__fail(EINVAL, "ipc_pool_new: flags are 0 or "
		    "IPC_POOL_ORDERED");
	if (c->task_timeout < 0)
		return ipc__fail(EINVAL, "ipc_pool_new: task_timeout is 0 for "
		    "none, or milliseconds");
	if ((rc = within("workers", c->workers, WORKERS_MAX)) < 0 ||
	    (rc = within("depth", c->depth, DEPTH_MAX)) < 0 ||
	    (rc = within("start_tries", c->start_tries, LIMIT_MAX)) < 0)
		return rc;
	return within("limit", c->limit, LIMIT_MAX);
}

static void
set(unsigned *value, unsigned preset)
{
	if (*value == 0)
		*value = preset;
}

static int
configure(struct ipc_pool *p, const struct ipc_pool_config *config)
{
	struct ipc_pool_config *c = &p->config;
	size_t size;
	int rc;

	memcpy(&size, config, sizeof size);
	if (size < 2 * sizeof size || size > 4096)
		return ipc__fail(EINVAL, "ipc_pool_new: struct_size is the "
		    "record's sizeof, set by the caller");
	memcpy(c, config, size < sizeof *c ? size : sizeof *c);
	if ((rc = check(c)) < 0)
		return rc;
	set(&c->workers, cpus());
	set(&c->depth, DEPTH);
	set(&c->limit, 4 * c->workers * c->depth);
	set(&c->tries, TRIES);
	set(&c->start_tries, START_TRIES);
	if (c->start_timeout == 0)
		c->start_timeout = START_TIMEOUT;
	if (c->grace == 0)
		c->grace = GRACE;
	return 0;
}

/* The caller's strings may be gone when a worker is to be replaced. */
static int
copy_strings(struct ipc_pool *p)
{
	const char *address = p->config.address;
	size_t n = 0, i;

	p->address = strdup(address != NULL ? address : "local:");
	while (p->config.argv != NULL && p->config.argv[n] != NULL)
		n++;
	if (p->config.argv != NULL)
		p->argv = calloc(n + 1, sizeof *p->argv);
	if (p->address == NULL || (p->config.argv != NULL && p->argv == NULL))
		return ipc__fail(ENOMEM, "no memory for a pool");
	for (i = 0; i < n; i++)
		if ((p->argv[i] = strdup(p->config.argv[i])) == NULL)
			return ipc__fail(ENOMEM, "no memory for a pool");
	p->config.address = p->address;
	p->config.argv = p->argv;
	return 0;
}

static int
suits(struct ipc_pool *p, const struct ipc_channel *ch)
{
	const unsigned want = IPC_CAP_DUPLEX | IPC_CAP_RELIABLE |
	    IPC_CAP_END | IPC_CAP_FD;
	struct ipc_info info = { .struct_size = sizeof info };
	int rc;

	if ((rc = ipc_info(ch, &info)) < 0)
		return rc;
	if (ch->be->traits & IPC__INPROC)
		return ipc__fail(EOPNOTSUPP, "%s: does not reach into another "
		    "process", info.scheme);
	if (info.boundary != IPC_MESSAGE || (info.caps & want) != want ||
	    ch->address.opt.latest)
		return ipc__fail(EINVAL, "a pool wants whole messages, both "
		    "ways at once, and that none is lost");
	if (info.max_message <= IPC__POOL_HEAD)
		return ipc__fail(EINVAL, "max-message must be more than the %d "
		    "bytes that go before a task", IPC__POOL_HEAD);
	p->max_task = info.max_message - IPC__POOL_HEAD;
	p->looks = (ch->in.half->be->traits & IPC__SPINS) != 0;
	return 0;
}

/* Asks the address before there is a child that it would not do for. */
static int
try_address(struct ipc_pool *p)
{
	struct ipc_channel *ends[2];
	int rc;

	if ((rc = ipc_pair(ends, p->address, 0)) < 0)
		return rc;
	rc = suits(p, ends[0]);
	ipc_close(ends[0]);
	ipc_close(ends[1]);
	return rc;
}

/*
 * Making
 */

static int
make_workers(struct ipc_pool *p)
{
	const struct ipc_pool_config *c = &p->config;
	unsigned i;

	p->workers = calloc(c->workers, sizeof *p->workers);
	p->given = calloc((size_t)c->workers * c->depth, sizeof *p->given);
	if (p->workers == NULL || p->given == NULL)
		return ipc__fail(ENOMEM, "no memory for %u workers",
		    c->workers);
	for (i = 0; i < c->workers; i++) {
		p->workers[i].given = p->given + (size_t)i * c->depth;
		p->workers[i].pidfd = -1;
		p->workers[i].deadline = -1;
	}
	return 0;
}

static void
free_pool(struct ipc_pool *p)
{
	size_t i;

	ipc__tasks_free(p);
	for (i = 0; p->argv != NULL && p->argv[i] != NULL; i++)
		free(p->argv[i]);
	free(p->argv);
	free(p->address);
	free(p->workers);
	free(p->given);
	free(p);
}

static int
build(struct ipc_pool *p, const struct ipc_pool_config *config)
{
	int rc;

	p->epoll = p->bell = p->timer = -1;
	p->next = -1;
	if ((rc = configure(p, config)) < 0 || (rc = copy_strings(p)) < 0)
		return rc;
	if ((rc = try_address(p)) < 0 || (rc = ipc__tasks_new(p)) < 0 ||
	    (rc = make_workers(p)) < 0 || (rc = ipc__pool_events_new(p)) < 0)
		return ipc__fail_at(p->address, rc);
	return 0;
}

int
ipc_pool_new(struct ipc_pool **pool, const struct ipc_pool_config *config)
{
	struct ipc_pool *p;
	unsigned i;
	int rc;

	if (pool == NULL || config == NULL)
		return ipc__fail(EINVAL, "ipc_pool_new: no place for the pool, "
		    "or nothing that says what it is to be");
	ipc__fork_watch();
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return ipc__fail(ENOMEM, "no memory for a pool");
	p->process = atomic_load(&ipc__process);
	if ((rc = build(p, config)) < 0) {
		/* Without workers it is what a forked copy is. */
		ipc__pool_abandon(p);
		free_pool(p);
		return rc;
	}
	ipc__pool_list(p);
	for (i = 0; i < p->config.workers && rc == 0; i++)
		rc = ipc__worker_begin(p, &p->workers[i]);
	if (rc < 0) {
		rc = ipc__fail_at(p->address, rc);
		ipc_pool_close(p);
		return rc;
	}
	*pool = p;
	return 0;
}

/*
 * Ending
 */

/* All are told first, so that they leave at the same time. */
static void
end_workers(struct ipc_pool *p)
{
	int64_t deadline;
	unsigned i;

	for (i = 0; i < p->config.workers; i++)
		if (p->workers[i].ch != NULL)
			ipc__worker_dismiss(p, &p->workers[i]);
	deadline = ipc__deadline(p->config.grace);
	for (i = 0; i < p->config.workers; i++)
		if (p->workers[i].state == IPC__WORKER_LEAVING)
			ipc__worker_await(p, &p->workers[i], deadline);
}

int
ipc_pool_close(struct ipc_pool *p)
{
	struct ipc__error before;

	if (p == NULL)
		return 0;
	if (p->inside)
		return ipc__fail(EBUSY, "ipc_pool_close: not from a `done' of "
		    "this pool");
	ipc__error_keep(&before);
	if (p->process == atomic_load(&ipc__process))
		end_workers(p);
	ipc__pool_unlist(p);
	ipc__pool_abandon(p);
	free_pool(p);
	ipc__error_restore(&before);
	return 0;
}
