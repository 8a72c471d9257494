/* SPDX-License-Identifier: ISC */
#ifndef IPC_TESTS_LAYOUT_H
#define IPC_TESTS_LAYOUT_H

/* A line for each field of what programs share in memory. */
void layout_print(void);

#endif
