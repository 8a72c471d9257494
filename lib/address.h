/* SPDX-License-Identifier: ISC */
/*
 * Addresses: SCHEME:NAME?key=value&key=value, percent-decoded and checked.
 */
#ifndef IPC_LIB_ADDRESS_H
#define IPC_LIB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ipc/mechanism.h>

struct ipc_backend;

#define IPC__ADDRESS_MAX	16384	/* bytes of a whole address */

/* The options that there are; option.c says what each takes. */
enum ipc__key {
	IPC__KEY_BOUNDARY, IPC__KEY_DUPLEX, IPC__KEY_CAPACITY,
	IPC__KEY_MAX_MESSAGE, IPC__KEY_MODE, IPC__KEY_UID, IPC__KEY_GID,
	IPC__KEY_ALLOW_UID, IPC__KEY_ALLOW_GID, IPC__KEY_AT, IPC__KEY_WAIT,
	IPC__KEY_LATEST, IPC__KEY_SYNC, IPC__KEY_FOLLOW, IPC__KEY_END,
	IPC__KEY_BACKLOG, IPC__KEY_NODELAY, IPC__KEY_KEEPALIVE,
	IPC__KEY_THREADS,
	IPC__KEYS,		/* those of channels; of semaphores, mutexes
				   and regions as well: */
	IPC__KEY_VALUE = IPC__KEYS, IPC__KEY_UNDO, IPC__KEY_RECURSIVE,
	IPC__KEY_PI, IPC__KEY_SIZE, IPC__KEY_HUGE,
	IPC__ALL_KEYS
};

enum ipc__wait_word { IPC__WAIT_ADAPTIVE, IPC__WAIT_BLOCK, IPC__WAIT_SPIN };

#define IPC__ALLOW_MAX		16
#define IPC__MAX_MESSAGE	(16u << 20)	/* unless max-message= */

struct ipc__allow {
	unsigned	count;
	uint32_t	*id;		/* NULL, or IPC__ALLOW_MAX */
};

struct ipc__options {
	uint32_t	  set;		/* 1 << key: given in the address */
	int		  boundary;	/* IPC_MESSAGE, IPC_STREAM, 0 unsaid */
	bool		  half_duplex;
	uint64_t	  capacity;	/* 0 unsaid */
	uint64_t	  max_message;
	unsigned	  mode;		/* 0600 */
	uid_t		  uid;		/* -1 unsaid */
	gid_t		  gid;
	struct ipc__allow allow_uid, allow_gid;
	char		 *at;		/* NULL unsaid */
	int		  wait;		/* enum ipc__wait_word */
	bool		  latest, sync, follow, end, nodelay, keepalive;
	char		 *follow_name;	/* file: follow=NAME */
	bool		  from_end;	/* file: follow=end */
	unsigned	  backlog;
	bool		  many;		/* threads=many */
	unsigned	  value;
	bool		  undo, recursive, pi, huge;
	uint64_t	  size;		/* 0 unsaid */
};

struct ipc__address {
	const struct ipc_backend *be;
	char		*text;		/* as given, for messages */
	char		*name;		/* decoded, "" where there is none */
	struct ipc__options opt;
	uid_t		 client;	/* a session's halves: whose the other
					   end will be; -1: not known */
	bool		 passes;	/* the other end is for a program that
					   a child becomes */
};

/* Parses and checks against what the mechanism honours this way.  Both strings
 * are copies; ipc__address_free() frees them.  Fails with a full text. */
int ipc__address_parse(struct ipc__address *, const char *text,
    enum ipc_way way);
/* The same with mechanisms of the caller's: what a test asks. */
typedef const struct ipc_backend *ipc__lookup(const char *scheme, size_t len);
int ipc__address_parse_by(struct ipc__address *, const char *text,
    enum ipc_way way, ipc__lookup *);
/* The same address for another mechanism (one that a scheme chose). */
int ipc__address_as(struct ipc__address *, const struct ipc__address *from,
    const struct ipc_backend *be, enum ipc_way way);
void ipc__address_free(struct ipc__address *);

/* option.c: the key of this name, or -1; and its name. */
int ipc__option_key(const char *name);
const char *ipc__option_name(int key);
/* One "key=value", already decoded. */
int ipc__option_set(struct ipc__options *, uint32_t honoured, const char *key,
    const char *value);
void ipc__options_default(struct ipc__options *);

static inline bool
ipc__option_given(const struct ipc__address *a, enum ipc__key key)
{
	return a->opt.set & UINT32_C(1) << key;
}

#endif
