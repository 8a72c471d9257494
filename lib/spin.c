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
 *
 * Where both sides are known to have one processor, nothing comes as long as we
 * have it, and a look is a yield.  That is less than to sleep and be woken, if
 * the other side is ready to run; if not, it does harm: who yields falls behind
 * in the scheduler's books, and is then not let in at once when it is woken.
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
/* Where a look is a system call: without giving the CPU away, and in all. */
#define CALL_ALONE	10000
#define CALL_TIME	30000
#define COLD_MOST	4	/* then one wait of 17 spins */
/* Looks on the other side's own CPU, each behind a yield.  The first lets it
 * run, if it can; the second, if somebody else was first. */
#define YIELDS		2

/*
 * Where both sides sleep in turn, each one's answer comes when the other has
 * just been woken, later than either spins: so they never meet awake again, and
 * a conversation that could take nothing but cache lines takes two wake-ups a
 * round.  One spin of that length ends it.  So who has slept no longer than
 * two wake-ups take spins twice as long the next time; since that may as well
 * be how often messages come here, seldom, and ever more seldom.
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

/* May another processor bring what we wait for while we have this one?  Where
 * the other side is not known and we may use no other than ours, it may as well
 * be here: then a yield at each look costs less than it can save. */
static bool
elsewhere(struct ipc__half *h)
{
	static _Atomic int cpus;
	int n = atomic_load_explicit(&cpus, memory_order_relaxed);
	int beside = ipc__be_beside(h);
	cpu_set_t set;

	if (beside != -1)
		return !beside;
	if (n == 0) {
		n = sched_getaffinity(0, sizeof set, &set) == 0 ?
		    CPU_COUNT(&set) : 1;
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n > 1;
}

/*
 * Looks that are system calls
 */

/* Have they found something of late?  On a CPU that others want as well there
 * is no spinning without yielding. */
static bool
calls_pay(struct ipc__ready *r, bool alone)
{
	bool crowded = r->crowded > 0 && !alone;

	if (r->looked)
		r->cold = 0;
	r->looked = r->resting == 0 && !crowded;
	if (crowded)
		r->crowded--;
	else if (!r->looked)
		r->resting--;
	return r->looked;
}

/* The rest is random, so that two sides that both rest soon meet: each of them
 * finds something only while the other one looks as well. */
static void
in_vain(struct ipc__ready *r, int64_t now)
{
	r->looked = false;
	if (r->cold < COLD_MOST)
		r->cold++;
	r->resting = (uint32_t)now * 2654435761u >> (31 - r->cold);
}

static void
begin_calls(struct ipc_channel *ch, int dir, bool alone, struct ipc__spin *s)
{
	bool always = ch->address.opt.wait == IPC__WAIT_SPIN;
	int64_t now;

	if (!always && (dir == IPC_SEND || !calls_pay(s->ready, alone)))
		return;
	/* Who has yielded is behind in the scheduler's books for some
	 * milliseconds, and gives way at each piece of a large message. */
	if (!always && !alone && ch->in.large)
		return;
	now = ipc__now();
	s->until = now + (always ? 1000 * YIELD_TIME : CALL_TIME);
	s->yields = alone ? now + CALL_ALONE : now;
	if (s->ready->crowded > 0 && !always) {
		s->ready->crowded--;
		s->yields = s->until;
	}
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

/*
 * Looks behind a yield
 */

static void
begin_yields(struct ipc__spin *s)
{
	if (calls_pay(s->ready, false)) {
		s->until = ipc__now() + CROWDED_TIME;
		s->left = YIELDS;
	}
}

static bool
one_more_yield(struct ipc__spin *s)
{
	int64_t now = ipc__now();

	if (s->left-- > 0 && now <= s->until && yield(s, now))
		return true;
	in_vain(s->ready, now);
	return false;
}

/*
 * All of them
 */

static int64_t
spin_copies(struct ipc_channel *ch, struct ipc__ready *r)
{
	/* Relaxed: a counter; whoever else writes it makes no difference. */
	uint64_t sent = atomic_load_explicit(&ch->out.bytes,
	    memory_order_relaxed), more = sent - r->sent;

	r->sent = sent;
	return (int64_t)(more < SPIN_BYTES_MOST ? more : SPIN_BYTES_MOST) /
	    SPIN_BYTES;
}

static void
begin_looks(struct ipc_channel *ch, int dir, bool alone, struct ipc__spin *s)
{
	int64_t now, longer;

	now = ipc__now();
	s->yields = now;
	now += spin_copies(ch, s->ready);
	if (alone)
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

void
ipc__spin_begin(struct ipc_channel *ch, int dir, int64_t deadline,
    struct ipc__spin *s)
{
	struct ipc__half *h = dir == IPC_RECV ? ch->in.half : ch->out.half;
	bool alone;

	s->until = 0;
	s->count = 0;
	s->left = -1;
	if (ch->address.opt.wait == IPC__WAIT_BLOCK)
		return;
	s->ready = dir == IPC_RECV ? &ch->in.ready : &ch->out.ready;
	s->calls = !(h->be->traits & IPC__SPINS);
	alone = elsewhere(h);
	if (ipc__be_beside(h) == 1 && ch->address.opt.wait != IPC__WAIT_SPIN)
		begin_yields(s);
	else if (s->calls)
		begin_calls(ch, dir, alone, s);
	else
		begin_looks(ch, dir, alone, s);
	if (deadline >= 0 && s->until > deadline)
		s->until = deadline;
}

/* ipc_wake ends it as well: the wait that follows tells. */
static bool
spin_cancelled(const struct ipc__spin *s)
{
	return atomic_load_explicit(&s->ready->cancel, memory_order_relaxed);
}

bool
ipc__spin_more(struct ipc__spin *s)
{
	int64_t now;

	if (s->until == 0)
		return false;
	if (s->left >= 0)
		return !spin_cancelled(s) && one_more_yield(s);
	if (s->calls)
		return !spin_cancelled(s) && one_more_call(s);
	if (++s->count % 16 != 0) {
		ipc__relax();
		return true;
	}
	if ((now = ipc__now()) > s->until || spin_cancelled(s))
		return false;
	return now <= s->yields || yield(s, now);
}

void
ipc__spin_until(int64_t until)
{
	while (ipc__now() < until)
		ipc__relax();
}
