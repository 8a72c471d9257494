/* SPDX-License-Identifier: ISC */
/*
 * Looking again and again for a while, where a look costs no system call: what
 * comes soon is met without the kernel.
 */
#include <sched.h>

#include "core.h"

/* Spinning: so long without giving the CPU away, and so long in all (ns). */
#define SPIN_TIME	2000
#define YIELD_TIME	20000
/* A yield that took so long (ns) says that others want this CPU; so many waits
 * go without yielding then. */
#define CROWDED_TIME	100000
#define CROWDED_WAITS	500

/*
 * Where both sides sleep in turn, each one's answer comes when the other has
 * just been woken, later than either spins: so they never meet awake again, and
 * a conversation that could take nothing but cache lines takes two wake-ups a
 * round.  One spin of that length ends it.  So who has slept no longer than
 * two wake-ups take spins twice as long the next time; since that may as well be
 * how often messages come here, seldom, and ever more seldom.
 */
#define NAP_SHORT	60000
#define PATIENCE	255u

static int64_t
spin_longer(struct ipc__ready *r)
{
	int64_t slept = r->slept;

	r->slept = 0;
	if (slept == 0)
		r->skip = r->patience = 0;
	if (slept == 0 || slept > NAP_SHORT)
		return 0;
	if (r->skip > 0) {
		r->skip--;
		return 0;
	}
	r->skip = r->patience;
	if (r->patience < PATIENCE)
		r->patience = 2 * r->patience + 1;
	return 2 * slept;
}

/* May another processor bring what we wait for while we have this one? */
static bool
elsewhere(struct ipc__half *h)
{
	static _Atomic int cpus;
	int n = atomic_load_explicit(&cpus, memory_order_relaxed);
	cpu_set_t set;
	int beside = ipc__be_beside(h);

	if (beside != -1)
		return !beside;
	if (n == 0) {
		n = sched_getaffinity(0, sizeof set, &set) == 0 ?
		    CPU_COUNT(&set) : 1;
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n > 1;
}

void
ipc__spin_begin(struct ipc_channel *ch, int dir, struct ipc__spin *s)
{
	struct ipc__half *h = dir == IPC_RECV ? ch->in.half : ch->out.half;
	int64_t now, longer;
	bool alone;

	s->until = 0;
	if (!ipc__spins(ch, h))
		return;
	now = ipc__now();
	s->count = 0;
	s->ready = dir == IPC_RECV ? &ch->in.ready : &ch->out.ready;
	alone = elsewhere(h);
	s->yields = now;
	if (alone && !(dir == IPC_RECV && ch->in.spun))
		s->yields += SPIN_TIME;
	if (dir == IPC_RECV)
		ch->in.spun = false;
	s->until = now + YIELD_TIME;
	if (s->ready->crowded > 0) {
		s->ready->crowded--;
		s->until = s->yields;
	}
	if (alone && (longer = spin_longer(s->ready)) > 0)
		s->until = s->yields = now + longer;
	if (ch->address.opt.wait == IPC__WAIT_SPIN) {
		s->until = now + 1000 * YIELD_TIME;
		/* The other side may come to our processor meanwhile. */
		if (alone)
			s->yields = now + 5 * YIELD_TIME;
	}
}

bool
ipc__spin_more(struct ipc__spin *s)
{
	int64_t now;

	if (s->until == 0)
		return false;
	if (++s->count % 16 != 0) {
		ipc__relax();
		return true;
	}
	if ((now = ipc__now()) > s->until)
		return false;
	if (now > s->yields) {
		sched_yield();
		/* Somebody else had the CPU for long: a sleeper is woken at
		 * once, a yielder waits for its turn. */
		if (ipc__now() - now > CROWDED_TIME) {
			s->ready->crowded = CROWDED_WAITS;
			return false;
		}
	}
	return true;
}
