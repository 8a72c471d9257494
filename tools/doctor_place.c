/* SPDX-License-Identifier: ISC */
/*
 * The runtime directory, where names that are no paths live: whether a name can
 * be made and found there, which the library itself is asked, and where it is.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "doctor.h"

#define NAME	"runtime directory"

/* Where it is, as ipc_address(7) has it. */
static void
where(char *path, size_t size)
{
	const char *dir = secure_getenv("IPC_RUNTIME_DIR");
	unsigned long uid = (unsigned long)geteuid();
	struct stat st;

	if (dir != NULL && *dir != '\0') {
		strlcpy(path, dir, size);
	} else if (uid == 0) {
		strlcpy(path, "/run/ipc", size);
	} else {
		snprintf(path, size, "/run/user/%lu", uid);
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
		    st.st_uid == uid)
			strlcat(path, "/ipc", size);
		else
			snprintf(path, size, "/tmp/ipc-%lu", uid);
	}
}

/* A listener with a name in it, for a moment. */
static void
examine_listening(struct doctor *d, const char *path)
{
	struct ipc_listener *l;
	char address[64];

	snprintf(address, sizeof address, "memfd:ipc-doctor-%ld",
	    (long)getpid());
	if (ipc_listen(&l, address, 0) < 0) {
		finding(d, PROBLEM, NAME, "make it yours, with mode 0700 (root"
		    ": "
		    "0755), or name another one in IPC_RUNTIME_DIR",
		    "names can not be made: %s", ipc_errmsg());
		return;
	}
	ipc_listener_close(l);
	finding(d, FINE, NAME, NULL, "names can be made in %s", path);
}

/* Only for looking at what dead processes left; it must be possible. */
static void
count(const char *what, void *user)
{
	(void)what;
	++*(int *)user;
}

static void
examine_leftovers(struct doctor *d)
{
	int left = 0;

	if (ipc_leftovers(count, &left) < 0)
		finding(d, PROBLEM, "leftovers", "see above", "what dead "
		    "processes left can not be looked for: %s", ipc_errmsg());
	else if (left > 0)
		finding(d, NOTE, "leftovers", "ipc gc removes them", "dead "
		    "processes left %d things", left);
	else
		finding(d, FINE, "leftovers", NULL, "dead processes left "
		    "nothing");
}

/* A user with no session directory has names in /tmp, where others can take
 * the directory's name first. */
static void
examine_session(struct doctor *d, const char *path)
{
	const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
	char usual[48];

	snprintf(usual, sizeof usual, "/run/user/%lu",
	    (unsigned long)geteuid());
	if (strncmp(path, "/tmp/ipc-", 9) == 0)
		finding(d, NOTE, "session directory", "loginctl enable-linger "
		    "keeps it without a login; or set IPC_RUNTIME_DIR",
		    "there is no %s: names are in %s", usual, path);
	else if (xdg != NULL && geteuid() != 0 && strcmp(xdg, usual) != 0 &&
	    getenv("IPC_RUNTIME_DIR") == NULL)
		finding(d, NOTE, "XDG_RUNTIME_DIR", "set IPC_RUNTIME_DIR if "
		    "names should be there", "it is %s, and names are in %s",
		    xdg, path);
}

void
doctor_place(struct doctor *d)
{
	char path[4200];

	where(path, sizeof path);
	examine_listening(d, path);
	examine_leftovers(d);
	examine_session(d, path);
}
