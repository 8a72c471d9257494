/* SPDX-License-Identifier: ISC */
/*
 * Texts of others (names of files, sockets and programs) on a terminal and in
 * JSON.  They may hold anything: bytes that are no UTF-8, and control
 * characters, which must not reach a terminal.
 */
#include <stdlib.h>
#include <string.h>

#include "common.h"

/* How many bytes the character at p has; 0: it is no UTF-8, or a control
 * character.  Surrogates and overlong forms are none. */
static int
character(const unsigned char *p)
{
	static const struct {
		unsigned char first, last, low, high;
		int size;
	} forms[] = {
		{ 0x20, 0x7e, 0x00, 0x00, 1 },
		{ 0xc3, 0xdf, 0x80, 0xbf, 2 },
		{ 0xc2, 0xc2, 0xa0, 0xbf, 2 },	/* not U+0080 to U+009F */
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 }
	};
	int i, n, size = 0;

	for (i = 0; i < (int)(sizeof forms / sizeof forms[0]); i++)
		if (*p >= forms[i].first && *p <= forms[i].last)
			break;
	if (i == (int)(sizeof forms / sizeof forms[0]))
		return 0;
	size = forms[i].size;
	if (size > 1 && (p[1] < forms[i].low || p[1] > forms[i].high))
		return 0;
	for (n = 2; n < size; n++)
		if (p[n] < 0x80 || p[n] > 0xbf)
			return 0;
	return size;
}

void
print_json_string(FILE *out, const char *text)
{
	const unsigned char *p = (const void *)text;

	putc('"', out);
	while (*p) {
		int n = character(p);

		if (n == 0)
			fprintf(out, "\\u%04x", *p++);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p++);
		else
			while (n-- > 0)
				putc(*p++, out);
	}
	putc('"', out);
}

char *
address_name(const char *name)
{
	const unsigned char *p = (const void *)name;
	char *text = malloc(3 * strlen(name) + 1), *to = text;

	while (text != NULL && *p) {
		int n = *p == '%' || *p == '?' ? 0 : character(p);

		if (n == 0)
			to += sprintf(to, "%%%02X", *p++);
		else
			while (n-- > 0)
				*to++ = (char)*p++;
	}
	if (text != NULL)
		*to = '\0';
	return text;
}

size_t
print_text(FILE *out, const char *text)
{
	const unsigned char *p = (const void *)text;
	size_t columns = 0;

	while (*p) {
		int n = character(p);

		columns += n == 0 ? 4 : 1;
		if (n == 0 && out)
			fprintf(out, "\\x%02x", *p);
		else if (out)
			fwrite(p, 1, (size_t)n, out);
		p += n == 0 ? 1 : n;
	}
	return columns;
}
