/* SPDX-License-Identifier: ISC */
/*
 * This thread's last error.  The data path only notes a code, which costs two
 * stores; its text is put together if somebody asks for it.  Where there is
 * more to tell, the text is made at once, because what it tells of may be gone
 * by then.  errno is left as it was, so that a caller may clean up first.
 */
#include <sys/resource.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IPC__ERROR_C	/* where they are defined */
#include "error.h"

#define ADDRESS_LEAST	96	/* what is left of a long address, at least */

static _Thread_local struct ipc__error last;

/* In the contract's words, where it gives a code a meaning of its own. */
static const char *
own_text(int code)
{
	switch (code) {
	case 0:
		return "no error";
	case EAGAIN:
		return "would have to wait";
	case ETIMEDOUT:
		return "timed out";
	case EMSGSIZE:
		return "the message does not fit";
	case EPIPE:
		return "the other end is closed or gone";
	case ECONNRESET:
		return "the other end died without closing";
	case EBADF:
		return "this channel does not go that way";
	case EBUSY:
		return "not now: out of turn, or somebody else holds it";
	case EALREADY:
		return "another message has been begun";
	case ECANCELED:
		return "woken up by ipc_wake";
	case EBADMSG:
		return "what arrived breaks the protocol";
	case EINVAL:
		return "wrong argument or option";
	case EOPNOTSUPP:
		return "this mechanism can not do that";
	case EPROTOTYPE:
		return "this name is of another kind";
	case EPROTONOSUPPORT:
		return "no such mechanism";
	default:
		return NULL;
	}
}

/* Not strerror(3), whose buffer threads share in older libraries. */
static const char *
system_text(int code)
{
	const char *text = NULL;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
	text = strerrordesc_np(code);
#else
	locale_t here = uselocale((locale_t)0);

	if (code > 0)
		text = strerror_l(code, here);
#endif
	return text != NULL ? text : "unknown error";
}

static const char *
text_of(int code)
{
	const char *text = own_text(code);

	return text != NULL ? text : system_text(code);
}

/* INT_MIN has no positive counterpart. */
static int
positive(int code)
{
	return code == INT_MIN ? INT_MAX : abs(code);
}

static bool
inside_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Copies what fits into size bytes.  What does not fit goes from the middle,
 * as the beginning tells what and the end tells why. */
static void
copy_elided(char *to, size_t size, const char *from)
{
	static const char gap[] = "...";
	size_t length = strlen(from), head, tail;

	if (length < size) {
		memcpy(to, from, length + 1);
		return;
	}
	head = (size - sizeof gap) / 2;
	tail = size - sizeof gap - head;
	while (head > 0 && inside_character(from[head]))
		head--;
	while (tail > 0 && inside_character(from[length - tail]))
		tail--;
	memcpy(to, from, head);
	memcpy(to + head, gap, sizeof gap - 1);
	memcpy(to + head + sizeof gap - 1, from + length - tail, tail + 1);
}

/* A name may hold any byte, and the text may end up on a terminal or as one
 * line of a log. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void
note(int rc, const char *text)
{
	last.code = rc;
	last.told = true;
	last.placed = false;
	copy_elided(last.text, sizeof last.text, text);
	make_printable(last.text);
}

/* A text that is too long for us is made whole all the same, so that it can be
 * shortened where it hurts least. */
int
ipc__fail(int code, const char *fmt, ...)
{
	char text[IPC__TEXT_SIZE] = "";
	char *whole = NULL;
	int saved = errno, n;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof text) {
		va_start(ap, fmt);
		if (vasprintf(&whole, fmt, ap) < 0)
			whole = NULL;
		va_end(ap);
	}
	note(-code, whole != NULL ? whole : text);
	free(whole);
	errno = saved;
	return -code;
}

/* A system call that failed without a reason has failed all the same. */
static int
system_code(void)
{
	return errno > 0 ? errno : EIO;
}

/* The limits that any call may meet are named, with their value. */
static const char *
reason(int code, char *text, size_t size)
{
	struct rlimit files;

	if (code == EMFILE && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		snprintf(text, size, "this process has its %ju open files "
		    "(RLIMIT_NOFILE)", (uintmax_t)files.rlim_cur);
		return text;
	}
	return code == ENFILE ? "the system has all the open files that it "
	    "may have (fs.file-max)" : system_text(code);
}

int
ipc__fail_sys(const char *call)
{
	int code = system_code();
	char text[80];

	return ipc__fail(code, "%s: %s", call,
	    reason(code, text, sizeof text));
}

int
ipc__fail_path(const char *call, const char *path)
{
	int code = system_code();
	char text[80];

	return ipc__fail(code, "%s %s: %s", call, path,
	    reason(code, text, sizeof text));
}

/* Of an address and a text that do not fit together the address gives way, but
 * not all of it. */
static void
place(const char *address)
{
	char before[IPC__TEXT_SIZE], what[IPC__TEXT_SIZE];
	size_t most = IPC__TEXT_SIZE - 2, room = strlen(last.text) + 1;

	if (room > most - ADDRESS_LEAST)
		room = most - ADDRESS_LEAST;
	copy_elided(what, room, last.text);
	copy_elided(before, most - strlen(what), address);
	make_printable(before);
	strlcpy(last.text, before, sizeof last.text);
	strlcat(last.text, ": ", sizeof last.text);
	strlcat(last.text, what, sizeof last.text);
	last.placed = true;
}

int
ipc__fail_at(const char *address, int rc)
{
	int saved = errno;

	if (rc >= 0)
		return rc;
	if (!last.told || last.code != rc)
		note(rc, text_of(positive(rc)));
	if (!last.placed)
		place(address);
	errno = saved;
	return rc;
}

int
ipc__plain(int rc)
{
	if (rc < 0) {
		last.code = rc;
		last.told = false;
	}
	return rc;
}

void
ipc__error_keep(struct ipc__error *kept)
{
	*kept = last;
}

void
ipc__error_restore(const struct ipc__error *kept)
{
	last = *kept;
}

const char *
ipc_strerror(int code)
{
	return text_of(positive(code));
}

int
ipc_error_set(int code, const char *text)
{
	code = positive(code);
	return ipc__fail(code, "%s", text != NULL ? text : text_of(code));
}

const char *
ipc_errmsg(void)
{
	return last.told ? last.text : text_of(positive(last.code));
}
