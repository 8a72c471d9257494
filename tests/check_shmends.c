/* SPDX-License-Identifier: ISC */
/* WRAP: open openat close poll fcntl read write */
/*
 * The ends of the senders of an opened ring.  One has been there; while its
 * receiver finds that out a second one comes, and goes, each at any of the
 * calls of the system that the receiver makes.  Whatever it meets, the receiver
 * is told of the end of the second after all that the second sent, and as it
 * was, and of the first's only before that.  And one that would have come, and
 * is killed at any of its own calls, has no end as long as it was no sender,
 * nor has the first another one by that.
 */
#include "killed.h"
#include "rings.h"
#include "suite.h"

#define QUIET	3	/* looks in vain */
#define LOOKS	200	/* not to hang */
#define CALLS	24	/* more than it makes until it has nothing to do */
#define STAY	8	/* and those with the second one there */
#define KINDS	4	/* of plays, as bits */
#define BACKENDS_NAMED	3

/* Who was there before the receiver. */
enum { NOBODY, ONE, ONE_WHO_STAYS, ONE_WHO_WAS_READ, FIRSTS };

/* What is done. */
struct play {
	bool	 stays;		/* the first goes when the receiver has come */
	bool	 first_dies;	/* and the second closes; or the reverse */
	bool	 late;		/* the second sends when it goes */
	bool	 asks;		/* receives as who has no time to wait */
	unsigned come, go;	/* at these calls; 0: before the receiver */
	unsigned killed;	/* at this one of its own; 0: a sender */
	int	 first;		/* if so */
};

static const struct ipc_backend *be;
static const struct play *play;
static struct ipc__half *in, *second;
static unsigned calls;		/* of the receiver */
static bool was_killed, was_sender;
static bool stepping, over;
static char told[16];		/* messages a and b; ends: closed or died */
static char name[160];

/*
 * The name
 */

static const struct ipc_backend *
backend_of(unsigned i)
{
	static const struct ipc_backend *const all[BACKENDS_NAMED] = {
		&ipc__backend_posixshm, &ipc__backend_sysvshm,
		&ipc__backend_mmap
	};

	snprintf(name, sizeof name, "%s%sipc-shmends-%ld",
	    i == 2 ? runtime : "", i == 1 ? "" : "/", (long)getpid());
	return all[i];
}

static void
unlink_name(void)
{
	struct ipc__address a;

	address_of(&a, be, name);
	if (be->unlink(&a) != 0)
		ck_abort_msg("unlink: %s", ipc_errmsg());
}

/*
 * Senders
 */

static struct ipc__half *
open_as(int dir, int flags)
{
	struct ipc__half *h = half_new(be, dir);
	struct ipc__address a;

	address_of(&a, be, name);
	h->bare = true;
	if (be->open(h, &a, flags) < 0)
		ck_abort_msg("open: %s", ipc_errmsg());
	return h;
}

/* The kernel closes what a killed one had; it says no goodbye. */
static void
leave(struct ipc__half *h, bool dies)
{
	be->close(h, !dies);
	free(h);
}

static void
second_comes(void)
{
	second = open_as(IPC_SEND, 0);
	if (!play->late)
		ck_assert_int_eq(put(second, "b", 1, 0), 1);
}

static void
second_goes(void)
{
	if (play->late)
		ck_assert_int_eq(put(second, "b", 1, 0), 1);
	leave(second, !play->first_dies);
	second = NULL;
	over = true;
}

static int
would_send(void)
{
	leave(open_as(IPC_SEND, 0), true);
	return 0;
}

static uint32_t
life(void)
{
	struct ipc__shm *s = (void *)(uintptr_t)in->state;

	return atomic_load(&s->ring.other->life);
}

static void
is_killed(void)
{
	uint32_t before = life();

	was_killed = killed_at((int)play->killed, would_send);
	was_sender = life() != before;
	over = true;
}

static void
come_and_go(void)
{
	calls++;
	if (play->killed > 0) {
		if (calls == play->come)
			is_killed();
		return;
	}
	if (calls >= play->come && !over && second == NULL)
		second_comes();
	if (calls >= play->go && second != NULL)
		second_goes();
}

static void
stepped(void)
{
	if (!stepping)
		return;
	stepping = false;
	come_and_go();
	stepping = true;
}

STEP(int, close, (int fd), (fd))
STEP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
STEP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))

int __real_poll(struct pollfd *p, nfds_t n, int ms);
int __wrap_poll(struct pollfd *p, nfds_t n, int ms);
/* Memory is looked at before the next one. */
int
__wrap_poll(struct pollfd *p, nfds_t n, int ms)
{
	int rc;

	step();
	rc = __real_poll(p, n, ms);
	step();
	return rc;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int
__wrap_fcntl(int fd, int command, ...)
{
	va_list ap;
	void *p;

	va_start(ap, command);
	p = va_arg(ap, void *);
	va_end(ap);
	step();
	return __real_fcntl(fd, command, p);
}

/*
 * The receiver
 */

static void
tell(char what)
{
	size_t n = strlen(told);

	ck_assert_uint_lt(n, sizeof told - 1);
	told[n] = what;
}

/* true: something was there. */
static bool
look(void)
{
	char c, how;
	ssize_t n;

	step();
	n = get(in, &c, 1);
	if (n == -EAGAIN)
		return false;
	if (n == -EPIPE) {
		how = be->ends_with(in, "", 0) ? 'c' : 'd';
		step();
		n = be->again(in);
		ck_assert(n == 1 || n == IPC__TOLD);
		if (n == 1)
			tell(how);
	} else {
		ck_assert_int_eq(n, 1);
		tell(c);
	}
	return true;
}

/* Until the second one has gone and nothing comes any more. */
static void
receive(void)
{
	unsigned quiet = 0, looks = 0;

	while (quiet < QUIET) {
		ck_assert_uint_lt(looks++, LOOKS);
		if (look() || (play->asks && be->over(in) && look()) ||
		    be->arm(in, IPC_RECV) != 0 || lit(in))
			quiet = 0;
		else if (over)
			quiet++;
	}
}

static void
judge(void)
{
	char one = play->first_dies ? 'd' : 'c';
	char two = play->first_dies ? 'c' : 'd';
	char both[8], last[8];

	snprintf(both, sizeof both, "a%cb%c", one, two);
	snprintf(last, sizeof last, "ab%c", two);
	if (strcmp(told, both) != 0 && strcmp(told, last) != 0)
		ck_abort_msg("%s: come at call %u and gone at %u%s%s: %s is "
		    "told, not %s or %s", be->mechanism.scheme, play->come,
		    play->go, play->late ? ", sending last" : "",
		    play->stays ? ", the first was seen" : "", told, both,
		    last);
}

static void
begin(const struct play *p)
{
	play = p;
	memset(told, 0, sizeof told);
	calls = 0;
	over = false;
}

static void
run(const struct play *p)
{
	struct ipc__half *first;

	begin(p);
	first = open_as(IPC_SEND, IPC_CREATE);
	ck_assert_int_eq(put(first, "a", 1, 0), 1);
	if (!p->stays)
		leave(first, p->first_dies);
	if (p->come == 0)
		second_comes();
	/* Else nobody can come: it holds the lock of the name. */
	stepping = p->come == 0;
	in = open_as(IPC_RECV, 0);
	stepping = false;
	if (p->stays)
		leave(first, p->first_dies);
	stepping = true;
	receive();
	stepping = false;
	judge();
	half_free(in);
}

/* With another mechanism each, as what is tried is the same for all. */
static void
run_all(struct play *p, unsigned kind, unsigned seen[8])
{
	unsigned stay;

	for (p->come = p->stays; p->come <= CALLS; p->come++)
		for (stay = 0; stay <= (p->come ? STAY : CALLS); stay++) {
			p->go = p->come + stay;
			be = backend_of((p->go + kind) % BACKENDS_NAMED);
			run(p);
			seen[strlen(told)]++;
		}
}

START_TEST(the_end_told_is_of_who_sent_before_it)
{
	struct play p = { .stays = _i & 1, .first_dies = _i & 2,
	    .late = _i & 4, .asks = _i & 8 };
	unsigned seen[8] = { 0 };
	int i;

	before_call = stepped;
	run_all(&p, (unsigned)_i, seen);
	for (i = 0; i < BACKENDS_NAMED; i++) {
		be = backend_of((unsigned)i);
		unlink_name();
	}
	/* It came in time to take the first one's place, and too late. */
	ck_assert_uint_gt(seen[3], 0);
	ck_assert_uint_gt(seen[4], 0);
}
END_TEST

/*
 * And one that would be
 */

static void
judge_killed(void)
{
	char both[8], last[8], one = play->first_dies ? 'd' : 'c';
	bool some = play->first == ONE || play->first == ONE_WHO_STAYS;

	snprintf(both, sizeof both, "a%c%s", one, was_sender ? "d" : "");
	snprintf(last, sizeof last, "ad");
	if (some && (strcmp(told, both) == 0 ||
	    (was_sender && strcmp(told, last) == 0)))
		return;
	if (!some && strcmp(told, was_sender ? "d" : "") == 0)
		return;
	ck_abort_msg("%s, after %d: come at call %u and killed at call %u of "
	    "its own: '%s' is told", be->mechanism.scheme, play->first,
	    play->come, play->killed, told);
}

static struct ipc__half *
first_comes(void)
{
	struct ipc__half *first;

	if (play->first == NOBODY)
		return NULL;
	first = open_as(IPC_SEND, IPC_CREATE);
	ck_assert_int_eq(put(first, "a", 1, 0), 1);
	return first;
}

static void
first_is_read(struct ipc__half *first)
{
	char c;

	in = open_as(IPC_RECV, 0);
	ck_assert_int_eq(get(in, &c, 1), 1);
	leave(first, play->first_dies);
	half_free(in);
}

/* false: it was not killed any more. */
static bool
run_killed(const struct play *p)
{
	struct ipc__half *first;

	begin(p);
	first = first_comes();
	if (p->first == ONE)
		leave(first, p->first_dies);
	if (p->first == ONE_WHO_WAS_READ)
		first_is_read(first);
	in = open_as(IPC_RECV, IPC_CREATE);
	if (p->first == ONE_WHO_STAYS)
		leave(first, p->first_dies);
	stepping = true;
	receive();
	stepping = false;
	judge_killed();
	half_free(in);
	unlink_name();
	return was_killed;
}

/* Every second one of its calls, and the others at the next of the receiver's;
 * with another mechanism each. */
START_TEST(who_was_no_sender_yet_has_no_end)
{
	struct play p = { .first = _i / 4, .first_dies = _i & 1,
	    .asks = _i & 2 };
	unsigned seen[2] = { 0 };

	before_call = stepped;
	for (p.come = 1; p.come <= CALLS; p.come++) {
		be = backend_of((p.come + (unsigned)_i) % BACKENDS_NAMED);
		p.killed = 1 + p.come / BACKENDS_NAMED % 2;
		while (run_killed(&p)) {
			seen[was_sender]++;
			p.killed += 2;
		}
	}
	ck_assert_uint_gt(seen[false], 0);
	ck_assert_uint_gt(seen[true], 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shmends");
	TCase *ends = tcase_create("ends");

	tcase_set_timeout(ends, 60);
	tcase_add_checked_fixture(ends, runtime_make, runtime_remove);
	tcase_add_loop_test(ends, the_end_told_is_of_who_sent_before_it, 0,
	    1 << KINDS);
	tcase_add_loop_test(ends, who_was_no_sender_yet_has_no_end, 0,
	    4 * FIRSTS);
	suite_add_tcase(s, ends);
	return suite_run(s);
}
