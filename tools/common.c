/* SPDX-License-Identifier: ISC */
/*
 * What the subcommands share: options, getting a channel, output.
 */
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

const char *const way_names[IPC_WAYS] = {
	[IPC_WAY_PAIR]		= "pair",
	[IPC_WAY_OPEN]		= "open",
	[IPC_WAY_SESSION]	= "session",
	[IPC_WAY_ADOPT]		= "adopt"
};

void
print_help(const struct command *cmd)
{
	printf("usage: ipc %s %s\n\n%s.\n\n%s", cmd->name, cmd->arguments,
	    cmd->summary, cmd->help);
}

int
usage(const struct command *cmd)
{
	fprintf(stderr, "usage: ipc %s %s\n", cmd->name, cmd->arguments);
	return EXIT_USAGE;
}

int
next_option(const struct command *cmd, int argc, char *argv[],
    const char *letters)
{
	struct option options[4] = { { "help", no_argument, NULL, 'h' } };
	int c, n = 1;

	if (strchr(letters, 'j') != NULL)
		options[n++] = (struct option){ "json", no_argument, NULL,
		    'j' };
	if (strchr(letters, 's') != NULL)
		options[n++] = (struct option){ "shared", no_argument, NULL,
		    's' };
	c = getopt_long(argc, argv, letters, options, NULL);
	if (c == 'h') {
		print_help(cmd);
		exit(fflush(stdout) == EOF ? EXIT_FAILED : EXIT_OK);
	}
	return c;
}

long long
number(const char *what, const char *text, long long min, long long max)
{
	const char *wrong;
	long long value;

	value = strtonum(text, min, max, &wrong);
	if (wrong)
		errx(EXIT_USAGE, "%s '%s' is %s: it goes from %lld to %lld",
		    what, text, wrong, min, max);
	return value;
}

static bool
has_option(const char *address, const char *key)
{
	const char *at = strchr(address, '?');
	size_t length = strlen(key);

	while (at) {
		at++;
		if (!strncmp(at, key, length) && at[length] == '=')
			return true;
		at = strchr(at, '&');
	}
	return false;
}

bool
with_option(char *buffer, size_t size, const char *address, const char *key,
    const char *value)
{
	int n;

	if (has_option(address, key))
		n = snprintf(buffer, size, "%s", address);
	else
		n = snprintf(buffer, size, "%s%c%s=%s", address,
		    strchr(address, '?') ? '&' : '?', key, value);
	return n >= 0 && (size_t)n < size;
}

int
reap(pid_t child, const char *name)
{
	int how;

	while (waitpid(child, &how, 0) < 0)
		if (errno != EINTR) {
			warn("waitpid");
			return EXIT_FAILED;
		}
	if (WIFSIGNALED(how)) {
		warnx("%s: %s", name, strsignal(WTERMSIG(how)));
		return EXIT_FAILED;
	}
	if (WEXITSTATUS(how) != 0) {
		warnx("%s: exit status %d", name, WEXITSTATUS(how));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int
failed(void)
{
	warnx("%s", ipc_errmsg());
	return EXIT_FAILED;
}

void
raise_limit(struct rlimit *old)
{
	struct rlimit limit = { 0, 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (old)
		*old = limit;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
catch_signals(const int *signals, void *old)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);
	if (sigprocmask(SIG_BLOCK, &set, old) < 0)
		return -1;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 && old)
		sigprocmask(SIG_SETMASK, old, NULL);
	return fd;
}

/* Waits for a client or a signal. */
static int
await_client(struct ipc_listener *l, int signals, int timeout)
{
	struct ipc_pollitem items[2] = {
		{ .listener = l, .events = POLLIN },
		{ .fd = signals, .events = POLLIN }
	};
	int rc;

	rc = ipc_poll(items, 2, timeout);
	if (rc == 0) {
		warnx("nobody came within %d ms", timeout);
		return -ETIMEDOUT;
	}
	if (rc < 0) {
		failed();
		return rc;
	}
	return items[1].revents ? -EINTR : 0;
}

static int
take_client(struct ipc_channel **ch, struct ipc_listener *l, int signals,
    int timeout)
{
	int rc;

	do {
		rc = await_client(l, signals, timeout);
		if (rc < 0)
			return rc;
		rc = ipc_accept(ch, l, 0);
	} while (rc == -EAGAIN);
	if (rc < 0)
		failed();
	return rc;
}

/* From before there is a name until it is gone again, the signals that end a
 * command only end the wait: they are still pending, and end it below. */
static int
listen_once(struct ipc_channel **ch, const char *address, int flags,
    int timeout)
{
	static const int ends[] = { SIGINT, SIGTERM, 0 };
	struct ipc_listener *l;
	int rc, signals;
	sigset_t old;

	signals = catch_signals(ends, &old);
	if (signals < 0) {
		warn("signalfd");
		return -EMFILE;
	}
	rc = ipc_listen(&l, address, flags);
	if (rc < 0)
		failed();
	else {
		rc = take_client(ch, l, signals, timeout);
		ipc_listener_close(l);
	}
	close(signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int
obtain(struct ipc_channel **ch, const char *address, enum how how, int flags,
    int timeout)
{
	int rc;

	if (how == LISTEN)
		return listen_once(ch, address, flags, timeout);
	if (how == OPEN)
		rc = ipc_open(ch, address, flags);
	else
		rc = ipc_connect(ch, address, flags, timeout);
	if (rc < 0)
		failed();
	return rc;
}

struct ipc_info
info_of(const struct ipc_channel *ch)
{
	struct ipc_info info = { .struct_size = sizeof info };

	if (ipc_info(ch, &info) < 0)
		errx(EXIT_FAILED, "%s", ipc_errmsg());
	return info;
}

int
put(struct ipc_channel *ch, const void *data, size_t size, int timeout)
{
	const char *at = data;

	if (info_of(ch).boundary == IPC_MESSAGE)
		return ipc_send(ch, data, size, timeout);
	while (size > 0) {
		ssize_t n = ipc_write(ch, at, size, timeout);

		if (n < 0)
			return (int)n;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int
write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd room = { .fd = fd, .events = POLLOUT };

			poll(&room, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			warn("standard output");
			return -1;
		}
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int
read_input(char **data, size_t *size, size_t most)
{
	size_t room = 0;
	ssize_t n;

	*data = NULL;
	*size = 0;
	for (;;) {
		if (*size == room) {
			char *more = realloc(*data, room += CHUNK);

			if (!more)
				return -1;
			*data = more;
		}
		n = read(STDIN_FILENO, *data + *size, room - *size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		*size += (size_t)n;
		if (*size > most)
			return 0;
	}
}

const char *
native_form(const char *scheme)
{
	static const char *const forms[2][2] = {
		{ "simplex message", "simplex stream" },
		{ "duplex message", "duplex stream" }
	};
	const struct ipc_mechanism *m = ipc_mechanism(scheme);

	if (m == NULL || m->direction == 0)
		return "as chosen";
	return forms[m->direction == IPC_DUPLEX][m->boundary == IPC_STREAM];
}

double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
