/* SPDX-License-Identifier: ISC */
/*
 * ipc list: the IPC objects of this machine, gathered by one file for each kind
 * of them, and then held against all processes to find who has them.
 */
#ifndef TOOLS_LIST_H
#define TOOLS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum object_state {
	STATE_UNKNOWN,		/* not to be seen by this user */
	STATE_ALIVE,		/* a living process has it */
	STATE_ORPHAN		/* none does */
};

struct holder {
	pid_t		 pid;
	char		 command[17];
	const char	*how;	/* "open", "mapped", "maker", ... */
};

struct object {
	const char	*kind;		/* the scheme, where there is one */
	char		*name;		/* a path, /NAME, @NAME, 0xKEY, name */
	long long	 id;		/* System V; -1: none */
	long long	 size;		/* bytes; -1: not known */
	bool		 owned;		/* the next two are known */
	uid_t		 uid;
	mode_t		 mode;
	bool		 ours;		/* known to be this library's */
	bool		 minor;		/* shown with -a only */
	bool		 mapped;	/* may be held without a descriptor */
	enum object_state state;
	struct holder	*holders;
	size_t		 holder_count;
};

/* By what the processes' descriptors and maps tell of an object. */
enum key_type { KEY_FILE, KEY_SOCKET, KEY_SEGMENT };

struct key {
	enum key_type	 type;
	dev_t		 dev;		/* files only */
	unsigned long long number;
	size_t		 object;	/* its index */
};

#define UNSEEN_MAX	8

struct list {
	struct object	*objects;
	size_t		 count;
	struct key	*keys;
	size_t		 key_count;
	/* Some processes' descriptors, or maps, are not to be seen. */
	bool		 blind, blind_maps;
	char		*unseen[UNSEEN_MAX];	/* what is missing, and why */
	size_t		 unseen_count;
};

/* All that there is, sorted.  Never fails but by ending the program. */
void list_gather(struct list *);
void list_free(struct list *);

/* An object with this kind and (copied) name; good until the next one. */
struct object *list_add(struct list *, const char *kind, const char *name);
/* The processes that have this are holders of the object added last. */
void list_key(struct list *, enum key_type, dev_t, unsigned long long number);
/* The same for an object of before. */
void list_key_of(struct list *, const struct object *, enum key_type, dev_t,
    unsigned long long number);
/* A process that is known to have it, if it is alive; start: and if it started
 * then (the low 48 bits count). */
void list_hold(struct object *, pid_t, const char *how);
void list_hold_since(struct object *, pid_t, unsigned long long start,
    const char *how);
struct object *list_find(struct list *, const char *kind, long long id);
/* What can not be listed here, and why. */
void list_unseen(struct list *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void list_sysv(struct list *);		/* list_sysv.c */
void list_posix(struct list *);		/* list_posix.c */
void list_unix(struct list *);		/* list_unix.c */
void list_places(struct list *);	/* list_places.c; after those */
void list_holders(struct list *);	/* list_holders.c */

/* ".NAME.ipc-PID.START.NUMBER", as the library calls what is not ready yet or
 * private. */
bool is_private_name(const char *name);

/* Memory, or an end with a message. */
void *need(void *p);

#endif
