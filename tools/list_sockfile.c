/* SPDX-License-Identifier: ISC */
/*
 * The files that Unix sockets are bound to: sock_diag(7).
 */
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"
#include "list_unix.h"

/* As the kernel itself writes a device's number. */
#define KERNEL_MINOR_BITS	20

static int
ask(void)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} ask = {
		.head = {
			.nlmsg_len = sizeof ask,
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP
		},
		.req = {
			.sdiag_family = AF_UNIX,
			.udiag_states = (__u32)-1,
			.udiag_show = UDIAG_SHOW_VFS
		}
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
	    NETLINK_SOCK_DIAG);

	if (fd == -1)
		return -1;
	if (send(fd, &ask, sizeof ask, 0) == (ssize_t)sizeof ask)
		return fd;
	close(fd);
	return -1;
}

static void
add(struct socket_files *s, const struct nlmsghdr *head)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(head);
	const struct unix_diag_vfs *vfs;
	struct rtattr *a = (struct rtattr *)(void *)(uintptr_t)(msg + 1);
	unsigned left = head->nlmsg_len - NLMSG_LENGTH(sizeof *msg);

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type != UNIX_DIAG_VFS)
			continue;
		vfs = RTA_DATA(a);
		s->files = need(reallocarray(s->files, s->count + 1,
		    sizeof *s->files));
		s->files[s->count++] = (struct socket_file){
			.socket = msg->udiag_ino,
			.dev = makedev(vfs->udiag_vfs_dev >>
			    KERNEL_MINOR_BITS, vfs->udiag_vfs_dev &
			    ((1u << KERNEL_MINOR_BITS) - 1)),
			.ino = vfs->udiag_vfs_ino
		};
	}
}

/* False: that was the last. */
static bool
read_some(int fd, struct socket_files *s)
{
	union {
		struct nlmsghdr head;
		char bytes[32768];
	} buffer;
	struct nlmsghdr *head = &buffer.head;
	ssize_t got;
	unsigned left;

	do
		got = recv(fd, &buffer, sizeof buffer, 0);
	while (got == -1 && errno == EINTR);
	if (got <= 0)
		return false;
	left = (unsigned)got;
	for (; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
		if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return false;
		add(s, head);
	}
	return true;
}

static int
compare(const void *a, const void *b)
{
	const struct socket_file *x = a, *y = b;

	return (x->socket > y->socket) - (x->socket < y->socket);
}

void
socket_files_read(struct socket_files *s)
{
	int fd = ask();

	*s = (struct socket_files){ .count = 0 };
	if (fd == -1)
		return;
	while (read_some(fd, s))
		continue;
	close(fd);
	if (s->count > 0)
		qsort(s->files, s->count, sizeof *s->files, compare);
}

void
socket_files_free(struct socket_files *s)
{
	free(s->files);
}

/* The kernel gives 32 bits of the number here. */
const struct socket_file *
socket_file_of(const struct socket_files *s, unsigned long long socket)
{
	struct socket_file wanted = { .socket = socket & 0xffffffff };

	if (s->count == 0)
		return NULL;
	return bsearch(&wanted, s->files, s->count, sizeof *s->files, compare);
}
