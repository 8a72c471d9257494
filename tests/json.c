/* SPDX-License-Identifier: ISC */
/*
 * A small reader of JSON, which knows only whether it is JSON.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static const char *json_value(const char *);

static const char *
json_space(const char *p)
{
	while (*p && isspace((unsigned char)*p))
		p++;
	return p;
}

static const char *
json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\' && !strchr("\"\\/bfnrtu", *++p))
			return NULL;
	}
	return p + 1;
}

/* "[...]" or "{...}" */
static const char *
json_list(const char *p, bool named)
{
	char close = named ? '}' : ']';

	p = json_space(p + 1);
	if (*p == close)
		return p + 1;
	for (;;) {
		if (named) {
			p = json_string(json_space(p));
			if (!p || *(p = json_space(p)) != ':')
				return NULL;
			p++;
		}
		p = json_value(p);
		if (!p)
			return NULL;
		p = json_space(p);
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *
json_value(const char *p)
{
	static const char *const words[] = { "true", "false", "null" };
	char *end;

	p = json_space(p);
	if (*p == '[' || *p == '{')
		return json_list(p, *p == '{');
	if (*p == '"')
		return json_string(p);
	for (size_t i = 0; i < 3; i++)
		if (!strncmp(p, words[i], strlen(words[i])))
			return p + strlen(words[i]);
	if (*p != '-' && !isdigit((unsigned char)*p))
		return NULL;
	strtod(p, &end);
	return end > p ? end : NULL;
}

bool
is_json(const char *text)
{
	const char *end = json_value(text);

	return end && !*json_space(end);
}
