/* SPDX-License-Identifier: ISC */
/*
 * POSIX objects: queues are files of a file system that may be mounted nowhere,
 * segments and semaphores are files in /dev/shm.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

#define SHM_DIR		"/dev/shm"
#define SEM_PREFIX	"sem."

static struct object *
add_file(struct list *l, const char *kind, const char *name,
    const struct stat *st)
{
	struct object *o = list_add(l, kind, name);

	o->owned = true;
	o->uid = st->st_uid;
	o->mode = st->st_mode & 07777;
	o->size = S_ISREG(st->st_mode) ? st->st_size : -1;
	o->mapped = S_ISREG(st->st_mode);
	list_key(l, KEY_FILE, st->st_dev, st->st_ino);
	return o;
}

/*
 * Queues
 */

/* Without any mount that others could see: it ends with its descriptor. */
static int
mount_queues(void)
{
	int fs, mount = -1, fd = -1;

	fs = fsopen("mqueue", FSOPEN_CLOEXEC);
	if (fs == -1)
		return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mount != -1)
		fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount != -1)
		close(mount);
	close(fs);
	return fd;
}

/* Where they are mounted already. */
static int
find_queues(void)
{
	struct mntent *m;
	FILE *f = setmntent("/proc/self/mounts", "re");
	int fd = -1;

	if (f == NULL)
		return -1;
	while (fd == -1 && (m = getmntent(f)) != NULL)
		if (strcmp(m->mnt_type, "mqueue") == 0)
			fd = open(m->mnt_dir, O_RDONLY | O_DIRECTORY |
			    O_CLOEXEC);
	endmntent(f);
	return fd;
}

/* A queue tells how many bytes are in it when it is read. */
static long long
queue_size(int dir, const char *name)
{
	long long bytes = -1;
	char text[128];
	ssize_t n = -1;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd != -1) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n > 0) {
		text[n] = '\0';
		sscanf(text, "QSIZE:%lld", &bytes);
	}
	return bytes;
}

static void
add_queue(struct list *l, int dir, const char *file)
{
	char name[300];
	struct object *o;
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode))
		return;
	snprintf(name, sizeof name, "/%s", file);
	o = add_file(l, "posixmq", name, &st);
	o->size = queue_size(dir, file);
	o->mapped = false;
	o->ours = is_private_name(file);
}

static void
for_each_file(struct list *l, int dir,
    void (*f)(struct list *, int dir, const char *file))
{
	struct dirent *e;
	DIR *d = fdopendir(dir);

	if (d == NULL) {
		close(dir);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			f(l, dirfd(d), e->d_name);
	closedir(d);
}

static void
list_queues(struct list *l)
{
	int error, fd = mount_queues();

	error = errno;
	if (fd == -1)
		fd = find_queues();
	if (fd == -1)
		list_unseen(l, "POSIX queues can not be seen: no mqueue file "
		    "system is mounted, and mounting one: %s",
		    strerror(error));
	else
		for_each_file(l, fd, add_queue);
}

/*
 * Segments and semaphores
 */

/* All memory of the library begins with "ipc", four letters that tell what it
 * is, and a newline. */
static bool
has_magic(int dir, const char *file)
{
	char magic[8];
	int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC);
	bool has = fd != -1 && read(fd, magic, sizeof magic) ==
	    (ssize_t)sizeof magic && memcmp(magic, "ipc", 3) == 0 &&
	    magic[7] == '\n';

	if (fd != -1)
		close(fd);
	return has;
}

/* The bells of an opened ring lie beside it. */
static bool
is_bell(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot != NULL && (strcmp(dot, ".ipcr") == 0 ||
	    strcmp(dot, ".ipcs") == 0);
}

static void
add_segment(struct list *l, int dir, const char *file)
{
	struct object *o;
	char name[300];
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	if (S_ISFIFO(st.st_mode)) {
		snprintf(name, sizeof name, SHM_DIR "/%s", file);
		o = add_file(l, "fifo", name, &st);
		o->ours = is_bell(file);
	} else if (!S_ISREG(st.st_mode)) {
		return;
	} else if (strncmp(file, SEM_PREFIX, sizeof SEM_PREFIX - 1) == 0) {
		snprintf(name, sizeof name, "/%s", file +
		    sizeof SEM_PREFIX - 1);
		add_file(l, "posixsem", name, &st);
	} else {
		snprintf(name, sizeof name, "/%s", file);
		o = add_file(l, "posixshm", name, &st);
		o->ours = is_private_name(file) || has_magic(dir, file);
	}
}

void
list_posix(struct list *l)
{
	int fd;

	list_queues(l);
	fd = open(SHM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		list_unseen(l, "POSIX segments and semaphores can not be "
		    "seen: " SHM_DIR ": %s", strerror(errno));
	else
		for_each_file(l, fd, add_segment);
}
