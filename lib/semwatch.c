/* SPDX-License-Identifier: ISC */
/*
 * Waiting for a sem: semaphore: for its bell, and for the death of whoever has
 * taken something with undo=1, which the kernel tells through a descriptor of
 * the process (pidfd_open(2)).
 *
 * As long as nothing is free nobody can take anything, so the holders of a
 * moment when nothing was free are all that there are until the bell rings.
 *
 * After that somebody else may have taken it, and a third one have put the bell
 * out, before who sleeps has run at all.  It must not sleep on then: it knows
 * nothing of the new holder.  So what it sleeps on remembers the ringing.  That
 * is an edge-triggered epoll(7), which asks for what a FIFO always is,
 * writable: it is shown once for each time that the FIFO woke anybody, however
 * little there is left to be read.
 */
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "name.h"
#include "semown.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

#define UNKNOWN	INT_MIN		/* nobody here can tell */

/* A descriptor of the process.  -ESRCH: it is dead; UNKNOWN. */
static int
watch_process(pid_t pid, uint64_t start_time)
{
	int fd;

	if (!ipc__alive(pid, start_time))
		return -ESRCH;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd == -1 && errno == ESRCH)
		return ipc__alive(pid, start_time) ? UNKNOWN : -ESRCH;
	if (fd == -1)
		return ipc__fail_sys("pidfd_open");
	/* Is it that one, and not the next one of its number, or one of
	 * another namespace? */
	if (ipc__start_time(pid) == start_time)
		return fd;
	close(fd);
	return ipc__alive(pid, start_time) ? UNKNOWN : -ESRCH;
}

/*
 * Sleeping
 */

/* Shows at first that it was rung. */
static int
watch_bell(struct ipc__sem_own *o)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int fd = epoll_create1(EPOLL_CLOEXEC), rc;

	if (fd == -1)
		return ipc__fail_sys("epoll_create1");
	if (epoll_ctl(fd, EPOLL_CTL_ADD, o->bell, &ev) == 0)
		return fd;
	rc = ipc__fail_sys("epoll_ctl");
	close(fd);
	return rc;
}

/* What was rung until now was. */
static void
forget_ringing(int fd)
{
	struct epoll_event ev[1 + IPC__SEM_HOLDERS];

	(void)epoll_wait(fd, ev, 1 + IPC__SEM_HOLDERS, 0);
}

int
ipc__sem_arm(struct ipc__sem_own *o, int *bell)
{
	if (*bell == -1) {
		*bell = o->spare;
		o->spare = -1;
	}
	if (*bell == -1) {
		int fd = watch_bell(o);

		if (fd < 0)
			return fd;
		*bell = fd;
	}
	forget_ringing(*bell);
	return 0;
}

int
ipc__sem_sleep(int bell, const struct ipc__sem_watched *list, unsigned count,
    int64_t deadline)
{
	struct pollfd fds[1 + IPC__SEM_HOLDERS];
	unsigned n = 1;
	int fd, rc = 0;

	fds[0] = (struct pollfd){ .fd = bell, .events = POLLIN };
	for (unsigned i = 0; i < count && rc == 0; i++) {
		/* Our own death wants no watching. */
		if (list[i].pid == (int32_t)getpid())
			continue;
		fd = watch_process(list[i].pid, list[i].start_time);
		if (fd >= 0)
			fds[n++] = (struct pollfd){ .fd = fd,
			    .events = POLLIN };
		else if (fd == -ESRCH)
			rc = 1;		/* look again */
		else if (fd != UNKNOWN)
			rc = fd;
	}
	if (rc == 0) {
		rc = ipc__poll_until(fds, n, deadline);
		if (rc == 0)
			rc = -ETIMEDOUT;
	}
	for (unsigned i = 1; i < n; i++)
		close(fds[i].fd);
	return rc < 0 ? rc : 0;
}

/*
 * The descriptor for event loops
 */

/* Before a descriptor is closed: forked copies would keep it registered. */
static void
forget(struct ipc__sem_own *o, struct ipc__sem_watched *w)
{
	if (w->fd >= 0) {
		epoll_ctl(o->epoll, EPOLL_CTL_DEL, w->fd, NULL);
		close(w->fd);
	}
	*w = (struct ipc__sem_watched){ .fd = -1 };
}

static void
follow(struct ipc__sem_own *o, struct ipc__sem_watched *w,
    const struct ipc__sem_holder *h)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int32_t pid = atomic_load_explicit(&h->pid, memory_order_relaxed);
	bool holds = pid != 0 && atomic_load_explicit(&h->count,
	    memory_order_relaxed) > 0;

	if (holds && w->fd >= 0 && w->pid == pid &&
	    w->start_time == h->start_time)
		return;
	forget(o, w);
	if (!holds || pid == (int32_t)getpid())
		return;
	w->fd = watch_process(pid, h->start_time);
	w->pid = pid;
	w->start_time = h->start_time;
	if (w->fd >= 0)
		epoll_ctl(o->epoll, EPOLL_CTL_ADD, w->fd, &ev);
	else if (w->fd == -ESRCH)
		(void)!write(o->bell, "", 1);	/* look again */
}

void
ipc__sem_rewatch(struct ipc__sem_own *o)
{
	struct ipc__error before;

	if (o->epoll == -1)
		return;
	ipc__error_keep(&before);
	forget_ringing(o->epoll);
	for (int i = 0; i < IPC__SEM_HOLDERS; i++)
		follow(o, &o->watched[i], &o->shared->holders[i]);
	ipc__error_restore(&before);
}

int
ipc__sem_watch(struct ipc__sem_own *o)
{
	int fd;

	if (o->epoll != -1)
		return o->epoll;
	fd = watch_bell(o);
	if (fd < 0)
		return fd;
	o->watched = malloc(IPC__SEM_HOLDERS * sizeof *o->watched);
	if (o->watched == NULL) {
		close(fd);
		return ipc__fail_sys("malloc");
	}
	for (int i = 0; i < IPC__SEM_HOLDERS; i++)
		o->watched[i] = (struct ipc__sem_watched){ .fd = -1 };
	return o->epoll = fd;
}

/* In a forked child the sets are shared with the parent, and are only closed.
 */
void
ipc__sem_unwatch(struct ipc__sem_own *o)
{
	for (int i = 0; o->watched != NULL && i < IPC__SEM_HOLDERS; i++)
		if (o->watched[i].fd >= 0)
			close(o->watched[i].fd);
	if (o->epoll != -1)
		close(o->epoll);
	if (o->spare != -1)
		close(o->spare);
	free(o->watched);
	o->watched = NULL;
	o->epoll = o->spare = -1;
}
