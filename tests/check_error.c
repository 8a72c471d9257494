/* SPDX-License-Identifier: ISC */
/*
 * Errors: texts of codes, this thread's last error, and how an address gets in
 * front of it.
 */
#include <sys/resource.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "error.h"
#include "suite.h"

static const int contract[] = { EAGAIN, ETIMEDOUT, EMSGSIZE, EPIPE,
    ECONNRESET, EBADF, EBUSY, EALREADY, ECANCELED, EBADMSG, EINVAL, EOPNOTSUPP,
    EPROTOTYPE };
#define CONTRACT	(sizeof contract / sizeof contract[0])

START_TEST(every_code_has_a_text_whatever_its_sign)
{
	const char *text;

	for (int code = 0; code < 5000; code++) {
		text = ipc_strerror(code);
		ck_assert_ptr_nonnull(text);
		ck_assert(text[0] != '\0');
		ck_assert_ptr_eq(text, ipc_strerror(-code));
	}
	ck_assert_ptr_nonnull(ipc_strerror(INT_MAX));
	ck_assert_ptr_nonnull(ipc_strerror(INT_MIN));
	ck_assert_str_eq(ipc_strerror(4999), "unknown error");
	ck_assert_str_eq(ipc_strerror(-ENOENT), "No such file or directory");
}
END_TEST

START_TEST(the_contracts_codes_are_told_apart_in_its_own_words)
{
	for (size_t i = 0; i < CONTRACT; i++) {
		ck_assert_str_ne(ipc_strerror(contract[i]), "unknown error");
		ck_assert_str_ne(ipc_strerror(contract[i]),
		    strerror(contract[i]));
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(ipc_strerror(contract[i]),
			    ipc_strerror(contract[j]));
	}
}
END_TEST

static void *
first_words(void *text)
{
	*(char **)text = strdup(ipc_errmsg());
	ipc__fail(EIO, "another thread's");
	return NULL;
}

START_TEST(each_thread_has_its_own_last_error)
{
	pthread_t thread;
	char *text = NULL;

	ck_assert_int_eq(ipc__fail(ENOENT, "this thread's"), -ENOENT);
	ck_assert_int_eq(pthread_create(&thread, NULL, first_words, &text), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(text, "no error");
	ck_assert_str_eq(ipc_errmsg(), "this thread's");
	free(text);
}
END_TEST

START_TEST(a_failed_system_call_is_named_with_its_reason)
{
	errno = EACCES;
	ck_assert_int_eq(ipc__fail_sys("open"), -EACCES);
	ck_assert_str_eq(ipc_errmsg(), "open: Permission denied");
	errno = EINVAL;		/* the system's words, not the contract's */
	ck_assert_int_eq(ipc__fail_path("bind", "/run/x"), -EINVAL);
	ck_assert_str_eq(ipc_errmsg(), "bind /run/x: Invalid argument");
	errno = 0;
	ck_assert_int_lt(ipc__fail_sys("open"), 0);
}
END_TEST

START_TEST(a_limit_of_open_files_is_named_with_its_value)
{
	struct rlimit few;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
	few.rlim_cur = 17;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	errno = EMFILE;
	ck_assert_int_eq(ipc__fail_sys("pipe2"), -EMFILE);
	ck_assert_str_eq(ipc_errmsg(), "pipe2: this process has its 17 open "
	    "files (RLIMIT_NOFILE)");
	errno = EMFILE;
	ck_assert_int_eq(ipc__fail_path("open", "/run/x"), -EMFILE);
	ck_assert_str_eq(ipc_errmsg(), "open /run/x: this process has its 17 "
	    "open files (RLIMIT_NOFILE)");
	ck_assert_int_eq(errno, EMFILE);
	errno = ENFILE;
	ck_assert_int_eq(ipc__fail_sys("eventfd"), -ENFILE);
	ck_assert(strstr(ipc_errmsg(), "fs.file-max") != NULL);
}
END_TEST

START_TEST(errno_survives)
{
	errno = ENOLCK;
	ipc__fail(EINVAL, "%s", "x");
	ipc__fail_at("unix:/x", -EINVAL);
	ipc__fail_at("unix:/x", -ENOENT);
	ipc__plain(-EAGAIN);
	ck_assert_int_eq(errno, ENOLCK);
	ck_assert_int_eq(ipc__fail_sys("x"), -ENOLCK);
	ck_assert_int_eq(errno, ENOLCK);
}
END_TEST

START_TEST(the_address_is_put_in_front_once)
{
	int rc = ipc__fail(EMSGSIZE, "%d bytes exceed %d", 9000, 8192);

	ck_assert_int_eq(ipc__fail_at("posixmq:/jobs", rc), -EMSGSIZE);
	ck_assert_int_eq(ipc__fail_at("local:jobs", rc), -EMSGSIZE);
	ck_assert_str_eq(ipc_errmsg(),
	    "posixmq:/jobs: 9000 bytes exceed 8192");
	ipc__fail(EMSGSIZE, "again");
	ipc__fail_at("mq:x", -EMSGSIZE);
	ck_assert_str_eq(ipc_errmsg(), "mq:x: again");
}
END_TEST

START_TEST(success_leaves_the_last_error_alone)
{
	struct ipc__error kept;

	ipc__fail(EIO, "it was so");
	ck_assert_int_eq(ipc__fail_at("unix:/x", 0), 0);
	ck_assert_int_eq(ipc__fail_at("unix:/x", 7), 7);
	ck_assert_int_eq(ipc__plain(0), 0);
	ck_assert_int_eq(ipc__plain(5), 5);
	ck_assert_str_eq(ipc_errmsg(), "it was so");
	ipc__error_keep(&kept);
	ipc__fail(EINVAL, "what was only tried");
	ipc__error_restore(&kept);
	ck_assert_str_eq(ipc_errmsg(), "it was so");
}
END_TEST

START_TEST(a_code_without_a_text_does_not_get_the_last_ones)
{
	ipc__fail(EIO, "an old one");
	ck_assert_int_eq(ipc__fail_at("unix:/x", -ENOENT), -ENOENT);
	ck_assert_str_eq(ipc_errmsg(), "unix:/x: No such file or directory");
	ck_assert_int_eq(ipc__plain(-EAGAIN), -EAGAIN);
	ck_assert_str_eq(ipc_errmsg(), ipc_strerror(EAGAIN));
	ipc__fail(EAGAIN, "an old one");
	ipc__plain(-EAGAIN);
	ipc__fail_at("tcp://x:1", -EAGAIN);
	ck_assert_str_eq(ipc_errmsg(), "tcp://x:1: would have to wait");
	ck_assert_int_eq(ipc__plain(INT_MIN), INT_MIN);
	ck_assert_ptr_nonnull(ipc_errmsg());
	ck_assert_int_eq(ipc__fail_at("x:", INT_MIN), INT_MIN);
}
END_TEST

static void
fill(char *to, size_t size, const char *head, const char *tail)
{
	memset(to, 'x', size - 1);
	to[size - 1] = '\0';
	memcpy(to, head, strlen(head));
	memcpy(to + size - 1 - strlen(tail), tail, strlen(tail));
}

static bool
ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcmp(s + n - m, tail) == 0;
}

START_TEST(a_long_address_loses_its_middle_and_no_other_word)
{
	char address[4000];

	for (size_t size = 300; size <= sizeof address; size++) {
		fill(address, size, "unix:/first/", "/last");
		ipc__fail(ENAMETOOLONG, "a path of %zu bytes", size);
		ipc__fail_at(address, -ENAMETOOLONG);
		ck_assert_uint_lt(strlen(ipc_errmsg()), IPC__TEXT_SIZE);
		ck_assert(strncmp(ipc_errmsg(), "unix:/first/", 12) == 0);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "/last: a path"));
		ck_assert(ends_with(ipc_errmsg(), " bytes"));
	}
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "..."));
}
END_TEST

START_TEST(a_long_text_keeps_its_beginning_and_its_end)
{
	char path[9000];

	for (size_t size = 400; size < 700; size++) {
		fill(path, size, "first", "last");
		ipc__fail(EINVAL, "bind %s: refused", path);
		ck_assert_uint_lt(strlen(ipc_errmsg()), IPC__TEXT_SIZE);
		ck_assert(strncmp(ipc_errmsg(), "bind first", 10) == 0);
		ck_assert(ends_with(ipc_errmsg(), "last: refused"));
		ipc__fail_at(path, -EINVAL);
		ck_assert_uint_lt(strlen(ipc_errmsg()), IPC__TEXT_SIZE);
		ck_assert(strncmp(ipc_errmsg(), "first", 5) == 0);
		ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "last: bind first"));
		ck_assert(ends_with(ipc_errmsg(), "last: refused"));
	}
	fill(path, sizeof path, "first", "last");
	ipc__fail(EINVAL, "%s", path);
	ck_assert(ends_with(ipc_errmsg(), "last"));
}
END_TEST

START_TEST(a_character_of_several_bytes_is_not_cut)
{
	char address[2000] = "";
	const char *s;

	while (strlen(address) + 4 < sizeof address) {
		strlcat(address, "\u20ac", sizeof address);
		ipc__fail(EIO, "why");
		ipc__fail_at(address, -EIO);
		for (s = ipc_errmsg(); *s != '\0'; s++) {
			if ((unsigned char)*s < 0x80)
				continue;
			ck_assert(strncmp(s, "\u20ac", 3) == 0);
			s += 2;
		}
	}
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "..."));
}
END_TEST

START_TEST(control_characters_do_not_reach_a_terminal)
{
	ipc__fail(EIO, "a%sb", "\n\x1b[2J");
	ipc__fail_at("unix:/x\ry\x7f", -EIO);
	ck_assert_str_eq(ipc_errmsg(), "unix:/x?y?: a??[2Jb");
}
END_TEST

START_TEST(a_text_may_be_made_of_the_last_one)
{
	ipc__fail(EIO, "inner");
	ipc__fail(EPROTO, "outer: %s", ipc_errmsg());
	ck_assert_str_eq(ipc_errmsg(), "outer: inner");
	ipc__fail_at(ipc_errmsg(), -EPROTO);
	ck_assert_str_eq(ipc_errmsg(), "outer: inner: outer: inner");
}
END_TEST

static void *
complain(void *name)
{
	char want[64];

	for (int i = 0; i < 20000; i++) {
		ipc__fail_at(name, ipc__fail(EIO, "%d", i));
		snprintf(want, sizeof want, "%s: %d", (const char *)name, i);
		if (strcmp(ipc_errmsg(), want) != 0 ||
		    ipc_strerror(i % 140)[0] == '\0')
			return name;
	}
	return NULL;
}

START_TEST(many_threads_fail_at_once)
{
	static char names[4][2] = { "a", "b", "c", "d" };
	pthread_t threads[4];
	void *bad;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, complain,
		    names[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &bad);
		ck_assert_ptr_null(bad);
	}
}
END_TEST

START_TEST(other_libraries_report_their_errors_here_too)
{
	ck_assert_int_eq(ipc_error_set(ENOENT, "no cheese"), -ENOENT);
	ck_assert_str_eq(ipc_errmsg(), "no cheese");
	ck_assert_int_eq(ipc_error_set(-EPIPE, NULL), -EPIPE);
	ck_assert_str_eq(ipc_errmsg(), ipc_strerror(EPIPE));
	ck_assert_int_eq(ipc_error_set(EIO, "100 %s \033[1m"), -EIO);
	ck_assert_str_eq(ipc_errmsg(), "100 %s ?[1m");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("error");
	TCase *tc = tcase_create("error");

	tcase_add_test(tc, every_code_has_a_text_whatever_its_sign);
	tcase_add_test(tc, the_contracts_codes_are_told_apart_in_its_own_words);
	tcase_add_test(tc, each_thread_has_its_own_last_error);
	tcase_add_test(tc, a_failed_system_call_is_named_with_its_reason);
	tcase_add_test(tc, a_limit_of_open_files_is_named_with_its_value);
	tcase_add_test(tc, errno_survives);
	tcase_add_test(tc, the_address_is_put_in_front_once);
	tcase_add_test(tc, success_leaves_the_last_error_alone);
	tcase_add_test(tc, a_code_without_a_text_does_not_get_the_last_ones);
	tcase_add_test(tc, a_long_address_loses_its_middle_and_no_other_word);
	tcase_add_test(tc, a_long_text_keeps_its_beginning_and_its_end);
	tcase_add_test(tc, a_character_of_several_bytes_is_not_cut);
	tcase_add_test(tc, control_characters_do_not_reach_a_terminal);
	tcase_add_test(tc, a_text_may_be_made_of_the_last_one);
	tcase_add_test(tc, many_threads_fail_at_once);
	tcase_add_test(tc, other_libraries_report_their_errors_here_too);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
