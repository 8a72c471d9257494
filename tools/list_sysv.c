/* SPDX-License-Identifier: ISC */
/*
 * System V objects, as /proc/sysvipc tells of them.  The kernel counts who has
 * a segment; of queues and semaphores it knows only who used them last.
 */
#include <sys/sem.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "list.h"

/* A line of one of the files, by the names in its first line. */
#define FIELDS_MAX	24

struct row {
	char	*name[FIELDS_MAX];
	char	*value[FIELDS_MAX];
	int	 count;
};

static int
split(char *line, char *fields[FIELDS_MAX])
{
	char *field;
	int n = 0;

	while (n < FIELDS_MAX && (field = strsep(&line, " \t\n")) != NULL)
		if (*field != '\0')
			fields[n++] = field;
	return n;
}

static long long
get(const struct row *r, const char *name)
{
	long long value = 0;

	for (int i = 0; i < r->count; i++)
		if (strcmp(r->name[i], name) == 0)
			sscanf(r->value[i], "%lld", &value);
	return value;
}

static mode_t
mode_of(const struct row *r)
{
	unsigned mode = 0;

	for (int i = 0; i < r->count; i++)
		if (strcmp(r->name[i], "perms") == 0)
			sscanf(r->value[i], "%o", &mode);
	return mode & 0777;	/* above are flags of segments */
}

static struct object *
add(struct list *l, const char *kind, const struct row *r, const char *id)
{
	char name[24];
	struct object *o;

	snprintf(name, sizeof name, "0x%08" PRIx32,
	    (uint32_t)get(r, "key"));
	o = list_add(l, kind, name);
	o->id = get(r, id);
	o->owned = true;
	o->uid = (uid_t)get(r, "uid");
	o->mode = mode_of(r);
	o->state = STATE_ORPHAN;
	return o;
}

static void
add_queue(struct list *l, const struct row *r)
{
	struct object *o = add(l, "sysvmq", r, "msqid");

	o->size = get(r, "cbytes");
	list_hold(o, (pid_t)get(r, "lspid"), "sent last");
	list_hold(o, (pid_t)get(r, "lrpid"), "received last");
}

static void
add_segment(struct list *l, const struct row *r)
{
	struct object *o = add(l, "sysvshm", r, "shmid");

	o->size = get(r, "size");
	list_hold(o, (pid_t)get(r, "cpid"), "maker");
	list_hold(o, (pid_t)get(r, "lpid"), "attached last");
	if (get(r, "nattch") > 0)
		o->state = STATE_ALIVE;
	list_key(l, KEY_SEGMENT, 0, (unsigned long long)o->id);
}

/* Only each single semaphore knows who used it last. */
static void
add_set(struct list *l, const struct row *r)
{
	struct object *o = add(l, "sysvsem", r, "semid");
	long long count = get(r, "nsems");
	int pid;

	o->size = count * (long long)sizeof(unsigned short);
	for (int i = 0; i < count; i++) {
		pid = semctl((int)o->id, i, GETPID);
		if (pid == -1 && errno == EACCES &&
		    o->state == STATE_ORPHAN)
			o->state = STATE_UNKNOWN;
		list_hold(o, pid, "used last");
	}
}

static void
read_file(struct list *l, const char *path,
    void (*object)(struct list *, const struct row *))
{
	char head[1024], line[1024];
	struct row row;
	int values;
	FILE *f;

	f = fopen(path, "re");
	if (f == NULL) {
		list_unseen(l, "System V objects can not be seen: %s: %s",
		    path, strerror(errno));
		return;
	}
	if (fgets(head, sizeof head, f) != NULL) {
		row.count = split(head, row.name);
		while (fgets(line, sizeof line, f) != NULL) {
			values = split(line, row.value);
			if (values == row.count)
				object(l, &row);
		}
	}
	fclose(f);
}

void
list_sysv(struct list *l)
{
	read_file(l, "/proc/sysvipc/msg", add_queue);
	read_file(l, "/proc/sysvipc/shm", add_segment);
	read_file(l, "/proc/sysvipc/sem", add_set);
}
