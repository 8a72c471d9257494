/* SPDX-License-Identifier: ISC */
/*
 * ipc call: calls a method of an rpc server.
 */
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

#define LARGEST		((size_t)1 << 30)	/* argument that is read */
#define MOST_CODE	255			/* that an exit status has */

struct calling {
	struct ipc_rpc_request	 request;
	bool			 notify, parts, raw;
};

/* In one write, so that the lines of many of us stay whole. */
static int
print_answer(const struct calling *k, char **text, size_t size)
{
	char *line;

	if (!k->raw && (size == 0 || (*text)[size - 1] != '\n')) {
		line = realloc(*text, size + 1);
		if (line == NULL) {
			warn(NULL);
			return EXIT_FAILED;
		}
		line[size++] = '\n';
		*text = line;
	}
	return size == 0 || write_all(STDOUT_FILENO, *text, size) == 0 ?
	    EXIT_OK : EXIT_FAILED;
}

/* What the method failed with is this command's own exit status, as it was the
 * exit status of a command that ipc serve has run. */
static int
failed_with(int status)
{
	failed();
	if (status < 0)
		return EXIT_FAILED;
	return status < MOST_CODE ? status : MOST_CODE;
}

static int
call_once(struct ipc_rpc_client *c, const struct calling *k)
{
	void *answer;
	char *text;
	size_t size;
	int rc;

	rc = ipc_rpc_perform(c, &k->request, &answer, &size);
	if (rc != 0)
		return failed_with(rc);
	text = answer;
	rc = print_answer(k, &text, text != NULL ? size : 0);
	free(text);
	return rc;
}

/* Parts are printed as they come, and an empty end is not. */
static int
call_parts(struct ipc_rpc_client *c, const struct calling *k)
{
	struct ipc_rpc_stream *s;
	int rc, status = EXIT_OK;
	void *part;
	size_t size;

	if (ipc_rpc_stream_open(&s, c, &k->request) < 0)
		return failed();
	do {
		rc = ipc_rpc_stream_next(s, &part, &size, -1);
		if ((rc == 0 || rc == IPC_RPC_MORE) && part != NULL &&
		    write_all(STDOUT_FILENO, part, size) < 0)
			status = EXIT_FAILED;
		free(part);
	} while (rc == IPC_RPC_MORE && status == EXIT_OK);
	if (rc != 0 && rc != IPC_RPC_MORE)
		status = failed_with(rc);
	ipc_rpc_stream_close(s);
	return status;
}

/* Connecting and the call have the same time together. */
static int
call(const char *address, struct calling *k)
{
	struct ipc_rpc_request *q = &k->request;
	struct ipc_rpc_client *c;
	double start = now();
	int status, passed;

	if (ipc_rpc_connect(&c, address, q->timeout) < 0)
		return failed();
	passed = (int)((now() - start) * 1000);
	if (q->timeout > 0)
		q->timeout = passed < q->timeout ? q->timeout - passed : 1;
	if (k->notify)
		status = ipc_rpc_notify(c, q->method, q->args, q->size,
		    q->timeout) < 0 ? failed() : EXIT_OK;
	else if (k->parts)
		status = call_parts(c, k);
	else
		status = call_once(c, k);
	ipc_rpc_client_close(c);
	return status;
}

/* The words, with a blank between them, as echo(1) prints them. */
static char *
join(char *argv[], size_t *size)
{
	size_t room = 1;
	char *text;

	for (int i = 0; argv[i] != NULL; i++)
		room += strlen(argv[i]) + 1;
	text = calloc(1, room);
	if (text == NULL)
		err(EXIT_FAILED, NULL);
	for (int i = 0; argv[i] != NULL; i++) {
		if (i > 0)
			strlcat(text, " ", room);
		strlcat(text, argv[i], room);
	}
	*size = strlen(text);
	return text;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct calling k = { .request = { .struct_size = sizeof k.request,
	    .timeout = -1 } };
	bool input = false;
	char *args = NULL;
	int c, status;

	while ((c = next_option(cmd, argc, argv, "+inprt:")) != -1)
		switch (c) {
		case 'i':
			input = true;
			break;
		case 'n':
			k.notify = true;
			break;
		case 'p':
			k.parts = true;
			k.request.flags |= IPC_RPC_PARTS;
			break;
		case 'r':
			k.raw = true;
			break;
		case 't':
			k.request.timeout = (int)number("timeout", optarg, 1,
			    INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	argc -= optind;
	argv += optind;
	if (argc < 2 || (input && argc > 2) || (k.notify && k.parts))
		return usage(cmd);
	if (!input)
		args = join(argv + 2, &k.request.size);
	else if (read_input(&args, &k.request.size, LARGEST) < 0)
		err(EXIT_FAILED, "standard input");
	k.request.method = argv[1];
	k.request.args = args;
	status = call(argv[0], &k);
	free(args);
	return status;
}

const struct command cmd_call = {
	.name = "call",
	.arguments = "[-inpr] [-t ms] address method [argument ...]",
	.summary = "Calls a method of an rpc server and prints the answer",
	.help =
	    "The arguments, with a blank between them, are the bytes that the\n"
	    "method is given.  If it fails, its code is the exit status.\n\n"
	    "  -i     standard input is what the method is given\n"
	    "  -n     wait for no answer: nobody tells whether it ran\n"
	    "  -p     print the answer in parts, as they come\n"
	    "  -r     raw: no newline after an answer that has none\n"
	    "  -t ms  give up after so many milliseconds, which cancels it\n",
	.run = run
};
