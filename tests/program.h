/* SPDX-License-Identifier: ISC */
/*
 * For the tests of the command and of the examples: other programs are started
 * through the shell, with input and output in memory, and every one of them
 * ends within a deadline or is killed and fails the test.
 *
 * In a command, $ipc is the command, $examples where the examples are, $self
 * this test program, $dir a directory that is new for every test (the runtime
 * directory is in it), and $name a name that nobody else has.
 */
#ifndef IPC_TESTS_PROGRAM_H
#define IPC_TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <check.h>

#define PROGRAM_SECONDS	20	/* that a program has */

struct program {
	pid_t	 pid;
	int	 out, err;	/* files in memory */
	int	 status;	/* exit status; 128 + signal */
	char	*text;		/* what it printed, once it has ended */
	size_t	 length;
	char	*errors;
};

/* A test case whose tests have $dir and the other names. */
TCase *program_tcase(Suite *, const char *name);
/* Runs all, and removes whatever failed tests have left; what main returns. */
int program_run_all(Suite *);

/* In the background; input may be NULL.  The pid is that of the program, if
 * the command is one. */
void program_start(struct program *, const char *input, const char *command);
void program_start_bytes(struct program *, const void *input, size_t size,
    const char *command);
/* Waits for its end, collects what it printed, returns its status. */
int program_end(struct program *);
void program_free(struct program *);

/* Both in one: its status must be this one. */
void program_run(struct program *, int status, const char *input,
    const char *command);

/* Has it printed a whole line yet?  Waits for it, and copies it. */
void program_line(struct program *, char *line, size_t size);

/* Waits until a file is there. */
void await_file(const char *name);

/* "DIR/name", in one of a few buffers that are used in turns. */
const char *in_dir(const char *name);

/* support.h: waits until no other test program has POSIX queues. */
void claim_queues(void);

#endif
