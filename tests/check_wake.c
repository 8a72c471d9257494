/* SPDX-License-Identifier: ISC */
/*
 * Sleeping and being woken, at random pauses: two processes pass messages to
 * and fro, or one sends more than there is room for, and each call that waits
 * ends because the other side did something, not because its time was up.
 *
 * What is counted is what ipc_stats() calls a sleep.  With
 * IPC_TEST_ROUNDS=10000 there are ten million over memfd, and fewer over the
 * others, whose rings are the same; IPC_TEST_TELL=1 tells how many there were.
 */
#include <sys/mman.h>
#include <stdatomic.h>

#include "support.h"

#define LOST		20000	/* ms after which nobody comes any more */
#define LOOK_EVERY	128	/* messages between looks at the counters */

/* What the two processes share: how often each has slept. */
struct sleepers {
	_Atomic uint64_t slept[2];
	uint64_t	 wanted;
};
static struct sleepers *sleepers;

/*
 * Pausing
 */

/* Mostly so short that the other side is just about to sleep. */
static void
pause_randomly(unsigned *seed)
{
	int r = rand_r(seed) % 256;
	volatile int n;

	if (r == 0)
		usleep((useconds_t)rand_r(seed) % 200);
	else if (r < 192)
		for (n = rand_r(seed) % (r < 160 ? 400 : 8000); n > 0; n--)
			continue;
}

/* One side in four looks at its descriptor, for a while. */
static bool
polls(uint32_t number)
{
	return number / 1024 % 4 == 3 && here.caps & IPC_CAP_FD;
}

static void
poll_for(struct ipc_channel *ch, int dir)
{
	short events;
	int fd = ipc_fd(ch, dir, &events);

	expect_ok(fd);
	if (ready(fd, events, LOST) == 0)
		fail_with("%s: a wake-up of the descriptor was lost", where());
}

static void
take(struct ipc_channel *ch, void *data, size_t size, uint32_t number)
{
	ssize_t n;

	if (polls(number)) {
		while ((n = ipc_recv(ch, data, size, 0)) == -EAGAIN)
			poll_for(ch, IPC_RECV);
	} else
		n = ipc_recv(ch, data, size, LOST);
	if (n == -ETIMEDOUT)
		fail_with("%s: a wake-up was lost at %u", where(), number);
	expect(size, n);
}

static void
give(struct ipc_channel *ch, const void *data, size_t size, uint32_t number)
{
	int rc;

	if (polls(number)) {
		while ((rc = ipc_send(ch, data, size, 0)) == -EAGAIN)
			poll_for(ch, IPC_SEND);
	} else
		rc = ipc_send(ch, data, size, LOST);
	if (rc == -ETIMEDOUT)
		fail_with("%s: a sender's wake-up was lost at %u", where(),
		    number);
	expect(0, rc);
}

/*
 * To and fro
 */

static void
count_sleeps(const struct ipc_channel *ch, int side)
{
	struct ipc_stats stats = { .struct_size = sizeof stats };

	expect(0, ipc_stats(ch, &stats));
	sleepers->slept[side] = stats.sleeps;
}

static uint64_t
all_sleeps(void)
{
	return sleepers->slept[0] + sleepers->slept[1];
}

static void
answer_all(struct ipc_channel *ch, void *unused)
{
	uint32_t number, want = 0;
	unsigned seed = 7;

	(void)unused;
	do {
		take(ch, &number, sizeof number, want);
		expect_true((number & 0x7fffffff) == want);
		pause_randomly(&seed);
		give(ch, &number, sizeof number, want);
		if (++want % LOOK_EVERY == 0)
			count_sleeps(ch, 1);
	} while (!(number >> 31));
	count_sleeps(ch, 1);
	expect(0, ipc_close(ch));
}

static void
ask_for_long(struct ipc_channel *ch)
{
	uint32_t number = 0, reply, sent;
	unsigned seed = 9;
	bool last = false;

	for (; !last; number++) {
		last = number % LOOK_EVERY == 0 &&
		    (number == UINT32_MAX / 4 ||
		    all_sleeps() >= sleepers->wanted);
		sent = number | (uint32_t)last << 31;
		give(ch, &sent, sizeof sent, number);
		pause_randomly(&seed);
		take(ch, &reply, sizeof reply, number);
		expect_true(reply == sent);
		if (number % LOOK_EVERY == 0)
			count_sleeps(ch, 0);
	}
}

static void
begin_sleeping(uint64_t wanted)
{
	sleepers = mmap(NULL, sizeof *sleepers, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(sleepers != MAP_FAILED);
	sleepers->wanted = wanted;
}

static void
end_sleeping(pid_t pid, const char *what)
{
	peer_done(pid);
	if (getenv("IPC_TEST_TELL") != NULL)
		fprintf(stderr, "%s: %llu sleeps, %s\n", where(),
		    (unsigned long long)all_sleeps(), what);
	munmap(sleepers, sizeof *sleepers);
}

/* How many where nothing is wrong with one ring in this kind of memory. */
static int
many(void)
{
	if (strcmp(here.scheme, "memfd") == 0)
		return rounds_up_to(20000, 10000000);
	return rounds_up_to(5000, here.caps & IPC_CAP_INPLACE ? 1000000 :
	    100000);
}

static void
to_and_fro(int i, const char *options, int part)
{
	struct ipc_channel *ch;
	pid_t pid;

	begin(i);
	begin_sleeping((uint64_t)(many() / part));
	ch = with_peer(i, options, 0, answer_all, NULL, &pid);
	ask_for_long(ch);
	count_sleeps(ch, 0);
	expect(0, ipc_close(ch));
	end_sleeping(pid, *options != '\0' ? options : "spinning first");
}

START_TEST(a_side_that_sleeps_at_once_is_woken)
{
	to_and_fro(_i, "wait=block", 1);
}
END_TEST

START_TEST(a_side_that_spins_first_is_woken)
{
	to_and_fro(_i, "", 10);
}
END_TEST

/*
 * One way, through little room: both sides sleep
 */

static void
take_all(struct ipc_channel *ch, void *unused)
{
	static char data[8192];
	uint32_t want = 0;
	unsigned seed = 11;
	ssize_t n;

	(void)unused;
	while ((n = ipc_recv(ch, data, sizeof data, LOST)) > 0) {
		expect_true(memcmp(data, &want, sizeof want) == 0);
		if (++want % 64 == 0)
			pause_randomly(&seed);
		if (want % LOOK_EVERY == 0)
			count_sleeps(ch, 1);
	}
	count_sleeps(ch, 1);
	expect(-EPIPE, n);
	expect(0, ipc_close(ch));
}

START_TEST(a_sender_without_room_is_woken)
{
	static char data[8192];
	struct ipc_channel *ch;
	unsigned seed = 13;
	uint32_t number = 0;
	pid_t pid;

	begin(_i);
	begin_sleeping((uint64_t)(many() / 10));
	ch = with_peer(_i, "capacity=16K&wait=block", 0, take_all, NULL, &pid);
	for (; all_sleeps() < sleepers->wanted; number++) {
		memcpy(data, &number, sizeof number);
		give(ch, data, 1000 + (size_t)rand_r(&seed) % 3000, number);
		if (number % 64 == 0)
			pause_randomly(&seed);
		if (number % LOOK_EVERY == 0)
			count_sleeps(ch, 0);
		expect_true(number < UINT32_MAX / 4);
	}
	count_sleeps(ch, 0);
	expect(0, ipc_close(ch));
	end_sleeping(pid, "little room");
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("wake");
	tc = tcase_open("wake", 60 + rounds_up_to(0, 3600));
	for_each_case(tc, a_side_that_sleeps_at_once_is_woken, PAIR, FORKS);
	for_each_case(tc, a_side_that_spins_first_is_woken, PAIR,
	    FORKS | IPC_CAP_INPLACE);
	for_each_case(tc, a_sender_without_room_is_woken, PAIR,
	    FORKS | IPC_CAP_INPLACE);
	return suite_close();
}
