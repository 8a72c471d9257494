/* SPDX-License-Identifier: ISC */
/*
 * Removing the names of Unix sockets: of nobody who lives, and of nobody else.
 * And names that have no file.
 */
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
 * What is moved aside is looked at again, as somebody who knows nothing of our
 * locks may have put a living socket there meanwhile.  The library's call comes
 * by here, at just that moment.
 */
static const char *to_replace;		/* a path, while it is wanted */
static int replacing = -1;

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (to_replace != NULL) {
		unlink(to_replace);
		replacing = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bind_to(replacing, to_replace);
		listen(replacing, 5);
		to_replace = NULL;
	}
	return renameat2(from_dir, from, to_dir, to, 0);
}

START_TEST(what_was_replaced_at_the_last_moment_is_put_back)
{
	char *path = in_top("x");

	make_stale(path, SOCK_STREAM);
	to_replace = path;
	fails_with(EADDRINUSE, listen_on(path), path);
	ck_assert_ptr_null(to_replace);
	ck_assert(connects(path, SOCK_STREAM));
	ck_assert_int_eq(files(), 1);
	close(replacing);
	to_replace = path;
	fails_with(EBUSY, ipc__unix_unlink(path), path);
	ck_assert(connects(path, SOCK_STREAM));
	ck_assert_int_eq(files(), 1);
	close(replacing);
}
END_TEST

/*
 * Removing
 */

START_TEST(unlinking_removes_what_nobody_serves_and_nothing_else)
{
	char *path = in_top("x");
	int fd;

	fails_with(ENOENT, ipc__unix_unlink(path), path);
	make_stale(path, SOCK_SEQPACKET);
	ck_assert_int_eq(ipc__unix_unlink(path), 0);
	make_stale(path, SOCK_DGRAM);
	ck_assert_int_eq(ipc__unix_unlink(path), 0);
	ck_assert_int_eq(count_entries(top, "x"), 0);
	fd = must_listen(path);
	fails_with(EBUSY, ipc__unix_unlink(path), path);
	ck_assert(connects(path, SOCK_STREAM));
	close(fd);
	ck_assert_int_eq(ipc__unix_unlink(path), 0);
	ck_assert_int_eq(count_entries(top, "."), 0);
}
END_TEST

START_TEST(a_name_that_is_anothers_by_now_is_not_removed)
{
	char *path = in_top("x");
	struct ipc__socket_name first;
	int fd = ipc__unix_listen(&plain, path, SOCK_STREAM, &first), other;

	ck_assert_int_eq(unlink(path), 0);
	other = must_listen(path);
	ipc__unix_remove(&first);
	ck_assert(connects(path, SOCK_STREAM));
	ipc__unix_remove(&name);
	ck_assert(!is_there(path));
	make_file(path);
	ipc__unix_remove(&name);
	ck_assert(is_there(path));
	close(fd);
	close(other);
}
END_TEST

/*
 * Abstract names and datagrams
 */

START_TEST(abstract_names_vanish_with_their_socket)
{
	char abstract[130];
	int fd, end;

	snprintf(abstract, sizeof abstract, "@ipc-check-%d", (int)getpid());
	fd = must_listen(abstract);
	ck_assert_str_eq(name.path, "");
	fails_with(EADDRINUSE, listen_on(abstract), abstract);
	fails_with(EBUSY, ipc__unix_unlink(abstract), abstract);
	close(fd);
	fails_with(ENOENT, ipc__unix_unlink(abstract), abstract);
	fd = ipc__unix_bind(&plain, abstract, SOCK_DGRAM, &name);
	ck_assert_int_ge(fd, 0);
	fails_with(EBUSY, ipc__unix_unlink(abstract), abstract);
	close(fd);
	fails_with(EINVAL, listen_on("@"), "empty");
	end = (int)strlen(abstract);
	memset(abstract + end, 'x', sizeof abstract - (size_t)end);
	abstract[108] = '\0';
	close(must_listen(abstract));
	abstract[108] = 'x';
	abstract[109] = '\0';
	fails_with(ENAMETOOLONG, listen_on(abstract), "108 bytes exceeds");
	plain.opt.set = 1u << IPC__KEY_MODE;
	fails_with(EINVAL, listen_on("@ipc-check"), "allow-uid");
}
END_TEST

START_TEST(a_datagram_carries_the_final_name_of_its_sender)
{
	char *to = in_top("to"), *from = in_top("from"), byte;
	int receiver = ipc__unix_bind(&plain, to, SOCK_DGRAM, NULL);
	int sender = ipc__unix_bind(&plain, from, SOCK_DGRAM, &name);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t size = sizeof sun;

	strlcpy(sun.sun_path, to, sizeof sun.sun_path);
	ck_assert_int_eq(sendto(sender, "x", 1, 0, (struct sockaddr *)&sun,
	    sizeof sun), 1);
	ck_assert_int_eq(recvfrom(receiver, &byte, 1, 0,
	    (struct sockaddr *)&sun, &size), 1);
	ck_assert_str_eq(sun.sun_path, from);
	ipc__unix_remove(&name);
	ck_assert(!is_there(from));
	close(receiver);
	close(sender);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("unixremove");
	TCase *tc = tcase_create("removing");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, what_was_replaced_at_the_last_moment_is_put_back);
	tcase_add_test(tc,
	    unlinking_removes_what_nobody_serves_and_nothing_else);
	tcase_add_test(tc, a_name_that_is_anothers_by_now_is_not_removed);
	suite_add_tcase(suite, tc);
	tc = tcase_create("without a file");
	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_add_test(tc, abstract_names_vanish_with_their_socket);
	tcase_add_test(tc, a_datagram_carries_the_final_name_of_its_sender);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
