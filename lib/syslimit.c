/* SPDX-License-Identifier: ISC */
/*
 * Which limit of this machine it was that refused a System V segment: the
 * kernel's errno leaves two or three open.
 */
#include <sys/shm.h>
#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "queue.h"
#include "sysname.h"

#define PROC_SHMMAX	"/proc/sys/kernel/shmmax"
#define PROC_SHMMNI	"/proc/sys/kernel/shmmni"
#define PROC_SHMALL	"/proc/sys/kernel/shmall"

/* Asked when it has failed, so another process may have changed it since. */
static bool
all_taken(uint64_t most)
{
	struct shm_info info;

	return shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info) >= 0 &&
	    (uint64_t)info.used_ids >= most;
}

int
ipc__segment_failed(uint64_t size)
{
	int error = errno;
	uint64_t most;

	most = ipc__queue_limit(PROC_SHMMAX, UINT64_MAX);
	if (error == EINVAL && size > most)
		return ipc__fail(EINVAL, "shmget: %" PRIu64 " bytes exceed the "
		    "%" PRIu64 " of a segment (kernel.shmmax)", size, most);
	most = ipc__queue_limit(PROC_SHMMNI, 4096);
	if (error == ENOSPC && all_taken(most))
		return ipc__fail(ENOSPC, "shmget: kernel.shmmni (%" PRIu64 ") "
		    "allows no more segments", most);
	if (error == ENOSPC)
		return ipc__fail(ENOSPC, "shmget: kernel.shmall (%" PRIu64 " "
		    "pages) leaves no room for a segment of %" PRIu64 " bytes",
		    ipc__queue_limit(PROC_SHMALL, 0), size);
	errno = error;
	return ipc__fail_sys("shmget");
}
