/* SPDX-License-Identifier: ISC */
/*
 * ipc(1): the library's command.  Here is the table of subcommands, and what
 * happens before and after one runs.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

static const struct command *const commands[] = {
	&cmd_send,
	&cmd_recv,
	&cmd_cat,
	&cmd_bridge,
	&cmd_spawn,
	&cmd_call,
	&cmd_serve,
	&cmd_lock,
	&cmd_sem,
	&cmd_mechanisms,
	&cmd_list,
	&cmd_rm,
	&cmd_gc,
	&cmd_doctor,
	&cmd_demo,
	&cmd_bench
};
#define COMMANDS	(sizeof commands / sizeof commands[0])

static void
print_commands(FILE *out)
{
	fprintf(out, "usage: ipc command [option ...] [argument ...]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-12s%s\n", commands[i]->name,
		    commands[i]->summary);
	fprintf(out, "\nipc command --help tells more of each.\n");
}

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int
run_help(const char *name)
{
	const struct command *cmd;

	if (!name) {
		print_commands(stdout);
		return EXIT_OK;
	}
	cmd = find(name);
	if (!cmd) {
		warnx("there is no command '%s'", name);
		return EXIT_USAGE;
	}
	print_help(cmd);
	return EXIT_OK;
}

int
main(int argc, char *argv[])
{
	const struct command *cmd;
	int status;

	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		status = run_help(argv[2]);
	else if ((cmd = find(argv[1])))
		status = cmd->run(cmd, argc - 1, argv + 1);
	else {
		warnx("there is no command '%s'", argv[1]);
		print_commands(stderr);
		status = EXIT_USAGE;
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		warn("standard output");
		status = EXIT_FAILED;
	}
	return status;
}
