/* SPDX-License-Identifier: ISC */
/*
 * Writers and readers of journals that are killed on any line, again and
 * again: what a send had returned for is read, whole, in order and once, and
 * nothing is in the way of the next one.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#include "journals.h"

#define ROUNDS	300
#define LONGEST	(40 * KIB)

/* Written by those who are killed, read by the one who stays. */
struct seen {
	_Atomic uint64_t begun, done;
};

static struct seen *seen;
static unsigned char buffer[128 * KIB], expected[128 * KIB];

static struct seen *
shared(void)
{
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(seen != MAP_FAILED);
	return seen;
}

/* Message number n: its number, and a length and bytes that follow from it;
 * some are longer than what a reader reads at once. */
static size_t
message(unsigned char *p, uint64_t n)
{
	size_t size = sizeof n + (size_t)(n * 2654435761u % 997);

	if (n % 16 == 0)
		size = LONGEST + size;
	memcpy(p, &n, sizeof n);
	pattern_fill(p + sizeof n, size - sizeof n, (unsigned)n);
	return size;
}

static void
expect_message(const void *data, ssize_t size, uint64_t n)
{
	expect((long)message(expected, n), size);
	expect(0, memcmp(data, expected, (size_t)size));
}

static void
sleep_us(unsigned us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* Often at once, mostly soon, sometimes late. */
static void
kill_sometime(pid_t pid)
{
	sleep_us(arc4random_uniform(1u << arc4random_uniform(14)));
	peer_kill(pid);
}

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/*
 * The writer is killed
 */

static _Noreturn void
write_until_killed(uint64_t n)
{
	struct ipc_channel *out;
	size_t size;

	expect(0, ipc_open(&out, journal(""), IPC_SEND | IPC_CREATE));
	for (;; n++) {
		size = message(buffer, n);
		expect(0, ipc_send(out, buffer, size, 0));
		atomic_store(&seen->done, n + 1);
	}
}

/* All that there is, from number n on; returns the next number. */
static uint64_t
read_on(struct ipc_channel *in, uint64_t n)
{
	ssize_t size;

	while ((size = ipc_recv(in, buffer, sizeof buffer, 0)) >= 0)
		expect_message(buffer, size, n++);
	expect(-EAGAIN, size);
	return n;
}

/* Sees every tail torn and cut while it reads, and goes on until it has read
 * as many as it is told. */
static _Noreturn void
follow_all(void)
{
	struct ipc_channel *in = reader("");
	uint64_t n = 0, last;
	ssize_t size;

	do {
		size = ipc_recv(in, buffer, sizeof buffer, 20);
		if (size >= 0)
			expect_message(buffer, size, n++);
		else
			expect(-ETIMEDOUT, size);
		last = atomic_load(&seen->begun);
	} while (last == 0 || n < last);
	ipc_close(in);
	_exit(0);
}

START_TEST(a_killed_writer_loses_nothing_that_was_sent)
{
	struct ipc_channel *in, *follower;
	uint64_t read = 0, followed = 0, torn = 0;
	struct stat st;
	pid_t pid, other;

	new_journal();
	shared();
	expect(0, ipc_open(&follower, journal(""), IPC_RECV | IPC_CREATE));
	if ((other = forked()) == 0)
		follow_all();
	for (int i = 0; i < rounds(ROUNDS); i++) {
		if ((pid = forked()) == 0)
			write_until_killed(read);
		/* One reads along, while it is written. */
		for (int k = 0; k < 3; k++)
			followed = read_on(follower, followed);
		kill_sometime(pid);
		followed = read_on(follower, followed);
		expect_true(followed >= atomic_load(&seen->done));
		expect_true(followed <= atomic_load(&seen->done) + 1);
		in = reader("follow=me");
		read = read_on(in, read);
		expect((long long)followed, read);
		expect_sys(stat(journal_path, &st));
		torn += info_of(in).pending > 0;
		expect(0, ipc_close(in));
		atomic_store(&seen->done, read);
	}
	atomic_store(&seen->begun, read);
	peer_done(other);
	in = reader("follow=0");
	for (uint64_t n = 0; n < read; n++)
		expect_message(buffer, ipc_recv(in, buffer, sizeof buffer,
		    SOON), n);
	expect(-EPIPE, ipc_recv(in, buffer, sizeof buffer, SOON));
	fprintf(stderr, "%llu messages, %llu torn tails\n",
	    (unsigned long long)read, (unsigned long long)torn);
	close_ends((struct ipc_channel *[2]){ in, follower });
	remove_journal();
	munmap(seen, sizeof *seen);
}
END_TEST

/*
 * A reader is killed
 */

/* Looks at a message, does something with it, and only then takes it. */
static _Noreturn void
read_until_killed(void)
{
	struct ipc_channel *in;
	const void *data;
	uint64_t n;
	ssize_t size;

	expect(0, ipc_open(&in, journal("follow=me"), IPC_RECV));
	for (;;) {
		expect_ok(size = ipc_peek(in, &data, -1));
		memcpy(&n, data, sizeof n);
		expect_message(data, size, n);
		/* The last one again, if it died before it took it; never
		 * one left out. */
		expect_true(n == atomic_load(&seen->done) ||
		    n + 1 == atomic_load(&seen->done));
		atomic_store(&seen->done, n + 1);
		expect(0, ipc_release(in));
		atomic_store(&seen->begun, n + 1);
	}
}

START_TEST(a_killed_reader_goes_on_where_it_stopped)
{
	struct ipc_channel *out;
	uint64_t n = 0;
	pid_t pid;

	new_journal();
	shared();
	out = writer("");
	for (int i = 0; i < rounds(ROUNDS); i++) {
		if ((pid = forked()) == 0)
			read_until_killed();
		for (int k = 0; k < 20; k++, n++)
			expect(0, ipc_send(out, buffer, message(buffer, n),
			    0));
		kill_sometime(pid);
		expect_true(atomic_load(&seen->done) -
		    atomic_load(&seen->begun) <= 1);
		atomic_store(&seen->begun, atomic_load(&seen->done));
	}
	expect_true(atomic_load(&seen->done) > 0);
	expect(0, ipc_close(out));
	remove_journal();
	munmap(seen, sizeof *seen);
}
END_TEST

/*
 * An end of a pair is killed
 */

static _Noreturn void
send_until_killed(struct ipc_channel *ch)
{
	size_t size;

	for (uint64_t n = 0;; n++) {
		size = message(buffer, n);
		expect(0, ipc_send(ch, buffer, size, -1));
		atomic_store(&seen->done, n + 1);
	}
}

START_TEST(a_killed_end_of_a_pair_loses_nothing_that_was_sent)
{
	struct ipc_channel *ch[2];
	ssize_t size;
	uint64_t n;
	pid_t pid;

	here.scheme = "file";
	shared();
	for (int i = 0; i < rounds(ROUNDS); i++) {
		atomic_store(&seen->done, 0);
		expect(0, ipc_pair(ch, i % 2 ? "file:?capacity=16K" : "file:",
		    0));
		if ((pid = forked()) == 0) {
			ipc_close(ch[0]);
			send_until_killed(ch[1]);
		}
		expect(0, ipc_close(ch[1]));
		for (n = 0; n < (uint64_t)(i % 7); n++)
			expect_message(buffer, ipc_recv(ch[0], buffer,
			    sizeof buffer, SOON), n);
		kill_sometime(pid);
		while ((size = ipc_recv(ch[0], buffer, sizeof buffer,
		    SOON)) >= 0)
			expect_message(buffer, size, n++);
		expect(-ECONNRESET, size);
		expect_true(n - atomic_load(&seen->done) <= 1);
		expect(0, ipc_close(ch[0]));
	}
	munmap(seen, sizeof *seen);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("journal kill");
	tc = tcase_open("journal", 290);
	tcase_add_test(tc, a_killed_writer_loses_nothing_that_was_sent);
	tcase_add_test(tc, a_killed_reader_goes_on_where_it_stopped);
	tc = tcase_open("pair", 290);
	tcase_add_test(tc,
	    a_killed_end_of_a_pair_loses_nothing_that_was_sent);
	return suite_close();
}
