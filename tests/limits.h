/* SPDX-License-Identifier: ISC */
/*
 * What the tests of limits have in common: setting one, and that it is named.
 */
#ifndef IPC_TESTS_LIMITS_H
#define IPC_TESTS_LIMITS_H

#include <sys/resource.h>
#include <fcntl.h>

#include "support.h"

static inline void
says(const char *what)
{
	if (strstr(ipc_errmsg(), what) == NULL)
		ck_abort_msg("%s: no `%s' in: %s", where(), what,
		    ipc_errmsg());
}

/* What only changes a namespace of our own. */
static inline bool
set_limit(const char *file, const char *value)
{
	int fd;

	if (!left_private())
		return false;
	expect_sys(fd = open(file, O_WRONLY));
	expect_sys(write(fd, value, strlen(value)));
	close(fd);
	return true;
}

static inline void
limit_to(int resource, rlim_t n)
{
	struct rlimit r;

	expect_sys(getrlimit(resource, &r));
	r.rlim_cur = n;
	expect_sys(setrlimit(resource, &r));
}

#endif
