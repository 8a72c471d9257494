/* SPDX-License-Identifier: ISC */
/*
 * The words of a text, counted by as many processes as there are CPUs.  Each
 * part of the text is a task, whose result is a list of what is in it:
 *	wordcount /usr/share/common-licenses/GPL-3 [workers] | sort -nr | head
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipc/ipc.h>

#define PART	(512 * 1024)

struct word { unsigned long count; char text[]; };
struct part { size_t begin, end; };

static const char *text;	/* the workers have it as well */
static void *words;		/* a tree: tsearch(3) */
static FILE *out;		/* where put() writes */

static int
by_text(const void *a, const void *b)
{
	return strcmp(((const struct word *)a)->text,
	    ((const struct word *)b)->text);
}

static void
add(const char *s, size_t length, unsigned long count)
{
	struct word *new = calloc(1, sizeof *new + length + 1), **w;

	if (new == NULL)
		err(1, NULL);
	for (size_t i = 0; i < length; i++)
		new->text[i] = (char)tolower((unsigned char)s[i]);
	if ((w = tsearch(new, &words, by_text)) == NULL)
		err(1, NULL);
	(*w)->count += count;
	if (*w != new)
		free(new);
}

static void
put(const void *node, VISIT visit, int depth)
{
	const struct word *w = *(struct word *const *)node;

	(void)depth;
	if (visit == postorder || visit == leaf)
		fprintf(out, "%7lu %s\n", w->count, w->text);
}

static size_t
letters(const char *s, const char *end)
{
	size_t n = 0;

	while (s + n < end && isalpha((unsigned char)s[n]))
		n++;
	return n;
}

/* In a worker: counts one part, and forgets it. */
static int
count(struct ipc_pool_job *job, const void *task, size_t size, void *unused)
{
	const struct part *p = task;
	const char *s = text + p->begin, *end = text + p->end;
	char *lines;
	int rc;

	(void)unused;
	for (size_t n; s < end; s += n > 0 ? n : 1)
		if ((n = letters(s, end)) > 0)
			add(s, n, 1);
	if ((out = open_memstream(&lines, &size)) == NULL)
		return -1;
	twalk(words, put);
	fclose(out);
	tdestroy(words, free);
	words = NULL;
	rc = ipc_pool_reply(job, lines, size);
	free(lines);
	return rc;
}

/* In the pool's process: adds what a worker has counted. */
static void
merge(const struct ipc_pool_result *r, void *unused)
{
	const char *s = r->data, *end = s + r->size;
	unsigned long n;
	size_t length;
	char *word;

	(void)unused;
	if (r->status != 0)
		errx(1, "a part was not counted: %s", ipc_strerror(r->status));
	while (s < end) {
		n = strtoul(s, &word, 10);
		length = letters(++word, end);
		add(word, length, n);
		s = word + length + 1;
	}
}

int
main(int argc, char *argv[])
{
	struct ipc_pool_config config = {
		.struct_size = sizeof config, .handler = count, .done = merge,
		.workers = argc > 2 ? (unsigned)atoi(argv[2]) : 0
	};
	struct ipc_pool *pool;
	struct part p = { 0, 0 };
	struct stat st;
	int fd;

	if (argc < 2)
		errx(2, "usage: wordcount file [workers]");
	if ((fd = open(argv[1], O_RDONLY)) < 0 || fstat(fd, &st) < 0 ||
	    (text = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE,
	    fd, 0)) == MAP_FAILED)
		err(1, "%s", argv[1]);
	if (ipc_pool_new(&pool, &config) < 0)
		errx(1, "%s", ipc_errmsg());
	for (; p.end < (size_t)st.st_size; p.begin = p.end) {
		p.end = (size_t)st.st_size - p.begin > PART ?
		    p.begin + PART : (size_t)st.st_size;
		p.end += letters(text + p.end, text + st.st_size);
		if (ipc_pool_submit(pool, &p, sizeof p, NULL, -1) < 0)
			errx(1, "%s", ipc_errmsg());
	}
	if (ipc_pool_drain(pool, -1) < 0)
		errx(1, "%s", ipc_errmsg());
	ipc_pool_close(pool);
	out = stdout;
	twalk(words, put);
	return 0;
}
