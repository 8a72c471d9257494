/* SPDX-License-Identifier: ISC */
/*
 * This thread's last error: a code, and a text "address: call: what".
 */
#ifndef IPC_LIB_ERROR_H
#define IPC_LIB_ERROR_H

#include <stdbool.h>

#include <ipc/error.h>

#define IPC__TEXT_SIZE	512

struct ipc__error {
	int	code;		/* as returned; 0: there was none yet */
	bool	told;		/* the text is that of this code */
	bool	placed;		/* and begins with the address */
	char	text[IPC__TEXT_SIZE];
};

/* Notes an error with its text and returns -code.  code is positive. */
int ipc__fail(int code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A system call failed with errno: "CALL: strerror(errno)"; returns -errno.
 * Of EMFILE and ENFILE it tells the limit of open files: where one means
 * something else, the caller says what. */
int ipc__fail_sys(const char *call);

/* The same with what it was called for: "CALL PATH: strerror(errno)". */
int ipc__fail_path(const char *call, const char *path);

/* Puts "address: " before the text just noted, once. */
int ipc__fail_at(const char *address, int rc);

/* A plain code without a text of its own (-EAGAIN and the like): cheap.
 * Returns rc. */
int ipc__plain(int rc);

/* A call that succeeds leaves the last error alone: what tries one thing and
 * then another keeps it, and brings it back when that worked. */
void ipc__error_keep(struct ipc__error *);
void ipc__error_restore(const struct ipc__error *);

/* That these return something negative is what an analyzer must know. */
#if defined(__clang_analyzer__) && !defined(IPC__ERROR_C)
void ipc__text(const char *fmt, ...);
#define ipc__fail(code, ...)	(ipc__text(__VA_ARGS__), -(code))
#define ipc__fail_sys(call)	(ipc__text(call), -5)
#define ipc__fail_path(call, path) (ipc__text("%s", path), -2)
#endif

#endif
