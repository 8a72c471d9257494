/* SPDX-License-Identifier: ISC */
/*
 * The reader and the writer of journals before any file.  The input is the
 * file, or (with its first byte odd) tells how to make one: records with
 * right checks, which no mutation would find, and then what goes wrong.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "journal.h"

#define LIMIT	4096
#define ID	UINT64_C(0x0123456789abcdef)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static int file = -1;

static void
must(bool so)
{
	if (!so)
		abort();
}

static uint64_t
size_of_file(void)
{
	struct stat st;

	must(fstat(file, &st) == 0);
	return (uint64_t)st.st_size;
}

static void
put(const void *data, size_t size, uint64_t at)
{
	must(pwrite(file, data, size, (off_t)at) == (ssize_t)size);
}

/* Two bytes each: what, and how much or where. */
static void
make(const uint8_t *p, size_t size)
{
	unsigned char head[IPC__JOURNAL_HEADER], rec[IPC__JOURNAL_RECORD];
	unsigned char payload[LIMIT + 512];
	uint64_t at = sizeof head, end;

	ipc__journal_put_header(head, ID);
	put(head, sizeof head, 0);
	for (; size >= 2; p += 2, size -= 2) {
		struct ipc__record r = { p[1] * 17u, 0, 0 };
		struct iovec iov = { payload, r.length };

		memset(payload, p[0], r.length);
		r.sum = ipc__record_sum(&iov, 1);
		end = size_of_file();
		switch (p[0] % 8) {
		case 0:		/* cut */
			must(ftruncate(file, (off_t)(end - p[1] % end)) == 0);
			break;
		case 1:		/* grow */
			must(ftruncate(file, (off_t)(end + r.length)) == 0);
			break;
		case 2:		/* damage */
			put(p, 1, p[1] * 7 % end);
			break;
		case 3:		/* claim */
			r.length <<= p[1] % 20;
			r.flags = p[1] % 4;
			/* FALLTHROUGH */
		default:
			ipc__record_put(rec, ID, at, &r);
			put(rec, sizeof rec, at);
			put(payload, iov.iov_len, at + sizeof rec);
			at += sizeof rec + r.length;
			if (at > 1 << 20)
				at = sizeof head;
		}
	}
}

/* Reads all that there is. */
static void
read_all(struct ipc__journal *j)
{
	struct ipc__record r;
	const void *data;
	uint64_t size = size_of_file();
	volatile unsigned char sum = 0;
	ssize_t n;

	while ((n = ipc__journal_look(j, &data, &r)) >= 0) {
		must((size_t)n == r.length && (size_t)n <= LIMIT);
		for (ssize_t i = 0; i < n; i++)
			sum ^= ((const unsigned char *)data)[i];
		ipc__journal_step(j, &r);
		must(j->at <= size);
	}
	must(n == -EAGAIN || n == -EBADMSG || n == -EMSGSIZE);
	must(j->room <= 2 * 65536);
}

/* Once repaired, it stays so, and what is appended is found. */
static void
repair(void)
{
	struct ipc__journal j = { .fd = file, .limit = LIMIT };
	unsigned char rec[IPC__JOURNAL_RECORD];
	struct ipc__record r = { 0 };
	uint64_t end, size = size_of_file();

	if (ipc__journal_known(&j) == 0) {
		j.at = IPC__JOURNAL_HEADER;
		if (ipc__journal_repair(&j, size) < 0) {
			must(size_of_file() == size);
			ipc__journal_free(&j);
			return;
		}
		end = j.at;
		must(end <= size && size_of_file() == end);
		ipc__record_put(rec, j.id, end, &r);
		put(rec, sizeof rec, end);
		j.at = IPC__JOURNAL_HEADER;
		must(ipc__journal_repair(&j, end + sizeof rec) == 0);
		must(j.at == end + sizeof rec && size_of_file() == j.at);
	}
	ipc__journal_free(&j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc__journal j = { .limit = LIMIT, .at = IPC__JOURNAL_HEADER };

	if (file == -1)
		file = memfd_create("fuzz", MFD_CLOEXEC);
	must(file != -1 && ftruncate(file, 0) == 0);
	if (size > 0 && data[0] % 2 == 1)
		make(data + 1, size - 1);
	else if (size > 1)
		put(data + 1, size - 1, 0);
	j.fd = file;
	if (ipc__journal_known(&j) == 0)
		read_all(&j);
	ipc__journal_free(&j);
	repair();
	return 0;
}
