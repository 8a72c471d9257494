/* SPDX-License-Identifier: ISC */
/*
 * Rings and slots that are opened by a name, by their tables: who may hold
 * what, what a killed holder leaves, and many receivers of the newest message.
 */
#include "rings.h"
#include "suite.h"

static char name[200];

static const struct ipc_backend *
named(int i)
{
	static const struct ipc_backend *const all[] = {
		&ipc__backend_posixshm, &ipc__backend_sysvshm,
		&ipc__backend_mmap, &ipc__backend_sysvshm
	};

	if (i == 3)
		snprintf(name, sizeof name, "0x%x", 0x1bc00000u +
		    (unsigned)getpid() % 0xfffffu);
	else
		snprintf(name, sizeof name, "%s%sipc-check-shm-%ld",
		    i == 2 ? runtime : "", i == 1 ? "" : "/", (long)getpid());
	return all[i];
}

static struct ipc__half *
open_as(const struct ipc_backend *be, int dir, int flags, int expected)
{
	struct ipc__half *h = half_new(be, dir);
	struct ipc__address a;
	int rc;

	address_of(&a, be, name);
	a.opt.latest = latest;
	h->bare = true;
	rc = be->open(h, &a, flags);
	if (rc != expected)
		ck_abort_msg("open gives %d, not %d: %s", rc, expected,
		    ipc_errmsg());
	if (rc == 0)
		return h;
	free(h);
	return NULL;
}

static void
unlink_as(const struct ipc_backend *be)
{
	struct ipc__address a;

	address_of(&a, be, name);
	if (be->unlink(&a) != 0)
		ck_abort_msg("unlink: %s", ipc_errmsg());
	ck_assert_int_eq(be->unlink(&a), -ENOENT);
}

START_TEST(one_holder_in_each_role)
{
	const struct ipc_backend *be = named(_i);
	struct ipc__half *in, *out;
	char buffer[10];

	open_as(be, IPC_SEND, 0, -ENOENT);
	in = open_as(be, IPC_RECV, IPC_CREATE | IPC_EXCLUSIVE, 0);
	open_as(be, IPC_RECV, IPC_CREATE | IPC_EXCLUSIVE, -EEXIST);
	open_as(be, IPC_RECV, 0, -EBUSY);
	out = open_as(be, IPC_SEND, 0, 0);
	open_as(be, IPC_SEND, IPC_CREATE, -EBUSY);
	ck_assert_int_eq(put(out, "x", 1, 0), 1);
	half_free(out);
	ck_assert_int_eq(get(in, buffer, 10), 1);
	ck_assert(await(in, 1000));
	ck_assert_int_eq(get(in, buffer, 10), -EPIPE);
	ck_assert(be->ends_with(in, "", 0));
	ck_assert_int_eq(be->again(in), 1);
	ck_assert_int_eq(get(in, buffer, 10), -EAGAIN);
	ck_assert(!await(in, 10));
	out = open_as(be, IPC_SEND, 0, 0);
	half_free(in);
	in = open_as(be, IPC_RECV, 0, 0);
	ck_assert_int_eq(put(out, "y", 1, 0), 1);
	ck_assert(await(in, 1000));
	ck_assert_int_eq(get(in, buffer, 10), 1);
	half_free(in);
	half_free(out);
	unlink_as(be);
}
END_TEST

/* Senders are killed at any moment; each message arrives once, whole and in
 * order, and a sleeping receiver is told at once. */
START_TEST(killed_senders_lose_nothing)
{
	const struct ipc_backend *be = named(_i);
	uint32_t *sent, next = 0, buffer[3000];
	struct ipc__half *in, *out;
	unsigned round, seed = 5;
	pid_t child;
	ssize_t n;

	latest = false;
	sent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED |
	    MAP_ANONYMOUS, -1, 0);
	in = open_as(be, IPC_RECV, IPC_CREATE, 0);
	for (round = 0; round < 60; round++) {
		child = fork();
		if (child == 0) {
			out = open_as(be, IPC_SEND, 0, 0);
			sent[1] = round + 1;
			for (;;) {
				n = 4 + 4 * (*sent * 2654435761u >> 21);
				buffer[0] = buffer[n / 4 - 1] = *sent;
				if (put(out, buffer, (size_t)n, 0) == n)
					++*sent;
				else if (!await(out, 20000))
					_exit(2);
			}
		}
		while (*(volatile uint32_t *)&sent[1] != round + 1)
			usleep(50);
		usleep((useconds_t)(rand_r(&seed) % 3000));
		if (rand_r(&seed) % 2)
			while ((n = get(in, buffer, sizeof buffer)) >= 0)
				ck_assert_uint_eq(buffer[0], next++);
		kill(child, SIGKILL);
		wait_for(child);
		while ((n = get(in, buffer, sizeof buffer)) != -EPIPE) {
			if (n == -EAGAIN) {
				ck_assert(await(in, 5000));
				continue;
			}
			ck_assert_int_gt(n, 0);
			ck_assert_uint_eq(buffer[0], next);
			ck_assert_uint_eq(buffer[n / 4 - 1], next);
			next++;
		}
		ck_assert(!be->ends_with(in, "", 0));
		ck_assert_int_eq(be->again(in), 1);
		/* The last one may have been shown and not counted. */
		ck_assert(next == *sent || next == *sent + 1);
		*sent = next;
	}
	half_free(in);
	unlink_as(be);
	munmap(sent, 4096);
}
END_TEST

START_TEST(latest_of_a_name)
{
	const struct ipc_backend *be = named(_i);
	struct ipc__half *in, *out;
	char buffer[10];

	latest = true;
	out = open_as(be, IPC_SEND, IPC_CREATE, 0);
	ck_assert_int_eq(put(out, "old", 3, 0), 3);
	ck_assert_int_eq(put(out, "newest", 6, 0), 6);
	half_free(out);
	latest = false;
	open_as(be, IPC_RECV, 0, -EPROTO);
	latest = true;
	in = open_as(be, IPC_RECV, 0, 0);
	ck_assert_int_eq(get(in, buffer, 10), 6);
	ck_assert_int_eq(get(in, buffer, 10), -EAGAIN);
	half_free(in);
	unlink_as(be);
	latest = false;
}
END_TEST

/* Each is shown what is new to it, and is woken by it. */
START_TEST(many_look_at_the_newest)
{
	const struct ipc_backend *be = named(_i);
	struct ipc__half *in[5], *out;
	char buffer[10];
	unsigned i, k;

	latest = true;
	for (i = 0; i < 5; i++) {
		in[i] = open_as(be, IPC_RECV, IPC_CREATE, 0);
		ck_assert_int_eq(get(in[i], buffer, 10), -EAGAIN);
		ck_assert(!await(in[i], 0));
	}
	out = open_as(be, IPC_SEND, 0, 0);
	open_as(be, IPC_SEND, 0, -EBUSY);
	for (k = 1; k < 9; k++) {
		ck_assert_int_eq(put(out, buffer, k, 0), k);
		for (i = 0; i < 5; i++) {
			if (k % (i + 1) != 0)
				continue;
			ck_assert(await(in[i], 1000));
			ck_assert_int_eq(get(in[i], buffer, 10), k);
			ck_assert_int_eq(get(in[i], buffer, 10), -EAGAIN);
			ck_assert(!await(in[i], 0));
		}
	}
	half_free(out);
	for (i = 0; i < 5; i++) {
		ck_assert(await(in[i], 1000));
		if (8 % (i + 1) != 0)
			ck_assert_int_eq(get(in[i], buffer, 10), 8);
		ck_assert(await(in[i], 1000));
		ck_assert_int_eq(get(in[i], buffer, 10), -EPIPE);
		ck_assert_int_eq(be->again(in[i]), 1);
		half_free(in[i]);
	}
	unlink_as(be);
	latest = false;
}
END_TEST

/* Looks until it has seen the last of them, sleeping in between. */
static int
looker(const struct ipc_backend *be, unsigned last, unsigned seed)
{
	struct ipc__half *h = open_as(be, IPC_RECV, 0, 0);
	unsigned n = 0, before = 0;
	ssize_t size;

	while (n < last) {
		size = get(h, &n, sizeof n);
		if (size == -EAGAIN) {
			if (!await(h, 20000))
				return 3;
			continue;
		}
		if (size != sizeof n || n <= before)
			return 4;
		before = n;
		pause_randomly(&seed);
	}
	half_free(h);
	return 0;
}

START_TEST(many_sleep_and_all_are_woken)
{
	const struct ipc_backend *be = named(_i);
	const unsigned last = 3000;
	unsigned n, seed = 5;
	struct ipc__half *out;
	pid_t child[4];

	latest = true;
	out = open_as(be, IPC_SEND, IPC_CREATE, 0);
	for (n = 0; n < 4; n++) {
		child[n] = fork();
		if (child[n] == 0) {
			half_free(out);
			_exit(looker(be, last, n));
		}
	}
	for (n = 1; n <= last; n++) {
		ck_assert_int_eq(put(out, &n, sizeof n, 0), sizeof n);
		pause_randomly(&seed);
		if (n % 8 == 0)
			usleep(100);
	}
	for (n = 0; n < 4; n++)
		ck_assert_int_eq(wait_for(child[n]), 0);
	half_free(out);
	unlink_as(be);
	latest = false;
}
END_TEST

/* What is not a whole ring is not mapped. */
START_TEST(a_spoilt_file_is_refused)
{
	const struct ipc_backend *be = named(2);
	struct ipc__half *in;
	int fd, i;

	in = open_as(be, IPC_RECV, IPC_CREATE, 0);
	half_free(in);
	fd = open(name, O_RDWR | O_CLOEXEC);
	for (i = 0; i < 40; i += 4) {
		uint32_t was, now;

		ck_assert_int_eq(pread(fd, &was, 4, i), 4);
		now = was ^ 0x10000000;
		ck_assert_int_eq(pwrite(fd, &now, 4, i), 4);
		open_as(be, IPC_RECV, 0, -EPROTO);
		ck_assert_int_eq(pwrite(fd, &was, 4, i), 4);
	}
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	open_as(be, IPC_RECV, 0, -EBADMSG);
	ck_assert_int_eq(ftruncate(fd, 100), 0);
	open_as(be, IPC_SEND, 0, -EBADMSG);
	close(fd);
	unlink_as(be);
}
END_TEST

/* Not the next smaller size that slots may have. */
START_TEST(a_slot_holds_what_was_asked_for)
{
	struct ipc__options opt = { .set = 1u << IPC__KEY_MAX_MESSAGE };

	for (opt.max_message = 1; opt.max_message < 1000; opt.max_message++)
		ck_assert(ipc__latest_size(&opt) >= opt.max_message &&
		    ipc__latest_size(&opt) < opt.max_message + 64);
	opt.capacity = 4096;
	ck_assert_uint_eq(ipc__latest_size(&opt), 1024);
	opt.capacity = 1000;
	ck_assert_uint_eq(ipc__latest_size(&opt), 192);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shmopen");
	TCase *names = tcase_create("names");

	tcase_set_timeout(names, 60);
	tcase_add_checked_fixture(names, runtime_make, runtime_remove);
	tcase_add_loop_test(names, one_holder_in_each_role, 0, 4);
	tcase_add_loop_test(names, killed_senders_lose_nothing, 0, 4);
	tcase_add_test(names, a_slot_holds_what_was_asked_for);
	tcase_add_loop_test(names, latest_of_a_name, 0, 4);
	tcase_add_loop_test(names, many_look_at_the_newest, 0, 4);
	tcase_add_loop_test(names, many_sleep_and_all_are_woken, 0, 4);
	tcase_add_test(names, a_spoilt_file_is_refused);
	suite_add_tcase(s, names);
	return suite_run(s);
}
