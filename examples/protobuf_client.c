/* SPDX-License-Identifier: ISC */
/*
 * Calls the service of protobuf_server.
 *	protobuf_client unix:/tmp/books Kernighan
 */
#include <err.h>
#include <stdio.h>

#include <ipc/ipc.h>
#include <ipc/protobuf-c.h>

#include "protobuf.pb-c.h"

int
main(int argc, char *argv[])
{
	Library__Query query = LIBRARY__QUERY__INIT;
	Library__Books *books = NULL;
	ProtobufCService *catalogue;
	struct ipc_rpc_client *c;

	if (argc != 3)
		errx(2, "usage: protobuf_client address author");
	if (ipc_rpc_connect(&c, argv[1], 5000) < 0 ||
	    ipc_protobuf_client_new(&catalogue, c,
	    &library__catalogue__descriptor, NULL, 0) < 0)
		errx(1, "%s", ipc_errmsg());
	query.author = argv[2];
	library__catalogue__find(catalogue, &query,
	    (Library__Books_Closure)ipc_protobuf_keep, &books);
	if (books == NULL)
		errx(1, "%s", ipc_errmsg());
	for (size_t i = 0; i < books->n_book; i++)
		printf("%d %s\n", books->book[i]->year, books->book[i]->title);
	library__books__free_unpacked(books, NULL);
	protobuf_c_service_destroy(catalogue);
	return ipc_rpc_client_close(c) < 0;
}
