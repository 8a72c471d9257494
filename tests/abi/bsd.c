/* SPDX-License-Identifier: ISC */
/*
 * What the library has from libbsd, for a test program of 32 bits: a machine
 * of 64 that can compile for 32 has the C library for it, and not that one.
 */
#include <sys/random.h>
#include <stdint.h>
#include <string.h>

uint32_t
arc4random(void)
{
	uint32_t n = 0;

	while (getrandom(&n, sizeof n, 0) != sizeof n)
		;
	return n;
}

void
arc4random_buf(void *to, size_t size)
{
	unsigned char *p = to;
	ssize_t n;

	while (size > 0)
		if ((n = getrandom(p, size, 0)) > 0) {
			p += n;
			size -= (size_t)n;
		}
}

size_t
strlcpy(char *to, const char *from, size_t size)
{
	size_t n = strlen(from), fits = n < size ? n : size - 1;

	if (size > 0) {
		memcpy(to, from, fits);
		to[fits] = '\0';
	}
	return n;
}

size_t
strlcat(char *to, const char *from, size_t size)
{
	size_t n = strnlen(to, size);

	return n + (n < size ? strlcpy(to + n, from, size - n) : strlen(from));
}
