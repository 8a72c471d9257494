/* SPDX-License-Identifier: ISC */
/*
 * ipc lock: a program under a mutex or a reader-writer lock.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static volatile pid_t program;

static void
pass_on(int sig)
{
	kill(program, sig);
}

static void
start_program(char *argv[], pid_t parent)
{
	/* What ends the holder of the lock at once ends the program too. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
	execvp(argv[0], argv);
	warn("%s", argv[0]);
	_exit(127);
}

/*
 * The signals of a terminal are the program's business, and what asks this
 * command to end is passed on to it: whoever ended here would let it run
 * without the lock.
 */
static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
#define PASSED_ON	2	/* those and what follows, if not ignored */
#define SIGNALS		4

static void
take_signals(struct sigaction old[SIGNALS])
{
	struct sigaction sa = { .sa_flags = SA_RESTART };

	for (int i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &old[i]);
		sa.sa_handler = i < PASSED_ON ||
		    old[i].sa_handler == SIG_IGN ? SIG_IGN : pass_on;
		sigaction(signals[i], &sa, NULL);
	}
	signal(SIGCHLD, SIG_DFL);	/* ignored, it leaves no status */
}

static int
run_program(char *argv[])
{
	struct sigaction old[SIGNALS];
	sigset_t all, before;
	pid_t parent = getpid(), child;

	/* None comes before there is somebody to pass it on to. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	take_signals(old);
	program = child = fork();
	for (int i = 0; child <= 0 && i < SIGNALS; i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (child == 0)
		start_program(argv, parent);
	if (child == -1) {
		warn("fork");
		return EXIT_FAILED;
	}
	return reap(child, argv[0]);
}

/* What can be locked in two ways is a reader-writer lock here: who waits to
 * write is then not kept waiting by those who read. */
struct lock {
	struct ipc_mutex *mutex;
	struct ipc_rwlock *rw;
	bool		 shared;
};

static int
lock_open(struct lock *l, const char *address)
{
	if (l->shared || ipc_sync_caps(address) & IPC_SYNC_RWLOCK)
		return ipc_rwlock_open(&l->rw, address, IPC_CREATE);
	return ipc_mutex_open(&l->mutex, address, IPC_CREATE);
}

static int
lock_take(struct lock *l, int timeout)
{
	if (l->rw == NULL)
		return ipc_mutex_lock(l->mutex, timeout);
	return l->shared ? ipc_rwlock_rdlock(l->rw, timeout) :
	    ipc_rwlock_wrlock(l->rw, timeout);
}

static int
lock_give(struct lock *l)
{
	return l->rw != NULL ? ipc_rwlock_unlock(l->rw) :
	    ipc_mutex_unlock(l->mutex);
}

static int
locked(struct lock *l, int timeout, char *argv[])
{
	int rc = lock_take(l, timeout), status;

	if (rc < 0 && rc != -EOWNERDEAD)
		return failed();
	if (rc == -EOWNERDEAD)
		warnx("%s", ipc_errmsg());
	status = run_program(argv);
	return lock_give(l) < 0 ? failed() : status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct lock l = { .shared = false };
	int c, status, timeout = -1;

	while ((c = next_option(cmd, argc, argv, "+st:")) != -1)
		switch (c) {
		case 's':
			l.shared = true;
			break;
		case 't':
			timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	argc -= optind;
	argv += optind;
	if (argc >= 2 && !strcmp(argv[1], "--")) {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (argc < 2)
		return usage(cmd);
	if (lock_open(&l, argv[0]) < 0)
		return failed();
	status = locked(&l, timeout, argv + 1);
	ipc_mutex_close(l.mutex);
	ipc_rwlock_close(l.rw);
	return status;
}

const struct command cmd_lock = {
	.name = "lock",
	.arguments = "[-s] [-t ms] address -- program [argument ...]",
	.summary = "Runs a program while it holds a lock",
	.help =
	    "The address is mutex:NAME, sysvmutex:NAME, rwlock:NAME,\n"
	    "sysvrwlock:NAME or filelock:/PATH, and is made if it is missing.\n"
	    "If the last owner died with it, that is said and the program\n"
	    "runs.  If the program fails, so does this command.  SIGTERM and\n"
	    "SIGHUP are passed on to it, and it is killed if this command\n"
	    "is.\n\n"
	    "  -s, --shared  lets others in who say that too (not of a mutex)\n"
	    "  -t ms         waits no longer than so many milliseconds\n",
	.run = run
};
