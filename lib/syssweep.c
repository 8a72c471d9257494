/* SPDX-License-Identifier: ISC */
/*
 * Sweeping the notes about System V objects: what dead processes noted goes,
 * and with it the objects that were to be private.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "sysnote.h"

struct sweep {
	const struct ipc__sysname_sweeper *by;
	const char	*path;
};

static bool
may_go(const char *file, const struct sweep *s)
{
	char path[IPC__PATH_MAX + IPC__NAME_MAX + 2];

	snprintf(path, sizeof path, "%s/%s", s->path, file);
	return ipc__may_go(s->by->told, path, s->by->user);
}

static int
tell_and_unlink(int dir, const char *file, const struct sweep *s)
{
	return may_go(file, s) && unlinkat(dir, file, 0) == 0;
}

static int
count_if_held(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	const struct ipc__sysnote_file *wanted = user;
	struct ipc__sysnote r;

	return e->private && e->kind == wanted->kind && e->id == wanted->id &&
	    ipc__alive(e->pid, e->start_time) &&
	    (ipc__sysnote_read(dir, file, &r) < 0 || ipc__sysnote_current(&r));
}

/* An id of before the last start of the machine may be anybody's now. */
static int
sweep_private(int dir, const char *file, const struct ipc__sysnote_file *e,
    const struct sweep *s)
{
	struct ipc__sysnote_file wanted = *e;
	struct ipc__sysnote r;
	int rc = ipc__sysnote_read(dir, file, &r);

	if (rc == 0 && !ipc__sysnote_current(&r))
		return tell_and_unlink(dir, file, s);
	if (rc < 0 || ipc__sysnote_each(dir, count_if_held, &wanted) != 0)
		return 0;
	if (s->by->gone(e->kind, e->id))
		return tell_and_unlink(dir, file, s);
	if (s->by->held != NULL && s->by->held(e->kind, e->id))
		return 0;
	return may_go(file, s) && s->by->remove(e->kind, e->id) &&
	    unlinkat(dir, file, 0) == 0;
}

/* Is there another note that says whose the object is? */
static int
count_if_noted(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	const struct ipc__sysnote_file *wanted = user;
	struct ipc__sysnote r;

	if (e->kind != wanted->kind || e->keyed)
		return 0;
	if (e->private)
		return e->id == wanted->id;
	return ipc__sysnote_read(dir, file, &r) == 0 &&
	    ipc__sysnote_current(&r) &&
	    r.what.id == wanted->id;
}

/* Is a living process about to make one of this key, another than is asked
 * for? */
static int
count_if_intended(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	const struct ipc__sysnote_file *wanted = user;
	struct ipc__sysnote r;

	return e->keyed && e->kind == wanted->kind && e->key == wanted->key &&
	    !(e->pid == wanted->pid && e->start_time == wanted->start_time) &&
	    ipc__alive(e->pid, e->start_time) &&
	    (ipc__sysnote_read(dir, file, &r) < 0 || ipc__sysnote_current(&r));
}

/* Whoever makes one notes it by its number before the other note goes, so they
 * are looked for in the other order. */
static int
claimed(int dir, struct ipc__sysnote_file *wanted)
{
	int rc = ipc__sysnote_each(dir, count_if_intended, wanted);

	return rc != 0 ? rc : ipc__sysnote_each(dir, count_if_noted, wanted);
}

bool
ipc__sysname_claimed(enum ipc__sysv kind, key_t key, int id)
{
	struct ipc__sysnote_file wanted = { .kind = (int)kind, .key = key,
	    .id = id, .pid = getpid(),
	    .start_time = ipc__start_time(getpid()) };
	char path[IPC__PATH_MAX];
	int dir, rc = 1;

	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		rc = claimed(dir, &wanted);
		ipc__sysname_close(dir, path);
	}
	return rc != 0;
}

static int
count_if_begun(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	const struct ipc__sysnote_file *wanted = user;
	struct ipc__sysnote r;

	return e->keyed && e->kind == wanted->kind && e->key == wanted->key &&
	    ipc__sysnote_read(dir, file, &r) == 0 && ipc__sysnote_current(&r);
}

bool
ipc__sysname_begun(enum ipc__sysv kind, key_t key)
{
	struct ipc__sysnote_file wanted = { .kind = (int)kind, .key = key };
	char path[IPC__PATH_MAX];
	int dir, rc = 0;

	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		rc = ipc__sysnote_each(dir, count_if_begun, &wanted);
		ipc__sysname_close(dir, path);
	}
	return rc > 0;
}

/* Its maker was killed before it was noted by its number, or just after. */
static int
sweep_intent(int dir, const char *file, const struct ipc__sysnote_file *e,
    const struct sweep *s)
{
	struct ipc__sysnote_file wanted = *e;
	int rc;

	wanted.id = s->by->find(e->kind, e->key);
	if (wanted.id == -1)
		return tell_and_unlink(dir, file, s);
	rc = claimed(dir, &wanted);
	if (rc != 0)
		return rc > 0 && tell_and_unlink(dir, file, s);
	if (s->by->begun != NULL && s->by->begun(e->kind, wanted.id))
		return tell_and_unlink(dir, file, s);
	if (s->by->held != NULL && s->by->held(e->kind, wanted.id))
		return 0;
	return may_go(file, s) && s->by->remove(e->kind, wanted.id) &&
	    unlinkat(dir, file, 0) == 0;
}

/* Where the key is a name, whoever is about to use it has its lock. */
static int
sweep_keyed(int dir, const char *file, const struct ipc__sysnote_file *e,
    const struct sweep *s)
{
	enum ipc__sysv kind = (enum ipc__sysv)e->kind;
	char name[IPC__SYSNAME_KEY_MAX];
	struct ipc__sysnote r;
	int lock, swept, rc = ipc__sysnote_read(dir, file, &r);

	if (rc == 0 && !ipc__sysnote_current(&r))
		return tell_and_unlink(dir, file, s);
	if (rc < 0 || s->by->find == NULL || ipc__alive(e->pid, e->start_time))
		return 0;
	ipc__sysname_of_key(e->key, name);
	lock = ipc__sysname_lock(kind, name);
	if (lock < 0)
		return 0;
	swept = sweep_intent(dir, file, e, s);
	ipc__sysname_unlock(lock, kind, name);
	return swept;
}

/* What has a name stays as long as the object does.  Whoever is about to use
 * the name has its lock. */
static int
sweep_named(int dir, const char *file, const struct ipc__sysnote_file *e,
    const struct sweep *s)
{
	char name[IPC__NAME_MAX + 1];
	struct ipc__sysnote r = { .what = { .id = -1 } };
	int lock, swept = 0;

	ipc__name_decode(file + strlen(ipc__sysnote_kinds[e->kind]) + 1, name,
	    sizeof name);
	lock = ipc__sysname_lock((enum ipc__sysv)e->kind, name);
	if (lock < 0)
		return 0;
	if (ipc__sysnote_read(dir, file, &r) == 0 &&
	    (!ipc__sysnote_current(&r) ||
	    s->by->gone(e->kind, r.what.id)))
		swept = tell_and_unlink(dir, file, s);
	ipc__sysname_unlock(lock, (enum ipc__sysv)e->kind, name);
	return swept;
}

static int
sweep_one(int dir, const char *file, const struct ipc__sysnote_file *e,
    void *user)
{
	if (e->keyed)
		return sweep_keyed(dir, file, e, user);
	return e->private ? sweep_private(dir, file, e, user) :
	    sweep_named(dir, file, e, user);
}

int
ipc__sysname_sweep(const struct ipc__sysname_sweeper *by)
{
	char path[IPC__PATH_MAX];
	struct sweep s = { by, path };
	struct ipc__place place = { .path = NULL };
	struct ipc__error before;
	int dir, swept;

	ipc__error_keep(&before);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	place.dir = dir;
	ipc__temp_sweep(&place, UINT_MAX, NULL, NULL);
	swept = ipc__sysnote_each(dir, sweep_one, &s);
	if (swept >= 0)
		ipc__error_restore(&before);
	ipc__sysname_close(dir, path);
	return swept;
}
