/* SPDX-License-Identifier: ISC */
/*
 * Which process is meant, and does it live?  A pid alone is soon another
 * process's; with its start time it is not.  The value also holds a trace of
 * the pid namespace, as a directory may be shared between containers, where the
 * same number is somebody else.  What can not be known counts as alive: a
 * leftover costs a file name, and removing what is in use costs a conversation.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "name.h"

#define STARTED_BITS	48	/* the rest tells the namespace */
#define STARTED		((UINT64_C(1) << STARTED_BITS) - 1)

/* What /proc/PID/stat says. */
struct life {
	char		state;
	long		threads;
	uint64_t	started;	/* clock ticks after the boot */
};

static int
read_file(const char *path, char *text, size_t size)
{
	ssize_t n;
	int fd, error;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return -error;
	text[n] = '\0';
	return 0;
}

/* The fields follow the last parenthesis, as the name before it may hold
 * anything.  The first of them is the state, field 3 of proc(5). */
static int
read_life(const char *path, struct life *life)
{
	char text[1024], *s, *field;
	int rc;

	rc = read_file(path, text, sizeof text);
	if (rc < 0)
		return rc;
	s = strrchr(text, ')');
	if (s == NULL || s[1] != ' ')
		return -ESRCH;
	s += 2;
	for (int i = 3; i <= 22; i++) {
		field = strsep(&s, " ");
		if (field == NULL)
			return -ESRCH;
		if (i == 3)
			life->state = field[0];
		else if (i == 20)
			life->threads = strtol(field, NULL, 10);
		else if (i == 22)
			life->started = strtoull(field, NULL, 10);
	}
	return 0;
}

static uint64_t
namespace_trace(void)
{
	struct stat st;
	uint64_t n;

	if (stat("/proc/self/ns/pid", &st) == -1)
		return 0;
	n = (uint64_t)st.st_ino;
	n ^= n >> 32;
	n ^= n >> 16;
	return (n & 0xffff) << STARTED_BITS;
}

/* Is /proc there, and that of our pid namespace? */
static bool
proc_is_ours(void)
{
	char link[24], own[24];
	ssize_t n = readlink("/proc/self", link, sizeof link - 1);

	if (n < 0)
		return false;
	link[n] = '\0';
	snprintf(own, sizeof own, "%ld", (long)getpid());
	return strcmp(link, own) == 0;
}

static bool
exists(pid_t pid)
{
	return kill(pid, 0) == 0 || errno != ESRCH;
}

static uint64_t
find_start_time(pid_t pid)
{
	char path[40];
	struct life life;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	if (!proc_is_ours() || read_life(path, &life) < 0)
		return 0;
	return namespace_trace() | (life.started & STARTED);
}

/* This process's own does not change until it forks, and is asked for with
 * every name that is made. */
static uint64_t
own_start_time(pid_t pid)
{
	static _Atomic uint64_t known, whose;
	uint64_t own, us;

	ipc__fork_watch();
	us = (uint64_t)atomic_load_explicit(&ipc__process,
	    memory_order_relaxed) << 32 | (uint32_t)pid;
	/* Acquire: pairs with the release below, so that it is known. */
	if (atomic_load_explicit(&whose, memory_order_acquire) == us)
		return atomic_load_explicit(&known, memory_order_relaxed);
	own = find_start_time(pid);
	if (own == 0)
		return 0;
	/* Two threads store the same: there is one value for each of us. */
	atomic_store_explicit(&known, own, memory_order_relaxed);
	atomic_store_explicit(&whose, us, memory_order_release);
	return own;
}

uint64_t
ipc__start_time(pid_t pid)
{
	return pid == getpid() ? own_start_time(pid) : find_start_time(pid);
}

bool
ipc__alive(pid_t pid, uint64_t start_time)
{
	char path[40];
	struct life life;
	int rc;

	if (pid <= 0)
		return false;
	if (!proc_is_ours())
		return exists(pid);
	if (start_time != 0 && (start_time & ~STARTED) != namespace_trace())
		return true;
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	rc = read_life(path, &life);
	if (rc == -ENOENT || rc == -ESRCH)
		return exists(pid);	/* /proc may hide what is another's */
	if (rc < 0)
		return true;
	/* A zombie has closed everything; but a main thread that has ended
	 * looks like one while the others go on. */
	if ((life.state == 'Z' || life.state == 'X') && life.threads <= 1)
		return false;
	return start_time == 0 ||
	    (life.started & STARTED) == (start_time & STARTED);
}
