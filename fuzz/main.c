/* SPDX-License-Identifier: ISC */
/*
 * Runs a fuzz target as a plain test, without a fuzzer:
 *
 *	NAME [-n ROUNDS] [CORPUS...]
 *
 * Every file of the corpus directories goes through the target, then ROUNDS
 * mutations of them, the same ones each time: a mutation depends on nothing but
 * its number.  It happens in a child, and when that dies the parent can tell
 * by which input, and writes it to the file NAME.crash.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <dirent.h>
#include <err.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS_MAX	1024
#define INPUT_MAX	65536
#define ROUNDS		20000
#define SECONDS		20		/* for one input */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct input {
	uint8_t	*data;
	size_t	 size;
};

static struct input seeds[SEEDS_MAX];
static unsigned long seed_count;
static uint64_t state;

/* splitmix64. */
static uint64_t
any(uint64_t below)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static void
load(const char *path)
{
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f = fopen(path, "re");

	if (data == NULL || f == NULL)
		err(2, "%s", path);
	if (seed_count == SEEDS_MAX)
		errx(2, "more than %d seeds", SEEDS_MAX);
	seeds[seed_count].data = data;
	seeds[seed_count++].size = fread(data, 1, INPUT_MAX, f);
	fclose(f);
}

/* In the order of names, so that a number means the same seed everywhere. */
static void
load_all(const char *path)
{
	struct dirent **list;
	char name[PATH_MAX];
	int i, n = scandir(path, &list, NULL, alphasort);

	if (n < 0)
		err(2, "%s", path);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			load(name);
		free(list[i]);
	}
	free(list);
}

static void
flip(struct input *in)
{
	if (in->size > 0)
		in->data[any(in->size)] ^= 1 << any(8);
}

static void
put_interesting(struct input *in)
{
	static const uint8_t bytes[] = { 0, 1, 0x7f, 0x80, 0xff, '%', '?' };

	if (in->size > 0)
		in->data[any(in->size)] = bytes[any(sizeof(bytes))];
}

static void
cut(struct input *in)
{
	in->size = any(in->size + 1);
}

/* Some bytes of any seed, put in anywhere. */
static void
splice(struct input *in)
{
	const struct input *from = &seeds[any(seed_count)];
	size_t at = any(in->size + 1), begin = any(from->size + 1);
	size_t n = any(from->size - begin + 1);

	if (n > INPUT_MAX - in->size)
		return;
	memmove(in->data + at + n, in->data + at, in->size - at);
	memcpy(in->data + at, from->data + begin, n);
	in->size += n;
}

static void
grow(struct input *in)
{
	size_t n = any(64);

	while (n-- > 0 && in->size < INPUT_MAX)
		in->data[in->size++] = (uint8_t)any(256);
}

/* The input of this number: a seed, or a mutation of one. */
static void
make(struct input *in, unsigned long number)
{
	static void (*const mutations[])(struct input *) = {
		flip, put_interesting, cut, splice, grow
	};
	const struct input *from;
	uint64_t n;

	state = number;
	from = &seeds[number < seed_count ? number : any(seed_count)];
	memcpy(in->data, from->data, from->size);
	in->size = from->size;
	if (number < seed_count)
		return;
	for (n = any(6) + 1; n > 0; n--)
		mutations[any(sizeof(mutations) / sizeof(mutations[0]))](in);
}

/* The target gets a copy of exactly its size, so that a sanitizer sees a read
 * behind it. */
static void
run(const struct input *in)
{
	uint8_t *copy = malloc(in->size > 0 ? in->size : 1);

	if (copy == NULL)
		err(2, "malloc");
	memcpy(copy, in->data, in->size);
	LLVMFuzzerTestOneInput(copy, in->size);
	free(copy);
}

static void
save(const struct input *in, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s.crash", name);
	if ((f = fopen(path, "we")) == NULL ||
	    fwrite(in->data, 1, in->size, f) != in->size || fclose(f) != 0)
		warn("%s", path);
	else
		printf("it is in %s\n", path);
}

/* In the child; says by *now what it is at. */
static void
run_all(struct input *in, unsigned long count, volatile unsigned long *now)
{
	unsigned long i;

	for (i = 0; i < count; i++) {
		*now = i;
		make(in, i);
		alarm(SECONDS);
		run(in);
	}
}

int
main(int argc, char *argv[])
{
	static struct input in;
	unsigned long rounds = ROUNDS, files;
	unsigned long *now;
	int opt, status;
	pid_t child;

	while ((opt = getopt(argc, argv, "n:")) != -1) {
		if (opt != 'n')
			errx(2, "usage: %s [-n rounds] [corpus...]", argv[0]);
		rounds = strtoul(optarg, NULL, 10);
	}
	for (; optind < argc; optind++)
		load_all(argv[optind]);
	files = seed_count;
	in.data = malloc(INPUT_MAX);
	if (seed_count == 0)		/* the empty input */
		seeds[seed_count++].data = malloc(1);
	now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (in.data == NULL || seeds[0].data == NULL || now == MAP_FAILED)
		err(2, "no memory");

	if ((child = fork()) == -1)
		err(2, "fork");
	if (child == 0) {
		run_all(&in, seed_count + rounds, now);
		exit(0);
	}
	if (waitpid(child, &status, 0) == -1)
		err(2, "waitpid");
	if (status != 0) {
		make(&in, *now);
		printf("input %lu: status %#x\n", *now, (unsigned)status);
		save(&in, argv[0]);
	}
	printf("%lu seeds, %lu mutations\n", files, rounds);
	return status != 0;
}
