/* SPDX-License-Identifier: ISC */
/*
 * A file goes from one process to another and comes back, in blocks of one
 * message each.  Where messages may be lost (udp), every few blocks wait for
 * an acknowledgement and are sent once more if it does not come; everywhere
 * else the library's word is enough.
 *
 * The two sides take turns, and the number of the turn is in each block: one
 * of an earlier turn is a copy, whose acknowledgement got lost; one of a later
 * turn says by itself that ours has arrived.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"

#define PINGS		300
#define PING_SIZE	64
#define PING_BUDGET	0.06	/* seconds: slow mechanisms get fewer */

#define LOSSY_CHUNK	8192
#define WINDOW		8	/* blocks: 64 KiB fit any socket's buffer */
#define ACK_WAIT	100	/* ms */
#define ACK_TRIES	20

enum kind { PING, STOP, DATA, ACK };

/* Both sides are the same program: it can travel as it lies in memory. */
struct block {
	uint32_t	kind;
	uint32_t	turn;
	uint32_t	number;		/* ACK: the first one missing */
	uint32_t	check;		/* there is a digest */
	uint64_t	total;
	unsigned char	digest[DIGEST_SIZE];	/* of all */
};

void
digest_of(const void *data, size_t size, unsigned char *digest)
{
	SHA2_CTX sha;

	SHA256Init(&sha);
	SHA256Update(&sha, data, size);
	SHA256Final(digest, &sha);
}

void
talk_begin(struct talk *t, struct ipc_channel *ch)
{
	struct ipc_info info = info_of(ch);

	*t = (struct talk){ .ch = ch, .chunk = CHUNK };
	t->lossy = !(info.caps & IPC_CAP_RELIABLE);
	if (t->lossy)
		t->chunk = LOSSY_CHUNK;
	if (info.max_message < t->chunk + sizeof(struct block))
		t->chunk = info.max_message - sizeof(struct block);
}

static int
wrong(struct talk *t, const char *why)
{
	t->why = why;
	return -EBADMSG;
}

void
talk_end(struct talk *t)
{
	free(t->got.data);
}

/* The next message, left where it is. */
static ssize_t
look(struct talk *t, struct block *b, const char **data, int timeout)
{
	const void *message;
	ssize_t n;

	n = ipc_peek(t->ch, &message, timeout);
	if (n < 0)
		return n;
	if ((size_t)n < sizeof *b)
		return wrong(t, "a message came that nobody sent");
	memcpy(b, message, sizeof *b);
	*data = (const char *)message + sizeof *b;
	return n - (ssize_t)sizeof *b;
}

static int
send_ack(struct talk *t, uint32_t turn, uint32_t number)
{
	struct block b = { .kind = ACK, .turn = turn, .number = number };

	return ipc_send(t->ch, &b, sizeof b, DEMO_TIMEOUT);
}

/* Waits until more than `base' blocks have arrived; returns how many. */
static ssize_t
await_ack(struct talk *t, uint32_t base, uint32_t blocks)
{
	const char *data;
	struct block b;
	ssize_t n;

	while ((n = look(t, &b, &data, ACK_WAIT)) >= 0) {
		if (b.kind == PING || b.kind == STOP ||
		    (b.kind == DATA && b.turn > t->turn))
			return blocks;
		if (b.kind == DATA && send_ack(t, b.turn, b.number + 1) < 0)
			return -EPIPE;
		ipc_release(t->ch);
		if (b.kind == ACK && b.turn == t->turn && b.number > base)
			return b.number;
	}
	return n == -ETIMEDOUT ? (ssize_t)base : n;
}

static int
send_block(struct talk *t, const struct file *f, struct block *b)
{
	size_t at = b->number * t->chunk, size = f->size - at;
	struct iovec iov[2];

	if (size > t->chunk)
		size = t->chunk;
	iov[0] = (struct iovec){ .iov_base = b, .iov_len = sizeof *b };
	iov[1] = (struct iovec){ .iov_base = f->data + at, .iov_len = size };
	return ipc_sendv(t->ch, iov, 2, DEMO_TIMEOUT);
}

static int
send_file(struct talk *t, const struct file *f, bool check)
{
	struct block b = { .kind = DATA, .turn = t->turn, .check = check,
	    .total = f->size };
	uint32_t blocks, base = 0, tries = 0;
	ssize_t have;
	int rc;

	memcpy(b.digest, f->digest, sizeof b.digest);
	blocks = f->size ? (uint32_t)((f->size - 1) / t->chunk + 1) : 1;
	while (base < blocks) {
		uint32_t end = blocks;

		if (t->lossy && base + WINDOW < blocks)
			end = base + WINDOW;
		for (b.number = base; b.number < end; b.number++)
			if ((rc = send_block(t, f, &b)) < 0)
				return rc;
		have = t->lossy ? await_ack(t, base, blocks) : blocks;
		if (have < 0)
			return (int)have;
		if ((uint32_t)have == base) {
			t->lost++;
			if (++tries == ACK_TRIES)
				return wrong(t, "nothing arrives any more");
		}
		base = (uint32_t)have;
	}
	return 0;
}

static int
make_room(struct file *f, size_t size)
{
	if (size > f->size || !f->data) {
		char *more = realloc(f->data, size ? size : 1);

		if (!more)
			return -ENOMEM;
		f->data = more;
	}
	f->size = size;
	return 0;
}

/* One block of the file that is coming; *have bytes and *next blocks did. */
static int
take_block(struct talk *t, const struct block *b, const char *data,
    size_t size, size_t *have, uint32_t *next)
{
	bool earlier = b->turn < t->turn;

	if (t->lossy && (earlier || b->number != *next))
		return send_ack(t, b->turn, earlier ? b->number + 1 : *next);
	if (b->turn != t->turn || b->number != *next)
		return wrong(t, "blocks came in another order");
	if (*next == 0 && make_room(&t->got, b->total) < 0)
		return wrong(t, "there is no memory for the file");
	if (size > t->got.size - *have)
		return wrong(t, "more came than was sent");
	memcpy(t->got.data + *have, data, size);
	*have += size;
	(*next)++;
	if (t->lossy && (*next % WINDOW == 0 || *have == b->total))
		return send_ack(t, b->turn, *next);
	return 0;
}

/* The whole file, whose first block may lie there already. */
static int
receive_file(struct talk *t, struct block *b)
{
	uint32_t next = 0;
	const char *data;
	size_t have = 0;
	ssize_t n;
	int rc;

	do {
		n = look(t, b, &data, DEMO_TIMEOUT);
		if (n < 0)
			return (int)n;
		rc = b->kind == DATA ?
		    take_block(t, b, data, (size_t)n, &have, &next) : 0;
		if (rc < 0)
			return rc;
		ipc_release(t->ch);
	} while (next == 0 || have < t->got.size);
	return 0;
}

/* The other side's turn is known by its first block. */
static int
send_back(struct talk *t, const struct block *first)
{
	struct block b;
	int rc;

	if (first->turn < t->turn)	/* a copy */
		return ipc_release(t->ch);
	t->turn = first->turn;
	rc = receive_file(t, &b);
	if (rc < 0)
		return rc;
	if (b.check)
		digest_of(t->got.data, t->got.size, t->got.digest);
	t->turn++;
	return send_file(t, &t->got, b.check);
}

static int
send_pong(struct talk *t)
{
	char text[PING_SIZE];
	ssize_t n;

	n = ipc_recv(t->ch, text, sizeof text, 0);
	return n < 0 ? (int)n : ipc_send(t->ch, text, (size_t)n, DEMO_TIMEOUT);
}

int
talk_serve(struct talk *t)
{
	const char *data;
	struct block b;
	ssize_t n;
	int rc = 0;

	while (rc >= 0) {
		n = look(t, &b, &data, DEMO_TIMEOUT);
		if (n < 0)
			return (int)n;
		if (b.kind == STOP)
			return ipc_release(t->ch);
		if (b.kind == PING)
			rc = send_pong(t);
		else if (b.kind == DATA)
			rc = send_back(t, &b);
		else
			rc = ipc_release(t->ch);
	}
	return rc;
}

int
talk_stop(struct talk *t)
{
	struct block b = { .kind = STOP };

	return ipc_send(t->ch, &b, sizeof b, DEMO_TIMEOUT);
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
talk_ping(struct talk *t, double *median)
{
	char ping[PING_SIZE] = { 0 }, pong[PING_SIZE];
	struct block b = { .kind = PING };
	double times[PINGS], begin = now();
	size_t n = 0;
	ssize_t rc;

	memcpy(ping, &b, sizeof b);
	while (n < PINGS && (n < 20 || now() - begin < PING_BUDGET)) {
		double start = now();

		rc = ipc_send(t->ch, ping, sizeof ping, DEMO_TIMEOUT);
		if (rc == 0)
			rc = ipc_recv(t->ch, pong, sizeof pong, DEMO_TIMEOUT);
		if (rc < 0)
			return (int)rc;
		if (rc != PING_SIZE)
			return wrong(t, "an answer has another length");
		times[n++] = now() - start;
	}
	qsort(times, n, sizeof times[0], by_size);
	*median = times[n / 2];
	return 0;
}

int
talk_file(struct talk *t, const struct file *f, bool check)
{
	unsigned char digest[DIGEST_SIZE];
	struct block b;
	int rc;

	t->turn += 2;		/* the answer to the last one was in between */
	rc = send_file(t, f, check);
	if (rc < 0)
		return rc;
	t->turn++;
	rc = receive_file(t, &b);
	t->turn--;
	if (rc < 0)
		return rc;
	if (t->got.size != f->size)
		return wrong(t, "the file came back with another length");
	if (!check)
		return memcmp(t->got.data, f->data, f->size) == 0 ? 0 :
		    wrong(t, "the file came back with other bytes");
	if (memcmp(b.digest, f->digest, sizeof digest))
		return wrong(t, "another checksum on the other side");
	digest_of(t->got.data, t->got.size, digest);
	if (memcmp(digest, f->digest, sizeof digest))
		return wrong(t, "another checksum of what came back");
	return 0;
}
