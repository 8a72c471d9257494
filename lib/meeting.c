/* SPDX-License-Identifier: ISC */
/*
 * Where things that have a name are as files: the meeting point of a session,
 * and the private files that a session makes for itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "error.h"
#include "name.h"

#define PLAIN	"-_.+,:@=~"	/* left as they are in a meeting point's name */

static int
copy_path(const char *from, char *path, size_t size)
{
	if (strlcpy(path, from, size) < size)
		return 0;
	return ipc__fail(ENAMETOOLONG, "a path of %zu bytes exceeds %zu",
	    strlen(from), size - 1);
}

/* The scheme is the one that the user wrote: a scheme that chooses is met
 * under its own name, whatever is chosen. */
static int
file_name(const struct ipc__address *a, char *file, size_t size)
{
	int n;

	n = snprintf(file, size, "%.*s-", (int)strcspn(a->text, ":?"),
	    a->text);
	if (n < 0 || (size_t)n >= size)
		return ipc__fail(ENAMETOOLONG, "the scheme's name is longer "
		    "than %zu bytes", size - 1);
	return ipc__name_encode(a->name, PLAIN, file + n, size - (size_t)n);
}

static bool
name_is_path(const struct ipc__address *a)
{
	if (a->be->traits & IPC__PATHS)
		return true;
	return a->be->traits & IPC__LOCAL_NAME &&
	    (a->name[0] == '@' || strchr(a->name, '/') != NULL);
}

int
ipc__meeting_path(const struct ipc__address *a, bool making, char *path,
    size_t size)
{
	char file[IPC__NAME_MAX + 1];
	int rc;

	if (a->opt.at != NULL)
		return copy_path(a->opt.at, path, size);
	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a session needs a name, or at=/path");
	if (name_is_path(a))
		return copy_path(a->name, path, size);
	rc = file_name(a, file, sizeof file);
	if (rc < 0)
		return rc;
	if (!making)
		return ipc__runtime_find(NULL, file, path, size);
	rc = ipc__runtime_dir(path, size);
	if (rc < 0)
		return rc;
	if (strlcat(path, "/", size) < size && strlcat(path, file, size) < size)
		return 0;
	return ipc__fail(ENAMETOOLONG, "%s: a path of more than %zu bytes",
	    path, size - 1);
}

int
ipc__private_path(const char *what, char *path, size_t size)
{
	char name[IPC__TEMP_MAX + 1];
	int rc;

	rc = ipc__runtime_dir(path, size);
	if (rc < 0)
		return rc;
	ipc__temp_name(name, sizeof name, what);
	if (strlcat(path, "/", size) < size && strlcat(path, name, size) < size)
		return 0;
	return ipc__fail(ENAMETOOLONG, "%s: a path of more than %zu bytes",
	    path, size - 1);
}
