/* SPDX-License-Identifier: ISC */
/*
 * Where shared memory comes from: /dev/shm, and files of memory.
 */
#include <sys/mman.h>
#include <sys/statfs.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define SHM_DIR		"/dev/shm"
#define LEAST		(256ull * 1024)
#define USUAL		(64ull * 1024 * 1024)

static const char advice[] = "mount -t tmpfs -o mode=1777 tmpfs " SHM_DIR
    " (docker run --shm-size=...), or use memfd: or local:";

/* Really makes a segment, without a name, and gives it a page. */
static void
examine_making(struct doctor *d)
{
	int fd, error;

	fd = open(SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd == -1) {
		finding(d, PROBLEM, SHM_DIR, advice, "nothing can be made "
		    "there: posixshm: fails: %s", strerror(errno));
		return;
	}
	error = posix_fallocate(fd, 0, sysconf(_SC_PAGESIZE));
	close(fd);
	if (error != 0)
		finding(d, PROBLEM, SHM_DIR, advice, "a segment gets no "
		    "memory: posixshm: fails: %s", strerror(error));
	else
		finding(d, FINE, SHM_DIR, NULL, "segments can be made");
}

static void
examine_room(struct doctor *d, const struct statfs *fs)
{
	unsigned long long all = fs->f_blocks * (unsigned long long)fs->f_bsize,
	    room = fs->f_bavail * (unsigned long long)fs->f_bsize;
	enum level level = room < LEAST ? PROBLEM : room < USUAL ? NOTE : FINE;

	if (fs->f_blocks == 0) {
		finding(d, FINE, SHM_DIR " (size)", NULL, "no limit");
		return;
	}
	finding(d, level, SHM_DIR " (size)", advice, "%s of %s are free%s",
	    in_bytes(room), in_bytes(all), level == FINE ? "" :
	    ": rings of posixshm: stay small, or fail with ENOSPC");
	if (fs->f_files > 0 && fs->f_ffree == 0)
		finding(d, PROBLEM, SHM_DIR " (inodes)", advice, "no more "
		    "files can be made there");
}

static void
examine_shm(struct doctor *d)
{
	struct statfs fs;

	if (statfs(SHM_DIR, &fs) == -1) {
		finding(d, PROBLEM, SHM_DIR, advice, "it is missing: posixshm: "
		    "fails: %s", strerror(errno));
		return;
	}
	if (fs.f_type != TMPFS_MAGIC)
		finding(d, NOTE, SHM_DIR " (kind)", advice, "it is no tmpfs: "
		    "what is shared there may be written to a disk");
	examine_making(d);
	examine_room(d, &fs);
}

/* The default, local:, wants memory that nobody can cut short. */
static void
examine_memfd(struct doctor *d)
{
	static const char instead[] = "use unix:, or sysvshm:; local: does so "
	    "by itself";
	int fd = memfd_create("ipc-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int sealed;

	if (fd == -1) {
		finding(d, PROBLEM, "memfd_create", instead, "memfd: fails: "
		    "%s", strerror(errno));
		return;
	}
	sealed = fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (sealed == -1)
		finding(d, PROBLEM, "memfd seals", instead, "memfd: fails: "
		    "%s", strerror(errno));
	else
		finding(d, FINE, "memfd seals", NULL, "memory can be sealed");
	close(fd);
}

void
doctor_memory(struct doctor *d)
{
	examine_shm(d);
	examine_memfd(d);
}
