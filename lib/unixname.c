/* SPDX-License-Identifier: ISC */
/*
 * Names of Unix sockets.  A listener's name appears at once with its owner and
 * mode, and never refers to a socket that does not listen yet: the socket is
 * bound to a temporary name beside it, which is renamed without replacing
 * anything.  A datagram socket is bound to its name directly, as that is the
 * address that its messages carry.  A name in the way is looked into only if it
 * is a socket's that nobody has any more, and what is to be removed is looked
 * at once more when nobody else can reach it.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define TRIES		64	/* names that come and go under us */
#define SWEEP_MOST	1000	/* entries of a directory that may be vast */

/* The directory of a path, opened, and the name in it. */
static int
open_place(struct ipc__place *place, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[IPC__SUN_MAX + 1] = ".";
	size_t length = strlen(path);

	*base = slash != NULL ? slash + 1 : path;
	if (**base == '\0')
		return ipc__fail(EINVAL, "'%s' is no name of a socket", path);
	if (length > IPC__SUN_MAX)
		return ipc__fail(ENAMETOOLONG, "%s: a path of %zu bytes "
		    "exceeds the %d of a Unix socket (sun_path)", path, length,
		    IPC__SUN_MAX);
	place->path = path;
	place->path_len = (size_t)(*base - path);
	if (place->path_len > 0)
		strlcpy(dir, path, place->path_len + 1);
	place->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return place->dir == -1 ? ipc__fail_path("open directory", dir) : 0;
}

/* The mode is set before there is a name: Linux makes the name with it (less
 * the umask), so that it never allows more than it should. */
static int
make_socket(const struct ipc__address *a, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return ipc__fail_sys("socket");
	fchmod(fd, a->opt.mode);
	return fd;
}

static int
bind_at(int fd, const struct ipc__place *place, const char *name)
{
	struct sockaddr_un sun;
	int rc = ipc__unix_address(&sun, place, name);

	if (rc < 0)
		return rc;
	return bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ? 0 : -errno;
}

/*
 * Owner and mode
 */

/* Whoever may write in the directory can put another file in our socket's
 * place; so only what is surely ours, and has no other name, is changed, and
 * that by a descriptor. */
static int
check_own(const char *name, const struct stat *st)
{
	if (S_ISSOCK(st->st_mode) && st->st_uid == geteuid() &&
	    st->st_nlink == 1)
		return 0;
	return ipc__fail(EPERM, "%s: the socket that was made there has been "
	    "replaced", name);
}

/* chmod(2) knows no descriptor that was opened with O_PATH but by this way;
 * without /proc the name must do. */
static int
change_mode(int fd, const struct ipc__place *place, const char *name,
    mode_t mode)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (chmod(path, mode) == 0 ||
	    (errno == ENOENT && fchmodat(place->dir, name, mode, 0) == 0))
		return 0;
	return ipc__fail_sys("mode=: chmod");
}

static int
change(int fd, const struct ipc__options *opt, const struct ipc__place *place,
    const char *name, const struct stat *st)
{
	bool chmods = (st->st_mode & 07777) != opt->mode;
	bool chowns = opt->uid != (uid_t)-1 || opt->gid != (gid_t)-1;
	int rc = 0;

	if (chmods || chowns)
		rc = check_own(name, st);
	if (rc == 0 && chmods)
		rc = change_mode(fd, place, name, opt->mode);
	if (rc == 0 && chowns &&
	    fchownat(fd, "", opt->uid, opt->gid, AT_EMPTY_PATH) == -1)
		rc = ipc__fail_sys("uid=, gid=: chown");
	return rc;
}

/* Gives a name that was just bound the address's mode and owner, and says which
 * file it is. */
static int
dress(const struct ipc__address *a, const struct ipc__place *place,
    const char *name, struct stat *st)
{
	int fd, rc;

	fd = openat(place->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return ipc__fail_path("open", name);
	rc = fstat(fd, st) == 0 ? change(fd, &a->opt, place, name, st) :
	    ipc__fail_path("stat", name);
	close(fd);
	return rc;
}

/* A relative path would mean something else after a chdir(2). */
static void
remember(struct ipc__socket_name *name, const char *path, const char *note,
    const struct stat *st)
{
	char cwd[IPC__PATH_MAX];
	int n = -1;

	if (name == NULL)
		return;
	if (path[0] != '/' && getcwd(cwd, sizeof cwd) != NULL &&
	    strlen(cwd) < sizeof name->path)
		n = snprintf(name->path, sizeof name->path, "%.*s/%s",
		    IPC__SUN_MAX, cwd, path);
	if (n < 0 || (size_t)n >= sizeof name->path)
		strlcpy(name->path, path, sizeof name->path);
	strlcpy(name->note, note, sizeof name->note);
	name->dev = st->st_dev;
	name->ino = st->st_ino;
}

/*
 * Abstract names, which vanish with their socket and have no owner or mode
 */

static int
abstract_address(struct sockaddr_un *sun, socklen_t *size, const char *name)
{
	size_t length = strlen(name + 1);

	if (length == 0)
		return ipc__fail(EINVAL, "the abstract name is empty");
	if (length > IPC__SUN_MAX)
		return ipc__fail(ENAMETOOLONG, "%s: an abstract name of %zu "
		    "bytes exceeds the %d of a Unix socket (sun_path)", name,
		    length, IPC__SUN_MAX);
	memset(sun, 0, sizeof *sun);
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path + 1, name + 1, length);
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	    length);
	return 0;
}

static int
bind_abstract(const struct ipc__address *a, const char *name, int type)
{
	struct sockaddr_un sun;
	socklen_t size = 0;
	int fd, rc;

	if (ipc__option_given(a, IPC__KEY_MODE) ||
	    ipc__option_given(a, IPC__KEY_UID) ||
	    ipc__option_given(a, IPC__KEY_GID))
		return ipc__fail(EINVAL, "mode, uid, gid: an abstract name has "
		    "none of them; use allow-uid, or a path");
	rc = abstract_address(&sun, &size, name);
	if (rc < 0)
		return rc;
	fd = make_socket(a, type);
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&sun, size) == 0)
		return fd;
	rc = ipc__fail_path("bind", name);
	close(fd);
	return rc;
}

/* Each type has abstract names of its own, and the only question that the
 * kernel answers is connect(2): a client that goes away at once. */
static int
probe_abstract(const struct sockaddr_un *sun, socklen_t size, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd == -1)
		return ipc__fail_sys("socket");
	rc = connect(fd, (const struct sockaddr *)sun, size) == -1 &&
	    errno == ECONNREFUSED ? IPC__SOCKET_GONE : IPC__SOCKET_LIVE;
	close(fd);
	return rc;
}

static int
unlink_abstract(const char *name)
{
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET };
	struct sockaddr_un sun;
	socklen_t size = 0;
	int rc;

	rc = abstract_address(&sun, &size, name);
	for (int i = 0; i < 3 && rc == IPC__SOCKET_GONE; i++)
		rc = probe_abstract(&sun, size, types[i]);
	if (rc == IPC__SOCKET_LIVE)
		rc = ipc__fail(EBUSY, "%s: somebody has this name", name);
	else if (rc == IPC__SOCKET_GONE)
		rc = ipc__fail(ENOENT, "%s: nobody has this name", name);
	return rc;
}

/*
 * Taking over
 */

static const char *
kind_of(const struct ipc__place *place, const char *name)
{
	struct stat st;

	if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return "no socket";
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFSOCK:
		return "another socket";
	default:
		return "a device";
	}
}

/* The name is taken: 0 if it was a dead one's and may be free by now. */
static int
make_way(const struct ipc__place *place, const char *name, int type)
{
	int rc = ipc__unix_clear(place, name);

	switch (rc) {
	case IPC__SOCKET_LIVE:
		return ipc__fail(EADDRINUSE, "%s: somebody has this name",
		    place->path);
	case IPC__SOCKET_DATAGRAM:
		if (type == SOCK_DGRAM)
			return ipc__fail(EADDRINUSE, "%s: somebody has this "
			    "name", place->path);
		return ipc__fail(EEXIST, "%s is an opened datagram socket, no "
		    "meeting point, and is left alone", place->path);
	case IPC__SOCKET_OTHER:
		return ipc__fail(EEXIST, "%s is %s, not a socket, and is left "
		    "alone", place->path, kind_of(place, name));
	default:
		return rc;
	}
}

static int
fail_tries(const char *path)
{
	return ipc__fail(EADDRINUSE, "%s: the name comes and goes: it was in "
	    "use %d times in a row", path, TRIES);
}

static int
publish(const struct ipc__place *place, const char *temp, const char *name)
{
	int rc;

	for (int i = 0; i < TRIES; i++) {
		rc = ipc__temp_publish(place->dir, temp, name);
		if (rc == 0)
			return 0;
		errno = -rc;
		if (rc != -EEXIST)
			return ipc__fail_path("link", place->path);
		rc = make_way(place, name, SOCK_STREAM);
		if (rc < 0)
			return rc;
	}
	return fail_tries(place->path);
}

/*
 * What the others call
 */

/* note: for ipc__beside_done(). */
static int
bind_temp(const struct ipc__place *place, const char *base, int fd, char *temp,
    size_t size, int *note)
{
	int rc = -EADDRINUSE;

	for (int i = 0; i < TRIES && rc == -EADDRINUSE; i++) {
		ipc__temp_name(temp, size, base);
		*note = ipc__beside_note(place->dir, temp);
		rc = bind_at(fd, place, temp);
		if (rc < 0)
			ipc__beside_done(*note, temp);
	}
	errno = -rc;
	return rc < 0 ? ipc__fail_path("bind", place->path) : 0;
}

/* What is called temp now is going to be called base. */
static void
note_name(const struct ipc__place *place, const char *temp, const char *base,
    char *note)
{
	struct ipc__file_id id;

	note[0] = '\0';
	if (ipc__file_id(place->dir, temp, &id) == 0)
		ipc__named_note(place->dir, base, &id, note,
		    IPC__TEMP_MAX + 1);
}

/* The name is there when all is done, and otherwise nothing is. */
static int
listen_at(const struct ipc__address *a, const struct ipc__place *place,
    const char *base, int fd, struct stat *st, char *note)
{
	char temp[IPC__TEMP_MAX + 1];
	int hidden, rc;

	rc = bind_temp(place, base, fd, temp, sizeof temp, &hidden);
	if (rc < 0)
		return rc;
	rc = dress(a, place, temp, st);
	if (rc == 0 && listen(fd, a->opt.backlog > 0 ? (int)a->opt.backlog :
	    SOMAXCONN) == -1)
		rc = ipc__fail_sys("listen");
	if (rc == 0) {
		note_name(place, temp, base, note);
		rc = publish(place, temp, base);
	}
	if (rc < 0)
		unlinkat(place->dir, temp, 0);
	ipc__beside_done(hidden, temp);
	return rc;
}

static int
listen_abstract(const struct ipc__address *a, const char *name, int type)
{
	int fd = bind_abstract(a, name, type), rc;

	if (fd < 0 || listen(fd, a->opt.backlog > 0 ? (int)a->opt.backlog :
	    SOMAXCONN) == 0)
		return fd;
	rc = ipc__fail_sys("listen");
	close(fd);
	return rc;
}

/* While our socket is open its file keeps its number, and nobody who asks
 * first takes its name. */
static void
remove_same(int dir, const char *name, const struct stat *ours)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode) && st.st_dev == ours->st_dev &&
	    st.st_ino == ours->st_ino)
		unlinkat(dir, name, 0);
}

static int
bind_free(const struct ipc__place *place, const char *base, int fd)
{
	int rc, tries = 0;

	while ((rc = bind_at(fd, place, base)) == -EADDRINUSE) {
		rc = ++tries < TRIES ? make_way(place, base, SOCK_DGRAM) :
		    fail_tries(place->path);
		if (rc < 0)
			return rc;
	}
	errno = -rc;
	return rc < 0 ? ipc__fail_path("bind", place->path) : 0;
}

/* A datagram socket is ready when it is bound.  Until it is dressed it has the
 * sticky bit, which tells whoever finds the first note that it is ours. */
static int
bind_datagram(const struct ipc__address *a, const struct ipc__place *place,
    const char *base, int fd, struct stat *st, char *note)
{
	char coming[IPC__TEMP_MAX + 1];
	int rc;

	ipc__named_note(place->dir, base, NULL, coming, sizeof coming);
	if (coming[0] != '\0')
		fchmod(fd, a->opt.mode | S_ISVTX);
	rc = bind_free(place, base, fd);
	if (rc < 0)
		goto out;
	/* Known before anything can fail, to be removed if something does. */
	if (fstatat(place->dir, base, st, AT_SYMLINK_NOFOLLOW) == -1) {
		rc = ipc__fail_path("stat", place->path);
		goto out;
	}
	note_name(place, base, base, note);
	rc = dress(a, place, base, st);
	if (rc < 0)
		remove_same(place->dir, base, st);
out:
	ipc__named_done(coming);
	return rc;
}

/* Removes what makers who were killed left, beside the name and elsewhere; but
 * not for each of the many private names that clients may have. */
static void
clear_away(const struct ipc__place *place, const char *base)
{
	uint64_t start_time;
	pid_t pid;

	if (ipc__temp_parse(base, &pid, &start_time))
		return;
	ipc__temp_sweep(place, SWEEP_MOST, NULL, NULL);
	ipc__runtime_tidy();
}

/* Common to both: a socket that `name_it' gives its name. */
static int
make_named(const struct ipc__address *a, const char *path, int type,
    struct ipc__socket_name *name,
    int (*name_it)(const struct ipc__address *, const struct ipc__place *,
    const char *base, int fd, struct stat *, char *note))
{
	struct ipc__place place = { .dir = -1 };
	char note[IPC__TEMP_MAX + 1] = "";
	const char *base;
	struct stat st = { .st_ino = 0 };
	int fd, rc;

	rc = open_place(&place, path, &base);
	if (rc < 0)
		return rc;
	clear_away(&place, base);
	rc = fd = make_socket(a, type);
	if (fd >= 0)
		rc = name_it(a, &place, base, fd, &st, note);
	if (rc == 0)
		remember(name, path, note, &st);
	else if (fd >= 0) {
		ipc__named_done(note);
		close(fd);
	}
	close(place.dir);
	return rc < 0 ? rc : fd;
}

int
ipc__unix_listen(const struct ipc__address *a, const char *path, int type,
    struct ipc__socket_name *name)
{
	if (name != NULL)
		*name = (struct ipc__socket_name){ .path = "" };
	return path[0] == '@' ? listen_abstract(a, path, type) :
	    make_named(a, path, type, name, listen_at);
}

int
ipc__unix_bind(const struct ipc__address *a, const char *path, int type,
    struct ipc__socket_name *name)
{
	if (name != NULL)
		*name = (struct ipc__socket_name){ .path = "" };
	return path[0] == '@' ? bind_abstract(a, path, type) :
	    make_named(a, path, type, name, bind_datagram);
}

int
ipc__unix_unlink(const char *path)
{
	struct ipc__place place = { .dir = -1 };
	const char *base;
	int rc;

	if (path[0] == '@')
		return unlink_abstract(path);
	rc = open_place(&place, path, &base);
	if (rc < 0)
		return rc;
	rc = ipc__unix_probe(&place, base);
	if (rc == IPC__SOCKET_STALE)
		rc = ipc__unix_clear(&place, base);
	else if (rc == IPC__SOCKET_GONE)
		rc = ipc__fail(ENOENT, "there is no %s", path);
	if (rc == IPC__SOCKET_LIVE || rc == IPC__SOCKET_DATAGRAM)
		rc = ipc__fail(EBUSY, "%s: somebody has this name", path);
	else if (rc == IPC__SOCKET_OTHER)
		rc = ipc__fail(EPROTOTYPE, "%s is %s, not a socket", path,
		    kind_of(&place, base));
	close(place.dir);
	return rc;
}

void
ipc__unix_remove(const struct ipc__socket_name *name)
{
	struct stat st = { .st_dev = name->dev, .st_ino = name->ino };

	if (name->path[0] == '\0')
		return;
	remove_same(AT_FDCWD, name->path, &st);
	ipc__named_done(name->note);
}
