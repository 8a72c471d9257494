/* SPDX-License-Identifier: ISC */
/*
 * ipc rm: removes opened objects, meeting points where nobody listens,
 * semaphores, locks and regions.
 */
#include <err.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static bool
is_shared_memory(const char *address)
{
	return !strncmp(address, "posixshm:", 9) ||
	    !strncmp(address, "shm:", 4);
}

/* What is no channel is removed by a call of its own.  Memory may be both; but
 * a file that is no channel is anybody's, and rm(1) removes it. */
static int
remove_name(const char *address)
{
	unsigned caps = ipc_sync_caps(address);
	int rc;

	if (caps & IPC_SYNC_SEM)
		return ipc_sem_unlink(address);
	if (caps & IPC_SYNC_MUTEX)
		return ipc_mutex_unlink(address);
	if (caps & IPC_SYNC_RWLOCK)
		return ipc_rwlock_unlink(address);
	rc = ipc_unlink(address);
	if (rc == -EPROTO && is_shared_memory(address))
		rc = ipc_region_unlink(address);
	return rc;
}

/* What the library says, and what can be done about it. */
static int
explain(int rc)
{
	int status = failed();

	switch (rc) {
	case -EBUSY:
		warnx("end the process that listens there first; ipc list "
		    "tells which it is");
		break;
	case -ENOENT:
		warnx("ipc list tells what there is");
		break;
	case -EACCES:
	case -EPERM:
		warnx("only its owner or root may remove it");
		break;
	default:
		break;
	}
	return status;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	int rc, status = EXIT_OK;
	bool force = false;
	int c;

	while ((c = next_option(cmd, argc, argv, "f")) != -1) {
		if (c != 'f')
			return usage(cmd);
		force = true;
	}
	if (argc == optind)
		return usage(cmd);
	for (int i = optind; i < argc; i++) {
		rc = remove_name(argv[i]);
		if (rc < 0 && !(force && rc == -ENOENT))
			status = explain(rc);
	}
	return status;
}

const struct command cmd_rm = {
	.name = "rm",
	.arguments = "[-f] address ...",
	.summary = "Removes an object, or a name where nobody listens",
	.help =
	    "  -f  what is not there is no failure\n",
	.run = run
};
