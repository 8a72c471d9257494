/* SPDX-License-Identifier: ISC */
/*
 * This thread's last error: a code, and a text "address: call: what".
 */
#ifndef IPC_LIB_ERROR_H
#define IPC_LIB_ERROR_H

#include <ipc/error.h>

/* Notes an error with its text and returns -code.  code is positive. */
int ipc__fail(int code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A system call failed with errno: "CALL: strerror(errno)"; returns -errno. */
int ipc__fail_sys(const char *call);

/* Puts "address: " before the text just noted, once. */
int ipc__fail_at(const char *address, int rc);

/* A plain code without a text of its own (-EAGAIN and the like): cheap.
 * Returns rc. */
int ipc__plain(int rc);

#endif
