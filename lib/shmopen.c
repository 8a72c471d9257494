/* SPDX-License-Identifier: ISC */
/*
 * Rings that have a name.  Beside the ring lie two FIFOs, NAME.ipcr and
 * NAME.ipcs, which are its bells: a byte in the first wakes the receiver, one
 * in the second the sender.  Nobody ever blocks in them.
 *
 * The receiver holds the first for reading only and the sender for writing, so
 * when the sender is gone, closed or killed, the kernel hangs it up and a
 * sleeping receiver knows at once.  Both hold the second for reading and
 * writing, and lock a byte of it each: that keeps a second sender and a second
 * receiver out for as long as the first one, or a forked copy of it, lives.
 * A sender has the first FIFO open before it asks for its lock: whoever finds
 * it hung up knows that there is no sender.
 *
 * Slots (latest=1) take nothing away from anybody, so any number of receivers
 * may look at them: they share the lock, and hear the first FIFO by inotify.
 *
 * What the ring says in `life' only tells how a sender went that is gone by
 * the kernel's word: whether it had closed its end, and how many had come
 * before.  The number tells whether what was read is of the one who is gone, as
 * another may have come, and gone too, at any moment between two looks.  Who
 * opens the FIFO and is killed, or fails, before they have a number hangs it up
 * without having been a sender: what is read then is of an earlier one, whose
 * end was told, and is not told again.
 */

#include <sys/inotify.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "shmopen.h"

/* The lower bits of `life'; the others count those who came. */
enum { LIFE_NONE, LIFE_HERE, LIFE_BYE, LIFE_HOW = 3 };
#define LIFE_NOBODYS	LIFE_HOW	/* as no sender leaves it */
#define LIFE_LOOKS	3	/* until nobody comes between */

static const char *const bell_suffix[2] = { ".ipcr", ".ipcs" };

/*
 * Bells and locks
 */

static int
bell_path(char *path, size_t size, const char *base, unsigned which)
{
	int n = snprintf(path, size, "%s%s", base, bell_suffix[which]);

	if (n < 0 || (size_t)n >= size)
		return ipc__fail(ENAMETOOLONG, "%s%s: the name is too long",
		    base, bell_suffix[which]);
	return 0;
}

/* Gives a new file its mode, whatever the umask, and its owner. */
static int
shm_own(int fd, mode_t mode, uid_t uid, gid_t gid)
{
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    fchown(fd, uid, gid) < 0)
		return ipc__fail_sys("fchown");
	if (fchmod(fd, mode) < 0)
		return ipc__fail_sys("fchmod");
	return 0;
}

/* A FIFO that lies there already is only taken from its ring's owner, from
 * root, or from ourselves; ours may be of one who was killed before it had got
 * its mode: then it is as if it was just made. */
static int
bell_check(int fd, const char *path, mode_t mode, uid_t uid, bool *made)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ipc__fail_sys("fstat");
	if (!S_ISFIFO(st.st_mode))
		return ipc__fail(EEXIST, "%s: is no FIFO", path);
	if (st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != uid)
		return ipc__fail(EPERM, "%s: belongs to user %lu", path,
		    (unsigned long)st.st_uid);
	*made |= st.st_uid == geteuid() && (st.st_mode & 07777) != mode;
	return 0;
}

static int
bell_open(const char *base, unsigned which, int how, mode_t mode, uid_t uid,
    gid_t gid)
{
	const int flags = O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW;
	char path[IPC__PATH_MAX];
	bool made;
	int fd, rc;

	rc = bell_path(path, sizeof path, base, which);
	if (rc < 0)
		return rc;
	made = mkfifo(path, 0600) == 0;
	if (!made && errno != EEXIST)
		return ipc__fail_sys("mkfifo");
	fd = open(path, how | flags);
	if (fd < 0)
		return ipc__fail_path("open", path);
	rc = bell_check(fd, path, mode, uid, &made);
	if (rc == 0 && made)
		rc = shm_own(fd, mode, uid, gid);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

void
ipc__shm_unlink_bells(const char *base)
{
	char path[IPC__PATH_MAX];
	struct stat st;
	unsigned i;

	/* Twice: a failure that passes leaves nothing behind. */
	for (i = 0; i < 4; i++)
		if (bell_path(path, sizeof path, base, i % 2) == 0 &&
		    lstat(path, &st) == 0 && S_ISFIFO(st.st_mode))
			unlink(path);
}

/* Shared: there may be others in this role. */
static int
role_take(struct ipc__shm_map *map, int dir, bool shared)
{
	struct flock lock = {
		.l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET,
		.l_start = dir == IPC_RECV, .l_len = 1
	};

	if (fcntl(map->bell[1], F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return ipc__fail(EBUSY, "another %s has it",
		    dir == IPC_RECV ? "receiver" : "sender");
	return ipc__fail_sys("fcntl(F_OFD_SETLK)");
}

/* A byte in a FIFO is heard by one; that it was written, by all.  It is not
 * polled then, and whoever hears takes out what is there, so that it never
 * fills up. */
static int
notes_open(struct ipc__shm_map *map, const char *base)
{
	char proc[40], path[IPC__PATH_MAX];
	int rc;

	map->notes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (map->notes < 0 && errno == EMFILE)
		return ipc__fail(EMFILE, "inotify_init1: no descriptor, or no "
		    "instance left for another receiver of slots "
		    "(RLIMIT_NOFILE, fs.inotify.max_user_instances)");
	if (map->notes < 0)
		return ipc__fail_sys("inotify_init1");
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", map->bell[0]);
	if (inotify_add_watch(map->notes, proc, IN_MODIFY) >= 0)
		return 0;
	if ((rc = bell_path(path, sizeof path, base, 0)) < 0)
		return rc;
	return inotify_add_watch(map->notes, path, IN_MODIFY) < 0 ?
	    ipc__fail_sys("inotify_add_watch") : 0;
}

int
ipc__shm_watch_shared(const struct ipc__half *h, struct pollfd *fds)
{
	const struct ipc__shm *s = ipc__shm_state(h);

	fds[0] = (struct pollfd){ s->map->notes, POLLIN, 0 };
	/* Only for its hanging up. */
	fds[1] = (struct pollfd){ s->map->bell[0], 0, 0 };
	return s->endless ? 1 : 2;
}

void
ipc__shm_forget_notes(const struct ipc__half *h)
{
	char events[4096];

	while (read(ipc__shm_state(h)->map->notes, events, sizeof events) > 0)
		;
}

/*
 * Attaching
 */

/* The memory that earlier senders used is there, whatever has been done to the
 * file since. */
static int
shm_settle(struct ipc__shm_map *map, const struct ipc__ring *r)
{
	int rc;

	if (map->mem < 0 || map->slot)
		return 0;
	rc = ipc__shm_populate(map, 0, sizeof *r->head +
	    (size_t)r->grown_u * IPC__RING_LINE);
	if (rc == 0 && r->grown_v > 0)
		rc = ipc__shm_populate(map, ipc__ring_start(map->payload),
		    (size_t)r->grown_v * IPC__RING_LINE);
	return rc;
}

/* Release, and the fence: between opening our bells and closing them, for who
 * looks at both.  Pairs with shm_look_gone(). */
static void
set_life(struct ipc__ring *r, uint32_t how)
{
	uint32_t life = le32toh(atomic_load_explicit(&r->own->life,
	    memory_order_relaxed));

	life &= ~(uint32_t)LIFE_HOW;
	if (how == LIFE_HERE)
		life += LIFE_HOW + 1;
	atomic_store_explicit(&r->own->life, htole32(life | how),
	    memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
}

static uint32_t
other_life(const struct ipc__ring *r)
{
	return le32toh(atomic_load_explicit(&r->other->life,
	    memory_order_acquire));
}

static bool
bell_hung_up(const struct ipc__shm *s)
{
	struct pollfd fd = { .fd = s->map->bell[0], .events = POLLIN };

	return poll(&fd, 1, 0) == 1 && fd.revents & POLLHUP;
}

/* Nobody was there when the FIFO was found hung up, and nobody had come or gone
 * just before or after, so what was read is of the last one. */
static bool
shm_look_gone(struct ipc__shm *s)
{
	uint32_t life;
	unsigned i;

	for (i = 0; i < LIFE_LOOKS; i++) {
		life = other_life(&s->ring);
		if (!bell_hung_up(s))
			return false;
		/* Read behind the kernel's word; pairs with set_life(). */
		atomic_thread_fence(memory_order_seq_cst);
		if (other_life(&s->ring) != life)
			continue;
		s->gone = true;
		s->ended = life;
		return true;
	}
	return false;
}

/* A FIFO is not hung up for who opened it after its last sender had gone, until
 * somebody comes and goes: so we do. */
static int
shm_hang_up(struct ipc__shm *s, const char *base, mode_t mode, uid_t uid,
    gid_t gid)
{
	int fd = bell_open(base, 0, O_RDWR, mode, uid, gid);

	if (fd < 0)
		return fd;
	close(fd);
	shm_look_gone(s);
	return 0;
}

/* What an earlier sender left ends where it stopped; where it left nothing, no
 * end is told. */
static int
shm_look_left(struct ipc__half *h, const char *base, mode_t mode, uid_t uid,
    gid_t gid)
{
	struct ipc__shm *s = ipc__shm_state(h);
	uint32_t life = other_life(&s->ring);
	bool left = !s->slots && ipc__ring_ready(&s->ring);
	int rc;

	s->told = LIFE_NOBODYS;
	if (s->endless)
		return 0;
	/* Which it was before we looked for what is left. */
	if (life == LIFE_NONE || (!left && (life & LIFE_HOW) != LIFE_HERE)) {
		s->told = life;
		return 0;
	}
	rc = shm_hang_up(s, base, mode, uid, gid);
	if (rc < 0 || !s->gone || (!s->slots && ipc__ring_ready(&s->ring)))
		return rc;
	return ipc__shm_again(h);
}

int
ipc__shm_attach(struct ipc__half *h, const struct ipc__address *a,
    struct ipc__shm_map *map, const char *base, mode_t mode, uid_t uid,
    gid_t gid)
{
	struct ipc__shm *s = ipc__shm_state(h);
	bool hangs = h->dir == IPC_RECV && a->opt.end;
	int rc;

	s->shared = map->slot != 0 && h->dir == IPC_RECV;
	if ((map->slot != 0) != a->opt.latest) {
		rc = ipc__fail(EPROTO, map->slot ? "it holds only the newest "
		    "message: say latest=1" : "it is a queue: leave latest=1 "
		    "out");
		goto fail;
	}
	rc = map->bell[0] = bell_open(base, 0, hangs || s->shared ?
	    O_RDONLY : O_RDWR, mode, uid, gid);
	if (rc < 0)
		goto fail;
	rc = map->bell[1] = bell_open(base, 1, O_RDWR, mode, uid, gid);
	if (rc < 0)
		goto fail;
	rc = role_take(map, h->dir, s->shared);
	if (rc == 0 && s->shared)
		rc = notes_open(map, base);
	if (rc < 0)
		goto fail;
	map->sync = a->opt.sync;
	rc = ipc__shm_join(h, map);
	if (rc == 0 && h->dir == IPC_SEND)
		rc = shm_settle(map, &s->ring);
	if (rc < 0)
		goto fail;
	s->opened = s->ring.lasting = true;
	s->endless = !hangs;
	rc = shm_look_left(h, base, mode, uid, gid);
	if (rc < 0)
		goto fail;
	set_life(&s->ring, LIFE_HERE);
	return 0;
fail:
	ipc__shm_leave_slots(s);
	s->map = NULL;
	ipc__shm_unref(map);
	return rc;
}

void
ipc__shm_farewell(struct ipc__half *h)
{
	set_life(&ipc__shm_state(h)->ring, LIFE_BYE);
}

/*
 * The end of a sender
 */

bool
ipc__shm_hung_up(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);

	if (!s->opened || s->endless || h->dir != IPC_RECV)
		return false;
	return s->gone || shm_look_gone(s);
}

/* If somebody has come since, the end is theirs, and is still to be found. */
bool
ipc__shm_over(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);

	s->gone = other_life(&s->ring) == s->ended;
	return s->gone;
}

bool
ipc__shm_ends_with(struct ipc__half *h, const void *tail, size_t size)
{
	(void)tail;
	(void)size;
	return (ipc__shm_state(h)->ended & LIFE_HOW) == LIFE_BYE;
}

/* Opened anew, the FIFO is not hung up until the next sender has come and gone;
 * or has gone, if it is there already.  One who did both before that has hung
 * up the old one. */
int
ipc__shm_again(struct ipc__half *h)
{
	struct ipc__shm *s = ipc__shm_state(h);
	bool before = s->ended == s->told;
	char path[40];
	int fd;

	if (!s->opened || s->endless)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", s->map->bell[0]);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ipc__fail_sys("open");
	s->gone = s->lit = false;
	s->told = s->ended;
	if (shm_look_gone(s))
		s->gone = s->ended != s->told;
	close(s->map->bell[0]);
	s->map->bell[0] = fd;
	ipc__ring_rise(&s->ring);
	return before ? IPC__TOLD : 1;
}
