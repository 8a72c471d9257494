/* SPDX-License-Identifier: ISC */
/*
 * Memory that is full, and memory that is not what it should be: a tiny
 * /dev/shm and a tiny disk for the rings that lie there, and files and segments
 * under a ring's name that are cut short, damaged, or something else.  Each is
 * an error that says what is wrong; none is a signal, and what was sent before
 * arrives.
 *
 * The small file systems want a mount namespace: root's.
 */
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "limits.h"

#define ROOM		"size=96k,mode=1777"
#define IN_A_LINE	50
#define SMALL		400
#define DENIALS		10000	/* asked so often, a ring looks for memory */

static char disk[128], filler[160], name[256], file[256];
static char data[MIB];

/* Those whose memory has a place that a test can get at. */
static const struct row {
	const char	*scheme;
	enum ipc_way	 way;
} rows[] = {
	{ "posixshm", IPC_WAY_OPEN }, { "mmap", IPC_WAY_OPEN },
	{ "posixshm", IPC_WAY_PAIR }, { "mmap", IPC_WAY_PAIR }
};
#define ROWS		((int)(sizeof rows / sizeof *rows))
#define OPENED		2

static void
begin_row(int i)
{
	here.scheme = rows[i].scheme;
	here.way = rows[i].way;
}

/*
 * Small file systems
 */

static bool
may_mount(void)
{
	if (left_private())
		return true;
	skip_loudly("a full file system: no mount namespace");
	return false;
}

/* Where this mechanism has its memory. */
static void
mount_small(void)
{
	bool shm = strstr(here.scheme, "shm") != NULL;

	snprintf(disk, sizeof disk, "%s", shm ? "/dev/shm" : path_new());
	if (!shm)
		expect_sys(mkdir(disk, 0777));
	expect_sys(mount("tmpfs", disk, "tmpfs", 0, ROOM));
	snprintf(filler, sizeof filler, "%s/filler", disk);
	if (shm)
		snprintf(name, sizeof name, "%s:%s", here.scheme,
		    here.way == IPC_WAY_PAIR ? "" : "/ring");
	else
		snprintf(name, sizeof name, "%s:%s/ring", here.scheme, disk);
}

static void
unmount_small(void)
{
	expect_sys(umount(disk));
	if (strcmp(disk, "/dev/shm") != 0)
		expect_sys(rmdir(disk));
}

/* Takes all but so many bytes of it. */
static void
fill_disk(off_t left)
{
	int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	off_t size = 0;

	expect_sys(fd);
	while (posix_fallocate(fd, size, 4 * KIB) == 0)
		size += 4 * KIB;
	expect_true(size > left);
	expect_sys(ftruncate(fd, size - left));
	close(fd);
}

static void
says_so(void)
{
	if (strstr(ipc_errmsg(), here.scheme) == NULL ||
	    strstr(ipc_errmsg(), "no memory") == NULL)
		fail_with("%s: not clear: %s", where(), ipc_errmsg());
}

static int
make_ends(struct ipc_channel *ch[2])
{
	int rc;

	if (here.way == IPC_WAY_PAIR)
		return ipc_pair(ch, name, IPC_RECV);
	rc = ipc_open(&ch[0], name, IPC_RECV | IPC_CREATE);
	if (rc == 0 && (rc = ipc_open(&ch[1], name, IPC_SEND)) < 0)
		ipc_close(ch[0]);
	return rc;
}

static void
remove_it(void)
{
	if (here.way == IPC_WAY_OPEN)
		expect(0, ipc_unlink(name));
}

START_TEST(nothing_is_made_where_it_is_full)
{
	struct ipc_channel *ch[2];

	begin_row(_i);
	if (!may_mount())
		return;
	mount_small();
	fill_disk(0);
	expect(-ENOSPC, make_ends(ch));
	says_so();
	if (here.way == IPC_WAY_OPEN)
		expect(-ENOENT, ipc_open(ch, name, IPC_SEND));
	expect_sys(unlink(filler));
	expect(0, make_ends(ch));
	carry(ch[1], ch[0], SMALL);
	close_ends(ch);
	remove_it();
	unmount_small();
}
END_TEST

/* What fits goes on; what does not is told, and is no end. */
START_TEST(a_ring_that_can_not_grow_tells_and_goes_on)
{
	struct ipc_channel *ch[2];
	int rc, n = 0;

	begin_row(_i);
	if (!may_mount())
		return;
	mount_small();
	fill_disk(16 * KIB);
	expect(0, make_ends(ch));
	expect(-ENOSPC, ipc_send(ch[1], data, sizeof data / 4, SOON));
	says_so();
	ipc_abandon(ch[1]);
	do {
		pattern_fill(data, SMALL, (unsigned)n);
		rc = ipc_send(ch[1], data, SMALL, 0);
		n += rc == 0;
	} while (rc == 0);
	expect_either(-EAGAIN, -ENOSPC, rc);
	expect_true(n > 0);
	for (int i = 0; i < n; i++) {
		expect(SMALL, ipc_recv(ch[0], data, sizeof data, SOON));
		expect_true(pattern_is(data, SMALL, (unsigned)i));
	}
	expect(-EAGAIN, ipc_recv(ch[0], data, sizeof data, 0));
	expect_sys(unlink(filler));
	for (int i = 0; (rc = ipc_send(ch[1], data, 32 * KIB, 0)) < 0; i++) {
		expect(-ENOSPC, rc);
		expect_true(i < DENIALS);
	}
	expect(32 * KIB, ipc_recv(ch[0], data, sizeof data, SOON));
	close_ends(ch);
	remove_it();
	unmount_small();
}
END_TEST

/* A drained ring has given its memory back when its receiver slept, and others
 * have taken it: that is told, loses nothing, and passes. */
START_TEST(a_ring_that_gets_no_memory_again_tells_and_goes_on)
{
	struct ipc_channel *ch[2];
	int rc, sent = 0, got = 0;

	begin_row(_i);
	if (!may_mount())
		return;
	mount_small();
	expect(0, make_ends(ch));
	while (ipc_send(ch[1], data, IN_A_LINE, 0) == 0)
		;
	while (ipc_recv(ch[0], data, sizeof data, 0) >= 0)
		;
	for (int i = 0; i < 10; i++)
		expect(-ETIMEDOUT, ipc_recv(ch[0], data, sizeof data, 50));
	fill_disk(0);
	for (; (rc = ipc_send(ch[1], &sent, sizeof sent, 0)) == 0; sent++)
		;
	expect(-ENOSPC, rc);
	expect_sys(unlink(filler));
	for (int i = 0; i < 5000; i++, got++) {
		sent += ipc_send(ch[1], &sent, sizeof sent, SOON) == 0;
		expect((long)sizeof rc, ipc_recv(ch[0], &rc, sizeof rc, SOON));
		expect(got, rc);
	}
	expect_true(sent >= 5000);
	close_ends(ch);
	unmount_small();
}
END_TEST

/*
 * What is no ring
 */

static void
name_ring(int i)
{
	bool shm;

	begin_row(i);
	shm = strcmp(here.scheme, "posixshm") == 0;
	snprintf(name, sizeof name, "%s", address(""));
	snprintf(file, sizeof file, "%s%s", shm ? "/dev/shm" : "",
	    strchr(name, ':') + 1);
}

static void
make_ring(void)
{
	struct ipc_channel *ch[2];

	expect(0, make_ends(ch));
	carry(ch[1], ch[0], SMALL);
	close_ends(ch);
}

/* Cut short, or of another kind: either way with its name. */
static void
refused(void)
{
	struct ipc_channel *ch;

	for (int dir = IPC_RECV; dir <= IPC_SEND; dir++) {
		expect_either(-EPROTO, -EBADMSG, ipc_open(&ch, name, dir));
		if (strstr(ipc_errmsg(), name) == NULL)
			fail_with("%s: not clear: %s", where(), ipc_errmsg());
		expect_either(-EPROTO, -EBADMSG, ipc_open(&ch, name,
		    dir | IPC_CREATE));
	}
}

/* Magic, version and layout: each word of the first line, changed. */
START_TEST(another_layout_is_refused)
{
	uint32_t was, now;
	int fd;

	name_ring(_i);
	make_ring();
	expect_sys(fd = open(file, O_RDWR | O_CLOEXEC));
	for (int at = 0; at < 40; at += 4) {
		expect(4, pread(fd, &was, 4, at));
		now = was ^ 0x01010101;
		expect(4, pwrite(fd, &now, 4, at));
		refused();
		expect(4, pwrite(fd, &was, 4, at));
	}
	close(fd);
	make_ring();
	remove_it();
}
END_TEST

START_TEST(another_size_is_refused)
{
	static const off_t sizes[] = { 0, 1, 63, 100, 4096, MIB };
	struct stat st;
	int fd;

	name_ring(_i);
	make_ring();
	expect_sys(fd = open(file, O_RDWR | O_CLOEXEC));
	expect_sys(fstat(fd, &st));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		expect_sys(ftruncate(fd, sizes[i]));
		refused();
	}
	expect_sys(ftruncate(fd, st.st_size));
	refused();
	close(fd);
	/* It is no ring of ours that could be removed by its address. */
	expect(-EPROTO, ipc_unlink(name));
	expect_sys(unlink(file));
	make_ring();
	remove_it();
}
END_TEST

/* Rubbish of the right size, and what is no file at all. */
START_TEST(something_else_is_refused)
{
	struct ipc_channel *ch;
	int fd;

	name_ring(_i);
	expect_sys(fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	pattern_fill(data, sizeof data, 3);
	for (int i = 0; i < 6; i++)
		expect(sizeof data, write(fd, data, sizeof data));
	close(fd);
	refused();
	expect_sys(unlink(file));
	expect_sys(mkdir(file, 0700));
	for (int dir = IPC_RECV; dir <= IPC_SEND; dir++)
		expect_true(ipc_open(&ch, name, dir | IPC_CREATE) < 0);
	expect_sys(rmdir(file));
}
END_TEST

/* As one leaves it who is killed while it makes a ring that others may use. */
START_TEST(a_half_made_bell_is_finished)
{
	static const char *const suffix[] = { "r", "s" };
	struct ipc_channel *ch[2];
	char bell[300];
	struct stat st;

	name_ring(_i);
	strlcat(name, "?mode=0660", sizeof name);
	for (int i = 0; i < 2; i++) {
		snprintf(bell, sizeof bell, "%.*s.ipc%s",
		    (int)strcspn(file, "?"), file, suffix[i]);
		expect_sys(mkfifo(bell, 0600));
		expect(0, make_ends(ch));
		expect_sys(stat(bell, &st));
		expect(0660, st.st_mode & 07777);
		close_ends(ch);
		remove_it();
	}
}
END_TEST

/* A segment of somebody's under a bare key: too small, empty, rubbish. */
START_TEST(a_foreign_segment_is_refused)
{
	static const size_t sizes[] = { 1, 100, 4096, 6 * MIB };
	key_t key = 0x1bc10000 + (int)getpid() % 0xffff;
	unsigned char *base;
	int id;

	here.scheme = "sysvshm";
	here.way = IPC_WAY_OPEN;
	snprintf(name, sizeof name, "sysvshm:0x%x", (unsigned)key);
	for (int i = 0; i < 8; i++) {
		id = shmget(key, sizes[i / 2], IPC_CREAT | IPC_EXCL | 0600);
		expect_sys(id);
		base = shmat(id, NULL, 0);
		expect_true(base != (void *)-1);
		if (i % 2)
			pattern_fill(base, sizes[i / 2] < sizeof data ?
			    sizes[i / 2] : sizeof data, 5);
		expect_sys(shmdt(base));
		refused();
		expect_sys(shmctl(id, IPC_RMID, NULL));
	}
}
END_TEST

/*
 * Limits on memory of one kind, which memory of another kind does not have
 */

static const struct limit {
	const char	*file, *few, *usual, *says;
	int		 rc;
} limits[] = {
	{ "/proc/sys/kernel/shmmax", "1000", "18446744073692774399",
	    "1000 of a segment (kernel.shmmax)", -EINVAL },
	{ "/proc/sys/kernel/shmall", "1", "18446744073692774399",
	    "kernel.shmall (1 pages)", -ENOSPC },
	{ "/proc/sys/kernel/shmmni", "0", "4096", "kernel.shmmni (0)",
	    -ENOSPC }
};

START_TEST(a_limit_of_segments_is_named_and_chosen_around)
{
	const struct limit *l = &limits[_i];
	struct ipc_channel *ch[2];

	here.scheme = "sysvshm";
	here.way = IPC_WAY_OPEN;
	snprintf(name, sizeof name, "shm:check-full-%d", (int)getpid());
	if (!set_limit(l->file, l->few)) {
		skip_loudly("System V limits: no IPC namespace");
		return;
	}
	expect(l->rc, ipc_pair(ch, "sysvshm:", IPC_RECV));
	says(l->says);
	expect(0, ipc_open(&ch[0], name, IPC_RECV | IPC_CREATE));
	ck_assert_str_eq(info_of(ch[0]).scheme, "posixshm");
	expect(0, ipc_open(&ch[1], name, IPC_SEND));
	carry(ch[1], ch[0], SMALL);
	close_ends(ch);
	expect(0, ipc_unlink(name));
	expect_true(set_limit(l->file, l->usual));
}
END_TEST

START_TEST(a_limit_of_file_sizes_is_chosen_around)
{
	static const char *const addresses[] = { "shm:", "local:" };
	struct ipc_channel *ch[2];
	struct rlimit old;

	here.scheme = addresses[_i];
	here.way = IPC_WAY_PAIR;
	expect_sys(getrlimit(RLIMIT_FSIZE, &old));
	limit_to(RLIMIT_FSIZE, 100000);
	expect(0, ipc_pair(ch, addresses[_i], IPC_RECV));
	ck_assert_str_ne(info_of(ch[0]).scheme, "memfd");
	carry(ch[1], ch[0], SMALL);
	close_ends(ch);
	limit_to(RLIMIT_FSIZE, old.rlim_cur);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("full");
	tc = tcase_open("full", 60);
	tcase_add_loop_test(tc, nothing_is_made_where_it_is_full, 0, ROWS);
	tcase_add_loop_test(tc, a_ring_that_can_not_grow_tells_and_goes_on, 0,
	    ROWS);
	tcase_add_loop_test(tc,
	    a_ring_that_gets_no_memory_again_tells_and_goes_on, OPENED, ROWS);
	tc = tcase_open("wrong", 60);
	tcase_add_loop_test(tc, another_layout_is_refused, 0, OPENED);
	tcase_add_loop_test(tc, another_size_is_refused, 0, OPENED);
	tcase_add_loop_test(tc, something_else_is_refused, 0, OPENED);
	tcase_add_loop_test(tc, a_half_made_bell_is_finished, 0, OPENED);
	tcase_add_test(tc, a_foreign_segment_is_refused);
	tc = tcase_open("limits", 60);
	tcase_add_loop_test(tc, a_limit_of_segments_is_named_and_chosen_around,
	    0, (int)(sizeof limits / sizeof *limits));
	tcase_add_loop_test(tc, a_limit_of_file_sizes_is_chosen_around, 0, 2);
	return suite_close();
}
