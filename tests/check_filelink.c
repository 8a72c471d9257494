/* SPDX-License-Identifier: ISC */
/* WRAP: openat */
/*
 * Pairs over files, from inside: what goes round, what an end makes of the
 * other one's lies, and how files are made where the file system can do less.
 */
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <stdarg.h>

#include "support.h"
#include "backend.h"
#include "filelink.h"
#include "filemake.h"
#include "journal.h"

extern const struct ipc_backend ipc__backend_file;
#define FILE_BE		(&ipc__backend_file)
#define CAPACITY	8192

static struct ipc__half *rx, *tx;
static unsigned char buffer[CAPACITY], data[CAPACITY];
static bool no_tmpfile;

int __wrap_openat(int dir, const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_openat(dir, path, flags, mode);
}

static struct ipc__half *
half_new(int dir)
{
	struct ipc__half *h = calloc(1, sizeof *h + FILE_BE->size);

	expect_true(h != NULL);
	h->be = FILE_BE;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static void
half_free(struct ipc__half *h)
{
	FILE_BE->close(h, true);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

static struct ipc__filelink *
link_of(struct ipc__half *h)
{
	return IPC__STATE(h, struct ipc__filelink);
}

static void
pair_up(const char *text)
{
	struct ipc__address a;

	here.scheme = "file";
	expect(0, ipc__address_parse(&a, text, IPC_WAY_PAIR));
	rx = half_new(IPC_RECV);
	tx = half_new(IPC_SEND);
	expect(0, FILE_BE->pair(rx, tx, &a));
	ipc__address_free(&a);
}

static void
let_go(void)
{
	half_free(rx);
	half_free(tx);
}

static ssize_t
put(size_t size, unsigned seed, unsigned flags)
{
	struct ipc__aside aside = { .flags = flags };
	struct iovec iov[2] = { { data, size / 3 },
	    { data + size / 3, size - size / 3 } };

	pattern_fill(data, size, seed);
	return FILE_BE->send(tx, iov, 2, &aside);
}

static ssize_t
get(unsigned *flags)
{
	struct ipc__aside aside = { 0 };
	struct iovec iov = { buffer, sizeof buffer };
	ssize_t n = FILE_BE->recv(rx, &iov, 1, &aside);

	*flags = aside.flags;
	return n;
}

START_TEST(records_go_round_and_keep_their_flags)
{
	unsigned flags, want;
	size_t size = 0;

	pair_up("file:?capacity=8K");
	expect(CAPACITY, tx->capacity);
	for (unsigned i = 0; i < 5000; i++) {
		size = (size + 377) % (tx->record + 1);
		want = i % 4 == 0 ? IPC__MORE : i % 4 == 1 ? IPC__CONTROL : 0;
		expect((long)size, put(size, i, want));
		expect((long)size, get(&flags));
		expect(want, flags);
		expect_true(pattern_is(buffer, size, i));
		expect(-EAGAIN, get(&flags));
	}
	expect(-EMSGSIZE, put(tx->record + 1, 0, 0));
	expect_true(lseek(tx->fd, 0, SEEK_END) <= CAPACITY);
	let_go();
}
END_TEST

/* What was read, and nothing else, makes room: at once, and told. */
START_TEST(space_is_given_back_when_a_record_is_taken)
{
	struct pollfd room;
	const void *p;
	unsigned flags, sent = 0, got = 0;

	pair_up("file:?capacity=8K");
	while (put(1000, sent, 0) == 1000)
		sent++;
	expect(8, sent);
	expect(1, FILE_BE->watch(tx, IPC_SEND, &room));
	expect(0, FILE_BE->arm(tx, IPC_SEND));
	for (int i = 0; i < 100; i++) {
		expect(1000, FILE_BE->peek(rx, &p, &flags));
		expect(1000, FILE_BE->peek(rx, &p, &flags));
		expect(-EAGAIN, put(1000, sent, 0));
		expect(0, ready(room.fd, room.events, 0));
		expect_true(pattern_is(p, 1000, got++));
		FILE_BE->release(rx, 0);
		expect_true(ready(room.fd, room.events, 0) != 0);
		expect(1000, put(1000, sent++, 0));
	}
	while (got < sent) {
		expect(1000, get(&flags));
		expect_true(pattern_is(buffer, 1000, got++));
	}
	let_go();
}
END_TEST

START_TEST(the_bell_rings_for_what_was_not_seen)
{
	struct pollfd news;
	unsigned flags;

	pair_up("file:");
	expect(1, FILE_BE->watch(rx, IPC_RECV, &news));
	for (int i = 0; i < 100; i++) {
		expect(0, FILE_BE->arm(rx, IPC_RECV));
		expect(0, ready(news.fd, news.events, 0));
		for (int k = 0; k < 3; k++)
			expect(10, put(10, (unsigned)k, 0));
		expect_true(ready(news.fd, news.events, 0) != 0);
		expect(10, get(&flags));
		expect(1, FILE_BE->arm(rx, IPC_RECV));
		expect(10, get(&flags));
		expect(10, get(&flags));
	}
	let_go();
}
END_TEST

/*
 * Lies
 */

static void
is_broken(const char *why)
{
	unsigned flags;

	for (int i = 0; i < 3; i++) {
		expect(-EBADMSG, get(&flags));
		expect_true(strstr(ipc_errmsg(), why) != NULL);
		expect(1, FILE_BE->arm(rx, IPC_RECV));
	}
	let_go();
}

static void
claim(uint64_t bytes)
{
	expect(8, write(link_of(tx)->news, &bytes, sizeof bytes));
}

/* A record that is right in itself, where the next one belongs. */
static void
forge(uint32_t length)
{
	struct ipc__record r = { .length = length };
	unsigned char p[IPC__JOURNAL_RECORD];

	ipc__record_put(p, link_of(tx)->id, link_of(tx)->at, &r);
	expect(sizeof p, pwrite(tx->fd, p, sizeof p,
	    (off_t)(link_of(tx)->at % CAPACITY)));
}

START_TEST(a_sender_that_lies_ends_its_own_link)
{
	pair_up("file:?capacity=8K");
	claim(CAPACITY + 1);
	is_broken("more than there is space for");
	pair_up("file:?capacity=8K");
	claim(UINT64_MAX - 1);
	is_broken("more than there is space for");
	pair_up("file:?capacity=8K");
	claim(IPC__JOURNAL_RECORD - 1);
	is_broken("less than a record");
	pair_up("file:?capacity=8K");
	claim(100);
	is_broken("the file was cut");
	pair_up("file:?capacity=8K");
	expect(50, put(50, 1, 0));
	expect_sys(ftruncate(tx->fd, 20));
	is_broken("the file was cut");
	pair_up("file:?capacity=8K");
	expect(50, put(50, 1, 0));
	expect(1, pwrite(tx->fd, "x", 1, 3));
	is_broken("no record");
	pair_up("file:?capacity=8K");
	forge((uint32_t)rx->record + 1);
	claim(CAPACITY);
	is_broken("longer than what was sent");
	pair_up("file:?capacity=8K");
	forge(100);
	claim(IPC__JOURNAL_RECORD + 99);
	is_broken("longer than what was sent");
}
END_TEST

START_TEST(a_receiver_that_lies_ends_its_own_link)
{
	uint64_t much = CAPACITY;

	pair_up("file:?capacity=8K");
	expect(50, put(50, 1, 0));
	expect(8, write(link_of(rx)->room, &much, sizeof much));
	while (put(1000, 1, 0) == 1000)
		continue;
	expect(-EBADMSG, put(1000, 1, 0));
	expect(1, FILE_BE->arm(tx, IPC_SEND));
	let_go();
}
END_TEST

/*
 * Handing over
 */

static int
take(int dir, struct ipc__ticket *t)
{
	struct ipc__half *h = half_new(dir);
	int rc = FILE_BE->take(h, t);

	if (rc == 0) {
		half_free(rx);
		rx = h;
	} else {
		expect(-1, h->fd);
		half_free(h);
	}
	for (unsigned i = 0; i < t->fd_count; i++)
		if (t->fds[i] != -1)
			close(t->fds[i]);
	return rc;
}

static struct ipc__ticket
ticket(void)
{
	struct ipc__ticket t = { 0 };

	expect(0, FILE_BE->give(rx, &t));
	for (unsigned i = 0; i < t.fd_count; i++)
		expect_sys(t.fds[i] = fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0));
	return t;
}

START_TEST(a_ticket_makes_an_end)
{
	struct ipc__ticket t;
	unsigned flags;

	pair_up("file:?capacity=8K");
	expect(10, put(10, 1, 0));
	expect(10, get(&flags));
	expect(20, put(20, 2, 0));
	t = ticket();
	expect(0, take(IPC_RECV, &t));
	expect(CAPACITY, rx->capacity);
	expect((long)tx->record, rx->record);
	expect(20, get(&flags));
	expect_true(pattern_is(buffer, 20, 2));
	let_go();
}
END_TEST

START_TEST(a_ticket_that_lies_makes_none)
{
	struct ipc__ticket t;
	int fd;

	pair_up("file:?capacity=8K");
	for (int i = 0; i < 5; i++) {
		t = ticket();
		if (i == 0)
			t.size--;
		else if (i == 1)
			memset(t.bytes + 16, 0xff, 8);	/* capacity */
		else if (i == 2)
			memset(t.bytes + 32, 0xff, 8);	/* more than that */
		else if (i == 3) {
			expect_sys(fd = open("/dev/null", O_RDONLY));
			close(t.fds[0]);
			t.fds[0] = fd;
		} else {
			expect_sys(fd = eventfd(0, EFD_CLOEXEC));
			close(t.fds[1]);	/* one that would wait */
			t.fds[1] = fd;
		}
		expect(-EBADMSG, take(IPC_RECV, &t));
	}
	t = ticket();
	expect(-EBADMSG, take(IPC_SEND, &t));	/* it is open for reading */
	let_go();
}
END_TEST

/*
 * Where files can not be without a name
 */

START_TEST(files_that_must_have_a_name_lose_it)
{
	struct ipc_channel *ch[2], *none;
	char text[300];
	struct stat st;
	const char *path;

	here.scheme = "file";
	no_tmpfile = true;
	expect(0, ipc_pair(ch, "file:", 0));
	carry(ch[0], ch[1], 100000);
	close_ends(ch);
	path = path_new();
	snprintf(text, sizeof text, "file:%s", path);
	expect(0, ipc_pair(ch, text, 0));
	expect(-1, lstat(path, &st));
	close_ends(ch);
	expect(0, ipc_open(&ch[0], text, IPC_SEND | IPC_CREATE));
	expect(0, ipc_open(&ch[1], text, IPC_RECV));
	carry(ch[0], ch[1], 1000);
	expect_sys(stat(path, &st));
	expect(0600, st.st_mode & 07777);
	expect(-EEXIST, ipc_open(&none, text, IPC_RECV | IPC_CREATE |
	    IPC_EXCLUSIVE));
	close_ends(ch);
	expect(0, ipc_unlink(text));
}
END_TEST

START_TEST(a_pair_where_something_lies_is_refused)
{
	struct ipc_channel *ch[2];
	const char *path = path_new();
	char text[300];

	here.scheme = "file";
	snprintf(text, sizeof text, "file:%s", path);
	expect_sys(mkdir(path, 0700));
	expect(-EEXIST, ipc_pair(ch, text, 0));
	snprintf(text, sizeof text, "file:%s/no/where", path);
	expect(-ENOENT, ipc_pair(ch, text, 0));
	expect_sys(rmdir(path));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("file link");
	tc = tcase_open("link", 20);
	tcase_add_test(tc, records_go_round_and_keep_their_flags);
	tcase_add_test(tc, space_is_given_back_when_a_record_is_taken);
	tcase_add_test(tc, the_bell_rings_for_what_was_not_seen);
	tc = tcase_open("lies", 20);
	tcase_add_test(tc, a_sender_that_lies_ends_its_own_link);
	tcase_add_test(tc, a_receiver_that_lies_ends_its_own_link);
	tc = tcase_open("handing over", 20);
	tcase_add_test(tc, a_ticket_makes_an_end);
	tcase_add_test(tc, a_ticket_that_lies_makes_none);
	tc = tcase_open("names", 20);
	tcase_add_test(tc, files_that_must_have_a_name_lose_it);
	tcase_add_test(tc, a_pair_where_something_lies_is_refused);
	return suite_close();
}
