/* SPDX-License-Identifier: ISC */
/*
 * The form of a journal in a file, and reading one that may be torn, cut,
 * damaged or forged.
 *
 * A journal is a header and records behind it, without gaps:
 *
 *	header, 128 bytes		record
 *	 0  "IPCJRNL\n"			 0  length, 30 bits; bit 30 control,
 *	 8  version, 4 bytes		    bit 31 more follow; 4 bytes
 *	12  where records begin, 4	 4  CRC-32C of the payload, 4
 *	16  identity, 8 random bytes	 8  CRC-32C of identity, offset of this
 *	24  CRC-32C of these, 4		    record, and the 8 bytes before, 4
 *	28  zeros, to be ignored	12  payload
 *	64  mark: an offset, 8
 *	72  the boot that it is of, 36
 *	108 CRC-32C of identity and mark, 4
 *
 * Up to the mark there are whole records, so that nobody has to go through all
 * of them to find the end; unless the machine was started anew since, and its
 * disk may not have got all of them.
 *
 * All numbers are little-endian.  As the second check knows which file and
 * which place it is for, old bytes, copied ones and those of another journal
 * never pass for a record.
 */
#ifndef IPC_LIB_JOURNAL_H
#define IPC_LIB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define IPC__JOURNAL_HEADER	128
#define IPC__JOURNAL_RECORD	12	/* bytes before the payload */
#define IPC__JOURNAL_MARK	64
#define IPC__JOURNAL_MARK_SIZE	48
#define IPC__JOURNAL_BOOT	36
#define IPC__JOURNAL_IOVS	72	/* what one record may be put of */

/*
 * journalform.c: pure
 */

struct ipc__record {
	uint32_t	length;
	unsigned	flags;		/* IPC__MORE, IPC__CONTROL */
	uint32_t	sum;		/* of the payload */
};

void ipc__journal_put_header(unsigned char p[IPC__JOURNAL_HEADER],
    uint64_t id);
/* size bytes are there.  0; -EAGAIN: so far it could be one; -EPROTO: it is
 * none, or of another version; -EBADMSG: it is damaged. */
int ipc__journal_get_header(const unsigned char *p, size_t size, uint64_t *id);

void ipc__record_put(unsigned char p[IPC__JOURNAL_RECORD], uint64_t id,
    uint64_t at, const struct ipc__record *);
bool ipc__record_get(const unsigned char p[IPC__JOURNAL_RECORD], uint64_t id,
    uint64_t at, struct ipc__record *);
void ipc__mark_put(unsigned char p[IPC__JOURNAL_MARK_SIZE], uint64_t id,
    uint64_t at, const char boot[IPC__JOURNAL_BOOT]);
bool ipc__mark_get(const unsigned char p[IPC__JOURNAL_MARK_SIZE], uint64_t id,
    uint64_t *at, const char boot[IPC__JOURNAL_BOOT]);
uint32_t ipc__record_sum(const struct iovec *iov, int count);

static inline void
ipc__put64(unsigned char *p, uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static inline uint64_t
ipc__get64(const unsigned char *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/*
 * journal.c: a journal that is open
 */

struct ipc__journal {
	int		 fd;
	uint64_t	 id;
	uint64_t	 at;		/* the next record */
	size_t		 limit;		/* longest payload */

	/* What was read of the file, fill bytes from base on. */
	unsigned char	*data;
	size_t		 room, fill;
	uint64_t	 base;
};

/* All of it at this offset, or an error with a text; then some of it may be
 * there.  No signal comes from a limit on the size of files. */
int ipc__journal_write(int fd, const struct iovec *iov, int count,
    size_t size, uint64_t at);

/* Writes a header with a new identity. */
int ipc__journal_begin(struct ipc__journal *);
/* Reads the header: as ipc__journal_get_header(), with a text, or a system's
 * error. */
int ipc__journal_known(struct ipc__journal *);

/* The record at j->at, checked; its payload stays where *data says until the
 * next call.  Returns its length; -EAGAIN: it is not there, or not whole as
 * long as nobody repairs or completes it; -EBADMSG: what is there is none, and
 * no torn tail either; -EMSGSIZE: longer than j->limit; or a system's error.
 * No text.  Allocates no more than j->limit, and for what is there only. */
ssize_t ipc__journal_look(struct ipc__journal *, const void **data,
    struct ipc__record *);
/* Steps over it. */
void ipc__journal_step(struct ipc__journal *, const struct ipc__record *);

/* Leaves a mark at j->at, for those who look for the end.  If it can not, then
 * it does not. */
void ipc__journal_mark(struct ipc__journal *);
/* Goes to the end of the whole records before size; *torn: behind that lies
 * what a crash has left of one, and may be cut off.  -EBADMSG with a text: what
 * lies there is no torn tail, or records are behind it. */
int ipc__journal_end(struct ipc__journal *, uint64_t size, bool *torn);
/* For the only writer: goes there and cuts that off. */
int ipc__journal_repair(struct ipc__journal *, uint64_t size);
void ipc__journal_free(struct ipc__journal *);

#endif
