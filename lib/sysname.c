/* SPDX-License-Identifier: ISC */
/*
 * The notes about System V objects.  Files of the runtime directory:
 *
 *	sysv/KIND-NAME			a named object
 *	sysv/KIND-ID.PID.START		a private one, and a process holding it
 *	sysv/KIND-xKEY.PID.START	one that this process is about to make
 *
 * A name has its dots escaped, so they are never mixed up.  All hold one
 * line, "libipc 1 ID PID START BOOT".  They appear whole: written under a
 * temporary name, then renamed without replacing.
 */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "sysnote.h"

#define PLAIN		"-_+,:@=~"
#define NOTE_MAX	256
#define TRIES		100
#define INIT_IPC_NS	4026531839u	/* of a process in no container */

const char *const ipc__sysnote_kinds[IPC__SYSV_KINDS] = {
	[IPC__SYSV_MSG] = "msg", [IPC__SYSV_SHM] = "shm",
	[IPC__SYSV_SEM] = "sem"
};

/*
 * Where
 */

static void
directory_name(char *sub, size_t size)
{
	struct stat st;

	if (stat("/proc/self/ns/ipc", &st) == -1 || st.st_ino == INIT_IPC_NS)
		strlcpy(sub, "sysv", size);
	else
		snprintf(sub, size, "sysv-%ju", (uintmax_t)st.st_ino);
}

int
ipc__sysname_open(bool make, char *path, size_t size)
{
	char sub[32];

	directory_name(sub, sizeof sub);
	return ipc__runtime_open(sub, make, path, size);
}

/* The directory goes with the last note in it. */
void
ipc__sysname_close(int dir, const char *path)
{
	close(dir);
	rmdir(path);
}

static int
file_of(enum ipc__sysv kind, const char *name, char *file, size_t size)
{
	int n = snprintf(file, size, "%s-", ipc__sysnote_kinds[kind]);

	return ipc__name_encode(name, PLAIN, file + n, size - (size_t)n);
}

static bool
parse_file(const char *file, struct ipc__sysnote_file *e)
{
	int end = 0;
	unsigned key = 0;
	size_t n;
	long pid;

	for (e->kind = 0; e->kind < IPC__SYSV_KINDS; e->kind++) {
		n = strlen(ipc__sysnote_kinds[e->kind]);
		if (strncmp(file, ipc__sysnote_kinds[e->kind], n) == 0 &&
		    file[n] == '-')
			break;
	}
	if (e->kind == IPC__SYSV_KINDS)
		return false;
	file += n + 1;
	e->private = strchr(file, '.') != NULL;
	e->keyed = e->private && *file == 'x';
	if (!e->private)
		return *file != '\0';
	e->id = -1;
	if (e->keyed)
		n = (size_t)sscanf(file, "x%8x.%9ld.%16" SCNx64 "%n", &key,
		    &pid, &e->start_time, &end);
	else
		n = (size_t)sscanf(file, "%9d.%9ld.%16" SCNx64 "%n", &e->id,
		    &pid, &e->start_time, &end);
	if (n != 3 || file[end] != '\0' || (!e->keyed && e->id < 0))
		return false;
	e->pid = (pid_t)pid;
	e->key = (key_t)key;
	return true;
}

/*
 * Reading and writing
 */

static void
boot_id(char boot[IPC__BOOT_MAX])
{
	ssize_t n = -1;
	int fd;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		n = read(fd, boot, IPC__BOOT_MAX - 1);
		close(fd);
	}
	boot[n > 0 ? n : 0] = '\0';
	boot[strcspn(boot, " \n")] = '\0';
	if (boot[0] == '\0')
		strlcpy(boot, "-", IPC__BOOT_MAX);
}

static int
write_line(int fd, int id, pid_t pid, uint64_t start_time)
{
	char line[NOTE_MAX], boot[IPC__BOOT_MAX];
	int n;
	ssize_t written;

	boot_id(boot);
	n = snprintf(line, sizeof line, "libipc 1 %d %ld %" PRIx64 " %s\n", id,
	    (long)pid, start_time, boot);
	written = write(fd, line, (size_t)n);
	if (written >= 0 && written < n)
		errno = ENOSPC;
	if (written < n || fchmod(fd, 0644) == -1)
		return -errno;
	return 0;
}

/* -EEXIST: there is one of this name; -ENOENT: the directory has been removed
 * under us; other errors come with a text. */
static int
write_note(int dir, const char *file, int id, pid_t pid, uint64_t start_time)
{
	char temp[IPC__TEMP_MAX + 1];
	int fd, rc;

	ipc__temp_name(temp, sizeof temp, file);
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT :
		    ipc__fail_path("open", temp);
	rc = write_line(fd, id, pid, start_time);
	close(fd);
	if (rc == 0)
		rc = ipc__temp_publish(dir, temp, file);
	if (rc < 0)
		unlinkat(dir, temp, 0);
	errno = -rc;
	return rc < 0 && rc != -EEXIST ? ipc__fail_path("noting", file) : rc;
}

static int
parse_line(const char *line, struct ipc__sysnote *r)
{
	int end = 0;
	long pid;

	if (sscanf(line, "libipc 1 %d %ld %" SCNx64 " %39s%n", &r->what.id,
	    &pid, &r->what.start_time, r->boot, &end) != 4 ||
	    strcmp(line + end, "\n") != 0 || r->what.id < 0)
		return -EBADMSG;
	r->what.pid = (pid_t)pid;
	return 0;
}

static int
read_line(int fd, struct ipc__sysnote *r)
{
	char line[NOTE_MAX];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_mode & (S_IWGRP | S_IWOTH) ||
	    (st.st_uid != geteuid() && st.st_uid != 0) ||
	    st.st_size >= (off_t)sizeof line)
		return -EPERM;
	n = read(fd, line, sizeof line - 1);
	if (n < 0)
		return -errno;
	line[n] = '\0';
	r->what = (struct ipc__sysname){ .id = -1, .owner = st.st_uid };
	r->boot[0] = '\0';
	/* It was published whole; so what is empty was cut by a crash of the
	 * machine, and is of before that. */
	return n == 0 ? 0 : parse_line(line, r);
}

int
ipc__sysnote_read(int dir, const char *file, struct ipc__sysnote *r)
{
	int fd, rc;

	fd = openat(dir, file,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT :
		    ipc__fail_path("open", file);
	rc = read_line(fd, r);
	close(fd);
	switch (rc) {
	case 0:
		return 0;
	case -EPERM:
		return ipc__fail(EPERM, "%s: others could have written it, or "
		    "it is no note", file);
	case -EBADMSG:
		return ipc__fail(EBADMSG, "%s: it is no note of this version "
		    "of the library", file);
	default:
		errno = -rc;
		return ipc__fail_path("read", file);
	}
}

bool
ipc__sysnote_current(const struct ipc__sysnote *r)
{
	char boot[IPC__BOOT_MAX];

	boot_id(boot);
	/* Not known then or now: a note is sooner true than lost. */
	return strcmp(boot, r->boot) == 0 || strcmp(boot, "-") == 0 ||
	    strcmp(r->boot, "-") == 0;
}

/* Another process may just remove the directory, as it was empty. */
static int
put_note(const char *file, int id, pid_t pid)
{
	char path[IPC__PATH_MAX];
	uint64_t start_time = ipc__start_time(pid);
	struct ipc__sysnote old;
	int dir, rc = -ENOENT;

	for (int i = 0; i < TRIES && rc == -ENOENT; i++) {
		dir = ipc__sysname_open(true, path, sizeof path);
		if (dir < 0)
			return dir;
		if (ipc__sysnote_read(dir, file, &old) == 0 &&
		    !ipc__sysnote_current(&old))
			unlinkat(dir, file, 0);
		rc = write_note(dir, file, id, pid, start_time);
		ipc__sysname_close(dir, path);
	}
	return rc == -ENOENT ? ipc__fail(ENOENT, "%s: the directory comes and "
	    "goes", path) : rc;
}

/*
 * Named objects
 */

static void
lock_name(enum ipc__sysv kind, const char *name, char *text, size_t size)
{
	snprintf(text, size, "sysv %s-%s", ipc__sysnote_kinds[kind], name);
}

void
ipc__sysname_of_key(key_t key, char name[IPC__SYSNAME_KEY_MAX])
{
	snprintf(name, IPC__SYSNAME_KEY_MAX, "0x%" PRIx32, (uint32_t)key);
}

int
ipc__sysname_lock(enum ipc__sysv kind, const char *name)
{
	char text[IPC__PATH_MAX];

	lock_name(kind, name, text, sizeof text);
	return ipc__name_lock(text);
}

void
ipc__sysname_unlock(int lock, enum ipc__sysv kind, const char *name)
{
	char text[IPC__PATH_MAX];

	lock_name(kind, name, text, sizeof text);
	ipc__name_unlock(lock, text);
}

int
ipc__sysname_note(enum ipc__sysv kind, const char *name, int id)
{
	char file[IPC__NAME_MAX + 1];
	int rc;

	rc = file_of(kind, name, file, sizeof file);
	if (rc == 0)
		rc = put_note(file, id, getpid());
	if (rc == -EEXIST)
		rc = ipc__fail(EEXIST, "%s: there is a %s of this name", name,
		    ipc__sysnote_kinds[kind]);
	return rc;
}

int
ipc__sysname_find(enum ipc__sysv kind, const char *name,
    struct ipc__sysname *found)
{
	char file[IPC__NAME_MAX + 1], sub[32], path[IPC__PATH_MAX];
	struct ipc__sysnote r;
	int rc;

	rc = file_of(kind, name, file, sizeof file);
	if (rc < 0)
		return rc;
	directory_name(sub, sizeof sub);
	rc = ipc__runtime_find(sub, file, path, sizeof path);
	if (rc < 0)
		return rc;
	rc = ipc__sysnote_read(AT_FDCWD, path, &r);
	if (rc == -ENOENT || (rc == 0 && !ipc__sysnote_current(&r)))
		return ipc__fail(ENOENT, "%s: there is no %s of this name any "
		    "more", name, ipc__sysnote_kinds[kind]);
	if (rc == 0)
		*found = r.what;
	return rc;
}

int
ipc__sysname_forget(enum ipc__sysv kind, const char *name, int id)
{
	char file[IPC__NAME_MAX + 1], path[IPC__PATH_MAX];
	struct ipc__sysnote r = { .what = { .id = -1 } };
	int dir, rc;

	rc = file_of(kind, name, file, sizeof file);
	if (rc < 0)
		return rc;
	dir = ipc__sysname_open(false, path, sizeof path);
	rc = dir < 0 ? dir : ipc__sysnote_read(dir, file, &r);
	if (rc == -ENOENT || (rc == 0 && r.what.id != id))
		rc = ipc__fail(ENOENT, "%s: there is no note about %s %d",
		    name, ipc__sysnote_kinds[kind], id);
	else if (rc == 0 && unlinkat(dir, file, 0) == -1)
		rc = ipc__fail_path("unlink", file);
	if (dir >= 0)
		ipc__sysname_close(dir, path);
	return rc;
}

/*
 * Private objects
 */

static void
intent_file(enum ipc__sysv kind, key_t key, char *file, size_t size)
{
	snprintf(file, size, "%s-x%08" PRIx32 ".%ld.%" PRIx64,
	    ipc__sysnote_kinds[kind], (uint32_t)key, (long)getpid(),
	    ipc__start_time(getpid()));
}

int
ipc__sysname_intend(enum ipc__sysv kind, key_t key)
{
	char file[IPC__NAME_MAX + 1];

	intent_file(kind, key, file, sizeof file);
	return put_note(file, 0, getpid());
}

void
ipc__sysname_intended(enum ipc__sysv kind, key_t key)
{
	char file[IPC__NAME_MAX + 1], path[IPC__PATH_MAX];
	struct ipc__error before;
	int dir;

	ipc__error_keep(&before);
	intent_file(kind, key, file, sizeof file);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		unlinkat(dir, file, 0);
		ipc__sysname_close(dir, path);
	}
	ipc__error_restore(&before);
}

int
ipc__sysname_hold(enum ipc__sysv kind, int id, pid_t pid)
{
	char file[IPC__NAME_MAX + 1];
	int rc;

	if (pid == 0)
		pid = getpid();
	snprintf(file, sizeof file, "%s-%d.%ld.%" PRIx64,
	    ipc__sysnote_kinds[kind], id,
	    (long)pid, ipc__start_time(pid));
	rc = put_note(file, id, pid);
	return rc == -EEXIST ? 0 : rc;
}

int
ipc__sysnote_each(int dir, ipc__sysnote_visit *visit, void *user)
{
	struct dirent *e;
	struct ipc__sysnote_file entry;
	int sum = 0;
	DIR *d;

	d = ipc__dir_open(dir);
	if (d == NULL)
		return ipc__fail_sys("reading the directory of notes");
	while ((e = readdir(d)) != NULL)
		if (parse_file(e->d_name, &entry))
			sum += visit(dir, e->d_name, &entry, user);
	closedir(d);
	return sum;
}

static int
drop_if_same(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	const struct ipc__sysnote_file *wanted = user;

	if (e->private && !e->keyed && e->kind == wanted->kind &&
	    e->id == wanted->id && (wanted->pid == 0 || e->pid == wanted->pid))
		unlinkat(dir, file, 0);
	return 0;
}

/* pid 0: all of them. */
static void
drop_notes(enum ipc__sysv kind, int id, pid_t pid)
{
	struct ipc__sysnote_file wanted = { .kind = (int)kind, .id = id,
	    .pid = pid };
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	int dir, rc, i;

	ipc__error_keep(&before);
	/* Twice: a failure that passes leaves nothing behind. */
	for (i = 0, rc = -1; rc < 0 && i < 2; i++) {
		rc = dir = ipc__sysname_open(false, path, sizeof path);
		if (dir < 0)
			continue;
		rc = ipc__sysnote_each(dir, drop_if_same, &wanted);
		ipc__sysname_close(dir, path);
	}
	ipc__error_restore(&before);
}

void
ipc__sysname_drop(enum ipc__sysv kind, int id)
{
	drop_notes(kind, id, 0);
}

void
ipc__sysname_leave(enum ipc__sysv kind, int id)
{
	drop_notes(kind, id, getpid());
}

uint32_t
ipc__sysv_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/ipc", &st) == 0 ? (uint32_t)st.st_ino : 0;
}

int
ipc__sysv_reaches(uint32_t theirs)
{
	uint32_t ours = ipc__sysv_namespace();

	if (theirs == 0 || ours == 0 || theirs == ours)
		return 0;
	return ipc__fail(EOPNOTSUPP, "the other side is in another IPC "
	    "namespace, and so are its System V objects");
}
