/* SPDX-License-Identifier: ISC */
/*
 * What each mechanism can do, as data.  ipc_mechanisms(7) shows it as a table.
 *
 *	const struct ipc_mechanism *m = ipc_mechanism("unix");
 *
 *	if (m && m->caps[IPC_WAY_PAIR] & IPC_CAP_FDS)
 *		...descriptors can be sent over a pair of it
 */
#ifndef IPC_MECHANISM_H
#define IPC_MECHANISM_H

#include <stddef.h>

#include <ipc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ways to get a channel: indices of ipc_mechanism.caps, and as bits
 * (1 << way) in ipc_mechanism.ways. */
enum ipc_way {
	IPC_WAY_PAIR,		/* ipc_pair, ipc_spawn */
	IPC_WAY_OPEN,		/* ipc_open */
	IPC_WAY_SESSION,	/* ipc_listen, ipc_accept, ipc_connect */
	IPC_WAY_ADOPT		/* ipc_adopt */
};
#define IPC_WAYS	4

/* What a channel can do. */
enum ipc_cap {
	IPC_CAP_DUPLEX	 = 1 << 0,  /* both ways at once on one channel */
	IPC_CAP_MESSAGE	 = 1 << 1,  /* messages arrive as they were sent */
	IPC_CAP_STREAM	 = 1 << 2,  /* boundary=stream is possible */
	IPC_CAP_LARGE	 = 1 << 3,  /* any size up to max-message */
	IPC_CAP_RELIABLE = 1 << 4,  /* nothing is lost between living ends */
	IPC_CAP_END	 = 1 << 5,  /* the end of the other side is told */
	IPC_CAP_DEATH	 = 1 << 6,  /* dying and closing are told apart */
	IPC_CAP_DELIVERS = 1 << 7,  /* what was sent arrives, even if its
				       sender has died since */
	IPC_CAP_FD	 = 1 << 8,  /* ipc_fd and ipc_poll */
	IPC_CAP_FDS	 = 1 << 9,  /* descriptors travel with messages */
	IPC_CAP_PEER	 = 1 << 10, /* ipc_peer knows who is there */
	IPC_CAP_NETWORK	 = 1 << 11, /* reaches other machines */
	IPC_CAP_PRIORITY = 1 << 12, /* ipc_msg.priority */
	IPC_CAP_ADDRESS	 = 1 << 13, /* ipc_msg.address */
	IPC_CAP_INPLACE	 = 1 << 14, /* reserve and peek do not copy */
	IPC_CAP_LATEST	 = 1 << 15, /* latest=1 */
	IPC_CAP_SYNC	 = 1 << 16, /* sync=1 */
	IPC_CAP_PERSIST	 = 1 << 17, /* unread messages outlive both ends */
	IPC_CAP_HOSTILE	 = 1 << 18, /* holds against a hostile other side */
	IPC_CAP_MANY	 = 1 << 19, /* many senders or receivers share it */
	IPC_CAP_HALF	 = 1 << 20  /* duplex=half is possible */
};

/* A row of the table.  Constant, owned by the library. */
struct ipc_mechanism {
	size_t		 struct_size;
	const char	*scheme;	/* "unix" */
	const char	*title;		/* "Unix socket, stream" */
	unsigned	 ways;		/* 1 << enum ipc_way */
	unsigned	 caps[IPC_WAYS];/* enum ipc_cap, 0 where not a way */
	int		 direction;	/* what it is by itself: IPC_SEND, one
					   way, or IPC_DUPLEX */
	int		 boundary;	/* IPC_MESSAGE or IPC_STREAM */
};

/*
 * The row of a scheme, given with or without what follows its colon; NULL if
 * there is no such scheme.
 */
IPC_API const struct ipc_mechanism *ipc_mechanism(const char *scheme);

/* All rows: returns their number, *list is constant. */
IPC_API size_t ipc_mechanisms(const struct ipc_mechanism *const **list);

#ifdef __cplusplus
}
#endif

#endif
