/* SPDX-License-Identifier: ISC */
/*
 * What lies in the library's runtime directories: meeting points, private FIFOs
 * and files, locks, and the notes about System V objects, which say which of
 * those are the library's and what they are called.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

#define DEPTH		2	/* a directory inside of it, and no more */
#define INIT_IPC_NS	4026531839u

/* A file that the walk has come to. */
struct entry {
	int		 dir;
	const char	*file;
	const char	*path;
	const char	*parent;	/* "": the runtime directory itself */
	struct stat	 st;
};

/*
 * Notes
 */

static void
boot_id(char *boot, size_t size)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f == NULL || fgets(boot, (int)size, f) == NULL)
		strlcpy(boot, "-", size);
	boot[strcspn(boot, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
}

static bool
read_line(const struct entry *e, char *line, size_t size)
{
	ssize_t n = -1;
	int fd = openat(e->dir, e->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC);

	if (fd != -1) {
		n = read(fd, line, size - 1);
		close(fd);
	}
	line[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* "%41" is an A. */
static void
unescape(char *to, const char *from, size_t size)
{
	unsigned byte;
	size_t n = 0;

	while (*from != '\0' && n + 1 < size)
		if (from[0] == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
			to[n++] = (char)byte;
			from += 3;
		} else
			to[n++] = *from++;
	to[n] = '\0';
}

/* A lock is a set of semaphores whose name says what they are, and is called as
 * the library's other commands want it. */
static void
name_set(struct object *o, const char *name)
{
	static const struct {
		const char *prefix, *kind;
		int semaphores;
	} locks[] = {
		{ "mutex:", "sysvmutex", 2 }, { "rwlock:", "sysvrwlock", 3 }
	};
	size_t len;

	for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
		len = strlen(locks[i].prefix);
		if (strcmp(o->kind, "sysvsem") == 0 && o->size ==
		    locks[i].semaphores * (long long)sizeof(short) &&
		    strncmp(name, locks[i].prefix, len) == 0) {
			o->kind = locks[i].kind;
			name += len;
		}
	}
	free(o->name);
	o->name = need(strdup(name));
}

/* KIND-NAME holds "libipc 1 ID PID START BOOT". */
static struct object *
named_object(struct list *l, const struct entry *e, const char *kind,
    const char *name)
{
	char line[512], boot[64], wanted[64], clear[300];
	unsigned long long start;
	struct object *o;
	long pid;
	int id;

	boot_id(wanted, sizeof wanted);
	if (!read_line(e, line, sizeof line) || sscanf(line,
	    "libipc 1 %d %ld %llx %63s", &id, &pid, &start, boot) != 4 ||
	    strcmp(boot, wanted) != 0)
		return NULL;
	o = list_find(l, kind, id);
	if (o == NULL)
		return NULL;
	unescape(clear, name, sizeof clear);
	name_set(o, clear);
	list_hold_since(o, (pid_t)pid, start, "maker");
	return o;
}

/* KIND-ID.PID.START is one of those who hold a private object. */
static struct object *
private_object(struct list *l, const char *kind, const char *rest)
{
	unsigned long long start;
	struct object *o;
	long pid;
	int id;

	if (sscanf(rest, "%d.%ld.%llx", &id, &pid, &start) != 3)
		return NULL;
	o = list_find(l, kind, id);
	if (o != NULL)
		list_hold_since(o, (pid_t)pid, start, "noted");
	return o;
}

/* queue-KEY is open in all who hold that queue. */
static struct object *
keyed_object(struct list *l, const char *key)
{
	char name[16];

	snprintf(name, sizeof name, "0x%.8s", key);
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->objects[i].kind, "sysvmq") == 0 &&
		    strcmp(l->objects[i].name, name) == 0)
			return &l->objects[i];
	return NULL;
}

/* The object that a note is about, if it is there. */
static struct object *
noted_object(struct list *l, const struct entry *e)
{
	static const struct {
		const char *prefix, *kind;
	} forms[] = {
		{ "msg-", "sysvmq" }, { "shm-", "sysvshm" },
		{ "sem-", "sysvsem" }, { "queue-", NULL }
	};
	const char *rest;

	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (strncmp(e->file, forms[i].prefix,
		    strlen(forms[i].prefix)) != 0)
			continue;
		rest = e->file + strlen(forms[i].prefix);
		if (forms[i].kind == NULL)
			return keyed_object(l, rest);
		if (strchr(rest, '.') != NULL)
			return private_object(l, forms[i].kind, rest);
		return named_object(l, e, forms[i].kind, rest);
	}
	return NULL;
}

/* Numbers of another IPC namespace mean nothing here. */
static bool
of_this_namespace(const char *dir)
{
	char wanted[32] = "sysv";
	struct stat st;

	if (stat("/proc/self/ns/ipc", &st) == 0 && st.st_ino != INIT_IPC_NS)
		snprintf(wanted, sizeof wanted, "sysv-%ju",
		    (uintmax_t)st.st_ino);
	return strcmp(dir, wanted) == 0;
}

/*
 * All that lies there
 */

static struct object *
add(struct list *l, const char *kind, const struct entry *e)
{
	struct object *o = list_add(l, kind, e->path);

	o->ours = true;
	o->owned = true;
	o->uid = e->st.st_uid;
	o->mode = e->st.st_mode & 07777;
	if (S_ISREG(e->st.st_mode)) {
		o->size = e->st.st_size;
		o->mapped = true;
	}
	list_key(l, KEY_FILE, e->st.st_dev, e->st.st_ino);
	return o;
}

/* A datagram socket that is connected to the name is refused if nobody has it;
 * and whoever has it does not notice. */
static enum object_state
socket_state(const struct entry *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	enum object_state state = STATE_UNKNOWN;
	int fd, n;

	n = snprintf(sun.sun_path, sizeof sun.sun_path,
	    "/proc/self/fd/%d/%s", e->dir, e->file);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n < (int)sizeof sun.sun_path && fd != -1) {
		if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ||
		    errno == EPROTOTYPE)
			state = STATE_ALIVE;
		else if (errno == ECONNREFUSED)
			state = STATE_ORPHAN;
	}
	if (fd != -1)
		close(fd);
	return state;
}

/* Somebody serves it: then it is listed already, perhaps under another name. */
static bool
is_served(struct list *l, const struct entry *e)
{
	bool served = false;
	struct object *o;

	for (size_t i = 0; i < l->key_count; i++) {
		if (l->keys[i].type != KEY_FILE ||
		    l->keys[i].dev != e->st.st_dev ||
		    l->keys[i].number != e->st.st_ino)
			continue;
		o = &l->objects[l->keys[i].object];
		o->ours = o->owned = served = true;
		o->uid = e->st.st_uid;
		o->mode = e->st.st_mode & 07777;
		if (strcmp(o->name, e->path) != 0) {
			free(o->name);
			o->name = need(strdup(e->path));
		}
	}
	return served;
}

static void
take_note(struct list *l, const struct entry *e)
{
	struct object *o = NULL;

	if (of_this_namespace(e->parent))
		o = noted_object(l, e);
	if (o == NULL) {
		add(l, "note", e);
		return;
	}
	o->ours = true;
	list_key_of(l, o, KEY_FILE, e->st.st_dev, e->st.st_ino);
}

/* The library's own semaphores and locks are called by their names. */
static void
take_file(struct list *l, const struct entry *e)
{
	static const char *const kinds[] = { "sem", "mutex", "rwlock" };
	char clear[300];
	struct object *o;
	size_t len;

	if (strcmp(e->parent, "locks") == 0) {
		add(l, "lock", e);
		return;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		len = strlen(kinds[i]);
		if (e->parent[0] != '\0' ||
		    strncmp(e->file, kinds[i], len) != 0 ||
		    e->file[len] != '-')
			continue;
		o = add(l, kinds[i], e);
		unescape(clear, e->file + len + 1, sizeof clear);
		free(o->name);
		o->name = need(strdup(clear));
		return;
	}
	add(l, "file", e);
}

/* The bell of a semaphore that is there goes without saying. */
static bool
is_bell(const struct entry *e)
{
	const char *dot = strrchr(e->file, '.');
	char segment[300];
	struct stat st;

	if (dot == NULL || strcmp(dot, ".bell") != 0 || e->parent[0] != '\0')
		return false;
	snprintf(segment, sizeof segment, "%.*s", (int)(dot - e->file),
	    e->file);
	return fstatat(e->dir, segment, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
take_socket(struct list *l, const struct entry *e)
{
	if (!is_served(l, e))
		add(l, "unix", e)->state = socket_state(e);
}

/* A link leads nowhere, and notes "DEV.INO.BORN.SPACE:PATH": a socket of the
 * library's that has its name there. */
static void
follow_link(struct list *l, const struct entry *link)
{
	uintmax_t dev, ino;
	char text[4096], *path;
	struct entry e;
	ssize_t n;

	n = readlinkat(link->dir, link->file, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	path = strchr(text, ':');
	if (path == NULL || path[1] != '/' ||
	    sscanf(text, "%jx.%jx.", &dev, &ino) != 2)
		return;
	e.path = path + 1;
	e.file = strrchr(e.path, '/') + 1;
	e.parent = "";
	*strrchr(path, '/') = '\0';
	e.dir = open(path[1] != '\0' ? path + 1 : "/", O_PATH | O_DIRECTORY |
	    O_CLOEXEC);
	*strchr(path + 1, '\0') = '/';
	if (e.dir == -1)
		return;
	if (fstatat(e.dir, e.file, &e.st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(e.st.st_mode) && e.st.st_dev == dev &&
	    e.st.st_ino == ino)
		take_socket(l, &e);
	close(e.dir);
}

static void
take(struct list *l, const struct entry *e)
{
	if (S_ISSOCK(e->st.st_mode))
		take_socket(l, e);
	else if (S_ISLNK(e->st.st_mode) && e->parent[0] == '\0')
		follow_link(l, e);
	else if (S_ISFIFO(e->st.st_mode))
		add(l, "fifo", e)->minor = is_bell(e);
	else if (!S_ISREG(e->st.st_mode))
		return;
	else if (strncmp(e->parent, "sysv", 4) == 0)
		take_note(l, e);
	else
		take_file(l, e);
}

static void
walk(struct list *l, int dir, const char *path, const char *parent, int depth)
{
	char name[4608];
	struct dirent *d;
	struct entry e = { .dir = dir, .path = name, .parent = parent };
	DIR *stream = fdopendir(dir);
	int sub;

	if (stream == NULL) {
		close(dir);
		return;
	}
	while ((d = readdir(stream)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 ||
		    strcmp(d->d_name, "..") == 0 ||
		    fstatat(dir, d->d_name, &e.st, AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		snprintf(name, sizeof name, "%s/%s", path, d->d_name);
		e.file = d->d_name;
		if (!S_ISDIR(e.st.st_mode)) {
			take(l, &e);
			continue;
		}
		sub = depth > 1 ? openat(dir, d->d_name, O_RDONLY |
		    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (sub != -1)
			walk(l, sub, name, d->d_name, depth - 1);
	}
	closedir(stream);
}

static void
look_in(struct list *l, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir != -1)
		walk(l, dir, path, "", DEPTH);
	else if (errno == EACCES)
		list_unseen(l, "%s can not be looked into: %s", path,
		    strerror(errno));
}

/* Where processes of any user have their names, and where this one has if it is
 * told to. */
void
list_places(struct list *l)
{
	static const char *const patterns[] = {
		"/run/ipc", "/run/user/*/ipc", "/tmp/ipc-[0-9]*"
	};
	const char *own = secure_getenv("IPC_RUNTIME_DIR");
	glob_t g = { .gl_offs = 0 };
	bool seen = false;

	for (int i = 0; i < 3; i++)
		if (glob(patterns[i], GLOB_NOSORT | (i > 0 ? GLOB_APPEND : 0),
		    NULL, &g) == GLOB_NOSPACE)
			need(NULL);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		look_in(l, g.gl_pathv[i]);
		seen |= own != NULL && strcmp(own, g.gl_pathv[i]) == 0;
	}
	if (own != NULL && own[0] == '/' && !seen)
		look_in(l, own);
	globfree(&g);
}
