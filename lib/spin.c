/* SPDX-License-Identifier: ISC */
/*
 * Looking again and again for a while: what comes soon is met without being
 * woken, which takes longer than most other things do.
 *
 * A look into shared memory costs next to nothing.  One that is a system call
 * is worth it only while it finds something, so it is left out after it has
 * been in vain, for twice as many waits each time; a sleeper that is woken
 * costs as much as some dozens of such looks, and is the bound of one spin
 * (Karlin et al., Competitive randomized algorithms for nonuniform problems,
 * 1990, on spinning for as long as blocking takes).
 */
#include <sched.h>

#include "core.h"

/* Spinning: so long without giving the CPU away, and so long in all (ns). */
#define SPIN_TIME	2000
#define YIELD_TIME	20000
/* The same where a look is a system call, as often as it was in vain. */
#define CALL_TIME	30000
#define CALL_ALONE	10000
#define COLD_MOST	4	/* then one wait of 17 spins */
/* A yield that took so long (ns) says that others want this CPU; so many waits
 * go without yielding then. */
#define CROWDED_TIME	100000
#define CROWDED_WAITS	500

static bool
many_cpus(void)
{
	static _Atomic int cpus;
	int n = atomic_load_explicit(&cpus, memory_order_relaxed);
	cpu_set_t set;

	if (n == 0) {
		n = sched_getaffinity(0, sizeof set, &set) == 0 ?
		    CPU_COUNT(&set) : 1;
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n > 1;
}

/* Have the looks that are system calls found something of late?  On a CPU that
 * others want as well there is no spinning without yielding. */
static bool
calls_pay(struct ipc__ready *r)
{
	bool crowded = r->crowded > 0 && !many_cpus();

	if (r->spun)
		r->cold = 0;
	r->spun = r->resting == 0 && !crowded;
	if (crowded)
		r->crowded--;
	else if (!r->spun)
		r->resting--;
	return r->spun;
}

/* The rest is random, so that two sides that both rest soon meet: each of them
 * finds something only while the other one looks as well. */
static void
in_vain(struct ipc__ready *r, int64_t now)
{
	r->spun = false;
	if (r->cold < COLD_MOST)
		r->cold++;
	r->resting = (uint32_t)now * 2654435761u >> (31 - r->cold);
}

void
ipc__spin_begin(struct ipc_channel *ch, int dir, struct ipc__spin *s)
{
	const struct ipc__half *h = dir == IPC_RECV ? ch->in.half :
	    ch->out.half;
	enum ipc__wait_word wait = ch->address.opt.wait;
	int64_t now;

	s->until = 0;
	s->ready = dir == IPC_RECV ? &ch->in.ready : &ch->out.ready;
	s->calls = !(h->be->traits & IPC__SPINS);
	if (wait == IPC__WAIT_BLOCK || (s->calls && wait != IPC__WAIT_SPIN &&
	    (dir == IPC_SEND || !calls_pay(s->ready))))
		return;
	now = ipc__now();
	s->count = 0;
	s->yields = !many_cpus() ? now : now + (s->calls ? CALL_ALONE :
	    SPIN_TIME);
	s->until = now + (s->calls ? CALL_TIME : YIELD_TIME);
	if (s->ready->crowded > 0) {
		s->ready->crowded--;
		if (s->calls)
			s->yields = s->until;
		else
			s->until = s->yields;
	}
	if (wait == IPC__WAIT_SPIN)
		s->until = now + 1000 * YIELD_TIME;
}

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Somebody else had the CPU for long: a sleeper is woken at once, a yielder
 * waits for its turn. */
static bool
yield(struct ipc__spin *s, int64_t now)
{
	sched_yield();
	if (ipc__now() - now <= CROWDED_TIME)
		return true;
	s->ready->crowded = CROWDED_WAITS;
	return false;
}

static bool
one_more_call(struct ipc__spin *s)
{
	int64_t now = ipc__now();

	if (now <= s->until && (now < s->yields || yield(s, now)))
		return true;
	in_vain(s->ready, now);
	return false;
}

bool
ipc__spin_more(struct ipc__spin *s)
{
	int64_t now;

	if (s->until == 0)
		return false;
	if (s->calls)
		return one_more_call(s);
	if (++s->count % 16 != 0) {
		relax();
		return true;
	}
	if ((now = ipc__now()) > s->until)
		return false;
	return now <= s->yields || yield(s, now);
}

void
ipc__spin_until(int64_t until)
{
	while (ipc__now() < until)
		relax();
}
