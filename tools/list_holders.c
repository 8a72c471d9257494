/* SPDX-License-Identifier: ISC */
/*
 * Who has an object: all processes' descriptors and maps are held against the
 * keys of the list.  What another user's process has open only root may see;
 * so what nobody seems to have is an orphan only if every process was seen.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

static int
compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* An object may have several keys, and a key may be that of several. */
static void
found(struct list *l, enum key_type type, dev_t dev,
    unsigned long long number, pid_t pid, const char *how)
{
	const struct key wanted = { type, dev, number, 0 };
	const struct key *k, *end = l->keys + l->key_count;

	k = bsearch(&wanted, l->keys, l->key_count, sizeof *l->keys, compare);
	if (k == NULL)
		return;
	while (k > l->keys && compare(k - 1, &wanted) == 0)
		k--;
	for (; k < end && compare(k, &wanted) == 0; k++)
		list_hold(&l->objects[k->object], pid, how);
}

/* A memory file or a deleted one is a file too; what is none has no slash. */
static void
look_at_descriptor(struct list *l, int dir, const char *fd, pid_t pid)
{
	unsigned long long number;
	char target[32];
	struct stat st;
	ssize_t n;

	n = readlinkat(dir, fd, target, sizeof target - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	if (target[0] == '/') {
		if (fstatat(dir, fd, &st, 0) == 0)
			found(l, KEY_FILE, st.st_dev, st.st_ino, pid, "open");
	} else if (sscanf(target, "socket:[%llu]", &number) == 1)
		found(l, KEY_SOCKET, 0, number, pid, "open");
}

static void
look_at_descriptors(struct list *l, int process, pid_t pid)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		else if (errno == EACCES || errno == EPERM)
			l->blind = true;
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			look_at_descriptor(l, dirfd(d), e->d_name, pid);
	closedir(d);
}

/* A System V segment is mapped as a file of this name whose number is its id;
 * but ids of another namespace are others. */
static void
look_at_map(struct list *l, const char *line, bool same_ids, pid_t pid)
{
	unsigned major, minor;
	unsigned long long number;
	char path[8] = "";

	if (sscanf(line, "%*s %*s %*s %x:%x %llu %7s", &major, &minor,
	    &number, path) < 3 || number == 0)
		return;
	if (strncmp(path, "/SYSV", 5) != 0)
		found(l, KEY_FILE, makedev(major, minor), number, pid,
		    "mapped");
	else if (same_ids)
		found(l, KEY_SEGMENT, 0, number, pid, "attached");
}

static void
look_at_maps(struct list *l, int process, bool same_ids, pid_t pid)
{
	int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
	FILE *f = fd == -1 ? NULL : fdopen(fd, "r");
	char line[4608];

	if (f == NULL) {
		if (fd != -1)
			close(fd);
		else if (errno == EACCES || errno == EPERM)
			l->blind_maps = true;
		return;
	}
	while (fgets(line, sizeof line, f) != NULL)
		look_at_map(l, line, same_ids, pid);
	fclose(f);
}

static void
look_at_process(struct list *l, int proc, const char *name,
    const struct stat *ipc)
{
	pid_t pid = (pid_t)strtol(name, NULL, 10);
	struct stat st;
	bool same;
	int fd;

	fd = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return;
	same = fstatat(fd, "ns/ipc", &st, 0) == 0 &&
	    st.st_dev == ipc->st_dev && st.st_ino == ipc->st_ino;
	look_at_descriptors(l, fd, pid);
	look_at_maps(l, fd, same, pid);
	close(fd);
}

static void
look_at_all(struct list *l)
{
	struct stat ipc = { .st_ino = 0 };
	DIR *d = opendir("/proc");
	struct dirent *e;

	stat("/proc/self/ns/ipc", &ipc);
	if (d == NULL || access("/proc/1", F_OK) == -1)
		l->blind = true;
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    strtol(e->d_name, NULL, 10) != getpid())
			look_at_process(l, dirfd(d), e->d_name, &ipc);
	closedir(d);
}

/* What nobody seems to have may be somebody's whom we do not see. */
static void
settle(struct list *l)
{
	bool unknown = false;

	for (size_t i = 0; i < l->key_count; i++) {
		struct object *o = &l->objects[l->keys[i].object];

		if (o->state == STATE_UNKNOWN && !l->blind &&
		    !(o->mapped && l->blind_maps))
			o->state = STATE_ORPHAN;
		unknown |= o->state == STATE_UNKNOWN;
	}
	if (unknown)
		list_unseen(l, "not all that processes hold can be seen by "
		    "this user, so it is unknown whether what nobody seems "
		    "to hold is an orphan");
}

void
list_holders(struct list *l)
{
	if (l->key_count > 0)
		qsort(l->keys, l->key_count, sizeof *l->keys, compare);
	look_at_all(l);
	settle(l);
}
