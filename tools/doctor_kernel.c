/* SPDX-License-Identifier: ISC */
/*
 * What the kernel has of what the library makes use of, tried for real.  It
 * does without each of these, at a price.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL	0x100
#endif

/* A pipe that nobody reads; SIGPIPE is ignored. */
static bool
has_nosignal(void)
{
	struct iovec iov = { (char[]){ "x" }, 1 };
	bool has;
	int p[2];

	if (pipe2(p, O_CLOEXEC) == -1)
		return false;
	close(p[0]);
	has = pwritev2(p[1], &iov, 1, -1, RWF_NOSIGNAL) == -1 &&
	    errno == EPIPE;
	close(p[1]);
	return has;
}

static bool
has_membarrier(void)
{
	const long wanted = MEMBARRIER_CMD_GLOBAL_EXPEDITED |
	    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
	long got = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return got >= 0 && (got & wanted) == wanted;
}

static bool
has_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

static bool
has_ofd_locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
	    .l_len = 1 };
	int fd = memfd_create("ipc-doctor", MFD_CLOEXEC);
	bool has = fd != -1 && fcntl(fd, F_OFD_SETLK, &lock) == 0;

	if (fd != -1)
		close(fd);
	return has;
}

static bool
has_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

/* It must be that of our own pid namespace. */
static bool
has_proc(void)
{
	char link[24];
	ssize_t n = readlink("/proc/self", link, sizeof link - 1);

	if (n <= 0)
		return false;
	link[n] = '\0';
	return strtol(link, NULL, 10) == (long)getpid();
}

static const struct feature {
	const char	*name;
	bool		(*has)(void);
	enum level	 level;		/* where it is missing */
	const char	*missing, *advice;
} features[] = {
	{ "RWF_NOSIGNAL", has_nosignal, NOTE, "each write to a pipe blocks "
	    "and unblocks SIGPIPE: two system calls more", "Linux 6.18 has "
	    "it" },
	{ "membarrier", has_membarrier, NOTE, "each message over a ring costs "
	    "a memory fence more", "Linux 4.16 has it; a seccomp filter may "
	    "forbid it" },
	{ "pidfd_open", has_pidfd, NOTE, "a dead process is told by its "
	    "number and start time only", "Linux 5.3 has it; a seccomp filter "
	    "may forbid it" },
	{ "OFD locks", has_ofd_locks, PROBLEM, "opened rings can not keep "
	    "their ends apart", "Linux 3.15 has them" },
	{ "eventfd", has_eventfd, PROBLEM, "rings and System V queues can not "
	    "wake anybody", "a seccomp filter may forbid it; use unix:" },
	{ "/proc", has_proc, PROBLEM, "it is missing, or another pid "
	    "namespace's: what the dead left can not be told from what the "
	    "living have, and stays", "mount -t proc proc /proc" }
};

void
doctor_kernel(struct doctor *d)
{
	for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
		const struct feature *f = &features[i];

		if (f->has())
			finding(d, FINE, f->name, NULL, "there is");
		else
			finding(d, f->level, f->name, f->advice,
			    "there is none: %s", f->missing);
	}
}
