/* SPDX-License-Identifier: ISC */
/*
 * ipc bridge: accepts clients on one address, connects to another for each of
 * them, and relays between the two.  One thread and one epoll set for all; what
 * one relay does is in relay.c.
 */
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "relay.h"

#define EVENTS		128	/* taken at a time */
#define ACCEPTS		32	/* then the others have their turn */
#define CONNECT_MS	10000

struct bridge {
	struct ipc_listener	*listener;
	const char		*target;
	bool			 messages, verbose;
	int			 epoll, signals;
	struct ipc_channel	*parked;	/* a client for whom there was
						   no descriptor */
	LIST_HEAD(, relay)	 relays;
	size_t			 count;
	unsigned long long	 total;
	const char		*why;	/* no relay could be made */
};

static int
add_fd(struct bridge *b, int fd, void *what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
		return 0;
	warn("epoll");
	return -1;
}

static bool
out_of_descriptors(int rc)
{
	return rc == -EMFILE || rc == -ENFILE;
}

static int
start_relay(struct bridge *b, struct ipc_channel *client)
{
	struct ipc_channel *server;
	struct relay *r;
	int rc;

	rc = ipc_connect(&server, b->target, IPC_ASYNC, CONNECT_MS);
	if (rc < 0) {
		b->why = ipc_errmsg();
		return rc;
	}
	rc = relay_new(&r, b->epoll, client, server, b->messages);
	if (rc < 0) {
		b->why = ipc_strerror(rc);
		ipc_close(server);
		return rc;
	}
	r->number = ++b->total;
	b->count++;
	LIST_INSERT_HEAD(&b->relays, r, link);
	if (b->verbose)
		warnx("client %llu is here, %zu in all", r->number, b->count);
	return 0;
}

/* A client for whom there is no descriptor waits until another one has left,
 * and those behind it wait with the listener; if there is no other, it must
 * go. */
static void
admit(struct bridge *b, struct ipc_channel *client)
{
	int rc = start_relay(b, client);

	if (rc == 0)
		return;
	if (!out_of_descriptors(rc) || b->count == 0) {
		warnx("a client is turned away: %s", b->why);
		ipc_close(client);
		return;
	}
	if (b->verbose)
		warnx("a client waits: %s", b->why);
	epoll_ctl(b->epoll, EPOLL_CTL_DEL, ipc_listener_fd(b->listener), NULL);
	b->parked = client;
}

static void
accept_clients(struct bridge *b)
{
	struct ipc_channel *client;
	int rc = 0;

	for (int i = 0; i < ACCEPTS && !b->parked; i++) {
		rc = ipc_accept(&client, b->listener, 0);
		if (rc < 0)
			break;
		admit(b, client);
	}
	if (rc < 0 && rc != -EAGAIN && (b->verbose || !out_of_descriptors(rc)))
		warnx("%s", ipc_errmsg());
}

static void
unpark(struct bridge *b)
{
	struct ipc_channel *client = b->parked;

	b->parked = NULL;
	if (add_fd(b, ipc_listener_fd(b->listener), b) < 0)
		exit(EXIT_FAILED);
	admit(b, client);
}

static void
end_relay(struct bridge *b, struct relay *r)
{
	b->count--;
	if (b->verbose)
		warnx("client %llu has gone: %llu bytes there, %llu back, "
		    "%zu left", r->number,
		    (unsigned long long)r->flows[0].bytes,
		    (unsigned long long)r->flows[1].bytes, b->count);
	LIST_REMOVE(r, link);
	relay_free(r);
}

/* Relays that ended are freed only behind all events of this turn, as another
 * of those may be theirs. */
static bool
turn(struct bridge *b)
{
	struct epoll_event events[EVENTS];
	struct relay *ended[EVENTS];
	int n, gone = 0;
	bool go_on = true;

	n = epoll_wait(b->epoll, events, EVENTS, -1);
	for (int i = 0; i < n; i++) {
		void *what = events[i].data.ptr;

		if (what == b)
			accept_clients(b);
		else if (what == &b->signals)
			go_on = false;
		else if (relay_event(what))
			ended[gone++] = ((struct watch *)what)->relay;
	}
	for (int i = 0; i < gone; i++)
		end_relay(b, ended[i]);
	if (gone > 0 && b->parked)
		unpark(b);
	return go_on;
}

static int
print_address(const struct ipc_listener *l)
{
	char address[ADDRESS_MAX];

	if (ipc_listener_address(l, address, sizeof address) < 0)
		return failed();
	puts(address);
	return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_OK;
}

static int
set_up(struct bridge *b)
{
	static const int ends[] = { SIGINT, SIGTERM, 0 };

	raise_limit(NULL);
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->signals = catch_signals(ends, NULL);
	if (b->epoll < 0 || b->signals < 0) {
		warn("epoll");
		return EXIT_FAILED;
	}
	if (add_fd(b, b->signals, &b->signals) < 0)
		return EXIT_FAILED;
	return EXIT_OK;
}

static int
serve(struct bridge *b, const char *address, bool print)
{
	int status, fd;

	status = set_up(b);
	if (status != EXIT_OK)
		return status;
	if (ipc_listen(&b->listener, address, 0) < 0)
		return failed();
	fd = ipc_listener_fd(b->listener);
	if (fd < 0)
		status = failed();
	else if (add_fd(b, fd, b) < 0)
		status = EXIT_FAILED;
	else if (print)
		status = print_address(b->listener);
	while (status == EXIT_OK && turn(b))
		;
	while (!LIST_EMPTY(&b->relays))
		end_relay(b, LIST_FIRST(&b->relays));
	ipc_close(b->parked);
	ipc_listener_close(b->listener);
	if (b->verbose)
		warnx("%llu clients were here", b->total);
	return status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	static char from[ADDRESS_MAX], to[ADDRESS_MAX];
	struct bridge b = { .target = to };
	bool print = false;
	const char *boundary;
	int c;

	while ((c = next_option(cmd, argc, argv, "mpv")) != -1)
		switch (c) {
		case 'm':
			b.messages = true;
			break;
		case 'p':
			print = true;
			break;
		case 'v':
			b.verbose = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind != 2)
		return usage(cmd);
	boundary = b.messages ? "message" : "stream";
	for (int i = 0; i < 2; i++)
		if (!with_option(i ? to : from, ADDRESS_MAX, argv[optind + i],
		    "boundary", boundary))
			errx(EXIT_FAILED, "%s: this address is too long",
			    argv[optind + i]);
	LIST_INIT(&b.relays);
	return serve(&b, from, print);
}

const struct command cmd_bridge = {
	.name = "bridge",
	.arguments = "[-mpv] listen-address connect-address",
	.summary = "Accepts clients on one address and relays each to another",
	.help =
	    "Bytes are relayed, both ways at once, to any program that talks\n"
	    "the bare mechanism.  It takes as many clients as the hard limit\n"
	    "of open files allows, the others wait until some have left, and\n"
	    "it ends with SIGINT or SIGTERM.\n\n"
	    "  -m  relay messages of this library instead of bytes\n"
	    "  -p  print the address that clients can connect to, such as the\n"
	    "      port of tcp://127.0.0.1:0\n"
	    "  -v  tell of every client on standard error\n",
	.run = run
};
