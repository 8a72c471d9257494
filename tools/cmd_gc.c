/* SPDX-License-Identifier: ISC */
/*
 * ipc gc: removes what dead processes left of this library's objects, and says
 * what it was.
 */
#include <err.h>
#include <unistd.h>

#include "common.h"

struct output {
	bool	json;
	int	count;
};

static void
tell(const char *what, void *user)
{
	struct output *o = user;

	if (o->json) {
		printf("%s\n  {\"path\": ", o->count > 0 ? "," : "");
		print_json_string(stdout, what);
		putchar('}');
	} else {
		print_text(stdout, what);
		putchar('\n');
	}
	o->count++;
}

/* Tells one after the other, as they go. */
static int
collect(bool only_tell, bool json)
{
	struct output o = { json, 0 };
	int rc;

	if (json)
		putchar('[');
	rc = only_tell ? ipc_leftovers(tell, &o) : ipc_gc(tell, &o);
	if (json)
		printf("%s]\n", o.count > 0 ? "\n" : "");
	return rc < 0 ? failed() : EXIT_OK;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	bool only_tell = false, json = false;
	int c;

	while ((c = next_option(cmd, argc, argv, "jn")) != -1)
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'n':
			only_tell = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc != optind)
		return usage(cmd);
	return collect(only_tell, json);
}

const struct command cmd_gc = {
	.name = "gc",
	.arguments = "[-jn]",
	.summary = "Removes what dead processes left of this library's objects",
	.help =
	    "  -j, --json  as JSON\n"
	    "  -n          only tells what it would remove\n",
	.run = run
};
