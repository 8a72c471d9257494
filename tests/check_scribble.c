/* SPDX-License-Identifier: ISC */
/*
 * A hostile other side that writes random words all over the memory that it
 * shares with us, rings and steals bells as well, while we send and receive by
 * every call there is.  We get garbage or an error, never later than the
 * timeout says, and live on.
 *
 * Which memory that is the hostile side finds in /proc, so that of how rings
 * are made only the size is assumed here.  It lasts rounds_up_to(800, 180000)
 * ms for each line, or IPC_CHECK_HOSTILE.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include "ring.h"
#include "support.h"

#define LATE		2000	/* ms that a busy machine may make of nothing */
#define LIFE		300	/* ms that one hostile side has */
#define AREAS		16
#define LARGE		(300 * KIB)

static char out[LARGE], in[LARGE];
static volatile char seen;	/* of what was looked at in place */

/*
 * The hostile side
 */

struct area {
	unsigned char	*base;
	size_t		 size;
};

/* More may be mapped than there is memory. */
static sigjmp_buf beyond;
static unsigned char *volatile fault;

static void
note_fault(int signo, siginfo_t *si, void *context)
{
	(void)signo;
	(void)context;
	fault = si->si_addr;
	siglongjmp(beyond, 1);
}

static void
cut_areas(struct area *areas, int n)
{
	for (int i = 0; i < n; i++)
		if (fault >= areas[i].base &&
		    fault < areas[i].base + areas[i].size)
			areas[i].size = (size_t)(fault - areas[i].base) &
			    ~(size_t)7;
}

static int
find_areas(struct area *areas)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512];
	int n = 0;

	while (f != NULL && n < AREAS && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%lx-%lx rw-s", &from, &to) == 2 &&
		    strstr(line, " rw-s ") != NULL &&
		    (strstr(line, "memfd:") != NULL ||
		    strstr(line, "SYSV") != NULL))
			areas[n++] = (struct area){ (unsigned char *)from,
			    to - from };
	if (f != NULL)
		fclose(f);
	return n;
}

/* Two rings may lie in one mapping: the words of the second one begin behind
 * all that the first one may take. */
static int
split_areas(struct area *areas, int n)
{
	const struct ipc__ring_head *head;
	size_t first;

	for (int i = 0, many = n; i < many && n < AREAS; i++) {
		head = (const void *)areas[i].base;
		first = (size_t)head->bytes + (size_t)head->payload * 64;
		first = (first + IPC__RING_GRAIN - 1) / IPC__RING_GRAIN *
		    IPC__RING_GRAIN;
		if (head->header != sizeof *head || first >= areas[i].size)
			continue;
		areas[n++] = (struct area){ areas[i].base + first,
		    areas[i].size - first };
		areas[i].size = first;
	}
	return n;
}

static int
find_bells(int *bells, int room)
{
	char link[32], target[64];
	ssize_t size;
	int n = 0;

	for (int fd = 3; fd < 64 && n < room; fd++) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		size = readlink(link, target, sizeof target - 1);
		target[size > 0 ? size : 0] = '\0';
		if (strstr(target, "eventfd") != NULL ||
		    strstr(target, ".ipcr") != NULL ||
		    strstr(target, ".ipcs") != NULL)
			bells[n++] = fd;
	}
	return n;
}

static uint64_t
next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Where: half of it where the ring keeps its words, or never there, so that the
 * victim lives to see what is spoilt elsewhere. */
static uint64_t
place(const struct area *a, uint64_t *random, bool words)
{
	uint64_t x = next_random(random), at = next_random(random);
	const uint64_t head = 8192;

	if (a->size <= head)
		return at % a->size;
	if (words)
		return at % (x & 1 ? head : a->size);
	return head + at % (a->size - head);
}

/* One bit, or a small or large number. */
static void
spoil(const struct area *a, uint64_t *random, bool words)
{
	uint64_t x = next_random(random), at = place(a, random, words);
	volatile uint64_t *word;

	word = (volatile uint64_t *)(void *)(a->base + (at & ~UINT64_C(7)));
	if (x & 2)
		*word ^= UINT64_C(1) << (x >> 58);
	else
		*word = next_random(random) >> (x >> 58);
}

static void
meddle(int bell, uint64_t x)
{
	const uint64_t one = 1;
	char bytes[8];

	if ((x & 1 ? write(bell, &one, sizeof one) :
	    read(bell, bytes, sizeof bytes)) == -1)
		return;		/* as it was */
}

/* In one of four manners: everywhere or away from the words, fast or slow. */
static _Noreturn void
scribble(uint64_t seed)
{
	bool words = seed >> 20 & 1, slow = seed >> 21 & 1;
	struct sigaction sa = { .sa_sigaction = note_fault,
	    .sa_flags = SA_SIGINFO };
	static struct area areas[AREAS];
	static int bells[8];
	static uint64_t x;
	int n = split_areas(areas, find_areas(areas));
	int bell_count = find_bells(bells, 8);

	x = seed | 1;
	if (n == 0 || sigaction(SIGBUS, &sa, NULL) == -1)
		_exit(1);
	if (sigsetjmp(beyond, 1) != 0)
		cut_areas(areas, n);
	for (unsigned i = 1;; i++) {
		spoil(&areas[next_random(&x) % (unsigned)n], &x, words);
		if (bell_count > 0 && i % (slow ? 64 : 4096) == 0)
			meddle(bells[next_random(&x) % (unsigned)bell_count],
			    next_random(&x));
		if (i % (slow ? 2 : 65536) == 0)
			usleep(100);
	}
}

/* It begins once both sides have met and talked. */
static void
hostile_peer(struct ipc_channel *ch, void *seed)
{
	expect(0, ipc_send(ch, "here", 4, SOON));
	expect(4, ipc_recv(ch, in, sizeof in, SOON));
	scribble(*(uint64_t *)seed);
}

/*
 * The victim
 */

static long
send_something(struct ipc_channel *ch, int timeout)
{
	size_t size = (size_t)(random() % 16 ? random() % 3000 :
	    random() % LARGE);
	long rc = ipc_send(ch, out, size, timeout);

	if (rc == -EAGAIN || rc == -ETIMEDOUT)
		ipc_abandon(ch);
	return rc;
}

static long
receive_many(struct ipc_channel *ch, int timeout)
{
	struct iovec messages[8];

	for (int i = 0; i < 8; i++)
		messages[i] = (struct iovec){ in + i * 4 * KIB, 4 * KIB };
	return ipc_recvmany(ch, messages, 8, timeout);
}

static long
look_at(struct ipc_channel *ch, int timeout)
{
	const void *data;
	long n = ipc_peek(ch, &data, timeout);

	for (long i = 0; i < n; i++)
		seen += ((const char *)data)[i];
	return n < 0 ? n : ipc_release(ch);
}

static long
fill_in(struct ipc_channel *ch, int timeout)
{
	size_t size = (size_t)random() % 5000;
	void *data;
	long rc = ipc_reserve(ch, &data, size, timeout);

	if (rc < 0)
		return rc;
	memset(data, 1, size);
	rc = ipc_commit(ch, size);
	if (rc == -EAGAIN)
		ipc_abandon(ch);
	return rc;
}

static long
poll_and_receive(struct ipc_channel *ch, int timeout)
{
	short events;
	int fd = ipc_fd(ch, IPC_RECV, &events);

	if (fd < 0)
		return fd;
	ready(fd, events, timeout);
	return ipc_recv(ch, in, sizeof in, 0);
}

static long
one_call(struct ipc_channel *ch, int timeout)
{
	switch (random() % 8) {
	case 0 ... 2:
		return send_something(ch, timeout);
	case 3:
		return fill_in(ch, timeout);
	case 4:
		return receive_many(ch, timeout);
	case 5:
		return look_at(ch, timeout);
	case 6:
		return poll_and_receive(ch, timeout);
	default:
		return ipc_recv(ch, in, sizeof in, timeout);
	}
}

/* Garbage may look like any message, like its end, or like a message that is
 * too large; or show what it is. */
static bool
is_bearable(long rc)
{
	return rc >= 0 || rc == -EAGAIN || rc == -ETIMEDOUT ||
	    rc == -EMSGSIZE;
}

static bool
is_broken(long rc)
{
	return rc == -EBADMSG || rc == -EPIPE || rc == -ECONNRESET;
}

/* Until it is broken, or has lasted. */
static long
suffer(struct ipc_channel *ch, double until)
{
	double began;
	long rc = 0;
	int timeout;

	while (!is_broken(rc) && now_ms() < until) {
		timeout = (int)(random() % 4 ? 0 : random() % 20);
		began = now_ms();
		rc = one_call(ch, timeout);
		if (now_ms() - began > timeout + LATE)
			ck_abort_msg("%s: %d ms took %.0f", where(), timeout,
			    now_ms() - began);
		if (!is_bearable(rc) && !is_broken(rc))
			ck_abort_msg("%s: gives %ld (%s): %s", where(), rc,
			    ipc_strerror((int)rc), ipc_errmsg());
		if (rc == -EMSGSIZE)
			return rc;	/* it stays: nothing more to see */
	}
	return rc;
}

/* It was at it to the end. */
static void
end_hostile(pid_t pid)
{
	int status;

	expect_sys(kill(pid, SIGKILL));
	expect(pid, waitpid(pid, &status, 0));
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		ck_abort_msg("%s: the hostile side ended with status 0x%x",
		    where(), (unsigned)status);
	somebody_died();
}

static void
meet_hostile(int i, uint64_t *seed, double end, unsigned *broken)
{
	double until = now_ms() + LIFE;
	struct ipc_channel *ch;
	pid_t pid;

	ch = with_peer(i, "", 0, hostile_peer, seed, &pid);
	expect(4, ipc_recv(ch, in, sizeof in, SOON));
	expect(0, ipc_send(ch, "here", 4, SOON));
	*broken += is_broken(suffer(ch, until < end ? until : end));
	expect(0, ipc_close(ch));
	end_hostile(pid);
}

START_TEST(a_hostile_side_harms_only_its_own_session)
{
	const char *text = getenv("IPC_CHECK_HOSTILE");
	double ms = text ? atof(text) : rounds_up_to(800, 180000);
	double end = now_ms() + ms;
	unsigned n = 0, broken = 0;
	uint64_t seed;

	srandom((unsigned)getpid());
	do {
		seed = ++n * UINT64_C(0x9E3779B97F4A7C15);
		meet_hostile(_i, &seed, end, &broken);
		/* Where others had the processor all the time. */
		if (broken == 0 && now_ms() >= end && n < 100)
			end = now_ms() + 100;
	} while (now_ms() < end);
	expect_true(broken > 0);
	if (getenv("IPC_TEST_TELL") != NULL)
		fprintf(stderr, "%s: %u hostile sides in %.0f ms, of which %u "
		    "broke their session\n", where(), n, ms, broken);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("scribble");
	tc = tcase_open("scribble", 60 + rounds_up_to(0, 300));
	for_each_case(tc, a_hostile_side_harms_only_its_own_session, TALKS,
	    IPC_CAP_HOSTILE | IPC_CAP_INPLACE);
	return suite_close();
}
