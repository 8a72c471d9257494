/* SPDX-License-Identifier: ISC */
/*
 * Copies, and which one: how far away the other side's core is, and how fast
 * the data goes.
 *
 * Where two cores share a cache an ordinary copy is best.  Where they do not,
 * every line that was written lies dirty in the wrong cache and has to be
 * fetched from there, six to twelve times slower than from memory: then stores
 * that go around the cache win.
 */
#ifndef IPC_LIB_COPY_H
#define IPC_LIB_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Below this many bytes a copy around the cache does not pay: alone, and in a
 * batch that is fenced once. */
#define IPC__COPY_ALONE	512u
#define IPC__COPY_BATCH	64u

/* How far away the other side is, from how long a line that it keeps writing
 * takes to come. */
struct ipc__distance {
	size_t		left;	/* bytes before the next look */
	uint64_t	was;	/* what the line held then */
	unsigned	count, over;	/* votes */
	unsigned	here;		/* that told nothing, in a row */
	bool		known, far;
};

/* Is the other side far, as far as is known; looks anew, now and then, by this
 * line. */
void	 ipc__distance_look(struct ipc__distance *d,
	    const _Atomic uint64_t *line);
static inline bool
ipc__distance_far(struct ipc__distance *d, const _Atomic uint64_t *line,
    size_t size)
{
	if (size < d->left)
		d->left -= size;
	else
		ipc__distance_look(d, line);
	return d->far;
}

/* How fast it goes. */
struct ipc__pace {
	uint64_t	since;	/* ns */
	uint64_t	done;
};

/* Adds what was done; true if that is `much' by now and went at a pace of at
 * least `fast' per millisecond. */
bool	ipc__pace_fast(struct ipc__pace *p, uint64_t done, uint64_t much,
	    uint64_t fast);

/* As memcpy, for much. */
#define IPC__COPY_MUCH	2048u
void	ipc__copy_much(void *to, const void *from, size_t size);
static inline void
ipc__copy(void *to, const void *from, size_t size)
{
	if (size < IPC__COPY_MUCH)
		memcpy(to, from, size);
	else
		ipc__copy_much(to, from, size);
}
/* Around the cache.  Not ordered with anything before ipc__copy_fence(). */
void	ipc__copy_around(void *to, const void *from, size_t size);
void	ipc__copy_fence(void);

/* A moment, without a system call. */
static inline void
ipc__copy_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile ("isb" ::: "memory");
#else
	__asm__ volatile ("" ::: "memory");
#endif
}

static inline uint64_t
ipc__copy_word(const unsigned char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

struct ipc__copy_block {
	uint64_t	word[2];
};

/* At most 64 bytes, without a call or a loop: from both ends, with pieces that
 * overlap. */
static inline void
ipc__copy_small(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;
	struct ipc__copy_block a, b, c, d;
	uint64_t last;

	if (size > 32) {
		memcpy(&a, f, 16);
		memcpy(&b, f + 16, 16);
		memcpy(&c, f + size - 32, 16);
		memcpy(&d, f + size - 16, 16);
		memcpy(t, &a, 16);
		memcpy(t + 16, &b, 16);
		memcpy(t + size - 32, &c, 16);
		memcpy(t + size - 16, &d, 16);
	} else if (size >= 16) {
		memcpy(&a, f, 16);
		memcpy(&d, f + size - 16, 16);
		memcpy(t, &a, 16);
		memcpy(t + size - 16, &d, 16);
	} else if (size >= 8) {
		last = ipc__copy_word(f + size - 8);
		memcpy(t, f, 8);
		memcpy(t + size - 8, &last, 8);
	} else if (size >= 4) {
		memcpy(&last, f, 4);
		memcpy((char *)&last + 4, f + size - 4, 4);
		memcpy(t, &last, 4);
		memcpy(t + size - 4, (char *)&last + 4, 4);
	} else if (size > 0) {
		t[0] = f[0];
		t[size / 2] = f[size / 2];
		t[size - 1] = f[size - 1];
	}
}

#endif
