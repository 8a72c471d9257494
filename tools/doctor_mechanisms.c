/* SPDX-License-Identifier: ISC */
/*
 * Whether each mechanism works here: a message goes through a pair of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "doctor.h"

#define SOON	2000	/* ms */

static int
try_pair(const char *scheme)
{
	struct ipc_channel *ends[2];
	char address[64], byte = 'x';
	ssize_t n;
	int rc;

	snprintf(address, sizeof address, "%s:", scheme);
	rc = ipc_pair(ends, address, 0);
	if (rc < 0)
		return rc;
	rc = ipc_send(ends[0], &byte, 1, SOON);
	if (rc == 0) {
		n = ipc_recv(ends[1], &byte, 1, SOON);
		rc = n < 0 ? (int)n : 0;
	}
	ipc_close(ends[0]);
	ipc_close(ends[1]);
	return rc;
}

void
doctor_mechanisms(struct doctor *d)
{
	const struct ipc_mechanism *const *list;
	size_t count = ipc_mechanisms(&list);
	int rc;

	for (size_t i = 0; i < count; i++) {
		if (!(list[i]->ways & 1u << IPC_WAY_PAIR))
			continue;
		rc = try_pair(list[i]->scheme);
		if (rc == 0)
			finding(d, FINE, list[i]->scheme, NULL, "%s: works",
			    list[i]->title);
		else
			finding(d, rc == -ENOSYS ? NOTE : PROBLEM,
			    list[i]->scheme, "use another mechanism; local: "
			    "takes what there is", "%s: %s", list[i]->title,
			    ipc_errmsg());
	}
}
