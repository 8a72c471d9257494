/* SPDX-License-Identifier: ISC */
/*
 * ipc doctor: what of this machine will make something fail, and what to do.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "doctor.h"

static const char *const levels[] = {
	[FINE]		= "ok",
	[NOTE]		= "note",
	[PROBLEM]	= "problem"
};

void
finding(struct doctor *d, enum level level, const char *about,
    const char *advice, const char *fmt, ...)
{
	struct finding *f;
	va_list ap;

	d->findings = reallocarray(d->findings, d->count + 1,
	    sizeof *d->findings);
	if (d->findings == NULL)
		err(EXIT_FAILED, "no memory");
	f = &d->findings[d->count++];
	f->level = level;
	f->about = about;
	f->advice = level == FINE ? NULL : advice;
	va_start(ap, fmt);
	if (vasprintf(&f->text, fmt, ap) == -1)
		err(EXIT_FAILED, "no memory");
	va_end(ap);
}

bool
read_number(const char *path, int field, unsigned long long *value)
{
	FILE *f = fopen(path, "re");
	bool found = f != NULL;

	for (int i = 0; found && i <= field; i++)
		found = fscanf(f, "%llu", value) == 1;
	if (f != NULL)
		fclose(f);
	return found;
}

const char *
in_bytes(unsigned long long bytes)
{
	static char buffers[4][32];
	static unsigned next;
	static const char *const units[] = {
		"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	char *text = buffers[next++ % 4];
	int unit = 0;

	while (unit < 6 && bytes >= 10240) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, sizeof buffers[0], "%llu %s", bytes, units[unit]);
	return text;
}

static void
examine(struct doctor *d)
{
	/* A write to a pipe that nobody reads is one of the probes. */
	signal(SIGPIPE, SIG_IGN);
	doctor_place(d);
	doctor_memory(d);
	doctor_mechanisms(d);
	doctor_limits(d);
	doctor_use(d);
	doctor_kernel(d);
	doctor_around(d);
}

static void
print_texts(const struct doctor *d, bool quiet)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->findings[i];

		if (quiet && f->level == FINE)
			continue;
		printf("%-8s %-27s ", levels[f->level], f->about);
		print_text(stdout, f->text);
		putchar('\n');
		if (f->advice != NULL)
			printf("%-36s -> %s\n", "", f->advice);
	}
}

static void
print_json(const struct doctor *d, bool quiet)
{
	const char *comma = "";

	putchar('[');
	for (size_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->findings[i];

		if (quiet && f->level == FINE)
			continue;
		printf("%s\n  {\"level\": \"%s\", \"about\": \"%s\", "
		    "\"text\": ", comma, levels[f->level], f->about);
		print_json_string(stdout, f->text);
		printf(", \"advice\": ");
		if (f->advice != NULL)
			print_json_string(stdout, f->advice);
		else
			printf("null");
		putchar('}');
		comma = ",";
	}
	printf("\n]\n");
}

static bool
has_problem(const struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->findings[i].level == PROBLEM)
			return true;
	return false;
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	struct doctor d = { .count = 0 };
	bool json = false, quiet = false;
	int c, status;

	while ((c = next_option(cmd, argc, argv, "jq")) != -1)
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'q':
			quiet = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc != optind)
		return usage(cmd);
	examine(&d);
	if (json)
		print_json(&d, quiet);
	else
		print_texts(&d, quiet);
	status = has_problem(&d) ? EXIT_FAILED : EXIT_OK;
	for (size_t i = 0; i < d.count; i++)
		free(d.findings[i].text);
	free(d.findings);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.arguments = "[-jq]",
	.summary = "Tells what of this machine will fail, and what to do",
	.help =
	    "  -j, --json  as JSON\n"
	    "  -q          only notes and problems\n"
	    "\nIt fails if there is a problem.\n",
	.run = run
};
