/* SPDX-License-Identifier: ISC */
/*
 * What the files of the core share: a channel is two sides, one that receives
 * and one that sends, each over a half of some mechanism.  A two-way socket is
 * one half that both sides use; a two-way channel over pipes has two halves; a
 * joined channel has one of each kind.
 *
 * One thread may be on each side, so a side's fields belong to its thread, and
 * what both touch is atomic or in the life line, which has a lock of its own.
 */
#ifndef IPC_LIB_CORE_H
#define IPC_LIB_CORE_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ipc/ipc.h>

#include "address.h"
#include "backend.h"
#include "error.h"
#include "frame.h"
#include "life.h"

#define ipc__likely(x)		__builtin_expect(!!(x), 1)
#define ipc__unlikely(x)	__builtin_expect(!!(x), 0)

/* Counters that one thread writes and any may read. */
#define ipc__count(counter, n)						\
	atomic_store_explicit(&(counter),				\
	    atomic_load_explicit(&(counter), memory_order_relaxed) + (n),\
	    memory_order_relaxed)

#define IPC__SENDER_MAX	128	/* bytes of the address of a message's sender */
#define IPC__SOURCES	6	/* descriptors to look at, of one side */

/* What makes a side pollable and wakeable. */
struct ipc__ready {
	int		epoll;		/* -1: ipc_fd was never asked for */
	bool		watched;	/* somebody may be waiting on it */
	_Atomic int	bell;		/* eventfd, -1: nobody ever slept */
	bool		rung;		/* the bell says: come, there is work */
	_Atomic bool	woken;		/* ipc_wake was ever used */
	_Atomic bool	cancel;		/* the mark of ipc_wake */
	unsigned	crowded;	/* waits to come that do not yield */
	uint64_t	sent;		/* bytes, before the last wait */
	unsigned	resting;	/* waits to come that do not spin: looks
					   are calls, and were in vain */
	unsigned	cold;		/* so many times in a row */
	bool		looked;		/* the last wait did, not in vain */
	int64_t		slept;		/* in the last wait, ns; 0: not */
	unsigned	skip, patience;	/* sleeps until a longer spin is tried,
					   and how many there were */
	int		beside;		/* what else ends a wait, -1: nothing */
	struct pollfd	sources[IPC__SOURCES];	/* what the epoll set holds */
	unsigned	count;
};

struct ipc__in {
	_Atomic bool	 plain;		/* quick.h: as it was found last */
	struct ipc__half *half;		/* NULL: this channel only sends */
	struct ipc__life *life;
	struct ipc__ready ready;
	size_t		limit;		/* longest message */
	bool		quick;		/* quick.c may try */
	ssize_t		 (*get)(struct ipc__half *, void *, size_t);
					/* the mechanism's short way */
	ssize_t		 (*await)(struct ipc__half *, void *, size_t,
			     unsigned);	/* and to look on */
	bool		framed;		/* frames on a byte stream */
	bool		tagged;		/* records begin with a byte of ours */
	bool		exact;		/* never read ahead of need */
	bool		large;		/* the last message was */
	bool		busy;		/* stopped early: look again at once */
	unsigned	vain;		/* first looks in a row that found
					   nothing */
	unsigned	scans;		/* looks in a row without waiting that
					   found nothing, */
	int64_t		scanned;	/* the last that asked the life line */
	bool		spun;		/* before it went the long way */
	bool		outlives;	/* an opened object: its end is not
					   final */

	/* A byte stream is read ahead; a record's overhang lies here too. */
	unsigned char	*ahead;
	size_t		 pos, fill, ahead_size;
	struct ipc__frame frame;	/* the one under way */
	int64_t		 read_at;	/* when that was */
	uint64_t	 sent_then;	/* messages */
	int		 dense;		/* such reads that brought little, one
					   soon after the other; below 0: to
					   come before they are counted */
	bool		gathered;	/* the next one was waited with */

	/* The message that is being put together, at base: in the caller's
	 * buffer (lent), or in our own. */
	unsigned char	*base;
	size_t		 room, len;
	bool		 lent;
	unsigned char	*own;
	size_t		 own_size;
	const unsigned char *view;	/* or it is in place: one record */
	bool		 whole;		/* it is complete */
	bool		 shown;		/* and ipc_peek has shown it */
	size_t		 off;		/* boundary=stream: taken of it */
	unsigned	 priority;
	unsigned char	*address;	/* of its sender; made when needed */
	size_t		 address_size;

	/* Its descriptors, and those that came ahead of their control frame. */
	struct ipc__batch *arrived[IPC__LIFE_BATCHES];
	struct ipc__batch *with;	/* NULL: never any */
	unsigned	 fd_count;	/* in there, not yet given away */
	bool		 fds_lost;

	int		 end;		/* 0, or the code of the end */
	int		 untold;	/* an end that passes, to be told yet */
	_Atomic int	 bye;		/* directions that the other side said
					   goodbye to */
	int64_t		 nap;		/* how long the last doze was, ns */
	pthread_mutex_t	 lock;		/* threads=many */
	_Atomic uint64_t messages, bytes, sleeps;
};

/* What was promised to the stream and not yet written. */
struct ipc__debt {
	unsigned char	head[4];	/* the rest of a begun header */
	unsigned	head_left;
	size_t		zeros;		/* the rest of a piece given up */
	unsigned char	control[4][IPC__CONTROL_FRAME];
	unsigned	count;		/* control frames behind it */
	unsigned	off;		/* of the first, written */
};

struct ipc__out {
	_Atomic bool	plain;		/* quick.h: as it was found last */
	struct ipc__half *half;		/* NULL: this channel only receives */
	struct ipc__life *life;
	struct ipc__ready ready;
	size_t		limit;
	size_t		piece;		/* payload of a piece or record */
	size_t		quick;		/* quick.c may try up to this size */
	bool		(*put)(struct ipc__half *, const void *, size_t);
					/* the mechanism's short way */
	bool		framed, tagged;

	/* The message that is under way. */
	bool		begun;
	bool		fds_gone;	/* its descriptors are already sent */
	bool		road_full;	/* the life line has no room for them */
	size_t		total;
	size_t		done;		/* of its wire image, or payload */
	pthread_t	owner;		/* who began it (threads=many) */
	struct ipc__debt debt;
	uint32_t	fd_serial;

	unsigned char	*own;		/* reservations without a ring */
	size_t		 own_size;
	bool		 reserved;
	bool		 in_place;	/* the reservation is the ring's */
	size_t		 reserved_size;
	unsigned char	*batch;		/* sendmany on byte streams */
	unsigned	 look_in;	/* sends until the life line is seen */

	bool		 shut;		/* ipc_shutdown */
	bool		 outlives;	/* an opened object: others may come */
	int		 end;
	int64_t		 nap;
	pthread_mutex_t	 lock;		/* threads=many, duplex=half */
	_Atomic uint64_t messages, bytes, sleeps;
};

/* On a mechanism that shows no end by itself, the sender looks at the life line
 * every so many sends; less often where a send makes no system call. */
#define IPC__LOOK_EVERY		63
#define IPC__LOOK_EVERY_SPIN	511

struct ipc__greet;

struct ipc_channel {
	struct ipc__in	 in;
	struct ipc__out	 out;
	const struct ipc_backend *be;	/* what really carries it */
	struct ipc__address address;
	enum ipc_way	 way;
	int		 dir;
	int		 boundary;
	unsigned	 caps;
	bool		 half_duplex;
	bool		 many;
	bool		 answers;	/* opened to receive: can send to an
					   address all the same */
	bool		 joined;	/* its sides have two other ends */
	int		 shut;		/* directions that were shut down */
	_Atomic bool	 turn;
	_Atomic int	 gone;		/* the receiving side met the end of the
					   whole other side: its code */
	_Atomic unsigned used;		/* ipc__forks when last used */
	unsigned	 process;	/* ipc__process when last used */
	_Atomic(struct ipc__greet *) greet; /* connecting */
	pthread_mutex_t	 greeting;	/* who brings that forward */
	_Atomic unsigned greeters;	/* who sleeps until it goes on */
	unsigned char	*offer;		/* udp: to be said again; or NULL */
	struct ipc_peer	 peer;		/* struct_size 0: not known */
};

/*
 * channel.c
 */
struct ipc__half *ipc__half_new(const struct ipc_backend *be, int dir);
void ipc__half_free(struct ipc__half *h, bool clean);
/* A channel of this address, with nothing attached; takes the address over. */
int ipc__channel_new(struct ipc_channel **ch, struct ipc__address *address,
    enum ipc_way way, int flags, int default_boundary);
/* Gives it its halves (either may be NULL, both may be one) and life line. */
void ipc__channel_attach(struct ipc_channel *ch, struct ipc__half *rx,
    struct ipc__half *tx, struct ipc__life *life);
void ipc__channel_free(struct ipc_channel *ch, bool clean);
/* Entry of every call: forked, connecting?  0, or why not. */
int ipc__enter_slow(struct ipc_channel *ch);
bool ipc__clean(const struct ipc_channel *ch);
int ipc__shut_send(struct ipc_channel *ch);
int ipc__shut_recv(struct ipc_channel *ch);
/* -EBADF: this channel does not go that way. */
int ipc__wrong_way(const struct ipc_channel *ch, int direction);
/* Half-duplex: would ipc_turn or a receive say something at once? */
bool ipc__turn_ready(const struct ipc_channel *ch);

/* The operations of backends, with what NULL means; the only callers. */
int ipc__be_pair(const struct ipc_backend *be, struct ipc__half *a,
    struct ipc__half *b, const struct ipc__address *address);
int ipc__be_open(struct ipc__half *h, const struct ipc__address *a, int flags);
int ipc__be_unlink(const struct ipc__address *a);
bool ipc__be_exists(const struct ipc__address *a);
bool ipc__be_native(const struct ipc_backend *be);
int ipc__be_listen(struct ipc__half *h, const struct ipc__address *a);
int ipc__be_accept(struct ipc__half *h, struct ipc__half *listener);
int ipc__be_connect(struct ipc__half *h, const struct ipc__address *a,
    int timeout);
int ipc__be_connected(struct ipc__half *h);
int ipc__be_where(const struct ipc__half *h, char *buffer, size_t size);
int ipc__be_adopt(struct ipc__half *h, int fd, bool listening);
int ipc__be_pair_both(const struct ipc_backend *be, struct ipc__half *h[4],
    const struct ipc__address *address);
int ipc__be_give(struct ipc__half *h, struct ipc__ticket *t);
int ipc__be_take(struct ipc__half *h, struct ipc__ticket *t);
void ipc__be_passed(struct ipc__half *h, pid_t pid);
void ipc__be_given(struct ipc__half *h);
ssize_t ipc__be_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside);
ssize_t ipc__be_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside);
int ipc__be_put_many(struct ipc__half *h, const struct iovec *messages,
    int count, size_t most);
int ipc__be_get_many(struct ipc__half *h, struct iovec *messages, int count,
    size_t most);
int ipc__be_reserve(struct ipc__half *h, void **data, size_t size);
int ipc__be_commit(struct ipc__half *h, size_t size, unsigned flags);
ssize_t ipc__be_peek(struct ipc__half *h, const void **data, unsigned *flags);
void ipc__be_release(struct ipc__half *h, unsigned flags);
void ipc__be_publish(struct ipc__half *h, int dir);
int ipc__be_watch(const struct ipc__half *h, int dir, struct pollfd *fds);
int ipc__be_arm(struct ipc__half *h, int dir);
int64_t ipc__be_calm(const struct ipc__half *h);
int ipc__be_beside(struct ipc__half *h);
void ipc__be_disarm(struct ipc__half *h, int dir);
bool ipc__be_armed(struct ipc__half *h, int dir);
bool ipc__be_over(struct ipc__half *h);
int ipc__be_block(struct ipc__half *h, int dir);
int ipc__be_again(struct ipc__half *h);
int ipc__be_shutdown(struct ipc__half *h, int dir);
void ipc__be_stretch(struct ipc__half *h, size_t more);
void ipc__be_expect(struct ipc__half *h, size_t size);
bool ipc__be_ends_with(struct ipc__half *h, const void *tail, size_t size);
int ipc__be_peer(const struct ipc__half *h, struct ipc_peer *peer);
size_t ipc__be_pending(const struct ipc__half *h);
bool ipc__be_in_place(const struct ipc__half *h);

/*
 * recv.c
 */
/* Has one message whole, waiting for it.  buffer: where it may be put at once,
 * or NULL. */
int ipc__receive(struct ipc_channel *ch, void *buffer, size_t size,
    int timeout);
/* The same without waiting and without reading a clock. */
int ipc__fetch(struct ipc_channel *ch);
/* Takes small messages out of what a byte stream was read ahead; how many. */
int ipc__frames_ahead(struct ipc_channel *ch, struct iovec *messages,
    int count);
/* The message was taken. */
void ipc__taken(struct ipc_channel *ch);
/* Would a receive get on without anything new from the kernel? */
bool ipc__in_ready(const struct ipc_channel *ch);
/* The code of the end of a side's other end, decided by what was said. */
int ipc__end_code(struct ipc_channel *ch, int dir);
/* A whole message stays for the next call, though rc < 0 is returned; it
 * leaves the caller's buffer.  Returns rc. */
int ipc__keep(struct ipc_channel *ch, int rc);
/* boundary=stream over bytes. */
ssize_t ipc__read_raw(struct ipc_channel *ch, const struct iovec *iov,
    int timeout);
void ipc__in_free(struct ipc__in *in);

/*
 * quick.c
 */
size_t ipc__quick_max(const struct ipc_channel *ch);

/*
 * send.c
 */
/* Writes what is owed to the stream: 0, -EAGAIN, or the end. */
int ipc__settle(struct ipc_channel *ch);
/* The same from a receive, which in half-duplex may have a turn to bring. */
void ipc__settle_turn(struct ipc_channel *ch);
/* A control frame or record behind all that was sent. */
int ipc__owe(struct ipc_channel *ch, unsigned kind, unsigned arg,
    uint32_t value);
/* The turn, which whatever waits next brings if it does not go now. */
int ipc__owe_turn(struct ipc_channel *ch);
/* At close: says goodbye, in band or by the life line, without waiting. */
void ipc__goodbye(struct ipc_channel *ch, int dirs);
/* One message of total bytes.  msg: what goes beside it, or NULL. */
int ipc__transmit(struct ipc_channel *ch, const struct iovec *iov, int count,
    size_t total, const struct ipc_msg *msg, int timeout);
/* Several small ones in one call, as far as they are taken at once: how many,
 * 0 if that does not apply here. */
int ipc__batch(struct ipc_channel *ch, const struct iovec *messages,
    int count);
/* In place: waits for room, and sends it. */
int ipc__reserve(struct ipc_channel *ch, void **data, size_t size,
    int timeout);
int ipc__commit(struct ipc_channel *ch, size_t size);
/* boundary=stream: as much as is taken, at least a byte. */
ssize_t ipc__write_raw(struct ipc_channel *ch, const struct iovec *iov,
    int timeout);
/* The message that was begun is given up. */
int ipc__give_up(struct ipc_channel *ch);
void ipc__out_free(struct ipc__out *out);

/*
 * ready.c
 */
/* What a wait in this direction must look at: how many. */
int ipc__sources(struct ipc_channel *ch, int dir, struct pollfd *fds);
/* Waits for one of them, the bell, or the deadline.  0: look again;
 * -ETIMEDOUT. */
int ipc__wait(struct ipc_channel *ch, int dir, int64_t deadline);
/* Spinning before sleeping, where looking is cheap and it has paid off, and no
 * longer than to the deadline: while (ipc__spin_more(&s)) look. */
struct ipc__spin {
	int64_t		until, yields;
	unsigned	count;
	int		left;		/* yields; -1: as many as it takes */
	bool		calls;		/* a look is a system call */
	struct ipc__ready *ready;
};
void ipc__spin_begin(struct ipc_channel *ch, int dir, int64_t deadline,
    struct ipc__spin *s);
bool ipc__spin_more(struct ipc__spin *s);
/* Lets a few microseconds pass. */
void ipc__spin_until(int64_t until);

/* Is looking again and again wanted? */
static inline bool
ipc__spins(const struct ipc_channel *ch, const struct ipc__half *h)
{
	return ch->address.opt.wait != IPC__WAIT_BLOCK &&
	    (h->be->traits & IPC__SPINS ||
	    ch->address.opt.wait == IPC__WAIT_SPIN);
}

/* A moment, without a system call. */
static inline void
ipc__relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile ("yield");
#endif
}
/* Was ipc_wake called?  Takes the mark and returns -ECANCELED. */
int ipc__cancelled(struct ipc_channel *ch, int dir);
/* Makes the bell of a side, so that it can be kicked. */
int ipc__bell(struct ipc_channel *ch, int dir);
/* Whoever waits there is to look again. */
void ipc__kick(struct ipc_channel *ch, int dir);
/* It was taken by a call that had something else to tell. */
void ipc__cancel_again(struct ipc_channel *ch, int dir);
/* Nobody waits on the descriptor of ipc_fd until that is called again: till
 * then it costs nothing, as before the first one, and shows nothing true. */
void ipc__rest(struct ipc_channel *ch, int dir);
/* The same, and the descriptor is closed: what is only resting still costs the
 * kernel a look at each arrival. */
void ipc__fd_drop(struct ipc_channel *ch, int dir);
/* Brings the bell and the epoll set in line with what is true now. */
void ipc__ready_update(struct ipc_channel *ch, int dir, bool ready);
bool ipc__side_ready(struct ipc_channel *ch, int dir);
void ipc__ready_init(struct ipc__ready *r);
/* A wait in this direction also ends, with -EINTR, when this descriptor becomes
 * readable; -1: no more.  For a loop that waits for one channel above all. */
void ipc__wait_beside(struct ipc_channel *ch, int dir, int fd);
/* Before a descriptor that is looked at is closed. */
void ipc__ready_forget(struct ipc__ready *r);
void ipc__ready_free(struct ipc__ready *r, bool own);

/*
 * greet.c, session.c
 */
/* Brings a connection that is being made forward: 0 done, -EAGAIN, an error. */
int ipc__greet_step(struct ipc_channel *ch);
bool ipc__greet_failed(const struct ipc_channel *ch);
int ipc__greet_sources(struct ipc_channel *ch, struct pollfd *fds);
void ipc__greet_free(struct ipc__greet *g);
/* UDP: the client said hello again, our answer was lost. */
int ipc__greet_again(struct ipc_channel *ch, const unsigned char *p);

/*
 * fork.c
 */
extern _Atomic unsigned ipc__forks;	/* grows in parent and child */
extern _Atomic unsigned ipc__process;	/* grows in the child only */
void ipc__fork_watch(void);		/* once, before the first channel */
void ipc__fork_own(bool on);		/* our own fork, which will exec */

/*
 * clock.c
 */
int64_t ipc__now(void);			/* monotonic, ns */
/* The same, as of the last tick: some milliseconds ago, for a few ns. */
int64_t ipc__tick(void);
int64_t ipc__deadline(int timeout);	/* -1: never */
/* ms until then, at least 1. */
int ipc__left(int64_t deadline);
/* ppoll until the deadline, signals not cutting it short; 0 is too late. */
int ipc__poll_until(struct pollfd *fds, unsigned count, int64_t deadline);

static inline int
ipc__enter(struct ipc_channel *ch)
{
	/* What follows may change what the short way relies on.  Relaxed: each
	 * side has one thread, and the other only looks once more. */
	atomic_store_explicit(&ch->in.plain, false, memory_order_relaxed);
	atomic_store_explicit(&ch->out.plain, false, memory_order_relaxed);
	/* Relaxed: only this process's own forks matter, and a thread that
	 * forks while another sends has no order to hope for. */
	if (ipc__unlikely(ch->process != atomic_load_explicit(&ipc__process,
	    memory_order_relaxed) || atomic_load_explicit(&ch->greet,
	    memory_order_acquire) != NULL))
		return ipc__enter_slow(ch);
	atomic_store_explicit(&ch->used, atomic_load_explicit(&ipc__forks,
	    memory_order_relaxed), memory_order_relaxed);
	return 0;
}

#endif
