/* SPDX-License-Identifier: ISC */
/* WRAP: inotify_init1 */
/*
 * Journals that are opened: one writer, any number of readers, positions by
 * name, full disks, and files that go away under their readers.
 */
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sched.h>
#include <signal.h>

#include "journals.h"

static bool without_inotify;
static char buffer[64 * KIB];

int __wrap_inotify_init1(int flags);
int __real_inotify_init1(int flags);

int
__wrap_inotify_init1(int flags)
{
	if (!without_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

/*
 * Readers
 */

START_TEST(readers_begin_at_the_start_or_the_end)
{
	struct ipc_channel *out, *all, *again, *late;

	new_journal();
	out = writer("");
	say(out, "one");
	all = reader("");
	again = reader("follow=start");
	late = reader("follow=end");
	say(out, "two");
	hear(all, "one");
	hear(all, "two");
	hear(again, "one");
	hear(again, "two");
	hear(late, "two");
	hear_nothing(all);
	hear_nothing(late);
	close_ends((struct ipc_channel *[2]){ all, again });
	close_ends((struct ipc_channel *[2]){ late, out });
	remove_journal();
}
END_TEST

START_TEST(the_end_of_a_journal_that_is_not_followed)
{
	struct ipc_channel *out, *in;

	new_journal();
	out = writer("");
	say(out, "one");
	in = reader("follow=0");
	hear(in, "one");
	for (int i = 0; i < 3; i++)
		expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer, SOON));
	say(out, "two");
	hear(in, "two");
	expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer, 0));
	close_ends((struct ipc_channel *[2]){ in, out });
	remove_journal();
}
END_TEST

/* What was shown and not released was not taken. */
START_TEST(a_position_is_kept_by_name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	struct ipc_channel *out, *in;
	const void *data;

	new_journal();
	out = writer("");
	for (int i = 0; i < 26; i++)
		expect(0, ipc_send(out, letters + i, 1, 0));
	expect(0, ipc_close(out));
	for (int i = 0; i < 26; i++) {
		in = reader("follow=me");
		expect(1, ipc_recv(in, buffer, 1, SOON));
		expect_true(buffer[0] == letters[i]);
		if (i < 25)
			expect(1, ipc_peek(in, &data, SOON));
		expect(0, ipc_close(in));
	}
	in = reader("follow=me");
	hear_nothing(in);
	expect(0, ipc_close(in));
	in = reader("follow=me-too");
	hear(in, "a");
	expect(0, ipc_close(in));
	remove_journal();
}
END_TEST

START_TEST(one_reader_of_a_name_and_one_writer)
{
	struct ipc_channel *out, *in, *other;
	struct gate g;
	pid_t pid;

	new_journal();
	gate_make(&g);
	if ((pid = forked()) == 0) {
		(void)writer("");
		(void)reader("follow=me");
		gate_open(&g);
		for (;;)
			pause();
	}
	gate_wait(&g);
	expect(-EBUSY, open_fails("follow=me", IPC_RECV));
	expect_true(strstr(ipc_errmsg(), "'me'") != NULL);
	expect(-EBUSY, open_fails("", IPC_SEND | IPC_CREATE));
	other = reader("follow=other");
	peer_kill(pid);
	out = writer("");
	in = reader("follow=me");
	expect(-EBUSY, open_fails("", IPC_SEND));	/* our own as well */
	expect(-EBUSY, open_fails("follow=me", IPC_RECV));
	close_ends((struct ipc_channel *[2]){ in, out });
	expect(0, ipc_close(other));
	gate_free(&g);
	remove_journal();
}
END_TEST

START_TEST(positions_that_are_of_no_use)
{
	static const char *const suffix = ".pos.me";
	struct ipc_channel *out, *in;
	char path[300];
	int fd;

	new_journal();
	snprintf(path, sizeof path, "%s%s", journal_path, suffix);
	out = writer("");
	say(out, "one");
	in = reader("follow=me");
	hear(in, "one");
	close_ends((struct ipc_channel *[2]){ in, out });
	/* Of a journal that was there before. */
	expect_sys(unlink(journal_path));
	out = writer("");
	say(out, "new");
	in = reader("follow=me");
	hear(in, "new");
	expect(0, ipc_close(in));
	/* Beyond the end, as a machine that stopped may leave it. */
	say(out, "lost");
	in = reader("follow=me");
	hear(in, "lost");
	close_ends((struct ipc_channel *[2]){ in, out });
	expect_sys(truncate(journal_path, size_of_journal() - 16));
	in = reader("follow=me");
	hear_nothing(in);
	out = writer("");
	say(out, "after");
	hear(in, "after");
	close_ends((struct ipc_channel *[2]){ in, out });
	/* Damaged. */
	expect_sys(fd = open(path, O_WRONLY | O_CLOEXEC));
	expect(1, pwrite(fd, "x", 1, 17));
	close(fd);
	expect(-EBADMSG, open_fails("follow=me", IPC_RECV));
	/* Not what it should be. */
	expect_sys(unlink(path));
	expect_sys(symlink("/etc/passwd", path));
	expect(-ELOOP, open_fails("follow=me", IPC_RECV));
	expect_sys(unlink(path));
	remove_journal();
}
END_TEST

START_TEST(unlinking_takes_the_positions_along)
{
	struct ipc_channel *out, *in;
	char path[300];

	new_journal();
	snprintf(path, sizeof path, "%s.pos.foreign", journal_path);
	out = writer("");
	in = reader("follow=me");
	expect(0, ipc_close(reader("follow=other")));
	expect_sys(symlink("/nowhere", path));
	remove_journal();
	expect(-ESTALE, ipc_send(out, "x", 1, 0));
	expect_sys(unlink(path));	/* that is not ours */
	close_ends((struct ipc_channel *[2]){ in, out });
}
END_TEST

/*
 * Waiting
 */

static long
job_say(struct job *j)
{
	return ipc_send(j->ch, "late", 4, 0);
}

static void
wakes(bool inotify, int most_ms, int most_sleeps)
{
	struct ipc_stats stats = { .struct_size = sizeof stats };
	struct job j = { .delay = 50 };
	struct ipc_channel *in;
	double took = most_ms;
	int n;

	without_inotify = !inotify;
	new_journal();
	j.ch = writer("");
	in = reader("");
	/* On a busy machine most may be late. */
	for (n = 0; n < 30 && took >= most_ms; n++) {
		job_start(&j, job_say);
		hear(in, "late");
		expect(0, job_end(&j));
		took = now_ms() - j.ended;
	}
	expect_true(took < most_ms);
	expect(0, ipc_stats(in, &stats));
	expect_true(stats.sleeps >= 1 && stats.sleeps <=
	    (uint64_t)(most_sleeps * n));
	expect(-ETIMEDOUT, ipc_recv(in, buffer, 1, 20));
	close_ends((struct ipc_channel *[2]){ in, j.ch });
	remove_journal();
	without_inotify = false;
}

START_TEST(a_reader_is_woken)
{
	wakes(true, PROMPT, 2);
}
END_TEST

START_TEST(a_reader_without_inotify_looks_now_and_then)
{
	wakes(false, PROMPT, 30);
	without_inotify = true;
	new_journal();
	close_ends((struct ipc_channel *[2]){ writer(""), reader("") });
	struct ipc_channel *in = reader("");
	expect(-EOPNOTSUPP, ipc_fd(in, IPC_RECV, NULL));
	expect(0, ipc_close(in));
	remove_journal();
}
END_TEST

static _Noreturn void
count_all(int count)
{
	struct ipc_channel *in = reader("");
	int got;

	for (int i = 0; i < count; i++) {
		expect((long)sizeof got, ipc_recv(in, &got, sizeof got, SOON));
		expect(i, got);
	}
	ipc_close(in);
	_exit(0);
}

START_TEST(every_reader_hears_everything)
{
	const int count = rounds(20000);
	struct ipc_channel *out;
	pid_t pid[4];

	new_journal();
	out = writer("");
	for (int i = 0; i < 4; i++)
		if ((pid[i] = forked()) == 0)
			count_all(count);
	for (int i = 0; i < count; i++)
		expect(0, ipc_send(out, &i, sizeof i, 0));
	for (int i = 0; i < 4; i++)
		peer_done(pid[i]);
	expect(0, ipc_close(out));
	remove_journal();
}
END_TEST

/*
 * Limits
 */

/* A file system of its own, which is soon full. */
static bool
small_disk(const char *path)
{
	expect_sys(mkdir(path, 0700));
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", path, "tmpfs", 0, "size=256k") == 0)
		return true;
	skip_loudly("a full disk: only root can mount one");
	expect_sys(rmdir(path));
	return false;
}

static void
fill_disk(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	expect_sys(fd);
	while (write(fd, buffer, 4096) == 4096)
		continue;
	expect(ENOSPC, errno);
	close(fd);
}

START_TEST(a_full_disk_takes_all_of_a_message_or_nothing)
{
	struct ipc_channel *out, *in;
	char dir[200], other[300];
	off_t size;
	int sent = 0, rc;

	strlcpy(dir, path_new(), sizeof dir);
	if (!small_disk(dir))
		return;
	here.scheme = "file";
	snprintf(journal_path, sizeof journal_path, "%s/journal", dir);
	snprintf(other, sizeof other, "%s/other", dir);
	out = writer("");
	in = reader("follow=me");
	while ((rc = ipc_send(out, buffer, 10000, 0)) == 0)
		sent++;
	expect(-ENOSPC, rc);
	expect_true(strstr(ipc_errmsg(), "no room on the disk") != NULL);
	size = size_of_journal();
	expect(128 + 10012 * sent, size);
	fill_disk(other);
	expect(-ENOSPC, ipc_send(out, buffer, 10000, 0));
	expect(size, size_of_journal());
	expect_sys(unlink(other));
	expect(0, ipc_send(out, buffer, 100, 0));
	for (int i = 0; i < sent; i++)
		expect(10000, ipc_recv(in, buffer, sizeof buffer, 0));
	expect(100, ipc_recv(in, buffer, sizeof buffer, 0));
	close_ends((struct ipc_channel *[2]){ in, out });
	remove_journal();
	expect_sys(umount(dir));
	expect_sys(rmdir(dir));
}
END_TEST

/* A write beyond it would be a signal. */
START_TEST(a_limit_on_the_size_of_files_is_an_error)
{
	struct rlimit old, less = { 1000, 1000 };
	struct ipc_channel *out, *ch[2];

	new_journal();
	out = writer("");
	expect_sys(getrlimit(RLIMIT_FSIZE, &old));
	less.rlim_max = old.rlim_max;
	expect_sys(setrlimit(RLIMIT_FSIZE, &less));
	expect(-EFBIG, ipc_send(out, buffer, 1000, 0));
	expect_true(strstr(ipc_errmsg(), "RLIMIT_FSIZE") != NULL);
	expect(0, ipc_send(out, buffer, 500, 0));
	expect(-EFBIG, ipc_pair(ch, "file:", 0));
	less.rlim_cur = 9000;
	expect_sys(setrlimit(RLIMIT_FSIZE, &less));
	expect(0, ipc_pair(ch, "file:", 0));
	expect(9000, info_of(ch[0]).capacity);
	carry(ch[0], ch[1], 30000 % 8000);
	close_ends(ch);
	expect_sys(setrlimit(RLIMIT_FSIZE, &old));
	expect(0, ipc_close(out));
	remove_journal();
}
END_TEST

START_TEST(a_capacity_bounds_the_file)
{
	struct ipc_channel *out;

	new_journal();
	out = writer("capacity=4K");
	for (int i = 0; i < 3; i++)
		expect(0, ipc_send(out, buffer, 1000, 0));
	expect(-ENOSPC, ipc_send(out, buffer, 1000, 0));
	expect_true(strstr(ipc_errmsg(), "capacity") != NULL);
	expect(0, ipc_send(out, buffer, 100, 0));
	expect(0, ipc_close(out));
	remove_journal();
}
END_TEST

START_TEST(a_message_longer_than_its_reader_takes_stays)
{
	struct ipc_channel *out, *in;

	new_journal();
	out = writer("max-message=1K");
	expect(-EMSGSIZE, ipc_send(out, buffer, 1025, 0));
	expect_true(strstr(ipc_errmsg(), "max-message") != NULL);
	expect(0, ipc_send(out, buffer, 1024, 0));
	in = reader("max-message=1000&follow=me");
	expect(-EMSGSIZE, ipc_recv(in, buffer, sizeof buffer, 0));
	expect_true(strstr(ipc_errmsg(), "max-message") != NULL);
	expect(0, ipc_close(in));
	in = reader("follow=me");
	expect(1024, ipc_recv(in, buffer, sizeof buffer, 0));
	close_ends((struct ipc_channel *[2]){ in, out });
	remove_journal();
}
END_TEST

/* Do not ask the disk; ask the kernel whether it will. */
static bool
is_dsync(void)
{
	struct stat file, st;

	expect_sys(stat(journal_path, &file));
	for (int fd = 3; fd < 100; fd++)
		if (fstat(fd, &st) == 0 && st.st_ino == file.st_ino &&
		    st.st_dev == file.st_dev)
			return fcntl(fd, F_GETFL) & O_DSYNC;
	return false;
}

START_TEST(with_sync_it_is_on_disk_before_send_returns)
{
	struct ipc_channel *out, *in;

	new_journal();
	for (int i = 0; i < 2; i++) {	/* made, and opened again */
		out = writer("sync=1");
		expect_true(is_dsync());
		say(out, "kept");
		expect(0, ipc_close(out));
	}
	out = writer("");
	expect_true(!is_dsync());
	in = reader("sync=1&follow=me");
	hear(in, "kept");
	hear(in, "kept");
	close_ends((struct ipc_channel *[2]){ in, out });
	remove_journal();
}
END_TEST

START_TEST(what_a_side_can_not_honour_is_refused)
{
	new_journal();
	expect(0, ipc_close(writer("")));
	expect(-EINVAL, open_fails("follow=end", IPC_SEND));
	expect(-EINVAL, open_fails("capacity=4M", IPC_RECV));
	expect(-EINVAL, open_fails("boundary=stream", IPC_RECV));
	expect(-EINVAL, open_fails("latest=1", IPC_RECV));
	expect(-EINVAL, open_fails("", IPC_DUPLEX));
	remove_journal();
}
END_TEST

/*
 * Files that go away
 */

enum how { REMOVED, RENAMED, REPLACED, CUT, BEGUN_ANEW, LAST };

static void
take_away(enum how how)
{
	char aside[300];

	snprintf(aside, sizeof aside, "%s.1", journal_path);
	if (how == REMOVED)
		expect_sys(unlink(journal_path));
	else if (how == CUT)
		expect_sys(truncate(journal_path, 128));
	else if (how == BEGUN_ANEW) {
		expect_sys(truncate(journal_path, 0));
		struct ipc_channel *out = writer("");
		for (int i = 0; i < 5; i++)
			say(out, "others");
		ipc_close(out);
	} else
		expect_sys(rename(journal_path, aside));
	if (how == REPLACED)
		expect(0, ipc_close(writer("")));
	unlink(aside);
}

static long
job_take_away(struct job *j)
{
	take_away((enum how)j->size);
	return 0;
}

static void
goes_away(enum how how, bool waiting)
{
	struct job j = { .delay = waiting ? 50 : 0, .size = how };
	struct ipc_channel *out, *in;

	new_journal();
	out = writer("");
	say(out, "one");
	in = reader("");
	if (waiting || how >= CUT)
		hear(in, "one");
	expect(0, ipc_close(out));
	job_start(&j, job_take_away);
	if (!waiting)
		job_end(&j);
	if (!waiting && how < CUT)
		hear(in, "one");	/* all that it had comes first */
	for (int i = 0; i < 3; i++)
		expect_either(-ESTALE, -ESTALE, ipc_recv(in, buffer,
		    sizeof buffer, i < 2 ? SOON : 0));
	if (waiting)
		job_end(&j);
	expect(0, ipc_close(in));
	if (how >= REPLACED)
		remove_journal();
}

START_TEST(a_journal_that_goes_away_is_told)
{
	goes_away((enum how)_i, false);
}
END_TEST

START_TEST(a_journal_that_goes_away_wakes_its_reader)
{
	goes_away((enum how)_i, true);
}
END_TEST

START_TEST(a_writer_whose_file_was_changed_does_not_go_on)
{
	struct ipc_channel *out;

	new_journal();
	out = writer("");
	say(out, "one");
	expect_sys(truncate(journal_path, 130));
	expect(-ESTALE, ipc_send(out, "two", 3, 0));
	expect(0, ipc_close(out));
	out = writer("");
	say(out, "three");
	expect(0, ipc_close(out));
	remove_journal();
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("journal");
	tc = tcase_open("readers", 30);
	tcase_add_test(tc, readers_begin_at_the_start_or_the_end);
	tcase_add_test(tc, the_end_of_a_journal_that_is_not_followed);
	tcase_add_test(tc, a_position_is_kept_by_name);
	tcase_add_test(tc, one_reader_of_a_name_and_one_writer);
	tcase_add_test(tc, positions_that_are_of_no_use);
	tcase_add_test(tc, unlinking_takes_the_positions_along);
	tcase_add_test(tc, a_reader_is_woken);
	tcase_add_test(tc, a_reader_without_inotify_looks_now_and_then);
	tcase_add_test(tc, every_reader_hears_everything);
	tc = tcase_open("limits", 30);
	tcase_add_test(tc, a_full_disk_takes_all_of_a_message_or_nothing);
	tcase_add_test(tc, a_limit_on_the_size_of_files_is_an_error);
	tcase_add_test(tc, a_capacity_bounds_the_file);
	tcase_add_test(tc, a_message_longer_than_its_reader_takes_stays);
	tcase_add_test(tc, with_sync_it_is_on_disk_before_send_returns);
	tcase_add_test(tc, what_a_side_can_not_honour_is_refused);
	tc = tcase_open("gone", 30);
	tcase_add_loop_test(tc, a_journal_that_goes_away_is_told, 0, LAST);
	tcase_add_loop_test(tc, a_journal_that_goes_away_wakes_its_reader, 0,
	    LAST);
	tcase_add_test(tc, a_writer_whose_file_was_changed_does_not_go_on);
	return suite_close();
}
