/* SPDX-License-Identifier: ISC */
/*
 * A running bridge for the tests of it.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

struct program bridge, server;
static int port;

int
bridge_port(void)
{
	return port;
}

void
bridge_start_as(const char *command)
{
	char line[256], *colon;

	program_start(&bridge, NULL, command);
	program_line(&bridge, line, sizeof line);
	ck_assert_msg(!strncmp(line, "tcp://127.0.0.1:", 16), "%s", line);
	colon = strrchr(line, ':');
	port = atoi(colon + 1);
	ck_assert_int_gt(port, 0);
}

void
bridge_start(void)
{
	bridge_start_as(
	    "exec $ipc bridge -pv tcp://127.0.0.1:0 unix:$dir/server");
}

void
bridge_stop(void)
{
	ck_assert_int_eq(kill(bridge.pid, SIGTERM), 0);
	ck_assert_msg(program_end(&bridge) == 0, "status %d: %s",
	    bridge.status, bridge.errors);
	program_free(&bridge);
}

int
bridge_fds(void)
{
	char command[64];
	struct program p;
	int n;

	snprintf(command, sizeof command, "ls /proc/%d/fd | wc -l",
	    (int)bridge.pid);
	program_run(&p, 0, NULL, command);
	n = atoi(p.text);
	program_free(&p);
	return n;
}

void
bridge_has_fds(int fds)
{
	for (int i = 0; i < BRIDGE_SOON / 10 && bridge_fds() != fds; i++)
		pause_for(10);
	ck_assert_int_eq(bridge_fds(), fds);
}

long
bridge_stat(int field)
{
	char command[96];
	struct program p;
	long n;

	snprintf(command, sizeof command, "cut -d ' ' -f %d /proc/%d/stat",
	    field, (int)bridge.pid);
	program_run(&p, 0, NULL, command);
	n = atol(p.text);
	program_free(&p);
	return n;
}

void
bridge_is_idle(void)
{
	long before = bridge_stat(14) + bridge_stat(15);

	pause_for(500);
	ck_assert_int_le(bridge_stat(14) + bridge_stat(15) - before, 5);
}

void
pause_for(int ms)
{
	poll(NULL, 0, ms);
}

int
dial(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(connect(fd, (void *)&in, sizeof in) == 0, "port %d: %s",
	    port, strerror(errno));
	return fd;
}

void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
	    (ssize_t)strlen(text));
}

size_t
drain(int fd, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static char buffer[65536];
	size_t got = 0;

	while (!size || got < size) {
		ssize_t n;

		ck_assert_msg(poll(&p, 1, BRIDGE_SOON) == 1,
		    "nothing comes after %zu bytes", got);
		n = read(fd, buffer, sizeof buffer);
		ck_assert_msg(n >= 0, "%s", strerror(errno));
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return got;
}
