/* SPDX-License-Identifier: ISC */
/*
 * The readers of a journal.  Each goes its own way; nobody counts them, and no
 * writer waits for them.
 *
 * A reader at the end sleeps on inotify.  It first forgets what inotify has
 * told, then looks: so what comes after the look rings, and what came before
 * is seen.  Where there is no inotify, or where it does not tell of other
 * machines, it looks from time to time.
 *
 * A file that was removed, replaced, cut or begun anew is noticed by the one
 * who finds nothing more in it: then waiting would be for ever.
 */
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journallog.h"
#include "journalpos.h"

/* Not in every <linux/magic.h>. */
#define CIFS_MAGIC	0xff534d42
#define SMB2_MAGIC	0xfe534d42
#define FUSE_MAGIC	0x65735546
#define NINE_P_MAGIC	0x01021997
#define CEPH_MAGIC	0x00c36400

#define NO_INOTIFY	(-2)

/*
 * Where to begin
 */

/* Where the position says; but a disk that lost the last records when the
 * machine stopped may be shorter than what was read of it before. */
static int
begin_at_position(struct ipc__log *l, uint64_t size)
{
	uint64_t at;
	bool torn;
	int rc;

	rc = ipc__position_get(l->position, l->j.id, &at);
	if (rc < 0)
		return rc;
	if (at > size)
		return ipc__journal_end(&l->j, size, &torn);
	if (at >= IPC__JOURNAL_HEADER)
		l->j.at = at;
	return ipc__position_put(l->position, l->j.id, l->j.at);
}

/* Once there is a header. */
static int
begin(struct ipc__log *l)
{
	struct stat st;
	bool torn;
	int rc;

	rc = ipc__journal_known(&l->j);
	if (rc < 0)
		return rc;
	if (fstat(l->j.fd, &st) == -1)
		return ipc__fail_sys("fstat");
	l->j.at = IPC__JOURNAL_HEADER;
	if (l->position != -1)
		rc = begin_at_position(l, (uint64_t)st.st_size);
	else if (l->from_end)
		rc = ipc__journal_end(&l->j, (uint64_t)st.st_size, &torn);
	l->known = rc == 0;
	return rc;
}

int
ipc__log_start_reading(struct ipc__log *l, const struct ipc__address *a)
{
	int rc;

	l->follow = a->opt.follow;
	l->from_end = a->opt.from_end;
	if (a->opt.follow_name != NULL) {
		rc = ipc__position_open(l->path, a->opt.follow_name, l->j.fd,
		    a->opt.mode, a->opt.sync);
		if (rc < 0)
			return rc;
		l->position = rc;
	}
	rc = begin(l);
	return rc == -EAGAIN ? 0 : rc;
}

/*
 * Looking
 */

/* Is it still the journal that was opened?  What can not be found out is. */
static bool
is_lost(const struct ipc__log *l)
{
	struct ipc__journal now = { .fd = l->j.fd };
	struct stat ours, named;

	if (fstat(l->j.fd, &ours) == -1)
		return false;
	if (ours.st_nlink == 0 || (l->known &&
	    (uint64_t)ours.st_size < l->j.at))
		return true;
	if (stat(l->path, &named) == -1)
		return errno == ENOENT || errno == ENOTDIR;
	if (named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
		return true;
	return l->known && ipc__journal_known(&now) == 0 &&
	    now.id != l->j.id;
}

/* The next record, if there is one; errors without a text. */
static int
look(struct ipc__log *l)
{
	ssize_t n;
	int rc;

	if (l->shown)
		return 0;
	if (!l->known && (rc = begin(l)) < 0)
		return rc;
	n = ipc__journal_look(&l->j, &l->data, &l->r);
	if (n < 0)
		return (int)n;
	if (l->r.flags != 0)
		return -EBADMSG;	/* nobody writes such into a journal */
	l->shown = true;
	return 0;
}

static int
explain(struct ipc__log *l, int rc)
{
	if (rc == -EBADMSG && l->known && is_lost(l))
		rc = -ESTALE;
	if (!l->known && rc != -ESTALE)
		return rc;	/* begin() has told */
	switch (rc) {
	case -ESTALE:
		return ipc__fail(ESTALE, "the journal was removed, replaced or "
		    "cut; all was read that there is up to byte %" PRIu64,
		    l->j.at);
	case -EBADMSG:
		return ipc__fail(EBADMSG, "the journal is damaged: there is no "
		    "whole record at byte %" PRIu64, l->j.at);
	case -EMSGSIZE:
		return ipc__fail(EMSGSIZE, "a message of %" PRIu32 " bytes at "
		    "byte %" PRIu64 " of the journal exceeds %zu "
		    "(max-message)", l->r.length, l->j.at, l->j.limit);
	case -ENOMEM:
		return ipc__fail(ENOMEM, "no memory for a message of the "
		    "journal");
	}
	return ipc__fail(-rc, "reading the journal: %s", ipc_strerror(rc));
}

ssize_t
ipc__log_peek(struct ipc__log *l, const void **data)
{
	int rc;

	if (l->failed < 0)
		return ipc__fail(-l->failed, "the position can not be kept: %s",
		    ipc_strerror(l->failed));
	rc = look(l);
	if (rc == 0) {
		*data = l->data;
		return (ssize_t)l->r.length;
	}
	if (rc != -EAGAIN)
		return explain(l, rc);
	if (!l->follow)
		return -EPIPE;
	return l->lost ? explain(l, -ESTALE) : -EAGAIN;
}

void
ipc__log_release(struct ipc__log *l)
{
	int rc;

	if (!l->shown)
		return;
	l->shown = false;
	ipc__journal_step(&l->j, &l->r);
	if (l->position == -1)
		return;
	rc = ipc__position_put(l->position, l->j.id, l->j.at);
	if (rc < 0)
		l->failed = rc;
}

/*
 * Waiting
 */

/* Others may write there whom our kernel does not see. */
static bool
is_shared(int fd)
{
	static const unsigned long kinds[] = { NFS_SUPER_MAGIC,
	    SMB_SUPER_MAGIC, CIFS_MAGIC, SMB2_MAGIC, FUSE_MAGIC,
	    NINE_P_MAGIC, CEPH_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC };
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs) == -1)
		return true;
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if ((uint32_t)fs.f_type == kinds[i])
			return true;
	return false;
}

/* The file that is open, whatever its name is now. */
static int
add_watch(int notes, const struct ipc__log *l)
{
	const uint32_t events = IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF |
	    IN_DELETE_SELF;
	char proc[32];

	snprintf(proc, sizeof proc, "/proc/self/fd/%d", l->j.fd);
	if (inotify_add_watch(notes, proc, events) != -1)
		return 0;
	if (inotify_add_watch(notes, l->path, events | IN_DONT_FOLLOW) == -1)
		return -1;
	return is_lost(l) ? -1 : 0;
}

static void
need_notes(struct ipc__log *l)
{
	if (l->notes != -1)
		return;
	l->notes = is_shared(l->j.fd) ? -1 :
	    inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->notes != -1 && add_watch(l->notes, l) == 0)
		return;
	if (l->notes != -1)
		close(l->notes);
	l->notes = NO_INOTIFY;
}

static void
forget_notes(const struct ipc__log *l)
{
	char events[4096];

	while (l->notes >= 0 && read(l->notes, events, sizeof events) > 0)
		;
}

int
ipc__log_watch(struct ipc__log *l, struct pollfd *fds)
{
	/* It never waits: a plain file is always ready. */
	if (!l->follow) {
		*fds = (struct pollfd){ l->j.fd, POLLIN, 0 };
		return 1;
	}
	need_notes(l);
	if (l->notes < 0)
		return 0;
	*fds = (struct pollfd){ l->notes, POLLIN, 0 };
	return 1;
}

int
ipc__log_arm(struct ipc__log *l)
{
	struct ipc__error before;
	int rc;

	if (l->shown || !l->follow || l->failed < 0)
		return 1;
	need_notes(l);
	forget_notes(l);
	ipc__error_keep(&before);
	rc = look(l);
	l->lost = rc == -EAGAIN && is_lost(l);
	ipc__error_restore(&before);
	return rc != -EAGAIN || l->lost;
}

size_t
ipc__log_pending(const struct ipc__log *l)
{
	struct stat st;

	if (!l->known || fstat(l->j.fd, &st) == -1 ||
	    (uint64_t)st.st_size <= l->j.at)
		return 0;
	return (size_t)((uint64_t)st.st_size - l->j.at);
}
