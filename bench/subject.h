/* SPDX-License-Identifier: ISC */
/*
 * A subject is one thing that carries messages from one process to another and
 * can be measured: a limit of the machine, a bare mechanism of the kernel, a
 * channel of this library, or another library.  It says how a link is made and
 * how messages go through it; what is measured, and how, is in measure.c and
 * the same for all.
 *
 * For every cell of the table a fresh process, side 0, calls prepare, forks
 * side 1, and then both call attach:
 *
 *	side 0				side 1
 *	prepare(link)
 *	fork				.
 *	end = attach(link, 0)		end = attach(link, 1)
 *	send(end, ...)			recv(end, ...)
 *	recv(end, ...)			send(end, ...)
 *	detach(end)			detach(end)
 *					_exit
 *	clean(link)
 *	_exit
 *
 * Both processes are killed if that takes too long, so no call needs a
 * timeout, and what a subject leaves in memory at the end is nobody's loss.
 * Both are pinned to a processor before prepare or attach is called, so
 * threads that a subject starts run beside the caller.
 *
 * A link is two-way: what is one-way by itself comes as two of it.  All
 * messages of one link have the same size, link->size.  Links are independent,
 * and several may be open at once (link->number tells them apart).
 *
 * A peer is one file, bench/peer_NAME.c or .cc, which defines the array
 * peer_NAME of its subjects, with NULL at the end:
 *
 *	static const struct subject pair = { .name = "foo PAIR", ... };
 *	const struct subject *const peer_foo[] = { &pair, NULL };
 *
 * (extern "C" in C++, where SUBJECT_PEERS declares it).  Comments in its first
 * 10 lines, like those of examples/, say what it needs, and it is left out
 * where that is missing: "LIBS: libfoo", packages of pkg-config; "HEADERS:
 * boost/foo.hpp", where there is no .pc file, and "LINK: -lfoo" with it;
 * "PACKAGES: libfoo-dev", what `make setup-bench' installs.
 */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The classes, in the order of the table. */
enum subject_class {
	SUBJECT_LIMIT,		/* of the processors and their memory */
	SUBJECT_RAW,		/* bare calls of the kernel */
	SUBJECT_OURS,		/* this library */
	SUBJECT_PEER		/* another one */
};

/* What is special about one. */
enum subject_trait {
	SUBJECT_SPINS	= 1 << 0, /* a receiver never sleeps */
	SUBJECT_LOSES	= 1 << 1, /* messages may be lost */
	SUBJECT_THREADS	= 1 << 2, /* side 1 is a thread of side 0's process */
	SUBJECT_ALONE	= 1 << 3, /* no side 1: only send is measured */
	SUBJECT_FIXED	= 1 << 4, /* messages of one size, known when it is
				     compiled or made: no length travels */
	SUBJECT_HEAVY	= 1 << 5, /* a link costs so much (a daemon, threads)
				     that there should not be many at once */
	SUBJECT_SLOT	= 1 << 6  /* has room for one message, which the next
				     overwrites: for round trips only */
};

struct subject;
struct subject_work;
struct payload;

/* Declares, in a file of peers, what it defines. */
#define SUBJECT_PEERS(peer)	extern const struct subject *const peer[]

struct link {
	const struct subject	*subject;
	size_t			 size;		/* of every message */
	unsigned		 number;	/* 0, 1, ... of several */
	const char		*directory;	/* a short path, for names; goes
						   with all that is in it */
	char			 name[48];	/* nobody else's; no slash */
	void			*state;		/* the subject's own */
};

/*
 * Functions return 0, a length or a number of messages, or a negative errno
 * (subject_fail() has a text as well).  They wait until it is done; signals are
 * theirs to deal with.  What is optional may be NULL.
 */
struct subject {
	const char		*name;		/* "unix stream" */
	enum subject_class	 kind;
	unsigned		 traits;	/* enum subject_trait */
	size_t			 largest;	/* message; 0: any */
	/* The raw subject of the same kind, to be compared with: NULL: none. */
	const char		*under;
	const void		*parameter;	/* the subject's own */

	/* In side 0, before the fork: what both will need.  Optional. */
	int	(*prepare)(struct link *);
	/* In each: its end.  Both run at once and may wait for each other. */
	int	(*attach)(struct link *, int side, void **end);

	/* One message of link->size bytes.  Either both of send and recv, or
	 * send_many and recv_many, or send and peek are there. */
	int	(*send)(void *end, const void *data, size_t size);
	ssize_t	(*recv)(void *end, void *buffer, size_t size);
	/* Sends what send has held back; called where the sender pauses.
	 * Optional, and most have no use for it. */
	int	(*flush)(void *end);

	/*
	 * Many in one go, as cheaply as it can be done.  Optional.  send_many
	 * sends all of them; recv_many waits for one, takes up to count of what
	 * is there, and returns how many.  Each iovec comes with room for one;
	 * a subject that has the message elsewhere, until the next call, points
	 * iov_base there instead.
	 */
	int	(*send_many)(void *end, const struct iovec *messages,
		    int count);
	int	(*recv_many)(void *end, struct iovec *messages, int count);

	/* Without a copy: room to fill in, then commit; a look at the next
	 * message where it lies, then release.  Optional, each by itself. */
	int	(*reserve)(void *end, void **data, size_t size);
	int	(*commit)(void *end, size_t size);
	ssize_t	(*peek)(void *end, const void **data);
	int	(*release)(void *end);

	/* A descriptor that is readable (level-triggered) when recv would not
	 * wait, for a server with many clients.  Optional. */
	int	(*fd)(void *end);

	/*
	 * For limits only, where calls and vectors would be most of it: count
	 * messages from this number on, the whole way; as many as are there,
	 * up to count, checked where they lie, of which the last one may be
	 * the last of all.
	 */
	int	(*pour)(void *end, const struct payload *, uint64_t number,
		    unsigned count);
	int	(*drain)(void *end, const struct payload *, uint64_t number,
		    unsigned count, bool *last);

	/*
	 * Request and reply.  A subject that has these has none of the above,
	 * and is measured by what is for these only.  Side 0 calls: sends a
	 * request of size bytes, which may be 0, waits for its answer, copies
	 * that to the buffer and returns its length.  Side 1 serves in whatever
	 * loop is natural to it: tells subject_served() of each request, and
	 * answers it with the same bytes; and returns when that was false and
	 * the answer is on its way.  call_many makes so many empty calls,
	 * all of them under way before it waits for an answer; optional.
	 */
	ssize_t	(*call)(void *end, const void *data, size_t size,
		    void *buffer);
	int	(*call_many)(void *end, int count);
	int	(*serve)(void *end, struct subject_work *);

	/* Optional, both. */
	void	(*detach)(void *end);
	void	(*clean)(struct link *);	/* in side 0, at the very end */
};

/* Notes a text for what went wrong, behind which strerror(code) is put;
 * returns -code. */
int subject_fail(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Memory that both sides of a fork share, zeroed, not yet touched; NULL and
 * errno.  It goes when its processes end. */
void *subject_shared(size_t size);

/* A System V queue or segment that must not be left behind if this process is
 * killed: it is removed when the cell has ended. */
void subject_note_queue(int id);
void subject_note_segment(int id);

/* What of /dev/shm begins like this is removed when the cell has ended. */
void subject_note_memory(const char *prefix);

/* A request has come to a server.  False: it is the last one. */
bool subject_served(struct subject_work *, const void *data, size_t size);

/* "DIRECTORY/word.NUMBER", in buffer. */
void subject_path(const struct link *, const char *word, char *buffer,
    size_t size);

/* All that a spinning loop does between two looks. */
static inline void
subject_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield");
#endif
}

#ifdef __cplusplus
}
#endif

#endif
