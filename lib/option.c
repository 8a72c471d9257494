/* SPDX-License-Identifier: ISC */
/*
 * The options of an address: one table says of each what it is called, where
 * its value goes, and what it takes.  The error texts are made from the same
 * table, so that they can not say anything else.
 */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/channel.h>

#include "address.h"
#include "error.h"
#include "name.h"

#define KIB		1024u
#define MIB		(1024u * KIB)
#define GIB		(1024u * MIB)
#define FRAME_MAX	(GIB - 1)	/* a frame has 30 bits of length */
#define MARK_MAX	64		/* bytes of follow=NAME */
#define ENTRY_MAX	MIB		/* a user's entry; larger is absurd */

struct word {
	const char	*word;
	int		 value;
};

struct option {
	const char	*name;
	/* 0; BAD: the table can tell what is wrong; or ipc__fail()'s. */
	int	       (*set)(const struct option *, void *field,
			    const char *value);
	size_t		 field;		/* offset into ipc__options */
	uint64_t	 min, max;
	const struct word *words;	/* NULL word at the end */
	const char	*takes;		/* where the rest does not say it */
};

#define BAD	1
#define IN(field)	offsetof(struct ipc__options, field)

static int set_size(const struct option *, void *, const char *);
static int set_number(const struct option *, void *, const char *);
static int set_octal(const struct option *, void *, const char *);
static int set_word(const struct option *, void *, const char *);
static int set_flag(const struct option *, void *, const char *);
static int set_path(const struct option *, void *, const char *);
static int set_user(const struct option *, void *, const char *);
static int set_group(const struct option *, void *, const char *);
static int set_users(const struct option *, void *, const char *);
static int set_groups(const struct option *, void *, const char *);
static int set_follow(const struct option *, void *, const char *);

static const struct word boundary_words[] = {
	{ "message", IPC_MESSAGE }, { "stream", IPC_STREAM }, { NULL, 0 }
};
static const struct word duplex_words[] = {
	{ "half", true }, { "full", false }, { NULL, 0 }
};
static const struct word wait_words[] = {
	{ "block", IPC__WAIT_BLOCK }, { "spin", IPC__WAIT_SPIN },
	{ "adaptive", IPC__WAIT_ADAPTIVE }, { NULL, 0 }
};
static const struct word thread_words[] = {
	{ "many", true }, { "one", false }, { NULL, 0 }
};
static const struct word flag_words[] = {
	{ "0", false }, { "1", true }, { NULL, 0 }
};

static const struct option options[IPC__ALL_KEYS] = {
	[IPC__KEY_BOUNDARY] = { .name = "boundary", .set = set_word,
	    .field = IN(boundary), .words = boundary_words },
	[IPC__KEY_DUPLEX] = { .name = "duplex", .set = set_flag,
	    .field = IN(half_duplex), .words = duplex_words },
	[IPC__KEY_CAPACITY] = { .name = "capacity", .set = set_size,
	    .field = IN(capacity), .min = 4 * KIB, .max = GIB },
	[IPC__KEY_MAX_MESSAGE] = { .name = "max-message", .set = set_size,
	    .field = IN(max_message), .min = 1, .max = FRAME_MAX },
	[IPC__KEY_MODE] = { .name = "mode", .set = set_octal,
	    .field = IN(mode), .min = 0, .max = 0777,
	    .takes = "an octal mode, 0 to 0777" },
	[IPC__KEY_UID] = { .name = "uid", .set = set_user,
	    .field = IN(uid), .takes = "a user's name or number" },
	[IPC__KEY_GID] = { .name = "gid", .set = set_group,
	    .field = IN(gid), .takes = "a group's name or number" },
	[IPC__KEY_ALLOW_UID] = { .name = "allow-uid", .set = set_users,
	    .field = IN(allow_uid),
	    .takes = "up to 16 users, names or numbers with commas between" },
	[IPC__KEY_ALLOW_GID] = { .name = "allow-gid", .set = set_groups,
	    .field = IN(allow_gid),
	    .takes = "up to 16 groups, names or numbers with commas between" },
	[IPC__KEY_AT] = { .name = "at", .set = set_path,
	    .field = IN(at), .takes = "an absolute path" },
	[IPC__KEY_WAIT] = { .name = "wait", .set = set_word,
	    .field = IN(wait), .words = wait_words },
	[IPC__KEY_LATEST] = { .name = "latest", .set = set_flag,
	    .field = IN(latest), .words = flag_words },
	[IPC__KEY_SYNC] = { .name = "sync", .set = set_flag,
	    .field = IN(sync), .words = flag_words },
	[IPC__KEY_FOLLOW] = { .name = "follow", .set = set_follow,
	    .takes = "0, 1, start, end, or a name for the position: up to 64 "
	    "letters, digits and . _ -, no . first" },
	[IPC__KEY_END] = { .name = "end", .set = set_flag,
	    .field = IN(end), .words = flag_words },
	[IPC__KEY_BACKLOG] = { .name = "backlog", .set = set_number,
	    .field = IN(backlog), .min = 1, .max = 65535 },
	[IPC__KEY_NODELAY] = { .name = "nodelay", .set = set_flag,
	    .field = IN(nodelay), .words = flag_words },
	[IPC__KEY_KEEPALIVE] = { .name = "keepalive", .set = set_flag,
	    .field = IN(keepalive), .words = flag_words },
	[IPC__KEY_THREADS] = { .name = "threads", .set = set_flag,
	    .field = IN(many), .words = thread_words },
	[IPC__KEY_VALUE] = { .name = "value", .set = set_number,
	    .field = IN(value), .min = 0, .max = INT_MAX },
	[IPC__KEY_UNDO] = { .name = "undo", .set = set_flag,
	    .field = IN(undo), .words = flag_words },
	[IPC__KEY_RECURSIVE] = { .name = "recursive", .set = set_flag,
	    .field = IN(recursive), .words = flag_words },
	[IPC__KEY_PI] = { .name = "pi", .set = set_flag,
	    .field = IN(pi), .words = flag_words },
	[IPC__KEY_SIZE] = { .name = "size", .set = set_size,
	    .field = IN(size), .min = 1, .max = 1024ull * GIB },
	[IPC__KEY_HUGE] = { .name = "huge", .set = set_flag,
	    .field = IN(huge), .words = flag_words }
};

/*
 * Reading numbers
 */

/* strtoull(3) takes blanks and signs as well, which no address means.  Returns
 * what follows the digits; NULL: there are none, or too many. */
static const char *
read_number(const char *s, int base, uint64_t *n)
{
	char *end;

	if (*s < '0' || *s > '9')
		return NULL;
	errno = 0;
	*n = strtoull(s, &end, base);
	return errno == 0 ? end : NULL;
}

static bool
read_whole_number(const char *s, int base, uint64_t max, uint64_t *n)
{
	const char *end = read_number(s, base, n);

	return end != NULL && *end == '\0' && *n <= max;
}

static int
set_size(const struct option *o, void *field, const char *value)
{
	static const char units[] = "KMG";
	uint64_t n, factor = 1;
	const char *end = read_number(value, 10, &n), *unit;

	if (end == NULL)
		return BAD;
	if (*end != '\0' && (unit = strchr(units,
	    toupper((unsigned char)*end))) != NULL) {
		factor = UINT64_C(1) << 10 * (unit - units + 1);
		end++;
	}
	if (*end != '\0' || n > o->max / factor || n * factor < o->min)
		return BAD;
	*(uint64_t *)field = n * factor;
	return 0;
}

static int
set_number(const struct option *o, void *field, const char *value)
{
	uint64_t n;

	if (!read_whole_number(value, 10, o->max, &n) || n < o->min)
		return BAD;
	*(unsigned *)field = (unsigned)n;
	return 0;
}

static int
set_octal(const struct option *o, void *field, const char *value)
{
	uint64_t n;

	if (!read_whole_number(value, 8, o->max, &n))
		return BAD;
	*(unsigned *)field = (unsigned)n;
	return 0;
}

/*
 * Words, paths
 */

static const struct word *
find_word(const struct option *o, const char *value)
{
	for (const struct word *w = o->words; w->word != NULL; w++)
		if (strcmp(w->word, value) == 0)
			return w;
	return NULL;
}

static int
set_word(const struct option *o, void *field, const char *value)
{
	const struct word *w = find_word(o, value);

	if (w == NULL)
		return BAD;
	*(int *)field = w->value;
	return 0;
}

static int
set_flag(const struct option *o, void *field, const char *value)
{
	const struct word *w = find_word(o, value);

	if (w == NULL)
		return BAD;
	*(bool *)field = w->value;
	return 0;
}

static int
set_path(const struct option *o, void *field, const char *value)
{
	char *copy;

	if (value[0] != '/')
		return BAD;
	if (strlen(value) >= IPC__PATH_MAX)
		return ipc__fail(ENAMETOOLONG, "%s: a path of %zu bytes "
		    "exceeds %d", o->name, strlen(value), IPC__PATH_MAX - 1);
	copy = strdup(value);
	if (copy == NULL)
		return ipc__fail_sys("strdup");
	*(char **)field = copy;
	return 0;
}

/* A name becomes part of a file's name, and so must be no path. */
static bool
is_mark(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n >= 1 && n <= MARK_MAX && s[n] == '\0' && s[0] != '.';
}

static int
set_follow(const struct option *o, void *field, const char *value)
{
	struct ipc__options *opt = field;

	(void)o;
	opt->follow = strcmp(value, "0") != 0;
	opt->from_end = strcmp(value, "end") == 0;
	if (!opt->follow || opt->from_end || strcmp(value, "1") == 0 ||
	    strcmp(value, "start") == 0)
		return 0;
	if (!is_mark(value))
		return BAD;
	opt->follow_name = strdup(value);
	return opt->follow_name != NULL ? 0 : ipc__fail_sys("strdup");
}

/*
 * Users and groups
 */

/* Asks the user or the group database with a buffer of this size.  ERANGE: it
 * is too small. */
static int
ask_database(bool group, const char *name, char *buffer, size_t size,
    uint32_t *id)
{
	struct passwd pw, *user = NULL;
	struct group gr, *found = NULL;
	int error;

	if (group)
		error = getgrnam_r(name, &gr, buffer, size, &found);
	else
		error = getpwnam_r(name, &pw, buffer, size, &user);
	if (found != NULL)
		*id = gr.gr_gid;
	else if (user != NULL)
		*id = pw.pw_uid;
	else if (error == 0)
		error = ENOENT;
	return error;
}

static int
look_up(bool group, const char *name, uint32_t *id)
{
	size_t size = 1024;
	char *buffer = NULL, *larger;
	int error = ERANGE;

	for (; error == ERANGE && size <= ENTRY_MAX; size *= 4) {
		larger = realloc(buffer, size);
		if (larger == NULL) {
			error = ENOMEM;
			break;
		}
		buffer = larger;
		error = ask_database(group, name, buffer, size, id);
	}
	free(buffer);
	return error;
}

/* All ones stand for `unsaid', here as in chown(2). */
static int
read_id(const struct option *o, bool group, const char *value, uint32_t *id)
{
	uint64_t n;
	int error;

	if (read_whole_number(value, 10, UINT32_MAX - 1, &n)) {
		*id = (uint32_t)n;
		return 0;
	}
	if (value[0] == '\0' || strchr("0123456789+-", value[0]) != NULL)
		return BAD;
	error = look_up(group, value, id);
	switch (error) {
	case 0:
		return 0;
	case ENOENT:	/* each of these means that nobody is called so */
	case ESRCH:
	case EBADF:
	case EPERM:
		return ipc__fail(EINVAL, "%s: there is no %s '%.64s'", o->name,
		    group ? "group" : "user", value);
	default:
		return ipc__fail(error, "%s: looking up '%.64s': %s", o->name,
		    value, ipc_strerror(error));
	}
}

static int
set_user(const struct option *o, void *field, const char *value)
{
	uint32_t id;
	int rc = read_id(o, false, value, &id);

	if (rc == 0)
		*(uid_t *)field = id;
	return rc;
}

static int
set_group(const struct option *o, void *field, const char *value)
{
	uint32_t id;
	int rc = read_id(o, true, value, &id);

	if (rc == 0)
		*(gid_t *)field = id;
	return rc;
}

static int
set_ids(const struct option *o, bool group, struct ipc__allow *allow,
    const char *value)
{
	char *copy, *next, *id;
	int rc = 0;

	if (allow->id == NULL &&
	    (allow->id = calloc(IPC__ALLOW_MAX, sizeof *allow->id)) == NULL)
		return ipc__fail_sys("calloc");
	copy = next = strdup(value);
	if (copy == NULL)
		return ipc__fail_sys("strdup");
	while (rc == 0 && (id = strsep(&next, ",")) != NULL) {
		if (allow->count == IPC__ALLOW_MAX)
			rc = BAD;
		else
			rc = read_id(o, group, id, &allow->id[allow->count++]);
	}
	free(copy);
	return rc;
}

static int
set_users(const struct option *o, void *field, const char *value)
{
	return set_ids(o, false, field, value);
}

static int
set_groups(const struct option *o, void *field, const char *value)
{
	return set_ids(o, true, field, value);
}

/*
 * Saying what an option takes
 */

/* In the largest unit in which it is a whole number. */
static void
format_size(char *text, size_t size, uint64_t n)
{
	static const char *const units[] = { "", "K", "M", "G" };
	int unit = 0;

	while (unit < 3 && n != 0 && n % KIB == 0) {
		n /= KIB;
		unit++;
	}
	snprintf(text, size, "%llu%s", (unsigned long long)n, units[unit]);
}

static void
describe_words(char *text, size_t size, const struct word *w)
{
	text[0] = '\0';
	for (; w->word != NULL; w++) {
		if (text[0] != '\0')
			strlcat(text, w[1].word != NULL ? ", " : " or ", size);
		strlcat(text, w->word, size);
	}
}

static void
describe(const struct option *o, char *text, size_t size)
{
	char min[24], max[24];

	if (o->takes != NULL) {
		strlcpy(text, o->takes, size);
	} else if (o->words != NULL) {
		describe_words(text, size, o->words);
	} else if (o->set == set_size) {
		format_size(min, sizeof min, o->min);
		format_size(max, sizeof max, o->max);
		snprintf(text, size, "a size such as 64K or 4M, %s to %s", min,
		    max);
	} else {
		snprintf(text, size, "a number, %llu to %llu",
		    (unsigned long long)o->min, (unsigned long long)o->max);
	}
}

static int
fail_value(const struct option *o, const char *value)
{
	char takes[160];

	describe(o, takes, sizeof takes);
	return ipc__fail(EINVAL, "%s=%.64s: %s takes %s", o->name, value,
	    o->name, takes);
}

/*
 * What address.c calls
 */

int
ipc__option_key(const char *name)
{
	for (int k = 0; k < IPC__ALL_KEYS; k++)
		if (strcmp(options[k].name, name) == 0)
			return k;
	return -1;
}

const char *
ipc__option_name(int key)
{
	return options[key].name;
}

int
ipc__option_set(struct ipc__options *opt, uint32_t honoured, const char *key,
    const char *value)
{
	int k = ipc__option_key(key), rc;
	const struct option *o;

	if (k < 0)
		return ipc__fail(EINVAL, "%s: there is no such option", key);
	if (!(honoured >> k & 1))
		return ipc__fail(EINVAL, "%s: it can not have this option",
		    key);
	if (opt->set >> k & 1)
		return ipc__fail(EINVAL, "%s is given twice", key);
	o = &options[k];
	rc = o->set(o, (char *)opt + o->field, value);
	if (rc == BAD)
		rc = fail_value(o, value);
	if (rc == 0)
		opt->set |= UINT32_C(1) << k;
	return rc;
}

void
ipc__options_default(struct ipc__options *opt)
{
	*opt = (struct ipc__options){
		.max_message = IPC__MAX_MESSAGE,
		.mode = 0600,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.wait = IPC__WAIT_ADAPTIVE,
		.follow = true,
		.end = true,
		.nodelay = true,
		.keepalive = true
	};
}
