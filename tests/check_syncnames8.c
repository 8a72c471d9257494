/* SPDX-License-Identifier: ISC */
/*
 * Eight processes and one name of a semaphore, a mutex or a region: they make
 * it, open it, use it, remove it and sweep, and are killed all the time.  Who
 * opens one finds it whole; who holds one keeps it; and in the end the name can
 * be made, used and removed.
 *
 * 10,000 turns of each of the eight are IPC_TEST_ROUNDS=10000; with
 * IPC_TEST_TELL=1 each kind tells what happened.
 */
#include "race.h"

#define TURNS		rounds_up_to(40, 10000)	/* of each */
#define VALUE		3
#define WORDS		64

static char name[512];

/* An object of any kind. */
union object {
	struct ipc_sem	 *sem;
	struct ipc_mutex *mutex;
	struct ipc_region *region;
};

struct kind {
	int (*open)(union object *, int flags);
	void (*use)(const union object *);
	int (*close)(const union object *);
	int (*unlink)(const char *);
};

/* A System V object that is removed is gone for those who have it open. */
static bool
is_removed(int rc)
{
	return rc == -EIDRM && strncmp(here.scheme, "sysv", 4) == 0;
}

/*
 * Semaphores: whoever takes gives back, unless it is killed.
 */

static int
sem_open_it(union object *o, int flags)
{
	return ipc_sem_open(&o->sem, name, flags, VALUE);
}

static void
sem_use(const union object *o)
{
	unsigned value = VALUE + 1;
	int rc = ipc_sem_value(o->sem, &value);

	if (is_removed(rc))
		return;
	expect(0, rc);
	expect_true(value <= VALUE);
	rc = ipc_sem_wait(o->sem, (int)(random() % 2));
	if (rc == 0)
		rc = ipc_sem_post(o->sem);
	if (rc != -EAGAIN && rc != -ETIMEDOUT && !is_removed(rc))
		expect(0, rc);
}

static int
sem_close_it(const union object *o)
{
	return ipc_sem_close(o->sem);
}

/*
 * Mutexes: the next owner is told of a death.
 */

static int
mutex_open_it(union object *o, int flags)
{
	return ipc_mutex_open(&o->mutex, name, flags);
}

static void
mutex_use(const union object *o)
{
	int rc = ipc_mutex_lock(o->mutex, (int)(random() % 3));

	if (rc == 0 || rc == -EOWNERDEAD)
		rc = ipc_mutex_unlock(o->mutex);
	if (rc != -EAGAIN && rc != -ETIMEDOUT && !is_removed(rc))
		expect(0, rc);
}

static int
mutex_close_it(const union object *o)
{
	return ipc_mutex_close(o->mutex);
}

/*
 * Regions: each word is 0, or tells its place.
 */

static int
region_open_it(union object *o, int flags)
{
	return ipc_region_open(&o->region, name, flags);
}

static void
region_use(const union object *o)
{
	_Atomic uint64_t *words = ipc_region_data(o->region);

	expect_true(ipc_region_size(o->region) >= WORDS * sizeof *words);
	for (size_t i = 0; i < WORDS; i++) {
		expect_true(words[i] == 0 || words[i] == ~(uint64_t)i);
		words[i] = ~(uint64_t)i;
	}
}

static int
region_close_it(const union object *o)
{
	return ipc_region_close(o->region);
}

static const struct kind sem = {
	sem_open_it, sem_use, sem_close_it, ipc_sem_unlink
};
static const struct kind mutex = {
	mutex_open_it, mutex_use, mutex_close_it, ipc_mutex_unlink
};
static const struct kind region = {
	region_open_it, region_use, region_close_it, ipc_region_unlink
};

static const struct row {
	const struct kind *kind;
	const char	*scheme, *options;
} rows[] = {
	{ &sem, "sem", "" }, { &sem, "posixsem", "" },
	{ &sem, "sysvsem", "" }, { &mutex, "mutex", "" },
	{ &mutex, "sysvmutex", "" }, { &mutex, "filelock", "" },
	{ &region, "shm", "?size=4096" }, { &region, "posixshm", "?size=4096" },
	{ &region, "sysvshm", "?size=4096" }, { &region, "mmap", "?size=4096" }
};
#define ROWS	((int)(sizeof rows / sizeof *rows))
static const struct kind *kind;

/*
 * Racing
 */

static void
make_anew(bool held, long before)
{
	union object o;
	int rc = kind->open(&o, IPC_CREATE | IPC_EXCLUSIVE);

	if (held && rc == 0 && before != -1 && removals() == before)
		fail_with("%s: what is held was gone", name);
	race->kept += held && before != -1 && rc == -EEXIST;
	if (rc == 0) {
		kind->use(&o);
		rc = kind->close(&o);
	} else if (rc == -EEXIST)
		rc = 0;
	expect(0, rc);
}

static void
hold(int flags)
{
	long before = removals();
	union object o;
	int rc = kind->open(&o, flags);

	if (rc == -ENOENT && flags == 0)
		return;
	expect(0, rc);
	race->held++;
	for (int n = (int)(random() % 4); n >= 0; n--)
		kind->use(&o);
	make_anew(true, before);
	expect(0, kind->close(&o));
}

static void
turn(void)
{
	switch (random() % 16) {
	case 0 ... 8:
		hold(IPC_CREATE);
		break;
	case 9 ... 11:
		hold(0);
		break;
	case 12:
		make_anew(false, -1);
		break;
	case 13 ... 14:
		expect_ok(ipc_gc(NULL, NULL));
		break;
	default:
		remove_name(kind->unlink, name);
	}
}

static void
name_it(const struct row *r)
{
	bool path = strcmp(r->scheme, "mmap") == 0 ||
	    strcmp(r->scheme, "filelock") == 0;

	if (path)
		snprintf(name, sizeof name, "%s:%s%s", r->scheme, path_new(),
		    r->options);
	else
		snprintf(name, sizeof name, "%s:%sipc-check-%d%s", r->scheme,
		    strncmp(r->scheme, "posix", 5) == 0 ? "/" : "",
		    (int)getpid(), r->options);
}

START_TEST(whoever_opens_it_finds_it_whole)
{
	union object o;
	int rc;

	here.scheme = rows[_i].scheme;
	here.way = IPC_WAY_OPEN;
	kind = rows[_i].kind;
	name_it(&rows[_i]);
	somebody_died();
	run_race(TURNS, turn);
	rc = kind->unlink(name);
	if (rc != -ENOENT)
		expect(0, rc);
	expect(0, kind->open(&o, IPC_CREATE | IPC_EXCLUSIVE));
	kind->use(&o);
	expect(0, kind->close(&o));
	expect(0, kind->unlink(name));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("syncnames8");
	tc = tcase_open("syncnames8", 60 + TURNS / 10);
	tcase_add_loop_test(tc, whoever_opens_it_finds_it_whole, 0, ROWS);
	return suite_close();
}
