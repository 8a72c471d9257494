/* SPDX-License-Identifier: ISC */
/* WRAP: open close poll fcntl read write */
/*
 * The ends of the senders of an opened ring.  One has been there; while its
 * receiver finds that out a second one comes, and goes, each at any of the
 * calls of the system that the receiver makes.  Whatever it meets, the receiver
 * is told of the end of the second after all that the second sent, and as it
 * was, and of the first's only before that.
 */
#include <stdarg.h>

#include "rings.h"

#define QUIET	3	/* looks in vain */
#define LOOKS	200	/* not to hang */
#define CALLS	24	/* more than it makes until it has nothing to do */
#define STAY	8	/* and those with the second one there */
#define KINDS	4	/* of plays, as bits */
#define BACKENDS_NAMED	3

/* What is done. */
struct play {
	bool	 stays;		/* the first goes when the receiver has come */
	bool	 first_dies;	/* and the second closes; or the reverse */
	bool	 late;		/* the second sends when it goes */
	bool	 asks;		/* receives as who has no time to wait */
	unsigned come, go;	/* at these calls; 0: before the receiver */
};

static const struct ipc_backend *be;
static const struct play *play;
static struct ipc__half *in, *second;
static unsigned calls;		/* of the receiver */
static bool stepping, over;
static char told[16];		/* messages a and b; ends: closed or died */
static char runtime[100], name[160];

/*
 * The name
 */

static void
runtime_make(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(runtime, sizeof runtime, "%s/shm-XXXXXX",
	    dir ? dir : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(runtime));
	setenv("IPC_RUNTIME_DIR", runtime, 1);
}

static void
runtime_remove(void)
{
	char command[150];

	snprintf(command, sizeof command, "rm -rf '%s'", runtime);
	ck_assert_int_eq(system(command), 0);
}

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

static void
step(void)
{
	if (!stepping)
		return;
	stepping = false;
	calls++;
	if (calls >= play->come && !over && second == NULL)
		second_comes();
	if (calls >= play->go && second != NULL)
		second_goes();
	stepping = true;
}

#define STEP(type, call, parameters, arguments)				\
	type __real_ ## call parameters;				\
	type __wrap_ ## call parameters;				\
	type								\
	__wrap_ ## call parameters					\
	{								\
		step();							\
		return __real_ ## call arguments;			\
	}

STEP(int, open, (const char *p, int f, mode_t m), (p, f, m))
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
	char c;
	ssize_t n;

	step();
	n = get(in, &c, 1);
	if (n == -EAGAIN)
		return false;
	if (n == -EPIPE) {
		tell(be->ends_with(in, "", 0) ? 'c' : 'd');
		step();
		ck_assert_int_eq(be->again(in), 1);
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
run(const struct play *p)
{
	struct ipc__half *first;

	play = p;
	memset(told, 0, sizeof told);
	calls = 0;
	over = false;
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

int
main(void)
{
	Suite *s = suite_create("shmends");
	TCase *ends = tcase_create("ends");
	SRunner *sr;
	int failed;

	tcase_set_timeout(ends, 60);
	tcase_add_checked_fixture(ends, runtime_make, runtime_remove);
	tcase_add_loop_test(ends, the_end_told_is_of_who_sent_before_it, 0,
	    1 << KINDS);
	suite_add_tcase(s, ends);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
