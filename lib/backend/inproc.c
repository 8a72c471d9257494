/* SPDX-License-Identifier: ISC */
/*
 * inproc: between the threads of one process.  A link is two lanes; a listener
 * is an entry in a list of this process, with the links that were connected to
 * it and not yet accepted.
 *
 * An end can go away only by being closed: the death of its thread is that of
 * the process, or nothing that anybody could notice.  So there is no
 * IPC_CAP_DEATH.  In a forked child nothing of it works: the core sees to that,
 * and only closing is done here, without the locks that another thread may have
 * held at the fork.  So a copy in a child is none, and closing is always the
 * end in the process that has it, whatever has forked since.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lane.h"

#define CAPACITY	(256u << 10)
#define MOST		(1u << 30)
#define BACKLOG		128

#define KEY(name)	(UINT32_C(1) << IPC__KEY_##name)
#define KEYS		(KEY(BOUNDARY) | KEY(DUPLEX) | KEY(CAPACITY) | \
			 KEY(MAX_MESSAGE) | KEY(WAIT) | KEY(THREADS))

#define CAPS		(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_STREAM | \
			 IPC_CAP_LARGE | IPC_CAP_RELIABLE | IPC_CAP_END | \
			 IPC_CAP_DELIVERS | IPC_CAP_FD | IPC_CAP_FDS | \
			 IPC_CAP_PEER | IPC_CAP_INPLACE | IPC_CAP_HALF)

/* Side s sends on lane s. */
struct link {
	struct ipc__lane lane[2];
	atomic_uint	 refs;
	struct link	*next;		/* in a listener's queue */
};

struct listener {
	struct listener	*next;
	char		*name;
	uint64_t	 capacity;	/* 0: unsaid */
	unsigned	 backlog, waiting;
	struct link	*first, **last;
	int		 fd;		/* readable while one waits */
};

struct inproc {
	struct link	*link;
	struct listener	*listener;
	int		 side;
	unsigned	 process;	/* that it is of */
};

/* Who listens in this process.  The lock is that of their queues as well. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t list_once = PTHREAD_ONCE_INIT;
static pthread_cond_t list_room;	/* in the queue of one of them */
static struct listener *list;
static unsigned process;		/* another number in each child */

static struct ipc__lane *
lane_of(const struct ipc__half *h, int dir)
{
	const struct inproc *s = (const void *)h->state;

	return &s->link->lane[dir == IPC_SEND ? s->side : !s->side];
}

/*
 * Links
 */

static int
link_new(struct link **out, uint64_t capacity)
{
	struct link *link;
	int rc;

	if (capacity == 0)
		capacity = CAPACITY;
	if (capacity > MOST)
		capacity = MOST;
	link = aligned_alloc(alignof(struct link), sizeof *link);
	if (link == NULL)
		return ipc__fail_sys("aligned_alloc");
	memset(link, 0, sizeof *link);
	rc = ipc__lane_init(&link->lane[0], capacity);
	if (rc < 0)
		goto fail;
	rc = ipc__lane_init(&link->lane[1], capacity);
	if (rc < 0)
		goto fail_first;
	atomic_init(&link->refs, 2);
	*out = link;
	return 0;
fail_first:
	ipc__lane_free(&link->lane[0], false);
fail:
	free(link);
	return rc;
}

/* The last one to let go sees all that the other one did. */
static void
link_unref(struct link *link, bool forked)
{
	if (atomic_fetch_sub_explicit(&link->refs, 1,
	    memory_order_acq_rel) != 1)
		return;
	ipc__lane_free(&link->lane[0], forked);
	ipc__lane_free(&link->lane[1], forked);
	free(link);
}

static void
link_end(struct link *link, int side)
{
	ipc__lane_shut(&link->lane[side], IPC_SEND);
	ipc__lane_shut(&link->lane[!side], IPC_RECV);
	ipc__lane_drain(&link->lane[!side]);
	link_unref(link, false);
}

static void
link_forget(struct link *link, int side)
{
	ipc__lane_forget(&link->lane[side], IPC_SEND);
	ipc__lane_forget(&link->lane[!side], IPC_RECV);
	link_unref(link, true);
}

/* A fork may happen while another thread holds the lock, and the child has no
 * listeners in any case. */
static void
init_room(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&list_room, &attr);
	pthread_condattr_destroy(&attr);
}

static void
forget_list(void)
{
	pthread_mutex_init(&list_lock, NULL);
	init_room();
	list = NULL;
	process++;
}

static void
watch_forks(void)
{
	init_room();
	pthread_atfork(NULL, NULL, forget_list);
}

static void
attach(struct ipc__half *h, struct link *link, int side)
{
	struct inproc *s = IPC__STATE(h, struct inproc);

	s->link = link;
	s->side = side;
	s->process = process;
	h->fd = -1;
	h->record = ipc__lane_record(&link->lane[0]);
	h->capacity = link->lane[0].size;
}

static int
inproc_pair(struct ipc__half *a, struct ipc__half *b,
    const struct ipc__address *address)
{
	struct link *link = NULL;
	int rc;

	pthread_once(&list_once, watch_forks);
	rc = link_new(&link, address->opt.capacity);
	if (rc < 0)
		return rc;
	attach(a, link, 0);
	attach(b, link, 1);
	return 0;
}

/*
 * Listeners
 */

static struct listener *
find(const char *name)
{
	struct listener *l;

	for (l = list; l != NULL; l = l->next)
		if (strcmp(l->name, name) == 0)
			break;
	return l;
}

static void
listener_free(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->name);
	free(l);
}

static int
listener_new(struct listener **out, const struct ipc__address *a)
{
	struct listener *l;
	int rc = 0;

	l = calloc(1, sizeof *l);
	if (l == NULL)
		return ipc__fail_sys("calloc");
	l->last = &l->first;
	l->capacity = a->opt.capacity;
	l->backlog = a->opt.backlog != 0 ? a->opt.backlog : BACKLOG;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0)
		rc = ipc__fail_sys("eventfd");
	l->name = strdup(a->name);
	if (rc == 0 && l->name == NULL)
		rc = ipc__fail_sys("strdup");
	if (rc < 0)
		listener_free(l);
	else
		*out = l;
	return rc;
}

static bool
add(struct listener *l)
{
	bool is_new;

	pthread_mutex_lock(&list_lock);
	is_new = find(l->name) == NULL;
	if (is_new) {
		l->next = list;
		list = l;
	}
	pthread_mutex_unlock(&list_lock);
	return is_new;
}

static int
inproc_listen(struct ipc__half *h, const struct ipc__address *a)
{
	struct listener *l = NULL;
	int rc;

	if (a->name[0] == '\0')
		return ipc__fail(EINVAL, "a session needs a name");
	pthread_once(&list_once, watch_forks);
	rc = listener_new(&l, a);
	if (rc < 0)
		return rc;
	if (!add(l)) {
		listener_free(l);
		return ipc__fail(EADDRINUSE,
		    "another one in this process listens there");
	}
	IPC__STATE(h, struct inproc)->listener = l;
	IPC__STATE(h, struct inproc)->process = process;
	h->fd = l->fd;
	return 0;
}

/* Under the lock. */
static struct link *
take_first(struct listener *l)
{
	struct link *link = l->first;
	eventfd_t n;

	if (link == NULL)
		return NULL;
	if (l->waiting == l->backlog)
		pthread_cond_broadcast(&list_room);
	l->first = link->next;
	if (--l->waiting == 0) {
		l->last = &l->first;
		eventfd_read(l->fd, &n);
	}
	return link;
}

static int
inproc_accept(struct ipc__half *h, struct ipc__half *listener)
{
	struct listener *l = IPC__STATE(listener, struct inproc)->listener;
	struct link *link;

	pthread_mutex_lock(&list_lock);
	link = take_first(l);
	pthread_mutex_unlock(&list_lock);
	if (link == NULL)
		return -EAGAIN;
	attach(h, link, 1);
	return 0;
}

/* The smaller ceiling holds. */
static uint64_t
agree(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a | b;
	return a < b ? a : b;
}

/* Under the lock. */
static int
enqueue(struct listener *l, uint64_t capacity, struct link **link)
{
	int rc;

	if (l == NULL)
		return ipc__fail(ECONNREFUSED,
		    "nobody in this process listens there");
	if (l->waiting >= l->backlog)
		return -EAGAIN;
	rc = link_new(link, agree(capacity, l->capacity));
	if (rc < 0)
		return rc;
	*l->last = *link;
	l->last = &(*link)->next;
	if (l->waiting++ == 0)
		eventfd_write(l->fd, 1);
	return 0;
}

static struct timespec
moment(int timeout)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout / 1000;
	ts.tv_nsec += timeout % 1000 * 1000000L;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

/* A full queue has no descriptor that would show when there is room: waited for
 * here, as the kernel does for a Unix socket's.  Under the lock. */
static int
enqueue_within(const struct ipc__address *a, int timeout, struct link **link)
{
	struct timespec until = { 0 };
	bool late = false;
	int rc;

	if (timeout > 0)
		until = moment(timeout);
	while ((rc = enqueue(find(a->name), a->opt.capacity, link)) ==
	    -EAGAIN && timeout != 0) {
		if (timeout < 0)
			pthread_cond_wait(&list_room, &list_lock);
		else if (pthread_cond_timedwait(&list_room, &list_lock,
		    &until) == ETIMEDOUT)
			late = true;
		if (late)
			timeout = 0;	/* one more look */
	}
	return rc == -EAGAIN && late ? -ETIMEDOUT : rc;
}

/* -EAGAIN: the listener's queue is full, as with a Unix socket's. */
static int
inproc_connect(struct ipc__half *h, const struct ipc__address *a, int timeout)
{
	struct link *link = NULL;
	int rc;

	pthread_once(&list_once, watch_forks);
	pthread_mutex_lock(&list_lock);
	rc = enqueue_within(a, timeout, &link);
	pthread_mutex_unlock(&list_lock);
	if (rc == 0)
		attach(h, link, 0);
	return rc;
}

/* What the grammar of addresses would read otherwise is percent-encoded. */
static int
inproc_where(const struct ipc__half *listener, char *buffer, size_t size)
{
	const struct inproc *s = (const void *)listener->state;
	const char *p = s->listener->name;
	size_t n;

	n = (size_t)snprintf(buffer, size, "inproc:");
	for (; *p != '\0' && n < size; p++)
		n += (size_t)snprintf(buffer + n, size - n,
		    strchr("%?", *p) != NULL ? "%%%02X" : "%c",
		    (unsigned char)*p);
	if (n >= size)
		return ipc__fail(ENAMETOOLONG,
		    "the address does not fit into %zu bytes", size);
	return 0;
}

static void
listener_end(struct listener *l)
{
	struct listener **p;
	struct link *link;

	pthread_mutex_lock(&list_lock);
	for (p = &list; *p != NULL && *p != l; p = &(*p)->next)
		continue;
	if (*p != NULL)
		*p = l->next;
	pthread_cond_broadcast(&list_room);
	pthread_mutex_unlock(&list_lock);
	/* Nobody finds it any more. */
	while ((link = take_first(l)) != NULL)
		link_end(link, 1);
}

static void
inproc_close(struct ipc__half *h, bool clean)
{
	struct inproc *s = IPC__STATE(h, struct inproc);
	bool ours = s->process == process;

	(void)clean;
	if (s->link != NULL)
		(ours ? link_end : link_forget)(s->link, s->side);
	if (s->listener != NULL && ours)
		listener_end(s->listener);
	if (s->listener != NULL) {
		s->listener->fd = -1;	/* is h->fd */
		listener_free(s->listener);
	}
	memset(s, 0, sizeof *s);
}

/*
 * The rest is the lanes'
 */

static ssize_t
inproc_send(struct ipc__half *h, const struct iovec *iov, int count,
    const struct ipc__aside *aside)
{
	return ipc__lane_send(lane_of(h, IPC_SEND), iov, count, aside);
}

static ssize_t
inproc_recv(struct ipc__half *h, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	return ipc__lane_recv(lane_of(h, IPC_RECV), iov, count, aside);
}

static int
inproc_reserve(struct ipc__half *h, void **data, size_t size)
{
	return ipc__lane_reserve(lane_of(h, IPC_SEND), data, size);
}

static int
inproc_commit(struct ipc__half *h, size_t size, unsigned flags)
{
	return ipc__lane_commit(lane_of(h, IPC_SEND), size, flags);
}

static ssize_t
inproc_peek(struct ipc__half *h, const void **data, unsigned *flags)
{
	return ipc__lane_peek(lane_of(h, IPC_RECV), data, flags);
}

static void
inproc_release(struct ipc__half *h, unsigned flags)
{
	ipc__lane_release(lane_of(h, IPC_RECV), flags);
}

static void
inproc_publish(struct ipc__half *h, int dir)
{
	ipc__lane_publish(lane_of(h, dir), dir);
}

static int
inproc_watch(const struct ipc__half *h, int dir, struct pollfd *fds)
{
	int fd;

	fd = ipc__lane_bell(lane_of(h, dir), dir);
	if (fd < 0)
		return fd;
	*fds = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 1;
}

static int
inproc_arm(struct ipc__half *h, int dir)
{
	return ipc__lane_arm(lane_of(h, dir), dir);
}

static void
inproc_disarm(struct ipc__half *h, int dir)
{
	ipc__lane_disarm(lane_of(h, dir), dir);
}

static int
inproc_shutdown(struct ipc__half *h, int dir)
{
	if (dir & IPC_SEND)
		ipc__lane_shut(lane_of(h, IPC_SEND), IPC_SEND);
	if (dir & IPC_RECV)
		ipc__lane_shut(lane_of(h, IPC_RECV), IPC_RECV);
	return 0;
}

static int
inproc_peer(const struct ipc__half *h, struct ipc_peer *peer)
{
	(void)h;
	peer->pid = getpid();
	peer->uid = geteuid();
	peer->gid = getegid();
	return 0;
}

static size_t
inproc_pending(const struct ipc__half *h)
{
	return ipc__lane_pending(lane_of(h, IPC_RECV));
}

const struct ipc_backend ipc__backend_inproc = {
	.mechanism = {
		.struct_size = sizeof(struct ipc_mechanism),
		.scheme = "inproc",
		.title = "threads of one process",
		.ways = 1 << IPC_WAY_PAIR | 1 << IPC_WAY_SESSION,
		.caps = {
			[IPC_WAY_PAIR] = CAPS,
			[IPC_WAY_SESSION] = CAPS,
		},
		.direction = IPC_DUPLEX,
		.boundary = IPC_MESSAGE
	},
	.traits = IPC__TWOWAY | IPC__FLAGS | IPC__PASSES | IPC__SPINS |
	    IPC__INPROC,
	.size = sizeof(struct inproc),
	.keys = {
		[IPC_WAY_PAIR] = KEYS,
		[IPC_WAY_SESSION] = KEYS | KEY(BACKLOG),
	},
	.pair = inproc_pair,
	.listen = inproc_listen,
	.accept = inproc_accept,
	.connect = inproc_connect,
	.where = inproc_where,
	.send = inproc_send,
	.recv = inproc_recv,
	.reserve = inproc_reserve,
	.commit = inproc_commit,
	.peek = inproc_peek,
	.release = inproc_release,
	.publish = inproc_publish,
	.watch = inproc_watch,
	.arm = inproc_arm,
	.disarm = inproc_disarm,
	.shutdown = inproc_shutdown,
	.peer = inproc_peer,
	.pending = inproc_pending,
	.close = inproc_close,
};
