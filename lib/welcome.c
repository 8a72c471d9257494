/* SPDX-License-Identifier: ISC */
/*
 * One client of a listener: what it wants is compared with what there is, the
 * halves are made and handed over, and the session becomes a channel.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends.h"
#include "listen.h"

/* What a client may make of our capacity where the address leaves it open. */
#define CLIENT_CAPACITY		(UINT64_C(4) << 20)
#define CLIENT_CAPACITY_MIN	4096u

void
ipc__client_free(struct ipc__client *c, bool clean)
{
	if (c->g.half != NULL)
		ipc__half_free(c->g.half, clean);
	else if (c->g.fd != -1)
		close(c->g.fd);
	ipc__greeter_close_fds(&c->g);
	/* What became a session is not here any more. */
	if (c->link.rx[0] != NULL)
		c->link.rx[0]->refused = true;
	if (c->link.tx[0] != NULL)
		c->link.tx[0]->refused = true;
	ipc__link_drop(&c->link, clean);
	ipc__address_free(&c->address);
	free(c);
}

void
ipc__client_peer(struct ipc__client *c, const struct ipc_backend *be)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (c->g.half != NULL) {
		c->peer.struct_size = sizeof c->peer;
		if (!(be->mechanism.caps[IPC_WAY_SESSION] & IPC_CAP_PEER) ||
		    ipc__be_peer(c->g.half, &c->peer) < 0)
			c->peer.struct_size = 0;
		return;
	}
	if (getsockopt(c->g.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		c->peer = (struct ipc_peer){ sizeof c->peer, cred.pid,
		    cred.uid, cred.gid };
}

/*
 * What is agreed
 */

static int
mirror(int dir)
{
	return (dir & IPC_RECV ? IPC_SEND : 0) |
	    (dir & IPC_SEND ? IPC_RECV : 0);
}

static bool
allowed(const struct ipc__allow *list, uint32_t id)
{
	unsigned i;

	for (i = 0; i < list->count; i++)
		if (list->id[i] == id)
			return true;
	return false;
}

static bool
welcome(const struct ipc_listener *l, const struct ipc_peer *peer)
{
	const struct ipc__options *o = &l->address.opt;

	if (o->allow_uid.count == 0 && o->allow_gid.count == 0)
		return true;
	return peer->struct_size != 0 && (allowed(&o->allow_uid, peer->uid) ||
	    allowed(&o->allow_gid, peer->gid));
}

/* What a client may ask for is memory of ours as well. */
static uint64_t
asked_capacity(uint64_t asked)
{
	if (asked != 0 && asked < CLIENT_CAPACITY_MIN)
		return CLIENT_CAPACITY_MIN;
	return asked > CLIENT_CAPACITY ? CLIENT_CAPACITY : asked;
}

/* 0, or the errno of a refusal. */
static int
agree(const struct ipc_listener *l, struct ipc__client *c,
    const struct ipc__greeting *hello)
{
	struct ipc__greeting *a = &c->agreed;

	if (hello->kind != IPC__HELLO || hello->max_message == 0 ||
	    strcmp(hello->scheme, l->address.be->mechanism.scheme) != 0)
		return EBADMSG;
	if (!welcome(l, &c->peer))
		return EACCES;
	if ((hello->boundary && hello->boundary != l->boundary) ||
	    (hello->dir && hello->dir != mirror(l->dir)) ||
	    (hello->half != 2 && hello->half != l->half_duplex))
		return EPROTO;
	a->kind = IPC__OFFER;
	a->boundary = l->boundary;
	a->dir = l->dir;
	a->half = l->half_duplex;
	a->max_message = (uint32_t)l->address.opt.max_message;
	if (hello->max_message < a->max_message)
		a->max_message = hello->max_message;
	a->capacity = asked_capacity(hello->capacity);
	return 0;
}

static int
refuse(struct ipc__client *c, int err)
{
	struct ipc__greeting g = { .kind = IPC__REFUSE, .error = err };

	(void)ipc__greeter_say(&c->g, &g);
	return -err;
}

/*
 * The offer
 */

static int
offer_native(struct ipc__client *c, const struct ipc__address *a)
{
	strncpy(c->agreed.scheme, a->be->mechanism.scheme,
	    sizeof c->agreed.scheme - 1);
	return ipc__greeter_say(&c->g, &c->agreed);
}

/* The client has its halves now. */
static void
let_go(struct ipc__half **h)
{
	if (*h == NULL)
		return;
	ipc__be_given(*h);
	ipc__half_free(*h, false);
	*h = NULL;
}

static int
send_offer(struct ipc__client *c, const char *scheme)
{
	unsigned char p[IPC__OFFER_MAX];
	int fds[IPC__TICKETS], rc;
	size_t size = IPC__GREETING;
	unsigned count;

	c->agreed.scheme[0] = 0;
	strncpy(c->agreed.scheme, scheme, sizeof c->agreed.scheme - 1);
	if ((rc = ipc__tickets_give(&c->link, p, &size, fds, &count,
	    &c->agreed)) < 0)
		return rc;
	ipc__greeting_put(p, &c->agreed);
	if ((rc = ipc__greeter_put(&c->g, p, size, fds, count)) < 0)
		return rc;
	if (c->link.tx[1] == c->link.rx[1])
		c->link.tx[1] = NULL;
	let_go(&c->link.rx[1]);
	let_go(&c->link.tx[1]);
	return 0;
}

static int
offer_halves(const struct ipc_listener *l, struct ipc__client *c,
    const char *scheme)
{
	int rc;

	ipc__link_drop(&c->link, true);
	ipc__address_free(&c->address);
	rc = ipc__address_as(&c->address, &l->address, ipc__backend(scheme,
	    strlen(scheme)), IPC_WAY_SESSION);
	if (rc < 0)
		return rc;
	/* What it is made as has no name, and is for this client. */
	c->address.name[0] = 0;
	if (c->peer.struct_size != 0)
		c->address.client = c->peer.uid;
	if (!(c->address.opt.set & UINT32_C(1) << IPC__KEY_CAPACITY))
		c->address.opt.capacity = c->agreed.capacity;
	rc = ipc__link_make(&c->link, &c->address, l->dir, false);
	/* Unless it asked for more than there is. */
	c->blameless = rc < 0 && (c->agreed.capacity == 0 ||
	    c->address.opt.set & UINT32_C(1) << IPC__KEY_CAPACITY);
	if (rc == 0)
		rc = send_offer(c, scheme);
	c->offered = rc == 0 && (l->address.be->choices != NULL ||
	    c->address.be->traits & IPC__CONFIRM);
	return rc;
}

/* Where the scheme leaves it open: the first that can be made. */
static int
offer_next(const struct ipc_listener *l, struct ipc__client *c)
{
	int rc = -EPROTONOSUPPORT;

	while (*c->choice != NULL) {
		rc = offer_halves(l, c, *c->choice++);
		if (rc == 0 || rc == -EPIPE || rc == -EAGAIN)
			break;
	}
	return rc;
}

/* 1: it is a session; 0: it goes on; or why it is dropped. */
static int
greeted(const struct ipc_listener *l, struct ipc__client *c,
    const struct ipc__greeting *hello)
{
	int rc;

	if ((rc = agree(l, c, hello)) != 0)
		return refuse(c, rc);
	if (c->g.half != NULL)
		rc = offer_native(c, &l->address);
	else if ((c->choice = l->address.be->choices) != NULL)
		rc = offer_next(l, c);
	else
		rc = offer_halves(l, c, l->address.be->mechanism.scheme);
	if (rc < 0)
		return refuse(c, -rc);
	return c->offered ? 0 : 1;
}

static int
answered(const struct ipc_listener *l, struct ipc__client *c,
    const struct ipc__greeting *answer)
{
	int rc;

	if (answer->kind == IPC__TAKEN)
		return 1;
	if (answer->kind != IPC__NEXT || c->choice == NULL)
		return -EBADMSG;
	rc = offer_next(l, c);
	return rc < 0 ? refuse(c, -rc) : 0;
}

int
ipc__client_step(const struct ipc_listener *l, struct ipc__client *c)
{
	struct ipc__greeting g;
	int rc;

	/* Nothing but bytes: there is no greeting. */
	if (c->g.half != NULL && l->boundary == IPC_STREAM &&
	    c->g.half->be->traits & IPC__BYTES)
		return welcome(l, &c->peer) ? 1 : -EACCES;
	while ((rc = ipc__greeter_get(&c->g, &g)) == -EAGAIN)
		if (c->g.half == NULL ||
		    (rc = ipc__be_arm(c->g.half, IPC_RECV)) <= 0)
			return rc < 0 && c->g.half ? rc : 0;
	if (rc < 0)
		return rc;
	return c->offered ? answered(l, c, &g) : greeted(l, c, &g);
}

/*
 * A client becomes a channel
 */

static int
session_halves(struct ipc_channel *ch, struct ipc__client *c)
{
	int rc;

	if (c->g.half != NULL) {
		c->link.rx[0] = ch->dir & IPC_RECV ? c->g.half : NULL;
		c->link.tx[0] = ch->dir & IPC_SEND ? c->g.half : NULL;
		if (!(ch->caps & IPC_CAP_RELIABLE)) {
			ch->offer = malloc(IPC__GREETING);
			if (ch->offer == NULL)
				return ipc__fail(ENOMEM,
				    "no memory for a greeting");
			ipc__greeting_put(ch->offer, &c->agreed);
		}
		c->g.half = NULL;
	} else if (ipc__wants_life(ch->be, ch->boundary)) {
		if ((rc = ipc__life_new(&c->link.life[0], c->g.fd)) < 0)
			return rc;
		c->g.fd = -1;
	}
	return 0;
}

int
ipc__client_session(struct ipc_channel **out, const struct ipc_listener *l,
    struct ipc__client *c)
{
	const struct ipc__address *from = c->address.be ? &c->address :
	    &l->address;
	struct ipc__address a;
	struct ipc_channel *ch;
	int rc;

	if ((rc = ipc__address_as(&a, from, from->be, IPC_WAY_SESSION)) < 0)
		return rc;
	a.opt.boundary = l->boundary;
	if (c->agreed.max_message != 0)
		a.opt.max_message = c->agreed.max_message;
	if ((rc = ipc__channel_new(&ch, &a, IPC_WAY_SESSION, l->dir |
	    (l->half_duplex ? IPC_HALF_DUPLEX : 0), IPC_MESSAGE)) < 0) {
		ipc__address_free(&a);
		return rc;
	}
	if ((rc = session_halves(ch, c)) < 0) {
		ipc__channel_free(ch, false);
		return rc;
	}
	ch->peer = c->peer;
	ipc__attach_end(ch, &c->link, 0);
	*out = ch;
	return 0;
}
