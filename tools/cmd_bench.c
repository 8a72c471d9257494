/* SPDX-License-Identifier: ISC */
/*
 * ipc bench: the benchmark of bench/, without the other libraries.
 */
#include "../bench/bench.h"
#include "common.h"

static int
run(const struct command *cmd, int argc, char *argv[])
{
	(void)cmd;
	return bench_main(argc, argv, NULL);
}

const struct command cmd_bench = {
	.name = "bench",
	.arguments = bench_arguments,
	.summary = "Measures every mechanism beside the bare calls under it",
	.help = bench_help,
	.run = run
};
