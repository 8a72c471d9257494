/* SPDX-License-Identifier: ISC */
/*
 * The form of what goes over the wire: frames on byte streams, tags on records,
 * control frames from core to core, and greetings.  Pure: no system call here.
 *
 * A frame is a 4-byte little-endian word (bit 31: more pieces of the message
 * follow; bit 30: control; 30 bits of length) and so many bytes.  A message
 * that its byte stream takes whole or not at all is one frame.  Any other one
 * is pieces with bit 31 and an empty one without it at the end, so that up to
 * the last byte the sender can still give it up: it fills the piece that is
 * under way, and a control frame takes the message back.
 */
#ifndef IPC_LIB_FRAME_H
#define IPC_LIB_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define IPC__FRAME_MORE		UINT32_C(0x80000000)
#define IPC__FRAME_CONTROL	UINT32_C(0x40000000)
#define IPC__FRAME_LENGTH	UINT32_C(0x3fffffff)
#define IPC__HEADER		4
#define IPC__PIECE		65536	/* payload of a piece on a stream */
/* Before each piece of a message from this size on lie as many empty pieces as
 * make so many bytes with its header.  For a copy of a processor (rep movsb)
 * whose target lies 1 to 15 bytes behind its source within their pages takes
 * ten times as long, and behind a header alone that is where the kernel's pages
 * lie to a sender's buffer that begins a page, or to the receiver's that comes
 * from malloc. */
#define IPC__PIECE_HEAD		32
#define IPC__PIECE_HEAD_FROM	16385

/* The byte before a record whose mechanism carries no flags. */
#define IPC__TAG_MORE		0x01
#define IPC__TAG_CONTROL	0x02

#define IPC__CONTROL_SIZE	8
#define IPC__CONTROL_FRAME	(IPC__HEADER + IPC__CONTROL_SIZE)
enum ipc__control {
	IPC__CTL_BYE	 = 1,	/* arg: directions that were closed */
	IPC__CTL_TURN	 = 2,	/* yours */
	IPC__CTL_ABANDON = 3,	/* forget the message that was begun */
	IPC__CTL_FDS	 = 4	/* arg: how many come with the next message,
				   value: their serial number */
};

struct ipc__frame {
	bool		known;	/* the header was read */
	bool		more, control;
	uint32_t	left;	/* bytes still to come */
};

static inline void
ipc__put32(unsigned char *p, uint32_t v)
{
	p[0] = v;
	p[1] = v >> 8;
	p[2] = v >> 16;
	p[3] = v >> 24;
}

static inline uint32_t
ipc__get32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

/* memcpy, with no call for the few bytes of a small message. */
static inline void
ipc__copy_few(unsigned char *to, const unsigned char *from, size_t size)
{
	if (size >= 8 && size <= 16) {
		uint64_t first, last;

		memcpy(&first, from, 8);
		memcpy(&last, from + size - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + size - 8, &last, 8);
	} else if (size > 0) {
		memcpy(to, from, size);
	}
}

/* A control frame, its 4-byte header included. */
void ipc__control_put(unsigned char frame[IPC__CONTROL_FRAME], unsigned kind,
    unsigned arg, uint32_t value);
/* Its 8 bytes read; false if it is none of ours. */
bool ipc__control_get(const unsigned char *p, size_t size, unsigned *kind,
    unsigned *arg, uint32_t *value);

/* How long a message is on a byte stream that takes `atomic' bytes whole. */
size_t ipc__wire_size(size_t total, size_t atomic);

/* The part of that image from byte `done' on, as iovecs; at most max of them.
 * headers: storage for at least max / 2 + 1 heads.  Returns how many. */
int ipc__wire(struct iovec *to, int max,
    unsigned char (*headers)[IPC__PIECE_HEAD], const struct iovec *from, int count,
    size_t total, size_t atomic, size_t done);

/* What completes the piece that is under way at `done': the rest of its header
 * and how many bytes behind.  Returns the length of the rest of the header. */
unsigned ipc__wire_rest(size_t total, size_t done,
    unsigned char head[IPC__HEADER], size_t *zeros);

/* iovecs for `size' bytes of `from' after the first `skip'; returns how many,
 * at most max; *got tells how many bytes they hold. */
int ipc__slice(struct iovec *to, int max, const struct iovec *from, int count,
    size_t skip, size_t size, size_t *got);
/* Bytes of all together; -1 if that overflows or an argument is wrong. */
ssize_t ipc__iov_size(const struct iovec *iov, int count);

/*
 * Greetings
 */
#define IPC__GREETING	64
enum ipc__greeting_kind {
	IPC__HELLO = 1,		/* client: this is what I want */
	IPC__OFFER = 2,		/* server: this is what you get */
	IPC__TAKEN = 3,		/* client: thanks (where there was a choice) */
	IPC__NEXT = 4,		/* client: I can not take that */
	IPC__REFUSE = 5		/* server: no, and why */
};
struct ipc__greeting {
	unsigned	kind;
	int		boundary;	/* 0 unsaid */
	int		dir;		/* as its sender sees it; 0 unsaid */
	int		half;		/* 0 no, 1 yes, 2 unsaid */
	int		error;		/* IPC__REFUSE: an errno of the wire */
	uint32_t	max_message;
	uint64_t	capacity;	/* 0 unsaid */
	char		scheme[16];
	uint8_t		fds[2];		/* of the two tickets */
	uint8_t		sizes[2];
};
void ipc__greeting_put(unsigned char p[IPC__GREETING],
    const struct ipc__greeting *g);
bool ipc__greeting_get(const unsigned char p[IPC__GREETING],
    struct ipc__greeting *g);

#endif
