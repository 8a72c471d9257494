/* SPDX-License-Identifier: ISC */
/*
 * CRC-32C (Castagnoli), the check of iSCSI, ext4 and SCTP.
 */
#ifndef IPC_LIB_CRC32C_H
#define IPC_LIB_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of these bytes behind those that gave crc; 0 to begin with. */
uint32_t ipc__crc32c(uint32_t crc, const void *data, size_t size);
/* The same without the instruction of the processor. */
uint32_t ipc__crc32c_table(uint32_t crc, const void *data, size_t size);

#endif
