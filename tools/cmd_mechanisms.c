/* SPDX-License-Identifier: ISC */
/*
 * ipc mechanisms: what ipc_mechanism(3) knows, as tables or as JSON.
 */
#include <err.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static const struct {
	unsigned	 cap;
	const char	*name;
	const char	*meaning;
} capabilities[] = {
	{ IPC_CAP_DUPLEX, "duplex", "both ways at once" },
	{ IPC_CAP_HALF, "half", "both ways in turns (duplex=half)" },
	{ IPC_CAP_MESSAGE, "message", "messages arrive as they were sent" },
	{ IPC_CAP_STREAM, "stream", "a byte stream (boundary=stream)" },
	{ IPC_CAP_LARGE, "large", "any size up to max-message" },
	{ IPC_CAP_RELIABLE, "reliable", "nothing is lost between the living" },
	{ IPC_CAP_DELIVERS, "delivers", "outlives the death of the sender" },
	{ IPC_CAP_END, "end", "the end of the other side is told" },
	{ IPC_CAP_DEATH, "death", "dying and closing are told apart" },
	{ IPC_CAP_FD, "fd", "can be waited for in an event loop" },
	{ IPC_CAP_FDS, "fds", "carries descriptors" },
	{ IPC_CAP_PEER, "peer", "knows who is at the other end" },
	{ IPC_CAP_NETWORK, "network", "reaches other machines" },
	{ IPC_CAP_PRIORITY, "priority", "messages have priorities" },
	{ IPC_CAP_ADDRESS, "address", "messages have return addresses" },
	{ IPC_CAP_INPLACE, "inplace", "reserve and peek do not copy" },
	{ IPC_CAP_LATEST, "latest", "can keep the newest only (latest=1)" },
	{ IPC_CAP_SYNC, "sync", "can be on disk at once (sync=1)" },
	{ IPC_CAP_PERSIST, "persist", "unread messages outlive both ends" },
	{ IPC_CAP_HOSTILE, "hostile", "holds against a hostile other end" },
	{ IPC_CAP_MANY, "many", "many senders or receivers share it" }
};
#define CAPABILITIES	(sizeof capabilities / sizeof capabilities[0])

static bool
has_way(const struct ipc_mechanism *m, int way)
{
	return m->ways & 1u << way;
}

/* One line for each mechanism. */
static void
print_table(const struct ipc_mechanism *const *list, size_t count)
{
	printf("%-11s %-16s", "SCHEME", "NATIVE FORM");
	for (int way = 0; way < IPC_WAYS; way++)
		printf(" %-7s", way_names[way]);
	printf(" %s\n", "TITLE");
	for (size_t i = 0; i < count; i++) {
		printf("%-11s %-16s", list[i]->scheme,
		    native_form(list[i]->scheme));
		for (int way = 0; way < IPC_WAYS; way++)
			printf(" %-7s", has_way(list[i], way) ? "yes" : "-");
		printf(" %s\n", list[i]->title);
	}
}

/* One mechanism: a line for each capability. */
static void
print_capabilities(const struct ipc_mechanism *m)
{
	printf("%s: %s, %s\n\n%-10s", m->scheme, m->title,
	    native_form(m->scheme), "");
	for (int way = 0; way < IPC_WAYS; way++)
		if (has_way(m, way))
			printf(" %-7s", way_names[way]);
	putchar('\n');
	for (size_t i = 0; i < CAPABILITIES; i++) {
		printf("%-10s", capabilities[i].name);
		for (int way = 0; way < IPC_WAYS; way++)
			if (has_way(m, way))
				printf(" %-7s", m->caps[way] &
				    capabilities[i].cap ? "yes" : "-");
		printf(" %s\n", capabilities[i].meaning);
	}
}

static void
print_json_caps(unsigned caps)
{
	const char *comma = "";

	putchar('[');
	for (size_t i = 0; i < CAPABILITIES; i++)
		if (caps & capabilities[i].cap) {
			printf("%s\"%s\"", comma, capabilities[i].name);
			comma = ", ";
		}
	putchar(']');
}

static void
print_json(const struct ipc_mechanism *const *list, size_t count)
{
	putchar('[');
	for (size_t i = 0; i < count; i++) {
		const char *comma = "";

		printf("%s\n  {\"scheme\": \"%s\", \"title\": ", i ? "," : "",
		    list[i]->scheme);
		print_json_string(stdout, list[i]->title);
		printf(", \"native\": \"%s\",\n   \"ways\": {",
		    native_form(list[i]->scheme));
		for (int way = 0; way < IPC_WAYS; way++) {
			if (!has_way(list[i], way))
				continue;
			printf("%s\n     \"%s\": ", comma, way_names[way]);
			print_json_caps(list[i]->caps[way]);
			comma = ",";
		}
		printf("}}");
	}
	printf("\n]\n");
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	const struct ipc_mechanism *const *list;
	const struct ipc_mechanism *one;
	size_t count = ipc_mechanisms(&list);
	bool json = false;
	int c;

	while ((c = next_option(cmd, argc, argv, "j")) != -1)
		switch (c) {
		case 'j':
			json = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind > 1)
		return usage(cmd);
	if (argc - optind == 1) {
		one = ipc_mechanism(argv[optind]);
		if (!one) {
			warnx("there is no mechanism '%s'", argv[optind]);
			return EXIT_FAILED;
		}
		list = &one;
		count = 1;
	}
	if (json)
		print_json(list, count);
	else if (argc - optind == 1)
		print_capabilities(one);
	else
		print_table(list, count);
	return EXIT_OK;
}

const struct command cmd_mechanisms = {
	.name = "mechanisms",
	.arguments = "[-j] [scheme]",
	.summary = "Lists the mechanisms, or what one of them can do",
	.help =
	    "  -j, --json  as JSON, with all capabilities of all ways\n",
	.run = run
};
