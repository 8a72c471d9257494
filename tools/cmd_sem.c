/* SPDX-License-Identifier: ISC */
/*
 * ipc sem: a semaphore, for shell scripts.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static int
show(struct ipc_sem *s)
{
	unsigned value;
	int rc = ipc_sem_value(s, &value);

	if (rc == 0)
		printf("%u\n", value);
	return rc;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	int c, rc, flags = 0, timeout = -1;
	unsigned value = 0, count = 0;
	const char *what;
	struct ipc_sem *s;

	while ((c = next_option(cmd, argc, argv, "c:n:t:")) != -1)
		switch (c) {
		case 'c':
			flags = IPC_CREATE;
			value = (unsigned)number("value", optarg, 0, INT_MAX);
			break;
		case 'n':
			count = (unsigned)number("count", optarg, 1, INT_MAX);
			break;
		case 't':
			timeout = (int)number("timeout", optarg, 0, INT_MAX);
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind != 2)
		return usage(cmd);
	what = argv[optind + 1];
	if (strcmp(what, "wait") && strcmp(what, "post") &&
	    strcmp(what, "value"))
		return usage(cmd);
	if ((count > 0 && strcmp(what, "post")) ||
	    (timeout >= 0 && strcmp(what, "wait")))
		return usage(cmd);
	if (ipc_sem_open(&s, argv[optind], flags, value) < 0)
		return failed();
	if (!strcmp(what, "wait"))
		rc = ipc_sem_wait(s, timeout);
	else if (!strcmp(what, "post"))
		rc = ipc_sem_post_many(s, count > 0 ? count : 1);
	else
		rc = show(s);
	if (rc < 0)
		failed();
	ipc_sem_close(s);
	return rc < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct command cmd_sem = {
	.name = "sem",
	.arguments = "[-c value] [-n count] [-t ms] address wait|post|value",
	.summary = "Takes from a semaphore, gives to it, or shows it",
	.help =
	    "The address is sem:NAME, posixsem:/NAME, sysvsem:NAME or\n"
	    "sysvsem:0xKEY.  With undo=1 in it, what this command takes is\n"
	    "given back when it ends, so a script does without.\n\n"
	    "  -c value  makes it with this value if it is missing\n"
	    "  -n count  post: gives so many at once\n"
	    "  -t ms     wait: no longer than so many milliseconds\n",
	.run = run
};
