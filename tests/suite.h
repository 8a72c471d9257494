/* SPDX-License-Identifier: ISC */
#ifndef IPC_TESTS_SUITE_H
#define IPC_TESTS_SUITE_H

#include <check.h>

/* Runs a suite and frees it; what main() returns: 1 where a check failed. */
static inline int
suite_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}

#endif
