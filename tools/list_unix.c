/* SPDX-License-Identifier: ISC */
/*
 * Unix sockets that have a name.  The kernel shows the name that was bound; the
 * library binds another one first and renames it, so the file that has the
 * socket's number is looked for beside it.
 */
#include <sys/stat.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "list.h"
#include "list_unix.h"

#define LISTENS		0x10000u	/* in the column Flags */
#define AUTOBOUND	6		/* "@00001": nobody chose it */

struct line {
	unsigned	flags, type;
	unsigned long long socket;
	char		*name;
};

static const char *
kind_of(unsigned type)
{
	switch (type) {
	case SOCK_DGRAM:
		return "unixgram";
	case SOCK_SEQPACKET:
		return "unixpacket";
	default:
		return "unix";
	}
}

/* "Num: RefCount Protocol Flags Type St Inode Path"; what has no path is not
 * listed. */
static bool
parse(char *text, struct line *line)
{
	int at = 0;

	text[strcspn(text, "\n")] = '\0';
	if (sscanf(text, "%*s %*s %*s %x %x %*s %llu %n", &line->flags,
	    &line->type, &line->socket, &at) < 3 || at == 0)
		return false;
	line->name = text + at;
	return line->name[0] != '\0';
}

/* The entry of this directory that is the file; name has room for it. */
static bool
look_beside(const char *bound, const struct socket_file *file, char *name,
    size_t size)
{
	const char *slash = strrchr(bound, '/');
	int length = (int)(slash - bound) + 1;
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(name, size, "%.*s", length, bound);
	d = opendir(name);
	name[0] = '\0';
	while (d != NULL && name[0] == '\0' && (e = readdir(d)) != NULL)
		if (fstatat(dirfd(d), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == file->dev &&
		    st.st_ino == file->ino)
			snprintf(name, size, "%.*s%s", length, bound,
			    e->d_name);
	if (d != NULL)
		closedir(d);
	return name[0] != '\0';
}

static bool
is_file(const char *name, const struct socket_file *file, struct stat *st)
{
	return lstat(name, st) == 0 && S_ISSOCK(st->st_mode) &&
	    (file == NULL || (st->st_dev == file->dev &&
	    st->st_ino == file->ino));
}

/* What is known of a socket's file.  A name that is longer than a socket's
 * address was bound by way of a descriptor, and is found with the runtime
 * directory or not at all. */
static void
describe_file(struct object *o, const struct socket_file *file)
{
	char name[4608];
	struct stat st;

	if (!is_file(o->name, file, &st)) {
		if (file == NULL || strncmp(o->name, "/proc/", 6) == 0 ||
		    !look_beside(o->name, file, name, sizeof name) ||
		    !is_file(name, file, &st))
			return;
		o->ours = is_private_name(strrchr(o->name, '/') + 1);
		free(o->name);
		o->name = need(strdup(name));
	}
	o->owned = true;
	o->uid = st.st_uid;
	o->mode = st.st_mode & 07777;
}

static bool
is_autobound(const char *name)
{
	return name[0] == '@' && strlen(name) == AUTOBOUND &&
	    strspn(name + 1, "0123456789abcdef") == AUTOBOUND - 1;
}

static void
add(struct list *l, const struct line *line, const struct socket_files *files)
{
	const struct socket_file *file = socket_file_of(files, line->socket);
	struct object *o = list_add(l, kind_of(line->type), line->name);

	o->state = STATE_ALIVE;
	o->minor = is_autobound(line->name) ||
	    (line->type != SOCK_DGRAM && !(line->flags & LISTENS));
	list_key(l, KEY_SOCKET, 0, line->socket);
	if (line->name[0] == '/')
		describe_file(o, file);
	if (file != NULL)
		list_key(l, KEY_FILE, file->dev, file->ino);
}

void
list_unix(struct list *l)
{
	static const char path[] = "/proc/net/unix";
	struct socket_files files;
	struct line line;
	char text[512];
	FILE *f;

	f = fopen(path, "re");
	if (f == NULL) {
		list_unseen(l, "Unix sockets can not be seen: %s: %s", path,
		    strerror(errno));
		return;
	}
	socket_files_read(&files);
	while (fgets(text, sizeof text, f) != NULL)
		if (parse(text, &line))
			add(l, &line, &files);
	socket_files_free(&files);
	fclose(f);
}
