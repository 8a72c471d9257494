/* SPDX-License-Identifier: ISC */
/*
 * The processes of a pool: how they are made, killed and waited for.
 *
 * A child is waited for by its own pid alone, and killed through its pidfd
 * where the kernel has one, so that a pid that somebody else in this process
 * has waited for, and that is another's now, comes to no harm.
 *
 * A child that is forked has a copy of every descriptor.  As long as it has a
 * copy of the pool's end of another worker's channel, that worker can not see
 * the pool's death; so it closes the copies of all pools, which is what the
 * list is for.  And so that it knows of all, none is made while one forks.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/*
 * The list
 */

static TAILQ_HEAD(, ipc_pool) pools = TAILQ_HEAD_INITIALIZER(pools);

static pthread_mutex_t lock;

static void
lock_list(void)
{
	pthread_mutex_lock(&lock);
}

static void
unlock_list(void)
{
	pthread_mutex_unlock(&lock);
}

/* Recursive, as the handlers of a fork take it also where a pool forks. */
static void
make_lock(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

/* In a child it is made anew: who held it is a thread of the parent. */
static void
guard_forks(void)
{
	make_lock();
	/* No memory for it: then nothing else will work either. */
	(void)pthread_atfork(lock_list, unlock_list, make_lock);
}

void
ipc__pool_list(struct ipc_pool *p)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, guard_forks);
	lock_list();
	TAILQ_INSERT_TAIL(&pools, p, pools);
	unlock_list();
}

void
ipc__pool_unlist(struct ipc_pool *p)
{
	lock_list();
	TAILQ_REMOVE(&pools, p, pools);
	unlock_list();
}

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
ipc__pool_abandon(struct ipc_pool *p)
{
	unsigned i;

	for (i = 0; p->workers != NULL && i < p->config.workers; i++) {
		ipc_close(p->workers[i].ch);
		p->workers[i].ch = NULL;
		close_fd(&p->workers[i].pidfd);
	}
	close_fd(&p->epoll);
	close_fd(&p->bell);
	close_fd(&p->timer);
}

/*
 * Watching
 */

int
ipc__pool_watch(struct ipc_pool *p, int fd, unsigned index,
    enum ipc__pool_source what)
{
	struct epoll_event ev = { .events = EPOLLIN,
	    .data.u64 = (uint64_t)index << 2 | what };

	if (fd < 0)
		return fd;
	if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == -1 &&
	    errno != EEXIST)
		return ipc__fail_sys("epoll_ctl");
	return 0;
}

/* Before it is closed: a copy in a forked child would keep it in the set. */
void
ipc__pool_unwatch(struct ipc_pool *p, int fd)
{
	if (fd >= 0)
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static int
watch_process(struct ipc_pool *p, struct ipc__worker *w, unsigned index)
{
	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	if (w->pidfd == -1 && (errno == EMFILE || errno == ENFILE ||
	    errno == ENOMEM))
		return ipc__fail_sys("pidfd_open");
	if (w->pidfd == -1)
		return 0;	/* an old kernel, or a filter: looked at */
	return ipc__pool_watch(p, w->pidfd, index, IPC__POOL_PROCESS);
}

/*
 * Starting
 */

static _Noreturn void
be_worker(const struct ipc_pool_config *c, struct ipc_channel *ch)
{
	struct ipc_pool *p;
	int rc = 0;

	TAILQ_FOREACH(p, &pools, pools)
		ipc__pool_abandon(p);
	TAILQ_INIT(&pools);
	if (c->init != NULL)
		rc = c->init(c->user);
	if (rc == 0 && ipc__pool_serve(ch, c->handler, c->user) < 0)
		rc = 1;
	ipc_close(ch);
	/* What the parent's streams hold is the parent's to write. */
	_exit(rc);
}

static int
fork_worker(struct ipc_pool *p, struct ipc__worker *w)
{
	struct ipc_channel *ends[2];
	int rc;

	if ((rc = ipc_pair(ends, p->address, 0)) < 0)
		return rc;
	w->pid = fork();
	if (w->pid == 0) {
		ipc_close(ends[0]);
		be_worker(&p->config, ends[1]);
	}
	rc = w->pid == -1 ? ipc__fail_sys("fork") : 0;
	ipc_close(ends[1]);
	if (rc < 0)
		ipc_close(ends[0]);
	else
		w->ch = ends[0];
	return rc;
}

int
ipc__worker_start(struct ipc_pool *p, struct ipc__worker *w)
{
	unsigned index = (unsigned)(w - p->workers);
	int rc, status;

	w->ch = NULL;
	w->pidfd = -1;
	lock_list();
	rc = p->argv != NULL ? ipc_spawn(&w->ch, &w->pid, p->address, p->argv,
	    0) : fork_worker(p, w);
	unlock_list();
	if (rc < 0)
		return rc;
	rc = watch_process(p, w, index);
	if (rc == 0)
		rc = ipc__pool_watch(p, ipc_fd(w->ch, IPC_RECV, NULL), index,
		    IPC__POOL_RECV);
	if (rc < 0) {
		ipc__worker_kill(w);
		ipc__worker_hang_up(p, w);
		(void)ipc__worker_reap(w, true, &status);
		ipc__worker_forget(p, w);
	}
	return rc;
}

/*
 * Ending
 */

/* Still a child of ours that nobody has waited for? */
static bool
still_ours(pid_t pid)
{
	siginfo_t si;

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void
ipc__worker_kill(const struct ipc__worker *w)
{
	if (w->pidfd != -1)
		(void)syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL,
		    0);
	else if (still_ours(w->pid))
		kill(w->pid, SIGKILL);
}

int
ipc__worker_reap(const struct ipc__worker *w, bool wait, int *status)
{
	pid_t got;

	do
		got = waitpid(w->pid, status, wait ? 0 : WNOHANG);
	while (got == -1 && errno == EINTR);
	if (got == 0)
		return -EAGAIN;
	if (got == -1)
		*status = IPC_POOL_UNKNOWN;
	return 0;
}

void
ipc__worker_hang_up(struct ipc_pool *p, struct ipc__worker *w)
{
	if (w->ch == NULL)
		return;
	ipc__pool_unwatch(p, w->ch->in.ready.epoll);
	if (w->begun)
		ipc__pool_unwatch(p, w->ch->out.ready.epoll);
	ipc_close(w->ch);
	w->ch = NULL;
}

void
ipc__worker_forget(struct ipc_pool *p, struct ipc__worker *w)
{
	ipc__pool_unwatch(p, w->pidfd);
	close_fd(&w->pidfd);
	w->pid = 0;
}
