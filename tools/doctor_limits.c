/* SPDX-License-Identifier: ISC */
/*
 * The limits of this machine and of this process, one by one: below the first
 * number something fails, below the second something is less than usual.
 */
#include <sys/resource.h>
#include <stdio.h>
#include <unistd.h>

#include "doctor.h"

#define PROC	"/proc/sys/"
#define KIB	1024ull
#define MIB	(1024ull * 1024)

static const struct limit {
	const char	*name, *path;
	int		 field;
	bool		 bytes;
	bool		 zero_is_none;	/* 0: there is no limit */
	unsigned long long least, usual;
	const char	*effect;	/* of what it is */
	const char	*advice;
	const char	*missing;	/* what it means that it is not there */
} limits[] = {
	{ "fs.mqueue.queues_max", PROC "fs/mqueue/queues_max", 0, false, false,
	    2, 64, "POSIX queues of all users; a session takes two",
	    "sysctl fs.mqueue.queues_max=256, or use sysvmq: or local:",
	    "this kernel has no POSIX queues: posixmq: fails, mq: takes "
	    "System V ones" },
	{ "fs.mqueue.msg_max", PROC "fs/mqueue/msg_max", 0, false, false,
	    1, 10, "messages that a POSIX queue of a user but root can hold",
	    "sysctl fs.mqueue.msg_max=10", NULL },
	{ "fs.mqueue.msgsize_max", PROC "fs/mqueue/msgsize_max", 0, true, false,
	    128, 8192, "the longest message of an opened posixmq:; in a "
	    "session longer ones go in pieces",
	    "sysctl fs.mqueue.msgsize_max=8192", NULL },
	{ "kernel.msgmax", PROC "kernel/msgmax", 0, true, false, 128, 8192,
	    "the longest message of an opened sysvmq:; in a session longer "
	    "ones go in pieces", "sysctl kernel.msgmax=8192",
	    "this kernel has no System V objects: sysvmq: and sysvshm: fail" },
	{ "kernel.msgmnb", PROC "kernel/msgmnb", 0, true, false, 512, 16384,
	    "what a System V queue can hold", "sysctl kernel.msgmnb=16384",
	    NULL },
	{ "kernel.shmmax", PROC "kernel/shmmax", 0, true, false, 64 * KIB,
	    64 * MIB, "the largest System V segment; a ring takes some MiB, "
	    "or what capacity= says", "sysctl kernel.shmmax, or a smaller "
	    "capacity=, or use memfd:", NULL },
	{ "kernel.sem (SEMMSL)", PROC "kernel/sem", 0, false, false, 2, 32,
	    "semaphores in a System V set", "sysctl kernel.sem=\"32000 "
	    "1024000000 500 32000\"", NULL },
	{ "kernel.sem (SEMOPM)", PROC "kernel/sem", 2, false, false, 2, 32,
	    "operations in one semop", "sysctl kernel.sem=\"32000 "
	    "1024000000 500 32000\"", NULL },
	{ "fs.pipe-max-size", PROC "fs/pipe-max-size", 0, true, false, 4096,
	    MIB, "what capacity= can ask of a pipe or FIFO",
	    "sysctl fs.pipe-max-size=1048576", NULL },
	{ "fs.pipe-user-pages-soft", PROC "fs/pipe-user-pages-soft", 0, false,
	    true, 0, 16384, "pages in all pipes of a user; beyond, new pipes "
	    "are small and slow", "sysctl fs.pipe-user-pages-soft=16384",
	    NULL },
	{ "net.core.wmem_max", PROC "net/core/wmem_max", 0, true, false, 4608,
	    212992, "what capacity= can ask of a socket for sending",
	    "sysctl net.core.wmem_max=212992",
	    "not shown in this network namespace; that of the host counts" },
	{ "net.core.rmem_max", PROC "net/core/rmem_max", 0, true, false, 4608,
	    212992, "what capacity= can ask of a socket for receiving",
	    "sysctl net.core.rmem_max=212992",
	    "not shown in this network namespace; that of the host counts" },
	{ "net.core.somaxconn", PROC "net/core/somaxconn", 0, false, false, 1,
	    128, "clients that can wait to be accepted; backlog= can not "
	    "exceed it", "sysctl net.core.somaxconn=4096",
	    "not shown in this network namespace" },
	{ "net.unix.max_dgram_qlen", PROC "net/unix/max_dgram_qlen", 0, false,
	    false, 1, 10, "messages that can lie at a unixgram: before a "
	    "sender waits", "sysctl net.unix.max_dgram_qlen=512",
	    "not shown in this network namespace" },
	{ "fs.inotify.max_user_instances",
	    PROC "fs/inotify/max_user_instances", 0, false, false, 1, 128,
	    "readers that can wait for a file: of another one, for all "
	    "programs of a user", "sysctl fs.inotify.max_user_instances=128",
	    "this kernel has no inotify: readers of file: look from time to "
	    "time" }
};

static void
examine(struct doctor *d, const struct limit *l)
{
	unsigned long long value;
	enum level level = FINE;
	char number[32];

	if (!read_number(l->path, l->field, &value)) {
		/* Without /proc nothing is known, which is a finding of its
		 * own. */
		if (l->missing != NULL && access(PROC, F_OK) == 0)
			finding(d, NOTE, l->name, NULL, "%s", l->missing);
		return;
	}
	if (!(l->zero_is_none && value == 0) && value < l->usual)
		level = value < l->least ? PROBLEM : NOTE;
	snprintf(number, sizeof number, "%llu", value);
	finding(d, level, l->name, l->advice, "%s: %s",
	    l->bytes ? in_bytes(value) : number, l->effect);
}

/*
 * Those of the process
 */

static void
examine_resource(struct doctor *d, __rlimit_resource_t what, const char *name,
    unsigned long long least, unsigned long long usual, const char *effect,
    const char *advice)
{
	enum level level = FINE;
	struct rlimit r;

	if (getrlimit(what, &r) == -1)
		return;
	if (r.rlim_cur == RLIM_INFINITY) {
		finding(d, FINE, name, NULL, "no limit: %s", effect);
		return;
	}
	if (r.rlim_cur < usual)
		level = r.rlim_cur < least ? PROBLEM : NOTE;
	finding(d, level, name, advice, "%llu: %s",
	    (unsigned long long)r.rlim_cur, effect);
}

void
doctor_limits(struct doctor *d)
{
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
		examine(d, &limits[i]);
	examine_resource(d, RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", 40000, 819200,
	    "bytes in all POSIX queues of a user; a session takes about "
	    "35000", "ulimit -q 819200, or LimitMSGQUEUE= of the unit");
	examine_resource(d, RLIMIT_NOFILE, "RLIMIT_NOFILE", 32, 1024,
	    "descriptors of a process; a session takes 1 to 9",
	    "ulimit -n 1024, or LimitNOFILE= of the unit");
	examine_resource(d, RLIMIT_FSIZE, "RLIMIT_FSIZE", 64 * MIB,
	    RLIM_INFINITY, "bytes in a file, and in shared memory as well: "
	    "beyond, nothing is made and no journal goes on (EFBIG)",
	    "ulimit -f unlimited, or LimitFSIZE= of the unit");
}
