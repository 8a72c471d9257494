/* SPDX-License-Identifier: ISC */
#ifndef IPC_TESTS_JSON_H
#define IPC_TESTS_JSON_H

#include <stdbool.h>

/* Is it one value of JSON, and nothing else? */
bool is_json(const char *text);

#endif
