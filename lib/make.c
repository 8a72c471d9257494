/* SPDX-License-Identifier: ISC */
/*
 * Pairs, opened objects, adopted descriptors and joined channels.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core.h"
#include "make.h"
#include "name.h"

/* Parses, and tries the mechanism itself or those that it chooses from. */
static int
with_address(const char *text, enum ipc_way way,
    int (*try)(struct ipc__address *, void *), void *arg)
{
	struct ipc__address a;
	int rc;

	if (text == NULL)
		return ipc__fail(EINVAL, "no address (NULL)");
	if ((rc = ipc__address_parse(&a, text, way)) < 0)
		return rc;
	rc = a.be->choices != NULL && way != IPC_WAY_OPEN ?
	    ipc__choose(&a, way, try, arg) :
	    try(&a, arg);
	if (rc < 0)
		rc = ipc__fail_at(text, rc);
	ipc__address_free(&a);
	return rc;
}

static int
check_flags(int flags, int allowed, const char *call)
{
	if (flags & ~allowed)
		return ipc__fail(EINVAL, "%s: flags %#x are not for this call",
		    call, (unsigned)(flags & ~allowed));
	return 0;
}

/*
 * Pairs
 */

struct pair_request {
	struct ipc_channel **ends;
	int		     flags;
	bool		     passes;
};

/* Both were made by us. */
static void
own_peers(struct ipc_channel *ends[2])
{
	if (!(ends[0]->caps & IPC_CAP_PEER))
		return;
	ends[0]->peer = (struct ipc_peer){ sizeof ends[0]->peer, getpid(),
	    geteuid(), getegid() };
	ends[1]->peer = ends[0]->peer;
}

/* The end of the other direction, of the same address. */
static int
new_ends(struct ipc_channel *ends[2], struct ipc__address *a,
    const struct pair_request *r)
{
	bool one_way = (r->flags & IPC_DUPLEX) == IPC_RECV ||
	    (r->flags & IPC_DUPLEX) == IPC_SEND;
	int keep = r->flags & ~IPC_DUPLEX, rc;
	struct ipc__address copy;

	ends[0] = ends[1] = NULL;
	if ((rc = ipc__address_as(&copy, a, a->be, IPC_WAY_PAIR)) < 0)
		return rc;
	if ((rc = ipc__channel_new(&ends[0], &copy, IPC_WAY_PAIR,
	    keep | (one_way ? IPC_RECV : IPC_DUPLEX), IPC_MESSAGE)) < 0)
		goto fail;
	if ((rc = ipc__address_as(&copy, a, a->be, IPC_WAY_PAIR)) < 0)
		goto fail;
	if ((rc = ipc__channel_new(&ends[1], &copy, IPC_WAY_PAIR,
	    keep | (one_way ? IPC_SEND : IPC_DUPLEX), IPC_MESSAGE)) < 0)
		goto fail;
	return 0;
fail:
	ipc__address_free(&copy);
	ipc__channel_free(ends[0], false);
	ends[0] = NULL;
	return rc;
}

static int
try_pair(struct ipc__address *a, void *arg)
{
	struct pair_request *r = arg;
	struct ipc_channel *ends[2];
	struct ipc__link link;
	int rc;

	if ((rc = new_ends(ends, a, r)) < 0)
		return rc;
	ends[0]->address.passes = r->passes;
	rc = ipc__link_make(&link, &ends[0]->address, ends[0]->dir,
	    ipc__wants_life(a->be, ends[0]->boundary));
	if (rc < 0) {
		ipc__channel_free(ends[0], false);
		ipc__channel_free(ends[1], false);
		return rc;
	}
	ipc__attach_end(ends[0], &link, 0);
	ipc__attach_end(ends[1], &link, 1);
	own_peers(ends);
	atomic_store(&ends[0]->turn, ends[0]->half_duplex);
	r->ends[0] = ends[0];
	r->ends[1] = ends[1];
	return 0;
}

int
ipc__pair(struct ipc_channel *ends[2], const char *address, int flags,
    bool passes)
{
	struct pair_request r = { ends, flags, passes };
	int rc;

	if (ends == NULL)
		return ipc__fail(EINVAL, "ipc_pair: no place for the ends");
	if ((rc = check_flags(flags, IPC_DUPLEX | IPC_HALF_DUPLEX,
	    "ipc_pair")) < 0)
		return rc;
	return with_address(address, IPC_WAY_PAIR, try_pair, &r);
}

int
ipc_pair(struct ipc_channel *ends[2], const char *address, int flags)
{
	return ipc__pair(ends, address, flags, false);
}

/*
 * Opened objects
 */

struct open_request {
	struct ipc_channel **ch;
	int		     flags;
};

/* No such object; but is a listener met under this name?  Where the objects are
 * sockets themselves, which may have come meanwhile, the backend has told. */
static int
not_opened(const struct ipc__address *a, int rc)
{
	char path[IPC__PATH_MAX];
	struct ipc__error saved;
	struct stat st;

	if (rc != -ENOENT || !(a->be->mechanism.ways & 1 << IPC_WAY_SESSION) ||
	    a->be->mechanism.caps[IPC_WAY_OPEN] & IPC_CAP_ADDRESS)
		return ipc__fail_at(a->text, rc);
	ipc__error_keep(&saved);
	if (ipc__meeting_path(a, false, path, sizeof path) == 0 &&
	    lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		rc = ipc__fail(EPROTOTYPE, "there is no such object, but a "
		    "meeting point, %s: ipc_connect goes there", path);
	else
		ipc__error_restore(&saved);
	return ipc__fail_at(a->text, rc);
}

static int
try_open(struct ipc__address *a, void *arg)
{
	struct open_request *r = arg;
	int rc, dir = r->flags & IPC_DUPLEX;
	struct ipc_channel *ch;
	struct ipc__half *h;

	if (!(a->be->mechanism.ways & 1 << IPC_WAY_OPEN))
		return ipc__fail(EOPNOTSUPP, "%s: has no name that could be "
		    "opened", a->be->mechanism.scheme);
	if ((rc = ipc__channel_new(&ch, a, IPC_WAY_OPEN, r->flags,
	    IPC_MESSAGE)) < 0)
		return rc;
	if ((h = ipc__half_new(ch->be, dir)) == NULL) {
		ipc__channel_free(ch, false);
		return -ENOMEM;
	}
	h->bare = true;
	h->stream = ch->boundary == IPC_STREAM;
	if ((rc = ipc__be_open(h, &ch->address, r->flags)) < 0) {
		free(h);
		rc = not_opened(&ch->address, rc);
		ipc__channel_free(ch, false);
		return rc;
	}
	/* A bound datagram socket answers whoever wrote. */
	ch->answers = ch->caps & IPC_CAP_ADDRESS && !(dir & IPC_SEND);
	ipc__channel_attach(ch, dir & IPC_RECV ? h : NULL,
	    dir & IPC_SEND || ch->answers ? h : NULL, NULL);
	*r->ch = ch;
	return 0;
}

/* A scheme that chooses: what is there already, and only then a new one. */
static int
choose_open(struct ipc__address *a, struct open_request *r)
{
	int flags = r->flags, lock = -1, rc;

	if (flags & IPC_CREATE && (lock = ipc__choose_lock(a)) < 0)
		return lock;
	r->flags = flags & IPC_DUPLEX;
	rc = ipc__choose_existing(a, try_open, r);
	r->flags = flags;
	if (rc == -ENOENT && flags & IPC_CREATE) {
		rc = ipc__choose(a, IPC_WAY_OPEN, try_open, r);
	} else if (flags & IPC_CREATE && flags & IPC_EXCLUSIVE &&
	    rc != -EINVAL) {
		if (rc == 0)
			ipc_close(*r->ch);
		rc = ipc__fail(EEXIST, "there is something of this name");
	}
	if (lock >= 0)
		ipc__choose_unlock(lock, a);
	return rc;
}

static int
try_open_any(struct ipc__address *a, void *arg)
{
	return a->be->choices != NULL ? choose_open(a, arg) :
	    try_open(a, arg);
}

int
ipc_open(struct ipc_channel **ch, const char *address, int flags)
{
	struct open_request r = { ch, flags };
	int rc;

	if (ch == NULL || !(flags & IPC_DUPLEX))
		return ipc__fail(EINVAL, "ipc_open: wants a direction, "
		    "IPC_RECV or IPC_SEND");
	if ((rc = check_flags(flags, IPC_DUPLEX | IPC_CREATE | IPC_EXCLUSIVE,
	    "ipc_open")) < 0)
		return rc;
	return with_address(address, IPC_WAY_OPEN, try_open_any, &r);
}

/*
 * Adopted descriptors
 */

struct adopt_request {
	struct ipc_channel **ch;
	int		     recv_fd, send_fd;
	int		     flags;
};

static int
adopt_half(struct ipc__half **out, const struct ipc_backend *be, int dir,
    int fd)
{
	struct ipc__half *h = ipc__half_new(be, dir);
	int rc;

	if (h == NULL)
		return -ENOMEM;
	h->bare = true;
	if ((rc = ipc__be_adopt(h, fd, false)) < 0) {
		free(h);
		return rc;
	}
	*out = h;
	return 0;
}

/* Gives the descriptor back to the caller. */
static void
disown(struct ipc__half *h)
{
	if (h == NULL)
		return;
	h->fd = -1;
	ipc__half_free(h, false);
}

static int
adopt_halves(struct ipc_channel *ch, const struct adopt_request *r)
{
	struct ipc__half *rx = NULL, *tx = NULL;
	bool same = r->recv_fd == r->send_fd;
	bool two_way = same && ch->be->traits & IPC__TWOWAY;
	int rc = 0, send_fd = r->send_fd;

	/* A terminal: each half has a descriptor to close. */
	if (same && !two_way && (send_fd = fcntl(r->recv_fd, F_DUPFD_CLOEXEC,
	    0)) == -1)
		return ipc__fail_sys("fcntl");
	if (r->recv_fd != -1)
		rc = adopt_half(&rx, ch->be, two_way ? IPC_DUPLEX : IPC_RECV,
		    r->recv_fd);
	if (rc == 0 && two_way)
		tx = rx;
	else if (rc == 0 && send_fd != -1)
		rc = adopt_half(&tx, ch->be, IPC_SEND, send_fd);
	if (rc < 0) {
		disown(rx);
		if (send_fd != r->send_fd)
			close(send_fd);
		return rc;
	}
	ipc__channel_attach(ch, rx, tx, NULL);
	return 0;
}

static int
try_adopt(struct ipc__address *a, void *arg)
{
	struct adopt_request *r = arg;
	struct ipc_channel *ch;
	int rc, dir = (r->recv_fd != -1 ? IPC_RECV : 0) |
	    (r->send_fd != -1 ? IPC_SEND : 0);

	if (!(a->be->mechanism.ways & 1 << IPC_WAY_ADOPT))
		return ipc__fail(EOPNOTSUPP, "%s: can not be adopted",
		    a->be->mechanism.scheme);
	if ((rc = ipc__channel_new(&ch, a, IPC_WAY_ADOPT, r->flags | dir,
	    a->be->traits & IPC__BYTES ? IPC_STREAM : IPC_MESSAGE)) < 0)
		return rc;
	if ((rc = adopt_halves(ch, r)) < 0) {
		rc = ipc__fail_at(ch->address.text, rc);
		ipc__channel_free(ch, false);
		return rc;
	}
	atomic_store(&ch->turn, ch->half_duplex);
	*r->ch = ch;
	return 0;
}

/* "pipe" is as good as "pipe:". */
char *
ipc__scheme_address(const char *scheme)
{
	size_t n = strlen(scheme);
	char *text = malloc(n + 2);

	if (text == NULL)
		return NULL;
	memcpy(text, scheme, n + 1);
	if (strchr(scheme, ':') == NULL)
		memcpy(text + n, ":", 2);
	return text;
}

int
ipc_adopt(struct ipc_channel **ch, const char *scheme, int recv_fd,
    int send_fd, int flags)
{
	struct adopt_request r = { ch, recv_fd, send_fd, flags };
	char *text;
	int rc;

	if (ch == NULL || scheme == NULL || recv_fd < -1 || send_fd < -1 ||
	    (recv_fd == -1 && send_fd == -1))
		return ipc__fail(EINVAL, "ipc_adopt: wants a scheme and a "
		    "descriptor");
	if ((rc = check_flags(flags, IPC_HALF_DUPLEX, "ipc_adopt")) < 0)
		return rc;
	if ((text = ipc__scheme_address(scheme)) == NULL)
		return ipc__fail(ENOMEM, "no memory for an address");
	rc = with_address(text, IPC_WAY_ADOPT, try_adopt, &r);
	free(text);
	return rc;
}

/*
 * Joined channels
 */

static int
check_join(const struct ipc_channel *r, const struct ipc_channel *s)
{
	if (r == NULL || s == NULL || r == s || r->greet || s->greet)
		return ipc__fail(EINVAL, "ipc_join: wants two channels that "
		    "are connected");
	if (!(r->dir & IPC_RECV) || r->in.half == NULL)
		return ipc__wrong_way(r, IPC_RECV);
	if (!(s->dir & IPC_SEND) || s->out.half == NULL)
		return ipc__wrong_way(s, IPC_SEND);
	if (r->boundary != s->boundary)
		return ipc__fail(EINVAL, "ipc_join: %s and %s differ in their "
		    "boundary", r->address.text, s->address.text);
	if (r->half_duplex || s->half_duplex || s->out.begun ||
	    s->out.reserved)
		return ipc__fail(EINVAL, "ipc_join: not with turns or with a "
		    "message begun");
	return 0;
}

/* What a side had for being waited on belongs to the old channel. */
static void
move_sides(struct ipc_channel *ch, struct ipc_channel *r,
    struct ipc_channel *s)
{
	ch->in = r->in;
	memset(&r->in, 0, sizeof r->in);
	ch->out = s->out;
	memset(&s->out, 0, sizeof s->out);
	ipc__ready_init(&r->in.ready);
	ipc__ready_init(&s->out.ready);
	pthread_mutex_init(&ch->in.lock, NULL);
	pthread_mutex_init(&ch->out.lock, NULL);
	pthread_mutex_init(&r->in.lock, NULL);
	pthread_mutex_init(&s->out.lock, NULL);
}

static void
end_other_sides(struct ipc_channel *r, struct ipc_channel *s)
{
	if (r->out.half != NULL && !(r->shut & IPC_SEND) &&
	    r->dir & IPC_SEND)
		(void)ipc__shut_send(r);
	if (s->in.half != NULL && !(s->shut & IPC_RECV) && s->dir & IPC_RECV)
		(void)ipc__shut_recv(s);
}

int
ipc_join(struct ipc_channel **out, struct ipc_channel *receiver,
    struct ipc_channel *sender)
{
	struct ipc_channel *ch;
	int rc;

	if (out == NULL)
		return ipc__fail(EINVAL, "ipc_join: no place for the channel");
	if ((rc = check_join(receiver, sender)) < 0 ||
	    (rc = ipc__enter(receiver)) < 0 || (rc = ipc__enter(sender)) < 0)
		return rc;
	if ((ch = calloc(1, sizeof *ch)) == NULL)
		return ipc__fail(ENOMEM, "no memory for a channel");
	if ((rc = ipc__address_as(&ch->address, &receiver->address,
	    receiver->be, receiver->way)) < 0) {
		free(ch);
		return rc;
	}
	end_other_sides(receiver, sender);
	move_sides(ch, receiver, sender);
	ch->be = receiver->be;
	ch->way = receiver->way;
	ch->joined = true;
	ch->dir = IPC_DUPLEX;
	ch->boundary = receiver->boundary;
	ch->caps = (receiver->caps & sender->caps & ~(unsigned)(IPC_CAP_FDS |
	    IPC_CAP_PEER | IPC_CAP_HALF)) | IPC_CAP_DUPLEX;
	ch->many = receiver->many && sender->many;
	ch->used = atomic_load(&ipc__forks);
	ch->process = atomic_load(&ipc__process);
	ipc__channel_free(receiver, true);
	ipc__channel_free(sender, true);
	*out = ch;
	return 0;
}
