/* SPDX-License-Identifier: ISC */
/*
 * What the subcommands of ipc(1) share: how one is declared, how it reads its
 * options, how it gets a channel, and how it says what went wrong.
 *
 * A subcommand is one file with one `const struct command' and one line in
 * ipc.c.  It uses the public interface of the library only.
 */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include <ipc/ipc.h>

enum {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,
	EXIT_USAGE	= 2
};

#define CHUNK		65536	/* bytes moved at a time */
#define ADDRESS_MAX	4352	/* the longest path and some options */

struct command {
	const char	*name;
	const char	*arguments;	/* behind the name in the usage line */
	const char	*summary;	/* one line */
	const char	*help;		/* the options, a line each */
	int		(*run)(const struct command *, int argc, char *argv[]);
};

extern const struct command cmd_bench, cmd_bridge, cmd_call, cmd_cat, cmd_demo,
    cmd_doctor, cmd_gc, cmd_list, cmd_lock, cmd_mechanisms, cmd_recv, cmd_rm,
    cmd_sem, cmd_send, cmd_serve, cmd_spawn;

/* How a channel is got, as the options say. */
enum how { CONNECT, LISTEN, OPEN };

/*
 * Options
 */

/* getopt(3) with --help, which prints the help and exits, and, where `letters'
 * has a j, --json.  -1 at the end, '?' after a message for a wrong one. */
int next_option(const struct command *, int argc, char *argv[],
    const char *letters);
int usage(const struct command *);		/* EXIT_USAGE */
void print_help(const struct command *);

/* Waits for the program `name' to end.  EXIT_FAILED, with a message, unless it
 * did well. */
int reap(pid_t child, const char *name);

/* A number between min and max, or a message and exit(EXIT_USAGE). */
long long number(const char *what, const char *text, long long min,
    long long max);

/* The address with key=value added, unless it has that key: false where the
 * buffer is too small. */
bool with_option(char *buffer, size_t size, const char *address,
    const char *key, const char *value);

/*
 * Channels
 */

/* Prints the library's last error; EXIT_FAILED. */
int failed(void);

/* A channel to `address', got as `how' says.  Of a listener it takes the first
 * client and then listens no more; SIGINT and SIGTERM end the command only when
 * its name is gone.  An error has been printed. */
int obtain(struct ipc_channel **, const char *address, enum how, int flags,
    int timeout);

/* The info of a channel; never fails on one that is open. */
struct ipc_info info_of(const struct ipc_channel *);

/* Sends `data' as one message, or as bytes where the channel is a stream. */
int put(struct ipc_channel *, const void *data, size_t size, int timeout);

/*
 * Relays between the channel and standard input and output until both ways
 * have ended.  The end of standard input ends the channel's sending direction
 * only; once the receiving one has ended as well, or after `quiet' milliseconds
 * of silence (-1: for ever), it returns.  gone_fd: readable when the process at
 * the other end is gone, so that there is nobody to send to; -1: nobody knows.
 */
int relay_stdio(struct ipc_channel *, int quiet, int gone_fd);

/*
 * Descriptors and output
 */

/* A descriptor that is readable when one of these signals (0 at the end) came,
 * which are blocked from now on; the old mask goes to *old. */
int catch_signals(const int *signals, void *old);

/* Allows as many descriptors as there may be: a channel in an event loop has
 * several, and the usual limit is meant for programs that have few.  The limit
 * that was goes to *old, which may be NULL. */
struct rlimit;
void raise_limit(struct rlimit *old);

/* All of standard input, to be freed, but no more than one byte above `most':
 * then the library says what was too large.  -1, with errno, if it fails. */
int read_input(char **data, size_t *size, size_t most);

/* All of it, with a message where that fails. */
int write_all(int fd, const void *data, size_t size);

/* A text of anybody's: what is no UTF-8 is taken byte by byte. */
void print_json_string(FILE *, const char *text);
/* The same for people, with nothing in it that moves a terminal.  Returns how
 * many columns it takes, if a character takes one; out may be NULL. */
size_t print_text(FILE *out, const char *text);
/* A name as it stands in an address, with %XX for what means something else
 * there and for what is no text; free(3), or NULL without memory. */
char *address_name(const char *name);

/* The kernel's own direction and boundary under a scheme, such as "simplex
 * stream": what the library makes of it is in ipc_mechanism(). */
const char *native_form(const char *scheme);

extern const char *const way_names[IPC_WAYS];

double now(void);			/* seconds, monotonic */

#endif
