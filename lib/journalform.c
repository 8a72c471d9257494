/* SPDX-License-Identifier: ISC */
/*
 * Headers and records of journals as bytes (see journal.h).  Pure.
 */
#include <errno.h>
#include <string.h>

#include "backend.h"
#include "crc32c.h"
#include "frame.h"
#include "journal.h"

#define VERSION		1
#define CHECKED		24	/* bytes of the header before its check */

static const char magic[8] = { 'I', 'P', 'C', 'J', 'R', 'N', 'L', '\n' };

void
ipc__journal_put_header(unsigned char p[IPC__JOURNAL_HEADER], uint64_t id)
{
	memset(p, 0, IPC__JOURNAL_HEADER);
	memcpy(p, magic, sizeof magic);
	ipc__put32(p + 8, VERSION);
	ipc__put32(p + 12, IPC__JOURNAL_HEADER);
	ipc__put64(p + 16, id);
	ipc__put32(p + CHECKED, ipc__crc32c(0, p, CHECKED));
}

int
ipc__journal_get_header(const unsigned char *p, size_t size, uint64_t *id)
{
	if (memcmp(p, magic, size < sizeof magic ? size : sizeof magic) != 0)
		return -EPROTO;
	if (size < IPC__JOURNAL_HEADER)
		return -EAGAIN;
	if (ipc__get32(p + CHECKED) != ipc__crc32c(0, p, CHECKED))
		return -EBADMSG;
	if (ipc__get32(p + 8) != VERSION ||
	    ipc__get32(p + 12) != IPC__JOURNAL_HEADER)
		return -EPROTO;
	*id = ipc__get64(p + 16);
	return 0;
}

/* Which file, and where in it: then what the record says of itself. */
static uint32_t
check_of(const unsigned char p[8], uint64_t id, uint64_t at)
{
	unsigned char place[16];

	ipc__put64(place, id);
	ipc__put64(place + 8, at);
	return ipc__crc32c(ipc__crc32c(0, place, sizeof place), p, 8);
}

void
ipc__record_put(unsigned char p[IPC__JOURNAL_RECORD], uint64_t id, uint64_t at,
    const struct ipc__record *r)
{
	uint32_t word = r->length & IPC__FRAME_LENGTH;

	if (r->flags & IPC__MORE)
		word |= IPC__FRAME_MORE;
	if (r->flags & IPC__CONTROL)
		word |= IPC__FRAME_CONTROL;
	ipc__put32(p, word);
	ipc__put32(p + 4, r->sum);
	ipc__put32(p + 8, check_of(p, id, at));
}

bool
ipc__record_get(const unsigned char p[IPC__JOURNAL_RECORD], uint64_t id,
    uint64_t at, struct ipc__record *r)
{
	uint32_t word = ipc__get32(p);

	if (ipc__get32(p + 8) != check_of(p, id, at))
		return false;
	r->length = word & IPC__FRAME_LENGTH;
	r->flags = (word & IPC__FRAME_MORE ? IPC__MORE : 0) |
	    (word & IPC__FRAME_CONTROL ? IPC__CONTROL : 0);
	r->sum = ipc__get32(p + 4);
	return true;
}

static uint32_t
check_mark(const unsigned char *p, uint64_t id)
{
	unsigned char file[8];

	ipc__put64(file, id);
	return ipc__crc32c(ipc__crc32c(0, file, sizeof file), p,
	    8 + IPC__JOURNAL_BOOT);
}

void
ipc__mark_put(unsigned char p[IPC__JOURNAL_MARK_SIZE], uint64_t id,
    uint64_t at, const char boot[IPC__JOURNAL_BOOT])
{
	ipc__put64(p, at);
	memcpy(p + 8, boot, IPC__JOURNAL_BOOT);
	ipc__put32(p + 8 + IPC__JOURNAL_BOOT, check_mark(p, id));
}

bool
ipc__mark_get(const unsigned char p[IPC__JOURNAL_MARK_SIZE], uint64_t id,
    uint64_t *at, const char boot[IPC__JOURNAL_BOOT])
{
	*at = ipc__get64(p);
	return memcmp(p + 8, boot, IPC__JOURNAL_BOOT) == 0 &&
	    ipc__get32(p + 8 + IPC__JOURNAL_BOOT) == check_mark(p, id);
}

uint32_t
ipc__record_sum(const struct iovec *iov, int count)
{
	uint32_t sum = 0;

	for (; count > 0; iov++, count--)
		sum = ipc__crc32c(sum, iov->iov_base, iov->iov_len);
	return sum;
}
