/* SPDX-License-Identifier: ISC */
/*
 * What the conformance suite stands on: cases (a mechanism in one of its
 * ways), connected ends, peers in other processes, patterns, time, and the
 * check that nothing is left behind.
 *
 * A test is written once and runs for each case whose capability bits promise
 * what it asks:
 *
 *	START_TEST(an_empty_message_is_a_message)
 *	{
 *		struct ipc_channel *ch[2];
 *
 *		ends_of(_i, ch, "", 0);
 *		expect(0, ipc_send(ch[0], "", 0, SOON));
 *		expect(0, ipc_recv(ch[1], NULL, 0, SOON));
 *		close_ends(ch);
 *	}
 *	END_TEST
 *	...
 *	for_each_case(tc, an_empty_message_is_a_message, TALKS, 0);
 *
 * ch[0] is the side that begins: ends[0] of a pair, the connecting side of a
 * session.  ch[1] is the other.
 */
#ifndef IPC_TESTS_SUPPORT_H
#define IPC_TESTS_SUPPORT_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <check.h>

#include <ipc/ipc.h>

#define SOON		5000	/* ms: never met where all is well */
#define PROMPT		100	/* ms: within which an end is told */
#define AHEAD		8	/* messages that every mechanism has room for */
#define KIB		1024
#define MIB		(1024 * 1024)

/* Ways, as for_each_case takes them. */
#define PAIR		(1u << IPC_WAY_PAIR)
#define OPEN		(1u << IPC_WAY_OPEN)
#define SESSION		(1u << IPC_WAY_SESSION)
#define ADOPT		(1u << IPC_WAY_ADOPT)
#define TALKS		(PAIR | SESSION)

/* Where another process can hold an end and die: only there can dying be told
 * from closing. */
#define FORKS		IPC_CAP_DEATH

/*
 * Programs and cases
 */

/* The case that runs. */
struct test_case {
	const struct ipc_mechanism *mech;
	const char	*scheme;
	enum ipc_way	 way;
	unsigned	 caps;
};
extern struct test_case here;

void	suite_open(const char *name);
TCase  *tcase_open(const char *name, int seconds);
/* Runs the test where one of these ways has all of these capabilities. */
void	for_each_case(TCase *, const TTest *, unsigned ways, unsigned caps);
/* The same, only where it has none of those in `without'. */
void	for_each_case_but(TCase *, const TTest *, unsigned ways, unsigned caps,
	    unsigned without);
/* Runs everything, then checks that only lines whose bits are off were left
 * out and that nothing lies about.  What main() returns. */
int	suite_close(void);

/* Decodes the loop index of a test and notes that the case ran. */
void	begin(int i);
/* Waits until no other test program has POSIX queues; begin() does it where the
 * mechanism may be one of them. */
void	claim_queues(void);
/* "scheme/way", for messages. */
const char *where(void);
/* How often something is repeated: n, times IPC_TEST_ROUNDS percent. */
int	rounds(int n);
/* The same from so often up to so often, which is at 10000 percent. */
int	rounds_up_to(int brief, int full);
/* Says why a test could not be run on this machine. */
void	skip_loudly(const char *why);

/*
 * Asserting.  Silent and cheap where it holds; safe in threads and children.
 */
#define fail_with(...) do {						\
	say_if_alone(__VA_ARGS__);					\
	ck_abort_msg(__VA_ARGS__);					\
} while (0)
/* In a program that was spawned there is no suite that would report it. */
void	say_if_alone(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

#define expect(want, call) do {						\
	long long want_ = (want), got_ = (long long)(call);		\
	if (got_ != want_)						\
		fail_with("%s: %s gives %lld (%s), not %lld (%s): "	\
		    "%s", where(), #call, got_,				\
		    ipc_strerror((int)got_), want_,			\
		    ipc_strerror((int)want_), ipc_errmsg());		\
} while (0)

#define expect_ok(call) do {						\
	long long got_ = (long long)(call);				\
	if (got_ < 0)							\
		fail_with("%s: %s gives %lld (%s): %s", where(), #call,\
		    got_, ipc_strerror((int)got_), ipc_errmsg());	\
} while (0)

#define expect_error(call) do {						\
	long long got_ = (long long)(call);				\
	if (got_ >= 0)							\
		fail_with("%s: %s gives %lld where an error is due",	\
		    where(), #call, got_);				\
} while (0)

#define expect_either(a, b, call) do {					\
	long long got_ = (long long)(call);				\
	if (got_ != (a) && got_ != (b))					\
		fail_with("%s: %s gives %lld (%s): %s", where(), #call,\
		    got_, ipc_strerror((int)got_), ipc_errmsg());	\
} while (0)

#define expect_true(what) do {						\
	if (!(what))							\
		fail_with("%s: not so: %s", where(), #what);		\
} while (0)

/* A system call of the test itself. */
#define expect_sys(call) do {						\
	if ((long long)(call) == -1)					\
		fail_with("%s: %s: %s", where(), #call,		\
		    strerror(errno));					\
} while (0)

/*
 * Addresses.  Each is new; the strings last until the eighth next one.
 */
const char *path_new(void);		/* a path where nothing is */
const char *address(const char *options);/* for the case that runs: "a=b&c=d" */
const char *address_of(const char *scheme, enum ipc_way way,
	    const char *options);
bool	scheme_has_paths(const char *scheme);
const char *temporary_dir(void);	/* this program's; removed at its end */

/*
 * Ends
 */

/* Two connected ends in this process, each with these options.  IPC_RECV or
 * IPC_SEND: one way, of which ch[0] receives. */
void	ends_of(int i, struct ipc_channel *ch[2], const char *options,
	    int flags);
void	pair_of(struct ipc_channel *ch[2], const char *options, int flags);
void	session_of(struct ipc_channel *ch[2], const char *options, int flags);
/* A session through this listener. */
void	meet(struct ipc_channel *ch[2], struct ipc_listener *l, int flags);
void	meet_at(struct ipc_channel *ch[2], struct ipc_listener *l,
	    const char *address, int flags);
void	close_ends(struct ipc_channel *ch[2]);
void	listen_here(struct ipc_listener **l, char *address, size_t size,
	    const char *options, int flags);

/* One end is ours, the other belongs to a child that runs peer() and exits
 * with 0.  The child's copies of ours are closed and the other way round. */
typedef void peer_fn(struct ipc_channel *, void *);
struct ipc_channel *with_peer(int i, const char *options, int flags,
	    peer_fn *peer, void *arg, pid_t *pid);
void	peer_done(pid_t pid);		/* waits; it must have been well */
void	peer_kill(pid_t pid);		/* SIGKILL, and waits */
/* Somebody was killed: what it left may lie there until ipc_gc(). */
void	somebody_died(void);
void	echo_peer(struct ipc_channel *ch, void *unused);

struct ipc_info info_of(const struct ipc_channel *ch);
/* Fills a channel until nothing more is taken; returns how many messages. */
int	fill_up(struct ipc_channel *ch, size_t size);

/*
 * Something that goes on in a thread beside the test
 */
struct job {
	pthread_t	 thread;
	struct ipc_channel *ch;
	const void	*data;
	void		*buffer;
	size_t		 size;
	int		 timeout;
	int		 delay;		/* ms before it begins */
	double		 ended;		/* when, as now_ms() */
	long		 rc;
	long		(*run)(struct job *);
};
void	job_start(struct job *, long (*run)(struct job *));
long	job_end(struct job *);		/* waits; its rc */
long	job_send(struct job *);		/* ipc_send(ch, data, size, timeout) */
long	job_recv(struct job *);		/* ipc_recv(ch, buffer, size, ...) */

/* One message of this size from one end to the other, content checked. */
void	carry(struct ipc_channel *from, struct ipc_channel *to, size_t size);

/*
 * Small things
 */
void	pattern_fill(void *data, size_t size, unsigned seed);
bool	pattern_is(const void *data, size_t size, unsigned seed);
void   *need(size_t size);		/* malloc that does not fail */
double	now_ms(void);			/* monotonic */
double	cpu_ms(void);			/* used by this process */
void	pause_ms(int ms);
/* Is the descriptor ready within so many ms?  Its revents. */
short	ready(int fd, short events, int timeout);
/* A gate that processes wait at: one byte opens it once. */
struct gate { int fd[2]; };
void	gate_make(struct gate *);
void	gate_open(struct gate *);
void	gate_wait(struct gate *);
void	gate_free(struct gate *);
/* SIGALRM every millisecond, until stopped. */
void	storm_start(void);
void	storm_stop(void);
/* Descriptors open now. */
int	fds_open(void);

/*
 * support_left.c: what there is around this process, as text, one thing a
 * line: descriptors, files, children, threads, dispositions, limits, objects.
 */
void	left_begin(const char *dir);	/* once: makes objects private if may */
char   *left_list(void);		/* malloc'd */
char   *left_things(void);		/* without the process's settings */
bool	left_private(void);		/* objects of the kernel are our own */
/* The first line of `after' that is not in `before', or NULL; and the other
 * way round. */
const char *left_difference(const char *before, const char *after);

/*
 * support_calls.c: system calls that a piece of work makes, counted by ptrace.
 */
/* Runs work(arg) in a child between two marks; returns how many calls it made
 * and lists their numbers, or -1 where tracing is not allowed. */
int	count_calls(void (*prepare)(void *), void (*work)(void *),
	    void (*after)(void *), void *arg, long *numbers, int room);

#endif
