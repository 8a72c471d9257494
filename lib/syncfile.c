/* SPDX-License-Identifier: ISC */
/*
 * Small segments with names.  One is filled under a temporary name and then
 * gets its own, under the name's lock, so whoever opens it needs no lock and
 * finds all of it, with its mode and owner; what a killed maker leaves is a
 * temporary file that the next one sweeps.  The FIFO that goes with a
 * semaphore is there before, and the segment tells which one it is.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/channel.h>

#include "error.h"
#include "name.h"
#include "syncfile.h"
#include "wholefile.h"

#define MAGIC		0x43505953u	/* "SYPC" */
#define VERSION		2
#define TRIES		100		/* against others who remove it */
#define PLAIN		"-_+,:@=~"	/* no dot: BELL is of our own */
#define BELL		".bell"

/*
 * Where
 */

static int
file_of(const struct ipc__sync_form *form, const char *name, char *file)
{
	size_t size = IPC__NAME_MAX + 1 - sizeof BELL;
	int n = snprintf(file, size, "%s-", form->what);

	return ipc__name_encode(name, PLAIN, file + n, size - (size_t)n);
}

static int
lock(const char *what, const char *name, char *text)
{
	snprintf(text, IPC__PATH_MAX + 16, "%s %s", what, name);
	return ipc__name_lock(text);
}

static uint64_t
boot(void)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	char id[40] = "";
	int fd;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		if (read(fd, id, sizeof id - 1) < 0)
			id[0] = '\0';
		close(fd);
	}
	for (const char *s = id; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/*
 * Opening.  -ENOENT, without a text, where it is not there any more.
 */

static int
open_bell(const char *path, uint64_t inode)
{
	char name[IPC__PATH_MAX + sizeof BELL];
	struct stat st;
	int fd;

	snprintf(name, sizeof name, "%s" BELL, path);
	fd = open(name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT : ipc__fail_path("open", name);
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == inode)
		return fd;
	close(fd);		/* that of the next one of this name */
	return -ENOENT;
}

static int
check(const struct ipc__sync_form *form, const struct ipc__sync_head *head)
{
	if (head->magic != MAGIC || head->kind != form->kind)
		return ipc__fail(EBADMSG, "it is no %s of this library",
		    form->what);
	if (head->version != VERSION || head->abi != ipc__robust_abi())
		return ipc__fail(EPROTO, "it was made by another version of "
		    "the library, or by a program of another word size");
	return 0;
}

static int
map(const struct ipc__sync_form *form, int fd, void **data)
{
	struct stat st;
	void *p;
	int rc;

	if (fstat(fd, &st) == -1)
		return ipc__fail_sys("stat");
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)form->size)
		return ipc__fail(EBADMSG, "it is no %s of this library",
		    form->what);
	p = mmap(NULL, form->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return ipc__fail_sys("mmap");
	rc = check(form, p);
	if (rc < 0)
		munmap(p, form->size);
	else
		*data = p;
	return rc;
}

/* The segment goes first: a FIFO without one is a leftover. */
static int
unlink_both(const struct ipc__sync_form *form, const char *path)
{
	char name[IPC__PATH_MAX + sizeof BELL];

	if (unlink(path) == -1)
		return ipc__fail_path("unlink", path);
	snprintf(name, sizeof name, "%s" BELL, path);
	if (form->bell && unlink(name) == -1 && errno != ENOENT)
		return ipc__fail_path("unlink", name);
	return 0;
}

/* Of before the last start of the machine: its owners are gone.  With the
 * lock, and only if it is still that one. */
static int
remove_old(const struct ipc__sync_form *form, const char *name,
    const char *path, int fd)
{
	char text[IPC__PATH_MAX + 16];
	struct stat ours, named;
	int held = lock(form->what, name, text);

	if (held < 0)
		return held;
	if (fstat(fd, &ours) == 0 && stat(path, &named) == 0 &&
	    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
		(void)unlink_both(form, path);
	ipc__name_unlock(held, text);
	return -ENOENT;
}

static int
open_there(const struct ipc__sync_form *form, const char *name,
    const char *path, void **data, int *bell)
{
	const struct ipc__sync_head *head;
	int fd, rc;

	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? -ENOENT : ipc__fail_path("open", path);
	rc = map(form, fd, data);
	if (rc < 0)
		goto out;
	head = *data;
	if (head->boot != boot())
		rc = remove_old(form, name, path, fd);
	else if (form->bell)
		rc = *bell = open_bell(path, head->bell);
	if (rc < 0)
		munmap(*data, form->size);
out:
	close(fd);
	return rc < 0 ? rc : 0;
}

/*
 * Making.  With the lock.
 */

/* What lies there is a dead one's, as there is no segment. */
static int
make_bell(int dir, const char *file, const struct ipc__address *a,
    uint64_t *inode)
{
	char name[IPC__NAME_MAX + 1 + sizeof BELL];
	struct stat st;
	int fd, rc;

	snprintf(name, sizeof name, "%s" BELL, file);
	if (unlinkat(dir, name, 0) == -1 && errno != ENOENT)
		return ipc__fail_path("unlink", name);
	if (mkfifoat(dir, name, 0600) == -1)
		return ipc__fail_path("mkfifo", name);
	fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return ipc__fail_path("open", name);
	rc = fstat(fd, &st) == -1 ? ipc__fail_sys("stat") :
	    ipc__whole_dress(fd, a);
	*inode = st.st_ino;
	close(fd);
	return rc;
}

static int
fill(const struct ipc__sync_form *form, int fd, const struct ipc__address *a,
    uint64_t bell)
{
	struct ipc__sync_head *head;
	int rc;

	rc = ipc__whole_allocate(fd, form->size);
	if (rc < 0)
		return rc;
	head = mmap(NULL, form->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	if (head == MAP_FAILED)
		return ipc__fail_sys("mmap");
	*head = (struct ipc__sync_head){ .magic = MAGIC, .version = VERSION,
	    .kind = form->kind, .abi = ipc__robust_abi(), .boot = boot(),
	    .bell = bell };
	rc = form->init(head, a);
	munmap(head, form->size);
	return rc < 0 ? rc : ipc__whole_dress(fd, a);
}

static int
make_file(const struct ipc__sync_form *form, int dir, const char *file,
    const struct ipc__address *a)
{
	char temp[IPC__TEMP_MAX];
	uint64_t bell = 0;
	int fd, rc = 0;

	if (form->bell)
		rc = make_bell(dir, file, a, &bell);
	if (rc < 0)
		return rc;
	ipc__temp_name(temp, sizeof temp, file);
	fd = openat(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return ipc__fail_path("open", temp);
	rc = fill(form, fd, a, bell);
	if (rc == 0) {
		errno = -ipc__temp_publish(dir, temp, file);
		rc = errno == 0 ? 0 : ipc__fail_path("rename", temp);
	}
	if (rc < 0)
		unlinkat(dir, temp, 0);
	close(fd);
	return rc;
}

/* -EEXIST, without a text: there is one by now. */
static int
make(const struct ipc__sync_form *form, const char *file,
    const struct ipc__address *a)
{
	char path[IPC__PATH_MAX], text[IPC__PATH_MAX + 16];
	struct stat st;
	int dir, rc, held;

	ipc__runtime_tidy();
	held = lock(form->what, a->name, text);
	if (held < 0)
		return held;
	rc = dir = ipc__runtime_open(NULL, true, path, sizeof path);
	if (dir >= 0) {
		if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
			rc = -EEXIST;
		else
			rc = make_file(form, dir, file, a);
		close(dir);
	}
	ipc__name_unlock(held, text);
	return rc;
}

int
ipc__syncfile_open(const struct ipc__sync_form *form,
    const struct ipc__address *a, int flags, void **data, int *bell)
{
	char file[IPC__NAME_MAX + 1], path[IPC__PATH_MAX];
	bool made = false;
	int rc;

	rc = file_of(form, a->name, file);
	if (rc < 0)
		return rc;
	for (int i = 0; i < TRIES; i++) {
		rc = ipc__runtime_find(NULL, file, path, sizeof path);
		if (rc == 0)
			rc = open_there(form, a->name, path, data, bell);
		if (rc == 0 && flags & IPC_EXCLUSIVE && !made) {
			munmap(*data, form->size);
			if (form->bell)
				close(*bell);
			return ipc__fail(EEXIST, "it is there already");
		}
		if (rc != -ENOENT)
			return rc;
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such %s",
			    form->what);
		rc = make(form, file, a);
		if (rc < 0 && rc != -EEXIST)
			return rc;
		made = rc == 0;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

int
ipc__syncfile_unlink(const struct ipc__sync_form *form,
    const struct ipc__address *a)
{
	char file[IPC__NAME_MAX + 1], path[IPC__PATH_MAX];
	char text[IPC__PATH_MAX + 16];
	int held, rc;

	rc = file_of(form, a->name, file);
	if (rc < 0)
		return rc;
	held = lock(form->what, a->name, text);
	if (held < 0)
		return held;
	rc = ipc__runtime_find(NULL, file, path, sizeof path);
	if (rc == 0)
		rc = unlink_both(form, path);
	ipc__name_unlock(held, text);
	return rc;
}

/*
 * Sweeping
 */

/* "sem-NAME.bell": what its segment is called. */
static bool
is_bell(int dir, const char *name, char *file, size_t size)
{
	size_t len = strlen(name), end = sizeof BELL - 1;
	struct stat st;

	if (len <= end || len - end >= size ||
	    strcmp(name + len - end, BELL) != 0 || strchr(name, '-') == NULL ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISFIFO(st.st_mode) || st.st_uid != geteuid())
		return false;
	memcpy(file, name, len - end);
	file[len - end] = '\0';
	return true;
}

/* Whoever is about to make the segment, or to remove both, has the lock. */
static int
sweep_bell(int dir, const char *bell, char *file, ipc__told *told, void *user)
{
	char name[IPC__NAME_MAX + 1], text[IPC__PATH_MAX + 16];
	char *dash = strchr(file, '-');
	struct stat st;
	int held, swept;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	*dash = '\0';
	ipc__name_decode(dash + 1, name, sizeof name);
	held = lock(file, name, text);
	if (held < 0)
		return 0;
	*dash = '-';
	swept = fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == -1 &&
	    errno == ENOENT && ipc__may_go(told, bell, user) &&
	    unlinkat(dir, bell, 0) == 0;
	ipc__name_unlock(held, text);
	return swept;
}

int
ipc__syncfile_sweep(int dir, ipc__told *told, void *user)
{
	char file[IPC__NAME_MAX + 1];
	struct dirent *e;
	int swept = 0;
	DIR *d;

	d = ipc__dir_open(dir);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		if (is_bell(dir, e->d_name, file, sizeof file))
			swept += sweep_bell(dir, e->d_name, file, told, user);
	closedir(d);
	return swept;
}
