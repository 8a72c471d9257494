/* SPDX-License-Identifier: ISC */
/*
 * What a mechanism is to the core: a constant table of short operations.
 *
 * An operation never blocks, never loops, never frames and never interprets
 * what it moves: it moves bytes or one record, or says -EAGAIN.  The core
 * (channel.c, the only caller) owns waiting, deadlines, EINTR, framing, pieces,
 * turns, the goodbye and the decision what an end means.  So a new mechanism is
 * one file with one table, and one line in mechanism.c.
 *
 * A `half' is one end of one link.  A pipe has two of them, one that receives
 * and one that sends; a socket's halves go both ways.
 */
#ifndef IPC_LIB_BACKEND_H
#define IPC_LIB_BACKEND_H

#include <poll.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ipc/channel.h>
#include <ipc/mechanism.h>

#include "address.h"
#include "error.h"

/* ipc_backend.traits */
enum ipc__trait {
	IPC__BYTES	= 1 << 0, /* a byte stream; otherwise records */
	IPC__TWOWAY	= 1 << 1, /* a half goes both ways */
	IPC__FLAGS	= 1 << 2, /* a record carries ipc__aside.flags itself;
				     otherwise the core prefixes a byte */
	IPC__PASSES	= 1 << 3, /* ipc__aside.fds go with a record or with the
				     first byte of a send; otherwise they go
				     over the life line */
	IPC__LIFE	= 1 << 4, /* pairs and sessions have a life line: a
				     control socket beside the halves */
	IPC__SILENT	= 1 << 5, /* shows no end by itself: the life line is
				     waited on as well */
	IPC__PATHS	= 1 << 6, /* names are paths */
	IPC__LOCAL_NAME	= 1 << 7, /* a name may be a path or a bare name */
	IPC__SPINS	= 1 << 8, /* looking costs no system call */
	IPC__CONFIRM	= 1 << 10, /* a ticket names what goes with its last
				      holder: whoever takes it confirms that */
	IPC__GATHERS	= 1 << 11, /* a reader that takes a few bytes at a time
				      slows the writer down */
	IPC__INPROC	= 1 << 9  /* lives in one process: no fork, no spawn */
};

/* ipc__aside.flags: of a record whose mechanism has IPC__FLAGS, and of commit
 * and release. */
enum ipc__flag {
	IPC__MORE	= 1 << 0, /* pieces of the same message follow */
	IPC__CONTROL	= 1 << 1, /* from core to core */
	IPC__HOLD	= 1 << 2, /* do not publish yet: more come at once */
	IPC__PART	= 1 << 3  /* with MORE, as peek tells it: the rest of
				     this very record lies behind it in memory
				     as soon as it is there, which waits for
				     nobody who receives */
};

/* What goes beside the bytes of one record.  A backend touches only what its
 * traits and capabilities speak of. */
struct ipc__aside {
	unsigned	 flags;
	unsigned	 priority;
	int		*fds;		/* recv: room */
	unsigned	 fd_count;	/* recv: room in, number out */
	bool		 lost;		/* recv: there was no room or no free
					   descriptor for all of them */
	void		*address;	/* recv: room */
	size_t		 address_size;	/* recv: room in, length out */
};

/* How the other end of a half gets to another process: descriptors, and up to
 * 64 bytes that say the rest.  take() consumes in the order of give(). */
#define IPC__TICKET_FDS		8
#define IPC__TICKET_BYTES	64
struct ipc__half;
struct ipc__ticket {
	int		fds[IPC__TICKET_FDS];
	unsigned	fd_count;
	unsigned	fd_next;	/* take(): the first not consumed */
	unsigned char	bytes[IPC__TICKET_BYTES];
	size_t		size;
	size_t		next;		/* take(): the first not consumed */
	/* take(): the half that the other ticket of this link has become; NULL:
	 * there is none yet. */
	const struct ipc__half *beside;
	/* take(): the socket that it came over, by which the kernel says from
	 * whom; or no socket. */
	int		control;
};

struct ipc_backend;

struct ipc__half {
	const struct ipc_backend *be;
	int		fd;	  /* the data descriptor, or -1.  The core
				     closes it after be->close */
	int		dir;	  /* IPC_RECV, IPC_SEND or both; set by the core
				     before an operation makes the half */
	unsigned	refs;	  /* the core's: sides that use it */
	bool		bare;	  /* opened: the object itself, nothing of ours
				     in the records */
	bool		adopted;  /* its descriptor's flags are another's, and
				     must be neither changed nor relied on */
	bool		stream;	  /* boundary=stream */
	bool		refused;  /* the other end was offered, and nobody has
				     taken it nor will */
	bool		left;	  /* the other end says that it is closed: the
				     core asks before it sends again */
	size_t		record;	  /* largest record; of a byte stream, what one
				     send takes whole when the half is ready */
	size_t		room;	  /* largest record that may come, where that
				     is more than it sends; 0: record */
	size_t		atomic;	  /* byte streams: a send up to here is taken
				     whole or not at all (0: never sure) */
	size_t		capacity; /* bytes under way; 0: not known */
	_Atomic uint64_t wakes;	  /* bells rung at the other side: written by
				     the half's thread, read by ipc_stats */
	const _Atomic uint64_t *answers; /* the core's count of messages that
				     go the other way on its channel; NULL */
	alignas(16) unsigned char state[]; /* be->size bytes, zeroed */
};

/*
 * Designated initialisers, in this order.  Returns are 0, a count or a negative
 * errno; errors of calls that make something are reported with ipc__fail() or
 * ipc__fail_sys() (address and call are put before the text by the core);
 * -EAGAIN and the end are plain returns.  A NULL operation means what its
 * comment says.  An operation that fails leaves the half as it was, closed.
 */
struct ipc_backend {
	/* What users see.  mechanism.caps must be true: the conformance suite
	 * holds every cell to them. */
	struct ipc_mechanism mechanism;

	unsigned	 traits;	/* enum ipc__trait */
	size_t		 size;		/* of the state behind a half */
	const char	*limit;		/* what bounds a record, for texts */
	uint32_t	 keys[IPC_WAYS];/* options that each way honours:
					   1 << enum ipc__key */
	/* Schemes that this one chooses from, best first, NULL at the end; then
	 * nothing below is set. */
	const char *const *choices;

	/*
	 * Making
	 */

	/* Two ends of one link; a->dir and b->dir are set (IPC_RECV and
	 * IPC_SEND, or both ways each).  The address may have no name. */
	int (*pair)(struct ipc__half *a, struct ipc__half *b,
	    const struct ipc__address *);
	/* Two links at once, where that costs less: h[0] receives what h[1]
	 * sends, and h[2] what h[3] sends; an end of the first is given and
	 * taken before one of the second.  -EFBIG: they are too large together
	 * and may not be so one by one.  NULL: they are made one by one. */
	int (*pair_both)(struct ipc__half *h[4], const struct ipc__address *);

	/* The named object itself, in direction h->dir.  NULL: no such way. */
	int (*open)(struct ipc__half *h, const struct ipc__address *,
	    int flags);

	/* Removes the named object (not a meeting point).  NULL: no name. */
	int (*unlink)(const struct ipc__address *);
	/* Is there an object that open would find, whether we may or not?
	 * NULL: its name is a path, and there the kernel tells. */
	bool (*exists)(const struct ipc__address *);

	/* Native sessions.  listen: h->fd becomes a listening descriptor.
	 * accept: -EAGAIN when nobody is there.  connect: may answer
	 * -EINPROGRESS, then `connected' is asked when h->fd polls writable.
	 * NULL: sessions go through the control socket. */
	int (*listen)(struct ipc__half *h, const struct ipc__address *);
	int (*accept)(struct ipc__half *h, struct ipc__half *listener);
	int (*connect)(struct ipc__half *h, const struct ipc__address *,
	    int timeout);
	int (*connected)(struct ipc__half *h);
	/* The address that others can connect to. */
	int (*where)(const struct ipc__half *listener, char *buffer,
	    size_t size);

	/* Checks that a foreign descriptor is of this kind, and takes it; one
	 * half per direction unless IPC__TWOWAY.  listening: a listener's.
	 * NULL: -EOPNOTSUPP. */
	int (*adopt)(struct ipc__half *h, int fd, bool listening);

	/* Writes into the ticket what another process needs to be this end;
	 * the descriptors stay the half's.  NULL: h->fd. */
	int (*give)(struct ipc__half *h, struct ipc__ticket *);
	/* Becomes the end that the ticket tells of; owns the descriptors that
	 * it takes (sets them to -1 there).  Trusts nothing in it.
	 * NULL: h->fd. */
	int (*take)(struct ipc__half *h, struct ipc__ticket *);
	/* After give(): the process that will take it, which may be after our
	 * own end is closed.  NULL: nothing to do. */
	void (*passed)(struct ipc__half *h, pid_t pid);
	/* The other process has it now: forget it without removing anything.
	 * NULL: the same as close. */
	void (*given)(struct ipc__half *h);

	/*
	 * Moving
	 */

	/* Byte streams: bytes taken, at least 1.  Records: one record, the
	 * iovecs together; returns its size.  -EAGAIN: no room now.  -EPIPE:
	 * nobody is left to receive.  aside may be NULL. */
	ssize_t (*send)(struct ipc__half *h, const struct iovec *iov,
	    int count, const struct ipc__aside *aside);
	/* Byte streams: bytes, 0 at the end.  Records: one whole record, its
	 * size (the core gives room for the largest), -EPIPE at the end,
	 * -EMSGSIZE if the
	 * iovecs are too small and it was kept.  -EAGAIN: nothing there now.
	 * aside may be NULL: then descriptors are closed on arrival. */
	ssize_t (*recv)(struct ipc__half *h, const struct iovec *iov,
	    int count, struct ipc__aside *aside);

	/* The short ways of one small record that is in no way special: sent,
	 * or received into a buffer (its size; -1: nothing there); false or -2
	 * where it is not so small or it can not be at once, and then nothing
	 * was touched.
	 * NULL: there is no shorter way. */
	bool (*put)(struct ipc__half *h, const void *data, size_t size);
	ssize_t (*get)(struct ipc__half *h, void *buffer, size_t room);
	/* get, with so many looks, where one costs no system call. */
	ssize_t (*await)(struct ipc__half *h, void *buffer, size_t room,
	    unsigned looks);
	/* The same of several, each of at most `most' bytes: how many. */
	int (*put_many)(struct ipc__half *h, const struct iovec *messages,
	    int count, size_t most);
	int (*get_many)(struct ipc__half *h, struct iovec *messages,
	    int count, size_t most);

	/* In place (records with IPC__FLAGS; without reserve and commit only
	 * receiving is, without publish nothing is ever held).  reserve: room
	 * for one record of up to size; -EAGAIN.  commit: makes the first size
	 * bytes a record.  peek: the next record, its size; -EAGAIN, -EPIPE;
	 * again and again the same one.  release: takes it.  publish: shows
	 * what was held with IPC__HOLD.  A reservation is dropped by not
	 * committing it. */
	int (*reserve)(struct ipc__half *h, void **data, size_t size);
	int (*commit)(struct ipc__half *h, size_t size, unsigned flags);
	ssize_t (*peek)(struct ipc__half *h, const void **data,
	    unsigned *flags);
	void (*release)(struct ipc__half *h, unsigned flags);
	void (*publish)(struct ipc__half *h, int dir);

	/*
	 * Waiting
	 */

	/* The descriptors that show readiness in one direction: writes at most
	 * 2, returns how many; 0: has none (-EOPNOTSUPP for ipc_fd, and the
	 * core waits at growing intervals).  NULL: h->fd, POLLIN or POLLOUT. */
	int (*watch)(const struct ipc__half *h, int dir, struct pollfd *fds);
	/* The core found nothing and is about to wait: put the descriptors of
	 * watch() out and have the other side ring them.  1: something came
	 * meanwhile, look again; 0: it is safe to wait.  NULL: the kernel's
	 * descriptors do that by themselves. */
	int (*arm)(struct ipc__half *h, int dir);
	/* Is that how it is still, as far as can be known without a system
	 * call: armed, and nothing there?  Once descriptors have shown anything
	 * arm() is asked.  NULL: that is not known. */
	bool (*armed)(struct ipc__half *h, int dir);
	/* Armed: when a receiver wants to be armed anew, though nothing comes
	 * (monotonic ns), as there is memory to give back; or -1.  NULL:
	 * never. */
	int64_t (*calm)(const struct ipc__half *h);
	/* Notes on which processor we are, and says whether the other side
	 * was last seen on the same one.  NULL: that is not known. */
	bool (*beside)(struct ipc__half *h);
	/* The core is awake again and needs no ringing.  NULL: nothing. */
	void (*disarm)(struct ipc__half *h, int dir);
	/* A call that does not wait found nothing, and nobody asked for the
	 * descriptors of watch(): true if the end had come before this look;
	 * then recv or peek tells.  NULL: they, or the life line, tell by
	 * themselves. */
	bool (*over)(struct ipc__half *h);
	/* wait=block, no deadline, and nothing to watch: the kernel's own
	 * blocking call, until something may have come or gone; a send that
	 * found no room is made by it.  0: look again; -EINTR likewise.
	 * NULL: growing intervals. */
	int (*block)(struct ipc__half *h, int dir);

	/*
	 * Ending
	 */

	/* An opened half met the end of all its senders: get ready for the
	 * next one, return 1 if h->fd is another object now; or IPC__TOLD.
	 * NULL: 0. */
	int (*again)(struct ipc__half *h);
#define IPC__TOLD	2	/* that end was told before: only somebody who
				   had not become a sender yet has gone */
	/* One direction of a two-way half.  NULL: closing the half does it. */
	int (*shutdown)(struct ipc__half *h, int dir);
	/* Makes room for what this process still wants to say before it closes
	 * (a few dozen bytes), without waiting.  NULL: as it is. */
	void (*stretch)(struct ipc__half *h, size_t more);
	/* Messages of this size go through: size buffers, within
	 * capacity=.  NULL: nothing. */
	void (*expect)(struct ipc__half *h, size_t size);
	/* What is in the kernel for us and not yet received ends with these
	 * bytes (or is this control record).  NULL: false. */
	bool (*ends_with)(struct ipc__half *h, const void *tail, size_t size);
	/* Who made the other end.  NULL: the life line knows, or nobody. */
	int (*peer)(const struct ipc__half *h, struct ipc_peer *);
	/* Bytes that lie unread in the mechanism.  NULL: 0. */
	size_t (*pending)(const struct ipc__half *h);
	/* Frees all but h->fd and h itself.  clean: this process ends this end,
	 * and may remove names; otherwise a copy lives elsewhere.  NULL:
	 * nothing to do. */
	void (*close)(struct ipc__half *h, bool clean);
};

/* A backend's state, behind its half. */
#define IPC__STATE(half, type)	((type *)(void *)(half)->state)
/* And the half before its state. */
#define IPC__HALF(behind)	((struct ipc__half *)(void *)		\
	((unsigned char *)(behind) - offsetof(struct ipc__half, state)))

#endif
