/* SPDX-License-Identifier: ISC */
/*
 * One command for each call, a process group each: the argument is a file in
 * memory, its standard input; what it prints comes through two pipes, and is
 * the answer, or the text of the failure.
 *
 * A call is over when its command has ended and what it printed was read.
 * What it left running in the background is not waited for.  A command that
 * has to be ended (the call was cancelled, its time is over, it prints too
 * much) gets SIGTERM, and its group SIGKILL when it is dead, or GRACE seconds
 * later.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs.h"

#define GRACE		2.0	/* seconds */
#define MOST_ANSWER	(16 * 1024 * 1024)
#define MOST_ERRORS	4096	/* of what it complains, the end */
#define PART		4096	/* which every mechanism carries */
#define TURNS		64	/* reads before others have their turn */

/*
 * Ending
 */

static void
job_free(struct job *j)
{
	struct jobs *all = j->all;

	if (j->pid != 0)
		all->running--;
	TAILQ_REMOVE(&all->list, j, link);
	for (int i = 0; i < JOB_OUTPUTS; i++) {
		if (j->outputs[i].fd >= 0)
			close(j->outputs[i].fd);
		free(j->outputs[i].data);
	}
	free(j->args);
	free(j);
}

/* Ends a job that has no process. */
static void
fail_now(struct job *j, int code, const char *text)
{
	(void)ipc_rpc_fail(j->call, code, text);
	job_free(j);
}

/* Its process group is ours as long as its leader is not reaped. */
static void
stop(struct job *j, int why)
{
	if (j->pid == 0) {
		fail_now(j, why, ipc_strerror(why));
		return;
	}
	if (j->why != 0)
		return;
	j->why = why;
	j->until = now() + GRACE;
	if (!j->dead)
		kill(-j->pid, SIGTERM);
}

void
jobs_stop(struct jobs *all, int why)
{
	struct job *j, *next;

	all->ending = why;
	for (j = TAILQ_FIRST(&all->list); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		stop(j, why);
	}
}

/* The last line, without control characters at its end, or what else is known
 * of a command that failed. */
static const char *
complaint(struct job *j, char *text, size_t size)
{
	struct output *o = &j->outputs[1];

	while (o->size > 0 && (unsigned char)o->data[o->size - 1] <= ' ')
		o->size--;
	if (o->size > 0)
		snprintf(text, size, "%.*s", (int)o->size, o->data);
	else if (WIFSIGNALED(j->status))
		snprintf(text, size, "%s: %s", j->all->command[0],
		    strsignal(WTERMSIG(j->status)));
	else
		snprintf(text, size, "%s: exit status %d", j->all->command[0],
		    WEXITSTATUS(j->status));
	return text;
}

/* A command that did well may have complained all the same, and of a call that
 * nobody waits for there is nobody else to tell. */
static void
show_errors(const struct job *j)
{
	if (j->outputs[1].size > 0)
		(void)!write(STDERR_FILENO, j->outputs[1].data,
		    j->outputs[1].size);
}

static void
finish(struct job *j)
{
	struct output *out = &j->outputs[0];
	char text[MOST_ERRORS + 1];

	if (j->why != 0)
		(void)ipc_rpc_fail(j->call, j->why, ipc_strerror(j->why));
	else if (j->status == 0) {
		show_errors(j);
		(void)ipc_rpc_reply(j->call, out->data, out->size);
	} else {
		if (ipc_rpc_flags(j->call) & IPC_RPC_ONE_WAY)
			show_errors(j);
		(void)ipc_rpc_fail(j->call, WIFSIGNALED(j->status) ?
		    128 + WTERMSIG(j->status) : WEXITSTATUS(j->status),
		    complaint(j, text, sizeof text));
	}
	job_free(j);
}

/*
 * Output
 */

/* Room for one more read; of complaints the beginning goes. */
static bool
make_room(struct job *j, struct output *o)
{
	char *data;

	if (o == &j->outputs[1] && o->size > MOST_ERRORS) {
		memmove(o->data, o->data + o->size - MOST_ERRORS, MOST_ERRORS);
		o->size = MOST_ERRORS;
	}
	if (o->room - o->size >= PART)
		return true;
	data = realloc(o->data, 2 * o->room + PART);
	if (data == NULL)
		return false;
	o->data = data;
	o->room = 2 * o->room + PART;
	return true;
}

/* Sends what there is as a part of the answer, if the client wants parts. */
static void
send_part(struct job *j)
{
	struct output *out = &j->outputs[0];
	int rc;

	if (!(ipc_rpc_flags(j->call) & IPC_RPC_PARTS) || out->size == 0)
		return;
	rc = ipc_rpc_part(j->call, out->data, out->size, 0);
	j->full = rc == -EAGAIN;
	if (!j->full)
		out->size = 0;
	if (rc < 0 && !j->full)
		stop(j, -rc);
}

/* One read: false if there is nothing now. */
static bool
read_output(struct job *j, struct output *o)
{
	ssize_t n;

	if (o->fd < 0 || o->rest == 0 || (o == &j->outputs[0] && j->full))
		return false;
	if (!make_room(j, o)) {
		stop(j, ENOMEM);
		o->size = 0;
		return o->room > 0;
	}
	n = read(o->fd, o->data + o->size, o->rest < PART ? o->rest : PART);
	if (n < 0)
		return errno == EINTR;
	if (n == 0) {
		close(o->fd);
		o->fd = -1;
		return false;
	}
	o->size += (size_t)n;
	if (j->dead)
		o->rest -= (size_t)n;
	if (o->size > MOST_ANSWER)
		stop(j, EMSGSIZE);
	if (j->why != 0 && o == &j->outputs[0])
		o->size = 0;
	else if (o == &j->outputs[0])
		send_part(j);
	return true;
}

/* Is there nothing more of a command that has ended? */
static bool
drain(struct job *j)
{
	bool more = true;

	if (j->full && j->why == 0)
		send_part(j);
	for (int turn = 0; turn < TURNS && more; turn++) {
		more = read_output(j, &j->outputs[0]);
		more |= read_output(j, &j->outputs[1]);
	}
	return !more && (!j->full || j->why != 0);
}

/*
 * Processes
 */

static void
set_number(const char *name, long long value)
{
	char text[32];

	snprintf(text, sizeof text, "%lld", value);
	setenv(name, text, 1);
}

/* What the command is told of its call. */
static void
set_environment(const struct job *j)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	int left = ipc_rpc_time_left(j->call);

	setenv("IPC_METHOD", ipc_rpc_method(j->call), 1);
	if (ipc_rpc_caller(j->call, &peer) == 0) {
		set_number("IPC_CALLER_PID", peer.pid);
		set_number("IPC_CALLER_UID", peer.uid);
		set_number("IPC_CALLER_GID", peer.gid);
	} else {
		unsetenv("IPC_CALLER_PID");
		unsetenv("IPC_CALLER_UID");
		unsetenv("IPC_CALLER_GID");
	}
	if (left >= 0)
		set_number("IPC_TIME_LEFT", left);
	else
		unsetenv("IPC_TIME_LEFT");
}

/* In the child.  It ends with us, if it is not one that runs as somebody
 * else. */
static void
become(const struct job *j, int in, int out, int err_fd, pid_t parent)
{
	char **command = j->all->command;

	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
	    dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err_fd, STDERR_FILENO) < 0) {
		warn("%s", command[0]);
		_exit(126);
	}
	if (getppid() != parent)
		_exit(126);
	set_environment(j);
	signal(SIGPIPE, SIG_DFL);
	setrlimit(RLIMIT_NOFILE, &j->all->files);
	sigprocmask(SIG_SETMASK, &j->all->mask, NULL);
	execvp(command[0], command);
	warn("%s", command[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* The argument, from its beginning. */
static int
argument_file(const struct job *j)
{
	int fd = memfd_create("argument", MFD_CLOEXEC);
	const char *at = j->args;
	size_t left = j->size;

	while (fd >= 0 && left > 0) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno != EINTR) {
			close(fd);
			return -1;
		}
		at += n > 0 ? n : 0;
		left -= n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static int
fork_command(struct job *j, int in, const int pipes[JOB_OUTPUTS][2])
{
	pid_t parent = getpid(), pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(j, in, pipes[0][1], pipes[1][1], parent);
	setpgid(pid, pid);	/* whoever of us two is first */
	j->pid = pid;
	j->all->running++;
	for (int i = 0; i < JOB_OUTPUTS; i++) {
		j->outputs[i].fd = pipes[i][0];
		fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static int
start(struct job *j)
{
	int pipes[JOB_OUTPUTS][2] = { { -1, -1 }, { -1, -1 } };
	int in, rc = 0;

	in = argument_file(j);
	if (in < 0 || pipe2(pipes[0], O_CLOEXEC) < 0 ||
	    pipe2(pipes[1], O_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0)
		rc = fork_command(j, in, pipes);
	for (int i = 0; i < JOB_OUTPUTS; i++) {
		if (pipes[i][1] >= 0)
			close(pipes[i][1]);
		if (rc < 0 && pipes[i][0] >= 0)
			close(pipes[i][0]);
	}
	if (in >= 0)
		close(in);
	free(j->args);
	j->args = NULL;
	if (j->all->limit >= 0)
		j->until = now() + j->all->limit / 1000.0;
	return rc;
}

/* Has it ended?  What it has printed is in the pipes now; what comes later is
 * not its own.  Its group is killed while nobody else can have its number. */
static void
reap_job(struct job *j)
{
	siginfo_t info = { .si_pid = 0 };

	if (j->dead || waitid(P_PID, (id_t)j->pid, &info,
	    WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return;
	if (j->why != 0)
		kill(-j->pid, SIGKILL);
	waitpid(j->pid, &j->status, 0);
	j->dead = true;
	for (int i = 0; i < JOB_OUTPUTS; i++) {
		int n = 0;

		if (j->outputs[i].fd >= 0)
			ioctl(j->outputs[i].fd, FIONREAD, &n);
		j->outputs[i].rest = (size_t)n;
	}
}

static void
look_at_clock(struct job *j)
{
	if (j->until <= 0 || now() < j->until)
		return;
	if (j->why == 0)
		stop(j, ETIMEDOUT);
	else {
		if (!j->dead)
			kill(-j->pid, SIGKILL);
		j->until = 0;
	}
}

static void
step(struct job *j)
{
	bool empty;

	look_at_clock(j);
	reap_job(j);		/* before: then nothing is written any more */
	empty = drain(j);
	if (j->dead && empty)
		finish(j);
}

static void
start_waiting(struct jobs *all)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&all->list); j != NULL && all->running < all->most;
	    j = next) {
		int rc = 0;

		next = TAILQ_NEXT(j, link);
		if (j->pid == 0)
			rc = start(j);
		if (rc < 0)
			fail_now(j, -rc, ipc_strerror(rc));
	}
}

void
jobs_step(struct jobs *all)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&all->list); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->pid != 0)
			step(j);
	}
	start_waiting(all);
}

static void
want(struct job *j, struct pollfd *fds, size_t *count)
{
	for (int i = 0; i < JOB_OUTPUTS; i++)
		if (j->outputs[i].fd >= 0 && (i == 1 || !j->full))
			fds[(*count)++] = (struct pollfd){
			    .fd = j->outputs[i].fd, .events = POLLIN };
}

size_t
jobs_poll(struct jobs *all, struct pollfd *fds, int *timeout)
{
	double first = 0, ms;
	size_t count = 0;
	struct job *j;

	for (j = TAILQ_FIRST(&all->list); j != NULL; j = TAILQ_NEXT(j, link)) {
		if (j->pid == 0)
			continue;
		want(j, fds, &count);
		if (j->until > 0 && (first == 0 || j->until < first))
			first = j->until;
	}
	*timeout = -1;
	if (first > 0) {
		/* Not before it. */
		ms = (first - now()) * 1000;
		*timeout = ms > 0 ? (int)ms + 1 : 0;
	}
	return count;
}

/*
 * Calls
 */

/* It was cancelled, or takes parts again. */
static void
changed(struct ipc_rpc_call *call, void *user)
{
	struct job *j = user;

	if (ipc_rpc_cancelled(call))
		stop(j, ECANCELED);
	else if (j->full)
		send_part(j);
}

void
job_handle(struct ipc_rpc_call *call, const void *args, size_t size,
    void *user)
{
	struct jobs *all = user;
	struct job *j;

	if (all->ending != 0) {
		(void)ipc_rpc_fail(call, all->ending, NULL);
		return;
	}
	j = calloc(1, sizeof *j);
	if (j != NULL)
		j->args = malloc(size > 0 ? size : 1);
	if (j == NULL || j->args == NULL) {
		free(j);
		(void)ipc_rpc_fail(call, ENOMEM, NULL);
		return;
	}
	if (size > 0)
		memcpy(j->args, args, size);
	j->size = size;
	j->call = call;
	j->all = all;
	for (int i = 0; i < JOB_OUTPUTS; i++)
		j->outputs[i] = (struct output){ .fd = -1, .rest = PART };
	TAILQ_INSERT_TAIL(&all->list, j, link);
	if (ipc_rpc_watch(call, changed, j) < 0)
		stop(j, EIO);
}
