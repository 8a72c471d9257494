/* SPDX-License-Identifier: ISC */
/*
 * ipc list: the IPC objects of this machine, as a table or as JSON.
 */
#include <err.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "list.h"

#define COLUMNS	9

/* What is shown. */
struct filter {
	bool	all, ours, orphans;
};

static const char *const states[] = {
	[STATE_UNKNOWN]	= "unknown",
	[STATE_ALIVE]	= "alive",
	[STATE_ORPHAN]	= "orphan"
};

static bool
is_shown(const struct object *o, const struct filter *f)
{
	return (f->all || !o->minor) && (!f->ours || o->ours) &&
	    (!f->orphans || o->state == STATE_ORPHAN);
}

/*
 * The table
 */

static char *
holders_text(const struct object *o)
{
	size_t size;
	char *text;
	FILE *f = need(open_memstream(&text, &size));

	for (size_t i = 0; i < o->holder_count; i++)
		fprintf(f, "%s%ld(%s)", i > 0 ? " " : "",
		    (long)o->holders[i].pid, o->holders[i].command);
	if (o->holder_count == 0)
		putc('-', f);
	if (fclose(f) == EOF)
		err(EXIT_FAILED, "no memory");
	return text;
}

static void
owner_text(const struct object *o, char *text, size_t size)
{
	const struct passwd *pw = o->owned ? getpwuid(o->uid) : NULL;

	if (!o->owned)
		strlcpy(text, "-", size);
	else if (pw)
		strlcpy(text, pw->pw_name, size);
	else
		snprintf(text, size, "%lu", (unsigned long)o->uid);
}

static void
number_text(long long n, char *text, size_t size)
{
	if (n < 0)
		strlcpy(text, "-", size);
	else
		snprintf(text, size, "%lld", n);
}

/* The texts of one row, which are freed. */
static void
row_of(const struct object *o, char *row[COLUMNS])
{
	char id[24], size[24], owner[64], mode[8] = "-";

	number_text(o->id, id, sizeof id);
	number_text(o->size, size, sizeof size);
	owner_text(o, owner, sizeof owner);
	if (o->owned)
		snprintf(mode, sizeof mode, "%04o", (unsigned)o->mode);
	row[0] = need(strdup(o->kind));
	row[1] = need(strdup(o->name));
	row[2] = need(strdup(id));
	row[3] = need(strdup(size));
	row[4] = need(strdup(owner));
	row[5] = need(strdup(mode));
	row[6] = need(strdup(states[o->state]));
	row[7] = need(strdup(o->ours ? "yes" : "-"));
	row[8] = holders_text(o);
}

static void
print_row(char *const row[COLUMNS], const size_t width[COLUMNS])
{
	for (int i = 0; i < COLUMNS; i++) {
		size_t used = print_text(NULL, row[i]);
		int pad = width[i] > used ? (int)(width[i] - used) : 0;
		bool right = i == 2 || i == 3;

		printf("%*s", right ? pad : 0, "");
		print_text(stdout, row[i]);
		if (i < COLUMNS - 1)
			printf("%*s", (right ? 0 : pad) + 1, "");
	}
	putchar('\n');
}

static void
print_table(const struct list *l, const struct filter *f)
{
	char *head[COLUMNS] = { (char[]){ "KIND" }, (char[]){ "NAME" },
	    (char[]){ "ID" }, (char[]){ "SIZE" }, (char[]){ "OWNER" },
	    (char[]){ "MODE" }, (char[]){ "STATE" }, (char[]){ "LIBIPC" },
	    (char[]){ "HOLDERS" } };
	char *(*rows)[COLUMNS];
	size_t width[COLUMNS], n = 0;

	rows = need(calloc(l->count + 1, sizeof *rows));
	memcpy(rows[n++], head, sizeof head);
	for (size_t i = 0; i < l->count; i++)
		if (is_shown(&l->objects[i], f))
			row_of(&l->objects[i], rows[n++]);
	memset(width, 0, sizeof width);
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < COLUMNS; c++)
			if (print_text(NULL, rows[i][c]) > width[c])
				width[c] = print_text(NULL, rows[i][c]);
	for (size_t i = 0; i < n; i++)
		print_row(rows[i], width);
	for (size_t i = 1; i < n; i++)
		for (int c = 0; c < COLUMNS; c++)
			free(rows[i][c]);
	free(rows);
}

/*
 * JSON
 */

static void
print_json_number(const char *name, long long n)
{
	if (n < 0)
		printf(", \"%s\": null", name);
	else
		printf(", \"%s\": %lld", name, n);
}

static void
print_json_owner(const struct object *o)
{
	if (o->owned)
		printf(", \"uid\": %lu, \"mode\": \"%04o\"",
		    (unsigned long)o->uid, (unsigned)o->mode);
	else
		printf(", \"uid\": null, \"mode\": null");
}

static void
print_json_object(const struct object *o)
{
	printf("{\"kind\": \"%s\", \"name\": ", o->kind);
	print_json_string(stdout, o->name);
	print_json_number("id", o->id);
	print_json_number("size", o->size);
	print_json_owner(o);
	printf(", \"state\": \"%s\", \"libipc\": %s,\n   \"holders\": [",
	    states[o->state], o->ours ? "true" : "false");
	for (size_t i = 0; i < o->holder_count; i++) {
		printf("%s{\"pid\": %ld, \"command\": ", i > 0 ? ", " : "",
		    (long)o->holders[i].pid);
		print_json_string(stdout, o->holders[i].command);
		printf(", \"how\": \"%s\"}", o->holders[i].how);
	}
	printf("]}");
}

static void
print_json(const struct list *l, const struct filter *f)
{
	const char *comma = "";

	printf("{\"objects\": [");
	for (size_t i = 0; i < l->count; i++) {
		if (!is_shown(&l->objects[i], f))
			continue;
		printf("%s\n  ", comma);
		print_json_object(&l->objects[i]);
		comma = ",";
	}
	printf("\n ],\n \"unseen\": [");
	for (size_t i = 0; i < l->unseen_count; i++) {
		printf(i > 0 ? ",\n  " : "\n  ");
		print_json_string(stdout, l->unseen[i]);
	}
	printf("]\n}\n");
}

static int
list_and_print(const struct filter *f, bool json)
{
	struct list l;

	list_gather(&l);
	if (json)
		print_json(&l, f);
	else {
		print_table(&l, f);
		for (size_t i = 0; i < l.unseen_count; i++)
			warnx("%s", l.unseen[i]);
	}
	list_free(&l);
	return EXIT_OK;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct filter f = { .all = false };
	bool json = false;
	int c;

	while ((c = next_option(cmd, argc, argv, "ajlo")) != -1)
		switch (c) {
		case 'a':
			f.all = true;
			break;
		case 'j':
			json = true;
			break;
		case 'l':
			f.ours = true;
			break;
		case 'o':
			f.orphans = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc != optind)
		return usage(cmd);
	return list_and_print(&f, json);
}

const struct command cmd_list = {
	.name = "list",
	.arguments = "[-ajlo]",
	.summary = "Lists the IPC objects of this machine and who holds them",
	.help =
	    "  -a          all: also sockets that are connected or that "
	    "nobody named\n"
	    "  -j, --json  as JSON\n"
	    "  -l          only what is known to be this library's\n"
	    "  -o          only orphans: what no living process has\n",
	.run = run
};
