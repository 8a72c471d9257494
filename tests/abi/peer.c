/* SPDX-License-Identifier: ISC */
/*
 * One side of what check_abi32.c does between programs of 32 and of 64 bits:
 * it is built as both.
 *
 *	peer COMMAND ADDRESS
 *
 * Exit status 1 with a line that says why; 3 where somebody else has it.
 * "ready" is printed where the other side may begin.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>
#include <ipc/region.h>
#include <ipc/sync.h>

#include "layout.h"

#define COUNT		300
#define VALUES		5000
#define LONGEST		70000u	/* goes through a small ring in parts */
#define SOON		10000
#define REGION		100000u
#define BUSY		3

struct head {
	uint32_t number, size;
};

static unsigned char buffer[LONGEST + 1];

#define must(what) must_be((what), #what)

static void
must_be(bool yes, const char *what)
{
	if (yes)
		return;
	fprintf(stderr, "%d bits: not so: %s: %s\n", (int)sizeof(long) * 8,
	    what, ipc_errmsg());
	exit(1);
}

static void
ready(void)
{
	puts("ready");
	fflush(stdout);
}

/*
 * Messages that tell their number and their length
 */

static unsigned char
byte(uint32_t number, uint32_t at)
{
	return (unsigned char)(number * 31 + at * 7 + at / 256);
}

static size_t
make(uint32_t number, size_t most)
{
	struct head h = { .number = number };
	uint32_t i;

	h.size = number % 50 == 49 ? LONGEST : 8 + number * 7 % 3000;
	if (most > 0 && h.size > most)
		h.size = (uint32_t)most;
	memcpy(buffer, &h, sizeof h);
	for (i = sizeof h; i < h.size; i++)
		buffer[i] = byte(number, i);
	return h.size;
}

static uint32_t
judge(ssize_t n)
{
	struct head h;
	uint32_t i;

	must(n >= (ssize_t)sizeof h);
	memcpy(&h, buffer, sizeof h);
	must((size_t)n == h.size);
	for (i = sizeof h; i < h.size; i++)
		if (buffer[i] != byte(h.number, i))
			must_be(false, "the bytes are as they were sent");
	return h.number;
}

static struct ipc_info
info_of(struct ipc_channel *ch)
{
	struct ipc_info info = { .struct_size = sizeof info };

	must(ipc_info(ch, &info) == 0);
	return info;
}

static void
say(struct ipc_channel *ch, uint32_t number)
{
	size_t n = make(number, info_of(ch).max_message);

	must(ipc_send(ch, buffer, n, SOON) == 0);
}

static uint32_t
hear(struct ipc_channel *ch)
{
	return judge(ipc_recv(ch, buffer, sizeof buffer, SOON));
}

/*
 * Opened objects and sessions
 */

static void
open_to_send(const char *address)
{
	struct ipc_channel *ch;
	uint32_t i;

	must(ipc_open(&ch, address, IPC_SEND) == 0);
	for (i = 0; i < COUNT; i++)
		say(ch, i);
	must(ipc_close(ch) == 0);
}

static void
open_to_receive(const char *address)
{
	struct ipc_channel *ch;
	uint32_t i;

	must(ipc_open(&ch, address, IPC_RECV | IPC_CREATE) == 0);
	ready();
	for (i = 0; i < COUNT; i++)
		must(hear(ch) == i);
	if (info_of(ch).caps & IPC_CAP_END)
		must(ipc_recv(ch, buffer, sizeof buffer, SOON) == -EPIPE);
	must(ipc_close(ch) == 0);
}

/* The last value stays there for who comes late. */
static void
open_to_show(const char *address)
{
	struct ipc_channel *ch;
	uint32_t i;

	must(ipc_open(&ch, address, IPC_SEND) == 0);
	for (i = 1; i <= VALUES; i++)
		must(ipc_send(ch, buffer, make(i, 1000), SOON) == 0);
	must(ipc_close(ch) == 0);
}

static void
open_to_look(const char *address)
{
	uint32_t last = 0, number = 0;
	struct ipc_channel *ch;

	must(ipc_open(&ch, address, IPC_RECV | IPC_CREATE) == 0);
	ready();
	while (last < VALUES) {
		number = hear(ch);
		must(number > last);
		last = number;
	}
	must(ipc_close(ch) == 0);
}

static void
listen_and_answer(const char *address)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	uint32_t i;

	must(ipc_listen(&l, address, 0) == 0);
	ready();
	must(ipc_accept(&ch, l, SOON) == 0);
	for (i = 0; i < COUNT; i++) {
		must(hear(ch) == i);
		say(ch, i + COUNT);
	}
	must(ipc_recv(ch, buffer, sizeof buffer, SOON) == -EPIPE);
	must(ipc_close(ch) == 0);
	must(ipc_listener_close(l) == 0);
}

static void
connect_and_ask(const char *address)
{
	struct ipc_channel *ch;
	uint32_t i;

	must(ipc_connect(&ch, address, 0, SOON) == 0);
	for (i = 0; i < COUNT; i++) {
		say(ch, i);
		must(hear(ch) == i + COUNT);
	}
	must(ipc_close(ch) == 0);
}

static void
remove_object(const char *address)
{
	must(ipc_unlink(address) == 0);
}

/*
 * Regions, semaphores and locks
 */

static void
write_region(const char *address)
{
	struct ipc_region *r;
	unsigned char *p;
	uint32_t i;

	must(ipc_region_open(&r, address, IPC_CREATE) == 0);
	must(ipc_region_size(r) >= REGION);
	p = ipc_region_data(r);
	for (i = 0; i < REGION; i++)
		p[i] = byte(1, i);
	must(ipc_region_close(r) == 0);
}

static void
read_region(const char *address)
{
	struct ipc_region *r;
	unsigned char *p;
	uint32_t i;

	must(ipc_region_open(&r, address, 0) == 0);
	must(ipc_region_size(r) >= REGION);
	p = ipc_region_data(r);
	for (i = 0; i < REGION; i++)
		must(p[i] == byte(1, i));
	must(ipc_region_close(r) == 0);
	must(ipc_region_unlink(address) == 0);
}

/* Who has it says so, and lets go when its input ends. */
static void
held(void)
{
	ready();
	must(read(0, buffer, 1) == 0);
}

static void
hold_mutex(const char *address)
{
	struct ipc_mutex *m;

	must(ipc_mutex_open(&m, address, IPC_CREATE) == 0);
	must(ipc_mutex_lock(m, SOON) == 0);
	held();
	must(ipc_mutex_unlock(m) == 0);
	must(ipc_mutex_close(m) == 0);
}

static void
try_mutex(const char *address)
{
	struct ipc_mutex *m;
	int rc;

	must(ipc_mutex_open(&m, address, 0) == 0);
	rc = ipc_mutex_lock(m, 0);
	must(rc == 0 || rc == -EAGAIN);
	if (rc == 0)
		must(ipc_mutex_unlock(m) == 0);
	must(ipc_mutex_close(m) == 0);
	if (rc != 0)
		exit(BUSY);
}

static void
hold_rwlock(const char *address)
{
	struct ipc_rwlock *l;

	must(ipc_rwlock_open(&l, address, IPC_CREATE) == 0);
	must(ipc_rwlock_rdlock(l, SOON) == 0);
	held();
	must(ipc_rwlock_unlock(l) == 0);
	must(ipc_rwlock_close(l) == 0);
}

/* To read it, which all may, and to write. */
static void
try_rwlock(const char *address)
{
	struct ipc_rwlock *l;
	int rc;

	must(ipc_rwlock_open(&l, address, 0) == 0);
	must(ipc_rwlock_rdlock(l, 0) == 0);
	must(ipc_rwlock_unlock(l) == 0);
	rc = ipc_rwlock_wrlock(l, 0);
	must(rc == 0 || rc == -EAGAIN);
	if (rc == 0)
		must(ipc_rwlock_unlock(l) == 0);
	must(ipc_rwlock_close(l) == 0);
	if (rc != 0)
		exit(BUSY);
}

static void
make_sem(const char *address)
{
	struct ipc_sem *s;

	must(ipc_sem_open(&s, address, IPC_CREATE, 2) == 0);
	must(ipc_sem_close(s) == 0);
}

static void
take_sem(const char *address)
{
	struct ipc_sem *s;
	int rc;

	must(ipc_sem_open(&s, address, 0, 0) == 0);
	rc = ipc_sem_wait(s, 0);
	must(rc == 0 || rc == -EAGAIN);
	must(ipc_sem_close(s) == 0);
	if (rc != 0)
		exit(BUSY);
}

static void
remove_sem(const char *address)
{
	must(ipc_sem_unlink(address) == 0);
}

/* A thing of the other word size is refused, with words that say so. */
static void
refused(int rc)
{
	must(rc == -EPROTO || rc == -EBADMSG || rc == -EPROTOTYPE);
	must(strstr(ipc_errmsg(), "word size") != NULL);
}

static void
refuse_sem(const char *address)
{
	struct ipc_sem *s;

	refused(ipc_sem_open(&s, address, IPC_CREATE, 1));
}

static void
refuse_mutex(const char *address)
{
	struct ipc_mutex *m;

	refused(ipc_mutex_open(&m, address, IPC_CREATE));
}

static void
make_mutex(const char *address)
{
	struct ipc_mutex *m;

	must(ipc_mutex_open(&m, address, IPC_CREATE) == 0);
	must(ipc_mutex_close(m) == 0);
}

static void
remove_mutex(const char *address)
{
	must(ipc_mutex_unlink(address) == 0);
}

static void
make_rwlock(const char *address)
{
	struct ipc_rwlock *l;

	must(ipc_rwlock_open(&l, address, IPC_CREATE) == 0);
	must(ipc_rwlock_close(l) == 0);
}

static void
refuse_rwlock(const char *address)
{
	struct ipc_rwlock *l;

	refused(ipc_rwlock_open(&l, address, IPC_CREATE));
}

static void
remove_rwlock(const char *address)
{
	must(ipc_rwlock_unlink(address) == 0);
}

static void
print_layout(const char *unused)
{
	(void)unused;
	layout_print();
}

static const struct command {
	const char	*name;
	void		(*run)(const char *address);
} commands[] = {
	{ "send", open_to_send }, { "recv", open_to_receive },
	{ "show", open_to_show }, { "look", open_to_look },
	{ "listen", listen_and_answer }, { "connect", connect_and_ask },
	{ "rm", remove_object },
	{ "region-write", write_region }, { "region-read", read_region },
	{ "mutex-hold", hold_mutex }, { "mutex-try", try_mutex },
	{ "mutex-make", make_mutex }, { "mutex-refuse", refuse_mutex },
	{ "mutex-rm", remove_mutex },
	{ "sem-make", make_sem }, { "sem-take", take_sem },
	{ "sem-refuse", refuse_sem }, { "sem-rm", remove_sem },
	{ "rwlock-hold", hold_rwlock }, { "rwlock-try", try_rwlock },
	{ "rwlock-make", make_rwlock }, { "rwlock-refuse", refuse_rwlock },
	{ "rwlock-rm", remove_rwlock }, { "layout", print_layout }
};

int
main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 3 && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			commands[i].run(argv[2]);
			return 0;
		}
	fprintf(stderr, "usage: peer command address\n");
	return 1;
}
