/* SPDX-License-Identifier: ISC */
/*
 * CRC-32C with the processor's own instruction where it has one, else with
 * tables, 8 bytes at a time.  It finds what crashes and disks do to a journal,
 * which zlib's CRC-32 would do as well; but every processor of today computes
 * this one, so that it costs a tenth of the copy, and no library more.
 */
#include <pthread.h>
#include <string.h>

#include "crc32c.h"

#define POLYNOMIAL	UINT32_C(0x82f63b78)	/* reflected */

static uint32_t table[8][256];

static void
make_table(void)
{
	uint32_t crc;
	int i, k;

	for (i = 0; i < 256; i++) {
		crc = (uint32_t)i;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][i] = crc;
	}
	for (i = 0; i < 256; i++)
		for (k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^
			    table[0][table[k - 1][i] & 0xff];
}

static uint32_t
eight_bytes(uint32_t crc, const unsigned char *p)
{
	uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 |
	    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

	return table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^
	    table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
	    table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
}

uint32_t
ipc__crc32c_table(uint32_t crc, const void *data, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *p = data;

	pthread_once(&once, make_table);
	crc = ~crc;
	for (; size >= 8; size -= 8, p += 8)
		crc = eight_bytes(crc, p);
	for (; size > 0; size--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
#define HAS_INSTRUCTION	__builtin_cpu_supports("sse4.2")

__attribute__((target("sse4.2")))
static uint32_t
by_instruction(uint32_t crc, const unsigned char *p, size_t size)
{
	uint64_t wide = (uint32_t)~crc, word;

	for (; size >= 8; size -= 8, p += 8) {
		memcpy(&word, p, sizeof word);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; size > 0; size--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HAS_INSTRUCTION	1

static uint32_t
by_instruction(uint32_t crc, const unsigned char *p, size_t size)
{
	uint64_t word;

	crc = ~crc;
	for (; size >= 8; size -= 8, p += 8) {
		memcpy(&word, p, sizeof word);
		crc = __crc32cd(crc, word);
	}
	for (; size > 0; size--, p++)
		crc = __crc32cb(crc, *p);
	return ~crc;
}
#else
#define HAS_INSTRUCTION	0
#define by_instruction	ipc__crc32c_table
#endif

uint32_t
ipc__crc32c(uint32_t crc, const void *data, size_t size)
{
	if (HAS_INSTRUCTION)
		return by_instruction(crc, data, size);
	return ipc__crc32c_table(crc, data, size);
}
