/* SPDX-License-Identifier: ISC */
/*
 * What the tests of journals share: files with records in them, and opening.
 */
#ifndef IPC_TESTS_JOURNALS_H
#define IPC_TESTS_JOURNALS_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support.h"
#include "backend.h"
#include "journal.h"

static char journal_path[256], journal_text[8][400];

/* The journal of this test, which is not there yet. */
static inline void
new_journal(void)
{
	here.scheme = "file";
	strlcpy(journal_path, path_new(), sizeof journal_path);
}

/* Its address with these options; the eighth next one overwrites it. */
static inline const char *
journal(const char *options)
{
	static int next;
	char *s = journal_text[next = (next + 1) % 8];

	snprintf(s, sizeof journal_text[0], "file:%s%s%s", journal_path,
	    *options != '\0' ? "?" : "", options);
	return s;
}

static inline struct ipc_channel *
writer(const char *options)
{
	struct ipc_channel *ch;

	expect(0, ipc_open(&ch, journal(options), IPC_SEND | IPC_CREATE));
	return ch;
}

static inline struct ipc_channel *
reader(const char *options)
{
	struct ipc_channel *ch;

	expect(0, ipc_open(&ch, journal(options), IPC_RECV));
	return ch;
}

static inline int
open_fails(const char *options, int dir)
{
	struct ipc_channel *ch;
	int rc = ipc_open(&ch, journal(options), dir);

	if (rc == 0)
		ipc_close(ch);
	return rc;
}

static inline void
say(struct ipc_channel *ch, const char *text)
{
	expect(0, ipc_send(ch, text, strlen(text), 0));
}

static inline void
hear(struct ipc_channel *ch, const char *text)
{
	char buffer[256];

	expect((long)strlen(text), ipc_recv(ch, buffer, sizeof buffer, SOON));
	expect(0, memcmp(buffer, text, strlen(text)));
}

static inline void
hear_nothing(struct ipc_channel *ch)
{
	char buffer[256];

	expect(-EAGAIN, ipc_recv(ch, buffer, sizeof buffer, 0));
}

static inline off_t
size_of_journal(void)
{
	struct stat st;

	expect_sys(stat(journal_path, &st));
	return st.st_size;
}

/* Overwrites some bytes of the file, behind everybody's back. */
static inline void
scribble(off_t at, const void *data, size_t size)
{
	int fd = open(journal_path, O_WRONLY | O_CLOEXEC);

	expect_sys(fd);
	expect((long)size, pwrite(fd, data, size, at));
	close(fd);
}

static inline unsigned char
byte_at(off_t at)
{
	int fd = open(journal_path, O_RDONLY | O_CLOEXEC);
	unsigned char c = 0;

	expect_sys(fd);
	expect(1, pread(fd, &c, 1, at));
	close(fd);
	return c;
}

static inline void
flip_bit(off_t at, int bit)
{
	unsigned char c = byte_at(at) ^ (unsigned char)(1 << bit);

	scribble(at, &c, 1);
}

static inline void
remove_journal(void)
{
	expect(0, ipc_unlink(journal("")));
}

#endif
