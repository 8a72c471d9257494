/* SPDX-License-Identifier: ISC */
/*
 * What the tests of killing and restarting share: a process that dies at a
 * random instant and tells, in memory that outlives it, how far it came; and
 * messages that show whether they are whole, and which ones they are.
 *
 * The instant is chosen by a timer whose signal is SIGKILL: it hits between any
 * two instructions, in system calls too, and costs no second process.  It
 * begins to run at a stage that is chosen by chance, too, for a slow one would
 * take all the killing otherwise.
 */
#ifndef IPC_TESTS_RESTART_H
#define IPC_TESTS_RESTART_H

#include <sys/mman.h>
#include <sys/wait.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include <ipc/names.h>

#include "support.h"

/* How far it has come. */
enum stage { BEGUN, LISTENING, MET, CLOSING, DONE, STAGES };

/* What the one that is to die tells.  Written by it alone; read when it is
 * dead, but for the stage. */
struct tale {
	_Atomic int	 stage;
	_Atomic unsigned sent;	/* messages whose send has returned 0 */
	_Atomic unsigned got;	/* messages that were received */
	_Atomic unsigned next;	/* the one to be received next */
	unsigned	 limit;	/* and where that ends */
	int		 usual[STAGES];	/* us from there on, undisturbed */
	/* Seen by whoever does both: where the killed ones were. */
	unsigned	 killed[STAGES];
};
static struct tale *tale;

/* In the one that dies: where its time begins to run, and how much it has; in
 * one that does not, when it was where. */
static int doom_stage = -1;
static long doom_us;
static double reached[STAGES];

/* One side's numbers. */
struct side {
	unsigned	 out, in;	/* the next ones */
	int		 end;		/* how it ended: 0, or an error */
	struct tale	*tale;		/* of the one that is to die */
};

/* What is sent. */
struct line {
	uint32_t	 number;
	uint16_t	 more;		/* that follow before an answer */
	uint16_t	 last;		/* of all */
};

#define LINE_MAX_SIZE	20000

static inline void
tale_new(void)
{
	tale = mmap(NULL, sizeof *tale, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(tale != MAP_FAILED);
	for (int i = 0; i < STAGES; i++)
		tale->usual[i] = 500;
	srandom((unsigned)getpid());
}

static inline void
tale_free(void)
{
	if (getenv("IPC_TEST_TELL") != NULL)
		fprintf(stderr, "%s: killed before listening or opening %u, "
		    "connecting %u, talking %u, closing %u, after %u; "
		    "undisturbed %d us\n", where(), tale->killed[BEGUN],
		    tale->killed[LISTENING], tale->killed[MET],
		    tale->killed[CLOSING], tale->killed[DONE],
		    tale->usual[BEGUN]);
	munmap(tale, sizeof *tale);
}

/* A name for all rounds.  An address of 127/8 is this process's own, and so are
 * all its ports. */
static inline void
name_own(char *name, size_t size)
{
	unsigned pid = (unsigned)getpid();

	if (here.caps & IPC_CAP_NETWORK)
		snprintf(name, size, "%s://127.%u.%u.%u:7531", here.scheme,
		    1 + (pid >> 16 & 63), pid >> 8 & 255, pid & 255);
	else
		snprintf(name, size, "%s", address(""));
}

/*
 * The one that dies
 */

static inline void
doom(long us)
{
	struct sigevent by = { .sigev_notify = SIGEV_SIGNAL,
	    .sigev_signo = SIGKILL };
	struct itimerspec when = { .it_value = { us / 1000000,
	    us % 1000000 * 1000 } };
	timer_t timer;

	expect_sys(timer_create(CLOCK_MONOTONIC, &by, &timer));
	expect_sys(timer_settime(timer, 0, &when, NULL));
}

static inline void
reach(int stage)
{
	reached[stage] = now_ms();
	if (doom_stage != -1 && stage >= doom_stage) {
		doom_stage = -1;
		doom(doom_us);
	}
	tale->stage = stage;
}

/* From each stage to the end: what half of them took longer than, as a busy
 * machine makes some take very long. */
static inline void
note_usual(void)
{
	int us, step;

	for (int i = 0; i < DONE; i++) {
		us = (int)((reached[DONE] - reached[i]) * 1000);
		step = tale->usual[i] / 16 + 1;
		tale->usual[i] += us > tale->usual[i] ? step : -step;
		if (tale->usual[i] < 10)
			tale->usual[i] = 10;
	}
}

/* Runs live() in a process that is killed at a random instant, or, if it is to
 * be calm, does all that it does. */
static inline pid_t
start_doomed(void (*live)(void *), void *arg, bool calm)
{
	pid_t pid;

	doom_stage = calm ? -1 : (int)(random() % DONE);
	doom_us = calm ? 0 : 1 + random() % tale->usual[doom_stage];
	tale->stage = BEGUN;
	tale->sent = tale->got = 0;
	pid = fork();
	expect_sys(pid);
	if (pid != 0)
		return pid;
	reach(BEGUN);
	for (int i = LISTENING; i < DONE; i++)
		reached[i] = reached[BEGUN];
	live(arg);
	reach(DONE);
	if (!calm)
		for (;;)
			pause();
	note_usual();
	_exit(0);
}

static inline bool
is_dead(pid_t pid)
{
	siginfo_t si = { .si_pid = 0 };

	expect_sys(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT));
	return si.si_pid == pid;
}

/* It was killed; or, undisturbed, all was well. */
static inline void
end_doomed(pid_t pid, bool calm)
{
	int status;

	expect(pid, waitpid(pid, &status, 0));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !calm)
		tale->killed[tale->stage]++;
	else if (!calm || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		ck_abort_msg("%s: it ended with status 0x%x at stage %d",
		    where(), (unsigned)status, tale->stage);
}

/*
 * Messages
 */

static inline size_t
line_size(unsigned number)
{
	unsigned h = number * 2654435761u >> 12;

	if (h % 16 != 0)
		return sizeof(struct line) + h % 300;
	return here.caps & IPC_CAP_LARGE ? LINE_MAX_SIZE : 3000;
}

static inline int
say_within(struct ipc_channel *ch, struct side *me, unsigned more, bool last,
    int timeout)
{
	static char data[LINE_MAX_SIZE];
	struct line line = { me->out, (uint16_t)more, last };
	size_t size = line_size(me->out);
	int rc;

	pattern_fill(data, size, me->out);
	memcpy(data, &line, sizeof line);
	if ((rc = ipc_send(ch, data, size, timeout)) < 0)
		return rc;
	me->out++;
	if (me->tale != NULL)
		me->tale->sent++;
	return 0;
}

static inline int
say(struct ipc_channel *ch, struct side *me, unsigned more, bool last)
{
	return say_within(ch, me, more, last, SOON);
}

/* Whole and untouched, whatever its number. */
static inline int
hear_any(struct ipc_channel *ch, struct line *line, int timeout)
{
	static char data[LINE_MAX_SIZE], want[LINE_MAX_SIZE];
	ssize_t n = ipc_recv(ch, data, sizeof data, timeout);

	if (n < 0)
		return (int)n;
	expect_true((size_t)n >= sizeof *line);
	memcpy(line, data, sizeof *line);
	expect(line_size(line->number), n);
	pattern_fill(want, (size_t)n, line->number);
	memcpy(want, line, sizeof *line);
	expect_true(memcmp(data, want, (size_t)n) == 0);
	return 0;
}

/* The next one. */
static inline int
hear(struct ipc_channel *ch, struct side *me, struct line *line, int timeout)
{
	int rc = hear_any(ch, line, timeout);

	if (rc < 0)
		return rc;
	expect(me->in, line->number);
	me->in++;
	if (me->tale != NULL)
		me->tale->got++;
	return 0;
}

/*
 * What is left
 */

/* Of all that was left gc leaves nothing; `base' is how it was at first. */
static inline void
nothing_left(const char *base)
{
	const char *line;
	char *now;

	expect_ok(ipc_gc(NULL, NULL));
	now = left_things();
	line = left_difference(base, now);
	if (line != NULL)
		ck_abort_msg("%s: left, and gc leaves it: %s", where(), line);
	free(now);
}

#endif
