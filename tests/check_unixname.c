/* SPDX-License-Identifier: ISC */
/*
 * Names of Unix sockets: made at once and whole, taken over from the dead
 * only, and removed by their owner only.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "backend.h"
#include "names.h"
#include "suite.h"

static struct ipc__address plain;	/* of no option */
static struct ipc__socket_name name;

static void
setup(void)
{
	names_setup();
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	ipc__options_default(&plain.opt);
}

/* Files beside the runtime directory. */
static int
files(void)
{
	return count_entries(top, "") - 1;
}

static int
listen_on(const char *path)
{
	return ipc__unix_listen(&plain, path, SOCK_STREAM, &name);
}

static int
must_listen(const char *path)
{
	int fd = listen_on(path);

	if (fd < 0)
		ck_abort_msg("%s: %s", path, ipc_errmsg());
	return fd;
}

/*
 * Making
 */

START_TEST(a_listener_can_be_connected_to_and_leaves_nothing)
{
	char *path = in_top("x");
	int fd = must_listen(path);

	ck_assert(connects(path, SOCK_STREAM));
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(files(), 1);
	ipc__unix_remove(&name);
	ck_assert_int_eq(files(), 0);
	close(fd);
	fd = ipc__unix_listen(&plain, path, SOCK_SEQPACKET, &name);
	ck_assert(connects(path, SOCK_SEQPACKET));
	ipc__unix_remove(&name);
	close(fd);
}
END_TEST

START_TEST(the_mode_is_the_one_on_disk_whatever_the_umask)
{
	static const struct {
		mode_t	umask;
		unsigned mode;
	} cases[] = { { 022, 0600 }, { 0, 0600 }, { 077, 0666 }, { 0777, 0660 },
	    { 0, 0777 }, { 022, 0 } };
	char *path = in_top("x"), *dgram = in_top("y");
	int fd;

	umask(cases[_i].umask);
	plain.opt.mode = cases[_i].mode;
	fd = must_listen(path);
	ck_assert_uint_eq(mode_of(path), cases[_i].mode);
	close(fd);
	fd = ipc__unix_bind(&plain, dgram, SOCK_DGRAM, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(mode_of(dgram), cases[_i].mode);
	close(fd);
	umask(022);
}
END_TEST

START_TEST(owner_and_group_are_those_asked_for)
{
	struct stat st;
	char *path = in_top("x");

	if (!can(false))
		return;
	plain.opt.uid = NOBODY;
	plain.opt.gid = 12345;
	plain.opt.mode = 0640;
	close(must_listen(path));
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_gid, 12345);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
}
END_TEST

static void
ask_for_another_owner(void *path, int ready)
{
	(void)ready;
	become(NOBODY);
	setenv("IPC_RUNTIME_DIR", in_top("shared/run"), 1);
	plain.opt.uid = 0;
	must(listen_on(path) == -EPERM);
	must(strstr(ipc_errmsg(), "uid=, gid=: chown: ") != NULL);
	plain.opt.uid = (uid_t)-1;
	must(!is_there(path));
	must(listen_on(in_top("denied")) == -EACCES);
	must(listen_on(path) >= 0);
}

START_TEST(what_is_not_allowed_leaves_nothing)
{
	char *path = in_top("shared/x");

	if (!can(false))
		return;
	ck_assert_int_eq(mkdir(in_top("shared"), 0700), 0);
	ck_assert_int_eq(chmod(in_top("shared"), 0777), 0);
	run(ask_for_another_owner, path);
	/* That, and the runtime directory with a note of it. */
	ck_assert_int_eq(count_entries(in_top("shared"), ""), 2);
	ck_assert_int_eq(count_entries(in_top("shared/run"), ""), 1);
}
END_TEST

/* The largest path that a socket can have, n bytes, in a directory of 90 or
 * more, so that temporary names would not fit beside it. */
static char *
path_of(size_t n)
{
	static char path[200];
	size_t dir = strlen(top) + 1;

	memset(path, 'd', sizeof path);
	memcpy(path, top, dir - 1);
	path[dir - 1] = '/';
	path[95] = '\0';
	mkdir(path, 0700);
	path[95] = '/';
	path[n] = '\0';
	return path;
}

START_TEST(a_path_fits_up_to_the_last_byte_and_is_never_cut)
{
	char *path = path_of(107);
	int fd = must_listen(path);

	ck_assert(connects(path, SOCK_STREAM));
	ck_assert_int_eq(listen_on(path), -EADDRINUSE);
	close(fd);
	fd = must_listen(path);		/* a stale one is taken over, too */
	ipc__unix_remove(&name);
	close(fd);
	fails_with(ENAMETOOLONG, listen_on(path_of(108)),
	    "108 bytes exceeds the 107");
	path = path_of(107);
	fd = ipc__unix_bind(&plain, path, SOCK_DGRAM, &name);
	ck_assert(connects(path, SOCK_DGRAM));
	close(fd);
	fails_with(ENAMETOOLONG, ipc__unix_bind(&plain, path_of(150),
	    SOCK_DGRAM, NULL), "150 bytes exceeds the 107");
	fails_with(ENAMETOOLONG, ipc__unix_unlink(path_of(108)), "107");
	ck_assert_int_eq(ipc__unix_unlink(path_of(107)), 0);
}
END_TEST

START_TEST(a_directory_that_is_none_is_told)
{
	make_file(in_top("file"));
	fails_with(ENOENT, listen_on(in_top("no/x")), "/no/: No such file");
	fails_with(ENOTDIR, listen_on(in_top("file/x")), "/file/");
	fails_with(EINVAL, listen_on(in_top("")), "is no name of a socket");
	fails_with(EINVAL, listen_on(""), "''");
	fails_with(EEXIST, listen_on(in_top(".")), "is a directory");
	fails_with(ENOENT, ipc__unix_bind(&plain, in_top("no/x"), SOCK_DGRAM,
	    NULL), "/no/");
	fails_with(ENOENT, ipc__unix_unlink(in_top("no/x")), "/no/");
}
END_TEST

START_TEST(a_relative_path_is_removed_after_a_chdir)
{
	int fd;

	ck_assert_int_eq(chdir(top), 0);
	fd = must_listen("x");
	ck_assert(connects("x", SOCK_STREAM));
	ck_assert_int_eq(chdir("/"), 0);
	ipc__unix_remove(&name);
	ck_assert_int_eq(files(), 0);
	close(fd);
}
END_TEST

/*
 * What is there
 */

START_TEST(a_listener_is_refused_and_does_not_notice)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	char *path = in_top("x");
	int fd = ipc__unix_listen(&plain, path, types[_i], NULL);

	for (int i = 0; i < 2; i++)
		fails_with(EADDRINUSE, ipc__unix_listen(&plain, path, types[i],
		    &name), "somebody has this name");
	fails_with(EADDRINUSE, ipc__unix_bind(&plain, path, SOCK_DGRAM, &name),
	    path);
	ck_assert_int_eq(accept(fd, NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ipc__unix_remove(&name);	/* was never given */
	ck_assert(connects(path, types[_i]));
	ck_assert_int_eq(files(), 1);
	close(fd);
}
END_TEST

START_TEST(a_bound_datagram_socket_is_refused_also_when_it_is_connected)
{
	char *path = in_top("x"), *other = in_top("y");
	int fd = ipc__unix_bind(&plain, path, SOCK_DGRAM, NULL);
	int peer = ipc__unix_bind(&plain, other, SOCK_DGRAM, NULL);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	fails_with(EADDRINUSE, ipc__unix_bind(&plain, path, SOCK_DGRAM, NULL),
	    path);
	strlcpy(sun.sun_path, other, sizeof sun.sun_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	fails_with(EADDRINUSE, listen_on(path), path);
	fails_with(EADDRINUSE, ipc__unix_bind(&plain, path, SOCK_DGRAM, NULL),
	    path);
	close(fd);
	close(peer);
}
END_TEST

START_TEST(a_socket_that_does_not_listen_yet_is_left_alone)
{
	char *path = in_top("x");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bind_to(fd, path);
	ck_assert_int_eq(connect_to(path, SOCK_STREAM), -ECONNREFUSED);
	fails_with(EADDRINUSE, listen_on(path), path);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert(connects(path, SOCK_STREAM));
	close(fd);
}
END_TEST

START_TEST(what_is_no_socket_is_never_touched)
{
	static const char *const kinds[] = { "a regular file", "a directory",
	    "a FIFO", "a symbolic link", "a symbolic link" };
	char *path = in_top("x"), *stale = in_top("stale");
	struct stat before, after;

	make_stale(stale, SOCK_STREAM);
	if (_i == 0)
		make_file(path);
	else if (_i == 1)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else if (_i == 2)
		ck_assert_int_eq(mkfifo(path, 0600), 0);
	else
		ck_assert_int_eq(symlink(_i == 3 ? "nowhere" : "stale", path),
		    0);
	lstat(path, &before);
	fails_with(EEXIST, listen_on(path), kinds[_i]);
	fails_with(EEXIST, ipc__unix_bind(&plain, path, SOCK_DGRAM, NULL),
	    kinds[_i]);
	fails_with(EPROTOTYPE, ipc__unix_unlink(path), kinds[_i]);
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert(before.st_ino == after.st_ino);
	ck_assert_int_eq(files(), 2);
}
END_TEST

static void
listen_and_stay(void *path, int ready)
{
	must(listen_on(path) >= 0);
	close(ready);
	for (;;)
		pause();
}

START_TEST(what_a_killed_listener_left_is_taken_over)
{
	char *path = in_top("x");
	pid_t pid;
	int fd;

	for (int i = 0; i < 20; i++) {
		pid = start(listen_and_stay, path);
		fails_with(EADDRINUSE, listen_on(path), path);
		kill_and_wait(pid);
		ck_assert(is_there(path));
		fd = must_listen(path);
		ck_assert(connects(path, SOCK_STREAM));
		close(fd);
	}
	ck_assert_int_eq(files(), 1);
	fd = ipc__unix_bind(&plain, path, SOCK_DGRAM, &name);
	ck_assert(connects(path, SOCK_DGRAM));
	close(fd);
	ck_assert_int_eq(files(), 1);
	ck_assert_int_eq(count_entries(runtime, ""), 1);	/* its note */
}
END_TEST

START_TEST(another_users_listener_is_not_taken_for_dead)
{
	char *path = in_top("x");
	pid_t pid;

	if (!can(false))
		return;
	pid = start(listen_and_stay, path);	/* root's, mode 0600 */
	ck_assert_int_eq(chmod(top, 0777), 0);
	setenv("IPC_RUNTIME_DIR", in_top("mine"), 1);
	ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_int_eq(connect_to(path, SOCK_STREAM), -EACCES);
	fails_with(EADDRINUSE, listen_on(path), path);
	fails_with(EBUSY, ipc__unix_unlink(path), path);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert(connects(path, SOCK_STREAM));
	kill_and_wait(pid);
}
END_TEST

static void
make_temporary_names(void *unused, int ready)
{
	char temp[IPC__TEMP_MAX + 1];

	(void)unused;
	ipc__temp_name(temp, sizeof temp, "x");
	make_stale(in_top(temp), SOCK_STREAM);
	ipc__temp_name(temp, sizeof temp, "file");
	make_file(in_top(temp));
	close(ready);
	for (;;)
		pause();
}

START_TEST(the_next_listener_clears_away_what_a_killed_one_had_begun)
{
	pid_t pid = start(make_temporary_names, NULL);
	char temp[IPC__TEMP_MAX + 1];
	int fd = must_listen(in_top("a")), other;

	ck_assert_int_eq(count_entries(top, "."), 2);
	kill_and_wait(pid);
	other = must_listen(in_top("b"));
	ck_assert_int_eq(count_entries(top, "."), 0);
	/* A dead one's that a living process still serves. */
	snprintf(temp, sizeof temp, ".x.ipc-%d.1.1", (int)pid);
	ck_assert_int_eq(rename(in_top("b"), in_top(temp)), 0);
	close(must_listen(in_top("c")));
	ck_assert(connects(in_top(temp), SOCK_STREAM));
	close(fd);
	close(other);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("unixname");
	TCase *tc = tcase_create("making");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, a_listener_can_be_connected_to_and_leaves_nothing);
	tcase_add_loop_test(tc, the_mode_is_the_one_on_disk_whatever_the_umask,
	    0, 6);
	tcase_add_test(tc, owner_and_group_are_those_asked_for);
	tcase_add_test(tc, what_is_not_allowed_leaves_nothing);
	tcase_add_test(tc, a_path_fits_up_to_the_last_byte_and_is_never_cut);
	tcase_add_test(tc, a_directory_that_is_none_is_told);
	tcase_add_test(tc, a_relative_path_is_removed_after_a_chdir);
	suite_add_tcase(suite, tc);
	tc = tcase_create("taken");
	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_loop_test(tc, a_listener_is_refused_and_does_not_notice, 0,
	    2);
	tcase_add_test(tc,
	    a_bound_datagram_socket_is_refused_also_when_it_is_connected);
	tcase_add_test(tc, a_socket_that_does_not_listen_yet_is_left_alone);
	tcase_add_loop_test(tc, what_is_no_socket_is_never_touched, 0, 5);
	tcase_add_test(tc, what_a_killed_listener_left_is_taken_over);
	tcase_add_test(tc, another_users_listener_is_not_taken_for_dead);
	tcase_add_test(tc,
	    the_next_listener_clears_away_what_a_killed_one_had_begun);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
