/* SPDX-License-Identifier: ISC */
/*
 * The table of mechanisms.
 */
#ifndef IPC_LIB_BACKENDS_H
#define IPC_LIB_BACKENDS_H

#include <stddef.h>

struct ipc_backend;

extern const struct ipc_backend *const ipc__backends[];
extern const size_t ipc__backend_count;

/* The one of this scheme; NULL if there is none. */
const struct ipc_backend *ipc__backend(const char *scheme, size_t len);

#endif
