/* SPDX-License-Identifier: ISC */
/*
 * Cleaning up the runtime directory: what only a dead process had there goes,
 * and nothing else.  The use of a name cleans up after its last user anyway;
 * this is for names that nobody uses again.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"
#include "syncfile.h"

#define TIDY_MOST	256	/* entries that are looked at in passing */

/* Makes whole paths of the names that a sweep tells. */
struct relay {
	const char	*dir;		/* with the slash at its end */
	ipc__told	*told;
	void		*user;
};

static bool
relay_name(const char *name, void *user)
{
	const struct relay *r = user;
	char path[IPC__PATH_MAX + IPC__NAME_MAX + 1];

	snprintf(path, sizeof path, "%s%s", r->dir, name);
	return ipc__may_go(r->told, path, r->user);
}

/* Sockets that nobody serves: meeting points, and whatever else there is. */
static int
sweep_sockets(const struct ipc__place *place, DIR *d, struct relay *relay)
{
	struct dirent *e;
	int swept = 0;

	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.' &&
		    ipc__unix_probe(place, e->d_name) == IPC__SOCKET_STALE &&
		    relay_name(e->d_name, relay) &&
		    ipc__unix_clear(place, e->d_name) == 0)
			swept++;
	}
	return swept;
}

static int
sweep_locks(const char *path, ipc__told *told, void *user)
{
	char dir[IPC__PATH_MAX + 8];
	struct relay relay = { dir, told, user };

	snprintf(dir, sizeof dir, "%slocks/", path);
	return ipc__lock_sweep(relay_name, &relay);
}

/* The locks go last, as the rest uses some. */
int
ipc__runtime_sweep(ipc__told *told, void *user)
{
	char path[IPC__PATH_MAX];
	struct relay relay = { path, told, user };
	struct ipc__place place = { .path = path };
	struct ipc__error before;
	int swept, locks;
	DIR *d;

	place.dir = ipc__runtime_open(NULL, false, path, sizeof path - 1);
	if (place.dir < 0)
		return place.dir == -ENOENT ? 0 : place.dir;
	place.path_len = strlcat(path, "/", sizeof path);
	d = fdopendir(place.dir);
	if (d == NULL) {
		close(place.dir);
		return ipc__fail_path("fdopendir", path);
	}
	ipc__error_keep(&before);
	swept = sweep_sockets(&place, d, &relay);
	swept += ipc__syncfile_sweep(place.dir, relay_name, &relay);
	swept += ipc__beside_sweep(&place, UINT_MAX, told, user);
	swept += ipc__temp_sweep(&place, UINT_MAX, relay_name, &relay);
	ipc__error_restore(&before);
	closedir(d);
	locks = sweep_locks(path, told, user);
	return locks < 0 ? locks : swept + locks;
}

void
ipc__runtime_tidy(void)
{
	char path[IPC__PATH_MAX];
	struct ipc__place place = { .path = path };
	struct ipc__error before;

	ipc__error_keep(&before);
	place.dir = ipc__runtime_open(NULL, false, path, sizeof path - 1);
	if (place.dir >= 0) {
		place.path_len = strlcat(path, "/", sizeof path);
		(void)ipc__beside_sweep(&place, TIDY_MOST, NULL, NULL);
		(void)ipc__temp_sweep(&place, TIDY_MOST, NULL, NULL);
		close(place.dir);
	}
	ipc__error_restore(&before);
}
