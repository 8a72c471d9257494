/* SPDX-License-Identifier: ISC */
/*
 * A socket may have its name at a path of the user's, where nobody who collects
 * what the dead left would look.  So the runtime directory holds a note of it,
 * from before there is the name until it is gone: a symbolic link that leads
 * nowhere, is called after the socket's file and after who made it, and says
 * which file of which path it speaks of.
 *
 * Whether anybody has the socket is the kernel's word, whoever made it: a
 * child may have inherited it.  A file that is another one than was noted is
 * none of ours, whatever it is; the time of its birth tells it from one that
 * has got the number of ours anew.  A datagram socket has its name before its
 * number is known, so it is noted twice; in between its file has the sticky
 * bit, which no socket has otherwise.
 *
 * In another mount namespace the path may lead elsewhere.  So there the note
 * stays, while anybody is in that namespace.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define NOTE_MAX	(IPC__PATH_MAX + 4 * 17)
#define FORM		"%jx.%jx.%jx.%jx:"

/* What a note says. */
struct noted {
	struct ipc__file_id id;		/* ino 0: it was not known yet */
	uintmax_t	 space;		/* the mount namespace; 0: any */
	char		*path;
};

/* A note, and how it is looked at. */
struct sweep {
	const struct ipc__place *notes;
	const char	*name;
	bool		 dead;		/* its maker */
	bool		 whole;		/* not only in passing */
	ipc__told	*told;
	void		*user;
};

int
ipc__file_id(int dir, const char *name, struct ipc__file_id *id)
{
	struct statx st;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS |
	    STATX_BTIME, &st) == -1)
		return -errno;
	id->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	id->ino = st.stx_ino;
	id->born = st.stx_mask & STATX_BTIME ? (uint64_t)st.stx_btime.tv_sec *
	    UINT64_C(1000000000) + st.stx_btime.tv_nsec : 0;
	id->mode = st.stx_mode;
	id->uid = st.stx_uid;
	return 0;
}

bool
ipc__file_same(const struct ipc__file_id *a, const struct ipc__file_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->born == b->born;
}

static uintmax_t
mount_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/mnt", &st) == 0 ? (uintmax_t)st.st_ino : 0;
}

/*
 * Making and removing
 */

/* How the notes of one file begin. */
static void
subject(char *text, size_t size, const struct ipc__file_id *id)
{
	snprintf(text, size, "%jx-%jx", (uintmax_t)id->dev,
	    (uintmax_t)id->ino);
}

static bool
write_note(int notes, int dir, const char *base,
    const struct ipc__file_id *id, const char *note)
{
	char text[NOTE_MAX], path[IPC__PATH_MAX];
	int n;

	if (ipc__beside_path(dir, base, path, sizeof path) < 0)
		return false;
	n = snprintf(text, sizeof text, FORM "%s", (uintmax_t)id->dev,
	    (uintmax_t)id->ino, (uintmax_t)id->born, mount_namespace(), path);
	return n > 0 && n < IPC__PATH_MAX && symlinkat(text, notes, note) == 0;
}

void
ipc__named_note(int dir, const char *base, const struct ipc__file_id *id,
    char *note, size_t size)
{
	static const struct ipc__file_id unknown;
	struct ipc__error before;
	char what[40];
	int notes;

	if (id == NULL)
		id = &unknown;
	note[0] = '\0';
	ipc__error_keep(&before);
	notes = ipc__beside_open(dir, true);
	if (notes >= 0) {
		subject(what, sizeof what, id);
		ipc__temp_name(note, size, what);
		if (!write_note(notes, dir, base, id, note))
			note[0] = '\0';
		close(notes);
	}
	ipc__error_restore(&before);
}

void
ipc__named_done(const char *note)
{
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	int notes;

	if (note[0] == '\0')
		return;
	ipc__error_keep(&before);
	notes = ipc__runtime_open(NULL, false, path, sizeof path);
	if (notes >= 0) {
		unlinkat(notes, note, 0);
		close(notes);
	}
	ipc__error_restore(&before);
}

static bool
speaks_of(const struct dirent *e, const char *what)
{
	size_t n = strlen(what);
	uint64_t start_time;
	pid_t pid;

	return e->d_type != DT_REG && e->d_name[0] == '.' &&
	    strncmp(e->d_name + 1, what, n) == 0 && e->d_name[n + 1] == '.' &&
	    ipc__temp_parse(e->d_name, &pid, &start_time);
}

void
ipc__named_forget(int dir, const struct ipc__file_id *id)
{
	struct ipc__error before;
	struct dirent *e;
	char what[40];
	int notes;
	DIR *d;

	ipc__error_keep(&before);
	notes = ipc__beside_open(dir, false);
	d = notes >= 0 ? fdopendir(notes) : NULL;
	subject(what, sizeof what, id);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (speaks_of(e, what))
			unlinkat(notes, e->d_name, 0);
	if (d != NULL)
		closedir(d);
	else if (notes >= 0)
		close(notes);
	ipc__error_restore(&before);
}

/*
 * Sweeping
 */

static bool
parse(char *text, struct noted *n)
{
	uintmax_t dev, ino, born;
	int end = 0;

	if (sscanf(text, FORM "%n", &dev, &ino, &born, &n->space, &end) != 4 ||
	    end == 0 || text[end] != '/')
		return false;
	n->id = (struct ipc__file_id){ .dev = (dev_t)dev, .ino = (ino_t)ino,
	    .born = born };
	n->path = text + end;
	return true;
}

static bool
is_noted(const struct sweep *s, const struct noted *n,
    const struct ipc__file_id *seen)
{
	if (!S_ISSOCK(seen->mode))
		return false;
	if (n->id.ino != 0)
		return ipc__file_same(&n->id, seen);
	return s->dead && seen->mode & S_ISVTX && seen->uid == geteuid();
}

/* 0: the path leads to what was noted, which is `seen'; -ENOENT: it does not;
 * or why that can not be told. */
static int
look(const struct sweep *s, const struct noted *n, struct ipc__place *place,
    const char **base, struct ipc__file_id *seen)
{
	int rc = ipc__beside_find(place, n->path, base);

	if (rc == 0)
		rc = ipc__file_id(place->dir, *base, seen);
	if (rc == 0 && !is_noted(s, n, seen))
		rc = -ENOENT;
	return rc;
}

/* Processes that can not be looked at are not in a namespace of ours. */
static bool
is_empty(uintmax_t space)
{
	char path[300];
	struct dirent *e;
	struct stat st;
	bool empty = true;
	DIR *d = opendir("/proc");

	if (d == NULL)
		return false;
	while (empty && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/ns/mnt", e->d_name);
		empty = stat(path, &st) == -1 || st.st_ino != space;
	}
	closedir(d);
	return empty;
}

/* Nothing of what it speaks of can come back. */
static bool
is_void(const struct sweep *s, const struct noted *n)
{
	return s->dead && (n->space == 0 || n->space == mount_namespace() ||
	    (s->whole && is_empty(n->space)));
}

static bool
remove_socket(const struct sweep *s, const struct ipc__place *place,
    const char *base, const struct ipc__file_id *seen)
{
	if (!s->whole ||
	    ipc__unix_probe(place, base) != IPC__SOCKET_STALE ||
	    !ipc__may_go(s->told, place->path, s->user) ||
	    ipc__unix_clear_same(place, base, seen) != 0)
		return false;
	unlinkat(s->notes->dir, s->name, 0);
	return true;
}

int
ipc__named_sweep(const struct ipc__place *notes, const char *name, char *text,
    bool dead, bool whole, ipc__told *told, void *user)
{
	const struct sweep s = { notes, name, dead, whole, told, user };
	struct ipc__place place = { .dir = -1 };
	struct ipc__file_id seen;
	const char *base;
	struct noted n;
	int rc, swept = 0;

	if (!parse(text, &n))
		return -EINVAL;
	if (!dead && !whole)
		return 0;
	rc = look(&s, &n, &place, &base, &seen);
	if (rc == 0)
		swept = remove_socket(&s, &place, base, &seen);
	else if (rc == -ENOENT && is_void(&s, &n))
		swept = ipc__beside_remove(notes, name, told, user);
	if (place.dir != -1)
		close(place.dir);
	return swept;
}
