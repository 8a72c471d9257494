/* SPDX-License-Identifier: ISC */
/*
 * fifo: named pipes.  Pairs and the links of sessions are FIFOs whose names are
 * gone as soon as both ends are held.  An opened FIFO has any number of senders
 * and one receiver, which holds a lock that the kernel lets go when it dies.
 *
 * What a receiver of an opened FIFO sees while nobody has it open for writing
 * is read() = 0 either way; POLLHUP tells the two cases apart, as a descriptor
 * shows it only after a writer has come and gone.  And it shows it until the
 * next writer, so that a receiver which wants to wait for that one needs a
 * fresh descriptor: again().  The descriptor with the lock stays, so the pipe
 * and what lies in it stay as well.
 *
 * Frames are written whole.  A receiver that reads with room for h->capacity
 * takes all that lies there, which ends with a whole frame: so one that is
 * killed leaves the FIFO at the beginning of a frame for the next.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "name.h"
#include "pipeio.h"

#define SWEEP_MOST	256	/* entries that are looked at for leftovers */
#define TRIES		16	/* somebody makes and removes it all the time */
#define OPEN_FLAGS	(O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)

#define KEY(name)	(UINT32_C(1) << IPC__KEY_##name)
#define KEYS_ADOPT	(KEY(BOUNDARY) | KEY(MAX_MESSAGE) | KEY(WAIT) | \
			 KEY(THREADS))
#define KEYS_OPEN	(KEYS_ADOPT | KEY(CAPACITY) | KEY(MODE) | KEY(UID) | \
			 KEY(GID) | KEY(END))
#define KEYS_PAIR	(KEYS_ADOPT | KEY(CAPACITY) | KEY(MODE) | KEY(UID) | \
			 KEY(GID) | KEY(DUPLEX))
#define KEYS_MEETING	(KEY(ALLOW_UID) | KEY(ALLOW_GID) | KEY(AT) | \
			 KEY(BACKLOG))

/* Messages on an opened one stay below PIPE_BUF: they never mix. */
#define CAPS_OPEN	(IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_RELIABLE | IPC_CAP_END | IPC_CAP_DELIVERS | \
			 IPC_CAP_FD | IPC_CAP_MANY)
#define CAPS_ADOPT	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DELIVERS | IPC_CAP_FD)
/* No RWF_NOWAIT on FIFOs: where another user's end can not be opened anew (see
 * ipc__pipe_take), that user could make a read wait. */
#define CAPS_SESSION	(CAPS_ADOPT | IPC_CAP_DEATH | IPC_CAP_FDS | \
			 IPC_CAP_PEER | IPC_CAP_HALF)
#define CAPS_PAIR	(CAPS_SESSION | IPC_CAP_HOSTILE)

struct fifo {
	struct ipc__pipe io;	/* first */
	int	 lock;		/* opened to receive: the lock; else -1 */
	int	 writer;	/* end=0: keeps the end away; else -1 */
	bool	 endless;	/* end=0 */
	bool	 got;		/* something came on this descriptor */
	char	*path;
};

static struct fifo *
fifo_init(struct ipc__half *h)
{
	struct fifo *f = IPC__STATE(h, struct fifo);

	f->lock = f->writer = -1;
	return f;
}

static bool
same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	    x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/*
 * Making one
 */

/* What killed ones left in this directory ("": here) goes, and what is to be
 * made there is noted. */
static int
tidy(const char *dir, const char *temp)
{
	struct ipc__place place = { .path = dir, .path_len = strlen(dir) };
	int note;

	place.dir = open(*dir != '\0' ? dir : ".", O_PATH | O_DIRECTORY |
	    O_CLOEXEC);
	if (place.dir < 0)
		return -1;
	ipc__temp_sweep(&place, SWEEP_MOST, NULL, NULL);
	note = ipc__beside_note(place.dir, temp);
	close(place.dir);
	return note;
}

/* A name that nobody uses, in the directory of path, and that tells who made
 * it; those of the dead go.  note: for hidden_done(). */
static int
hidden_path(const char *path, char *hidden, size_t size, int *note)
{
	const char *slash = strrchr(path, '/');
	size_t dir = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	char name[IPC__TEMP_MAX];

	if (dir + IPC__TEMP_MAX >= size)
		return ipc__fail(ENAMETOOLONG, "longer than %zu bytes", size);
	ipc__temp_name(name, sizeof name, "fifo");
	memcpy(hidden, path, dir);
	hidden[dir] = '\0';
	*note = tidy(hidden, name);
	strlcpy(hidden + dir, name, size - dir);
	return 0;
}

/* There is nothing of that name any more. */
static void
hidden_done(int note, const char *hidden)
{
	const char *slash = strrchr(hidden, '/');

	ipc__beside_done(note, slash != NULL ? slash + 1 : hidden);
}

/* Makes it and opens it to receive.  Every further step goes by this
 * descriptor, so that nobody can put something else into its place. */
static int
make_at(const char *path)
{
	struct stat st;
	int fd;

	if (mkfifo(path, 0600) < 0)
		return ipc__fail_sys("mkfifo");
	fd = open(path, O_RDONLY | OPEN_FLAGS);
	if (fd < 0 && errno == EACCES) {	/* a umask like 0400 */
		fchmodat(AT_FDCWD, path, 0600, AT_SYMLINK_NOFOLLOW);
		fd = open(path, O_RDONLY | OPEN_FLAGS);
	}
	if (fd < 0) {
		fd = ipc__fail_sys("open");
	} else if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return ipc__fail(EINVAL, "somebody replaced %s", path);
	}
	if (fd < 0)
		unlink(path);
	return fd;
}

/* The umask has no say in it. */
static int
set_owner(int fd, const struct ipc__options *opt)
{
	if ((opt->uid != (uid_t)-1 || opt->gid != (gid_t)-1) &&
	    fchown(fd, opt->uid, opt->gid) < 0)
		return ipc__fail_sys("fchown");
	if (fchmod(fd, opt->mode) < 0)
		return ipc__fail_sys("fchmod");
	return 0;
}

/* It appears under its name at once as it is to be, and with nobody who has it
 * open: a sender that took us for its receiver would be gone again, and what it
 * sent with it, before there is one. */
static int
fifo_create(const struct ipc__address *a)
{
	char path[IPC__PATH_MAX];
	int note, fd, rc;

	rc = hidden_path(a->name, path, sizeof path, &note);
	if (rc < 0)
		return rc;
	fd = make_at(path);
	if (fd < 0) {
		hidden_done(note, path);
		return fd;
	}
	rc = set_owner(fd, &a->opt);
	close(fd);
	if (rc == 0 &&
	    (rc = ipc__temp_publish(AT_FDCWD, path, a->name)) < 0) {
		errno = -rc;
		rc = ipc__fail_sys("link");
	}
	if (rc < 0)
		unlink(path);
	hidden_done(note, path);
	return rc;
}

/*
 * Pairs
 */

/* The name says where; as it would be gone again, it is not used itself: a
 * process that is killed here leaves nothing in the way of the next. */
static int
pair_path(const struct ipc__address *a, char *path, size_t size, int *note)
{
	struct stat st;

	if (a->name[0] == '\0')
		return ipc__private_path("fifo", path, size);
	if (lstat(a->name, &st) == 0)
		return ipc__fail(EEXIST, "there is something of this name");
	return hidden_path(a->name, path, size, note);
}

static int
open_both(const char *path, const struct ipc__options *opt, int fds[2])
{
	int rc;

	fds[0] = make_at(path);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = open(path, O_WRONLY | OPEN_FLAGS);
	if (fds[1] < 0)
		rc = ipc__fail_sys("open");
	else if (!same_file(fds[0], fds[1]))
		rc = ipc__fail(EINVAL, "somebody replaced %s", path);
	else
		rc = set_owner(fds[0], opt);
	unlink(path);
	if (rc < 0) {
		close(fds[0]);
		if (fds[1] >= 0)
			close(fds[1]);
	}
	return rc;
}

static int
fifo_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	char path[IPC__PATH_MAX];
	int fds[2] = { -1, -1 };
	int note = -1, rc;

	rc = pair_path(address, path, sizeof path, &note);
	if (rc == 0) {
		rc = open_both(path, &address->opt, fds);
		hidden_done(note, path);
	}
	if (rc < 0)
		return rc;
	fifo_init(a);
	fifo_init(b);
	a->fd = a->dir == IPC_RECV ? fds[0] : fds[1];
	b->fd = a->dir == IPC_RECV ? fds[1] : fds[0];
	ipc__pipe_start(a, address->opt.capacity);
	ipc__pipe_start(b, address->opt.capacity);
	return 0;
}

/*
 * Opening
 */

static int
check_kind(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return ipc__fail_sys("lstat");
	if (S_ISFIFO(st.st_mode))
		return 0;
	if (S_ISSOCK(st.st_mode))
		return ipc__fail(EPROTOTYPE, "this is a socket: "
		    "a meeting point is for ipc_connect");
	if (S_ISLNK(st.st_mode))
		return ipc__fail(ELOOP,
		    "this is a symbolic link, which is not followed");
	return ipc__fail(EINVAL, "there is something, but no FIFO");
}

static int
open_fifo(const char *path, int mode)
{
	struct stat st;
	int fd;

	fd = open(path, mode | OPEN_FLAGS);
	if (fd < 0 && errno == ENXIO)
		return ipc__fail(ENXIO, "no receiver has it open");
	if (fd < 0)
		return ipc__fail_sys("open");
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return ipc__fail(EINVAL, "there is something, but no FIFO");
	}
	return fd;
}

/* Another description of the FIFO that is locked; by its name where there is no
 * /proc, if the name still means it. */
static int
open_again(const struct fifo *f, int mode)
{
	int error, fd;

	fd = ipc__pipe_reopen(f->lock, mode);
	if (fd >= 0)
		return fd;
	error = errno;
	fd = open(f->path, mode | OPEN_FLAGS);
	if (fd >= 0 && same_file(fd, f->lock))
		return fd;
	if (fd >= 0)
		close(fd);
	errno = error;
	return ipc__fail_sys("open");
}

static int
lock_fifo(const char *path)
{
	int fd, rc;

	fd = open_fifo(path, O_RDONLY);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	rc = errno == EWOULDBLOCK ?
	    ipc__fail(EBUSY, "another one receives from it") :
	    ipc__fail_sys("flock");
	close(fd);
	return rc;
}

static void
fifo_close(struct ipc__half *h, bool clean)
{
	struct fifo *f = IPC__STATE(h, struct fifo);

	(void)clean;
	if (f->writer >= 0)
		close(f->writer);
	if (f->lock >= 0)
		close(f->lock);
	free(f->path);
	f->path = NULL;
	f->lock = f->writer = -1;
}

static int
open_receiver(struct ipc__half *h, const struct ipc__address *a)
{
	struct fifo *f = IPC__STATE(h, struct fifo);
	int rc;

	f->path = strdup(a->name);
	if (f->path == NULL)
		return ipc__fail_sys("strdup");
	rc = f->lock = lock_fifo(f->path);
	if (rc >= 0)
		rc = h->fd = open_again(f, O_RDONLY);
	if (rc < 0) {
		fifo_close(h, true);
		return rc;
	}
	/* A writer of our own, where we may, and the end never comes. */
	f->endless = !a->opt.end;
	if (f->endless)
		f->writer = ipc__pipe_reopen(f->lock, O_WRONLY);
	return 0;
}

static int
open_existing(struct ipc__half *h, const struct ipc__address *a)
{
	int rc;

	rc = check_kind(a->name);
	if (rc < 0)
		return rc;
	if (h->dir == IPC_RECV)
		return open_receiver(h, a);
	h->fd = open_fifo(a->name, O_WRONLY);
	return h->fd < 0 ? h->fd : 0;
}

static int
open_or_create(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	bool exclusive = (flags & IPC_CREATE) && (flags & IPC_EXCLUSIVE);
	int i, rc;

	rc = exclusive ? -ENOENT : open_existing(h, a);
	for (i = 0; rc == -ENOENT && (flags & IPC_CREATE) && i < TRIES; i++) {
		rc = fifo_create(a);
		if (rc == 0 || (rc == -EEXIST && !exclusive))
			rc = open_existing(h, a);
	}
	return rc;
}

/* A sender of frames does not make it larger than the receiver believes it to
 * be: see at the beginning of this file. */
static uint64_t
opened_capacity(const struct ipc__half *h, const struct ipc__address *a)
{
	int size;

	if (h->dir == IPC_RECV || a->opt.boundary == IPC_STREAM)
		return a->opt.capacity;
	size = fcntl(h->fd, F_GETPIPE_SZ);
	return size > 0 && a->opt.capacity > (unsigned)size ? 0 :
	    a->opt.capacity;
}

static int
fifo_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	int rc;

	if (h->dir == IPC_DUPLEX)
		return ipc__fail(EINVAL, "a FIFO goes one way: "
		    "IPC_RECV or IPC_SEND");
	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a FIFO to open needs a path");
	fifo_init(h);
	rc = open_or_create(h, a, flags);
	if (rc < 0) {
		h->fd = -1;
		return rc;
	}
	ipc__pipe_start(h, opened_capacity(h, a));
	return 0;
}

static int
fifo_unlink(const struct ipc__address *a)
{
	char path[IPC__PATH_MAX];
	int note, rc;

	rc = check_kind(a->name);
	if (rc == 0 && unlink(a->name) < 0)
		rc = ipc__fail_sys("unlink");
	if (rc == 0 && hidden_path(a->name, path, sizeof path, &note) == 0)
		hidden_done(note, path);
	return rc;
}

/*
 * Receiving
 */

static int
fifo_again(struct ipc__half *h)
{
	struct fifo *f = IPC__STATE(h, struct fifo);
	int fd;

	if (f->lock < 0)
		return 0;
	fd = open_again(f, O_RDONLY);
	if (fd < 0)
		return fd;
	close(h->fd);
	h->fd = fd;
	f->got = false;
	return 1;
}

/* Nothing is there, and nobody who could send.  If there was something, the
 * sender has gone, though the descriptor may not show that: it was opened
 * later. */
static ssize_t
no_sender(struct ipc__half *h, struct fifo *f)
{
	int rc;

	if (!f->got)
		return -EAGAIN;
	if (!f->endless)
		return 0;
	rc = fifo_again(h);
	return rc < 0 ? rc : -EAGAIN;
}

static ssize_t
fifo_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	struct fifo *f = IPC__STATE(h, struct fifo);
	ssize_t n;

	n = ipc__pipe_recv(h, iov, count, aside);
	if (n < 0 || f->lock < 0)
		return n;
	/* One that came and went since this look may have left something: its
	 * end is behind that, and only one. */
	if (n == 0 && !f->got && ipc__pipe_hung_up(h->fd)) {
		n = ipc__pipe_recv(h, iov, count, aside);
		f->got = n == 0;
	}
	if (n < 0)
		return n;
	if (n == 0)
		return no_sender(h, f);
	f->got = true;
	return n;
}

/* An opened one carries small messages only. */
static void
fifo_expect(struct ipc__half *h, size_t size)
{
	if (!h->bare || h->stream)
		ipc__pipe_expect(h, size);
}

static int
fifo_take(struct ipc__half *h, struct ipc__ticket *t)
{
	fifo_init(h);
	return ipc__pipe_take(h, t);
}

static int
fifo_adopt(struct ipc__half *h, int fd, bool listening)
{
	struct stat st;

	fifo_init(h);
	if (fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode))
		return ipc__fail(EINVAL, "descriptor %d is no FIFO", fd);
	return ipc__pipe_adopt(h, fd, listening);
}

const struct ipc_backend ipc__backend_fifo = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "fifo",
		.title = "named pipe",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN |
		    1 << IPC_WAY_SESSION | 1 << IPC_WAY_ADOPT,
		.caps = {
			[IPC_WAY_PAIR] = CAPS_PAIR,
			[IPC_WAY_OPEN] = CAPS_OPEN,
			[IPC_WAY_SESSION] = CAPS_SESSION,
			[IPC_WAY_ADOPT] = CAPS_ADOPT,
		},
		.direction = IPC_SEND,
		.boundary = IPC_STREAM
	},
	.traits = IPC__BYTES | IPC__GATHERS | IPC__LIFE | IPC__PATHS,
	.size = sizeof(struct fifo),
	.limit = "PIPE_BUF, less 4 of a frame",
	.keys = {
		[IPC_WAY_PAIR] = KEYS_PAIR,
		[IPC_WAY_OPEN] = KEYS_OPEN,
		[IPC_WAY_SESSION] = KEYS_PAIR | KEYS_MEETING,
		[IPC_WAY_ADOPT] = KEYS_ADOPT,
	},
	.pair = fifo_pair,
	.open = fifo_open,
	.unlink = fifo_unlink,
	.adopt = fifo_adopt,
	.give = ipc__pipe_give,
	.take = fifo_take,
	.send = ipc__pipe_send,
	.recv = fifo_recv,
	.again = fifo_again,
	.stretch = ipc__pipe_stretch,
	.expect = fifo_expect,
	.pending = ipc__pipe_pending,
	.close = fifo_close,
};
