/* SPDX-License-Identifier: ISC */
/*
 * The benchmark with the other libraries: `ipc bench' and its peers, which the
 * command itself is not linked with.
 */
#include "bench.h"

/* Written by the Makefile: all that could be built. */
extern const struct subject *const *const bench_peer_lists[];

#define PEERS	64

int
main(int argc, char *argv[])
{
	const struct subject *peers[PEERS + 1];
	unsigned n = 0;

	for (unsigned i = 0; bench_peer_lists[i]; i++)
		for (unsigned j = 0; bench_peer_lists[i][j] && n < PEERS; j++)
			peers[n++] = bench_peer_lists[i][j];
	peers[n] = NULL;
	return bench_main(argc, argv, peers);
}
