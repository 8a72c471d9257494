/* SPDX-License-Identifier: ISC */
/*
 * The ring: one sender, one receiver, in any memory that both can reach.
 *
 * It makes no system call.  What needs one (more memory, a barrier in another
 * process, a bell) is done by its owner through struct ipc__ring_ops or around
 * the calls.  How it works, and why that is sound, stands in ring.c.
 */
#ifndef IPC_LIB_RING_H
#define IPC_LIB_RING_H

#include <endian.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "backend.h"
#include "copy.h"

#define IPC__RING_LINE		64u	/* bytes, and the unit of everything */
#define IPC__RING_CELLS		7u	/* of 8 bytes, behind a line's word */
#define IPC__RING_INLINE	56u	/* longest message inside its line */
#define IPC__RING_VERSION	3u
#define IPC__RING_GROWTH	8u	/* so much larger in one step */
#define IPC__RING_GRAIN		65536u	/* the largest page there is */
#define IPC__RING_CAPACITY	(4u << 20)
#define IPC__RING_CAPACITY_MIN	4096u
#define IPC__RING_CAPACITY_MAX	(1u << 30)

/* Positions: lines are counted modulo 2^30, payload modulo 2^31 lines. */
#define IPC__RING_U		((UINT64_C(1) << 30) - 1)
#define IPC__RING_V		((UINT64_C(1) << 31) - 1)

/* What one side says to the other about sleeping. */
struct ipc__ring_side {
	_Atomic uint32_t sleep;		/* odd: asleep, wants to be rung; or
					   has left */
	_Atomic uint32_t can;		/* calls membarrier(2) to sleep */
	_Atomic uint32_t reg;		/* is registered: omits its fence */
	_Atomic uint32_t life;		/* opened: see shmopen.c */
	alignas(8) _Atomic uint64_t want;/* sender: the position to ring at */
	_Atomic uint32_t grown;		/* sender: how often */
	_Atomic uint32_t gate;		/* receiver: odd, is shrinking it */
	_Atomic uint32_t cpu;		/* where it was last seen, plus 1 */
	unsigned char	 pad[28];
};

/* The start of the memory.  All fields little-endian. */
struct ipc__ring_head {
	unsigned char	 magic[8];
	uint32_t	 version;
	uint32_t	 header;	/* sizeof this */
	uint32_t	 lines;		/* descriptor lines, a power of two */
	uint32_t	 payload;	/* payload lines, a power of two */
	uint32_t	 record;	/* largest record, bytes */
	uint32_t	 start;		/* of the payload, in lines */
	alignas(8) uint64_t bytes;	/* all of it */
	unsigned char	 pad0[16];
	uint64_t	 secret;	/* System V: see sysvshm.c */

	struct ipc__ring_side send;	/* line 1: written by the sender */
	struct ipc__ring_side recv;	/* line 2: by the receiver */
	alignas(8) _Atomic uint64_t pos;/* line 3: the receiver's position */
	unsigned char	 pad1[56];
	alignas(8) _Atomic uint64_t jump;/* line 4: where a jump leads to */
	_Atomic uint32_t lines_used;	/* as far as the sender has grown */
	_Atomic uint32_t payload_used;
	/* The sender may write up to here.  Not in its side: it is stored for
	 * each record, and the receiver looks there after each. */
	alignas(8) _Atomic uint64_t claim;
	unsigned char	 pad2[40];
	unsigned char	 pad3[64];
	/* Line 6: the receiver writes it with each payload that it gives back,
	 * the sender reads it to see how far it has to come, and nobody has
	 * anything to do with the lines beside it. */
	alignas(8) _Atomic uint64_t beat;
	unsigned char	 pad4[120];	/* to 512 */
	unsigned char	 tiny[2048];	/* payload of a ring that is young */
};

struct ipc__ring_line {
	alignas(8) _Atomic uint64_t word;
	union {
		alignas(8) _Atomic uint64_t cell[IPC__RING_CELLS];
		unsigned char bytes[IPC__RING_INLINE];
	} u;
};

_Static_assert(sizeof(struct ipc__ring_side) == 64, "side");
_Static_assert(sizeof(struct ipc__ring_head) == 2560, "head");
_Static_assert(offsetof(struct ipc__ring_head, pos) == 192, "pos");
_Static_assert(offsetof(struct ipc__ring_head, jump) == 256, "jump");
_Static_assert(offsetof(struct ipc__ring_head, beat) == 384, "beat");
_Static_assert(offsetof(struct ipc__ring_head, tiny) == 512, "tiny");
_Static_assert(sizeof(struct ipc__ring_line) == 64, "line");

/* What a ring needs of its owner. */
struct ipc__ring_ops {
	/* Makes these bytes of the memory real: 0, or a negative errno. */
	int (*populate)(void *owner, size_t offset, size_t size);
	/* Saves the page faults of who is to read these. */
	void (*touch)(void *owner, size_t offset, size_t size);
	/* Maps the payload a second time behind itself. */
	int (*mirror)(void *owner);
	/* Registers this process for membarrier(2): true if it is. */
	bool (*registered)(void *owner);
	/* A barrier in the other side's process; and gives these bytes of the
	 * memory back: 0, or a negative errno. */
	int (*barrier)(void *owner);
	int (*release)(void *owner, size_t offset, size_t size);
};

/* Lines whose words wait for the fence of their payload. */
#define IPC__RING_HELD	8u

struct ipc__ring {
	/* What every record touches.  Where we are: the line, the cell in it,
	 * and what its word says (the sender: is to say). */
	struct ipc__ring_side *other;
	struct ipc__ring_line *at;	/* line u */
	uint64_t	 word;
	uint64_t	 u;
	uint64_t	 v;		/* payload: next to fill, or freed */
	uint64_t	 free_v;	/* sender: to here it lies free in one
					   piece; below v: not known */
	unsigned	 cell;
	uint32_t	 lines;		/* as in the header, checked */
	unsigned	 shift;		/* lines is 1 << this */
	bool		 omit;		/* no fence is needed */
	bool		 full;		/* sender: until the receiver is at
					   `want' */
	bool		 held;		/* sender: the word of line u */
	bool		 claims;	/* sender: has grown, claims before
					   writing */
	bool		 open, empty, turn;	/* sender: see below */
	/* The receiver's; between peek and release. */
	unsigned	 cells;		/* 0: nothing was shown */
	unsigned	 run;		/* since it last found nothing */
	unsigned	 met;		/* of these before the last look */
	uint64_t	 last_u;	/* the line before this one */
	struct ipc__ring_head *head;
	/* The sender's. */
	uint64_t	 next_u;	/* the line after this one, and how */
	uint64_t	 limit_u, limit_v;	/* not to be written */
	struct ipc__ring_line *line;
	unsigned	 next_end;
	uint32_t	 grown_u;	/* lines in use */
	uint32_t	 grown_v;	/* payload lines in use; 0: tiny */
	uint32_t	 spare;		/* lines kept for the goodbye */

	unsigned char	*payload;
	struct ipc__ring_side *own;
	const struct ipc__ring_ops *ops;
	void		*owner;
	size_t		 record;
	uint32_t	 plines;	/* as in the header, checked */
	bool		 mirrored;
	bool		 lasting;	/* opened: sides come and go */
	bool		 shared;	/* our side has others beside us */
	uint32_t	 nap;		/* own->sleep as we wrote it */
	unsigned	 fences;

	/* The receiver. */
	uint64_t	 next_v;	/* v when what was shown is released */
	uint32_t	 shrunk;	/* other->grown when it was shrunk */
	size_t		 touched;	/* bytes of payload */
	const unsigned char *hint;	/* where payload will come next */
	unsigned	 lazy;		/* pauses to let records gather, */
	unsigned	 gathered;	/* last time at these */
	uint64_t	 gathered_u, gathered_v;
	const _Atomic uint64_t *const *answers;	/* the owner's, or NULL */
	uint64_t	 answered;	/* so many */

	/* The sender.  empty: so it was when we last looked. */
	uint64_t	 tail_u, tail_v;/* the receiver, then */
	uint64_t	 barrier_u, barrier_v;	/* jumped over what is behind */
	uint64_t	 jumped_u;	/* where the last jump led to */
	uint64_t	 want_u, want_v;
	uint64_t	 skip_v;	/* where the rest of a lap lies that was
					   left early; 0: none was */
	/* A reservation: open, it is one; turn, it goes to line next_u. */
	size_t		 room;		/* bytes */
	uint64_t	 at_v;		/* its payload, if it is longer */
	bool		 wish;		/* payload: larger would be faster */
	unsigned	 denied;	/* no memory: do not ask every time */
	/* What the receiver may take away: see ringsize.c. */
	bool		 gated;		/* can not grow while it shrinks */
	bool		 probe;		/* only asking: nothing is made real */
	uint32_t	 gate;		/* other->gate as we know it */
	uint64_t	 real_u, real_v;/* memory is there up to here; 0: all */
	uint64_t	 end_u, end_v;	/* or from here on */
	uint64_t	 step;		/* payload lines to make real at once */
	/* Held back. */
	bool		 unfenced;	/* payload went around the cache */
	unsigned	 waiting;
	struct { struct ipc__ring_line *line; uint64_t word; }
			 wait[IPC__RING_HELD];
	/* How fast it goes, and how far away the other side is. */
	struct ipc__pace pace_u, pace_v;
	struct ipc__distance distance;
};

static inline uint64_t
ipc__ring_get(const _Atomic uint64_t *p, memory_order order)
{
	return le64toh(atomic_load_explicit(p, order));
}

static inline void
ipc__ring_set(_Atomic uint64_t *p, uint64_t v, memory_order order)
{
	atomic_store_explicit(p, htole64(v), order);
}

static inline uint64_t
ipc__ring_lines(size_t bytes)
{
	return (bytes + IPC__RING_LINE - 1) / IPC__RING_LINE;
}

static inline unsigned
ipc__ring_cells(size_t bytes)
{
	return (unsigned)((bytes + !bytes + 7) / 8);
}

/* A line's word: bits 0-5 the tag of the lap, bits 6-7 what comes after the
 * line, then one byte for each cell. */
enum { IPC__END_OPEN, IPC__END_NEXT, IPC__END_WRAP, IPC__END_JUMP };
#define IPC__RING_FAR	58u		/* the cell says where, in the ring */
#define IPC__RING_NIGH	59u		/* likewise, in head->tiny */
/* Bit 6 of the byte: IPC__MORE; bit 7: IPC__CONTROL; both: IPC__PART. */

static inline uint64_t
ipc__ring_tag(const struct ipc__ring *r, uint64_t u)
{
	return 1 + ((u & IPC__RING_U) >> r->shift & 31);
}

static inline struct ipc__ring_line *
ipc__ring_at(const struct ipc__ring *r, uint64_t u)
{
	return &r->line[u & (r->lines - 1)];
}

static inline unsigned
ipc__ring_code(uint64_t word, unsigned cell)
{
	return word >> 8 * (cell + 1) & 0xff;
}

static inline unsigned
ipc__ring_end(uint64_t word)
{
	return word >> 6 & 3;
}

/* The receiver's position in one word: 31 bits v, 3 bits cell, 30 bits u. */
static inline uint64_t
ipc__ring_pos(uint64_t u, unsigned cell, uint64_t v)
{
	return (v & IPC__RING_V) << 33 | (uint64_t)cell << 30 |
	    (u & IPC__RING_U);
}

/*
 * Making and joining
 */

#define IPC__RING_YOUNG	24u	/* lines in the first page */

/* How much memory a ring of this capacity wants, and how much of it must be
 * there before it is formatted.  capacity 0: the default. */
size_t	ipc__ring_bytes(uint64_t capacity);
#define IPC__RING_FIRST	4096u
/* How many bytes of payload: a power of two, at most `capacity'. */
uint64_t ipc__ring_payload(uint64_t capacity);
/* Where the payload begins; it is mapped a second time where it ends. */
size_t	ipc__ring_start(uint64_t payload);

/* Writes the header of a new ring into zeroed memory. */
void	ipc__ring_format(void *memory, uint64_t capacity);

/* Checks a header that somebody else wrote, in memory of this size, and says
 * how many bytes of payload there are: -EPROTO for another layout or version,
 * -EBADMSG for nonsense.  The header is not looked at again. */
int	ipc__ring_check(const void *memory, size_t size, uint64_t *payload);

/* Becomes the sender or the receiver (dir) of a checked ring; where an earlier
 * one has been, it goes on where that one stopped.  -EBADMSG. */
int	ipc__ring_join(struct ipc__ring *r, void *memory, uint64_t payload,
	    int dir, const struct ipc__ring_ops *ops, void *owner);

/* Only the sleeping of a ring, in memory whose sides lie where a ring's do.
 * shared: many sleep on our side, by one mark. */
void	ipc__ring_sleeper_only(struct ipc__ring *r, void *memory, int dir,
	    bool shared, const struct ipc__ring_ops *ops, void *owner);

/*
 * Moving.  As the operations of a backend; -ENOSPC where there is no more
 * memory for a record of this size; -EBADMSG: the other side broke the ring.
 */
int	ipc__ring_reserve(struct ipc__ring *r, void **data, size_t size);
int	ipc__ring_commit(struct ipc__ring *r, size_t size, unsigned flags);
ssize_t	ipc__ring_send(struct ipc__ring *r, const struct iovec *iov,
	    int count, unsigned flags);
void	ipc__ring_publish(struct ipc__ring *r);
/* Is the receiver far, and is that worth a thought for so many bytes? */
static inline bool
ipc__ring_far(struct ipc__ring *r, size_t size)
{
	return ipc__distance_far(&r->distance, &r->head->beat, size);
}
/* Room for a small record more than others get: for the goodbye. */
void	ipc__ring_stretch(struct ipc__ring *r);
/* Is there room for a record of the largest size? */
bool	ipc__ring_roomy(struct ipc__ring *r);

ssize_t	ipc__ring_peek(struct ipc__ring *r, const void **data,
	    unsigned *flags);
void	ipc__ring_release(struct ipc__ring *r, unsigned flags);
/* What ipc__ring_peek() would show, if it is whole and fits, copied and
 * released; or -1. */
ssize_t	ipc__ring_get_far(struct ipc__ring *r, void *buffer, size_t room);
/* Waits a moment before the next look, if that is better: see ringrecv.c. */
void	ipc__ring_linger(struct ipc__ring *r);
/* What begins at our cell, when the word that we have does not say: 0, or a
 * negative errno. */
int	ipc__ring_find(struct ipc__ring *r, unsigned *code);
/* Nothing is there: likewise. */
void	ipc__ring_nothing(struct ipc__ring *r);
/* Looks on, at most so many times: false if all were in vain. */
bool	ipc__ring_glance(struct ipc__ring *r, unsigned *looks);
/* To the line that follows by the word of this one; -EBADMSG. */
int	ipc__ring_next(struct ipc__ring *r);

/* Gives back what was released, and what HOLD kept. */
static inline void
ipc__ring_free(struct ipc__ring *r)
{
	/* Release: our reads of what we give back are over.  Pairs with the
	 * sender's acquire in ipc__ring_look(). */
	ipc__ring_set(&r->head->pos, ipc__ring_pos(r->u, r->cell, r->v),
	    memory_order_release);
}

/*
 * Growing and shrinking: ringsize.c
 */

/* The receiver, of a ring where nothing is to be had: has it grown since it
 * was last shrunk, and is it to be?  Then: 0, or -EAGAIN if the sender is at
 * work; afterwards the sender may have to be rung. */
bool	ipc__ring_large(const struct ipc__ring *r);
int	ipc__ring_shrink(struct ipc__ring *r);
/* The sender: memory may have been taken away.  It is made real again up to
 * these positions: 0, -EAGAIN (not now), or why there is none. */
void	ipc__ring_unreal(struct ipc__ring *r);
int	ipc__ring_real_lines(struct ipc__ring *r, uint64_t to);
int	ipc__ring_real_payload(struct ipc__ring *r, uint64_t to);
/* May it grow now?  More lines; and so much payload that this many lines of it
 * are in use: 0, -EAGAIN if there can not be so many, or why not. */
bool	ipc__ring_may_grow(struct ipc__ring *r);
bool	ipc__ring_grow_lines(struct ipc__ring *r);
int	ipc__ring_grow_payload(struct ipc__ring *r, uint64_t behind);

/*
 * Sleeping
 */

/* Would a call get on?  The receiver: is something there; the sender: is there
 * room for a record.  A broken ring is ready to say so. */
bool	ipc__ring_ready(struct ipc__ring *r);
/* We are marked asleep, and nobody has rung. */
bool	ipc__ring_asleep(const struct ipc__ring *r);
/* Marks us asleep.  true: the caller must make a barrier in the other side's
 * process (membarrier(2)) before it looks again. */
bool	ipc__ring_doze(struct ipc__ring *r);
void	ipc__ring_rise(struct ipc__ring *r);
/* Notes on which processor we are: is the other side there as well, as far as
 * is known? */
bool	ipc__ring_beside(struct ipc__ring *r);

bool	ipc__ring_fenced(struct ipc__ring *r, uint32_t *token);
bool	ipc__ring_due(struct ipc__ring *r);
/* The bell was rung for that sleeper. */
void	ipc__ring_rung(struct ipc__ring *r, uint32_t token);
/* Our side ends, and says so where the other looks after each record. */
#define IPC__RING_LEFT	UINT32_MAX
void	ipc__ring_leave(struct ipc__ring *r);

static inline bool
ipc__ring_left(uint32_t token)
{
	return token == IPC__RING_LEFT;
}

/* After publishing or freeing: does the other side sleep, and want to be rung
 * now?  Pairs with ipc__ring_doze(). */
static inline bool
ipc__ring_sleeper(struct ipc__ring *r, uint32_t *token)
{
	if (!r->omit)
		return ipc__ring_fenced(r, token);
	atomic_signal_fence(memory_order_seq_cst);
	*token = atomic_load_explicit(&r->other->sleep, memory_order_relaxed);
	return le32toh(*token) & 1;
}

#endif
