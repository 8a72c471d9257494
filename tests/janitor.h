/* SPDX-License-Identifier: ISC */
/*
 * For the tests of the commands that look after objects: IPC and mount
 * namespaces of their own where that is allowed, so that other programs neither
 * disturb nor are disturbed, and problems can be planted.
 */
#ifndef IPC_TESTS_JANITOR_H
#define IPC_TESTS_JANITOR_H

#include <sys/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

static bool own_namespaces;

static inline void
begin_apart(void)
{
	own_namespaces = unshare(CLONE_NEWIPC | CLONE_NEWNS) == 0 &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
	if (!own_namespaces)
		fprintf(stderr, "NOT TESTED HERE: what needs namespaces of "
		    "its own (wants root)\n");
}

static inline void
assert_says(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) != NULL, "'%s' does not say '%s'",
	    text, word);
}

static inline void
assert_silent_about(const char *text, const char *word)
{
	ck_assert_msg(strstr(text, word) == NULL, "'%s' says '%s'", text,
	    word);
}

/* What a killed listener left in the runtime directory. */
static inline void
leave_name(void)
{
	struct program p;
	char stale[128];

	program_start(&p, NULL, "exec $ipc recv -l memfd:$name");
	snprintf(stale, sizeof stale, "run/memfd-%s", getenv("name"));
	await_file(in_dir(stale));
	kill(p.pid, SIGKILL);
	program_end(&p);
	program_free(&p);
}

#endif
