/* SPDX-License-Identifier: ISC */
/*
 * Addresses: SCHEME:NAME?key=value&key=value.  The text is split first and
 * percent-decoded then, so that an escaped '?', '&' or '=' is an ordinary
 * character of a name or a value.  What is wrong is said with its place; an
 * option that would have no effect is wrong as well, as whoever wrote it
 * relies on it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "backend.h"
#include "backends.h"
#include "name.h"

#define KEY_MAX		32	/* longer ones are unknown anyway */

static const char *const way_noun[IPC_WAYS] = {
	[IPC_WAY_PAIR]		= "pair",
	[IPC_WAY_OPEN]		= "opened object",
	[IPC_WAY_SESSION]	= "session",
	[IPC_WAY_ADOPT]		= "adopted descriptor"
};

static const char *const way_call[IPC_WAYS] = {
	[IPC_WAY_PAIR]		= "ipc_pair",
	[IPC_WAY_OPEN]		= "ipc_open",
	[IPC_WAY_SESSION]	= "ipc_listen and ipc_connect",
	[IPC_WAY_ADOPT]		= "ipc_adopt"
};

/* Decodes the part [from, from + len) of the address text into a new string;
 * what is that part's name. */
static int
decode(char **to, const char *text, const char *from, size_t len,
    const char *what)
{
	const char *end = from + len;
	size_t n, used;

	*to = malloc(len + 1);
	if (*to == NULL)
		return ipc__fail_sys("malloc");
	for (n = 0; from < end; n++, from += used) {
		used = ipc__percent_byte(*to + n, from,
		    (size_t)(end - from));
		if (used == 0)
			return ipc__fail(EINVAL, "bad escape '%.*s' in %s, at "
			    "byte %td: %%XX stands for any byte but 00",
			    end - from < 3 ? (int)(end - from) : 3, from, what,
			    from - text + 1);
	}
	(*to)[n] = '\0';
	if (n < IPC__PATH_MAX)
		return 0;
	return ipc__fail(ENAMETOOLONG, "%s of %zu bytes exceeds %d", what, n,
	    IPC__PATH_MAX - 1);
}

/* Appends what fits; the texts made here are for people. */
static void
append(char *list, size_t size, const char *separator, const char *word)
{
	if (list[0] != '\0')
		strlcat(list, separator, size);
	strlcat(list, word, size);
}

static int
fail_key(const struct ipc__address *a, enum ipc_way way, const char *key)
{
	char list[256] = "";
	uint32_t honoured = a->be->keys[way];

	for (int k = 0; k < IPC__ALL_KEYS; k++)
		if (honoured >> k & 1)
			append(list, sizeof list, ", ", ipc__option_name(k));
	return ipc__fail(EINVAL, "%s: %s: %s %s takes %s", key,
	    ipc__option_key(key) < 0 ? "there is no such option" :
	    "it can not have this option", a->be->mechanism.scheme,
	    way_noun[way], list[0] != '\0' ? list : "none");
}

static int
parse_option(struct ipc__address *a, enum ipc_way way, const char *from,
    size_t len)
{
	const char *equals = memchr(from, '=', len);
	char key[KEY_MAX], *value = NULL;
	int k, rc;

	if (len == 0)
		return ipc__fail(EINVAL, "an option is empty, at byte %td",
		    from - a->text + 1);
	snprintf(key, sizeof key, "%.*s",
	    (int)(equals != NULL ? equals - from : (ptrdiff_t)len), from);
	k = ipc__option_key(key);
	if (k < 0 || !(a->be->keys[way] >> k & 1))
		return fail_key(a, way, key);
	if (equals == NULL)
		return ipc__fail(EINVAL, "%s: no value: write %s=VALUE", key,
		    key);
	rc = decode(&value, a->text, equals + 1,
	    (size_t)(from + len - equals - 1), "an option");
	if (rc == 0)
		rc = ipc__option_set(&a->opt, a->be->keys[way], key, value);
	free(value);
	return rc;
}

static int
parse_options(struct ipc__address *a, enum ipc_way way, const char *query)
{
	size_t len;
	int rc;

	if (*query == '\0')
		return 0;
	for (;; query += len + 1) {
		len = strcspn(query, "&");
		rc = parse_option(a, way, query, len);
		if (rc < 0 || query[len] == '\0')
			return rc;
	}
}

/* Says which calls there are for a mechanism that has no such way. */
static int
check_way(const struct ipc_backend *be, enum ipc_way way)
{
	char list[128] = "";

	if (be->mechanism.ways & 1u << way)
		return 0;
	for (int w = 0; w < IPC_WAYS; w++)
		if (be->mechanism.ways & 1u << w)
			append(list, sizeof list, ", ", way_call[w]);
	return ipc__fail(EOPNOTSUPP, "%s can not be used with %s, only with %s",
	    be->mechanism.scheme, way_call[way], list);
}

/* A pair needs no name, and what is adopted has none. */
static int
check_name(const struct ipc__address *a, enum ipc_way way)
{
	const char *scheme = a->be->mechanism.scheme;

	if (a->name[0] != '\0' || way == IPC_WAY_PAIR || way == IPC_WAY_ADOPT)
		return 0;
	if (way == IPC_WAY_SESSION && a->opt.at != NULL)
		return 0;
	return ipc__fail(EINVAL, "a name is missing, as in %s:%s", scheme,
	    a->be->traits & IPC__PATHS ? "/path" : "name");
}

/* The scheme, and where the rest begins.  ipc_adopt wants only a scheme, and
 * then the colon may be left out. */
static int
parse_scheme(struct ipc__address *a, enum ipc_way way, ipc__lookup *lookup,
    const char **rest)
{
	size_t len = strcspn(a->text, ":?");

	if (a->text[len] != ':' && way != IPC_WAY_ADOPT)
		return ipc__fail(EINVAL, "no scheme: an address is "
		    "SCHEME:NAME?key=value, such as unix:/run/name");
	if (len == 0)
		return ipc__fail(EINVAL, "the scheme is empty: an address is "
		    "SCHEME:NAME?key=value, such as unix:/run/name");
	a->be = lookup(a->text, len);
	if (a->be == NULL)
		return ipc__fail(EPROTONOSUPPORT,
		    "no mechanism is called '%.*s'", len < 64 ? (int)len : 64,
		    a->text);
	*rest = a->text + len + (a->text[len] == ':');
	return 0;
}

static int
parse(struct ipc__address *a, enum ipc_way way, ipc__lookup *lookup)
{
	const char *rest = a->text;
	size_t len;
	int rc;

	rc = parse_scheme(a, way, lookup, &rest);
	if (rc < 0)
		return rc;
	rc = check_way(a->be, way);
	if (rc < 0)
		return rc;
	len = strcspn(rest, "?");
	rc = decode(&a->name, a->text, rest, len, "the name");
	if (rc < 0)
		return rc;
	if (rest[len] == '?')
		rc = parse_options(a, way, rest + len + 1);
	return rc < 0 ? rc : check_name(a, way);
}

int
ipc__address_parse_by(struct ipc__address *a, const char *text,
    enum ipc_way way, ipc__lookup *lookup)
{
	int rc;

	memset(a, 0, sizeof *a);
	a->client = (uid_t)-1;
	ipc__options_default(&a->opt);
	if (text == NULL)
		return ipc__fail(EINVAL, "the address is NULL");
	if (strnlen(text, IPC__ADDRESS_MAX + 1) > IPC__ADDRESS_MAX)
		rc = ipc__fail(ENAMETOOLONG, "an address of more than %d bytes",
		    IPC__ADDRESS_MAX);
	else if ((a->text = strdup(text)) == NULL)
		rc = ipc__fail_sys("strdup");
	else
		rc = parse(a, way, lookup);
	if (rc < 0)
		ipc__address_free(a);
	return ipc__fail_at(text, rc);
}

int
ipc__address_parse(struct ipc__address *a, const char *text, enum ipc_way way)
{
	return ipc__address_parse_by(a, text, way, ipc__backend);
}

static int
copy_string(char **to, const char *from)
{
	*to = NULL;
	if (from == NULL || (*to = strdup(from)) != NULL)
		return 0;
	return ipc__fail_sys("strdup");
}

static int
copy_allow(struct ipc__allow *to, const struct ipc__allow *from)
{
	if (from->count == 0)
		return 0;
	to->id = malloc(IPC__ALLOW_MAX * sizeof *to->id);
	if (to->id == NULL)
		return ipc__fail_sys("malloc");
	memcpy(to->id, from->id, IPC__ALLOW_MAX * sizeof *to->id);
	return 0;
}

/* Every option that was given must mean something to the new mechanism too. */
static int
check_options(const struct ipc__address *a, enum ipc_way way)
{
	for (int k = 0; k < IPC__ALL_KEYS; k++)
		if (a->opt.set & ~a->be->keys[way] & UINT32_C(1) << k)
			return fail_key(a, way, ipc__option_name(k));
	return check_way(a->be, way);
}

int
ipc__address_as(struct ipc__address *a, const struct ipc__address *from,
    const struct ipc_backend *be, enum ipc_way way)
{
	int rc;

	*a = (struct ipc__address){ .be = be, .opt = from->opt,
	    .client = from->client, .passes = from->passes };
	a->opt.at = a->opt.follow_name = NULL;
	a->opt.allow_uid.id = a->opt.allow_gid.id = NULL;
	if ((rc = copy_string(&a->text, from->text)) == 0 &&
	    (rc = copy_string(&a->name, from->name)) == 0 &&
	    (rc = copy_string(&a->opt.at, from->opt.at)) == 0 &&
	    (rc = copy_string(&a->opt.follow_name,
	    from->opt.follow_name)) == 0 &&
	    (rc = copy_allow(&a->opt.allow_uid, &from->opt.allow_uid)) == 0 &&
	    (rc = copy_allow(&a->opt.allow_gid, &from->opt.allow_gid)) == 0)
		rc = check_options(a, way);
	if (rc < 0)
		ipc__address_free(a);
	return ipc__fail_at(from->text, rc);
}

void
ipc__address_free(struct ipc__address *a)
{
	free(a->text);
	free(a->name);
	free(a->opt.at);
	free(a->opt.follow_name);
	free(a->opt.allow_uid.id);
	free(a->opt.allow_gid.id);
	memset(a, 0, sizeof *a);
}
