/* SPDX-License-Identifier: ISC */
/*
 * Collecting what dead processes left: the sweeps of all that this library
 * makes, one after the other.  Each knows how the kernel tells that nobody
 * holds a thing; here is what it says of System V objects.
 */
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <ipc/names.h>

#include "backend/sysvshm.h"
#include "error.h"
#include "name.h"
#include "queue.h"
#include "sysname.h"

#define SHM_DIR		"/dev/shm/"
#define MQUEUE_MAGIC	0x19800202

/* As semctl wants it. */
union semun {
	int		 val;
	struct semid_ds	*buf;
};

/* What the kernel knows of one object. */
struct state {
	uid_t		 maker;
	unsigned long	 users;		/* now; 0 where it does not count */
	unsigned long	 parts;		/* semaphores */
	pid_t		 pids[3];	/* who made or last used it; 0: none */
};

struct collection {
	void		(*told)(const char *what, void *user);
	void		*user;
	bool		 remove;
	int		 count;
};

/*
 * System V
 */

static int
msg_state(int id, struct state *s)
{
	struct msqid_ds ds;

	if (msgctl(id, IPC_STAT, &ds) == -1)
		return -errno;
	s->maker = ds.msg_perm.cuid;
	s->pids[0] = ds.msg_lspid;
	s->pids[1] = ds.msg_lrpid;
	return 0;
}

static int
shm_state(int id, struct state *s)
{
	struct shmid_ds ds;

	if (shmctl(id, IPC_STAT, &ds) == -1)
		return -errno;
	s->maker = ds.shm_perm.cuid;
	s->users = ds.shm_nattch;
	s->pids[0] = ds.shm_cpid;
	return 0;
}

static int
sem_state(int id, struct state *s)
{
	struct semid_ds ds = { .sem_nsems = 0 };

	if (semctl(id, 0, IPC_STAT, (union semun){ .buf = &ds }) == -1)
		return -errno;
	s->maker = ds.sem_perm.cuid;
	s->parts = ds.sem_nsems;
	return 0;
}

static int
state_of(int kind, int id, struct state *s)
{
	*s = (struct state){ .users = 0 };
	switch (kind) {
	case IPC__SYSV_MSG:
		return msg_state(id, s);
	case IPC__SYSV_SHM:
		return shm_state(id, s);
	default:
		return sem_state(id, s);
	}
}

/* What can not be looked at counts as there. */
static int
sysv_find(int kind, key_t key)
{
	int id;

	if (kind == IPC__SYSV_MSG)
		id = msgget(key, 0);
	else if (kind == IPC__SYSV_SHM)
		id = shmget(key, 0, 0);
	else
		id = semget(key, 0, 0);
	return id == -1 && errno != ENOENT ? INT_MAX : id;
}

static bool
sysv_gone(int kind, int id)
{
	struct state s;
	int rc = state_of(kind, id, &s);

	return rc == -EINVAL || rc == -EIDRM;
}

static bool
sem_used(int id, unsigned long parts)
{
	int pid;

	for (unsigned long i = 0; i < parts; i++) {
		pid = semctl(id, (int)i, GETPID);
		if (pid == -1 || (pid > 0 && ipc__alive(pid, 0)))
			return true;
	}
	return false;
}

/* A process that is forked holds what its parent noted, and only shows when it
 * uses it; but of segments the kernel counts every user, forked ones too.  What
 * is not known, or somebody else's, counts as held. */
static bool
sysv_held(int kind, int id)
{
	struct state s;

	if (state_of(kind, id, &s) < 0 || s.maker != geteuid() || s.users > 0)
		return true;
	if (kind == IPC__SYSV_SHM)
		return false;
	for (size_t i = 0; i < sizeof s.pids / sizeof s.pids[0]; i++)
		if (s.pids[i] > 0 && ipc__alive(s.pids[i], 0))
			return true;
	return kind == IPC__SYSV_SEM && sem_used(id, s.parts);
}

/* The other kinds are whole from the first. */
static bool
sysv_begun(int kind, int id)
{
	struct semid_ds ds = { .sem_nsems = 0 };

	return kind == IPC__SYSV_SEM && (semctl(id, 0, IPC_STAT,
	    (union semun){ .buf = &ds }) == -1 || ds.sem_otime != 0);
}

static bool
sysv_remove(int kind, int id)
{
	int rc;

	if (kind == IPC__SYSV_MSG)
		rc = msgctl(id, IPC_RMID, NULL);
	else if (kind == IPC__SYSV_SHM)
		rc = shmctl(id, IPC_RMID, NULL);
	else
		rc = semctl(id, 0, IPC_RMID);
	return rc == 0 || errno == EINVAL || errno == EIDRM;
}

/*
 * All of it
 */

static bool
decide(const char *path, void *user)
{
	struct collection *c = user;

	c->count++;
	if (c->told != NULL)
		c->told(path, c->user);
	return c->remove;
}

static bool
decide_in_shm(const char *name, void *user)
{
	char path[sizeof SHM_DIR + IPC__NAME_MAX + 1];

	snprintf(path, sizeof path, SHM_DIR "%s", name);
	return decide(path, user);
}

/* Where there are no nameless files, a segment has a name for a moment. */
static int
sweep_shm(struct collection *c)
{
	struct ipc__place place = { .path = SHM_DIR,
	    .path_len = sizeof SHM_DIR - 1 };
	int swept;

	place.dir = open(SHM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place.dir == -1)
		return 0;	/* then nothing is left there */
	swept = ipc__temp_sweep(&place, UINT_MAX, decide_in_shm, c);
	close(place.dir);
	return swept;
}

/* A file system of our own that shows the queues, for who may mount one; it
 * ends with its descriptor, and nobody else sees it. */
static int
mount_queues(void)
{
	int fs, mount = -1, dir = -1;

	fs = fsopen("mqueue", FSOPEN_CLOEXEC);
	if (fs == -1)
		return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mount != -1)
		dir = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount != -1)
		close(mount);
	close(fs);
	return dir;
}

static bool
decide_queue(const char *name, void *user)
{
	char address[16 + IPC__NAME_MAX];

	snprintf(address, sizeof address, "posixmq:/%s", name);
	return decide(address, user);
}

/* The other sweep of queues needs /dev/mqueue. */
static int
sweep_hidden_queues(struct collection *c)
{
	struct ipc__place place = { .path = NULL };
	struct statfs fs;
	int swept;

	if (statfs("/dev/mqueue", &fs) == 0 && fs.f_type == MQUEUE_MAGIC)
		return 0;
	place.dir = mount_queues();
	if (place.dir == -1)
		return 0;	/* nowhere to look */
	swept = ipc__temp_sweep(&place, UINT_MAX, decide_queue, c);
	close(place.dir);
	return swept;
}

static int
sweep_notes(struct collection *c)
{
	const struct ipc__sysname_sweeper by = {
		.find = sysv_find,
		.gone = sysv_gone,
		.held = sysv_held,
		.remove = sysv_remove,
		.told = decide,
		.user = c,
		.begun = sysv_begun
	};

	return ipc__sysname_sweep(&by);
}

static int
sweep_segments(struct collection *c)
{
	return ipc__sysvshm_sweep(decide, c);
}

static int
sweep_queues(struct collection *c)
{
	return ipc__queue_sweep(decide, c);
}

static int
sweep_runtime(struct collection *c)
{
	return ipc__runtime_sweep(decide, c);
}

/* The runtime directory comes last, as the others use locks in it.  One that
 * fails keeps no other from its work; its error is what is returned. */
static int
collect(struct collection *c)
{
	static int (*const sweeps[])(struct collection *) = {
		sweep_queues, sweep_hidden_queues, sweep_notes, sweep_segments,
		sweep_shm, sweep_runtime
	};
	int rc, swept = 0, bad = 0;

	for (size_t i = 0; i < sizeof sweeps / sizeof sweeps[0]; i++) {
		rc = sweeps[i](c);
		if (rc < 0)
			bad = rc;
		else
			swept += rc;
	}
	return bad < 0 ? bad : swept;
}

int
ipc_gc(void (*told)(const char *what, void *user), void *user)
{
	struct collection c = { told, user, true, 0 };

	return collect(&c);
}

int
ipc_leftovers(void (*told)(const char *what, void *user), void *user)
{
	struct collection c = { told, user, false, 0 };
	int rc = collect(&c);

	return rc < 0 ? rc : c.count;
}
