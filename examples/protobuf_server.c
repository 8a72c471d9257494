/* SPDX-License-Identifier: ISC */
/*
 * A service of a .proto file, over whatever the addresses say.
 *	protobuf_server unix:/tmp/books tcp://localhost:4000
 */
#include <err.h>
#include <string.h>

#include <ipc/ipc.h>
#include <ipc/protobuf-c.h>

#include "protobuf.pb-c.h"

static const struct {
	const char *author, *title;
	int year;
} books[] = {
	{ "Kernighan", "The C Programming Language", 1978 },
	{ "Kernighan", "The UNIX Programming Environment", 1984 },
	{ "Stevens", "UNIX Network Programming", 1990 },
	{ "Knuth", "The Art of Computer Programming", 1968 }
};
#define BOOKS	(sizeof books / sizeof books[0])

static void
library__find(Library__Catalogue_Service *service, const Library__Query *query,
    Library__Books_Closure closure, void *closure_data)
{
	Library__Books answer = LIBRARY__BOOKS__INIT;
	Library__Book found[BOOKS], *list[BOOKS];

	(void)service;
	answer.book = list;
	for (size_t i = 0; i < BOOKS; i++) {
		if (strcmp(books[i].author, query->author) != 0)
			continue;
		list[answer.n_book] = &found[i];
		library__book__init(list[answer.n_book++]);
		found[i].title = (char *)books[i].title;
		found[i].year = books[i].year;
	}
	if (answer.n_book == 0)
		ipc_protobuf_fail(closure_data, 1, "nothing by this author");
	else
		closure(&answer, closure_data);
}

int
main(int argc, char *argv[])
{
	Library__Catalogue_Service catalogue = LIBRARY__CATALOGUE__INIT(
	    library__);
	struct ipc_protobuf_server *p;
	struct ipc_rpc_server *s;

	if (argc < 2)
		errx(2, "usage: protobuf_server address ...");
	if (ipc_rpc_server_new(&s) < 0 ||
	    ipc_protobuf_server_new(&p, s, &catalogue.base, NULL) < 0)
		errx(1, "%s", ipc_errmsg());
	for (int i = 1; i < argc; i++)
		if (ipc_rpc_listen(s, argv[i], 0) < 0)
			errx(1, "%s", ipc_errmsg());
	ipc_rpc_serve(s, -1);
	errx(1, "%s", ipc_errmsg());
}
