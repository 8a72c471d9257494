/* SPDX-License-Identifier: ISC */
/*
 * "host:port" and Internet addresses.
 */
#ifndef IPC_LIB_INET_H
#define IPC_LIB_INET_H

#include <sys/socket.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define IPC__INET_MAX	8	/* addresses of one name that are tried */

union ipc__sockaddr {
	struct sockaddr		sa;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
};

/* The addresses of a name, best first, all of one family: where a name has both
 * kinds, the old ones are given as IPv6 (::ffff:1.2.3.4), so that one socket
 * can try one after the other. */
struct ipc__inet {
	union ipc__sockaddr at[IPC__INET_MAX];
	unsigned	 count;
	unsigned	 next;		/* the first not tried */
	bool		 any;		/* no host, or "*": wherever we are */
};

/* Resolves "//host:port" or "host:port", [v6] in brackets; passive: to be bound
 * to, otherwise to be connected to.  type: SOCK_STREAM or SOCK_DGRAM. */
int ipc__inet_resolve(struct ipc__inet *, const char *name, int type,
    bool passive);
/* The loopback addresses with port 0, for a pair; or the name's, if any. */
int ipc__inet_loopback(struct ipc__inet *, const char *name, int type);

socklen_t ipc__inet_size(const union ipc__sockaddr *);
in_port_t ipc__inet_port(const union ipc__sockaddr *);	/* network order */
bool ipc__inet_same(const union ipc__sockaddr *, const union ipc__sockaddr *);

/* A socket for one of these; takes both kinds if there are both. */
int ipc__inet_socket(const struct ipc__inet *, const union ipc__sockaddr *,
    int type);
/* "SCHEME://1.2.3.4:80" or "SCHEME://[::1]:80" of what fd is bound to. */
int ipc__inet_where(int fd, const char *scheme, char *buffer, size_t size);
/* "1.2.3.4:80" for a message; always a string. */
const char *ipc__inet_text(const union ipc__sockaddr *, char *buffer,
    size_t size);
#define IPC__INET_TEXT	80

#endif
