/* SPDX-License-Identifier: ISC */
/*
 * The table of mechanisms: a new one is one line in the list.
 */
#include <pthread.h>
#include <string.h>

#include "backend.h"
#include "backends.h"

#define MECHANISMS(X)	\
	X(pipe)		\
	X(fifo)		\
	X(unix)		\
	X(unixpacket)	\
	X(unixgram)	\
	X(tcp)		\
	X(udp)		\
	X(sysvmq)	\
	X(posixmq)	\
	X(sysvshm)	\
	X(posixshm)	\
	X(memfd)	\
	X(mmap)		\
	X(file)		\
	X(inproc)	\
	X(mq)		\
	X(shm)		\
	X(local)	\
	/* EOL */

#undef unix	/* gcc's gnu modes know a macro of this name */
#define DECLARE(name)	extern const struct ipc_backend ipc__backend_##name;
#define ENTRY(name)	&ipc__backend_##name,
#define COUNT(name)	+ 1	/* NOLINT: terms of a sum */

MECHANISMS(DECLARE)

const struct ipc_backend *const ipc__backends[] = { MECHANISMS(ENTRY) };
const size_t ipc__backend_count = sizeof ipc__backends /
    sizeof ipc__backends[0];

/* What users see of it. */
static const struct ipc_mechanism *list[0 MECHANISMS(COUNT)];

const struct ipc_backend *
ipc__backend(const char *scheme, size_t len)
{
	const char *s;
	size_t i;

	for (i = 0; i < ipc__backend_count; i++) {
		s = ipc__backends[i]->mechanism.scheme;
		if (strlen(s) == len && memcmp(s, scheme, len) == 0)
			return ipc__backends[i];
	}
	return NULL;
}

const struct ipc_mechanism *
ipc_mechanism(const char *scheme)
{
	const struct ipc_backend *be;

	if (scheme == NULL)
		return NULL;
	be = ipc__backend(scheme, strcspn(scheme, ":"));
	return be == NULL ? NULL : &be->mechanism;
}

static void
make_list(void)
{
	size_t i;

	for (i = 0; i < ipc__backend_count; i++)
		list[i] = &ipc__backends[i]->mechanism;
}

size_t
ipc_mechanisms(const struct ipc_mechanism *const **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_list);
	if (out != NULL)
		*out = list;
	return ipc__backend_count;
}
