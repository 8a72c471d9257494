/* SPDX-License-Identifier: ISC */
/*
 * Private System V queues, which nobody but their ends may know of and which
 * must go when both are gone, however they went.
 *
 * IPC_PRIVATE will not do: a process killed right after msgget would leave a
 * queue that nothing tells from anybody else's.  So a queue has a random key,
 * and there is a note about that key before there is the queue: a file
 * queue-KEY in the directory of System V notes.  And a pid is not who holds a
 * queue: a forked child holds it as well, and a program that became a daemon is
 * another process than the one that made it.  So each end has the note open,
 * by an open file of its own with a shared flock(2), which forks inherit and
 * sessions hand over: the kernel's word that somebody is there.  Who gets the
 * lock for himself knows that nobody is.
 *
 * What a SIGKILL leaves, after
 *
 *	openat		an empty note
 *	pwrite (key)	a note without a queue
 *	msgget		a queue and its note
 *	pwrite (id)	the same
 *	the hand-over	the same, held by the other end until that has ended
 *	msgctl (RMID)	a note without a queue
 *	unlink		nothing
 *
 * and each is removed by the next sweep: that of the next pair, accept or open
 * in the same runtime directory, or of `ipc gc'.  A queue that is to get a name
 * has it in its note: who was killed after the name was noted leaves a queue
 * that stays, and a note that goes.
 */
#include <sys/file.h>
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
#include "msgqueue.h"
#include "queue.h"
#include "sysname.h"

#define PREFIX		"queue-"
#define FILE_SIZE	24
#define PLAIN		"_."
#define LINE		"libipc 1 %08" PRIx32 " %11d %s\n"
#define LINE_MAX_	512
#define TRIES		100

struct note {
	key_t	key;
	int	id;			/* -1: not yet known */
	char	name[IPC__NAME_MAX + 1];/* escaped; "-": none */
};

static void
file_of(key_t key, char file[FILE_SIZE])
{
	snprintf(file, FILE_SIZE, PREFIX "%08" PRIx32, (uint32_t)key);
}

/* IPC_PRIVATE: none. */
static key_t
key_of(const char *file)
{
	uint32_t key = 0;

	return sscanf(file, PREFIX "%8" SCNx32, &key) == 1 ? (key_t)key :
	    IPC_PRIVATE;
}

/*
 * One note
 */

static int
write_note(int fd, const struct note *n)
{
	char line[LINE_MAX_];
	int size = snprintf(line, sizeof line, LINE, (uint32_t)n->key, n->id,
	    n->name);
	ssize_t written = pwrite(fd, line, (size_t)size, 0);

	if (written == size)
		return 0;
	if (written >= 0)
		errno = ENOSPC;
	return ipc__fail_sys("noting a queue");
}

/* An empty one, of whose maker nothing else is known, is about no queue. */
static bool
read_note(int fd, struct note *n)
{
	char line[LINE_MAX_];
	uint32_t key;
	ssize_t size = pread(fd, line, sizeof line - 1, 0);

	if (size < 0)
		return false;
	if (size == 0) {
		*n = (struct note){ .id = -1, .name = "-" };
		return true;
	}
	line[size] = '\0';
	if (sscanf(line, "libipc 1 %8" SCNx32 " %d %255s", &key, &n->id,
	    n->name) != 3)
		return false;
	n->key = (key_t)key;
	return true;
}

bool
ipc__msg_is_note(int fd, key_t key)
{
	struct stat st;
	struct note n;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    read_note(fd, &n) && n.key == key;
}

/* Another open file of the same note, which holds it too. */
static int
hold_again(int dir, const char *file)
{
	int rc, fd = openat(dir, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return ipc__fail_path("open", file);
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return fd;
	rc = ipc__fail_path("flock", file);
	close(fd);
	return rc;
}

static void
remove_note(int dir, key_t key)
{
	char file[FILE_SIZE];

	file_of(key, file);
	unlinkat(dir, file, 0);
}

static bool
still_named(int fd, int dir, const char *file)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && ours.st_uid == geteuid() &&
	    fstatat(dir, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static bool
is_removed(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/* Holds a new note, before anything is in it.  -EEXIST: who sweeps has come
 * between. */
static int
hold_new(int fd, const char *file)
{
	if (flock(fd, LOCK_SH | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? -EEXIST :
		    ipc__fail_path("flock", file);
	return is_removed(fd) ? -EEXIST : 0;
}

/* -EEXIST: this key is noted already; -ENOENT: the directory has been removed
 * under us. */
static int
publish(int dir, const struct note *n, int *fd)
{
	char file[FILE_SIZE];
	int rc;

	file_of(n->key, file);
	*fd = openat(dir, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (*fd == -1)
		return errno == ENOENT || errno == EEXIST ? -errno :
		    ipc__fail_path("open", file);
	rc = hold_new(*fd, file);
	if (rc == 0)
		rc = write_note(*fd, n);
	if (rc == 0)
		return 0;
	if (still_named(*fd, dir, file))
		remove_note(dir, n->key);
	close(*fd);
	*fd = -1;
	return rc;
}

/*
 * Making
 */

static int
fail_get(void)
{
	if (errno == ENOSPC)
		return ipc__msg_fail_count();
	return ipc__fail_sys("msgget");
}

/* -EEXIST: somebody else has this key. */
static int
make_noted(int dir, struct note *n, struct ipc__msg_made *m)
{
	char file[FILE_SIZE];
	int rc;

	file_of(n->key, file);
	rc = m->hold[1] = hold_again(dir, file);
	if (rc < 0)
		return rc;
	m->id = msgget(n->key, IPC_CREAT | IPC_EXCL | 0600);
	if (m->id == -1)
		return errno == EEXIST ? -EEXIST : fail_get();
	m->key = n->key;
	n->id = m->id;
	rc = write_note(m->hold[0], n);
	if (rc < 0)
		msgctl(m->id, IPC_RMID, NULL);
	return rc;
}

static int
try_make(int dir, struct note *n, struct ipc__msg_made *m)
{
	int rc;

	m->hold[1] = -1;
	rc = publish(dir, n, &m->hold[0]);
	if (rc < 0)
		return rc;
	rc = make_noted(dir, n, m);
	if (rc == 0)
		return 0;
	remove_note(dir, n->key);
	close(m->hold[0]);
	if (m->hold[1] != -1)
		close(m->hold[1]);
	return rc;
}

static int
make_next(int dir, struct note *n, struct ipc__msg_made *m)
{
	n->id = -1;
	do
		n->key = (key_t)arc4random();
	while (n->key == IPC_PRIVATE);
	return try_make(dir, n, m);
}

int
ipc__msg_make(struct ipc__msg_made *m, int count, const char *name)
{
	char path[IPC__PATH_MAX];
	struct note n = { .name = "-" };
	int i, dir, made = 0, rc = 0;

	if (name[0] != '\0')
		rc = ipc__name_encode(name, PLAIN, n.name, sizeof n.name);
	if (rc < 0)
		return rc;
	for (i = 0, rc = -EEXIST; i < TRIES && (rc == -EEXIST ||
	    rc == -ENOENT); i++) {
		rc = dir = ipc__sysname_open(true, path, sizeof path);
		if (dir < 0)
			break;
		while (made < count &&
		    (rc = make_next(dir, &n, &m[made])) == 0)
			made++;
		if (made > 0)
			close(dir);	/* which is not empty now */
		else
			ipc__sysname_close(dir, path);
	}
	if (rc == -EEXIST || rc == -ENOENT)
		rc = ipc__fail(-rc, "%s: no queue could be noted", path);
	while (rc < 0 && made > 0)
		ipc__msg_unmake(&m[--made]);
	return rc;
}

/*
 * Ending
 */

void
ipc__msg_keep(struct ipc__msg_made *m)
{
	char path[IPC__PATH_MAX];
	int i, dir;

	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		remove_note(dir, m->key);
		ipc__sysname_close(dir, path);
	}
	for (i = 0; i < 2; i++)
		close(m->hold[i]);
}

/* Where the note is that is held: needs no descriptor, as there may be none
 * left.  What another process handed over for it, and may write and rename, is
 * removed only if it is ours and has the name of this note. */
static bool
note_path(int hold, key_t key, char *path, size_t size)
{
	char link[32], file[FILE_SIZE];
	struct stat ours, named;
	const char *slash;
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", hold);
	n = readlink(link, path, size - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	file_of(key, file);
	slash = strrchr(path, '/');
	return slash != NULL && strcmp(slash + 1, file) == 0 &&
	    fstat(hold, &ours) == 0 && lstat(path, &named) == 0 &&
	    ours.st_uid == geteuid() && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Another user's note is not ours to remove: his next sweep finds no queue to
 * it. */
static void
remove_held(int hold, key_t key)
{
	char path[IPC__PATH_MAX];
	struct ipc__error before;
	int dir;

	/* By the other end. */
	if (is_removed(hold))
		return;
	if (note_path(hold, key, path, sizeof path)) {
		unlink(path);
		*strrchr(path, '/') = '\0';
		rmdir(path);
		return;
	}
	ipc__error_keep(&before);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		remove_note(dir, key);
		ipc__sysname_close(dir, path);
	}
	ipc__error_restore(&before);
}

void
ipc__msg_end(int hold, key_t key, int id)
{
	msgctl(id, IPC_RMID, NULL);
	remove_held(hold, key);
	close(hold);
}

void
ipc__msg_unmake(struct ipc__msg_made *m)
{
	ipc__msg_end(m->hold[0], m->key, m->id);
	close(m->hold[1]);
}

/* Has it got the name that it was made for?  Negative: not to be known now. */
static int
is_named(const char *escaped, int id)
{
	struct ipc__sysname found;
	char name[IPC__NAME_MAX + 1];
	int lock, rc;

	if (strcmp(escaped, "-") == 0)
		return 0;
	ipc__name_decode(escaped, name, sizeof name);
	lock = ipc__sysname_lock(IPC__SYSV_MSG, name);
	if (lock < 0)
		return lock;
	rc = ipc__sysname_find(IPC__SYSV_MSG, name, &found);
	ipc__sysname_unlock(lock, IPC__SYSV_MSG, name);
	if (rc == 0)
		return found.id == id;
	return rc == -ENOENT ? 0 : rc;
}

/* Nobody holds this note.  True: it may go, and with it the queue *doomed, if
 * that is not -1. */
static bool
is_orphan(const struct note *n, int *doomed)
{
	struct msqid_ds ds;
	int id, named;

	*doomed = -1;
	if (n->key == IPC_PRIVATE)
		return true;
	id = msgget(n->key, 0);
	if (id == -1)
		return errno == ENOENT;
	/* Somebody else's who came to the same key. */
	if ((n->id != -1 && n->id != id) || ipc__msg_stat(id, &ds) < 0 ||
	    (ds.msg_perm.cuid != geteuid() && ds.msg_perm.uid != geteuid()))
		return true;
	named = is_named(n->name, id);
	if (named != 0)
		return named == 1;
	*doomed = id;
	return true;
}

static bool
remove_queue(int id)
{
	return id == -1 || msgctl(id, IPC_RMID, NULL) == 0 ||
	    errno == EIDRM || errno == EINVAL;
}

/* Whom to ask about each note (NULL: nobody), and where the notes are. */
struct asked {
	const char	*where;
	ipc__told	*told;
	void		*user;
};

static bool
may_go(const struct asked *asked, const char *file)
{
	char path[IPC__PATH_MAX + IPC__NAME_MAX + 2];

	if (asked == NULL)
		return true;
	snprintf(path, sizeof path, "%s/%s", asked->where, file);
	return ipc__may_go(asked->told, path, asked->user);
}

/* Removes the queue and its note, if nobody holds it. */
static bool
sweep_one(int dir, const char *file, const struct asked *asked)
{
	char right[FILE_SIZE];
	bool swept = false;
	struct note n;
	int fd, id;

	fd = openat(dir, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
	if (fd == -1)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && still_named(fd, dir, file) &&
	    read_note(fd, &n)) {
		file_of(n.key != IPC_PRIVATE ? n.key : key_of(file), right);
		swept = strcmp(file, right) == 0 && is_orphan(&n, &id) &&
		    may_go(asked, file) && remove_queue(id) &&
		    unlinkat(dir, file, 0) == 0;
	}
	close(fd);
	return swept;
}

static void
sweep_key(key_t key)
{
	char path[IPC__PATH_MAX], file[FILE_SIZE];
	struct ipc__error before;
	int dir;

	ipc__error_keep(&before);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir >= 0) {
		file_of(key, file);
		sweep_one(dir, file, NULL);
		ipc__sysname_close(dir, path);
	}
	ipc__error_restore(&before);
}

/* Copies of this end share its open file and lock, and the other end has its
 * own.  So who speaks for all copies of this end asks for the lock with what it
 * has, and another one with a new open file, after its own is gone. */
/* Closes one copy of a held note.  Does anybody else hold it for certain?  Who
 * forked has mostly its child or parent holding on, and is spared the search
 * for the note by its name. */
static bool
held_on(int hold)
{
	char link[32];
	bool held;
	int again;

	snprintf(link, sizeof link, "/proc/self/fd/%d", hold);
	again = open(link, O_RDWR | O_CLOEXEC);
	close(hold);
	if (again == -1)
		return false;
	held = flock(again, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK;
	close(again);
	return held;
}

void
ipc__msg_let_go(int hold, key_t key, bool clean)
{
	struct note n;
	int id;

	if (clean && flock(hold, LOCK_EX | LOCK_NB) == 0 &&
	    read_note(hold, &n) && n.key == key && is_orphan(&n, &id) &&
	    remove_queue(id))
		remove_held(hold, key);
	if (clean)
		close(hold);
	else if (!held_on(hold))
		sweep_key(key);
}

static int
sweep_in(int dir, DIR *d, const struct asked *asked)
{
	struct dirent *e;
	int swept = 0;

	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
		    sweep_one(dir, e->d_name, asked))
			swept++;
	return swept;
}

int
ipc__msg_sweep(ipc__told *told, void *user)
{
	struct ipc__place place = { .path = NULL };
	char path[IPC__PATH_MAX];
	struct asked asked = { path, told, user };
	struct ipc__error before;
	int dir, swept = 0;
	DIR *d;

	ipc__error_keep(&before);
	dir = ipc__sysname_open(false, path, sizeof path);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	d = fdopendir(dir);
	if (d == NULL) {
		swept = ipc__fail_path("fdopendir", path);
		close(dir);
		return swept;
	}
	place.dir = dir;
	ipc__temp_sweep(&place, UINT_MAX, NULL, NULL);
	swept = sweep_in(dir, d, &asked);
	closedir(d);
	rmdir(path);
	ipc__error_restore(&before);
	return swept;
}
