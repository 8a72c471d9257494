/* SPDX-License-Identifier: ISC */
/*
 * The list of IPC objects itself: adding to it, finding in it, sorting it.
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "list.h"

#define MARK	".ipc-"
#define START_MASK	0xffffffffffffull

void *
need(void *p)
{
	if (p == NULL)
		err(EXIT_FAILED, "no memory");
	return p;
}

struct object *
list_add(struct list *l, const char *kind, const char *name)
{
	struct object *o;

	l->objects = need(reallocarray(l->objects, l->count + 1,
	    sizeof *l->objects));
	o = &l->objects[l->count++];
	*o = (struct object){ .kind = kind, .name = need(strdup(name)),
	    .id = -1, .size = -1 };
	return o;
}

void
list_key_of(struct list *l, const struct object *o, enum key_type type,
    dev_t dev, unsigned long long number)
{
	l->keys = need(reallocarray(l->keys, l->key_count + 1,
	    sizeof *l->keys));
	l->keys[l->key_count++] = (struct key){ type, dev, number,
	    (size_t)(o - l->objects) };
}

void
list_key(struct list *l, enum key_type type, dev_t dev,
    unsigned long long number)
{
	list_key_of(l, &l->objects[l->count - 1], type, dev, number);
}

static void
read_command(pid_t pid, char *name, size_t size)
{
	char path[40];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
	f = fopen(path, "re");
	if (f == NULL || fgets(name, (int)size, f) == NULL)
		strlcpy(name, "?", size);
	name[strcspn(name, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
}

void
list_hold(struct object *o, pid_t pid, const char *how)
{
	struct holder *h;

	if (pid <= 0 || (kill(pid, 0) == -1 && errno == ESRCH))
		return;
	o->state = STATE_ALIVE;
	for (size_t i = 0; i < o->holder_count; i++)
		if (o->holders[i].pid == pid)
			return;
	o->holders = need(reallocarray(o->holders, o->holder_count + 1,
	    sizeof *o->holders));
	h = &o->holders[o->holder_count++];
	h->pid = pid;
	h->how = how;
	read_command(pid, h->command, sizeof h->command);
}

/* The 22nd field of /proc/PID/stat; the name before it may hold anything. */
static unsigned long long
started(pid_t pid)
{
	unsigned long long start = 0;
	char path[40], text[1024];
	const char *s;
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	s = strrchr(text, ')');
	for (int field = 2; s != NULL && field < 22; field++)
		s = strchr(s + 1, ' ');
	if (s != NULL)
		sscanf(s, "%llu", &start);
	return start;
}

void
list_hold_since(struct object *o, pid_t pid, unsigned long long start,
    const char *how)
{
	if (((started(pid) ^ start) & START_MASK) == 0)
		list_hold(o, pid, how);
}

struct object *
list_find(struct list *l, const char *kind, long long id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->objects[i].id == id &&
		    strcmp(l->objects[i].kind, kind) == 0)
			return &l->objects[i];
	return NULL;
}

void
list_unseen(struct list *l, const char *fmt, ...)
{
	va_list ap;

	if (l->unseen_count == UNSEEN_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&l->unseen[l->unseen_count], fmt, ap) == -1)
		err(EXIT_FAILED, "no memory");
	va_end(ap);
	l->unseen_count++;
}

/* Three fields behind the mark, of which the first is a pid. */
bool
is_private_name(const char *name)
{
	const char *s = NULL, *next = name;
	int fields = 0;

	while (name[0] == '.' && (next = strstr(next, MARK)) != NULL)
		s = next++;
	if (s == NULL)
		return false;
	for (s += sizeof MARK - 1; isxdigit((unsigned char)*s); fields++) {
		s += strspn(s, "0123456789abcdef");
		if (*s == '.')
			s++;
	}
	return *s == '\0' && fields == 3;
}

/* By kind, name and number. */
static int
compare(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	int n = strcmp(x->kind, y->kind);

	if (n == 0)
		n = strcmp(x->name, y->name);
	if (n == 0)
		n = (x->id > y->id) - (x->id < y->id);
	return n;
}

/* Until now they were compared with what is found. */
static void
write_names(struct list *l)
{
	char *name;

	for (size_t i = 0; i < l->count; i++) {
		name = need(address_name(l->objects[i].name));
		free(l->objects[i].name);
		l->objects[i].name = name;
	}
}

void
list_gather(struct list *l)
{
	memset(l, 0, sizeof *l);
	list_sysv(l);
	list_posix(l);
	list_unix(l);
	list_places(l);
	list_holders(l);
	/* The keys go by numbers that are no more. */
	free(l->keys);
	l->keys = NULL;
	l->key_count = 0;
	write_names(l);
	if (l->count > 0)
		qsort(l->objects, l->count, sizeof *l->objects, compare);
}

void
list_free(struct list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->objects[i].name);
		free(l->objects[i].holders);
	}
	for (size_t i = 0; i < l->unseen_count; i++)
		free(l->unseen[i]);
	free(l->objects);
	free(l->keys);
}
