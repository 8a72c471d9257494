/* SPDX-License-Identifier: ISC */
/*
 * The schemes of semaphores and locks: which there are, what options each
 * takes, and what each can do.  They are no mechanisms of channels, so they
 * have a table of their own; its rows have the form that the parser asks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/sync.h>

#include "backend.h"
#include "error.h"
#include "name.h"
#include "syncaddr.h"

#define KEY(name)	(UINT32_C(1) << IPC__KEY_ ## name)
#define OWNER_KEYS	(KEY(MODE) | KEY(UID) | KEY(GID))
#define SEM_KEYS	(OWNER_KEYS | KEY(VALUE) | KEY(UNDO))
#define MUTEX_KEYS	(OWNER_KEYS | KEY(RECURSIVE))
#define REGION_KEYS	(OWNER_KEYS | KEY(SIZE) | KEY(HUGE))

struct row {
	struct ipc_backend	be;	/* scheme and keys only */
	enum ipc__sync_what	what;
	unsigned		caps;
};

#define ROW(name, takes, more)						\
	.be = {								\
		.mechanism = { .scheme = (name),			\
		    .ways = 1 << IPC_WAY_OPEN | 1 << IPC_WAY_PAIR },	\
		.traits = (more),					\
		.keys = { [IPC_WAY_OPEN] = (takes),		\
		    [IPC_WAY_PAIR] = (takes) }				\
	}

static const struct row rows[IPC__SYNC_SCHEMES] = {
	[IPC__SCHEME_SEM] = {
		ROW("sem", SEM_KEYS, 0),
		.what = IPC__SYNC_SEM,
		.caps = IPC_SYNC_SEM | IPC_SYNC_FD | IPC_SYNC_UNDO |
		    IPC_SYNC_TIMED
	},
	[IPC__SCHEME_POSIXSEM] = {
		ROW("posixsem", SEM_KEYS, 0),
		.what = IPC__SYNC_SEM,
		.caps = IPC_SYNC_SEM | IPC_SYNC_TIMED | IPC_SYNC_FOREIGN
	},
	[IPC__SCHEME_SYSVSEM] = {
		ROW("sysvsem", SEM_KEYS, 0),
		.what = IPC__SYNC_SEM,
		.caps = IPC_SYNC_SEM | IPC_SYNC_UNDO | IPC_SYNC_TIMED |
		    IPC_SYNC_FOREIGN
	},
	[IPC__SCHEME_MUTEX] = {
		ROW("mutex", MUTEX_KEYS | KEY(PI), 0),
		.what = IPC__SYNC_MUTEX,
		.caps = IPC_SYNC_MUTEX | IPC_SYNC_ROBUST | IPC_SYNC_TIMED |
		    IPC_SYNC_RECURSIVE | IPC_SYNC_PI
	},
	[IPC__SCHEME_SYSVMUTEX] = {
		ROW("sysvmutex", MUTEX_KEYS, 0),
		.what = IPC__SYNC_MUTEX,
		.caps = IPC_SYNC_MUTEX | IPC_SYNC_ROBUST | IPC_SYNC_TIMED |
		    IPC_SYNC_RECURSIVE
	},
	[IPC__SCHEME_FILELOCK] = {
		ROW("filelock", MUTEX_KEYS, IPC__PATHS),
		.what = IPC__SYNC_MUTEX,
		.caps = IPC_SYNC_MUTEX | IPC_SYNC_RWLOCK | IPC_SYNC_ROBUST |
		    IPC_SYNC_RECURSIVE | IPC_SYNC_FOREIGN
	},
	[IPC__SCHEME_RWLOCK] = {
		ROW("rwlock", OWNER_KEYS, 0),
		.what = IPC__SYNC_RWLOCK,
		.caps = IPC_SYNC_RWLOCK | IPC_SYNC_ROBUST | IPC_SYNC_TIMED
	},
	[IPC__SCHEME_SYSVRWLOCK] = {
		ROW("sysvrwlock", OWNER_KEYS, 0),
		.what = IPC__SYNC_RWLOCK,
		.caps = IPC_SYNC_RWLOCK | IPC_SYNC_ROBUST | IPC_SYNC_TIMED
	},
	[IPC__SCHEME_SHM] = {
		ROW("shm", REGION_KEYS, 0), .what = IPC__SYNC_REGION
	},
	[IPC__SCHEME_POSIXSHM] = {
		ROW("posixshm", REGION_KEYS, 0), .what = IPC__SYNC_REGION
	},
	[IPC__SCHEME_SYSVSHM] = {
		ROW("sysvshm", REGION_KEYS, 0), .what = IPC__SYNC_REGION
	},
	[IPC__SCHEME_MEMFD] = {
		ROW("memfd", KEY(SIZE) | KEY(HUGE), 0),
		.what = IPC__SYNC_REGION
	},
	[IPC__SCHEME_MMAP] = {
		ROW("mmap", REGION_KEYS, IPC__PATHS),
		.what = IPC__SYNC_REGION
	}
};

static const struct row *
find(const char *scheme, size_t len)
{
	for (size_t i = 0; i < IPC__SYNC_SCHEMES; i++)
		if (strlen(rows[i].be.mechanism.scheme) == len &&
		    memcmp(rows[i].be.mechanism.scheme, scheme, len) == 0)
			return &rows[i];
	return NULL;
}

static const struct ipc_backend *
lookup(const char *scheme, size_t len)
{
	const struct row *r = find(scheme, len);

	return r != NULL ? &r->be : NULL;
}

static const struct row *
row_of(const struct ipc__address *a)
{
	return (const struct row *)(const void *)a->be;
}

enum ipc__sync_scheme
ipc__sync_scheme(const struct ipc__address *a)
{
	return (enum ipc__sync_scheme)(row_of(a) - rows);
}

unsigned
ipc_sync_caps(const char *scheme)
{
	const struct row *r;

	if (scheme == NULL)
		return 0;
	r = find(scheme, strcspn(scheme, ":?"));
	return r != NULL ? r->caps : 0;
}

/* A file can be locked in both ways. */
static bool
is_what(const struct row *r, enum ipc__sync_what what)
{
	return r->what == what ||
	    (what == IPC__SYNC_RWLOCK && r->caps & IPC_SYNC_RWLOCK);
}

/* Some regions need no name, which the parser allows to pairs. */
static bool
is_nameless(const char *text)
{
	size_t n = strcspn(text, ":");

	return text[n] == ':' && (text[n + 1] == '\0' || text[n + 1] == '?');
}

int
ipc__sync_parse(struct ipc__address *a, const char *text,
    enum ipc__sync_what what)
{
	static const char *const nouns[IPC__SYNC_WHATS] = {
		[IPC__SYNC_SEM] = "semaphore (sem:, posixsem:, sysvsem:)",
		[IPC__SYNC_MUTEX] = "mutex (mutex:, sysvmutex:, filelock:)",
		[IPC__SYNC_RWLOCK] = ("reader-writer lock (rwlock:, "
		    "sysvrwlock:, filelock:)"),
		[IPC__SYNC_REGION] = ("region (shm:, posixshm:, sysvshm:, "
		    "memfd:, mmap:)")
	};
	int rc;

	rc = ipc__address_parse_by(a, text, what == IPC__SYNC_REGION &&
	    is_nameless(text) ? IPC_WAY_PAIR : IPC_WAY_OPEN, lookup);
	if (rc < 0)
		return rc;
	if (!is_what(row_of(a), what))
		rc = ipc__fail(EPROTOTYPE, "it is no %s", nouns[what]);
	else if (a->opt.undo &&
	    !(row_of(a)->caps & IPC_SYNC_UNDO))
		rc = ipc__fail(EOPNOTSUPP, "undo=1: a POSIX semaphore can not "
		    "know who has taken from it; sem: and sysvsem: can");
	if (rc < 0) {
		ipc__address_free(a);
		return ipc__fail_at(text, rc);
	}
	return 0;
}

int
ipc__sync_flags(int flags, int more)
{
	if (flags & ~(IPC_CREATE | IPC_EXCLUSIVE | more))
		return ipc__fail(EINVAL, "flags 0x%x: there is nothing beside "
		    "IPC_CREATE and IPC_EXCLUSIVE here", (unsigned)flags);
	if (flags & IPC_EXCLUSIVE && !(flags & IPC_CREATE))
		return ipc__fail(EINVAL, "IPC_EXCLUSIVE means nothing without "
		    "IPC_CREATE");
	return 0;
}

int
ipc__sync_key(const struct ipc__address *a, key_t *key)
{
	unsigned long n;
	char *end;

	*key = 0;
	if (strncmp(a->name, "0x", 2) != 0)
		return 0;
	errno = 0;
	n = strtoul(a->name + 2, &end, 16);
	if (errno != 0 || *end != '\0' || end == a->name + 2 || n == 0 ||
	    n > UINT32_MAX)
		return ipc__fail(EINVAL, "%s: a key is 0x1 to 0xffffffff",
		    a->name);
	*key = (key_t)(uint32_t)n;
	return 0;
}

int
ipc__sync_posix_name(const struct ipc__address *a, const char **name)
{
	*name = a->name + (a->name[0] == '/');
	if (**name == '\0' || strchr(*name, '/') != NULL ||
	    strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return ipc__fail(EINVAL, "\"%s\" is no name of a POSIX object: "
		    "it takes /name", a->name);
	if (strlen(*name) > IPC__NAME_MAX - 4)	/* sem_open(3) puts "sem." */
		return ipc__fail(ENAMETOOLONG, "%s: longer than %d bytes",
		    a->name, IPC__NAME_MAX - 4);
	return 0;
}
