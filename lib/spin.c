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
/* What was sent since the last wait has to be copied and looked at before an
 * answer or room can come of it: longer, by a nanosecond for so many bytes, of
 * so many at most. */
#define SPIN_BYTES	8
#define SPIN_BYTES_MOST	(8u << 20)
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

static int64_t
spin_longer(uint64_t bytes)
{
	return (int64_t)(bytes < SPIN_BYTES_MOST ? bytes : SPIN_BYTES_MOST) /
	    SPIN_BYTES;
}

void
ipc__spin_begin(struct ipc_channel *ch, int dir, struct ipc__spin *s)
{
	const struct ipc__half *h = dir == IPC_RECV ? ch->in.half :
	    ch->out.half;
	uint64_t sent;
	int64_t now;

	s->until = 0;
	if (ch->address.opt.wait == IPC__WAIT_BLOCK ||
	    (!(h->be->traits & IPC__SPINS) &&
	    ch->address.opt.wait != IPC__WAIT_SPIN))
		return;
	now = ipc__now();
	s->count = 0;
	s->ready = dir == IPC_RECV ? &ch->in.ready : &ch->out.ready;
	s->yields = now;
	/* Relaxed: a counter; whoever else writes it makes no difference. */
	sent = atomic_load_explicit(&ch->out.bytes, memory_order_relaxed);
	now += spin_longer(sent - s->ready->sent);
	s->ready->sent = sent;
	if (many_cpus())
		s->yields = now + SPIN_TIME;
	s->until = now + YIELD_TIME;
	if (s->ready->crowded > 0) {
		s->ready->crowded--;
		s->until = s->yields;
	}
	if (ch->address.opt.wait == IPC__WAIT_SPIN)
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

bool
ipc__spin_more(struct ipc__spin *s)
{
	int64_t now;

	if (s->until == 0)
		return false;
	if (++s->count % 16 != 0) {
		relax();
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
