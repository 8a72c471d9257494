/* SPDX-License-Identifier: ISC */
/*
 * The FIFO backend, called through its table: pairs, names, modes,
 * and what it refuses to touch.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "halves.h"
#include "pipeio.h"

extern const struct ipc_backend ipc__backend_fifo;
#define FIFO	(&ipc__backend_fifo)
#define NAME	in_dir("fifo")
#define NOBODY	65534

static char buffer[1 << 16];

static int
try_open(struct ipc__half **h, int dir, int flags, bool end)
{
	struct ipc__address a = address_of(FIFO, NAME);
	int rc;

	a.opt.end = end;
	*h = half_new(FIFO, dir);
	(*h)->bare = true;
	rc = FIFO->open(*h, &a, flags | dir);
	if (rc < 0) {
		ck_assert_int_eq((*h)->fd, -1);
		free(*h);
		*h = NULL;
	}
	return rc;
}

static struct ipc__half *
open_at(int dir, int flags)
{
	struct ipc__half *h;
	int rc;

	rc = try_open(&h, dir, flags, true);
	ck_assert_msg(rc == 0, "%s", ipc_errmsg());
	return h;
}

static void
refused(int dir, int flags, int error, const char *word)
{
	struct ipc__half *h;

	ck_assert_int_eq(try_open(&h, dir, flags, true), -error);
	ck_assert_msg(strstr(ipc_errmsg(), word) != NULL, "%s: %s", word,
	    ipc_errmsg());
}

/*
 * Pairs
 */

static int
pair_at(const char *name, struct ipc__half **rd, struct ipc__half **wr)
{
	struct ipc__address a = address_of(FIFO, name);
	int rc;

	*rd = half_new(FIFO, IPC_RECV);
	*wr = half_new(FIFO, IPC_SEND);
	rc = FIFO->pair(*wr, *rd, &a);
	if (rc == 0)
		return 0;
	ck_assert_int_eq((*rd)->fd, -1);
	free(*rd);
	free(*wr);
	return rc;
}

START_TEST(a_pair_leaves_no_name)
{
	struct ipc__half *rd, *wr, *taken = half_new(FIFO, IPC_RECV);
	struct ipc__ticket t = { .fd_count = 0 };

	/* The directory must be empty at the end of the test. */
	ck_assert_int_eq(pair_at(_i == 0 ? NAME : "", &rd, &wr), 0);
	ck_assert_int_eq(half_recv(rd, buffer, 9), -EAGAIN);
	ck_assert_int_eq(half_send(wr, "abc", 3), 3);
	FIFO->expect(wr, 1 << 18);
	ck_assert_int_gt(fcntl(rd->fd, F_GETPIPE_SZ), 1 << 16);

	ck_assert_int_eq(FIFO->give(rd, &t), 0);
	t.fds[0] = dup(t.fds[0]);
	ck_assert_int_eq(FIFO->take(taken, &t), 0);
	half_close(rd, true);
	ck_assert_int_eq(half_recv(taken, buffer, 9), 3);
	ck_assert_int_eq(FIFO->again(taken), 0);
	half_close(wr, true);
	ck_assert_int_eq(half_recv(taken, buffer, 9), 0);
	ck_assert_int_eq(FIFO->again(taken), 0);
	ck_assert_int_eq(half_recv(taken, buffer, 9), 0);
	half_close(taken, true);
}
END_TEST

START_TEST(a_taken_fifo_without_writers_shows_its_end)
{
	struct ipc__half *rd, *wr, *taken = half_new(FIFO, IPC_RECV);
	struct ipc__ticket t = { .fd_count = 0 };

	ck_assert_int_eq(pair_at("", &rd, &wr), 0);
	half_close(wr, true);
	ck_assert_int_eq(FIFO->give(rd, &t), 0);
	t.fds[0] = dup(t.fds[0]);
	ck_assert_int_eq(FIFO->take(taken, &t), 0);
	half_close(rd, true);
	ck_assert_int_ne(ready(taken->fd, POLLIN, 0), 0);
	ck_assert_int_eq(half_recv(taken, buffer, 9), 0);
	half_close(taken, true);
}
END_TEST

START_TEST(a_pair_takes_no_name_that_exists)
{
	struct ipc__half *rd, *wr;

	ck_assert_int_eq(mkfifo(NAME, 0600), 0);
	ck_assert_int_eq(pair_at(NAME, &rd, &wr), -EEXIST);
	ck_assert_int_eq(unlink(NAME), 0);
	ck_assert_int_eq(pair_at("/nowhere/at/all", &rd, &wr), -ENOENT);
}
END_TEST

/*
 * Names
 */

START_TEST(mode_on_disk_is_what_was_said)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	static const unsigned modes[] = { 0600, 0622, 0666, 0640 };
	struct ipc__address a = address_of(FIFO, NAME);
	struct ipc__half *h = half_new(FIFO, IPC_RECV);
	struct stat st;
	mode_t old;

	if (_i >= 4 && geteuid() == 0) {	/* nor for who is not root */
		ck_assert_int_eq(chmod(test_dir, 0777), 0);
		ck_assert_int_eq(seteuid(NOBODY), 0);
	}
	a.opt.mode = modes[_i % 4];
	old = umask(masks[_i % 4]);
	ck_assert_msg(FIFO->open(h, &a, IPC_CREATE | IPC_RECV) == 0, "%s",
	    ipc_errmsg());
	ck_assert_uint_eq(umask(old), masks[_i % 4]);
	ck_assert_int_eq(lstat(NAME, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, modes[_i % 4]);
	ck_assert_uint_eq(st.st_uid, geteuid());
	half_close(h, true);
	ck_assert_int_eq(unlink(NAME), 0);
	ck_assert_int_eq(seteuid(getuid()), 0);
}
END_TEST

START_TEST(owner_on_disk_is_what_was_said)
{
	struct ipc__address a = address_of(FIFO, NAME);
	struct ipc__half *h = half_new(FIFO, IPC_RECV);
	struct stat st;
	int rc;

	a.opt.uid = a.opt.gid = geteuid() == 0 ? NOBODY : 0;
	a.opt.mode = 0620;
	rc = FIFO->open(h, &a, IPC_CREATE | IPC_RECV);
	if (geteuid() != 0) {
		ck_assert_int_eq(rc, -EPERM);
		free(h);
		return;
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(stat(NAME, &st), 0);
	ck_assert_uint_eq(st.st_uid, NOBODY);
	ck_assert_uint_eq(st.st_gid, NOBODY);
	ck_assert_uint_eq(st.st_mode & 07777, 0620);
	half_close(h, true);
	unlink(NAME);
}
END_TEST

START_TEST(create_and_exclusive_are_as_in_open)
{
	struct ipc__half *h;
	struct stat st;

	refused(IPC_RECV, 0, ENOENT, "lstat");
	refused(IPC_SEND, 0, ENOENT, "lstat");
	h = open_at(IPC_RECV, IPC_CREATE | IPC_EXCLUSIVE);
	half_close(h, true);
	refused(IPC_RECV, IPC_CREATE | IPC_EXCLUSIVE, EEXIST, "exists");
	chmod(NAME, 0611);
	h = open_at(IPC_RECV, IPC_CREATE);
	ck_assert_int_eq(stat(NAME, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0611);
	half_close(h, true);
	ck_assert_int_eq(unlink(NAME), 0);
}
END_TEST

START_TEST(a_sender_needs_a_receiver)
{
	struct ipc__half *rd, *wr;

	refused(IPC_SEND, IPC_CREATE, ENXIO, "no receiver has it open");
	rd = open_at(IPC_RECV, 0);
	wr = open_at(IPC_SEND, 0);
	ck_assert_uint_eq(wr->record, 4092);
	half_close(rd, true);
	ck_assert_int_eq(half_send(wr, "x", 1), -EPIPE);
	refused(IPC_SEND, 0, ENXIO, "no receiver has it open");
	rd = open_at(IPC_RECV, 0);
	ck_assert_int_eq(half_send(wr, "x", 1), 1);
	half_close(wr, true);
	half_close(rd, true);
	unlink(NAME);
}
END_TEST

START_TEST(what_is_no_fifo_is_left_alone)
{
	struct ipc__address a = address_of(FIFO, NAME);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int s;

	refused(IPC_DUPLEX, IPC_CREATE, EINVAL, "one way");

	s = socket(AF_UNIX, SOCK_STREAM, 0);
	strlcpy(sun.sun_path, NAME, sizeof sun.sun_path);
	ck_assert_int_eq(bind(s, (void *)&sun, sizeof sun), 0);
	refused(IPC_RECV, IPC_CREATE, EPROTOTYPE, "ipc_connect");
	refused(IPC_SEND, 0, EPROTOTYPE, "ipc_connect");
	ck_assert_int_eq(FIFO->unlink(&a), -EPROTOTYPE);
	close(s);
	ck_assert_int_eq(unlink(NAME), 0);

	ck_assert_int_eq(symlink("else", NAME), 0);
	refused(IPC_RECV, IPC_CREATE, ELOOP, "symbolic");
	ck_assert_int_eq(FIFO->unlink(&a), -ELOOP);
	ck_assert_int_eq(unlink(NAME), 0);

	close(open(NAME, O_WRONLY | O_CREAT, 0600));
	refused(IPC_SEND, 0, EINVAL, "no FIFO");
	refused(IPC_RECV, IPC_CREATE, EINVAL, "no FIFO");
	ck_assert_int_eq(FIFO->unlink(&a), -EINVAL);
	ck_assert_int_eq(stat(NAME, &st), 0);
	ck_assert_int_eq(unlink(NAME), 0);

	ck_assert_int_eq(mkfifo(NAME, 0600), 0);
	ck_assert_int_eq(FIFO->unlink(&a), 0);
	ck_assert_int_eq(FIFO->unlink(&a), -ENOENT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fifo");
	TCase *tc = tcase_create("names");

	tcase_add_checked_fixture(tc, dir_make, dir_remove);
	tcase_add_loop_test(tc, a_pair_leaves_no_name, 0, 2);
	tcase_add_test(tc, a_taken_fifo_without_writers_shows_its_end);
	tcase_add_test(tc, a_pair_takes_no_name_that_exists);
	tcase_add_loop_test(tc, mode_on_disk_is_what_was_said, 0, 8);
	tcase_add_test(tc, owner_on_disk_is_what_was_said);
	tcase_add_test(tc, create_and_exclusive_are_as_in_open);
	tcase_add_test(tc, a_sender_needs_a_receiver);
	tcase_add_test(tc, what_is_no_fifo_is_left_alone);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
