/* SPDX-License-Identifier: ISC */
/*
 * What is around the process: a login manager that removes objects, and
 * namespaces in which other processes' objects are not seen.
 */
#include <sys/stat.h>
#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define FIRST_USER	1000	/* below are users of the system */
#define INIT_IPC_NS	4026531839u

/*
 * RemoveIPC of systemd-logind
 */

static bool
is_false(const char *value)
{
	static const char *const words[] = { "no", "false", "off", "0", "n",
	    "f" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcasecmp(value, words[i]) == 0)
			return true;
	return false;
}

/* The last line that sets it counts. */
static void
read_config(const char *path, bool *removes)
{
	char line[256], value[32];
	FILE *f = fopen(path, "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, " RemoveIPC = %31s", value) == 1)
			*removes = !is_false(value);
	if (f != NULL)
		fclose(f);
}

/* The main file first; of two drop-ins the one whose name is the later. */
static int
by_name(const void *a, const void *b)
{
	const char *x = strrchr(*(char *const *)a, '/'),
	    *y = strrchr(*(char *const *)b, '/');

	return strcmp(x, y);
}

static bool
logind_removes(void)
{
	static const char *const mains[] = {
		"/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf"
	};
	static const char *const drops[] = {
		"/usr/lib/systemd/logind.conf.d/*.conf",
		"/run/systemd/logind.conf.d/*.conf",
		"/etc/systemd/logind.conf.d/*.conf"
	};
	bool removes = true;
	glob_t g = { .gl_offs = 0 };

	for (size_t i = 0; i < 2; i++)
		read_config(mains[i], &removes);
	for (size_t i = 0; i < 3; i++)
		if (glob(drops[i], GLOB_NOSORT | (i > 0 ? GLOB_APPEND : 0),
		    NULL, &g) == GLOB_NOSPACE)
			break;
	if (g.gl_pathc > 0)
		qsort(g.gl_pathv, g.gl_pathc, sizeof *g.gl_pathv, by_name);
	for (size_t i = 0; i < g.gl_pathc; i++)
		read_config(g.gl_pathv[i], &removes);
	globfree(&g);
	return removes;
}

static void
examine_logind(struct doctor *d)
{
	if (access("/run/systemd/system", F_OK) == -1)
		finding(d, FINE, "RemoveIPC", NULL, "systemd does not run "
		    "here");
	else if (!logind_removes())
		finding(d, FINE, "RemoveIPC", NULL, "no: objects outlive "
		    "their user's login");
	else if (geteuid() < FIRST_USER)
		finding(d, FINE, "RemoveIPC", NULL, "yes, which spares users "
		    "of the system as this one");
	else
		finding(d, NOTE, "RemoveIPC", "RemoveIPC=no in "
		    "/etc/systemd/logind.conf, or loginctl enable-linger, or a "
		    "user of the system", "yes: System V objects, POSIX queues "
		    "and /dev/shm of this user are removed when the last "
		    "session ends, also under a running service");
}

/*
 * Namespaces
 */

static void
examine_ipc_namespace(struct doctor *d)
{
	struct stat st;

	if (stat("/proc/self/ns/ipc", &st) == -1)
		finding(d, NOTE, "IPC namespace", NULL, "not to be seen: %s",
		    strerror(errno));
	else if (st.st_ino == INIT_IPC_NS)
		finding(d, FINE, "IPC namespace", NULL, "that of the machine");
	else
		finding(d, NOTE, "IPC namespace", "run both sides in one "
		    "(docker run --ipc=), or use unix:, memfd: or a path",
		    "an own one: processes outside share no System V objects "
		    "and no POSIX queues with those here");
}

static bool
same_as_init(const char *ns)
{
	char ours[64], theirs[64];
	struct stat a, b;

	snprintf(ours, sizeof ours, "/proc/self/ns/%s", ns);
	snprintf(theirs, sizeof theirs, "/proc/1/ns/%s", ns);
	return stat(ours, &a) == -1 || stat(theirs, &b) == -1 ||
	    (a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

static void
examine_net_namespace(struct doctor *d)
{
	if (same_as_init("net"))
		finding(d, FINE, "network namespace", NULL, "that of process "
		    "1, or not to be told from it");
	else
		finding(d, NOTE, "network namespace", "use a path: "
		    "unix:/path", "an own one: names unix:@NAME and the "
		    "loopback address lead to other processes here");
}

static void
examine_user_namespace(struct doctor *d)
{
	unsigned long long inside, outside, length;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int n = 0;

	if (f != NULL) {
		n = fscanf(f, "%llu %llu %llu", &inside, &outside, &length);
		fclose(f);
	}
	if (n == 3 && (inside != 0 || outside != 0 || length < UINT32_MAX))
		finding(d, NOTE, "user namespace", "name users by their "
		    "numbers here", "an own one: allow-uid= and ipc_peer see "
		    "users outside as 65534, or by other numbers");
	else
		finding(d, FINE, "user namespace", NULL, "that of the "
		    "machine");
}

static void
examine_container(struct doctor *d)
{
	const char *name = getenv("container");

	if (access("/.dockerenv", F_OK) == 0)
		name = "docker";
	else if (access("/run/.containerenv", F_OK) == 0)
		name = "podman";
	else if (name == NULL && access("/run/systemd/container", F_OK) == 0)
		name = "a container";
	if (name == NULL)
		finding(d, FINE, "container", NULL, "none is known of");
	else
		finding(d, NOTE, "container", "share a directory and use "
		    "unix:/path there, or ?at=/path", "%s: its /dev/shm, its "
		    "queues and its /run are its own", name);
}

static void
examine_tracing(struct doctor *d)
{
	unsigned long long scope = 0;

	if (!read_number("/proc/sys/kernel/yama/ptrace_scope", 0, &scope) ||
	    scope < 2)
		finding(d, FINE, "ptrace_scope", NULL, "%llu: a program can "
		    "be traced by %s", scope, scope == 0 ? "its user" :
		    "its parent, and by root");
	else
		finding(d, NOTE, "ptrace_scope", "sysctl "
		    "kernel.yama.ptrace_scope=1, if strace must work",
		    "%llu: nothing can be traced %s", scope,
		    scope == 2 ? "but by root" : "at all");
}

void
doctor_around(struct doctor *d)
{
	examine_logind(d);
	examine_ipc_namespace(d);
	examine_net_namespace(d);
	examine_user_namespace(d);
	examine_container(d);
	examine_tracing(d);
}
