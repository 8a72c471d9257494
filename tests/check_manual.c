/* SPDX-License-Identifier: ISC */
/*
 * What the manual says of the mechanisms, held against what the library says:
 * the table of capabilities in ipc_mechanisms(7), its sections, and the table
 * of options in ipc_address(7).  The pages are under $SRCDIR, or $IPC_SOURCE,
 * or here.
 *
 * IPC_PRINT_TABLE=1 prints both tables as they should be, to be pasted.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include <ipc/ipc.h>

#include "backend.h"
#include "suite.h"

#define ROW_MAX	512

static const char *const ways[] = { "pair", "open", "session", "adopt" };
static_assert(sizeof ways / sizeof ways[0] == IPC_WAYS, "all ways");

/* By bit. */
static const char *const caps[] = {
	"DUPLEX", "MESSAGE", "STREAM", "LARGE", "RELIABLE", "END", "DEATH",
	"DELIVERS", "FD", "FDS", "PEER", "NETWORK", "PRIORITY", "ADDRESS",
	"INPLACE", "LATEST", "SYNC", "PERSIST", "HOSTILE", "MANY", "HALF",
};
static_assert(IPC_CAP_HALF == 1 << (sizeof caps / sizeof caps[0] - 1),
    "all capabilities");

static_assert(offsetof(struct ipc_backend, mechanism) == 0,
    "a mechanism is the head of its backend");

/* The items of each mechanism's section, in this order. */
static const char *const items[] = {
	"What it is", "Limits", "Clean-up", "Caveats", "Cost",
};

/* One of the two tables. */
struct table {
	const char	*page;		/* where it stands */
	const char	*mark;		/* the line before its rows */
	unsigned	 count;		/* of bits */
	const char	*(*word)(int bit);
	unsigned	(*bits)(const struct ipc_mechanism *, int way);
};

static unsigned
bits_caps(const struct ipc_mechanism *m, int way)
{
	return m->caps[way];
}

static const char *
word_cap(int bit)
{
	return caps[bit];
}

static unsigned
bits_keys(const struct ipc_mechanism *m, int way)
{
	return ((const struct ipc_backend *)m)->keys[way];
}

static const struct table tables[] = {
	{ "ipc_mechanisms.7", ".\\\" TABLE capabilities",
	    sizeof caps / sizeof caps[0], word_cap, bits_caps },
	{ "ipc_address.7", ".\\\" TABLE options", IPC__KEYS,
	    ipc__option_name, bits_keys },
};
#define TABLES	(sizeof tables / sizeof tables[0])

/* A whole page; the test ends where it cannot be read. */
static char *
page(const char *name)
{
	const char *dir = getenv("SRCDIR");
	char path[4096], *text;
	size_t n;
	FILE *f;

	if (!dir)
		dir = getenv("IPC_SOURCE");
	snprintf(path, sizeof path, "%s/man/%s", dir ? dir : ".", name);
	f = fopen(path, "r");
	ck_assert_msg(f, "cannot open %s (SRCDIR?)", path);
	text = malloc(1 << 20);
	ck_assert_ptr_nonnull(text);
	n = fread(text, 1, (1 << 20) - 1, f);
	ck_assert(feof(f) && !ferror(f));
	fclose(f);
	text[n] = '\0';
	return text;
}

/* Copies the line at p without its end; returns the next one, or NULL. */
static const char *
line(const char *p, char out[ROW_MAX])
{
	size_t n = strcspn(p, "\n");

	ck_assert_msg(n < ROW_MAX, "a line is too long: %.60s", p);
	memcpy(out, p, n);
	out[n] = '\0';
	return p[n] ? p + n + 1 : NULL;
}

/* The line that stands for a mechanism in one way. */
static void
row(const struct table *t, const struct ipc_mechanism *m, int way,
    char out[ROW_MAX])
{
	unsigned bits = t->bits(m, way);

	snprintf(out, ROW_MAX, ".It %s Ta %s Ta", m->scheme, ways[way]);
	for (unsigned i = 0; i < t->count; i++)
		if (bits & 1u << i) {
			strlcat(out, " ", ROW_MAX);
			strlcat(out, t->word((int)i), ROW_MAX);
		}
}

/* Calls back for each row that the table must have, until one says true. */
static bool
rows(const struct table *t, bool (*each)(const char *want, void *arg),
    void *arg)
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	char want[ROW_MAX];

	for (size_t i = 0; i < n; i++)
		for (int way = 0; way < IPC_WAYS; way++) {
			if (!(list[i]->ways & 1u << way))
				continue;
			row(t, list[i], way, want);
			if (each(want, arg))
				return true;
		}
	return false;
}

/* The first row of a table in its page. */
static const char *
table_in(const struct table *t, const char *text)
{
	const char *p = strstr(text, t->mark);

	ck_assert_msg(p, "%s has no line %s", t->page, t->mark);
	p = strchr(p, '\n');
	ck_assert_ptr_nonnull(p);
	return p + 1;
}

struct search {
	const struct table *t;
	char		*text;
	const char	*have;
	unsigned	 count;
};

/* Is there exactly one such row in the page? */
static bool
in_page(const char *want, void *arg)
{
	struct search *s = arg;
	const char *p = table_in(s->t, s->text);
	char have[ROW_MAX];
	unsigned found = 0;

	while (p && (p = line(p, have)) && strcmp(have, ".El") != 0)
		if (strcmp(have, want) == 0)
			found++;
	ck_assert_msg(found == 1, "%s has this row %u times: %s", s->t->page,
	    found, want);
	s->count++;
	return false;
}

static bool
is_row(const char *want, void *arg)
{
	struct search *s = arg;

	return strcmp(want, s->have) == 0;
}

START_TEST(the_page_has_every_row_of_the_library)
{
	struct search s = { .t = &tables[_i] };

	s.text = page(s.t->page);
	rows(s.t, in_page, &s);
	ck_assert_uint_gt(s.count, 0);
	free(s.text);
}
END_TEST

START_TEST(the_page_has_no_other_row)
{
	struct search s = { .t = &tables[_i] };
	char have[ROW_MAX];
	const char *p;

	s.text = page(s.t->page);
	s.have = have;
	p = table_in(s.t, s.text);
	while (p && (p = line(p, have)) && strcmp(have, ".El") != 0)
		ck_assert_msg(rows(s.t, is_row, &s),
		    "%s has a row that is not so: %s", s.t->page, have);
	ck_assert_str_eq(have, ".El");
	free(s.text);
}
END_TEST

START_TEST(no_bit_is_without_a_word)
{
	const struct table *t = &tables[_i];
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);

	for (size_t i = 0; i < n; i++)
		for (int way = 0; way < IPC_WAYS; way++) {
			ck_assert_uint_eq(t->bits(list[i], way) >> t->count, 0);
			if (!(list[i]->ways & 1u << way))
				ck_assert_uint_eq(t->bits(list[i], way), 0);
		}
}
END_TEST

/* A section's text, up to the next one. */
static char *
section(const char *text, const char *head)
{
	const char *p = strstr(text, head), *end;

	ck_assert_msg(p, "ipc_mechanisms.7 has no line %s", head);
	p += strlen(head);
	end = strstr(p, "\n.S");
	return strndup(p, end ? (size_t)(end - p) : strlen(p));
}

START_TEST(every_mechanism_has_its_section)
{
	const struct ipc_mechanism *const *list;
	size_t n = ipc_mechanisms(&list);
	char *text = page("ipc_mechanisms.7"), head[ROW_MAX];

	for (size_t i = 0; i < n; i++) {
		const char *p;
		char *own;

		snprintf(head, sizeof head, "\n.Ss %s: %s\n", list[i]->scheme,
		    list[i]->title);
		p = own = section(text, head);
		for (size_t k = 0; k < sizeof items / sizeof items[0]; k++) {
			snprintf(head, sizeof head, ".It %s\n", items[k]);
			p = strstr(p, head);
			ck_assert_msg(p, "%s: has no item %s in its place",
			    list[i]->scheme, items[k]);
		}
		free(own);
	}
	free(text);
}
END_TEST

START_TEST(every_option_is_explained)
{
	char *text = page("ipc_address.7"), head[ROW_MAX];

	for (int i = 0; i < IPC__KEYS; i++) {
		snprintf(head, sizeof head, "\n.It Cm %s Ns =",
		    ipc__option_name(i));
		ck_assert_msg(strstr(text, head), "ipc_address.7 has no %s",
		    head + 1);
	}
	free(text);
}
END_TEST

static bool
print(const char *want, void *arg)
{
	(void)arg;
	puts(want);
	return false;
}

int
main(void)
{
	Suite *s = suite_create("manual");
	TCase *tc = tcase_create("tables");

	if (getenv("IPC_PRINT_TABLE")) {
		for (size_t i = 0; i < TABLES; i++) {
			puts(tables[i].mark);
			rows(&tables[i], print, NULL);
		}
		return 0;
	}
	tcase_add_loop_test(tc, the_page_has_every_row_of_the_library, 0,
	    TABLES);
	tcase_add_loop_test(tc, the_page_has_no_other_row, 0, TABLES);
	tcase_add_loop_test(tc, no_bit_is_without_a_word, 0, TABLES);
	tcase_add_test(tc, every_mechanism_has_its_section);
	tcase_add_test(tc, every_option_is_explained);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
