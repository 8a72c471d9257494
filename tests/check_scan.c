/* SPDX-License-Identifier: ISC */
/*
 * Looking at rings without waiting, again and again: that costs hardly a system
 * call, and still an end is heard of and no bell stays lit for nothing.
 */

#include "core.h"
#include "rings.h"

#define LOOKS	1000	/* more than go by without asking the life line */

static const char *const addresses[] = {
	"memfd:", "posixshm:", "sysvshm:", "mmap:"
};

static void
pair(struct ipc_channel *ch[2], const char *address)
{
	if (ipc_pair(ch, address, 0) < 0)
		ck_abort_msg("%s: %s", address, ipc_errmsg());
}

static void
look_in_vain(struct ipc_channel *ch)
{
	char in[8];
	int i;

	for (i = 0; i < LOOKS; i++)
		ck_assert_int_eq(ipc_recv(ch, in, sizeof in, 0), -EAGAIN);
}

static ssize_t
look_for_the_end(struct ipc_channel *ch)
{
	ssize_t rc = -EAGAIN;
	char in[8];
	int i;

	for (i = 0; i < LOOKS && rc == -EAGAIN; i++)
		rc = ipc_recv(ch, in, sizeof in, 0);
	return rc;
}

START_TEST(who_only_looks_hears_of_the_end)
{
	struct ipc_channel *ch[2];

	pair(ch, addresses[_i]);
	look_in_vain(ch[0]);
	ck_assert_int_eq(ipc_send(ch[1], "last", 4, 0), 0);
	ipc_close(ch[1]);
	ck_assert_int_eq(look_for_the_end(ch[0]), 4);
	ck_assert_int_eq(look_for_the_end(ch[0]), -EPIPE);
	ipc_close(ch[0]);
}
END_TEST

START_TEST(who_only_looks_hears_of_a_death)
{
	struct ipc_channel *ch[2];
	pid_t pid;

	pair(ch, addresses[_i]);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		ipc_close(ch[0]);
		for (;;)
			pause();
	}
	ipc_close(ch[1]);
	look_in_vain(ch[0]);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(look_for_the_end(ch[0]), -ECONNRESET);
	ipc_close(ch[0]);
}
END_TEST

/* The first looks are not among many: each asks. */
START_TEST(one_look_is_enough_for_who_seldom_looks)
{
	struct ipc_channel *ch[2];
	char in[8];

	pair(ch, addresses[_i]);
	ck_assert_int_eq(ipc_recv(ch[0], in, sizeof in, 0), -EAGAIN);
	ipc_close(ch[1]);
	ck_assert_int_eq(ipc_recv(ch[0], in, sizeof in, 0), -EPIPE);
	ipc_close(ch[0]);
}
END_TEST

/* As a waker leaves it that is killed before it takes our mark off. */
START_TEST(a_bell_that_was_rung_for_nothing_goes_out)
{
	struct ipc_channel *ch[2];
	struct ipc_pollitem item = { .events = IPC_RECV };
	const uint64_t one = 1;
	struct ipc__shm *s;
	char in[8];

	pair(ch, addresses[_i]);
	item.channel = ch[0];
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 0);
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 0);
	s = IPC__STATE(ch[0]->in.half, struct ipc__shm);
	ck_assert(ipc__ring_asleep(&s->ring));
	ck_assert_int_eq(write(s->map->bell[0], &one, sizeof one),
	    sizeof one);
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 1);
	ck_assert_int_eq(ipc_recv(ch[0], in, sizeof in, 0), -EAGAIN);
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 0);
	/* And it is rung for what comes then. */
	ck_assert_int_eq(ipc_send(ch[1], "came", 4, 0), 0);
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 1);
	ck_assert_int_eq(ipc_recv(ch[0], in, sizeof in, 0), 4);
	ck_assert_int_eq(ipc_poll(&item, 1, 0), 0);
	ipc_close(ch[0]);
	ipc_close(ch[1]);
}
END_TEST

/* What is asked of many between two messages. */
START_TEST(each_message_is_seen_among_many_polls)
{
	struct ipc_pollitem items[40];
	struct ipc_channel *ch[40][2];
	char in[8];
	int i, k;

	for (i = 0; i < 40; i++) {
		pair(ch[i], addresses[_i]);
		items[i] = (struct ipc_pollitem){ .channel = ch[i][0],
		    .events = IPC_RECV };
	}
	for (k = 0; k < 2000; k++) {
		i = k * 7 % 40;
		ck_assert_int_eq(ipc_poll(items, 40, 0), 0);
		ck_assert_int_eq(ipc_send(ch[i][1], &k, sizeof k, 0), 0);
		ck_assert_int_eq(ipc_poll(items, 40, 1000), 1);
		ck_assert_int_eq(items[i].revents, IPC_RECV);
		ck_assert_int_eq(ipc_recv(ch[i][0], in, sizeof in, 0),
		    sizeof k);
		ck_assert_mem_eq(in, &k, sizeof k);
	}
	for (i = 0; i < 40; i++) {
		ipc_close(ch[i][0]);
		ipc_close(ch[i][1]);
	}
}
END_TEST

int
main(void)
{
	const int all = (int)(sizeof addresses / sizeof addresses[0]);
	Suite *s = suite_create("scan");
	TCase *tc = tcase_create("scan");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, who_only_looks_hears_of_the_end, 0, all);
	tcase_add_loop_test(tc, who_only_looks_hears_of_a_death, 0, all);
	tcase_add_loop_test(tc, one_look_is_enough_for_who_seldom_looks, 0,
	    all);
	tcase_add_loop_test(tc, a_bell_that_was_rung_for_nothing_goes_out, 0,
	    all);
	tcase_add_loop_test(tc, each_message_is_seen_among_many_polls, 0, all);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
