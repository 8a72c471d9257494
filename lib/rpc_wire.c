/* SPDX-License-Identifier: ISC */
/*
 * Remote procedure calls: codes on the wire, and which channels carry calls.
 */
#include "rpc.h"

static const int codes[] = {
	[1] = ENOSYS, [2] = EMSGSIZE, [3] = EBUSY, [4] = ECANCELED,
	[5] = ETIMEDOUT, [6] = EMFILE, [7] = ENOMEM, [8] = EPIPE,
	[9] = EOPNOTSUPP, [10] = EUSERS, [11] = EBADMSG, [12] = EIO
};

#define CODES	(sizeof codes / sizeof codes[0])

uint32_t
ipc__rpc_code_put(int code)
{
	uint32_t i;

	for (i = 1; i < CODES; i++)
		if (codes[i] == code)
			return i;
	return ipc__rpc_code_put(EIO);
}

int
ipc__rpc_code_get(uint32_t wire)
{
	return wire >= 1 && wire < CODES ? codes[wire] : EIO;
}

int
ipc__rpc_fits(const struct ipc_channel *ch, struct ipc_info *info)
{
	int rc;

	memset(info, 0, sizeof *info);
	info->struct_size = sizeof *info;
	rc = ipc_info(ch, info);
	if (rc < 0)
		return rc;
	if (info->boundary != IPC_MESSAGE)
		return ipc__fail(EINVAL, "calls want boundary=message, and "
		    "this channel is a byte stream");
	if (info->direction != IPC_DUPLEX || !(info->caps & IPC_CAP_DUPLEX))
		return ipc__fail(EINVAL, "calls want a channel that goes both "
		    "ways at once: two halves can be joined, duplex=half can "
		    "not be used");
	if (info->max_message < ipc__rpc_body(IPC_RPC_METHOD_MAX))
		return ipc__fail(EMSGSIZE, "calls want messages of at least "
		    "%zu bytes, and this channel carries %zu",
		    ipc__rpc_body(IPC_RPC_METHOD_MAX), info->max_message);
	return 0;
}
