/* SPDX-License-Identifier: ISC */
/*
 * Percent escapes: %XX stands for a byte.  In addresses they keep characters
 * that mean something from meaning it; in the runtime directory they make one
 * component of a path of any name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "name.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t
ipc__percent_byte(char *to, const char *s, size_t len)
{
	int high, low;

	if (*s != '%') {
		*to = *s;
		return 1;
	}
	if (len < 3 || (high = hex_digit(s[1])) < 0 ||
	    (low = hex_digit(s[2])) < 0 || (high | low) == 0)
		return 0;
	*to = (char)(high << 4 | low);
	return 3;
}

static bool
is_plain(char c, const char *plain)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr(plain, c) != NULL);
}

int
ipc__name_encode(const char *name, const char *plain, char *to, size_t size)
{
	size_t n = 0, more;

	for (const char *s = name; *s != '\0'; s++, n += more) {
		more = is_plain(*s, plain) ? 1 : 3;
		if (n + more >= size)
			return ipc__fail(ENAMETOOLONG, "%s: as a file's name "
			    "it has more than %d bytes", name, IPC__NAME_MAX);
		if (more == 1)
			to[n] = *s;
		else
			snprintf(to + n, 4, "%%%02X", (unsigned char)*s);
	}
	to[n] = '\0';
	return 0;
}

void
ipc__name_decode(const char *file, char *to, size_t size)
{
	size_t n, used, len = strlen(file);

	for (n = 0; len > 0 && n + 1 < size; n++, file += used, len -= used) {
		used = ipc__percent_byte(to + n, file, len);
		if (used == 0) {	/* not one of ours: as it is */
			to[n] = *file;
			used = 1;
		}
	}
	to[n] = '\0';
}
