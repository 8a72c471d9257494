/* SPDX-License-Identifier: ISC */
/*
 * Addresses and options: what is taken, and that whatever is not is refused
 * with its name and its place.  The mechanisms here are made up, one of each
 * kind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "address.h"
#include "backend.h"
#include "name.h"
#include "suite.h"

#define KEY(k)		(UINT32_C(1) << IPC__KEY_##k)
#define ALL		((UINT32_C(1) << IPC__KEYS) - 1)
#define WAY(w)		(1u << IPC_WAY_##w)

/* Has paths for names, and no opened objects. */
static const struct ipc_backend walk = {
	.mechanism = { .scheme = "walk",
	    .ways = WAY(PAIR) | WAY(SESSION) | WAY(ADOPT) },
	.traits = IPC__PATHS,
	.keys = { [IPC_WAY_PAIR] = KEY(BOUNDARY) | KEY(CAPACITY),
	    [IPC_WAY_SESSION] = KEY(BOUNDARY) | KEY(CAPACITY) | KEY(MODE) |
	    KEY(AT), [IPC_WAY_ADOPT] = KEY(BOUNDARY) }
};

/* Takes everything everywhere. */
static const struct ipc_backend bag = {
	.mechanism = { .scheme = "bag", .ways = WAY(PAIR) | WAY(OPEN) |
	    WAY(SESSION) | WAY(ADOPT) },
	.keys = { ALL, ALL, ALL, ALL }
};

/* Chooses from the two. */
static const char *const choices[] = { "walk", "bag", NULL };
static const struct ipc_backend any = {
	.mechanism = { .scheme = "any", .ways = WAY(PAIR) | WAY(SESSION) },
	.keys = { [IPC_WAY_PAIR] = KEY(BOUNDARY) | KEY(CAPACITY) |
	    KEY(LATEST) | KEY(FOLLOW) | KEY(AT) },
	.choices = choices
};

static const struct ipc_backend *
find(const char *scheme, size_t len)
{
	static const struct ipc_backend *const all[] = { &walk, &bag, &any };

	for (int i = 0; i < 3; i++)
		if (strlen(all[i]->mechanism.scheme) == len &&
		    memcmp(all[i]->mechanism.scheme, scheme, len) == 0)
			return all[i];
	return NULL;
}

static struct ipc__address a;

/* Parses what is right. */
static void
right(const char *text, enum ipc_way way)
{
	int rc;

	ipc__address_free(&a);
	rc = ipc__address_parse_by(&a, text, way, find);
	if (rc != 0)
		ck_abort_msg("%s gives %d: %s", text, rc, ipc_errmsg());
	ck_assert_str_eq(a.text, text);
	ck_assert_ptr_nonnull(a.name);
}

/* Parses what is wrong; the text must have the address and then what. */
static void
wrong(int code, const char *text, enum ipc_way way, const char *what)
{
	static const struct ipc__address none;
	struct ipc__address b;
	int rc;

	memset(&b, 0x55, sizeof b);
	rc = ipc__address_parse_by(&b, text, way, find);
	if (rc != -code)
		ck_abort_msg("%s gives %d, not %d", text, rc, -code);
	if (strncmp(ipc_errmsg(), text, strlen(text)) != 0 ||
	    strstr(ipc_errmsg() + strlen(text), what) == NULL)
		ck_abort_msg("%s: the text is \"%s\", and not about \"%s\"",
		    text, ipc_errmsg(), what);
	ck_assert_mem_eq(&b, &none, sizeof b);
}

static void
teardown(void)
{
	ipc__address_free(&a);
}

/*
 * Form
 */

START_TEST(an_address_is_split_and_its_parts_are_decoded)
{
	right("walk:/run/x?boundary=stream&capacity=64K", IPC_WAY_SESSION);
	ck_assert_ptr_eq(a.be, &walk);
	ck_assert_str_eq(a.name, "/run/x");
	ck_assert_int_eq(a.opt.boundary, IPC_STREAM);
	ck_assert_uint_eq(a.opt.capacity, 65536);
	right("bag:a%3Fb%26c%3dd%25%2F?at=/x%20y%26z=w%3d", IPC_WAY_OPEN);
	ck_assert_str_eq(a.name, "a?b&c=d%/");
	ck_assert_str_eq(a.opt.at, "/x y&z=w=");
	right("bag:a:b&c=d", IPC_WAY_OPEN);
	ck_assert_str_eq(a.name, "a:b&c=d");
	right("bag://host:80", IPC_WAY_SESSION);
	ck_assert_str_eq(a.name, "//host:80");
	right("bag:\xff+", IPC_WAY_SESSION);
	ck_assert_str_eq(a.name, "\xff+");
	right("walk:", IPC_WAY_PAIR);
	ck_assert_str_eq(a.name, "");
	ck_assert_uint_eq(a.opt.set, 0);
	right("walk:?", IPC_WAY_PAIR);
}
END_TEST

START_TEST(a_bad_escape_is_told_with_its_place)
{
	wrong(EINVAL, "bag:ab%", IPC_WAY_OPEN, "'%' in the name, at byte 7");
	wrong(EINVAL, "bag:%4", IPC_WAY_OPEN, "'%4' in the name, at byte 5");
	wrong(EINVAL, "bag:%zz1", IPC_WAY_OPEN, "'%zz' in the name");
	wrong(EINVAL, "bag:%4?", IPC_WAY_OPEN, "'%4' in the name");
	wrong(EINVAL, "bag:a%00b", IPC_WAY_OPEN, "'%00' in the name");
	wrong(EINVAL, "bag:a?at=/%", IPC_WAY_OPEN, "in an option, at byte 11");
	wrong(EINVAL, "bag:a?at=/%2&end=1", IPC_WAY_OPEN, "'%2' in an option");
}
END_TEST

START_TEST(the_scheme_must_be_there_and_known)
{
	struct ipc__address b;

	wrong(EINVAL, "", IPC_WAY_PAIR, "no scheme");
	wrong(EINVAL, "/run/x", IPC_WAY_SESSION, "SCHEME:NAME");
	wrong(EINVAL, "walk", IPC_WAY_PAIR, "no scheme");
	wrong(EINVAL, "walk?boundary=stream:", IPC_WAY_PAIR, "no scheme");
	wrong(EINVAL, ":x", IPC_WAY_OPEN, "empty");
	wrong(EPROTONOSUPPORT, "stroll:x", IPC_WAY_OPEN, "'stroll'");
	wrong(EPROTONOSUPPORT, "wal:x", IPC_WAY_OPEN, "'wal'");
	wrong(EPROTONOSUPPORT, "Walk:x", IPC_WAY_OPEN, "'Walk'");
	ck_assert_int_eq(ipc__address_parse(&b, "no-such-scheme:x",
	    IPC_WAY_PAIR), -EPROTONOSUPPORT);
	ck_assert_int_eq(ipc__address_parse(&b, NULL, IPC_WAY_PAIR), -EINVAL);
}
END_TEST

START_TEST(adopting_wants_no_colon)
{
	right("walk", IPC_WAY_ADOPT);
	ck_assert_ptr_eq(a.be, &walk);
	right("walk?boundary=message", IPC_WAY_ADOPT);
	ck_assert_int_eq(a.opt.boundary, IPC_MESSAGE);
	right("walk:?boundary=stream", IPC_WAY_ADOPT);
	ck_assert_int_eq(a.opt.boundary, IPC_STREAM);
	wrong(EPROTONOSUPPORT, "stroll", IPC_WAY_ADOPT, "'stroll'");
}
END_TEST

/* A text of n bytes that begins so. */
static char *
long_text(const char *head, size_t n)
{
	char *s = malloc(n + 1);

	ck_assert_ptr_nonnull(s);
	memset(s, 'x', n);
	memcpy(s, head, strlen(head));
	s[n] = '\0';
	return s;
}

static void
too_long(const char *head, size_t n, const char *what)
{
	char *text = long_text(head, n);
	struct ipc__address b;

	ck_assert_int_eq(ipc__address_parse_by(&b, text, IPC_WAY_OPEN, find),
	    -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), what));
	free(text);
}

START_TEST(what_is_too_long_is_told_and_never_cut)
{
	char *text = long_text("bag:", 4 + IPC__PATH_MAX - 1);

	right(text, IPC_WAY_OPEN);
	ck_assert_uint_eq(strlen(a.name), IPC__PATH_MAX - 1);
	free(text);
	too_long("bag:", 4 + IPC__PATH_MAX, "the name of 4096 bytes exceeds");
	too_long("bag:x?at=/", 9 + IPC__PATH_MAX, "an option of 4096 bytes");
	too_long("bag:", IPC__ADDRESS_MAX + 1, "16384");
	too_long("bag:", 10 * IPC__ADDRESS_MAX, "16384");
	wrong(EINVAL, "bag:x?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
	    IPC_WAY_OPEN, "no such option");
}
END_TEST

START_TEST(a_way_that_a_mechanism_has_not_is_told_with_those_it_has)
{
	wrong(EOPNOTSUPP, "walk:/x", IPC_WAY_OPEN,
	    "only with ipc_pair, ipc_listen and ipc_connect, ipc_adopt");
	wrong(EOPNOTSUPP, "any:", IPC_WAY_ADOPT, "any can not be used");
}
END_TEST

START_TEST(a_name_is_asked_for_where_one_is_needed)
{
	wrong(EINVAL, "walk:", IPC_WAY_SESSION, "as in walk:/path");
	wrong(EINVAL, "bag:", IPC_WAY_OPEN, "as in bag:name");
	wrong(EINVAL, "bag:?at=/x", IPC_WAY_OPEN, "a name is missing");
	right("walk:?at=/x", IPC_WAY_SESSION);
	right("bag:", IPC_WAY_PAIR);
	right("bag:", IPC_WAY_ADOPT);
}
END_TEST

/*
 * Options
 */

START_TEST(what_is_not_said_has_its_default)
{
	right("bag:x", IPC_WAY_OPEN);
	ck_assert_int_eq(a.opt.boundary, 0);
	ck_assert(!a.opt.half_duplex);
	ck_assert_uint_eq(a.opt.capacity, 0);
	ck_assert_uint_eq(a.opt.max_message, 16 << 20);
	ck_assert_uint_eq(a.opt.mode, 0600);
	ck_assert_int_eq((int)a.opt.uid, -1);
	ck_assert_int_eq((int)a.opt.gid, -1);
	ck_assert_uint_eq(a.opt.allow_uid.count + a.opt.allow_gid.count, 0);
	ck_assert_ptr_null(a.opt.at);
	ck_assert_int_eq(a.opt.wait, IPC__WAIT_ADAPTIVE);
	ck_assert(!a.opt.latest && !a.opt.sync && !a.opt.many);
	ck_assert(a.opt.follow && !a.opt.from_end);
	ck_assert_ptr_null(a.opt.follow_name);
	ck_assert(a.opt.end && a.opt.nodelay && a.opt.keepalive);
	ck_assert_uint_eq(a.opt.backlog, 0);
	for (int k = 0; k < IPC__KEYS; k++)
		ck_assert(!ipc__option_given(&a, k));
}
END_TEST

START_TEST(each_option_arrives_where_it_belongs)
{
	right("bag:x?boundary=message&duplex=half&capacity=1M&max-message=1"
	    "&mode=0660&uid=0&gid=4294967294&allow-uid=1,root,3&allow-gid=0"
	    "&at=/a&wait=spin&latest=1&sync=1&follow=0&end=0&backlog=65535"
	    "&nodelay=0&keepalive=0&threads=many", IPC_WAY_OPEN);
	ck_assert_uint_eq(a.opt.set, ALL);
	ck_assert_int_eq(a.opt.boundary, IPC_MESSAGE);
	ck_assert(a.opt.half_duplex);
	ck_assert_uint_eq(a.opt.capacity, 1 << 20);
	ck_assert_uint_eq(a.opt.max_message, 1);
	ck_assert_uint_eq(a.opt.mode, 0660);
	ck_assert_uint_eq(a.opt.uid, 0);
	ck_assert_uint_eq(a.opt.gid, 4294967294u);
	ck_assert_uint_eq(a.opt.allow_uid.count, 3);
	ck_assert_uint_eq(a.opt.allow_uid.id[0], 1);
	ck_assert_uint_eq(a.opt.allow_uid.id[1], 0);
	ck_assert_uint_eq(a.opt.allow_uid.id[2], 3);
	ck_assert_uint_eq(a.opt.allow_gid.count, 1);
	ck_assert_str_eq(a.opt.at, "/a");
	ck_assert_int_eq(a.opt.wait, IPC__WAIT_SPIN);
	ck_assert(a.opt.latest && a.opt.sync && a.opt.many);
	ck_assert(!a.opt.follow && !a.opt.end);
	ck_assert_uint_eq(a.opt.backlog, 65535);
	ck_assert(!a.opt.nodelay && !a.opt.keepalive);
}
END_TEST

static const struct {
	const char	*option;
	uint64_t	 capacity, max_message;
} sizes[] = {
	{ "capacity=4096", 4096, 16 << 20 },
	{ "capacity=4K", 4096, 16 << 20 },
	{ "capacity=1G", 1 << 30, 16 << 20 },
	{ "capacity=1024M", 1 << 30, 16 << 20 },
	{ "max-message=1073741823", 0, (1 << 30) - 1 },
	{ "max-message=1023M", 0, 1023 << 20 },
	{ "max-message=007", 0, 7 }
};

START_TEST(sizes_are_read_in_binary_units_up_to_their_ends)
{
	char text[64];

	snprintf(text, sizeof text, "bag:x?%s", sizes[_i].option);
	right(text, IPC_WAY_OPEN);
	ck_assert_uint_eq(a.opt.capacity, sizes[_i].capacity);
	ck_assert_uint_eq(a.opt.max_message, sizes[_i].max_message);
}
END_TEST

static const char *const bad_values[] = {
	"boundary=", "boundary=Stream", "boundary=stream ", "duplex=both",
	"capacity=", "capacity=xyz", "capacity=4095", "capacity=1K",
	"capacity=2G", "capacity=1073741825", "capacity=-1", "capacity=+8192",
	"capacity= 8192", "capacity=8192 ", "capacity=8x", "capacity=8KB",
	"capacity=8KK", "capacity=0x10000", "capacity=99999999999999999999",
	"capacity=18014398509481985K", "capacity=17179869184G", "max-message=0",
	"max-message=1G", "max-message=1024M", "mode=0778", "mode=1000",
	"mode=-1", "mode=rw", "mode=", "mode=0600x", "uid=", "uid=-1",
	"uid=4294967295", "uid=0x0", "uid=no_such_user_", "uid=0,1",
	"gid=no_such_group_", "allow-uid=", "allow-uid=0,", "allow-uid=,0",
	"allow-uid=0,,1", "allow-uid=0,no_such_user_",
	"allow-uid=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "allow-gid=-1",
	"at=", "at=x", "at=./x", "wait=busy", "latest=2", "latest=yes",
	"latest=", "sync=on", "follow=", "follow=.", "follow=.x", "follow=a/b",
	"follow=a%20b", ("follow=1234567890123456789012345678901234567890123456"
	    "7890123456789012345"), "end=true", "backlog=0", "backlog=65536",
	"backlog=1K", "nodelay=2", "keepalive=", "threads=2"
};
#define BAD_VALUES	(int)(sizeof bad_values / sizeof bad_values[0])

START_TEST(a_bad_value_is_refused_with_its_key_and_what_it_takes)
{
	char text[256], key[32];

	snprintf(text, sizeof text, "bag:x?%s", bad_values[_i]);
	snprintf(key, sizeof key, "%.*s", (int)strcspn(bad_values[_i], "="),
	    bad_values[_i]);
	wrong(EINVAL, text, IPC_WAY_OPEN, key);
	if (strstr(text, "no_such") == NULL)
		wrong(EINVAL, text, IPC_WAY_OPEN, " takes ");
	else
		wrong(EINVAL, text, IPC_WAY_OPEN, "there is no ");
}
END_TEST

START_TEST(error_texts_say_what_an_option_takes)
{
	wrong(EINVAL, "bag:x?capacity=xyz", IPC_WAY_OPEN, ": capacity=xyz: "
	    "capacity takes a size such as 64K or 4M, 4K to 1G");
	wrong(EINVAL, "bag:x?max-message=0", IPC_WAY_OPEN,
	    "1 to 1073741823");
	wrong(EINVAL, "bag:x?wait=no", IPC_WAY_OPEN,
	    ": wait=no: wait takes block, spin or adaptive");
	wrong(EINVAL, "bag:x?backlog=0", IPC_WAY_OPEN,
	    "backlog takes a number, 1 to 65535");
	wrong(EINVAL, "bag:x?sync=", IPC_WAY_OPEN, "sync takes 0 or 1");
}
END_TEST

START_TEST(sixteen_may_be_allowed)
{
	right("bag:x?allow-uid=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
	    IPC_WAY_OPEN);
	ck_assert_uint_eq(a.opt.allow_uid.count, 16);
	ck_assert_uint_eq(a.opt.allow_uid.id[15], 15);
}
END_TEST

START_TEST(a_journal_is_followed_from_where_one_says)
{
	right("bag:x?follow=1", IPC_WAY_OPEN);
	ck_assert(a.opt.follow && !a.opt.from_end && !a.opt.follow_name);
	right("bag:x?follow=start", IPC_WAY_OPEN);
	ck_assert(a.opt.follow && !a.opt.from_end && !a.opt.follow_name);
	right("bag:x?follow=end", IPC_WAY_OPEN);
	ck_assert(a.opt.follow && a.opt.from_end && !a.opt.follow_name);
	right("bag:x?follow=reader-2.b", IPC_WAY_OPEN);
	ck_assert(a.opt.follow && !a.opt.from_end);
	ck_assert_str_eq(a.opt.follow_name, "reader-2.b");
}
END_TEST

START_TEST(an_option_without_effect_is_refused)
{
	wrong(EINVAL, "walk:?mode=0600", IPC_WAY_PAIR,
	    "mode: it can not have this option: walk pair takes boundary, "
	    "capacity");
	right("walk:/x?mode=0600", IPC_WAY_SESSION);
	wrong(EINVAL, "walk:/x?latest=1", IPC_WAY_SESSION, "walk session "
	    "takes boundary, capacity, mode, at");
	wrong(EINVAL, "any:x?mode=0600", IPC_WAY_SESSION, "takes none");
	wrong(EINVAL, "bag:x?colour=red", IPC_WAY_OPEN,
	    "colour: there is no such option: bag opened object takes");
}
END_TEST

START_TEST(options_must_be_well_formed)
{
	wrong(EINVAL, "bag:x?end", IPC_WAY_OPEN, "write end=VALUE");
	wrong(EINVAL, "bag:x?=1", IPC_WAY_OPEN, "no such option");
	wrong(EINVAL, "bag:x?&end=1", IPC_WAY_OPEN, "empty, at byte 7");
	wrong(EINVAL, "bag:x?end=1&", IPC_WAY_OPEN, "empty, at byte 13");
	wrong(EINVAL, "bag:x?end=1&&sync=1", IPC_WAY_OPEN, "empty");
	wrong(EINVAL, "bag:x?end=1&end=1", IPC_WAY_OPEN, "end is given twice");
	wrong(EINVAL, "bag:x?end=1?sync=1", IPC_WAY_OPEN, "end=1?sync=1");
	wrong(EINVAL, "bag:x?END=1", IPC_WAY_OPEN, "END: there is no such");
	wrong(EINVAL, "bag:x?at=/a&at=/b", IPC_WAY_OPEN, "at is given twice");
	wrong(EINVAL, "bag:x?follow=a&follow=b", IPC_WAY_OPEN, "twice");
}
END_TEST

START_TEST(an_option_can_be_set_alone)
{
	struct ipc__options opt;

	ipc__options_default(&opt);
	ck_assert_int_eq(ipc__option_set(&opt, KEY(SYNC), "sync", "1"), 0);
	ck_assert(opt.sync);
	ck_assert_int_eq(ipc__option_set(&opt, KEY(SYNC), "sync", "0"),
	    -EINVAL);
	ck_assert_int_eq(ipc__option_set(&opt, KEY(SYNC), "end", "0"),
	    -EINVAL);
	ck_assert_int_eq(ipc__option_set(&opt, ALL, "x", "0"), -EINVAL);
	for (int k = 0; k < IPC__KEYS; k++)
		ck_assert_int_eq(ipc__option_key(ipc__option_name(k)), k);
	ck_assert_int_eq(ipc__option_key("nothing"), -1);
}
END_TEST

/*
 * Choosing
 */

START_TEST(the_chosen_mechanism_gets_a_copy_of_its_own)
{
	struct ipc__address b;

	right("any:x?at=/a&follow=me&capacity=8K", IPC_WAY_PAIR);
	ck_assert_int_eq(ipc__address_as(&b, &a, &bag, IPC_WAY_PAIR), 0);
	ck_assert_ptr_eq(b.be, &bag);
	ck_assert_str_eq(b.text, a.text);
	ck_assert_ptr_ne(b.text, a.text);
	ipc__address_free(&a);
	ck_assert_str_eq(b.name, "x");
	ck_assert_str_eq(b.opt.at, "/a");
	ck_assert_str_eq(b.opt.follow_name, "me");
	ck_assert_uint_eq(b.opt.capacity, 8192);
	ipc__address_free(&b);
}
END_TEST

START_TEST(what_can_not_honour_an_option_can_not_be_chosen)
{
	struct ipc__address b;

	right("any:x?capacity=8K", IPC_WAY_PAIR);
	ck_assert_int_eq(ipc__address_as(&b, &a, &walk, IPC_WAY_PAIR), 0);
	ipc__address_free(&b);
	right("any:x?latest=1", IPC_WAY_PAIR);
	ck_assert_int_eq(ipc__address_as(&b, &a, &walk, IPC_WAY_PAIR),
	    -EINVAL);
	ck_assert_str_eq(ipc_errmsg(), "any:x?latest=1: latest: it can not "
	    "have this option: walk pair takes boundary, capacity");
	ck_assert_int_eq(ipc__address_as(&b, &a, &bag, IPC_WAY_PAIR), 0);
	ipc__address_free(&b);
}
END_TEST

/*
 * Anything
 */

/* Whatever a configuration file holds is taken or refused with a text. */
START_TEST(rubbish_is_refused_and_nothing_worse)
{
	static const char *const parts[] = { "bag", "walk", ":", "?", "&", "=",
	    "%", "%41", "%0", "0", "x", "/", "end", "capacity", "allow-uid",
	    "follow", "at", "1", "64K", ",", "mode", "\xff", "\n", "-" };
	struct ipc__address b;
	char text[256];
	int taken = 0, rc;

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		strlcpy(text, "bag:", i % 4 > 0 ? sizeof text : 1);
		for (long n = random() % 12; n > 0; n--)
			strlcat(text, parts[random() %
			    (long)(sizeof parts / sizeof parts[0])],
			    sizeof text);
		rc = ipc__address_parse_by(&b, text,
		    (enum ipc_way)(random() % IPC_WAYS), find);
		if (rc < 0)
			ck_assert(strlen(ipc_errmsg()) > 10);
		else
			ck_assert(rc == 0 && b.be && b.text && b.name);
		taken += rc == 0;
		ipc__address_free(&b);
	}
	ck_assert_int_gt(taken, 10000);
	ck_assert_int_lt(taken, 190000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("address");
	TCase *tc = tcase_create("form");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, an_address_is_split_and_its_parts_are_decoded);
	tcase_add_test(tc, a_bad_escape_is_told_with_its_place);
	tcase_add_test(tc, the_scheme_must_be_there_and_known);
	tcase_add_test(tc, adopting_wants_no_colon);
	tcase_add_test(tc, what_is_too_long_is_told_and_never_cut);
	tcase_add_test(tc,
	    a_way_that_a_mechanism_has_not_is_told_with_those_it_has);
	tcase_add_test(tc, a_name_is_asked_for_where_one_is_needed);
	tcase_add_test(tc, rubbish_is_refused_and_nothing_worse);
	suite_add_tcase(suite, tc);
	tc = tcase_create("options");
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, what_is_not_said_has_its_default);
	tcase_add_test(tc, each_option_arrives_where_it_belongs);
	tcase_add_loop_test(tc, sizes_are_read_in_binary_units_up_to_their_ends,
	    0, sizeof sizes / sizeof sizes[0]);
	tcase_add_loop_test(tc,
	    a_bad_value_is_refused_with_its_key_and_what_it_takes, 0,
	    BAD_VALUES);
	tcase_add_test(tc, error_texts_say_what_an_option_takes);
	tcase_add_test(tc, sixteen_may_be_allowed);
	tcase_add_test(tc, a_journal_is_followed_from_where_one_says);
	tcase_add_test(tc, an_option_without_effect_is_refused);
	tcase_add_test(tc, options_must_be_well_formed);
	tcase_add_test(tc, an_option_can_be_set_alone);
	suite_add_tcase(suite, tc);
	tc = tcase_create("choosing");
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, the_chosen_mechanism_gets_a_copy_of_its_own);
	tcase_add_test(tc, what_can_not_honour_an_option_can_not_be_chosen);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
