/* SPDX-License-Identifier: ISC */
/*
 * Frames, control frames and greetings: encoding and decoding, field by field.
 * The sender's state of a message on a byte stream is two numbers, its length
 * and how far its wire image is written; the image is computed anew each time.
 */
#include <limits.h>
#include <string.h>

#include "frame.h"

static const char control_magic[3] = { 'i', 'p', 'c' };
static const char greeting_magic[4] = { 'I', 'P', 'C', 'g' };
#define GREETING_VERSION	1

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

void
ipc__control_put(unsigned char frame[IPC__CONTROL_FRAME], unsigned kind,
    unsigned arg, uint32_t value)
{
	ipc__put32(frame, IPC__FRAME_CONTROL | IPC__CONTROL_SIZE);
	frame[4] = (unsigned char)(kind | arg << 4);
	memcpy(frame + 5, control_magic, sizeof control_magic);
	ipc__put32(frame + 8, value);
	if (kind == IPC__CTL_FDS) {
		frame[4] = IPC__CTL_FDS;
		ipc__put32(frame + 8, arg << 24 | (value & 0xffffff));
	}
}

bool
ipc__control_get(const unsigned char *p, size_t size, unsigned *kind,
    unsigned *arg, uint32_t *value)
{
	if (size != IPC__CONTROL_SIZE ||
	    memcmp(p + 1, control_magic, sizeof control_magic) != 0)
		return false;
	*kind = p[0] & 15;
	*arg = p[0] >> 4;
	*value = ipc__get32(p + 4);
	if (*kind == IPC__CTL_FDS) {
		*arg = *value >> 24;
		*value &= 0xffffff;
	}
	return *kind >= IPC__CTL_BYE && *kind <= IPC__CTL_FDS;
}

/* How many pieces a message has that is not one frame: at least one. */
static size_t
pieces(size_t total)
{
	return total == 0 ? 1 : (total + IPC__PIECE - 1) / IPC__PIECE;
}

/* What lies before the payload of each. */
static size_t
piece_head(size_t total)
{
	return total < IPC__PIECE_HEAD_FROM ? IPC__HEADER : IPC__PIECE_HEAD;
}

size_t
ipc__wire_size(size_t total, size_t atomic)
{
	if (total + IPC__HEADER <= atomic)
		return total + IPC__HEADER;
	return total + pieces(total) * piece_head(total) + IPC__HEADER;
}

int
ipc__slice(struct iovec *to, int max, const struct iovec *from, int count,
    size_t skip, size_t size, size_t *got)
{
	size_t n;
	int i, used = 0;

	*got = 0;
	for (i = 0; i < count && used < max && *got < size; i++) {
		if (skip >= from[i].iov_len) {
			skip -= from[i].iov_len;
			continue;
		}
		n = min_size(from[i].iov_len - skip, size - *got);
		to[used].iov_base = (char *)from[i].iov_base + skip;
		to[used++].iov_len = n;
		*got += n;
		skip = 0;
	}
	return used;
}

ssize_t
ipc__iov_size(const struct iovec *iov, int count)
{
	size_t sum = 0;
	int i;

	if (count < 0 || count > IOV_MAX || (count > 0 && iov == NULL))
		return -1;
	for (i = 0; i < count; i++) {
		if (iov[i].iov_base == NULL && iov[i].iov_len > 0)
			return -1;
		if (iov[i].iov_len > SSIZE_MAX - sum)
			return -1;
		sum += iov[i].iov_len;
	}
	return (ssize_t)sum;
}

/* Where `done' lies: in which piece (the number of pieces: the empty one at
 * the end), and how far in it. */
static size_t
locate(size_t total, size_t done, size_t *inside)
{
	size_t n = pieces(total), head = piece_head(total), k;
	size_t body = total + n * head;

	if (done >= body) {
		*inside = done - body;
		return n;
	}
	k = done / (head + IPC__PIECE);
	*inside = done % (head + IPC__PIECE);
	return k;
}

static size_t
piece_size(size_t total, size_t k)
{
	return min_size(IPC__PIECE, total - k * IPC__PIECE);
}

/* Empty pieces, and the header behind them. */
static void
put_head(unsigned char *p, size_t head, uint32_t word)
{
	for (; head > IPC__HEADER; head -= IPC__HEADER, p += IPC__HEADER)
		ipc__put32(p, IPC__FRAME_MORE);
	ipc__put32(p, word);
}

/* One frame from byte `inside' of it on; *used grows.  Returns how many of its
 * bytes did not fit into the iovecs. */
static size_t
put_frame(struct iovec *to, int max, int *used, unsigned char *header,
    size_t head, uint32_t word, size_t inside, const struct iovec *from,
    int count, size_t skip)
{
	size_t got, size = word & IPC__FRAME_LENGTH;

	if (inside < head) {
		put_head(header, head, word);
		to[*used].iov_base = header + inside;
		to[(*used)++].iov_len = head - inside;
		inside = head;
	}
	inside -= head;
	*used += ipc__slice(to + *used, max - *used, from, count,
	    skip + inside, size - inside, &got);
	return size - inside - got;
}

int
ipc__wire(struct iovec *to, int max,
    unsigned char (*headers)[IPC__PIECE_HEAD], const struct iovec *from,
    int count, size_t total, size_t atomic, size_t done)
{
	size_t k, n, inside, head = piece_head(total);
	int used = 0, h = 0;

	if (total + IPC__HEADER <= atomic) {
		put_frame(to, max, &used, headers[0], IPC__HEADER,
		    (uint32_t)total, done, from, count, 0);
		return used;
	}
	n = pieces(total);
	for (k = locate(total, done, &inside); k < n && used + 1 < max; k++) {
		if (put_frame(to, max, &used, headers[h++], head,
		    IPC__FRAME_MORE | (uint32_t)piece_size(total, k), inside,
		    from, count, k * IPC__PIECE) > 0)
			return used;
		inside = 0;
	}
	if (k == n && used < max)
		put_frame(to, max, &used, headers[h], IPC__HEADER, 0, inside,
		    from, 0, 0);
	return used;
}

unsigned
ipc__wire_rest(size_t total, size_t done, unsigned char head[IPC__HEADER],
    size_t *zeros)
{
	size_t inside, n = pieces(total), k = locate(total, done, &inside);
	size_t size = k < n ? piece_size(total, k) : 0;
	size_t before = k < n ? piece_head(total) - IPC__HEADER : 0;
	unsigned char word[IPC__HEADER];
	unsigned left = 0;

	*zeros = 0;
	/* An empty piece before it is completed, and no other begun. */
	if (inside < before) {
		inside %= IPC__HEADER;
		size = 0;
	} else
		inside -= before;
	if (inside == 0)
		return 0;
	/* A last header that is begun becomes that of one more piece: its
	 * first three bytes are the same. */
	ipc__put32(word, IPC__FRAME_MORE | (uint32_t)size);
	if (inside < IPC__HEADER) {
		left = IPC__HEADER - (unsigned)inside;
		memcpy(head, word + inside, left);
		inside = IPC__HEADER;
	}
	*zeros = size - (inside - IPC__HEADER);
	return left;
}

void
ipc__greeting_put(unsigned char p[IPC__GREETING],
    const struct ipc__greeting *g)
{
	memset(p, 0, IPC__GREETING);
	memcpy(p, greeting_magic, sizeof greeting_magic);
	p[4] = GREETING_VERSION;
	p[5] = (unsigned char)g->kind;
	p[6] = (unsigned char)g->boundary;
	p[7] = (unsigned char)g->dir;
	p[8] = (unsigned char)g->half;
	ipc__put32(p + 12, (uint32_t)g->error);
	ipc__put32(p + 16, g->max_message);
	ipc__put32(p + 20, (uint32_t)g->capacity);
	ipc__put32(p + 24, (uint32_t)(g->capacity >> 32));
	p[28] = g->fds[0];
	p[29] = g->fds[1];
	p[30] = g->sizes[0];
	p[31] = g->sizes[1];
	memcpy(p + 32, g->scheme, strnlen(g->scheme, sizeof g->scheme - 1));
}

bool
ipc__greeting_get(const unsigned char p[IPC__GREETING],
    struct ipc__greeting *g)
{
	memset(g, 0, sizeof *g);
	if (memcmp(p, greeting_magic, sizeof greeting_magic) != 0 ||
	    p[4] != GREETING_VERSION)
		return false;
	g->kind = p[5];
	g->boundary = p[6];
	g->dir = p[7];
	g->half = p[8];
	g->error = (int)(ipc__get32(p + 12) & 0xfff);
	g->max_message = ipc__get32(p + 16);
	g->capacity = ipc__get32(p + 20) | (uint64_t)ipc__get32(p + 24) << 32;
	g->fds[0] = p[28];
	g->fds[1] = p[29];
	g->sizes[0] = p[30];
	g->sizes[1] = p[31];
	memcpy(g->scheme, p + 32, sizeof g->scheme - 1);
	return g->kind >= IPC__HELLO && g->kind <= IPC__REFUSE &&
	    g->boundary <= 2 && g->dir <= 3 && g->half <= 2;
}
