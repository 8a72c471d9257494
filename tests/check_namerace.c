/* SPDX-License-Identifier: ISC */
/*
 * Many processes want one Unix socket's name, and some are killed on the way:
 * one gets it, whoever lives keeps it, and nothing refuses the next one.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "backend.h"
#include "names.h"
#include "suite.h"

#define RACERS	3

/* What one racer tells the others. */
struct racer {
	volatile int	rc;		/* of its listen; 1: under way */
	volatile int	lost;		/* its name was taken from it */
};

struct race {
	char		path[128];
	volatile int	go, stop;
	struct racer	racers[RACERS];
};

struct entrant {
	struct race	*race;
	int		 number;
};

static struct ipc__address plain;

static void
setup(void)
{
	names_setup();
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	ipc__options_default(&plain.opt);
}

static struct race *
new_race(void)
{
	struct race *r = shared(sizeof *r);

	snprintf(r->path, sizeof r->path, "%s/x", top);
	return r;
}

/* Who listens at this path?  A pid, 0 for nobody. */
static pid_t
listener_of(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct ucred cred = { .pid = 0 };
	socklen_t size = sizeof cred;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	strlcpy(sun.sun_path, path, sizeof sun.sun_path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size);
	close(fd);
	return cred.pid;
}

static int
listen_on(const char *path)
{
	return ipc__unix_listen(&plain, path, SOCK_STREAM, NULL);
}

/* Looks whether the name is still there, often at first, and takes in the
 * client that it is itself. */
static void
watch_name(struct race *r, struct racer *self)
{
	for (int i = 0; !r->stop; i++) {
		if (listener_of(r->path) != getpid())
			self->lost = 1;
		close(accept(self->rc, NULL, NULL));
		if (i > 100)
			pause_us(500);
	}
}

static void
enter(void *entrant, int ready)
{
	struct entrant *e = entrant;
	struct race *r = e->race;
	struct racer *self = &r->racers[e->number];

	close(ready);
	while (!r->go)
		sched_yield();
	self->rc = listen_on(r->path);
	if (self->rc >= 0)
		watch_name(r, self);
	while (!r->stop)
		pause_us(1000);
}

static void
start_race(struct race *r, pid_t pids[RACERS])
{
	struct entrant e = { r, 0 };

	r->go = r->stop = 0;
	for (int i = 0; i < RACERS; i++) {
		r->racers[i].rc = 1;
		r->racers[i].lost = 0;
		e.number = i;
		pids[i] = start(enter, &e);
	}
	r->go = 1;
}

static bool
done(const struct race *r, int except)
{
	for (int i = 0; i < RACERS; i++)
		if (i != except && r->racers[i].rc == 1)
			return false;
	return true;
}

static int
winners(const struct race *r, const pid_t pids[RACERS], int except)
{
	int n = 0;

	for (int i = 0; i < RACERS; i++) {
		if (i == except)
			continue;
		ck_assert_int_eq(r->racers[i].lost, 0);
		if (r->racers[i].rc < 0) {
			ck_assert_int_eq(r->racers[i].rc, -EADDRINUSE);
			continue;
		}
		ck_assert_int_eq(listener_of(r->path), pids[i]);
		n++;
	}
	return n;
}

/* Even rounds begin with a dead one's name, odd ones with none. */
START_TEST(one_of_several_gets_a_name_free_or_stale)
{
	struct race *r = new_race();
	pid_t pids[RACERS];

	for (int round = 0; round < names_rounds(250); round++) {
		start_race(r, pids);
		while (!done(r, -1))
			pause_us(20);
		ck_assert_int_eq(winners(r, pids, -1), 1);
		for (int i = 0; i < RACERS; i++)
			kill_and_wait(pids[i]);
		ck_assert(is_there(r->path));
		if (round % 2 == 0)
			ck_assert_int_eq(unlink(r->path), 0);
	}
	ck_assert_int_gt(ipc__runtime_sweep(NULL, NULL), 0);
	ck_assert(!is_there(r->path));
	ck_assert_int_eq(count_entries(top, ".x"), 0);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

/* The killed one may have had the name for a while, and then the others were
 * right to leave it. */
START_TEST(a_kill_at_any_moment_harms_no_other)
{
	struct race *r = new_race();
	pid_t pids[RACERS];
	int fd, won = 0, alive;

	srandom(1);
	for (int round = 0; round < names_rounds(300); round++) {
		start_race(r, pids);
		pause_us(random() % 400);
		kill_and_wait(pids[0]);
		while (!done(r, 0))
			pause_us(20);
		alive = winners(r, pids, 0);
		ck_assert_int_le(alive, 1);
		won += alive;
		for (int i = 1; i < RACERS; i++)
			kill_and_wait(pids[i]);
		if (round % 8 != 0)
			continue;
		fd = listen_on(r->path);
		if (fd < 0)
			ck_abort_msg("after a kill: %s", ipc_errmsg());
		ck_assert_int_eq(listener_of(r->path), getpid());
		close(fd);
	}
	ck_assert_int_gt(won, names_rounds(300) / 8);
	close(listen_on(r->path));
	ck_assert_int_gt(ipc__runtime_sweep(NULL, NULL), 0);
	ck_assert(!is_there(r->path));
	ck_assert_int_eq(count_entries(top, ".x"), 0);
	ck_assert_int_eq(count_entries(runtime, ""), 0);
}
END_TEST

/*
 * A program that knows nothing of our locks: removes what is there, binds,
 * listens.  Its name may be away for a moment, not for good.
 */
static bool
keeps_its_name(const char *path)
{
	for (int i = 0; i < 400; i++) {
		if (listener_of(path) == getpid())
			return true;
		pause_us(50);
	}
	return false;
}

static void
listen_once(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strlcpy(sun.sun_path, path, sizeof sun.sun_path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		must(listen(fd, 5) == 0 && keeps_its_name(path));
	close(fd);
}

static void
listen_naively(void *race, int ready)
{
	struct race *r = race;

	close(ready);
	for (int i = 0; i < names_rounds(1000); i++)
		listen_once(r->path);
	r->stop = 1;
}

static bool
has_ended(pid_t pid)
{
	siginfo_t si = { .si_pid = 0 };

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &si,
	    WEXITED | WNOHANG | WNOWAIT), 0);
	return si.si_pid == pid;
}

START_TEST(a_program_without_our_locks_keeps_its_name)
{
	struct race *r = new_race();
	pid_t pid = start(listen_naively, r);
	struct ipc__place place = { .path = r->path };
	long live = 0, taken = 0;

	place.path_len = strlen(top) + 1;
	place.dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (!r->stop && !has_ended(pid)) {
		switch (ipc__unix_clear(&place, "x")) {
		case IPC__SOCKET_LIVE:
			live++;
			break;
		case 0:
			taken++;
			break;
		default:
			ck_abort_msg("%s", ipc_errmsg());
		}
	}
	ck_assert_int_eq(wait_for(pid), 0);
	ck_assert_int_gt(live, 0);
	ck_assert_int_gt(taken, 0);
	close(place.dir);
}
END_TEST

/*
 * Sweeping
 */

static void
leave_things(void *unused, int ready)
{
	char file[IPC__PATH_MAX];
	struct ipc__address a = { .text = (char *)"bag:jobs" };

	(void)unused;
	ipc__options_default(&a.opt);
	must(ipc__private_path("fifo", file, sizeof file) == 0);
	must(mkfifo(file, 0600) == 0);
	must(ipc__private_path("dgram", file, sizeof file) == 0);
	must(ipc__unix_bind(&a, file, SOCK_DGRAM, NULL) >= 0);
	must(listen_on(in_top("run/bag-jobs")) >= 0);
	must(ipc__name_lock("bag:jobs") >= 0);
	close(ready);
	for (;;)
		pause();
}

static bool
note(const char *path, void *text)
{
	strlcat(text, path + strlen(runtime), 2000);
	strlcat(text, "\n", 2000);
	return true;
}

START_TEST(a_sweep_takes_what_the_dead_left_and_nothing_else)
{
	pid_t pid = start(leave_things, NULL);
	char text[2000] = "";
	int fd = listen_on(in_top("run/bag-mine")), lock;

	make_file(in_top("run/file"));
	ck_assert_int_eq(ipc__runtime_sweep(note, text), 0);
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(count_entries(runtime, ""), 6);
	kill_and_wait(pid);
	lock = ipc__name_lock("ours");
	ck_assert_int_eq(ipc__runtime_sweep(note, text), 4);
	ck_assert_ptr_nonnull(strstr(text, "/.fifo.ipc-"));
	ck_assert_ptr_nonnull(strstr(text, "/.dgram.ipc-"));
	ck_assert_ptr_nonnull(strstr(text, "/bag-jobs\n"));
	ck_assert_ptr_nonnull(strstr(text, "/locks/"));
	ck_assert_ptr_nonnull(strstr(text, "-bag_jobs\n"));
	ipc__name_unlock(lock, "ours");
	ck_assert_int_eq(count_entries(runtime, ""), 2);
	ck_assert_int_eq(listener_of(in_top("run/bag-mine")), getpid());
	close(fd);
}
END_TEST

START_TEST(a_sweep_makes_nothing)
{
	ck_assert_int_eq(rmdir(runtime), 0);
	ck_assert_int_eq(ipc__runtime_sweep(NULL, NULL), 0);
	ck_assert(!is_there(runtime));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("namerace");
	TCase *tc = tcase_create("races");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, one_of_several_gets_a_name_free_or_stale);
	tcase_add_test(tc, a_kill_at_any_moment_harms_no_other);
	tcase_add_test(tc, a_program_without_our_locks_keeps_its_name);
	suite_add_tcase(suite, tc);
	tc = tcase_create("sweeping");
	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, a_sweep_takes_what_the_dead_left_and_nothing_else);
	tcase_add_test(tc, a_sweep_makes_nothing);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
