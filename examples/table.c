/* SPDX-License-Identifier: ISC */
/*
 * A table in a region that many look at and one changes, under a reader-writer
 * lock beside it: the two columns always say the same when a reader looks.
 */
#include <sys/wait.h>

#include <err.h>
#include <stdio.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define READERS	3
#define CHANGES	10000

struct table { long left[100], right[100]; };

/* A dead writer is an end as well: the table may be half changed. */
static void
need(int rc)
{
	if (rc < 0)
		errx(1, "%s", ipc_errmsg());
}

static void
look(struct ipc_rwlock *l, const struct table *t)
{
	for (long last = 0; last < CHANGES;) {
		need(ipc_rwlock_rdlock(l, -1));
		last = t->left[0];
		for (int i = 0; i < 100; i++)
			if (t->left[i] != last || t->right[i] != last)
				errx(1, "half a change was seen");
		need(ipc_rwlock_unlock(l));
	}
}

static void
change(struct ipc_rwlock *l, struct table *t)
{
	for (int n = 0; n < CHANGES; n++) {
		need(ipc_rwlock_wrlock(l, -1));
		for (int i = 0; i < 100; i++) {
			t->left[i]++;
			t->right[i]++;
		}
		need(ipc_rwlock_unlock(l));
	}
}

int
main(void)
{
	struct ipc_rwlock *l;
	struct ipc_region *r;
	struct table *table;
	int status, bad = 0;

	need(ipc_region_open(&r, "memfd:?size=64K", IPC_CREATE));
	need(ipc_rwlock_init_in(&l, r, 0, IPC_CREATE));
	table = (void *)((char *)ipc_region_data(r) + IPC_RWLOCK_SPACE);
	for (int i = 0; i < READERS; i++)
		if (fork() == 0) {
			look(l, table);
			_exit(0);
		}
	change(l, table);
	while (wait(&status) > 0)
		bad |= status;
	printf("%d readers saw %d changes, %s\n", READERS, CHANGES,
	    bad ? "but not as they should" : "each of them whole");
	ipc_rwlock_close(l);
	ipc_region_close(r);
	return bad != 0;
}
