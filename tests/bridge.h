/* SPDX-License-Identifier: ISC */
/*
 * A running `ipc bridge' between a TCP port of its own choice and a Unix
 * socket, $dir/server, behind it; and plain sockets for clients.
 */
#ifndef IPC_TESTS_BRIDGE_H
#define IPC_TESTS_BRIDGE_H

#include <stddef.h>

#include "program.h"

#define BRIDGE_SOON	10000		/* ms: never met where all is well */

extern struct program bridge, server;

void bridge_start(void);
/* Another command, which prints its address. */
void bridge_start_as(const char *command);
void bridge_stop(void);		/* by SIGTERM, which is a clean end */

int bridge_port(void);
int bridge_fds(void);		/* open ones */
/* Waits until so many are open. */
void bridge_has_fds(int fds);
/* A field of /proc/PID/stat, counted as in proc(5). */
long bridge_stat(int field);
/* It uses no processor time now. */
void bridge_is_idle(void);

int dial(void);			/* a client of the bridge */
void say(int fd, const char *text);
/* So many bytes, or all up to the end with size 0; returns how many. */
size_t drain(int fd, size_t size);

void pause_for(int ms);

#endif
