/* SPDX-License-Identifier: ISC */
/*
 * The notes are empty files in the directory of the System V notes, named
 * segment-KEY.PID.START: the key, and who is making a segment under it.
 */
#include <sys/shm.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "shmkey.h"
#include "sysname.h"

#define TRIES	16

static void
note_name(char *name, size_t size, key_t key)
{
	pid_t pid = getpid();

	snprintf(name, size, "segment-%08x.%ld.%" PRIu64, (unsigned)key,
	    (long)pid, ipc__start_time(pid));
}

static int
try_note(const char *name)
{
	char path[IPC__PATH_MAX];
	int dir, fd, rc = 0;

	if ((dir = ipc__sysname_open(true, path, sizeof path)) < 0)
		return dir;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		rc = errno == EEXIST || errno == ENOENT ? -EAGAIN :
		    ipc__fail_path("open", path);
	else
		close(fd);
	ipc__sysname_close(dir, path);
	return rc;
}

int
ipc__shmkey_note(key_t *key)
{
	int i, rc = -EAGAIN;
	char name[80];

	for (i = 0; i < TRIES && rc == -EAGAIN; i++) {
		*key = (key_t)(arc4random() & 0x7fffffff) | 1;
		note_name(name, sizeof name, *key);
		rc = try_note(name);
	}
	return rc == -EAGAIN ? ipc__fail(EBUSY, "a note of a segment could "
	    "not be made") : rc;
}

void
ipc__shmkey_drop(key_t key)
{
	char path[IPC__PATH_MAX], name[80];
	struct ipc__error before;
	int dir;

	ipc__error_keep(&before);
	note_name(name, sizeof name, key);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		unlinkat(dir, name, 0);
		ipc__sysname_close(dir, path);
	}
	ipc__error_restore(&before);
}

/* Is it the note of a dead process? */
static bool
dead_note(const char *name, key_t *key)
{
	uint64_t start;
	unsigned k;
	long pid;

	if (sscanf(name, "segment-%8x.%ld.%" SCNu64, &k, &pid, &start) != 3)
		return false;
	*key = (key_t)k;
	return pid > 0 && !ipc__alive((pid_t)pid, start);
}

/* Ours, and used by nobody. */
static void
remove_segment(key_t key)
{
	int id = shmget(key, 0, 0);
	struct shmid_ds ds;

	if (id >= 0 && shmctl(id, IPC_STAT, &ds) == 0 &&
	    ds.shm_perm.cuid == geteuid() && ds.shm_nattch == 0)
		shmctl(id, IPC_RMID, NULL);
}

void
ipc__shmkey_sweep(bool (*decide)(const char *path, void *user), void *user)
{
	char path[IPC__PATH_MAX], whole[2 * IPC__PATH_MAX];
	struct ipc__error before;
	struct dirent *e;
	int dir, copy;
	key_t key;
	DIR *d;

	ipc__error_keep(&before);
	dir = ipc__sysname_open(false, path, sizeof path);
	copy = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC);
	d = copy < 0 ? NULL : fdopendir(copy);
	if (d == NULL && copy >= 0)
		close(copy);
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(whole, sizeof whole, "%s/%s", path, e->d_name);
		if (!dead_note(e->d_name, &key) ||
		    (decide != NULL && !decide(whole, user)))
			continue;
		remove_segment(key);
		unlinkat(dir, e->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
	if (dir >= 0)
		ipc__sysname_close(dir, path);
	ipc__error_restore(&before);
}
