/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pools.h"

struct seen *seen;

char *const order_command[] = {
	(char *)"/proc/self/exe", (char *)"worker", NULL
};

void
seen_new(void)
{
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		abort();
	seen->hold[0] = seen->hold[1] = -1;
}

/*
 * In the worker
 */

static void
note(const struct order *o)
{
	unsigned n;

	if (seen == NULL)
		return;
	n = atomic_fetch_add(&seen->count, 1);
	atomic_store(&seen->pids[n % 64], (int)getpid());
	if (o->arg >= 0 && o->arg < 4096)
		atomic_fetch_add(&seen->times[o->arg], 1);
}

static int
grow(struct ipc_pool_job *job, int size)
{
	void *data = need((size_t)size);
	int rc;

	pattern_fill(data, (size_t)size, 7);
	rc = ipc_pool_reply(job, data, (size_t)size);
	free(data);
	return rc;
}

/* A child that has all descriptors of the worker, which itself dies. */
static int
orphan(void)
{
	char c;

	if (fork() == 0) {
		close(seen->hold[1]);
		_exit(read(seen->hold[0], &c, 1) != 0);
	}
	return raise(SIGKILL);
}

static int
answer_number(struct ipc_pool_job *job, int number)
{
	return ipc_pool_reply(job, &number, sizeof number);
}

int
order_handler(struct ipc_pool_job *job, const void *task, size_t size,
    void *user)
{
	struct order o;

	(void)user;
	if (size < sizeof o)
		return ipc_pool_reply(job, task, size);
	memcpy(&o, task, sizeof o);
	note(&o);
	switch (o.what) {
	case ORDER_NAP:
		pause_ms(o.arg);
		break;
	case ORDER_WAIT:
		while (!atomic_load(&seen->gate))
			pause_ms(1);
		break;
	case ORDER_PID:
		return answer_number(job, getpid());
	case ORDER_FDS:
		return answer_number(job, fds_open());
	case ORDER_FAIL:
		return o.arg;
	case ORDER_TWICE:
		expect(0, ipc_pool_reply(job, task, size));
		expect(-EALREADY, ipc_pool_reply(job, task, size));
		return 77;
	case ORDER_GROW:
		return grow(job, o.arg);
	case ORDER_SILENT:
		return 0;
	case ORDER_DIE:
		return raise(SIGKILL);
	case ORDER_EXIT:
		_exit(o.arg);
	case ORDER_HANG:
		for (;;)
			pause();
	case ORDER_ORPHAN:
		return orphan();
	case ORDER_ECHO:
		break;
	}
	return ipc_pool_reply(job, task, size);
}

int
order_worker(void)
{
	return ipc_pool_worker(order_handler, NULL) < 0;
}

/*
 * In the pool's process
 */

struct ipc_pool *
orders_new(const struct ipc_pool_config *config)
{
	struct ipc_pool_config c = *config;
	struct ipc_pool *p;

	c.struct_size = sizeof c;
	atomic_store(&seen->gate, 0);
	atomic_store(&seen->count, 0);
	if (c.address == NULL && here.scheme != NULL)
		c.address = address("");
	if (c.argv == NULL && c.handler == NULL)
		c.handler = order_handler;
	expect(0, ipc_pool_new(&p, &c));
	return p;
}

int
order(struct ipc_pool *p, int what, int arg, int timeout)
{
	struct order o = { .what = what, .arg = arg };

	return ipc_pool_submit(p, &o, sizeof o, (void *)(intptr_t)arg,
	    timeout);
}

void
await_begun(struct ipc_pool *p, unsigned count)
{
	while (atomic_load(&seen->count) < count)
		expect_either(0, -ETIMEDOUT, ipc_pool_drain(p, 1));
}

struct ipc_pool_result
next(struct ipc_pool *p)
{
	struct ipc_pool_result r = { .struct_size = sizeof r };

	expect(1, ipc_pool_next(p, &r, 2 * SOON));
	return r;
}

void
expect_echo(const struct ipc_pool_result *r, int what, int arg)
{
	struct order o = { .what = what, .arg = arg };

	expect(0, r->status);
	expect(arg, (intptr_t)r->tag);
	expect(sizeof o, r->size);
	expect_true(memcmp(r->data, &o, sizeof o) == 0);
}

void
expect_done(struct ipc_pool *p, int what, int arg)
{
	struct ipc_pool_result r = next(p);

	expect_echo(&r, what, arg);
}

struct ipc_pool_stats
stats_of(const struct ipc_pool *p)
{
	struct ipc_pool_stats s = { .struct_size = sizeof s };

	expect(0, ipc_pool_stats(p, &s));
	return s;
}

unsigned
any(void)
{
	static unsigned n = 12345;

	n = n * 1103515245 + 12345;
	return n >> 16;
}

/* One that is a child of ours still can not be somebody else's pid. */
pid_t
some_worker(unsigned random)
{
	siginfo_t si;
	pid_t pid;

	for (unsigned i = 0; i < 64; i++) {
		pid = atomic_load(&seen->pids[(random + i) % 64]);
		si.si_pid = -1;
		if (pid > 0 && waitid(P_PID, (id_t)pid, &si, WEXITED |
		    WNOHANG | WNOWAIT) == 0 && si.si_pid == 0)
			return pid;
	}
	return 0;
}
