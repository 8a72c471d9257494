/* SPDX-License-Identifier: ISC */
/*
 * file: a journal of messages in a plain file.  Opened, it is appended to by
 * one sender and followed by any number of receivers, now and a week later
 * (journalwrite.c, journalread.c); pairs and sessions have a file without a
 * name for each direction, whose space is used again (filelink.c).
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filelink.h"
#include "filemake.h"
#include "journallog.h"
#include "journalpos.h"
#include "name.h"

#define TRIES		16	/* somebody makes and removes it all the time */

#define KEY(name)	(UINT32_C(1) << IPC__KEY_##name)
#define KEYS_OPEN	(KEY(BOUNDARY) | KEY(CAPACITY) | KEY(MAX_MESSAGE) | \
			 KEY(MODE) | KEY(UID) | KEY(GID) | KEY(WAIT) | \
			 KEY(SYNC) | KEY(FOLLOW) | KEY(THREADS))
#define KEYS_PAIR	(KEY(BOUNDARY) | KEY(DUPLEX) | KEY(CAPACITY) | \
			 KEY(MAX_MESSAGE) | KEY(WAIT) | KEY(THREADS))
#define KEYS_SESSION	(KEYS_PAIR | KEY(MODE) | KEY(UID) | KEY(GID) | \
			 KEY(ALLOW_UID) | KEY(ALLOW_GID) | KEY(AT) | \
			 KEY(BACKLOG))

#define CAPS_OPEN	(IPC_CAP_MESSAGE | IPC_CAP_LARGE | \
			 IPC_CAP_RELIABLE | IPC_CAP_DELIVERS | IPC_CAP_FD | \
			 IPC_CAP_SYNC | IPC_CAP_PERSIST | IPC_CAP_MANY)
/* Not IPC_CAP_HOSTILE: the bells are the other side's too, which may make one
 * wait that did not. */
#define CAPS_PAIR	(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DEATH | IPC_CAP_DELIVERS | IPC_CAP_FD | \
			 IPC_CAP_FDS | IPC_CAP_PEER | IPC_CAP_HALF)

/* Behind a half is one of them: h->bare tells which. */
union file {
	struct ipc__log	log;
	struct ipc__filelink link;
};

static struct ipc__log *
log_of(const struct ipc__half *h)
{
	return &IPC__STATE(h, union file)->log;
}

static struct ipc__filelink *
link_of(const struct ipc__half *h)
{
	return &IPC__STATE(h, union file)->link;
}

/*
 * Opening a journal
 */

static void
log_close(struct ipc__log *l)
{
	if (l->position >= 0)
		close(l->position);
	if (l->notes >= 0)
		close(l->notes);
	l->position = l->notes = -1;
	ipc__journal_free(&l->j);
	free(l->path);
	l->path = NULL;
}

static int
mode_of(const struct ipc__half *h, const struct ipc__address *a)
{
	return O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
	    (h->dir == IPC_RECV ? O_RDONLY : O_RDWR) |
	    (h->dir == IPC_SEND && a->opt.sync ? O_DSYNC : 0);
}

/* All that can fail without a look at the file. */
static int
prepare(struct ipc__half *h, struct ipc__log *l, const struct ipc__address *a)
{
	memset(l, 0, sizeof *l);
	l->position = l->notes = -1;
	l->j.limit = h->record = (size_t)a->opt.max_message;
	l->capacity = h->capacity = (size_t)a->opt.capacity;
	l->path = strdup(a->name);
	return l->path == NULL ? ipc__fail_sys("strdup") : 0;
}

/* Takes the descriptor over. */
static int
start(struct ipc__half *h, struct ipc__log *l, const struct ipc__address *a,
    int fd)
{
	struct stat st;
	int rc;

	l->j.fd = fd;
	if (fstat(fd, &st) == -1)
		rc = ipc__fail_sys("fstat");
	else if (!S_ISREG(st.st_mode))
		rc = ipc__fail(EINVAL, "there is something, but no plain file");
	else
		rc = h->dir == IPC_SEND ? ipc__log_start_writing(l) :
		    ipc__log_start_reading(l, a);
	if (rc == 0)
		h->fd = fd;
	else
		close(fd);
	return rc;
}

static int
open_existing(struct ipc__half *h, const struct ipc__address *a)
{
	int fd, rc;

	rc = ipc__file_kind(a->name);
	if (rc < 0)
		return rc;
	fd = open(a->name, mode_of(h, a));
	return fd == -1 ? ipc__file_failed(a->name) :
	    start(h, log_of(h), a, fd);
}

/* Its name comes last, when nothing is in the way of using it. */
static int
open_new(struct ipc__half *h, const struct ipc__address *a)
{
	struct ipc__new_file file;
	struct ipc__journal j = { 0 };
	int fd = -1, rc;

	rc = ipc__file_make(&file, a->name);
	if (rc < 0)
		return rc;
	j.fd = file.fd;
	rc = ipc__journal_begin(&j);
	if (rc == 0)
		rc = fd = ipc__file_reopen(&file, mode_of(h, a) & ~O_NOFOLLOW);
	if (rc >= 0)
		rc = ipc__file_publish(&file, &a->opt, a->opt.sync);
	ipc__file_drop(&file);
	if (rc == 0)
		return start(h, log_of(h), a, fd);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
check_open(const struct ipc__half *h, const struct ipc__address *a)
{
	if (h->dir == IPC_DUPLEX)
		return ipc__fail(EINVAL, "a journal goes one way: IPC_RECV or "
		    "IPC_SEND");
	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a journal to open needs a path");
	if (h->dir == IPC_SEND && ipc__option_given(a, IPC__KEY_FOLLOW))
		return ipc__fail(EINVAL, "follow= is for those who receive");
	if (h->dir == IPC_RECV && ipc__option_given(a, IPC__KEY_CAPACITY))
		return ipc__fail(EINVAL, "capacity= is for the one who sends");
	return 0;
}

/* As open(2) has it; and a name that comes and goes is tried again. */
static int
open_or_make(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	bool create = flags & IPC_CREATE;
	int i, rc = -ENOENT;

	if (create && flags & IPC_EXCLUSIVE) {
		rc = open_new(h, a);
		return rc == -EEXIST ? ipc__fail(EEXIST, "there is something "
		    "of this name") : rc;
	}
	for (i = 0; i < TRIES; i++) {
		rc = open_existing(h, a);
		if (rc == -ENOENT && create)
			rc = open_new(h, a);
		if (rc != -EEXIST && rc != -ESTALE)
			return rc;
	}
	return ipc__fail(EBUSY, "the name comes and goes");
}

static int
file_open(struct ipc__half *h, const struct ipc__address *a, int flags)
{
	struct ipc__error before;
	int rc;

	ipc__error_keep(&before);
	rc = check_open(h, a);
	if (rc == 0)
		rc = prepare(h, log_of(h), a);
	if (rc < 0)
		return rc;
	rc = open_or_make(h, a, flags);
	if (rc < 0)
		log_close(log_of(h));
	else
		ipc__error_restore(&before);
	return rc;
}

/* What is no journal of ours stays. */
static int
check_journal(const char *path)
{
	struct ipc__journal j = { 0 };
	int rc;

	rc = ipc__file_kind(path);
	if (rc < 0)
		return rc;
	j.fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (j.fd == -1)
		return ipc__file_failed(path);
	rc = ipc__journal_known(&j);
	close(j.fd);
	if (rc == -EPROTO || rc == -EAGAIN)
		return ipc__fail(EPROTO, "this is no journal, and stays");
	return rc == -EBADMSG ? 0 : rc;
}

static int
file_unlink(const struct ipc__address *a)
{
	int rc;

	rc = check_journal(a->name);
	if (rc < 0)
		return rc;
	if (unlink(a->name) == -1)
		return ipc__fail_path("unlink", a->name);
	ipc__positions_remove(a->name);
	return 0;
}

/*
 * Operations, of either kind of half
 */

static int
file_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	return ipc__filelink_pair(a, b, link_of(a), link_of(b), address);
}

static int
file_give(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__filelink_give(h, link_of(h), t);
}

static int
file_take(struct ipc__half *h, struct ipc__ticket *t)
{
	return ipc__filelink_take(h, link_of(h), t);
}

static ssize_t
file_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	unsigned flags = aside != NULL ? aside->flags : 0;

	if (!h->bare)
		return ipc__filelink_send(h, link_of(h), iov, count, flags);
	if (flags != 0)		/* too many parts for one record */
		return ipc__fail(EMSGSIZE, "a message in more pieces than a "
		    "journal takes at once");
	return ipc__log_append(log_of(h), iov, count);
}

static ssize_t
file_peek(struct ipc__half *h, const void **data, unsigned *flags)
{
	*flags = 0;
	return h->bare ? ipc__log_peek(log_of(h), data) :
	    ipc__filelink_peek(h, link_of(h), data, flags);
}

static void
file_release(struct ipc__half *h, unsigned flags)
{
	(void)flags;
	if (h->bare)
		ipc__log_release(log_of(h));
	else
		ipc__filelink_release(link_of(h));
}

static ssize_t
file_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	const unsigned char *from;
	const void *data;
	unsigned flags;
	ssize_t n;
	size_t left, part;

	n = file_peek(h, &data, &flags);
	if (n < 0)
		return n;
	for (from = data, left = (size_t)n; left > 0 && count > 0; iov++,
	    count--) {
		part = iov->iov_len < left ? iov->iov_len : left;
		memcpy(iov->iov_base, from, part);
		from += part;
		left -= part;
	}
	if (left > 0)
		return -EMSGSIZE;
	if (aside != NULL)
		aside->flags = flags;
	file_release(h, 0);
	return n;
}

static int
file_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	const struct ipc__filelink *l = link_of(h);

	if (h->bare && dir == IPC_RECV)
		return ipc__log_watch(log_of(h), fds);
	*fds = (struct pollfd){ h->fd, POLLOUT, 0 };
	if (!h->bare)
		*fds = (struct pollfd){ dir == IPC_RECV ? l->news : l->room,
		    POLLIN, 0 };
	return 1;
}

/* A disk takes what it is given, or fails: sending never waits. */
static int
file_arm(struct ipc__half *h, int dir)
{
	if (h->bare)
		return dir == IPC_RECV ? ipc__log_arm(log_of(h)) : 1;
	return ipc__filelink_arm(h, link_of(h), dir);
}

static size_t
file_pending(const struct ipc__half *h)
{
	if (h->dir == IPC_SEND)
		return 0;
	return h->bare ? ipc__log_pending(log_of(h)) :
	    (size_t)link_of(h)->left;
}

static void
file_close(struct ipc__half *h, bool clean)
{
	if (h->bare && clean && h->dir == IPC_SEND)
		ipc__log_stop_writing(log_of(h));
	if (h->bare)
		log_close(log_of(h));
	else
		ipc__filelink_close(link_of(h));
}

const struct ipc_backend ipc__backend_file = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "file",
		.title = "journal in a plain file",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_OPEN |
		    1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = CAPS_PAIR,
			[IPC_WAY_OPEN] = CAPS_OPEN,
			[IPC_WAY_SESSION] = CAPS_PAIR,
		},
		.direction = IPC_SEND,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__FLAGS | IPC__LIFE | IPC__SILENT | IPC__PATHS,
	.size = sizeof(union file),
	.keys = {
		[IPC_WAY_PAIR] = KEYS_PAIR,
		[IPC_WAY_OPEN] = KEYS_OPEN,
		[IPC_WAY_SESSION] = KEYS_SESSION,
	},
	.pair = file_pair,
	.open = file_open,
	.unlink = file_unlink,
	.give = file_give,
	.take = file_take,
	.send = file_send,
	.recv = file_recv,
	.peek = file_peek,
	.release = file_release,
	.watch = file_watch,
	.arm = file_arm,
	.pending = file_pending,
	.close = file_close,
};
