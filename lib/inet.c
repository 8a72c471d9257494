/* SPDX-License-Identifier: ISC */
/*
 * Hosts and ports: parsing, resolving, and telling.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "inet.h"
#include "socket.h"

struct hostport {
	char	host[256];	/* "": none given */
	char	port[64];
};

static int
bad_name(const char *name, const char *why)
{
	return ipc__fail(EINVAL, "%s: %s; it is //host:port, or //[v6]:port",
	    name, why);
}

static int
copy_part(char *to, size_t room, const char *from, size_t size)
{
	if (size >= room)
		return -1;
	memcpy(to, from, size);
	to[size] = '\0';
	return 0;
}

static int
split(struct hostport *hp, const char *name)
{
	const char *p = strncmp(name, "//", 2) == 0 ? name + 2 : name;
	const char *host = p, *end;

	if (*p == '[') {
		host = p + 1;
		if ((end = strchr(host, ']')) == NULL)
			return bad_name(name, "the ] is missing");
		p = end + 1;
	} else {
		p += strcspn(p, ":");
		end = p;
	}
	if (*p != ':' || p[1] == '\0')
		return bad_name(name, "the port is missing");
	if (strpbrk(p + 1, ":/"))
		return bad_name(name, "the host or the port is wrong");
	if (copy_part(hp->host, sizeof hp->host, host, end - host) < 0 ||
	    copy_part(hp->port, sizeof hp->port, p + 1, strlen(p + 1)) < 0)
		return ipc__fail(ENAMETOOLONG, "%s: too long", name);
	if (strcmp(hp->host, "*") == 0)
		hp->host[0] = '\0';
	/* getaddrinfo(3) would cut a larger one down. */
	if (hp->port[strspn(hp->port, "0123456789")] == '\0' &&
	    (strlen(hp->port) > 5 || atoi(hp->port) > 65535))
		return bad_name(name, "a port has at most 65535");
	return 0;
}

/* What getaddrinfo(3) says, as an errno. */
static int
lookup_failed(const struct hostport *hp, int rc)
{
	int saved = errno, code;

	switch (rc) {
	case EAI_SYSTEM:
		return ipc__fail(saved, "getaddrinfo: %s", strerror(saved));
	case EAI_MEMORY:
		code = ENOMEM;
		break;
	case EAI_SERVICE:
		return ipc__fail(EINVAL, "no port %s", hp->port);
	case EAI_FAMILY:
		code = EAFNOSUPPORT;
		break;
	default:
		code = EHOSTUNREACH;
	}
	return ipc__fail(code, "getaddrinfo: %s: %s", hp->host,
	    gai_strerror(rc));
}

static void
add_family(struct ipc__inet *list, const struct addrinfo *ai, int family)
{
	for (; ai && list->count < IPC__INET_MAX; ai = ai->ai_next) {
		if (family != AF_UNSPEC && ai->ai_family != family)
			continue;
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memcpy(&list->at[list->count++], ai->ai_addr, ai->ai_addrlen);
	}
}

/* Turns an IPv4 address into the IPv6 one that means the same. */
static void
map(union ipc__sockaddr *a)
{
	struct sockaddr_in in = a->in;

	memset(a, 0, sizeof *a);
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = in.sin_port;
	a->in6.sin6_addr.s6_addr[10] = a->in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&a->in6.sin6_addr.s6_addr[12], &in.sin_addr, 4);
}

/* Leaves one family: IPv6 if there is any that this system has. */
static void
unify(struct ipc__inet *list)
{
	unsigned i, n = 0, six = 0;
	bool has6;
	int fd;

	for (i = 0; i < list->count; i++)
		six += list->at[i].sa.sa_family == AF_INET6;
	if (six == 0 || six == list->count)
		return;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	has6 = fd >= 0;
	if (has6)
		close(fd);
	for (i = 0; i < list->count; i++) {
		if (list->at[i].sa.sa_family == AF_INET6 && !has6)
			continue;
		list->at[n] = list->at[i];
		if (list->at[n].sa.sa_family == AF_INET && has6)
			map(&list->at[n]);
		n++;
	}
	list->count = n;
}

int
ipc__inet_resolve(struct ipc__inet *list, const char *name, int type,
    bool passive)
{
	struct addrinfo hints = { .ai_socktype = type }, *all;
	struct hostport hp = { "", "" };
	int rc;

	memset(list, 0, sizeof *list);
	if ((rc = split(&hp, name)) < 0)
		return rc;
	list->any = hp.host[0] == '\0';
	if (passive)
		hints.ai_flags = AI_PASSIVE;
	rc = getaddrinfo(list->any ? NULL : hp.host, hp.port, &hints, &all);
	if (rc != 0)
		return lookup_failed(&hp, rc);
	if (passive) {
		/* "::" takes both kinds of clients. */
		add_family(list, all, list->any ? AF_INET6 : AF_UNSPEC);
		if (list->any)
			add_family(list, all, AF_INET);
	} else {
		add_family(list, all, AF_UNSPEC);
		unify(list);
	}
	freeaddrinfo(all);
	if (list->count == 0)
		return ipc__fail(EAFNOSUPPORT, "%s has no address that this "
		    "system can use", hp.host);
	if (!passive && ipc__inet_port(&list->at[0]) == 0)
		return bad_name(name, "nobody listens at port 0");
	return 0;
}

int
ipc__inet_loopback(struct ipc__inet *list, const char *name, int type)
{
	union ipc__sockaddr *a = list->at;

	if (name[0])
		return ipc__inet_resolve(list, name, type, true);
	memset(list, 0, sizeof *list);
	a[0].in.sin_family = AF_INET;
	a[0].in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a[1].in6.sin6_family = AF_INET6;
	a[1].in6.sin6_addr = in6addr_loopback;
	list->count = 2;
	return 0;
}

socklen_t
ipc__inet_size(const union ipc__sockaddr *a)
{
	return a->sa.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;
}

in_port_t
ipc__inet_port(const union ipc__sockaddr *a)
{
	return a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port;
}

bool
ipc__inet_same(const union ipc__sockaddr *a, const union ipc__sockaddr *b)
{
	if (a->sa.sa_family != b->sa.sa_family ||
	    ipc__inet_port(a) != ipc__inet_port(b))
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
	    a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

int
ipc__inet_socket(const struct ipc__inet *list, const union ipc__sockaddr *a,
    int type)
{
	int fd = ipc__socket_new(a->sa.sa_family, type), rc;
	bool both = list->any;
	unsigned i;

	if (fd < 0 || a->sa.sa_family != AF_INET6)
		return fd;
	for (i = 0; i < list->count; i++)
		both |= list->at[i].sa.sa_family == AF_INET6 &&
		    IN6_IS_ADDR_V4MAPPED(&list->at[i].in6.sin6_addr);
	if (both && (rc = ipc__socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY,
	    0)) < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

/*
 * Telling
 */

const char *
ipc__inet_text(const union ipc__sockaddr *a, char *buffer, size_t size)
{
	union ipc__sockaddr plain = *a;
	char host[64] = "?", port[16] = "?";
	bool six;

	if (a->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
		memset(&plain, 0, sizeof plain);
		plain.in.sin_family = AF_INET;
		plain.in.sin_port = a->in6.sin6_port;
		memcpy(&plain.in.sin_addr, &a->in6.sin6_addr.s6_addr[12], 4);
	}
	six = plain.sa.sa_family == AF_INET6;
	getnameinfo(&plain.sa, ipc__inet_size(&plain), host, sizeof host, port,
	    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(buffer, size, "%s%s%s:%s", six ? "[" : "", host,
	    six ? "]" : "", port);
	return buffer;
}

int
ipc__inet_where(int fd, const char *scheme, char *buffer, size_t size)
{
	char text[IPC__INET_TEXT];
	union ipc__sockaddr a;
	socklen_t length = sizeof a;
	char *zone;
	int n;

	memset(&a, 0, sizeof a);
	if (getsockname(fd, &a.sa, &length) < 0)
		return ipc__fail_sys("getsockname");
	ipc__inet_text(&a, text, sizeof text);
	/* The % before a zone is one of the address's own characters. */
	zone = strchr(text, '%');
	n = snprintf(buffer, size, "%s://%.*s%s%s", scheme,
	    zone ? (int)(zone - text) : (int)strlen(text), text,
	    zone ? "%25" : "", zone ? zone + 1 : "");
	return (size_t)n < size ? 0 : ipc__fail(ENAMETOOLONG,
	    "the address does not fit into %zu bytes", size);
}
